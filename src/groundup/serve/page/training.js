// The tab "Training": the curves and samples of the run that the model belongs to, as they come.

import { ask } from "./api.js";
import { chart, made } from "./chart.js";
import { say } from "./words.js";

const WAIT = 2000; // milliseconds between two looks at a run that is at work
const TOGETHER = ["loss", "val_loss"]; // in one chart
const FIRST = ["val_bits_per_byte", "rate", "gradient_norm", "tokens_per_second"];
const element = (id) => document.getElementById(id);
const charts = new Map(); // by what is in them
let trainings = []; // what the run has, as the server describes it
let told = null; // what the log of the chosen one tells
let isChosen = false; // by somebody, not by us
let isOver = false; // nothing new will come
let isLooking = false;

export function startTraining() {
  element("training-name").addEventListener("change", () => { isChosen = true; isOver = false; look(); });
  document.addEventListener("tab", look);
  document.addEventListener("visibilitychange", look);
  document.addEventListener("language", () => told && show());
  setInterval(look, WAIT);
  look();
}

async function look() {
  if (isOver || isLooking || element("training").hidden || document.hidden) return;
  isLooking = true;
  try {
    ({ trainings } = await ask("v1/run"));
    element("no-training").hidden = trainings.length > 0;
    element("course").hidden = trainings.length === 0;
    isOver = trainings.every((training) => training.is_finished);
    if (trainings.length) await load();
  } catch (error) {
    complain(error);
  }
  isLooking = false;
}

async function load() {
  const newest = trainings.findLast((training) => training.has_begun) || trainings[0];
  const select = element("training-name");
  const name = isChosen ? select.value : newest.name;
  options(select, trainings, name);
  const answer = await ask(`v1/run/${name}`);
  if (select.value !== name) { // something else was chosen meanwhile
    isOver = false;
    return;
  }
  told = answer;
  show();
}

// The trainings to choose from, the one called `name` chosen.
export function options(select, all, name) {
  const wanted = all.map((training) => new Option(say(training.name), training.name));
  const isSame = (option, i) => option.isEqualNode(select.options[i]);
  // One that somebody has opened stays as it is.
  if (select.options.length !== wanted.length || !wanted.every(isSame)) select.replaceChildren(...wanted);
  select.value = name;
}

function complain(error) {
  element("course").hidden = false;
  element("training-status").textContent = error.message;
  element("training-status").classList.add("problem");
}

function show() {
  options(element("training-name"), trainings, told.training);
  const status = element("training-status");
  status.classList.remove("problem");
  status.textContent = standing();
  element("training-stopped").textContent = told.stopped ? say("stoppedBy", told.stopped) : "";
  draw();
  const { samples, n_samples: all } = told;
  element("about-samples").textContent = all ? say("aboutSamples", samples.length, all) : say("noSamples");
  element("samples").replaceChildren(...samples.map(sample).reverse());
}

function standing() {
  const { is_finished: isFinished } = trainings.find(({ name }) => name === told.training);
  if (!told.step) return say("notBegun");
  if (isFinished) return say("finished", told.step);
  return say("underWay", told.step, told.steps, Math.max(0, Math.round(told.silent_seconds)));
}

function draw() {
  const names = Object.keys(told.curves);
  const others = names.filter((name) => ![...TOGETHER, ...FIRST].includes(name));
  const groups = [TOGETHER, ...[...FIRST, ...others].map((name) => [name])]
    .map((group) => group.filter((name) => names.includes(name))).filter((group) => group.length);
  const wanted = groups.map((group) => {
    const key = group.includes(TOGETHER[0]) || group.includes(TOGETHER[1]) ? "losses" : group[0];
    if (!charts.has(key)) charts.set(key, chart(() => (key === "losses" ? say(key) : called(key))));
    charts.get(key).show(group.map((name) => ({ name: () => called(name), points: told.curves[name] })));
    return charts.get(key).element;
  });
  const place = element("curves");
  // Only where something has changed, as what is put in anew loses the keyboard's focus.
  const isSame = place.children.length === wanted.length && wanted.every((one, i) => one === place.children[i]);
  if (!isSame) place.replaceChildren(...wanted);
}

const called = (name) => say(`curve_${name}`) ?? name.replaceAll("_", " ");

function sample({ step, text }) {
  const place = document.createElement("li");
  place.append(made("h3", "", say("stepN", step)), made("p", "", text));
  return place;
}

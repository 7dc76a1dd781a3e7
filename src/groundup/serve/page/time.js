// The tab "Time machine": one prompt, and what the model says to it at each checkpoint of its training.

import { ask, events } from "./api.js";
import { made, number } from "./chart.js";
import { store, stored } from "./settings.js";
import { sliders } from "./sliders.js";
import { options } from "./training.js";
import { say, write } from "./words.js";

const PLACE = "groundup-time";
const FEW = 12; // steps that are named one by one
const element = (id) => document.getElementById(id);
let trainings = [];
let settings;
let rows = new Map(); // by step: what is shown of a checkpoint
let running = null;

export function startTime() {
  settings = sliders(element("same"), [
    { name: "temperature", min: 0, max: 2, step: 0.05, start: 0.8 },
    { name: "top_p", min: 0.05, max: 1, step: 0.01, off: 1, start: 1 },
    { name: "top_k", min: 0, max: 200, step: 1, off: 0, start: 0 },
    { name: "max_tokens", min: 1, max: 200, step: 1, start: 64 },
  ], () => {});
  element("travel").addEventListener("submit", (event) => { event.preventDefault(); go(); });
  element("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("travel").requestSubmit();
  });
  element("time-stop").addEventListener("click", () => running?.abort());
  element("time-name").addEventListener("change", () => { clear(); describe(); });
  document.addEventListener("tab", look);
  document.addEventListener("language", () => {
    if (!trainings.length) return;
    options(element("time-name"), trainings, chosen().name);
    describe();
    for (const row of rows.values()) row.name();
  });
  look();
}

const chosen = () => trainings.find(({ name }) => name === element("time-name").value);

// Which checkpoints there are by now.
async function look() {
  if (element("time").hidden || running) return;
  try {
    await refresh();
  } catch (error) {
    tell(error.message, true);
  }
}

async function refresh() {
  ({ trainings } = await ask("v1/run"));
  element("no-time").hidden = trainings.length > 0;
  element("travel").hidden = trainings.length === 0;
  if (!trainings.length) return;
  const before = element("time-name").value;
  const newest = trainings.find(({ checkpoints }) => checkpoints.length) || trainings[0];
  options(element("time-name"), trainings, before || newest.name);
  element("prompt").value ||= stored(PLACE) || chosen().prompt;
  describe();
}

function describe() {
  const { checkpoints, keep_checkpoints: most, setting, writes_text: writes } = chosen();
  const kept = checkpoints.length ? say("keptSome", checkpoints.length, named(checkpoints)) : say("keptNone");
  write(element("kept-checkpoints"), writes ? kept + say("keepMore", most, setting) : say("labels"));
  element("go").disabled = !writes || !checkpoints.length;
}

function named(checkpoints) {
  const steps = checkpoints.map(({ step }) => step);
  const [begin, end] = [steps.slice(0, FEW - 1), steps.slice(FEW - 1)];
  return end.length > 1 ? `${begin.join(", ")} … ${end.at(-1)}` : steps.join(", ");
}

async function go() {
  if (running) return;
  running = new AbortController();
  busy(true);
  try {
    await refresh();
    await retell(element("prompt").value, running.signal);
    tell(say("asked", rows.size));
  } catch (error) {
    if (error.name === "AbortError") tell(say("halted"));
    else tell(error.message, true);
  }
  running = null;
  busy(false);
}

async function retell(prompt, signal) {
  store(PLACE, prompt);
  clear();
  const { name, checkpoints } = chosen();
  const asked = {
    prompt, ...settings.read(), seed: Number(element("time-seed").value),
    steps: checkpoints.map(({ step }) => step),
  };
  for await (const event of events(`v1/run/${name}/retell`, asked, signal)) {
    if (!rows.has(event.step)) begin(checkpoints.find(({ step }) => step === event.step), prompt);
    rows.get(event.step).add(event);
  }
}

function clear() {
  rows = new Map();
  element("times").replaceChildren();
}

function begin({ step, val_loss: loss }, prompt) {
  const place = document.createElement("li");
  const heading = made("h3");
  const text = document.createElement("p");
  const said = made("span", "said");
  text.append(made("span", "quiet", prompt), said);
  place.append(heading, text);
  const name = () => {
    const known = loss === null ? [] : [say("valLoss", number(loss))];
    heading.textContent = [say("stepN", step), ...known].join(" · ");
  };
  const add = (event) => {
    said.append(event.text);
    if (event.problem) place.append(made("p", "problem", event.problem));
  };
  name();
  rows.set(step, { name, add });
  element("times").append(place);
  tell(say("asking", step));
}

function tell(words, isWrong = false) {
  element("time-status").textContent = words;
  element("time-status").classList.toggle("problem", isWrong);
}

function busy(is) {
  const focused = document.activeElement;
  const [shown, gone] = is ? ["time-stop", "go"] : ["go", "time-stop"];
  element(shown).hidden = false;
  element(gone).hidden = true;
  // A button that vanishes must not take the keyboard's place in the page with it.
  if (focused === element(gone)) element(shown).focus();
}

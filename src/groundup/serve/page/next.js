// What comes next: the likeliest tokens, and what temperature, top-k, top-p and min-p leave of them.

import { ask } from "./api.js";
import { named } from "./inside.js";
import { sliders } from "./sliders.js";
import { say } from "./words.js";

const WAIT = 120; // milliseconds without a change, after which the server is asked
const element = (id) => document.getElementById(id);
let place = null;
let found = null;
let settings;
let vocabulary;

export function startNext(served) {
  vocabulary = served.vocab_size;
  let waiting = null;
  settings = sliders(element("narrowing"), [
    { name: "temperature", min: 0, max: 2, step: 0.05, start: 1 },
    { name: "top_k", min: 0, max: 100, step: 1, off: 0, start: 0 },
    { name: "top_p", min: 0.01, max: 1, step: 0.01, off: 1, start: 1 },
    { name: "min_p", min: 0, max: 1, step: 0.01, off: 0, start: 0 },
  ], () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => place && load().catch(complain), WAIT);
  });
  document.addEventListener("language", () => found && show());
  return (given, signal) => { place = given; return load(signal); };
}

async function load(signal) {
  const asked = { text: place.text, position: place.position, ...settings.read() };
  const answer = await ask("v1/inside/next", asked, signal);
  if (asked.position !== place.position || asked.text !== place.text) return;
  found = answer;
  show();
}

function complain(error) {
  element("kept").textContent = error.message;
}

function show() {
  const told = found.steps.slice(1).map(({ name, kept }) => say("kept", say(name), kept, vocabulary));
  element("kept").textContent = told.join(" · ");
  const head = document.createElement("thead");
  const names = ["token", "", "saysModel", "left"].map((name) => cell("th", name && say(name)));
  head.append(row(names));
  const body = document.createElement("tbody");
  body.append(...found.tokens.map(line));
  element("next").replaceChildren(head, body);
}

function line(token, number) {
  const chances = found.steps.map((step) => step.probabilities[number]);
  const left = chances.at(-1);
  const cut = found.steps.find((step) => step.probabilities[number] === 0);
  const name = cell("th", named(token));
  name.title = `id ${token.id}`;
  const told = cut && chances[0] > 0 ? `${say("cutBy")} ${say(cut.name)}` : percent(left);
  const drawn = bars(chances[0], left, largest());
  const made = row([name, drawn, cell("td", percent(chances[0])), cell("td", told)]);
  if (left === 0) made.className = "cut";
  return made;
}

// Bars are as long as their share of the likeliest token's, which has the whole width.
function largest() {
  return Math.max(...found.steps[0].probabilities, ...found.steps.at(-1).probabilities);
}

function bars(model, left, most) {
  const place = document.createElement("td");
  place.className = "bars";
  for (const [kind, chance] of [["model", model], ["left", left]]) {
    const bar = document.createElement("span");
    bar.className = kind;
    bar.style.width = `${(chance / most) * 100}%`;
    place.append(bar);
  }
  return place;
}

export const percent = (chance) => `${(chance * 100).toFixed(2)}%`;

function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function row(cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

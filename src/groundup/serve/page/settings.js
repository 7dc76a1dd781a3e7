// How the model answers: sliders, seed and system prompt, kept in the browser.

import { sliders } from "./sliders.js";

const PLACE = "groundup-settings";
const element = (id) => document.getElementById(id);

// For a model that `served` describes. Gives `read()`: the settings as the API wants them, and
// `system()`: the system prompt.
export function startSettings(served) {
  const most = served.context_length;
  const panel = sliders(element("sliders"), [
    { name: "temperature", min: 0, max: 2, step: 0.05, start: 0.8 },
    { name: "top_p", min: 0.05, max: 1, step: 0.01, start: 1 },
    { name: "top_k", min: 0, max: 200, step: 1, off: 0, start: 0 },
    { name: "max_tokens", min: 1, max: most, step: 1, start: Math.min(512, most) },
  ], keep);
  const fields = ["seed", "system"];

  function keep() {
    const written = fields.map((name) => [name, element(name).value]);
    store(PLACE, { ...panel.read(), ...Object.fromEntries(written) });
  }

  function seed() {
    const { value } = element("seed");
    return value === "" ? null : Number(value);
  }

  function write(values) {
    panel.write(values);
    for (const name of fields) element(name).value = values[name] ?? "";
  }

  write(stored(PLACE) || {});
  for (const name of fields) element(name).addEventListener("input", keep);
  element("defaults").addEventListener("click", () => { write({}); keep(); });
  element("settings").open = window.matchMedia("(min-width: 60rem)").matches;
  element("system-part").hidden = !served.knows_turns;
  return {
    read: () => ({ ...panel.read(), seed: seed() }),
    system: () => element("system").value,
  };
}

// What was kept under a name; null where there is nothing that can be read.
export function stored(place) {
  try {
    return JSON.parse(localStorage.getItem(place));
  } catch {
    return null;
  }
}

export function store(place, value) {
  try {
    localStorage.setItem(place, JSON.stringify(value));
  } catch {
    // Full, or not allowed: it lasts as long as the page does.
  }
}

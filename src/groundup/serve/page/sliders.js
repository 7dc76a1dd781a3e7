// Sliders that say their value, made from a table: name, from, to, step, and what is off.

import { say } from "./words.js";

// Put a slider for each of `kinds` into `place`; `changed` is called with each change. Gives the values:
// `read()` (null where one is off), `write(values)`.
export function sliders(place, kinds, changed) {
  const rows = kinds.map((kind) => slider(kind, place.id, changed));
  place.replaceChildren(...rows.map((row) => row.element));
  document.addEventListener("language", () => rows.forEach((row) => row.show()));
  return {
    read: () => Object.fromEntries(rows.map((row) => [row.name, row.value()])),
    write: (values) => rows.forEach((row) => row.set(values[row.name])),
  };
}

function slider({ name, min, max, step, off, start }, prefix, changed) {
  const element = document.createElement("div");
  element.className = "slider";
  const label = document.createElement("label");
  const shown = document.createElement("output");
  const input = document.createElement("input");
  input.id = `${prefix}-${name}`;
  label.htmlFor = shown.htmlFor = input.id;
  Object.assign(input, { type: "range", min, max, step, value: start });
  const value = () => (Number(input.value) === off ? null : Number(input.value));
  const show = () => {
    label.textContent = say(name);
    shown.textContent = value() ?? say("off");
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => { show(); changed(); });
  element.append(label, shown, input);
  show();
  const set = (to) => {
    input.value = to === undefined ? start : to ?? off;
    show();
  };
  return { name, element, value, show, set };
}

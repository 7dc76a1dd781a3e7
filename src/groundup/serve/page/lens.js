// The logit lens: for each layer, what the model would say at the chosen place.

import { ask } from "./api.js";
import { named } from "./inside.js";
import { percent } from "./next.js";
import { say } from "./words.js";

let found = null;

export function startLens() {
  document.addEventListener("language", () => found && show());
  return async ({ text, position }, signal) => {
    found = await ask("v1/inside/lens", { text, position }, signal);
    show();
  };
}

function show() {
  document.getElementById("lens").replaceChildren(...found.stages.map(stage));
}

function stage({ layer, tokens }) {
  const row = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = layer === null ? say("embedding") : say("layerN", layer);
  const cell = document.createElement("td");
  cell.append(...tokens.map(likely));
  row.append(name, cell);
  return row;
}

function likely(token) {
  const place = document.createElement("span");
  place.className = "piece";
  place.style.setProperty("--sure", `${token.probability * 100}%`);
  place.textContent = named(token);
  place.title = `id ${token.id}`;
  const chance = document.createElement("small");
  chance.textContent = percent(token.probability);
  place.append(chance);
  return place;
}

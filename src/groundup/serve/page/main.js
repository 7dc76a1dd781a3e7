// The page's frame: language, tabs, and what the server says of its model.

import { ask } from "./api.js";
import { startChat } from "./chat.js";
import { startInside } from "./inside.js";
import { startTime } from "./time.js";
import { startTraining } from "./training.js";
import { say, switchLanguage, useLanguage } from "./words.js";

let tabs = [...document.querySelectorAll("[role=tab]")];

const named = (id) => tabs.find((tab) => tab.getAttribute("aria-controls") === id);

function choose(tab) {
  for (const other of tabs) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", isChosen);
    other.tabIndex = isChosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  document.dispatchEvent(new Event("tab"));
}

function move(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const next = tabs[(tabs.indexOf(event.target) + by + tabs.length) % tabs.length];
  choose(next);
  next.focus();
}

function complain(error) {
  const place = document.getElementById("problem");
  place.textContent = error.message;
  place.hidden = false;
}

// A classifier writes nothing, but how it was trained can be seen.
function withoutText() {
  complain(new Error(say("classifier")));
  for (const id of ["chat", "inside"]) named(id).hidden = true;
  tabs = tabs.filter((tab) => !tab.hidden);
  if (!tabs.some((tab) => tab.ariaSelected === "true")) choose(tabs[0]);
  for (const id of ["chat", "inside"]) document.getElementById(id).hidden = true;
}

async function start() {
  useLanguage();
  document.getElementById("language").addEventListener("click", switchLanguage);
  for (const tab of tabs) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", move);
  }
  choose(named(location.hash.slice(1)) || tabs[0]);
  const served = await ask("v1/inside");
  document.getElementById("model").textContent = served.model;
  document.title = `${served.model} – groundup`;
  if (served.is_classifier) withoutText();
  else {
    startChat(served);
    startInside(served);
  }
  startTraining();
  startTime();
  document.querySelector("main").hidden = false; // not before: what is kept would fall on what is typed
}

start().catch(complain);

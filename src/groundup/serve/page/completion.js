// The tab "Chat" of a model that knows no turns: one text, which it goes on with, and which can be changed
// anywhere in between.

import { isRunning, stop, stream, trouble } from "./answer.js";
import { store, stored } from "./settings.js";
import { say, speak } from "./words.js";

const PLACE = "groundup-text";
const element = (id) => document.getElementById(id);
let settings;
let begin = null; // the text before the last continuation

export function startCompletion(given) {
  settings = given;
  const field = element("message");
  field.rows = 14;
  field.dataset.sayPlaceholder = "writeText";
  element("send").dataset.say = "goOn";
  field.value = stored(PLACE) || "";
  field.addEventListener("input", () => store(PLACE, field.value));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) goOn();
  });
  element("ask").addEventListener("submit", (event) => { event.preventDefault(); goOn(); });
  element("again").addEventListener("click", again);
  element("clear").addEventListener("click", clear);
  document.addEventListener("language", hello);
  speak(element("ask"));
  hello();
}

function hello() {
  const words = document.createElement("p");
  words.className = "quiet hello";
  words.textContent = say("helloText");
  element("turns").replaceChildren(words);
}

async function goOn() {
  const field = element("message");
  if (isRunning() || !field.value) return;
  const start = field.value;
  begin = start;
  field.readOnly = true;
  hello();
  const body = { ...settings.read(), prompt: start };
  const { text, note, problem } = await stream("v1/completions", body, (so) => {
    if (begin !== start) return;
    field.value = start + so;
    field.scrollTop = field.scrollHeight;
  });
  field.readOnly = false;
  if (begin !== start) return;
  store(PLACE, field.value);
  element("again").hidden = false;
  element("chat-status").textContent = note ? `${text} (${say(note)})` : text;
  if (problem) element("turns").append(trouble(problem, again));
}

function again() {
  if (begin === null) return;
  element("message").value = begin;
  goOn();
}

function clear() {
  stop();
  begin = null;
  element("message").value = "";
  element("again").hidden = true;
  store(PLACE, "");
  element("message").focus();
}

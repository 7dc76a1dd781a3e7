// The tab "Chat": a conversation with the model, kept in the browser. A model that knows no turns goes on
// with a text instead (completion.js).

import { isRunning, stop, stream, trouble } from "./answer.js";
import { startCompletion } from "./completion.js";
import { render } from "./markdown.js";
import { startSettings, store, stored } from "./settings.js";
import { say } from "./words.js";

const PLACE = "groundup-turns";
const element = (id) => document.getElementById(id);
let settings;
let turns = []; // { role, content, note }
let edited = null; // the number of the turn that is being changed

export function startChat(served) {
  settings = startSettings(served);
  element("stop").addEventListener("click", stop);
  if (!served.knows_turns) return startCompletion(settings);
  const kept = stored(PLACE);
  turns = Array.isArray(kept) ? kept.filter(isTurn) : [];
  element("ask").addEventListener("submit", (event) => { event.preventDefault(); send(); });
  element("message").addEventListener("keydown", sendOnEnter);
  element("again").addEventListener("click", again);
  element("clear").addEventListener("click", clear);
  document.addEventListener("language", show);
  show();
}

function isTurn(turn) {
  return ["user", "assistant"].includes(turn?.role) && typeof turn.content === "string";
}

// Not the Enter that ends the writing of a Chinese word.
function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
}

function send() {
  const field = element("message");
  if (isRunning() || !field.value.trim()) return;
  turns.push({ role: "user", content: field.value });
  field.value = "";
  answer();
}

function again() {
  if (turns.at(-1)?.role === "assistant") turns.pop();
  answer();
}

function clear() {
  stop();
  turns = [];
  edited = null;
  element("counts").textContent = "";
  keep();
  show();
  element("message").focus();
}

async function answer() {
  const talk = turns; // a new conversation may begin meanwhile
  const system = settings.system().trim();
  const messages = talk.map(({ role, content }) => ({ role, content }));
  if (system) messages.unshift({ role: "system", content: system });
  const turn = { role: "assistant", content: "" };
  talk.push(turn);
  edited = null;
  keep();
  show();
  const draw = drawing(turn);
  element("turns").lastElementChild.querySelector(".body").append(awaited());
  const body = { ...settings.read(), messages };
  const { note, problem } = await stream("v1/chat/completions", body, (text) => {
    turn.content = text;
    draw();
  });
  if (talk !== turns) return;
  turn.note = note;
  if (problem && !turn.content) talk.pop();
  keep();
  show();
  element("chat-status").textContent = problem ? "" : turn.content;
  if (problem) element("turns").append(trouble(problem, again));
  follow(true);
}

// What is drawn again, at most once for each picture of the screen, while an answer comes.
function drawing(turn) {
  const place = element("turns").lastElementChild.querySelector(".body");
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      const isAtEnd = nearEnd();
      place.replaceChildren(render(turn.content));
      follow(isAtEnd);
    });
  };
}

function nearEnd() {
  const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
  return scrollHeight - clientHeight - scrollTop < 120;
}

function follow(isWanted) {
  if (isWanted) window.scrollTo(0, document.documentElement.scrollHeight);
}

function keep() {
  store(PLACE, turns);
}

function show() {
  element("turns").replaceChildren(...(turns.length ? turns.map(article) : [hello()]));
  element("again").hidden = isRunning() || turns.length === 0;
}

function hello() {
  const words = document.createElement("p");
  words.className = "quiet hello";
  words.textContent = say("hello");
  return words;
}

// Stands where an answer will, until its first words come.
function awaited() {
  const words = document.createElement("p");
  words.className = "quiet awaited";
  words.textContent = say("answering");
  return words;
}

function article(turn, number) {
  const place = document.createElement("article");
  place.className = `turn ${turn.role}`;
  const who = document.createElement("h2");
  who.textContent = say(turn.role === "user" ? "you" : "model");
  place.append(who, number === edited ? editor(turn, number) : body(turn));
  if (turn.note) place.append(note(turn.note));
  if (number !== edited && !isRunning()) place.append(editButton(number));
  return place;
}

function body(turn) {
  const place = document.createElement("div");
  place.className = "body";
  if (turn.role === "assistant") place.append(render(turn.content));
  else place.textContent = turn.content;
  return place;
}

function note(name) {
  const words = document.createElement("p");
  words.className = "quiet";
  words.textContent = `(${say(name)})`;
  return words;
}

function button(name, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = say(name);
  made.addEventListener("click", pressed);
  return made;
}

function editButton(number) {
  const made = button("edit", () => {
    edited = number;
    show();
    element("turns").children[number].querySelector("textarea").focus();
  });
  made.className = "edit";
  return made;
}

// A changed question is answered anew, a changed answer is what was said; what came after is gone.
function editor(turn, number) {
  const place = document.createElement("div");
  const field = document.createElement("textarea");
  field.value = turn.content;
  field.rows = Math.min(12, turn.content.split("\n").length + 1);
  field.setAttribute("aria-label", say("edit"));
  const save = button("save", () => {
    turns = [...turns.slice(0, number), { role: turn.role, content: field.value }];
    close(number);
    if (turn.role === "user") answer();
    else keep();
  });
  save.className = "main";
  const buttons = document.createElement("p");
  buttons.className = "buttons";
  buttons.append(save, button("cancel", () => close(number)));
  place.append(field, buttons);
  place.addEventListener("keydown", (event) => { if (event.key === "Escape") close(number); });
  return place;
}

function close(number) {
  edited = null;
  show();
  element("turns").children[number].querySelector(".edit").focus();
}

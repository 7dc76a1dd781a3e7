// The tab "Look inside": a text, how it is cut, how surprising each token is; and a chosen place in it, which
// the other views stand at.

import { ask } from "./api.js";
import { startAttention } from "./attention.js";
import { startLens } from "./lens.js";
import { startNext } from "./next.js";
import { stored, store } from "./settings.js";
import { say } from "./words.js";

const PLACE = "groundup-look";
const HOT = 12; // bits from which a token is as red as it gets
const element = (id) => document.getElementById(id);
let views = [];
let looked = null; // { text, pieces, bits, mean }
let chosen = 0; // the number of a piece
let running = null;

export function startInside(served) {
  views = [startNext(served), startLens(served), startAttention(served)];
  element("text").value = stored(PLACE) || "Mia is in the garden. 小明在花园。";
  element("look").addEventListener("submit", (event) => { event.preventDefault(); look(); });
  element("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) look();
  });
  element("tokens").addEventListener("keydown", move);
  document.addEventListener("language", () => looked && show());
}

async function look() {
  const text = element("text").value;
  store(PLACE, text);
  running?.abort();
  const { signal } = running = new AbortController();
  await telling(async () => {
    const { pieces, n_tokens: count } = await ask("v1/inside/tokens", { text }, signal);
    const { bits, mean_bits: mean } = await ask("v1/inside/surprise", { text }, signal);
    looked = { text, pieces, bits, mean, count };
    chosen = pieces.length - 1;
    element("views").hidden = false;
    show();
    await showPlace(signal);
  });
}

// Do something while the status says that it is done, or what went wrong.
async function telling(work) {
  const status = element("look-status");
  status.classList.remove("problem");
  status.textContent = say("looking");
  try {
    await work();
    status.textContent = say("lookedAt", looked.count);
  } catch (error) {
    if (error.name === "AbortError") return;
    status.textContent = error.message;
    status.classList.add("problem");
  }
}

function showPlace(signal) {
  const { text, pieces } = looked;
  const place = { text, pieces, position: last(pieces[chosen]) };
  return Promise.all(views.map((view) => view(place, signal)));
}

const last = (piece) => piece.position + piece.tokens.length - 1;

function show() {
  element("look-status").textContent = say("lookedAt", looked.count);
  element("tokens").replaceChildren(...looked.pieces.map(option));
  element("surprise").replaceChildren(...looked.pieces.map(surprising));
  const { mean } = looked;
  element("mean").textContent = mean === null ? say("nothingBefore") : say("mean", mean.toFixed(2));
  mark();
}

function option(piece, number) {
  const place = document.createElement("span");
  place.id = `piece-${number}`;
  place.setAttribute("role", "option");
  place.className = piece.is_special ? "piece special" : "piece";
  place.textContent = visible(piece.text);
  if (piece.tokens.length > 1) place.append(small(piece.tokens.length));
  place.title = described(piece);
  place.addEventListener("click", () => choose(number));
  return place;
}

function surprising(piece) {
  const place = document.createElement("li");
  place.className = "piece";
  place.textContent = visible(piece.text);
  const bits = looked.bits.slice(piece.position, last(piece) + 1);
  const known = bits.filter((each) => each !== null);
  const sum = known.reduce((total, each) => total + each, 0);
  place.style.setProperty("--heat", `${Math.min(sum / HOT, 1) * 100}%`);
  place.append(small(known.length ? sum.toFixed(2) : "–"));
  const told = (each) => (each === null ? say("nothingBefore") : say("bits", each.toFixed(3)));
  place.title = bits.map(told).join(" + ");
  return place;
}

function small(text) {
  const place = document.createElement("small");
  place.textContent = text;
  return place;
}

function described(piece) {
  const ids = piece.tokens.map((token) => token.id).join(", ");
  return say("chosen", visible(piece.text), last(piece), ids);
}

// White space and control characters as something to see.
export function visible(text) {
  if (text === "") return "∅";
  const shown = text.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥");
  return shown.replace(/[\x00-\x1f\x7f]/g, (control) => hexadecimal([control.charCodeAt(0)]));
}

// A token as its text, or as its bytes where they are no whole characters.
export function named({ text, bytes }) {
  return text.includes("\ufffd") ? hexadecimal(bytes) : visible(text);
}

function hexadecimal(bytes) {
  return `‹${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")}›`;
}

function choose(number) {
  if (number === chosen) return;
  chosen = number;
  mark();
  running?.abort();
  const { signal } = running = new AbortController();
  telling(() => showPlace(signal));
}

function mark() {
  for (const [number, place] of [...element("tokens").children].entries()) {
    place.setAttribute("aria-selected", number === chosen);
  }
  element("tokens").setAttribute("aria-activedescendant", `piece-${chosen}`);
  element("token").textContent = described(looked.pieces[chosen]);
}

function move(event) {
  const end = looked.pieces.length - 1;
  const to = { ArrowLeft: chosen - 1, ArrowRight: chosen + 1, Home: 0, End: end }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(Math.min(Math.max(to, 0), end));
}

// Where a head looks: a map with a square for each two tokens, and a cursor that reads it.

import { ask } from "./api.js";
import { visible } from "./inside.js";
import { say } from "./words.js";

const SIDE = 512; // pixels of the picture, about
const element = (id) => document.getElementById(id);
let most = 0;
let place = null;
let names = []; // of each token: the piece that it belongs to
let weights = null;
let cursor = { row: 0, column: 0 };

export function startAttention(served) {
  most = served.most_mapped;
  numbers(element("layer"), served.attention_layers);
  numbers(element("head"), [...Array(served.n_heads).keys()]);
  for (const id of ["layer", "head"]) {
    element(id).addEventListener("change", () => place && load().catch((error) => refuse(error.message)));
  }
  const map = element("map");
  map.addEventListener("pointermove", point);
  map.addEventListener("pointerdown", point);
  map.addEventListener("keydown", move);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => weights && show());
  document.addEventListener("language", () => weights && tell());
  return (given, signal) => {
    place = given;
    names = given.pieces.flatMap((piece) => piece.tokens.map(() => visible(piece.text)));
    if (!served.attention_layers.length) return refuse(say("noAttention"));
    if (names.length > most) return refuse(say("noMap", most));
    return load(signal);
  };
}

function numbers(select, values) {
  select.replaceChildren(...values.map((value) => new Option(value, value)));
}

function refuse(why) {
  weights = null;
  element("map").hidden = true;
  element("no-map").textContent = why;
  element("looks").textContent = "";
}

async function load(signal) {
  const [layer, head] = ["layer", "head"].map((id) => Number(element(id).value));
  const asked = { text: place.text, layer, head };
  const answer = await ask("v1/inside/attention", asked, signal);
  const isStill = String([layer, head]) === String([element("layer").value, element("head").value]);
  if (!isStill || asked.text !== place.text) return; // something else is wanted by now
  ({ weights } = answer);
  element("map").hidden = false;
  element("no-map").textContent = "";
  const row = weights[place.position];
  put(place.position, row.indexOf(Math.max(...row)));
}

function show() {
  const map = element("map");
  const size = Math.max(1, Math.floor(SIDE / weights.length));
  map.width = map.height = size * weights.length;
  const brush = map.getContext("2d");
  brush.fillStyle = getComputedStyle(map).color;
  weights.forEach((row, i) => row.forEach((weight, j) => {
    brush.globalAlpha = Math.sqrt(weight); // so that small weights are seen as well
    brush.fillRect(j * size, i * size, size, size);
  }));
  brush.globalAlpha = 1;
  brush.strokeStyle = getComputedStyle(map).outlineColor;
  brush.lineWidth = 2;
  brush.strokeRect(cursor.column * size, cursor.row * size, size, size);
  brush.globalAlpha = 0.35;
  brush.strokeRect(0, cursor.row * size, map.width, size);
}

function put(row, column) {
  cursor = {
    row: Math.min(Math.max(row, 0), weights.length - 1),
    column: Math.min(Math.max(column, 0), weights.length - 1),
  };
  show();
  tell();
}

function tell() {
  const { row, column } = cursor;
  const weight = weights[row][column] ?? 0; // nobody looks ahead
  element("looks").textContent = say("looks", row, names[row], column, names[column], weight.toFixed(4));
}

function point(event) {
  if (!weights) return;
  const box = element("map").getBoundingClientRect();
  const at = (offset, side) => Math.floor((offset / side) * weights.length);
  put(at(event.clientY - box.top, box.height), at(event.clientX - box.left, box.width));
}

function move(event) {
  const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!by || !weights) return;
  event.preventDefault();
  put(cursor.row + by[0], cursor.column + by[1]);
}

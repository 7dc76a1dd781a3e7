// A chart of one or two curves over the steps, with a cursor that reads their points.

import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [1000, 300]; // of the drawing's own units; the page stretches it
const KINDS = ["first", "second"];
const FEW = 40; // points of a curve that are drawn as dots as well
const MARGIN = 0.04; // of the drawing, so that no dot lies on its edge

// Gives { element, show(curves) }; `title()` says what it is of, `curves` are [{ name(), points }].
export function chart(title) {
  const element = made("section", "card");
  const heading = made("h2");
  const key = made("p");
  const plot = made("div", "plot");
  const [top, bottom, steps] = ["top", "bottom", "steps"].map((kind) => made("span", kind));
  const drawing = document.createElementNS(SVG, "svg");
  const readout = made("p", "readout");
  plot.append(top, bottom, drawing, steps);
  element.append(heading, key, plot, readout);
  attributes(drawing, {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", tabindex: 0, role: "img",
  });
  let curves = [];
  let read = null; // the step that the cursor is at; null: the last one
  let frame;

  function show(given) {
    curves = given;
    frame = around(curves);
    heading.textContent = title();
    drawing.setAttribute("aria-label", `${title()}. ${say("chart")}`);
    key.replaceChildren(...(curves.length > 1 ? curves.map(keyOf) : []));
    [top.textContent, bottom.textContent] = [number(frame.high), number(frame.low)];
    const ends = new Set([frame.first, frame.last]);
    steps.replaceChildren(...[...ends].map((step) => made("span", "", step)));
    tell();
  }

  function tell() {
    const step = read ?? frame.last;
    const lines = curves.flatMap(({ points }, number) => line(points, KINDS[number], frame));
    drawing.replaceChildren(...lines, path(`M${frame.x(step)} 0V${HEIGHT}`, "cursor"));
    const told = curves.flatMap(({ name, points }) => points.filter(([at]) => at === step)
      .map(([, value]) => say("point", name(), number(value))));
    readout.textContent = [say("stepN", step), ...told].join(" · ");
  }

  function put(step) {
    read = step === frame.last ? null : step;
    tell();
  }

  drawing.addEventListener("keydown", (event) => {
    const all = frame.steps;
    const at = all.indexOf(read ?? frame.last);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    put(all[Math.min(Math.max(to, 0), all.length - 1)]);
  });
  for (const kind of ["pointermove", "pointerdown"]) {
    drawing.addEventListener(kind, (event) => {
      const box = drawing.getBoundingClientRect();
      put(nearest(frame, ((event.clientX - box.left) / box.width) * WIDTH));
    });
  }
  // Said aloud while somebody reads, not with all that comes in meanwhile.
  drawing.addEventListener("focus", () => readout.setAttribute("aria-live", "polite"));
  drawing.addEventListener("blur", () => readout.removeAttribute("aria-live"));
  return { element, show };
}

// The corners of a drawing that holds all curves, and where in it a step and a value are.
function around(curves) {
  const points = curves.flatMap((curve) => curve.points);
  const steps = [...new Set(points.map(([step]) => step))].sort((a, b) => a - b);
  const [first, last] = [steps[0], steps.at(-1)];
  const [low, high] = wider(least(points, 1), -least(points, -1));
  const [begin, end] = wider(first, last);
  const x = (step) => ((step - begin) / (end - begin)) * WIDTH;
  const y = (value) => ((high - value) / (high - low)) * HEIGHT;
  return { steps, first, last, low, high, x, y };
}

// A range with a margin on both sides; one of a single value has it in its middle.
function wider(low, high) {
  const margin = (high - low) * MARGIN || Math.abs(high) * MARGIN || 1;
  return [low - margin, high + margin];
}

function least(points, sign) {
  return points.reduce((found, [, value]) => Math.min(found, sign * value), Infinity);
}

function nearest(frame, x) {
  const distance = (step) => Math.abs(frame.x(step) - x);
  return frame.steps.reduce((found, step) => (distance(step) < distance(found) ? step : found));
}

function line(points, kind, { x, y }) {
  const way = points.map(([step, value]) => `${x(step).toFixed(1)} ${y(value).toFixed(1)}`);
  const drawn = [path(`M${way.join("L")}`, kind)];
  if (points.length <= FEW) drawn.push(path(way.map((at) => `M${at}h0`).join(""), `${kind} dots`));
  return drawn;
}

function path(way, kind) {
  const drawn = document.createElementNS(SVG, "path");
  attributes(drawn, { d: way, class: kind });
  return drawn;
}

function keyOf({ name }, number) {
  return made("span", `key ${KINDS[number]}`, name());
}

// A number with the five digits that can be told apart.
export const number = (value) => String(Number(value.toPrecision(5)));

export function made(kind, name = "", text = "") {
  const element = document.createElement(kind);
  element.className = name;
  element.textContent = text;
  return element;
}

function attributes(element, values) {
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
}

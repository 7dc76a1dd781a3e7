// One answer while it streams: its text, how it ended, how many tokens; and the buttons for that time.

import { events } from "./api.js";
import { say } from "./words.js";

const element = (id) => document.getElementById(id);
let running = null;

export const isRunning = () => running !== null;

export function stop() {
  running?.abort();
}

// Ask `path` and call `shown(text so far)` as it comes. Gives { text, note, problem }: why it ended, if not
// by itself, and what went wrong.
export async function stream(path, body, shown) {
  let text = "";
  let note = null;
  let problem = null;
  running = new AbortController();
  busy(true);
  try {
    const asked = { ...body, stream_options: { include_usage: true } };
    for await (const event of events(path, asked, running.signal)) {
      const [choice] = event.choices;
      text += choice?.delta?.content ?? choice?.text ?? "";
      if (choice?.finish_reason === "length") note = "length";
      if (event.usage) count(event.usage);
      shown(text);
    }
  } catch (error) {
    if (error.name === "AbortError") note = "stopped";
    else problem = error.message;
  }
  running = null;
  busy(false);
  return { text, note, problem };
}

function count(usage) {
  element("counts").textContent = say("counts", usage.prompt_tokens, usage.completion_tokens);
}

function busy(is) {
  const focused = document.activeElement;
  const [shown, gone] = is ? ["stop", "send"] : ["send", "stop"];
  element(shown).hidden = false;
  element(gone).hidden = true;
  // A button that vanishes must not take the keyboard's place in the page with it.
  if (focused === element(gone)) element(shown).focus();
  if (is) {
    element("counts").textContent = "";
    element("again").hidden = true;
    element("chat-status").textContent = say("answering");
  }
}

// A message of what went wrong, with a button that tries once more.
export function trouble(problem, retry) {
  const place = document.createElement("div");
  place.className = "problem";
  place.setAttribute("role", "alert");
  const words = document.createElement("p");
  words.textContent = problem;
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.say = "retry";
  button.textContent = say("retry");
  button.addEventListener("click", () => { place.remove(); retry(); });
  place.append(words, button);
  return place;
}

// Requests to the server that gave this page. What goes wrong is an ApiProblem with words for people.

import { say } from "./words.js";

const KEY = "groundup-key";

export class ApiProblem extends Error {}

// The JSON that a path answers; with a body it is a POST.
export async function ask(path, body, signal) {
  return (await send(path, body, signal)).json();
}

// The events of a stream, each a JSON object, as they come.
export async function* events(path, body, signal) {
  const response = await send(path, { ...body, stream: true }, signal);
  let isOver = false;
  for await (const line of lines(response.body)) {
    if (!line.startsWith("data: ")) continue;
    const data = line.slice("data: ".length);
    isOver = data === "[DONE]";
    if (isOver) break;
    const event = JSON.parse(data);
    if (event.error) throw new ApiProblem(say("refused") + event.error.message);
    yield event;
  }
  if (!isOver) throw new ApiProblem(say("broken"));
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read().catch(asBroken);
    if (done) return;
    const parts = (held + value).split("\n");
    held = parts.pop();
    yield* parts;
  }
}

function asBroken(error) {
  throw error.name === "AbortError" ? error : new ApiProblem(say("broken"));
}

async function send(path, body, signal) {
  let isWrong = false;
  for (;;) {
    const key = await keyFor(isWrong);
    const headers = { ...(key && { Authorization: `Bearer ${key}` }), "Content-Type": "application/json" };
    const content = body && { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(path, { ...content, headers, signal }).catch(asGone);
    if (response.ok) return response;
    if (response.status !== 401) throw await problem(response);
    if (sessionStorage.getItem(KEY) === key) sessionStorage.removeItem(KEY);
    isWrong = Boolean(key);
  }
}

function asGone(error) {
  throw error.name === "AbortError" ? error : new ApiProblem(say("gone"));
}

async function problem(response) {
  const { error } = await response.json().catch(() => ({ error: { message: response.statusText } }));
  if (response.status === 429) return new ApiProblem(say("busy"));
  if (error.code === "context_length_exceeded") {
    return new ApiProblem(`${say("tooLong")} (${error.message})`);
  }
  return new ApiProblem(say("refused") + error.message);
}

// The key, asked for once for all requests that wait for it.
let asking = null;

async function keyFor(isWrong) {
  if (!("needsKey" in document.body.dataset)) return null;
  const key = sessionStorage.getItem(KEY);
  if (key) return key;
  asking ||= askForKey(isWrong).finally(() => { asking = null; });
  return asking;
}

function askForKey(isWrong) {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key");
  document.getElementById("key-wrong").hidden = !isWrong;
  field.value = "";
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(KEY, field.value);
      resolve(field.value);
    }, { once: true });
  });
}

// One pair at a time; votes stay in the browser until they are downloaded.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const words = {
  en: {
    about: "Read the question and both answers, then choose (keys A, B, T for a tie, ← and →). " +
      "Your votes stay in this browser until you download them; you can close the page and go on later.",
    at: (n, all, done) => `Pair ${n} of ${all}, ${done} voted`,
    A: "A is better", tie: "Tie", B: "B is better", download: "Download the votes", nothing: "(nothing)",
  },
  zh: {
    about: "请阅读问题和两个回答，然后选择（按键 A、B，T 为平局，← 和 → 翻页）。" +
      "投票保存在此浏览器中，下载前不会发送到任何地方；可以关闭页面，以后继续。",
    at: (n, all, done) => `第 ${n} 对，共 ${all} 对，已投 ${done} 票`,
    A: "A 更好", tie: "平局", B: "B 更好", download: "下载投票", nothing: "（无）",
  },
};
const place = "groundup-votes-" + data.page;
const element = (id) => document.getElementById(id);
let votes = {};
let language = navigator.language.startsWith("zh") ? "zh" : "en";
let at = 0;

function load() {
  try {
    votes = JSON.parse(localStorage.getItem(place)) || {};
  } catch {
    votes = {}; // a browser that keeps nothing for pages from the disk
  }
  at = Math.max(0, data.pairs.findIndex((pair) => !(pair.pair in votes)));
}

function show() {
  const pair = data.pairs[at];
  const said = words[language];
  document.documentElement.lang = language;
  element("about").textContent = said.about;
  element("at").textContent = said.at(at + 1, data.pairs.length, Object.keys(votes).length);
  element("question").textContent = pair.question;
  for (const name of ["A", "B"]) element(name).textContent = pair[name] || said.nothing;
  for (const button of document.querySelectorAll("[data-vote]")) {
    button.textContent = said[button.dataset.vote];
    button.classList.toggle("chosen", votes[pair.pair] === button.dataset.vote);
  }
  element("download").textContent = said.download;
}

function move(by) {
  at = Math.min(Math.max(at + by, 0), data.pairs.length - 1);
  show();
}

function vote(choice) {
  votes[data.pairs[at].pair] = choice;
  try {
    localStorage.setItem(place, JSON.stringify(votes));
  } catch {
    // The votes of this visit can still be downloaded.
  }
  move(1);
}

function download() {
  const given = data.pairs.filter((pair) => pair.pair in votes)
    .map((pair) => ({ pair: pair.pair, a: pair.a, vote: votes[pair.pair] }));
  const link = document.createElement("a");
  const content = JSON.stringify({ kind: data.kind, votes: given }, null, 1);
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.download = "votes.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const button of document.querySelectorAll("[data-vote]")) {
  button.addEventListener("click", () => vote(button.dataset.vote));
}
element("back").addEventListener("click", () => move(-1));
element("on").addEventListener("click", () => move(1));
element("download").addEventListener("click", download);
element("language").addEventListener("click", () => {
  language = language === "en" ? "zh" : "en";
  show();
});
document.addEventListener("keydown", (event) => {
  const keys = { a: "A", b: "B", t: "tie" };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.toLowerCase() in keys) vote(keys[event.key.toLowerCase()]);
  if (event.key === "ArrowLeft") move(-1);
  if (event.key === "ArrowRight") move(1);
});
load();
show();

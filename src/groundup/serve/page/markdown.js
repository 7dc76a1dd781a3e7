// A small part of Markdown as elements of the page: code, headings, lists, quotes, bold, italics, links.
// Text only ever becomes the text of an element, so nothing in it can be an element of its own.

const FENCE = /^ {0,3}(```+|~~~+)\s*([^`]*)$/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^>\s?(.*)$/;
// What stands inside a line: code, link, bold, italics. The first that matches wins.
// (None of them can look at a character more than a few times: text may be long and hostile.)
const INLINE = new RegExp([
  "`(?<code>[^`]+)`",
  "!?\\[(?<label>[^\\[\\]]*)\\]\\((?<link>[^\\s()]+)\\)",
  "\\*\\*(?=[^\\s*])(?<bold>[^*]*[^\\s*])\\*\\*",
  "\\*(?=[^\\s*])(?<stars>[^*]*[^\\s*])\\*",
  "(?<![\\p{L}\\p{N}_])_(?=[^\\s_])(?<lines>[^_]*[^\\s_])_(?![\\p{L}\\p{N}_])",
].join("|"), "u");
const DEEPEST = 20;
const SAFE_LINK = /^(https?:\/\/|mailto:)/i;

export function render(text) {
  const out = document.createDocumentFragment();
  blocks(text.split("\n"), out, 0);
  return out;
}

function blocks(lines, out, depth) {
  for (let at = 0; at < lines.length;) {
    const line = lines[at];
    const fence = line.match(FENCE);
    const heading = line.match(HEADING);
    if (fence) at = codeBlock(lines, at + 1, fence[1], out);
    else if (heading) {
      // The page's own headings end at the second level.
      out.append(filled(`h${Math.min(heading[1].length + 2, 6)}`, heading[2]));
      at += 1;
    } else if (ITEM.test(line) && depth < DEEPEST) at = list(lines, at, out, depth + 1);
    else if (QUOTE.test(line) && depth < DEEPEST) at = quote(lines, at, out, depth + 1);
    else if (!line.trim()) at += 1;
    else at = paragraph(lines, at, out);
  }
}

function codeBlock(lines, at, fence, out) {
  const isEnd = (line) => line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "");
  let end = at;
  while (end < lines.length && !isEnd(lines[end])) end += 1;
  const code = document.createElement("code");
  code.textContent = lines.slice(at, end).join("\n");
  const block = document.createElement("pre");
  block.tabIndex = 0; // so that a keyboard can scroll it
  block.append(code);
  out.append(block);
  return end + 1;
}

function list(lines, at, out, depth) {
  const [, indent, mark] = lines[at].match(ITEM);
  const isNumbered = /\d/.test(mark);
  const element = document.createElement(isNumbered ? "ol" : "ul");
  if (isNumbered) element.start = parseInt(mark, 10);
  while (at < lines.length) {
    const item = lines[at].match(ITEM);
    if (!item || item[1].length < indent.length || /\d/.test(item[2]) !== isNumbered) break;
    const inside = [item[3]];
    at += 1;
    while (at < lines.length && belongs(lines[at], indent.length)) inside.push(lines[at++]);
    const entry = document.createElement("li");
    inline(inside[0], entry);
    blocks(inside.slice(1), entry, depth);
    element.append(entry);
  }
  out.append(element);
  return at;
}

// Whether a line goes on with an item of a list that is indented so far.
function belongs(line, indent) {
  return line.trim() !== "" && line.search(/\S/) > indent;
}

function quote(lines, at, out, depth) {
  const inside = [];
  while (at < lines.length && QUOTE.test(lines[at])) inside.push(lines[at++].match(QUOTE)[1]);
  const element = document.createElement("blockquote");
  blocks(inside, element, depth);
  out.append(element);
  return at;
}

function paragraph(lines, at, out) {
  let end = at + 1;
  const goesOn = (line) => line.trim() && ![FENCE, HEADING, ITEM, QUOTE].some((kind) => kind.test(line));
  while (end < lines.length && goesOn(lines[end])) end += 1;
  out.append(filled("p", lines.slice(at, end).join("\n")));
  return end;
}

function filled(name, text) {
  const element = document.createElement(name);
  inline(text, element);
  return element;
}

function inline(text, out) {
  for (let found; (found = text.match(INLINE)); text = text.slice(found.index + found[0].length)) {
    out.append(text.slice(0, found.index), inlineElement(found));
  }
  out.append(text);
}

function inlineElement({ 0: whole, groups }) {
  if (groups.code !== undefined) {
    const code = document.createElement("code");
    code.textContent = groups.code;
    return code;
  }
  if (groups.link !== undefined) return link(groups.label, groups.link, whole);
  return groups.bold !== undefined ? filled("strong", groups.bold) : filled("em", groups.stars ?? groups.lines);
}

function link(label, address, whole) {
  if (!SAFE_LINK.test(address)) return whole;
  const element = document.createElement("a");
  element.href = address;
  element.target = "_blank";
  element.rel = "noopener noreferrer";
  element.textContent = label || address;
  return element;
}

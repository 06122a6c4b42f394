"use strict";
/* What the cards are made of.  No library: the page must come whole out of one C program. */

const $ = (selector, root = document) => root.querySelector(selector);

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") node.className = value;
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const text = { 200: "OK", 206: "Partial Content", 304: "Not Modified", 400: "Bad Request", 404: "Not Found",
  405: "Method Not Allowed", 412: "Precondition Failed", 413: "Content Too Large", 414: "URI Too Long",
  416: "Range Not Satisfiable", 431: "Request Header Fields Too Large" };
const badge = (status) => el("span", { class: "badge s" + Math.floor(status / 100) },
  status ? `${status} ${text[status] || ""}`.trim() : "no answer");

const ms = (value) => value < 10 ? value.toFixed(2) + " ms" : value < 1000 ? value.toFixed(0) + " ms"
  : (value / 1000).toFixed(2) + " s";
const count = (value) => Math.round(value).toLocaleString("en");
function bytes(value) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; value >= 1024 && i < units.length - 1; i++) value /= 1024;
  return (i ? value.toFixed(value < 10 ? 2 : 1) : value) + " " + units[i];
}
const figure = (value, label) => el("div", {}, el("b", {}, value), el("span", {}, label));

/* One request, read to its end: never from the browser's cache. */
async function ask(path, options = {}) {
  const start = performance.now();
  const res = await fetch(path, { cache: "no-store", ...options });
  const body = await res.text();
  return { status: res.status, body, res, ms: performance.now() - start };
}

const quote = (s) => "'" + String(s).replaceAll("'", "'\\''") + "'";
/* The certificate may well be one that only a browser was told to trust. */
const url = (path) => (location.protocol === "https:" ? "-k " : "") + quote(location.origin + path);

function table(head, rows) {
  const cell = (tag) => (value, i) =>
    el(i ? tag : "th", value?.number ? { class: "num" } : {}, value?.number ?? value);
  return el("table", {},
    head ? el("thead", {}, el("tr", {}, ...head.map(cell("th")))) : null,
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell("td"))))));
}
const number = (value) => ({ number: value });

async function copy(button, from) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

function command(article, make, form) {
  const code = el("code", { tabIndex: 0, "aria-label": "The same from a terminal" });
  const button = el("button", { type: "button", "aria-label": "Copy the command" }, "Copy");
  const show = () => { code.textContent = make(form ? form.elements : {}); };
  button.onclick = () => copy(button, code);
  form?.addEventListener("input", show);
  show();
  article.append(el("div", { class: "cmd" }, code, button));
}

/* A card runs once by itself when it comes into view, and then whenever somebody presses its button.
 * run(fields, show): show() puts nodes in place of what was shown. */
const waiting = new Map();
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    queue = queue.then(waiting.get(target));
  }
}, { threshold: 0.35 });
let queue = Promise.resolve();

function card(id, { curl, run, auto = true }) {
  const article = document.getElementById(id);
  const form = $("form", article);
  const out = $(".out", article);
  const main = form && $("button:not([type])", form);
  const show = (...nodes) => out.replaceChildren(...nodes);
  const go = async () => {
    if (main?.disabled) return;
    if (main) main.disabled = true;
    try {
      await run(form?.elements, show, article);
      out.setAttribute("aria-live", "polite"); /* from the second time on: the first was not asked for */
    } catch (e) {
      show(el("p", { class: "bad" }, e.name === "TypeError" ? "The server cannot be reached." : String(e)));
    }
    if (main) main.disabled = false;
  };
  form?.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  command(article, curl, form);
  if (!auto) return;
  waiting.set(article, go);
  seen.observe(article);
}

/* ---- Colours: as the system has them, light, dark ------------------------------ */
{
  const modes = ["auto", "light", "dark"];
  const button = $("#theme");
  const set = (mode) => {
    if (mode === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = mode;
    button.textContent = { auto: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[mode];
    button.setAttribute("aria-label", "Colours: " + (mode === "auto" ? "as the system has them" : mode));
    button.onclick = () => set(modes[(modes.indexOf(mode) + 1) % modes.length]);
    try { localStorage.setItem("theme", mode); } catch { /* a browser may forbid it */ }
  };
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* as above */ }
  set(modes.includes(kept) ? kept : "auto");
}

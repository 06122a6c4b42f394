// SPDX-License-Identifier: MIT
//
// The showcase's page as people use it, driven by playwright-core, for tests/integration/test_playwright.py:
//
//   page.js CHROMIUM PROTOCOL ORIGIN SPKI MS
//
// Two visitors open ORIGIN, which has to come over PROTOCOL as the page itself says ("h3, TLSv1.3"); the certificate
// is believed by its key's hash, SPKI.  Nothing takes longer than MS.  Over HTTP/1.1 it says "restart" at the end and
// waits for a line: by then another server has to be at that address.  Then it says "stop" and waits until that one has
// ended, before its visitors have.  "all good" at last, or what is not.
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [executablePath, protocol, origin, spki, ms] = process.argv.slice(2);
const h3 = protocol.startsWith("h3");
const args = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", `--ignore-certificate-errors-spki-list=${spki}`,
  ...(h3 ? ["--enable-quic", `--origin-to-force-quic-on=${new URL(origin).host}`] : ["--disable-quic"])];

function expect(what, is, wanted) {
  if (is !== wanted) throw new Error(`${what} is ${is}, not ${wanted}`);
}

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function tell(what) {
  console.log(what);
  await answers.next();
}

const out = (page, card) => page.locator(`#${card} .out`);
const has = (page, card, text) => out(page, card).filter({ hasText: text }).waitFor();

// What one says is heard by the other, each in turn.
async function chat(a, b) {
  await has(a, "chat", "connected by");
  await has(b, "chat", "connected by");
  for (const [from, to, text] of [[a, b, "good morning <b>"], [b, a, "and to you"]]) {
    await from.fill("#chat input[name=said]", text);
    await from.click("#chat button");
    await has(to, "chat", text);
  }
  expect("what was said, as markup", await out(b, "chat").locator("b").count(), 0);
}

// It goes on by itself, and counts both of them.
async function ticker(page) {
  await has(page, "ticks", "seconds up");
  const before = await out(page, "ticks").innerText();
  await page.waitForFunction(([was]) => {
    const now = document.querySelector("#ticks .out").innerText;
    return now !== was && /^2$/m.test(now);
  }, [before]);
}

async function session(page) {
  await has(page, "session", "20 of 20 streams came back");
  await page.fill("#session input[name=n]", "7");
  await page.click("#session button");
  await has(page, "session", "7 of 7 streams came back");
}

// The server ends, and the ticker is back by itself. (How the browser asks again no tool is told: that it says what it
// has heard last is seen in test_events.py, where nothing is missing.)
async function restart(page) {
  await tell("restart");
  await page.evaluate(() => document.querySelector("#ticks .out").replaceChildren("the other server"));
  await has(page, "ticks", "seconds up");
}

// Of what a page complains of, answers of 400 and more are what some cards are about, and WebTransport is of HTTP/3.
function watch(page) {
  page.broken = [];
  page.on("pageerror", (e) => page.broken.push(String(e)));
  page.on("requestfailed", (r) => page.broken.push(`${r.url()}: ${r.failure().errorText}`));
  page.on("console", (m) => {
    const wanted = /the server responded with a status of 4/.test(m.text()) || (!h3 && m.text().includes("/session: "));
    if (m.type() === "error" && !wanted) page.broken.push(m.text());
  });
}

async function visit(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(Number(ms));
  watch(page);
  await page.goto(origin);
  await page.locator("#t-protocol", { hasText: protocol }).waitFor();
  expect("the protocol", await page.locator("#t-protocol").innerText(), protocol);
  for (const card of ["chat", "ticks", ...(h3 ? ["session"] : [])]) await page.locator("#" + card).scrollIntoViewIfNeeded();
  return page;
}

async function main() {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "page-"));
  // Cards run by themselves as they come into view, one after the other: few do, so that none waits for the slow ones.
  const viewport = { width: 1280, height: 700 };
  const browser = await chromium.launchPersistentContext(profile, { executablePath, args, viewport, timeout: Number(ms) });
  try {
    const a = await visit(browser);
    const b = await visit(browser);
    await chat(a, b);
    await ticker(b);
    if (h3) await session(b);
    expect("what broke", JSON.stringify([...a.broken, ...b.broken]), "[]");
    if (protocol === "http/1.1") await restart(b);
    await tell("stop");
  } finally {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
  process.stdout.write("all good\n", () => process.exit(0));
}

main().catch((e) => {
  console.log(String(e.stack));
  // Whoever holds our input open need not know.
  process.exit(1);
});

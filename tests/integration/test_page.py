# SPDX-License-Identifier: MIT
"""The showcase's page in a real browser: each of its cards shows what it promises.

Chromium is driven through its debugging pipe: JSON messages, a NUL after each.
"""
import json
import os
import select
import shutil
import subprocess
import time

import pytest

import servers
from wire import PATIENCE, SAN

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "examples")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--window-size=1280,6000", "--remote-debugging-pipe"]
#: All cards run by themselves, one after the other; the longest take two seconds.
PAGE_S = 40 * PATIENCE

#: What each card's output has when it is done, and the statuses that it shows, in order.
CARDS = {
    "roundtrip": (["Hello, World!", "text/plain", "a second"], [200]),
    "inspect": (["/inspect/caf%C3%A9%20menu/a%2Fb", "/inspect/café menu/a%2Fb", "size=2&hot",
                 "header fields"], []),
    "users": (["user 42", "user 18446744073709551615", "no route"], [200, 200, 404, 404, 404]),
    "echo": (["the same", "every byte the same"], [200, 200]),
    "stream": (["20 pieces in"], []),
    "upload": (["8.00 MiB", "The same SHA-256 as the browser's own"], [200]),
    "slow": (["waiting done in"], [200] * 5),
    "chat": (["connected by http/1.1, 1 here", "Hello from this page"], []),
    "session": (["WebTransport"], []),
    "ticks": (["seconds up", "1in the chat"], []),
    "static": (["text/plain", "bytes 0-99/", "bytes */"], [200, 200, 304, 304, 206, 416, 404]),
    "wrong": (["Allow: GET, HEAD, OPTIONS", "about:blank"], [404, 405, 400, 400, 400, 414, 431]),
    "metrics": (["GET /plaintext", "GET /users/{id:u64}"], []),
}


class Browser:
    """One page of a headless Chromium, with more flags."""

    def __init__(self, profile, *flags):
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        if not path:
            pytest.skip("chromium is not installed")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def wire_up():
            # Its pipe is descriptors 3 and 4, wherever ours happen to be.
            got, put = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(got, 3)
            os.dup2(put, 4)

        self.proc = subprocess.Popen([path, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"],
                                     preexec_fn=wire_up, close_fds=False, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._read, self._id, self.events = b"", 0, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    session = None

    def _message(self, deadline):
        while b"\0" not in self._read:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self._in], [], [], left)[0], "chromium says nothing"
            data = os.read(self._in, 1 << 16)
            assert data, "chromium has ended"
            self._read += data
        text, self._read = self._read.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            got = self._message(deadline)
            if got.get("id") == self._id:
                assert "error" not in got, got
                return got["result"]
            self.events.append(got)

    def evaluate(self, script):
        r = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in r, r
        return r["result"].get("value")

    def close(self):
        self.proc.terminate()
        try:
            self.proc.wait(10 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        os.close(self._in)
        os.close(self._out)


#: Nothing before the page is there: cards without their parts are not what is looked for.
OUTPUTS = """document.readyState !== "complete" ? {} : Object.fromEntries([...document.querySelectorAll("article")].map((card) => [card.id, {
    text: card.querySelector(".out").textContent,
    badges: [...card.querySelectorAll(".out .badge")].map((badge) => parseInt(badge.textContent)),
    bad: [...card.querySelectorAll(".bad")].map((node) => node.textContent),
    command: card.querySelector(".cmd code").textContent }]))"""


SIZES = """({ width: document.documentElement.scrollWidth, cards: Object.fromEntries(
    [...document.querySelectorAll("article")].map((card) => [card.id, card.offsetHeight])) })"""


def done(outputs):
    return all(all(word in outputs[card]["text"] for word in words) and
               len(outputs[card]["badges"]) >= len(badges)
               for card, (words, badges) in CARDS.items())


def complaints(events):
    """Exceptions and refusals of the content security policy; not the 4xx that are wanted."""
    for e in events:
        entry = e.get("params", {}).get("entry", {})
        if e.get("method") == "Runtime.exceptionThrown" or \
                (entry.get("level") == "error" and entry.get("source") != "network"):
            yield e["params"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """What the cards show in the end, and what the browser had to say about the page."""
    with servers.showcase(EXAMPLES) as s:
        browser = Browser(tmp_path_factory.mktemp("chromium"))
        try:
            browser.call("Page.navigate", url="http://%s:%d/" % s.addr)
            outputs, deadline = {}, time.monotonic() + PAGE_S
            while time.monotonic() < deadline:
                time.sleep(0.2)
                outputs = browser.evaluate(OUTPUTS)
                if set(CARDS) <= set(outputs) and done(outputs):
                    break
            browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
            yield outputs, list(complaints(browser.events)), browser.evaluate(SIZES)
        finally:
            browser.close()


pytestmark = pytest.mark.skipif(bool(SAN), reason="the browser is the slow part, and is the same")


@pytest.mark.parametrize("card", CARDS)
def test_card(page, card):
    words, badges = CARDS[card]
    shown = page[0][card]
    assert [word for word in words if word not in shown["text"]] == [], shown
    assert shown["badges"] == badges and shown["bad"] == [], shown
    assert shown["command"].startswith(("curl ", "for ", "python3 -m websockets ", "chromium "))
    assert "://127.0.0.1:" in shown["command"]


def test_every_card_is_known(page):
    assert set(page[0]) == set(CARDS)


def test_no_complaints(page):
    assert page[1] == []


def test_fits_a_phone(page):
    """Nothing is wider than the screen, and no table so narrow that its words are broken into letters."""
    assert page[2]["width"] <= 390
    assert {card: height for card, height in page[2]["cards"].items() if height > 1200} == {}

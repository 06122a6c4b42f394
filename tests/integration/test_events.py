# SPDX-License-Identifier: MIT
"""Server-Sent Events (tests/programs/events.c) over every way to carry them."""
import time

import pytest

import eventwire
import servers
from eventwire import Events
from h2wire import H2
from h3wire import H3
from test_page import Browser
from wire import PATIENCE, Wire, eventually


@pytest.fixture(scope="module", params=eventwire.WAYS_AND_H3)
def server(request):
    with eventwire.serve(request.param) as s:
        s.way = request.param
        yield s


def said(server):
    with Wire(server.addr) as w:
        return w.get("/said").body.decode()


def test_head_and_events(server):
    with Events(server.addr, server.way, "/ticks?n=5") as s:
        assert s.head.status == 200
        assert s.field("Content-Type") == "text/event-stream"
        assert s.field("Cache-Control") == "no-store"
        assert s.field("X-Accel-Buffering") == "no"
        assert s.field("Content-Length") is None and s.field("Connection") is None
        assert s.to_end() == [("tick", str(i), str(i)) for i in range(1, 6)]
        assert s.retry == 50


def test_last_event_id(server):
    with Events(server.addr, server.way, "/ticks?n=2", "Last-Event-ID: 41",
                "Accept: text/event-stream") as s:
        assert [e[2] for e in s.to_end()] == ["42", "43"]


def test_each_event_leaves_when_it_is_sent(server):
    with Events(server.addr, server.way, "/ticks?n=3&ms=60000") as s:
        assert s.count(1) == [("tick", "1", "1")]


def test_comments_in_silence(server):
    with Events(server.addr, server.way, "/silent?keepalive=20") as s:
        s.until(lambda s: s.comments >= 3)
        assert not s.events
    eventually(lambda: said(server) == "silent closed ECLOSED")


def test_client_that_leaves(server):
    with Events(server.addr, server.way, "/silent") as s:
        assert s.head.status == 200
    eventually(lambda: said(server) == "silent closed ECLOSED")


def test_head_request(server):
    if server.way == "h2":
        with H2(server.addr) as h:
            r = h.get(1, "/silent", method="HEAD")
            assert r.status == 200 and r.ended and not r.body
    elif server.way == "h3":
        with H3(server.addr) as h:
            r = h.get("/silent", method="HEAD")
            assert r.status == 200 and r.ended and not r.body
    else:
        with Wire(server.addr) as w:
            r = w.get("/silent", method="HEAD")
            assert r.status == 200 and r.get("Content-Type") == "text/event-stream"
            w.assert_open()
    eventually(lambda: said(server) == "silent closed OK")


def test_not_acceptable(server):
    with Events(server.addr, server.way, "/silent", "Accept: text/html") as s:
        assert s.head.status == 406


@pytest.mark.parametrize("policy,code", [(0, "ETOOBIG"), (1, "EBUSY")])
def test_a_client_that_does_not_read(server, policy, code):
    """What it costs is bounded by max_queue_bytes and the kernel's buffers; then the policy decides."""
    with Events(server.addr, server.way, f"/flood?policy={policy}&max=65536", rcvbuf=4096):
        if policy == 0:
            # The connection ends when the peer has taken what is left, or is cut.
            eventually(lambda: code in said(server), 20 * PATIENCE)
        else:
            eventually(lambda: said(server) == f"flood {code}", 20 * PATIENCE)
    if policy == 0:
        eventually(lambda: "closed ETOOBIG" in said(server))


@pytest.mark.parametrize("way", eventwire.WAYS_AND_H3)
def test_drain(way):
    """The end is an orderly one, soon, and nothing is cut."""
    with eventwire.serve(way) as server:
        streams = [Events(server.addr, way, "/ticks?n=1000000&ms=20") for _ in range(5)]
        try:
            for s in streams:
                s.count(2)
            start = time.monotonic()
            server.signal()
            for s in streams:
                events = s.to_end()
                assert [int(e[2]) for e in events] == list(range(1, len(events) + 1))
            assert server.wait() == 0
            assert time.monotonic() - start < 5 * PATIENCE
        finally:
            for s in streams:
                s.close()
        server.assert_clean()


def test_half_closed():
    """Who says that he will say no more has, as a browser that goes, stopped listening."""
    with eventwire.serve("h1") as server, Events(server.addr, "h1", "/silent") as s:
        s.wire.finish()
        assert s.to_end() == []
        eventually(lambda: said(server) == "silent closed ECLOSED")


def test_http10():
    """Without chunks the end of the connection is the stream's."""
    with eventwire.serve("h1") as server, Wire(server.addr) as w:
        w.send(b"GET /ticks?n=2 HTTP/1.0\r\nHost: t\r\n\r\n")
        r = w.response()
        assert r.framing == "close" and r.body.count(b"event: tick\n") == 2


def test_browser_reconnects_across_a_restart(tmp_path):
    """Chromium's EventSource: the server ends, another takes its port, and no event is missing or twice."""
    addr = ("127.0.0.1", servers.free_port())

    def start():
        return servers.Server([servers.program("tests/programs/events"), "listen=%s:%d" % addr], addr,
                              ready_path="/healthz")

    first = start()
    browser = Browser(tmp_path)
    try:
        browser.call("Page.navigate", url="http://%s:%d/healthz" % addr)
        eventually(lambda: browser.evaluate("document.body && document.body.textContent") == "fine")
        browser.evaluate("""window.seen = []; window.opened = 0;
            const source = new EventSource("/ticks?n=1000000&ms=20");
            source.onopen = () => { window.opened++ };
            source.addEventListener("tick", (e) => window.seen.push([e.data, e.lastEventId])); 0""")
        eventually(lambda: len(browser.evaluate("window.seen")) >= 5, 10 * PATIENCE)
        first.stop()
        before = len(browser.evaluate("window.seen"))
        with start():
            eventually(lambda: len(browser.evaluate("window.seen")) >= before + 5, 20 * PATIENCE)
            seen = browser.evaluate("window.seen")
            assert seen == [[str(i), str(i)] for i in range(1, len(seen) + 1)]
            assert browser.evaluate("window.opened") == 2
            browser.close()
    finally:
        if browser.proc.poll() is None:
            browser.close()
        first.kill()


def test_the_example():
    """A client that was away gets what it missed, then what comes."""
    addr = ("127.0.0.1", servers.free_port())
    with servers.Server([servers.program("examples/sse"), "%s:%d" % addr], addr, ready_path="/") as s:
        with Events(s.addr, "h1", "/ticks") as e:
            last = int(e.count(2)[1][2])
        with Events(s.addr, "h1", "/ticks", f"Last-Event-ID: {last - 1}") as e:
            assert int(e.count(2)[0][1]) == last

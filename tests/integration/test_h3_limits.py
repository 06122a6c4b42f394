# SPDX-License-Identifier: MIT
"""Slow and greedy clients over HTTP/3: what test_limits.py demands of heads, bodies, clocks and rates, of streams.

Of test_limits.py what knows no bytes of HTTP/1.1 is run as it is.  The rest of it is about TCP: connections
without a byte, empty lines, keep-alive, lingering, descriptors, addresses (those of UDP are quic_test's), settings.
"""
import time

import pytest

import test_limits
from h3wire import H3, H3Wire, REQUEST_CANCELLED, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from servers import knobs, stats
from test_limits import (BODY_S, SLACK_S, UNIT_S, WRITE_S, IDLE_S, assert_took, hasty,  # noqa: F401
                         test_no_idle_timeout_while_a_handler_works, test_server_header,
                         test_streamed_bodies_have_no_limit_by_default)
from wire import eventually, on_time

#: Nobody may be stopped for longer than that: a connection without a request ends by itself.
LIMIT_S = 0.8 * IDLE_S


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_limits)


def begin(c, method, path, *fields):
    """A request whose body is to come."""
    return c.ask(c.basic(method, path) + list(fields), end=False)


def comes_back(c, stream, n):
    """So many bytes of what was sent have, or none will."""
    r = c.responses[stream]
    deadline = time.monotonic() + c.timeout
    while not r.over and len(r.body) < n:
        assert c.next(deadline) is not None, f"the connection ended: {c.end}; {r}"


def waited(tick, since, least):
    """What was to take so long has not taken much longer."""
    tick(first=time.monotonic() - since < least + LIMIT_S)


# ---- Time-outs ------------------------------------------------------------------


@pytest.mark.parametrize("path,fields", [("/whole", [("content-length", "100")]), ("/sink", [])])
def test_stalled_body(hasty, path, fields):  # noqa: F811
    def attempt(tick):
        with H3(hasty.addr) as c:
            stream = begin(c, "POST", path, *fields)
            c.data(stream, b"hello", end=False)
            since = time.monotonic()
            tick()
            assert c.response(stream).status == 408
            assert_took(since, BODY_S)
            waited(tick, since, BODY_S)
            # It is its own stream's end and nobody else's.
            assert c.get("/hello").status == 200

    on_time(LIMIT_S, attempt)


def test_body_that_flows_slowly(hasty):  # noqa: F811
    """The time-out is for silence: what keeps coming may take longer than it."""
    def attempt(tick):
        with H3(hasty.addr) as c:
            stream = begin(c, "POST", "/echo")
            for i in range(8):
                time.sleep(BODY_S / 5)
                c.data(stream, b"x", end=i == 7)
                comes_back(c, stream, i + 1)
                tick()
            assert c.response(stream).body == b"x" * 8

    on_time(LIMIT_S, attempt)


def test_stalled_body_nobody_asked_for(hasty):  # noqa: F811
    """The answer is there already; its client is told to stop, and a client of HTTP/3 does."""
    with H3(hasty.addr) as c:
        stream = begin(c, "POST", "/ignore", ("content-length", "100"))
        c.data(stream, b"x", end=False)
        r = c.response(stream)
        assert r.ended and r.status == 200
        c.until(lambda kind: r.closed is not None)
        assert c.get("/hello").status == 200


@pytest.mark.parametrize("path", ["/big?bytes=100000000", "/flood?bytes=100000000"])
def test_reader_that_does_not_read(hasty, path):  # noqa: F811
    def attempt(tick):
        with H3(hasty.addr, window=65536) as c:
            before = stats(hasty)["timeouts"]
            since = time.monotonic()
            stream = c.ask(c.basic(path=path))
            tick()
            eventually(lambda: stats(hasty)["timeouts"] > before, WRITE_S + SLACK_S)
            assert_took(since, WRITE_S)
            waited(tick, since, WRITE_S)
            r = c.response(stream)
            assert not r.ended and r.reset == REQUEST_CANCELLED and len(r.body) < 100000000
            assert c.get("/hello").status == 200

    on_time(LIMIT_S, attempt)


def test_reader_that_is_slow(hasty):  # noqa: F811
    """… but does read, is not cut by the clocks of heads and idleness."""
    def attempt(tick):
        with H3(hasty.addr, window=65536) as c:
            stream = c.ask(c.basic(path="/big?bytes=5000000"))
            r = c.responses[stream]
            since = time.monotonic()
            for part in range(1, 10):
                c.until(lambda kind, part=part: r.over or sum(map(len, r.parts)) >= part * 500000)
                time.sleep(UNIT_S)
                tick()
            assert time.monotonic() - since > 2 * IDLE_S
            assert c.response(stream).ended and len(r.body) == 5000000

    on_time(LIMIT_S, attempt)


def test_min_rate_of_a_request_body():
    def attempt(tick):
        with H3(s.addr) as c:
            slow, quick = begin(c, "POST", "/sink"), begin(c, "POST", "/echo")
            since = time.monotonic()
            for i in range(60):
                c.data(quick, b"x" * 200, end=i == 59)
                if not c.responses[slow].over:
                    c.data(slow, b"x" * 10, end=False)
                    until = time.monotonic()
                comes_back(c, quick, 200 * (i + 1))
                tick()
                time.sleep(0.02)
            assert c.response(slow).status == 408
            assert until - since > 0.25
            assert c.response(quick).body == b"x" * 12000

    with knobs(min_rate_bytes=2000, min_rate_grace_ms=300, body_timeout_ms=5000) as s:
        on_time(0.1, attempt)



# ---- Heads and bodies that are too large ---------------------------------------------------------


def test_head_limits_are_knobs():
    with knobs(h3_max_header_list_bytes=1000, max_line_bytes=100, max_header_count=5) as s, H3(s.addr) as c:
        path = "/hello?" + "q" * (100 - len("/hello?"))
        assert c.get(path).status == 200
        assert c.get(path + "q").status == 414
        fields = [(f"x-{i}", "y") for i in range(6)]
        assert c.get("/hello", *fields[:5]).status == 200
        assert c.get("/hello", *fields).status == 431
        # RFC 9114 section 4.2.2: name, value, and 32 bytes each.
        room = 1000 - sum(len(n) + len(v) + 32 for n, v in c.basic()) - len("x") - 32
        assert c.get("/hello", ("x", "v" * room)).status == 200
        assert c.get("/hello", ("x", "v" * (room + 1))).status == 431


def test_body_limit():
    """By Content-Length before a byte of it, and by its bytes where nothing was said."""
    with knobs(max_body_bytes=1000) as s, H3(s.addr) as c:
        for n in (1001, 100000000):
            r = c.response(begin(c, "POST", "/whole", ("content-length", str(n)), ("expect", "100-continue")))
            assert r.status == 413 and r.interim == []
        for n, status in (1000, 200), (1001, 413):
            stream = begin(c, "POST", "/whole")
            for i in range(0, n, 100):
                c.data(stream, b"x" * min(100, n - i), end=i + 100 >= n)
            r = c.response(stream)
            assert r.status == status and (status == 413 or r.body == b"1000\n")
        assert c.get("/hello").status == 200

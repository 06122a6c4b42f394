# SPDX-License-Identifier: MIT
"""What the showcase is asked for by clients and benchmarks without its page: /ws, which says everything back,
and /events, as many as are wanted."""
import pytest

import servers
from eventwire import Parser
from wire import Wire, request
from wswire import BINARY, DEFLATE, PING, PONG, TEXT, WS, frame

SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]


@servers.not_byte_by_byte
@servers.not_sent_in_bits
@pytest.mark.parametrize("op", [TEXT, BINARY])
def test_websockets_say_back(showcase, op):
    with WS(showcase.addr, "/ws") as w:
        for n in SIZES:
            assert w.ask(op, b"x" * n) == (op, b"x" * n)
        w.send(frame(PING, b"p"))
        assert w.event() == (PONG, b"p")
        w.goodbye()


def test_compressed_websockets(showcase):
    with WS(showcase.addr, "/ws", offer=DEFLATE) as w:
        assert w.deflate
        assert w.ask(TEXT, b"again " * 100) == (TEXT, b"again " * 100)
        w.goodbye()


def test_plain_request_of_the_websockets(showcase):
    with showcase.connect() as w:
        assert w.get("/ws").status == 426


def stream(showcase, target, *fields):
    """The numbers that come, and that the stream ends in order behind them."""
    with Wire(showcase.addr) as w:
        w.send(request("GET", target, "Accept: text/event-stream", *fields))
        r = w.response()
        assert r.status == 200 and r.get("Content-Type") == "text/event-stream"
        p = Parser()
        p.feed(r.body)
        assert p.rest == b"" and all(kind == "message" and data == last for kind, data, last in p.events)
        return [int(data) for _, data, _ in p.events]


@servers.not_sent_in_bits
@pytest.mark.parametrize("target,n", [("/events", 10), ("/events?n=1", 1), ("/events?n=10000", 10000)])
def test_events(showcase, target, n):
    assert stream(showcase, target) == list(range(1, n + 1))


@pytest.mark.parametrize("seen,want", [("3", [4, 5]), ("0", [1, 2, 3, 4, 5]), ("x", [1, 2, 3, 4, 5])])
def test_events_go_on(showcase, seen, want):
    assert stream(showcase, "/events?n=5", f"Last-Event-ID: {seen}") == want


@pytest.mark.parametrize("target,fields,status", [
    ("/events?n=0", (), 204), ("/events?n=5", ("Last-Event-ID: 5",), 204), ("/events?n=5", ("Last-Event-ID: 6",), 204),
    ("/events?n=10001", (), 400), ("/events?n=-1", (), 400), ("/events?n=", (), 400),
    ("/events?n=1", ("Accept: text/html",), 406)])
def test_no_events(showcase, target, fields, status):
    with showcase.connect() as w:
        assert w.get(target, *fields).status == status
        w.assert_open("/healthz")

# SPDX-License-Identifier: MIT
"""test_exchange.py once more over HTTP/3: what handlers can do with an exchange, with the same requests and the same answers."""
import pytest

import test_exchange
from h3wire import H3, INTERNAL_ERROR, H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_exchange import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import
from wire import eventually


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_exchange)


@pytest.fixture
def w(server):
    with H3Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes; most are below as HTTP/3 has them.
del test_no_inform_for_http10
del test_trailers_are_dropped_where_none_can_be
del test_peer_that_left_before_the_answer
del test_fewer_bytes_than_announced_cut_the_connection
del test_error_after_the_head_cuts_the_response
del test_file_shorter_than_announced_cuts_the_connection
del test_client_that_leaves_within_a_file
del test_client_that_leaves_within_a_stream
del test_continue_comes_when_the_body_is_asked_for
del test_body_too_large_asked_for_later
del test_answer_before_the_body_has_ended
del test_malformed_multipart
del test_trailers
del test_peer_that_closes_in_order


def test_trailers_come_as_such(server):
    with H3(server.addr) as c:
        r = c.get("/trailers")
        assert r.ended and r.body == b"helloworld" and r.trailers == [("x-sum", "42")]


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_client_that_left_before_the_answer(server, leave):
    """The deferral outlives its stream, and is told so."""
    before = test_exchange.counters(server)
    with H3(server.addr) as c:
        stream = c.ask(c.basic(path="/thread?ms=200"))
        # Streams are taken in the order in which they begin.
        assert c.get("/hello").status == 200
        if leave == "reset":
            c.reset(stream)
            assert c.get("/hello").status == 200
    d = eventually(lambda: (lambda x: x if "closed_seen" in x and "ended_badly" in x else None)(
        test_exchange.delta(server, before)))
    assert d == {"closed_seen": 1, "ended_badly": 1, "aborted": 1}


@pytest.mark.parametrize("path", ["/announced?bytes=4", "/cut", "/file?from=4194300&bytes=100"])
def test_response_that_is_not_whole_is_reset(server, path):
    with H3(server.addr) as c:
        fds = server.fd_count()
        r = c.get(path)
        assert not r.ended and (r.reset == INTERNAL_ERROR or r.status >= 400), r
        assert c.get("/hello").body == b"hello\n"
        eventually(lambda: server.fd_count() <= fds)


@pytest.mark.parametrize("path", ["/drain?blocks=5000", "/file?from=0&bytes=4194304"])
def test_stream_that_is_given_up(server, path):
    """Every done callback runs, also for what was never sent; the connection goes on."""
    before = test_exchange.counters(server)
    with H3(server.addr, window=65536) as c:
        fds = server.fd_count()
        stream = c.ask(c.basic(path=path))
        c.until(lambda kind: kind == "d")
        c.reset(stream)
        c.until(lambda kind: c.responses[stream].over)
        assert c.get("/hello").status == 200
        eventually(lambda: server.fd_count() <= fds)
    if path.startswith("/drain"):
        d = eventually(lambda: (lambda x: x if "ended_badly" in x else None)(test_exchange.delta(server, before)))
        assert d["ended_badly"] == 1 and d["aborted"] == 1 and 1 <= d["done_calls"] < 5000


def test_continue_when_the_body_is_asked_for(server):
    with H3(server.addr) as c:
        stream = c.ask(c.basic("POST", "/late-body") + [("content-length", "5"), ("expect", "100-continue")], end=False)
        c.until(lambda kind: c.responses[stream].interim)
        assert [status for status, _ in c.responses[stream].interim] == [100]
        c.data(stream, b"hello")
        assert c.response(stream).body == b"5\n"


def test_body_that_is_too_large(server):
    with H3(server.addr) as c:
        stream = c.ask(c.basic("POST", "/late-body") + [("content-length", "1048577")], end=False)
        assert c.response(stream).status == 413
        assert c.get("/hello").status == 200


def test_answer_comes_before_the_body(server):
    with H3(server.addr) as c:
        stream = c.ask(c.basic("POST", "/early"), end=False)
        c.data(stream, b"x", end=False)
        assert c.response(stream).body == b"early\n"
        c.data(stream, b"y" * 100000)
        assert c.get("/hello").body == b"hello\n"


def test_address_that_changes_half_way(server, content):
    """As behind a NAT that has forgotten: the body goes on as soon as the server hears of the new one."""
    with H3(server.addr, window=65536) as c:
        stream = c.ask(c.basic(path="/file?from=0&bytes=4194304"))
        r = c.responses[stream]
        for _ in range(3):
            parts = len(r.parts)
            c.until(lambda kind: len(r.parts) > parts + 20)
            assert not r.over
            c.move()
            again = c.ask(c.basic())
        assert c.response(stream).body == content.read_bytes()
        assert c.response(again).body == b"hello\n"

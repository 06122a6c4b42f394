# SPDX-License-Identifier: MIT
"""HTTP/2 as an attacker speaks it.  Each attack must end its own connection, or its own stream, soon;
each time the server goes on serving everybody else.
"""
import struct
import time

import pytest

import servers
from h2wire import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
                    GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PING, PREFACE, PRIORITY,
                    PRIORITY_UPDATE, RST_STREAM, SETTINGS, WINDOW_UPDATE, ACK, frame, settings)
from wire import PATIENCE, SAN, TIMEOUT_S


@pytest.fixture(scope="module")
def server():
    with servers.knobs() as s:
        yield s


def serves(server):
    with H2(server.addr) as c:
        assert c.get(1).status == 200


def flood(c, one, count, piece=64):
    """Send one(i) for each i until the server has had enough; how many it took."""
    sent = 0
    try:
        while sent < count:
            c.send(b"".join(one(i) for i in range(sent, min(sent + piece, count))))
            sent += piece
    except OSError:
        pass
    return sent


def paced_flood(c, one, count, piece=16):
    """As flood(), each piece looked at before the next comes: however slow the server is, what it
    counts is what came of the frames, and never first how many of them lay in one read."""
    for sent in range(0, count, piece):
        mark = struct.pack(">Q", sent)
        try:
            c.send(b"".join(one(i) for i in range(sent, sent + piece)) + frame(PING, 0, 0, mark))
        except OSError:
            return
        if not c.until(lambda f: f.kind == PING and f.flags & ACK and f.payload == mark):
            return


def calmed(c, what):
    """ENHANCE_YOUR_CALM that says of what, then the end."""
    goaway = c.ended()
    assert goaway, c.frames[-3:]
    assert goaway.code == ENHANCE_YOUR_CALM, (goaway.code, goaway.debug)
    assert what in goaway.debug, goaway.debug


# ---- Frames that bring nothing -----------------------------------------------------------------

FLOODS = {
    "SETTINGS": (lambda i: settings((INITIAL_WINDOW_SIZE, 65535 + i % 2)), "SETTINGS"),
    "empty SETTINGS": (lambda i: settings(), "SETTINGS"),
    "SETTINGS ACK": (lambda i: frame(SETTINGS, ACK), None),
    "PING": (lambda i: frame(PING, 0, 0, struct.pack(">Q", i)), "PING"),
    "PING ACK": (lambda i: frame(PING, ACK, 0, bytes(8)), "PING"),
    "PRIORITY": (lambda i: frame(PRIORITY, 0, 1 + 2 * i, bytes(5)), "PRIORITY"),
    "PRIORITY_UPDATE": (lambda i: frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1"), "unknown"),
    "WINDOW_UPDATE": (lambda i: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), "WINDOW_UPDATE"),
    "unknown frames": (lambda i: frame(0xbe, 0, 0, b"x"), "unknown"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_flood(server, name):
    one, what = FLOODS[name]
    with H2(server.addr) as c:
        flood(c, one, 3000)
        if what:
            calmed(c, what)
        else:
            assert c.ended().code in (ENHANCE_YOUR_CALM, 1)
    serves(server)


@pytest.mark.parametrize("payload,flags", [(b"", 0), (b"\x05" + bytes(5), 8), (b"\xfa" + bytes(250), 8)],
                         ids=["empty", "padding", "much padding"])
def test_empty_data_flood(server, payload, flags):
    with H2(server.addr) as c:
        c.headers(1, c.basic("POST", "/sink"), END_HEADERS)
        flood(c, lambda i: frame(DATA, flags, 1, payload), 3000)
        calmed(c, "DATA")
    serves(server)


def test_flood_that_nobody_reads_the_answers_of(server):
    """What the server has to say is bounded by what it lets a peer ask for."""
    before = server.rss_kib()
    peers = [H2(server.addr, rcvbuf=2048) for _ in range(20)]
    for c in peers:
        flood(c, lambda i: frame(PING, 0, 0, bytes(8)), 3000)
    serves(server)
    if not SAN:
        assert server.rss_kib() - before < 8 << 10
    for c in peers:
        c.close()


def test_ordinary_control_frames_are_no_flood(server):
    """A client that gives back its windows in small steps, and pings, for as long as it has work."""
    with H2(server.addr) as c:
        for i in range(1500):
            c.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))
            assert c.get(1 + 2 * i).status == 200
        c.ping()


# ---- Field blocks --------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\0\1x\1y"], ids=["empty", "small"])
def test_continuation_flood(server, payload):
    with H2(server.addr) as c:
        c.headers(1, c.basic(), END_STREAM)
        flood(c, lambda i: frame(CONTINUATION, 0, 1, payload), 1000, piece=8)
        calmed(c, "CONTINUATION")
    serves(server)


@pytest.mark.parametrize("limit", [None, 1, 3])
def test_continuations_are_as_many_as_is_said(limit):
    settings = {} if limit is None else {"h2_max_continuation_count": limit}
    with servers.knobs(**settings) as s, H2(s.addr) as c:
        most = limit or 8
        block = c.block(c.basic(path="/hello"))
        c.frame(HEADERS, END_STREAM, 1, block)
        for i in range(most):
            c.frame(CONTINUATION, END_HEADERS if i == most - 1 else 0, 1, b"")
        assert c.response(1).status == 200
        c.frame(HEADERS, END_STREAM, 3, c.block(c.basic(path="/hello")))
        for i in range(most + 1):
            c.frame(CONTINUATION, 0, 3, b"")
        calmed(c, "CONTINUATION")


def test_field_block_of_many_bytes(server):
    """Less than eight frames, more than can be a list that is not too large."""
    with H2(server.addr) as c:
        block = c.block(c.basic() + [(f"x-{i}", "v" * 60000) for i in range(2)])
        c.frame(HEADERS, END_STREAM, 1, block[:1000])
        flood(c, lambda i: frame(CONTINUATION, 0, 1, block[1000 + i * 16384:][:16384]), 7, piece=1)
        calmed(c, "field block")
    serves(server)


def test_hpack_bomb(server):
    """One large field in the table, then thousands of references of a byte each."""
    before = server.rss_kib()
    with H2(server.addr) as c:
        c.headers(1, c.basic() + [("x-bomb", "b" * 3900)])
        assert c.response(1).status == 200
        index = next(i for i in range(62, 80) if c.encoder.header_table.get_by_index(i)[0] == b"x-bomb")
        block = c.block(c.basic()) + bytes([0x80 | index]) * 15000
        for stream in range(3, 43, 2):
            c.frame(HEADERS, END_HEADERS | END_STREAM, stream, block)
            assert c.response(stream).status == 431
        assert c.get(101).status == 200
    if not SAN:
        assert server.rss_kib() - before < 4096
    serves(server)


def test_hpack_table_stays_in_step_behind_a_refused_list(server):
    with H2(server.addr) as c:
        c.headers(1, c.basic() + [(f"x-{i}", "v" * 990) for i in range(16)] + [("x-last", "kept")])
        assert c.response(1).status == 431
        assert c.get(3, "/hello", ("x-last", "kept")).status == 200


# ---- Resets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [CANCEL, NO_ERROR])
def test_rapid_reset(server, code):
    """CVE-2023-44487, whatever reason is given."""
    with H2(server.addr) as c:
        block = c.block(c.basic("GET", "/slow?ms=50"))    # may enter the table: not repeated
        again = c.block(c.basic("GET", "/slow?ms=50"))
        paced_flood(c, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, again if i else block) +
              frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", code)), 2000)
        calmed(c, "reset")
    serves(server)


def test_page_that_is_left(server):
    """A hundred requests at once that nobody wants any more are what browsers do."""
    with H2(server.addr) as c:
        for i in range(100):
            c.ask(1 + 2 * i, "/slow?ms=100")
        for i in range(100):
            c.frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", CANCEL))
        assert c.get(201).status == 200


PROVOKED = {
    "window overflow": lambda c, s: frame(HEADERS, END_HEADERS, s, c.block(c.basic("POST", "/sink"))) +
                                    frame(WINDOW_UPDATE, 0, s, b"\x7f\xff\xff\xff"),
    "malformed request": lambda c, s: frame(HEADERS, END_HEADERS | END_STREAM, s,
                                            c.block(c.basic() + [("connection", "x")])),
    "malformed body": lambda c, s: frame(HEADERS, END_HEADERS, s,
                                         c.block(c.basic("POST", "/sink") + [("content-length", "1")])) +
                      frame(DATA, 0, s, b"two"),
    "malformed trailers": lambda c, s: frame(HEADERS, END_HEADERS, s, c.block(c.basic("POST", "/sink"))) +
                          frame(HEADERS, END_HEADERS, s, c.block([("x", "y")])),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_server_that_is_made_to_reset(server, name):
    """CVE-2025-8671: the server's own RST_STREAM, for what the peer did, counts as the peer's."""
    with H2(server.addr) as c:
        paced_flood(c, lambda i: PROVOKED[name](c, 1 + 2 * i), 1000)
        calmed(c, "reset")
    serves(server)


def test_requests_that_are_reset_and_still_answered():
    """Their work goes on without a stream: the limit of streams does not bound it, this one does."""
    with servers.knobs(h2_max_pending_reset_count=10, offload_thread_count=1) as s:
        with H2(s.addr) as c:
            for i in range(12):
                c.ask(1 + 2 * i, "/offload?ms=100")
                c.frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", CANCEL))
            calmed(c, "while they were answered")
        serves(s)


def test_requests_that_are_never_answered(server):
    """Refused for want of streams, by a client that ignores how many there are."""
    with H2(server.addr) as c:
        c.acks = False
        block = c.block(c.basic("GET", "/slow?ms=60000"))
        again = c.block(c.basic("GET", "/slow?ms=60000"))
        flood(c, lambda i: frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, again if i else block), 3000)
        calmed(c, "without an answer")
    serves(server)


# ---- Slowness --------------------------------------------------------------------------------------------


def since(begin, least, most):
    took = time.monotonic() - begin
    assert least <= took <= most * PATIENCE, took


def test_window_that_never_opens():
    with servers.knobs(write_timeout_ms=600) as s:
        with H2(s.addr) as c:
            begin = time.monotonic()
            c.send(settings((INITIAL_WINDOW_SIZE, 0)))
            c.ask(1, "/big?bytes=1000000")
            f = c.until(lambda f: f.kind == RST_STREAM)
            assert f.stream == 1 and f.code == CANCEL
            since(begin, 0.5, 5)
            c.send(settings((INITIAL_WINDOW_SIZE, 65535)))
            assert c.get(3).status == 200


def test_window_that_opens_by_a_byte_at_a_time():
    with servers.knobs(min_rate_bytes=1000, min_rate_grace_ms=600) as s:
        with H2(s.addr) as c:
            begin = time.monotonic()
            c.updates = False
            c.send(settings((INITIAL_WINDOW_SIZE, 0)))
            c.ask(1, "/big?bytes=1000000")
            while not (1 in c.responses and c.responses[1].reset is not None):
                assert time.monotonic() - begin < TIMEOUT_S
                c.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
                c.ping(b"%08d" % (time.monotonic_ns() % 10 ** 8))
                time.sleep(0.02)
            assert c.responses[1].reset == CANCEL
            c.ping()


def test_socket_that_is_never_read():
    with servers.knobs(write_timeout_ms=600) as s:
        with H2(s.addr, rcvbuf=4096) as c:
            c.send(settings((INITIAL_WINDOW_SIZE, 0x7fffffff)) +
                   frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fff0000 - 1)))
            c.ask(1, "/big?bytes=500000000")
            deadline = time.monotonic() + TIMEOUT_S
            while servers.stats(s)["timeouts"] == 0:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        serves(s)


SLOW = {
    "no preface": b"",
    "half a preface": PREFACE[:10],
    "half a frame head": PREFACE + settings() + b"\0\0",
    "half a frame": PREFACE + settings() + frame(PING, 0, 0, b"half", length=8),
    "half a block": PREFACE + settings() + frame(HEADERS, END_STREAM, 1, b"\x82\x86"),
}


def slow_beginning_within_tls(name):
    """Who has shaken hands is held to the same clock."""
    with servers.knobs(header_timeout_ms=500, keepalive_timeout_ms=60000) as s, H2(s.addr, hello=False) as c:
        c.acks = False
        begin = time.monotonic()
        c.send(SLOW[name])
        c.ended()
        assert c.goaway is None or c.goaway.code == NO_ERROR
        since(begin, 0.4, 6)


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize("transport", ["tls"] if servers.OVER_TLS else ["h2c", "http"])
def test_slow_beginning(name, transport):
    if transport == "tls":
        slow_beginning_within_tls(name)
        return
    kw = {"ready_path": None} if transport == "h2c" else {}
    with servers.knobs(header_timeout_ms=500, keepalive_timeout_ms=60000, transport=transport, **kw) as s:
        deadline = time.monotonic() + servers.START_S
        while transport == "h2c":
            try:
                H2(s.addr).close()
                break
            except ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        begin = time.monotonic()
        with H2(s.addr, hello=False) as c:
            c.acks = False
            c.send(SLOW[name])
            if transport == "http" and name == "half a preface":
                # As far as anybody can tell it is a request of HTTP/1.1.
                while c.sock.recv(65536):
                    pass
            else:
                c.ended()
                assert c.goaway is None or c.goaway.code == NO_ERROR
            since(begin, 0.4, 6)


def test_drip_within_a_block():
    """A byte at a time does not make it younger."""
    with servers.knobs(header_timeout_ms=600) as s:
        with H2(s.addr) as c:
            begin = time.monotonic()
            c.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, b"", length=1000))
            try:
                while time.monotonic() - begin < TIMEOUT_S:
                    c.send(b"\x82")
                    time.sleep(0.05)
                    if c.goaway or c.eof:
                        break
                    try:
                        c.until(lambda f: f.kind == GOAWAY, timeout=0.01)
                    except TimeoutError:
                        pass
            except OSError:
                pass
            since(begin, 0.5, 5)


def test_body_that_stops():
    with servers.knobs(body_timeout_ms=500) as s:
        with H2(s.addr) as c:
            begin = time.monotonic()
            c.headers(1, c.basic("POST", "/whole"), END_HEADERS)
            c.frame(DATA, 0, 1, b"some")
            r = c.response(1)
            assert r.status == 408, r
            since(begin, 0.4, 5)
            assert c.get(3).status == 200


def test_body_that_drips():
    with servers.knobs(min_rate_bytes=1000, min_rate_grace_ms=500) as s:
        with H2(s.addr) as c:
            c.headers(1, c.basic("POST", "/whole"), END_HEADERS)
            begin = time.monotonic()
            while 1 not in c.responses:
                assert time.monotonic() - begin < TIMEOUT_S
                c.frame(DATA, 0, 1, b"x")
                c.ping(b"%08d" % (time.monotonic_ns() % 10 ** 8))
                time.sleep(0.02)
            assert c.response(1).status == 408
            assert c.get(3).status == 200


@servers.in_whole_pieces
def test_window_of_bodies_that_were_reset(server):
    """What lay unread of a body is given back with its stream: the connection's window is for those that
    come after it."""
    with H2(server.addr) as c:
        for stream in range(1, 17, 2):
            c.headers(stream, c.basic("POST", "/slow?ms=10000"), END_HEADERS)
            c.body(stream, bytes(240 << 10), end=False)
            c.frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))
        c.headers(101, c.basic("POST", "/sink"), END_HEADERS)
        c.body(101, bytes(300 << 10))
        assert c.response(101).status == 200


def test_windows_without_end_queue_no_answer_without_end(server):
    """h2_max_send_buffer_bytes bounds what is put before the socket, whatever the peer allows: who asks for
    more amid a large body waits for no more of it than that."""
    whole = 64 << 20
    with H2(server.addr, rcvbuf=1 << 16, initial=((INITIAL_WINDOW_SIZE, 0x7fffffff),)) as c:
        c.updates = False
        c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7fffffff - 65535))
        c.ask(1, f"/big?bytes={whole}")
        assert c.until(lambda f: f.kind == DATA)
        c.ask(3, "/hello")
        assert c.until(lambda f: f.kind == HEADERS and f.stream == 3)
        assert len(c.responses[1].body) < whole / 2


def test_body_that_nobody_reads_is_bounded(server):
    """A hundred streams that send all they may to a handler that waits: the connection's window holds."""
    before = server.rss_kib()
    with H2(server.addr) as c:
        c.updates = False
        sent = 0
        for i in range(40):
            c.headers(1 + 2 * i, c.basic("POST", "/slow?ms=400"), END_HEADERS)
            for _ in range(2):
                if sent + 16384 <= 1 << 20:
                    c.frame(DATA, 0, 1 + 2 * i, bytes(16384))
                    sent += 16384
        c.settle()
        assert not [f for f in c.frames if f.kind == GOAWAY]
        if not SAN:
            assert server.rss_kib() - before < 6 << 10
    serves(server)

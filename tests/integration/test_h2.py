# SPDX-License-Identifier: MIT
"""What only HTTP/2 has: many requests on one connection, its flow control, its priorities, its end; and
clients of other people.
"""
import itertools
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time

import pytest

import servers
from h2wire import (ACK, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, GOAWAY, H2, HEADER_TABLE_SIZE,
                    HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, NO_ERROR, PING, PREFACE, PRIORITY_UPDATE,
                    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, settings)
from wire import PATIENCE, SAN, SCALE, TIMEOUT_S, Wire, eventually, once, request, scaled


@pytest.fixture(scope="module")
def server():
    with servers.knobs() as s:
        yield s


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("h2") / "file"
    path.write_bytes(bytes(range(256)) * 16384)
    return path


@pytest.fixture(scope="module")
def exchange(content):
    with servers.launch("exchange", str(content)) as s:
        yield s


@pytest.fixture
def c(server):
    with H2(server.addr) as c:
        yield c


# ---- Both on one port ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 23, 24, 25])
def test_preface_in_pieces(server, size):
    with H2(server.addr, hello=False) as c:
        data = PREFACE + settings()
        for i in range(0, len(data), size):
            c.send(data[i:i + size])
        assert c.get(1).status == 200


@pytest.mark.parametrize("data", [b"GET /hello HTTP/1.1\r\nHost: t\r\n\r\n", b"POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nab"])
def test_http1_in_pieces(server, data):
    with server.connect() as w:
        w.drip(data)
        assert w.response().status == 200


def test_almost_the_preface_is_http1(server):
    """The connection's first bytes are kept until it is decided."""
    with server.connect() as w:
        w.drip(b"PRI * HTTP/2.0\r\n\r\nSx")
        assert w.response().status in (400, 505)
    with server.connect() as w:
        w.drip(b"PUT /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
        assert w.response().status == 405


# ---- Many at a time --------------------------------------------------------------------------------------


def test_answers_come_as_they_are_ready(c):
    for i, delay in enumerate((300, 150, 0)):
        c.ask(1 + 2 * i, f"/slow?ms={delay}")
    for stream in (5, 3, 1):
        assert c.response(stream).body == b"slow\n"
    ended = [f.stream for f in c.frames if f.kind == DATA and f.flags & END_STREAM]
    assert ended == [5, 3, 1]


def test_hundred_streams(c):
    for i in range(100):
        c.ask(1 + 2 * i, f"/flood?bytes={i * 1000}")
    for i in range(100):
        assert c.response(1 + 2 * i).body == b"b" * (i * 1000)


def test_bodies_interleave(c):
    for i in range(10):
        c.headers(1 + 2 * i, c.basic("POST", "/whole"), END_HEADERS)
    for _ in range(5):
        for i in range(10):
            c.frame(DATA, 0, 1 + 2 * i, bytes(i * 100))
    for i in range(10):
        c.frame(DATA, END_STREAM, 1 + 2 * i)
        assert c.response(1 + 2 * i).body == b"%d\n" % (i * 500)


@pytest.mark.parametrize("n", [0, 1, 16384, 16385, 65535, 300_000,
                               pytest.param(3_000_000, marks=servers.not_byte_by_byte)])
def test_echo(c, n):
    data = bytes(i * 7 % 251 for i in range(1000)) * (n // 1000 + 1)
    c.headers(1, c.basic("POST", "/echo"), END_HEADERS)
    c.body(1, data[:n])
    assert c.response(1).body == data[:n]


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1024, 1025, 16384, 1_000_000, 20_000_000])
def test_lent_memory(c, n):
    r = c.get(1, f"/big?bytes={n}")
    assert r.body == bytes(n) and r.get("content-length") == str(n)


@pytest.mark.parametrize("at,n", [(0, 1), (0, 16384), (1, 16385), (255, 1_000_000), (0, 4194304)])
def test_file(exchange, content, at, n):
    with H2(exchange.addr) as c:
        assert c.get(1, f"/file?from={at}&bytes={n}").body == content.read_bytes()[at:at + n]


def test_two_files_at_a_time(exchange, content):
    with H2(exchange.addr) as c:
        c.ask(1, "/file?from=0&bytes=4194304").ask(3, "/file?from=1&bytes=4194303")
        assert c.response(1).body == content.read_bytes()
        assert c.response(3).body == content.read_bytes()[1:]


# ---- Answers that leave in one piece ----------------------------------------------------------------------


def test_settings_come_first(server):
    with H2(server.addr, hello=False) as c:
        c.send(PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, c.block(c.basic())))
        assert c.response(1).body == b"hello\n"
        assert c.frames[0].kind == SETTINGS and not c.frames[0].flags & ACK


@pytest.mark.parametrize("n", [0, 1, 255, 4000, 4096, 5000, 16384])
@pytest.mark.parametrize("field", [0, 1, 60, 127, 200])
def test_plain_answers(c, n, field):
    for stream in (1, 3):
        r = c.get(stream, f"/plain?bytes={n}&field={field}")
        assert r.body == b"b" * n and r.get("content-length") == str(n) and r.get("content-type") == "text/plain"
        assert r.get("x-field") == (("b" * field) if field else None)
        assert r.get("server") and r.get("date")


def test_answer_within_a_frame_of_another(exchange):
    """Bytes that were lent are done before the frame is that they are in, and whoever is told then may answer."""
    with H2(exchange.addr) as c:
        c.ask(1, "/hold")
        r = c.get(3, "/release")
        assert r.body == b"abcdef"
        assert c.response(1).body == b"held\n"


def test_they_use_the_connections_window(c):
    """Small answers and a stream together never send more than they may, and all of it comes when they may."""
    c.updates = False
    for stream in range(1, 41, 2):
        c.ask(stream, "/plain?bytes=3000")
    c.ask(101, "/flood?bytes=20000")
    c.ask(103, "/plain?bytes=4000")
    c.settle()
    got = sum(len(f.payload) for f in c.frames if f.kind == DATA)
    assert got == 65535
    for n in (1, 999, 3000, 14465):
        c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", n))
        c.settle()
        got += n
        assert sum(len(f.payload) for f in c.frames if f.kind == DATA) == got
    c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100000))
    for stream in range(1, 41, 2):
        assert c.response(stream).body == b"b" * 3000
    assert c.response(101).body == b"b" * 20000
    assert c.response(103).body == b"b" * 4000


@pytest.mark.parametrize("cut", [0, 1, 9, 12])
def test_largest_window(c, cut):
    """What is given back to a window that cannot be larger never overflows it, be it in pieces."""
    c.updates = False
    c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535))
    for i in range(20):
        assert c.get(1 + 2 * i, "/plain?bytes=1000").ended
        back = frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1000))
        if cut:
            c.send(back[:cut])
            time.sleep(0.005)
        c.send(back[cut:])
    c.ping()
    # It is the largest again, whoever counts it: one more byte is too much.
    assert c.get(101, "/flood?bytes=10").ended
    c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 11))
    assert c.ended().code == FLOW_CONTROL_ERROR


def test_windows_of_streams(server):
    with H2(server.addr, initial=((INITIAL_WINDOW_SIZE, 10),)) as c:
        c.updates = False
        c.ask(1, "/plain?bytes=10").ask(3, "/plain?bytes=11")
        assert c.response(1).body == b"b" * 10
        c.settle()
        assert c.responses[3].body == b"b" * 10
        c.frame(WINDOW_UPDATE, 0, 3, struct.pack(">I", 1))
        assert c.response(3).body == b"b" * 11


def test_size_of_the_decoders_table(server):
    """RFC 7541 section 4.2: the first field block after the change says it, whichever way it leaves."""
    with H2(server.addr, initial=((HEADER_TABLE_SIZE, 0),)) as c:
        c.decoder.max_allowed_table_size = 0
        for i, first in enumerate([0x20, 0x88, 0x88]):
            assert c.get(1 + 2 * i).status == 200
            block = [f for f in c.frames if f.kind == HEADERS][-1]
            assert block.payload[0] == first
        c.send(settings((HEADER_TABLE_SIZE, 4096)))
        c.decoder.max_allowed_table_size = 4096
        assert c.get(9).status == 200
        assert [f for f in c.frames if f.kind == HEADERS][-1].payload[0] & 0xe0 == 0x20


def test_streams_are_free_again(server):
    """As soon as the answer is there the peer may open another one in its place, however many at a time."""
    with servers.knobs(h2_max_concurrent_streams=3, h2_max_send_buffer_bytes=16384) as s, H2(s.addr) as c:
        c.ping()
        for i in range(0, 60, 3):
            for k in range(3):
                c.ask(1 + 2 * (i + k), "/plain?bytes=4000")
            for k in range(3):
                assert c.response(1 + 2 * (i + k)).body == b"b" * 4000


# ---- Messages ----------------------------------------------------------------------------------------------


def test_cookies_are_one_field(exchange):
    with H2(exchange.addr) as c:
        r = c.get(1, "/cookies", ("cookie", "a=1"), ("cookie", "b=2"), ("x", "y"), ("cookie", "c=3"))
        assert r.body.startswith(b"[3]"), r


def test_inform(exchange):
    with H2(exchange.addr) as c:
        r = c.get(1, "/inform")
        assert r.interim == [(103, [("link", "</style.css>; rel=preload")])] and r.body == b"informed\n"


def test_continue(exchange):
    """100 when the body is asked for, not before."""
    with H2(exchange.addr) as c:
        c.headers(1, c.basic("POST", "/late-body") + [("expect", "100-continue"), ("content-length", "5")], END_HEADERS)
        c.until(lambda f: f.kind == HEADERS)
        assert c.responses[1].interim == [(100, [])]
        c.data(1, b"hello")
        assert c.response(1).body == b"5\n"


def test_no_continue_for_who_does_not_wait(exchange):
    with H2(exchange.addr) as c:
        c.headers(1, c.basic("POST", "/late-body") + [("expect", "100-continue")], END_HEADERS)
        c.data(1, b"hello")
        r = c.response(1)
        assert r.body == b"5\n" and not r.interim


def test_trailers_both_ways(exchange):
    with H2(exchange.addr) as c:
        c.headers(1, c.basic("POST", "/request-trailer"), END_HEADERS)
        c.data(1, b"abc", end=False)
        c.headers(1, [("x-sum", "6")])
        assert c.response(1).body == b"3 6\n"
        r = c.get(3, "/trailers")
        assert r.body == b"helloworld" and r.trailers == [("x-sum", "42")]
        assert c.get(5, "/trailers?length=1").trailers == [("x-sum", "42")]


@pytest.mark.parametrize("path", ["/announced?bytes=4", "/cut"])
def test_response_that_breaks_off(exchange, path):
    """RST_STREAM tells that it is not complete; the others on the connection do not notice."""
    with H2(exchange.addr) as c:
        r = c.get(1, path)
        assert r.reset == INTERNAL_ERROR and not r.ended, r
        assert c.get(3).status == 200


def test_answer_before_the_body(exchange):
    with H2(exchange.addr) as c:
        c.headers(1, c.basic("POST", "/early"), END_HEADERS)
        c.data(1, b"x", end=False)
        assert c.response(1).body == b"early\n"
        assert c.responses[1].ended
        c.until(lambda f: f.kind == RST_STREAM and f.stream == 1)
        assert c.responses[1].reset == NO_ERROR
        for _ in range(20):
            c.data(1, bytes(16384), end=False)
        c.window -= 20 * 16384
        # What was thrown away came back to the connection's window.
        c.headers(3, c.basic("POST", "/early"), END_HEADERS)
        c.body(3, bytes(2_000_000))
        assert c.response(3).body == b"early\n"


def test_body_over_the_limit(c):
    c.headers(1, c.basic("POST", "/whole") + [("content-length", "2000000")], END_HEADERS)
    assert c.response(1).status == 413
    c.headers(3, c.basic("POST", "/whole"), END_HEADERS)
    c.body(3, bytes(2_000_000))
    assert c.response(3).status == 413
    assert c.get(5).status == 200


def test_peer_that_resets_is_told_to_the_handler(exchange):
    before = counters(exchange)
    with H2(exchange.addr) as c:
        c.ask(1, "/thread?ms=300")
        c.frame(RST_STREAM, 0, 1, struct.pack(">I", 8))
        assert c.get(3).status == 200
        assert eventually(lambda: counters(exchange)["aborted"] - before["aborted"]) == 1
        assert eventually(lambda: counters(exchange)["closed_seen"] - before["closed_seen"]) == 1
        assert eventually(lambda: counters(exchange)["ended_badly"] - before["ended_badly"]) == 1
        c.ping()


@pytest.mark.parametrize("path", ["/drain?blocks=500", "/file?from=0&bytes=4194304"])
def test_peer_that_leaves_within_a_response(exchange, path):
    """Every lent byte is given back, every descriptor closed."""
    before, fds = counters(exchange), exchange.fd_count()
    c = H2(exchange.addr, rcvbuf=8192)
    c.ask(1, path)
    c.until(lambda f: f.kind == DATA)
    c.close()
    d = eventually(lambda: (lambda n: n if n["ended_badly"] > before["ended_badly"] else None)(counters(exchange)))
    assert d["done_calls"] - before["done_calls"] in (0, 500) if "file" in path else True
    assert eventually(lambda: exchange.fd_count() <= fds)


def counters(server):
    text = once(server.addr, request("GET", "/counters", "Connection: close")).body.decode()
    return {k: int(v) for k, v in (line.split() for line in text.splitlines())}


# ---- Flow control ---------------------------------------------------------------------------------------------


def test_memory_of_responses_that_wait(server):
    """What a slow reader leaves unread waits with its writer, not in memory."""
    before = server.rss_kib()
    with H2(server.addr) as c:
        c.updates = False
        for i in range(50):
            c.ask(1 + 2 * i, "/flood?bytes=50000000")
        c.settle()
        if not SAN:
            assert server.rss_kib() - before < 40 << 10
        assert sum(len(r.body) for r in c.responses.values()) <= 65535
        for i in range(50):
            c.frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", 8))
        c.ping()


def test_windows_open_only_for_what_is_taken(exchange):
    """A paused reader gets no more than its stream's window; another stream goes on."""
    with H2(exchange.addr) as c:
        c.headers(1, c.basic("POST", "/late-body"), END_HEADERS)
        c.settle()
        sent = 0
        while c.window > 16384 and c.windows.get(1, 0) + c.settings[INITIAL_WINDOW_SIZE] > 0 and sent < 1 << 20:
            room = c.windows.get(1, 0) + c.settings[INITIAL_WINDOW_SIZE]
            n = min(16384, room)
            c.frame(DATA, 0, 1, bytes(n))
            c.window -= n
            c.windows[1] = c.windows.get(1, 0) - n
            sent += n
            if sent >= 262144:
                break
        assert sent == 262144
        assert c.get(3).status == 200
        c.frame(DATA, END_STREAM, 1) if 1 in c.responses else c.body(1, b"")
        assert c.response(1).body == b"262144\n"


# ---- Priorities (RFC 9218) -----------------------------------------------------------------------------------------


def order(c, asks):
    """The streams of the DATA frames of responses that wait for the window, when it opens."""
    c.updates = False
    c.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)))
    c.ping()
    c.ask(101, "/big?bytes=65535")      # uses up the connection's window
    c.response(101)
    for stream, extra in asks:
        c.ask(stream, "/big?bytes=65536", *extra)
    c.settle()
    seen = len(c.frames)
    c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20))
    for stream, _ in asks:
        c.response(stream)
    return [f.stream for f in c.frames[seen:] if f.kind == DATA]


def test_urgent_ones_first(c):
    got = order(c, [(103, [("priority", "u=7")]), (105, [("priority", "u=0")]), (107, [])])
    assert [k for k, _ in itertools.groupby(got)] == [105, 107, 103]


def test_one_after_the_other(c):
    got = order(c, [(103, []), (105, [])])
    assert [k for k, _ in itertools.groupby(got)] == [103, 105]


def test_incremental_ones_share(c):
    got = order(c, [(103, [("priority", "i")]), (105, [("priority", "i")])])
    assert len(list(itertools.groupby(got))) > 4, got


def test_priority_update(c):
    c.updates = False
    c.send(settings((INITIAL_WINDOW_SIZE, 1 << 20)))
    c.ping()
    c.ask(1, "/big?bytes=65535")
    c.response(1)
    c.frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x05u=0")       # before its request, and weightier than its field
    c.ask(3, "/big?bytes=65536")
    c.ask(5, "/big?bytes=65536", ("priority", "u=7"))
    c.ask(7, "/big?bytes=65536")
    c.frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x07u=1")       # after it
    c.settle()
    seen = len(c.frames)
    c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 20))
    for stream in (3, 5, 7):
        c.response(stream)
    got = [f.stream for f in c.frames[seen:] if f.kind == DATA]
    assert [k for k, _ in itertools.groupby(got)] == [5, 7, 3]


# ---- The end of a connection -------------------------------------------------------------------------------------------


def test_drain_in_two_steps():
    """First that it ends; a request that crosses this is answered; then where it ended."""
    with servers.knobs() as s:
        with H2(s.addr) as c:
            c.acks = False
            c.ask(1, "/slow?ms=400")
            c.ping()
            s.signal(signal.SIGTERM)
            first = c.until(lambda f: f.kind == GOAWAY)
            assert first.last_stream == 0x7fffffff and first.code == NO_ERROR
            ping = c.until(lambda f: f.kind == PING)
            c.ask(3)
            assert c.response(3).status == 200
            c.frame(PING, 1, 0, ping.payload)
            last = c.until(lambda f: f.kind == GOAWAY)
            assert last.last_stream == 3 and last.code == NO_ERROR
            c.ask(5)
            assert c.response(1).body == b"slow\n"
            c.ended()
            assert 5 not in c.responses
        s.stop()


def test_drain_of_a_peer_that_does_not_answer():
    with servers.knobs() as s:
        with H2(s.addr) as c:
            c.acks = False
            c.get(1)
            s.signal(signal.SIGTERM)
            begin = time.monotonic()
            c.ended()
            assert [f.last_stream for f in c.frames if f.kind == GOAWAY] == [0x7fffffff, 1]
            assert time.monotonic() - begin < 4 * PATIENCE
        s.stop()


def test_drain_of_an_idle_connection_is_quick():
    with servers.knobs() as s:
        with H2(s.addr) as c:
            c.get(1)
            s.signal(signal.SIGTERM)
            begin = time.monotonic()
            c.ended()
            assert time.monotonic() - begin < 3 * PATIENCE
        s.stop()


def test_drain_before_anything_was_said():
    with servers.knobs(transport="h2c", ready_path=None) as s:
        c = eventually(lambda: connected(s.addr))
        c.send(PREFACE + settings())
        c.until(lambda f: True)
        s.signal(signal.SIGTERM)
        c.ended()
        c.close()
        s.stop()


def connected(addr):
    try:
        return H2(addr, hello=False)
    except ConnectionError:
        return None


def test_idle_connection_ends():
    with servers.knobs(keepalive_timeout_ms=400) as s:
        with H2(s.addr) as c:
            begin = time.monotonic()
            c.get(1)
            c.frame(PING, 0, 0, bytes(8))      # no sign of work
            goaway = c.ended()
            assert goaway.code == NO_ERROR and goaway.last_stream == 1
            assert 0.3 < time.monotonic() - begin < 3 * PATIENCE


def test_connection_that_waits_for_an_answer_is_not_idle():
    with servers.knobs(keepalive_timeout_ms=200) as s:
        with H2(s.addr) as c:
            assert c.get(1, "/slow?ms=700").status == 200


def test_requests_of_a_connection_are_counted():
    with servers.knobs(keepalive_request_count=5) as s:
        with H2(s.addr) as c:
            for i in range(5):
                assert c.get(1 + 2 * i).status == 200
            c.ended()
            assert [f.last_stream for f in c.frames if f.kind == GOAWAY] == [0x7fffffff, 9]


def test_keepalive_ping():
    with servers.knobs(h2_keepalive_interval_ms=300, h2_keepalive_timeout_ms=400, body_timeout_ms=400) as s:
        with H2(s.addr) as c:
            assert c.get(1, "/slow?ms=1500").status == 200
            assert len([f for f in c.frames if f.kind == PING]) >= 2
        with H2(s.addr) as c:
            c.acks = False
            begin = time.monotonic()
            c.ask(1, "/slow?ms=20000")
            c.ended()
            assert 0.5 < time.monotonic() - begin < 5 * PATIENCE
        eventually(lambda: servers.stats(s)["open"] == 1)


def test_half_closed_connection_is_answered(server):
    with H2(server.addr) as c:
        c.ask(1, "/slow?ms=200")
        c.ping()
        c.sock.shutdown(1)
        assert c.response(1).body == b"slow\n"
        c.ended()


# ---- Settings of ours -------------------------------------------------------------------------------------------------------


def test_settings_are_announced():
    with servers.knobs(h2_max_concurrent_streams=7, h2_max_header_list_bytes=5000, h2_stream_window_bytes=1000,
                       h2_connection_window_bytes=100000, h2_max_frame_bytes=20000, h2_header_table_bytes=100) as s:
        with H2(s.addr) as c:
            c.settle()
            assert c.settings == {1: 100, 3: 7, 4: 1000, 5: 20000, 6: 5000, 8: 1, 9: 1}
            assert c.window == 100000
            c.encoder.header_table_size = 100
            c.headers(1, c.basic("POST", "/whole"), END_HEADERS)
            c.body(1, bytes(50000))
            assert c.response(1).body == b"50000\n"
            assert c.get(3, "/hello", ("x", "y" * 5000)).status == 431


def test_log_and_metrics_tell_the_version(tmp_path):
    log = tmp_path / "log"
    with servers.launch("observed", f"log={log}", "access_log_format=1", "callback=1") as s:
        with H2(s.addr) as c:
            assert c.get(1, "/users/7").status == 200
            c.headers(3, c.basic() + [("connection", "x")])
            assert c.response(3).reset == 1
            text = c.get(5, "/metrics").body.decode()
            assert "/users/{id}" in text
        lines = eventually(lambda: [e for e in map(json.loads, log.read_text().splitlines()) if e.get("version") == 20][1:]
                           and log.read_text().splitlines())
        entries = [json.loads(e) for e in lines]
        assert [e["version"] for e in entries if e["path"] == "/users/7"] == [20]
        assert "version=20" in s.stdout


# ---- Other people's clients -----------------------------------------------------------------------------------------------------


def curl(*args, **kw):
    r = subprocess.run(["curl", "-sS", "--max-time", "20", *args], capture_output=True, check=False, **kw)
    assert r.returncode == 0, r.stderr
    return r.stdout


@pytest.fixture(scope="module")
def base(server):
    return f"http://{server.addr[0]}:{server.addr[1]}"


def test_curl(base, tmp_path):
    h2 = ("--http2-prior-knowledge", "-w", "%{http_version} %{http_code}")
    assert curl(*h2, base + "/hello") == b"hello\n2 200"
    assert curl(*h2, "-I", base + "/hello").endswith(b"2 200")
    up = tmp_path / "up"
    up.write_bytes(os.urandom(2_000_000))
    assert curl(*h2, "--data-binary", f"@{up}", base + "/sink") == b"2000000\n2 200"
    assert curl("--http2-prior-knowledge", "--data-binary", f"@{up}", base + "/echo") == up.read_bytes()
    assert len(curl("--http2-prior-knowledge", base + "/big?bytes=30000000")) == 30_000_000
    assert curl("-w", "%{http_version}", base + "/hello") == b"hello\n1.1"


def test_nghttp(base):
    r = subprocess.run(["nghttp", "-s", base + "/hello", base + "/slow?ms=50", base + "/big?bytes=100000"],
                       capture_output=True, timeout=TIMEOUT_S, check=False)
    assert r.returncode == 0 and b"hello\n" in r.stdout and b"slow\n" in r.stdout, r
    r = subprocess.run(["nghttp", "-n", "-v", "--no-dep", "-w", "10", "-W", "10", base + "/big?bytes=100000"], capture_output=True,
                       timeout=TIMEOUT_S, check=False)
    assert r.returncode == 0 and b"PROTOCOL_ERROR" not in r.stdout and r.stdout.count(b"recv DATA") > 90, r.stdout[-500:]


@pytest.mark.parametrize("path,args", [("/hello", []), ("/big?bytes=100000", []), ("/flood?bytes=50000", []),
                                       pytest.param("/sink", ["-d"], marks=servers.not_byte_by_byte),
                                       pytest.param("/echo", ["-d"], marks=servers.not_byte_by_byte)])
def test_h2load(base, tmp_path, path, args):
    if args:
        up = tmp_path / "up"
        up.write_bytes(b"u" * 20000)
        args = ["-d", str(up)]
    n = scaled(20000 if path == "/hello" else 2000, 200)
    r = subprocess.run(["h2load", "-n", str(n), "-c", "10", "-m", "100", *args, base + path], capture_output=True, text=True,
                       timeout=120 * PATIENCE, check=False)
    assert re.search(rf"{n} succeeded, 0 failed, 0 errored, 0 timeout", r.stdout), r.stdout + r.stderr
    assert re.search(rf"{n} 2xx, 0 3xx, 0 4xx, 0 5xx", r.stdout), r.stdout


NODE = """
const h2 = require('http2');
const c = h2.connect(process.argv[1]);
let left = 40;
function done() { if (--left === 0) c.close(); }
c.on('error', e => { console.log('error', e); process.exit(1); });
for (let i = 0; i < 20; i++) {
  const r = c.request({':path': '/hello'});
  let body = '';
  r.on('response', h => { if (h[':status'] !== 200) process.exit(2); });
  r.setEncoding('utf8');
  r.on('data', d => body += d);
  r.on('end', () => { if (body !== 'hello\\n') process.exit(3); done(); });
  r.end();
  const p = c.request({':method': 'POST', ':path': '/echo'});
  let n = 0;
  p.on('data', d => n += d.length);
  p.on('end', () => { if (n !== 100000) process.exit(4); done(); });
  p.end(Buffer.alloc(100000));
}
"""


def test_node(base):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    r = subprocess.run(["node", "-e", NODE, base], capture_output=True, timeout=60 * PATIENCE, check=False)
    assert r.returncode == 0, (r.returncode, r.stdout, r.stderr)

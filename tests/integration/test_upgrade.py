# SPDX-License-Identifier: MIT
"""Requests that become a stream of their own (tests/programs/upgrade.c), as WebSocket's do."""
import time

import pytest

import servers
from wire import eventually, once, request

def pattern(n):
    return bytes(i * 7 % 251 for i in range(n))


ASK = ("Upgrade: echo", "Connection: Upgrade")


@pytest.fixture(scope="module")
def server():
    with servers.launch("upgrade") as s:
        yield s


@pytest.fixture
def w(server):
    with server.connect() as c:
        yield c


def switched(w):
    r = w.head()
    assert r.status == 101
    assert r.get("Upgrade") == "echo" and r.get("Connection") == "Upgrade"
    assert r.get("Content-Length") is None and r.get("Transfer-Encoding") is None
    return r


def test_echo_both_ways(w):
    w.send(request("GET", "/echo", *ASK))
    assert switched(w).get("X-Extra") == "field"
    for data in (b"x", b"hello\r\n\r\nGET / HTTP/1.1\r\n\r\n", pattern(300000)):
        w.send(data)
        assert w.exactly(len(data)) == data
    w.finish()
    assert w.until_gone() == b""


@pytest.mark.parametrize("path", ["/echo", "/paused", "/late"])
def test_early_bytes_and_early_end(w, path):
    """What comes in the same segment as the request is the stream's, and its end waits its turn."""
    w.send(request("GET", path, *ASK) + b"early").finish()
    switched(w)
    assert w.exactly(5) == b"early"
    assert w.until_gone() == b""


def test_early_bytes_one_by_one(w):
    w.drip(request("GET", "/late", *ASK) + b"early")
    switched(w)
    assert w.exactly(5) == b"early"


@pytest.mark.parametrize("fields,status", [
    (("Upgrade: echo",), 426),                                   # not named in Connection: RFC 9110 7.8
    (("Connection: Upgrade",), 426),
    (("Upgrade: other, echoes", "Connection: Upgrade"), 426),
    (("Upgrade: h2c, ECHO", "Connection: keep-alive, upgrade"), 101),
])
def test_only_what_was_asked_for(w, fields, status):
    w.send(request("GET", "/echo", *fields))
    if status == 101:
        switched(w)
    else:
        assert w.response().status == status
        assert w.get("/plain").status == 200


def test_http10_never_switches(w):
    w.send(b"GET /echo HTTP/1.0\r\nHost: h\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
    assert w.response().status == 426


def test_a_body_comes_first(w):
    """It cannot be both the request's and the stream's."""
    w.send(request("POST", "/echo", *ASK, body=b"body"))
    assert w.response().status == 500


def test_behind_pipelined_requests(w):
    w.send(request("GET", "/plain") + request("GET", "/echo", *ASK) + b"data")
    assert w.response().status == 200
    switched(w)
    assert w.exactly(4) == b"data"


@servers.not_byte_by_byte
def test_back_pressure():
    """A peer that sends and does not read is not read from for ever, and gets everything in the end."""
    data = pattern(1 << 20) * 64
    with servers.launch("upgrade", "write_high_bytes=65536") as s, s.connect(rcvbuf=8192) as w:
        w.send(request("GET", "/echo", *ASK))
        switched(w)
        w.sock.setblocking(False)
        sent = 0
        quiet = time.monotonic() + 1
        while sent < len(data) and time.monotonic() < quiet:
            try:
                sent += w.sock.send(data[sent:sent + 65536])
                quiet = time.monotonic() + 1
            except BlockingIOError:
                time.sleep(0.01)
        assert sent < len(data), "the server took everything"
        assert s.rss_kib() < 64 << 10
        w.sock.setblocking(True)
        assert w.exactly(sent) == data[:sent]


def test_deadlines_of_requests_are_not_the_streams():
    with servers.launch("upgrade", "body_timeout_ms=200", "min_rate_grace_ms=100", "keepalive_timeout_ms=200",
                        "header_timeout_ms=200") as s, s.connect() as w:
        w.send(request("GET", "/echo", *ASK))
        switched(w)
        time.sleep(0.8)
        w.send(b"still here")
        assert w.exactly(10) == b"still here"


def test_drain_tells_the_stream():
    with servers.launch("upgrade", "drain_timeout_ms=20000") as s, s.connect() as w:
        w.send(request("GET", "/echo", *ASK))
        switched(w)
        since = time.monotonic()
        s.signal()
        assert w.exactly(4) == b"bye\n"
        assert w.until_gone() == b""
        assert s.wait() == 0
        assert time.monotonic() - since < 10
        s.assert_clean()


def test_reset_and_counters():
    """The connection counts like others, and its end is an exchange's."""
    with servers.launch("upgrade") as s:
        def metric(name):
            text = once(s.addr, request("GET", "/metrics", "Connection: close")).body.decode()
            return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                       if line.startswith(name))

        def ended():
            return metric('tako_http_requests_total{method="ANY",route="/echo",class="1xx"}')
        with s.connect() as w:
            w.send(request("GET", "/echo", *ASK))
            switched(w)
            assert metric("tako_requests_active") == 2
            assert ended() == 0
            w.reset()
        eventually(lambda: metric("tako_requests_active") == 1)
        assert ended() == 1
        with s.connect() as w:
            w.send(request("GET", "/echo", *ASK)).finish()
            switched(w)
            assert w.until_gone() == b""
        eventually(lambda: ended() == 2)

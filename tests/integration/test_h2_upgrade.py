# SPDX-License-Identifier: MIT
"""Extended CONNECT (RFC 8441): what test_upgrade.py asks of HTTP/1.1's Upgrade, of the same routes
(tests/programs/upgrade.c), and what only a stream among others can do."""
import struct
import time

import pytest

import servers
from h2wire import (CANCEL, DATA, END_HEADERS, END_STREAM, H2, NO_ERROR, PROTOCOL_ERROR, RST_STREAM,
                    WINDOW_UPDATE, frame)
from wire import eventually, once, request


def pattern(n):
    return bytes(i * 7 % 251 for i in range(n))


@pytest.fixture(scope="module")
def server():
    with servers.launch("upgrade", ready_path="/plain") as s:
        yield s


@pytest.fixture
def c(server):
    with H2(server.addr) as c:
        yield c


def connect(c, stream, path="/echo", *extra, protocol="echo", method="CONNECT", drop=(), flags=END_HEADERS):
    fields = [(":method", method), (":protocol", protocol), (":scheme", "http"), (":path", path),
              (":authority", c.authority)]
    return c.headers(stream, [f for f in fields if f[0] not in drop] + list(extra), flags)


def opened(c, stream):
    """Its head, which says that the tunnel is open."""
    c.until(lambda f: stream in c.responses and c.responses[stream].status)
    r = c.responses[stream]
    assert r.status == 200, r
    for name in ("upgrade", "connection", "content-length", "transfer-encoding"):
        assert r.get(name) is None, r
    return r


def exactly(c, stream, n):
    r = c.responses[stream]
    while len(r.body) < n:
        assert not r.ended and r.reset is None, r
        assert c.next(), "the connection ended"
    return r.body


def plain(c, stream):
    """The connection goes on."""
    r = c.get(stream, "/plain")
    assert r.status == 200 and r.body == b"plain\n"


def test_echo_both_ways(c):
    connect(c, 1)
    assert opened(c, 1).get("x-extra") == "field"
    sent = b""
    for data in (b"x", b"hello\r\n\r\nGET / HTTP/1.1\r\n\r\n", pattern(300000)):
        c.body(1, data, end=False)
        sent += data
        assert exactly(c, 1, len(sent)) == sent
    c.frame(DATA, END_STREAM, 1)
    r = c.response(1)
    assert r.ended and r.reset is None and r.body == sent
    plain(c, 3)


@pytest.mark.parametrize("path", ["/echo", "/paused", "/late"])
def test_early_bytes_and_early_end(c, path):
    """What comes in the same segment as the request is the stream's, and its end waits its turn."""
    c.send(frame(1, END_HEADERS, 1, c.block([(":method", "CONNECT"), (":protocol", "echo"), (":scheme", "http"),
                                            (":path", path), (":authority", "t")])) +
           frame(DATA, 0, 1, b"ear") + frame(DATA, END_STREAM, 1, b"ly"))
    r = c.response(1)
    assert r.status == 200 and r.body == b"early" and r.ended and r.reset is None
    plain(c, 3)


@pytest.mark.parametrize("path", ["/echo", "/paused", "/late"])
def test_end_with_the_head(c, path):
    connect(c, 1, path, flags=END_HEADERS | END_STREAM)
    r = c.response(1)
    assert r.status == 200 and r.body == b"" and r.ended and r.reset is None


def test_several_at_once_beside_requests(c):
    """Each has its own bytes; one that is not read holds up nobody."""
    for stream in (1, 3, 5):
        connect(c, stream)
    for stream in (1, 3, 5):
        opened(c, stream)
        c.frame(DATA, 0, stream, b"%d" % stream * 4)
    plain(c, 7)
    for stream in (5, 1, 3):
        assert exactly(c, stream, 4) == b"%d" % stream * 4
    c.frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))
    c.frame(DATA, 0, 3, b"on")
    assert exactly(c, 3, 6) == b"3333on"


@pytest.mark.parametrize("protocol,status", [
    ("other", 426), ("echoes", 426), ("echo/1", 426), ("ECHO", 200),
])
def test_only_what_was_asked_for(c, protocol, status):
    connect(c, 1, protocol=protocol)
    if status == 200:
        opened(c, 1)
        return
    r = c.response(1)
    assert r.status == status and r.ended
    # The request had not ended, and need not.
    c.until(lambda f: f.kind == RST_STREAM)
    assert r.reset == NO_ERROR
    plain(c, 3)


@pytest.mark.parametrize("path", ["/plain", "/pieces"])
def test_success_without_taking_it_is_none(c, path):
    """A handler that answers the GET it sees would open a tunnel by that (RFC 9110 section 9.3.6)."""
    connect(c, 1, path)
    r = c.response(1)
    assert r.status == 501 and r.ended and r.body == b"" and r.get("content-type") is None
    plain(c, 3)


def test_what_comes_early_is_no_body(c):
    connect(c, 1, "/reads")
    c.frame(DATA, 0, 1, b"early")
    assert c.response(1).status == 403
    plain(c, 3)


def test_no_route(c):
    connect(c, 1, "/nowhere")
    assert c.response(1).status == 404
    plain(c, 3)


@pytest.mark.parametrize("kw", [
    {"drop": (":path",)}, {"drop": (":scheme",)}, {"method": "GET"}, {"method": "POST"},
    {"protocol": ""}, {"protocol": "a b"}, {"protocol": "h2c, echo"}, {"protocol": "/1"}, {"protocol": "echo/"},
    {"path": "echo"}, {"path": "*"},
], ids=str)
def test_malformed(c, kw):
    """RFC 8441 section 4, RFC 9113 section 8.3: the stream's error."""
    connect(c, 1, kw.pop("path", "/echo"), **kw)
    r = c.response(1)
    assert r.reset == PROTOCOL_ERROR and r.status is None
    plain(c, 3)


def test_a_length_of_what_has_none(c):
    connect(c, 1, "/echo", ("content-length", "4"))
    assert c.response(1).status == 400
    plain(c, 3)


@pytest.mark.parametrize("path", ["/echo", "/late"])
def test_fields_in_the_tunnel(c, path):
    """RFC 9113 section 8.5: nothing but DATA, neither before it is open nor after."""
    connect(c, 1, path)
    c.headers(1, [("x-trailer", "1")])
    r = c.response(1)
    assert r.reset == PROTOCOL_ERROR
    plain(c, 3)


def test_back_pressure():
    """A peer that sends and does not read fills its window, and no more; everything comes in the end."""
    data = pattern(1 << 20) * 2
    with servers.launch("upgrade", "write_high_bytes=65536", ready_path="/plain") as s, H2(s.addr) as c:
        c.updates = False
        connect(c, 1)
        opened(c, 1)
        sent = 0
        while sent < len(data):
            n = min(c.window, c.windows.get(1, 0) + c.settings.get(4, 65535), 16384, len(data) - sent)
            if n <= 0:
                # Both have what they may have; no more comes until we take it.
                c.settle()
                if min(c.window, c.windows.get(1, 0) + c.settings.get(4, 65535)) <= 0:
                    break
                continue
            c.frame(DATA, 0, 1, data[sent:sent + n])
            c.window -= n
            c.windows[1] = c.windows.get(1, 0) - n
            sent += n
        assert sent < len(data), "the server took everything"
        assert s.rss_kib() < 64 << 10
        c.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 100))
        plain(c, 3)
        c.updates = True
        held = struct.pack(">I", len(c.responses[1].body))
        c.send(frame(WINDOW_UPDATE, 0, 0, held) + frame(WINDOW_UPDATE, 0, 1, held))
        assert exactly(c, 1, sent) == data[:sent]


def test_deadlines_of_requests_are_not_the_streams():
    with servers.launch("upgrade", "body_timeout_ms=200", "min_rate_grace_ms=100", "keepalive_timeout_ms=200",
                        "header_timeout_ms=200", ready_path="/plain") as s, H2(s.addr) as c:
        connect(c, 1)
        opened(c, 1)
        time.sleep(0.8)
        c.frame(DATA, 0, 1, b"still here")
        assert exactly(c, 1, 10) == b"still here"


@pytest.mark.parametrize("path", ["/echo", "/late"])
def test_drain_tells_the_stream(path):
    """… also the one that is taken when the drain has begun."""
    with servers.launch("upgrade", "drain_timeout_ms=20000", ready_path="/plain") as s, H2(s.addr) as c:
        connect(c, 1, path)
        if path == "/echo":
            opened(c, 1)
        else:
            c.ping()
        since = time.monotonic()
        s.signal()
        r = c.response(1)
        assert r.status == 200 and r.body == b"bye\n" and r.ended
        assert c.ended().code == NO_ERROR
        assert s.wait() == 0
        assert time.monotonic() - since < 10
        s.assert_clean()


def test_handler_that_fails_resets(c):
    connect(c, 1, "/fails")
    opened(c, 1)
    c.frame(DATA, 0, 1, b"x")
    assert c.response(1).reset == CANCEL
    plain(c, 3)


def test_reset_and_counters():
    """A stream's end is its exchange's, whoever brings it about; the log has the GET it stands for."""
    with servers.launch("upgrade", ready_path="/plain") as s:
        def metric(name):
            text = once(s.addr, request("GET", "/metrics", "Connection: close")).body.decode()
            return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                       if line.startswith(name))

        def ended():
            return metric('tako_http_requests_total{method="ANY",route="/echo",class="2xx"}')
        with H2(s.addr) as c:
            connect(c, 1)
            opened(c, 1)
            assert metric("tako_requests_active") == 2
            assert ended() == 0
            c.frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))
            eventually(lambda: metric("tako_requests_active") == 1)
            assert ended() == 1
            connect(c, 3)
            opened(c, 3)
            c.close()
        eventually(lambda: ended() == 2)

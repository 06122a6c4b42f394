# SPDX-License-Identifier: MIT
"""How WebSockets begin, wait and end (tests/programs/ws.c): the handshake, deadlines, slow peers, other
threads, the end of the server."""
import struct
import time

import pytest

import servers
from wire import PATIENCE, eventually, on_time, request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASK = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}",
       "Sec-WebSocket-Version: 13")
MASK = b"\x01\x02\x03\x04"


def frame(op, data=b"", fin=True):
    """A client's."""
    head = bytes([op | (0x80 if fin else 0)])
    n = len(data)
    head += bytes([0x80 | n]) if n < 126 else struct.pack(">BH", 0xfe, n) if n < 65536 \
        else struct.pack(">BQ", 0xff, n)
    return head + MASK + bytes(b ^ MASK[i & 3] for i, b in enumerate(data))


def close(code=None, reason=b""):
    return frame(8, struct.pack(">H", code) + reason if code else b"")


class WebSocket:
    def __init__(self, wire, path="/echo", *fields):
        self.w = wire
        wire.send(request("GET", path, *ASK, *fields))
        self.head = wire.head()
        assert self.head.status == 101, self.head

    def send(self, *frames):
        self.w.send(b"".join(frames))
        return self

    def recv(self):
        """(first byte, payload) of the server's next frame."""
        first, n = self.w.exactly(2)
        assert not n & 0x80
        if n >= 126:
            n = int.from_bytes(self.w.exactly(2 if n == 126 else 8), "big")
        return first, self.w.exactly(n)

    def closed_with(self, code, reason=b""):
        assert self.recv() == (0x88, struct.pack(">H", code) + reason)
        return self


@pytest.fixture(scope="module")
def server():
    with servers.launch("ws") as s:
        yield s


@pytest.fixture
def fresh():
    """One whose events are this test's alone."""
    with servers.launch("ws") as s:
        yield s


def events(s):
    with s.connect() as w:
        return w.get("/events", "Connection: close").body.decode().splitlines()


def happened(s, *lines):
    return lambda: all(line in events(s) for line in lines)


# ---- The handshake ---------------------------------------------------------------------------

def without(name):
    return [f for f in ASK if not f.startswith(name)]


REFUSED = [
    ("no upgrade", "GET", [], 426),
    ("another protocol", "GET", ["Upgrade: h2c", *without("Upgrade")], 426),
    ("no connection option", "GET", without("Connection"), 426),
    ("another method", "POST", ASK, 405),
    ("no version", "GET", without("Sec-WebSocket-Version"), 400),
    ("an old version", "GET", [*without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"], 426),
    ("two versions", "GET", [*ASK, "Sec-WebSocket-Version: 13"], 400),
    ("no key", "GET", without("Sec-WebSocket-Key"), 400),
    ("a short key", "GET", [*without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: AAAA"], 400),
    ("two keys", "GET", [*ASK, f"Sec-WebSocket-Key: {KEY}"], 400),
    ("a body", "GET", [*ASK, "Content-Length: 1"], 400),
]


@pytest.mark.parametrize("what,method,fields,status", REFUSED, ids=[r[0] for r in REFUSED])
def test_what_is_no_handshake_is_refused(server, what, method, fields, status):
    with server.connect() as w:
        w.send(request(method, "/echo", *fields))
        r = w.head()
    assert r.status == status
    assert r.get("Sec-WebSocket-Accept") is None
    if status == 426:
        assert r.get("Sec-WebSocket-Version") == "13"
        assert r.get("Upgrade") == "websocket" and "upgrade" in r.tokens("Connection")
    if status == 405:
        assert r.get("Allow") == "GET"


def test_what_is_answered(server):
    with server.connect() as w:
        ws = WebSocket(w, "/echo?subprotocols=chat.v2,chat.v1", "Sec-WebSocket-Protocol: x, chat.v1",
                       "Sec-WebSocket-Protocol: chat.v2", "Sec-WebSocket-Extensions: unknown; a=1")
        assert ws.head.get("Sec-WebSocket-Accept") == ACCEPT
        assert ws.head.get("Sec-WebSocket-Protocol") == "chat.v2", "the server's preference"
        assert ws.head.get("Sec-WebSocket-Extensions") is None
        assert ws.head.get("X-Extra") == "field"
        assert ws.head.get("Content-Length") is None


@pytest.mark.parametrize("offer", [[], ["Sec-WebSocket-Protocol: other"], ["Sec-WebSocket-Protocol: CHAT"]])
def test_no_subprotocol_that_was_not_offered(server, offer):
    with server.connect() as w:
        assert WebSocket(w, "/echo?subprotocols=chat", *offer).head.get("Sec-WebSocket-Protocol") is None


@pytest.mark.parametrize("origin,status", [
    ("https://a.example", 101), ("HTTPS://A.example:443", 101), ("http://b.example:3000", 101),
    ("http://a.example", 403), ("https://a.example:444", 403), ("https://a.example.evil", 403),
    ("http://b.example", 403), ("null", 403), (None, 403)])
def test_origins(server, origin, status):
    with server.connect() as w:
        w.send(request("GET", "/echo?origins=https://a.example,http://b.example:3000", *ASK,
                       *([f"Origin: {origin}"] if origin else [])))
        assert w.head().status == status


@pytest.mark.parametrize("query,why", [("subprotocols=a%20b", "no token"), ("origins=a", "no origin"),
                                       ("reserved=1", "reserved"), ("slow=2", "slow")])
def test_a_config_that_makes_no_sense(fresh, query, why):
    with fresh.connect() as w:
        w.send(request("GET", f"/echo?{query}", *ASK))
        assert w.head().status == 500
    assert [e for e in events(fresh) if e.startswith("refused EINVAL") and why in e]


def test_frames_behind_the_request(server):
    """What comes in one segment with it is not lost, whatever the segments are."""
    data = request("GET", "/echo", *ASK) + frame(1, b"early") + frame(9, b"p")
    for send in (lambda w: w.send(data), lambda w: w.drip(data)):
        with server.connect() as w:
            send(w)
            assert w.head().status == 101
            ws = WebSocket.__new__(WebSocket)
            ws.w = w
            assert ws.recv() == (0x81, b"early")
            assert ws.recv() == (0x8a, b"p")


# ---- The end ------------------------------------------------------------------------------------

def test_the_peer_closes(fresh):
    with fresh.connect() as w:
        WebSocket(w).send(close(1000, b"done")).closed_with(1000, b"done")
        assert w.until_gone() == b""
    assert events(fresh) == ["open -", "close 1000 done"]


def test_the_peer_closes_without_a_code(fresh):
    with fresh.connect() as w:
        assert WebSocket(w).send(close()).recv() == (0x88, b"")
        assert w.until_gone() == b""
    assert events(fresh) == ["open -", "close 1005 "]


@pytest.mark.parametrize("leave", ["finish", "reset"])
def test_the_connection_is_lost(fresh, leave):
    with fresh.connect() as w:
        ws = WebSocket(w).send(frame(1, b"half a message", fin=False))
        getattr(ws.w, leave)()
        eventually(happened(fresh, "close 1006 "))
    assert events(fresh) == ["open -", "close 1006 "]


def test_we_close(fresh):
    with fresh.connect() as w:
        ws = WebSocket(w, "/command").send(frame(1, b"close 4001 so long"))
        ws.closed_with(4001, b"so long")
        # What is on its way is dropped, whatever it is; only a close counts.
        ws.send(frame(1, b"late"), frame(9, b"late"), frame(2, b"\xff", fin=False), close(1000))
        assert w.until_gone() == b""
    assert events(fresh) == ["open -", "closing OK", "close 4001 so long"]


def test_we_close_and_nobody_answers(fresh):
    with fresh.connect() as w:
        ws = WebSocket(w, "/command?close_timeout_ms=150")
        begin = time.monotonic()
        ws.send(frame(1, b"close 1000 ")).closed_with(1000)
        assert w.until_gone() == b""
        assert 0.14 < time.monotonic() - begin < 3 * PATIENCE
    assert events(fresh)[-1] == "close 1006 "


@pytest.mark.parametrize("code,reason,result", [
    (999, "", "EINVAL"), (1002, "", "EINVAL"), (1004, "", "EINVAL"), (1005, "", "EINVAL"),
    (1006, "", "EINVAL"), (1015, "", "EINVAL"), (2999, "", "EINVAL"), (5000, "", "EINVAL"),
    (1000, "r" * 124, "EINVAL"), (1000, "r" * 123, "OK")])
def test_codes_to_close_with(fresh, code, reason, result):
    with fresh.connect() as w:
        WebSocket(w, "/command").send(frame(1, f"close {code} {reason}".encode()))
        eventually(happened(fresh, f"closing {result}"))


# ---- Time -----------------------------------------------------------------------------------------

def test_a_silent_peer_is_pinged_and_given_up():
    def attempt(tick):
        with servers.launch("ws") as s, s.connect() as w:
            ws = WebSocket(w, "/echo?ping_interval_ms=100&pong_timeout_ms=500")
            for _ in range(2):
                assert ws.recv() == (0x89, b"")
                tick()
                ws.send(frame(10))
            assert ws.recv() == (0x89, b"")
            tick()
            assert w.until_gone() == b""
            eventually(happened(s, "close 1006 "))
            assert events(s) == ["open -", "pong ", "pong ", "close 1006 "]

    on_time(0.4, attempt)


def test_idle():
    """Pings are no messages."""
    def attempt(tick):
        with servers.launch("ws") as s, s.connect() as w:
            ws = WebSocket(w, "/echo?idle_timeout_ms=600")
            for _ in range(2):
                time.sleep(0.1)
                assert ws.send(frame(9)).recv() == (0x8a, b"")
                tick()
            ws.closed_with(1001, b"idle").send(close(1001))
            assert w.until_gone() == b""
            eventually(happened(s, "close 1001 idle"))

    on_time(0.4, attempt)


def test_lifetime(fresh):
    def attempt(tick):
        with fresh.connect() as w:
            ws = WebSocket(w, "/echo?max_lifetime_ms=500")
            assert ws.send(frame(1, b"x")).recv() == (0x81, b"x")
            tick()
            ws.closed_with(1001, b"lifetime").send(close(1001))
            assert w.until_gone() == b""

    on_time(0.4, attempt)


# ---- Slow peers --------------------------------------------------------------------------------------

FLOOD = frame(1, b"flood 1000 65536")


def test_a_slow_peer_is_cut(fresh):
    with fresh.connect(rcvbuf=4096) as w:
        WebSocket(w, "/command?high_water_bytes=100000&max_unsent_bytes=500000").send(FLOOD)
        eventually(happened(fresh, "high", "flood 8 ECLOSED", "close 1008 "))
    assert events(fresh).count("high") == 1


def test_messages_for_a_slow_peer_are_dropped(fresh):
    with fresh.connect(rcvbuf=4096) as w:
        ws = WebSocket(w, "/command?high_water_bytes=100000&max_unsent_bytes=500000&slow=1").send(FLOOD)
        eventually(happened(fresh, "flood 8 EBUSY"))
        for _ in range(8):
            assert ws.recv() == (0x81, b"f" * 65536)
        eventually(happened(fresh, "drain"))
        assert ws.send(frame(1, b"after")).recv() == (0x81, b"after")
    assert events(fresh)[:4] == ["open -", "high", "flood 8 EBUSY", "drain"]


# ---- Sharing ----------------------------------------------------------------------------------------

def test_one_message_for_many(fresh):
    wires = [fresh.connect() for _ in range(5)]
    all_of_them = [WebSocket(w, "/command") for w in wires]
    all_of_them[0].send(frame(1, b"all hello"))
    for ws in all_of_them:
        assert ws.recv() == (0x81, b"hello")
    for w in wires:
        w.close()
    eventually(lambda: events(fresh).count("close 1006 ") == 5)


def test_from_another_thread(fresh):
    with fresh.connect() as w:
        ws = WebSocket(w, "/command").send(frame(1, b"thread"))
        assert ws.recv() == (0x81, b"shared")
        assert ws.recv() == (0x81, b"posted")
    with fresh.connect() as w:
        # What is posted to one that is closed is told so.
        WebSocket(w, "/command").send(frame(1, b"thread") + close(1000))
        w.until_gone()
    eventually(lambda: sum(e.startswith("posted") for e in events(fresh)) == 2)


def test_parts_and_facts(server):
    with server.connect() as w:
        ws = WebSocket(w, "/command").send(frame(1, b"parts abc"))
        assert [ws.recv() for _ in range(3)] == [(0x01, b"a"), (0x00, b"b"), (0x80, b"c")]
        assert ws.send(frame(1, b"conn")).recv() == (0x81, b"http/1.1")
        assert ws.send(frame(1, b"kind x")).recv() == (0x81, b"kind EINVAL")
        ws.send(frame(1, b"ping " + b"p" * 125))
        assert ws.recv() == (0x89, b"p" * 125)
        assert ws.recv() == (0x81, b"ping ok")
        assert ws.send(frame(1, b"ping " + b"p" * 126)).recv() == (0x81, b"ping EINVAL")


# ---- The server's end ---------------------------------------------------------------------------------

def test_drain_says_so_and_waits(fresh):
    with fresh.connect() as w, fresh.connect() as silent:
        ws = WebSocket(w)
        WebSocket(silent, "/echo?close_timeout_ms=300")
        fresh.signal()
        ws.closed_with(1001)
        time.sleep(0.1)
        assert fresh.proc.poll() is None
        ws.send(close(1001))
        assert w.until_gone() == b""
        assert fresh.wait() == 0
    assert sorted(fresh.stdout.splitlines()[1:]) == \
        ["close 1001 ", "close 1006 ", "open -", "open -", "stopped OK"]
    fresh.assert_clean()


def test_drain_does_not_wait_for_ever():
    with servers.launch("ws", "drain_timeout_ms=300") as s, s.connect() as w:
        ws = WebSocket(w, "/echo?close_timeout_ms=off")
        s.signal()
        ws.closed_with(1001)
        assert s.wait() == 3
        assert s.said("stopped") == "ETIMEDOUT"
        assert "close 1006 " in s.stdout.splitlines()
        s.assert_clean(3)

# SPDX-License-Identifier: MIT
"""How WebSockets end (tests/programs/ws.c): each exactly once and with the right code; and what time, a full
queue, another thread and a server that stops do to them."""
import subprocess
import threading
import time

import pytest

import servers
from wire import PATIENCE, SAN, Wire, eventually, on_time, once, request, scaled
from wswire import (BINARY, CLOSE, CONT, PING, TEXT, WS, binary, close, cont, frame, message, ping, pong,
                    text)


@pytest.fixture
def server():
    with servers.launch("ws") as s:
        yield s


def events(s):
    return once(s.addr, request("GET", "/events", "Connection: close")).body.decode().splitlines()


def ended(s, count=1):
    """The closes there were, when there are that many; and that each had its open."""
    eventually(lambda: sum(e.startswith("close ") for e in events(s)) >= count)
    said = events(s)
    closes = [e for e in said if e.startswith("close ")]
    assert len(closes) == count and sum(e.startswith("open ") for e in said) == count, said
    return closes


# ---- on_close, exactly once ---------------------------------------------------------------------------

ENDS = {
    "their close": (lambda w: w.goodbye(1000, b"bye"), "close 1000 bye"),
    "their close without a code": (lambda w: w.goodbye(None), "close 1005 "),
    "their own code": (lambda w: w.goodbye(4321), "close 4321 "),
    "their close in a message": (lambda w: w.send(text(b"a", fin=False) + close(1001)).event(), "close 1001 "),
    "their end without a close": (lambda w: (w.wire.finish(), w.ends()), "close 1006 "),
    "their end in a frame": (lambda w: (w.send(frame(TEXT, b"abc", length=9)).wire.finish(), w.ends()),
                             "close 1006 "),
    "their end in a head": (lambda w: (w.send(b"\x81").wire.finish(), w.ends()), "close 1006 "),
    "a reset": (lambda w: w.wire.reset(), "close 1006 "),
    "a reset with much on its way": (lambda w: (w.send(binary(bytes(1 << 20))), w.wire.reset()), None),
    "nonsense": (lambda w: w.send(frame(3)).fails(1002), "close 1002 "),
    "bad text": (lambda w: w.send(text(b"\xff")).fails(1007), "close 1007 "),
    "too much": (lambda w: w.send(frame(BINARY, length=1 << 30)).fails(1009), "close 1009 "),
    "nonsense, then a reset": (lambda w: (w.send(frame(3)), w.wire.reset()), None),
    "both at once": (lambda w: (w.told("close 3001 ours"), w.send(close(3002)), w.event(), w.ends()), None),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_once(server, name):
    act, want = ENDS[name]
    with WS(server.addr, "/command") as w:
        act(w)
    said = ended(server)
    assert want is None or said == [want], said


def test_our_close(server):
    """Our close, its answer, and then the connection's end, in that order (section 7.1.1)."""
    with WS(server.addr, "/command") as w:
        w.told("close 4000 because")
        assert w.event() == (CLOSE, 4000, "because")
        assert not any(e.startswith("close") for e in events(server)), "it is over before the answer"
        # What comes now is dropped, be it right or wrong.
        w.send(text(b"late") + ping(b"late") + text(b"\xff") + close(4000))
        w.ends()
    assert ended(server) == ["close 4000 because"]


def test_close_amid_their_ping(server):
    """Ours comes between two pieces of a ping: the rest of that is dropped, and is no part of their answer,
    however long both are (section 5.5: 125 bytes each)."""
    with WS(server.addr, "/echo?max_lifetime_ms=300") as w:
        whole = ping(b"p" * 125)
        w.send(whole[:-1])
        assert w.event() == (CLOSE, 1001, "lifetime")
        w.send(whole[-1:] + close(1001, b"r" * 123))
        w.ends()
    assert ended(server) == ["close 1001 " + "r" * 123]
    with WS(server.addr, "/echo") as w:
        assert w.send(text(b"alive")).event() == (TEXT, b"alive")


def test_send_then_close(server):
    """What was sent before the close arrives before it."""
    with WS(server.addr, "/command") as w:
        w.told("flood 50 10000").told("close 1000 ")
        for _ in range(50):
            assert w.event() == (TEXT, b"f" * 10000)
        assert w.event()[:2] == (CLOSE, 1000)
        w.send(close(1000)).ends()



# ---- Time -------------------------------------------------------------------------------------------------


def test_pings_and_no_pong(server):
    """A silent peer is asked, and given up when it does not answer."""
    since = time.monotonic()
    with WS(server.addr, "/echo?ping_interval_ms=150&pong_timeout_ms=300") as w:
        assert w.event()[0] == PING
        assert 0.1 < time.monotonic() - since < 3 * PATIENCE
        while (e := w.event()) is not None:
            assert e[0] in (PING, CLOSE), e
        assert time.monotonic() - since > 0.4
    assert ended(server) == ["close 1006 "]


def test_pongs_keep_it(server):
    with WS(server.addr, "/echo?ping_interval_ms=100&pong_timeout_ms=1500") as w:
        for _ in range(5):
            op, payload = w.event()
            assert op == PING
            w.send(pong(payload))
        assert w.ask(TEXT, b"there") == (TEXT, b"there")
        w.goodbye()


def test_anything_keeps_it(server):
    """Who talks is not asked whether it is there."""
    def attempt(tick):
        with WS(server.addr, "/echo?ping_interval_ms=600&pong_timeout_ms=100") as w:
            for i in range(6):
                tick()
                time.sleep(0.15)
                assert w.ask(TEXT, b"%d" % i) == (TEXT, b"%d" % i)
            w.goodbye()

    on_time(0.4, attempt)


def test_idle(server):
    """Pings and pongs are no messages."""
    since = time.monotonic()
    with WS(server.addr, "/echo?idle_timeout_ms=400&ping_interval_ms=100") as w:
        while (e := w.event())[0] == PING:
            w.send(pong(e[1]))
        assert e[:2] == (CLOSE, 1001)
        assert 0.35 < time.monotonic() - since < 5 * PATIENCE
        w.send(close(1001)).ends()
    assert ended(server)[0].startswith("close 1001")


def test_messages_are_not_idle(server):
    def attempt(tick):
        with WS(server.addr, "/echo?idle_timeout_ms=600") as w:
            for _ in range(4):
                tick()
                time.sleep(0.2)
                assert w.ask(TEXT, b"x") == (TEXT, b"x")
            w.goodbye()

    on_time(0.4, attempt)



def test_requests_have_other_deadlines():
    """A WebSocket is not a slow request: it outlives who is silent and came after it, and who waits for the next
    byte of a head."""
    def outlived(*said):
        for data in said:
            with s.connect() as silent:
                silent.send(data)
                silent.until_gone()

    with servers.launch("ws", "body_timeout_ms=200", "header_timeout_ms=200", "keepalive_timeout_ms=200",
                        "min_rate_grace_ms=100", "worker_count=1") as s, WS(s.addr) as w:
        outlived(b"", b"GET / HTTP/1.1\r\n", request("GET", "/events"))
        assert w.ask(TEXT, b"still here") == (TEXT, b"still here")
        w.send(text(b"slow", fin=False))
        outlived(b"", b"GET / HTTP/1.1\r\n")
        w.send(cont(b"ly"))
        assert w.event() == (TEXT, b"slowly")
        w.goodbye()


# ---- A server that stops ------------------------------------------------------------------------------------

@pytest.mark.parametrize("over", ["tcp", "h2"])
def test_drain(over):
    """1001, and the server waits for the answer."""
    with servers.launch("ws", "drain_timeout_ms=20000") as s, WS(s.addr, over=over) as w, \
            WS(s.addr, over=over) as other:
        w.send(text(b"half", fin=False))
        s.signal()
        for each in (w, other):
            assert each.event()[:2] == (CLOSE, 1001)
        w.send(close(1001)).ends()
        # One's answer is not the other's.
        with pytest.raises(subprocess.TimeoutExpired):
            s.wait(0.3)
        other.send(close(1001)).ends()
        assert s.wait() == 0
        s.assert_clean()
        assert s.stdout.count("close 1001") == 2


def test_drain_without_an_answer():
    """The deadline of a close is the drain's, too."""
    since = time.monotonic()
    with servers.launch("ws", "drain_timeout_ms=20000") as s, WS(s.addr, "/echo?close_timeout_ms=300") as w:
        s.signal()
        assert w.event()[:2] == (CLOSE, 1001)
        w.ends()
        assert s.wait() == 0
        s.assert_clean()
    assert time.monotonic() - since < 10 * PATIENCE



# ---- Slow peers ------------------------------------------------------------------------------------------------



def test_slow_peer_misses_messages(server):
    with WS(server.addr, "/command?max_unsent_bytes=500000&slow=1&high_water_bytes=100000", rcvbuf=8192) as w:
        w.told("flood 1000 10000")
        flood = eventually(lambda: [e for e in events(server) if e.startswith("flood")])[0].split()
        assert flood[2] == "EBUSY", flood
        taken = int(flood[1])
        assert 40 < taken < 1000
        for _ in range(taken):
            assert w.event() == (TEXT, b"f" * 10000)
        # It lives, and its queue has emptied: told once that it was full, once that it is not.
        assert w.ask(TEXT, b"after") == (TEXT, b"after")
        said = [e for e in events(server) if e in ("high", "drain")]
        assert said == ["high", "drain"], said
        w.goodbye()


def test_nobody_reads():
    """Who only sends is held up, or cut; its echoes do not pile up."""
    with servers.launch("ws", "write_timeout_ms=20000") as s, WS(s.addr, rcvbuf=8192) as w:
        before = s.rss_kib()
        data = binary(bytes(100000)) * 50
        w.wire.sock.setblocking(False)
        quiet = time.monotonic() + 1
        while time.monotonic() < quiet:
            try:
                if w.wire.sock.send(data):
                    quiet = time.monotonic() + 0.5
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break
        assert s.rss_kib() < before + 16384 * PATIENCE


# ---- From elsewhere ----------------------------------------------------------------------------------------------


def test_another_thread(server):
    with WS(server.addr, "/command") as w:
        for _ in range(20):
            w.told("thread")
            assert w.event() == (TEXT, b"shared")
            assert w.event() == (TEXT, b"posted")
        w.goodbye()


# A reset takes with it what was not read yet, which byte by byte is a command.
@servers.in_whole_pieces
def test_another_thread_comes_too_late(server):
    """It finds nobody, and is told so; nothing of it leaks."""
    for _ in range(scaled(30)):
        with WS(server.addr, "/command") as w:
            w.told("thread").told("thread")
            w.wire.reset()
    eventually(lambda: sum(e.startswith("posted") for e in events(server)) == 2 * scaled(30))



@pytest.mark.parametrize("path", ["/command", "/command?deflate=1&threshold_bytes=1"])
def test_commands(server, path):
    with WS(server.addr, path, offer="permessage-deflate") as w:
        w.told("ping are you there")
        assert {w.event(), w.event()} == {(PING, b"are you there"), (TEXT, b"ping ok")}
        w.send(pong(b"are you there"))
        w.told("parts frag")
        assert w.event() == (TEXT, b"frag")
        assert [f.payload for f in w.frames[-4:]] == [b"f", b"r", b"a", b"g"]
        w.told("kind x")
        assert w.event() == (TEXT, b"kind EINVAL")
        w.told("ping " + "x" * 126)
        assert w.event() == (TEXT, b"ping EINVAL")
        w.goodbye()
    assert "pong are you there" in events(server)


def test_stream_by_parts(server):
    """A message that is handed on before it has ended."""
    with WS(server.addr, "/stream?max_message_bytes=off") as w:
        def hears(data):
            got, op = b"", CONT if w.frames else BINARY
            while len(got) < len(data):
                f = w.next()
                assert f.op == op
                got, op = got + f.payload, CONT
            assert got == data
            return f.fin

        w.send(frame(BINARY, b"abc", length=6))
        assert not hears(b"abc")
        w.send(bytes(x ^ k for x, k in zip(b"def", b"\x3d\x37\xfa")))
        assert hears(b"def") or w.next().fin
        w.goodbye()


@servers.not_byte_by_byte
def test_stream_of_megabytes(server):
    with WS(server.addr, "/stream?max_message_bytes=off") as w:
        data = bytes(i % 251 for i in range(3 << 20))
        out = threading.Thread(target=lambda: w.send(message(BINARY, data, 300000)))
        out.start()
        got = w.event()
        out.join()
        assert got == (BINARY, data)
        w.goodbye()


def test_stream_text_is_checked(server):
    with WS(server.addr, "/stream") as w:
        w.send(frame(TEXT, b"abc\xff", length=100))
        while (f := w.next()).op != CLOSE:
            assert b"\xff" not in f.payload
        assert f.code == 1007


# ---- Many --------------------------------------------------------------------------------------------------------------


def test_many_come_and_go(server):
    """Nothing is left of them."""
    rng_ends = [lambda w: w.goodbye(), lambda w: w.wire.reset(), lambda w: w.send(frame(7)).fails(1002)]
    count = scaled(150)
    for i in range(count):
        with WS(server.addr, "/echo?deflate=1&threshold_bytes=1", offer="permessage-deflate") as w:
            assert w.ask(TEXT, b"hello %d" % i) == (TEXT, b"hello %d" % i)
            rng_ends[i % 3](w)
    ended(server, count)
    fds = server.fd_count()
    many = [WS(server.addr) for _ in range(50)]
    for w in many:
        w.wire.close()
    ended(server, count + 50)
    eventually(lambda: server.fd_count() <= fds + 2)
    with Wire(server.addr) as w:
        assert w.get("/stats").body.splitlines()[0] == b"open 1"


@pytest.mark.skipif(bool(SAN), reason="a sanitizer's memory is not the library's")
def test_memory_of_idle_ones(server):
    """Less than 2 KiB each, the kernel's apart; a quarter more for pages that are not full."""
    warm = [WS(server.addr) for _ in range(20)]
    before = server.rss_kib()
    many = [WS(server.addr) for _ in range(300)]
    try:
        assert (server.rss_kib() - before) / 300 < 2.5
    finally:
        for w in warm + many:
            w.wire.close()

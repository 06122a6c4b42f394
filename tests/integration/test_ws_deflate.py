# SPDX-License-Identifier: MIT
"""WebSocket compression (RFC 7692) frame by frame, Autobahn's families 12 and 13: every agreement with
messages of every size, and what must not be agreed on, sent or believed.  The other side is Python's zlib,
which refuses distances beyond the window that was agreed on."""
import itertools
import json
import random
import time
import zlib

import pytest

import h2wire
import servers
from wire import scaled
from wswire import (BINARY, CLOSE, CONT, DEFLATE, PING, PONG, RSV1, TAIL, TEXT, WS, close, cont, cuts, frame,
                    message, ping, pong, text)

#: Nothing is too small to be compressed, and no memory too large.
PATH = "/echo?deflate=1&threshold_bytes=1&memory_bytes=off&max_unsent_bytes=off"
SIZES = (0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)


@pytest.fixture(scope="module")
def server():
    with servers.launch("ws") as s:
        yield s


def words(n, seed=1):
    """JSON as services exchange it: it compresses well, and refers far back."""
    rng = random.Random(seed)
    known = [f"{rng.getrandbits(40):x}" for _ in range(300)]
    out = []
    while sum(map(len, out)) < n:
        out.append(json.dumps({"id": rng.randrange(1000), "name": rng.choice(known), "tags": rng.sample(known, 3)}))
    return "".join(out)[:n].encode()


TEXTS = {n: words(n, n) for n in SIZES}
NOISE = random.Random(5).randbytes(131072)


def offer_of(server_no_context, client_no_context, server_bits, client_bits):
    parts = [DEFLATE]
    if server_no_context:
        parts.append("server_no_context_takeover")
    if client_no_context:
        parts.append("client_no_context_takeover")
    if server_bits:
        parts.append(f"server_max_window_bits={server_bits}")
    if client_bits:
        parts.append("client_max_window_bits" + ("" if client_bits == "any" else f"={client_bits}"))
    return "; ".join(parts)


AGREEMENTS = list(itertools.product((False, True), (False, True), (None, 9, 15), (None, "any", 8, 9, 15)))


@pytest.mark.parametrize("agreement", AGREEMENTS, ids=lambda a: "-".join(map(str, a)))
def test_agreement(server, agreement):
    """13: what was asked for is answered (section 7.1) and kept to, whole and in frames of every size."""
    server_no_context, client_no_context, server_bits, client_bits = agreement
    with WS(server.addr, PATH, offer=offer_of(*agreement)) as w:
        p = w.deflate.params
        assert p.server_no_context == server_no_context and p.client_no_context == client_no_context
        assert p.given.get("server_max_window_bits") == server_bits
        assert p.client_bits <= (client_bits if isinstance(client_bits, int) else 15)
        for i, n in enumerate(SIZES):
            op, data = (TEXT, TEXTS[n]) if i % 2 else (BINARY, NOISE[:n // 2] + TEXTS[n][n // 2:])
            assert w.ask(op, data, size=(None, 256, 4096, 32768)[i % 4]) == (op, data)
            # What does not become smaller may leave as it is.
            assert w.frames[-1].rsv or n < 1024
        w.goodbye()


@pytest.mark.parametrize("n,count", [(16, 300), (64, 300), (256, 200), (1024, 100), (4096, 50), (8192, 30)])
@pytest.mark.parametrize("op", [TEXT, BINARY])
def test_many(server, n, count, op):
    """12: many messages behind each other."""
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        data = [words(n, i) for i in range(count)]
        for d in data:
            w.say(op, d)
        assert [w.event() for _ in data] == [(op, d) for d in data]
        w.goodbye()


#: The server's own settings, what is offered to it, and what it must answer; None: nothing.
SETTINGS = [
    ("", DEFLATE, None),
    ("deflate=1", "", None),
    ("deflate=1", "permessage-bzip2, x-webkit-deflate-frame", None),
    ("deflate=1", f"{DEFLATE}; server_max_window_bits=8", None),
    ("deflate=1", f"{DEFLATE}; server_max_window_bits=16", None),
    ("deflate=1", f"{DEFLATE}; server_max_window_bits", None),
    ("deflate=1", f"{DEFLATE}; unknown", None),
    ("deflate=1", f"{DEFLATE}; client_no_context_takeover; client_no_context_takeover", None),
    ("deflate=1", f"{DEFLATE}; unknown, {DEFLATE}; server_no_context_takeover", {"server_no_context_takeover": True}),
    ("deflate=1", f"foo, {DEFLATE}", {}),
    ("deflate=1&server_no_context=1", DEFLATE, {"server_no_context_takeover": True}),
    ("deflate=1&client_no_context=1", DEFLATE, {"client_no_context_takeover": True}),
    ("deflate=1&memory_bytes=off&client_window_bits=10", f"{DEFLATE}; client_max_window_bits",
     {"client_max_window_bits": 10}),
    ("deflate=1&memory_bytes=off&client_window_bits=10", f"{DEFLATE}; client_max_window_bits=9",
     {"client_max_window_bits": 9}),
    # Who does not offer it cannot be told (section 7.1.2.2), and would use more than we want.
    ("deflate=1&client_window_bits=10", DEFLATE, None),
    ("deflate=1&server_window_bits=10", f"{DEFLATE}; server_max_window_bits=12", {"server_max_window_bits": 10}),
    ("deflate=1&memory_bytes=1", f"{DEFLATE}; client_max_window_bits",
     {"server_no_context_takeover": True, "client_no_context_takeover": True}),
]


@pytest.mark.parametrize("query,offer,want", SETTINGS)
def test_settings(server, query, offer, want):
    with WS(server.addr, f"/echo?{query}", offer=offer or None) as w:
        assert (w.deflate and w.deflate.params.given) == want
        assert w.ask(TEXT, b"Hello" * 100) == (TEXT, b"Hello" * 100)
        assert bool(w.frames[-1].rsv) == (want is not None)
        w.goodbye()


def test_memory_is_kept_to(server):
    """The default of 64 KiB makes windows smaller, and the answer says so where it can."""
    with WS(server.addr, "/echo?deflate=1", offer=f"{DEFLATE}; client_max_window_bits") as w:
        assert 9 <= w.deflate.params.client_bits < 15
        assert not w.deflate.params.client_no_context
        for n in (65536, 1000, 131072):
            assert w.ask(TEXT, TEXTS.get(n, words(n))) == (TEXT, TEXTS.get(n, words(n)))
        w.goodbye()


# ---- Contexts (section 7.1.1) -------------------------------------------------------------------------


def test_context_is_kept(server):
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        for _ in range(2):
            assert w.ask(TEXT, TEXTS[1024]) == (TEXT, TEXTS[1024])
        first, second = [f for f in w.frames if f.op == TEXT]
        assert len(second.payload) < len(first.payload) / 4, "nothing was remembered"


@pytest.mark.parametrize("how", ["server_no_context_takeover", "server_no_context=1"])
def test_context_is_not_kept(server, how):
    by_us = not how.endswith("=1")
    with WS(server.addr, PATH + ("" if by_us else f"&{how}"), offer=f"{DEFLATE}; {how}" if by_us else DEFLATE) as w:
        for _ in range(2):
            assert w.ask(TEXT, TEXTS[1024]) == (TEXT, TEXTS[1024])
        first, second = [f for f in w.frames if f.op == TEXT]
        assert first.payload == second.payload


def test_no_context_to_refer_to(server):
    """Who agreed to keep none and refers to one has not sent DEFLATE."""
    with WS(server.addr, PATH, offer=f"{DEFLATE}; client_no_context_takeover") as w:
        w.deflate.params.client_no_context = False
        assert w.ask(TEXT, TEXTS[1024]) == (TEXT, TEXTS[1024])
        w.say(TEXT, TEXTS[1024])
        w.fails(1007)


def test_threshold(server):
    with WS(server.addr, "/echo?deflate=1&threshold_bytes=100", offer=DEFLATE) as w:
        for n in (0, 1, 99, 100, 99, 500):
            assert w.ask(TEXT, b"a" * n) == (TEXT, b"a" * n)
            assert bool(w.frames[-1].rsv) == (n >= 100)
    with WS(server.addr, "/echo?deflate=1&threshold_bytes=off", offer=DEFLATE) as w:
        assert w.ask(TEXT, b"a" * 5000) == (TEXT, b"a" * 5000)
        assert w.frames[-1].rsv == 0


# ---- Payloads (section 7.2) -----------------------------------------------------------------------------

HELLO = b"\xf2\x48\xcd\xc9\xc9\x07\x00"
PAYLOADS = {
    "7.2.3.1 one block": (HELLO, b"Hello"),
    "7.2.3.3 stored": (b"\x00\x05\x00\xfa\xffHello\x00", b"Hello"),
    "7.2.3.4 the last block": (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", b"Hello"),
    "7.2.3.5 two blocks": (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", b"Hello"),
    "7.2.3.6 empty": (b"\x00", b""),
    "many empty blocks": (b"\x00\x00\x00\xff\xff" * 50 + HELLO, b"Hello"),
    "many last blocks": (b"\x03\x00" * 50 + HELLO, b"Hello"),
}


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.parametrize("how", ["one frame", "frames of a byte", "empty frames", "bytes"])
def test_payload(server, name, how):
    payload, want = PAYLOADS[name]
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        if how == "frames of a byte":
            w.send(message(TEXT, payload, 1, RSV1))
        elif how == "empty frames":
            w.send(text(fin=False, rsv=RSV1) + ping(b"p") + cont(payload, fin=False) + cont())
            assert w.event() == (PONG, b"p")
        else:
            for piece in cuts(text(payload, rsv=RSV1), "bytes" if how == "bytes" else "whole"):
                w.send(piece)
        assert w.event() == (TEXT, want)
        # An uncompressed message is none of the context's business.
        w.send(text(b"plain"))
        assert w.event() == (TEXT, b"plain")
        assert w.ask(TEXT, b"Hello again") == (TEXT, b"Hello again")
        w.goodbye()


WRONG = {
    "a reserved block type": (b"\x06", 1007),
    "a length and not its complement": (b"\x00\x05\x00\xfa\xfeHello\x00", 1007),
    "a distance before the beginning": (b"\xf2\x00\x11\x00\x00", 1007),
    "half a code": (HELLO[:3], 1007),
    "half a stored block": (b"\x00\x50\x00\xaf\xffHello", 1007),
    "plain text": (b"this is not compressed at all", 1007),
    "not UTF-8 inside": (zlib.compress(b"abc\xff" * 9, 9)[2:-4] + b"\0", 1007),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_payload(server, name):
    payload, code = WRONG[name]
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        w.send(text(payload, rsv=RSV1))
        w.fails(code)


#: Section 6: RSV1 is for the first frame of a message; section 5.5 of RFC 6455: never for control frames.
MARKED = {
    "continuation": text(HELLO[:3], fin=False, rsv=RSV1) + cont(HELLO[3:], rsv=RSV1),
    "continuation only": text(b"a", fin=False) + cont(b"b", rsv=RSV1),
    "ping": ping(rsv=RSV1),
    "pong": pong(rsv=RSV1),
    "close": close(1000, rsv=RSV1),
    "RSV2": text(HELLO, rsv=RSV1 | 2),
    "RSV3": text(HELLO, rsv=1),
    "opcode": frame(3, HELLO, rsv=RSV1),
}


@pytest.mark.parametrize("name", MARKED)
def test_marked_wrongly(server, name):
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        w.send(MARKED[name])
        w.fails(1002)


def test_not_utf8_fails_before_the_end(server):
    z = zlib.compressobj(6, zlib.DEFLATED, -15)
    part = z.compress(b"ab\xffcd") + z.flush(zlib.Z_SYNC_FLUSH)
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        w.send(text(part, fin=False, rsv=RSV1))
        w.fails(1007)


# ---- Limits ---------------------------------------------------------------------------------------------


def squeezed(parts):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = b"".join(z.compress(p) for p in parts) + z.flush(zlib.Z_SYNC_FLUSH)
    assert out.endswith(TAIL)
    return out[:-4]


@pytest.mark.parametrize("size", [None, 100])
def test_limit_is_of_what_is_inflated(server, size):
    with WS(server.addr, PATH + "&max_message_bytes=5000", offer=DEFLATE) as w:
        assert w.ask(BINARY, b"z" * 5000, size=size) == (BINARY, b"z" * 5000)
        w.say(BINARY, b"z" * 5001, size=size)
        w.fails(1009)


@pytest.mark.parametrize("frames", [1, 50])
def test_bomb(server, frames):
    """64 MiB out of 64 KiB end at the limit of 1 MiB, at once and without the memory."""
    bomb = squeezed([bytes(1 << 20)] * 64)
    assert len(bomb) < 70000
    before = server.rss_kib()
    since = time.monotonic()
    with WS(server.addr, PATH, offer=DEFLATE) as w:
        try:
            w.send(message(BINARY, bomb, len(bomb) // frames + 1, RSV1))
        except OSError:
            pass
        w.fails(1009)
    assert time.monotonic() - since < w.timeout / 2
    assert server.rss_kib() < before + 8192


def test_large(server):
    with WS(server.addr, PATH + "&max_message_bytes=off", offer=DEFLATE) as w:
        data = TEXTS[131072] * 40
        w.say(TEXT, data, size=100000)
        assert w.event() == (TEXT, data)
        w.goodbye()


# ---- All of it together --------------------------------------------------------------------------------


def scene(rng, w):
    """Messages of any kind and size, whole or in frames, compressed or not, with control frames between the
    frames of some: the bytes, and the events that are due."""
    sent, due = b"", []
    for _ in range(rng.randrange(1, 12)):
        op = rng.choice((TEXT, BINARY))
        n = rng.choice((0, 1, 5, 125, 126, 1000, 5000, 65535, 65536, 70000))
        data = words(n, rng.random()) if op == TEXT or rng.random() < 0.5 else rng.randbytes(n)
        marked = w.deflate and rng.random() < 0.7
        payload = w.deflate.compress(data) if marked else data
        size = rng.choice((len(payload) or 1, max(1, len(payload) // rng.randrange(1, 9))))
        frames = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
        for i, part in enumerate(frames):
            sent += frame(CONT if i else op, part, fin=i == len(frames) - 1, rsv=0 if i or not marked else RSV1,
                          key=rng.randbytes(4))
            if i == len(frames) - 1:
                due.append((op, data))
            if rng.random() < 0.2:
                control = rng.randbytes(rng.randrange(126))
                kind = rng.choice((PING, PONG))
                sent += frame(kind, control)
                if kind == PING:
                    due.append((PONG, control))
    return sent, due


@pytest.mark.parametrize("over", ["tcp", "h2"])
@pytest.mark.parametrize("seed", range(scaled(40)))
def test_anything_in_order(server, over, seed):
    rng = random.Random(seed)
    agreement = rng.choice(AGREEMENTS)
    offer = offer_of(*agreement) if rng.random() < 0.8 else None
    with WS(server.addr, PATH, offer=offer, over=over) as w:
        sent, due = scene(rng, w)
        for piece in cuts(sent, "pieces", seed):
            w.send(piece)
        for want in due:
            assert w.event() == want
        w.goodbye()


@pytest.mark.parametrize("seed", range(scaled(60)))
def test_anything_at_all(server, seed):
    """One bit or byte of it is another one: it is refused or it is not, but nothing else happens."""
    rng = random.Random(1000 + seed)
    with WS(server.addr, PATH, offer=rng.choice((DEFLATE, None))) as w:
        sent = bytearray(scene(rng, w)[0])
        for _ in range(rng.choice((1, 1, 5))):
            sent[rng.randrange(min(len(sent), 3000))] ^= 1 << rng.randrange(8)
        try:
            for piece in cuts(bytes(sent), "pieces", seed):
                w.send(piece)
            w.send(close(1000))
            w.wire.finish()
        except OSError:
            pass
        while (e := w.event()) is not None:
            assert e[0] != CLOSE or e[1] in (1000, 1002, 1005, 1007, 1009) or e[1] >= 3000, e
    with WS(server.addr) as w:
        w.goodbye()


def test_small_windows(server):
    """Those of HTTP/2, smaller than a frame's head."""
    with WS(server.addr, PATH, over="h2", offer=DEFLATE, initial=((h2wire.INITIAL_WINDOW_SIZE, 1),)) as w:
        for data in (b"", b"a", NOISE[:3000]):
            assert w.ask(BINARY, data) == (BINARY, data)
        w.goodbye()

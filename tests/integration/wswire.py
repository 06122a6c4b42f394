# SPDX-License-Identifier: MIT
"""A WebSocket client that hides nothing and allows everything: frames out, as wrong as a test wants them,
and frames in, read as strictly as RFC 6455 and RFC 7692 ask.

It speaks over TCP, TLS or a stream of HTTP/2 (RFC 8441), whichever a test wants.
"""
import base64
import hashlib
import os
import random
import struct
import time
import zlib

import h2wire
from wire import TIMEOUT_S, Wire, request

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {CONT: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
RSV1, RSV2, RSV3 = 4, 2, 1

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TAIL = b"\0\0\xff\xff"
DEFLATE = "permessage-deflate"


def accept_of(key):
    """RFC 6455 section 4.2.2."""
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def masked(payload, key):
    n = len(payload)
    if not n:
        return b""
    pad = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")


def frame(op, payload=b"", fin=True, rsv=0, key=b"\x37\xfa\x21\x3d", length=None, form=None):
    """A frame's bytes.  `key`: None sends it unmasked; `length` lies about the payload's; `form`: 7, 16 or 64
    bits of length, whether it needs them or not."""
    n = len(payload) if length is None else length
    form = form or (7 if n < 126 else 16 if n < 65536 else 64)
    mask = 0x80 if key is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | op])
    if form == 7:
        head += bytes([mask | n])
    elif form == 16:
        head += bytes([mask | 126]) + struct.pack(">H", n)
    else:
        head += bytes([mask | 127]) + struct.pack(">Q", n)
    return head + (key + masked(payload, key) if key is not None else payload)


def text(payload=b"", **kw):
    return frame(TEXT, payload, **kw)


def binary(payload=b"", **kw):
    return frame(BINARY, payload, **kw)


def cont(payload=b"", **kw):
    return frame(CONT, payload, **kw)


def ping(payload=b"", **kw):
    return frame(PING, payload, **kw)


def pong(payload=b"", **kw):
    return frame(PONG, payload, **kw)


def close(code=None, reason=b"", **kw):
    return frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason, **kw)


def message(op, payload, size, rsv=0):
    """A message in frames of that many bytes."""
    pieces = [payload[i:i + size] for i in range(0, len(payload), size)] or [b""]
    return b"".join(frame(CONT if i else op, p, fin=i == len(pieces) - 1, rsv=0 if i else rsv)
                    for i, p in enumerate(pieces))


class Frame:
    def __init__(self, op, fin, rsv, payload):
        self.op, self.fin, self.rsv, self.payload = op, fin, rsv, payload

    @property
    def code(self):
        """A Close's; 1005 without one (RFC 6455 section 7.1.5)."""
        assert self.op == CLOSE, self
        return struct.unpack_from(">H", self.payload)[0] if self.payload else 1005

    @property
    def reason(self):
        return self.payload[2:].decode()

    def __repr__(self):
        flags = f"{'' if self.fin else ' more'}{f' rsv={self.rsv}' if self.rsv else ''}"
        return f"<{NAMES.get(self.op, self.op)}{flags} {len(self.payload)} {self.payload[:40]!r}>"


class Params:
    """What was agreed on (RFC 7692 section 7.1), read from the answer."""

    KNOWN = ("server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
             "client_max_window_bits")

    def __init__(self, value, offer):
        name, *params = [p.strip() for p in value.split(";")]
        assert name == DEFLATE, value
        self.given = {}
        for p in params:
            key, eq, bits = p.partition("=")
            assert key in self.KNOWN and key not in self.given, value
            assert bool(eq) == key.endswith("bits"), value
            # Without leading zeroes, 8 to 15: sections 7.1.2.1 and 7.1.2.2.
            assert not eq or bits in [str(n) for n in range(8, 16)], value
            self.given[key] = int(bits) if eq else True
        # Only who offered to be told may be told: section 7.1.2.2.
        assert "client_max_window_bits" not in self.given or "client_max_window_bits" in offer, value
        self.server_bits = self.given.get("server_max_window_bits", 15)
        self.client_bits = self.given.get("client_max_window_bits", 15)
        self.server_no_context = "server_no_context_takeover" in self.given
        self.client_no_context = "client_no_context_takeover" in self.given


class Deflate:
    """Both directions of one connection, by Python's zlib."""

    def __init__(self, params, level=6):
        self.params = params
        self.level = level
        self._out = self._in = None

    def compress(self, data):
        if self._out is None or self.params.client_no_context:
            # zlib has no raw window of 2^8.
            self._out = zlib.compressobj(self.level, zlib.DEFLATED, -max(9, self.params.client_bits))
        out = self._out.compress(data) + self._out.flush(zlib.Z_SYNC_FLUSH)
        assert out.endswith(TAIL)
        return out[:-4]

    def inflate(self, data):
        if self._in is None or self.params.server_no_context:
            self._in = zlib.decompressobj(-self.params.server_bits)
        out = self._in.decompress(data + TAIL)
        assert not self._in.unconsumed_tail and not self._in.unused_data
        return out


class H2Pipe:
    """What WS uses of wire.Wire, on a stream of HTTP/2."""

    def __init__(self, addr, **kw):
        self.h2 = h2wire.H2(addr, **kw)
        self.timeout = self.h2.timeout
        self.stream = 1
        self.buf = b""
        self.seen = 0

    def close(self):
        self.h2.close()

    reset = close

    def ask(self, path, fields, method="CONNECT"):
        self.h2.until(lambda f: f.kind == h2wire.SETTINGS and not f.flags & h2wire.ACK)
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", self.h2.authority),
                (":protocol", "websocket")]
        self.h2.headers(self.stream, head + fields, h2wire.END_HEADERS)

    def head(self):
        r = None
        while not (r and (r.status or r.reset is not None)):
            assert self.h2.next(), f"the connection ended: {self.h2.goaway}"
            r = self.h2.responses.get(self.stream)
        assert r.reset is None, r
        return r

    def send(self, data):
        self.h2.body(self.stream, data, end=False)
        return self

    def drip(self, data, size=1):
        for i in range(0, len(data), size):
            self.send(data[i:i + size])
        return self

    def finish(self):
        self.h2.frame(h2wire.DATA, h2wire.END_STREAM, self.stream)
        return self

    @property
    def _r(self):
        return self.h2.responses[self.stream]

    def _more(self, deadline):
        r = self._r
        while len(r.parts) == self.seen:
            if r.ended or r.reset is not None:
                return False
            if self.h2.next(deadline) is None:
                return False
        self.buf += b"".join(r.parts[self.seen:])
        self.seen = len(r.parts)
        return True

    def more_or_end(self, deadline):
        while not self.buf and self._more(deadline):
            pass
        return bool(self.buf)

    def exactly(self, n, deadline=None):
        deadline = deadline or time.monotonic() + self.timeout
        while len(self.buf) < n:
            assert self._more(deadline), f"the stream ended {n - len(self.buf)} bytes too early"
        data, self.buf = self.buf[:n], self.buf[n:]
        return data

    def until_gone(self, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while self._more(deadline):
            pass
        data, self.buf = self.buf, b""
        return data

    def ended_well(self):
        """What an orderly end of TCP is here (RFC 8441 section 5): END_STREAM, and no error."""
        return self._r.ended and self._r.reset in (None, h2wire.NO_ERROR)


class WS:
    """One WebSocket, its handshake done and looked at."""

    def __init__(self, addr, path="/echo", *fields, over="tcp", offer=None, protocols=None, early=b"",
                 timeout=TIMEOUT_S, **kw):
        self.offer, self.protocols = offer, protocols
        self.timeout = timeout
        self.frames = []          # everything received
        self._open = False        # a message has begun and not ended
        self._parts = []          # its frames, for event()
        self.deflate = None
        fields = list(fields)
        if offer is not None:
            fields.append(f"Sec-WebSocket-Extensions: {offer}")
        if protocols is not None:
            fields.append(f"Sec-WebSocket-Protocol: {protocols}")
        if over == "h2":
            self._connect(addr, path, fields, early, kw)
        else:
            self._upgrade(addr, path, fields, early, kw)

    def _upgrade(self, addr, path, fields, early, kw):
        key = base64.b64encode(os.urandom(16)).decode()
        self.wire = Wire(addr, timeout=self.timeout, **kw)
        try:
            self.wire.send(request("GET", path, "Upgrade: websocket", "Connection: Upgrade",
                                   "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *fields) + early)
            self.head = r = self.wire.head()
            assert r.status == 101, r
            # RFC 6455 section 4.2.2.
            assert r.get("Upgrade").lower() == "websocket" and r.tokens("Connection") == ["upgrade"]
            assert r.get("Sec-WebSocket-Accept") == accept_of(key)
            assert r.get("Content-Length") is None and r.get("Transfer-Encoding") is None
            self._agreed(r)
        except BaseException:
            self.wire.close()
            raise

    def _connect(self, addr, path, fields, early, kw):
        self.wire = H2Pipe(addr, timeout=self.timeout, **kw)
        try:
            names = [f.partition(":") for f in ("Sec-WebSocket-Version: 13", *fields)]
            self.wire.ask(path, [(n.lower(), v.strip()) for n, _, v in names])
            if early:
                self.wire.send(early)
            self.head = r = self.wire.head()
            assert r.status == 200, r
            # RFC 8441 section 5: no key, so no answer to it.
            assert r.get("sec-websocket-accept") is None and r.get("content-length") is None
            self._agreed(r)
        except BaseException:
            self.wire.close()
            raise

    def _agreed(self, r):
        chosen = r.get("Sec-WebSocket-Protocol")
        assert chosen is None or chosen in [p.strip() for p in (self.protocols or "").split(",")], chosen
        extension = r.get("Sec-WebSocket-Extensions")
        if extension is not None:
            assert self.offer, f"{extension!r} was not offered"
            self.deflate = Deflate(Params(extension, self.offer))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.wire.close()

    # ---- Out -------------------------------------------------------------------

    def send(self, data):
        self.wire.send(data)
        return self

    def say(self, op, payload, size=None):
        """A message, compressed if that was agreed on, in frames of `size` bytes."""
        rsv = 0
        if self.deflate:
            payload, rsv = self.deflate.compress(payload), RSV1
        return self.send(message(op, payload, size or max(1, len(payload)), rsv))

    # ---- In --------------------------------------------------------------------

    def next(self, timeout=None):
        """The next frame; None at the end of the connection."""
        deadline = time.monotonic() + (timeout or self.timeout)
        if not self.wire.more_or_end(deadline):
            return None
        first, n = self.wire.exactly(2, deadline)
        fin, rsv, op = bool(first & 0x80), first >> 4 & 7, first & 15
        assert not n & 0x80, "a server's frame is masked (RFC 6455 section 5.1)"
        if n == 126:
            n = struct.unpack(">H", self.wire.exactly(2, deadline))[0]
            assert n > 125, "a longer length than needed (section 5.2)"
        elif n == 127:
            n = struct.unpack(">Q", self.wire.exactly(8, deadline))[0]
            assert 65535 < n < 1 << 63, "a longer length than needed (section 5.2)"
        f = Frame(op, fin, rsv, self.wire.exactly(n, deadline))
        self.check(f)
        self.frames.append(f)
        if f.op < CLOSE:
            self._open = not f.fin
        return f

    def check(self, f):
        assert f.op in NAMES, f"opcode {f.op}"
        assert not (self.frames and self.frames[-1].op == CLOSE), f"{f} after Close (section 5.5.1)"
        # RSV1 says compressed, on the first frame of a message only (RFC 7692 section 6).
        allowed = (0, RSV1) if self.deflate and f.op in (TEXT, BINARY) else (0,)
        assert f.rsv in allowed, f
        if f.op >= CLOSE:
            assert f.fin and len(f.payload) <= 125, f
        else:
            assert (f.op == CONT) == self._open, f"{f} out of place (section 5.4)"
        if f.op == CLOSE:
            assert len(f.payload) != 1
            assert f.code in (1005, 1014) or 1000 <= f.code <= 1011 and f.code not in (1004, 1006) \
                or f.code in (1012, 1013) or 3000 <= f.code < 5000, f
            assert isinstance(f.reason, str)

    def event(self, timeout=None):
        """The next message or control frame as (opcode, payload); a Close as (CLOSE, code, reason); None at
        the end."""
        while True:
            f = self.next(timeout)
            if f is None:
                assert not self._parts, "the connection ended in a message"
                return None
            if f.op == CLOSE:
                return f.op, f.code, f.reason
            if f.op >= CLOSE:
                return f.op, f.payload
            self._parts.append(f)
            if f.fin:
                break
        parts, self._parts = self._parts, []
        payload = b"".join(p.payload for p in parts)
        if parts[0].rsv:
            payload = self.deflate.inflate(payload)
        if parts[0].op == TEXT:
            payload.decode()
        return parts[0].op, payload

    def ask(self, op, payload, **kw):
        """Say it and take the next message."""
        self.say(op, payload, **kw)
        return self.event()

    def told(self, words):
        """Commands of tests/programs/ws.c."""
        return self.send(text(words.encode()))

    def silent(self, seconds):
        """Nothing comes for so long."""
        try:
            f = self.next(seconds)
        except TimeoutError:
            return True
        raise AssertionError(f"{f} came")

    def ends(self, timeout=None):
        """Nothing more comes, and the connection ends: after Close the server ends it (section 7.1.1)."""
        left = self.wire.until_gone(timeout)
        assert left == b"", f"{left[:80]!r} after the end"
        if isinstance(self.wire, H2Pipe):
            assert self.wire.ended_well(), self.wire.h2.responses

    def goodbye(self, code=1000, reason=b"", want=None):
        """Our Close, the server's, and the end."""
        self.send(close(code, reason))
        got = self.event()
        assert got and got[0] == CLOSE and got[1] == (want or code or 1005), got
        self.ends()

    def fails(self, code, reply=True):
        """The server fails the connection with that code (section 7.1.7), and ends it."""
        got = self.event()
        assert got and got[0] == CLOSE and got[1] == code, f"{got} where {code} was due"
        if reply:
            try:
                self.send(close(code))
            except OSError:
                pass
        self.ends()


def cuts(data, how, seed=0):
    """Ways of writing the same bytes."""
    if how == "whole":
        return [data]
    if how == "bytes" and len(data) <= 400:
        return [data[i:i + 1] for i in range(len(data))]
    rng = random.Random(seed)
    pieces, at = [], 0
    while at < len(data):
        n = rng.choice((1, 2, 3, 5, 7, 13, 126, 997, 4096, 65536))
        pieces.append(data[at:at + n])
        at += n
    return pieces

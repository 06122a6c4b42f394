# SPDX-License-Identifier: MIT
"""The client of tests/programs/framed.h: a transport that is written on the public interface for transports."""
import struct
import time

from aswire import AsWire
from h2wire import Response
from wire import TIMEOUT_S, Wire


def pack(kind, number, payload=b"", last=False):
    return struct.pack("<cBHI", kind.encode(), last, number, len(payload)) + payload


def texts(*parts):
    return b"".join(p.encode("latin-1") + b"\0" for p in parts)


class Framed:
    """One connection."""

    def __init__(self, addr, timeout=TIMEOUT_S, **kw):
        self.w = Wire(addr, timeout=timeout, **kw)
        self.timeout = timeout
        self.buf = b""
        self.responses = {}
        self.over = set()
        self.refused = {}
        self.stopped = {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.w.close()

    def begin(self, number, method, target, *fields, authority="localhost", length="0"):
        self.over.discard(number)
        self.w.send(pack("H", number, texts(method, target, authority, length, *(x for f in fields for x in f))))

    def data(self, number, data, last=False):
        self.w.send(pack("D", number, data, last))

    def trailers(self, number, *fields):
        self.w.send(pack("T", number, texts(*(x for f in fields for x in f))))

    def cancel(self, number):
        self.w.send(pack("C", number))

    def next(self, deadline):
        """Take one frame; false when the connection has ended."""
        while len(self.buf) < 8 or len(self.buf) < 8 + struct.unpack_from("<I", self.buf, 4)[0]:
            self.w.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                got = self.w.sock.recv(1 << 20)
            except ConnectionError:
                return False
            if not got:
                return False
            self.buf += got
        kind, _, number, n = struct.unpack_from("<cBHI", self.buf)
        payload, self.buf = self.buf[8:8 + n], self.buf[8 + n:]
        self.take(kind.decode(), number, payload)
        return True

    def take(self, kind, number, payload):
        if kind in "hide":
            r = self.responses.setdefault(number, Response())
            assert not r.ended, (kind, number)
        if kind in "hi":
            status, length, content, *rest = payload.decode("latin-1").split("\0")[:-1]
            assert r.status is None and (kind == "h") == (int(status) >= 200)
            fields = list(zip((n.lower() for n in rest[::2]), rest[1::2]))
            if kind == "i":
                r.interim.append((int(status), fields))
                return
            r.status, r.fields, r.content = int(status), fields, content == "1"
            if length != "-" and r.status not in (204, 304):
                r.fields.append(("content-length", length))
        elif kind == "d":
            assert r.content, r
            r.parts.append(payload)
        elif kind == "e":
            parts = payload.decode("latin-1").split("\0")[:-1]
            r.trailers = list(zip((n.lower() for n in parts[::2]), parts[1::2]))
            r.ended = True
        elif kind == "s":
            self.stopped[number] = payload.decode()
        elif kind == "x":
            self.refused[number] = payload.decode()
        else:
            assert kind == "o" and number not in self.over
            self.over.add(number)

    def until(self, done, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while not done():
            if not self.next(deadline):
                return False
        return True

    def response(self, number):
        """Whole, and its exchange over."""
        assert self.until(lambda: number in self.over), f"the connection ended: {self.responses}"
        return self.responses.pop(number)

    def get(self, number, path="/hello", *fields):
        self.begin(number, "GET", path, *fields)
        return self.response(number)


class FramedWire(AsWire):
    """What tests of semantics use of wire.Wire."""

    version = 1

    def __init__(self, addr, **kw):
        super().__init__()
        self.framed = Framed(addr, **kw)
        self.authority = f"{addr[0]}:{addr[1]}"
        self.number = 0

    def close(self):
        self.framed.w.close()

    def start(self, fields, end):
        named = dict(fields)
        rest = [f for f in fields if not f[0].startswith(":")]
        length = "0" if end else named.get("content-length", "-")
        self.number = (self.number + 1) % 256
        self.framed.begin(self.number, named[":method"], named[":path"], *rest, authority=named[":authority"],
                          length=length)
        return self.number

    def more(self, stream, data, end):
        self.framed.data(stream, data, end)

    def trailers(self, stream, fields):
        self.framed.trailers(stream, *fields)

    def whole(self, stream):
        return self.framed.response(stream)

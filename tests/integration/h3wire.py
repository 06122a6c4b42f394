# SPDX-License-Identifier: MIT
"""An HTTP/3 client: tests/programs/h3_client.c, a process for each connection, and what it says.

QUIC is ngtcp2's and HTTP/3 nghttp3's, written by others from the same RFCs: what they refuse of a server
ends the connection, and the test.  Whatever a test can see of HTTP comes through unchanged.
"""
import socket
import struct
import subprocess
import time

import pytest

import servers
from aswire import AsWire, instead
from wire import TIMEOUT_S, readable

NO_ERROR, INTERNAL_ERROR, REQUEST_CANCELLED = 0x100, 0x102, 0x10c

HEAD = struct.Struct(">B?QI")
PIECE = 65536


def packed(fields):
    """As the client wants them: UTF-8 would be others' bytes."""
    return b"".join(s.encode("latin-1") + b"\0" for pair in fields for s in pair)


def unpacked(payload):
    texts = payload.decode("latin-1").split("\0")[:-1]
    return list(zip(texts[::2], texts[1::2]))


class Response:
    """What h2wire.Response is for HTTP/2."""

    def __init__(self):
        self.status = None
        self.fields = []
        self.parts = []
        self.trailers = []
        self.interim = []
        self.ended = False
        self.reset = None   # RESET_STREAM's code
        self.closed = None  # with which code the stream was, 0: by two ends

    @property
    def body(self):
        if len(self.parts) > 1:
            self.parts = [b"".join(self.parts)]
        return self.parts[0] if self.parts else b""

    def all(self, name):
        return [v for n, v in self.fields if n == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def over(self):
        return self.ended or self.reset is not None or self.closed is not None

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:80]!r} ended={self.ended} reset={self.reset} closed={self.closed}>"


class H3:
    """One connection.  `window`: how much the server may send on it before we read."""

    def __init__(self, addr, window=None, timeout=TIMEOUT_S):
        self.timeout = timeout
        self.authority = f"[{addr[0]}]:{addr[1]}" if ":" in addr[0] else f"{addr[0]}:{addr[1]}"
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(timeout)
        if window:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, window)
        argv = [servers.program("tests/programs/h3_client"), addr[0], str(addr[1])]
        with theirs:
            self.proc = subprocess.Popen(argv + ([f"window={window}"] if window else []), stdin=theirs,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.buf = b""
        self.at = 0         # of it, read so far
        self.responses = {}
        self.stream = 0
        self.goaway = False
        self.end = None     # a sentence: there is no connection any more
        try:
            assert self.until(lambda kind: kind == "o") == "o", f"no connection: {self.end}"
        except BaseException:
            self.proc.kill()
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """In order; and see the client end well, which says that nothing it heard was against the rules."""
        self.sock.close()
        err = self.proc.communicate(timeout=self.timeout)[1].decode("utf-8", "replace")
        servers.assert_no_report(err)
        assert self.proc.returncode in (0, -9), f"the client ended with {self.proc.returncode}: {err}"

    def vanish(self):
        """Without a word: the server sees nothing more of it."""
        self.proc.kill()
        self.close()

    # ---- Out -------------------------------------------------------------------

    def tell(self, kind, stream=0, payload=b"", flag=False):
        self.sock.sendall(HEAD.pack(ord(kind), flag, stream, len(payload)) + payload)

    def ask(self, fields, end=True):
        """A request's head; its stream."""
        stream, self.stream = self.stream, self.stream + 4
        self.responses[stream] = Response()
        self.tell("H", stream, packed(fields), end)
        return stream

    def basic(self, method="GET", path="/hello"):
        return [(":method", method), (":scheme", "https"), (":path", path), (":authority", self.authority)]

    def data(self, stream, body, end=True):
        pieces = [body[i:i + PIECE] for i in range(0, len(body), PIECE)] or [b""]
        for i, piece in enumerate(pieces):
            self.tell("D", stream, piece, end and i == len(pieces) - 1)

    def trailers(self, stream, fields):
        self.tell("T", stream, packed(fields))

    def reset(self, stream, code=REQUEST_CANCELLED):
        self.tell("R", stream, struct.pack(">Q", code))

    def move(self):
        """Come from another port from now on, as behind a NAT that has forgotten."""
        self.tell("M")

    # ---- In ----------------------------------------------------------------------

    def _exactly(self, n, deadline):
        while len(self.buf) - self.at < n:
            left = deadline - time.monotonic()
            if left <= 0 or not readable(self.sock, left):
                raise TimeoutError(f"nothing more came; so far {self.responses}")
            data = self.sock.recv(1 << 18)
            assert data, f"the client ended: {self.proc.communicate()[1]!r}"
            self.buf, self.at = self.buf[self.at:] + data, 0
        self.at += n
        return self.buf[self.at - n:self.at]

    def next(self, deadline=None):
        """The kind of the next message; None once there is no connection."""
        if self.end is not None:
            return None
        deadline = deadline or time.monotonic() + self.timeout
        kind, _, stream, n = HEAD.unpack(self._exactly(HEAD.size, deadline))
        kind = chr(kind)
        self._take(kind, stream, self._exactly(n, deadline))
        return kind

    def _take(self, kind, stream, payload):
        r = self.responses.get(stream)
        if kind == "h":
            self._take_head(r, unpacked(payload))
        elif kind == "d":
            assert r.status is not None and not r.over, f"a body out of place: {r}"
            r.parts.append(payload)
        elif kind == "t":
            r.trailers = unpacked(payload)
        elif kind == "e":
            assert r.status is not None, "an end without a head"
            r.ended = True
        elif kind == "r":
            r.reset = struct.unpack(">Q", payload)[0]
        elif kind == "c" and r:
            r.closed = struct.unpack(">Q", payload)[0]
        elif kind == "g":
            self.goaway = True
        elif kind == "x":
            self.end = payload.decode("utf-8", "replace")

    @staticmethod
    def _take_head(r, fields):
        assert fields[0][0] == ":status" and all(not n.startswith(":") for n, _ in fields[1:]), fields
        for n, v in fields:
            assert n == n.lower(), f"a name in upper case: {n}"
            assert n not in ("connection", "keep-alive", "transfer-encoding", "upgrade"), n
            assert v == v.strip() and "\r" not in v and "\n" not in v, (n, v)
        status = int(fields[0][1])
        assert r.status is None
        if status < 200:
            r.interim.append((status, fields[1:]))
        else:
            r.status, r.fields = status, fields[1:]

    def until(self, done, timeout=None):
        """Messages until done(kind) is true of one; None if the connection ends first."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            kind = self.next(deadline)
            if kind is None or done(kind):
                return kind

    def response(self, stream):
        """What is to come on a stream, complete or reset."""
        r = self.responses[stream]
        deadline = time.monotonic() + self.timeout
        while not r.over:
            assert self.next(deadline) is not None, f"the connection ended: {self.end}; {r}"
        return r

    def get(self, path, *fields, method="GET"):
        return self.response(self.ask(self.basic(method, path) + list(fields)))


class H3Wire(AsWire):
    """What tests of semantics use of wire.Wire, over HTTP/3."""

    version = 3
    spoken = "HTTP/3.0"

    def __init__(self, addr, rcvbuf=None, **kw):
        super().__init__()
        self.h3 = H3(addr, window=rcvbuf, **kw)
        self.authority = self.h3.authority

    def close(self):
        self.h3.close()

    def reset(self):
        """Leave rudely: what was asked for is given up."""
        for stream, _ in self.asked:
            self.h3.reset(stream)
        self.close()

    def start(self, fields, end):
        return self.h3.ask(fields, end)

    def more(self, stream, data, end):
        self.h3.data(stream, data, end)

    def trailers(self, stream, fields):
        self.h3.trailers(stream, fields)

    def whole(self, stream):
        return self.h3.response(stream)


def instead_of_wire(monkeypatch, module):
    """Whatever a module's tests connect with, it is HTTP/3."""
    instead(monkeypatch, module, H3Wire)


@pytest.fixture(scope="module", autouse=True)
def listening():
    """Programs that a module's tests start listen for QUIC as well, on the port of the same number.  For the
    module that imports it."""
    with pytest.MonkeyPatch.context() as m:
        m.setattr(servers, "WITH_H3", True)
        yield

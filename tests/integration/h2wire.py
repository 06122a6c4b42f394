# SPDX-License-Identifier: MIT
"""An HTTP/2 client that hides nothing and allows everything: frames out, as wrong as a test wants
them, and frames in, read as strictly as RFC 9113 asks.

Only header compression is a library's (hpack); no state machine stands between a test and the wire.
"""
import socket
import ssl
import struct
import time

import hpack

from aswire import AsWire, instead
from wire import TIMEOUT_S, readable, tls_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
PRIORITY_UPDATE = 0x10
NAMES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION"]

END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 1, 1, 4, 8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM = 4, 5, 6, 7
CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = 8, 9, 10, 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

#: As much of a window is given back at once, or more; of small ones half.
UPDATE_BYTES = 4096


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame's bytes; `length` lies about the payload's."""
    n = len(payload) if length is None else length
    return struct.pack(">I", n)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", k, v) for k, v in pairs))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.payload = payload

    @property
    def code(self):
        """The error code of RST_STREAM or GOAWAY."""
        at = 0 if self.kind == RST_STREAM else 4
        return struct.unpack_from(">I", self.payload, at)[0]

    @property
    def last_stream(self):
        return struct.unpack_from(">I", self.payload)[0]

    @property
    def debug(self):
        return self.payload[8:].decode("latin-1")

    def __repr__(self):
        name = NAMES[self.kind] if self.kind < len(NAMES) else hex(self.kind)
        return f"<{name} flags={self.flags:#x} stream={self.stream} {self.payload[:40]!r}>"


class Response:
    """What wire.Response is for HTTP/1.1."""

    def __init__(self):
        self.status = None
        self.fields = []
        self.parts = []
        self.trailers = []
        self.interim = []
        self.ended = False
        self.reset = None   # RST_STREAM's code

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

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:80]!r} ended={self.ended} reset={self.reset}>"


class H2:
    """One connection; an address may have a third part, "tls".  `hello`: preface and SETTINGS are sent, ours
    are acknowledged as they come."""

    def __init__(self, addr, hello=True, rcvbuf=None, timeout=TIMEOUT_S, initial=(), source=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        try:
            self.sock.connect(addr[:2])
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if "tls" in addr[2:]:
                context = tls_context()
                context.set_alpn_protocols(["h2"])
                self.sock = context.wrap_socket(self.sock)
                assert self.sock.selected_alpn_protocol() == "h2"
        except BaseException:
            self.sock.close()
            raise
        self.scheme = "https" if "tls" in addr[2:] else "http"
        self.timeout = timeout
        self.authority = f"{addr[0]}:{addr[1]}"
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 24
        self.buf = b""
        self.eof = False
        self.acks = True            # answer SETTINGS
        self.updates = True         # give back the windows that DATA used
        self.frames = []            # everything received
        self.responses = {}
        self.goaway = None
        self.settings = {}
        self.window = 65535         # the connection's, for what we send
        self.owed = {}              # of the windows for what we receive, not given back
        self.update = max(1, min(UPDATE_BYTES, dict(initial).get(INITIAL_WINDOW_SIZE, 65535) // 2))
        self.windows = {}           # what each stream's differs from the initial one by
        self._block = None
        if hello:
            self.send(PREFACE + settings(*initial))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    # ---- Out -------------------------------------------------------------------

    def send(self, data):
        self.sock.sendall(data)
        return self

    def frame(self, *args, **kw):
        return self.send(frame(*args, **kw))

    def basic(self, method="GET", path="/hello"):
        return [(":method", method), (":scheme", self.scheme), (":path", path),
                (":authority", self.authority)]

    def block(self, fields):
        return self.encoder.encode(fields, huffman=False)

    def headers(self, stream, fields, flags=END_HEADERS | END_STREAM):
        return self.frame(HEADERS, flags, stream, self.block(fields))

    def ask(self, stream, path="/hello", *extra, method="GET", body=None):
        """A request; a body of None ends with the head."""
        fields = self.basic(method, path) + list(extra)
        self.headers(stream, fields, END_HEADERS | (END_STREAM if body is None else 0))
        if body is not None:
            self.data(stream, body)
        return self

    def data(self, stream, body, end=True):
        """As much as fits into the windows that RFC 9113 begins with."""
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b""]
        for i, piece in enumerate(pieces):
            last = end and i == len(pieces) - 1
            self.frame(DATA, END_STREAM if last else 0, stream, piece)
        return self

    def body(self, stream, data, end=True):
        """The same within the windows that the server gives, for as long as it wants to hear of it."""
        while data:
            r = self.responses.get(stream)
            if r and (r.ended or r.reset is not None):
                return self
            room = min(self.window, self.windows.get(stream, 0) + self.settings.get(INITIAL_WINDOW_SIZE, 65535))
            n = min(room, 16384, len(data))
            if n <= 0:
                assert self.next(), "the connection ended"
                continue
            self.frame(DATA, 0, stream, data[:n])
            self.window -= n
            self.windows[stream] = self.windows.get(stream, 0) - n
            data = data[n:]
        return self.frame(DATA, END_STREAM, stream) if end else self

    # ---- In ----------------------------------------------------------------------

    def _more(self, deadline):
        left = deadline - time.monotonic()
        buffered = self.scheme == "https" and self.sock.pending()
        if left <= 0 or not buffered and not readable(self.sock, left):
            raise TimeoutError(f"nothing more came; so far {self.frames[-5:]}")
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.eof = True
        self.buf += data

    def next(self, deadline=None):
        """The next frame; None at the end of the connection."""
        deadline = deadline or time.monotonic() + self.timeout
        while not self.eof:
            if len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], "big")
                if len(self.buf) >= 9 + n:
                    break
            self._more(deadline)
        if self.eof and len(self.buf) < 9:
            assert not self.buf, f"the connection ended in a frame: {self.buf!r}"
            return None
        kind, flags, stream = struct.unpack_from(">BBI", self.buf, 3)
        assert not stream >> 31, "the reserved bit is set"
        assert n <= 16384, f"a frame of {n} bytes"
        f = Frame(kind, flags, stream, self.buf[9:9 + n])
        self.buf = self.buf[9 + n:]
        self.frames.append(f)
        self._take(f)
        return f

    def _take(self, f):
        assert self._block is None or f.kind == CONTINUATION, f"{f} within a field block"
        if f.kind == SETTINGS and not f.flags & ACK:
            assert len(f.payload) % 6 == 0
            for i in range(0, len(f.payload), 6):
                k, v = struct.unpack_from(">HI", f.payload, i)
                self.settings[k] = v
            if self.acks:
                self._quietly(frame(SETTINGS, ACK))
        elif f.kind == PING and not f.flags & ACK and self.acks:
            self._quietly(frame(PING, ACK, 0, f.payload))
        elif f.kind == WINDOW_UPDATE:
            n = struct.unpack(">I", f.payload)[0]
            assert 0 < n < 1 << 31, f
            if f.stream:
                self.windows[f.stream] = self.windows.get(f.stream, 0) + n
            else:
                self.window += n
        elif f.kind == GOAWAY:
            self.goaway = f
        elif f.kind in (HEADERS, CONTINUATION):
            self._take_block(f)
        elif f.kind == DATA:
            r = self.responses[f.stream]
            assert r.status is not None and not r.ended, f"DATA out of place: {f}"
            r.parts.append(f.payload)
            r.ended = bool(f.flags & END_STREAM)
            if self.updates and f.payload:
                self._give_back(0, len(f.payload))
                if not r.ended:
                    self._give_back(f.stream, len(f.payload))
        elif f.kind == RST_STREAM:
            self.responses.setdefault(f.stream, Response()).reset = f.code

    def _give_back(self, stream, n):
        """Not for every byte: that is a flood to who sends single ones."""
        owed = self.owed.get(stream, 0) + n
        self.owed[stream] = 0 if owed >= self.update else owed
        if owed >= self.update:
            self._quietly(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", owed)))

    def _quietly(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass

    def _take_block(self, f):
        self._block = (self._block or []) + [f]
        if not f.flags & END_HEADERS:
            return
        first = self._block[0]
        payload = b"".join(b.payload for b in self._block)
        self._block = None
        fields = [(n, v) for n, v in self.decoder.decode(payload)]
        self._take_fields(first, fields)

    def _take_fields(self, first, fields):
        r = self.responses.setdefault(first.stream, Response())
        end = bool(first.flags & END_STREAM)
        for n, v in fields:
            assert n == n.lower(), f"a name in upper case: {n}"
            assert n not in ("connection", "keep-alive", "transfer-encoding", "upgrade"), n
            assert v == v.strip() and "\r" not in v and "\n" not in v, (n, v)
        if fields and fields[0][0] == ":status":
            status = int(fields[0][1])
            assert all(not n.startswith(":") for n, _ in fields[1:]), fields
            assert r.status is None and not r.ended
            if status < 200:
                assert not end
                r.interim.append((status, fields[1:]))
                return
            r.status = status
            r.fields = fields[1:]
        else:
            assert r.status is not None and end, "trailers without an end"
            assert all(not n.startswith(":") for n, _ in fields), fields
            r.trailers = fields
        r.ended = end

    def until(self, done, timeout=None):
        """Read frames until done(f) is true for one; None if the connection ends first."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            f = self.next(deadline)
            if f is None or done(f):
                return f

    def response(self, stream):
        """The final response on a stream, complete or reset."""
        def over():
            r = self.responses.get(stream)
            return r and (r.ended or r.reset is not None)
        deadline = time.monotonic() + self.timeout
        while not over():
            if self.next(deadline) is None:
                raise AssertionError(f"the connection ended: {self.goaway and self.goaway.debug} "
                                     f"{self.responses.get(stream)}")
        return self.responses[stream]

    def get(self, stream, path="/hello", *extra, **kw):
        self.ask(stream, path, *extra, **kw)
        return self.response(stream)

    def ping(self, data=b"conform!"):
        """Everything sent before has been looked at, and the connection lives."""
        self.frame(PING, 0, 0, data)
        f = self.until(lambda f: f.kind == PING and f.flags & ACK and f.payload == data)
        assert f, f"the connection ended: {self.goaway} {self.goaway and self.goaway.debug}"

    def settle(self):
        """… and what came of it has been sent: an answer to PING overtakes what is written with it."""
        self.ping(b"settle-1")
        self.ping(b"settle-2")

    def ended(self, timeout=None):
        """Read to the end of the connection; the GOAWAY that came before it, if any."""
        self.until(lambda f: False, timeout)
        return self.goaway


# ---- As wire.Wire ------------------------------------------------------------------------------------


class H2Wire(AsWire):
    """What tests of semantics use of wire.Wire, over HTTP/2."""

    version = 2
    scheme = "http"

    def __init__(self, addr, **kw):
        super().__init__()
        self.h2 = H2(addr, **kw)
        self.authority = self.h2.authority
        self.stream = 1

    def close(self):
        self.h2.close()

    def start(self, fields, end):
        stream = self.stream
        self.h2.headers(stream, fields, END_HEADERS | (END_STREAM if end else 0))
        self.stream += 2
        return stream

    def more(self, stream, data, end):
        self.h2.body(stream, data, end=end)

    def trailers(self, stream, fields):
        self.h2.headers(stream, fields)

    def whole(self, stream):
        return self.h2.response(stream)


def instead_of_wire(monkeypatch, module):
    """Whatever a module's tests connect with, it is HTTP/2."""
    instead(monkeypatch, module, H2Wire)

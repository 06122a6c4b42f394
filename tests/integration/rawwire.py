# SPDX-License-Identifier: MIT
"""A client of QUIC without HTTP: tests/programs/raw_client.c, a process for each connection, and what it says.

QUIC is ngtcp2's, written by others from the same RFCs, on a real socket.
"""
import socket
import struct
import subprocess
import time

import servers
from wire import TIMEOUT_S, readable

HEAD = struct.Struct(">B?QI")
PIECE = 65536


class Stream:
    """What has come of one, whoever opened it."""

    def __init__(self):
        self.parts = []
        self.end = False
        self.reset = None   # RESET_STREAM's code
        self.closed = None  # with which code it was, 0: by two ends
        self.sent = None    # as far as was last asked for

    @property
    def data(self):
        return b"".join(self.parts)


class Raw:
    """One connection.  `window`: how much the server may send on it, and on a stream; with `hold` no more ever
    until flow()."""

    def __init__(self, addr, alpn="raw/1", window=None, hold=False, timeout=3 * TIMEOUT_S):
        self.timeout = timeout
        self.sock, theirs = socket.socketpair()
        argv = [servers.program("tests/programs/raw_client"), addr[0], str(addr[1]), alpn]
        argv += [f"window={window}"] if window else []
        argv += ["hold"] if hold else []
        with theirs:
            self.proc = subprocess.Popen(argv, stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.buf = b""
        self.at = 0         # of it, read so far
        self.streams = {}
        self.opened = []
        self.datagrams = []
        self.ready = False
        self.end = None     # a sentence: there is no connection any more

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()
        err = self.proc.communicate(timeout=self.timeout)[1].decode("utf-8", "replace")
        servers.assert_no_report(err)
        assert self.proc.returncode == 0, f"the client ended with {self.proc.returncode}: {err}"

    # ---- Out -------------------------------------------------------------------

    def tell(self, kind, stream=0, payload=b"", flag=False):
        self.sock.sendall(HEAD.pack(ord(kind), flag, stream, len(payload)) + payload)

    def open(self, uni=False):
        """A new stream's number."""
        n = len(self.opened)
        self.tell("O", flag=uni)
        self.until(lambda: len(self.opened) > n)
        return self.opened[n]

    def send(self, stream, data, end=True):
        for at in range(0, len(data) or 1, PIECE):
            self.tell("D", stream, data[at:at + PIECE], end and at + PIECE >= len(data))

    def reset(self, stream, code):
        self.tell("R", stream, struct.pack(">Q", code))

    def stop(self, stream, code):
        self.tell("S", stream, struct.pack(">Q", code))

    def datagram(self, data):
        self.tell("G", payload=data)

    def flow(self):
        self.tell("W")

    def close(self, code, reason=""):
        self.tell("C", payload=struct.pack(">Q", code) + reason.encode())
        self.until(lambda: self.end is not None)

    # ---- In ----------------------------------------------------------------------

    def _exactly(self, n, deadline):
        while len(self.buf) - self.at < n:
            left = deadline - time.monotonic()
            if left <= 0 or not readable(self.sock, left):
                raise TimeoutError(f"nothing more came; so far {self.said()}")
            data = self.sock.recv(1 << 18)
            assert data, f"the client ended: {self.proc.communicate()[1]!r}"
            self.buf, self.at = self.buf[self.at:] + data, 0
        self.at += n
        return self.buf[self.at - n:self.at]

    def _take(self, kind, flag, stream, payload):
        s = self.streams.setdefault(stream, Stream()) if kind in "ndrcq" else None
        if kind == "o":
            self.ready = True
        elif kind == "n":
            self.opened.append(stream)
        elif kind == "d":
            assert not s.end and s.reset is None, f"data of {stream} after its end"
            s.parts.append(payload)
            s.end = flag
        elif kind == "r":
            s.reset = struct.unpack(">Q", payload)[0]
        elif kind == "c":
            s.closed = struct.unpack(">Q", payload)[0]
        elif kind == "q":
            s.sent = struct.unpack(">Q", payload)[0]
        elif kind == "g":
            self.datagrams.append(payload)
        elif kind == "x":
            self.end = payload.decode("utf-8", "replace")

    def until(self, done, timeout=None):
        """Messages until done() is true."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while not done():
            kind, flag, stream, n = HEAD.unpack(self._exactly(HEAD.size, deadline))
            self._take(chr(kind), flag, stream, self._exactly(n, deadline))

    def connected(self):
        self.until(lambda: self.ready or self.end is not None)
        assert self.ready, self.end
        return self

    def whole(self, stream):
        """What came of it, complete."""
        self.until(lambda: stream in self.streams and self.streams[stream].end)
        return self.streams[stream].data

    def closed(self, stream):
        """With which code."""
        self.until(lambda: stream in self.streams and self.streams[stream].closed is not None)
        return self.streams[stream].closed

    def left(self, stream):
        """How much of a stream of ours has left."""
        s = self.streams[stream]
        s.sent = None
        self.tell("Q", stream)
        self.until(lambda: s.sent is not None)
        return s.sent

    def said(self):
        """All of it, to be compared."""
        return {i: (s.data[:40], len(s.data), s.end, s.reset, s.closed) for i, s in sorted(self.streams.items())}

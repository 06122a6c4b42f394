# SPDX-License-Identifier: MIT
"""A reader of text/event-stream, written from the HTML standard's section 9.2.6, over HTTP/1.1 with and
without TLS, over HTTP/2 and over HTTP/3, all alike."""
import contextlib
import time

import servers
from h2wire import H2
from h3wire import H3
from wire import TIMEOUT_S, Wire, request

#: How a stream is carried; and by HTTP/3, a process for each client.
WAYS = ["h1", "tls", "h2"]
WAYS_AND_H3 = [*WAYS, "h3"]


class Parser:
    """Events out of bytes."""

    def __init__(self):
        self.rest = b""
        self.events = []        # (type, data, last id)
        self.comments = 0
        self.retry = None
        self.last_id = ""
        self._type, self._data = "", []

    def feed(self, data):
        self.rest += data
        # All that is sent ends its lines in LF: a CR would be a line's end, too.
        assert b"\r" not in self.rest
        while b"\n" in self.rest:
            line, self.rest = self.rest.split(b"\n", 1)
            self._line(line.decode())

    def _line(self, line):
        if not line:
            if self._data:
                self.events.append((self._type or "message", "\n".join(self._data), self.last_id))
            self._type, self._data = "", []
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry = int(value)
        else:
            raise AssertionError(f"no field: {line!r}")


class Events(Parser):
    """One request and the stream that answers it."""

    def __init__(self, addr, way, path, *fields, rcvbuf=None):
        super().__init__()
        self.way, self.over = way, False
        extra = [tuple(p.strip() for p in f.lower().split(":", 1)) for f in fields]
        if way == "h3":
            self.wire = H3(addr, window=rcvbuf)
            self.head = self.wire.responses[self.wire.ask(self.wire.basic("GET", path) + extra)]
            self.wire.until(lambda _: self.head.status is not None)
        elif way == "h2":
            self.wire = H2(addr, rcvbuf=rcvbuf)
            self.wire.ask(1, path, *extra)
            self.wire.until(lambda f: 1 in self.wire.responses)
            self.head = self.wire.responses[1]
        else:
            self.wire = Wire(addr, rcvbuf=rcvbuf)
            self.wire.send(request("GET", path, *fields))
            self.head = self.wire.head()
            self._chunks = self.wire.chunks()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.wire.close()

    def field(self, name):
        values = [v for n, v in self.head.fields if n.lower() == name.lower()]
        assert len(values) <= 1
        return values[0] if values else None

    def _more(self, deadline):
        if self.way not in ("h2", "h3"):
            data = next(self._chunks, None)
            self.over = data is None
        elif self.head.ended:
            self.over, data = True, None
        else:
            f = self.wire.next(deadline)
            assert f, "the connection ended within a stream"
            assert self.head.reset is None, f"reset: {self.head.reset}"
            data = b"".join(self.head.parts)
            self.head.parts.clear()
        if data:
            self.feed(data)

    def until(self, done, timeout=TIMEOUT_S):
        deadline = time.monotonic() + timeout
        while not self.over and not done(self):
            assert time.monotonic() < deadline, f"so far {self.events[-5:]}"
            self._more(deadline)
        assert done(self), f"the stream ended with {self.events[-5:]}"
        return self

    def count(self, n):
        """The first n events."""
        return self.until(lambda s: len(s.events) >= n).events[:n]

    def to_end(self):
        """All events up to an orderly end, behind which nothing is cut off."""
        self.until(lambda s: s.over)
        assert not self.rest and not self._data and not self._type
        return self.events


@contextlib.contextmanager
def serve(way, *args, program="events"):
    """A program of tests/programs that listens as that way needs it."""
    before = servers.OVER_TLS, servers.WITH_H3
    servers.OVER_TLS, servers.WITH_H3 = way == "tls", way == "h3"
    try:
        with servers.launch(program, *args, ready_path="/healthz") as s:
            yield s
    finally:
        servers.OVER_TLS, servers.WITH_H3 = before

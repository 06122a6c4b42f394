# SPDX-License-Identifier: MIT
"""What tests of semantics use of wire.Wire, over other versions of HTTP: the same requests in, whole responses out.

A test that looks at HTTP/1.1 itself has no use for it.  h2wire.py and h3wire.py fill it in.
"""
from wire import Response, eventually


def _unchunk(data):
    """The body and trailer lines of a chunked message, and what follows it."""
    body, trailers = b"", []
    while True:
        line, _, data = data.partition(b"\r\n")
        n = int(line, 16)
        if not n:
            break
        body, data = body + data[:n], data[n + 2:]
    while True:
        line, _, data = data.partition(b"\r\n")
        if not line:
            return body, trailers, data
        trailers.append(line)


class AsWire:
    """Of a subclass: start(fields, end) a request, its stream; more(stream, data, end) of its body;
    trailers(stream, fields); whole(stream), what became of it, with fields, body, trailers, interim, ended."""

    scheme = "https"
    authority = None

    def __init__(self):
        self.asked = []
        self.partial = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def _ask(self, method, path, lines, body=None, trailers=(), host=None, end=True):
        fields = [(":method", method), (":scheme", self.scheme), (":path", path),
                  (":authority", host or self.authority)]
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() not in ("connection", "host", "transfer-encoding", "keep-alive"):
                fields.append((name.lower(), value.strip()))
        stream = self.start(fields, body is None)
        self.asked.append((stream, method))
        if body is not None and end:
            self.more(stream, body, not trailers)
            if trailers:
                self.trailers(stream, [tuple(p.strip().decode() for p in t.lower().split(b":", 1))
                                       for t in trailers])
        return stream

    def send(self, data):
        """Whole requests as wire.request() makes them; of the last one's body, drip() may send the rest."""
        while data:
            head, _, data = data.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ", 2)
            named = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
            if path.startswith("http://"):
                named["host"], slash, path = path[7:].partition("/")
                path = slash + path
            body, trailers = None, ()
            if "transfer-encoding" in named:
                body, trailers, data = _unchunk(data)
            elif "content-length" in named:
                n = int(named["content-length"])
                if len(data) < n:
                    self.partial = (method, path, lines, named.get("host"), n, data)
                    return self
                body, data = data[:n], data[n:]
            self._ask(method, path, lines, body, trailers, named.get("host"))
        return self

    def drip(self, data, size=1):
        """The body of the request whose head was sent, in pieces of that size."""
        method, path, lines, host, n, before = self.partial
        stream = self._ask(method, path, lines, b"", (), host, end=False)
        data = before + data
        assert len(data) == n
        for i in range(0, n, size):
            self.more(stream, data[i:i + size], i + size >= n)
        return self

    def get(self, path, *fields, method="GET"):
        self._ask(method, path, fields)
        return self.response(method)

    def response(self, method="GET", timeout=None):
        # Another thread may be about to ask.
        stream, asked = eventually(lambda: self.asked and self.asked.pop(0))
        r = self.whole(stream)
        assert r.ended, r
        made = Response(r.status, "", r.fields)
        made.body = r.body
        made.trailers = r.trailers
        made.interim = [Response(status, "", fields) for status, fields in r.interim]
        # What HTTP/1.1 would have needed for it.
        made.framing = ("length" if r.get("content-length") is not None
                        else "chunked" if r.body or r.trailers else "none")
        if asked == "HEAD" or r.status in (204, 304):
            assert r.body == b"", r
        elif r.get("content-length") is not None:
            assert len(r.body) == int(r.get("content-length")), r
        return made

    def assert_open(self, path="/healthz"):
        assert self.get(path).status == 200


def instead(monkeypatch, module, kind):
    """Whatever a module's tests connect with, it is of this kind."""
    monkeypatch.setattr("servers.Server.connect", lambda self, **kw: kind(self.addr, **kw))
    if hasattr(module, "Wire"):
        monkeypatch.setattr(module, "Wire", kind)

# SPDX-License-Identifier: MIT
"""A client that hides nothing: bytes out, one response in, and what became of the connection.

It reads as strictly as RFC 9112 allows: a response that a lenient client would mend is an
AssertionError here.  Every wait has an end.
"""
import contextlib
import os
import re
import select
import socket
import ssl
import threading
import time

SAN = os.environ.get("TAKO_SAN", "")
SCALE = float(os.environ.get("TAKO_TEST_SCALE", "1"))
#: Deadlines are this much longer under a sanitizer; what must be quick is measured with it too.
PATIENCE = 4 if SAN else 1
TIMEOUT_S = 10 * PATIENCE

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*"
                    rb"[\x21-\x7e\x80-\xff])?)?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})")


def scaled(n, least=1):
    """A load of n, or the share of it that TAKO_TEST_SCALE asks for."""
    return max(least, int(n * SCALE))


def pollable(sock, events, timeout):
    """Which of these events are there now, or come in time.  poll(): descriptors may be many."""
    p = select.poll()
    p.register(sock, events)
    seen = p.poll(max(0, timeout) * 1000)
    return seen[0][1] if seen else 0


def readable(sock, timeout):
    """True as soon as something, or the end, can be read."""
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    return bool(pollable(sock, select.POLLIN, timeout))


class Response:
    """One final response with the interim ones that came before it."""

    def __init__(self, status, reason, fields):
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = b""
        self.trailers = []
        self.framing = "none"
        self.interim = []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        """The value of a field that is there at most once; None without it."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    def tokens(self, name):
        return [t.strip().lower() for v in self.all(name) for t in v.split(",") if t.strip()]

    @property
    def closes(self):
        return "close" in self.tokens("Connection")

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.fields} {self.body[:80]!r}>"


def _parse_fields(lines):
    fields = []
    for line in lines:
        m = _FIELD.fullmatch(line)
        assert m, f"not a field line: {line!r}"
        fields.append((m.group(1).decode(), m.group(2).decode("latin-1")))
    return fields


def tls_context(**settings):
    """A client's that trusts everybody, with these attributes set."""
    ctx = ssl.create_default_context()
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(ctx, name, value)
    return ctx


class Duplex:
    """The socket of a TLS connection that is written and read at the same time, from one thread or two.

    A socket of Python's ssl is neither: a write that waits for room keeps the session, so that a second
    thread's read finds it half way through a record; and a peer that waits for us to read never makes room.
    Here no call on the session waits, one thread at a time makes one, and a writer without room reads unless
    somebody else does.
    """

    RECORD = 16384

    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Lock()
        self.taken = []         # what a writer read: bytes, b"" for the end, or an OSError
        self.reading = False    # a reader waits, and will take what comes

    def _now(self, call, *args):
        """What the call returns, None if it would have to wait.  With the lock."""
        before = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return call(*args)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        finally:
            self.sock.settimeout(before)

    def _ended(self):
        return bool(self.taken) and (self.taken[-1] == b"" or isinstance(self.taken[-1], OSError))

    def _take(self):
        """Read for whoever asks later.  True if there was something.  With the lock."""
        try:
            data = self._now(self.sock.recv, 65536)
        except OSError as e:
            data = e
        if data is None:
            return False
        self.taken.append(data)
        return True

    def send(self, data, timeout):
        """Some of it at least; returns how much.  TimeoutError if there is no room for so long."""
        deadline = time.monotonic() + timeout
        # One record: OpenSSL wants to be asked for the same again.
        data = memoryview(data)[:self.RECORD]
        while True:
            with self.lock:
                n = self._now(self.sock.send, data)
                reads = not n and not self.reading and not self._ended()
                if reads and self._take():
                    continue
            if n:
                return n
            left = deadline - time.monotonic()
            if left <= 0 or not pollable(self.sock, select.POLLOUT | (select.POLLIN if reads else 0), left):
                raise TimeoutError("the peer takes nothing")

    def recv(self, deadline):
        """What comes next, b"" at the end; None if nothing does."""
        with self.lock:
            if not self.taken:
                self.reading = True
        try:
            while True:
                with self.lock:
                    if self.taken or self._take():
                        data = self.taken.pop(0)
                        if isinstance(data, OSError):
                            raise data
                        return data
                left = deadline - time.monotonic()
                if left <= 0 or not pollable(self.sock, select.POLLIN, left):
                    return None
        finally:
            with self.lock:
                self.reading = False


class Wire:
    """One connection, which one thread may read while another one writes.  An address may have a third part, "tls";
    one that begins with "unix" has a path second, or "@name"."""

    version = 1
    spoken = "HTTP/1.1"  # as a log says it
    authority = "t"      # whom get() asks for

    def __init__(self, addr, rcvbuf=None, source=None, timeout=TIMEOUT_S, context=None, name="localhost"):
        host, port = addr[:2]
        unix = host == "unix"
        family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        if rcvbuf:
            # Before connect: afterwards the window has been announced already.
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        try:
            if unix:
                self.sock.connect(port.replace("@", "\0", 1) if port.startswith("@") else port)
            else:
                self.sock.connect((host, port))
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if "tls" in addr[2:]:
                self.sock = (context or tls_context()).wrap_socket(self.sock, server_hostname=name)
        except BaseException:
            self.sock.close()
            raise
        self.duplex = Duplex(self.sock) if isinstance(self.sock, ssl.SSLSocket) else None
        self.timeout = timeout
        self.buf = b""
        self.eof = False

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Leave rudely: the peer sees RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    # ---- Out ---------------------------------------------------------------

    def send(self, data):
        """All of it."""
        if not self.duplex:
            self.sock.sendall(data)
            return self
        data = memoryview(data)
        while data:
            data = data[self.duplex.send(data, self.timeout):]
        return self

    def drip(self, data, size=1):
        """Send in pieces, each a segment of its own."""
        for i in range(0, len(data), size):
            self.send(data[i:i + size])
        return self

    def finish(self):
        # Not the method of a TLS socket, which would forget its session.
        socket.socket.shutdown(self.sock, socket.SHUT_WR)
        return self

    def leave(self):
        """Close in order, and return when the server has closed, too: then it counts this connection no more.
        (Of one that it wants to end itself it waits for our end, which nobody hears of.)"""
        self.finish()
        with contextlib.suppress(OSError):
            self.until_gone()
        self.close()

    def get(self, path, *fields, method="GET"):
        self.send(request(method, path, *fields))
        return self.response(method)

    # ---- In ----------------------------------------------------------------

    def _more(self, deadline):
        assert not self.eof, "the connection ended too early"
        data = self._recv(deadline)
        if data is None:
            raise TimeoutError(f"nothing more came; so far {self.buf[:200]!r}")
        self.eof = not data
        self.buf += data
        return bool(data)

    def _recv(self, deadline):
        """What comes next, b"" at the end; None if nothing does."""
        if self.duplex:
            return self.duplex.recv(deadline)
        left = deadline - time.monotonic()
        return self.sock.recv(65536) if left > 0 and readable(self.sock, left) else None

    def more_or_end(self, deadline):
        """Wait until something is there; False at the end."""
        while not self.buf and not self.eof:
            self._more(deadline)
        return bool(self.buf)

    def _line(self, deadline):
        while b"\n" not in self.buf:
            assert len(self.buf) < 65536, "a line without end"
            assert self._more(deadline), f"the connection ended in a line: {self.buf!r}"
        line, self.buf = self.buf.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a line that ends in LF only: {line!r}"
        assert b"\r" not in line[:-1], f"a bare CR: {line!r}"
        return line[:-1]

    def exactly(self, n, deadline=None):
        deadline = deadline or time.monotonic() + self.timeout
        parts = [self.buf[:n]]
        have = len(parts[0])
        self.buf = self.buf[n:]
        while have < n:
            assert self._more(deadline), f"the connection ended {n - have} bytes too early"
            part, self.buf = self.buf[:n - have], self.buf[n - have:]
            parts.append(part)
            have += len(part)
        return b"".join(parts)

    def _lines_to_empty(self, deadline):
        lines = []
        while True:
            line = self._line(deadline)
            if not line:
                return lines
            lines.append(line)

    def head(self, deadline=None):
        """A status line and fields, without looking at the body."""
        deadline = deadline or time.monotonic() + self.timeout
        line = self._line(deadline)
        m = _STATUS_LINE.fullmatch(line)
        assert m, f"not a status line: {line!r}"
        fields = _parse_fields(self._lines_to_empty(deadline))
        return Response(int(m.group(1)), m.group(2).decode("latin-1"), fields)

    def _chunk(self, deadline):
        """One chunk's data; b"" for the last one."""
        m = _CHUNK_SIZE.fullmatch(self._line(deadline))
        assert m, "not a chunk size"
        n = int(m.group(1), 16)
        data = self.exactly(n, deadline)
        if n:
            assert self.exactly(2, deadline) == b"\r\n", "chunk data not followed by CRLF"
        return data

    def chunks(self, deadline=None):
        """The chunks of a body as they were cut, read one by one."""
        while True:
            data = self._chunk(deadline or time.monotonic() + self.timeout)
            if not data:
                return
            yield data

    def body(self, r, method, deadline):
        """Read what belongs to that head, as the answer to that method, into r."""
        lengths = r.all("Content-Length")
        codings = r.tokens("Transfer-Encoding")
        assert not (lengths and codings), "Content-Length beside Transfer-Encoding"
        assert len(lengths) <= 1, f"several Content-Length: {lengths}"
        if r.status in (204, 304) or 100 <= r.status < 200:
            # RFC 9110 8.6 and RFC 9112 6.1: neither is allowed, 304's length apart.
            assert not codings, f"{r.status} with Transfer-Encoding"
            assert not lengths or r.status == 304, f"{r.status} with Content-Length"
            return
        if method == "HEAD":
            return
        if codings:
            assert codings == ["chunked"], codings
            r.framing = "chunked"
            r.body = b"".join(self.chunks(deadline))
            r.trailers = _parse_fields(self._lines_to_empty(deadline))
        elif lengths:
            assert re.fullmatch("[0-9]+", lengths[0]), lengths
            r.framing = "length"
            r.body = self.exactly(int(lengths[0]), deadline)
        else:
            assert method != "CONNECT" or r.status // 100 != 2
            r.framing = "close"
            r.body = self.rest(deadline)

    def response(self, method="GET", timeout=None):
        """One whole final response to a request of that method."""
        deadline = time.monotonic() + (timeout or self.timeout)
        interim = []
        while True:
            r = self.head(deadline)
            if r.status == 101 or r.status >= 200:
                break
            assert not r.all("Content-Length") and not r.all("Transfer-Encoding")
            interim.append(r)
        r.interim = interim
        self.body(r, method, deadline)
        return r

    def rest(self, deadline=None):
        """Everything up to an orderly end; a reset is an error."""
        deadline = deadline or time.monotonic() + self.timeout
        while not self.eof:
            self._more(deadline)
        data, self.buf = self.buf, b""
        return data

    def until_gone(self, timeout=None):
        """What still comes until the connection has ended, in order or by a reset."""
        try:
            return self.rest(time.monotonic() + (timeout or self.timeout))
        except ConnectionError:
            self.eof = True
            data, self.buf = self.buf, b""
            return data

    # ---- The state afterwards ----------------------------------------------

    def assert_closed(self, timeout=None):
        """The peer has closed in order, and sent nothing before that."""
        extra = self.rest(time.monotonic() + (timeout or self.timeout))
        assert extra == b"", f"came before the end: {extra[:300]!r}"

    def assert_open(self, path="/healthz"):
        """Nothing is left over, and the next request on this connection gets its answer."""
        r = self.get(path)
        assert r.status == 200, r

    def quiet(self, seconds):
        """True if nothing at all comes for that long: neither bytes nor the end."""
        if self.buf or self.eof:
            return False
        # Over TLS, what comes may be for TLS itself: a session ticket.
        data = self._recv(time.monotonic() + seconds)
        if data is None:
            return True
        self.buf += data
        self.eof = not data
        return False


def request(method, path, *fields, version="HTTP/1.1", host="t", body=None):
    """The bytes of a well-formed request; fields are "Name: value"."""
    lines = [f"{method} {path} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines.extend(fields)
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(*parts, trailers=()):
    """A chunked body of these parts."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts)
    return out + b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


def once(addr, data, method="GET", **kw):
    """One request on a connection of its own."""
    with Wire(addr, **kw) as w:
        w.send(data)
        return w.response(method)


def eventually(check, timeout=None, every=0.01):
    """Wait until check() is true; a failure says what it was last."""
    deadline = time.monotonic() + (timeout or TIMEOUT_S)
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not come true: {value!r}"
        time.sleep(every)


def on_time(limit_s, attempt):
    """Run attempt(tick), which calls tick() at each moment that must not be further than that from the one
    before; what was before tick(first=True) does not count.  What fails is tried again where one was: somebody
    was stopped meanwhile, and a clock that should not have run out has."""
    for _ in range(30):
        last, late = time.monotonic(), False

        def tick(first=False):
            nonlocal last, late
            now = time.monotonic()
            last, late = now, not first and (late or now - last > limit_s)

        try:
            attempt(tick)
            return
        except (AssertionError, OSError):
            tick()
            if not late:
                raise
    raise AssertionError(f"never within {limit_s} s")

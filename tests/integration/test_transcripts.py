# SPDX-License-Identifier: MIT
"""The same conversations on every runtime and under every hostile setting: however bytes are cut on
their way in and out, what a client reads must be the same.

A conversation is a list of steps.  The first run of each is on the first runtime as it is; it has to
give the statuses that stand beside the steps.  All others have to give the same transcript, from the
first field to how the connection ended.
"""
import functools
import re
import time

import pytest

import servers
from transcript import REFERENCE, environment, noise, normal_body, normal_fields, runs
from wire import PATIENCE, chunked, request

# ---- Steps -------------------------------------------------------------------------------

WAIT_S = 30 * PATIENCE
#: In the mode that sends byte by byte, longer texts than this go on in bigger pieces.
DRIP_BYTES = 1500


class Talk:
    """One connection; what was heard is in self.heard."""

    def __init__(self, wire, drips):
        self.wire, self.drips, self.heard = wire, drips, []

    def send(self, data):
        try:
            if self.drips:
                self.wire.drip(data[:DRIP_BYTES]).drip(data[DRIP_BYTES:], 997)
            else:
                self.wire.send(data)
        except ConnectionError:
            pass  # answered and closed before all was sent, which the next step will show

    def hear(self, status, method="GET"):
        r = self.wire.response(method, timeout=WAIT_S)
        assert r.status == status, r
        interim = [(i.status, normal_fields(i.fields)) for i in r.interim]
        self.heard.append((interim, r.status, r.reason, normal_fields(r.fields), r.framing,
                           normal_body(r.body), r.trailers))

    def inform(self, status):
        r = self.wire.head(time.monotonic() + WAIT_S)
        assert r.status == status, r
        self.heard.append((r.status, normal_fields(r.fields)))

    def finish(self):
        self.wire.finish()

    def end(self):
        """The server closes, having sent what is recorded, and in order or not."""
        try:
            rest = self.wire.rest(time.monotonic() + WAIT_S)
            self.heard.append(("closed", re.sub(rb"\r\nDate: [^\r]*", b"", rest)))
        except ConnectionError:
            self.heard.append(("reset",))


def send(data):
    return lambda t: t.send(data)


def hear(*statuses, method="GET"):
    return lambda t: [t.hear(s, method) for s in statuses]


def inform(status):
    return lambda t: t.inform(status)


def finish(t):
    t.finish()


def end(t):
    t.end()


def ask(path, status, *fields, method="GET", **kw):
    """One request and its answer."""
    return lambda t: (t.send(request(method, path, *fields, **kw)), t.hear(status, method))


def post(path, status, body, *fields):
    return ask(path, status, *fields, method="POST", body=body)


def post_chunked(path, status, *parts, trailers=()):
    data = request("POST", path, "Transfer-Encoding: chunked") + chunked(*parts, trailers=trailers)
    return lambda t: (t.send(data), t.hear(status, "POST"))


def refused(text, status):
    """Bytes that are answered with an error and the end of the connection."""
    return [send(text.replace("\n", "\r\n").encode("latin-1")), hear(status), end]


HELLO = request("GET", "/hello")
HTTP10 = {"version": "HTTP/1.0"}

# ---- Conversations -------------------------------------------------------------------------

MESSAGES = {
    "pipeline": [send(HELLO * 30), hear(*[200] * 30)],
    "mixed pipeline": [
        send(request("HEAD", "/hello") + request("POST", "/whole", body=noise(500)) + HELLO
             + request("POST", "/sink", "Transfer-Encoding: chunked") + chunked(b"a", noise(3000), b"b")
             + request("GET", "/nowhere") + request("DELETE", "/hello") + HELLO),
        hear(200, method="HEAD"), hear(200, 200, 200, 404, 405, 200)],
    "slow in a pipeline": [send(request("GET", "/slow?ms=30") + HELLO + request("GET", "/offload?ms=5") + HELLO),
                           hear(200, 200, 200, 200)],
    "leading empty lines": [send(b"\r\n\r\n" + HELLO), hear(200), send(b"\r\n" + HELLO), hear(200)],
    "echo": [post("/echo", 200, noise(40000)), post_chunked("/echo", 200, noise(1), noise(20000), noise(777)),
             post("/echo", 200, b"")],
    "collected": [post("/whole", 200, noise(60000)), post("/whole", 200, b""),
                  post_chunked("/whole", 200, *[noise(i) for i in range(1, 40)], trailers=["X-T: 1"])],
    "counted": [post("/sink", 200, noise(100000)), post_chunked("/sink", 200, noise(50000), noise(3))],
    "not asked for": [post("/ignore", 200, b"x" * 10), send(HELLO), hear(200)],
    "lent": [ask("/big?bytes=100000", 200), ask("/big?bytes=0", 200), ask("/big?bytes=1", 200),
             ask("/big?bytes=70000", 200, method="HEAD")],
    "streamed": [ask("/flood?bytes=100000", 200), ask("/flood?bytes=100000&length=1", 200),
                 ask("/flood?bytes=50000", 200, method="HEAD"), ask("/flood?bytes=30000", 200, **HTTP10), end],
    "old": [ask("/hello", 200, **HTTP10), end],
    "old kept": [ask("/hello", 200, "Connection: keep-alive", **HTTP10),
                 ask("/hello", 200, "Connection: keep-alive", **HTTP10), ask("/hello", 200, **HTTP10), end],
    "close": [ask("/hello", 200), ask("/hello", 200, "Connection: close"), end],
    "expected": [send(request("POST", "/whole", "Expect: 100-continue", "Content-Length: 5")), inform(100),
                 send(b"hello"), hear(200), send(HELLO), hear(200)],
    "expected in chunks": [send(request("POST", "/echo", "Expect: 100-continue", "Transfer-Encoding: chunked")),
                           inform(100), send(chunked(b"hello", b"world")), hear(200)],
    "expected and not wanted": [send(request("POST", "/nowhere", "Expect: 100-continue", "Content-Length: 5")),
                                hear(404), end],
    "half closed": [send(HELLO * 3), finish, hear(200, 200, 200), end],
    "half closed while slow": [send(request("GET", "/slow?ms=50")), finish, hear(200), end],
    "half closed in a head": [send(HELLO + HELLO[:20]), finish, hear(200), end],
    "half closed in a body": [send(request("POST", "/whole", "Content-Length: 10") + b"12345"), finish,
                           hear(400), end],
    "nothing at all": [finish, end],
    "absolute": [send(b"GET http://t/hello HTTP/1.1\r\nHost: t\r\n\r\n"), hear(200)],
    "options": [ask("*", 204, method="OPTIONS"), ask("/hello", 204, method="OPTIONS")],
}

ERRORS = {
    "no version": refused("GET /\n\n", 400),
    "lower case": refused("GET / http/1.1\nHost: t\n\n", 400),
    "version 2": refused("GET / HTTP/2.0\nHost: t\n\n", 505),
    "no host": refused("GET / HTTP/1.1\n\n", 400),
    "two hosts": refused("GET / HTTP/1.1\nHost: a\nHost: b\n\n", 400),
    "bad method": refused("G@T / HTTP/1.1\nHost: t\n\n", 400),
    "space before colon": refused("GET / HTTP/1.1\nHost : t\n\n", 400),
    "folded": refused("GET / HTTP/1.1\nHost: t\nA: b\n c\n\n", 400),
    "NUL": refused("GET / HTTP/1.1\nHost: t\nA: \0\n\n", 400),
    "two lengths": refused("POST /sink HTTP/1.1\nHost: t\nContent-Length: 1\nContent-Length: 2\n\n", 400),
    "length and chunks": refused("POST /sink HTTP/1.1\nHost: t\nContent-Length: 1\n"
                                 "Transfer-Encoding: chunked\n\n", 400),
    "unknown coding": refused("POST /sink HTTP/1.1\nHost: t\nTransfer-Encoding: gzip, chunked\n\n", 501),
    "unknown expectation": [ask("/hello", 417, "Expect: a miracle"), end],
    "bad chunk size": refused("POST /sink HTTP/1.1\nHost: t\nTransfer-Encoding: chunked\n\nx\n", 400),
    "bad chunk end": refused("POST /sink HTTP/1.1\nHost: t\nTransfer-Encoding: chunked\n\n3\nabcd\n", 400),
    "good and bad": [send(HELLO * 2 + b"BAD\r\n\r\n" + HELLO), hear(200, 200, 400), end],
    "bad target": refused("GET /%zz HTTP/1.1\nHost: t\n\n", 400),
}

LIMITS = {
    "kept three times": [send(HELLO * 5), hear(200, 200, 200), end],
    "kept two times": [ask("/hello", 200), ask("/nowhere", 404)],
    "body announced too big": [send(request("POST", "/whole", "Content-Length: 2000")), hear(413), end],
    "body grows too big": [send(request("POST", "/whole", "Transfer-Encoding: chunked")
                                + chunked(noise(900), noise(200))), hear(413), end],
    "body just fits": [post("/whole", 200, noise(1000))],
    "long line": [send(b"GET /" + b"a" * 600 + b" HTTP/1.1\r\nHost: t\r\n\r\n"), hear(414), end],
    "long head": [send(request("GET", "/hello", "A: " + "a" * 1200)), hear(431), end],
    "many fields": [send(request("GET", "/hello", *["A: b"] * 12)), hear(431), end],
    "head that takes its time": [send(b"GET /hello HTTP/1.1\r\nHo"), hear(408), end],
}

EXCHANGES = {
    "interim": [ask("/inform", 200), ask("/inform", 200, method="HEAD")],
    "trailers": [ask("/trailers", 200), ask("/trailers?length=1", 200), ask("/trailers", 200, **HTTP10), end],
    "lengths": [ask("/announced?bytes=10", 200), ask("/announced?bytes=11", 200)],
    "too short": [send(request("GET", "/announced?bytes=4")), end],
    "cut": [send(request("GET", "/cut")), end],
    "file": [ask("/file?from=0&bytes=100000", 200), ask("/file?from=4194300&bytes=4", 200),
             ask("/file?from=77&bytes=1", 200), ask("/file?from=0&bytes=50000", 200, method="HEAD")],
    "file past its end": [send(request("GET", "/file?from=4194300&bytes=100")), end],
    "by reference": [send(request("GET", "/ref") * 8), hear(*[200] * 8)],
    "paused": [post("/paused", 200, noise(50000)), post_chunked("/paused", 200, b"a", b"b", noise(3000))],
    "late": [post("/late-body", 200, noise(3000)), post_chunked("/late-body", 200, noise(100), noise(50))],
    "trailer of a request": [post_chunked("/request-trailer", 200, b"hello", trailers=["X-Sum: 42"]),
                             post("/request-trailer", 200, b"hello")],
    "cookies": [ask("/cookies", 200, "Cookie: c=1; d=2"), ask("/cookies", 200)],
    "query": [ask("/query?a=1&b=x+y%21&c", 200), ask("/query?a=%zz", 400)],
    "form": [ask("/form", 200, "Content-Type: application/x-www-form-urlencoded", method="POST",
                 body=b"a=1&b=x+y%21&c")],
    "multipart": [ask("/multipart", 200, "Content-Type: multipart/form-data; boundary=xx", method="POST",
                      body=b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"v" * 500
                           + b'\r\n--xx\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n\r\n'
                             b"\r\n-\r\n--x\r\n--xx--\r\n")],
    "back-pressure": [ask("/drain?blocks=20", 200)],
    "elsewhere": [ask("/thread?parts=20", 200), ask("/offload", 200), ask("/thread?ms=5", 200)],
    "codes": [ask("/code?n=1", 400), ask("/code?n=2", 500), ask("/code?n=12", 404), ask("/code?n=6", 413)],
    "statuses": [ask(f"/status?n={n}&body=1", n) for n in (200, 204, 304, 404, 500)],
}

FILES = {
    "whole": [ask("/files/big.bin", 200), ask("/files/big.bin", 200, method="HEAD"), ask("/files/small.txt", 200)],
    "ranges": [ask("/files/big.bin", 206, f"Range: bytes={r}") for r in ("0-0", "5-99", "-7", "100000-")],
    "several ranges": [send(request("GET", "/files/small.txt", "Range: bytes=0-1,3-4,-2")), hear(206)],
    "no such range": [ask("/files/small.txt", 416, "Range: bytes=100-")],
    "conditions": [ask("/files/small.txt", 304, "If-None-Match: *"), ask("/files/small.txt", 412, "If-Match: \"x\""),
                   ask("/files/small.txt", 304, "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
                   ask("/files/small.txt", 200, "Range: bytes=0-1", "If-Range: \"x\"")],
    "places": [ask("/files/", 200), ask("/files/none", 404), ask("/files/../etc/passwd", 404), ask("/files", 308)],
    "pipelined": [send(request("GET", "/files/small.txt") * 10 + request("GET", "/files/big.bin")
                       + request("GET", "/files/small.txt")), hear(*[200] * 12)],
}

ROUTES = {
    "parameters": [ask(p, 200) for p in ("/p/list", "/p/17", "/p/img-7.png", "/p/x", "/p/a/b/c", "/hex/ff",
                                         "/next/one", "/caf%C3%A9", "/any", "/m")]
                  + [ask("/hex/xyz", 404), ask("/next-none", 404), ask("/nowhere", 404)],
    "methods": [post("/m", 200, b""), ask("/m", 405, method="PUT"), ask("/m", 204, method="OPTIONS"),
                ask("/own-head", 200, method="HEAD"), ask("/pot", 200, method="BREW"), ask("/pot", 405)],
    "hosts": [ask("/who", 200, host=h) for h in ("t", "a.test", "x.b.test", "x.c.b.test", "A.TEST:80")],
    "groups": [ask("/api/plain", 200), ask("/api/fail", 400), ask("/api/acme/user", 200), ask("/text/fail", 400)],
}

OBSERVED = {
    "ids": [ask("/id/show", 200), ask("/id/show", 200, "X-Request-Id: mine-1"), ask("/trace/show", 200),
            ask("/id/fail", 400, "X-Request-Id: mine-2")],
    "problems": [ask("/fail", 400), ask("/nowhere", 404), ask("/size", 405), post("/size", 201, noise(300))],
}

SHOWCASE = {
    "small": [ask("/plaintext", 200), ask("/json", 200), ask("/users/17", 200), ask("/users/x", 404),
              ask("/healthz", 200), ask("/slow?ms=10", 200), ask("/slow?ms=x", 400)],
    "inspected": [ask("/inspect?a=1&b=%20", 200, "X-A: 1", "Cookie: c=d", "X-Request-Id: mine"),
                  ask("/inspect/a/b", 200, method="HEAD"), post("/inspect", 200, noise(50))],
    "page": [ask("/", 200), ask("/", 200, method="HEAD")],
    "streams": [ask("/stream?chunks=30&bytes=1000", 200), ask("/stream?chunks=3&bytes=10&delay_ms=5", 200),
                ask("/stream?chunks=3&bytes=10", 200, **HTTP10), end],
    "bodies": [post("/echo", 200, noise(30000)), post("/upload", 200, noise(70000)),
               post_chunked("/upload", 200, noise(3), noise(40000)), post_chunked("/count", 200, noise(5000))],
    "files": [ask("/files/big.bin", 206, "Range: bytes=1000-60000"), ask("/files/small.txt", 200)],
}

# ---- Servers -----------------------------------------------------------------------------------


def knobs(**settings):
    return lambda files, **kw: servers.knobs(**kw, **settings)


def launch(name, *args):
    return lambda files, **kw: servers.launch(name, *[a.format(files) for a in args], **kw)


def showcase(files, tls, env):
    assert tls == servers.OVER_TLS
    return servers.showcase(files, env=env)


PROGRAMS = {
    "messages": (MESSAGES, knobs()),
    "errors": (ERRORS, knobs()),
    "limits": (LIMITS, knobs(keepalive_request_count=3, max_body_bytes=1000, max_head_bytes=1000,
                             max_line_bytes=500, max_header_count=10, header_timeout_ms=1500 * PATIENCE)),
    "exchanges": (EXCHANGES, launch("exchange", "{}/file")),
    "files": (FILES, launch("static", "dir={}")),
    "routes": (ROUTES, launch("routing")),
    "observed": (OBSERVED, launch("observed")),
    "showcase": (SHOWCASE, showcase),
}
#: Whose bytes a transport below HTTP/1.1 may cut in other ways.
OVER_TLS = ["messages", "exchanges", "files"]
TLS_MODES = ["plain", "all at once"]


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    d = tmp_path_factory.mktemp("contents")
    (d / "index.html").write_text("<!doctype html><title>index</title>\n")
    (d / "small.txt").write_text("small file\n")
    (d / "big.bin").write_bytes(noise(120000))
    (d / "file").write_bytes(noise(4 << 20))
    return d


def transcripts(name, tls, contents, run):
    talks, start = PROGRAMS[name]
    with start(contents, tls=tls, env=environment(run)) as s:
        heard = {}
        for talk, steps in talks.items():
            with s.connect(timeout=WAIT_S) as w:
                t = Talk(w, drips=run[1] == "dripped")
                for step in steps:
                    step(t)
                if steps[-1] is not end:
                    t.finish()
                    t.end()
                heard[talk] = t.heard
        return heard


@functools.lru_cache(maxsize=None)
def reference(name, tls, contents):
    return transcripts(name, tls, contents, REFERENCE)


def compare(name, tls, run, contents):
    want = reference(name, tls, contents)
    got = transcripts(name, tls, contents, run)
    assert got.keys() == want.keys()
    for talk, heard in want.items():
        assert got[talk] == heard, talk


@pytest.mark.parametrize("run", runs(servers.hostile_modes()), ids=" ".join)
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_transcript(name, run, contents):
    compare(name, servers.OVER_TLS, run, contents)


@pytest.mark.parametrize("run", runs(TLS_MODES), ids=" ".join)
@pytest.mark.parametrize("name", OVER_TLS)
def test_same_transcript_over_tls(name, run, contents):
    compare(name, True, run, contents)

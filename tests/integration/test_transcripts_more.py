# SPDX-License-Identifier: MIT
"""test_transcripts.py for what is not HTTP/1.1: HTTP/2 with and without TLS, WebSockets, streams of events, gRPC
and HTTP/3.  On every runtime, and in small pieces, a client is told the same, to the byte: of each stream of
HTTP/2 what is on it, whatever is between its frames on others.
"""
import functools
import struct

import pytest

import eventwire
import h2wire
import servers
import test_h3
import wswire
from h2wire import END_HEADERS, END_STREAM, H2
from transcript import REFERENCE, environment, noise, normal, normal_body, runs
from wire import PATIENCE
from wswire import WS

WAIT_S = 30 * PATIENCE
#: Plain, and in pieces as small as they get.
MODES = ["plain", "all at once"]


def normal_fields(fields):
    """Those of one name stay in their order; that of different names means nothing (RFC 9110 section 5.3), and an
    answer that is made with others of its turn may have another one."""
    return sorted(((n, "now" if n == "date" else normal(v)) for n, v in fields), key=lambda f: f[0])


# ---- HTTP/2 --------------------------------------------------------------------------------------------


class Talk(H2):
    """One connection, and everything that a server may say differently."""

    def heard(self):
        """To the end of the connection."""
        self.ended(WAIT_S)
        streams = {stream: (r.interim and [(s, normal_fields(f)) for s, f in r.interim], r.status,
                            normal_fields(r.fields), normal_body(r.body), normal_fields(r.trailers), r.ended,
                            # Whether it is told that no more of its request is wanted depends on what has come of it.
                            r.reset or None)
                   for stream, r in self.responses.items()}
        return streams, self.settings, self.goaway and (self.goaway.code, self.goaway.debug)

    def leave(self):
        """Say that there is no more, when everything asked for has come."""
        for stream, r in list(self.responses.items()):
            if not (r.ended or r.reset is not None):
                self.response(stream)
        self.frame(h2wire.GOAWAY, 0, 0, bytes(8))
        return self

    def post(self, stream, path, body, *fields, trailers=()):
        self.headers(stream, self.basic("POST", path) + list(fields), END_HEADERS)
        self.body(stream, body, end=not trailers)
        if trailers:
            self.headers(stream, list(trailers))
        return self.response(stream)


def requests(t):
    statuses = [t.get(i * 2 + 1, path, method=method).status for i, (method, path) in enumerate([
        ("GET", "/hello"), ("HEAD", "/hello"), ("GET", "/nowhere"), ("DELETE", "/hello"), ("OPTIONS", "/hello"),
        ("GET", "/big?bytes=70000"), ("HEAD", "/big?bytes=70000"), ("GET", "/flood?bytes=50000")])]
    assert statuses == [200, 200, 404, 405, 204, 200, 200, 200]
    t.leave()


def bodies(t):
    assert t.post(1, "/echo", noise(60000)).body == noise(60000)
    assert t.post(3, "/whole", noise(30000), ("content-length", "30000")).status == 200
    assert t.post(5, "/sink", noise(5000), trailers=[("x-t", "1")]).status == 200
    assert t.post(7, "/echo", b"").status == 200
    assert t.get(9, "/hello", ("expect", "a miracle")).status == 417
    t.leave()


def beside_each_other(t):
    for stream in range(1, 40, 2):
        t.ask(stream, f"/big?bytes={stream * 700}" if stream % 4 == 1 else "/slow?ms=20")
    for stream in range(1, 40, 2):
        assert t.response(stream).status == 200
    t.leave()


def refused_streams(t):
    """What is wrong with one request is no other's business."""
    for stream, wrong in enumerate([("Upper", "x"), ("connection", "close"), ("te", "gzip"), (":path", "/again"),
                                    ("content-length", "5"), ("transfer-encoding", "chunked")]):
        t.headers(stream * 2 + 1, t.basic() + [wrong])
        t.response(stream * 2 + 1)
    assert t.get(13).status == 200
    t.leave()


def reset_streams(t):
    t.ask(1, "/slow?ms=10000").frame(h2wire.RST_STREAM, 0, 1, struct.pack(">I", h2wire.CANCEL))
    assert t.get(3).status == 200
    t.leave()
    t.responses.pop(1, None)


def refuse(*frames):
    """What ends the connection, behind an answer."""
    def talk(t):
        assert t.get(1).status == 200
        t.send(b"".join(frames))
    return talk


HTTP2 = {
    "requests": requests,
    "bodies": bodies,
    "beside each other": beside_each_other,
    "refused streams": refused_streams,
    "reset streams": reset_streams,
    "data on no stream": refuse(h2wire.frame(h2wire.DATA, 0, 0, b"x")),
    "an even stream": refuse(h2wire.frame(h2wire.HEADERS, END_HEADERS | END_STREAM, 2, b"\x82\x86\x84")),
    "a frame too large": refuse(h2wire.frame(h2wire.DATA, 0, 1, b"", length=20000), bytes(20000)),
    "a short ping": refuse(h2wire.frame(h2wire.PING, 0, 0, b"short")),
    "no field block": refuse(h2wire.frame(h2wire.HEADERS, END_HEADERS | END_STREAM, 3, b"\xff\xff\xff\xff\xff\xff")),
    "a window of nothing": refuse(h2wire.frame(h2wire.WINDOW_UPDATE, 0, 0, bytes(4))),
    "a window too large": refuse(*[h2wire.frame(h2wire.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff")] * 2),
    "a push": refuse(h2wire.frame(h2wire.PUSH_PROMISE, END_HEADERS, 1, bytes(4) + b"\x82")),
    "a block cut off": refuse(h2wire.frame(h2wire.HEADERS, END_STREAM, 3, b"\x82"), h2wire.frame(h2wire.PING, 0, 0,
                                                                                             bytes(8))),
}


def http2(env, tls):
    heard = {}
    with servers.launch("knobs", "worker_count=1", env=env, tls=tls) as s:
        for name, talk in HTTP2.items():
            with Talk(s.addr, timeout=WAIT_S) as t:
                talk(t)
                heard[name] = t.heard()
    return heard


# ---- gRPC -----------------------------------------------------------------------------------------------


def message(data):
    return struct.pack(">BI", 0, len(data)) + data


def call(t, stream, method, *messages, fields=()):
    fields = t.basic("POST", f"/tako.test.Interop/{method}") + [
        ("content-type", "application/grpc"), ("te", "trailers"), *fields]
    t.headers(stream, fields, END_HEADERS)
    t.body(stream, b"".join(message(m) for m in messages))
    return t.response(stream)


def grpc_calls(t):
    echo = [("x-grpc-test-echo-initial", "hi"), ("x-grpc-test-echo-trailing-bin", "q6ur")]
    assert call(t, 1, "Empty", b"").ended
    assert len(call(t, 3, "Unary", b"n=31415", fields=echo).body) == 31420
    assert call(t, 5, "Input", *[bytes(n) for n in (2718, 8, 1828, 4590)]).body.endswith(b"9140")
    assert len(call(t, 7, "Output", b"n=3141,9,2653,5897").body) == 4 * 5 + 3141 + 9 + 2653 + 5897
    assert len(call(t, 9, "Duplex", b"n=31", b"n=9,2", b"n=0").body) == 4 * 5 + 42
    for stream, text in (11, b"code=5;message=not here"), (13, b"n=1,x"), (15, b"code=2;details=why"):
        call(t, stream, "Unary", text)
    call(t, 17, "Nothing", b"")
    call(t, 19, "Unary", b"", b"")
    call(t, 21, "Unary")
    call(t, 23, "Small", bytes(200))
    call(t, 25, "Unary", b"n=1", fields=[("grpc-encoding", "none of ours")])
    call(t, 27, "Hang", b"", fields=[("grpc-timeout", "50m")])
    t.leave()


def grpc(env, tls):
    with servers.launch("grpc", env=env, tls=tls) as s, Talk(s.addr, timeout=WAIT_S) as t:
        grpc_calls(t)
        return t.heard()


# ---- WebSockets -------------------------------------------------------------------------------------------


def socket_talk(s, over, path, data, **kw):
    """What is said at once, and all that comes back to the end."""
    with WS(s.addr, path, over=over, timeout=WAIT_S, **kw) as ws:
        head = ws.head.status, normal_fields([(n.lower(), v) for n, v in ws.head.fields
                                              if n.lower() != "sec-websocket-accept"])
        ws.send(data)
        frames = []
        while (f := ws.next(WAIT_S)) is not None:
            frames.append((f.op, f.fin, f.rsv, f.payload))
            if f.op == wswire.CLOSE:
                ws.send(wswire.close(f.code))
                break
        ws.ends()
        return head, frames


BYE = wswire.close(1000, b"bye")
SOCKETS = {
    "echo": ("/echo", wswire.text(b"hello") + wswire.binary(noise(30000)) + wswire.text() + BYE),
    "in frames": ("/echo", wswire.message(wswire.BINARY, noise(3000), 100) + wswire.ping(b"x")
                  + wswire.text(b"a", fin=False) + wswire.ping(b"between") + wswire.cont(b"b") + BYE),
    "as it comes": ("/command", wswire.text(b"parts abcdef") + wswire.text(b"ping it") + wswire.text(b"conn") + BYE),
    "closed by the server": ("/command", wswire.text(b"close 4000 because")),
    "no UTF-8": ("/echo", wswire.text(b"\xff")),
    "no mask": ("/echo", wswire.text(b"x", key=None)),
    "a wrong opcode": ("/echo", wswire.frame(3)),
    "a long ping": ("/echo", wswire.ping(bytes(126))),
    "out of order": ("/echo", wswire.cont(b"x")),
    "too large": ("/echo?max_message_bytes=1000", wswire.binary(bytes(1001))),
    "a bad code": ("/echo", wswire.close(1005)),
    "no code": ("/echo", wswire.close()),
}


def sockets(env, over, tls):
    with servers.launch("ws", env=env, tls=tls) as s:
        heard = {name: socket_talk(s, over, path, data) for name, (path, data) in SOCKETS.items()}
        heard["chosen"] = socket_talk(s, over, "/echo?subprotocols=a,b", BYE, protocols="b, a")
        return heard


# ---- Events -------------------------------------------------------------------------------------------------


def events(env, way):
    heard = {}
    with servers.launch("events", ready_path="/healthz", env=env, tls=way == "tls") as s:
        for path in "/ticks?n=60", "/ticks?n=3&ms=5":
            with eventwire.Events(s.addr, way, path, "Last-Event-ID: 7") as e:
                told = e.to_end()
                heard[path] = e.head.status, normal_fields([(n.lower(), v) for n, v in e.head.fields]), told, e.retry
        for path in "/silent", "/nowhere":
            with eventwire.Events(s.addr, way, path, "Accept: text/html") as e:
                heard[path] = e.head.status, normal_fields([(n.lower(), v) for n, v in e.head.fields])
    assert len(heard["/ticks?n=60"][2]) == 60
    return heard


# ---- HTTP/3 -------------------------------------------------------------------------------------------------


def http3(env, folder):
    paths = ["/plaintext", "/users/42", "/nowhere", "/json", "/files/large"]
    got = folder / f"got-{len(list(folder.iterdir()))}"
    got.mkdir()
    with test_h3.site(folder, env=env) as s:
        answers = test_h3.ask(s, *paths, args=["--download", str(got)])
        heads = [normal_fields(a.fields.items()) for a in answers]
    assert [a.status for a in answers] == [200, 200, 404, 200, 200]
    return heads, {p.name: p.read_bytes() for p in got.iterdir()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "large").write_bytes(noise(300000))
    return folder


# ---- The same ----------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def reference(talk, *args):
    return talk(environment(REFERENCE), *args)


def compare(run, talk, *args):
    want = reference(talk, *args)
    got = talk(environment(run), *args)
    assert list(differences(want, got)) == []


def differences(want, got, where=()):
    """Where two transcripts differ, and in what."""
    if isinstance(want, dict) and isinstance(got, dict) and want.keys() == got.keys():
        for key in want:
            yield from differences(want[key], got[key], where + (key,))
    elif isinstance(want, (list, tuple)) and isinstance(got, (list, tuple)) and len(want) == len(got):
        for i, pair in enumerate(zip(want, got)):
            yield from differences(*pair, where + (i,))
    elif want != got:
        yield where, repr(want)[:200], repr(got)[:200]


def each(modes):
    """There may be none to compare: epoll's own, uncut."""
    return pytest.mark.parametrize("run", runs(modes), ids=[" ".join(run) for run in runs(modes)])


on_each = each(MODES)
CARRIERS = [("tcp", False), ("tls", True)]
carried = pytest.mark.parametrize("tls", [tls for _, tls in CARRIERS], ids=[name for name, _ in CARRIERS])


@on_each
@carried
def test_http2(run, tls):
    compare(run, http2, tls)


@on_each
@carried
def test_grpc_calls(run, tls):
    compare(run, grpc, tls)


@on_each
@pytest.mark.parametrize("over, tls", [("tcp", False), ("tcp", True), ("h2", False), ("h2", True)],
                         ids=["tcp", "tls", "h2c", "tls h2"])
def test_websockets(run, over, tls):
    compare(run, sockets, over, tls)


@on_each
@pytest.mark.parametrize("way", eventwire.WAYS)
def test_events(run, way):
    compare(run, events, way)


@test_h3.pytestmark
@each(["plain"])
def test_h3_answers(run, folder):
    compare(run, http3, folder)

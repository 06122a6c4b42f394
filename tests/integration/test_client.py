# SPDX-License-Identifier: MIT
"""The HTTP client (tests/programs/client.c), on each runtime: against a server that closes, resets and stalls at every
byte of a response, and against nginx, Node and ourselves; pools, retries, timeouts, limits, streams both ways."""
import asyncio
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest

import flaky
import servers
from flaky import BODY, RESPONSES
from wire import PATIENCE, TIMEOUT_S, Wire, eventually, scaled

#: Short where something must pass, long where nothing may.
STALL_MS = 150 * PATIENCE


class Client(servers.Server):
    def __init__(self, runtime, *args, **settings):
        args += tuple(f"client_{k}={v}" for k, v in settings.items())
        super().__init__([servers.program("tests/programs/client"), *args], None, ready_path=None,
                         env={"TAKO_RUNTIME": runtime})
        try:
            eventually(lambda: "listening " in self.stdout or self.proc.poll() is not None)
            self.addr = ("127.0.0.1", int(re.findall(r"listening 127\.0\.0\.1:(\d+)", self.stdout)[0]))
            self.wait_ready("/hello")
        except BaseException:
            self.kill()
            raise

    @property
    def own(self):
        return f"http://127.0.0.1:{self.addr[1]}"

    async def fetch(self, url, **params):
        """What the client says of it: a dict, with the "body" behind it."""
        reader, writer = await asyncio.open_connection(*self.addr, limit=1 << 20)
        query = urllib.parse.urlencode({"url": url, **params})
        writer.write(f"GET /fetch?{query} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        data = await asyncio.wait_for(reader.read(-1), TIMEOUT_S)
        writer.close()
        return parse(data)

    def ask(self, url, **params):
        return asyncio.run(self.fetch(url, **params))

    async def post(self, path, data=b""):
        """Status and body of what comes back, which may begin before all has been sent."""
        reader, writer = await asyncio.open_connection(*self.addr, limit=1 << 20)
        writer.write(f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                     f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        answer = await asyncio.wait_for(reader.read(-1), TIMEOUT_S)
        writer.close()
        return unframe(answer)

    def outgoing(self):
        """Connections made, open, and those that did not come to be."""
        with Wire(self.addr) as w:
            return [int(n) for n in w.get("/stats", "Connection: close").body.split()]


def unframe(data):
    """The status of a response, and its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head:
        whole, rest = [], memoryview(body)
        while rest:
            n = bytes(rest[:20]).partition(b"\r\n")[0]
            rest = rest[len(n) + 2:]
            whole.append(rest[:int(n, 16)])
            rest = rest[int(n, 16) + 2:]
        body = b"".join(whole)
    return int(head.split(b" ")[1]), body


def parse(data):
    text, _, answer = unframe(data)[1].partition(b"\n\n")
    said = dict(line.split(" ", 1) for line in text.decode("latin-1").split("\n"))
    said["body"] = answer
    return said


@pytest.fixture(params=servers.runtimes(), name="runtime", scope="module")
def fixture_runtime(request):
    return request.param


MANY = {"max_connections": 1000, "max_connections_per_origin": 1000, "max_idle_per_origin": "off"}


@pytest.fixture(name="client", scope="module")
def fixture_client(runtime):
    """One who soon loses patience; who is slow need not be the server."""
    with Client(runtime, **MANY, idle_timeout_ms=STALL_MS, head_timeout_ms=STALL_MS) as c:
        yield c


@pytest.fixture(name="patient", scope="module")
def fixture_patient(runtime):
    with Client(runtime, **MANY) as c:
        yield c


@pytest.fixture(name="usual", scope="module")
def fixture_usual(runtime):
    with Client(runtime) as c:
        yield c


# ---- Every byte of a response ---------------------------------------------------------------------------------

def due(kind, n, how):
    """What has to come of N bytes of that response, and then that: error, status, body."""
    whole, head = RESPONSES[kind], flaky.head_end(kind)
    if how == "rest" or (n == len(whole) and kind != "to-end"):
        return "OK", 204 if kind == "empty" else 200, b"" if kind == "empty" else BODY
    if kind == "to-end" and n >= head and how == "close":
        return "OK", 200, whole[head:n]
    err = "ETIMEDOUT" if how == "stall" else "ECLOSED"
    return err, 200 if n >= head else 0, None


@pytest.mark.parametrize("how", ["close", "reset", "stall", "rest"])
def test_every_byte(client, patient, how):
    cut = [(kind, n) for kind, whole in RESPONSES.items() for n in range(len(whole))]
    # One by one: what is complete leaves a connection that is about to end, for whoever waits for one.  And it has
    # its time to come, however slow everybody is.
    whole = [(kind, len(whole)) for kind, whole in RESPONSES.items()]
    cases = cut + whole
    hasty = client if how == "stall" else patient
    with flaky.Flaky() as f:
        def fetches(of):
            return [(patient if due(kind, n, how)[0] == "OK" else hasty).fetch(f"{f.url}/cut/{kind}/{n}/{how}", no_retry=1)
                    for kind, n in of]
        said = flaky.all_of(fetches(cut), 100) + flaky.all_of(fetches(whole), 1)
    for (kind, n), s in zip(cases, said):
        err, status, body = due(kind, n, how)
        where = f"{kind} {n} {how}: {s}"
        assert s["err"] == err, where
        assert s["ends"] == "1", where
        if how in ("close", "rest") or err == "OK":  # too late, or behind the reset, which is the first to be told
            assert int(s["status"]) == status, where
            assert s["heads"] == ("1" if status else "0"), where
        if body is None:
            assert s["why"], where
            assert RESPONSES[kind].find(s["body"]) >= 0 or kind == "chunked", where
            assert len(s["body"]) < len(BODY) or kind in ("to-end", "chunked", "trailers"), where
        else:
            assert s["body"] == body, where
            assert s["trailer"] == ("t" if kind == "trailers" else ""), where


# ---- Connections that are kept ------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ok(r):
    await r.body()
    await r.send(OK)
    return True


async def once(r):
    """The first request on a connection is answered, the second finds it closed, after /once/N bytes of a response."""
    await r.body()
    if r.number > 1:
        await r.send(OK[:int(r.target.split("/")[2])])
        return False
    await r.send(OK[:-2] if r.method == "HEAD" else OK)
    return True


def test_kept(usual):
    with flaky.Flaky(ok=ok) as f:
        for _ in range(10):
            assert usual.ask(f.url + "/ok")["body"] == b"ok"
        assert f.connections <= 2  # one for each worker
        assert f.requests["/ok"] == 10


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_sent_anew(usual, method):
    """RFC 9110 section 9.2.2: an idempotent request on a connection that ends without a response."""
    with flaky.Flaky(once=once, ok=ok) as f:
        said = [usual.ask(f.url + "/once/0", method=method) for _ in range(6)]
        assert [s["err"] for s in said] == ["OK"] * 6
        assert f.requests["/once/0"] > 6  # some were sent twice


@pytest.mark.parametrize("why,params,cut", [
    ("not idempotent", {"method": "POST", "body": "x"}, 0),
    ("not idempotent", {"method": "PATCH", "body": "x"}, 0),
    ("a method that nobody knows", {"method": "QUERY"}, 0),
    ("a byte of a response", {}, 1),
    ("most of a response", {}, len(OK) - 1),
    ("forbidden", {"no_retry": 1}, 0),
    ("a stream", {"method": "PUT", "stream": 10}, 0),
])
def test_not_sent_anew(usual, why, params, cut):
    with flaky.Flaky(once=once) as f:
        said = [usual.ask(f"{f.url}/once/{cut}", **params) for _ in range(6)]
        errs = [s["err"] for s in said]
        assert set(errs) == {"OK", "ECLOSED"}, why  # the first on each connection, and what came behind it
        assert f.requests[f"/once/{cut}"] == 6
        assert all(s["ends"] == "1" for s in said)


def test_no_retries(runtime):
    with Client(runtime, max_retry_count="off") as c, flaky.Flaky(once=once) as f:
        assert {c.ask(f.url + "/once/0")["err"] for _ in range(6)} == {"OK", "ECLOSED"}
        assert f.requests["/once/0"] == 6


def test_first_on_its_connection_is_not_sent_anew(usual):
    async def never(r):
        return False
    with flaky.Flaky(never=never) as f:
        s = usual.ask(f.url + "/never")
        assert (s["err"], s["why"]) == ("ECLOSED", "closed without a response")
        assert f.requests["/never"] == 1


def test_retries_are_bounded(runtime):
    """Whatever is kept is dead, and every new one dies behind its first answer."""
    with Client(runtime, max_retry_count=1) as c, flaky.Flaky(once=once) as f:
        for _ in range(20):
            assert c.ask(f.url + "/once/0")["err"] == "OK"
        assert f.requests["/once/0"] <= 40


def test_idle_ones_are_closed_by_the_peer(runtime):
    """Also a POST finds none of them: what has ended is not waiting for us."""
    async def answer(r):
        await r.body()
        await r.send(OK)
        return False
    with Client(runtime) as c, flaky.Flaky(answer=answer) as f:
        for _ in range(10):
            s = c.ask(f.url + "/answer", method="POST", body="x")
            assert s["body"] == b"ok", s
            eventually(lambda: c.outgoing()[1] == 0)
        assert f.connections == 10


@pytest.mark.parametrize("extra", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\r\n"])
def test_bytes_behind_a_response(runtime, extra):
    """They are nobody's: the next request must not take them for its response."""
    async def more(r):
        await r.send(OK + extra)
        return True

    async def later(r):
        await r.send(OK)
        await asyncio.sleep(0.05)
        await r.send(extra)
        return True
    with Client(runtime) as c, flaky.Flaky(more=more, later=later) as f:
        for i in range(6):
            assert c.ask(f.url + "/more")["body"] == b"ok"
            assert f.connections == i + 1
        for i in range(3):
            assert c.ask(f.url + "/later")["body"] == b"ok"
            eventually(lambda: c.outgoing()[1] == 0)
            assert f.connections == 7 + i


def test_idle_timeout(runtime):
    with Client(runtime, keepalive_timeout_ms=100) as c, flaky.Flaky(ok=ok) as f:
        assert c.ask(f.url + "/ok")["err"] == "OK"
        eventually(lambda: f.open == 0 and c.outgoing()[1] == 0)


def test_none_are_kept(runtime):
    with Client(runtime, max_idle_per_origin="off") as c, flaky.Flaky(ok=ok) as f:
        for _ in range(4):
            assert c.ask(f.url + "/ok")["err"] == "OK"
        assert f.connections == 4


@pytest.mark.parametrize("response", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
])
def test_not_kept(usual, response):
    """RFC 9112 section 9.3; whatever the server does then."""
    async def says(r):
        await r.send(response)
        return True
    with flaky.Flaky(says=says) as f:
        for i in range(4):
            assert usual.ask(f.url + "/says")["body"] == b"ok"
            assert f.connections == i + 1


# ---- Limits ---------------------------------------------------------------------------------------------------------

async def slow(r):
    await asyncio.sleep(0.02)
    await r.send(OK)
    return True


def test_connections_per_origin(runtime):
    with Client(runtime, max_connections_per_origin=2) as c, flaky.Flaky(slow=slow) as f:
        said = flaky.all_of([c.fetch(f.url + "/slow") for _ in range(40)], 40)
        assert {s["err"] for s in said} == {"OK"}
        assert f.most <= 4  # two for each worker
        assert f.requests["/slow"] == 40


def test_connections(runtime):
    """To all origins: those that nobody uses make room, and who waits is not forgotten."""
    with Client(runtime, max_connections=2) as c, flaky.Flaky(slow=slow) as f, flaky.Flaky(slow=slow) as g, \
            flaky.Flaky(slow=slow) as h:
        said = flaky.all_of([c.fetch(x.url + "/slow") for _ in range(10) for x in (f, g, h)], 30)
        assert {s["err"] for s in said} == {"OK"}, said
        assert c.outgoing()[1] <= 4


def test_queue(runtime):
    with Client(runtime, max_connections_per_origin=1, max_queue_count=2) as c, flaky.Flaky(slow=slow) as f:
        said = flaky.all_of([c.fetch(f.url + "/slow") for _ in range(40)], 40)
        errs = [s["err"] for s in said]
        assert set(errs) == {"OK", "EBUSY"}
        assert errs.count("OK") == f.requests["/slow"] >= 2
        assert c.ask(f.url + "/slow")["err"] == "OK"


def test_no_queue(runtime):
    with Client(runtime, max_connections_per_origin=1, max_queue_count="off") as c, flaky.Flaky(slow=slow) as f:
        assert c.ask(f.url + "/slow")["err"] == "OK"
        said = flaky.all_of([c.fetch(f.url + "/slow") for _ in range(20)], 20)
        assert {s["err"] for s in said} == {"OK", "EBUSY"}


def test_sizes(usual):
    async def says(r):
        what = r.target.split("/")[2]
        if what == "head":
            await r.send(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40000 + b"\r\n\r\n")
        elif what == "fields":
            await r.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n")
        elif what == "announced":
            await r.send(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n")
            await r.reader.read(1)
        elif what == "chunks":
            await r.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10\r\n" + b"x" * 16 + b"\r\n" * 1)
            for _ in range(6):
                await r.send(b"10\r\n" + b"x" * 16 + b"\r\n")
            await r.reader.read(1)
        return False
    with flaky.Flaky(says=says) as f:
        for what in ("head", "fields"):
            s = usual.ask(f"{f.url}/says/{what}")
            assert (s["err"], s["status"]) == ("ETOOBIG", "0"), s
        for what in ("announced", "chunks"):
            s = usual.ask(f"{f.url}/says/{what}", max_body=100)
            assert (s["err"], s["status"]) == ("ETOOBIG", "200"), s
            assert "max_body_bytes" in s["why"]


@pytest.mark.parametrize("bad", [
    b"hello\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 103 x\r\n\r\n" * 40,
])
def test_no_response(usual, bad):
    async def says(r):
        await r.send(bad)
        await r.reader.read(1)
        return False
    with flaky.Flaky(says=says) as f:
        s = usual.ask(f.url + "/says")
        assert s["err"] == "EPROTO" and s["why"], s
        assert f.requests["/says"] == 1


# ---- Time ---------------------------------------------------------------------------------------------------------------

def test_total_timeout(usual):
    async def trickle(r):
        await r.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(3000):
            await r.send(b"x")
            await asyncio.sleep(0.01)
        return False
    with flaky.Flaky(trickle=trickle) as f:
        s = usual.ask(f.url + "/trickle", total_ms=200)
        assert (s["err"], s["why"]) == ("ETIMEDOUT", "no end of it within 200 ms"), s
        eventually(lambda: f.open == 0)


def test_connect_timeout(runtime):
    """Whose backlog is full does not answer."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fill = [socket.socket() for _ in range(4)]
    for s in fill:
        s.setblocking(False)
        s.connect_ex(full.getsockname())
    with Client(runtime, connect_timeout_ms=200) as c:
        s = c.ask(f"http://127.0.0.1:{full.getsockname()[1]}/")
        assert s["err"] == "ETIMEDOUT", s
    for s in [full, *fill]:
        s.close()


# ---- Bodies that are sent ----------------------------------------------------------------------------------------------

async def echo(r):
    data = await r.body()
    await r.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: %s\r\n\r\n" %
                 (len(data), r.fields.get("transfer-encoding", r.fields.get("content-length", "-")).encode()) + data)
    return True


def stream(n):
    return b"".join(bytes(97 + (left - i) % 23 for i in range(min(left, 8192))) for left in range(n, 0, -8192))


@pytest.mark.parametrize("params,framing,body", [
    ({"method": "GET"}, "-", b""),
    ({"method": "POST"}, "0", b""),
    ({"body": "abc"}, "3", b"abc"),
    ({"method": "PUT", "body": "abc"}, "3", b"abc"),
    ({"stream": 5}, "5", stream(5)),
    ({"stream": 5, "chunked": 1}, "chunked", stream(5)),
    ({"stream": 300000}, "300000", stream(300000)),
    ({"stream": 300000, "chunked": 1}, "chunked", stream(300000)),
])
def test_bodies(usual, params, framing, body):
    with flaky.Flaky(echo=echo) as f:
        s = usual.ask(f.url + "/echo", **params)
        assert (s["err"], s["type"], s["body"]) == ("OK", framing, body)


@pytest.mark.parametrize("params", [{"body": "abc"}, {"stream": 100000}, {"stream": 100000, "chunked": 1}])
@pytest.mark.parametrize("says", ["100", "nothing", "200", "417"])
def test_expect(runtime, says, params):
    """RFC 9110 section 10.1.1."""
    arrived = []

    async def expects(r):
        assert r.fields["expect"] == "100-continue"
        if says in ("200", "417"):
            await r.send(b"HTTP/1.1 %s x\r\nContent-Length: 2\r\n\r\nno" % says.encode())
            arrived.append(await r.reader.read(-1))
            return False
        if says == "100":
            await r.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        arrived.append(await r.body())
        await r.send(OK)
        return True
    with Client(runtime, continue_timeout_ms=60000 if says != "nothing" else 100) as c, \
            flaky.Flaky(expects=expects) as f:
        s = c.ask(f.url + "/expects", expect=1, **params)
        eventually(lambda: arrived)
        if says in ("200", "417"):
            assert (s["err"], s["status"], s["body"]) == ("OK", says, b"no")
            assert arrived == [b""]
        else:
            assert (s["err"], s["body"]) == ("OK", b"ok")
            assert arrived == [b"abc" if "body" in params else stream(100000)]
            assert s["informs"] == ("100" if says == "100" else "0")


@servers.not_sent_in_bits
def test_answered_before_all_is_sent(usual):
    """The rest of the body is not sent, and the connection of no more use."""
    heard = threading.Event()

    async def early(r):
        await r.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        # Closed with input unread, it would take the answer with it.
        while not heard.is_set():
            await asyncio.sleep(0.01)
        return False
    with flaky.Flaky(early=early) as f:
        try:
            s = usual.ask(f.url + "/early", stream=1 << 30, method="POST")
        finally:
            heard.set()
        assert (s["err"], s["status"], s["body"]) == ("OK", "413", b"big")
        eventually(lambda: f.open == 0)


@servers.not_byte_by_byte
@servers.not_sent_in_bits
def test_through(usual):
    """A request and its response, both in pieces, with a peer that takes its time."""
    data = os.urandom(scaled(8 << 20, 1 << 20))
    status, body = asyncio.run(usual.post(f"/pass?url={usual.own}/echo", data))
    assert status == 200
    assert body == data


# ---- Responses ------------------------------------------------------------------------------------------------------------

@servers.not_byte_by_byte
def test_pieces_and_pauses(usual):
    size = 20000

    async def big(r):
        await r.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + stream(size))
        return True
    want = 0
    for byte in stream(size):
        want = (want * 31 + byte) % (1 << 64)
    with flaky.Flaky(big=big) as f:
        s = usual.ask(f.url + "/big", pieces=1)
        assert (s["err"], s["bytes"], s["sum"], s["body"]) == ("OK", str(size), str(want), b"")
        s = usual.ask(f.url + "/big", pause_ms=5)
        assert (s["err"], s["bytes"], s["sum"]) == ("OK", str(size), str(want))


@pytest.mark.parametrize("params,err,why", [({"cancel": 1}, "ECLOSED", "it was cancelled"),
                                            ({"refuse": 1}, "EEXIST", "already there")])
def test_given_up(usual, params, err, why):
    async def endless(r):
        await r.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        await r.reader.read(-1)
        return False
    with flaky.Flaky(endless=endless) as f:
        s = usual.ask(f.url + "/endless", **params)
        assert (s["err"], s["why"], s["heads"], s["ends"]) == (err, why, "1", "1")
        eventually(lambda: f.open == 0)


@pytest.mark.parametrize("params,err,why", [
    ({"url": "ftp://a/"}, "EINVAL", "http://"),
    ({"url": "http://a/b c"}, "EINVAL", "escaped"),
    ({"url": "http://a/\r\nX: y"}, "EINVAL", "escaped"),
    ({"url": "https://127.0.0.1/"}, "ENOTSUP", "https, and tls"),
    ({"method": "CONNECT"}, "ENOTSUP", "CONNECT"),
    ({"method": "G ET"}, "EINVAL", "method"),
    ({"method": ""}, "EINVAL", "method"),
    ({"h0": "Host: x"}, "EINVAL", "Host"),
    ({"h0": "content-length:3"}, "EINVAL", "content-length"),
    ({"h0": "Transfer-Encoding:chunked"}, "EINVAL", "Transfer-Encoding"),
    ({"h0": "Connection:close"}, "EINVAL", "Connection"),
    ({"h0": "A b:c"}, "EINVAL", "token"),
    ({"h0": "A:b\r\nC: d"}, "EINVAL", "control characters"),
    ({"h0": "A:b\nC: d"}, "EINVAL", "control characters"),
    ({"expect": 1}, "EINVAL", "expect_continue"),
    ({"connect": "nonsense"}, "EINVAL", ""),
])
def test_refused(usual, params, err, why):
    """Nothing of it is ever sent."""
    s = usual.ask(params.pop("url", "http://127.0.0.1:1/"), **params)
    assert (s["err"], s.get("refused")) == (err, "1"), s
    assert why in s["why"] and s["why"], s


def test_what_is_sent(usual):
    heads = []

    async def look(r):
        heads.append((r.method, r.target, r.version, r.fields))
        return await ok(r)
    with flaky.Flaky(look=look) as f:
        host = f.url.removeprefix("http://")
        usual.ask(f.url + "/look?a=b%20c#d", h0="X-A: b ", h1="x-empty:")
        usual.ask(f.url + "/look?a=b%20c#d", method="DELETE", h0="user-agent:me")
        usual.ask("http://name.example/look?a=b%20c", connect=host)
    assert heads == [
        ("GET", "/look?a=b%20c", "HTTP/1.1", {"host": host, "x-a": "b", "x-empty": "", "user-agent": "tako"}),
        ("DELETE", "/look?a=b%20c", "HTTP/1.1", {"host": host, "user-agent": "me"}),
        ("GET", "/look?a=b%20c", "HTTP/1.1", {"host": "name.example", "user-agent": "tako"}),
    ]


# ---- Whom it asks, and who asks ------------------------------------------------------------------------------------------

def test_nobody_there(usual):
    s = usual.ask("http://127.0.0.1:1/")
    assert s["err"] == "ESYS" and "refused" in s["why"], s


def test_itself(usual):
    said = flaky.all_of([usual.fetch(usual.own + "/hello") for _ in range(100)], 20)
    assert {(s["err"], s["body"]) for s in said} == {("OK", b"hello\n")}


def test_from_other_threads(usual):
    with Wire(usual.addr) as w:
        before = [int(n) for n in w.get("/posted").body.split()]
        asyncio.run(usual.post(f"/post?url={usual.own}/hello"))
        eventually(lambda: [int(n) for n in w.get("/posted").body.split()] == [before[0] + 100, before[1]])
        asyncio.run(usual.post("/post?url=http://127.0.0.1:1/"))
        eventually(lambda: [int(n) for n in w.get("/posted").body.split()] == [before[0] + 100, before[1] + 100])


def test_stop_waits(runtime):
    """A server that stops lets its handlers have what they wait for."""
    async def late(r):
        await asyncio.sleep(0.2)
        await r.send(OK)
        return True
    with flaky.Flaky(late=late) as f:
        with Client(runtime) as c:
            async def ask_and_stop():
                asked = asyncio.ensure_future(c.fetch(f.url + "/late"))
                while not f.requests["/late"]:
                    await asyncio.sleep(0.005)
                c.signal()
                return await asked
            s = asyncio.run(ask_and_stop())
            assert (s["err"], s["body"]) == ("OK", b"ok")
        eventually(lambda: f.open == 0)


def test_who_asked_has_left(usual):
    """The fetch goes on, and its end is told once."""
    done = []

    async def late(r):
        await asyncio.sleep(0.1)
        await r.send(OK)
        done.append(1)
        return True
    with flaky.Flaky(late=late) as f:
        s = socket.create_connection(usual.addr)
        s.sendall(f"GET /fetch?url={f.url}/late HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        eventually(lambda: f.requests["/late"])
        s.close()
        eventually(lambda: done)
        assert usual.ask(usual.own + "/hello")["err"] == "OK"


# ---- Redirects --------------------------------------------------------------------------------------------------------

def redirects(seen, where):
    async def moved(r):
        body = await r.body()
        seen.append((r.method, r.target, body, r.fields))
        status = int(r.target.split("/")[2])
        location = where.get(r.target.split("/")[3], r.target)
        body = b"x" * where.get("bytes", 3)
        await r.send(f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    async def there(r):
        seen.append((r.method, r.target, await r.body(), r.fields))
        await r.send(OK)
        return True
    return {"moved": moved, "there": there}


@pytest.mark.parametrize("status,method,then,body", [
    (301, "GET", "GET", b""), (301, "POST", "GET", b""), (301, "PUT", "PUT", b"abc"), (302, "POST", "GET", b""),
    (303, "POST", "GET", b""), (303, "PUT", "GET", b""), (307, "POST", "POST", b"abc"), (308, "POST", "POST", b"abc"),
])
def test_redirect_methods(usual, status, method, then, body):
    seen = []
    with flaky.Flaky(**redirects(seen, {"a": "../../there?x#y"})) as f:
        more = {} if method == "GET" else {"body": "abc", "h0": "Content-Type: text/x"}
        s = usual.ask(f"{f.url}/moved/{status}/a", method=method, redirects=1, **more)
        assert (s["err"], s["status"], s["heads"], s["body"]) == ("OK", "200", "1", b"ok"), s
        assert s["redirected"] == f.url + "/there?x"
        assert [(m, t) for m, t, _, _ in seen] == [(method, f"/moved/{status}/a"), (then, "/there?x")]
        assert seen[1][2] == body
        assert ("content-type" in seen[1][3]) == ("content-length" in seen[1][3]) == bool(body)
        assert f.connections == 1  # that of the redirect was kept
        s = usual.ask(f"{f.url}/moved/{status}/a", method=method, **more)
        assert (s["status"], s["body"], s["err"], s["redirected"]) == (str(status), b"xxx", "OK", "")


def test_redirect_origins(usual):
    """Who is meant by a secret is the origin that it was given for."""
    for other in (False, True):
        seen, where = [], {}
        with flaky.Flaky(**redirects(seen, where)) as f, flaky.Flaky(**redirects(seen, {})) as g:
            where["a"] = (g if other else f).url + "/there"
            s = usual.ask(f.url + "/moved/302/a", redirects=1, h0="Authorization: a", h1="cookie: b", h2="X-A: c")
            assert (s["body"], s["redirected"]) == (b"ok", (g if other else f).url + "/there"), s
            assert seen[1][3]["x-a"] == "c" and seen[1][3]["host"] == (g if other else f).url.removeprefix("http://")
            assert ("authorization" in seen[1][3], "cookie" in seen[1][3]) == (not other, not other)


@pytest.mark.parametrize("location,params,why", [
    ("/moved/302/a", {}, "max_redirects"),
    ("ftp://a/", {}, "http://"),
    ("http://u:p@a/", {}, "credentials"),
    ("https://127.0.0.1:1/", {}, "tls"),
    ("/a\r\nLocation: /b", {}, "more than one"),
    ("/there", {"method": "PUT", "stream": 10}, "body"),
])
def test_redirects_not_followed(usual, location, params, why):
    seen = []
    with flaky.Flaky(**redirects(seen, {"a": location})) as f:
        s = usual.ask(f.url + "/moved/302/a", redirects=3, **params)
        assert (s["err"], s["status"], s["body"], s["heads"]) == ("OK", "302", b"xxx", "1"), s
        assert len(seen) == (4 if why == "max_redirects" else 1)
        assert why in s["why"], s


def test_redirect_bodies(usual):
    """A long one is not waited for; one that breaks off is an error."""
    seen = []
    with flaky.Flaky(**redirects(seen, {"a": "/there", "bytes": 100000})) as f:
        assert usual.ask(f.url + "/moved/307/a", redirects=1)["body"] == b"ok"
        assert f.connections == 2

    async def cutoff(r):
        await r.send(b"HTTP/1.1 302 Go\r\nLocation: /there\r\nContent-Length: 9\r\n\r\nx")
        return False
    with flaky.Flaky(**redirects(seen, {}), cutoff=cutoff) as f:
        s = usual.ask(f.url + "/cutoff", redirects=1)
        assert s["err"] == "ECLOSED", s


# ---- TLS --------------------------------------------------------------------------------------------------------------------

def tls_server(alpn=("http/1.1",)):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*servers.shared_certificate())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@pytest.fixture(name="secure", scope="module")
def fixture_secure(runtime):
    with Client(runtime, f"ca={servers.shared_certificate()[0]}", max_idle_per_origin=2) as c:
        yield c


def test_https(secure):
    with flaky.Flaky(tls_server(), echo=echo, ok=ok) as f:
        assert f.url.startswith("https://")
        for _ in range(6):
            assert secure.ask(f.url + "/ok")["body"] == b"ok"
        assert f.connections <= 2  # one for each worker
        assert secure.ask(f.url + "/echo", stream=300000, chunked=1)["body"] == stream(300000)
    with flaky.Flaky(tls_server(alpn=None), ok=ok) as f:
        assert secure.ask(f.url + "/ok")["body"] == b"ok"


def test_https_cut(secure):
    """Over TLS an end is one if it was said (RFC 9112 section 9.8)."""
    whole, head = RESPONSES["to-end"], flaky.head_end("to-end")
    with flaky.Flaky(tls_server()) as f:
        for n in (head, head + 3, len(whole)):
            s = secure.ask(f"{f.url}/cut/to-end/{n}/close")
            assert (s["err"], s["body"]) == ("OK", whole[head:n]), s
            s = secure.ask(f"{f.url}/cut/to-end/{n}/abort")
            assert s["err"] == "ECLOSED", s
        for n in range(0, len(RESPONSES["length"]), 7):
            assert secure.ask(f"{f.url}/cut/length/{n}/close")["err"] == "ECLOSED"


def test_https_whom_it_believes(secure, usual):
    with flaky.Flaky(tls_server(), ok=ok) as f:
        at = f.url.removeprefix("https://")
        assert secure.ask("https://localhost/ok", connect=at)["body"] == b"ok"
        for _ in range(2):  # the name is part of the origin: what is kept for another one is not used
            s = secure.ask("https://other.example/ok", connect=at)
            assert s["err"] == "ETLS" and s["why"], s
        assert secure.ask("http://" + at + "/ok")["err"] in ("ECLOSED", "EPROTO")
        s = usual.ask(f.url + "/ok")
        assert (s["err"], s["refused"]) == ("ENOTSUP", "1") and "tls" in s["why"]
        assert f.requests["/ok"] == 1



def test_https_redirects(secure):
    """From https to http only if somebody wants that; the other way at any time, and what was in confidence stays."""
    seen = []
    with flaky.Flaky(tls_server(), **redirects(seen, {"a": "/there"})) as f:
        assert secure.ask(f.url + "/moved/302/a", redirects=1)["body"] == b"ok"
        del seen[:]
    where = {}
    with flaky.Flaky(tls_server(), **redirects(seen, where)) as f, flaky.Flaky(**redirects(seen, where)) as g:
        where.update(down=g.url + "/there", up=f.url + "/there")
        s = secure.ask(f.url + "/moved/302/down", redirects=1)
        assert (s["status"], s["why"]) == ("302", "not followed: it leads from https to http"), s
        for s in (secure.ask(f.url + "/moved/302/down", redirects=1, to_http=1, h0="Cookie: a"),
                  secure.ask(g.url + "/moved/302/up", redirects=1, h0="Cookie: a")):
            assert (s["status"], s["body"]) == ("200", b"ok"), s
            assert s["redirected"].startswith(("https://", "http://")[s["redirected"] == where["down"]]), s
        s = secure.ask("http://a.example/moved/302/up", connect=g.url.removeprefix("http://"), redirects=1)
        assert (s["status"], s["why"]) == ("302", "not followed: it leads to another origin, and connect is set"), s
        assert ["cookie" in fields for _, _, _, fields in seen] == [False, True, False, True, False, False]


NODE = """
const http = require("http");
http.createServer((req, res) => {
  res.setHeader("X-Method", req.method);
  if (req.url === "/trailers") { res.setHeader("Trailer", "X-Trailer"); res.addTrailers({"X-Trailer": "t"}); }
  if (req.url === "/none") { res.statusCode = 204; res.end(); return; }
  if (req.url === "/hints") res.writeEarlyHints({link: "</a>; rel=preload"});
  let n = 0;
  req.on("data", (d) => { n += d.length; });
  req.on("end", () => { res.write("hello "); res.end(String(n)); });
}).listen(0, "127.0.0.1", function () { console.log(this.address().port); });
"""


def test_node(usual):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    with subprocess.Popen(["node", "-e", NODE], stdout=subprocess.PIPE, text=True) as p:
        try:
            url = f"http://127.0.0.1:{p.stdout.readline().strip()}"
            assert usual.ask(url)["body"] == b"hello 0"
            assert usual.ask(url, body="abc")["body"] == b"hello 3"
            assert usual.ask(url, body="abc", expect=1)["informs"] == "100"
            assert usual.ask(url, stream=300000, chunked=1)["body"] == b"hello 300000"
            assert usual.ask(url + "/hints")["informs"] == "103"
            assert usual.ask(url + "/none")["status"] == "204"
            s = usual.ask(url, method="HEAD")
            assert (s["err"], s["status"], s["body"]) == ("OK", "200", b"")
            assert usual.ask(url + "/trailers", method="POST", body="x")["err"] == "OK"
        finally:
            p.kill()


def test_https_sessions(secure):
    """RFC 8446 section 4.6.1: of a server that sends tickets on connections that are new, and none on those that are
    resumed, no ticket is used with the keys of another connection."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    once = NODE.replace("http.createServer((req, res) => {", """require("https").createServer({
        cert: require("fs").readFileSync(process.argv[1]), key: require("fs").readFileSync(process.argv[2])},
        (req, res) => { res.setHeader("Connection", "close");""")
    with subprocess.Popen(["node", "-e", once, *servers.shared_certificate()], stdout=subprocess.PIPE, text=True) as p:
        try:
            url = f"https://127.0.0.1:{p.stdout.readline().strip()}"
            said = [secure.ask(url) for _ in range(9)]
            assert {(s["err"], s["body"]) for s in said} == {("OK", b"hello 0")}, said
        finally:
            p.kill()


def test_nginx(usual, tmp_path):
    port = servers.free_port()
    (tmp_path / "file").write_bytes(b"f" * 100000)
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""
daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; keepalive_requests 5;
  server {{ listen 127.0.0.1:{port}; root {tmp_path}; location /moved {{ return 302 /file; }} }}
}}
""")
    with subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(conf)], stderr=subprocess.DEVNULL) as p:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: usual.ask(url + "/file")["err"] == "OK")
            for _ in range(20):  # nginx closes a connection behind five requests
                s = usual.ask(url + "/file")
                assert (s["err"], s["status"], len(s["body"])) == ("OK", "200", 100000), s
            assert usual.ask(url + "/file", method="HEAD")["length"] == "100000"
            assert usual.ask(url + "/moved")["status"] == "302"
            assert usual.ask(url + "/none")["status"] == "404"
        finally:
            p.kill()

# SPDX-License-Identifier: MIT
"""The client over HTTP/2 (tests/programs/client.c), on each runtime: against a server that closes, resets and stalls at
every byte of what it says, refuses requests and leaves; against nginx, Node and ourselves, with and without TLS."""
import asyncio
import os
import shutil
import subprocess

import pytest

import flaky
import servers
from flaky import BODY
from flaky2 import RESPONSES, Flaky2, head_end, whole
from h2wire import CANCEL, NO_ERROR, REFUSED_STREAM
from test_client import MANY, STALL_MS, Client, redirects, stream, tls_server
from wire import eventually, scaled


class Client2(Client):
    """One who knows that http:// is HTTP/2."""

    def __init__(self, runtime, *args, **settings):
        super().__init__(runtime, "http2", *args, http2_prior_knowledge=1, **settings)


@pytest.fixture(params=servers.runtimes(), name="runtime", scope="module")
def fixture_runtime(request):
    return request.param


@pytest.fixture(name="usual", scope="module")
def fixture_usual(runtime):
    with Client2(runtime) as c:
        yield c


@pytest.fixture(name="secure", scope="module")
def fixture_secure(runtime):
    """… and leaves it to the server with https://."""
    with Client(runtime, "http2", f"ca={servers.shared_certificate()[0]}") as c:
        yield c


# ---- Every byte of what a server says -------------------------------------------------------------------------------

def due(kind, n, how):
    """What has to come of N bytes of that, and then HOW: error, status, body."""
    if how == "rest" or n == len(whole(kind)):
        return "OK", 204 if kind == "empty" else 200, b"" if kind == "empty" else BODY
    return "ETIMEDOUT" if how == "stall" else "ECLOSED", 200 if n >= head_end(kind) else 0, None


@pytest.mark.parametrize("how", ["close", "reset", "stall", "rest"])
def test_every_byte(runtime, how):
    """Each on a connection of its own, for a name of its own."""
    # Who has little patience may lose it before a slow server has said all.
    cases = [(kind, n) for kind in RESPONSES for n in range(len(whole(kind)) + (how != "stall"))]
    patience = {"idle_timeout_ms": STALL_MS, "head_timeout_ms": STALL_MS} if how == "stall" else {}
    with Client2(runtime, **MANY, **patience) as c, Flaky2(raw=True) as f:
        at = f.url.removeprefix("http://")
        said = flaky.all_of([c.fetch(f"http://h{i}.example/cut/{kind}/{n}/{how}", connect=at, no_retry=1)
                             for i, (kind, n) in enumerate(cases)], 100)
    told = 0
    for (kind, n), s in zip(cases, said):
        err, status, body = due(kind, n, how)
        where = f"{kind} {n} {how}: {s}"
        assert s["ends"] == "1", where
        if how == "reset" and s["err"] == "ECLOSED" and n == len(whole(kind)):
            continue  # what came behind was the first to be told
        assert s["err"] == err, where
        # What a reset came before was not told, and who was slow to answer may have been so before his head.
        if how not in ("reset", "stall") or err == "OK":
            assert int(s["status"]) == status, where
        assert int(s["status"]) in (0, status), where
        assert s["heads"] == ("1" if s["status"] != "0" else "0"), where
        told += s["status"] != "0"
        if body is None:
            assert s["why"] and BODY.startswith(s["body"]), where
        else:
            assert s["body"] == body, where
            assert s["trailer"] == ("t" if kind == "trailers" else ""), where
    assert told > len(RESPONSES)


# ---- What a server does with a request --------------------------------------------------------------------------------

async def ok(r):
    await r.body()
    await r.ok()


def test_one_connection(usual):
    """A hundred at a time."""
    arrived = []

    async def gate(r):
        arrived.append(r)
        while len(arrived) < 100:
            await asyncio.sleep(0.005)
        await r.ok(r.target.encode())
    with Flaky2(gate=gate) as f:
        said = flaky.all_of([usual.fetch(f"{f.url}/gate/{i}") for i in range(100)], 100)
        assert [(s["err"], s["version"], s["body"]) for s in said] == [("OK", "20", b"/gate/%d" % i) for i in range(100)]
        assert f.connections <= 2  # one for each worker


def test_what_a_server_allows(runtime):
    """No more at a time on a connection, and no more connections than we have; who waits is not forgotten."""
    now, most = [0], [0]

    async def slow(r):
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.01)
        now[0] -= 1
        await r.ok()
    with Client2(runtime, max_connections_per_origin=2) as c, Flaky2(streams=3, slow=slow) as f:
        said = flaky.all_of([c.fetch(f.url + "/slow") for _ in range(60)], 60)
        assert {s["err"] for s in said} == {"OK"}, said
        assert f.most <= 4  # two for each worker
        assert most[0] <= 12


@pytest.mark.parametrize("params", [{}, {"method": "POST", "body": "x"}, {"method": "PUT", "body": "x" * 1000}])
def test_refused(usual, params):
    """RFC 9113 section 8.7: sent anew, whatever it is."""
    async def once(r):
        await r.body()
        if r.conn.server.requests[r.target] == 1:
            await r.reset(REFUSED_STREAM)
        else:
            await r.ok(r.data)
    with Flaky2(once=once) as f:
        said = flaky.all_of([usual.fetch(f"{f.url}/once/{i}", **params) for i in range(10)], 10)
        assert {(s["err"], s["body"], s["ends"]) for s in said} == {("OK", params.get("body", "").encode(), "1")}, said
        assert set(f.requests.values()) == {2}


@pytest.mark.parametrize("params,code,err,why", [
    ({}, CANCEL, "ECLOSED", "CANCEL"),
    ({}, NO_ERROR, "ECLOSED", "NO_ERROR"),
    ({}, 13, "ECLOSED", "HTTP_1_1_REQUIRED"),
    ({"no_retry": 1}, REFUSED_STREAM, "ECLOSED", "REFUSED_STREAM"),
    ({"method": "PUT", "stream": 10}, REFUSED_STREAM, "ECLOSED", "REFUSED_STREAM"),
])
def test_not_sent_anew(usual, params, code, err, why):
    async def never(r):
        await r.body()
        await r.reset(code)
    with Flaky2(never=never) as f:
        s = usual.ask(f.url + "/never", **params)
        assert (s["err"], s["ends"]) == (err, "1") and why in s["why"], s
        assert f.requests["/never"] == 1


def test_server_leaves(usual):
    """RFC 9113 section 6.8: a server that leaves after every third request loses none of them."""
    async def third(r):
        await r.body()
        if r.number == 3:
            await r.conn.leave(r.stream)
        if r.number <= 3:
            await asyncio.sleep(0.005)
            await r.ok(r.data)
    with Flaky2(third=third) as f:
        said = flaky.all_of([usual.fetch(f"{f.url}/third/{i}", method="POST", body=str(i)) for i in range(30)], 8)
        assert [(s["err"], s["body"]) for s in said] == [("OK", str(i).encode()) for i in range(30)], said
        eventually(lambda: f.open <= 2)


def test_kept_one_has_ended(usual):
    """An idempotent request on it is sent anew, on another one."""
    async def once(r):
        if r.number > 1:
            r.conn.writer.close()
        else:
            await r.ok()
    with Flaky2(once=once) as f:
        for _ in range(6):
            assert usual.ask(f.url + "/once")["err"] == "OK"
        assert f.requests["/once"] > 6


@pytest.mark.parametrize("params,err", [({"cancel": 1}, "ECLOSED"), ({"refuse": 1}, "EEXIST"), ({"max_body": 10}, "ETOOBIG"),
                                        ({"total_ms": 100}, "ETIMEDOUT")])
def test_given_up(usual, params, err):
    """RST_STREAM, and the connection goes on."""
    given_up = []

    async def endless(r):
        given_up.append(r)
        await r.head()
        if "total_ms" not in params:
            await r.send(b"x" * 1000)
    with Flaky2(endless=endless, ok=ok) as f:
        for _ in range(4):
            s = usual.ask(f.url + "/endless", **params)
            assert (s["err"], s["ends"]) == (err, "1"), s
            assert usual.ask(f.url + "/ok")["body"] == b"ok"
        eventually(lambda: [r.code for r in given_up] == [CANCEL] * 4)
        assert f.connections <= 2


def test_stop_waits(runtime):
    """A server that stops lets its handlers have what they wait for, and says goodbye."""
    async def late(r):
        await asyncio.sleep(0.2)
        await r.ok()
    with Flaky2(late=late) as f:
        with Client2(runtime) as c:
            async def ask_and_stop():
                asked = asyncio.ensure_future(c.fetch(f.url + "/late"))
                while not f.requests["/late"]:
                    await asyncio.sleep(0.005)
                c.signal()
                return await asked
            s = asyncio.run(ask_and_stop())
            assert (s["err"], s["body"]) == ("OK", b"ok")
        eventually(lambda: f.open == 0)


def test_redirects(usual):
    """From a stream to the next of the same connection, and to another origin."""
    async def moved(r):
        await r.head(("location", r.target.replace("moved", "there")), status=307)
        await r.send(b"x" * 100, end=True)

    async def far(r):
        await r.head(("location", other.url + "/there"), status=303, end=True)

    async def there(r):
        await r.ok(r.method.encode() + b" " + await r.body())
    with Flaky2(there=there) as other, Flaky2(moved=moved, far=far, there=there) as f:
        s = usual.ask(f.url + "/moved?x", method="POST", body="abc", redirects=1)
        assert (s["err"], s["status"], s["heads"], s["body"]) == ("OK", "200", "1", b"POST abc"), s
        assert s["redirected"] == f.url + "/there?x" and f.connections == 1
        s = usual.ask(f.url + "/far", method="POST", body="abc", redirects=1)
        assert (s["body"], other.connections) == (b"GET ", 1), s


# ---- Ourselves -------------------------------------------------------------------------------------------------------------

def test_itself(usual):
    own = usual.own
    said = flaky.all_of([usual.fetch(own + "/hello") for _ in range(100)], 100)
    assert {(s["err"], s["version"], s["body"]) for s in said} == {("OK", "20", b"hello\n")}
    s = usual.ask(own + "/hello", method="HEAD")
    assert (s["err"], s["length"], s["body"]) == ("OK", "6", b"")
    assert usual.ask(own + "/none")["status"] == "404"
    s = usual.ask(own + "/echo", body="abc", expect=1)
    assert (s["informs"], s["body"]) == ("100", b"abc")
    for params in ({"stream": 300000}, {"stream": 300000, "chunked": 1}, {"stream": 300000, "expect": 1}):
        assert usual.ask(own + "/echo", **params)["body"] == stream(300000)


@servers.not_byte_by_byte
@servers.not_sent_in_bits
def test_through(usual):
    """Requests and responses in pieces, several at a time on one connection."""
    data = os.urandom(scaled(4 << 20, 1 << 20))
    answers = flaky.all_of([usual.post(f"/pass?url={usual.own}/echo", data) for _ in range(4)], 4)
    assert [status for status, _ in answers] == [200] * 4
    assert all(body == data for _, body in answers)


@servers.not_byte_by_byte
def test_pieces_and_pauses(runtime):
    """One that pauses after every piece, with a window of two of them, beside others that do not."""
    size, want = 60000, 0
    for byte in stream(size):
        want = (want * 31 + byte) % (1 << 64)
    with Client2(runtime, http2_stream_window_bytes=8192) as c:
        said = flaky.all_of([c.fetch(c.own + "/echo", stream=size, pieces=1, pause_ms=5 * (i % 2)) for i in range(6)], 6)
        assert [(s["err"], s["bytes"], s["sum"]) for s in said] == [("OK", str(size), str(want))] * 6, said


def test_https_to_tako(secure):
    with servers.knobs(tls=True) as server:
        url = f"https://127.0.0.1:{server.addr[1]}"
        said = flaky.all_of([secure.fetch(url + "/hello") for _ in range(50)], 50)
        assert {(s["err"], s["version"], s["status"]) for s in said} == {("OK", "20", "200")}, said
        assert secure.ask(url + "/echo", stream=300000, chunked=1)["body"] == stream(300000)


def test_https_chosen(secure):
    """Who does not choose HTTP/2, or knows nothing of such choices, is asked in HTTP/1.1, all that waited for that."""
    async def old(r):
        await r.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold")
        return True
    for alpn in (("http/1.1",), None):
        with flaky.Flaky(tls_server(alpn), old=old) as f:
            said = flaky.all_of([secure.fetch(f.url + "/old") for _ in range(30)], 30)
            assert {(s["err"], s["version"], s["body"]) for s in said} == {("OK", "11", b"old")}, said
    with Flaky2(tls_server(("h2", "http/1.1")), ok=ok) as f:
        said = flaky.all_of([secure.fetch(f.url + "/ok") for _ in range(30)], 30)
        assert {(s["err"], s["version"], s["body"]) for s in said} == {("OK", "20", b"ok")}, said
        assert f.connections <= 2


def test_https_redirect_between_versions(secure):
    """A server of HTTP/2 that leads to one of HTTP/1.1, and that back."""
    where = {}

    async def moved(r):
        await r.head(("location", where["up"]), status=302, end=True)
    with Flaky2(tls_server(("h2",)), moved=moved, ok=ok) as f, \
            flaky.Flaky(tls_server(), **redirects([], where)) as g:
        where.update(up=g.url + "/moved/302/back", back=f.url + "/ok")
        s = secure.ask(f.url + "/moved", redirects=2)
        assert (s["err"], s["version"], s["body"], s["redirected"]) == ("OK", "20", b"ok", f.url + "/ok"), s


# ---- Others ------------------------------------------------------------------------------------------------------------------

NODE = """
const http2 = require("http2"), fs = require("fs");
const server = http2.createSecureServer({cert: fs.readFileSync(process.argv[1]), key: fs.readFileSync(process.argv[2])});
let refused = 0;
server.on("stream", (stream, headers) => {
  const path = headers[":path"];
  stream.on("error", () => {});
  if (path === "/refuse" && refused++ % 2 === 0) { stream.close(http2.constants.NGHTTP2_REFUSED_STREAM); return; }
  if (path === "/none") { stream.respond({":status": 204}, {endStream: true}); return; }
  if (path === "/hints") stream.additionalHeaders({":status": 103, "link": "</a>; rel=preload"});
  if (headers["expect"]) stream.additionalHeaders({":status": 100});
  if (path === "/leave") stream.session.goaway(0, 2 ** 31 - 1);
  const trailers = path === "/trailers";
  stream.respond({":status": 200, "x-method": headers[":method"]}, {waitForTrailers: trailers});
  if (trailers) stream.on("wantTrailers", () => stream.sendTrailers({"x-trailer": "t"}));
  let n = 0;
  stream.on("data", (d) => { n += d.length; });
  stream.on("end", () => { stream.write("hello "); stream.end(String(n)); });
});
server.listen(0, "127.0.0.1", function () { console.log(this.address().port); });
"""


def test_https_node(secure):
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    with subprocess.Popen(["node", "-e", NODE, *servers.shared_certificate()], stdout=subprocess.PIPE, text=True) as p:
        try:
            url = f"https://127.0.0.1:{p.stdout.readline().strip()}"
            s = secure.ask(url)
            assert (s["err"], s["version"], s["body"]) == ("OK", "20", b"hello 0"), s
            assert secure.ask(url, body="abc")["body"] == b"hello 3"
            assert secure.ask(url, body="abc", expect=1)["informs"] == "100"
            assert secure.ask(url, stream=300000, chunked=1)["body"] == b"hello 300000"
            assert secure.ask(url + "/hints")["informs"] == "103"
            assert secure.ask(url + "/none")["status"] == "204"
            assert secure.ask(url + "/trailers")["trailer"] == "t"
            s = secure.ask(url, method="HEAD")
            assert (s["err"], s["status"], s["body"]) == ("OK", "200", b"")
            for path in ("/refuse", "/leave"):
                said = flaky.all_of([secure.fetch(url + path, method="POST", body="ab") for _ in range(8)], 1)
                assert {(s["err"], s["body"]) for s in said} == {("OK", b"hello 2")}, said
            said = flaky.all_of([secure.fetch(url, body=str(10 ** i)) for i in range(50)], 50)
            assert [s["body"] for s in said] == [b"hello %d" % (i + 1) for i in range(50)]
        finally:
            p.kill()


@servers.not_byte_by_byte
def test_https_nginx(secure, tmp_path):
    port = servers.free_port()
    cert, key = servers.shared_certificate()
    (tmp_path / "file").write_bytes(b"f" * 1000000)
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""
daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {tmp_path}/b; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s; keepalive_requests 5; http2_max_concurrent_streams 4;
  server {{
    listen 127.0.0.1:{port} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; root {tmp_path};
    location /moved {{ return 302 /file; }}
  }}
}}
""")
    with subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(conf)], stderr=subprocess.DEVNULL) as p:
        try:
            url = f"https://127.0.0.1:{port}"
            eventually(lambda: secure.ask(url + "/file")["err"] == "OK")
            # nginx leaves behind five requests, and takes four at a time.
            said = flaky.all_of([secure.fetch(url + "/file") for _ in range(40)], 20)
            assert {(s["err"], s["version"], s["status"], len(s["body"])) for s in said} == {("OK", "20", "200", 1000000)}
            assert secure.ask(url + "/file", method="HEAD")["length"] == "1000000"
            assert secure.ask(url + "/none")["status"] == "404"
            s = secure.ask(url + "/moved", redirects=1)
            assert (s["status"], len(s["body"])) == ("200", 1000000)
        finally:
            p.kill()

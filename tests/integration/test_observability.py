# SPDX-License-Identifier: MIT
"""What is seen of a server from outside: access log, access callback, metrics, request ids."""
import collections
import datetime
import json
import os
import re
import time

import pytest

import servers
from wire import Wire, eventually, request, scaled

JSON, TEXT = "access_log_format=1", "access_log_format=0"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def observed(*args, **kw):
    return servers.launch("observed", *args, **kw)


def lines_of(path, count):
    """The lines after the server's own readiness probe, once there are that many."""
    def read():
        with open(path, "rb") as f:
            lines = f.read().split(b"\n")
        assert lines[-1] == b"" or len(lines) <= count + 1, lines[-1]
        return len(lines) - 2 >= count and lines[1:-1]
    return eventually(read)


def callbacks(server, count):
    """The lines of the callback, the probe's left out."""
    def read():
        lines = re.findall(r"^access (.*)$", server.stdout, re.M)[1:]
        return len(lines) >= count and lines
    return eventually(read)


# ---- The access log --------------------------------------------------------------------

COMBINED = re.compile(rb'(\S+) - - \[([^]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-) '
                      rb'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" (\d+)')


@pytest.fixture
def text_log(tmp_path):
    path = tmp_path / "access.log"
    with observed(f"log={path}", TEXT) as s:
        yield s, path


@pytest.fixture
def json_log(tmp_path):
    path = tmp_path / "access.log"
    with observed(f"log={path}", JSON, "callback=1") as s:
        yield s, path


def test_text_lines(text_log):
    server, path = text_log
    # The server's moment is that of the turn, which may have begun before we asked.
    before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=2)
    with server.connect() as w:
        w.get("/users/7?token=secret", "User-Agent: a/1", "Referer: http://x.test/?q")
        w.get("/nope", method="HEAD")
        w.get("/status?code=503")
    lines = lines_of(path, 3)
    m = [COMBINED.fullmatch(line) for line in lines]
    assert all(m), lines
    assert [x.group(1) for x in m] == [b"127.0.0.1"] * 3
    assert [x.group(3).decode() for x in m] == [f"{what} {w.spoken}" for what in ("GET /users/7", "HEAD /nope", "GET /status")]
    assert [x.group(4, 5) for x in m] == [(b"200", b"6"), (b"404", b"-"), (b"503", b"2")]
    assert m[0].group(6, 7) == (b"http://x.test/?q", b"a/1") and m[1].group(6, 7) == (b"-", b"-")
    for x in m:
        at = datetime.datetime.strptime(x.group(2).decode(), "%d/%b/%Y:%H:%M:%S %z")
        assert before <= at <= datetime.datetime.now(datetime.timezone.utc)
    # Queries hold secrets.
    assert b"secret" not in path.read_bytes()


def test_duration_is_that_of_the_exchange(json_log, tmp_path):
    server, path = json_log
    began = time.time()
    with server.connect() as w:
        w.get("/slow?ms=150")
        w.get("/hello")
    slow, quick = map(json.loads, lines_of(path, 2))
    took = time.time() - began
    assert 0.14e9 <= slow["duration_ns"] <= took * 1e9 and quick["duration_ns"] < slow["duration_ns"]
    # And the time is that of the request, not of its end.
    at = datetime.datetime.fromisoformat(slow["time"].replace("Z", "+00:00")).timestamp()
    assert began - 0.1 <= at <= began + took - 0.14


HOSTILE = [b"a\" 200 1 \"b", b"back\\slash\\", b"\x80\xff\xc3\xa9\xe2\x28", b"tab\there", b"\xc2\x9b31m", b"x" * 5000, b"\\x0a\\\""]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_fields(tmp_path, value):
    """Whatever is in a field stays in it."""
    for kind in (TEXT, JSON):
        path = tmp_path / kind
        with observed(f"log={path}", kind) as s, s.connect() as w:
            w.send(request("GET", "/hello", "Connection: close")[:-2] + b"User-Agent: " + value + b"\r\nReferer: " + value + b"\r\n\r\n")
            assert w.response().status == 200
            (line,) = lines_of(path, 1)
        if kind == TEXT:
            assert all(0x20 <= c < 0x7f for c in line), line
            m = COMBINED.fullmatch(line)
            assert m and m.group(3).decode() == f"GET /hello {w.spoken}" and m.group(4) == b"200"
            assert m.group(6)[:1000] == m.group(7)[:1000]
            if len(value) < 1000:
                plain = re.sub(rb"\\x([0-9a-f]{2})|\\(.)", lambda e: bytes([int(e[1], 16)]) if e[1] else e[2], m.group(7))
                assert plain == value
        else:
            text = line.decode("utf-8")
            assert not any(c < " " or "\x7f" <= c < "\xa0" for c in text), line
            said = json.loads(text)["user_agent"]
            if len(value) < 1000:
                assert re.sub("\ufffd+", "?", said) == re.sub("\ufffd+", "?", value.decode("utf-8", "replace"))
            else:
                assert said.endswith("x...") and len(said) <= 1024


def test_json_and_callback_agree(json_log):
    server, path = json_log
    with server.connect() as w:
        w.get("/users/1", "User-Agent: curl", "Referer: r")
        w.send(request("POST", "/size", body=b"12345"))
        assert w.response().body == b"5\n"
        w.get("/id/show", "X-Request-Id: from-afar")
        w.get("/nope%20here")
    logged = [json.loads(x) for x in lines_of(path, 4)]
    keys = ["time", "peer", "method", "path", "pattern", "host", "version", "status", "error", "received_bytes", "sent_bytes",
            "duration_ns", "connection_request", "user_agent", "referer", "request_id"]
    assert all(list(x) == keys for x in logged)
    assert [(x["method"], x["path"], x["pattern"]) for x in logged] == [
        ("GET", "/users/1", "/users/{id}"), ("POST", "/size", "/size"), ("GET", "/id/show", "/id/show"), ("GET", "/nope%20here", None)]
    assert [x["status"] for x in logged] == [200, 201, 200, 404]
    assert [x["received_bytes"] for x in logged] == [0, 5, 0, 0]
    assert [x["sent_bytes"] for x in logged][:3] == [6, 2, 9]
    assert [x["connection_request"] for x in logged] == [1, 2, 3, 4]
    assert [x["request_id"] for x in logged] == [None, None, "from-afar", None]
    version = {1: 11, 3: 30}[w.version]
    assert {(x["version"], x["error"]) for x in logged} == {(version, 0)}
    assert [x["host"] for x in logged] == [w.authority, "t", w.authority, w.authority]
    assert logged[0]["user_agent"] == "curl" and logged[0]["referer"] == "r" and logged[1]["user_agent"] is None
    for x, told in zip(logged, callbacks(server, 4)):
        assert told == ("{method} {path} pattern={pattern} host={host} agent={user_agent} status={status} version={version} error=0 "
                        "received={received_bytes} sent={sent_bytes} nth={connection_request} id={request_id} peer={peer} size=184"
                        .format(**{k: "" if v is None else v for k, v in x.items()}))


def test_refused_by_the_parser(json_log):
    server, path = json_log
    for data in (b"garbage\r\n\r\n", b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with server.connect() as w:
            assert w.send(data).response().status == 400
    logged = [json.loads(x) for x in lines_of(path, 3)]
    assert [x["status"] for x in logged] == [400] * 3 and {x["pattern"] for x in logged} == {None}
    assert len(callbacks(server, 3)) == 3


def test_client_that_leaves(json_log):
    """The line says that nothing was sent and why; the server has no more to do with that peer."""
    server, path = json_log
    w = server.connect()
    w.send(request("GET", "/slow?ms=60000"))
    eventually(lambda: scrape(server)["tako_requests_active", ()] == 2)
    w.reset()
    (line,) = eventually(lambda: [x for x in map(json.loads, lines_of(path, 1)) if x["path"] == "/slow"])
    assert line["error"] == -4 and line["status"] == 0 and line["sent_bytes"] == 0
    # The line may be written before its worker has counted.
    samples = eventually(lambda: (s := scrape(server))["tako_requests_aborted_total", ()] == 1 and s)
    assert samples["tako_http_requests_total", (("class", "none"), ("method", "GET"), ("route", "/slow"))] == 1


def test_nobody_reads_the_log(tmp_path):
    """A full pipe costs lines, not answers; those that are written are whole."""
    fifo = tmp_path / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    count = scaled(4000, 2000)
    try:
        with observed(f"log={fifo}", JSON, "access_log_queue_bytes=4096") as s:
            with s.connect() as w:
                for _ in range(count // 50):
                    w.send(request("GET", "/hello") * 50)
                    for _ in range(50):
                        assert w.response().status == 200
                dropped = metrics_of(w.get("/metrics").body.decode())["tako_log_dropped_total", ()]
            assert 0 < dropped < count
            began = time.monotonic()
            s.stop()
            assert time.monotonic() - began < 10
        data = b""
        while True:
            part = os.read(reader, 1 << 20)
            if not part:
                break
            data += part
        lines = data.split(b"\n")
        assert lines.pop() == b"" and len(lines) < count
        for line in lines:
            assert json.loads(line)["status"] == 200
    finally:
        os.close(reader)


def test_reader_of_the_log_leaves(tmp_path):
    """No SIGPIPE, no stop: the lines are lost and counted."""
    fifo = tmp_path / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with observed(f"log={fifo}", TEXT) as s, s.connect() as w:
        os.close(reader)
        for _ in range(20):
            assert w.get("/hello").status == 200
        eventually(lambda: metrics_of(w.get("/metrics").body.decode())["tako_log_dropped_total", ()] >= 20)


def test_log_is_complete_after_the_end(tmp_path):
    """What was answered before a stop is in the file after it."""
    path = tmp_path / "access.log"
    with observed(f"log={path}", TEXT, "worker_count=2") as s:
        for i in range(20):
            with s.connect() as w:
                w.send(request("GET", f"/users/{i}") * 10)
                for _ in range(10):
                    w.response()
        s.stop()
    paths = collections.Counter(re.findall(rb"GET (\S+)", path.read_bytes()))
    assert all(paths[b"/users/%d" % i] == 10 for i in range(20))


@pytest.mark.parametrize("arg", ["access_log_fd=999", "access_log_format=1"])
def test_refused_settings(arg):
    r = servers.run_refused([servers.program("tests/programs/observed"), "listen=127.0.0.1:0", arg])
    assert r.returncode == 2 and "access" in r.stderr


# ---- Metrics ------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')


def metrics_of(text):
    """Samples by (name, sorted labels); everything that the format demands is asserted."""
    assert text.endswith("\n")
    types, samples, family, closed = {}, {}, None, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            continue
        if line.startswith("# TYPE "):
            closed.add(family)
            _, _, family, kind = line.split(" ")
            assert family not in types, f"{family} comes twice"
            types[family] = kind
            continue
        m = SAMPLE.fullmatch(line)
        assert m, line
        name, labels, value = m.groups()
        base = re.sub("_(bucket|sum|count)$", "", name) if types[family] == "histogram" else name
        assert base == family and family not in closed, f"{line} does not belong to {family}"
        unescape = {"n": "\n", "\\": "\\", '"': '"'}
        pairs = [(k, re.sub(r"\\(.)", lambda e: unescape[e[1]], v))
                 for k, v in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")]
        key = name, tuple(sorted(pairs))
        assert key not in samples, f"{line} comes twice"
        samples[key] = float(value)
    return samples


def histogram(samples, **labels):
    """(bounds, counts), sum and count of one route's latencies."""
    name = "tako_http_request_duration_seconds"
    want = tuple(sorted(labels.items()))
    buckets = [(float(dict(l)["le"]), v) for (n, l), v in samples.items()
               if n == name + "_bucket" and tuple(p for p in l if p[0] != "le") == want]
    return sorted(buckets), samples[name + "_sum", want], samples[name + "_count", want]


def scrape(server):
    with Wire(server.addr) as w:
        r = w.get("/metrics", "Connection: close")
    assert r.status == 200
    assert r.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    return metrics_of(r.body.decode())


@pytest.fixture
def server():
    with observed("worker_count=2") as s:
        yield s


def by_class(samples, route, method="GET", **more):
    labels = dict(route=route, method=method, **more)
    return {k: samples.get(("tako_http_requests_total", tuple(sorted({**labels, "class": k}.items()))), 0)
            for k in ("2xx", "3xx", "4xx", "5xx")}


def test_requests_by_route(server):
    with server.connect() as w:
        for i in range(7):
            w.get(f"/users/{i}")
        for code in (200, 204, 301, 404, 500, 599):
            w.get(f"/status?code={code}")
        w.get("/nope")
        w.get("/any", method="PURGE")
        w.get("/quote%22back%5Cslash")
        assert w.get("/hello", method="HEAD").status == 200
        samples = scrape(server)
    assert by_class(samples, "/users/{id}") == {"2xx": 7, "3xx": 0, "4xx": 0, "5xx": 0}
    assert by_class(samples, "/status") == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 2}
    assert by_class(samples, "unmatched", "ANY")["4xx"] == 1
    assert by_class(samples, "/any", "ANY")["2xx"] == 1
    assert by_class(samples, '/quote"back\\slash')["2xx"] == 1
    assert by_class(samples, "/hello")["2xx"] == 2
    # A route that nobody asked for, and the paths themselves, make no series.
    assert not any("/unused" in str(k) or "/users/3" in str(k) for k in samples)
    assert samples["tako_requests_total", ()] == 1 + 7 + 6 + 4 + 1
    assert samples["tako_requests_active", ()] == 1
    info, = [dict(labels) for name, labels in samples if name == "tako_info"]
    assert info["version"] == "0.1.0" and info["runtime"] in servers.RUNTIMES


def test_hosts_have_series_of_their_own(server):
    with server.connect() as w:
        for host in ("a.test", "a.test", "b.test"):
            w.send(request("GET", "/same", host=host))
            assert w.response().status == 200
    samples = scrape(server)
    assert by_class(samples, "/same", host="a.test")["2xx"] == 2
    assert by_class(samples, "/same", host="b.test")["2xx"] == 1


def test_histogram(server):
    with server.connect() as w:
        for ms in (0, 0, 30, 120):
            w.get(f"/slow?ms={ms}")
        w.get("/hello")
    samples = scrape(server)
    buckets, total, count = histogram(samples, method="GET", route="/slow")
    assert [b for b, _ in buckets] == [2**k / 1e9 for k in range(12, 34)] + [float("inf")]
    values = [v for _, v in buckets]
    assert values == sorted(values) and values[-1] == count == 4
    assert dict(buckets)[2**24 / 1e9] <= 2, "30 ms is not below 17 ms"
    assert dict(buckets)[2**26 / 1e9] <= 3, "120 ms is not below 67 ms"
    assert 0.149 <= total < 60


def test_workers_are_summed_up(server):
    """More connections than workers, so that both have some."""
    connections = [server.connect() for _ in range(32)]
    for w in connections:
        w.get("/hello")
    before = scrape(server)
    assert before["tako_connections_open", ()] == 33
    assert by_class(before, "/hello")["2xx"] == 33
    for w in connections:
        w.close()
    samples = eventually(lambda: (s := scrape(server))["tako_connections_open", ()] == 1 and s)
    # The probe, the 32, and the scrapes.
    assert samples["tako_connections_accepted_total", ()] >= 1 + 32 + 2
    assert samples["tako_sent_bytes_total", ()] > before["tako_sent_bytes_total", ()] > 0
    assert samples["tako_received_bytes_total", ()] > before["tako_received_bytes_total", ()] > 0


def test_scrape_with_head(server):
    with server.connect() as w:
        r = w.get("/metrics", method="HEAD")
        assert r.status == 200 and int(r.get("Content-Length")) > 1000
        w.assert_open("/hello")


# ---- Request ids -----------------------------------------------------------------------------


def test_ids_are_random_uuids(server):
    ids = []
    with server.connect() as w:
        for _ in range(100):
            r = w.get("/id/show")
            assert UUID.fullmatch(r.get("X-Request-Id")) and r.body.decode() == r.get("X-Request-Id")
            ids.append(r.get("X-Request-Id"))
    assert len(set(ids)) == 100


@pytest.mark.parametrize("value", ["x", "abc-123", "with space and \"quote\"", "~" * 256])
def test_id_is_taken_over(server, value):
    with server.connect() as w:
        r = w.get("/id/show", "X-Request-Id: " + value)
        assert r.get("X-Request-Id") == value and r.body.decode() == value


@pytest.mark.parametrize("value", ["", "~" * 257, "caf\xe9", "tab\there"])
def test_id_is_replaced(server, value):
    with server.connect() as w:
        assert UUID.fullmatch(w.get("/id/show", "X-Request-Id: " + value).get("X-Request-Id"))


def test_id_of_an_error(server):
    with server.connect() as w:
        r = w.get("/id/fail", "X-Request-Id: abc")
        assert r.status == 400 and r.get("X-Request-Id") == "abc"
        assert r.get("Content-Type") == "application/problem+json"
        assert json.loads(r.body) == {"type": "about:blank", "title": "Bad Request", "status": 400, "instance": "/id/fail"}


def test_id_asked_for_twice(server):
    """By a router and by a group of it: one field, one id."""
    with server.connect() as w:
        r = w.get("/id/twice/show")
        assert UUID.fullmatch(r.get("X-Request-Id")) and r.body.decode() == r.get("X-Request-Id")


def test_id_in_another_field(server):
    with server.connect() as w:
        r = w.get("/trace/show", "X-Trace: t1", "X-Request-Id: other")
        assert r.get("X-Trace") == "t1" and r.get("X-Request-Id") is None
        assert w.get("/hello", "X-Request-Id: x").get("X-Request-Id") is None

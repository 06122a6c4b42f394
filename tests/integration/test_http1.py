# SPDX-License-Identifier: MIT
"""HTTP/1.1 as the showcase speaks it: persistence, framing, streaming, and what a client may do."""
import email.utils
import hashlib
import json
import re
import select
import socket
import ssl
import threading
import time

import pytest

from servers import OVER_TLS, in_whole_pieces, not_byte_by_byte
from wire import PATIENCE, SAN, Wire, chunked, once, readable, request, scaled

SLACK_S = 1.0 * PATIENCE
EMPTY_SHA = hashlib.sha256(b"").hexdigest()


def pattern(n, seed=1):
    """n bytes in which no two places look alike."""
    block = b"".join(hashlib.sha256(b"%d.%d" % (seed, i)).digest() for i in range(2048))
    return (block * (n // len(block) + 1))[:n]


def test_end_comes_with_the_answer(showcase):
    """A client that waits for the end of what is refused does not wait for the next thing to happen."""
    waited = []
    for _ in range(5):
        with showcase.connect() as w:
            w.send(b"GET /\r\n\r\n")
            assert w.response().status == 400
            answered = time.monotonic()
            w.assert_closed()
            waited.append(time.monotonic() - answered)
    assert min(waited) < 0.2 * PATIENCE, waited


# ---- Persistence (RFC 9112 9.3) ------------------------------------------------------


def test_many_requests_on_one_connection(wire):
    for i in range(200):
        r = wire.get(f"/users/{i}")
        assert r.status == 200 and str(i) in r.body.decode()
        assert r.all("Connection") == []


def test_http10_closes(showcase):
    with showcase.connect() as w:
        w.send(request("GET", "/plaintext", version="HTTP/1.0"))
        r = w.response()
        assert r.status == 200 and r.body == b"Hello, World!" and r.closes
        w.assert_closed()


def test_http10_keep_alive(showcase):
    with showcase.connect() as w:
        for _ in range(3):
            w.send(request("GET", "/plaintext", "Connection: keep-alive", version="HTTP/1.0"))
            r = w.response()
            assert r.body == b"Hello, World!"
            # An HTTP/1.0 client believes in persistence only when it is told.
            assert r.tokens("Connection") == ["keep-alive"]


def test_http10_gets_no_chunks(showcase):
    """HTTP/1.0 knows no chunks: the end of the connection ends the body, keep-alive or not."""
    with showcase.connect() as w:
        w.send(request("GET", "/stream?chunks=3&bytes=10&delay_ms=1", "Connection: keep-alive",
                       version="HTTP/1.0"))
        r = w.response()
        assert r.status == 200 and r.framing == "close" and r.closes
        assert len(r.body) == 30


def test_close_ends_the_connection(showcase):
    with showcase.connect() as w:
        r = w.get("/plaintext", "Connection: close")
        assert r.closes
        w.assert_closed()


def test_close_with_a_body(showcase):
    with showcase.connect() as w:
        w.send(request("POST", "/upload", "Connection: close", body=b"x" * 1000))
        r = w.response()
        assert r.status == 200 and r.closes
        w.assert_closed()


# ---- Pipelining (RFC 9112 9.3.2) --------------------------------------------------------


def test_pipelined_in_order(wire):
    n = 300
    wire.send(b"".join(request("GET", f"/users/{i}") for i in range(n)))
    for i in range(n):
        r = wire.response()
        assert r.status == 200 and re.search(rf"\b{i}\b", r.body.decode())
    wire.assert_open()


@pytest.mark.parametrize("size", [1, 7, 33, 1000])
def test_pipelined_in_pieces(wire, size):
    n = 30
    wire.drip(b"".join(request("GET", f"/users/{i}") for i in range(n)), size)
    for i in range(n):
        assert re.search(rf"\b{i}\b", wire.response().body.decode())


def test_pipelined_with_everything(wire):
    """What is quick waits for what is slow before it; bodies of both framings in between."""
    body = pattern(100000)
    since = time.monotonic()
    wire.send(
        request("GET", "/slow?ms=150") + request("GET", "/plaintext")
        + request("POST", "/upload", body=body) + request("HEAD", "/json")
        + request("POST", "/echo", "Transfer-Encoding: chunked") + chunked(b"one", b"two", body)
        + request("GET", "/no/such/path") + request("DELETE", "/plaintext")
        + request("GET", "/stream?chunks=3&bytes=10&delay_ms=10") + request("GET", "/slow?ms=1")
        + request("POST", "/no/such/path", body=body) + request("GET", "/json")
        + request("OPTIONS", "*") + request("GET", "/users/7"))
    assert wire.response().status == 200
    assert time.monotonic() - since >= 0.14
    assert wire.response().body == b"Hello, World!"
    assert hashlib.sha256(body).hexdigest() in wire.response().body.decode()
    assert wire.response("HEAD").get("Content-Length") == "27"
    r = wire.response()
    assert r.status == 200 and r.body == b"onetwo" + body
    assert wire.response().status == 404
    assert wire.response().status == 405
    assert len(wire.response().body) == 30
    assert wire.response().status == 200
    assert wire.response().status == 404
    assert wire.response().body == b'{"message":"Hello, World!"}'
    about_all = wire.response("OPTIONS")
    assert about_all.status == 204
    assert about_all.get("Allow") == "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
    assert "7" in wire.response().body.decode()
    wire.assert_open()


@in_whole_pieces
def test_pipelined_answers_share_segments(wire):
    """Answers to one segment leave together: a client sees few pieces, not one an answer."""
    wire.send(request("GET", "/plaintext") * 16)
    pieces, answers = 0, 0
    while answers < 16:
        assert readable(wire.sock, wire.timeout)
        data = wire.sock.recv(1 << 20)
        assert data
        pieces += 1
        answers += data.count(b"Hello, World!")
    assert pieces <= 4, f"{pieces} pieces for 16 answers"


def test_after_close_nothing_is_read(showcase):
    with showcase.connect() as w:
        w.send(request("GET", "/plaintext", "Connection: close") + request("GET", "/json") * 5)
        assert w.response().body == b"Hello, World!"
        w.assert_closed()


# ---- Methods ---------------------------------------------------------------------------


GETS = ["/", "/plaintext", "/json", "/healthz", "/users/7", "/files/small.txt", "/files/big.bin", "/no/such/path"]


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(wire, path):
    get, head = wire.get(path), wire.get(path, method="HEAD")
    assert head.status == get.status
    ignore = {"date", "x-request-id"}
    assert [f for f in head.fields if f[0].lower() not in ignore] == \
        [f for f in get.fields if f[0].lower() not in ignore]
    assert int(get.get("Content-Length")) == len(get.body) > 0
    wire.assert_open()


def test_head_of_a_stream(wire):
    head = wire.get("/stream?chunks=2&bytes=10&delay_ms=1", method="HEAD")
    assert head.status == 200
    wire.assert_open()


ALLOWED = {"/plaintext": "GET, HEAD, OPTIONS", "/json": "GET, HEAD, OPTIONS", "/echo": "POST, OPTIONS",
           "/upload": "POST, OPTIONS", "/users/7": "GET, HEAD, OPTIONS", "/healthz": "GET, HEAD, OPTIONS",
           "/files/small.txt": "GET, HEAD, OPTIONS"}


@pytest.mark.parametrize("path", ALLOWED)
def test_allow_is_exact(wire, path):
    want = sorted(ALLOWED[path].split(", "))
    r = wire.get(path, method="OPTIONS")
    assert r.status == 204 and sorted(r.get("Allow").split(", ")) == want
    for method in ("DELETE", "PUT", "BREW", "GET" if "GET" not in want else "POST"):
        r = wire.get(path, method=method)
        assert r.status == 405 and sorted(r.get("Allow").split(", ")) == want, (method, r)
        assert not r.closes
    wire.assert_open()


def test_options_of_nothing(wire):
    assert wire.get("/no/such/path", method="OPTIONS").status == 404
    assert wire.get("*", method="OPTIONS").status in (200, 204)


def test_any_method(wire):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        r = wire.get("/inspect", method=method)
        assert r.status == 200 and json.loads(r.body)["method"] == method
    assert wire.get("/inspect", method="HEAD").status == 200


def test_not_found_keeps_the_connection(wire):
    for method, path in (("GET", "/no"), ("POST", "/no"), ("BREW", "/no"), ("GET", "/users/x"), ("GET", "/users/")):
        r = wire.get(path, method=method)
        assert r.status == 404 and not r.closes, (method, path)
    wire.send(request("POST", "/no", body=pattern(50000)))
    assert wire.response().status == 404
    wire.send(request("PUT", "/no", "Transfer-Encoding: chunked") + chunked(pattern(50000)))
    assert wire.response().status == 404
    wire.assert_open()


# ---- Targets (RFC 3986) -------------------------------------------------------------------


def inspect(wire, target):
    r = wire.get(target)
    assert r.status == 200, r
    return json.loads(r.body)


@pytest.mark.parametrize("target", [
    "/inspect", "/%69nspect", "/%69%6e%73%70%65%63%74", "/./inspect", "/a/../inspect", "/a/b/../../inspect",
    "/../inspect", "/../../inspect", "/a/./../inspect", "/%2e/inspect", "/a/%2e%2e/inspect", "/a/.%2E/inspect",
    "/%2e%2e/inspect"])
def test_path_is_decoded_and_normalised(wire, target):
    seen = inspect(wire, target)
    assert seen["path"] == "/inspect"
    assert seen["raw_path"] == target


@pytest.mark.parametrize("target", [
    "/inspect/..", "//inspect", "/a//../inspect", "/inspect%2F", "/%2Finspect",
    "/a%2F../inspect", "/a/..%2Finspect", "/a%2F..%2Finspect", "/inspect%3F", "/inspect%20", "/INSPECT", "/%2569nspect",
    "/...", "/.../inspect", "/json/", "/json/.", "/json/x"])
def test_path_is_not_bent_further(wire, target):
    """An encoded slash separates nothing, and nothing is decoded twice (RFC 3986 2.4)."""
    r = wire.get(target)
    if target == "/inspect/..":
        assert r.status == 200 and "html" in r.get("Content-Type")
    else:
        assert r.status == 404, r


def test_encoded_parameters(wire):
    assert "12" in wire.get("/users/%31%32").body.decode()
    assert wire.get("/users/1%2F2").status == 404
    assert wire.get("/users/18446744073709551615").status == 200
    for bad in ("18446744073709551616", "-1", "+1", "1.0", "0x1", "1%20", "%201", "1%00"):
        assert wire.get(f"/users/{bad}").status in (400, 404), bad


@pytest.mark.parametrize("target,path", [
    ("/inspect/", "/inspect/"), ("/inspect/.", "/inspect/"), ("/inspect/x/..", "/inspect/"), ("/inspect/a%2Fb", "/inspect/a%2Fb"),
    ("/inspect/a%2fb", "/inspect/a%2Fb"), ("/inspect/%41%20%7e", "/inspect/A ~"), ("/inspect/a//b", "/inspect/a//b"),
    ("/inspect/%2e%2E/inspect/x", "/inspect/x"), ("/inspect/...", "/inspect/..."), ("/inspect/%252e", "/inspect/%2e")])
def test_decoded_path(wire, target, path):
    seen = inspect(wire, target)
    if path in ("/inspect/a%2Fb",):
        assert seen["path"].lower() == path.lower()
    else:
        assert seen["path"] == path
    assert seen["raw_path"] == target


@pytest.mark.parametrize("query", ["", "a=b", "a=%20&b=+&c", "?", "??a", "a=/../b", "%zz", "a=b&a=c", "a%00b", "x" * 4000])
def test_query_is_raw(wire, query):
    assert inspect(wire, "/inspect?" + query)["query"] == query


def test_no_query(wire):
    assert inspect(wire, "/inspect")["query"] is None


def test_absolute_form(wire):
    """The authority of the target counts, whatever Host says (RFC 9112 3.2.2)."""
    seen = inspect(wire, "http://example.com:81/inspect?a=b")
    assert seen["path"] == "/inspect" and seen["query"] == "a=b"
    assert seen["host"] == "example.com:81"
    assert wire.get("http://t/no/such").status == 404
    assert wire.get("http://t").status == 200
    assert wire.get("HTTPS://t/plaintext").body == b"Hello, World!"


@pytest.mark.parametrize("target", [
    "/files/../../../../etc/passwd", "/files/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/files/..%2f..%2f..%2fetc%2fpasswd",
    "/files/....//....//etc/passwd", "/files//etc/passwd", "/files/%2Fetc%2Fpasswd", "/files/..%5c..%5cetc/passwd",
    "/files/%252e%252e/etc/passwd", "/files/./../files/../../etc/passwd", "/files/..;/..;/etc/passwd"])
def test_no_way_out_of_the_files(wire, target):
    r = wire.get(target)
    assert r.status in (400, 403, 404), r
    assert b"root:" not in r.body


# ---- What the server sees, and says ----------------------------------------------------------


def test_inspect(showcase):
    with showcase.connect() as w:
        fields = ["X-One: 1", "x-two:\t 2  ", "X-One: 3", "X-Empty:", "X-Latin: \xe9", "Cookie: a=b; c=d"]
        w.send(request("PATCH", "/%69nspect?q=1", *fields))
        r = w.response()
        assert r.get("Content-Type").startswith("application/json")
        seen = json.loads(r.body.decode("utf-8"))
        assert seen["method"] == "PATCH"
        assert seen["path"] == "/inspect" and seen["raw_path"] == "/%69nspect" and seen["query"] == "q=1"
        assert seen["http_version"] == "1.1"
        names, values = zip(*seen["headers"])
        assert [n.lower() for n in names] == ["host", "x-one", "x-two", "x-one", "x-empty", "x-latin", "cookie"]
        assert values[:5] == ("t", "1", "2", "3", "") and values[6] == "a=b; c=d"
        me = w.sock.getsockname()
        assert seen["peer"] == f"{me[0]}:{me[1]}"
        assert seen["tls"] == ("TLSv1.3" if OVER_TLS else None)


def test_inspect_says_http10(showcase):
    r = once(showcase.addr, request("GET", "/inspect", version="HTTP/1.0", host=None))
    seen = json.loads(r.body)
    assert seen["http_version"] == "1.0" and seen["headers"] == [] and not seen["host"]


def test_inspect_escapes(wire):
    """Quotes, backslashes and control bytes of a request do not break out of the JSON."""
    wire.send(request("GET", '/inspect?\\', 'X: "\\\t</script>'))
    seen = json.loads(wire.response().body)
    assert seen["query"] == "\\"
    assert seen["headers"][1] == ["X", '"\\\t</script>']


def test_plaintext_and_json(wire):
    r = wire.get("/plaintext")
    assert r.body == b"Hello, World!" and r.get("Content-Type").startswith("text/plain")
    assert r.framing == "length"
    r = wire.get("/json")
    assert r.body == b'{"message":"Hello, World!"}' and r.get("Content-Type").startswith("application/json")
    assert wire.get("/healthz").status == 200


def has_date_and_server(r):
    assert r.get("Server") == "tako"
    date = r.get("Date")
    assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) <= 2


@pytest.mark.parametrize("data", [
    request("GET", "/plaintext"), request("GET", "/no/such"), request("DELETE", "/json"),
    request("GET", "/files/small.txt"), request("POST", "/echo", body=b"x")])
def test_date_and_server(wire, data):
    """On every answer with which the server speaks for itself (RFC 9110 6.6.1)."""
    has_date_and_server(wire.send(data).response())


@pytest.mark.parametrize("data", [b"garbage\r\n\r\n", request("GET", "/plaintext", version="HTTP/2.0")])
def test_date_and_server_where_nothing_was_understood(wire, data):
    has_date_and_server(wire.send(data).response())


def test_date_moves_on(wire):
    first = wire.get("/plaintext").get("Date")
    until = time.monotonic() + 3
    while wire.get("/plaintext").get("Date") == first:
        assert time.monotonic() < until, "the clock stands still"
        time.sleep(0.05)


# ---- Bodies in -----------------------------------------------------------------------------


def uploaded(r, body):
    assert r.status == 200, r
    text = r.body.decode()
    assert hashlib.sha256(body).hexdigest() in text and re.search(rf"\b{len(body)}\b", text), text


@pytest.mark.parametrize("n", [0, 1, 13, 4096, 65536, 65537, 1000000])
def test_upload(wire, n):
    body = pattern(n, n)
    wire.send(request("POST", "/upload", body=body))
    uploaded(wire.response(), body)
    wire.assert_open()


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 255, 4096, 70000])
def test_chunked_upload(wire, size):
    body = pattern(min(size * 300, 500000), size)
    parts = [body[i:i + size] for i in range(0, len(body), size)]
    wire.send(request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(*parts))
    uploaded(wire.response(), body)
    wire.assert_open()


def test_chunked_upload_cut_anywhere(showcase):
    """However the segments fall, the body is the same."""
    body = pattern(300)
    data = request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(
        body[:1], body[1:17], body[17:], trailers=["X-Sum: 1"]) + request("GET", "/plaintext")
    with showcase.connect() as w:
        for size in (1, 2, 3, 5, 11, 64):
            w.drip(data, size)
            uploaded(w.response(), body)
            assert w.response().body == b"Hello, World!"


def test_tiny_chunks_are_not_expensive(wire):
    n = scaled(200000)
    sender = threading.Thread(target=wire.send, args=(
        request("POST", "/upload", "Transfer-Encoding: chunked") + b"1\r\nx\r\n" * n + b"0\r\n\r\n",))
    since = time.monotonic()
    sender.start()
    uploaded(wire.response(), b"x" * n)
    sender.join()
    assert time.monotonic() - since < 3 * PATIENCE


@not_byte_by_byte
def test_large_upload(wire):
    body = pattern(scaled(32 << 20))
    sender = threading.Thread(target=wire.send, args=(request("POST", "/upload", body=body),))
    sender.start()
    uploaded(wire.response(timeout=20 * PATIENCE), body)
    sender.join()


def test_body_nobody_reads_is_skipped(wire):
    body = pattern(200000)
    for path in ("/plaintext", "/inspect"):
        method = "GET" if path == "/plaintext" else "PUT"
        wire.send(request(method, path, body=body) + request(method, path, "Transfer-Encoding: chunked")
                  + chunked(body, body) + request("GET", "/json"))
        assert wire.response().status == 200
        assert wire.response().status == 200
        assert wire.response().body == b'{"message":"Hello, World!"}'


# ---- Echo: both ways at once ------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 100, 100000])
def test_echo(wire, n):
    body = pattern(n)
    wire.send(request("POST", "/echo", body=body))
    r = wire.response()
    assert r.status == 200 and r.body == body
    wire.assert_open()


def test_echo_flows_before_the_end(wire):
    """Each piece comes back before the next is sent: nothing waits for the whole."""
    wire.send(request("POST", "/echo", "Transfer-Encoding: chunked"))
    got = b""
    head = None
    for i in range(5):
        piece = b"piece %d." % i
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        if head is None:
            head = wire.head()
            assert head.status == 200 and head.tokens("Transfer-Encoding") == ["chunked"]
            pieces = wire.chunks()
        while not got.endswith(piece):
            got += next(pieces)
    wire.send(b"0\r\n\r\n")
    assert b"".join(pieces) == b""
    wire.exactly(2)
    wire.assert_open()


@not_byte_by_byte
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_echo(wire, framing):
    body = pattern(scaled(24 << 20, 4 << 20))
    if framing == "length":
        data = request("POST", "/echo", body=body)
    else:
        step = 50021
        data = request("POST", "/echo", "Transfer-Encoding: chunked") + chunked(
            *(body[i:i + step] for i in range(0, len(body), step)))
    sender = threading.Thread(target=wire.send, args=(data,))
    sender.start()
    r = wire.response(timeout=20 * PATIENCE)
    sender.join()
    assert hashlib.sha256(r.body).digest() == hashlib.sha256(body).digest()
    wire.assert_open()


@not_byte_by_byte
def test_echo_to_one_that_does_not_read(showcase):
    """Back-pressure: what the client leaves in its window the server leaves in the other's."""
    if OVER_TLS:
        pytest.skip("over TLS a writer without room reads")
    n = scaled(64 << 20, 16 << 20)
    block = pattern(1 << 20)
    with showcase.connect(rcvbuf=8192) as w:
        w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        assert w.get("/plaintext").status == 200
        before = showcase.rss_kib()
        w.send(request("POST", "/echo", f"Content-Length: {n}"))
        w.sock.setblocking(False)
        sent = 0
        while sent < n and select.select([], [w.sock], [], 0.3 * PATIENCE)[1]:
            at = sent % len(block)
            sent += w.sock.send(block[at:at + min(65536, n - sent)])
        assert sent < n, "all of it was taken"
        if not SAN:
            assert showcase.rss_kib() - before < 2048
        # Now it reads, and gets every byte.
        w.sock.settimeout(w.timeout)

        def send_rest():
            at = sent
            while at < n:
                piece = block[at % len(block):][:n - at]
                w.sock.sendall(piece)
                at += len(piece)
        rest = threading.Thread(target=send_rest)
        rest.start()
        r = w.response(timeout=30 * PATIENCE)
        rest.join()
        assert len(r.body) == n
        whole = hashlib.sha256()
        for at in range(0, n, len(block)):
            whole.update(block[:n - at])
        assert hashlib.sha256(r.body).digest() == whole.digest()
        if not SAN:
            assert showcase.rss_kib() - before < 4096


# ---- Expect: 100-continue (RFC 9110 10.1.1) ------------------------------------------------------


@pytest.mark.parametrize("path", ["/upload", "/echo"])
def test_continue(wire, path):
    wire.send(request("POST", path, "Content-Length: 5", "Expect: 100-continue"))
    interim = wire.head()
    assert interim.status == 100 and interim.all("Content-Length") == []
    assert wire.quiet(0.05)
    wire.send(b"hello")
    r = wire.response()
    assert r.status == 200 and r.interim == []
    wire.assert_open()


def test_continue_with_chunks(wire):
    wire.send(request("POST", "/upload", "Transfer-Encoding: chunked", "Expect: 100-continue"))
    assert wire.head().status == 100
    wire.send(chunked(b"hello"))
    uploaded(wire.response(), b"hello")


@pytest.mark.parametrize("method,path,status", [("POST", "/no/such", 404), ("PUT", "/upload", 405), ("GET", "/plaintext", 200)])
def test_no_continue_when_nobody_wants_the_body(wire, method, path, status):
    """The final answer comes instead; then either the body is still read, or it is over."""
    wire.send(request(method, path, "Content-Length: 5", "Expect: 100-continue"))
    r = wire.response()
    assert r.status == status and r.interim == []
    if r.closes:
        wire.assert_closed()
    else:
        wire.send(b"hello")
        wire.assert_open()


def test_no_continue_for_http10(wire):
    wire.send(request("POST", "/upload", "Content-Length: 5", "Expect: 100-continue", version="HTTP/1.0"))
    assert wire.quiet(0.1)
    wire.send(b"hello")
    r = wire.response()
    assert r.status == 200 and r.interim == []


def test_no_continue_when_the_body_came_along(wire):
    """RFC 9110 allows to leave it out; the final answer comes in any case, once."""
    wire.send(request("POST", "/upload", "Expect: 100-continue", body=b"hello"))
    r = wire.response()
    uploaded(r, b"hello")
    assert len(r.interim) <= 1
    wire.assert_open()


# ---- Bodies out ------------------------------------------------------------------------------------


def test_stream_arrives_as_it_is_made(wire):
    wire.send(request("GET", "/stream?chunks=5&bytes=100&delay_ms=100"))
    since = time.monotonic()
    head = wire.head()
    assert head.status == 200 and head.tokens("Transfer-Encoding") == ["chunked"]
    times, sizes = [], []
    for c in wire.chunks():
        times.append(time.monotonic() - since)
        sizes.append(len(c))
    assert wire.exactly(2) == b"\r\n"
    assert sizes == [100] * 5
    # None before it is made; and the first one not when the last one is.
    assert all(t >= 0.1 * i - 0.01 for i, t in enumerate(times)), times
    assert times[-1] - times[0] >= 0.1 and times[-1] <= 0.5 + SLACK_S, times
    wire.assert_open()


def test_large_stream(wire):
    n = scaled(200, 20)
    r = wire.get(f"/stream?chunks={n}&bytes=100000&delay_ms=0")
    assert r.framing == "chunked" and len(r.body) == n * 100000
    wire.assert_open()


def test_large_file(wire):
    r = wire.get("/files/big.bin")
    assert r.body == bytes(range(256)) * 4096 and r.framing == "length"
    wire.assert_open()


def test_slow_blocks_nobody(showcase):
    """Deferred answers hold no thread: far more of them than workers end together."""
    n = scaled(100, 20)
    ws = [showcase.connect() for _ in range(n)]
    since = time.monotonic()
    try:
        for w in ws:
            w.send(request("GET", "/slow?ms=300"))
        assert once(showcase.addr, request("GET", "/plaintext")).status == 200
        for w in ws:
            assert w.response().status == 200
        assert 0.29 <= time.monotonic() - since <= 0.3 + SLACK_S
    finally:
        for w in ws:
            w.close()


# ---- Clients that close their side (RFC 9112 9.6) ------------------------------------------------------


@pytest.mark.parametrize("path", ["/plaintext", "/slow?ms=200", "/stream?chunks=3&bytes=10&delay_ms=20", "/files/big.bin"])
def test_half_closed_client_gets_its_answer(showcase, path):
    with showcase.connect() as w:
        w.send(request("GET", path)).finish()
        r = w.response()
        assert r.status == 200 and len(r.body) > 0
        w.assert_closed()


def test_half_closed_after_a_body(showcase):
    with showcase.connect() as w:
        body = pattern(100000)
        w.send(request("POST", "/upload", body=body)).finish()
        uploaded(w.response(), body)
        w.assert_closed()


def test_half_closed_after_pipelining(showcase):
    with showcase.connect() as w:
        w.send(request("GET", "/slow?ms=50") + request("GET", "/plaintext") * 20).finish()
        for _ in range(21):
            assert w.response().status == 200
        w.assert_closed()


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nHost: t\r\n", b"\r\n"])
def test_half_closed_before_a_request(showcase, data):
    """No request was made: the end, and no 200."""
    with showcase.connect() as w:
        w.send(data).finish()
        left = w.until_gone(2 * PATIENCE)
        assert left == b"" or left.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("data", [
    request("POST", "/upload", "Content-Length: 10") + b"12345",
    request("POST", "/upload", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
    request("POST", "/upload", "Transfer-Encoding: chunked") + b"5\r\nhel",
    request("POST", "/upload", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n",
    request("POST", "/upload", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\nX: y\r\n"])
def test_half_closed_within_a_body(showcase, data):
    """A body that breaks off is never taken for whole (RFC 9112 8)."""
    with showcase.connect() as w:
        w.send(data).finish()
        left = w.until_gone(2 * PATIENCE)
        assert left == b"" or left.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("data", [
    request("POST", "/echo", "Content-Length: 10") + b"hello",
    request("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n",
    request("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n"])
def test_half_closed_within_an_echo(showcase, data):
    """The answer has begun, so it can only be cut: it must not look whole."""
    with showcase.connect() as w:
        w.send(data)
        assert w.head().status == 200
        w.finish()
        left = w.until_gone(2 * PATIENCE)
        assert not left.endswith(b"0\r\n\r\n"), left


@pytest.mark.parametrize("bad", [b"zz\r\n", b"-1\r\n", b"5\r\nhelloX", b"0\r\nX : y\r\n\r\n", b"\n"])
def test_malformed_body_within_an_echo(showcase, bad):
    with showcase.connect() as w:
        w.send(request("POST", "/echo", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        assert w.head().status == 200
        w.send(bad + request("GET", "/plaintext"))
        left = w.until_gone(2 * PATIENCE)
        assert b"Hello, World!" not in left and not left.endswith(b"0\r\n\r\n"), left


def test_clients_that_vanish(showcase):
    """Resets at every stage leave the server in order."""
    for data in (b"", b"GET /", request("GET", "/slow?ms=5000"), request("POST", "/upload", "Content-Length: 9") + b"x",
                 request("GET", "/stream?chunks=1000&bytes=10000&delay_ms=1"), request("GET", "/files/big.bin") * 10,
                 request("POST", "/echo", "Content-Length: 99999") + b"x" * 5000):
        for _ in range(5):
            w = Wire(showcase.addr, rcvbuf=4096)
            w.send(data)
            if data.startswith((b"GET /st", b"GET /fi")):
                w.exactly(50)
            w.reset()
    assert once(showcase.addr, request("GET", "/plaintext")).status == 200


# ---- Closing so that the answer arrives (RFC 9112 9.6) ---------------------------------------------------


@pytest.mark.parametrize("head", [
    request("POST", "/no/such", "Connection: close", "Content-Length: 4000000"),
    request("PUT", "/upload", "Connection: close", "Content-Length: 4000000"),
    request("POST", "/upload", "Content-Length: 4000000", "Transfer-Encoding: chunked"),
    request("POST", "/upload", "Content-Length: 4000000", "Expect: x"),
    b"garbage\r\n\r\n"])
def test_answer_arrives_though_the_client_sends_on(showcase, head):
    """Closing with unread bytes would reset the connection and destroy the answer on its way.  Of less than the
    megabyte that a server takes for nothing: over that it is reset, however late its client reads the end."""
    with showcase.connect() as w:
        problem = []

        def send():
            try:
                w.send(head + b"x" * 900000)
            except (ConnectionError, ssl.SSLError) as e:
                problem.append(e)
        sender = threading.Thread(target=send)
        sender.start()
        r = w.response()
        assert 400 <= r.status < 500 and r.closes
        w.assert_closed()
        sender.join()


def test_answer_survives_a_client_that_reads_late(showcase):
    """All is sent before anything is read."""
    for _ in range(10):
        with showcase.connect() as w:
            w.send(b"garbage\r\n\r\n" + b"x" * 200000)
            assert w.response().status == 400
            w.assert_closed()


# ---- Figures -----------------------------------------------------------------------------------------------


def metric(wire, name):
    total = 0
    for line in wire.get("/metrics").body.decode().splitlines():
        if line.startswith(name + "{") or line.startswith(name + " "):
            total += float(line.rsplit(" ", 1)[1])
    return total


def test_metrics(wire):
    r = wire.get("/metrics")
    assert r.status == 200 and r.get("Content-Type").startswith("text/plain")
    text = r.body.decode()
    helped = set(re.findall(r"^# TYPE (\S+) (?:counter|gauge|histogram)$", text, re.M))
    assert helped
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*\})? (\S+)', line)
        assert m, line
        float(m.group(3))
        assert re.sub(r"_(bucket|sum|count)$", "", m.group(1)) in helped or m.group(1) in helped, line
    # By pattern, so that paths do not multiply the series.
    for i in range(5):
        wire.get(f"/users/{i}")
    text = wire.get("/metrics").body.decode()
    assert '"/users/{id:u64}"' in text or '"/users/{id}"' in text
    assert "/users/3" not in text


def test_metrics_do_not_grow_with_what_clients_invent(wire):
    """Methods, paths and hosts that nobody registered are not labels."""
    wire.get("/no/such", method="BREW")
    before = len(wire.get("/metrics").body.splitlines())
    for i in range(100):
        wire.send(request(f"BREW{i}", f"/no/{i}?{i}", f"X-{i}: y", host=f"h{i}"))
        assert wire.response().status in (404, 405, 501)
    assert len(wire.get("/metrics").body.splitlines()) <= before + 5

# SPDX-License-Identifier: MIT
"""What handlers can do with an exchange (tests/programs/exchange.c), seen from the client."""
import time

import pytest

import servers
from wire import PATIENCE, Wire, chunked, eventually, once, request


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("exchange") / "file"
    path.write_bytes(bytes(range(256)) * 16384)
    return path


@pytest.fixture(scope="module")
def server(content):
    with servers.launch("exchange", str(content)) as s:
        yield s


@pytest.fixture
def w(server):
    with server.connect() as c:
        yield c


def counters(server):
    text = once(server.addr, request("GET", "/counters", "Connection: close")).body.decode()
    return {k: int(v) for k, v in (line.split() for line in text.splitlines())}


def delta(server, before):
    now = counters(server)
    return {k: now[k] - before[k] for k in now if now[k] != before[k]}


# ---- Fields ----------------------------------------------------------------------------


def test_white_space_is_no_part_of_a_value(w):
    """Later versions of HTTP would have to call the response malformed (RFC 9113 8.2.1)."""
    assert w.get("/spaced-type").get("Content-Type") == "text/plain"
    r = w.get("/spaced")
    assert r.get("X-Spaced") == "a  b"
    assert r.get("Content-Type") == "text/plain"


# ---- From elsewhere ---------------------------------------------------------------


def test_answer_from_a_thread(server, w):
    before = counters(server)
    assert w.get("/thread?ms=30").body == b"from a thread\n"
    w.assert_open("/hello")
    eventually(lambda: delta(server, before) == {"ended_well": 1})


def test_answer_from_a_thread_at_once(w):
    """The thread may be faster than the handler's return."""
    for _ in range(200):
        assert w.get("/thread").body == b"from a thread\n"


def test_posts_run_in_order(w):
    for _ in range(20):
        r = w.get("/thread?parts=200")
        assert r.body.decode().split() == [str(i) for i in range(200)]
    w.assert_open("/hello")


def test_answers_from_threads_pipelined(w):
    """Later answers that are ready first wait for their turn."""
    w.send(b"".join(request("GET", f"/thread?ms={ms}") for ms in (80, 40, 0, 20)) + request("GET", "/hello"))
    for _ in range(4):
        assert w.response().body == b"from a thread\n"
    assert w.response().body == b"hello\n"


def test_peer_that_left_before_the_answer(server):
    """The deferral outlives its connection, and is told so."""
    before = counters(server)
    with server.connect() as c:
        # The first answer says that both were read, unless bytes come one by one.
        c.send(request("GET", "/hello") + request("GET", "/thread?ms=400"))
        assert c.response().status == 200
        time.sleep(0.05)
        c.reset()
    d = eventually(lambda: (lambda x: x if "closed_seen" in x and "ended_badly" in x else None)(delta(server, before)))
    assert d == {"closed_seen": 1, "ended_badly": 1, "aborted": 1}


# In pieces its reset can come before the request has been read, and nobody is told of that.
@servers.in_whole_pieces
def test_peer_that_closes_in_order(server):
    """A client that is gone for good is noticed, though its FIN looks like a half-closed side."""
    for ms in (100, 1000, 10000):
        before = counters(server)
        with server.connect() as c:
            c.send(request("GET", f"/thread?ms={ms}"))
        d = eventually(lambda b=before: (lambda x: x if "ended_well" in x or "ended_badly" in x else None)(delta(server, b)))
        # Who was stopped meanwhile had not closed yet when the answer came.
        if "aborted" in d:
            break
    assert d["aborted"] == 1


def test_abandoned_deferral_is_answered(w):
    assert w.get("/abandon").status == 500
    w.assert_open("/hello")


def test_offload_runs_elsewhere(w):
    assert w.get("/offload").body == b"on another thread\n"


# ---- Returns -------------------------------------------------------------------------


def test_handler_that_does_nothing(w):
    assert w.get("/nothing").status == 500
    w.assert_open("/hello")


@pytest.mark.parametrize("n,status", [(1, 400), (2, 500), (3, 500), (5, 408), (6, 413), (7, 400), (9, 500), (12, 404), (99, 500)])
def test_negative_returns(w, n, status):
    r = w.get(f"/code?n={n}")
    assert r.status == status and r.body
    if not r.closes:
        w.assert_open("/hello")


def test_second_answer_is_refused(server, w):
    assert w.get("/twice").body == b"first\n"
    w.assert_open("/hello")
    assert server.said("twice") == "OK ESTATE ESTATE"


def test_fields_that_would_break_the_framing(w):
    r = w.get("/bad-fields")
    assert r.body.decode().split() == ["EINVAL"] * 15 + ["OK"]
    assert r.all("Injected") == [] and r.all("X") == [] and r.get("Fine") == "a\tb"
    w.assert_open("/hello")


def test_too_many_fields(w):
    r = w.get("/many-fields")
    assert r.body == b"64 ETOOBIG\n" and len(r.all("X")) == 64


@pytest.mark.parametrize("n", [200, 201, 204, 205, 299, 304, 400, 418, 500, 599])
@pytest.mark.parametrize("body", [0, 1])
def test_any_status(w, n, body):
    """204, 205 and 304 have no body whatever the handler says (RFC 9110 15.3.5, 15.3.6, 15.4.5)."""
    r = w.get(f"/status?n={n}&body={body}")
    assert r.status == n
    assert r.body == (b"a body\n" if body and n not in (204, 205, 304) else b"")
    if n == 204:
        assert r.all("Content-Length") == []
    elif n != 304:
        assert r.framing == "length"
    w.assert_open("/hello")


# ---- Pieces ------------------------------------------------------------------------------


def test_inform(w):
    r = w.get("/inform")
    assert r.status == 200 and r.body == b"informed\n"
    assert [i.status for i in r.interim] == [103]
    link = "</style.css>; rel=preload"
    assert r.interim[0].all("Link") == [link] and r.all("Link") == [link]
    w.assert_open("/hello")


def test_no_inform_for_http10(w):
    w.send(request("GET", "/inform", version="HTTP/1.0"))
    r = w.response()
    assert r.status == 200 and r.interim == [] and r.all("Link") == ["</style.css>; rel=preload"]


def test_trailers(server, w):
    before = counters(server)
    r = w.get("/trailers")
    assert r.framing == "chunked" and r.body == b"helloworld"
    assert r.trailers == [("X-Sum", "42")]
    w.assert_open("/hello")
    eventually(lambda: delta(server, before) == {"ended_well": 1, "done_calls": 1})


@pytest.mark.parametrize("version,path,framing", [("HTTP/1.0", "/trailers", "close"), ("HTTP/1.1", "/trailers?length=1", "length")])
def test_trailers_are_dropped_where_none_can_be(w, version, path, framing):
    w.send(request("GET", path, version=version))
    r = w.response()
    assert r.framing == framing and r.body == b"helloworld" and r.trailers == []
    if framing == "close":
        w.assert_closed()


def test_announced_length(w):
    r = w.get("/announced?bytes=10")
    assert r.framing == "length" and r.body == b"x" * 10
    w.assert_open("/hello")


def test_fewer_bytes_than_announced_cut_the_connection(server, w):
    before = counters(server)
    w.send(request("GET", "/announced?bytes=4"))
    head = w.head()
    assert head.get("Content-Length") == "10"
    assert w.until_gone(2 * PATIENCE) == b"x" * 4
    assert eventually(lambda: delta(server, before)).get("ended_badly") == 1


def test_more_bytes_than_announced_are_refused(server, w):
    r = w.get("/announced?bytes=11")
    assert r.body == b"x" * 10
    w.assert_open("/hello")
    assert server.said("announced") == "EINVAL"


def test_error_after_the_head_cuts_the_response(server, w):
    """The client must see that it is not whole: no last chunk."""
    before = counters(server)
    w.send(request("GET", "/cut"))
    assert w.head().tokens("Transfer-Encoding") == ["chunked"]
    left = w.until_gone(2 * PATIENCE)
    assert not left.endswith(b"0\r\n\r\n")
    d = eventually(lambda: delta(server, before))
    assert d == {"ended_badly": 1, "done_calls": 1}


@pytest.mark.parametrize("start,n", [(0, 10), (5, 1000), (1, 4194303), (0, 4194304), (0, 0)])
def test_send_fd(server, content, w, start, n):
    w.assert_open("/hello")  # accepted, so that its own descriptor is counted
    w.assert_open("/hello")  # accepted, so counted
    fds = server.fd_count()
    r = w.get(f"/file?from={start}&bytes={n}")
    assert r.status == 200 and r.framing == "length" and r.body == content.read_bytes()[start:start + n]
    assert w.get(f"/file?from={start}&bytes={n}", method="HEAD").get("Content-Length") == str(n)
    w.assert_open("/hello")
    # The last byte arrives before the server has closed the file behind it.
    eventually(lambda: server.fd_count() <= fds)


def test_file_shorter_than_announced_cuts_the_connection(server, w):
    w.assert_open("/hello")
    w.assert_open("/hello")  # accepted, so counted
    fds = server.fd_count()
    w.send(request("GET", "/file?from=4194300&bytes=100"))
    try:
        head = w.head()
    except AssertionError:
        return
    if head.status == 200:
        assert len(w.until_gone(2 * PATIENCE)) < 100
    else:
        assert head.status >= 400
    eventually(lambda: server.fd_count() <= fds)


def test_client_that_leaves_within_a_file(server):
    fds = server.fd_count()
    for _ in range(5):
        c = Wire(server.addr, rcvbuf=4096)
        c.send(request("GET", "/file?from=0&bytes=4194304"))
        c.exactly(100)
        c.reset()
    eventually(lambda: server.fd_count() <= fds)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_done_runs_once(server, w, method):
    before = counters(server)
    r = w.get("/ref", method=method)
    assert r.body == (b"static bytes\n" if method == "GET" else b"")
    assert r.get("Content-Length") == "13"
    eventually(lambda: delta(server, before) == {"ended_well": 1, "done_calls": 1})


def test_drain_goes_on_when_there_is_room(server):
    before = counters(server)
    with server.connect(rcvbuf=8192) as c:
        r = c.get("/drain?blocks=500")
        assert r.framing == "chunked" and r.body == bytes(500 * 16384)
    d = eventually(lambda: (lambda x: x if "ended_well" in x else None)(delta(server, before)))
    assert d == {"ended_well": 1, "done_calls": 500}


def test_client_that_leaves_within_a_stream(server):
    """Every done callback runs, also for what was never sent; the end is told."""
    before = counters(server)
    c = Wire(server.addr, rcvbuf=4096)
    c.send(request("GET", "/drain?blocks=5000"))
    c.exactly(1000)
    c.reset()
    d = eventually(lambda: (lambda x: x if "ended_badly" in x else None)(delta(server, before)))
    assert d["ended_badly"] == 1 and d["aborted"] == 1 and 1 <= d["done_calls"] < 5000


# ---- Bodies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 100, 300000])
def test_pause_and_resume(w, n):
    w.send(request("POST", "/paused", body=b"p" * n))
    assert w.response().body == b"%d\n" % n
    w.assert_open("/hello")


def test_pause_with_the_end_in_the_same_segment(w):
    """What came together with the pause is held back too, and nothing is lost."""
    w.send(request("POST", "/paused", "Transfer-Encoding: chunked") + chunked(b"a", b"b", b"c")
           + request("GET", "/hello"))
    assert w.response().body == b"3\n"
    assert w.response().body == b"hello\n"


def test_body_callback_that_refuses(w):
    w.send(request("POST", "/refuse-body", body=b"x" * 100000))
    r = w.response()
    assert r.status == 400
    if r.closes:
        w.assert_closed()
    else:
        w.assert_open("/hello")


@pytest.mark.parametrize("n", [0, 1, 100000, 1000000])
def test_body_asked_for_later(w, n):
    w.send(request("POST", "/late-body", body=b"l" * n) + request("GET", "/hello"))
    assert w.response().body == b"%d\n" % n
    assert w.response().body == b"hello\n"


def test_continue_comes_when_the_body_is_asked_for(w):
    since = time.monotonic()
    w.send(request("POST", "/late-body", "Content-Length: 5", "Expect: 100-continue"))
    assert w.head().status == 100
    assert time.monotonic() - since >= 0.04
    w.send(b"hello")
    assert w.response().body == b"5\n"


def test_body_too_large_asked_for_later(w):
    w.send(request("POST", "/late-body", "Content-Length: 1048577"))
    r = w.response()
    assert r.status == 413


def test_body_asked_for_twice(w):
    w.send(request("POST", "/asked-twice", body=b"hello"))
    assert w.response().body == b"5\n"


@pytest.mark.parametrize("parts", [1, 2, 50])
def test_answer_before_the_body_has_ended(w, parts):
    w.send(request("POST", "/early", "Transfer-Encoding: chunked") + b"1\r\nx\r\n")
    assert w.response().body == b"early\n"
    w.send(chunked(*[b"y" * 1000] * parts) + request("GET", "/hello"))
    assert w.response().body == b"hello\n"


def test_request_trailers(w):
    w.send(request("POST", "/request-trailer", "Transfer-Encoding: chunked")
           + chunked(b"hello", trailers=["x-sum: 42", "X-Other: 1"]))
    assert w.response().body == b"5 42\n"
    w.send(request("POST", "/request-trailer", body=b"hello"))
    assert w.response().body == b"5 \n"


def test_framing_trailers_are_not_believed(w):
    """A Content-Length that comes after the body changes nothing (RFC 9110 6.5.1)."""
    w.send(request("POST", "/request-trailer", "Transfer-Encoding: chunked")
           + chunked(b"hello", trailers=["Content-Length: 1000", "X-Sum: 1"]))
    r = w.response()
    assert (r.status, r.body) == (200, b"5 1\n") or r.status == 400
    if not r.closes:
        w.assert_open("/hello")


# ---- Cookies, queries, forms ---------------------------------------------------------------------


@pytest.mark.parametrize("cookie,want", [
    ("c=1", "[1]"), ("a=0; c=1; d=2", "[1]"), ("c=\"1\"", "[1]"), ("c=", "[]"), ("cc=1; c=2", "[2]"), ("xc=1", "absent[]"),
    ("c", "absent[]"), ("a=c=1", "absent[]"), ("c=1; c=2", "[1]"), ("a=1;c=2", "[2]"), ("C=1", "absent[]"), ("c=a=b", "[a=b]"),
    ("  c=1  ", "[1]"), (";;c=1;;", "[1]"), ("c=%41", "[%41]")])
def test_cookies(w, cookie, want):
    r = w.get("/cookies", "Cookie: " + cookie)
    assert r.body.decode() == want + " EINVAL EINVAL EINVAL EINVAL\n"


def test_cookies_in_two_fields(w):
    assert w.get("/cookies", "Cookie: a=1", "Cookie: c=2").body.startswith(b"[2] ")


def test_set_cookie(w):
    first, second = w.get("/cookies").all("Set-Cookie")
    assert first == "a=1; Path=/; HttpOnly; SameSite=Lax" or \
        sorted(first.split("; ")[1:]) == ["HttpOnly", "Path=/", "SameSite=Lax"]
    name, *attributes = second.split("; ")
    assert name == "b=2"
    # An Expires beside Max-Age is for old clients.
    assert sorted(a for a in attributes if not a.startswith("Expires=")) == ["Domain=example.com", "Max-Age=60", "Path=/x", "SameSite=None", "Secure"]


@pytest.mark.parametrize("query,want", [
    ("a=1&b=2&a=3", "a=1\nb=2\na=3\n"), ("a=%41+%2B", "a=A +\n"), ("a", "a=\n"), ("=b", "=b\n"), ("a=b=c", "a=b=c\n"),
    ("", ""), ("a%3Db=c%26d", "a=b=c&d\n")])
def test_query_pairs(w, query, want):
    r = w.get("/query?" + query)
    assert r.status == 200 and r.body.decode() == want


def test_malformed_query_pairs(w):
    for bad in ("a=%zz", "a=%4", "%=1", "a=%"):
        assert w.get("/query?" + bad).status == 400, bad


def test_form(w):
    w.send(request("POST", "/form", "Content-Type: application/x-www-form-urlencoded; charset=utf-8", body=b"a=1&b=x+y%21&c"))
    r = w.response()
    assert r.status == 200 and r.body == b"a=1\nb=x y!\nc=\n"
    w.send(request("POST", "/form", "Content-Type: text/plain", body=b"a=1"))
    assert w.response().status == 400
    w.send(request("POST", "/form", body=b"a=1"))
    assert w.response().status == 400


def multipart(*parts, boundary=b"b0", end=b"--"):
    out = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, head, data) for head, data in parts)
    return out + b"--" + boundary + end + b"\r\n"


FIELD = b'Content-Disposition: form-data; name="f"'
UPLOAD = b'Content-Disposition: form-data; name="u"; filename="../a b.txt"\r\nContent-Type: text/plain'


def post_multipart(w, body, content_type="multipart/form-data; boundary=b0", drip=0):
    w.send(request("POST", "/multipart", "Content-Type: " + content_type, f"Content-Length: {len(body)}"))
    w.drip(body, drip or len(body) or 1)
    return w.response()


@pytest.mark.parametrize("drip", [0, 1, 7])
def test_multipart(w, drip):
    body = multipart((FIELD, b"value"), (UPLOAD, b"--b\r\n--b1\r\n\r\n"), (FIELD, b""))
    r = post_multipart(w, body, drip=drip)
    assert r.status == 200, r
    assert r.body == b"[f||]value\n[u|../a b.txt|text/plain]--b\r\n--b1\r\n\r\n\n[f||]\n"
    w.assert_open("/hello")


def test_multipart_limits(w):
    for body in (multipart((FIELD, b"x" * 1001)), multipart(*[(FIELD, b"x")] * 4)):
        r = post_multipart(w, body)
        assert r.status == 413, r
        if r.closes:
            w.assert_closed()
            return
    w.assert_open("/hello")


@pytest.mark.parametrize("body", [
    b"", b"--b0", b"--b0\r\n", b"no boundary at all\r\n", multipart((FIELD, b"x"))[:-4], multipart((FIELD, b"x"), end=b""),
    multipart((b"Content-Type: text/plain", b"x")), multipart((b"broken", b"x")), multipart((FIELD, b"x"), boundary=b"b1")])
def test_malformed_multipart(server, body):
    with server.connect() as c:
        assert post_multipart(c, body).status == 400


@pytest.mark.parametrize("content_type", [
    "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71, "text/plain; boundary=b0"])
def test_multipart_without_a_usable_boundary(server, content_type):
    with server.connect() as c:
        assert post_multipart(c, multipart((FIELD, b"x")), content_type).status == 400


def test_nothing_was_called_from_within(server):
    assert counters(server)["on_drain_inside"] == 0

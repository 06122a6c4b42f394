# SPDX-License-Identifier: MIT
"""Which route answers, with which middleware, and who speaks when none does (tests/programs/routing.c)."""
import json
import time
import urllib.parse

import pytest

import servers
from wire import request


@pytest.fixture(scope="module")
def server():
    with servers.launch("routing") as s:
        yield s


@pytest.fixture(scope="module")
def problems():
    """The same with problem+json for everything."""
    with servers.launch("routing", "problem") as s:
        yield s


@pytest.fixture
def w(server):
    with server.connect() as c:
        yield c


def text(w, path, *fields, method="GET", status=200):
    r = w.get(path, *fields, method=method)
    assert r.status == status, r
    return r.body.decode().rstrip("\n")


@pytest.mark.parametrize("path,want", [
    ("/p/list", "static /p/list"), ("/p/42", "/p/{id:u64} [42]"), ("/p/img-7.png", "/p/img-{id}.png [7]"),
    ("/p/img-.png", "/p/{name} [img-.png]"), ("/p/x", "/p/{name} [x]"), ("/p/a/b/c", "/p/{*rest} [a/b/c]"),
    ("/p/", "/p/{*rest} []"), ("/p/l%69st", "static /p/list"), ("/p/a%2Fb", "/p/{name} [a/b]"), ("/p/%34%32", "/p/{id:u64} [42]"),
    ("/p/18446744073709551616", "/p/{name} [18446744073709551616]"), ("/p/LIST", "/p/{name} [LIST]"), ("/p/list/", "/p/{*rest} [list/]"),
    ("/p/a%20b", "/p/{name} [a b]"), ("/p/x/../list", "static /p/list"), ("/p//", "/p/{*rest} [/]"),
    ("/hex/dEadBeef", "/hex/{v:hex} [dEadBeef]"), ("/uuid/123e4567-e89b-12d3-a456-426614174000", "/uuid/{v:uuid} [123e4567-e89b-12d3-a456-426614174000]"),
    ("/braces/%7Bx%7D", "braces /braces/{{x}}"), ("/braces/{x}", "braces /braces/{{x}}")])
def test_precedence(w, path, want):
    assert text(w, path) == want


@pytest.mark.parametrize("path", ["/p", "/hex/xyz", "/hex/", "/uuid/1", "/uuid/123e4567-e89b-12d3-a456-42661417400z", "/P/list", "/braces/y"])
def test_no_match(w, path):
    assert text(w, path, status=404) == "custom 404 [GET]"


def test_next(w):
    """A handler that does not want it leaves it to the next less specific match."""
    assert text(w, "/next/one") == "/next/{x} [one]"
    assert text(w, "/next-none", status=404) == "custom 404 [GET]"


def test_encoded_literal(w):
    """Text is compared decoded, however the pattern and the request write it."""
    for path in ("/caf%C3%A9", "/%63af%c3%a9"):
        assert text(w, path).startswith("encoded "), path
    assert w.get("/caf%25C3%25A9").status == 404


def test_methods(w):
    for method in ("GET", "POST", "DELETE"):
        assert text(w, "/m", method=method) == method.lower() + " /m"
    r = w.get("/m", method="PUT")
    assert r.status == 405 and sorted(r.get("Allow").split(", ")) == ["DELETE", "GET", "HEAD", "OPTIONS", "POST"]
    r = w.get("/m", method="OPTIONS")
    assert r.status == 204 and sorted(r.get("Allow").split(", ")) == ["DELETE", "GET", "HEAD", "OPTIONS", "POST"]


def test_own_head_and_options(w):
    head, get = w.get("/own-head", method="HEAD"), w.get("/own-head")
    assert head.get("Content-Length") == str(len("head /own-head\n"))
    assert get.body == b"get /own-head\n"
    assert text(w, "/own-options", method="OPTIONS") == "options /own-options"
    r = w.get("/own-options", method="PUT")
    assert sorted(r.get("Allow").split(", ")) == ["GET", "HEAD", "OPTIONS"]


def test_extension_method(w):
    assert text(w, "/pot", method="BREW") == "brew /pot"
    r = w.get("/pot")
    assert r.status == 405 and sorted(r.get("Allow").split(", ")) == ["BREW", "OPTIONS"]
    assert text(w, "/pot", method="brew", status=405)


def test_405_sees_every_matching_route(w):
    """/p/list has one route of its own, but others match it too, all for GET."""
    r = w.get("/p/list", method="POST")
    assert r.status == 405 and sorted(r.get("Allow").split(", ")) == ["GET", "HEAD", "OPTIONS"]


# ---- Middleware -------------------------------------------------------------------------


def test_order_of_middleware(w):
    """Earlier phases first; on the way out the inner group before the outer one."""
    r = w.get("/api/plain")
    assert r.body == b"api /api/plain\n"
    assert r.get("Trace") in ("e(hA", "e(h)A")
    r = w.get("/api/acme/user")
    assert r.body == b"/api/{tenant}/user [acme]\n"
    assert r.get("Trace").replace(")", "") == "ei(hBA"


def test_middleware_of_a_group_stays_there(w):
    assert w.get("/hello").all("Trace") == []
    assert w.get("/api/none/such").all("Trace") == []


def test_middleware_that_answers(w):
    assert text(w, "/secret/x", status=401) == "who are you?"
    assert text(w, "/secret/x", "Authorization: x") == "secret /secret/x"


def test_around_that_goes_on_later(w):
    since = time.monotonic()
    assert text(w, "/later/x") == "later /later/x"
    assert time.monotonic() - since >= 0.02
    assert text(w, "/later/fail", status=400) == "custom 400 [GET]"


# ---- Errors --------------------------------------------------------------------------------


def test_problem_json_of_a_group(w):
    r = w.get("/api/fail?x=1")
    assert r.status == 400 and r.get("Content-Type") == "application/problem+json"
    p = json.loads(r.body)
    assert p["type"] == "about:blank" and p["status"] == 400 and p["title"] == "Bad Request"
    assert p["instance"].startswith("/api/fail")


def test_error_handler_that_passes_on(w):
    r = w.get("/text/fail")
    assert r.status == 400 and r.body == b"custom 400 [GET]\n" and r.all("X-Seen") == ["yes"]


def test_error_handler_of_the_router(w):
    assert text(w, "/no/such", status=404) == "custom 404 [GET]"
    r = w.get("/m", method="PUT")
    assert r.body == b"custom 405 [PUT]\n" and r.get("Allow")
    # No route takes it, so it is in no group.
    assert text(w, "/api/no/such", status=404) == "custom 404 [GET]"


@pytest.mark.parametrize("data,status,method", [
    (b"garbage\r\n\r\n", 400, ""), (b"GET / HTTP/1.1\r\n\r\n", 400, "GET"), (b"GET / HTTP/2.0\r\n\r\n", 505, "GET"),
    (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "POST"), (b"GET /" + b"a" * 9000, 414, ""),
    (b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * 40000, 431, "GET")])
def test_error_handler_sees_what_the_parser_refuses(server, data, status, method):
    with server.connect() as c:
        c.send(data)
        r = c.response()
        assert r.status == status and r.closes
        seen = r.body.decode()
        assert seen in (f"custom {status} [{method}]\n", f"custom {status} []\n")
        c.assert_closed()


@pytest.mark.parametrize("data,status", [
    (b"garbage\r\n\r\n", 400), (request("GET", "/no/such?q=secret"), 404), (request("PUT", "/m"), 405),
    (request("GET", "/", version="HTTP/3.0"), 505), (request("GET", '/no/%22%5C%0A'), 404), (request("POST", "/small/whole", body=b"x" * 11), 413)])
def test_problem_json_everywhere(problems, data, status):
    with problems.connect() as c:
        c.send(data)
        r = c.response()
        assert r.status == status and r.get("Content-Type") == "application/problem+json"
        p = json.loads(r.body)
        assert p["status"] == status and p["title"] and p["type"] == "about:blank"
        if status == 405:
            assert r.get("Allow")


# ---- Limits of groups --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/small/whole", "/small/stream"])
def test_body_limit_of_a_group(server, path):
    with server.connect() as c:
        c.send(request("POST", path, body=b"x" * 10))
        assert c.response().status == 200
        c.assert_open("/hello")
        c.send(request("POST", path, "Content-Length: 11"))
        r = c.response()
        assert r.status == 413 and r.body == b"custom 413 [POST]\n"
        c.send(b"x" * 11)
        c.assert_closed() if r.closes else c.assert_open("/hello")
    with server.connect() as c:
        c.send(request("POST", path, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n")
        r = c.response()
        assert r.status == 413
        c.assert_closed() if r.closes else c.assert_open("/hello")


def test_timeout_of_a_group(w):
    since = time.monotonic()
    assert text(w, "/quick/slow?ms=400", status=503) == "custom 503 [GET]"
    assert time.monotonic() - since >= 0.09
    assert text(w, "/quick/slow?ms=10") == "late"
    # The late answer of the first went nowhere.
    time.sleep(0.35)
    assert text(w, "/hello") == "hello /hello"


def test_no_timeout_elsewhere(w):
    assert text(w, "/slow?ms=300") == "late"


# ---- Hosts, nesting, slashes -----------------------------------------------------------------------


@pytest.mark.parametrize("host,want", [
    ("t", "default /who"), ("a.test", "a /who"), ("A.TEST", "a /who"), ("a.test:8080", "a /who"), ("x.b.test", "wild /who"),
    ("x.y.b.test", "wild /who"), ("b.test", "default /who"), ("x.c.b.test", "longer /who"), ("c.b.test", "wild /who"),
    ("xb.test", "default /who"), ("a.test.evil", "default /who"), ("x.a.test", "default /who")])
def test_hosts(w, host, want):
    w.send(request("GET", "/who", host=host))
    assert w.response().body.decode() == want + "\n"
    w.send(request("GET", f"http://{host}/who", host="elsewhere"))
    assert w.response().body.decode() == want + "\n"


def test_a_host_has_its_own_routes_only(w):
    w.send(request("GET", "/hello", host="x.b.test"))
    assert w.response().status == 404
    w.send(request("GET", "/hello", host="a.test"))
    assert w.response().body == b"fallback of a \n"


def test_nesting(w):
    r = w.get("/nest/acme/x/7")
    assert r.body == b"/nest/{top}/x/{id} [7]\n" and r.get("Trace") == "nN"
    assert text(w, "/nest/acme/") == "child root /nest/{top}/" or text(w, "/nest/acme") == "child root /nest/{top}"
    assert text(w, "/nest/acme/none") .startswith("child fallback")
    assert text(w, "/nest", status=404) == "custom 404 [GET]"


@pytest.mark.parametrize("path,location", [
    ("/slash/bare/", "/slash/bare"), ("/slash/dir", "/slash/dir/"), ("/slash/dir?a=b&c=%20", "/slash/dir/?a=b&c=%20"),
    ("/slash/bare/?", "/slash/bare?"), ("/slash/p/%0d%0aX:%20y/", "/slash/p/%0d%0aX:%20y"), ("/slash/p/%2F/", "/slash/p/%2F"),
    ("/slash/p/%25/?%0a", "/slash/p/%25?%0a")])
def test_redirected_slash(w, path, location):
    r = w.get(path)
    assert r.status == 308
    # It may be encoded in another way, but means the same, and its own delimiters stay.
    assert urllib.parse.unquote(r.get("Location")) == urllib.parse.unquote(location)
    assert r.get("Location").count("/") == location.count("/") and r.get("Location").count("?") == location.count("?")
    w.assert_open("/hello")


def test_slashes_that_are_not_redirected(w):
    assert text(w, "/slash/both") == "both /slash/both"
    assert text(w, "/slash/both/") == "both/ /slash/both/"
    assert text(w, "/slash/none/", status=404)
    assert w.get("/slash/bare/", method="POST").status in (404, 405)
    assert text(w, "/m/", status=404)


@pytest.mark.parametrize("path", ["//evil.test/slash/dir", "/slash//dir", "/slash/dir//"])
def test_no_redirect_to_another_host(w, path):
    r = w.get(path)
    assert not any(v.startswith("//") for v in r.all("Location")), r

# SPDX-License-Identifier: MIT
"""test_http1.py once more over HTTP/3: the showcase, with the same requests and the same answers.

What is left out, and why, is LEFT_OUT; what HTTP/3 has in its place is below.
"""
import hashlib
import json
import threading
import time

import pytest

import test_http1
from h3wire import H3, H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_http1 import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import
from test_http1 import SLACK_S, pattern, uploaded
from wire import SAN, eventually, scaled

LEFT_OUT = {
    "connections that persist, or do not, are HTTP/1's (RFC 9112 section 9)": """
        test_end_comes_with_the_answer test_close_ends_the_connection test_close_with_a_body
        test_after_close_nothing_is_read""",
    "there is no HTTP/1.0 in it": """
        test_http10_closes test_http10_keep_alive test_http10_gets_no_chunks test_no_continue_for_http10
        test_inspect_says_http10""",
    "how a message lies in the bytes of a connection; test_h3*, h3_malformed_test and sim tests cut HTTP/3's": """
        test_pipelined_in_pieces test_pipelined_answers_share_segments test_chunked_upload_cut_anywhere
        test_tiny_chunks_are_not_expensive test_date_and_server_where_nothing_was_understood
        test_malformed_body_within_an_echo""",
    "a client that closes its side: every request of HTTP/3 does, and one that breaks off is reset, see below": """
        test_half_closed_client_gets_its_answer test_half_closed_after_a_body test_half_closed_after_pipelining
        test_half_closed_before_a_request test_half_closed_within_a_body test_half_closed_within_an_echo""",
    "silence is all that a server sees of a client that vanishes: quic_test and quic_h3_test have the time": """
        test_clients_that_vanish""",
    "forms of a target that HTTP/3 has not (RFC 9114 section 4.3.1)": "test_absolute_form",
    "they read HTTP/1.1 as it comes, and are below as HTTP/3 has them": """
        test_inspect test_inspect_escapes test_echo_flows_before_the_end test_large_echo test_echo_to_one_that_does_not_read
        test_continue test_continue_with_chunks test_no_continue_when_nobody_wants_the_body
        test_stream_arrives_as_it_is_made test_slow_blocks_nobody
        test_answer_arrives_though_the_client_sends_on test_answer_survives_a_client_that_reads_late""",
}
for _name in " ".join(LEFT_OUT.values()).split():
    del globals()[_name]


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_http1)


@pytest.fixture
def h3(showcase):
    with H3(showcase.addr) as c:
        yield c


def begin(c, method, path, *fields):
    """A request whose body is to come."""
    return c.ask(c.basic(method, path) + list(fields), end=False)


# ---- What the server sees ------------------------------------------------------------------------


def test_inspect(h3):
    r = h3.get("/%69nspect?q=1", ("x-one", "1"), ("x-two", "2"), ("x-one", "3"), ("x-empty", ""), ("x-latin", "\xe9"),
               ("cookie", "a=b"), ("cookie", "c=d"), method="PATCH")
    seen = json.loads(r.body.decode("utf-8"))
    assert (seen["method"], seen["path"], seen["raw_path"], seen["query"]) == ("PATCH", "/inspect", "/%69nspect", "q=1")
    assert seen["http_version"] == "3" and seen["tls"] == "TLSv1.3" and seen["host"] == h3.authority
    names, values = zip(*seen["headers"])
    assert names == ("x-one", "x-two", "x-one", "x-empty", "x-latin", "cookie", "host")
    # Crumbs of a cookie are one (RFC 9114 section 4.2.1).
    assert values[:4] == ("1", "2", "3", "") and values[5] == "a=b; c=d"
    assert seen["peer"].startswith("127.0.0.1:")


def test_inspect_escapes(h3):
    seen = json.loads(h3.get("/inspect?\\", ("x", '"\\\t</script>')).body)
    assert seen["query"] == "\\" and ["x", '"\\\t</script>'] in seen["headers"]


# ---- Bodies, both ways at once --------------------------------------------------------------------


def test_echo_flows_before_the_end(h3):
    stream = begin(h3, "POST", "/echo")
    r = h3.responses[stream]
    for i in range(5):
        h3.data(stream, b"piece %d." % i, end=False)
        h3.until(lambda _, i=i: r.body.endswith(b"piece %d." % i))
    h3.data(stream, b"")
    assert h3.response(stream).body == b"".join(b"piece %d." % i for i in range(5))


@pytest.mark.parametrize("length", [True, False])
def test_large_echo(h3, length):
    body = pattern(scaled(24 << 20, 4 << 20))
    stream = begin(h3, "POST", "/echo", *([("content-length", str(len(body)))] if length else []))
    sender = threading.Thread(target=h3.data, args=(stream, body))
    sender.start()
    r = h3.response(stream)
    sender.join()
    assert hashlib.sha256(r.body).digest() == hashlib.sha256(body).digest()


def test_echo_to_one_that_does_not_read(showcase):
    """What the client leaves in its window the server leaves in the other's."""
    n = 8 << 20
    with H3(showcase.addr, window=65536) as c:
        assert c.get("/plaintext").status == 200
        before = showcase.rss_kib()
        stream = begin(c, "POST", "/echo")
        sender = threading.Thread(target=c.data, args=(stream, pattern(n)))
        sender.start()
        # Others are served meanwhile.
        with H3(showcase.addr) as other:
            for _ in range(20):
                assert other.get("/plaintext").status == 200
        if not SAN:
            assert showcase.rss_kib() - before < 6144
        assert c.response(stream).body == pattern(n)
        sender.join()


def test_trailers_of_a_request(h3):
    body = pattern(300)
    stream = begin(h3, "POST", "/upload")
    for i in range(0, 300, 7):
        h3.data(stream, body[i:i + 7], end=False)
    h3.trailers(stream, [("x-sum", "1")])
    uploaded(h3.response(stream), body)


# ---- Expect: 100-continue -------------------------------------------------------------------------


@pytest.mark.parametrize("length", [[("content-length", "5")], []])
@pytest.mark.parametrize("path", ["/upload", "/echo"])
def test_continue(h3, path, length):
    stream = begin(h3, "POST", path, ("expect", "100-continue"), *length)
    r = h3.responses[stream]
    h3.until(lambda _: r.interim)
    assert [s for s, _ in r.interim] == [100] and r.interim[0][1] == []
    h3.data(stream, b"hello")
    assert h3.response(stream).status == 200 and len(r.interim) == 1


@pytest.mark.parametrize("method,path,status", [("POST", "/no/such", 404), ("PUT", "/upload", 405), ("GET", "/plaintext", 200)])
def test_no_continue_when_nobody_wants_the_body(h3, method, path, status):
    stream = begin(h3, method, path, ("content-length", "5"), ("expect", "100-continue"))
    r = h3.response(stream)
    assert r.ended and r.status == status and r.interim == []
    # It may come all the same.
    h3.data(stream, b"hello")
    assert h3.get("/plaintext").status == 200


# ---- Time ---------------------------------------------------------------------------------------


def test_stream_arrives_as_it_is_made(h3):
    since = time.monotonic()
    stream = h3.ask(h3.basic(path="/stream?chunks=5&bytes=100&delay_ms=50"))
    r = h3.responses[stream]
    for i in range(5):
        h3.until(lambda _, i=i: len(r.body) >= 100 * (i + 1))
        # None before it is made; and the first one not when the last one is.
        assert time.monotonic() - since >= 0.05 * i - 0.01
        assert i or len(r.body) < 500
    assert len(h3.response(stream).body) == 500


def test_slow_blocks_nobody(h3):
    """Deferred answers hold no thread: far more of them than workers end together."""
    since = time.monotonic()
    streams = [h3.ask(h3.basic(path="/slow?ms=300")) for _ in range(scaled(90, 20))]
    assert h3.get("/plaintext").status == 200
    assert time.monotonic() - since < 0.3 + SLACK_S
    assert all(h3.response(s).status == 200 for s in streams)
    assert 0.29 <= time.monotonic() - since <= 0.3 + SLACK_S


# ---- Clients that give up, or send on --------------------------------------------------------------

STAGES = [("GET", "/slow?ms=5000", b"", True), ("POST", "/upload", b"x", False), ("GET", "/files/big.bin", b"", True),
          ("GET", "/stream?chunks=1000&bytes=10000&delay_ms=1", b"", True), ("POST", "/echo", b"x" * 5000, False)]


def test_requests_that_break_off(showcase, h3):
    """A body that ends without its end is never taken for whole; the server and the connection are in order."""
    for method, path, body, whole in STAGES:
        stream = h3.ask(h3.basic(method, path), end=whole)
        if body:
            h3.data(stream, body, end=False)
        # Streams are taken in the order in which they begin.
        assert h3.get("/plaintext").status == 200
        h3.reset(stream)
        r = h3.response(stream)
        assert not r.ended or path == "/files/big.bin", r
    with showcase.connect() as w:
        assert eventually(lambda: metric(w, "tako_requests_active") == 1)  # noqa: F405


@pytest.mark.parametrize("method,path,fields,status", [
    ("POST", "/no/such", [], 404), ("PUT", "/upload", [], 405), ("POST", "/upload", [("expect", "x")], 417)])
def test_answer_arrives_though_the_client_sends_on(h3, method, path, fields, status):
    stream = begin(h3, method, path, ("content-length", "900000"), *fields)
    h3.data(stream, b"x" * 900000)
    r = h3.response(stream)
    assert r.ended and r.status == status
    assert h3.get("/plaintext").status == 200

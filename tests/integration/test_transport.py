# SPDX-License-Identifier: MIT
"""A transport that is not tako's own, written on <tako/sys/transport.h>: test_exchange.py once more over it
(tests/programs/framed.h), what only such a transport can do, and SCGI as nginx speaks it (examples/scgi.c)."""
import os
import socket
import subprocess
import time

import pytest

import servers
import test_exchange
from framedwire import Framed, FramedWire
from test_exchange import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import
from test_exchange import counters, delta
from wire import eventually, once, request, scaled


@pytest.fixture(scope="module")
def server(content):
    port = servers.free_port()
    with servers.launch("exchange", str(content), f"127.0.0.1:{port}", tls=False) as s:
        s.framed = ("127.0.0.1", port)
        yield s


@pytest.fixture(autouse=True)
def over_frames(monkeypatch):
    monkeypatch.setattr("servers.Server.connect", lambda self, **kw: FramedWire(self.framed, **kw))
    monkeypatch.setattr(test_exchange, "Wire", FramedWire)


@pytest.fixture
def w(server):
    with FramedWire(server.framed) as c:
        yield c


@pytest.fixture
def f(server):
    with Framed(server.framed) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_no_inform_for_http10
del test_trailers_are_dropped_where_none_can_be
del test_peer_that_left_before_the_answer
del test_peer_that_closes_in_order
del test_fewer_bytes_than_announced_cut_the_connection
del test_error_after_the_head_cuts_the_response
del test_file_shorter_than_announced_cuts_the_connection
del test_client_that_leaves_within_a_file
del test_client_that_leaves_within_a_stream
del test_continue_comes_when_the_body_is_asked_for
del test_body_too_large_asked_for_later
del test_answer_before_the_body_has_ended
del test_malformed_multipart
del test_trailers


# ---- What only such a transport can do -------------------------------------------------------------------------


def test_side_by_side(f):
    """A slow one holds up nobody, and each is over once."""
    f.begin(1, "GET", "/thread?ms=150")
    f.begin(2, "GET", "/hello")
    f.begin(3, "GET", "/file?bytes=4194304")
    assert f.response(2).body == b"hello\n"
    assert len(f.response(3).body) == 4194304
    assert 1 not in f.over
    assert f.response(1).body == b"from a thread\n"


def test_numbers_are_used_again(f):
    for i in range(scaled(600)):
        assert f.get(i % 3).body == b"hello\n"


@pytest.mark.parametrize("method,target,fields", [
    ("GET", "hello", ()), ("GET", "", ()), ("GET", "*", ()), ("", "/hello", ()),
    ("G T", "/hello", ()), ("GET", "/hello\x01", ()), ("GET", "/hello", [("a b", "c")]), ("GET", "/hello", [("", "c")]),
    ("GET", "/hello", [(":path", "/other")]), ("GET", "/hello", [("a", "b\r\nc: d")]), ("GET", "/hello", [("a", " b")]),
    ("GET", "/hello", [("connection", "close")]), ("GET", "/hello", [("transfer-encoding", "chunked")]),
    ("GET", "/hello", [("host", "other")]), ("GET", "/hello", [("content-length", "7")]),
    ("GET", "/hello", [("content-length", "x")]), ("GET", "/hello", [("content-length", "0"), ("content-length", "0")])])
def test_malformed_heads(f, method, target, fields):
    """RFC 9113 section 8; there is no exchange then, and the transport goes on as it likes."""
    f.begin(9, method, target, *fields)
    r = f.get(1)
    assert r.status == 200 and f.over == {1} and f.refused == {9: "EPROTO"}


def test_names_in_any_case(f):
    assert f.get(1, "/cookies", ("COOKIE", "a=1; b=2")).status == 200


def test_too_large_a_head_is_answered(f):
    assert f.get(1, "/" + "x" * 20000).status == 414
    assert f.get(2, "/hello", *[(f"n{i}", "v") for i in range(150)]).status == 431


def test_too_many_trailers(f):
    """The content ends without them, and who brought them is told."""
    for number, count in (1, 90), (2, 150):
        f.begin(number, "POST", "/request-trailer", length="-")
        f.data(number, b"hello")
        f.trailers(number, ("x-sum", "42"), *(("x-more", "1") for _ in range(count)))
        r = f.response(number)
        assert r.status == 200 and (b"42" in r.body) == (count < 100)
    assert f.refused == {2: "ETOOBIG"}


def test_a_bad_path_is_answered(f):
    """It is the handlers' client who sent it; nothing follows what the next parser may read otherwise."""
    assert f.get(1, "/a b").status == 400
    assert f.get(2, "/%00").status == 400
    assert not f.until(lambda: False)


def test_half_closed(f):
    """Who has said all is answered all the same; then both sides have ended."""
    f.begin(1, "GET", "/thread?ms=100")
    f.w.sock.shutdown(socket.SHUT_WR)
    assert f.response(1).body == b"from a thread\n"
    assert not f.until(lambda: False)


@pytest.mark.parametrize("length,parts", [("5", [b"123456"]), ("5", [b"123", b"456"]), ("5", [b"1234", None]),
                                          ("0", [b"1"])])
def test_lying_lengths(server, length, parts):
    with Framed(server.framed) as f:
        if length == "0":
            f.begin(1, "GET", "/thread?ms=150")
        else:
            f.begin(1, "POST", "/late-body?ms=0", length=length)
        for p in parts:
            f.data(1, p or b"", p is None)
        assert f.until(lambda: 1 in f.refused)
        assert f.refused[1] in ("EPROTO", "ESTATE")
        assert f.until(lambda: 1 in f.over)


def test_cancel(server, f):
    """Its handler is told, and what it answers goes nowhere."""
    before = counters(server)
    f.begin(1, "GET", "/thread?ms=100")
    f.cancel(1)
    f.begin(2, "GET", "/hello")
    assert f.response(2).status == 200
    assert f.until(lambda: 1 in f.over) and 1 not in f.responses
    eventually(lambda: "ended_badly" in delta(server, before))


def test_cancel_within_a_file(server, f):
    f.begin(1, "GET", "/file?bytes=4194304")
    assert f.until(lambda: 1 in f.responses and len(f.responses[1].body) > 0)
    f.cancel(1)
    assert f.until(lambda: 1 in f.over)
    assert f.get(2).body == b"hello\n"


@pytest.mark.parametrize("path", ["/announced?bytes=4", "/cut", "/file?from=4194300&bytes=100"])
def test_incomplete_is_told(f, path):
    """stop(), and never end(); the connection lives."""
    f.begin(1, "GET", path)
    assert f.until(lambda: 1 in f.over)
    assert 1 in f.stopped and not f.responses[1].ended
    assert f.get(2).body == b"hello\n"


def test_a_peer_that_reads_slowly(server):
    """What it does not read waits where its sender knows of it, and comes whole."""
    with Framed(server.framed, rcvbuf=4096) as f:
        f.begin(1, "GET", "/file?bytes=4194304")
        f.begin(2, "GET", "/ref")
        time.sleep(0.1)
        assert f.response(1).body == bytes(range(256)) * 16384
        assert f.response(2).body == b"static bytes\n"


def test_a_peer_that_goes(server):
    """With three in hand; nothing of them is left, and each is over: else the program would not end."""
    before = counters(server)
    for path in ("/file?bytes=4194304", "/thread?ms=60", "/thread?ms=30&parts=200"):
        with Framed(server.framed, rcvbuf=4096) as f:
            f.begin(1, "GET", path)
            f.begin(2, "POST", "/paused", length="70000")
            f.data(2, b"x" * 20000)
            f.begin(3, "GET", "/hello")
            assert f.until(lambda: 3 in f.responses)
            f.w.reset()
    eventually(lambda: delta(server, before).get("ended_badly", 0) >= 3)


@pytest.mark.parametrize("method,length", [("GET", "0"), ("POST", "100")])
def test_a_timeout_before_the_answer(server, method, length):
    """Answered without its handler, which has it still; who has not said all is not heard any more."""
    before = counters(server)
    with Framed(server.framed) as f:
        f.begin(1, method, "/limited/thread?ms=200", length=length)
        assert f.response(1).status == 503
        if method == "GET":
            assert f.get(1).body == b"hello\n"
        else:
            assert not f.until(lambda: False)
    eventually(lambda: sum(delta(server, before).values()) >= 1)
    time.sleep(0.25)
    with Framed(server.framed) as f:
        assert f.get(1).body == b"hello\n"


def test_drain(content):
    """One that is being answered is answered; then the connection ends."""
    port = servers.free_port()
    with servers.launch("exchange", str(content), f"127.0.0.1:{port}", tls=False) as s:
        with Framed(("127.0.0.1", port)) as f, Framed(("127.0.0.1", port)) as idle:
            assert idle.get(1).status == 200
            f.begin(1, "GET", "/thread?ms=300")
            f.begin(2, "GET", "/hello")
            assert f.response(2).status == 200
            s.signal()
            assert not idle.until(lambda: False)
            assert f.response(1).body == b"from a thread\n"
            assert not f.until(lambda: False)


# ---- SCGI ---------------------------------------------------------------------------------------------------------


def netstring(**variables):
    text = b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in variables.items())
    return b"%d:%s," % (len(text), text)


def scgi(addr, data):
    with socket.create_connection(addr, 10) as s:
        s.sendall(data)
        got = b""
        while True:
            try:
                more = s.recv(65536)
            except ConnectionError:
                return got
            if not more:
                return got
            got += more


@pytest.fixture(scope="module")
def app():
    http, own = servers.free_port(), servers.free_port()
    argv = [servers.program("examples/scgi"), f"127.0.0.1:{http}", f"127.0.0.1:{own}"]
    with servers.Server(argv, ("127.0.0.1", http)) as s:
        s.scgi = ("127.0.0.1", own)
        yield s


def test_scgi(app):
    """The same handlers by both."""
    assert once(app.addr, request("GET", "/hello/you")).body == b"hello, you\n"
    head, _, body = scgi(app.scgi, netstring(CONTENT_LENGTH="0", SCGI="1", REQUEST_METHOD="GET", REQUEST_URI="/hello/you",
                                             HTTP_HOST="a.example")).partition(b"\r\n\r\n")
    assert head.startswith(b"Status: 200 OK\r\n") and b"Content-Length: 11\r\n" in head and body == b"hello, you\n"


@pytest.mark.parametrize("data", [b"x", b"12", b"1234567", b"99999:", b"18446744073709551615:", b"3:abc;", b"0:,", b"4:ab\0c,",
                                  netstring(CONTENT_LENGTH="0", REQUEST_METHOD="G T", REQUEST_URI="/")])
def test_scgi_malformed(app, data):
    with socket.create_connection(app.scgi, 10) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            assert s.recv(100) == b""
        except OSError:
            pass  # reset already
    assert once(app.addr, request("GET", "/hello/you")).status == 200


def test_scgi_behind_nginx(app, tmp_path):
    port = servers.free_port()
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"""
daemon off;
master_process off;
pid {tmp_path}/pid;
error_log {tmp_path}/log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/p; fastcgi_temp_path {tmp_path}/f;
  uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
  server {{ listen 127.0.0.1:{port}; location / {{
    include /etc/nginx/scgi_params; scgi_pass 127.0.0.1:{app.scgi[1]}; client_max_body_size 8m; }} }}
}}
""")
    p = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", str(conf)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": "/usr/sbin:/usr/bin"})
    try:
        def up():
            assert p.poll() is None
            with socket.socket() as c:
                return c.connect_ex(("127.0.0.1", port)) == 0
        eventually(up)
        there = ("127.0.0.1", port)
        assert once(there, request("GET", "/hello/nginx")).body == b"hello, nginx\n"
        assert once(there, request("GET", "/nowhere")).status == 404
        big = b"shout " * 100000
        r = once(there, request("POST", "/shout", f"Content-Length: {len(big)}") + big)
        assert r.status == 200 and r.body == big.upper()
        assert once(there, request("HEAD", "/hello/nginx"), method="HEAD").status == 200
    finally:
        p.terminate()
        p.wait()

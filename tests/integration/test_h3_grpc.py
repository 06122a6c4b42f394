# SPDX-License-Identifier: MIT
"""gRPC over HTTP/3, on the runtime's own sockets: no gRPC library speaks it yet, so its frames are written here.  What
the calls of tests/programs/grpc.c mean is said in test_grpc.py; all kinds of calls, in memory, are in h3_grpc_test.c."""
import struct

import pytest

import servers
from h3wire import H3, listening  # noqa: F401 pylint: disable=unused-import
from wire import Wire, eventually

S = "/tako.test.Interop/"


@pytest.fixture(scope="module")
def server(listening):  # noqa: F811 pylint: disable=redefined-outer-name
    with servers.launch("grpc") as s:
        yield s


@pytest.fixture
def client(server):
    with H3(server.addr) as c:
        yield c


def frame(message):
    return struct.pack(">BI", 0, len(message)) + message


def sizes(body):
    """Of the messages, which must be whole."""
    found, at = [], 0
    while at < len(body):
        squeezed, n = struct.unpack_from(">BI", body, at)
        assert not squeezed and at + 5 + n <= len(body)
        found.append(n)
        at += 5 + n
    return found


def begin(client, method, *fields):
    return client.ask(client.basic("POST", S + method) + [("content-type", "application/grpc"), ("te", "trailers"), *fields],
                      end=False)


def call(client, method, *messages, fields=()):
    stream = begin(client, method, *fields)
    client.data(stream, b"".join(map(frame, messages)))
    r = client.response(stream)
    assert r.ended and r.reset is None and r.get("content-type") == "application/grpc"
    # Where there is no message, all is in one head.
    return r, dict(r.trailers or r.fields)


def test_unary(client):
    r, end = call(client, "Unary", b"n=314159\0" + bytes(271828),
                  fields=[("x-grpc-test-echo-initial", "hi"), ("x-grpc-test-echo-trailing-bin", "q6ur")])
    assert r.status == 200 and sizes(r.body) == [314159] and end["grpc-status"] == "0"
    assert r.get("x-grpc-test-echo-initial") == "hi" and end["x-grpc-test-echo-trailing-bin"].rstrip("=") == "q6ur"


def test_streams(client):
    r, end = call(client, "Duplex", *(b"n=%d" % n for n in (31415, 9, 0, 58979)))
    assert sizes(r.body) == [31415, 9, 0, 58979] and end["grpc-status"] == "0"
    assert call(client, "Duplex")[1]["grpc-status"] == "0"


def test_ping_pong(client):
    stream, got = begin(client, "Duplex"), 0
    r = client.responses[stream]
    for n in (31415, 9, 2653):
        client.data(stream, frame(b"n=%d" % n), end=False)
        got += 5 + n
        while len(r.body) < got:
            assert client.next() is not None
        assert len(r.body) == got
    client.data(stream, b"")
    assert client.response(stream).ended and dict(r.trailers)["grpc-status"] == "0"


def test_errors(client):
    end = call(client, "Unary", b"code=2;message=caf\xc3\xa9")[1]
    assert (end["grpc-status"], end["grpc-message"]) == ("2", "caf%C3%A9")
    assert call(client, "Nothing", b"")[1]["grpc-status"] == "12"
    assert call(client, "Hang", b"", fields=[("grpc-timeout", "50m")])[1]["grpc-status"] == "4"


def test_cancelled(server, client):
    stream = begin(client, "Hang")
    client.data(stream, frame(b""), end=False)
    assert call(client, "Unary", b"n=1")[1]["grpc-status"] == "0"
    client.reset(stream)

    def said():
        with Wire(server.addr) as w:
            return w.get("/said", "Connection: close").body.decode()
    assert eventually(lambda: "CANCELLED" in said())

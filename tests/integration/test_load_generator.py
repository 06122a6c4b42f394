# SPDX-License-Identifier: MIT
"""The benchmark's generator must count only what was answered rightly: each server here is wrong in
one way, and the figures must say so."""
import contextlib
import json
import os
import socket
import subprocess
import threading

import pytest

from servers import free_port
from wire import PATIENCE

LOAD = os.path.join(os.environ.get("TAKO_BUILD", "build"), "bench/load")
CEILING = os.path.join(os.environ.get("TAKO_BUILD", "build"), "bench/ceiling_epoll")
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

pytestmark = pytest.mark.skipif(not os.access(LOAD, os.X_OK),
                                reason="the benchmark's programs are built in the plain build only")


def bound():
    """A socket on a free port."""
    while True:
        s = socket.socket()
        try:
            port = free_port()
            s.bind(("127.0.0.1", port))
            return s, port
        except OSError:
            s.close()


class Fake:
    """Answers the first `good` requests of each connection well and the next ones with `then`."""

    def __init__(self, good, then, hang_up=True, pieces=0):
        self.good = good
        self.then = then
        self.hang_up = hang_up
        self.pieces = pieces
        self.listener, self.port = bound()
        self.listener.listen(128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        answered = 0
        waiting = b""
        with conn:
            while True:
                try:
                    data = conn.recv(65536)
                except OSError:
                    return
                if not data:
                    return
                waiting += data
                for _ in range(waiting.count(b"\r\n\r\n")):
                    try:
                        self.answer(conn, GOOD if answered < self.good else self.then)
                    except OSError:
                        return
                    if answered >= self.good and self.hang_up:
                        return
                    answered += 1
                waiting = waiting.rpartition(b"\r\n\r\n")[2]

    def answer(self, conn, data):
        step = self.pieces or len(data) or 1
        for at in range(0, len(data), step):
            conn.sendall(data[at:at + step])

    def close(self):
        self.listener.close()


def load(port, *args):
    done = subprocess.run([LOAD, "--port", str(port), "--connections", "1", *args],
                          capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("then, counter", [
    (b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhello", "status_errors"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "eof_errors"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", "eof_errors"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "protocol_errors"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n\r\n", "protocol_errors"),
    (b"", "eof_errors"),
])
def test_a_wrong_answer_is_an_error_and_not_a_request(then, counter):
    server = Fake(3, then)
    # One request proves the connection, two are counted, the third fails; the reconnection, which
    # is good three times again, answers the rest.
    code, result = load(server.port, "--requests", "5")
    server.close()
    assert result[counter] == 1
    assert result["errors"] == 1
    assert result["requests"] == 4
    assert code == 1


def test_good_answers_in_single_bytes_are_all_counted():
    server = Fake(1000, b"", pieces=1)
    code, result = load(server.port, "--requests", "50", "--depth", "4")
    server.close()
    assert (code, result["requests"], result["errors"]) == (0, 50, 0)
    assert result["bytes"] == 50 * len(GOOD)


@pytest.mark.parametrize("head, size", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 9),
    (b"HTTP/1.1 200 OK\r\nX-More: 1\r\nContent-Length: 70000\r\n\r\n", 70000),
])
def test_another_answer_is_not_mistaken_for_the_one_before(head, size):
    other = head + b"x" * size
    server = Fake(2, other, hang_up=False)
    code, result = load(server.port, "--requests", "10")
    server.close()
    assert (code, result["requests"], result["errors"]) == (0, 10, 0)
    assert result["bytes"] == len(GOOD) + 9 * len(other)


def test_a_silent_server_is_a_stall():
    server = Fake(2, b"", hang_up=False)
    code, result = load(server.port, "--requests", "10")
    server.close()
    assert (code, result["requests"], result["stalled"]) == (1, 1, 1)


def test_nobody_listening_ends_with_errors():
    s, port = bound()
    with s:
        code, result = load(port, "--requests", "10")
    assert code == 1 and result["errors"] > 0 and result["requests"] == 0


@contextlib.contextmanager
def ceiling(*mode):
    s, port = bound()
    s.close()
    with subprocess.Popen([CEILING, "--port", str(port), *mode], stdout=subprocess.PIPE,
                          text=True) as child:
        try:
            assert int(child.stdout.readline()) == port
            yield port
        finally:
            child.terminate()
    assert child.returncode == 0


@pytest.mark.parametrize("mode, args", [
    (["keepalive"], ["--connections", "8", "--depth", "16"]),
    (["keepalive"], ["--connections", "8", "--head", "browser"]),
    (["close"], ["--mode", "close", "--connections", "8"]),
    (["close-fin"], ["--mode", "close", "--connections", "8"]),
    (["post", "65536"], ["--connections", "4", "--post", "65536"]),
    (["file", __file__], ["--connections", "4"]),
])
def test_the_ceiling_answers_every_workload(mode, args):
    with ceiling(*mode) as port:
        code, result = load(port, "--requests", "500", *args)
    assert (code, result["requests"], result["errors"]) == (0, 500, 0)


def test_the_ceiling_counts_requests_that_come_in_pieces():
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    stream = request * 6
    with ceiling("keepalive") as port, socket.create_connection(("127.0.0.1", port), 5) as conn:
        conn.sendall(request)
        answer = conn.recv(4096)
        cuts = [40, 41, 100, len(stream) - 1, len(stream)]
        got = b""
        for start, end in zip([0] + cuts, cuts):
            conn.sendall(stream[start:end])
            while len(got) < end // len(request) * len(answer):
                got += conn.recv(4096)
    assert got == answer * 6


@pytest.mark.parametrize("words", [("--seconds", "1x"), ("--seconds", "0"), ("--seconds", ""), ("--connections", "x"),
                                   ("--cpu", "100000"), ("--requests", "-")])
@pytest.mark.parametrize("name", ["load", "load_echo", "load_ws"])
def test_what_makes_no_sense_is_refused(name, words):
    """Nobody listens there: it is said before anything is tried."""
    r = subprocess.run([os.path.join(os.path.dirname(LOAD), name), "--port", "1", "--requests", "1", *words],
                       capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
    assert r.returncode == 2 and r.stderr.startswith(f"usage: {name} "), r.stderr

# SPDX-License-Identifier: MIT
"""How servers start and end: signals under load, draining, restarts, and hosts that embed them."""
import os
import re
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

import servers
from servers import EXIT_CUT, in_whole_pieces, knobs, program, stats
from wire import PATIENCE, Wire, eventually, on_time, once, readable, request, scaled

MODES = ["run", "start", "step"]
PROMPT_S = 3.0 * PATIENCE


# ---- SIGTERM under load -----------------------------------------------------------


class Load(threading.Thread):
    """A client that asks until the server says that it ends.

    It counts whole answers.  The only ends it takes for right: an answer that says "close", a
    connection closed in order while idle, and a refused one.
    """

    def __init__(self, addr, path, depth):
        super().__init__()
        self.addr, self.path, self.depth = addr, path, depth
        self.answers = 0
        self.wrong = None

    def run(self):
        try:
            while self.connection():
                pass
        except Exception as e:  # pylint: disable=broad-except
            self.wrong = repr(e)

    def connection(self):
        """One connection's life; False once the server is gone."""
        try:
            w = Wire(self.addr)
        except ConnectionRefusedError:
            return False
        except ConnectionResetError:
            return True  # the listener went while we were about to connect
        with w:
            while True:
                try:
                    w.send(request("GET", self.path) * self.depth)
                    for _ in range(self.depth):
                        if not w.buf and not self.more(w):
                            return True
                        r = w.response()
                        assert r.status == 200, r
                        self.answers += 1
                        if r.closes:
                            return True
                except (BrokenPipeError, ConnectionResetError):
                    # Closed while idle, and our request crossed with that: nothing of it was read.
                    assert not w.buf, "reset within an answer"
                    return True

    @staticmethod
    def more(w):
        w.buf = w.sock.recv(65536)
        return bool(w.buf)


@pytest.mark.parametrize("mode", MODES)
def test_sigterm_under_load_loses_no_request(mode):
    """Every request that reached a handler was answered in full, and every answer arrived."""
    with knobs(mode=mode, worker_count=1 if mode == "step" else 2, ready_path="/stats") as s:
        loads = [Load(s.addr, path, depth) for path, depth in
                 [("/hello", 1)] * 3 + [("/hello", 8)] * 2 + [("/slow?ms=20", 1)] * 3 + [("/slow?ms=5", 4)]]
        for t in loads:
            t.start()
        until = time.monotonic() + 0.4
        eventually(lambda: time.monotonic() > until and all(t.answers for t in loads))
        s.signal()
        assert s.wait() == 0
        for t in loads:
            t.join(10 * PATIENCE)
            assert not t.is_alive()
        assert [t.wrong for t in loads if t.wrong] == []
        assert int(s.said("handled")) == sum(t.answers for t in loads)


@pytest.mark.parametrize("mode", MODES)
def test_connections_not_yet_accepted_are_answered(mode):
    """For their clients they are connected: they are served before the listener goes."""
    with knobs(mode=mode, ready_path="/stats") as s:
        os.kill(s.pid, signal.SIGSTOP)
        try:
            ws = [s.connect() for _ in range(20)]
            for w in ws:
                w.send(request("GET", "/hello"))
            s.signal()
        finally:
            os.kill(s.pid, signal.SIGCONT)
        for w in ws:
            r = w.response()
            assert r.status == 200
            w.assert_closed()
            w.close()
        assert s.wait() == 0


# ---- Draining -----------------------------------------------------------------------


def assert_refused(addr):
    with pytest.raises(ConnectionRefusedError):
        Wire(addr).close()


@pytest.mark.parametrize("mode", MODES)
def test_drain(mode):
    """Idle ones end at once, busy ones finish and say so, new ones are refused."""
    with knobs(mode=mode, drain_timeout_ms=20000) as s:
        with s.connect() as idle, s.connect() as fresh, s.connect() as busy, s.connect() as piped:
            assert idle.get("/hello").status == 200
            busy.send(request("GET", "/slow?ms=1200"))
            piped.send(request("GET", "/slow?ms=1000") + request("GET", "/hello"))
            eventually(lambda: stats(s)["active"] == 3)
            since = time.monotonic()
            s.signal()
            idle.assert_closed(PROMPT_S)
            fresh.assert_closed(PROMPT_S)
            assert not readable(busy.sock, 0) and not readable(piped.sock, 0)
            eventually(lambda: refused(s.addr))
            r = busy.response()
            assert r.status == 200 and r.body == b"slow\n" and r.closes
            busy.assert_closed()
            # The second request was on its way before the end was announced: answered or not,
            # but never half.
            r = piped.response()
            assert r.status == 200
            if not r.closes:
                assert piped.response().closes
            piped.assert_closed()
            assert s.wait() == 0
            assert time.monotonic() - since < 1.2 + PROMPT_S


def refused(addr):
    try:
        Wire(addr).close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True


def test_drain_lingers():
    """Requests that cross with the last answer do not reset it."""
    def attempt(tick):
        with knobs() as s, s.connect() as w:
            w.send(request("GET", f"/slow?ms={400 * PATIENCE}"))
            eventually(lambda: stats(s)["active"] == 2)
            tick(first=True)
            s.signal()
            assert readable(w.sock, w.timeout)
            tick()
            for _ in range(5):
                w.send(request("GET", "/hello"))
                assert not w.quiet(0.01)
            tick()
            assert w.response().closes
            w.assert_closed()

    on_time(0.9, attempt)


def test_drain_lets_bodies_end():
    """Uploads and downloads in flight are busy."""
    with knobs() as s:
        with s.connect() as up, s.connect(rcvbuf=8192) as down, s.connect() as half:
            up.send(request("POST", "/sink", "Content-Length: 10") + b"12345")
            down.send(request("GET", "/big?bytes=20000000"))
            half.send(b"GET /hello HTTP/1.1\r\nHo")
            n = int(down.head().get("Content-Length"))
            eventually(lambda: stats(s)["active"] == 3)
            s.signal()
            eventually(lambda: refused(s.addr))
            up.send(b"67890")
            r = up.response()
            assert r.body == b"10\n" and r.closes
            up.assert_closed()
            assert len(down.exactly(n)) == n
            down.assert_closed()
            # A head that has begun is a request to come: it may be answered or dropped, not hung on.
            try:
                half.send(b"st: t\r\n\r\n")
                left = half.until_gone()
            except ConnectionError:
                left = b""
            assert left == b"" or left.startswith(b"HTTP/1.1 200 ")
        assert s.wait() == 0


@pytest.mark.parametrize("mode", MODES)
def test_hung_handler_is_cut_at_the_timeout(mode):
    with knobs(mode=mode, drain_timeout_ms=400) as s, s.connect() as hung:
        hung.send(request("GET", "/hang"))
        eventually(lambda: stats(s)["active"] == 2)
        since = time.monotonic()
        s.signal()
        assert s.wait() == EXIT_CUT
        took = time.monotonic() - since
        assert 0.38 <= took <= 0.4 + PROMPT_S, took
        assert b"200" not in hung.until_gone()
        assert s.said("stopped") == "ETIMEDOUT"
        assert s.said("because") == "drain: 1 connection was cut off"
        s.assert_clean(EXIT_CUT)


def test_reader_that_does_not_read_is_cut_at_the_timeout():
    with knobs(drain_timeout_ms=300) as s, s.connect(rcvbuf=4096) as w:
        w.send(request("GET", "/flood?bytes=100000000"))
        w.exactly(100)
        s.signal()
        assert s.wait() == EXIT_CUT
        s.assert_clean(EXIT_CUT)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("drain", ["30000", "off"])
def test_second_signal_cuts_at_once(mode, drain):
    with knobs(mode=mode, drain_timeout_ms=drain) as s, s.connect() as hung, s.connect() as idle:
        assert idle.get("/hello").status == 200
        hung.send(request("GET", "/hang"))
        eventually(lambda: stats(s)["active"] == 2)
        s.signal()
        idle.assert_closed(PROMPT_S)
        assert s.proc.poll() is None
        since = time.monotonic()
        s.signal()
        assert s.wait() == EXIT_CUT
        assert time.monotonic() - since < PROMPT_S
        s.assert_clean(EXIT_CUT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_ends_at_once(number):
    with knobs() as s:
        since = time.monotonic()
        s.signal(number)
        assert s.wait() == 0
        assert time.monotonic() - since < PROMPT_S


def test_drain_of_many_idle_connections_is_quick():
    with knobs(worker_count=2) as s:
        ws = [s.connect() for _ in range(scaled(300, 20))]
        for w in ws:
            assert w.get("/hello").status == 200
        since = time.monotonic()
        s.signal()
        for w in ws:
            w.assert_closed()
            w.close()
        assert s.wait() == 0
        assert time.monotonic() - since < PROMPT_S


def test_work_on_the_pool_finishes():
    """A job that runs when the end is asked for still gets its answer out."""
    with knobs() as s, s.connect() as w:
        w.send(request("GET", "/offload?ms=500"))
        eventually(lambda: stats(s)["active"] == 2)
        s.signal()
        r = w.response()
        assert r.status == 200 and r.closes
        assert s.wait() == 0


# ---- Restarts --------------------------------------------------------------------------


def test_restart_on_the_same_port():
    """Neither TIME_WAIT nor a slow end of the one before stands in the way."""
    addr = ("127.0.0.1", servers.free_port())
    argv = [program("tests/programs/knobs"), f"listen={addr[0]}:{addr[1]}", "worker_count=2"]
    for i in range(scaled(20, 5)):
        with servers.Server(argv, addr, ready_path="/hello") as s:
            with s.connect() as held, s.connect() as closing:
                assert held.get("/hello").status == 200
                # The server closes first, so its side of the address stays behind in TIME_WAIT.
                assert closing.get("/hello", "Connection: close").status == 200
                closing.assert_closed()
                s.signal()
                assert s.wait() == 0, f"round {i}"


def test_two_servers_on_one_address_are_refused():
    """SO_REUSEPORT is for the workers of one server; a second process must not share by accident."""
    with knobs() as s:
        r = servers.run_refused([program("tests/programs/knobs"), f"listen={s.addr[0]}:{s.addr[1]}"])
        assert r.returncode == 2 and "ESYS" in r.stderr, r


def test_many_listeners():
    ports = [servers.free_port() for _ in range(4)]
    argv = [program("tests/programs/knobs"), "worker_count=2"] + [f"listen=127.0.0.1:{p}" for p in ports]
    with servers.Server(argv, ("127.0.0.1", ports[0]), ready_path="/hello") as s:
        for p in ports:
            assert once(("127.0.0.1", p), request("GET", "/hello")).status == 200
        assert re.findall(r"listening 127\.0\.0\.1:(\d+)", s.stdout) == [str(p) for p in ports]


def test_listening_on_every_address():
    port = servers.free_port()
    with servers.Server([program("tests/programs/knobs"), f"listen=:{port}"], ("127.0.0.1", port),
                        ready_path="/hello"):
        assert once(("127.0.0.1", port), request("GET", "/hello")).status == 200
        if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
            assert once(("::1", port), request("GET", "/hello")).status == 200


@pytest.mark.parametrize("shown,host", [("localhost", "127.0.0.1"), ("[::1]", "::1")])
def test_listening_by_name_and_on_ipv6(shown, host):
    if host == "::1" and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    port = servers.free_port(host)
    with servers.Server([program("tests/programs/knobs"), f"listen={shown}:{port}"], (host, port),
                        ready_path="/hello") as s:
        assert once((host, port), request("GET", "/hello")).status == 200
        assert s.said("listening").endswith(f":{port}")


# ---- Hosts -----------------------------------------------------------------------------------


class Host:
    """tests/programs/embed.c: commands in, one line of answer each."""

    def __init__(self, status=0):
        self.status = status
        self.proc = subprocess.Popen([program("tests/programs/embed")], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.buf = b""
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        try:
            if kind is None:
                _, err = self.proc.communicate(timeout=15 * PATIENCE)
                assert self.proc.returncode == self.status, err
                assert not servers.REPORT.search(err.decode()), err.decode()
        finally:
            if self.proc.poll() is None:
                self.proc.kill()
                self.proc.wait()

    def line(self, timeout=10 * PATIENCE):
        until = time.monotonic() + timeout
        while b"\n" not in self.buf:
            left = until - time.monotonic()
            assert left > 0 and select.select([self.proc.stdout], [], [], left)[0], "no line came"
            data = os.read(self.proc.stdout.fileno(), 4096)
            assert data, f"embed ended: {self.proc.stderr.read()}"
            self.buf += data
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode()

    def send(self, command):
        self.proc.stdin.write(command.encode() + b"\n")

    def answer(self):
        """The answer of a command; what threads report meanwhile is kept."""
        while True:
            line = self.line()
            if not line.startswith(("ran ", "hosted ")):
                return line
            self.events.append(line)

    def do(self, command, want="OK"):
        self.send(command)
        code, _, text = self.answer().partition(" ")
        assert code == want, f"{command}: {code} {text}"
        return text

    def event(self):
        return self.events.pop(0) if self.events else self.line()

    def addr(self, n=0, index=0):
        host, port = self.do(f"addr {n} {index}").rsplit(":", 1)
        return host.strip("[]"), int(port)


def ask(addr, path="/hello"):
    return once(addr, request("GET", path, "Connection: close"))


def test_a_hundred_servers_on_one_port():
    """One after the other in one process: when wait() returns the port is free, at once."""
    port = servers.free_port()
    with Host() as h:
        for i in range(100):
            h.do("new 0 worker_count=2")
            h.do(f"listen 0 127.0.0.1:{port}")
            h.do("start 0")
            assert ask(("127.0.0.1", port)).status == 200, f"round {i}"
            h.do("shutdown 0 1000")
            h.do("free 0")


def test_start_wait_shutdown():
    with Host() as h:
        h.do("new 0 worker_count=2")
        h.do("listen 0 127.0.0.1:0")
        h.do("start 0")
        addr = h.addr()
        assert ask(addr).body.decode().startswith("hello from 0 at 127.0.0.1:%d" % addr[1])
        assert re.match(r"runtime (\w+) accepted 1 requests 1$", h.do("stats 0"))[1] in servers.RUNTIMES
        h.do("shutdown 0 1000")
        assert_refused(addr)
        h.do("wait 0", "ESTATE")
        h.do("free 0")


def test_stop_then_wait():
    with Host() as h:
        h.do("new 0")
        h.do("listen 0 127.0.0.1:0")
        h.do("start 0")
        addr = h.addr()
        assert ask(addr).status == 200
        h.do("stop 0")
        h.do("wait 0")
        assert_refused(addr)
        h.do("free 0")


def test_shutdown_waits_for_what_is_in_flight():
    with Host() as h:
        h.do("new 0")
        h.do("listen 0 127.0.0.1:0")
        h.do("start 0")
        with Wire(h.addr()) as w:
            w.send(request("GET", "/slow?ms=400"))
            eventually(lambda: "requests 1" in h.do("stats 0"))
            since = time.monotonic()
            h.send("shutdown 0 10000")
            r = w.response()
            assert r.status == 200 and r.closes
            assert h.answer().startswith("OK")
            assert time.monotonic() - since < 0.4 + PROMPT_S


@pytest.mark.parametrize("ms", [0, 200])
def test_shutdown_cuts_at_its_own_timeout(ms):
    """The argument counts, not the config's drain time-out."""
    with Host() as h:
        h.do("new 0 drain_timeout_ms=30000")
        h.do("listen 0 127.0.0.1:0")
        h.do("start 0")
        with Wire(h.addr()) as w:
            w.send(request("GET", "/slow?ms=20000"))
            eventually(lambda: "requests 1" in h.do("stats 0"))
            since = time.monotonic()
            h.do(f"shutdown 0 {ms}", "ETIMEDOUT")
            took = time.monotonic() - since
            assert ms / 1000 - 0.02 <= took <= ms / 1000 + PROMPT_S
            assert b" 200 " not in w.until_gone()
        h.do("free 0")


def test_server_that_never_ran():
    with Host() as h:
        h.do("new 0")
        h.do("free 0")
        h.do("new 1")
        h.do("listen 1 127.0.0.1:0")
        addr = h.addr(1)
        h.do("free 1")
        assert_refused(addr)


def test_stop_before_run():
    """A signal may come before run() does: then run() ends at once."""
    with Host() as h:
        h.do("new 0")
        h.do("listen 0 127.0.0.1:0")
        h.do("stop 0")
        h.do("run 0")
        assert h.event() == "ran 0 OK"
        h.do("free 0")


def test_calls_in_the_wrong_state():
    with Host() as h:
        h.do("new 0")
        h.do("run 0")
        assert h.event() == "ran 0 ESTATE"  # nothing to listen on
        h.do("free 0")
        h.do("new 0")
        h.do("start 0", "ESTATE")
        h.do("wait 0", "ESTATE")
        h.do("shutdown 0 10", "ESTATE")
        h.do("step 0 0", "ESTATE")
        h.do("addr 0 0", "ENOENT")
        h.do("listen 0 127.0.0.1:0")
        h.do("addr 0 1", "ENOENT")
        h.do("start 0")
        h.do("start 0", "ESTATE")
        h.do("listen 0 127.0.0.1:0", "ESTATE")
        h.do("step 0 0", "ESTATE")
        h.do("shutdown 0 1000")
        h.do("free 0")


def test_run_on_a_thread_of_the_host():
    with Host() as h:
        h.do("new 0 worker_count=2")
        h.do("listen 0 127.0.0.1:0")
        h.do("listen 0 127.0.0.1:0")
        h.do("run 0")
        first, second = h.addr(0, 0), h.addr(0, 1)
        assert first != second
        assert ask(first).status == 200 and ask(second).status == 200
        h.do("stop 0")
        assert h.event() == "ran 0 OK"
        assert_refused(first)
        assert_refused(second)
        h.do("free 0")


def test_two_servers_in_one_process():
    with Host() as h:
        for n in (0, 1):
            h.do(f"new {n} worker_count=1")
            h.do(f"listen {n} 127.0.0.1:0")
            h.do(f"start {n}")
        a, b = h.addr(0), h.addr(1)
        for _ in range(10):
            assert ask(a).body.startswith(b"hello from 0 ")
            assert ask(b).body.startswith(b"hello from 1 ")
        h.do("shutdown 0 1000")
        assert_refused(a)
        assert ask(b).body.startswith(b"hello from 1 ")
        h.do("free 0")
        assert ask(b).status == 200
        h.do("shutdown 1 1000")
        h.do("free 1")


def test_signals_belong_to_one_server():
    with Host(status=-signal.SIGTERM) as h:
        h.do("new 0")
        h.do("new 1")
        h.do("signals 0")
        h.do("signals 1", "ESTATE")
        h.do("listen 0 127.0.0.1:0")
        h.do("run 0")
        addr = h.addr()
        eventually(lambda: not refused(addr))
        h.proc.send_signal(signal.SIGTERM)
        assert h.event() == "ran 0 OK"
        h.do("free 0")
        # Given back: another one may have them, and what they did before is restored.
        h.do("signals 1")
        h.do("free 1")
        h.proc.send_signal(signal.SIGTERM)


@in_whole_pieces
def test_poll_host():
    """A loop of the host's own: it serves, sleeps while idle, keeps timers, and ends."""
    with Host() as h:
        h.do("new 0")
        h.do("listen 0 127.0.0.1:0")
        h.do("host 0")
        addr = h.addr()
        with Wire(addr) as w:
            for _ in range(10):
                assert w.get("/hello").status == 200
            since = time.monotonic()
            assert w.get("/slow?ms=150").status == 200
            assert 0.14 <= time.monotonic() - since <= 0.15 + PROMPT_S
            w.send(request("GET", "/slow?ms=300"))
            eventually(lambda: "requests 12" in h.do("stats 0"))
            h.do("stop 0")
            assert w.response().closes
            w.assert_closed()
        word, name, code, turns = h.event().split()
        assert (word, name, code) == ("hosted", "0", "OK")
        assert int(turns) < 200, "the descriptor is readable without work"
        h.do("free 0")


def test_poll_host_takes_one_worker_only():
    with Host() as h:
        h.do("new 0 worker_count=2")
        h.do("listen 0 127.0.0.1:0")
        h.do("host 0")
        assert h.event().startswith("hosted 0 EINVAL")
        h.do("free 0")


def test_two_poll_hosts():
    with Host() as h:
        for n in (0, 1):
            h.do(f"new {n} worker_count=1")
            h.do(f"listen {n} 127.0.0.1:0")
            h.do(f"host {n}")
        a, b = h.addr(0), h.addr(1)
        for _ in range(5):
            assert ask(a).body.startswith(b"hello from 0 ")
            assert ask(b).body.startswith(b"hello from 1 ")
        h.do("stop 1")
        assert h.event().startswith("hosted 1 OK")
        assert ask(a).status == 200
        h.do("stop 0")
        assert h.event().startswith("hosted 0 OK")

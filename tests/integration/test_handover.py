# SPDX-License-Identifier: MIT
"""A server that is restarted loses nothing: the example under load, restarts that fail, storms of signals, the file
of a Unix socket, and datagrams, on every runtime there is."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

import servers
from h3wire import H3, NO_ERROR
from servers import SAN, Server, free_port, program
from test_proxy import facts
from wire import TIMEOUT_S, Wire, eventually, once, request, scaled

RESTARTS = scaled(50, least=5) if SAN else 50
CONNECTIONS = 16
each_runtime = pytest.mark.parametrize("runtime", servers.runtimes())
PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def reaper():
    """Processes whose parent has gone are ours to wait for: each must have ended well."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


class Line:
    """The example and those that come after it."""

    def __init__(self, listen, addr, *args, **env):
        self.begin(Server([program("examples/restart"), listen, *args], addr, ready_path="/", env=env))

    def begin(self, first):
        self.first = first
        self.addr = first.addr
        self.pids = [first.pid]

    def __enter__(self):
        return self

    def __exit__(self, kind, exc, trace):
        last = self.pids[-1]
        try:
            os.kill(last, signal.SIGTERM)
            if last != self.first.pid:
                self.wait(last)
        finally:
            for pid in self.pids[1:]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if kind is None:
            self.first.wait()
            self.first.assert_clean()
        else:
            self.first.kill()

    def serving(self):
        """Who answers a new connection."""
        return int(once(self.addr, request("GET", "/", "Connection: close")).body.split()[1])

    def hang_up(self):
        os.kill(self.pids[-1], signal.SIGHUP)

    def restart(self):
        """The next one, when nobody else answers any more."""
        self.hang_up()
        return self.follow()

    def follow(self):
        old = self.pids[-1]
        pid = eventually(lambda: next((p for p in [self.serving()] if p != old), None))
        self.pids.append(pid)
        self.wait(old)
        return pid

    def wait(self, pid):
        """It ends by itself, and well."""
        if pid == self.first.pid:
            assert self.first.wait() == 0, self.first.stderr
            return
        done, status = eventually(lambda: next((r for r in [os.waitpid(pid, os.WNOHANG)] if r[0]), None))
        self.pids = [p for p in self.pids if p != pid]
        assert done == pid and status == 0, (status, self.first.stderr)


def wrk(addr, seconds):
    return subprocess.Popen(["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s",
                             f"http://{addr[0]}:{addr[1]}/"], stdout=subprocess.PIPE, text=True)


@each_runtime
def test_under_load(runtime):
    """Not one request of wrk's fails, whose connections are all kept alive."""
    port = free_port()
    with Line(f"127.0.0.1:{port}", ("127.0.0.1", port), TAKO_RUNTIME=runtime) as line:
        load = wrk(line.addr, 600)
        try:
            for _ in range(RESTARTS):
                line.restart()
        finally:
            load.send_signal(signal.SIGINT)
            out = load.communicate()[0]
        # It says so only if there were any.
        assert "Socket errors" not in out and "Non-2xx" not in out, out
        assert int(re.search(r"(\d+) requests in", out).group(1)) > RESTARTS, out


@each_runtime
def test_idle_connections(runtime):
    """Who is about to send is answered by whom he is connected to, who then says goodbye; so is who had connected
    only."""
    port = free_port()
    with Line(f"127.0.0.1:{port}", ("127.0.0.1", port), TAKO_RUNTIME=runtime) as line:
        with Wire(line.addr) as idle, Wire(line.addr) as silent:
            first = idle.get("/").body
            line.hang_up()
            eventually(lambda: line.serving() != line.first.pid)

            def is_last(w):
                """Not before the old process has heard that the new one serves."""
                r = w.get("/")
                assert (r.status, r.body) == (200, first)
                return r.closes
            for w in (idle, silent):
                eventually(lambda w=w: is_last(w))
                w.assert_closed()
        line.follow()


@each_runtime
def test_h3_goes_on_in_the_new_process(runtime):
    """The UDP sockets are handed over as well: whose connections the old process has hear that they are over, and
    whoever comes then is the new one's, from the first packet on."""
    addr = ("127.0.0.1", free_port())
    with Line("%s:%d" % addr, addr, *servers.shared_certificate(), TAKO_RUNTIME=runtime) as line:
        for _ in range(3):
            old = line.pids[-1]
            with H3(addr) as idle, H3(addr) as busy:
                assert idle.get("/").body == busy.get("/").body == b"process %d\n" % old
                new = line.restart()
                for h in (idle, busy):
                    assert h.until(lambda kind: kind == "x") == "x" and f"{NO_ERROR:#x}" in h.end, h.end
            for _ in range(4):
                with H3(addr) as h:
                    assert h.get("/").body == b"process %d\n" % new


@each_runtime
def test_who_says_nothing_is_not_waited_for(runtime):
    port = free_port()
    with Line(f"127.0.0.1:{port}", ("127.0.0.1", port), TAKO_RUNTIME=runtime) as line:
        with Wire(line.addr) as idle:
            idle.get("/")
            line.restart()
            idle.assert_closed()


@each_runtime
def test_unix_socket(runtime, tmp_path):
    """Its file is the same one throughout, and goes with the last server."""
    path = str(tmp_path / "s")
    with Line(f"unix:{path}", ("unix", path), TAKO_RUNTIME=runtime) as line:
        inode = os.stat(path).st_ino
        for _ in range(3):
            line.restart()
            assert os.stat(path).st_ino == inode
    assert not os.path.exists(path)


class Datagrams:
    """Where tests/programs/udp listens, and a load for it."""

    def __init__(self):
        self.addr = ("127.0.0.1", free_port())
        self.http = ("127.0.0.1", free_port())

    def start(self, *args, runtime):
        return Server([program("tests/programs/udp"), "listen=%s:%d" % self.addr, "http=%s:%d" % self.http,
                       "worker_count=2", *args], self.http, ready_path="/stats", env={"TAKO_RUNTIME": runtime})

    @contextlib.contextmanager
    def load(self):
        """Meanwhile, and from before. Each that was sent has come back once."""
        with subprocess.Popen([program("tests/programs/udp_load"), self.addr[0], str(self.addr[1]), "50000000", "64",
                               "16", "4", "0", str(1000 * TIMEOUT_S)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as p:
            try:
                assert p.stderr.readline() == b"going\n"
                yield
                p.send_signal(signal.SIGTERM)
                said = facts(p.communicate()[0])
            finally:
                p.kill()
        n = said["sent"]
        assert said == {"sent": n, "received": n, "wrong": "0", "missing": "0"} and int(n) > 0

    def serving(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(self.addr)
            s.settimeout(TIMEOUT_S)
            s.send(b"w")
            return int(s.recv(100))

    @staticmethod
    def assert_all_answered(*outputs):
        """The processes together know of all of them, too."""
        now = {name: sum(int(n) for out in outputs for n in re.findall(rf"^{name} (\d+)$", out, re.M))
               for name in ("received", "sent", "lost", "dropped", "failed")}
        n = now["received"]
        assert now == {"received": n, "sent": n, "lost": 0, "dropped": 0, "failed": 0} and n > 0


class UdpLine(Line):
    """tests/programs/udp and those that come after it."""

    def __init__(self, datagrams, runtime):
        self.serving = datagrams.serving
        self.begin(datagrams.start("restarts=1", runtime=runtime))


@each_runtime
def test_datagrams(runtime):
    """Those that arrive while one process follows the other are answered by either of them, once: the socket is one
    and the same, and so is what waits in it."""
    d = Datagrams()
    with UdpLine(d, runtime) as line, d.load():
        for _ in range(scaled(20, least=3)):
            line.restart()
    d.assert_all_answered(line.first.stdout)


@each_runtime
def test_datagrams_of_a_process_that_is_no_child(runtime):
    """The same where the next one fetches the socket by itself (SCM_RIGHTS), and waits for its own successor then."""
    d = Datagrams()
    said = []
    with contextlib.ExitStack() as stack:
        def start():
            return stack.enter_context(d.start(f"next=unix:@tako-next-{os.getpid()}", runtime=runtime))
        old = start()
        with d.load():
            for _ in range(scaled(5, least=2)):
                new = start()
                assert old.wait() == 0, old.stderr
                old.assert_clean()
                said.append(old.stdout)
                assert d.serving() == new.pid
                old = new
        old.stop()
        said.append(old.stdout)
    d.assert_all_answered(*said)


@each_runtime
def test_storm(runtime):
    """Signals in any number are restarts, one after the other, of which none is lost for the clients."""
    port = free_port()
    with Line(f"127.0.0.1:{port}", ("127.0.0.1", port), TAKO_RUNTIME=runtime) as line:
        for _ in range(3):
            for _ in range(20):
                line.hang_up()
                assert once(line.addr, request("GET", "/")).status == 200
            line.follow()


def test_a_restart_that_fails(tmp_path):
    """Another program has taken its place, that ends at once, or never serves: the old one goes on."""
    port = free_port()
    exe = tmp_path / "restart"
    shutil.copy(program("examples/restart"), exe)
    addr = ("127.0.0.1", port)
    with Server([str(exe), f"127.0.0.1:{port}"], addr, ready_path="/") as s:
        with Wire(addr) as w:
            for text, words in [("#!/bin/sh\nexit 3\n", "ended with status 3"),
                                ("#!/bin/sh\nkill -9 $$\n", "ended by signal 9"),
                                ("not a program\n", "Exec format error"),
                                (None, "is no program")]:
                exe.unlink()
                if text:
                    exe.write_text(text)
                    exe.chmod(0o755)
                s.signal(signal.SIGHUP)
                eventually(lambda: words in s.stderr)
                assert w.get("/").body.split()[1] == str(s.pid).encode()
            assert s.stderr.count("still here") == 4
            w.leave()


@each_runtime
def test_supervised(runtime, tmp_path):
    """The supervisor follows: who is reloading, and who the main process is afterwards; nobody is stopping."""
    boss = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    boss.bind(str(tmp_path / "notify"))
    boss.settimeout(servers.START_S)
    port = free_port()
    with boss:
        with Line(f"127.0.0.1:{port}", ("127.0.0.1", port), TAKO_RUNTIME=runtime,
                  NOTIFY_SOCKET=str(tmp_path / "notify")) as line:
            assert boss.recv(999) == b"READY=1"
            new = line.restart()
            assert re.match(rb"RELOADING=1\nMONOTONIC_USEC=\d+$", boss.recv(999))
            assert sorted([boss.recv(999), boss.recv(999)]) == [b"MAINPID=%d\nREADY=1" % new, b"READY=1"]
        assert boss.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize("pid,left", [(None, {"USEC"}), ("own", {"USEC", "PID"}), ("1", set())])
def test_whom_the_watchdog_watches(pid, left):
    """The new process, where it was the old one, or nobody by name; else what it is told would not be true."""
    addr = ("127.0.0.1", free_port())
    script = ("import os, sys; os.environ.pop('WATCHDOG_PID', 0); "
              "os.environ.update(WATCHDOG_PID=str(os.getpid()) if sys.argv[1] == 'own' else sys.argv[1]) "
              "if sys.argv[1] else 0; os.execv(sys.argv[2], sys.argv[2:])")
    line = Line.__new__(Line)
    line.begin(Server([sys.executable, "-c", script, pid or "", program("examples/restart"), "%s:%d" % addr], addr,
                      ready_path="/", env={"WATCHDOG_USEC": "30000000"}))
    with line:
        new = line.restart()
        with open(f"/proc/{new}/environ", "rb") as f:
            env = dict(v.split("=", 1) for v in f.read().decode().split("\0") if v.startswith("WATCHDOG_"))
        assert set(env) == {f"WATCHDOG_{name}" for name in left}
        assert env.get("WATCHDOG_PID", str(new)) == str(new)
        assert env.get("WATCHDOG_USEC", "30000000") == "30000000"


@each_runtime
def test_inherited_stays_inherited(runtime, tmp_path):
    """A socket that is the supervisor's, by its name, over two generations; its file is never ours."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(16)
        os.environ.pop("LISTEN_FDS", None)
        script = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_FDS='1', "
                  "LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='web'); os.execv(sys.argv[2], sys.argv[2:])")
        for listen in ("systemd:web", "fd:3"):
            first = Server([sys.executable, "-c", script, str(s.fileno()), program("examples/restart"), listen],
                           ("unix", path), ready_path="/", pass_fds=[s.fileno()], env={"TAKO_RUNTIME": runtime})
            line = Line.__new__(Line)
            line.begin(first)
            with line:
                line.restart()
                line.restart()
            assert os.path.exists(path)



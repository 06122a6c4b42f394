# SPDX-License-Identifier: MIT
"""Sockets that were open before the server was, and its supervisor: systemd's own tool and Python's sockets in
its place, on every runtime there is."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import pytest

import servers
from servers import Server, free_port, program
from wire import PATIENCE, Wire, eventually, once, request

each_runtime = pytest.mark.parametrize("runtime", servers.runtimes())
#: Puts what it inherited at 3 and says so, as a supervisor does: only the process itself knows its number.
EXEC = """
import os, sys
names, fds, argv = sys.argv[1], [int(n) for n in sys.argv[2].split(",")], sys.argv[3:]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.closerange(3 + len(fds), 200)
os.execv(argv[0], argv)
"""


def given(sockets, names, *args):
    """A command line that has these sockets, and what it must be given for that."""
    fds = [s.fileno() for s in sockets]
    return [sys.executable, "-c", EXEC, names, ",".join(map(str, fds)), program("tests/programs/knobs"), *args], fds


def start(sockets, addr, *args, names="", **env):
    argv, fds = given(sockets, names, *args)
    return Server(argv, addr, ready_path="/hello", env=env, pass_fds=fds)


def tcp(port=0, count=1):
    out = []
    for _ in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if count > 1:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", port))
        s.listen(64)
        port = s.getsockname()[1]
        out.append(s)
    return out


class Supervisor:
    """What NOTIFY_SOCKET names."""

    def __init__(self):
        self._dir = tempfile.TemporaryDirectory()
        self.path = os.path.join(self._dir.name, "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self.path)
        self._sock.settimeout(20 * PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._sock.close()
        self._dir.cleanup()

    def hear(self, pass_over="WATCHDOG=1"):
        while True:
            text = self._sock.recv(4096).decode()
            if text != pass_over:
                return text


@each_runtime
@pytest.mark.parametrize("how", ["systemd:web", "fd:3", "address"])
def test_one_socket(runtime, how):
    """Three workers share it; who came before the server did is answered; and it outlives the server."""
    [s] = tcp(free_port())
    addr = s.getsockname()
    listen = f"127.0.0.1:{addr[1]}" if how == "address" else how
    with Wire(addr) as early:
        early.send(request("GET", "/runtime"))
        with start([s], addr, f"listen={listen}", "worker_count=3", "inherit=1", names="web",
                   TAKO_RUNTIME=runtime) as srv:
            assert early.response().body.decode() == runtime
            for _ in range(20):
                assert once(addr, request("GET", "/hello")).status == 200
            assert srv.said("listening") == f"127.0.0.1:{addr[1]}"
    # It waits again for whoever is next.
    with Wire(addr) as late:
        late.send(request("GET", "/hello"))
        with start([s], addr, f"listen={listen}", "worker_count=1", "inherit=1", names="web",
                   TAKO_RUNTIME=runtime):
            assert late.response().status == 200
    s.close()


@each_runtime
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_group(runtime, workers):
    """Of a SO_REUSEPORT group every socket is accepted from."""
    group = tcp(free_port(), count=3)
    addr = group[0].getsockname()
    early = [Wire(addr) for _ in range(24)]
    with start(group, addr, f"listen=127.0.0.1:{addr[1]}", f"worker_count={workers}", "inherit=1",
               TAKO_RUNTIME=runtime):
        for w in early:
            assert w.get("/hello").status == 200
            w.close()
    for s in group:
        s.close()


@each_runtime
def test_unix_sockets_file_stays(runtime, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen(16)
        for _ in range(2):
            with start([s], ("unix", path), f"listen=unix:{path}", "worker_count=2", "inherit=1",
                       TAKO_RUNTIME=runtime):
                assert once(("unix", path), request("GET", "/hello")).status == 200
            assert os.path.exists(path)
            # Nobody has shut it down for those who come.
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(path)


def test_without_a_supervisor():
    """The same command line binds by itself."""
    with servers.knobs(inherit=1, notify=1) as s:
        assert once(s.addr, request("GET", "/hello")).status == 200


@pytest.mark.parametrize("listen,words", [
    ("systemd:other", 'no socket with the name "other"'),
    ("fd:9", "descriptor 9 is not open"),
    ("fd:4", "is for datagrams, needed is a stream"),
    ("fd:0", "is no socket")])
def test_refused(listen, words):
    [s] = tcp()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
        u.bind(("127.0.0.1", 0))
        argv, fds = given([s, u], "web:dns", f"listen={listen}")
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, pass_fds=fds,
                           timeout=servers.START_S, check=False)
    servers.assert_no_report(r.stderr)
    assert r.returncode == 2 and words in r.stderr, r
    s.close()


def test_children_inherit_nothing():
    """Neither the variables nor the descriptor reach what the server's process starts."""
    [s] = tcp(free_port())
    addr = s.getsockname()
    with start([s], addr, "listen=systemd:web", names="web") as srv:
        with open(f"/proc/{srv.pid}/fdinfo/3", encoding="ascii") as f:
            flags = next(line.split()[1] for line in f if line.startswith("flags"))
        assert int(flags, 8) & os.O_CLOEXEC
    s.close()


@each_runtime
def test_supervised(runtime):
    """READY when it serves, WATCHDOG from both loops together, STOPPING when it ends."""
    with Supervisor() as boss:
        env = {"TAKO_RUNTIME": runtime, "NOTIFY_SOCKET": boss.path, "WATCHDOG_USEC": "400000"}
        with servers.knobs(notify=1, worker_count=2, env=env) as s:
            assert boss.hear() == "READY=1"
            assert [boss.hear(pass_over=None) for _ in range(3)] == ["WATCHDOG=1"] * 3
            with s.connect() as busy:
                busy.send(request("GET", "/slow?ms=200"))
                s.signal()
                assert boss.hear() == "STOPPING=1"
                assert busy.response().status == 200


def test_unsupervised_socket_is_refused():
    r = subprocess.run([program("tests/programs/knobs"), "listen=127.0.0.1:0", "notify=1"],
                       env={**os.environ, "NOTIFY_SOCKET": "vsock:2:99"}, capture_output=True, text=True,
                       timeout=servers.START_S, check=False)
    assert r.returncode == 2 and "only Unix sockets" in r.stderr, r


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
@each_runtime
def test_systemds_own(runtime, tmp_path):
    """It starts the server with the first connection, which is answered."""
    port = free_port()
    argv = ["systemd-socket-activate", "--fdname=web", f"--listen=127.0.0.1:{port}",
            f"--setenv=TAKO_RUNTIME={runtime}", *(f"--setenv={k}" for k in os.environ if k.endswith("SAN_OPTIONS")),
            program("tests/programs/knobs"), "listen=systemd:web", "worker_count=2"]
    with Server(argv, ("127.0.0.1", port), ready_path="/hello", cwd=tmp_path) as s:
        assert once(s.addr, request("GET", "/runtime")).body.decode() == runtime


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
@each_runtime
def test_systemds_own_datagrams(runtime, tmp_path):
    """It starts the server with the first one, which waits in the socket and is answered, to each of two peers."""
    port = free_port()
    argv = ["systemd-socket-activate", "--datagram", "--fdname=echo", f"--listen=127.0.0.1:{port}",
            f"--setenv=TAKO_RUNTIME={runtime}", *(f"--setenv={k}" for k in os.environ if k.endswith("SAN_OPTIONS")),
            program("tests/programs/udp"), "listen=systemd:echo", "worker_count=2"]
    with Server(argv, None, ready_path=None, cwd=tmp_path) as s, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        # Nobody hears a datagram before it listens.
        eventually(lambda: f"Listening on 127.0.0.1:{port}" in s.stderr)
        for c in (a, b):
            c.connect(("127.0.0.1", port))
            c.settimeout(servers.START_S)
            c.send(b"x%d" % c.fileno())
        for c in (a, b):
            assert c.recv(100) == b"x%d" % c.fileno()
        assert f"listening 127.0.0.1:{port}\n" in s.stdout



# SPDX-License-Identifier: MIT
"""HTTP on addresses that are not the Internet's (tests/programs/proxied.c): Unix sockets by path and by name,
and vsock where the machine has it; every transport, several workers, who the peer is, and what is left behind."""
import os
import signal
import socket
import stat
import subprocess

import pytest

import servers
from test_proxy import V1_LINE, facts
from wire import PATIENCE, Wire, eventually, request, scaled

WORKERS = 3


class Local(servers.Server):
    """Where there is no port; and one of the tests' own, for the figures."""

    def __init__(self, name, *args, tls=False, **kw):
        super().__init__([servers.program("tests/programs/proxied"), f"listen=unix:{name}",
                          f"worker_count={WORKERS}", *args], ("unix", name) + (("tls",) if tls else ()),
                         **{"ready_path": "/hello", **kw})
        self.path = name

    def figures(self):
        port = int(self.stdout.split("listening 127.0.0.1:")[1].split()[0])
        with Wire(("127.0.0.1", port)) as w:
            return {k: int(v) for k, v in facts(w.get("/stats", "Connection: close").body).items()}


@pytest.fixture(name="path")
def fixture_path(tmp_path):
    return str(tmp_path / "s")


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    with Local(str(tmp_path_factory.mktemp("unix") / "s")) as s:
        yield s


def ask(addr, path="/info", head=b""):
    with Wire(addr) as w:
        w.send(head + request("GET", path, "Connection: close"))
        return facts(w.response().body)


def curl(s, *args, scheme="http"):
    how = ["--abstract-unix-socket", s.path[1:]] if s.path.startswith("@") else ["--unix-socket", s.path]
    r = subprocess.run(["curl", "-sk", "--max-time", str(10 * PATIENCE), *how, *args, f"{scheme}://localhost/info"],
                       capture_output=True, check=True)
    return facts(r.stdout)


# ---- What handlers see ----------------------------------------------------------------------------------


def test_addresses_and_credentials(server):
    f = ask(server.addr)
    assert (f["peer"], f["local"], f["via"]) == ("unix:", f"unix:{server.path}", "-")
    assert (f["has_cred"], f["pid"], f["uid"], f["gid"]) == ("1", str(os.getpid()), str(os.getuid()), str(os.getgid()))
    assert f"listening unix:{server.path}\n" in server.stdout


def test_other_peers_have_none(server):
    port = int(server.stdout.split("listening 127.0.0.1:")[1].split()[0])
    with Wire(("127.0.0.1", port)) as w:
        w.get("/hello")
    r = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/info"], capture_output=True, check=True)
    assert facts(r.stdout)["has_cred"] == "0"


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_credentials_of_another_user(path):
    with Local(path, "unix_mode=0666") as s:
        # curl is somebody else's process with somebody else's rights.
        os.chmod(os.path.dirname(path), 0o755)
        for parent in (os.path.dirname(path), os.path.dirname(os.path.dirname(path)),
                       os.path.dirname(os.path.dirname(os.path.dirname(path)))):
            os.chmod(parent, 0o755)
        p = subprocess.Popen(["curl", "-s", "--unix-socket", path, "http://localhost/info"], stdout=subprocess.PIPE,
                             user=65534, group=65534, extra_groups=[])
        f = facts(p.communicate()[0])
        assert (f["uid"], f["gid"], f["pid"]) == ("65534", "65534", str(p.pid))
        # … and who may not write to the file may not connect.
        os.chmod(path, 0o600)
        r = subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/info"], user=65534, group=65534,
                           extra_groups=[], check=False)
        assert r.returncode == 7
        assert s.figures()["connections_refused"] == 0


def test_a_client_with_a_name_of_its_own(server, tmp_path):
    """As long as a path can be: longer than an address of the Internet."""
    with socket.socket(socket.AF_UNIX) as c:
        c.bind(("\0" + "n" * 100))
        c.connect(server.path)
        c.settimeout(10 * PATIENCE)
        c.sendall(request("GET", "/info", "Connection: close"))
        text = b"".join(iter(lambda: c.recv(65536), b""))
        assert b"\npeer unix:\n" in b"\n" + text.split(b"\r\n\r\n", 1)[1]


# ---- Every transport ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport,option,expected", [
    ("http", "--http1.1", "http/1.1"), ("http", "--http2-prior-knowledge", "h2"), ("http1", "--http1.1", "http/1.1"),
    ("h2c", "--http2-prior-knowledge", "h2")])
@pytest.mark.parametrize("abstract", [False, True])
def test_transports(path, transport, option, expected, abstract):
    name = "@tako-test-" + str(os.getpid()) if abstract else path
    with Local(name, f"transport={transport}", ready_path=None) as s:
        eventually(lambda: "listening 127" in s.stdout)
        f = curl(s, option)
        assert (f["transport"], f["local"], f["has_cred"]) == (expected, f"unix:{name}", "1")


@pytest.mark.parametrize("option,expected", [("--http1.1", "http/1.1"), ("--http2", "h2")])
def test_over_tls(path, option, expected):
    cert, key = servers.shared_certificate()
    with Local(path, "transport=tls", f"cert_file={cert}", f"key_file={key}", tls=True) as s:
        f = curl(s, option, scheme="https")
        assert f["transport"] == expected and f["tls"].startswith("TLSv1") and f["has_cred"] == "1"


def test_behind_a_balancer(path):
    """The client is who the header says; the credentials are the balancer's."""
    with Local(path, "proxy_protocol=1", "proxy_trusted=unix:", "max_connections_per_ip=1", ready_path=None) as s:
        eventually(lambda: "listening 127" in s.stdout)
        f = ask(s.addr, head=V1_LINE)
        assert (f["peer"], f["local"], f["via"]) == ("192.0.2.1:4660", "198.51.100.2:443", "unix:")
        assert (f["has_cred"], f["pid"]) == ("1", str(os.getpid()))
        # Where nobody is named they do not count as one address.
        with Wire(s.addr) as a, Wire(s.addr) as b:
            for w in (a, b):
                w.send(b"PROXY UNKNOWN\r\n")
                assert w.get("/hello").status == 200
        # … and the named are counted as ever.  One who is not known yet: that the first is gone need not
        # have been noticed.
        line = V1_LINE.replace(b"192.0.2.1 ", b"192.0.2.9 ")
        with Wire(s.addr) as a, Wire(s.addr) as b:
            a.send(line)
            assert a.get("/hello").status == 200
            b.send(line)
            assert b.until_gone() == b""


def test_limits_per_address_are_not_for_them(path):
    with Local(path, "max_connections_per_ip=1") as s:
        with Wire(s.addr) as a, Wire(s.addr) as b, Wire(s.addr) as c:
            assert [w.get("/hello").status for w in (a, b, c)] == [200] * 3
        assert s.figures()["connections_refused"] == 0


# ---- Many ---------------------------------------------------------------------------------------------------


def test_many_connections_on_several_workers(server):
    """All are answered, whoever of the workers woke up first."""
    count = scaled(300, 50)
    for _ in range(3):
        wires = [Wire(server.addr) for _ in range(count)]
        for w in wires:
            w.send(request("GET", "/hello"))
        assert [w.response().status for w in wires] == [200] * count
        for w in wires:
            w.close()
    assert server.figures()["accept_errors"] == 0


def test_ceiling(path):
    """At max_connections the rest waits in the one backlog, and is served when there is room."""
    with Local(path, "max_connections=10") as s:
        held = [Wire(s.addr) for _ in range(10)]
        for w in held:
            assert w.get("/hello").status == 200
        late = [Wire(s.addr) for _ in range(5)]
        for w in late:
            w.send(request("GET", "/hello", "Connection: close"))
        assert late[0].quiet(0.1)
        for w in held:
            w.close()
        assert [w.response().status for w in late] == [200] * 5
        for w in late:
            w.close()


# ---- What is left behind -----------------------------------------------------------------------------------


def test_mode_and_removal(path):
    with Local(path, "unix_mode=0640") as s:
        st = os.lstat(path)
        assert stat.S_ISSOCK(st.st_mode) and st.st_mode & 0o777 == 0o640
        s.stop()
        assert not os.path.lexists(path)


def test_stop_serves_the_backlog(path):
    """Whoever has connected when the server stops is answered; whoever comes later is told."""
    with Local(path) as s:
        s.signal(signal.SIGSTOP)
        wires = [Wire(s.addr) for _ in range(scaled(50, 20))]
        for w in wires:
            w.send(request("GET", "/hello"))
        s.signal(signal.SIGTERM)
        s.signal(signal.SIGCONT)
        assert all(w.response().status == 200 for w in wires)
        for w in wires:
            w.close()
        s.stop()
        with pytest.raises(FileNotFoundError):
            Wire(s.addr)


def test_killed_and_started_again(path):
    with Local(path) as s:
        s.kill()
        s.assert_clean(-signal.SIGKILL)
    assert os.path.lexists(path)
    # At once, when the kernel may not have let go of the old one yet.
    with Local(path, ready_path=None) as s:
        eventually(lambda: "listening 127" in s.stdout or s.proc.poll() is not None)
        assert ask(s.addr)["local"] == f"unix:{path}"


def refused(path):
    r = servers.run_refused([servers.program("tests/programs/proxied"), f"listen=unix:{path}"])
    assert r.returncode == 2 and "EEXIST" in r.stderr, r
    return r.stderr


def test_a_live_one_is_left_alone(path):
    with Local(path) as s:
        for _ in range(2):
            assert "somebody has this socket" in refused(path)
        assert ask(s.addr)["local"] == f"unix:{path}"
        assert os.path.lexists(path)


def test_two_start_on_one_stale_socket(path):
    """One of them gets it, and has it for good."""
    for _ in range(scaled(4, 2)):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        argv = [servers.program("tests/programs/proxied"), f"listen=unix:{path}", "worker_count=1"]
        ps = [subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(4)]
        said = [p.stdout.readline() for p in ps]
        winners = [p for p, line in zip(ps, said) if line]
        assert len(winners) == 1, said
        ask(("unix", path))
        winners[0].terminate()
        assert sorted(p.wait(20 * PATIENCE) for p in ps) == [0, 2, 2, 2]
        for p in ps:
            p.stdout.close()
        assert not os.path.lexists(path)


@pytest.mark.parametrize("make", [lambda p: open(p, "w", encoding="ascii").close(), os.mkdir, os.mkfifo,
                                  lambda p: os.symlink("/nonexistent/x", p)])
def test_what_is_no_socket_is_left_alone(path, make):
    make(path)
    before = os.lstat(path)
    assert "no socket" in refused(path)
    assert os.lstat(path).st_ino == before.st_ino


def test_what_has_taken_the_path_is_left_alone(path):
    with Local(path) as s:
        os.rename(path, path + ".old")
        with open(path, "w", encoding="ascii") as f:
            f.write("precious")
        s.stop()
    with open(path, encoding="ascii") as f:
        assert f.read() == "precious"


@pytest.mark.parametrize("args,word", [
    (["listen=unix:x"], "unix:/path"), (["listen=unix:/" + "x" * 107], "107 bytes"), (["listen=unix:@"], "needs a name"),
    (["listen=unix:/x", "unix_mode=1000"], "unix_mode is 01000"), (["listen=unix:/x", "unix_owner=no-such"], "no user"),
    (["listen=unix:/x", "unix_group=no-such"], "no group"), (["listen=unix:@x", "unix_mode=600"], "is no file"),
    (["listen=127.0.0.1:0", "unix_owner=root"], "is no file"), (["listen=vsock:x"], "vsock:PORT"),
    (["listen=unix:/nonexistent/folder/x"], "No such file")])
def test_refused_settings(args, word):
    r = servers.run_refused([servers.program("tests/programs/proxied"), *args])
    assert r.returncode == 2 and word in r.stderr, r


# ---- vsock --------------------------------------------------------------------------------------------------


def vsock_loopback():
    """Why vsock cannot be tried here, or ""."""
    try:
        with socket.socket(socket.AF_VSOCK) as a, socket.socket(socket.AF_VSOCK) as b:
            a.bind((1, 0xFFFFFFFF))
            a.listen()
            b.settimeout(2)
            b.connect((1, a.getsockname()[1]))
        return ""
    except (OSError, AttributeError) as e:
        return f"no vsock loopback: {e}"


def test_vsock_address():
    """Where the family is there it can be listened on, whoever can reach it."""
    try:
        socket.socket(socket.AF_VSOCK).close()
    except (OSError, AttributeError) as e:
        pytest.skip(f"no vsock: {e}")
    argv = [servers.program("tests/programs/proxied"), "listen=vsock:0", "worker_count=2"]
    with servers.Server(argv, None, ready_path=None) as s:
        eventually(lambda: "listening vsock:" in s.stdout and "listening 127" in s.stdout)
        port = int(s.stdout.split("vsock:")[1].split()[0])
        assert 0 < port < 0xFFFFFFFF
        r = servers.run_refused([servers.program("tests/programs/proxied"), f"listen=vsock:{port}"])
        assert r.returncode == 2 and "EEXIST" in r.stderr, r


@pytest.mark.skipif(bool(vsock_loopback()), reason=vsock_loopback() or "-")
def test_vsock():
    argv = [servers.program("tests/programs/proxied"), "listen=vsock:1:0", "worker_count=2"]
    with servers.Server(argv, None, ready_path=None) as s:
        eventually(lambda: "listening 127" in s.stdout)
        port = int(s.stdout.split("vsock:1:")[1].split()[0])
        with socket.socket(socket.AF_VSOCK) as c:
            c.settimeout(10 * PATIENCE)
            c.connect((1, port))
            c.sendall(request("GET", "/info", "Connection: close"))
            text = b"".join(iter(lambda: c.recv(65536), b""))
            f = facts(text.split(b"\r\n\r\n", 1)[1])
            assert f["peer"].startswith("vsock:1:") and f["local"] == f"vsock:1:{port}" and f["has_cred"] == "0"

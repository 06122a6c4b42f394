# SPDX-License-Identifier: MIT
"""Connections that a server makes, through examples/tunnel.c: to sockets of Python's, plain and TLS, that answer,
refuse, are somebody else or leave in the middle."""
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

import servers
from wire import TIMEOUT_S, eventually, once, request


class Tunnel(servers.Server):
    def __init__(self, runtime, to, *more, tmp):
        port, self.near = servers.free_port(), servers.free_port()
        super().__init__([servers.program("examples/tunnel"), f"127.0.0.1:{port}", f"127.0.0.1:{self.near}", to, *more],
                         ("127.0.0.1", port), cwd=tmp, env={"TAKO_RUNTIME": runtime})

    def enter(self):
        s = socket.create_connection(("127.0.0.1", self.near), timeout=TIMEOUT_S)
        return s

    def figures(self):
        return [int(n) for n in re.findall(r"\d+", once(self.addr, request("GET", "/")).body.decode())]


class Far:
    """Somebody to connect to, on a thread of his own; what comes goes back, until its end."""

    def __init__(self, family=socket.AF_INET, addr=("127.0.0.1", 0), context=None):
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.bind(addr)
        self.listener.listen(16)
        self.context = context
        self.port = self.listener.getsockname()[1] if family != socket.AF_UNIX else 0
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def echo(self, s):
        s.settimeout(TIMEOUT_S)
        if self.context:
            s = self.context.wrap_socket(s, server_side=True)
        while data := s.recv(65536):
            s.sendall(data)
        if not self.context:
            s.shutdown(socket.SHUT_WR)
        s.close()

    def serve(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            try:
                self.echo(s)
            except OSError:
                s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def read_all(s):
    data = b""
    while more := s.recv(65536):
        data += more
    return data


def echo(s, data):
    t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
    t.start()
    got = read_all(s)
    t.join()
    assert got == data


def gone(s):
    """Reset, or closed without a word."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


def assert_cut_off(tunnel):
    """As soon as it is known that there is nobody, which may be before connect() returns."""
    try:
        with tunnel.enter() as s:
            assert gone(s)
    except ConnectionResetError:
        pass


def with_runtimes(test):
    return pytest.mark.parametrize("runtime", servers.runtimes())(test)


@with_runtimes
def test_through(runtime, tmp_path):
    """Bytes both ways, more than either side buffers, and each side's end."""
    with Far() as far, Tunnel(runtime, f"127.0.0.1:{far.port}", tmp=tmp_path) as t:
        for n in (1, 3 << 20):
            with t.enter() as s:
                echo(s, os.urandom(n))
        eventually(lambda: t.figures() == [2, 0, 0])


@with_runtimes
def test_unix_and_names(runtime, tmp_path):
    with Far(socket.AF_UNIX, f"{tmp_path}/far") as _, Tunnel(runtime, f"unix:{tmp_path}/far", tmp=tmp_path) as t, \
            t.enter() as s:
        echo(s, b"x" * 10000)
    # Of the name's two addresses the first refuses.
    with Far() as far, Tunnel(runtime, f"localhost:{far.port}", tmp=tmp_path) as t, t.enter() as s:
        echo(s, b"y" * 10000)


@with_runtimes
def test_refused(runtime, tmp_path):
    with Tunnel(runtime, f"127.0.0.1:{servers.free_port()}", tmp=tmp_path) as t:
        assert_cut_off(t)
        eventually(lambda: "Connection refused" in t.stderr)
        eventually(lambda: t.figures() == [0, 0, 1])


@with_runtimes
def test_who_leaves(runtime, tmp_path):
    """A reset on one side is a reset on the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, Tunnel(runtime, f"127.0.0.1:{listener.getsockname()[1]}", tmp=tmp_path) as t:
        for near_first in (False, True):
            s = t.enter()
            far, _ = listener.accept()
            s.sendall(b"hello")
            far.settimeout(TIMEOUT_S)
            assert far.recv(5, socket.MSG_WAITALL) == b"hello"
            first, second = (s, far) if near_first else (far, s)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            first.close()
            with pytest.raises(ConnectionResetError):
                second.recv(1)
            second.close()
        eventually(lambda: t.figures() == [2, 0, 0])


@with_runtimes
def test_stops(runtime, tmp_path):
    """With connections of both kinds open, and one that is still being made."""
    with Far() as far, Tunnel(runtime, f"127.0.0.1:{far.port}", tmp=tmp_path) as t, t.enter() as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"
        t.signal()
        assert gone(s)
        assert t.wait() == 0


# ---- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="pki")
def fixture_pki(tmp_path_factory):
    """An authority, and what it has signed: for localhost, for somebody else, and long ago."""
    d = tmp_path_factory.mktemp("pki")
    ca, ca_key = servers.certificate(d, "ca", subject="/CN=authority", alt="DNS:authority", extra=["-set_serial", "1"])
    (d / "index.txt").write_text("")
    (d / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={d}/index.txt\nnew_certs_dir={d}\nrand_serial=yes\n"
                              "default_md=sha256\npolicy=p\nunique_subject=no\ncopy_extensions=copy\n[p]\ncommonName=supplied\n")
    made = {"ca": ca}
    for name, alt, dates in (("good", "DNS:localhost,IP:127.0.0.1", []), ("other", "DNS:other.test", []),
                             ("old", "DNS:localhost", ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"])):
        key, csr, cert = f"{d}/{name}.key", f"{d}/{name}.csr", f"{d}/{name}.pem"
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName={alt}", "-out", csr], check=True, capture_output=True)
        subprocess.run(["openssl", "ca", "-batch", "-config", f"{d}/ca.cnf", "-cert", ca, "-keyfile", ca_key, "-in", csr, "-out",
                        cert, "-notext", *(dates or ["-days", "30"])], check=True, capture_output=True)
        made[name] = (cert, key)
    return made


def context(pki, name):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*pki[name])
    return c


def certainly_read(s, data):
    """Over TLS an end is the connection's: told by the number of bytes."""
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        more = s.recv(65536)
        assert more
        got += more
    assert got == data


@with_runtimes
def test_tls(runtime, pki, tmp_path):
    with Far(context=context(pki, "good")) as far:
        for host in ("localhost", "127.0.0.1"):
            with Tunnel(runtime, f"{host}:{far.port}", pki["ca"], tmp=tmp_path) as t:
                # The second one resumes the session of the first.
                for _ in range(2):
                    with t.enter() as s:
                        certainly_read(s, b"z" * 30000)
                eventually(lambda: t.figures() == [2, 0, 0])


@pytest.mark.parametrize("name,ca,words", [
    ("other", "ca", "its certificate is not one of localhost"),
    ("old", "ca", "its certificate has expired"),
    ("good", "system", "its certificate was signed by nobody who is trusted")])
def test_tls_refuses(pki, tmp_path, name, ca, words):
    if ca == "system" and not os.path.exists("/etc/ssl/certs/ca-certificates.crt"):
        pytest.skip("this machine has no authorities")
    with Far(context=context(pki, name)) as far, \
            Tunnel(servers.runtimes()[0], f"localhost:{far.port}", pki.get(ca, ca), tmp=tmp_path) as t:
        assert_cut_off(t)
        eventually(lambda: words in t.stderr)
        eventually(lambda: t.figures() == [0, 0, 1])

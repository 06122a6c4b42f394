# SPDX-License-Identifier: MIT
"""HTTP/3 by quic-go, of which neither QUIC nor TLS nor HTTP/3 is anybody's here: tests/programs/quicgo_client.go, where
Debian's package and a Go compiler were there to build it."""
import hashlib
import os
import subprocess

import pytest

import servers
from h3wire import listening  # noqa: F401  programs listen for QUIC as well
from wire import PATIENCE

CLIENT = os.path.join(servers.BUILD, "tests/programs/quicgo_client")
pytestmark = pytest.mark.skipif(not os.access(CLIENT, os.X_OK), reason="quic-go or a Go compiler is not installed")
each_runtime = pytest.mark.parametrize("runtime", servers.runtimes())


def ask(server, *requests):
    """What came of each: protocol, status, bytes, their digest."""
    lines = "\n".join("%s %s %d" % r for r in requests)
    r = subprocess.run([CLIENT, f"https://127.0.0.1:{server.addr[1]}"], input=lines.encode(), capture_output=True,
                       timeout=30 * PATIENCE, check=False)
    assert r.returncode == 0, r.stderr.decode()
    answers = r.stdout.decode().splitlines()
    assert len(answers) == len(requests), answers
    return answers


def answer(content, status=200, digest=None):
    return f"HTTP/3.0 {status} {len(content)} {digest or hashlib.sha256(content).hexdigest()}"


def body(n):
    return bytes(i * 7 & 255 for i in range(n))


@each_runtime
def test_all_at_once(runtime, files):
    """Many small ones, files, and bodies either way that are larger than any window."""
    with servers.showcase(files, env={"TAKO_RUNTIME": runtime}) as s:
        got = ask(s, *[("GET", "/plaintext", 0)] * 60, ("GET", "/files/big.bin", 0), ("GET", "/files/small.txt", 0),
                  ("POST", "/echo", 2000000), ("POST", "/echo", 1), ("HEAD", "/files/big.bin", 0), ("GET", "/none", 0))
        assert got[:60] == [answer(b"Hello, World!")] * 60
        assert got[60:62] == [answer((files / name).read_bytes()) for name in ("big.bin", "small.txt")]
        assert got[62:65] == [answer(body(2000000)), answer(body(1)), answer(b"")]
        assert got[65].startswith("HTTP/3.0 404 ")


@each_runtime
def test_retry(runtime):
    """It proves its address when it is asked to."""
    with servers.knobs(h3_retry=1, env={"TAKO_RUNTIME": runtime}) as s:
        assert all(a.startswith("HTTP/3.0 200 ") for a in ask(s, ("GET", "/hello", 0), ("GET", "/hello", 0)))

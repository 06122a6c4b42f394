# SPDX-License-Identifier: MIT
"""Every example as its reader would start it: it answers, and ends on SIGTERM."""
import glob
import os
import re

import pytest

import servers
from wire import eventually, once, request

SOURCES = os.path.join(os.path.dirname(__file__), "..", "..", "examples")
EXAMPLES = sorted(os.path.splitext(os.path.basename(p))[0] for p in glob.glob(os.path.join(SOURCES, "*.c")))


def test_there_are_examples():
    assert EXAMPLES and os.path.isdir(os.path.join(SOURCES, "showcase"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, tmp_path):
    """On an address of its own: the one that it takes by itself may be somebody's."""
    port = servers.free_port()
    addr = ("127.0.0.1", port, "tls") if name in ("tls", "h3", "webtransport") else ("127.0.0.1", port)
    argv = [servers.program(f"examples/{name}"), f"127.0.0.1:{port}"]
    if name == "multi_server":
        argv.append(f"127.0.0.1:{servers.free_port()}")
    if name in ("scgi", "tunnel"):
        argv.append(f"127.0.0.1:{servers.free_port()}")
    if name == "udp_echo":
        argv.append("127.0.0.1:0")
    if name == "raw_echo":
        argv.append(f"unix:{tmp_path}/echo")
    with servers.Server(argv, addr, ready_path="/healthz", cwd=tmp_path) as s:
        r = once(s.addr, request("GET", "/"))
        assert r.status in (200, 404), r
        assert once(s.addr, b"garbage\r\n\r\n").status == 400


@pytest.mark.parametrize("version", [[], ["h2"]])
def test_fetch(tmp_path, version):
    """It asks itself, whole and through."""
    port = servers.free_port()
    with servers.Server([servers.program("examples/fetch"), f"127.0.0.1:{port}", *version], ("127.0.0.1", port),
                        ready_path="/hello", cwd=tmp_path) as s:
        assert once(s.addr, request("GET", "/shout")).body == b"HELLO\n"
        data = bytes(range(256)) * 4000
        r = once(s.addr, request("PUT", "/through", body=data))
        assert (r.status, r.body) == (200, data)


@pytest.mark.parametrize("args,word", [
    (["--cert", "x"], "cert"), (["--key", "y"], "key"), (["--cert", "x", "--key", "y"], "--cert: is for --tls"),
    (["--runtime", "select"], "runtime"), (["--workers"], "workers"), (["--nonsense"], "nonsense"),
    (["--workers", "x"], "workers"), (["stray"], "stray")])
def test_showcase_refuses_what_it_cannot_do(args, word):
    r = servers.run_refused([servers.program("examples/showcase"), "--http", f"127.0.0.1:{servers.free_port()}", *args])
    assert r.returncode == 2 and word in r.stderr, r


def test_showcase_says_where_it_listens(tmp_path):
    port = servers.free_port()
    with servers.Server([servers.program("examples/showcase"), "--http", f"127.0.0.1:{port}", "--files", str(tmp_path)],
                        ("127.0.0.1", port)) as s:
        assert once(s.addr, request("GET", "/")).status == 200
        eventually(lambda: re.search(rf"http://127\.0\.0\.1:{port}\b", s.stdout + s.stderr))


def test_showcase_is_quiet(tmp_path):
    with servers.showcase(tmp_path) as s:
        once(s.addr, request("GET", "/"))
        once(s.addr, b"garbage\r\n\r\n")
    # What it runs on, where it listens, and not a word about requests.
    assert [line for line in (s.stdout + s.stderr).splitlines()
            if not line.startswith(("runtime ", "listening on "))] == []

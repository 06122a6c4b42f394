# SPDX-License-Identifier: MIT
"""Which runtime a server gets: what it finds, what it is told, and what happens where that cannot be."""
import os
import sys

import pytest

import servers
from wire import once, request

SHOWCASE = servers.program("examples/showcase")
BLOCKED = [sys.executable, os.path.join(os.path.dirname(__file__), "without_io_uring.py"), SHOWCASE]
FORBIDDEN = "io_uring_setup is forbidden here: Operation not permitted"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Only what a test sets."""
    monkeypatch.delenv("TAKO_RUNTIME", raising=False)
    return monkeypatch


def line(argv, *args):
    """What the showcase says of its runtime, after it has answered a request."""
    port = servers.free_port()
    with servers.Server([*argv, "--http", f"127.0.0.1:{port}", "--quiet", "--workers", "2", *args],
                        ("127.0.0.1", port)) as s:
        assert once(s.addr, request("GET", "/plaintext")).body == b"Hello, World!"
        said = s.said("runtime")
        info = once(s.addr, request("GET", "/metrics")).body.decode()
    # The figures say the same.
    assert f'runtime="{said.split()[0]}"' in info
    return said


def refusal(argv, *args, status=2):
    """What is not here is refused as an option is that nobody knows."""
    r = servers.run_refused([*argv, "--http", "127.0.0.1:0", "--quiet", *args])
    assert r.returncode == status, r
    return r.stderr


def works():
    return line([SHOWCASE]).startswith("io_uring ")


@pytest.mark.parametrize("name", ["epoll", "io_uring"])
def test_the_program_names_it(name):
    if name == "io_uring" and not works():
        pytest.skip("no io_uring here")
    assert line([SHOWCASE], "--runtime", name) == f"{name} (the program asked for it)"


@pytest.mark.parametrize("name", ["epoll", "io_uring"])
def test_the_environment_names_it(environment, name):
    if name == "io_uring" and not works():
        pytest.skip("no io_uring here")
    environment.setenv("TAKO_RUNTIME", name)
    assert line([SHOWCASE]) == f"{name} (TAKO_RUNTIME asked for it)"


def test_the_environment_does_not_overrule_the_program(environment):
    environment.setenv("TAKO_RUNTIME", "io_uring")
    assert line([SHOWCASE], "--runtime", "epoll") == "epoll (the program asked for it)"
    assert line(BLOCKED, "--runtime", "epoll") == "epoll (the program asked for it)"
    environment.setenv("TAKO_RUNTIME", "nonsense")
    assert line([SHOWCASE], "--runtime", "epoll") == "epoll (the program asked for it)"


def test_nobody_names_it(environment):
    assert line([SHOWCASE]) in ("io_uring (the first choice works)", line([SHOWCASE], "--runtime", "auto"))
    environment.setenv("TAKO_RUNTIME", "")
    assert line([SHOWCASE]) == line([SHOWCASE], "--runtime", "auto")


def test_falls_back_where_it_is_forbidden():
    assert line(BLOCKED) == f"epoll (io_uring: {FORBIDDEN})"


def test_a_named_one_does_not_fall_back(environment):
    assert f"runtime io_uring: {FORBIDDEN}" in refusal(BLOCKED, "--runtime", "io_uring")
    environment.setenv("TAKO_RUNTIME", "io_uring")
    assert f"runtime io_uring: {FORBIDDEN}" in refusal(BLOCKED)


def test_unknown_name(environment):
    environment.setenv("TAKO_RUNTIME", "kqueue")
    assert 'TAKO_RUNTIME is "kqueue", not io_uring or epoll' in refusal([SHOWCASE], status=1)

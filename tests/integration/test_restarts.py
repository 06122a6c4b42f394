# SPDX-License-Identifier: MIT
"""One server after the other on one port, on every runtime there is: when a server has stopped its
port is free, and nothing that was asked before that is lost."""
import time

import pytest

import servers
from servers import Server, free_port, program
from wire import Wire, request, scaled

ROUNDS = scaled(100, least=20)


def start(port, runtime, **settings):
    return Server([program("tests/programs/knobs"), f"listen=127.0.0.1:{port}",
                   *(f"{k}={v}" for k, v in settings.items())], ("127.0.0.1", port),
                  ready_path=None, env={"TAKO_RUNTIME": runtime})


def first(s):
    """Its first connection: as soon as it says that it listens."""
    while "listening" not in s.stdout:
        assert s.proc.poll() is None, f"ended with {s.proc.returncode}: {s.stderr}"
        time.sleep(0.001)
    return Wire(s.addr)


@pytest.mark.parametrize("runtime", servers.runtimes())
def test_one_port_many_times(runtime):
    """Bound again as soon as the process is gone; and what was on its way then is answered."""
    port = free_port()
    for _ in range(ROUNDS):
        # A client that holds on to its connection is not waited for as long as usual.
        with start(port, runtime, worker_count=2, linger_timeout_ms=20) as s:
            with first(s) as w, Wire(s.addr) as last:
                assert w.get("/runtime").body.decode() == runtime
                last.get("/hello")
                last.send(request("GET", "/hello"))
                s.signal()
                assert last.response().status == 200
                assert s.wait() == 0
                w.assert_closed()
                last.assert_closed()

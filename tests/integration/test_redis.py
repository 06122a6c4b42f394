# SPDX-License-Identifier: MIT
"""Topics between processes, over a Redis server of our own on loopback, which keeps nothing on disk."""
import asyncio
import contextlib
import shutil
import socket
import subprocess
import time

import pytest

import servers
from eventwire import Events
from test_topics import run, subscribed
from wire import PATIENCE, Wire, eventually

REDIS = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(not REDIS, reason="redis-server is not installed")


class Redis:
    """One that is started, killed, and started again on the same port."""

    def __init__(self, *args):
        self.port = servers.free_port()
        self.args = args
        self.proc = None
        self.start()

    def start(self):
        self.proc = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--daemonize", "no", *self.args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        eventually(self._listens)

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()


def process(redis, *args):
    return servers.launch("events", f"redis={redis.port}", "worker_count=2", *args, ready_path="/healthz")


def ask(server, path):
    with Wire(server.addr) as w:
        r = w.get(path)
        assert r.status == 200, r
        return r.body.decode()


def figures(server, path="/redis"):
    lines = dict(line.split(" ", 1) for line in ask(server, path).splitlines())
    return {k: int(v) if k != "error" else v for k, v in lines.items()}


def connected(*processes):
    for s in processes:
        eventually(lambda s=s: figures(s)["connected"] == 1)


def numbers(events):
    return [int(e[1].rstrip("x")) for e in events]


def way(server):
    return "tls" if server.scheme == "https" else "h1"


def watch(server):
    s = Events(server.addr, way(server), "/watch")
    eventually(lambda: figures(server, "/topic")["subscribers"] > 0)
    return s


def test_two_processes():
    """Both see everything once, in the order of its publisher, whoever published."""
    n = 200
    with Redis() as redis, process(redis) as a, process(redis) as b:
        connected(a, b)
        here, there = watch(a), watch(b)
        ask(a, f"/publish?n={n}&bytes=64")
        assert numbers(here.count(n)) == numbers(there.count(n)) == list(range(1, n + 1))
        ask(b, "/publish?n=2&bytes=3")
        assert [e[1] for e in here.count(n + 2)[n:]] == ["1xxx", "2xxx"]
        assert [e[1] for e in there.count(n + 2)[n:]] == ["1xxx", "2xxx"]
        eventually(lambda: figures(a)["published"] == n)
        assert figures(a)["received"] == 2 and figures(b)["received"] == n
        assert figures(a)["dropped"] == figures(b)["dropped"] == 0
        # None came back, or twice.
        assert figures(a, "/topic")["published"] == figures(b, "/topic")["published"] == n + 2
        here.close()
        there.close()


def test_binary_to_websockets():
    payload = bytes(range(256))

    async def talk(a, b):
        one, other = await subscribed_to(a), await subscribed_to(b)
        await one.send(payload)
        assert {await one.recv(), await one.recv()} == {"OK", payload}
        assert await other.recv() == payload
        await asyncio.to_thread(ask, b, "/publish?n=1")
        assert await one.recv() == await other.recv() == "1"
        await one.close()
        await other.close()

    async def subscribed_to(s):
        return await subscribed(s)

    with Redis() as redis, process(redis) as a, process(redis) as b:
        connected(a, b)
        run(talk(a, b))


def test_redis_comes_back():
    """Killed and started again: both connect and subscribe anew; what was published meanwhile waits."""
    with Redis() as redis, process(redis) as a, process(redis) as b:
        connected(a, b)
        there = watch(b)
        ask(a, "/publish?n=1")
        there.count(1)
        redis.kill()
        eventually(lambda: figures(a)["connected"] == 0 and figures(b)["connected"] == 0)
        assert figures(a)["error"]
        redis.start()
        connected(a, b)
        assert figures(a)["connects"] == figures(b)["connects"] == 2
        ask(a, "/publish?n=3&bytes=5")
        assert [e[1] for e in there.count(4)[1:]] == ["1xxxxx", "2xxxxx", "3xxxxx"]
        there.close()


def test_without_redis():
    """Nothing waits for it: what is published stays here, and beyond a bound is dropped and counted."""
    with Redis() as redis, process(redis, "queue=10000") as a:
        connected(a)
        here = watch(a)
        redis.kill()
        eventually(lambda: figures(a)["connected"] == 0)
        ask(a, "/publish?n=100&bytes=1000")
        assert numbers(here.count(100)) == list(range(1, 101))
        f = figures(a)
        assert 85 <= f["dropped"] <= 95 and 0 < f["queued_bytes"] <= 10000
        # The rest leaves when it is back.
        redis.start()
        eventually(lambda: figures(a)["queued_bytes"] == 0)
        eventually(lambda: figures(a)["published"] + f["dropped"] == 100)
        here.close()
        redis.kill()
        start = time.monotonic()
        a.stop()
        assert time.monotonic() - start < 5 * PATIENCE


def test_password():
    with Redis("--requirepass", "s3cret") as redis:
        with process(redis, "password=s3cret") as a, process(redis, "password=s3cret") as b:
            connected(a, b)
            there = watch(b)
            ask(a, "/publish?n=1")
            there.count(1)
            there.close()
        for args in (("password=wrong",), ()):
            with process(redis, *args) as s:
                eventually(lambda s=s: figures(s)["error"] not in ("", "Server closed the connection"))
                assert figures(s)["connected"] == 0
                assert any(word in figures(s)["error"] for word in ("WRONGPASS", "NOAUTH", "invalid"))


def test_silent_server():
    """One that accepts and says nothing is given up, again and again, and stopping does not wait for it."""
    with socket.create_server(("127.0.0.1", servers.free_port())) as deaf:
        port = deaf.getsockname()[1]
        with servers.launch("events", f"redis={port}", ready_path="/healthz") as s:
            assert figures(s)["connected"] == 0
            ask(s, "/publish?n=5")
            assert figures(s)["queued_bytes"] > 0
            start = time.monotonic()
            s.stop()
            assert time.monotonic() - start < 4 * PATIENCE

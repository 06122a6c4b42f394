# SPDX-License-Identifier: MIT
"""Topics (tests/programs/events.c): published on one thread, seen by streams on every worker, however they
are carried."""
import asyncio
import threading
import time

import pytest

import eventwire
from eventwire import Events
from wire import PATIENCE, Wire, eventually, request, scaled, tls_context

WATCHERS = 6


@pytest.fixture(name="server", params=eventwire.WAYS)
def two_workers(request):  # pylint: disable=redefined-outer-name
    with eventwire.serve(request.param, "worker_count=2") as s:
        s.way = request.param
        yield s


def ask(server, path):
    with Wire(server.addr) as w:
        r = w.get(path)
        assert r.status == 200
        return r.body.decode()


def figures(server):
    return {k: int(v) for k, v in (line.split() for line in ask(server, "/topic").splitlines())}


def watching(server, n, path="/watch", **kw):
    streams = [Events(server.addr, server.way, path, **kw) for _ in range(n)]
    eventually(lambda: figures(server)["subscribers"] == n)
    return streams


def test_everybody_gets_everything_in_order(server):
    n = scaled(500, least=50)
    streams = watching(server, WATCHERS)
    ask(server, f"/publish?n={n}&bytes=64")
    for s in streams:
        got = s.count(n)
        assert [e[0] for e in got] == ["news"] * n
        assert [int(e[1].rstrip("x")) for e in got] == list(range(1, n + 1))
        assert all(e[1].count("x") == 64 for e in got)
    for s in streams:
        s.close()
    eventually(lambda: figures(server)["subscribers"] == 0)
    assert figures(server)["delivered"] == n * WATCHERS
    ask(server, "/publish")         # to nobody


def test_two_publishers(server):
    n = scaled(200, least=50)
    streams = watching(server, 2)
    threads = [threading.Thread(target=ask, args=(server, f"/publish?n={n}&bytes={b}")) for b in (1, 2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for s in streams:
        got = [e[1] for e in s.count(2 * n)]
        for b in (1, 2):
            mine = [int(g.rstrip("x")) for g in got if g.count("x") == b]
            assert mine == list(range(1, n + 1))
        s.close()


def test_large_messages(server):
    streams = watching(server, 2, "/watch?max=1048576")
    ask(server, "/publish?n=20&bytes=20000")
    for s in streams:
        assert [int(e[1].rstrip("x")) for e in s.count(20)] == list(range(1, 21))
        s.close()


def test_one_that_does_not_read_holds_up_nobody(server):
    """It is cut, the others get everything, and memory stays bounded."""
    n = 1500
    slow = watching(server, 1, rcvbuf=4096)[0]
    fast = Events(server.addr, server.way, "/watch?max=67108864")
    eventually(lambda: figures(server)["subscribers"] == 2)
    done = threading.Thread(target=ask, args=(server, f"/publish?n={n}&bytes=8000"))
    done.start()
    assert [int(e[1].rstrip("x")) for e in fast.count(n)] == list(range(1, n + 1))
    done.join()
    eventually(lambda: figures(server)["subscribers"] == 1)
    slow.close()
    fast.close()


@pytest.mark.parametrize("way", eventwire.WAYS)
def test_dropping(way):
    """What does not fit is left out, the rest comes in order and whole."""
    n = 1500
    with eventwire.serve(way, "worker_count=1") as server, \
            Events(server.addr, way, "/watch?policy=1&max=65536", rcvbuf=4096) as s, \
            Events(server.addr, way, "/watch?max=67108864") as other:
        eventually(lambda: figures(server)["subscribers"] == 2)
        ask(server, f"/publish?n={n}&bytes=8000")
        # When another one has them all, all have been tried.
        other.count(n)
        other.close()
        # What was queued comes, then one of those that are published as there is room again.
        stop = threading.Event()

        def remind():
            while not stop.wait(0.1):
                ask(server, "/publish?n=1&bytes=3")
        more = threading.Thread(target=remind)
        more.start()
        try:
            s.until(lambda s: s.events and s.events[-1][1] == "1xxx", timeout=20 * PATIENCE)
        finally:
            stop.set()
            more.join()
        large = [e[1] for e in s.events if e[1] != "1xxx"]
        numbers = [int(e.rstrip("x")) for e in large]
        assert numbers == sorted(set(numbers)) and 0 < len(numbers) < n
        assert all(e.count("x") == 8000 for e in large)


def test_drain(server):
    """While it publishes: an orderly end for all, nothing cut, nobody waited for."""
    streams = watching(server, WATCHERS)
    with Wire(server.addr) as w:
        w.send(request("GET", "/publish?n=2000"))
        streams[0].count(3)
        start = time.monotonic()
        server.signal()
        for s in streams:
            numbers = [int(e[1]) for e in s.to_end()]
            assert numbers == list(range(1, len(numbers) + 1))
            s.close()
        assert w.response().body == b"done"
    assert server.wait() == 0
    assert time.monotonic() - start < 5 * PATIENCE
    server.assert_clean()


# ---- WebSockets beside them -------------------------------------------------------------------------------

websockets = pytest.importorskip("websockets")


def url_of(server):
    return f"{'wss' if server.scheme == 'https' else 'ws'}://localhost:{server.addr[1]}/ws"


async def subscribed(server):
    tls = {"ssl": tls_context()} if server.scheme == "https" else {}
    ws = await websockets.connect(url_of(server), open_timeout=10 * PATIENCE, max_size=None,
                                  compression=None, **tls)
    await ws.send("subscribe")
    assert await ws.recv() == "OK"
    return ws


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30 * PATIENCE))


def test_websockets_and_streams_of_both_workers(server):
    """The same messages, in order, framed as each needs them; what is binary passes streams by."""
    n = scaled(300, least=50)

    async def talk():
        sockets = [await subscribed(server) for _ in range(WATCHERS)]
        await asyncio.to_thread(ask, server, f"/publish?n={n}&bytes=64")
        for ws in sockets:
            got = [await ws.recv() for _ in range(n)]
            assert [int(m.rstrip("x")) for m in got] == list(range(1, n + 1))
        # From a callback, to oneself too.
        await sockets[0].send(b"\xff\x00")
        assert {await sockets[0].recv(), await sockets[0].recv()} == {"OK", b"\xff\x00"}
        for ws in sockets[1:]:
            assert await ws.recv() == b"\xff\x00"
        await sockets[1].send("unsubscribe")
        assert await sockets[1].recv() == "OK"
        await sockets[1].send("unsubscribe")
        assert await sockets[1].recv() == "ENOENT"
        await asyncio.to_thread(ask, server, "/publish?n=1")
        assert await sockets[2].recv() == "1"
        await sockets[1].send("subscribe")
        assert await sockets[1].recv() == "OK"
        for ws in sockets:
            await ws.close()

    stream = watching(server, 1)[0]
    run(talk())
    assert len(stream.count(n + 1)) == n + 1
    stream.close()
    eventually(lambda: figures(server)["subscribers"] == 0)


def test_drain_with_websockets(server):
    async def talk():
        sockets = [await subscribed(server) for _ in range(WATCHERS)]
        await asyncio.to_thread(ask, server, "/publish?n=500")
        server.signal()
        for ws in sockets:
            got = []
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    got.append(int(await ws.recv()))
            assert got == list(range(1, len(got) + 1)) and ws.close_code == 1001

    run(talk())
    assert server.wait() == 0
    server.assert_clean()

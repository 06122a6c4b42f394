# SPDX-License-Identifier: MIT
"""Sessions on QUIC alone (tako_quic_raw) over real sockets, on every runtime: what a client that is not ours sees of
each conversation, and what the server's callbacks saw, is written down here, and is the same on all of them."""
import os

import pytest

import servers
from rawwire import Raw
from transcript import noise
from wire import eventually, once, request

PROGRAM = servers.program("tests/programs/wt") if os.path.exists(f"{servers.BUILD}/tests/programs/wt") else None
pytestmark = pytest.mark.skipif(not PROGRAM, reason="a build without QUIC")
KINDS = ("echo", "push", "close", "hold", "break")
#: What the server takes of a stream that nobody reads, and keeps of one that the client does not read.
WINDOW, HIGH_WATER = 65536, 256 << 10
MUCH = noise(4 << 20)


class Sessions:
    """A server with a listener for each kind of session."""

    def __init__(self, runtime, *args):
        cert, key = servers.shared_certificate()
        self.ports = {kind: servers.free_port() for kind in KINDS}
        port = servers.free_port()
        argv = [PROGRAM, f"listen=127.0.0.1:{port}", f"cert_file={cert}", f"key_file={key}", "worker_count=1",
                f"h3_stream_window_bytes={WINDOW}", *(f"raw_{k}=127.0.0.1:{p}" for k, p in self.ports.items()), *args]
        self.server = servers.Server(argv, ("127.0.0.1", port, "tls"), ready_path="/", env={"TAKO_RUNTIME": runtime})
        self.told = 0

    def connect(self, kind, **kw):
        return Raw(("127.0.0.1", self.ports[kind]), **kw)

    def events(self):
        """Those that nobody has asked for yet."""
        return once(self.server.addr, request("GET", "/events", "Connection: close")).body.decode().splitlines()[self.told:]

    def after(self, last, count=1):
        """All that happened until `count` of them began like this."""
        def there():
            events = self.events()
            return events if sum(e.startswith(last) for e in events) >= count else None
        found = eventually(there)
        self.told += len(found)
        return found


    def forget(self):
        """What a test that failed has left is not the next one's."""
        def quiet():
            events = self.events()
            opened, closed = (sum(e.startswith(word) for e in events) for word in ("open ", "closed "))
            return opened <= closed
        eventually(quiet)
        self.told += len(self.events())


@pytest.fixture(scope="module", params=servers.runtimes())
def server(request):
    s = Sessions(request.param)
    yield s
    s.server.stop()


@pytest.fixture
def sessions(server):
    yield server
    server.forget()


def ask_datagram(raw, data):
    """Until it has come back: datagrams may be lost, wherever there is no room for one."""
    def came():
        raw.datagram(data)
        try:
            raw.until(lambda: data in raw.datagrams, timeout=2)
        except TimeoutError:
            return False
        return True
    assert eventually(came)


def test_streams_of_the_client(sessions):
    with sessions.connect("echo") as raw:
        raw.connected()
        bidi = raw.open()
        raw.send(bidi, b"hello")
        assert raw.whole(bidi) == b"hello" and raw.closed(bidi) == 0
        assert sessions.after("stream closed") == ["open raw/1", "stream bidi", "end bidi", "stream closed bidi OK"]
        uni = raw.open(uni=True)
        raw.send(uni, b"one way")
        assert raw.whole(3) == b"one way" and raw.closed(uni) == 0
        assert sorted(sessions.after("stream closed", 2)) == [
            "end uni", "stream closed our uni OK", "stream closed uni OK", "stream uni"]
        empty = raw.open()
        raw.send(empty, b"")
        assert raw.whole(empty) == b"" and raw.closed(empty) == 0
        assert (bidi, uni, empty) == (0, 2, 4)
        assert sessions.after("stream closed") == ["stream bidi", "end bidi", "stream closed bidi OK"]
        raw.close((1 << 62) - 1, "bye, é")
        assert raw.end == f"client application {(1 << 62) - 1} bye, é"
    assert sessions.after("closed") == [f"closed OK {(1 << 62) - 1} bye, é"]


def test_much_at_once(sessions):
    """Many times what any window holds, on several streams that come back in one piece each."""
    with sessions.connect("echo", window=100000) as raw:
        raw.connected()
        ids = [raw.open() for _ in range(8)]
        for i in ids:
            raw.send(i, MUCH[i:i + (1 << 19)])
        for i in ids:
            assert raw.whole(i) == MUCH[i:i + (1 << 19)] and raw.closed(i) == 0
        assert sorted(sessions.after("stream closed", 8)) == sorted(
            ["open raw/1"] + ["stream bidi", "end bidi", "stream closed bidi OK"] * 8)
        raw.close(0)
    assert sessions.after("closed") == ["closed OK 0 "]


def test_datagrams(sessions):
    with sessions.connect("echo") as raw:
        raw.connected()
        for data in (b"d", b"", noise(1100)):
            ask_datagram(raw, data)
        raw.close(5, "enough")
    assert sessions.after("closed") == ["open raw/1", "closed OK 5 enough"]


def test_streams_of_the_server(sessions):
    with sessions.connect("push") as raw:
        raw.connected()
        assert raw.whole(1) == b"pushed" and raw.whole(3) == b"pushed"
        raw.send(1, b"thanks")
        assert raw.closed(1) == 0
        raw.until(lambda: raw.datagrams == [b"pushed"])
        assert sorted(sessions.after("stream closed", 2)) == [
            "open raw/1", "stream closed our bidi OK", "stream closed our uni OK"]
        raw.close(1)
    assert sessions.after("closed") == ["closed OK 1 "]


def test_the_server_closes(sessions):
    """With a code beyond 32 bits, which only a session on QUIC alone has."""
    with sessions.connect("close") as raw:
        raw.until(lambda: raw.end is not None)
        assert raw.end == f"server application {1 << 40} enough"
    assert sessions.after("closed") == ["open raw/1", f"closed OK {1 << 40} enough"]


def test_codes(sessions):
    """Of resets and stops, either way."""
    with sessions.connect("break") as raw:
        raw.connected()
        broken = raw.open()
        raw.send(broken, b"\x07", end=False)
        assert raw.closed(broken) in (7, 8) and raw.streams[broken].reset == 7
        # The client answers the stop with a reset of its own: whichever is heard first counts.
        assert sessions.after("stream closed") in [["open raw/1", "stream bidi", f"stream closed bidi ECLOSED {code}"]
                                                   for code in (7, 8)]
        raw.close(0)
    sessions.after("closed")
    with sessions.connect("echo") as raw:
        raw.connected()
        given_up = raw.open()
        raw.send(given_up, b"half", end=False)
        raw.until(lambda: raw.streams[given_up].data == b"half")
        raw.reset(given_up, 9)
        assert raw.closed(given_up) == 9 and raw.streams[given_up].reset == 9
        assert sessions.after("stream closed") == ["open raw/1", "stream bidi", "reset bidi 9",
                                                   "stream closed bidi ECLOSED 9"]
        raw.close(0)
    sessions.after("closed")


def test_who_does_not_read_stops_who_sends(sessions):
    """The server reads nothing: no more than a stream's window ever leaves the client.  Then all of it comes back."""
    with sessions.connect("hold") as raw:
        raw.connected()
        held = raw.open()
        raw.send(held, MUCH)
        eventually(lambda: raw.left(held) == WINDOW)
        ask_to_go_on(raw, held)
        assert raw.whole(held) == MUCH and raw.closed(held) == 0
        raw.close(0)
    assert sessions.after("closed") == ["open raw/1", "stream bidi", "end bidi", "stream closed bidi OK", "closed OK 0 "]


def ask_to_go_on(raw, stream):
    """By a datagram, which is not bound to arrive."""
    def goes_on():
        raw.datagram(b"go on")
        return raw.left(stream) != WINDOW
    eventually(goes_on, every=0.2)


def test_who_is_not_read_reads_no_more(sessions):
    """The client reads nothing: what the server keeps for it has a bound, and so has what it takes."""
    with sessions.connect("echo", window=50000, hold=True) as raw:
        raw.connected()
        echoed = raw.open()
        raw.send(echoed, MUCH)
        raw.until(lambda: raw.streams[echoed].data == MUCH[:50000])
        eventually(lambda: raw.left(echoed) >= HIGH_WATER)
        assert raw.left(echoed) <= 50000 + HIGH_WATER + 2 * WINDOW
        assert len(raw.streams[echoed].data) == 50000
        raw.flow()
        assert raw.whole(echoed) == MUCH and raw.closed(echoed) == 0
        raw.close(0)
    assert sessions.after("closed") == ["open raw/1", "stream bidi", "end bidi", "stream closed bidi OK", "closed OK 0 "]


def test_another_protocol(sessions):
    """No application has agreed to speak: "no_application_protocol" (RFC 9001 section 8.1)."""
    with sessions.connect("echo", alpn="raw/2") as raw:
        raw.until(lambda: raw.end is not None)
        assert raw.end.startswith(f"server transport {0x100 + 120} "), raw.end
    assert sessions.events() == []


@pytest.mark.parametrize("runtime", servers.runtimes())
def test_the_server_stops(runtime):
    """Sessions are over with it, and their clients hear so."""
    s = Sessions(runtime)
    with s.connect("echo") as raw:
        raw.connected()
        stream = raw.open()
        raw.send(stream, b"not the end", end=False)
        raw.until(lambda: raw.streams[stream].data == b"not the end")
        s.server.stop()
        raw.until(lambda: raw.end is not None)
        assert raw.end == "server application 0 the server stops"

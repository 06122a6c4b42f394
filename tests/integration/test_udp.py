# SPDX-License-Identifier: MIT
"""Raw datagrams (tests/programs/udp.c): what comes is told and answered from where it was sent to, trains leave as what
they are made of, every one that is lost is counted, and a stop says what was queued."""
import re
import select
import shutil
import socket
import subprocess
import time

import pytest

import servers
from test_proxy import facts
from wire import TIMEOUT_S, Wire, eventually, scaled

OVERHEAD = 64  # what a queued datagram counts beside its bytes


class Udp(servers.Server):
    """Its port over TCP is the tests' own way to the figures."""

    def __init__(self, *args, listen="127.0.0.1:0", workers=1, **kw):
        super().__init__([servers.program("tests/programs/udp"), f"listen={listen}", f"worker_count={workers}", *args],
                         None, ready_path=None, **kw)
        try:
            eventually(lambda: self.stdout.count("listening ") == 2 or self.proc.poll() is not None)
            ports = re.findall(r"listening \S+:(\d+)", self.stdout)
            self.port = int(ports[0])
            self.plain = ("127.0.0.1", int(ports[-1]))
        except BaseException:
            self.kill()
            raise

    def client(self, host="127.0.0.1", source=None):
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        if source:
            s.bind((source, 0))
        s.connect((host, self.port))
        s.settimeout(TIMEOUT_S)
        return s

    def figures(self):
        with Wire(self.plain) as w:
            return {k: int(v) for k, v in facts(w.get("/stats", "Connection: close").body).items()}

    def becomes(self, **wanted):
        """These figures, in the end."""
        now = {}

        def as_wanted():
            now.update(self.figures())
            return {k: now[k] for k in wanted} == wanted
        try:
            eventually(as_wanted)
        except AssertionError:
            raise AssertionError(f"{ {k: now[k] for k in wanted} } instead of {wanted}") from None


@pytest.fixture(name="server", scope="module")
def fixture_server():
    with Udp() as s:
        yield s


def ask(c, data):
    c.send(data)
    return c.recv(65536)


def receive(c, count):
    """So many datagrams."""
    return [c.recv(65536) for _ in range(count)]


def silent(c, seconds=0.05):
    return not select.select([c], [], [], seconds)[0]


# ---- There and back -----------------------------------------------------------------------------------------


def test_echo(server):
    before = server.figures()
    with server.client() as c:
        for n in (1, 2, 64, 1472, 1473, 9000, 65507):
            data = b"x" * n
            assert ask(c, data) == data
    server.becomes(received=before["received"] + 7, sent=before["sent"] + 7, lost=0, dropped=0, failed=0)
    after = server.figures()
    assert after["received_bytes"] - before["received_bytes"] >= 77519


def test_empty_datagrams(server):
    with server.client() as c:
        assert ask(c, b"") == b""
        assert ask(c, b"e") == b""
        c.send(b"x")
        c.send(b"")
        c.send(b"y")
        assert receive(c, 3) == [b"x", b"", b"y"]


def test_addresses(server):
    with server.client() as c:
        said = facts(ask(c, b"a"))
        assert said["from"] == f"127.0.0.1:{c.getsockname()[1]}"
        assert said["to"] == f"127.0.0.1:{server.port}"


def test_too_long(server):
    with server.client() as c:
        assert ask(c, b"l") == b"ETOOBIG"


def test_many_peers(server):
    clients = [server.client() for _ in range(scaled(100, 20))]
    for round_ in range(3):
        for i, c in enumerate(clients):
            c.send(b"x%d-%d" % (i, round_))
        for i, c in enumerate(clients):
            assert c.recv(100) == b"x%d-%d" % (i, round_)
    for c in clients:
        c.close()


@pytest.mark.parametrize("host,source", [("127.0.0.1", None), ("127.0.0.2", "127.0.0.3"), ("::1", None)])
def test_an_answer_comes_from_where_the_question_went(host, source):
    """Bound to every address: the client is connected to one, and hears of no other."""
    with Udp(listen=":0") as s, s.client(host, source) as c:
        said = facts(ask(c, b"a"))
        assert said["to"].split("]")[0].lstrip("[") in (host, f"::ffff:{host}:{s.port}", f"::ffff:{host}")
        assert int(said["ifindex"]) == socket.if_nametoindex("lo")
        assert ask(c, b"xyz") == b"xyz"
        assert len(ask(c, b"t 1 100")) == 100


def test_to_any_address(server):
    with server.client() as c, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(TIMEOUT_S)
        assert ask(c, b"o %d" % other.getsockname()[1]) == b"OK"
        assert other.recvfrom(100) == (b"hello", ("127.0.0.1", server.port))


def test_to_ipv4_from_a_socket_for_both():
    with Udp(listen=":0") as s, s.client("::1") as c, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(TIMEOUT_S)
        assert ask(c, b"o %d" % other.getsockname()[1]) == b"OK"
        assert other.recvfrom(100) == (b"hello", ("127.0.0.1", s.port))


def test_to_another_family():
    with Udp(listen="[::1]:0") as s, s.client("::1") as c:
        assert ask(c, b"o 1") == b"EINVAL"


# ---- Trains ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"t", b"f"])
@pytest.mark.parametrize("count,size", [(1, 1), (2, 100), (64, 64), (65, 64), (200, 30), (40, 1400), (20, 1453), (3, 20000)])
def test_trains(server, kind, count, size):
    """As one send of many, and as many of one: the datagrams are the same."""
    if count * size > 65536:
        count = 65536 // size
    before = server.figures()
    with server.client() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        c.send(b"%s %d %d" % (kind, count, size))
        assert receive(c, count) == [b"b" * size] * count
        assert silent(c)
    server.becomes(sent=before["sent"] + count, failed=before["failed"], refused=before["refused"])


def test_answers_of_different_lengths(server):
    """A shorter one ends a train, an empty one is none."""
    with server.client() as c:
        sizes = [100, 100, 50, 100, 100, 0, 100, 101, 101, 1, 1, 1]
        for n in sizes:
            c.send(b"x" * n)
        assert [len(d) for d in receive(c, len(sizes))] == sizes


def lost_of(server, count):
    """Some were, and some were not."""
    eventually(lambda: server.figures()["lost"])
    lost = server.figures()["lost"]
    assert 0 < lost < count
    return lost


# ---- Losses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"f", b"d"])
def test_a_full_queue_drops_and_counts(kind):
    """To one peer, in trains, and to many: what has room is known, and what has not is counted."""
    limit, size, count = 100000, 1000, 500
    with Udp(f"send_queue_bytes={limit}") as s, s.client() as c, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        room = limit // (size + OVERHEAD)
        c.send(b"%s %d %d %d" % (kind, count, size, min(sink.getsockname()[1], 65000)))
        s.becomes(sent=room, dropped=count - room, refused=count - room, writable=1, failed=0)
        # And goes on.
        c.setblocking(False)
        try:
            while c.recv(65536):
                pass
        except BlockingIOError:
            c.settimeout(TIMEOUT_S)
        assert ask(c, b"x") == b"x"


def test_a_train_that_has_no_room_is_dropped_whole():
    with Udp("send_queue_bytes=4096") as s, s.client() as c:
        c.send(b"t 40 100")
        s.becomes(received=1, sent=0, dropped=40, refused=40)
        c.send(b"t 24 100")
        assert receive(c, 24) == [b"b" * 100] * 24
        s.becomes(sent=24, dropped=40)


def test_what_the_kernel_drops_is_counted():
    """While its worker is busy the socket's buffer takes what it can; the rest is known to the datagram."""
    count = scaled(20000, 2000)
    with Udp("udp_recv_buffer_bytes=65536") as s, s.client() as c:
        assert ask(c, b"x") == b"x"
        c.send(b"s 1500")
        for _ in range(count):
            c.send(b"y" * 200)
        eventually(lambda: s.figures()["received"] > 1)
        c.send(b"s 0")  # is received, and says what was lost before it
        s.becomes(received=count + 3 - lost_of(s, count))
        s.stop()
        assert int(s.said("received")) + int(s.said("lost")) == count + 3


def test_nobody_listens_there(server):
    """Who refuses an answer harms nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    with server.client() as c:
        for _ in range(5):
            assert ask(c, b"o %d" % port) == b"OK"
        assert ask(c, b"x") == b"x"


def test_no_route(server):
    """What the kernel refuses is counted, and what is behind it is sent."""
    before = server.figures()
    with server.client() as c:
        c.send(b"d 3 100 0")  # nobody has port 0
        c.send(b"x")
        assert c.recv(100) == b"x"
    server.becomes(failed=before["failed"] + 1)


# ---- Workers ------------------------------------------------------------------------------------------------------


def test_shards():
    """Several workers share the port, and each peer has one of them."""
    with Udp(workers=3) as s:
        clients = [s.client() for _ in range(60)]
        for round_ in range(3):
            for i, c in enumerate(clients):
                assert ask(c, b"x%d.%d" % (i, round_)) == b"x%d.%d" % (i, round_)
        f = s.figures()
        assert f["started"] == 3 and f["received"] == 180 and f["sent"] == 180
        assert 0 < f["others"] < 180 and f["others"] % 3 == 0
        for c in clients:
            c.close()


# ---- The end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_stop(workers):
    with Udp(workers=workers) as s, s.client() as c:
        assert ask(c, b"x") == b"x"
        s.signal()
        s.stop()
        assert s.said("stopped") == str(workers) and s.said("started") == str(workers)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", s.port))


def test_socat(server):
    if not shutil.which("socat"):
        pytest.skip("no socat")
    r = subprocess.run(["socat", "-t1", "-", f"UDP:127.0.0.1:{server.port}"], input=b"xsocat", capture_output=True,
                       timeout=TIMEOUT_S, check=True)
    assert r.stdout == b"xsocat"


# ---- Settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args,word", [
    (["no_udp"], "needs tako_listen_config.udp"), (["no_callback"], "on_datagram is not set"),
    (["http1"], "udp is set"), (["raw"], "udp instead"), (["send_queue_bytes=4095"], "send_queue_bytes"),
    (["udp_recv_buffer_bytes=1000000000"], "net.core.rmem_max"),
    (["udp_send_buffer_bytes=1000000000"], "net.core.wmem_max"),
    (["udp_send_buffer_bytes=2000000000"], "is over"), (["cert_file=x"], "without TLS"),
    (["proxy_protocol=1"], "no connections"), (["backlog=1"], "backlog"), (["h3_qlog_dir=/tmp"], "without QUIC"),
    (["listen=unix:/tmp/x"], "need a port"), (["unix_mode=384"], "unix_mode"), (["listen=127.0.0.1"], "no port")])
def test_refused_settings(args, word):
    r = servers.run_refused([servers.program("tests/programs/udp"), *args])
    assert r.returncode == 2 and word in r.stderr, r


def test_a_port_that_is_taken():
    with Udp() as s:
        r = servers.run_refused([servers.program("tests/programs/udp"), f"listen=127.0.0.1:{s.port}", "worker_count=2"])
        assert r.returncode == 2 and "Address already in use" in r.stderr, r

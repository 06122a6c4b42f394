# SPDX-License-Identifier: MIT
"""Raw datagrams (tests/programs/udp.c): what comes is told and answered from where it was sent to, trains leave as what
they are made of, every one that is lost is counted, and a stop says what was queued."""
import ctypes
import functools
import re
import select
import shutil
import socket
import subprocess
import threading
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
        s.becomes(received=1, sent=0, dropped=40, refused=40, all_dropped=40)
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
        more = 0

        def settled():
            """Each one that is received says what was lost before it."""
            nonlocal more
            c.send(b"s 0")
            more += 1
            now = s.figures()
            return now["lost"] > 0 and now["received"] + now["lost"] == count + 2 + more
        eventually(settled)
        s.stop()
        assert int(s.said("received")) + int(s.said("lost")) == count + 2 + more


def load(server, count, window, flows, trains=False, wait_ms=10000):
    """Everything of tests/programs/udp_load that was sent, and what came back of it."""
    r = subprocess.run([servers.program("tests/programs/udp_load"), "127.0.0.1", str(server.port), str(count), "64",
                        str(window), str(flows), str(int(trains)), str(wait_ms)], capture_output=True, timeout=120, text=True)
    assert r.returncode in (0, 1), r
    return {k: int(v) for k, v in facts(r.stdout.encode()).items()}


def test_a_million_datagrams():
    """At a rate that the kernel's buffers allow none is lost, and each comes back once, as it was."""
    count = scaled(1000000, 50000) if servers.SAN else 1000000
    with Udp(workers=2) as s:
        assert load(s, count, 64, 16, trains=True) == {"sent": count, "received": count, "wrong": 0, "missing": 0}
        s.becomes(received=count, sent=count, lost=0, dropped=0, failed=0)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", ":0"])
def test_many_datagrams_one_by_one(listen):
    count = scaled(100000, 10000)
    with Udp("max_peers=64", workers=2, listen=listen) as s:
        assert load(s, count, 64, 64) == {"sent": count, "received": count, "wrong": 0, "missing": 0}
        s.becomes(received=count, sent=count, lost=0, dropped=0, failed=0, opened=64)


def test_more_than_the_buffers_take():
    """What is missing is known, to the datagram: each is told or lost, each answer sent or dropped."""
    count = scaled(100000, 20000)
    with Udp("udp_recv_buffer_bytes=20000", "send_queue_bytes=20000") as s:
        got = load(s, count, 2000, 16, wait_ms=700)
        assert got["wrong"] == 0 and got["missing"] == got["sent"] - got["received"]
        s.stop()
        f = {k: int(s.said(k)) for k in ("received", "sent", "lost", "dropped", "failed")}
        assert f["received"] + f["lost"] == got["sent"] and f["lost"] > 0
        assert f["received"] == f["sent"] + f["dropped"] and f["failed"] == 0
        # The client's own buffer may have been too small for the rest.
        assert got["received"] <= f["sent"]


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


# ---- From other threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_from_another_thread(workers):
    """None is lost, and what goes to one address keeps its order."""
    with Udp(workers=workers) as s, s.client() as c:
        for _ in range(20):
            c.send(b"q 100 20")
            assert [d[:8] for d in receive(c, 100)] == [b"%08d" % i for i in range(100)]
        s.becomes(sent=2000, dropped=0, refused=0)


def test_more_from_another_thread_than_may_be_on_its_way():
    """While the worker waits for that thread: as much as fits into the queue, and the rest is counted."""
    count = 100
    with Udp(f"send_queue_bytes={count * (36 + OVERHEAD)}") as s, s.client() as c:
        for i in range(1, 4):
            c.send(b"q 150 36")
            assert [d[:8] for d in receive(c, count)] == [b"%08d" % n for n in range(count)]
            s.becomes(sent=i * count, dropped=i * 50, refused=i * 50)


# ---- Workers ------------------------------------------------------------------------------------------------------


def test_shards():
    """Several workers share the port, and each peer has one of them."""
    with Udp(workers=3) as s:
        clients = [s.client() for _ in range(60)]
        for round_ in range(3):
            for i, c in enumerate(clients):
                assert ask(c, b"x%d.%d" % (i, round_)) == b"x%d.%d" % (i, round_)
        s.becomes(sent=180)
        f = s.figures()
        assert f["started"] == 3 and f["received"] == 180
        assert 0 < f["others"] < 180 and f["others"] % 3 == 0
        for c in clients:
            c.close()


# ---- Peers ----------------------------------------------------------------------------------------------------------


def test_peers():
    """Each has its own memory, and is opened and closed once."""
    with Udp("max_peers=100", workers=2) as s:
        clients = [s.client() for _ in range(20)]
        for n in range(1, 4):
            for c in clients:
                assert ask(c, b"p") == b"%d" % n
        s.becomes(opened=20, told_open=20, closed=0, peers=20, all_received=60, all_sent=60)
        with Wire(s.plain) as w:
            page = w.get("/metrics", "Connection: close").body.decode()
        assert "\ntako_udp_received_total 60\n" in page and "\ntako_udp_peers 20\n" in page
        clients[0].send(b"c")
        assert clients[0].recv(100) == b"bye"
        assert ask(clients[0], b"p") == b"1"
        s.becomes(opened=21, closed=1, told_open=21, told_closed=1)
        s.signal()
        for c in clients:
            assert c.recv(100) == b"bye"
            c.close()
        s.stop()
        assert s.said("told_open") == s.said("told_closed") == s.said("closed") == "21"


def test_a_peer_closed_within_a_train():
    with Udp("max_peers=10") as s, s.client() as c:
        c.setsockopt(socket.IPPROTO_UDP, 103, 1)  # UDP_SEGMENT
        c.send(b"xcxcx")
        got = sorted(receive(c, 5))
        assert got == [b"bye", b"bye", b"x", b"x", b"x"]
        s.becomes(received=5, opened=3, closed=2)


def test_more_peers_than_may_be():
    with Udp("max_peers=3", workers=2) as s:
        clients = [s.client() for _ in range(4)]
        for c in clients[:3]:
            assert ask(c, b"p") == b"1"
        clients[3].send(b"p")
        s.becomes(peers_refused=1, received=3, opened=3)
        clients[0].send(b"c")
        assert clients[0].recv(100) == b"bye"
        s.becomes(closed=1)
        assert ask(clients[3], b"p") == b"1"
        for c in clients:
            c.close()


def test_a_peer_that_is_not_wanted():
    with Udp("max_peers=3") as s, s.client() as c:
        c.send(b"n")
        s.becomes(opened=1, closed=1, told_closed=1, received=0)
        assert ask(c, b"p") == b"1"
        assert ask(c, b"n") == b"n"  # it is not new


def test_idle_peers():
    """Who is silent is forgotten; who is not is not."""
    with Udp("max_peers=10", "peer_idle_timeout_ms=400") as s, s.client() as idle, s.client() as busy:
        assert ask(idle, b"p") == b"1"
        told = 0
        until = time.monotonic() + TIMEOUT_S
        while silent(idle, 0.02):
            told += 1
            assert ask(busy, b"p") == b"%d" % told
            assert time.monotonic() < until
        assert idle.recv(100) == b"bye"
        s.becomes(timed_out=1, opened=2)
        assert busy.recv(100) == b"bye"
        s.becomes(timed_out=2, closed=2)


def test_many_peers_in_the_table():
    """It grows, and finds everybody again."""
    count = scaled(300, 100)
    with Udp("max_peers=1000") as s:
        clients = [s.client("127.0.0.1", f"127.0.{i % 200}.{1 + i % 250}") for i in range(count)]
        for n in (b"1", b"2"):
            for c in clients:
                assert ask(c, b"p") == n
        s.becomes(opened=count, closed=0)
        for c in clients:
            c.close()


def test_a_peer_is_answered_from_where_it_went():
    with Udp("max_peers=5", listen=":0") as s, s.client("127.0.0.2") as c, s.client("::1") as c6:
        assert ask(c, b"p") == b"1"
        assert ask(c6, b"p") == b"1"


# ---- Multicast ------------------------------------------------------------------------------------------------------


def sender(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM)
    lo = socket.if_nametoindex("lo")
    if family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    else:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, lo)
    s.settimeout(TIMEOUT_S)
    return s


GROUPS = [("239.195.7.1", socket.AF_INET), ("ff15::7:1", socket.AF_INET6)]
CLONE_NEWNET = 0x40000000


def on_a_loopback_of_its_own(test):
    """In a network namespace, whose loopback has the route to IPv6's groups that a machine's has not."""
    @functools.wraps(test)
    def wrapped(**kw):
        def run():
            try:
                if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) < 0:
                    raise pytest.skip.Exception("no network namespaces for us here")
                for args in (["link", "set", "lo", "up", "multicast", "on"],
                             ["-6", "route", "replace", "local", "ff00::/8", "dev", "lo", "table", "local"]):
                    subprocess.run(["ip", *args], check=True, timeout=TIMEOUT_S)
                test(**kw)
            except BaseException as e:
                failed.append(e)
        failed = []
        # A namespace is a thread's, and of the processes that it starts.
        t = threading.Thread(target=run)
        t.start()
        t.join()
        if failed:
            raise failed[0]
    return wrapped


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("group,family", GROUPS)
@on_a_loopback_of_its_own
def test_multicast(group, family, workers):
    """A group is told once, however many workers there are; answers come from the machine's own address."""
    with Udp(f"multicast={group}%lo", listen=":0", workers=workers) as s, sender(family) as c:
        for i in range(10):
            c.sendto(b"x%d" % i, (group, s.port))
        assert [c.recv(100) for _ in range(10)] == [b"x%d" % i for i in range(10)]
        s.becomes(received=10, sent=10, others=0)
        assert silent(c)


def test_several_groups():
    a, b = "239.195.7.2", "239.195.7.3"
    with Udp(f"multicast={a}%lo , {b}%1", listen="0.0.0.0:0") as s, sender() as c:
        c.sendto(b"xa", (a, s.port))
        assert c.recv(100) == b"xa"
        c.sendto(b"xb", (b, s.port))
        assert c.recv(100) == b"xb"


def test_a_group_of_somebody_else():
    """That this machine has joined it for another socket is no reason to be told."""
    group = "239.195.7.4"
    with Udp(listen="0.0.0.0:0") as s, sender() as c, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.bind(("0.0.0.0", 0))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                          socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
        c.sendto(b"x", (group, s.port))
        c.sendto(b"x-here", ("127.0.0.1", s.port))
        assert c.recv(100) == b"x-here"
        s.becomes(received=1)


def test_every_worker_joins():
    """Then each is told."""
    group = "239.195.7.5"
    with Udp(f"join={group}%lo", listen="0.0.0.0:0", workers=3) as s, sender() as c:
        s.becomes(started=3)
        c.sendto(b"x", (group, s.port))
        assert [c.recv(100) for _ in range(3)] == [b"x"] * 3
        s.becomes(received=3, others=2)


def test_join_and_leave():
    group = "239.195.7.6"
    with Udp(listen="0.0.0.0:0") as s, sender() as c, s.client() as ctl:
        assert ask(ctl, b"k %s%%lo" % group.encode()) == b"ESYS"
        assert ask(ctl, b"j %s%%lo" % group.encode()) == b"OK"
        assert ask(ctl, b"j %s%%lo" % group.encode()) == b"ESYS"
        c.sendto(b"x1", (group, s.port))
        assert c.recv(100) == b"x1"
        assert ask(ctl, b"k %s%%lo" % group.encode()) == b"OK"
        c.sendto(b"x2", (group, s.port))
        assert ask(ctl, b"x") == b"x"
        assert silent(c)
        for bad in (b"10.0.0.1", b"nonsense", b"239.1.1.1%nolo", b"239.1.1.1, 239.1.1.2", b"", b"::1"):
            assert ask(ctl, b"j " + bad) == b"EINVAL", bad


@pytest.mark.parametrize("group,family", GROUPS)
@on_a_loopback_of_its_own
def test_send_to_a_group(group, family):
    any_addr = "0.0.0.0" if family == socket.AF_INET else "[::]"
    with Udp("multicast_interface=lo", "multicast_ttl=3", listen=f"{any_addr}:0") as s, \
            s.client() as ctl, socket.socket(family, socket.SOCK_DGRAM) as member:
        member.settimeout(TIMEOUT_S)
        lo = socket.if_nametoindex("lo")
        if family == socket.AF_INET:
            member.bind((group, 0))
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                              socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
            member.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
            kind = (socket.IPPROTO_IP, socket.IP_TTL)
        else:
            member.bind(("::", 0))
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                              socket.inet_pton(family, group) + lo.to_bytes(4, "little"))
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            kind = (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)
        assert ask(ctl, b"h %d %s" % (member.getsockname()[1], group.encode())) == b"OK"
        data, ancillary, _, _ = member.recvmsg(100, 100)
        assert data == b"hello"
        assert [int.from_bytes(v[:4], "little") for level, t, v in ancillary if (level, t) == kind] == [3]


def test_send_to_a_group_that_is_not_heard_here():
    group = "239.195.7.8"
    with Udp("multicast_interface=lo", "multicast_loop=off", listen="0.0.0.0:0") as s, \
            s.client() as ctl, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member:
        member.bind((group, 0))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                          socket.inet_aton(group) + socket.inet_aton("127.0.0.1"))
        assert ask(ctl, b"h %d %s" % (member.getsockname()[1], group.encode())) == b"OK"
        s.becomes(sent=2)
        # Over the loopback interface itself what is sent comes back all the same.
        assert s.figures()["failed"] == 0


@pytest.mark.parametrize("allowed", [0, 1])
def test_broadcast(allowed):
    with Udp(f"broadcast={allowed}", listen="0.0.0.0:0") as s, s.client() as ctl:
        assert ask(ctl, b"h 9 127.255.255.255") == b"OK"
        s.becomes(sent=1 + allowed, failed=1 - allowed)


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
    (["peer_idle_timeout_ms=5"], "max_peers is not"), (["peer_user_bytes=5"], "max_peers is not"),
    (["max_peers=1", "peer_user_bytes=1048577"], "peer_user_bytes"),
    (["max_peers=1", "peer_idle_timeout_ms=3000000000"], "timeout"), (["multicast=10.0.0.1"], "no multicast group"),
    (["multicast=239.1.1.1%nolo"], "no network interface"), (["multicast=239.1.1.1,"], "no multicast group"),
    (["multicast=" + ",".join(f"239.1.1.{i}" for i in range(21))], "more than 20"),
    (["listen=127.0.0.1:0", "multicast=ff15::1"], "join ff15::1"), (["multicast_ttl=256"], "multicast_ttl"),
    (["multicast_loop=1"], "multicast_loop"), (["multicast_interface=nolo"], "no network interface"),
    (["broadcast=2"], "broadcast"), (["listen=unix:/tmp/x"], "need a port; over a Unix socket, records"), (["unix_mode=384"], "unix_mode"), (["listen=127.0.0.1"], "no port")])
def test_refused_settings(args, word):
    r = servers.run_refused([servers.program("tests/programs/udp"), *args])
    assert r.returncode == 2 and word in r.stderr, r


def test_a_port_that_is_taken():
    with Udp() as s:
        r = servers.run_refused([servers.program("tests/programs/udp"), f"listen=127.0.0.1:{s.port}", "worker_count=2"])
        assert r.returncode == 2 and "Address already in use" in r.stderr, r

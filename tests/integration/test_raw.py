# SPDX-License-Identifier: MIT
"""Connections without HTTP (tests/programs/raw.c): over TCP, Unix sockets and TLS; what comes goes back, ends are
told once, limits hold, a stop waits for what is said."""
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import servers
from test_proxy import V1_LINE, facts
from wire import PATIENCE, TIMEOUT_S, Wire, eventually, on_time, scaled, tls_context

KINDS = ["tcp", "unix", "tls"]
BIG = 64 << 20
CONTEXT = tls_context()  # made once: it reads every authority of the system


class Raw(servers.Server):
    """Its port is the tests' own way to the figures."""

    def __init__(self, kind, *args, tmp=None, workers=2, **kw):
        listen = f"unix:{tmp}/s" if kind == "unix" else "127.0.0.1:0"
        if kind == "tls":
            cert, key = servers.shared_certificate()
            args += (f"cert_file={cert}", f"key_file={key}")
        super().__init__([servers.program("tests/programs/raw"), f"listen={listen}", f"transport={kind}",
                          f"worker_count={workers}", *args], None, ready_path=None, **kw)
        try:
            eventually(lambda: self.stdout.count("listening ") == 2 or self.proc.poll() is not None)
            ports = re.findall(r"listening 127\.0\.0\.1:(\d+)", self.stdout)
            self.addr = ("unix", f"{tmp}/s") if kind == "unix" else ("127.0.0.1", int(ports[0]))
            self.addr += ("tls",) if kind == "tls" else ()
            self.plain = ("127.0.0.1", int(ports[-1]))
        except BaseException:
            self.kill()
            raise

    def connect(self, **kw):
        return super().connect(context=CONTEXT, **kw)

    def figures(self):
        with Wire(self.plain) as w:
            return {k: int(v) for k, v in facts(w.get("/stats", "Connection: close").body).items()}

    def becomes(self, **wanted):
        """These figures, in the end."""
        eventually(lambda: {k: self.figures()[k] for k in wanted} == wanted)


@pytest.fixture(params=KINDS, name="server", scope="module")
def fixture_server(request, tmp_path_factory):
    with Raw(request.param, tmp=tmp_path_factory.mktemp("raw")) as s:
        yield s


def read(w, n):
    """Exactly so many bytes."""
    data = b""
    while len(data) < n:
        more = w._recv(time.monotonic() + TIMEOUT_S)
        assert more, f"{len(data)} of {n} bytes, then {more!r}"
        data += more
    assert len(data) == n
    return data


def ended(server, before, **wanted):
    """So much more than before; and on_close() once for each on_open()."""
    def now():
        f = server.figures()
        return f["opened"] == f["closed"] and {k: f[k] - before[k] for k in wanted} == wanted
    eventually(now)


# ---- Data and ends ------------------------------------------------------------------------------------------


def test_echo(server):
    before = server.figures()
    with server.connect() as w:
        for n in (1, 2, 100, 5000, 70000):
            data = b"x" + os.urandom(n)
            w.send(data)
            assert read(w, len(data)) == data
        # Not only closed: our goodbye in TLS may come in pieces, and the second finds nobody.
        w.finish()
        assert w.until_gone() == b""
    ended(server, before, opened=1, why_0=1)


def test_half_close(server):
    """What was sent before the peer's end comes back, then ours."""
    before = server.figures()
    data = b"x" * 300000
    with server.connect() as w:
        t = threading.Thread(target=lambda: (w.send(data), w.finish()))
        t.start()
        assert w.until_gone() == data
        t.join()
    ended(server, before, opened=1, why_0=1)


def test_our_end_first(server):
    """The peer can send on, and is heard, until it has ended too."""
    before = server.figures()
    with server.connect() as w:
        w.send(b"e")
        assert read(w, 4) == b"end\n"
        if not w.duplex:
            assert w._recv(time.monotonic() + TIMEOUT_S) == b""
        w.send(b"more")
        time.sleep(0.05)
        assert server.figures()["closed"] == before["closed"]
        w.finish()
        ended(server, before, opened=1, why_0=1)


def test_close(server):
    before = server.figures()
    with server.connect() as w:
        w.send(b"c")
        assert w.until_gone() == b"bye\n"
    ended(server, before, opened=1, why_0=1)


@pytest.mark.parametrize("what,why", [(b"a", "why_ECLOSED"), (b"f", "why_EPROTO")])
def test_cut_off(server, what, why):
    before = server.figures()
    with server.connect() as w:
        w.send(what)
        try:
            assert w.until_gone() == b""
            # Without a reset TLS misses the goodbye, and a Unix socket has none.
        except (ConnectionResetError, ssl.SSLError):
            pass
    ended(server, before, opened=1, **{why: 1})


def test_the_peer_cuts_off(server):
    before = server.figures()
    with server.connect() as w:
        w.send(b"x")
        assert read(w, 1) == b"x"
        if server.addr[0] == "unix":
            w.send(b"y")
            time.sleep(0.05)
            w.close()  # with unread bytes
        else:
            w.reset()
    ended(server, before, opened=1)


@servers.not_sent_in_bits
def test_back_pressure(server):
    """A big answer needs no memory, and comes whole."""
    before = server.figures()
    rss = server.rss_kib()
    with server.connect() as w:
        w.send(b"b")
        left = BIG
        while left:
            data = w._recv(time.monotonic() + TIMEOUT_S)
            assert data and data == b"b" * len(data)
            left -= len(data)
        assert w.until_gone() == b""
    ended(server, before, opened=1, why_0=1)
    if not servers.SAN:
        assert server.rss_kib() - rss < 8 << 10


def test_a_peer_that_does_not_read_is_held_up(server):
    """It can send no more than the socket's buffers and ours take."""
    with server.connect() as w:
        w.sock.settimeout(0.3)
        sent = 0
        data = b"x" * 65536
        # Not by way of Wire, which reads where it cannot write.
        with pytest.raises(TimeoutError):
            while sent < 256 << 20:
                w.sock.sendall(data)
                sent += len(data)
        assert sent < 64 << 20
    eventually(lambda: server.figures()["opened"] == server.figures()["closed"])


def test_more_than_may_wait(server):
    before = server.figures()
    with server.connect() as w:
        w.send(b"m")
        data = w.until_gone()
        assert 256 << 10 <= len(data) <= (256 << 10) + (1 << 20) + 64
    ended(server, before, opened=1, why_0=1)


def test_many_at_once(server):
    count = scaled(20 if "tls" in server.addr else 200, 10)
    before = server.figures()
    wires = [server.connect() for _ in range(count)]
    for _ in range(3):
        for i, w in enumerate(wires):
            w.send(b"x%d\n" % i)
        for i, w in enumerate(wires):
            assert read(w, len(b"x%d\n" % i)) == b"x%d\n" % i
    for w in wires:
        w.close()
    ended(server, before, opened=count)


def test_facts(server):
    with server.connect() as w:
        w.send(b"i")
        f = facts(w.until_gone())
    unix = server.addr[0] == "unix"
    assert f["transport"] == "raw" and f["proxy"] == "ENOENT"
    assert f["peer"] == "unix:" if unix else f["peer"].startswith("127.0.0.1:")
    assert f["local"] == (f"unix:{server.addr[1]}" if unix else f"127.0.0.1:{server.addr[1]}")
    assert f["uid"] == (str(os.getuid()) if unix else "-1")
    assert (f["tls"] != "-") == ("tls" in server.addr)


# ---- Before it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_proxy_header(kind, tmp_path):
    with Raw(kind, "proxy_protocol=1", tmp=tmp_path) as s:
        for step in (1, 1000):
            with s.connect() as w:
                w.drip(V1_LINE + b"i", step)
                f = facts(w.until_gone())
                assert (f["peer"], f["local"], f["source"]) == ("192.0.2.1:4660", "198.51.100.2:443", "192.0.2.1:4660")
        with s.connect() as w:
            w.send(b"no header\r\n")
            assert w.until_gone() == b""
        # It was never a raw connection.
        s.becomes(opened=2, closed=2)


def shake(s, alpn):
    ctx = tls_context()
    if alpn:
        ctx.set_alpn_protocols(alpn)
    with socket.create_connection(s.addr[:2], timeout=TIMEOUT_S) as c, ctx.wrap_socket(c) as t:
        t.sendall(b"i")
        data = b"".join(iter(lambda: t.recv(65536), b""))
        return t.selected_alpn_protocol(), facts(data)["alpn"]


def test_alpn():
    with Raw("tls", "alpn=mqtt,x") as s:
        assert shake(s, ["y", "x"]) == ("x", "x")
        assert shake(s, ["mqtt"]) == ("mqtt", "mqtt")
        assert shake(s, None) == (None, "-")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            shake(s, ["h2"])
    with Raw("tls") as s:
        assert shake(s, ["h2", "mqtt"]) == (None, "-")


def test_tls_is_asked_for():
    """Who speaks in the clear gets no page of HTTP's."""
    with Raw("tls") as s, Wire(s.addr[:2]) as w:
        w.send(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in w.until_gone()
        assert s.figures()["opened"] == 0


# ---- Limits -----------------------------------------------------------------------------------------------------


def test_idle_timeout():
    def attempt(tick):
        with Raw("tcp", "idle_timeout_ms=300") as s, s.connect() as idle, s.connect() as busy:
            began = time.monotonic()
            tick(first=True)
            for _ in range(8):
                busy.send(b"x")
                assert read(busy, 1) == b"x"
                tick()
                time.sleep(0.1)
            eventually(lambda: s.figures()["why_ETIMEDOUT"] >= 1)
            assert time.monotonic() - began >= 0.29
            busy.send(b"x")
            s.becomes(why_ETIMEDOUT=2, closed=2, timeouts=2)

    on_time(0.2, attempt)


def test_lifetime():
    with Raw("tcp", "lifetime_ms=500") as s, s.connect() as w:
        began = time.monotonic()
        with pytest.raises((ConnectionError, AssertionError)):
            while time.monotonic() - began < 20 * PATIENCE:
                w.send(b"x")
                read(w, 1)
                time.sleep(0.02)
        assert 0.45 <= time.monotonic() - began < 15 * PATIENCE
        s.becomes(why_ETIMEDOUT=1, closed=1)


def test_a_peer_that_takes_nothing_is_cut():
    with Raw("tcp", "write_timeout_ms=400", "idle_timeout_ms=off") as s, s.connect(rcvbuf=4096) as w:
        w.send(b"b")
        s.becomes(why_ETIMEDOUT=1, closed=1)


def test_connection_cap():
    """Of the listener: more are closed, and have never been there."""
    with Raw("tcp", "raw_max_connections=3") as s:
        held = [s.connect() for _ in range(3)]
        for w in held:
            w.send(b"x")
            assert read(w, 1) == b"x"
        with s.connect() as w:
            assert w.until_gone() == b""
        s.becomes(opened=3, refused=1)
        held.pop().close()
        s.becomes(closed=1)
        with s.connect() as w:
            w.send(b"x")
            assert read(w, 1) == b"x"
        for w in held:
            w.close()


@pytest.mark.skipif(bool(servers.SAN), reason="measures memory")
def test_memory_of_idle_connections():
    """Ten thousand, of which each has sent a message, at 512 bytes each of the process, with what it has of its
    own."""
    count, warm, user_bytes = 10000, 500, 24
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + warm + 500:
        pytest.skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + warm + 500, hard))
    held = []
    try:
        with Raw("tcp", f"user_bytes={user_bytes}", "max_connections=16000", workers=1, nofile=count + warm + 500) as s:
            def more(n):
                for _ in range(n):
                    c = socket.create_connection(s.addr, TIMEOUT_S)
                    held.append(c)
                    c.send(b"x")
                    assert c.recv(9) == b"x"
            more(warm)
            before = s.rss_kib()
            more(count)
            each = (s.rss_kib() - before) * 1024 / count
            s.becomes(opened=warm + count, closed=0)
            assert each - user_bytes <= 512, each
            for c in held:
                c.close()
    finally:
        for c in held:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- The end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_peers_end_is_told_once(kind, tmp_path):
    with Raw(kind, "end=on", tmp=tmp_path) as s:
        with s.connect() as w:
            w.send(b"x")
            w.finish()
            assert w.until_gone() == b"xended\n"
        s.becomes(ended=1, opened=1, closed=1, why_0=1)


@pytest.mark.parametrize("kind", KINDS)
def test_stop_closes_in_order(kind, tmp_path):
    """Without on_drain(): what was sent leaves, then the connection ends, and the server with it."""
    with Raw(kind, tmp=tmp_path) as s:
        wires = [s.connect() for _ in range(5)]
        for w in wires:
            w.send(b"x")
            assert read(w, 1) == b"x"
        s.signal()
        for w in wires:
            assert w.until_gone() == b""
            w.close()
        s.stop()
        assert (s.said("opened"), s.said("closed")) == ("5", "5")


@pytest.mark.parametrize("kind", KINDS)
def test_stop_waits_for_a_goodbye(kind, tmp_path):
    with Raw(kind, "drain=on", tmp=tmp_path) as s:
        with s.connect() as w:
            w.send(b"x")
            assert read(w, 1) == b"x"
            s.signal()
            assert read(w, 6) == b"drain\n"
            time.sleep(0.1)
            assert s.proc.poll() is None
            w.finish()
            assert w.until_gone() == b""
        s.stop()
        assert (s.said("opened"), s.said("closed")) == ("1", "1")


def test_stop_cuts_what_does_not_end():
    with Raw("tcp", "drain=on", "drain_timeout_ms=300") as s, s.connect() as w:
        w.send(b"x")
        assert read(w, 1) == b"x"
        s.signal()
        s.stop(status=servers.EXIT_CUT)
        assert (s.said("opened"), s.said("closed")) == ("1", "1")


# ---- Records --------------------------------------------------------------------------------------------------------


class Records(Raw):
    """SOCK_SEQPACKET, at a path or without one."""

    def __init__(self, place, *args, **kw):
        super().__init__("tcp", f"listen=unix:{place}", "transport=unix", "records=1", *args, **kw)
        self.place = place.replace("@", "\0", 1)

    def open(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(TIMEOUT_S)
        s.connect(self.place)
        return s


@pytest.fixture(params=["path", "name"], name="records", scope="module")
def fixture_records(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq")
    with Records(f"{folder}/s" if request.param == "path" else f"@tako-records-{os.getpid()}") as s:
        yield s


def test_records_stay_apart(records):
    before = records.figures()
    with records.open() as c:
        sizes = [1, 2, 100, 16384, 65536, 3, 3, 3]
        for n in sizes:
            c.send(b"x" * n)
        assert [len(c.recv(100000)) for _ in sizes] == sizes
        for i in range(200):
            c.send(b"x%d" % i)
        assert [c.recv(100) for _ in range(200)] == [b"x%d" % i for i in range(200)]
        c.shutdown(socket.SHUT_WR)
        assert c.recv(100) == b""
    ended(records, before, opened=1, why_0=1)


def test_a_record_that_is_too_long(records):
    before = records.figures()
    with records.open() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
        c.send(b"x" * 65537)
        assert c.recv(100) == b""
    ended(records, before, opened=1, why_ETOOBIG=1)


def test_ends_of_records(records):
    before = records.figures()
    with records.open() as c:
        c.send(b"c")
        assert c.recv(100) == b"bye\n" and c.recv(100) == b""
    ended(records, before, opened=1, why_0=1)
    with records.open() as c:
        c.send(b"e")
        assert c.recv(100) == b"end\n" and c.recv(100) == b""
        c.send(b"more")
        assert records.figures()["closed"] == before["closed"] + 1
        c.shutdown(socket.SHUT_WR)
        ended(records, before, opened=2, why_0=2)
    with records.open() as c:
        c.send(b"a")
        assert c.recv(100) == b""
    ended(records, before, opened=3, why_0=2, why_ECLOSED=1)
    with records.open() as c:
        c.send(b"f")
        assert c.recv(100) == b""
    ended(records, before, opened=4, why_EPROTO=1)


def test_records_of_a_peer_that_is_gone(records):
    """With answers unread, and with some of them unsent."""
    before = records.figures()
    for what in (b"x", b"b"):
        with records.open() as c:
            c.send(what)
            assert c.recv(65536)
            c.send(b"xyz")
    ended(records, before, opened=2)


def test_back_pressure_of_records(records):
    before = records.figures()
    rss = records.rss_kib()
    with records.open() as c:
        c.send(b"b")
        for _ in range(BIG // 65536):
            assert c.recv(100000) == b"b" * 65536
        assert c.recv(100) == b""
    ended(records, before, opened=1, why_0=1)
    if not servers.SAN:
        assert records.rss_kib() - rss < 8 << 10


def test_more_records_than_may_wait(records):
    before = records.figures()
    with records.open() as c:
        c.send(b"m")
        count = 0
        while c.recv(100000):
            count += 1
        assert 256 << 10 <= count * 65536 <= 2 << 20
    ended(records, before, opened=1, why_0=1)


def test_who_is_at_the_other_end_of_records(records):
    with records.open() as c:
        c.send(b"i")
        said = facts(c.recv(2000))
        assert said["transport"] == "raw" and said["uid"] == str(os.getuid())


def test_idle_records(tmp_path):
    with Records(f"{tmp_path}/s", "idle_timeout_ms=200") as s, s.open() as c:
        c.send(b"x")
        assert c.recv(100) == b"x"
        assert c.recv(100) == b""
        s.becomes(why_ETIMEDOUT=1)


def test_records_and_a_stop(tmp_path):
    """Who is told of it says so, and ends; the others have what was sent."""
    with Records(f"{tmp_path}/s", "drain=on") as s, s.open() as c:
        c.send(b"x")
        assert c.recv(100) == b"x"
        s.signal()
        assert c.recv(100) == b"drain\n" and c.recv(100) == b""
        c.close()
        s.stop()
        assert s.said("opened") == s.said("closed") == "1"
    with Records(f"{tmp_path}/s") as s, s.open() as c:
        c.send(b"x")
        assert c.recv(100) == b"x"
        s.signal()
        assert c.recv(100) == b""
        s.stop()


def test_a_stream_does_not_meet_records(records):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as c:
        with pytest.raises(OSError):
            c.connect(records.place)


# ---- A client that is not ours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["tcp", "path", "name", "tls", "records"])
def test_socat(to, tmp_path):
    if not shutil.which("socat"):
        pytest.skip("no socat")
    place = f"@tako-socat-{os.getpid()}" if to == "name" else f"{tmp_path}/s"
    kind = to if to in ("tcp", "tls") else "tcp"
    local = () if kind == to else (f"listen=unix:{place}", "transport=unix")
    with Raw(kind, *local, *(["records=1"] if to == "records" else [])) as s:
        port = s.addr[1]
        address = {"tcp": f"TCP:127.0.0.1:{port}", "tls": f"OPENSSL:127.0.0.1:{port},verify=0",
                   "path": f"UNIX-CONNECT:{place}", "name": f"ABSTRACT-CONNECT:{place[1:]}",
                   "records": f"UNIX-CONNECT:{place},type={int(socket.SOCK_SEQPACKET)}"}[to]
        # With -t it waits so long for the rest of an answer: until the end, which comes behind its own.
        r = subprocess.run(["socat", f"-t{int(TIMEOUT_S)}", "-", address], input=b"x and so on", capture_output=True,
                           timeout=2 * TIMEOUT_S, check=True)
        assert r.stdout == b"x and so on"
        s.becomes(opened=1, closed=1)


# ---- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args,word", [
    (["no_raw"], "needs tako_listen_config.raw"), (["no_data"], "on_data is not set"),
    (["transport=h"], "has handlers"), (["transport=unix"], "is for unix:"), (["listen=unix:/tmp/x"], "is for ports"),
    (["alpn=x"], "without TLS"), (["user_bytes=1048577"], "user_bytes"),
    (["write_high_bytes=100", "max_unsent_bytes=99"], "max_unsent_bytes is below"), (["lifetime_ms=off"], "timeout"),
    (["write_low_bytes=300000"], "not below"), (["transport=tls"], "certificate"), (["records=1"], "a stream of bytes"),
    (["transport=tls", "records=1"], "a stream of bytes"), (["transport=unix", "listen=unix:@x", "records=2"], "records"),
    (["transport=unix", "listen=unix:@x", "records=1", "proxy_protocol=2"], "proxy_protocol")])
def test_refused_settings(args, word):
    r = servers.run_refused([servers.program("tests/programs/raw"), *args])
    assert r.returncode == 2 and word in r.stderr, r


@pytest.mark.parametrize("args,word", [
    (["alpn=,x"], "empty name"), (["alpn=" + "x" * 61], "61 bytes"), (["tls_max_early_data_bytes=1"], "no HTTP")])
def test_refused_settings_over_tls(args, word):
    cert, key = servers.shared_certificate()
    r = servers.run_refused([servers.program("tests/programs/raw"), "transport=tls", f"cert_file={cert}",
                             f"key_file={key}", *args])
    assert r.returncode == 2 and word in r.stderr, r

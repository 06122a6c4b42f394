# SPDX-License-Identifier: MIT
"""HTTP/3 in early data (0-RTT) as ngtcp2's client sends it: what runs, what is told to come again, what is played
back in vain (RFC 9001 section 9.2, RFC 8470); and what a handler is told of its connection."""
import select
import shutil
import socket
import threading

import pytest

import servers
from test_h3 import GTLSCLIENT, ask
from test_tls import LOCAL, pair
from wire import PATIENCE, once, request

pytestmark = pytest.mark.skipif(not GTLSCLIENT, reason="gtlsclient (ngtcp2-client) is not installed")


@pytest.fixture(scope="module")
def cert(tmp_path_factory):
    return servers.certificate(tmp_path_factory.mktemp("early"), "own")


@pytest.fixture(scope="module")
def server(cert):
    port = servers.free_port()
    with servers.Server([servers.program("tests/programs/tls"), f"listen={LOCAL}:{port}", f"h3=0.0.0.0:{port}",
                         "worker_count=2", f"tls_handshake_timeout_ms={1000 * PATIENCE}",
                         "tls_max_early_data_bytes=16384", *pair(cert)], (LOCAL, port, "tls"), ready_path="/hello") as s:
        yield s


class Client:
    def __init__(self, server, tmp_path):
        self.server = server
        self.dir = tmp_path
        (tmp_path / "abc").write_text("abc")

    def ask(self, path, *args, early=True, server=None):
        """The status, and the lines of the body by their first words."""
        keep = [f"--session-file={self.dir}/session", f"--tp-file={self.dir}/params"]
        a, = ask(server or self.server, path, args=[*keep, "--download", str(self.dir), *args,
                                                    *([] if early else ["--disable-early-data"])])
        said = self.dir / path.lstrip("/")
        body = said.read_text() if said.exists() else ""
        said.unlink(missing_ok=True)
        return a.status, dict(line.split(" ", 1) for line in body.splitlines()) if a.status == 200 else body

    def keep_ticket(self):
        shutil.copy(self.dir / "session", self.dir / "kept")

    def use_ticket_again(self):
        shutil.copy(self.dir / "kept", self.dir / "session")

    def count(self):
        """By TCP, which has no early data here; and one more than before."""
        return int(once(self.server.addr, request("GET", "/bump")).body.split(b"count ")[1])


@pytest.fixture
def client(server, tmp_path):
    return Client(server, tmp_path)


def test_what_a_handler_is_told(client):
    """The address is the one that was asked, though the socket has none."""
    status, said = client.ask("/info")
    assert status == 200
    assert said["transport"] == "h3" and said["tls"] == "TLSv1.3" and said["alpn"] == "h3"
    assert said["cipher"].startswith("TLS13-") and said["sni"] == "localhost"
    assert said["local"] == f"{LOCAL}:{client.server.addr[1]}"
    assert 0 < int(said["rtt_us"]) < 10_000_000 * PATIENCE


def test_rtt_by_tcp(server):
    said = once(server.addr, request("GET", "/info")).body.decode()
    rtt = next(line for line in said.splitlines() if line.startswith("rtt_us "))
    assert 0 < int(rtt.split()[1]) < 10_000_000 * PATIENCE


def test_accepted(client):
    """A safe method runs, and its handler sees how it came; with the next ticket again."""
    assert client.ask("/bump")[1]["early"] == "-"
    before = client.count()
    for i in range(2):
        status, said = client.ask("/bump")
        assert status == 200 and said == {"early": "1", "count": str(before + 1 + i)}
    assert client.ask("/info")[1]["resumed"] == "1"


def test_only_what_is_safe(client):
    """RFC 8470 section 5.2: too early."""
    client.ask("/bump")
    before = client.count()
    status, _ = client.ask("/bump", "-m", "POST", "-d", str(client.dir / "abc"))
    assert status == 425
    status, said = client.ask("/bump", "-m", "POST", "-d", str(client.dir / "abc"), early=False)
    assert status == 200 and said == {"early": "-", "count": str(before + 1)}


def test_a_ticket_brings_early_data_once(client):
    client.ask("/bump")
    client.keep_ticket()
    assert client.ask("/bump")[1]["early"] == "1"
    client.use_ticket_again()
    status, said = client.ask("/bump")
    assert status == 200 and said["early"] == "-"


class Wire:
    """Between a client and the server; what the client said first is kept."""

    def __init__(self, to):
        self.first = []
        self.to = to
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind((LOCAL, 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.connect(to)
        self.addr = self.front.getsockname()
        self.answered = self.over = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        peer = None
        while not self.over:
            for s in select.select([self.front, self.back], [], [], 0.1)[0]:
                if s is self.front:
                    data, peer = s.recvfrom(65536)
                    if not self.answered:
                        self.first.append(data)
                    self.back.send(data)
                elif peer:
                    self.answered = True
                    self.front.sendto(s.recv(65536), peer)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.over = True
        self.thread.join()
        self.front.close()
        self.back.close()


def test_played_back(client):
    """Whoever sees the first flight can send it again, from wherever: the server answers, and runs nothing."""
    client.ask("/bump")
    with Wire(client.server.addr[:2]) as wire:
        class Proxy:
            addr = wire.addr
        assert client.ask("/bump", server=Proxy)[1]["early"] == "1"
        flight = list(wire.first)
    before = client.count()
    answered = False
    # The worker that had the connection says nothing for as long as it remembers it; the other one does.
    for _ in range(100 * PATIENCE):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for data in flight:
                s.sendto(data, client.server.addr[:2])
            # Its handshake began: it was looked at.
            answered = bool(select.select([s], [], [], 0.1)[0])
        if answered:
            break
    assert answered
    assert client.count() == before + 1


def test_off_by_default(cert, tmp_path):
    port = servers.free_port()
    with servers.Server([servers.program("tests/programs/tls"), f"listen={LOCAL}:{port}", f"h3={LOCAL}:{port}",
                         *pair(cert)], (LOCAL, port, "tls"), ready_path="/hello") as s:
        client = Client(s, tmp_path)
        client.ask("/bump")
        assert client.ask("/bump")[1]["early"] == "-"
        assert client.ask("/info")[1]["resumed"] == "1"

# SPDX-License-Identifier: MIT
"""Early data (0-RTT) as OpenSSL's client sends it: what runs, what is told to come again, what is played
back in vain (RFC 8446 section 8, RFC 8470)."""
import base64
import socket
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import pytest

import servers
from test_tls import LOCAL, launch, pair
from wire import PATIENCE, request

MOST = 16384
GET = request("GET", "/bump")
LAST = request("GET", "/bump", "Connection: close")
POST = request("POST", "/bump", body=b"abc")


@pytest.fixture(scope="module")
def cert(tmp_path_factory):
    return servers.certificate(tmp_path_factory.mktemp("early"), "own")


@pytest.fixture(scope="module")
def server(cert):
    with launch(*pair(cert), f"tls_max_early_data_bytes={MOST}", worker_count=2) as s:
        yield s


class Client:
    def __init__(self, server, tmp_path):
        self.port = server.addr[1]
        self.dir = tmp_path
        self.session = str(tmp_path / "session")

    def run(self, *args, send=LAST, port=None):
        r = subprocess.run(["openssl", "s_client", "-connect", f"{LOCAL}:{port or self.port}", *args], input=send,
                           capture_output=True, timeout=10 * PATIENCE, check=False)
        return r.stdout

    def count(self):
        """And ask for a ticket."""
        out = self.run("-sess_out", self.session, "-ign_eof")
        assert f"Max Early Data: {MOST}".encode() in out
        return int(out.split(b"count ")[1].split()[0])

    def early(self, data, *args, **kw):
        path = self.dir / "data"
        path.write_bytes(data)
        return self.run("-sess_in", self.session, "-early_data", str(path), *args, **kw)


@pytest.fixture
def client(server, tmp_path):
    return Client(server, tmp_path)


def test_accepted(client):
    """A safe method runs, and its handler sees how it came; what comes after the handshake is as ever."""
    before = client.count()
    out = client.early(GET, "-ign_eof")
    assert b"Early data was accepted" in out
    assert f"early 1\ncount {before + 1}".encode() in out and f"early -\ncount {before + 2}".encode() in out


def test_the_answer_may_be_the_last(client):
    before = client.count()
    out = client.early(LAST, "-ign_eof", send=b"")
    assert b"Early data was accepted" in out and f"early 1\ncount {before + 1}".encode() in out


def test_pipelined(client):
    before = client.count()
    out = client.early(GET * 100, "-ign_eof")
    assert out.count(b"early 1\n") == 100 and f"early -\ncount {before + 101}".encode() in out


@pytest.mark.parametrize("data", [POST, request("BREW", "/bump"), request("DELETE", "/bump"),
                                  request("GET", "/bump", "Connection: upgrade", "Upgrade: websocket")])
def test_unsafe(client, data):
    """RFC 8470 section 5.2: Too Early, and nothing has happened."""
    before = client.count()
    out = client.early(data, "-ign_eof")
    assert b"Early data was accepted" in out and b"HTTP/1.1 425 Too Early" in out
    assert b"early 1" not in out and f"early -\ncount {before + 1}".encode() in out


def test_what_a_client_says_of_itself(client):
    """RFC 8470 section 5.1: the field may be there already, from an intermediary."""
    client.count()
    out = client.early(request("GET", "/bump", "Early-Data: 1"), "-ign_eof")
    assert b"early 1\n" in out


def test_half_of_a_request(client):
    """Its end came when the handshake had been confirmed, and so it is no replay."""
    before = client.count()
    out = client.early(POST[:-2], "-ign_eof", send=POST[-2:] + LAST)
    assert b"HTTP/1.1 425" in out
    before = client.count()
    out = client.early(POST[:20], "-ign_eof", send=POST[20:] + LAST)
    assert b"HTTP/1.1 425" not in out and f"early -\ncount {before + 1}".encode() in out


def test_a_ticket_brings_it_once(client):
    """The second time it is rejected, the client hears so and can say it again."""
    before = client.count()
    assert b"Early data was accepted" in client.early(GET, "-ign_eof")
    out = client.early(GET, "-ign_eof", send=GET + LAST)
    assert b"Early data was rejected" in out and b"early 1" not in out
    assert f"early -\ncount {before + 3}".encode() in out and f"early -\ncount {before + 4}".encode() in out
    # Without early data it is as good as ever.
    assert b"Reused, TLSv1.3" in client.run("-sess_in", client.session, "-ign_eof")


def test_as_much_as_was_promised(client):
    """To the byte, accepted or rejected."""
    head = b"GET /bump HTTP/1.1\r\nHost: a\r\nPad: "
    data = head + b"p" * (MOST - len(head) - 4) + b"\r\n\r\n"
    assert len(data) == MOST
    client.count()
    for word in (b"accepted", b"rejected"):
        out = client.early(data, "-ign_eof")
        assert b"Early data was " + word in out and b"early -" in out


def test_more_than_was_promised(client):
    """A client that believes in more is cut off with an alert."""
    before = client.count()
    with open(client.session, encoding="ascii") as f:
        begin, *lines, end = f.read().split("\n", 1)[1].rsplit("-----END", 1)[0], "-----END SSL SESSION PARAMETERS-----\n"
    der = base64.b64decode(begin)
    assert der.count(b"\x02\x02\x40\x00") == 1, "the promise, as a DER integer"
    text = base64.encodebytes(der.replace(b"\x02\x02\x40\x00", b"\x02\x02\x7f\xff")).decode()
    with open(client.session, "w", encoding="ascii") as f:
        f.write("-----BEGIN SSL SESSION PARAMETERS-----\n" + text + end)
    out = client.early(GET + b"G" * MOST, "-ign_eof", send=b"")
    assert b"Early data was accepted" in out and out.count(b"HTTP/1.1 200") <= 1
    assert client.count() <= before + 2


def test_another_protocol(client):
    """RFC 8446 section 4.2.10: it is only good for the protocol that it was made for."""
    client.run("-alpn", "http/1.1", "-sess_out", client.session, "-ign_eof")
    out = client.early(GET, "-alpn", "h2,http/1.1", "-ign_eof")
    assert b"Early data was rejected" in out and b"early 1" not in out
    client.run("-alpn", "http/1.1", "-sess_out", client.session, "-ign_eof")
    assert b"early 1" in client.early(GET, "-alpn", "http/1.1,h2", "-ign_eof")


def first_flight(client):
    """Through a wire that is tapped: what the client sends before it has heard anything."""
    caught = []
    with socket.create_server((LOCAL, 0)) as tap:
        def listen():
            near, _ = tap.accept()
            with near, socket.create_connection((LOCAL, client.port)) as far:
                near.settimeout(10 * PATIENCE)
                while GET not in b"".join(caught) and len(b"".join(caught)) < 600:
                    caught.append(near.recv(65536))
                far.sendall(b"".join(caught))
                far.settimeout(10 * PATIENCE)
                while far.recv(65536):
                    near.close()
                    break
        t = threading.Thread(target=listen)
        t.start()
        client.early(GET * 20, port=tap.getsockname()[1], send=b"")
        t.join()
    return b"".join(caught)


def test_played_back(client):
    """RFC 8446 section 8: an attacker sends it again and again, to every worker; it runs once."""
    before = client.count()
    flight = first_flight(client)
    assert len(flight) >= 600
    for _ in range(12):
        with socket.create_connection((LOCAL, client.port)) as s:
            s.settimeout(10 * PATIENCE)
            s.sendall(flight)
            assert s.recv(1), "a full handshake is what it is answered with"
    after = client.count()
    assert before + 1 < after <= before + 22, "twenty requests, one time"


GOAWAY = bytes.fromhex("000008070000000000") + bytes(8)


def conversation(*requests):
    c = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    c.initiate_connection()
    for method in requests:
        c.send_headers(c.get_next_available_stream_id(), [
            (":method", method), (":path", "/bump"), (":scheme", "https"), (":authority", "a")], end_stream=True)
    return c, c.data_to_send()


def test_http2(client):
    _, hello = conversation()
    client.run("-alpn", "h2", "-sess_out", client.session, "-ign_eof", send=hello + GOAWAY)
    c, data = conversation("GET", "POST", "GET")
    out = client.early(data, "-alpn", "h2", "-quiet", send=GOAWAY)
    events = c.receive_data(out)
    status = {e.stream_id: dict(e.headers)[":status"] for e in events if isinstance(e, h2.events.ResponseReceived)}
    bodies = {e.stream_id: e.data for e in events if isinstance(e, h2.events.DataReceived)}
    assert status == {1: "200", 3: "425", 5: "200"}
    assert bodies[1].startswith(b"early 1\n") and bodies[5].startswith(b"early 1\n")


def test_off(cert, tmp_path):
    with launch(*pair(cert)) as s:
        assert b"Max Early Data: 0" in Client(s, tmp_path).run("-ign_eof")


@pytest.mark.parametrize("args,words", [
    (["tls_max_early_data_bytes=65537"], "not in 0 to 65536"),
    (["tls_max_early_data_bytes=1", "tls_tickets=off"], "tls_tickets means no tickets"),
    (["tls_max_early_data_bytes=1", "tickets=" + "k" * 48], "could be played back here")])
def test_refused(cert, args, words):
    r = servers.run_refused([servers.program("tests/programs/tls"), f"listen={LOCAL}:{servers.free_port()}", *pair(cert), *args])
    assert r.returncode == 2 and words in r.stderr

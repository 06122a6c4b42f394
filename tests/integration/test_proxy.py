# SPDX-License-Identifier: MIT
"""PROXY headers before every transport (tests/programs/proxied.c), from sockets of our own and from haproxy
and nginx, which are not ours."""
import os
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

import servers
from wire import PATIENCE, Wire, eventually, request, tls_context

LOCAL = "127.0.0.1"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
REQUIRED, OPTIONAL = 1, 2
V1_LINE = b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n"
ADDR4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 4660, 443)


def v2(addresses=ADDR4, family=0x11, tlvs=b"", command=0x21):
    rest = addresses + tlvs
    return V2 + bytes([command, family]) + struct.pack("!H", len(rest)) + rest


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


class Proxied(servers.Server):
    """Where requests come by way of a balancer, and a port of our own without one."""

    def __init__(self, *args, mode=REQUIRED, **kw):
        port = servers.free_port()
        super().__init__([servers.program("tests/programs/proxied"), f"listen={LOCAL}:{port}", "worker_count=1",
                          *([f"proxy_protocol={mode}"] if mode else []), *args], (LOCAL, port), ready_path=None, **kw)
        try:
            eventually(lambda: self.stdout.count("listening ") == 2 or self.proc.poll() is not None)
            self.plain = (LOCAL, int(re.findall(r"listening .*:(\d+)", self.stdout)[1]))
        except BaseException:
            self.kill()
            raise

    def ask(self, head, path="/info", step=None, source=None):
        """The facts that /info tells, for a connection that begins with that header."""
        with Wire(self.addr, source=source) as w:
            data = head + request("GET", path)
            w.drip(data, step or len(data))
            return facts(w.response().body)

    def figures(self):
        with Wire(self.plain) as w:
            return {k: int(v) for k, v in facts(w.get("/stats", "Connection: close").body).items()}

    def refuses(self, data):
        """Closed without a word, and counted."""
        before = self.figures()["proxy_errors"]
        with Wire(self.addr) as w:
            w.send(data)
            assert w.until_gone() == b""
        eventually(lambda: self.figures()["proxy_errors"] == before + 1)


def facts(body):
    return dict(line.split(" ", 1) for line in body.decode().splitlines())


@pytest.fixture(scope="module")
def server():
    with Proxied() as s:
        yield s


@pytest.fixture(scope="module")
def optional():
    with Proxied("proxy_trusted=127.0.0.1", mode=OPTIONAL) as s:
        yield s


# ---- What handlers see ---------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [None, 1, 7])
@pytest.mark.parametrize("head,version,source,destination", [
    (V1_LINE, "1", "192.0.2.1:4660", "198.51.100.2:443"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "1", "[2001:db8::1]:1", "[2001:db8::2]:65535"),
    (v2(), "2", "192.0.2.1:4660", "198.51.100.2:443"),
    (v2(socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "::2")
        + struct.pack("!HH", 1, 2), 0x21), "2", "[2001:db8::1]:1", "[::2]:2")])
def test_addresses(server, head, version, source, destination, step):
    f = server.ask(head, step=step)
    assert (f["version"], f["peer"], f["local"], f["source"], f["destination"]) == \
        (version, source, destination, source, destination)
    assert f["via"].startswith("127.0.0.1:") and f["via"] != f["peer"] and f["is_local"] == "0"


@pytest.mark.parametrize("head", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN what ever\r\n", v2(b"", 0, command=0x20),
                                  v2(command=0x20), v2(b"", 0)])
def test_the_balancer_itself(server, head):
    f = server.ask(head)
    assert f["is_local"] == "1" and f["source"] == f["destination"] == "-"
    assert f["peer"] == f["via"] and f["peer"].startswith("127.0.0.1:")
    assert f["local"] == f"127.0.0.1:{server.addr[1]}"


def test_unix_addresses(server):
    f = server.ask(v2(b"/run/client".ljust(108, b"\0") + b"\0name".ljust(108, b"\0"), 0x31))
    assert (f["source"], f["destination"]) == ("unix:/run/client", "unix:@name")


def test_tlvs(server):
    client = struct.pack("!BI", 7, 0) + tlv(0x21, b"TLSv1.3") + tlv(0x22, b"alice") + tlv(0x23, b"AES") + \
        tlv(0x24, b"SHA256") + tlv(0x25, b"EC256")
    tlvs = tlv(1, b"h2") + tlv(2, b"a.example") + tlv(4, b"\0" * 40) + tlv(5, b"id-1") + tlv(0x20, client) + \
        tlv(0x30, b"blue") + tlv(0xEA, b"\x01vpce-1") + tlv(1, b"later")
    f = server.ask(v2(tlvs=tlvs), path="/later")
    assert {k: f[k] for k in ("alpn", "authority", "unique_id", "netns", "ssl_version", "ssl_cn", "ssl_cipher",
                              "ssl_sig_alg", "ssl_key_alg", "ssl_client", "ssl_verify", "datagram")} == {
        "alpn": "h2", "authority": "a.example", "unique_id": "id-1", "netns": "blue", "ssl_version": "TLSv1.3",
        "ssl_cn": "alice", "ssl_cipher": "AES", "ssl_sig_alg": "SHA256", "ssl_key_alg": "EC256", "ssl_client": "7",
        "ssl_verify": "0", "datagram": "0"}
    assert bytes.fromhex(f["tlv_ea"]) == b"\x01vpce-1"


def test_datagram(server):
    assert server.ask(v2(family=0x12))["datagram"] == "1"


def test_every_request_of_the_connection(server):
    with server.connect() as w:
        w.send(V1_LINE)
        assert [facts(w.get("/info").body)["peer"] for _ in range(3)] == ["192.0.2.1:4660"] * 3


def test_access_log_and_limits_count_the_client():
    """Two connections of one client are too many, of two clients are not."""
    with Proxied("max_connections_per_ip=1") as s:
        with s.connect() as a, s.connect() as b, s.connect() as c:
            a.send(V1_LINE)
            assert a.get("/hello").status == 200
            b.send(v2())
            assert b.until_gone() == b""
            c.send(b"PROXY TCP4 192.0.2.2 198.51.100.2 1 2\r\n")
            assert c.get("/hello").status == 200
            assert s.figures()["connections_refused"] == 1
        # … and has its place back when it has gone.
        eventually(lambda: s.figures()["connections_open"] == 1)
        assert s.ask(V1_LINE)["peer"] == "192.0.2.1:4660"


# ---- What is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    request("GET", "/info"), b"\x16\x03\x01\x02\x00", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", b"PROXY " + b"x" * 200,
    b"PROXY TCP4 192.0.2.1 198.51.100.2 4660 65536\r\n" + request("GET", "/info"),
    v2(tlvs=b"\x04\0\x09") + request("GET", "/info"), v2(tlvs=tlv(3, b"\0\0\0\0")) + request("GET", "/info"),
    v2(tlvs=b"\xf0" + struct.pack("!H", 5000) + b"\0" * 5000), V2 + b"\x31"])
def test_refused(server, data):
    server.refuses(data)


def test_cut_off(server):
    before = server.figures()["proxy_errors"]
    with server.connect() as w:
        w.send(V1_LINE[:-1]).finish()
        assert w.until_gone() == b""
    eventually(lambda: server.figures()["proxy_errors"] == before + 1)


def test_a_look_at_the_port_is_no_error(server):
    before = server.figures()
    with server.connect() as w:
        w.finish()
        assert w.until_gone() == b""
    eventually(lambda: server.figures()["connections_open"] <= before["connections_open"])
    assert server.figures()["proxy_errors"] == before["proxy_errors"]


@pytest.mark.parametrize("start", [b"", b"P", V1_LINE[:-1], v2()[:20]])
def test_timeout(start):
    with Proxied("proxy_read_timeout_ms=150") as s:
        began = time.monotonic()
        with s.connect() as w:
            if start:
                w.send(start)
            assert w.until_gone() == b""
            assert time.monotonic() - began >= 0.14
        assert s.figures()["timeouts"] == 1 and s.figures()["proxy_errors"] == 1


def test_the_timeout_ends_with_the_header():
    with Proxied("proxy_read_timeout_ms=400") as s, s.connect() as w:
        w.send(V1_LINE)
        assert w.quiet(0.7)
        assert w.get("/hello").status == 200


def test_header_bound():
    with Proxied("proxy_max_header_bytes=232") as s:
        fits = tlv(4, b"\0" * (232 - 16 - 12 - 3))
        assert s.ask(v2(tlvs=fits))["version"] == "2"
        s.refuses(v2(tlvs=fits + b"\0")[:16])
    with Proxied("proxy_max_header_bytes=65551") as s:
        big = v2(tlvs=tlv(4, b"\0" * (65535 - 12 - 3)))
        assert s.ask(big)["version"] == "2"
        assert s.ask(big, step=1000)["version"] == "2"


# ---- Who is believed ---------------------------------------------------------------------------------------


def test_trusted_only():
    with Proxied("proxy_trusted=127.0.0.2, 10.0.0.0/8") as s:
        s.refuses(V1_LINE + request("GET", "/info"))
        assert s.ask(V1_LINE, source="127.0.0.2")["peer"] == "192.0.2.1:4660"


def test_optional(optional):
    assert optional.ask(V1_LINE)["peer"] == "192.0.2.1:4660"
    f = optional.ask(b"")
    assert (f["proxy"], f["via"]) == ("ENOENT", "-") and f["peer"].startswith("127.0.0.1:")
    # Begins as the binary header does, and is none.
    with optional.connect() as w:
        w.drip(b"\r\n\r\n" + request("GET", "/hello"))
        assert w.response().status == 200
    with optional.connect() as w:
        w.drip(b"PROP / HTTP/1.1\r\n\r\n")
        assert w.response().status == 400


def test_optional_and_a_silent_peer():
    """Who waits to be spoken to is, in the end."""
    with Proxied("proxy_trusted=127.0.0.1", "proxy_read_timeout_ms=100", "transport=h2c", mode=OPTIONAL) as s, \
            socket.create_connection(s.addr, timeout=10 * PATIENCE) as c:
        head = c.recv(9)
        assert len(head) == 9 and head[3] == 4  # SETTINGS


def test_optional_and_somebody_else():
    """What others say of themselves is not a header, but a bad request."""
    with Proxied("proxy_trusted=192.0.2.0/24", mode=OPTIONAL) as s, s.connect() as w:
        w.send(V1_LINE + request("GET", "/info"))
        assert w.response().status == 400


@pytest.mark.parametrize("args,word", [
    (["proxy_protocol=3"], "proxy_protocol is 3"), (["proxy_protocol=2"], "proxy_trusted must say"),
    (["proxy_trusted=::1"], "proxy_protocol is not"), (["proxy_protocol=1", "proxy_trusted="], "no address in it"),
    (["proxy_protocol=1", "proxy_trusted=10.0.0.1/8"], "bits behind its prefix"),
    (["proxy_max_header_bytes=231"], "proxy_max_header_bytes is 231")])
def test_refused_settings(args, word):
    r = servers.run_refused([servers.program("tests/programs/proxied"), *args])
    assert r.returncode == 2 and word in r.stderr, r


# ---- Before every transport ----------------------------------------------------------------------------------


def curl(*args):
    return subprocess.run(["curl", "-sk", "--max-time", str(10 * PATIENCE), *args], capture_output=True, check=True).stdout


def test_h2c():
    with Proxied("transport=h2c") as s:
        f = facts(curl("--haproxy-protocol", "--http2-prior-knowledge", f"http://{LOCAL}:{s.addr[1]}/info"))
        assert (f["transport"], f["version"]) == ("h2", "1") and f["peer"].startswith("127.0.0.1:")


def test_either_on_one_port(server):
    for option, transport in (("--http1.1", "http/1.1"), ("--http2-prior-knowledge", "h2")):
        f = facts(curl("--haproxy-protocol", option, f"http://{LOCAL}:{server.addr[1]}/info"))
        assert f["transport"] == transport and f["version"] == "1"


@pytest.mark.parametrize("option,transport", [("--http1.1", "http/1.1"), ("--http2", "h2")])
def test_tls(option, transport):
    cert, key = servers.shared_certificate()
    with Proxied("transport=tls", f"cert_file={cert}", f"key_file={key}") as s:
        f = facts(curl("--haproxy-protocol", option, f"https://{LOCAL}:{s.addr[1]}/info"))
        assert (f["transport"], f["version"]) == (transport, "1") and f["tls"].startswith("TLSv1")
        # Without one there is no TLS, and no answer in the clear.
        s.refuses(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def test_tls_hello_in_the_same_segment():
    cert, key = servers.shared_certificate()
    with Proxied("transport=tls", f"cert_file={cert}", f"key_file={key}") as s:
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = tls_context().wrap_bio(into, out)
        with socket.create_connection(s.addr, timeout=10 * PATIENCE) as c:
            head = v2()

            def run(step):
                nonlocal head
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        if out.pending:
                            c.sendall(head + out.read())
                            head = b""
                        into.write(c.recv(65536))
            run(tls.do_handshake)
            tls.write(request("GET", "/info", "Connection: close"))
            c.sendall(head + out.read())
            body = run(lambda: tls.read(65536))
            assert b"peer 192.0.2.1:4660" in body


# ---- The end ---------------------------------------------------------------------------------------------------


def test_drain():
    """Who has said nothing is let go; whose header is coming is answered."""
    with Proxied() as s:
        with s.connect() as silent, s.connect() as coming, s.connect() as done:
            coming.send(V1_LINE[:20])
            done.send(V1_LINE)
            assert done.get("/hello").status == 200
            eventually(lambda: s.figures()["connections_open"] == 4)
            s.signal()
            silent.assert_closed()
            done.assert_closed()
            coming.send(V1_LINE[20:] + request("GET", "/info"))
            r = coming.response()
            assert r.closes and facts(r.body)["peer"] == "192.0.2.1:4660"
        s.wait()


# ---- Senders that are not ours ------------------------------------------------------------------------------------


def free_backend(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def run_balancer(argv, port):
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def up():
        assert p.poll() is None, p.stderr.read().decode()
        with socket.socket() as c:
            return c.connect_ex((LOCAL, port)) == 0
    try:
        eventually(up)
    except BaseException:
        p.kill()
        p.wait()
        raise
    return p


@pytest.mark.parametrize("how,version,unique", [("send-proxy", "1", None), ("send-proxy-v2", "2", None),
                                                ("send-proxy-v2 proxy-v2-options unique-id,crc32c", "2", "tako-1"),
                                                ("send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,authority,unique-id",
                                                 "2", "tako-1")])
def test_haproxy(server, tmp_path, how, version, unique):
    port = servers.free_port()
    tls = "ssl" in how
    bind = f"bind {LOCAL}:{port}"
    if tls:
        cert, key = servers.shared_certificate()
        pem = tmp_path / "both.pem"
        with open(cert, encoding="ascii") as a, open(key, encoding="ascii") as b:
            pem.write_text(a.read() + b.read())
        bind += f" ssl crt {pem}"
    conf = free_backend(tmp_path, "haproxy.cfg", f"""
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend f
  {bind}
  unique-id-format tako-1
  default_backend b
backend b
  server s {LOCAL}:{server.addr[1]} {how}
""")
    p = run_balancer(["haproxy", "-db", "-q", "-f", conf], port)
    try:
        before = server.figures()["proxy_errors"]
        scheme = "https" if tls else "http"
        f = facts(curl("--resolve", f"front.example:{port}:{LOCAL}", f"{scheme}://front.example:{port}/info"))
        assert (f["version"], f["is_local"]) == (version, "0")
        assert f["source"].startswith("127.0.0.1:") and f["destination"] == f"127.0.0.1:{port}"
        assert f["peer"] == f["source"] != f["via"]
        assert f.get("unique_id") == unique
        if tls:
            assert int(f["ssl_client"]) & 1 and f["ssl_version"].startswith("TLSv1")
            assert f["authority"] == "front.example"
        assert server.figures()["proxy_errors"] == before
    finally:
        p.terminate()
        p.communicate()


def test_nginx(server, tmp_path):
    """A stream server, which is what sends version 1."""
    port = servers.free_port()
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    conf = free_backend(tmp_path, "nginx.conf", f"""
daemon off;
master_process off;
pid {tmp_path}/pid;
error_log {tmp_path}/log;
{"load_module " + module + ";" if os.path.exists(module) else ""}
events {{}}
stream {{ server {{ listen {LOCAL}:{port}; proxy_pass {LOCAL}:{server.addr[1]}; proxy_protocol on; }} }}
""")
    p = run_balancer(["nginx", "-p", str(tmp_path), "-c", conf], port)
    try:
        f = facts(curl(f"http://{LOCAL}:{port}/info"))
        assert f["version"] == "1" and f["destination"] == f"127.0.0.1:{port}"
        assert f["peer"] == f["source"] != f["via"]
    finally:
        p.terminate()
        p.communicate()

# SPDX-License-Identifier: MIT
"""TLS as its clients see it (tests/programs/tls.c): OpenSSL and curl, which are not ours."""
import hashlib
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest

import servers
from wire import PATIENCE, Wire, eventually, request, scaled, tls_context

LOCAL = "127.0.0.1"


def launch(*args, worker_count=1, **kw):
    port = servers.free_port()
    return servers.Server([servers.program("tests/programs/tls"), f"listen={LOCAL}:{port}",
                           f"worker_count={worker_count}", *args], (LOCAL, port, "tls"), ready_path="/hello", **kw)


def pair(cert_and_key):
    return [f"cert_file={cert_and_key[0]}", f"key_file={cert_and_key[1]}"]


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    """Pairs by name."""
    d = tmp_path_factory.mktemp("certs")
    made = {name: servers.certificate(d, name, **kw) for name, kw in {
        "own": {}, "rsa": {"key": "rsa:2048", "alt": "DNS:rsa.example"}, "other": {"alt": "DNS:other.example"},
        "wild": {"alt": "DNS:*.wild.example"}}.items()}
    made["dir"] = d
    return made


@pytest.fixture(scope="module")
def server(certs):
    with launch(*pair(certs["own"])) as s:
        yield s


def facts(text):
    return dict(line.split(" ", 1) for line in text.decode().splitlines())


def info(server, path="/info", **kw):
    with server.connect(**kw) as w:
        return facts(w.get(path, "Connection: close").body)


def s_client(server, *args, send=b"", timeout=10 * PATIENCE):
    """OpenSSL's own client; its report and what it received."""
    r = subprocess.run(["openssl", "s_client", "-connect", f"{LOCAL}:{server.addr[1]}", *args], input=send,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return r.stdout.decode("utf-8", "replace")


def curl(server, path, *args):
    r = subprocess.run(["curl", "-sS", "--max-time", str(10 * PATIENCE), "--resolve",
                        f"localhost:{server.addr[1]}:{LOCAL}", *args,
                        f"https://localhost:{server.addr[1]}{path}"], capture_output=True, check=False)
    return r


# ---- Clients ------------------------------------------------------------------------------


@pytest.mark.parametrize("args,tls,http", [
    ((), "TLSv1.3", "h2"), (("--tls-max", "1.2"), "TLSv1.2", "h2"),
    (("--http1.1",), "TLSv1.3", "http/1.1"), (("--http1.0",), "TLSv1.3", "http/1.1")])
def test_curl(server, certs, args, tls, http):
    r = curl(server, "/info", "--cacert", certs["own"][0], *args)
    assert r.returncode == 0, r.stderr
    seen = facts(r.stdout)
    assert seen["tls"] == tls and seen["sni"] == "localhost" and seen["transport"] == http


def test_curl_refuses_another_name(server, certs):
    r = curl(server, "/info", "--cacert", certs["other"][0])
    assert r.returncode == 60


def test_curl_reuses_its_connection(server, certs):
    url = f"https://localhost:{server.addr[1]}/info"
    r = curl(server, "/info", "--cacert", certs["own"][0], url, url)
    assert [f for f in r.stdout.decode().splitlines() if f.startswith("requests")] == [
        "requests 1", "requests 2", "requests 3"]


@pytest.mark.parametrize("flag,cipher", [
    ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("-tls1_2", "ECDHE-ECDSA-CHACHA20-POLY1305"), ("-tls1_3", "TLS_AES_128_GCM_SHA256"),
    ("-tls1_3", "TLS_AES_256_GCM_SHA384"), ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256")])
def test_suites(server, flag, cipher):
    which = "-ciphersuites" if flag == "-tls1_3" else "-cipher"
    assert f"Cipher is {cipher}" in s_client(server, flag, which, cipher)


@pytest.mark.parametrize("flag,cipher", [
    ("-tls1_2", "ECDHE-ECDSA-AES128-SHA256"), ("-tls1_2", "ECDHE-ECDSA-AES256-SHA"), ("-tls1_2", "AES128-GCM-SHA256"),
    ("-tls1_2", "DHE-RSA-AES128-GCM-SHA256"), ("-tls1_2", "aNULL:eNULL:@SECLEVEL=0"), ("-tls1_2", "RC4:@SECLEVEL=0"),
    ("-tls1_1", "ALL:@SECLEVEL=0"), ("-tls1", "ALL:@SECLEVEL=0")])
def test_refused_suites_and_versions(server, flag, cipher):
    before = failures(server)
    out = s_client(server, flag, "-cipher", cipher)
    assert "Cipher is (NONE)" in out or "no cipher match" in out.lower() or "no ciphers available" in out, out
    if "CONNECTED" in out and "no cipher" not in out.lower():
        assert "alert" in out
        eventually(lambda: failures(server) > before)


@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
def test_groups(server, group):
    out = s_client(server, "-groups", group)
    assert "Cipher is TLS_" in out and {"X25519": "X25519", "P-256": "prime256v1|P-256", "P-384": "secp384r1|P-384"}[
        group].split("|")[0] in out


def test_rsa_certificate(certs):
    with launch(*pair(certs["rsa"])) as s:
        for flag in ("-tls1_2", "-tls1_3"):
            assert "Peer signature type: RSA-PSS" in s_client(s, flag)


def test_ed25519_certificate(tmp_path):
    with launch(*pair(servers.certificate(tmp_path, "ed", key="ed25519"))) as s:
        for flag in ("-tls1_2", "-tls1_3"):
            assert "Peer signature type: ed25519" in s_client(s, flag).replace("Ed25519", "ed25519")


def test_min_version(certs):
    with launch(*pair(certs["own"]), "tls_min_version=13") as s:
        assert "Cipher is TLS_" in s_client(s, "-tls1_3")
        assert "protocol version" in s_client(s, "-tls1_2")


# ---- ALPN -----------------------------------------------------------------------------------


@pytest.mark.parametrize("offered,agreed", [
    (["http/1.1"], "http/1.1"), (["nonsense", "http/1.1"], "http/1.1"), ([], "-")])
def test_alpn(server, offered, agreed):
    ctx = tls_context()
    if offered:
        ctx.set_alpn_protocols(offered)
    seen = info(server, context=ctx)
    assert seen["alpn"] == agreed and seen["transport"] == "http/1.1"


def test_alpn_without_a_common_one(server):
    """RFC 7301 section 3.2: no_application_protocol."""
    assert "no application protocol" in s_client(server, "-alpn", "nonsense")


# ---- Resumption --------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_resumption(server, tmp_path, flag):
    session = str(tmp_path / "session")
    before = int(info(server, "/stats")["tls_resumed"])
    ask = request("GET", "/info", "Connection: close")
    out = s_client(server, flag, "-sess_out", session, "-ign_eof", send=ask)
    assert "resumed 0" in out
    out = s_client(server, flag, "-sess_in", session, "-ign_eof", send=ask)
    assert "Reused, " in out and "resumed 1" in out
    assert int(info(server, "/stats")["tls_resumed"]) == before + 1


def test_tickets_of_every_worker(certs, tmp_path):
    """The listener's keys are all its workers'."""
    session = str(tmp_path / "session")
    ask = request("GET", "/info", "Connection: close")
    with launch(*pair(certs["own"]), worker_count=4) as s:
        s_client(s, "-sess_out", session, "-ign_eof", send=ask)
        for _ in range(12):
            assert "Reused, " in s_client(s, "-sess_in", session, "-ign_eof", send=ask)


def test_tickets_shared_between_processes(certs, tmp_path):
    session = str(tmp_path / "session")
    ask = request("GET", "/info", "Connection: close")
    new, old = "n" * 48, "o" * 48
    with launch(*pair(certs["own"]), f"tickets={old}") as first:
        s_client(first, "-sess_out", session, "-ign_eof", send=ask)
    for keys, reused in ((old, True), (new + old, True), (new, False)):
        with launch(*pair(certs["own"]), f"tickets={keys}") as s:
            assert ("Reused, " in s_client(s, "-sess_in", session, "-ign_eof", send=ask)) == reused, keys


def test_no_tickets(certs):
    with launch(*pair(certs["own"]), "tls_tickets=off") as s:
        for flag in ("-tls1_2", "-tls1_3"):
            out = s_client(s, flag, "-ign_eof", send=request("GET", "/info", "Connection: close"))
            assert "tls TLSv1" in out and "TLS session ticket:" not in out


def test_no_early_data(server):
    out = s_client(server, "-tls1_3", "-ign_eof", send=request("GET", "/hello", "Connection: close"))
    assert "Max Early Data: 0" in out


# ---- Bytes ------------------------------------------------------------------------------------


def bulk_body():
    return bytes((i * 31 + i // 251) & 255 for i in range(1 << 20))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bulk(server, version):
    with server.connect(context=tls_context(maximum_version=version)) as w:
        for _ in range(3):
            assert w.get("/bulk").body == bulk_body()


def test_slow_reader(server):
    """What does not fit into the socket waits, and is encrypted when there is room."""
    with server.connect(rcvbuf=4096) as w:
        for _ in range(4):
            w.send(request("GET", "/bulk"))
        time.sleep(0.3)
        for _ in range(4):
            assert w.response().body == bulk_body()


def test_pipelined_in_one_record(server):
    with server.connect() as w:
        w.send(request("GET", "/hello") * 50)
        for _ in range(50):
            assert w.response().body == b"hello\n"


def test_drip(server):
    with server.connect() as w:
        w.drip(request("GET", "/hello"))
        assert w.response().status == 200


def test_end_waits_behind_a_pause(server):
    """close_notify right behind a body that the handler holds back: all of it arrives first."""
    body = b"x" * 3000
    with server.connect() as w:
        w.send(request("POST", "/paused", body=body))
        raw = w.sock
        try:
            raw.settimeout(0.01)
            raw.unwrap()
        except (TimeoutError, ssl.SSLError, OSError):
            pass
    eventually(lambda: int(info(server, "/stats")["connections_open"]) == 1)


def test_close_notify(server):
    """The end is told by TLS, so that it cannot be cut short unnoticed."""
    out = s_client(server, "-ign_eof", "-msg", send=request("GET", "/hello", "Connection: close"))
    assert re.search(r"<<< TLS 1.3, Alert \[length 0002\], warning close_notify", out)


# ---- What is not TLS ------------------------------------------------------------------------------


def plain(server):
    return Wire(server.addr[:2])


def failures(server):
    return int(info(server, "/stats")["tls_failures"])


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", b"G", b"get / http/1.0\r\n\r\n",
                                  b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_plain_http(server, data):
    with plain(server) as w:
        w.send(data)
        r = w.response()
        assert r.status == 400 and b"HTTPS" in r.body and r.closes
        w.finish()
        w.assert_closed()


@pytest.mark.parametrize("data", [
    b"\0" * 64, b"\x80\x2e\x01\x00\x02" + b"\0" * 41, b"\x17\x03\x03\x00\x05hello", b"\xff",
    b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\x00\x00", b"\x16\x05\x05\x00\x05hello"])
def test_garbage(server, data):
    before = failures(server)
    with plain(server) as w:
        w.send(data).finish()
        assert len(w.until_gone()) <= 7, "at most an alert"
    eventually(lambda: failures(server) > before)


def test_oversized_record(server):
    """RFC 8446 section 5.1: record_overflow, in an established connection too."""
    with server.connect() as w:
        assert w.get("/hello").status == 200
        os.write(w.sock.fileno(), b"\x17\x03\x03\x48\x01" + b"\0" * 0x4801)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            w.get("/hello")


def test_corrupt_record(server):
    with server.connect() as w:
        assert w.get("/hello").status == 200
        os.write(w.sock.fileno(), b"\x17\x03\x03\x00\x20" + b"\0" * 0x20)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            w.get("/hello")


def test_renegotiation_is_refused(server):
    out = s_client(server, "-tls1_2", send=b"R\n", timeout=20 * PATIENCE)
    assert "Secure Renegotiation IS supported" in out
    assert "RENEGOTIATING" in out and re.search("no renegotiation|alert|error", out, re.I)


def test_truncated(server):
    """The peer vanishes without a goodbye, in every part of a handshake."""
    hello = client_hello()
    for n in (1, 5, 6, 40, len(hello) - 1, len(hello)):
        with plain(server) as w:
            w.send(hello[:n])
            w.reset()
    eventually(lambda: int(info(server, "/stats")["connections_open"]) == 1)


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        obj.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_handshake_in_single_bytes(server, version):
    """Everything that the client sends arrives byte by byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = tls_context(maximum_version=version).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with plain(server) as w:
        def step(what):
            while True:
                try:
                    result = what()
                    w.drip(outgoing.read())
                    return result
                except ssl.SSLWantReadError:
                    w.drip(outgoing.read())
                    incoming.write(w.sock.recv(65536))
        step(obj.do_handshake)
        step(lambda: obj.write(request("GET", "/hello")))
        assert step(lambda: obj.read(4096)).startswith(b"HTTP/1.1 200 OK")


def test_handshake_timeout(certs):
    with launch(*pair(certs["own"]), "tls_handshake_timeout_ms=800") as s:
        for data in (b"", client_hello()[:50]):
            with plain(s) as w:
                start = time.monotonic()
                w.send(data)
                assert w.until_gone() == b""
                assert 0.7 < time.monotonic() - start < 4 * PATIENCE
        seen = info(s, "/stats")
        assert seen["timeouts"] == "2" and seen["tls_failures"] == "2"


def test_stop_during_handshakes(certs):
    """Those that have not begun do not hold up the end; those that have may finish."""
    with launch(*pair(certs["own"])) as s:
        idle = plain(s)
        begun = plain(s)
        begun.send(client_hello()[:50])
        with s.connect() as w:
            w.get("/hello")
            s.signal()
            assert idle.until_gone() == b""
            begun.close()
        s.stop()
        idle.close()


# ---- Certificates -----------------------------------------------------------------------------------


def refused(*args):
    r = servers.run_refused([servers.program("tests/programs/tls"), f"listen={LOCAL}:{servers.free_port()}", *args])
    assert r.returncode == 2, r
    return r.stderr


def test_refused_certificates(certs, tmp_path):
    cert, key = certs["own"]
    assert "No such file" in refused(f"cert_file={tmp_path}/none", f"key_file={key}")
    assert "No such file" in refused(f"cert_file={cert}", f"key_file={tmp_path}/none")
    assert "not this certificate's" in refused(f"cert_file={cert}", f"key_file={certs['other'][1]}")
    assert "needs its key" in refused(f"cert_file={cert}")
    assert "needs a certificate" in refused()
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "empty").write_text("")
    assert "not a certificate" in refused(f"cert_file={tmp_path}/text", f"key_file={key}")
    assert "ETLS" in refused(f"cert_file={cert}", f"key_file={tmp_path}/text")
    assert "not a file of" in refused(f"cert_file={tmp_path}/empty", f"key_file={key}")
    assert "not a file of" in refused(f"cert_file={tmp_path}", f"key_file={key}")


def test_expired_certificate(tmp_path):
    cert, key = servers.certificate(tmp_path, "old", extra=["-set_serial", "7"])
    subprocess.run(["openssl", "x509", "-in", cert, "-signkey", key, "-days", "-1", "-out", f"{tmp_path}/past.pem"],
                   capture_output=True, check=False)
    if not os.path.exists(f"{tmp_path}/past.pem") or os.path.getsize(f"{tmp_path}/past.pem") == 0:
        # OpenSSL 3.0 takes no negative days: by its CA, which takes dates.
        (tmp_path / "index.txt").write_text("")
        (tmp_path / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={tmp_path}/index.txt\nnew_certs_dir={tmp_path}\n"
                                         "rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", f"{tmp_path}/csr"], check=True,
                       capture_output=True)
        subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-config", f"{tmp_path}/ca.cnf", "-keyfile", key, "-cert", cert,
                        "-in", f"{tmp_path}/csr", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-out",
                        f"{tmp_path}/past.pem", "-notext"], check=True, capture_output=True)
    assert "has expired: it was good until" in refused(f"cert_file={tmp_path}/past.pem", f"key_file={key}")


@pytest.mark.parametrize("traditional", [False, True])
def test_encrypted_key(certs, tmp_path, traditional):
    cert, key = certs["own"]
    locked = str(tmp_path / "locked.key")
    how = ["ec", "-in", key, "-aes256"] if traditional else ["pkcs8", "-topk8", "-in", key, "-v2", "aes256"]
    subprocess.run(["openssl", *how, "-passout", "pass:secret", "-out", locked], check=True, capture_output=True)
    assert "is encrypted, and no password_fn" in refused(f"cert_file={cert}", f"key_file={locked}")
    # Of the traditional form it is only known that what comes out is no key.
    wrong = refused(f"cert_file={cert}", f"key_file={locked}", "password=wrong")
    assert "ETLS" in wrong and "private key" in wrong
    with launch(f"cert_file={cert}", f"key_file={locked}", "password=secret") as s:
        assert info(s)["tls"] == "TLSv1.3"


def presented(server, name="localhost"):
    with server.connect(name=name) as w:
        return hashlib.sha256(w.sock.getpeercert(True)).hexdigest()


def digest(pem):
    with open(pem, encoding="ascii") as f:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(f.read())).hexdigest()


def test_names(certs):
    """Exactly, by a wildcard of one label, else the default; RSA beside ECDSA."""
    with launch(*pair(certs["own"]), *(f"name:{n}={certs[c][0]},{certs[c][1]}" for n, c in (
            ("other.example", "other"), ("*.wild.example", "wild"), ("rsa.example", "rsa")))) as s:
        for name, want in (("other.example", "other"), ("OTHER.example", "other"), ("a.wild.example", "wild"),
                           ("a.b.wild.example", "own"), ("wild.example", "own"), ("rsa.example", "rsa"),
                           ("unknown.example", "own"), (None, "own")):
            assert presented(s, name) == digest(certs[want][0]), name
        for flag in ("-tls1_2", "-tls1_3"):
            assert "Peer signature type: RSA-PSS" in s_client(s, flag, "-servername", "rsa.example")
            assert "Peer signature type: ECDSA" in s_client(s, flag, "-servername", "other.example")


def test_only_names(certs):
    """Without a certificate for the name: unrecognized_name (RFC 6066 section 3)."""
    with servers.Server([servers.program("tests/programs/tls"), f"listen={LOCAL}:{(port := servers.free_port())}",
                         "worker_count=1", f"name:localhost={certs['own'][0]},{certs['own'][1]}"],
                        (LOCAL, port, "tls"), ready_path="/hello") as s:
        assert presented(s) == digest(certs["own"][0])
        for args in (("-servername", "elsewhere.example"), ("-noservername",)):
            for flag in ("-tls1_2", "-tls1_3"):
                assert "unrecognized name" in s_client(s, flag, *args)


def test_listeners_share_one(certs):
    second = servers.free_port()
    with launch(*pair(certs["own"]), f"listen={LOCAL}:{second}") as s:
        with Wire((LOCAL, second, "tls")) as w:
            assert w.get("/hello").status == 200
        with s.connect() as w:
            assert w.get("/reload", method="POST").body == b"2\n"


# ---- Reload -----------------------------------------------------------------------------------------


def install(src, dst):
    """As renewal does it: each file is replaced as a whole."""
    for a, b in zip(src, dst):
        with open(a, "rb") as f, open(f"{b}.new", "wb") as to:
            to.write(f.read())
        os.rename(f"{b}.new", b)


@pytest.fixture
def live(certs, tmp_path):
    paths = (str(tmp_path / "live.pem"), str(tmp_path / "live.key"))
    install(certs["own"], paths)
    return paths


def test_reload(certs, live):
    with launch(*pair(live), worker_count=2) as s:
        with s.connect() as old:
            assert presented(s) == digest(certs["own"][0])
            install(certs["rsa"], live)
            assert presented(s) == digest(certs["own"][0])
            assert old.get("/reload", method="POST").body == b"2\n"
            for _ in range(8):
                assert presented(s) == digest(certs["rsa"][0])
            # What stood before stands.
            assert old.get("/hello").status == 200
            # Half a pair changes nothing.
            install((certs["own"][0],), live)
            r = old.get("/reload", method="POST")
            assert r.status == 409 and b"not this certificate's" in r.body
            assert presented(s) == digest(certs["rsa"][0])


def test_watch(certs, live):
    with launch(*pair(live), "watch_interval_ms=50") as s:
        assert presented(s) == digest(certs["own"][0])
        install((certs["other"][0],), live)
        with s.connect() as w:
            eventually(lambda: int(w.get("/generation").body.split()[1]) > 0)
            assert w.get("/generation").body.split()[0] == b"1"
            install(certs["other"], live)
            eventually(lambda: w.get("/generation").body == b"2 0\n")
        assert presented(s) == digest(certs["other"][0])


def test_reload_under_load(certs, live):
    """Not one handshake fails while the certificate is exchanged a thousand times."""
    done = threading.Event()
    count = {"ok": 0}
    errors = []
    lock = threading.Lock()
    known = {digest(certs["own"][0]), digest(certs["other"][0])}

    def shake(s):
        while not done.is_set():
            try:
                assert presented(s) in known
                with lock:
                    count["ok"] += 1
            except Exception as e:  # pylint: disable=broad-except
                errors.append(e)
                return

    with launch(*pair(live), worker_count=2) as s:
        threads = [threading.Thread(target=shake, args=(s,)) for _ in range(4)]
        for t in threads:
            t.start()
        reloads = scaled(1000, 100)
        with s.connect() as w:
            for i in range(reloads):
                install(certs["other" if i % 2 else "own"], live)
                r = w.get("/reload", method="POST")
                assert r.status == 200 and int(r.body) == i + 2
        done.set()
        for t in threads:
            t.join()
        assert not errors, errors[0]
        assert count["ok"] >= 10
        assert info(s, "/stats")["tls_failures"] == "0"


# ---- OCSP -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stapled(tmp_path_factory):
    """A certificate, its chain, and its signer's word that it is good."""
    d = tmp_path_factory.mktemp("ocsp")
    ca = servers.certificate(d, "ca", subject="/CN=Signer", alt=None,
                             extra=["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"])
    cert, key = servers.certificate(d, "leaf", alt="DNS:localhost", signer=ca, extra=[
        "-set_serial", "0x77", "-addext", "basicConstraints=critical,CA:FALSE"])

    def respond(name, index, serial="0x77"):
        (d / "index.txt").write_text(index)
        subprocess.run(["openssl", "ocsp", "-index", f"{d}/index.txt", "-CA", ca[0], "-rsigner", ca[0], "-rkey", ca[1],
                        "-issuer", ca[0], "-serial", serial, "-respout", f"{d}/{name}.der", "-ndays", "2", "-noverify"],
                       check=True, capture_output=True)
        return f"{d}/{name}.der"
    good = "V\t491231235959Z\t\t77\tunknown\t/CN=localhost\n"
    with open(cert, "a", encoding="ascii") as chain, open(ca[0], encoding="ascii") as f:
        chain.write(f.read())
    return {"cert": cert, "key": key, "response": respond("good", good), "ca": ca[0], "unknown": respond("unknown", ""),
            "revoked": respond("revoked", good.replace("V\t491231235959Z\t\t", "R\t491231235959Z\t260101000000Z\t")),
            "other": respond("other", good.replace("\t77\t", "\t78\t"), "0x78")}


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_ocsp_staple(certs, stapled, flag):
    with launch(*pair(certs["own"])) as s:
        assert "no response sent" in s_client(s, flag, "-status")
    with launch(f"cert_file={stapled['cert']}", f"key_file={stapled['key']}", f"ocsp_file={stapled['response']}") as s:
        for _ in range(2):
            out = s_client(s, flag, "-status", "-servername", "localhost")
            assert "OCSP Response Status: successful" in out and "Cert Status: good" in out
        assert "OCSP" not in s_client(s, flag)


def test_ocsp_reload(stapled, tmp_path):
    """It is read again with its certificate, and one that is not good changes nothing."""
    install = tmp_path / "staple.der"
    with open(stapled["response"], "rb") as f:
        good = f.read()
    install.write_bytes(good)
    with launch(f"cert_file={stapled['cert']}", f"key_file={stapled['key']}", f"ocsp_file={install}") as s, s.connect() as w:
        install.write_bytes(b"hello")
        r = w.get("/reload", method="POST")
        assert r.status == 409 and b"no OCSP response" in r.body
        assert "Cert Status: good" in s_client(s, "-status")
        install.write_bytes(good)
        assert w.get("/reload", method="POST").body == b"2\n"
        assert "Cert Status: good" in s_client(s, "-status")


def test_ocsp_under_load(stapled):
    """A staple for each of many handshakes costs nothing that stays."""
    ctx = ["-status", "-servername", "localhost", "-tls1_3"]
    with launch(f"cert_file={stapled['cert']}", f"key_file={stapled['key']}", f"ocsp_file={stapled['response']}") as s:
        def rss():
            with open(f"/proc/{s.pid}/statm", encoding="ascii") as f:
                return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for _ in range(scaled(20, 5)):
            assert "Cert Status: good" in s_client(s, *ctx)
        before, count = rss(), scaled(60, 20)
        for _ in range(count):
            s_client(s, *ctx)
        # What 5.5.4 lost was five kilobytes each.
        assert rss() - before < count * 2500 or servers.SAN


def test_ocsp_refused(certs, stapled, clients, tmp_path):
    own = [f"cert_file={stapled['cert']}", f"key_file={stapled['key']}"]
    assert "holds the certificate's signer" in refused(*pair(certs["own"]), f"ocsp_file={stapled['response']}")
    with open(stapled["response"], "rb") as f:
        good = f.read()
    times = [m.start() for m in re.finditer(rb"\x18\x0f20\d{12}Z", good)]
    assert len(times) >= 3, "made, this update, next update; the signer's certificate has its own"
    until = good[times[2] + 2:times[2] + 16]
    for data, words in (
            (b"hello", "no OCSP response"), (good[:-1], "no OCSP response"), (good + b"x", "no OCSP response"),
            (good[:-1] + bytes([good[-1] ^ 1]), "not signed by the certificate's signer"),
            (good.replace(until, b"20200102030405"), "until 2020-01-02 03:04:05 UTC only"),
            (good[:times[1] + 2] + b"2100" + good[times[1] + 6:], "from 2100-"),
            (b"\x30\x03\x0a\x01\x03", "the responder had no answer")):
        (tmp_path / "bad.der").write_bytes(data)
        assert words in refused(*own, f"ocsp_file={tmp_path}/bad.der")
    for name, words in (("other", "for another certificate"), ("revoked", "is revoked"), ("unknown", "does not know")):
        assert words in refused(*own, f"ocsp_file={stapled[name]}")
    assert "client_auth is set" in refused(
        f"cert_file={stapled['cert']}", f"key_file={stapled['key']}", f"ocsp_file={stapled['response']}",
        "client_auth=1", f"client_ca_file={clients['ca'][0]}")


# ---- Client certificates ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    d = tmp_path_factory.mktemp("clients")
    ca = servers.certificate(d, "ca", subject="/O=Example/CN=Test CA", alt=None,
                             extra=["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
    usage = ["-addext", "extendedKeyUsage=clientAuth", "-addext", "basicConstraints=critical,CA:FALSE"]
    alice = servers.certificate(d, "alice", subject="/O=Example/CN=alice", signer=ca, extra=[*usage, "-set_serial", "0x1234"],
                                alt="email:alice@example.org,DNS:alice.example.org,URI:spiffe://example.org/alice,IP:192.0.2.7")
    mallory = servers.certificate(d, "mallory", subject="/O=Example/CN=alice", alt=None, extra=usage)
    (d / "index.txt").write_text("")
    (d / "number").write_text("01\n")
    (d / "ca.cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={d}/index.txt\ncrlnumber={d}/number\ndefault_md=sha256\n"
                              "default_crl_days=2\n")

    def crl(name, *revoke):
        for cert in revoke:
            subprocess.run(["openssl", "ca", "-config", f"{d}/ca.cnf", "-keyfile", ca[1], "-cert", ca[0], "-revoke", cert],
                           check=True, capture_output=True)
        subprocess.run(["openssl", "ca", "-config", f"{d}/ca.cnf", "-keyfile", ca[1], "-cert", ca[0], "-gencrl", "-out",
                        f"{d}/{name}"], check=True, capture_output=True)
        return f"{d}/{name}"
    none = crl("none.crl")
    bob = servers.certificate(d, "bob", subject="/O=Example/CN=bob", signer=ca, alt=None, extra=usage)
    return {"ca": ca, "alice": alice, "mallory": mallory, "bob": bob, "none.crl": none,
            "bob.crl": crl("bob.crl", bob[0]), "dir": d}


def with_cert(who):
    ctx = tls_context()
    if who:
        ctx.load_cert_chain(*who)
    return ctx


def gets_in(server, who, version=None):
    ctx = with_cert(who)
    if version:
        ctx.maximum_version = version
    try:
        return info(server, context=ctx)
    except (ssl.SSLError, ConnectionError, AssertionError):
        return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(certs, clients, version):
    for mode in (1, 2):
        args = [*pair(certs["own"]), f"client_auth={mode}", f"client_ca_file={clients['ca'][0]}"]
        port = servers.free_port()
        with servers.Server([servers.program("tests/programs/tls"), f"listen={LOCAL}:{port}", "worker_count=1", *args],
                            (LOCAL, port, "tls"), ready_path=None) as s:
            eventually(lambda: "listening" in s.stdout)
            seen = gets_in(s, clients["alice"], version)
            assert seen["subject"].endswith("CN=alice") and seen["issuer"].endswith("CN=Test CA")
            assert seen["sha256"] == digest(clients["alice"][0]) and seen["serial"] == "1234"
            assert set(seen["names"].split()) == {"email:alice@example.org", "DNS:alice.example.org", "URI:spiffe://example.org/alice",
                                                  "IP:192.0.2.7"}
            assert int(seen["der"]) > 300 and int(seen["not_after"]) > time.time()
            assert gets_in(s, clients["mallory"], version) is None
            nobody = gets_in(s, None, version)
            assert (nobody is None) if mode == 2 else nobody["subject"] == "-"


def test_client_ca_dir(certs, clients, tmp_path):
    for name in ("ca", "mallory"):
        (tmp_path / f"{name}.pem").write_bytes(open(clients[name][0], "rb").read())
    with launch(*pair(certs["own"]), "client_auth=1", f"client_ca_dir={tmp_path}") as s:
        assert gets_in(s, clients["alice"])["subject"].endswith("CN=alice")
        assert gets_in(s, clients["mallory"])["subject"].endswith("CN=alice")


def test_revoked_clients(certs, clients):
    for crl, bob in (("none.crl", True), ("bob.crl", False)):
        with launch(*pair(certs["own"]), "client_auth=1", f"client_ca_file={clients['ca'][0]}",
                    f"client_crl_file={clients[crl]}") as s:
            assert gets_in(s, clients["alice"])["subject"].endswith("CN=alice")
            assert (gets_in(s, clients["bob"]) is not None) == bob


def test_client_sessions_are_not_resumed(certs, clients):
    with launch(*pair(certs["own"]), "client_auth=1", f"client_ca_file={clients['ca'][0]}") as s:
        out = s_client(s, "-ign_eof", "-cert", clients["alice"][0], "-key", clients["alice"][1],
                       send=request("GET", "/info", "Connection: close"))
        assert "CN=alice" in out and "TLS session ticket:" not in out


@pytest.mark.parametrize("args,words", [
    (["client_auth=2"], "needs one of client_ca_file"), (["client_auth=3"], "client_auth is 3"),
    (["client_ca_file=x"], "client_auth is not"), (["client_auth=1", "client_ca_file=/none"], "No such file"),
    (["tls_min_version=11"], "tls_min_version is 11"), (["tls_tickets=1"], "tls_tickets is 1"), (["no_h2=2"], "no_h2 is 2"),
    (["tickets=short"], "ticket keys: 5 bytes"), (["ocsp_file=/none"], "No such file")])
def test_refused_settings(certs, args, words):
    assert words in refused(*pair(certs["own"]), *args)


# ---- The showcase ---------------------------------------------------------------------------------------


def test_showcase_keeps_its_own_certificate(tmp_path):
    """Made at the first run, readable by its owner only, the same at the second."""
    seen = set()
    for _ in range(2):
        port = servers.free_port()
        with servers.Server([servers.program("examples/showcase"), "--tls", f"{LOCAL}:{port}", "--workers", "1", "--quiet"],
                            (LOCAL, port, "tls"), env={"XDG_CACHE_HOME": str(tmp_path)}) as s:
            assert f"https://{LOCAL}:{port}" in s.stdout
            seen.add(presented(s))
            with s.connect() as w:
                got = json.loads(w.get("/inspect").body)
            assert got["tls"] == "TLSv1.3" and got["cipher"].startswith("TLS13-") and got["server_name"] == "localhost"
    assert len(seen) == 1
    key = tmp_path / "tako" / "localhost.key"
    assert key.stat().st_mode & 0o777 == 0o600
    r = subprocess.run(["openssl", "x509", "-in", str(key.with_suffix(".pem")), "-noout", "-text"], capture_output=True,
                       text=True, check=True)
    assert "DNS:localhost" in r.stdout and "IP Address:127.0.0.1" in r.stdout


def test_showcase_refuses_a_bad_certificate(certs):
    r = servers.run_refused([servers.program("examples/showcase"), "--tls", f"{LOCAL}:{servers.free_port()}", "--cert",
                             certs["own"][0], "--key", certs["other"][1]])
    assert r.returncode == 1 and "not this certificate's" in r.stderr

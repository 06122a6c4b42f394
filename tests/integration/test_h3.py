# SPDX-License-Identifier: MIT
"""HTTP/3 by clients that are not ours: ngtcp2's gtlsclient, and a browser that shows the whole page."""
import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import servers
import test_page as test_page_module
from wire import PATIENCE, SAN, once, request

CLIENT_S = 20 * PATIENCE
GTLSCLIENT = shutil.which("gtlsclient")

pytestmark = pytest.mark.skipif(not GTLSCLIENT, reason="gtlsclient (ngtcp2-client) is not installed")


def site(files, *args, **kw):
    """The showcase over TCP with TLS and over UDP, on one port."""
    cert, key = servers.shared_certificate()
    port = servers.free_port()
    return servers.Server([servers.program("examples/showcase"), "--tls", f"127.0.0.1:{port}", "--h3",
                           f"127.0.0.1:{port}", "--cert", cert, "--key", key, "--workers", "2", "--quiet",
                           "--files", str(files), *args], ("127.0.0.1", port, "tls"), **kw)


class Answer:
    """What gtlsclient says of one response."""

    def __init__(self, log, stream=0):
        fields = re.findall(rf"^http: stream {stream:#x} \[([^\]]*?): ([^\n]*)\]$", log, re.M)
        self.log = log
        self.fields = dict(fields)
        self.status = int(self.fields.get(":status", 0))

    def __repr__(self):
        return self.log


def ask(server, *paths, args=(), cwd=None):
    host, port = server.addr[:2]
    urls = [f"https://localhost:{port}{path}" for path in paths]
    r = subprocess.run([GTLSCLIENT, "--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close",
                        "-n", str(len(urls)), *args, host, str(port), *urls],
                       capture_output=True, timeout=CLIENT_S, cwd=cwd, check=False)
    log = (r.stdout + r.stderr).decode("utf-8", "replace")
    assert r.returncode == 0, log[-4000:]
    return [Answer(log, 4 * i) for i in range(len(urls))]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "large").write_bytes(os.urandom(3_000_000))
    (folder / "small.txt").write_text("small\n")
    return folder


@pytest.fixture(scope="module")
def server(files):
    with site(files) as s:
        yield s


def test_small(server):
    answer, = ask(server, "/plaintext")
    assert answer.status == 200, answer
    assert answer.fields["content-length"] == "13"
    assert answer.fields["content-type"].startswith("text/plain")
    assert "date" in answer.fields and answer.fields["server"] == "tako"


def test_many(server):
    answers = ask(server, *["/plaintext", "/users/42", "/nothing"] * 10)
    assert [a.status for a in answers] == [200, 200, 404] * 10


def test_head(server):
    answer, = ask(server, "/files/large", args=["-m", "HEAD"])
    assert answer.status == 200 and answer.fields["content-length"] == "3000000"


def test_files(server, files, tmp_path):
    answers = ask(server, "/files/large", "/files/small.txt", args=["--download", str(tmp_path)])
    assert [a.status for a in answers] == [200, 200]
    assert (tmp_path / "large").read_bytes() == (files / "large").read_bytes()
    assert (tmp_path / "small.txt").read_bytes() == b"small\n"


def test_upload(server, files, tmp_path):
    answer, = ask(server, "/upload", args=["-m", "POST", "-d", str(files / "large"), "--download",
                                           str(tmp_path)])
    assert answer.status == 200, answer
    said = (tmp_path / "upload").read_text()
    assert hashlib.sha256((files / "large").read_bytes()).hexdigest() in said and "3000000" in said


def test_echo(server, files, tmp_path):
    answer, = ask(server, "/echo", args=["-m", "POST", "-d", str(files / "large"), "--download", str(tmp_path)])
    assert answer.status == 200, answer
    assert (tmp_path / "echo").read_bytes() == (files / "large").read_bytes()


def test_who_comes_by_tcp_is_told(server):
    port = server.addr[1]
    r = once(server.addr, request("GET", "/plaintext"))
    assert r.get("alt-svc") == f'h3=":{port}"; ma=86400'
    # Once a connection.
    with server.connect() as w:
        assert w.get("/plaintext").get("alt-svc") is not None
        assert w.get("/plaintext").get("alt-svc") is None
    over_h2 = subprocess.run(["curl", "-sk", "--http2", "-o", "/dev/null", "-D", "-",
                              f"https://127.0.0.1:{port}/plaintext"], capture_output=True, check=True,
                             timeout=CLIENT_S).stdout.decode()
    assert f'alt-svc: h3=":{port}"; ma=86400' in over_h2


def test_drain(files, tmp_path):
    """What has begun is finished: GOAWAY, the rest of the answer, and a clean end."""
    with site(files) as s:
        host, port = s.addr[:2]
        client = subprocess.Popen([GTLSCLIENT, "--no-quic-dump", "--exit-on-all-streams-close", "--download",
                                   str(tmp_path), host, str(port), f"https://localhost:{port}/stream?delay_ms=50"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        got, deadline = b"", time.monotonic() + CLIENT_S
        while b"[:status: 200]" not in got and time.monotonic() < deadline:
            got += client.stdout.readline()
        s.signal(signal.SIGTERM)
        got += client.communicate(timeout=CLIENT_S)[0]
        assert client.returncode == 0, got[-3000:]
        s.wait()
        s.assert_clean()
    body, = tmp_path.iterdir()
    assert body.read_text().count("\n") == 10


# ---- A browser -----------------------------------------------------------------------------


def spki(cert):
    """The hash of its public key, as Chromium wants it."""
    key = subprocess.run(["openssl", "x509", "-in", cert, "-pubkey", "-noout"], capture_output=True,
                         check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=key, capture_output=True,
                         check=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


@pytest.mark.skipif(bool(SAN), reason="the browser is the slow part, and is the same")
def test_page(tmp_path, monkeypatch):
    cert, _ = servers.shared_certificate()
    monkeypatch.setattr(test_page_module, "FLAGS",
                        [f for f in test_page_module.FLAGS if f != "--disable-quic"])
    monkeypatch.setitem(test_page_module.CARDS, "session", (["20 of 20 streams came back", "A datagram"], []))
    with site(test_page_module.EXAMPLES) as s:
        origin = f"127.0.0.1:{s.addr[1]}"
        browser = test_page_module.Browser(tmp_path, "--enable-quic", f"--origin-to-force-quic-on={origin}",
                                           f"--ignore-certificate-errors-spki-list={spki(cert)}")
        try:
            browser.call("Page.navigate", url=f"https://{origin}/")
            outputs, deadline = {}, time.monotonic() + test_page_module.PAGE_S
            while time.monotonic() < deadline:
                time.sleep(0.2)
                outputs = browser.evaluate(test_page_module.OUTPUTS)
                if set(test_page_module.CARDS) <= set(outputs) and test_page_module.done(outputs):
                    break
            hops = browser.evaluate("[...new Set(performance.getEntries().map((e) => e.nextHopProtocol)"
                                    ".filter((p) => p))]")
            shown = browser.evaluate("document.querySelector('#t-protocol').textContent")
            bad = {card: outputs[card]["bad"] for card in outputs if outputs[card]["bad"]}
        finally:
            browser.close()
    assert hops == ["h3"], hops
    assert shown == "h3, TLSv1.3"
    assert bad == {}, outputs

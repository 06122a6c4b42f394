# SPDX-License-Identifier: MIT
"""Clients that are not ours: what they say about the showcase is what their users see."""
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import urllib.request

import pytest

from servers import not_sent_in_bits
from wire import PATIENCE, SAN, scaled


def tool(name):
    path = shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed")
    return path


def run(*argv, stdin=b"", timeout=20 * PATIENCE):
    r = subprocess.run(argv, input=stdin, capture_output=True, timeout=timeout, check=False)
    return r


@pytest.fixture
def base(showcase):
    return "http://%s:%d" % showcase.addr


def curl(*args, stdin=b""):
    return run(tool("curl"), "-sS", "--max-time", str(10 * PATIENCE), *args, stdin=stdin)


# ---- curl ----------------------------------------------------------------------------


def test_curl_verbose(base):
    r = curl("-v", base + "/plaintext")
    log = r.stderr.decode()
    assert r.returncode == 0 and r.stdout == b"Hello, World!"
    assert "< HTTP/1.1 200 OK" in log and "< Content-Length: 13" in log
    assert re.search(r"Connection #0 to host \S+ left intact", log)


def test_curl_reuses_its_connection(base):
    r = curl("-v", base + "/json", base + "/plaintext", base + "/no/such", base + "/users/7")
    assert r.returncode == 0
    assert r.stderr.count(b"Re-using existing connection") == 3
    assert r.stdout.startswith(b'{"message":"Hello, World!"}Hello, World!')


def test_curl_http10(base):
    r = curl("-v", "--http1.0", base + "/stream?chunks=3&bytes=10&delay_ms=1")
    assert r.returncode == 0 and len(r.stdout) == 30 and b"Closing connection" in r.stderr


def test_curl_head(base):
    r = curl("-I", base + "/plaintext")
    assert r.returncode == 0 and b"Content-Length: 13" in r.stdout and b"Hello" not in r.stdout


def test_curl_uploads(base, tmp_path):
    body = bytes(range(256)) * 4000
    (tmp_path / "f").write_bytes(body)
    sha = hashlib.sha256(body).hexdigest().encode()
    # More than 1 MB makes curl expect 100-continue.
    for args in (["--data-binary", f"@{tmp_path}/f"], ["-X", "POST", "-T", f"{tmp_path}/f"],
                 ["-X", "POST", "-T", "-"], ["-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path}/f"],
                 ["-H", "Transfer-Encoding: chunked", "--data-binary", f"@{tmp_path}/f"]):
        r = curl(*args, base + "/upload", stdin=body)
        assert r.returncode == 0 and sha in r.stdout, args
        r = curl(*args, base + "/echo", stdin=body)
        assert r.returncode == 0 and r.stdout == body, args


def test_curl_waits_for_continue(base):
    r = curl("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "30", "--data-binary", "hello", base + "/upload")
    assert r.returncode == 0 and b"< HTTP/1.1 100 Continue" in r.stderr


def test_curl_methods(base):
    r = curl("-i", "-X", "OPTIONS", base + "/plaintext")
    assert b"204" in r.stdout.split(b"\r\n")[0] and re.search(rb"(?i)^allow: .*GET", r.stdout, re.M)
    r = curl("-i", "-X", "DELETE", base + "/plaintext")
    assert b"405" in r.stdout.split(b"\r\n")[0]
    r = curl("-i", "-X", "OPTIONS", "--request-target", "*", base)
    assert r.returncode == 0


def test_curl_path_as_is(base):
    r = curl("--path-as-is", base + "/a/../inspect?x=1")
    assert json.loads(r.stdout)["path"] == "/inspect"
    r = curl("--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", base + "/files/../../../etc/passwd")
    assert r.stdout == b"404"


def test_curl_ranges(base):
    r = curl("-r", "10-19", "-w", "%{http_code}", base + "/files/big.bin")
    assert r.stdout == bytes(range(10, 20)) + b"206"


def test_curl_offers_other_protocols(base):
    """Upgrade offers are declined by answering in HTTP/1.1."""
    r = curl("-v", "--http2", base + "/plaintext")
    assert r.returncode == 0 and r.stdout == b"Hello, World!" and b"HTTP/1.1 200" in r.stderr


def test_curl_with_prior_knowledge(base):
    r = curl("-v", "--http2-prior-knowledge", base + "/plaintext")
    assert r.returncode == 0 and r.stdout == b"Hello, World!" and b"HTTP/2 200" in r.stderr


def test_curl_through_absolute_form(base):
    """As a proxy's client would ask."""
    r = curl("-x", base, "http://example.com/inspect")
    assert r.returncode == 0 and json.loads(r.stdout)["path"] == "/inspect"


def test_curl_parallel(base):
    n = scaled(50, 10)
    r = curl("-Z", "--parallel-max", "20", *[base + f"/slow?ms={i}" for i in range(n)])
    assert r.returncode == 0


# ---- Python ------------------------------------------------------------------------------


def test_http_client(showcase):
    c = http.client.HTTPConnection(*showcase.addr, timeout=10 * PATIENCE)
    for _ in range(3):
        c.request("GET", "/json")
        r = c.getresponse()
        assert r.status == 200 and json.loads(r.read()) == {"message": "Hello, World!"}
    c.request("POST", "/echo", iter([b"a", b"bc", b"def"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert c.getresponse().read() == b"abcdef"
    c.request("HEAD", "/json")
    r = c.getresponse()
    assert r.getheader("Content-Length") == "27" and r.read() == b""
    c.request("GET", "/stream?chunks=4&bytes=5&delay_ms=1")
    assert len(c.getresponse().read()) == 20
    c.close()


def test_urllib(base):
    with urllib.request.urlopen(base + "/users/7", timeout=10 * PATIENCE) as r:
        assert r.status == 200 and b"7" in r.read()
    with pytest.raises(urllib.error.HTTPError) as e:
        urllib.request.urlopen(base + "/no/such", timeout=10 * PATIENCE)
    assert e.value.code == 404
    e.value.close()


# ---- Load ------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [[], ["-k"]])
@pytest.mark.parametrize("path,size", [("/plaintext", 13), ("/json", 27)])
def test_ab(base, keep, path, size):
    """An HTTP/1.0 client, with and without keep-alive."""
    n = scaled(3000, 300)
    r = run(tool("ab"), "-q", *keep, "-n", str(n), "-c", "20", base + path)
    text = r.stdout.decode()
    assert r.returncode == 0, r.stderr
    assert re.search(rf"Complete requests:\s+{n}\b", text)
    assert re.search(r"Failed requests:\s+0\b", text) and "Non-2xx" not in text
    assert re.search(rf"HTML transferred:\s+{n * size} bytes", text)
    if keep:
        assert re.search(rf"Keep-Alive requests:\s+{n}\b", text)


def test_ab_posts(base, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 10000)
    n = scaled(500, 50)
    r = run(tool("ab"), "-q", "-k", "-n", str(n), "-c", "10", "-p", str(tmp_path / "body"), "-T", "text/plain", base + "/upload")
    text = r.stdout.decode()
    assert re.search(rf"Complete requests:\s+{n}\b", text) and re.search(r"Failed requests:\s+0\b", text)


@pytest.mark.parametrize("path", ["/plaintext", pytest.param("/files/big.bin", marks=not_sent_in_bits), "/stream?chunks=3&bytes=1000&delay_ms=0", "/slow?ms=5"])
def test_wrk(base, path):
    r = run(tool("wrk"), "-t", "1", "-c", "32", "-d", "1", base + path)
    text = r.stdout.decode()
    assert r.returncode == 0, r.stderr
    assert "Socket errors" not in text and "Non-2xx" not in text, text
    assert int(re.search(r"(\d+) requests in", text).group(1)) > 50 / (4 if SAN else 1)


def test_wrk_pipelined(base, tmp_path):
    script = tmp_path / "pipeline.lua"
    script.write_text("""
init = function(args)
  local r = {}
  for i = 1, 16 do r[i] = wrk.format("GET", "/plaintext") end
  req = table.concat(r)
end
request = function() return req end
""")
    r = run(tool("wrk"), "-t", "1", "-c", "8", "-d", "1", "-s", str(script), base)
    text = r.stdout.decode()
    assert r.returncode == 0 and "Socket errors" not in text and "Non-2xx" not in text, text


# ---- A browser -----------------------------------------------------------------------------------


def test_chromium_opens_the_page(base, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or tool("google-chrome")
    r = run(browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}", "--dump-dom", base + "/",
            timeout=60 * PATIENCE)
    dom = r.stdout.decode()
    assert r.returncode == 0, r.stderr[-2000:]
    assert "<title>" in dom and "tako" in dom
    assert "ERR_" not in dom

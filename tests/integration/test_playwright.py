# SPDX-License-Identifier: MIT
"""The showcase's page as two people use it at once, over each version of HTTP: playwright-core and Chromium, by
tests/programs/page.js.  Left out where scripts/npm.sh could not install the one or the other is not there;
test_page.py and its like drive the browser without."""
import os
import shutil
import subprocess

import pytest

import servers
from servers import SAN
from test_h3 import spki
from wire import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MODULES = servers.node_modules("playwright-core")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM or not shutil.which("node"), reason="chromium or node is not installed"),
    pytest.mark.skipif(not MODULES, reason="playwright-core is not installed: scripts/npm.sh does that"),
    pytest.mark.skipif(bool(SAN), reason="the browser is the slow part, and is the same"),
]


@pytest.fixture(name="showcase", scope="module")
def fixture_showcase(tmp_path_factory):
    """One server, and its origins by protocol."""
    cert, key = servers.shared_certificate()
    http, tls = servers.free_port(), servers.free_port()
    files = tmp_path_factory.mktemp("files")
    (files / "index.html").write_text("<!doctype html><title>index</title>\n")
    args = [servers.program("examples/showcase"), "--http", f"127.0.0.1:{http}", "--tls", f"127.0.0.1:{tls}",
            "--h3", f"127.0.0.1:{tls}", "--cert", cert, "--key", key, "--workers", "2", "--quiet", "--files", str(files)]
    with servers.Server(args, ("127.0.0.1", http)) as s:
        yield s, {"http/1.1": f"http://127.0.0.1:{http}", "h2, TLSv1.3": f"https://127.0.0.1:{tls}",
                  "h3, TLSv1.3": f"https://127.0.0.1:{tls}"}


@pytest.mark.parametrize("protocol", ["http/1.1", "h2, TLSv1.3", "h3, TLSv1.3"])
def test_two_visitors(showcase, protocol):
    """Chat, ticker and WebTransport; and the page says what it came over."""
    r = subprocess.run(["node", os.path.join(servers.ROOT, "tests/programs/page.js"), CHROMIUM, protocol,
                        showcase[1][protocol], spki(servers.shared_certificate()[0]), str(60000 * PATIENCE)],
                       env={**os.environ, "NODE_PATH": MODULES}, capture_output=True, text=True,
                       timeout=240 * PATIENCE, check=False)
    assert r.stdout == "all good\n" and r.returncode == 0, r.stdout + r.stderr

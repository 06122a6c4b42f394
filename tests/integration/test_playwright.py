# SPDX-License-Identifier: MIT
"""The showcase's page as two people use it at once, over each version of HTTP: playwright-core and Chromium, by
tests/programs/page.js.  Left out where scripts/npm.sh could not install the one or the other is not there;
test_page.py and its like drive the browser without."""
import os
import shutil
import subprocess
import threading

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


def start(http, tls, files):
    cert, key = servers.shared_certificate()
    args = [servers.program("examples/showcase"), "--http", f"127.0.0.1:{http}", "--tls", f"127.0.0.1:{tls}",
            "--h3", f"127.0.0.1:{tls}", "--cert", cert, "--key", key, "--workers", "2", "--quiet", "--files", str(files)]
    return servers.Server(args, ("127.0.0.1", http))


@pytest.mark.parametrize("protocol", ["http/1.1", "h2, TLSv1.3", "h3, TLSv1.3"])
def test_two_visitors(tmp_path, protocol):
    """Chat, ticker and WebTransport; the page says what it came over, and its console nothing; over HTTP/1.1 the
    ticker is back after a restart.  The server ends in order while the visitors are still there."""
    http, tls = servers.free_port(), servers.free_port()
    origin = f"http://127.0.0.1:{http}" if protocol == "http/1.1" else f"https://127.0.0.1:{tls}"
    argv = ["node", os.path.join(servers.ROOT, "tests/programs/page.js"), CHROMIUM, protocol, origin,
            spki(servers.shared_certificate()[0]), str(60000 * PATIENCE)]
    # The browser takes three seconds to ask again, whatever it came over: once is enough.
    words = ("restart", "stop") if protocol == "http/1.1" else ("stop",)
    said = []

    def visitors_say(word):
        said.append(visitors.stdout.readline())
        return said[-1] == word + "\n"

    with subprocess.Popen(argv, env={**os.environ, "NODE_PATH": MODULES}, text=True, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as visitors:
        # Whatever it waits for, it ends, and so do our reads.
        timer = threading.Timer(240 * PATIENCE, visitors.kill)
        timer.start()
        try:
            for word in words:
                with start(http, tls, tmp_path) as server:
                    if word != words[0]:
                        print("", file=visitors.stdin, flush=True)
                    assert visitors_say(word), said[-1] + visitors.stdout.read()
                    server.stop()
            print("", file=visitors.stdin, flush=True)
            assert visitors_say("all good"), said[-1] + visitors.stdout.read()
        finally:
            timer.cancel()
            visitors.kill()

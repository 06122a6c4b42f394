# SPDX-License-Identifier: MIT
"""WebSocket with clients that are not ours: Python's websockets, Node's ws, and Chromium, over TCP, TLS and
HTTP/2."""
import asyncio
import json
import os
import shutil
import ssl
import subprocess

import pytest

import servers
from test_page import Browser
from wire import PATIENCE, SAN, eventually

websockets = pytest.importorskip("websockets")

#: Where Debian has Node's modules.
NODE_PATH = "/usr/share/nodejs"
DEFLATE = "/echo?deflate=1&threshold_bytes=1"
SIZES = [0, 1, 125, 126, 1000, 65535, 65536, 300000]


@pytest.fixture(scope="module", params=["tcp", "tls"])
def server(request):
    with servers.launch("ws", tls=request.param == "tls" or servers.OVER_TLS) as s:
        s.url = f"{'wss' if s.scheme == 'https' else 'ws'}://localhost:{s.addr[1]}"
        yield s


def trusting():
    ctx = ssl.create_default_context()
    ctx.load_verify_locations(servers.shared_certificate()[0])
    return ctx


# ---- Python's websockets ----------------------------------------------------------------------------------


def connect(server, path="/echo", **kw):
    if server.scheme == "https":
        kw["ssl"] = trusting()
    return websockets.connect(server.url + path, open_timeout=10 * PATIENCE, close_timeout=10 * PATIENCE,
                              max_size=None, **kw)


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30 * PATIENCE))


async def echo_all(ws):
    for n in SIZES:
        for message in ("é" * (n // 2), os.urandom(n)):
            await ws.send(message)
            assert await ws.recv() == message
    # In fragments, and all of a batch before the first answer.
    await ws.send(iter(["frag", "ment", "", "ed"]))
    assert await ws.recv() == "fragmented"
    for i in range(50):
        await ws.send(f"message {i}")
    assert [await ws.recv() for _ in range(50)] == [f"message {i}" for i in range(50)]
    await asyncio.wait_for(await ws.ping(b"are you there"), 10 * PATIENCE)


@pytest.mark.parametrize("path", ["/echo", DEFLATE])
def test_python(server, path):
    async def talk():
        async with connect(server, path) as ws:
            assert [e.name for e in ws.extensions] == (["permessage-deflate"] if "deflate" in path else [])
            await echo_all(ws)
            await ws.close(4001, "bye")
            assert ws.close_code == 4001
    run(talk())


def test_python_closed_by_us(server):
    async def talk():
        async with connect(server, "/command") as ws:
            await ws.send("close 3456 because")
            with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd.code == 3456 and closed.value.rcvd.reason == "because"
    run(talk())


def test_python_subprotocol_and_origin(server):
    async def talk():
        path = "/echo?subprotocols=b,a&origins=https://example.com"
        async with connect(server, path, subprotocols=["a", "b"], origin="https://example.com") as ws:
            assert ws.subprotocol == "b"
        with pytest.raises(websockets.exceptions.InvalidStatusCode) as refused:
            async with connect(server, path, origin="https://evil.example"):
                pass
        assert refused.value.status_code == 403
    run(talk())


# ---- Node's ws ---------------------------------------------------------------------------------------------

NODE = """
const WebSocket = require('ws');
const crypto = require('crypto');
const [url, deflate] = process.argv.slice(1);
const sizes = %s;
const messages = [''];
for (const n of sizes) messages.push('\\u00e9'.repeat(n >> 1), crypto.randomBytes(n));
const ws = new WebSocket(url, {perMessageDeflate: deflate ? {threshold: 0} : false, rejectUnauthorized: false, family: 4,
                               maxPayload: 1 << 24});
let at = 0, pinged = false;
const fail = (why) => { console.log(JSON.stringify({error: String(why)})); process.exit(1); };
const next = () => at < messages.length ? ws.send(messages[at]) : ws.ping('there?');
ws.on('open', next);
ws.on('error', fail);
ws.on('message', (data, binary) => {
  const want = messages[at];
  if (binary !== Buffer.isBuffer(want) || Buffer.compare(data, Buffer.from(want))) fail('message ' + at);
  at++;
  next();
});
ws.on('pong', (data) => { pinged = String(data) === 'there?'; ws.close(4002, 'done'); });
ws.on('close', (code, reason) => console.log(JSON.stringify({at, pinged, code, reason: String(reason),
                                                             extensions: ws.extensions})));
"""


@pytest.mark.parametrize("path", ["/echo", DEFLATE])
def test_node(server, path):
    if not shutil.which("node") or not os.path.isdir(f"{NODE_PATH}/ws"):
        pytest.skip("node-ws is not installed")
    r = subprocess.run(["node", "-e", NODE % json.dumps(SIZES), server.url + path, "deflate" if "deflate" in path else ""],
                       env={**os.environ, "NODE_PATH": NODE_PATH}, capture_output=True, text=True,
                       timeout=60 * PATIENCE, check=False)
    said = json.loads(r.stdout or "{}")
    assert said == {"at": 1 + 2 * len(SIZES), "pinged": True, "code": 4002, "reason": "done",
                    "extensions": "permessage-deflate" if "deflate" in path else ""}, r.stderr


# ---- Chromium --------------------------------------------------------------------------------------------------

#: Echoes of every size and kind, then a close; what became of it.
SCRIPT = """(async () => {
  const origin = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
  let ws = new WebSocket(origin + "/command");
  const event = (name) => new Promise((ok, bad) => { ws["on" + name] = ok; ws.onerror = () => bad(name); });
  await event("open");
  ws.send("conn");
  const transport = (await event("message")).data;
  ws = new WebSocket(origin + "%s", ["b", "a"]);
  ws.binaryType = "arraybuffer";
  await event("open");
  let good = 0;
  for (const n of %s) {
    const text = "\\u00e9".repeat(n >> 1);
    ws.send(text);
    good += (await event("message")).data === text;
    const bytes = new Uint8Array(n).map((_, i) => i * 7);
    ws.send(bytes);
    const got = new Uint8Array((await event("message")).data);
    good += got.length === n && got.every((b, i) => b === bytes[i]);
  }
  ws.close(4003, "done");
  const end = await event("close");
  return {good, transport, extensions: ws.extensions, protocol: ws.protocol, code: end.code, reason: end.reason,
          clean: end.wasClean};
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if SAN:
        pytest.skip("the browser is the slow part, and is the same")
    b = Browser(tmp_path_factory.mktemp("chromium"), "--ignore-certificate-errors")
    yield b
    b.close()


@pytest.mark.parametrize("path", ["/echo?subprotocols=a", DEFLATE + "&subprotocols=a"])
def test_chromium(server, browser, path):
    """Over TLS the page came by HTTP/2, and its WebSocket is a stream beside it (RFC 8441)."""
    browser.call("Page.navigate", url=server.url.replace("ws", "http", 1) + "/hello")
    eventually(lambda: browser.evaluate("document.readyState === 'complete' && location.port") == str(server.addr[1]))
    got = browser.evaluate(SCRIPT % (path, json.dumps(SIZES)))
    assert got.pop("extensions").startswith("permessage-deflate") == ("deflate" in path)
    assert got == {"good": 2 * len(SIZES), "transport": "h2" if server.scheme == "https" else "http/1.1",
                   "protocol": "a", "code": 4003, "reason": "done", "clean": True}

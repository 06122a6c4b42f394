# SPDX-License-Identifier: MIT
"""gRPC-Web from a browser: binary and text, over HTTP/1.1 and HTTP/2, from a page of the same host and from
another's, which has to be allowed."""
import json
from urllib.parse import unquote

import pytest

import servers
from test_page import Browser
from wire import SAN, Wire, eventually

pytestmark = pytest.mark.skipif(bool(SAN), reason="the browser is the slow part, and is the same")

#: A client as small as it can be: one message out, frames and trailers in.
CLIENT = """
const call = async (url, text, type, metadata = {}, ends = {}) => {
  const message = new TextEncoder().encode(text);
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message, 5);
  const isText = type.includes("-text");
  const response = await fetch(url, {method: "POST", signal: ends.signal,
    credentials: ends.credentials || "same-origin", body: isText ? btoa(String.fromCharCode(...frame)) : frame,
    headers: {"content-type": type, "x-grpc-web": "1", "x-user-agent": "test", ...metadata}});
  if (ends.atFirst) {
    const first = await response.body.getReader().read();
    ends.atFirst();
    return first.value.length;
  }
  let bytes = new Uint8Array(await response.arrayBuffer());
  if (isText) {
    // Each piece has its own padding.
    const pieces = new TextDecoder().decode(bytes).match(/[^=]+=*/g) || [];
    bytes = Uint8Array.from(pieces.map((p) => atob(p)).join(""), (c) => c.charCodeAt(0));
  }
  const got = {sizes: [], status: response.headers.get("grpc-status"), message: response.headers.get("grpc-message"),
               echo: response.headers.get("x-grpc-test-echo-initial"), type: response.headers.get("content-type")};
  for (let at = 0; at < bytes.length;) {
    const n = new DataView(bytes.buffer, at).getUint32(1);
    const part = bytes.subarray(at + 5, at + 5 + n);
    if (bytes[at] & 0x80)
      for (const line of new TextDecoder().decode(part).trim().split("\\r\\n")) {
        const [name, value] = line.split(": ");
        if (name === "grpc-status") got.status = value;
        if (name === "x-grpc-test-echo-trailing-bin") got.trailing = value;
      }
    else
      got.sizes.push(n);
    at += 5 + n;
  }
  return got;
};
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    b = Browser(tmp_path_factory.mktemp("chromium"), "--ignore-certificate-errors")
    yield b
    b.close()


def visit(browser, server):
    browser.call("Page.navigate", url=f"{server.scheme}://localhost:{server.addr[1]}/hello")
    eventually(lambda: browser.evaluate("document.readyState === 'complete' && location.port") == str(server.addr[1]))


def evaluate(browser, script):
    return browser.evaluate("(async () => {%s %s})()" % (CLIENT, script))


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_same_host(browser, transport):
    with servers.launch("grpc", tls=transport == "tls" or servers.OVER_TLS) as s:
        visit(browser, s)
        for kind in ("application/grpc-web+proto", "application/grpc-web-text"):
            got = evaluate(browser, """
                const S = "/tako.test.Interop/";
                const echo = {"x-grpc-test-echo-initial": "hi", "x-grpc-test-echo-trailing-bin": "q6ur"};
                return {large: await call(S + "Unary", "n=314159;squeeze=0", "%(kind)s", echo),
                        many: await call(S + "Output", "n=31415,9,2653,58979", "%(kind)s"),
                        none: await call(S + "Unary", "code=5;message=not here", "%(kind)s"),
                        late: await call(S + "Output", "n=1;code=7", "%(kind)s"),
                        other: await call(S + "Other", "", "%(kind)s"),
                        version: performance.getEntriesByType("resource").pop().nextHopProtocol};
                """ % {"kind": kind})
            assert got["version"] == ("h2" if s.scheme == "https" else "http/1.1")
            assert got["large"] == {"sizes": [314159], "status": "0", "message": None, "echo": "hi", "type": kind,
                                    "trailing": "q6ur"}
            assert got["many"]["sizes"] == [31415, 9, 2653, 58979] and got["many"]["status"] == "0"
            assert got["none"]["sizes"] == [] and got["none"]["status"] == "5" and got["none"]["message"] == "not here"
            assert got["late"]["sizes"] == [1] and got["late"]["status"] == "7"
            assert got["other"]["status"] == "12"


def said(server, path="/said"):
    with Wire(server.addr) as w:
        return w.get(path, "Connection: close").body.decode().splitlines()


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_list(browser, transport):
    """Of the interoperability list, what the test above has not."""
    special = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    with servers.launch("grpc", tls=transport == "tls" or servers.OVER_TLS) as s:
        visit(browser, s)
        for kind in ("application/grpc-web+proto", "application/grpc-web-text"):
            got = evaluate(browser, """
                const S = "/tako.test.Interop/";
                return {empty: await call(S + "Empty", "", "%(kind)s"),
                        special: await call(S + "Unary", %(special)s, "%(kind)s"),
                        service: await call("/tako.test.Other/Unary", "", "%(kind)s"),
                        timeout: await call(S + "Unary", "n=1;sleep=500", "%(kind)s", {"grpc-timeout": "100m"})};
                """ % {"kind": kind, "special": json.dumps("code=2;message=" + special)})
            assert got["empty"]["sizes"] == [0] and got["empty"]["status"] == "0"
            assert got["special"]["status"] == "2"
            assert unquote(got["special"]["message"]) == special
            assert got["service"]["status"] == "12"
            assert got["timeout"]["status"] == "4" and got["timeout"]["sizes"] == []
            # The one that was given up is over when its method has let go.
            eventually(lambda: any(line.startswith("over") and "DEADLINE" in line for line in said(s)))
            said(s, "/forget")
            got = evaluate(browser, """
                const S = "/tako.test.Interop/", begun = new AbortController(), first = new AbortController();
                const given_up = call(S + "Unary", "n=1;sleep=500", "%(kind)s", {}, {signal: begun.signal});
                begun.abort();
                const told = await given_up.catch((e) => e.name);
                return [told, await call(S + "Flood", "n=100000000", "%(kind)s", {},
                                         {signal: first.signal, atFirst: () => first.abort()})];
                """ % {"kind": kind})
            assert got[0] == "AbortError" and got[1] >= 69
            # The first may have been cancelled before anything was sent.
            eventually(lambda: {"cancelled /tako.test.Interop/Flood CANCELLED", "over /tako.test.Interop/Flood CANCELLED"}
                       <= set(said(s)))
            assert all(line.endswith("CANCELLED") for line in said(s))


def test_other_hosts(browser):
    """A browser asks first, and lets its scripts see what they may, also where they send cookies."""
    script = """return call("%s/tako.test.Interop/Unary", "n=9;squeeze=0", "application/grpc-web",
                            {"x-grpc-test-echo-initial": "hi"}, {credentials: "%s"}).catch((e) => String(e));"""
    with servers.launch("grpc") as page:
        allowed = f"origin={page.scheme}://localhost:{page.addr[1]}"
        with servers.launch("grpc", allowed) as one, servers.launch("grpc") as other:
            visit(browser, page)
            for credentials in ("omit", "include"):
                got = evaluate(browser, script % (f"{one.scheme}://localhost:{one.addr[1]}", credentials))
                assert got == {"sizes": [9], "status": "0", "message": None, "echo": "hi", "type": "application/grpc-web"}
            got = evaluate(browser, script % (f"{other.scheme}://localhost:{other.addr[1]}", "omit"))
            assert got.startswith("TypeError")

# SPDX-License-Identifier: MIT
"""WebTransport over HTTP/3 as Chromium speaks it, with tests/programs/wt.c and the example."""
import json
import signal

import pytest

import servers
import test_h3
import test_page as test_page_module
from wire import SAN, eventually, once, request

pytestmark = pytest.mark.skipif(bool(SAN), reason="the browser is the slow part, and is the same")
#: Above this the page's script is the same for all tests: helpers, and what came of them as JSON.
LIB = """(async () => {
  const text = (s) => new TextEncoder().encode(s);
  const all = async (readable) => new Uint8Array(await new Response(readable).arrayBuffer());
  const said = async (readable) => new TextDecoder().decode(await all(readable));
  const open = async (path, options) => {
    const wt = new WebTransport(`https://${location.host}${path}`, options);
    await wt.ready;
    return wt;
  };
  const put = async (writable, ...chunks) => {
    const w = writable.getWriter();
    for (const c of chunks) w.write(c);
    await w.close();
  };
  const first = async (readable) => {
    const r = readable.getReader();
    const {value} = await r.read();
    r.releaseLock();
    return value;
  };
  const echo = async (wt, bytes) => {
    const s = await wt.createBidirectionalStream();
    const [, got] = await Promise.all([put(s.writable, bytes), all(s.readable)]);
    return got.length === bytes.length && got.every((b, i) => b === bytes[i]);
  };
  const fails = (promise) => promise.then(() => null,
    (e) => ({code: e.streamErrorCode, source: e.source, name: e.constructor.name}));
  %s
})()"""


class Pages:
    """A server, and a page of its in a browser that knows its certificate."""

    def __init__(self, folder, program="tests/programs/wt", args=(), env=None):
        cert, key = servers.shared_certificate()
        port = servers.free_port()
        argv = [servers.program(program), f"listen=127.0.0.1:{port}", f"cert_file={cert}", f"key_file={key}", *args]
        self.server = servers.Server(argv, ("127.0.0.1", port, "tls"), ready_path="/", env=env)
        flags = [f for f in test_page_module.FLAGS if f != "--disable-quic"]
        old, test_page_module.FLAGS = test_page_module.FLAGS, flags
        try:
            self.browser = test_page_module.Browser(folder, "--enable-quic",
                                                    f"--origin-to-force-quic-on=127.0.0.1:{port}",
                                                    f"--ignore-certificate-errors-spki-list={test_h3.spki(cert)}")
        finally:
            test_page_module.FLAGS = old
        self.origin = f"https://127.0.0.1:{port}"
        self.browser.call("Page.navigate", url=f"{self.origin}/")
        assert eventually(lambda: self.browser.evaluate("document.readyState === 'complete' && location.port")
                          == str(port))

    def run(self, script):
        body = f"return JSON.stringify(await (async () => {{{script}}})().catch((e) => `failed: ${{e}} ${{e.stack}}`))"
        return json.loads(self.browser.evaluate(LIB % body))

    def events(self):
        return once(self.server.addr, request("GET", "/events")).body.decode().splitlines()

    def close(self):
        self.browser.close()
        self.server.kill()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    # No session's end holds the server for as long as a request might: it would be minutes here.
    p = Pages(tmp_path_factory.mktemp("chromium"),
              args=["worker_count=2", "h3_goaway_grace_ms=300000", "drain_timeout_ms=300000"])
    yield p
    p.server.stop()
    p.browser.close()


def test_streams_and_datagrams_come_back(pages):
    got = pages.run("""
      const wt = await open("/echo"), r = {};
      r.sizes = [];
      for (const n of [0, 1, 1000, 3000000])
        r.sizes.push(await echo(wt, new Uint8Array(n).map((_, i) => i * 7)));
      r.many = await Promise.all([...Array(40).keys()].map((i) => echo(wt, text(`stream ${i}`))));
      r.uni = [];
      for (let i = 0; i < 20; i++) {
        await put(await wt.createUnidirectionalStream(), text("one "), text("way"));
        r.uni.push(await said(await first(wt.incomingUnidirectionalStreams)));
      }
      const w = wt.datagrams.writable.getWriter();
      w.write(text("datagram"));
      r.datagram = new TextDecoder().decode(await first(wt.datagrams.readable));
      r.max = wt.datagrams.maxDatagramSize;
      wt.close({closeCode: 4294967295, reason: "é".repeat(512)});
      r.end = await wt.closed;
      return r;""")
    assert got["sizes"] == [True] * 4 and got["many"] == [True] * 40
    assert got["uni"] == ["one way"] * 20 and got["datagram"] == "datagram" and got["max"] > 1000
    assert got["end"]["closeCode"] == 4294967295
    assert eventually(lambda: pages.events()[-1] == "closed OK 4294967295 " + "é" * 512)


def test_the_server_opens_them(pages):
    got = pages.run("""
      const wt = await open("/push");
      const bidi = await first(wt.incomingBidirectionalStreams);
      await put(bidi.writable, text("thanks"));
      return [await said(bidi.readable), await said(await first(wt.incomingUnidirectionalStreams)),
              new TextDecoder().decode(await first(wt.datagrams.readable))];""")
    assert got == ["pushed"] * 3


def test_several_sessions(pages):
    got = pages.run("""
      const all = await Promise.all([...Array(5)].map(() => open("/echo", {allowPooling: true})));
      const r = await Promise.all(all.map((wt, i) => echo(wt, text(`session ${i}`))));
      all.forEach((wt) => wt.close());
      await Promise.all(all.map((wt) => wt.closed));
      return r;""")
    assert got == [True] * 5


def test_the_server_closes(pages):
    got = pages.run("""
      const end = await (await open("/close?code=77&reason=%s")).closed;
      return [end.closeCode, end.reason];""" % ("r" * 1024))
    assert got == [77, "r" * 1024]


def test_codes(pages):
    """Either half of a stream may end by a code of either side's."""
    got = pages.run("""
      const r = [];
      let wt = await open("/break");
      for (const code of [0, 29, 30, 31, 254]) {
        const s = await wt.createBidirectionalStream(), w = s.writable.getWriter();
        w.write(new Uint8Array([code])).catch(() => {});
        r.push([(await fails(all(s.readable))).name, (await fails(w.closed)).code]);
      }
      wt.close();
      wt = await open("/echo");
      const s = await wt.createBidirectionalStream(), w = s.writable.getWriter();
      await w.write(text("x"));
      await first(s.readable);
      await w.abort(new WebTransportError({message: "", streamErrorCode: 255})).catch(() => {});
      await s.readable.cancel().catch(() => {});
      wt.close();
      return r;""")
    assert [code for _, code in got] == [1, 30, 31, 32, 255]
    assert eventually(lambda: "reset bidi 255" in pages.events())


def test_back_pressure(pages):
    """Who is not read from has to wait, and nothing is lost by it."""
    got = pages.run("""
      const wt = await open("/hold");
      const s = await wt.createBidirectionalStream(), w = s.writable.getWriter();
      const bytes = new Uint8Array(4000000).map((_, i) => i * 11);
      let written = false;
      const done = w.write(bytes).then(() => w.close()).then(() => { written = true; });
      await new Promise((ok) => setTimeout(ok, 200));
      const early = written;
      const got = all(s.readable);
      const d = wt.datagrams.writable.getWriter();
      const more = setInterval(() => d.write(text("go on")), 50);
      const back = await got;
      clearInterval(more);
      await done;
      wt.close();
      return [early, back.length, back.every((b, i) => b === bytes[i])];""")
    assert got == [False, 4000000, True]


def test_refused(pages):
    got = pages.run("""
      const r = [];
      for (const path of ["/echo?origins=https://example.com", "/nothing", "/events"])
        r.push((await fails(open(path)))?.source ?? null);
      r.push(await echo(await open(`/echo?origins=https://example.com,${location.origin}`), text("x")));
      return r;""")
    assert got == ["session", "session", "session", True]
    # … and who simply asks.
    r = once(pages.server.addr, request("GET", "/echo"))
    assert r.status == 400 and "WebTransport" in r.body.decode()


def test_time(pages):
    got = pages.run("""
      const idle = await open("/echo?idle_timeout_ms=200"), old = await open("/echo?max_lifetime_ms=300");
      const ends = await Promise.all([idle.closed, old.closed]);
      return ends.map((e) => [e.closeCode, e.reason]);""")
    assert got == [[0, "idle"], [0, "lifetime"]]


TALK = """
  const r = [];
  let wt = await open("/echo");
  for (const n of [0, 1, 70000, 300000])
    r.push(await echo(wt, new Uint8Array(n).map((_, i) => i * 7)));
  await put(await wt.createUnidirectionalStream(), text("one "), text("way"));
  r.push(await said(await first(wt.incomingUnidirectionalStreams)));
  const d = wt.datagrams.writable.getWriter();
  d.write(text("datagram"));
  r.push(new TextDecoder().decode(await first(wt.datagrams.readable)));
  wt.close({closeCode: 7, reason: "enough"});
  r.push(await wt.closed);
  wt = await open("/push");
  const bidi = await first(wt.incomingBidirectionalStreams);
  await put(bidi.writable, text("thanks"));
  r.push(await said(bidi.readable), await said(await first(wt.incomingUnidirectionalStreams)));
  r.push(new TextDecoder().decode(await first(wt.datagrams.readable)));
  wt.close();
  wt = await open("/break");
  for (const code of [0, 30, 254]) {
    const s = await wt.createBidirectionalStream(), w = s.writable.getWriter();
    w.write(new Uint8Array([code])).catch(() => {});
    r.push([await fails(all(s.readable)), await fails(w.closed)]);
  }
  wt.close();
  const end = await (await open("/close?code=77&reason=%s")).closed;
  r.push([end.closeCode, end.reason], await fails(open("/nothing")), await fails(open("/echo?origins=https://a.test")));
  return r;""" % ("r" * 1024)


@pytest.mark.skipif(len(servers.all_runtimes()) < 2, reason="there is one runtime")
def test_the_same_on_every_runtime(tmp_path):
    """What a page hears, and what callbacks were told, to the byte."""
    heard = []
    for runtime in servers.all_runtimes():
        folder = tmp_path / runtime
        folder.mkdir()
        p = Pages(folder, args=["worker_count=1"], env={"TAKO_RUNTIME": runtime})
        try:
            got = p.run(TALK)
            assert isinstance(got, list), got
            assert eventually(lambda p=p: sum(e.startswith("closed ") for e in p.events()) == 4)
            # Those of one stream are in their order; which of two is over first nobody promises.
            heard.append((got, sorted(p.events())))
        finally:
            p.close()
    assert heard[0] == heard[1]
    assert len(heard[0][0]) > 14 and len(heard[0][1]) > 30


def test_the_server_stops(tmp_path):
    """Pages are told that there will be an end, those that want time have it, and then it comes."""
    p = Pages(tmp_path)
    try:
        p.run("""
          window.quick = await open("/echo");
          window.slow = await open("/echo?drain=2000");
          const end = (wt) => wt.closed.then((e) => [performance.now(), e.closeCode, e.reason]);
          window.ends = Promise.all([end(quick), end(slow)]);
          window.drained = slow.draining;
          return 0;""")
        p.server.signal(signal.SIGTERM)
        ends = p.run("await drained; return await ends;")
        # The end of the connection does not come before that of its sessions.
        assert isinstance(ends, list), ends
        assert [end[1:] for end in ends] == [[0, "the server stops"]] * 2
        assert ends[1][0] - ends[0][0] > 1000
        p.server.wait()
        p.server.assert_clean()
    finally:
        p.browser.close()
        p.server.kill()

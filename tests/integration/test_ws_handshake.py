# SPDX-License-Identifier: MIT
"""WebSocket's opening handshake (tests/programs/ws.c): RFC 6455 sections 4.2 and 10.2, RFC 8441 section 5."""
import pytest

import h2wire
import servers
from wire import Wire, eventually, once, request
from wswire import KEY, TEXT, WS, H2Pipe, accept_of, text


@pytest.fixture(scope="module")
def server():
    with servers.launch("ws") as s:
        yield s


FIELDS = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}


def asked(method="GET", path="/echo", version="HTTP/1.1", body=None, **changes):
    """A handshake with fields changed; None leaves one out, a list has it several times."""
    fields = dict(FIELDS)
    for name, value in changes.items():
        fields[name.replace("_", "-")] = value
    lines = [f"{n}: {v}" for n, values in fields.items() if values is not None
             for v in (values if isinstance(values, list) else [values])]
    return request(method, path, *lines, version=version, body=body)


def test_example(server):
    """The RFC's own key and its answer (section 1.3)."""
    with server.connect() as w:
        w.send(asked())
        r = w.head()
        assert r.status == 101 and r.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert accept_of(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert r.get("X-Extra") == "field"
        assert r.get("Sec-WebSocket-Protocol") is None and r.get("Sec-WebSocket-Extensions") is None


GOOD = {
    "Upgrade without case": {"Upgrade": "WebSocket"},
    "one of several upgrades": {"Upgrade": "foo/2, websocket"},
    "Connection without case": {"Connection": "keep-alive, UPGRADE"},
    "Connection twice": {"Connection": ["keep-alive", "Upgrade"]},
    "another key": {"Sec-WebSocket-Key": "AQIDBAUGBwgJCgsMDQ4PEA=="},
    "white space around": {"Sec-WebSocket-Key": f" {KEY}\t", "Sec-WebSocket-Version": " 13 "},
    "an origin, and all may": {"Origin": "https://elsewhere.example"},
    "cookies and more": {"Cookie": "a=b", "User-Agent": "x", "Accept-Encoding": "gzip"},
}


@pytest.mark.parametrize("name", GOOD)
def test_good(server, name):
    with server.connect() as w:
        w.send(asked(**GOOD[name]) + text(b"early"))
        r = w.head()
        assert r.status == 101
        assert r.get("Sec-WebSocket-Accept") == accept_of(GOOD[name].get("Sec-WebSocket-Key", KEY).strip())
        assert w.exactly(7) == b"\x81\x05early"


def short(n):
    import base64
    return base64.b64encode(bytes(n)).decode()


#: Section 4.2.1; the status is the header's promise: 405, 426 or 400.
BAD = {
    "no Upgrade": ({"Upgrade": None}, 426),
    "another protocol": ({"Upgrade": "h2c"}, 426),
    "something like it": ({"Upgrade": "websocket2"}, 426),
    "Upgrade not named in Connection": ({"Connection": "keep-alive"}, 426),
    "no Connection": ({"Connection": None}, 426),
    "no version": ({"Sec-WebSocket-Version": None}, (400, 426)),
    "version 8": ({"Sec-WebSocket-Version": "8"}, 426),
    "version 12": ({"Sec-WebSocket-Version": "12"}, 426),
    "version 14": ({"Sec-WebSocket-Version": "14"}, 426),
    "version 013": ({"Sec-WebSocket-Version": "013"}, (400, 426)),
    "version 131": ({"Sec-WebSocket-Version": "131"}, 426),
    "version 13, 8": ({"Sec-WebSocket-Version": "13, 8"}, (400, 426)),
    "version twice": ({"Sec-WebSocket-Version": ["13", "13"]}, 400),
    "version empty": ({"Sec-WebSocket-Version": ""}, (400, 426)),
    "no key": ({"Sec-WebSocket-Key": None}, 400),
    "key twice": ({"Sec-WebSocket-Key": [KEY, KEY]}, 400),
    "key empty": ({"Sec-WebSocket-Key": ""}, 400),
    "key of 15 bytes": ({"Sec-WebSocket-Key": short(15)}, 400),
    "key of 17 bytes": ({"Sec-WebSocket-Key": short(17)}, 400),
    "key of 18 bytes": ({"Sec-WebSocket-Key": short(18)}, 400),
    "key without padding": ({"Sec-WebSocket-Key": KEY[:-2]}, 400),
    "key with a space": ({"Sec-WebSocket-Key": KEY[:10] + " " + KEY[11:]}, 400),
    "key in base64url": ({"Sec-WebSocket-Key": "__________-_________=="[:22] + "=="}, 400),
    "key with more behind": ({"Sec-WebSocket-Key": KEY + "A"}, 400),
    "a key and another": ({"Sec-WebSocket-Key": f"{KEY}, {KEY}"}, 400),
    "padding inside": ({"Sec-WebSocket-Key": "AAAAAAAAAAA=AAAAAAAAAA=="}, 400),
    "extensions without grammar": ({"Sec-WebSocket-Extensions": "a b"}, 400),
    "extensions with an open quote": ({"Sec-WebSocket-Extensions": 'permessage-deflate; a="b'}, 400),
    "protocol with a space": ({"Sec-WebSocket-Protocol": "chat now"}, 400),
    "protocol twice": ({"Sec-WebSocket-Protocol": "chat, chat"}, 400),
    "protocol not a token": ({"Sec-WebSocket-Protocol": "ch@t, \"x\""}, 400),
}


@pytest.mark.parametrize("query", ["", "?deflate=1&subprotocols=a,chat"])
@pytest.mark.parametrize("name", BAD)
def test_bad(server, name, query):
    """It is refused with a reason, in the order of HTTP: the connection goes on."""
    changes, status = BAD[name]
    with server.connect() as w:
        w.send(asked(path=f"/echo{query}", **changes))
        r = w.response()
        assert r.status in (status if isinstance(status, tuple) else (status,)), r
        assert r.body.strip(), "no reason"
        assert r.get("Sec-WebSocket-Accept") is None
        if r.status == 426:
            # RFC 9110 section 15.5.22, RFC 6455 section 4.2.2.
            assert r.get("Upgrade").lower() == "websocket" and "upgrade" in r.tokens("Connection")
            assert r.get("Sec-WebSocket-Version") == "13"
        w.assert_open("/hello")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"])
def test_method(server, method):
    """Section 4.1: "The method of the request MUST be GET"."""
    with server.connect() as w:
        w.send(asked(method=method))
        r = w.response(method)
        assert r.status == 405 and "GET" in r.get("Allow"), r
        w.assert_open("/hello")


def test_version_10(server):
    """Section 4.2.1: "HTTP/1.1 or higher"; to HTTP/1.0 there is no upgrade at all."""
    r = once(server.addr, asked(version="HTTP/1.0"))
    assert r.status in (400, 426), r


def test_body(server):
    """What follows the head would be the body's and the stream's at once."""
    with server.connect() as w:
        w.send(asked(body=b"hello"))
        assert w.response().status in (400, 413), "a body was taken for frames"


@pytest.mark.parametrize("how", [1, 7])
def test_in_pieces(server, how):
    with server.connect() as w:
        w.drip(asked() + text(b"early") + text(b"more"), how)
        assert w.head().status == 101
        assert w.exactly(13) == b"\x81\x05early\x81\x04more"


def test_behind_other_requests(server):
    with server.connect() as w:
        w.send(request("GET", "/hello") + asked() + text(b"early"))
        assert w.response().status == 200
        assert w.head().status == 101
        assert w.exactly(7) == b"\x81\x05early"


# ---- Subprotocols (section 4.2.2, /subprotocol/) --------------------------------------------------------

@pytest.mark.parametrize("ours,theirs,want", [
    (None, "chat", None),
    ("chat", None, None),
    ("chat", "chat", "chat"),
    ("chat", "superchat", None),
    ("chat,superchat", "superchat, chat", "chat"),     # the server's order decides
    ("superchat,chat", "chat, superchat", "superchat"),
    ("a,b,c", "x,y,c", "c"),
    ("chat", "Chat", None),                            # they are compared as they are
    ("chat", "chatter, cha", None),
    ("v1.json", "v2.json,v1.json", "v1.json"),
])
def test_subprotocol(server, ours, theirs, want):
    path = "/echo" + (f"?subprotocols={ours}" if ours else "")
    with WS(server.addr, path, protocols=theirs) as w:
        assert w.head.get("Sec-WebSocket-Protocol") == want
        assert w.ask(TEXT, b"x") == (TEXT, b"x")
        w.goodbye()


def test_subprotocol_in_two_fields(server):
    with server.connect() as w:
        w.send(asked(path="/echo?subprotocols=b", **{"Sec-WebSocket-Protocol": ["a", "b"]}))
        assert w.head().get("Sec-WebSocket-Protocol") == "b"


# ---- Origins (section 10.2; RFC 6454) -----------------------------------------------------------------------

ALLOWED = "/echo?origins=https://example.com,http://localhost:3000,https://[::1]:8443"


@pytest.mark.parametrize("origin,ok", [
    ("https://example.com", True),
    ("https://example.com:443", True),       # the same, parsed
    ("https://EXAMPLE.com", True),
    ("HTTPS://example.com", True),
    ("http://localhost:3000", True),
    ("https://[::1]:8443", True),
    ("http://example.com", False),
    ("https://example.com:8443", False),
    ("https://www.example.com", False),
    ("https://example.com.evil.test", False),
    ("https://evil.test/https://example.com", False),
    ("https://example.com@evil.test", False),
    ("https://example.com/", False),
    ("https://example.com:", False),
    ("https://example.co", False),
    ("http://localhost", False),
    ("http://localhost:30000", False),
    ("http://localhost:03000", False),
    ("null", False),
    ("", False),
    ("*", False),
    (None, False),
    (["https://example.com", "https://example.com"], False),
    ("https://example.com https://evil.test", False),
    ("https://example.com, https://evil.test", False),
])
def test_origin(server, origin, ok):
    with server.connect() as w:
        w.send(asked(path=ALLOWED, Origin=origin))
        if ok:
            assert w.head().status == 101
        else:
            r = w.response()
            assert r.status in (400, 403) if isinstance(origin, list) else r.status == 403, r
            w.assert_open("/hello")


# ---- What the program is told --------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["deflate=1&server_window_bits=8", "deflate=1&client_window_bits=16",
                                   "deflate=1&level=10", "subprotocols=a b", "origins=example.com",
                                   "origins=https://example.com/path", "reserved=1", "slow=7"])
def test_settings_out_of_range(query):
    with servers.launch("ws") as s:
        r = once(s.addr, asked(path="/echo?" + query.replace(" ", "%20")))
        assert r.status == 500, r
        said = once(s.addr, request("GET", "/events")).body.decode()
        assert said.startswith("refused EINVAL: ") and len(said) > 25, said


def test_refused_has_no_callbacks():
    with servers.launch("ws") as s:
        for changes, _ in BAD.values():
            once(s.addr, asked(**changes))
        said = once(s.addr, request("GET", "/events")).body.decode()
        assert "open" not in said.split() and "close" not in said.split()


# ---- HTTP/2 (RFC 8441 section 5) ---------------------------------------------------------------------------------


def test_h2_announces(server):
    """ "a server … MUST send SETTINGS_ENABLE_CONNECT_PROTOCOL" (section 3)."""
    with h2wire.H2(server.addr) as h:
        h.settle()
        assert h.settings.get(h2wire.ENABLE_CONNECT_PROTOCOL) == 1


@pytest.mark.parametrize("fields,status", [
    ([("sec-websocket-version", "13")], 200),
    ([("sec-websocket-version", "13"), ("sec-websocket-key", KEY)], 200),   # not processed: section 5.1
    ([("sec-websocket-version", "8")], 426),
    ([], (400, 426)),
    ([("sec-websocket-version", "13"), ("sec-websocket-version", "13")], 400),
    ([("sec-websocket-version", "13"), ("sec-websocket-extensions", "a b")], 400),
])
def test_h2(server, fields, status):
    pipe = H2Pipe(server.addr)
    try:
        pipe.ask("/echo", fields)
        r = pipe.head()
        assert r.status in (status if isinstance(status, tuple) else (status,)), r
        # Nothing of it is a field of HTTP/2's.
        assert r.get("upgrade") is None and r.get("connection") is None
        if r.status == 426:
            assert r.get("sec-websocket-version") == "13"
        if r.status == 200:
            pipe.send(text(b"hi"))
            assert pipe.exactly(4) == b"\x81\x02hi"
    finally:
        pipe.close()


def test_h2_beside_requests(server):
    """A WebSocket, requests and another WebSocket on one connection."""
    pipe = H2Pipe(server.addr)
    try:
        pipe.ask("/echo", [("sec-websocket-version", "13")])
        assert pipe.head().status == 200
        assert pipe.h2.get(3, "/hello").body == b"hello\n"
        pipe.send(text(b"one"))
        assert pipe.exactly(5) == b"\x81\x03one"
        assert pipe.h2.get(5, "/hello").status == 200
        pipe.send(text(b"two"))
        assert pipe.exactly(5) == b"\x81\x03two"
    finally:
        pipe.close()


def test_h2_protocol_and_origin(server):
    with WS(server.addr, ALLOWED + "&subprotocols=a,b", "Origin: https://example.com", over="h2",
            protocols="b, a") as w:
        assert w.head.get("sec-websocket-protocol") == "a"
        assert w.ask(TEXT, b"x") == (TEXT, b"x")
        w.goodbye()


def test_h2_reset_is_a_loss():
    with servers.launch("ws") as s:
        pipe = H2Pipe(s.addr)
        try:
            pipe.ask("/echo", [("sec-websocket-version", "13")])
            assert pipe.head().status == 200
            pipe.h2.frame(h2wire.RST_STREAM, 0, 1, b"\0\0\0\x08")
            with Wire(s.addr) as w:
                eventually(lambda: b"close 1006" in w.get("/events").body)
            assert pipe.h2.get(3, "/hello").status == 200
        finally:
            pipe.close()

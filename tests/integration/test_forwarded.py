# SPDX-License-Identifier: MIT
"""Who the client is behind proxies that speak HTTP (tests/programs/proxied.c), with every version of it, and with
nginx and haproxy as the proxies.  What is believed of which field is a table of unit/forwarded_walk_test.c."""
import contextlib
import json
import socket

import pytest

import servers
from h3wire import H3
from test_proxy import LOCAL, V1_LINE, Proxied, curl, facts, free_backend, run_balancer
from test_unix import Local
from wire import Wire, eventually, request

STANDARD, X, NAMED = 1, 2, 3
FOUND, NO_MORE, HIDDEN, MALFORMED, TOO_MANY = "01234"
CLIENT = 'for="192.0.2.1:4711";proto=https;host=shop.example;by=_edge'


def behind(family, *args, trusted="127.0.0.1", **kw):
    return Proxied(f"forwarded={family}", f"forwarded_trusted={trusted}", *args, **{"mode": 0, **kw})


def seen(f):
    return f["addr"], f["port"], f["scheme"], f["host"], f["by"], f["hops"], f["why"]


SEEN = ("192.0.2.1", "4711", "https", "shop.example", "_edge", "1", FOUND)


# ---- Every version of HTTP, and every kind of peer ------------------------------------------------------------


def test_http1():
    with behind(STANDARD) as s, s.connect() as w:
        f = facts(w.get("/client", f"Forwarded: {CLIENT}").body)
        assert seen(f) == SEEN
        assert f["forwarded"] == f"{CLIENT}, for=127.0.0.1;host=t;proto=http"
        assert (f["x-proto"], f["x-host"]) == ("https", "shop.example")
        # The next request of the connection is another client's.
        f = facts(w.get("/client", "Forwarded: for=192.0.2.2").body)
        assert (f["addr"], f["scheme"], f["by"]) == ("192.0.2.2", "http", "")


def test_h2c():
    with behind(STANDARD, "transport=h2c") as s:
        url = f"http://{LOCAL}:{s.addr[1]}/client"
        assert seen(facts(curl("--http2-prior-knowledge", "-H", f"Forwarded: {CLIENT}", url))) == SEEN


@pytest.mark.parametrize("option", ["--http1.1", "--http2"])
def test_over_tls(option):
    cert, key = servers.shared_certificate()
    with behind(X, "transport=tls", f"cert_file={cert}", f"key_file={key}") as s:
        f = facts(curl(option, "-H", "X-Forwarded-For: 192.0.2.1", f"https://{LOCAL}:{s.addr[1]}/client"))
        assert (f["addr"], f["scheme"], f["x-for"]) == ("192.0.2.1", "https", "192.0.2.1, 127.0.0.1")


def test_h3_client():
    cert, key = servers.shared_certificate()
    with behind(STANDARD, "transport=h3", f"cert_file={cert}", f"key_file={key}") as s, H3(s.addr) as c:
        f = facts(c.get("/client", ("forwarded", "for=192.0.2.1")).body)
        assert (f["addr"], f["scheme"], f["hops"]) == ("192.0.2.1", "https", "1")
        assert f["forwarded"].endswith(";proto=https")


@pytest.mark.parametrize("trusted,client", [("unix:", "192.0.2.1"), ("127.0.0.1", "unix:")])
def test_unix_peer(tmp_path, trusted, client):
    with Local(str(tmp_path / "s"), f"forwarded={STANDARD}", f"forwarded_trusted={trusted}") as s, s.connect() as w:
        f = facts(w.get("/client", "Forwarded: for=192.0.2.1").body)
        assert f["addr"] == client
        assert f["forwarded"].startswith("for=192.0.2.1, for=unknown;")


def test_after_a_proxy_header():
    """Its client is who must be trusted, not who has sent it."""
    with behind(STANDARD, trusted="192.0.2.1", mode=1) as s:
        f = facts(s_ask(s, V1_LINE, "Forwarded: for=198.51.100.7"))
        assert (f["addr"], f["hops"], f["why"]) == ("198.51.100.7", "1", FOUND)
    with behind(STANDARD, trusted="127.0.0.1", mode=1) as s:
        f = facts(s_ask(s, V1_LINE, "Forwarded: for=198.51.100.7"))
        assert (f["node"], f["hops"], f["why"]) == ("192.0.2.1:4660", "0", FOUND)


def s_ask(s, head, *fields):
    with s.connect() as w:
        w.send(head + request("GET", "/client", *fields))
        return w.response().body


def test_a_proxy_header_that_tells_of_tls():
    ssl = b"\x20\x00\x05\x01\x00\x00\x00\x00"
    v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + (12 + len(ssl)).to_bytes(2, "big")
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + b"\0\x01\0\x02"
    with behind(STANDARD, trusted="127.0.0.1", mode=1) as s:
        f = facts(s_ask(s, v2 + addresses + ssl))
        assert (f["addr"], f["scheme"]) == ("192.0.2.1", "https")


# ---- The access log -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option,named", [("forwarded_log=1", "192.0.2.1:4711"), ("forwarded_log=0", None)])
def test_access_log(option, named):
    with behind(STANDARD, option, "access_log_fd=2", "access_log_format=1") as s:
        with s.connect() as w:
            w.get("/hello", f"Forwarded: {CLIENT}")
        eventually(lambda: '"path":"/hello"' in s.stderr)
        line = next(json.loads(x) for x in s.stderr.splitlines() if '"path":"/hello"' in x)
        assert line.get("client") == named and line["peer"].startswith("127.0.0.1:")


def test_access_log_as_text():
    with behind(STANDARD, "forwarded_log=1", "access_log_fd=2") as s:
        with s.connect() as w:
            w.get("/hello", "Forwarded: for=192.0.2.9, for=_hidden")
            w.get("/hello", f"Forwarded: {CLIENT}")
        eventually(lambda: s.stderr.count("GET /hello") == 2)
        assert [x.split()[0] for x in s.stderr.splitlines() if "GET /hello" in x] == ["_hidden", "192.0.2.1"]


# ---- Proxies that are not ours ----------------------------------------------------------------------------------


@contextlib.contextmanager
def balancer(argv, port):
    p = run_balancer(argv, port)
    try:
        yield port
    finally:
        p.terminate()
        p.communicate()


def nginx(tmp_path, backend):
    """As its documentation says; its own address is 127.0.0.2."""
    port = servers.free_port()
    conf = free_backend(tmp_path, "nginx.conf", f"""
daemon off;
master_process off;
pid {tmp_path}/pid;
error_log {tmp_path}/log;
events {{}}
http {{
  access_log off;
  server {{
    listen {LOCAL}:{port};
    location / {{
      proxy_pass http://{LOCAL}:{backend};
      proxy_bind 127.0.0.2;
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header Forwarded "$http_forwarded, for=$remote_addr;proto=$scheme;host=\\"$http_host\\"";
    }}
  }}
}}
""")
    return balancer(["nginx", "-p", str(tmp_path), "-c", conf], port)


def haproxy(tmp_path, backend):
    """Its own address is 127.0.0.3."""
    port = servers.free_port()
    conf = free_backend(tmp_path, "haproxy.cfg", f"""
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend f
  bind {LOCAL}:{port}
  option forwardfor
  http-request add-header Forwarded "for=%[src];by=_haproxy"
  http-request set-header X-Real-IP %[src]
  default_backend b
backend b
  source 127.0.0.3
  server s {LOCAL}:{backend}
""")
    return balancer(["haproxy", "-f", conf], port)


LIE = ["-H", "X-Forwarded-For: 192.0.2.66", "-H", "Forwarded: for=192.0.2.66;proto=gopher", "-H", "X-Real-IP: 192.0.2.66"]
# From the address that curl is told to use.
SOURCE = ["--interface", "127.0.0.9"]


@pytest.mark.parametrize("family", [STANDARD, X, NAMED])
@pytest.mark.parametrize("proxy,address", [(nginx, "127.0.0.2"), (haproxy, "127.0.0.3")])
def test_one_proxy(tmp_path, proxy, address, family):
    """Whatever the client says of itself, it is who the proxy has seen."""
    name = ["forwarded_name=X-Real-IP"] if family == NAMED else []
    with behind(family, *name, trusted=address) as s, proxy(tmp_path, s.addr[1]) as port:
        f = facts(curl(*SOURCE, *LIE, f"http://{LOCAL}:{port}/client"))
        assert (f["addr"], f["hops"], f["why"]) == ("127.0.0.9", "1", FOUND)
        assert f["scheme"] == "http" and f["host"] == f"{LOCAL}:{port}"


@pytest.mark.parametrize("family", [STANDARD, X])
def test_two_proxies(tmp_path, family):
    """Who is trusted to speak for others is; the one in front of an unknown one is then the client."""
    with behind(family, trusted="127.0.0.2, 127.0.0.3") as s, haproxy(tmp_path, s.addr[1]) as inner, \
            nginx(tmp_path, inner) as outer:
        f = facts(curl(*SOURCE, *LIE, f"http://{LOCAL}:{outer}/client"))
        assert (f["addr"], f["hops"], f["why"]) == ("127.0.0.9", "2", FOUND)
        assert f["host"] == f"{LOCAL}:{outer}"
    with behind(family, trusted="127.0.0.3") as s, haproxy(tmp_path, s.addr[1]) as inner, nginx(tmp_path, inner) as outer:
        f = facts(curl(*SOURCE, *LIE, f"http://{LOCAL}:{outer}/client"))
        assert (f["addr"], f["hops"], f["why"]) == ("127.0.0.2", "1", FOUND)


def test_a_quote_that_never_ends(tmp_path):
    """It does not hide who has sent it."""
    with behind(STANDARD, trusted="127.0.0.2") as s, nginx(tmp_path, s.addr[1]) as port:
        f = facts(curl(*SOURCE, "-H", 'Forwarded: for="10.0.0.1', f"http://{LOCAL}:{port}/client"))
        assert (f["addr"], f["why"]) == ("127.0.0.9", FOUND)


def test_what_tako_tells_haproxy_adds_to(tmp_path):
    """What we say is well-formed for us, with another's words behind it."""
    with behind(STANDARD, trusted="127.0.0.3") as s, haproxy(tmp_path, s.addr[1]) as port, Wire((LOCAL, port)) as w:
        first = facts(w.get("/client", 'Forwarded: for="[2001:db8::1]"').body)["forwarded"]
        f = facts(w.get("/client", f"Forwarded: {first}").body)
        assert f["addr"] == "127.0.0.1"
        assert f["forwarded"].count("for=") == 5

# SPDX-License-Identifier: MIT
"""Requests that are wrong, or look wrong: what each gets, and what becomes of its connection.

One table.  A row is the bytes, the status (a set where the RFC leaves a choice, a list where the
bytes are several requests) and the state of the connection afterwards:
  CLOSED  answered, announced by "Connection: close", nothing after it is read as a request
  OPEN    the next request on the same connection is answered
  EITHER  as the answer announces
Where RFC 9112 leaves a choice, the server promises the strict one (src/transports/h1/h1_head.h).
"""
import collections

import pytest

import servers
from wire import Wire, chunked

CLOSED, OPEN, EITHER = "closed", "open", "either"
Row = collections.namedtuple("Row", "name rfc data want after")
ROWS = []

LINE_BYTES = 8 * 1024
HEAD_BYTES = 32 * 1024
FIELDS = 100

GOOD = b"GET /plaintext HTTP/1.1\r\nHost: t\r\n\r\n"


def add(rfc, name, data, want=400, after=CLOSED):
    assert all(r.name != name for r in ROWS), name
    ROWS.append(Row(name, rfc, data, want, after))


def line(text, rfc="9112 3", want=400, after=CLOSED, name=None):
    """A request line before a good Host field."""
    add(rfc, name or f"line {text!r}", text + b"\r\nHost: t\r\n\r\n", want, after)


def target(text, rfc="9112 3.2", want=400, after=CLOSED, method=b"GET"):
    line(method + b" " + text + b" HTTP/1.1", rfc, want, after, f"target {method!r} {text!r}")


def field(text, rfc="9112 5", want=400, after=CLOSED, name=None):
    """Field lines after a good request line and Host."""
    add(rfc, name or f"field {text!r}",
        b"GET /inspect HTTP/1.1\r\nHost: t\r\n" + text + b"\r\n\r\n", want, after)


def host(text, rfc="9112 3.2", want=400, after=CLOSED):
    add(rfc, f"host {text!r}", b"GET /plaintext HTTP/1.1\r\n" + text + b"\r\n\r\n", want, after)


def post(fields, body, rfc, want=400, after=CLOSED, version=b"HTTP/1.1", name=None):
    add(rfc, name or f"post {fields!r} {body[:60]!r}",
        b"POST /upload " + version + b"\r\nHost: t\r\n" + fields + b"\r\n\r\n" + body, want, after)


def length(value, rfc="9110 8.6", want=400, after=CLOSED, body=b"hello"):
    post(b"Content-Length:" + value, body, rfc, want, after)


def coding(value, rfc="9112 6.1", want=400, after=CLOSED, body=None):
    post(b"Transfer-Encoding:" + value, body or chunked(b"hello"), rfc, want, after)


def chunk(body, rfc="9112 7.1", want=400, after=CLOSED, name=None):
    post(b"Transfer-Encoding: chunked", body, rfc, want, after, name=name or f"chunk {body!r}")


def ok(add_row, *args, **kw):
    add_row(*args, want=200, after=OPEN, **kw)


# ---- Line endings (RFC 9112 2.2) ------------------------------------------------

add("9112 2.2", "bare LF everywhere", b"GET / HTTP/1.1\nHost: t\n\n")
add("9112 2.2", "bare LF after request line", b"GET / HTTP/1.1\nHost: t\r\n\r\n")
add("9112 2.2", "bare LF after field", b"GET / HTTP/1.1\r\nHost: t\n\r\n")
add("9112 2.2", "bare LF as the empty line", b"GET / HTTP/1.1\r\nHost: t\r\n\n")
add("9112 2.2", "bare LF in a field value", b"GET / HTTP/1.1\r\nHost: t\r\nA: b\nC: d\r\n\r\n")
add("9112 2.2", "bare CR after request line", b"GET / HTTP/1.1\rHost: t\r\n\r\n")
add("9112 2.2", "bare CR after field", b"GET / HTTP/1.1\r\nHost: t\r\r\n")
add("9112 2.2", "bare CR in a field value", b"GET / HTTP/1.1\r\nHost: t\r\nA: b\rc\r\n\r\n")
add("9112 2.2", "bare CR in a field name", b"GET / HTTP/1.1\r\nHost: t\r\nA\rB: c\r\n\r\n")
add("9112 2.2", "bare CR in the target", b"GET /a\rb HTTP/1.1\r\nHost: t\r\n\r\n")
add("9112 2.2", "CR CR LF after request line", b"GET / HTTP/1.1\r\r\nHost: t\r\n\r\n")
add("9112 2.2", "CR CR LF after field", b"GET / HTTP/1.1\r\nHost: t\r\r\n\r\n")
add("9112 2.2", "CR CR LF as the empty line", b"GET / HTTP/1.1\r\nHost: t\r\n\r\r\n")
add("9112 2.2", "LF CR instead of CR LF", b"GET / HTTP/1.1\n\rHost: t\n\r\n\r")
add("9112 2.2", "white space line before the fields", b"GET / HTTP/1.1\r\n \r\nHost: t\r\n\r\n")
add("9112 2.2", "white space before the first field", b"GET / HTTP/1.1\r\n Host: t\r\n\r\n")
add("9112 2.2", "tab before the first field", b"GET / HTTP/1.1\r\n\tHost: t\r\n\r\n")
add("9112 2.2", "one empty line before", b"\r\n" + GOOD, 200, OPEN)
add("9112 2.2", "two empty lines before", b"\r\n\r\n" + GOOD, 200, OPEN)
add("9112 2.2", "three empty lines before", b"\r\n\r\n\r\n" + GOOD)
add("9112 2.2", "a hundred empty lines before", b"\r\n" * 100 + GOOD)
add("9112 2.2", "bare LF before", b"\n" + GOOD)
add("9112 2.2", "bare CR before", b"\r" + GOOD)
add("9112 2.2", "CR CR LF before", b"\r\r\n" + GOOD)

# ---- The request line (RFC 9112 3) ------------------------------------------------

line(b"")
line(b" GET / HTTP/1.1")
line(b"\tGET / HTTP/1.1")
line(b"GET  / HTTP/1.1")
line(b"GET /  HTTP/1.1")
line(b"GET / HTTP/1.1 ")
line(b"GET / HTTP/1.1\t")
line(b"GET\t/\tHTTP/1.1")
line(b"GET\t/ HTTP/1.1")
line(b"GET /\tHTTP/1.1")
line(b"GET\x0b/ HTTP/1.1")
line(b"GET\x0c/ HTTP/1.1")
line(b"GET\xa0/ HTTP/1.1")
line(b"GET /")
line(b"GET")
line(b"GET ")
line(b"GET HTTP/1.1")
line(b"/ HTTP/1.1")
line(b" / HTTP/1.1")
line(b"GET / HTTP/1.1 HTTP/1.1")
line(b"GET /a b HTTP/1.1")
line(b"GET / x HTTP/1.1")
line(b"GET / HTTP/1.1, GET / HTTP/1.1")

# Methods: tokens (RFC 9110 9.1), all else is malformed.
line(b"G\x00T / HTTP/1.1", "9110 5.6.2")
line(b"\x00GET / HTTP/1.1", "9110 5.6.2")
line(b"G(T / HTTP/1.1", "9110 5.6.2")
line(b"G/T / HTTP/1.1", "9110 5.6.2")
line(b"GET: / HTTP/1.1", "9110 5.6.2")
line(b"\"GET\" / HTTP/1.1", "9110 5.6.2")
line(b"G@T / HTTP/1.1", "9110 5.6.2")
line(b"G{T / HTTP/1.1", "9110 5.6.2")
line(b"GE\x80T / HTTP/1.1", "9110 5.6.2")
line(b"GE\x7fT / HTTP/1.1", "9110 5.6.2")
line(b"get /plaintext HTTP/1.1", "9110 9.1", 405, OPEN)
line(b"GETT /plaintext HTTP/1.1", "9110 9.1", 405, OPEN)
line(b"GE /plaintext HTTP/1.1", "9110 9.1", 405, OPEN)
ok(line, b"BREW /inspect HTTP/1.1", "9110 9.1")
ok(line, b"M-SEARCH /inspect HTTP/1.1", "9110 9.1")
ok(line, b"!#$%&'*+-.^_`|~09azAZ /inspect HTTP/1.1", "9110 5.6.2")
# Longer than any method that could be meant: 501 (RFC 9112 3).
line(b"A" * 100 + b" /inspect HTTP/1.1", "9112 3", 501, name="a long method")

# Versions (RFC 9112 2.3, RFC 9110 2.5).
for v in (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/0.0", b"HTTP/9.9", b"HTTP/2.1"):
    line(b"GET /plaintext " + v, "9110 15.6.6", 505)
for v in (b"HTTP/1.2", b"HTTP/1.9"):
    ok(line, b"GET /plaintext " + v, "9110 2.5")
for v in (b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/11", b"HTTP/1", b"HTTP/1.", b"HTTP/.1",
          b"HTTP/", b"HTTP", b"http/1.1", b"Http/1.1", b"HTTPS/1.1", b"HTP/1.1", b"XTTP/1.1",
          b"HTTP//1.1", b"HTTP 1.1", b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1. 1", b"HTTP/1,1", b"HTTP/a.b",
          b"HTTP/1.x", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP/1.1x", b"HTTP/1.1.1",
          b"HTTP/1.1\x00", b"HTTP/\xb1.1", b"HTTP\\1.1", b"ICY/1.1", b"RTSP/1.0", b"HTTP/0x1.1"):
    line(b"GET /plaintext " + v, "9112 2.3")

# Other protocols on this port.
add("9112 3", "a TLS ClientHello",
    bytes.fromhex("16030100c8010000c40303") + bytes(range(256))[:193] + b"\r\n")
add("9112 3", "SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
add("9112 3", "SMTP", b"EHLO example.com\r\nMAIL FROM:<a@b>\r\n\r\n")
add("9112 3", "RTSP", b"OPTIONS rtsp://t/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")
add("9112 3", "the PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + GOOD)
add("9112 3", "PROXY protocol version 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + b"\r\n")
add("9112 3", "zero bytes", bytes(64) + b"\r\n\r\n")
add("9112 3", "0xff bytes", b"\xff" * 64 + b"\r\n\r\n")
add("9112 3", "a byte order mark", b"\xef\xbb\xbf" + GOOD)
add("9112 3", "a JSON text", b'{"jsonrpc":"2.0"}\r\n\r\n')
add("9112 4", "a response", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

# ---- The request target (RFC 9112 3.2, RFC 3986) ----------------------------------

target(b"plaintext")
target(b"?x=1")
target(b"#x")
target(b"\\plaintext")
target(b"./plaintext")
target(b"t:80")
target(b"*")
target(b"*x", method=b"OPTIONS")
target(b"plaintext", method=b"OPTIONS")
target(b"/plaintext#fragment", "9112 3.2.1")
target(b"/plaintext?a#fragment", "9112 3.2.1")
target(b"/plain\x00text")
target(b"/plaintext?\x00")
target(b"/plaintext\x01")
target(b"/plaintext\x1f")
target(b"/plaintext\x7f")
target(b"/plaintext\x80")
target(b"/caf\xc3\xa9")
target(b"/plaintext?q=\xc3\xa9")
target(b"/<plaintext>")
target(b"/plaintext?\"x\"")
target(b"/plaintext?<x>")
target(b"/plaintext\x0b")
target(b"/%", "3986 2.1")
target(b"/%4", "3986 2.1")
target(b"/%zz", "3986 2.1")
target(b"/%4g", "3986 2.1")
target(b"/%%41", "3986 2.1")
target(b"/a%", "3986 2.1")
target(b"/%00", "3986 2.1")
target(b"/files/a%00.txt", "3986 2.1")
target(b"/%u0041", "3986 2.1")
ok(target, b"/inspect?[]{}|\\^`", rfc="3986 2.4")
ok(target, b"/inspect?a=b?c=d/e/../f&&;=%20+", rfc="3986 3.4")
ok(target, b"/inspect?", rfc="3986 3.4")
ok(target, b"/%70laintext", rfc="3986 6.2.2.2")
target(b"//t/plaintext", "9112 3.2.1", 404, OPEN)
target(b"/*", "9112 3.2.1", 404, OPEN)
target(b"/http://t/plaintext", "9112 3.2.1", 404, OPEN)

# absolute-form (RFC 9112 3.2.2)
ok(target, b"http://t/plaintext", rfc="9112 3.2.2")
ok(target, b"HTTP://t/plaintext", rfc="3986 3.1")
ok(target, b"https://t/plaintext", rfc="9112 3.2.2")
ok(target, b"http://t:8080/plaintext", rfc="9112 3.2.2")
ok(target, b"http://other/plaintext", rfc="9112 3.2.2")
ok(target, b"http://[::1]:80/plaintext", rfc="3986 3.2.2")
ok(target, b"http://t", rfc="9112 3.2.2")
ok(target, b"http://t?x=1", rfc="9112 3.2.2")
ok(target, b"http://t/inspect?u=http://u@v/", rfc="9112 3.2.2")
for t in (b"http://", b"http:///plaintext", b"http://?x", b"http:/t/plaintext", b"http:t/plaintext",
          b"http:", b"ftp://t/plaintext", b"file:///etc/passwd", b"javascript:alert(1)", b"://t/",
          b"http://t:port/", b"http://t:80:80/", b"http://t:-1/", b"http://[::1/",
          b"http://::1/", b"http://[::1]x/", b"http://[]/", b"http://t\\@u/", b"http://t#/", b"http://:80/",
          b"http://t%zz/", b"http://t\x80/", b"http//t/plaintext", b"1http://t/"):
    target(t, "9112 3.2.2")
target(b"http://u@t/plaintext", "9110 4.2.4")
target(b"http://u:p@t/plaintext", "9110 4.2.4")
target(b"http://@t/plaintext", "9110 4.2.4")

# authority-form and asterisk-form (RFC 9112 3.2.3, 3.2.4)
target(b"t:80", "9112 3.2.3", {400, 404, 405, 501}, EITHER, method=b"CONNECT")
for t in (b"/", b"t", b"t:", b":80", b"http://t:80/", b"*", b"t:80/", b"t:80?x", b"u@t:80", b"t:x",
          b"[::1:80", b"t:80:80", b"t 80"):
    target(t, "9112 3.2.3", method=b"CONNECT")
target(b"*", "9112 3.2.4", {200, 204}, OPEN, method=b"OPTIONS")
target(b"*", "9112 3.2.4", method=b"HEAD")
target(b"*", "9112 3.2.4", method=b"POST")

# ---- Limits (RFC 9112 3, RFC 6585 5) ------------------------------------------------


def long_line(n):
    start, end = b"GET /plaintext?", b" HTTP/1.1"
    return start + b"q" * (n - len(start) - len(end)) + end


def long_head(n):
    start, end = b"GET /plaintext HTTP/1.1\r\nHost: t\r\n", b"\r\n"
    left = n - len(start) - len(end)
    lines = []
    while left:
        size = min(left, 4000) if left - min(left, 4000) >= 100 or left <= 4000 else left - 100
        lines.append(b"X: " + b"v" * (size - 5) + b"\r\n")
        left -= size
    return start + b"".join(lines) + end


def many_fields(n):
    """n fields, the Host field among them."""
    return b"GET /plaintext HTTP/1.1\r\nHost: t\r\n" + b"".join(
        b"X-%d: v\r\n" % i for i in range(n - 1)) + b"\r\n"


assert len(long_head(HEAD_BYTES)) == HEAD_BYTES and len(long_head(HEAD_BYTES + 1)) == HEAD_BYTES + 1
line(long_line(LINE_BYTES), "9112 3", 200, OPEN, name="a line of the longest length")
line(long_line(LINE_BYTES + 1), "9112 3", 414, name="a line one byte too long")
line(long_line(4 * HEAD_BYTES), "9112 3", 414, name="a line far too long")
add("9112 3", "a line without end", b"GET /" + b"a" * (LINE_BYTES + 100), 414)
add("9112 3", "a method without end", b"A" * (LINE_BYTES + 100), 501)
add("6585 5", "a head of the longest length", long_head(HEAD_BYTES), 200, OPEN)
add("6585 5", "a head one byte too long", long_head(HEAD_BYTES + 1), 431)
add("6585 5", "a head far too long", long_head(8 * HEAD_BYTES), 431)
add("6585 5", "one field too long", b"GET / HTTP/1.1\r\nHost: t\r\nX: " + b"x" * HEAD_BYTES, 431)
add("6585 5", "one field name too long", b"GET / HTTP/1.1\r\nHost: t\r\n" + b"x" * HEAD_BYTES, 431)
add("6585 5", "as many fields as may be", many_fields(FIELDS), 200, OPEN)
add("6585 5", "one field too many", many_fields(FIELDS + 1), 431)
add("6585 5", "two thousand fields", many_fields(2000), 431)

# ---- Field lines (RFC 9112 5, RFC 9110 5) -------------------------------------------

for c in b" \t\x00\x01\x0b\x0c\x1f\x7f\x80\xff\"(),/;<=>?@[\\]{}":
    field(b"X" + bytes([c]) + b"A: b", "9110 5.1")
    field(b"X" + bytes([c]) + b": b", "9112 5.1")
for c in b"\x00\x01\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f":
    field(b"X: a" + bytes([c]) + b"b", "9110 5.5")
field(b"X: \x00", "9110 5.5")
field(b"X:\x00", "9110 5.5")
field(b"NoColon")
field(b"No colon at all")
field(b": no name")
field(b" : no name")
field(b":")
field(b"GET / HTTP/1.1")
field(b"A: b\r\n folded", "9112 5.2")
field(b"A: b\r\n\tfolded", "9112 5.2")
field(b"A: b\r\n ", "9112 5.2")
field(b"A:\r\n b", "9112 5.2")
field(b"A: b\r\n Transfer-Encoding: chunked", "9112 5.2")
field(b"A: b\r\n \r\nC: d", "9112 5.2")
ok(field, b"X:", rfc="9110 5.5")
ok(field, b"X:   ", rfc="9112 5.1")
ok(field, b"X:\t\t", rfc="9112 5.1")
ok(field, b"X:a", rfc="9112 5.1")
ok(field, b"X: \t a b\tc \t ", rfc="9112 5.1")
ok(field, b"X: a:b: c", rfc="9112 5.1")
ok(field, b"X: \xe9\x80\xff", rfc="9110 5.5")
ok(field, b"X: \xe2\x80\xa8", rfc="9110 5.5")
ok(field, b"!#$%&'*+-.^_`|~09: x", rfc="9110 5.6.2")
ok(field, b"X_Y: z", rfc="9110 5.6.2")
ok(field, b"X: " + b"v" * 8000, rfc="9112 5", name="a long field value")
ok(field, b"X" * 2000 + b": v", rfc="9112 5", name="a long field name")
ok(field, b"X: %0d%0aY: z", rfc="9110 5.5")

# ---- Host (RFC 9112 3.2) --------------------------------------------------------------

host(b"X: y")
host(b"Host: t\r\nHost: t")
host(b"Host: t\r\nHost: u")
host(b"Host: t\r\nX: y\r\nhOST: t")
host(b"Host:")
host(b"Host: ")
host(b"Host : t", "9112 5.1")
host(b"Host\t: t", "9112 5.1")
host(b"Host: t u")
host(b"Host: t\tu")
host(b"Host: t, u")
host(b"Host: t/")
host(b"Host: t/path")
host(b"Host: http://t")
host(b"Host: u@t", "9110 7.2")
host(b"Host: t:x")
host(b"Host: t:-1")
host(b"Host: t:80:80")
host(b"Host: t:80 ;")
host(b"Host: :80")
host(b"Host: t?x")
host(b"Host: t#x")
host(b"Host: t\\u")
host(b"Host: \"t\"")
host(b"Host: <t>")
host(b"Host: [::1")
host(b"Host: ::1")
host(b"Host: [::1]x")
host(b"Host: [::1]:x")
host(b"Host: []")
host(b"Host: [t]")
host(b"Host: %zz")
host(b"Host: t\xc3\xa9")
host(b"Host: t\x00")
host(b"Host: t\r\n u", "9112 5.2")
host(b"Host: ^")
host(b"Host: {t}")
ok(host, b"HOST: t")
ok(host, b"Host:t")
ok(host, b"Host:\t t \t")
ok(host, b"Host: t:8080")
ok(host, b"Host: 127.0.0.1:80")
ok(host, b"Host: [::1]")
ok(host, b"Host: [2001:db8::1]:80")
ok(host, b"Host: sub_domain.example-1.com")
ok(host, b"Host: %41")
ok(host, b"Host: t,u", rfc="3986 3.2.2")
ok(host, b"X: y\r\nHost: t")
add("9112 3.2", "Host twice in HTTP/1.0",
    b"GET /plaintext HTTP/1.0\r\nHost: t\r\nHost: t\r\n\r\n")
add("9112 3.2", "no Host in HTTP/1.0", b"GET /plaintext HTTP/1.0\r\n\r\n", 200)
add("9112 3.2", "no fields at all", b"GET /plaintext HTTP/1.1\r\n\r\n")
add("9112 3.2", "no Host in HTTP/1.2", b"GET /plaintext HTTP/1.2\r\n\r\n")
add("9112 3.2.2", "no Host with absolute-form", b"GET http://t/plaintext HTTP/1.1\r\n\r\n")
add("9112 3.2", "two Hosts with absolute-form",
    b"GET http://t/plaintext HTTP/1.1\r\nHost: t\r\nHost: t\r\n\r\n")
add("9112 3.2.2", "another Host with absolute-form",
    b"GET http://t/plaintext HTTP/1.1\r\nHost: evil\r\n\r\n", 200, OPEN)
add("9112 3.2", "a malformed Host with absolute-form",
    b"GET http://t/plaintext HTTP/1.1\r\nHost: a b\r\n\r\n")
add("9112 3.2", "an empty Host with asterisk-form", b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
    {200, 204}, OPEN)

# ---- Content-Length (RFC 9110 8.6, RFC 9112 6.3) ----------------------------------------

for v in (b" +5", b" -5", b" -0", b" 0x5", b" 5a", b" a5", b" 5 5", b" 5\t5", b"", b" ", b" 5.0",
          b" 5e0", b" 5;", b" 5;x", b" \"5\"", b" '5'", b" \xd9\xa5", b" 5\x00", b" \x0b5", b" 5\x0c", b" five",
          b" 18446744073709551616", b" 18446744073709551621", b" 99999999999999999999999999", b" #5",
          b" 4294967301x", b" 5_0", b" 5'0", b" 0b101", b" 0o5", b" %35", b" =5", b" 5\r"):
    length(v)
for v in (b" 5, 5", b" 5,5", b" 5, 6", b" 5,", b" ,5", b" 5, ,5", b" 5;5"):
    length(v, "9112 6.3")
length(b" 9223372036854775808", want={400, 413})
length(b" 18446744073709551615", want={400, 413})
ok(length, b" 5")
ok(length, b"5")
ok(length, b"\t5\t")
ok(length, b" 0005")
ok(length, b" 0", body=b"")
post(b"Content-Length: 5\r\nContent-Length: 5", b"hello", "9112 6.3")
post(b"Content-Length: 5\r\nContent-Length: 6", b"hello!", "9112 6.3")
post(b"Content-Length: 6\r\nContent-Length: 5", b"hello!", "9112 6.3")
post(b"Content-Length: 0\r\nContent-Length: 40", b"x" * 40, "9112 6.3")
post(b"Content-Length: 5\r\nX: y\r\ncontent-length: 5", b"hello", "9112 6.3")
post(b"Content-Length : 5", b"hello", "9112 5.1")
post(b"Content-Length\x0b: 5", b"hello", "9112 5.1")
post(b"Content-Length\x00: 5", b"hello", "9112 5.1")
post(b"X: y\r\n Content-Length: 5", b"hello", "9112 5.2")
post(b"Content-Length:\r\n 5", b"hello", "9112 5.2")
post(b"X: y\nContent-Length: 5", b"hello", "9112 2.2")
post(b"X: y\rContent-Length: 5", b"hello", "9112 2.2")
post(b"Content_Length: 5", b"hello\r\n\r\n", "9112 6.3", [200, 400])
post(b"X-Content-Length: 5", b"hello\r\n\r\n", "9112 6.3", [200, 400])
post(b"Content-Lengt: 5", b"hello\r\n\r\n", "9112 6.3", [200, 400])
post(b"Content-Length: 3", b"hello\r\n\r\n", "9112 6.3", [200, 400])
post(b"X: y", b"", "9112 6.3", 200, OPEN)
add("9112 6.3", "GET with a body",
    b"GET /plaintext HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", 200, OPEN)
add("9112 6.3", "a body that looks like a request",
    b"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD), 200, OPEN)
add("9112 6.3", "GET with a body that looks like a request",
    b"GET /plaintext HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD), GOOD), 200, OPEN)

# ---- Transfer-Encoding (RFC 9112 6.1, 6.3, 7) --------------------------------------------

ok(coding, b" chunked")
ok(coding, b"chunked")
ok(coding, b" Chunked")
ok(coding, b" CHUNKED")
ok(coding, b"\tchunked\t ")
for v in (b" identity", b" gzip", b" gzip, chunked", b" deflate,chunked", b" identity, chunked", b" xchunked",
          b" chunkedx", b" chunk", b" chunked-x", b" 'chunked'", b" gzip\r\nTransfer-Encoding: chunked",
          b" cow", b" cow, chunked", b" x-chunked"):
    coding(v, want=501)
for v in (b" chunked, chunked", b" chunked,chunked", b" chunked\r\nTransfer-Encoding: chunked",
          b" chunked, gzip", b" chunked, identity", b" chunked\r\nTransfer-Encoding: identity",
          b" chunked\r\nTransfer-Encoding: cow", b" chunked;q=1", b" chunked ;", b" chunked;", b"", b" ", b" ,",
          b" chunked,", b" ,chunked", b" , chunked", b" chunked, ,", b" \x0bchunked", b" chunked\x0b",
          b" chunked\x00", b" \x00chunked", b" chunked\x0c", b" chunked chunked",
          b" chunked\r\nTransfer-Encoding:"):
    coding(v)
coding(b" gzip chunked", want={400, 501})
coding(b" \"chunked\"", want={400, 501})
coding(b" (chunked)", want={400, 501})
coding(b" =chunked", want={400, 501})
coding(b" chunked=", want={400, 501})
coding(b" \xc3\xa7hunked", want={400, 501})
for name, fields in {
    "CL.TE": b"Content-Length: 6\r\nTransfer-Encoding: chunked",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: 6",
    "CL.TE in other case": b"content-length: 6\r\ntransfer-encoding: Chunked",
    "CL.0 with TE": b"Content-Length: 0\r\nTransfer-Encoding: chunked",
    "CL with a field between and TE": b"Content-Length: 6\r\nX: y\r\nTransfer-Encoding: chunked",
    "CL.TE with the close option": b"Connection: close\r\nContent-Length: 6\r\nTransfer-Encoding: chunked",
}.items():
    post(fields, b"0\r\n\r\nG", "9112 6.1", name=name)
for name, fields in {
    "TE with a space before the colon": b"Content-Length: 6\r\nTransfer-Encoding : chunked",
    "TE with a tab before the colon": b"Content-Length: 6\r\nTransfer-Encoding\t: chunked",
    "TE after a space": b"Content-Length: 6\r\n Transfer-Encoding: chunked",
    "TE folded": b"Content-Length: 6\r\nTransfer-Encoding:\r\n chunked",
    "TE folded with a tab": b"Content-Length: 6\r\nTransfer-Encoding:\r\n\tchunked",
    "TE after a bare CR": b"Content-Length: 6\r\nX: y\rTransfer-Encoding: chunked",
    "TE after a bare LF": b"Content-Length: 6\r\nX: y\nTransfer-Encoding: chunked",
    "TE with LF in its value": b"Content-Length: 6\r\nTransfer-Encoding:\nchunked",
    "TE with CR in its value": b"Content-Length: 6\r\nTransfer-Encoding: chunked\rX: y",
    "TE with NUL in its name": b"Content-Length: 6\r\nTransfer\x00-Encoding: chunked",
    "TE with a soft hyphen": b"Content-Length: 6\r\nTransfer\xadEncoding: chunked",
    "TE with a quote": b"Content-Length: 6\r\n\"Transfer-Encoding\": chunked",
    "TE identity and CL": b"Content-Length: 6\r\nTransfer-Encoding: identity",
    "TE cow and CL": b"Content-Length: 6\r\nTransfer-Encoding: cow",
    "TE empty and CL": b"Content-Length: 6\r\nTransfer-Encoding:",
}.items():
    post(fields, b"0\r\n\r\nG", "9112 6.1", {400, 501} if "cow" in name or "identity" in name else 400,
         name=name)
# Names that only look like it are other fields: the length alone frames the body.
for n in (b"Transfer_Encoding", b"X-Transfer-Encoding", b"Transfer-Encodin", b"TE", b"Trailer"):
    post(n + b": chunked\r\nContent-Length: 5", b"hello", "9112 6.3", 200, OPEN)
post(b"Transfer-Encoding: chunked", chunked(b"hello"), "9112 6.1", version=b"HTTP/1.0",
     name="TE in HTTP/1.0")
post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", chunked(b"hello"), "9112 6.1",
     version=b"HTTP/1.0", name="TE and CL in HTTP/1.0")
post(b"Transfer-Encoding: chunked", chunked(b"hello"), "9112 6.1", 200, OPEN, version=b"HTTP/1.2",
     name="TE in HTTP/1.2")
add("9112 6.3", "GET with a chunked body",
    b"GET /plaintext HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(GOOD), 200, OPEN)

# ---- Chunks (RFC 9112 7.1) ---------------------------------------------------------------

END = b"0\r\n\r\n"
ok(chunk, END)
ok(chunk, b"5\r\nhello\r\n" + END)
ok(chunk, b"0005\r\nhello\r\n" + END)
ok(chunk, b"A\r\n0123456789\r\n" + END)
ok(chunk, b"a\r\n0123456789\r\n" + END)
ok(chunk, b"1\r\n\r\r\n1\r\n\n\r\n" + END)
ok(chunk, b"5\r\n0\r\n\r\n\r\n" + END)
ok(chunk, b"5\r\nhello\r\n000\r\n\r\n")
for size in (b"0x5", b"+5", b"-5", b" 5", b"\t5", b"5 ", b"5\t", b"", b" ", b"g", b"5g", b"5,", b"5.0", b"\"5\"",
             b"5 5", b"\x005", b"5\x00", b"\xb5", b"five", b"5_0", b"5\x0b", b"x5", b"5h", b"-0", b"0x0",
             b"10000000000000000", b"fffffffffffffffff", b"100000000000000000000000005", b"_5"):
    chunk(size + b"\r\nhello\r\n" + END)
chunk(b"ffffffffffffffff\r\nhello\r\n" + END, want={400, 413})
chunk(b"0" * 100 + b"5\r\nhello\r\n" + END, want={200, 400}, after=EITHER, name="chunk: many zeros")
chunk(b"0" * 100000 + b"5\r\nhello\r\n" + END, name="chunk: a hundred thousand zeros")
chunk(b"5\nhello\r\n" + END)
chunk(b"5\rhello\r\n" + END)
chunk(b"5\r\rhello\r\n" + END)
chunk(b"5\r\r\nhello\r\n" + END)
chunk(b"5\n\rhello\r\n" + END)
chunk(b"5\r\nhello\n" + END)
chunk(b"5\r\nhello\r" + END)
chunk(b"5\r\nhello" + END)
chunk(b"5\r\nhelloXX" + END)
chunk(b"5\r\nhello\r\r\n" + END)
chunk(b"5\r\nhello \r\n" + END)
chunk(b"5\r\nhello!\r\n" + END)
chunk(b"6\r\nhello\r\n" + END)
chunk(b"4\r\nhello\r\n" + END)
chunk(b"5\r\nhello\r\n\r\n" + END)
chunk(b"5\r\nhello\r\n0\n\r\n")
chunk(b"5\r\nhello\r\n0\r\n\n")
chunk(b"5\r\nhello\r\n0\r\r\n")
chunk(b"5\r\nhello\r\n0\r\n\r\r\n")
chunk(b"5\r\nhello\r\n0 \r\n\r\n")
chunk(b"\r\n5\r\nhello\r\n" + END)
chunk(b"5\r\nhello\r\n0\r\n\r\nG" + b" / H\r\n\r\n", "9112 9.3.2", [200, 400])

# Extensions (RFC 9112 7.1.1): ignored, and where two parsers could differ, refused.
for ext in (b";a=b", b";a", b";a=\"q;\\\"r\"", b";a=b;c=d", b";a=\"\"", b";a=\"\xe9\"", b";" + b"x" * 50):
    ok(chunk, b"5" + ext + b"\r\nhello\r\n" + END, rfc="9112 7.1.1")
ok(chunk, b"5\r\nhello\r\n0;a=b\r\n\r\n", rfc="9112 7.1.1")
ok(chunk, b"5 ;a=b\r\nhello\r\n" + END, rfc="9112 7.1.1")
ok(chunk, b"5; a = b\r\nhello\r\n" + END, rfc="9112 7.1.1")
for ext in (b";\n", b";a\n", b";a=b\n", b";a=\"\n\"", b";a=\"\r\"", b";a\r", b";a\rb", b";a\x00", b";\x00",
            b";a=\"\x00\"", b";a=\x7f", b";a\x0b", b";a=b\x01", b";a\nX"):
    chunk(b"5" + ext + b"\r\nhello\r\n" + END, "9112 7.1.1")
chunk(b"5\\;a\r\nhello\r\n" + END, "9112 7.1.1")
# Against the grammar: ended where one parser sees the end, and another a quoted string's middle.
for ext in (b";", b";=b", b";a=", b";a=\"x", b";;", b";a b", b";a=b c", b";a=\"x\"y", b";("):
    chunk(b"5" + ext + b"\r\nhello\r\n" + END, "9112 7.1.1")
chunk(b"5;" + b"x" * 20000 + b"\r\nhello\r\n" + END, "9112 7.1.1", {400, 413, 431},
      name="chunk: an extension of 20 kB")
chunk((b"1;" + b"x" * 100 + b"\r\nh\r\n") * 2000 + END, "9112 7.1.1", {400, 413, 431},
      name="chunk: 200 kB of extensions around 2 kB of data")

# Trailers (RFC 9112 7.1.2): fields like others.
ok(chunk, b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", rfc="9112 7.1.2")
ok(chunk, b"5\r\nhello\r\n0\r\nX: y\r\nZ:\r\n\r\n", rfc="9112 7.1.2")
for t in (b"NoColon", b"X : y", b" X: y", b": y", b"X: y\r\n z", b"X: \x00", b"X: y\nZ: a", b"X: y\rz", b"X(: y",
          b"X\x80: y", b"X: \x7f", b"X: y\n", b"GET / HTTP/1.1"):
    chunk(b"5\r\nhello\r\n0\r\n" + t + b"\r\n\r\n", "9112 7.1.2")
# Framing in a trailer is never believed; whether it is an error is the server's choice (9110 6.5.1).
for t in (b"Content-Length: 99", b"Transfer-Encoding: chunked", b"Host: evil", b"Connection: close"):
    chunk(b"5\r\nhello\r\n0\r\n" + t + b"\r\n\r\n", "9110 6.5.1", {200, 400}, EITHER)
chunk(b"0\r\n" + b"".join(b"X-%d: v\r\n" % i for i in range(2000)) + b"\r\n", "6585 5", {400, 413, 431},
      name="chunk: two thousand trailers")
chunk(b"0\r\nX: " + b"v" * (2 * HEAD_BYTES) + b"\r\n\r\n", "6585 5", {400, 413, 431},
      name="chunk: a trailer too long")

# ---- Expect (RFC 9110 10.1.1) --------------------------------------------------------------

post(b"Expect: 100-continue\r\nContent-Length: 5", b"hello", "9110 10.1.1", 200, OPEN)
post(b"expect: 100-Continue\r\nContent-Length: 5", b"hello", "9110 10.1.1", 200, OPEN)
post(b"Expect: 100-continue\r\nTransfer-Encoding: chunked", chunked(b"hello"), "9110 10.1.1", 200, OPEN)
post(b"Expect: 100-continue", b"", "9110 10.1.1", 200, OPEN)
post(b"Expect: 100-continue\r\nContent-Length: 0", b"", "9110 10.1.1", 200, OPEN)
for v in (b"200-ok", b"100-continue, x", b"100-continu", b"100-continue=1", b"100-continue;q=1", b"x", b"100"):
    post(b"Expect: " + v + b"\r\nContent-Length: 5", b"hello", "9110 10.1.1", 417)
post(b"Expect: x\r\nContent-Length: 5", b"hello", "9110 10.1.1", 200, version=b"HTTP/1.0",
     name="an unknown Expect in HTTP/1.0")

# ---- Connection options (RFC 9112 9.3) and Upgrade (RFC 9110 7.8) ---------------------------

for v in (b"close", b"Close", b"CLOSE", b"keep-alive, close", b"close, keep-alive", b", close", b"x,close,y",
          b"\tclose\t", b"x\r\nConnection: close", b"close\r\nConnection: keep-alive", b"close,"):
    field(b"Connection: " + v, "9112 9.6", 200)
for v in (b"keep-alive", b"closed", b"x-close", b"close-x", b"clos", b"", b",", b"\"close\"", b"TE", b"Host"):
    ok(field, b"Connection: " + v, rfc="9112 9.3")
ok(field, b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__", rfc="9110 7.8")
ok(field, b"Connection: Upgrade\r\nUpgrade: websocket", rfc="9110 7.8")
ok(field, b"Upgrade: TLS/1.2", rfc="9110 7.8")
add("9112 9.3", "HTTP/1.0 ends", b"GET /plaintext HTTP/1.0\r\nHost: t\r\n\r\n", 200)
add("9112 9.3", "HTTP/1.0 that would stay",
    b"GET /plaintext HTTP/1.0\r\nHost: t\r\nConnection: keep-alive\r\n\r\n", 200, OPEN)
add("9112 9.3", "HTTP/1.0 that would stay, in other case",
    b"GET /plaintext HTTP/1.0\r\nHost: t\r\nConnection: Keep-Alive\r\n\r\n", 200, OPEN)
add("9112 9.3", "HTTP/1.0 with both options",
    b"GET /plaintext HTTP/1.0\r\nHost: t\r\nConnection: keep-alive, close\r\n\r\n", 200)
add("9112 9.3", "HTTP/1.0 with a body",
    b"POST /upload HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 200)
add("9112 9.3", "HTTP/1.0 POST without a length", b"POST /upload HTTP/1.0\r\n\r\n", 200)

# ---- Good ones before bad ones (RFC 9112 9.3.2) ------------------------------------------------

add("9112 9.3.2", "garbage after a good request", GOOD + b"garbage\r\n\r\n", [200, 400])
add("9112 9.3.2", "garbage after three good requests", GOOD * 3 + b"\x00\r\n\r\n", [200, 200, 200, 400])
add("9112 9.3.2", "too long after a good request", GOOD + b"GET /" + b"a" * 9000, [200, 414])
add("9112 9.3.2", "a bad body after a good request",
    GOOD + b"POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n", [200, 400])
add("9112 9.3.2", "close between", GOOD + GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + GOOD,
    [200, 200])


# ---- The tests ------------------------------------------------------------------------------------

NOT_READ = b"GET /plaintext HTTP/1.1\r\nHost: t\r\nX-Smuggled: yes\r\n\r\n"


def check(w, row, more=()):
    wants = list(more) + (row.want if isinstance(row.want, list) else [row.want])
    for i, want in enumerate(wants):
        # A refused HEAD has no body either (RFC 9110 9.3.2).
        r = w.response("HEAD" if i >= len(more) and row.data.startswith(b"HEAD ") else "GET")
        assert r.status in (want if isinstance(want, set) else {want}), f"{r} (RFC {row.rfc})"
    after = row.after
    if after == EITHER:
        after = CLOSED if r.closes else OPEN
    if after == CLOSED:
        assert r.closes, f"closes without a word: {r}"
        w.assert_closed()
    else:
        assert not r.closes, r
        w.assert_open()


def smuggled(row):
    """What must not be taken for a request: only where the connection is to be closed."""
    return NOT_READ if row.after == CLOSED else b""


ids = [r.name if len(r.name) <= 90 else r.name[:90] + "..." for r in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_whole(showcase, row):
    with Wire(showcase.addr) as w:
        w.send(row.data + smuggled(row))
        check(w, row)


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_behind_a_good_one(showcase, row):
    """In one segment with a request that is answered first."""
    with Wire(showcase.addr) as w:
        w.send(GOOD + row.data + smuggled(row))
        check(w, row, more=[200])


# A client that said "close" and sends on has itself to blame for a reset.
DRIPPED = [(r, i) for r, i in zip(ROWS, ids) if len(r.data) < 500 and r.name != "close between"]


@pytest.mark.parametrize("row", [r for r, _ in DRIPPED], ids=[i for _, i in DRIPPED])
def test_byte_by_byte(showcase, row):
    """Nothing follows that could push the server to its verdict."""
    with Wire(showcase.addr) as w:
        w.drip(row.data)
        check(w, row)


def test_the_table_is_large_enough():
    assert len(ROWS) >= 200
    assert sum(r.after == CLOSED for r in ROWS) >= 150
    assert sum(r.after == OPEN for r in ROWS) >= 50


def test_preface_where_only_http1_is_spoken():
    """RFC 9113 section 3.4: not a request that a server of HTTP/1.1 could take for one."""
    with servers.knobs(transport="http1") as s, s.connect() as w:
        w.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert w.response().status in (400, 505)
        assert w.until_gone() == b""

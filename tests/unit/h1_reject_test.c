/* SPDX-License-Identifier: MIT
 *
 * Request heads that must be refused: the status, for each instruction set, and that neither
 * the way the bytes are split nor what follows them changes it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "h1_util.h"

#define TEXT(s) s, sizeof(s) - 1
/* A whole request around: a target, a version, field lines, the value of Host. */
#define TARGET(t) TEXT("GET " t " HTTP/1.1\r\nHost: h\r\n\r\n")
#define VERSION(v) TEXT("GET / " v "\r\nHost: h\r\n\r\n")
#define LINE(l) TEXT(l "\r\nHost: h\r\n\r\n")
#define FIELDS(f) TEXT("POST / HTTP/1.1\r\nHost: h\r\n" f "\r\n\r\n")
#define HOST(v) TEXT("GET / HTTP/1.1\r\nHost:" v "\r\n\r\n")
#define METHOD_33 "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG"

static const struct {
	const char *rfc;
	int status;
	const char *text;
	size_t n;
} bad[] = {
	/* ---- Request line: methods */
	{"9112 2.2", 400, TEXT("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("\r\n\rGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 3", 400, TEXT(" GET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 3", 400, TEXT("\tGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
	{"9112 3.1", 400, LINE("G\x01T / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G\0T / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G(T / HTTP/1.1")},
	{"9112 3.1", 400, LINE("GET, / HTTP/1.1")},
	{"9112 3.1", 400, LINE("GET: / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G\"E\"T / HTTP/1.1")},
	{"9112 3.1", 400, LINE("/GET / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G@T / HTTP/1.1")},
	{"9112 3.1", 400, LINE("[GET] / HTTP/1.1")},
	{"9112 3.1", 400, LINE("{} / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G\x7f / HTTP/1.1")},
	{"9112 3.1", 400, LINE("G\xc3\x89T / HTTP/1.1")},
	{"9112 3.1", 400,
         TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to the wrong port\r\n\r\n")},
	{"9112 3", 400, LINE("GET\t/ HTTP/1.1")},
	{"9112 3.1", 400, LINE(" / HTTP/1.1")},
	{"9112 3", 400, LINE("GET")},
	{"9112 3", 400, LINE("GET ")},
	{"9112 3", 501, LINE(METHOD_33 " / HTTP/1.1")},
	{"9112 3", 501, LINE(METHOD_33 METHOD_33 " / HTTP/1.1")},
	/* ---- Request line: spaces and targets */
	{"9112 3", 400, LINE("GET  / HTTP/1.1")},
	{"9112 3", 400, LINE("GET  HTTP/1.1")},
	{"9112 3", 400, LINE("GET /  HTTP/1.1")},
	{"9112 3", 400, LINE("GET /\tHTTP/1.1")},
	{"9112 3", 400, LINE("GET / HTTP/1.1 ")},
	{"9112 3", 400, LINE("GET / HTTP/1.1\t")},
	{"9112 3", 400, LINE("GET / HTTP/1.1 x")},
	{"9112 3.2", 400, TARGET("/a b")},
	{"9112 3.2", 400, TARGET("/a\tb")},
	{"9112 3.2", 400, TARGET("/a\rb")},
	{"9112 3.2", 400, TARGET("/a\nb")},
	{"9112 3.2", 400, TARGET("/a\0b")},
	{"9112 3.2", 400, TARGET("/a\x01")},
	{"9112 3.2", 400, TARGET("/a\x1f")},
	{"9112 3.2", 400, TARGET("/a\x7f")},
	{"9112 3.2", 400, TARGET("/\x80")},
	{"9112 3.2", 400, TARGET("/caf\xc3\xa9")},
	{"9112 3.2", 400, TARGET("/a?b=\xff")},
	{"9112 3.2", 400, TARGET("/a?b=\x7f")},
	{"9112 3.2", 400, TARGET("/a?b=\0")},
	{"9112 3.2", 400, TARGET("/a#b")},
	{"9112 3.2", 400, TARGET("/a?b#c")},
	{"9112 3.2", 400, TARGET("#")},
	{"3986 2", 400, TARGET("/<script>")},
	{"3986 2", 400, TARGET("/a>b")},
	{"3986 2", 400, TARGET("/\"a\"")},
	{"3986 2", 400, TARGET("/?\"a\"")},
	{"9112 3.2", 400,
         TARGET("/0123456789012345678901234567890123456789012345678901234567890123456789\x80")},
	{"9112 3.2", 400,
         TARGET("/?123456789012345678901234567890123456789012345678901234567890123456789#")},
	{"9112 3.2.1", 400, TARGET("a")},
	{"9112 3.2.1", 400, TARGET("index.html")},
	{"9112 3.2.1", 400, TARGET("?a=b")},
	{"9112 3.2.1", 400, TARGET("\\a")},
	{"9112 3.2.1", 400, TARGET("%2f")},
	{"9112 3.2.1", 400, TARGET(".")},
	{"9112 3.2.2", 400, TARGET("http:")},
	{"9112 3.2.2", 400, TARGET("http:/a")},
	{"9112 3.2.2", 400, TARGET("http:a")},
	{"9110 4.2.1", 400, TARGET("http://")},
	{"9110 4.2.1", 400, TARGET("http:///a")},
	{"9110 4.2.1", 400, TARGET("http://?a")},
	{"9110 4.2.1", 400, TARGET("http://:80/")},
	{"9110 4.2.4", 400, TARGET("http://u@h/")},
	{"9110 4.2.4", 400, TARGET("http://u:p@h/")},
	{"9112 3.2.2", 400, TARGET("http://h:a/")},
	{"9112 3.2.2", 400, TARGET("http://h:65536/")},
	{"9112 3.2.2", 400, TARGET("http://[::1/")},
	{"9112 3.2.2", 400, TARGET("http://h%zz/")},
	{"9112 3.2.2", 400, TARGET("http://h\\a/")},
	{"9112 3.2.2", 400, TARGET("ftp://h/")},
	{"9112 3.2.2", 400, TARGET("httpx://h/")},
	{"9112 3.2.2", 400, TARGET("htt://h/")},
	{"9112 3.2.2", 400, TARGET("ws://h/")},
	{"9112 3.2.2", 400, TARGET("file:///etc/passwd")},
	{"9112 3.2.2", 400, TARGET("javascript:alert(1)")},
	{"9112 3.2.3", 400, TARGET("h:80")},
	{"9112 3.2.3", 400, LINE("CONNECT / HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT h HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT h: HTTP/1.1")},
	{"9110 9.3.6", 400, LINE("CONNECT h:0 HTTP/1.1")},
	{"9110 9.3.6", 400, LINE("CONNECT h:00 HTTP/1.1")},
	{"9110 9.3.6", 400, LINE("CONNECT h:65536 HTTP/1.1")},
	{"9110 9.3.6", 400, LINE("CONNECT h:99999999999 HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT :443 HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT h:x HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT u@h:1 HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT h:1/ HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT http://h:1 HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT [::1] HTTP/1.1")},
	{"9112 3.2.3", 400, LINE("CONNECT * HTTP/1.1")},
	{"9112 3.2.4", 400, TARGET("*")},
	{"9112 3.2.4", 400, LINE("POST * HTTP/1.1")},
	{"9112 3.2.4", 400, LINE("OPTIONS ** HTTP/1.1")},
	{"9112 3.2.4", 400, LINE("OPTIONS *?a HTTP/1.1")},
	{"9112 3.2.4", 400, LINE("OPTIONS */ HTTP/1.1")},
	/* ---- Request line: versions */
	{"9112 2.3", 400, LINE("GET /")},
	{"9112 2.3", 400, LINE("GET / ")},
	{"9112 2.3", 400, VERSION("HTTP")},
	{"9112 2.3", 400, VERSION("HTTP/")},
	{"9112 2.3", 400, VERSION("HTTP/1")},
	{"9112 2.3", 400, VERSION("HTTP/1.")},
	{"9112 2.3", 400, VERSION("HTTP/.1")},
	{"9112 2.3", 400, VERSION("HTTP/2")},
	{"9112 2.3", 400, VERSION("HTTP/1.10")},
	{"9112 2.3", 400, VERSION("HTTP/1.1x")},
	{"9112 2.3", 400, VERSION("HTTP/1.x")},
	{"9112 2.3", 400, VERSION("HTTP/x.1")},
	{"9112 2.3", 400, VERSION("HTTP/11.1")},
	{"9112 2.3", 400, VERSION("HTTP/01.1")},
	{"9112 2.3", 400, VERSION("HTTP/1,1")},
	{"9112 2.3", 400, VERSION("HTTP/+1.1")},
	{"9112 2.3", 400, VERSION("HTTP /1.1")},
	{"9112 2.3", 400, VERSION("HTTP/ 1.1")},
	{"9112 2.3", 400, VERSION("http/1.1")},
	{"9112 2.3", 400, VERSION("Http/1.1")},
	{"9112 2.3", 400, VERSION("HTTPS/1.1")},
	{"9112 2.3", 400, VERSION("HTCP/1.1")},
	{"9112 2.3", 400, VERSION("SIP/2.0")},
	{"9112 2.3", 400, VERSION("RTSP/1.0")},
	{"9112 2.3", 505, VERSION("HTTP/0.9")},
	{"9112 2.3", 505, VERSION("HTTP/0.0")},
	{"9112 2.3", 505, VERSION("HTTP/2.0")},
	{"9112 2.3", 505, VERSION("HTTP/2.1")},
	{"9112 2.3", 505, VERSION("HTTP/3.0")},
	{"9112 2.3", 505, VERSION("HTTP/9.9")},
	{"9113 3.4", 505, TEXT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\rHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\rHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r \nHost: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\n\n\r\n\r\n")},
	/* ---- Field lines: shape */
	{"9112 2.2", 400, FIELDS("A: b\nC: d")},
	{"9112 2.2", 400, FIELDS("A: b\n")},
	{"9112 2.2", 400, FIELDS("A: b\rC: d")},
	{"9112 2.2", 400, FIELDS("A: b\r\rC: d")},
	{"9112 2.2", 400, FIELDS("A: b\n\rC: d")},
	{"9112 2.2", 400, FIELDS("A: \r b")},
	{"9112 2.2", 400, FIELDS("A:\rb")},
	{"9112 2.2", 400, FIELDS("\rA: b")},
	{"9112 2.2", 400, FIELDS("\nA: b")},
	{"9112 2.2", 400,
         FIELDS("A: 0123456789012345678901234567890123456789012345678901234567890123456\rb")},
	{"9112 2.2", 400,
         FIELDS("A: 0123456789012345678901234567890123456789012345678901234567890123456\nb")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\nHost: h\n\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\nHost: h\r\n\n\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\nHost: h\r\n\rx\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\n Host: h\r\n\r\n")},
	{"9112 2.2", 400, TEXT("GET / HTTP/1.1\r\n\tHost: h\r\n\r\n")},
	{"9112 5.1", 400, FIELDS("A : b")},
	{"9112 5.1", 400, FIELDS("A\t: b")},
	{"9112 5.1", 400, FIELDS("A B: c")},
	{"9112 5.1", 400, FIELDS("Content-Length : 5")},
	{"9112 5.1", 400, FIELDS("Transfer-Encoding : chunked")},
	{"9112 5.1", 400, TEXT("GET / HTTP/1.1\r\nHost : h\r\n\r\n")},
	{"9112 5.2", 400, FIELDS("A: b\r\n c")},
	{"9112 5.2", 400, FIELDS("A: b\r\n\tc")},
	{"9112 5.2", 400, FIELDS("A: b\r\n C: d")},
	{"9112 5.2", 400, FIELDS("A: b\r\n ")},
	{"9112 5.2", 400, FIELDS("Transfer-Encoding:\r\n chunked")},
	{"9112 5", 400, FIELDS(": b")},
	{"9112 5", 400, FIELDS(":")},
	{"9112 5", 400, FIELDS("A")},
	{"9112 5", 400, FIELDS("A b")},
	{"9112 5", 400, FIELDS("A;b")},
	{"9112 5", 400,
         FIELDS("no colon in this line, which is much longer than any block of 64 bytes is")},
	{"9112 5", 400,
         FIELDS("A-name-that-goes-on-for-more-than-thirty-two-bytes-and-has-no-colon")},
	{"9110 5.1", 400, FIELDS("A\0B: c")},
	{"9110 5.1", 400, FIELDS("A\x01: c")},
	{"9110 5.1", 400, FIELDS("A\x7f: c")},
	{"9110 5.1", 400, FIELDS("A\x80: c")},
	{"9110 5.1", 400, FIELDS("\xc3\x84: c")},
	{"9110 5.1", 400, FIELDS("A(B): c")},
	{"9110 5.1", 400, FIELDS("A,B: c")},
	{"9110 5.1", 400, FIELDS("A/B: c")},
	{"9110 5.1", 400, FIELDS("A=B: c")},
	{"9110 5.1", 400, FIELDS("A@B: c")},
	{"9110 5.1", 400, FIELDS("[A]: c")},
	{"9110 5.1", 400, FIELDS("{A}: c")},
	{"9110 5.1", 400, FIELDS("\"A\": c")},
	{"9110 5.1", 400, FIELDS("A\\B: c")},
	{"9110 5.1", 400, FIELDS("<A>: c")},
	{"9110 5.1", 400, FIELDS("A?: c")},
	{"9110 5.1", 400,
         FIELDS("A-name-that-goes-on-for-more-than-thirty-two-bytes-and-has-a(: c")},
	{"9110 5.5", 400, FIELDS("A: b\0c")},
	{"9110 5.5", 400, FIELDS("A: \0")},
	{"9110 5.5", 400, FIELDS("A: b\x01")},
	{"9110 5.5", 400, FIELDS("A: \x08")},
	{"9110 5.5", 400, FIELDS("A: \x0b")},
	{"9110 5.5", 400, FIELDS("A: \x0c")},
	{"9110 5.5", 400, FIELDS("A: b\x1b[0m")},
	{"9110 5.5", 400, FIELDS("A: b\x1f")},
	{"9110 5.5", 400,
         FIELDS("A: 0123456789012345678901234567890123\x7f"
                "0123456789012345678901234567890")},
	{"9110 5.5", 400,
         FIELDS("A: 0123456789012345678901234567890123\x01"
                "0123456789012345678901234567890")},
	{"9110 5.5", 400,
         FIELDS("A: 0123456789012345678901234567890123\0"
                "0123456789012345678901234567890")},
	{"9110 5.5", 400, FIELDS("A: b\x7f")},
	{"9110 5.5", 400, FIELDS("A: \t\x80\x7f")},
	/* ---- Host */
	{"9112 3.2", 400, TEXT("GET / HTTP/1.1\r\n\r\n")},
	{"9112 3.2", 400, TEXT("GET / HTTP/1.1\r\nHosts: h\r\nX-Host: h\r\n\r\n")},
	{"9112 3.2", 400, TEXT("GET http://h/ HTTP/1.1\r\nA: b\r\n\r\n")},
	{"9112 3.2", 400, TEXT("OPTIONS * HTTP/1.1\r\nA: b\r\n\r\n")},
	{"9112 3.2", 400, TEXT("CONNECT h:1 HTTP/1.1\r\nA: b\r\n\r\n")},
	{"9112 3.2", 400, HOST("h\r\nHost: h")},
	{"9112 3.2", 400, HOST("h\r\nA: b\r\nhost: i")},
	{"9112 3.2", 400, TEXT("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n")},
	{"9110 4.2.1", 400, HOST("")},
	{"9110 4.2.1", 400, HOST("  ")},
	{"9110 4.2.1", 400, TEXT("GET / HTTP/1.0\r\nHost:\r\n\r\n")},
	{"9110 4.2.1", 400, HOST(" :80")},
	{"9110 7.2", 400, HOST(" :")},
	{"9110 7.2", 400, HOST(" a b")},
	{"9110 7.2", 400, HOST(" a, b")},
	{"9110 7.2", 400, HOST(" a\tb")},
	{"9110 7.2", 400, HOST(" u@h")},
	{"9110 7.2", 400, HOST(" http://h")},
	{"9110 7.2", 400, HOST(" h/")},
	{"9110 7.2", 400, HOST(" h?")},
	{"9110 7.2", 400, HOST(" h#")},
	{"9110 7.2", 400, HOST(" h\\")},
	{"9110 7.2", 400, HOST(" \"h\"")},
	{"9110 7.2", 400, HOST(" <h>")},
	{"9110 7.2", 400, HOST(" {h}")},
	{"9110 7.2", 400, HOST(" h|i")},
	{"9110 7.2", 400, HOST(" h^i")},
	{"9110 7.2", 400, HOST(" `h`")},
	{"9110 7.2", 400, HOST(" h\x80")},
	{"9110 7.2", 400, HOST(" b\xc3\xbc")},
	{"9110 7.2", 400, HOST(" h:8a")},
	{"9110 7.2", 400, HOST(" h:-1")},
	{"9110 7.2", 400, HOST(" h:+80")},
	{"9110 7.2", 400, HOST(" h:80:80")},
	{"9110 7.2", 400, HOST(" h:65536")},
	{"9110 7.2", 400, HOST(" h:99999")},
	{"9110 7.2", 400, HOST(" h:100000000000000000000000")},
	{"9110 7.2", 400, HOST(" h:/")},
	{"9110 7.2", 400, HOST(" h::")},
	{"9110 7.2", 400, HOST(" h: 80")},
	{"3986 3.2.2", 400, HOST(" h%")},
	{"3986 3.2.2", 400, HOST(" h%4")},
	{"3986 3.2.2", 400, HOST(" h%4g")},
	{"3986 3.2.2", 400, HOST(" %")},
	{"3986 3.2.2", 400, HOST(" []")},
	{"3986 3.2.2", 400, HOST(" [")},
	{"3986 3.2.2", 400, HOST(" ]")},
	{"3986 3.2.2", 400, HOST(" [::1")},
	{"3986 3.2.2", 400, HOST(" ::1")},
	{"3986 3.2.2", 400, HOST(" [::1]x")},
	{"3986 3.2.2", 400, HOST(" [::1]:x")},
	{"3986 3.2.2", 400, HOST(" [::1]]")},
	{"3986 3.2.2", 400, HOST(" a[::1]")},
	{"3986 3.2.2", 400, HOST(" [127.0.0.1]")},
	{"3986 3.2.2", 400, HOST(" [::g]")},
	{"3986 3.2.2", 400, HOST(" [1:2:3:4:5:6:7:8:9]")},
	{"3986 3.2.2", 400, HOST(" [12345::]")},
	{"6874 2", 400, HOST(" [fe80::1%25eth0]")},
	{"3986 3.2.2", 400, HOST(" [v.a]")},
	{"3986 3.2.2", 400, HOST(" [v1.]")},
	{"3986 3.2.2", 400, HOST(" [v1]")},
	{"3986 3.2.2", 400, HOST(" [v1.a@]")},
	{"3986 3.2.2", 400, HOST(" [1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]")},
	/* Longer than a vector, wrong only behind it; the last is of exactly 64 bytes. */
	{"9110 7.2", 400, HOST(" abcdefghijklmnopqrstuvwxyz0123456789@h")},
	{"9110 7.2", 400, HOST(" abcdefghijklmnopqrstuvwxyz0123456789.abcdefghijklmnopqrstuvwxy^")},
	{"9110 7.2", 400,
         HOST(" abcdefghijklmnopqrstuvwxyz012345678:/abcdefghijklmnopqrstuvwxyz_")},
	/* ---- Framing */
	{"9112 6.3", 400, FIELDS("Content-Length: 5\r\nTransfer-Encoding: chunked")},
	{"9112 6.3", 400, FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 5")},
	{"9112 6.3", 400, FIELDS("Transfer-Encoding: chunked\r\nContent-Length: 0")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5\r\nContent-Length: 6")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5\r\nContent-Length: 5")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5\r\nA: b\r\ncontent-length: 05")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5, 5")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5, 6")},
	{"9112 6.3", 400, FIELDS("Content-Length: 5,")},
	{"9112 6.3", 400, FIELDS("Content-Length: ,5")},
	{"9110 8.6", 400, FIELDS("Content-Length:")},
	{"9110 8.6", 400, FIELDS("Content-Length: ")},
	{"9110 8.6", 400, FIELDS("Content-Length: -1")},
	{"9110 8.6", 400, FIELDS("Content-Length: +1")},
	{"9110 8.6", 400, FIELDS("Content-Length: 1.0")},
	{"9110 8.6", 400, FIELDS("Content-Length: 1e1")},
	{"9110 8.6", 400, FIELDS("Content-Length: 0x10")},
	{"9110 8.6", 400, FIELDS("Content-Length: 1 0")},
	{"9110 8.6", 400, FIELDS("Content-Length: 1_000")},
	{"9110 8.6", 400, FIELDS("Content-Length: five")},
	{"9110 8.6", 400, FIELDS("Content-Length: \"5\"")},
	{"9110 8.6", 400, FIELDS("Content-Length: 5;a=b")},
	{"9110 8.6", 400, FIELDS("Content-Length: \xb2")},
	{"9110 8.6", 400, FIELDS("Content-Length: 5\t5")},
	{"9110 8.6", 400, FIELDS("Content-Length: 9223372036854775808")},
	{"9110 8.6", 400, FIELDS("Content-Length: 18446744073709551615")},
	{"9110 8.6", 400, FIELDS("Content-Length: 18446744073709551616")},
	{"9110 8.6", 400, FIELDS("Content-Length: 18446744073709551621")},
	{"9110 8.6", 400, FIELDS("Content-Length: 99999999999999999999999999999999999999")},
	{"9112 6.1", 400, TEXT("POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")},
	{"9112 6.1", 400, TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding: chunked, chunked")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")},
	{"9112 6.3", 400, FIELDS("Transfer-Encoding: chunked, gzip")},
	{"9112 6.3", 400, FIELDS("Transfer-Encoding: chunked, identity")},
	{"9112 6.3", 400, FIELDS("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding:")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding: ,")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding: , chunked")},
	{"9112 6.1", 400, FIELDS("Transfer-Encoding: chunked,")},
	{"9112 7.1", 400, FIELDS("Transfer-Encoding: chunked;a=b")},
	{"9112 7.1", 400, FIELDS("Transfer-Encoding: chunked ;a=b")},
	{"9112 7.1", 400, FIELDS("Transfer-Encoding: chunked chunked")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: gzip")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: gzip, chunked")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: deflate\r\nTransfer-Encoding: chunked")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: identity")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: xchunked")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: chunkedx")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: chunke")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: \"chunked\"")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: chunk\xc3\xa9")},
	{"9112 6.1", 501, FIELDS("Transfer-Encoding: cow")},
	{"9112 5.5", 400,
         FIELDS("Transfer-Encoding: \x0b"
                "chunked")},
	{"9112 5.5", 400, FIELDS("Transfer-Encoding: chunked\0")},
	/* ---- Expectations: RFC 9110 10.1.1 */
	{"9110 10.1.1", 417, FIELDS("Expect: 200-ok")},
	{"9110 10.1.1", 417, FIELDS("Expect: 100-continue, tea")},
	{"9110 10.1.1", 417, FIELDS("Expect: 100-continued")},
	{"9110 10.1.1", 417, FIELDS("Expect: 100")},
	{"9110 10.1.1", 417, FIELDS("expect: 100-continue;a=b")},
};

#define BAD_COUNT (sizeof(bad) / sizeof(bad[0]))

static struct tako__field fields[FIELDS_MAX];
static size_t row;

/* Parse as in a connection; on failure the test says which row it was. */
static int parse(const char *text, size_t n, size_t scanned, int allowed)
{
	struct tako__h1_head h = {.fields = fields};
	int res = tako__h1_head_parse(&h, guarded(text, n), n, scanned, &usual_limits);

	if (res != allowed && res != -bad[row].status)
		print_error("row %zu (RFC %s), %zu bytes: %d: %s\n", row, bad[row].rfc, n, res,
		            bad[row].text);
	if (res < 0)
		assert_true(h.why && h.why[0]);
	return res;
}

static void whole(void)
{
	char longer[1024];

	assert_int_equal(parse(bad[row].text, bad[row].n, 0, -bad[row].status), -bad[row].status);
	/* The same in front of other bytes: the last line is then not at the buffer's end. */
	memcpy(longer, bad[row].text, bad[row].n);
	memset(longer + bad[row].n, 'x', 100);
	for (size_t more = 1; more <= 100; more++)
		assert_int_equal(parse(longer, bad[row].n + more, 0, -bad[row].status),
		                 -bad[row].status);
}

/* Whatever is there is either not enough or already wrong, and remains so. */
static void prefixes(void)
{
	int before = 0;

	for (size_t n = 0; n <= bad[row].n; n++) {
		int res = parse(bad[row].text, n, 0, 0);

		assert_true(res == 0 || res == -bad[row].status);
		assert_true(res || !before);
		before = res;
	}
	assert_int_equal(before, -bad[row].status);
}

static void pieces(void)
{
	for (size_t step = 1; step <= bad[row].n; step++) {
		size_t have = 0;
		int res = 0;

		while (!res && have < bad[row].n) {
			size_t scanned = have;

			have = have + step < bad[row].n ? have + step : bad[row].n;
			res = parse(bad[row].text, have, scanned, 0);
		}
		assert_int_equal(res, -bad[row].status);
	}
}

static void at_each_level(void (*check)(void))
{
	for (int level = 0; level < TAKO__H1_LEVEL_COUNT; level++) {
		if (!tako__h1_scan_use((enum tako__h1_level)level))
			continue;
		for (row = 0; row < BAD_COUNT; row++)
			check();
	}
	tako__h1_scan_init();
}

static void test_whole(void **state)
{
	(void)state;
	assert_true(BAD_COUNT >= 150);
	at_each_level(whole);
}

static void test_prefixes(void **state)
{
	(void)state;
	at_each_level(prefixes);
}

static void test_pieces(void **state)
{
	(void)state;
	at_each_level(pieces);
}

/* Parse `form` with its '@' replaced by each byte; only those in `ok` may pass. */
static void every_byte(const char *form, const char *ok)
{
	struct tako__h1_head h = {.fields = fields};
	size_t n = strlen(form);
	char text[200];

	memcpy(text, form, n);
	for (int c = 0; c < 256; c++) {
		bool pass = c && strchr(ok, c);
		int res;

		text[strchr(form, '@') - form] = (char)c;
		res = tako__h1_head_parse(&h, guarded(text, n), n, 0, &usual_limits);
		if (res != (pass ? (int)n : -400))
			print_error("byte %d in %s\n", c, form);
		assert_int_equal(res, pass ? (int)n : -400);
	}
}

#define ALNUM "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static void test_every_byte(void **state)
{
	char vchar[256] = "";
	size_t n = 0;

	(void)state;
	for (int c = 1; c < 256; c++) {
		if (c == '\t' || (c >= ' ' && c != 0x7f))
			vchar[n++] = (char)c;
	}
	for (int level = 0; level < TAKO__H1_LEVEL_COUNT; level++) {
		if (!tako__h1_scan_use((enum tako__h1_level)level))
			continue;
		every_byte("GET /a@b HTTP/1.1\r\nHost: h\r\n\r\n",
		           ALNUM "!$%&'()*+,-./:;=?@[\\]^_`{|}~");
		every_byte("GET /?@ HTTP/1.1\r\nHost: h\r\n\r\n",
		           ALNUM "!$%&'()*+,-./:;=?@[\\]^_`{|}~");
		/* RFC 9110 5.6.2; ':' makes a shorter name. */
		every_byte("GET / HTTP/1.1\r\nHost: h\r\nab@cd: e\r\n\r\n",
		           ALNUM "!#$%&'*+-.^_`|~:");
		every_byte("GET / HTTP/1.1\r\nHost: h\r\na: b@c\r\n\r\n", vchar);
		/* RFC 3986 3.2.2, and as the last byte ':' and an empty port. */
		every_byte("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", ALNUM "!$&'()*+,-.;=_~");
		every_byte("GET / HTTP/1.1\r\nHost: a@\r\n\r\n", ALNUM "!$&'()*+,-.;=_~: \t");
		every_byte("GET / HTTP/1.1\r\nHost: a:@\r\n\r\n", "0123456789 \t");
		every_byte("GET / HTTP/1.1\r\nHost: a:8@8\r\n\r\n", "0123456789");
		every_byte("GET / HTTP/1.1\r\nHost: a:12@8\r\n\r\n", "0123456789");
		every_byte("GET / HTTP/1.1\r\nHost: a:1@345\r\n\r\n", "0123456789");
	}
	tako__h1_scan_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

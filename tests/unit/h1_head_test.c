/* SPDX-License-Identifier: MIT
 *
 * Request heads that are in order: everything the parser says about them, for each
 * instruction set, whole and in pieces, and its limits.  What it refuses: h1_reject_test.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "h1_util.h"

#define HOST "Host: h\r\n"
#define NONE " upgrade=-"

static const struct {
	const char *text;
	const char *shown;
} valid[] = {
	/* The forms of a target: RFC 9112 3.2.1 to 3.2.4. */
	{"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=example.org keep" NONE "|Host=example.org"},
	{"GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",
         "GET 1.1 /where?q=now origin path=/where query=q=now auth=- host=www.example.org keep" NONE
         "|Host=www.example.org"},
	{"GET /? HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /? origin path=/ query= auth=- host=h keep" NONE "|Host=h"},
	{"GET /a?b?c/../%20 HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /a?b?c/../%20 origin path=/a query=b?c/../%20 auth=- host=h keep" NONE "|Host=h"},
	{"GET //a//b/ HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 //a//b/ origin path=//a//b/ query=- auth=- host=h keep" NONE "|Host=h"},
	{"GET /a%2Fb HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /a%2Fb origin path=/a%2Fb query=- auth=- host=h escaped keep" NONE "|Host=h"},
	{"GET /a/../b HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /a/../b origin path=/a/../b query=- auth=- host=h dots keep" NONE "|Host=h"},
	{"GET /index.html HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /index.html origin path=/index.html query=- auth=- host=h keep" NONE "|Host=h"},
	{"GET /.well-known/%7e?x HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /.well-known/%7e?x origin path=/.well-known/%7e query=x auth=- host=h escaped "
         "dots keep" NONE "|Host=h"},
	{"GET /a.b?/./%41 HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /a.b?/./%41 origin path=/a.b query=/./%41 auth=- host=h keep" NONE "|Host=h"},
	/* A slash as byte 64 of the target, its dot as byte 65. */
	{"GET /23456789a123456789b123456789c123456789d123456789e123456789f123/.x?y "
         "HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /23456789a123456789b123456789c123456789d123456789e123456789f123/.x?y origin "
         "path=/23456789a123456789b123456789c123456789d123456789e123456789f123/.x query=y auth=- "
         "host=h dots "
         "keep" NONE "|Host=h"},
	{"GET /[a]{b}|c\\d^e`f?x[]={1} HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 /[a]{b}|c\\d^e`f?x[]={1} origin path=/[a]{b}|c\\d^e`f query=x[]={1} auth=- "
         "host=h keep" NONE "|Host=h"},
	{"GET http://a.example/p/q?r HTTP/1.1\r\nHost: b.example\r\n\r\n",
         "GET 1.1 http://a.example/p/q?r absolute path=/p/q query=r auth=a.example host=a.example "
         "keep" NONE "|Host=b.example"},
	{"GET HTTPS://a:8443?r HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 HTTPS://a:8443?r absolute path=/ query=r auth=a:8443 host=a:8443 keep" NONE
         "|Host=h"},
	{"GET http://a/%41/./ HTTP/1.1\r\nHost:\r\n\r\n",
         "GET 1.1 http://a/%41/./ absolute path=/%41/./ query=- auth=a host=a escaped dots "
         "keep" NONE "|Host="},
	{"GET http://[::1]:80/ HTTP/1.0\r\n\r\n",
         "GET 1.0 http://[::1]:80/ absolute path=/ query=- auth=[::1]:80 host=[::1]:80 close" NONE},
	{"OPTIONS http://a HTTP/1.1\r\n" HOST "\r\n",
         "OPTIONS 1.1 http://a absolute path=* query=- auth=a host=a keep" NONE "|Host=h"},
	{"OPTIONS http://a?b HTTP/1.1\r\n" HOST "\r\n",
         "OPTIONS 1.1 http://a?b absolute path=/ query=b auth=a host=a keep" NONE "|Host=h"},
	{"OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n",
         "OPTIONS 1.1 * asterisk path=* query=- auth=- host= keep" NONE "|Host="},
	{"OPTIONS /x HTTP/1.1\r\n" HOST "\r\n",
         "OPTIONS 1.1 /x origin path=/x query=- auth=- host=h keep" NONE "|Host=h"},
	{"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
         "CONNECT 1.1 example.org:443 authority path= query=- auth=example.org:443 "
         "host=example.org:443 keep" NONE "|Host=example.org:443"},
	{"CONNECT [2001:db8::1]:22 HTTP/1.1\r\nHost:\r\n\r\n",
         "CONNECT 1.1 [2001:db8::1]:22 authority path= query=- auth=[2001:db8::1]:22 "
         "host=[2001:db8::1]:22 "
         "keep" NONE "|Host="},
	/* Methods: RFC 9110 9.1, case-sensitive, any token. */
	{"get / HTTP/1.1\r\n" HOST "\r\n",
         "get(other) 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h"},
	{"M-SEARCH / HTTP/1.1\r\n" HOST "\r\n",
         "M-SEARCH(other) 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h"},
	{"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" HOST "\r\n",
         "!#$%&'*+-.^_`|~09azAZ(other) 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h"},
	{"abcdefghijklmnopqrstuvwxyzABCDEF / HTTP/1.1\r\n" HOST "\r\n",
         "abcdefghijklmnopqrstuvwxyzABCDEF(other) 1.1 / origin path=/ query=- auth=- host=h "
         "keep" NONE "|Host=h"},
	{"HEAD /a.txt HTTP/1.1\r\n" HOST "\r\n",
         "HEAD 1.1 /a.txt origin path=/a.txt query=- auth=- host=h keep" NONE "|Host=h"},
	/* Versions: RFC 9110 2.5; persistence: RFC 9112 9.3. */
	{"GET / HTTP/1.0\r\n\r\n", "GET 1.0 / origin path=/ query=- auth=- host=- close" NONE},
	{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
         "GET 1.0 / origin path=/ query=- auth=- host=- keep" NONE "|Connection=Keep-Alive"},
	{"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
         "GET 1.0 / origin path=/ query=- auth=- host=- close asked" NONE
         "|Connection=keep-alive, close"},
	{"GET / HTTP/1.9\r\n" HOST "\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h"},
	{"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h close asked" NONE
         "|Host=h|Connection=close"},
	{"GET / HTTP/1.1\r\n" HOST "Connection: Keep-Alive\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h|Connection=Keep-Alive"},
	{"GET / HTTP/1.1\r\n" HOST "connection: TE , CLOSE,\r\nte: gzip;q=0, Trailers\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h close asked te" NONE
         "|Host=h|connection=TE , CLOSE,|te=gzip;q=0, Trailers"},
	{"GET / HTTP/1.1\r\n" HOST "Connection: closed, keep-alives\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|Connection=closed, keep-alives"},
	/* Upgrade: RFC 9110 7.8. */
	{"GET /ws HTTP/1.1\r\n" HOST
         "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
         "GET 1.1 /ws origin path=/ws query=- auth=- host=h keep switch upgrade=websocket"
         "|Host=h|Upgrade=websocket|Connection=keep-alive, Upgrade"},
	{"GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\n\r\n",
         "GET 1.1 /ws origin path=/ws query=- auth=- host=h keep "
         "upgrade=websocket|Host=h|Upgrade=websocket"},
	{"GET /ws HTTP/1.1\r\n" HOST "Connection: upgrade\r\n\r\n",
         "GET 1.1 /ws origin path=/ws query=- auth=- host=h keep" NONE
         "|Host=h|Connection=upgrade"},
	{"GET /ws HTTP/1.0\r\nUpgrade: a\r\nUpgrade: b\r\nConnection: upgrade\r\n\r\n",
         "GET 1.0 /ws origin path=/ws query=- auth=- host=- close "
         "upgrade=a|Upgrade=a|Upgrade=b|Connection=upgrade"},
	/* Framing: RFC 9112 6. */
	{"POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n",
         "POST 1.1 / origin path=/ query=- auth=- host=h length=5 keep" NONE
         "|Host=h|Content-Length=5"},
	{"PUT / HTTP/1.1\r\n" HOST "CONTENT-LENGTH:0\r\n\r\n",
         "PUT 1.1 / origin path=/ query=- auth=- host=h length=0 keep" NONE
         "|Host=h|CONTENT-LENGTH=0"},
	{"POST / HTTP/1.0\r\ncontent-length: 0009223372036854775799\r\n\r\n",
         "POST 1.0 / origin path=/ query=- auth=- host=- length=9223372036854775799 close" NONE
         "|content-length=0009223372036854775799"},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
         "POST 1.1 / origin path=/ query=- auth=- host=h chunked keep" NONE
         "|Host=h|Transfer-Encoding=chunked"},
	{"PATCH / HTTP/1.1\r\n" HOST "transfer-encoding:  CHUNKED \r\n\r\n",
         "PATCH 1.1 / origin path=/ query=- auth=- host=h chunked keep" NONE
         "|Host=h|transfer-encoding=CHUNKED"},
	/* Expect: RFC 9110 10.1.1. */
	{"POST / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n",
         "POST 1.1 / origin path=/ query=- auth=- host=h length=1 keep expect" NONE
         "|Host=h|Expect=100-Continue|Content-Length=1"},
	{"POST / HTTP/1.1\r\n" HOST "Expect:\r\n\r\n",
         "POST 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h|Expect="},
	{"POST / HTTP/1.0\r\nExpect: 100-continue, tea\r\n\r\n",
         "POST 1.0 / origin path=/ query=- auth=- host=- close" NONE "|Expect=100-continue, tea"},
	/* Hosts: RFC 9110 7.2, RFC 3986 3.2.2. */
	{"GET / HTTP/1.1\r\nhOsT:127.0.0.1:8080\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=127.0.0.1:8080 keep" NONE
         "|hOsT=127.0.0.1:8080"},
	{"GET / HTTP/1.1\r\nHost: a.b-c_d~e!$&'()*+,;=:65535\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=a.b-c_d~e!$&'()*+,;=:65535 keep" NONE
         "|Host=a.b-c_d~e!$&'()*+,;=:65535"},
	{"GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=a: keep" NONE "|Host=a:"},
	{"GET / HTTP/1.1\r\nHost: %41%7a:1\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=%41%7a:1 keep" NONE "|Host=%41%7a:1"},
	{"GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.1]\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=[::ffff:192.0.2.1] keep" NONE
         "|Host=[::ffff:192.0.2.1]"},
	{"GET / HTTP/1.1\r\nHost: [v1f.a:b]:80\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=[v1f.a:b]:80 keep" NONE "|Host=[v1f.a:b]:80"},
	{"GET / HTTP/1.1\r\nHost: "
         "abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghij:8\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- "
         "host=abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghij:8 keep" NONE
         "|Host=abcdefghijklmnopqrstuvwxyz.abcdefghijklmnopqrstuvwxyz.abcdefghij:8"},
	{"GET / HTTP/1.0\r\nHost: old\r\n\r\n",
         "GET 1.0 / origin path=/ query=- auth=- host=old close" NONE "|Host=old"},
	/* Field lines: RFC 9112 5, RFC 9110 5.5. */
	{"GET / HTTP/1.1\r\n" HOST
         "a:\r\nb: \r\nc:  \t \r\nd:1\r\ne:\t2\t\r\nf:   3 \t4   \r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|a=|b=|c=|d=1|e=2|f=3 \t4"},
	{"GET / HTTP/1.1\r\n" HOST "X: \x80\xff\xc3\xa9 :;\"\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|X=\x80\xff\xc3\xa9 :;\""},
	{"GET / HTTP/1.1\r\n" HOST "!#$%&'*+-.^_`|~: v\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h|!#$%&'*+-.^_`|~=v"},
	{"GET / HTTP/1.1\r\n" HOST
         "A-field-name-of-exactly-32-bytes: 32\r\nA-field-name-of-just-31-bytes--: 31\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|A-field-name-of-exactly-32-bytes=32|A-field-name-of-just-31-bytes--=31"},
	{"GET / HTTP/1.1\r\n" HOST "Cookie: a=b\r\nCookie: c=d\r\nHosts: x\r\nHos: y\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|Cookie=a=b|Cookie=c=d|Hosts=x|Hos=y"},
	/* Names that look like the special ones: same first letter, same length. */
	{"GET / HTTP/1.1\r\n" HOST
         "Cookie-abc: close\r\nContent-Range0: 1\r\nTransfer-Encodin0: x\r\n"
         "Ty: trailers\r\nExpecT0: x\r\nEtags0: x\r\nUpgrad0: x\r\nHust: x\r\n\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE
         "|Host=h|Cookie-abc=close|Content-Range0=1|Transfer-Encodin0=x|Ty=trailers|ExpecT0=x|"
         "Etags0=x|Upgrad0=x"
         "|Hust=x"},
	/* RFC 9112 2.2: empty lines before the request. */
	{"\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h"},
	{"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n",
         "GET 1.1 / origin path=/ query=- auth=- host=h keep" NONE "|Host=h"},
	/* What a browser sends. */
	{"GET /inspect?q=1 HTTP/1.1\r\nHost: www.example.org\r\nConnection: keep-alive\r\n"
         "sec-ch-ua: \"Chromium\";v=\"124\", "
         "\"Not-A.Brand\";v=\"99\"\r\nUpgrade-Insecure-Requests: 1\r\n"
         "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Safari/537.36\r\n"
         "Accept: "
         "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
         "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
         "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; lang=en; consent=1\r\n\r\n",
         "GET 1.1 /inspect?q=1 origin path=/inspect query=q=1 auth=- host=www.example.org keep" NONE
         "|Host=www.example.org|Connection=keep-alive"
         "|sec-ch-ua=\"Chromium\";v=\"124\", \"Not-A.Brand\";v=\"99\"|Upgrade-Insecure-Requests=1"
         "|User-Agent=Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Safari/537.36"
         "|Accept=text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/"
         "*;q=0.8"
         "|Accept-Encoding=gzip, deflate, br|Accept-Language=en-GB,en;q=0.9"
         "|Cookie=session=0123456789abcdef0123456789abcdef; theme=dark; lang=en; consent=1"},
};

static struct tako__field fields[FIELDS_MAX];
static char shown[64 * 1024];

/* Parse n bytes that end at the guard. */
static int parse(struct tako__h1_head *h, const char *text, size_t n,
                 const struct tako__h1_limits *lim)
{
	h->fields = fields;
	return tako__h1_head_parse(h, guarded(text, n), n, 0, lim);
}

/* Call `each` with every instruction set this machine has. */
static void at_each_level(void (*each)(void))
{
	int levels = 0;

	for (int level = 0; level < TAKO__H1_LEVEL_COUNT; level++) {
		if (!tako__h1_scan_use((enum tako__h1_level)level))
			continue;
		levels++;
		each();
	}
	assert_true(levels > 0);
	tako__h1_scan_init();
}

static void check_valid(void)
{
	struct tako__h1_head h;

	for (size_t r = 0; r < sizeof(valid) / sizeof(valid[0]); r++) {
		size_t n = strlen(valid[r].text);

		assert_int_equal(parse(&h, valid[r].text, n, &usual_limits), (int)n);
		assert_null(h.why);
		show_head(&h, shown, sizeof(shown));
		assert_string_equal(shown, valid[r].shown);
	}
}

static void test_valid(void **state)
{
	(void)state;
	at_each_level(check_valid);
}

/* Every proper prefix is "not complete", and bytes behind the head change nothing. */
static void check_prefixes(void)
{
	static const char tail[] = "\x00\xff\r\nGET / HTTP/1.1\r\n: bad\n\n\r\r\t more than a "
				   "block of bytes behind it";
	struct tako__h1_head h;

	for (size_t r = 0; r < sizeof(valid) / sizeof(valid[0]); r++) {
		size_t n = strlen(valid[r].text);
		char longer[2048];

		for (size_t k = 0; k < n; k++)
			assert_int_equal(parse(&h, valid[r].text, k, &usual_limits), 0);
		memcpy(longer, valid[r].text, n);
		memcpy(longer + n, tail, sizeof(tail));
		for (size_t k = 1; k <= sizeof(tail); k++) {
			assert_int_equal(parse(&h, longer, n + k, &usual_limits), (int)n);
			show_head(&h, shown, sizeof(shown));
			assert_string_equal(shown, valid[r].shown);
		}
	}
}

static void test_prefixes(void **state)
{
	(void)state;
	at_each_level(check_prefixes);
}

/* Pieces of every size, told apart by `scanned`. */
static void check_pieces(void)
{
	struct tako__h1_head h = {.fields = fields};

	for (size_t r = 0; r < sizeof(valid) / sizeof(valid[0]); r++) {
		size_t n = strlen(valid[r].text);

		for (size_t step = 1; step <= n; step += 1 + step / 8) {
			size_t have = 0;
			size_t scanned = 0;
			int res = 0;

			while (!res && have < n) {
				scanned = have;
				have = have + step < n ? have + step : n;
				res = tako__h1_head_parse(&h, guarded(valid[r].text, have), have,
				                          scanned, &usual_limits);
			}
			assert_int_equal(res, (int)n);
			assert_int_equal(have, n);
			show_head(&h, shown, sizeof(shown));
			assert_string_equal(shown, valid[r].shown);
		}
	}
}

static void test_pieces(void **state)
{
	(void)state;
	at_each_level(check_pieces);
}

/* ---- Limits ---------------------------------------------------------------- */

/* A request with a target of t bytes and a field whose value has v bytes. */
static size_t make_head(char *out, size_t t, size_t v)
{
	static const char middle[] = " HTTP/1.1\r\nHost: h\r\nX: ";
	size_t n = 4 + t;

	memset(out, 'a', n);
	memcpy(out, "GET /", 5);
	memcpy(out + n, middle, sizeof(middle) - 1);
	n += sizeof(middle) - 1;
	memset(out + n, 'v', v);
	memcpy(out + n + v, "\r\n\r\n", 4);
	return n + v + 4;
}

/* The outcome of a head that arrives in pieces of `step` bytes. */
static int trickle(const char *text, size_t n, size_t step, const struct tako__h1_limits *lim,
                   size_t *used)
{
	struct tako__h1_head h = {.fields = fields};
	int res = 0;

	*used = 0;
	while (!res && *used < n) {
		size_t scanned = *used;

		*used = scanned + step < n ? scanned + step : n;
		res = tako__h1_head_parse(&h, guarded(text, *used), *used, scanned, lim);
	}
	return res;
}

static void check_line_limit(void)
{
	/* The request line is 13 bytes longer than its target. */
	static const struct tako__h1_limits lim = {4096, 200, 10};
	static char text[GUARDED_BYTES];
	struct tako__h1_head h;
	size_t used;

	for (size_t t = 180; t < 195; t++) {
		size_t n = make_head(text, t, 5);
		int want = 4 + t + 9 <= lim.max_line_bytes ? (int)n : -414;

		assert_int_equal(parse(&h, text, n, &lim), want);
		assert_int_equal(want < 0, h.why != NULL);
		for (size_t step = 1; step < n; step++)
			assert_int_equal(trickle(text, n, step, &lim, &used), want);
	}
	/* Refused before the line ends, and no matter what comes later in it. */
	memset(text, 'a', 1000);
	memcpy(text, "GET /", 5);
	assert_int_equal(parse(&h, text, 201, &lim), 0);
	assert_int_equal(parse(&h, text, 202, &lim), -414);
	assert_int_equal(trickle(text, 1000, 1, &lim, &used), -414);
	assert_true(used <= 206);
	text[202] = '\x01';
	assert_int_equal(parse(&h, text, 1000, &lim), -414);
	text[201] = '\x01';
	assert_int_equal(parse(&h, text, 1000, &lim), -400);
}

static void check_head_limit(void)
{
	static const struct tako__h1_limits lim = {500, 200, 10};
	static char text[GUARDED_BYTES];
	struct tako__h1_head h;
	size_t used;

	for (size_t v = 430; v < 470; v++) {
		size_t n = make_head(text, 10, v);
		int want = n <= lim.max_head_bytes ? (int)n : -431;

		assert_int_equal(parse(&h, text, n, &lim), want);
		assert_int_equal(want < 0, h.why != NULL);
		for (size_t step = 1; step < n; step += 7)
			assert_int_equal(trickle(text, n, step, &lim, &used), want);
	}
	make_head(text, 10, 9000);
	assert_int_equal(parse(&h, text, 499, &lim), 0);
	assert_int_equal(parse(&h, text, 500, &lim), -431);
	assert_int_equal(trickle(text, 9000, 1, &lim, &used), -431);
	assert_int_equal(used, 500);
}

static void check_field_limit(void)
{
	static const struct tako__h1_limits lim = {32768, 8192, 100};
	static char text[GUARDED_BYTES];
	struct tako__h1_head h;
	size_t used;

	for (int count = 98; count <= 102; count++) {
		size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: h\r\n");
		int want;

		for (int i = 1; i < count; i++)
			n += (size_t)sprintf(text + n, "X-%d: %d\r\n", i, i);
		n += (size_t)sprintf(text + n, "\r\n");
		want = count <= 100 ? (int)n : -431;
		assert_int_equal(parse(&h, text, n, &lim), want);
		assert_int_equal(trickle(text, n, 1, &lim, &used), want);
		assert_int_equal(h.field_count, count <= 100 ? count : 100);
	}
}

static void test_limits(void **state)
{
	(void)state;
	at_each_level(check_line_limit);
	at_each_level(check_head_limit);
	at_each_level(check_field_limit);
}

/* Defaults: a head of exactly 32 KiB passes, a line of exactly 8 KiB, too. */
static void check_large(void)
{
	static char text[GUARDED_BYTES];
	struct tako__h1_head h;
	size_t n = make_head(text, 8192 - 13, 32768 - 8192 - 18);

	assert_int_equal(n, 32768);
	assert_int_equal(parse(&h, text, n, &usual_limits), 32768);
	assert_int_equal(h.target.n, 8192 - 13);
	assert_int_equal(h.field_count, 2);
	assert_int_equal(h.fields[1].value_n, 32768 - 8192 - 18);
}

static void test_large(void **state)
{
	(void)state;
	at_each_level(check_large);
}

/* While no line ends, a byte more costs no new parse: the head is not even written to. */
static void test_trickle_is_cheap(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\nX: yyyyyyyyyy\r\n\r\n";
	struct tako__h1_head h = {.fields = fields, .why = "untouched"};

	(void)state;
	assert_int_equal(tako__h1_head_parse(&h, text, 30, 29, &usual_limits), 0);
	assert_string_equal(h.why, "untouched");
	assert_int_equal(tako__h1_head_parse(&h, text, sizeof(text) - 3, 30, &usual_limits), 0);
	assert_null(h.why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),  cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_large),  cmocka_unit_test(test_trickle_is_cheap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

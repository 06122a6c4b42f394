/* SPDX-License-Identifier: MIT
 *
 * Responses as a client reads them: heads, framing and bodies by RFC 9112, each cut in two at every byte
 * and fed byte by byte, in front of an unmapped page.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "h1_util.h"
#include "core/base.h"
#include "transports/client/client_reply.h"

#define TEXT(s) s, sizeof(s) - 1
#define OK "HTTP/1.1 200 OK\r\n"

static const struct tako__h1_limits limits = {400, 400, 8};

/* ---- Heads --------------------------------------------------------------------------------- */

struct head_case {
	const char *rfc;
	const char *text;
	size_t n;
	const char *want; /* what show() makes of it, or the words of the refusal */
	unsigned method;
	int err;
};

static const struct head_case heads[] = {
	/* ---- Status lines */
	{"9112 4", TEXT(OK "\r\n"), "200 1.1 [OK] to-end close", TAKO__GET, 0},
	{"9112 4", TEXT("HTTP/1.1 200 \r\n\r\n"), "200 1.1 [] to-end close", TAKO__GET, 0},
	{"9112 4", TEXT("HTTP/1.1 200\r\n\r\n"), "200 1.1 [] to-end close", TAKO__GET, 0},
	{"9112 4", TEXT("HTTP/1.1 404 Not  Found \t\xe9\r\n\r\n"),
         "404 1.1 [Not  Found \t\xe9] to-end close", TAKO__GET, 0},
	{"9110 2.5", TEXT("HTTP/1.9 200 OK\r\n\r\n"), "200 1.1 [OK] to-end close", TAKO__GET, 0},
	{"9110 15", TEXT("HTTP/1.1 599 x\r\n\r\n"), "599 1.1 [x] to-end close", TAKO__GET, 0},
	{"9110 15", TEXT("HTTP/1.1 099 x\r\n\r\n"), "a status that is not 100 to 599", TAKO__GET,
         TAKO_EPROTO},
	{"9110 15", TEXT("HTTP/1.1 600 x\r\n\r\n"), "a status that is not 100 to 599", TAKO__GET,
         TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 20 OK\r\n\r\n"), "invalid status code", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 2000 OK\r\n\r\n"), "invalid status code", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 -20 OK\r\n\r\n"), "invalid status code", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1  200 OK\r\n\r\n"), "invalid status code", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 200\tOK\r\n\r\n"), "invalid status code", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1\r\n\r\n"), "not HTTP/1.x", TAKO__GET, TAKO_EPROTO},
	{"9112 2.3", TEXT("HTTP/2.0 200 OK\r\n\r\n"), "not HTTP/1.x", TAKO__GET, TAKO_EPROTO},
	{"9112 2.3", TEXT("http/1.1 200 OK\r\n\r\n"), "not HTTP/1.x", TAKO__GET, TAKO_EPROTO},
	{"9112 2.3", TEXT("ICY 200 OK\r\n\r\n"), "not HTTP/1.x", TAKO__GET, TAKO_EPROTO},
	{"9112 2.2", TEXT("\r\nHTTP/1.1 200 OK\r\n\r\n"), "not HTTP/1.x", TAKO__GET, TAKO_EPROTO},
	{"9112 2.2", TEXT("HTTP/1.1 200 OK\n\n"), "invalid byte in the status line", TAKO__GET,
         TAKO_EPROTO},
	{"9112 2.2", TEXT("HTTP/1.1 200 OK\rX\r\n\r\n"), "bare CR", TAKO__GET, TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 200 O\0K\r\n\r\n"), "invalid byte in the status line", TAKO__GET,
         TAKO_EPROTO},
	{"9112 4", TEXT("HTTP/1.1 200 O\x7fK\r\n\r\n"), "invalid byte in the status line",
         TAKO__GET, TAKO_EPROTO},

	/* ---- Fields */
	{"9112 5", TEXT(OK "A: b\r\nC:\t d \r\nE:\r\n\r\n"),
         "200 1.1 [OK] to-end close|A=b|C=d|E=", TAKO__GET, 0},
	{"9112 5.1", TEXT(OK "A : b\r\n\r\n"), "white space in or after a field name", TAKO__GET,
         TAKO_EPROTO},
	{"9112 5.2", TEXT(OK "A: b\r\n c\r\n\r\n"),
         "white space before a field name, or a folded line", TAKO__GET, TAKO_EPROTO},
	{"9112 5.2", TEXT(OK "A: b\r\n\tc\r\n\r\n"),
         "white space before a field name, or a folded line", TAKO__GET, TAKO_EPROTO},
	{"9112 2.2", TEXT(OK " A: b\r\n\r\n"), "white space before a field name, or a folded line",
         TAKO__GET, TAKO_EPROTO},
	{"9112 5", TEXT(OK "A\r\n\r\n"), "field line without a colon", TAKO__GET, TAKO_EPROTO},
	{"9112 5", TEXT(OK ": b\r\n\r\n"), "no field name", TAKO__GET, TAKO_EPROTO},
	{"9110 5.5", TEXT(OK "A: b\0c\r\n\r\n"), "invalid byte in field value", TAKO__GET,
         TAKO_EPROTO},
	{"9110 5.5", TEXT(OK "A: b\rSet-Cookie: c\r\n\r\n"), "bare CR", TAKO__GET, TAKO_EPROTO},
	{"9112 2.2", TEXT(OK "A: b\n\r\n"), "invalid byte in field value", TAKO__GET, TAKO_EPROTO},

	/* ---- The length of the body */
	{"9112 6.3 (1)", TEXT(OK "Content-Length: 7\r\n\r\n"),
         "200 1.1 [OK] none 7 keep|Content-Length=7", TAKO__HEAD, 0},
	{"9112 6.3 (1)", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n"),
         "200 1.1 [OK] none keep|Transfer-Encoding=chunked", TAKO__HEAD, 0},
	{"9112 6.3 (1)", TEXT(OK "\r\n"), "200 1.1 [OK] none keep", TAKO__HEAD, 0},
	{"9112 6.3 (1)", TEXT("HTTP/1.1 204 No\r\n\r\n"), "204 1.1 [No] none keep", TAKO__GET, 0},
	{"9112 6.3 (1)", TEXT("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n"),
         "304 1.1 [No] none 9 keep|Content-Length=9", TAKO__GET, 0},
	{"9112 6.3 (1)", TEXT("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "304 1.1 [No] none keep|Transfer-Encoding=chunked", TAKO__GET, 0},
	{"9112 6.3 (1)", TEXT("HTTP/1.1 100 Go\r\n\r\n"), "100 1.1 [Go] none keep", TAKO__POST, 0},
	{"9112 6.3 (1)", TEXT("HTTP/1.1 103 x\r\nContent-Length: 3\r\n\r\n"),
         "103 1.1 [x] none 3 keep|Content-Length=3", TAKO__GET, 0},
	{"9112 6.1", TEXT("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "Transfer-Encoding in a response without a body", TAKO__GET, TAKO_EPROTO},
	{"9112 6.1", TEXT("HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "Transfer-Encoding in a response without a body", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (3)", TEXT(OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "Content-Length beside Transfer-Encoding", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (3)", TEXT(OK "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
         "Content-Length beside Transfer-Encoding", TAKO__HEAD, TAKO_EPROTO},
	{"9112 6.3 (4)", TEXT(OK "Transfer-Encoding: chunked\r\n\r\n"),
         "200 1.1 [OK] chunked keep|Transfer-Encoding=chunked", TAKO__GET, 0},
	{"9112 6.3 (4)", TEXT(OK "transfer-encoding: ChunkeD\r\n\r\n"),
         "200 1.1 [OK] chunked keep|transfer-encoding=ChunkeD", TAKO__GET, 0},
	{"9112 6.1", TEXT(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), "unknown transfer coding",
         TAKO__GET, TAKO_EPROTO},
	{"9112 6.1", TEXT(OK "Transfer-Encoding: identity\r\n\r\n"), "unknown transfer coding",
         TAKO__GET, TAKO_EPROTO},
	{"9112 6.1", TEXT(OK "Transfer-Encoding: chunked, gzip\r\n\r\n"),
         "transfer coding after chunked", TAKO__GET, TAKO_EPROTO},
	{"9112 6.1", TEXT(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "transfer coding after chunked", TAKO__GET, TAKO_EPROTO},
	{"9112 6.1", TEXT(OK "Transfer-Encoding: \r\n\r\n"), "empty transfer coding", TAKO__GET,
         TAKO_EPROTO},
	{"9112 6.1", TEXT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
         "Transfer-Encoding in HTTP/1.0", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (5)", TEXT(OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
         "more than one Content-Length field", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (5)", TEXT(OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
         "more than one Content-Length field", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (5)", TEXT(OK "Content-Length: 3, 3\r\n\r\n"), "Content-Length is not a number",
         TAKO__GET, TAKO_EPROTO},
	{"9110 8.6", TEXT(OK "Content-Length: +3\r\n\r\n"), "Content-Length is not a number",
         TAKO__GET, TAKO_EPROTO},
	{"9110 8.6", TEXT(OK "Content-Length: 0x3\r\n\r\n"), "Content-Length is not a number",
         TAKO__GET, TAKO_EPROTO},
	{"9110 8.6", TEXT(OK "Content-Length:\r\n\r\n"), "empty Content-Length", TAKO__GET,
         TAKO_EPROTO},
	{"9110 8.6", TEXT(OK "Content-Length: 92233720368547758070\r\n\r\n"),
         "Content-Length too large", TAKO__GET, TAKO_EPROTO},
	{"9112 6.3 (6)", TEXT(OK "Content-Length: 12\r\n\r\n"),
         "200 1.1 [OK] length 12 keep|Content-Length=12", TAKO__GET, 0},
	{"9112 6.3 (6)", TEXT(OK "content-length: 0\r\n\r\n"),
         "200 1.1 [OK] length 0 keep|content-length=0", TAKO__GET, 0},
	{"9112 6.3 (8)", TEXT(OK "Connection: keep-alive\r\n\r\n"),
         "200 1.1 [OK] to-end close|Connection=keep-alive", TAKO__GET, 0},

	/* ---- Persistence */
	{"9112 9.3", TEXT(OK "Content-Length: 0\r\nConnection: x, close\r\n\r\n"),
         "200 1.1 [OK] length 0 close|Content-Length=0|Connection=x, close", TAKO__GET, 0},
	{"9112 9.3", TEXT("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
         "200 1.0 [OK] length 0 close|Content-Length=0", TAKO__GET, 0},
	{"9112 9.3", TEXT("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"),
         "200 1.0 [OK] length 0 keep|Content-Length=0|Connection=keep-alive", TAKO__GET, 0},

	/* ---- What means nothing in a response */
	{"9110 7.2", TEXT(OK "Host: a b\r\nExpect: x\r\nTE: y\r\n\r\n"),
         "200 1.1 [OK] to-end close|Host=a b|Expect=x|TE=y", TAKO__GET, 0},

	/* ---- Limits */
	{"8 fields", TEXT(OK "A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"),
         "200 1.1 [OK] to-end close|A=|A=|A=|A=|A=|A=|A=|A=", TAKO__GET, 0},
	{"9 fields", TEXT(OK "A:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n"),
         "too many fields", TAKO__GET, TAKO_ETOOBIG},
};

static void show(const struct tako__reply *r, char *out, size_t size)
{
	static const char *const framings[] = {"none", "length", "chunked", "to-end"};
	char length[32] = "";
	size_t at;

	if (r->length != TAKO_OFF64)
		snprintf(length, sizeof length, " %llu", (unsigned long long)r->length);
	at = (size_t)snprintf(out, size, "%u 1.%u [%.*s] %s%s %s", r->status, r->minor,
	                      TAKO_FMT(r->reason), framings[r->framing], length,
	                      r->keep_alive ? "keep" : "close");
	for (uint32_t i = 0; i < r->field_count; i++) {
		at = put_str(out, at, size, "|",
		             (tako_str){r->fields[i].name, r->fields[i].name_n});
		at = put_str(out, at, size, "=",
		             (tako_str){r->fields[i].value, r->fields[i].value_n});
	}
}

static void check_head(const struct head_case *c, int rc, const struct tako__reply *r, size_t n)
{
	char got[1024];

	if (c->err) {
		assert_int_equal(rc, c->err);
		assert_string_equal(r->why, c->want);
		return;
	}
	assert_int_equal(rc, n);
	show(r, got, sizeof got);
	assert_string_equal(got, c->want);
}

static void test_heads(void **state)
{
	struct tako__field fields[8];
	struct tako__reply r = {.fields = fields};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(heads); i++) {
		const struct head_case *c = &heads[i];

		check_head(
			c,
			tako__reply_parse(&r, guarded(c->text, c->n), c->n, 0, c->method, &limits),
			&r, c->n);
	}
}

/* In two pieces cut anywhere, and byte by byte: the same, and not before all of it is there. */
static void test_heads_in_pieces(void **state)
{
	struct tako__field fields[8];
	struct tako__reply r = {.fields = fields};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(heads); i++) {
		const struct head_case *c = &heads[i];
		int rc = 0;

		for (size_t cut = 1; cut < c->n; cut++) {
			rc = tako__reply_parse(&r, guarded(c->text, cut), cut, 0, c->method,
			                       &limits);
			assert_true(rc == 0 || (c->err && rc == c->err));
			if (rc == 0)
				rc = tako__reply_parse(&r, guarded(c->text, c->n), c->n, cut,
				                       c->method, &limits);
			check_head(c, rc, &r, c->n);
		}
		rc = 0;
		for (size_t n = 1; n <= c->n && rc == 0; n++)
			rc = tako__reply_parse(&r, guarded(c->text, n), n, n - 1, c->method,
			                       &limits);
		check_head(c, rc, &r, c->n);
	}
}

/* RFC 9112 section 2.1 has no limit; we do, whatever is behind it. */
static void test_head_too_large(void **state)
{
	struct tako__field fields[8];
	struct tako__reply r = {.fields = fields};
	char text[500];

	(void)state;
	memset(text, 'x', sizeof text);
	memcpy(text, OK "A: ", sizeof(OK "A: ") - 1);
	memcpy(text + 396, "\r\n\r\n", 4);
	assert_int_equal(tako__reply_parse(&r, guarded(text, 399), 399, 0, TAKO__GET, &limits), 0);
	assert_int_equal(tako__reply_parse(&r, guarded(text, 400), 400, 399, TAKO__GET, &limits),
	                 400);
	memcpy(text + 396, "xx\r\n\r\n", 6);
	assert_int_equal(tako__reply_parse(&r, guarded(text, 399), 399, 0, TAKO__GET, &limits), 0);
	for (size_t n = 400; n < 410; n++) {
		int rc = tako__reply_parse(&r, guarded(text, n), n, 399, TAKO__GET, &limits);

		assert_int_equal(rc, TAKO_ETOOBIG);
		assert_string_equal(r.why, "response head too large");
	}
}

/* ---- Bodies ------------------------------------------------------------------------------- */

struct body_case {
	const char *rfc;
	const char *text;
	size_t n;
	const char *data;
	uint64_t length;
	size_t used; /* where it ends; TAKO_OFF: nowhere in here */
	enum tako__reply_framing framing;
	enum tako__reply_result res;
	const char *why; /* not NULL: TAKO_EPROTO */
};

static const struct body_case bodies[] = {
	{"9112 6.3 (1)", TEXT("x"), "", 5, 0, TAKO__REPLY_NO_BODY, TAKO__REPLY_END, NULL},
	{"9112 6.3 (6)", TEXT("helloHTTP"), "hello", 5, 5, TAKO__REPLY_LENGTH, TAKO__REPLY_END,
         NULL},
	{"9112 6.3 (6)", TEXT("x"), "", 0, 0, TAKO__REPLY_LENGTH, TAKO__REPLY_END, NULL},
	{"9112 8", TEXT("hell"), "hell", 5, 4, TAKO__REPLY_LENGTH, TAKO__REPLY_MORE, NULL},
	{"9112 6.3 (8)", TEXT("hello"), "hello", TAKO_OFF64, 5, TAKO__REPLY_TO_END,
         TAKO__REPLY_MORE, NULL},
	{"9112 7.1", TEXT("3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\nHTTP"), "hello", 0, 24,
         TAKO__REPLY_CHUNKED, TAKO__REPLY_END, NULL},
	{"9112 7.1.2", TEXT("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), "hello", 0, 13, TAKO__REPLY_CHUNKED,
         TAKO__REPLY_TRAILERS, NULL},
	{"9112 8", TEXT("5\r\nhello\r\n0\r\n"), "hello", 0, 13, TAKO__REPLY_CHUNKED,
         TAKO__REPLY_MORE, NULL},
	{"9112 7.1", TEXT("5\r\nhello!\r\n"), "hello", 0, 0, TAKO__REPLY_CHUNKED, TAKO__REPLY_MORE,
         "chunk longer than its size"},
	{"9112 7.1", TEXT("x\r\n"), "", 0, 0, TAKO__REPLY_CHUNKED, TAKO__REPLY_MORE,
         "chunk without a size"},
	{"9112 7.1", TEXT("10000000000000000\r\n"), "", 0, 0, TAKO__REPLY_CHUNKED, TAKO__REPLY_MORE,
         "chunk size too large"},
};

/* What a body makes of c's text fed `step` bytes at a time. */
static void check_body(const struct body_case *c, size_t step)
{
	const struct tako__reply r = {.framing = (uint8_t)c->framing, .length = c->length};
	struct tako__reply_body b;
	const char *why = NULL;
	char got[64];
	size_t at = 0;
	size_t got_n = 0;
	int res = TAKO__REPLY_MORE;

	tako__reply_body_init(&b, &r);
	while ((at < c->n && res == TAKO__REPLY_MORE) || res == TAKO__REPLY_DATA) {
		size_t n = c->n - at < step ? c->n - at : step;
		size_t used;
		tako_str data;

		res = tako__reply_body_feed(&b, guarded(c->text + at, n), n, &used, &data, &why);
		assert_true(used <= n);
		if (res == TAKO__REPLY_DATA) {
			assert_true(data.n && got_n + data.n < sizeof got);
			memcpy(got + got_n, data.p, data.n);
			got_n += data.n;
		}
		at += used;
	}
	got[got_n] = '\0';
	assert_string_equal(got, c->data);
	if (c->why) {
		assert_int_equal(res, TAKO_EPROTO);
		assert_string_equal(why, c->why);
		return;
	}
	assert_int_equal(res, c->res);
	assert_int_equal(at, c->used);
	assert_int_equal(tako__reply_body_ends(&b), c->framing == TAKO__REPLY_TO_END);
}

static void test_bodies(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(bodies); i++) {
		for (size_t step = 1; step <= bodies[i].n; step++)
			check_body(&bodies[i], step);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_heads_in_pieces),
		cmocka_unit_test(test_head_too_large),
		cmocka_unit_test(test_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

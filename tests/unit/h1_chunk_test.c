/* SPDX-License-Identifier: MIT
 *
 * The chunked coding (RFC 9112 7.1): what decodes, what is refused, in one piece and in
 * every other; its bounds; trailers; the line in front of a chunk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "h1_util.h"
#include "transports/h1/h1_chunk.h"

#define TEXT(s) s, sizeof(s) - 1

/* What became of a body. */
struct outcome {
	char data[4096];
	size_t data_n;
	size_t used;
	int res; /* of the last call */
};

/* Feed p[0..n) in pieces of `step` bytes, until something ends it. */
static void decode(const char *p, size_t n, size_t step, uint32_t extension_bytes,
                   struct outcome *out)
{
	struct tako__h1_chunked c;

	tako__h1_chunked_init(&c, extension_bytes);
	out->data_n = out->used = 0;
	out->res = TAKO__H1_CHUNK_MORE;
	while (out->used < n) {
		size_t have = n - out->used < step ? n - out->used : step;
		const char *piece = guarded(p + out->used, have);
		size_t used = SIZE_MAX;
		tako_str data = {NULL, 1};

		out->res = tako__h1_chunked_feed(&c, piece, have, &used, &data);
		assert_true(used <= have);
		out->used += used;
		if (out->res == TAKO__H1_CHUNK_DATA) {
			assert_true(data.n > 0 && data.p >= piece &&
			            data.p + data.n == piece + used);
			assert_true(out->data_n + data.n <= sizeof(out->data));
			memcpy(out->data + out->data_n, data.p, data.n);
			out->data_n += data.n;
			continue;
		}
		assert_true(!data.p && !data.n);
		if (out->res != TAKO__H1_CHUNK_MORE)
			break;
		assert_int_equal(used, have);
	}
	assert_int_equal(out->res < 0, c.why != NULL);
}

static const struct {
	const char *text;
	const char *data;
	int res;
	size_t left; /* bytes behind the body */
} valid[] = {
	{"0\r\n\r\n", "", TAKO__H1_CHUNK_END, 0},
	{"0000000000000000\r\n\r\n", "", TAKO__H1_CHUNK_END, 0},
	{"5\r\nhello\r\n0\r\n\r\n", "hello", TAKO__H1_CHUNK_END, 0},
	{"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", TAKO__H1_CHUNK_END, 0},
	{"a\r\n0123456789\r\nA\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij",
         TAKO__H1_CHUNK_END, 0},
	{"000000000000001F\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
         "0123456789012345678901234567890", TAKO__H1_CHUNK_END, 0},
	/* Data may be anything, also what looks like the coding. */
	{"b\r\n\r\n0\r\n\r\n5\r\nx\r\n0\r\n\r\n", "\r\n0\r\n\r\n5\r\nx", TAKO__H1_CHUNK_END, 0},
	/* Extensions: RFC 9112 7.1.1, with BWS and quoted strings. */
	{"5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", TAKO__H1_CHUNK_END, 0},
	{"5 \t;a=\"x;\\\"y\t\xff\" ; b\r\nhello\r\n0\r\n\r\n", "hello", TAKO__H1_CHUNK_END, 0},
	{"5 ; a = b\t;\tc\r\nhello\r\n0\r\n\r\n", "hello", TAKO__H1_CHUNK_END, 0},
	{"5;a=\"\";b=\"\\\\\" ;c\r\nhello\r\n0\r\n\r\n", "hello", TAKO__H1_CHUNK_END, 0},
	/* What follows is not looked at. */
	{"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "x", TAKO__H1_CHUNK_END, 16},
	{"0\r\n\r\n\r\n", "", TAKO__H1_CHUNK_END, 2},
	/* Trailers start right behind the last chunk's line. */
	{"1\r\nx\r\n0\r\nA: b\r\n\r\n", "x", TAKO__H1_CHUNK_TRAILERS, 8},
	{"0\r\n \r\n\r\n", "", TAKO__H1_CHUNK_TRAILERS, 5},
	/* Not complete. */
	{"5\r\nhel", "hel", TAKO__H1_CHUNK_DATA, 0},
	{"5\r\nhello", "hello", TAKO__H1_CHUNK_DATA, 0},
	{"5\r\nhello\r\n0\r\n\r", "hello", TAKO__H1_CHUNK_MORE, 0},
	{"5;aaa", "", TAKO__H1_CHUNK_MORE, 0},
};

static void test_valid(void **state)
{
	static struct outcome out;

	(void)state;
	for (size_t r = 0; r < sizeof(valid) / sizeof(valid[0]); r++) {
		size_t n = strlen(valid[r].text);

		for (size_t step = 1; step <= n; step++) {
			decode(valid[r].text, n, step, 100, &out);
			assert_int_equal(out.res, valid[r].res);
			assert_int_equal(out.used, n - valid[r].left);
			assert_int_equal(out.data_n, strlen(valid[r].data));
			assert_memory_equal(out.data, valid[r].data, out.data_n);
		}
	}
}

/* In one piece, each chunk's data is one run, right where it came in. */
static void test_runs(void **state)
{
	static const char text[] = "5\r\nhello\r\n6;x\r\n world\r\n0\r\n\r\n";
	struct tako__h1_chunked c;
	tako_str data;
	size_t used;

	(void)state;
	tako__h1_chunked_init(&c, 100);
	assert_int_equal(tako__h1_chunked_feed(&c, text, 29, &used, &data), TAKO__H1_CHUNK_DATA);
	assert_ptr_equal(data.p, text + 3);
	assert_int_equal(data.n, 5);
	assert_int_equal(used, 8);
	assert_int_equal(tako__h1_chunked_feed(&c, text + 8, 21, &used, &data),
	                 TAKO__H1_CHUNK_DATA);
	assert_ptr_equal(data.p, text + 15);
	assert_int_equal(data.n, 6);
	assert_int_equal(used, 13);
	assert_int_equal(tako__h1_chunked_feed(&c, text + 21, 8, &used, &data), TAKO__H1_CHUNK_END);
	assert_int_equal(used, 7);
}

/* A chunk of more than 4 GiB: counted, not held. */
static void test_huge_chunk(void **state)
{
	static char bytes[1024];
	struct tako__h1_chunked c;
	uint64_t total = 0;
	tako_str data;
	size_t used;

	(void)state;
	tako__h1_chunked_init(&c, 0);
	assert_int_equal(tako__h1_chunked_feed(&c, TEXT("7FFFFFFFFFFFFFFF\r\n"), &used, &data),
	                 TAKO__H1_CHUNK_MORE);
	assert_int_equal(c.left, INT64_MAX);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(tako__h1_chunked_feed(&c, bytes, sizeof(bytes), &used, &data),
		                 TAKO__H1_CHUNK_DATA);
		assert_int_equal(used, sizeof(bytes));
		total += data.n;
	}
	assert_int_equal(c.left, INT64_MAX - total);
}

static const struct {
	const char *rfc;
	const char *text;
	size_t n;
	size_t at; /* the byte that is too much; the answer comes with it, not later */
} bad[] = {
	{"9112 7.1", TEXT("\r\n0\r\n\r\n"), 0},
	{"9112 7.1", TEXT("\n"), 0},
	{"9112 7.1", TEXT(";a\r\n"), 0},
	{"9112 7.1", TEXT(" 5\r\nhello\r\n"), 0},
	{"9112 7.1", TEXT("\t5\r\nhello\r\n"), 0},
	{"9112 7.1", TEXT("-5\r\nhello\r\n"), 0},
	{"9112 7.1", TEXT("+5\r\nhello\r\n"), 0},
	{"9112 7.1", TEXT("0x5\r\nhello\r\n"), 1},
	{"9112 7.1", TEXT("x\r\n"), 0},
	{"9112 7.1", TEXT("g\r\n"), 0},
	{"9112 7.1", TEXT("G\r\n"), 0},
	{"9112 7.1", TEXT("@\r\n"), 0},
	{"9112 7.1", TEXT("/\r\n"), 0},
	{"9112 7.1", TEXT(":\r\n"), 0},
	{"9112 7.1", TEXT("`\r\n"), 0},
	{"9112 7.1", TEXT("\x10\r\n"), 0},
	{"9112 7.1", TEXT("\x01\r\n"), 0},
	{"9112 7.1", TEXT("\xb5\r\n"), 0},
	{"9112 7.1", TEXT("\0\r\n"), 0},
	{"9112 7.1", TEXT("5h\r\nhello\r\n"), 1},
	{"9112 7.1", TEXT("5,5\r\nhello\r\n"), 1},
	{"9112 7.1", TEXT("5.0\r\nhello\r\n"), 1},
	{"9112 7.1", TEXT("1_0\r\n"), 1},
	{"9112 7.1", TEXT("5\0\r\nhello\r\n"), 1},
	/* No white space but in front of an extension: RFC 9112 7.1.1. */
	{"9112 7.1.1", TEXT("5 \r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5\t\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5 5\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5 a\r\nhello\r\n"), 2},
	/* Lines end with CRLF. */
	{"9112 2.2", TEXT("5\nhello\r\n"), 1},
	{"9112 2.2", TEXT("5\r5hello\r\n"), 2},
	{"9112 2.2", TEXT("5\rhello\r\n"), 2},
	{"9112 2.2", TEXT("5\r\r\nhello\r\n"), 2},
	{"9112 2.2", TEXT("5;a\nhello\r\n"), 3},
	{"9112 2.2", TEXT("5;a\rb\r\nhello\r\n"), 4},
	{"9112 2.2", TEXT("5;a=\"\n\"\r\nhello\r\n"), 5},
	{"9112 2.2", TEXT("5;a=\"\r\"\r\nhello\r\n"), 5},
	{"9112 2.2", TEXT("0\n\r\n"), 1},
	{"9112 2.2", TEXT("0\r\n\rx"), 4},
	{"9112 2.2", TEXT("0\r\n\r\r"), 4},
	/* Control characters in extensions: RFC 9110 5.6.4. */
	{"9110 5.6.4", TEXT("5;a\0\r\nhello\r\n"), 3},
	{"9110 5.6.4", TEXT("5;\x1b\r\nhello\r\n"), 2},
	{"9110 5.6.4", TEXT("5;\x7f\r\nhello\r\n"), 2},
	/* Names, and values if there is "=", of token characters or quoted: RFC 9112 7.1.1. */
	{"9112 7.1.1", TEXT("5;\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5; \r\nhello\r\n"), 3},
	{"9112 7.1.1", TEXT("5;;a\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5;=b\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5;\"a\"\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5;(\r\nhello\r\n"), 2},
	{"9112 7.1.1", TEXT("5;a\xe9\r\nhello\r\n"), 3},
	{"9112 7.1.1", TEXT("5;a b\r\nhello\r\n"), 4},
	{"9112 7.1.1", TEXT("5;a \r\nhello\r\n"), 4},
	{"9112 7.1.1", TEXT("5;a,b\r\nhello\r\n"), 3},
	{"9112 7.1.1", TEXT("5;a=\r\nhello\r\n"), 4},
	{"9112 7.1.1", TEXT("5;a= \r\nhello\r\n"), 5},
	{"9112 7.1.1", TEXT("5;a==b\r\nhello\r\n"), 4},
	{"9112 7.1.1", TEXT("5;a=b=c\r\nhello\r\n"), 5},
	{"9112 7.1.1", TEXT("5;a=b c\r\nhello\r\n"), 6},
	{"9112 7.1.1", TEXT("5;a=b \r\nhello\r\n"), 6},
	{"9112 7.1.1", TEXT("5;a=b\"c\"\r\nhello\r\n"), 5},
	{"9112 7.1.1", TEXT("5;a=\"b\"c\r\nhello\r\n"), 7},
	{"9112 7.1.1", TEXT("5;a=\"b\" \r\nhello\r\n"), 8},
	{"9112 7.1.1", TEXT("5;a=\"b\r\nhello\r\n"), 6},
	{"9112 7.1.1", TEXT("5;a=\"b\\\r\nhello\r\n"), 7},
	/* Data ends where the size says, with CRLF. */
	{"9112 7.1", TEXT("5\r\nhello0\r\n\r\n"), 8},
	{"9112 7.1", TEXT("5\r\nhello\n0\r\n\r\n"), 8},
	{"9112 7.1", TEXT("5\r\nhello\r0\r\n\r\n"), 9},
	{"9112 7.1", TEXT("5\r\nhello\n\r\n0\r\n"), 8},
	{"9112 7.1", TEXT("5\r\nhello world\r\n0\r\n\r\n"), 8},
	{"9112 7.1", TEXT("5\r\nhello\r\n\r\n0\r\n"), 10},
	{"9112 7.1", TEXT("4\r\nhello\r\n0\r\n\r\n"), 7},
	/* 2^63 and more, and zeros without end. */
	{"9112 7.1", TEXT("8000000000000000\r\n"), 15},
	{"9112 7.1", TEXT("FFFFFFFFFFFFFFFF\r\n"), 15},
	{"9112 7.1", TEXT("10000000000000000\r\n"), 16},
	{"9112 7.1", TEXT("10000000000000005\r\nhello\r\n"), 16},
	{"9112 7.1", TEXT("00000000000000005\r\nhello\r\n"), 16},
	{"9112 7.1", TEXT("00000000000000000\r\n"), 16},
	{"9112 7.1", TEXT("1\r\nx\r\n80000000000000000\r\n"), 21},
};

static void test_bad(void **state)
{
	static struct outcome out;

	(void)state;
	for (size_t r = 0; r < sizeof(bad) / sizeof(bad[0]); r++) {
		for (size_t step = 1; step <= bad[r].n; step++) {
			decode(bad[r].text, bad[r].n, step, 100, &out);
			if (out.res != -400)
				print_error("row %zu (RFC %s): %s\n", r, bad[r].rfc, bad[r].text);
			assert_int_equal(out.res, -400);
			assert_int_equal(out.used, bad[r].at + 1);
		}
	}
}

/* A decoder that refused or ended takes nothing more. */
static void test_after_the_end(void **state)
{
	struct tako__h1_chunked c;
	tako_str data;
	size_t used;

	(void)state;
	tako__h1_chunked_init(&c, 100);
	assert_int_equal(tako__h1_chunked_feed(&c, TEXT("x"), &used, &data), -400);
	assert_int_equal(tako__h1_chunked_feed(&c, TEXT("5\r\n"), &used, &data), -400);
	tako__h1_chunked_init(&c, 100);
	assert_int_equal(tako__h1_chunked_feed(&c, TEXT("0\r\n\r\n"), &used, &data),
	                 TAKO__H1_CHUNK_END);
	assert_int_equal(tako__h1_chunked_feed(&c, "", 0, &used, &data), TAKO__H1_CHUNK_END);
	assert_int_equal(tako__h1_chunked_feed(&c, TEXT("5\r\n"), &used, &data), -400);
}

/* RFC 9112 7.1.1: the bound is on all extensions of a body together. */
static void test_extension_bound(void **state)
{
	static struct outcome out;
	char text[256];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		n += (size_t)sprintf(text + n, "1 ;23456\r\nx\r\n");
	n += (size_t)sprintf(text + n, "0;2\r\n\r\n");
	for (size_t step = 1; step <= n; step += 3) {
		decode(text, n, step, 5 * 7 + 2, &out);
		assert_int_equal(out.res, TAKO__H1_CHUNK_END);
		decode(text, n, step, 5 * 7 + 1, &out);
		assert_int_equal(out.res, -400);
		assert_int_equal(out.data_n, 5);
		decode(text, n, step, 5 * 7 - 1, &out);
		assert_int_equal(out.res, -400);
		assert_int_equal(out.data_n, 4);
		decode(text, n, step, 0, &out);
		assert_int_equal(out.used, 2);
	}
}

/* ---- Trailers ------------------------------------------------------------------ */

static struct tako__field fields[FIELDS_MAX];

/* Parse a section as it comes in pieces of `step`; what is left of it as "A=b|C=d". */
static int trailers(const char *p, size_t n, size_t step, const struct tako__h1_limits *lim,
                    char *shown, size_t size)
{
	struct tako__h1_trailers t = {.fields = fields};
	size_t have = 0;
	size_t at = 0;
	int res = 0;

	while (!res && have < n) {
		size_t scanned = have;

		have = have + step < n ? have + step : n;
		res = tako__h1_trailers_parse(&t, guarded(p, have), have, scanned, lim);
	}
	assert_int_equal(res < 0, t.why != NULL);
	shown[0] = '\0';
	for (uint32_t i = 0; res > 0 && i < t.field_count; i++) {
		at = put_str(shown, at, size, i ? "|" : "",
		             (tako_str){fields[i].name, fields[i].name_n});
		at = put_str(shown, at, size, "=", (tako_str){fields[i].value, fields[i].value_n});
	}
	if (res > 0 && t.dropped_count)
		sprintf(shown + at, " -%u", t.dropped_count);
	return res;
}

static void test_trailers(void **state)
{
	static const struct {
		const char *text;
		const char *shown; /* NULL: 400 */
	} rows[] = {
		{"\r\n", ""},
		{"A: b\r\n\r\n", "A=b"},
		{"Checksum:  abc \t\r\nX:\r\n\r\n", "Checksum=abc|X="},
		/* RFC 9110 6.5.1: framing, routing, authentication, conditions, content. */
		{"Content-Length: 5\r\nA: b\r\nTRANSFER-ENCODING: chunked\r\nhost: evil\r\n\r\n",
	         "A=b -3"},
		{"Authorization: x\r\nCookie: x\r\nContent-Type: x\r\nIf-Match: x\r\nTrailer: "
	         "x\r\n\r\n",
	         " -5"},
		{"Expect: x\r\nConnection: x\r\nRange: x\r\nContent-Encoding: x\r\nTE: x\r\nB: "
	         "c\r\n\r\n",
	         "B=c -5"},
		{"Hosts: a\r\nCookies: b\r\n\r\n", "Hosts=a|Cookies=b"},
		{"A: b\n\r\n\r\n", NULL},
		{"A: b\rc\r\n\r\n", NULL},
		{"A : b\r\n\r\n", NULL},
		{"A: b\r\n c\r\n\r\n", NULL},
		{" A: b\r\n\r\n", NULL},
		{": b\r\n\r\n", NULL},
		{"A\r\n\r\n", NULL},
		{"A: \x01\r\n\r\n", NULL},
		{"A: b\r\n\rx\r\n\r\n", NULL},
		{"A: b\r\n\n\r\n\r\n", NULL},
	};
	char shown[512];

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		size_t n = strlen(rows[r].text);

		for (size_t step = 1; step <= n; step++) {
			int res = trailers(rows[r].text, n, step, &usual_limits, shown,
			                   sizeof(shown));

			assert_int_equal(res, rows[r].shown ? (int)n : -400);
			assert_string_equal(shown, rows[r].shown ? rows[r].shown : "");
		}
	}
}

static void test_trailer_limits(void **state)
{
	static const struct tako__h1_limits lim = {30, 100, 3};
	struct tako__h1_limits tight = lim;
	char shown[512];

	(void)state;
	for (size_t step = 1; step < 40; step++) {
		assert_int_equal(
			trailers(TEXT("A: 1\r\nB: 2\r\nC: 3\r\n\r\n"), step, &lim, shown, 512), 20);
		assert_int_equal(trailers(TEXT("A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"), step, &lim,
		                          shown, 512),
		                 -431);
		/* Those that are dropped count as well. */
		assert_int_equal(trailers(TEXT("TE: 1\r\nTE: 2\r\nTE: 3\r\nA: 4\r\n\r\n"), step,
		                          &lim, shown, 512),
		                 -431);
		assert_int_equal(trailers(TEXT("A: 12345678901234567890123\r\n\r\n"), step, &lim,
		                          shown, 512),
		                 30);
		assert_int_equal(trailers(TEXT("A: 123456789012345678901234\r\n\r\n"), step, &lim,
		                          shown, 512),
		                 -431);
		assert_int_equal(trailers(TEXT("A: 1234567890123456789012345678901234567890"), step,
		                          &lim, shown, 512),
		                 -431);
		tight.max_fields = 0;
		assert_int_equal(trailers(TEXT("\r\n"), step, &tight, shown, 512), 2);
	}
}

/* ---- Sending --------------------------------------------------------------------- */

static void test_chunk_head(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {
		{0, "0\r\n"},
		{1, "1\r\n"},
		{9, "9\r\n"},
		{10, "A\r\n"},
		{15, "F\r\n"},
		{16, "10\r\n"},
		{255, "FF\r\n"},
		{256, "100\r\n"},
		{4096, "1000\r\n"},
		{65535, "FFFF\r\n"},
		{0x123456789abcdefu, "123456789ABCDEF\r\n"},
		{UINT64_MAX, "FFFFFFFFFFFFFFFF\r\n"},
	};
	char buf[TAKO__H1_CHUNK_HEAD_BYTES + 1];

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(tako__h1_chunk_head(buf, rows[r].n), strlen(rows[r].text));
		assert_memory_equal(buf, rows[r].text, strlen(rows[r].text));
		assert_int_equal(buf[strlen(rows[r].text)], '#');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),         cmocka_unit_test(test_runs),
		cmocka_unit_test(test_huge_chunk),    cmocka_unit_test(test_bad),
		cmocka_unit_test(test_after_the_end), cmocka_unit_test(test_extension_bound),
		cmocka_unit_test(test_trailers),      cmocka_unit_test(test_trailer_limits),
		cmocka_unit_test(test_chunk_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

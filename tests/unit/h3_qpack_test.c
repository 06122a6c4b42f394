/* SPDX-License-Identifier: MIT
 *
 * Field sections as we write them, read by nghttp3's decoder: what comes out is what went in,
 * whatever the static table has of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <nghttp3/nghttp3.h>

#include "transports/h3/h3_qpack.h"

/* Decode one section of one line. */
static void decode(const char *p, size_t n, char *ret_name, char *ret_value)
{
	const nghttp3_mem *mem = nghttp3_mem_default();
	nghttp3_qpack_stream_context *ctx;
	nghttp3_qpack_decoder *d;
	nghttp3_qpack_nv nv;
	uint8_t flags = 0;
	nghttp3_ssize used;
	nghttp3_vec v;

	assert_int_equal(nghttp3_qpack_decoder_new(&d, 0, 0, mem), 0);
	assert_int_equal(nghttp3_qpack_stream_context_new(&ctx, 0, mem), 0);
	used = nghttp3_qpack_decoder_read_request(d, ctx, &nv, &flags, (const uint8_t *)p, n, 1);
	assert_int_equal(used, (nghttp3_ssize)n);
	assert_true(flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT);
	v = nghttp3_rcbuf_get_buf(nv.name);
	memcpy(ret_name, v.base, v.len + 1);
	v = nghttp3_rcbuf_get_buf(nv.value);
	memcpy(ret_value, v.base, v.len + 1);
	nghttp3_rcbuf_decref(nv.name);
	nghttp3_rcbuf_decref(nv.value);
	nghttp3_qpack_stream_context_del(ctx);
	nghttp3_qpack_decoder_del(d);
}

static size_t check_line(const char *name, const char *lowered, const char *value)
{
	static char text[70000];
	static char got_name[400];
	static char got_value[70000];
	size_t n = tako__h3_qpack_prefix(text);
	size_t line = tako__h3_qpack_line(text + n, name, strlen(name), value, strlen(value));

	assert_true(line <= strlen(name) + strlen(value) + TAKO__H3_LINE_BYTES);
	decode(text, n + line, got_name, got_value);
	assert_string_equal(got_name, lowered);
	assert_string_equal(got_value, value);
	return line;
}

static void test_lines(void **state)
{
	static char large[60001];

	(void)state;
	/* In the table as a whole: a byte, or two. */
	assert_int_equal(check_line("Content-Type", "content-type", "application/json"), 1);
	assert_int_equal(check_line("Vary", "vary", "accept-encoding"), 1);
	assert_int_equal(check_line("X-Frame-Options", "x-frame-options", "sameorigin"), 2);
	/* By name. */
	assert_int_equal(check_line("content-length", "content-length", "13"), 4);
	assert_int_equal(check_line("ETag", "etag", "\"x\""), 5);
	assert_int_equal(check_line("server", "server", "tako"), 7);
	assert_int_equal(check_line("Vary", "vary", "Origin"), 9);
	/* Not at all. */
	assert_int_equal(check_line("X-Y", "x-y", "z"), 6);
	assert_int_equal(check_line("X", "x", ""), 3);
	assert_int_equal(
		check_line("x-a-name-of-thirty-characters!", "x-a-name-of-thirty-characters!", "z"),
		34);
	memset(large, 'v', sizeof large - 1);
	(void)check_line("x-large", "x-large", large);
	(void)check_line("Server", "server", large);
}

/* Every entry that the writer knows is the one that readers have at that place: found by trying all
 * fields of responses that appendix A has. */
static void test_the_whole_table(void **state)
{
	static const char *const lines[][2] = {
		{"age", "0"},
		{"content-length", "0"},
		{"accept-ranges", "bytes"},
		{"access-control-allow-headers", "cache-control"},
		{"access-control-allow-headers", "content-type"},
		{"access-control-allow-headers", "*"},
		{"access-control-allow-origin", "*"},
		{"access-control-allow-credentials", "FALSE"},
		{"access-control-allow-credentials", "TRUE"},
		{"access-control-allow-methods", "get"},
		{"access-control-allow-methods", "get, post, options"},
		{"access-control-allow-methods", "options"},
		{"access-control-expose-headers", "content-length"},
		{"alt-svc", "clear"},
		{"cache-control", "max-age=0"},
		{"cache-control", "max-age=2592000"},
		{"cache-control", "max-age=604800"},
		{"cache-control", "no-cache"},
		{"cache-control", "no-store"},
		{"cache-control", "public, max-age=31536000"},
		{"content-encoding", "br"},
		{"content-encoding", "gzip"},
		{"content-security-policy",
	         "script-src 'none'; object-src 'none'; base-uri 'none'"},
		{"content-type", "application/dns-message"},
		{"content-type", "application/javascript"},
		{"content-type", "application/json"},
		{"content-type", "application/x-www-form-urlencoded"},
		{"content-type", "image/gif"},
		{"content-type", "image/jpeg"},
		{"content-type", "image/png"},
		{"content-type", "text/css"},
		{"content-type", "text/html; charset=utf-8"},
		{"content-type", "text/plain"},
		{"content-type", "text/plain;charset=utf-8"},
		{"early-data", "1"},
		{"strict-transport-security", "max-age=31536000"},
		{"strict-transport-security", "max-age=31536000; includesubdomains"},
		{"strict-transport-security", "max-age=31536000; includesubdomains; preload"},
		{"timing-allow-origin", "*"},
		{"vary", "accept-encoding"},
		{"vary", "origin"},
		{"x-content-type-options", "nosniff"},
		{"x-frame-options", "deny"},
		{"x-frame-options", "sameorigin"},
		{"x-xss-protection", "1; mode=block"},
	};
	static const char *const names[] = {"content-disposition", "date",  "etag",
	                                    "last-modified",       "link",  "location",
	                                    "set-cookie",          "server"};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		assert_true(check_line(lines[i][0], lines[i][0], lines[i][1]) <= 2);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_true(check_line(names[i], names[i], "v") <= 4);
}

static void test_statuses(void **state)
{
	char text[TAKO__H3_PREFIX_BYTES + TAKO__H3_STATUS_BYTES];
	char name[16];
	char value[16];

	(void)state;
	for (int status = 100; status < 600; status++) {
		size_t n = tako__h3_qpack_prefix(text);
		char want[16];

		n += tako__h3_qpack_status(text + n, status);
		assert_true(n <= sizeof text);
		snprintf(want, sizeof want, "%d", status);
		decode(text, n, name, value);
		assert_string_equal(name, ":status");
		assert_string_equal(value, want);
	}
}

static bool says(const char *p, size_t n)
{
	struct tako__h3_decoder_stream d = {0};
	bool whole = tako__h3_decoder_stream_read(&d, p, n);
	struct tako__h3_decoder_stream cut = {0};
	bool ok = true;

	for (size_t i = 0; i < n && ok; i++)
		ok = tako__h3_decoder_stream_read(&cut, p + i, 1);
	assert_true(ok == whole);
	return whole;
}

static void test_decoder_stream(void **state)
{
	(void)state;
	/* Streams 4, 63 and 200 are cancelled. */
	assert_true(says("\x44\x7f\0\x7f\x89\x01", 6));
	assert_false(says("\x80", 1));
	assert_false(says("\x44\xff", 2));
	assert_false(says("\x01", 1));
	assert_false(says("\0", 1));
	/* No stream has such an id. */
	assert_false(says("\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10));
	assert_false(says("\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_the_whole_table),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_decoder_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

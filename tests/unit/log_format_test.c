/* SPDX-License-Identifier: MIT
 *
 * Lines of the access log: how they look, and that nothing a peer sends can end a field or
 * a line, or make one longer than its bound.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/log_format.h"

/* Sun, 06 Nov 1994 08:49:37.042 GMT */
#define SOME_TIME_MS UINT64_C(784111777042)

static const tako_access full = {
	.size = sizeof(full),
	.method = {"GET", 3},
	.path = {"/users/7", 8},
	.pattern = {"/users/{id}", 11},
	.host = {"example.org", 11},
	.user_agent = {"curl/8.0", 8},
	.referer = {"https://example.org/", 20},
	.request_id = {"abc-1", 5},
	.peer = "192.0.2.1:4711",
	.wall_time_ms = SOME_TIME_MS,
	.duration_ns = 1234567,
	.received_bytes = 12,
	.sent_bytes = 3456,
	.status = 200,
	.version = 11,
	.connection_request = 2,
};

static void expect(const tako_access *a, uint32_t format, const char *line)
{
	char buf[TAKO__LOG_LINE_MAX + 1];
	size_t n = tako__log_format(buf, sizeof(buf) - 1, a, format);

	buf[n] = '\0';
	assert_string_equal(buf, line);
}

static void test_text(void **state)
{
	tako_access a = full;

	(void)state;
	expect(&a, TAKO_LOG_TEXT,
	       "192.0.2.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /users/7 HTTP/1.1\" 200 3456 "
	       "\"https://example.org/\" \"curl/8.0\" 1234");
	a.peer = "[2001:db8::1]:4711";
	a.version = 20;
	a.sent_bytes = 0;
	a.wall_time_ms = UINT64_C(951782400000); /* a leap day */
	a.duration_ns = 999;
	expect(&a, TAKO_LOG_TEXT,
	       "2001:db8::1 - - [29/Feb/2000:00:00:00 +0000] \"GET /users/7 HTTP/2.0\" 200 - "
	       "\"https://example.org/\" \"curl/8.0\" 0");
	/* Who connected is not the client. */
	a.client = "[2001:db8::2]";
	expect(&a, TAKO_LOG_TEXT,
	       "2001:db8::2 - - [29/Feb/2000:00:00:00 +0000] \"GET /users/7 HTTP/2.0\" 200 - "
	       "\"https://example.org/\" \"curl/8.0\" 0");
	a.client = NULL;
	a.peer = "unix:";
	a.version = 0;
	expect(&a, TAKO_LOG_TEXT,
	       "unix: - - [29/Feb/2000:00:00:00 +0000] \"GET /users/7\" 200 - "
	       "\"https://example.org/\" \"curl/8.0\" 0");
}

/* What the parser refused, or what was never answered. */
static void test_absent(void **state)
{
	tako_access a = {.size = sizeof(a), .peer = "-", .error = TAKO_EPROTO};

	(void)state;
	expect(&a, TAKO_LOG_TEXT, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - - \"-\" \"-\" 0");
	expect(&a, TAKO_LOG_JSON,
	       "{\"time\":\"1970-01-01T00:00:00.000Z\",\"peer\":\"-\",\"method\":null,"
	       "\"path\":null,\"pattern\":null,\"host\":null,\"version\":0,\"status\":0,"
	       "\"error\":-7,\"received_bytes\":0,\"sent_bytes\":0,\"duration_ns\":0,"
	       "\"connection_request\":0,\"user_agent\":null,\"referer\":null,"
	       "\"request_id\":null}");
}

static void test_json(void **state)
{
	tako_access a = full;

	(void)state;
	expect(&a, TAKO_LOG_JSON,
	       "{\"time\":\"1994-11-06T08:49:37.042Z\",\"peer\":\"192.0.2.1:4711\","
	       "\"method\":\"GET\",\"path\":\"/users/7\",\"pattern\":\"/users/{id}\","
	       "\"host\":\"example.org\",\"version\":11,\"status\":200,\"error\":0,"
	       "\"received_bytes\":12,\"sent_bytes\":3456,\"duration_ns\":1234567,"
	       "\"connection_request\":2,\"user_agent\":\"curl/8.0\","
	       "\"referer\":\"https://example.org/\",\"request_id\":\"abc-1\"}");
	a = (tako_access){
		.size = sizeof(a),
		.client = "_x",
		.method = {"", 0}, /* empty is not absent */
		.peer = "[::1]:1",
		.wall_time_ms = UINT64_C(1735689599999),
		.duration_ns = UINT64_MAX,
		.received_bytes = UINT64_MAX,
		.sent_bytes = UINT64_MAX,
		.status = INT32_MIN,
		.version = INT32_MAX,
		.connection_request = UINT32_MAX,
	};
	expect(&a, TAKO_LOG_JSON,
	       "{\"time\":\"2024-12-31T23:59:59.999Z\",\"peer\":\"[::1]:1\",\"client\":\"_x\","
	       "\"method\":\"\","
	       "\"path\":null,\"pattern\":null,\"host\":null,\"version\":2147483647,"
	       "\"status\":-2147483648,\"error\":0,\"received_bytes\":18446744073709551615,"
	       "\"sent_bytes\":18446744073709551615,\"duration_ns\":18446744073709551615,"
	       "\"connection_request\":4294967295,\"user_agent\":null,\"referer\":null,"
	       "\"request_id\":null}");
}

/* ---- Hostile text ------------------------------------------------------------------ */

static void test_hostile(void **state)
{
	tako_access a = {.size = sizeof(a), .peer = "-", .version = 11, .status = 400};

	(void)state;
	a.method = TAKO_STR("A\"B");
	a.path = TAKO_STR("/\r\n1.2.3.4 - - \\\xff\x01");
	a.user_agent = TAKO_STR("\x1b[2J\" 200 \"\x7f\xe2\x82\xac");
	a.referer = TAKO_STR("\0");
	expect(&a, TAKO_LOG_TEXT,
	       "- - - [01/Jan/1970:00:00:00 +0000] "
	       "\"A\\\"B /\\x0d\\x0a1.2.3.4 - - \\\\\\xff\\x01 HTTP/1.1\" 400 - \"\\x00\" "
	       "\"\\x1b[2J\\\" 200 \\\"\\x7f\\xe2\\x82\\xac\" 0");
	expect(&a, TAKO_LOG_JSON,
	       "{\"time\":\"1970-01-01T00:00:00.000Z\",\"peer\":\"-\",\"method\":\"A\\\"B\","
	       "\"path\":\"/\\r\\n1.2.3.4 - - \\\\\\ufffd\\u0001\",\"pattern\":null,"
	       "\"host\":null,\"version\":11,\"status\":400,\"error\":0,\"received_bytes\":0,"
	       "\"sent_bytes\":0,\"duration_ns\":0,\"connection_request\":0,"
	       "\"user_agent\":\"\\u001b[2J\\\" 200 \\\"\\u007f\xe2\x82\xac\","
	       "\"referer\":\"\\u0000\",\"request_id\":null}");
}

/* Quotes that a reader of the line would take for the ends of strings. */
static unsigned bare_quotes(const char *line, size_t n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++) {
		if (line[i] == '\\')
			i++;
		else if (line[i] == '"')
			count++;
	}
	return count;
}

static bool printable(const char *line, size_t n, bool ascii)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c < 0x20 || c == 0x7f || (ascii && c > 0x7f))
			return false;
	}
	return true;
}

/* Random bytes, short and far too long, in every field at once: lines keep their shape and
 * their bound. */
static void test_random(void **state)
{
	static char noise[65536];
	static char buf[TAKO__LOG_LINE_MAX];

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (char)(rand() >> 7);
	for (unsigned round = 0; round < 2000; round++) {
		tako_access a = full;
		tako_str *fields[] = {&a.method,     &a.path,    &a.pattern,   &a.host,
		                      &a.user_agent, &a.referer, &a.request_id};
		char peer[200] = "";
		size_t n;

		for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
			size_t len = (size_t)rand() % (round % 2 ? 20000 : 12) + 1;

			*fields[i] = (tako_str){noise + (size_t)rand() % (sizeof(noise) - len),
			                        len};
		}
		memcpy(peer, noise + (size_t)rand() % 60000, sizeof(peer) - 1);
		a.peer = peer;
		n = tako__log_format(buf, sizeof(buf), &a, TAKO_LOG_TEXT);
		assert_true(n > 0);
		assert_true(printable(buf, n, true));
		assert_int_equal(bare_quotes(buf, n), 6);
		n = tako__log_format(buf, sizeof(buf), &a, TAKO_LOG_JSON);
		assert_true(n > 0);
		assert_true(printable(buf, n, false));
		/* 16 names, 9 values that are strings. */
		assert_int_equal(bare_quotes(buf, n), 2 * (16 + 9));
	}
}

/* The length of what stands between two texts. */
static size_t between(const char *line, const char *before, const char *behind)
{
	const char *from = strstr(line, before);
	const char *to = from ? strstr(from, behind) : NULL;

	assert_non_null(to);
	return (size_t)(to - from) - strlen(before);
}

/* A long path takes what is meant for paths and says so, wherever its escapes begin; the
 * fields behind it are there. */
static void test_cut(void **state)
{
	enum { PATH_LIMIT = 4096 };
	static char path[20000];
	static char buf[TAKO__LOG_LINE_MAX + 1];
	tako_access a = full;

	(void)state;
	a.path = (tako_str){path, sizeof(path)};
	for (size_t plain = 0; plain < 16; plain++) {
		size_t n;

		memset(path, 'p', plain);
		memset(path + plain, plain < 8 ? 1 : '~', sizeof(path) - plain);
		n = tako__log_format(buf, sizeof(buf) - 1, &a, TAKO_LOG_TEXT);
		buf[n] = '\0';
		n = between(buf, "] \"GET ",
		            "... HTTP/1.1\" 200 3456 \"https://example.org/\" "
		            "\"curl/8.0\" 1234");
		assert_in_range(n + 3, PATH_LIMIT - 6, PATH_LIMIT);
		n = tako__log_format(buf, sizeof(buf) - 1, &a, TAKO_LOG_JSON);
		buf[n] = '\0';
		n = between(buf, "\"path\":\"", "...\",\"pattern\":\"/users/{id}\",");
		assert_in_range(n + 3, PATH_LIMIT - 6, PATH_LIMIT);
	}
}

/* What does not fit the caller's buffer is not written at all. */
static void test_too_small(void **state)
{
	char buf[TAKO__LOG_LINE_MAX];
	size_t n = tako__log_format(buf, sizeof(buf), &full, TAKO_LOG_TEXT);

	(void)state;
	assert_true(n > 0 && n < sizeof(buf));
	memset(buf, '#', sizeof(buf));
	assert_int_equal(tako__log_format(buf, n - 1, &full, TAKO_LOG_TEXT), 0);
	assert_int_equal(buf[0], '#');
	assert_int_equal(tako__log_format(buf, n, &full, TAKO_LOG_TEXT), n);
	assert_int_not_equal(buf[n - 1], '#');
	assert_int_equal(buf[n], '#');
}

/* The text of a second is kept, and renewed when another one comes, also an earlier one. */
static void test_date_cache(void **state)
{
	static const struct {
		uint64_t ms;
		const char *clf;
	} steps[] = {{999, "01/Jan/1970:00:00:00"},
	             {1000, "01/Jan/1970:00:00:01"},
	             {1999, "01/Jan/1970:00:00:01"},
	             {0, "01/Jan/1970:00:00:00"},
	             {SOME_TIME_MS, "06/Nov/1994:08:49:37"},
	             {SOME_TIME_MS + 957, "06/Nov/1994:08:49:37"},
	             {SOME_TIME_MS + 958, "06/Nov/1994:08:49:38"}};
	struct tako__log_date date = {0};
	char buf[TAKO__LOG_LINE_MAX];
	tako_access a = full;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(steps); i++) {
		a.wall_time_ms = steps[i].ms;
		tako__log_line(buf, &a, TAKO_LOG_TEXT, &date);
		assert_memory_equal(strchr(buf, '[') + 1, steps[i].clf, strlen(steps[i].clf));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),      cmocka_unit_test(test_absent),
		cmocka_unit_test(test_json),      cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_random),    cmocka_unit_test(test_cut),
		cmocka_unit_test(test_too_small), cmocka_unit_test(test_date_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

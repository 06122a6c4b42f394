/* SPDX-License-Identifier: MIT
 *
 * Byte classes, and that each instruction set finds in them what a plain loop finds, and
 * parses what the portable parser parses, wherever the bytes lie in memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "h1_util.h"

#define ALNUM "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static const char *const classes[TAKO__H1_NIB_COUNT] = {
	[TAKO__H1_NIB_TOKEN] = ALNUM "!#$%&'*+-.^_`|~",
	[TAKO__H1_NIB_HOST] = ALNUM "-._~!$&'()*+,;=",
	[TAKO__H1_NIB_TARGET] = ALNUM "-._~%!$&'()*+,;=:@/?[]\\^`{|}",
	[TAKO__H1_NIB_PLAIN] = ALNUM "-_~!$&'()*+,;=:@/[]\\^`{|}",
};

/* The same for looking up. */
static bool members[TAKO__H1_NIB_COUNT][256];

static bool in_class(char c, unsigned kind)
{
	return members[kind][(unsigned char)c];
}

static int fill_members(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < TAKO__H1_NIB_COUNT; kind++) {
		for (const char *c = classes[kind]; *c; c++)
			members[kind][(unsigned char)*c] = true;
	}
	return 0;
}

/* A small generator of our own: the same sequence everywhere. */
static uint64_t random_state;

static unsigned random_below(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % n;
}

static void test_tables(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		for (unsigned kind = 0; kind < TAKO__H1_NIB_COUNT; kind++) {
			bool in = in_class((char)c, kind);
			const uint8_t *nibbles = tako__h1_constants[kind];

			assert_int_equal(tako__h1_is((char)c, 1u << kind), in);
			if (c < 128)
				assert_int_equal(nibbles[c & 15] >> (c >> 4) & 1, in);
			assert_int_equal(nibbles[c & 15], nibbles[(c & 15) + 16]);
		}
		assert_int_equal(tako__h1_is((char)c, TAKO__H1_CONTROL),
		                 (c < ' ' && c != '\t') || c == 0x7f);
	}
}

static void test_choice(void **state)
{
	(void)state;
	assert_true(tako__h1_scan_use(TAKO__H1_PORTABLE));
	assert_ptr_equal(tako__h1_isa_at(TAKO__H1_PORTABLE), &tako__h1_isa_portable);
	assert_null(tako__h1_isa_at(TAKO__H1_LEVEL_COUNT));
	assert_false(tako__h1_scan_use(TAKO__H1_LEVEL_COUNT));
#if defined(__x86_64__)
	assert_int_equal(tako__h1_isa_at(TAKO__H1_SSE42) != NULL,
	                 __builtin_cpu_supports("sse4.2") != 0);
	assert_int_equal(tako__h1_isa_at(TAKO__H1_AVX2) != NULL,
	                 __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
	                         __builtin_cpu_supports("bmi2"));
#endif
}

/* ---- Scans ------------------------------------------------------------------ */

static size_t plain_skip(unsigned kind, const char *p, size_t i, size_t n)
{
	while (i < n && in_class(p[i], kind))
		i++;
	return i;
}

static void plain_target(const char *p, size_t i, size_t n, struct tako__h1_marks *out)
{
	out->end = plain_skip(TAKO__H1_NIB_TARGET, p, i, n);
	out->query = i;
	while (out->query < out->end && p[out->query] != '?')
		out->query++;
	out->flags = 0;
	for (size_t k = i; k < out->query; k++) {
		if (p[k] == '%')
			out->flags |= TAKO__PATH_ESCAPED;
		if (p[k] == '.' && k > i && p[k - 1] == '/')
			out->flags |= TAKO__PATH_DOTS;
	}
}

/* Bytes at p[0..n), which end at an unmapped page, from every start. */
static void compare_scans(const struct tako__h1_isa *isa, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct tako__h1_marks want;
		struct tako__h1_marks got;

		for (unsigned kind = 0; kind < TAKO__H1_NIB_COUNT; kind++)
			assert_int_equal(isa->span((enum tako__h1_nibble)kind, p, i, n),
			                 plain_skip(kind, p, i, n));
		plain_target(p, i, n, &want);
		isa->target(p, i, n, &got);
		assert_int_equal(got.end, want.end);
		assert_int_equal(got.query, want.query);
		assert_int_equal(got.flags, want.flags);
	}
}

static void compare_scans_at_each_level(const char *bytes, size_t n)
{
	for (int level = 0; level < TAKO__H1_LEVEL_COUNT; level++) {
		const struct tako__h1_isa *isa = tako__h1_isa_at((enum tako__h1_level)level);

		if (isa && n >= isa->min_bytes)
			compare_scans(isa, guarded(bytes, n), n);
	}
}

/* One odd byte at each place of an otherwise uniform run. */
static void test_one_stop(void **state)
{
	static const char odd[] = {' ', '?', '%', '.', '/', '\r', '\x7f', '\x80', '\0', ':'};
	char bytes[150];

	(void)state;
	for (size_t n = 16; n <= 140; n += n < 70 ? 1 : 23) {
		for (size_t k = 0; k < n; k += 1 + n / 40) {
			memset(bytes, 'a', n);
			bytes[k] = odd[(n + k) % sizeof(odd)];
			if (k)
				bytes[k - 1] = '/';
			compare_scans_at_each_level(bytes, n);
		}
	}
}

static void test_random_scans(void **state)
{
	static const char alphabet[] = "aaaaaaaaaaaaaaaabcZ019-_//..%? \t\r\n:#\x7f\x80\xff";
	char bytes[300];

	(void)state;
	random_state = 1;
	for (int round = 0; round < 600; round++) {
		/* Few kinds of bytes make long runs, many make short ones. */
		unsigned kinds = 1 + random_below(sizeof(alphabet) - 1);
		size_t n = 1 + random_below(round % 4 ? 100 : sizeof(bytes) - 1);

		for (size_t i = 0; i < n; i++)
			bytes[i] = alphabet[random_below(kinds)];
		compare_scans_at_each_level(bytes, n);
	}
}

/* ---- Whole heads -------------------------------------------------------------- */

static struct tako__field fields[FIELDS_MAX];
static char want_text[16 * 1024];
static char got_text[16 * 1024];

static void compare_parse(const char *bytes, size_t n)
{
	struct tako__h1_head h = {.fields = fields};
	const char *p = guarded(bytes, n);
	int want = tako__h1_isa_portable.parse(&h, p, n, &usual_limits);

	want_text[0] = got_text[0] = '\0';
	if (want > 0)
		show_head(&h, want_text, sizeof(want_text));
	for (int level = 1; level < TAKO__H1_LEVEL_COUNT; level++) {
		const struct tako__h1_isa *isa = tako__h1_isa_at((enum tako__h1_level)level);

		if (!isa)
			continue;
		memset(fields, 0xee, sizeof(fields));
		memset(&h, 0xee, offsetof(struct tako__h1_head, fields));
		assert_int_equal(isa->parse(&h, p, n, &usual_limits), want);
		if (want > 0) {
			show_head(&h, got_text, sizeof(got_text));
			assert_string_equal(got_text, want_text);
		}
	}
}

static size_t append(char *out, size_t n, const char *text)
{
	memcpy(out + n, text, strlen(text));
	return n + strlen(text);
}

static size_t append_run(char *out, size_t n, const char *alphabet, unsigned most)
{
	for (unsigned left = random_below(most + 1); left; left--)
		out[n++] = alphabet[random_below((unsigned)strlen(alphabet))];
	return n;
}

static size_t random_head(char *out)
{
	static const char *const starts[] = {"GET /",   "GET /",     "GET /",
	                                     "POST /",  "HEAD /",    "OPTIONS /",
	                                     "PURGE /", "CONNECT /", "GET http://"};
	static const char *const names[] = {"Host",
	                                    "Connection",
	                                    "Content-Length",
	                                    "Transfer-Encoding",
	                                    "Expect",
	                                    "Upgrade",
	                                    "Accept",
	                                    "TE",
	                                    "User-Agent",
	                                    "Cookie",
	                                    "X",
	                                    "Hosu"};
	static const char *const values[] = {"keep-alive", "close",        "Upgrade",  "chunked",
	                                     "12",         "100-continue", "h:80",     "",
	                                     "trailers",   "a\tb",         "\xc3\xa9", "h"};
	size_t n = append(out, 0, starts[random_below(9)]);

	n = append_run(out, n, "abcdefghij/ab.%?", random_below(4) ? 12 : 150);
	n = append(out, n, random_below(8) ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n");
	n = append(out, n, random_below(16) ? "Host: " : "X-Host: ");
	n = append_run(out, n, "abcdefgh.-", random_below(8) ? 20 : 80);
	n = append(out, n, random_below(2) ? "\r\n" : ":8080\r\n");
	for (unsigned left = random_below(14); left; left--) {
		if (random_below(3))
			n = append(out, n, names[1 + random_below(11)]);
		else
			n = append_run(out, n, "abcdeABCDE-_09", 40);
		n = append(out, n, random_below(6) ? ": " : random_below(2) ? ":" : ": \t ");
		if (random_below(3))
			n = append_run(out, n, "abcdefghijklmnop qrstu,;=/",
			               random_below(3) ? 40 : 200);
		else
			n = append(out, n, values[random_below(12)]);
		n = append(out, n, random_below(12) ? "\r\n" : "  \r\n");
	}
	return append(out, n, "\r\n");
}

/* Heads that are mostly right, then the same with one byte changed, cut or doubled. */
static void test_random_heads(void **state)
{
	static const char nasty[] = "\r\n\t :\0\x7f\x80\xff#?%/.,aA0";
	static char text[8 * 1024];
	int accepted = 0;

	(void)state;
	random_state = 2;
	for (int round = 0; round < 3000; round++) {
		size_t n = random_head(text);

		compare_parse(text, n);
		accepted += want_text[0] != '\0';
		compare_parse(text, random_below((unsigned)n));
		for (int change = 0; change < 6; change++) {
			size_t at = random_below((unsigned)n);
			char old = text[at];

			text[at] = nasty[random_below(sizeof(nasty) - 1)];
			compare_parse(text, n);
			text[at] = old;
		}
		memmove(text + n / 2 + 1, text + n / 2, n - n / 2);
		compare_parse(text, n + 1);
	}
	/* Else the comparison is one of refusals only. */
	assert_true(accepted > 750);
}

/* A line break at each distance from the start of a block: CR and LF may be in two. */
static void test_block_edges(void **state)
{
	static char text[1024];

	(void)state;
	for (size_t first = 0; first < 140; first++) {
		for (size_t second = 0; second < 70; second += 3) {
			size_t n = append(text, 0, "GET / HTTP/1.1\r\nHost: h\r\nX: ");

			memset(text + n, 'x', first);
			n = append(text, n + first, "\r\nY:");
			memset(text + n, 'y', second);
			n = append(text, n + second, "\r\n\r\n");
			compare_parse(text, n);
			assert_true(want_text[0]);
		}
	}
}

/* The first parse of several threads at once: each chooses, none sees half a choice. */
static void *parse_once(void *arg)
{
	static const char text[] = "GET /a HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
	struct tako__field room[4];
	struct tako__h1_head h = {.fields = room};
	static const struct tako__h1_limits lim = {1000, 100, 4};

	*(int *)arg = tako__h1_head_parse(&h, text, sizeof(text) - 1, 0, &lim);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t thread[4];
	int res[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, parse_once, &res[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(res[i], 41);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Must come first: nothing is chosen yet. */
		cmocka_unit_test(test_threads),      cmocka_unit_test(test_tables),
		cmocka_unit_test(test_choice),       cmocka_unit_test(test_one_stop),
		cmocka_unit_test(test_random_scans), cmocka_unit_test(test_random_heads),
		cmocka_unit_test(test_block_edges),
	};

	return cmocka_run_group_tests(tests, fill_members, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Normalising paths: RFC 3986 sections 2.1, 2.4, 5.2.4, 5.4 and 6.2.2.3, marks for encoded
 * slashes, and agreement with a slow and obvious version on random input.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tako/base.h>

#include "core/path.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define S(lit) lit, sizeof(lit) - 1

/* Into a block of exactly n bytes, so that a checker of memory sees any excess; and in place,
 * which must give the same. */
static int normalise(char *out, size_t *out_n, const char *src, size_t n)
{
	char *exact = malloc(n ? n : 1);
	char *place = malloc(n ? n : 1);
	size_t place_n = 0;
	int place_rc;
	int rc;

	assert_non_null(exact);
	assert_non_null(place);
	memcpy(place, src, n);
	rc = tako__path_normalise(exact, out_n, src, n);
	place_rc = tako__path_normalise(place, &place_n, place, n);
	assert_int_equal(rc, place_rc);
	if (rc >= 0) {
		assert_true(*out_n <= n);
		assert_int_equal(*out_n, place_n);
		assert_memory_equal(exact, place, place_n);
		memcpy(out, exact, *out_n);
	}
	free(exact);
	free(place);
	return rc;
}

struct good {
	const char *src;
	size_t src_n;
	const char *want;
	size_t want_n;
	int rc;
};

static const struct good good[] = {
	{S("/"), S("/"), 0},
	{S("/a"), S("/a"), 0},
	{S("/a/"), S("/a/"), 0},
	{S("//"), S("//"), 0},
	{S("/a//b"), S("/a//b"), 0},
	/* RFC 3986 section 5.2.4: its example, and each rule at the end and inside. */
	{S("/a/b/c/./../../g"), S("/a/g"), 0},
	{S("/."), S("/"), 0},
	{S("/./"), S("/"), 0},
	{S("/a/."), S("/a/"), 0},
	{S("/a/./b"), S("/a/b"), 0},
	{S("/a/.."), S("/"), 0},
	{S("/a/../"), S("/"), 0},
	{S("/a/../b"), S("/b"), 0},
	{S("/a/b/.."), S("/a/"), 0},
	{S("/a/b/../c"), S("/a/c"), 0},
	{S("/a/b/../../.."), S("/"), 0},
	{S("/a//.."), S("/a/"), 0},
	{S("/a//../b"), S("/a/b"), 0},
	{S("//.."), S("/"), 0},
	{S("//../a"), S("/a"), 0},
	/* Section 5.4.2: never above the root. */
	{S("/.."), S("/"), 0},
	{S("/../"), S("/"), 0},
	{S("/../g"), S("/g"), 0},
	{S("/../../../g"), S("/g"), 0},
	{S("/a/../../../../g/h"), S("/g/h"), 0},
	/* … and what only looks like dot segments. */
	{S("/g."), S("/g."), 0},
	{S("/.g"), S("/.g"), 0},
	{S("/g.."), S("/g.."), 0},
	{S("/..g"), S("/..g"), 0},
	{S("/..."), S("/..."), 0},
	{S("/a/.../b"), S("/a/.../b"), 0},
	{S("/.well-known/x"), S("/.well-known/x"), 0},
	/* Section 2.1: escapes, in either case, once (section 2.4). */
	{S("/%41%62%7e"), S("/Ab~"), 0},
	{S("/a%20b"), S("/a b"), 0},
	{S("/%C3%BC%c3%bc"), S("/\xc3\xbc\xc3\xbc"), 0},
	{S("/%2541"), S("/%41"), 0},
	{S("/%252F"), S("/%2F"), 0},
	{S("/%25"), S("/%"), 0},
	{S("/a%3Fb%23c"), S("/a?b#c"), 0},
	{S("/a%5C..%5Cb"), S("/a\\..\\b"), 0},
	{S("/%01%7f%ff"), S("/\x01\x7f\xff"), 0},
	/* Section 6.2.2.3 after 6.2.2.2: an encoded dot is a dot. */
	{S("/a/%2e%2e/b"), S("/b"), 0},
	{S("/a/%2E./b"), S("/b"), 0},
	{S("/a/.%2e/b"), S("/b"), 0},
	{S("/a/%2e/b"), S("/a/b"), 0},
	{S("/%2e%2e/%2e%2e/etc"), S("/etc"), 0},
	{S("/%252e%252e/a"), S("/%2e%2e/a"), 0},
	/* Section 2.2: an encoded slash separates nothing, so makes no dot segment. */
	{S("/a%2Fb"), S("/a\0b"), 1},
	{S("/a%2fb/c"), S("/a\0b/c"), 1},
	{S("/%2F"), S("/\0"), 1},
	{S("/..%2F"), S("/..\0"), 1},
	{S("/..%2f..%2fetc"), S("/..\0..\0etc"), 1},
	{S("/a/%2e%2e%2fb"), S("/a/..\0b"), 1},
	{S("/%2F.."), S("/\0.."), 1},
	{S("/%2F/.."), S("/"), 0},
	{S("/a%2Fb/../c"), S("/c"), 0},
	{S("/a%2Fb/../c%2Fd"), S("/c\0d"), 1},
	{S("/x/a%2Fb/.."), S("/x/"), 0},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		char out[64];
		size_t n = 0;
		int rc = normalise(out, &n, good[i].src, good[i].src_n);

		if (rc != good[i].rc || n != good[i].want_n || memcmp(out, good[i].want, n) != 0)
			fail_msg("%s: rc %d, %zu bytes", good[i].src, rc, n);
	}
}

static const struct {
	const char *src;
	size_t n;
} bad[] = {
	/* RFC 3986 section 2.1: '%' and two hexadecimal digits, nothing else. */
	{S("/%")},
	{S("/%4")},
	{S("/%4/")},
	{S("/%g0")},
	{S("/%0g")},
	{S("/%%41")},
	{S("/%-1")},
	{S("/% 1")},
	{S("/%u0041")},
	{S("/a/%zz/../b")},
	/* A NUL would be taken for a mark, and cuts strings short (section 7.3). */
	{S("/%00")},
	{S("/a%00.png")},
	{S("/a/%00/../b")},
	{S("/a\0b")},
	{S("/\0")},
	/* Not an absolute path (RFC 9112 section 3.2.1). */
	{S("")},
	{S("*")},
	{S("a/b")},
	{S("../a")},
	{S("%2Fa")},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char out[64];
		size_t n = 99;

		if (normalise(out, &n, bad[i].src, bad[i].n) != TAKO_EINVAL)
			fail_msg("%s: accepted", bad[i].src);
	}
}

/* An escape cut off by the end must not be completed from the bytes behind it. */
static void test_cut_escape(void **state)
{
	char out[8];
	size_t n = 0;

	(void)state;
	assert_int_equal(tako__path_normalise(out, &n, "/%41", 3), TAKO_EINVAL);
	assert_int_equal(tako__path_normalise(out, &n, "/%41", 2), TAKO_EINVAL);
	assert_int_equal(tako__path_normalise(out, &n, "/%41", 1), 0);
}

/* ---- The obvious version: decode to a list of segments, then drop them ------ */

struct slow {
	char seg[64][64];
	size_t len[64];
	size_t count;
};

static bool slow_split(struct slow *s, const char *src, size_t n)
{
	memset(s, 0, sizeof(*s));
	if (!n || src[0] != '/')
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned v = (unsigned char)src[i];
		char text[3] = {0};
		char *end;

		if (v == '/') {
			s->count++;
			continue;
		}
		if (v == '%') {
			if (n - i < 3 || !strchr("0123456789abcdefABCDEF", src[i + 1]) ||
			    !strchr("0123456789abcdefABCDEF", src[i + 2]) || !src[i + 1] ||
			    !src[i + 2])
				return false;
			memcpy(text, src + i + 1, 2);
			v = (unsigned)strtoul(text, &end, 16);
			i += 2;
			if (v == '/')
				v = 256;
		}
		if (!v)
			return false;
		s->seg[s->count - 1][s->len[s->count - 1]++] = (char)(v == 256 ? 0 : v);
	}
	return true;
}

static bool slow_is(const struct slow *s, size_t i, const char *text)
{
	return s->len[i] == strlen(text) && !memcmp(s->seg[i], text, s->len[i]);
}

static size_t slow_join(const struct slow *s, char *out)
{
	size_t keep[64];
	size_t kept = 0;
	size_t n = 0;
	bool slash_at_end = false;

	for (size_t i = 0; i < s->count; i++) {
		slash_at_end = true;
		if (slow_is(s, i, "..")) {
			kept -= kept > 0;
		} else if (!slow_is(s, i, ".")) {
			keep[kept++] = i;
			slash_at_end = false;
		}
	}
	for (size_t i = 0; i < kept; i++) {
		out[n++] = '/';
		memcpy(out + n, s->seg[keep[i]], s->len[keep[i]]);
		n += s->len[keep[i]];
	}
	if (slash_at_end)
		out[n++] = '/';
	return n;
}

static uint32_t seed = 1;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)seed * n >> 32);
}

static void test_random(void **state)
{
	static const char *const pieces[] = {"/",  "/",   "/",    ".",      ".",
	                                     "a",  "%2e", "%2F",  "%41",    "%25",
	                                     "..", "/..", "/../", "%2E%2e", "b"};
	unsigned accepted = 0;

	(void)state;
	for (unsigned round = 0; round < 100000; round++) {
		char src[64] = "/";
		size_t n = 1;
		char want[128];
		char got[64];
		size_t got_n = 0;
		struct slow s;
		bool ok;
		int rc;

		for (uint32_t k = random_below(9); k; k--) {
			const char *piece = pieces[random_below(COUNT(pieces))];

			n += (size_t)snprintf(src + n, sizeof(src) - n, "%s", piece);
		}
		if (!random_below(16))
			src[random_below((uint32_t)n)] = (char)random_below(256);
		ok = slow_split(&s, src, n);
		rc = normalise(got, &got_n, src, n);
		assert_int_equal(rc >= 0, ok);
		if (!ok)
			continue;
		accepted++;
		assert_int_equal(got_n, slow_join(&s, want));
		assert_memory_equal(got, want, got_n);
		assert_int_equal(rc, memchr(want, 0, got_n) != NULL);
	}
	assert_true(accepted > 50000);
}

/* ---- Marks ------------------------------------------------------------------- */

static void test_unmark(void **state)
{
	char text[] = "\0a/b\0\0c";

	(void)state;
	tako__path_unmark(text, 6);
	assert_memory_equal(text, "/a/b//c", 8);
	tako__path_unmark(text, 0);
	tako__path_unmark(NULL, 0);
}

static void test_show(void **state)
{
	char out[32];

	(void)state;
	assert_int_equal(tako__path_show(out, S("/a\0b/\0")), 10);
	assert_memory_equal(out, "/a%2Fb/%2F", 10);
	assert_int_equal(tako__path_show(out, S("/a%2")), 4);
	assert_memory_equal(out, "/a%2", 4);
	assert_int_equal(tako__path_show(out, "", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_cut_escape), cmocka_unit_test(test_random),
		cmocka_unit_test(test_unmark),     cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

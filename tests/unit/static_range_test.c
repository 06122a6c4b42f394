/* SPDX-License-Identifier: MIT
 *
 * The Range field: its grammar, sets of ranges against a bitmap, and multipart text.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/static_range.h"

#define SIZE 1000
#define MAX 16

/* What it means, as text: "0-4 10-14", "ignored" or "none". */
static const char *meaning(const char *value, uint64_t size, unsigned max)
{
	static char text[TAKO__RANGES_MAX * 48];
	struct tako__range r[TAKO__RANGES_MAX];
	int count = tako__range_parse(tako_str_z(value), size, r, max);
	size_t n = 0;

	if (count == TAKO_ENOENT)
		return "none";
	if (count == 0)
		return "ignored";
	assert_in_range(count, 1, max);
	for (int i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%" PRIu64 "-%" PRIu64,
		                      i ? " " : "", r[i].first, r[i].first + r[i].n - 1);
	return text;
}

static void test_of_1000(void **state)
{
	static const struct {
		const char *value;
		const char *want;
	} table[] = {
		/* RFC 9110 section 14.1.2 */
		{"bytes=0-499", "0-499"},
		{"bytes=500-999", "500-999"},
		{"bytes=-500", "500-999"},
		{"bytes=9500-", "none"},
		{"bytes=0-0,-1", "0-0 999-999"},
		{"bytes= 0-0, 500-", "0-0 500-999"},
		{"bytes=0-", "0-999"},
		{"bytes=999-", "999-999"},
		{"bytes=1000-", "none"},
		{"bytes=0-999", "0-999"},
		{"bytes=0-1000", "0-999"},
		{"bytes=-1000", "0-999"},
		{"bytes=-1001", "0-999"},
		{"bytes=-0", "none"},
		{"bytes=0-0", "0-0"},
		{"bytes=007-0009", "7-9"},
		/* units, section 14.1 */
		{"Bytes=0-1", "0-1"},
		{"BYTES=0-1", "0-1"},
		{"items=0-1", "ignored"},
		{"byte=0-1", "ignored"},
		{"bytess=0-1", "ignored"},
		/* more digits than any size has */
		{"bytes=0-18446744073709551615", "0-999"},
		{"bytes=0-18446744073709551616", "0-999"},
		{"bytes=0-99999999999999999999999999", "0-999"},
		{"bytes=-99999999999999999999999999", "0-999"},
		{"bytes=99999999999999999999999999-", "none"},
		{"bytes=99999999999999999999999999-99999999999999999999999999", "none"},
		/* not the grammar, section 14.1.1 */
		{"", "ignored"},
		{"bytes", "ignored"},
		{"bytes=", "ignored"},
		{"bytes=,", "ignored"},
		{"bytes= , ,", "ignored"},
		{"bytes=-", "ignored"},
		{"bytes=--1", "ignored"},
		{"bytes=1--2", "ignored"},
		{"bytes=5", "ignored"},
		{"bytes=a-b", "ignored"},
		{"bytes=0x0-0x9", "ignored"},
		{"bytes=+0-9", "ignored"},
		{"bytes=0-+9", "ignored"},
		{"bytes=0 -9", "ignored"},
		{"bytes=0- 9", "ignored"},
		{"bytes=0-9-", "ignored"},
		{"bytes=0-9;", "ignored"},
		{"bytes =0-9", "ignored"},
		{"bytes:0-9", "ignored"},
		{"bytes 0-9", "ignored"},
		{"bytes=0-9/1000", "ignored"},
		{"bytes=0-9, bytes=20-29", "ignored"},
		{"bytes=0-9\t,\t20-29", "0-9 20-29"},
		/* last before first makes the whole invalid, sections 14.1.1 and 14.2 */
		{"bytes=9-0", "ignored"},
		{"bytes=0-9,9-0", "ignored"},
		{"bytes=2000-1999", "ignored"},
		{"bytes=0-9,x", "ignored"},
		/* empty elements, section 5.6.1.2 */
		{"bytes=,0-9,,20-29,", "0-9 20-29"},
		/* sets: one that can be had is enough */
		{"bytes=0-9,5000-", "0-9"},
		{"bytes=5000-,0-9", "0-9"},
		{"bytes=5000-,6000-7000,-0", "none"},
		/* the order asked for, section 15.3.7.2 */
		{"bytes=500-509,0-9", "500-509 0-9"},
		/* joined, section 17.15 */
		{"bytes=0-9,5-14", "0-14"},
		{"bytes=5-14,0-9", "0-14"},
		{"bytes=0-9,10-19", "0-19"},
		{"bytes=10-19,0-9", "0-19"},
		{"bytes=0-9,11-19", "0-9 11-19"},
		{"bytes=0-99,10-19", "0-99"},
		{"bytes=10-19,0-99", "0-99"},
		{"bytes=0-9,20-29,40-49,5-44", "0-49"},
		{"bytes=40-49,100-109,0-9,20-29,8-41", "0-49 100-109"},
		{"bytes=100-109,40-49,200-209,50-99", "40-109 200-209"},
		/* more than there is: the file once */
		{"bytes=0-,0-", "ignored"},
		{"bytes=0-999,0-0", "ignored"},
		{"bytes=0-499,500-999", "0-999"},
		{"bytes=0-599,400-999", "ignored"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		const char *got = meaning(table[i].value, SIZE, MAX);

		if (strcmp(got, table[i].want) != 0)
			fail_msg("\"%s\": %s, not %s", table[i].value, got, table[i].want);
	}
}

static void test_other_sizes(void **state)
{
	(void)state;
	/* Nothing of nothing: only a suffix can be had, and no Content-Range can say it. */
	assert_string_equal(meaning("bytes=0-", 0, MAX), "none");
	assert_string_equal(meaning("bytes=0-0", 0, MAX), "none");
	assert_string_equal(meaning("bytes=-0", 0, MAX), "none");
	assert_string_equal(meaning("bytes=-5", 0, MAX), "ignored");
	assert_string_equal(meaning("bytes=0-", 1, MAX), "0-0");
	assert_string_equal(meaning("bytes=-1", 1, MAX), "0-0");
	assert_string_equal(meaning("bytes=1-", 1, MAX), "none");
	assert_string_equal(meaning("bytes=0-,-1", INT64_MAX, MAX), "ignored");
	assert_string_equal(meaning("bytes=-1", INT64_MAX, MAX),
	                    "9223372036854775806-9223372036854775806");
	assert_string_equal(meaning("bytes=1-9223372036854775807,0-0", INT64_MAX, MAX),
	                    "0-9223372036854775806");
}

static void test_too_many(void **state)
{
	(void)state;
	assert_string_equal(meaning("bytes=0-0,2-2,4-4", SIZE, 3), "0-0 2-2 4-4");
	assert_string_equal(meaning("bytes=0-0,2-2,4-4,6-6", SIZE, 3), "ignored");
	/* Counted as written, not as joined: reading them is what costs. */
	assert_string_equal(meaning("bytes=0-0,1-1,2-2,3-3", SIZE, 3), "ignored");
	assert_string_equal(meaning("bytes=5000-,5000-,5000-,5000-", SIZE, 3), "ignored");
	assert_string_equal(meaning("bytes=0-0", SIZE, 0), "ignored");
	assert_string_equal(meaning("bytes=0-0,5-5", SIZE, 1), "ignored");
}

static void test_truncated(void **state)
{
	static const char whole[] = "bytes=0-9, 20-29,-5,40-";

	(void)state;
	for (size_t n = 0; n < sizeof(whole); n++) {
		char *p = test_malloc(n + !n);
		struct tako__range r[MAX];

		memcpy(p, whole, n);
		assert_in_range(tako__range_parse((tako_str){p, n}, SIZE, r, MAX) + 100, 100, 104);
		test_free(p);
	}
}

static uint32_t seed = 4711;

static unsigned below(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

enum { SMALL = 40 };

/* A random set, as text and as the bytes that it covers; returns how many it names. */
static unsigned random_set(char *text, bool covered[SMALL])
{
	unsigned count = 1 + below(5);
	unsigned sum = 0;
	size_t n = (size_t)sprintf(text, "bytes=");

	memset(covered, 0, SMALL * sizeof(*covered));
	for (unsigned i = 0; i < count; i++) {
		unsigned first = below(SMALL + 5);
		unsigned last = first + below(8);

		n += (size_t)sprintf(text + n, "%s%u-%u", i ? "," : "", first, last);
		for (unsigned k = first; k <= last && k < SMALL; k++, sum++)
			covered[k] = true;
	}
	return sum;
}

static bool apart(const struct tako__range *r, int count)
{
	for (int i = 0; i < count; i++) {
		for (int k = 0; k < i; k++) {
			if (r[i].first <= r[k].first + r[k].n && r[k].first <= r[i].first + r[i].n)
				return false;
		}
	}
	return true;
}

/* Joined ranges cover what the set covers, no byte twice, and no two of them touch. */
static void test_against_bitmap(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		char text[256];
		bool want[SMALL];
		bool got[SMALL] = {false};
		struct tako__range r[MAX];
		unsigned sum = random_set(text, want);
		int count = tako__range_parse(tako_str_z(text), SMALL, r, MAX);

		if (sum == 0 || sum > SMALL) {
			assert_int_equal(count, sum ? 0 : TAKO_ENOENT);
			continue;
		}
		assert_true(count > 0 && apart(r, count));
		for (int i = 0; i < count; i++) {
			assert_in_range(r[i].n, 1, SMALL);
			assert_in_range(r[i].first, 0, SMALL - r[i].n);
			memset(got + r[i].first, 1, r[i].n);
		}
		assert_memory_equal(got, want, sizeof(got));
	}
}

static void test_content_range(void **state)
{
	const struct tako__range r = {5, 10};
	const struct tako__range long_one = {INT64_MAX - 1, 1};
	char text[TAKO__CONTENT_RANGE_BYTES];

	(void)state;
	assert_int_equal(tako__content_range(text, &r, 100), 14);
	assert_string_equal(text, "bytes 5-14/100");
	assert_int_equal(tako__content_range(text, NULL, 0), 9);
	assert_string_equal(text, "bytes */0");
	assert_int_equal(tako__content_range(text, &long_one, INT64_MAX), 65);
	assert_string_equal(text,
	                    "bytes 9223372036854775806-9223372036854775806/9223372036854775807");
}

static void check_text(const char *got, size_t n, size_t max, const char *want)
{
	assert_int_equal(n, strlen(want));
	assert_memory_equal(got, want, n);
	assert_in_range(n, 1, max);
}

static void test_parts(void **state)
{
	struct tako__parts p = {.type = TAKO_STR("text/plain; charset=utf-8"), .size = 100};
	const struct tako__range r = {0, 5};
	char text[512];
	size_t max = tako__part_bytes_max(&p);

	(void)state;
	memset(p.boundary, 'b', sizeof(p.boundary));
	assert_in_range(max, 1, sizeof(text));
	check_text(text, tako__part_head(text, &p, &r, true), max,
	           "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
	           "Content-Type: text/plain; charset=utf-8\r\n"
	           "Content-Range: bytes 0-4/100\r\n\r\n");
	p.encoding = TAKO_STR("gzip");
	max = tako__part_bytes_max(&p);
	check_text(text, tako__part_head(text, &p, &r, false), max,
	           "\r\n--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
	           "Content-Type: text/plain; charset=utf-8\r\n"
	           "Content-Encoding: gzip\r\n"
	           "Content-Range: bytes 0-4/100\r\n\r\n");
	check_text(text, tako__part_tail(text, &p), max,
	           "\r\n--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb--\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_1000),        cmocka_unit_test(test_other_sizes),
		cmocka_unit_test(test_too_many),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_against_bitmap), cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

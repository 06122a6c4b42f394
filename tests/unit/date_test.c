/* SPDX-License-Identifier: MIT
 *
 * HTTP dates against libc's calendar, and the forms of RFC 9110 section 5.6.7.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base.h"
#include "core/date.h"

#define NOW INT64_C(1762848000) /* 2025-11-11 */

static const char *format(int64_t s)
{
	static char text[64];

	memset(text, '#', sizeof(text));
	tako__date_format(text, s);
	assert_int_equal(text[TAKO__DATE_BYTES], '#');
	text[TAKO__DATE_BYTES] = '\0';
	return text;
}

/* What libc makes of it, in the C locale. */
static const char *reference(int64_t s, const char *form)
{
	static char text[64];
	time_t t = (time_t)s;
	struct tm tm;

	assert_non_null(gmtime_r(&t, &tm));
	assert_int_not_equal(strftime(text, sizeof(text), form, &tm), 0);
	return text;
}

static int parse(const char *text, int64_t *ret_s)
{
	return tako__date_parse(text, strlen(text), NOW, ret_s);
}

static void check_second(int64_t s)
{
	const char *want = reference(s, "%a, %d %b %Y %H:%M:%S GMT");
	int64_t back = -1;

	assert_string_equal(format(s), want);
	assert_int_equal(parse(want, &back), 0);
	assert_true(back == s);
	assert_int_equal(parse(reference(s, "%a %b %e %H:%M:%S %Y"), &back), 0);
	assert_true(back == s);
}

/* Every day from 1583 to 2500, at seconds that wander through the day, and the last and first
 * second of every year with four digits. */
static void test_calendar(void **state)
{
	int64_t s = INT64_C(-12212553600); /* 1583-01-01 */

	(void)state;
	for (; s < INT64_C(16725225600); s += 86400 + 61)
		check_second(s);
	for (int64_t year = 1000; year <= 9999; year++) {
		struct tm tm = {.tm_year = (int)year - 1900, .tm_mday = 1};

		s = timegm(&tm);
		check_second(s);
		if (year > 1000)
			check_second(s - 1);
	}
}

static void test_format_limits(void **state)
{
	(void)state;
	assert_string_equal(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
	assert_string_equal(format(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
	assert_string_equal(format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
	assert_string_equal(format(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
	assert_string_equal(format(INT64_C(253402300799)), "Fri, 31 Dec 9999 23:59:59 GMT");
	assert_string_equal(format(INT64_C(253402300800)), "Fri, 31 Dec 9999 23:59:59 GMT");
	assert_string_equal(format(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
	assert_string_equal(format(INT64_C(-62167219200)), "Sat, 01 Jan 0000 00:00:00 GMT");
	assert_string_equal(format(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

/* RFC 9110 section 5.6.7: the three forms of one moment. */
static void test_three_forms(void **state)
{
	static const char *const same[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(same); i++) {
		int64_t s = 0;

		assert_int_equal(parse(same[i], &s), 0);
		assert_true(s == 784111777);
	}
}

static void test_weekday_names(void **state)
{
	static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
	                                    "Thursday", "Friday", "Saturday"};

	(void)state;
	for (int i = 0; i < 7; i++) {
		char text[64];
		int64_t s = 0;

		snprintf(text, sizeof(text), "%s, 06-Nov-94 08:49:37 GMT", names[i]);
		assert_int_equal(parse(text, &s), 0);
		assert_true(s == 784111777);
		snprintf(text, sizeof(text), "%.3s, 06 Nov 1994 08:49:37 GMT", names[i]);
		assert_int_equal(parse(text, &s), 0);
		snprintf(text, sizeof(text), "%.4s, 06-Nov-94 08:49:37 GMT", names[i]);
		assert_int_equal(parse(text, &s), TAKO_EINVAL);
	}
}

/* RFC 9110 section 5.6.7: more than 50 years ahead means the past. */
static void test_two_digit_years(void **state)
{
	static const struct {
		int64_t now_year;
		int two;
		const char *want;
	} table[] = {
		{2025, 25, "2025"}, {2025, 75, "2075"}, {2025, 76, "1976"}, {2025, 0, "2000"},
		{2025, 99, "1999"}, {1999, 0, "2000"},  {1999, 49, "2049"}, {1999, 50, "1950"},
		{2000, 50, "2050"}, {2000, 51, "1951"}, {2099, 1, "2101"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		struct tm tm = {
			.tm_year = (int)table[i].now_year - 1900, .tm_mon = 5, .tm_mday = 15};
		char text[64];
		int64_t s;

		snprintf(text, sizeof(text), "Sunday, 06-Nov-%02d 08:49:37 GMT", table[i].two);
		assert_int_equal(tako__date_parse(text, strlen(text), timegm(&tm), &s), 0);
		assert_string_equal(reference(s, "%Y"), table[i].want);
	}
}

static void test_leap_second(void **state)
{
	int64_t s;

	(void)state;
	assert_int_equal(parse("Sat, 31 Dec 2016 23:59:60 GMT", &s), 0);
	assert_string_equal(format(s), "Sun, 01 Jan 2017 00:00:00 GMT");
}

/* Each breaks a production of RFC 9110 section 5.6.7. */
static void test_malformed(void **state)
{
	static const char *const bad[] = {
		"",
		"S",
		"Sun",
		"Sun,",
		"Sun, ",
		"sun, 06 Nov 1994 08:49:37 GMT", /* day-name is case-sensitive */
		"Sun, 06 nov 1994 08:49:37 GMT", /* month */
		"Sun, 06 Nov 1994 08:49:37 gmt", /* GMT */
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun,06 Nov 1994 08:49:37 GMT",
		"Sun, 6 Nov 1994 08:49:37 GMT", /* day = 2DIGIT */
		"Sun, 06  Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 94 08:49:37 GMT", /* year = 4DIGIT */
		"Sun, 06 Nov 19944 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", /* hour = 2DIGIT */
		"Sun, 06 Nov 1994 08:49 GMT",
		"Sun, 06 Nov 1994 08-49-37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 -8:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 32 Dec 1994 08:49:37 GMT",
		"Sun, 30 Feb 2000 08:49:37 GMT",
		"Sun, 29 Feb 1900 08:49:37 GMT",
		"Sun, 29 Feb 2001 08:49:37 GMT",
		"Xyz, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xyz 1994 08:49:37 GMT",
		"Sunday, 06-Nov-1994 08:49:37 GMT", /* date2 has two digits */
		"Sunday, 06 Nov 94 08:49:37 GMT",
		"Sunday 06-Nov-94 08:49:37 GMT",
		"Sunda, 06-Nov-94 08:49:37 GMT",
		"Sunnesday, 06-Nov-94 08:49:37 GMT",
		"Sun Nov 6 08:49:37 1994", /* date3: 2DIGIT or SP DIGIT */
		"Sun Nov   6 08:49:37 1994",
		"Sun Nov  6 08:49:37 94",
		"Sun Nov  6 08:49:37 1994 GMT",
		"Sun Nov  6 08:49:37 1994\n",
		"1994-11-06T08:49:37Z",
		"784111777",
		"0",
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(bad); i++) {
		int64_t s = 4711;

		if (parse(bad[i], &s) != TAKO_EINVAL)
			fail_msg("accepted: \"%s\"", bad[i]);
		assert_true(s == 4711);
	}
}

/* A date cut short, at every length and in a block of just that size. */
static void test_truncated(void **state)
{
	static const char *const whole[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
	                                    "Wednesday, 06-Nov-94 08:49:37 GMT",
	                                    "Sun Nov 16 08:49:37 1994"};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(whole); i++) {
		for (size_t n = 0; n < strlen(whole[i]); n++) {
			char *p = malloc(n + !n);
			int64_t s;

			memcpy(p, whole[i], n);
			assert_int_equal(tako__date_parse(p, n, NOW, &s), TAKO_EINVAL);
			free(p);
		}
	}
}

static void test_cache(void **state)
{
	struct tako__date d;

	(void)state;
	tako__date_init(&d, 784111777);
	assert_memory_equal(tako__date_text(&d, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT", 29);
	d.text[0] = '?'; /* the same second is not formatted again … */
	assert_int_equal(*tako__date_text(&d, 784111777), '?');
	assert_memory_equal(tako__date_text(&d, 784111778), "Sun, 06 Nov 1994 08:49:38 GMT", 29);
	/* … and a clock set back is followed. */
	assert_memory_equal(tako__date_text(&d, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT", 29);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calendar),        cmocka_unit_test(test_format_limits),
		cmocka_unit_test(test_three_forms),     cmocka_unit_test(test_weekday_names),
		cmocka_unit_test(test_two_digit_years), cmocka_unit_test(test_leap_second),
		cmocka_unit_test(test_malformed),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

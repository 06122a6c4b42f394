/* SPDX-License-Identifier: MIT
 *
 * HTTP dates, formatted and parsed.  The calendar is the proleptic Gregorian one, counted in
 * years that begin in March so that the leap day comes last.
 */
#include "core/date.h"

#include <stdbool.h>
#include <string.h>

#include "core/base.h"

enum { DAY_S = 86400, ERA_DAYS = 146097 /* 400 years */ };

#define FIRST_S INT64_C(-62167219200) /* 0000-01-01 00:00:00 */
#define LAST_S INT64_C(253402300799)  /* 9999-12-31 23:59:59 */

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
	int64_t year;
	unsigned month; /* 1 to 12 */
	unsigned day;
};

/* Days from March 1 of a year to the first of its nth month, March being 0: 30.6 a month,
 * rounded so that the lengths come out as 31, 30, 31, 30, 31, 31, … */
static unsigned month_start(unsigned from_march)
{
	return (153 * from_march + 2) / 5;
}

static int64_t days_of(struct civil c)
{
	int64_t year = c.month <= 2 ? c.year - 1 : c.year;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	unsigned year_of_era = (unsigned)(year - era * 400);
	unsigned from_march = (c.month + 9) % 12;
	unsigned day_of_year = month_start(from_march) + c.day - 1;
	unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	/* 719468 days from 0000-03-01, where the eras begin, to 1970-01-01. */
	return era * ERA_DAYS + day_of_era - 719468;
}

static struct civil civil_of(int64_t day)
{
	int64_t shifted = day + 719468;
	int64_t era = (shifted >= 0 ? shifted : shifted - (ERA_DAYS - 1)) / ERA_DAYS;
	unsigned day_of_era = (unsigned)(shifted - era * ERA_DAYS);
	/* Take out the leap days before it, then divide by plain years. */
	unsigned leap_days = day_of_era / 1460 - day_of_era / 36524 + day_of_era / (ERA_DAYS - 1);
	unsigned year_of_era = (day_of_era - leap_days) / 365;
	unsigned day_of_year = day_of_era -
	                       (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned from_march = (5 * day_of_year + 2) / 153;
	unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;

	return (struct civil){
		.year = era * 400 + year_of_era + (month <= 2),
		.month = month,
		.day = day_of_year - month_start(from_march) + 1,
	};
}

static void put2(char *to, unsigned v)
{
	to[0] = (char)('0' + v / 10 % 10);
	to[1] = (char)('0' + v % 10);
}

void tako__date_format(char *to, int64_t unix_s)
{
	int64_t s = unix_s < FIRST_S ? FIRST_S : unix_s > LAST_S ? LAST_S : unix_s;
	int64_t day = (s >= 0 ? s : s - (DAY_S - 1)) / DAY_S;
	unsigned in_day = (unsigned)(s - day * DAY_S);
	struct civil c = civil_of(day);

	memcpy(to, "Day, 00 Mon 0000 00:00:00 GMT", TAKO__DATE_BYTES);
	/* Day 0 was a Thursday; the sum is kept positive back to year 0. */
	memcpy(to, days + (day + 4 + 7 * 200000) % 7 * 3, 3);
	put2(to + 5, c.day);
	memcpy(to + 8, months + (c.month - 1) * 3, 3);
	put2(to + 12, (unsigned)c.year / 100);
	put2(to + 14, (unsigned)c.year % 100);
	put2(to + 17, in_day / 3600);
	put2(to + 20, in_day / 60 % 60);
	put2(to + 23, in_day % 60);
}

void tako__date_init(struct tako__date *d, int64_t now_s)
{
	d->second = now_s;
	tako__date_format(d->text, now_s);
}

/* ---- Parsing ---------------------------------------------------------------- */

struct cursor {
	const char *p;
	const char *end;
	bool bad;
};

static bool skip(struct cursor *c, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
		return false;
	c->p += n;
	return true;
}

static void need(struct cursor *c, const char *text)
{
	if (!skip(c, text))
		c->bad = true;
}

static unsigned digits(struct cursor *c, unsigned count)
{
	unsigned v = 0;

	for (; count; count--) {
		if (c->p == c->end || *c->p < '0' || *c->p > '9') {
			c->bad = true;
			return 0;
		}
		v = v * 10 + (unsigned)(*c->p++ - '0');
	}
	return v;
}

/* The place of the next three letters in a table; names are case-sensitive. */
static unsigned name3(struct cursor *c, const char *table, unsigned count)
{
	for (unsigned i = 0; i < count && c->end - c->p >= 3; i++) {
		if (!memcmp(c->p, table + i * 3, 3)) {
			c->p += 3;
			return i;
		}
	}
	c->bad = true;
	return 0;
}

static unsigned time_of_day(struct cursor *c)
{
	unsigned hour = digits(c, 2);
	unsigned minute;
	unsigned second;

	need(c, ":");
	minute = digits(c, 2);
	need(c, ":");
	second = digits(c, 2);
	/* 60 is a leap second, which Unix time counts as the first of the next minute. */
	if (hour > 23 || minute > 59 || second > 60)
		c->bad = true;
	return hour * 3600 + minute * 60 + second;
}

static bool day_exists(struct civil c)
{
	static const unsigned char length[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = c.year % 4 == 0 && (c.year % 100 != 0 || c.year % 400 == 0);

	return c.day >= 1 && c.day <= length[c.month - 1] && (c.month != 2 || c.day < 29 || leap);
}

/* " 06 Nov 1994 08:49:37 GMT" */
static unsigned imf_rest(struct cursor *c, struct civil *date)
{
	unsigned in_day;

	date->day = digits(c, 2);
	need(c, " ");
	date->month = name3(c, months, 12) + 1;
	need(c, " ");
	date->year = digits(c, 4);
	need(c, " ");
	in_day = time_of_day(c);
	need(c, " GMT");
	return in_day;
}

/* RFC 9110 section 5.6.7: a two-digit year that seems more than 50 years ahead is the most
 * recent past year with these digits. */
static int64_t full_year(unsigned two_digits, int64_t now_s)
{
	int64_t now = civil_of(now_s / DAY_S).year;
	int64_t year = now - now % 100 + two_digits;

	if (year > now + 50)
		year -= 100;
	else if (year <= now - 50)
		year += 100;
	return year;
}

/* "day, 06-Nov-94 08:49:37 GMT" */
static unsigned rfc850_rest(struct cursor *c, struct civil *date, int64_t now_s)
{
	unsigned in_day;

	date->day = digits(c, 2);
	need(c, "-");
	date->month = name3(c, months, 12) + 1;
	need(c, "-");
	date->year = full_year(digits(c, 2), now_s);
	need(c, " ");
	in_day = time_of_day(c);
	need(c, " GMT");
	return in_day;
}

/* " Nov  6 08:49:37 1994" */
static unsigned asctime_rest(struct cursor *c, struct civil *date)
{
	unsigned in_day;

	date->month = name3(c, months, 12) + 1;
	need(c, " ");
	date->day = skip(c, " ") ? digits(c, 1) : digits(c, 2);
	need(c, " ");
	in_day = time_of_day(c);
	need(c, " ");
	date->year = digits(c, 4);
	return in_day;
}

int tako__date_parse(const char *p, size_t n, int64_t now_s, int64_t *ret_s)
{
	static const char *const day_rest[] = {"day",   "day", "sday", "nesday",
	                                       "rsday", "day", "urday"};
	struct cursor c = {.p = p, .end = p + n};
	struct civil date = {.month = 1};
	unsigned weekday = name3(&c, days, 7);
	unsigned in_day;

	if (skip(&c, ", ")) {
		in_day = imf_rest(&c, &date);
	} else if (skip(&c, " ")) {
		in_day = asctime_rest(&c, &date);
	} else {
		need(&c, day_rest[weekday]);
		need(&c, ", ");
		in_day = rfc850_rest(&c, &date, now_s);
	}
	if (c.bad || c.p != c.end || !day_exists(date))
		return TAKO_EINVAL;
	*ret_s = days_of(date) * DAY_S + in_day;
	return TAKO_OK;
}

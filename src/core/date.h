/* SPDX-License-Identifier: MIT
 *
 * HTTP dates (RFC 9110 section 5.6.7), without locale, time zone or libc: seconds since 1970
 * in, 29 bytes out, and back.  Reads no clock.
 */
#ifndef TAKO_CORE_DATE_H
#define TAKO_CORE_DATE_H

#include <stddef.h>
#include <stdint.h>

enum { TAKO__DATE_BYTES = 29 };

/* Write "Sun, 06 Nov 1994 08:49:37 GMT", without a NUL.  Years outside 0 to 9999, which the
 * form cannot show, become its first or last second. */
void tako__date_format(char *to, int64_t unix_s);

/* Read any of the three forms a recipient must accept: IMF-fixdate, RFC 850 and asctime.
 * A two-digit year more than 50 years after `now_s` is one of the past.  The name of the day
 * is not compared with the date.  TAKO_EINVAL: none of them. */
int tako__date_parse(const char *p, size_t n, int64_t now_s, int64_t *ret_s);

/* The text for Date fields, made anew when the second changes. */
struct tako__date {
	int64_t second;
	char text[TAKO__DATE_BYTES];
};

void tako__date_init(struct tako__date *d, int64_t now_s);

/* 29 bytes, valid until the next call. */
static inline const char *tako__date_text(struct tako__date *d, int64_t now_s)
{
	if (d->second != now_s)
		tako__date_init(d, now_s);
	return d->text;
}

#endif /* TAKO_CORE_DATE_H */

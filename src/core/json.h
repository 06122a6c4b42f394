/* SPDX-License-Identifier: MIT
 *
 * Text that goes inside quotes: JSON strings, and the test for bytes that need no escape in
 * any of the quoted forms that tako writes.
 */
#ifndef TAKO_CORE_JSON_H
#define TAKO_CORE_JSON_H

#include <tako/base.h>

/* No byte becomes more than "\u00ff", and none less than itself. */
enum { TAKO__JSON_GROWTH = 6 };

/* Write what fits of *s as the inside of a JSON string (RFC 8259 section 7) and advance *s
 * past it; returns the new end.  Never cuts a character or an escape in two.  Control
 * characters are escaped, DEL and those of C1 too, which terminals obey; a byte that is not
 * UTF-8 becomes U+FFFD.  TAKO__JSON_GROWTH * s->n bytes are always enough. */
char *tako__json_escape(char *to, const char *end, tako_str *s);

/* Copy the bytes up to the first that is a quote, a backslash or not printable ASCII: all n,
 * or fewer.  Returns how many. */
size_t tako__copy_plain(char *to, const char *from, size_t n);

/* The length of the UTF-8 character at p (RFC 3629 section 4); 0 if it is none. */
size_t tako__utf8_len(const char *p, size_t n);

#endif /* TAKO_CORE_JSON_H */

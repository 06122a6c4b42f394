/* SPDX-License-Identifier: MIT
 *
 * What a field may be in HTTP/2 (RFC 9113 section 8.2), in requests and in responses.
 */
#ifndef TAKO_H2_FIELD_H
#define TAKO_H2_FIELD_H

#include <string.h>

#include "core/exchange.h"
#include "core/str.h"

#define TAKO__H2_IS(name, n, lit) ((n) == sizeof(lit) - 1 && !memcmp(name, lit, sizeof(lit) - 1))

enum { TAKO__H2_FIELD_OVERHEAD = 32 /* RFC 9113 section 6.5.2 */ };

/* A token in lower case (RFC 9113 section 8.2.1). */
static inline bool tako__h2_name_ok(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!tako__is(p[i], TAKO__C_TOKEN) || (unsigned)(p[i] - 'A') < 26)
			return false;
	}
	return n > 0;
}

static inline bool tako__h2_is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool tako__h2_value_ok(const char *p, size_t n)
{
	return !n || (!tako__h2_is_blank(p[0]) && !tako__h2_is_blank(p[n - 1]) &&
	              tako__field_value_ok((tako_str){p, n}));
}

/* RFC 9113 section 8.2.2: they are about an HTTP/1.1 connection. */
static inline bool tako__h2_is_of_connection(const char *p, size_t n)
{
	return TAKO__H2_IS(p, n, "connection") || TAKO__H2_IS(p, n, "transfer-encoding") ||
	       TAKO__H2_IS(p, n, "keep-alive") || TAKO__H2_IS(p, n, "upgrade") ||
	       TAKO__H2_IS(p, n, "proxy-connection");
}

#endif /* TAKO_H2_FIELD_H */

/* SPDX-License-Identifier: MIT
 *
 * Request methods as small numbers, so that the router's walk and the protocols compare
 * integers.  A method that is not in the list stays TAKO__METHOD_OTHER and is told apart
 * by its text; methods are case-sensitive (RFC 9110 9.1), "get" is not GET.
 */
#ifndef TAKO_CORE_METHOD_H
#define TAKO_CORE_METHOD_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum tako__method {
	TAKO__GET,
	TAKO__HEAD,
	TAKO__POST,
	TAKO__PUT,
	TAKO__DELETE,
	TAKO__PATCH,
	TAKO__OPTIONS,
	TAKO__CONNECT,
	TAKO__TRACE,
	TAKO__METHOD_OTHER,
	TAKO__METHOD_COUNT = TAKO__METHOD_OTHER /* how many have a name */
};

/* Longest method a protocol accepts; a longer one is answered 501. */
#define TAKO__METHOD_MAX_BYTES 32

/* memcmp() of a constant length becomes one or two loads: no table, no hash. */
static inline enum tako__method tako__method_id(const char *p, size_t n)
{
	switch (n) {
	case 3:
		if (!memcmp(p, "GET", 3))
			return TAKO__GET;
		return memcmp(p, "PUT", 3) ? TAKO__METHOD_OTHER : TAKO__PUT;
	case 4:
		if (!memcmp(p, "POST", 4))
			return TAKO__POST;
		return memcmp(p, "HEAD", 4) ? TAKO__METHOD_OTHER : TAKO__HEAD;
	case 5:
		if (!memcmp(p, "PATCH", 5))
			return TAKO__PATCH;
		return memcmp(p, "TRACE", 5) ? TAKO__METHOD_OTHER : TAKO__TRACE;
	case 6:
		return memcmp(p, "DELETE", 6) ? TAKO__METHOD_OTHER : TAKO__DELETE;
	case 7:
		if (!memcmp(p, "OPTIONS", 7))
			return TAKO__OPTIONS;
		return memcmp(p, "CONNECT", 7) ? TAKO__METHOD_OTHER : TAKO__CONNECT;
	default:
		return TAKO__METHOD_OTHER;
	}
}

/* "GET" for TAKO__GET; NULL for TAKO__METHOD_OTHER and anything outside the list. */
const char *tako__method_name(unsigned id);

/* Whether all n > 0 bytes are token characters (RFC 9110 5.6.2): what a method, a field
 * name and a coding must be. */
bool tako__is_token(const char *p, size_t n);

#endif /* TAKO_CORE_METHOD_H */

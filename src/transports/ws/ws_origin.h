/* SPDX-License-Identifier: MIT
 *
 * Origins (RFC 6454): scheme, host and port, compared after they were parsed, so that neither case
 * nor a port that goes without saying makes two of one.
 */
#ifndef TAKO_WS_ORIGIN_H
#define TAKO_WS_ORIGIN_H

#include <tako/base.h>

struct tako__origin {
	tako_str scheme;
	tako_str host; /* with its brackets, if it has any */
	uint16_t port; /* the scheme's own if none was named; 0: it has none that we know */
};

/* "https://example.com:8443", without user, path or anything else.  Views of `s`.  TAKO_EINVAL: not
 * one, "null" for instance. */
int tako__origin_parse(struct tako__origin *ret, tako_str s);
bool tako__origin_eq(const struct tako__origin *a, const struct tako__origin *b);

/* Of lists that end with NULL; one that is NULL allows everybody, one that is not only who says where he
 * is from.  _check(): TAKO_EINVAL, something in it is no origin. */
int tako__origins_check(const char *const *list);
bool tako__origin_allowed(tako_str from, const char *const *list);

#endif /* TAKO_WS_ORIGIN_H */

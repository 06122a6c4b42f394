/* SPDX-License-Identifier: MIT
 *
 * Names with values as clients send them: queries and forms (application/
 * x-www-form-urlencoded), and cookies both ways.  Sans-I/O: bytes in, views out; only what is
 * escaped is copied, into an arena.
 */
#ifndef TAKO_CORE_QUERY_H
#define TAKO_CORE_QUERY_H

#include <tako/http.h>

#include "core/mem.h"

/* ---- Queries and forms ------------------------------------------------------- */

/* The next pair of "a=1&b=2", still encoded, and `rest` moved behind it; false at the end.
 * Pairs are divided by "&" alone; empty ones ("&&") are passed over; one without "=" has an
 * empty value.  What is found is never NULL. */
bool tako__pair_next(tako_str *rest, tako_str *name, tako_str *value);

/* Form-decode: a view of `raw` itself if nothing in it is escaped.  TAKO_EINVAL: bad escape;
 * TAKO_ENOMEM. */
int tako__form_decode(tako_str raw, struct tako__arena *a, tako_str *ret);

/* The value of the next pair whose decoded name is `name`, and `rest` moved behind it: call
 * again for all of them.  A name with a bad escape equals nothing.  Decoding takes memory for
 * the value found only.  TAKO_ENOENT: no (more) such pair; TAKO_EINVAL: bad escape in the
 * value; TAKO_ENOMEM. */
int tako__query_next(tako_str *rest, tako_str name, struct tako__arena *a, tako_str *ret);

/* The same for the first one. */
int tako__query_get(tako_str query, tako_str name, struct tako__arena *a, tako_str *ret);

/* Call `fn` for each pair, decoded; its non-zero return ends the walk and is returned.
 * TAKO_EINVAL: bad escape (the pairs before it were delivered); TAKO_ENOMEM. */
int tako__query_each(tako_str query, struct tako__arena *a, tako_pair_fn fn, void *arg);

/* ---- Cookies -------------------------------------------------------------------- */

/* The next pair of a Cookie field (RFC 6265 section 4.2.1), and `rest` moved behind it; false
 * at the end.  As lenient as browsers need it: any name without "=" and ";", white space
 * around either part dropped, a value's surrounding quotes too.  Passed over: pairs without
 * "=" or without a name, and any with control characters.  A ";" always divides, also
 * between quotes: what one side takes for a value the other must not take for cookies. */
bool tako__cookie_next(tako_str *rest, tako_str *name, tako_str *value);

/* The value of the first cookie of that name (case counts).  TAKO_ENOENT. */
int tako__cookie_get(tako_str field, tako_str name, tako_str *ret);

/* The value of a Set-Cookie field (RFC 6265 section 4.1.1), in the arena.  Defaults as the
 * public struct documents; `c` is imported already.  With `now_s` (Unix time) and a Max-Age,
 * Expires is added for clients that know no better; 0 leaves it out.
 * TAKO_EINVAL: a name that is no token, or anything in value, Path, Domain or SameSite that
 * the grammar forbids (so neither CR, LF, ";" nor any control character gets through);
 * SameSite=None, or a "__Secure-" or "__Host-" name, without what they demand.
 * TAKO_ETOOBIG: name and value over 4096 bytes, Path or Domain over 1024, which browsers
 * ignore; TAKO_ENOMEM. */
int tako__cookie_format(const tako_cookie *c, int64_t now_s, struct tako__arena *a, tako_str *ret);

#endif /* TAKO_CORE_QUERY_H */

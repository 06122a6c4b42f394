/* SPDX-License-Identifier: MIT
 *
 * Whether bytes that come piece by piece are UTF-8 (RFC 3629), as text messages must be (RFC 6455
 * section 8.1).  Keeps four bytes of state, looks at nothing twice.
 */
#ifndef TAKO_WS_UTF8_H
#define TAKO_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: nothing has come yet. */
struct tako__utf8 {
	uint32_t state;
};

/* The next n bytes.  False as soon as a byte is among them that cannot follow, and for ever after:
 * overlong forms, surrogates and what is beyond U+10FFFF show at their second byte at the latest.
 * [any] */
bool tako__utf8_feed(struct tako__utf8 *u, const char *p, size_t n);

/* Whether it may end here: false inside a character, or if a byte was refused.  [any] */
static inline bool tako__utf8_done(const struct tako__utf8 *u)
{
	return u->state == 0;
}

#endif /* TAKO_WS_UTF8_H */

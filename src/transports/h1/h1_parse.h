/* SPDX-License-Identifier: MIT
 *
 * What the walks over a head share: failing, starting afresh, the fields that govern framing
 * and persistence.  Internal to the head parser and the trailer parser.
 */
#ifndef TAKO_H1_PARSE_H
#define TAKO_H1_PARSE_H

#include <string.h>

#include "transports/h1/h1_head.h"

/* Words are compared with constants as they lie in memory. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "h1 is written for little-endian machines");
#define TAKO__H1_CRLF 0x0a0du               /* "\r\n" */
#define TAKO__H1_GET 0x20544547u            /* "GET " */
#define TAKO__H1_HOST_NAME 0x74736f68u      /* "host" */
#define TAKO__H1_HTTP11 0x312e312f50545448u /* "HTTP/1.1" */
#define TAKO__H1_COLON_SPACE 0x203au        /* ": " */
#define TAKO__H1_MINOR_BIT (1ull << 56)     /* in which its last byte differs from '0' */

static inline uint16_t tako__h1_load16(const char *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t tako__h1_load32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t tako__h1_load64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Empty what not every request sets.  Member by member: for a memset() of this size gcc
 * emits "rep stos", which alone takes a third of the time of a short head. */
static inline void tako__h1_clear(struct tako__h1_head *h)
{
	const tako_str none = {NULL, 0};

	/* One by one: in a chain each would be read back from the one before, in one piece where
	 * that was written in two, which waits until it is in memory. */
	h->query = none;
	h->host = none;
	h->authority = none;
	h->upgrade = none;
	h->content_length = 0;
	h->why = NULL;
	h->form = h->framing = h->seen = 0;
	h->got_line = h->keep_alive = h->expect_continue = h->switching = h->te_trailers = false;
}

/* Whether there is anything for tako__h1_finish() to judge: all but HTTP/1.1, origin-form, a
 * Host that is not empty and no word about framing or the connection. */
static inline bool tako__h1_unusual(const struct tako__h1_head *h)
{
	return !h->minor || h->form || !h->host.n ||
	       (h->seen & ~TAKO__H1_SEEN_KEEP) != TAKO__H1_SEEN_HOST;
}

/* Positions are int; a limit beyond this is none anyway. */
static inline size_t tako__h1_max_head(const struct tako__h1_limits *lim)
{
	return lim->max_head_bytes < 1u << 30 ? lim->max_head_bytes : 1u << 30;
}

/* Note `why` and return -status. */
int tako__h1_fail(struct tako__h1_head *h, int status, const char *why);

/* One field line at p + i (i < n): up to after its CRLF; 0 if it is not complete; -400, then
 * *why says what is wrong. */
int tako__h1_field_line(struct tako__field *f, const char *p, size_t i, size_t n, const char **why);

/* ---- h1_field.c: 0 or -(status) ------------------------------------------------- */

/* For each first letter (c & 31), the lengths of the names that tako__h1_field() and the
 * walks themselves (Host) want to see. */
extern const uint32_t tako__h1_special[32];
/* Take note of a field that may be TE, Expect, Upgrade, Connection, Content-Length or
 * Transfer-Encoding. */
int tako__h1_field(struct tako__h1_head *h, const struct tako__field *f);
/* What can only be judged with all fields read. */
int tako__h1_finish(struct tako__h1_head *h);

#endif /* TAKO_H1_PARSE_H */

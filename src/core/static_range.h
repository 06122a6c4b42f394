/* SPDX-License-Identifier: MIT
 *
 * Range requests (RFC 9110 section 14): which bytes of a representation are asked for, and the
 * text that multipart/byteranges puts around them.  Sans-I/O: bytes in, numbers and bytes out.
 */
#ifndef TAKO_CORE_STATIC_RANGE_H
#define TAKO_CORE_STATIC_RANGE_H

#include <tako/base.h>

struct tako__range {
	uint64_t first;
	uint64_t n; /* never 0 */
};

enum {
	TAKO__RANGES_MAX = 64,
	TAKO__BOUNDARY_BYTES = 32,
	/* "bytes 1-2/3" with the longest numbers. */
	TAKO__CONTENT_RANGE_BYTES = 72,
};

/* What a Range field asks for of a representation of `size` bytes: up to `max` ranges (at most
 * TAKO__RANGES_MAX), none of which overlap or touch, in the order they were asked for.
 *   > 0          that many; their sum is at most `size`
 *   0            to be ignored: not the grammar, another unit, more than `max`, or more bytes
 *                than there are
 *   TAKO_ENOENT  none of them can be had (416) */
int tako__range_parse(tako_str value, uint64_t size, struct tako__range *out, unsigned max);

/* Write the value of Content-Range, NUL-terminated: "bytes 0-4/10", or for a NULL range the one
 * with an asterisk that 416 has.  Returns its length. */
size_t tako__content_range(char to[TAKO__CONTENT_RANGE_BYTES], const struct tako__range *r,
                           uint64_t size);

/* ---- multipart/byteranges (RFC 9110 section 14.6) ------------------------------ */

struct tako__parts {
	char boundary[TAKO__BOUNDARY_BYTES];
	tako_str type;     /* of each part */
	tako_str encoding; /* {NULL, 0}: none */
	uint64_t size;     /* of the whole representation */
};

/* Longest head, and tail, for these parts: what a buffer needs. */
size_t tako__part_bytes_max(const struct tako__parts *p);
/* What comes before the bytes of a range; `first`: of the first part.  Returns its length. */
size_t tako__part_head(char *to, const struct tako__parts *p, const struct tako__range *r,
                       bool first);
/* What comes after the last one. */
size_t tako__part_tail(char *to, const struct tako__parts *p);

#endif /* TAKO_CORE_STATIC_RANGE_H */

/* SPDX-License-Identifier: MIT
 *
 * Base64 (RFC 4648 section 4) as gRPC has it: without padding in metadata, with it in gRPC-Web's text
 * bodies, where each piece that was written may end in some.  No allocation.
 */
#ifndef TAKO_GRPC_BASE64_H
#define TAKO_GRPC_BASE64_H

#include <tako/base.h>

/* Characters for n bytes, with padding. */
#define TAKO__BASE64_CHARS(n) (((n) + 2) / 3 * 4)

/* Returns how many characters were written, up to TAKO__BASE64_CHARS(n). */
size_t tako__base64_encode(char *to, const void *from, size_t n, bool pad);

/* What a decoder keeps between pieces; all zero at the beginning. */
struct tako__base64 {
	uint32_t bits;
	uint8_t count;  /* characters in `bits`, 0 to 3 */
	uint8_t padded; /* "=" that still have to come */
	uint8_t unused[2];
};

/* Decode a piece; `to` takes 3 bytes for each 4 characters, and 2 more, and may be `from`.  A group
 * that ends in padding may be followed by another.  TAKO_EINVAL: a character that is none, padding where
 * none can be, or bits behind it that are not 0. */
int tako__base64_decode(struct tako__base64 *d, char *to, size_t *ret_n, const char *from,
                        size_t n);
/* What was given so far is whole: no group is open, or, with `loose`, it only lacks its padding, and
 * its bytes, up to 2, are put behind.  TAKO_EINVAL: it is not. */
int tako__base64_end(struct tako__base64 *d, char *to, size_t *ret_n, bool loose);

#endif /* TAKO_GRPC_BASE64_H */

/* SPDX-License-Identifier: MIT
 *
 * See grpc_base64.h.
 */
#include "transports/grpc/grpc_base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t tako__base64_encode(char *to, const void *from, size_t n, bool pad)
{
	const unsigned char *p = from;
	char *start = to;

	for (; n >= 3; n -= 3, p += 3) {
		*to++ = digits[p[0] >> 2];
		*to++ = digits[(p[0] & 3) << 4 | p[1] >> 4];
		*to++ = digits[(p[1] & 15) << 2 | p[2] >> 6];
		*to++ = digits[p[2] & 63];
	}
	if (!n)
		return (size_t)(to - start);
	*to++ = digits[p[0] >> 2];
	*to++ = digits[(p[0] & 3) << 4 | (n == 2 ? p[1] >> 4 : 0)];
	if (n == 2)
		*to++ = digits[(p[1] & 15) << 2];
	for (; pad && n < 3; n++)
		*to++ = '=';
	return (size_t)(to - start);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* The bytes of a group of two or three characters, which padding or the end has closed.  What its last
 * character has too many of must be 0, or one value would have several forms (section 3.5). */
static int close_group(struct tako__base64 *d, char *to)
{
	unsigned bytes = d->count - 1u;
	unsigned spare = bytes == 1 ? 4 : 2;
	uint32_t bits = d->bits;

	if (bits & ((1u << spare) - 1))
		return TAKO_EINVAL;
	bits >>= spare;
	if (bytes == 2)
		*to++ = (char)(bits >> 8);
	*to = (char)bits;
	d->count = 0;
	d->bits = 0;
	return (int)bytes;
}

/* Bytes written, or TAKO_EINVAL. */
static int take_padding(struct tako__base64 *d, char *to)
{
	if (d->padded) {
		d->padded--;
		return 0;
	}
	if (d->count < 2)
		return TAKO_EINVAL;
	d->padded = (uint8_t)(3 - d->count);
	return close_group(d, to);
}

static int take_digit(struct tako__base64 *d, char *to, int value)
{
	if (value < 0 || d->padded)
		return TAKO_EINVAL;
	d->bits = d->bits << 6 | (uint32_t)value;
	if (++d->count < 4)
		return 0;
	to[0] = (char)(d->bits >> 16);
	to[1] = (char)(d->bits >> 8);
	to[2] = (char)d->bits;
	d->count = 0;
	d->bits = 0;
	return 3;
}

int tako__base64_decode(struct tako__base64 *d, char *to, size_t *ret_n, const char *from, size_t n)
{
	char *start = to;

	for (size_t i = 0; i < n; i++) {
		int rc = from[i] == '=' ? take_padding(d, to)
		                        : take_digit(d, to, value_of(from[i]));

		if (rc < 0)
			return rc;
		to += rc;
	}
	*ret_n = (size_t)(to - start);
	return 0;
}

int tako__base64_end(struct tako__base64 *d, char *to, size_t *ret_n, bool loose)
{
	int rc;

	*ret_n = 0;
	if (!d->count && !d->padded)
		return 0;
	if (!loose || d->count == 1 || d->padded)
		return TAKO_EINVAL;
	rc = close_group(d, to);
	if (rc < 0)
		return rc;
	*ret_n = (size_t)rc;
	return 0;
}

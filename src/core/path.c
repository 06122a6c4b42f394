/* SPDX-License-Identifier: MIT
 *
 * Percent-decoding and dot segments in one pass (RFC 3986 sections 2.1 and 5.2.4).
 */
#include "core/path.h"

#include <string.h>

#include "core/base.h"
#include "core/str.h"

/* The byte that p[0..n), which begins with '%', stands for; -1 if it is no escape. */
static int unescape(const char *p, size_t n)
{
	int high;
	int low;

	if (n < 3)
		return -1;
	high = tako__hex_value(p[1]);
	low = tako__hex_value(p[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Decode the segment at src[0..n) up to the next '/'.  *used and *made say how much of
 * either side.  1 if it holds a mark. */
static int decode_segment(char *dst, size_t *made, const char *src, size_t n, size_t *used)
{
	size_t in = 0;
	size_t out = 0;
	int marked = 0;

	while (in < n && src[in] != '/') {
		int c = (unsigned char)src[in];
		size_t step = 1;

		if (c == '%') {
			c = unescape(src + in, n - in);
			step = 3;
		}
		if (c <= 0)
			return TAKO_EINVAL;
		if (c == '/') {
			c = '\0';
			marked = 1;
		}
		dst[out++] = (char)c;
		in += step;
	}
	*made = out;
	*used = in;
	return marked;
}

/* dst[0..start) ends with the '/' before a "..": forget that and the segment before. */
static size_t up_one(const char *dst, size_t start)
{
	size_t out = start - 1;

	while (out > 0 && dst[--out] != '/')
		;
	return out;
}

/* Decoding comes first, so that an encoded dot is a dot: what the server answers for may
 * not depend on how a dot is spelt (RFC 3986 section 6.2.2.3). */
int tako__path_normalise(char *dst, size_t *ret_n, const char *src, size_t n)
{
	size_t in = 0;
	size_t out = 0;
	int marked = 0;

	if (!n || src[0] != '/')
		return TAKO_EINVAL;
	while (in < n) {
		size_t start = out + 1;
		size_t made;
		size_t used;
		int rc;

		dst[out] = '/';
		rc = decode_segment(dst + start, &made, src + in + 1, n - in - 1, &used);
		if (rc < 0)
			return rc;
		in += 1 + used;
		if (made == 1 && dst[start] == '.') {
			out = start - 1;
		} else if (made == 2 && dst[start] == '.' && dst[start + 1] == '.') {
			out = up_one(dst, start);
		} else {
			out = start + made;
			marked |= rc;
			continue;
		}
		/* A dot segment at the end leaves a '/' there. */
		if (in == n)
			dst[out++] = '/';
	}
	*ret_n = out;
	return marked && memchr(dst, '\0', out) ? 1 : 0;
}

void tako__path_unmark(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!p[i])
			p[i] = '/';
	}
}

size_t tako__path_show(char *dst, const char *src, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (src[i]) {
			dst[out++] = src[i];
		} else {
			dst[out++] = '%';
			dst[out++] = '2';
			dst[out++] = 'F';
		}
	}
	return out;
}

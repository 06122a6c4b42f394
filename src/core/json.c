/* SPDX-License-Identifier: MIT
 *
 * Escaping for JSON strings.  What comes in is whatever a peer sent; what goes out is valid
 * UTF-8 that ends no string, no line and starts no terminal sequence.
 */
#include "core/json.h"

#include <string.h>

#include "core/str.h"

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Zero if all eight bytes are plain; may also be non-zero for a plain byte right above one
 * that is not, as the subtractions borrow: then a bytewise look follows, which finds that one. */
static uint64_t not_plain8(uint64_t v)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t control = v - ones * 0x20;
	uint64_t quote = (v ^ ones * '"') - ones;
	uint64_t backslash = (v ^ ones * '\\') - ones;
	uint64_t del = v + ones;

	return (v | control | quote | backslash | del) & ones * 0x80;
}

size_t tako__copy_plain(char *to, const char *from, size_t n)
{
	size_t i = 0;

	while (n - i >= 8) {
		uint64_t v = tako__load8(from + i);

		if (not_plain8(v))
			break;
		memcpy(to + i, &v, sizeof(v));
		i += 8;
	}
	for (; i < n && is_plain(from[i]); i++)
		to[i] = from[i];
	return i;
}

static bool is_tail(const char *p)
{
	return ((unsigned char)*p & 0xc0) == 0x80;
}

size_t tako__utf8_len(const char *p, size_t n)
{
	unsigned a = n > 0 ? (unsigned char)p[0] : 0xff;
	unsigned b = n > 1 ? (unsigned char)p[1] : 0;

	if (a < 0x80)
		return 1;
	if (a < 0xc2 || a > 0xf4 || (b & 0xc0) != 0x80)
		return 0;
	if (a < 0xe0)
		return 2;
	/* Neither longer than need be, nor a surrogate, nor past U+10FFFF. */
	if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) ||
	    (a == 0xf4 && b > 0x8f) || n < 3 || !is_tail(p + 2))
		return 0;
	if (a < 0xf0)
		return 3;
	return n > 3 && is_tail(p + 3) ? 4 : 0;
}

static size_t put_hex(char *to, unsigned char code)
{
	memcpy(to, "\\u00", 4);
	tako__hex_encode(to + 4, &code, 1);
	return 6;
}

static size_t put_short(char *to, char c)
{
	to[0] = '\\';
	to[1] = c;
	return 2;
}

/* Write the character at p in at most 6 bytes; it has `n`, or 0 if it is no UTF-8. */
static size_t escape_one(char *to, const char *p, size_t n)
{
	if (n == 0) {
		memcpy(to, "\\ufffd", 6);
		return 6;
	}
	if (n == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0)
		return put_hex(to, (unsigned char)p[1]);
	if (n > 1 || is_plain(p[0])) {
		memcpy(to, p, n);
		return n;
	}
	switch (p[0]) {
	case '"':
	case '\\':
		return put_short(to, p[0]);
	case '\n':
		return put_short(to, 'n');
	case '\r':
		return put_short(to, 'r');
	case '\t':
		return put_short(to, 't');
	default:
		return put_hex(to, (unsigned char)p[0]);
	}
}

char *tako__json_escape(char *to, const char *end, tako_str *s)
{
	while (s->n) {
		size_t room = (size_t)(end - to);
		size_t plain = tako__copy_plain(to, s->p, s->n < room ? s->n : room);
		char one[TAKO__JSON_GROWTH];
		size_t from_n;
		size_t n;

		to += plain;
		s->p += plain;
		s->n -= plain;
		if (!s->n)
			break;
		from_n = tako__utf8_len(s->p, s->n);
		n = escape_one(one, s->p, from_n);
		if (n > (size_t)(end - to))
			break;
		memcpy(to, one, n);
		to += n;
		s->p += from_n ? from_n : 1;
		s->n -= from_n ? from_n : 1;
	}
	return to;
}

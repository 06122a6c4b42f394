/* SPDX-License-Identifier: MIT
 *
 * Character classes, decimals, hexadecimals, percent-encoding.  Strict: what the grammar does
 * not allow is an error here, never a guess.
 */
#include "core/str.h"

/* Sums of TAKO__C_*, a row per 16 bytes; the test derives them from the grammars. */
/* clang-format off */
const unsigned char tako__char_class[256] = {
	0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	66, 7, 2, 7, 7, 7, 7, 71, 70, 70, 7, 71, 66, 79, 79, 70,
	95, 95, 95, 95, 95, 95, 95, 95, 95, 95, 70, 2, 6, 70, 6, 70,
	6, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111,
	111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 6, 2, 6, 7, 79,
	7, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111,
	111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 111, 6, 7, 6, 15, 0,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
};
/* clang-format on */

tako_str tako__str_trim(tako_str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* ---- Numbers ------------------------------------------------------------------ */

int tako__parse_u64(const char *p, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (!n || !tako__all(p, n, TAKO__C_DIGIT))
		return TAKO_EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (unsigned)(p[i] - '0'), &v))
			return TAKO_ETOOBIG;
	}
	*ret = v;
	return TAKO_OK;
}

static const char two_digits[] = "00010203040506070809101112131415161718192021222324"
				 "25262728293031323334353637383940414243444546474849"
				 "50515253545556575859606162636465666768697071727374"
				 "75767778798081828384858687888990919293949596979899";

/* From the end, two digits per division. */
size_t tako__format_u64(char *to, uint64_t v)
{
	char text[TAKO__U64_CHARS];
	char *p = text + sizeof(text);
	size_t n;

	while (v >= 100) {
		p -= 2;
		memcpy(p, two_digits + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		p -= 2;
		memcpy(p, two_digits + v * 2, 2);
	} else {
		*--p = (char)('0' + v);
	}
	n = (size_t)(text + sizeof(text) - p);
	memcpy(to, p, n);
	return n;
}

int tako__hex_value(char c)
{
	char lower = (char)(c | 0x20);

	if (c >= '0' && c <= '9')
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

void tako__hex_encode(char *to, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *from = bytes;

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[from[i] >> 4];
		*to++ = digits[from[i] & 15];
	}
}

/* ---- Percent-encoding ------------------------------------------------------------ */

int tako__percent_decode(char *to, size_t *ret_n, const char *from, size_t n, bool form)
{
	const char *end = from + n;
	char *start = to;

	while (from < end) {
		char c = *from++;

		if (c == '%') {
			int high = end - from >= 2 ? tako__hex_value(from[0]) : -1;
			int low = high >= 0 ? tako__hex_value(from[1]) : -1;

			if (low < 0)
				return TAKO_EINVAL;
			c = (char)(high << 4 | low);
			from += 2;
		} else if (form && c == '+') {
			c = ' ';
		}
		*to++ = c;
	}
	*ret_n = (size_t)(to - start);
	return TAKO_OK;
}

size_t tako__percent_encode(char *to, const char *from, size_t n)
{
	static const char digits[] = "0123456789ABCDEF";
	char *start = to;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)from[i];

		if (tako__is(from[i], TAKO__C_UNRESERVED)) {
			*to++ = from[i];
			continue;
		}
		*to++ = '%';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	return (size_t)(to - start);
}

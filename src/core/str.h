/* SPDX-License-Identifier: MIT
 *
 * ASCII text as protocols use it: classes of characters, comparison without case, decimals,
 * hexadecimals and percent-encoding.  No locale, no allocation, nothing NUL-terminated.
 */
#ifndef TAKO_CORE_STR_H
#define TAKO_CORE_STR_H

#include <string.h>

#include <tako/base.h>

/* ---- Characters ----------------------------------------------------------- */

enum {
	TAKO__C_TOKEN = 1,      /* tchar, RFC 9110 section 5.6.2 */
	TAKO__C_FIELD = 2,      /* field-vchar, SP and HTAB, RFC 9110 section 5.5 */
	TAKO__C_COOKIE = 4,     /* cookie-octet, RFC 6265 section 4.1.1 */
	TAKO__C_UNRESERVED = 8, /* RFC 3986 section 2.3 */
	TAKO__C_DIGIT = 16,
	TAKO__C_ALPHA = 32,
	TAKO__C_BOUNDARY = 64, /* bchars, RFC 2046 section 5.1.1 */
};

/* The classes of each byte. */
extern const unsigned char tako__char_class[256];

static inline bool tako__is(char c, unsigned classes)
{
	return (tako__char_class[(unsigned char)c] & classes) != 0;
}

/* Whether all n bytes are in one of the classes; true for none. */
static inline bool tako__all(const char *p, size_t n, unsigned classes)
{
	for (size_t i = 0; i < n; i++) {
		if (!tako__is(p[i], classes))
			return false;
	}
	return true;
}

/* ---- Comparing without case ------------------------------------------------- */

/* Equal if they differ only in the case of ASCII letters, eight bytes at a time: a letter
 * shows in the top bit of its byte, which shifted by two is the bit that case is in. */
static inline bool tako__ieq8(uint64_t a, uint64_t b)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low = (a | ones * 0x20) & ones * 0x7f;
	uint64_t from_a = low + ones * (0x80 - 'a');
	uint64_t past_z = low + ones * (0x80 - 'z' - 1);
	uint64_t letters = from_a & ~past_z & ~a & ones * 0x80;

	return ((a ^ b) & ~(letters >> 2)) == 0;
}

static inline uint64_t tako__load8(const char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The first and last four of 4 to 8 bytes, or what there is of 1 to 3. */
static inline uint64_t tako__load_short(const char *p, size_t n)
{
	uint32_t first;
	uint32_t last;

	if (n >= 4) {
		memcpy(&first, p, sizeof(first));
		memcpy(&last, p + n - 4, sizeof(last));
		return (uint64_t)first << 32 | last;
	}
	return n ? (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[n / 2] << 8 |
	                       (unsigned char)p[n - 1]
	         : 0;
}

/* Both have n bytes. */
static inline bool tako__str_ieq(const char *a, const char *b, size_t n)
{
	if (n < 8)
		return tako__ieq8(tako__load_short(a, n), tako__load_short(b, n));
	for (size_t i = 0; i < n - 8; i += 8) {
		if (!tako__ieq8(tako__load8(a + i), tako__load8(b + i)))
			return false;
	}
	return tako__ieq8(tako__load8(a + n - 8), tako__load8(b + n - 8));
}

/* Without the spaces and tabs (OWS, RFC 9110 section 5.6.3) at its ends. */
tako_str tako__str_trim(tako_str s);

/* ---- Numbers ------------------------------------------------------------------ */

enum { TAKO__U64_CHARS = 20 };

/* All n bytes must be digits.  TAKO_EINVAL: none, or another byte; TAKO_ETOOBIG: does not fit.
 * *ret is then unchanged. */
int tako__parse_u64(const char *p, size_t n, uint64_t *ret);

/* Up to TAKO__U64_CHARS digits, no NUL; returns how many. */
size_t tako__format_u64(char *to, uint64_t v);

/* The value of a hexadecimal digit; -1 for any other byte. */
int tako__hex_value(char c);

/* Two lower-case digits for each of n bytes. */
void tako__hex_encode(char *to, const void *bytes, size_t n);

/* ---- Percent-encoding ------------------------------------------------------------ */

/* Decode n bytes (RFC 3986 section 2.1) to at most as many; `to` may be `from`.  `form`: "+"
 * is a space, as in forms and their queries.  The result may hold any byte, NUL included.
 * TAKO_EINVAL: a "%" without two hexadecimal digits. */
int tako__percent_decode(char *to, size_t *ret_n, const char *from, size_t n, bool form);

/* Encode all but unreserved characters; up to 3 * n bytes, not in place.  Returns how many. */
size_t tako__percent_encode(char *to, const char *from, size_t n);

#endif /* TAKO_CORE_STR_H */

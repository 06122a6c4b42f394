/* SPDX-License-Identifier: MIT
 *
 * Escaping for JSON strings, and the UTF-8 check it needs.
 */
#include "core/json.h"

#include <string.h>

#include "core/str.h"

static bool is_tail(const char *p, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return false;
	}
	return true;
}

/* RFC 3629 section 4.  Besides the tails, the second byte of some leads is restricted: no
 * overlong forms, no surrogates, nothing above U+10FFFF. */
size_t tako__utf8_length(const char *p, size_t n)
{
	unsigned char lead = n ? (unsigned char)p[0] : 0xff;
	unsigned char second = n > 1 ? (unsigned char)p[1] : 0;
	size_t length;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (n < length || !is_tail(p + 1, length - 1))
		return 0;
	if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
	    (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f))
		return 0;
	return length;
}

/* What stands for the character at p, and how many bytes of p it is. */
static tako_str escape_one(const char *p, size_t n, char *scratch, size_t *ret_used)
{
	static const char hex[] = "0123456789abcdef";
	static const char control[] = {'\\', 'u', '0', '0'};
	static const char short_forms[] = "\bb\tt\nn\ff\rr\"\"\\\\";
	unsigned char c = (unsigned char)p[0];
	size_t length;

	*ret_used = 1;
	for (size_t i = 0; i < sizeof(short_forms) - 1; i += 2) {
		if (p[0] == short_forms[i]) {
			scratch[0] = '\\';
			scratch[1] = short_forms[i + 1];
			return (tako_str){scratch, 2};
		}
	}
	length = tako__utf8_length(p, n);
	if (!length)
		return TAKO_STR("\\ufffd");
	*ret_used = length;
	/* DEL and U+0080 to U+009F as well: JSON allows them, but terminals obey them. */
	if (length == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0)
		c = (unsigned char)p[1];
	if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
		memcpy(scratch, control, sizeof(control));
		scratch[4] = hex[c >> 4];
		scratch[5] = hex[c & 15];
		return (tako_str){scratch, 6};
	}
	return (tako_str){p, length};
}

static bool is_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Zero if all eight bytes are plain.  Where one is not, the borrows of the subtractions may
 * mark plain bytes above it too, so that only the lowest mark can be trusted. */
static uint64_t not_plain8(uint64_t v)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t control = v - ones * 0x20;
	uint64_t quote = (v ^ ones * '"') - ones;
	uint64_t backslash = (v ^ ones * '\\') - ones;
	uint64_t del = v + ones;

	return (v | control | quote | backslash | del) & ones * 0x80;
}

size_t tako__plain_length(const char *p, size_t n)
{
	size_t i = 0;

	while (n - i >= 8 && !not_plain8(tako__load8(p + i)))
		i += 8;
	while (i < n && is_plain(p[i]))
		i++;
	return i;
}

size_t tako__json_escape(char *to, size_t room, tako_str *text)
{
	size_t written = 0;

	while (text->n) {
		char scratch[TAKO__JSON_CHAR_BYTES];
		size_t left = room - written;
		size_t used = tako__plain_length(text->p, text->n < left ? text->n : left);
		tako_str out = {text->p, used};

		if (!used)
			out = escape_one(text->p, text->n, scratch, &used);
		if (out.n > left)
			break;
		memcpy(to + written, out.p, out.n);
		written += out.n;
		text->p += used;
		text->n -= used;
	}
	return written;
}

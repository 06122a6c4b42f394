/* SPDX-License-Identifier: MIT
 *
 * See h3_bytes.h.
 */
#include "unit/h3_bytes.h"

#include <string.h>

size_t h3_rig_varint(char *to, uint64_t value)
{
	size_t n = value < 64 ? 1 : value < 16384 ? 2 : value < 1 << 30 ? 4 : 8;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)(value >> 8 * (n - 1 - i));
	to[0] = (char)(to[0] | (n == 1 ? 0 : n == 2 ? 0x40 : n == 4 ? 0x80 : 0xc0));
	return n;
}

/* RFC 7541 section 5.1. */
static size_t prefixed(char *to, unsigned pattern, unsigned max, size_t value)
{
	size_t n = 1;

	if (value < max) {
		to[0] = (char)(pattern | value);
		return 1;
	}
	to[0] = (char)(pattern | max);
	for (value -= max; value >= 128; value >>= 7)
		to[n++] = (char)(128 | (value & 127));
	to[n++] = (char)value;
	return n;
}

size_t h3_rig_headers(char *to, const char *lines)
{
	static char section[1 << 17];
	size_t n = 2;
	size_t head;

	memset(section, 0, 2);
	for (const char *at = lines; *at; at = strchr(at, '\n') + 1) {
		const char *eq = strchr(at, '=');
		size_t value_n = (size_t)(strchr(at, '\n') - eq) - 1;

		n += prefixed(section + n, 0x20, 7, (size_t)(eq - at));
		memcpy(section + n, at, (size_t)(eq - at));
		n += (size_t)(eq - at);
		n += prefixed(section + n, 0, 127, value_n);
		memcpy(section + n, eq + 1, value_n);
		n += value_n;
	}
	to[0] = 1;
	head = 1 + h3_rig_varint(to + 1, n);
	memcpy(to + head, section, n);
	return head + n;
}

/* SPDX-License-Identifier: MIT
 *
 * See ws_head.h.
 */
#include "transports/ws/ws_head.h"

#include <string.h>

#include <stdbool.h>

#include "core/base.h"

/* One bit for each opcode that there is. */
static const unsigned known_opcodes = 1u << TAKO__WS_MORE | 1u << TAKO__WS_TEXT |
                                      1u << TAKO__WS_BINARY | 1u << TAKO__WS_CLOSE |
                                      1u << TAKO__WS_PING | 1u << TAKO__WS_PONG;

static bool is_sound(unsigned first, unsigned second)
{
	if (!(second & TAKO__WS_MASKED) || !(known_opcodes >> (first & TAKO__WS_OPCODE) & 1))
		return false;
	return !(first & TAKO__WS_CONTROL) ||
	       ((first & TAKO__WS_FIN) && (second & 127) <= TAKO__WS_CONTROL_BYTES);
}

static uint64_t big_endian(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

int tako__ws_head_read(struct tako__ws_head *ret, const char *p, size_t n)
{
	unsigned first, second;
	size_t bytes = 2;

	if (n < 2)
		return 0;
	first = (unsigned char)p[0];
	second = (unsigned char)p[1];
	if (TAKO__UNLIKELY(!is_sound(first, second)))
		return TAKO_EPROTO;
	ret->first = (uint8_t)first;
	ret->length = second & 127;
	if (ret->length >= 126) {
		size_t more = ret->length == 126 ? 2 : 8;

		if (n < 2 + more)
			return 0;
		ret->length = big_endian(p + 2, more);
		/* "The minimal number of bytes MUST be used", and the highest bit is 0. */
		if (more == 2 ? ret->length < 126 : ret->length - 65536 >= (1ull << 63) - 65536)
			return TAKO_EPROTO;
		bytes += more;
	}
	if (n < bytes + 4)
		return 0;
	memcpy(&ret->key, p + bytes, 4);
	return (int)bytes + 4;
}

size_t tako__ws_head_write(char to[TAKO__WS_OUR_HEAD_BYTES], unsigned first, uint64_t n)
{
	size_t more = n < 126 ? 0 : n < 65536 ? 2 : 8;

	to[0] = (char)first;
	to[1] = (char)(more == 0 ? n : more == 2 ? 126 : 127);
	for (size_t i = 0; i < more; i++)
		to[2 + i] = (char)(n >> 8 * (more - 1 - i));
	return 2 + more;
}

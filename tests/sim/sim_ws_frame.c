/* SPDX-License-Identifier: MIT
 *
 * See sim_ws_frame.h.
 */
#include "sim/sim_ws_frame.h"

#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

enum { MASKED = 0x80, SHORT_BYTES = 126, MIDDLE_BYTES = 65536 };

size_t sim_ws_frame_head(char to[SIM_WS_HEAD_BYTES], unsigned first, size_t n,
                         const char key[SIM_WS_KEY_BYTES])
{
	size_t long_n = n < SHORT_BYTES ? 0 : n < MIDDLE_BYTES ? 2 : 8;

	to[0] = (char)first;
	to[1] = (char)(MASKED | (!long_n ? n : long_n == 2 ? 126 : 127));
	for (size_t i = 0; i < long_n; i++)
		to[2 + i] = (char)((uint64_t)n >> 8 * (long_n - 1 - i));
	memcpy(to + 2 + long_n, key, SIM_WS_KEY_BYTES);
	return 2 + long_n + SIM_WS_KEY_BYTES;
}

void sim_ws_frame_mask(char *p, size_t n, const char key[SIM_WS_KEY_BYTES])
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(p[i] ^ key[i % SIM_WS_KEY_BYTES]);
}

bool sim_ws_frame_next(const char **p, size_t *n, struct sim_ws_frame *f)
{
	const unsigned char *h = (const unsigned char *)*p;
	size_t long_n;
	uint64_t len;

	if (*n < 2)
		return false;
	assert_false(h[1] & MASKED);
	f->first = h[0];
	long_n = h[1] < 126 ? 0 : h[1] == 126 ? 2 : 8;
	if (*n < 2 + long_n)
		return false;
	len = long_n ? 0 : h[1];
	for (size_t i = 0; i < long_n; i++)
		len = len << 8 | h[2 + i];
	/* As short as it can be said. */
	assert_true(!long_n || len >= (long_n == 2 ? (unsigned)SHORT_BYTES : MIDDLE_BYTES));
	if (*n - 2 - long_n < len)
		return false;
	f->p = *p + 2 + long_n;
	f->n = (size_t)len;
	*p = f->p + len;
	*n -= 2 + long_n + (size_t)len;
	return true;
}

unsigned sim_ws_frame_code(const struct sim_ws_frame *f)
{
	if ((f->first & 0x0f) != SIM_WS_CLOSE || f->n < 2)
		return 0;
	return (unsigned)(unsigned char)f->p[0] << 8 | (unsigned char)f->p[1];
}

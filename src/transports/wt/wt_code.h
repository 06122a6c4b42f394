/* SPDX-License-Identifier: MIT
 *
 * Codes of streams' ends: an application's of 32 bits in the range that HTTP/3 has for them, of which
 * every 31st is reserved and passed over (draft-ietf-webtrans-http3 section 4.3).
 */
#ifndef TAKO_WT_CODE_H
#define TAKO_WT_CODE_H

#include <stdbool.h>
#include <stdint.h>

#define TAKO__WT_CODE_FIRST UINT64_C(0x52e4a40fa8db)
#define TAKO__WT_CODE_LAST UINT64_C(0x52e5ac983162)

/* Section 9.5: what the protocol itself says. */
#define TAKO__WT_BUFFERED_STREAM_REJECTED UINT64_C(0x3994bd84)
#define TAKO__WT_SESSION_GONE UINT64_C(0x170d7b68)

static inline uint64_t tako__wt_code_wire(uint32_t code)
{
	return TAKO__WT_CODE_FIRST + code + code / 0x1e;
}

/* False: it is no application's. */
static inline bool tako__wt_code_of(uint64_t wire, uint64_t *ret_code)
{
	uint64_t n = wire - TAKO__WT_CODE_FIRST;

	if (wire < TAKO__WT_CODE_FIRST || wire > TAKO__WT_CODE_LAST || (wire - 0x21) % 0x1f == 0)
		return false;
	*ret_code = n - n / 0x1f;
	return true;
}

#endif /* TAKO_WT_CODE_H */

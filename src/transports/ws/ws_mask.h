/* SPDX-License-Identifier: MIT
 *
 * The mask of what a client sends (RFC 6455 section 5.3), taken off or put on, which is the same.
 * Knows nothing of frames: bytes, a key and where in the payload they are.
 */
#ifndef TAKO_WS_MASK_H
#define TAKO_WS_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* XOR the n bytes at p, of any alignment, with the key, whose four bytes lie in memory as they came.
 * p[0] is the payload's byte number `offset`.  [any] */
void tako__ws_mask(char *p, size_t n, uint32_t key, size_t offset);

enum tako__ws_mask_level { TAKO__WS_MASK_WORDS, TAKO__WS_MASK_AVX2, TAKO__WS_MASK_LEVEL_COUNT };

/* Use this instruction set from now on; false where this CPU or build has none.  For tests and
 * measurements: the first call chooses the best by itself. */
bool tako__ws_mask_use(enum tako__ws_mask_level level);

#endif /* TAKO_WS_MASK_H */

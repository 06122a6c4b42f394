/* SPDX-License-Identifier: MIT
 *
 * Memory for ngtcp2 out of free lists of the worker: what a packet or a stream takes is given back
 * before the next one asks, and malloc() would be an eighth of its time.  Each connection knows its own
 * blocks and gives back at its end what the library has lost track of: frames of more than three pieces
 * that had to be sent again, in 0.12, as often as a peer likes.
 */
#ifndef TAKO_QUIC_MEM_H
#define TAKO_QUIC_MEM_H

#include "core/list.h"
#include "core/mem.h"
#include "transports/quic/quic_ngtcp2.h"

enum {
	TAKO__QUIC_MEM_SMALL = 16, /* classes of 64 bytes each */
	TAKO__QUIC_MEM_LARGE = 14, /* … and larger ones, up to 32 KiB */
};

/* A worker's. */
struct tako__quic_mem {
	struct tako__pool small[TAKO__QUIC_MEM_SMALL];
	struct tako__pool large[TAKO__QUIC_MEM_LARGE];
};

void tako__quic_mem_init(struct tako__quic_mem *m);
/* Every heap has ended. */
void tako__quic_mem_fini(struct tako__quic_mem *m);

/* A connection's.  It has so much and no more: of what its peer makes it keep, not everything is
 * counted by a window (a gap in a stream costs more than the byte that it ends with). */
struct tako__quic_heap {
	ngtcp2_mem mem;
	struct tako__quic_mem *pools;
	struct tako__list live;
	uint64_t bytes;
	uint64_t bytes_max;
};

void tako__quic_heap_init(struct tako__quic_heap *h, struct tako__quic_mem *pools,
                          uint64_t bytes_max);
/* Give back what is left. */
void tako__quic_heap_fini(struct tako__quic_heap *h);

#endif /* TAKO_QUIC_MEM_H */

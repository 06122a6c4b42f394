/* SPDX-License-Identifier: MIT
 *
 * Memory for the QUIC libraries out of free lists of the worker: what a packet or a stream takes is
 * given back before the next one asks, and malloc() would be an eighth of their time.
 */
#ifndef TAKO_QUIC_MEM_H
#define TAKO_QUIC_MEM_H

#include "core/mem.h"
#include "transports/quic/quic_ngtcp2.h"

enum {
	TAKO__QUIC_MEM_SMALL = 16, /* classes of 64 bytes each */
	TAKO__QUIC_MEM_LARGE = 5,  /* … and of 2, 4, … 32 KiB */
};

struct tako__quic_mem {
	ngtcp2_mem mem;
	struct tako__pool small[TAKO__QUIC_MEM_SMALL];
	struct tako__pool large[TAKO__QUIC_MEM_LARGE];
};

void tako__quic_mem_init(struct tako__quic_mem *m);
/* Everything must have been given back. */
void tako__quic_mem_fini(struct tako__quic_mem *m);

#endif /* TAKO_QUIC_MEM_H */

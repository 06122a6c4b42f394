/* SPDX-License-Identifier: MIT
 *
 * The way out of packets: blocks that they are written into behind each other, and trains of them,
 * each one message to the kernel.  How much may be on its way at once is bounded by the blocks; who
 * finds none waits in a list, in order.
 */
#ifndef TAKO_QUIC_TX_H
#define TAKO_QUIC_TX_H

#include <tako/sys/runtime.h>

#include "core/list.h"
#include "core/mem.h"
#include "core/stats.h"

enum {
	TAKO__QUIC_BLOCK_BYTES = 64 << 10,
	TAKO__QUIC_BLOCKS_MAX = 32, /* of a worker and listener */
};

struct tako__quic_block {
	struct tako__quic_block *next; /* free ones */
	uint32_t used;                 /* bytes that are written, or on their way */
	uint32_t trains;               /* out of it that have not left */
	char data[TAKO__QUIC_BLOCK_BYTES];
};

/* Somebody who waits for a block. */
struct tako__quic_wait {
	struct tako__list link;
	bool waits;
	void (*fn)(struct tako__quic_wait *w);
};

struct tako__quic_tx {
	struct tako_sock *sock;
	struct tako__quic_block *open; /* what is written to; NULL: none yet */
	struct tako__quic_block *free;
	unsigned block_count; /* all there are */
	unsigned free_count;
	unsigned train_count; /* on their way */
	struct tako__list waiting;
	struct tako__pool trains;
	tako__count *sent_bytes; /* the worker's figures, or NULL */
	tako__count *sent_datagrams;
	/* The last train has left: whoever wants to close the socket may. */
	void (*idle)(struct tako__quic_tx *tx);
};

/* Where a train goes. */
struct tako__quic_path {
	const struct sockaddr *to;
	const struct sockaddr *from; /* NULL: the kernel's choice */
	socklen_t to_n;
	socklen_t from_n;
};

void tako__quic_tx_init(struct tako__quic_tx *tx, struct tako_sock *sock,
                        void (*idle)(struct tako__quic_tx *tx));
/* Nothing is on its way. */
void tako__quic_tx_fini(struct tako__quic_tx *tx);

/* Room for `need` bytes at least, *ret_n of them; until the next call of anything here.  NULL: there
 * is none now. */
char *tako__quic_tx_room(struct tako__quic_tx *tx, size_t need, size_t *ret_n);
/* The first `n` bytes of it go out, as datagrams of `segment` bytes, the last maybe shorter.  Lost
 * where there is no memory for it, as datagrams may be. */
void tako__quic_tx_send(struct tako__quic_tx *tx, size_t n, size_t segment,
                        const struct tako__quic_path *path, unsigned ecn);
/* A copy, alone. */
void tako__quic_tx_copy(struct tako__quic_tx *tx, const void *p, size_t n,
                        const struct tako__quic_path *path);

/* Be called, once, when there is room; or no longer. */
void tako__quic_tx_wait(struct tako__quic_tx *tx, struct tako__quic_wait *w);
void tako__quic_tx_unwait(struct tako__quic_tx *tx, struct tako__quic_wait *w);

#endif /* TAKO_QUIC_TX_H */

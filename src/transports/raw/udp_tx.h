/* SPDX-License-Identifier: MIT
 *
 * The way out of raw datagrams: copied into blocks behind each other, and where they go to one peer and
 * are equally long one train, which is one message to the kernel.  How much waits is bounded; what is more
 * is dropped, and counted.  Knows neither listeners nor peers.
 */
#ifndef TAKO_UDP_TX_H
#define TAKO_UDP_TX_H

#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/mem.h"
#include "core/stats.h"

enum {
	TAKO__UDP_BLOCK_BYTES = 64 << 10,
	TAKO__UDP_OVERHEAD = 64, /* what a datagram counts beside its bytes */
};
_Static_assert((int)TAKO__UDP_BLOCK_BYTES >= (int)TAKO_DGRAM_BYTES_MAX, "any datagram fits");

/* In datagrams. */
struct tako__udp_sent {
	tako__count sent;    /* taken by the kernel */
	tako__count failed;  /* refused by it */
	tako__count dropped; /* no room, no memory, or still queued when the socket was closed */
};

struct tako__udp_block {
	struct tako__udp_block *next; /* free ones */
	uint32_t used;                /* bytes that are on their way */
	uint32_t trains;              /* out of it that have not left */
	char data[TAKO__UDP_BLOCK_BYTES];
};

struct tako__udp_train;

struct tako__udp_tx {
	struct tako_sock *sock;
	struct tako__udp_sent *counts;
	tako__count *sent_bytes;
	struct tako__udp_block *open; /* what is written to; NULL: none yet */
	struct tako__udp_block *free;
	unsigned free_count;
	struct tako__udp_train *last; /* the last in the queue, if it may get longer */
	struct tako__pool trains;
	uint64_t unsent_bytes; /* as tako_udp_unsent() has it */
	uint64_t queued_bytes; /* with the overhead */
	uint64_t max_bytes;    /* of these */
	bool refused;          /* since room() was called last */
	/* A quarter or less is left, after something was `refused`; or nothing is. */
	void (*room)(struct tako__udp_tx *tx, bool refused);
};

struct tako__udp_path {
	const struct sockaddr *to;
	const struct sockaddr *from; /* NULL: the kernel's choice */
	socklen_t to_n;
	socklen_t from_n;
};

void tako__udp_tx_init(struct tako__udp_tx *tx, struct tako_sock *sock,
                       struct tako__udp_sent *counts, tako__count *sent_bytes, uint64_t max_bytes,
                       void (*room)(struct tako__udp_tx *tx, bool refused));
/* Nothing is on its way. */
void tako__udp_tx_fini(struct tako__udp_tx *tx);

/* How many datagrams that is.  TAKO_ETOOBIG: one of them is. */
int tako__udp_tx_measure(uint64_t *ret, size_t n, uint32_t segment_bytes);

/* Queue `data`, as datagrams of segment_bytes (0: as one).  0, or TAKO_EBUSY or TAKO_ENOMEM: all of it is
 * dropped; TAKO_ETOOBIG, which is not counted. */
int tako__udp_tx_send(struct tako__udp_tx *tx, const struct tako__udp_path *path, tako_str data,
                      uint32_t segment_bytes);

#endif /* TAKO_UDP_TX_H */

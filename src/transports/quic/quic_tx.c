/* SPDX-License-Identifier: MIT
 *
 * See quic_tx.h.  Knows nothing of connections.  Where the kernel takes no more the runtime keeps the
 * trains, and asks again; nothing is ever written anew for that.
 */
#include "transports/quic/quic_tx.h"

#include <string.h>

#include "core/base.h"

enum { BLOCKS_KEPT = 4, TRAINS_KEPT = 256 };

struct train {
	struct tako_dgram_send d;
	struct tako__quic_tx *tx;
	struct tako__quic_block *block;
	union tako_dgram_addr to; /* its sender may be gone before it has left */
	union tako_dgram_addr from;
};

void tako__quic_tx_init(struct tako__quic_tx *tx, struct tako_sock *sock,
                        void (*idle)(struct tako__quic_tx *tx))
{
	*tx = (struct tako__quic_tx){.sock = sock, .idle = idle};
	tako__list_init(&tx->waiting);
	tako__pool_init(&tx->trains, sizeof(struct train), TRAINS_KEPT);
}

static void block_free(struct tako__quic_tx *tx, struct tako__quic_block *b)
{
	tx->block_count--;
	tako__free(b, sizeof *b);
}

void tako__quic_tx_fini(struct tako__quic_tx *tx)
{
	struct tako__quic_block *next;

	if (tx->open)
		block_free(tx, tx->open);
	for (struct tako__quic_block *b = tx->free; b; b = next) {
		next = b->next;
		block_free(tx, b);
	}
	tako__pool_fini(&tx->trains);
}

/* ---- Blocks -------------------------------------------------------------------- */

/* The last one given back is in a near cache. */
static struct tako__quic_block *block_get(struct tako__quic_tx *tx)
{
	struct tako__quic_block *b = tx->free;

	if (b) {
		tx->free = b->next;
		tx->free_count--;
	} else if (tx->block_count < TAKO__QUIC_BLOCKS_MAX) {
		b = tako__alloc(sizeof *b);
		tx->block_count += b != NULL;
	}
	if (b) {
		b->used = 0;
		b->trains = 0;
	}
	return b;
}

static void block_put(struct tako__quic_tx *tx, struct tako__quic_block *b)
{
	if (tx->free_count >= BLOCKS_KEPT) {
		block_free(tx, b);
		return;
	}
	b->next = tx->free;
	tx->free = b;
	tx->free_count++;
}

static size_t left_in(const struct tako__quic_block *b)
{
	return b ? TAKO__QUIC_BLOCK_BYTES - b->used : 0;
}

char *tako__quic_tx_room(struct tako__quic_tx *tx, size_t need, size_t *ret_n)
{
	/* One without trains is empty, so the one that is left behind has some. */
	if (left_in(tx->open) < need) {
		tx->open = block_get(tx);
		if (!tx->open)
			return NULL;
	}
	*ret_n = left_in(tx->open);
	return tx->open->data + tx->open->used;
}

/* ---- Trains ----------------------------------------------------------------------- */

/* In order, each as long as there is room: who takes the last of it leaves the others waiting. */
static void wake_waiting(struct tako__quic_tx *tx)
{
	while (!tako__list_empty(&tx->waiting) &&
	       (tx->free || tx->block_count < TAKO__QUIC_BLOCKS_MAX)) {
		struct tako__quic_wait *w = TAKO__CONTAINER(tx->waiting.next,
		                                            struct tako__quic_wait, link);

		tako__quic_tx_unwait(tx, w);
		w->fn(w);
	}
}

static void on_done(struct tako_send *op, int err)
{
	struct train *t = TAKO__CONTAINER(op, struct train, d.op);
	struct tako__quic_tx *tx = t->tx;
	struct tako__quic_block *b = t->block;

	/* What the kernel refuses is lost, and found out as every loss is. */
	(void)err;
	tako__pool_put(&tx->trains, t);
	tx->train_count--;
	if (--b->trains == 0) {
		if (b == tx->open)
			b->used = 0;
		else
			block_put(tx, b);
		wake_waiting(tx);
	}
	if (!tx->train_count)
		tx->idle(tx);
}

static void copy_addr(union tako_dgram_addr *to, const struct sockaddr *sa, socklen_t n)
{
	memcpy(to, sa, n <= sizeof *to ? n : sizeof *to);
}

void tako__quic_tx_send(struct tako__quic_tx *tx, size_t n, size_t segment,
                        const struct tako__quic_path *path, unsigned ecn)
{
	struct train *t = tako__pool_get(&tx->trains);
	struct tako__quic_block *b = tx->open;

	if (!t)
		return;
	memset(&t->d, 0, sizeof t->d);
	t->tx = tx;
	t->block = b;
	t->d.op = (struct tako_send){
		.done = on_done, .p = b->data + b->used, .n = n, .file_fd = -1};
	t->d.segment_bytes = n > segment ? (uint32_t)segment : 0;
	t->d.ecn = (uint8_t)ecn;
	copy_addr(&t->to, path->to, path->to_n);
	t->d.to = &t->to.any;
	t->d.to_n = path->to_n;
	if (path->from) {
		copy_addr(&t->from, path->from, path->from_n);
		t->d.from = &t->from.any;
		t->d.from_n = path->from_n;
	}
	b->used += (uint32_t)n;
	b->trains++;
	tx->train_count++;
	if (tx->sent_bytes) {
		tako__add(tx->sent_bytes, n);
		tako__add(tx->sent_datagrams, (n + segment - 1) / segment);
	}
	tako_sock_queue(tx->sock, &t->d.op);
	tx->sock->loop->rt->flush(tx->sock);
}

void tako__quic_tx_copy(struct tako__quic_tx *tx, const void *p, size_t n,
                        const struct tako__quic_path *path)
{
	size_t room;
	char *to = tako__quic_tx_room(tx, n, &room);

	if (!to)
		return;
	memcpy(to, p, n);
	tako__quic_tx_send(tx, n, n, path, 0);
}

/* ---- Waiting --------------------------------------------------------------------------- */

void tako__quic_tx_wait(struct tako__quic_tx *tx, struct tako__quic_wait *w)
{
	if (w->waits)
		return;
	w->waits = true;
	tako__list_push_back(&tx->waiting, &w->link);
}

void tako__quic_tx_unwait(struct tako__quic_tx *tx, struct tako__quic_wait *w)
{
	(void)tx;
	if (!w->waits)
		return;
	w->waits = false;
	tako__list_remove(&w->link);
}

/* SPDX-License-Identifier: MIT
 *
 * See udp_tx.h.  Nothing is sent here: what is queued leaves by the runtime, which keeps what the kernel
 * does not take and asks again.
 */
#include "transports/raw/udp_tx.h"

#include <string.h>

enum {
	BLOCKS_KEPT = 2,
	TRAINS_KEPT = 128,
	/* Longer ones are not joined: on a path of the usual length the kernel would refuse the train
	 * and they would be tried one by one. */
	JOINED_BYTES_MAX = 1452,
};

struct tako__udp_train {
	struct tako_dgram_send d;
	struct tako__udp_tx *tx;
	struct tako__udp_block *block;
	uint32_t count;           /* of datagrams */
	uint32_t bytes;           /* of all of them */
	union tako_dgram_addr to; /* its sender's may be gone before it has left */
	union tako_dgram_addr from;
};

void tako__udp_tx_init(struct tako__udp_tx *tx, struct tako_sock *sock,
                       struct tako__udp_sent *counts, tako__count *sent_bytes, uint64_t max_bytes,
                       void (*room)(struct tako__udp_tx *tx, bool refused))
{
	*tx = (struct tako__udp_tx){.sock = sock,
	                            .counts = counts,
	                            .sent_bytes = sent_bytes,
	                            .max_bytes = max_bytes,
	                            .room = room};
	tako__pool_init(&tx->trains, sizeof(struct tako__udp_train), TRAINS_KEPT);
}

static void block_free(struct tako__udp_block *b)
{
	tako__free(b, sizeof *b);
}

void tako__udp_tx_fini(struct tako__udp_tx *tx)
{
	struct tako__udp_block *next;

	if (tx->open)
		block_free(tx->open);
	for (struct tako__udp_block *b = tx->free; b; b = next) {
		next = b->next;
		block_free(b);
	}
	tako__pool_fini(&tx->trains);
}

/* ---- Blocks ------------------------------------------------------------------------------------ */

/* The last one given back is in a near cache.  How many there are follows from what may be queued. */
static struct tako__udp_block *block_get(struct tako__udp_tx *tx)
{
	struct tako__udp_block *b = tx->free;

	if (b) {
		tx->free = b->next;
		tx->free_count--;
	} else {
		b = tako__alloc(sizeof *b);
	}
	if (b) {
		b->used = 0;
		b->trains = 0;
	}
	return b;
}

static void block_done(struct tako__udp_tx *tx, struct tako__udp_block *b)
{
	if (--b->trains)
		return;
	if (b == tx->open) {
		b->used = 0;
	} else if (tx->free_count < BLOCKS_KEPT) {
		b->next = tx->free;
		tx->free = b;
		tx->free_count++;
	} else {
		block_free(b);
	}
}

/* One that is left behind has trains: it was full. */
static bool make_room(struct tako__udp_tx *tx, size_t n)
{
	struct tako__udp_block *b = tx->open;

	if (TAKO__LIKELY(b && TAKO__UDP_BLOCK_BYTES - b->used >= n))
		return true;
	b = block_get(tx);
	if (b)
		tx->open = b;
	return b;
}

/* ---- Trains --------------------------------------------------------------------------------------- */

static uint64_t weight(const struct tako__udp_train *t)
{
	return t->bytes + (uint64_t)t->count * TAKO__UDP_OVERHEAD;
}

static uint64_t count_of(uint64_t bytes, uint32_t segment_bytes)
{
	if (!segment_bytes || bytes <= segment_bytes)
		return 1;
	return (bytes - 1) / segment_bytes + 1;
}

/* Of a train that failed, datagrams may have left before. */
static void count(struct tako__udp_tx *tx, const struct tako__udp_train *t, int err)
{
	uint64_t left = err ? count_of(t->d.op.n, t->d.segment_bytes) : 0;

	tako__add(&tx->counts->sent, t->count - left);
	tako__add(tx->sent_bytes, t->bytes - t->d.op.n);
	if (TAKO__UNLIKELY(err))
		tako__add(err == TAKO_ECLOSED ? &tx->counts->dropped : &tx->counts->failed, left);
}

static void tell_room(struct tako__udp_tx *tx)
{
	bool refused = tx->refused;

	tx->refused = false;
	tx->room(tx, refused);
}

static void on_done(struct tako_send *op, int err)
{
	struct tako__udp_train *t = TAKO__CONTAINER(op, struct tako__udp_train, d.op);
	struct tako__udp_tx *tx = t->tx;

	count(tx, t, err);
	tx->unsent_bytes -= t->bytes;
	tx->queued_bytes -= weight(t);
	if (tx->last == t)
		tx->last = NULL;
	block_done(tx, t->block);
	tako__pool_put(&tx->trains, t);
	if (!tx->queued_bytes || (tx->refused && tx->queued_bytes <= tx->max_bytes / 4))
		tell_room(tx);
}

static bool same_addr(const union tako_dgram_addr *a, socklen_t a_n, const struct sockaddr *b,
                      socklen_t b_n)
{
	return a_n == b_n && (!a_n || memcmp(a, b, a_n) == 0);
}

/* Can one more of `n` bytes follow the last datagram of it? */
static bool may_join(const struct tako__udp_tx *tx, const struct tako__udp_path *path, size_t n)
{
	const struct tako__udp_train *t = tx->last;
	uint32_t segment;

	if (!t || !n || t->block != tx->open)
		return false;
	segment = t->d.segment_bytes ? t->d.segment_bytes : t->bytes;
	return n <= segment && segment <= JOINED_BYTES_MAX &&
	       t->bytes == (uint64_t)t->count * segment && t->d.op.n == t->bytes &&
	       t->count < TAKO_DGRAM_SEGMENTS_MAX && t->bytes + n <= TAKO_DGRAM_BYTES_MAX &&
	       same_addr(&t->to, t->d.to_n, path->to, path->to_n) &&
	       same_addr(&t->from, t->d.from_n, path->from, path->from_n);
}

static void join(struct tako__udp_tx *tx, uint32_t n)
{
	struct tako__udp_train *t = tx->last;

	if (!t->d.segment_bytes)
		t->d.segment_bytes = t->bytes;
	t->count++;
	t->bytes += n;
	t->d.op.n += n;
	tx->sock->queued_bytes += n;
}

static bool begin(struct tako__udp_tx *tx, const struct tako__udp_path *path, uint32_t n,
                  uint32_t segment_bytes)
{
	struct tako__udp_train *t = tako__pool_get(&tx->trains);
	struct tako__udp_block *b = tx->open;

	if (!t)
		return false;
	memset(&t->d, 0, sizeof t->d);
	t->tx = tx;
	t->block = b;
	t->count = (uint32_t)count_of(n, segment_bytes);
	t->bytes = n;
	t->d.op = (struct tako_send){
		.done = on_done, .p = b->data + b->used, .n = n, .file_fd = -1};
	t->d.segment_bytes = t->count > 1 ? segment_bytes : 0;
	memcpy(&t->to, path->to, path->to_n);
	t->d.to = &t->to.any;
	t->d.to_n = path->to_n;
	if (path->from) {
		memcpy(&t->from, path->from, path->from_n);
		t->d.from = &t->from.any;
		t->d.from_n = path->from_n;
	}
	b->trains++;
	tx->last = t;
	tako_sock_queue(tx->sock, &t->d.op);
	tx->sock->loop->rt->flush(tx->sock);
	return true;
}

/* ---- Sending ------------------------------------------------------------------------------------------ */

/* A train's worth of it at most. */
static bool send_some(struct tako__udp_tx *tx, const struct tako__udp_path *path, const char *p,
                      uint32_t n, uint32_t segment_bytes)
{
	bool one = n <= segment_bytes || !segment_bytes;

	if (!make_room(tx, n))
		return false;
	if (n)
		memcpy(tx->open->data + tx->open->used, p, n);
	if (one && may_join(tx, path, n))
		join(tx, n);
	else if (!begin(tx, path, n, segment_bytes))
		return false;
	tx->open->used += n;
	tx->unsent_bytes += n;
	tx->queued_bytes += n + count_of(n, segment_bytes) * TAKO__UDP_OVERHEAD;
	return true;
}

/* Bytes of the most segments that one train may have. */
static uint32_t train_bytes(uint32_t segment_bytes)
{
	uint32_t count = TAKO_DGRAM_BYTES_MAX / segment_bytes;

	return segment_bytes *
	       (count < TAKO_DGRAM_SEGMENTS_MAX ? count : (uint32_t)TAKO_DGRAM_SEGMENTS_MAX);
}

static bool has_room(const struct tako__udp_tx *tx, size_t bytes, uint64_t datagrams)
{
	uint64_t left = tx->max_bytes - tx->queued_bytes;

	return bytes <= left && datagrams <= (left - bytes) / TAKO__UDP_OVERHEAD;
}

static int refuse(struct tako__udp_tx *tx, uint64_t datagrams, int why)
{
	tx->refused = true;
	tako__add(&tx->counts->dropped, datagrams);
	return why;
}

int tako__udp_tx_measure(uint64_t *ret, size_t n, uint32_t segment_bytes)
{
	uint64_t datagrams = count_of(n, segment_bytes);
	size_t longest = datagrams > 1 ? segment_bytes : n;

	if (TAKO__UNLIKELY(longest > TAKO_DGRAM_BYTES_MAX))
		return tako__fail(TAKO_ETOOBIG, "a datagram of %zu bytes: %d is the most", longest,
		                  TAKO_DGRAM_BYTES_MAX);
	*ret = datagrams;
	return 0;
}

int tako__udp_tx_send(struct tako__udp_tx *tx, const struct tako__udp_path *path, tako_str data,
                      uint32_t segment_bytes)
{
	uint64_t datagrams;
	uint32_t most;
	int rc = tako__udp_tx_measure(&datagrams, data.n, segment_bytes);

	if (TAKO__UNLIKELY(rc < 0))
		return rc;
	if (TAKO__UNLIKELY(!has_room(tx, data.n, datagrams)))
		return refuse(tx, datagrams, TAKO_EBUSY);
	most = datagrams > 1 ? train_bytes(segment_bytes) : TAKO_DGRAM_BYTES_MAX;
	do {
		uint32_t n = data.n < most ? (uint32_t)data.n : most;

		if (TAKO__UNLIKELY(!send_some(tx, path, data.p, n, segment_bytes)))
			return refuse(tx, count_of(data.n, segment_bytes), TAKO_ENOMEM);
		data.p += n;
		data.n -= n;
	} while (TAKO__UNLIKELY(data.n));
	return 0;
}

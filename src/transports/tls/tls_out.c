/* SPDX-License-Identifier: MIT
 *
 * The sending half of the TLS layer: plain text in, records out, in blocks of the worker's pool
 * that belong to the layer until they have left.  Everything of a turn is queued before the
 * runtime sends, so it leaves in one call.
 */
#include <string.h>

#include "core/conn.h"
#include "transports/tls/tls_layer.h"

struct tako__tls_block {
	struct tako_send op;
	struct tako__tls_layer *t;
	struct tako_send *done; /* taken from above, complete when this has left */
	struct tako_send *done_tail;
	uint32_t used;
	uint32_t reserved;
	char data[];
};

enum {
	BLOCK_ROOM = TAKO__OUT_BYTES - sizeof(struct tako__tls_block),
	/* Head, explicit nonce, inner type, tag, and some to spare. */
	RECORD_EXTRA_BYTES = 64,
	/* A record for a block: as large as a record may be (RFC 8446 section 5.1), nearly. */
	LONG_BYTES = BLOCK_ROOM - RECORD_EXTRA_BYTES,
};

/* ---- Blocks -------------------------------------------------------------------------------- */

static void chain(struct tako_send **head, struct tako_send **tail, struct tako_send *op)
{
	op->next = NULL;
	if (*head)
		(*tail)->next = op;
	else
		*head = op;
	*tail = op;
}

static struct tako_send *unchain(struct tako_send **head)
{
	struct tako_send *op = *head;

	*head = op->next;
	op->next = NULL;
	return op;
}

static void block_done(struct tako_send *op, int err)
{
	struct tako__tls_block *b = TAKO__CONTAINER(op, struct tako__tls_block, op);
	struct tako__tls_layer *t = b->t;
	struct tako__conn *c = t->l.conn;
	struct tako_send *done = b->done;

	if (t->tail == b)
		t->tail = NULL;
	t->flight_bytes -= b->used;
	tako__pool_put(&c->worker->outs, b);
	/* Room first: who hears that his bytes have left may write more. */
	if (err == 0)
		tako__tls_pump(t);
	if (!done && err == 0)
		tako__conn_written(c);
	while (done) {
		struct tako_send *one = unchain(&done);

		one->done(one, err);
	}
}

static int queue_block(struct tako__tls_layer *t, const char *p, size_t n)
{
	struct tako__conn *c = t->l.conn;
	struct tako__tls_block *b = tako__pool_get(&c->worker->outs);
	int rc;

	if (!b)
		return TAKO_ENOMEM;
	memcpy(b->data, p, n);
	b->op = (struct tako_send){.done = block_done, .p = b->data, .n = n, .file_fd = -1};
	b->t = t;
	b->done = NULL;
	b->used = (uint32_t)n;
	t->flight_bytes += n;
	rc = tako__layer_down(c, &t->l, &b->op);
	if (rc < 0) {
		t->flight_bytes -= n;
		tako__pool_put(&c->worker->outs, b);
		return rc;
	}
	t->tail = b;
	return 0;
}

/* Behind what is queued, where there is room: the socket sends what is there when it sends.  With a
 * layer below us that is not ours to do. */
static bool append(struct tako__tls_layer *t, const char *p, size_t n)
{
	struct tako__tls_block *b = t->tail;
	struct tako__conn *c = t->l.conn;

	if (!b || t->l.below || BLOCK_ROOM - b->used < n)
		return false;
	memcpy(b->data + b->used, p, n);
	b->used += (uint32_t)n;
	b->op.n += n;
	t->flight_bytes += n;
	c->sock.queued_bytes += n;
	c->sock.loop->rt->flush(&c->sock);
	return true;
}

static int put(struct tako__tls_layer *t, const char *p, size_t n)
{
	if (t->l.conn->flags & TAKO__CONN_CLOSING)
		return TAKO_ECLOSED;
	if (append(t, p, n))
		return 0;
	while (n) {
		size_t step = n < (size_t)BLOCK_ROOM ? n : (size_t)BLOCK_ROOM;
		int rc = queue_block(t, p, step);

		if (rc < 0)
			return rc;
		p += step;
		n -= step;
	}
	return 0;
}

int tako__tls_send_cb(WOLFSSL *ssl, char *p, int n, void *arg)
{
	struct tako__tls_layer *t = arg;
	int rc = put(t, p, (size_t)n);

	(void)ssl;
	if (TAKO__LIKELY(rc == 0))
		return n;
	t->no_memory = rc == TAKO_ENOMEM;
	return WOLFSSL_CBIO_ERR_CONN_CLOSE;
}

int tako__tls_write_plain(struct tako__tls_layer *t, const char *p, size_t n)
{
	return put(t, p, n);
}

/* ---- What comes from above -------------------------------------------------------------------- */

static size_t record_bytes(struct tako__tls_layer *t)
{
	uint64_t now = tako__now_ns(t->l.conn->worker);

	if (now - t->last_ns > TAKO__TLS_IDLE_NS)
		t->burst_bytes = 0;
	t->last_ns = now;
	return t->burst_bytes < TAKO__TLS_SHORT_UNTIL_BYTES ? TAKO__TLS_SHORT_BYTES : LONG_BYTES;
}

/* One record of the first op. */
static int encrypt(struct tako__tls_layer *t)
{
	struct tako_send *op = t->ops;
	struct tako__conn *c = t->l.conn;
	size_t want = record_bytes(t);
	int n = (int)(op->n < want ? op->n : want);
	int got = n ? wolfSSL_write(t->ssl, op->p, n) : 0;
	/* Asked in any case: the next one to ask would give up for it. */
	bool is_short = tako__tls_lib_short();

	if (TAKO__UNLIKELY(got != n || is_short))
		return TAKO_ECLOSED;
	op->p += n;
	op->n -= (unsigned)n;
	c->held_bytes -= (unsigned)n;
	if (t->burst_bytes < TAKO__TLS_SHORT_UNTIL_BYTES)
		t->burst_bytes += (unsigned)n;
	return 0;
}

/* An op is complete when the block that holds its last byte is. */
static int finish_op(struct tako__tls_layer *t)
{
	int rc = t->tail ? 0 : queue_block(t, "", 0);

	if (rc < 0)
		return rc;
	chain(&t->tail->done, &t->tail->done_tail, unchain(&t->ops));
	return 0;
}

/* Answers to early data leave at once where this wolfSSL can: they are the point of it. */
static bool writes(const struct tako__tls_layer *t)
{
#ifdef TAKO__WOLFSSL_MENDED
	if (t->state == TAKO__TLS_EARLY)
		return true;
#endif
	return t->state == TAKO__TLS_READY;
}

void tako__tls_pump(struct tako__tls_layer *t)
{
	while (t->ops && writes(t) && t->flight_bytes < TAKO__TLS_FLIGHT_BYTES) {
		int rc = t->ops->n ? encrypt(t) : 0;

		if (rc == 0 && t->ops->n == 0)
			rc = finish_op(t);
		if (TAKO__UNLIKELY(rc < 0)) {
			/* Half a stream is nothing that could be gone on with. */
			t->state = TAKO__TLS_OVER;
			tako__conn_close(t->l.conn);
			return;
		}
	}
}

int tako__tls_down(struct tako__layer *l, struct tako_send *op)
{
	struct tako__tls_layer *t = tako__tls_of(l);

	if (op->file_fd >= 0)
		return TAKO_ENOTSUP;
	if (t->state != TAKO__TLS_READY && t->state != TAKO__TLS_EARLY)
		return TAKO_ECLOSED;
	chain(&t->ops, &t->ops_tail, op);
	l->conn->held_bytes += op->n;
	tako__tls_pump(t);
	return 0;
}

void tako__tls_drop_ops(struct tako__tls_layer *t)
{
	while (t->ops) {
		struct tako_send *op = unchain(&t->ops);

		t->l.conn->held_bytes -= op->n;
		op->done(op, TAKO_ECLOSED);
	}
}

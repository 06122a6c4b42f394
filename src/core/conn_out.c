/* SPDX-License-Identifier: MIT
 *
 * What a connection's protocol writes: gathered in blocks, so that what one delivery caused leaves in one
 * call, and handed down the layers.  Never decides when a connection ends.
 */
#include <string.h>

#include "core/conn.h"
#include "core/spool.h"
#include "core/worker.h"

static void out_done(struct tako_send *op, int err)
{
	struct tako__out *o = TAKO__CONTAINER(op, struct tako__out, op);
	struct tako__conn *c = o->conn;

	tako__pool_put(&c->worker->outs, o);
	if (err == 0)
		tako__conn_written(c);
}

static void push(struct tako__conn *c, struct tako_send *op)
{
	bool waits = c->held_head != NULL;
	int rc = TAKO__LIKELY(!waits) ? tako__layer_down(c, NULL, op) : 0;

	if (TAKO__UNLIKELY(waits || rc < 0))
		tako__spool_hold(c, op, rc);
}

/* To a peer that does not read, each small answer would otherwise keep a block of its own: a
 * hundred times what it has been asked to hold. */
static bool join_queued(struct tako__conn *c, struct tako__out *o)
{
	struct tako_send *last = c->sock.tail;
	struct tako__out *to;

	if (TAKO__LIKELY(!last) || last->done != out_done || c->top || c->held_head)
		return false;
	to = TAKO__CONTAINER(last, struct tako__out, op);
	if (TAKO__OUT_ROOM - to->used < o->used)
		return false;
	memcpy(to->data + to->used, o->data, o->used);
	to->used += o->used;
	last->n += o->used;
	c->sock.queued_bytes += o->used;
	tako__pool_put(&c->worker->outs, o);
	c->sock.loop->rt->flush(&c->sock);
	return true;
}

static void queue_open(struct tako__conn *c)
{
	struct tako__out *o = c->open;

	c->open = NULL;
	if (join_queued(c, o))
		return;
	o->op = (struct tako_send){.done = out_done, .p = o->data, .n = o->used, .file_fd = -1};
	push(c, &o->op);
}

char *tako__conn_reserve_slow(struct tako__conn *c, size_t n)
{
	struct tako__out *o;

	if (n > TAKO__OUT_ROOM || (c->flags & TAKO__CONN_CLOSING))
		return NULL;
	o = tako__pool_get(&c->worker->outs);
	if (!o)
		return NULL;
	if (c->open)
		queue_open(c);
	o->conn = c;
	o->used = 0;
	c->open = o;
	tako__conn_touch(c);
	return o->data;
}

/* As much as there is room for, where there is any, then the rest. */
static TAKO__OUTLINE int write_split(struct tako__conn *c, const char *p, size_t n)
{
	while (n) {
		size_t room = c->open ? TAKO__OUT_ROOM - c->open->used : 0;
		size_t step;
		char *to = tako__conn_reserve(c, room ? 1 : n < 64 ? n : 64);

		if (!to)
			return tako__conn_refusal(c);
		room = TAKO__OUT_ROOM - c->open->used;
		step = n < room ? n : room;
		memcpy(to, p, step);
		tako__conn_commit(c, step);
		p += step;
		n -= step;
	}
	return 0;
}

int tako__conn_write(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__out *o = c->open;

	if (TAKO__UNLIKELY(n > TAKO__OUT_ROOM) || (o && TAKO__OUT_ROOM - o->used < n))
		return write_split(c, p, n);
	if (!o) {
		if (!tako__conn_reserve_slow(c, n))
			return tako__conn_refusal(c);
		o = c->open;
	}
	if (TAKO__LIKELY(n))
		memcpy(o->data + o->used, p, n);
	o->used += (uint32_t)n;
	return 0;
}

int tako__conn_send(struct tako__conn *c, struct tako_send *op)
{
	if (c->open)
		queue_open(c);
	push(c, op);
	return 0;
}

void tako__conn_flush(struct tako__conn *c)
{
	/* What a socket that closes would not take goes back with the connection. */
	if (c->open && c->open->used && TAKO__LIKELY(!(c->flags & TAKO__CONN_CLOSING)))
		queue_open(c);
}

void tako__conn_touch(struct tako__conn *c)
{
	if (c->flags & (TAKO__CONN_ENTERED | TAKO__CONN_DIRTY))
		return;
	c->flags |= TAKO__CONN_DIRTY;
	c->dirty_next = c->worker->dirty;
	c->worker->dirty = c;
}

/* SPDX-License-Identifier: MIT
 *
 * See spool.h.  The buffer exists while there is something to read, which is asked for where it is
 * not in memory: nobody waits for a disk.  Completes no op from inside a call of its sender: only
 * when a piece has left, or at the connection's end.
 */
#include "core/spool.h"

#include "core/cold.h"
#include "core/mem.h"
#include "core/worker.h"

struct tako__spool {
	struct tako_send piece;
	struct tako__conn *conn;
	struct tako__timer timer; /* until the disk is asked again */
	struct tako__cold cold;
	bool in_flight;
	char data[TAKO__SPOOL_BYTES];
};

static void pop(struct tako__conn *c, int err)
{
	struct tako_send *op = c->held_head;

	c->held_head = op->next;
	if (!c->held_head)
		c->held_tail = NULL;
	c->held_bytes -= op->n;
	op->next = NULL;
	op->done(op, err);
}

/* What is next cannot be sent, so nothing behind it can: tako__spool_fini() completes all. */
static void give_up(struct tako__conn *c)
{
	tako__conn_close(c);
}

static void on_piece(struct tako_send *op, int err);
static void on_timer(struct tako__timer *t, uint64_t now_ns);

static struct tako__spool *spool_of(struct tako__conn *c)
{
	struct tako__spool *sp = c->spool;

	if (sp)
		return sp;
	sp = tako__alloc(sizeof *sp);
	if (!sp)
		return NULL;
	sp->conn = c;
	sp->cold = (struct tako__cold){0};
	sp->in_flight = false;
	tako__timer_init(&sp->timer, on_timer);
	c->spool = sp;
	return sp;
}

/* True: a disk has to be read first, and the timer is set. */
static bool waits(struct tako__spool *sp, struct tako_send *op, size_t n)
{
	struct tako__worker *w = sp->conn->worker;
	uint64_t now = tako__now_ns(w);

	if (!n || !tako__file_waits(&sp->cold, now, op, n))
		return false;
	tako__timer_set(&w->wheel, &sp->timer, now + TAKO__COLD_RETRY_NS);
	return true;
}

static ssize_t read_piece(struct tako__spool *sp, const struct tako_send *op, size_t want)
{
	return want ? tako__file_piece(op->file_fd, sp->data, want, op->file_pos) : 0;
}

static void send_piece(struct tako__conn *c, struct tako_send *op)
{
	struct tako__spool *sp = spool_of(c);
	size_t want = op->n < sizeof sp->data ? (size_t)op->n : sizeof sp->data;
	ssize_t got;

	if (!sp) {
		give_up(c);
		return;
	}
	if (waits(sp, op, want))
		return;
	got = read_piece(sp, op, want);
	sp->in_flight = got >= 0;
	if (got < 0) {
		give_up(c);
		return;
	}
	op->file_pos += got;
	op->n -= (uint64_t)got;
	c->held_bytes -= (uint64_t)got;
	sp->piece = (struct tako_send){
		.done = on_piece, .p = sp->data, .n = (uint64_t)got, .file_fd = -1};
	if (tako__layer_down(c, NULL, &sp->piece) < 0) {
		sp->in_flight = false;
		give_up(c);
	}
}

static bool is_busy(const struct tako__spool *sp)
{
	return sp && (sp->in_flight || tako__timer_armed(&sp->timer));
}

/* As far as it goes: memory at once, then the first piece of a file. */
static void go_on(struct tako__conn *c)
{
	struct tako_send *op;

	while ((op = c->held_head) && !is_busy(c->spool) && !(c->flags & TAKO__CONN_CLOSING)) {
		struct tako_send *next = op->next;
		uint64_t n = op->n;

		if (op->file_fd >= 0) {
			send_piece(c, op);
			continue;
		}
		/* Its link and what is left of it are the next queue's from here on. */
		if (tako__layer_down(c, NULL, op) < 0) {
			give_up(c);
			return;
		}
		c->held_head = next;
		if (!next)
			c->held_tail = NULL;
		c->held_bytes -= n;
	}
	if (!c->held_head && c->spool && !c->spool->in_flight) {
		tako__free(c->spool, sizeof *c->spool);
		c->spool = NULL;
	}
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__conn *c = TAKO__CONTAINER(t, struct tako__spool, timer)->conn;

	(void)now_ns;
	tako__conn_touch(c);
	go_on(c);
}

static void on_piece(struct tako_send *op, int err)
{
	struct tako__spool *sp = TAKO__CONTAINER(op, struct tako__spool, piece);
	struct tako__conn *c = sp->conn;

	sp->in_flight = false;
	if (err < 0)
		return;
	if (c->held_head->n == 0)
		pop(c, 0);
	go_on(c);
	tako__conn_written(c);
}

void tako__spool_hold(struct tako__conn *c, struct tako_send *op, int refusal)
{
	bool first = !c->held_head;

	op->next = NULL;
	if (c->held_tail)
		c->held_tail->next = op;
	else
		c->held_head = op;
	c->held_tail = op;
	c->held_bytes += op->n;
	if (refusal < 0 && (refusal != TAKO_ENOTSUP || op->file_fd < 0))
		give_up(c);
	else if (first)
		go_on(c);
}

void tako__spool_fini(struct tako__conn *c)
{
	while (c->held_head)
		pop(c, TAKO_ECLOSED);
	if (c->spool)
		tako__timer_clear(&c->worker->wheel, &c->spool->timer);
	tako__free(c->spool, sizeof *c->spool);
	c->spool = NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * What is left of a connection that has ended: its ids and its last word, for as long as packets that
 * were sent before the peer heard of the end may still come (RFC 9000 section 10.2).  Everything else
 * of it is gone at once.
 */
#include <string.h>

#include "transports/quic/quic.h"

/* Three times the time that the last word may take to arrive; bounded, as the peer has a say in that. */
enum { LIFE_MS_MAX = 3000 };

struct tako__quic_tomb {
	struct tako__list link;
	struct tako__quic_cid *cids;
	uint64_t until_ns;
	uint32_t hits;
	uint32_t n;
	uint8_t close[];
};

static void tomb_free(struct tako__quic_worker *qw, struct tako__quic_tomb *t)
{
	tako__quic_table_clear(&qw->table, &t->cids);
	tako__list_remove(&t->link);
	qw->tomb_count--;
	tako__free(t, sizeof *t + t->n);
}

static struct tako__quic_tomb *oldest(struct tako__quic_worker *qw)
{
	return tako__list_empty(&qw->tombs)
	               ? NULL
	               : TAKO__CONTAINER(qw->tombs.next, struct tako__quic_tomb, link);
}

/* In the order of their deaths, which is not quite that of their ends: one may stay a little longer. */
static void on_tomb_timer(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__quic_worker *qw = TAKO__CONTAINER(timer, struct tako__quic_worker, tomb_timer);
	struct tako__quic_tomb *t;

	while ((t = oldest(qw)) && t->until_ns <= now_ns)
		tomb_free(qw, t);
	if (t)
		tako__timer_set(&qw->worker->wheel, timer, t->until_ns);
}

void tako__quic_tombs_init(struct tako__quic_worker *qw)
{
	tako__list_init(&qw->tombs);
	tako__timer_init(&qw->tomb_timer, on_tomb_timer);
}

void tako__quic_tombs_fini(struct tako__quic_worker *qw)
{
	struct tako__quic_tomb *t;

	tako__timer_clear(&qw->worker->wheel, &qw->tomb_timer);
	while ((t = oldest(qw)))
		tomb_free(qw, t);
}

void tako__quic_bury(struct tako__quic *q, const uint8_t *close, size_t n)
{
	struct tako__quic_worker *qw = q->qw;
	uint64_t life_ns = 3 * ngtcp2_conn_get_pto(q->conn);
	struct tako__quic_tomb *t = q->cids && !qw->draining ? tako__alloc(sizeof *t + n) : NULL;

	/* Without one, what still comes is a stranger's, who gets a stateless reset. */
	if (!t) {
		tako__quic_table_clear(&qw->table, &q->cids);
		return;
	}
	if (life_ns > tako__ms_ns(LIFE_MS_MAX))
		life_ns = tako__ms_ns(LIFE_MS_MAX);
	if (qw->tomb_count == TAKO__QUIC_TOMBS_MAX)
		tomb_free(qw, oldest(qw));
	*t = (struct tako__quic_tomb){
		.cids = q->cids, .until_ns = tako__now_ns(qw->worker) + life_ns, .n = (uint32_t)n};
	if (n)
		memcpy(t->close, close, n);
	q->cids = NULL;
	for (struct tako__quic_cid *e = t->cids; e; e = e->sibling) {
		e->q = NULL;
		e->tomb = t;
	}
	tako__list_push_back(&qw->tombs, &t->link);
	qw->tomb_count++;
	if (!tako__timer_armed(&qw->tomb_timer))
		tako__timer_set(&qw->worker->wheel, &qw->tomb_timer, t->until_ns);
}

/* The last word again, ever more seldom, and never longer than what it answers by more than thrice
 * (RFC 9000 section 10.2.1). */
void tako__quic_tomb_hit(struct tako__quic_worker *qw, struct tako__quic_tomb *t,
                         const struct tako__quic_arrival *a)
{
	struct tako__quic_path path = {a->from, a->to, a->from_n, a->to_n};
	uint32_t hits = ++t->hits;

	if (t->n && (hits & (hits - 1)) == 0 && t->n <= 3 * a->n)
		tako__quic_tx_copy(&qw->tx, t->close, t->n, &path);
}

/* SPDX-License-Identifier: MIT
 *
 * Datagrams that the kernel gave to another worker than the one that has the connection, because the
 * peer's address has changed: copied, and mailed, a bounded number of them.
 */
#include <string.h>

#include "transports/quic/quic.h"

struct tako__quic_parcel {
	struct tako__quic_parcel *next;
	struct tako__quic_arrival a;
	union tako_dgram_addr from;
	union tako_dgram_addr to;
	uint8_t data[];
};

static size_t bytes_of(const struct tako__quic_parcel *p)
{
	return sizeof *p + p->a.n;
}

static struct tako__quic_parcel *pack(const struct tako__quic_arrival *a)
{
	struct tako__quic_parcel *p;

	if (a->from_n > sizeof p->from || a->to_n > sizeof p->to)
		return NULL;
	p = tako__alloc(sizeof *p + a->n);
	if (!p)
		return NULL;
	p->next = NULL;
	p->a = *a;
	memcpy(&p->from, a->from, a->from_n);
	memcpy(&p->to, a->to, a->to_n);
	memcpy(p->data, a->p, a->n);
	p->a.from = &p->from.any;
	p->a.to = &p->to.any;
	p->a.p = p->data;
	return p;
}

static struct tako__quic_parcel *take_all(struct tako__quic_inbox *box)
{
	struct tako__quic_parcel *first = box->first;

	box->first = NULL;
	box->last = &box->first;
	box->count = 0;
	return first;
}

static void deliver(struct tako__quic_parcel *p, struct tako__quic_worker *qw)
{
	struct tako__quic_parcel *next;

	for (; p; p = next) {
		next = p->next;
		if (qw)
			tako__quic_input(qw, &p->a, true);
		tako__free(p, bytes_of(p));
	}
}

static void on_mail(struct tako__mail *m)
{
	struct tako__quic_inbox *box = TAKO__CONTAINER(m, struct tako__quic_inbox, mail);
	struct tako__quic_parcel *all;
	struct tako__quic_worker *qw;

	pthread_mutex_lock(&box->lock);
	all = take_all(box);
	/* Once the socket is closed nothing can be answered. */
	qw = box->worker && !(box->ls->sock.flags & TAKO_SOCK_CLOSING) ? box->ls->state : NULL;
	box->posted = false;
	pthread_mutex_unlock(&box->lock);
	deliver(all, qw);
}

bool tako__quic_inbox_post(struct tako__quic_shared *s, unsigned worker,
                           const struct tako__quic_arrival *a)
{
	struct tako__quic_inbox *box = &s->inboxes[worker];
	struct tako__quic_parcel *p = pack(a);

	if (!p)
		return false;
	pthread_mutex_lock(&box->lock);
	if (box->worker && box->count < TAKO__QUIC_INBOX_MAX) {
		*box->last = p;
		box->last = &p->next;
		box->count++;
		p = NULL;
		/* With the lock held, so that nobody posts to a worker that has closed its box. */
		if (!box->posted)
			tako__worker_post(box->worker, &box->mail);
		box->posted = true;
	}
	pthread_mutex_unlock(&box->lock);
	if (!p)
		return true;
	tako__free(p, bytes_of(p));
	return false;
}

void tako__quic_inbox_open(struct tako__quic_worker *qw)
{
	struct tako__quic_inbox *box = &qw->shared->inboxes[qw->worker->index];

	pthread_mutex_lock(&box->lock);
	box->ls = qw->ls;
	box->worker = qw->worker;
	pthread_mutex_unlock(&box->lock);
}

void tako__quic_inbox_close(struct tako__quic_worker *qw)
{
	struct tako__quic_inbox *box = &qw->shared->inboxes[qw->worker->index];
	struct tako__quic_parcel *all;

	pthread_mutex_lock(&box->lock);
	all = take_all(box);
	box->worker = NULL;
	pthread_mutex_unlock(&box->lock);
	deliver(all, NULL);
}

int tako__quic_inboxes_init(struct tako__quic_shared *s)
{
	while (s->inbox_count < s->worker_count) {
		struct tako__quic_inbox *box = &s->inboxes[s->inbox_count];

		if (pthread_mutex_init(&box->lock, NULL) != 0)
			return tako__fail(TAKO_ENOMEM, "QUIC: out of memory");
		box->last = &box->first;
		box->mail.fn = on_mail;
		s->inbox_count++;
	}
	return 0;
}

void tako__quic_inboxes_fini(struct tako__quic_shared *s)
{
	for (unsigned i = 0; i < s->inbox_count; i++)
		pthread_mutex_destroy(&s->inboxes[i].lock);
}

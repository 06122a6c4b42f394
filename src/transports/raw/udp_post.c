/* SPDX-License-Identifier: MIT
 *
 * Datagrams sent from other threads: copied into mail for a worker, which sends them as its own.  What is on
 * its way there is bounded like its queue, and what has no room is dropped and counted.  Never touches what
 * is the worker's, but what does not change while it runs.
 */
#include "core/keyed.h"
#include "transports/raw/udp_int.h"

struct post {
	struct tako__mail mail;
	struct tako__worker *worker;
	struct tako_udp *u;
	uint64_t weight;
	uint64_t datagrams;
	size_t n;
	uint32_t segment_bytes;
	struct tako__udp_path path;
	union tako_dgram_addr to;
	char data[];
};

static void post_free(struct post *p)
{
	tako__free(p, sizeof *p + p->n);
}

/* On the worker: from here on it is one of its own. */
static void on_mail(struct tako__mail *m)
{
	struct post *p = TAKO__CONTAINER(m, struct post, mail);
	struct tako_udp *u = p->u;
	int64_t rc = tako__udp_send(u, &p->path, (tako_str){p->data, p->n}, p->segment_bytes);

	/* Those that the queue has no room for it counts itself. */
	if (rc == TAKO_ECLOSED)
		tako__add(&u->counts->sent.dropped, p->datagrams);
	atomic_fetch_sub_explicit(&u->shared->posted_bytes, p->weight, memory_order_relaxed);
	tako__worker_called(p->worker);
	post_free(p);
}

static bool take_room(struct tako__udp_shared *s, uint64_t weight)
{
	uint64_t now = atomic_load_explicit(&s->posted_bytes, memory_order_relaxed);

	do {
		if (weight > s->cfg.send_queue_bytes - now)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&s->posted_bytes, &now, now + weight, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static int refuse(struct tako__udp_shared *s, uint64_t datagrams, int why)
{
	atomic_fetch_add_explicit(&s->posted_dropped, datagrams, memory_order_relaxed);
	return why;
}

/* To a worker that waits for it: tako__worker_called() is due. */
static int post(struct tako__worker *w, struct tako_udp *u, const struct sockaddr *to,
                uint32_t to_bytes, tako_str data, uint32_t segment_bytes)
{
	struct tako__udp_path path;
	union tako_dgram_addr mapped;
	uint64_t datagrams = 0;
	uint64_t weight;
	struct post *p;
	int rc = tako__udp_path_to(u, &path, &mapped, to, to_bytes);

	if (rc == 0)
		rc = tako__udp_tx_measure(&datagrams, data.n, segment_bytes);
	if (rc < 0)
		return rc;
	/* No more than that multiplied by what it is can overflow: data is in memory. */
	weight = data.n + datagrams * TAKO__UDP_OVERHEAD;
	if (!take_room(u->shared, weight))
		return refuse(u->shared, datagrams, TAKO_EBUSY);
	p = tako__alloc(sizeof *p + data.n);
	if (!p) {
		atomic_fetch_sub_explicit(&u->shared->posted_bytes, weight, memory_order_relaxed);
		return refuse(u->shared, datagrams, TAKO_ENOMEM);
	}
	*p = (struct post){.mail = {.fn = on_mail},
	                   .worker = w,
	                   .u = u,
	                   .weight = weight,
	                   .datagrams = datagrams,
	                   .n = data.n,
	                   .segment_bytes = segment_bytes,
	                   .path = path};
	memcpy(&p->to, path.to, path.to_n);
	p->path.to = &p->to.any;
	if (data.n)
		memcpy(p->data, data.p, data.n);
	tako__worker_post(w, &p->mail);
	return 0;
}

/* Which of the server's addresses it is; -1: none of raw UDP. */
static int find(const tako_server *srv, size_t index)
{
	const struct tako__address *a = tako__server_listener(srv, index);

	for (unsigned i = 0; a && a->transport->udp && i < srv->address_count; i++) {
		if (srv->addresses[i] == a)
			return (int)i;
	}
	return -1;
}

int tako_server_udp_send(tako_server *srv, size_t index, const struct sockaddr *to,
                         uint32_t to_bytes, tako_str data, uint32_t segment_bytes)
{
	int at = srv ? find(srv, index) : -1;
	const struct tako__udp_shared *s;
	struct tako__worker *w;
	int rc;

	if (at < 0)
		return tako__fail(TAKO_ENOENT, "listener %zu is none of raw UDP", index);
	if (!tako__udp_is_addr(to, to_bytes))
		return tako__fail(TAKO_EINVAL, "%u bytes are no address", to_bytes);
	s = srv->addresses[at]->rules.shared;
	/* What goes to one peer goes through one worker: it keeps the order, and is joined. */
	w = tako__worker_call_at(srv, (uint32_t)tako__keyed_hash(s->key, to, to_bytes));
	if (!w)
		return tako__fail(TAKO_ESTATE, "the server does not run");
	rc = post(w, w->listeners[at].state, to, to_bytes, data, segment_bytes);
	if (rc < 0)
		tako__worker_uncalled(w);
	return rc;
}

/* SPDX-License-Identifier: MIT
 *
 * Whose a datagram is: a connection's of this worker, one of another, somebody's who wants to become
 * one, or nobody's.  Decided by the connection id that it is addressed to, and nothing else of it is
 * looked at here.
 */
#include "transports/quic/quic.h"

static void drop(struct tako__quic_worker *qw)
{
	tako__add(&tako__quic_counts(qw)->datagrams_dropped, 1);
}

static void hand_over(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                      unsigned owner)
{
	if (tako__quic_inbox_post(qw->shared, owner, a))
		tako__add(&tako__quic_counts(qw)->handed_over, 1);
	else
		drop(qw);
}

void tako__quic_input(struct tako__quic_worker *qw, const struct tako__quic_arrival *a, bool handed)
{
	struct tako__quic_cid *entry;
	ngtcp2_version_cid vc;
	int rc = ngtcp2_pkt_decode_version_cid(&vc, a->p, a->n, TAKO__QUIC_CID_BYTES);
	unsigned owner;

	if (rc == NGTCP2_ERR_VERSION_NEGOTIATION) {
		if (!tako__quic_negotiate(qw, a, &vc))
			drop(qw);
		return;
	}
	if (rc != 0) {
		drop(qw);
		return;
	}
	entry = tako__quic_table_find(&qw->table, vc.dcid, vc.dcidlen);
	if (TAKO__LIKELY(entry && entry->q)) {
		tako__quic_read(entry->q, a);
		return;
	}
	if (entry) {
		tako__quic_tomb_hit(qw, entry->tomb, a);
		return;
	}
	/* A client's own choice of this length is handed over too, as often as there are workers: then
	 * the connection is there, and so is what follows. */
	owner = vc.dcidlen == TAKO__QUIC_CID_BYTES ? tako__quic_cid_worker(vc.dcid, &qw->table.key)
	                                           : qw->worker->index;
	if (!handed && owner != qw->worker->index && owner < qw->worker->srv->worker_count)
		hand_over(qw, a, owner);
	else if (!tako__quic_accept(qw, a, &vc))
		drop(qw);
}

/* A train that the kernel has joined: one by one. */
static void input_all(struct tako__quic_worker *qw, const struct tako_dgram *d)
{
	size_t step = d->segment_bytes ? d->segment_bytes : d->n;

	for (size_t at = 0; at < d->n; at += step) {
		struct tako__quic_arrival a = {
			.p = (const uint8_t *)d->p + at,
			.n = d->n - at < step ? d->n - at : step,
			.from = d->from,
			.to = d->to,
			.from_n = d->from_n,
			.to_n = d->to_n,
			.ecn = d->ecn,
		};

		tako__add(&tako__quic_counts(qw)->datagrams_received, 1);
		tako__quic_input(qw, &a, false);
	}
}

void tako__quic_on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	struct tako__quic_worker *qw =
		((struct tako__listener *)TAKO__CONTAINER(s, struct tako__listener, sock))->state;

	for (unsigned i = 0; i < count; i++) {
		tako__add(&qw->worker->stats.received_bytes, v[i].n);
		/* What did not fit is no packet; without the address that it came to there is no path. */
		if (!v[i].truncated && v[i].from && v[i].to) {
			input_all(qw, &v[i]);
		} else {
			tako__add(&tako__quic_counts(qw)->datagrams_received, 1);
			drop(qw);
		}
	}
}

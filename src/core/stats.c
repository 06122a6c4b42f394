/* SPDX-License-Identifier: MIT
 *
 * Summing up what the workers count.  Reads their counters while they run, takes no lock.
 */
#include "core/stats.h"

#include <string.h>

#include <tako/raw.h>

#include "core/log.h"
#include "core/server.h"
#include "core/worker.h"

int tako__stats_init(struct tako__stats *s, unsigned route_count)
{
	/* 0 as an atomic is all bits 0 wherever we run. */
	memset(s, 0, sizeof(*s));
	s->routes = tako__zalloc(route_count * sizeof(*s->routes));
	if (!s->routes)
		return tako__fail(TAKO_ENOMEM, "figures of %u routes: out of memory", route_count);
	s->route_count = route_count;
	return 0;
}

void tako__stats_fini(struct tako__stats *s)
{
	tako__free(s->routes, s->route_count * sizeof(*s->routes));
	s->routes = NULL;
	s->route_count = 0;
}

/* Every exchange ends in one of these, so that nothing else needs to count it. */
static void sum_responses(const struct tako__stats *s, uint64_t by_class[6])
{
	for (unsigned i = 0; i < s->route_count; i++) {
		for (unsigned k = 0; k < 6; k++)
			by_class[k] += tako__read(&s->routes[i].responses[k]);
	}
}

static void add_quic(tako_stats *sum, const struct tako__quic_stats *s)
{
	sum->quic_connections += tako__read(&s->connections);
	sum->quic_handshakes += tako__read(&s->handshakes);
	sum->quic_handshake_failures += tako__read(&s->handshake_failures);
	sum->quic_retries += tako__read(&s->retries);
	sum->quic_stateless_resets += tako__read(&s->stateless_resets);
	sum->quic_version_negotiations += tako__read(&s->version_negotiations);
	sum->quic_datagrams_received += tako__read(&s->datagrams_received);
	sum->quic_datagrams_sent += tako__read(&s->datagrams_sent);
	sum->quic_datagrams_dropped += tako__read(&s->datagrams_dropped);
	sum->quic_handed_over += tako__read(&s->handed_over);
	sum->quic_packets_lost += tako__read(&s->packets_lost);
	sum->quic_migrations += tako__read(&s->migrations);
}

static void add_worker(tako_stats *sum, const struct tako__stats *s)
{
	uint64_t by_class[6] = {0};
	uint64_t ended = 0;
	uint64_t begun;

	/* In this order: what begins meanwhile is active, never fewer than none. */
	sum_responses(s, by_class);
	atomic_thread_fence(memory_order_acquire);
	begun = tako__read(&s->requests);
	for (unsigned k = 0; k < 6; k++)
		ended += by_class[k];
	sum->connections_accepted += tako__read(&s->accepted);
	sum->connections_open += tako__read(&s->open);
	sum->connections_refused += tako__read(&s->refused);
	sum->accept_errors += tako__read(&s->accept_errors);
	sum->requests += begun;
	sum->requests_active += begun > ended ? begun - ended : 0;
	sum->responses_1xx += by_class[1];
	sum->responses_2xx += by_class[2];
	sum->responses_3xx += by_class[3];
	sum->responses_4xx += by_class[4];
	sum->responses_5xx += by_class[5];
	sum->aborted += tako__read(&s->aborted);
	sum->timeouts += tako__read(&s->timeouts);
	sum->received_bytes += tako__read(&s->received_bytes);
	sum->sent_bytes += tako__read(&s->sent_bytes);
	sum->connections_moved += tako__read(&s->moved);
	sum->tls_handshakes += tako__read(&s->tls_handshakes);
	sum->tls_resumed += tako__read(&s->tls_resumed);
	sum->tls_failures += tako__read(&s->tls_failures);
	sum->proxy_errors += tako__read(&s->proxy_errors);
	sum->outgoing_connections += tako__read(&s->dialled);
	sum->outgoing_open += tako__read(&s->dialled_open);
	sum->outgoing_errors += tako__read(&s->dial_errors);
	add_quic(sum, &s->quic);
}

static void add_udp(tako_stats *sum, const tako_server *srv)
{
	tako_udp_stats u = {.size = sizeof(u)};

	for (unsigned i = 0; i < srv->address_count; i++) {
		if (!srv->addresses[i]->transport->udp || tako_server_udp_stats(srv, i, &u) < 0)
			continue;
		sum->udp_received += u.received;
		sum->udp_sent += u.sent;
		sum->udp_dropped += u.dropped;
		sum->udp_failed += u.failed;
		sum->udp_lost += u.lost;
		sum->udp_peers += u.peers_opened > u.peers_closed ? u.peers_opened - u.peers_closed
		                                                  : 0;
	}
}

int tako_server_stats(const tako_server *srv, tako_stats *out)
{
	tako_stats sum = {.size = sizeof(sum)};

	if (!srv || !out || out->size < sizeof(size_t) || out->size > sizeof(sum))
		return tako__fail(TAKO_EINVAL, "tako_stats: size is not set");
	sum.runtime = srv->rt->name;
	sum.runtime_why = srv->rt_why;
	for (unsigned i = 0; i < srv->worker_count; i++)
		add_worker(&sum, &srv->workers[i].stats);
	add_udp(&sum, srv);
	sum.log_dropped = tako__log_dropped(srv->log);
	sum.size = out->size;
	memcpy(out, &sum, out->size);
	return 0;
}

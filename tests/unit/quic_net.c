/* SPDX-License-Identifier: MIT
 *
 * See quic_net.h.
 */
#include "unit/quic_net.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/clock.h"

#define START_NS UINT64_C(1000000000)

const struct sockaddr_in quic_net_server = {.sin_family = AF_INET, .sin_port = 0xbb01};

struct quic_net quic_net;

/* ---- The network ------------------------------------------------------------ */

void quic_net_start(void)
{
	memset(&quic_net, 0, sizeof quic_net);
	quic_net.now_ns = START_NS;
	/* ngtcp2 goes round in circles where a round trip takes no time at all. */
	quic_net.delay_ns = 100000;
	quic_net.seed = 88172645463325252u;
}

void quic_net_end(void)
{
	struct quic_net_packet *next;

	for (struct quic_net_packet *k = quic_net.first; k; k = next) {
		next = k->next;
		free(k);
	}
	quic_net.first = NULL;
}

uint64_t quic_net_random(void)
{
	uint64_t *s = &quic_net.seed;

	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static bool chance(unsigned of_thousand)
{
	return of_thousand && quic_net_random() % 1000 < of_thousand;
}

static void put(struct quic_net_packet *k)
{
	struct quic_net_packet **at = &quic_net.first;

	while (*at && (*at)->due_ns <= k->due_ns)
		at = &(*at)->next;
	k->next = *at;
	*at = k;
}

static void send_once(const struct sockaddr_in *from, const struct sockaddr_in *to, unsigned ecn,
                      const void *p, size_t n)
{
	struct quic_net_packet *k = malloc(sizeof *k + n);

	if (!k)
		abort();
	*k = (struct quic_net_packet){.due_ns = quic_net.now_ns + quic_net.delay_ns,
	                              .from = *from,
	                              .to = *to,
	                              .ecn = quic_net.hold_ecn ? 0 : (uint8_t)ecn,
	                              .n = n};
	memcpy(k->data, p, n);
	if (quic_net.jitter_ns)
		k->due_ns += quic_net_random() % quic_net.jitter_ns;
	if (chance(quic_net.corrupt))
		k->data[quic_net_random() % n] ^= (uint8_t)(1 + quic_net_random() % 255);
	if (chance(quic_net.loss) || (quic_net.mtu_bytes && n > quic_net.mtu_bytes) ||
	    (quic_net.look && !quic_net.look(k, quic_net.look_arg)))
		free(k);
	else
		put(k);
}

void quic_net_send(const struct sockaddr_in *from, const struct sockaddr_in *to, unsigned ecn,
                   const void *p, size_t n)
{
	quic_net.sent_count++;
	quic_net.sent_bytes += n;
	send_once(from, to, ecn, p, n);
	if (chance(quic_net.twice))
		send_once(from, to, ecn, p, n);
}

static bool is_for(const struct quic_net_packet *k, const struct sockaddr_in *to)
{
	return k->to.sin_port == to->sin_port && k->to.sin_addr.s_addr == to->sin_addr.s_addr;
}

struct quic_net_packet *quic_net_take(const struct sockaddr_in *to)
{
	struct quic_net_packet **at = &quic_net.first;
	struct quic_net_packet *k;

	while (*at && (*at)->due_ns <= quic_net.now_ns && !is_for(*at, to))
		at = &(*at)->next;
	k = *at;
	if (!k || k->due_ns > quic_net.now_ns)
		return NULL;
	*at = k->next;
	return k;
}

void quic_net_drop_strays(void)
{
	struct quic_net_packet **at = &quic_net.first;

	while (*at && (*at)->due_ns <= quic_net.now_ns) {
		struct quic_net_packet *k = *at;

		if (is_for(k, &quic_net_server)) {
			at = &k->next;
			continue;
		}
		*at = k->next;
		free(k);
	}
}

uint64_t quic_net_next(void)
{
	return quic_net.first ? quic_net.first->due_ns : UINT64_MAX;
}

/* ---- The runtime ----------------------------------------------------------------- */

struct loop {
	struct tako_loop l;
	struct tako_sock *sock; /* the one there is */
};

static int net_probe(char *why, size_t n)
{
	(void)why;
	(void)n;
	return 0;
}

static int net_open(struct tako_loop **out, const struct tako_loop_config *cfg)
{
	struct loop *loop = calloc(1, sizeof *loop);

	(void)cfg;
	if (!loop)
		return TAKO_ENOMEM;
	loop->l.rt = quic_net_runtime();
	loop->l.now_ns = quic_net.now_ns;
	loop->l.now_ticks = tako__ticks();
	*out = &loop->l;
	return 0;
}

static void net_free(struct tako_loop *l)
{
	free(l);
}

static void send_queued(struct tako_sock *s)
{
	while (s->head && !quic_net.blocked) {
		struct tako_dgram_send *d = TAKO__CONTAINER(s->head, struct tako_dgram_send, op);
		size_t step = d->segment_bytes ? d->segment_bytes : (size_t)d->op.n;
		struct sockaddr_in to;

		memcpy(&to, d->to, sizeof to);
		for (size_t at = 0; at < d->op.n; at += step) {
			size_t left = (size_t)d->op.n - at;

			quic_net_send(&quic_net_server, &to, d->ecn, d->op.p + at,
			              left < step ? left : step);
		}
		quic_net.trains++;
		(void)tako_dgram_sent(s, (size_t)d->op.n);
	}
}

static void deliver(struct tako_sock *s)
{
	struct quic_net_packet *k[TAKO_DGRAM_BATCH];
	struct tako_dgram v[TAKO_DGRAM_BATCH];
	unsigned n = 0;

	while (n < TAKO_DGRAM_BATCH && (k[n] = quic_net_take(&quic_net_server))) {
		v[n] = (struct tako_dgram){.p = (char *)k[n]->data,
		                           .n = k[n]->n,
		                           .segment_bytes = (uint32_t)k[n]->n,
		                           .from = (struct sockaddr *)&k[n]->from,
		                           .to = (struct sockaddr *)&k[n]->to,
		                           .from_n = sizeof k[n]->from,
		                           .to_n = sizeof k[n]->to,
		                           .ecn = k[n]->ecn};
		n++;
	}
	if (n)
		s->cb->on_dgrams(s, v, n);
	while (n)
		free(k[--n]);
}

static void finish(struct loop *loop)
{
	struct tako_sock *s = loop->sock;

	tako_sock_fail(s, TAKO_ECLOSED);
	close(s->fd);
	loop->sock = NULL;
	s->cb->on_closed(s);
}

static void net_refresh(struct tako_loop *l)
{
	l->now_ns = quic_net.now_ns;
	l->now_ticks = tako__ticks();
}

static int net_turn(struct tako_loop *l, uint64_t deadline_ns)
{
	struct loop *loop = TAKO__CONTAINER(l, struct loop, l);

	(void)deadline_ns;
	net_refresh(l);
	if (loop->sock)
		send_queued(loop->sock);
	if (loop->sock && !(loop->sock->flags & (TAKO_SOCK_CLOSING | TAKO_SOCK_PAUSED)))
		deliver(loop->sock);
	if (loop->sock && (loop->sock->flags & TAKO_SOCK_CLOSING))
		finish(loop);
	return 0;
}

static void net_wake(struct tako_loop *l)
{
	(void)l;
}

static int net_pollable(struct tako_loop *l, uint64_t deadline_ns)
{
	(void)l;
	(void)deadline_ns;
	return 0;
}

static int net_start_dgram(struct tako_loop *l, struct tako_sock *s, int fd)
{
	struct loop *loop = TAKO__CONTAINER(l, struct loop, l);

	s->loop = l;
	s->fd = fd;
	loop->sock = s;
	return 0;
}

static int net_listen(struct tako_loop *l, struct tako_sock *s, int fd)
{
	(void)l;
	(void)s;
	(void)fd;
	return TAKO_ENOTSUP;
}

static void net_resume(struct tako_sock *s)
{
	s->flags &= ~TAKO_SOCK_PAUSED;
}

static void net_flush(struct tako_sock *s)
{
	(void)s;
}

static void net_close(struct tako_sock *s)
{
	s->flags |= TAKO_SOCK_CLOSING;
}

const tako_runtime *quic_net_runtime(void)
{
	static const tako_runtime rt = {
		.size = sizeof rt,
		.name = "in memory",
		.probe = net_probe,
		.open = net_open,
		.free = net_free,
		.turn = net_turn,
		.refresh = net_refresh,
		.wake = net_wake,
		.pollable = net_pollable,
		.listen = net_listen,
		.start = net_listen,
		.resume = net_resume,
		.flush = net_flush,
		.close = net_close,
		.reset = net_close,
		.start_dgram = net_start_dgram,
	};

	return &rt;
}

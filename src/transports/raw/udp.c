/* SPDX-License-Identifier: MIT
 *
 * A listener of raw datagrams on one worker: its socket's callbacks, and what its user may ask for.
 * Settings are udp_rule.c's, the way out udp_tx.c's.
 */
#include "transports/raw/udp_int.h"

#include <errno.h>

/* ---- In ----------------------------------------------------------------------------------------------- */

static bool is_any(const struct sockaddr *sa)
{
	const union tako_dgram_addr *a = (const void *)sa;

	return sa->sa_family == AF_INET ? a->in.sin_addr.s_addr == htonl(INADDR_ANY)
	                                : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

/* One message, maybe a train: its datagrams one by one. */
static void deliver(struct tako_udp *u, const struct tako_dgram *d)
{
	const tako_udp_config *cfg = u->cfg;
	size_t step = d->segment_bytes ? d->segment_bytes : d->n;
	size_t at = 0;
	tako_udp_in in = {
		.from = d->from,
		.to = d->to,
		.from_bytes = d->from_n,
		.to_bytes = d->to_n,
		.ifindex = d->ifindex,
	};
	if (in.to && is_any(in.to))
		in.to = NULL;
	if (!u->any) {
		in.to = &u->local.any;
		in.to_bytes = u->local_n;
	}

	do {
		size_t left = d->n - at;

		in.data = (tako_str){d->p + at, left < step ? left : step};
		at += in.data.n;
		if (u->peers.slots && (!in.peer || in.peer->dead)) {
			in.peer = tako__udp_peers_hear(u, &in);
			if (!in.peer)
				continue;
		}
		tako__add(&u->counts->received, 1);
		cfg->on_datagram(u, &in, cfg->arg);
	} while (at < d->n);
}

/* The kernel counts on and on, in 32 bits. */
static void count_lost(struct tako_udp *u, uint32_t dropped)
{
	if ((int32_t)(dropped - u->dropped) <= 0)
		return;
	tako__add(&u->counts->lost, dropped - u->dropped);
	u->dropped = dropped;
}

static void close_socket(struct tako_udp *u)
{
	struct tako_sock *s = &u->ls->sock;

	if (s->flags & TAKO_SOCK_CLOSING)
		return;
	count_lost(u, tako__udp_dropped(s->fd));
	s->loop->rt->close(s);
}

/* Nothing comes any more; what is queued may leave. */
static void drain(struct tako_udp *u)
{
	u->ls->sock.flags |= TAKO_SOCK_PAUSED;
	if (u->cfg->on_stop)
		u->cfg->on_stop(u, u->cfg->arg);
	tako__udp_peers_end(u);
	u->draining = true;
	if (!u->tx.queued_bytes)
		close_socket(u);
}

static void on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	struct tako_udp *u =
		((struct tako__listener *)TAKO__CONTAINER(s, struct tako__listener, sock))->state;

	if (TAKO__UNLIKELY(!count)) {
		drain(u);
		return;
	}
	/* Each says what was so when it came. */
	if (TAKO__UNLIKELY(v[count - 1].dropped != u->dropped))
		count_lost(u, v[count - 1].dropped);
	for (unsigned i = 0; i < count; i++) {
		tako__add(&u->ls->worker->stats.received_bytes, v[i].n);
		/* The buffers hold whatever a datagram may be. */
		if (TAKO__LIKELY(v[i].from && !v[i].truncated))
			deliver(u, &v[i]);
		else
			tako__add(&u->counts->lost, 1);
	}
}

/* What the system says of a datagram that has left: nobody's connection ends by it. */
static void on_error(struct tako_sock *s, char *p, ssize_t res)
{
	struct tako_udp *u =
		((struct tako__listener *)TAKO__CONTAINER(s, struct tako__listener, sock))->state;

	(void)p, (void)res;
	tako__add(&u->counts->errors, 1);
}

/* ---- Life ----------------------------------------------------------------------------------------------- */

static void on_room(struct tako__udp_tx *tx, bool refused)
{
	struct tako_udp *u = TAKO__CONTAINER(tx, struct tako_udp, tx);

	if (u->draining) {
		if (!tx->queued_bytes)
			close_socket(u);
	} else if (refused && u->cfg->on_writable) {
		u->cfg->on_writable(u, u->cfg->arg);
	}
}

/* What the runtime asks for with each datagram, and nobody here has a use for: it is a tenth of the price
 * of receiving one.  What does not apply to the socket's family says so. */
static void ask_for_less(const struct tako_udp *u, int fd)
{
	const int off = 0;

	(void)setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &off, sizeof off);
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, &off, sizeof off);
	if (u->any)
		return;
	(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &off, sizeof off);
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &off, sizeof off);
}

static void on_started(struct tako__listener *ls)
{
	struct tako_udp *u = ls->state;

	ask_for_less(u, ls->sock.fd);
	if (u->cfg->on_start)
		u->cfg->on_start(u, u->cfg->arg);
}

/* The first time what the runtime has may be answered, since another process may have the socket by now, and
 * whatever stays in it; the second the drain is over. */
static void stop(struct tako__listener *ls)
{
	struct tako_udp *u = ls->state;

	if (!(ls->sock.flags & TAKO_SOCK_ENOUGH)) {
		ls->sock.flags |= TAKO_SOCK_PAUSED | TAKO_SOCK_ENOUGH;
		ls->sock.loop->rt->resume(&ls->sock);
		return;
	}
	if (!u->draining)
		drain(u);
	close_socket(u);
}

static const struct tako__dgram_ops ops = {
	.bound = tako__udp_bound,
	.started = on_started,
	.on_dgrams = on_dgrams,
	.on_recv = on_error,
	.stop = stop,
};

static int open_worker(struct tako__listener *ls)
{
	struct tako__udp_shared *shared = ls->shared;
	struct tako_udp *u = tako__zalloc(sizeof *u);

	if (!u)
		return tako__fail(TAKO_ENOMEM, "UDP: out of memory");
	u->local_n = sizeof u->local;
	ls->state = u;
	u->ls = ls;
	u->shared = shared;
	u->cfg = &shared->cfg;
	u->counts = &shared->counts[ls->worker->index];
	tako__udp_tx_init(&u->tx, &ls->sock, &u->counts->sent, &ls->worker->stats.sent_bytes,
	                  u->cfg->send_queue_bytes, on_room);
	if (getsockname(*ls->fd_slot, &u->local.any, &u->local_n) < 0)
		return tako__fail_errno("UDP socket");
	u->any = is_any(&u->local.any);
	return tako__udp_peers_init(u);
}

static void close_worker(struct tako__listener *ls)
{
	struct tako_udp *u = ls->state;

	tako__udp_peers_fini(u);
	tako__udp_tx_fini(&u->tx);
	tako__free(u, sizeof *u);
}

const tako_transport *tako_raw_udp(void)
{
	static const tako_transport transport = {
		.name = "raw UDP",
		.dgram = &ops,
		.udp = true,
		.prepare = tako__udp_prepare,
		.release = tako__udp_release,
		.open = open_worker,
		.close = close_worker,
	};

	return &transport;
}

/* ---- Out -------------------------------------------------------------------------------------------------- */

int64_t tako__udp_send(struct tako_udp *u, const struct tako__udp_path *path, tako_str data,
                       uint32_t segment_bytes)
{
	int rc;

	if (TAKO__UNLIKELY(u->ls->sock.flags & TAKO_SOCK_CLOSING))
		return TAKO_ECLOSED;
	rc = tako__udp_tx_send(&u->tx, path, data, segment_bytes);
	return TAKO__UNLIKELY(rc < 0) ? rc : (int64_t)u->tx.unsent_bytes;
}

int64_t tako_udp_reply(tako_udp *u, const tako_udp_in *in, tako_str data, uint32_t segment_bytes)
{
	struct tako__udp_path path = {.to = in->from, .to_n = in->from_bytes};

	/* Else it is the only one there is. */
	if (u->any) {
		path.from = in->to;
		path.from_n = in->to_bytes;
	}
	return tako__udp_send(u, &path, data, segment_bytes);
}

/* IPv4 from a socket that speaks IPv6 as well, as the kernel wants to have it (RFC 4291 section 2.5.5.2). */
static void map(union tako_dgram_addr *ret, const struct sockaddr *to)
{
	struct sockaddr_in in;

	memcpy(&in, to, sizeof in);
	ret->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = in.sin_port};
	ret->in6.sin6_addr.s6_addr[10] = 0xff;
	ret->in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&ret->in6.sin6_addr.s6_addr[12], &in.sin_addr, 4);
}

bool tako__udp_is_addr(const struct sockaddr *to, uint32_t n)
{
	return to && n <= sizeof(union tako_dgram_addr) && n >= sizeof to->sa_family &&
	       n >= (to->sa_family == AF_INET ? sizeof(struct sockaddr_in)
	                                      : sizeof(struct sockaddr_in6));
}

int tako__udp_path_to(const struct tako_udp *u, struct tako__udp_path *ret,
                      union tako_dgram_addr *mapped, const struct sockaddr *to, uint32_t to_n)
{
	sa_family_t ours = u->local.any.sa_family;

	*ret = (struct tako__udp_path){.to = to, .to_n = to_n};
	if (to->sa_family == AF_INET && ours == AF_INET6 && u->any) {
		map(mapped, to);
		ret->to = &mapped->any;
		ret->to_n = sizeof mapped->in6;
	} else if (to->sa_family != ours) {
		return tako__fail(TAKO_EINVAL, "an address of another family than the listener's");
	}
	return 0;
}

int64_t tako_udp_send(tako_udp *u, const struct sockaddr *to, uint32_t to_bytes, tako_str data,
                      uint32_t segment_bytes)
{
	struct tako__udp_path path;
	union tako_dgram_addr mapped;
	int rc;

	if (!tako__udp_is_addr(to, to_bytes))
		return tako__fail(TAKO_EINVAL, "%u bytes are no address", to_bytes);
	rc = tako__udp_path_to(u, &path, &mapped, to, to_bytes);
	return rc < 0 ? rc : tako__udp_send(u, &path, data, segment_bytes);
}

static int change_group(tako_udp *u, const char *group,
                        int (*fn)(int, const struct tako__udp_group *))
{
	struct tako__udp_group g;
	const char *rest;
	int rc = tako__udp_group_parse(&g, group, &rest);

	if (rc < 0)
		return rc;
	if (rest)
		return tako__fail(TAKO_EINVAL, "\"%.60s\" is more than one group", group);
	return u->draining ? TAKO_ECLOSED : fn(u->ls->sock.fd, &g);
}

int tako_udp_join(tako_udp *u, const char *group)
{
	return change_group(u, group, tako__udp_group_join);
}

int tako_udp_leave(tako_udp *u, const char *group)
{
	return change_group(u, group, tako__udp_group_leave);
}

uint64_t tako_udp_unsent(const tako_udp *u)
{
	return u->tx.unsent_bytes;
}

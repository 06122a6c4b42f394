/* SPDX-License-Identifier: MIT
 *
 * The settings of a listener of raw datagrams, its sockets' options, and its figures.
 */
#include <errno.h>
#include <linux/sock_diag.h>

#include "core/random.h"
#include "transports/raw/udp_int.h"

enum {
	QUEUE_BYTES = 1 << 20,
	QUEUE_BYTES_MIN = 4096,
	PEER_USER_BYTES_MAX = 1 << 20,
};

/* ---- Settings --------------------------------------------------------------------------------------- */

static size_t shared_bytes(unsigned workers)
{
	return sizeof(struct tako__udp_shared) + workers * sizeof(struct tako__udp_counts);
}

static void fill_defaults(tako_udp_config *c)
{
	if (!c->send_queue_bytes)
		c->send_queue_bytes = QUEUE_BYTES;
	if (!c->peer_idle_timeout_ms)
		c->peer_idle_timeout_ms = 60000;
}

/* Of a table that is not there. */
static int check_peers(const tako_udp_config *c)
{
	const char *set = c->on_peer_open           ? "on_peer_open"
	                  : c->on_peer_close        ? "on_peer_close"
	                  : c->peer_user_bytes      ? "peer_user_bytes"
	                  : c->peer_idle_timeout_ms ? "peer_idle_timeout_ms"
	                                            : NULL;

	if (!c->max_peers && set)
		return tako__fail(TAKO_EINVAL, "udp: %s is set, but max_peers is not", set);
	if (c->peer_user_bytes > PEER_USER_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "udp: peer_user_bytes is %zu, not in 0 to %d",
		                  c->peer_user_bytes, PEER_USER_BYTES_MAX);
	if (c->peer_idle_timeout_ms > INT32_MAX && c->peer_idle_timeout_ms != TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "udp: a timeout is over %d ms", INT32_MAX);
	return 0;
}

static int check_groups(const tako_udp_config *c)
{
	if (c->multicast_ttl > 255)
		return tako__fail(TAKO_EINVAL, "udp: multicast_ttl is %u, not in 1 to 255",
		                  c->multicast_ttl);
	if (c->multicast_loop && c->multicast_loop != TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "udp: multicast_loop is %u, not 0 or TAKO_OFF",
		                  c->multicast_loop);
	if (c->broadcast > 1)
		return tako__fail(TAKO_EINVAL, "udp: broadcast is %u, not 0 or 1", c->broadcast);
	return 0;
}

static int check(const tako_udp_config *c)
{
	if (!c->on_datagram)
		return tako__fail(TAKO_EINVAL, "udp: on_datagram is not set");
	if (c->send_queue_bytes < QUEUE_BYTES_MIN)
		return tako__fail(TAKO_EINVAL, "udp: send_queue_bytes is %llu, not %d or more",
		                  (unsigned long long)c->send_queue_bytes, QUEUE_BYTES_MIN);
	if (c->recv_buffer_bytes > INT32_MAX / 2 || c->send_buffer_bytes > INT32_MAX / 2)
		return tako__fail(TAKO_EINVAL, "udp: a socket's buffer is over %d bytes",
		                  INT32_MAX / 2);
	if (c->reserved)
		return tako__fail(TAKO_EINVAL, "udp: reserved is not 0");
	return check_groups(c);
}

static int read_groups(struct tako__udp_shared *s, const char *text)
{
	int rc = 0;

	while (text && rc == 0) {
		if (s->group_count == TAKO__UDP_GROUPS_MAX)
			return tako__fail(TAKO_EINVAL, "udp: more than %d multicast groups",
			                  TAKO__UDP_GROUPS_MAX);
		rc = tako__udp_group_parse(&s->groups[s->group_count++], text, &text);
	}
	return rc;
}

int tako__udp_prepare(void **ret_shared, const struct tako_server *srv,
                      const tako_listen_config *cfg)
{
	tako_udp_config c = {.size = sizeof c};
	unsigned workers = srv->cfg.worker_count;
	struct tako__udp_shared *s;
	int rc;

	if (!cfg->udp)
		return tako__fail(TAKO_EINVAL, "raw UDP needs tako_listen_config.udp");
	rc = tako__import(&c, sizeof c, cfg->udp, sizeof c, "tako_udp_config");
	if (rc == 0)
		rc = check_peers(&c);
	if (rc == 0) {
		fill_defaults(&c);
		rc = check(&c);
	}
	if (rc < 0)
		return rc;
	s = tako__zalloc(shared_bytes(workers));
	if (!s)
		return tako__fail(TAKO_ENOMEM, "UDP: out of memory");
	s->cfg = c;
	s->worker_count = workers;
	rc = read_groups(s, c.multicast);
	if (rc == 0)
		rc = tako__random(s->key, sizeof s->key);
	if (rc < 0)
		tako__udp_release(s);
	else
		*ret_shared = s;
	return rc;
}

void tako__udp_release(void *shared)
{
	struct tako__udp_shared *s = shared;

	tako__free(s, shared_bytes(s->worker_count));
}

/* ---- The socket --------------------------------------------------------------------------------------- */

/* What is asked for is had: a queue that is shorter than its user thinks loses datagrams by night. */
static int set_buffer(int fd, int option, const char *name, const char *limit, uint32_t bytes)
{
	int asked = (int)bytes;
	int got = 0;
	socklen_t n = sizeof got;

	if (!bytes)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, option, &asked, sizeof asked) < 0 ||
	    getsockopt(fd, SOL_SOCKET, option, &got, &n) < 0)
		return tako__fail_errno("udp: %s", name);
	/* The kernel says the double of what it has taken (socket(7)). */
	if (got / 2 < asked)
		return tako__fail(TAKO_ENOTSUP, "udp: %s is %d, but the system allows %d (%s)",
		                  name, asked, got / 2, limit);
	return 0;
}

/* The kernel gives every socket that has joined a copy: one worker does it for all. */
static int join_groups(int fd, unsigned worker, const struct tako__udp_shared *s)
{
	int rc = tako__udp_group_options(fd, &s->cfg);

	for (unsigned i = 0; rc == 0 && worker == 0 && i < s->group_count; i++)
		rc = tako__udp_group_join(fd, &s->groups[i]);
	return rc;
}

static int set_buffers(int fd, const tako_udp_config *c)
{
	int rc = set_buffer(fd, SO_RCVBUF, "recv_buffer_bytes", "net.core.rmem_max",
	                    c->recv_buffer_bytes);

	if (rc == 0)
		rc = set_buffer(fd, SO_SNDBUF, "send_buffer_bytes", "net.core.wmem_max",
		                c->send_buffer_bytes);
	return rc;
}

int tako__udp_bound(int fd, unsigned worker, const void *shared)
{
	const struct tako__udp_shared *s = shared;
	int on = 1;
	int want = IP_PMTUDISC_WANT;
	int rc = set_buffers(fd, &s->cfg);

	if (rc == 0)
		rc = join_groups(fd, worker, s);
	if (rc < 0)
		return rc;
	/* Not as for QUIC: what is longer than the path takes leaves in fragments, as from any program.
	 * One of the two does not apply, and says so. */
	(void)setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &want, sizeof want);
	want = IPV6_PMTUDISC_WANT;
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &want, sizeof want);
	/* Without it drops are told when the server has stopped. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
	if (s->cfg.broadcast && setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) < 0)
		return tako__fail_errno("udp: broadcast");
	return 0;
}

uint32_t tako__udp_dropped(int fd)
{
	uint32_t v[SK_MEMINFO_VARS] = {0};
	socklen_t n = sizeof v;

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, v, &n) == 0 ? v[SK_MEMINFO_DROPS] : 0;
}

/* ---- Figures ------------------------------------------------------------------------------------------- */

static void add(tako_udp_stats *sum, const struct tako__udp_counts *c)
{
	sum->received += tako__read(&c->received);
	sum->sent += tako__read(&c->sent.sent);
	sum->dropped += tako__read(&c->sent.dropped);
	sum->failed += tako__read(&c->sent.failed);
	sum->lost += tako__read(&c->lost);
	sum->errors += tako__read(&c->errors);
	sum->peers_opened += tako__read(&c->peers_opened);
	sum->peers_closed += tako__read(&c->peers_closed);
	sum->peers_refused += tako__read(&c->peers_refused);
}

int tako_server_udp_stats(const tako_server *srv, size_t index, tako_udp_stats *out)
{
	tako_udp_stats sum = {.size = sizeof sum};
	struct tako__udp_shared *s;
	const struct tako__address *a;

	if (!srv || !out || out->size < sizeof(size_t) || out->size > sizeof sum)
		return tako__fail(TAKO_EINVAL, "tako_udp_stats: size is not set");
	a = tako__server_listener(srv, index);
	if (!a || !a->transport->udp)
		return tako__fail(TAKO_ENOENT, "listener %zu is none of raw UDP", index);
	s = a->rules.shared;
	for (unsigned i = 0; i < s->worker_count; i++)
		add(&sum, &s->counts[i]);
	sum.dropped += atomic_load_explicit(&s->posted_dropped, memory_order_relaxed);
	sum.size = out->size;
	memcpy(out, &sum, out->size);
	return 0;
}

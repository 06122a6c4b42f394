/* SPDX-License-Identifier: MIT
 *
 * A connection's life: taken over, fed, written to, watched by one lazy timer, closed.
 * Every entry from the runtime ends in a flush of what was written meanwhile (conn_out.c).
 * Knows neither HTTP nor any kernel interface beyond a socket's.
 */
#include "core/conn.h"

#include <arpa/inet.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <unistd.h>

#include "core/dial.h"
#include "core/proxied.h"
#include "core/record.h"
#include "core/server.h"
#include "core/slow.h"
#include "core/spool.h"
#include "core/worker.h"

enum {
	LINGER_BYTES_MAX = 1 << 20, /* what a peer may still send us for nothing */
	LINGER_DRAINING_MS = 500,
};

static struct tako__conn *conn_of(struct tako_sock *s)
{
	return TAKO__CONTAINER(s, struct tako__conn, sock);
}

/* ---- Callbacks from the runtime -------------------------------------------------- */

/* A server that is ending does not keep everybody waiting for one peer's slow goodbye. */
static uint64_t linger_ns(const struct tako__conn *c)
{
	uint32_t ms = c->worker->srv->cfg.linger_timeout_ms;

	if ((c->flags & TAKO__CONN_DRAINING) && ms > LINGER_DRAINING_MS)
		ms = LINGER_DRAINING_MS;
	return (uint64_t)ms * 1000000;
}

/* Once everything has gone down the layers say their goodbyes, which travel with the last bytes. */
static void end_layers(struct tako__conn *c)
{
	if (c->held_bytes || c->held_head || (c->flags & TAKO__CONN_ENDED))
		return;
	c->flags |= TAKO__CONN_ENDED;
	tako__layer_finish(c);
}

/* Closed with input unread, the connection is reset, and what the peer has not read of our answer is
 * lost, what the kernel holds back of it for certain.  So also who has no reason to expect more
 * looks, for a hundredth of what a short connection costs.  A client whose early data was answered
 * still owes its Finished. */
static bool lingers(struct tako__conn *c)
{
	if (c->sock.flags & TAKO_SOCK_EOF)
		return false;
	return (c->flags & (TAKO__CONN_LINGER | TAKO__CONN_EARLY)) || tako__conn_waiting(c);
}

static void maybe_finish(struct tako__conn *c)
{
	if (!(c->flags & TAKO__CONN_FINISH) ||
	    (c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_LINGERING)))
		return;
	if (c->top)
		end_layers(c);
	/* A send without bytes is one, too: its owner waits for it to be done. */
	if (tako__conn_unsent(c) || c->sock.head)
		return;
	if (!lingers(c)) {
		tako__conn_close(c);
		return;
	}
	c->flags |= TAKO__CONN_LINGERING;
	tako__conn_shut(c);
	tako__conn_deadline(c, tako__now_ns(c->worker) + linger_ns(c));
	tako__conn_resume(c);
}

static void leave(struct tako__conn *c)
{
	if (TAKO__UNLIKELY(c->flags & TAKO__CONN_HELD) && !(c->sock.flags & TAKO_SOCK_PAUSED)) {
		c->flags &= ~TAKO__CONN_HELD;
		tako__layer_resumed(c);
	}
	c->flags &= ~TAKO__CONN_ENTERED;
	tako__conn_flush(c);
	maybe_finish(c);
	if (c->worker->timed_count >= TAKO__TIMED_RUNS)
		tako__worker_time(c->worker);
}

static void linger(struct tako__conn *c, ssize_t res)
{
	if (res > 0)
		c->linger_bytes += (uint32_t)res;
	if (res <= 0 || c->linger_bytes > LINGER_BYTES_MAX)
		tako__conn_close(c);
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	struct tako__conn *c = conn_of(s);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	if (TAKO__UNLIKELY(c->flags & TAKO__CONN_LINGERING)) {
		linger(c, res);
		return;
	}
	if (res > 0)
		tako__add(&c->worker->stats.received_bytes, (uint64_t)res);
	c->flags |= TAKO__CONN_ENTERED;
	if (TAKO__LIKELY(!c->bottom))
		c->proto->recv(c, p, res);
	else
		tako__layer_up(c, NULL, p, res);
	leave(c);
}

static void count_sent(struct tako__conn *c)
{
	tako__add(&c->worker->stats.sent_bytes, c->sock.sent_bytes - c->counted_bytes);
	c->counted_bytes = c->sock.sent_bytes;
}

void tako__conn_written(struct tako__conn *c)
{
	bool nested = c->flags & TAKO__CONN_ENTERED;

	if (TAKO__UNLIKELY(c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_CARRIED))) {
		/* A carried one may be inside its library now, and is looked at afterwards. */
		if (!(c->flags & TAKO__CONN_CLOSING))
			tako__conn_touch(c);
		return;
	}
	c->progress_ns = tako__now_ns(c->worker);
	count_sent(c);
	if (tako__conn_unsent(c) == 0)
		c->flags &= ~TAKO__CONN_STALLED;
	c->flags |= TAKO__CONN_ENTERED;
	c->proto->written(c);
	if (!nested)
		leave(c);
}

void tako__conn_kick(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_CLOSING)
		return;
	c->flags |= TAKO__CONN_ENTERED;
	c->proto->written(c);
	leave(c);
}

/* One that closes is no connection that is made any more: who makes another one instead needs its place. */
static void give_place(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_PLACED)
		tako__dial_count_out(c->worker);
	c->flags &= ~TAKO__CONN_PLACED;
}

static void count_out(struct tako__conn *c)
{
	struct tako_server *srv = c->worker->srv;

	count_sent(c);
	if (!c->listener) {
		give_place(c);
		return;
	}
	tako__add(&c->worker->stats.open, (uint64_t)-1);
	tako__balance_count(c->worker, c->request_count);
	if (c->flags & TAKO__CONN_COUNTED_IP)
		tako__ip_leave(srv->ips, &c->peer.any);
	atomic_fetch_sub_explicit(&srv->conn_count, 1, memory_order_relaxed);
	tako__listener_release(srv);
}

static void undirty(struct tako__conn *c)
{
	struct tako__conn **at = &c->worker->dirty;

	if (!(c->flags & TAKO__CONN_DIRTY))
		return;
	while (*at != c)
		at = &(*at)->dirty_next;
	*at = c->dirty_next;
	c->flags &= ~TAKO__CONN_DIRTY;
}

static void on_closed(struct tako_sock *s)
{
	struct tako__conn *c = conn_of(s);
	struct tako__worker *w = c->worker;

	c->flags |= TAKO__CONN_CLOSING | TAKO__CONN_ENTERED;
	c->proto->fini(c);
	tako__layer_fini(c);
	tako__spool_fini(c);
	if (TAKO__UNLIKELY(c->proxied != NULL))
		tako__proxied_free(c->proxied);
	undirty(c);
	tako__timer_clear(&w->wheel, &c->timer);
	if (c->open)
		tako__pool_put(&w->outs, c->open);
	tako__list_remove(&c->link);
	count_out(c);
	w->conn_count--;
	tako__pool_put(&w->conns, c);
}

static void on_connect(struct tako_sock *s, int errno_value)
{
	struct tako__conn *c = conn_of(s);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	c->flags |= TAKO__CONN_ENTERED;
	tako__dial_answered(c, errno_value);
	leave(c);
}

static void fetch(const void *p, size_t bytes)
{
	for (size_t at = 0; p && at < bytes; at += 64)
		__builtin_prefetch((const char *)p + at);
}

/* 64 KiB that the kernel copies leave nothing else in the CPU's near caches.  One after the other, each
 * when it is needed, the lines that an exchange begins with are a tenth of what such a request costs; all
 * of them at once, while the kernel works, next to nothing. */
static void expect(const struct tako_sock *s)
{
	const struct tako__conn *c = TAKO__CONTAINER(s, struct tako__conn, sock);
	const struct tako__worker *w = c->worker;

	fetch(c, offsetof(struct tako__conn, listener));
	fetch(w, offsetof(struct tako__worker, wheel));
	fetch(&w->exchanges, sizeof w->exchanges);
	fetch(&w->outs, sizeof w->outs);
	fetch(&w->srv->cfg, sizeof w->srv->cfg);
	fetch(w->exchanges.free, offsetof(struct tako__exchange, res_first));
	fetch(w->outs.free, sizeof(struct tako__out) + TAKO__START_COPY_BYTES);
	fetch(w->fields, 64);
	for (unsigned i = 0; i < TAKO__STARTS; i++)
		fetch(&w->starts[i], offsetof(struct tako__start, text) + TAKO__START_COPY_BYTES);
}

static const struct tako_sock_cb conn_callbacks = {
	.on_recv = on_recv,
	.on_dgrams = tako__records_arrive,
	.on_closed = on_closed,
	.expect = expect,
	.on_connect = on_connect,
};

/* ---- Closing ------------------------------------------------------------------------ */

void tako__conn_close(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_CLOSING)
		return;
	if (TAKO__UNLIKELY(c->flags & TAKO__CONN_UNFRAMED) &&
	    (!(c->flags & TAKO__CONN_FINISH) || tako__conn_unsent(c))) {
		tako__conn_reset(c);
		return;
	}
	c->flags |= TAKO__CONN_CLOSING;
	give_place(c);
	c->sock.loop->rt->close(&c->sock);
}

void tako__conn_reset(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_CLOSING)
		return;
	c->flags |= TAKO__CONN_CLOSING;
	give_place(c);
	c->sock.loop->rt->reset(&c->sock);
}

void tako__conn_finish(struct tako__conn *c, bool with_linger)
{
	c->flags |= TAKO__CONN_FINISH | (with_linger ? TAKO__CONN_LINGER : 0);
	/* Otherwise done at the end of the callback we are in, or when the flush is through. */
	if (!(c->flags & TAKO__CONN_ENTERED)) {
		tako__conn_flush(c);
		maybe_finish(c);
	}
}

/* ---- The timer ------------------------------------------------------------------------ */

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__conn *c = TAKO__CONTAINER(t, struct tako__conn, timer);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	if (now_ns < c->deadline_ns) {
		tako__timer_set(&c->worker->wheel, t, c->deadline_ns);
		return;
	}
	if (c->flags & TAKO__CONN_LINGERING) {
		tako__conn_close(c);
		return;
	}
	c->deadline_ns = UINT64_MAX;
	c->flags |= TAKO__CONN_ENTERED;
	c->proto->tick(c);
	leave(c);
}

void tako__conn_arm(struct tako__conn *c)
{
	tako__timer_set(&c->worker->wheel, &c->timer, c->deadline_ns);
}

bool tako__conn_too_slow(struct tako__conn *c, uint64_t now_ns)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;
	uint64_t sent = c->sock.sent_bytes;

	if (!tako__conn_unsent(c)) {
		c->flags &= ~TAKO__CONN_STALLED;
		return false;
	}
	if (!(c->flags & TAKO__CONN_STALLED)) {
		c->flags |= TAKO__CONN_STALLED;
		c->stall_ns = now_ns;
		c->stall_bytes = sent;
		c->progress_ns = now_ns;
		c->progress_bytes = sent;
		return false;
	}
	if (sent != c->progress_bytes) {
		c->progress_bytes = sent;
		c->progress_ns = now_ns;
	}
	return now_ns - c->progress_ns >= tako__ms_ns(cfg->write_timeout_ms) ||
	       tako__below_rate(cfg, sent - c->stall_bytes, now_ns - c->stall_ns);
}

/* ---- Beginning -------------------------------------------------------------------------- */

static void set_peer(struct tako__conn *c, const struct sockaddr *from, socklen_t n)
{
	if (n > sizeof c->peer || n < sizeof(sa_family_t)) {
		c->peer.any.sa_family = AF_UNSPEC;
		return;
	}
	memcpy(&c->peer, from, n);
}

static struct tako__conn *conn_new(struct tako__worker *w, const struct sockaddr *from, socklen_t n)
{
	struct tako__conn *c = tako__pool_get(&w->conns);

	if (!c)
		return NULL;
	memset(c, 0, sizeof *c);
	c->sock.cb = &conn_callbacks;
	c->worker = w;
	c->deadline_ns = UINT64_MAX;
	c->id = atomic_fetch_add_explicit(&w->srv->next_conn_id, 1, memory_order_relaxed) + 1;
	tako__timer_init(&c->timer, on_timer);
	set_peer(c, from, n);
	return c;
}

bool tako__conn_admit(struct tako__conn *c)
{
	struct tako_server *srv = c->worker->srv;
	int family = c->peer.any.sa_family;

	/* One that has no address of the Internet would be counted with all others that have none. */
	if (!srv->ips || (family != AF_INET && family != AF_INET6))
		return true;
	if (!tako__ip_enter(srv->ips, &c->peer.any, srv->cfg.max_connections_per_ip)) {
		tako__add(&c->worker->stats.refused, 1);
		return false;
	}
	c->flags |= TAKO__CONN_COUNTED_IP;
	return true;
}

static void enlist(struct tako__conn *c)
{
	struct tako__worker *w = c->worker;

	w->conn_count++;
	tako__list_push_back(&w->conn_list, &c->link);
	if (w->state != TAKO__SERVING)
		c->flags |= TAKO__CONN_DRAINING;
}

/* One more; NULL: its place is given back. */
static struct tako__conn *conn_enter(struct tako__listener *ls, const struct sockaddr *from,
                                     socklen_t n)
{
	struct tako__worker *w = ls->worker;
	struct tako__conn *c = conn_new(w, from, n);

	tako__add(&w->stats.accepted, 1);
	if (TAKO__LIKELY(c != NULL)) {
		c->listener = ls;
		c->proto = TAKO__LIKELY(!ls->proxy) ? ls->transport->proto : &tako__proxy_ops;
	}
	/* Behind a load balancer it is not known yet whom to count. */
	if (!c || (!ls->proxy && !tako__conn_admit(c))) {
		atomic_fetch_sub(&w->srv->conn_count, 1);
		tako__pool_put(&w->conns, c);
		return NULL;
	}
	tako__add(&w->stats.open, 1);
	enlist(c);
	return c;
}

void tako__conn_accept(struct tako__listener *ls, int fd, const struct sockaddr *from,
                       socklen_t from_len)
{
	struct tako_loop *loop = ls->worker->loop;
	struct tako__conn *c = conn_enter(ls, from, from_len);
	int rc;

	if (!c) {
		close(fd);
		return;
	}
	/* From here on the connection ends by on_closed() only. */
	rc = TAKO__LIKELY(!ls->records) ? loop->rt->start(loop, &c->sock, fd)
	                                : tako__records_start(c, fd);
	if (rc < 0 || c->proto->open(c) < 0)
		tako__conn_close(c);
}

struct tako__conn *tako__conn_carry(struct tako__listener *ls, struct tako_loop *carrier,
                                    const struct sockaddr *from, socklen_t from_len)
{
	struct tako__conn *c = conn_enter(ls, from, from_len);

	if (c) {
		c->flags |= TAKO__CONN_CARRIED;
		c->sock.loop = carrier;
		c->sock.fd = ls->sock.fd;
	}
	return c;
}

int tako__conn_dial(struct tako__conn **ret, struct tako__worker *w,
                    const struct tako__proto_ops *proto, int fd, const struct sockaddr *to,
                    socklen_t n)
{
	struct tako__conn *c = conn_new(w, to, n);
	int rc;

	if (!c) {
		close(fd);
		return tako__fail(TAKO_ENOMEM, "connection: out of memory");
	}
	c->proto = proto;
	enlist(c);
	rc = w->loop->rt->connect(w->loop, &c->sock, fd, to, n);
	if (rc < 0)
		tako__conn_close(c);
	else
		*ret = c;
	return rc;
}

int tako__conn_become(struct tako__conn *c, const struct tako__proto_ops *proto)
{
	c->proto = proto;
	c->deadline_ns = UINT64_MAX;
	memset(c->proto_state, 0, sizeof c->proto_state);
	/* Nobody follows it from clear text (RFC 7838 section 2.1). */
	if (c->top && c->listener && !c->listener->transport->dgram && c->worker->srv->alt_svc_n)
		c->flags |= TAKO__CONN_ALT_SVC;
	return proto->open(c);
}

size_t tako__addr_format(const struct sockaddr *sa, char *buf, size_t n)
{
	char ip[INET6_ADDRSTRLEN];
	int len;

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		len = snprintf(buf, n, "%s:%u", ip, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		/* An IPv4 peer of a dual-stack socket is an IPv4 peer. */
		if (mapped)
			inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], ip, sizeof ip);
		else
			inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
		len = snprintf(buf, n, mapped ? "%s:%u" : "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else if (sa->sa_family == AF_VSOCK) {
		const struct sockaddr_vm *vm = (const void *)sa;

		len = vm->svm_cid == VMADDR_CID_ANY
		              ? snprintf(buf, n, "vsock:%u", vm->svm_port)
		              : snprintf(buf, n, "vsock:%u:%u", vm->svm_cid, vm->svm_port);
	} else {
		len = snprintf(buf, n, "unix:");
	}
	return len < 0 ? 0 : (size_t)len < n ? (size_t)len : n - 1;
}

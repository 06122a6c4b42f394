/* SPDX-License-Identifier: MIT
 *
 * See dial.h: from a target to a connection.  Addresses are tried one after the other, each with a head start
 * before the next (RFC 8305); the first that answers is kept.  Knows what TLS is for and not how it works, and
 * never calls back from inside tako__dial().
 */
#include "core/dial.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/conn.h"
#include "core/local.h"
#include "core/resolve.h"
#include "core/secured.h"
#include "core/server.h"
#include "core/target.h"
#include "core/worker.h"

enum {
	/* At a time: all there are, or some that do not answer would keep the others out. */
	TRIES_MAX = 2 * TAKO__RESOLVED_MAX,
	TEXT_BYTES = 300, /* of a reason */
	WHY_BYTES = 640,
	ALPN_BYTES = 64,
};

/* In the order of preference. */
enum { IP6, IP4, FAMILIES };

/* The addresses of one family. */
struct family {
	struct tako__dial *dial;
	struct tako__query *query; /* NULL: answered, or never asked */
	struct tako__resolved found;
	unsigned next; /* of them, to be tried */
};

struct tako__dial {
	struct tako__list link; /* the worker's */
	struct tako__worker *worker;
	tako__dialed_fn done;
	void *arg;
	struct tako__timer limit;
	struct tako__timer
		step; /* when to go on with the next address, or to tell that there is none */
	struct tako__conn *tries[TRIES_MAX];
	struct tako__conn *chosen; /* it has answered, and its layers come to terms */
	unsigned try_count;
	unsigned turn;     /* whose is the next: addresses of either family alternate */
	uint64_t tried_ns; /* when the last one was */
	bool begun;        /* the target's own address was tried, or a name's first */
	uint32_t timeout_ms;
	int err; /* of the last address that failed */
	int sys_errno;
	struct family families[FAMILIES];
	struct tako_tls_client *tls;        /* NULL: none */
	char name[TAKO__TARGET_HOST_BYTES]; /* whom it meets */
	char alpn[ALPN_BYTES];              /* "": what tls offers */
	char why[WHY_BYTES];
	struct tako__target target;
};

/* The state of a connection that is being made. */
struct attempt {
	struct tako__dial *dial; /* NULL: given up, and being closed */
};

static struct attempt *try_of(struct tako__conn *c)
{
	return (struct attempt *)(void *)c->proto_state;
}

/* ---- Ends ----------------------------------------------------------------------------------------- */

/* One of them is somebody else's from now on, or closes. */
static struct tako__dial *let_go(struct tako__conn *c)
{
	struct tako__dial *d = try_of(c)->dial;

	try_of(c)->dial = NULL;
	if (d->chosen == c)
		d->chosen = NULL;
	for (unsigned i = 0; i < d->try_count; i++) {
		if (d->tries[i] == c)
			d->tries[i] = d->tries[--d->try_count];
	}
	return d;
}

static void give_up(struct tako__conn *c)
{
	let_go(c);
	tako__conn_close(c);
}

static void close_tries(struct tako__dial *d)
{
	while (d->try_count)
		give_up(d->tries[d->try_count - 1]);
}

static void stop_asking(struct tako__dial *d)
{
	for (unsigned i = 0; i < FAMILIES; i++) {
		if (d->families[i].query)
			tako__resolve_cancel(d->families[i].query);
		d->families[i].query = NULL;
	}
}

/* Everything but its place in the count. */
static void dial_free(struct tako__dial *d)
{
	struct tako__worker *w = d->worker;

	close_tries(d);
	if (d->chosen)
		give_up(d->chosen);
	tako__timer_clear(&w->wheel, &d->limit);
	tako__timer_clear(&w->wheel, &d->step);
	stop_asking(d);
	tako__list_remove(&d->link);
	tako__secured_unref(d->tls);
	tako__free(d, sizeof *d);
}

static void leave_count(struct tako__worker *w)
{
	atomic_fetch_sub_explicit(&w->srv->dial_count, 1, memory_order_relaxed);
}

void tako__dial_count_out(struct tako__worker *w)
{
	tako__add(&w->stats.dialled_open, (uint64_t)-1);
	leave_count(w);
}

static void end_well(struct tako__dial *d, struct tako__conn *c, tako_str alpn)
{
	struct tako__dialed r = {.conn = c, .alpn = alpn};
	struct tako__stats *stats = &d->worker->stats;
	tako__dialed_fn done = d->done;
	void *arg = d->arg;

	let_go(c);
	dial_free(d);
	c->flags |= TAKO__CONN_PLACED;
	tako__add(&stats->dialled, 1);
	tako__add(&stats->dialled_open, 1);
	done(&r, arg);
	if (c->proto == &tako__dial_ops)
		tako__conn_close(c);
}

static void end_badly(struct tako__dial *d)
{
	struct tako__dialed r = {.err = d->err, .sys_errno = d->sys_errno};
	struct tako__worker *w = d->worker;
	tako__dialed_fn done = d->done;
	void *arg = d->arg;

	tako__note("%s", d->why);
	dial_free(d);
	leave_count(w);
	tako__add(&w->stats.dial_errors, 1);
	done(&r, arg);
}

static void end_with(struct tako__dial *d, int err, const char *why)
{
	char target[TAKO__TARGET_HOST_BYTES + 8];

	tako__target_format(&d->target, target, sizeof target);
	snprintf(d->why, sizeof d->why, "connect to %s: %.*s", target, TEXT_BYTES, why);
	d->err = err;
	d->sys_errno = 0;
	end_badly(d);
}

/* ---- Addresses -------------------------------------------------------------------------------------- */

/* With the name, where that is not the address. */
static void note_failure(struct tako__dial *d, int errno_value, const struct sockaddr *sa,
                         socklen_t n)
{
	char addr[TAKO__LOCAL_TEXT_BYTES];
	char system[128];

	tako__local_format(sa, n, addr, sizeof addr);
	d->sys_errno = errno_value;
	d->err = errno_value == ETIMEDOUT ? TAKO_ETIMEDOUT
	         : errno_value == ENOMEM  ? TAKO_ENOMEM
	                                  : TAKO_ESYS;
	snprintf(d->why, sizeof d->why, "connect to %s%s%s%s: %s", addr, d->target.sa_n ? "" : " (",
	         d->target.sa_n ? "" : d->target.host, d->target.sa_n ? "" : ")",
	         strerror_r(errno_value, system, sizeof system));
}

static bool has_next(const struct tako__dial *d)
{
	if (d->target.sa_n)
		return !d->begun;
	for (unsigned i = 0; i < FAMILIES; i++) {
		if (d->families[i].next < d->families[i].found.count)
			return true;
	}
	return false;
}

/* There is one.  RFC 8305 section 4: one of each family in turn. */
static const struct sockaddr *take_next(struct tako__dial *d, socklen_t *ret_n)
{
	struct family *f = &d->families[d->turn];
	union tako__ip *ip;

	if (d->target.sa_n) {
		*ret_n = d->target.sa_n;
		return &d->target.sa.any;
	}
	if (f->next == f->found.count)
		f = &d->families[FAMILIES - 1 - d->turn];
	d->turn = f == &d->families[IP6] ? IP4 : IP6;
	ip = &f->found.ips[f->next++];
	if (ip->any.sa_family == AF_INET6)
		ip->in6.sin6_port = htons(d->target.port);
	else
		ip->in.sin_port = htons(d->target.port);
	*ret_n = ip->any.sa_family == AF_INET6 ? sizeof ip->in6 : sizeof ip->in;
	return &ip->any;
}

/* What is written is complete when it is: nobody waits for more of it. */
static int open_socket(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && (family == AF_INET || family == AF_INET6))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	return fd;
}

static bool try_next(struct tako__dial *d)
{
	struct tako__worker *w = d->worker;
	socklen_t n;
	const struct sockaddr *sa = take_next(d, &n);
	int fd = open_socket(sa->sa_family);
	struct tako__conn *c;

	d->begun = true;
	if (fd < 0) {
		note_failure(d, errno, sa, n);
		return false;
	}
	d->err = tako__conn_dial(&c, w, &tako__dial_ops, fd, sa, n);
	if (d->err < 0) {
		snprintf(d->why, sizeof d->why, "connect: %.*s", TEXT_BYTES, tako_last_error());
		return false;
	}
	try_of(c)->dial = d;
	d->tries[d->try_count++] = c;
	d->tried_ns = tako__now_ns(w);
	return true;
}

/* The next one has to wait until this has had its head start, if it is not over by then. */
static void plan_next(struct tako__dial *d)
{
	struct tako__worker *w = d->worker;
	uint32_t delay_ms = w->srv->cfg.connect_attempt_delay_ms;

	if (has_next(d) && d->try_count)
		tako__timer_set(&w->wheel, &d->step, d->tried_ns + tako__ms_ns(delay_ms));
}

static bool is_asking(const struct tako__dial *d)
{
	return d->families[IP6].query || d->families[IP4].query;
}

/* The next address that can be tried at all. */
static bool try_some(struct tako__dial *d)
{
	while (has_next(d)) {
		if (try_next(d)) {
			plan_next(d);
			return true;
		}
	}
	return false;
}

/* From a turn: it may be over with this. */
static void go_on(struct tako__dial *d)
{
	tako__timer_clear(&d->worker->wheel, &d->step);
	if (!try_some(d) && !d->try_count && !d->chosen && !is_asking(d))
		end_badly(d);
}

static void on_step(struct tako__timer *t, uint64_t now_ns)
{
	(void)now_ns;
	go_on(TAKO__CONTAINER(t, struct tako__dial, step));
}

static void on_limit(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__dial *d = TAKO__CONTAINER(t, struct tako__dial, limit);
	char why[64];

	(void)now_ns;
	tako__add(&d->worker->stats.timeouts, 1);
	snprintf(why, sizeof why, "%s within %u ms",
	         d->chosen  ? "no end of the TLS handshake"
	         : d->begun ? "no answer"
	                    : "its name was not looked up",
	         d->timeout_ms);
	end_with(d, TAKO_ETIMEDOUT, why);
}

/* Nobody else is tried any more: who has answered has to come to terms. */
static void begin_tls(struct tako__dial *d, struct tako__conn *c)
{
	struct tako__tls_peer peer = {
		.name = d->name, .port = d->target.port, .alpn = d->alpn[0] ? d->alpn : NULL};
	int rc;

	let_go(c);
	try_of(c)->dial = d;
	d->chosen = c;
	close_tries(d);
	stop_asking(d);
	tako__timer_clear(&d->worker->wheel, &d->step);
	rc = tako__secured_by(d->tls)->begin(c, d->tls, &peer);
	if (rc < 0)
		tako__dial_failed(c, rc, false);
}

void tako__dial_answered(struct tako__conn *c, int errno_value)
{
	struct tako__dial *d = try_of(c)->dial;

	if (!errno_value && d->tls) {
		begin_tls(d, c);
		return;
	}
	if (!errno_value) {
		end_well(d, c, (tako_str){NULL, 0});
		return;
	}
	if (d->target.sa_n)
		note_failure(d, errno_value, &d->target.sa.any, d->target.sa_n);
	else
		note_failure(d, errno_value, &c->peer.any, sizeof c->peer);
	give_up(c);
	go_on(d);
}

/* ---- Names ------------------------------------------------------------------------------------------------ */

/* What is told if there is nothing to try: of two reasons the one that may pass, and why an address was not
 * reached before either. */
static void note_unknown(struct tako__dial *d, const struct tako__resolved *r)
{
	if (d->begun || (d->err && r->err == TAKO_ENOENT))
		return;
	d->err = r->err;
	snprintf(d->why, sizeof d->why, "look up %s: %s", d->target.host,
	         r->why[0] ? r->why : tako_strerror(r->err));
}

/* RFC 8305 section 3: what others there are wait a moment for IPv6's. */
static bool waits_for_ip6(struct tako__dial *d)
{
	struct tako__worker *w = d->worker;
	uint32_t delay_ms = w->srv->cfg.resolve_delay_ms;

	if (d->begun || !d->families[IP6].query || !has_next(d) || delay_ms == TAKO_OFF)
		return false;
	tako__timer_set(&w->wheel, &d->step, tako__now_ns(w) + tako__ms_ns(delay_ms));
	return true;
}

static void on_found(const struct tako__resolved *r, void *arg)
{
	struct family *f = arg;
	struct tako__dial *d = f->dial;

	f->query = NULL;
	f->found = *r;
	if (r->err)
		note_unknown(d, r);
	if (d->try_count)
		plan_next(d);
	else if (!waits_for_ip6(d))
		go_on(d);
}

/* What is known is taken at once. */
static void ask(struct tako__dial *d, struct family *f, int family)
{
	int rc = tako__resolve(&f->query, &f->found, d->worker, d->target.host, family, on_found,
	                       f);

	f->dial = d;
	if (rc < 0) {
		f->query = NULL;
		d->err = rc;
		snprintf(d->why, sizeof d->why, "%.*s", TEXT_BYTES, tako_last_error());
	} else if (rc && f->found.err) {
		note_unknown(d, &f->found);
	}
}

/* ---- The protocol until it is somebody's -------------------------------------------------------------- */

void tako__dial_ready(struct tako__conn *c, tako_str alpn)
{
	end_well(try_of(c)->dial, c, alpn);
}

void tako__dial_failed(struct tako__conn *c, int err, bool told)
{
	struct tako__dial *d = let_go(c);
	char why[TEXT_BYTES + 1];

	snprintf(why, sizeof why, "%s", tako_last_error());
	if (told)
		tako__conn_finish(c, true);
	else
		tako__conn_close(c);
	if (d)
		end_with(d, err, why);
}

static int dial_open(struct tako__conn *c)
{
	(void)c;
	return 0;
}

/* Nothing goes up before it is somebody's. */
static void dial_recv(struct tako__conn *c, char *p, ssize_t res)
{
	(void)p;
	(void)res;
	tako__conn_close(c);
}

static void dial_nothing(struct tako__conn *c)
{
	(void)c;
}

static void dial_drain(struct tako__conn *c)
{
	c->flags |= TAKO__CONN_DRAINING;
}

/* Closed by somebody else than us: by the server that ends, or by its layers. */
static void dial_fini(struct tako__conn *c)
{
	if (!try_of(c)->dial)
		return;
	end_with(let_go(c), TAKO_ECLOSED, "it was closed");
}

const struct tako__proto_ops tako__dial_ops = {
	.name = "dial",
	.open = dial_open,
	.recv = dial_recv,
	.written = dial_nothing,
	.tick = dial_nothing,
	.drain = dial_drain,
	.fini = dial_fini,
};

/* ---- Beginning ------------------------------------------------------------------------------------------ */

static const char *name_to_meet(const struct tako__target *t, const struct tako__dial_options *o)
{
	return o->server_name ? o->server_name : t->host;
}

static int check_tls(const struct tako__target *t, const struct tako__dial_options *o)
{
	const char *name = name_to_meet(t, o);

	if (!o->tls)
		return o->server_name || o->alpn
		               ? tako__fail(TAKO_EINVAL,
		                            "connect: server_name or alpn is set, but tls "
		                            "is not")
		               : 0;
	if (!name[0] || strlen(name) >= TAKO__TARGET_HOST_BYTES)
		return tako__fail(TAKO_EINVAL, name[0] ? "connect: server_name is too long"
		                                       : "connect: TLS needs a server_name, as the "
		                                         "target has none");
	return o->alpn ? tako__secured_by(o->tls)->check_alpn(o->alpn) : 0;
}

static int check(const struct tako__worker *w, const struct tako__target *t,
                 const struct tako__dial_options *o)
{
	if (w->no_dials)
		return tako__fail(TAKO_ECLOSED, "the server has stopped");
	if (!w->loop->rt->connect)
		return tako__fail(TAKO_ENOTSUP, "runtime %s makes no connections",
		                  w->loop->rt->name);
	return check_tls(t, o);
}

/* Take a place. */
static int enter_count(struct tako__worker *w)
{
	uint32_t max = w->srv->cfg.max_outgoing_connections;
	uint32_t before = atomic_fetch_add_explicit(&w->srv->dial_count, 1, memory_order_relaxed);

	if (max == TAKO_OFF || before < max)
		return 0;
	leave_count(w);
	return tako__fail(TAKO_EBUSY, "%u connections are made or being made", max);
}

static struct tako__dial *dial_new(struct tako__worker *w, const struct tako__target *t,
                                   const struct tako__dial_options *o)
{
	struct tako__dial *d = tako__zalloc(sizeof *d);

	if (!d)
		return NULL;
	d->worker = w;
	d->target = *t;
	d->tls = tako__secured_ref(o->tls);
	if (d->tls)
		memcpy(d->name, name_to_meet(t, o), strlen(name_to_meet(t, o)) + 1);
	if (o->alpn)
		memcpy(d->alpn, o->alpn, strlen(o->alpn) + 1);
	d->timeout_ms = o->timeout_ms ? o->timeout_ms : w->srv->cfg.connect_timeout_ms;
	tako__timer_init(&d->limit, on_limit);
	tako__timer_init(&d->step, on_step);
	tako__timer_set(&w->wheel, &d->limit, tako__now_ns(w) + tako__ms_ns(d->timeout_ms));
	tako__list_push_back(&w->dials, &d->link);
	return d;
}

/* What is known at once is told from a turn all the same. */
static void begin(struct tako__dial *d)
{
	if (!d->target.sa_n) {
		ask(d, &d->families[IP6], AF_INET6);
		ask(d, &d->families[IP4], AF_INET);
	}
	if (!waits_for_ip6(d) && !try_some(d) && !is_asking(d))
		tako__timer_set(&d->worker->wheel, &d->step, tako__now_ns(d->worker));
}

int tako__dial(struct tako__dial **ret, struct tako__worker *w, const struct tako__target *t,
               const struct tako__dial_options *o, tako__dialed_fn done, void *arg)
{
	struct tako__dial *d;
	int rc = check(w, t, o);

	if (rc == 0)
		rc = enter_count(w);
	if (rc < 0)
		return rc;
	d = dial_new(w, t, o);
	if (!d) {
		leave_count(w);
		return tako__fail(TAKO_ENOMEM, "connect: out of memory");
	}
	d->done = done;
	d->arg = arg;
	*ret = d;
	begin(d);
	return 0;
}

void tako__dial_cancel(struct tako__dial *d)
{
	struct tako__worker *w = d->worker;

	dial_free(d);
	leave_count(w);
}

void tako__dial_cut(struct tako__worker *w)
{
	w->no_dials = true;
	while (!tako__list_empty(&w->dials))
		end_with(TAKO__CONTAINER(w->dials.next, struct tako__dial, link), TAKO_ECLOSED,
		         "the server has stopped");
}

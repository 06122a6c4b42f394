/* SPDX-License-Identifier: MIT
 *
 * A worker's connections of one client: made, handed to the fetches that wait, kept.  Nothing here calls
 * back: whoever cannot be served is told later.
 *
 * Who waits is in its origin's queue, and somebody always comes to look at it: a connection that is done or
 * gone, one that was made, or failed to be, one that takes more than before.  Where max_connections leaves an
 * origin without any, whoever leaves makes room for it (serve_starved).
 */
#include <assert.h>
#include <string.h>

#include "core/base.h"
#include "core/dial.h"
#include "core/server.h"
#include "transports/client/client_origin.h"

static struct tako__client_conn *state_of(struct tako__conn *c)
{
	return (struct tako__client_conn *)(void *)c->proto_state;
}

static struct tako__conn *conn_of(struct tako__client_conn *s)
{
	return TAKO__CONTAINER(s, struct tako__conn, proto_state);
}

/* ---- The queue ---------------------------------------------------------------------------- */

static void fail_all(struct tako__client_origin *o, int err, const char *why)
{
	while (o->queue_count)
		tako__fetch_unserved(tako__client_dequeue(tako__client_first(o)), err, why);
}

void tako__client_unjoin(struct tako_fetch *f)
{
	struct tako__client_origin *o = f->origin;

	if (!o)
		return;
	tako__client_dequeue(f);
	tako__client_origin_release(o);
}

/* ---- Connections that could take a request ------------------------------------------------------ */

static bool has_room(struct tako__client_conn *s)
{
	return s->carried < s->limit && !(conn_of(s)->flags & TAKO__CONN_CLOSING);
}

static void unlist(struct tako__client_conn *s)
{
	tako__list_remove(&s->open);
	if (tako__list_empty(&s->by_age))
		return;
	tako__list_remove(&s->by_age);
	s->origin->idle_count--;
}

/* Among those that it belongs to, by what it has. */
static void enlist(struct tako__client_conn *s)
{
	if (has_room(s))
		tako__list_push_front(&s->origin->open, &s->open);
	if (s->carried)
		return;
	tako__list_push_back(&s->origin->pool->idle, &s->by_age);
	s->origin->idle_count++;
	s->used = true;
}

/* It has said how many it takes, or never will: nobody waits for that any more. */
static void said(struct tako__client_conn *s)
{
	if (!s->unsaid)
		return;
	s->unsaid = false;
	s->origin->dial_count--;
	tako__client_recount(s->origin);
}

/* Out of the counts; whoever calls this looks at its origin afterwards. */
static struct tako__client_origin *uncount(struct tako__client_conn *s)
{
	struct tako__client_origin *o = s->origin;

	said(s);
	unlist(s);
	s->origin = NULL;
	o->conn_count--;
	o->pool->conn_count--;
	return o;
}

/* Who has been told nothing and yet has something to say, or the end, is not waiting for us.  Below layers that may
 * be a ticket of TLS. */
static bool is_stale(struct tako__conn *c)
{
	return !c->top && !c->sock.loop->rt->silent(&c->sock);
}

/* The one that was used last; NULL: none. */
static struct tako__conn *take_open(struct tako__client_origin *o)
{
	TAKO__LIST_EACH(at, &o->open)
	{
		struct tako__client_conn *s = TAKO__CONTAINER(at, struct tako__client_conn, open);
		struct tako__conn *c = conn_of(s);

		if (s->carried || !is_stale(c))
			return c;
		/* Of another one it may be a PING: it stays, and tells when it has been looked at. */
		if (tako__client_carrier(c)->shared)
			continue;
		uncount(s);
		tako__conn_close(c);
	}
	return NULL;
}

/* It has no requests, and may say that it ends. */
static void part(struct tako__conn *c)
{
	const struct tako__carrier *carrier = tako__client_carrier(c);

	uncount(state_of(c));
	if (carrier->part)
		carrier->part(c);
	else
		tako__conn_close(c);
}

static void part_idle(struct tako__client_conn *s)
{
	struct tako__client_origin *o = s->origin;

	part(conn_of(s));
	tako__client_origin_release(o);
}

static void close_idle(struct tako__client_conn *s)
{
	struct tako__client_origin *o = uncount(s);

	tako__conn_close(conn_of(s));
	tako__client_origin_release(o);
}

void tako__client_distrust(struct tako__client_origin *o)
{
	TAKO__LIST_EACH(at, &o->open)
	{
		struct tako__client_conn *s = TAKO__CONTAINER(at, struct tako__client_conn, open);

		if (!s->carried)
			close_idle(s);
	}
}

/* ---- Making connections ------------------------------------------------------------------------- */

static void on_dialed(const struct tako__dialed *r, void *arg);

static bool is_full(const struct tako__client_pool *p)
{
	return p->conn_count >= p->client->cfg.max_connections;
}

/* May another one be made, or is there one that gives way? */
static bool has_room_for_one(struct tako__client_pool *p)
{
	if (!is_full(p) || !tako__list_empty(&p->idle))
		return true;
	p->starved = true;
	return false;
}

/* Could it be another one that those get who wait?  Where one is to say first how many it takes, or what else its
 * peer has to say, they wait for that; the end of the wait comes to look at them. */
static bool could_dial(const struct tako__client_origin *o)
{
	if (o->conn_count >= o->pool->client->cfg.max_connections_per_origin)
		return false;
	return tako__client_is_single(o) ||
	       (o->stream_max ? !o->dial_count && tako__list_empty(&o->open) : !o->conn_count);
}

static bool may_dial(struct tako__client_origin *o)
{
	return could_dial(o) && has_room_for_one(o->pool);
}

static const char *alpn_of(const struct tako_client *client)
{
	return client->cfg.http2 ? "h2,http/1.1" : "http/1.1";
}

/* For the first that waits without. */
static int begin_dial(struct tako__client_origin *o)
{
	struct tako__client_pool *p = o->pool;
	const struct tako_fetch *f = tako__client_first(o);
	const struct tako__dial_options options = {
		.tls = f->server_name ? p->client->cfg.tls : NULL,
		.server_name = f->server_name,
		.alpn = f->server_name ? alpn_of(p->client) : NULL,
		.timeout_ms = p->client->cfg.connect_timeout_ms,
	};
	struct tako__dial *d;

	return tako__dial(&d, p->worker, f->target, &options, on_dialed, o);
}

/* One that somebody else does not need gives way where it has to.  It may say so, as long as the server's places do. */
static int dial(struct tako__client_origin *o)
{
	struct tako__client_pool *p = o->pool;
	struct tako__client_conn *spare =
		is_full(p) ? TAKO__CONTAINER(p->idle.next, struct tako__client_conn, by_age) : NULL;
	int rc = begin_dial(o);

	if (rc == TAKO_EBUSY && spare) {
		close_idle(spare);
		spare = NULL;
		rc = begin_dial(o);
	}
	if (rc < 0)
		return rc;
	if (spare)
		part_idle(spare);
	o->conn_count++;
	p->conn_count++;
	o->dial_number++;
	o->dial_count++;
	tako__client_recount(o);
	return 0;
}

/* As many as there are fetches without.  Those that there can be none for are told. */
static void dial_more(struct tako__client_origin *o)
{
	int rc = 0;

	while (rc == 0 && tako__client_waiting(o) && may_dial(o))
		rc = dial(o);
	if (rc < 0 && !o->conn_count)
		fail_all(o, rc, tako_last_error());
}

/* Who could do with another connection, and has waited longest; NULL: nobody. */
static struct tako__client_origin *starved(struct tako__client_pool *p)
{
	struct tako__client_origin *next = NULL;

	TAKO__LIST_EACH(at, &p->origins)
	{
		struct tako__client_origin *o = TAKO__CONTAINER(at, struct tako__client_origin,
		                                                link);

		if (tako__client_waiting(o) && could_dial(o))
			next = o; /* the last in the list has waited longest */
	}
	return next;
}

static void serve_starved(struct tako__client_pool *p)
{
	struct tako__client_origin *o;

	while ((o = starved(p))) {
		dial_more(o);
		/* The others come when the next connection leaves: this one's, or one that was there. */
		if (o->queue_count)
			return;
		/* Nothing could be made for it, and nothing will leave that the others could wait for. */
		tako__client_origin_release(o);
	}
	p->starved = false;
}

/* ---- Who gets what ----------------------------------------------------------------------------------- */

static void assign(struct tako__conn *c, struct tako_fetch *f)
{
	const struct tako__carrier *carrier = tako__client_carrier(c);
	struct tako__client_conn *s = state_of(c);
	int rc;

	unlist(s);
	s->carried++;
	tako__fetch_carried(f, c, carrier);
	rc = carrier->begin(c, f);
	if (rc < 0) {
		s->carried--;
		f->conn = NULL;
		tako__fetch_unserved(f, rc, NULL);
	}
	enlist(s);
}

/* Something has changed. */
static void pump(struct tako__client_origin *o)
{
	struct tako__client_pool *p = o->pool;
	struct tako__conn *c;

	while (o->queue_count && (c = take_open(o)))
		assign(c, tako__client_dequeue(tako__client_first(o)));
	dial_more(o);
	tako__client_origin_release(o);
	if (TAKO__UNLIKELY(p->starved))
		serve_starved(p);
}

static bool may_rest(struct tako__client_conn *s)
{
	const struct tako__client_origin *o = s->origin;

	return !s->retired && !(conn_of(s)->flags & TAKO__CONN_DRAINING) &&
	       o->idle_count < o->pool->client->cfg.max_idle_per_origin;
}

/* To whoever waits, or to wait for somebody.  One that is `fresh` is never stale: a server that greets or
 * closes everybody would be dialled for ever. */
static void offer(struct tako__conn *c, bool fresh)
{
	struct tako__client_conn *s = state_of(c);
	struct tako__client_origin *o = s->origin;
	const struct tako__carrier *carrier = tako__client_carrier(c);
	bool stale = o->queue_count && !fresh && !carrier->shared && is_stale(c);

	while (!stale && o->queue_count && has_room(s))
		assign(c, tako__client_dequeue(tako__client_first(o)));
	unlist(s);
	if (s->carried || (!stale && may_rest(s))) {
		enlist(s);
		if (!s->carried)
			carrier->rest(c);
	} else {
		part(c);
	}
	pump(o);
}

/* RFC 9113 section 3.2: over TLS the server has chosen, if it was asked. */
static const struct tako__carrier *chosen(const struct tako__client_origin *o, tako_str alpn)
{
	const tako_http_version *http2 = o->pool->client->cfg.http2;

	if (!tako__client_origin_is_secure(o))
		return o->carrier;
	return http2 && tako_str_eq(alpn, tako_str_z(http2->carrier->ops.name))
	               ? http2->carrier
	               : &tako__client_h1_carrier;
}

static int refuse(struct tako__conn *c, int rc)
{
	state_of(c)->origin = NULL;
	tako__conn_close(c);
	return rc;
}

/* It has been made: whose protocol is it from here on?  A negative code: nobody's. */
static int settle_in(struct tako__client_origin *o, struct tako__conn *c,
                     const struct tako__carrier *carrier)
{
	struct tako__client_conn *s = state_of(c);
	int rc = tako__conn_become(c, &carrier->ops);

	if (rc < 0)
		return refuse(c, rc);
	tako__list_init(&s->open);
	tako__list_init(&s->by_age);
	s->origin = o;
	rc = carrier->start ? carrier->start(c) : 0;
	if (rc < 0)
		return refuse(c, rc);
	s->limit = 1;
	s->unsaid = true;
	if (o->carrier != carrier)
		o->stream_max = carrier->shared ? 0 : 1;
	o->carrier = carrier;
	if (!carrier->shared)
		said(s);
	tako__client_recount(o);
	return 0;
}

/* Who has waited for it since it was begun.  With one request a connection that is the first, unless another one is
 * being made for him: his may yet come to something. */
static void fail_some(struct tako__client_origin *o, int err, const char *why)
{
	if (!tako__client_is_single(o)) {
		while (o->queue_count && tako__client_first(o)->dial_number != o->dial_number)
			tako__fetch_unserved(tako__client_dequeue(tako__client_first(o)), err, why);
	} else if (tako__client_waiting(o)) {
		tako__fetch_unserved(tako__client_dequeue(tako__client_first(o)), err, why);
	}
}

static void on_dialed(const struct tako__dialed *r, void *arg)
{
	struct tako__client_origin *o = arg;
	int err = r->conn ? settle_in(o, r->conn, chosen(o, r->alpn)) : r->err;

	if (err == 0) {
		assert(r->conn); /* else there is a reason */
		offer(r->conn, true);
		/* It is inside a callback that is not its protocol's, which would collect what it has to say. */
		if (tako__client_carrier(r->conn)->shared)
			r->conn->proto->written(r->conn);
		return;
	}
	o->conn_count--;
	o->pool->conn_count--;
	o->dial_count--;
	tako__client_recount(o);
	fail_some(o, err, r->conn ? NULL : tako_last_error());
	pump(o);
}

void tako__client_park(struct tako__conn *c)
{
	struct tako__client_conn *s = state_of(c);

	s->carried--;
	if (!s->origin)
		return;
	/* It goes as far as it is used: nothing new begins on it. */
	if (!s->carried && (c->flags & TAKO__CONN_DRAINING)) {
		struct tako__client_origin *o = s->origin;

		part(c);
		pump(o);
		return;
	}
	offer(c, false);
}

void tako__client_room(struct tako__conn *c, uint32_t limit)
{
	struct tako__client_conn *s = state_of(c);

	if (!s->origin || s->retired)
		return;
	unlist(s);
	s->limit = (uint16_t)limit;
	enlist(s);
	s->origin->stream_max = limit;
	said(s);
	tako__client_recount(s->origin);
	offer(c, false);
}

void tako__client_look(struct tako__conn *c)
{
	struct tako__client_conn *s = state_of(c);

	if (s->origin && s->origin->queue_count)
		offer(c, false);
}

void tako__client_retire(struct tako__conn *c)
{
	struct tako__client_conn *s = state_of(c);

	if (!s->origin)
		return;
	s->retired = true;
	s->limit = 0;
	/* The next one may have room where this had none. */
	if (!s->origin->stream_max)
		s->origin->stream_max = s->origin->pool->client->cfg.http2_max_stream_count;
	said(s);
	tako__client_recount(s->origin);
	offer(c, false);
}

void tako__client_leave(struct tako__conn *c)
{
	/* First: what is made instead may need its place. */
	tako__conn_close(c);
	tako__client_abandon(c);
}

void tako__client_abandon(struct tako__conn *c)
{
	struct tako__client_conn *s = state_of(c);

	if (s->origin)
		pump(uncount(s));
}

/* For f, which is in it already.  One that starts over has had its place before. */
static bool has_queue_room(const struct tako_fetch *f)
{
	const struct tako__client_pool *p = f->pool;

	return tako__fetch_starts_over(f) || p->waiting_count <= p->client->cfg.max_queue_count;
}

/* For f, which nobody can take now.  A negative code: it cannot wait either. */
static int wait_for_one(struct tako__client_origin *o, struct tako_fetch *f)
{
	int rc = 0;

	if (!tako__client_is_single(o) && !tako__client_waiting(o))
		return 0;
	if (may_dial(o)) {
		rc = dial(o);
		/* Those that there are will do. */
		if (rc < 0 && o->conn_count && has_queue_room(f))
			rc = 0;
	} else if (!has_queue_room(f)) {
		rc = tako__fail(TAKO_EBUSY, "fetch: max_queue_count fetches wait already");
	}
	return rc;
}

int tako__client_join(struct tako_fetch *f)
{
	struct tako__client_pool *p = f->pool;
	struct tako__client_origin *o = tako__client_origin_find(p, f->key);
	struct tako__conn *c;
	int rc;

	if (!o)
		o = tako__client_origin_new(p, f->key);
	if (!o)
		return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
	/* Nobody overtakes those that wait. */
	c = o->queue_count ? NULL : take_open(o);
	if (c) {
		assign(c, f);
		return 0;
	}
	tako__client_enqueue(o, f);
	rc = wait_for_one(o, f);
	if (rc < 0)
		tako__client_unjoin(f);
	return rc;
}

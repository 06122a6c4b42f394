/* SPDX-License-Identifier: MIT
 *
 * A worker's connections of one client, by origin, and the fetches that wait for one.  Nothing here calls
 * back: whoever cannot be served is told later.
 *
 * Who waits is in its origin's queue, and somebody always comes to look at it: a connection that is done or
 * gone, one that was made, or failed to be.  Where max_connections leaves an origin without any, whoever leaves
 * makes room for it (serve_starved).
 */
#include <string.h>

#include "core/base.h"
#include "core/dial.h"
#include "core/server.h"
#include "transports/client/client_int.h"

static struct tako__client_conn *state_of(struct tako__conn *c)
{
	return (struct tako__client_conn *)(void *)c->proto_state;
}

static struct tako__conn *conn_of(struct tako__client_conn *s)
{
	return TAKO__CONTAINER(s, struct tako__conn, proto_state);
}

/* ---- Origins ----------------------------------------------------------------------------- */

static struct tako__client_origin *origin_find(struct tako__client_pool *p, tako_str key)
{
	TAKO__LIST_EACH(at, &p->origins)
	{
		struct tako__client_origin *o = TAKO__CONTAINER(at, struct tako__client_origin,
		                                                link);

		if (o->key_n == key.n && memcmp(o->key, key.p, key.n) == 0)
			return o;
	}
	return NULL;
}

static struct tako__client_origin *origin_new(struct tako__client_pool *p, tako_str key)
{
	struct tako__client_origin *o = tako__zalloc(sizeof *o + key.n);

	if (!o)
		return NULL;
	o->pool = p;
	tako__list_init(&o->queue);
	tako__list_init(&o->idle);
	memcpy(o->key, key.p, key.n);
	o->key_n = (uint32_t)key.n;
	tako__list_push_front(&p->origins, &o->link);
	return o;
}

static void origin_release(struct tako__client_origin *o)
{
	if (o->conn_count || o->queue_count)
		return;
	tako__list_remove(&o->link);
	tako__free(o, sizeof *o + o->key_n);
}

/* ---- The queue ---------------------------------------------------------------------------- */

static void enqueue(struct tako__client_origin *o, struct tako_fetch *f)
{
	f->origin = o;
	/* One that starts over was before those that wait. */
	if (f->retry_count)
		tako__list_push_front(&o->queue, &f->link);
	else
		tako__list_push_back(&o->queue, &f->link);
	o->queue_count++;
	o->pool->queue_count++;
}

static struct tako_fetch *dequeue(struct tako_fetch *f)
{
	tako__list_remove(&f->link);
	f->origin->queue_count--;
	f->pool->queue_count--;
	f->origin = NULL;
	return f;
}

static struct tako_fetch *first_of(struct tako__client_origin *o)
{
	return TAKO__CONTAINER(o->queue.next, struct tako_fetch, link);
}

/* What is being made serves the first of them. */
static uint32_t waiting(const struct tako__client_origin *o)
{
	return o->queue_count > o->dial_count ? o->queue_count - o->dial_count : 0;
}

static void fail_all(struct tako__client_origin *o, int err, const char *why)
{
	while (o->queue_count)
		tako__fetch_unserved(dequeue(first_of(o)), err, why);
}

void tako__client_unjoin(struct tako_fetch *f)
{
	struct tako__client_origin *o = f->origin;

	if (!o)
		return;
	dequeue(f);
	origin_release(o);
}

/* ---- Idle connections -------------------------------------------------------------------------- */

static void unidle(struct tako__client_conn *s)
{
	if (tako__list_empty(&s->idle))
		return;
	tako__list_remove(&s->idle);
	tako__list_remove(&s->by_age);
	s->origin->idle_count--;
}

static void idle(struct tako__client_conn *s)
{
	tako__list_push_front(&s->origin->idle, &s->idle);
	tako__list_push_back(&s->origin->pool->idle, &s->by_age);
	s->origin->idle_count++;
	s->used = true;
	tako__client_h1_carrier.rest(conn_of(s));
}

/* Out of the counts; whoever calls this looks at its origin afterwards. */
static struct tako__client_origin *uncount(struct tako__client_conn *s)
{
	struct tako__client_origin *o = s->origin;

	unidle(s);
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
static struct tako__conn *take_idle(struct tako__client_origin *o)
{
	while (!tako__list_empty(&o->idle)) {
		struct tako__client_conn *s = TAKO__CONTAINER(o->idle.next,
		                                              struct tako__client_conn, idle);
		struct tako__conn *c = conn_of(s);

		if (!is_stale(c)) {
			unidle(s);
			return c;
		}
		uncount(s);
		tako__conn_close(c);
	}
	return NULL;
}

static void close_idle(struct tako__client_conn *s)
{
	struct tako__client_origin *o = uncount(s);

	tako__conn_close(conn_of(s));
	origin_release(o);
}

void tako__client_distrust(struct tako__client_origin *o)
{
	TAKO__LIST_EACH(at, &o->idle)
	{
		close_idle(TAKO__CONTAINER(at, struct tako__client_conn, idle));
	}
}

/* ---- Making connections ------------------------------------------------------------------------- */

static void on_dialed(const struct tako__dialed *r, void *arg);

/* May another one be made?  One that somebody else does not need gives way. */
static bool make_room(struct tako__client_pool *p)
{
	if (p->conn_count < p->client->cfg.max_connections)
		return true;
	if (tako__list_empty(&p->idle)) {
		p->starved = true;
		return false;
	}
	close_idle(TAKO__CONTAINER(p->idle.next, struct tako__client_conn, by_age));
	return true;
}

static bool may_dial(struct tako__client_origin *o)
{
	return o->conn_count < o->pool->client->cfg.max_connections_per_origin &&
	       make_room(o->pool);
}

/* For the first that waits without. */
static int dial(struct tako__client_origin *o)
{
	struct tako__client_pool *p = o->pool;
	const struct tako_fetch *f = first_of(o);
	const struct tako__dial_options options = {
		.tls = f->server_name ? p->client->cfg.tls : NULL,
		.server_name = f->server_name,
		.alpn = f->server_name ? tako__client_h1_ops.name : NULL,
		.timeout_ms = p->client->cfg.connect_timeout_ms,
	};
	struct tako__dial *d;
	int rc = tako__dial(&d, p->worker, f->target, &options, on_dialed, o);

	if (rc < 0)
		return rc;
	o->conn_count++;
	o->dial_count++;
	p->dial_count++;
	p->conn_count++;
	return 0;
}

/* As many as there are fetches without.  Those that there can be none for are told. */
static void dial_more(struct tako__client_origin *o)
{
	int rc = 0;

	while (rc == 0 && waiting(o) && may_dial(o))
		rc = dial(o);
	if (rc < 0 && !o->conn_count)
		fail_all(o, rc, tako_last_error());
}

/* Who could do with another connection, and has waited longest; NULL: nobody. */
static struct tako__client_origin *starved(struct tako__client_pool *p)
{
	uint32_t max = p->client->cfg.max_connections_per_origin;
	struct tako__client_origin *next = NULL;

	TAKO__LIST_EACH(at, &p->origins)
	{
		struct tako__client_origin *o = TAKO__CONTAINER(at, struct tako__client_origin,
		                                                link);

		if (waiting(o) && o->conn_count < max)
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
		origin_release(o);
	}
	p->starved = false;
}

/* ---- Who gets what ----------------------------------------------------------------------------------- */

static void assign(struct tako__conn *c, struct tako_fetch *f)
{
	const struct tako__carrier *carrier = &tako__client_h1_carrier;

	tako__fetch_carried(f, c, carrier);
	carrier->begin(c, f);
}

/* Something has changed. */
static void pump(struct tako__client_origin *o)
{
	struct tako__client_pool *p = o->pool;
	struct tako__conn *c;

	while (o->queue_count && (c = take_idle(o)))
		assign(c, dequeue(first_of(o)));
	dial_more(o);
	origin_release(o);
	if (TAKO__UNLIKELY(p->starved))
		serve_starved(p);
}

/* To whoever waits, or to wait for somebody.  One that is `fresh` is never stale: a server that greets or
 * closes everybody would be dialled for ever. */
static void offer(struct tako__conn *c, bool fresh)
{
	struct tako__client_conn *s = state_of(c);
	struct tako__client_origin *o = s->origin;
	const tako_client_config *cfg = &o->pool->client->cfg;

	if (o->queue_count && (fresh || !is_stale(c))) {
		assign(c, dequeue(first_of(o)));
	} else if (o->queue_count || (c->flags & TAKO__CONN_DRAINING) ||
	           o->idle_count >= cfg->max_idle_per_origin) {
		uncount(s);
		tako__conn_close(c);
	} else {
		idle(s);
	}
	pump(o);
}

static void on_dialed(const struct tako__dialed *r, void *arg)
{
	struct tako__client_origin *o = arg;

	o->dial_count--;
	o->pool->dial_count--;
	if (r->conn && tako__conn_become(r->conn, &tako__client_h1_ops) == 0) {
		state_of(r->conn)->origin = o;
		offer(r->conn, true);
		return;
	}
	o->conn_count--;
	o->pool->conn_count--;
	/* Whom another one is being made for has that: his may yet come to something. */
	if (waiting(o))
		tako__fetch_unserved(dequeue(first_of(o)), r->err < 0 ? r->err : TAKO_ENOMEM,
		                     tako_last_error());
	pump(o);
}

void tako__client_park(struct tako__conn *c)
{
	/* It goes as far as it is used: nothing new begins on it. */
	if (c->flags & TAKO__CONN_DRAINING) {
		tako__client_leave(c);
		return;
	}
	offer(c, false);
}

void tako__client_leave(struct tako__conn *c)
{
	struct tako__client_conn *s = state_of(c);

	/* First: what is made instead may need its place. */
	tako__conn_close(c);
	if (s->origin)
		pump(uncount(s));
}

/* For f, which is in it already.  One that starts over has had its place before. */
static bool has_queue_room(const struct tako_fetch *f)
{
	const struct tako__client_pool *p = f->pool;

	return f->retry_count || p->queue_count <= p->dial_count + p->client->cfg.max_queue_count;
}

int tako__client_join(struct tako_fetch *f)
{
	struct tako__client_pool *p = f->pool;
	struct tako__client_origin *o = origin_find(p, f->key);
	struct tako__conn *c;
	int rc = 0;

	if (!o)
		o = origin_new(p, f->key);
	if (!o)
		return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
	/* Nobody overtakes those that wait. */
	c = o->queue_count ? NULL : take_idle(o);
	if (c) {
		assign(c, f);
		return 0;
	}
	enqueue(o, f);
	if (may_dial(o)) {
		rc = dial(o);
		/* Those that there are will do. */
		if (rc < 0 && o->conn_count && has_queue_room(f))
			rc = 0;
	} else if (!has_queue_room(f)) {
		rc = tako__fail(TAKO_EBUSY, "fetch: max_queue_count fetches wait already");
	}
	if (rc < 0)
		tako__client_unjoin(f);
	return rc;
}

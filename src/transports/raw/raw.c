/* SPDX-License-Identifier: MIT
 *
 * A connection without HTTP, as a protocol of seam C: what comes goes to its user's callbacks, who may make
 * exchanges of it (raw_exchange.h).  Here is when they are called and how a connection ends; what they may do is raw_api.c's.
 */
#include "core/server.h"
#include "core/worker.h"
#include "transports/raw/raw_exchange.h"
#include "transports/raw/raw_int.h"

static const tako_raw_config *cfg_of(const struct tako__conn *c)
{
	return tako__raw_cfg(c);
}

static bool is_over(const struct tako__conn *c)
{
	return c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH);
}

/* ---- Time ----------------------------------------------------------------------------------------- */

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t sooner_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Since when nothing has happened that its peer may be blamed for. */
static uint64_t idle_since(struct tako__conn *c)
{
	if (tako__raw_x_answering(c))
		return tako__now_ns(c->worker);
	return later_of(tako__raw_of(c)->heard_ns, c->progress_ns);
}

/* When there is something to look at, as things are. */
static uint64_t next_look(struct tako__conn *c)
{
	const tako_raw_config *cfg = cfg_of(c);
	const struct tako_raw *r = tako__raw_of(c);
	uint64_t next = UINT64_MAX;

	if (cfg->idle_timeout_ms != TAKO_OFF)
		next = idle_since(c) + tako__ms_ns(cfg->idle_timeout_ms);
	if (cfg->lifetime_ms)
		next = sooner_of(next, r->opened_ns + tako__ms_ns(cfg->lifetime_ms));
	if (tako__conn_unsent(c))
		next = sooner_of(next, tako__now_ns(c->worker) + c->worker->srv->tick_ns);
	return next;
}

/* What is unsent is looked at every tick, and costs nothing in between. */
static void watch(struct tako__conn *c)
{
	uint64_t look = tako__now_ns(c->worker) + c->worker->srv->tick_ns;

	if (c->deadline_ns > look && tako__conn_unsent(c))
		tako__conn_deadline(c, look);
}

/* ---- Ends ------------------------------------------------------------------------------------------- */

static void fail(struct tako__conn *c, int why)
{
	/* The first reason is the one that counts: layers may have more to tell of one that is closing. */
	if (!(c->flags & TAKO__CONN_CLOSING))
		tako__raw_of(c)->why = why;
	tako__conn_reset(c);
}

/* What was sent before it goes first.  Layers say their goodbye behind it, which is sent like the rest. */
static void try_shut(struct tako__conn *c)
{
	struct tako_raw *r = tako__raw_of(c);

	tako__conn_flush(c);
	if (c->top && !c->held_bytes && !c->held_head && !(c->flags & TAKO__CONN_ENDED)) {
		c->flags |= TAKO__CONN_ENDED;
		tako__layer_finish(c);
	}
	if (tako__conn_unsent(c) || c->sock.head)
		return;
	r->shut = true;
	tako__conn_shut(c);
}

void tako__raw_settle(struct tako__conn *c)
{
	struct tako_raw *r = tako__raw_of(c);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	if (TAKO__UNLIKELY(r->exchanges != NULL))
		tako__raw_x_look(c);
	watch(c);
	if (c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING))
		return;
	if (r->ended && r->heard_end)
		tako__conn_finish(c, false);
	else if (r->ended && !r->shut)
		try_shut(c);
}

/* ---- The protocol -------------------------------------------------------------------------------------- */

static bool enter(struct tako__conn *c)
{
	struct tako__raw_rule *rule = tako__raw_of(c)->rule;
	uint32_t max = rule->cfg.max_connections;
	uint32_t before = atomic_fetch_add(&rule->count, 1);

	tako__raw_of(c)->counted = true;
	if (!max || before < max)
		return true;
	tako__add(&c->worker->stats.refused, 1);
	return false;
}

static void raw_drain(struct tako__conn *c)
{
	const tako_raw_config *cfg = cfg_of(c);
	struct tako_raw *r = tako__raw_of(c);

	c->flags |= TAKO__CONN_DRAINING;
	if (is_over(c))
		return;
	tako__raw_x_drain(c);
	if (cfg->on_drain)
		cfg->on_drain(r, cfg->arg);
	else if (tako__raw_x_any(c))
		; /* … and closes when they are over */
	else if (!(c->sock.flags & TAKO_SOCK_PAUSED) && tako__conn_waiting(c))
		r->closes = true; /* what has come already is heard first */
	else
		tako_raw_close(r);
	tako__raw_settle(c);
}

static int open_by_rule(struct tako__conn *c)
{
	const tako_raw_config *cfg = cfg_of(c);
	struct tako_raw *r = tako__raw_of(c);

	if (!enter(c))
		return TAKO_EBUSY;
	if (cfg->user_bytes) {
		r->user = tako__zalloc(cfg->user_bytes);
		if (!r->user)
			return TAKO_ENOMEM;
	}
	r->opened_ns = tako__now_ns(c->worker);
	r->heard_ns = r->opened_ns;
	r->opened = true;
	if (cfg->on_open) {
		r->why = cfg->on_open(r, cfg->arg);
		if (r->why < 0)
			return r->why;
		r->why = 0;
	}
	tako__conn_deadline(c, next_look(c));
	tako__raw_settle(c);
	if (c->flags & TAKO__CONN_DRAINING)
		raw_drain(c);
	return 0;
}

/* Whose rule is not its listener's has it in a moment. */
static int raw_open(struct tako__conn *c)
{
	if (!c->listener)
		return 0;
	tako__raw_of(c)->rule = c->listener->raw;
	return open_by_rule(c);
}

int tako__raw_adopt(struct tako__conn *c, struct tako__raw_rule *rule, bool *ret_opened)
{
	int rc = tako__conn_become(c, &tako__raw_ops);

	tako__raw_of(c)->rule = rule;
	if (rc == 0)
		rc = open_by_rule(c);
	*ret_opened = tako__raw_of(c)->opened;
	return rc;
}

static void hear_end(struct tako__conn *c)
{
	const tako_raw_config *cfg = cfg_of(c);
	struct tako_raw *r = tako__raw_of(c);
	int rc = 0;

	r->heard_end = true;
	if (cfg->on_end)
		rc = cfg->on_end(r, cfg->arg);
	else
		r->ended = !tako__raw_x_any(c);
	if (rc < 0)
		fail(c, rc);
}

static void hear(struct tako__conn *c, const char *p, size_t n)
{
	const tako_raw_config *cfg = cfg_of(c);
	int rc = cfg->on_data(tako__raw_of(c), (tako_str){p, n}, cfg->arg);

	if (TAKO__UNLIKELY(rc < 0))
		fail(c, rc);
}

static bool is_paused(const struct tako__conn *c)
{
	return c->sock.flags & TAKO_SOCK_PAUSED;
}

/* ---- In spite of a pause ------------------------------------------------------------------------------- */

static size_t held_bytes(const struct tako__raw_held *h)
{
	return sizeof *h + h->n;
}

/* The oldest is given back, which is freed. */
static void drop_first(struct tako__raw_held **list)
{
	struct tako__raw_held *h = *list;

	*list = h->next;
	tako__free(h, held_bytes(h));
}

static void drop_held(struct tako_raw *r)
{
	while (r->held)
		drop_first(&r->held);
}

static void hold(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__raw_held *h = tako__alloc(sizeof *h + n);
	struct tako__raw_held **end = &tako__raw_of(c)->held;

	if (!h) {
		fail(c, TAKO_ENOMEM);
		return;
	}
	h->next = NULL;
	h->n = n;
	memcpy(h->data, p, n);
	while (*end)
		end = &(*end)->next;
	*end = h;
}

/* Before anything else that comes.  None is held while one is heard, so that nobody hears the next one inside. */
static void hear_held(struct tako__conn *c)
{
	struct tako_raw *r = tako__raw_of(c);
	struct tako__raw_held *list = r->held;

	r->held = NULL;
	while (list && !is_paused(c) && !is_over(c)) {
		hear(c, list->data, list->n);
		drop_first(&list);
	}
	r->held = list;
	if (r->held_end && !is_paused(c) && !is_over(c)) {
		r->held_end = false;
		hear_end(c);
	}
}

/* ---- What comes ------------------------------------------------------------------------------------------ */

static void raw_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct tako_raw *r = tako__raw_of(c);

	if (TAKO__UNLIKELY(tako__raw_holds(r)))
		hear_held(c);
	if (TAKO__LIKELY(res > 0)) {
		if (is_over(c))
			return;
		r->heard_ns = tako__now_ns(c->worker);
		if (TAKO__UNLIKELY(is_paused(c)))
			hold(c, p, (size_t)res);
		else
			hear(c, p, (size_t)res);
	} else if (res == 0 && is_paused(c)) {
		r->held_end = true;
	} else if (res < 0) {
		fail(c, (int)res);
	} else if (!r->heard_end && !is_over(c)) {
		hear_end(c);
	}
	if (TAKO__UNLIKELY(r->closes) && !tako__raw_x_any(c))
		tako_raw_close(r);
	tako__raw_settle(c);
}

/* Is on_writable() due?  Whose side has ended has nothing more to write. */
static bool is_due(const struct tako__conn *c, const struct tako_raw *r)
{
	return r->high && !r->ended && !is_over(c) &&
	       tako__conn_unsent(c) <= cfg_of(c)->write_low_bytes;
}

static void raw_written(struct tako__conn *c)
{
	const tako_raw_config *cfg = cfg_of(c);
	struct tako_raw *r = tako__raw_of(c);

	if (TAKO__UNLIKELY(tako__raw_holds(r)))
		hear_held(c);
	if (TAKO__UNLIKELY(r->high) && is_due(c, r)) {
		r->high = false;
		if (cfg->on_writable)
			cfg->on_writable(r, cfg->arg);
	}
	tako__raw_settle(c);
}

/* Has it taken too long for something? */
static bool too_late(struct tako__conn *c, uint64_t now)
{
	const tako_raw_config *cfg = cfg_of(c);
	const struct tako_raw *r = tako__raw_of(c);

	if (tako__conn_too_slow(c, now))
		return true;
	if (cfg->lifetime_ms && now >= r->opened_ns + tako__ms_ns(cfg->lifetime_ms))
		return true;
	return cfg->idle_timeout_ms != TAKO_OFF &&
	       now >= idle_since(c) + tako__ms_ns(cfg->idle_timeout_ms);
}

/* What has left was told by raw_written(), what was lost is not: a socket that is paused, as of a user who waits
 * for on_writable(), does not say that it has failed.  Then it has given up all that was queued, whatever a layer
 * still holds; while a send is under way, its end will tell of the room there is.  What somebody else's callback
 * has written in this turn has not been given to the socket yet. */
static bool has_lost(const struct tako__conn *c, const struct tako_raw *r)
{
	return r->high && !r->ended && !is_over(c) && !c->sock.head && !(c->open && c->open->used);
}

static void raw_tick(struct tako__conn *c)
{
	if (has_lost(c, tako__raw_of(c))) {
		fail(c, TAKO_ECLOSED);
		return;
	}
	if (too_late(c, tako__now_ns(c->worker))) {
		tako__add(&c->worker->stats.timeouts, 1);
		fail(c, TAKO_ETIMEDOUT);
		return;
	}
	tako__conn_deadline(c, next_look(c));
}

static int why(const struct tako__conn *c, const struct tako_raw *r)
{
	if (r->why)
		return r->why;
	return c->flags & TAKO__CONN_FINISH ? 0 : TAKO_ECLOSED;
}

static void raw_fini(struct tako__conn *c)
{
	struct tako_raw *r = tako__raw_of(c);
	const tako_raw_config *cfg;

	/* Closed before it was opened. */
	if (!r->rule)
		return;
	cfg = cfg_of(c);
	tako__raw_x_fini(c);
	if (r->opened && cfg->on_close)
		cfg->on_close(r, why(c, r), cfg->arg);
	drop_held(r);
	if (r->user)
		tako__free(r->user, cfg->user_bytes);
	if (r->facts) {
		tako__arena_fini(r->facts);
		tako__free(r->facts, sizeof *r->facts);
	}
	if (r->counted)
		atomic_fetch_sub(&r->rule->count, 1);
	if (!c->listener)
		tako__raw_rule_free(r->rule);
}

const struct tako__proto_ops tako__raw_ops = {
	.name = "raw",
	.open = raw_open,
	.recv = raw_recv,
	.written = raw_written,
	.tick = raw_tick,
	.drain = raw_drain,
	.fini = raw_fini,
	.head = tako__raw_x_head,
	.data = tako__raw_x_data,
	.lend = tako__raw_x_lend,
	.end = tako__raw_x_end,
	.inform = tako__raw_x_inform,
	.stop = tako__raw_x_stop,
	.leave = tako__raw_x_leave,
	.unsent = tako__raw_x_unsent,
	.read_more = tako__raw_x_read_more,
	.done = tako__raw_x_done,
};

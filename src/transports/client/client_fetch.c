/* SPDX-License-Identifier: MIT
 *
 * A fetch from its start to its end: when its user is told what, and that the end comes exactly once and never
 * inside a call of the user's.  Knows of connections that it has one or waits for one.
 */
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/exchange.h"
#include "core/server.h"
#include "transports/client/client_int.h"

/* ---- Around callbacks ------------------------------------------------------------------ */

static void enter(struct tako_fetch *f)
{
	struct tako__exchange *x = f->x;

	if (!x)
		return;
	if (x->conn)
		tako__conn_touch(x->conn);
	x->flags |= TAKO__X_RUNNING;
}

static void leave(struct tako_fetch *f)
{
	if (f->x)
		tako__exchange_settle(f->x, 0);
}

/* One of those whose negative code ends the fetch. */
static int call(struct tako_fetch *f, int (*fn)(tako_fetch *f, void *arg))
{
	int rc;

	enter(f);
	rc = fn(f, f->cfg.arg);
	leave(f);
	return rc < 0 ? rc : 0;
}

/* ---- Ends ---------------------------------------------------------------------------------- */

void tako__fetch_free(struct tako_fetch *f)
{
	tako__client_buf_free(&f->held);
	tako__client_buf_free(&f->whole);
	tako__arena_fini(&f->arena);
	tako__arena_fini(&f->reply_arena);
	tako__client_unref(f->client);
	tako__free(f, sizeof *f);
}

static void note(struct tako_fetch *f, int err, const char *why)
{
	/* The first one; why a redirect was not followed is no error. */
	if (err < 0 && (!f->why[0] || !f->err))
		snprintf(f->why, sizeof f->why, "%s", why ? why : tako_strerror(err));
	f->err = err;
}

/* It has no connection and waits for none. */
static void over(struct tako_fetch *f)
{
	struct tako__exchange *x = f->x;
	int rc = 0;

	/* Whatever its user asks of it in on_end() comes too late. */
	f->mailed = true;
	tako__timer_clear(&f->worker->wheel, &f->timer);
	enter(f);
	if (f->cfg.on_end)
		rc = f->cfg.on_end(f, f->err, f->cfg.arg);
	tako__fetch_free(f);
	if (!x)
		return;
	x->refs--;
	tako__exchange_settle(x, rc);
}

static void on_over(struct tako__mail *m)
{
	over(TAKO__CONTAINER(m, struct tako_fetch, mail));
}

/* The same, when nobody is inside anything of it. */
static void over_soon(struct tako_fetch *f, int err, const char *why)
{
	note(f, err, why);
	f->mailed = true;
	f->mail.fn = on_over;
	tako__worker_post(f->worker, &f->mail);
}

static void detach(struct tako_fetch *f)
{
	if (f->conn)
		f->carrier->cancel(f);
	else
		tako__client_unjoin(f);
}

void tako_fetch_cancel(tako_fetch *f)
{
	if (f->mailed)
		return;
	detach(f);
	over_soon(f, TAKO_ECLOSED, "it was cancelled");
}

void tako__fetch_unserved(struct tako_fetch *f, int err, const char *why)
{
	over_soon(f, err, why);
}

/* ---- Time ------------------------------------------------------------------------------------- */

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	struct tako_fetch *f = TAKO__CONTAINER(t, struct tako_fetch, timer);
	char why[80];

	(void)now_ns;
	if (f->mailed)
		return;
	tako__add(&f->worker->stats.timeouts, 1);
	if (f->conn)
		snprintf(why, sizeof why, "no end of it within %u ms", f->cfg.total_timeout_ms);
	else
		snprintf(why, sizeof why, "no connection within %u ms",
		         f->client->cfg.connect_timeout_ms);
	detach(f);
	note(f, TAKO_ETIMEDOUT, why);
	over(f);
}

/* How long it may wait for a connection, or go on with one. */
static void set_timer(struct tako_fetch *f)
{
	uint64_t wait = tako__now_ns(f->worker) + tako__ms_ns(f->client->cfg.connect_timeout_ms);
	uint64_t end = UINT64_MAX;

	if (f->cfg.total_timeout_ms != TAKO_OFF)
		end = f->start_ns + tako__ms_ns(f->cfg.total_timeout_ms);
	if (!f->conn && wait < end)
		end = wait;
	tako__timer_set(&f->worker->wheel, &f->timer, end);
}

/* ---- Beginning ---------------------------------------------------------------------------------- */

int tako__fetch_begin(struct tako_fetch *f)
{
	int rc;

	f->pool = tako__client_pool(f->worker, f->client);
	if (!f->pool)
		return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
	f->start_ns = tako__now_ns(f->worker);
	rc = tako__client_join(f);
	if (rc == 0)
		set_timer(f);
	return rc;
}

int tako_fetch_start(tako_fetch **ret, tako_client *client, tako_res *res,
                     const tako_fetch_config *cfg)
{
	struct tako__exchange *x = tako__x(res);
	struct tako_fetch *f;
	int rc = tako__fetch_new(&f, client, cfg);

	if (rc < 0)
		return rc;
	if (!x || (x->flags & TAKO__X_OVER)) {
		tako__fetch_free(f);
		return tako__fail(TAKO_ESTATE, "fetch: the exchange is over, or there is none");
	}
	tako__timer_init(&f->timer, on_timer);
	f->worker = x->worker;
	f->x = x;
	rc = tako__fetch_begin(f);
	if (rc < 0) {
		tako__fetch_free(f);
		return rc;
	}
	tako__exchange_ref(x);
	if (ret)
		*ret = f;
	return 0;
}

/* Its worker has it.  One that has ended already will never turn again. */
static void on_posted(struct tako__mail *m)
{
	struct tako_fetch *f = TAKO__CONTAINER(m, struct tako_fetch, mail);
	int rc = f->worker->loop ? tako__fetch_begin(f)
	                         : tako__fail(TAKO_ECLOSED, "the server has stopped");

	if (rc == 0)
		return;
	note(f, rc, tako_last_error());
	over(f);
}

int tako_fetch_post(tako_client *client, tako_server *srv, const tako_fetch_config *cfg)
{
	struct tako_fetch *f;
	uint32_t next;
	uint32_t count;
	int rc = srv ? tako__fetch_new(&f, client, cfg)
	             : tako__fail(TAKO_EINVAL, "fetch: no server");

	if (rc < 0)
		return rc;
	count = atomic_load(&srv->post_count);
	if (!count) {
		tako__fetch_free(f);
		return tako__fail(TAKO_ECLOSED, "fetch: the server is being freed");
	}
	next = atomic_fetch_add_explicit(&client->next, 1, memory_order_relaxed);
	tako__timer_init(&f->timer, on_timer);
	f->worker = &srv->workers[next % count];
	f->mail.fn = on_posted;
	tako__worker_post(f->worker, &f->mail);
	return 0;
}

/* ---- For carriers ------------------------------------------------------------------------------- */

void tako__fetch_carried(struct tako_fetch *f, struct tako__conn *c,
                         const struct tako__carrier *carrier)
{
	f->conn = c;
	f->carrier = carrier;
	f->since_ns = tako__now_ns(f->worker);
	f->stage = TAKO__FETCH_HEAD;
	set_timer(f);
}

int tako__fetch_flow(struct tako_fetch *f)
{
	int rc = 0;

	f->flowing = true;
	f->awaits_continue = false;
	if (f->held.n)
		rc = f->carrier->data(f, f->held.p, f->held.n);
	if (f->cfg.stream && f->held.n) {
		f->handed = true;
		tako__client_buf_free(&f->held);
	}
	if (rc == 0 && f->finished)
		rc = f->carrier->finish(f);
	return rc;
}

void tako__fetch_writable(struct tako_fetch *f)
{
	if (!f->high || tako_fetch_unsent(f) >= f->client->cfg.write_high_bytes / 2 + 1)
		return;
	f->high = false;
	if (!f->cfg.on_writable)
		return;
	enter(f);
	f->cfg.on_writable(f, f->cfg.arg);
	leave(f);
}

/* ---- The response ----------------------------------------------------------------------------------- */

/* Fields out of p[0..n), with copies of what they point to.  NULL: no memory. */
static struct tako__field *copy_fields(struct tako__arena *a, const struct tako__field *from,
                                       uint32_t count, const char *p, size_t n)
{
	char *text = tako__arena_alloc(a, n);
	struct tako__field *to = tako__arena_alloc(a, count * sizeof *to + 1);

	if (!text || !to)
		return NULL;
	memcpy(text, p, n);
	for (uint32_t i = 0; i < count; i++)
		to[i] = (struct tako__field){text + (from[i].name - p), text + (from[i].value - p),
		                             from[i].name_n, from[i].value_n};
	return to;
}

static int refuse(struct tako_fetch *f, int err, const char *why)
{
	note(f, err, why);
	return err;
}

static int interim(struct tako_fetch *f)
{
	int rc = 0;

	if (f->reply.status == 101)
		return refuse(f, TAKO_EPROTO, "101 to a request without Upgrade");
	if (f->interim_count++ >= TAKO__FETCH_INTERIM_MAX)
		return refuse(f, TAKO_EPROTO, "too many interim responses");
	if (f->reply.status == 100 && f->awaits_continue)
		rc = tako__fetch_flow(f);
	if (rc == 0 && f->cfg.on_inform) {
		f->has_status = true;
		rc = call(f, f->cfg.on_inform);
		f->has_status = false;
	}
	return rc;
}

int tako__fetch_head(struct tako_fetch *f, const char *p, size_t n)
{
	int rc;

	tako__arena_fini(&f->reply_arena);
	f->reply.fields = copy_fields(&f->reply_arena, f->reply.fields, f->reply.field_count, p, n);
	if (!f->reply.fields)
		return TAKO_ENOMEM;
	if (f->reply.status < 200)
		return interim(f);
	rc = tako__redirect_look(f);
	if (rc < 0)
		return rc;
	f->has_status = !f->redirect;
	/* Nobody wants the body any more that he was asked about. */
	f->awaits_continue = false;
	f->stage = TAKO__FETCH_BODY;
	tako__reply_body_init(&f->body, &f->reply);
	if (f->redirect)
		return 0;
	if (f->reply.framing == TAKO__REPLY_LENGTH && f->reply.length > f->cfg.max_body_bytes)
		return refuse(f, TAKO_ETOOBIG, "its Content-Length is over max_body_bytes");
	return f->cfg.on_head ? call(f, f->cfg.on_head) : 0;
}

/* The request of f becomes the next one; it has no connection. */
static void follow(struct tako_fetch *f)
{
	int rc = tako__redirect_take(f);

	if (rc == 0)
		rc = tako__client_join(f);
	if (rc < 0) {
		note(f, rc, tako_last_error());
		over(f);
	} else if (!f->conn) {
		set_timer(f);
	}
}

/* Nobody reads the body of a redirect that is followed. */
static int skip_data(struct tako_fetch *f, size_t n)
{
	f->received_bytes += n;
	if (f->received_bytes > TAKO__FETCH_REDIRECT_BYTES) {
		f->carrier->cancel(f);
		follow(f);
	}
	return 0;
}

int tako__fetch_data(struct tako_fetch *f, tako_str data)
{
	int rc;

	if (f->redirect)
		return skip_data(f, data.n);
	if (data.n > f->cfg.max_body_bytes - f->received_bytes)
		return refuse(f, TAKO_ETOOBIG, "the body is longer than max_body_bytes");
	f->received_bytes += data.n;
	if (!f->cfg.on_data)
		return f->cfg.on_end ? tako__client_buf_add(&f->whole, data.p, data.n) : 0;
	enter(f);
	rc = f->cfg.on_data(f, data, f->cfg.arg);
	leave(f);
	return rc < 0 ? rc : 0;
}

int tako__fetch_trailers(struct tako_fetch *f, const struct tako__h1_trailers *t, const char *p,
                         size_t n)
{
	f->trailers = copy_fields(&f->reply_arena, t->fields, t->field_count, p, n);
	if (!f->trailers)
		return TAKO_ENOMEM;
	f->trailer_count = t->field_count;
	return 0;
}

void tako__fetch_done(struct tako_fetch *f)
{
	if (f->redirect)
		follow(f);
	else
		over(f);
}

/* ---- Once more ----------------------------------------------------------------------------------------- */

/* Both counts are its own: whoever is left out has not used up what is for connections that break. */
static bool may_retry(struct tako_fetch *f, enum tako__fetch_loss loss)
{
	uint32_t max = f->cfg.no_retry ? 0 : f->client->cfg.max_retry_count;

	if (f->handed || loss == TAKO__FETCH_GONE)
		return false;
	if (loss == TAKO__FETCH_ANEW)
		return f->retry_count++ < max;
	/* What never left is not sent twice either. */
	return (max || loss == TAKO__FETCH_UNSENT) &&
	       f->unprocessed_count++ < TAKO__FETCH_UNPROCESSED_MAX;
}

static void start_over(struct tako_fetch *f)
{
	f->flowing = false;
	f->awaits_continue = false;
	f->scanned = 0;
}

void tako__fetch_lost(struct tako_fetch *f, int err, const char *why, enum tako__fetch_loss loss)
{
	if (may_retry(f, loss)) {
		start_over(f);
		if (tako__client_join(f) == 0) {
			/* With a connection it is set already. */
			if (!f->conn)
				set_timer(f);
			return;
		}
	}
	note(f, err, why);
	over(f);
}

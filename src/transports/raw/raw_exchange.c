/* SPDX-License-Identifier: MIT
 *
 * See raw_exchange.h.  A request's head is checked as HTTP/2's are, which come in the same form.
 *
 * Not inside out: what is asked for while a handler runs is done in tako__raw_x_look(), when nobody is inside.
 */
#include "transports/raw/raw_exchange.h"

#include <ctype.h>

#include "core/server.h"
#include "transports/h2/h2_head.h"

/* ---- Ends -------------------------------------------------------------------------------------- */

void tako__raw_x_stop(struct tako__exchange *x, int err)
{
	tako_exchange *e = tako__raw_x_of(x);

	if (!e->mute && !(e->c->flags & TAKO__CONN_CLOSING)) {
		if (e->ops->stop)
			e->ops->stop(e, err);
		else
			tako_raw_abort(tako__raw_of(e->c));
	}
	e->mute = true;
	tako__raw_x_later(e);
}

/* Answered, and held by somebody: the connection goes on without it. */
void tako__raw_x_leave(struct tako__exchange *x)
{
	tako_exchange *e = tako__raw_x_of(x);

	/* Nobody will be asked for the rest of its content. */
	x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__raw_x_later(e);
	if (e->held) {
		e->leaving = true;
		return;
	}
	x->conn = NULL;
	e->x = NULL;
}

void tako__raw_x_done(struct tako__exchange *x)
{
	tako__raw_x_of(x)->x = NULL;
	tako__raw_x_later(tako__raw_x_of(x));
}

/* ---- Fields ------------------------------------------------------------------------------------- */

/* Names in lower case, and none of them a pseudo-header field's. */
static bool read_fields(struct tako__h2_head *h, struct tako__arena *arena, const tako_field *f,
                        size_t count)
{
	for (size_t i = 0; i < count; i++) {
		tako_str name = f[i].name;
		char *lower = tako__arena_strndup(arena, name.p, name.n);

		if (!lower) {
			h->status = 500;
			return true;
		}
		if (name.n && name.p[0] == ':')
			return false;
		for (size_t k = 0; k < name.n; k++)
			lower[k] = (char)tolower((unsigned char)lower[k]);
		tako__h2_head_field(h, lower, name.n, f[i].value.p, f[i].value.n);
	}
	return true;
}

static void init_head(struct tako__h2_head *h, struct tako__exchange *x, bool trailers)
{
	const tako_server_config *cfg = &x->worker->srv->cfg;

	tako__h2_head_init(h, &x->arena, trailers);
	h->list_bytes_max = cfg->max_head_bytes;
	h->field_count_max = cfg->max_header_count;
	h->target_bytes_max = cfg->max_line_bytes;
}

/* 0, a status to refuse it with, or TAKO__H2_MALFORMED. */
static int read_head(struct tako__h2_head *h, struct tako__exchange *x,
                     const tako_request_head *from)
{
	init_head(h, x, false);
	tako__h2_head_field(h, ":method", 7, from->method.p, from->method.n);
	/* Nothing depends on which of the two it is. */
	tako__h2_head_field(h, ":scheme", 7, "http", 4);
	if (from->authority.n)
		tako__h2_head_field(h, ":authority", 10, from->authority.p, from->authority.n);
	tako__h2_head_field(h, ":path", 5, from->target.p, from->target.n);
	if (!read_fields(h, &x->arena, from->fields, from->field_count))
		return TAKO__H2_MALFORMED;
	return tako__h2_head_end(h);
}

/* ---- The request's content ---------------------------------------------------------------------- */

static bool takes(const tako_exchange *e)
{
	const struct tako__exchange *x = e->x;

	/* The reader of an echo must not be flooded by its writer. */
	return tako__exchange_takes(x) &&
	       ((x->flags & TAKO__X_BODY_DROPPED) || (tako__raw_x_has_room(e) && !e->queue));
}

void tako__raw_x_read_more(struct tako__exchange *x)
{
	tako__raw_x_later(tako__raw_x_of(x));
}

/* Where nothing more is to be read or said of it than that. */
static int break_off(tako_exchange *e, const char *why)
{
	tako__exchange_break(e->x, 400, TAKO_EPROTO);
	return tako__fail(TAKO_EPROTO, "%s", why);
}

int tako_exchange_data(tako_exchange *e, tako_str data, bool end)
{
	struct tako__exchange *x = e->x;

	if (!x || (x->flags & TAKO__X_BODY_DONE))
		return data.n ? tako__fail(TAKO_ESTATE, "the content has ended") : 0;
	if (e->due_bytes != TAKO_OFF64 && (data.n > e->due_bytes || (end && data.n < e->due_bytes)))
		return break_off(e, "the content is not as long as announced");
	if (!takes(e)) {
		e->blocked = true;
		return TAKO_EBUSY;
	}
	if (e->due_bytes != TAKO_OFF64) {
		e->due_bytes -= data.n;
		end = !e->due_bytes;
	}
	tako__exchange_data(x, data.p, data.n, end);
	return 0;
}

int tako_exchange_trailers(tako_exchange *e, const tako_field *fields, size_t count)
{
	struct tako__exchange *x = e->x;
	struct tako__h2_head h;
	int status;
	int rc;

	if (!x || (x->flags & TAKO__X_BODY_DONE))
		return tako__fail(TAKO_ESTATE, "the content has ended");
	if (!takes(e)) {
		e->blocked = true;
		return TAKO_EBUSY;
	}
	init_head(&h, x, true);
	status = read_fields(&h, &x->arena, fields, count) ? tako__h2_head_end(&h)
	                                                   : TAKO__H2_MALFORMED;
	if (status == TAKO__H2_MALFORMED)
		return break_off(e, "malformed trailers");
	if (status == 0) {
		x->trailers = h.fields;
		x->trailer_count = h.field_count;
	}
	rc = tako_exchange_data(e, (tako_str){"", 0}, true);
	if (rc < 0 || status == 0)
		return rc;
	return status == 431 ? tako__fail(TAKO_ETOOBIG, "too many trailers: none was taken")
	                     : tako__fail(TAKO_ENOMEM, "trailers: out of memory");
}

void tako_exchange_cancel(tako_exchange *e)
{
	if (!e->x)
		return;
	e->mute = true;
	e->x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__exchange_reset(e->x, TAKO_ECLOSED);
	tako__raw_x_later(e);
}

void *tako_exchange_arg(const tako_exchange *e)
{
	return e->arg;
}

tako_raw *tako_exchange_raw(const tako_exchange *e)
{
	return tako__raw_of(e->c);
}

/* ---- Beginning ------------------------------------------------------------------------------------ */

static int take_head(tako_exchange *e, const tako_request_head *from)
{
	struct tako__exchange *x = e->x;
	struct tako__h2_head h;
	int status = read_head(&h, x, from);

	x->method = h.method;
	x->method_id = h.method_id;
	x->target = h.target;
	x->raw_path = h.path;
	x->query = h.query;
	x->host = h.authority;
	x->path_flags = h.path_flags;
	x->fields = h.fields;
	x->field_count = h.field_count;
	e->due_bytes = from->content_length;
	x->content_length = from->content_length;
	if (!from->content_length)
		x->flags |= TAKO__X_BODY_DONE;
	if (h.has_length && h.content_length != from->content_length)
		return TAKO__H2_MALFORMED;
	return status;
}

static int check_begin(const tako_raw *r, const tako_exchange_ops *ops)
{
	const struct tako__conn *c = tako__raw_conn(r);

	if (ops->size < sizeof *ops || !ops->head || !ops->content || !ops->end)
		return tako__fail(TAKO_EINVAL, "exchange: head(), content() or end() is missing");
	if ((c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH)) || r->ended)
		return tako__fail(TAKO_ESTATE, "exchange: the connection is ending");
	if (!c->worker->srv->routes)
		return tako__fail(TAKO_ESTATE, "exchange: the server has no routes");
	return 0;
}

static struct tako__raw_exchanges *ensure_all(struct tako__conn *c)
{
	struct tako_raw *r = tako__raw_of(c);

	if (!r->exchanges) {
		r->exchanges = tako__zalloc(sizeof *r->exchanges);
		if (r->exchanges)
			tako__list_init(&r->exchanges->all);
	}
	return r->exchanges;
}

static tako_exchange *exchange_new(struct tako__conn *c, const tako_exchange_ops *ops, void *arg)
{
	struct tako__raw_exchanges *all = ensure_all(c);
	tako_exchange *e = all ? tako__zalloc(sizeof *e) : NULL;

	if (!e)
		return NULL;
	e->x = tako__exchange_new(c);
	if (!e->x) {
		tako__free(e, sizeof *e);
		return NULL;
	}
	e->c = c;
	e->ops = ops;
	e->arg = arg;
	tako__raw_x_init(e);
	tako__list_push_back(&all->all, &e->link);
	e->x->stream = e;
	e->x->version = 11;
	c->request_count++;
	return e;
}

static void exchange_free(tako_exchange *e)
{
	tako__list_remove(&e->link);
	tako__timer_clear(&e->c->worker->wheel, &e->timer);
	tako__free(e, sizeof *e);
}

int tako_exchange_begin(tako_exchange **ret, tako_raw *r, const tako_request_head *head,
                        const tako_exchange_ops *ops, void *arg)
{
	struct tako__conn *c = tako__raw_conn(r);
	int rc = check_begin(r, ops);
	tako_exchange *e;

	if (ret)
		*ret = NULL;
	if (rc < 0)
		return rc;
	e = exchange_new(c, ops, arg);
	if (!e)
		return tako__fail(TAKO_ENOMEM, "exchange: out of memory");
	rc = take_head(e, head);
	if (TAKO__UNLIKELY(rc == TAKO__H2_MALFORMED)) {
		e->mute = true;
		tako__exchange_break(e->x, 0, TAKO_EPROTO);
		exchange_free(e);
		return tako__fail(TAKO_EPROTO, "exchange: malformed head");
	}
	if (ret)
		*ret = e;
	tako__raw_x_later(e);
	if (rc)
		tako__exchange_refuse(e->x, rc);
	else
		tako__exchange_run(e->x);
	return 0;
}

/* ---- Looking --------------------------------------------------------------------------------------- */

static void go_on(tako_exchange *e)
{
	tako__raw_x_pump(e);
	if (e->x && !e->mute)
		tako__exchange_writable(e->x);
	if (e->x && e->blocked && ((e->x->flags & TAKO__X_BODY_DONE) || takes(e))) {
		e->blocked = false;
		if (e->ops->more)
			e->ops->more(e);
	}
}

static void tell_over(tako_exchange *e)
{
	struct tako__conn *c = e->c;
	bool last = e->last;

	if (e->ops->over)
		e->ops->over(e);
	exchange_free(e);
	if (last)
		tako_raw_close(tako__raw_of(c));
}

/* New ones come at the end of the list, and none leaves it but here. */
static void look_at_all(struct tako__raw_exchanges *all)
{
	struct tako__list *next;

	for (struct tako__list *at = all->all.next; at != &all->all; at = next) {
		tako_exchange *e = TAKO__CONTAINER(at, tako_exchange, link);

		if (e->x)
			go_on(e);
		next = at->next;
		if (!e->x)
			tell_over(e);
	}
}

/* What ends a connection whose user says nothing else, once everything is answered. */
static void put_off_no_more(struct tako__conn *c)
{
	const tako_raw_config *cfg = tako__raw_cfg(c);
	struct tako_raw *r = tako__raw_of(c);

	if ((c->flags & TAKO__CONN_DRAINING) && !cfg->on_drain)
		tako_raw_close(r);
	if (r->heard_end && !cfg->on_end)
		r->ended = true;
}

void tako__raw_x_look(struct tako__conn *c)
{
	struct tako__raw_exchanges *all = tako__raw_x_all(c);

	if (!all)
		return;
	all->again = true;
	if (all->looking)
		return;
	all->looking = true;
	while (all->again && !(c->flags & TAKO__CONN_CLOSING)) {
		all->again = false;
		look_at_all(all);
	}
	all->looking = false;
	if (tako__list_empty(&all->all))
		put_off_no_more(c);
}

bool tako__raw_x_any(struct tako__conn *c)
{
	return tako__raw_x_all(c) && !tako__list_empty(&tako__raw_x_all(c)->all);
}

bool tako__raw_x_answering(struct tako__conn *c)
{
	if (!tako__raw_x_all(c))
		return false;
	TAKO__LIST_EACH(at, &tako__raw_x_all(c)->all)
	{
		const struct tako__exchange *x = TAKO__CONTAINER(at, tako_exchange, link)->x;

		if (x && (x->flags & TAKO__X_BODY_DONE))
			return true;
	}
	return false;
}

void tako__raw_x_drain(struct tako__conn *c)
{
	if (!tako__raw_x_all(c))
		return;
	TAKO__LIST_EACH(at, &tako__raw_x_all(c)->all)
	{
		struct tako__exchange *x = TAKO__CONTAINER(at, tako_exchange, link)->x;

		if (x)
			tako__exchange_stopping(x);
	}
}

/* It may live on without a connection, held by somebody who has to find out for himself. */
static void lose(tako_exchange *e)
{
	struct tako__exchange *x = e->x;

	e->mute = true;
	if (x)
		tako__exchange_gone(x, TAKO_ECLOSED);
	tako__raw_x_drop(e);
	if (e->ops->over)
		e->ops->over(e);
	exchange_free(e);
}

void tako__raw_x_fini(struct tako__conn *c)
{
	struct tako__raw_exchanges *all = tako__raw_x_all(c);

	if (!all)
		return;
	all->looking = true;
	while (!tako__list_empty(&all->all))
		lose(TAKO__CONTAINER(all->all.next, tako_exchange, link));
	tako__free(all, sizeof *all);
	tako__raw_of(c)->exchanges = NULL;
}

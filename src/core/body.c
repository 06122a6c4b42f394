/* SPDX-License-Identifier: MIT
 *
 * Asking for a request's body: as it streams, whole, as a form, as multipart.  Nothing is
 * delivered from inside these calls: the protocol does that from its own turn.
 */
#include "core/exchange.h"
#include "core/query.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"

static int ask(struct tako__exchange *x, tako_body_fn fn, void *arg, uint32_t how, uint64_t limit)
{
	if (x->flags & (TAKO__X_BODY_WANTED | TAKO__X_BODY_DROPPED))
		return tako__fail(TAKO_ESTATE, "the body was asked for already, or is gone");
	if (x->flags & TAKO__X_GONE)
		return tako__fail(TAKO_ECLOSED, "the peer went away");
	if (x->content_length != TAKO_OFF64 && x->content_length > limit)
		return tako__fail(TAKO_ETOOBIG, "a body of %llu bytes is over the limit",
		                  (unsigned long long)x->content_length);
	x->body_fn = fn;
	x->body_arg = arg;
	x->body_limit = limit;
	x->flags |= TAKO__X_BODY_WANTED | how;
	if (x->flags & TAKO__X_BODY_DONE)
		x->flags |= TAKO__X_EMPTY_DUE;
	else
		x->proto->read_more(x);
	return 0;
}

int tako_req_on_body(tako_req *req, tako_body_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(req);

	return ask(x, fn, arg, 0, x->body_limit);
}

int tako_req_whole_body(tako_req *req, tako_body_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(req);
	uint64_t limit = x->ep->max_body_bytes;

	return ask(x, fn, arg, TAKO__X_WHOLE, limit ? limit : x->worker->srv->cfg.max_body_bytes);
}

void tako_req_pause(tako_req *req)
{
	tako__x(req)->flags |= TAKO__X_BODY_PAUSED;
}

void tako_req_resume(tako_req *req)
{
	struct tako__exchange *x = tako__x(req);

	if (!(x->flags & TAKO__X_BODY_PAUSED))
		return;
	x->flags &= ~TAKO__X_BODY_PAUSED;
	if (x->conn && !(x->flags & TAKO__X_BODY_DONE))
		x->proto->read_more(x);
}

/* ---- Forms ------------------------------------------------------------------------- */

struct tako_form {
	struct tako__exchange *x;
	tako_str body;
	tako_form_fn fn;
	void *arg;
};

static int on_form(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct tako_form *form = arg;

	(void)end;
	form->body = data;
	return form->fn(req, res, form, form->arg);
}

/* The media type without its parameters (RFC 9110 section 8.3.1). */
static bool is_type(tako_str value, const char *type)
{
	size_t n = 0;

	while (n < value.n && value.p[n] != ';' && value.p[n] != ' ' && value.p[n] != '\t')
		n++;
	return value.p && tako_str_ieq((tako_str){value.p, n}, tako_str_z(type));
}

int tako_req_form(tako_req *req, tako_form_fn fn, void *arg)
{
	struct tako_form *form;

	if (!is_type(tako_req_header(req, "content-type"), "application/x-www-form-urlencoded"))
		return tako__fail(TAKO_EINVAL, "the body is not a form");
	form = tako_req_alloc(req, sizeof *form);
	if (!form)
		return tako__fail(TAKO_ENOMEM, "form: out of memory");
	*form = (struct tako_form){.x = tako__x(req), .fn = fn, .arg = arg};
	return tako_req_whole_body(req, on_form, form);
}

tako_str tako_form_value(const tako_form *form, const char *name)
{
	tako_str value;

	if (tako__query_get(form->body, tako_str_z(name), &form->x->arena, &value) < 0)
		return (tako_str){NULL, 0};
	return value;
}

int tako_form_each(const tako_form *form, tako_pair_fn fn, void *arg)
{
	return tako__query_each(form->body, &form->x->arena, fn, arg);
}

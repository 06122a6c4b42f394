/* SPDX-License-Identifier: MIT
 *
 * What runs for a matched request: its middleware in order, then the handler, then the
 * next match if the handler passes; and the answers that need no handler.
 */
#include "core/exchange.h"
#include "core/res.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"

struct tako_next {
	struct tako__exchange *x;
	unsigned pos;
	bool used;
};

int tako_next_run(tako_next *next)
{
	if (next->used)
		return tako__fail(TAKO_ESTATE, "tako_next_run: called twice");
	next->used = true;
	return tako__chain_run(next->x, next->pos);
}

static int run_around(struct tako__exchange *x, const struct tako__mw *mw, unsigned pos)
{
	tako_next *next = tako__arena_alloc(&x->arena, sizeof *next);

	if (!next)
		return TAKO_ENOMEM;
	*next = (tako_next){.x = x, .pos = pos};
	return mw->around_fn(tako__req(x), tako__res(x), next, mw->arg);
}

static bool same(const struct tako__mw *a, const struct tako__mw *b)
{
	return a->around == b->around && a->before == b->before && a->around_fn == b->around_fn &&
	       a->arg == b->arg;
}

/* The next less specific match.  Middleware that both have at the start of their chains has
 * run already and does not run again. */
static void rematch(struct tako__exchange *x)
{
	const struct tako__endpoint *old = x->ep;
	unsigned common = 0;

	x->skip++;
	x->found = (uint8_t)tako__match(x->worker->srv->routes, x->method_id, x->method, x->host,
	                                x->path, x->skip, &x->match);
	x->ep = x->match.ep;
	x->body_limit = x->ep->max_body_bytes ? x->ep->max_body_bytes : TAKO_OFF64;
	while (common < old->mw_count && common < x->ep->mw_count &&
	       same(&old->mw[common], &x->ep->mw[common]))
		common++;
	x->mw_from = common;
}

static int send_allow(struct tako__exchange *x, int status)
{
	const struct tako__table *t = x->worker->srv->routes;
	size_t max = tako__allow_bytes_max(t);
	char *buf = tako__arena_alloc(&x->arena, max + 1);
	tako_str allow;

	if (!buf)
		return TAKO_ENOMEM;
	allow = (tako_str){buf, tako__allow_format(t, &x->match, buf, max)};
	if (tako__exchange_add_field(x, TAKO_STR("Allow"), allow) < 0)
		return TAKO_ENOMEM;
	if (status == 204)
		return tako_res_send(tako__res(x), 204, NULL, (tako_str){NULL, 0});
	tako__exchange_error(x, status);
	return 0;
}

/* A normalised path as a URI has it: encoded slashes stay encoded. */
static char *put_path(char *to, tako_str path)
{
	size_t start = 0;

	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '/' && path.p[i] != '\0')
			continue;
		to += tako__percent_encode(to, path.p + start, i - start);
		if (i < path.n && path.p[i] == '/')
			*to++ = '/';
		else if (i < path.n)
			to = (char *)memcpy(to, "%2F", 3) + 3;
		start = i + 1;
	}
	return to;
}

/* 308 keeps the method and the body (RFC 9110 section 15.4.9).  The new path is made of the
 * normalised one: a raw one may end in dots that stand for the slash in question. */
int tako__redirect_slash(struct tako__exchange *x, bool add)
{
	tako_str path = {x->path.p, x->path.n - (add ? 0 : 1)};
	char *to = tako__arena_alloc(&x->arena, path.n * 3 + x->query.n + 5);
	char *p = to;

	if (!to)
		return TAKO_ENOMEM;
	/* A path that begins with two slashes would read as a host: "//evil/" is not a path
	 * reference (RFC 3986 section 4.2). */
	if (path.n > 1 && path.p[1] == '/') {
		*p++ = '/';
		*p++ = '.';
	}
	p = put_path(p, path);
	if (add)
		*p++ = '/';
	if (x->query.p) {
		*p++ = '?';
		memcpy(p, x->query.p, x->query.n);
		p += x->query.n;
	}
	*p = '\0';
	return tako_res_redirect(tako__res(x), 308, to);
}

static int answer_unmatched(struct tako__exchange *x)
{
	switch ((enum tako__match_result)x->found) {
	case TAKO__BAD_METHOD:
		return send_allow(x, 405);
	case TAKO__OPTIONS_AUTO:
		return send_allow(x, 204);
	case TAKO__SLASH_ADD:
		return tako__redirect_slash(x, true);
	case TAKO__SLASH_REMOVE:
		return tako__redirect_slash(x, false);
	default:
		tako__exchange_error(x, 404);
		return 0;
	}
}

static int run_handler(struct tako__exchange *x)
{
	if (TAKO__UNLIKELY(x->found != TAKO__FOUND))
		return answer_unmatched(x);
	if (TAKO__UNLIKELY(x->content_length > x->body_limit && x->content_length != TAKO_OFF64))
		return TAKO_ETOOBIG;
	return x->ep->handler(tako__req(x), tako__res(x), x->ep->arg);
}

int tako__chain_run(struct tako__exchange *x, unsigned pos)
{
	for (;;) {
		const struct tako__endpoint *ep = x->ep;
		int rc = TAKO_NEXT;

		for (unsigned i = pos > x->mw_from ? pos : x->mw_from; i < ep->mw_count; i++) {
			const struct tako__mw *mw = &ep->mw[i];

			if (mw->around)
				return run_around(x, mw, i + 1);
			rc = mw->before(tako__req(x), tako__res(x), mw->arg);
			if (rc != TAKO_NEXT)
				return rc;
		}
		rc = run_handler(x);
		if (TAKO__LIKELY(rc != TAKO_NEXT))
			return rc;
		rematch(x);
		pos = 0;
	}
}

/* SPDX-License-Identifier: MIT
 *
 * What holds for the routes of a scope, from what was set on it and on those around it.
 */
#include "core/router_build.h"

#include "core/base.h"

/* Order: earlier phases first, then outer scopes, then earlier calls.  Lists have the newest
 * first and scopes know their parents, so it is found backwards. */
static int flatten_mw(struct tako__arena *arena, const struct tako_router *scope,
                      struct tako__endpoint *ep)
{
	unsigned n = 0;
	struct tako__mw *mw;

	for (const struct tako_router *s = scope; s; s = s->parent) {
		for (const struct tako__hook *h = s->mw; h; h = h->next)
			n++;
	}
	mw = tako__arena_alloc(arena, n * sizeof(*mw));
	if (!mw)
		return TAKO_ENOMEM;
	ep->mw = mw;
	ep->mw_count = n;
	for (int phase = TAKO_PHASE_RESPONSE; phase >= 0; phase--) {
		for (const struct tako_router *s = scope; s; s = s->parent) {
			for (const struct tako__hook *h = s->mw; h; h = h->next) {
				if ((int)h->phase == phase)
					mw[--n] = h->u.mw;
			}
		}
	}
	return TAKO_OK;
}

/* The mirror image, so it is found forwards. */
static int flatten_after(struct tako__arena *arena, const struct tako_router *scope,
                         struct tako__endpoint *ep)
{
	unsigned n = 0;
	struct tako__after *after;

	for (const struct tako_router *s = scope; s; s = s->parent) {
		for (const struct tako__hook *h = s->after; h; h = h->next)
			n++;
	}
	after = tako__arena_alloc(arena, n * sizeof(*after));
	if (!after)
		return TAKO_ENOMEM;
	ep->after = after;
	ep->after_count = n;
	n = 0;
	for (int phase = TAKO_PHASE_RESPONSE; phase >= 0; phase--) {
		for (const struct tako_router *s = scope; s; s = s->parent) {
			for (const struct tako__hook *h = s->after; h; h = h->next) {
				if ((int)h->phase == phase)
					after[n++] = h->u.after;
			}
		}
	}
	return TAKO_OK;
}

static int flatten_errors(struct tako__arena *arena, const struct tako_router *scope,
                          struct tako__endpoint *ep)
{
	unsigned n = 0;
	struct tako__error_hook *errors;

	for (const struct tako_router *s = scope; s; s = s->parent)
		n += s->error_fn != NULL;
	errors = tako__arena_alloc(arena, n * sizeof(*errors));
	if (!errors)
		return TAKO_ENOMEM;
	ep->errors = errors;
	ep->error_count = n;
	for (const struct tako_router *s = scope; s; s = s->parent) {
		if (s->error_fn)
			*errors++ = (struct tako__error_hook){s->error_fn, s->error_arg};
	}
	return TAKO_OK;
}

/* The innermost setting counts: set from the outside in would need the way down. */
static void flatten_limits(const struct tako_router *scope, struct tako__endpoint *ep)
{
	bool has_max_body = false;
	bool has_timeout = false;
	bool has_redirect = false;

	for (const struct tako_router *s = scope; s; s = s->parent) {
		if (s->has_max_body && !has_max_body)
			ep->max_body_bytes = s->max_body_bytes;
		if (s->has_timeout && !has_timeout)
			ep->timeout_ms = s->timeout_ms;
		if (s->has_redirect && !has_redirect)
			ep->redirect_slash = s->redirect_slash;
		has_max_body |= s->has_max_body;
		has_timeout |= s->has_timeout;
		has_redirect |= s->has_redirect;
	}
}

int tako__scope_flatten(struct tako__arena *arena, const struct tako_router *scope,
                        struct tako__endpoint *ep)
{
	int rc = flatten_mw(arena, scope, ep);

	ep->host = tako_str_z(scope->host);
	flatten_limits(scope, ep);
	if (!rc)
		rc = flatten_after(arena, scope, ep);
	return rc ? rc : flatten_errors(arena, scope, ep);
}

/* SPDX-License-Identifier: MIT
 *
 * What is set on a router or group: limits, the error handler and middleware.  Settings are
 * kept where they were made; the table works out what holds for a route.
 */
#include "core/router_build.h"

#include "core/base.h"

/* ---- One of each: the last call counts ------------------------------------- */

void tako_body_limit(tako_router *router, uint64_t max_bytes)
{
	if (!tako__router_open(router))
		return;
	router->max_body_bytes = max_bytes;
	router->has_max_body = true;
}

void tako_timeout(tako_router *router, uint32_t timeout_ms)
{
	if (!tako__router_open(router))
		return;
	router->timeout_ms = timeout_ms == TAKO_OFF ? 0 : timeout_ms;
	router->has_timeout = true;
}

void tako_redirect_slash(tako_router *router, bool on)
{
	if (!tako__router_open(router))
		return;
	router->redirect_slash = on;
	router->has_redirect = true;
}

void tako_on_error(tako_router *router, tako_error_fn fn, void *arg)
{
	if (!tako__router_open(router))
		return;
	if (!fn) {
		tako__router_stick(router, tako__fail(TAKO_EINVAL, "on_error: no function"));
		return;
	}
	router->error_fn = fn;
	router->error_arg = arg;
}

/* ---- Many of each ---------------------------------------------------------- */

static struct tako__hook *new_hook(tako_router *router, struct tako__hook **list, tako_phase phase,
                                   bool has_fn)
{
	struct tako__hook *hook = NULL;
	int rc = TAKO_ENOMEM;

	if (!tako__router_open(router))
		return NULL;
	if ((unsigned)phase > TAKO_PHASE_RESPONSE)
		rc = tako__fail(TAKO_EINVAL, "middleware: no phase has the number %d", (int)phase);
	else if (!has_fn)
		rc = tako__fail(TAKO_EINVAL, "middleware: no function");
	else if (phase == TAKO_PHASE_RESPONSE && list == &router->mw)
		rc = tako__fail(TAKO_EINVAL, "middleware: the response phase is for tako_after()");
	else
		hook = tako__arena_zalloc(&router->root->arena, sizeof(*hook));
	if (!hook) {
		tako__router_stick(router, rc);
		return NULL;
	}
	hook->phase = phase;
	hook->next = *list;
	*list = hook;
	return hook;
}

void tako_before(tako_router *router, tako_phase phase, tako_handler fn, void *arg)
{
	struct tako__hook *hook = router ? new_hook(router, &router->mw, phase, fn) : NULL;

	if (hook)
		hook->u.mw = (struct tako__mw){.phase = phase, .before = fn, .arg = arg};
}

void tako_around(tako_router *router, tako_phase phase, tako_around_fn fn, void *arg)
{
	struct tako__hook *hook = router ? new_hook(router, &router->mw, phase, fn) : NULL;

	if (hook)
		hook->u.mw = (struct tako__mw){
			.phase = phase, .around = true, .around_fn = fn, .arg = arg};
}

void tako_after(tako_router *router, tako_phase phase, tako_after_fn fn, void *arg)
{
	struct tako__hook *hook = router ? new_hook(router, &router->after, phase, fn) : NULL;

	if (hook)
		hook->u.after = (struct tako__after){fn, arg};
}

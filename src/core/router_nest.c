/* SPDX-License-Identifier: MIT
 *
 * Nesting and introspection.  A nested router is copied: its scopes become scopes of the
 * parent, its routes routes.  So everything later knows one flat router; what was set on the
 * child stays in the child's memory, which the reference keeps.
 */
#include "core/router_build.h"

#include "core/base.h"

/* ---- Nesting --------------------------------------------------------------- */

static int check_child(const tako_router *router, const tako_router *child)
{
	int rc = tako_router_error(child);

	if (rc)
		return rc;
	if (child != &child->root->scope)
		return tako__fail(TAKO_EINVAL, "nest: a group is no router of its own");
	if (child->root == router->root)
		return tako__fail(TAKO_EINVAL, "nest: a router in itself");
	for (const struct tako_router *s = child; s; s = s->next) {
		if (s->kind == TAKO__SCOPE_HOST)
			return tako__fail(TAKO_EINVAL, "nest: the router has hosts");
	}
	return TAKO_OK;
}

static int hold_child(struct tako__root *root, struct tako__root *child)
{
	struct tako__child *link = root->children;

	while (link && link->root != child)
		link = link->next;
	if (link)
		return TAKO_OK;
	link = tako__arena_alloc(&root->arena, sizeof(*link));
	if (!link)
		return TAKO_ENOMEM;
	*link = (struct tako__child){root->children, tako__root_ref(child)};
	root->children = link;
	child->frozen = true;
	return TAKO_OK;
}

/* Of two fallbacks below one prefix the inner one comes first; two that are side by side
 * have no order. */
static int check_fallback(const struct tako_router *scope)
{
	for (const struct tako_router *o = &scope->root->scope; o != scope; o = o->next) {
		const struct tako_router *up = scope;

		if (o->kind != TAKO__SCOPE_MOUNT || !o->fallback.handler ||
		    o->host != scope->host || !tako_str_eq(o->prefix.code, scope->prefix.code))
			continue;
		while (up && up != o)
			up = up->parent;
		if (!up)
			return tako__fail(TAKO_EEXIST, "nest: two fallbacks below \"%.128s\"",
			                  scope->prefix.source.p);
	}
	return TAKO_OK;
}

static int copy_scope(struct tako_router **out, struct tako_router *parent, const char *prefix,
                      const struct tako_router *from)
{
	bool was_root = from->kind == TAKO__SCOPE_ROOT;
	int rc = tako__scope_new(out, parent, was_root ? TAKO__SCOPE_MOUNT : from->kind, prefix);
	struct tako_router *to = *out;

	if (rc)
		return rc;
	to->mw = from->mw;
	to->after = from->after;
	to->error_fn = from->error_fn;
	to->error_arg = from->error_arg;
	to->fallback = from->fallback;
	to->max_body_bytes = from->max_body_bytes;
	to->timeout_ms = from->timeout_ms;
	to->has_max_body = from->has_max_body;
	to->has_timeout = from->has_timeout;
	to->has_redirect = from->has_redirect;
	to->redirect_slash = from->redirect_slash;
	return to->fallback.handler ? check_fallback(to) : TAKO_OK;
}

/* map[i] becomes the copy of the child's scope number i; parents come before children. */
static int copy_all(tako_router *router, const char *prefix, const tako_router *child,
                    struct tako_router **map)
{
	int rc = TAKO_OK;

	for (const struct tako_router *s = child; s && !rc; s = s->next) {
		struct tako_router *parent = s->parent ? map[s->parent->index] : router;
		const char *own = s->parent ? s->prefix.source.p + s->parent->prefix.source.n
		                            : prefix;

		rc = copy_scope(&map[s->index], parent, own, s);
	}
	for (const struct tako__route *r = child->root->routes; r && !rc; r = r->next)
		rc = tako__route_add(map[r->scope->index], r->method.p,
		                     r->path.source.p + r->scope->prefix.source.n, r->handler,
		                     r->arg);
	return rc;
}

static int nest(tako_router *router, const char *prefix, const tako_router *child)
{
	struct tako_router **map;
	size_t map_bytes;
	int rc = check_child(router, child);

	if (!rc)
		rc = hold_child(router->root, child->root);
	if (rc)
		return rc;
	map_bytes = child->root->scope_count * sizeof(struct tako_router *);
	map = tako__zalloc(map_bytes);
	if (!map)
		return TAKO_ENOMEM;
	rc = copy_all(router, prefix, child, map);
	tako__free(map, map_bytes);
	return rc;
}

void tako_nest(tako_router *router, const char *prefix, tako_router *child)
{
	int rc;

	if (!tako__router_open(router))
		return;
	rc = nest(router, prefix, child);
	if (rc)
		tako__router_stick(router, rc);
}

/* ---- Introspection --------------------------------------------------------- */

static bool is_within(const struct tako_router *scope, const struct tako_router *outer)
{
	while (scope && scope != outer)
		scope = scope->parent;
	return scope != NULL;
}

int tako_router_each(const tako_router *router, int (*fn)(const tako_route_info *info, void *arg),
                     void *arg)
{
	const struct tako__route *r = router && router->root ? router->root->routes : NULL;
	int rc = 0;

	for (; r && !rc; r = r->next) {
		tako_route_info info = {
			.size = sizeof(info),
			.method = r->method.p,
			.pattern = r->path.source.p,
			.host = r->scope->host,
			.handler = r->handler,
			.arg = r->arg,
		};

		if (is_within(r->scope, router))
			rc = fn(&info, arg);
	}
	return rc;
}

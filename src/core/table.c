/* SPDX-License-Identifier: MIT
 *
 * From a router to a frozen table: what holds for each route is worked out, and each host
 * gets its trees.  Runs once per server, before requests.
 */
#include "core/table.h"

#include <string.h>

#include "core/base.h"
#include "core/router_build.h"

/* A site while its trees are drafted. */
struct plan {
	struct tako__site *site;
	struct tako__draft routes;
	struct tako__draft mounts;
};

struct builder {
	struct tako__table *table;
	struct tako__arena scratch;
	struct tako__endpoint *bases; /* by scope: what holds for all of its routes */
	struct plan **plan_of;        /* by scope */
	struct plan *plans;           /* [0]: of the hosts that have none */
	size_t plan_count;
	struct tako__endpoint *endpoints;
};

/* ---- Sites ------------------------------------------------------------------ */

/* An endpoint that no pattern has. */
static const struct tako__endpoint *nameless(struct builder *b, const struct tako_router *scope,
                                             const struct tako__fallback *fallback)
{
	struct tako__endpoint *ep = tako__arena_alloc(&b->table->arena, sizeof(*ep));

	if (!ep)
		return NULL;
	*ep = b->bases[scope->index];
	if (fallback) {
		ep->handler = fallback->handler;
		ep->arg = fallback->arg;
	}
	return ep;
}

static int add_fallback(struct builder *b, struct tako__site *site, const struct tako_router *scope,
                        const struct tako__fallback *fallback)
{
	if (!fallback->handler)
		return TAKO_OK;
	site->fallbacks[site->fallback_count] = nameless(b, scope, fallback);
	return site->fallbacks[site->fallback_count++] ? TAKO_OK : TAKO_ENOMEM;
}

/* A host without a fallback of its own, or whose own passes, still has the router's; with
 * the host's middleware, as everything that it answers. */
static int begin_plan(struct builder *b, struct plan *plan, struct tako__site *site,
                      const struct tako_router *scope)
{
	int rc = tako__draft_init(&plan->routes, &b->scratch);

	plan->site = site;
	site->unmatched = nameless(b, scope, NULL);
	if (rc || !site->unmatched)
		return TAKO_ENOMEM;
	rc = add_fallback(b, site, scope, &scope->fallback);
	if (!rc && scope->parent)
		rc = add_fallback(b, site, scope, &scope->parent->fallback);
	return rc;
}

static int begin_hosts(struct builder *b)
{
	struct tako__table *t = b->table;
	struct tako__host_entry *hosts = tako__arena_alloc(&t->arena,
	                                                   t->host_count * sizeof(*hosts));
	struct tako__site *sites = tako__arena_zalloc(&t->arena, t->host_count * sizeof(*sites));
	size_t n = 0;

	if (!hosts || !sites)
		return TAKO_ENOMEM;
	for (const struct tako_router *s = t->root->scope.next; s; s = s->next) {
		struct plan *plan = b->plan_of[s->parent->index];

		if (s->kind == TAKO__SCOPE_HOST) {
			plan = &b->plans[n + 1];
			if (begin_plan(b, plan, &sites[n], s))
				return TAKO_ENOMEM;
			hosts[n] = (struct tako__host_entry){s->host_key, &sites[n]};
			n++;
		}
		b->plan_of[s->index] = plan;
	}
	tako__host_sort(hosts, n);
	t->hosts = hosts;
	return TAKO_OK;
}

static int begin(struct builder *b)
{
	const struct tako__root *root = b->table->root;
	size_t scopes = root->scope_count;
	int rc = TAKO_OK;

	for (const struct tako_router *s = &root->scope; s; s = s->next)
		b->table->host_count += s->kind == TAKO__SCOPE_HOST;
	b->plan_count = b->table->host_count + 1;
	b->bases = tako__arena_zalloc(&b->scratch, scopes * sizeof(*b->bases));
	b->plan_of = tako__arena_zalloc(&b->scratch, scopes * sizeof(struct plan *));
	b->plans = tako__arena_zalloc(&b->scratch, b->plan_count * sizeof(*b->plans));
	if (!b->bases || !b->plan_of || !b->plans)
		return TAKO_ENOMEM;
	for (const struct tako_router *s = &root->scope; s && !rc; s = s->next)
		rc = tako__scope_flatten(&b->table->arena, s, &b->bases[s->index]);
	b->plan_of[0] = &b->plans[0];
	if (!rc)
		rc = begin_plan(b, &b->plans[0], &b->table->site, &root->scope);
	return rc ? rc : begin_hosts(b);
}

/* ---- Routes ----------------------------------------------------------------- */

static int add_route(struct builder *b, const struct tako__route *r, struct tako__endpoint *ep)
{
	struct plan *plan = b->plan_of[r->scope->index];
	struct tako__draft_leaf *leaf = tako__draft_leaf(&plan->routes, r->path.code.p,
	                                                 r->path.code.n);
	uint32_t id = ep->id;

	*ep = b->bases[r->scope->index];
	ep->id = id;
	ep->handler = r->handler;
	ep->arg = r->arg;
	ep->method = r->method;
	ep->pattern = r->path.source;
	ep->param_names = r->path.names;
	ep->param_count = r->path.name_count;
	plan->site->redirects |= ep->redirect_slash;
	return leaf ? tako__draft_add(&plan->routes, leaf, r->method_id, ep) : TAKO_ENOMEM;
}

static int add_routes(struct builder *b)
{
	struct tako__table *t = b->table;
	size_t count = (size_t)t->root->route_count + 1;
	struct tako__endpoint *ep = tako__arena_alloc(&t->arena, count * sizeof(*ep));
	int rc = TAKO_OK;

	if (!ep)
		return TAKO_ENOMEM;
	b->endpoints = ep;
	t->endpoints = ep;
	t->count = (unsigned)count;
	*ep = *t->site.unmatched;
	t->site.unmatched = ep;
	for (const struct tako__route *r = t->root->routes; r && !rc; r = r->next) {
		ep++;
		ep->id = (uint32_t)(ep - b->endpoints);
		rc = add_route(b, r, ep);
	}
	return rc;
}

/* ---- Fallbacks of nested routers --------------------------------------------- */

static int add_mount_at(struct plan *plan, const struct tako__endpoint *ep, const char *code,
                        size_t n)
{
	struct tako__draft_leaf *leaf = tako__draft_leaf(&plan->mounts, code, n);

	return leaf ? tako__draft_add(&plan->mounts, leaf, TAKO__METHOD_ANY, ep) : TAKO_ENOMEM;
}

/* For the prefix itself and all below it.  Scopes come in the order they were made, the
 * outer before the inner, and each goes in front of those that are there. */
static int add_mount(struct builder *b, const struct tako_router *scope)
{
	static const char below[] = {'/', '\0', TAKO__PARAM_REST};
	struct plan *plan = b->plan_of[scope->index];
	tako_str code = scope->prefix.code;
	char *all = tako__arena_alloc(&b->scratch, code.n + sizeof(below));
	struct tako__endpoint *ep = tako__arena_alloc(&b->table->arena, sizeof(*ep));
	int rc = TAKO_OK;

	if (!all || !ep)
		return TAKO_ENOMEM;
	memcpy(all, code.p, code.n);
	memcpy(all + code.n, below, sizeof(below));
	*ep = b->bases[scope->index];
	ep->handler = scope->fallback.handler;
	ep->arg = scope->fallback.arg;
	ep->param_names = scope->prefix.names;
	ep->param_count = scope->prefix.name_count;
	if (!plan->mounts.root)
		rc = tako__draft_init(&plan->mounts, &b->scratch);
	if (!rc && code.n)
		rc = add_mount_at(plan, ep, code.p, code.n);
	return rc ? rc : add_mount_at(plan, ep, all, code.n + sizeof(below));
}

static int add_mounts(struct builder *b)
{
	int rc = TAKO_OK;

	for (const struct tako_router *s = &b->table->root->scope; s && !rc; s = s->next) {
		if (s->kind == TAKO__SCOPE_MOUNT && s->fallback.handler)
			rc = add_mount(b, s);
	}
	return rc;
}

/* ---- The table -------------------------------------------------------------- */

/* What a server says of itself when asked for "*": a route for any method stands for those
 * that act on a resource. */
static uint64_t site_allow(const struct tako__tree *tree, uint32_t leaf_count)
{
	static const uint64_t plain = 1u << TAKO__GET | 1u << TAKO__HEAD | 1u << TAKO__POST |
	                              1u << TAKO__PUT | 1u << TAKO__DELETE | 1u << TAKO__PATCH;
	uint64_t allow = 0;

	for (uint32_t i = 0; i < leaf_count; i++)
		allow |= tree->leaves[i].allow | (tree->leaves[i].any ? plain : 0);
	return allow;
}

static int freeze_plan(struct plan *plan, struct tako__arena *arena)
{
	int rc = tako__tree_freeze(&plan->site->routes, &plan->routes, arena);

	if (!rc && plan->mounts.root)
		rc = tako__tree_freeze(&plan->site->mounts, &plan->mounts, arena);
	if (!rc)
		plan->site->allow = site_allow(&plan->site->routes, plan->routes.leaf_count);
	return rc;
}

static size_t allow_bytes(const struct tako__root *root)
{
	size_t n = 0;

	for (unsigned i = 0; i < TAKO__METHOD_COUNT; i++)
		n += strlen(tako__method_name(i)) + 2;
	for (unsigned i = 0; i < root->method_count; i++)
		n += root->methods[i].n + 2;
	return n;
}

static int build(struct builder *b)
{
	int rc = begin(b);

	if (!rc)
		rc = add_routes(b);
	if (!rc)
		rc = add_mounts(b);
	for (size_t i = 0; i < b->plan_count && !rc; i++)
		rc = freeze_plan(&b->plans[i], &b->table->arena);
	return rc;
}

static int check(const tako_router *router)
{
	int rc = tako_router_error(router);

	if (rc)
		return rc;
	if (router != &router->root->scope)
		return tako__fail(TAKO_EINVAL, "router: a group or host is no router of its own");
	return TAKO_OK;
}

int tako__table_new(struct tako__table **out, tako_router *router)
{
	struct builder b = {0};
	int rc = check(router);

	if (rc)
		return rc;
	b.table = tako__zalloc(sizeof(*b.table));
	if (!b.table)
		return tako__fail(TAKO_ENOMEM, "router: out of memory");
	tako__arena_init(&b.table->arena, NULL, 0);
	tako__arena_init(&b.scratch, NULL, 0);
	b.table->root = tako__root_ref(router->root);
	b.table->methods = router->root->methods;
	b.table->method_count = router->root->method_count;
	b.table->allow_bytes = allow_bytes(router->root);
	rc = build(&b);
	tako__arena_fini(&b.scratch);
	if (rc) {
		tako__table_free(b.table);
		return tako__fail(rc, "router: out of memory");
	}
	router->root->frozen = true;
	*out = b.table;
	return TAKO_OK;
}

void tako__table_free(struct tako__table *t)
{
	if (!t)
		return;
	tako__arena_fini(&t->arena);
	tako__root_unref(t->root);
	tako__free(t, sizeof(*t));
}

unsigned tako__table_count(const struct tako__table *t)
{
	return t->count;
}

const struct tako__endpoint *tako__table_endpoint(const struct tako__table *t, unsigned id)
{
	return id < t->count ? &t->endpoints[id] : NULL;
}

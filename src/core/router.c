/* SPDX-License-Identifier: MIT
 *
 * Building a router: routes, groups, hosts and what is set on them.  Every call checks its
 * arguments at once; the first failure sticks and turns the later ones into nothing.
 * Matches no request: that is for the table.
 */
#include "core/router_build.h"

#include <string.h>

#include "core/base.h"
#include "core/hash.h"
#include "core/host.h"

enum { BUCKETS_FIRST = 32 };

/* What a NULL router, for want of memory, has as its groups.  Never written. */
static struct tako_router no_router;

/* ---- Life and failure ------------------------------------------------------ */

tako_router *tako_router_new(void)
{
	struct tako__root *root = tako__zalloc(sizeof(*root));

	if (!root)
		return NULL;
	tako__arena_init(&root->arena, NULL, 0);
	atomic_init(&root->refs, 1);
	root->scope.root = root;
	root->scope.prefix.source = TAKO_STR("");
	root->scope.prefix.code = TAKO_STR("");
	root->scope_count = 1;
	root->scopes_end = &root->scope.next;
	root->routes_end = &root->routes;
	root->inert.root = root;
	return &root->scope;
}

struct tako__root *tako__root_ref(struct tako__root *root)
{
	atomic_fetch_add(&root->refs, 1);
	return root;
}

void tako__root_unref(struct tako__root *root)
{
	if (!root || atomic_fetch_sub(&root->refs, 1) != 1)
		return;
	for (struct tako__child *c = root->children; c; c = c->next)
		tako__root_unref(c->root);
	for (struct tako__owned *o = root->owned; o; o = o->next)
		o->fini(o->arg);
	tako__arena_fini(&root->arena);
	tako__free(root, sizeof(*root));
}

void tako_router_free(tako_router *router)
{
	if (router && router->root && router == &router->root->scope)
		tako__root_unref(router->root);
}

int tako_router_error(const tako_router *router)
{
	if (!router || !router->root)
		return tako__fail(TAKO_ENOMEM, "router: NULL, there was no memory for it");
	if (router->root->error)
		return tako__fail(router->root->error, "%s", router->root->error_text);
	return TAKO_OK;
}

void tako__router_stick(tako_router *router, int err)
{
	struct tako__root *root = router->root;
	const char *text = err == TAKO_ENOMEM ? "router: out of memory" : tako_last_error();
	size_t n = strlen(text);

	if (root->error)
		return;
	root->error = err;
	n = n < sizeof(root->error_text) ? n : sizeof(root->error_text) - 1;
	memcpy(root->error_text, text, n);
	root->error_text[n] = '\0';
}

bool tako__router_open(tako_router *router)
{
	if (!router || !router->root || router->root->error)
		return false;
	if (!router->root->frozen)
		return true;
	tako__router_stick(router, tako__fail(TAKO_ESTATE,
	                                      "router: changed after a server or router took it"));
	return false;
}

int tako__router_own(tako_router *router, void (*fini)(void *arg), void *arg)
{
	struct tako__owned *o = tako__arena_alloc(&router->root->arena, sizeof(*o));

	if (!o) {
		tako__router_stick(router, TAKO_ENOMEM);
		return TAKO_ENOMEM;
	}
	*o = (struct tako__owned){router->root->owned, fini, arg};
	router->root->owned = o;
	return TAKO_OK;
}

static void stick_if(tako_router *router, int err)
{
	if (err)
		tako__router_stick(router, err);
}

static tako_router *inert(tako_router *router)
{
	return router && router->root ? &router->root->inert : &no_router;
}

/* ---- Routes ---------------------------------------------------------------- */

static int copy_pattern(struct tako__root *root, struct tako__path_spec *spec,
                        const struct tako__pattern *compiled)
{
	size_t names_bytes = compiled->name_count * sizeof(*spec->names);
	tako_str *names = tako__arena_alloc(&root->arena, names_bytes);
	char *code = tako__arena_strndup(&root->arena, compiled->code, compiled->n);

	if (!names || !code)
		return TAKO_ENOMEM;
	memcpy(names, compiled->names, names_bytes);
	spec->code = (tako_str){code, compiled->n};
	spec->names = names;
	spec->name_count = compiled->name_count;
	return TAKO_OK;
}

/* Compile `path` behind the scope's prefix.  Behind one, an empty path is the prefix itself:
 * "/users" in the group "/users". */
static int join(struct tako__path_spec *spec, const struct tako_router *scope, const char *path,
                bool prefix)
{
	struct tako__pattern compiled;
	size_t head = scope->prefix.source.n;
	size_t tail = path ? strlen(path) : 0;
	char *source;
	int rc;

	if (!path)
		return tako__fail(TAKO_EINVAL, "router: no path or prefix given");
	if (tail && path[0] != '/')
		return tako__fail(TAKO_EINVAL, "pattern does not begin with '/': %s", path);
	source = tako__arena_alloc(&scope->root->arena, head + tail + 1);
	if (!source)
		return TAKO_ENOMEM;
	memcpy(source, scope->prefix.source.p, head);
	memcpy(source + head, path, tail + 1);
	spec->source = (tako_str){source, head + tail};
	rc = tako__pattern_compile(&compiled, source, head + tail, prefix);
	return rc ? rc : copy_pattern(scope->root, spec, &compiled);
}

static int other_method(struct tako__root *root, struct tako__route *r, const char *p, size_t n)
{
	unsigned i = 0;

	while (i < root->method_count && !tako_str_eq(root->methods[i], (tako_str){p, n}))
		i++;
	if (i == TAKO__COUNT(root->methods))
		return tako__fail(TAKO_ETOOBIG, "router: more than %d different methods",
		                  TAKO__ALLOW_METHODS_MAX);
	if (i == root->method_count) {
		const char *copy = tako__arena_strndup(&root->arena, p, n);

		if (!copy)
			return TAKO_ENOMEM;
		root->methods[root->method_count++] = (tako_str){copy, n};
	}
	r->method = root->methods[i];
	r->method_id = TAKO__METHOD_COUNT + i;
	return TAKO_OK;
}

static int set_method(struct tako__root *root, struct tako__route *r, const char *method)
{
	size_t n = method ? strlen(method) : 0;

	r->method_id = TAKO__METHOD_ANY;
	if (!method)
		return TAKO_OK;
	if (n > TAKO__METHOD_MAX_BYTES || !tako__is_token(method, n))
		return tako__fail(TAKO_EINVAL, "no method, or one over %d bytes: \"%.64s\"",
		                  TAKO__METHOD_MAX_BYTES, method);
	r->method_id = tako__method_id(method, n);
	if (r->method_id == TAKO__METHOD_OTHER)
		return other_method(root, r, method, n);
	r->method = tako_str_z(tako__method_name(r->method_id));
	return TAKO_OK;
}

/* Chains stay short, so that adding n routes takes in the order of n steps. */
static int grow_buckets(struct tako__root *root)
{
	size_t count = root->bucket_count ? (size_t)root->bucket_count * 4 : BUCKETS_FIRST;
	struct tako__route **buckets;

	if (root->route_count < root->bucket_count)
		return TAKO_OK;
	/* The old ones stay in the arena: together a third of the new. */
	buckets = tako__arena_zalloc(&root->arena, count * sizeof(struct tako__route *));
	if (!buckets)
		return TAKO_ENOMEM;
	for (struct tako__route *r = root->routes; r; r = r->next) {
		r->bucket = buckets[r->hash % count];
		buckets[r->hash % count] = r;
	}
	root->buckets = buckets;
	root->bucket_count = (uint32_t)count;
	return TAKO_OK;
}

static uint32_t hash_route(const struct tako__route *r)
{
	return tako__hash(TAKO__HASH_START ^ r->method_id, r->path.code.p, r->path.code.n);
}

/* Codes are the same where patterns are, but for the names; a host's name is one pointer,
 * shared by all scopes inside it. */
static int link_route(struct tako__root *root, struct tako__route *r)
{
	struct tako__route **bucket = &root->buckets[r->hash % root->bucket_count];

	for (struct tako__route *o = *bucket; o; o = o->bucket) {
		if (o->hash == r->hash && o->method_id == r->method_id &&
		    o->scope->host == r->scope->host && tako_str_eq(o->path.code, r->path.code))
			return tako__fail(TAKO_EEXIST, "%s %.96s and %.96s match the same requests",
			                  r->method.p ? r->method.p : "any method",
			                  o->path.source.p, r->path.source.p);
	}
	if (root->route_count == TAKO__ROUTES_MAX)
		return tako__fail(TAKO_ETOOBIG, "router: more than %d routes", TAKO__ROUTES_MAX);
	root->route_count++;
	r->bucket = *bucket;
	*bucket = r;
	*root->routes_end = r;
	root->routes_end = &r->next;
	return TAKO_OK;
}

int tako__route_add(struct tako_router *scope, const char *method, const char *path,
                    tako_handler handler, void *arg)
{
	struct tako__root *root = scope->root;
	struct tako__route *r = tako__arena_zalloc(&root->arena, sizeof(*r));
	int rc;

	if (!r)
		return TAKO_ENOMEM;
	if (!handler)
		return tako__fail(TAKO_EINVAL, "router: no handler for %.128s", path ? path : "");
	r->scope = scope;
	r->handler = handler;
	r->arg = arg;
	rc = set_method(root, r, method);
	if (!rc)
		rc = join(&r->path, scope, path, false);
	if (rc)
		return rc;
	r->hash = hash_route(r);
	rc = grow_buckets(root);
	return rc ? rc : link_route(root, r);
}

void tako_route(tako_router *router, const char *method, const char *path, tako_handler handler,
                void *arg)
{
	if (tako__router_open(router))
		stick_if(router, tako__route_add(router, method, path, handler, arg));
}

void tako_fallback(tako_router *router, tako_handler handler, void *arg)
{
	int rc = TAKO_OK;

	if (!tako__router_open(router))
		return;
	if (router->kind == TAKO__SCOPE_GROUP)
		rc = tako__fail(TAKO_EINVAL, "fallback: not for a group");
	else if (!handler)
		rc = tako__fail(TAKO_EINVAL, "fallback: no handler");
	else if (router->fallback.handler)
		rc = tako__fail(TAKO_EEXIST, "fallback: there is one already");
	else
		router->fallback = (struct tako__fallback){handler, arg};
	stick_if(router, rc);
}

/* ---- Groups and hosts ------------------------------------------------------ */

int tako__scope_new(struct tako_router **out, struct tako_router *parent,
                    enum tako__scope_kind kind, const char *prefix)
{
	struct tako__root *root = parent->root;
	struct tako_router *scope;
	int rc;

	if (root->scope_count == TAKO__SCOPES_MAX)
		return tako__fail(TAKO_ETOOBIG, "router: more than %d groups", TAKO__SCOPES_MAX);
	scope = tako__arena_zalloc(&root->arena, sizeof(*scope));
	if (!scope)
		return TAKO_ENOMEM;
	scope->root = root;
	scope->parent = parent;
	scope->kind = kind;
	scope->host = parent->host;
	scope->host_key = parent->host_key;
	rc = join(&scope->prefix, parent, prefix, true);
	if (rc)
		return rc;
	scope->index = root->scope_count++;
	*root->scopes_end = scope;
	root->scopes_end = &scope->next;
	*out = scope;
	return TAKO_OK;
}

tako_router *tako_group(tako_router *router, const char *prefix)
{
	struct tako_router *group = NULL;
	int rc;

	if (!tako__router_open(router))
		return inert(router);
	rc = tako__scope_new(&group, router, TAKO__SCOPE_GROUP, prefix);
	if (!rc)
		return group;
	tako__router_stick(router, rc);
	return inert(router);
}

static struct tako_router *find_host(struct tako__root *root, tako_str key)
{
	for (struct tako_router *s = root->scope.next; s; s = s->next) {
		if (s->kind == TAKO__SCOPE_HOST && tako_str_eq(s->host_key, key))
			return s;
	}
	return NULL;
}

static int new_host(struct tako_router **out, tako_router *router, const char *host)
{
	size_t n = host ? strlen(host) : 0;
	struct tako__root *root = router->root;
	struct tako_router *scope = NULL;
	char *name;
	char *key;
	size_t key_n;
	int rc;

	if (router->kind != TAKO__SCOPE_ROOT)
		return tako__fail(TAKO_EINVAL, "host: only on a router, not in a group or host");
	name = tako__arena_strndup(&root->arena, host, n);
	key = tako__arena_alloc(&root->arena, n);
	if (!name || !key)
		return TAKO_ENOMEM;
	rc = tako__host_key(key, &key_n, name, n);
	if (rc)
		return rc;
	*out = find_host(root, (tako_str){key, key_n});
	if (*out)
		return TAKO_OK;
	rc = tako__scope_new(&scope, router, TAKO__SCOPE_HOST, "");
	if (scope) {
		scope->host = name;
		scope->host_key = (tako_str){key, key_n};
	}
	*out = scope;
	return rc;
}

tako_router *tako_host(tako_router *router, const char *host)
{
	struct tako_router *scope = NULL;
	int rc;

	if (!tako__router_open(router))
		return inert(router);
	rc = new_host(&scope, router, host);
	if (!rc)
		return scope;
	tako__router_stick(router, rc);
	return inert(router);
}

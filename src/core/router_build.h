/* SPDX-License-Identifier: MIT
 *
 * A router while it is built: scopes, and the routes in them, as they were registered.  Only
 * router*.c, table.c and what registers routes of its own look here; what runs requests sees
 * core/router.h.
 */
#ifndef TAKO_CORE_ROUTER_BUILD_H
#define TAKO_CORE_ROUTER_BUILD_H

#include <stdatomic.h>

#include "core/mem.h"
#include "core/pattern.h"
#include "core/router.h"

enum {
	TAKO__SCOPES_MAX = 65535,
	TAKO__ROUTER_ERROR_BYTES = 256,
};

struct tako__root;

/* Lists of these have the newest first: see tako__table_new(). */
struct tako__hook {
	struct tako__hook *next;
	tako_phase phase;
	union {
		struct tako__mw mw;
		struct tako__after after;
	} u;
};

struct tako__fallback {
	tako_handler handler;
	void *arg;
};

/* A pattern or prefix, all of it in the root's arena. */
struct tako__path_spec {
	tako_str source; /* NUL-terminated */
	tako_str code;
	const tako_str *names;
	unsigned name_count;
};

enum tako__scope_kind {
	TAKO__SCOPE_ROOT,
	TAKO__SCOPE_GROUP,
	TAKO__SCOPE_HOST,
	TAKO__SCOPE_MOUNT, /* what was the root of a nested router */
};

/* What a tako_router pointer points to: the router itself, or a view of it. */
struct tako_router {
	struct tako__root *root;
	struct tako_router *parent;
	struct tako_router *next; /* of all of the root, in the order they were made */
	const char *host;         /* NULL: every host */
	tako_str host_key;
	struct tako__path_spec prefix;
	struct tako__hook *mw;
	struct tako__hook *after;
	tako_error_fn error_fn;
	void *error_arg;
	struct tako__fallback fallback;
	uint64_t max_body_bytes;
	uint32_t timeout_ms;
	uint32_t index; /* in the root's list */
	enum tako__scope_kind kind;
	bool has_max_body;
	bool has_timeout;
	bool has_redirect;
	bool redirect_slash;
};

struct tako__route {
	struct tako__route *next;   /* in the order of registration */
	struct tako__route *bucket; /* of the same hash */
	const struct tako_router *scope;
	struct tako__path_spec path;
	tako_str method;    /* NUL-terminated; {NULL, 0}: any */
	unsigned method_id; /* bit of tako__match.allow, or TAKO__METHOD_ANY */
	tako_handler handler;
	void *arg;
	uint32_t hash;
};

struct tako__child {
	struct tako__child *next;
	struct tako__root *root;
};

/* What handlers of the library's own hold, from when it is registered. */
struct tako__owned {
	struct tako__owned *next;
	void (*fini)(void *arg);
	void *arg;
};

struct tako__root {
	struct tako_router scope; /* first: a router's pointer is its root's */
	struct tako_router inert; /* stands in for a group after a failure */
	struct tako__arena arena; /* of everything below */
	atomic_uint refs;
	int error; /* the first failure, and its text */
	char error_text[TAKO__ROUTER_ERROR_BYTES];
	bool frozen;
	uint32_t scope_count;
	uint32_t route_count;
	unsigned method_count; /* without a number of their own */
	tako_str methods[TAKO__ALLOW_METHODS_MAX - TAKO__METHOD_COUNT];
	struct tako_router **scopes_end;
	struct tako__route *routes;
	struct tako__route **routes_end;
	struct tako__child *children;
	struct tako__owned *owned;    /* newest first */
	struct tako__route **buckets; /* routes by hash, to find conflicts */
	uint32_t bucket_count;
};

/* Whether a building call may go on: not after a failure, and not when frozen, which is one. */
bool tako__router_open(tako_router *router);
/* Keep the first failure; its text is in tako_last_error(). */
void tako__router_stick(tako_router *router, int err);

/* Call fini(arg) once when the last reference to the router goes.  On failure, which sticks, it
 * is not called. */
int tako__router_own(tako_router *router, void (*fini)(void *arg), void *arg);

struct tako__root *tako__root_ref(struct tako__root *root);
void tako__root_unref(struct tako__root *root);

/* The rest return 0 or an error with its text, and leave it to the caller to make it stick. */

/* A scope below `parent`, linked in; `prefix` is added to the parent's. */
int tako__scope_new(struct tako_router **out, struct tako_router *parent,
                    enum tako__scope_kind kind, const char *prefix);
int tako__route_add(struct tako_router *scope, const char *method, const char *path,
                    tako_handler handler, void *arg);

/* Set the part of an endpoint that all routes of a scope share; its lists go to `arena`. */
int tako__scope_flatten(struct tako__arena *arena, const struct tako_router *scope,
                        struct tako__endpoint *ep);

#endif /* TAKO_CORE_ROUTER_BUILD_H */

/* SPDX-License-Identifier: MIT
 *
 * tako/router.h: which code answers which request.
 *
 * A router is built once, from one thread, and frozen when the first server takes
 * it; from then on every worker reads it without a lock.  Building never needs a
 * check: the first failure sticks and tako_server_new() returns it.
 */
#ifndef TAKO_ROUTER_H
#define TAKO_ROUTER_H

#include <tako/base.h>

TAKO_BEGIN

/* A set of routes, or a view of one: tako_group(), tako_host(). */
typedef struct tako_router tako_router;
/* The two sides of one exchange. */
typedef struct tako_req tako_req; /* <tako/http.h> */
typedef struct tako_res tako_res;

/* A route's code.  Return 0 once the exchange is answered, or kept for later with
 * tako_res_defer() or a body callback; TAKO_NEXT to let the next less specific
 * match try (404 when there is none); a negative TAKO_E* to have tako answer for you
 * (ETOOBIG: 413, ETIMEDOUT: 408, EINVAL and EPROTO: 400, ENOENT: 404, EBUSY: 503, others: 500).
 * Returning 0 with neither an answer nor anything pending answers 500. */
typedef int (*tako_handler)(tako_req *req, tako_res *res, void *arg);
#define TAKO_NEXT 1

/* ---- Building ----------------------------------------------------------- */

/* New empty router, or NULL without memory, which need not be checked either: every call
 * here takes NULL, and tako_router_error() and a server then say TAKO_ENOMEM.  [setup] */
TAKO_API TAKO_CHECK tako_router *tako_router_new(void);

/* Drop your reference; NULL is fine.  A server and a parent router (tako_nest) hold
 * their own.  Groups and hosts die with the router they came from.  [setup] */
TAKO_API void tako_router_free(tako_router *router);

/* The first failure of any building call on this router or its groups, or 0.  The
 * detail is copied to tako_last_error().  [setup]
 *   TAKO_EINVAL  malformed pattern, method or host
 *   TAKO_EEXIST  two routes that the same request would match with the same rank, or two
 *                fallbacks
 *   TAKO_ETOOBIG more than 65,535 routes or groups, or 64 different methods
 *   TAKO_ENOMEM  out of memory
 *   TAKO_ESTATE  changed after a server, or a parent router, took it */
TAKO_API int tako_router_error(const tako_router *router);

/* Add a route.  `method` is an RFC 9110 token ("GET"), case-sensitive; NULL means
 * any.  `path` is copied:
 *   /users/list       literal text; compared after percent-decoding, so "/caf%C3%A9" and
 *                     its decoded form are one and "%25" is a literal '%'
 *   /users/{id}       one whole non-empty segment
 *   /img-{id}.png     a segment with a fixed prefix and suffix (one {} a segment)
 *   /users/{id:u64}   only if the segment satisfies the constraint: u64, i64, hex,
 *                     alpha, alnum, uuid
 *   /files/{*rest}    the remainder, slashes included, must be last; may be empty
 *   {{ and }}         literal braces
 * Of the routes that match, literal text wins over a constrained parameter, that over
 * one with a prefix or suffix (the longer first), that over a bare one, and
 * that over {*rest}, decided segment by segment from the left.  Constrained ones among
 * each other: the longer prefix and suffix first, then u64, i64, uuid, hex, alpha, alnum.
 * Of one pattern, the route for the method wins over the one for any.  A pattern that
 * lacks the method does not hide a less specific one that has it; 405 is for a path
 * that is there with other methods only.
 * HEAD is answered by the GET route unless it has one of its own; OPTIONS is answered
 * 204 with Allow unless routed.  `arg` is passed through untouched and must outlive
 * the router.  At most 16 parameters a path.  [setup] */
TAKO_API void tako_route(tako_router *router, const char *method, const char *path,
                         tako_handler handler, void *arg);

/* The methods that most routes are for; arguments and errors as tako_route(). */
#define tako_get(router, path, handler, arg) tako_route(router, "GET", path, handler, arg)
#define tako_post(router, path, handler, arg) tako_route(router, "POST", path, handler, arg)
#define tako_put(router, path, handler, arg) tako_route(router, "PUT", path, handler, arg)
#define tako_patch(router, path, handler, arg) tako_route(router, "PATCH", path, handler, arg)
#define tako_delete(router, path, handler, arg) tako_route(router, "DELETE", path, handler, arg)
#define tako_any(router, path, handler, arg) tako_route(router, NULL, path, handler, arg)

/* What answers when no path matches (and after TAKO_NEXT from the last match).
 * Without one: 404.  One per router or host; a group may not have one
 * (TAKO_EINVAL).  A host without one, or whose own passes, has its router's.  [setup] */
TAKO_API void tako_fallback(tako_router *router, tako_handler handler, void *arg);

/* ---- Groups, hosts, nesting --------------------------------------------- */

/* A view of `router` under `prefix` ("/api", or "" for none; parameters allowed, no slash at
 * the end; a route "" in it is the prefix itself): every
 * call that takes a router takes it too, and what is set on it -- middleware, limits,
 * timeout, error handler -- holds for its routes only, over what the parent has set.
 * A group with an empty prefix is how one route gets its own settings.  Owned by
 * `router`; never NULL (after a failure it is an inert one).  [setup] */
TAKO_API tako_router *tako_group(tako_router *router, const char *prefix);

/* A group whose routes answer only for this Host: "example.com", "*.example.com" (any
 * number of labels, not the bare domain), compared without case or port.  A request
 * for a named host sees that host's routes only; exact names win over wildcards, the
 * longest wildcard first; all other hosts see the routes outside any tako_host().
 * The same name gives the same group again.  Only on a router itself, not inside a group
 * (TAKO_EINVAL).  [setup] */
TAKO_API tako_router *tako_host(tako_router *router, const char *host);

/* Mount every route of `child`, with its middleware, limits, error handler and groups, below
 * `prefix`.  Takes a reference to `child`, which is frozen by it.  The child's fallback
 * answers at the prefix and below, after every route and before the parent's.
 * TAKO_EINVAL: the child has hosts, is a group, or is `router`.  [setup] */
TAKO_API void tako_nest(tako_router *router, const char *prefix, tako_router *child);

/* ---- Settings of a router or group -------------------------------------- */

/* One of each: the last call counts, whether it comes before or after the routes. */

/* Largest request body, for tako_req_whole_body() and for streamed ones alike: more
 * is answered 413, before reading where Content-Length tells.  TAKO_OFF64: no limit.
 * Not set: tako_server_config.max_body_bytes, and only for
 * tako_req_whole_body().  [setup] */
TAKO_API void tako_body_limit(tako_router *router, uint64_t max_bytes);

/* The time a handler has to begin its answer; then 503 is sent for it, and its
 * deferral goes on to a closed exchange.  TAKO_OFF: none, which is also the
 * default.  [setup] */
TAKO_API void tako_timeout(tako_router *router, uint32_t timeout_ms);

/* Answer a path that misses or has one final slash too many with 308 to the other form,
 * keeping the query, when that one has a route for the method.  Comes before 405 and the
 * fallback, but not before the automatic OPTIONS.  [setup] */
TAKO_API void tako_redirect_slash(tako_router *router, bool on);

/* Code that writes the answers that tako gives by itself: 404, 405, 413, a handler's
 * negative return, and what the parser refuses (then `req` may have neither method
 * nor path, and the connection closes afterwards).  Headers that belong to the status
 * (Allow, Retry-After) are already on `res`.  Return 0 once answered, synchronously;
 * TAKO_NEXT for the parent's error handler, and at last the built-in one: a short
 * text/plain body.  [loop] */
typedef int (*tako_error_fn)(tako_req *req, tako_res *res, int status, void *arg);
/* Have `fn` write them for the routes of this router or group.  [setup] */
TAKO_API void tako_on_error(tako_router *router, tako_error_fn fn, void *arg);

/* A ready tako_error_fn: application/problem+json as RFC 9457 has it, with type
 * about:blank, title, status and instance.  `arg` is not used.  [loop] */
TAKO_API int tako_problem_json(tako_req *req, tako_res *res, int status, void *arg);

/* ---- Middleware --------------------------------------------------------- */

/* When middleware runs: earlier phases first, then outer groups before inner ones, then
 * in the order of the calls.  Middleware of the router itself also runs when no route
 * matches; a group's only on its own routes. */
typedef enum tako_phase {
	TAKO_PHASE_EARLY = 0, /* request ids, logging, CORS */
	TAKO_PHASE_AUTH,      /* who is asking */
	TAKO_PHASE_ROUTE,     /* redirects, tenant choice */
	TAKO_PHASE_BODY,      /* limits and checks on what is to come */
	TAKO_PHASE_HANDLER,   /* last before the handler */
	TAKO_PHASE_RESPONSE   /* on the way out: for tako_after() only, else TAKO_EINVAL */
} tako_phase;

/* Run `fn` before the handler.  It returns as a handler does, except that TAKO_NEXT
 * means "go on"; 0 means that it has answered, or will.  [setup] */
TAKO_API void tako_before(tako_router *router, tako_phase phase, tako_handler fn, void *arg);

/* The rest of the chain.  Lives as long as the exchange. */
typedef struct tako_next tako_next;
/* Calls tako_next_run() at most once, now or after a deferral, and returns what that
 * returned, or answers itself.  [loop] */
typedef int (*tako_around_fn)(tako_req *req, tako_res *res, tako_next *next, void *arg);
/* Run `fn` around everything after it.  [setup] */
TAKO_API void tako_around(tako_router *router, tako_phase phase, tako_around_fn fn, void *arg);

/* Go on with the rest of the chain.  0 or a negative TAKO_E*, as a handler returns; after
 * a deferral a negative result must be passed to tako_res_fail().
 * TAKO_ESTATE: called twice.  [loop] */
TAKO_API TAKO_CHECK int tako_next_run(tako_next *next);

/* Run `fn` once when the head of the final response is about to leave, whoever wrote it:
 * status and headers may still be changed.  Later phases first, inner groups before
 * outer ones: the mirror image of tako_before().  [setup] */
typedef void (*tako_after_fn)(tako_req *req, tako_res *res, void *arg);
TAKO_API void tako_after(tako_router *router, tako_phase phase, tako_after_fn fn, void *arg);

/* ---- Introspection ------------------------------------------------------ */

/* One route as tako_router_each() shows it. */
typedef struct tako_route_info {
	size_t size;
	const char *method;  /* NULL: any */
	const char *pattern; /* whole, with the prefixes of its groups */
	const char *host;    /* NULL: every host */
	tako_handler handler;
	void *arg;
} tako_route_info;

/* Call `fn` for every route, in the order of registration; a non-zero return ends the
 * walk and is returned.  The info is borrowed for the call.  [any] once frozen, else
 * [setup] */
TAKO_API int tako_router_each(const tako_router *router,
                              int (*fn)(const tako_route_info *info, void *arg), void *arg);

TAKO_END

#endif /* TAKO_ROUTER_H */

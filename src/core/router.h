/* SPDX-License-Identifier: MIT
 *
 * What the exchange sees of the router: a frozen table and the walk through it.  A table
 * never changes, holds no lock and allocates nothing once it is made; how routes are
 * registered and compiled is not visible here.
 */
#ifndef TAKO_CORE_ROUTER_H
#define TAKO_CORE_ROUTER_H

#include <tako/router.h>

#include "core/method.h"

enum {
	TAKO__PARAMS_MAX = 16,
	/* Routes of one table, nested ones included; ids fit in 16 bits. */
	TAKO__ROUTES_MAX = 65535,
	/* Bits of tako__match.allow, so also the number of different methods of a table. */
	TAKO__ALLOW_METHODS_MAX = 64,
	/* In place of such a bit: a route of any method. */
	TAKO__METHOD_ANY = 0xff,
};

struct tako__mw {
	tako_phase phase;
	bool around; /* which of the two it is */
	tako_handler before;
	tako_around_fn around_fn;
	void *arg;
};

struct tako__after {
	tako_after_fn fn;
	void *arg;
};

struct tako__error_hook {
	tako_error_fn fn;
	void *arg;
};

/* One route with everything that its groups set on it. */
struct tako__endpoint {
	tako_handler handler; /* NULL: nothing matched */
	void *arg;
	tako_str method;                       /* {NULL, 0}: any */
	tako_str pattern;                      /* {NULL, 0}: a fallback, or nothing matched */
	tako_str host;                         /* {NULL, 0}: every host */
	const struct tako__mw *mw;             /* in running order */
	const struct tako__after *after;       /* in running order */
	const struct tako__error_hook *errors; /* innermost first */
	const tako_str *param_names;
	unsigned mw_count;
	unsigned after_count;
	unsigned error_count;
	unsigned param_count;
	uint64_t max_body_bytes; /* 0: the server's default; TAKO_OFF64: none */
	uint32_t timeout_ms;     /* 0: none */
	uint32_t id;             /* dense; 0 for fallbacks and for what matched nothing */
	bool redirect_slash;
};

struct tako__table;

/* Freeze `router`, take a reference to it and compile it.  The router's first failure is
 * returned with its text in tako_last_error(). */
int tako__table_new(struct tako__table **out, tako_router *router);
void tako__table_free(struct tako__table *t);

/* Ids go from 0 to count - 1. */
unsigned tako__table_count(const struct tako__table *t);
const struct tako__endpoint *tako__table_endpoint(const struct tako__table *t, unsigned id);

enum tako__match_result {
	TAKO__FOUND,
	TAKO__NOT_FOUND,
	TAKO__BAD_METHOD,   /* the path is there, the method is not */
	TAKO__SLASH_ADD,    /* redirect to the path with one more slash at its end … */
	TAKO__SLASH_REMOVE, /* … or one less */
	TAKO__OPTIONS_AUTO
};

struct tako__match {
	/* Never NULL: when nothing matched, the one that carries what is set on the whole
	 * router, or on the host. */
	const struct tako__endpoint *ep;
	/* For BAD_METHOD and OPTIONS_AUTO: a bit per enum tako__method, then per other
	 * method of the table.  HEAD is in where GET is, OPTIONS always. */
	uint64_t allow;
	unsigned param_count;
	/* Into the path.  The first param_count are set. */
	struct {
		uint32_t off;
		uint32_t n;
	} params[TAKO__PARAMS_MAX];
};

/* Find what answers.  `path` is normalised (core/path.h); `host` may be absent and have a
 * port.  `skip` is how many better matches passed with TAKO_NEXT already: that many are
 * stepped over, by doing the whole walk again.
 * The walk enters every node of the tree at most once, because each level of parameters
 * stands at a fixed segment of the path: its cost is bounded by the number of patterns
 * times the length of the path, whatever the patterns are. */
enum tako__match_result tako__match(const struct tako__table *t, unsigned method_id,
                                    tako_str method, tako_str host, tako_str path, unsigned skip,
                                    struct tako__match *out);

/* Longest value of an Allow field: for a buffer that always has room. */
size_t tako__allow_bytes_max(const struct tako__table *t);
/* Write m->allow as "GET, HEAD, OPTIONS".  Returns its length; never writes more than `n`
 * bytes, and no NUL: more than `n` means that it did not fit, and nothing was written. */
size_t tako__allow_format(const struct tako__table *t, const struct tako__match *m, char *buf,
                          size_t n);

#endif /* TAKO_CORE_ROUTER_H */

/* SPDX-License-Identifier: MIT
 *
 * The frozen table as the walk reads it.  Only table.c writes it, only match.c reads it.
 */
#ifndef TAKO_CORE_TABLE_H
#define TAKO_CORE_TABLE_H

#include "core/host.h"
#include "core/route_tree.h"

struct tako__root;

enum { TAKO__FALLBACKS_MAX = 2 };

/* What one host sees. */
struct tako__site {
	struct tako__tree routes;
	/* Fallbacks of nested routers; in a leaf's `others`, the inner ones first. */
	struct tako__tree mounts;
	const struct tako__endpoint *unmatched;
	/* The host's own, then the router's. */
	const struct tako__endpoint *fallbacks[TAKO__FALLBACKS_MAX];
	unsigned fallback_count;
	bool redirects; /* some route has redirect_slash */
	uint64_t allow; /* of all routes: what "OPTIONS *" is told */
};

struct tako__table {
	struct tako__site site; /* of the hosts that have none */
	const struct tako__host_entry *hosts;
	size_t host_count;
	const struct tako__endpoint *endpoints;
	unsigned count;
	const tako_str *methods; /* the bits of `allow` after those of enum tako__method */
	unsigned method_count;
	size_t allow_bytes;
	struct tako__arena arena;
	struct tako__root *root;
};

#endif /* TAKO_CORE_TABLE_H */

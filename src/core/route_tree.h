/* SPDX-License-Identifier: MIT
 *
 * The radix tree that paths are matched in: drafted with pointers while routes are added,
 * then frozen into one array of nodes, one of leaves and one run of text.  Knows codes
 * (core/pattern.h) and endpoints, not routers.
 *
 * Literal text is a radix tree over bytes that runs across segments.  A segment with a
 * parameter is one node, a "param", below the node whose text ends with the '/' before.
 * Since a param takes exactly one segment, a node has one place in any given path: a walk
 * that backtracks still never enters a node twice.
 */
#ifndef TAKO_CORE_ROUTE_TREE_H
#define TAKO_CORE_ROUTE_TREE_H

#include "core/mem.h"
#include "core/pattern.h"

#define TAKO__NO_NODE UINT32_MAX

enum {
	TAKO__NODE_TEXT = 0xff, /* a node's kind when it is no enum tako__param */
	TAKO__NODE_INLINE = 8,  /* children found without a table */
};

/* What answers at one pattern. */
struct tako__leaf {
	/* GET's stands for HEAD where there is no other. */
	const struct tako__endpoint *by_method[TAKO__METHOD_COUNT];
	const struct tako__endpoint *any;
	/* Those of other methods, and of any. */
	const struct tako__endpoint *const *others;
	uint32_t other_count;
	uint64_t allow; /* as in tako__match */
};

struct tako__node {
	uint64_t firsts;   /* first bytes of the children, lowest byte first */
	uint32_t label;    /* text: what it matches, or the param's prefix */
	uint32_t suffix;   /* text */
	uint32_t table;    /* text: child number + 1 by first byte, if there are many */
	uint32_t children; /* the first; the others follow it */
	uint32_t params;   /* the first in order of rank; the others follow it */
	uint32_t param_count;
	uint32_t parent;
	uint32_t leaf; /* or TAKO__NO_NODE */
	uint16_t label_n;
	uint16_t suffix_n;
	uint8_t kind;
	uint8_t child_count;
	uint8_t depth; /* params from the root down to here */
	uint8_t reserved;
};

struct tako__tree {
	const struct tako__node *nodes; /* NULL: empty */
	const struct tako__leaf *leaves;
	const char *text;
};

/* ---- Drafting -------------------------------------------------------------- */

struct tako__draft_node;

struct tako__draft_entry {
	struct tako__draft_entry *next;
	const struct tako__endpoint *ep;
	unsigned method_id; /* bit of tako__match.allow, or TAKO__METHOD_ANY */
};

struct tako__draft_leaf {
	struct tako__draft_entry *entries;
	uint32_t other_count;
};

struct tako__draft {
	struct tako__arena *arena; /* for the draft alone */
	struct tako__draft_node *root;
	size_t text_bytes;
	uint32_t node_count;
	uint32_t leaf_count;
};

/* All of these: NULL or TAKO_ENOMEM without memory. */
int tako__draft_init(struct tako__draft *d, struct tako__arena *arena);
/* The leaf of a pattern, made if need be.  Borrows the code until the tree is frozen. */
struct tako__draft_leaf *tako__draft_leaf(struct tako__draft *d, const char *code, size_t n);
/* Put an endpoint before those that are there; they must be of other methods, except that
 * there may be many of any method. */
int tako__draft_add(struct tako__draft *d, struct tako__draft_leaf *leaf, unsigned method_id,
                    const struct tako__endpoint *ep);
int tako__tree_freeze(struct tako__tree *out, const struct tako__draft *d,
                      struct tako__arena *arena);

/* ---- Walking --------------------------------------------------------------- */

struct tako__walk {
	const struct tako__tree *tree;
	const char *path;
	size_t n;
	struct tako__match *match; /* its params are written */
	uint32_t node;             /* where the last leaf was found */
	size_t pos;
};

/* The leaf of the best pattern that matches, then of the next best; NULL: no more. */
const struct tako__leaf *tako__walk_first(struct tako__walk *w, const struct tako__tree *tree,
                                          tako_str path, struct tako__match *match);
const struct tako__leaf *tako__walk_next(struct tako__walk *w);

#endif /* TAKO_CORE_ROUTE_TREE_H */

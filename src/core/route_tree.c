/* SPDX-License-Identifier: MIT
 *
 * Drafting and freezing the tree.  Walks are in match.c.
 */
#include "core/route_tree.h"

#include <assert.h>
#include <string.h>

#include "core/base.h"

struct tako__draft_node {
	struct tako__draft_node *next;  /* sibling */
	struct tako__draft_node *queue; /* in the order of the frozen array */
	struct tako__draft_node *parent;
	struct tako__draft_node *children; /* by first byte */
	struct tako__draft_node *params;   /* by rank */
	struct tako__draft_leaf *leaf;
	struct tako__param_spec spec; /* prefix: also what a text node matches */
	uint32_t index;
	uint32_t param_count;
	uint8_t child_count;
	uint8_t kind;
	uint8_t depth;
};

/* ---- Drafting -------------------------------------------------------------- */

static struct tako__draft_node *new_node(struct tako__draft *d, struct tako__draft_node *parent,
                                         const struct tako__param_spec *spec, unsigned kind)
{
	struct tako__draft_node *node = tako__arena_zalloc(d->arena, sizeof(*node));

	if (!node)
		return NULL;
	node->parent = parent;
	node->spec = *spec;
	node->kind = (uint8_t)kind;
	if (parent)
		node->depth = (uint8_t)(parent->depth + (kind != TAKO__NODE_TEXT));
	d->node_count++;
	d->text_bytes += spec->prefix.n + spec->suffix.n;
	return node;
}

int tako__draft_init(struct tako__draft *d, struct tako__arena *arena)
{
	static const struct tako__param_spec nothing = {{"", 0}, {"", 0}, TAKO__PARAM_BARE};

	*d = (struct tako__draft){.arena = arena};
	d->root = new_node(d, NULL, &nothing, TAKO__NODE_TEXT);
	return d->root ? TAKO_OK : TAKO_ENOMEM;
}

static size_t common(tako_str a, tako_str b)
{
	size_t n = 0;

	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

static struct tako__draft_node *add_child(struct tako__draft *d, struct tako__draft_node *parent,
                                          struct tako__draft_node **at, tako_str text)
{
	struct tako__param_spec spec = {text, {"", 0}, TAKO__PARAM_BARE};
	struct tako__draft_node *node = new_node(d, parent, &spec, TAKO__NODE_TEXT);

	if (!node)
		return NULL;
	node->next = *at;
	*at = node;
	/* 255 at most: no literal holds '\0'. */
	parent->child_count++;
	if (parent->child_count == TAKO__NODE_INLINE + 1)
		d->text_bytes += 256;
	return node;
}

/* Cut *at after n bytes: a new node takes its place and the head of its text. */
static struct tako__draft_node *split(struct tako__draft *d, struct tako__draft_node **at, size_t n)
{
	struct tako__draft_node *tail = *at;
	struct tako__param_spec spec = {{tail->spec.prefix.p, n}, {"", 0}, TAKO__PARAM_BARE};
	struct tako__draft_node *head = new_node(d, tail->parent, &spec, TAKO__NODE_TEXT);

	if (!head)
		return NULL;
	d->text_bytes -= n; /* which the tail no longer has */
	head->next = tail->next;
	head->children = tail;
	head->child_count = 1;
	tail->spec.prefix.p += n;
	tail->spec.prefix.n -= n;
	tail->parent = head;
	tail->next = NULL;
	*at = head;
	return head;
}

static struct tako__draft_node *descend_text(struct tako__draft *d, struct tako__draft_node *node,
                                             tako_str text)
{
	while (node && text.n) {
		struct tako__draft_node **at = &node->children;
		size_t n;

		while (*at && (unsigned char)*(*at)->spec.prefix.p < (unsigned char)*text.p)
			at = &(*at)->next;
		if (!*at || *(*at)->spec.prefix.p != *text.p)
			return add_child(d, node, at, text);
		n = common((*at)->spec.prefix, text);
		node = n < (*at)->spec.prefix.n ? split(d, at, n) : *at;
		text = (tako_str){text.p + n, text.n - n};
	}
	return node;
}

static struct tako__draft_node *descend_param(struct tako__draft *d, struct tako__draft_node *node,
                                              const struct tako__param_spec *spec)
{
	struct tako__draft_node **at = &node->params;
	struct tako__draft_node *param;

	while (*at && tako__param_cmp(&(*at)->spec, spec) < 0)
		at = &(*at)->next;
	if (*at && !tako__param_cmp(&(*at)->spec, spec))
		return *at;
	param = new_node(d, node, spec, spec->kind);
	if (!param)
		return NULL;
	param->next = *at;
	*at = param;
	node->param_count++;
	return param;
}

/* The node of a whole code: runs of text up to each segment with a parameter.  The root
 * stands behind the '/' that every code begins with. */
static struct tako__draft_node *descend(struct tako__draft *d, const char *code, size_t n)
{
	struct tako__draft_node *node = d->root;
	const char *end = code + n;
	const char *run = code + 1;

	for (const char *p = code; node && p < end;) {
		struct tako__param_spec spec;
		bool has_param;
		size_t len;

		p++; /* the '/' */
		len = tako__pattern_segment(&spec, &has_param, p, (size_t)(end - p));
		if (has_param) {
			node = descend_text(d, node, (tako_str){run, (size_t)(p - run)});
			if (node)
				node = descend_param(d, node, &spec);
			run = p + len;
		}
		p += len;
	}
	return node ? descend_text(d, node, (tako_str){run, (size_t)(end - run)}) : NULL;
}

struct tako__draft_leaf *tako__draft_leaf(struct tako__draft *d, const char *code, size_t n)
{
	struct tako__draft_node *node = descend(d, code, n);

	if (node && !node->leaf) {
		node->leaf = tako__arena_zalloc(d->arena, sizeof(*node->leaf));
		if (node->leaf)
			d->leaf_count++;
	}
	return node ? node->leaf : NULL;
}

int tako__draft_add(struct tako__draft *d, struct tako__draft_leaf *leaf, unsigned method_id,
                    const struct tako__endpoint *ep)
{
	struct tako__draft_entry *e = tako__arena_alloc(d->arena, sizeof(*e));

	if (!e)
		return TAKO_ENOMEM;
	*e = (struct tako__draft_entry){leaf->entries, ep, method_id};
	leaf->entries = e;
	leaf->other_count += method_id >= TAKO__METHOD_COUNT;
	return TAKO_OK;
}

/* ---- Freezing -------------------------------------------------------------- */

struct freezer {
	struct tako__arena *arena;
	struct tako__node *nodes;
	struct tako__leaf *leaves;
	char *text;
	uint32_t text_n;
	uint32_t leaf_n;
};

/* Breadth first: the children of a node come to lie side by side. */
static void number_nodes(struct tako__draft_node *root)
{
	struct tako__draft_node *last = root;
	uint32_t index = 0;

	root->index = 0;
	root->queue = NULL;
	for (struct tako__draft_node *node = root; node; node = node->queue) {
		struct tako__draft_node *lists[] = {node->children, node->params};

		for (size_t i = 0; i < TAKO__COUNT(lists); i++) {
			for (struct tako__draft_node *c = lists[i]; c; c = c->next) {
				c->index = ++index;
				c->queue = NULL;
				last->queue = c;
				last = c;
			}
		}
	}
}

static uint32_t put_text(struct freezer *f, tako_str text)
{
	uint32_t at = f->text_n;

	memcpy(f->text + at, text.p, text.n);
	f->text_n += (uint32_t)text.n;
	return at;
}

static void put_children(struct freezer *f, struct tako__node *to,
                         const struct tako__draft_node *from)
{
	unsigned char *table = NULL;
	unsigned i = 0;

	if (from->child_count > TAKO__NODE_INLINE) {
		to->table = f->text_n;
		table = (unsigned char *)f->text + f->text_n;
		memset(table, 0, 256);
		f->text_n += 256;
	}
	for (const struct tako__draft_node *c = from->children; c; c = c->next, i++) {
		unsigned char first = (unsigned char)*c->spec.prefix.p;

		if (table)
			table[first] = (unsigned char)(i + 1);
		else
			to->firsts |= (uint64_t)first << (8 * i);
	}
}

static int put_leaf(struct freezer *f, const struct tako__draft_leaf *from)
{
	struct tako__leaf *to = &f->leaves[f->leaf_n++];
	const struct tako__endpoint **others;
	uint32_t n = 0;

	*to = (struct tako__leaf){0};
	others = tako__arena_alloc(f->arena, from->other_count * sizeof(struct tako__endpoint *));
	if (!others)
		return TAKO_ENOMEM;
	for (const struct tako__draft_entry *e = from->entries; e; e = e->next) {
		if (e->method_id < TAKO__METHOD_COUNT)
			to->by_method[e->method_id] = e->ep;
		else
			others[n++] = e->ep;
		if (e->method_id != TAKO__METHOD_ANY)
			to->allow |= UINT64_C(1) << e->method_id;
		else if (!to->any)
			to->any = e->ep;
	}
	to->others = others;
	to->other_count = n;
	if (to->by_method[TAKO__GET] && !to->by_method[TAKO__HEAD]) {
		to->by_method[TAKO__HEAD] = to->by_method[TAKO__GET];
		to->allow |= UINT64_C(1) << TAKO__HEAD;
	}
	return TAKO_OK;
}

static int put_node(struct freezer *f, const struct tako__draft_node *from)
{
	struct tako__node *to = &f->nodes[from->index];

	*to = (struct tako__node){
		.label = put_text(f, from->spec.prefix),
		.label_n = (uint16_t)from->spec.prefix.n,
		.suffix = put_text(f, from->spec.suffix),
		.suffix_n = (uint16_t)from->spec.suffix.n,
		.children = from->children ? from->children->index : 0,
		.child_count = from->child_count,
		.params = from->params ? from->params->index : 0,
		.param_count = from->param_count,
		.parent = from->parent ? from->parent->index : TAKO__NO_NODE,
		.leaf = from->leaf ? f->leaf_n : TAKO__NO_NODE,
		.kind = from->kind,
		.depth = from->depth,
	};
	put_children(f, to, from);
	return from->leaf ? put_leaf(f, from->leaf) : TAKO_OK;
}

int tako__tree_freeze(struct tako__tree *out, const struct tako__draft *d,
                      struct tako__arena *arena)
{
	struct freezer f = {
		.arena = arena,
		.nodes = tako__arena_alloc(arena, d->node_count * sizeof(struct tako__node)),
		.leaves = tako__arena_alloc(arena, d->leaf_count * sizeof(struct tako__leaf)),
		.text = tako__arena_alloc(arena, d->text_bytes),
	};

	if (!f.nodes || !f.leaves || !f.text)
		return TAKO_ENOMEM;
	number_nodes(d->root);
	for (const struct tako__draft_node *node = d->root; node; node = node->queue) {
		if (put_node(&f, node))
			return TAKO_ENOMEM;
	}
	assert(f.text_n == d->text_bytes && f.leaf_n == d->leaf_count);
	*out = (struct tako__tree){f.nodes, f.leaves, f.text};
	return TAKO_OK;
}

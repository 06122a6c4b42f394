/* SPDX-License-Identifier: MIT
 *
 * The hot walk: from a path to the code that answers.  Allocates nothing, locks nothing,
 * does not recurse.
 */
#include <string.h>

#include "core/base.h"
#include "core/str.h"
#include "core/table.h"

enum { SLASH_PATH_MAX_BYTES = 8192 };

/* ---- Steps ------------------------------------------------------------------ */

/* memcmp() for short text: inlined, a word at a time, the last word overlapping. */
static inline bool same(const char *a, const char *b, size_t n)
{
	if (n < 8)
		return tako__load_short(a, n) == tako__load_short(b, n);
	for (size_t i = 0; i < n - 8; i += 8) {
		if (tako__load8(a + i) != tako__load8(b + i))
			return false;
	}
	return tako__load8(a + n - 8) == tako__load8(b + n - 8);
}

/* The child whose text begins with `c`, or TAKO__NO_NODE.  Few children: the lowest zero
 * byte of `firsts` xor c is exact, the ones above it need not be. */
static inline uint32_t child_of(const struct tako__tree *tree, const struct tako__node *node,
                                unsigned char c)
{
	unsigned i;

	if (TAKO__LIKELY(node->child_count <= TAKO__NODE_INLINE)) {
		const uint64_t ones = UINT64_C(0x0101010101010101);
		uint64_t x = node->firsts ^ (ones * c);
		uint64_t zero = (x - ones) & ~x & (ones << 7);

		i = zero ? (unsigned)__builtin_ctzll(zero) >> 3 : TAKO__NODE_INLINE;
		return i < node->child_count ? node->children + i : TAKO__NO_NODE;
	}
	i = (unsigned char)tree->text[node->table + c];
	return i ? node->children + i - 1 : TAKO__NO_NODE;
}

/* As far down as text alone leads.  By value, so that what it works on stays in registers. */
static inline const struct tako__node *descend(const struct tako__tree *tree,
                                               const struct tako__node *node, const char *path,
                                               size_t n, size_t *pos)
{
	size_t at = *pos;

	while (at < n) {
		uint32_t index = child_of(tree, node, (unsigned char)path[at]);
		const struct tako__node *child = &tree->nodes[index];

		if (index == TAKO__NO_NODE || child->label_n > n - at ||
		    !same(tree->text + child->label, path + at, child->label_n))
			break;
		node = child;
		at += child->label_n;
	}
	*pos = at;
	return node;
}

/* Whether the param takes the segment at w->pos, which is n bytes long. */
static bool takes(const struct tako__walk *w, const struct tako__node *param, size_t n)
{
	const char *p = w->path + w->pos;
	const char *text = w->tree->text;
	size_t affixes = (size_t)param->label_n + param->suffix_n;

	return n > affixes && same(text + param->label, p, param->label_n) &&
	       same(text + param->suffix, p + n - param->suffix_n, param->suffix_n) &&
	       tako__param_takes((enum tako__param)param->kind, p + param->label_n, n - affixes);
}

/* Enter the first param of the node that takes what comes next, from number `k` on. */
static bool enter_param(struct tako__walk *w, uint32_t k)
{
	const struct tako__node *node = &w->tree->nodes[w->node];
	const char *p = w->path + w->pos;
	size_t left = w->n - w->pos;
	const char *slash;
	size_t n;

	if (k >= node->param_count)
		return false;
	slash = left ? memchr(p, '/', left) : NULL;
	n = slash ? (size_t)(slash - p) : left;
	for (; k < node->param_count; k++) {
		const struct tako__node *param = &w->tree->nodes[node->params + k];
		bool rest = param->kind == TAKO__PARAM_REST;
		size_t len = rest ? left : n;

		if (rest || takes(w, param, n)) {
			w->match->params[param->depth - 1].off = (uint32_t)(w->pos +
			                                                    param->label_n);
			w->match->params[param->depth - 1].n = (uint32_t)(len - param->label_n -
			                                                  param->suffix_n);
			w->node = node->params + k;
			w->pos += len;
			return true;
		}
	}
	return false;
}

/* Leave the node for the next alternative: its parent's params, from the first if it is text,
 * else from the one after it.  What it has taken of the path is known from its label or
 * from its parameter, so there is no stack. */
static bool back(struct tako__walk *w)
{
	const struct tako__node *node = &w->tree->nodes[w->node];
	uint32_t k = 0;

	while (node->parent != TAKO__NO_NODE) {
		const struct tako__node *parent = &w->tree->nodes[node->parent];

		if (node->kind == TAKO__NODE_TEXT) {
			w->pos -= node->label_n;
			k = 0;
		} else {
			w->pos = w->match->params[node->depth - 1].off - node->label_n;
			k = (uint32_t)(node - w->tree->nodes) - parent->params + 1;
		}
		w->node = node->parent;
		if (enter_param(w, k))
			return true;
		node = parent;
	}
	return false;
}

/* From a node just entered to the next leaf. */
static const struct tako__leaf *seek(struct tako__walk *w)
{
	for (;;) {
		const struct tako__node *node;

		node = descend(w->tree, &w->tree->nodes[w->node], w->path, w->n, &w->pos);
		w->node = (uint32_t)(node - w->tree->nodes);
		if (w->pos == w->n && node->leaf != TAKO__NO_NODE)
			return &w->tree->leaves[node->leaf];
		if (!enter_param(w, 0) && !back(w))
			return NULL;
	}
}

const struct tako__leaf *tako__walk_first(struct tako__walk *w, const struct tako__tree *tree,
                                          tako_str path, struct tako__match *match)
{
	/* The root is the '/' that all patterns begin with. */
	*w = (struct tako__walk){tree, path.p, path.n, match, 0, 1};
	return tree->nodes && path.n && path.p[0] == '/' ? seek(w) : NULL;
}

const struct tako__leaf *tako__walk_next(struct tako__walk *w)
{
	return enter_param(w, 0) || back(w) ? seek(w) : NULL;
}

/* ---- Choosing ---------------------------------------------------------------- */

/* The leaf's route for that very method. */
static inline const struct tako__endpoint *named(const struct tako__leaf *leaf, unsigned method_id,
                                                 tako_str method)
{
	if (TAKO__LIKELY(method_id < TAKO__METHOD_COUNT))
		return leaf->by_method[method_id];
	for (uint32_t i = 0; i < leaf->other_count; i++) {
		tako_str other = leaf->others[i]->method;

		if (other.n == method.n && method.n && !memcmp(other.p, method.p, method.n))
			return leaf->others[i];
	}
	return NULL;
}

static enum tako__match_result found(struct tako__match *out, const struct tako__endpoint *ep)
{
	out->ep = ep;
	out->param_count = ep->param_count;
	return TAKO__FOUND;
}

/* Route number `skip` of those that match, in order; *allow collects the methods of those that
 * match but for the method. */
static const struct tako__endpoint *nth_route(const struct tako__site *site, unsigned method_id,
                                              tako_str method, tako_str path, unsigned *skip,
                                              struct tako__match *out)
{
	struct tako__walk w;
	const struct tako__leaf *leaf = tako__walk_first(&w, &site->routes, path, out);

	out->allow = 0;
	for (; leaf; leaf = tako__walk_next(&w)) {
		const struct tako__endpoint *ep = named(leaf, method_id, method);

		out->allow |= leaf->allow;
		if (ep && !(*skip)--)
			return ep;
		if (leaf->any && !(*skip)--)
			return leaf->any;
	}
	return NULL;
}

static const struct tako__endpoint *nth_fallback(const struct tako__site *site, tako_str path,
                                                 unsigned skip, struct tako__match *out)
{
	struct tako__walk w;
	const struct tako__leaf *leaf = tako__walk_first(&w, &site->mounts, path, out);

	for (; leaf; leaf = tako__walk_next(&w)) {
		if (skip < leaf->other_count)
			return leaf->others[skip];
		skip -= leaf->other_count;
	}
	return skip < site->fallback_count ? site->fallbacks[skip] : NULL;
}

/* Whether the path with its final slash taken away, or with one more, is there and is to be
 * redirected to.  For the one more it is copied; a path too long for that is answered as
 * if redirection were off. */
static bool wants_slash(const struct tako__site *site, unsigned method_id, tako_str method,
                        tako_str path)
{
	char longer[SLASH_PATH_MAX_BYTES];
	struct tako__match scratch;
	const struct tako__endpoint *ep;
	unsigned skip = 0;

	if (!site->redirects || !path.n)
		return false;
	if (path.p[path.n - 1] == '/') {
		path.n--;
	} else if (path.n < sizeof(longer)) {
		memcpy(longer, path.p, path.n);
		longer[path.n++] = '/';
		path.p = longer;
	} else {
		return false;
	}
	ep = nth_route(site, method_id, method, path, &skip, &scratch);
	return ep && ep->redirect_slash;
}

static bool is_asterisk(unsigned method_id, tako_str path)
{
	return method_id == TAKO__OPTIONS && path.n == 1 && path.p[0] == '*';
}

/* Everything but the best match.  A path that is there with other methods is not for the
 * fallback to hide; a route that passed is no reason for 405. */
static TAKO__OUTLINE enum tako__match_result slow(const struct tako__site *site, unsigned method_id,
                                                  tako_str method, tako_str path, unsigned skip,
                                                  struct tako__match *out)
{
	bool retry = skip > 0;
	const struct tako__endpoint *ep = nth_route(site, method_id, method, path, &skip, out);

	if (ep)
		return found(out, ep);
	if (is_asterisk(method_id, path))
		out->allow = site->allow;
	out->ep = site->unmatched;
	out->param_count = 0;
	if (!retry) {
		bool there = out->allow || is_asterisk(method_id, path);

		out->allow |= 1u << TAKO__OPTIONS;
		if (there && method_id == TAKO__OPTIONS)
			return TAKO__OPTIONS_AUTO;
		if (wants_slash(site, method_id, method, path))
			return path.p[path.n - 1] == '/' ? TAKO__SLASH_REMOVE : TAKO__SLASH_ADD;
		if (there)
			return TAKO__BAD_METHOD;
	}
	ep = nth_fallback(site, path, skip, out);
	return ep ? found(out, ep) : TAKO__NOT_FOUND;
}

/* The best route, when the node that text alone leads to does not have it. */
static TAKO__OUTLINE const struct tako__leaf *leaf_beyond(const struct tako__tree *tree,
                                                          const struct tako__node *node, size_t pos,
                                                          tako_str path, struct tako__match *out)
{
	struct tako__walk w = {tree, path.p, path.n, out, (uint32_t)(node - tree->nodes), pos};

	return tako__walk_next(&w);
}

/* Paths that text alone leads to, which is where the time goes, are found without a struct
 * tako__walk: it would be written to memory only to be read back. */
static inline const struct tako__leaf *first_leaf(const struct tako__tree *tree, tako_str path,
                                                  struct tako__match *out)
{
	const struct tako__node *node;
	size_t pos = 1;

	if (TAKO__UNLIKELY(!path.n || path.p[0] != '/'))
		return NULL;
	node = descend(tree, tree->nodes, path.p, path.n, &pos);
	if (TAKO__LIKELY(pos == path.n && node->leaf != TAKO__NO_NODE))
		return &tree->leaves[node->leaf];
	return leaf_beyond(tree, node, pos, path, out);
}

enum tako__match_result tako__match(const struct tako__table *t, unsigned method_id,
                                    tako_str method, tako_str host, tako_str path, unsigned skip,
                                    struct tako__match *out)
{
	const struct tako__site *site = NULL;
	const struct tako__leaf *leaf;

	if (t->host_count)
		site = tako__host_find(t->hosts, t->host_count, host);
	if (!site)
		site = &t->site;
	leaf = TAKO__LIKELY(!skip) ? first_leaf(&site->routes, path, out) : NULL;
	if (TAKO__LIKELY(leaf != NULL)) {
		const struct tako__endpoint *ep = named(leaf, method_id, method);

		if (!ep)
			ep = leaf->any;
		if (TAKO__LIKELY(ep != NULL))
			return found(out, ep);
	}
	return slow(site, method_id, method, path, skip, out);
}

/* ---- Allow -------------------------------------------------------------------- */

size_t tako__allow_bytes_max(const struct tako__table *t)
{
	return t->allow_bytes;
}

static tako_str method_name(const struct tako__table *t, unsigned bit)
{
	if (bit < TAKO__METHOD_COUNT)
		return tako_str_z(tako__method_name(bit));
	return t->methods[bit - TAKO__METHOD_COUNT];
}

size_t tako__allow_format(const struct tako__table *t, const struct tako__match *m, char *buf,
                          size_t n)
{
	unsigned bits = TAKO__METHOD_COUNT + t->method_count;
	size_t len = 0;

	for (int write = 0; write < 2; write++) {
		len = 0;
		for (unsigned i = 0; i < bits; i++) {
			tako_str name = method_name(t, i);

			if (!(m->allow >> i & 1))
				continue;
			if (write && len) {
				buf[len] = ',';
				buf[len + 1] = ' ';
			}
			len += len ? 2 : 0;
			if (write)
				memcpy(buf + len, name.p, name.n);
			len += name.n;
		}
		if (len > n)
			break;
	}
	return len;
}

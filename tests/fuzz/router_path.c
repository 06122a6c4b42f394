/* SPDX-License-Identifier: MIT
 *
 * Patterns, hosts, paths and the walk.  The input is a router, one line each, then an empty line,
 * a Host field on a line of its own, and the rest is the path as it would be received:
 *
 *	G/pattern  P/pattern  A/pattern  X/pattern   GET, POST, any, PURGE
 *	g/prefix   hname                             later lines go to that group or host
 *	n/prefix                                     all so far becomes nested there
 *	r  f                                         redirect slashes, fallback
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/path.h"
#include "core/router.h"

enum { MAX_LINES = 32, MAX_LINE = 512 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int handler(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	(void)arg;
	return 0;
}

struct build {
	tako_router *root;  /* what hosts and fallbacks are set on */
	tako_router *where; /* what routes go to */
};

/* What was built so far becomes a child. */
static void nest(struct build *b, const char *prefix)
{
	tako_router *outer = tako_router_new();

	if (!outer)
		return;
	tako_nest(outer, prefix, b->root);
	tako_router_free(b->root);
	b->root = outer;
	b->where = outer;
}

static void add_line(struct build *b, const char *line)
{
	switch (line[0]) {
	case 'G':
		tako_get(b->where, line + 1, handler, NULL);
		break;
	case 'P':
		tako_post(b->where, line + 1, handler, NULL);
		break;
	case 'A':
		tako_any(b->where, line + 1, handler, NULL);
		break;
	case 'X':
		tako_route(b->where, "PURGE", line + 1, handler, NULL);
		break;
	case 'g':
		b->where = tako_group(b->where, line + 1);
		break;
	case 'h':
		b->where = tako_host(b->root, line + 1);
		break;
	case 'n':
		nest(b, line + 1);
		break;
	case 'r':
		tako_redirect_slash(b->where, true);
		break;
	case 'f':
		tako_fallback(b->where, handler, NULL);
		break;
	default:
		tako_route(b->where, line, "/any", handler, NULL);
	}
}

/* The next line as a string; what follows it is left. */
static bool next_line(const char **p, size_t *n, char *line)
{
	const char *end = *n ? memchr(*p, '\n', *n) : NULL;
	size_t len = end ? (size_t)(end - *p) : *n;

	if (!*n || len >= MAX_LINE)
		return false;
	memcpy(line, *p, len);
	line[len] = '\0';
	*p += len + (end != NULL);
	*n -= len + (end != NULL);
	return len > 0;
}

static void check_params(const struct tako__match *m, tako_str path)
{
	size_t from = 0;

	check(m->param_count == m->ep->param_count);
	for (unsigned i = 0; i < m->param_count; i++) {
		size_t off = m->params[i].off;
		size_t n = m->params[i].n;
		bool whole_rest = off + n == path.n && i + 1 == m->param_count;

		check(off >= from && off <= path.n && n <= path.n - off);
		check(whole_rest || (n && !memchr(path.p + off, '/', n)));
		from = off + n;
	}
}

static void check_allow(const struct tako__table *t, const struct tako__match *m)
{
	size_t n = tako__allow_bytes_max(t);
	char *exact = malloc(n);

	if (!exact)
		return;
	check(tako__allow_format(t, m, exact, n) <= n);
	free(exact);
}

/* Everything that answers, in order: no endpoint comes twice. */
static void walk(const struct tako__table *t, const char *method, tako_str host, tako_str path)
{
	const struct tako__endpoint *seen[2 * MAX_LINES];
	unsigned id = tako__method_id(method, strlen(method));

	for (unsigned skip = 0; skip < 2 * MAX_LINES; skip++) {
		struct tako__match m;
		enum tako__match_result r = tako__match(t, id, tako_str_z(method), host, path, skip,
		                                        &m);

		check(m.ep != NULL);
		if (r == TAKO__BAD_METHOD || r == TAKO__OPTIONS_AUTO)
			check_allow(t, &m);
		if (r != TAKO__FOUND) {
			check(!skip || r == TAKO__NOT_FOUND);
			return;
		}
		check(m.ep->handler == handler);
		for (unsigned i = 0; i < skip; i++)
			check(seen[i] != m.ep);
		seen[skip] = m.ep;
		check_params(&m, path);
	}
	check(false);
}

/* A normalised path is its own normal form, but for what decoding would do again. */
static void check_path(const char *p, size_t n, int rc)
{
	check(n && p[0] == '/');
	check((rc == 1) == (memchr(p, '\0', n) != NULL));
	for (size_t i = 0; i < n; i++) {
		size_t left = n - i;
		size_t dots = left > 1 && p[i + 1] == '.' ? (left > 2 && p[i + 2] == '.' ? 2 : 1)
		                                          : 0;

		if (p[i] == '/' && dots)
			check(left > dots + 1 && p[i + dots + 1] != '/');
	}
}

static void match_path(const struct tako__table *t, tako_str host, const char *raw, size_t n)
{
	static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "PURGE", "BREW"};
	char *path = malloc(n ? n : 1);
	char *shown = malloc(3 * n + 1);
	size_t path_n = 0;
	int rc;

	if (!path || !shown)
		abort();
	rc = tako__path_normalise(path, &path_n, raw, n);
	if (rc >= 0) {
		check(path_n <= n);
		check_path(path, path_n, rc);
		check(tako__path_show(shown, path, path_n) >= path_n);
		for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
			walk(t, methods[i], host, (tako_str){path, path_n});
	}
	free(shown);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct build b;
	struct tako__table *t = NULL;
	const char *p = (const char *)data;
	char line[MAX_LINE];
	char host[MAX_LINE] = "";
	unsigned lines = 0;

	b.root = tako_router_new();
	b.where = b.root;
	if (!b.root)
		return 0;
	while (lines < MAX_LINES && next_line(&p, &size, line)) {
		add_line(&b, line);
		lines++;
	}
	next_line(&p, &size, host);
	if (tako__table_new(&t, b.root)) {
		check(tako_last_error()[0] != '\0');
		/* The path is still worth a look, against no routes. */
		tako_router_free(b.root);
		b.root = tako_router_new();
		if (!b.root || tako__table_new(&t, b.root))
			abort();
	}
	match_path(t, tako_str_z(host), p, size);
	tako_router_free(b.root);
	tako__table_free(t);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The router against a brute force on thousands of random sets of routes.  The oracle knows no
 * tree and parses no pattern: it made the patterns up itself, tries each of them on each path,
 * and ranks those that match segment by segment, as <tako/router.h> words it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/router.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { MAX_SEGMENTS = 5, MAX_ROUTES = 24, MAX_PIECES = 12, SETS = 2500, PATHS = 40 };

static uint64_t seed = 88172645463325252u;

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return n ? (unsigned)(seed % n) : 0;
}

#define PICK(list) ((list)[below(COUNT(list))])

/* Few and alike, so that everything meets everything. */
static const char *const words[] = {"",  "a",  "b",  "ab", "aa", "abc",
                                    "1", "12", "-1", "a1", "f",  ".x"};
static const char *const affixes[] = {"", "", "a", "b", "ab", "1", "-"};
static const char *const constraints[] = {"u64", "i64", "uuid", "hex", "alpha", "alnum"};
static const char *const methods[] = {"GET",     "GET",   "POST", "HEAD",
                                      "OPTIONS", "PURGE", "LINK", NULL};
static const char *const asked_methods[] = {"GET",     "HEAD",  "POST", "PUT",
                                            "OPTIONS", "PURGE", "BREW"};
/* The order in Allow: the well-known ones, then others as the router met them. */
static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};

enum kind { LITERAL, PARAM, REST };

struct segment {
	enum kind kind;
	const char *text; /* literal */
	const char *prefix;
	const char *suffix;
	int constraint; /* -1: none */
};

struct route {
	struct segment seg[MAX_SEGMENTS];
	size_t seg_count;
	const char *method; /* NULL: any */
	char pattern[128];
	bool redirect;
	int number;
};

struct set {
	struct route routes[MAX_ROUTES];
	size_t count;
	bool fallback;
	const char *others[8]; /* methods that are not well known, in order */
	size_t other_count;
	struct tako__table *table;
};

static int numbers[MAX_ROUTES];
static int fallback_number = -1;

static int handler(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	(void)arg;
	return 0;
}

/* ---- Making routes ------------------------------------------------------------- */

static struct segment random_segment(bool last)
{
	struct segment s = {.kind = LITERAL, .text = PICK(words), .constraint = -1};
	unsigned roll = below(10);

	if (roll < 4)
		return s;
	s.text = NULL;
	s.kind = PARAM;
	s.prefix = "";
	s.suffix = "";
	if (roll == 4 && last) {
		s.kind = REST;
		return s;
	}
	if (roll < 7)
		return s;
	if (roll < 9) {
		s.prefix = PICK(affixes);
		s.suffix = PICK(affixes);
	}
	if (roll >= 8)
		s.constraint = (int)below(COUNT(constraints));
	return s;
}

static void random_route(struct route *r)
{
	size_t n = 0;

	r->seg_count = 1 + below(MAX_SEGMENTS - 1);
	r->method = PICK(methods);
	r->redirect = false;
	for (size_t i = 0; i < r->seg_count; i++) {
		struct segment *s = &r->seg[i];
		char *to = r->pattern + n;
		size_t room = sizeof(r->pattern) - n;

		*s = random_segment(i + 1 == r->seg_count);
		if (s->kind == LITERAL)
			n += (size_t)snprintf(to, room, "/%s", s->text);
		else if (s->kind == REST)
			n += (size_t)snprintf(to, room, "/{*p%zu}", i);
		else
			n += (size_t)snprintf(to, room, "/%s{p%zu%s%s}%s", s->prefix, i,
			                      s->constraint < 0 ? "" : ":",
			                      s->constraint < 0 ? "" : constraints[s->constraint],
			                      s->suffix);
	}
}

static bool same_segment(const struct segment *a, const struct segment *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == LITERAL)
		return !strcmp(a->text, b->text);
	return a->kind == REST || (!strcmp(a->prefix, b->prefix) && !strcmp(a->suffix, b->suffix) &&
	                           a->constraint == b->constraint);
}

static bool same_route(const struct route *a, const struct route *b)
{
	if (!a->method != !b->method || (a->method && strcmp(a->method, b->method) != 0) ||
	    a->seg_count != b->seg_count)
		return false;
	for (size_t i = 0; i < a->seg_count; i++) {
		if (!same_segment(&a->seg[i], &b->seg[i]))
			return false;
	}
	return true;
}

/* ---- The oracle ------------------------------------------------------------------ */

struct piece {
	const char *p;
	size_t n;
};

static size_t split(const char *path, size_t n, struct piece *out)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (path[i] == '/' || !count) {
			assert_true(count < MAX_PIECES);
			out[count++] = (struct piece){path + i + 1, 0};
		} else {
			out[count - 1].n++;
		}
	}
	return count;
}

static bool number_fits(const char *text, bool is_signed)
{
	char *end;

	errno = 0;
	if (!isdigit((unsigned char)text[is_signed && text[0] == '-']))
		return false;
	if (is_signed)
		(void)strtoll(text, &end, 10);
	else
		(void)strtoull(text, &end, 10);
	return !errno && !*end;
}

static bool constraint_fits(int constraint, const char *p, size_t n)
{
	static const char *const sets[] = {[3] = "0123456789abcdefABCDEF",
	                                   [4] = "abcdefghijklmnopqrstuvwxyz",
	                                   [5] = "abcdefghijklmnopqrstuvwxyz0123456789"};
	char text[64];

	if (memchr(p, '\0', n))
		return false;
	assert_true(n < sizeof(text));
	memcpy(text, p, n);
	text[n] = '\0';
	if (constraint < 2)
		return number_fits(text, constraint == 1);
	/* Nothing here is as long as a UUID. */
	return constraint != 2 && strspn(text, sets[constraint]) == n;
}

/* < 0: no.  Else how good a match it is: the lower the better. */
static long segment_rank(const struct segment *s, struct piece piece)
{
	size_t prefix;
	size_t suffix;
	long shorter;

	if (s->kind == LITERAL)
		return strlen(s->text) == piece.n && !memcmp(s->text, piece.p, piece.n) ? 0 : -1;
	if (s->kind == REST)
		return 4000000;
	prefix = strlen(s->prefix);
	suffix = strlen(s->suffix);
	shorter = (long)(20 - prefix - suffix) * 1000 + (long)(20 - prefix) * 10;
	if (piece.n <= prefix + suffix || memcmp(piece.p, s->prefix, prefix) != 0 ||
	    memcmp(piece.p + piece.n - suffix, s->suffix, suffix) != 0)
		return -1;
	if (s->constraint < 0)
		return prefix + suffix ? 2000000 + shorter : 3000000;
	if (!constraint_fits(s->constraint, piece.p + prefix, piece.n - prefix - suffix))
		return -1;
	return 1000000 + shorter + s->constraint;
}

struct hit {
	const struct route *route;
	long rank[MAX_SEGMENTS];
};

static bool route_hit(const struct route *r, const struct piece *pieces, size_t count,
                      struct hit *hit)
{
	bool rest = r->seg[r->seg_count - 1].kind == REST;

	hit->route = r;
	memset(hit->rank, 0, sizeof(hit->rank));
	if (rest ? count < r->seg_count : count != r->seg_count)
		return false;
	for (size_t i = 0; i < r->seg_count; i++) {
		hit->rank[i] = segment_rank(&r->seg[i], pieces[i]);
		if (hit->rank[i] < 0)
			return false;
	}
	return true;
}

/* Of one pattern, the route for the method itself comes before the one for any. */
static int compare_hits(const void *a, const void *b)
{
	const struct hit *x = a;
	const struct hit *y = b;

	for (size_t i = 0; i < MAX_SEGMENTS; i++) {
		if (x->rank[i] != y->rank[i])
			return x->rank[i] < y->rank[i] ? -1 : 1;
	}
	return !x->route->method - !y->route->method;
}

static bool has_own_head(const struct set *set, const struct route *r)
{
	struct route head = *r;

	head.method = "HEAD";
	for (size_t i = 0; i < set->count; i++) {
		if (same_route(&set->routes[i], &head))
			return true;
	}
	return false;
}

static bool method_hit(const struct set *set, const struct route *r, const char *method)
{
	if (!r->method || !strcmp(r->method, method))
		return true;
	return !strcmp(method, "HEAD") && !strcmp(r->method, "GET") && !has_own_head(set, r);
}

/* The routes that match, best first. */
static size_t all_hits(const struct set *set, const char *method, const char *path, size_t n,
                       struct hit *hits)
{
	struct piece pieces[MAX_PIECES];
	size_t count = split(path, n, pieces);
	size_t hit_count = 0;

	for (size_t i = 0; i < set->count; i++) {
		if (route_hit(&set->routes[i], pieces, count, &hits[hit_count]) &&
		    (!method || method_hit(set, &set->routes[i], method)))
			hit_count++;
	}
	qsort(hits, hit_count, sizeof(*hits), compare_hits);
	return hit_count;
}

enum { ALLOW_BYTES = 256 };

static void append(char *text, const char *name)
{
	size_t n = strlen(text);

	snprintf(text + n, ALLOW_BYTES - n, "%s%s", n ? ", " : "", name);
}

static bool any_has(const struct hit *hits, size_t count, const char *method)
{
	for (size_t i = 0; i < count; i++) {
		if (hits[i].route->method && !strcmp(hits[i].route->method, method))
			return true;
	}
	return false;
}

static void allow_of(const struct set *set, const struct hit *hits, size_t count, char *text)
{
	*text = '\0';
	for (size_t i = 0; i < COUNT(known); i++) {
		if (any_has(hits, count, known[i]) || !strcmp(known[i], "OPTIONS") ||
		    (!strcmp(known[i], "HEAD") && any_has(hits, count, "GET")))
			append(text, known[i]);
	}
	for (size_t i = 0; i < set->other_count; i++) {
		if (any_has(hits, count, set->others[i]))
			append(text, set->others[i]);
	}
}

static bool wants_redirect(const struct set *set, const char *method, const char *path, size_t n,
                           enum tako__match_result *out)
{
	struct hit hits[MAX_ROUTES];
	char other[128];

	memcpy(other, path, n);
	if (path[n - 1] == '/') {
		*out = TAKO__SLASH_REMOVE;
		n--;
	} else {
		*out = TAKO__SLASH_ADD;
		other[n++] = '/';
	}
	return n && all_hits(set, method, other, n, hits) && hits[0].route->redirect;
}

/* ---- The comparison ----------------------------------------------------------------- */

static struct {
	unsigned long by_result[6];
	unsigned long chains; /* with more than one route */
	unsigned long conflicts;
} tally;

static void complain(const struct set *set, const char *method, const char *path, size_t n,
                     unsigned skip, const char *what)
{
	for (size_t i = 0; i < set->count; i++)
		print_error("  %s %s%s\n", set->routes[i].method ? set->routes[i].method : "*",
		            set->routes[i].pattern, set->routes[i].redirect ? " (redirect)" : "");
	for (size_t i = 0; i < n; i++)
		print_error(path[i] ? "%c" : "%%2F", path[i]);
	fail_msg(" %s, skip %u: %s", method, skip, what);
}

static void check_params(const struct set *set, const struct hit *hit, const char *method,
                         const char *path, size_t n, const struct tako__match *m)
{
	struct piece pieces[MAX_PIECES];
	unsigned param = 0;

	split(path, n, pieces);
	for (size_t i = 0; i < hit->route->seg_count; i++) {
		const struct segment *s = &hit->route->seg[i];
		struct piece want = pieces[i];

		if (s->kind == LITERAL)
			continue;
		if (s->kind == REST) {
			want.n = (size_t)(path + n - want.p);
		} else {
			want.p += strlen(s->prefix);
			want.n -= strlen(s->prefix) + strlen(s->suffix);
		}
		if (param >= m->param_count || path + m->params[param].off != want.p ||
		    m->params[param].n != want.n)
			complain(set, method, path, n, 0, "parameters differ");
		param++;
	}
	assert_int_equal(param, m->param_count);
}

static enum tako__match_result expected(const struct set *set, const char *method, const char *path,
                                        size_t n, size_t hit_count, unsigned skip, char *allow)
{
	struct hit there[MAX_ROUTES];
	size_t there_count = all_hits(set, NULL, path, n, there);
	enum tako__match_result r;

	if (skip < hit_count)
		return TAKO__FOUND;
	if (!skip) {
		allow_of(set, there, there_count, allow);
		if (there_count && !strcmp(method, "OPTIONS"))
			return TAKO__OPTIONS_AUTO;
		if (wants_redirect(set, method, path, n, &r))
			return r;
		if (there_count)
			return TAKO__BAD_METHOD;
	}
	return set->fallback && skip == hit_count ? TAKO__FOUND : TAKO__NOT_FOUND;
}

static void check_one(const struct set *set, const char *method, const char *path, size_t n,
                      const struct hit *hits, size_t hit_count, unsigned skip)
{
	char allow[ALLOW_BYTES];
	char got_allow[ALLOW_BYTES];
	struct tako__match m;
	enum tako__match_result want = expected(set, method, path, n, hit_count, skip, allow);
	enum tako__match_result got = tako__match(
		set->table, tako__method_id(method, strlen(method)), tako_str_z(method),
		(tako_str){NULL, 0}, (tako_str){path, n}, skip, &m);

	tally.by_result[want]++;
	if (got != want)
		complain(set, method, path, n, skip, "result differs");
	if (want == TAKO__FOUND && skip < hit_count) {
		if (m.ep->arg != &numbers[hits[skip].route->number])
			complain(set, method, path, n, skip, m.ep->pattern.p);
		check_params(set, &hits[skip], method, path, n, &m);
	} else if (want == TAKO__FOUND) {
		assert_ptr_equal(m.ep->arg, &fallback_number);
		assert_int_equal(m.param_count, 0);
	} else {
		assert_ptr_equal(m.ep, tako__table_endpoint(set->table, 0));
	}
	if (want == TAKO__BAD_METHOD || want == TAKO__OPTIONS_AUTO) {
		got_allow[tako__allow_format(set->table, &m, got_allow, sizeof(got_allow) - 1)] =
			'\0';
		if (strcmp(allow, got_allow) != 0)
			complain(set, method, path, n, skip, got_allow);
	}
}

static void check_path(const struct set *set, const char *path, size_t n)
{
	for (size_t i = 0; i < COUNT(asked_methods); i++) {
		struct hit hits[MAX_ROUTES];
		size_t count = all_hits(set, asked_methods[i], path, n, hits);

		tally.chains += count > 1;
		for (unsigned skip = 0; skip <= count + 2; skip++)
			check_one(set, asked_methods[i], path, n, hits, count, skip);
	}
}

/* Made of the same words, or along a route so that something matches. */
static size_t random_path(const struct set *set, char *path)
{
	const struct route *r = set->count && below(4) ? &set->routes[below((unsigned)set->count)]
	                                               : NULL;
	size_t count = r ? r->seg_count : 1 + below(MAX_SEGMENTS);
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct segment *s = r ? &r->seg[i] : NULL;
		const char *word = s && s->kind == LITERAL && below(8) ? s->text : PICK(words);

		n += (size_t)sprintf(path + n, "/%s%s%s", s && s->prefix ? s->prefix : "", word,
		                     s && s->suffix ? s->suffix : "");
	}
	if (!below(6))
		n += (size_t)sprintf(path + n, "/%s", PICK(words));
	if (!below(20))
		path[1 + below((unsigned)n)] = '\0';
	if (n > 1 && !below(6) && path[n - 1] == '/')
		n--;
	return n;
}

static void remember_other(struct set *set, const char *method)
{
	if (strcmp(method, "PURGE") != 0 && strcmp(method, "LINK") != 0)
		return;
	for (size_t i = 0; i < set->other_count; i++) {
		if (!strcmp(set->others[i], method))
			return;
	}
	set->others[set->other_count++] = method;
}

static tako_router *random_set(struct set *set, tako_router **redirecting)
{
	tako_router *router = tako_router_new();
	size_t want = 1 + below(MAX_ROUTES);

	*redirecting = tako_group(router, "");
	tako_redirect_slash(*redirecting, true);
	set->fallback = below(2);
	if (set->fallback)
		tako_fallback(router, handler, &fallback_number);
	for (size_t tries = 0; tries < want; tries++) {
		struct route *r = &set->routes[set->count];
		bool known_already = false;

		random_route(r);
		for (size_t i = 0; i < set->count; i++)
			known_already |= same_route(&set->routes[i], r);
		if (known_already)
			continue;
		r->number = (int)set->count;
		r->redirect = !below(3);
		if (r->method)
			remember_other(set, r->method);
		tako_route(r->redirect ? *redirecting : router, r->method, r->pattern, handler,
		           &numbers[set->count++]);
		if (tako_router_error(router))
			fail_msg("%s: %s", r->pattern, tako_last_error());
	}
	return router;
}

/* The same route again, under other names, is a conflict. */
static void check_conflict(const struct set *set, tako_router *router)
{
	const struct route *r = &set->routes[below((unsigned)set->count)];
	char renamed[128];
	size_t n = 0;

	for (const char *p = r->pattern; *p; p++)
		renamed[n++] = p[0] == 'p' && isdigit((unsigned char)p[1]) ? 'q' : *p;
	renamed[n] = '\0';
	tako_route(router, r->method, renamed, handler, NULL);
	assert_int_equal(tako_router_error(router), TAKO_EEXIST);
	tally.conflicts++;
}

static void test_random_sets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < SETS; round++) {
		static struct set set;
		tako_router *group;
		tako_router *router;

		memset(&set, 0, sizeof(set));
		router = random_set(&set, &group);
		if (!below(10)) {
			check_conflict(&set, router);
			tako_router_free(router);
			continue;
		}
		assert_int_equal(tako__table_new(&set.table, router), 0);
		tako_router_free(router);
		for (unsigned i = 0; i < PATHS; i++) {
			char path[128];
			size_t n = random_path(&set, path);

			check_path(&set, path, n);
		}
		tako__table_free(set.table);
	}
	/* It is no use if the random sets never come to the interesting places. */
	for (size_t i = 0; i < COUNT(tally.by_result); i++)
		assert_true(tally.by_result[i] > 200);
	assert_true(tally.chains > 5000);
	assert_true(tally.conflicts > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_sets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

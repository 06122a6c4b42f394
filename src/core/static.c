/* SPDX-License-Identifier: MIT
 *
 * Static files, outside: the public calls that mount a directory, and the handler that leads a
 * request from its path to its file.
 */
#include "core/static.h"

#include "core/head.h"
#include "core/res.h"
#include "core/router_build.h"
#include "core/static_range.h"
#include "core/str.h"

enum { MAX_RANGES_DEFAULT = 16 };

/* ---- Serving ----------------------------------------------------------------------- */

/* What the pattern's {*path} took: always its last parameter. */
static tako_str rest_of(const struct tako__exchange *x)
{
	unsigned last = x->match.param_count - 1;

	return (tako_str){x->path.p + x->match.params[last].off, x->match.params[last].n};
}

/* A field that came twice counts as one list (RFC 9110 section 5.3); for those that are no lists
 * that is malformed, as it should be. */
static int find_conditions(struct tako__exchange *x, struct tako__conditions *c)
{
	unsigned repeated = tako__conditions_find(c, x->fields, x->field_count);

	for (unsigned i = 0; TAKO__UNLIKELY(repeated >> i); i++) {
		if (!(repeated >> i & 1))
			continue;
		c->value[i] = tako_req_header_all(tako__req(x), tako__condition_name(i));
		if (!c->value[i].p)
			return TAKO_ENOMEM;
	}
	return 0;
}

int tako__static_serve(tako_req *req, tako_res *res, void *arg)
{
	struct tako__static *s = arg;
	struct tako__exchange *x = tako__x(req);
	struct tako__static_file *f = tako__arena_alloc(&x->arena, sizeof(*f));
	struct tako__conditions c;
	int rc;
	int status;

	tako__head_keep(x);
	rc = f ? find_conditions(x, &c) : TAKO_ENOMEM;
	if (rc < 0)
		return rc;
	status = tako__static_find(s, rest_of(x), c.value[TAKO__ACCEPT_ENCODING], f);
	if (status == 0)
		return tako__static_send(x, s, f, &c);
	return status == 308 ? tako__redirect_slash(x, true) : tako_res_error(res, status);
}

/* ---- Mounting ------------------------------------------------------------------------ */

static void free_str(tako_str s)
{
	tako__free((char *)(uintptr_t)s.p, s.n + 1);
}

static void static_free(void *arg)
{
	struct tako__static *s = arg;

	tako__static_dir_fini(&s->dir);
	free_str(s->index);
	free_str(s->fallback);
	free_str(s->cache_control);
	tako__free(s, sizeof(*s));
}

static int copy(tako_str *to, const char *z)
{
	char *p = z ? tako__strndup(z, strlen(z)) : NULL;

	*to = (tako_str){p, p ? strlen(p) : 0};
	return z && !p ? TAKO_ENOMEM : 0;
}

static int check_name(const char *what, tako_str name, bool may_be_empty)
{
	if (!name.p || (may_be_empty && !name.n))
		return 0;
	if (name.n && name.p[name.n - 1] != '/' && tako__static_path_ok(name, true))
		return 0;
	return tako__fail(TAKO_EINVAL, "static files: %s is no path below the directory: %.128s",
	                  what, name.p);
}

/* The values of a config that is imported already. */
static int configure(struct tako__static *s, const tako_static_config *cfg)
{
	uint32_t ranges = cfg->max_range_count ? cfg->max_range_count : MAX_RANGES_DEFAULT;
	int rc = copy(&s->index, cfg->index ? cfg->index : "index.html");

	if (rc == 0)
		rc = copy(&s->fallback, cfg->fallback);
	if (rc == 0)
		rc = copy(&s->cache_control, cfg->cache_control);
	if (rc == 0)
		rc = check_name("index", s->index, true);
	if (rc == 0)
		rc = check_name("fallback", s->fallback, false);
	if (rc == 0 && !tako__all(s->cache_control.p, s->cache_control.n, TAKO__C_FIELD))
		rc = tako__fail(TAKO_EINVAL, "static files: control character in cache_control");
	if (rc == 0 && ranges > TAKO__RANGES_MAX && ranges != TAKO_OFF)
		rc = tako__fail(TAKO_EINVAL, "static files: max_range_count is over %d",
		                TAKO__RANGES_MAX);
	if (rc == 0 && cfg->reserved)
		rc = tako__fail(TAKO_EINVAL, "static files: reserved is not 0");
	s->max_range_count = ranges == TAKO_OFF ? 0 : ranges;
	s->dotfiles = cfg->dotfiles != 0;
	s->precompressed = !cfg->no_precompressed;
	return rc;
}

static int static_new(struct tako__static **out, const char *dir, const tako_static_config *cfg)
{
	tako_static_config given = {.size = sizeof(given)};
	struct tako__static *s;
	int rc = 0;

	if (cfg)
		rc = tako__import(&given, sizeof(given), cfg,
		                  offsetof(tako_static_config, cache_control),
		                  "tako_static_config");
	if (rc < 0)
		return rc;
	s = tako__zalloc(sizeof(*s));
	if (!s)
		return TAKO_ENOMEM;
	s->dir.fd = -1;
	rc = configure(s, &given);
	if (rc == 0)
		rc = tako__static_dir_init(&s->dir, dir);
	if (rc < 0)
		static_free(s);
	else
		*out = s;
	return rc;
}

/* A prefix may be given with its slash; a group has none. */
static void mount(tako_router *router, const char *prefix, struct tako__static *s)
{
	size_t n = strlen(prefix);
	char *bare;
	tako_router *group;

	while (n && prefix[n - 1] == '/')
		n--;
	bare = tako__strndup(prefix, n);
	if (!bare) {
		tako__router_stick(router, TAKO_ENOMEM);
		return;
	}
	group = tako_group(router, bare);
	tako__free(bare, n + 1);
	/* So that the prefix itself leads to its index, unless it has a route of its own. */
	tako_redirect_slash(group, true);
	tako_get(group, "/{*path}", tako__static_serve, s);
}

void tako_static_with(tako_router *router, const char *prefix, const char *dir,
                      const tako_static_config *cfg)
{
	struct tako__static *s = NULL;
	int rc;

	if (!tako__router_open(router))
		return;
	rc = prefix ? static_new(&s, dir, cfg) : tako__fail(TAKO_EINVAL, "static files: no prefix");
	if (rc < 0) {
		tako__router_stick(router, rc);
		return;
	}
	if (tako__router_own(router, static_free, s) < 0)
		static_free(s);
	else
		mount(router, prefix, s);
}

void tako_static(tako_router *router, const char *prefix, const char *dir)
{
	tako_static_with(router, prefix, dir, NULL);
}

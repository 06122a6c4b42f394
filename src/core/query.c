/* SPDX-License-Identifier: MIT
 *
 * Queries, forms and cookies.  Never trusts a peer's bytes with anything but being skipped or
 * refused, and lets nothing into a Set-Cookie field that could end it or add to it.
 */
#include "core/query.h"

#include "core/base.h"
#include "core/date.h"
#include "core/str.h"

enum {
	COOKIE_MAX_BYTES = 4096,    /* name and value: what browsers keep */
	ATTRIBUTE_MAX_BYTES = 1024, /* the same for an attribute */
	ATTRIBUTES_ROOM = 192,      /* their fixed texts, a number and a date */
};

/* Cut the part before the next `separator` off `rest`; false when nothing is left. */
static bool cut(tako_str *rest, char separator, tako_str *part)
{
	const char *end;

	if (!rest->n)
		return false;
	end = memchr(rest->p, separator, rest->n);
	part->p = rest->p;
	part->n = end ? (size_t)(end - rest->p) : rest->n;
	rest->p += part->n + (end != NULL);
	rest->n -= part->n + (end != NULL);
	return true;
}

/* "name=value" at its first "="; false if there is none. */
static bool divide(tako_str pair, tako_str *name, tako_str *value)
{
	const char *equals = pair.n ? memchr(pair.p, '=', pair.n) : NULL;

	name->p = pair.p;
	name->n = equals ? (size_t)(equals - pair.p) : pair.n;
	value->p = pair.p + name->n + (equals != NULL);
	value->n = equals ? pair.n - name->n - 1 : 0;
	return equals != NULL;
}

/* ---- Queries and forms ------------------------------------------------------- */

bool tako__pair_next(tako_str *rest, tako_str *name, tako_str *value)
{
	tako_str pair;

	while (cut(rest, '&', &pair)) {
		if (!pair.n)
			continue;
		(void)divide(pair, name, value);
		return true;
	}
	return false;
}

static bool is_escaped(tako_str s)
{
	return s.n && (memchr(s.p, '%', s.n) || memchr(s.p, '+', s.n));
}

int tako__form_decode(tako_str raw, struct tako__arena *a, tako_str *ret)
{
	tako_str decoded = raw;
	char *to;

	if (is_escaped(raw)) {
		to = tako__arena_alloc(a, raw.n);
		if (!to)
			return tako__fail(TAKO_ENOMEM, "form: out of memory");
		if (tako__percent_decode(to, &decoded.n, raw.p, raw.n, true) < 0)
			return tako__fail(TAKO_EINVAL, "form: bad escape in \"%.*s\"",
			                  (int)(raw.n < 64 ? raw.n : 64), raw.p);
		decoded.p = to;
	}
	*ret = decoded;
	return TAKO_OK;
}

/* Whether `raw` decodes to `want`, without decoding it anywhere: one byte, which is one
 * character or one escape, at a time. */
static bool decodes_to(tako_str raw, tako_str want)
{
	size_t i = 0;

	for (size_t k = 0; k < want.n; k++) {
		size_t step = i < raw.n && raw.p[i] == '%' ? 3 : 1;
		size_t one;
		char c;

		if (raw.n - i < step || tako__percent_decode(&c, &one, raw.p + i, step, true) < 0 ||
		    c != want.p[k])
			return false;
		i += step;
	}
	return i == raw.n;
}

int tako__query_next(tako_str *rest, tako_str name, struct tako__arena *a, tako_str *ret)
{
	tako_str raw_name;
	tako_str raw_value;

	while (tako__pair_next(rest, &raw_name, &raw_value)) {
		if (decodes_to(raw_name, name))
			return tako__form_decode(raw_value, a, ret);
	}
	return TAKO_ENOENT;
}

int tako__query_get(tako_str query, tako_str name, struct tako__arena *a, tako_str *ret)
{
	return tako__query_next(&query, name, a, ret);
}

int tako__query_each(tako_str query, struct tako__arena *a, tako_pair_fn fn, void *arg)
{
	tako_str name;
	tako_str value;

	while (tako__pair_next(&query, &name, &value)) {
		int err = tako__form_decode(name, a, &name);

		if (!err)
			err = tako__form_decode(value, a, &value);
		if (!err)
			err = fn(name, value, arg);
		if (err)
			return err;
	}
	return TAKO_OK;
}

/* ---- Cookies: reading ----------------------------------------------------------- */

static tako_str without_quotes(tako_str s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return (tako_str){s.p + 1, s.n - 2};
	return s;
}

bool tako__cookie_next(tako_str *rest, tako_str *name, tako_str *value)
{
	tako_str pair;

	while (cut(rest, ';', &pair)) {
		if (!divide(pair, name, value) || !tako__all(pair.p, pair.n, TAKO__C_FIELD))
			continue;
		*name = tako__str_trim(*name);
		*value = without_quotes(tako__str_trim(*value));
		if (name->n)
			return true;
	}
	return false;
}

int tako__cookie_get(tako_str field, tako_str name, tako_str *ret)
{
	tako_str found;
	tako_str value;

	while (tako__cookie_next(&field, &found, &value)) {
		if (tako_str_eq(found, name)) {
			*ret = value;
			return TAKO_OK;
		}
	}
	return TAKO_ENOENT;
}

/* ---- Cookies: setting ------------------------------------------------------------ */

/* The parts of a cookie as they will be written: defaults filled in. */
struct parts {
	tako_str name;
	tako_str value;
	tako_str path;
	tako_str domain; /* absent: none */
	tako_str same_site;
};

static bool is_cookie_value(tako_str v)
{
	v = without_quotes(v);
	return tako__all(v.p, v.n, TAKO__C_COOKIE);
}

/* path-value: any CHAR (ASCII, that is) except CTLs and ";".  A space at its end would be
 * lost. */
static bool is_path(tako_str v)
{
	if (!v.n || v.p[0] != '/' || v.p[v.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < v.n; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < ' ' || c >= 0x7f || c == ';')
			return false;
	}
	return true;
}

/* Letters, digits, hyphens and single dots; one at the start is customary. */
static bool is_domain(tako_str v)
{
	bool dot = false;

	for (size_t i = 0; i < v.n; i++) {
		bool this_dot = v.p[i] == '.';

		if ((this_dot && dot) || (!this_dot && v.p[i] != '-' &&
		                          !tako__is(v.p[i], TAKO__C_DIGIT | TAKO__C_ALPHA)))
			return false;
		dot = this_dot;
	}
	return v.n && !dot;
}

static bool is_same_site(tako_str v)
{
	return tako_str_eq(v, TAKO_STR("Lax")) || tako_str_eq(v, TAKO_STR("Strict")) ||
	       tako_str_eq(v, TAKO_STR("None"));
}

/* Browsers refuse cookies whose name promises what their attributes do not hold, in any case
 * of its letters. */
static bool keeps_promises(const struct parts *p, bool secure)
{
	static const tako_str secure_prefix = {"__Secure-", 9};
	static const tako_str host_prefix = {"__Host-", 7};
	bool is_host = p->name.n >= 7 && tako__str_ieq(p->name.p, host_prefix.p, 7);
	bool is_secure = p->name.n >= 9 && tako__str_ieq(p->name.p, secure_prefix.p, 9);

	if (is_host && (p->domain.p || !tako_str_eq(p->path, TAKO_STR("/"))))
		return false;
	return secure || (!is_host && !is_secure && !tako_str_eq(p->same_site, TAKO_STR("None")));
}

static int check(const struct parts *p, bool secure)
{
	if (!p->name.n || !tako__all(p->name.p, p->name.n, TAKO__C_TOKEN))
		return tako__fail(TAKO_EINVAL, "cookie: the name is not a token");
	if (!is_cookie_value(p->value))
		return tako__fail(TAKO_EINVAL, "cookie %s: character not allowed in the value",
		                  p->name.p);
	if (!is_path(p->path))
		return tako__fail(TAKO_EINVAL, "cookie %s: bad path", p->name.p);
	if (p->domain.p && !is_domain(p->domain))
		return tako__fail(TAKO_EINVAL, "cookie %s: bad domain", p->name.p);
	if (!is_same_site(p->same_site))
		return tako__fail(TAKO_EINVAL, "cookie %s: SameSite is Lax, Strict or None",
		                  p->name.p);
	if (!keeps_promises(p, secure))
		return tako__fail(TAKO_EINVAL, "cookie %s: needs secure, or another path or domain",
		                  p->name.p);
	if (p->name.n + p->value.n > COOKIE_MAX_BYTES || p->path.n > ATTRIBUTE_MAX_BYTES ||
	    p->domain.n > ATTRIBUTE_MAX_BYTES)
		return tako__fail(TAKO_ETOOBIG, "cookie %.64s: longer than browsers keep",
		                  p->name.p);
	return TAKO_OK;
}

static char *put(char *to, const char *label, tako_str value)
{
	tako_str l = tako_str_z(label);

	memcpy(to, l.p, l.n);
	if (value.n)
		memcpy(to + l.n, value.p, value.n);
	return to + l.n + value.n;
}

static char *put_lifetime(char *to, int64_t max_age_s, int64_t now_s)
{
	char number[TAKO__U64_CHARS];
	char date[TAKO__DATE_BYTES];
	uint64_t age = max_age_s > 0 ? (uint64_t)max_age_s : 0;
	int64_t expires_s = 0; /* long ago: "delete it" */

	to = put(to, "; Max-Age=", (tako_str){number, tako__format_u64(number, age)});
	if (!now_s)
		return to;
	if (max_age_s > 0 && __builtin_add_overflow(now_s, max_age_s, &expires_s))
		expires_s = INT64_MAX;
	tako__date_format(date, expires_s);
	return put(to, "; Expires=", (tako_str){date, sizeof(date)});
}

int tako__cookie_format(const tako_cookie *c, int64_t now_s, struct tako__arena *a, tako_str *ret)
{
	static const tako_str nothing = {"", 0};
	struct parts p = {
		.name = tako_str_z(c->name),
		.value = tako_str_z(c->value ? c->value : ""),
		.path = tako_str_z(c->path ? c->path : "/"),
		.domain = tako_str_z(c->domain),
		.same_site = tako_str_z(c->same_site ? c->same_site : "Lax"),
	};
	int err = check(&p, c->secure);
	char *start;
	char *to;

	if (err)
		return err;
	start = tako__arena_alloc(a,
	                          p.name.n + p.value.n + p.path.n + p.domain.n + ATTRIBUTES_ROOM);
	if (!start)
		return tako__fail(TAKO_ENOMEM, "cookie: out of memory");
	to = put(start, "", p.name);
	to = put(to, "=", p.value);
	to = put(to, "; Path=", p.path);
	if (p.domain.p)
		to = put(to, "; Domain=", p.domain);
	if (c->max_age_s)
		to = put_lifetime(to, c->max_age_s, now_s);
	if (c->secure)
		to = put(to, "; Secure", nothing);
	if (!c->script_readable)
		to = put(to, "; HttpOnly", nothing);
	to = put(to, "; SameSite=", p.same_site);
	*ret = (tako_str){start, (size_t)(to - start)};
	return TAKO_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * The public view of a request: its line, fields, parameters and connection.  Reads
 * only; what has to be decoded is decoded into the exchange's arena, on demand.
 */
#include "core/conn.h"
#include "core/exchange.h"
#include "core/head.h"
#include "core/path.h"
#include "core/query.h"
#include "core/res.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"

#define ABSENT ((tako_str){NULL, 0})

/* For whatever shows the head: what is shown stays where it is from then on. */
static struct tako__exchange *kept(const tako_req *req)
{
	struct tako__exchange *x = tako__x(req);

	tako__head_keep(x);
	return x;
}

/* ---- The line ------------------------------------------------------------------- */

tako_str tako_req_method(const tako_req *req)
{
	return kept(req)->method;
}

tako_str tako_req_path(const tako_req *req)
{
	struct tako__exchange *x = kept(req);

	if (TAKO__UNLIKELY(x->flags & TAKO__X_SLASH_MARK)) {
		/* Rare enough to render again each time. */
		char *shown = tako__arena_alloc(&x->arena, x->path.n * 3);

		if (!shown)
			return ABSENT;
		return (tako_str){shown, tako__path_show(shown, x->path.p, x->path.n)};
	}
	return x->path;
}

tako_str tako_req_raw_path(const tako_req *req)
{
	return kept(req)->raw_path;
}

tako_str tako_req_target(const tako_req *req)
{
	return kept(req)->target;
}

tako_str tako_req_query(const tako_req *req)
{
	return kept(req)->query;
}

tako_str tako_req_host(const tako_req *req)
{
	return kept(req)->host;
}

int tako_req_version(const tako_req *req)
{
	return tako__x(req)->version;
}

tako_str tako_req_pattern(const tako_req *req)
{
	return tako__x(req)->ep->pattern;
}

/* ---- Fields ------------------------------------------------------------------------ */

static tako_str field_value(const struct tako__field *f)
{
	return f ? (tako_str){f->value, f->value_n} : ABSENT;
}

tako_str tako_req_header(const tako_req *req, const char *name)
{
	const struct tako__exchange *x = kept(req);

	return field_value(tako__field_find(x->fields, x->field_count, name, strlen(name)));
}

tako_str tako_req_header_all(tako_req *req, const char *name)
{
	struct tako__exchange *x = tako__x(req);
	size_t name_n = strlen(name);
	size_t bytes = 0;
	char *to;
	tako_str all;

	for (unsigned i = 0; i < x->field_count; i++) {
		const struct tako__field *f = &x->fields[i];

		if (f->name_n == name_n && tako__str_ieq(f->name, name, name_n))
			bytes += f->value_n + 2u;
	}
	to = bytes ? tako__arena_alloc(&x->arena, bytes) : NULL;
	if (!to)
		return ABSENT;
	all = (tako_str){to, bytes - 2};
	for (unsigned i = 0; i < x->field_count; i++) {
		const struct tako__field *f = &x->fields[i];

		if (f->name_n != name_n || !tako__str_ieq(f->name, name, name_n))
			continue;
		memcpy(to, f->value, f->value_n);
		to += f->value_n;
		/* Behind the last value too: the buffer has room, `all` does not show it. */
		*to++ = ',';
		*to++ = ' ';
	}
	return all;
}

bool tako_req_header_at(const tako_req *req, size_t i, tako_str *name, tako_str *value)
{
	const struct tako__exchange *x = kept(req);

	if (i >= x->field_count)
		return false;
	*name = (tako_str){x->fields[i].name, x->fields[i].name_n};
	*value = field_value(&x->fields[i]);
	return true;
}

tako_str tako_req_trailer(const tako_req *req, const char *name)
{
	const struct tako__exchange *x = tako__x(req);

	return field_value(tako__field_find(x->trailers, x->trailer_count, name, strlen(name)));
}

bool tako_req_trailer_at(const tako_req *req, size_t i, tako_str *name, tako_str *value)
{
	const struct tako__exchange *x = tako__x(req);

	if (i >= x->trailer_count)
		return false;
	*name = (tako_str){x->trailers[i].name, x->trailers[i].name_n};
	*value = field_value(&x->trailers[i]);
	return true;
}

/* ---- Parameters ----------------------------------------------------------------------- */

tako_str tako_req_param(const tako_req *req, const char *name)
{
	struct tako__exchange *x = kept(req);
	const struct tako__endpoint *ep = x->ep;
	size_t n = strlen(name);

	for (unsigned i = 0; i < ep->param_count && i < x->match.param_count; i++) {
		tako_str value;
		char *copy;

		if (ep->param_names[i].n != n || memcmp(ep->param_names[i].p, name, n) != 0)
			continue;
		value = (tako_str){x->path.p + x->match.params[i].off, x->match.params[i].n};
		if (!(x->flags & TAKO__X_SLASH_MARK))
			return value;
		copy = tako__arena_strndup(&x->arena, value.p, value.n);
		if (!copy)
			return ABSENT;
		tako__path_unmark(copy, value.n);
		return (tako_str){copy, value.n};
	}
	return ABSENT;
}

int tako_req_param_u64(const tako_req *req, const char *name, uint64_t *out)
{
	tako_str v = tako_req_param(req, name);

	if (!v.p || tako__parse_u64(v.p, v.n, out) < 0)
		return tako__fail(TAKO_EINVAL, "%s: not a decimal number", name);
	return 0;
}

int tako_req_param_i64(const tako_req *req, const char *name, int64_t *out)
{
	tako_str v = tako_req_param(req, name);
	bool negative = v.n && v.p[0] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1 : 0);
	uint64_t value;

	if (!v.p || tako__parse_u64(v.p + negative, v.n - negative, &value) < 0 || value > limit)
		return tako__fail(TAKO_EINVAL, "%s: not a decimal number", name);
	/* Negated as unsigned: -INT64_MIN has no signed form. */
	*out = negative ? (int64_t)(0 - value) : (int64_t)value;
	return 0;
}

tako_str tako_req_query_value(tako_req *req, const char *name)
{
	struct tako__exchange *x = kept(req);
	tako_str value;

	if (tako__query_get(x->query, tako_str_z(name), &x->arena, &value) < 0)
		return ABSENT;
	return value;
}

int tako_req_query_each(tako_req *req, tako_pair_fn fn, void *arg)
{
	struct tako__exchange *x = kept(req);

	return tako__query_each(x->query, &x->arena, fn, arg);
}

tako_str tako_req_cookie(const tako_req *req, const char *name)
{
	const struct tako__exchange *x = kept(req);
	tako_str want = tako_str_z(name);

	for (unsigned i = 0; i < x->field_count; i++) {
		const struct tako__field *f = &x->fields[i];
		tako_str value;

		/* h2 and h3 may split the field (RFC 9113 section 8.2.3). */
		if (f->name_n == 6 && tako__str_ieq(f->name, "cookie", 6) &&
		    tako__cookie_get(field_value(f), want, &value) == 0)
			return value;
	}
	return ABSENT;
}

/* ---- Connection --------------------------------------------------------------------------- */

int tako_req_conn_info(tako_req *req, tako_conn_info *out)
{
	struct tako__exchange *x = tako__x(req);

	return tako__conn_info(x->conn, x->proto->name, &x->arena, out);
}

/* ---- Memory and state -------------------------------------------------------------------- */

void *tako_req_alloc(tako_req *req, size_t bytes)
{
	return tako__arena_zalloc(&tako__x(req)->arena, bytes);
}

int tako_req_set(tako_req *req, const void *key, void *value)
{
	struct tako__exchange *x = tako__x(req);
	struct tako__local *l = x->locals;

	while (l && l->key != key)
		l = l->next;
	if (!l) {
		l = tako__arena_alloc(&x->arena, sizeof *l);
		if (!l)
			return tako__fail(TAKO_ENOMEM, "tako_req_set: out of memory");
		*l = (struct tako__local){.next = x->locals, .key = key};
		x->locals = l;
	}
	l->value = value;
	return 0;
}

void *tako_req_get(const tako_req *req, const void *key)
{
	for (const struct tako__local *l = tako__x(req)->locals; l; l = l->next) {
		if (l->key == key)
			return l->value;
	}
	return NULL;
}

tako_str tako_req_id(const tako_req *req)
{
	return tako__x(req)->request_id;
}

uint64_t tako_req_content_length(const tako_req *req)
{
	return tako__x(req)->content_length;
}

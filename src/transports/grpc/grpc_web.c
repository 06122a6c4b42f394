/* SPDX-License-Identifier: MIT
 *
 * What browsers ask of a server that scripts of other pages may call (the Fetch standard's section 3.2,
 * CORS): who may, with which fields, and which fields of the answer they see.  Nothing of messages.
 */
#include "core/res.h"
#include "core/str.h"
#include "core/value.h"
#include "transports/grpc/grpc_int.h"

/* For how long a browser need not ask again. */
#define MAX_AGE "86400"

/* ---- Who may -------------------------------------------------------------------------------- */

/* Pages of the same host, whatever stands in front of us may have made of the scheme. */
static bool is_same_host(const struct tako__exchange *x, tako_str origin)
{
	const char *at = memmem(origin.p, origin.n, "://", 3);
	size_t skip = at ? (size_t)(at - origin.p) + 3 : 0;

	return at && x->host.n &&
	       tako_str_ieq((tako_str){origin.p + skip, origin.n - skip}, x->host);
}

enum who {
	NOBODY,
	ANYBODY,
	SAME_HOST,
	NAMED,
};

static enum who who_is(const struct tako__grpc_method *m, const struct tako__exchange *x,
                       tako_str origin)
{
	for (const char *o = m->origins; o && *o; o += strlen(o) + 1) {
		if (tako_str_ieq(origin, tako_str_z(o)))
			return NAMED;
	}
	if (m->any_origin)
		return ANYBODY;
	return is_same_host(x, origin) ? SAME_HOST : NOBODY;
}

static int add(struct tako__exchange *x, const char *name, tako_str value)
{
	return tako__exchange_add_field(x, tako_str_z(name), value);
}

/* Cookies too, but only of those that were named: whoever may do anything need not be trusted with
 * what a user is logged in for. */
static int allow(struct tako__exchange *x, enum who who, tako_str origin)
{
	static const char name[] = "Access-Control-Allow-Origin";
	int rc;

	if (who == ANYBODY)
		return add(x, name, TAKO_STR("*"));
	rc = add(x, name, origin);
	if (rc == 0)
		rc = add(x, "Vary", TAKO_STR("Origin"));
	if (rc == 0 && who == NAMED)
		rc = add(x, "Access-Control-Allow-Credentials", TAKO_STR("true"));
	return rc;
}

/* ---- What they see ----------------------------------------------------------------------------- */

static bool is_exposed(const struct tako__field *f)
{
	static const char *const first[] = {"grpc-status", "grpc-message",
	                                    "grpc-status-details-bin"};

	for (size_t i = 0; i < TAKO__COUNT(first); i++) {
		if (tako_str_eq((tako_str){f->name, f->name_n}, tako_str_z(first[i])))
			return false;
	}
	return f->name_n > 0 && f->name[0] >= 'a' && f->name[0] <= 'z';
}

/* A script sees only what is named.  gRPC's own fields, and the program's, are in lower case, which those
 * of HTTP are not. */
int tako__grpc_expose(struct tako__exchange *x)
{
	static const char first[] = "grpc-status,grpc-message,grpc-status-details-bin";
	size_t bytes = sizeof first;
	char *text;
	char *to;

	if (!tako__field_find(x->res_fields, x->res_field_count, "Access-Control-Allow-Origin", 27))
		return 0;
	for (uint32_t i = 0; i < x->res_field_count; i++)
		bytes += x->res_fields[i].name_n + 1;
	text = tako__arena_alloc(&x->arena, bytes);
	if (!text)
		return TAKO_ENOMEM;
	memcpy(text, first, sizeof first - 1);
	to = text + sizeof first - 1;
	for (uint32_t i = 0; i < x->res_field_count; i++) {
		const struct tako__field *f = &x->res_fields[i];

		if (!is_exposed(f))
			continue;
		*to++ = ',';
		memcpy(to, f->name, f->name_n);
		to += f->name_n;
	}
	return tako__exchange_add_field(x, TAKO_STR("Access-Control-Expose-Headers"),
	                                (tako_str){text, (size_t)(to - text)});
}

/* ---- Asking first --------------------------------------------------------------------------------- */

/* A list of names, as browsers write it. */
static bool is_list_of_names(tako_str list)
{
	tako_str item;

	while (tako__element_next(&list, &item)) {
		if (!tako__all(item.p, item.n, TAKO__C_TOKEN))
			return false;
	}
	return true;
}

static int preflight(struct tako__exchange *x, enum who who, tako_str origin)
{
	tako_str wanted = tako_req_header(tako__req(x), "access-control-request-headers");
	int rc = add(x, "Allow", TAKO_STR("POST, OPTIONS"));

	if (rc == 0 && who != NOBODY) {
		rc = allow(x, who, origin);
		if (rc == 0)
			rc = add(x, "Access-Control-Allow-Methods", TAKO_STR("POST"));
		/* Metadata may have any name, so what is asked for is what is allowed. */
		if (rc == 0 && wanted.n && is_list_of_names(wanted))
			rc = add(x, "Access-Control-Allow-Headers", wanted);
		if (rc == 0)
			rc = add(x, "Access-Control-Max-Age", TAKO_STR(MAX_AGE));
	}
	return rc < 0 ? rc : tako_res_send(tako__res(x), 204, NULL, (tako_str){NULL, 0});
}

int tako__grpc_web(tako_req *req, tako_res *res, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	tako_str origin = tako_req_header(req, "origin");
	enum who who = origin.p ? who_is(arg, x, origin) : NOBODY;
	int rc;

	if (tako_str_eq(tako_req_method(req), TAKO_STR("OPTIONS")))
		return preflight(x, who, origin);
	if (!origin.p || !tako_grpc_is(req))
		return TAKO_NEXT;
	if (who == NOBODY)
		return tako_grpc_refuse(req, res, TAKO_GRPC_PERMISSION_DENIED,
		                        "calls from there are not allowed");
	rc = allow(x, who, origin);
	return rc < 0 ? rc : TAKO_NEXT;
}

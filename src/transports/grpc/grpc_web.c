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

bool tako__grpc_origin_ok(const struct tako__grpc_method *m, const struct tako__exchange *x,
                          tako_str origin)
{
	if (m->any_origin || is_same_host(x, origin))
		return true;
	for (const char *o = m->origins; o && *o; o += strlen(o) + 1) {
		if (tako_str_ieq(origin, tako_str_z(o)))
			return true;
	}
	return false;
}

int tako__grpc_allow_origin(struct tako__exchange *x, const struct tako__grpc_method *m,
                            tako_str origin)
{
	static const tako_str name = {"Access-Control-Allow-Origin", 27};
	int rc;

	if (m->any_origin)
		return tako__exchange_add_field(x, name, TAKO_STR("*"));
	rc = tako__exchange_add_field(x, name, origin);
	return rc < 0 ? rc : tako__exchange_add_field(x, TAKO_STR("Vary"), TAKO_STR("Origin"));
}

/* ---- What they see ----------------------------------------------------------------------------- */

static bool is_exposed(const struct tako__field *f)
{
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

		if (!is_exposed(f) || memmem(first, sizeof first - 1, f->name, f->name_n))
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

int tako__grpc_preflight(tako_req *req, tako_res *res, void *arg)
{
	const struct tako__grpc_method *m = arg;
	struct tako__exchange *x = tako__x(res);
	tako_str origin = tako_req_header(req, "origin");
	tako_str wanted = tako_req_header(req, "access-control-request-headers");
	int rc = tako__exchange_add_field(x, TAKO_STR("Allow"), TAKO_STR("POST, OPTIONS"));

	if (rc == 0 && origin.p && tako__grpc_origin_ok(m, x, origin)) {
		rc = tako__grpc_allow_origin(x, m, origin);
		if (rc == 0)
			rc = tako__exchange_add_field(x, TAKO_STR("Access-Control-Allow-Methods"),
			                              TAKO_STR("POST"));
		/* Metadata may have any name, so what is asked for is what is allowed. */
		if (rc == 0 && wanted.n && is_list_of_names(wanted))
			rc = tako__exchange_add_field(x, TAKO_STR("Access-Control-Allow-Headers"),
			                              wanted);
		if (rc == 0)
			rc = tako__exchange_add_field(x, TAKO_STR("Access-Control-Max-Age"),
			                              TAKO_STR(MAX_AGE));
	}
	return rc < 0 ? rc : tako_res_send(res, 204, NULL, (tako_str){NULL, 0});
}

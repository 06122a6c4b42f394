/* SPDX-License-Identifier: MIT
 *
 * Metadata: fields that are the program's own, in both directions.  Decides which names and values may
 * be sent, and which of those received are nobody's but HTTP's and gRPC's.  What a client has sent that
 * could not be sent back is left out: "the application should not trigger an error by providing that same
 * list as the metadata in the response" (PROTOCOL-HTTP2.md).
 */
#include "core/head.h"
#include "core/res.h"
#include "core/str.h"
#include "transports/grpc/grpc_int.h"

enum { METADATA_MAX = 64 };

static bool is_binary(tako_str name)
{
	return name.n > 4 && tako__str_ieq(name.p + name.n - 4, "-bin", 4);
}

/* ---- Names and values ------------------------------------------------------------------------ */

static bool is_own(tako_str name)
{
	static const char *const names[] = {
		"content-type", "content-length",  "te",         "host",   "connection",
		"upgrade",      "keep-alive",      "origin",     "expect", "transfer-encoding",
		"trailer",      "accept-encoding", "x-grpc-web",
	};

	if (name.n > 5 && tako__str_ieq(name.p, "grpc-", 5))
		return true;
	for (size_t i = 0; i < TAKO__COUNT(names); i++) {
		if (tako_str_ieq(name, tako_str_z(names[i])))
			return true;
	}
	return false;
}

static bool is_name(tako_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!tako__is(c, TAKO__C_DIGIT) && !(c >= 'a' && c <= 'z') && c != '-' &&
		    c != '_' && c != '.')
			return false;
	}
	return name.n && name.n <= TAKO__RES_FIELDS_MAX * 4;
}

static bool is_printable(tako_str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < 0x20 || value.p[i] > 0x7e)
			return false;
	}
	/* White space at its ends is not part of a value (RFC 9110 section 5.5). */
	return !value.n || (value.p[0] != ' ' && value.p[value.n - 1] != ' ');
}

/* ---- In -------------------------------------------------------------------------------------- */

/* Some senders pad, some do not (PROTOCOL-HTTP2.md: "must accept both").  TAKO_EINVAL, TAKO_ENOMEM. */
static int decode(struct tako__exchange *x, tako_str value, tako_str *ret)
{
	struct tako__base64 d = {.bits = 0};
	size_t n = 0;
	size_t more = 0;
	char *to;
	int rc;

	value = tako__str_trim(value);
	to = tako__arena_alloc(&x->arena, value.n / 4 * 3 + 3);
	if (!to)
		return TAKO_ENOMEM;
	rc = tako__base64_decode(&d, to, &n, value.p, value.n);
	if (rc == 0)
		rc = tako__base64_end(&d, to + n, &more, true);
	*ret = (tako_str){to, n + more};
	return rc;
}

/* Several values may be in one field, joined by commas, and have to be taken apart before they are decoded.
 * rest->p is NULL behind the last. */
static tako_str take_value(tako_str *rest)
{
	const char *comma = rest->n ? memchr(rest->p, ',', rest->n) : NULL;
	tako_str value = *rest;

	if (!comma) {
		*rest = (tako_str){NULL, 0};
		return value;
	}
	value.n = (size_t)(comma - value.p);
	*rest = (tako_str){comma + 1, rest->n - value.n - 1};
	return value;
}

tako_str tako_grpc_metadata(tako_req *req, const char *name)
{
	tako_str value = tako_req_header(req, name);
	tako_str bytes;

	if (!value.p)
		return value;
	if (!is_binary(tako_str_z(name)))
		return is_printable(value) ? value : (tako_str){NULL, 0};
	return decode(tako__x(req), take_value(&value), &bytes) == 0 ? bytes : (tako_str){NULL, 0};
}

static int each_value(struct tako__exchange *x, tako_str name, tako_str rest, tako_pair_fn fn,
                      void *arg)
{
	int rc = 0;

	if (!is_binary(name))
		return is_printable(rest) ? fn(name, rest, arg) : 0;
	while (rest.p && rc == 0) {
		tako_str bytes;

		rc = decode(x, take_value(&rest), &bytes);
		if (rc == 0)
			rc = fn(name, bytes, arg);
		else if (rc == TAKO_EINVAL)
			rc = 0;
	}
	return rc;
}

/* HTTP/1.1 may have brought it in capitals.  TAKO_EINVAL: it has characters that metadata has not. */
static int in_lower_case(struct tako__exchange *x, tako_str *name)
{
	char *to;

	if (is_name(*name))
		return 0;
	to = tako__arena_alloc(&x->arena, name->n);
	if (!to)
		return TAKO_ENOMEM;
	for (size_t i = 0; i < name->n; i++)
		to[i] = tako__grpc_lower(name->p[i]);
	name->p = to;
	return is_name(*name) ? 0 : TAKO_EINVAL;
}

int tako_grpc_metadata_each(tako_req *req, tako_pair_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(req);

	tako__head_keep(x);
	for (uint32_t i = 0; i < x->field_count; i++) {
		tako_str name = {x->fields[i].name, x->fields[i].name_n};
		tako_str value = {x->fields[i].value ? x->fields[i].value : "",
		                  x->fields[i].value_n};
		int rc;

		if (is_own(name))
			continue;
		rc = in_lower_case(x, &name);
		if (rc == 0)
			rc = each_value(x, name, value, fn, arg);
		else if (rc == TAKO_EINVAL)
			rc = 0;
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- Out --------------------------------------------------------------------------------------- */

/* A copy as it is on the wire. */
static int encode(struct tako__exchange *x, tako_str name, tako_str *value)
{
	size_t bytes = is_binary(name) ? TAKO__BASE64_CHARS(value->n) : value->n;
	char *to;

	if (!is_name(name) || is_own(name))
		return tako__fail(TAKO_EINVAL, "%.*s is no name of metadata", TAKO_FMT(name));
	if (!is_binary(name) && !is_printable(*value))
		return tako__fail(TAKO_EINVAL, "%.*s: not printable ASCII", TAKO_FMT(name));
	if (bytes > UINT32_MAX)
		return tako__fail(TAKO_EINVAL, "%.*s: too long", TAKO_FMT(name));
	to = tako__arena_alloc(&x->arena, bytes);
	if (!to)
		return tako__fail(TAKO_ENOMEM, "metadata: out of memory");
	if (is_binary(name))
		bytes = tako__base64_encode(to, value->p, value->n, false);
	else if (bytes)
		memcpy(to, value->p, bytes);
	*value = (tako_str){to, bytes};
	return 0;
}

static int check(const tako_grpc *call, bool trailer)
{
	if (!tako_grpc_is_open(call))
		return tako__fail(TAKO_ECLOSED, "the call is over");
	if (!trailer && (call->flags & TAKO__GRPC_HEAD))
		return tako__fail(TAKO_ESTATE, "the head is sent already");
	return 0;
}

int tako_grpc_header(tako_grpc *call, const char *name, tako_str value)
{
	int rc = check(call, false);

	if (rc == 0)
		rc = encode(call->x, tako_str_z(name), &value);
	return rc < 0 ? rc : tako_res_header_str(tako__res(call->x), tako_str_z(name), value);
}

int tako_grpc_trailer(tako_grpc *call, const char *name, tako_str value)
{
	int rc = check(call, true);

	if (rc == 0)
		rc = encode(call->x, tako_str_z(name), &value);
	if (rc == 0 && call->x->res_trailer_count >= METADATA_MAX)
		rc = tako__fail(TAKO_ETOOBIG, "more than %d of metadata", METADATA_MAX);
	return rc < 0 ? rc : tako_res_trailer_str(tako__res(call->x), tako_str_z(name), value);
}

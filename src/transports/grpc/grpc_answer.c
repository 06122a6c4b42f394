/* SPDX-License-Identifier: MIT
 *
 * Statuses without a call: what middleware answers in a method's place, what is refused before there is
 * one, and what HTTP's own errors are to a client that speaks gRPC.
 */
#include "core/head.h"
#include "core/res.h"
#include "core/str.h"
#include "transports/grpc/grpc_int.h"
#include "transports/grpc/grpc_status.h"
#include "transports/grpc/grpc_zip.h"

static void request_of(struct tako__grpc_request *r, struct tako__exchange *x)
{
	tako__head_keep(x);
	tako__grpc_request(r, x->fields, x->field_count);
}

int tako__grpc_status_fields(struct tako__exchange *x, struct tako__field *to, int status,
                             tako_str message)
{
	size_t bytes = message.n < TAKO__GRPC_MESSAGE_BYTES ? message.n : TAKO__GRPC_MESSAGE_BYTES;
	char *text;

	text = tako__arena_alloc(&x->arena, TAKO__U64_CHARS + bytes * 3);
	if (!text)
		return TAKO_ENOMEM;
	to[0] = (struct tako__field){"grpc-status", text, 11,
	                             (uint32_t)tako__format_u64(text, (uint64_t)status)};
	if (!message.n)
		return 1;
	text += TAKO__U64_CHARS;
	to[1] = (struct tako__field){"grpc-message", text, 12,
	                             (uint32_t)tako__grpc_message(text, message)};
	return 2;
}

static int add_fields(struct tako__exchange *x, const struct tako__field *f, uint32_t count)
{
	int rc = 0;

	for (uint32_t i = 0; i < count && rc == 0; i++)
		rc = tako__exchange_add_field(x, (tako_str){f[i].name, f[i].name_n},
		                              (tako_str){f[i].value, f[i].value_n});
	return rc;
}

int tako__grpc_disclose(struct tako__exchange *x)
{
	return tako__exchange_add_field(x, TAKO_STR("grpc-accept-encoding"),
	                                TAKO_STR(TAKO__GRPC_CODINGS));
}

int tako__grpc_only(struct tako__exchange *x, int status, tako_str message, tako_str details,
                    tako_str type)
{
	struct tako__field f[TAKO__GRPC_STATUS_FIELDS];
	struct tako__grpc_request r;
	int n = tako__grpc_status_fields(x, f, status, message);
	int rc;

	if (n < 0)
		return n;
	request_of(&r, x);
	if (!type.p)
		type = tako__grpc_type(x, &r);
	if (details.p)
		f[n++] = (struct tako__field){"grpc-status-details-bin", details.p, 23,
		                              (uint32_t)details.n};
	/* What would have been trailers is fields where there is nothing between. */
	rc = add_fields(x, x->res_trailers, x->res_trailer_count);
	x->res_trailer_count = 0;
	if (rc == 0)
		rc = add_fields(x, f, (uint32_t)n);
	if (rc == 0 && r.coding)
		rc = tako__grpc_disclose(x);
	if (rc == 0 && r.form > TAKO__GRPC_PLAIN)
		rc = tako__grpc_expose(x);
	return rc < 0 ? rc : tako_res_send(tako__res(x), 200, type.p, (tako_str){"", 0});
}

/* ---- Interceptors --------------------------------------------------------------------------------- */

bool tako_grpc_is(const tako_req *req)
{
	return tako__grpc_form(tako_req_header(req, "content-type")) != TAKO__GRPC_NOT;
}

int tako_grpc_refuse(tako_req *req, tako_res *res, int status, const char *message)
{
	struct tako__exchange *x = tako__x(res);
	tako_grpc *call = tako__grpc_call(x);
	int rc = tako__res_answerable(x);

	(void)req;
	if (rc < 0)
		return rc;
	if (!tako__grpc_status_ok(status))
		return tako__fail(TAKO_EINVAL, "%d is no status of gRPC", status);
	if (call)
		return tako__grpc_end(call, status, tako_str_z(message));
	return tako__grpc_only(x, status, tako_str_z(message), (tako_str){NULL, 0},
	                       (tako_str){NULL, 0});
}

static int number_of(const struct tako__field *f)
{
	uint64_t v;

	return f && tako__parse_u64(f->value, f->value_n, &v) == 0 && v < TAKO__GRPC_STATUSES
	               ? (int)v
	               : -1;
}

int tako_grpc_status(const tako_req *req)
{
	const struct tako__exchange *x = tako__x(req);
	const tako_grpc *call = tako__grpc_call(x);

	if (call)
		return call->status;
	return number_of(tako__field_find(x->res_fields, x->res_field_count, "grpc-status", 11));
}

/* ---- HTTP's own errors -------------------------------------------------------------------------------- */

int tako_grpc_error(tako_req *req, tako_res *res, int status, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	tako_grpc *call = tako__grpc_call(x);
	tako_str why = tako_str_z(tako__status_text(status));
	int code = tako__grpc_status_of_http(status);

	(void)arg;
	/* That it is no content type of gRPC, or one that is not spoken here, HTTP has to say. */
	if (status == 415 || !tako_grpc_is(req))
		return TAKO_NEXT;
	if (!call)
		return tako__grpc_only(x, code, why, (tako_str){NULL, 0}, (tako_str){NULL, 0});
	if (call->flags & TAKO__GRPC_FINISHED)
		return TAKO_NEXT;
	/* Its body broke off because it left. */
	if (x->error == TAKO_ECLOSED)
		code = TAKO_GRPC_CANCELLED;
	(void)tako__grpc_end(call, code, why);
	/* That a method has forgotten to answer is nobody else's doing. */
	if (call->m->cfg.on_cancel && status != 500)
		call->m->cfg.on_cancel(call, call->m->arg);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * A call's messages and its status on their way out: the prefix before each message, compressed if that
 * was agreed on; the status in trailers, in fields where there was no message, and in the body for
 * gRPC-Web.
 */
#include "core/res.h"
#include "core/str.h"
#include "core/worker.h"
#include "transports/grpc/grpc_int.h"
#include "transports/grpc/grpc_status.h"
#include "transports/grpc/grpc_zip.h"

enum {
	/* Up to here a message and its prefix are put together on the stack, since each write has its
	 * price. */
	SMALL_BYTES = 1024,
	DETAILS_BYTES_MAX = 4096,
};

/* Nothing that is called may end the exchange under whoever calls us: from elsewhere on the loop that is
 * what this flag keeps off. */
static uint32_t enter(struct tako__exchange *x)
{
	uint32_t was = x->flags & TAKO__X_RUNNING;

	x->flags |= TAKO__X_RUNNING;
	if (TAKO__UNLIKELY(!was) && x->conn)
		tako__conn_touch(x->conn);
	return was;
}

static void leave(struct tako__exchange *x, uint32_t was)
{
	x->flags = (x->flags & ~TAKO__X_RUNNING) | was;
}

static int check_open(const tako_grpc *call)
{
	return tako_grpc_is_open(call) ? 0 : tako__fail(TAKO_ECLOSED, "the call is over");
}

/* ---- The head -------------------------------------------------------------------------------- */

static int add_head(tako_grpc *call)
{
	struct tako__exchange *x = call->x;
	int rc = tako__exchange_add_field(x, TAKO_STR("Content-Type"), call->type);

	if (rc == 0 && call->coding_out)
		rc = tako__exchange_add_field(x, TAKO_STR("grpc-encoding"),
		                              tako_str_z(tako__grpc_coding_name(call->coding_out)));
	if (rc == 0 && call->coding_in)
		rc = tako__grpc_disclose(x);
	if (rc == 0 && call->form_out != TAKO__GRPC_PLAIN)
		rc = tako__grpc_expose(x);
	x->status = 200;
	return rc;
}

static int begin_response(tako_grpc *call)
{
	int rc = 0;

	if (call->flags & TAKO__GRPC_HEAD)
		return 0;
	rc = add_head(call);
	if (rc == 0)
		rc = (int)tako_res_write(tako__res(call->x), (tako_str){"", 0}, NULL, NULL);
	if (rc >= 0)
		call->flags |= TAKO__GRPC_HEAD;
	return rc < 0 ? rc : 0;
}

int tako_grpc_send_head(tako_grpc *call)
{
	uint32_t was;
	int rc = check_open(call);

	if (rc < 0)
		return rc;
	if (call->flags & TAKO__GRPC_HEAD)
		return tako__fail(TAKO_ESTATE, "the head is sent already");
	was = enter(call->x);
	rc = begin_response(call);
	leave(call->x, was);
	return rc;
}

/* ---- Bytes --------------------------------------------------------------------------------------- */

static int64_t write_bytes(tako_grpc *call, const char *p, size_t n)
{
	return tako_res_write(tako__res(call->x), (tako_str){p, n}, NULL, NULL);
}

/* Each piece is base64 of its own, with its padding. */
static int64_t write_text(tako_grpc *call, const char head[TAKO__GRPC_HEAD_BYTES], tako_str msg)
{
	size_t raw = TAKO__GRPC_HEAD_BYTES + msg.n;
	size_t bytes = raw + TAKO__BASE64_CHARS(raw);
	char *text = tako__alloc(bytes);
	char *plain = text ? text + TAKO__BASE64_CHARS(raw) : NULL;
	int64_t rc;

	if (!text)
		return TAKO_ENOMEM;
	memcpy(plain, head, TAKO__GRPC_HEAD_BYTES);
	if (msg.n)
		memcpy(plain + TAKO__GRPC_HEAD_BYTES, msg.p, msg.n);
	rc = write_bytes(call, text, tako__base64_encode(text, plain, raw, true));
	tako__free(text, bytes);
	return rc;
}

static int64_t write_frame(tako_grpc *call, unsigned flags, tako_str msg)
{
	char small[SMALL_BYTES];
	int64_t rc;

	tako__grpc_head(small, flags, (uint32_t)msg.n);
	if (TAKO__UNLIKELY(call->form_out == TAKO__GRPC_WEB_TEXT))
		return write_text(call, small, msg);
	if (TAKO__LIKELY(msg.n <= sizeof small - TAKO__GRPC_HEAD_BYTES)) {
		if (msg.n)
			memcpy(small + TAKO__GRPC_HEAD_BYTES, msg.p, msg.n);
		return write_bytes(call, small, TAKO__GRPC_HEAD_BYTES + msg.n);
	}
	rc = write_bytes(call, small, TAKO__GRPC_HEAD_BYTES);
	return rc < 0 ? rc : write_bytes(call, msg.p, msg.n);
}

/* ---- Messages -------------------------------------------------------------------------------------- */

static int check_size(const tako_grpc *call, tako_str msg)
{
	uint64_t most = call->m->cfg.max_send_bytes;

	if (msg.n <= UINT32_MAX && (!most || msg.n <= most))
		return 0;
	return tako__fail(TAKO_ETOOBIG, "a message of %zu bytes is over the limit", msg.n);
}

static bool may_squeeze(const tako_grpc *call, tako_str msg)
{
	return call->coding_out && !(call->flags & TAKO__GRPC_PLAINLY) &&
	       msg.n >= call->m->cfg.compress_min_bytes;
}

static int64_t put_message(tako_grpc *call, tako_str msg)
{
	unsigned flags = 0;
	tako_str squeezed;
	int rc = begin_response(call);

	if (rc < 0)
		return rc;
	if (TAKO__UNLIKELY(may_squeeze(call, msg))) {
		rc = tako__grpc_deflate(call->x->worker, call->coding_out, msg, &squeezed);
		if (rc < 0)
			return rc;
		if (squeezed.n) {
			msg = squeezed;
			flags = TAKO__GRPC_COMPRESSED;
		}
	}
	return write_frame(call, flags, msg);
}

static int64_t send_message(tako_grpc *call, tako_str msg)
{
	uint32_t was = enter(call->x);
	int64_t rc = put_message(call, msg);

	/* Half of one may be on its way: nothing can follow it. */
	if (TAKO__UNLIKELY(rc < 0))
		tako__exchange_stop(call->x, (int)rc);
	leave(call->x, was);
	return rc;
}

int64_t tako_grpc_send(tako_grpc *call, tako_str msg)
{
	int rc = check_open(call);

	if (rc == 0)
		rc = check_size(call, msg);
	if (rc == 0 && tako__grpc_gives_one(call))
		rc = tako__fail(TAKO_ESTATE, "the method gives one message, by tako_grpc_reply()");
	return rc < 0 ? rc : send_message(call, msg);
}

/* ---- The usual answer in one piece --------------------------------------------------------------- */

static bool is_simple(const tako_grpc *call, tako_str msg)
{
	const struct tako__exchange *x = call->x;

	return call->m->kind == TAKO_GRPC_UNARY && call->form_out == TAKO__GRPC_PLAIN &&
	       !(call->flags & TAKO__GRPC_HEAD) && !call->coding_out && !call->coding_in &&
	       !call->details.n && !x->res_trailer_count &&
	       msg.n <= SMALL_BYTES - TAKO__GRPC_HEAD_BYTES;
}

static int answer_simply(tako_grpc *call, tako_str msg)
{
	struct tako__exchange *x = call->x;
	char body[SMALL_BYTES];
	uint32_t was = enter(x);
	int rc;

	tako__grpc_head(body, 0, (uint32_t)msg.n);
	if (msg.n)
		memcpy(body + TAKO__GRPC_HEAD_BYTES, msg.p, msg.n);
	call->status = TAKO_GRPC_OK;
	call->tail[0] = (struct tako__field){"grpc-status", "0", 11, 1};
	x->res_trailers = call->tail;
	x->res_trailer_count = 1;
	x->res_trailer_cap = 1;
	rc = tako__res_send_trailed(x, call->type.p,
	                            (tako_str){body, TAKO__GRPC_HEAD_BYTES + msg.n});
	tako__grpc_over(call, rc < 0 ? TAKO_GRPC_INTERNAL : TAKO_GRPC_OK);
	leave(x, was);
	return rc;
}

int tako_grpc_reply(tako_grpc *call, tako_str msg)
{
	int64_t rc = check_open(call);

	if (rc == 0)
		rc = check_size(call, msg);
	if (rc < 0)
		return (int)rc;
	if (TAKO__LIKELY(is_simple(call, msg)))
		return answer_simply(call, msg);
	/* For those who look when the head leaves. */
	if (tako__grpc_gives_one(call))
		call->status = TAKO_GRPC_OK;
	rc = send_message(call, msg);
	return rc < 0 ? (int)rc : tako__grpc_end(call, TAKO_GRPC_OK, (tako_str){NULL, 0});
}

/* ---- The status --------------------------------------------------------------------------------------- */

/* Behind the user's own. */
static int add_status(tako_grpc *call, int status, tako_str message)
{
	struct tako__exchange *x = call->x;
	uint32_t count = x->res_trailer_count;
	struct tako__field *f = call->tail;
	int n;

	if (count) {
		f = tako__arena_alloc(&x->arena, (count + TAKO__GRPC_STATUS_FIELDS) * sizeof *f);
		if (!f)
			return TAKO_ENOMEM;
		memcpy(f, x->res_trailers, count * sizeof *f);
	}
	n = tako__grpc_status_fields(x, f + count, status, message);
	if (n < 0)
		return n;
	count += (uint32_t)n;
	if (call->details.p)
		f[count++] = (struct tako__field){"grpc-status-details-bin", call->details.p, 23,
		                                  (uint32_t)call->details.n};
	x->res_trailers = f;
	x->res_trailer_count = count;
	x->res_trailer_cap = count;
	return 0;
}

static char *put_line(char *to, const struct tako__field *f)
{
	/* "Use lower-case header/trailer names." */
	for (uint32_t i = 0; i < f->name_n; i++)
		*to++ = tako__grpc_lower(f->name[i]);
	*to++ = ':';
	*to++ = ' ';
	if (f->value_n)
		memcpy(to, f->value, f->value_n);
	to += f->value_n;
	*to++ = '\r';
	*to++ = '\n';
	return to;
}

/* PROTOCOL-WEB.md: browsers hide trailers from scripts, so they are the last frame of the body. */
static int put_web_trailers(tako_grpc *call)
{
	struct tako__exchange *x = call->x;
	size_t bytes = 0;
	int64_t rc;
	char *text;
	char *to;

	for (uint32_t i = 0; i < x->res_trailer_count; i++)
		bytes += (size_t)x->res_trailers[i].name_n + x->res_trailers[i].value_n + 4;
	text = tako__alloc(bytes);
	if (!text)
		return TAKO_ENOMEM;
	to = text;
	for (uint32_t i = 0; i < x->res_trailer_count; i++)
		to = put_line(to, &x->res_trailers[i]);
	x->res_trailer_count = 0;
	rc = write_frame(call, TAKO__GRPC_TRAILERS, (tako_str){text, bytes});
	tako__free(text, bytes);
	return rc < 0 ? (int)rc : 0;
}

static int put_trailers(tako_grpc *call, int status, tako_str message)
{
	int rc = add_status(call, status, message);

	if (rc == 0 && call->form_out != TAKO__GRPC_PLAIN)
		rc = put_web_trailers(call);
	return rc < 0 ? rc : tako_res_end(tako__res(call->x));
}

int tako__grpc_end(tako_grpc *call, int status, tako_str message)
{
	struct tako__exchange *x = call->x;
	uint32_t was;
	int rc = check_open(call);

	if (rc < 0) {
		if (!(call->flags & TAKO__GRPC_FINISHED))
			tako__grpc_over(call, status);
		return rc;
	}
	was = enter(x);
	call->status = status;
	if (call->flags & TAKO__GRPC_HEAD)
		rc = put_trailers(call, status, message);
	else
		rc = tako__grpc_only(x, status, message, call->details, call->type);
	if (rc < 0)
		tako__exchange_stop(x, rc);
	leave(x, was);
	/* Whether it runs is now as it was: from elsewhere the timer gives the reference back. */
	tako__grpc_over(call, status);
	return rc;
}

int tako_grpc_finish(tako_grpc *call, int status, const char *message)
{
	int rc = check_open(call);

	if (rc < 0)
		return rc;
	if (!tako__grpc_status_ok(status))
		return tako__fail(TAKO_EINVAL, "%d is no status of gRPC", status);
	if (status == TAKO_GRPC_OK && tako__grpc_gives_one(call))
		return tako__fail(TAKO_EINVAL, "OK without the message that the method gives");
	return tako__grpc_end(call, status, tako_str_z(message));
}

int tako_grpc_details(tako_grpc *call, tako_str details)
{
	char *to;
	int rc = check_open(call);

	if (rc < 0)
		return rc;
	if (details.n > DETAILS_BYTES_MAX)
		return tako__fail(TAKO_ETOOBIG, "details of %zu bytes are over %d", details.n,
		                  DETAILS_BYTES_MAX);
	to = tako__arena_alloc(&call->x->arena, TAKO__BASE64_CHARS(details.n));
	if (!to)
		return tako__fail(TAKO_ENOMEM, "details: out of memory");
	call->details = (tako_str){to, tako__base64_encode(to, details.p, details.n, false)};
	return 0;
}

uint64_t tako_grpc_unsent(const tako_grpc *call)
{
	return tako_res_unsent(tako__res(call->x));
}

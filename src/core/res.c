/* SPDX-License-Identifier: MIT
 *
 * The public response functions: whole answers, answers in pieces, files.  They decide
 * what is sent; how it looks on the wire is the protocol's.
 */
#include "core/res.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/conn.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"

static int writable(const struct tako__exchange *x)
{
	/* The route's timeout has answered in the handler's place. */
	if (x->flags & (TAKO__X_GONE | TAKO__X_TIMED_OUT))
		return tako__fail(TAKO_ECLOSED, "the peer went away");
	if (x->flags & TAKO__X_ENDED)
		return tako__fail(TAKO_ESTATE, "the response has ended");
	if (x->flags & TAKO__X_IN_AFTER)
		return tako__fail(TAKO_ESTATE, "an after-hook cannot answer");
	return 0;
}

int tako__res_answerable(const struct tako__exchange *x)
{
	int rc = writable(x);

	if (rc == 0 && (x->flags & TAKO__X_HEAD_SENT))
		rc = tako__fail(TAKO_ESTATE, "the response head is sent already");
	return rc;
}

static bool sends_body(const struct tako__exchange *x)
{
	return !(x->flags & (TAKO__X_HEAD_ONLY | TAKO__X_NO_BODY));
}

/* ---- Head ----------------------------------------------------------------------- */

int tako_res_status(tako_res *res, int status)
{
	struct tako__exchange *x = tako__x(res);

	if (x->flags & TAKO__X_HEAD_SENT)
		return tako__fail(TAKO_ESTATE, "the response head is sent already");
	if (status < 200 || status > 599)
		return tako__fail(TAKO_EINVAL, "status %d is not in 200 to 599", status);
	x->status = status;
	return 0;
}

int tako_res_get_status(const tako_res *res)
{
	return tako__x(res)->status;
}

int tako_res_length(tako_res *res, uint64_t length_bytes)
{
	struct tako__exchange *x = tako__x(res);

	if (x->flags & TAKO__X_HEAD_SENT)
		return tako__fail(TAKO_ESTATE, "the response head is sent already");
	/* The length of what is being answered is known by then, and this would be believed. */
	if (x->flags & TAKO__X_IN_AFTER)
		return tako__fail(TAKO_ESTATE, "an after-hook cannot change the length");
	x->res_length = length_bytes;
	x->flags |= TAKO__X_LENGTH_SET;
	return 0;
}

int tako_res_inform(tako_res *res, int status)
{
	struct tako__exchange *x = tako__x(res);
	int rc = tako__res_answerable(x);

	if (rc < 0)
		return rc;
	if (status != 102 && status != 103)
		return tako__fail(TAKO_EINVAL, "interim status %d is not 102 or 103", status);
	return x->proto->inform(x, status);
}

/* ---- Whole ------------------------------------------------------------------------- */

/* What is missing of a head or body cannot be put in later, and the client would take the next
 * response for it: the connection has to end here. */
static int cut(struct tako__exchange *x, int rc)
{
	tako__exchange_stop(x, rc);
	tako__exchange_check(x);
	return rc;
}

static int send_head(struct tako__exchange *x)
{
	int rc = tako__exchange_head(x);

	return TAKO__LIKELY(rc == 0) ? 0 : cut(x, rc);
}

static int begin_whole(struct tako__exchange *x, int status, const char *type, uint64_t n)
{
	int rc = tako__res_answerable(x);

	if (rc == 0)
		rc = tako_res_status(tako__res(x), status);
	if (rc == 0 && type && !tako__field_value_ok(tako_str_z(type)))
		rc = tako__fail(TAKO_EINVAL, "Content-Type: control character in the value");
	if (rc == 0 && type && !(x->flags & TAKO__X_HAS_TYPE)) {
		/* Only until the head is written, which is before we return. */
		rc = tako__exchange_add_field(x, TAKO_STR("Content-Type"),
		                              tako__str_trim(tako_str_z(type)));
	}
	if (rc < 0)
		return rc;
	x->res_length = n;
	x->flags |= TAKO__X_LENGTH_SET;
	return send_head(x);
}

/* The end of what the user has to do; the exchange goes on until its bytes have left. */
static int end_response(struct tako__exchange *x)
{
	int rc;

	x->flags |= TAKO__X_ENDED;
	rc = x->proto->end(x);
	if (rc < 0)
		tako__exchange_stop(x, rc);
	tako__exchange_check(x);
	return rc;
}

/* Nothing was said of the response yet that the protocol would have to look at. */
static bool is_plain(const struct tako__exchange *x, const char *type)
{
	const uint32_t special = TAKO__X_GONE | TAKO__X_TIMED_OUT | TAKO__X_ENDED |
	                         TAKO__X_IN_AFTER | TAKO__X_HEAD_SENT | TAKO__X_HEAD_ONLY |
	                         TAKO__X_HAS_TYPE | TAKO__X_HAS_DATE | TAKO__X_HAS_SERVER |
	                         TAKO__X_SWITCHING | TAKO__X_ALT_SVC;

	return !(x->flags & special) && type && !x->ep->after_count && x->proto->answer;
}

int tako_res_send(tako_res *res, int status, const char *type, tako_str body)
{
	struct tako__exchange *x = tako__x(res);
	int rc;

	if (TAKO__LIKELY(is_plain(x, type)) &&
	    TAKO__LIKELY(x->proto->answer(x, status, type, body))) {
		x->status = status;
		x->sent_bytes = body.n;
		x->flags |= TAKO__X_HEAD_SENT | TAKO__X_ENDED;
		tako__exchange_check(x);
		return 0;
	}
	rc = begin_whole(x, status, type, body.n);
	if (TAKO__UNLIKELY(rc < 0))
		return rc;
	if (TAKO__LIKELY(sends_body(x))) {
		x->sent_bytes = body.n;
		rc = x->proto->data(x, body.p, body.n);
	}
	return TAKO__LIKELY(rc == 0) ? end_response(x) : cut(x, rc);
}

int tako__res_send_trailed(struct tako__exchange *x, const char *type, tako_str body)
{
	int64_t rc = tako__res_answerable(x);

	if (TAKO__LIKELY(is_plain(x, type) && x->proto->answer_trailed) &&
	    TAKO__LIKELY(x->proto->answer_trailed(x, type, body))) {
		x->status = 200;
		x->sent_bytes = body.n;
		x->flags |= TAKO__X_HEAD_SENT | TAKO__X_ENDED;
		tako__exchange_check(x);
		return 0;
	}
	x->status = 200;
	if (rc == 0 && !(x->flags & TAKO__X_HAS_TYPE))
		rc = tako__exchange_add_field(x, TAKO_STR("Content-Type"), tako_str_z(type));
	if (rc == 0)
		rc = tako_res_write(tako__res(x), body, NULL, NULL);
	return rc < 0 ? (int)rc : tako_res_end(tako__res(x));
}

int tako_res_text(tako_res *res, int status, const char *fmt, ...)
{
	struct tako__exchange *x = tako__x(res);
	char small[512];
	char *buf = small;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof small, fmt, ap);
	va_end(ap);
	if (n < 0)
		return tako__fail(TAKO_EINVAL, "bad format");
	if ((size_t)n >= sizeof small) {
		buf = tako__arena_alloc(&x->arena, (size_t)n + 1);
		if (!buf)
			return tako__fail(TAKO_ENOMEM, "response: out of memory");
		va_start(ap, fmt);
		vsnprintf(buf, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	return tako_res_send(res, status, "text/plain; charset=utf-8", (tako_str){buf, (size_t)n});
}

static void lent_done(struct tako_send *op, int err)
{
	struct tako__lent *l = TAKO__CONTAINER(op, struct tako__lent, op);
	struct tako__exchange *x = l->x;
	struct tako__conn *c = x->conn;

	if (op->file_fd >= 0)
		close(op->file_fd);
	/* What was lent did not all leave, though the response had ended as far as its writer
	 * goes. */
	if (err < 0 && !x->error)
		x->error = err;
	if (l->done)
		l->done(l->arg);
	if (c && err == 0)
		tako__conn_written(c);
	tako__exchange_unref(x);
}

static int lend(struct tako__exchange *x, struct tako_send op, void (*done)(void *arg), void *arg)
{
	struct tako__lent *l = tako__arena_alloc(&x->arena, sizeof *l);

	if (!l)
		return tako__fail(TAKO_ENOMEM, "response: out of memory");
	*l = (struct tako__lent){.op = op, .x = x, .done = done, .arg = arg};
	l->op.done = lent_done;
	x->sent_bytes += op.n;
	tako__exchange_ref(x);
	return x->proto->lend(x, &l->op);
}

int tako__res_lend(struct tako__exchange *x, tako_str data, void (*done)(void *arg), void *arg)
{
	return lend(x, (struct tako_send){.p = data.p, .n = data.n, .file_fd = -1}, done, arg);
}

int tako__res_lend_file(struct tako__exchange *x, int fd, uint64_t offset, uint64_t n)
{
	return lend(x, (struct tako_send){.n = n, .file_pos = (int64_t)offset, .file_fd = fd}, NULL,
	            NULL);
}

int tako_res_send_ref(tako_res *res, int status, const char *type, tako_str body,
                      void (*done)(void *arg), void *arg)
{
	struct tako__exchange *x = tako__x(res);
	int begun = begin_whole(x, status, type, body.n);
	int rc = 0;

	if (begun == 0 && body.n && sends_body(x)) {
		uint32_t refs = x->refs;

		rc = tako__res_lend(x, body, done, arg);
		if (x->refs != refs)
			done = NULL; /* runs when the bytes have left */
	}
	if (done)
		done(arg);
	if (begun < 0)
		return begun;
	return rc == 0 ? end_response(x) : cut(x, rc);
}

int tako_res_send_fd(tako_res *res, int fd, uint64_t offset_bytes, uint64_t length_bytes)
{
	struct tako__exchange *x = tako__x(res);
	int begun = fd < 0 ? tako__fail(TAKO_EINVAL, "no file: descriptor %d", fd)
	                   : begin_whole(x, x->status, NULL, length_bytes);
	int rc = 0;

	if (begun == 0 && length_bytes && sends_body(x)) {
		uint32_t refs = x->refs;

		rc = tako__res_lend_file(x, fd, offset_bytes, length_bytes);
		if (x->refs != refs)
			fd = -1;
	}
	if (fd >= 0)
		close(fd);
	if (begun < 0)
		return begun;
	return rc == 0 ? end_response(x) : cut(x, rc);
}

int tako_res_redirect(tako_res *res, int status, const char *location)
{
	int rc;

	if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
		return tako__fail(TAKO_EINVAL, "%d is not a redirect", status);
	rc = tako_res_set_header(res, "Location", location ? location : "");
	return rc < 0 ? rc : tako_res_send(res, status, NULL, (tako_str){"", 0});
}

int tako__res_builtin(struct tako__exchange *x, int status)
{
	char text[64];
	int n = snprintf(text, sizeof text, "%d %s\n", status, tako__status_text(status));

	return tako_res_send(tako__res(x), status, "text/plain; charset=utf-8",
	                     (tako_str){text, (size_t)n});
}

int tako_res_error(tako_res *res, int status)
{
	struct tako__exchange *x = tako__x(res);

	if (status < 400 || status > 599)
		return tako__fail(TAKO_EINVAL, "%d is not an error status", status);
	if (x->flags & (TAKO__X_ENDED | TAKO__X_GONE | TAKO__X_IN_AFTER))
		return writable(x);
	tako__exchange_error(x, status);
	tako__exchange_check(x);
	return 0;
}

int tako_res_fail(tako_res *res, int err)
{
	return tako_res_error(res, tako__error_status(err));
}

/* ---- In pieces ------------------------------------------------------------------------ */

static int begin_pieces(struct tako__exchange *x)
{
	int rc = writable(x);

	if (rc < 0 || (x->flags & TAKO__X_HEAD_SENT))
		return rc;
	if (!(x->flags & TAKO__X_LENGTH_SET))
		x->res_length = TAKO_OFF64;
	return send_head(x);
}

static int write_piece(struct tako__exchange *x, tako_str data, void (*done)(void *arg), void *arg)
{
	if (done)
		return tako__res_lend(x, data, done, arg);
	x->sent_bytes += data.n;
	return x->proto->data(x, data.p, data.n);
}

int64_t tako_res_write(tako_res *res, tako_str data, void (*done)(void *arg), void *arg)
{
	struct tako__exchange *x = tako__x(res);
	int rc = begin_pieces(x);

	if (rc == 0 && sends_body(x) && data.n > x->res_length - x->sent_bytes) {
		rc = tako__fail(TAKO_EINVAL, "more bytes than the length announced");
	} else if (rc == 0 && data.n && sends_body(x)) {
		uint32_t refs = x->refs;

		rc = write_piece(x, data, done, arg);
		if (x->refs != refs)
			done = NULL; /* runs when the bytes have left */
		if (rc < 0)
			tako__exchange_stop(x, rc);
	}
	if (done)
		done(arg);
	return rc < 0 ? rc : (int64_t)tako_res_unsent(res);
}

int tako_res_end(tako_res *res)
{
	struct tako__exchange *x = tako__x(res);
	int rc = writable(x);

	if (rc < 0)
		return rc;
	if (!(x->flags & TAKO__X_HEAD_SENT)) {
		/* Nothing was written: the length is known after all, unless trailers follow. */
		if (!(x->flags & TAKO__X_LENGTH_SET))
			x->res_length = x->res_trailer_count ? TAKO_OFF64 : 0;
		rc = send_head(x);
		if (rc < 0)
			return rc;
	}
	if (sends_body(x) && x->res_length != TAKO_OFF64 && x->sent_bytes < x->res_length)
		return cut(x, tako__fail(TAKO_ESTATE, "fewer bytes than the length announced"));
	return end_response(x);
}

uint64_t tako_res_unsent(const tako_res *res)
{
	const struct tako__exchange *x = tako__x(res);

	return x->conn ? x->proto->unsent(x) : 0;
}

static void drain_at_once(tako_res *res, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	tako_res_fn fn = x->drain_fn;

	(void)arg;
	if (!fn || tako_res_unsent(res) >= x->worker->srv->cfg.write_high_bytes / 2)
		return;
	x->drain_fn = NULL;
	fn(res, x->drain_arg);
}

int tako_res_on_drain(tako_res *res, tako_res_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	int rc = writable(x);

	if (rc < 0)
		return rc;
	x->drain_fn = fn;
	x->drain_arg = arg;
	/* With nothing unsent no completion will come to tell. */
	if (fn && tako_res_unsent(res) == 0) {
		rc = tako_res_after(res, 0, drain_at_once, NULL);
		if (rc < 0)
			x->drain_fn = NULL;
	}
	return rc;
}

/* ---- The end ------------------------------------------------------------------------------ */

bool tako_res_closed(const tako_res *res)
{
	return tako__x(res)->flags & (TAKO__X_GONE | TAKO__X_TIMED_OUT);
}

int tako_res_on_abort(tako_res *res, tako_res_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(res);

	/* Too late to be told by the event itself. */
	if ((x->flags & TAKO__X_HALF_CLOSED) && fn && !(x->flags & TAKO__X_ENDED))
		return tako_res_after(res, 0, fn, arg);
	x->abort_fn = fn;
	x->abort_arg = arg;
	return 0;
}

int tako_res_on_end(tako_res *res, tako_end_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	struct tako__end_hook *h = tako__arena_alloc(&x->arena, sizeof *h);

	if (!h)
		return tako__fail(TAKO_ENOMEM, "end hook: out of memory");
	*h = (struct tako__end_hook){.next = x->end_hooks, .fn = fn, .arg = arg};
	x->end_hooks = h;
	return 0;
}

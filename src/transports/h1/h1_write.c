/* SPDX-License-Identifier: MIT
 *
 * Responses as HTTP/1.1 has them on the wire (RFC 9112 sections 4, 6 and 7), written straight
 * into the connection's output.  Decides the framing; the length, if known, is the
 * exchange's.
 */
#include <stdio.h>

#include "core/res.h"
#include "core/server.h"
#include "core/shared.h"
#include "core/str.h"
#include "core/worker.h"
#include "transports/h1/h1.h"

enum { HEAD_FIXED_BYTES = 256 };

static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

#define PUT(to, lit) put(to, lit, sizeof(lit) - 1)

static char *put_status(char *to, int status)
{
	const char *text;

	if (TAKO__LIKELY(status == 200))
		return PUT(to, "HTTP/1.1 200 OK\r\n");
	to = PUT(to, "HTTP/1.1 ");
	*to++ = (char)('0' + status / 100 % 10);
	*to++ = (char)('0' + status / 10 % 10);
	*to++ = (char)('0' + status % 10);
	*to++ = ' ';
	text = tako__status_text(status);
	to = put(to, text, strlen(text));
	return PUT(to, "\r\n");
}

static char *put_fields(char *to, const struct tako__field *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		to = put(to, f[i].name, f[i].name_n);
		*to++ = ':';
		*to++ = ' ';
		to = put(to, f[i].value, f[i].value_n);
		*to++ = '\r';
		*to++ = '\n';
	}
	return to;
}

static size_t fields_bytes(const struct tako__field *f, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += (size_t)f[i].name_n + f[i].value_n + 4;
	return bytes;
}

/* May the connection carry another request after this response? */
static void decide_close(struct tako__conn *c, struct tako__exchange *x)
{
	struct tako__h1 *h = tako__h1_of(c);

	if (!h->close && ((c->flags & TAKO__CONN_DRAINING) || (x->flags & TAKO__X_LAST))) {
		h->close = true;
		h->unread = true; /* the client may have sent its next request already */
	}
	if (x->flags & TAKO__X_BODY_DONE)
		return;
	/* A client that waits for 100 may or may not send the body after a final response: what
	 * comes next cannot be told from it (RFC 9110 section 10.1.1). */
	if (x->flags & TAKO__X_EXPECTS)
		h->close = true;
	/* Nor is a body read on that was refused for its size. */
	if (x->status == 413 ||
	    (!(x->flags & TAKO__X_BODY_WANTED) && h->body_left > TAKO__H1_DISCARD_BYTES))
		h->close = true;
}

/* RFC 9112 section 6: how the end of the body is told. */
static char *put_framing(char *to, struct tako__h1 *h, struct tako__exchange *x)
{
	h->chunked_out = false;
	if (x->flags & (TAKO__X_NO_BODY | TAKO__X_TAKEN))
		return to;
	if (TAKO__LIKELY(x->res_length != TAKO_OFF64)) {
		to = PUT(to, "Content-Length: ");
		to += tako__format_u64(to, x->res_length);
		return PUT(to, "\r\n");
	}
	if (h->minor == 0) {
		h->close = true;
		if (!(x->flags & TAKO__X_HEAD_ONLY))
			x->conn->flags |= TAKO__CONN_UNFRAMED;
		return to;
	}
	h->chunked_out = true;
	return PUT(to, "Transfer-Encoding: chunked\r\n");
}

static char *put_connection(char *to, const struct tako__h1 *h, const struct tako__exchange *x)
{
	if (TAKO__UNLIKELY(x->flags & TAKO__X_TAKEN))
		return PUT(to, "Connection: Upgrade\r\n");
	if (h->close)
		return PUT(to, "Connection: close\r\n");
	if (h->minor == 0)
		return PUT(to, "Connection: keep-alive\r\n");
	return to;
}

/* Server and Date, unless the user has set his own. */
static char *put_common(char *to, struct tako__exchange *x)
{
	struct tako__worker *w = x->worker;
	tako_str common = tako__worker_common(w);
	size_t server_n = w->date_off - (sizeof("Date: ") - 1);

	if (TAKO__LIKELY(!(x->flags & (TAKO__X_HAS_DATE | TAKO__X_HAS_SERVER))))
		return put(to, common.p, common.n);
	if (!(x->flags & TAKO__X_HAS_SERVER))
		to = put(to, common.p, server_n);
	if (!(x->flags & TAKO__X_HAS_DATE))
		to = put(to, common.p + server_n, common.n - server_n);
	return to;
}

static char *put_head(char *to, struct tako__conn *c, struct tako__exchange *x)
{
	struct tako__h1 *h = tako__h1_of(c);

	decide_close(c, x);
	to = put_status(to, x->status);
	to = put_common(to, x);
	to = put_fields(to, x->res_fields, x->res_field_count);
	to = put_framing(to, h, x);
	to = put_connection(to, h, x);
	return PUT(to, "\r\n");
}

/* Room for what put() is about to write: in the output, or where that has none so large, in the
 * arena, from where it is copied. */
struct room {
	char *start;
	bool in_output;
};

static int open_room(struct tako__conn *c, struct tako__exchange *x, size_t bytes, struct room *r)
{
	r->in_output = bytes <= TAKO__OUT_ROOM;
	r->start = r->in_output ? tako__conn_reserve(c, bytes)
	                        : tako__arena_alloc(&x->arena, bytes);
	return r->start ? 0 : tako__conn_refusal(c);
}

static int close_room(struct tako__conn *c, struct room *r, char *end)
{
	if (TAKO__UNLIKELY(!r->in_output))
		return tako__conn_write(c, r->start, (size_t)(end - r->start));
	tako__conn_commit(c, (size_t)(end - r->start));
	return 0;
}

int tako__h1_head(struct tako__exchange *x)
{
	struct tako__conn *c = x->conn;
	struct room r;

	if (open_room(c, x,
	              HEAD_FIXED_BYTES + x->worker->common_n +
	                      fields_bytes(x->res_fields, x->res_field_count),
	              &r) < 0)
		return tako__conn_refusal(c);
	return close_room(c, &r, put_head(r.start, c, x));
}

/* ---- Plain answers ---------------------------------------------------------------- */

enum {
	/* "Content-Length"'s digits, "Connection: keep-alive" and the ends of both lines. */
	PLAIN_END_BYTES = TAKO__U64_CHARS + 24 + 4,
	PLAIN_BYTES_MAX = TAKO__OUT_ROOM / 4, /* longer bodies fill what is left of a block first */
};

/* Without the content that 204, 205 and 304 have not, and what is no final status. */
static bool has_content(int status)
{
	return status >= 200 && status <= 599 && status != 204 && status != 205 && status != 304;
}

static bool write_start(struct tako__worker *w, struct tako__start *s, int status, const char *type)
{
	tako_str common = tako__worker_common(w);
	size_t type_n = strlen(type);
	char *to = s->text;

	/* Both bounds are far: a Server field may be long. */
	if (type_n >= sizeof s->type || common.n + type_n + HEAD_FIXED_BYTES / 2 > sizeof s->text ||
	    !has_content(status) || !tako__field_value_ok((tako_str){type, type_n}))
		return false;
	to = put_status(to, status);
	to = put(to, common.p, common.n);
	to = PUT(to, "Content-Type: ");
	to = put(to, type, type_n);
	to = PUT(to, "\r\nContent-Length: ");
	s->n = (uint32_t)(to - s->text);
	s->status = status;
	s->date_until_ns = w->date_until_ns;
	memcpy(s->type, type, type_n + 1);
	return true;
}

/* The address of `type` only says where to look: what is there is compared. */
static const struct tako__start *start_of(struct tako__worker *w, int status, const char *type)
{
	struct tako__start *s =
		&w->starts[((uintptr_t)type >> 4 ^ (unsigned)status) % TAKO__STARTS];

	if (TAKO__LIKELY(s->status == status && s->date_until_ns == w->date_until_ns &&
	                 w->loop->now_ns < w->date_until_ns && !strcmp(s->type, type)))
		return s;
	return write_start(w, s, status, type) ? s : NULL;
}

static char *put_digits(char *to, uint64_t v)
{
	if (v >= 100)
		return to + tako__format_u64(to, v);
	if (v >= 10)
		*to++ = (char)('0' + v / 10);
	*to++ = (char)('0' + v % 10);
	return to;
}

/* Short ones without a call: the two halves may overlap. */
static char *put_body(char *to, tako_str body)
{
	if (body.n - 8 > 8)
		return body.n ? put(to, body.p, body.n) : to;
	memcpy(to, body.p, 8);
	memcpy(to + body.n - 8, body.p + body.n - 8, 8);
	return to + body.n;
}

bool tako__h1_answer(struct tako__exchange *x, int status, const char *type, tako_str body)
{
	struct tako__conn *c = x->conn;
	const struct tako__start *s = start_of(x->worker, status, type);
	size_t room;
	char *start;
	char *to;

	if (TAKO__UNLIKELY(!s || body.n > PLAIN_BYTES_MAX))
		return false;
	room = sizeof s->text + PLAIN_END_BYTES + body.n;
	if (TAKO__UNLIKELY(x->res_field_count))
		room += fields_bytes(x->res_fields, x->res_field_count);
	start = TAKO__LIKELY(room <= TAKO__OUT_ROOM) ? tako__conn_reserve(c, room) : NULL;
	if (TAKO__UNLIKELY(!start))
		return false;
	x->status = status;
	decide_close(c, x);
	tako__h1_of(c)->chunked_out = false;
	/* Usually all of it, and of a known size: a dozen moves and no call. */
	memcpy(start, s->text, TAKO__START_COPY_BYTES);
	if (TAKO__UNLIKELY(s->n > TAKO__START_COPY_BYTES))
		memcpy(start, s->text, s->n);
	to = put_digits(start + s->n, body.n);
	to = PUT(to, "\r\n");
	if (TAKO__UNLIKELY(x->res_field_count))
		to = put_fields(to, x->res_fields, x->res_field_count);
	to = put_connection(to, tako__h1_of(c), x);
	to = PUT(to, "\r\n");
	to = put_body(to, body);
	tako__conn_commit(c, (size_t)(to - start));
	return true;
}

/* ---- In pieces -------------------------------------------------------------------- */

int tako__h1_inform(struct tako__exchange *x, int status)
{
	struct tako__conn *c = x->conn;
	struct room r;
	char *to;
	int rc;

	if (tako__h1_of(c)->minor == 0)
		return 0;
	if (open_room(c, x, HEAD_FIXED_BYTES + fields_bytes(x->res_fields, x->res_field_count),
	              &r) < 0)
		return tako__conn_refusal(c);
	to = put_status(r.start, status);
	to = put_fields(to, x->res_fields, x->res_field_count);
	rc = close_room(c, &r, PUT(to, "\r\n"));
	/* Nothing can follow half a head. */
	if (rc < 0)
		tako__exchange_stop(x, rc);
	return rc;
}

static int chunk_head(struct tako__conn *c, uint64_t n)
{
	char head[20];

	return tako__conn_write(c, head, tako__h1_chunk_head(head, n));
}

int tako__h1_data(struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__conn *c = x->conn;
	int rc = 0;

	if (n == 0)
		return 0;
	if (!tako__h1_of(c)->chunked_out)
		return tako__conn_write(c, p, n);
	rc = chunk_head(c, n);
	if (rc == 0)
		rc = tako__conn_write(c, p, n);
	return rc < 0 ? rc : tako__conn_write(c, "\r\n", 2);
}

/* What is lent from outside the connection's own callbacks ends in none of its looks at the clock, and
 * with nothing more to send there may never be one: whether the peer takes it is asked in a while. */
static void watch(struct tako__conn *c)
{
	uint64_t look;

	if (c->flags & (TAKO__CONN_ENTERED | TAKO__CONN_DIRTY))
		return;
	look = tako__now_ns(c->worker) + c->worker->srv->tick_ns;
	if (c->deadline_ns > look)
		tako__conn_deadline(c, look);
}

int tako__h1_lend(struct tako__exchange *x, struct tako_send *op)
{
	struct tako__conn *c = x->conn;
	bool chunked = tako__h1_of(c)->chunked_out;
	int rc = chunked ? chunk_head(c, op->n) : 0;
	int sent;

	/* Behind half a chunk head, or none, its bytes would be taken for one. */
	if (rc < 0)
		op->n = 0;
	watch(c);
	sent = tako__conn_send(c, op); /* in any case: it must complete */
	if (rc == 0)
		rc = sent;
	return rc < 0 || !chunked ? rc : tako__conn_write(c, "\r\n", 2);
}

/* A chunk of the same bytes is the same chunk on every connection. */
static void frame_shared(struct tako__shared *sh)
{
	char head[TAKO__H1_CHUNK_HEAD_BYTES];
	size_t n = tako__h1_chunk_head(head, sh->n);

	_Static_assert(TAKO__H1_CHUNK_HEAD_BYTES <= (int)TAKO__SHARED_HEAD_BYTES, "room for it");
	memcpy(tako__shared_data(sh) - n, head, n);
	memcpy(tako__shared_data(sh) + sh->n, "\r\n", 2);
	sh->frame_n = (uint32_t)n;
}

int tako__h1_share(struct tako__exchange *x, struct tako_send *op, struct tako__shared *sh)
{
	struct tako__conn *c = x->conn;

	op->p = tako__shared_data(sh);
	op->n = sh->n;
	if (tako__h1_of(c)->chunked_out) {
		if (!sh->frame_n)
			frame_shared(sh);
		op->p = tako__shared_data(sh) - sh->frame_n;
		op->n = sh->frame_n + sh->n + 2;
	}
	watch(c);
	return tako__conn_send(c, op);
}

int tako__h1_end(struct tako__exchange *x)
{
	struct tako__conn *c = x->conn;
	struct room r;
	char *to;

	if (TAKO__LIKELY(!tako__h1_of(c)->chunked_out) ||
	    (x->flags & (TAKO__X_HEAD_ONLY | TAKO__X_NO_BODY)))
		return 0;
	if (open_room(c, x, 8 + fields_bytes(x->res_trailers, x->res_trailer_count), &r) < 0)
		return tako__conn_refusal(c);
	to = PUT(r.start, "0\r\n");
	to = put_fields(to, x->res_trailers, x->res_trailer_count);
	return close_room(c, &r, PUT(to, "\r\n"));
}

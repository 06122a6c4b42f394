/* SPDX-License-Identifier: MIT
 *
 * Plain answers in one piece: HEADERS and DATA written straight into the connection's output.  By way
 * of the library an answer is two items in its queues, copies of all fields, an encoder that looks
 * them up and a heap of streams with data: half of what a request costs, for a few dozen bytes.
 *
 * What is written here must be nothing that the library would have to know (RFC 7541): fields are
 * indices into the static table and literals that are not indexed, so that the table which its encoder
 * shares with the peer is as it was.  Two things it has to know.  That the stream has ended: it is
 * told to reset it, and collect() drops that frame.  And what of the connection's window is used:
 * limits.ahead_bytes, squared as the peer gives it back (h2_limits.c).
 */
#include "core/date.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"
#include "transports/h2/h2.h"

enum {
	BODY_BYTES_MAX = TAKO__OUT_ROOM / 4,
	/* Of the user's fields, trailers included.  Longer ones are worth their place in the peer's table. */
	FIELDS_BYTES_MAX = 120,
	/* Literal, not indexed, with a new name (RFC 7541 section 6.2.2): each length is a byte. */
	FIELD_HEAD_BYTES = 3,
	LENGTH_HEAD_BYTES = 3,
	ROOM_BYTES = 3 * TAKO__H2_FRAME_HEAD_BYTES + TAKO__H2_START_BYTES + LENGTH_HEAD_BYTES +
	             TAKO__U64_CHARS,
	/* "content-length" is 28th of the static table (appendix A): 15 with four bits of prefix. */
	LITERAL_PREFIX = 15,
	CONTENT_LENGTH_INDEX = 28,
};

/* ---- The fields that all answers of a kind have ------------------------------------------- */

/* Without the content that 204, 205 and 304 have not, and what is no final status. */
static bool has_content(int status)
{
	return status >= 200 && status <= 599 && status != 204 && status != 205 && status != 304;
}

/* The encoder has no table: it knows the static one, and its Huffman code is paid for once a second. */
static bool write_start(struct tako__h2_local *l, struct tako__worker *w, struct tako__h2_start *st,
                        int status, const char *type)
{
	nghttp2_nv nva[TAKO__H2_COMMON_MAX + 2];
	char digits[3];
	size_t type_n = strlen(type);
	size_t count = 2;
	ssize_t n;

	if (type_n >= sizeof st->type || !has_content(status) ||
	    tako__str_trim((tako_str){type, type_n}).n != type_n ||
	    !tako__field_value_ok((tako_str){type, type_n}))
		return false;
	nva[0] = tako__h2_status(digits, status);
	nva[1] = TAKO__H2_NV("content-type", type, type_n, 0);
	count += tako__h2_common(nva + count, w);
	st->status = 0;
	if (nghttp2_hd_deflate_bound(l->deflater, nva, count) > sizeof st->text)
		return false;
	n = nghttp2_hd_deflate_hd(l->deflater, (uint8_t *)st->text, sizeof st->text, nva, count);
	if (n < 0)
		return false;
	st->n = (uint32_t)n;
	st->status = status;
	st->date_until_ns = w->date_until_ns;
	memcpy(st->type, type, type_n + 1);
	return true;
}

/* The address of `type` only says where to look: what is there is compared. */
static const struct tako__h2_start *start_of(struct tako__h2_local *l, struct tako__worker *w,
                                             int status, const char *type)
{
	struct tako__h2_start *st =
		&l->starts[((uintptr_t)type >> 4 ^ (unsigned)status) % TAKO__H2_STARTS];

	if (TAKO__LIKELY(st->status == status && st->date_until_ns == w->date_until_ns &&
	                 w->loop->now_ns < w->date_until_ns && !strcmp(st->type, type)))
		return st;
	return write_start(l, w, st, status, type) ? st : NULL;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

static size_t fields_bytes(const struct tako__field *f, uint32_t count)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < count; i++)
		bytes += (size_t)f[i].name_n + f[i].value_n + FIELD_HEAD_BYTES;
	return bytes;
}

static char *put(char *to, const char *p, size_t n)
{
	memcpy(to, p, n);
	return to + n;
}

static char *put_name(char *to, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		*to++ = (unsigned)(p[i] - 'A') < 26 ? (char)(p[i] | 0x20) : p[i];
	return to;
}

static char *put_fields(char *to, const struct tako__field *f, uint32_t count)
{
	for (; count; count--, f++) {
		*to++ = 0;
		*to++ = (char)f->name_n;
		to = put_name(to, f->name, f->name_n);
		*to++ = (char)f->value_n;
		to = put(to, f->value, f->value_n);
	}
	return to;
}

static char *put_length(char *to, size_t n)
{
	char *digits = to + LENGTH_HEAD_BYTES;
	size_t count = tako__format_u64(digits, n);

	to[0] = LITERAL_PREFIX;
	to[1] = CONTENT_LENGTH_INDEX - LITERAL_PREFIX;
	to[2] = (char)count;
	return digits + count;
}

static void put_head(char *to, size_t n, uint8_t type, uint8_t flags, int32_t id)
{
	to[0] = (char)(n >> 16);
	to[1] = (char)(n >> 8);
	to[2] = (char)n;
	to[3] = (char)type;
	to[4] = (char)flags;
	to[5] = (char)((uint32_t)id >> 24);
	to[6] = (char)((uint32_t)id >> 16);
	to[7] = (char)((uint32_t)id >> 8);
	to[8] = (char)id;
}

static char *put_answer(char *to, const struct tako__h2_start *st, const struct tako__exchange *x,
                        int32_t id, tako_str body)
{
	char *head = to;
	char *block = to + TAKO__H2_FRAME_HEAD_BYTES;

	to = put(block, st->text, st->n);
	if (TAKO__UNLIKELY(x->res_field_count))
		to = put_fields(to, x->res_fields, x->res_field_count);
	to = put_length(to, body.n);
	put_head(head, (size_t)(to - block), NGHTTP2_HEADERS,
	         body.n ? NGHTTP2_FLAG_END_HEADERS
	                : NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM,
	         id);
	if (!body.n)
		return to;
	put_head(to, body.n, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id);
	return put(to + TAKO__H2_FRAME_HEAD_BYTES, body.p, body.n);
}

/* A head without a length, the body, and the trailers that end it. */
static char *put_trailed(char *to, const struct tako__h2_start *st, const struct tako__exchange *x,
                         int32_t id, tako_str body)
{
	char *head = to;
	char *block = to + TAKO__H2_FRAME_HEAD_BYTES;

	to = put(block, st->text, st->n);
	if (TAKO__UNLIKELY(x->res_field_count))
		to = put_fields(to, x->res_fields, x->res_field_count);
	put_head(head, (size_t)(to - block), NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id);
	put_head(to, body.n, NGHTTP2_DATA, NGHTTP2_FLAG_NONE, id);
	head = put(to + TAKO__H2_FRAME_HEAD_BYTES, body.p, body.n);
	block = head + TAKO__H2_FRAME_HEAD_BYTES;
	to = put_fields(block, x->res_trailers, x->res_trailer_count);
	put_head(head, (size_t)(to - block), NGHTTP2_HEADERS,
	         NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id);
	return to;
}

/* ---- May it ------------------------------------------------------------------------------------ */

/* Nothing of the stream is with the library yet, and the request is complete: the end of the response
 * is the end of both. */
static bool is_fresh(const struct tako__h2_stream *s)
{
	return (s->flags & ~TAKO__H2S_HAS_LENGTH) == TAKO__H2S_RECEIVED && !s->stash;
}

/* The stream's window is the initial one at least, since nothing has been sent of it. */
static bool has_window(const struct tako__h2 *h, size_t n)
{
	return (int64_t)n <= tako__h2_window(h) &&
	       n <= nghttp2_session_get_remote_settings(h->session,
	                                                NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE);
}

/* Nothing in between, and nobody who has waited longer for the connection's window. */
static bool can_write(const struct tako__h2 *h)
{
	const struct tako__conn *c = h->c;

	return !(h->over || h->why || h->in_frame || h->in_block || h->head_due || h->starved) &&
	       !(c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING)) &&
	       tako__conn_unsent(c) < c->worker->srv->cfg.h2_max_send_buffer_bytes;
}

/* Where to put it, or NULL. */
static char *open_answer(struct tako__exchange *x, int status, const char *type, size_t body_n,
                         size_t more, const struct tako__h2_start **st)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	struct tako__h2 *h = s->h;
	char *to;

	if (TAKO__UNLIKELY(!is_fresh(s) || !can_write(h) || body_n > BODY_BYTES_MAX ||
	                   !has_window(h, body_n)))
		return NULL;
	if (TAKO__UNLIKELY(x->res_field_count))
		more += fields_bytes(x->res_fields, x->res_field_count);
	if (TAKO__UNLIKELY(more > FIELDS_BYTES_MAX))
		return NULL;
	*st = start_of(h->local, x->worker, status, type);
	to = *st ? tako__conn_reserve(h->c, ROOM_BYTES + more + body_n) : NULL;
	if (TAKO__UNLIKELY(!to) ||
	    nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, TAKO__H2_ANSWERED) != 0)
		return NULL;
	return to;
}

static void close_answer(struct tako__h2_stream *s, size_t n, size_t body_n)
{
	struct tako__h2 *h = s->h;

	tako__conn_commit(h->c, n);
	tako__conn_touch(h->c);
	h->unsaid_count++;
	h->limits.ahead_bytes += body_n;
	tako__h2_limits_sent(&h->limits, body_n);
	s->flags |= TAKO__H2S_ENDED | TAKO__H2S_FINAL | TAKO__H2S_ANSWERED;
}

bool tako__h2_answer(struct tako__exchange *x, int status, const char *type, tako_str body)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	const struct tako__h2_start *st;
	char *to = open_answer(x, status, type, body.n, 0, &st);

	if (TAKO__UNLIKELY(!to))
		return false;
	close_answer(s, (size_t)(put_answer(to, st, x, s->id, body) - to), body.n);
	return true;
}

bool tako__h2_answer_trailed(struct tako__exchange *x, const char *type, tako_str body)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	const struct tako__h2_start *st;
	char *to = open_answer(x, 200, type, body.n,
	                       fields_bytes(x->res_trailers, x->res_trailer_count), &st);

	if (TAKO__UNLIKELY(!to))
		return false;
	close_answer(s, (size_t)(put_trailed(to, st, x, s->id, body) - to), body.n);
	return true;
}

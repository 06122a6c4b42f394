/* SPDX-License-Identifier: MIT
 *
 * Responses as HTTP/2 has them (RFC 9113 section 8): fields handed to the library, which
 * compresses them when the frame leaves; bodies queued for it to ask for.
 *
 * The library copies fields, since an exchange may be over before its frames have left; what is
 * static, or lives as long as the server, is not copied.
 */
#include "core/date.h"
#include "core/res.h"
#include "core/server.h"
#include "core/str.h"
#include "core/worker.h"
#include "transports/h2/h2.h"

enum {
	/* The user's, core's own few, and status, server, date and length. */
	NVA_MAX = TAKO__RES_FIELDS_MAX + 16,
	STATIC_NAME = NGHTTP2_NV_FLAG_NO_COPY_NAME,
	STATIC = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
};

/* The library writes names in lower case where it copies them. */
static size_t put_fields(nghttp2_nv *nva, const struct tako__exchange *x)
{
	for (unsigned i = 0; i < x->res_field_count; i++) {
		const struct tako__field *f = &x->res_fields[i];

		nva[i] = tako__h2_nv(f->name, f->name_n, f->value, f->value_n,
		                     NGHTTP2_NV_FLAG_NONE);
		/* One of a kind each: in the table they would only drive out what comes again. */
		if (x->request_id.p && f->value_n == x->request_id.n &&
		    !memcmp(f->value, x->request_id.p, f->value_n))
			nva[i].flags = NGHTTP2_NV_FLAG_NO_INDEX;
	}
	return x->res_field_count;
}

size_t tako__h2_common(nghttp2_nv *nva, struct tako__worker *w)
{
	const char *server = w->srv->cfg.server_header;
	tako_str common = tako__worker_common(w);
	size_t count = 0;

	/* Renewed in place once a second, which a frame may notice and does not mind. */
	nva[count++] = TAKO__H2_NV("date", common.p + w->date_off, TAKO__DATE_BYTES, STATIC);
	if (server[0])
		nva[count++] = TAKO__H2_NV("server", server, strlen(server), STATIC);
	return count;
}

/* … unless the user has set his own. */
static size_t put_common(nghttp2_nv *nva, const struct tako__exchange *x)
{
	size_t count = tako__h2_common(nva, x->worker);

	if (TAKO__UNLIKELY((x->flags & TAKO__X_HAS_SERVER) && count > 1))
		count--;
	if (TAKO__UNLIKELY(x->flags & TAKO__X_HAS_DATE) && --count)
		nva[0] = nva[1];
	return count;
}

static bool has_body(const struct tako__exchange *x)
{
	if (x->flags & (TAKO__X_HEAD_ONLY | TAKO__X_NO_BODY))
		return false;
	return x->res_length || x->res_trailer_count;
}

nghttp2_nv tako__h2_status(char to[3], int status)
{
	to[0] = (char)('0' + status / 100 % 10);
	to[1] = (char)('0' + status / 10 % 10);
	to[2] = (char)('0' + status % 10);
	return TAKO__H2_NV(":status", to, 3, STATIC_NAME);
}

/* A stream that cannot take anything any more. */
static bool is_closed(const struct tako__h2_stream *s)
{
	return s->flags & (TAKO__H2S_CLOSED | TAKO__H2S_CUT);
}

static int error_of(int rc)
{
	if (rc == 0)
		return 0;
	return rc == NGHTTP2_ERR_NOMEM ? TAKO_ENOMEM : TAKO_ECLOSED;
}

int tako__h2_write_head(struct tako__exchange *x)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	nghttp2_data_provider body = {.source.ptr = s, .read_callback = tako__h2_data_read};
	nghttp2_nv nva[NVA_MAX];
	char status[3];
	char length[TAKO__U64_CHARS];
	size_t count = 1;
	int rc;

	if (is_closed(s))
		return TAKO_ECLOSED;
	nva[0] = tako__h2_status(status, x->status);
	count += put_common(nva + count, x);
	count += put_fields(nva + count, x);
	if (!(x->flags & TAKO__X_NO_BODY) && x->res_length != TAKO_OFF64)
		nva[count++] = TAKO__H2_NV("content-length", length,
		                           tako__format_u64(length, x->res_length), STATIC_NAME);
	if (!has_body(x)) {
		s->flags |= TAKO__H2S_FINAL;
		if (!(s->flags & TAKO__H2S_RECEIVED))
			tako__h2_stream_later(s);
	}
	rc = nghttp2_submit_response(s->h->session, s->id, nva, count, has_body(x) ? &body : NULL);
	tako__conn_touch(s->h->c);
	return error_of(rc);
}

static int submit_interim(struct tako__h2_stream *s, nghttp2_nv *nva, size_t count)
{
	int rc = nghttp2_submit_headers(s->h->session, NGHTTP2_FLAG_NONE, s->id, NULL, nva, count,
	                                NULL);

	s->flags |= TAKO__H2S_INFORMED;
	tako__conn_touch(s->h->c);
	return error_of(rc);
}

int tako__h2_write_inform(struct tako__exchange *x, int status)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	nghttp2_nv nva[NVA_MAX];
	char text[3];
	size_t count = 1;

	if (is_closed(s))
		return TAKO_ECLOSED;
	nva[0] = tako__h2_status(text, status);
	if (status != 100)
		count += put_fields(nva + count, x);
	return submit_interim(s, nva, count);
}

int tako__h2_write_data(struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);

	if (!n)
		return 0;
	if (is_closed(s))
		return TAKO_ECLOSED;
	tako__conn_touch(s->h->c);
	return tako__h2_queue_copy(s, p, n);
}

int tako__h2_write_lend(struct tako__exchange *x, struct tako_send *op)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);

	/* In any case: it must complete, later, and does when the stream is given up. */
	tako__h2_queue_op(s, op);
	tako__conn_touch(s->h->c);
	return is_closed(s) ? TAKO_ECLOSED : 0;
}

/* The exchange may be over before they leave, so they move into a block of their own. */
static int keep_trailers(struct tako__h2_stream *s, const struct tako__exchange *x)
{
	size_t count = x->res_trailer_count;
	size_t bytes = sizeof(struct tako__h2_trailers) + count * sizeof(nghttp2_nv);
	struct tako__h2_trailers *t;
	char *to;

	for (size_t i = 0; i < count; i++)
		bytes += (size_t)x->res_trailers[i].name_n + x->res_trailers[i].value_n;
	t = tako__alloc(bytes);
	if (!t)
		return TAKO_ENOMEM;
	t->bytes = bytes;
	t->count = count;
	to = (char *)(t->nva + count);
	for (size_t i = 0; i < count; i++) {
		const struct tako__field *f = &x->res_trailers[i];

		memcpy(to, f->name, f->name_n);
		memcpy(to + f->name_n, f->value, f->value_n);
		t->nva[i] = tako__h2_nv(to, f->name_n, to + f->name_n, f->value_n,
		                        NGHTTP2_NV_FLAG_NONE);
		to += (size_t)f->name_n + f->value_n;
	}
	s->trailers = t;
	return 0;
}

int tako__h2_write_end(struct tako__exchange *x)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	int rc = 0;

	if (is_closed(s))
		return TAKO_ECLOSED;
	/* With END_STREAM on the head already, as after HEAD, there is nothing to follow it. */
	if (x->res_trailer_count && !(s->flags & TAKO__H2S_FINAL))
		rc = keep_trailers(s, x);
	s->flags |= TAKO__H2S_ENDED;
	tako__h2_queue_wake(s);
	tako__conn_touch(s->h->c);
	return rc;
}

/* RFC 8441 section 4: success is all there is to say. */
int tako__h2_take(struct tako__exchange *x, const char *protocol)
{
	(void)protocol;
	x->status = 200;
	return tako__exchange_head(x);
}

uint64_t tako__h2_unsent(const struct tako__exchange *x)
{
	return tako__h2_stream_of(x)->queued_bytes;
}

/* SPDX-License-Identifier: MIT
 *
 * What a request's stream brings (RFC 9114 section 4.1): frames, field sections, the order of both.
 * A frame where none may be ends the connection; a request that is not one ends its stream.
 *
 * Everything that is read opens the peer's windows at once, except a body that its reader does not
 * take yet and what waits for the decoder's table.
 */
#include "transports/h3/h3.h"
#include "transports/wt/wt_h3.h"

enum {
	/* Of a section, compressed: decompressed it may be 8/5 of that, and more than 64 KiB in one
	 * value the decoder gives up on. */
	SECTION_BYTES_MAX = 40 << 10,
};

static void consumed(struct tako__h3_stream *s, uint64_t n)
{
	if (n)
		tako__quic_consumed(s->h->c, s->id, n);
}

/* ---- Field sections ----------------------------------------------------------------------- */

static void begin_fields(struct tako__h3_stream *s, struct tako__h3_section *sec)
{
	const tako_server_config *cfg = tako__h3_config(s->h);

	if (!s->x) {
		sec->skip = true;
		return;
	}
	tako__h2_head_init(&sec->head, &s->x->arena, !sec->is_first);
	sec->head.known = &s->h->known;
	sec->head.list_bytes_max = cfg->h3_max_header_list_bytes;
	sec->head.field_count_max = cfg->max_header_count;
	sec->head.target_bytes_max = cfg->max_line_bytes;
}

static int section_new(struct tako__h3_stream *s)
{
	struct tako__h3_local *l = s->h->local;
	struct tako__h3_section *sec;

	if (s->part == TAKO__H3_BEFORE && tako__h3_stream_begin(s) < 0)
		return TAKO_ENOMEM;
	sec = tako__pool_get(&l->sections);
	if (!sec)
		return TAKO_ENOMEM;
	sec->skip = false;
	sec->dropped = false;
	sec->is_first = s->part == TAKO__H3_BEFORE;
	if (nghttp3_qpack_stream_context_new(&sec->qpack, s->id, &s->h->mem.mem) != 0) {
		tako__pool_put(&l->sections, sec);
		return TAKO_ENOMEM;
	}
	s->section = sec;
	begin_fields(s, sec);
	return 0;
}

static void unstick(struct tako__h3_stream *s)
{
	if (s->flags & TAKO__H3S_STUCK)
		s->h->stuck_count--;
	s->flags &= ~TAKO__H3S_STUCK;
}

static void section_put(struct tako__h3 *h, struct tako__h3_section *sec)
{
	if (!h->spoiled)
		nghttp3_qpack_stream_context_del(sec->qpack);
	tako__pool_put(&h->local->sections, sec);
}

void tako__h3_read_free(struct tako__h3_stream *s)
{
	struct tako__h3_stash *b;

	unstick(s);
	if (s->section)
		section_put(s->h, s->section);
	s->section = NULL;
	/* Nobody else gives back the room that they have in the connection's window. */
	while ((b = tako__h3_stash_pop(&s->raw))) {
		tako__quic_forgotten(s->h->c, b->n - b->from);
		tako__h3_stash_free(b);
	}
}

int tako__h3_read_abandon(struct tako__h3_stream *s)
{
	struct tako__h3 *h = s->h;

	if (!tako__h3_table_bytes(h) || h->spoiled)
		return 0;
	tako__quic_wake(h->c);
	return nghttp3_qpack_decoder_cancel_stream(h->decoder, s->id) == 0 ? 0 : TAKO_ENOMEM;
}

static void take_field(struct tako__h3_section *sec, const nghttp3_qpack_nv *nv)
{
	nghttp3_vec name = nghttp3_rcbuf_get_buf(nv->name);
	nghttp3_vec value = nghttp3_rcbuf_get_buf(nv->value);

	if (!sec->skip)
		tako__h2_head_field(&sec->head, (const char *)name.base, name.len,
		                    (const char *)value.base, value.len);
	nghttp3_rcbuf_decref(nv->name);
	nghttp3_rcbuf_decref(nv->value);
}

static int refuse_section(struct tako__h3 *h, nghttp3_ssize rc)
{
	h->spoiled = true;
	if (rc == NGHTTP3_ERR_NOMEM)
		return TAKO_ENOMEM;
	if (rc == NGHTTP3_ERR_QPACK_HEADER_TOO_LARGE)
		return tako__h3_fail(h, NGHTTP3_H3_EXCESSIVE_LOAD, "a field is too large");
	return tako__h3_fail(h, NGHTTP3_QPACK_DECOMPRESSION_FAILED, "a field section");
}

/* It refers to entries that are still on their way (RFC 9204 section 2.1.2). */
static int stick(struct tako__h3_stream *s)
{
	struct tako__h3 *h = s->h;

	if (h->stuck_count >= tako__h3_stuck_max(h))
		return tako__h3_fail(h, NGHTTP3_QPACK_DECOMPRESSION_FAILED,
		                     "too many blocked streams");
	h->stuck_count++;
	s->flags |= TAKO__H3S_STUCK;
	return 0;
}

/* Decode p[0..n), `last` if the section ends there; how much of it was, or a negative code.  Less than all:
 * the stream is stuck. */
static ssize_t decode(struct tako__h3_stream *s, const char *p, size_t n, bool last)
{
	struct tako__h3_section *sec = s->section;
	const uint8_t *at = (const uint8_t *)p;
	size_t left = n;

	for (;;) {
		nghttp3_qpack_nv nv;
		uint8_t flags;
		nghttp3_ssize rc = nghttp3_qpack_decoder_read_request(s->h->decoder, sec->qpack,
		                                                      &nv, &flags, at, left, last);

		if (rc < 0)
			return refuse_section(s->h, rc);
		at += rc;
		left -= (size_t)rc;
		if (flags & NGHTTP3_QPACK_DECODE_FLAG_BLOCKED) {
			int stuck = stick(s);

			return stuck < 0 ? stuck : (ssize_t)(n - left);
		}
		if (flags & NGHTTP3_QPACK_DECODE_FLAG_EMIT)
			take_field(sec, &nv);
		else if ((flags & NGHTTP3_QPACK_DECODE_FLAG_FINAL) || rc == 0)
			return (ssize_t)(n - left);
	}
}

/* Too large to be decoded at all: it is answered when the rest of it has gone by. */
static void drop_section(struct tako__h3_stream *s)
{
	struct tako__h3_section *sec = s->section;

	sec->dropped = true;
	if (!sec->skip)
		sec->head.status = 431;
}

static int begin_section(struct tako__h3_stream *s)
{
	uint64_t list = tako__h3_config(s->h)->h3_max_header_list_bytes;
	int rc = section_new(s);

	if (rc == 0 && s->frame.left > (list > SECTION_BYTES_MAX ? list : SECTION_BYTES_MAX))
		drop_section(s);
	return rc;
}

/* It is complete.  `end`: so is the stream. */
static int end_section(struct tako__h3_stream *s, bool end)
{
	struct tako__h3_section *sec = s->section;
	int rc = sec->dropped ? tako__h3_read_abandon(s) : 0;

	s->part = sec->is_first ? TAKO__H3_BODY : TAKO__H3_AFTER;
	unstick(s);
	s->section = NULL;
	if (rc == 0 && !sec->skip && sec->is_first)
		tako__h3_stream_request(s, &sec->head, end);
	else if (rc == 0 && !sec->skip)
		tako__h3_stream_trailers(s, &sec->head);
	section_put(s->h, sec);
	return rc;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static int unexpected(struct tako__h3 *h, const char *what)
{
	return tako__h3_fail(h, NGHTTP3_H3_FRAME_UNEXPECTED, what);
}

/* Its stream is a tunnel's or another protocol's, or would be: nothing but DATA (RFC 9114 section
 * 4.4). */
static bool is_tunnel(const struct tako__h3_stream *s)
{
	return s->x && ((s->x->flags & (TAKO__X_SWITCHING | TAKO__X_TAKEN)) ||
	                s->x->method_id == TAKO__CONNECT);
}

static int begin_headers(struct tako__h3_stream *s)
{
	if (TAKO__UNLIKELY(s->flags & TAKO__H3S_LATE)) {
		tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_REJECTED);
		return 0;
	}
	if (s->part == TAKO__H3_AFTER)
		return unexpected(s->h, "HEADERS behind trailers");
	if (s->part == TAKO__H3_BODY && is_tunnel(s))
		return unexpected(s->h, "HEADERS in a tunnel");
	return begin_section(s);
}

static int begin_data(struct tako__h3_stream *s)
{
	if (s->part == TAKO__H3_BEFORE)
		return unexpected(s->h, "DATA before HEADERS");
	if (s->part == TAKO__H3_AFTER)
		return unexpected(s->h, "DATA behind trailers");
	return s->frame.left ? 0 : tako__h3_nuisance(s->h);
}

/* No frame but the first bytes of a session's stream, and a frame's nowhere (draft-ietf-webtrans-http3
 * section 4.2). */
static int begin_session(struct tako__h3_stream *s, bool first)
{
	if (!tako__wt_offered(tako__h3_config(s->h)))
		return tako__h3_nuisance(s->h);
	if (!first)
		return tako__h3_fail(s->h, NGHTTP3_H3_FRAME_ERROR, "WT_STREAM is not the first");
	s->flags |= TAKO__H3S_WT;
	return 0;
}

/* Which frames may be there (RFC 9114 section 7.2, RFC 9218 section 7.2). */
static int begin_frame(struct tako__h3_stream *s)
{
	bool first = !(s->flags & TAKO__H3S_FRAMED);

	s->flags |= TAKO__H3S_FRAMED;
	switch (s->frame.type) {
	case TAKO__H3_WT_STREAM:
		return begin_session(s, first);
	case TAKO__H3_DATA:
		return begin_data(s);
	case TAKO__H3_HEADERS:
		return begin_headers(s);
	case TAKO__H3_H2_PRIORITY:
	case TAKO__H3_CANCEL_PUSH:
	case TAKO__H3_SETTINGS:
	case TAKO__H3_PUSH_PROMISE:
	case TAKO__H3_H2_PING:
	case TAKO__H3_GOAWAY:
	case TAKO__H3_H2_WINDOW_UPDATE:
	case TAKO__H3_H2_CONTINUATION:
	case TAKO__H3_MAX_PUSH_ID:
	case TAKO__H3_PRIORITY_UPDATE:
	case TAKO__H3_PRIORITY_UPDATE_PUSH:
		return unexpected(s->h, "a control frame on a request's stream");
	default:
		/* Unknown ones are ignored (section 9). */
		return tako__h3_nuisance(s->h);
	}
}

/* The next `n` bytes of the payload; returns how many were looked at. */
static ssize_t read_payload(struct tako__h3_stream *s, const char *p, size_t n)
{
	if (s->frame.type == TAKO__H3_HEADERS && !s->section->dropped)
		return decode(s, p, n, n == s->frame.left);
	if (s->frame.type == TAKO__H3_DATA)
		tako__h3_stream_data(s, p, n);
	else
		consumed(s, n);
	return (ssize_t)n;
}

/* One frame as far as it has come; *p moves over what was looked at.  `fin`: nothing comes behind
 * `end`. */
static int read_frame(struct tako__h3_stream *s, const char **p, const char *end, bool fin)
{
	size_t n = (size_t)(end - *p);
	ssize_t used;
	int rc = 0;

	if (n > s->frame.left)
		n = (size_t)s->frame.left;
	used = read_payload(s, *p, n);
	if (used < 0)
		return (int)used;
	if (s->frame.type == TAKO__H3_HEADERS && !s->section->dropped)
		consumed(s, (uint64_t)used);
	*p += used;
	s->frame.left -= (uint64_t)used;
	if (s->frame.left || (s->flags & TAKO__H3S_STUCK))
		return 0;
	/* The next one may begin inside whatever is called now. */
	rc = s->frame.type == TAKO__H3_HEADERS ? end_section(s, fin && *p == end) : 0;
	tako__h3_frame_next(&s->frame);
	return rc;
}

static bool is_deaf(const struct tako__h3_stream *s)
{
	return s->h->over || (s->flags & (TAKO__H3S_CUT | TAKO__H3S_CLOSED | TAKO__H3S_WT));
}

/* As far as it goes; what is behind *p then waits. */
static int read_frames(struct tako__h3_stream *s, const char **p, const char *end, bool fin)
{
	int rc = 0;

	while (rc == 0 && !is_deaf(s) && !(s->flags & TAKO__H3S_STUCK)) {
		const char *from = *p;

		if (!s->frame.open) {
			bool complete = tako__h3_frame_read(&s->frame, p, end);

			consumed(s, (uint64_t)(*p - from));
			if (!complete)
				return 0;
			rc = begin_frame(s);
			if (rc < 0 || is_deaf(s) || (*p == end && s->frame.left))
				return rc;
		}
		if (*p == end && s->frame.left)
			return 0;
		rc = read_frame(s, p, end, fin);
	}
	return rc;
}

/* The stream ends here: between two frames, or it is cut off (RFC 9114 sections 4.1 and 7.1). */
static int read_end(struct tako__h3_stream *s)
{
	if (is_deaf(s))
		return 0;
	if (tako__h3_frame_is_cut(&s->frame))
		return tako__h3_fail(s->h, NGHTTP3_H3_FRAME_ERROR, "a frame is cut off");
	if (s->part == TAKO__H3_BEFORE) {
		tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_INCOMPLETE);
		return 0;
	}
	tako__h3_stream_end(s);
	return 0;
}

static int keep_raw(struct tako__h3_stream *s, const char *p, size_t n, bool fin)
{
	if (fin)
		s->flags |= TAKO__H3S_RAW_FIN;
	return !n || tako__h3_stash_add(&s->raw, p, n) ? 0 : TAKO_ENOMEM;
}

int tako__h3_read(struct tako__h3_stream *s, const char *p, size_t n, bool fin)
{
	const char *end = p + n;
	int rc;

	if (s->flags & TAKO__H3S_STUCK)
		return keep_raw(s, p, n, fin);
	rc = read_frames(s, &p, end, fin);
	if (rc < 0)
		return rc;
	if (TAKO__UNLIKELY(s->flags & TAKO__H3S_WT))
		return tako__wt_take_bidi(s, p, (size_t)(end - p), fin);
	if (s->flags & TAKO__H3S_STUCK)
		return keep_raw(s, p, (size_t)(end - p), fin);
	/* What nobody hears any more. */
	consumed(s, (uint64_t)(end - p));
	return fin ? read_end(s) : 0;
}

/* ---- Stuck ones ------------------------------------------------------------------------------ */

static bool may_go_on(const struct tako__h3_stream *s)
{
	return (s->flags & TAKO__H3S_STUCK) &&
	       nghttp3_qpack_stream_context_get_ricnt(s->section->qpack) <=
	               nghttp3_qpack_decoder_get_icnt(s->h->decoder);
}

/* What came behind it.  It may get stuck once more, in its trailers. */
static int read_raw(struct tako__h3_stream *s)
{
	bool fin = s->flags & TAKO__H3S_RAW_FIN;
	int rc = 0;

	while (rc == 0 && s->raw.first && !(s->flags & TAKO__H3S_STUCK)) {
		struct tako__h3_stash *b = s->raw.first;
		const char *p = b->data + b->from;
		const char *end = b->data + b->n;

		rc = read_frames(s, &p, end, fin && !b->next);
		b->from = (size_t)(p - b->data);
		if (s->flags & TAKO__H3S_STUCK)
			return rc;
		consumed(s, (uint64_t)(end - p));
		tako__h3_stash_free(tako__h3_stash_pop(&s->raw));
	}
	return rc;
}

static int go_on(struct tako__h3_stream *s)
{
	bool fin = s->flags & TAKO__H3S_RAW_FIN;
	const char *none = "";
	int rc;

	unstick(s);
	/* A section that ends where it got stuck goes on without another byte. */
	rc = s->frame.left ? 0 : read_frames(s, &none, none, fin && !s->raw.first);
	if (rc == 0)
		rc = read_raw(s);
	return rc == 0 && fin && !(s->flags & TAKO__H3S_STUCK) ? read_end(s) : rc;
}

int tako__h3_read_unstick(struct tako__h3 *h)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);
		int rc;

		if (!h->stuck_count)
			return 0;
		rc = may_go_on(s) ? go_on(s) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

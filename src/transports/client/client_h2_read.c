/* SPDX-License-Identifier: MIT
 *
 * Responses over HTTP/2 (RFC 9113 section 8.1), as their frames come: told at once, or held while their fetch is
 * paused.  Where a stream ends is where a fetch does, but for those that are given up.
 */
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/method.h"
#include "transports/client/client_h2.h"

/* ---- Ends ------------------------------------------------------------------------------- */

static void complete(struct tako__client_h2_stream *s)
{
	struct tako_fetch *f = tako__client_h2_let_go(s);

	tako__client_h2_release(s);
	tako__fetch_done(f);
}

/* Of a stream of which nothing has left yet all of it is still here, and may be sent again. */
static void give_back(struct tako__client_h2_stream *s)
{
	struct tako_fetch *f = s->f;

	if (!f->cfg.stream || s->sent_bytes || !f->handed)
		return;
	f->held = s->out;
	f->handed = false;
	s->out = (struct tako__client_buf){NULL, 0, 0};
}

void tako__client_h2_fail(struct tako__client_h2_stream *s, int err, const char *why)
{
	struct tako_fetch *f = tako__client_h2_let_go(s);

	if (s->flags & TAKO__CLIENT_H2S_CLOSED)
		tako__client_h2_release(s);
	else
		tako__client_h2_reset(s,
		                      err == TAKO_EPROTO ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_CANCEL);
	tako__fetch_lost(f, err, why, TAKO__FETCH_GONE);
}

/* What of the response has come is told, and that it is all. */
static bool is_told(const struct tako__client_h2_stream *s)
{
	return !s->f->paused && !s->held.n && !(s->flags & TAKO__CLIENT_H2S_RESUMED);
}

/* The connection has ended with `err`. */
static enum tako__fetch_loss loss_of(const struct tako__client_h2_stream *s, int err)
{
	if (s->f->heard || err != TAKO_ECLOSED)
		return TAKO__FETCH_GONE;
	if (!(s->flags & TAKO__CLIENT_H2S_LEFT))
		return TAKO__FETCH_UNSENT;
	return (s->flags & TAKO__CLIENT_H2S_ANEW) && tako__fetch_is_idempotent(s->f)
	               ? TAKO__FETCH_ANEW
	               : TAKO__FETCH_GONE;
}

void tako__client_h2_lose(struct tako__client_h2_stream *s, int err, const char *why)
{
	struct tako_fetch *f = s->f;
	enum tako__fetch_loss loss;

	if (!f) {
		tako__client_h2_release(s);
		return;
	}
	s->flags |= TAKO__CLIENT_H2S_CLOSED;
	if ((s->flags & TAKO__CLIENT_H2S_ENDED) && err == TAKO_ECLOSED && s->h->session) {
		if (is_told(s))
			complete(s);
		return;
	}
	loss = loss_of(s, err);
	if (loss != TAKO__FETCH_GONE)
		give_back(s);
	tako__client_h2_let_go(s);
	tako__client_h2_release(s);
	tako__fetch_lost(f, err, why, loss);
}

/* RFC 9113 section 8.7: it was not processed, and may be sent again whatever its method is; unless the server has begun
 * to answer it, of which its user was told.  Who leaves without a complaint has nothing against the request, which another
 * connection takes.  Who refuses it, or complains, is not asked again and again. */
static enum tako__fetch_loss loss_of_refused(const struct tako__client_h2_stream *s)
{
	if (s->f->heard)
		return TAKO__FETCH_GONE;
	if (!(s->flags & TAKO__CLIENT_H2S_LEFT))
		return TAKO__FETCH_UNSENT;
	return (s->flags & TAKO__CLIENT_H2S_RESET) || s->h->theirs != NGHTTP2_NO_ERROR
	               ? TAKO__FETCH_ANEW
	               : TAKO__FETCH_PASSED;
}

static void refused(struct tako__client_h2_stream *s)
{
	enum tako__fetch_loss loss = loss_of_refused(s);
	struct tako_fetch *f = s->f;
	char why[80];

	if (s->flags & TAKO__CLIENT_H2S_RESET)
		snprintf(why, sizeof why, "the server has not processed it (REFUSED_STREAM)");
	else
		snprintf(why, sizeof why, "the server has left before it (GOAWAY, %s)",
		         nghttp2_http2_strerror(s->h->theirs));
	give_back(s);
	tako__client_h2_let_go(s);
	tako__client_h2_release(s);
	tako__fetch_lost(f, TAKO_ECLOSED, why, loss);
}

static void broken_off(struct tako__client_h2_stream *s, uint32_t code)
{
	bool theirs = s->flags & TAKO__CLIENT_H2S_RESET;
	struct tako_fetch *f = tako__client_h2_let_go(s);
	char why[80];

	snprintf(why, sizeof why, "%s: %s",
	         theirs ? "the server has reset the stream" : "not as HTTP/2 has it",
	         nghttp2_http2_strerror(code));
	tako__client_h2_release(s);
	tako__fetch_lost(f, theirs ? TAKO_ECLOSED : TAKO_EPROTO, why, TAKO__FETCH_GONE);
}

void tako__client_h2_closed(struct tako__client_h2_stream *s, uint32_t code)
{
	s->flags |= TAKO__CLIENT_H2S_CLOSED;
	if (!s->f)
		tako__client_h2_release(s);
	else if (!(s->flags & TAKO__CLIENT_H2S_ENDED) &&
	         (code == NGHTTP2_REFUSED_STREAM || !(s->flags & TAKO__CLIENT_H2S_LEFT)))
		refused(s);
	else if (!(s->flags & TAKO__CLIENT_H2S_ENDED))
		broken_off(s, code);
	else if (is_told(s))
		complete(s);
}

/* ---- Telling ------------------------------------------------------------------------------ */

/* What one of the fetch's functions has returned, if that is still there. */
static void judge(struct tako__client_h2_stream *s, const struct tako_fetch *f, int rc)
{
	if (s->f == f && rc < 0)
		tako__client_h2_fail(s, rc, NULL);
}

static void tell_trailers(struct tako__client_h2_stream *s, const struct tako__client_h2_head *head,
                          const char *text, size_t n)
{
	struct tako_fetch *f = s->f;
	struct tako__h1_trailers t = {.fields = f->pool->scratch};

	tako__client_h2_views(t.fields, head->field_count, text);
	for (uint32_t i = 0; i < head->field_count; i++) {
		if (!tako__h1_is_forbidden_trailer(&t.fields[i]))
			t.fields[t.field_count++] = t.fields[i];
	}
	judge(s, f, tako__fetch_trailers(f, &t, text, n));
}

static void tell_head(struct tako__client_h2_stream *s, const struct tako__client_h2_head *head,
                      const char *text, size_t n)
{
	struct tako_fetch *f = s->f;
	bool bodiless = s->flags & TAKO__CLIENT_H2S_BODILESS;

	f->reply = (struct tako__reply){
		.length = head->length,
		.field_count = head->field_count,
		.status = head->status,
		.minor = TAKO__FETCH_MINOR_H2,
		.framing = bodiless                     ? TAKO__REPLY_NO_BODY
	                   : head->length == TAKO_OFF64 ? TAKO__REPLY_TO_END
	                                                : TAKO__REPLY_LENGTH,
		.fields = f->pool->scratch,
	};
	tako__client_h2_views(f->reply.fields, head->field_count, text);
	judge(s, f, tako__fetch_head(f, text, n));
}

static void tell_data(struct tako__client_h2_stream *s, const char *p, size_t n)
{
	struct tako_fetch *f = s->f;

	(void)nghttp2_session_consume_stream(s->h->session, s->id, n);
	judge(s, f, tako__fetch_data(f, (tako_str){p, n}));
}

/* ---- Holding -------------------------------------------------------------------------------- */

enum kind { HEAD, DATA };

struct record {
	uint32_t n; /* bytes that follow */
	uint32_t kind;
};

static bool hold(struct tako__client_h2_stream *s, const char *p, size_t n)
{
	if (tako__client_buf_add(&s->held, p, n) == 0)
		return true;
	tako__client_h2_fail(s, TAKO_ENOMEM, NULL);
	return false;
}

static bool begin_record(struct tako__client_h2_stream *s, enum kind kind, size_t n)
{
	const struct record r = {(uint32_t)n, kind};

	s->held_at = s->held.n;
	return hold(s, (const char *)&r, sizeof r);
}

/* Small frames make one record: what is held is what the window allows, and not many times that. */
static void hold_data(struct tako__client_h2_stream *s, const char *p, size_t n)
{
	struct record r = {0, HEAD};

	if (s->held.n)
		memcpy(&r, s->held.p + s->held_at, sizeof r);
	if (r.kind != DATA) {
		if (begin_record(s, DATA, n))
			hold(s, p, n);
		return;
	}
	r.n += (uint32_t)n;
	if (!hold(s, p, n))
		return;
	memcpy(s->held.p + s->held_at, &r, sizeof r);
}

static void hold_head(struct tako__client_h2_stream *s, const struct tako__client_h2_head *head,
                      const struct tako__client_buf *text)
{
	s->held_head += sizeof(struct record) + sizeof *head + text->n;
	/* The response's, and some interim ones before it. */
	if (s->held_head > 2 * (size_t)s->f->client->cfg.max_header_bytes) {
		tako__client_h2_fail(s, TAKO_ETOOBIG, "too many interim responses during a pause");
		return;
	}
	if (begin_record(s, HEAD, sizeof *head + text->n) &&
	    hold(s, (const char *)head, sizeof *head) && text->n)
		hold(s, text->p, text->n);
}

static void tell_record(struct tako__client_h2_stream *s, const struct record *r, const char *p)
{
	struct tako__client_h2_head head;

	if (r->kind == DATA) {
		tell_data(s, p, r->n);
		return;
	}
	memcpy(&head, p, sizeof head);
	p += sizeof head;
	if (head.trailers)
		tell_trailers(s, &head, p, r->n - sizeof head);
	else
		tell_head(s, &head, p, r->n - sizeof head);
}

/* From `at` on it is to be told later. */
static void hold_rest(struct tako__client_h2_stream *s, struct tako__client_buf *was, size_t at)
{
	struct record r;

	was->n -= at;
	memmove(was->p, was->p + at, was->n);
	s->held = *was;
	for (size_t next = 0; next < was->n; next += sizeof r + r.n) {
		s->held_at = next;
		memcpy(&r, was->p + next, sizeof r);
	}
}

void tako__client_h2_go_on(struct tako__client_h2_stream *s)
{
	struct tako_fetch *f = s->f;
	struct tako__client_buf held = s->held;
	size_t at = 0;

	/* Whoever is told may let go of it, and what it is told stays for so long. */
	s->held = (struct tako__client_buf){NULL, 0, 0};
	while (at < held.n && s->f == f && !f->paused) {
		struct record r;

		memcpy(&r, held.p + at, sizeof r);
		tell_record(s, &r, held.p + at + sizeof r);
		at += sizeof r + r.n;
	}
	if (s->f == f && at < held.n) {
		hold_rest(s, &held, at);
		return;
	}
	tako__client_buf_free(&held);
	if (s->f != f)
		return;
	s->held_head = 0;
	if ((s->flags & TAKO__CLIENT_H2S_CLOSED) && (s->flags & TAKO__CLIENT_H2S_ENDED) &&
	    is_told(s))
		complete(s);
}

/* ---- What comes --------------------------------------------------------------------------------- */

static bool is_bodiless(const struct tako_fetch *f, unsigned status)
{
	return f->method == TAKO__HEAD || status == 204 || status == 304;
}

/* NULL: it may be where it is (RFC 9113 section 8.1). */
static const char *out_of_place(const struct tako__client_h2_head *head)
{
	if (head->trailers && !head->end)
		return "fields behind the head that do not end the stream";
	if (!head->trailers && head->status < 200 && head->end)
		return "an interim response that ends the stream";
	return NULL;
}

static void note_final(struct tako__client_h2_stream *s, const struct tako__client_h2_head *head)
{
	if (head->trailers || head->status < 200)
		return;
	s->flags |= TAKO__CLIENT_H2S_FINAL;
	s->length = head->length;
	if (is_bodiless(s->f, head->status))
		s->flags |= TAKO__CLIENT_H2S_BODILESS;
}

void tako__client_h2_head(struct tako__client_h2_stream *s, bool end)
{
	struct tako__client_h2_block *b = &s->h->block;
	struct tako_fetch *f = s->f;
	int rc = tako__client_h2_block_end(b);
	const char *why;

	b->head.end = end;
	why = rc < 0 ? b->why : out_of_place(&b->head);
	if (rc < 0 || why) {
		tako__client_h2_fail(s, rc < 0 ? rc : TAKO_EPROTO, why);
		return;
	}
	note_final(s, &b->head);
	if (!is_told(s))
		hold_head(s, &b->head, &b->text);
	else if (b->head.trailers)
		tell_trailers(s, &b->head, b->text.n ? b->text.p : "", b->text.n);
	else
		tell_head(s, &b->head, b->text.n ? b->text.p : "", b->text.n);
	if (s->f != f)
		return;
	if (end)
		tako__client_h2_end(s);
	tako__client_h2_watch(s);
}

/* NULL: it may be (RFC 9113 section 8.1.1). */
static const char *too_much(const struct tako__client_h2_stream *s)
{
	if (!(s->flags & TAKO__CLIENT_H2S_FINAL))
		return "DATA before the head";
	if (s->flags & TAKO__CLIENT_H2S_BODILESS)
		return "DATA of a response that has none";
	return s->body_bytes > s->length ? "more than its Content-Length" : NULL;
}

void tako__client_h2_data(struct tako__client_h2_stream *s, const char *p, size_t n)
{
	const char *why;

	s->f->heard = true;
	s->base_ns = s->h->heard_ns;
	s->body_bytes += n;
	why = too_much(s);
	if (why)
		tako__client_h2_fail(s, TAKO_EPROTO, why);
	else if (is_told(s))
		tell_data(s, p, n);
	else
		hold_data(s, p, n);
}

void tako__client_h2_end(struct tako__client_h2_stream *s)
{
	const char *why = NULL;

	if (!(s->flags & TAKO__CLIENT_H2S_FINAL))
		why = "an end without a response";
	else if (!(s->flags & TAKO__CLIENT_H2S_BODILESS) && s->length != TAKO_OFF64 &&
	         s->body_bytes != s->length)
		why = "less than its Content-Length";
	if (why) {
		tako__client_h2_fail(s, TAKO_EPROTO, why);
		return;
	}
	s->flags |= TAKO__CLIENT_H2S_ENDED;
	/* Nobody wants the rest of the request. */
	if (!(s->flags & TAKO__CLIENT_H2S_SENT))
		tako__client_h2_reset(s, NGHTTP2_CANCEL);
}

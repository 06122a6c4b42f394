/* SPDX-License-Identifier: MIT
 *
 * Streams: from a request's first byte to the moment that both the transport and the exchange have
 * let go of it.
 */
#include "core/method.h"
#include "transports/h3/h3.h"
#include "transports/wt/wt_h3.h"

static uint64_t now(const struct tako__h3_stream *s)
{
	return tako__h3_now(s->h);
}

/* ---- Life --------------------------------------------------------------------------------- */

struct tako__h3_stream *tako__h3_stream_new(struct tako__h3 *h, int64_t id)
{
	struct tako__h3_stream *s = tako__pool_get(&h->local->streams);

	if (!s)
		return NULL;
	tako__clear(s, offsetof(struct tako__h3_stream, out));
	s->h = h;
	s->id = id;
	s->priority = tako__priority_parse((tako_str){"", 0});
	s->body_ns = now(s);
	tako__h3_stash_init(&s->raw);
	tako__h3_stash_init(&s->body);
	tako__list_init(&s->ready);
	tako__h3_queue_init(&s->out);
	tako__list_push_back(&h->streams, &s->link);
	h->stream_count++;
	return s;
}

int tako__h3_stream_begin(struct tako__h3_stream *s)
{
	struct tako__exchange *x = tako__exchange_new(s->h->c);

	if (!x)
		return TAKO_ENOMEM;
	s->x = x;
	x->stream = s;
	x->version = 30;
	x->method_id = TAKO__METHOD_OTHER;
	s->h->c->request_count++;
	return 0;
}

static void unlist(struct tako__h3_stream *s)
{
	struct tako__h3_stream **lists[] = {&s->h->later, &s->h->looking};

	if (!(s->flags & TAKO__H3S_LATER))
		return;
	for (size_t i = 0; i < TAKO__COUNT(lists); i++) {
		struct tako__h3_stream **at = lists[i];

		while (*at && *at != s)
			at = &(*at)->later_next;
		if (*at)
			*at = s->later_next;
	}
	s->flags &= ~TAKO__H3S_LATER;
}

void tako__h3_stream_free(struct tako__h3_stream *s)
{
	tako__h3_read_free(s);
	tako__h3_body_drop(s);
	unlist(s);
	tako__list_remove(&s->ready);
	tako__list_remove(&s->link);
	tako__pool_put(&s->h->local->streams, s);
}

void tako__h3_stream_later(struct tako__h3_stream *s)
{
	if (s->flags & TAKO__H3S_LATER)
		return;
	s->flags |= TAKO__H3S_LATER;
	s->later_next = s->h->later;
	s->h->later = s;
	tako__quic_wake(s->h->c);
}

/* STOP_SENDING, once. */
static void stop_reading(struct tako__h3_stream *s, uint64_t code)
{
	if (s->flags & (TAKO__H3S_RECEIVED | TAKO__H3S_STOPPED | TAKO__H3S_CLOSED))
		return;
	s->flags |= TAKO__H3S_STOPPED | TAKO__H3S_DISCARD;
	s->since_ns = now(s);
	if (tako__quic_stop(s->h->c, s->id, code) == 0 && tako__h3_read_abandon(s) < 0)
		(void)tako__h3_fail(s->h, NGHTTP3_H3_EXCESSIVE_LOAD, "too many requests given up");
}

/* What is queued is dropped when nobody is inside it. */
static void stop_writing(struct tako__h3_stream *s)
{
	s->flags |= TAKO__H3S_CUT;
	s->since_ns = now(s);
	tako__list_remove(&s->ready);
	tako__h3_stream_later(s);
}

void tako__h3_stream_cut(struct tako__h3_stream *s, uint64_t code)
{
	if (s->flags & (TAKO__H3S_CUT | TAKO__H3S_CLOSED))
		return;
	stop_reading(s, code);
	stop_writing(s);
	(void)tako__quic_reset(s->h->c, s->id, code);
}

/* What an unfinished one waits for will not come: it is told, and may be over with that. */
static void lose(struct tako__h3_stream *s)
{
	struct tako__exchange *x = s->x;

	if (!x || (s->flags & TAKO__H3S_LOST))
		return;
	s->flags |= TAKO__H3S_LOST;
	if (x->flags & TAKO__X_ENDED)
		x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__exchange_reset(x, TAKO_ECLOSED);
}

/* The request's body is over, and that is no error: the answer did not need it. */
static void let_go(struct tako__h3_stream *s)
{
	tako__h3_body_drop(s);
	if (!s->x)
		return;
	s->x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__exchange_check(s->x);
}

/* Reading is over.  Who has been answered still gets all of the answer. */
static bool stays(struct tako__h3_stream *s)
{
	bool answered = s->flags & (TAKO__H3S_ENDED | TAKO__H3S_CUT);

	s->flags |= TAKO__H3S_RECEIVED | TAKO__H3S_DISCARD;
	s->since_ns = now(s);
	if (tako__h3_read_abandon(s) < 0)
		(void)tako__h3_fail(s->h, NGHTTP3_H3_EXCESSIVE_LOAD, "too many requests given up");
	if (answered)
		let_go(s);
	return answered;
}

void tako__h3_stream_broken(struct tako__h3_stream *s, bool ours)
{
	s->flags |= TAKO__H3S_RESET;
	if (!ours && stays(s))
		return;
	tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_CANCELLED);
	lose(s);
}

/* Many of them that the peer, or what it did, has ended: each had cost us a request. */
static void count_close(struct tako__h3_stream *s, bool has_code)
{
	if (!has_code && !(s->flags & (TAKO__H3S_RESET | TAKO__H3S_CUT)))
		tako__h2_bucket_earn(&s->h->control_bucket, 3);
	else if (!(s->flags & TAKO__H3S_OURS) && !(s->flags & TAKO__H3S_FINAL))
		tako__h3_count_reset(s->h);
}

bool tako__h3_stream_closed(struct tako__h3_stream *s, bool has_code)
{
	struct tako__h3 *h = s->h;

	count_close(s, has_code);
	tako__wt_request_over(s);
	s->flags |= TAKO__H3S_CLOSED;
	if (--h->stream_count == 0)
		h->idle_ns = now(s);
	tako__list_remove(&s->ready);
	if (s->flags & TAKO__H3S_COLD)
		h->cold_count--;
	s->flags &= ~(TAKO__H3S_COLD | TAKO__H3S_BLOCKED);
	tako__h3_read_free(s);
	tako__h3_body_drop(s);
	tako__list_remove(&s->link);
	tako__list_push_back(&h->closed, &s->link);
	tako__h3_queue_drop(&s->out);
	if (s->flags & TAKO__H3S_FINAL)
		let_go(s);
	else
		lose(s);
	if (!s->x) {
		tako__h3_stream_free(s);
		tako__h3_check_end(h);
		return true;
	}
	/* Somebody holds the exchange: what the peer has given up does not make room for more. */
	s->flags |= TAKO__H3S_OWED;
	return false;
}

void tako__h3_done(struct tako__exchange *x)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	struct tako__h3 *h = s->h;

	s->x = NULL;
	/* Its arena goes, and what is being received for it went there. */
	if (s->section)
		s->section->skip = true;
	if (!(s->flags & TAKO__H3S_CLOSED)) {
		tako__h3_stream_later(s);
		return;
	}
	/* Else it is inside tako__h3_stream_closed(), which looks after it. */
	if (!(s->flags & TAKO__H3S_OWED))
		return;
	tako__quic_streams_more(h->c, false, 1);
	tako__h3_stream_free(s);
	tako__h3_check_end(h);
}

/* The response has ended and its exchange waits for somebody: the stream ends without it. */
void tako__h3_leave(struct tako__exchange *x)
{
	x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__h3_stream_of(x)->flags |= TAKO__H3S_DISCARD;
	tako__h3_stream_later(tako__h3_stream_of(x));
}

static uint64_t code_of(int err)
{
	switch (err) {
	case TAKO_EPROTO:
		return NGHTTP3_H3_MESSAGE_ERROR;
	case TAKO_ETIMEDOUT:
		return NGHTTP3_H3_REQUEST_CANCELLED;
	default:
		return NGHTTP3_H3_INTERNAL_ERROR;
	}
}

void tako__h3_stop(struct tako__exchange *x, int err)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);

	if (err != TAKO_EPROTO)
		s->flags |= TAKO__H3S_OURS;
	/* What a reset is to TCP (RFC 9220 section 3). */
	if ((x->flags & TAKO__X_TAKEN) && err != TAKO_EPROTO)
		tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_CANCELLED);
	else
		tako__h3_stream_cut(s, code_of(err));
}

/* ---- Requests ------------------------------------------------------------------------ */

void tako__h3_stream_malformed(struct tako__h3_stream *s)
{
	tako__h3_stream_cut(s, NGHTTP3_H3_MESSAGE_ERROR);
	if (s->x)
		tako__exchange_break(s->x, 0, TAKO_EPROTO);
}

static void take_head(struct tako__exchange *x, struct tako__h2_head *head)
{
	x->method = head->method;
	x->method_id = head->method_id;
	x->target = head->target;
	x->raw_path = head->path;
	x->query = head->query;
	x->host = head->authority;
	x->path_flags = head->path_flags;
	x->fields = head->fields;
	x->field_count = head->field_count;
	if (TAKO__UNLIKELY(head->switching)) {
		x->upgrade = head->protocol;
		x->flags |= TAKO__X_SWITCHING;
	}
}

static bool take_framing(struct tako__h3_stream *s, const struct tako__h2_head *head, bool end)
{
	struct tako__exchange *x = s->x;

	if (end) {
		s->flags |= TAKO__H3S_RECEIVED;
		x->flags |= TAKO__X_BODY_DONE;
		return !head->content_length;
	}
	if (TAKO__UNLIKELY(head->switching)) {
		x->flags |= TAKO__X_BODY_DONE;
		return true;
	}
	x->content_length = TAKO_OFF64;
	if (head->has_length) {
		s->flags |= TAKO__H3S_HAS_LENGTH;
		s->length = head->content_length;
		x->content_length = head->content_length;
	}
	if (head->expects)
		x->flags |= TAKO__X_EXPECTS;
	s->body_ns = now(s);
	s->since_ns = s->body_ns;
	return true;
}

void tako__h3_stream_request(struct tako__h3_stream *s, struct tako__h2_head *head, bool end)
{
	int status = tako__h2_head_end(head);
	struct tako__exchange *x = s->x;

	take_head(x, head);
	if (!take_framing(s, head, end))
		status = TAKO__H2_MALFORMED;
	if (TAKO__UNLIKELY(head->priority.p != NULL) && !s->updated)
		s->priority = tako__priority_parse(head->priority);
	if (TAKO__UNLIKELY(status == 0 && tako__wt_asked(head))) {
		tako__wt_request(s, head);
		return;
	}
	if (TAKO__LIKELY(status == 0)) {
		tako__exchange_run(x);
		return;
	}
	if (status == TAKO__H2_MALFORMED) {
		tako__h3_stream_malformed(s);
		return;
	}
	s->flags |= TAKO__H3S_DISCARD;
	if (x->method_id == TAKO__HEAD)
		x->flags |= TAKO__X_HEAD_ONLY;
	tako__exchange_refuse(x, status);
}

void tako__h3_stream_trailers(struct tako__h3_stream *s, struct tako__h2_head *head)
{
	int status = tako__h2_head_end(head);

	if (status == TAKO__H2_MALFORMED) {
		tako__h3_stream_malformed(s);
		return;
	}
	/* Too many, or without memory for them, they are as if not sent, which a sender must expect
	 * anyway (RFC 9110 section 6.5). */
	if (status == 0) {
		s->x->trailers = head->fields;
		s->x->trailer_count = head->field_count;
	}
}

/* ---- Afterwards ---------------------------------------------------------------------------- */

/* Answered before the request was complete, and the whole answer has left. */
static void end_early(struct tako__h3_stream *s)
{
	const struct tako__exchange *x = s->x;

	if (!(s->flags & TAKO__H3S_FINAL) || (s->flags & (TAKO__H3S_RECEIVED | TAKO__H3S_CUT)))
		return;
	/* Somebody holds the exchange and reads on. */
	if (x && !(x->flags & (TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED)))
		return;
	stop_reading(s, NGHTTP3_H3_NO_ERROR);
}

void tako__h3_stream_look(struct tako__h3_stream *s)
{
	if (s->flags & TAKO__H3S_CLOSED)
		return;
	if (s->flags & TAKO__H3S_CUT)
		tako__h3_queue_drop(&s->out);
	if (s->flags & TAKO__H3S_SHRUNK) {
		s->flags &= ~TAKO__H3S_SHRUNK;
		if (s->x)
			tako__exchange_writable(s->x);
	}
	if (!(s->flags & (TAKO__H3S_CUT | TAKO__H3S_DISCARD)))
		tako__h3_body_deliver(s);
	end_early(s);
}

bool tako__h3_stream_parts(const struct tako__h3_stream *s)
{
	return (s->flags & TAKO__H3S_SESSION) && !s->x &&
	       (s->flags & (TAKO__H3S_FINAL | TAKO__H3S_CUT)) &&
	       (s->flags & (TAKO__H3S_RECEIVED | TAKO__H3S_STOPPED));
}

static void time_out(struct tako__h3_stream *s)
{
	tako__add(&s->h->c->worker->stats.timeouts, 1);
	s->flags |= TAKO__H3S_OURS;
}

static bool body_too_slow(const struct tako__h3_stream *s, uint64_t now_ns)
{
	const tako_server_config *cfg = tako__h3_config(s->h);

	return now_ns - s->since_ns >= tako__ms_ns(cfg->body_timeout_ms) ||
	       tako__below_rate(cfg, s->received_bytes, now_ns - s->body_ns);
}

/* The peer's windows, not the others' turn, keep our bytes here. */
static bool is_stalled(const struct tako__h3_stream *s)
{
	if (!s->out.unsent_bytes || (s->flags & TAKO__H3S_COLD))
		return false;
	return (s->flags & TAKO__H3S_BLOCKED) || s->h->wrote_bytes == s->h->ticked_bytes;
}

static bool write_too_slow(struct tako__h3_stream *s, uint64_t now_ns)
{
	if (!is_stalled(s)) {
		s->flags &= ~TAKO__H3S_STALLED;
		return false;
	}
	if (!(s->flags & TAKO__H3S_STALLED)) {
		s->flags |= TAKO__H3S_STALLED;
		tako__stall_begin(&s->stall, s->sent_bytes, now_ns);
		return false;
	}
	return tako__stall_too_long(&s->stall, tako__h3_config(s->h), s->sent_bytes, now_ns);
}

/* Of the head, or what there is of it. */
static bool head_too_slow(const struct tako__h3_stream *s, uint64_t now_ns)
{
	return (s->part == TAKO__H3_BEFORE || (s->flags & TAKO__H3S_WAITS)) &&
	       now_ns - s->body_ns >= tako__ms_ns(tako__h3_config(s->h)->header_timeout_ms);
}

/* It was told to end its half, which it must (RFC 9000 section 3.5), and without which a connection is
 * never idle and a drain never over. */
static bool end_too_slow(const struct tako__h3_stream *s, uint64_t now_ns)
{
	return (s->flags & (TAKO__H3S_STOPPED | TAKO__H3S_RECEIVED)) == TAKO__H3S_STOPPED &&
	       now_ns - s->since_ns >= tako__ms_ns(tako__h3_config(s->h)->body_timeout_ms);
}

/* Both halves are complete, and all that is to come is that the peer has ours.  What it does not acknowledge is
 * kept for it, and its connection with that. */
static bool acks_too_slow(const struct tako__h3_stream *s, uint64_t now_ns)
{
	return (s->flags & TAKO__H3S_RECEIVED) && (s->flags & (TAKO__H3S_FINAL | TAKO__H3S_CUT)) &&
	       now_ns - s->since_ns >= tako__ms_ns(tako__h3_config(s->h)->write_timeout_ms);
}

void tako__h3_stream_check(struct tako__h3_stream *s, uint64_t now_ns)
{
	struct tako__exchange *x = s->x;

	if (acks_too_slow(s, now_ns)) {
		time_out(s);
		(void)tako__h3_fail(s->h, NGHTTP3_H3_EXCESSIVE_LOAD,
		                    "an answer is not acknowledged");
		return;
	}
	if (end_too_slow(s, now_ns)) {
		time_out(s);
		(void)tako__h3_fail(s->h, NGHTTP3_H3_EXCESSIVE_LOAD, "a request without an end");
		return;
	}
	if (s->flags & (TAKO__H3S_CUT | TAKO__H3S_CLOSED))
		return;
	if (head_too_slow(s, now_ns) || write_too_slow(s, now_ns)) {
		time_out(s);
		tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_CANCELLED);
		if (x)
			tako__exchange_break(x, 0, TAKO_ETIMEDOUT);
		return;
	}
	if (!x || (x->flags & (TAKO__X_BODY_DONE | TAKO__X_TAKEN | TAKO__X_LASTING)) ||
	    (s->flags & TAKO__H3S_RECEIVED) || !tako__h3_body_taken(s) || !body_too_slow(s, now_ns))
		return;
	time_out(s);
	s->flags |= TAKO__H3S_DISCARD;
	tako__exchange_break(x, 408, TAKO_ETIMEDOUT);
}

/* SPDX-License-Identifier: MIT
 *
 * Streams: from a request's first field to the moment that both the library and the exchange have
 * let go of it.  Bodies reach their reader when it takes them; the peer's windows open again
 * by as much as was taken, never by what waits.
 */
#include "core/method.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/h2/h2.h"

static const tako_server_config *config(const struct tako__h2_stream *s)
{
	return &s->h->c->worker->srv->cfg;
}

static uint64_t now(const struct tako__h2_stream *s)
{
	return tako__now_ns(s->h->c->worker);
}

/* ---- Life --------------------------------------------------------------------------- */

struct tako__h2_stream *tako__h2_stream_new(struct tako__h2 *h, int32_t id)
{
	struct tako__h2_stream *s = tako__pool_get(&h->local->streams);
	struct tako__exchange *x = s ? tako__exchange_new(h->c) : NULL;

	if (!x) {
		tako__pool_put(&h->local->streams, s);
		return NULL;
	}
	tako__clear(s, offsetof(struct tako__h2_stream, inline_op));
	s->h = h;
	s->x = x;
	s->id = id;
	s->stash_tail = &s->stash;
	x->stream = s;
	x->version = 20;
	x->method_id = TAKO__METHOD_OTHER;
	tako__list_push_back(&h->streams, &s->link);
	h->stream_count++;
	h->c->request_count++;
	return s;
}

static void free_stash(struct tako__h2_stream *s)
{
	struct tako__h2_stash *next;

	for (struct tako__h2_stash *b = s->stash; b; b = next) {
		next = b->next;
		tako__free(b, sizeof *b + b->cap);
	}
	s->stash = NULL;
	s->stash_tail = &s->stash;
}

static void consume(struct tako__h2_stream *s, size_t n)
{
	/* Of one that is closed, or will be, only the connection's window matters. */
	if (s->flags & (TAKO__H2S_CLOSED | TAKO__H2S_CUT | TAKO__H2S_DISCARD))
		(void)nghttp2_session_consume_connection(s->h->session, n);
	else
		(void)nghttp2_session_consume(s->h->session, s->id, n);
}

/* Nobody will take it: the windows are given back. */
static void drop_stash(struct tako__h2_stream *s)
{
	for (struct tako__h2_stash *b = s->stash; b; b = b->next)
		consume(s, b->n);
	free_stash(s);
}

static void unlist(struct tako__h2_stream *s)
{
	struct tako__h2_stream **lists[] = {&s->h->later, &s->h->looking};

	if (!(s->flags & TAKO__H2S_LATER))
		return;
	for (size_t i = 0; i < TAKO__COUNT(lists); i++) {
		struct tako__h2_stream **at = lists[i];

		while (*at && *at != s)
			at = &(*at)->later_next;
		if (*at)
			*at = s->later_next;
	}
	s->flags &= ~TAKO__H2S_LATER;
}

void tako__h2_stream_free(struct tako__h2_stream *s)
{
	tako__h2_queue_drop(s);
	free_stash(s);
	unlist(s);
	tako__list_remove(&s->link);
	if (s->trailers)
		tako__free(s->trailers, s->trailers->bytes);
	tako__pool_put(&s->h->local->streams, s);
}

void tako__h2_stream_later(struct tako__h2_stream *s)
{
	if (s->flags & TAKO__H2S_LATER)
		return;
	s->flags |= TAKO__H2S_LATER;
	s->later_next = s->h->later;
	s->h->later = s;
	tako__conn_touch(s->h->c);
}

void tako__h2_stream_reset(struct tako__h2_stream *s, uint32_t code)
{
	if (s->flags & (TAKO__H2S_CUT | TAKO__H2S_CLOSED))
		return;
	s->flags |= TAKO__H2S_CUT;
	if (nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
		tako__h2_terminate(s->h, NGHTTP2_INTERNAL_ERROR, "out of memory");
	tako__conn_touch(s->h->c);
}

/* The peer, or what it did, has ended many of them: each had cost us a request. */
static void count_close(struct tako__h2_stream *s, uint32_t code)
{
	struct tako__h2 *h = s->h;

	if (code == NGHTTP2_NO_ERROR && !(s->flags & TAKO__H2S_RESET))
		tako__h2_bucket_earn(&h->limits.control, 3);
	else if (!(s->flags & TAKO__H2S_OURS) && !tako__h2_bucket_take(&h->limits.resets, now(s)))
		h->why = "too many streams were reset";
}

/* Its exchange goes on without it: a deferral, a job, or bytes on their way hold it. */
static void keep_closed(struct tako__h2_stream *s, bool reset)
{
	struct tako__h2 *h = s->h;

	tako__list_remove(&s->link);
	tako__list_push_back(&h->closed, &s->link);
	s->flags |= TAKO__H2S_KEPT;
	/* Its time has passed, by the peer's deadline or ours: as good as given up. */
	if (!reset && !(s->x->flags & TAKO__X_TIMED_OUT))
		return;
	s->flags |= TAKO__H2S_COUNTED;
	if (++h->reset_count > config(s)->h2_max_pending_reset_count && reset)
		h->why = "too many requests were reset while they were answered";
}

void tako__h2_stream_closed(struct tako__h2_stream *s, uint32_t code)
{
	struct tako__h2 *h = s->h;
	/* A reset by the peer is one, though it says that there is no error. */
	bool reset = (code != NGHTTP2_NO_ERROR || (s->flags & TAKO__H2S_RESET)) &&
	             !(s->flags & TAKO__H2S_OURS);

	count_close(s, code);
	s->flags |= TAKO__H2S_CLOSED;
	if (s->flags & TAKO__H2S_ANSWERED)
		h->unsaid_count--;
	if (h->current == s)
		h->current = NULL;
	if (--h->stream_count == 0)
		h->idle_ns = now(s);
	tako__h2_queue_drop(s);
	drop_stash(s);
	if (s->x && (s->x->flags & TAKO__X_ENDED))
		s->x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	/* What an unfinished one waits for will not come; it is told, and may be over with that. */
	if (s->x && (reset || !(s->x->flags & TAKO__X_ENDED)))
		tako__exchange_reset(s->x, TAKO_ECLOSED);
	if (s->x)
		keep_closed(s, reset);
	else
		tako__h2_stream_free(s);
}

void tako__h2_done(struct tako__exchange *x)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);
	struct tako__h2 *h = s->h;

	s->x = NULL;
	/* Its arena goes, and what is being received for it went there. */
	if (h->current == s)
		h->current = NULL;
	if (s->flags & TAKO__H2S_COUNTED)
		h->reset_count--;
	if (s->flags & TAKO__H2S_KEPT)
		tako__h2_stream_free(s);
	else if ((s->flags & (TAKO__H2S_FINAL | TAKO__H2S_RECEIVED)) == TAKO__H2S_FINAL)
		tako__h2_stream_later(s);
}

/* The response has ended and its exchange waits for somebody: the stream ends without it. */
void tako__h2_leave(struct tako__exchange *x)
{
	x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	tako__h2_stream_of(x)->flags |= TAKO__H2S_DISCARD;
	tako__h2_stream_later(tako__h2_stream_of(x));
}

static uint32_t code_of(int err)
{
	switch (err) {
	case TAKO_EPROTO:
		return NGHTTP2_PROTOCOL_ERROR;
	case TAKO_ETIMEDOUT:
		return NGHTTP2_CANCEL;
	default:
		return NGHTTP2_INTERNAL_ERROR;
	}
}

void tako__h2_stop(struct tako__exchange *x, int err)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);

	if (err != TAKO_EPROTO)
		s->flags |= TAKO__H2S_OURS;
	/* What a reset is to TCP (RFC 8441 section 5). */
	if ((x->flags & TAKO__X_TAKEN) && err != TAKO_EPROTO)
		tako__h2_stream_reset(s, NGHTTP2_CANCEL);
	else
		tako__h2_stream_reset(s, code_of(err));
}

/* ---- Requests ------------------------------------------------------------------------ */

/* RFC 9113 section 8.1.1: the peer's fault, told by the stream's error and in the log. */
static void malformed(struct tako__h2_stream *s)
{
	tako__h2_stream_reset(s, NGHTTP2_PROTOCOL_ERROR);
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

/* An order for the library's scheduler (RFC 9218 section 5).  A frame that came first outweighs the
 * field that the request brings (section 7). */
static void prioritise(struct tako__h2_stream *s, tako_str value)
{
	const struct tako__priority *said = tako__h2_updated(s->h, s->id);
	struct tako__priority p = said ? *said : tako__priority_parse(value);
	nghttp2_extpri pri = {.urgency = p.urgency, .inc = p.incremental};

	(void)nghttp2_session_change_extpri_stream_priority(s->h->session, s->id, &pri, 0);
}

static bool take_framing(struct tako__h2_stream *s, const struct tako__h2_head *head, bool end)
{
	struct tako__exchange *x = s->x;

	if (end) {
		s->flags |= TAKO__H2S_RECEIVED;
		x->flags |= TAKO__X_BODY_DONE;
		return !head->content_length;
	}
	if (TAKO__UNLIKELY(head->switching)) {
		x->flags |= TAKO__X_BODY_DONE;
		return true;
	}
	x->content_length = TAKO_OFF64;
	if (head->has_length) {
		s->flags |= TAKO__H2S_HAS_LENGTH;
		s->length = head->content_length;
		x->content_length = head->content_length;
	}
	if (head->expects)
		x->flags |= TAKO__X_EXPECTS;
	s->body_ns = now(s);
	s->since_ns = s->body_ns;
	return true;
}

void tako__h2_stream_request(struct tako__h2_stream *s, bool end)
{
	struct tako__h2_head *head = &s->h->head;
	int status = tako__h2_head_end(head);
	struct tako__exchange *x = s->x;

	take_head(x, head);
	if (!take_framing(s, head, end))
		status = TAKO__H2_MALFORMED;
	if (TAKO__UNLIKELY(head->priority.p || s->h->updated_count))
		prioritise(s, head->priority);
	if (TAKO__LIKELY(status == 0)) {
		if (end) {
			tako__exchange_run(x);
			return;
		}
		s->flags |= TAKO__H2S_HEAD;
		tako__exchange_run(x);
		s->flags &= ~TAKO__H2S_HEAD;
		tako__h2_stream_pause(s);
		return;
	}
	if (status == TAKO__H2_MALFORMED) {
		malformed(s);
		return;
	}
	s->flags |= TAKO__H2S_DISCARD;
	if (x->method_id == TAKO__HEAD)
		x->flags |= TAKO__X_HEAD_ONLY;
	tako__exchange_refuse(x, status);
}

void tako__h2_stream_trailers(struct tako__h2_stream *s, bool end)
{
	struct tako__h2_head *head = &s->h->head;
	struct tako__exchange *x = s->x;
	int status = tako__h2_head_end(head);

	if (s->flags & (TAKO__H2S_CUT | TAKO__H2S_CLOSED))
		return;
	/* Nothing may come after them (RFC 9113 section 8.1), nor they in a tunnel (section 8.5). */
	if (!end || status == TAKO__H2_MALFORMED || (x && (x->flags & TAKO__X_SWITCHING))) {
		malformed(s);
		return;
	}
	if (!x)
		return;
	/* Too many, or without memory for them, they are as if not sent, which a sender must expect
	 * anyway (RFC 9110 section 6.5). */
	if (status == 0) {
		x->trailers = head->fields;
		x->trailer_count = head->field_count;
	}
}

/* ---- Bodies ----------------------------------------------------------------------------- */

bool tako__h2_stream_takes(const struct tako__h2_stream *s)
{
	const struct tako__exchange *x = s->x;

	/* What comes behind an extended CONNECT is for who takes it. */
	if (x &&
	    TAKO__UNLIKELY((x->flags & (TAKO__X_SWITCHING | TAKO__X_TAKEN)) == TAKO__X_SWITCHING))
		return false;
	return x && tako__exchange_takes(x) &&
	       ((x->flags & TAKO__X_BODY_DROPPED) ||
	        s->queued_bytes <= config(s)->write_high_bytes);
}

/* Behind what is there, where there is room: a peer may send a byte a frame. */
static bool add_stash(struct tako__h2_stream *s, const char *p, size_t n)
{
	struct tako__h2_stash *b;
	size_t cap = n < TAKO__H2_STASH_BYTES ? TAKO__H2_STASH_BYTES : n;

	if (s->stash) {
		b = TAKO__CONTAINER(s->stash_tail, struct tako__h2_stash, next);
		if (n <= b->cap - b->n) {
			memcpy(b->data + b->n, p, n);
			b->n += n;
			return true;
		}
	}
	b = tako__alloc(sizeof *b + cap);
	if (!b)
		return false;
	memcpy(b->data, p, n);
	b->n = n;
	b->cap = cap;
	b->next = NULL;
	*s->stash_tail = b;
	s->stash_tail = &b->next;
	return true;
}

static bool length_exceeded(const struct tako__h2_stream *s)
{
	return (s->flags & TAKO__H2S_HAS_LENGTH) && s->received_bytes > s->length;
}

void tako__h2_stream_data(struct tako__h2_stream *s, const char *p, size_t n)
{
	s->received_bytes += n;
	s->since_ns = now(s);
	if (!s->x || (s->flags & (TAKO__H2S_CUT | TAKO__H2S_DISCARD))) {
		consume(s, n);
		return;
	}
	if (length_exceeded(s)) {
		consume(s, n);
		malformed(s);
		return;
	}
	/* No more: the client did not wait, or was told (RFC 9110 section 10.1.1). */
	s->x->flags &= ~TAKO__X_EXPECTS;
	if (!s->stash && tako__h2_stream_takes(s)) {
		tako__exchange_data(s->x, p, n, false);
		consume(s, n);
	} else if (!add_stash(s, p, n)) {
		s->flags |= TAKO__H2S_OURS;
		tako__h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		consume(s, n);
	}
	tako__h2_stream_pause(s);
}

/* What waited, as far as it is taken.  The exchange may be over after each piece. */
static void deliver(struct tako__h2_stream *s)
{
	while (s->stash && tako__h2_stream_takes(s)) {
		struct tako__h2_stash *b = s->stash;

		s->stash = b->next;
		if (!s->stash)
			s->stash_tail = &s->stash;
		s->since_ns = now(s);
		tako__exchange_data(s->x, b->data, b->n, false);
		consume(s, b->n);
		tako__free(b, sizeof *b + b->cap);
	}
	if (!s->stash && (s->flags & TAKO__H2S_RECEIVED) && tako__h2_stream_takes(s) &&
	    !(s->x->flags & TAKO__X_BODY_DONE))
		tako__exchange_data(s->x, NULL, 0, true);
}

void tako__h2_stream_end(struct tako__h2_stream *s)
{
	s->flags |= TAKO__H2S_RECEIVED;
	if (!s->x || (s->flags & (TAKO__H2S_CUT | TAKO__H2S_DISCARD)))
		return;
	if ((s->flags & TAKO__H2S_HAS_LENGTH) && s->received_bytes != s->length) {
		malformed(s);
		return;
	}
	deliver(s);
}

static void go_on(struct tako__h2_stream *s)
{
	struct tako__exchange *x = s->x;

	if (!(x->flags & TAKO__X_EXPECTS) || (x->flags & TAKO__X_HEAD_SENT))
		return;
	x->flags &= ~TAKO__X_EXPECTS;
	/* Without it clients send the body after a while. */
	(void)tako__h2_write_inform(x, 100);
}

void tako__h2_read_more(struct tako__exchange *x)
{
	struct tako__h2_stream *s = tako__h2_stream_of(x);

	if (x->flags & TAKO__X_BODY_DROPPED) {
		/* The peer is told to stop when it has the whole response (RFC 9113 section 8.1);
		 * what is under way is thrown away. */
		x->flags |= TAKO__X_BODY_DONE;
		drop_stash(s);
		s->flags |= TAKO__H2S_DISCARD;
		return;
	}
	if (s->flags & (TAKO__H2S_CLOSED | TAKO__H2S_CUT))
		return;
	s->since_ns = now(s);
	go_on(s);
	/* A body that its handler asks for at once, as most do: nothing has come of it to be handed on. */
	if (!(s->flags & TAKO__H2S_HEAD))
		tako__h2_stream_later(s);
}

/* ---- Afterwards ---------------------------------------------------------------------------- */

/* Answered before the request was complete, and the whole answer has left. */
static void end_early(struct tako__h2_stream *s)
{
	const struct tako__exchange *x = s->x;

	if (!(s->flags & TAKO__H2S_FINAL) || (s->flags & (TAKO__H2S_RECEIVED | TAKO__H2S_CUT)))
		return;
	/* Somebody holds the exchange and reads on. */
	if (x && !(x->flags & (TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED)))
		return;
	s->flags |= TAKO__H2S_OURS;
	tako__h2_stream_reset(s, NGHTTP2_NO_ERROR);
}

void tako__h2_stream_look(struct tako__h2_stream *s, bool sent)
{
	if (s->flags & TAKO__H2S_CLOSED)
		return;
	if (s->flags & TAKO__H2S_SHRUNK) {
		s->flags &= ~TAKO__H2S_SHRUNK;
		if (s->x)
			tako__exchange_writable(s->x);
	}
	deliver(s);
	if (!(s->flags & TAKO__H2S_RECEIVED))
		tako__h2_stream_pause(s);
	if (sent)
		end_early(s);
	else if (s->flags & TAKO__H2S_FINAL)
		tako__h2_stream_later(s);
}

/* SPDX-License-Identifier: MIT
 *
 * Requests' bodies: they reach their reader when it takes them, and wait till then; the peer's
 * windows open again by as much as was taken, never by what waits.
 */
#include "transports/h3/h3.h"

#include <assert.h>

/* ---- Received bytes that wait ------------------------------------------------------------ */

void tako__h3_stash_init(struct tako__h3_stashes *l)
{
	l->first = NULL;
	l->tail = &l->first;
}

bool tako__h3_stash_add(struct tako__h3_stashes *l, const char *p, size_t n)
{
	struct tako__h3_stash *b = l->first ? TAKO__CONTAINER(l->tail, struct tako__h3_stash, next)
	                                    : NULL;
	size_t cap = n < TAKO__H3_STASH_BYTES ? (size_t)TAKO__H3_STASH_BYTES : n;

	assert(l->tail);
	/* Behind what is there, where there is room: a peer may send a byte a frame. */
	if (!b || b->cap - b->n < n) {
		b = tako__alloc(sizeof *b + cap);
		if (!b)
			return false;
		b->next = NULL;
		b->from = 0;
		b->n = 0;
		b->cap = cap;
		*l->tail = b;
		l->tail = &b->next;
	}
	memcpy(b->data + b->n, p, n);
	b->n += n;
	return true;
}

struct tako__h3_stash *tako__h3_stash_pop(struct tako__h3_stashes *l)
{
	struct tako__h3_stash *b = l->first;

	if (!b)
		return NULL;
	l->first = b->next;
	if (!l->first)
		l->tail = &l->first;
	return b;
}

void tako__h3_stash_free(struct tako__h3_stash *b)
{
	tako__free(b, sizeof *b + b->cap);
}

/* Nobody will take it: the windows are given back. */
void tako__h3_body_drop(struct tako__h3_stream *s)
{
	struct tako__h3_stash *b;

	while ((b = tako__h3_stash_pop(&s->body))) {
		tako__quic_forgotten(s->h->c, b->n);
		tako__h3_stash_free(b);
	}
}

/* ---- Bodies ----------------------------------------------------------------------------- */

/* Its reader takes bytes now, and its writer, who may be the same, is not too far behind. */
bool tako__h3_body_taken(const struct tako__h3_stream *s)
{
	const struct tako__exchange *x = s->x;

	/* What comes behind an extended CONNECT is for who takes it. */
	if (x &&
	    TAKO__UNLIKELY((x->flags & (TAKO__X_SWITCHING | TAKO__X_TAKEN)) == TAKO__X_SWITCHING))
		return false;
	return x && tako__exchange_takes(x) &&
	       ((x->flags & TAKO__X_BODY_DROPPED) ||
	        s->out.unsent_bytes <= tako__h3_config(s->h)->write_high_bytes);
}

void tako__h3_stream_data(struct tako__h3_stream *s, const char *p, size_t n)
{
	struct tako__h3 *h = s->h;

	s->received_bytes += n;
	s->since_ns = tako__h3_now(s->h);
	if ((s->flags & TAKO__H3S_HAS_LENGTH) && s->received_bytes > s->length) {
		tako__quic_forgotten(h->c, n);
		tako__h3_stream_malformed(s);
		return;
	}
	if (!s->x || (s->flags & (TAKO__H3S_CUT | TAKO__H3S_DISCARD))) {
		tako__quic_consumed(h->c, s->id, n);
		return;
	}
	/* It comes without having waited (RFC 9110 section 10.1.1). */
	s->x->flags &= ~TAKO__X_EXPECTS;
	if (!s->body.first && tako__h3_body_taken(s)) {
		tako__exchange_data(s->x, p, n, false);
		tako__quic_consumed(h->c, s->id, n);
	} else if (!tako__h3_stash_add(&s->body, p, n)) {
		s->flags |= TAKO__H3S_OURS;
		tako__quic_forgotten(h->c, n);
		tako__h3_stream_cut(s, NGHTTP3_H3_INTERNAL_ERROR);
	}
}

/* What waited, as far as it is taken.  The exchange may be over after each piece. */
void tako__h3_body_deliver(struct tako__h3_stream *s)
{
	while (s->body.first && tako__h3_body_taken(s)) {
		struct tako__h3_stash *b = tako__h3_stash_pop(&s->body);

		s->since_ns = tako__h3_now(s->h);
		tako__exchange_data(s->x, b->data, b->n, false);
		tako__quic_consumed(s->h->c, s->id, b->n);
		tako__h3_stash_free(b);
	}
	if (!s->body.first && (s->flags & TAKO__H3S_RECEIVED) && tako__h3_body_taken(s) &&
	    !(s->x->flags & TAKO__X_BODY_DONE))
		tako__exchange_data(s->x, NULL, 0, true);
}

void tako__h3_stream_end(struct tako__h3_stream *s)
{
	s->flags |= TAKO__H3S_RECEIVED;
	s->since_ns = tako__h3_now(s->h);
	if (!s->x || (s->flags & (TAKO__H3S_CUT | TAKO__H3S_DISCARD)))
		return;
	if ((s->flags & TAKO__H3S_HAS_LENGTH) && s->received_bytes != s->length) {
		tako__h3_stream_malformed(s);
		return;
	}
	tako__h3_body_deliver(s);
}

static void go_on(struct tako__h3_stream *s)
{
	struct tako__exchange *x = s->x;

	if (!(x->flags & TAKO__X_EXPECTS) || (x->flags & TAKO__X_HEAD_SENT))
		return;
	x->flags &= ~TAKO__X_EXPECTS;
	/* Without it clients send the body after a while. */
	(void)tako__h3_write_inform(x, 100);
}

void tako__h3_read_more(struct tako__exchange *x)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);

	if (x->flags & TAKO__X_BODY_DROPPED) {
		/* The peer is told to stop when it has the whole response (RFC 9114 section 4.1);
		 * what is under way is thrown away. */
		x->flags |= TAKO__X_BODY_DONE;
		tako__h3_body_drop(s);
		s->flags |= TAKO__H3S_DISCARD;
		return;
	}
	if (s->flags & (TAKO__H3S_CLOSED | TAKO__H3S_CUT))
		return;
	s->since_ns = tako__h3_now(s->h);
	go_on(s);
	tako__h3_stream_later(s);
}

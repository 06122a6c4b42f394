/* SPDX-License-Identifier: MIT
 *
 * What leaves, and in which order (RFC 9218): the connection's own streams first, then responses by
 * urgency; of one urgency those that are of no use in parts one after the other, as they were asked
 * for, the others in turns.
 */
#include "core/cold.h"
#include "transports/h3/h3.h"
#include "transports/wt/wt_int.h"

enum { WT_URGENCY = 3 }; /* RFC 9218 section 4.1 */

/* ---- The order ----------------------------------------------------------------------------- */

static bool has_something(const struct tako__h3_stream *s)
{
	return s->out.at || (s->flags & (TAKO__H3S_ENDED | TAKO__H3S_FINAL)) == TAKO__H3S_ENDED;
}

/* Behind those that came before it; who shares with others is behind all. */
static void insert(struct tako__list *list, struct tako__h3_stream *s)
{
	struct tako__list *at = list->prev;

	while (!s->priority.incremental && at != list &&
	       TAKO__CONTAINER(at, struct tako__h3_stream, ready)->id > s->id)
		at = at->prev;
	tako__list_insert(at, &s->ready);
}

void tako__h3_send_ready(struct tako__h3_stream *s)
{
	tako__list_remove(&s->ready);
	if (!has_something(s) ||
	    (s->flags & (TAKO__H3S_CUT | TAKO__H3S_CLOSED | TAKO__H3S_BLOCKED | TAKO__H3S_COLD)))
		return;
	insert(&s->h->ready[s->priority.urgency], s);
	tako__quic_wake(s->h->c);
}

/* ---- Files ------------------------------------------------------------------------------------ */

/* Nobody waits for a disk: the stream does, and others have their turn. */
static void wait_for_disk(struct tako__h3_stream *s)
{
	struct tako__h3 *h = s->h;

	tako__list_remove(&s->ready);
	s->flags |= TAKO__H3S_COLD;
	if (h->cold_count++ == 0)
		h->cold_ns = tako__h3_now(h) + TAKO__COLD_RETRY_NS;
	if (h->cold_ns < h->c->deadline_ns)
		tako__conn_deadline(h->c, h->cold_ns);
}

void tako__h3_send_retry(struct tako__h3 *h)
{
	h->cold_ns = 0;
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);

		if (!(s->flags & TAKO__H3S_COLD))
			continue;
		s->flags &= ~TAKO__H3S_COLD;
		h->cold_count--;
		tako__h3_send_ready(s);
	}
}

/* The next block of it.  False: there is none to send now. */
static bool read_file(struct tako__h3_stream *s)
{
	int rc = tako__h3_queue_read(&s->out, &s->h->local->files, tako__h3_now(s->h));

	if (rc > 0)
		return true;
	if (rc == 0) {
		wait_for_disk(s);
		return false;
	}
	/* What was announced cannot be kept. */
	s->flags |= TAKO__H3S_OURS;
	tako__h3_stream_cut(s, NGHTTP3_H3_INTERNAL_ERROR);
	return false;
}

/* ---- The next piece ----------------------------------------------------------------------------- */

static bool offer_ours(struct tako__h3_ours *o, struct tako__quic_piece *piece)
{
	uint64_t n;

	if (o->id < 0 || o->blocked)
		return false;
	piece->count = tako__h3_queue_vec(&o->out, piece->vec, TAKO__QUIC_VECS, &n);
	piece->stream = o;
	if (n)
		piece->id = o->id;
	return n > 0;
}

/* Acknowledgements of the table's entries and of sections, as late as they may be: many go in one. */
static int fill_decoder(struct tako__h3 *h)
{
	size_t n;
	nghttp3_buf buf;
	uint8_t *to;

	/* What the peer does not take stays with the decoder, which has a limit. */
	if (h->decoder_out.id < 0 || h->spoiled || h->decoder_out.blocked)
		return 0;
	n = nghttp3_qpack_decoder_get_decoder_streamlen(h->decoder);
	if (!n)
		return 0;
	to = tako__alloc(n);
	if (!to)
		return TAKO_ENOMEM;
	buf = (nghttp3_buf){.begin = to, .end = to + n, .pos = to, .last = to};
	nghttp3_qpack_decoder_write_decoder(h->decoder, &buf);
	if (tako__h3_queue_copy(&h->decoder_out.out, (const char *)to, n) < 0) {
		tako__free(to, n);
		return TAKO_ENOMEM;
	}
	tako__free(to, n);
	return 0;
}

static bool offer(struct tako__h3_stream *s, struct tako__quic_piece *piece)
{
	/* The end is said once, whatever came of it in between. */
	bool ended = (s->flags & (TAKO__H3S_ENDED | TAKO__H3S_FINAL)) == TAKO__H3S_ENDED;
	uint64_t n;

	while (tako__h3_queue_is_file(&s->out)) {
		if (!read_file(s))
			return false;
	}
	piece->count = tako__h3_queue_vec(&s->out, piece->vec, TAKO__QUIC_VECS, &n);
	piece->fin = ended && n == s->out.unsent_bytes;
	if (n || piece->fin) {
		piece->stream = s;
		piece->id = s->id;
		return true;
	}
	/* Ops without bytes have left by that. */
	tako__h3_queue_sent(&s->out, 0);
	tako__h3_send_ready(s);
	return false;
}

/* Streams of sessions are of the usual urgency, and take turns with responses of that. */
static bool offer_session(struct tako__h3 *h, struct tako__quic_piece *piece)
{
	h->wt_turn = !h->wt_turn;
	if (!h->wt_turn && !tako__list_empty(&h->ready[WT_URGENCY]))
		return false;
	return tako__wt_next(h->wt, piece);
}

int tako__h3_next(struct tako__conn *c, struct tako__quic_piece *piece)
{
	struct tako__h3 *h = tako__h3_of(c);

	if (fill_decoder(h) < 0)
		return TAKO_ENOMEM;
	if (offer_ours(&h->control_out, piece) || offer_ours(&h->decoder_out, piece))
		return 0;
	for (unsigned u = 0; u < TAKO__H3_URGENCIES; u++) {
		if (h->wt && u == WT_URGENCY && offer_session(h, piece))
			return 0;
		while (!tako__list_empty(&h->ready[u])) {
			if (offer(TAKO__CONTAINER(h->ready[u].next, struct tako__h3_stream, ready),
			          piece))
				return 0;
			/* Reading a file may have ended all of it. */
			if (h->over)
				return 0;
		}
	}
	return 0;
}

/* ---- What became of it --------------------------------------------------------------------------- */

static struct tako__h3_ours *ours_of(struct tako__h3 *h, int64_t id)
{
	return id == h->control_out.id ? &h->control_out : &h->decoder_out;
}

/* Whoever waits for room, or with its reading for its writing, is looked at. */
static void follow(struct tako__h3_stream *s)
{
	if (s->x && s->x->drain_fn)
		s->flags |= TAKO__H3S_SHRUNK;
	if ((s->flags & TAKO__H3S_SHRUNK) || s->body.first ||
	    ((s->flags & TAKO__H3S_RECEIVED) && s->x && !(s->x->flags & TAKO__X_BODY_DONE)) ||
	    ((s->flags & TAKO__H3S_FINAL) && !(s->flags & TAKO__H3S_RECEIVED)))
		tako__h3_stream_later(s);
}

int tako__h3_wrote(struct tako__conn *c, int64_t id, void *stream, size_t n, bool fin)
{
	struct tako__h3 *h = tako__h3_of(c);
	struct tako__h3_stream *s = stream;

	if (TAKO__UNLIKELY(tako__wt_is(stream)))
		return tako__wt_wrote(stream, n, fin);
	if (tako__quic_is_uni(id)) {
		tako__h3_queue_sent(&ours_of(h, id)->out, n);
		return 0;
	}
	tako__h3_queue_sent(&s->out, n);
	s->sent_bytes += n;
	h->wrote_bytes += n;
	if (fin) {
		s->flags |= TAKO__H3S_FINAL;
		s->since_ns = tako__h3_now(h);
	}
	/* The others' turn, if it shares; out of the list, if it has nothing left. */
	if (s->priority.incremental || !has_something(s))
		tako__h3_send_ready(s);
	follow(s);
	return 0;
}

int tako__h3_blocked(struct tako__conn *c, int64_t id, void *stream)
{
	struct tako__h3_stream *s = stream;

	if (tako__wt_is(stream))
		return tako__wt_blocked(stream);
	if (tako__quic_is_uni(id)) {
		ours_of(tako__h3_of(c), id)->blocked = true;
		return 0;
	}
	s->flags |= TAKO__H3S_BLOCKED;
	tako__list_remove(&s->ready);
	return 0;
}

int tako__h3_shut(struct tako__conn *c, int64_t id, void *stream)
{
	struct tako__h3_stream *s = stream;

	if (tako__wt_is(stream))
		return tako__wt_shut(stream);
	/* Ours must be read (RFC 9114 section 6.2.1, RFC 9204 section 4.2). */
	if (tako__quic_is_uni(id))
		return tako__h3_fail(tako__h3_of(c), NGHTTP3_H3_CLOSED_CRITICAL_STREAM,
		                     "a stream that must stay");
	if (s)
		tako__h3_stream_broken(s, true);
	return 0;
}

int tako__h3_unblocked(struct tako__conn *c, int64_t id, void *stream)
{
	struct tako__h3_stream *s = stream;

	if (tako__wt_is(stream))
		return tako__wt_unblocked(stream);
	if (tako__quic_is_uni(id)) {
		ours_of(tako__h3_of(c), id)->blocked = false;
		tako__quic_wake(c);
		return 0;
	}
	if (!s || !(s->flags & TAKO__H3S_BLOCKED))
		return 0;
	s->flags &= ~TAKO__H3S_BLOCKED;
	tako__h3_send_ready(s);
	return 0;
}

int tako__h3_acked(struct tako__conn *c, int64_t id, void *stream, uint64_t n)
{
	struct tako__h3 *h = tako__h3_of(c);
	struct tako__h3_stream *s = stream;

	if (TAKO__UNLIKELY(tako__wt_is(stream)))
		return tako__wt_acked(stream, n);
	if (!tako__quic_is_uni(id)) {
		if (s)
			tako__h3_queue_acked(&s->out, n);
		return 0;
	}
	tako__h3_queue_acked(&ours_of(h, id)->out, n);
	if (id == h->control_out.id)
		tako__h3_control_acked(h, n);
	return 0;
}

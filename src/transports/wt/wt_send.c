/* SPDX-License-Identifier: MIT
 *
 * What leaves, and in which order: sessions in turns, and of each its streams in turns, so that none of
 * them starves the others (draft-ietf-webtrans-http3 section 8).
 */
#include "transports/wt/wt_int.h"

/* ---- In ------------------------------------------------------------------------------------- */

static bool has_something(const tako_wt_stream *s)
{
	return s->out.at || (s->flags & (TAKO__WTS_ENDED | TAKO__WTS_FIN_SENT)) == TAKO__WTS_ENDED;
}

/* Behind the others.  False: it has nothing, or may not. */
static bool enlist(tako_wt_stream *s)
{
	tako_wt *wt = s->wt;

	if (!has_something(s) ||
	    (s->flags & (TAKO__WTS_CUT | TAKO__WTS_CLOSED | TAKO__WTS_BLOCKED)))
		return false;
	if (tako__list_empty(&s->ready))
		tako__list_push_back(&wt->ready_streams, &s->ready);
	if (tako__list_empty(&wt->ready))
		tako__list_push_back(&s->conn->ready, &wt->ready);
	return true;
}

void tako__wt_ready(tako_wt_stream *s)
{
	if (enlist(s))
		tako__quic_wake(s->conn->c);
}

static int may_send(const tako_wt_stream *s, size_t n)
{
	const tako_wt_config *cfg = &s->wt->cfg;

	if (tako__quic_is_uni(s->id) && !tako__quic_is_ours(s->id))
		return tako__fail(TAKO_ESTATE, "the peer's stream goes one way");
	if (s->flags & TAKO__WTS_ENDED)
		return tako__fail(TAKO_ESTATE, "the stream has ended");
	if (!tako__wt_is_open(s->wt) || (s->flags & (TAKO__WTS_CUT | TAKO__WTS_CLOSED)))
		return tako__fail(TAKO_ECLOSED, "the stream is closed");
	/* What is longer than that alone can never go but alone. */
	if (s->out.unsent_bytes && n && n > cfg->max_unsent_bytes - s->out.unsent_bytes)
		return tako__fail(TAKO_EBUSY, "too much is unsent");
	return 0;
}

int64_t tako_wt_send(tako_wt_stream *s, tako_str data, bool end)
{
	tako_wt *wt = s->wt;
	int rc = may_send(s, data.n);

	if (rc == TAKO_EBUSY)
		s->flags |= TAKO__WTS_FULL;
	if (rc < 0)
		return rc;
	if (data.n && tako__h3_queue_copy(&s->out, data.p, data.n) < 0)
		return tako__fail(TAKO_ENOMEM, "stream: out of memory");
	if (end)
		s->flags |= TAKO__WTS_ENDED;
	if (s->out.unsent_bytes > wt->cfg.high_water_bytes)
		s->flags |= TAKO__WTS_FULL;
	wt->active_ns = tako__wt_now(s->conn);
	tako__wt_ready(s);
	tako__wt_arm_tick(wt);
	return (int64_t)s->out.unsent_bytes;
}

/* Sections 4.1 and 4.2: what it is, and whose. */
static void put_preface(tako_wt_stream *s, bool uni)
{
	char *to;

	if (tako__wt_is_raw(s->wt))
		return;
	/* The queue's own block is there. */
	to = tako__h3_queue_reserve(&s->out, TAKO__H3_HEAD_BYTES);
	tako__h3_queue_commit(&s->out, tako__h3_frame_write(to,
	                                                    uni ? (uint64_t)TAKO__H3_WT_UNI_STREAM
	                                                        : (uint64_t)TAKO__H3_WT_STREAM,
	                                                    (uint64_t)s->wt->id));
}

int tako_wt_open(tako_wt *wt, bool uni, tako_wt_stream **out)
{
	tako_wt_stream *s;
	int rc;

	if (!tako__wt_is_open(wt))
		return tako__fail(TAKO_ECLOSED, "the session is over");
	if (wt->stream_count >= wt->cfg.max_stream_count)
		return tako__fail(TAKO_EBUSY, "max_stream_count are open");
	s = tako__wt_stream_new(wt->conn, 0);
	if (!s)
		return tako__fail(TAKO_ENOMEM, "stream: out of memory");
	rc = tako__quic_stream_open(wt->conn->c, uni, tako__wt_mark(s), &s->id);
	if (rc < 0) {
		wt->starved |= rc == TAKO_EBUSY;
		tako__wt_stream_free(s);
		return tako__fail(rc, "the stream cannot be opened");
	}
	s->wt = wt;
	s->arg = wt->arg;
	wt->stream_count++;
	tako__list_push_back(&wt->streams, &s->link);
	/* Nothing comes from there. */
	if (uni)
		s->flags |= TAKO__WTS_IN_OVER;
	put_preface(s, uni);
	tako__wt_ready(s);
	*out = s;
	return 0;
}

/* ---- Out --------------------------------------------------------------------------------------- */

static bool offer(tako_wt_stream *s, struct tako__quic_piece *piece)
{
	uint64_t n;

	piece->count = tako__h3_queue_vec(&s->out, piece->vec, TAKO__QUIC_VECS, &n);
	piece->fin = (s->flags & (TAKO__WTS_ENDED | TAKO__WTS_FIN_SENT)) == TAKO__WTS_ENDED &&
	             n == s->out.unsent_bytes;
	if (!n && !piece->fin)
		return false;
	piece->id = s->id;
	piece->stream = tako__wt_mark(s);
	return true;
}

bool tako__wt_next(struct tako__wt_conn *wc, struct tako__quic_piece *piece)
{
	while (wc && !tako__list_empty(&wc->ready)) {
		tako_wt *wt = TAKO__CONTAINER(wc->ready.next, tako_wt, ready);

		while (!tako__list_empty(&wt->ready_streams)) {
			struct tako__list *at = wt->ready_streams.next;

			if (offer(TAKO__CONTAINER(at, tako_wt_stream, ready), piece))
				return true;
			tako__list_remove(at);
		}
		tako__list_remove(&wt->ready);
	}
	return false;
}

int tako__wt_wrote(void *stream, size_t n, bool fin)
{
	tako_wt_stream *s = tako__wt_stream(stream);
	struct tako__wt_conn *wc = s->conn;

	tako__h3_queue_sent(&s->out, n);
	s->sent_bytes += n;
	wc->wrote_bytes += n;
	s->wt->active_ns = tako__wt_now(wc);
	if (fin)
		s->flags |= TAKO__WTS_FIN_SENT;
	/* Others' turn. */
	tako__list_remove(&s->ready);
	tako__list_remove(&s->wt->ready);
	(void)enlist(s);
	if (tako__list_empty(&s->wt->ready) && !tako__list_empty(&s->wt->ready_streams))
		tako__list_push_back(&wc->ready, &s->wt->ready);
	if ((s->flags & TAKO__WTS_FULL) && tako__wt_is_low(s))
		tako__wt_later(s);
	return 0;
}

int tako__wt_blocked(void *stream)
{
	tako_wt_stream *s = tako__wt_stream(stream);

	s->flags |= TAKO__WTS_BLOCKED;
	tako__list_remove(&s->ready);
	return 0;
}

int tako__wt_shut(void *stream)
{
	tako_wt_stream *s = tako__wt_stream(stream);

	s->flags |= TAKO__WTS_CUT | TAKO__WTS_SHUT;
	tako__list_remove(&s->ready);
	tako__wt_later(s);
	return 0;
}

int tako__wt_unblocked(void *stream)
{
	tako_wt_stream *s = tako__wt_stream(stream);

	if (!(s->flags & TAKO__WTS_BLOCKED))
		return 0;
	s->flags &= ~TAKO__WTS_BLOCKED;
	tako__wt_ready(s);
	return 0;
}

int tako__wt_acked(void *stream, uint64_t n)
{
	tako__h3_queue_acked(&tako__wt_stream(stream)->out, n);
	return 0;
}

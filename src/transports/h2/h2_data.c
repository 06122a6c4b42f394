/* SPDX-License-Identifier: MIT
 *
 * Response bodies between their writer and the connection.  A stream keeps ops; each DATA frame
 * takes a slice of them.  Small ones are copied behind the frame's head into the connection's
 * output; of others the connection sends the head and then the bytes from where they are, be that
 * memory or a file, and the op is done when its last slice is.
 */
#include "transports/h2/h2.h"

#include <sys/stat.h>

#include "core/cold.h"
#include "core/server.h"
#include "core/worker.h"

enum {
	SLICES_MASK = 0x7fffffff, /* of op->scratch: slices on their way */
	LEND_BYTES = 1024,        /* lent memory below this is cheaper copied */
	OWN_BYTES = 2048,         /* the least that is taken for copies */
};
#define OP_CUT 0x80000000u /* … and some of it never will be */

/* So long a file is taken to be as long as it was. */
static const uint64_t seen_ns_max = UINT64_C(1000000);

/* Bytes that were copied, where the stream's own room was not enough. */
struct own {
	struct tako_send op;
	size_t cap;
	char data[];
};

/* A frame's head, a part of its payload, or both; in the connection's queue. */
struct slice {
	struct tako_send head;
	struct tako_send body;
	struct tako_send *of;
	struct tako__conn *c;
	struct tako__pool *pool;
	char head_data[TAKO__H2_FRAME_HEAD_BYTES];
};

_Static_assert(sizeof(struct slice) <= 192, "slices are small");

/* ---- The queue ------------------------------------------------------------------------ */

static void own_done(struct tako_send *op, int err)
{
	struct own *o = TAKO__CONTAINER(op, struct own, op);

	(void)err;
	tako__free(o, sizeof *o + o->cap);
}

static void inline_done(struct tako_send *op, int err)
{
	(void)err;
	TAKO__CONTAINER(op, struct tako__h2_stream, inline_op)->flags &= ~TAKO__H2S_INLINE;
}

/* The op is unframed no more: done, unless slices of it are on their way. */
static void finish_op(struct tako_send *op, int err)
{
	if (op->n || (op->scratch & SLICES_MASK))
		return;
	if (op->scratch & OP_CUT)
		err = TAKO_ECLOSED;
	op->scratch = 0;
	op->done(op, err);
}

static void push(struct tako__h2_stream *s, struct tako_send *op)
{
	op->next = NULL;
	op->scratch = 0;
	if (s->tail)
		s->tail->next = op;
	else
		s->head = op;
	s->tail = op;
}

static void pop(struct tako__h2_stream *s)
{
	struct tako_send *op = s->head;

	s->head = op->next;
	if (!s->head)
		s->tail = NULL;
	op->next = NULL;
	finish_op(op, 0);
}

void tako__h2_queue_wake(struct tako__h2_stream *s)
{
	if (!(s->flags & TAKO__H2S_DEFERRED))
		return;
	s->flags &= ~TAKO__H2S_DEFERRED;
	if (nghttp2_session_resume_data(s->h->session, s->id) == 0)
		return;
	s->flags |= TAKO__H2S_OURS;
	tako__h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
}

void tako__h2_queue_unstarve(struct tako__h2 *h)
{
	h->starved = false;
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h2_stream *s = TAKO__CONTAINER(at, struct tako__h2_stream, link);

		if (s->queued_bytes)
			tako__h2_queue_wake(s);
	}
}

void tako__h2_queue_op(struct tako__h2_stream *s, struct tako_send *op)
{
	s->queued_bytes += op->n;
	push(s, op);
	tako__h2_queue_wake(s);
}

/* Behind what the last copy left of its block. */
static size_t append(struct tako__h2_stream *s, const char *p, size_t n)
{
	struct tako_send *op = s->tail;
	char *end;
	size_t room;

	if (!op || op->done != own_done || op->scratch)
		return 0;
	end = (char *)(uintptr_t)op->p + op->n;
	room = (size_t)(TAKO__CONTAINER(op, struct own, op)->data +
	                TAKO__CONTAINER(op, struct own, op)->cap - end);
	n = n < room ? n : room;
	memcpy(end, p, n);
	op->n += n;
	s->queued_bytes += n;
	return n;
}

int tako__h2_queue_copy(struct tako__h2_stream *s, const char *p, size_t n)
{
	size_t cap;
	struct own *o;

	if (TAKO__LIKELY(!s->head && n <= TAKO__H2_INLINE_BYTES &&
	                 !(s->flags & TAKO__H2S_INLINE))) {
		memcpy(s->inline_data, p, n);
		s->flags |= TAKO__H2S_INLINE;
		s->inline_op = (struct tako_send){
			.done = inline_done, .p = s->inline_data, .n = n, .file_fd = -1};
		tako__h2_queue_op(s, &s->inline_op);
		return 0;
	}
	cap = append(s, p, n);
	p += cap;
	n -= cap;
	tako__h2_queue_wake(s);
	if (!n)
		return 0;
	cap = n < OWN_BYTES ? OWN_BYTES : n;
	o = tako__alloc(sizeof *o + cap);
	if (!o)
		return TAKO_ENOMEM;
	memcpy(o->data, p, n);
	o->cap = cap;
	o->op = (struct tako_send){.done = own_done, .p = o->data, .n = n, .file_fd = -1};
	tako__h2_queue_op(s, &o->op);
	return 0;
}

void tako__h2_queue_drop(struct tako__h2_stream *s)
{
	while (s->head) {
		s->head->n = 0;
		s->head->scratch |= OP_CUT;
		pop(s);
	}
	s->queued_bytes = 0;
}

/* ---- Files ------------------------------------------------------------------------------ */

static int64_t file_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : INT64_MAX;
}

/* That it is too short is not believed without asking: what is no real file has no length. */
static bool file_has(struct tako__h2_stream *s, const struct tako_send *op, size_t n)
{
	uint64_t now = tako__now_ns(s->h->c->worker);
	char last;

	if (s->seen != op || now - s->seen_ns >= seen_ns_max ||
	    op->file_pos > s->seen_bytes - (int64_t)n) {
		s->seen = op;
		s->seen_bytes = file_bytes(op->file_fd);
		s->seen_ns = now;
	}
	return op->file_pos <= s->seen_bytes - (int64_t)n ||
	       tako__file_read(op->file_fd, &last, 1, (int64_t)((uint64_t)op->file_pos + n - 1)) !=
	               0;
}

/* Are there the `n` bytes that a frame is about to promise?  Behind its head nothing else may follow: a file that
 * is cut between that and its turn to be sent ends the connection (core/send.c, core/spool.c), as only made-up bytes
 * could save it.  Before, it costs no more than its stream. */
static bool has_bytes(struct tako__h2_stream *s, size_t n)
{
	for (const struct tako_send *op = s->head; n; op = op->next) {
		size_t step = op->n < n ? (size_t)op->n : n;

		if (TAKO__UNLIKELY(op->file_fd >= 0 && step) && !file_has(s, op, step))
			return false;
		n -= step;
	}
	return true;
}

/* ---- Frames ----------------------------------------------------------------------------- */

ssize_t tako__h2_data_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                           uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct tako__h2_stream *s = source->ptr;

	(void)buf, (void)arg;
	if (n > s->queued_bytes)
		n = (size_t)s->queued_bytes;
	/* The library does not know of what was answered without it. */
	if (TAKO__UNLIKELY((int64_t)n > tako__h2_window(s->h))) {
		n = (size_t)tako__h2_window(s->h);
		s->h->starved = true;
	}
	if ((!n && (s->queued_bytes || !(s->flags & TAKO__H2S_ENDED))) ||
	    (s->flags & TAKO__H2S_CUT)) {
		s->flags |= TAKO__H2S_DEFERRED;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (TAKO__UNLIKELY(!has_bytes(s, n))) {
		s->flags |= TAKO__H2S_OURS | TAKO__H2S_DEFERRED;
		tako__h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n < s->queued_bytes || !(s->flags & TAKO__H2S_ENDED))
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	s->flags |= TAKO__H2S_FINAL;
	if (s->trailers) {
		/* The end of the stream is theirs. */
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(session, id, s->trailers->nva, s->trailers->count) != 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	if (!(s->flags & TAKO__H2S_RECEIVED))
		tako__h2_stream_later(s);
	return (ssize_t)n;
}

static void put_slice(struct slice *sl, int err)
{
	struct tako_send *op = sl->of;
	struct tako__conn *c = sl->c;

	tako__pool_put(sl->pool, sl);
	op->scratch--;
	if (err < 0)
		op->scratch |= OP_CUT;
	finish_op(op, err);
	if (err == 0)
		tako__conn_written(c);
}

static void body_done(struct tako_send *op, int err)
{
	put_slice(TAKO__CONTAINER(op, struct slice, body), err);
}

/* The body that follows it in the queue is what counts. */
static void head_done(struct tako_send *op, int err)
{
	(void)op, (void)err;
}

static bool is_copied(const struct tako_send *op, size_t n)
{
	if (op->file_fd >= 0)
		return false;
	if (op->done == own_done)
		return TAKO__CONTAINER(op, struct own, op)->cap <= TAKO__H2_COPY_BYTES;
	return op->done == inline_done || n <= LEND_BYTES;
}

static int copy_out(struct tako__conn *c, const uint8_t *head, struct tako_send *op, size_t n)
{
	size_t head_n = head ? TAKO__H2_FRAME_HEAD_BYTES : 0;
	char *to = tako__conn_reserve(c, head_n + n);

	if (!to)
		return TAKO_ENOMEM;
	if (head)
		memcpy(to, head, head_n);
	memcpy(to + head_n, op->p, n);
	tako__conn_commit(c, head_n + n);
	return 0;
}

static int slice_out(struct tako__h2 *h, const uint8_t *head, struct tako_send *op, size_t n)
{
	struct slice *sl = tako__pool_get(&h->local->slices);

	if (!sl)
		return TAKO_ENOMEM;
	sl->of = op;
	sl->c = h->c;
	sl->pool = &h->local->slices;
	sl->body = *op;
	sl->body.scratch = 0;
	sl->body.n = n;
	sl->body.done = body_done;
	op->scratch++;
	if (head) {
		memcpy(sl->head_data, head, TAKO__H2_FRAME_HEAD_BYTES);
		sl->head = (struct tako_send){.done = head_done,
		                              .p = sl->head_data,
		                              .n = TAKO__H2_FRAME_HEAD_BYTES,
		                              .file_fd = -1};
		tako__conn_send(h->c, &sl->head);
	}
	return tako__conn_send(h->c, &sl->body);
}

/* The next part of the payload, which is in one op; `head` goes before it. */
static int part_out(struct tako__h2_stream *s, const uint8_t *head, size_t n)
{
	struct tako_send *op = s->head;
	int rc = is_copied(op, n) ? copy_out(s->h->c, head, op, n) : slice_out(s->h, head, op, n);

	if (rc < 0)
		return rc;
	if (op->file_fd < 0)
		op->p += n;
	else
		op->file_pos += (int64_t)n;
	op->n -= n;
	s->queued_bytes -= n;
	s->sent_bytes += n;
	if (!op->n)
		pop(s);
	return 0;
}

static int payload_out(struct tako__h2_stream *s, const uint8_t *head, size_t n)
{
	while (n) {
		size_t step = s->head->n < n ? (size_t)s->head->n : n;
		int rc = part_out(s, head, step);

		if (rc < 0)
			return rc;
		head = NULL;
		n -= step;
	}
	return 0;
}

int tako__h2_data_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                       size_t n, nghttp2_data_source *source, void *arg)
{
	struct tako__h2_stream *s = source->ptr;
	struct tako__h2 *h = arg;
	int rc;

	(void)session, (void)frame;
	tako__h2_limits_sent(&h->limits, n);
	if (!n)
		return tako__conn_write(h->c, (const char *)head, TAKO__H2_FRAME_HEAD_BYTES) < 0
		               ? NGHTTP2_ERR_CALLBACK_FAILURE
		               : 0;
	/* A part that is done calls its owner, who may answer another request. */
	h->in_frame = true;
	rc = payload_out(s, head, n);
	h->in_frame = false;
	if (rc < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	s->out_at = h->c->sock.sent_bytes + tako__conn_unsent(h->c);
	if (s->x && s->x->drain_fn)
		s->flags |= TAKO__H2S_SHRUNK;
	/* The reader of an echo has waited for its writer, be it only with the end of its body. */
	if ((s->flags & TAKO__H2S_SHRUNK) || s->stash ||
	    ((s->flags & TAKO__H2S_RECEIVED) && s->x && !(s->x->flags & TAKO__X_BODY_DONE)))
		tako__h2_stream_later(s);
	/* Else it would go on as far as the peer's windows reach. */
	h->full = tako__conn_unsent(h->c) >= h->c->worker->srv->cfg.h2_max_send_buffer_bytes;
	return h->full ? NGHTTP2_ERR_PAUSE : 0;
}

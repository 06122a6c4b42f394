/* SPDX-License-Identifier: MIT
 *
 * What a handler answers over a raw connection: given to the protocol at once while the connection has room,
 * and else kept in a queue; lent memory and files are given to it in pieces, since its framing is not ours
 * to know.
 */
#include "transports/raw/raw_exchange.h"

#include "core/cold.h"
#include "core/res.h"
#include "core/worker.h"

enum { PIECE_BYTES = 16 << 10 };

/* A copy that waits. */
struct block {
	struct tako_send op;
	char data[];
};

/* ---- Writing ---------------------------------------------------------------------------------- */

bool tako__raw_x_has_room(const tako_exchange *e)
{
	return tako__conn_unsent(e->c) < tako__raw_cfg(e->c)->write_high_bytes;
}

/* A protocol that cannot say what it has to leaves its peer not knowing where it is. */
static int written(tako_exchange *e, int rc)
{
	if (TAKO__LIKELY(rc >= 0))
		return 0;
	e->mute = true;
	if (!tako__raw_of(e->c)->why)
		tako__raw_of(e->c)->why = rc;
	tako__conn_reset(e->c);
	return rc;
}

/* As the public interface has them; *ret lives in x's arena. */
static int fields_of(struct tako__exchange *x, const struct tako__field *from, size_t n,
                     tako_field **ret)
{
	tako_field *to = tako__arena_alloc(&x->arena, (n ? n : 1) * sizeof *to);

	if (!to)
		return tako__fail(TAKO_ENOMEM, "response: out of memory");
	for (size_t i = 0; i < n; i++) {
		to[i].name = (tako_str){from[i].name, from[i].name_n};
		to[i].value = (tako_str){from[i].value, from[i].value_n};
	}
	*ret = to;
	return 0;
}

static int say_head(struct tako__exchange *x, int status,
                    int (*say)(tako_exchange *e, const tako_response_head *head))
{
	tako_response_head head = {.reason = tako__status_text(status),
	                           .field_count = x->res_field_count,
	                           .content_length = x->res_length,
	                           .status = status};
	tako_field *fields;
	int rc = fields_of(x, x->res_fields, x->res_field_count, &fields);

	if (rc < 0)
		return rc;
	head.fields = fields;
	head.has_content = status >= 200 && !(x->flags & (TAKO__X_HEAD_ONLY | TAKO__X_NO_BODY));
	return written(tako__raw_x_of(x), say(tako__raw_x_of(x), &head));
}

int tako__raw_x_head(struct tako__exchange *x)
{
	tako_exchange *e = tako__raw_x_of(x);

	e->last |= (x->flags & TAKO__X_LAST) != 0;
	return say_head(x, x->status, e->ops->head);
}

int tako__raw_x_inform(struct tako__exchange *x, int status)
{
	return tako__raw_x_of(x)->ops->inform ? say_head(x, status, tako__raw_x_of(x)->ops->inform)
	                                      : 0;
}

static int say_end(tako_exchange *e)
{
	struct tako__exchange *x = e->x;
	tako_field *trailers;
	int rc = fields_of(x, x->res_trailers, x->res_trailer_count, &trailers);

	if (rc < 0)
		return written(e, rc);
	return written(e, e->ops->end(e, trailers, x->res_trailer_count));
}

/* ---- What waits ------------------------------------------------------------------------------- */

static void block_done(struct tako_send *op, int err)
{
	struct block *b = TAKO__CONTAINER(op, struct block, op);

	(void)err;
	tako__free(b, sizeof *b + (size_t)b->op.file_pos);
}

static void push(tako_exchange *e, struct tako_send *op)
{
	op->next = NULL;
	*e->queue_end = op;
	e->queue_end = &op->next;
	e->queued_bytes += op->n;
	if (!e->held) {
		e->held = true;
		tako__exchange_ref(e->x);
	}
	tako__raw_x_later(e);
}

static int push_copy(tako_exchange *e, const char *p, size_t n)
{
	struct block *b = tako__alloc(sizeof *b + n);

	if (!b)
		return tako__fail(TAKO_ENOMEM, "response: out of memory");
	memcpy(b->data, p, n);
	/* How large it is is kept where a file has its place: n shrinks. */
	b->op = (struct tako_send){
		.done = block_done, .p = b->data, .n = n, .file_pos = (int64_t)n, .file_fd = -1};
	push(e, &b->op);
	return 0;
}

static void pop(tako_exchange *e, int err)
{
	struct tako_send *op = e->queue;

	e->queue = op->next;
	if (!e->queue)
		e->queue_end = &e->queue;
	e->queued_bytes -= op->n;
	op->done(op, err);
}

int tako__raw_x_data(struct tako__exchange *x, const char *p, size_t n)
{
	tako_exchange *e = tako__raw_x_of(x);

	while (n && !e->queue && tako__raw_x_has_room(e)) {
		size_t step = n < PIECE_BYTES ? n : PIECE_BYTES;
		int rc = written(e, e->ops->content(e, (tako_str){p, step}));

		if (rc < 0)
			return rc;
		p += step;
		n -= step;
	}
	return n ? push_copy(e, p, n) : 0;
}

int tako__raw_x_lend(struct tako__exchange *x, struct tako_send *op)
{
	push(tako__raw_x_of(x), op);
	return 0;
}

int tako__raw_x_end(struct tako__exchange *x)
{
	tako_exchange *e = tako__raw_x_of(x);

	e->ended = true;
	/* Whoever has back what he had lent may end it from there: the pump says so when it is through. */
	return e->queue || e->pumping ? 0 : say_end(e);
}

uint64_t tako__raw_x_unsent(const struct tako__exchange *x)
{
	return tako__conn_unsent(tako__raw_x_of(x)->c) + tako__raw_x_of(x)->queued_bytes;
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	(void)now_ns;
	tako__raw_x_later(TAKO__CONTAINER(t, tako_exchange, timer));
}

/* The next piece of a file.  0: its disk is being read; negative: it cannot be completed. */
static ssize_t read_piece(tako_exchange *e, char *to, size_t n)
{
	struct tako_send *op = e->queue;
	uint64_t now = tako__now_ns(e->c->worker);

	if (tako__file_waits(&e->cold, now, op, n)) {
		tako__timer_set(&e->c->worker->wheel, &e->timer, now + TAKO__COLD_RETRY_NS);
		return 0;
	}
	return tako__file_piece(op->file_fd, to, n, op->file_pos);
}

/* A piece of what is next.  False: not now, or not any more. */
static bool give_piece(tako_exchange *e)
{
	struct tako_send *op = e->queue;
	size_t n = op->n < PIECE_BYTES ? (size_t)op->n : PIECE_BYTES;
	char from_file[PIECE_BYTES];
	const char *p = op->p;

	if (op->file_fd >= 0 && n) {
		ssize_t got = read_piece(e, from_file, n);

		if (got < 0)
			tako__exchange_stop(e->x, TAKO_ESYS);
		if (got <= 0)
			return false;
		p = from_file;
		n = (size_t)got;
	}
	if (n && written(e, e->ops->content(e, (tako_str){p, n})) < 0)
		return false;
	if (op->file_fd >= 0)
		op->file_pos += (int64_t)n;
	else
		op->p += n;
	op->n -= n;
	e->queued_bytes -= n;
	return true;
}

static void let_go(tako_exchange *e)
{
	struct tako__exchange *x = e->x;

	if (e->leaving) {
		x->conn = NULL;
		e->x = NULL;
	}
	e->held = false;
	tako__exchange_unref(x);
}

void tako__raw_x_drop(tako_exchange *e)
{
	while (e->queue)
		pop(e, TAKO_ECLOSED);
	if (e->held)
		let_go(e);
}

/* As much as there is room for.  Who has lent something may answer on when he has it back, which
 * comes here again. */
void tako__raw_x_pump(tako_exchange *e)
{
	if (e->pumping || !e->held || tako__timer_armed(&e->timer))
		return;
	e->pumping = true;
	while (e->queue && !e->mute && tako__raw_x_has_room(e) && give_piece(e)) {
		if (!e->queue->n)
			pop(e, 0);
	}
	e->pumping = false;
	if (e->mute) {
		tako__raw_x_drop(e);
	} else if (!e->queue) {
		if (e->ended)
			(void)say_end(e);
		let_go(e);
	}
}

void tako__raw_x_init(tako_exchange *e)
{
	e->queue_end = &e->queue;
	tako__timer_init(&e->timer, on_timer);
}

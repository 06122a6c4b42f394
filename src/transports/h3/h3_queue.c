/* SPDX-License-Identifier: MIT
 *
 * See h3_queue.h.
 */
#include "transports/h3/h3_queue.h"

#include <string.h>

#include "core/base.h"
#include "core/mem.h"

enum {
	BLOCK_BYTES = 2048, /* the least that is taken for copies */
	RESERVE_BYTES_MAX = 4096,
};

/* ---- Blocks --------------------------------------------------------------------------- */

static struct tako__h3_block *block_of(struct tako_send *op)
{
	return TAKO__CONTAINER(op, struct tako__h3_block, op);
}

static void own_done(struct tako_send *op, int err)
{
	(void)err;
	TAKO__CONTAINER(op, struct tako__h3_queue, own.op)->own_busy = false;
}

static void block_done(struct tako_send *op, int err)
{
	struct tako__h3_block *b = block_of(op);

	(void)err;
	tako__free(b, sizeof *b + b->cap);
}

static struct tako__h3_block *block_new(size_t cap)
{
	struct tako__h3_block *b = tako__alloc(sizeof *b + cap);

	if (!b)
		return NULL;
	b->op = (struct tako_send){.done = block_done, .p = (char *)(b + 1), .file_fd = -1};
	b->cap = cap;
	b->data = (char *)(b + 1);
	return b;
}

static struct tako__h3_block *own_block(struct tako__h3_queue *q)
{
	struct tako__h3_block *b = &q->own;

	b->op = (struct tako_send){.done = own_done, .p = q->own_data, .file_fd = -1};
	b->cap = sizeof q->own_data;
	b->data = q->own_data;
	q->own_busy = true;
	return b;
}

/* Of a file: others may be sending the same block. */
struct piece {
	struct tako_send op;
	struct tako__h3_file_block *block;
};

static void piece_done(struct tako_send *op, int err)
{
	struct piece *piece = TAKO__CONTAINER(op, struct piece, op);

	(void)err;
	tako__h3_file_put(piece->block);
	tako__free(piece, sizeof *piece);
}

static bool is_block(const struct tako_send *op)
{
	return op->done == own_done || op->done == block_done;
}

/* ---- In ----------------------------------------------------------------------------------- */

void tako__h3_queue_init(struct tako__h3_queue *q)
{
	memset(q, 0, offsetof(struct tako__h3_queue, own));
}

static void push(struct tako__h3_queue *q, struct tako_send *op)
{
	op->next = NULL;
	if (q->last)
		q->last->next = op;
	else
		q->first = op;
	q->last = op;
	if (!q->at) {
		q->at = op;
		q->sent_bytes = 0;
	}
	q->unsent_bytes += op->n;
}

static size_t room(const struct tako__h3_queue *q)
{
	struct tako_send *op = q->last;

	return op && is_block(op) ? block_of(op)->cap - (size_t)op->n : 0;
}

char *tako__h3_queue_reserve(struct tako__h3_queue *q, size_t n)
{
	struct tako__h3_block *b;

	if (n > RESERVE_BYTES_MAX)
		return NULL;
	if (room(q) < n) {
		b = !q->own_busy && n <= sizeof q->own_data ? own_block(q)
		                                            : block_new(RESERVE_BYTES_MAX);
		if (!b)
			return NULL;
		push(q, &b->op);
	}
	return block_of(q->last)->data + q->last->n;
}

void tako__h3_queue_commit(struct tako__h3_queue *q, size_t n)
{
	/* It may have left as far as it went. */
	if (!q->at) {
		q->at = q->last;
		q->sent_bytes = q->last->n;
	}
	q->last->n += n;
	q->unsent_bytes += n;
}

int tako__h3_queue_copy(struct tako__h3_queue *q, const char *p, size_t n)
{
	size_t first = room(q);
	struct tako__h3_block *b = NULL;

	if (first > n)
		first = n;
	if (n - first) {
		size_t rest = n - first;

		b = block_new(rest < BLOCK_BYTES ? (size_t)BLOCK_BYTES : rest);
		if (!b)
			return TAKO_ENOMEM;
		memcpy(b->data, p + first, rest);
		b->op.n = rest;
	}
	if (first) {
		memcpy(block_of(q->last)->data + q->last->n, p, first);
		tako__h3_queue_commit(q, first);
	}
	if (b)
		push(q, &b->op);
	return 0;
}

void tako__h3_queue_lend(struct tako__h3_queue *q, struct tako_send *op)
{
	push(q, op);
}

/* ---- Out ------------------------------------------------------------------------------------ */

bool tako__h3_queue_is_file(const struct tako__h3_queue *q)
{
	return q->at && q->at->file_fd >= 0;
}

unsigned tako__h3_queue_vec(const struct tako__h3_queue *q, struct iovec *vec, unsigned max,
                            uint64_t *ret_n)
{
	uint64_t skip = q->sent_bytes;
	unsigned count = 0;

	*ret_n = 0;
	for (struct tako_send *op = q->at; op && op->file_fd < 0 && count < max; op = op->next) {
		if (op->n > skip) {
			vec[count].iov_base = (char *)(uintptr_t)op->p + skip;
			vec[count].iov_len = (size_t)(op->n - skip);
			*ret_n += vec[count++].iov_len;
		}
		skip = 0;
	}
	return count;
}

/* Where the file's op is, which it goes on behind. */
static void put_before(struct tako__h3_queue *q, struct tako_send *file, struct tako_send *op)
{
	struct tako_send **at = &q->first;

	while (*at != file)
		at = &(*at)->next;
	*at = op;
	op->next = file;
	q->at = op;
	q->sent_bytes = 0;
}

/* All of it has been read. */
static void finish_file(struct tako__h3_queue *q, struct tako_send *before, struct tako_send *file)
{
	before->next = file->next;
	if (q->last == file)
		q->last = before;
	file->next = NULL;
	file->done(file, 0);
}

int tako__h3_queue_read(struct tako__h3_queue *q, struct tako__h3_files *files, uint64_t now_ns)
{
	struct tako_send *file = q->at;
	size_t n = file->n < TAKO__H3_FILE_BYTES ? (size_t)file->n : (size_t)TAKO__H3_FILE_BYTES;
	struct piece *piece = tako__alloc(sizeof *piece);
	int rc;

	if (!piece)
		return TAKO_ENOMEM;
	rc = tako__h3_file_get(files, file, n, now_ns, &q->cold, &piece->block);
	if (rc <= 0) {
		tako__free(piece, sizeof *piece);
		return rc;
	}
	piece->op = (struct tako_send){
		.done = piece_done, .p = piece->block->data, .n = piece->block->n, .file_fd = -1};
	file->n -= piece->op.n;
	file->file_pos += (int64_t)piece->op.n;
	put_before(q, file, &piece->op);
	if (!file->n)
		finish_file(q, &piece->op, file);
	return 1;
}

void tako__h3_queue_sent(struct tako__h3_queue *q, uint64_t n)
{
	q->unsent_bytes -= n;
	q->sent_bytes += n;
	while (q->at && q->at->file_fd < 0 && q->sent_bytes >= q->at->n) {
		q->sent_bytes -= q->at->n;
		q->at = q->at->next;
	}
	/* Those without bytes have arrived with that. */
	tako__h3_queue_acked(q, 0);
}

static void pop(struct tako__h3_queue *q, int err)
{
	struct tako_send *op = q->first;

	q->first = op->next;
	if (!q->first)
		q->last = NULL;
	op->next = NULL;
	op->done(op, err);
}

void tako__h3_queue_acked(struct tako__h3_queue *q, uint64_t n)
{
	q->acked_bytes += n;
	while (q->first && q->first != q->at && q->acked_bytes >= q->first->n) {
		q->acked_bytes -= q->first->n;
		pop(q, 0);
	}
}

void tako__h3_queue_drop(struct tako__h3_queue *q)
{
	q->at = NULL;
	q->sent_bytes = 0;
	q->acked_bytes = 0;
	q->unsent_bytes = 0;
	while (q->first)
		pop(q, TAKO_ECLOSED);
}

/* SPDX-License-Identifier: MIT
 *
 * The sending half of the io_uring runtime.  Never waits, never reorders.
 *
 * What is small is copied and told done at once; it leaves with the enter that the loop makes
 * anyway, one system call for the responses of a whole turn, and the block it was built in is
 * free for the next response while it is warm.  Those requests neither wait (MSG_DONTWAIT) nor
 * report success, so that none is under way when the enter is over.  What the kernel did not
 * take of them goes back to the head of the queue.
 * What is large, and a file, is worth a call of its own, without the copy.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/knock.h"
#include "core/mem.h"
#include "core/send.h"
#include "runtime-iouring/ring_int.h"

enum { LINGER_S = 2 };

/* What is owed to a peer though its sender was told it is done. */
struct owed {
	struct tako_send op;
	struct tako_sock *s;
	size_t bytes;
	char data[];
};

/* A read of the file at the head may not have been submitted yet, and is then of whatever has the number of its
 * descriptor by then, somebody's socket for one: its owner keeps it open until the read is over, which comes back to
 * tako__ring_flush(). */
static void give_up(struct tako_sock *s)
{
	if (!(s->flags & SOCK_READS_FILE))
		tako_sock_fail(s, TAKO_ECLOSED);
}

void tako__ring_fail(struct tako_sock *s)
{
	s->flags |= SOCK_FAILED;
	give_up(s);
	tako__ring_schedule(s, 0);
}

/* ---- Staged ------------------------------------------------------------------- */

static bool may_stage(const struct tako__ring *r, const struct tako_sock *s)
{
	size_t max = r->send_max < TAKO__STAGED_BYTES_MAX ? r->send_max : TAKO__STAGED_BYTES_MAX;

	/* The last bytes wait for the end of the connection: see tako__send(). */
	if (s->queued_bytes > max || (s->flags & (TAKO_SOCK_LAST | SOCK_OWES)) ||
	    r->staged_count == TAKO__STAGED_MAX ||
	    s->queued_bytes > TAKO__STAGE_BYTES - r->stage_used)
		return false;
	for (const struct tako_send *op = s->head; op; op = op->next) {
		if (op->file_fd >= 0)
			return false;
	}
	return true;
}

static bool stage(struct tako__ring *r, struct tako_sock *s)
{
	size_t n = (size_t)s->queued_bytes;
	char *to = r->stage + r->stage_used;
	struct io_uring_sqe *sqe;

	if (!may_stage(r, s))
		return false;
	if (n) {
		sqe = tako__ring_sqe(r);
		if (!sqe)
			return false;
		for (const struct tako_send *op = s->head; op; op = op->next) {
			memcpy(to, op->p, (size_t)op->n);
			to += op->n;
		}
		io_uring_prep_send(sqe, s->fd, r->stage + r->stage_used, n,
		                   MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		sqe->user_data = (uint64_t)r->staged_count << TAG_BITS | TAG_STAGED;
		r->staged[r->staged_count].s = s;
		r->staged[r->staged_count].off = (uint32_t)r->stage_used;
		r->staged[r->staged_count].n = (uint32_t)n;
		r->staged_count++;
		r->stage_used += n;
		s->flags |= SOCK_STAGED;
	}
	tako_sock_advance(s, n);
	return true;
}

static void owed_done(struct tako_send *op, int err)
{
	struct owed *o = TAKO__CONTAINER(op, struct owed, op);

	(void)err;
	o->s->flags &= ~SOCK_OWES;
	tako__free(o, sizeof *o + o->bytes);
}

static bool owe(struct tako_sock *s, const char *p, size_t n)
{
	struct owed *o = tako__alloc(sizeof *o + n);

	if (!o)
		return false;
	memcpy(o->data, p, n);
	o->bytes = n;
	o->s = s;
	o->op = (struct tako_send){
		.next = s->head, .done = owed_done, .p = o->data, .n = n, .file_fd = -1};
	s->head = &o->op;
	if (!s->tail)
		s->tail = &o->op;
	s->queued_bytes += n;
	s->sent_bytes -= n;
	s->flags |= SOCK_OWES;
	return true;
}

/* ---- By call -------------------------------------------------------------------- */

/* True: the slice has to be read first. */
static bool may_wait(struct tako_sock *s, size_t n)
{
	bool was_read = s->flags & SOCK_FILE_READ;

	s->flags &= ~SOCK_FILE_READ;
	return !was_read && tako__ring_file_is_cold(s->head, n);
}

static enum tako__sent send_now(struct tako__ring *r, struct tako_sock *s)
{
	enum tako__sent sent = tako__send(s, r->send_max, may_wait);

	if (sent != TAKO__SENT_COLD || tako__ring_file_read(r, s, tako__send_slice(s, r->send_max)))
		return sent;
	return TAKO__SENT_LATER;
}

/* ---- When the kernel takes no more ------------------------------------------------- */

/* Not a send that waits in the kernel: bytes would be under way whose number nobody knows, and
 * the peer's progress, which timeouts are about, would show at the end only. */
bool tako__ring_wait_writable(struct tako__ring *r, struct tako_sock *s)
{
	struct io_uring_sqe *sqe = tako__ring_sqe(r);

	if (!sqe)
		return false;
	io_uring_prep_poll_add(sqe, s->fd, POLLOUT);
	sqe->user_data = tako__ring_tagged(s, TAG_OUT);
	s->flags |= SOCK_BLOCKED;
	return true;
}

void tako__ring_flush(struct tako__ring *r, struct tako_sock *s)
{
	s->flags &= ~SOCK_DIRTY;
	if (s->flags & (SOCK_FAILED | TAKO_SOCK_BROKEN)) {
		give_up(s);
		return;
	}
	/* The completion of either comes back here. */
	if (!s->head || (s->flags & (SOCK_BLOCKED | SOCK_READS_FILE)))
		return;
	if (s->flags & SOCK_STAGED) {
		tako__ring_schedule(s, SOCK_DIRTY);
		return;
	}
	if (stage(r, s))
		return;
	switch (send_now(r, s)) {
	case TAKO__SENT_ALL:
	case TAKO__SENT_COLD:
		return;
	case TAKO__SENT_LATER:
		tako__ring_schedule(s, SOCK_DIRTY);
		return;
	case TAKO__SENT_FULL:
		if (!tako__ring_wait_writable(r, s))
			tako__ring_schedule(s, SOCK_DIRTY);
		return;
	case TAKO__SENT_BROKEN:
		tako__ring_fail(s);
		return;
	}
}

void tako__ring_on_out(struct tako__ring *r, struct tako_sock *s, int res)
{
	(void)r;
	s->flags &= ~SOCK_BLOCKED;
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CONNECTING)) {
		int err = res < 0 ? -res : tako__knock_outcome(s->fd);

		s->rt[TAKO__RING_OUTCOME] = (uint64_t)err + 1;
		tako__ring_schedule(s, 0);
		return;
	}
	/* Its time is up, or it was cancelled. */
	if (res < 0 && (s->flags & SOCK_LINGERS))
		s->flags |= SOCK_RESET;
	tako__ring_schedule(s, SOCK_DIRTY);
}

void tako__ring_on_staged(struct tako__ring *r, uint64_t index, int res)
{
	struct tako_sock *s = r->staged[index].s;
	size_t sent = res > 0 ? (size_t)res : 0;

	if (res < 0 && res != -EAGAIN && res != -EINTR) {
		tako__ring_fail(s);
		return;
	}
	if (!owe(s, r->stage + r->staged[index].off + sent, r->staged[index].n - sent)) {
		tako__ring_fail(s);
		return;
	}
	/* At once, before anything that was queued meanwhile: it asks the kernel to tell. */
	tako__ring_schedule(s, SOCK_DIRTY);
}

void tako__ring_settle(struct tako__ring *r)
{
	for (unsigned i = 0; i < r->staged_count; i++) {
		struct tako_sock *s = r->staged[i].s;

		s->flags &= ~SOCK_STAGED;
		if (s->flags & (TAKO_SOCK_CLOSING | SOCK_SHUT))
			tako__ring_schedule(s, 0);
	}
	r->staged_count = 0;
	r->stage_used = 0;
}

/* ---- Closing with a debt ------------------------------------------------------------ */

/* Only what was told done stays in the queue. */
static void keep_owed(struct tako_sock *s)
{
	struct tako_send *owed = s->head;

	s->queued_bytes -= owed->n;
	s->head = owed->next;
	tako_sock_fail(s, TAKO_ECLOSED);
	owed->next = NULL;
	s->head = owed;
	s->tail = owed;
	s->queued_bytes = owed->n;
}

/* Two entries that are submitted together, as a chain has to be. */
static bool two_entries(struct tako__ring *r, struct io_uring_sqe *ret[2])
{
	if (io_uring_sq_space_left(&r->uring) < 2)
		io_uring_submit(&r->uring);
	if (io_uring_sq_space_left(&r->uring) < 2)
		return false;
	ret[0] = io_uring_get_sqe(&r->uring);
	ret[1] = io_uring_get_sqe(&r->uring);
	return true;
}

static bool wait_writable_bounded(struct tako__ring *r, struct tako_sock *s)
{
	static struct __kernel_timespec limit = {.tv_sec = LINGER_S};
	struct io_uring_sqe *sqe[2];

	if (!two_entries(r, sqe))
		return false;
	io_uring_prep_poll_add(sqe[0], s->fd, POLLOUT);
	sqe[0]->flags |= IOSQE_IO_LINK;
	sqe[0]->user_data = tako__ring_tagged(s, TAG_OUT);
	io_uring_prep_link_timeout(sqe[1], &limit, 0);
	sqe[1]->user_data = (uint64_t)TAKO__RING_IGNORE << TAG_BITS | TAG_LOOP;
	s->flags |= SOCK_BLOCKED | SOCK_LINGERS;
	return true;
}

void tako__ring_linger(struct tako__ring *r, struct tako_sock *s)
{
	keep_owed(s);
	if (send_now(r, s) == TAKO__SENT_FULL && wait_writable_bounded(r, s))
		return;
	/* Sent, or it never will be. */
	tako_sock_fail(s, TAKO_ECLOSED);
}

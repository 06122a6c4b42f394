/* SPDX-License-Identifier: MIT
 *
 * The io_uring runtime: its loop, its turn, and the vtable of seam A.  Nothing outside this
 * folder names io_uring.
 *
 * One enter a turn: it submits what the last one left to send, carries the deadline, and
 * brings what has completed.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <tako/server.h>

#include "core/clock.h"
#include "core/knock.h"
#include "core/mem.h"
#include "runtime-iouring/ring_int.h"

enum {
	RECV_BYTES = 256 << 10, /* by call: large enough for a whole 64 KiB body and then some */
	RECV_ALIGN = 4096,      /* the kernel copies whole pages fastest to whole pages */
	RECV_BUDGET = 4,        /* a busy socket must not starve the others */
};

/* ---- Entries and work ----------------------------------------------------------- */

struct io_uring_sqe *tako__ring_sqe(struct tako__ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	if (TAKO__UNLIKELY(!sqe)) {
		io_uring_submit(&r->uring);
		sqe = io_uring_get_sqe(&r->uring);
	}
	return sqe;
}

void tako__ring_schedule(struct tako_sock *s, uint32_t what)
{
	struct tako__ring *r = tako__ring_of(s->loop);

	s->flags |= what;
	/* The one being serviced is looked at again when its callback returns. */
	if (s == r->current || (s->flags & (SOCK_SCHEDULED | SOCK_DEAD)))
		return;
	s->flags |= SOCK_SCHEDULED;
	s->next = NULL;
	if (r->work_tail)
		r->work_tail->next = s;
	else
		r->work = s;
	r->work_tail = s;
}

/* Taken as a whole: what these sockets schedule anew waits for the next turn, so that one busy
 * socket cannot keep the loop. */
static void run_work(struct tako__ring *r)
{
	struct tako_sock *work = r->work;

	r->work = NULL;
	r->work_tail = NULL;
	while (work) {
		struct tako_sock *s = work;

		work = s->next;
		s->flags &= ~SOCK_SCHEDULED;
		tako__ring_service(r, s);
	}
}

static void reap(struct tako__ring *r)
{
	while (r->dead) {
		struct tako_sock *s = r->dead;

		r->dead = s->next;
		r->sock_count--;
		/* What was queued since it was torn down. */
		tako_sock_fail(s, TAKO_ECLOSED);
		s->cb->on_closed(s);
	}
}

/* ---- Completions ------------------------------------------------------------------- */

/* It goes on reporting until a completion says otherwise.  Without a free entry it is tried again
 * next turn. */
static void watch(struct tako__ring *r, uint64_t what)
{
	struct io_uring_sqe *sqe = tako__ring_sqe(r);

	if (!sqe) {
		r->unwatched |= 1u << what;
		return;
	}
	r->unwatched &= ~(1u << what);
	io_uring_prep_poll_multishot(sqe, what == TAKO__RING_WAKE ? r->wake_fd : r->timer_fd,
	                             POLLIN);
	sqe->user_data = what << TAG_BITS | TAG_LOOP;
}

static void watch_again(struct tako__ring *r)
{
	if (r->unwatched & 1u << TAKO__RING_WAKE)
		watch(r, TAKO__RING_WAKE);
	if (r->unwatched & 1u << TAKO__RING_TIMER)
		watch(r, TAKO__RING_TIMER);
}

/* Neither descriptor is read: each new event is reported, whatever was there before. */
static void on_loop(struct tako__ring *r, uint64_t what, uint32_t flags)
{
	if (what != TAKO__RING_IGNORE && !(flags & IORING_CQE_F_MORE))
		watch(r, what);
}

static void on_completion(struct tako__ring *r, const struct io_uring_cqe *cqe)
{
	struct tako_sock *s = (struct tako_sock *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
	uint64_t index = cqe->user_data >> TAG_BITS;

	switch (cqe->user_data & TAG_MASK) {
	case TAG_IN:
		tako__ring_on_in(r, s, cqe->res, cqe->flags);
		break;
	case TAG_OUT:
		tako__ring_on_out(r, s, cqe->res);
		break;
	case TAG_DGRAM:
		tako__ring_on_dgram(r, s, cqe->res, cqe->flags);
		break;
	case TAG_FILE:
		tako__ring_on_file(s, cqe->res);
		break;
	case TAG_CANCEL_IN:
		tako__ring_on_cancel(s, SOCK_CANCEL_IN);
		break;
	case TAG_CANCEL_OUT:
		tako__ring_on_cancel(s, SOCK_CANCEL_OUT);
		break;
	case TAG_STAGED:
		tako__ring_on_staged(r, index, cqe->res);
		break;
	default:
		on_loop(r, index, cqe->flags);
		break;
	}
}

/* What was staged was tried when it was submitted, and what the kernel did not take of it has
 * completed then.  That comes before everything else: whose bytes have left may be answered again
 * in this turn, without a detour over the work list; and as long as one of these completions is
 * still to be handled, its place in `staged` may not be another's. */
static void settle(struct tako__ring *r)
{
	struct io_uring_cqe *cqe;
	unsigned head;

	if (!r->staged_count || io_uring_sq_ready(&r->uring) || io_uring_cq_has_overflow(&r->uring))
		return;
	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		if (TAKO__LIKELY((cqe->user_data & TAG_MASK) != TAG_STAGED))
			continue;
		tako__ring_on_staged(r, cqe->user_data >> TAG_BITS, cqe->res);
		cqe->user_data = (uint64_t)TAKO__RING_IGNORE << TAG_BITS | TAG_LOOP;
	}
	tako__ring_settle(r);
}

static void dispatch(struct tako__ring *r)
{
	settle(r);
	/* What comes while these run waits for the next turn. */
	r->completions = io_uring_cq_ready(&r->uring);
	for (; r->completions; r->completions--) {
		struct io_uring_cqe cqe = *tako__ring_next(r);

		/* Before it is handled: waiting() looks at those that were not. */
		io_uring_cq_advance(&r->uring, 1);
		on_completion(r, &cqe);
	}
}

/* ---- A turn -------------------------------------------------------------------------- */

/* ThreadSanitizer keeps a signal that comes while no call that it intercepts is waiting until the
 * thread's next such call.  An enter is none of them: a signal from just before it would be kept as
 * long as we sleep.  So we sleep in slices there, and look at the clock in between. */
#if defined(__SANITIZE_THREAD__)
#define SLICE_NS 50000000u
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLICE_NS 50000000u
#endif
#endif
#ifndef SLICE_NS
#define SLICE_NS UINT64_MAX
#endif

static int enter_for(struct tako__ring *r, uint64_t ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(ns / 1000000000u),
		.tv_nsec = (int64_t)(ns % 1000000000u),
	};
	struct io_uring_cqe *cqe;

	return io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, &ts, NULL);
}

static int enter(struct tako__ring *r, uint64_t deadline_ns)
{
	uint64_t now;
	uint64_t left;
	int rc;

	if (deadline_ns == 0)
		return io_uring_submit_and_get_events(&r->uring);
	if (deadline_ns == UINT64_MAX && SLICE_NS == UINT64_MAX)
		return io_uring_submit_and_wait(&r->uring, 1);
	do {
		now = tako__clock_ns();
		if (deadline_ns <= now)
			return io_uring_submit_and_get_events(&r->uring);
		left = deadline_ns - now;
		rc = enter_for(r, left < SLICE_NS ? left : SLICE_NS);
	} while (rc == -ETIME && left > SLICE_NS);
	return rc;
}

/* Busy: completions have to be taken first, and are. */
static bool is_passing(int rc)
{
	return rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN;
}

static int ring_turn(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct tako__ring *r = tako__ring_of(loop);
	int rc;

	if (TAKO__UNLIKELY(r->unwatched)) {
		watch_again(r);
		deadline_ns = r->unwatched ? 0 : deadline_ns;
	}
	/* What was queued since the last turn leaves with this one's enter; without a wait, for its
	 * callbacks may have set timers that the deadline does not know of. */
	if (r->work) {
		tako_loop_refresh(loop);
		run_work(r);
		deadline_ns = 0;
	}
	rc = enter(r, deadline_ns);
	if (rc < 0 && !is_passing(rc)) {
		errno = -rc;
		return tako__fail_errno("io_uring_enter");
	}
	tako_loop_refresh(loop);
	dispatch(r);
	run_work(r);
	reap(r);
	return 0;
}

static void ring_wake(struct tako_loop *loop)
{
	struct tako__ring *r = tako__ring_of(loop);
	int host = atomic_load_explicit(&r->host_fd, memory_order_acquire);
	int saved = errno; /* also called from signal handlers */

	(void)!write(r->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	if (host >= 0)
		(void)!write(host, &(uint64_t){1}, sizeof(uint64_t));
	errno = saved;
}

/* ---- In a host's loop ------------------------------------------------------------------ */

/* A ring whose completions are prepared only in our own enter does not wake who polls its
 * descriptor.  It does signal an eventfd. */
static int open_event(struct tako__ring *r, int *ret_fd)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return tako__fail_errno("eventfd");
	rc = io_uring_register_eventfd(&r->uring, fd);
	if (rc < 0) {
		errno = -rc;
		rc = tako__fail_errno("io_uring: eventfd");
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* Both or neither.  Other threads write to the former from the moment that they see it. */
static int open_host(struct tako__ring *r)
{
	int fd;
	int rc = open_event(r, &fd);

	if (rc < 0)
		return rc;
	r->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (r->timer_fd < 0) {
		rc = tako__fail_errno("timerfd");
		io_uring_unregister_eventfd(&r->uring);
		close(fd);
		return rc;
	}
	atomic_store(&r->host_fd, fd);
	watch(r, TAKO__RING_TIMER);
	r->timer_ns = UINT64_MAX;
	return 0;
}

static int set_timer(struct tako__ring *r, uint64_t deadline_ns)
{
	struct itimerspec when = {0};

	if (deadline_ns == r->timer_ns && deadline_ns == UINT64_MAX)
		return 0;
	if (deadline_ns != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(deadline_ns / 1000000000u);
		when.it_value.tv_nsec = (long)(deadline_ns % 1000000000u);
	}
	r->timer_ns = deadline_ns;
	return timerfd_settime(r->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int ring_pollable(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct tako__ring *r = tako__ring_of(loop);
	int fd;
	int rc;

	if (r->timer_fd < 0) {
		rc = open_host(r);
		if (rc < 0)
			return rc;
	}
	fd = atomic_load_explicit(&r->host_fd, memory_order_relaxed);
	if (set_timer(r, r->work || r->dead || deadline_ns == 0 ? 1 : deadline_ns) < 0)
		return tako__fail_errno("timerfd_settime");
	/* What has completed by now is brought by this enter, and signals again; the host sleeps
	 * then, not we. */
	(void)!read(fd, &(uint64_t){0}, sizeof(uint64_t));
	rc = io_uring_submit_and_get_events(&r->uring);
	if (rc < 0 && !is_passing(rc)) {
		errno = -rc;
		return tako__fail_errno("io_uring_enter");
	}
	return fd;
}

/* ---- Open and free ------------------------------------------------------------------------ */

/* Reading what was written to it puts those who woke us before its end, for whoever checks. */
static void close_event(int fd)
{
	if (fd < 0)
		return;
	(void)!read(fd, &(uint64_t){0}, sizeof(uint64_t));
	close(fd);
}

static void ring_free(struct tako_loop *loop)
{
	struct tako__ring *r = loop ? tako__ring_of(loop) : NULL;

	if (!r)
		return;
	if (r->has_uring)
		io_uring_queue_exit(&r->uring);
	if (r->timer_fd >= 0)
		close(r->timer_fd);
	close_event(atomic_load(&r->host_fd));
	close_event(r->wake_fd);
	tako__bufs_fini(&r->bufs);
	tako__ring_dgrams_fini(r);
	tako__ring_file_fini(r);
	tako__free(r->recv_block, r->recv_bytes + RECV_ALIGN);
	tako__free(r->stage, TAKO__STAGE_BYTES);
	tako__free(r, sizeof *r);
}

static bool alloc_blocks(struct tako__ring *r, const struct tako_loop_config *cfg)
{
	r->recv_bytes = cfg->recv_buffer_bytes ? cfg->recv_buffer_bytes : RECV_BYTES;
	r->recv_block = tako__alloc(r->recv_bytes + RECV_ALIGN);
	r->recv_buffer = (char *)(((uintptr_t)r->recv_block + RECV_ALIGN - 1) &
	                          ~(uintptr_t)(RECV_ALIGN - 1));
	r->stage = tako__alloc(TAKO__STAGE_BYTES);
	return r->recv_block && r->stage;
}

/* Does the kernel understand this receive?  One that does not refuses it before it finds out that
 * what it is from is no socket. */
static int learn(struct tako__ring *r, struct io_uring_sqe *sqe, bool *ret_known)
{
	struct io_uring_cqe *cqe;
	int rc;

	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = TAKO__BUF_GROUP;
	rc = io_uring_submit_and_wait(&r->uring, 1);
	if (rc >= 0)
		rc = io_uring_peek_cqe(&r->uring, &cqe);
	if (rc < 0)
		return rc;
	*ret_known = cqe->res == -ENOTSOCK;
	io_uring_cqe_seen(&r->uring, cqe);
	return 0;
}

static int learn_receives(struct tako__ring *r)
{
	struct msghdr msg = {0};
	struct io_uring_sqe *sqe = tako__ring_sqe(r);
	int rc;

	/* 6.17 has a limit for them, where headers call it optlen. */
	io_uring_prep_recv_multishot(sqe, r->wake_fd, NULL, 0, 0);
	sqe->file_index = tako__bufs_limit(&r->bufs);
	rc = learn(r, sqe, &r->limits_recv);
	if (rc < 0)
		return rc;
	r->limits_recv &= r->bufs.bit_by_bit;
	sqe = tako__ring_sqe(r);
	io_uring_prep_recvmsg_multishot(sqe, r->wake_fd, &msg, 0);
	return learn(r, sqe, &r->multishot_recvmsg);
}

static int open_uring(struct tako__ring *r)
{
	int rc = tako__ring_setup(&r->uring, TAKO__RING_ENTRIES);

	r->has_uring = rc == 0;
	if (rc == 0)
		r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	errno = rc < 0 ? -rc : errno;
	return rc < 0 || r->wake_fd < 0 ? tako__fail_errno("io_uring") : 0;
}

static int ring_open(struct tako_loop **out, const struct tako_loop_config *cfg)
{
	struct tako__ring *r = tako__zalloc(sizeof *r);
	int rc;

	if (!r)
		return tako__fail(TAKO_ENOMEM, "event loop: out of memory");
	r->base.rt = tako_runtime_io_uring();
	r->wake_fd = -1;
	r->timer_fd = -1;
	atomic_store(&r->host_fd, -1);
	r->recv_budget = cfg->recv_buffer_count ? cfg->recv_buffer_count : RECV_BUDGET;
	r->dgram_buffers = cfg->recv_buffer_count;
	r->send_max = cfg->send_max_bytes ? cfg->send_max_bytes : SIZE_MAX;
	rc = alloc_blocks(r, cfg) ? open_uring(r)
	                          : tako__fail(TAKO_ENOMEM, "event loop: out of memory");
	if (rc == 0)
		rc = tako__bufs_open(&r->bufs, &r->uring, cfg->recv_buffer_count,
		                     cfg->recv_buffer_bytes);
	if (rc == 0 && learn_receives(r) < 0)
		rc = tako__fail(TAKO_ESYS, "io_uring does not answer");
	if (rc < 0) {
		ring_free(&r->base);
		return rc;
	}
	watch(r, TAKO__RING_WAKE);
	/* Saves looking up the descriptor in each enter; no harm if it cannot be had. */
	(void)io_uring_register_ring_fd(&r->uring);
	tako_loop_refresh(&r->base);
	*out = &r->base;
	return 0;
}

/* ---- Sockets ---------------------------------------------------------------------------------- */

static int ring_listen(struct tako_loop *loop, struct tako_sock *ls, int fd)
{
	ls->loop = loop;
	ls->fd = fd;
	tako__ring_of(loop)->sock_count++;
	tako__ring_schedule(ls, SOCK_LISTENS);
	return 0;
}

static int ring_start(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	s->loop = loop;
	s->fd = fd;
	tako__ring_of(loop)->sock_count++;
	/* Try to read first: a request that is already there is answered, and a connection that
	 * is closed after it never meets the ring. */
	tako__ring_schedule(s, SOCK_READABLE);
	return 0;
}

static int ring_connect(struct tako_loop *loop, struct tako_sock *s, int fd,
                        const struct sockaddr *to, socklen_t n)
{
	int err = tako__knock(fd, to, n);

	s->loop = loop;
	s->fd = fd;
	tako__ring_of(loop)->sock_count++;
	s->rt[TAKO__RING_OUTCOME] = err == EINPROGRESS ? 0 : (uint64_t)err + 1;
	/* Where it is under way, its poll is armed there. */
	tako__ring_schedule(s, TAKO_SOCK_CONNECTING);
	return 0;
}

static int ring_start_dgram(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	struct tako__ring *r = tako__ring_of(loop);
	int rc = tako__ring_dgram_open(r, s, fd);

	if (rc < 0)
		return rc;
	s->loop = loop;
	s->fd = fd;
	r->sock_count++;
	tako__ring_schedule(s, SOCK_PACKETS);
	return 0;
}

static void ring_resume(struct tako_sock *s)
{
	if (!(s->flags & TAKO_SOCK_PAUSED))
		return;
	s->flags &= ~TAKO_SOCK_PAUSED;
	tako__ring_schedule(s, 0);
}

static void ring_flush(struct tako_sock *s)
{
	if (!(s->flags & SOCK_DIRTY))
		tako__ring_schedule(s, SOCK_DIRTY);
}

static void ring_close(struct tako_sock *s)
{
	if (!(s->flags & TAKO_SOCK_CLOSING))
		tako__ring_schedule(s, TAKO_SOCK_CLOSING);
}

static void ring_reset(struct tako_sock *s)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	s->flags |= SOCK_RESET;
	ring_close(s);
}

static void ring_shut(struct tako_sock *s)
{
	if (s->head || (s->flags & SOCK_STAGED))
		tako__ring_schedule(s, SOCK_SHUT);
	else
		shutdown(s->fd, SHUT_WR);
}

static bool has_completion(struct tako__ring *r, struct tako_sock *s, int least)
{
	struct io_uring_cqe *cqe;
	unsigned head;

	io_uring_for_each_cqe(&r->uring, head, cqe)
	{
		if (cqe->user_data == tako__ring_tagged(s, TAG_IN) && cqe->res >= least)
			return true;
	}
	return false;
}

static bool ring_waiting(struct tako_sock *s)
{
	char byte;

	return tako__ring_has_parked(s) || has_completion(tako__ring_of(s->loop), s, 1) ||
	       recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool ring_silent(struct tako_sock *s)
{
	char byte;

	return !tako__ring_has_parked(s) &&
	       !(s->flags & (SOCK_ENDED | SOCK_FAILED | TAKO_SOCK_EOF)) &&
	       !has_completion(tako__ring_of(s->loop), s, 0) &&
	       recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static size_t ring_unacked(struct tako_sock *s)
{
	int held = 0;

	/* What is staged counts, and the kernel can count it when it has it. */
	if (s->flags & SOCK_STAGED)
		io_uring_submit(&tako__ring_of(s->loop)->uring);
	return ioctl(s->fd, SIOCOUTQ, &held) < 0 ? 0 : (size_t)held;
}

const tako_runtime *tako_runtime_io_uring(void)
{
	static const tako_runtime runtime = {
		.size = sizeof(tako_runtime),
		.name = "io_uring",
		.caps = TAKO_RT_FILE_SEND | TAKO_RT_DGRAM_GRO | TAKO_RT_DGRAM_GSO,
		.probe = tako__ring_probe,
		.open = ring_open,
		.free = ring_free,
		.turn = ring_turn,
		.refresh = tako_loop_refresh,
		.wake = ring_wake,
		.pollable = ring_pollable,
		.listen = ring_listen,
		.start = ring_start,
		.resume = ring_resume,
		.flush = ring_flush,
		.close = ring_close,
		.reset = ring_reset,
		.shut = ring_shut,
		.waiting = ring_waiting,
		.unacked = ring_unacked,
		.start_dgram = ring_start_dgram,
		.connect = ring_connect,
		.silent = ring_silent,
	};
	return &runtime;
}

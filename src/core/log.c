/* SPDX-License-Identifier: MIT
 *
 * Rings between the workers and the one thread that writes the access log.  A worker never
 * waits and never takes a lock here: what finds no room is dropped and counted.
 *
 * When to wake the writer: it naps for at most NAP_MS as long as lines come, and is woken
 * from a nap only by a ring that is half full, so a busy worker pays no system call per line.
 * When a whole nap brought nothing it sleeps until the next line, whoever writes that one
 * pays for the wake: an idle server runs no timer, and a lonely line is written at once.
 * The first line of all makes the thread, so that a program may fork before it serves.
 */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/log_format.h"
#include "core/mem.h"
#include "core/stats.h"

enum {
	RING_MIN_BYTES = 4096,
	RING_MAX_BYTES = 1 << 30,
	NAP_MS = 100,
	/* For a full disk or an fd that cannot be polled: look again after this time. */
	RETRY_MS = 20,
	/* How long free() waits for a reader that does not read, and then for the thread. */
	FLUSH_MS = 2000,
	LEAVE_MS = 500,
};

/* What the writer is doing; it doubles as the word it sleeps on. */
enum { UNBORN, AWAKE, NAPPING, SLEEPING };

/* Offsets only grow; a byte's place is its offset modulo the size.  The worker owns head, the
 * writer tail; each reads the other's. */
struct tako__log_ring {
	struct tako__log *log;
	char *data;
	uint64_t bytes; /* a power of two */

	_Atomic uint64_t head;
	uint64_t tail_seen; /* an old value of tail: a full ring is rare, so is looking */
	tako__count dropped;
	struct tako__log_date date;
	char line[TAKO__LOG_LINE_MAX + 1];

	_Atomic uint64_t tail; /* far enough from head not to share a cache line */
};

struct tako__log {
	int fd;
	uint32_t format;
	unsigned ring_count;
	bool has_thread;
	bool is_file; /* never makes a writer wait for a reader */
	bool dead;    /* the writer's: nobody will read this any more */
	pthread_t thread;
	tako__count lost; /* lines that were queued and then could not be written */
	_Atomic uint32_t state;
	_Atomic uint32_t ended;       /* the thread touches nothing of this any more */
	_Atomic uint64_t deadline_ns; /* 0 until free() sets it */
	struct tako__log_ring *rings[];
};

/* ---- Sleeping -------------------------------------------------------------------- */

static void futex_wait(_Atomic uint32_t *word, uint32_t while_it_is, unsigned timeout_ms)
{
	struct timespec ts = {.tv_sec = timeout_ms / 1000,
	                      .tv_nsec = (long)(timeout_ms % 1000) * 1000000};

	syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, while_it_is, timeout_ms ? &ts : NULL,
	        NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* ---- The writer's side ---------------------------------------------------------------- */

static bool half_full(const struct tako__log_ring *r, uint64_t head)
{
	return head - atomic_load_explicit(&r->tail, memory_order_relaxed) > r->bytes / 2;
}

static bool is_over(struct tako__log *log)
{
	uint64_t deadline = atomic_load(&log->deadline_ns);

	return deadline && tako__clock_ns() >= deadline;
}

/* Wait until the fd takes bytes; false when the time for that is over.  Also for blocking
 * ones: once inside write(), nothing could call the thread back. */
static bool wait_writable(struct tako__log *log)
{
	struct pollfd pfd = {.fd = log->fd, .events = POLLOUT};

	while (!is_over(log)) {
		if (log->is_file || poll(&pfd, 1, NAP_MS) != 0)
			return true;
	}
	return false;
}

/* Where the next write begins and ends.  A pipe that polls writable takes PIPE_BUF bytes
 * without blocking, and takes them as one piece (POSIX, write()): whole lines if possible,
 * so that processes that share a pipe do not tear each other's. */
static unsigned next_piece(const struct tako__log *log, const struct tako__log_ring *r,
                           uint64_t tail, uint64_t head, struct iovec iov[2])
{
	uint64_t mask = r->bytes - 1;
	size_t at = (size_t)(tail & mask);
	size_t n = (size_t)(head - tail);
	size_t first = (size_t)r->bytes - at;

	if (!log->is_file && n > PIPE_BUF) {
		n = PIPE_BUF;
		while (n && r->data[(tail + n - 1) & mask] != '\n')
			n--;
		n = n ? n : PIPE_BUF;
	}
	iov[0] = (struct iovec){r->data + at, n < first ? n : first};
	iov[1] = (struct iovec){r->data, n - iov[0].iov_len};
	return n > first ? 2 : 1;
}

/* Worth another try, be it with the next lines: the disk may get room again. */
static bool is_passing(int errno_value)
{
	return errno_value == EAGAIN || errno_value == ENOSPC || errno_value == EDQUOT ||
	       errno_value == EFBIG || errno_value == EIO || errno_value == ENOMEM ||
	       errno_value == ENOBUFS;
}

static void drop_queued(struct tako__log *log, const struct tako__log_ring *r, uint64_t tail,
                        uint64_t head)
{
	for (; tail != head; tail++) {
		if (r->data[tail & (r->bytes - 1)] == '\n')
			tako__add(&log->lost, 1);
	}
}

/* Write what one ring holds now, which ends with a whole line, before another ring's turn.
 * Returns whether there was anything. */
static bool write_ring(struct tako__log *log, struct tako__log_ring *r)
{
	uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	uint64_t head = atomic_load(&r->head);
	bool any = tail != head;

	while (tail != head && !log->dead && wait_writable(log)) {
		struct iovec iov[2];
		unsigned count = next_piece(log, r, tail, head, iov);
		ssize_t n = writev(log->fd, iov, (int)count);

		if (n > 0) {
			tail += (uint64_t)n;
			atomic_store_explicit(&r->tail, tail, memory_order_release);
		} else if (n == 0 || is_passing(errno)) {
			poll(NULL, 0, RETRY_MS);
		} else if (errno != EINTR) {
			log->dead = true;
		}
	}
	if (tail != head && (log->dead || is_over(log))) {
		drop_queued(log, r, tail, head);
		atomic_store_explicit(&r->tail, head, memory_order_release);
	}
	return any;
}

static bool write_all(struct tako__log *log)
{
	bool any = false;

	for (unsigned i = 0; i < log->ring_count; i++)
		any |= write_ring(log, log->rings[i]);
	return any;
}

/* Is there a reason not to go to sleep this way? */
static bool must_stay(struct tako__log *log, uint32_t state)
{
	if (atomic_load(&log->deadline_ns))
		return true;
	for (unsigned i = 0; i < log->ring_count; i++) {
		const struct tako__log_ring *r = log->rings[i];
		uint64_t head = atomic_load(&r->head);

		if (state == NAPPING ? half_full(r, head)
		                     : head != atomic_load_explicit(&r->tail, memory_order_relaxed))
			return true;
	}
	return false;
}

static void rest(struct tako__log *log, uint32_t state)
{
	atomic_store(&log->state, state);
	if (!must_stay(log, state))
		futex_wait(&log->state, state, state == NAPPING ? NAP_MS : 0);
	atomic_store(&log->state, AWAKE);
}

static void *writer(void *arg)
{
	struct tako__log *log = arg;

	for (;;) {
		/* Asked first: what is queued before free() is written after it was asked. */
		bool last = atomic_load(&log->deadline_ns) != 0;
		bool any = write_all(log);

		if (last)
			break;
		rest(log, any ? NAPPING : SLEEPING);
	}
	atomic_store(&log->ended, 1);
	futex_wake(&log->ended);
	return NULL;
}

/* ---- The thread ------------------------------------------------------------------------- */

static bool start_thread(struct tako__log *log)
{
	sigset_t all;
	sigset_t before;

	/* Signals are the host's, for its own threads; SIGPIPE and SIGXFSZ would kill it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	log->has_thread = pthread_create(&log->thread, NULL, writer, log) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return log->has_thread;
}

static void wake(struct tako__log *log)
{
	uint32_t was = atomic_exchange(&log->state, AWAKE);

	if (was == NAPPING || was == SLEEPING)
		futex_wake(&log->state);
	/* Without a thread now, the next line tries again, until the ring is full. */
	if (was == UNBORN && !start_thread(log))
		atomic_store(&log->state, UNBORN);
}

/* ---- The worker's side -------------------------------------------------------------- */

static void copy_in(struct tako__log_ring *r, uint64_t head, const char *p, size_t n)
{
	size_t at = (size_t)(head & (r->bytes - 1));
	size_t first = (size_t)r->bytes - at;

	if (TAKO__LIKELY(n <= first)) {
		memcpy(r->data + at, p, n);
		return;
	}
	memcpy(r->data + at, p, first);
	memcpy(r->data, p + first, n - first);
}

static bool has_room(struct tako__log_ring *r, uint64_t head, size_t n)
{
	if (head + n - r->tail_seen <= r->bytes)
		return true;
	r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	return head + n - r->tail_seen <= r->bytes;
}

void tako__log_put(struct tako__log_ring *ring, const tako_access *a)
{
	struct tako__log *log = ring->log;
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	size_t n = tako__log_line(ring->line, a, log->format, &ring->date);
	uint32_t state;

	ring->line[n++] = '\n';
	if (TAKO__UNLIKELY(!has_room(ring, head, n))) {
		tako__add(&ring->dropped, 1);
		return;
	}
	copy_in(ring, head, ring->line, n);
	head += n;
	/* The writer stores its state and then looks for lines, we store a line and then look at
	 * its state: in one order of all four, one of us sees the other. */
	atomic_store(&ring->head, head);
	state = atomic_load(&log->state);
	if (TAKO__UNLIKELY(state == SLEEPING || state == UNBORN ||
	                   (state == NAPPING && half_full(ring, head))))
		wake(log);
}

/* ---- Life -------------------------------------------------------------------------------- */

static size_t log_bytes(unsigned ring_count)
{
	return sizeof(struct tako__log) + ring_count * sizeof(struct tako__log_ring *);
}

static void ring_free(struct tako__log_ring *r)
{
	if (r)
		tako__free(r->data, (size_t)r->bytes);
	tako__free(r, sizeof(*r));
}

static struct tako__log_ring *ring_new(struct tako__log *log, uint32_t want_bytes)
{
	struct tako__log_ring *r = tako__zalloc(sizeof(*r));

	if (!r)
		return NULL;
	r->log = log;
	r->bytes = RING_MIN_BYTES;
	while (r->bytes < want_bytes)
		r->bytes *= 2;
	r->data = tako__alloc((size_t)r->bytes);
	if (!r->data) {
		ring_free(r);
		return NULL;
	}
	return r;
}

static int check_fd(int fd, bool *ret_is_file)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return tako__fail_errno("access log: descriptor %d", fd);
	if ((flags & O_ACCMODE) == O_RDONLY)
		return tako__fail(TAKO_EINVAL, "access log: descriptor %d is read-only", fd);
	*ret_is_file = S_ISREG(st.st_mode);
	return 0;
}

int tako__log_new(struct tako__log **out, int fd, uint32_t format, unsigned worker_count,
                  uint32_t ring_bytes)
{
	struct tako__log *log;
	bool is_file = false;
	int rc = check_fd(fd, &is_file);

	if (rc < 0)
		return rc;
	if (format > TAKO_LOG_JSON || ring_bytes > RING_MAX_BYTES)
		return tako__fail(TAKO_EINVAL,
		                  "access log: no such format, or over 1 GiB of queue");
	log = tako__zalloc(log_bytes(worker_count));
	if (!log)
		return tako__fail(TAKO_ENOMEM, "access log: out of memory");
	log->fd = fd;
	log->format = format;
	log->is_file = is_file;
	log->ring_count = worker_count;
	for (unsigned i = 0; i < worker_count && rc == 0; i++) {
		log->rings[i] = ring_new(log, ring_bytes);
		if (!log->rings[i])
			rc = tako__fail(TAKO_ENOMEM, "access log: out of memory");
	}
	if (rc < 0) {
		tako__log_free(log);
		return rc;
	}
	*out = log;
	return 0;
}

/* False: the thread is stuck in a write() that neither ends nor can be ended. */
static bool end_thread(struct tako__log *log)
{
	uint64_t deadline = tako__clock_ns() + (uint64_t)FLUSH_MS * 1000000;
	uint64_t patience = deadline + (uint64_t)LEAVE_MS * 1000000;

	atomic_store(&log->deadline_ns, deadline);
	wake(log);
	while (!atomic_load(&log->ended)) {
		if (tako__clock_ns() >= patience) {
			pthread_detach(log->thread);
			return false;
		}
		futex_wait(&log->ended, 0, NAP_MS);
	}
	pthread_join(log->thread, NULL);
	return true;
}

void tako__log_free(struct tako__log *log)
{
	if (!log)
		return;
	/* Its memory is given up then: better than a server that never ends. */
	if (log->has_thread && !end_thread(log))
		return;
	for (unsigned i = 0; i < log->ring_count; i++)
		ring_free(log->rings[i]);
	tako__free(log, log_bytes(log->ring_count));
}

struct tako__log_ring *tako__log_ring(struct tako__log *log, unsigned worker)
{
	return log->rings[worker];
}

uint64_t tako__log_dropped(const struct tako__log *log)
{
	uint64_t sum;

	if (!log)
		return 0;
	sum = tako__read(&log->lost);
	for (unsigned i = 0; i < log->ring_count; i++)
		sum += tako__read(&log->rings[i]->dropped);
	return sum;
}

/* SPDX-License-Identifier: MIT
 *
 * Can this machine run the io_uring runtime?  Each step is tried for real, in a ring that is
 * thrown away: sandboxes forbid the first, old kernels lack the others.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "runtime-iouring/ring_int.h"

enum { PROBE_ENTRIES = 4, PROBE_BUFFERS = 2, PROBE_BUFFER_BYTES = 64, CQ_PER_SQ = 4 };

/* SINGLE_ISSUER and DEFER_TASKRUN: completions are prepared when we ask for them and never
 * interrupt us.  They are also the floor: 6.1 has all the rest. */
int tako__ring_setup(struct io_uring *uring, unsigned entries)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
	                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = entries * CQ_PER_SQ,
	};

	return io_uring_queue_init_params(entries, uring, &p);
}

static int refuse(char *why, size_t n, const char *what, int err)
{
	if (err)
		snprintf(why, n, "%s: %s", what, strerror(-err));
	else
		snprintf(why, n, "%s", what);
	return TAKO_ENOTSUP;
}

static int probe_setup(struct io_uring *uring, char *why, size_t n)
{
	int rc = tako__ring_setup(uring, PROBE_ENTRIES);

	if (rc == -EPERM || rc == -EACCES)
		return refuse(why, n, "io_uring_setup is forbidden here", rc);
	if (rc == -ENOSYS)
		return refuse(why, n, "this kernel has no io_uring", 0);
	if (rc == -EINVAL)
		return refuse(why, n, "this kernel's io_uring is older than Linux 6.1", 0);
	return rc < 0 ? refuse(why, n, "io_uring_setup", rc) : 0;
}

static int probe_features(struct io_uring *uring, char *why, size_t n)
{
	const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
	                        IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;

	if ((uring->features & needed) != needed)
		return refuse(why, n, "this kernel's io_uring lacks features", 0);
	return 0;
}

static int probe_opcodes(struct io_uring *uring, char *why, size_t n)
{
	static const int needed[] = {IORING_OP_RECV,     IORING_OP_SEND,
	                             IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL,
	                             IORING_OP_READ,     IORING_OP_LINK_TIMEOUT};
	struct io_uring_probe *probe = io_uring_get_probe_ring(uring);
	int rc = 0;

	if (!probe)
		return refuse(why, n, "this kernel's io_uring does not tell its operations", 0);
	for (size_t i = 0; rc == 0 && i < TAKO__COUNT(needed); i++) {
		if (!io_uring_opcode_supported(probe, needed[i]))
			rc = refuse(why, n, "this kernel's io_uring lacks operations", 0);
	}
	io_uring_free_probe(probe);
	return rc;
}

static int probe_buffers(struct io_uring *uring, struct tako__bufs *bufs, char *why, size_t n)
{
	int rc = tako__bufs_open(bufs, uring, PROBE_BUFFERS, PROBE_BUFFER_BYTES);

	if (rc == TAKO_ENOMEM)
		return rc;
	return rc < 0 ? refuse(why, n, "io_uring has no buffer rings here", -errno) : 0;
}

static int probe_noop(struct io_uring *uring, char *why, size_t n)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(uring);
	struct io_uring_cqe *cqe;
	int rc;

	io_uring_prep_nop(sqe);
	rc = io_uring_submit_and_wait(uring, 1);
	if (rc >= 0)
		rc = io_uring_peek_cqe(uring, &cqe);
	if (rc >= 0)
		rc = cqe->res;
	return rc < 0 ? refuse(why, n, "io_uring_enter", rc) : 0;
}

static int probe_all(char *why, size_t n)
{
	struct tako__bufs bufs = {0};
	struct io_uring uring;
	int rc;

	rc = probe_setup(&uring, why, n);
	if (rc < 0)
		return rc;
	rc = probe_features(&uring, why, n);
	if (rc == 0)
		rc = probe_opcodes(&uring, why, n);
	if (rc == 0)
		rc = probe_buffers(&uring, &bufs, why, n);
	if (rc == 0)
		rc = probe_noop(&uring, why, n);
	io_uring_queue_exit(&uring);
	tako__bufs_fini(&bufs);
	return rc;
}

struct attempt {
	char *why;
	size_t n;
	int rc;
};

static void *attempt(void *arg)
{
	struct attempt *a = arg;

	a->rc = probe_all(a->why, a->n);
	return NULL;
}

/* On a thread of its own.  A ring is taken apart some time after it was closed, by work that the
 * kernel has the thread do that made it: to a caller who meanwhile waits in a read() with a
 * timeout that is EINTR, out of nowhere. */
int tako__ring_probe(char *why, size_t n)
{
	struct attempt a = {.why = why, .n = n};
	pthread_t thread;
	sigset_t all;
	sigset_t old;
	int err;

	if (n)
		why[0] = '\0';
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&thread, NULL, attempt, &a);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return refuse(why, n, "no thread to try io_uring on", -err);
	pthread_join(thread, NULL);
	return a.rc;
}

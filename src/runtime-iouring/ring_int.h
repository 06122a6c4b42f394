/* SPDX-License-Identifier: MIT
 *
 * What the files of the io_uring runtime share: the loop, a socket's flags, how a request
 * finds back to its socket.
 */
#ifndef TAKO_RUNTIME_IOURING_RING_INT_H
#define TAKO_RUNTIME_IOURING_RING_INT_H

#include <liburing.h>
#include <stdatomic.h>

#include <tako/sys/runtime.h>

#include "core/base.h"
#include "runtime-iouring/ring_buf.h"

#define SOCK_READABLE (TAKO_SOCK_USER << 0) /* recv or accept may give something */
#define SOCK_HANGUP (TAKO_SOCK_USER << 1)   /* the peer's end, or an error, was reported */
#define SOCK_LISTENS (TAKO_SOCK_USER << 2)
#define SOCK_SCHEDULED (TAKO_SOCK_USER << 3)   /* on the work list */
#define SOCK_DEAD (TAKO_SOCK_USER << 4)        /* torn down, waiting for the reaper */
#define SOCK_FAILED (TAKO_SOCK_USER << 5)      /* sends nothing more; the owner may not know yet */
#define SOCK_DIRTY (TAKO_SOCK_USER << 6)       /* something is queued that was not tried yet */
#define SOCK_BLOCKED (TAKO_SOCK_USER << 7)     /* the kernel will say when it takes more */
#define SOCK_RECEIVES (TAKO_SOCK_USER << 8)    /* a multishot receive is armed */
#define SOCK_POLLED (TAKO_SOCK_USER << 9)      /* a poll for input is armed */
#define SOCK_CANCEL_IN (TAKO_SOCK_USER << 10)  /* either of them is being cancelled */
#define SOCK_CANCEL_OUT (TAKO_SOCK_USER << 11) /* what SOCK_BLOCKED waits for is */
#define SOCK_STAGED (TAKO_SOCK_USER << 12)     /* its bytes leave with the next enter */
#define SOCK_PACKETS (TAKO_SOCK_USER << 13)    /* datagrams */
#define SOCK_SHUT (TAKO_SOCK_USER << 14)       /* shut() was called and not done yet */
#define SOCK_ENDED (TAKO_SOCK_USER << 15)      /* the peer's end has come, behind what is parked */
#define SOCK_RESET (TAKO_SOCK_USER << 16)
#define SOCK_READS_FILE (TAKO_SOCK_USER << 17) /* a read of the file at the head is under way */
#define SOCK_FILE_READ (TAKO_SOCK_USER << 18)  /* … and is done: the next slice is in memory */
#define SOCK_OWES (TAKO_SOCK_USER << 19)       /* the head of the queue was told done already */
#define SOCK_LINGERS (TAKO_SOCK_USER << 20)    /* is closed when that has left */
/* Sends us more than fits into a ring's buffer: three bits that count how many small receives in a
 * row it takes until it does not any more. */
#define SOCK_BULK_ONE (TAKO_SOCK_USER << 21)
#define SOCK_BULK (SOCK_BULK_ONE * 7)

/* Where a stream that is not connected yet keeps what became of it: an errno and one, 0: nothing so far. */
enum { TAKO__RING_OUTCOME = 0 };

/* Requests of which each socket has at most one: who waits for these may not be closed. */
#define SOCK_IN_KERNEL                                                                             \
	(SOCK_RECEIVES | SOCK_POLLED | SOCK_CANCEL_IN | SOCK_CANCEL_OUT | SOCK_BLOCKED |           \
	 SOCK_READS_FILE)

/* The low bits of a completion's user_data; a socket's address has none there. */
enum tako__ring_tag {
	TAG_IN,
	TAG_OUT,
	TAG_FILE,
	TAG_CANCEL_IN,
	TAG_CANCEL_OUT,
	TAG_STAGED, /* the rest is an index into `staged` */
	TAG_LOOP,   /* … a TAKO__RING_* */
	TAG_DGRAM,  /* as TAG_IN, of a datagram socket */
	TAG_MASK = 7,
	TAG_BITS = 3,
};

enum { TAKO__RING_IGNORE, TAKO__RING_WAKE, TAKO__RING_TIMER };

enum {
	TAKO__RING_ENTRIES = 512,
	TAKO__STAGED_MAX = 1024,
	/* One response each, of 1,000 connections. */
	TAKO__STAGE_BYTES = 256 << 10,
	TAKO__STAGED_BYTES_MAX = 4096,
};

struct tako__ring {
	struct tako_loop base;
	struct io_uring uring;
	bool has_uring;
	bool limits_recv;       /* the kernel knows a limit for multishot receives */
	bool multishot_recvmsg; /* … and multishot receives of messages */
	int wake_fd;
	unsigned unwatched; /* 1 << TAKO__RING_*: a poll that has to be armed anew */
	/* For hosts with a loop of their own, made when the first one asks. */
	_Atomic int host_fd;
	int timer_fd;
	uint64_t timer_ns;
	unsigned sock_count;
	unsigned recv_budget; /* receives per socket and turn */
	size_t send_max;
	char *recv_block;
	char *recv_buffer; /* in it, aligned: for receives by call */
	size_t recv_bytes;
	char *discard; /* where reads that only fill the page cache go */
	size_t joined; /* bytes in it that wait for the rest of theirs */
	struct tako__bufs bufs;
	struct tako__ring_dgrams *dgrams; /* from the first datagram socket on */
	unsigned dgram_buffers;           /* of these, at most; 0: our choice */
	unsigned completions;             /* to be handled in this turn */
	struct tako_sock *current;        /* the one whose callback is running */
	struct tako_sock *work;
	struct tako_sock *work_tail;
	struct tako_sock *dead;
	char *stage; /* bytes told done, which the next enter sends */
	size_t stage_used;
	unsigned staged_count;
	struct {
		struct tako_sock *s;
		uint32_t off;
		uint32_t n;
	} staged[TAKO__STAGED_MAX];
};

static inline struct tako__ring *tako__ring_of(struct tako_loop *loop)
{
	return TAKO__CONTAINER(loop, struct tako__ring, base);
}

static inline uint64_t tako__ring_tagged(struct tako_sock *s, enum tako__ring_tag tag)
{
	return (uint64_t)(uintptr_t)s | tag;
}

/* The completion that is to be handled next; there is one. */
static inline const struct io_uring_cqe *tako__ring_next(const struct tako__ring *r)
{
	return &r->uring.cq.cqes[*r->uring.cq.khead & *r->uring.cq.kring_mask];
}

/* A free submission entry; NULL if the kernel takes none now. */
struct io_uring_sqe *tako__ring_sqe(struct tako__ring *r);
/* Let service() have a look at the socket before the turn ends. */
void tako__ring_schedule(struct tako_sock *s, uint32_t what);

/* ---- ring_sock.c ---- */

/* Whatever a socket on the work list wants done.  Runs callbacks. */
void tako__ring_service(struct tako__ring *r, struct tako_sock *s);
/* A completion with TAG_IN. */
void tako__ring_on_in(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags);
/* One with TAG_CANCEL_IN or _OUT: `which` flag is over. */
void tako__ring_on_cancel(struct tako_sock *s, uint32_t which);
/* Ask the kernel to give up the receive that is armed, if one is. */
void tako__ring_cancel_in(struct tako__ring *r, struct tako_sock *s);
/* Is there anything that the peer sent and that is kept for its owner? */
bool tako__ring_has_parked(const struct tako_sock *s);

/* ---- ring_send.c ---- */

/* Send what is queued, or see to it that it will be. */
void tako__ring_flush(struct tako__ring *r, struct tako_sock *s);
/* A completion with TAG_OUT: the kernel takes more, or `res` is negative. */
void tako__ring_on_out(struct tako__ring *r, struct tako_sock *s, int res);
/* Ask the kernel to tell, with TAG_OUT, when it takes more.  False: not now. */
bool tako__ring_wait_writable(struct tako__ring *r, struct tako_sock *s);
/* One with TAG_STAGED: the kernel did not take all of it. */
void tako__ring_on_staged(struct tako__ring *r, uint64_t index, int res);
/* All that was staged has been tried. */
void tako__ring_settle(struct tako__ring *r);
/* Wait, for two seconds at most, until the kernel takes what was told done already. */
void tako__ring_linger(struct tako__ring *r, struct tako_sock *s);
/* The connection is gone as far as sending goes. */
void tako__ring_fail(struct tako_sock *s);

/* ---- ring_file.c ---- */

/* Could a sendfile of `n` bytes of the op have to wait for a disk? */
bool tako__ring_file_is_cold(const struct tako_send *op, size_t n);
/* Read them into the page cache without waiting.  False: no memory. */
bool tako__ring_file_read(struct tako__ring *r, struct tako_sock *s, size_t n);
/* A completion with TAG_FILE. */
void tako__ring_on_file(struct tako_sock *s, int res);
void tako__ring_file_fini(struct tako__ring *r);

/* ---- ring_dgram.c ---- */

/* For tests: do as on kernels without multishot receives of messages. */
extern bool tako__ring_dgrams_by_call;

/* As start_dgram(). */
int tako__ring_dgram_open(struct tako__ring *r, struct tako_sock *s, int fd);
/* Make `sqe` what tells of the next datagram, with TAG_DGRAM. */
void tako__ring_dgram_arm(struct tako__ring *r, struct tako_sock *s, struct io_uring_sqe *sqe);
/* Its part of service(). */
void tako__ring_dgram_service(struct tako__ring *r, struct tako_sock *s);
/* A completion with TAG_DGRAM. */
void tako__ring_on_dgram(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags);
void tako__ring_dgram_fini(struct tako__ring *r, struct tako_sock *s);
/* After the ring is gone. */
void tako__ring_dgrams_fini(struct tako__ring *r);

/* ---- ring_probe.c ---- */

int tako__ring_probe(char *why, size_t n);
/* The flags that every ring of ours is made with. */
int tako__ring_setup(struct io_uring *uring, unsigned entries);

#endif /* TAKO_RUNTIME_IOURING_RING_INT_H */

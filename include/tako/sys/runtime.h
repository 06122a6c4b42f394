/* SPDX-License-Identifier: MIT
 *
 * tako/sys/runtime.h: how to write a runtime: what turns a kernel's sockets into
 * completions.  Stable within a minor version.
 *
 * A runtime drives loops; a loop belongs to one thread.  It lends received bytes,
 * takes sends, and knows nothing of HTTP.  Five rules hold between it and its user:
 *   1. Received bytes are borrowed for the call of on_recv: who needs them longer copies
 *      them.  Buffers belong to the runtime, so an idle socket holds none.
 *   2. Sends are intrusive, leave in order, and complete exactly once, also on failure.
 *   3. No callback ever runs inside a call into the runtime: only from turn().
 *   4. Pause is absolute: between a pause and resume() nothing is delivered, end of stream
 *      included; nothing is lost either.
 *   5. Close is asynchronous: a socket's memory may be reused from on_closed() on, which runs
 *      at the end of a turn, when no list holds the socket any more.
 */
#ifndef TAKO_SYS_RUNTIME_H
#define TAKO_SYS_RUNTIME_H

#include <sys/socket.h>
#include <sys/uio.h>
#include <tako/base.h>

TAKO_BEGIN

struct tako_loop;
struct tako_sock;
struct tako_send;

/* What a runtime offers beyond streams; the seam is the same without. */
#define TAKO_RT_FILE_SEND 1u /* sends file ranges by itself */

/* ---- Sends ------------------------------------------------------------------ */

/* Bytes, or a range of a regular file, on their way out.  The sender owns the struct and
 * the bytes until done() runs.  More bytes may be appended behind `p` (n and the socket's
 * queued_bytes grown together) as long as the op is queued: a runtime reads n when it
 * submits and again when it completes. */
struct tako_send {
	struct tako_send *next;                      /* the queue's */
	void (*done)(struct tako_send *op, int err); /* 0, or a TAKO_E*; from turn() only */
	const char *p;                               /* next byte; unused for a file */
	uint64_t n;                                  /* bytes left */
	int64_t file_pos;                            /* next byte of the file */
	int file_fd;                                 /* negative: memory */
	uint32_t reserved;
};

/* ---- Sockets ------------------------------------------------------------------ */

struct tako_sock_cb {
	/* A connection came in on a listening socket; `fd` (non-blocking, close-on-exec) is the
	 * callee's now. */
	void (*on_accept)(struct tako_sock *ls, int fd, const struct sockaddr *from, socklen_t n);
	/* accept failed with `errno_value`; accepting pauses until resume(). */
	void (*on_accept_error)(struct tako_sock *ls, int errno_value);
	/* res > 0: that many bytes at p, borrowed; 0: the peer sends no more; negative: a TAKO_E*,
	 * the socket is broken and will deliver nothing more. */
	void (*on_recv)(struct tako_sock *s, char *p, ssize_t res);
	/* No list of the runtime holds the socket any more; the last call for it. */
	void (*on_closed)(struct tako_sock *s);
};

#define TAKO_SOCK_PAUSED 1u  /* wish: deliver nothing */
#define TAKO_SOCK_CLOSING 2u /* close() was called */
#define TAKO_SOCK_EOF 4u     /* on_recv(0) was delivered */
#define TAKO_SOCK_BROKEN 8u  /* on_recv(negative) was delivered */
/* Hint: close() follows as soon as what is queued has left, so the end of the connection may
 * travel with the last bytes. */
#define TAKO_SOCK_LAST 16u
#define TAKO_SOCK_USER 0x100u /* bits from here on are the runtime's own */

/* One descriptor in one loop.  Zeroed by its owner, then given to start() or listen(). */
struct tako_sock {
	struct tako_loop *loop;
	const struct tako_sock_cb *cb;
	struct tako_send *head; /* sends that are not done yet, oldest first */
	struct tako_send *tail;
	uint64_t queued_bytes;  /* left in all of them */
	uint64_t sent_bytes;    /* taken by the kernel since the start */
	struct tako_sock *next; /* the runtime's work list */
	int fd;
	uint32_t flags;
	uint64_t rt[2]; /* the runtime's own */
};

/* ---- Loops ----------------------------------------------------------------------- */

struct tako_loop_config {
	size_t size;
	uint32_t recv_buffer_bytes; /* 0: the runtime's choice */
	uint32_t reserved;
};

/* First member of a runtime's own loop struct. */
struct tako_loop {
	const struct tako_runtime *rt;
	uint64_t now_ns;    /* CLOCK_MONOTONIC when the present turn woke */
	uint64_t now_ticks; /* the same moment on the CPU's counter */
	void *user;         /* the worker's */
};

struct tako_runtime {
	size_t size;
	const char *name;
	uint32_t caps;
	uint32_t reserved;
	/* Can this machine run it?  0, or TAKO_ENOTSUP and one line why.  [any] */
	int (*probe)(char *why, size_t n);
	/* Make a loop, on the thread that will turn it. */
	int (*open)(struct tako_loop **out, const struct tako_loop_config *cfg);
	/* Every socket must be closed and reaped. */
	void (*free)(struct tako_loop *loop);
	/* Submit what is pending, wait until something happened or until `deadline_ns` (0: do not
	 * wait; UINT64_MAX: no deadline), dispatch, reap.  0, or TAKO_ESYS when the loop is
	 * broken. */
	int (*turn)(struct tako_loop *loop, uint64_t deadline_ns);
	/* Make a waiting turn() return.  [signal] */
	void (*wake)(struct tako_loop *loop);
	/* A descriptor that polls readable when a turn would have something to do, or from
	 * `deadline_ns` on: for hosts with a loop of their own.  Negative: TAKO_E*. */
	int (*pollable)(struct tako_loop *loop, uint64_t deadline_ns);
	/* Accept on the listening descriptor `fd` (non-blocking).  close() takes what has
	 * connected already (closing would reset it), paused or not, by on_accept() from turn(),
	 * and leaves fd to its owner when on_closed() has run. */
	int (*listen)(struct tako_loop *loop, struct tako_sock *ls, int fd);
	/* Drive the connected stream `fd`, which the runtime closes after close(); that is owed
	 * also when this fails (TAKO_E*). */
	int (*start)(struct tako_loop *loop, struct tako_sock *s, int fd);
	/* Undo a pause (the flag is cleared by this call). */
	void (*resume)(struct tako_sock *s);
	/* Something was queued: send it before this turn ends. */
	void (*flush)(struct tako_sock *s);
	/* Give up what is queued (done with TAKO_ECLOSED, and so is what is queued until the end),
	 * close, then on_closed().  The last call for this socket, with reset(). */
	void (*close)(struct tako_sock *s);
	/* As close(), but the peer sees a reset: what it got is not the whole. */
	void (*reset)(struct tako_sock *s);
	/* Send the end of our side.  The queue is empty; nothing may be queued afterwards. */
	void (*shut)(struct tako_sock *s);
	/* Has the peer sent what was not delivered yet? */
	bool (*waiting)(struct tako_sock *s);
	/* Bytes that left the queue and did not reach the peer yet. */
	size_t (*unacked)(struct tako_sock *s);
};

/* ---- The neutral half, for runtimes to use: all of it on the loop's thread ------------ */

/* Set the loop's clocks: first thing when a wait returns.  [loop] */
TAKO_API void tako_loop_refresh(struct tako_loop *loop);
/* Put an op at the end of the queue.  The caller then calls flush().  [loop] */
TAKO_API void tako_sock_queue(struct tako_sock *s, struct tako_send *op);
/* Fill up to `max` iovecs with the memory ops at the head of the queue; stops before a
 * file.  Returns how many; *ret_bytes is their sum.  [loop] */
TAKO_API unsigned tako_sock_gather(const struct tako_sock *s, struct iovec *iov, unsigned max,
                                   size_t *ret_bytes);
/* The kernel took `bytes` from the head: completes what is done.  [loop] */
TAKO_API void tako_sock_advance(struct tako_sock *s, size_t bytes);
/* Complete everything queued with `err`.  [loop] */
TAKO_API void tako_sock_fail(struct tako_sock *s, int err);

TAKO_END

#endif /* TAKO_SYS_RUNTIME_H */

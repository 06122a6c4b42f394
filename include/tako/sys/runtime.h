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
 * Connecting adds one to them: on_connect() runs once, before anything else is delivered, unless
 * close() comes first; so it is cancelled by close(), too.
 */
#ifndef TAKO_SYS_RUNTIME_H
#define TAKO_SYS_RUNTIME_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <tako/base.h>

TAKO_BEGIN

struct tako_loop;
struct tako_sock;
struct tako_send;

/* What a runtime offers beyond streams; the seam is the same without. */
#define TAKO_RT_FILE_SEND 1u /* sends file ranges by itself */
#define TAKO_RT_DGRAM_GRO 2u /* on_dgrams() may get several datagrams of one sender as one */
#define TAKO_RT_DGRAM_GSO 4u /* a train of datagrams costs one call, where the kernel can */

/* ---- Sends ------------------------------------------------------------------ */

/* Bytes, or a range of a regular file, on their way out.  The sender owns the struct and
 * the bytes until done() runs.  More bytes may be appended behind `p` (n and the socket's
 * queued_bytes grown together) as long as the op is queued: a runtime reads n when it
 * submits and again when it completes. */
struct tako_send {
	struct tako_send *next; /* the queue's */
	/* From turn() only.  0: it is on its way, as after write(2); or a TAKO_E*. */
	void (*done)(struct tako_send *op, int err);
	const char *p;    /* next byte; unused for a file */
	uint64_t n;       /* bytes left */
	int64_t file_pos; /* next byte of the file */
	int file_fd;      /* negative: memory */
	/* Of whoever has it in a queue; 0 when it is handed on. */
	uint32_t scratch;
};

/* ---- Datagrams ----------------------------------------------------------------- */

/* Most datagrams of a train and most bytes of it (what every kernel with GSO takes), and most
 * that one call of on_dgrams() delivers. */
enum { TAKO_DGRAM_SEGMENTS_MAX = 64, TAKO_DGRAM_BYTES_MAX = 65507, TAKO_DGRAM_BATCH = 64 };

/* What arrived on a datagram socket: one datagram, or several of one sender that the kernel
 * joined: segment_bytes each but the last, which may be shorter.  All of it is borrowed for
 * the call. */
struct tako_dgram {
	const char *p; /* not NULL, also when it is empty */
	size_t n;
	uint32_t segment_bytes;      /* n when it is one datagram (0 for an empty one) */
	uint32_t ifindex;            /* the interface it came in on; 0: unknown */
	const struct sockaddr *from; /* NULL: a Unix socket without a name */
	/* The local address and port that an answer should come from; NULL: unknown.  The address
	 * is :: when it was sent to a group and the socket is IPv6's. */
	const struct sockaddr *to;
	socklen_t from_n;
	socklen_t to_n;
	uint8_t ecn;    /* the two ECN bits, RFC 3168 section 5 */
	bool truncated; /* the rest of it did not fit and is lost */
	uint16_t reserved;
	/* How many the kernel had dropped before this one, modulo 2^32, on a socket that was asked to
	 * tell (SO_RXQ_OVFL); 0: none, or unknown. */
	uint32_t dropped;
};

/* A datagram, or a train of equally long ones to one address, on its way out.  Zero it, fill
 * it, tako_sock_queue(s, &d->op), then flush().  op.done() runs once, with
 *   0            the kernel took it all;
 *   TAKO_ESYS    it failed as sys_errno says (EMSGSIZE, ENETUNREACH, EINVAL for a train beyond
 *                the limits above): of a train, datagrams may have left before that.  What is
 *                queued behind it is not affected;
 *   TAKO_ECLOSED the socket was closed first.
 * The sender owns the struct, the bytes and the addresses until then; p and n move on as a
 * train leaves in parts. */
struct tako_dgram_send {
	struct tako_send op; /* first; p and n: all the bytes.  Files cannot be sent. */
	/* 0: one datagram; else the bytes leave as datagrams this long, the last maybe shorter. */
	uint32_t segment_bytes;
	int32_t sys_errno;
	const struct sockaddr *to;   /* NULL: the one that the socket is connected to */
	const struct sockaddr *from; /* local address to send from; NULL: the kernel's choice */
	socklen_t to_n;
	socklen_t from_n;
	uint8_t ecn;         /* the two ECN bits; unless 0 they replace the socket's IP_TOS */
	uint8_t tried;       /* the neutral half's */
	uint8_t reserved[6]; /* 0 */
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
	/* 1 to TAKO_DGRAM_BATCH datagrams (or trains) arrived at a datagram socket (none: see
	 * TAKO_SOCK_ENOUGH), whose on_recv()
	 * has one use: (s, NULL, TAKO_ESYS) when the kernel reports an error of something sent
	 * earlier (ECONNREFUSED on a connected socket), tako_last_error() says which.  That breaks
	 * nothing: the socket goes on. */
	void (*on_dgrams)(struct tako_sock *s, const struct tako_dgram *v, unsigned count);
	/* No list of the runtime holds the socket any more; the last call for it. */
	void (*on_closed)(struct tako_sock *s);
	/* A hint, or NULL: the runtime is about to receive for this stream alone, as much as there is,
	 * and will then call on_recv().  What that will look at may be prefetched; nothing may be
	 * changed. */
	void (*expect)(const struct tako_sock *s);
	/* What became of connect(): 0, the stream is as one that was started; or an errno: it will
	 * deliver nothing, what was queued has been done with TAKO_ECLOSED, and close() is still
	 * owed.  Comes also to a socket that is paused, for nothing has been received. */
	void (*on_connect)(struct tako_sock *s, int errno_value);
};

#define TAKO_SOCK_PAUSED 1u  /* wish: deliver nothing */
#define TAKO_SOCK_CLOSING 2u /* close() was called */
#define TAKO_SOCK_EOF 4u     /* on_recv(0) was delivered */
#define TAKO_SOCK_BROKEN 8u  /* on_recv(negative) was delivered */
/* Hint: close() follows as soon as what is queued has left, so the end of the connection may
 * travel with the last bytes. */
#define TAKO_SOCK_LAST 16u
#define TAKO_SOCK_CONNECTING 32u /* connect() was called, on_connect() has not been */
/* Wish, for a datagram socket that others have as well: set it beside TAKO_SOCK_PAUSED and call resume().
 * No more is taken from the kernel; what was taken before is delivered; then on_dgrams(s, NULL, 0) says, once,
 * that this was all, and the socket is paused. */
#define TAKO_SOCK_ENOUGH 64u
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
	uint32_t recv_buffer_bytes; /* lent at once, at most; 0: the runtime's choice */
	uint32_t reserved;
	/* Of these in the loop, and filled for one socket in one turn, at most; 0: the runtime's
	 * choice. */
	uint32_t recv_buffer_count;
	uint32_t send_max_bytes; /* given to the kernel at once, at most; 0: no limit */
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
	/* Can this machine run it?  0, or TAKO_ENOTSUP and one line why, or TAKO_ENOMEM.  [any] */
	int (*probe)(char *why, size_t n);
	/* Make a loop, on the thread that will turn it. */
	int (*open)(struct tako_loop **out, const struct tako_loop_config *cfg);
	/* Every socket must be closed and reaped. */
	void (*free)(struct tako_loop *loop);
	/* Submit what is pending, wait until something happened or until `deadline_ns` (0: do not
	 * wait; UINT64_MAX: no deadline), dispatch, reap.  0, or TAKO_ESYS when the loop is
	 * broken. */
	int (*turn)(struct tako_loop *loop, uint64_t deadline_ns);
	/* Set the loop's clock to what it is now, as turn() does: for what is timed between turns, of which
	 * the last may be long ago.  tako_loop_refresh() for who has no time of his own. */
	void (*refresh)(struct tako_loop *loop);
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
	/* Something was queued: send it before the loop sleeps. */
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
	/* Drive the datagram socket `fd` (UDP, bound or connected, or Unix, there also a connected
	 * SOCK_SEQPACKET, whose end is an empty datagram, again and again until it is paused;
	 * non-blocking), which the runtime closes after close().  Asks for GRO, the local address and ECN where the
	 * kernel has them; what else the socket should do (IP_MTU_DISCOVER, buffer sizes) is the
	 * caller's.  (Connect a Unix socket: the kernel does not say when a peer that is only named
	 * has room again, so one that is full is tried over and over.)
	 * Pause, resume(), flush() and close() are as for streams; shut(), waiting() and
	 * unacked() are for streams only.  NULL: this runtime has no datagrams.  TAKO_EINVAL: not
	 * a datagram socket, or not bound; TAKO_ENOMEM; TAKO_ESYS: fd is still the caller's. */
	int (*start_dgram)(struct tako_loop *loop, struct tako_sock *s, int fd);
	/* Connect the stream `fd` (non-blocking; bound or not) to that address, borrowed for the call,
	 * and drive it as start() does.  The outcome is told by on_connect(), from a turn, also where
	 * the kernel knows it at once.  What is queued before that leaves when it is connected.
	 * shut(), waiting() and unacked() are for who is.  How long a peer may take is the user's to
	 * decide: close().  (A Unix socket whose backlog is full refuses with EAGAIN: the kernel does
	 * not say when it has room.)  NULL: this runtime makes no connections.  As for start(), the
	 * descriptor is the runtime's and close() is owed also when this fails (TAKO_E*). */
	int (*connect)(struct tako_loop *loop, struct tako_sock *s, int fd,
	               const struct sockaddr *to, socklen_t n);
	/* Has the peer of this stream, as far as the kernel knows, neither sent nor ended anything that was not
	 * delivered yet?  Needed where there is connect(). */
	bool (*silent)(struct tako_sock *s);
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
/* Cut `count` iovecs of *bytes to `max_bytes`.  Returns how many are left, *bytes is their sum.
 * [loop] */
TAKO_API unsigned tako_sock_cut(struct iovec *iov, unsigned count, size_t max_bytes, size_t *bytes);
/* The kernel took `bytes` from the head: completes what is done.  [loop] */
TAKO_API void tako_sock_advance(struct tako_sock *s, size_t bytes);
/* Complete everything queued with `err`.  [loop] */
TAKO_API void tako_sock_fail(struct tako_sock *s, int err);

/* ---- The same for datagrams ------------------------------------------------------------ */

/* What a runtime has to know of a datagram socket.  One word: it fits in tako_sock.rt. */
struct tako_dgram_info {
	uint16_t family; /* AF_* */
	uint16_t port;   /* bound to; network byte order */
	uint32_t caps;   /* TAKO_RT_DGRAM_*: what this socket can, now */
};

union tako_dgram_addr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Room for the control messages that tako_dgram_setup() asks for, with space for one or two that
 * the caller asked for; and for those of a send. */
enum { TAKO_DGRAM_CONTROL_BYTES = 256 };

union tako_dgram_control {
	size_t align; /* a cmsghdr's */
	char bytes[TAKO_DGRAM_CONTROL_BYTES];
};

/* Set the options of start_dgram() and find out what came of them.  Those that the kernel does
 * not have are left out, which is no failure.  TAKO_EINVAL or TAKO_ESYS: as start_dgram(). */
TAKO_API int tako_dgram_setup(struct tako_dgram_info *ret, int fd);
/* Describe a message of `n` bytes at `p` that was received with its name, control messages and
 * flags in `msg`.  `to` is where *ret's local address is kept; both live as long as *ret. */
TAKO_API void tako_dgram_decode(struct tako_dgram *ret, union tako_dgram_addr *to,
                                const struct tako_dgram_info *info, const struct msghdr *msg,
                                const char *p, size_t n);
/* Make the message that sends what comes `at` bytes into what is left of `d`: all of it, or one
 * datagram of a train where the kernel cannot split it.  `iov` and `control` are parts of *ret.
 * Returns how many bytes that is (0: an empty datagram), or a negative errno: it cannot be sent. */
TAKO_API int tako_dgram_encode(struct msghdr *ret, struct iovec *iov,
                               union tako_dgram_control *control, const struct tako_dgram_send *d,
                               size_t at, const struct tako_dgram_info *info);
/* The kernel took the first message of the head: completes the op if that was all of it.
 * Returns 0, or the errno of a failure that turned out to be an earlier datagram's: the runtime
 * reports it by on_recv(). */
TAKO_API int tako_dgram_sent(struct tako_sock *s, size_t bytes);
/* The kernel refused it, and not with EAGAIN or EINTR.  Returns true if the head is to be encoded
 * anew and tried again (without GSO, which this may turn off in *info; or because the failure may
 * be an earlier datagram's), else completes it with TAKO_ESYS. */
TAKO_API bool tako_dgram_failed(struct tako_sock *s, struct tako_dgram_info *info, int errno_value);

TAKO_END

#endif /* TAKO_SYS_RUNTIME_H */

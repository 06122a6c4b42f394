/* SPDX-License-Identifier: MIT
 *
 * One connection: its socket, its layers, its protocol, what it has to send and when its
 * patience ends.  Small on purpose: an idle connection is this struct and nothing else.
 */
#ifndef TAKO_CORE_CONN_H
#define TAKO_CORE_CONN_H

#include <netinet/in.h>
#include <string.h>

#include "core/base.h"
#include "core/layer.h"
#include "core/list.h"
#include "core/proto.h"
#include "core/wheel.h"

struct tako__listener;
struct tako__proxied;
struct tako__spool;
struct tako__worker;

/* Response bytes that were copied, on their way to the socket. */
struct tako__out {
	struct tako_send op;
	struct tako__conn *conn;
	uint32_t used;
	uint32_t reserved;
	char data[];
};

enum {
	TAKO__OUT_BYTES = 16384,
	TAKO__OUT_ROOM = TAKO__OUT_BYTES - sizeof(struct tako__out),
};

#define TAKO__CONN_DIRTY 1u   /* on the worker's list of those to flush */
#define TAKO__CONN_ENTERED 2u /* inside one of its callbacks, which flushes at the end */
#define TAKO__CONN_FINISH 4u  /* close when everything is sent */
#define TAKO__CONN_LINGER 8u  /* … but read on for a while first */
#define TAKO__CONN_LINGERING 16u
#define TAKO__CONN_CLOSING 32u /* the socket is being closed */
#define TAKO__CONN_COUNTED_IP 64u
#define TAKO__CONN_DRAINING 128u
#define TAKO__CONN_STALLED 256u /* the socket has not taken all for a whole turn */
#define TAKO__CONN_ENDED 512u   /* the layers know that nothing more will be sent */
#define TAKO__CONN_HELD 1024u   /* a layer holds back input because of a pause */
/* What is being sent has no end but the connection's: cut short, it ends in a reset. */
#define TAKO__CONN_UNFRAMED 2048u
/* What comes may be a replay of what another connection sent: the handshake is not confirmed. */
#define TAKO__CONN_EARLY 4096u
/* What opens has its first bytes in hand: its recv follows at once. */
#define TAKO__CONN_GIVEN 8192u
/* The peer has not been told yet that there is HTTP/3 as well. */
#define TAKO__CONN_ALT_SVC 16384u
/* Its transport carries it by itself: nothing is sent on its sock. */
#define TAKO__CONN_CARRIED 32768u
/* We made it, and it has a place in the server's count of such. */
#define TAKO__CONN_PLACED 65536u
/* What is sent on it stays apart: see record.h. */
#define TAKO__CONN_RECORDS 262144u
/* The peer has said by its layers that it ends; cut off, it could not have. */
#define TAKO__CONN_SAID_END 131072u

enum { TAKO__PROTO_STATE_BYTES = 96 };

/* What every request touches comes first, in as few cache lines as it fits: with a thousand
 * connections none of them is in a near cache. */
struct tako__conn {
	struct tako_sock sock;
	struct tako__worker *worker;
	const struct tako__proto_ops *proto;
	struct tako__layer *top; /* nearest to the protocol */
	struct tako__layer *bottom;
	struct tako__out *open; /* being filled, not queued yet */
	struct tako_send
		*held_head;     /* a file that is read for the layers, and what waits behind it */
	uint64_t held_bytes;    /* in them, and in what layers have taken and not passed on */
	uint64_t counted_bytes; /* of sent_bytes: in the statistics already */
	uint64_t request_count;
	uint64_t progress_ns; /* when the peer last took any */
	uint64_t deadline_ns; /* the timer may fire earlier and then looks here */
	uint32_t flags;
	uint32_t linger_bytes; /* read and thrown away so far */
	uint64_t proto_state[TAKO__PROTO_STATE_BYTES / 8];
	struct tako__timer timer;

	struct tako__listener *listener; /* NULL: we made it (dial.h) */
	struct tako__list link;          /* worker's connections */
	struct tako__conn *dirty_next;
	struct tako__spool *spool;     /* while a file is read for the layers */
	struct tako__proxied *proxied; /* what a PROXY header said; NULL: there was none */
	struct tako_send *held_tail;
	uint64_t id;
	uint64_t stall_ns;       /* since when the peer has been taking too little */
	uint64_t stall_bytes;    /* sent_bytes then */
	uint64_t progress_bytes; /* sent_bytes at progress_ns */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

/* Take over the accepted descriptor, whose place in the server's count is reserved; on failure
 * both are given back. */
void tako__conn_accept(struct tako__listener *ls, int fd, const struct sockaddr *from,
                       socklen_t from_len);

/* One that a transport carries by itself, many on a socket that is the listener's.  `carrier` stands
 * for their loop: its runtime's close and reset are asked to end one, put its sock on the worker's
 * list of the dead, and what hangs on it ends with proto->fini() at the end of the turn; nothing is
 * ever sent or received by it.  Its place in the server's count is reserved.  NULL: it is given back,
 * as there is no memory, or the peer has too many. */
struct tako__conn *tako__conn_carry(struct tako__listener *ls, struct tako_loop *carrier,
                                    const struct sockaddr *from, socklen_t from_len);

/* One that we make: `fd`, which is taken over also on failure, is connected to that address, and
 * tako__dial_answered() tells what came of it.  TAKO_ENOMEM, TAKO_ESYS. */
int tako__conn_dial(struct tako__conn **ret, struct tako__worker *w,
                    const struct tako__proto_ops *proto, int fd, const struct sockaddr *to,
                    socklen_t n);

/* Count it in for its peer's address.  False: that has as many as it may; close it. */
bool tako__conn_admit(struct tako__conn *c);

/* The layers are ready: from now on `proto` speaks, instead of what did until now.  A negative code:
 * it does not, and the connection is to be closed. */
int tako__conn_become(struct tako__conn *c, const struct tako__proto_ops *proto);

/* Room for `n` contiguous bytes (at most TAKO__OUT_ROOM) in the output; NULL without
 * memory, or on a connection that is being closed: tako__conn_refusal() says which.  What was written
 * is then told to commit. */
char *tako__conn_reserve_slow(struct tako__conn *c, size_t n);
static inline char *tako__conn_reserve(struct tako__conn *c, size_t n)
{
	struct tako__out *o = c->open;

	if (TAKO__LIKELY(o && TAKO__OUT_ROOM - o->used >= n))
		return o->data + o->used;
	return tako__conn_reserve_slow(c, n);
}
static inline int tako__conn_refusal(const struct tako__conn *c)
{
	return c->flags & TAKO__CONN_CLOSING ? TAKO_ECLOSED : TAKO_ENOMEM;
}
static inline void tako__conn_commit(struct tako__conn *c, size_t n)
{
	c->open->used += (uint32_t)n;
}

/* Copy bytes into the output.  TAKO_ENOMEM: some of them may be there already, so that the
 * connection can only be closed. */
int tako__conn_write(struct tako__conn *c, const char *p, size_t n);
/* Queue an op behind what was written so far.  Completes once, also on failure. */
int tako__conn_send(struct tako__conn *c, struct tako_send *op);

/* An op of this connection is done: tell the protocol. */
void tako__conn_written(struct tako__conn *c);

/* Bytes accepted and not yet taken by the kernel. */
static inline uint64_t tako__conn_unsent(const struct tako__conn *c)
{
	return c->sock.queued_bytes + c->held_bytes + (c->open ? c->open->used : 0);
}

/* Around everything that enters a connection from outside its own callbacks (timers, mail):
 * what was written is sent before the turn ends. */
void tako__conn_touch(struct tako__conn *c);
/* What the worker does with touched ones. */
void tako__conn_kick(struct tako__conn *c);
/* Queue what is in the open buffer. */
void tako__conn_flush(struct tako__conn *c);

/* Hold back and resume what is received. */
static inline void tako__conn_pause(struct tako__conn *c)
{
	c->sock.flags |= TAKO_SOCK_PAUSED;
}
static inline void tako__conn_resume(struct tako__conn *c)
{
	if (c->sock.flags & TAKO_SOCK_PAUSED) {
		c->sock.loop->rt->resume(&c->sock);
		if (TAKO__UNLIKELY(c->flags & TAKO__CONN_HELD))
			tako__conn_touch(c);
	}
}

/* End our side; nothing is queued any more. */
void tako__conn_shut(struct tako__conn *c);
/* Has the peer sent what was not delivered yet? */
bool tako__conn_waiting(struct tako__conn *c);

/* Close at once; what is queued is lost. */
void tako__conn_close(struct tako__conn *c);
/* … and so that the peer knows it. */
void tako__conn_reset(struct tako__conn *c);
/* Close when everything written has left.  `linger`: the peer may still be sending, so shut
 * down our side only and read on until it closes too, or a reset would destroy the
 * response on its way (RFC 9112 section 9.6). */
void tako__conn_finish(struct tako__conn *c, bool linger);

enum {
	TAKO__DELIVERY_BYTES_MAX = 1 << 20, /* recv_buffer_bytes is bounded by it */
	TAKO__CHUNK_BYTES_MAX = 64,         /* more than what a chunk has around it */
};

/* What a user may have unsent who is to stop at `high` bytes: four times that, and a delivery more than it where that is
 * more.  Who sends on what he receives has just below `high` unsent when the next delivery comes, and stops then. */
static inline uint64_t tako__unsent_max(uint64_t high)
{
	uint64_t four = high < UINT64_MAX / 4 ? high * 4 : UINT64_MAX;

	uint64_t more = TAKO__DELIVERY_BYTES_MAX + TAKO__CHUNK_BYTES_MAX;

	return four - high < more && high < UINT64_MAX - more ? high + more : four;
}

/* Has the peer taken nothing of what is unsent for write_timeout_ms, or less than the least rate?
 * Asked once a tick. */
bool tako__conn_too_slow(struct tako__conn *c, uint64_t now_ns);

/* Be called (proto->tick) when this time comes; UINT64_MAX: never.  A later deadline costs
 * a store: the timer fires early, looks, and sleeps on. */
void tako__conn_arm(struct tako__conn *c);
static inline void tako__conn_deadline(struct tako__conn *c, uint64_t deadline_ns)
{
	c->deadline_ns = deadline_ns;
	if (deadline_ns < c->timer.deadline_ns)
		tako__conn_arm(c);
}

struct tako__arena;
struct tako_conn_info;
/* Everything that is known of it, with its text in `arena`.  NULL: it is gone.  TAKO_EINVAL, TAKO_ENOMEM:
 * as tako_req_conn_info(). */
int tako__conn_info(struct tako__conn *c, const char *transport, struct tako__arena *arena,
                    struct tako_conn_info *out);

/* "192.0.2.1:4711", "[::1]:4711", "vsock:3:80" or "unix:"; returns the length. */
size_t tako__addr_format(const struct sockaddr *sa, char *buf, size_t n);

#endif /* TAKO_CORE_CONN_H */

/* SPDX-License-Identifier: MIT
 *
 * The seam between a QUIC connection and the application protocol on it (HTTP/3, sessions of
 * streams without HTTP): what the transport tells the application, and what that may ask of the
 * transport.  The transport knows streams, windows, loss and time (RFC 9000, 9001, 9002, 9221) and
 * no byte of what streams carry; the application knows nothing of packets, and this header names
 * no library.
 *
 * The handle is the struct tako__conn, one for each QUIC connection, as for every other protocol:
 * exchanges hang on it, it is in the worker's list and in the server's figures.  It has no socket
 * of its own: nothing is written by tako__conn_write() and its kin, nothing is received by
 * proto->recv().  What does work on it as ever:
 *
 *   tako__conn_touch()     look at it again before the loop sleeps: app->look(), then app->next()
 *   tako__conn_deadline()  app->tick() at that time; the application's alone, the transport's own
 *                          timers are elsewhere
 *   tako__conn_close()     at once, as tako__quic_close() with app->no_error; tako__conn_reset():
 *                          with app->internal_error.  What is queued is not waited for.
 *   c->peer                the validated address; it changes when the peer migrates
 *   c->request_count, c->id, c->flags & TAKO__CONN_DRAINING, c->worker, tako__layer_query()
 *                          (tako_req_conn_info() has SNI, ALPN, cipher and certificate by itself)
 *
 * ---- Calls, in which order, and from where -----------------------------------------------------
 *
 * All of it on the worker's thread.  The transport calls the application from a datagram that
 * arrived, from a timer, or from a touched connection; never from inside a function below.  So
 * every function below may be called from everywhere on the loop: from any callback of this seam,
 * from exchange code, from a mail.  What such a call changes is acted on when the present callback
 * and all it is nested in have returned; a connection is written to once for all of them.
 *
 *   open() once, first.  Then anything.  fini() once, last, also where open() has failed; never
 *   from inside another callback or a function below.  Between tako__quic_close() (or
 *   tako__conn_close(), or the peer's own end) and fini(), nothing is called but, at most, what is
 *   left of the callback that the call was made from; functions below then do nothing and return
 *   TAKO_ECLOSED.  `c` and its exchanges live until fini() returns.
 *
 * Callbacks that return int: 0, or a negative TAKO_E*, upon which the connection ends with
 * app->internal_error, unless the callback has called tako__quic_close() for a better one before it
 * returned.
 *
 * ---- Memory -----------------------------------------------------------------------------------
 *
 * Received bytes are borrowed for the call.  Bytes given for sending are lent: they stay where they
 * are, unchanged, until acked() has told of them, or closed() of their stream, or fini(): they
 * may have to be sent again (RFC 9000 section 13.3).  A stream that tako__quic_reset() gave up
 * lends nothing any more when that call returns.
 *
 * Running out of memory is TAKO_ENOMEM, with nothing changed; of what a peer may make the transport
 * keep everything is bounded by the windows and counts in the config. */
#ifndef TAKO_QUIC_APP_H
#define TAKO_QUIC_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <tako/server.h>

#include "core/conn.h"
#include "core/proto.h"

struct tako__listener;

/* ---- Streams, as RFC 9000 section 2.1 numbers them ------------------------------------------ */

static inline bool tako__quic_is_ours(int64_t id)
{
	return id & 1; /* opened by the server */
}
static inline bool tako__quic_is_uni(int64_t id)
{
	return id & 2;
}

/* ---- What to send next ------------------------------------------------------------------------ */

enum { TAKO__QUIC_VECS = 16 };

struct tako__quic_piece {
	int64_t id;   /* the stream; -1: there is nothing to send */
	void *stream; /* handed back with what became of it */
	bool fin;     /* the bytes are its last ones; there may be none */
	unsigned count;
	struct iovec vec[TAKO__QUIC_VECS]; /* may hold more than a packet takes; lent, see above */
};

/* ---- The application ------------------------------------------------------------------------- */

/* `stream` is what tako__quic_stream_set() or tako__quic_stream_open() has put on it; NULL for a
 * peer's stream until then.  Members that say so may be NULL. */
struct tako__quic_app {
	/* The protocol: its name is the ALPN identifier (RFC 7301).  Its connection half is
	 * TAKO__QUIC_PROTO_OPS, the rest is for those who have exchanges. */
	const struct tako__proto_ops *proto;
	/* Error codes of the application (RFC 9000 section 20.2): for an end without a reason, as when
	 * the server stops or the drain is cut; and when a callback fails. */
	uint64_t no_error;
	uint64_t internal_error;

	/* The protocol is agreed on and streams may be opened and written.  Where no client
	 * certificate is asked for this is with our first flight, before the handshake is through
	 * (0.5-RTT): good for settings; nothing of the peer's arrives before ready(), but see `early`.  c's proto is
	 * the application's from here on. */
	int (*open)(struct tako__conn *c);
	/* The handshake is complete.  NULL: not interested. */
	int (*ready)(struct tako__conn *c);
	/* Nothing of `c` is used any more after this call: tell its exchanges (tako__exchange_gone()),
	 * free what hangs on it.  `err`: TAKO_ECLOSED; TAKO_ETIMEDOUT, the peer fell silent;
	 * TAKO_EPROTO, it broke QUIC; TAKO_ETLS; TAKO_ENOMEM.  The lent bytes of all streams are the
	 * application's again. */
	void (*fini)(struct tako__conn *c, int err);

	/* Somebody touched the connection: an exchange wrote, a body is wanted again.  Go on with
	 * what waits; next() is asked afterwards.  NULL: next() finds everything by itself. */
	void (*look)(struct tako__conn *c);
	/* tako__conn_deadline() has come.  NULL: none is ever set. */
	void (*tick)(struct tako__conn *c);
	/* The worker stops taking new work: say so to the peer, finish, then tako__quic_close().  What
	 * is not done at drain_timeout_ms is cut.  New streams of the peer still arrive. */
	void (*drain)(struct tako__conn *c);

	/* -- Receiving -- */

	/* The peer has opened a stream, within the limits that it was given. */
	int (*stream_opened)(struct tako__conn *c, int64_t id);
	/* Bytes in order; n may be 0 with `fin`, which comes once, with the last ones.  They stay
	 * counted against the windows until tako__quic_consumed() or _forgotten() has been told of
	 * them, now or later: who tells only what he has really used has back-pressure to the peer. */
	int (*stream_data)(struct tako__conn *c, int64_t id, void *stream, const char *p, size_t n,
	                   bool fin);
	/* RESET_STREAM: no more comes, with `code`; what was not received yet never will be, and is
	 * already out of the windows. */
	int (*stream_reset)(struct tako__conn *c, int64_t id, void *stream, uint64_t code);
	/* The stream is gone on both sides; its id will not come up again.  `has_code`: not by two
	 * FINs but by `code`.  Bytes received and not consumed are due to tako__quic_forgotten(), now
	 * or later.  Return true: the peer may open another one for it at once; false: the
	 * application will say so by tako__quic_streams_more(), when what the stream began is over.
	 * (Of no meaning for our own streams.) */
	bool (*stream_closed)(struct tako__conn *c, int64_t id, void *stream, bool has_code,
	                      uint64_t code);
	/* A datagram (RFC 9221).  NULL: the connection is without, whatever h3_datagrams says. */
	int (*datagram)(struct tako__conn *c, const char *p, size_t n);
	/* They are received also where h3_datagrams does not say so.  NULL: they are not. */
	bool (*wants_datagrams)(const tako_server_config *cfg);

	/* -- Sending -- */

	/* Fill in `piece`, set to {.id = -1} by the caller, with what is to be sent next; called as
	 * long as congestion, pacing, the connection's window and the socket have room for more, until
	 * it says that there is nothing.  Between two calls comes exactly one of stream_wrote(),
	 * stream_blocked() or stream_shut() for what it said, unless the packet was full already: then
	 * the same question comes again, maybe much later, and may be answered otherwise. */
	int (*next)(struct tako__conn *c, struct tako__quic_piece *piece);
	/* The first `n` bytes of it are on their way, and the FIN if `fin`. */
	int (*stream_wrote)(struct tako__conn *c, int64_t id, void *stream, size_t n, bool fin);
	/* It takes none now: the peer's window for this stream is used up.  Do not offer it before
	 * stream_unblocked(). */
	int (*stream_blocked)(struct tako__conn *c, int64_t id, void *stream);
	/* It takes none ever: our half has been reset, by us or because the peer has sent STOP_SENDING
	 * (RFC 9000 section 3.5).  Nobody is told of the latter before he offers bytes; who has none
	 * to offer hears of it by stream_closed(), as soon as the peer's half has ended too. */
	int (*stream_shut)(struct tako__conn *c, int64_t id, void *stream);
	/* The peer's window for it has grown (whether it was blocked or not). */
	int (*stream_unblocked)(struct tako__conn *c, int64_t id, void *stream);
	/* The next `n` bytes, in order, have arrived and will not be looked at again. */
	int (*stream_acked)(struct tako__conn *c, int64_t id, void *stream, uint64_t n);
	/* The peer allows more streams of ours.  NULL: nobody waits for that. */
	int (*streams_allowed)(struct tako__conn *c, bool uni);

	/* It can do with streams that arrive before the handshake is through, and so before ready(): with
	 * TAKO__CONN_EARLY set meanwhile, as somebody may be playing them back (RFC 9001 section 9.2). */
	bool early;
};

/* ---- For an application's transport ------------------------------------------------------------ */

/* The connection half of an application's struct tako__proto_ops, which has .name and, if it carries
 * exchanges, their functions beside it. */
#define TAKO__QUIC_PROTO_OPS                                                                       \
	.written = tako__quic_written, .tick = tako__quic_tick, .drain = tako__quic_drain,         \
	.fini = tako__quic_fini

void tako__quic_written(struct tako__conn *c);
void tako__quic_tick(struct tako__conn *c);
void tako__quic_drain(struct tako__conn *c);
void tako__quic_fini(struct tako__conn *c);

/* What a connection speaks before ALPN has said. */
extern const struct tako__proto_ops tako__quic_handshake_ops;

/* An application makes its listener's transport, the public tako_xxx(), as
 *
 *   static const struct tako__quic_app *const apps[] = {&tako__h3_app, NULL};
 *
 *   static int prepare(void **ret_shared, const struct tako_server *srv,
 *                      const tako_listen_config *cfg)
 *   {
 *           return tako__quic_prepare(ret_shared, srv, cfg, apps);
 *   }
 *   static const tako_transport transport = {.name = "HTTP/3", .prepare = prepare,
 *                                            TAKO__QUIC_TRANSPORT};
 *
 * (with core/server.h).  `apps` are in the order of preference; a client must offer one of their
 * names (RFC 9001 section 8.1). */
#define TAKO__QUIC_TRANSPORT                                                                       \
	.proto = &tako__quic_handshake_ops, .dgram = &tako__quic_dgram,                            \
	.release = tako__quic_release, .open = tako__quic_open, .close = tako__quic_close_worker

extern const struct tako__dgram_ops tako__quic_dgram;
int tako__quic_prepare(void **ret_shared, const struct tako_server *srv,
                       const tako_listen_config *cfg, const struct tako__quic_app *const *apps);
void tako__quic_release(void *shared);
/* The `apps` that it was prepared with. */
const struct tako__quic_app *const *tako__quic_apps(const void *shared);
int tako__quic_open(struct tako__listener *ls);
void tako__quic_close_worker(struct tako__listener *ls);

/* ---- For an application ------------------------------------------------------------------------- */

/* Where the application keeps its own pointer: NULL until it writes there. */
static inline void **tako__quic_state(struct tako__conn *c)
{
	return (void **)(void *)&c->proto_state[1];
}

/* Open a stream and put `stream` on it.  The peer learns of it with the first bytes.
 *   TAKO_EBUSY    the peer allows no more now: streams_allowed() tells when
 *   TAKO_ENOMEM, TAKO_ECLOSED */
int tako__quic_stream_open(struct tako__conn *c, bool uni, void *stream, int64_t *ret_id);
/* How many more of ours the peer would take now. */
uint64_t tako__quic_streams_left(struct tako__conn *c, bool uni);
/* What callbacks get as `stream`.  TAKO_ENOENT: there is no such stream. */
int tako__quic_stream_set(struct tako__conn *c, int64_t id, void *stream);

/* `n` received bytes of the stream are used: the peer may send as many more on it and on the
 * connection.  Fine also for a stream that is gone; then as _forgotten(). */
void tako__quic_consumed(struct tako__conn *c, int64_t id, uint64_t n);
/* … of a stream that shall not grow: on the connection only. */
void tako__quic_forgotten(struct tako__conn *c, uint64_t n);
/* The peer may open `n` streams more, in place of those whose stream_closed() said false. */
void tako__quic_streams_more(struct tako__conn *c, bool uni, unsigned n);
/* How many bidirectional ones it may have opened by now, all that it ever did included. */
uint64_t tako__quic_streams_granted(const struct tako__conn *c);

/* RESET_STREAM: what is lent is given back, the peer sees the stream incomplete.  STOP_SENDING:
 * we want no more of it; nothing is delivered any more, stream_closed() excepted.  Fine for a stream
 * that is gone or has no such half.  TAKO_ENOMEM, after which the connection is closed; TAKO_ECLOSED. */
int tako__quic_reset(struct tako__conn *c, int64_t id, uint64_t code);
int tako__quic_stop(struct tako__conn *c, int64_t id, uint64_t code);

/* Send a datagram of these bytes together, copied, before streams' bytes.
 *   TAKO_EBUSY    TAKO__QUIC_DATAGRAMS wait already: they are no use late, drop it
 *   TAKO_ETOOBIG  more than tako__quic_datagram_max()
 *   TAKO_ENOTSUP  the peer takes none
 *   TAKO_ENOMEM, TAKO_ECLOSED */
enum { TAKO__QUIC_DATAGRAMS = 64 };
int tako__quic_datagram(struct tako__conn *c, const struct iovec *vec, unsigned count);
/* Bytes that fit into one on the present path; 0: the peer takes none. */
size_t tako__quic_datagram_max(struct tako__conn *c);

/* Ask next() before the loop sleeps; nothing, if the transport is about to do so anyway. */
static inline void tako__quic_wake(struct tako__conn *c)
{
	tako__conn_touch(c);
}

/* End the connection with an error code of the application: the peer is told (RFC 9000 section
 * 10.2), everything on its way is given up.  `reason`: for whoever reads a trace, copied, up to
 * TAKO__QUIC_REASON_BYTES of it; may be NULL.  The first call counts. */
enum { TAKO__QUIC_REASON_BYTES = 128 };
void tako__quic_close(struct tako__conn *c, uint64_t code, const char *reason);

/* The path as it is now. */
struct tako__quic_figures {
	uint64_t rtt_ns; /* smoothed; 0: not measured yet */
	uint64_t min_rtt_ns;
	uint64_t window_bytes; /* congestion's */
	uint64_t flight_bytes; /* sent and not acknowledged */
};
void tako__quic_figures(struct tako__conn *c, struct tako__quic_figures *ret);

/* How the connection ended, in fini(): the code of a CONNECTION_CLOSE that either side sent, and
 * whose it was. */
struct tako__quic_end {
	uint64_t code;
	bool by_peer;
	bool by_app;        /* an application's code (frame 0x1d), not QUIC's own (0x1c) */
	const char *reason; /* the peer's, not to be trusted; NUL-terminated, "" if there is none */
};
void tako__quic_end(struct tako__conn *c, struct tako__quic_end *ret);

#endif /* TAKO_QUIC_APP_H */

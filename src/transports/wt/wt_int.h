/* SPDX-License-Identifier: MIT
 *
 * Sessions inside.  Its parts: wt_session.c begins and ends them, wt_stream.c moves bytes of streams,
 * wt_send.c says which is next, wt_early.c keeps what comes before its session, wt_time.c waits; what
 * is a session's beginning and end on the wire is wt_accept.c's (over HTTP/3, with wt_h3.c for what it
 * shares a connection with) and wt_raw.c's (over QUIC alone).
 *
 * Callbacks of users run from what the transport calls (quic_app.h), from the CONNECT stream's exchange,
 * from a timer, or from tako__wt_look(): never from inside a function of theirs.  What those ask for is
 * noted and done in the next look.
 */
#ifndef TAKO_WT_INT_H
#define TAKO_WT_INT_H

#include <tako/webtransport.h>

#include "core/exchange.h"
#include "core/list.h"
#include "core/slow.h"
#include "core/worker.h"
#include "transports/h3/h3.h"
#include "transports/quic/quic_app.h"
#include "transports/wt/wt_capsule.h"
#include "transports/wt/wt_code.h"

enum tako__wt_state {
	TAKO__WT_ACCEPTED, /* on_open is to come, or under way */
	TAKO__WT_OPEN,
	TAKO__WT_ENDING, /* closed by us or cut: on_close is due as soon as it is safe */
	TAKO__WT_DONE,   /* on_close has run */
};

/* Over HTTP/3 in the arena of its exchange, and as long as that; else its connection's. */
struct tako_wt {
	struct tako__list link;  /* the connection's sessions */
	struct tako__list ready; /* … of those with something to send */
	struct tako__wt_conn *conn;
	struct tako__exchange *x;  /* the CONNECT stream's; NULL: over QUIC alone */
	struct tako__arena *arena; /* as long as it lives */
	void *arg;
	int64_t id; /* section 2.1: the CONNECT stream's */
	uint8_t state;
	bool fresh;  /* early streams may wait for it */
	bool drains; /* on_drain was told */
	bool heard_close;
	bool starved; /* the peer allowed no more streams: it is told when that changes */
	int why;      /* for on_close */
	uint32_t stream_count;
	uint64_t code;
	tako_str reason;
	struct tako__list streams;
	struct tako__list ready_streams;
	uint64_t since_ns;
	uint64_t active_ns;    /* something came in or went out */
	uint64_t drain_ns;     /* since on_drain */
	uint64_t ticked_bytes; /* wrote_bytes when streams were last looked at */
	bool ticks;            /* … as something is unsent */
	struct tako__timer timer;
	tako_wt_config cfg; /* with defaults */
	struct tako__wt_capsules in;
};

#define TAKO__WTS_PAUSED 1u
#define TAKO__WTS_FIN 2u         /* the peer's half ends behind what waits */
#define TAKO__WTS_RESET 4u       /* … has been given up by it, with `code` */
#define TAKO__WTS_IN_OVER 8u     /* … and the user knows, or wants to know no more */
#define TAKO__WTS_ENDED 0x10u    /* ours is complete, as far as the user goes */
#define TAKO__WTS_FIN_SENT 0x20u /* … and has left */
#define TAKO__WTS_CUT 0x40u      /* ours has been given up: nothing else goes out */
#define TAKO__WTS_SHUT 0x80u     /* … by the peer's wish: the user is to be told */
#define TAKO__WTS_BLOCKED 0x100u /* by the peer's window */
#define TAKO__WTS_FULL 0x200u    /* on_writable is due */
#define TAKO__WTS_CLOSED 0x400u  /* the transport knows it no more */
#define TAKO__WTS_OWED 0x800u    /* … and the peer may have another one for it when it is gone */
#define TAKO__WTS_BROKEN 0x1000u /* a half was given up, by either side, with `code` */
#define TAKO__WTS_STALLED 0x2000u
#define TAKO__WTS_EARLY 0x4000u /* its session is to come */

struct tako_wt_stream {
	struct tako__list link;  /* the session's, or the connection's early ones */
	struct tako__list ready; /* the session's, of those with something to send */
	struct tako__list later; /* the connection's, of those to look at */
	struct tako__wt_conn *conn;
	tako_wt *wt; /* NULL: early */
	void *arg;
	int64_t id;
	int64_t early_id; /* whose it will be */
	uint64_t early_ns;
	uint32_t flags;
	uint64_t code;
	struct tako__h3_stashes in; /* its reader was not ready */
	uint64_t sent_bytes;
	struct tako__stall stall; /* while STALLED, of sent_bytes */
	struct tako__h3_queue out;
};

enum { TAKO__WT_GONE_MAX = 16 };

/* A datagram that came before its session. */
struct tako__wt_early {
	struct tako__list link;
	int64_t id;
	uint64_t since_ns;
	size_t n;
	char data[];
};

/* What the sessions of a connection share. */
struct tako__wt_conn {
	struct tako__conn *c;
	struct tako__wt_local *local;
	struct tako__list sessions;
	struct tako__list
		leaving; /* those that are over, whose peer has not ended the CONNECT stream */
	struct tako__list ready; /* sessions */
	struct tako__list later; /* streams */
	struct tako__list early; /* streams */
	struct tako__list early_dgrams;
	struct tako__timer early_timer;
	uint64_t
		refused_code; /* of streams that nobody wants, and of those whose session is over */
	uint64_t gone_code;
	uint64_t wrote_bytes; /* of all streams */
	uint32_t early_count;
	uint32_t early_dgram_count;
	int64_t gone[TAKO__WT_GONE_MAX]; /* sessions that are over, the last ones */
	uint32_t gone_count;
	bool fresh;  /* there is a session that early ones may wait for */
	bool ending; /* … that is */
	bool over;   /* the connection is */
};

/* Every worker's share. */
struct tako__wt_local {
	struct tako__worker_local base;
	struct tako__pool conns;
	struct tako__pool streams;
};

struct tako__wt_local *tako__wt_local(struct tako__worker *w);

static inline const tako_server_config *tako__wt_server(const struct tako__wt_conn *wc)
{
	return &wc->c->worker->srv->cfg;
}
static inline uint64_t tako__wt_now(const struct tako__wt_conn *wc)
{
	return tako__now_ns(wc->c->worker);
}
static inline bool tako__wt_is_raw(const tako_wt *wt)
{
	return !wt->x;
}

/* What the transport keeps for a stream of ours.  Marked, as HTTP/3 keeps other things there. */
static inline void *tako__wt_mark(tako_wt_stream *s)
{
	return (char *)s + 1;
}
static inline bool tako__wt_is(const void *stream)
{
	return (uintptr_t)stream & 1;
}
static inline tako_wt_stream *tako__wt_stream(void *stream)
{
	return (tako_wt_stream *)(void *)((char *)stream - 1);
}

/* Less than half of high_water_bytes is unsent. */
static inline bool tako__wt_is_low(const tako_wt_stream *s)
{
	uint64_t high = s->wt->cfg.high_water_bytes;

	return s->out.unsent_bytes < high - high / 2;
}

/* ---- wt_conn.c ------------------------------------------------------------------------------- */

/* NULL: no memory. */
struct tako__wt_conn *tako__wt_conn_new(struct tako__conn *c);
/* The connection is gone, for `err`: everybody is told.  NULL is fine. */
void tako__wt_conn_fini(struct tako__wt_conn *wc, int err);
tako_wt *tako__wt_find(struct tako__wt_conn *wc, int64_t id);
/* Was there one? */
bool tako__wt_is_gone(const struct tako__wt_conn *wc, int64_t id);
/* Do what waits until nobody is inside.  NULL is fine. */
void tako__wt_look(struct tako__wt_conn *wc);
/* The peer allows more streams. */
void tako__wt_allowed(struct tako__wt_conn *wc);

/* ---- wt_session.c ------------------------------------------------------------------------------ */

static inline bool tako__wt_is_open(const tako_wt *wt)
{
	return wt && wt->state == TAKO__WT_OPEN;
}
/* Fill in defaults, refuse what cannot apply.  TAKO_EINVAL, TAKO_ENOTSUP. */
int tako__wt_config_import(tako_wt_config *ret, const tako_wt_config *from);
/* Zeroed memory becomes a session of the connection. */
void tako__wt_init(tako_wt *wt, struct tako__wt_conn *wc, const tako_wt_config *cfg, void *arg);
/* on_open, and then whatever came before. */
void tako__wt_opened(tako_wt *wt);
/* It shall end, wherever we are, and tako__wt_finish() comes as soon as it is safe.  `reason` must last;
 * the first call counts. */
void tako__wt_end(tako_wt *wt, int why, uint64_t code, tako_str reason);
/* It ends now: streams and user are told.  Only from where no call of the user's is on the stack. */
void tako__wt_finish(tako_wt *wt);
/* Say it to the peer.  `reason`, copied, then lasts. */
int tako__wt_say_close(tako_wt *wt, uint64_t code, tako_str *reason);
/* The server stops, or the peer wants to. */
void tako__wt_drain(tako_wt *wt);
/* A datagram of it. */
void tako__wt_on_datagram(tako_wt *wt, const char *p, size_t n);

/* ---- wt_time.c ------------------------------------------------------------------------------------ */

void tako__wt_timer_init(tako_wt *wt);
/* Look at the clock no later than now demands. */
void tako__wt_arm(tako_wt *wt);
/* It is over, and waits for its peer. */
void tako__wt_linger(tako_wt *wt);
/* Something is unsent: look at its streams from time to time. */
void tako__wt_arm_tick(tako_wt *wt);

/* ---- wt_stream.c ----------------------------------------------------------------------------------- */

/* NULL: no memory. */
tako_wt_stream *tako__wt_stream_new(struct tako__wt_conn *wc, int64_t id);
/* One of the peer's is this session's, which is open.  False: it has too many, and `s` is gone. */
bool tako__wt_stream_join(tako_wt_stream *s, tako_wt *wt);
/* Both halves by this code of the protocol's, and forgotten.  The user is not told. */
void tako__wt_stream_kill(tako_wt_stream *s, uint64_t code);
void tako__wt_stream_free(tako_wt_stream *s);
/* Its session is over. */
void tako__wt_stream_end(tako_wt_stream *s);
/* Look at it when nobody is inside. */
void tako__wt_later(tako_wt_stream *s);
void tako__wt_stream_look(tako_wt_stream *s);
/* The peer does not take what waits for it, or has not for too long.  `idle`: nobody's is taken. */
void tako__wt_stream_check(tako_wt_stream *s, uint64_t now_ns, bool idle);

/* As in struct tako__quic_app, of streams that tako__wt_is(). */
int tako__wt_data(void *stream, const char *p, size_t n, bool fin);
int tako__wt_was_reset(void *stream, uint64_t code);
bool tako__wt_closed(void *stream, bool has_code, uint64_t code);

/* ---- wt_send.c --------------------------------------------------------------------------------------- */

void tako__wt_ready(tako_wt_stream *s);
/* False: there is nothing.  NULL is fine. */
bool tako__wt_next(struct tako__wt_conn *wc, struct tako__quic_piece *piece);
int tako__wt_wrote(void *stream, size_t n, bool fin);
int tako__wt_blocked(void *stream);
int tako__wt_shut(void *stream);
int tako__wt_unblocked(void *stream);
int tako__wt_acked(void *stream, uint64_t n);

/* ---- wt_early.c ----------------------------------------------------------------------------------------- */

/* A stream whose session has not come yet is kept.  False: there is no room, and `s` is gone. */
bool tako__wt_early_stream(tako_wt_stream *s, int64_t id);
void tako__wt_early_datagram(struct tako__wt_conn *wc, int64_t id, const char *p, size_t n);
/* It has come: they are its own.  Or it is over, or will not be: they go, with this code. */
void tako__wt_early_join(tako_wt *wt);
void tako__wt_early_drop(struct tako__wt_conn *wc, int64_t id, uint64_t code);
void tako__wt_early_init(struct tako__wt_conn *wc);
void tako__wt_early_fini(struct tako__wt_conn *wc);

/* ---- wt_accept.c: sessions over HTTP/3 ------------------------------------------------------------------- */

/* Capsules, on the CONNECT stream; `end`: nothing follows. */
int tako__wt_connect_write(tako_wt *wt, const char *p, size_t n, bool end);
/* The session is over: let go of it, when the peer has ended it too. */
void tako__wt_connect_leave(tako_wt *wt);
/* … now. */
void tako__wt_connect_release(tako_wt *wt);

#endif /* TAKO_WT_INT_H */

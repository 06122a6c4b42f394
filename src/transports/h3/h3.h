/* SPDX-License-Identifier: MIT
 *
 * What the files of HTTP/3 share (RFC 9114): a connection, its streams, and what a worker keeps for
 * all of them.  Packets, windows and loss are the QUIC transport's below quic_app.h; what a
 * request means is the exchange's.  Of nghttp3 only QPACK's decoder is used: its own HTTP layer
 * drops malformed fields where they have to be refused, and ends connections where a stream
 * would do.
 */
#ifndef TAKO_H3_H
#define TAKO_H3_H

#include <nghttp3/nghttp3.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/server.h"
#include "core/slow.h"
#include "core/worker.h"
#include "transports/h2/h2_head.h"
#include "transports/h2/h2_limits.h"
#include "transports/h2/h2_mem.h"
#include "transports/h2/h2_priority.h"
#include "transports/h3/h3_frame.h"
#include "transports/h3/h3_mem.h"
#include "transports/h3/h3_qpack.h"
#include "transports/h3/h3_queue.h"
#include "transports/quic/quic_app.h"

extern const struct tako__proto_ops tako__h3_ops;
extern const struct tako__quic_app tako__h3_app;

struct tako__wt_conn;

/* RFC 9114 section 11.2.1, RFC 9218 section 7.2; those that are HTTP/2's alone are errors. */
enum tako__h3_frame_type {
	TAKO__H3_DATA = 0x0,
	TAKO__H3_HEADERS = 0x1,
	TAKO__H3_H2_PRIORITY = 0x2,
	TAKO__H3_CANCEL_PUSH = 0x3,
	TAKO__H3_SETTINGS = 0x4,
	TAKO__H3_PUSH_PROMISE = 0x5,
	TAKO__H3_H2_PING = 0x6,
	TAKO__H3_GOAWAY = 0x7,
	TAKO__H3_H2_WINDOW_UPDATE = 0x8,
	TAKO__H3_H2_CONTINUATION = 0x9,
	TAKO__H3_MAX_PUSH_ID = 0xd,
	TAKO__H3_WT_STREAM = 0x41, /* no frame: how a session's stream begins */
	TAKO__H3_PRIORITY_UPDATE = 0xf0700,
	TAKO__H3_PRIORITY_UPDATE_PUSH = 0xf0701,
};

/* RFC 9114 section 6.2, RFC 9204 section 4.2. */
enum tako__h3_stream_type {
	TAKO__H3_CONTROL_STREAM = 0,
	TAKO__H3_PUSH_STREAM = 1,
	TAKO__H3_ENCODER_STREAM = 2,
	TAKO__H3_DECODER_STREAM = 3,
	TAKO__H3_WT_UNI_STREAM = 0x54, /* draft-ietf-webtrans-http3 section 4.1 */
};

enum { TAKO__H3_DATAGRAM_ERROR = 0x33 }; /* RFC 9297 section 5.2 */

enum {
	TAKO__H3_URGENCIES = 8,
	TAKO__H3_UPDATED_MAX = 8,
	/* Of a control frame whose payload is looked at as a whole: an id and a priority. */
	TAKO__H3_PAYLOAD_BYTES = 72,
	TAKO__H3_STASH_BYTES = 1000,
};

/* Every worker's share. */
struct tako__h3_local {
	struct tako__worker_local base;
	struct tako__h2_mem mem;
	struct tako__pool conns;
	struct tako__pool streams;
	struct tako__pool unis;
	struct tako__pool sections;
	struct tako__h3_files files;
};

/* Received bytes that wait. */
struct tako__h3_stash {
	struct tako__h3_stash *next;
	size_t from; /* what comes before has been looked at */
	size_t n;
	size_t cap;
	char data[];
};
struct tako__h3_stashes {
	struct tako__h3_stash *first;
	struct tako__h3_stash **tail;
};

/* A field section that is being received. */
struct tako__h3_section {
	struct tako__h2_head head;
	nghttp3_qpack_stream_context *qpack;
	bool skip;     /* nobody wants its fields any more, or no more of them */
	bool dropped;  /* … and they are not decoded either */
	bool is_first; /* the request's, not its trailers */
};

/* ---- Requests ------------------------------------------------------------------------------ */

#define TAKO__H3S_RECEIVED 1u /* the peer's half has ended */
#define TAKO__H3S_ENDED 2u    /* the response is complete, as far as its writer goes */
#define TAKO__H3S_FINAL 4u    /* … and all of it has left */
#define TAKO__H3S_CUT 8u      /* given up by us or by the peer: nothing else goes out */
#define TAKO__H3S_OURS 0x10u  /* … and not because of something the peer did */
#define TAKO__H3S_DISCARD 0x20u
#define TAKO__H3S_CLOSED 0x40u /* the transport knows it no more; its exchange is not over */
#define TAKO__H3S_LATER 0x80u  /* on the connection's list of those to look at */
#define TAKO__H3S_SHRUNK 0x100u
#define TAKO__H3S_HAS_LENGTH 0x200u
#define TAKO__H3S_BLOCKED 0x400u /* by the peer's window */
#define TAKO__H3S_STALLED 0x800u /* … or the connection's, see stall */
#define TAKO__H3S_COLD 0x1000u   /* waits for a disk */
#define TAKO__H3S_STUCK 0x2000u  /* its field section waits for the table */
#define TAKO__H3S_RESET 0x4000u  /* by the peer, either half */
#define TAKO__H3S_OWED 0x8000u /* the peer may open another one when this one's exchange is over */
#define TAKO__H3S_STOPPED 0x10000u  /* we have said that we read no more */
#define TAKO__H3S_LOST 0x40000u     /* its exchange knows */
#define TAKO__H3S_RAW_FIN 0x20000u  /* … and the stream ends behind what waits with it */
#define TAKO__H3S_FRAMED 0x80000u   /* its first frame has begun */
#define TAKO__H3S_WT 0x100000u      /* it is a WebTransport session's stream, no request's */
#define TAKO__H3S_SESSION 0x200000u /* it asks for such a session, and is counted */
#define TAKO__H3S_WAITS 0x400000u   /* … and waits for the peer's SETTINGS */
#define TAKO__H3S_LATE 0x800000u    /* it came behind the last GOAWAY: a request is refused */

enum tako__h3_part {
	TAKO__H3_BEFORE, /* the head is to come */
	TAKO__H3_BODY,
	TAKO__H3_AFTER, /* the trailers have come */
};

struct tako__h3_stream {
	struct tako__list link;  /* the connection's */
	struct tako__list ready; /* … of those with something to send */
	struct tako__h3 *h;
	struct tako__exchange *x; /* NULL: none yet, or it is over */
	struct tako__h3_stream *later_next;
	int64_t id;
	uint32_t flags;
	enum tako__h3_part part;
	struct tako__priority priority;
	bool updated; /* by a frame, which outweighs the field */

	/* What is received. */
	struct tako__h3_frame frame;
	struct tako__h3_section *section;
	struct tako__h3_stashes raw;  /* behind a section that waits for the table */
	struct tako__h3_stashes body; /* its reader was not ready */
	uint64_t length;
	uint64_t received_bytes;
	uint64_t
		since_ns; /* of the wait for its next byte; and, both halves complete, for its end */
	uint64_t body_ns; /* it began; before that: the stream did */

	/* What is sent. */
	uint64_t sent_bytes;
	struct tako__stall stall; /* while STALLED, of sent_bytes */
	struct tako__h3_queue out;
};

/* ---- The connection ------------------------------------------------------------------------- */

/* A unidirectional stream of the peer's. */
struct tako__h3_uni {
	struct tako__list link;
	struct tako__h3 *h;
	int64_t id;
	struct tako__h3_varint v;
	uint64_t type;
	bool has_type;
	bool ignored;
};

/* One of ours: how it can be told apart from a request where only the pointer is known is by its id. */
struct tako__h3_ours {
	int64_t id; /* -1: not open */
	bool blocked;
	struct tako__h3_queue out;
};

/* The peer's control stream. */
struct tako__h3_control {
	struct tako__h3_frame frame;
	struct tako__h3_varint v;
	uint64_t whole; /* length of the present frame */
	uint64_t setting;
	uint64_t settings_seen; /* bits, of those that may come once */
	uint64_t goaway;        /* the last one's */
	uint64_t max_push;
	uint32_t payload_n;
	bool has_settings; /* that frame has begun */
	bool has_setting;  /* its identifier, and its value is to come */
	bool settings_done;
	bool has_datagrams; /* H3_DATAGRAM is 1 */
	bool has_goaway;
	char payload[TAKO__H3_PAYLOAD_BYTES];
};

/* A request whose PRIORITY_UPDATE came first. */
struct tako__h3_updated {
	int64_t id;
	struct tako__priority priority;
};

enum tako__h3_drain { TAKO__H3_OPEN, TAKO__H3_NOTICED, TAKO__H3_LAST };

struct tako__h3 {
	struct tako__conn *c;
	struct tako__h3_local *local;
	nghttp3_qpack_decoder *decoder;
	struct tako__h3_mem mem; /* the decoder's */
	struct tako__list streams;
	struct tako__list closed; /* whose exchanges are not over */
	struct tako__list unis;
	struct tako__list ready[TAKO__H3_URGENCIES];
	struct tako__h3_stream *later; /* to look at when the present call is over */
	struct tako__h3_stream *looking;
	struct tako__h2_known known;
	struct tako__h2_bucket control_bucket; /* frames that bring nothing */
	struct tako__h2_bucket reset_bucket;
	uint32_t stream_count;
	uint32_t stuck_count;
	uint32_t cold_count;
	uint32_t encoder_bytes; /* that have not been counted */
	int64_t last_id;        /* of the newest request; -4: none */
	uint64_t idle_ns;       /* since when there are no streams */
	uint64_t next_check_ns; /* of the streams */
	uint64_t notice_ns;     /* the drain's first GOAWAY was said */
	uint64_t parted_ns;     /* the last session's end; 0: there was none */
	uint64_t cut_ns;        /* when the drain's patience ends; 0: it has not begun */
	uint64_t wrote_bytes;   /* of all streams */
	uint64_t ticked_bytes;
	uint64_t cold_ns;   /* when to ask for files again; 0: none waits */
	uint64_t goaway_at; /* bytes of the control stream, up to the first GOAWAY's end */
	uint64_t control_acked;
	uint64_t control_bytes;
	enum tako__h3_drain drain;
	bool over;    /* closed: nothing is said or heard any more */
	bool spoiled; /* the decoder is: see h3_mem.h */
	bool has_uni[4];
	struct tako__h3_control control;
	struct tako__h3_decoder_stream decoder_stream;
	struct tako__h3_updated updated[TAKO__H3_UPDATED_MAX];
	uint32_t updated_count;
	struct tako__h3_ours control_out;
	struct tako__h3_ours decoder_out;
	struct tako__wt_conn *wt; /* sessions and theirs; NULL: there were none yet */
	uint32_t wt_count;        /* requests for sessions that are open */
	bool wt_turn;             /* their streams' turn to send */
};

static inline struct tako__h3 *tako__h3_of(struct tako__conn *c)
{
	return *tako__quic_state(c);
}
static inline struct tako__h3_stream *tako__h3_stream_of(const struct tako__exchange *x)
{
	return x->stream;
}
static inline const tako_server_config *tako__h3_config(const struct tako__h3 *h)
{
	return &h->c->worker->srv->cfg;
}
static inline uint64_t tako__h3_now(const struct tako__h3 *h)
{
	return tako__now_ns(h->c->worker);
}

/* 0: none. */
static inline uint32_t tako__h3_table_bytes(const struct tako__h3 *h)
{
	uint32_t bytes = tako__h3_config(h)->h3_qpack_table_bytes;

	return bytes == TAKO_OFF ? 0 : bytes;
}
static inline uint32_t tako__h3_stuck_max(const struct tako__h3 *h)
{
	uint32_t count = tako__h3_config(h)->h3_qpack_blocked_streams;

	return count == TAKO_OFF ? 0 : count;
}

/* ---- h3.c: the connection -------------------------------------------------------------------- */

/* End it with this code; returns TAKO_EPROTO for whoever has to. */
int tako__h3_fail(struct tako__h3 *h, uint64_t code, const char *why);
/* One more thing that costs us something and brings nothing.  A negative code: one too many. */
int tako__h3_nuisance(struct tako__h3 *h);
/* A stream has ended by the peer's doing. */
void tako__h3_count_reset(struct tako__h3 *h);
/* What a PRIORITY_UPDATE said of a request before it came, or NULL. */
const struct tako__priority *tako__h3_updated(struct tako__h3 *h, int64_t id);
/* The second step of the drain: from now on what is new is not looked at. */
void tako__h3_last_goaway(struct tako__h3 *h);
/* The last stream is gone, or something else that may end the connection has happened. */
void tako__h3_check_end(struct tako__h3 *h);

/* ---- h3_local.c: a worker's share --------------------------------------------------------------- */

struct tako__h3_local *tako__h3_local(struct tako__worker *w);

/* ---- h3_control.c: our control stream and the peer's ---------------------------------------------- */

/* SETTINGS, at the beginning. */
int tako__h3_control_open(struct tako__h3 *h);
int tako__h3_control_read(struct tako__h3 *h, const char *p, size_t n);
/* GOAWAY: requests from `id` on are not looked at. */
int tako__h3_goaway(struct tako__h3 *h, uint64_t id);
/* What we said there has arrived, `n` bytes more of it. */
void tako__h3_control_acked(struct tako__h3 *h, uint64_t n);

/* ---- h3_uni.c: the peer's unidirectional streams ---------------------------------------------------- */

int tako__h3_uni_opened(struct tako__h3 *h, int64_t id);
int tako__h3_uni_data(struct tako__h3_uni *u, const char *p, size_t n, bool fin);
int tako__h3_uni_reset(struct tako__h3_uni *u);
void tako__h3_uni_closed(struct tako__h3_uni *u);

/* ---- h3_read.c: a request's bytes ---------------------------------------------------------------------- */

int tako__h3_read(struct tako__h3_stream *s, const char *p, size_t n, bool fin);
/* The table has grown: sections that waited for it may go on. */
int tako__h3_read_unstick(struct tako__h3 *h);
/* Reading ends before the stream does: the peer's encoder is told (RFC 9204 section 2.2.2.2).
 * TAKO_ENOMEM, also where too many of these have not been taken from us. */
int tako__h3_read_abandon(struct tako__h3_stream *s);
/* Free what is kept of a section, and behind it. */
void tako__h3_read_free(struct tako__h3_stream *s);

/* ---- h3_stream.c: requests and their bodies ---------------------------------------------------------------- */

struct tako__h3_stream *tako__h3_stream_new(struct tako__h3 *h, int64_t id);
/* A head begins: the exchange is made.  TAKO_ENOMEM. */
int tako__h3_stream_begin(struct tako__h3_stream *s);
/* Its fields are complete: answer it.  `end`: nothing follows. */
void tako__h3_stream_request(struct tako__h3_stream *s, struct tako__h2_head *head, bool end);
void tako__h3_stream_trailers(struct tako__h3_stream *s, struct tako__h2_head *head);
/* The peer gives up its half, or ours. */
void tako__h3_stream_broken(struct tako__h3_stream *s, bool ours);
/* The transport has forgotten it.  As in struct tako__quic_app. */
bool tako__h3_stream_closed(struct tako__h3_stream *s, bool has_code);
/* The request is not one (RFC 9114 section 4.1.2). */
void tako__h3_stream_malformed(struct tako__h3_stream *s);
/* End it by this code, both halves. */
void tako__h3_stream_cut(struct tako__h3_stream *s, uint64_t code);
void tako__h3_stream_free(struct tako__h3_stream *s);
/* Look at it when the present call is over. */
void tako__h3_stream_later(struct tako__h3_stream *s);
void tako__h3_stream_look(struct tako__h3_stream *s);
/* It was a session's, or asked to be, and all that is to come is that the peer acknowledges its end. */
bool tako__h3_stream_parts(const struct tako__h3_stream *s);
/* The peer has kept it waiting too long, or is about to.  Once a tick. */
void tako__h3_stream_check(struct tako__h3_stream *s, uint64_t now_ns);

void tako__h3_stop(struct tako__exchange *x, int err);
void tako__h3_leave(struct tako__exchange *x);
void tako__h3_done(struct tako__exchange *x);

/* ---- h3_body.c: requests' bodies -------------------------------------------------------------- */

/* Part of one; what is not taken now counts against the peer's window until it is. */
void tako__h3_stream_data(struct tako__h3_stream *s, const char *p, size_t n);
/* The peer's half has ended. */
void tako__h3_stream_end(struct tako__h3_stream *s);
/* Is it taken now? */
bool tako__h3_body_taken(const struct tako__h3_stream *s);
/* What waited, as far as it is taken. */
void tako__h3_body_deliver(struct tako__h3_stream *s);
/* Nobody will take what waits. */
void tako__h3_body_drop(struct tako__h3_stream *s);
void tako__h3_read_more(struct tako__exchange *x);
/* Received bytes that are kept, for the body or in front of the decoder. */
void tako__h3_stash_init(struct tako__h3_stashes *l);
/* Behind what is there.  False without memory. */
bool tako__h3_stash_add(struct tako__h3_stashes *l, const char *p, size_t n);
struct tako__h3_stash *tako__h3_stash_pop(struct tako__h3_stashes *l);
void tako__h3_stash_free(struct tako__h3_stash *b);

/* ---- h3_write.c: responses ---------------------------------------------------------------------------------- */

int tako__h3_write_head(struct tako__exchange *x);
int tako__h3_write_data(struct tako__exchange *x, const char *p, size_t n);
int tako__h3_write_lend(struct tako__exchange *x, struct tako_send *op);
int tako__h3_write_end(struct tako__exchange *x);
int tako__h3_write_inform(struct tako__exchange *x, int status);
int tako__h3_take(struct tako__exchange *x, const char *protocol);
uint64_t tako__h3_unsent(const struct tako__exchange *x);

/* ---- h3_send.c: what leaves, and in which order ---------------------------------------------------------------- */

/* It has something to send, or another urgency. */
void tako__h3_send_ready(struct tako__h3_stream *s);
int tako__h3_next(struct tako__conn *c, struct tako__quic_piece *piece);
int tako__h3_wrote(struct tako__conn *c, int64_t id, void *stream, size_t n, bool fin);
int tako__h3_blocked(struct tako__conn *c, int64_t id, void *stream);
int tako__h3_shut(struct tako__conn *c, int64_t id, void *stream);
int tako__h3_unblocked(struct tako__conn *c, int64_t id, void *stream);
int tako__h3_acked(struct tako__conn *c, int64_t id, void *stream, uint64_t n);
/* Those that waited for a disk may ask again. */
void tako__h3_send_retry(struct tako__h3 *h);

#endif /* TAKO_H3_H */

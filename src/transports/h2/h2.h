/* SPDX-License-Identifier: MIT
 *
 * What the files of the HTTP/2 protocol share (RFC 9113): a connection, its streams, and what a
 * worker keeps for all of them.  Framing, HPACK and the states of streams are nghttp2's; what a
 * request means, who may send how much and for how long are decided here.
 */
#ifndef TAKO_H2_H
#define TAKO_H2_H

#include <nghttp2/nghttp2.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/slow.h"
#include "core/worker.h"
#include "transports/h2/h2_head.h"
#include "transports/h2/h2_limits.h"
#include "transports/h2/h2_mem.h"
#include "transports/h2/h2_priority.h"

extern const struct tako__proto_ops tako__h2_ops;

enum {
	TAKO__H2_UPDATED_MAX = 8,
	TAKO__H2_UPDATE_BYTES = 64,
	/* Of a response's body inside its stream's own block: most answers need no other. */
	TAKO__H2_INLINE_BYTES = 256,
	/* Waiting bodies are copied into frames up to this; longer ones are sent from where they
	 * are. */
	TAKO__H2_COPY_BYTES = 4096,
	TAKO__H2_COMMON_MAX = 2, /* fields that every response has */
	TAKO__H2_STARTS = 4,
	TAKO__H2_START_BYTES = 256,
	/* Said to the library about a stream whose answer did not pass through it.  Its frame with
	 * this code is not sent; nobody else uses it. */
	TAKO__H2_ANSWERED = 0x74616b6f,
};

/* The compressed fields of plain answers of one status and type, for the second of their Date. */
struct tako__h2_start {
	uint64_t date_until_ns; /* the worker's, when it was written */
	int32_t status;
	uint32_t n;
	char type[48]; /* NUL-terminated */
	char text[TAKO__H2_START_BYTES];
};

/* Callbacks and options are the same for all connections of a worker. */
struct tako__h2_local {
	struct tako__worker_local base;
	struct tako__h2_mem mem;
	struct tako__pool conns;
	struct tako__pool streams;
	struct tako__pool slices;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	nghttp2_hd_deflater *deflater; /* without a table: for `starts` */
	struct tako__h2_start starts[TAKO__H2_STARTS];
};

/* Received while its reader was not ready: at most the stream's window. */
enum { TAKO__H2_STASH_BYTES = 1000 };
struct tako__h2_stash {
	struct tako__h2_stash *next;
	size_t n;
	size_t cap;
	char data[];
};

struct tako__h2_trailers {
	size_t bytes; /* of the block */
	size_t count;
	nghttp2_nv nva[];
};

#define TAKO__H2S_RECEIVED 1u /* the peer's half has ended */
#define TAKO__H2S_ENDED 2u    /* the response is complete, as far as its writer goes */
#define TAKO__H2S_DEFERRED 4u /* no DATA is asked for until it is told that there is some */
#define TAKO__H2S_CUT 8u      /* RST_STREAM is on its way: nothing else goes out */
#define TAKO__H2S_OURS 0x10u  /* … and not because of something the peer did */
#define TAKO__H2S_DISCARD 0x20u
#define TAKO__H2S_CLOSED 0x40u /* the library knows it no more; its exchange is not over */
#define TAKO__H2S_LATER 0x80u  /* on the connection's list of those to look at */
#define TAKO__H2S_SHRUNK 0x100u
#define TAKO__H2S_HAS_LENGTH 0x200u
#define TAKO__H2S_FINAL 0x400u /* END_STREAM is on its way */
#define TAKO__H2S_INLINE 0x800u
#define TAKO__H2S_BLOCKED 0x1000u   /* by the peer's window, see stall */
#define TAKO__H2S_KEPT 0x2000u      /* CLOSED, and on the list of those */
#define TAKO__H2S_COUNTED 0x4000u   /* in the connection's reset_count */
#define TAKO__H2S_INFORMED 0x8000u  /* an interim response is on its way */
#define TAKO__H2S_ANSWERED 0x10000u /* by tako__h2_answer() */
#define TAKO__H2S_RESET 0x20000u    /* by the peer, with whatever code */
#define TAKO__H2S_HEAD 0x40000u     /* its head is being handled, of a request with a body */

struct tako__h2_stream {
	struct tako__list link; /* the connection's streams, or those that are CLOSED */
	struct tako__h2 *h;
	struct tako__exchange *x; /* NULL: over, and only its last bytes are still here */
	struct tako__h2_stream *later_next;
	int32_t id;
	uint32_t flags;

	/* The request's body. */
	uint64_t length;
	uint64_t received_bytes;
	struct tako__h2_stash *stash; /* oldest first */
	struct tako__h2_stash **stash_tail;
	uint64_t since_ns;   /* of the wait for its next byte */
	uint64_t body_ns;    /* it began, if we had taken it all the time since */
	uint64_t untaken_ns; /* since when we have not; 0: we do */

	/* The response's.  Ops wait here and leave in slices, a frame each. */
	struct tako_send *head;
	struct tako_send *tail;
	uint64_t queued_bytes;
	uint64_t sent_bytes;
	uint64_t out_at;              /* of the connection's output: behind what was sent last */
	struct tako__stall stall;     /* while BLOCKED, of sent_bytes */
	const struct tako_send *seen; /* whose file was looked at last; never followed */
	int64_t seen_bytes;           /* how long it was */
	uint64_t seen_ns;             /* and when */
	struct tako__h2_trailers *trailers;
	struct tako_send inline_op;
	char inline_data[TAKO__H2_INLINE_BYTES];
};

/* A stream whose PRIORITY_UPDATE came first. */
struct tako__h2_updated {
	int32_t id;
	struct tako__priority priority;
};

enum tako__h2_drain { TAKO__H2_OPEN, TAKO__H2_NOTICED, TAKO__H2_LAST };

struct tako__h2 {
	nghttp2_session *session;
	struct tako__conn *c;
	struct tako__h2_local *local;
	struct tako__list streams;
	struct tako__list closed;        /* whose exchanges are not over */
	struct tako__h2_stream *later;   /* to look at when the present call is over */
	struct tako__h2_stream *looking; /* those that it is being done for */
	struct tako__h2_stream *current; /* whose field block is being received */
	struct tako__h2_head head;
	struct tako__h2_known known;
	struct tako__h2_limits limits;
	uint32_t stream_count;
	uint32_t unsaid_count; /* of them, answered without the library's knowledge */
	uint32_t reset_count;  /* of `closed`, those that the peer has given up */
	uint64_t idle_ns;      /* since when there are no streams */
	uint64_t wait_ns;      /* an incomplete frame or block: since then */
	uint64_t heard_ns;     /* when bytes last came */
	uint64_t ping_ns;      /* an unanswered keep-alive PING was sent */
	uint64_t notice_ns;    /* the drain's first GOAWAY was */
	struct tako__h2_updated updated[TAKO__H2_UPDATED_MAX]; /* oldest overwritten first */
	uint32_t updated_count;
	uint32_t update_n; /* bytes of a PRIORITY_UPDATE that is being received */
	uint8_t update[TAKO__H2_UPDATE_BYTES];
	const char *why; /* the peer has asked too much: what of */
	enum tako__h2_drain drain;
	bool busy; /* inside the library, or the pump: the other end of it looks again */
	bool eof;
	bool over;     /* nothing more to say or to hear */
	bool in_frame; /* between the pieces of one that is being written */
	bool in_block; /* a field block has left in part: nothing may come before the rest */
	bool full;     /* the library was told to pause, and has more */
	/* The library has to say something before a field block or DATA: the size of the encoder's
	 * table, or that a new initial window is known. */
	bool head_due;
	bool starved; /* the library wants to send more DATA than the connection's window takes */
};

static inline struct tako__h2 *tako__h2_of(struct tako__conn *c)
{
	struct tako__h2 *h;

	memcpy(&h, c->proto_state, sizeof(void *));
	return h;
}

/* Of the connection, towards the peer. */
static inline int64_t tako__h2_window(const struct tako__h2 *h)
{
	return nghttp2_session_get_remote_window_size(h->session) - (int64_t)h->limits.ahead_bytes;
}

static inline struct tako__h2_stream *tako__h2_stream_of(const struct tako__exchange *x)
{
	return x->stream;
}

/* ---- h2_session.c: the library's set-up and its callbacks ------------------------ */

/* This worker's share, made on first use; NULL without memory. */
struct tako__h2_local *tako__h2_local(struct tako__worker *w);
int tako__h2_session_open(struct tako__h2 *h);
/* GOAWAY, and an end to everything. */
void tako__h2_terminate(struct tako__h2 *h, uint32_t code, const char *why);

/* ---- h2_update.c: PRIORITY_UPDATE ----------------------------------------------------- */

int tako__h2_update_chunk(nghttp2_session *session, const nghttp2_frame_hd *hd, const uint8_t *p,
                          size_t n, void *arg);
int tako__h2_update_unpack(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd,
                           void *arg);
/* The frame is complete. */
void tako__h2_update(struct tako__h2 *h, const nghttp2_frame_hd *hd);
/* What one said of a request before it came, or NULL. */
const struct tako__priority *tako__h2_updated(struct tako__h2 *h, int32_t id);

/* ---- h2.c: the connection ----------------------------------------------------------- */

/* The answer to one of our PINGs. */
void tako__h2_pong(struct tako__h2 *h, const uint8_t data[8]);

/* ---- h2_stream.c: requests and their bodies ---------------------------------------- */

/* A new stream's first HEADERS frame has begun.  NULL without memory. */
struct tako__h2_stream *tako__h2_stream_new(struct tako__h2 *h, int32_t id);
/* Its fields are complete: answer it. */
void tako__h2_stream_request(struct tako__h2_stream *s, bool end);
/* What came after the body. */
void tako__h2_stream_trailers(struct tako__h2_stream *s, bool end);
void tako__h2_stream_data(struct tako__h2_stream *s, const char *p, size_t n);
/* The peer's half has ended. */
void tako__h2_stream_end(struct tako__h2_stream *s);
/* The library has forgotten it; `code` is RST_STREAM's, from either side. */
void tako__h2_stream_closed(struct tako__h2_stream *s, uint32_t code);
/* Give up what it holds and the struct. */
void tako__h2_stream_free(struct tako__h2_stream *s);
/* End it by RST_STREAM. */
void tako__h2_stream_reset(struct tako__h2_stream *s, uint32_t code);
/* Look at it when the present call is over. */
void tako__h2_stream_later(struct tako__h2_stream *s);
/* Deliver what waited, let its writer go on, end what is answered; `sent`: all frames that were due
 * have left.  What it cannot do yet it wants to be called for again. */
void tako__h2_stream_look(struct tako__h2_stream *s, bool sent);
/* Its reader takes bytes now, and its writer, who may be the same, is not too far behind. */
bool tako__h2_stream_takes(const struct tako__h2_stream *s);

void tako__h2_read_more(struct tako__exchange *x);
void tako__h2_stop(struct tako__exchange *x, int err);
void tako__h2_leave(struct tako__exchange *x);
void tako__h2_done(struct tako__exchange *x);

/* ---- h2_time.c: how long a stream may wait --------------------------------------------- */

/* The peer has kept it waiting too long, or is about to.  Once a tick. */
void tako__h2_stream_check(struct tako__h2_stream *s, uint64_t now_ns);
/* Its body may be taken now and was not, or the other way round: whose time it is from here on. */
void tako__h2_stream_pause(struct tako__h2_stream *s);

/* ---- h2_write.c: responses ------------------------------------------------------------ */

/* The library only reads what it takes as mutable. */
static inline nghttp2_nv tako__h2_nv(const char *name, size_t name_n, const char *value,
                                     size_t value_n, uint8_t flags)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, name_n,
	                    value_n, flags};
}
#define TAKO__H2_NV(name, value, n, flags) tako__h2_nv(name, sizeof(name) - 1, value, n, flags)

/* ":status", its digits in `to`. */
nghttp2_nv tako__h2_status(char to[3], int status);
/* Server, if there is to be one, and Date: up to TAKO__H2_COMMON_MAX.  Returns how many. */
size_t tako__h2_common(nghttp2_nv *nva, struct tako__worker *w);
int tako__h2_write_head(struct tako__exchange *x);
int tako__h2_write_data(struct tako__exchange *x, const char *p, size_t n);
int tako__h2_write_lend(struct tako__exchange *x, struct tako_send *op);
int tako__h2_write_end(struct tako__exchange *x);
int tako__h2_write_inform(struct tako__exchange *x, int status);
int tako__h2_take(struct tako__exchange *x, const char *protocol);
uint64_t tako__h2_unsent(const struct tako__exchange *x);

/* ---- h2_answer.c: plain ones in one piece ----------------------------------------------- */

bool tako__h2_answer(struct tako__exchange *x, int status, const char *type, tako_str body);
bool tako__h2_answer_trailed(struct tako__exchange *x, const char *type, tako_str body);

/* ---- h2_data.c: bodies on their way out ---------------------------------------------- */

/* Queue bytes, copied; or an op, which completes once. */
int tako__h2_queue_copy(struct tako__h2_stream *s, const char *p, size_t n);
void tako__h2_queue_op(struct tako__h2_stream *s, struct tako_send *op);
/* There is something to send again, be it the end.  Without memory for that the stream is reset. */
void tako__h2_queue_wake(struct tako__h2_stream *s);
/* The connection's window is open again: those that wait for it may ask. */
void tako__h2_queue_unstarve(struct tako__h2 *h);
/* Complete what has not left. */
void tako__h2_queue_drop(struct tako__h2_stream *s);
/* The library's: how much is there, and write it behind this frame head. */
ssize_t tako__h2_data_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                           uint32_t *flags, nghttp2_data_source *source, void *arg);
int tako__h2_data_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                       size_t n, nghttp2_data_source *source, void *arg);

#endif /* TAKO_H2_H */

/* SPDX-License-Identifier: MIT
 *
 * What the files of the client's HTTP/2 share (RFC 9113): a connection and its streams.  Framing, HPACK and the states
 * of streams are nghttp2's; what a response means, and who may send how much and for how long, is decided here.
 *
 *	client_h2.c         a connection: bytes in, bytes out, its end
 *	client_h2_time.c    how long anybody waits
 *	client_h2_session.c the library's set-up and its callbacks
 *	client_h2_block.c   fields of a response, checked
 *	client_h2_read.c    a response
 *	client_h2_write.c   a request
 */
#ifndef TAKO_CLIENT_H2_H
#define TAKO_CLIENT_H2_H

#include <nghttp2/nghttp2.h>

#include "transports/client/client_h2_block.h"
#include "transports/client/client_int.h"
#include "transports/h2/h2_limits.h"
#include "transports/h2/h2_mem.h"

/* Callbacks and options are the same for all connections of a worker. */
struct tako__client_h2_local {
	struct tako__worker_local base;
	struct tako__h2_mem mem;
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
};

#define TAKO__CLIENT_H2S_FINAL 1u     /* the head of the response has come */
#define TAKO__CLIENT_H2S_ENDED 2u     /* the response is complete */
#define TAKO__CLIENT_H2S_CLOSED 4u    /* the library knows it no more */
#define TAKO__CLIENT_H2S_BODILESS 8u  /* there is none, whatever Content-Length says */
#define TAKO__CLIENT_H2S_FINISHED 16u /* the request is complete, as far as its writer goes */
#define TAKO__CLIENT_H2S_SENT 32u     /* … and has left */
#define TAKO__CLIENT_H2S_DEFERRED 64u /* no DATA is asked for until it is told that there is some */
#define TAKO__CLIENT_H2S_WROTE 128u   /* some has left since its writer was told */
#define TAKO__CLIENT_H2S_RESUMED 256u /* what is held may be told */
#define TAKO__CLIENT_H2S_LEFT 512u    /* some of the request may have */
#define TAKO__CLIENT_H2S_RESET 1024u  /* by the peer */
#define TAKO__CLIENT_H2S_ANEW 2048u   /* the connection was there before: it may have ended */

struct tako__client_h2_stream {
	struct tako__list link;  /* the connection's; or of those that are done with */
	struct tako__list later; /* the connection's, of those to look at */
	struct tako__client_h2 *h;
	struct tako_fetch *f; /* NULL: let go of, and only the library has to know */
	int32_t id;
	uint32_t flags;
	uint64_t base_ns; /* since when the peer has been silent that owes us something */

	/* The request's body: what is not in a frame yet begins at out_at. */
	struct tako__client_buf out;
	size_t out_at;
	uint64_t sent_bytes;

	/* The response.  What came during a pause is held, at most the stream's window and two heads. */
	struct tako__client_buf held;
	size_t held_at;   /* where its last record begins */
	size_t held_head; /* bytes of heads in it */
	uint64_t length;  /* Content-Length; TAKO_OFF64: there was none */
	uint64_t body_bytes;
};

struct tako__client_h2 {
	nghttp2_session *session; /* NULL: out of memory, or never made */
	struct tako__conn *c;
	struct tako_client *client; /* a reference */
	struct tako__client_h2_local *local;
	struct tako__list streams;
	struct tako__list later;
	struct tako__list dead;                 /* streams to be freed when nobody is inside them */
	struct tako__client_h2_stream *current; /* whose field block is being received */
	struct tako__client_h2_block block;
	struct tako__h2_limits limits;
	uint64_t idle_ns;  /* since when there are no requests */
	uint64_t heard_ns; /* when bytes last came */
	uint64_t send_ns;  /* since when something has been unsent */
	uint32_t theirs;   /* what the peer's GOAWAY has said */
	const char *wrong; /* the peer has done what ends the connection: what */
	uint32_t code;     /* … and what that is called */
	bool busy;         /* inside the library, or the pump: the other end of it looks again */
	bool gone;         /* the peer has ended, or is not listened to any more */
	bool over;         /* GOAWAY is our last word */
	bool broken;       /* the library is out of memory, or out of step */
	char why[120];     /* what GOAWAY says that the library has written */
};

struct tako__client_h2_state {
	struct tako__client_conn base;
	struct tako__client_h2 *h;
};

_Static_assert(sizeof(struct tako__client_h2_state) <= TAKO__PROTO_STATE_BYTES,
               "fits into a connection");

static inline struct tako__client_h2_state *tako__client_h2_state(struct tako__conn *c)
{
	return (struct tako__client_h2_state *)(void *)c->proto_state;
}

static inline struct tako__client_conn *tako__client_h2_base(const struct tako__client_h2 *h)
{
	return &tako__client_h2_state(h->c)->base;
}

static inline struct tako__client_h2_stream *tako__client_h2_stream(const struct tako_fetch *f)
{
	return f->stream;
}

static inline uint64_t tako__client_h2_now(const struct tako__client_h2 *h)
{
	return tako__now_ns(h->c->worker);
}

/* ---- client_h2_session.c -------------------------------------------------------------- */

/* This worker's share, made on first use; NULL without memory. */
struct tako__client_h2_local *tako__client_h2_local(struct tako__worker *w);
/* TAKO_ENOMEM. */
int tako__client_h2_session_open(struct tako__client_h2 *h);

/* ---- client_h2.c ------------------------------------------------------------------------- */

/* Nothing is heard on it any more.  Where that is not our own doing the responses that are whole are told still. */
void tako__client_h2_gone(struct tako__client_h2 *h, int err, const char *why);
/* It has no requests, and ends. */
void tako__client_h2_part(struct tako__client_h2 *h);
/* Look at it when the present call is over. */
void tako__client_h2_later(struct tako__client_h2_stream *s, uint32_t flag);
/* End it by RST_STREAM. */
void tako__client_h2_reset(struct tako__client_h2_stream *s, uint32_t code);
/* It carries its fetch no more, which is returned. */
struct tako_fetch *tako__client_h2_let_go(struct tako__client_h2_stream *s);
/* Nobody has it any more: its place is another one's. */
void tako__client_h2_release(struct tako__client_h2_stream *s);

/* ---- client_h2_time.c ---------------------------------------------------------------------- */

/* When the patience with the connection ends: it has no requests, or bytes that nobody takes. */
uint64_t tako__client_h2_due(const struct tako__client_h2 *h);
/* Look at the clock then, at the latest. */
void tako__client_h2_wake_at(struct tako__client_h2 *h, uint64_t at);
/* What is due of this stream has changed. */
void tako__client_h2_watch(struct tako__client_h2_stream *s);
/* Look at the clock. */
void tako__client_h2_check(struct tako__client_h2 *h);

/* ---- client_h2_read.c: all of them from inside the library or the pump ------------------------ */

/* A block is complete, in h->block. */
void tako__client_h2_head(struct tako__client_h2_stream *s, bool end);
void tako__client_h2_data(struct tako__client_h2_stream *s, const char *p, size_t n);
/* END_STREAM. */
void tako__client_h2_end(struct tako__client_h2_stream *s);
/* The library has forgotten it; `code` is RST_STREAM's, from either side. */
void tako__client_h2_closed(struct tako__client_h2_stream *s, uint32_t code);
/* What is held may be told. */
void tako__client_h2_go_on(struct tako__client_h2_stream *s);
/* Its response never will be: it is reset, and its fetch told. */
void tako__client_h2_fail(struct tako__client_h2_stream *s, int err, const char *why);
/* The connection has ended: tell its fetch, unless there is a whole response that it has paused. */
void tako__client_h2_lose(struct tako__client_h2_stream *s, int err, const char *why);

/* ---- client_h2_write.c --------------------------------------------------------------------------- */

int tako__client_h2_begin(struct tako__conn *c, struct tako_fetch *f);
int tako__client_h2_write(struct tako_fetch *f, const char *p, size_t n);
int tako__client_h2_finish(struct tako_fetch *f);
/* The library's. */
ssize_t tako__client_h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                                  uint32_t *flags, nghttp2_data_source *source, void *arg);

#endif /* TAKO_CLIENT_H2_H */

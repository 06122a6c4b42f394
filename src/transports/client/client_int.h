/* SPDX-License-Identifier: MIT
 *
 * What the files of the client share: a fetch, the pool of a worker, and the seam between them and an HTTP
 * version, which knows how a request is written and a response read, and nothing of pools and retries.
 *
 *	client.c        settings, and each worker's part of a client
 *	client_ask.c    a request, checked and copied before anything happens
 *	client_fetch.c  a fetch from its start to its end, whatever happens between
 *	client_follow.c redirects
 *	client_api.c    what its user may ask of it
 *	client_origin.c whoever one connection is as good as the other for, and who waits for one
 *	client_pool.c   connections: made, handed out, kept
 *	client_h1*.c    HTTP/1.1
 *	client_h2*.c    HTTP/2
 *	client_buf.c    bytes that grow
 */
#ifndef TAKO_CLIENT_INT_H
#define TAKO_CLIENT_INT_H

#include <stdatomic.h>

#include <tako/client.h>

#include "core/conn.h"
#include "core/mem.h"
#include "core/target.h"
#include "core/worker.h"
#include "transports/client/client_buf.h"
#include "transports/client/client_reply.h"

enum {
	TAKO__FETCH_MINOR_H2 = 10, /* as tako__reply.minor: a version of 20 */
	TAKO__FETCH_FIELDS_MAX = 100,
	TAKO__FETCH_HEAD_BYTES = 64 << 10,
	TAKO__FETCH_INTERIM_MAX = 32,
	TAKO__FETCH_REDIRECTS_MAX = 20,
	/* How often a request may find a connection that ends without having processed it.  Each of them costs
	 * a connection, so that nobody is asked in a hurry; and a server that takes five requests of a
	 * connection, of which four may be under way, leaves out three of eight. */
	TAKO__FETCH_UNPROCESSED_MAX = 16,
	/* Of a redirect's body: as much is read so that its connection can be kept. */
	TAKO__FETCH_REDIRECT_BYTES = 64 << 10
};

struct tako_client {
	_Atomic uint32_t refs; /* the user's, each pool's, each fetch's */
	_Atomic uint32_t next; /* worker to post to */
	_Atomic bool freed;    /* by its user: pools that are empty go */
	char *user_agent;      /* NULL: none */
	tako_client_config cfg;
};

/* ---- Pools ----------------------------------------------------------------------------- */

/* What a worker has of a client. */
struct tako__client_pool {
	struct tako__list link; /* the worker's */
	struct tako__worker *worker;
	struct tako_client *client; /* a reference */
	struct tako__list origins;
	struct tako__list idle;      /* connections without a request, by what they last did */
	struct tako__field *scratch; /* max_header_count of them, for whoever parses a head */
	uint32_t conn_count;         /* made or being made */
	uint32_t waiting_count;      /* fetches beyond those that what is being made is for */
	bool starved;                /* max_connections has left somebody without */
};

/* The beginning of the state of each connection of a client. */
struct tako__client_conn {
	struct tako__client_origin *origin; /* NULL: of no more use */
	struct tako__list open;             /* the origin's */
	struct tako__list by_age;           /* the pool's, of those without a request */
	uint16_t carried;                   /* requests that it has */
	uint16_t limit;                     /* … and may have */
	bool unsaid;                        /* it counts as being made still */
	bool retired; /* it takes no more, and goes with the last that it has */
	bool used;    /* it was there before its request: it may have ended */
	bool ended;   /* the peer has, while its response was paused */
	bool resumed; /* its response may go on, and has not yet */
};

/* Give `f`, which is new or starts over, a connection: now, or as soon as there is one.  A negative code: nothing has
 * begun, tako_last_error() says why. */
int tako__client_join(struct tako_fetch *f);
/* It waits for none any more. */
void tako__client_unjoin(struct tako_fetch *f);
/* `c` has done one of its requests and could take another one. */
void tako__client_park(struct tako__conn *c);
/* `c`, whose carrier is a `shared` one, takes up to `limit` requests at a time from now on. */
void tako__client_room(struct tako__conn *c, uint32_t limit);
/* What its peer had to say before it was asked anything else has been looked at. */
void tako__client_look(struct tako__conn *c);
/* No more requests for `c`, which closes when it has none. */
void tako__client_retire(struct tako__conn *c);
/* `c` is none of its origin's any more, and closes. */
void tako__client_leave(struct tako__conn *c);
/* … and is closed by its carrier, which has something to say first. */
void tako__client_abandon(struct tako__conn *c);
/* A connection of `o`, which is counted still, was found to be dead: those that are idle will be, too. */
void tako__client_distrust(struct tako__client_origin *o);

/* The pool of `client` on this worker; NULL without memory. */
struct tako__client_pool *tako__client_pool(struct tako__worker *w, struct tako_client *client);
struct tako_client *tako__client_ref(struct tako_client *client);
void tako__client_unref(struct tako_client *client);

/* ---- The seam to a version of HTTP --------------------------------------------------------- */

struct tako__carrier {
	struct tako__proto_ops ops; /* of its connections, which are known by them */
	/* A connection has as many requests at a time as tako__client_room() says, and until then one; and its
	 * peer may speak without having been asked. */
	bool shared;
	/* `c`, which was just made, speaks it and is its origin's.  A negative code: it cannot be.  NULL: there
	 * is nothing to do. */
	int (*start)(struct tako__conn *c);
	/* Send the head of f, and what there is of its body; `c` has room for it.  A negative code: nothing
	 * has begun. */
	int (*begin)(struct tako__conn *c, struct tako_fetch *f);
	/* Body bytes of f, copied. */
	int (*data)(struct tako_fetch *f, const char *p, size_t n);
	/* The body is complete: f->finished. */
	int (*finish)(struct tako_fetch *f);
	uint64_t (*unsent)(const struct tako_fetch *f);
	/* f has been paused, or resumed. */
	void (*flow)(struct tako_fetch *f);
	/* `c` waits for a request from now on, for so long as it is kept. */
	void (*rest)(struct tako__conn *c);
	/* Let go of f, whose response is of no interest any more; it is told nothing. */
	void (*cancel)(struct tako_fetch *f);
	/* `c` has no requests, is nobody's any more, and ends when it has said so.  NULL: it says nothing. */
	void (*part)(struct tako__conn *c);
};

extern const struct tako__carrier tako__client_h1_carrier;
/* Only named where HTTP/2 is spoken already: a program gets to it by tako_client_http2(). */
extern const struct tako__carrier tako__client_h2_carrier;

struct tako_http_version {
	const struct tako__carrier *carrier;
};

static inline const struct tako__carrier *tako__client_carrier(const struct tako__conn *c)
{
	return TAKO__CONTAINER(c->proto, struct tako__carrier, ops);
}

/* ---- Fetches ---------------------------------------------------------------------------------- */

struct tako__redirect;

enum tako__fetch_stage { TAKO__FETCH_HEAD, TAKO__FETCH_BODY, TAKO__FETCH_TRAILERS };

struct tako_fetch {
	struct tako__mail mail; /* begins it on another thread's behalf, or ends it */
	struct tako__list link; /* the origin's queue */
	struct tako__timer timer;
	struct tako_client *client; /* a reference */
	struct tako__worker *worker;
	struct tako__exchange *x; /* a reference; NULL: on nobody's behalf */
	struct tako__client_pool *pool;
	struct tako__client_origin *origin; /* in whose queue it is */
	struct tako__conn *conn;            /* that carries it */
	void *stream;                       /* the carrier's own */
	const struct tako__carrier *carrier;
	tako_fetch_config cfg; /* callbacks and numbers: texts are below */
	struct tako__arena arena;
	uint64_t start_ns;
	uint64_t since_ns; /* the response is due since; with awaits_continue, 100 is */

	/* The request. */
	unsigned method;
	tako_str method_text;
	tako_str path;
	tako_str query; /* with its '?' */
	tako_str authority;
	tako_str key; /* of its origin */
	const struct tako__target *target;
	const char *server_name; /* https: of its certificate; NULL: http */
	struct tako__field *fields;
	struct tako__client_buf
		held;       /* body bytes that nobody has sent yet, or may have to again */
	uint64_t body_left; /* of stream_bytes */
	uint32_t field_count;
	uint32_t retry_count;
	uint32_t unprocessed_count; /* how often it started over and was not processed for sure */
	uint32_t dial_number;       /* the origin's when it began to wait */
	uint32_t redirect_count;
	tako_str redirected; /* the URL of the last one that was followed; {NULL, 0}: none was */
	bool has_body;
	bool chunked;         /* … of unknown length */
	bool finished;        /* there is no more of it */
	bool flowing;         /* it goes straight to the carrier */
	bool handed;          /* some of a stream has, which cannot be sent again */
	bool high;            /* on_writable() is owed */
	bool awaits_continue; /* it is held until 100 */
	bool paused;
	bool heard;  /* a byte of the response has come */
	bool mailed; /* the end is on its way, or being told */
	bool has_status;

	/* The response. */
	uint8_t stage; /* enum tako__fetch_stage */
	uint8_t interim_count;
	uint32_t scanned; /* of a head or of trailers that are not complete */
	struct tako__reply reply;
	struct tako__reply_body body;
	struct tako__arena reply_arena;
	struct tako__field *trailers;
	uint32_t trailer_count;
	int32_t err; /* what it ends with */
	uint64_t received_bytes;
	struct tako__client_buf whole;
	struct tako__redirect *redirect; /* the response is one that is followed */
	char why[160];
};

/* Check and copy what is asked for.  Errors as tako_fetch_start(). */
int tako__fetch_new(struct tako_fetch **ret, struct tako_client *client,
                    const tako_fetch_config *cfg);
void tako__fetch_free(struct tako_fetch *f);
/* Where it goes is `u`, whose path and query live as long as f does; to the same origin, or without a `connect`
 * of its own.  TAKO_ENOMEM, TAKO_EINVAL. */
struct tako__url;
int tako__fetch_aim(struct tako_fetch *f, const struct tako__url *u);

/* Whether the response in f->reply is a redirect to follow: then f->redirect is set.  f->why says why not.
 * TAKO_ENOMEM. */
int tako__redirect_look(struct tako_fetch *f);
/* Make the request of f the next one.  Errors as tako__fetch_aim(). */
int tako__redirect_take(struct tako_fetch *f);

/* RFC 9110 section 8.6: its length is said, also of an empty body, where the method expects one. */
bool tako__fetch_says_length(const struct tako_fetch *f);
uint64_t tako__fetch_length(const struct tako_fetch *f);
/* RFC 9110 section 9.2.2. */
bool tako__fetch_is_idempotent(const struct tako_fetch *f);

/* It has had its place in the queue before. */
static inline bool tako__fetch_starts_over(const struct tako_fetch *f)
{
	return f->retry_count || f->unprocessed_count;
}

/* Start it on its worker.  A negative code: it never began. */
int tako__fetch_begin(struct tako_fetch *f);

/* ---- For the pool -------------------------------------------------------------------------- */

/* It never got a connection. */
void tako__fetch_unserved(struct tako_fetch *f, int err, const char *why);

/* ---- For carriers: all of them from a turn, and f may be gone afterwards -------------------- */

/* `c` carries it from now on. */
void tako__fetch_carried(struct tako_fetch *f, struct tako__conn *c,
                         const struct tako__carrier *carrier);
/* The head of a response is in f->reply, at p[0..n), which does not stay there: interim or final.  A negative
 * code, of these three: the carrier ends it by tako__fetch_lost(); unless somebody has cancelled it meanwhile. */
int tako__fetch_head(struct tako_fetch *f, const char *p, size_t n);
int tako__fetch_data(struct tako_fetch *f, tako_str data);
int tako__fetch_trailers(struct tako_fetch *f, const struct tako__h1_trailers *t, const char *p,
                         size_t n);
/* The carrier has taken some: tell who waits for it. */
void tako__fetch_writable(struct tako_fetch *f);
/* The response is complete; the carrier has let go of it. */
void tako__fetch_done(struct tako_fetch *f);
/* … or will never be: what the carrier knows of the request. */
enum tako__fetch_loss {
	TAKO__FETCH_GONE,   /* it may have been acted on */
	TAKO__FETCH_ANEW,   /* it may be sent again, max_retry_count times */
	TAKO__FETCH_PASSED, /* a server that leaves has not processed it, and will not */
	TAKO__FETCH_UNSENT, /* nothing of it has left */
};
void tako__fetch_lost(struct tako_fetch *f, int err, const char *why, enum tako__fetch_loss loss);
/* Send what was held of the body, and let the rest flow. */
int tako__fetch_flow(struct tako_fetch *f);

#endif /* TAKO_CLIENT_INT_H */

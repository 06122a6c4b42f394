/* SPDX-License-Identifier: MIT
 *
 * One request and its response: the single state machine that h1, h2 and h3 share.
 * The opaque tako_req and tako_res of the public interface are both this struct.
 */
#ifndef TAKO_CORE_EXCHANGE_H
#define TAKO_CORE_EXCHANGE_H

#include <tako/http.h>
#include <tako/server.h>

#include "core/base.h"
#include "core/header.h"
#include "core/mem.h"
#include "core/method.h"
#include "core/proto.h"
#include "core/router.h"

struct tako__worker;
struct tako__conn;

/* What has happened.  The exchange ends when the response has, the request body is read or
 * given up, and nobody holds a reference. */
#define TAKO__X_RUNNING 1u        /* inside a handler or callback: nothing may be recycled */
#define TAKO__X_BODY_DONE 2u      /* the request's body has arrived, or there is none */
#define TAKO__X_BODY_WANTED 4u    /* somebody asked for it */
#define TAKO__X_BODY_DROPPED 8u   /* nobody will: it is thrown away */
#define TAKO__X_BODY_PAUSED 0x10u /* tako_req_pause() */
#define TAKO__X_WHOLE 0x20u       /* collect it */
#define TAKO__X_HEAD_SENT 0x40u
#define TAKO__X_ENDED 0x80u      /* the response is complete, as far as the user goes */
#define TAKO__X_GONE 0x100u      /* the connection or stream is; also after stop */
#define TAKO__X_HEAD_ONLY 0x200u /* answer to HEAD */
#define TAKO__X_NO_BODY 0x400u   /* … or a status without content */
#define TAKO__X_ERRORING 0x800u  /* inside error handlers */
#define TAKO__X_OVER 0x1000u     /* finished: end hooks have run */
#define TAKO__X_HAS_DATE 0x2000u /* the user set these fields */
#define TAKO__X_HAS_SERVER 0x4000u
#define TAKO__X_EXPECTS 0x8000u  /* waits for 100 Continue */
#define TAKO__X_REFUSED 0x10000u /* never parsed: the parser's own error */
#define TAKO__X_ABORTED 0x20000u /* on_abort was told */
#define TAKO__X_LENGTH_SET 0x40000u
#define TAKO__X_SLASH_MARK 0x80000u /* the path holds encoded slashes */
#define TAKO__X_TIMED_OUT 0x100000u /* the route's timeout answered */
#define TAKO__X_HAS_TYPE 0x200000u
#define TAKO__X_LAST 0x800000u         /* the connection can carry nothing after it */
#define TAKO__X_HALF_CLOSED 0x1000000u /* the peer has closed its side */
#define TAKO__X_IN_AFTER 0x2000000u    /* after-hooks are running */
#define TAKO__X_TAKEN 0x4000000u       /* its bytes are a stream of their own */
#define TAKO__X_SWITCHING 0x8000000u   /* an extended CONNECT: success takes it, or is none */
#define TAKO__X_LASTING 0x20000000u    /* its body is a conversation: silence is no slowness */
#define TAKO__X_ALT_SVC 0x40000000u    /* its response may have to say that there is HTTP/3 */
#define TAKO__X_EMPTY_DUE 0x400000u    /* asked for a body that has none: told so when it is safe */
#define TAKO__X_SHED_DUE 0x10000000u   /* most of its head is not needed any more when it is safe */

struct tako__end_hook {
	struct tako__end_hook *next;
	tako_end_fn fn;
	void *arg;
};

struct tako__local {
	struct tako__local *next;
	const void *key;
	void *value;
};

struct tako__after_timer;

enum { TAKO__RES_FIELDS_FIRST = 8, TAKO__RES_FIELDS_MAX = 64 };

struct tako__exchange {
	struct tako__arena arena;
	struct tako__worker *worker;
	struct tako__conn *conn; /* NULL once it is gone */
	const struct tako__proto_ops *proto;
	void *stream; /* the protocol's own, where a connection carries many exchanges */
	const struct tako__endpoint *ep;
	uint32_t flags;
	int32_t error;    /* what cut it */
	uint32_t refs;    /* deferrals, timers, lent bytes */
	uint32_t skip;    /* matches passed over by TAKO_NEXT */
	uint32_t mw_from; /* middleware that already ran */
	uint8_t method_id;
	uint8_t version;
	uint8_t path_flags;
	uint8_t found; /* enum tako__match_result */
	uint64_t start_ticks;

	/* Request.  All text is in the arena, but for a head that is lent. */
	tako_str method;
	tako_str target;
	tako_str raw_path;
	tako_str path; /* normalised; encoded slashes are marked */
	tako_str query;
	tako_str host;
	const struct tako__field *fields;
	const struct tako__field *trailers;
	uint32_t field_count;
	uint32_t trailer_count;
	uint64_t content_length; /* TAKO_OFF64: unknown */
	uint64_t body_limit;     /* TAKO_OFF64: none */
	uint64_t received_bytes;
	tako_body_fn body_fn;
	void *body_arg;
	char *whole;
	uint64_t whole_cap;
	tako_str request_id;
	tako_str upgrade; /* the protocols it would switch to; absent: none */
	struct tako__local *locals;
	/* Where the head is, if that is not the arena, and the room for it there: see core/head.h. */
	tako_str lent;
	struct tako__field *lent_room;

	/* Response. */
	int32_t status;
	uint32_t res_field_count;
	uint32_t res_field_cap;
	uint32_t res_trailer_count;
	uint32_t res_trailer_cap;
	uint32_t own_bytes; /* of its block, if that is not the pool's */
	struct tako__field *res_fields;
	struct tako__field *res_trailers;
	uint64_t res_length; /* TAKO_OFF64: unknown */
	uint64_t sent_bytes;
	tako_res_fn drain_fn;
	void *drain_arg;
	tako_res_fn abort_fn;
	void *abort_arg;
	tako_res_fn lost_fn; /* the same for what the exchange has become; its user may have both */
	void *lost_arg;
	tako_res_fn stop_fn; /* of one that is taken: the server stops */
	void *stop_arg;
	struct tako__end_hook *end_hooks;
	struct tako__after_timer *timers;
	struct tako__after_timer *timeout;

	struct tako__match match;
	struct tako__field res_first[TAKO__RES_FIELDS_FIRST];
};

/* The block an exchange is recycled as; what the struct leaves of it is its first arena. */
enum { TAKO__EXCHANGE_BYTES = 4096 };

static inline struct tako__exchange *tako__x(const void *req_or_res)
{
	return (struct tako__exchange *)(uintptr_t)req_or_res;
}
static inline tako_req *tako__req(struct tako__exchange *x)
{
	return (tako_req *)x;
}
static inline tako_res *tako__res(struct tako__exchange *x)
{
	return (tako_res *)x;
}

/* ---- For protocols ----------------------------------------------------------- */

/* A fresh exchange for the connection; NULL without memory. */
struct tako__exchange *tako__exchange_new(struct tako__conn *c);
/* The same for a request whose stream may be taken, and which may then be idle for as long as its
 * connection: no larger than it must be for what taking needs. */
struct tako__exchange *tako__exchange_new_lasting(struct tako__conn *c);
/* Where its head is kept: x->fields begin it.  NULL without memory. */
static inline void *tako__exchange_head_room(struct tako__exchange *x, size_t bytes)
{
	return TAKO__UNLIKELY(x->own_bytes) ? tako__arena_own(&x->arena, bytes)
	                                    : tako__arena_alloc(&x->arena, bytes);
}
/* The head is complete (fields, method, target and framing are set): route it and run the
 * handler.  The exchange may be over and freed when this returns.  A head that is lent need not
 * outlive the call. */
void tako__exchange_run(struct tako__exchange *x);
/* The head was refused: answer `status` through the error handlers. */
void tako__exchange_refuse(struct tako__exchange *x, int status);
/* May body bytes be delivered now?  If not, read_more() will be called. */
static inline bool tako__exchange_takes(const struct tako__exchange *x)
{
	return (x->flags & (TAKO__X_BODY_WANTED | TAKO__X_BODY_DROPPED)) &&
	       !(x->flags & TAKO__X_BODY_PAUSED);
}
/* Body bytes; `end` once, with the last ones (maybe none).  The exchange may be over
 * afterwards unless the caller holds a reference. */
void tako__exchange_data(struct tako__exchange *x, const char *p, size_t n, bool end);
/* The request body broke off: answer `status` if that is still possible (0: it is not). */
void tako__exchange_break(struct tako__exchange *x, int status, int err);
/* Unsent bytes shrank: continue what waits for it. */
void tako__exchange_writable(struct tako__exchange *x);
/* The peer closed its side while we were answering. */
void tako__exchange_half_closed(struct tako__exchange *x);
/* The server stops, and this one would go on for ever: it is told. */
void tako__exchange_stopping(struct tako__exchange *x);
/* The connection is gone. */
void tako__exchange_gone(struct tako__exchange *x, int err);
/* Its stream is gone and the connection lives: who is not over yet keeps it, and the protocol is
 * told by done() as ever. */
void tako__exchange_reset(struct tako__exchange *x, int err);

/* ---- Inside ------------------------------------------------------------------- */

static inline void tako__exchange_ref(struct tako__exchange *x)
{
	x->refs++;
}
/* Drop a reference; ends the exchange when it was the last thing it waited for. */
void tako__exchange_unref(struct tako__exchange *x);
/* After a callback that ran user code and returned `rc`: answer errors, end if over. */
void tako__exchange_settle(struct tako__exchange *x, int rc);
/* End it if everything is done. */
void tako__exchange_check(struct tako__exchange *x);
/* Answer a status by the error handlers, or cut the response if its head is gone. */
void tako__exchange_error(struct tako__exchange *x, int status);
int tako__error_status(int err);
/* The head goes out now: after-hooks, then the protocol. */
int tako__exchange_head(struct tako__exchange *x);
/* Make its bytes a stream of `protocol`, which the request must have asked for: the body, which
 * is then to be asked for, is what comes in, the response what goes out; its end ends both.
 * `stop_fn` runs once if the server stops meanwhile, and should bring that end about.
 *   TAKO_ENOTSUP  the request does not ask for it
 *   TAKO_ESTATE   answered already, or the request has a body
 *   TAKO_ECLOSED, TAKO_ENOMEM */
int tako__exchange_take(struct tako__exchange *x, const char *protocol, tako_res_fn stop_fn,
                        void *stop_arg);
/* One that lasts gives most of its head's memory back as soon as no callback is running: what stays are
 * its line, its host and what the access log shows. */
void tako__exchange_shed(struct tako__exchange *x);
/* Cut the response off. */
void tako__exchange_stop(struct tako__exchange *x, int err);
/* Add a response field without looking at it: name and value must outlive the head. */
int tako__exchange_add_field(struct tako__exchange *x, tako_str name, tako_str value);
/* Hand it to the access log. */
void tako__exchange_log(struct tako__exchange *x, uint64_t duration_ns);
/* No control characters that would end the field or the head. */
bool tako__field_value_ok(tako_str value);
/* First field of that name in a list. */
const struct tako__field *tako__field_find(const struct tako__field *f, unsigned count,
                                           const char *name, size_t n);
/* Answer 308 to the same path with one slash more at its end, or one less. */
int tako__redirect_slash(struct tako__exchange *x, bool add);
/* Run the middleware and the handler of x->ep from position `pos`. */
int tako__chain_run(struct tako__exchange *x, unsigned pos);
/* Timers of the exchange: run them all at once, or drop them at the end. */
void tako__after_fire_all(struct tako__exchange *x);
/* Start and stop the route's timeout. */
int tako__after_timeout(struct tako__exchange *x, uint32_t timeout_ms);
void tako__after_clear(struct tako__exchange *x);

#endif /* TAKO_CORE_EXCHANGE_H */

/* SPDX-License-Identifier: MIT
 *
 * tako/grpc.h: gRPC calls on the router, over whatever HTTP version carries them, and gRPC-Web for
 * browsers (PROTOCOL-HTTP2.md and PROTOCOL-WEB.md of the gRPC project).
 *
 * Messages are bytes: whichever protobuf library made them, or none.  A method is a POST route, so
 * middleware, groups and hosts work on it as on any other, and what HTTP handlers may do with their
 * exchange -- tako_req_alloc(), tako_res_defer(), tako_res_after(), tako_offload() -- calls may, by
 * tako_grpc_req() and tako_grpc_res().
 */
#ifndef TAKO_GRPC_H
#define TAKO_GRPC_H

#include <tako/base.h>
#include <tako/http.h>
#include <tako/router.h>

TAKO_BEGIN

/* ---- Statuses ------------------------------------------------------------------------ */

#define TAKO_GRPC_STATUS_MAP(X)                                                                    \
	X(OK, 0)                                                                                   \
	X(CANCELLED, 1)                                                                            \
	X(UNKNOWN, 2)                                                                              \
	X(INVALID_ARGUMENT, 3)                                                                     \
	X(DEADLINE_EXCEEDED, 4)                                                                    \
	X(NOT_FOUND, 5)                                                                            \
	X(ALREADY_EXISTS, 6)                                                                       \
	X(PERMISSION_DENIED, 7)                                                                    \
	X(RESOURCE_EXHAUSTED, 8)                                                                   \
	X(FAILED_PRECONDITION, 9)                                                                  \
	X(ABORTED, 10)                                                                             \
	X(OUT_OF_RANGE, 11)                                                                        \
	X(UNIMPLEMENTED, 12)                                                                       \
	X(INTERNAL, 13)                                                                            \
	X(UNAVAILABLE, 14)                                                                         \
	X(DATA_LOSS, 15)                                                                           \
	X(UNAUTHENTICATED, 16)

enum {
#define TAKO__X(name, num) TAKO_GRPC_##name = num,
	TAKO_GRPC_STATUS_MAP(TAKO__X)
#undef TAKO__X
};

/* "NOT_FOUND" for 5; "UNKNOWN" for what is none.  Static.  [any] */
TAKO_API const char *tako_grpc_status_name(int status);

/* ---- Methods ------------------------------------------------------------------------- */

/* One call.  Lives as long as its exchange; a streaming one stays open until it is finished, by
 * whoever, a unary one needs a deferral, a timer or a job to outlive its handler. */
typedef struct tako_grpc tako_grpc;

/* What a method's callbacks return: 0 when the call is finished or goes on, a TAKO_GRPC_* to finish it
 * with that status, or a negative TAKO_E* (EINVAL: INVALID_ARGUMENT, ENOENT: NOT_FOUND, EEXIST:
 * ALREADY_EXISTS, EBUSY: UNAVAILABLE, ETIMEDOUT: DEADLINE_EXCEEDED, ETOOBIG and ENOMEM:
 * RESOURCE_EXHAUSTED, ENOTSUP: UNIMPLEMENTED, ECLOSED: CANCELLED, others: INTERNAL).  `msg` is
 * borrowed for the call.  A unary handler that returns 0 with neither an answer nor anything pending
 * is answered INTERNAL.  [loop] */
typedef int (*tako_grpc_fn)(tako_grpc *call, void *arg);
typedef int (*tako_grpc_message_fn)(tako_grpc *call, tako_str msg, void *arg);
/* Something has happened to the call.  [loop] */
typedef void (*tako_grpc_event_fn)(tako_grpc *call, void *arg);

/* How many messages a method takes and gives. */
enum {
	TAKO_GRPC_UNARY = 0,         /* one, one */
	TAKO_GRPC_CLIENT_STREAM = 1, /* many, one */
	TAKO_GRPC_SERVER_STREAM = 2, /* one, many */
	TAKO_GRPC_BIDI = 3           /* many, many */
};

/* Bits of tako_grpc_config.compress. */
enum { TAKO_GRPC_GZIP = 1, TAKO_GRPC_DEFLATE = 2 };

/* A method's code and its limits. */
typedef struct tako_grpc_config {
	size_t size;
	/* A message has arrived.  The only one of a unary or server-streaming method: it comes when the
	 * client has said that there are no more.  Required. */
	tako_grpc_message_fn on_message;
	/* Client-streaming and bidirectional methods only: the head has arrived; the client has sent
	 * its last message.  NULL: the latter finishes a bidirectional call with OK, and a
	 * client-streaming one must have been answered before. */
	tako_grpc_fn on_open;
	tako_grpc_fn on_end;
	/* Once, if the call ends without this side's doing: the client has cancelled it or has left, or
	 * its deadline has passed, or the server's drain has; tako_grpc_status() says which.  Nothing
	 * can be sent any more. */
	tako_grpc_event_fn on_cancel;
	/* The server stops: whoever would go on for ever should finish.  What is still open shortly
	 * before the end of drain_timeout_ms is cancelled. */
	tako_grpc_event_fn on_stop;
	/* Exactly once, the last of all: free what you kept for the call. */
	tako_grpc_event_fn on_close;
	/* Whose pages may call it by gRPC-Web: "https://a.example", "*" for any; NULL ends them.  Pages
	 * of the request's own host, and clients that are no browsers, always may.  Those that are named
	 * may send cookies too.  Browsers' questions are answered, and other pages refused, by middleware
	 * of TAKO_PHASE_EARLY: that of later phases sees neither.  NULL: gRPC-Web is not spoken (415).
	 * Copied. */
	const char *const *web_origins;
	uint64_t
		max_receive_bytes; /* of one message, before and after it is decompressed; 0: 4 MiB;
	                             * TAKO_OFF64: none but the format's own 4 GiB */
	uint64_t max_send_bytes;   /* 0: none */
	uint32_t
		max_timeout_ms; /* the deadline of calls that ask for a later one, or for none; 0: none */
	uint32_t
		compress; /* what responses may be compressed with, if the client takes it; 0: nothing */
	uint32_t compress_min_bytes; /* shorter messages are sent as they are; 0: 256 */
	uint32_t reserved;           /* must be 0 */
} tako_grpc_config;
#define TAKO_GRPC_CONFIG(...) (&(tako_grpc_config){.size = sizeof(tako_grpc_config), __VA_ARGS__})

/* Answer `path`, "/package.Service/Method", by one callback and every default.  Errors stick to the
 * router, as those of tako_route(); TAKO_ENOTSUP: gRPC is not in this build.  [setup] */
TAKO_API void tako_grpc_unary(tako_router *router, const char *path, tako_grpc_message_fn fn,
                              void *arg);
/* Answer it by a method of that kind, TAKO_GRPC_UNARY and its neighbours.  `cfg` is copied, `arg` is
 * passed to its callbacks and must outlive the router.  Sticks: TAKO_EINVAL: another kind, no
 * on_message, a callback that the kind does not have, a bit of `compress` that is none; TAKO_ENOTSUP:
 * cfg->size is larger than this library's and a field it does not know is set.  [setup] */
TAKO_API void tako_grpc_method(tako_router *router, const char *path, int kind,
                               const tako_grpc_config *cfg, void *arg);

/* A tako_error_fn, for tako_on_error(router, tako_grpc_error, NULL): what is refused before a method
 * is found -- 404 above all -- is told gRPC clients as gRPC has it, and passed on for others.  Methods
 * have it already.  Statuses are mapped as the gRPC project's http-grpc-status-mapping.md does, and
 * 408, 413 and 500, which tako gives by itself, to DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED and INTERNAL.
 * `arg` is not used.  [loop] */
TAKO_API int tako_grpc_error(tako_req *req, tako_res *res, int status, void *arg);

/* ---- A call -------------------------------------------------------------------------- */

/* Its two sides.  The response is the call's to write: of it only what is not tako_res_send() and its
 * like is yours.  [loop] */
TAKO_API tako_req *tako_grpc_req(tako_grpc *call);
TAKO_API tako_res *tako_grpc_res(tako_grpc *call);
/* The call that a response is of, for callbacks that get that; NULL if it is of none (yet).  [loop] */
TAKO_API tako_grpc *tako_grpc_of(tako_res *res);

/* Neither finished nor cancelled: something can be sent.  [loop] */
TAKO_API bool tako_grpc_is_open(const tako_grpc *call);
/* Milliseconds until the deadline, 0 when it has passed; TAKO_OFF64: there is none.  [loop] */
TAKO_API uint64_t tako_grpc_timeout_ms(const tako_grpc *call);
/* Did the message that on_message has come compressed?  [loop] */
TAKO_API bool tako_grpc_was_compressed(const tako_grpc *call);

/* Send the response's head now, before there is a message.  TAKO_ESTATE: sent already; TAKO_ECLOSED:
 * the call is over; TAKO_ENOMEM.  [loop] */
TAKO_API int tako_grpc_send_head(tako_grpc *call);
/* Send a message of a stream, copied.  What is sent in one turn of the loop leaves together.  Returns
 * the bytes that now wait for the client to take them: past write_high_bytes wait for
 * tako_grpc_on_drain().  [loop]
 *   TAKO_ETOOBIG over max_send_bytes; nothing was sent
 *   TAKO_ESTATE  the method gives one message: that is tako_grpc_reply()'s
 *   TAKO_ECLOSED the call is over; TAKO_ENOMEM: … of that */
TAKO_API int64_t tako_grpc_send(tako_grpc *call, tako_str msg);
/* Send the one message, or the last, and finish with OK.  Errors as tako_grpc_send().  [loop] */
TAKO_API int tako_grpc_reply(tako_grpc *call, tako_str msg);
/* Finish.  `message` is UTF-8 for people, NULL for none, copied, cut off at 1,024 bytes.  What the
 * client has not sent yet is not waited for.  TAKO_EINVAL: no TAKO_GRPC_*, or OK where a message is due;
 * TAKO_ECLOSED: it is over; TAKO_ENOMEM: cut off instead.  [loop] */
TAKO_API int tako_grpc_finish(tako_grpc *call, int status, const char *message);
/* Say more with the status: a serialised google.rpc.Status, copied, for grpc-status-details-bin.
 * TAKO_ETOOBIG: over 4,096 bytes, which clients would not take; TAKO_ECLOSED; TAKO_ENOMEM.  [loop] */
TAKO_API int tako_grpc_details(tako_grpc *call, tako_str details);

/* Send the following messages compressed, or do not; on from the beginning, where the config has
 * compress and the client takes it.  [loop] */
TAKO_API void tako_grpc_compress(tako_grpc *call, bool on);

/* Hold back the client's messages, and let them come again.  They pause by themselves while more than
 * write_high_bytes are unsent.  [loop] */
TAKO_API void tako_grpc_pause(tako_grpc *call);
TAKO_API void tako_grpc_resume(tako_grpc *call);
/* Bytes that wait for the client to take them.  [loop] */
TAKO_API uint64_t tako_grpc_unsent(const tako_grpc *call);
/* Call `fn` once when less than half of write_high_bytes is unsent, from the loop, not if the call ends
 * before; set it anew for each time; NULL: no more.  TAKO_ECLOSED, TAKO_ENOMEM.  [loop] */
TAKO_API int tako_grpc_on_drain(tako_grpc *call, tako_grpc_event_fn fn, void *arg);

/* ---- Metadata ------------------------------------------------------------------------ */

/* Names are lower-case letters, digits, "_", "-" and "."; those that begin with "grpc-" are the
 * protocol's.  A value is printable ASCII, or any bytes if the name ends in "-bin": those are base64 on
 * the wire only. */

/* The first value that the client has sent with that name; {NULL, 0} if absent, malformed or without
 * memory.  Lives as long as the exchange.  Also for middleware, before there is a call.  [loop] */
TAKO_API tako_str tako_grpc_metadata(tako_req *req, const char *name);
/* Call `fn` for each of them, in order, without HTTP's and gRPC's own; a non-zero return ends the walk
 * and is returned.  Names are in lower case, binary values that were joined by commas come one by one, and
 * what is malformed is left out: all of it can be sent with tako_grpc_header().  TAKO_ENOMEM.  [loop] */
TAKO_API int tako_grpc_metadata_each(tako_req *req, tako_pair_fn fn, void *arg);
/* Add metadata before the first message, or behind the last.  Copied.  TAKO_EINVAL: not such a name or
 * value; TAKO_ETOOBIG: over 64; TAKO_ESTATE: the head is sent; TAKO_ECLOSED: the call is over;
 * TAKO_ENOMEM.  [loop] */
TAKO_API int tako_grpc_header(tako_grpc *call, const char *name, tako_str value);
TAKO_API int tako_grpc_trailer(tako_grpc *call, const char *name, tako_str value);

/* ---- Interceptors -------------------------------------------------------------------- */

/* Does the request speak gRPC or gRPC-Web, by its content type?  [loop] */
TAKO_API bool tako_grpc_is(const tako_req *req);
/* Answer a request in place of its method, from middleware: return what this returns.  `message` as
 * tako_grpc_finish().  TAKO_EINVAL: no TAKO_GRPC_*; errors of tako_res_send().  [loop] */
TAKO_API int tako_grpc_refuse(tako_req *req, tako_res *res, int status, const char *message);
/* The status that the client is told: known to tako_after() functions of unary methods and to
 * tako_res_on_end() functions of all; -1 before.  [loop] */
TAKO_API int tako_grpc_status(const tako_req *req);

/* ---- Health checking (grpc.health.v1) ------------------------------------------------- */

/* What is said of services.  Shared by routers and threads. */
typedef struct tako_grpc_health tako_grpc_health;

/* HealthCheckResponse.ServingStatus. */
enum {
	TAKO_GRPC_HEALTH_UNKNOWN = 0,
	TAKO_GRPC_HEALTH_SERVING = 1,
	TAKO_GRPC_HEALTH_NOT_SERVING = 2
};

/* New: the server as a whole, which is service "", is serving.  NULL: without memory, or gRPC is not in
 * this build; tako_last_error() says which.  [any] */
TAKO_API TAKO_CHECK tako_grpc_health *tako_grpc_health_new(void);
/* Drop your reference; routers hold their own.  NULL is fine.  [any] */
TAKO_API void tako_grpc_health_free(tako_grpc_health *health);
/* Say how a service is, and tell those who watch it.  TAKO_EINVAL: no such status, or a name of more than
 * 256 bytes; TAKO_ETOOBIG: over 1,024 services; TAKO_ENOMEM.  [any] */
TAKO_API int tako_grpc_health_set(tako_grpc_health *health, const char *service, int status);
/* Answer /grpc.health.v1.Health/Check, /List and /Watch from it.  Errors stick.  [setup] */
TAKO_API void tako_grpc_health_add(tako_router *router, tako_grpc_health *health);

/* ---- Reflection (grpc.reflection.v1 and v1alpha) --------------------------------------- */

/* Answer the reflection services from these descriptor sets, as protoc's --descriptor_set_out with
 * --include_imports writes them: all services in them are listed.  Copied.  Sticks: TAKO_EINVAL:
 * not descriptor sets, or two different files of one name; TAKO_ENOMEM.  [setup] */
TAKO_API void tako_grpc_reflection(tako_router *router, const tako_str *sets, size_t count);

TAKO_END

#endif /* TAKO_GRPC_H */

/* SPDX-License-Identifier: MIT
 *
 * tako/sse.h: Server-Sent Events (the HTML standard's section 9.2, what a browser's EventSource
 * reads) as the response of any request, whatever HTTP version carries it.
 *
 * A handler calls tako_sse_start(); from then on its response is a stream of events, for as long as
 * the client stays.  A client that does not keep up is bounded by max_queue_bytes and a policy;
 * one that has gone is noticed by its connection, or by a comment that is sent when nothing else
 * was for a while.  When the server stops, streams end as if by tako_sse_close(), so that clients
 * connect again, elsewhere, with the id of the last event they saw.
 */
#ifndef TAKO_SSE_H
#define TAKO_SSE_H

#include <tako/base.h>
#include <tako/http.h>

TAKO_BEGIN

/* One stream of events.  Lives until its on_close has returned, or until the last reference of
 * tako_sse_ref() is given back; belongs to the loop of the exchange it came from. */
typedef struct tako_sse tako_sse;

/* One event.  Absent fields are left out; a client acts on an event only if it has data, which may
 * be empty. */
typedef struct tako_sse_event {
	size_t size;
	tako_str
		data; /* any bytes (UTF-8, as all of it); its lines, whether they end in CR LF, LF or
			 * CR, are sent as a line each, so that nothing in it is taken for a field */
	tako_str event; /* the type; absent or empty: "message" */
	tako_str id;    /* what a client that connects again names as the last it saw; empty: forget
			 * it.  At most TAKO_SSE_ID_MAX_BYTES, since it comes back as a field */
	uint32_t retry_ms; /* how long clients wait before they connect again; 0: not said */
	uint32_t reserved; /* must be 0 */
} tako_sse_event;
/* TAKO_SSE_EVENT(.data = TAKO_STR("hello")) */
#define TAKO_SSE_EVENT(...) (&(tako_sse_event){.size = sizeof(tako_sse_event), __VA_ARGS__})

enum { TAKO_SSE_ID_MAX_BYTES = 1024 };

/* What becomes of an event when its client is max_queue_bytes behind. */
enum {
	TAKO_SSE_SLOW_CLOSE =
		0, /* the stream is cut: the client connects again and says where it was */
	TAKO_SSE_SLOW_DROP = 1 /* this event is left out for this client, and counted */
};

/* What to do with a stream; all callbacks run on the loop of the exchange it came from. */
typedef struct tako_sse_config {
	size_t size;
	/* The stream is there: events may be sent.  `last_id` is the Last-Event-ID that the client
	 * named, borrowed until on_close; {NULL, 0} if none, or if it is none that could have been
	 * sent.  From inside tako_sse_start(). */
	void (*on_open)(tako_sse *sse, tako_str last_id, void *arg);
	/* Exactly once if tako_sse_start() returned 0, never from inside another call: `sse` dies
	 * after it.  `err` is 0 when this side has ended it (or the request was HEAD, which has no
	 * stream), TAKO_ECLOSED when the client has left, TAKO_ETOOBIG when it was cut for being too
	 * slow, or the TAKO_E* that cut it. */
	void (*on_close)(tako_sse *sse, int err, void *arg);
	/* Asked, in place of slow_policy, about each event that finds its client `queued_bytes`
	 * behind: TAKO_SSE_SLOW_CLOSE or TAKO_SSE_SLOW_DROP.  NULL: slow_policy decides. */
	int (*on_slow)(tako_sse *sse, uint64_t queued_bytes, void *arg);
	uint64_t max_queue_bytes; /* 0: 64 KiB; at least 1 KiB; TAKO_OFF64: no limit */
	uint32_t keepalive_ms;    /* 0: 15000 without an event, then a comment; TAKO_OFF: never */
	uint32_t slow_policy;     /* TAKO_SSE_SLOW_… */
} tako_sse_config;
#define TAKO_SSE_CONFIG(...) (&(tako_sse_config){.size = sizeof(tako_sse_config), __VA_ARGS__})

/* Answer this exchange with a stream of events: status 200, the fields set so far, Content-Type:
 * text/event-stream and, unless they are set, Cache-Control: no-store and X-Accel-Buffering: no.
 * `cfg` is copied, NULL takes every default; `arg` is passed to its callbacks.  From a handler, or
 * later while the exchange is deferred.  [loop]
 *   TAKO_ENOTSUP the request's Accept excludes text/event-stream; answered 406.  Or cfg->size is
 *                larger than this library's and a field it does not know is set
 *   TAKO_EINVAL  the config; or another status, a Content-Type or a length is set already
 *   TAKO_ESTATE  answered already
 *   TAKO_ECLOSED, TAKO_ENOMEM */
TAKO_API int tako_sse_start(tako_req *req, tako_res *res, const tako_sse_config *cfg, void *arg);

/* Send an event.  It is copied, and leaves at the end of the loop's turn.  Returns the bytes that
 * now wait for the client to take them.  [loop]
 *   TAKO_EINVAL  CR, LF or NUL in event or id, an id that is too long, nothing in it at all
 *   TAKO_EBUSY   the client is too far behind: the event was dropped
 *   TAKO_ETOOBIG … or the stream was cut; or the event alone is over max_queue_bytes, and nothing
 *                has become of it
 *   TAKO_ECLOSED the stream has ended; TAKO_ENOMEM: … of that */
TAKO_API int64_t tako_sse_send(tako_sse *sse, const tako_sse_event *event);
/* Send a comment, which clients pass over.  Errors as tako_sse_send().  [loop] */
TAKO_API int64_t tako_sse_comment(tako_sse *sse, tako_str text);

/* End the stream behind what was sent.  The client sees an orderly end and connects again, unless its
 * next request is answered with another status than 200.  Fine also when it has ended.  [loop] */
TAKO_API void tako_sse_close(tako_sse *sse);

/* The Last-Event-ID, as on_open had it.  [loop] */
TAKO_API tako_str tako_sse_last_id(const tako_sse *sse);
/* Bytes that wait for the client to take them.  [loop] */
TAKO_API uint64_t tako_sse_unsent(const tako_sse *sse);
/* Events that were left out because the client was too far behind.  [loop] */
TAKO_API uint64_t tako_sse_dropped(const tako_sse *sse);

/* ---- From other threads ------------------------------------------------------------- */

/* Another reference, with which other threads may call the two functions below until it is given
 * back.  It keeps neither the client nor the server waiting: on_close comes as ever, and the
 * reference may outlive both.  Returns `sse`.  [loop] */
TAKO_API tako_sse *tako_sse_ref(tako_sse *sse);
/* Have an event sent, in the order of the calls.  It is copied.  0: it will be tried, on the loop,
 * under the same limit and policy.  [any]
 *   TAKO_EBUSY   half of max_queue_bytes has been posted that the loop has not got round to
 *   TAKO_ECLOSED the stream has ended
 *   TAKO_EINVAL, TAKO_ETOOBIG as tako_sse_send(); TAKO_ENOMEM */
TAKO_API int tako_sse_post(tako_sse *sse, const tako_sse_event *event);
/* Give a reference back.  NULL is fine.  [any] */
TAKO_API void tako_sse_unref(tako_sse *sse);

TAKO_END

#endif /* TAKO_SSE_H */

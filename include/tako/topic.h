/* SPDX-License-Identifier: MIT
 *
 * tako/topic.h: publish and subscribe.  Whatever is published on a topic, from any thread, reaches
 * every stream of events and every WebSocket that has subscribed, on every worker of every server in
 * the process; and through a relay, other processes.
 *
 * Each worker has a queue per topic, from which it sends to its own subscribers; what one publisher
 * publishes on one topic arrives in that order.  Nothing is kept for who subscribes later.
 */
#ifndef TAKO_TOPIC_H
#define TAKO_TOPIC_H

#include <tako/base.h>
#include <tako/sse.h>
#include <tako/ws.h>

TAKO_BEGIN

/* A topic.  Shared: subscribers hold references of their own. */
typedef struct tako_topic tako_topic;

/* ---- Messages ----------------------------------------------------------------------- */

/* What a message is to a WebSocket.  A stream of events carries text only: binary messages pass it
 * by. */
enum { TAKO_TOPIC_TEXT = 0, TAKO_TOPIC_BINARY = 1 };

/* One message.  A stream of events gets all of it, as tako_sse_event has it; a WebSocket gets data
 * alone. */
typedef struct tako_message {
	size_t size;
	tako_str data;     /* may be empty, not absent; text: UTF-8 */
	tako_str event;    /* one line, as in tako_sse_event; */
	tako_str id;       /* so is this */
	uint32_t kind;     /* TAKO_TOPIC_… */
	uint32_t reserved; /* must be 0 */
} tako_message;
/* TAKO_MESSAGE(.data = TAKO_STR("news")) */
#define TAKO_MESSAGE(...) (&(tako_message){.size = sizeof(tako_message), __VA_ARGS__})

/* ---- Relays --------------------------------------------------------------------------- */

/* What carries topics to other processes: <tako/redis.h>, or one of yours.  It has to outlive the
 * topics that use it. */
typedef struct tako_relay {
	size_t size;
	void *arg;
	/* `topic` is there from now on, until leave() has returned: what other processes publish under
	 * `name` (at most TAKO_TOPIC_NAME_MAX_BYTES, no control characters) is to be given to
	 * tako_topic_deliver().  0, or a TAKO_E* that tako_topic_new() returns.  [any] */
	int (*join)(void *arg, tako_topic *topic, const char *name);
	void (*leave)(void *arg, tako_topic *topic, const char *name);
	/* Carry a message to the other processes, not back to this one.  Must not wait: 0, TAKO_EBUSY if
	 * there is no room for it, or another TAKO_E*.  [any] */
	int (*publish)(void *arg, const char *name, tako_str packed);
} tako_relay;

enum { TAKO_TOPIC_NAME_MAX_BYTES = 200 };

/* ---- Topics ----------------------------------------------------------------------------- */

typedef struct tako_topic_config {
	size_t size;
	const char *name;           /* what it is called elsewhere: needed with a relay, copied */
	const tako_relay *relay;    /* NULL: it stays in this process; borrowed */
	uint64_t max_queue_bytes;   /* 0: 1 MiB of messages that one worker has not got round to;
				     * TAKO_OFF64: no limit */
	uint64_t max_message_bytes; /* 0: 64 KiB of data; TAKO_OFF64: no limit */
	uint32_t max_queue_count;   /* 0: 1024 of them, at most 1048576 */
	uint32_t gather_ms; /* 0: messages are sent as they come; else they wait for so long,
				     * at most 60000, for more to share their send, unless they are
				     * as many as one takes */
} tako_topic_config;
#define TAKO_TOPIC_CONFIG(...)                                                                     \
	(&(tako_topic_config){.size = sizeof(tako_topic_config), __VA_ARGS__})

/* Make a topic; NULL takes every default.  *out is set on success only.  [any]
 *   TAKO_EINVAL  a limit out of range, a relay without a name, a name that is too long or has
 *                control characters, a relay without its functions
 *   TAKO_ENOTSUP cfg->size is larger than this library's and a field it does not know is set
 *   TAKO_ENOMEM; and what the relay says */
TAKO_API TAKO_CHECK int tako_topic_new(tako_topic **out, const tako_topic_config *cfg);
/* Another reference; returns `topic`.  [any] */
TAKO_API tako_topic *tako_topic_ref(tako_topic *topic);
/* Drop a reference.  NULL is fine.  With the last the topic leaves its relay: not from inside one.
 * [any] */
TAKO_API void tako_topic_free(tako_topic *topic);

/* Publish, to everybody.  The message is copied, once, whoever subscribes.  Returns how many workers
 * will send it on; 0: nobody listens in this process.  [any]
 *   TAKO_EBUSY   the queue of at least one worker, or of the relay, was full: the message was
 *                dropped there, and counted, and sent to all others
 *   TAKO_EINVAL  no data, text that is no UTF-8, no such kind, CR, LF or NUL in event or id, an id
 *                over TAKO_SSE_ID_MAX_BYTES
 *   TAKO_ETOOBIG over max_message_bytes
 *   TAKO_ENOMEM  it was not sent to everybody */
TAKO_API int tako_topic_publish(tako_topic *topic, const tako_message *message);

/* Publish what another process has, in this one only: for relays, with the bytes that were given to
 * publish().  As tako_topic_publish(); TAKO_EPROTO: not such bytes.  [any] */
TAKO_API int tako_topic_deliver(tako_topic *topic, tako_str packed);

/* ---- Subscribers ------------------------------------------------------------------------- */

enum { TAKO_SUBSCRIPTIONS_MAX = 64 };

/* Send everything that is published from now on, until the stream or WebSocket ends or unsubscribes.
 * Each message comes under its own limit and policy for slow clients.  Twice is once.  Fine from inside
 * its callbacks.  [loop]
 *   TAKO_ETOOBIG over TAKO_SUBSCRIPTIONS_MAX topics
 *   TAKO_ECLOSED it has ended
 *   TAKO_ENOMEM */
TAKO_API int tako_sse_subscribe(tako_sse *sse, tako_topic *topic);
/* Stop that.  Nothing of the topic is sent afterwards.  TAKO_ENOENT: it was not subscribed.  [loop] */
TAKO_API int tako_sse_unsubscribe(tako_sse *sse, tako_topic *topic);
/* The same for a WebSocket, whose slow-consumer policy decides about messages that wait together as
 * about one.  Nothing of it is compressed; while a message of its own goes out in parts, it gets none.
 * Without memory for one, the connection is cut.  TAKO_ENOTSUP: not in this build.  [loop] */
TAKO_API int tako_ws_subscribe(tako_ws *ws, tako_topic *topic);
TAKO_API int tako_ws_unsubscribe(tako_ws *ws, tako_topic *topic);

/* ---- Figures --------------------------------------------------------------------------------- */

/* Since it was made; new ones are added at the end. */
typedef struct tako_topic_stats {
	size_t size;
	uint64_t subscribers; /* now */
	uint64_t published;   /* messages, those of other processes included */
	uint64_t delivered;   /* of them, times their subscribers: given to a stream or WebSocket */
	uint64_t dropped;     /* not handed to a worker whose queue was full, or lost by it without
			       * memory; once for each worker */
	uint64_t relay_dropped; /* that the relay did not take */
} tako_topic_stats;

/* Fill `out`, whose size field the caller has set.  TAKO_EINVAL: size not set.  [any] */
TAKO_API int tako_topic_get_stats(tako_topic *topic, tako_topic_stats *out);

TAKO_END

#endif /* TAKO_TOPIC_H */

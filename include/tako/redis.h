/* SPDX-License-Identifier: MIT
 *
 * tako/redis.h: topics between processes, over Redis' publish and subscribe.
 *
 * A relay (tako/topic.h) with a thread of its own and two connections, which come back by themselves.
 * Redis keeps nothing: who is not connected misses what is published meanwhile, but for what waits
 * here, up to max_queue_bytes, until the connection is there again.
 */
#ifndef TAKO_REDIS_H
#define TAKO_REDIS_H

#include <tako/base.h>
#include <tako/topic.h>

TAKO_BEGIN

/* Two connections to a Redis server. */
typedef struct tako_redis tako_redis;

/* Strings are copied. */
typedef struct tako_redis_config {
	size_t size;
	const char *host;     /* NULL: "127.0.0.1"; "/path": a Unix socket */
	const char *user;     /* NULL: AUTH with the password alone */
	const char *password; /* NULL: no AUTH */
	const char *prefix;   /* NULL: "tako:"; of channels: they are the same in all databases of a
			       * server, so this is what keeps programs apart */
	uint64_t
		max_queue_bytes; /* 0: 1 MiB of messages that wait for Redis; TAKO_OFF64: no limit */
	uint32_t port;           /* 0: 6379 */
	uint32_t timeout_ms;     /* 0: 5000, for Redis to answer anything */
	uint32_t ping_interval_ms; /* 0: 10000 of silence, then a PING; TAKO_OFF: never */
	uint32_t retry_min_ms;     /* 0: 100 after a failure, doubling, and up to a quarter more */
	uint32_t retry_max_ms;     /* 0: 5000 */
	uint32_t reserved;         /* must be 0 */
} tako_redis_config;
#define TAKO_REDIS_CONFIG(...)                                                                     \
	(&(tako_redis_config){.size = sizeof(tako_redis_config), __VA_ARGS__})

/* Start it; connecting goes on behind.  NULL takes every default.  *out is set on success only.  [any]
 *   TAKO_EINVAL  a port over 65535, a user without a password, retry_min_ms over retry_max_ms
 *   TAKO_ENOTSUP not in this build; or a newer config than this library's
 *   TAKO_ESYS, TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_redis_new(tako_redis **out, const tako_redis_config *cfg);
/* The relay, for tako_topic_config; one topic of a name.  Its publish gives TAKO_EBUSY when
 * max_queue_bytes wait.  Borrowed.  [any] */
TAKO_API const tako_relay *tako_redis_relay(tako_redis *r);
/* Send what waits, for at most half a second, and stop.  NULL is fine; not before every topic that uses
 * it is gone.  [any] */
TAKO_API void tako_redis_free(tako_redis *r);

/* Since the start; new ones are added at the end. */
typedef struct tako_redis_stats {
	size_t size;
	uint64_t connected;    /* 1: both connections are in use */
	uint64_t connects;     /* times that they came to be */
	uint64_t published;    /* messages that Redis has taken */
	uint64_t received;     /* of other processes */
	uint64_t dropped;      /* that found no room, or were lost with a connection */
	uint64_t queued_bytes; /* that wait */
	char error[128];       /* the last failure, a line; "" if there was none */
} tako_redis_stats;

/* Fill `out`, whose size field the caller has set.  TAKO_EINVAL: size not set; TAKO_ENOTSUP.
 * [any] */
TAKO_API int tako_redis_get_stats(tako_redis *r, tako_redis_stats *out);

TAKO_END

#endif /* TAKO_REDIS_H */

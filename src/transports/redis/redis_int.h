/* SPDX-License-Identifier: MIT
 *
 * The Redis relay inside: redis.c is what the program and its topics see, redis_queue.c what waits and
 * who listens, redis_link.c one connection, redis_thread.c drives both.
 */
#ifndef TAKO_REDIS_INT_H
#define TAKO_REDIS_INT_H

#include <pthread.h>

#include <hiredis/hiredis.h>
#include <tako/redis.h>

enum {
	TAKO__REDIS_ORIGIN_BYTES = 16, /* in front of each message: whose it is */
	TAKO__REDIS_BUCKETS = 256,
};

/* ---- One connection: the thread's --------------------------------------------------------- */

struct tako__link {
	redisContext *c;   /* NULL: there is none */
	uint64_t heard_ns; /* when anything last came */
	uint64_t asked_ns; /* an answer is due since; 0: none is */
	unsigned due;      /* answers that are */
	bool greeted;      /* an answer came that was no refusal */
};

struct tako__redis_answer;

/* Begin to connect, and say who we are.  False: it cannot be. */
bool tako__link_open(struct tako__link *l, const tako_redis_config *cfg, uint64_t now_ns);
void tako__link_close(struct tako__link *l);
/* Put a command behind what is to be written. */
bool tako__link_ask(struct tako__link *l, int argc, const char **argv, const size_t *n,
                    uint64_t now_ns);
/* Write and read what can be, as poll(2) said; `answer` gets each reply.  False: it is broken, l->c
 * tells why. */
bool tako__link_go_on(struct tako__link *l, short events, uint64_t now_ns,
                      bool (*answer)(void *arg, redisReply *reply), void *arg);
static inline bool tako__link_writes(const struct tako__link *l)
{
	return l->c && sdslen(l->c->obuf) > 0;
}

/* ---- What waits, and who listens: under the lock -------------------------------------------- */

struct tako__redis_item {
	struct tako__redis_item *next;
	size_t channel_n;
	size_t payload_n;
	char text[]; /* channel, payload */
};

struct tako__redis_topic {
	struct tako__redis_topic *next; /* in its bucket */
	tako_topic *topic;              /* NULL: it has left, and Redis is to be told */
	bool told;                      /* Redis knows that we listen */
	size_t channel_n;
	char channel[];
};

struct tako_redis {
	tako_relay relay;
	tako_redis_config cfg; /* its strings are ours */
	char origin[TAKO__REDIS_ORIGIN_BYTES];
	pthread_t thread;
	int wake_fd;
	pthread_mutex_t lock;
	/* Under it: */
	bool stop;
	bool rung;
	bool changed; /* a topic came or left */
	struct tako__redis_item *head;
	struct tako__redis_item *tail;
	tako_redis_stats stats;
	struct tako__redis_topic *buckets[TAKO__REDIS_BUCKETS];
	/* The thread's: */
	struct tako__link pub;
	struct tako__link sub;
	uint64_t retry_ns; /* when to connect again */
	uint32_t wait_ms;  /* … and how long that was */
	unsigned flying;   /* messages that Redis has not answered for */
	bool ready;
};

/* The relay's functions. */
int tako__redis_join(void *arg, tako_topic *topic, const char *name);
void tako__redis_leave(void *arg, tako_topic *topic, const char *name);
int tako__redis_publish(void *arg, const char *name, tako_str packed);
/* The oldest that waits; the caller frees it. */
struct tako__redis_item *tako__redis_take(tako_redis *r);
void tako__redis_item_free(struct tako__redis_item *it);
/* Give a message that came on a channel to its topic. */
void tako__redis_receive(tako_redis *r, tako_str channel, tako_str payload);
/* Call fn for each topic; one that has left is freed if it returns true. */
void tako__redis_each(tako_redis *r, bool (*fn)(tako_redis *r, struct tako__redis_topic *t));
void tako__redis_drop_all(tako_redis *r);
void tako__redis_ring(tako_redis *r);

void *tako__redis_run(void *arg);

#endif /* TAKO_REDIS_INT_H */

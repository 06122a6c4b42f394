/* SPDX-License-Identifier: MIT
 *
 * What waits for Redis and which topics listen, shared by publishers and the relay's thread under its
 * lock.  A topic's own lock may be taken under this one, never the other way round.
 */
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "core/hash.h"
#include "core/mem.h"
#include "transports/redis/redis_int.h"

void tako__redis_ring(tako_redis *r)
{
	const uint64_t one = 1;

	if (r->rung)
		return;
	/* Only a full counter could refuse it, which rings as well. */
	r->rung = true;
	if (write(r->wake_fd, &one, sizeof one) < 0)
		r->rung = false;
}

/* ---- Messages out ----------------------------------------------------------------------- */

static size_t item_bytes(const struct tako__redis_item *it)
{
	return sizeof *it + it->channel_n + it->payload_n;
}

void tako__redis_item_free(struct tako__redis_item *it)
{
	tako__free(it, item_bytes(it));
}

static struct tako__redis_item *new_item(const tako_redis *r, const char *name, tako_str packed)
{
	size_t prefix_n = strlen(r->cfg.prefix);
	size_t channel_n = prefix_n + strlen(name);
	size_t payload_n = TAKO__REDIS_ORIGIN_BYTES + packed.n;
	struct tako__redis_item *it = tako__alloc(sizeof *it + channel_n + payload_n);

	if (!it)
		return NULL;
	it->next = NULL;
	it->channel_n = channel_n;
	it->payload_n = payload_n;
	memcpy(it->text, r->cfg.prefix, prefix_n);
	memcpy(it->text + prefix_n, name, channel_n - prefix_n);
	memcpy(it->text + channel_n, r->origin, TAKO__REDIS_ORIGIN_BYTES);
	memcpy(it->text + channel_n + TAKO__REDIS_ORIGIN_BYTES, packed.p, packed.n);
	return it;
}

static bool enqueue(tako_redis *r, struct tako__redis_item *it)
{
	size_t n = item_bytes(it);

	if (r->stats.queued_bytes > r->cfg.max_queue_bytes ||
	    n > r->cfg.max_queue_bytes - r->stats.queued_bytes)
		return false;
	if (r->tail)
		r->tail->next = it;
	else
		r->head = it;
	r->tail = it;
	r->stats.queued_bytes += n;
	tako__redis_ring(r);
	return true;
}

int tako__redis_publish(void *arg, const char *name, tako_str packed)
{
	tako_redis *r = arg;
	struct tako__redis_item *it = new_item(r, name, packed);
	bool fits;

	pthread_mutex_lock(&r->lock);
	fits = it && enqueue(r, it);
	r->stats.dropped += !fits;
	pthread_mutex_unlock(&r->lock);
	if (fits)
		return 0;
	if (!it)
		return tako__fail(TAKO_ENOMEM, "redis: out of memory");
	tako__redis_item_free(it);
	return tako__fail(TAKO_EBUSY, "redis: max_queue_bytes of messages wait already");
}

struct tako__redis_item *tako__redis_take(tako_redis *r)
{
	struct tako__redis_item *it;

	pthread_mutex_lock(&r->lock);
	it = r->head;
	if (it) {
		r->head = it->next;
		if (!r->head)
			r->tail = NULL;
		r->stats.queued_bytes -= item_bytes(it);
	}
	pthread_mutex_unlock(&r->lock);
	return it;
}

/* ---- Topics, and messages in ---------------------------------------------------------------- */

static struct tako__redis_topic **bucket(tako_redis *r, tako_str channel)
{
	uint32_t hash = tako__hash(TAKO__HASH_START, channel.p, channel.n);

	return &r->buckets[hash % TAKO__REDIS_BUCKETS];
}

static struct tako__redis_topic *find(tako_redis *r, tako_str channel)
{
	struct tako__redis_topic *t = *bucket(r, channel);

	while (t && (t->channel_n != channel.n || memcmp(t->channel, channel.p, channel.n) != 0))
		t = t->next;
	return t;
}

static void free_topic(struct tako__redis_topic *t)
{
	tako__free(t, sizeof *t + t->channel_n);
}

static struct tako__redis_topic *new_topic(const tako_redis *r, tako_topic *topic, const char *name)
{
	size_t prefix_n = strlen(r->cfg.prefix);
	size_t name_n = strlen(name);
	struct tako__redis_topic *t = tako__zalloc(sizeof *t + prefix_n + name_n);

	if (!t)
		return NULL;
	t->topic = topic;
	t->channel_n = prefix_n + name_n;
	memcpy(t->channel, r->cfg.prefix, prefix_n);
	memcpy(t->channel + prefix_n, name, name_n);
	return t;
}

/* True: `t` is in the table.  One that had left and was not told yet comes back. */
static int insert(tako_redis *r, struct tako__redis_topic *t)
{
	tako_str channel = {t->channel, t->channel_n};
	struct tako__redis_topic *old = find(r, channel);

	if (old && old->topic)
		return TAKO_EEXIST;
	r->changed = true;
	tako__redis_ring(r);
	if (old) {
		old->topic = t->topic;
		free_topic(t);
		return 0;
	}
	t->next = *bucket(r, channel);
	*bucket(r, channel) = t;
	return 0;
}

int tako__redis_join(void *arg, tako_topic *topic, const char *name)
{
	tako_redis *r = arg;
	struct tako__redis_topic *t = new_topic(r, topic, name);
	int rc;

	if (!t)
		return tako__fail(TAKO_ENOMEM, "redis: out of memory");
	pthread_mutex_lock(&r->lock);
	rc = insert(r, t);
	pthread_mutex_unlock(&r->lock);
	if (rc == 0)
		return 0;
	free_topic(t);
	return tako__fail(rc, "redis: there is a topic %s already", name);
}

void tako__redis_leave(void *arg, tako_topic *topic, const char *name)
{
	tako_redis *r = arg;

	(void)name;
	pthread_mutex_lock(&r->lock);
	for (unsigned i = 0; i < TAKO__REDIS_BUCKETS; i++) {
		for (struct tako__redis_topic *t = r->buckets[i]; t; t = t->next) {
			if (t->topic == topic)
				t->topic = NULL;
		}
	}
	r->changed = true;
	tako__redis_ring(r);
	pthread_mutex_unlock(&r->lock);
}

/* Under the lock, so that the topic cannot leave meanwhile. */
void tako__redis_receive(tako_redis *r, tako_str channel, tako_str payload)
{
	struct tako__redis_topic *t;

	/* Ours come back, too, and are here already. */
	if (payload.n < TAKO__REDIS_ORIGIN_BYTES ||
	    !memcmp(payload.p, r->origin, TAKO__REDIS_ORIGIN_BYTES))
		return;
	payload.p += TAKO__REDIS_ORIGIN_BYTES;
	payload.n -= TAKO__REDIS_ORIGIN_BYTES;
	pthread_mutex_lock(&r->lock);
	t = find(r, channel);
	if (t && t->topic) {
		r->stats.received++;
		(void)tako_topic_deliver(t->topic, payload); /* what it drops, it counts */
	}
	pthread_mutex_unlock(&r->lock);
}

void tako__redis_each(tako_redis *r, bool (*fn)(tako_redis *r, struct tako__redis_topic *t))
{
	pthread_mutex_lock(&r->lock);
	r->changed = false;
	for (unsigned i = 0; i < TAKO__REDIS_BUCKETS; i++) {
		struct tako__redis_topic **at = &r->buckets[i];

		while (*at) {
			struct tako__redis_topic *t = *at;

			if (fn(r, t) && !t->topic) {
				*at = t->next;
				free_topic(t);
			} else {
				at = &t->next;
			}
		}
	}
	pthread_mutex_unlock(&r->lock);
}

static bool gone(tako_redis *r, struct tako__redis_topic *t)
{
	(void)r;
	t->topic = NULL;
	return true;
}

void tako__redis_drop_all(tako_redis *r)
{
	struct tako__redis_item *it;

	while ((it = tako__redis_take(r)))
		tako__redis_item_free(it);
	tako__redis_each(r, gone);
}

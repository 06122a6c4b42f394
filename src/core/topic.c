/* SPDX-License-Identifier: MIT
 *
 * Topics: a list of ends, one for each worker that has subscribers, each with a bounded queue.  A
 * publisher puts the message into every queue under the topic's lock, and the lock is all that workers
 * and publishers share; what is sent, and to whom, is each worker's own affair.
 *
 * An end dies with its last subscriber, so that no topic ever points to a worker that is gone.
 */
#include "core/topic.h"

#include <pthread.h>

#include "core/base.h"
#include "core/worker.h"

enum {
	QUEUE_BYTES = 1 << 20,
	QUEUE_COUNT = 1024,
	QUEUE_COUNT_MOST = 1 << 20,
	MESSAGE_BYTES = 64 << 10,
	GATHER_MS_MOST = 60000,
	RING_FIRST = 16,
};

struct slot {
	struct tako__message *message;
	bool last; /* of its batch: who has subscribed since gets what follows, and not this */
};

struct tako__end {
	struct tako__mail mail;
	tako_topic *topic; /* a reference */
	struct tako__worker *worker;
	/* Under the topic's lock. */
	struct tako__end *next;
	struct slot *ring;
	uint32_t cap; /* a power of two, or 0 */
	uint32_t first;
	uint32_t count;
	uint64_t bytes;
	uint64_t taken; /* messages so far, which numbers them */
	bool posted;    /* somebody will deliver: the mail is on its way, or … */
	bool waits;     /* … the timer is set */
	/* The loop's. */
	bool dead;                /* without subscribers, and off the topic's list */
	bool busy;                /* delivering */
	bool rest;                /* what its mail is about has waited before */
	struct tako__timer timer; /* for more to gather */
	struct tako__list subs;
};

struct tako_topic {
	_Atomic uint32_t refs;
	pthread_mutex_t lock;
	struct tako__end *ends;
	char *name;
	const tako_relay *relay;
	uint64_t max_queue_bytes;
	uint64_t max_message_bytes;
	uint32_t max_queue_count;
	uint32_t gather_ms;
	_Atomic uint32_t end_count;
	_Atomic uint64_t subscribers;
	_Atomic uint64_t published;
	_Atomic uint64_t delivered;
	_Atomic uint64_t dropped;
	_Atomic uint64_t relay_dropped;
};

static void add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* ---- Queues: under the topic's lock ------------------------------------------------------ */

static bool grow(struct tako__end *e)
{
	uint32_t cap = e->cap ? e->cap * 2 : RING_FIRST;
	struct slot *ring = tako__alloc(cap * sizeof *ring);

	if (!ring)
		return false;
	for (uint32_t i = 0; i < e->count; i++)
		ring[i] = e->ring[(e->first + i) & (e->cap - 1)];
	tako__free(e->ring, e->cap * sizeof *ring);
	e->ring = ring;
	e->cap = cap;
	e->first = 0;
	return true;
}

/* More would not share a send with it, or find no room in the queue. */
static bool is_full(const struct tako__end *e)
{
	const tako_topic *t = e->topic;

	return e->count >= TAKO__BATCH_MAX || e->count >= t->max_queue_count / 2 ||
	       e->bytes >= TAKO__BATCH_BYTES || e->bytes >= t->max_queue_bytes / 2;
}

static int enqueue(struct tako__end *e, struct tako__message *m)
{
	const tako_topic *t = e->topic;

	if (e->count >= t->max_queue_count ||
	    (e->count && e->bytes + m->bytes > t->max_queue_bytes))
		return TAKO_EBUSY;
	if (e->count == e->cap && !grow(e))
		return TAKO_ENOMEM;
	e->ring[(e->first + e->count++) & (e->cap - 1)] = (struct slot){
		.message = tako__message_ref(m)};
	e->bytes += m->bytes;
	if (!e->posted || (e->waits && is_full(e))) {
		e->posted = true;
		e->waits = false;
		tako__worker_post(e->worker, &e->mail);
	}
	return 0;
}

static struct tako__message *dequeue(struct tako__end *e)
{
	struct tako__message *m = e->ring[e->first].message;

	e->first = (e->first + 1) & (e->cap - 1);
	e->count--;
	e->taken++;
	e->bytes -= m->bytes;
	return m;
}

/* ---- Ends ---------------------------------------------------------------------------------- */

static void free_end(struct tako__end *e)
{
	while (e->count)
		tako__message_unref(dequeue(e));
	tako__free(e->ring, e->cap * sizeof *e->ring);
	tako_topic_free(e->topic);
	tako__free(e, sizeof *e);
}

/* The last subscriber is gone.  Publishers forget it now; its mail, or the delivery that we are in, is
 * the last that needs it. */
static void retire(struct tako__end *e)
{
	tako_topic *t = e->topic;
	struct tako__end **at = &t->ends;
	bool posted;

	pthread_mutex_lock(&t->lock);
	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	posted = e->posted && !e->waits;
	pthread_mutex_unlock(&t->lock);
	tako__timer_clear(&e->worker->wheel, &e->timer);
	atomic_fetch_sub(&t->end_count, 1);
	e->dead = true;
	if (!posted && !e->busy)
		free_end(e);
}

static unsigned take(struct tako__end *e, struct tako__batch *b)
{
	tako_topic *t = e->topic;
	size_t bytes = 0;
	bool last = false;

	b->count = 0;
	pthread_mutex_lock(&t->lock);
	b->first = e->taken;
	while (e->count && b->count < TAKO__BATCH_MAX && !last) {
		bytes += e->ring[e->first].message->bytes;
		if (b->count && bytes > TAKO__BATCH_BYTES)
			break;
		last = e->ring[e->first].last;
		b->messages[b->count++] = dequeue(e);
	}
	/* The rest in the next turn: others want theirs, too. */
	e->posted = e->count > 0;
	e->rest = e->posted;
	if (e->posted)
		tako__worker_post(e->worker, &e->mail);
	pthread_mutex_unlock(&t->lock);
	return b->count;
}

static void *make(struct tako__end *e, const struct tako__sub_ops *ops, const struct tako__batch *b,
                  void **made)
{
	if (!made[ops->kind]) {
		made[ops->kind] = ops->make(e->worker, b);
		if (!made[ops->kind])
			add(&e->topic->dropped, b->count);
	}
	return made[ops->kind];
}

/* Whoever is told may end himself and others, also the one who would be next: hence a place in the list
 * that is nobody's.  Who subscribes meanwhile is put before it. */
static void deliver(struct tako__end *e, const struct tako__batch *b)
{
	const struct tako__sub_ops *seen[TAKO__SUB_KINDS] = {NULL};
	void *made[TAKO__SUB_KINDS] = {NULL};
	bool lacks[TAKO__SUB_KINDS] = {false};
	struct tako__list place;
	uint64_t given = 0;

	tako__list_init(&place);
	tako__list_push_front(&e->subs, &place);
	while (place.next != &e->subs) {
		struct tako__sub *s = TAKO__CONTAINER(place.next, struct tako__sub, link);
		enum tako__sub_kind kind = s->ops->kind;

		__builtin_prefetch(s->link.next);
		tako__list_remove(&place);
		tako__list_insert(&s->link, &place);
		if (TAKO__UNLIKELY(s->since > b->first))
			continue;
		seen[kind] = s->ops;
		if (!lacks[kind] && make(e, s->ops, b, made))
			given += s->ops->deliver(s, b, made[kind]);
		else
			lacks[kind] = true;
	}
	tako__list_remove(&place);
	for (unsigned i = 0; i < TAKO__SUB_KINDS; i++) {
		if (made[i])
			seen[i]->free(e->worker, made[i]);
	}
	add(&e->topic->delivered, given);
}

static void deliver_batch(struct tako__end *e)
{
	struct tako__batch b;

	take(e, &b);
	e->busy = true;
	deliver(e, &b);
	e->busy = false;
	for (unsigned i = 0; i < b.count; i++)
		tako__message_unref(b.messages[i]);
	/* Its mail may be on its way again, and is then the one to free it. */
	if (e->dead && !e->posted)
		free_end(e);
}

/* May what has come wait for more, so that they share a send? */
static bool gathers(struct tako__end *e)
{
	uint32_t ms = e->topic->gather_ms;
	bool waits;

	if (!ms)
		return false;
	pthread_mutex_lock(&e->topic->lock);
	waits = !e->rest && !is_full(e);
	e->waits = waits;
	pthread_mutex_unlock(&e->topic->lock);
	if (waits)
		tako__timer_set(&e->worker->wheel, &e->timer,
		                tako__now_ns(e->worker) + (uint64_t)ms * 1000000);
	else
		tako__timer_clear(&e->worker->wheel, &e->timer);
	return waits;
}

static void on_mail(struct tako__mail *m)
{
	struct tako__end *e = TAKO__CONTAINER(m, struct tako__end, mail);

	if (e->dead)
		free_end(e);
	else if (!gathers(e))
		deliver_batch(e);
}

static void on_timer(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__end *e = TAKO__CONTAINER(timer, struct tako__end, timer);
	bool waits;

	(void)now_ns;
	pthread_mutex_lock(&e->topic->lock);
	waits = e->waits;
	e->waits = false;
	pthread_mutex_unlock(&e->topic->lock);
	/* Else it became full, and its mail is on its way. */
	if (waits)
		deliver_batch(e);
}

/* ---- Subscribing ------------------------------------------------------------------------------ */

static struct tako__end *find_end(tako_topic *t, const struct tako__worker *w)
{
	struct tako__end *e;

	pthread_mutex_lock(&t->lock);
	e = t->ends;
	while (e && e->worker != w)
		e = e->next;
	pthread_mutex_unlock(&t->lock);
	return e;
}

static struct tako__end *new_end(tako_topic *t, struct tako__worker *w)
{
	struct tako__end *e = tako__zalloc(sizeof *e);

	if (!e)
		return NULL;
	e->mail.fn = on_mail;
	tako__timer_init(&e->timer, on_timer);
	e->topic = tako_topic_ref(t);
	e->worker = w;
	tako__list_init(&e->subs);
	pthread_mutex_lock(&t->lock);
	e->next = t->ends;
	t->ends = e;
	pthread_mutex_unlock(&t->lock);
	atomic_fetch_add(&t->end_count, 1);
	return e;
}

/* Of the first message that is published from now on; what waits goes in batches of its own. */
static uint64_t next_number(struct tako__end *e)
{
	uint64_t number;

	pthread_mutex_lock(&e->topic->lock);
	number = e->taken + e->count;
	if (e->count)
		e->ring[(e->first + e->count - 1) & (e->cap - 1)].last = true;
	pthread_mutex_unlock(&e->topic->lock);
	return number;
}

int tako__topic_subscribe(tako_topic *t, struct tako__worker *w, struct tako__sub *s,
                          const struct tako__sub_ops *ops)
{
	struct tako__end *e = find_end(t, w);

	if (!e)
		e = new_end(t, w);
	if (!e)
		return tako__fail(TAKO_ENOMEM, "subscription: out of memory");
	s->ops = ops;
	s->end = e;
	s->since = next_number(e);
	tako__list_push_front(&e->subs, &s->link);
	add(&t->subscribers, 1);
	return 0;
}

void tako__topic_unsubscribe(struct tako__sub *s)
{
	struct tako__end *e = s->end;

	if (!e)
		return;
	s->end = NULL;
	tako__list_remove(&s->link);
	add(&e->topic->subscribers, (uint64_t)-1);
	/* While it delivers, its place is in the list. */
	if (tako__list_empty(&e->subs) || (e->busy && e->subs.next == e->subs.prev))
		retire(e);
}

const tako_topic *tako__sub_topic(const struct tako__sub *s)
{
	return s->end ? s->end->topic : NULL;
}

/* ---- Publishing -------------------------------------------------------------------------------- */

static int hand_over(tako_topic *t, const tako_message *message)
{
	struct tako__message *m;
	int count = 0;
	int err = 0;

	add(&t->published, 1);
	if (!atomic_load(&t->end_count))
		return 0;
	m = tako__message_new(message);
	if (!m)
		return tako__fail(TAKO_ENOMEM, "message: out of memory");
	pthread_mutex_lock(&t->lock);
	for (struct tako__end *e = t->ends; e; e = e->next) {
		int rc = enqueue(e, m);

		count += rc == 0;
		if (rc < 0) {
			err = rc;
			add(&t->dropped, 1);
		}
	}
	pthread_mutex_unlock(&t->lock);
	tako__message_unref(m);
	return err < 0 ? tako__fail(err, "the queue of a worker is full, or cannot grow") : count;
}

static int relay(tako_topic *t, const tako_message *m)
{
	size_t n = tako__message_packed_bytes(m);
	char *packed = tako__alloc(n);
	int rc;

	if (!packed)
		return tako__fail(TAKO_ENOMEM, "message: out of memory");
	tako__message_pack(packed, m);
	rc = t->relay->publish(t->relay->arg, t->name, (tako_str){packed, n});
	tako__free(packed, n);
	if (rc < 0)
		add(&t->relay_dropped, 1);
	return rc;
}

int tako_topic_publish(tako_topic *t, const tako_message *message)
{
	tako_message m;
	int here = tako__message_import(&m, message, t->max_message_bytes);
	int there = 0;

	if (here < 0)
		return here;
	here = hand_over(t, &m);
	if (t->relay)
		there = relay(t, &m);
	return there < 0 ? there : here;
}

int tako_topic_deliver(tako_topic *t, tako_str packed)
{
	tako_message unpacked;
	tako_message m;
	int rc = tako__message_unpack(&unpacked, packed);

	if (rc == 0)
		rc = tako__message_import(&m, &unpacked, t->max_message_bytes);
	return rc < 0 ? rc : hand_over(t, &m);
}

/* ---- Topics -------------------------------------------------------------------------------------- */

static int check_name(const tako_topic_config *cfg)
{
	const tako_relay *r = cfg->relay;

	if (cfg->name) {
		size_t n = strnlen(cfg->name, TAKO_TOPIC_NAME_MAX_BYTES + 1);

		if (n > TAKO_TOPIC_NAME_MAX_BYTES)
			return tako__fail(TAKO_EINVAL, "topic: a name of over %d bytes",
			                  TAKO_TOPIC_NAME_MAX_BYTES);
		for (size_t i = 0; i < n; i++) {
			if ((unsigned char)cfg->name[i] < 0x20 || cfg->name[i] == 0x7f)
				return tako__fail(TAKO_EINVAL,
				                  "topic: a control character in its name");
		}
	}
	if (!r)
		return 0;
	if (!cfg->name || !cfg->name[0])
		return tako__fail(TAKO_EINVAL, "topic: a relay needs a name");
	if (r->size < sizeof *r || !r->join || !r->leave || !r->publish)
		return tako__fail(TAKO_EINVAL, "topic: a relay without its functions");
	return 0;
}

static int import(tako_topic_config *out, const tako_topic_config *cfg)
{
	int rc = tako__import(out, sizeof *out, cfg, sizeof *out, "tako_topic_config");

	if (rc == 0)
		rc = check_name(out);
	if (rc < 0)
		return rc;
	if (out->max_queue_count > QUEUE_COUNT_MOST || out->gather_ms > GATHER_MS_MOST)
		return tako__fail(TAKO_EINVAL,
		                  "tako_topic_config: max_queue_count is over %d, or "
		                  "gather_ms over %d",
		                  QUEUE_COUNT_MOST, GATHER_MS_MOST);
	if (!out->max_queue_bytes)
		out->max_queue_bytes = QUEUE_BYTES;
	if (!out->max_queue_count)
		out->max_queue_count = QUEUE_COUNT;
	if (!out->max_message_bytes)
		out->max_message_bytes = MESSAGE_BYTES;
	return 0;
}

static void destroy(tako_topic *t)
{
	if (t->name)
		tako__free(t->name, strlen(t->name) + 1);
	pthread_mutex_destroy(&t->lock);
	tako__free(t, sizeof *t);
}

static tako_topic *create(const tako_topic_config *cfg)
{
	tako_topic *t = tako__zalloc(sizeof *t);

	if (!t)
		return NULL;
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	t->relay = cfg->relay;
	t->max_queue_bytes = cfg->max_queue_bytes;
	t->max_queue_count = cfg->max_queue_count;
	t->gather_ms = cfg->gather_ms;
	t->max_message_bytes = cfg->max_message_bytes;
	if (cfg->name) {
		t->name = tako__strndup(cfg->name, strlen(cfg->name));
		if (!t->name) {
			destroy(t);
			return NULL;
		}
	}
	return t;
}

int tako_topic_new(tako_topic **out, const tako_topic_config *cfg)
{
	tako_topic_config c;
	tako_topic *t;
	int rc = import(&c, cfg);

	if (rc < 0)
		return rc;
	t = create(&c);
	if (!t)
		return tako__fail(TAKO_ENOMEM, "topic: out of memory");
	if (t->relay)
		rc = t->relay->join(t->relay->arg, t, t->name);
	if (rc < 0) {
		destroy(t);
		return rc;
	}
	*out = t;
	return 0;
}

tako_topic *tako_topic_ref(tako_topic *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tako_topic_free(tako_topic *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (t->relay)
		t->relay->leave(t->relay->arg, t, t->name);
	destroy(t);
}

int tako_topic_get_stats(tako_topic *t, tako_topic_stats *out)
{
	tako_topic_stats s = {
		.subscribers = atomic_load(&t->subscribers),
		.published = atomic_load(&t->published),
		.delivered = atomic_load(&t->delivered),
		.dropped = atomic_load(&t->dropped),
		.relay_dropped = atomic_load(&t->relay_dropped),
	};
	size_t size = out->size;

	if (size < sizeof size || size > sizeof s)
		return tako__fail(TAKO_EINVAL, "tako_topic_stats: size is not set");
	s.size = size;
	memcpy(out, &s, size);
	return 0;
}

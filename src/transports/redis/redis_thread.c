/* SPDX-License-Identifier: MIT
 *
 * The relay's thread: one connection that publishes and one that listens, since Redis lets none do
 * both; made together, given up together, and made again after a while that doubles.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base.h"
#include "core/random.h"
#include "transports/redis/redis_int.h"

enum {
	DUE_MAX = 256, /* messages that Redis has not answered for: what a break may lose */
	OUT_BYTES =
		256 << 10, /* written for Redis and not taken yet: the rest stays in the queue */
	FAREWELL_MS = 500,
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t ms(uint32_t v)
{
	return (uint64_t)v * 1000000;
}

/* ---- Ends ------------------------------------------------------------------------------- */

static bool forget(tako_redis *r, struct tako__redis_topic *t)
{
	(void)r;
	t->told = false;
	return true;
}

static void remember(tako_redis *r, const char *why)
{
	pthread_mutex_lock(&r->lock);
	snprintf(r->stats.error, sizeof r->stats.error, "%s", why);
	pthread_mutex_unlock(&r->lock);
}

static void count_out(tako_redis *r)
{
	pthread_mutex_lock(&r->lock);
	r->stats.connected = 0;
	r->stats.dropped += r->flying;
	pthread_mutex_unlock(&r->lock);
	r->flying = 0;
	r->ready = false;
}

/* Both, whichever is broken.  A quarter of chance keeps many processes from coming back at once. */
static void fail(tako_redis *r, const char *why)
{
	uint32_t wait = r->wait_ms ? r->wait_ms * 2 : r->cfg.retry_min_ms;
	uint32_t chance = 0;

	if (wait > r->cfg.retry_max_ms)
		wait = r->cfg.retry_max_ms;
	r->wait_ms = wait;
	tako__random(&chance, sizeof chance);
	r->retry_ns = now_ns() + ms(wait + chance % (wait / 4 + 1));
	remember(r, why);
	count_out(r);
	tako__link_close(&r->pub);
	tako__link_close(&r->sub);
	tako__redis_each(r, forget);
}

static void fail_link(tako_redis *r, const struct tako__link *l)
{
	char why[128];

	/* Redis' own word, where it has refused us, is what was remembered. */
	if (l->c && !l->c->err)
		memcpy(why, r->stats.error, sizeof why);
	else
		snprintf(why, sizeof why, "%s", l->c ? l->c->errstr : "out of memory");
	fail(r, why);
}

/* ---- Replies ------------------------------------------------------------------------------ */

static void answered(struct tako__link *l, uint64_t now)
{
	if (l->due)
		l->due--;
	l->asked_ns = l->due ? now : 0;
}

/* Of who we are an error is the end; of a message it is that message's. */
static bool on_published(void *arg, redisReply *reply)
{
	tako_redis *r = arg;
	bool error = reply->type == REDIS_REPLY_ERROR;
	/* A PING is asked when nothing is due: its answer comes before those of messages. */
	bool of_message = r->ready && r->flying && r->pub.due <= r->flying;

	answered(&r->pub, r->pub.heard_ns);
	if (error)
		remember(r, reply->str);
	if (!of_message) {
		r->pub.greeted = r->pub.greeted || (!error && !r->pub.due);
		return !error;
	}
	r->flying--;
	pthread_mutex_lock(&r->lock);
	r->stats.published += !error;
	r->stats.dropped += error;
	pthread_mutex_unlock(&r->lock);
	return true;
}

static bool is_message(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
	       reply->element[0]->type == REDIS_REPLY_STRING &&
	       reply->element[1]->type == REDIS_REPLY_STRING &&
	       reply->element[2]->type == REDIS_REPLY_STRING &&
	       strcmp(reply->element[0]->str, "message") == 0;
}

static tako_str str_of(const redisReply *reply)
{
	return (tako_str){reply->str, (size_t)reply->len};
}

static bool on_heard(void *arg, redisReply *reply)
{
	tako_redis *r = arg;

	if (reply->type == REDIS_REPLY_ERROR) {
		remember(r, reply->str);
		return false;
	}
	if (is_message(reply)) {
		tako__redis_receive(r, str_of(reply->element[1]), str_of(reply->element[2]));
		return true;
	}
	answered(&r->sub, r->sub.heard_ns);
	r->sub.greeted = r->sub.greeted || !r->sub.due;
	return true;
}

/* ---- Going on ------------------------------------------------------------------------------ */

static bool tell(tako_redis *r, struct tako__redis_topic *t)
{
	const char *argv[] = {t->topic ? "SUBSCRIBE" : "UNSUBSCRIBE", t->channel};
	const size_t n[] = {strlen(argv[0]), t->channel_n};

	if ((t->topic != NULL) != t->told && tako__link_ask(&r->sub, 2, argv, n, now_ns()))
		t->told = t->topic != NULL;
	return true;
}

/* Messages that wait leave while Redis keeps up. */
static void send_waiting(tako_redis *r)
{
	struct tako__redis_item *it;

	while (r->pub.due < DUE_MAX && sdslen(r->pub.c->obuf) < OUT_BYTES &&
	       (it = tako__redis_take(r))) {
		const char *argv[] = {"PUBLISH", it->text, it->text + it->channel_n};
		const size_t n[] = {7, it->channel_n, it->payload_n};
		if (tako__link_ask(&r->pub, 3, argv, n, now_ns())) {
			r->flying++;
		} else {
			pthread_mutex_lock(&r->lock);
			r->stats.dropped++;
			pthread_mutex_unlock(&r->lock);
		}
		tako__redis_item_free(it);
	}
}

static void become_ready(tako_redis *r)
{
	r->ready = true;
	r->wait_ms = 0;
	pthread_mutex_lock(&r->lock);
	r->stats.connected = 1;
	r->stats.connects++;
	pthread_mutex_unlock(&r->lock);
}

static void look_alive(tako_redis *r, struct tako__link *l, uint64_t now)
{
	const char *argv[] = {"PING"};
	const size_t n[] = {4};

	if (l->asked_ns && now - l->asked_ns >= ms(r->cfg.timeout_ms))
		fail(r, "no answer");
	else if (!l->asked_ns && r->cfg.ping_interval_ms != TAKO_OFF &&
	         now - l->heard_ns >= ms(r->cfg.ping_interval_ms))
		(void)tako__link_ask(l, 1, argv, n, now);
}

static bool topics_changed(tako_redis *r)
{
	bool changed;

	pthread_mutex_lock(&r->lock);
	changed = r->changed;
	pthread_mutex_unlock(&r->lock);
	return changed;
}

static void go_on(tako_redis *r)
{
	uint64_t now = now_ns();

	if (!r->pub.c) {
		if (now < r->retry_ns)
			return;
		if (!tako__link_open(&r->pub, &r->cfg, now))
			fail_link(r, &r->pub);
		else if (!tako__link_open(&r->sub, &r->cfg, now))
			fail_link(r, &r->sub);
		return;
	}
	look_alive(r, &r->pub, now);
	if (r->sub.c)
		look_alive(r, &r->sub, now);
	if (!r->pub.c || !r->sub.greeted)
		return;
	if (!r->ready || topics_changed(r))
		tako__redis_each(r, tell);
	/* Behind our own SUBSCRIBEs: who publishes now will be heard. */
	if (!r->ready && r->pub.greeted && !r->sub.due)
		become_ready(r);
	if (r->ready)
		send_waiting(r);
}

static uint64_t deadline(const tako_redis *r, const struct tako__link *l)
{
	if (l->asked_ns)
		return l->asked_ns + ms(r->cfg.timeout_ms);
	if (r->cfg.ping_interval_ms == TAKO_OFF)
		return UINT64_MAX;
	return l->heard_ns + ms(r->cfg.ping_interval_ms);
}

static int wait_ms(const tako_redis *r, bool stopping)
{
	uint64_t now = now_ns();
	uint64_t at = r->retry_ns;

	if (r->pub.c) {
		uint64_t other = deadline(r, &r->sub);

		at = deadline(r, &r->pub);
		at = other < at ? other : at;
	}
	if (stopping && at > now + ms(10))
		at = now + ms(10);
	if (at <= now)
		return 0;
	return at - now > ms(60000) ? 60000 : (int)((at - now) / 1000000 + 1);
}

static void take_ring(tako_redis *r)
{
	uint64_t count;

	pthread_mutex_lock(&r->lock);
	if (r->rung && read(r->wake_fd, &count, sizeof count) > 0)
		r->rung = false;
	pthread_mutex_unlock(&r->lock);
}

static void turn(tako_redis *r, bool stopping)
{
	struct pollfd fds[3] = {
		{.fd = r->wake_fd, .events = POLLIN},
		{.fd = r->pub.c ? r->pub.c->fd : -1, .events = POLLIN},
		{.fd = r->sub.c ? r->sub.c->fd : -1, .events = POLLIN},
	};

	fds[1].events |= tako__link_writes(&r->pub) ? POLLOUT : 0;
	fds[2].events |= tako__link_writes(&r->sub) ? POLLOUT : 0;
	if (poll(fds, 3, wait_ms(r, stopping)) < 0)
		return;
	take_ring(r);
	if (fds[1].revents &&
	    !tako__link_go_on(&r->pub, fds[1].revents, now_ns(), on_published, r)) {
		fail_link(r, &r->pub);
		return;
	}
	if (fds[2].revents && !tako__link_go_on(&r->sub, fds[2].revents, now_ns(), on_heard, r))
		fail_link(r, &r->sub);
}

/* Is there still something to wait for at the end? */
static bool lingers(tako_redis *r, uint64_t until_ns)
{
	bool waits;

	pthread_mutex_lock(&r->lock);
	waits = r->head != NULL;
	pthread_mutex_unlock(&r->lock);
	return r->ready && (waits || r->pub.due) && now_ns() < until_ns;
}

void *tako__redis_run(void *arg)
{
	tako_redis *r = arg;
	uint64_t until = UINT64_MAX;
	bool stopping = false;

	while (!stopping || lingers(r, until)) {
		go_on(r);
		turn(r, stopping);
		pthread_mutex_lock(&r->lock);
		if (r->stop && !stopping) {
			stopping = true;
			until = now_ns() + ms(FAREWELL_MS);
		}
		pthread_mutex_unlock(&r->lock);
	}
	tako__link_close(&r->pub);
	tako__link_close(&r->sub);
	return NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * /chat, a WebSocket whose messages reach everybody on the page, and /ticks, a stream of events that
 * a thread of its own publishes once a second.  Both are topics, so that it does not matter on which
 * worker, nor over which HTTP version, somebody listens.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "showcase.h"

enum {
	SAID_BYTES_MAX = 500,
	IDLE_MS = 600000,
};

static struct {
	tako_topic *chat;
	tako_topic *ticks;
	const tako_server *srv;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t ending;
	bool over;
	bool running;
} talk = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- The chat ------------------------------------------------------------------------- */

static uint64_t people(void)
{
	tako_topic_stats stats = {.size = sizeof stats};

	return tako_topic_get_stats(talk.chat, &stats) < 0 ? 0 : stats.subscribers;
}

/* What a browser cannot see: its WebSocket may be a stream of HTTP/2. */
static void chat_open(tako_ws *ws, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	char text[64];
	int n;

	(void)arg;
	if (tako_ws_subscribe(ws, talk.chat) < 0 || tako_ws_conn_info(ws, &info) < 0) {
		tako_ws_close(ws, 1011, TAKO_STR("out of memory"));
		return;
	}
	n = snprintf(text, sizeof text, "%s %" PRIu64, info.transport, people());
	/* Binary: what somebody says is text, and cannot be mistaken for this. */
	tako_ws_send(ws, TAKO_WS_BINARY, (tako_str){text, (size_t)n});
}

static void chat_message(tako_ws *ws, int kind, tako_str said, void *arg)
{
	(void)arg;
	if (kind != TAKO_WS_TEXT)
		tako_ws_close(ws, 1003, TAKO_STR("text only"));
	else if (tako_topic_publish(talk.chat, TAKO_MESSAGE(.data = said)) < 0)
		tako_ws_close(ws, 1013, TAKO_STR("too much is being said"));
}

int chat(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(req, res,
	                      TAKO_WS_CONFIG(.on_open = chat_open, .on_message = chat_message,
	                                     .max_message_bytes = SAID_BYTES_MAX,
	                                     .idle_timeout_ms = IDLE_MS),
	                      arg);
}

/* ---- The ticker ------------------------------------------------------------------------- */

static void ticks_open(tako_sse *sse, tako_str last_id, void *arg)
{
	(void)last_id, (void)arg;
	if (tako_sse_subscribe(sse, talk.ticks) < 0)
		tako_sse_close(sse);
}

int ticks(tako_req *req, tako_res *res, void *arg)
{
	return tako_sse_start(req, res, TAKO_SSE_CONFIG(.on_open = ticks_open), arg);
}

static void tick(uint64_t n)
{
	tako_stats stats = {.size = sizeof stats};
	char text[160];
	char id[24];

	if (tako_server_stats(talk.srv, &stats) < 0)
		return;
	snprintf(id, sizeof id, "%" PRIu64, n);
	snprintf(text, sizeof text,
	         "{\"tick\":%" PRIu64 ",\"requests\":%" PRIu64 ",\"chatting\":%" PRIu64 "}", n,
	         stats.requests, people());
	tako_topic_publish(talk.ticks,
	                   TAKO_MESSAGE(.data = tako_str_z(text), .id = tako_str_z(id)));
}

static void *ticker(void *arg)
{
	struct timespec at;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &at);
	pthread_mutex_lock(&talk.lock);
	for (uint64_t n = 1; !talk.over; n++) {
		tick(n);
		at.tv_sec++;
		while (!talk.over && pthread_cond_timedwait(&talk.ending, &talk.lock, &at) == 0)
			;
	}
	pthread_mutex_unlock(&talk.lock);
	return NULL;
}

/* ---- Both ---------------------------------------------------------------------------------- */

int talk_start(const tako_server *srv)
{
	int rc = tako_topic_new(&talk.chat, NULL);

	if (rc == 0)
		rc = tako_topic_new(&talk.ticks, NULL);
	if (rc < 0)
		return rc;
	talk.srv = srv;
	pthread_cond_init(&talk.ending, NULL);
	talk.running = pthread_create(&talk.thread, NULL, ticker, NULL) == 0;
	return talk.running ? 0 : TAKO_ENOMEM;
}

void talk_stop(void)
{
	if (talk.running) {
		pthread_mutex_lock(&talk.lock);
		talk.over = true;
		pthread_cond_signal(&talk.ending);
		pthread_mutex_unlock(&talk.lock);
		pthread_join(talk.thread, NULL);
	}
	tako_topic_free(talk.chat);
	tako_topic_free(talk.ticks);
}

/* SPDX-License-Identifier: MIT
 *
 * A ticker: one thread counts, every client sees it, and one that was away is told what it missed.
 *
 *   curl -N http://127.0.0.1:8080/ticks
 *   curl -N -H 'Last-Event-ID: 3' http://127.0.0.1:8080/ticks
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <tako/tako.h>
#include <time.h>

enum { MISSED_MAX = 100, TICK_MS = 200 };

static tako_topic *ticks;
static atomic_uint_least64_t count;
static atomic_bool over;

static void send_tick(tako_sse *sse, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, n);
	tako_sse_send(sse, TAKO_SSE_EVENT(.data = tako_str_z(text), .id = tako_str_z(text)));
}

static void on_open(tako_sse *sse, tako_str last_id, void *arg)
{
	uint64_t last;
	uint64_t seen;
	char text[24];

	(void)arg;
	/* First of all, so that nothing is missed between; a tick may then come twice. */
	if (tako_sse_subscribe(sse, ticks) < 0) {
		tako_sse_close(sse);
		return;
	}
	last = atomic_load(&count);
	if (!last_id.n)
		return;
	snprintf(text, sizeof text, "%.*s", TAKO_FMT(last_id));
	seen = strtoull(text, NULL, 10);
	if (seen < last && last - seen > MISSED_MAX)
		seen = last - MISSED_MAX;
	while (seen < last)
		send_tick(sse, ++seen);
}

static int events(tako_req *req, tako_res *res, void *arg)
{
	return tako_sse_start(req, res, TAKO_SSE_CONFIG(.on_open = on_open), arg);
}

static int page(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/html; charset=utf-8",
	                     TAKO_STR("<!doctype html><title>ticks</title><h1>-</h1><script>"
	                              "new EventSource('/ticks').onmessage = (e) => "
	                              "{ document.querySelector('h1').textContent = e.data }"
	                              "</script>"));
}

static void *tick(void *arg)
{
	const struct timespec pause = {.tv_nsec = TICK_MS * 1000000L};

	(void)arg;
	while (!atomic_load(&over)) {
		char text[24];

		snprintf(text, sizeof text, "%" PRIu64, atomic_fetch_add(&count, 1) + 1);
		tako_topic_publish(ticks,
		                   TAKO_MESSAGE(.data = tako_str_z(text), .id = tako_str_z(text)));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();
	pthread_t thread;

	tako_get(router, "/", page, NULL);
	tako_get(router, "/ticks", events, NULL);
	if (tako_topic_new(&ticks, NULL) < 0 || pthread_create(&thread, NULL, tick, NULL) != 0)
		return 1;

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);

	atomic_store(&over, true);
	pthread_join(thread, NULL);
	tako_router_free(router);
	tako_topic_free(ticks);
	return rc < 0;
}

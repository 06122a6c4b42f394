/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of event streams.
 *
 *   GET /ticks?n=&ms=&from=   n events, one every ms, with ids that go on from Last-Event-ID; then the end
 *   GET /silent?keepalive=    nothing but comments
 *   GET /flood?policy=&max=   events until the client is too slow, and what became of them in /said
 *   GET /watch?policy=&max=   what is published: from another thread, by
 *   GET /ws                   the same by WebSocket: "subscribe", "unsubscribe", or bytes to
 *                             publish; each is answered with what it returned
 *   GET /publish?n=&bytes=    n messages "i" and as many bytes more
 *   GET /topic                its figures
 *   GET /redis                those of its relay, where redis=PORT was among the arguments
 */
#include "program.h"

#include <tako/redis.h>

static char said[256] = "nothing";

struct ticks {
	tako_sse *sse;
	uint64_t next;
	uint64_t left;
	uint32_t ms;
};

static void tick(tako_res *res, void *arg)
{
	struct ticks *t = arg;
	char text[32];

	if (!t->sse)
		return;
	if (t->left-- == 0) {
		tako_sse_close(t->sse);
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu64, t->next++);
	(void)tako_sse_send(t->sse,
	                    TAKO_SSE_EVENT(.data = tako_str_z(text), .event = TAKO_STR("tick"),
	                                   .id = tako_str_z(text), .retry_ms = 50));
	if (tako_res_after(res, t->ms, tick, t) < 0)
		tako_sse_close(t->sse);
}

static void ticks_open(tako_sse *sse, tako_str last_id, void *arg)
{
	struct ticks *t = arg;
	char text[24];

	t->sse = sse;
	snprintf(text, sizeof(text), "%.*s", TAKO_FMT(last_id));
	if (last_id.n)
		t->next = strtoull(text, NULL, 10) + 1;
}

static void ticks_close(tako_sse *sse, int err, void *arg)
{
	(void)sse, (void)err;
	((struct ticks *)arg)->sse = NULL;
}

static int ticks(tako_req *req, tako_res *res, void *arg)
{
	struct ticks *t = tako_req_alloc(req, sizeof(*t));
	int rc;

	(void)arg;
	if (!t)
		return TAKO_ENOMEM;
	t->left = program_number(req, "n", 3);
	t->ms = (uint32_t)program_number(req, "ms", 1);
	t->next = program_number(req, "from", 1);
	rc = tako_sse_start(req, res,
	                    TAKO_SSE_CONFIG(.on_open = ticks_open, .on_close = ticks_close), t);
	return rc < 0 || !t->sse ? rc : tako_res_after(res, 0, tick, t);
}

static void say_close(tako_sse *sse, int err, void *arg)
{
	size_t n = strlen(said);

	(void)sse, (void)arg;
	snprintf(said + n, sizeof(said) - n, " closed %s", program_code(err));
}

static int silent(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	snprintf(said, sizeof(said), "silent");
	return tako_sse_start(
		req, res,
		TAKO_SSE_CONFIG(.keepalive_ms = (uint32_t)program_number(req, "keepalive", 0),
	                        .on_close = say_close),
		NULL);
}

static void flood_open(tako_sse *sse, tako_str last_id, void *arg)
{
	(void)last_id;
	*(tako_sse **)arg = sse;
}

/* A bit in each turn: what is sent in one would wait for its end. */
static void pour(tako_res *res, void *arg)
{
	tako_sse *sse = *(tako_sse **)arg;
	static char big[8 << 10];
	int64_t rc = 0;
	size_t n;

	memset(big, 'x', sizeof(big));
	for (int i = 0; i < 4 && rc >= 0; i++)
		rc = tako_sse_send(sse, TAKO_SSE_EVENT(.data = {big, sizeof(big)}));
	if (rc >= 0 && tako_res_after(res, 0, pour, arg) == 0)
		return;
	n = strlen(said);
	snprintf(said + n, sizeof(said) - n, " %s", program_code((int)rc));
}

static int flood(tako_req *req, tako_res *res, void *arg)
{
	tako_sse **sse = tako_req_alloc(req, sizeof(tako_sse *));
	int rc;

	(void)arg;
	snprintf(said, sizeof(said), "flood");
	if (!sse)
		return TAKO_ENOMEM;
	rc = tako_sse_start(
		req, res,
		TAKO_SSE_CONFIG(.slow_policy = (uint32_t)program_number(req, "policy", 0),
	                        .max_queue_bytes = program_number(req, "max", 0),
	                        .on_open = flood_open, .on_close = say_close),
		sse);
	return rc < 0 || !*sse ? rc : tako_res_after(res, 0, pour, sse);
}

/* ---- A topic ---------------------------------------------------------------------------- */

static tako_topic *topic;

static void watch_open(tako_sse *sse, tako_str last_id, void *arg)
{
	(void)last_id, (void)arg;
	if (tako_sse_subscribe(sse, topic) < 0)
		tako_sse_close(sse);
}

static int watch(tako_req *req, tako_res *res, void *arg)
{
	return tako_sse_start(
		req, res,
		TAKO_SSE_CONFIG(.slow_policy = (uint32_t)program_number(req, "policy", 0),
	                        .max_queue_bytes = program_number(req, "max", 0),
	                        .on_open = watch_open),
		arg);
}

static void on_word(tako_ws *ws, int kind, tako_str word, void *arg)
{
	int rc = TAKO_EINVAL;

	(void)arg;
	if (tako_str_eq(word, TAKO_STR("subscribe")))
		rc = tako_ws_subscribe(ws, topic);
	else if (tako_str_eq(word, TAKO_STR("unsubscribe")))
		rc = tako_ws_unsubscribe(ws, topic);
	else if (kind == TAKO_WS_BINARY)
		rc = tako_topic_publish(topic,
		                        TAKO_MESSAGE(.data = word, .kind = TAKO_TOPIC_BINARY));
	(void)tako_ws_send(ws, TAKO_WS_TEXT, tako_str_z(program_code(rc < 0 ? rc : 0)));
}

static int websocket(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(req, res, TAKO_WS_CONFIG(.on_message = on_word), arg);
}

struct job {
	uint64_t n;
	uint64_t bytes;
};

static void publish_all(void *arg)
{
	const struct job *job = arg;
	char text[(64 << 10) + 32];

	for (uint64_t i = 1; i <= job->n; i++) {
		int n = snprintf(text, sizeof(text), "%" PRIu64, i);

		memset(text + n, 'x', job->bytes);
		(void)tako_topic_publish(topic, TAKO_MESSAGE(.data = {text, (size_t)n + job->bytes},
		                                             .event = TAKO_STR("news")));
	}
}

static void published(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_text(res, 200, "done");
}

static int publish(tako_req *req, tako_res *res, void *arg)
{
	struct job *job = tako_req_alloc(req, sizeof(*job));

	(void)arg;
	if (!job)
		return TAKO_ENOMEM;
	job->n = program_number(req, "n", 1);
	job->bytes = program_number(req, "bytes", 0);
	return job->bytes > 60000 ? TAKO_EINVAL : tako_offload(res, publish_all, published, job);
}

static int figures(tako_req *req, tako_res *res, void *arg)
{
	tako_topic_stats s = {.size = sizeof(s)};

	(void)req, (void)arg;
	tako_topic_get_stats(topic, &s);
	return tako_res_text(res, 200,
	                     "subscribers %" PRIu64 "\npublished %" PRIu64 "\ndelivered %" PRIu64
	                     "\ndropped %" PRIu64 "\n",
	                     s.subscribers, s.published, s.delivered, s.dropped);
}

static tako_redis *redis;
static tako_redis_config redis_cfg = {
	.size = sizeof(redis_cfg), .retry_min_ms = 20, .retry_max_ms = 100};

/* redis=PORT, password=, queue= */
static bool redis_set(const char *arg)
{
	if (strncmp(arg, "redis=", 6) == 0)
		redis_cfg.port = (uint32_t)strtoul(arg + 6, NULL, 10);
	else if (strncmp(arg, "password=", 9) == 0)
		redis_cfg.password = arg + 9;
	else if (strncmp(arg, "queue=", 6) == 0)
		redis_cfg.max_queue_bytes = strtoull(arg + 6, NULL, 10);
	else
		return false;
	return true;
}

static int redis_figures(tako_req *req, tako_res *res, void *arg)
{
	tako_redis_stats s = {.size = sizeof(s)};

	(void)req, (void)arg;
	if (!redis)
		return TAKO_ENOENT;
	tako_redis_get_stats(redis, &s);
	return tako_res_text(res, 200,
	                     "connected %" PRIu64 "\nconnects %" PRIu64 "\npublished %" PRIu64
	                     "\nreceived %" PRIu64 "\ndropped %" PRIu64 "\nqueued_bytes %" PRIu64
	                     "\nerror %s\n",
	                     s.connected, s.connects, s.published, s.received, s.dropped,
	                     s.queued_bytes, s.error);
}

static int open_topic(void)
{
	/* Room for all that a test publishes: what would not fit is not sent again. */
	tako_topic_config cfg = {.size = sizeof(cfg),
	                         .name = "news",
	                         .max_queue_bytes = TAKO_OFF64,
	                         .max_queue_count = 1 << 20};

	if (redis_cfg.port) {
		int rc = tako_redis_new(&redis, &redis_cfg);

		if (rc < 0)
			return rc;
		cfg.relay = tako_redis_relay(redis);
	}
	return tako_topic_new(&topic, &cfg);
}

static int tell(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "%s", said);
}

static int fine(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "fine");
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg), .worker_count = 1};
	const char *addr = argc > 1 && strncmp(argv[1], "listen=", 7) == 0 ? argv[1] + 7 : "";
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;
	int rc;

	for (int i = 2; i < argc; i++) {
		if (!redis_set(argv[i]))
			program_set(&cfg, argv[i]);
	}
	tako_get(router, "/ticks", ticks, NULL);
	tako_get(router, "/silent", silent, NULL);
	tako_get(router, "/flood", flood, NULL);
	tako_get(router, "/watch", watch, NULL);
	tako_get(router, "/ws", websocket, NULL);
	tako_get(router, "/publish", publish, NULL);
	tako_get(router, "/topic", figures, NULL);
	tako_get(router, "/redis", redis_figures, NULL);
	tako_get(router, "/said", tell, NULL);
	tako_get(router, "/healthz", fine, NULL);
	rc = open_topic();
	if (rc == 0)
		rc = program_server_new(&srv, router, &cfg);
	if (rc == 0)
		rc = program_listen(srv, addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc < 0)
		return program_refused("events", rc);
	rc = tako_server_run(srv);
	tako_server_free(srv);
	tako_topic_free(topic);
	tako_redis_free(redis);
	tako_router_free(router);
	return program_exit(rc);
}

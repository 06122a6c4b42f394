/* SPDX-License-Identifier: MIT
 *
 * What the library itself spends on a request: the whole way from received bytes to queued ones
 * and back, on a runtime that has no kernel below it.  Its figures repeat within a few percent where
 * those of a server on a busy machine do not, so this is what to look at while changing the path;
 * what counts in the end is run.py.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tako/sys/runtime.h>
#include <tako/tako.h>

enum { CONNECTIONS_MAX = 1000, BATCH_BYTES = 64 * 1024, DELIVERIES = 20000, ROUNDS = 60 };

#define BROWSER                                                                                    \
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"   \
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n"   \
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"          \
	"Referer: https://www.example.org/a/rather/long/path/to/a/page?with=a&query=string\r\n"    \
	"Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef; "             \
	"theme=dark\r\n"                                                                           \
	"Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n"                             \
	"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\n"

static const struct workload {
	const char *name;
	const char *fields;
	unsigned depth;
	unsigned connections;
} workloads[] = {
	{"one at a time", "", 1, 64},
	{"a browser's head", BROWSER, 1, 64},
	{"pipelined 16", "", 16, 64},
	{"1,000 connections", "", 1, 1000},
};

/* ---- A runtime without a kernel ------------------------------------------------------ */

struct null_loop {
	struct tako_loop base;
	struct tako_sock *listener;
	struct tako_sock *socks[CONNECTIONS_MAX];
	unsigned count;
	unsigned active; /* of them */
	struct tako_sock *closing;
};

static const tako_runtime null_runtime;
static struct null_loop the_loop;
static char batch[BATCH_BYTES];
static size_t batch_bytes;
static uint64_t sent_bytes;

static int null_probe(char *why, size_t n)
{
	(void)why, (void)n;
	return 0;
}

static int null_open(struct tako_loop **out, const struct tako_loop_config *cfg)
{
	(void)cfg;
	the_loop = (struct null_loop){.base.rt = &null_runtime};
	tako_loop_refresh(&the_loop.base);
	*out = &the_loop.base;
	return 0;
}

static void null_free(struct tako_loop *loop)
{
	(void)loop;
}

static void connect_all(struct null_loop *l)
{
	while (l->count < CONNECTIONS_MAX) {
		struct sockaddr from = {.sa_family = AF_UNIX};

		l->listener->cb->on_accept(l->listener, open("/dev/null", O_RDONLY | O_CLOEXEC),
		                           &from, sizeof from);
	}
}

/* Each connection gets one batch, and what it answers is taken at once. */
static void deliver_all(struct null_loop *l)
{
	for (unsigned i = 0; i < l->active; i++) {
		struct tako_sock *s = l->socks[i];

		s->cb->on_recv(s, batch, (ssize_t)batch_bytes);
		sent_bytes += s->queued_bytes;
		tako_sock_advance(s, s->queued_bytes);
	}
}

static void reap_all(struct null_loop *l)
{
	while (l->closing) {
		struct tako_sock *s = l->closing;

		l->closing = s->next;
		s->cb->on_closed(s);
	}
}

static int null_turn(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct null_loop *l = (struct null_loop *)loop;

	(void)deadline_ns;
	tako_loop_refresh(loop);
	if (l->listener && !l->count)
		connect_all(l);
	if (!l->closing)
		deliver_all(l);
	reap_all(l);
	return 0;
}

static void null_wake(struct tako_loop *loop)
{
	(void)loop;
}

static int null_pollable(struct tako_loop *loop, uint64_t deadline_ns)
{
	(void)loop, (void)deadline_ns;
	return 0;
}

static int null_listen(struct tako_loop *loop, struct tako_sock *ls, int fd)
{
	ls->loop = loop;
	ls->fd = fd;
	((struct null_loop *)loop)->listener = ls;
	return 0;
}

static int null_start(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	struct null_loop *l = (struct null_loop *)loop;

	s->loop = loop;
	s->fd = fd;
	l->socks[l->count++] = s;
	return 0;
}

static void null_nothing(struct tako_sock *s)
{
	(void)s;
}

static void null_close(struct tako_sock *s)
{
	struct null_loop *l = (struct null_loop *)s->loop;

	tako_sock_fail(s, TAKO_ECLOSED);
	s->next = l->closing;
	l->closing = s;
}

static bool null_waiting(struct tako_sock *s)
{
	(void)s;
	return false;
}

static size_t null_unacked(struct tako_sock *s)
{
	(void)s;
	return 0;
}

static const tako_runtime null_runtime = {
	.size = sizeof(tako_runtime),
	.name = "null",
	.probe = null_probe,
	.open = null_open,
	.free = null_free,
	.turn = null_turn,
	.wake = null_wake,
	.pollable = null_pollable,
	.listen = null_listen,
	.start = null_start,
	.resume = null_nothing,
	.flush = null_nothing,
	.close = null_close,
	.reset = null_close,
	.shut = null_nothing,
	.waiting = null_waiting,
	.unacked = null_unacked,
};

/* ---- Measuring ----------------------------------------------------------------------- */

static int plaintext(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", TAKO_STR("Hello, World!"));
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fill_batch(const struct workload *w)
{
	batch_bytes = 0;
	for (unsigned i = 0; i < w->depth; i++)
		batch_bytes += (size_t)snprintf(batch + batch_bytes, BATCH_BYTES - batch_bytes,
		                                "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		                                "%s\r\n",
		                                w->fields);
}

/* The best of some rounds: what it costs where nothing interferes. */
static int measure(tako_server *srv, const struct workload *w)
{
	double best = 1e9;

	fill_batch(w);
	the_loop.active = w->connections;
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned turns = DELIVERIES / w->depth / w->connections + 1;
		double from = now_s();
		double each;

		for (unsigned i = 0; i < turns; i++) {
			if (tako_server_step(srv, 0) != 1)
				return -1;
		}
		each = (now_s() - from) / ((double)turns * w->connections * w->depth);
		best = each < best ? each : best;
	}
	printf("%-18s %7.1f ns a request\n", w->name, best * 1e9);
	return sent_bytes ? 0 : -1;
}

static void add_routes(tako_router *router)
{
	static const char *const others[] = {
		"/",     "/json",    "/inspect", "/users/{id:u64}", "/stream",
		"/slow", "/healthz", "/metrics", "/files/{*path}"};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		tako_get(router, others[i], plaintext, NULL);
	tako_get(router, "/plaintext", plaintext, NULL);
}

int main(void)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;
	int rc;

	add_routes(router);
	rc = tako_server_new(&srv, router,
	                     TAKO_SERVER_CONFIG(.runtime = &null_runtime, .worker_count = 1));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL);
	if (rc == 0)
		rc = tako_server_fd(srv);
	for (size_t i = 0; rc >= 0 && i < sizeof workloads / sizeof workloads[0]; i++)
		rc = measure(srv, &workloads[i]);
	if (rc < 0)
		fprintf(stderr, "request: %s\n", tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What a PROXY header costs a connection.  It is a few percent of what accepting, answering and closing cost, and less
 * than what two servers measured one after the other differ by; so the listeners of this program, without the
 * protocol and with either version of it, take turns many times a second, each with a batch of connections:
 *
 *   header [ROUNDS]
 *
 * A batch is sent before the server runs, and only while it runs time is counted.  The figures are medians, in
 * microseconds for each connection.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tako/sys/runtime.h>
#include <tako/tako.h>

enum { BATCH = 64, BYTES = 64, HEAD_MAX = 128, ROUNDS = 1500, ROUNDS_MAX = 100000, KINDS = 3 };

struct listener {
	const char *name;
	unsigned version; /* 0: none */
	tako_server *srv;
	struct sockaddr_in at;
	char message[HEAD_MAX + BYTES];
	size_t n;
	double *us; /* a round each */
};

static unsigned echoed;
static unsigned closed;

static void die(const char *what)
{
	fprintf(stderr, "header: %s: %s\n", what, tako_last_error());
	exit(1);
}

/* ---- The server: an echo ---------------------------------------------------------------- */

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	int64_t unsent = tako_raw_send(c, data);

	(void)arg;
	echoed++;
	return unsent < 0 ? (int)unsent : 0;
}

static void on_close(tako_raw *c, int why, void *arg)
{
	(void)c, (void)why, (void)arg;
	closed++;
}

static int listen_on(const struct listener *l)
{
	const tako_raw_config *raw = TAKO_RAW_CONFIG(.on_data = on_data, .on_close = on_close,
	                                             .idle_timeout_ms = TAKO_OFF);

	if (!l->version)
		return tako_server_listen(l->srv, tako_raw_tcp(), "127.0.0.1:0",
		                          TAKO_LISTEN_CONFIG(.raw = raw, .backlog = BATCH));
	return tako_server_listen(l->srv, tako_raw_tcp(), "127.0.0.1:0",
	                          TAKO_LISTEN_CONFIG(.raw = raw, .backlog = BATCH,
	                                             .proxy_protocol = TAKO_PROXY_REQUIRED,
	                                             .proxy_trusted = "127.0.0.0/8"));
}

static void make_message(struct listener *l)
{
	int n = 0;

	if (l->version)
		n = tako_proxy_write(l->message, HEAD_MAX,
		                     TAKO_PROXY_HEADER(.version = l->version,
		                                       .source = "192.0.2.1:51234",
		                                       .destination = "198.51.100.7:443"));
	if (n < 0)
		die("header");
	memset(l->message + n, 'x', BYTES);
	l->n = (size_t)n + BYTES;
}

static void start(struct listener *l, const tako_runtime *rt, unsigned rounds)
{
	tako_router *r = tako_router_new();
	char addr[64];

	if (tako_server_new(&l->srv, r, TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = rt)) < 0 ||
	    listen_on(l) < 0 || tako_server_fd(l->srv) < 0 ||
	    tako_server_local_addr(l->srv, 0, addr, sizeof(addr)) < 0)
		die("server");
	tako_router_free(r);
	l->at = (struct sockaddr_in){.sin_family = AF_INET};
	l->at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->at.sin_port = htons((uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10));
	l->us = calloc(rounds, sizeof(*l->us));
	if (!l->us)
		die("memory");
	make_message(l);
}

static void stop(struct listener *l)
{
	tako_server_stop(l->srv);
	while (tako_server_step(l->srv, 100) == 1)
		;
	tako_server_free(l->srv);
	free(l->us);
}

/* ---- Rounds ------------------------------------------------------------------------------ */

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Until that many: how long it took. */
static double serve(struct listener *l, const unsigned *count)
{
	double from = now_us();

	do {
		if (tako_server_step(l->srv, 0) < 0)
			die("step");
	} while (*count < BATCH);
	return now_us() - from;
}

static double run_batch(struct listener *l)
{
	int fds[BATCH];
	char back[BYTES];
	double us;

	echoed = closed = 0;
	for (int i = 0; i < BATCH; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&l->at, sizeof(l->at)) < 0 ||
		    send(fds[i], l->message, l->n, MSG_NOSIGNAL) != (ssize_t)l->n)
			die("connect");
	}
	us = serve(l, &echoed);
	/* Our end first, and a reset then, or each port of ours would wait for a minute. */
	for (int i = 0; i < BATCH; i++) {
		struct linger none = {.l_onoff = 1};

		if (recv(fds[i], back, BYTES, MSG_WAITALL) != BYTES || back[0] != 'x')
			die("echo");
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		shutdown(fds[i], SHUT_WR);
	}
	us += serve(l, &closed);
	for (int i = 0; i < BATCH; i++)
		close(fds[i]);
	return us / BATCH;
}

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

static double median(struct listener *l, unsigned rounds)
{
	qsort(l->us, rounds, sizeof(*l->us), by_value);
	return l->us[rounds / 2];
}

static void run(const tako_runtime *rt, unsigned rounds)
{
	struct listener v[KINDS] = {{.name = "without"},
	                            {.name = "version 1", .version = 1},
	                            {.name = "version 2", .version = 2}};
	double plain;

	for (int i = 0; i < KINDS; i++)
		start(&v[i], rt, rounds);
	for (unsigned round = 0; round < rounds; round++) {
		for (int i = 0; i < KINDS; i++)
			v[i].us[round] = run_batch(&v[i]);
	}
	plain = median(&v[0], rounds);
	for (int i = 1; i < KINDS; i++)
		printf("%s, %s: %.2f of %.2f\n", rt->name, v[i].name, median(&v[i], rounds) - plain,
		       plain);
	for (int i = 0; i < KINDS; i++)
		stop(&v[i]);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
	const tako_runtime *ring = tako_runtime_io_uring();

	if (!rounds || rounds > ROUNDS_MAX) {
		fputs("usage: header [ROUNDS]\n", stderr);
		return 2;
	}
	run(tako_runtime_epoll(), (unsigned)rounds);
	if (ring && ring->probe(NULL, 0) == 0)
		run(ring, (unsigned)rounds);
	return 0;
}

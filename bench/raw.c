/* SPDX-License-Identifier: MIT
 *
 * What an echo of 64 bytes over 100 connections costs: tako_raw_tcp() on each runtime, beside a bare loop
 * of epoll_wait(), recv() and send(), which is the ceiling.  The figure is the CPU time of the server's
 * thread, system time included, for each message.  The servers take turns; this thread is the client,
 * which has one message of each connection on its way.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tako/sys/runtime.h>
#include <tako/tako.h>

enum { BYTES = 64, CONNECTIONS = 100, ROUNDS = 7, WARMUP = 200, PASSES = 1000, SERVERS = 3 };

struct server {
	const char *name;
	void *(*serve)(void *arg);
	pthread_t thread;
	struct sockaddr_in addr;
	int listen_fd; /* of the bare one */
	int stop_fd;
	tako_server *tako;
	const tako_runtime *runtime;
	double ns[ROUNDS];
};

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, tako_last_error());
	exit(1);
}

/* ---- The ceiling ------------------------------------------------------------------------------ */

static void add(int ep, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

static void echo(int fd)
{
	char buf[65536];
	ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);

	if (n <= 0)
		close(fd);
	else if (send(fd, buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		die("send");
}

static void *serve_bare(void *arg)
{
	const struct server *s = arg;
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[256];

	add(ep, s->listen_fd);
	add(ep, s->stop_fd);
	for (;;) {
		int n = epoll_wait(ep, events, 256, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == s->stop_fd) {
				close(ep);
				return NULL;
			}
			if (fd == s->listen_fd)
				add(ep, accept4(fd, NULL, NULL, SOCK_CLOEXEC));
			else
				echo(fd);
		}
	}
}

static void start_bare(struct server *s)
{
	socklen_t n = sizeof s->addr;

	s->addr.sin_family = AF_INET;
	s->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->listen_fd, (struct sockaddr *)&s->addr, sizeof s->addr) < 0 ||
	    listen(s->listen_fd, 1024) < 0 ||
	    getsockname(s->listen_fd, (struct sockaddr *)&s->addr, &n) < 0)
		die("listen");
}

/* ---- tako ----------------------------------------------------------------------------------------- */

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	int64_t unsent = tako_raw_send(c, data);

	(void)arg;
	return unsent < 0 ? (int)unsent : 0;
}

static void *serve_tako(void *arg)
{
	if (tako_server_run(((struct server *)arg)->tako) < 0)
		die("run");
	return NULL;
}

static void start_tako(struct server *s)
{
	tako_router *r = tako_router_new();
	char addr[64];

	if (tako_server_new(&s->tako, r,
	                    TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = s->runtime)) < 0 ||
	    tako_server_listen(s->tako, tako_raw_tcp(), "127.0.0.1:0",
	                       TAKO_LISTEN_CONFIG(.raw = TAKO_RAW_CONFIG(.on_data = on_data))) < 0)
		die("tako");
	tako_router_free(r);
	tako_server_local_addr(s->tako, 0, addr, sizeof addr);
	s->addr.sin_family = AF_INET;
	s->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->addr.sin_port = htons((uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10));
}

/* ---- The client -------------------------------------------------------------------------------------- */

static uint64_t cpu_ns(pthread_t thread)
{
	struct timespec ts;
	clockid_t clock;

	if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		die("clock");
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Each connection has sent one and got it back. */
static void pass(const int *fds)
{
	char text[BYTES];

	memset(text, 'x', sizeof text);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (send(fds[i], text, BYTES, MSG_NOSIGNAL) != BYTES)
			die("send");
	}
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (recv(fds[i], text, BYTES, MSG_WAITALL) != BYTES)
			die("recv");
	}
}

static void measure(struct server *s, int round)
{
	int fds[CONNECTIONS];
	uint64_t before;

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(fds[i], (struct sockaddr *)&s->addr, sizeof s->addr) < 0)
			die("connect");
	}
	for (int i = 0; i < WARMUP; i++)
		pass(fds);
	before = cpu_ns(s->thread);
	for (int i = 0; i < PASSES; i++)
		pass(fds);
	s->ns[round] = (double)(cpu_ns(s->thread) - before) / PASSES / CONNECTIONS;
	for (unsigned i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void stop(struct server *s)
{
	if (s->tako)
		tako_server_stop(s->tako);
	else
		(void)!write(s->stop_fd, &(uint64_t){1}, sizeof(uint64_t));
	pthread_join(s->thread, NULL);
	tako_server_free(s->tako);
}

int main(void)
{
	struct server servers[SERVERS] = {
		{.name = "bare epoll", .serve = serve_bare},
		{.name = "tako, epoll", .serve = serve_tako, .runtime = tako_runtime_epoll()},
		{.name = "tako, io_uring", .serve = serve_tako, .runtime = tako_runtime_io_uring()},
	};
	unsigned count = 0;
	char why[96];

	for (; count < SERVERS; count++) {
		struct server *s = &servers[count];

		if (s->runtime && s->runtime->probe(why, sizeof why) < 0) {
			printf("%-16s %s\n", s->name, why);
			break;
		}
		if (s->runtime)
			start_tako(s);
		else
			start_bare(s);
		if (pthread_create(&s->thread, NULL, s->serve, s) != 0)
			die("thread");
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < count; i++)
			measure(&servers[i], round);
	}
	for (unsigned i = 0; i < count; i++) {
		struct server *s = &servers[i];

		stop(s);
		qsort(s->ns, ROUNDS, sizeof s->ns[0], by_value);
		printf("%-16s %7.0f ns a message, %+.1f %%\n", s->name, s->ns[ROUNDS / 2],
		       100 * (s->ns[ROUNDS / 2] / servers[0].ns[ROUNDS / 2] - 1));
	}
	return 0;
}

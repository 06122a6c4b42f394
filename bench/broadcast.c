/* SPDX-License-Identifier: MIT
 *
 * What it costs a server to send one message to many: CPU of the server's process for each delivery.
 *
 *   broadcast [subscribers [message bytes [seconds a row [sse|ws]]]]
 *
 * The server is a child process with one worker and a publisher thread; this process is the clients.
 * A row publishes so many messages at once, waits until all of them were delivered, and again.  With
 * one at a time each delivery is a send of its own; the more wait, the more share one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tako/tako.h>
#include <time.h>
#include <unistd.h>

enum { READ_BYTES = 64 << 10 };

static const unsigned bursts[] = {1, 4, 16, 64};

/* ---- The server ------------------------------------------------------------------------ */

struct row {
	unsigned burst;
	unsigned reserved;
	uint64_t deliveries;
	double cpu_us;
	double wall_s;
};

static tako_topic *topic;
static tako_server *srv;
static unsigned subscribers;
static unsigned message_bytes;
static unsigned row_seconds;
static int tell_fd;

static void on_open(tako_sse *sse, tako_str last_id, void *arg)
{
	(void)last_id, (void)arg;
	if (tako_sse_subscribe(sse, topic) < 0)
		tako_sse_close(sse);
}

static int subscribe(tako_req *req, tako_res *res, void *arg)
{
	return tako_sse_start(req, res, TAKO_SSE_CONFIG(.on_open = on_open), arg);
}

static void on_ws(tako_ws *ws, void *arg)
{
	(void)arg;
	if (tako_ws_subscribe(ws, topic) < 0)
		(void)tako_ws_close(ws, 1011, TAKO_STR(""));
}

static int accept_ws(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(req, res, TAKO_WS_CONFIG(.on_open = on_ws), arg);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static tako_topic_stats figures(void)
{
	tako_topic_stats s = {.size = sizeof s};

	(void)tako_topic_get_stats(topic, &s);
	return s;
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static struct row run_row(unsigned burst)
{
	static char text[64 << 10];
	double wall = now(CLOCK_MONOTONIC);
	double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t start = figures().delivered;
	uint64_t due = start;

	memset(text, 'x', sizeof text);
	while (now(CLOCK_MONOTONIC) - wall < row_seconds) {
		for (unsigned i = 0; i < burst; i++)
			(void)tako_topic_publish(topic,
			                         TAKO_MESSAGE(.data = {text, message_bytes}));
		due += (uint64_t)burst * subscribers;
		while (figures().delivered < due && figures().subscribers == subscribers)
			nap();
	}
	return (struct row){.burst = burst,
	                    .deliveries = figures().delivered - start,
	                    .cpu_us = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6,
	                    .wall_s = now(CLOCK_MONOTONIC) - wall};
}

static void *publish(void *arg)
{
	(void)arg;
	while (figures().subscribers < subscribers)
		nap();
	for (unsigned i = 0; i < sizeof bursts / sizeof bursts[0]; i++) {
		struct row r = run_row(bursts[i]);

		if (write(tell_fd, &r, sizeof r) != sizeof r)
			break;
	}
	tako_server_stop(srv);
	return NULL;
}

static int serve(void)
{
	tako_router *router = tako_router_new();
	pthread_t thread;
	char addr[64];
	int rc;

	tako_get(router, "/sse", subscribe, NULL);
	tako_get(router, "/ws", accept_ws, NULL);
	rc = tako_topic_new(&topic, NULL);
	if (rc == 0)
		rc = tako_server_new(
			&srv, router,
			TAKO_SERVER_CONFIG(.worker_count = 1, .max_connections = TAKO_OFF));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http1(), "127.0.0.1:0",
		                        TAKO_LISTEN_CONFIG(.backlog = 4096));
	if (rc == 0)
		rc = tako_server_local_addr(srv, 0, addr, sizeof addr);
	if (rc < 0 || write(tell_fd, addr, sizeof addr) != sizeof addr ||
	    pthread_create(&thread, NULL, publish, NULL) != 0) {
		fprintf(stderr, "server: %s\n", tako_last_error());
		return 1;
	}
	rc = tako_server_run(srv);
	pthread_join(thread, NULL);
	tako_server_free(srv);
	tako_router_free(router);
	tako_topic_free(topic);
	return rc < 0;
}

/* ---- The clients ------------------------------------------------------------------------- */

static const char ask_sse[] = "GET /sse HTTP/1.1\r\nHost: b\r\n\r\n";
static const char ask_ws[] = "GET /ws HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\n"
			     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
			     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static int connect_one(const struct sockaddr_in *to, const char *ask)
{
	ssize_t n = (ssize_t)strlen(ask);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const void *)to, sizeof *to) < 0 ||
	    write(fd, ask, (size_t)n) != n || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static int connect_all(const char *addr, const char *ask)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	to.sin_port = htons((uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10));
	for (unsigned i = 0; i < subscribers; i++) {
		int fd = connect_one(&to, ask);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

		if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			exit(1);
	}
	return ep;
}

static void *read_all(void *arg)
{
	static char buf[READ_BYTES];
	struct epoll_event ev[256];
	int ep = *(int *)arg;

	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);

		for (int i = 0; i < n; i++) {
			ssize_t got;

			do {
				got = read(ev[i].data.fd, buf, sizeof buf);
			} while (got == READ_BYTES);
			if (got == 0)
				epoll_ctl(ep, EPOLL_CTL_DEL, ev[i].data.fd, NULL);
		}
	}
	return NULL;
}

static unsigned number(char **argv, int argc, int i, unsigned otherwise)
{
	return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct row r;
	int tell[2];
	char addr[64];
	pthread_t thread;
	pid_t child;
	int ep;

	subscribers = number(argv, argc, 1, 10000);
	message_bytes = number(argv, argc, 2, 64);
	row_seconds = number(argv, argc, 3, 3);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (pipe(tell) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		tell_fd = tell[1];
		_exit(serve());
	}
	close(tell[1]);
	if (read(tell[0], addr, sizeof addr) != sizeof addr)
		return 1;
	ep = connect_all(addr, argc > 4 && !strcmp(argv[4], "ws") ? ask_ws : ask_sse);
	if (pthread_create(&thread, NULL, read_all, &ep) != 0)
		return 1;
	printf("%u subscribers, %u bytes\n%8s %12s %16s %14s\n", subscribers, message_bytes,
	       "at once", "deliveries", "us CPU/delivery", "deliveries/s");
	while (read(tell[0], &r, sizeof r) == sizeof r)
		printf("%8u %12llu %16.3f %14.0f\n", r.burst, (unsigned long long)r.deliveries,
		       r.cpu_us / (double)r.deliveries, (double)r.deliveries / r.wall_s);
	waitpid(child, NULL, 0);
	return 0;
}

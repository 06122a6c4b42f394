/* SPDX-License-Identifier: MIT
 *
 * What an echo of datagrams of 64 bytes costs: tako_raw_udp() on each runtime, beside two bare loops: of
 * recvfrom() and sendto(), and of recvmmsg() and sendmmsg(), sixteen at a time.  The figure is the CPU time
 * of the server's thread, system time included, for each datagram.  The servers take turns; this thread is
 * the client, which sends each flow's window and reads until it is back.
 *
 * Over loopback nobody joins what comes in a row, and what leaves as a train is taken apart at the expense of
 * who sent it.  Between machines the network card or its driver does both (GRO, GSO); what that is like is
 * seen with clients that do it for themselves: "as trains".
 */
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tako/sys/runtime.h>
#include <tako/tako.h>

enum {
	BYTES = 64,
	BATCH = 16,
	FLOWS_MAX = 64,
	ROUNDS = 7,
	WARMUP = 2000,
	DATAGRAMS = 60000, /* a round */
	SERVERS = 4,
};

static const struct workload {
	const char *name;
	unsigned flows;
	unsigned window; /* datagrams of each flow on their way; at most BATCH */
	bool trains;     /* sent and received as such by the client */
} workloads[] = {
	{"16 flows, 16 as trains", 16, 16, true}, {"1 flow, 16 in a row", 1, 16, false},
	{"16 flows, 16 in a row", 16, 16, false}, {"64 flows, 4 in a row", 64, 4, false},
	{"64 flows, one each", 64, 1, false},
};
enum { WORKLOADS = sizeof workloads / sizeof workloads[0] };

struct server {
	const char *name;
	const char *short_name; /* of its thread, for profilers */
	void *(*serve)(void *arg);
	pthread_t thread;
	struct sockaddr_in addr;
	int fd; /* of a bare one */
	tako_server *tako;
	const tako_runtime *runtime;
	double ns[WORKLOADS][ROUNDS];
};

static void die(const char *what)
{
	perror(what);
	fprintf(stderr, "%s\n", tako_last_error());
	exit(1);
}

/* ---- Bare loops, which an empty datagram ends ------------------------------------------------------ */

static void *serve_calls(void *arg)
{
	const struct server *s = arg;
	char buf[65536];

	for (;;) {
		struct sockaddr_in from;
		socklen_t from_n = sizeof from;
		ssize_t n = recvfrom(s->fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &from_n);

		if (n <= 0)
			return NULL;
		sendto(s->fd, buf, (size_t)n, 0, (struct sockaddr *)&from, from_n);
	}
}

static void *serve_batches(void *arg)
{
	static char bufs[BATCH][2048];
	const struct server *s = arg;
	struct sockaddr_in from[BATCH];
	struct iovec iov[BATCH];
	struct mmsghdr v[BATCH];

	for (;;) {
		int n;

		for (unsigned i = 0; i < BATCH; i++) {
			iov[i] = (struct iovec){bufs[i], sizeof bufs[i]};
			v[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
			                               .msg_namelen = sizeof from[i],
			                               .msg_iov = &iov[i],
			                               .msg_iovlen = 1};
		}
		n = recvmmsg(s->fd, v, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			if (v[i].msg_len == 0)
				return NULL;
			iov[i].iov_len = v[i].msg_len;
		}
		if (n > 0)
			sendmmsg(s->fd, v, (unsigned)n, 0);
	}
}

static void start_bare(struct server *s)
{
	int bytes = 2 << 20;
	socklen_t n = sizeof s->addr;

	s->addr.sin_family = AF_INET;
	s->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	if (bind(s->fd, (struct sockaddr *)&s->addr, sizeof s->addr) < 0 ||
	    getsockname(s->fd, (struct sockaddr *)&s->addr, &n) < 0)
		die("bind");
}

/* ---- tako ----------------------------------------------------------------------------------------- */

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)arg;
	(void)tako_udp_reply(u, in, in->data, 0);
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
	    tako_server_listen(
		    s->tako, tako_raw_udp(), "127.0.0.1:0",
		    TAKO_LISTEN_CONFIG(.udp = TAKO_UDP_CONFIG(.on_datagram = on_datagram))) < 0)
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

/* As many as that: a train is one message of their bytes. */
static void receive(int fd, unsigned count)
{
	static char bufs[BATCH][BATCH * BYTES];
	struct iovec iov[BATCH];
	struct mmsghdr v[BATCH];
	unsigned bytes = count * BYTES;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bufs[i], sizeof bufs[i]};
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (bytes) {
		int n = recvmmsg(fd, v, bytes / BYTES, MSG_WAITFORONE, NULL);

		if (n <= 0)
			die("an answer is missing");
		for (int i = 0; i < n; i++)
			bytes -= v[i].msg_len;
	}
}

static void send_window(int fd, const struct workload *w)
{
	static char bytes[BATCH * BYTES];
	struct iovec iov = {bytes, BYTES};
	struct mmsghdr v[BATCH];

	if (w->trains) {
		if (send(fd, bytes, w->window * BYTES, 0) != w->window * BYTES)
			die("send");
		return;
	}
	for (unsigned i = 0; i < BATCH; i++)
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	if (sendmmsg(fd, v, w->window, 0) != (int)w->window)
		die("send");
}

static void run(const int *fds, const struct workload *w, unsigned count)
{
	for (unsigned done = 0; done < count; done += w->flows * w->window) {
		for (unsigned i = 0; i < w->flows; i++)
			send_window(fds[i], w);
		for (unsigned i = 0; i < w->flows; i++)
			receive(fds[i], w->window);
	}
}

static int open_flow(const struct server *s, const struct workload *w)
{
	struct timeval wait = {.tv_sec = 2};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int bytes = BYTES;
	int on = 1;

	if (connect(fd, (struct sockaddr *)&s->addr, sizeof s->addr) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0)
		die("client");
	if (w->trains && (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes) < 0 ||
	                  setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0))
		die("trains");
	return fd;
}

static double measure(struct server *s, const struct workload *w)
{
	int fds[FLOWS_MAX];
	uint64_t before;
	double ns;

	for (unsigned i = 0; i < w->flows; i++)
		fds[i] = open_flow(s, w);
	run(fds, w, WARMUP);
	before = cpu_ns(s->thread);
	run(fds, w, DATAGRAMS);
	ns = (double)(cpu_ns(s->thread) - before) / DATAGRAMS;
	for (unsigned i = 0; i < w->flows; i++)
		close(fds[i]);
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static void stop(struct server *s)
{
	if (s->tako) {
		tako_server_stop(s->tako);
	} else {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		sendto(fd, "", 0, 0, (struct sockaddr *)&s->addr, sizeof s->addr);
		close(fd);
	}
	pthread_join(s->thread, NULL);
	tako_server_free(s->tako);
}

static unsigned start_all(struct server *servers)
{
	char why[96];
	unsigned count = 0;

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
		pthread_setname_np(s->thread, s->short_name);
	}
	return count;
}

static void print(struct server *servers, unsigned count)
{
	printf("%-24s", "CPU ns a datagram");
	for (unsigned i = 0; i < count; i++)
		printf("%22s", servers[i].name);
	printf("\n");
	for (unsigned k = 0; k < WORKLOADS; k++) {
		printf("%-24s", workloads[k].name);
		for (unsigned i = 0; i < count; i++) {
			qsort(servers[i].ns[k], ROUNDS, sizeof(double), by_value);
			printf("%14.0f (%.2f x)", servers[i].ns[k][ROUNDS / 2],
			       servers[0].ns[k][ROUNDS / 2] / servers[i].ns[k][ROUNDS / 2]);
		}
		printf("\n");
	}
}

/* With an argument: of the workloads whose name begins with it only. */
int main(int argc, char **argv)
{
	static struct server servers[SERVERS] = {
		{.name = "recvfrom, sendto", .short_name = "calls", .serve = serve_calls},
		{.name = "recvmmsg, sendmmsg", .short_name = "batches", .serve = serve_batches},
		{.name = "tako, epoll", .short_name = "epoll", .serve = serve_tako},
		{.name = "tako, io_uring", .short_name = "io_uring", .serve = serve_tako},
	};
	unsigned count;

	servers[2].runtime = tako_runtime_epoll();
	servers[3].runtime = tako_runtime_io_uring();
	count = start_all(servers);
	for (int round = 0; round < ROUNDS; round++) {
		for (unsigned k = 0; k < WORKLOADS; k++) {
			if (argc > 1 && strncmp(argv[1], workloads[k].name, strlen(argv[1])) != 0)
				continue;
			for (unsigned i = 0; i < count; i++)
				servers[i].ns[k][round] = measure(&servers[i], &workloads[k]);
		}
	}
	for (unsigned i = 0; i < count; i++)
		stop(&servers[i]);
	print(servers, count);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What a datagram costs each runtime: 64 bytes received, handed up and sent back, by seam A alone.
 * The figure is the CPU time of the loop's thread, system time included, for each datagram echoed.
 * The runtimes take turns; a thread of this program is the client.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tako/server.h>
#include <tako/sys/runtime.h>

enum {
	BYTES = 64,
	BATCH = 16,
	FLOWS_MAX = 64,
	ROUNDS = 7,
	WARMUP = 5000,
	DATAGRAMS = 100000, /* a round */
	WAIT_US = 200000,   /* then what is missing was dropped by the kernel */
};

static const struct workload {
	const char *name;
	unsigned flows;
	unsigned window; /* datagrams of each flow on their way; at most BATCH */
} workloads[] = {
	{"one at a time", 1, 1},
	{"16 in a row", 1, 16},
	{"64 flows", 64, 1},
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int bound(struct sockaddr_in *ret)
{
	socklen_t n = sizeof *ret;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)ret, n) < 0 ||
	    getsockname(fd, (struct sockaddr *)ret, &n) < 0)
		die("socket");
	return fd;
}

/* ---- The server: an echo ---------------------------------------------------------------- */

struct reply {
	struct tako_dgram_send d;
	struct sockaddr_in to;
	char bytes[BYTES];
	struct reply *next;
};

static struct tako_sock sock;
static struct reply *spare;
static uint64_t echoed;

static void on_done(struct tako_send *op, int err)
{
	struct reply *r = (struct reply *)(void *)op;

	(void)err;
	r->next = spare;
	spare = r;
	echoed++;
}

static void echo(const struct tako_dgram *d)
{
	struct reply *r = spare ? spare : calloc(1, sizeof *r);

	if (!r)
		die("calloc");
	spare = r->next;
	memcpy(r->bytes, d->p, d->n < BYTES ? d->n : BYTES);
	memcpy(&r->to, d->from, sizeof r->to);
	r->d = (struct tako_dgram_send){
		.op = {.p = r->bytes, .n = BYTES, .done = on_done, .file_fd = -1},
		.to = (struct sockaddr *)&r->to,
		.to_n = sizeof r->to};
	tako_sock_queue(&sock, &r->d.op);
}

static void on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		echo(&v[i]);
	s->loop->rt->flush(s);
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	(void)s, (void)p, (void)res;
	die("datagram");
}

static void on_closed(struct tako_sock *s)
{
	s->fd = -1;
}

static const struct tako_sock_cb callbacks = {
	.on_recv = on_recv, .on_dgrams = on_dgrams, .on_closed = on_closed};

/* ---- The client ------------------------------------------------------------------------- */

struct client {
	const struct workload *w;
	struct sockaddr_in to;
	atomic_bool stop;
};

static void prepare(struct mmsghdr *v, struct iovec *iov, char *bytes)
{
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bytes, BYTES};
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
}

/* Each flow sends its window and reads until it is back. */
static void *run_client(void *arg)
{
	struct client *c = arg;
	int fds[FLOWS_MAX] = {0};
	char bytes[BYTES] = {0};
	struct iovec iov[BATCH];
	struct mmsghdr v[BATCH];

	prepare(v, iov, bytes);
	for (unsigned i = 0; i < c->w->flows; i++) {
		struct timeval wait = {.tv_usec = WAIT_US};

		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], (struct sockaddr *)&c->to, sizeof c->to) < 0 ||
		    setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0)
			die("client");
	}
	while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
		for (unsigned i = 0; i < c->w->flows; i++)
			sendmmsg(fds[i], v, c->w->window, 0);
		for (unsigned i = 0; i < c->w->flows; i++)
			recvmmsg(fds[i], v, c->w->window, 0, NULL);
	}
	for (unsigned i = 0; i < c->w->flows; i++)
		close(fds[i]);
	return NULL;
}

/* ---- A round ---------------------------------------------------------------------------- */

static void turn_until(struct tako_loop *loop, uint64_t count)
{
	while (echoed < count)
		if (loop->rt->turn(loop, UINT64_MAX) < 0)
			die(tako_last_error());
}

static double run(const struct tako_runtime *rt, const struct workload *w)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};
	struct client c = {.w = w};
	struct tako_loop *loop;
	pthread_t thread;
	uint64_t from;
	uint64_t before;
	double ns;

	echoed = 0;
	sock = (struct tako_sock){.cb = &callbacks};
	if (rt->open(&loop, &cfg) < 0 || rt->start_dgram(loop, &sock, bound(&c.to)) < 0)
		die(tako_last_error());
	if (pthread_create(&thread, NULL, run_client, &c))
		die("pthread_create");
	turn_until(loop, WARMUP);
	from = cpu_ns();
	before = echoed;
	turn_until(loop, before + DATAGRAMS);
	ns = (double)(cpu_ns() - from) / (double)(echoed - before);
	atomic_store(&c.stop, true);
	/* The client may still wait for its last answers. */
	for (int i = 0; i < 100; i++)
		rt->turn(loop, 0);
	pthread_join(thread, NULL);
	rt->close(&sock);
	while (sock.fd >= 0)
		rt->turn(loop, UINT64_MAX);
	rt->free(loop);
	return ns;
}

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

int main(void)
{
	const struct tako_runtime *rts[] = {tako_runtime_epoll(), tako_runtime_io_uring()};
	unsigned count = rts[1] && rts[1]->probe(NULL, 0) == 0 ? 2 : 1;

	printf("%-16s%12s%12s   CPU ns per datagram echoed, median of %d\n", "", "epoll",
	       count == 2 ? "io_uring" : "-", ROUNDS);
	for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
		double ns[2][ROUNDS] = {{0}};

		for (unsigned round = 0; round < ROUNDS; round++) {
			for (unsigned k = 0; k < count; k++)
				ns[k][round] = run(rts[k], &workloads[i]);
		}
		for (unsigned k = 0; k < count; k++)
			qsort(ns[k], ROUNDS, sizeof ns[k][0], by_value);
		printf("%-16s%12.0f%12.0f\n", workloads[i].name, ns[0][ROUNDS / 2],
		       ns[1][ROUNDS / 2]);
	}
	return 0;
}

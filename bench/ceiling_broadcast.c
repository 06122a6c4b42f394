/* SPDX-License-Identifier: MIT
 *
 * The ceiling of a broadcast: what it costs the kernel alone to take one message for each of many
 * sockets, by a call each and by io_uring, many in an enter.
 *
 *   ceiling_broadcast [sockets [message bytes [seconds a row]]]
 *
 * The clients are a child process that reads whatever comes.  A row sends so many messages in each send, as a
 * server does that has them waiting; the next round begins when the clients have read this one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 256, BURST_MAX = 16, MESSAGE_BYTES_MAX = 4096, SOCKETS_MAX = 60000 };

static int fds[SOCKETS_MAX];
static unsigned count = 10000;
static size_t message_bytes = 64;
static double row_seconds = 2;
static char text[BURST_MAX * MESSAGE_BYTES_MAX];
static struct io_uring ring;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- The clients: a byte on `done` for each round that was read ---------------------------- */

/* Round after round, of the lengths that `plan` says. */
static void read_rounds(int ep, int plan, int done)
{
	static char buf[64 << 10];
	struct epoll_event ev[512];
	uint64_t due;

	while (read(plan, &due, sizeof due) == sizeof due) {
		while (due) {
			int n = epoll_wait(ep, ev, 512, -1);

			for (int i = 0; i < n; i++) {
				ssize_t got = recv(ev[i].data.fd, buf, sizeof buf, MSG_DONTWAIT);

				due -= got > 0 ? (uint64_t)got : 0;
			}
		}
		if (write(done, "", 1) != 1)
			return;
	}
}

static void be_clients(const struct sockaddr_in *to, int plan, int done)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	for (unsigned i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

		if (fd < 0 || connect(fd, (const void *)to, sizeof *to) < 0 ||
		    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("connect");
	}
	read_rounds(ep, plan, done);
	_exit(0);
}

/* ---- The sender ------------------------------------------------------------------------------ */

static void by_call(size_t n)
{
	for (unsigned i = 0; i < count; i++)
		if (send(fds[i], text, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
			die("send");
}

/* Successes are not told, so that nothing is to be collected. */
static void by_ring(size_t n)
{
	for (unsigned i = 0; i < count; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_send(sqe, fds[i], text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
		io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
		if ((i + 1) % BATCH == 0 || i + 1 == count)
			if (io_uring_submit(&ring) < 0)
				die("io_uring_enter");
	}
	if (io_uring_cq_ready(&ring)) {
		fputs("a send failed\n", stderr);
		exit(1);
	}
}

/* CPU of this thread for each message and socket, in µs. */
static double run_row(void (*send_all)(size_t n), unsigned burst, int plan, int done)
{
	double end = now(CLOCK_MONOTONIC) + row_seconds;
	uint64_t round_bytes = (uint64_t)burst * message_bytes * count;
	double cpu = 0;
	uint64_t rounds = 0;
	char byte;

	while (now(CLOCK_MONOTONIC) < end) {
		double from = now(CLOCK_THREAD_CPUTIME_ID);

		send_all(burst * message_bytes);
		cpu += now(CLOCK_THREAD_CPUTIME_ID) - from;
		rounds++;
		if (write(plan, &round_bytes, sizeof round_bytes) != sizeof round_bytes ||
		    read(done, &byte, 1) != 1)
			die("clients");
	}
	return cpu * 1e6 / (double)rounds / count / burst;
}

static int listen_any(struct sockaddr_in *sa)
{
	socklen_t n = sizeof *sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	if (fd < 0 || bind(fd, (void *)sa, n) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (void *)sa, &n) < 0)
		die("listen");
	return fd;
}

static void set_up(int argc, char **argv)
{
	struct rlimit rl;

	if (argc > 1)
		count = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		message_bytes = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		row_seconds = strtod(argv[3], NULL);
	if (!count || count > SOCKETS_MAX || !message_bytes || message_bytes > MESSAGE_BYTES_MAX) {
		fputs("usage: ceiling_broadcast [sockets [bytes [seconds]]]\n", stderr);
		exit(2);
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
}

int main(int argc, char **argv)
{
	static const unsigned bursts[] = {1, 4, BURST_MAX};
	struct sockaddr_in sa;
	int plan[2], done[2];
	int listen_fd;
	bool has_ring;

	set_up(argc, argv);
	listen_fd = listen_any(&sa);
	if (pipe(plan) < 0 || pipe(done) < 0)
		die("pipe");
	if (fork() == 0) {
		close(plan[1]);
		be_clients(&sa, plan[0], done[1]);
	}
	for (unsigned i = 0; i < count; i++) {
		fds[i] = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fds[i] < 0)
			die("accept");
	}
	has_ring = io_uring_queue_init(BATCH, &ring,
	                               IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN) ==
	           0;
	printf("%u sockets, %zu bytes; us CPU a delivery\n%8s %10s %10s\n", count, message_bytes,
	       "at once", "send", "io_uring");
	for (size_t i = 0; i < sizeof bursts / sizeof bursts[0]; i++) {
		printf("%8u %10.3f", bursts[i], run_row(by_call, bursts[i], plan[1], done[0]));
		if (has_ring)
			printf(" %10.3f\n", run_row(by_ring, bursts[i], plan[1], done[0]));
		else
			printf(" %10s\n", "-");
		fflush(stdout);
	}
	close(plan[1]);
	wait(NULL);
	return 0;
}

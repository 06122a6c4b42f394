/* SPDX-License-Identifier: MIT
 *
 * A client that has many datagrams echoed, for tests/integration/test_udp.py:
 *
 *   udp_load HOST PORT COUNT BYTES WINDOW FLOWS TRAINS WAIT_MS
 *
 * Each flow is a socket with at most WINDOW datagrams on their way; with TRAINS 1 it sends and receives several as
 * one (UDP_SEGMENT, UDP_GRO).  Each datagram has a number, which must
 * come back once, with the rest of it as it was sent.  Says "sent", "received", "wrong" (not what was sent, or
 * once more) and "missing", and fails unless the last two are 0.  When nothing has come for WAIT_MS the rest is missing.
 * SIGTERM: what was sent by then is all.  Says "going" on standard error when the first one has come back.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FLOWS_MAX = 64, BYTES_MAX = 2048, BATCH = 32 };

static struct {
	unsigned long count;
	unsigned long bytes;
	unsigned long window;
	unsigned long flows;
	unsigned long trains;
	int wait_ms;
} args;
static struct pollfd fds[FLOWS_MAX];
static unsigned long on_their_way[FLOWS_MAX];
static unsigned char *seen; /* by number */
static unsigned long sent;
static unsigned long received;
static unsigned long wrong;
static volatile sig_atomic_t enough;

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* An 'x', which the server has no other use for, a number, and bytes that follow from it. */
static void fill(char *p, uint64_t number)
{
	uint64_t head = number << 8 | 'x';

	memcpy(p, &head, sizeof head);
	for (unsigned long i = sizeof number; i < args.bytes; i++)
		p[i] = (char)(number * 31 + i);
}

static void check(const char *p, size_t n)
{
	char expected[BYTES_MAX];
	uint64_t number;

	if (!received++)
		fputs("going\n", stderr);
	memcpy(&number, p, sizeof number);
	number >>= 8;
	if (n != args.bytes || number >= args.count || seen[number]) {
		wrong++;
		return;
	}
	seen[number] = 1;
	fill(expected, number);
	wrong += memcmp(p, expected, n) != 0;
}

static ssize_t send_all(int fd, char *p, unsigned n)
{
	struct mmsghdr v[BATCH];
	struct iovec iov[BATCH];

	if (args.trains)
		return send(fd, p, n * args.bytes, 0) < 0 ? -1 : (ssize_t)n;
	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){p + i * args.bytes, args.bytes};
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	return sendmmsg(fd, v, n, 0);
}

static void send_some(unsigned long flow)
{
	static char buf[BATCH * BYTES_MAX];
	unsigned long room = args.window - on_their_way[flow];
	unsigned n = 0;
	ssize_t rc;

	for (; n < BATCH && n < room && sent + n < args.count; n++)
		fill(buf + n * args.bytes, sent + n);
	if (!n)
		return;
	rc = send_all(fds[flow].fd, buf, n);
	if (rc < 0 && errno != EAGAIN)
		die("send");
	if (rc > 0) {
		sent += (unsigned long)rc;
		on_their_way[flow] += (unsigned long)rc;
	}
}

/* What has come as one is as many as it is long. */
static void take(unsigned long flow, const char *p, size_t n)
{
	do {
		size_t one = args.trains && n > args.bytes ? args.bytes : n;

		check(p, one);
		if (on_their_way[flow])
			on_their_way[flow]--;
		p += one;
		n -= one;
	} while (n);
}

static void receive(unsigned long flow)
{
	static char bufs[BATCH][65536];
	struct mmsghdr v[BATCH];
	struct iovec iov[BATCH];
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){bufs[i], sizeof bufs[i]};
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(fds[flow].fd, v, BATCH, 0, NULL);
	if (n < 0 && errno != EAGAIN)
		die("receive");
	for (int i = 0; i < n; i++)
		take(flow, bufs[i], v[i].msg_len);
}

static int open_flow(const struct sockaddr_in *to)
{
	int bytes = 4 << 20;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) < 0)
		die("socket");
	bytes = (int)args.bytes;
	if (args.trains && (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes) < 0 ||
	                    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)) < 0))
		die("trains");
	return fd;
}

static void on_term(int number)
{
	(void)number;
	enough = 1;
}

static bool is_over(void)
{
	if (enough)
		args.count = sent;
	return received >= args.count;
}

static void run(void)
{
	while (!is_over()) {
		int n;

		for (unsigned long i = 0; i < args.flows; i++)
			send_some(i);
		n = poll(fds, args.flows, args.wait_ms);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die("poll");
		if (n == 0)
			return;
		for (unsigned long i = 0; i < args.flows; i++) {
			if (fds[i].revents)
				receive(i);
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	unsigned long missing = 0;

	if (argc != 9 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	args.count = strtoul(argv[3], NULL, 10);
	args.bytes = strtoul(argv[4], NULL, 10);
	args.window = strtoul(argv[5], NULL, 10);
	args.flows = strtoul(argv[6], NULL, 10);
	args.trains = strtoul(argv[7], NULL, 10);
	args.wait_ms = atoi(argv[8]);
	signal(SIGTERM, on_term);
	seen = calloc(args.count + 1, 1);
	if (!seen || args.bytes < sizeof(uint64_t) || args.bytes > BYTES_MAX || !args.window ||
	    !args.flows || args.flows > FLOWS_MAX)
		return 2;
	for (unsigned long i = 0; i < args.flows; i++)
		fds[i] = (struct pollfd){.fd = open_flow(&to), .events = POLLIN};
	run();
	for (unsigned long i = 0; i < args.count; i++)
		missing += !seen[i];
	printf("sent %lu\nreceived %lu\nwrong %lu\nmissing %lu\n", sent, received, wrong, missing);
	return wrong || missing;
}

/* SPDX-License-Identifier: MIT
 *
 * A long, bad line of datagrams between clients on loopback and one server: each is delayed by the same time
 * and lost by chance, which a seed decides, so that every server meets the same.
 *
 *   lossy PORT SERVER_PORT DELAY_MS LOSS_PER_MILLE [SEED]
 *
 * Each client is a socket towards the server.  It must never be the bottleneck: at what a line like that
 * carries, it is not.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "generator.h"

enum { CLIENTS_MAX = 256, QUEUE_MAX = 1 << 14, DATAGRAM_BYTES = 2048, SOCKET_BYTES = 4 << 20 };

struct client {
	int fd; /* towards the server */
	struct sockaddr_in addr;
};

/* All wait equally long, so that they leave as they came. */
struct waiting {
	uint64_t due_ns;
	uint32_t client;
	uint16_t bytes;
	bool to_server;
	char data[DATAGRAM_BYTES];
};

static struct {
	struct client clients[CLIENTS_MAX];
	unsigned client_count;
	struct waiting *queue; /* QUEUE_MAX of them, in a ring */
	unsigned first, count;
	uint64_t delay_ns;
	unsigned loss;
	uint64_t seed;
	int fd; /* towards the clients */
	struct sockaddr_in server;
} g;

static bool is_lost(void)
{
	g.seed ^= g.seed << 13;
	g.seed ^= g.seed >> 7;
	g.seed ^= g.seed << 17;
	return (g.seed >> 20) % 1000 < g.loss;
}

static int new_socket(const struct sockaddr_in *local, const struct sockaddr_in *remote)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int bytes = SOCKET_BYTES;

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (local && bind(fd, (const struct sockaddr *)local, sizeof(*local)) < 0)
		die("bind");
	if (remote && connect(fd, (const struct sockaddr *)remote, sizeof(*remote)) < 0)
		die("connect");
	return fd;
}

static unsigned client_of(const struct sockaddr_in *addr)
{
	for (unsigned i = 0; i < g.client_count; i++) {
		if (g.clients[i].addr.sin_port == addr->sin_port)
			return i;
	}
	if (g.client_count == CLIENTS_MAX) {
		fputs("lossy: too many clients\n", stderr);
		exit(1);
	}
	g.clients[g.client_count] = (struct client){new_socket(NULL, &g.server), *addr};
	return g.client_count++;
}

/* All that has come on one socket; `client`: whose, -1: whoever sent it. */
static void take(int fd, int client)
{
	while (g.count < QUEUE_MAX) {
		struct waiting *w = &g.queue[(g.first + g.count) % QUEUE_MAX];
		struct sockaddr_in from = {0};
		socklen_t from_n = sizeof(from);
		ssize_t n = recvfrom(fd, w->data, sizeof(w->data), 0, (struct sockaddr *)&from,
		                     &from_n);

		if (n < 0)
			return;
		if (is_lost())
			continue;
		w->due_ns = clock_ns() + g.delay_ns;
		w->bytes = (uint16_t)n;
		w->to_server = client < 0;
		w->client = client < 0 ? client_of(&from) : (unsigned)client;
		g.count++;
	}
}

static void deliver(uint64_t now)
{
	for (; g.count && g.queue[g.first].due_ns <= now;
	     g.first = (g.first + 1) % QUEUE_MAX, g.count--) {
		const struct waiting *w = &g.queue[g.first];
		const struct client *c = &g.clients[w->client];

		if (w->to_server)
			(void)!send(c->fd, w->data, w->bytes, 0);
		else
			(void)!sendto(g.fd, w->data, w->bytes, 0, (const struct sockaddr *)&c->addr,
			              sizeof(c->addr));
	}
}

static void turn(void)
{
	static struct pollfd fds[CLIENTS_MAX + 1];
	unsigned count = g.client_count;
	uint64_t now = clock_ns();
	uint64_t due = g.count ? g.queue[g.first].due_ns : now + 1000000000u;
	struct timespec ts = {.tv_nsec = due > now ? (long)((due - now) % 1000000000u) : 0};

	fds[CLIENTS_MAX] = (struct pollfd){.fd = g.fd, .events = POLLIN};
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		fds[i] = (struct pollfd){.fd = i < count ? g.clients[i].fd : -1, .events = POLLIN};
	if (ppoll(fds, CLIENTS_MAX + 1, &ts, NULL) > 0) {
		if (fds[CLIENTS_MAX].revents)
			take(g.fd, -1);
		for (unsigned i = 0; i < count; i++) {
			if (fds[i].revents)
				take(g.clients[i].fd, (int)i);
		}
	}
	deliver(clock_ns());
}

_Noreturn static void usage(void)
{
	fputs("usage: lossy PORT SERVER_PORT DELAY_MS LOSS_PER_MILLE [SEED]\n", stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sockaddr_in local = {.sin_family = AF_INET};

	if (argc < 5)
		usage();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	g.server = local;
	local.sin_port = htons((uint16_t)number(argv[1], UINT16_MAX));
	g.server.sin_port = htons((uint16_t)number(argv[2], UINT16_MAX));
	g.delay_ns = (uint64_t)(strtod(argv[3], NULL) * 1e6);
	g.loss = (unsigned)number(argv[4], 1000);
	g.seed = 1 + (argc > 5 ? number(argv[5], UINT32_MAX) : 0) * UINT64_C(0x9e3779b97f4a7c15);
	g.queue = calloc(QUEUE_MAX, sizeof(*g.queue));
	if (!g.queue)
		die("calloc");
	g.fd = new_socket(&local, NULL);
	puts("ready");
	fflush(stdout);
	for (;;)
		turn();
}

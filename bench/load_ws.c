/* SPDX-License-Identifier: MIT
 *
 * The load generator for WebSocket echoes: every connection sends a message, masked, waits until it is
 * back, compares it, and sends the next. With --mode idle it only opens the connections. One thread,
 * one loop; what it prints is load.c's.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "generator.h"
#include "load_hist.h"

enum {
	CONNS_MAX = 60000,
	MESSAGE_BYTES_MAX = 16 << 20,
	RX_BYTES = 256 * 1024,
	EVENTS_MAX = 512,
	STALL_MS = 5000,
};

struct conn {
	int fd;
	size_t sent; /* of the message going out */
	size_t got;  /* of the one coming back */
	uint64_t asked_ns;
};

static struct {
	uint16_t port;
	unsigned connections;
	size_t message_bytes;
	uint64_t requests;
	uint64_t warmup;
	double seconds;
	const char *path;
	bool idle;
	bool sync;
} opt = {.connections = 100, .message_bytes = 16, .requests = UINT64_MAX, .path = "/ws"};

static struct {
	struct conn *conns;
	char *out; /* the frame that is sent */
	size_t out_bytes;
	char *back; /* the one that comes back */
	size_t back_bytes;
	char *rx;
	int epoll_fd;
	uint64_t done;
	uint64_t errors;
	uint64_t until; /* no new message once so many are done */
	unsigned busy;
	struct hist hist;
} g;

_Noreturn static void usage(void)
{
	fputs("usage: load_ws --port N [--path P] [--connections N] [--message BYTES] [--requests "
	      "N]\n"
	      "               [--seconds S] [--warmup N] [--cpu N] [--mode echo|idle] [--sync]\n",
	      stderr);
	exit(2);
}

/* ---- Frames -------------------------------------------------------------------------------- */

static size_t put_head(char *to, size_t n, bool masked)
{
	size_t more = n < 126 ? 0 : n < 65536 ? 2 : 8;

	to[0] = (char)0x82;
	to[1] = (char)((more == 0 ? n : more == 2 ? 126 : 127) | (masked ? 0x80 : 0));
	for (size_t i = 0; i < more; i++)
		to[2 + i] = (char)(n >> 8 * (more - 1 - i));
	return 2 + more;
}

static void build_message(void)
{
	static const char key[4] = {0x12, 0x34, 0x56, 0x78};
	size_t n = opt.message_bytes;
	size_t head;

	g.out = malloc(n + 14);
	g.back = malloc(n + 10);
	g.rx = malloc(RX_BYTES);
	if (!g.out || !g.back || !g.rx)
		die("malloc");
	head = put_head(g.back, n, false);
	for (size_t i = 0; i < n; i++)
		g.back[head + i] = (char)(i * 7 % 251);
	g.back_bytes = head + n;
	head = put_head(g.out, n, true);
	memcpy(g.out + head, key, 4);
	for (size_t i = 0; i < n; i++)
		g.out[head + 4 + i] = (char)((i * 7 % 251) ^ (unsigned char)key[i & 3]);
	g.out_bytes = head + 4 + n;
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void fail(struct conn *c)
{
	g.errors++;
	g.busy--;
	close(c->fd);
	c->fd = -1;
}

static void send_more(struct conn *c)
{
	ssize_t n = send(c->fd, g.out + c->sent, g.out_bytes - c->sent,
	                 MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		fail(c);
	else if (n > 0)
		c->sent += (size_t)n;
}

static void begin(struct conn *c)
{
	c->sent = 0;
	c->got = 0;
	c->asked_ns = clock_ns();
	g.busy++;
	send_more(c);
}

static void take_back(struct conn *c)
{
	ssize_t n = recv(c->fd, g.rx, RX_BYTES, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || (size_t)n > g.back_bytes - c->got ||
	    memcmp(g.rx, g.back + c->got, (size_t)n) != 0) {
		fail(c);
		return;
	}
	c->got += (size_t)n;
	if (c->got < g.back_bytes)
		return;
	hist_add(&g.hist, clock_ns() - c->asked_ns, 1);
	g.busy--;
	g.done++;
	if (g.done + g.busy < g.until)
		begin(c);
}

/* True while something comes. */
static bool turn(void)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(g.epoll_fd, events, EVENTS_MAX, STALL_MS);

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (c->fd >= 0 && c->sent < g.out_bytes && (events[i].events & EPOLLOUT))
			send_more(c);
		if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
			take_back(c);
	}
	return n > 0;
}

static void run(uint64_t requests, double seconds)
{
	uint64_t end_ns = seconds > 0 ? clock_ns() + (uint64_t)(seconds * 1e9) : UINT64_MAX;

	g.done = 0;
	g.until = requests;
	memset(&g.hist, 0, sizeof(g.hist));
	for (unsigned i = 0; i < opt.connections && g.busy < g.until; i++)
		if (g.conns[i].fd >= 0)
			begin(&g.conns[i]);
	while (g.busy) {
		if (!turn()) {
			g.errors += g.busy;
			break;
		}
		if (clock_ns() >= end_ns)
			g.until = 0;
	}
}

static void shake_hands(int fd)
{
	char text[1024];
	size_t got = 0;
	int n = snprintf(text, sizeof(text),
	                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
	                 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	                 "Sec-WebSocket-Version: 13\r\n\r\n",
	                 opt.path);

	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		die("handshake");
	while (got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0) {
		ssize_t step = recv(fd, text + got, sizeof(text) - got, 0);

		if (step <= 0)
			die("handshake");
		got += (size_t)step;
	}
	if (memcmp(text, "HTTP/1.1 101 ", 13) != 0) {
		fprintf(stderr, "load_ws: %.*s\n", (int)got, text);
		exit(1);
	}
}

static void open_all(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
	int one = 1;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < opt.connections; i++) {
		struct conn *c = &g.conns[i];
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
		struct timeval patience = {.tv_sec = STALL_MS / 1000};

		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
			die("connect");
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		shake_hands(c->fd);
		if (epoll_ctl(g.epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			die("epoll");
	}
}

/* ---- The program -------------------------------------------------------------------------------- */

static void set_option(int key, const char *value)
{
	switch (key) {
	case 'p':
		opt.port = (uint16_t)number(value, UINT16_MAX);
		break;
	case 'u':
		opt.path = value;
		break;
	case 'c':
		opt.connections = (unsigned)number(value, CONNS_MAX);
		break;
	case 'b':
		opt.message_bytes = number(value, MESSAGE_BYTES_MAX);
		break;
	case 'n':
		opt.requests = number(value, UINT64_MAX);
		break;
	case 's':
		opt.seconds = duration(value);
		break;
	case 'w':
		opt.warmup = number(value, UINT64_MAX);
		break;
	case 'C':
		pin((unsigned)number(value, CPU_SETSIZE - 1));
		break;
	case 'm':
		opt.idle = !strcmp(value, "idle");
		break;
	case 'S':
		opt.sync = true;
		break;
	default:
		usage();
	}
}

static unsigned count_alive(void)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < opt.connections; i++)
		alive += is_alive(g.conns[i].fd);
	return alive;
}

static void report(double seconds)
{
	printf("{\"requests\":%llu,\"seconds\":%.6f,\"rps\":%.1f,\"bytes\":%llu,\"errors\":%llu,"
	       "\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       (unsigned long long)g.done, seconds, (double)g.done / seconds,
	       (unsigned long long)g.done * g.back_bytes, (unsigned long long)g.errors,
	       (double)hist_percentile(&g.hist, 50) / 1000,
	       (double)hist_percentile(&g.hist, 99) / 1000, (double)g.hist.max_ns / 1000);
	fflush(stdout);
}

static void set_up(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", 1, 0, 'p'},    {"path", 1, 0, 'u'},   {"connections", 1, 0, 'c'},
		{"message", 1, 0, 'b'}, {"mode", 1, 0, 'm'},   {"requests", 1, 0, 'n'},
		{"seconds", 1, 0, 's'}, {"warmup", 1, 0, 'w'}, {"cpu", 1, 0, 'C'},
		{"sync", 0, 0, 'S'},    {0, 0, 0, 0},
	};
	int key;

	while ((key = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(key, optarg);
	if (optind != argc || !opt.port || !opt.connections ||
	    (!opt.idle && opt.requests == UINT64_MAX && opt.seconds <= 0))
		usage();
	raise_limit();
	g.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	g.conns = calloc(opt.connections, sizeof(*g.conns));
	if (g.epoll_fd < 0 || !g.conns)
		die("set-up");
	build_message();
}

int main(int argc, char **argv)
{
	uint64_t start_ns;

	set_up(argc, argv);
	open_all();
	if (opt.idle) {
		wait_for_line("ready", opt.sync);
		printf("{\"alive\":%u,\"errors\":%llu}\n", count_alive(),
		       (unsigned long long)g.errors);
		return 0;
	}
	if (opt.warmup)
		run(opt.warmup, 5);
	wait_for_line(opt.sync ? "ready" : NULL, opt.sync);
	start_ns = clock_ns();
	run(opt.requests, opt.seconds);
	report((double)(clock_ns() - start_ns) / 1e9);
	if (opt.sync)
		wait_for_line(NULL, opt.sync);
	return g.errors ? 1 : 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The generator for echoes: messages go out on all connections, then all of them are read back, and every byte
 * is compared.  Over TCP each connection has one message on its way, over UDP a window of them; or each
 * message has a connection of its own, maybe begun with a PROXY header.  It never does anything else
 * meanwhile: on one core with a server it leaves that a full round to do, and then sleeps.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tako/proxy.h>

#include "generator.h"

enum { CONNS_MAX = 16000, MESSAGE_BYTES_MAX = 1400, WINDOW_MAX = 16, HEAD_MAX = 128, STALL_S = 3 };

enum mode { KEPT, NEW, IDLE };

static struct {
	enum mode mode;
	uint16_t port;
	unsigned connections;
	unsigned message_bytes;
	unsigned window; /* datagrams of each socket on their way; 0: TCP */
	bool trains;     /* a window is sent, and comes back, as one (GSO, GRO) */
	unsigned proxy;  /* the header's version; 0: none */
	uint64_t requests;
	uint64_t warmup;
	double seconds;
	bool sync;
} opt = {.connections = 100, .message_bytes = 64};

static struct {
	int *fds;
	char out[HEAD_MAX + MESSAGE_BYTES_MAX]; /* a header, and the message behind it */
	size_t head_bytes;
	char train[WINDOW_MAX * MESSAGE_BYTES_MAX];
	char back[WINDOW_MAX][WINDOW_MAX * MESSAGE_BYTES_MAX];
	uint64_t done;
	uint64_t errors;
} g;

_Noreturn static void usage(void)
{
	fputs("usage: load_echo --port N [--mode kept|new|idle] [--connections N] [--message "
	      "BYTES]\n"
	      "                 [--udp WINDOW [--trains]] [--proxy 1|2] [--requests N] [--seconds "
	      "S]\n"
	      "                 [--warmup N] [--cpu N] [--sync]\n",
	      stderr);
	exit(2);
}

static double now_s(void)
{
	return (double)clock_ns() / 1e9;
}

/* ---- Messages ----------------------------------------------------------------------------------- */

/* As a balancer tells it of a client over IPv4. */
static size_t put_header(char *to)
{
	int n = tako_proxy_write(to, HEAD_MAX,
	                         TAKO_PROXY_HEADER(.version = opt.proxy,
	                                           .source = "192.0.2.1:51234",
	                                           .destination = "198.51.100.7:443"));

	if (n < 0) {
		fputs("load_echo: no PROXY header\n", stderr);
		exit(1);
	}
	return (size_t)n;
}

static void build_message(void)
{
	if (opt.proxy)
		g.head_bytes = put_header(g.out);
	for (size_t i = 0; i < opt.message_bytes; i++)
		g.out[g.head_bytes + i] = (char)(i * 7 % 251);
	for (size_t i = 0; i < WINDOW_MAX; i++)
		memcpy(g.train + i * opt.message_bytes, g.out + g.head_bytes, opt.message_bytes);
}

static int open_socket(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
	struct timeval patience = {.tv_sec = STALL_S};
	int bytes = (int)opt.message_bytes;
	int one = 1;
	int fd = socket(AF_INET, (opt.window ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("connect");
	if (!opt.window && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
		die("TCP_NODELAY");
	if (opt.trains && (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)) < 0 ||
	                   setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)) < 0))
		die("trains");
	return fd;
}

/* ---- Datagrams ------------------------------------------------------------------------------------ */

static void send_window(int fd)
{
	struct iovec iov = {g.train, opt.message_bytes};
	struct mmsghdr v[WINDOW_MAX];

	if (opt.trains) {
		if (send(fd, g.train, (size_t)opt.window * opt.message_bytes, 0) < 0)
			die("send");
		return;
	}
	for (unsigned i = 0; i < opt.window; i++)
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
	if (sendmmsg(fd, v, opt.window, 0) != (int)opt.window)
		die("send");
}

/* A train is one message of as many bytes. */
static void receive_window(int fd)
{
	struct iovec iov[WINDOW_MAX];
	struct mmsghdr v[WINDOW_MAX];
	size_t left = (size_t)opt.window * opt.message_bytes;

	for (unsigned i = 0; i < opt.window; i++) {
		iov[i] = (struct iovec){g.back[i], sizeof(g.back[i])};
		v[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	while (left) {
		int n = recvmmsg(fd, v, (unsigned)(left / opt.message_bytes), MSG_WAITFORONE, NULL);

		if (n <= 0) {
			g.errors += left / opt.message_bytes;
			return;
		}
		for (int i = 0; i < n; i++) {
			if (v[i].msg_len > left || v[i].msg_len % opt.message_bytes ||
			    memcmp(g.back[i], g.train, v[i].msg_len) != 0) {
				g.errors++;
				return;
			}
			left -= v[i].msg_len;
		}
	}
	g.done += opt.window;
}

/* ---- Streams ---------------------------------------------------------------------------------------- */

static void send_message(int fd, bool first)
{
	size_t skip = first ? 0 : g.head_bytes;
	size_t n = g.head_bytes + opt.message_bytes - skip;

	if (send(fd, g.out + skip, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("send");
}

static void receive_message(int fd)
{
	if (recv(fd, g.back[0], opt.message_bytes, MSG_WAITALL) != (ssize_t)opt.message_bytes ||
	    memcmp(g.back[0], g.train, opt.message_bytes) != 0)
		g.errors++;
	else
		g.done++;
}

/* ---- Rounds ---------------------------------------------------------------------------------------- */

static void open_all(void)
{
	for (unsigned i = 0; i < opt.connections; i++)
		g.fds[i] = open_socket();
	for (unsigned i = 0; !opt.window && i < opt.connections; i++)
		send_message(g.fds[i], true);
	for (unsigned i = 0; !opt.window && i < opt.connections; i++)
		receive_message(g.fds[i]);
}

static void pass(void)
{
	for (unsigned i = 0; i < opt.connections; i++) {
		if (opt.mode == NEW)
			g.fds[i] = open_socket();
		if (opt.window)
			send_window(g.fds[i]);
		else
			send_message(g.fds[i], opt.mode == NEW);
	}
	for (unsigned i = 0; i < opt.connections; i++) {
		if (opt.window)
			receive_window(g.fds[i]);
		else
			receive_message(g.fds[i]);
		if (opt.mode == NEW)
			close(g.fds[i]);
	}
}

/* Whole passes, so that the server has all of the last one to do, too. */
static void run(uint64_t requests, double seconds)
{
	double end = seconds > 0 ? now_s() + seconds : 1e300;

	g.done = 0;
	while (!g.errors && g.done < requests && now_s() < end)
		pass();
}

/* ---- The program ---------------------------------------------------------------------------------- */

static enum mode mode_by_name(const char *name)
{
	if (!strcmp(name, "kept"))
		return KEPT;
	if (!strcmp(name, "new"))
		return NEW;
	if (strcmp(name, "idle") != 0)
		usage();
	return IDLE;
}

static void set_option(int key, const char *value)
{
	switch (key) {
	case 'p':
		opt.port = (uint16_t)number(value, UINT16_MAX);
		break;
	case 'm':
		opt.mode = mode_by_name(value);
		break;
	case 'c':
		opt.connections = (unsigned)number(value, CONNS_MAX);
		break;
	case 'b':
		opt.message_bytes = (unsigned)number(value, MESSAGE_BYTES_MAX);
		break;
	case 'u':
		opt.window = (unsigned)number(value, WINDOW_MAX);
		break;
	case 't':
		opt.trains = true;
		break;
	case 'x':
		opt.proxy = (unsigned)number(value, 2);
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
	case 'S':
		opt.sync = true;
		break;
	default:
		usage();
	}
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", 1, 0, 'p'},    {"mode", 1, 0, 'm'},    {"connections", 1, 0, 'c'},
		{"message", 1, 0, 'b'}, {"udp", 1, 0, 'u'},     {"trains", 0, 0, 't'},
		{"proxy", 1, 0, 'x'},   {"seconds", 1, 0, 's'}, {"requests", 1, 0, 'n'},
		{"warmup", 1, 0, 'w'},  {"cpu", 1, 0, 'C'},     {"sync", 0, 0, 'S'},
		{0, 0, 0, 0},
	};
	int key;

	while ((key = getopt_long(argc, argv, "", options, NULL)) != -1)
		set_option(key, optarg);
	if (optind != argc || !opt.port || !opt.connections || !opt.message_bytes ||
	    (opt.trains && !opt.window) || (opt.window && (opt.proxy || opt.mode == NEW)) ||
	    (opt.mode != IDLE && !opt.requests))
		usage();
}

static unsigned count_alive(void)
{
	unsigned alive = 0;

	for (unsigned i = 0; i < opt.connections; i++)
		alive += is_alive(g.fds[i]);
	return alive;
}

static void measure(void)
{
	double start = now_s();
	double seconds;

	run(opt.requests, opt.seconds);
	seconds = now_s() - start;
	printf("{\"requests\":%llu,\"seconds\":%.6f,\"rps\":%.1f,\"bytes\":%llu,\"errors\":%llu}\n",
	       (unsigned long long)g.done, seconds, (double)g.done / seconds,
	       (unsigned long long)g.done * opt.message_bytes, (unsigned long long)g.errors);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	raise_limit();
	g.fds = calloc(opt.connections, sizeof(*g.fds));
	if (!g.fds)
		die("calloc");
	build_message();
	if (opt.mode != NEW)
		open_all();
	if (opt.mode == IDLE) {
		wait_for_line("ready", opt.sync);
		printf("{\"alive\":%u,\"errors\":%llu}\n", count_alive(),
		       (unsigned long long)g.errors);
		return 0;
	}
	run(opt.warmup, STALL_S);
	wait_for_line(opt.sync ? "ready" : NULL, opt.sync);
	measure();
	if (opt.sync)
		wait_for_line(NULL, opt.sync);
	return g.errors ? 1 : 0;
}

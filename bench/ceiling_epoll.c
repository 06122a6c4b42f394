/* SPDX-License-Identifier: MIT
 *
 * The ceiling: the least a one-thread epoll server can spend per request on this kernel. It answers a
 * constant of the same length as the showcase's /plaintext and parses nothing: it finds the length of
 * the first request of a connection and afterwards only counts bytes.  As "echo" it sends back what it reads.
 * It must never grow a feature: whatever it does not do is what a framework is allowed to cost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "ceiling.h"

#define RESPONSE                                                                                   \
	"HTTP/1.1 200 OK\r\nServer: tako\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"               \
	"Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"

enum {
	RESPONSE_BYTES = sizeof(RESPONSE) - 1,
	RX_BYTES = 64 * 1024,
	POST_RX_BYTES = 256 * 1024,
	SLICE_BYTES = 256 * 1024, /* measured: whole-file sendfile calls cost a third more */
	BATCH_MAX = 2048,         /* answers in one send; RX_BYTES holds fewer requests than this */
	EVENTS_MAX = 512,
};
_Static_assert(RX_BYTES / sizeof("GET / HTTP/1.1\r\n\r\n") > BATCH_MAX / 2, "batch fits the read");

enum mode { KEEPALIVE, CLOSE, CLOSE_FIN, POST, FILE_SLICES, ECHO };

/* owed_* is what a full socket buffer made us keep: bytes of the repeated constant, or of the file. */
struct conn {
	uint32_t request_bytes; /* 0 until the first request has been seen whole */
	uint32_t seen_bytes;    /* of the request being received */
	uint64_t owed_bytes;
	off_t file_at;
	bool open;
	bool registered;
};

static char batch[BATCH_MAX * RESPONSE_BYTES];
static char rx[POST_RX_BYTES];
static struct conn *conns;
static size_t conns_max;
static int epoll_fd;
static int listen_fd;
static enum mode mode;
static uint64_t post_bytes;
static int file_fd = -1;
static off_t file_bytes;
static char file_head[160];
static size_t file_head_bytes;

static void drop(int fd)
{
	conns[fd] = (struct conn){0};
	close(fd);
}

/* Called once the first read found nothing or was answered: a connection whose only request is already
 * there when it is accepted never meets epoll at all. */
static bool watch(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

	if (mode == FILE_SLICES)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return false;
	conns[fd].registered = true;
	return true;
}

static bool want_writable(int fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
	                         .data.fd = fd};
	int op = conns[fd].registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	conns[fd].registered = true;
	return epoll_ctl(epoll_fd, op, fd, &ev) == 0;
}

/* One send for the whole batch. The constant repeats, so what is left starts at a phase of the batch. */
static bool send_owed(int fd)
{
	struct conn *c = &conns[fd];

	while (c->owed_bytes > 0) {
		size_t phase = (RESPONSE_BYTES - c->owed_bytes % RESPONSE_BYTES) % RESPONSE_BYTES;
		size_t n = sizeof(batch) - phase;
		ssize_t sent;

		if (n > c->owed_bytes)
			n = c->owed_bytes;
		sent = send(fd, batch + phase, n, MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN && want_writable(fd);
		c->owed_bytes -= (uint64_t)sent;
		if ((size_t)sent < n)
			return want_writable(fd);
	}
	return true;
}

/* Head with MSG_MORE, then slices. A short slice means the buffer is full: the edge will come, and
 * another call now would only return EAGAIN. */
static bool send_file(int fd)
{
	struct conn *c = &conns[fd];

	while (c->file_at < file_bytes) {
		size_t n = (size_t)(file_bytes - c->file_at);
		ssize_t sent;

		if (n > SLICE_BYTES)
			n = SLICE_BYTES;
		sent = sendfile(fd, file_fd, &c->file_at, n);
		if (sent < 0)
			return errno == EAGAIN;
		if ((size_t)sent < n)
			return true;
	}
	return true;
}

static bool start_file(int fd)
{
	if (send(fd, file_head, file_head_bytes, MSG_NOSIGNAL | MSG_MORE) !=
	    (ssize_t)file_head_bytes)
		return false;
	conns[fd].file_at = 0;
	return send_file(fd);
}

static bool learn_request(struct conn *c, size_t n)
{
	const char *end = memmem(rx, n, "\r\n\r\n", 4);

	if (!end)
		return false; /* a head in pieces is not what this program measures */
	c->request_bytes = (uint32_t)(end + 4 - rx);
	if (mode == POST)
		c->request_bytes += (uint32_t)post_bytes;
	return true;
}

static bool answer(int fd, size_t n)
{
	struct conn *c = &conns[fd];
	uint32_t total;

	if (mode == ECHO) /* messages that no buffer is too small for */
		return send(fd, rx, n, MSG_NOSIGNAL) == (ssize_t)n;
	if (mode == CLOSE || mode == CLOSE_FIN) {
		/* With MSG_MORE the close that follows puts its FIN into the same segment. */
		send(fd, batch, RESPONSE_BYTES, MSG_NOSIGNAL | (mode == CLOSE_FIN ? MSG_MORE : 0));
		return false;
	}
	if (c->request_bytes == 0 && !learn_request(c, n))
		return false;
	total = c->seen_bytes + (uint32_t)n;
	if (total < c->request_bytes) {
		c->seen_bytes = total;
		return true;
	}
	c->seen_bytes = total % c->request_bytes;
	if (mode == FILE_SLICES)
		return start_file(fd);
	c->owed_bytes += (uint64_t)(total / c->request_bytes) * RESPONSE_BYTES;
	return send_owed(fd);
}

/* Reads until a read comes back short: the next one could only say EAGAIN. A hang-up queued behind
 * the data has no edge of its own any more, hence `hup`. False means: close. */
static bool serve(int fd, bool hup)
{
	size_t room = mode == POST ? POST_RX_BYTES : RX_BYTES;

	for (;;) {
		ssize_t n = recv(fd, rx, room, 0);

		if (n < 0)
			return errno == EAGAIN;
		if (n == 0 || !answer(fd, (size_t)n))
			return false;
		if ((size_t)n < room && !hup)
			return true;
	}
}

static void accept_all(void)
{
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if ((size_t)fd >= conns_max) {
			close(fd);
			continue;
		}
		conns[fd].open = true;
		conns[fd].file_at = file_bytes; /* nothing asked for yet */
		if (!serve(fd, false) || (!conns[fd].registered && !watch(fd)))
			drop(fd);
	}
}

static void on_event(int fd, uint32_t events)
{
	bool ok = true;

	if (!conns[fd].open)
		return;
	if (events & EPOLLOUT)
		ok = mode == FILE_SLICES ? send_file(fd) : send_owed(fd);
	if (ok && events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		ok = serve(fd, (events & EPOLLRDHUP) != 0);
	if (!ok)
		drop(fd);
}

static void run(void)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				accept_all();
			else
				on_event(events[i].data.fd, events[i].events);
		}
	}
}

static void open_file(const char *path)
{
	struct stat st;
	int n;

	file_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (file_fd < 0 || fstat(file_fd, &st) < 0)
		die(path);
	file_bytes = st.st_size;
	n = snprintf(file_head, sizeof(file_head),
	             "HTTP/1.1 200 OK\r\nServer: tako\r\nContent-Type: application/octet-stream\r\n"
	             "Content-Length: %lld\r\n\r\n",
	             (long long)file_bytes);
	file_head_bytes = (size_t)n;
}

static void usage(void)
{
	fputs("usage: ceiling_epoll [--port N] keepalive|close|close-fin|post BYTES|file "
	      "PATH|echo\n",
	      stderr);
	exit(2);
}

static void set_mode(const char *name, const char *arg)
{
	if (!strcmp(name, "keepalive")) {
		mode = KEEPALIVE;
	} else if (!strcmp(name, "close")) {
		mode = CLOSE;
	} else if (!strcmp(name, "close-fin")) {
		mode = CLOSE_FIN;
	} else if (!strcmp(name, "echo")) {
		mode = ECHO;
	} else if (!strcmp(name, "post") && arg) {
		mode = POST;
		post_bytes = strtoull(arg, NULL, 10);
		if (post_bytes > 1u << 30)
			usage();
	} else if (!strcmp(name, "file") && arg) {
		mode = FILE_SLICES;
		open_file(arg);
	} else {
		usage();
	}
}

static void set_up(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		die("getrlimit");
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	conns_max = rl.rlim_cur < 1u << 20 ? (size_t)rl.rlim_cur : 1u << 20;
	conns = calloc(conns_max, sizeof(*conns));
	if (!conns)
		die("calloc");
	for (size_t i = 0; i < BATCH_MAX; i++)
		memcpy(batch + i * RESPONSE_BYTES, RESPONSE, RESPONSE_BYTES);
	end_by_signal();
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned long port = 0;
	int i = 1;

	if (argc > 2 && !strcmp(argv[1], "--port")) {
		port = strtoul(argv[2], NULL, 10);
		i = 3;
	}
	if (i >= argc || port > UINT16_MAX)
		usage();
	set_mode(argv[i], i + 1 < argc ? argv[i + 1] : NULL);
	set_up();
	listen_fd = listen_on((uint16_t)port, SOCK_NONBLOCK);
	say_port(listen_fd);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = listen_fd;
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll");
	run();
}

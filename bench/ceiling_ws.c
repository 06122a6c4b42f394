/* SPDX-License-Identifier: MIT
 *
 * The ceiling of a WebSocket echo: the least a one-thread epoll server can spend per message. It answers
 * any request with a constant 101, takes every frame to be as long as the connection's first, and checks
 * nothing: it unmasks, moves the head, and sends.
 * It must never grow a feature: whatever it does not do is what a framework is allowed to cost.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "ceiling.h"

#define SWITCH                                                                                     \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
	"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"

enum {
	CONN_BYTES = 80 * 1024, /* the longest frame fits, and what one read may bring behind it */
	CONNS_MAX = 4096,
	EVENTS_MAX = 512,
	KEY_BYTES = 4,
};

struct conn {
	size_t frame_bytes; /* 0: not known yet */
	size_t head_bytes;
	size_t n; /* of `in` */
	size_t owed_from;
	size_t owed_bytes; /* a full socket buffer made us keep them */
	bool switched;
	char in[CONN_BYTES];
};

static struct conn *conns[CONNS_MAX];
static int epoll_fd;

static void drop(int fd)
{
	free(conns[fd]);
	conns[fd] = NULL;
	close(fd);
}

/* A short send has its edge to come. */
static bool send_owed(struct conn *c, int fd)
{
	ssize_t sent = send(fd, c->in + c->owed_from, c->owed_bytes, MSG_NOSIGNAL);

	if (sent < 0)
		return errno == EAGAIN;
	c->owed_from += (size_t)sent;
	c->owed_bytes -= (size_t)sent;
	return true;
}

static bool learn_frame(struct conn *c)
{
	const unsigned char *p = (const unsigned char *)c->in;
	size_t length = p[1] & 127;

	c->head_bytes = length < 126 ? 2 : length == 126 ? 4 : 10;
	if (c->n < c->head_bytes)
		return true;
	if (length == 126) {
		length = (size_t)p[2] << 8 | p[3];
	} else if (length == 127) {
		length = 0;
		for (int i = 2; i < 10; i++)
			length = length << 8 | p[i];
	}
	c->frame_bytes = c->head_bytes + KEY_BYTES + length;
	return c->frame_bytes <= CONN_BYTES;
}

static void unmask(char *p, size_t n, const char key[KEY_BYTES])
{
	uint64_t k, v;

	memcpy(&k, key, KEY_BYTES);
	k |= k << 32;
	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		v ^= k;
		memcpy(p, &v, 8);
	}
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(p[i] ^ key[i & 3]);
}

/* The head moves over the key, so that head and payload leave from where they are. */
static bool echo(struct conn *c, int fd)
{
	char *p = c->in;
	char *payload = p + c->head_bytes + KEY_BYTES;

	unmask(payload, c->frame_bytes - c->head_bytes - KEY_BYTES, payload - KEY_BYTES);
	memmove(p + KEY_BYTES, p, c->head_bytes);
	p[KEY_BYTES + 1] = (char)(p[KEY_BYTES + 1] & 127);
	c->owed_from = KEY_BYTES;
	c->owed_bytes = c->frame_bytes - KEY_BYTES;
	c->n = 0;
	return send_owed(c, fd);
}

static bool take(struct conn *c, int fd)
{
	if (!c->switched) {
		if (c->n < 4 || memcmp(c->in + c->n - 4, "\r\n\r\n", 4) != 0)
			return true;
		c->switched = true;
		c->n = 0;
		return send(fd, SWITCH, sizeof(SWITCH) - 1, MSG_NOSIGNAL) > 0;
	}
	if (!c->frame_bytes && !learn_frame(c))
		return false;
	/* More than one frame at a time is not what this program measures. */
	return c->n < c->frame_bytes || (c->n == c->frame_bytes && echo(c, fd));
}

/* Not read again after a short read: it could only say EAGAIN. */
static bool serve(struct conn *c, int fd)
{
	for (;;) {
		size_t room = CONN_BYTES - c->n;
		ssize_t n = recv(fd, c->in + c->n, room, 0);

		if (n < 0)
			return errno == EAGAIN;
		c->n += (size_t)n;
		if (n == 0 || !take(c, fd))
			return false;
		if ((size_t)n < room)
			return true;
	}
}

static void accept_all(int listen_fd)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= CONNS_MAX)
			die("too many connections");
		ev.data.fd = fd;
		conns[fd] = calloc(1, sizeof(struct conn));
		if (!conns[fd] || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("accept");
	}
}

static void on_event(int fd, uint32_t events)
{
	struct conn *c = conns[fd];
	bool ok = true;

	if (c->owed_bytes && (events & EPOLLOUT))
		ok = send_owed(c, fd);
	if (ok && (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		ok = serve(c, fd);
	if (!ok)
		drop(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS_MAX];
	struct epoll_event ev = {.events = EPOLLIN};
	int listen_fd;

	if (argc != 3 || strcmp(argv[1], "--port") != 0) {
		fputs("usage: ceiling_ws --port N\n", stderr);
		return 2;
	}
	end_by_signal();
	listen_fd = listen_on((uint16_t)strtoul(argv[2], NULL, 10), SOCK_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ev.data.fd = listen_fd;
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll");
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				accept_all(listen_fd);
			else
				on_event(events[i].data.fd, events[i].events);
		}
	}
}

/* SPDX-License-Identifier: MIT
 *
 * The ceiling of HTTP/2: the least that a one-thread epoll server over nghttp2 can spend per request.
 * It answers every request the same, looks at no field, and uses what the library offers for
 * speed: memory from free lists, no checks of messages, no stream tree, fields that are not
 * copied, one recv and one send a turn.
 * It must never grow a feature: whatever it does not do is what a framework is allowed to cost.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include <nghttp2/nghttp2.h>

#include "transports/h2/h2_mem.h"

#include "ceiling.h"

#define BODY "Hello, World!"

enum { RX_BYTES = 256 * 1024, TX_BYTES = 64 * 1024, EVENTS_MAX = 512 };

struct conn {
	nghttp2_session *session;
	int fd;
	size_t owed; /* of what did not fit into the socket */
	size_t owed_at;
	char tx[TX_BYTES];
};

static char rx[RX_BYTES];
static int epoll_fd;
static int listen_fd;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *option;
static struct tako__h2_mem mem;

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	(void)session, (void)id, (void)n, (void)source, (void)arg;
	memcpy(buf, BODY, sizeof(BODY) - 1);
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	return sizeof(BODY) - 1;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
#define NV(name, value)                                                                            \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,     \
			sizeof(value) - 1,                                                         \
			NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE               \
	}
	static const nghttp2_nv nva[] = {
		NV(":status", "200"),
		NV("server", "tako"),
		NV("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
		NV("content-type", "text/plain"),
		NV("content-length", "13"),
	};
	nghttp2_data_provider body = {.read_callback = read_body};

	(void)arg;
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	return nghttp2_submit_response(session, frame->hd.stream_id, nva,
	                               sizeof(nva) / sizeof(nva[0]), &body)
	               ? NGHTTP2_ERR_CALLBACK_FAILURE
	               : 0;
}

static void drop(struct conn *c)
{
	nghttp2_session_del(c->session);
	close(c->fd);
	free(c);
}

/* True: all that was there is in the socket. */
static bool send_owed(struct conn *c)
{
	while (c->owed) {
		ssize_t n = send(c->fd, c->tx + c->owed_at, c->owed, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		c->owed_at += (size_t)n;
		c->owed -= (size_t)n;
	}
	c->owed_at = 0;
	return true;
}

/* False: broken.  What does not fit waits for the next edge. */
static bool flush(struct conn *c)
{
	for (;;) {
		const uint8_t *p;
		ssize_t n;

		if (c->owed && !send_owed(c))
			return errno == EAGAIN;
		while (c->owed < TX_BYTES / 2 &&
		       (n = nghttp2_session_mem_send(c->session, &p)) > 0) {
			memcpy(c->tx + c->owed, p, (size_t)n);
			c->owed += (size_t)n;
		}
		if (!c->owed)
			return true;
	}
}

static bool serve(struct conn *c)
{
	for (;;) {
		ssize_t n = recv(c->fd, rx, RX_BYTES, 0);

		if (n < 0)
			return errno == EAGAIN;
		if (n == 0 || nghttp2_session_mem_recv(c->session, (uint8_t *)rx, (size_t)n) < 0 ||
		    !flush(c))
			return false;
		if (n < RX_BYTES)
			return true;
	}
}

static void accept_all(void)
{
	const nghttp2_settings_entry iv = {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c ||
		    nghttp2_session_server_new3(&c->session, callbacks, c, option, &mem.mem) != 0)
			die("memory");
		c->fd = fd;
		ev.data.ptr = c;
		nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, &iv, 1);
		if (!flush(c) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
			drop(c);
	}
}

static void run(void)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!c)
				accept_all();
			else if (!serve(c) || !flush(c))
				drop(c);
		}
	}
}

static void set_up(void)
{
	tako__h2_mem_init(&mem);
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
		die("memory");
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_option_set_no_http_messaging(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	end_by_signal();
}

int main(int argc, char **argv)
{
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned long port = argc == 3 && !strcmp(argv[1], "--port") ? strtoul(argv[2], NULL, 10)
	                                                             : 0;

	if (!port || port > UINT16_MAX) {
		fputs("usage: ceiling_h2c --port N\n", stderr);
		return 2;
	}
	set_up();
	listen_fd = listen_on((uint16_t)port, SOCK_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
		die("epoll");
	run();
}

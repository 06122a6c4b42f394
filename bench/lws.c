/* SPDX-License-Identifier: MIT
 *
 * A WebSocket echo by libwebsockets, with its best settings: one thread, no extensions, a receive buffer
 * that holds the whole message, and the answer written where the message is reported, without a way
 * through its event loop unless the socket is full.
 * It is a peer to compare with, not an example.
 */
#include <libwebsockets.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { RX_BYTES = 80 * 1024 };

struct session {
	unsigned char *p; /* LWS_PRE bytes of room, then a message */
	size_t n;
	size_t cap;
	bool owed; /* it is whole, and waits for room in the socket */
};

static bool add(struct session *s, const void *p, size_t n)
{
	if (n > s->cap - s->n) {
		size_t cap = (s->n + n) * 2;
		unsigned char *grown = realloc(s->p, LWS_PRE + cap);

		if (!grown)
			return false;
		s->p = grown;
		s->cap = cap;
	}
	memcpy(s->p + LWS_PRE + s->n, p, n);
	s->n += n;
	return true;
}

static int send_back(struct lws *wsi, struct session *s)
{
	int rc = lws_write(wsi, s->p + LWS_PRE, s->n, LWS_WRITE_BINARY);

	s->owed = false;
	s->n = 0;
	return rc < 0 ? -1 : 0;
}

static int receive(struct lws *wsi, struct session *s, const void *p, size_t n)
{
	if (!add(s, p, n))
		return -1;
	if (lws_remaining_packet_payload(wsi) || !lws_is_final_fragment(wsi))
		return 0;
	if (!lws_send_pipe_choked(wsi))
		return send_back(wsi, s);
	s->owed = true;
	lws_callback_on_writable(wsi);
	return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons why, void *user, void *p, size_t n)
{
	struct session *s = user;

	switch (why) {
	case LWS_CALLBACK_RECEIVE:
		return receive(wsi, s, p, n);
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return s->owed ? send_back(wsi, s) : 0;
	case LWS_CALLBACK_CLOSED:
		free(s->p);
		s->p = NULL;
		return 0;
	default:
		return 0;
	}
}

static const struct lws_protocols protocols[] = {
	{"echo", on_event, sizeof(struct session), RX_BYTES, 0, NULL, 0},
	{NULL, NULL, 0, 0, 0, NULL, 0},
};

static void on_term(int sig)
{
	(void)sig;
	_exit(0);
}

int main(int argc, char **argv)
{
	struct lws_context_creation_info info = {
		.iface = "127.0.0.1",
		.protocols = protocols,
		.gid = -1,
		.uid = -1,
		.pt_serv_buf_size = RX_BYTES,
	};
	struct lws_context *context;
	struct rlimit rl;

	if (argc != 2) {
		fputs("usage: lws PORT\n", stderr);
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGTERM, on_term);
	signal(SIGINT, on_term);
	info.port = (int)strtol(argv[1], NULL, 10);
	lws_set_log_level(LLL_ERR, NULL);
	context = lws_create_context(&info);
	if (!context) {
		fputs("lws: cannot start\n", stderr);
		return 1;
	}
	while (lws_service(context, 0) >= 0)
		;
	lws_context_destroy(context);
	return 1;
}

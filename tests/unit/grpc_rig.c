/* SPDX-License-Identifier: MIT
 *
 * See grpc_rig.h.
 */
#include "unit/grpc_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int grpc_rig_start_router(struct rig *r, tako_router *router, const tako_server_config *cfg)
{
	int rc = stepped_start(&r->server, router,
	                       cfg ? cfg : TAKO_SERVER_CONFIG(.worker_count = 1), NULL);

	tako_router_free(router);
	if (rc == 0)
		peer_open(&r->peer, &r->server);
	return rc == 0 && r->peer.fd < 0 ? TAKO_ESYS : rc;
}

int grpc_rig_start(struct rig *r, int kind, const tako_grpc_config *cfg, void *arg)
{
	tako_router *router = tako_router_new();

	tako_grpc_method(router, "/s/m", kind, cfg, arg);
	return grpc_rig_start_router(r, router, NULL);
}

int grpc_rig_stop(struct rig *r)
{
	peer_close(&r->peer);
	return stepped_stop(&r->server);
}

void grpc_rig_turns(struct rig *r, int n)
{
	for (int i = 0; i < n; i++)
		stepped_turn(&r->server, 1);
}

/* ---- Asking ---------------------------------------------------------------------------- */

static void ask(struct rig *r, const char *path, const char *fields, const char *framing)
{
	char head[2048];
	int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n", path,
	                 fields ? fields : "content-type: application/grpc\r\n", framing);

	(void)peer_send(&r->peer, &r->server, head, (size_t)n);
}

void grpc_rig_send(struct rig *r, const char *path, const char *fields, const void *body, size_t n)
{
	char length[64];

	snprintf(length, sizeof length, "Content-Length: %zu", n);
	ask(r, path, fields, length);
	(void)peer_send(&r->peer, &r->server, body, n);
}

void grpc_rig_open(struct rig *r, const char *path, const char *fields)
{
	ask(r, path, fields, "Transfer-Encoding: chunked");
}

void grpc_rig_chunk(struct rig *r, const void *p, size_t n)
{
	char head[24];

	(void)peer_send(&r->peer, &r->server, head,
	                (size_t)snprintf(head, sizeof head, "%zx\r\n", n));
	(void)peer_send(&r->peer, &r->server, p, n);
	(void)peer_send(&r->peer, &r->server, "\r\n", 2);
}

void grpc_rig_end(struct rig *r)
{
	(void)peer_send(&r->peer, &r->server, "0\r\n\r\n", 5);
}

size_t grpc_rig_frame(char *to, unsigned flags, const void *msg, size_t n)
{
	to[0] = (char)flags;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (char)(n >> (24 - 8 * i));
	if (n)
		memcpy(to + 5, msg, n);
	return 5 + n;
}

/* ---- What came --------------------------------------------------------------------------- */

const char *grpc_rig_field(struct rig *r, const char *name)
{
	static char value[8192];

	return reply_field(&r->peer, &r->reply, name, value, sizeof value);
}

const char *grpc_rig_trailer(struct rig *r, const char *name)
{
	static char value[1024];
	size_t n = strlen(name);

	for (const char *line = r->reply.trailers; line && *line; line = strstr(line, "\r\n")) {
		while (*line == '\r' || *line == '\n')
			line++;
		if (strncasecmp(line, name, n) != 0 || strncmp(line + n, ": ", 2) != 0)
			continue;
		snprintf(value, sizeof value, "%.*s", (int)strcspn(line + n + 2, "\r\n"),
		         line + n + 2);
		return value;
	}
	return NULL;
}

static void take_messages(struct rig *r)
{
	const unsigned char *p = (const unsigned char *)r->reply.body;
	size_t left = r->reply.body_n;

	for (r->count = 0; left >= 5 && r->count < RIG_MESSAGES_MAX; r->count++) {
		size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];

		if (n > left - 5)
			break;
		r->flags[r->count] = p[0];
		r->messages[r->count] = (tako_str){(const char *)p + 5, n};
		p += 5 + n;
		left -= 5 + n;
	}
}

int grpc_rig_reply(struct rig *r)
{
	const char *status;
	const char *message;

	r->http = 0;
	r->status = -1;
	r->message[0] = '\0';
	if (!peer_reply(&r->peer, &r->server, &r->reply, false, RIG_WAIT_MS))
		return -2;
	r->http = r->reply.status;
	status = grpc_rig_trailer(r, "grpc-status");
	if (!status)
		status = grpc_rig_field(r, "grpc-status");
	if (status)
		r->status = atoi(status);
	message = grpc_rig_trailer(r, "grpc-message");
	if (!message)
		message = grpc_rig_field(r, "grpc-message");
	if (message)
		snprintf(r->message, sizeof r->message, "%s", message);
	take_messages(r);
	return r->status;
}

int grpc_rig_call(struct rig *r, const char *fields, const void *body, size_t n)
{
	bool again = r->peer.closed || r->reply.close;

	if (r->reply.total_n && r->reply.total_n <= r->peer.n)
		peer_drop(&r->peer, r->reply.total_n);
	memset(&r->reply, 0, sizeof r->reply);
	if (again) {
		peer_close(&r->peer);
		peer_open(&r->peer, &r->server);
	}
	grpc_rig_send(r, "/s/m", fields, body, n);
	return grpc_rig_reply(r);
}

int grpc_rig_say(struct rig *r, const char *fields, tako_str msg)
{
	static char body[70000];

	return grpc_rig_call(r, fields, body, grpc_rig_frame(body, 0, msg.p, msg.n));
}

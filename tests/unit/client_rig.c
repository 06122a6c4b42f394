/* SPDX-License-Identifier: MIT
 *
 * See client_rig.h.
 */
#include "unit/client_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { TURNS_MAX = 3000 };

static struct {
	void (*act)(void *arg);
	void *arg;
	tako_res *res; /* of the handler that runs */
	bool open;
	struct peer peer; /* that asks for it */
} acting;

static int do_it(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	acting.res = res;
	acting.act(acting.arg);
	return tako_res_send(res, 204, NULL, (tako_str){NULL, 0});
}

void client_rig_start(struct client_rig *r, const tako_server_config *server,
                      const tako_client_config *client, void (*act)(void *arg), void *arg)
{
	tako_router *router = tako_router_new();

	acting.act = act;
	acting.arg = arg;
	acting.open = false;
	tako_get(router, "/do", do_it, NULL);
	assert_int_equal(tako_client_new(&r->client, client), 0);
	assert_int_equal(stepped_start(&r->s, router, server, NULL), 0);
	tako_router_free(router);
}

void client_rig_start_late(struct client_rig *r, const tako_server_config *server)
{
	tako_router *router = tako_router_new();

	acting.open = false;
	r->s = (struct stepped){.stopped = 1};
	assert_int_equal(tako_client_new(&r->client, NULL), 0);
	assert_int_equal(tako_server_new(&r->s.srv, router, server), 0);
	assert_int_equal(tako_server_listen(r->s.srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	tako_router_free(router);
}

void client_rig_stop(struct client_rig *r)
{
	if (acting.open)
		peer_close(&acting.peer);
	acting.open = false;
	stepped_stop(&r->s);
	tako_client_free(r->client);
	assert_int_equal(failalloc_live(), 0);
}

/* ---- Asking ------------------------------------------------------------------------------- */

static int on_head(tako_fetch *f, void *arg)
{
	struct asked *a = arg;

	a->f = f;
	a->heads++;
	return a->head ? a->head(a) : 0;
}

static int on_data(tako_fetch *f, tako_str data, void *arg)
{
	struct asked *a = arg;

	a->f = f;
	a->calls++;
	for (size_t i = 0; i < data.n && a->bytes + i < sizeof a->body - 1; i++)
		a->body[a->bytes + i] = data.p[i];
	a->bytes += data.n;
	return a->data ? a->data(a) : 0;
}

static void on_writable(tako_fetch *f, void *arg)
{
	struct asked *a = arg;

	a->f = f;
	if (a->writable)
		a->writable(a);
}

static int on_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;

	a->f = f;
	a->ends++;
	a->err = err;
	a->status = tako_fetch_status(f);
	snprintf(a->why, sizeof a->why, "%s", tako_fetch_why(f));
	if (a->end)
		a->end(a);
	a->f = NULL;
	return 0;
}

void client_rig_ask(struct client_rig *r, struct asked *a, const struct place *p,
                    const tako_fetch_config *cfg)
{
	tako_fetch_config c = {.size = sizeof c};
	char url[TAKO__LOCAL_TEXT_BYTES + 16];

	if (cfg)
		c = *cfg;
	snprintf(url, sizeof url, "http://%s/", p->text);
	c.url = url;
	c.on_head = on_head;
	c.on_data = on_data;
	c.on_writable = c.stream ? on_writable : NULL;
	c.on_end = on_end;
	c.arg = a;
	assert_int_equal(tako_fetch_post(r->client, r->s.srv, &c), 0);
}

void client_rig_await(struct client_rig *r, const struct asked *a)
{
	for (unsigned i = 0; i < TURNS_MAX && !a->ends; i++)
		stepped_turn(&r->s, 1);
	assert_int_equal(a->ends, 1);
}

void client_rig_turns(struct client_rig *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		stepped_turn(&r->s, 1);
}

static void ask_for(struct client_rig *r, const char *path)
{
	char head[64];
	int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

	assert_true(peer_send(&acting.peer, &r->s, head, (size_t)n));
}

static void hear(struct client_rig *r, int status)
{
	static struct reply reply;
	struct peer *p = &acting.peer;

	assert_true(peer_reply(p, &r->s, &reply, false, 3000));
	assert_int_equal(reply.status, status);
	peer_drop(p, reply.total_n);
}

tako_res *client_rig_res(void)
{
	return acting.res;
}

void client_rig_send_do(struct client_rig *r)
{
	if (!acting.open) {
		/* On a connection that is new a request may be read after everybody else's events. */
		peer_open(&acting.peer, &r->s);
		acting.open = true;
		ask_for(r, "/nothing");
		hear(r, 404);
		client_rig_turns(r, 2);
	}
	ask_for(r, "/do");
}

void client_rig_send_last_do(struct client_rig *r)
{
	client_rig_send_do(r);
	assert_int_equal(shutdown(acting.peer.fd, SHUT_WR), 0);
}

void client_rig_hear_done(struct client_rig *r)
{
	hear(r, 204);
}

void client_rig_do(struct client_rig *r)
{
	client_rig_send_do(r);
	client_rig_hear_done(r);
}

/* ---- The other end -------------------------------------------------------------------------- */

void place_hear(int fd, struct client_rig *r)
{
	char text[4096];
	size_t n = 0;

	for (unsigned i = 0; i < TURNS_MAX; i++) {
		ssize_t got = recv(fd, text + n, sizeof text - n, MSG_DONTWAIT);

		if (got > 0)
			n += (size_t)got;
		if (memmem(text, n, "\r\n\r\n", 4))
			return;
		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		stepped_turn(&r->s, 1);
	}
	fail_msg("no request came");
}

int place_serve(const struct place *p, struct client_rig *r)
{
	int fd = place_accept(p, &r->s);

	assert_true(fd >= 0);
	place_hear(fd, r);
	return fd;
}

void place_say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

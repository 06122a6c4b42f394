/* SPDX-License-Identifier: MIT
 *
 * gRPC in the simulated world: calls of every kind whose messages are cut up and delayed by chance, paused
 * by their method, left, stopped and starved of memory.  What must come back follows from what was said, to
 * the byte; whatever happens, each call that began ends once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tako/grpc.h>

#include "sim/sim_http1.h"
#include "sim/sim_peer.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum {
	CLIENTS = 3,
	CALLS_MAX = 3,
	MESSAGES_MAX = 6,
	MESSAGE_BYTES_MAX = 20000,
	LIMIT_BYTES = 16000,
	TURNS_MAX = 400000,
};

struct expect {
	int status;
	char *body; /* of all messages, with their prefixes */
	size_t n;
};

struct client {
	struct sim_peer peer;
	struct sim_http1 http;
	struct expect expect[CALLS_MAX];
	unsigned count;
	bool gone;
};

static struct sim_server server;
static struct client clients[CLIENTS];
static unsigned opened;
static unsigned closed;

/* ---- The server ------------------------------------------------------------------------------ */

static int on_open(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	opened++;
	return 0;
}

static void go_on(tako_res *res, void *arg)
{
	(void)arg;
	tako_grpc_resume(tako_grpc_of(res));
}

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	int64_t rc = tako_grpc_send(call, msg);

	(void)arg;
	/* Sometimes it needs a while. */
	if (rc >= 0 && msg.n % 5 == 0) {
		tako_grpc_pause(call);
		rc = tako_res_after(tako_grpc_res(call), (uint32_t)(msg.n % 3), go_on, NULL);
	}
	return rc < 0 ? (int)rc : 0;
}

static int on_one(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	return tako_grpc_reply(call, msg);
}

static void on_close(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	closed++;
}

static tako_router *make_router(void)
{
	tako_router *router = tako_router_new();

	tako_grpc_method(router, "/g/both", TAKO_GRPC_BIDI,
	                 TAKO_GRPC_CONFIG(.on_open = on_open, .on_message = on_message,
	                                  .on_close = on_close, .max_receive_bytes = LIMIT_BYTES),
	                 NULL);
	tako_grpc_method(router, "/g/one", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = on_one, .max_receive_bytes = LIMIT_BYTES),
	                 NULL);
	return router;
}

/* ---- What is said, and what is due -------------------------------------------------------------- */

static void add(struct expect *e, const char *p, size_t n)
{
	e->body = realloc(e->body, e->n + n + 1);
	if (!e->body)
		abort();
	memcpy(e->body + e->n, p, n);
	e->n += n;
}

/* Chunks of any size, which have nothing to do with messages. */
static void say_body(struct client *c, const char *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t some = sim_rand_size(&server.sim.rand, n - at);

		sim_peer_sayf(&c->peer, "%zx\r\n", some);
		sim_peer_say(&c->peer, p + at, some);
		sim_peer_sayf(&c->peer, "\r\n");
		at += some;
	}
	sim_peer_sayf(&c->peer, "0\r\n\r\n");
}

static char *put_message(char *to, size_t n)
{
	to[0] = 0;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (char)(n >> (24 - 8 * i));
	for (size_t i = 0; i < n; i++)
		to[5 + i] = (char)(i * 31 + n);
	return to + 5 + n;
}

static void say_call(struct client *c)
{
	static char body[MESSAGES_MAX * (MESSAGE_BYTES_MAX + 5)];
	struct sim_rand *r = &server.sim.rand;
	struct expect *e = &c->expect[c->count++];
	bool one = sim_rand_chance(r, 400);
	uint64_t messages = one ? 1 : sim_rand_between(r, 0, MESSAGES_MAX);
	char *to = body;

	*e = (struct expect){.status = 0};
	for (uint64_t i = 0; i < messages; i++) {
		size_t n = sim_rand_size(r, MESSAGE_BYTES_MAX) - 1;
		char *end = put_message(to, n);

		if (n > LIMIT_BYTES && !e->status)
			e->status = TAKO_GRPC_RESOURCE_EXHAUSTED;
		if (!e->status)
			add(e, to, (size_t)(end - to));
		to = end;
	}
	sim_http1_expect(&c->http, false);
	sim_peer_sayf(&c->peer,
	              "POST /g/%s HTTP/1.1\r\nHost: sim\r\ncontent-type: application/grpc\r\n"
	              "Transfer-Encoding: chunked\r\n\r\n",
	              one ? "one" : "both");
	say_body(c, body, (size_t)(to - body));
}

static void begin_client(struct client *c)
{
	*c = (struct client){.gone = false};
	sim_http1_init(&c->http);
	sim_peer_open(&c->peer, &server.sim, sim_http1_feed, &c->http);
	sim_peer_draw(&c->peer);
	for (uint64_t i = sim_rand_between(&server.sim.rand, 1, CALLS_MAX); i; i--)
		say_call(c);
}

/* ---- A run ---------------------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg};
	struct sim_options drawn;
	struct sim_rand r;

	opened = closed = 0;
	sim_rand_init(&r, ~seed);
	sim_options_draw(&drawn, &r);
	sim_server_begin(&server, seed, &drawn);
	sim_server_start(&server, make_router(), &cfg, NULL, NULL);
	sim_alloc_hold();
	for (size_t i = 0; i < CLIENTS; i++)
		begin_client(&clients[i]);
	sim_alloc_go_on();
}

static bool turn(void)
{
	bool any = false;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client *c = &clients[i];
		bool ended = sim_ended(c->peer.link) && !sim_readable(c->peer.link);

		sim_peer_turn(&c->peer);
		if (!c->gone && (ended || c->http.reply_count == c->count)) {
			sim_close(c->peer.link);
			c->gone = true;
		}
		any |= !c->gone;
	}
	sim_server_step(&server);
	return any;
}

static void end(void)
{
	for (size_t i = 0; i < CLIENTS; i++) {
		if (!clients[i].gone)
			sim_close(clients[i].peer.link);
	}
	sim_server_end(&server);
	for (size_t i = 0; i < CLIENTS; i++) {
		sim_peer_free(&clients[i].peer);
		sim_http1_free(&clients[i].http);
		for (unsigned k = 0; k < clients[i].count; k++)
			free(clients[i].expect[k].body);
	}
	assert_int_equal(opened, closed);
}

static int status_of(const struct sim_reply *r)
{
	const char *at = strstr(r->trailers, "grpc-status: ");
	char text[16];

	if (at)
		return atoi(at + 13);
	return sim_reply_field(r, "grpc-status", text, sizeof text) ? atoi(text) : -1;
}

/* All that came for the call is right; after an end that was not ours it may be less. */
static void assert_reply(const struct expect *e, const struct sim_reply *r)
{
	assert_int_equal(r->status, 200);
	assert_int_equal(status_of(r), e->status);
	assert_int_equal(r->body_n, e->n);
	if (e->n)
		assert_memory_equal(r->body, e->body, e->n);
}

static void calls(uint64_t seed)
{
	unsigned turns = 0;

	begin(seed);
	while (turn())
		assert_true(++turns < TURNS_MAX);
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct client *c = &clients[i];
		bool last = false;

		assert_null(c->http.bad);
		for (unsigned k = 0; k < c->http.reply_count; k++)
			assert_reply(&c->expect[k], &c->http.replies[k]);
		/* A call that is refused before its end may take its connection with it. */
		for (unsigned k = 0; k < c->http.reply_count; k++)
			last |= c->expect[k].status != 0;
		assert_true(c->http.reply_count == c->count || last);
	}
	end();
}

/* Whatever came of a call, in order, is a part of what it should have been. */
static void assert_part(const struct expect *e, const struct sim_reply *r)
{
	if (r->status != 200 || status_of(r) != 0)
		return;
	assert_true(r->body_n == e->n);
	if (e->n)
		assert_memory_equal(r->body, e->body, e->n);
}

static void without_memory(uint64_t seed)
{
	begin(seed);
	sim_alloc_fail(sim_rand_size(&server.sim.rand, 150),
	               sim_rand_chance(&server.sim.rand, 100));
	for (unsigned i = 0; i < TURNS_MAX && turn(); i++) {
		/* For good is for a while: a server that never gets any cannot accept either. */
		if (i == 2000)
			(void)sim_alloc_calm();
	}
	(void)sim_alloc_calm();
	for (size_t i = 0; i < CLIENTS; i++) {
		for (unsigned k = 0; k < clients[i].http.reply_count; k++)
			assert_part(&clients[i].expect[k], &clients[i].http.replies[k]);
	}
	end();
}

/* A server that stops, and clients that leave, at any moment. */
static void stopped(uint64_t seed)
{
	begin(seed);
	for (size_t i = sim_rand_size(&server.sim.rand, 300); i; i--)
		(void)turn();
	if (sim_rand_chance(&server.sim.rand, 500) && !clients[0].gone) {
		sim_close(clients[0].peer.link);
		clients[0].gone = true;
	}
	tako_server_stop(server.srv);
	for (unsigned i = 0; i < TURNS_MAX && !server.over; i++)
		(void)turn();
	assert_true(server.over);
	for (size_t i = 0; i < CLIENTS; i++) {
		for (unsigned k = 0; k < clients[i].http.reply_count; k++)
			assert_part(&clients[i].expect[k], &clients[i].http.replies[k]);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(calls),
		SIM_TEST(without_memory),
		SIM_TEST(stopped),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

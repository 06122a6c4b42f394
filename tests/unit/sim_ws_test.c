/* SPDX-License-Identifier: MIT
 *
 * WebSockets in the simulated world: clients that say messages of any size, whole and in frames, with
 * pings between them, cut up and delayed by chance.  What must come back follows from what was said, to
 * the byte; without memory it may end early, and nothing else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <tako/ws.h>

#include "sim/sim_peer.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum { CLIENTS = 3, MESSAGES_MAX = 5, MESSAGE_BYTES_MAX = 70000, TURNS_MAX = 200000 };

struct bytes {
	char *p;
	size_t n;
	size_t cap;
};

struct client {
	struct sim_peer peer;
	struct bytes want; /* after the head */
	struct bytes got;  /* all of it */
	bool gone;
};

static struct sim_server server;
static struct client clients[CLIENTS];
static unsigned opened;
static unsigned closed;

static void add(struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > b->cap) {
		b->cap = (b->n + n) * 2;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			abort();
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

/* ---- The server -------------------------------------------------------------------------- */

static void on_open(tako_ws *ws, void *arg)
{
	(void)ws, (void)arg;
	opened++;
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	(void)tako_ws_send(ws, kind, msg);
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	(void)ws, (void)code, (void)arg;
	closed++;
}

static int accept_it(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_ws_accept(req, res,
	                      TAKO_WS_CONFIG(.on_open = on_open, .on_message = on_message,
	                                     .on_close = on_close, .ping_interval_ms = TAKO_OFF,
	                                     .max_unsent_bytes = TAKO_OFF64),
	                      NULL);
}

/* ---- What is said, and what is due ---------------------------------------------------------- */

/* The head of a frame, RFC 6455 section 5.2; `mask` is 0 or 0x80. */
static void add_head(struct bytes *to, unsigned first, unsigned mask, size_t n)
{
	unsigned char h[10] = {(unsigned char)first, (unsigned char)(mask | n)};
	size_t long_n = n < 126 ? 0 : n < 65536 ? 2 : 8;

	if (long_n)
		h[1] = (unsigned char)(mask | (long_n == 2 ? 126 : 127));
	for (size_t i = 0; i < long_n; i++)
		h[2 + i] = (unsigned char)((uint64_t)n >> 8 * (long_n - 1 - i));
	add(to, h, 2 + long_n);
}

static void say_frame(struct client *c, unsigned first, const char *p, size_t n)
{
	uint64_t key = sim_rand_u64(&server.sim.rand);
	struct bytes frame = {NULL, 0, 0};

	add_head(&frame, first, 0x80, n);
	add(&frame, &key, 4);
	add(&frame, p, n);
	for (size_t i = 0; i < n; i++)
		frame.p[frame.n - n + i] ^= ((const char *)&key)[i % 4];
	sim_peer_say(&c->peer, frame.p, frame.n);
	free(frame.p);
}

static void expect_frame(struct client *c, unsigned first, const char *p, size_t n)
{
	add_head(&c->want, first, 0, n);
	add(&c->want, p, n);
}

static void maybe_ping(struct client *c)
{
	static const char text[] =
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmn"
		"opqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	size_t n = sim_rand_size(&server.sim.rand, 126) - 1;

	if (!sim_rand_chance(&server.sim.rand, 200))
		return;
	say_frame(c, 0x89, text, n);
	expect_frame(c, 0x8a, text, n);
}

static void say_message(struct client *c)
{
	struct sim_rand *r = &server.sim.rand;
	size_t n = sim_rand_size(r, MESSAGE_BYTES_MAX) - 1;
	unsigned op = sim_rand_chance(r, 500) ? 1 : 2;
	unsigned first = op;
	char *p = malloc(n + 1);
	size_t at = 0;

	if (!p)
		abort();
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(op == 1 ? 'a' + i % 26 : i * 7);
	while (sim_rand_chance(r, 400)) {
		size_t some = n - at ? sim_rand_size(r, n - at) : 0;

		say_frame(c, first, p + at, some);
		first = 0;
		at += some;
		maybe_ping(c);
	}
	say_frame(c, 0x80 | first, p + at, n - at);
	expect_frame(c, 0x80 | op, p, n);
	free(p);
	maybe_ping(c);
}

static void hear(void *arg, const char *p, size_t n)
{
	struct client *c = arg;

	add(&c->got, p, n);
}

static void begin_client(struct client *c)
{
	*c = (struct client){.gone = false};
	sim_peer_open(&c->peer, &server.sim, hear, c);
	sim_peer_draw(&c->peer);
	sim_peer_sayf(&c->peer, "GET /ws HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\n"
	                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	for (uint64_t i = sim_rand_between(&server.sim.rand, 0, MESSAGES_MAX); i; i--)
		say_message(c);
	say_frame(c, 0x88, "\x03\xe8", 2);
	expect_frame(c, 0x88, "\x03\xe8", 2);
}

/* ---- A run ------------------------------------------------------------------------------------ */

static void begin(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg};
	struct sim_options drawn;
	tako_router *router;
	struct sim_rand r;

	opened = closed = 0;
	sim_rand_init(&r, ~seed);
	sim_options_draw(&drawn, &r);
	sim_server_begin(&server, seed, &drawn);
	router = tako_router_new();
	tako_get(router, "/ws", accept_it, NULL);
	sim_server_start(&server, router, &cfg, NULL, NULL);
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

		sim_peer_turn(&c->peer);
		if (!c->gone && sim_ended(c->peer.link) && !sim_readable(c->peer.link)) {
			sim_close(c->peer.link);
			c->gone = true;
		}
		any |= !c->gone;
	}
	sim_server_step(&server);
	return any;
}

static void run_out(void)
{
	unsigned turns = 0;

	while (turn())
		assert_true(++turns < TURNS_MAX);
}

static void end(void)
{
	sim_server_end(&server);
	for (size_t i = 0; i < CLIENTS; i++) {
		sim_peer_free(&clients[i].peer);
		free(clients[i].want.p);
		free(clients[i].got.p);
	}
	assert_int_equal(opened, closed);
}

/* What came behind the head of a 101; NULL if it was another, or none. */
static const char *frames(const struct client *c, size_t *ret_n)
{
	static const char ok[] = "HTTP/1.1 101 ";
	const char *at = c->got.n > sizeof ok ? memmem(c->got.p, c->got.n, "\r\n\r\n", 4) : NULL;

	if (!at || memcmp(c->got.p, ok, sizeof ok - 1) != 0)
		return NULL;
	*ret_n = c->got.n - (size_t)(at + 4 - c->got.p);
	return at + 4;
}

static void echoes(uint64_t seed)
{
	begin(seed);
	run_out();
	for (size_t i = 0; i < CLIENTS; i++) {
		size_t n = 0;
		const char *p = frames(&clients[i], &n);

		assert_non_null(p);
		assert_int_equal(n, clients[i].want.n);
		assert_memory_equal(p, clients[i].want.p, n);
	}
	assert_int_equal(opened, CLIENTS);
	end();
}

/* The wanted bytes as far as they came, and then maybe a Close with 1011. */
static void assert_cut_short(const struct client *c)
{
	static const char sorry[] = "\x88\x02\x03\xf3";
	size_t same = 0;
	size_t n = 0;
	const char *p = frames(c, &n);

	if (!p)
		return;
	while (same < n && same < c->want.n && p[same] == c->want.p[same])
		same++;
	/* A wanted Close begins alike. */
	if (same < n && same >= 3 && memcmp(p + same - 3, sorry, 3) == 0)
		same -= 3;
	else if (same < n && same >= 1 && p[same - 1] == sorry[0])
		same -= 1;
	assert_true(same == n || (n - same == 4 && memcmp(p + same, sorry, 4) == 0));
}

static void without_memory(uint64_t seed)
{
	begin(seed);
	sim_alloc_fail(sim_rand_size(&server.sim.rand, 200),
	               sim_rand_chance(&server.sim.rand, 100));
	for (unsigned i = 0; i < TURNS_MAX && turn(); i++) {
		/* For good is for a while: a server that never gets any cannot accept either. */
		if (i == 2000)
			(void)sim_alloc_calm();
	}
	(void)sim_alloc_calm();
	for (size_t i = 0; i < CLIENTS; i++) {
		if (!clients[i].gone)
			sim_close(clients[i].peer.link);
		assert_cut_short(&clients[i]);
	}
	end();
}

/* A server that stops at any moment waits for its WebSockets' closes; nobody hangs. */
static void stopped(uint64_t seed)
{
	begin(seed);
	for (size_t i = sim_rand_size(&server.sim.rand, 500); i; i--)
		(void)turn();
	tako_server_stop(server.srv);
	for (unsigned i = 0; i < TURNS_MAX && !server.over; i++)
		(void)turn();
	assert_true(server.over);
	for (size_t i = 0; i < CLIENTS; i++) {
		if (!clients[i].gone)
			sim_close(clients[i].peer.link);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(echoes),
		SIM_TEST(without_memory),
		SIM_TEST(stopped),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

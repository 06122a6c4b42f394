/* SPDX-License-Identifier: MIT
 *
 * WebSockets in the simulated world, whatever they are carried by: clients that say messages of any size,
 * whole and in frames, compressed or not, with pings between them, cut up and delayed by chance.  What must
 * come back follows from what was said, to the byte; without memory it may end early, and nothing else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tako/ws.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"
#include "sim/sim_ws.h"

enum { SOCKETS_MAX = 12, MESSAGES_MAX = 5, MESSAGE_BYTES_MAX = 70000, PACKED_BYTES_MAX = 10000 };

static struct sim_scene scene;
static struct sim_ws sockets[SOCKETS_MAX];
static struct {
	unsigned client;
	unsigned request;
} asked[SOCKETS_MAX];
static unsigned socket_count;
static struct sim_ws_deflate agreed; /* client_bits 0: nothing is compressed */
static int wanted_bits;              /* that the client asks the server's window to have */
static tako_ws_deflate deflate;
static tako_ws_config config;
static unsigned opened;
static unsigned closed;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

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
	return tako_ws_accept(req, res, &config, NULL);
}

static void add_routes(tako_router *r)
{
	tako_get(r, "/ws", accept_it, NULL);
}

/* ---- What is agreed on ------------------------------------------------------------------- */

static void draw_deflate(uint64_t seed)
{
	struct sim_rand r = {seed ^ 0xdef1a7e};

	agreed.client_bits = (int)sim_rand_between(&r, 9, 15);
	agreed.server_bits = (int)sim_rand_between(&r, 9, 15);
	agreed.client_keeps = sim_rand_chance(&r, 500);
	agreed.server_keeps = sim_rand_chance(&r, 500);
	deflate = (tako_ws_deflate){.size = sizeof deflate,
	                            .memory_bytes = TAKO_OFF,
	                            .level = (uint32_t)sim_rand_between(&r, 1, 9),
	                            .server_window_bits = (uint32_t)agreed.server_bits,
	                            .client_window_bits = (uint32_t)agreed.client_bits,
	                            .server_no_context = !agreed.server_keeps,
	                            .client_no_context = !agreed.client_keeps,
	                            .threshold_bytes = sim_rand_chance(&r, 500) ? TAKO_OFF : 0};
	config.deflate = &deflate;
	wanted_bits = (int)sim_rand_between(&r, 9, 15);
	if (wanted_bits < agreed.server_bits)
		agreed.server_bits = wanted_bits;
}

static bool has(const char *list, const char *parameter)
{
	return strstr(list, parameter) != NULL;
}

/* RFC 7692 section 7.1: the answer says what we took for agreed on. */
static void check_answer(const struct sim_reply *r)
{
	char list[256] = "";
	const char *at;

	(void)sim_reply_field(r, "Sec-WebSocket-Extensions", list, sizeof list);
	assert_int_equal(has(list, "permessage-deflate"), agreed.client_bits > 0);
	if (!agreed.client_bits)
		return;
	assert_int_equal(has(list, "server_no_context_takeover"), !agreed.server_keeps);
	assert_int_equal(has(list, "client_no_context_takeover"), !agreed.client_keeps);
	at = strstr(list, "server_max_window_bits=");
	assert_int_equal(at ? atoi(at + strlen("server_max_window_bits=")) : 15,
	                 agreed.server_bits);
	at = strstr(list, "client_max_window_bits=");
	assert_int_equal(at ? atoi(at + strlen("client_max_window_bits=")) : 15,
	                 agreed.client_bits);
}

/* ---- The cast -------------------------------------------------------------------------------- */

static void begin(uint64_t seed, bool packed)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .linger_timeout_ms = 600000,
	                                       .write_timeout_ms = 600000,
	                                       .min_rate_bytes = TAKO_OFF};

	socket_count = 0;
	opened = closed = 0;
	config = (tako_ws_config){.size = sizeof config,
	                          .on_open = on_open,
	                          .on_message = on_message,
	                          .on_close = on_close,
	                          .ping_interval_ms = TAKO_OFF,
	                          .max_unsent_bytes = TAKO_OFF64};
	agreed = (struct sim_ws_deflate){.client_bits = 0};
	if (packed)
		draw_deflate(seed);
	scene = (struct sim_scene){.routes = add_routes};
	sim_scene_begin(&scene, seed, NULL, &cfg);
}

static void add_field(struct sim_ask *a, const char *name, const char *value)
{
	a->fields[a->field_count].name = name;
	snprintf(a->fields[a->field_count++].value, SIM_VALUE_BYTES, "%s", value);
}

static void ask(struct sim_script *c)
{
	struct sim_ask a = {.method = "GET", .path = "/ws", .protocol = "websocket"};
	struct sim_ws *ws = &sockets[socket_count];
	char offer[SIM_VALUE_BYTES];

	sim_ws_init(ws, rand_of(), &agreed);
	for (uint64_t i = sim_rand_between(rand_of(), 0, MESSAGES_MAX); i; i--)
		sim_ws_message(ws, agreed.client_bits ? PACKED_BYTES_MAX : MESSAGE_BYTES_MAX);
	sim_ws_close(ws, 1000);
	a.body = ws->said;
	a.body_n = ws->said_n + 1;
	a.stops_at = ws->said_n;
	add_field(&a, "sec-websocket-version", "13");
	/* RFC 8441 section 5: not over HTTP/2. */
	if (!c->h2)
		add_field(&a, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
	snprintf(offer, sizeof offer,
	         "permessage-deflate; client_max_window_bits; server_max_window_bits=%d",
	         wanted_bits);
	if (agreed.client_bits)
		add_field(&a, "sec-websocket-extensions", offer);
	asked[socket_count].client = (unsigned)(c - scene.clients);
	asked[socket_count++].request = c->count;
	sim_script_ask(c, &a, (struct sim_expect){.status = 101, .any_body = true});
}

/* Over HTTP/2 several of them, among others. */
static void add_clients(void)
{
	for (uint64_t i = sim_rand_size(rand_of(), 2); i; i--) {
		struct sim_script *c = sim_scene_client(&scene);

		sim_script_draw(c);
		if (sim_rand_chance(rand_of(), 300))
			sim_script_add(c);
		for (uint64_t k = c->h2 ? sim_rand_size(rand_of(), 3) : 1; k; k--)
			ask(c);
		if (c->h2)
			sim_script_add(c);
	}
}

static void end(void)
{
	sim_scene_end(&scene);
	for (unsigned i = 0; i < socket_count; i++)
		sim_ws_free(&sockets[i]);
	assert_int_equal(opened, closed);
}

static const struct sim_reply *heard(unsigned i)
{
	const struct sim_reply *r = sim_script_heard(&scene.clients[asked[i].client],
	                                             asked[i].request);

	return r && (r->status == 101 || r->status == 200) ? r : NULL;
}

/* ---- Tests --------------------------------------------------------------------------------------- */

static void echo_all(uint64_t seed, bool packed)
{
	begin(seed, packed);
	add_clients();
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++)
		sim_script_check(&scene.clients[i], true);
	for (unsigned i = 0; i < socket_count; i++) {
		const struct sim_reply *r = heard(i);
		unsigned code;

		assert_non_null(r);
		check_answer(r);
		assert_int_equal(sim_ws_check(&sockets[i], r->body, r->body_n, &code),
		                 sockets[i].want_n);
		assert_int_equal(code, 0);
	}
	assert_int_equal(opened, socket_count);
	end();
}

static void echoes(uint64_t seed)
{
	echo_all(seed, false);
}

static void echoes_packed(uint64_t seed)
{
	echo_all(seed, true);
}

/* What was due as far as it came, and then maybe a Close with this code. */
static void check_cut_short(unsigned code)
{
	for (unsigned i = 0; i < socket_count; i++) {
		struct sim_script *c = &scene.clients[asked[i].client];
		const struct sim_reply *r = heard(i);
		unsigned got;

		/* Over HTTP/1 what was said to one that was refused is taken for requests. */
		if (r || c->h2)
			assert_null(sim_script_bad(c));
		if (!r)
			continue;
		(void)sim_ws_check(&sockets[i], r->body, r->body_n, &got);
		assert_true(got == 0 || got == code);
	}
}

static void without_memory(uint64_t seed)
{
	begin(seed, seed % 2);
	add_clients();
	sim_alloc_fail(sim_rand_size(rand_of(), 200), sim_rand_chance(rand_of(), 100));
	/* For good is for a while: a server that never gets any cannot accept either. */
	for (unsigned i = 0; i < 1000; i++)
		sim_scene_turn(&scene);
	(void)sim_alloc_calm();
	assert_true(sim_scene_play(&scene));
	check_cut_short(1011);
	end();
}

/* A server that stops at any moment waits for its WebSockets' closes; nobody hangs. */
static void stopped(uint64_t seed)
{
	begin(seed, seed % 2);
	add_clients();
	for (size_t i = sim_rand_size(rand_of(), 500); i; i--)
		sim_scene_turn(&scene);
	sim_server_stop(&scene.server);
	assert_true(sim_scene_run_out(&scene));
	check_cut_short(1001);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(echoes),
		SIM_TEST(echoes_packed),
		SIM_TEST(without_memory),
		SIM_TEST(stopped),
		SIM_TEST_OVER(echoes, h2c),
		SIM_TEST_OVER(echoes_packed, h2c),
		SIM_TEST_OVER(without_memory, h2c),
		SIM_TEST_OVER(stopped, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER(echoes_packed, tls),
		SIM_TEST_OVER(echoes_packed, h2),
		SIM_TEST_OVER(without_memory, tls),
		SIM_TEST_OVER(without_memory, h2),
		SIM_TEST_OVER(stopped, h2),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

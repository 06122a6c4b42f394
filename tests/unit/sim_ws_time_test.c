/* SPDX-License-Identifier: MIT
 *
 * WebSockets and the clock, whatever they are carried by: pings, pongs and every limit on a peer's time are
 * kept to the millisecond, neither early nor late.  The network is calm and instant here, so that time is
 * the limits' alone; the limits and the moments are by chance.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <tako/ws.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"
#include "sim/sim_ws_client.h"

/* A timer fires at the first whole millisecond that is past it, and what it writes arrives in the turns
 * behind it, which take no time. */
#define LATE_NS (1 * SIM_MS)

enum { BLOCK_BYTES = 30000, REPEATS_MAX = 6, SETTLE_TURNS = 4 };

static struct sim_scene scene;
static struct sim_ws_client client;
static tako_ws_config config;
static tako_ws *socket_of; /* between open and close */
static unsigned closes;
static int close_code;
static unsigned messages;
static unsigned pongs;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static uint64_t now(void)
{
	return sim_now(&scene.server.sim);
}

/* ---- The server ------------------------------------------------------------------------- */

static void on_open(tako_ws *ws, void *arg)
{
	(void)arg;
	socket_of = ws;
}

/* A first byte says what is wanted: a close, a block that does not fit, an answer. */
static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)kind, (void)arg;
	messages++;
	switch (msg.p[0]) {
	case 'c':
		assert_int_equal(tako_ws_close(ws, 4000, TAKO_STR("")), 0);
		break;
	case 'b':
		assert_true(tako_ws_send(ws, TAKO_WS_BINARY,
		                         (tako_str){sim_pattern(1), BLOCK_BYTES}) >= 0);
		break;
	case 'a':
		assert_true(tako_ws_send(ws, TAKO_WS_TEXT, TAKO_STR("answer")) >= 0);
		break;
	default:
		break;
	}
}

static void on_pong(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)payload, (void)arg;
	pongs++;
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	(void)arg;
	assert_ptr_equal(ws, socket_of);
	socket_of = NULL;
	closes++;
	close_code = code;
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

/* ---- Time ---------------------------------------------------------------------------------- */

/* 5 ms to a minute, small ones as likely as large ones. */
static uint32_t any_ms(void)
{
	return (uint32_t)sim_rand_size(rand_of(), 60000) + 4;
}

/* What the client says to what it hears is said before time goes on. */
static void turn(uint64_t until)
{
	scene.server.sim.alarm_ns = until;
	sim_server_step(&scene.server);
	sim_script_turn(client.script);
	if (sim_ws_client_turn(&client))
		sim_script_turn(client.script);
}

/* Turns until something is true; the moment. */
static uint64_t await(bool (*there)(void))
{
	for (unsigned i = 0; i < SIM_TURNS_MAX && !there(); i++)
		turn(SIM_NEVER);
	assert_true(there());
	return now();
}

/* False: the server has let go before that. */
static bool pass(uint64_t ns)
{
	uint64_t until = now() + ns;

	while (now() < until && !closes)
		turn(until);
	return now() >= until;
}

static void assert_after(uint64_t since, uint64_t limit_ms)
{
	uint64_t passed = now() - since;

	if (passed < limit_ms * SIM_MS || passed > limit_ms * SIM_MS + LATE_NS)
		fail_msg("after %llu ns, for a limit of %llu ms", (unsigned long long)passed,
		         (unsigned long long)limit_ms);
}

static bool is_open(void)
{
	return client.open;
}

static bool is_closed(void)
{
	return closes > 0;
}

static bool is_pinged(void)
{
	return client.pings > 0;
}

static bool is_told(void)
{
	return client.code > 0;
}

/* ---- The cast -------------------------------------------------------------------------------- */

static const struct sim_options narrow = {.net = {.send_bytes = 1000, .window_bytes = 1000}};

static void begin(uint64_t seed, const struct sim_options *options)
{
	static const struct sim_options calm;
	static const tako_server_config cfg = {
		.size = sizeof cfg, .write_timeout_ms = TAKO_OFF, .min_rate_bytes = TAKO_OFF};

	closes = messages = pongs = 0;
	close_code = 0;
	socket_of = NULL;
	config = (tako_ws_config){.size = sizeof config,
	                          .on_open = on_open,
	                          .on_message = on_message,
	                          .on_pong = on_pong,
	                          .on_close = on_close,
	                          .ping_interval_ms = TAKO_OFF,
	                          .close_timeout_ms = TAKO_OFF};
	client = (struct sim_ws_client){.open = false};
	scene = (struct sim_scene){.routes = add_routes};
	sim_scene_begin(&scene, seed, options ? options : &calm, &cfg);
}

/* The handshake; the moment. */
static uint64_t shake(void)
{
	sim_ws_client_ask(&client, sim_scene_client(&scene), "/ws");
	sim_script_turn(client.script);
	return await(is_open);
}

static void end(void)
{
	sim_scene_end(&scene);
	assert_int_equal(closes, 1);
}

static uint64_t timeouts(void)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(scene.server.srv, &stats), 0);
	return stats.timeouts;
}

static void say(const char *text)
{
	sim_ws_client_say(&client, SIM_WS_FIN | SIM_WS_TEXT, text, 1);
	sim_script_turn(client.script);
	turn(now());
}

/* Any sign of life. */
static void say_anything(void)
{
	static const unsigned kinds[] = {SIM_WS_TEXT, SIM_WS_BINARY, SIM_WS_PING, SIM_WS_PONG};

	sim_ws_client_say(&client, SIM_WS_FIN | kinds[sim_rand_below(rand_of(), 4)], "x", 1);
	sim_script_turn(client.script);
	turn(now());
}

/* ---- Pings ------------------------------------------------------------------------------------ */

/* Who says nothing is asked, and then given up. */
static void silence(uint64_t seed)
{
	uint64_t since;

	begin(seed, NULL);
	config.ping_interval_ms = any_ms();
	config.pong_timeout_ms = any_ms();
	client.mute = true;
	since = shake();
	await(is_pinged);
	assert_after(since, config.ping_interval_ms);
	since = now();
	await(is_closed);
	assert_after(since, config.pong_timeout_ms);
	assert_int_equal(close_code, 1006);
	assert_int_equal(client.pings, 1);
	assert_int_equal(timeouts(), 1);
	end();
}

/* Who answers is asked again and again, each time when nothing has come for so long; whatever comes puts it
 * off. */
static void signs_of_life(uint64_t seed)
{
	uint64_t heard;
	unsigned seen = 0;

	begin(seed, NULL);
	config.ping_interval_ms = any_ms();
	config.pong_timeout_ms = 1;
	heard = shake();
	for (uint64_t i = sim_rand_size(rand_of(), REPEATS_MAX); i; i--) {
		uint64_t gap = sim_rand_below(rand_of(), 3 * config.ping_interval_ms) * SIM_MS;
		uint64_t until = now() + gap;

		/* What is due just then arrives in the turns behind it. */
		for (unsigned after = SETTLE_TURNS; now() < until || after;
		     after -= now() >= until) {
			turn(until > now() ? until : now());
			if (client.pings == seen)
				continue;
			assert_int_equal(client.pings, ++seen);
			assert_after(heard, config.ping_interval_ms);
			heard = now();
		}
		assert_true(now() - heard <= config.ping_interval_ms * SIM_MS + LATE_NS);
		say_anything();
		heard = now();
	}
	assert_int_equal(closes, 0);
	assert_true(pongs >= seen);
	end();
	assert_int_equal(close_code, 1006);
}

/* Who has not read what lies before the ping has not heard it: how long that may take is not for this limit
 * to say.  When he has, he has to answer in time. */
static void behind_a_backlog(uint64_t seed)
{
	uint64_t since;

	begin(seed, &narrow);
	config.ping_interval_ms = any_ms();
	config.pong_timeout_ms = any_ms();
	config.max_unsent_bytes = TAKO_OFF64;
	client.mute = sim_rand_chance(rand_of(), 500);
	(void)shake();
	client.script->peer.deaf = true;
	say("b");
	assert_int_equal(messages, 1);
	assert_true(pass((uint64_t)config.ping_interval_ms * SIM_MS +
	                 3 * (uint64_t)config.pong_timeout_ms * SIM_MS));
	assert_int_equal(client.pings, 0);
	client.script->peer.deaf = false;
	sim_script_turn(client.script);
	since = await(is_pinged);
	if (client.mute) {
		/* It was put off, last, by at most so much before. */
		await(is_closed);
		assert_true(now() - since <= config.pong_timeout_ms * SIM_MS + LATE_NS);
		assert_int_equal(close_code, 1006);
	} else {
		turn(now());
		assert_int_equal(closes, 0);
		assert_int_equal(pongs, 1);
	}
	end();
}

/* A few times within another limit, or never. */
static void ping_maybe(uint32_t limit_ms)
{
	if (sim_rand_chance(rand_of(), 500))
		config.ping_interval_ms = limit_ms / (uint32_t)sim_rand_size(rand_of(), 20) + 1;
}

/* ---- Limits ------------------------------------------------------------------------------------- */

/* Messages count, in or out, and nothing else does. */
static void idle(uint64_t seed)
{
	uint64_t spoke;

	begin(seed, NULL);
	config.idle_timeout_ms = any_ms();
	ping_maybe(config.idle_timeout_ms);
	spoke = shake();
	for (uint64_t i = sim_rand_size(rand_of(), REPEATS_MAX) - 1; i; i--) {
		assert_true(pass(sim_rand_below(rand_of(), config.idle_timeout_ms) * SIM_MS));
		say(sim_rand_chance(rand_of(), 500) ? "a" : "x");
		spoke = now();
	}
	if (pass(sim_rand_below(rand_of(), config.idle_timeout_ms) * SIM_MS))
		sim_ws_client_say(&client, SIM_WS_FIN | SIM_WS_PING, "", 0);
	await(is_told);
	assert_after(spoke, config.idle_timeout_ms);
	assert_int_equal(client.code, 1001);
	await(is_closed);
	assert_int_equal(close_code, 1001);
	end();
}

/* However busy it is. */
static void lifetime(uint64_t seed)
{
	uint64_t since;
	uint64_t gap;

	begin(seed, NULL);
	config.max_lifetime_ms = any_ms();
	ping_maybe(config.max_lifetime_ms);
	config.idle_timeout_ms = config.max_lifetime_ms;
	since = shake();
	gap = config.max_lifetime_ms * SIM_MS / sim_rand_between(rand_of(), 2, 10) + 1;
	while (!client.code && now() + gap < since + config.max_lifetime_ms * SIM_MS) {
		assert_true(pass(gap));
		say_anything();
	}
	await(is_told);
	assert_after(since, config.max_lifetime_ms);
	assert_int_equal(client.code, 1001);
	await(is_closed);
	assert_int_equal(close_code, 1001);
	end();
}

/* Our Close is to be answered in time; what else comes is no answer. */
static void close_timeout(uint64_t seed)
{
	uint64_t since;
	uint64_t gap;

	begin(seed, NULL);
	config.close_timeout_ms = any_ms();
	ping_maybe(config.close_timeout_ms);
	client.rude = true;
	(void)shake();
	say("c");
	since = await(is_told);
	assert_int_equal(client.code, 4000);
	gap = config.close_timeout_ms * SIM_MS / sim_rand_between(rand_of(), 2, 10) + 1;
	for (uint64_t i = sim_rand_below(rand_of(), 10); i && pass(gap); i--)
		say_anything();
	if (!closes && sim_rand_chance(rand_of(), 500)) {
		sim_ws_client_close(&client, 4000);
		sim_script_turn(client.script);
		turn(now());
		assert_int_equal(close_code, 4000);
		assert_true(now() - since <= config.close_timeout_ms * SIM_MS + LATE_NS);
	} else {
		await(is_closed);
		assert_after(since, config.close_timeout_ms);
		assert_int_equal(close_code, 1006);
		assert_int_equal(timeouts(), 1);
	}
	assert_int_equal(messages, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(silence),
		SIM_TEST(signs_of_life),
		SIM_TEST(behind_a_backlog),
		SIM_TEST(idle),
		SIM_TEST(lifetime),
		SIM_TEST(close_timeout),
		SIM_TEST_OVER(silence, h2c),
		SIM_TEST_OVER(signs_of_life, h2c),
		SIM_TEST_OVER(behind_a_backlog, h2c),
		SIM_TEST_OVER(idle, h2c),
		SIM_TEST_OVER(lifetime, h2c),
		SIM_TEST_OVER(close_timeout, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER(silence, tls),
		SIM_TEST_OVER(signs_of_life, h2),
		SIM_TEST_OVER(close_timeout, h2),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

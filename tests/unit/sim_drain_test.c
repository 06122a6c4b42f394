/* SPDX-License-Identifier: MIT
 *
 * The end of a server, whatever it speaks, at any moment of its clients' conversations: idle
 * connections go at once, answers that are due are given, whole, and say that they are the last,
 * and what hangs is cut when its time is up.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

static struct sim_scene scene;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static uint64_t now(void)
{
	return sim_now(&scene.server.sim);
}

static void turns(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		sim_scene_turn(&scene);
}

/* To the end of the server. */
static void run_out(void)
{
	assert_true(sim_scene_run_out(&scene));
}

static void allow_last(struct sim_script *c)
{
	for (unsigned i = 0; i + 1 < c->http.reply_count; i++)
		assert_false(c->http.replies[i].close);
	if (c->http.reply_count) {
		struct sim_expect *e = &c->expect[c->http.reply_count - 1];
		struct sim_reply *r = &c->http.replies[c->http.reply_count - 1];

		e->close = r->close;
		r->keep_alive = e->old && !e->close;
	}
}

/* What was asked for is answered, but for what the last GOAWAY says was not looked at; and who had
 * not left by himself was told in two steps (RFC 9113 section 6.8). */
static void check_streams(const struct sim_h2 *h, bool left)
{
	for (unsigned i = 0; i < h->opened; i++)
		assert_true(h->streams[i].complete || (h->last && h->streams[i].id > h->last_id));
	if (!left)
		assert_true(h->noticed && h->last);
}

/* The answers as they were due, until one that says that it is the last. */
static void check_cut_short(struct sim_script *c)
{
	if (!c->h2)
		allow_last(c);
	sim_script_check(c, false);
	assert_true(c->told_end);
	/* One that had not connected was refused; one that was talking on when its server had said
	 * its last word may have been told so by a reset, which takes what he has not read. */
	if (c->peer.link->client_reset)
		return;
	assert_false(sim_http1_partial(&c->http));
	if (c->h2)
		check_streams(c->h2, c->leaves);
}

/* ---- In time ------------------------------------------------------------------------------ */

/* Everybody is in the middle of something; nobody hangs.  A clean drain: no answer is cut, and the
 * server waits for nobody who has nothing to say. */
static void clean(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .linger_timeout_ms = 600000,
	                                       .drain_timeout_ms = 600000,
	                                       .write_timeout_ms = 600000,
	                                       .min_rate_bytes = TAKO_OFF};

	sim_scene_begin(&scene, seed, NULL, &cfg);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 6); i; i--)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 6));
	turns(sim_rand_size(rand_of(), 500) - 1);
	tako_server_stop(scene.server.srv);
	run_out();
	assert_int_equal(scene.server.result, 0);
	for (unsigned i = 0; i < scene.count; i++)
		check_cut_short(&scene.clients[i]);
	sim_scene_end(&scene);
}

/* ---- Idle ------------------------------------------------------------------------------------ */

/* Gone in the same instant, without a word; also those that never said one. */
static void idle(uint64_t seed)
{
	static const struct sim_options calm;
	uint64_t since;

	sim_scene_begin(&scene, seed, &calm, NULL);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 10); i; i--) {
		struct sim_script *c = sim_scene_client(&scene);

		if (sim_rand_chance(rand_of(), 500))
			sim_script_get(c, "/text/1",
			               (struct sim_expect){.status = 200, .text = true, .key = 1});
	}
	sim_scene_pass(&scene, sim_rand_below(rand_of(), 1000) * SIM_MS);
	turns(5);
	tako_server_stop(scene.server.srv);
	since = now();
	run_out();
	assert_int_equal(now(), since);
	assert_int_equal(scene.server.result, 0);
	for (unsigned i = 0; i < scene.count; i++) {
		assert_true(scene.clients[i].told_end);
		assert_false(scene.clients[i].peer.link->client_reset);
		assert_int_equal(sim_script_answered(&scene.clients[i]), scene.clients[i].count);
		sim_script_check(&scene.clients[i], false);
	}
	sim_scene_end(&scene);
}

/* Nor is a connection idle whose last answer is still on its way: a client that asks on meanwhile
 * must not lose it to a reset. */
static void in_flight(uint64_t seed)
{
	static const struct sim_options slow = {
		.net = {.delay_ns_max = 1000000, .piece_bytes_max = 1000, .window_bytes = 5000}};
	struct sim_script *c;
	uint64_t already;

	sim_scene_begin(&scene, seed, &slow, NULL);
	c = sim_scene_client(&scene);
	sim_script_get(c, "/length/100000",
	               (struct sim_expect){.status = 200, .key = 100000, .body_n = 100000});
	assert_true(sim_scene_shake(&scene));
	already = c->peer.link->down.total;
	for (unsigned i = 0; i < SIM_TURNS_MAX && c->peer.link->down.total < already + 500; i++)
		sim_scene_turn(&scene);
	turns(sim_rand_below(rand_of(), 20));
	tako_server_stop(scene.server.srv);
	turns(2);
	sim_script_get(c, "/text/1", (struct sim_expect){.status = 200, .text = true, .key = 1});
	run_out();
	assert_int_equal(scene.server.result, 0);
	assert_non_null(sim_script_reply(c, 0));
	if (!c->h2)
		assert_int_equal(sim_script_answered(c), 1);
	check_cut_short(c);
	sim_scene_end(&scene);
}

/* A request that has arrived and was not looked at when the stop came is answered, as is one on a
 * connection that was not accepted yet. */
static void last_moment(uint64_t seed)
{
	struct sim_options calm = {.skip_permille = 1000};
	struct sim_script *c;
	bool connected = seed % 2;

	sim_scene_begin(&scene, seed, &calm, NULL);
	if (connected)
		scene.server.sim.options.skip_permille = 0;
	c = sim_scene_client(&scene);
	sim_scene_turn(&scene);
	scene.server.sim.options.skip_permille = 1000;
	sim_script_get(c, "/text/1", (struct sim_expect){.status = 200, .text = true, .key = 1});
	/* The request does not ask for the end of the connection; the server does. */
	c->expect[0].close = !c->h2;
	turns(4);
	assert_int_equal(c->peer.link->up.arrived, c->peer.out_n);
	assert_int_equal(c->peer.link->accepted, connected);
	tako_server_stop(scene.server.srv);
	scene.server.sim.options.skip_permille = 0;
	run_out();
	assert_int_equal(scene.server.result, 0);
	sim_script_check(c, true);
	assert_true(sim_script_ended(c));
	sim_scene_end(&scene);
}

/* A connection that closes for reasons of its own in the turn of the stop is left alone: its
 * descriptor may be another's.  Nor is a listener resumed that closes, when those who leave make
 * room below the ceiling. */
static void closing(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .max_connections = 5};
	struct sim_options slow = {.close_turns_max = 20};

	sim_scene_begin(&scene, seed, &slow, &cfg);
	for (unsigned i = 0; i < 5; i++)
		sim_scene_client(&scene);
	turns(3);
	for (unsigned i = 0; i < 5; i++)
		sim_reset(scene.clients[i].peer.link);
	turns(sim_rand_below(rand_of(), 5));
	tako_server_stop(scene.server.srv);
	run_out();
	assert_int_equal(scene.server.result, 0);
	sim_scene_end(&scene);
}

/* ---- Hanging ---------------------------------------------------------------------------------- */

static void hanging_client(void)
{
	const struct sim_ask endless = {.method = "POST",
	                                .path = "/whole",
	                                .body = sim_pattern(0),
	                                .body_n = 1000,
	                                .counted = true,
	                                .stops_at = 1};
	struct sim_script *c = sim_scene_client(&scene);

	switch (sim_rand_below(rand_of(), 3)) {
	case 0: /* a handler that does not answer */
		sim_script_get(c, "/hang", (struct sim_expect){.status = 200});
		break;
	case 1: /* a body that does not end */
		sim_script_ask(c, &endless, (struct sim_expect){.status = 200});
		break;
	default: /* a reader that will not read */
		sim_script_get(c, "/pieces/100000", (struct sim_expect){.status = 200});
	}
}

static void begin_hanging(uint64_t seed, uint32_t drain_ms)
{
	static const struct sim_options narrow = {
		.net = {.send_bytes = 1000, .window_bytes = 1000}};
	tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = drain_ms};

	cfg.body_timeout_ms = cfg.write_timeout_ms = cfg.min_rate_bytes = TAKO_OFF;
	sim_scene_begin(&scene, seed, &narrow, &cfg);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 5); i; i--)
		hanging_client();
	assert_true(sim_scene_shake(&scene));
	turns(10);
	for (unsigned i = 0; i < scene.count; i++)
		scene.clients[i].peer.deaf = true;
}

static void end_hanging(void)
{
	assert_int_equal(scene.server.result, TAKO_ETIMEDOUT);
	for (unsigned i = 0; i < scene.count; i++) {
		assert_int_equal(sim_script_answered(&scene.clients[i]), 0);
		assert_true(scene.clients[i].peer.link->server_closed);
	}
	sim_scene_end(&scene);
}

/* Not before drain_timeout_ms, and not after it. */
static void timeout(uint64_t seed)
{
	struct sim_rand r = {seed};
	uint32_t drain_ms = (uint32_t)sim_rand_size(&r, 100000);
	uint64_t since;

	begin_hanging(seed, drain_ms);
	tako_server_stop(scene.server.srv);
	since = now();
	while (!scene.server.over) {
		assert_true(now() - since <= (drain_ms + 1) * SIM_MS);
		sim_scene_turn(&scene);
	}
	assert_true(now() - since >= drain_ms * SIM_MS);
	end_hanging();
}

/* The second call does not wait. */
static void second_stop(uint64_t seed)
{
	uint64_t since;

	begin_hanging(seed, 600000);
	tako_server_stop(scene.server.srv);
	sim_scene_pass(&scene, sim_rand_below(rand_of(), 10000) * SIM_MS);
	assert_false(scene.server.over);
	tako_server_stop(scene.server.srv);
	since = now();
	for (unsigned i = 0; i < 20 && !scene.server.over; i++)
		sim_scene_turn(&scene);
	assert_true(scene.server.over);
	assert_true(now() - since <= SIM_MS);
	end_hanging();
}

/* Where the end of the connection is the end of the answer (HTTP/1.0), an answer that is cut must
 * not look whole. */
static void unframed(uint64_t seed)
{
	static const struct sim_options narrow = {
		.net = {.send_bytes = 1000, .window_bytes = 1000}};
	struct sim_script *c;

	sim_scene_begin(&scene, seed, &narrow, NULL);
	c = sim_scene_client(&scene);
	sim_script_get(c, "/pieces/30000", (struct sim_expect){.status = 200, .old = true});
	assert_true(sim_scene_shake(&scene));
	turns(sim_rand_below(rand_of(), 15) + 2);
	c->peer.deaf = true;
	turns(5);
	/* By its own limit on deaf readers, or by somebody's patience. */
	for (unsigned i = 0; i < 2 && seed % 2; i++)
		tako_server_stop(scene.server.srv);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !c->peer.link->server_closed; i++)
		sim_scene_turn(&scene);
	assert_true(c->peer.link->server_closed);
	tako_server_stop(scene.server.srv);
	c->peer.deaf = false;
	run_out();
	assert_true(c->told_end);
	assert_int_equal(c->http.reply_count, 0);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(clean),
		SIM_TEST(idle),
		SIM_TEST(in_flight),
		SIM_TEST(last_moment),
		SIM_TEST(closing),
		SIM_TEST(timeout),
		SIM_TEST(second_stop),
		SIM_TEST(unframed),
		SIM_TEST_OVER(clean, h2c),
		SIM_TEST_OVER(idle, h2c),
		SIM_TEST_OVER(in_flight, h2c),
		SIM_TEST_OVER(last_moment, h2c),
		SIM_TEST_OVER(closing, h2c),
		SIM_TEST_OVER(timeout, h2c),
		SIM_TEST_OVER(second_stop, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER_TLS(clean),
		SIM_TEST_OVER(in_flight, tls),
		SIM_TEST_OVER(timeout, h2),
		SIM_TEST_OVER(unframed, tls),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

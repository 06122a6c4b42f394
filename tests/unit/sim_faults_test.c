/* SPDX-License-Identifier: MIT
 *
 * Requests while everything goes wrong, whatever they are carried by: peers that leave, memory that is not there, accepts that
 * fail, files that shrink.  What did arrive is right as far as it goes, nothing else is taken
 * for an answer, nothing leaks, and who comes afterwards is served.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/server.h"
#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

static struct sim_scene scene;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

/* Is the server still one? */
static void check_health(void)
{
	struct sim_script *c = sim_scene_client(&scene);

	sim_script_add(c);
	sim_script_add_last(c);
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
}

/* ---- Peers that leave ------------------------------------------------------------------ */

static void leave(struct sim_script *c)
{
	if (sim_rand_chance(rand_of(), 400))
		sim_reset(c->peer.link);
	else if (sim_rand_chance(rand_of(), 500))
		sim_close(c->peer.link);
	/* In the middle of a request this would be answered 400. */
	else if (sim_script_silent(c))
		sim_script_shut(c);
}

/* Some of what was asked for is not wanted any more. */
static void give_up(struct sim_script *c)
{
	static const uint32_t codes[] = {NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR};

	for (unsigned i = 0; c->h2 && i < c->count; i++) {
		if (sim_rand_chance(rand_of(), 300))
			(void)sim_h2_give_up(c->h2, i, codes[sim_rand_below(rand_of(), 3)]);
	}
}

/* At any point, in any way: end hooks run once, and every figure adds up (sim_scene_end). */
static void departures(uint64_t seed)
{
	uint64_t turns;

	sim_scene_begin(&scene, seed, NULL, NULL);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 5); i; i--)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 5));
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++) {
		sim_scene_turn(&scene);
		if (sim_rand_chance(rand_of(), 100))
			give_up(&scene.clients[sim_rand_below(rand_of(), scene.count)]);
	}
	for (unsigned i = 0; i < scene.count; i++) {
		if (sim_rand_chance(rand_of(), 700))
			leave(&scene.clients[i]);
		else
			sim_scene_turn(&scene);
	}
	if (sim_rand_chance(rand_of(), 500))
		check_health();
	for (unsigned i = 0; i < scene.count; i++)
		sim_script_check(&scene.clients[i], false);
	sim_scene_end(&scene);
}

/* Half-closed is not gone: who has asked and then says that it will say no more is answered. */
static void half_closed(uint64_t seed)
{
	tako_server_config cfg = {.size = sizeof cfg, .linger_timeout_ms = 600000};
	struct sim_script *c;

	/* Also where the end comes long before what it ends can be looked at. */
	cfg.write_high_bytes = 4096;
	cfg.write_timeout_ms = cfg.min_rate_bytes = TAKO_OFF;
	sim_scene_begin(&scene, seed, NULL, &cfg);
	c = sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 8));
	assert_true(sim_scene_shake(&scene));
	c->peer.deaf = sim_rand_chance(rand_of(), 500);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !sim_script_silent(c); i++)
		sim_scene_turn(&scene);
	sim_script_shut(c);
	if (c->peer.deaf)
		sim_scene_pass(&scene, 100000 * SIM_MS);
	c->peer.deaf = false;
	assert_true(sim_scene_play(&scene));
	/* In TLS the end is bytes, and those that come behind the last answer reset it. */
	sim_script_check(c, !c->shell || !c->peer.link->client_reset);
	sim_scene_end(&scene);
}

/* Whoever neither says nor reads anything any more, at whatever point, is waited for only as long as
 * the limits on his time say: a few of them one after the other. */
static void frozen(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .linger_timeout_ms = 5000};
	uint64_t turns;

	sim_scene_begin(&scene, seed, NULL, &cfg);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 4); i; i--)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 5));
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++)
		sim_scene_turn(&scene);
	for (unsigned i = 0; i < scene.count; i++)
		scene.clients[i].peer.deaf = scene.clients[i].peer.mute = true;
	/* What the program owes is not the peer's. */
	scene.app.deferred_permille = 1000;
	for (unsigned i = 0; i < 30; i++)
		sim_scene_pass(&scene, 10000 * SIM_MS);
	for (unsigned i = 0; i < scene.count; i++)
		assert_true(scene.clients[i].peer.link->server_closed);
	sim_scene_end(&scene);
}

/* ---- Memory that is not there -------------------------------------------------------------- */

/* The answer that was due, or one that says that it could not be had. */
static void allow_failure(struct sim_reply *r, struct sim_expect *e)
{
	if (r->status == 500) {
		assert_true(e->head_only || r->body_n > 0);
		*e = (struct sim_expect){.status = 500, .close = r->close, .old = e->old};
		r->body_n = 0;
		r->keep_alive = e->old && !e->close;
		r->hint_count = 0;
		r->continue_count = 0;
		return;
	}
	/* Trailers may be lost where memory is (RFC 9110 section 6.5), and so may the connection
	 * afterwards. */
	e->trailer = e->trailer && r->trailers[0];
	e->close = r->close;
	r->keep_alive = e->old && !e->close;
}

static void check_answers(struct sim_script *c)
{
	assert_null(sim_script_bad(c));
	for (unsigned i = 0; i < c->count; i++) {
		struct sim_reply *r = sim_script_reply(c, i);

		if (r)
			allow_failure(r, &c->expect[i]);
	}
	sim_script_check(c, false);
	assert_true(sim_script_told(c));
}

static void allocations(uint64_t seed)
{
	uint64_t turns;

	sim_scene_begin(&scene, seed, NULL, NULL);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 4); i; i--)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 5));
	turns = sim_rand_size(rand_of(), 300) - 1;
	for (uint64_t i = 0; i < turns; i++)
		sim_scene_turn(&scene);
	sim_alloc_fail(sim_rand_size(rand_of(), 60), sim_rand_chance(rand_of(), 300));
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++)
		sim_scene_turn(&scene);
	sim_alloc_calm();
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++)
		check_answers(&scene.clients[i]);
	/* A handshake is most of what a run costs. */
	if (seed % 2)
		check_health();
	sim_scene_end(&scene);
}

/* The same by rote: each kind of answer, each allocation of it, alone or with all that follow. */
static void each_allocation(uint64_t seed)
{
	static const char *const paths[] = {"/lent/30000", "/pieces/30000", "/length/30000",
	                                    "/file/30000", "/defer/30000",  "/hint/30000"};
	static const struct sim_options narrow = {
		.net = {.send_bytes = 1000, .window_bytes = 1000}};
	size_t which = seed % (sizeof paths / sizeof *paths);
	struct sim_script *c;

	sim_scene_begin(&scene, seed, &narrow, NULL);
	c = sim_scene_client(&scene);
	sim_script_get(c, paths[which],
	               (struct sim_expect){.status = 200,
	                                   .key = 30000,
	                                   .body_n = which < 4 ? 30000 : 0,
	                                   .text = which >= 4,
	                                   .hint = which == 5});
	sim_alloc_fail(seed / (sizeof paths / sizeof *paths) / 2 + 1,
	               seed / (sizeof paths / sizeof *paths) % 2);
	assert_true(sim_scene_play(&scene));
	sim_alloc_calm();
	check_answers(c);
	check_health();
	sim_scene_end(&scene);
}

/* ---- Accepting --------------------------------------------------------------------------------- */

/* An accept that fails is tried again, later and later; who waits is served in the end, and whom
 * the loop cannot take is told. */
static void accept_errors(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .linger_timeout_ms = 600000};
	struct sim_options options;
	tako_stats stats = {.size = sizeof stats};
	unsigned served = 0;
	bool start_errors;

	sim_options_draw(&options, &(struct sim_rand){seed});
	options.accept_error_permille = 600;
	start_errors = seed % 2;
	options.start_error_permille = start_errors ? 300 : 0;
	sim_scene_begin(&scene, seed, &options, &cfg);
	scene.body_bytes_max = 3000;
	for (unsigned i = 0; i < 6; i++)
		sim_scene_talker(&scene, 1);
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++) {
		bool whole = sim_script_answered(&scene.clients[i]) == scene.clients[i].count;

		sim_script_check(&scene.clients[i], whole);
		served += whole;
	}
	assert_true(start_errors || served == scene.count);
	assert_int_equal(tako_server_stats(scene.server.srv, &stats), 0);
	assert_int_equal(stats.connections_accepted, scene.count);
	sim_scene_end(&scene);
}

static unsigned open_connections(void)
{
	return atomic_load(&scene.server.srv->conn_count);
}

/* Never more than the ceiling, and nobody forgotten below it. */
static void max_connections(uint64_t seed)
{
	tako_server_config cfg = {.size = sizeof cfg, .linger_timeout_ms = 600000};
	bool over = false;

	cfg.max_connections = (uint32_t)(seed % 5 + 1);
	sim_scene_begin(&scene, seed, NULL, &cfg);
	scene.body_bytes_max = 3000;
	for (unsigned i = 0; i < 7; i++)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 2));
	for (unsigned i = 0; i < SIM_TURNS_MAX && !over; i++) {
		sim_scene_turn(&scene);
		assert_true(open_connections() <= cfg.max_connections);
		over = true;
		for (unsigned k = 0; k < scene.count; k++)
			over = over && sim_script_over(&scene.clients[k]);
	}
	assert_true(over);
	for (unsigned i = 0; i < scene.count; i++)
		sim_script_check(&scene.clients[i], true);
	sim_scene_end(&scene);
}

/* ---- Files ----------------------------------------------------------------------------------------- */

/* A file that is shorter than its answer promised: the client must see that it is not whole. */
static void short_files(uint64_t seed)
{
	struct sim_ask a = {.method = "GET"};
	struct sim_script *c;

	sim_scene_begin(&scene, seed, NULL, NULL);
	c = sim_scene_client(&scene);
	sim_script_draw(c);
	snprintf(a.path, sizeof a.path, "/short/%zu", sim_rand_size(rand_of(), 100000));
	a.old = sim_rand_chance(rand_of(), 500);
	sim_script_ask(c, &a, (struct sim_expect){.status = 200});
	assert_true(sim_scene_play(&scene));
	assert_null(sim_script_bad(c));
	assert_int_equal(sim_script_answered(c), 0);
	assert_true(sim_script_told(c));
	if (seed % 2)
		check_health();
	sim_scene_end(&scene);
	assert_int_equal(scene.app.failed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(departures),
		SIM_TEST(half_closed),
		SIM_TEST(frozen),
		SIM_TEST(allocations),
		SIM_TEST(each_allocation),
		SIM_TEST(accept_errors),
		SIM_TEST(max_connections),
		SIM_TEST(short_files),
		SIM_TEST_OVER(departures, h2c),
		SIM_TEST_OVER(frozen, h2c),
		SIM_TEST_OVER(allocations, h2c),
		SIM_TEST_OVER(each_allocation, h2c),
		SIM_TEST_OVER(accept_errors, h2c),
		SIM_TEST_OVER(max_connections, h2c),
		SIM_TEST_OVER(short_files, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER_TLS(departures),
		SIM_TEST_OVER(half_closed, tls),
		SIM_TEST_OVER_TLS(frozen),
		SIM_TEST_OVER_TLS(allocations),
		SIM_TEST_OVER_TLS(each_allocation),
		SIM_TEST_OVER_TLS(short_files),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

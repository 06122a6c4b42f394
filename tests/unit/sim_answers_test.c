/* SPDX-License-Identifier: MIT
 *
 * Requests over a network that does everything TCP may do, whatever they are carried by: however the
 * bytes are cut up, delayed and ordered, the answers are those that the requests ask for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

static struct sim_scene scene;

/* A body that nobody reads may take long to say over such a network, and a window long to open
 * that is asked to behind one. */
static const tako_server_config patient = {.size = sizeof patient,
                                           .linger_timeout_ms = 600000,
                                           .write_timeout_ms = 600000,
                                           .min_rate_bytes = TAKO_OFF};

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

/* ---- Transcripts ----------------------------------------------------------------------- */

static void play(uint64_t seed, unsigned clients_max)
{
	sim_scene_begin(&scene, seed, NULL, &patient);
	for (uint64_t i = sim_rand_between(rand_of(), 1, clients_max); i; i--)
		sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 6));
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++)
		sim_script_check(&scene.clients[i], true);
	assert_int_equal(scene.app.failed, 0);
	sim_scene_end(&scene);
}

/* Keep-alive, pipelining, bodies, trailers, files, deferrals, HEAD, HTTP/1.0, all mixed. */
static void transcripts(uint64_t seed)
{
	play(seed, 4);
}

/* A seed that failed once fails again. */
static void same_seed_same_run(uint64_t seed)
{
	struct sim first;

	play(seed, 1);
	first = scene.server.sim;
	play(seed, 1);
	assert_int_equal(scene.server.sim.turns, first.turns);
	assert_int_equal(sim_now(&scene.server.sim), sim_now(&first));
	assert_int_equal(scene.server.sim.sent_bytes, first.sent_bytes);
	assert_true(scene.server.sim.rand.state == first.rand.state);
}

/* ---- Back-pressure ----------------------------------------------------------------------------- */

/* Whoever does not read is not written for: what waits unsent for him has a bound, and so has what
 * is read from him ahead of its turn. */
static void back_pressure(uint64_t seed)
{
	/* TLS keeps a record until it is whole. */
	enum { STASH_BYTES = 64 << 10, RECORD_BYTES = 16 << 10, SLACK_BYTES = 1024 };
	struct sim_options options;
	tako_server_config cfg = patient;
	struct sim_rand r;
	struct sim_script *c;
	uint64_t before;

	sim_rand_init(&r, seed);
	sim_options_draw(&options, &r);
	/* Not in crumbs: there is too much of it. */
	options.net.piece_bytes_max = 0;
	options.recv_bytes_max = 2000 + sim_rand_size(&r, 60000);
	options.send_bytes_max = 0;
	options.net.send_bytes = 1000 + sim_rand_size(&r, 30000);
	options.net.window_bytes = 1000 + sim_rand_size(&r, 30000);
	/* However long he makes us wait. */
	cfg.write_timeout_ms = cfg.min_rate_bytes = cfg.body_timeout_ms = TAKO_OFF;
	cfg.write_high_bytes = 4096 + sim_rand_size(&r, 100000);
	sim_scene_begin(&scene, seed, &options, &cfg);
	c = sim_scene_client(&scene);
	c->body_bytes_max = 200000;
	assert_true(sim_scene_shake(&scene));
	c->peer.deaf = true;
	if (sim_rand_chance(rand_of(), 500)) {
		const struct sim_ask big = {.method = "POST",
		                            .path = "/echo",
		                            .body = sim_pattern(9),
		                            .body_n = 200000,
		                            .counted = true};

		sim_script_ask(c, &big,
		               (struct sim_expect){.status = 200, .key = 9, .body_n = 200000});
	}
	while (c->count < 8)
		sim_script_add(c);
	sim_script_add_last(c);
	sim_scene_pass(&scene, 200000 * SIM_MS);
	before = scene.server.sim.received_bytes;
	sim_scene_pass(&scene, 1000 * SIM_MS);
	assert_int_equal(scene.server.sim.received_bytes, before);
	c->peer.deaf = false;
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
	assert_true(scene.app.most_unsent_bytes <= cfg.write_high_bytes + STASH_BYTES +
	                                                   options.recv_bytes_max + SLACK_BYTES +
	                                                   (c->shell ? RECORD_BYTES : 0));
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(transcripts),
		SIM_TEST(same_seed_same_run),
		SIM_TEST(back_pressure),
		SIM_TEST_OVER(transcripts, h2c),
		SIM_TEST_OVER(same_seed_same_run, h2c),
		SIM_TEST_OVER(back_pressure, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER_TLS(transcripts),
		SIM_TEST_OVER_TLS(same_seed_same_run),
		SIM_TEST_OVER_TLS(back_pressure),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

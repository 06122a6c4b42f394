/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.1 and the clock: every limit on a peer's time is kept to the millisecond, neither early
 * nor late.  The network is calm and instant here, so that time is the limits' alone; the limits
 * and the moments are by chance.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

/* A timer fires at the first whole millisecond that is past it, and what it writes arrives in the
 * turns behind it, which take no time. */
#define LATE_NS (1 * SIM_MS)

static struct sim_scene scene;
static const struct sim_options narrow = {.net = {.send_bytes = 1000, .window_bytes = 1000}};
static struct sim_script *client;
static tako_server_config cfg;
static uint64_t tick_ns; /* how often the server looks at transfers */

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static uint64_t now(void)
{
	return sim_now(&scene.server.sim);
}

/* 5 ms to a minute, small ones as likely as large ones. */
static uint32_t any_ms(struct sim_rand *r)
{
	return (uint32_t)sim_rand_size(r, 60000) + 4;
}

static void draw_limits(uint64_t seed)
{
	struct sim_rand r;

	sim_rand_init(&r, seed ^ 0x71);
	cfg = (tako_server_config){.size = sizeof cfg};
	cfg.header_timeout_ms = any_ms(&r);
	cfg.keepalive_timeout_ms = any_ms(&r);
	cfg.body_timeout_ms = any_ms(&r);
	cfg.write_timeout_ms = any_ms(&r);
	cfg.linger_timeout_ms = any_ms(&r);
	cfg.min_rate_bytes = TAKO_OFF;
}

/* More than anybody here sends. */
static void draw_rate(uint64_t seed)
{
	struct sim_rand r;

	sim_rand_init(&r, seed ^ 0x72);
	cfg.min_rate_bytes = 1000000;
	cfg.min_rate_grace_ms = any_ms(&r);
}

static void begin(uint64_t seed, const struct sim_options *options)
{
	static const struct sim_options calm;
	const uint32_t limits[] = {cfg.body_timeout_ms, cfg.write_timeout_ms,
	                           cfg.min_rate_grace_ms ? cfg.min_rate_grace_ms : 10000};
	uint32_t shortest_ms = 4000;

	for (unsigned i = 0; i < 3; i++) {
		if (limits[i] < shortest_ms)
			shortest_ms = limits[i];
	}
	tick_ns = shortest_ms * SIM_MS / 4;
	sim_scene_begin(&scene, seed, options ? options : &calm, &cfg);
	client = sim_scene_client(&scene);
}

/* A turn that the client sees the outcome of before time goes on. */
static void turn(uint64_t until)
{
	scene.server.sim.alarm_ns = until;
	sim_server_step(&scene.server);
	sim_script_turn(client);
}

static bool answered(void)
{
	return client->http.reply_count == client->count;
}

/* False: an answer has come, or the server has let go, before that. */
static bool pass(uint64_t ns)
{
	uint64_t until = now() + ns;

	sim_script_turn(client);
	while (now() < until && !client->peer.link->server_closed &&
	       !(client->count && answered() && client->http.replies[client->count - 1].close))
		turn(until);
	return now() >= until;
}

static void pass_any(uint32_t below_ms)
{
	assert_true(pass(sim_rand_below(rand_of(), below_ms * SIM_MS)));
}

/* Turns until the server has let go, or an answer is whole. */
static void await(bool answer)
{
	sim_script_turn(client);
	for (unsigned i = 0; i < SIM_TURNS_MAX; i++) {
		if (client->peer.link->server_closed || (answer && answered()))
			return;
		turn(SIM_NEVER);
	}
	fail_msg("nothing came");
}

static void expect_status(int status)
{
	sim_http1_expect(&client->http, false);
	client->expect[client->count++] = (struct sim_expect){.status = status};
}

static void assert_passed(uint64_t since, uint64_t limit_ms, uint64_t slack_ns)
{
	uint64_t passed = now() - since;

	if (passed < limit_ms * SIM_MS || passed > limit_ms * SIM_MS + LATE_NS + slack_ns)
		fail_msg("after %llu ns, for a limit of %llu ms", (unsigned long long)passed,
		         (unsigned long long)limit_ms);
}

static void assert_answer(int status)
{
	assert_null(client->http.bad);
	assert_int_equal(client->http.reply_count, client->count);
	assert_int_equal(client->http.replies[client->count - 1].status, status);
	assert_true(client->http.replies[client->count - 1].close);
}

static void assert_timeouts(uint64_t count)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(scene.server.srv, &stats), 0);
	assert_int_equal(stats.timeouts, count);
}

/* ---- Waiting for a request ------------------------------------------------------------- */

/* Nobody is owed anything: not a byte, just the end. */
static void assert_silent_end(unsigned replies)
{
	turn(SIM_NEVER);
	assert_true(client->told_end);
	assert_false(client->peer.link->client_reset);
	assert_int_equal(client->http.reply_count, replies);
	assert_false(sim_http1_partial(&client->http));
}

static void first_request(uint64_t seed)
{
	uint64_t since;

	draw_limits(seed);
	begin(seed, NULL);
	turn(SIM_NEVER);
	since = now();
	await(false);
	assert_passed(since, cfg.header_timeout_ms, 0);
	assert_silent_end(0);
	sim_scene_end(&scene);
}

static void keep_alive(uint64_t seed)
{
	uint64_t since = 0;

	draw_limits(seed);
	begin(seed, NULL);
	for (uint64_t i = sim_rand_between(rand_of(), 1, 4); i; i--) {
		pass_any(cfg.header_timeout_ms < cfg.keepalive_timeout_ms
		                 ? cfg.header_timeout_ms
		                 : cfg.keepalive_timeout_ms);
		sim_script_get(client, "/text/1",
		               (struct sim_expect){.status = 200, .text = true, .key = 1});
		since = now();
		await(true);
		assert_int_equal(now(), since);
	}
	await(false);
	assert_passed(since, cfg.keepalive_timeout_ms, 0);
	assert_silent_end(client->count);
	sim_script_check(client, false);
	sim_scene_end(&scene);
}

/* From its first byte on, however it drips. */
static void head(uint64_t seed)
{
	uint64_t since;
	uint64_t drip_ns;

	draw_limits(seed);
	begin(seed, NULL);
	pass_any(cfg.header_timeout_ms);
	sim_peer_sayf(&client->peer, "GET /text/1 HTTP/1.1\r\nX: ");
	expect_status(408);
	since = now();
	drip_ns = cfg.header_timeout_ms * SIM_MS / sim_rand_between(rand_of(), 2, 20);
	while (pass(drip_ns))
		sim_peer_say(&client->peer, "x", 1);
	assert_passed(since, cfg.header_timeout_ms, 0);
	assert_answer(408);
	assert_timeouts(1);
	sim_scene_end(&scene);
}

/* ---- Waiting for a body ------------------------------------------------------------------- */

static void say_post(void)
{
	sim_peer_sayf(&client->peer,
	              "POST /whole HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000\r\n\r\n");
	expect_status(408);
}

/* Each byte buys the whole time again. */
static void body(uint64_t seed)
{
	uint64_t since = 0;

	draw_limits(seed);
	begin(seed, NULL);
	say_post();
	for (uint64_t i = sim_rand_below(rand_of(), 5) + 1; i; i--) {
		sim_peer_say(&client->peer, "x", 1);
		since = now();
		pass_any(cfg.body_timeout_ms);
		assert_int_equal(client->http.reply_count, 0);
	}
	await(true);
	assert_passed(since, cfg.body_timeout_ms, tick_ns);
	assert_answer(408);
	assert_timeouts(1);
	sim_scene_end(&scene);
}

/* A body that comes too slowly all in all, though never quite not. */
static void body_rate(uint64_t seed)
{
	uint64_t since;
	uint64_t drip_ns;

	draw_limits(seed);
	draw_rate(seed);
	if (cfg.body_timeout_ms <= cfg.min_rate_grace_ms)
		cfg.body_timeout_ms = cfg.min_rate_grace_ms * 2;
	begin(seed, NULL);
	say_post();
	since = now();
	drip_ns = cfg.min_rate_grace_ms * SIM_MS / 20 + 1;
	while (pass(drip_ns))
		sim_peer_say(&client->peer, "x", 1);
	assert_passed(since, cfg.min_rate_grace_ms, tick_ns);
	assert_answer(408);
	assert_timeouts(1);
	sim_scene_end(&scene);
}

/* As slowly as its own clock allows, for as long as that would have been too slow by default. */
static void body_at_no_rate(uint64_t seed)
{
	draw_limits(seed);
	cfg.body_timeout_ms += 1000;
	begin(seed, NULL);
	say_post();
	for (uint64_t since = now(); now() - since < 15000 * SIM_MS;) {
		assert_true(pass((uint64_t)cfg.body_timeout_ms * SIM_MS - 1));
		sim_peer_say(&client->peer, "x", 1);
	}
	assert_int_equal(client->http.reply_count, 0);
	assert_timeouts(0);
	sim_scene_end(&scene);
}

/* A body that has come is not waited for, though it cannot be taken before its sender reads what is
 * written back to him. */
static void held_body(uint64_t seed)
{
	enum { BODY_BYTES = 30000 };
	struct sim_expect echoed = {.status = 200, .key = seed, .body_n = BODY_BYTES};

	draw_limits(seed);
	cfg.write_timeout_ms = TAKO_OFF;
	cfg.write_high_bytes = 4096;
	begin(seed, &narrow);
	client->peer.deaf = true;
	sim_peer_sayf(&client->peer,
	              "POST /echo HTTP/1.1\r\nHost: sim\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
	sim_peer_say(&client->peer, sim_pattern(seed), BODY_BYTES);
	sim_http1_expect(&client->http, false);
	client->expect[client->count++] = echoed;
	sim_peer_sayf(&client->peer, "GET /text/1 HTTP/1.1\r\nHost: sim\r\n\r\n");
	sim_http1_expect(&client->http, false);
	client->expect[client->count++] = (struct sim_expect){
		.status = 200, .text = true, .key = 1};
	assert_true(pass(3 * cfg.body_timeout_ms * SIM_MS));
	client->peer.deaf = false;
	await(true);
	sim_script_check(client, true);
	assert_timeouts(0);
	sim_scene_end(&scene);
}

/* ---- Waiting for a reader ------------------------------------------------------------------- */

/* The count begins when the server looks and finds that nothing moves; so there are two looks that
 * may be late. */
static void deaf_reader(uint64_t seed)
{
	uint64_t since;

	draw_limits(seed);
	begin(seed, &narrow);
	client->peer.deaf = true;
	sim_script_get(client, "/pieces/30000", (struct sim_expect){.status = 200});
	since = now();
	await(false);
	assert_true(client->peer.link->server_closed);
	assert_passed(since, cfg.write_timeout_ms, 2 * tick_ns + LATE_NS);
	assert_timeouts(1);
	sim_scene_end(&scene);
}

static void slow_reader(uint64_t seed)
{
	uint64_t since;
	uint64_t drip_ns;
	char byte;

	draw_limits(seed);
	draw_rate(seed);
	if (cfg.write_timeout_ms <= cfg.min_rate_grace_ms)
		cfg.write_timeout_ms = cfg.min_rate_grace_ms * 2;
	begin(seed, &narrow);
	client->peer.deaf = true;
	sim_script_get(client, "/file/30000", (struct sim_expect){.status = 200});
	since = now();
	drip_ns = cfg.min_rate_grace_ms * SIM_MS / 20 + 1;
	while (pass(drip_ns))
		(void)sim_read(client->peer.link, &byte, 1);
	assert_passed(since, cfg.min_rate_grace_ms, 2 * tick_ns + LATE_NS);
	assert_timeouts(1);
	sim_scene_end(&scene);
}

/* ---- Waiting for descriptors --------------------------------------------------------------------- */

static uint64_t accept_errors(void)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(scene.server.srv, &stats), 0);
	return stats.accept_errors;
}

/* Accepting fails now, and again after each pause; how long the one is that has begun. */
static uint64_t expect_pauses(void)
{
	uint64_t count = accept_errors();
	uint64_t since = now();
	uint64_t pause_ms = 0;

	for (unsigned i = 0; i < 9; i++) {
		while (accept_errors() == count)
			turn(SIM_NEVER);
		count++;
		assert_int_equal(accept_errors(), count);
		if (i == 0)
			assert_int_equal(now(), since);
		else
			assert_passed(since, pause_ms, 0);
		pause_ms = i == 0 ? cfg.accept_backoff_min_ms : 2 * pause_ms;
		if (pause_ms > cfg.accept_backoff_max_ms)
			pause_ms = cfg.accept_backoff_max_ms;
		since = now();
	}
	return pause_ms;
}

/* The longer it fails the longer is each pause, up to a point; after a success they are short again. */
static void accept_backoff(uint64_t seed)
{
	static const struct sim_options calm;
	struct sim_rand r;

	sim_rand_init(&r, seed ^ 0x73);
	cfg = (tako_server_config){.size = sizeof cfg};
	cfg.accept_backoff_min_ms = (uint32_t)sim_rand_between(&r, 1, 50);
	cfg.accept_backoff_max_ms = (uint32_t)sim_rand_between(&r, 50, 5000);
	sim_scene_begin(&scene, seed, &calm, &cfg);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t pause_ms;
		uint64_t since;

		scene.server.sim.options.accept_error_permille = 1000;
		client = sim_scene_client(&scene);
		pause_ms = expect_pauses();
		scene.server.sim.options.accept_error_permille = 0;
		since = now();
		sim_script_get(client, "/text/3",
		               (struct sim_expect){.status = 200, .text = true, .key = 3});
		await(true);
		assert_passed(since, pause_ms, 0);
		sim_script_check(client, true);
	}
	sim_scene_end(&scene);
}

/* ---- Waiting for an end ------------------------------------------------------------------------ */

/* A peer that has its refusal and does not leave. */
static void linger(uint64_t seed)
{
	uint64_t since;
	char answer[1000];

	draw_limits(seed);
	begin(seed, NULL);
	client->peer.deaf = true;
	sim_peer_sayf(&client->peer, "nonsense\r\n\r\n");
	since = now();
	assert_true(pass(1));
	assert_true(client->peer.link->down.fin);
	assert_true(sim_read(client->peer.link, answer, sizeof answer) > 12);
	assert_memory_equal(answer, "HTTP/1.1 400", 12);
	await(false);
	assert_passed(since, cfg.linger_timeout_ms, 0);
	sim_scene_end(&scene);
}

/* ---- Answers with a time of their own -------------------------------------------------------------- */

static void later(uint64_t seed)
{
	uint64_t since;
	uint32_t delay_ms;
	char path[64];

	draw_limits(seed);
	begin(seed, NULL);
	delay_ms = any_ms(rand_of());
	snprintf(path, sizeof path, "/later/%u/7", delay_ms);
	sim_script_get(client, path, (struct sim_expect){.status = 200, .text = true, .key = 7});
	since = now();
	await(true);
	assert_passed(since, delay_ms, 0);
	sim_script_check(client, true);
	/* Whose waiting was not the client's fault. */
	assert_timeouts(0);
	sim_scene_end(&scene);
}

/* Who does not answer in time is answered for, and the connection goes on without him. */
static void route_timeout(uint64_t seed)
{
	static const struct sim_expect late = {.status = 503,
	                                       .literal = "503 Service Unavailable\n"};
	uint64_t since;

	cfg = (tako_server_config){.size = sizeof cfg};
	begin(seed, NULL);
	pass_any(1000);
	sim_script_get(client, "/within/defer/1", late);
	since = now();
	await(true);
	assert_passed(since, SIM_WITHIN_MS, 0);
	sim_script_get(client, "/within/defer/2", late);
	since = now();
	sim_script_get(client, "/text/3",
	               (struct sim_expect){.status = 200, .text = true, .key = 3});
	await(true);
	assert_true(now() - since >= SIM_WITHIN_MS * SIM_MS);
	assert_timeouts(2);
	sim_script_check(client, true);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(first_request),  SIM_TEST(keep_alive),  SIM_TEST(head),
		SIM_TEST(body),           SIM_TEST(body_rate),   SIM_TEST(body_at_no_rate),
		SIM_TEST(held_body),      SIM_TEST(deaf_reader), SIM_TEST(slow_reader),
		SIM_TEST(accept_backoff), SIM_TEST(linger),      SIM_TEST(later),
		SIM_TEST(route_timeout),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

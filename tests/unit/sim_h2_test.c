/* SPDX-License-Identifier: MIT
 *
 * What only HTTP/2 has, at whatever fragmentation and in the middle of whatever else goes on: frames
 * that are wrong, frames that are too many, and how long a stream may keep its server waiting.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

static struct sim_scene scene;
static struct sim_script *client;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static uint64_t now(void)
{
	return sim_now(&scene.server.sim);
}

/* None waits longer than that: nobody's limit on idleness is what is looked at. */
static void turns_of(uint64_t count, uint64_t ns_max)
{
	for (uint64_t i = 0; i < count; i++) {
		scene.server.sim.alarm_ns = now() + ns_max;
		sim_scene_turn(&scene);
	}
}

static void turns(uint64_t count)
{
	turns_of(count, SIM_MS);
}

static void still(uint64_t count)
{
	turns_of(count, 0);
}

static uint32_t code_of(unsigned i)
{
	return (uint32_t)client->h2->streams[i].code;
}

/* A client in the middle of something, and one that minds its own business. */
static void begin_busy(uint64_t seed, const tako_server_config *cfg)
{
	sim_scene_begin(&scene, seed, NULL, cfg);
	client = sim_scene_client(&scene);
	sim_script_draw(client);
	client->h2->chatter = 0;
	for (uint64_t i = sim_rand_below(rand_of(), 5); i; i--)
		sim_script_add(client);
	sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 3));
	turns(sim_rand_size(rand_of(), 100));
	/* The preface at least. */
	for (unsigned i = 0; i < SIM_TURNS_MAX && !client->h2->settled; i++)
		turns(1);
}

/* The connection ends, its peer is told why, and nobody else notices. */
static void end_refused(uint32_t code)
{
	for (unsigned i = 0; i < SIM_TURNS_MAX && !client->told_end; i++)
		sim_scene_turn(&scene);
	assert_true(client->told_end);
	sim_script_check(client, false);
	if (!client->peer.link->client_reset) {
		assert_true(client->h2->last);
		assert_int_equal(client->h2->code, code);
	}
	assert_true(sim_scene_play(&scene));
	sim_script_check(&scene.clients[1], true);
	sim_scene_end(&scene);
}

/* ---- Wrong -------------------------------------------------------------------------- */

static void wrong_frames(uint64_t seed)
{
	static const struct {
		unsigned type, flags;
		uint32_t id;
		const char *payload;
		size_t n;
		uint32_t code;
	} frames[] = {
		{SIM_H2_DATA, 0, 0, "x", 1, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_DATA, 0, 999, "x", 1, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_HEADERS, 4, 0, "\x82", 1, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_HEADERS, 4, 998, "\x82", 1, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_HEADERS, 0xc, 999, "\x09\x82", 2, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_HEADERS, 5, 999, "\xff\xff\xff\xff\xff\xff", 6, NGHTTP2_COMPRESSION_ERROR},
		{SIM_H2_PRIORITY, 0, 0, "\0\0\0\0\0", 5, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_RST_STREAM, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_RST_STREAM, 0, 999, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_RST_STREAM, 0, 1, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR},
		{SIM_H2_SETTINGS, 0, 1, "", 0, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_SETTINGS, 0, 0, "\0\4\0\0\0", 5, NGHTTP2_FRAME_SIZE_ERROR},
		{SIM_H2_SETTINGS, 0, 0, "\0\4\x80\0\0\0", 6, NGHTTP2_FLOW_CONTROL_ERROR},
		{SIM_H2_SETTINGS, 0, 0, "\0\5\0\0\0\1", 6, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_PUSH_PROMISE, 4, 1, "\0\0\0\2\x82", 5, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_PING, 0, 0, "seven b", 7, NGHTTP2_FRAME_SIZE_ERROR},
		{SIM_H2_PING, 0, 1, "eight by", 8, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_GOAWAY, 0, 1, "\0\0\0\0\0\0\0\0", 8, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4, NGHTTP2_FLOW_CONTROL_ERROR},
		{SIM_H2_WINDOW_UPDATE, 0, 0, "\0\0\1", 3, NGHTTP2_FRAME_SIZE_ERROR},
		{SIM_H2_CONTINUATION, 4, 1, "\x82", 1, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_PRIORITY_UPDATE, 0, 1, "\0\0\0\1u=1", 7, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\0u=1", 7, NGHTTP2_PROTOCOL_ERROR},
		{SIM_H2_PRIORITY_UPDATE, 0, 0, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR},
	};
	size_t which = seed % (sizeof frames / sizeof *frames);

	begin_busy(seed, NULL);
	sim_h2_frame(client->h2, frames[which].type, frames[which].flags, frames[which].id,
	             frames[which].payload, frames[which].n);
	end_refused(frames[which].code);
}

/* ---- Too many ------------------------------------------------------------------------- */

static void flood(unsigned what)
{
	static const uint8_t zeros[8];
	struct sim_h2 *h = client->h2;

	switch (what) {
	case 0:
		sim_h2_frame(h, SIM_H2_PING, 0, 0, "pingping", 8);
		break;
	case 1:
		sim_h2_frame(h, SIM_H2_PRIORITY, 0, 1, zeros, 5);
		break;
	case 2:
		sim_h2_frame(h, 0xfa, 0, 0, NULL, 0);
		break;
	case 3:
		sim_h2_frame(h, SIM_H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\1u=1", 7);
		break;
	default:
		sim_h2_frame(h, SIM_H2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
	}
}

/* Whatever it is: what a peer may do for nothing has a bound, and who goes beyond it is told. */
static void floods(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .h2_max_control_count = 30,
	                                       .h2_max_reset_count = 10,
	                                       .h2_max_pending_reset_count = 10};
	unsigned what = (unsigned)(seed % 5);

	sim_scene_begin(&scene, seed, NULL, &cfg);
	client = sim_scene_client(&scene);
	sim_peer_draw(&client->peer);
	sim_scene_talker(&scene, 0)->h2->chatter = 0;
	scene.clients[1].h2->eager = true;
	for (unsigned i = 0; i < SIM_TURNS_MAX && !client->h2->settled; i++)
		turns(1);
	for (unsigned i = 0; i < 500 && !client->told_end; i++) {
		client->h2->pings += what == 0;
		flood(what);
		turns(sim_rand_below(rand_of(), 2));
	}
	end_refused(NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- Too slow ------------------------------------------------------------------------------ */

static tako_server_config cfg;
static uint64_t tick_ns;

static void begin_calm(uint64_t seed)
{
	static const struct sim_options calm;
	struct sim_rand r = {seed};
	uint32_t shortest_ms = 4000;

	cfg = (tako_server_config){.size = sizeof cfg, .min_rate_bytes = TAKO_OFF};
	cfg.header_timeout_ms = (uint32_t)sim_rand_size(&r, 60000) + 4;
	cfg.keepalive_timeout_ms = (uint32_t)sim_rand_size(&r, 60000) + 4;
	cfg.body_timeout_ms = (uint32_t)sim_rand_size(&r, 60000) + 4;
	cfg.write_timeout_ms = (uint32_t)sim_rand_size(&r, 60000) + 4;
	if (cfg.body_timeout_ms < shortest_ms)
		shortest_ms = cfg.body_timeout_ms;
	if (cfg.write_timeout_ms < shortest_ms)
		shortest_ms = cfg.write_timeout_ms;
	tick_ns = shortest_ms * SIM_MS / 4;
	sim_scene_begin(&scene, seed, &calm, &cfg);
	client = sim_scene_client(&scene);
}

static void assert_passed(uint64_t since, uint32_t limit_ms, uint64_t slack_ns)
{
	uint64_t passed = now() - since;

	if (passed < limit_ms * SIM_MS || passed > limit_ms * SIM_MS + SIM_MS + slack_ns)
		fail_msg("after %llu ns, for a limit of %u ms", (unsigned long long)passed,
		         limit_ms);
}

/* Nobody asks for anything: goodbye, in a GOAWAY. */
static void idle(uint64_t seed)
{
	bool asks = seed % 2;
	uint64_t since;

	begin_calm(seed);
	if (asks)
		sim_script_get(client, "/text/1",
		               (struct sim_expect){.status = 200, .text = true, .key = 1});
	still(10);
	since = now();
	while (!client->told_end)
		sim_scene_turn(&scene);
	assert_passed(since, asks ? cfg.keepalive_timeout_ms : cfg.header_timeout_ms, 0);
	assert_true(client->h2->last);
	assert_int_equal(client->h2->code, NGHTTP2_NO_ERROR);
	sim_script_check(client, false);
	assert_int_equal(sim_script_answered(client), client->count);
	sim_scene_end(&scene);
}

/* A frame that does not end ends the connection, whatever else goes on on it. */
static void half_frame(uint64_t seed)
{
	uint64_t since;

	begin_calm(seed);
	sim_script_get(client, "/hang", (struct sim_expect){.status = 200});
	still(10);
	since = now();
	sim_script_say(client, "\0\0\x8\6\0\0\0\0\0abc", 9 + sim_rand_below(rand_of(), 4));
	while (!client->told_end)
		sim_scene_turn(&scene);
	assert_passed(since, cfg.header_timeout_ms, tick_ns);
	assert_true(client->h2->last);
	sim_scene_end(&scene);
}

/* A body that stops is a 408 of its stream's own; the connection goes on. */
static void stopped_body(uint64_t seed)
{
	struct sim_ask a = {.method = "POST",
	                    .path = "/whole",
	                    .body = sim_pattern(0),
	                    .body_n = 1000,
	                    .counted = true,
	                    .stops_at = 1};
	uint64_t since;

	begin_calm(seed);
	sim_script_ask(client, &a, (struct sim_expect){.status = 408, .any_body = true});
	still(10);
	since = now();
	while (!sim_script_answered(client))
		sim_scene_turn(&scene);
	assert_passed(since, cfg.body_timeout_ms, tick_ns);
	sim_script_get(client, "/text/1",
	               (struct sim_expect){.status = 200, .text = true, .key = 1});
	assert_true(sim_scene_play(&scene));
	sim_script_check(client, true);
	sim_scene_end(&scene);
}

/* A window that stays shut: its stream is cut, and is seen to be. */
static void shut_window(uint64_t seed)
{
	uint64_t since;

	begin_calm(seed);
	client->h2->stingy = true;
	sim_script_get(client, "/pieces/200000", (struct sim_expect){.status = 200});
	still(20);
	since = now();
	while (client->h2->streams[0].code == SIM_H2_NO_CODE)
		sim_scene_turn(&scene);
	assert_passed(since, cfg.write_timeout_ms, 2 * tick_ns + SIM_MS);
	assert_int_equal(code_of(0), NGHTTP2_CANCEL);
	assert_int_equal(sim_script_answered(client), 0);
	sim_script_check(client, false);
	sim_scene_end(&scene);
}

/* As long as what was sent has not left, nobody is late who has not opened his window. */
static void slow_link(uint64_t seed)
{
	static const struct sim_options narrow = {
		.net = {.delay_ns_max = 40000000, .send_bytes = 1000, .window_bytes = 200}};
	struct sim_rand r = {seed};

	sim_scene_begin(&scene, seed, &narrow, NULL);
	client = sim_scene_client(&scene);
	sim_script_get(client, "/length/70000",
	               (struct sim_expect){.status = 200,
	                                   .key = 70000,
	                                   .body_n = 70000,
	                                   .close = sim_rand_chance(&r, 500)});
	assert_true(sim_scene_play(&scene));
	sim_script_check(client, true);
	sim_scene_end(&scene);
}

/* A PRIORITY_UPDATE for a request that is to come leaves nothing behind: who says goodbye is let go
 * at once. */
static void early_priority(uint64_t seed)
{
	uint64_t since;
	uint8_t p[7] = "\0\0\0\1u=2";

	begin_calm(seed);
	still(5);
	for (unsigned i = 0; i < 1 + seed % 12; i++) {
		p[3] = (uint8_t)(2 * i + 1);
		p[6] = (uint8_t)('0' + sim_rand_below(rand_of(), 8));
		sim_h2_frame(client->h2, SIM_H2_PRIORITY_UPDATE, 0, 0, p, sizeof p);
		still(sim_rand_below(rand_of(), 3));
		sim_script_get(client, "/text/1",
		               (struct sim_expect){.status = 200, .text = true, .key = 1});
	}
	assert_true(sim_scene_play(&scene));
	sim_h2_say_bye(client->h2);
	since = now();
	while (!client->told_end)
		sim_scene_turn(&scene);
	assert_int_equal(now(), since);
	sim_script_check(client, true);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST_OVER(wrong_frames, h2c), SIM_TEST_OVER(floods, h2c),
		SIM_TEST_OVER(idle, h2c),         SIM_TEST_OVER(half_frame, h2c),
		SIM_TEST_OVER(stopped_body, h2c), SIM_TEST_OVER(shut_window, h2c),
		SIM_TEST_OVER(slow_link, h2c),    SIM_TEST_OVER(early_priority, h2c),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

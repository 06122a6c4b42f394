/* SPDX-License-Identifier: MIT
 *
 * What only TLS has: sessions, handshakes that do not end, bytes that are wrong, and ends that are
 * cut off.  What HTTP does above it is in the other simulated tests, which run over TLS as well.
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

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static uint64_t now(void)
{
	return sim_now(&scene.server.sim);
}

static tako_stats stats(void)
{
	tako_stats s = {.size = sizeof s};

	assert_int_equal(tako_server_stats(scene.server.srv, &s), 0);
	return s;
}

static void check_health(void)
{
	struct sim_script *c = sim_scene_talker(&scene, 1);

	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
}

/* ---- Sessions --------------------------------------------------------------------------- */

/* In full, resumed, and in TLS 1.2: the handshake that was asked for, counted as what it was. */
static void sessions(uint64_t seed)
{
	static const enum sim_tls_wish wishes[] = {SIM_TLS_FULL, SIM_TLS_RESUMED, SIM_TLS_RESUMED,
	                                           SIM_TLS_12};
	enum sim_tls_wish wish = wishes[seed % 4];
	struct sim_script *c;

	sim_scene_begin(&scene, seed, NULL, NULL);
	sim_tls_wish(wish);
	c = sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 4));
	sim_tls_wish(SIM_TLS_ANY);
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
	assert_int_equal(sim_tls_resumed(c), wish == SIM_TLS_RESUMED);
	assert_int_equal(stats().tls_handshakes, 1);
	assert_int_equal(stats().tls_resumed, wish == SIM_TLS_RESUMED);
	assert_int_equal(stats().tls_failures, 0);
	sim_scene_end(&scene);
}

/* ---- Wrong bytes ------------------------------------------------------------------------------ */

/* One byte is not what it was.  No request comes out of it that was not said; the connection ends for
 * it, or nobody ever looked at that byte; and the next client is served. */
static void wrong_byte(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .linger_timeout_ms = 600000,
	                                       .write_timeout_ms = 60000,
	                                       .min_rate_bytes = TAKO_OFF};
	struct sim_script *c;
	bool ready;

	sim_scene_begin(&scene, seed, NULL, &cfg);
	c = sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 4));
	c->peer.spoil_at = sim_rand_size(rand_of(), 3000);
	c->peer.spoil_bits = (unsigned char)(1 << sim_rand_below(rand_of(), 8));
	assert_true(sim_scene_play(&scene));
	ready = sim_script_ready(c);
	/* A ClientHello that is another: what the server answers to it is no answer to ours. */
	if (ready || !sim_script_bad(c))
		sim_script_check(c, false);
	assert_true(sim_script_told(c) || sim_script_bad(c));
	assert_true(stats().tls_failures <= 1);
	sim_close(c->peer.link);
	check_health();
	sim_scene_end(&scene);
}

/* ---- Ends ----------------------------------------------------------------------------------------- */

/* The network ends what the client did not.  A request that lacks its end is not answered as if it
 * were whole. */
static void cut(uint64_t seed)
{
	struct sim_script *c;
	uint64_t turns;

	sim_scene_begin(&scene, seed, NULL, NULL);
	c = sim_scene_talker(&scene, (unsigned)sim_rand_below(rand_of(), 5));
	turns = sim_rand_size(rand_of(), 300);
	for (uint64_t i = 0; i < turns && !c->told_end; i++)
		sim_scene_turn(&scene);
	c->peer.mute = true;
	sim_shut(c->peer.link);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !c->told_end; i++)
		sim_scene_turn(&scene);
	assert_true(c->told_end);
	assert_null(sim_script_bad(c));
	/* Half a request is answered as such over HTTP/1. */
	for (unsigned i = 0; i < c->count; i++) {
		struct sim_reply *r = sim_script_reply(c, i);

		if (!r || c->h2 || r->status != 400)
			continue;
		assert_int_equal(i + 1, sim_script_answered(c));
		c->http.reply_count--;
		break;
	}
	for (unsigned i = 0; i < c->http.reply_count; i++) {
		c->expect[i].close = c->http.replies[i].close;
		c->http.replies[i].keep_alive = c->expect[i].old && !c->expect[i].close;
	}
	sim_script_check(c, false);
	check_health();
	sim_scene_end(&scene);
}

/* ---- No TLS ------------------------------------------------------------------------------------------- */

struct bytes {
	size_t n;
	char data[4096];
};

static void keep(void *arg, const char *p, size_t n)
{
	struct bytes *b = arg;

	if (n > sizeof b->data - 1 - b->n)
		n = sizeof b->data - 1 - b->n;
	memcpy(b->data + b->n, p, n);
	b->n += n;
	b->data[b->n] = '\0';
}

static void until_end(struct sim_peer *p)
{
	for (unsigned i = 0; i < SIM_TURNS_MAX && !sim_ended(p->link); i++) {
		sim_peer_turn(p);
		sim_server_step(&scene.server);
	}
	assert_true(sim_ended(p->link));
}

/* Plain HTTP is told that this is not the place; anything else is told by an end. */
static void plain(uint64_t seed)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: sim\r\n\r\n";
	static struct bytes got;
	struct sim_peer peer;
	bool text = seed % 2;

	got = (struct bytes){0};
	sim_scene_begin(&scene, seed, NULL, NULL);
	sim_peer_open(&peer, &scene.server.sim, keep, &got);
	sim_peer_draw(&peer);
	if (text)
		sim_peer_say(&peer, http, sizeof http - 1);
	else
		sim_peer_sayf(&peer, "%c%s", (int)sim_rand_below(rand_of(), 22), "nonsense");
	until_end(&peer);
	if (text && !peer.link->client_reset) {
		assert_memory_equal(got.data, "HTTP/1.1 400", 12);
		assert_non_null(strstr(got.data, "https://"));
	}
	if (!text)
		assert_int_equal(got.n, 0);
	assert_int_equal(stats().tls_failures, 1);
	sim_peer_free(&peer);
	sim_scene_end(&scene);
}

/* However it drips, a handshake has its time and no more. */
static void slow_handshake(uint64_t seed)
{
	static const struct sim_options calm;
	struct sim_rand r = {seed};
	tako_server_config cfg = {.size = sizeof cfg};
	struct sim_peer *p;
	struct sim_script *c;
	uint64_t since;

	cfg.tls_handshake_timeout_ms = (uint32_t)sim_rand_size(&r, 60000);
	sim_scene_begin(&scene, seed, &calm, &cfg);
	c = sim_scene_client(&scene);
	p = &c->peer;
	p->talk.bytes_max = sim_rand_below(&r, 2);
	p->talk.pause_ns_max = cfg.tls_handshake_timeout_ms * SIM_MS / 10 + 1;
	p->mute = !p->talk.bytes_max;
	sim_scene_turn(&scene);
	since = now();
	for (unsigned i = 0; i < SIM_TURNS_MAX && !p->link->server_closed; i++)
		sim_scene_turn(&scene);
	assert_true(p->link->server_closed);
	assert_false(sim_script_ready(c));
	assert_true(now() - since >= cfg.tls_handshake_timeout_ms * SIM_MS);
	assert_true(now() - since <= (cfg.tls_handshake_timeout_ms + 1) * SIM_MS);
	assert_int_equal(stats().timeouts, 1);
	assert_int_equal(stats().tls_failures, 1);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST_OVER_TLS(sessions),
		SIM_TEST_OVER_TLS(wrong_byte),
		SIM_TEST_OVER_TLS(cut),
		SIM_TEST_OVER(plain, tls),
		SIM_TEST_OVER(slow_handshake, tls),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

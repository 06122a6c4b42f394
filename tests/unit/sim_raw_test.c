/* SPDX-License-Identifier: MIT
 *
 * Raw connections in the simulated world: what comes back is what was sent, as far as it goes, however it
 * is cut up and whoever leaves when; each connection is told its end once; nothing leaks and the contract
 * of the runtime is kept (sim_server_end).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "sim/sim_peer.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum { CLIENTS = 5, SAID_MAX = 60000, TURNS_MAX = 200000, HIGH_BYTES = 5000, UNSENT_MAX = 400000 };

/* One client, and what it has heard: the same bytes as it has said. */
struct client {
	struct sim_peer peer;
	size_t heard;
	bool wrong;
	bool left;
};

/* What a connection is and has been through; in its own memory. */
struct mine {
	uint64_t magic;
	bool paused;
	bool told_end;
};

static struct {
	struct sim_server server;
	struct client clients[CLIENTS];
	unsigned count;
	unsigned opened;
	unsigned closed;
	unsigned in_order;
	bool ends; /* its user answers the peer's end by itself */
	bool drains;
	unsigned quits_permille; /* closes, cuts off or fails now and then */
} world;

static const uint64_t MAGIC = 0x7a6b6f;

static struct sim_rand *rand_of(void)
{
	return &world.server.sim.rand;
}

/* ---- The program ------------------------------------------------------------------------------- */

static int on_open(tako_raw *c, void *arg)
{
	struct mine *m = tako_raw_user(c);

	assert_ptr_equal(arg, &world);
	assert_int_equal(m->magic, 0);
	m->magic = MAGIC;
	world.opened++;
	return sim_rand_chance(rand_of(), world.quits_permille) ? TAKO_ESTATE : 0;
}

static int quit(tako_raw *c)
{
	switch (sim_rand_below(rand_of(), 3)) {
	case 0:
		tako_raw_close(c);
		return 0;
	case 1:
		tako_raw_abort(c);
		return 0;
	default:
		return TAKO_EPROTO;
	}
}

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	struct mine *m = tako_raw_user(c);
	int64_t unsent;

	(void)arg;
	assert_int_equal(m->magic, MAGIC);
	assert_false(m->told_end || m->paused);
	unsent = tako_raw_send(c, data);
	if (unsent == TAKO_ESTATE || unsent == TAKO_ENOMEM)
		return 0;
	assert_true(unsent > 0 && (uint64_t)unsent == tako_raw_unsent(c));
	if (sim_rand_chance(rand_of(), world.quits_permille))
		return quit(c);
	m->paused = unsent >= HIGH_BYTES;
	if (m->paused)
		tako_raw_pause(c);
	return 0;
}

static void on_writable(tako_raw *c, void *arg)
{
	struct mine *m = tako_raw_user(c);

	(void)arg;
	assert_int_equal(m->magic, MAGIC);
	assert_true(tako_raw_unsent(c) < HIGH_BYTES);
	m->paused = false;
	tako_raw_resume(c);
}

static int on_end(tako_raw *c, void *arg)
{
	struct mine *m = tako_raw_user(c);

	(void)arg;
	assert_false(m->told_end || m->paused);
	m->told_end = true;
	tako_raw_end(c);
	tako_raw_end(c);
	assert_int_equal(tako_raw_send(c, TAKO_STR("x")), TAKO_ESTATE);
	return 0;
}

static void on_drain(tako_raw *c, void *arg)
{
	(void)arg;
	if (sim_rand_chance(rand_of(), 500))
		tako_raw_end(c);
	else
		tako_raw_close(c);
}

static void on_close(tako_raw *c, int why, void *arg)
{
	struct mine *m = tako_raw_user(c);

	(void)arg;
	assert_int_equal(m->magic, MAGIC);
	m->magic = 0;
	world.closed++;
	assert_true(why <= 0);
	world.in_order += why == 0;
}

/* ---- The world ------------------------------------------------------------------------------------ */

static void hear(void *arg, const char *p, size_t n)
{
	struct client *c = arg;

	/* Held back by the test: what it has said is still there to compare. */
	c->wrong |= c->heard + n > c->peer.out_n || memcmp(c->peer.out + c->heard, p, n) != 0;
	c->heard += n;
}

static void begin_in(uint64_t seed, const struct sim_options *options,
                     const tako_server_config *cfg, uint32_t idle_ms)
{
	tako_raw_config raw = {.size = sizeof raw,
	                       .on_open = on_open,
	                       .on_data = on_data,
	                       .on_writable = on_writable,
	                       .on_close = on_close,
	                       .arg = &world,
	                       .user_bytes = sizeof(struct mine),
	                       .write_high_bytes = HIGH_BYTES,
	                       .max_unsent_bytes = UNSENT_MAX,
	                       .idle_timeout_ms = idle_ms};

	memset(&world, 0, sizeof world);
	sim_server_begin(&world.server, seed, options);
	world.ends = sim_rand_chance(rand_of(), 500);
	world.drains = sim_rand_chance(rand_of(), 500);
	if (world.ends)
		raw.on_end = on_end;
	if (world.drains)
		raw.on_drain = on_drain;
	sim_server_start(&world.server, tako_router_new(), cfg, tako_raw_tcp(),
	                 TAKO_LISTEN_CONFIG(.raw = &raw));
}

static void begin(uint64_t seed, const tako_server_config *cfg, uint32_t idle_ms)
{
	begin_in(seed, NULL, cfg, idle_ms);
}

static struct client *add_client(size_t bytes)
{
	struct client *c = &world.clients[world.count++];
	char text[4096];

	sim_alloc_hold();
	sim_peer_open(&c->peer, &world.server.sim, hear, c);
	sim_peer_draw(&c->peer);
	while (bytes) {
		size_t n = bytes < sizeof text ? bytes : sizeof text;

		for (size_t i = 0; i < n; i++)
			text[i] = (char)sim_rand_below(rand_of(), 256);
		sim_peer_say(&c->peer, text, n);
		bytes -= n;
	}
	sim_alloc_go_on();
	return c;
}

static void turn(void)
{
	for (unsigned i = 0; i < world.count; i++) {
		if (!world.clients[i].left)
			sim_peer_turn(&world.clients[i].peer);
	}
	sim_server_step(&world.server);
}

static void end(void)
{
	sim_server_end(&world.server);
	assert_int_equal(world.opened, world.closed);
	for (unsigned i = 0; i < world.count; i++) {
		assert_false(world.clients[i].wrong);
		sim_alloc_hold();
		sim_peer_free(&world.clients[i].peer);
		sim_alloc_go_on();
	}
}

/* ---- The tests --------------------------------------------------------------------------------------- */

static bool all_over(void)
{
	for (unsigned i = 0; i < world.count; i++) {
		struct client *c = &world.clients[i];

		if (!c->left && sim_peer_silent(&c->peer) && !c->peer.link->up.fin)
			sim_shut(c->peer.link);
		if (!sim_ended(c->peer.link))
			return false;
	}
	return true;
}

/* Everything comes back, and both ends are ends. */
static void echoes(uint64_t seed)
{
	begin(seed, NULL, TAKO_OFF);
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client(sim_rand_size(rand_of(), SAID_MAX));
	for (unsigned i = 0; i < TURNS_MAX && !all_over(); i++)
		turn();
	for (unsigned i = 0; i < world.count; i++) {
		const struct client *c = &world.clients[i];

		assert_true(sim_ended(c->peer.link) && !c->peer.link->client_reset);
		assert_int_equal(c->heard, c->peer.out_n);
	}
	for (unsigned i = 0; i < TURNS_MAX && world.closed < world.count; i++)
		turn();
	assert_int_equal(world.in_order, world.count);
	end();
}

/* Whoever reads nothing for some seconds, as one may, has lost nothing: wherever a send was just then. */
static void pauses(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .min_rate_bytes = TAKO_OFF};
	static const struct sim_options narrow = {
		.net = {.send_bytes = 3000, .window_bytes = 1000}};

	begin_in(seed, &narrow, &cfg, TAKO_OFF);
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client(sim_rand_between(rand_of(), HIGH_BYTES, 3 * HIGH_BYTES));
	for (unsigned round = 0; round < 6; round++) {
		for (uint64_t i = sim_rand_size(rand_of(), 100); i; i--)
			turn();
		for (unsigned i = 0; i < world.count; i++)
			world.clients[i].peer.deaf = true;
		for (unsigned i = 0; i < 20; i++)
			turn();
		sim_server_pass(&world.server, 2500 * SIM_MS);
		for (unsigned i = 0; i < world.count; i++)
			world.clients[i].peer.deaf = false;
	}
	for (unsigned i = 0; i < TURNS_MAX && !all_over(); i++)
		turn();
	for (unsigned i = 0; i < world.count; i++) {
		const struct client *c = &world.clients[i];

		assert_true(sim_ended(c->peer.link) && !c->peer.link->client_reset);
		assert_int_equal(c->heard, c->peer.out_n);
	}
	end();
}

static void leave(struct client *c)
{
	if (sim_rand_chance(rand_of(), 400))
		sim_reset(c->peer.link);
	else if (sim_rand_chance(rand_of(), 500))
		sim_close(c->peer.link);
	else if (!c->peer.link->up.fin)
		sim_shut(c->peer.link);
	c->left = true;
}

/* At any point, by whoever: the peer, the program, the server. */
static void departures(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = 2000};
	uint64_t turns;

	begin(seed, &cfg, 0);
	world.quits_permille = (unsigned)sim_rand_below(rand_of(), 50);
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client(sim_rand_size(rand_of(), SAID_MAX));
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++) {
		struct client *c = &world.clients[sim_rand_below(rand_of(), world.count)];

		turn();
		if (!c->left && sim_rand_chance(rand_of(), 10))
			leave(c);
	}
	end();
}

/* Who neither reads nor says anything is gone when its time is over, paused or not. */
static void frozen(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .linger_timeout_ms = 1000};
	uint64_t turns;

	begin(seed, &cfg, 20000);
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client(sim_rand_size(rand_of(), SAID_MAX));
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++)
		turn();
	for (unsigned i = 0; i < world.count; i++)
		world.clients[i].peer.deaf = world.clients[i].peer.mute = true;
	for (unsigned i = 0; i < 12; i++)
		sim_server_pass(&world.server, 10000 * SIM_MS);
	assert_int_equal(world.opened, world.closed);
	end();
}

/* An allocation fails, or all from one on: connections end, and are told so. */
static void without_memory(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = 2000};

	begin(seed, &cfg, 0);
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client(sim_rand_size(rand_of(), SAID_MAX));
	sim_alloc_fail(sim_rand_between(rand_of(), 1, 40), sim_rand_chance(rand_of(), 300));
	for (unsigned i = 0; i < 300; i++)
		turn();
	(void)sim_alloc_calm();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(echoes), SIM_TEST(pauses),         SIM_TEST(departures),
		SIM_TEST(frozen), SIM_TEST(without_memory),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

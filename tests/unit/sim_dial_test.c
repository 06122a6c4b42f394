/* SPDX-License-Identifier: MIT
 *
 * Connections that a server makes, in the simulated world: names that are answered when it pleases them,
 * addresses of which some refuse and some are silent, and users who lose patience.  Whoever asks is told once
 * or, having cancelled, never; whom there is to reach is reached; addresses are tried as RFC 8305 has it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/conn.h"
#include "core/dial.h"
#include "core/resolve.h"
#include "core/server.h"
#include "core/target.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum {
	DIALS = 4,
	PER_FAMILY = 5,
	DELAY_MS = 250,
	PATIENCE_MS = 60000,
	TURNS_MAX = 200000,
};

enum fate { ANSWERS, REFUSES, SILENT, FATES };

/* One name with its addresses, and what has become of it.  The third byte of an address is the name's
 * number, the last one its own. */
struct one {
	struct tako__dial *dial;
	struct tako__conn *conn;
	struct tako__lookup *lookups[2]; /* IPv6's first; NULL: not asked, or answered */
	unsigned n[2];                   /* addresses; 0: none */
	enum fate fate[2][PER_FAMILY];
	uint64_t answer_ns[2]; /* when the resolver does */
	bool found[2];
	unsigned tried[2];
	int last_family;
	uint64_t tried_ns;
	bool refused; /* the last one that was tried, or more */
	unsigned done;
	int err;
	bool cancelled;
	unsigned got;
	unsigned finis;
};

static struct {
	struct sim_server server;
	struct one ones[DIALS];
	bool strict; /* nothing fails by chance: what is due can be said exactly */
} world;

static struct sim_rand *rand_of(void)
{
	return &world.server.sim.rand;
}

/* ---- The world ------------------------------------------------------------------------------------ */

static void on_begin(struct tako__lookup *l, const char *name, int family, void *arg)
{
	struct one *o = &world.ones[name[0] - 'a'];
	unsigned f = family == AF_INET6 ? 0 : 1;

	(void)arg;
	o->lookups[f] = l;
	o->answer_ns[f] = sim_now(&world.server.sim) + sim_rand_below(rand_of(), 200 * SIM_MS);
}

static const struct tako__resolver_hook hook = {.begin = on_begin};

static void answer(struct one *o, unsigned f)
{
	struct tako__resolved r = {.count = o->n[f]};
	struct tako__lookup *l = o->lookups[f];

	for (unsigned i = 0; i < r.count; i++) {
		unsigned char *v6 = r.ips[i].in6.sin6_addr.s6_addr;
		uint32_t id = (uint32_t)(o - world.ones) << 8 | i;

		r.ips[i].any.sa_family = f == 0 ? AF_INET6 : AF_INET;
		if (f == 0) {
			v6[0] = 0xfd;
			v6[14] = (unsigned char)(id >> 8);
			v6[15] = (unsigned char)id;
		} else {
			r.ips[i].in.sin_addr.s_addr = htonl(0x0a000000 | id);
		}
	}
	if (!r.count)
		r.err = sim_rand_chance(rand_of(), 500) ? TAKO_ENOENT : TAKO_EBUSY;
	o->lookups[f] = NULL;
	o->found[f] = true;
	tako__lookup_answer(l, &r);
}

static void answer_due(void)
{
	uint64_t now = sim_now(&world.server.sim);

	for (unsigned i = 0; i < DIALS; i++) {
		for (unsigned f = 0; f < 2; f++) {
			struct one *o = &world.ones[i];

			if (o->lookups[f] && o->answer_ns[f] <= now)
				answer(o, f);
			if (o->lookups[f] && o->answer_ns[f] < world.server.sim.alarm_ns)
				world.server.sim.alarm_ns = o->answer_ns[f];
		}
	}
}

/* One of each family in turn as far as they are known, each some time after the one before unless that has
 * refused. */
static void check_order(struct one *o, unsigned f, unsigned index)
{
	unsigned other = 1 - f;
	uint64_t now = sim_now(&world.server.sim);

	assert_int_equal(index, o->tried[f]);
	if (o->tried[0] + o->tried[1] && world.strict) {
		if (!o->refused)
			assert_true(now >= o->tried_ns + DELAY_MS * SIM_MS);
		/* Its mail may be on its way. */
		if ((int)f == o->last_family && o->found[other])
			assert_true(o->tried[other] == o->n[other] ||
			            now < o->answer_ns[other] + 2 * SIM_MS);
	}
	o->tried[f]++;
	o->last_family = (int)f;
	o->tried_ns = now;
	o->refused = false;
}

static struct sim_remote remote(struct sim *sim, const struct sockaddr *to, void *arg)
{
	unsigned f = to->sa_family == AF_INET6 ? 0 : 1;
	const unsigned char *v6 =
		((const struct sockaddr_in6 *)(const void *)to)->sin6_addr.s6_addr;
	uint32_t id = f ? ntohl(((const struct sockaddr_in *)(const void *)to)->sin_addr.s_addr)
	                : (uint32_t)v6[14] << 8 | v6[15];
	struct one *o = &world.ones[id >> 8 & 3];
	enum fate fate = o->fate[f][id & 7];

	(void)arg;
	check_order(o, f, id & 7);
	o->refused = fate == REFUSES;
	return (struct sim_remote){fate == REFUSES ? ECONNREFUSED : 0,
	                           fate == SILENT ? SIM_NEVER : sim_rand_below(&sim->rand, SIM_MS)};
}

/* ---- Who asks ---------------------------------------------------------------------------------------- */

struct state {
	struct one *one;
};

static struct state *state_of(struct tako__conn *c)
{
	return (struct state *)(void *)c->proto_state;
}

static int client_open(struct tako__conn *c)
{
	return tako__conn_write(c, "x", 1);
}

static void client_recv(struct tako__conn *c, char *p, ssize_t res)
{
	(void)p;
	if (res > 0)
		state_of(c)->one->got += (unsigned)res;
	else
		tako__conn_close(c);
}

static void client_nothing(struct tako__conn *c)
{
	(void)c;
}

static void client_drain(struct tako__conn *c)
{
	tako__conn_close(c);
}

static void client_fini(struct tako__conn *c)
{
	state_of(c)->one->finis++;
	state_of(c)->one->conn = NULL;
}

static const struct tako__proto_ops client_ops = {
	.name = "x",
	.open = client_open,
	.recv = client_recv,
	.written = client_nothing,
	.tick = client_nothing,
	.drain = client_drain,
	.fini = client_fini,
};

static void on_dialed(const struct tako__dialed *r, void *arg)
{
	struct one *o = arg;

	assert_false(o->cancelled);
	o->done++;
	o->err = r->err;
	o->dial = NULL;
	if (r->err < 0) {
		assert_null(r->conn);
		assert_string_not_equal(tako_last_error(), "");
		return;
	}
	o->conn = r->conn;
	if (tako__conn_become(r->conn, &client_ops) < 0)
		tako__conn_close(r->conn);
	state_of(r->conn)->one = o;
}

static void draw(struct one *o)
{
	*o = (struct one){.last_family = -1};
	for (unsigned f = 0; f < 2; f++) {
		o->n[f] = (unsigned)sim_rand_below(rand_of(), PER_FAMILY + 1);
		for (unsigned i = 0; i < PER_FAMILY; i++)
			o->fate[f][i] = (enum fate)sim_rand_below(rand_of(), FATES);
	}
}

static void call(unsigned i)
{
	struct one *o = &world.ones[i];
	const char name[] = {(char)('a' + i), '.', 't'};
	struct tako__target t;
	int rc;

	assert_int_equal(tako__target_host(&t, (tako_str){name, 3}, 80), 0);
	rc = tako__dial(&o->dial, &world.server.srv->workers[0], &t,
	                &(struct tako__dial_options){.timeout_ms = PATIENCE_MS}, on_dialed, o);
	assert_int_equal(rc, 0);
}

static void begin(uint64_t seed, bool strict)
{
	struct sim_options options;
	struct sim_rand r;

	sim_rand_init(&r, ~seed);
	sim_options_draw(&options, &r);
	world.strict = strict;
	if (strict) {
		options.skip_permille = 0;
		options.net.delay_ns_max = 0;
	} else {
		options.connect_error_permille = 200;
		options.start_error_permille = 50;
	}
	tako__resolver_hook = &hook;
	sim_server_begin(&world.server, seed, &options);
	world.server.sim.remote = remote;
	sim_server_start(&world.server, tako_router_new(),
	                 TAKO_SERVER_CONFIG(.resolve_cache_ms = TAKO_OFF,
	                                    .connect_attempt_delay_ms = DELAY_MS),
	                 NULL, NULL);
	for (unsigned i = 0; i < DIALS; i++) {
		draw(&world.ones[i]);
		call(i);
	}
}

static bool all_over(void)
{
	for (unsigned i = 0; i < DIALS; i++) {
		if (!world.ones[i].done && !world.ones[i].cancelled)
			return false;
	}
	return true;
}

static void step(void)
{
	answer_due();
	sim_server_step(&world.server);
}

static bool has(const struct one *o, enum fate fate)
{
	for (unsigned f = 0; f < 2; f++) {
		for (unsigned i = 0; i < o->n[f]; i++) {
			if (o->fate[f][i] == fate)
				return true;
		}
	}
	return false;
}

static int due(const struct one *o)
{
	if (has(o, ANSWERS))
		return 0;
	if (has(o, SILENT))
		return TAKO_ETIMEDOUT;
	return o->n[0] + o->n[1] ? TAKO_ESYS : 0;
}

static void end(void)
{
	for (unsigned i = 0; i < DIALS; i++) {
		for (unsigned f = 0; f < 2; f++)
			world.ones[i].lookups[f] = NULL;
	}
	sim_server_end(&world.server);
	tako__resolver_hook = NULL;
	for (unsigned i = 0; i < DIALS; i++) {
		const struct one *o = &world.ones[i];

		assert_int_equal(o->done, !o->cancelled);
		assert_int_equal(o->finis, o->done && !o->err);
	}
}

/* Whom there is to reach is reached; what is told otherwise is why not. */
static void reaches(uint64_t seed)
{
	begin(seed, true);
	for (unsigned i = 0; i < TURNS_MAX && !all_over(); i++)
		step();
	for (unsigned i = 0; i < DIALS; i++) {
		const struct one *o = &world.ones[i];

		assert_int_equal(o->done, 1);
		if (o->n[0] + o->n[1])
			assert_int_equal(o->err, due(o));
		else
			assert_true(o->err == TAKO_ENOENT || o->err == TAKO_EBUSY);
	}
	end();
}

/* Whatever fails and whoever gives up or stops the server when: once, or never. */
static void is_told_once(uint64_t seed)
{
	unsigned turns;

	begin(seed, false);
	turns = (unsigned)sim_rand_below(rand_of(), 400);
	for (unsigned i = 0; i < turns && !all_over(); i++) {
		struct one *o = &world.ones[sim_rand_below(rand_of(), DIALS)];

		if (o->dial && sim_rand_chance(rand_of(), 30)) {
			tako__dial_cancel(o->dial);
			o->cancelled = true;
			o->dial = NULL;
		}
		step();
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(reaches),
		SIM_TEST(is_told_once),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Exchanges that become a stream of bytes of their own, in the simulated world, whatever they are carried
 * by: taken at once or late, read at any pace, ended by either side, and with a server that stops.  What
 * comes back is what was said, to the byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/exchange.h"
#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

enum { STREAM_BYTES_MAX = 40000, LATE_MS_MAX = 300 };

static struct sim_scene scene;
static unsigned taken;
static unsigned stopped_count;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

/* ---- The server ------------------------------------------------------------------------- */

static void go_on(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

static int echo(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = 0;

	(void)arg;
	if (data.n)
		rc = tako_res_write(res, data, NULL, NULL);
	if (rc < 0 || end)
		return rc < 0 ? (int)rc : tako_res_end(res);
	if (!sim_rand_chance(rand_of(), 200))
		return 0;
	rc = tako_res_after(res, (uint32_t)sim_rand_below(rand_of(), 10), go_on, req);
	if (rc == 0)
		tako_req_pause(req);
	return (int)rc;
}

static void on_stop(tako_res *res, void *arg)
{
	(void)arg;
	stopped_count++;
	if (tako_res_write(res, TAKO_STR("bye\n"), NULL, NULL) >= 0)
		(void)tako_res_end(res);
}

static int take(tako_req *req)
{
	int rc = tako__exchange_take(tako__x(req), "echo", on_stop, NULL);

	taken += rc == 0;
	return rc < 0 ? rc : tako_req_on_body(req, echo, NULL);
}

static int take_now(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return take(req);
}

static void take_then(tako_res *res, void *arg)
{
	if (!tako_res_closed(res) && take(arg) < 0)
		tako_res_fail(res, TAKO_ENOMEM);
}

static int take_late(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, (uint32_t)sim_rand_size(rand_of(), LATE_MS_MAX), take_then, req);
}

static int refuse(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 403, "refused");
}

static void add_routes(tako_router *r)
{
	tako_get(r, "/take/now", take_now, NULL);
	tako_get(r, "/take/late", take_late, NULL);
	tako_get(r, "/take/not", refuse, NULL);
}

/* ---- The clients ---------------------------------------------------------------------------- */

static void begin(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .linger_timeout_ms = 600000,
	                                       .drain_timeout_ms = 600000,
	                                       .write_timeout_ms = 600000,
	                                       .min_rate_bytes = TAKO_OFF};

	taken = stopped_count = 0;
	scene = (struct sim_scene){.routes = add_routes, .two = seed % 3 == 0};
	sim_scene_begin(&scene, seed, NULL, &cfg);
}

static void ask(struct sim_script *c, bool ends)
{
	struct sim_ask a = {.method = "GET", .protocol = "echo"};
	struct sim_expect e = {.status = 101};

	a.body_n = e.body_n = sim_rand_size(rand_of(), STREAM_BYTES_MAX);
	e.key = a.body_n;
	a.body = sim_pattern(a.body_n);
	if (!ends) {
		a.stops_at = a.body_n++;
		e.any_body = true;
	}
	snprintf(a.path, sizeof a.path, "/take/%s",
	         sim_rand_chance(rand_of(), 500) ? "now" : "late");
	sim_script_ask(c, &a, e);
}

static void ask_in_vain(struct sim_script *c)
{
	sim_script_ask(c,
	               &(struct sim_ask){.method = "GET", .path = "/take/not", .protocol = "echo"},
	               (struct sim_expect){.status = 403, .literal = "refused"});
}

/* Over HTTP/1 the last of its connection, over HTTP/2 several, among others. */
static void add_client(bool ends)
{
	struct sim_script *c = sim_scene_client(&scene);

	sim_script_draw(c);
	for (uint64_t i = sim_rand_below(rand_of(), 3); i; i--)
		sim_script_add(c);
	if (sim_rand_chance(rand_of(), 200))
		ask_in_vain(c);
	for (uint64_t i = c->h2 ? sim_rand_size(rand_of(), 3) : 1; i; i--)
		ask(c, ends);
	if (c->h2)
		sim_script_add(c);
}

static void add_clients(bool ends)
{
	for (uint64_t i = sim_rand_size(rand_of(), 3); i; i--)
		add_client(ends);
}

static void turns(size_t n)
{
	while (n--)
		sim_scene_turn(&scene);
}

static bool asks_for_a_stream(const struct sim_script *c, unsigned i)
{
	return c->h2 ? c->h2->streams[i].ask.protocol && c->expect[i].status == 200
	             : c->expect[i].status == 101;
}

/* Over HTTP/1 an answer of a server that stops may say that it is the last. */
static void check_partly(struct sim_script *c)
{
	for (unsigned i = 0; !c->h2 && i < c->http.reply_count; i++) {
		struct sim_reply *r = &c->http.replies[i];

		c->expect[i].close = r->close;
		r->keep_alive = c->expect[i].old && !r->close;
	}
	sim_script_check(c, false);
}

/* ---- Tests -------------------------------------------------------------------------------------- */

static void echoes(uint64_t seed)
{
	begin(seed);
	add_clients(true);
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++) {
		struct sim_script *c = &scene.clients[i];

		/* In TLS the end is bytes, and those that come behind the server's reset it. */
		sim_script_check(c, !c->shell || !c->peer.link->client_reset);
	}
	sim_scene_end(&scene);
}

/* Streams without an end are told of the server's, and have what they said so far in front of it. */
static bool check_stopped(const struct sim_script *c, unsigned i)
{
	const struct sim_reply *r = sim_script_heard(c, i);
	size_t n;

	bool told;

	if (!r || !r->body_n)
		return false;
	n = r->body_n;
	told = n >= 4 && !memcmp(r->body + n - 4, "bye\n", 4);
	if (told)
		n -= 4;
	assert_true(n <= c->expect[i].body_n);
	assert_memory_equal(r->body, sim_pattern(c->expect[i].key), n);
	return told;
}

static void stopped(uint64_t seed)
{
	unsigned count = 0;

	begin(seed);
	add_clients(false);
	turns(sim_rand_size(rand_of(), 500));
	sim_server_stop(&scene.server);
	assert_true(sim_scene_run_out(&scene));
	assert_int_equal(stopped_count, taken);
	for (unsigned i = 0; i < scene.count; i++) {
		struct sim_script *c = &scene.clients[i];

		check_partly(c);
		for (unsigned k = 0; k < c->count; k++) {
			bool told = asks_for_a_stream(c, k) && check_stopped(c, k);

			/* One that came to its end had its last word. */
			if (asks_for_a_stream(c, k) && sim_script_reply(c, k))
				assert_true(told);
			count += told;
		}
	}
	assert_true(count <= taken);
	sim_scene_end(&scene);
}

static void leave(struct sim_script *c)
{
	if (sim_rand_chance(rand_of(), 300))
		sim_reset(c->peer.link);
	else if (sim_rand_chance(rand_of(), 300))
		sim_close(c->peer.link);
	else if (c->h2 && !c->told_end)
		(void)sim_h2_give_up(c->h2, (unsigned)sim_rand_below(rand_of(), c->count),
		                     NGHTTP2_CANCEL);
}

/* Clients that leave at any point. */
static void leaving(uint64_t seed)
{
	begin(seed);
	add_clients(seed % 2);
	for (unsigned i = 0; i < 10; i++) {
		turns(sim_rand_size(rand_of(), 60));
		if (sim_rand_chance(rand_of(), 300))
			leave(&scene.clients[sim_rand_below(rand_of(), scene.count)]);
	}
	for (unsigned i = 0; i < scene.count; i++) {
		struct sim_script *c = &scene.clients[i];

		/* Who leaves has not said all of it. */
		for (unsigned k = 0; k < c->count; k++) {
			if (!asks_for_a_stream(c, k))
				continue;
			c->expect[k].any_body = true;
			(void)check_stopped(c, k);
		}
		sim_script_check(c, false);
	}
	sim_scene_end(&scene);
}

/* A 500 in place of what was due, or an end before it is whole. */
static void check_without_memory(struct sim_script *c)
{
	assert_null(sim_script_bad(c));
	for (unsigned i = 0; i < c->count; i++) {
		const struct sim_reply *r = sim_script_reply(c, i);
		const struct sim_expect *e = &c->expect[i];

		if (!r || r->status == 500)
			continue;
		assert_int_equal(r->status, e->status);
		if (!asks_for_a_stream(c, i))
			continue;
		assert_true(r->body_n <= e->body_n);
		assert_memory_equal(r->body, sim_pattern(e->key), r->body_n);
	}
}

static void without_memory(uint64_t seed)
{
	begin(seed);
	add_clients(true);
	turns(sim_rand_size(rand_of(), 100) - 1);
	sim_alloc_fail(sim_rand_size(rand_of(), 200), sim_rand_chance(rand_of(), 300));
	turns(sim_rand_size(rand_of(), 300));
	sim_alloc_calm();
	assert_true(sim_scene_play(&scene));
	for (unsigned i = 0; i < scene.count; i++)
		check_without_memory(&scene.clients[i]);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(echoes),
		SIM_TEST(stopped),
		SIM_TEST(leaving),
		SIM_TEST(without_memory),
		SIM_TEST_OVER(echoes, h2c),
		SIM_TEST_OVER(stopped, h2c),
		SIM_TEST_OVER(leaving, h2c),
		SIM_TEST_OVER(without_memory, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER(echoes, tls),
		SIM_TEST_OVER(without_memory, tls),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

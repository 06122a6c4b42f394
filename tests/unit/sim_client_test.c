/* SPDX-License-Identifier: MIT
 *
 * The client in the simulated world: many fetches of few origins over fewer connections, and servers that answer,
 * break off, reset, stall, or end a kept connection instead of answering.  Each fetch ends once, and as the last
 * server that heard of it has chosen; what is not idempotent is never heard twice.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum {
	FETCHES = 40,
	ORIGINS = 3,
	HOSTS_MAX = 256, /* links that were ever made */
	RETRIES = 2,
	TEXT_BYTES = 2048,
	TURNS_MAX = 400000,
};

/* What a server does with a request. */
enum fate { ANSWERS, ANSWERS_AND_ENDS, BREAKS_OFF, RESETS, STALLS, ENDS, FATES };

struct asked {
	unsigned ends;
	int err;
	bool right; /* the body */
	bool posts;
	unsigned heard; /* by servers */
	enum fate fate; /* the last */
};

/* The other end of a link. */
struct host {
	struct sim_link *link;
	size_t n;
	bool over;
	char text[TEXT_BYTES];
};

static struct {
	struct sim_server server;
	tako_client *client;
	struct asked asked[FETCHES];
	struct host hosts[HOSTS_MAX];
	unsigned host_count;
	bool kind; /* servers always answer */
} world;

static struct sim_rand *rand_of(void)
{
	return &world.server.sim.rand;
}

/* ---- Servers ----------------------------------------------------------------------------- */

/* Of the response to the nth. */
static size_t body_of(unsigned n, char *to)
{
	size_t bytes = n * 37 % 500;

	for (size_t i = 0; i < bytes; i++)
		to[i] = (char)('a' + (n + i) % 26);
	return bytes;
}

static size_t response_to(unsigned n, char *to, size_t size)
{
	char body[512];
	size_t bytes = body_of(n, body);
	int at;

	if (sim_rand_chance(rand_of(), 500))
		at = snprintf(to, size, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%.*s", bytes,
		              (int)bytes, body);
	else if (bytes)
		at = snprintf(to, size,
		              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n"
		              "0\r\n\r\n",
		              bytes, (int)bytes, body);
	else
		at = snprintf(to, size, "HTTP/1.1 204 No Content\r\n\r\n");
	return (size_t)at;
}

static void answer(struct host *h, unsigned n)
{
	struct asked *a = &world.asked[n];
	char text[TEXT_BYTES];
	size_t bytes = response_to(n, text, sizeof text);
	size_t part = (size_t)sim_rand_below(rand_of(), bytes);

	a->heard++;
	a->fate = ANSWERS;
	if (!world.kind && sim_rand_chance(rand_of(), 400))
		a->fate = (enum fate)sim_rand_below(rand_of(), FATES);
	if (a->fate <= ANSWERS_AND_ENDS)
		part = bytes;
	if (a->fate != ENDS)
		sim_write(h->link, text, part);
	if (a->fate == RESETS)
		sim_reset(h->link);
	else if (a->fate != ANSWERS && a->fate != STALLS)
		sim_close(h->link);
	h->over = a->fate != ANSWERS;
}

/* The length of the whole request at the beginning of the text; 0: it is not there yet. */
static size_t request(const struct host *h, unsigned *ret_n)
{
	const char *end = memmem(h->text, h->n, "\r\n\r\n", 4);
	const char *path = memchr(h->text, '/', h->n);
	const char *length = memmem(h->text, h->n, "Content-Length: ", 16);
	size_t n;

	if (!end)
		return 0;
	n = (size_t)(end - h->text) + 4;
	if (length && length < end)
		n += strtoul(length + 16, NULL, 10);
	*ret_n = (unsigned)strtoul(path + 1, NULL, 10);
	return n <= h->n ? n : 0;
}

static void serve(struct host *h)
{
	unsigned n = 0;
	size_t used;

	h->n += sim_read(h->link, h->text + h->n, sizeof h->text - 1 - h->n);
	h->text[h->n] = '\0';
	while (!h->over && (used = request(h, &n)) > 0) {
		assert_true(n < FETCHES);
		answer(h, n);
		h->n -= used;
		memmove(h->text, h->text + used, h->n + 1);
	}
	if (!h->over && sim_ended(h->link)) {
		sim_close(h->link);
		h->over = true;
	}
	/* One that is kept may end at any time. */
	if (!h->over && !world.kind && !h->n && sim_rand_chance(rand_of(), 2)) {
		sim_close(h->link);
		h->over = true;
	}
}

static void step(void)
{
	struct sim_link *l;

	while ((l = sim_dialled(&world.server.sim.net))) {
		assert_true(world.host_count < HOSTS_MAX);
		world.hosts[world.host_count++] = (struct host){.link = l};
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		if (!world.hosts[i].over)
			serve(&world.hosts[i]);
	}
	sim_server_step(&world.server);
}

/* ---- Who asks ------------------------------------------------------------------------------ */

static int on_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;
	unsigned n = (unsigned)(a - world.asked);
	char body[512];
	size_t bytes = body_of(n, body);
	tako_str got = tako_fetch_body(f);

	a->ends++;
	a->err = err;
	a->right = got.n == bytes && memcmp(got.n ? got.p : "", body, bytes) == 0;
	assert_true((err == 0) == (tako_fetch_why(f)[0] == '\0'));
	return 0;
}

/* Returns how many were taken. */
static unsigned ask(void)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < FETCHES; i++) {
		char url[64];
		int rc;

		snprintf(url, sizeof url, "http://10.0.0.%u/%u", i % ORIGINS + 1, i);
		world.asked[i] = (struct asked){.posts = sim_rand_chance(rand_of(), 300)};
		rc = tako_fetch_post(
			world.client, world.server.srv,
			TAKO_FETCH(.url = url, .on_end = on_end, .arg = &world.asked[i],
		                   .body = world.asked[i].posts ? TAKO_STR("hello")
		                                                : (tako_str){NULL, 0}));
		if (rc < 0) {
			assert_int_equal(rc, TAKO_ENOMEM);
			world.asked[i].ends = 1;
			world.asked[i].err = rc;
		}
		taken += rc == 0;
	}
	return taken;
}

static void begin(uint64_t seed, bool calm, bool kind)
{
	struct sim_options options;
	struct sim_rand r;
	uint32_t idle;

	sim_rand_init(&r, ~seed);
	sim_options_draw(&options, &r);
	idle = (uint32_t)sim_rand_below(&r, 3);
	if (calm) {
		options.connect_error_permille = 0;
		options.start_error_permille = 0;
	}
	world.kind = kind;
	world.host_count = 0;
	sim_server_begin(&world.server, seed, &options);
	sim_server_start(&world.server, tako_router_new(),
	                 TAKO_SERVER_CONFIG(.drain_timeout_ms = 600000), NULL, NULL);
	assert_int_equal(
		tako_client_new(&world.client,
	                        TAKO_CLIENT_CONFIG(.max_connections = 3,
	                                           .max_connections_per_origin = 2,
	                                           .max_idle_per_origin = idle ? idle : TAKO_OFF,
	                                           .max_retry_count = RETRIES,
	                                           .connect_timeout_ms = 3600000,
	                                           .total_timeout_ms = TAKO_OFF)),
		0);
}

static bool all_over(void)
{
	for (unsigned i = 0; i < FETCHES; i++) {
		if (!world.asked[i].ends)
			return false;
	}
	return true;
}

static void run(void)
{
	for (unsigned i = 0; i < TURNS_MAX && !all_over(); i++)
		step();
	assert_true(all_over());
}

static void end(void)
{
	sim_server_stop(&world.server);
	for (unsigned i = 0; i < TURNS_MAX && !world.server.over; i++)
		step();
	tako_client_free(world.client);
	sim_server_end(&world.server);
	for (unsigned i = 0; i < FETCHES; i++) {
		const struct asked *a = &world.asked[i];

		assert_int_equal(a->ends, 1);
		assert_true(a->heard <= (a->posts ? 1 : 1 + RETRIES));
		if (a->err == 0) {
			assert_true(a->heard && a->fate <= ANSWERS_AND_ENDS && a->right);
		}
	}
}

/* ---- Runs ---------------------------------------------------------------------------------------- */

static void is_answered(uint64_t seed)
{
	begin(seed, true, true);
	assert_int_equal(ask(), FETCHES);
	run();
	for (unsigned i = 0; i < FETCHES; i++) {
		assert_int_equal(world.asked[i].err, 0);
		assert_int_equal(world.asked[i].heard, 1);
	}
	end();
}

static int due(const struct asked *a)
{
	if (!a->heard) /* what it was sent on had ended */
		return TAKO_ECLOSED;
	return a->fate == STALLS ? TAKO_ETIMEDOUT : a->fate <= ANSWERS_AND_ENDS ? 0 : TAKO_ECLOSED;
}

static void ends_as_its_server_does(uint64_t seed)
{
	begin(seed, true, false);
	assert_int_equal(ask(), FETCHES);
	run();
	for (unsigned i = 0; i < FETCHES; i++)
		assert_int_equal(world.asked[i].err, due(&world.asked[i]));
	end();
}

/* Connections that cannot be made, a server that stops, memory that is not there. */
static void ends_once(uint64_t seed)
{
	unsigned turns;

	begin(seed, false, false);
	if (sim_rand_chance(rand_of(), 500))
		sim_alloc_fail((size_t)sim_rand_below(rand_of(), 300) + 1, false);
	ask();
	turns = (unsigned)sim_rand_below(rand_of(), 300);
	for (unsigned i = 0; i < turns; i++)
		step();
	sim_alloc_calm();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(is_answered),
		SIM_TEST(ends_as_its_server_does),
		SIM_TEST(ends_once),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

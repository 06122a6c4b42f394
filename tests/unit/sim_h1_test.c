/* SPDX-License-Identifier: MIT
 *
 * What only HTTP/1.1 has, over a network that does everything TCP may do: requests that are none,
 * the ends of connections, and clients that wait to be told to go on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"

static struct sim_scene scene;

/* A body that nobody reads may take long to say over such a network. */
static const tako_server_config patient = {.size = sizeof patient, .linger_timeout_ms = 600000};

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

/* ---- Requests that cannot be answered, or not all ----------------------------------------- */

/* What cannot be a request is refused in the same words however it is cut up, answers before it
 * come first, and what follows it does not keep the refusal from arriving. */
static void malformed(uint64_t seed)
{
	static const struct {
		const char *text;
		int status;
	} heads[] = {
		{"GET  /text/1 HTTP/1.1\r\nHost: sim\r\n\r\n", 400},
		{"GET /text/1 HTTP/1.1\r\nHost : sim\r\n\r\n", 400},
		{"GET /text/1 HTTP/1.1\r\n\r\n", 400},
		{"GET /text/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"GET /text/1 HTTP/1.1\r\nHost: sim\r\n folded: x\r\n\r\n", 400},
		{"GET /text/1 HTTP/1.1\r\nHost: sim\r\nX: \x01\r\n\r\n", 400},
		{"GET /te\x7fxt HTTP/1.1\r\nHost: sim\r\n\r\n", 400},
		{"GET /text/1 HTTP/2.0\r\nHost: sim\r\n\r\n", 505},
		{"POST /echo HTTP/1.1\r\nHost: sim\r\nContent-Length: 1x\r\n\r\n", 400},
		{"POST /echo HTTP/1.1\r\nHost: sim\r\nContent-Length: 1\r\nContent-Length: "
	         "2\r\n\r\n",
	         400},
		{"POST /echo HTTP/1.1\r\nHost: sim\r\nContent-Length: 1\r\n"
	         "Transfer-Encoding: chunked\r\n\r\n",
	         400},
		{"POST /echo HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
		{"POST /whole HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
	         400},
		{"POST /whole HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
	         400},
		{"POST /whole HTTP/1.1\r\nHost: sim\r\nContent-Length: 99999999\r\n\r\n", 413},
		{"GET /%0*d HTTP/1.1\r\nHost: sim\r\n\r\n", 414},
		{"GET / HTTP/1.1\r\nHost: sim\r\nX: %0*d\r\n\r\n", 431},
	};
	size_t which = sim_rand_below(&(struct sim_rand){seed}, sizeof heads / sizeof *heads);
	char text[60000];
	struct sim_script *c;
	size_t n;

	sim_scene_begin(&scene, seed, NULL, &patient);
	c = sim_scene_client(&scene);
	sim_peer_draw(&c->peer);
	for (uint64_t i = sim_rand_below(rand_of(), 4); i; i--)
		sim_script_add(c);
	/* The two long ones. */
	if (heads[which].status == 414 || heads[which].status == 431)
		n = (size_t)snprintf(text, sizeof text,
		                     heads[which].status == 414
		                             ? "GET /%0*d HTTP/1.1\r\nHost: sim\r\n\r\n"
		                             : "GET / HTTP/1.1\r\nHost: sim\r\nX: %0*d\r\n\r\n",
		                     40000, 0);
	else
		n = (size_t)snprintf(text, sizeof text, "%s", heads[which].text);
	sim_peer_say(&c->peer, text, n);
	if (sim_rand_chance(rand_of(), 500))
		sim_peer_say(&c->peer, sim_pattern(seed), sim_rand_size(rand_of(), 5000));
	sim_http1_expect(&c->http, false);
	c->expect[c->count++] = (struct sim_expect){.status = heads[which].status, .close = true};
	assert_true(sim_scene_play(&scene));
	assert_int_equal(c->http.reply_count, c->count);
	assert_int_equal(c->http.replies[c->count - 1].status, heads[which].status);
	assert_true(c->http.replies[c->count - 1].close);
	assert_true(c->http.replies[c->count - 1].body_n > 0);
	assert_true(sim_ended(c->peer.link) && !c->peer.link->client_reset);
	c->count--;
	c->http.reply_count--;
	sim_script_check(c, false);
	sim_scene_end(&scene);
}

/* The server says when it is enough: that answer arrives whole, though the client talks on. */
static void request_count(uint64_t seed)
{
	static const struct sim_expect seven = {.status = 200, .text = true, .key = 7};
	tako_server_config cfg = patient;
	struct sim_script *c;
	unsigned asked;

	cfg.keepalive_request_count = (uint32_t)(seed % 10 + 1);
	sim_scene_begin(&scene, seed, NULL, &cfg);
	c = sim_scene_client(&scene);
	sim_peer_draw(&c->peer);
	asked = cfg.keepalive_request_count + (unsigned)sim_rand_below(rand_of(), 30);
	for (unsigned i = 0; i < asked; i++)
		sim_script_get(c, "/text/7", seven);
	c->count = cfg.keepalive_request_count;
	c->expect[c->count - 1].close = true;
	assert_true(sim_scene_play(&scene));
	sim_script_check(c, true);
	sim_scene_end(&scene);
}

/* ---- The same bytes, whole and in pieces ------------------------------------------------ */

struct answers {
	unsigned count;
	bool whole; /* there is nothing behind the last */
	bool reset;
	int status[SIM_REPLIES_MAX];
	bool close[SIM_REPLIES_MAX];
	size_t body_n[SIM_REPLIES_MAX];
	char *body[SIM_REPLIES_MAX];
};

/* Say `text`, then end our side, so that nothing waits for what a mutation has promised. */
static void converse(uint64_t seed, const struct sim_options *options, const char *text, size_t n,
                     struct answers *out)
{
	struct sim_script *c;

	sim_scene_begin(&scene, seed, options, &patient);
	c = sim_scene_client(&scene);
	if (!options)
		sim_peer_draw(&c->peer);
	for (unsigned i = 0; i < SIM_REPLIES_MAX; i++)
		sim_http1_expect(&c->http, false);
	sim_peer_say(&c->peer, text, n);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !c->told_end; i++) {
		if (sim_peer_silent(&c->peer))
			sim_shut(c->peer.link);
		sim_scene_turn(&scene);
	}
	assert_true(c->told_end);
	assert_null(c->http.bad);
	*out = (struct answers){.count = c->http.reply_count,
	                        .whole = !sim_http1_partial(&c->http),
	                        .reset = c->peer.link->client_reset};
	for (unsigned i = 0; i < out->count; i++) {
		out->status[i] = c->http.replies[i].status;
		out->close[i] = c->http.replies[i].close;
		out->body_n[i] = c->http.replies[i].body_n;
		out->body[i] = c->http.replies[i].body;
		c->http.replies[i].body = NULL;
	}
	sim_scene_end(&scene);
}

static void free_answers(struct answers *a)
{
	for (unsigned i = 0; i < a->count; i++)
		free(a->body[i]);
}

/* A request is broken at a place or two.  Nobody knows what the answer has to be, but it must not
 * depend on the network. */
static void mutations(uint64_t seed)
{
	static const char good[] =
		"POST /echo?x=%41 HTTP/1.1\r\nHost: sim\r\n"
		"Transfer-Encoding: chunked\r\nX-Filler: abc\r\n\r\n"
		"5;a=b\r\nhello\r\n3\r\nyou\r\n0\r\nX-Sum: 1\r\n\r\n"
		"POST /whole HTTP/1.1\r\nHost: sim\r\nContent-Length: 5\r\n\r\nworld"
		"GET /text/5 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
		"GET http://sim/pieces/3000 HTTP/1.1\r\nHost: sim\r\n\r\n";
	static const char spice[] = "\r\n :;,0159afGxX%/?\t\"\x01\x80";
	static const struct sim_options calm;
	char text[sizeof good];
	struct answers whole;
	struct answers pieces;
	struct sim_rand r;

	sim_rand_init(&r, seed);
	memcpy(text, good, sizeof good);
	for (uint64_t i = sim_rand_below(&r, 3) + 1; i; i--)
		text[sim_rand_below(&r, sizeof good - 1)] =
			spice[sim_rand_below(&r, sizeof spice - 1)];
	converse(seed, &calm, text, sizeof good - 1, &whole);
	converse(seed, NULL, text, sizeof good - 1, &pieces);
	assert_false(whole.reset);
	/* A client that says that it will say no more, and does, may lose what it has not read. */
	if (!pieces.reset) {
		assert_int_equal(whole.count, pieces.count);
		assert_int_equal(whole.whole, pieces.whole);
	}
	assert_true(pieces.count <= whole.count);
	for (unsigned i = 0; i < pieces.count; i++) {
		assert_int_equal(whole.status[i], pieces.status[i]);
		assert_int_equal(whole.close[i], pieces.close[i]);
		assert_int_equal(whole.body_n[i], pieces.body_n[i]);
		if (whole.body_n[i])
			assert_memory_equal(whole.body[i], pieces.body[i], whole.body_n[i]);
	}
	free_answers(&whole);
	free_answers(&pieces);
}

/* ---- Expect: 100-continue ------------------------------------------------------------------ */

/* A client that waits is told once, and before anything else; one whose body is not wanted gets
 * its answer instead, and the end. */
static void continues(uint64_t seed)
{
	struct sim_script *c;
	const char *path;
	bool old;
	bool ignored;
	size_t n;

	sim_scene_begin(&scene, seed, NULL, &patient);
	c = sim_scene_client(&scene);
	sim_peer_draw(&c->peer);
	n = sim_rand_size(rand_of(), 50000);
	old = sim_rand_chance(rand_of(), 200);
	ignored = sim_rand_chance(rand_of(), 300);
	path = ignored ? "/ignore" : sim_rand_chance(rand_of(), 500) ? "/echo" : "/whole";
	sim_peer_sayf(&c->peer,
	              "POST %s HTTP/1.%d\r\nHost: sim\r\nExpect: 100-continue\r\n"
	              "Content-Length: %zu\r\n\r\n",
	              path, !old, n);
	sim_http1_expect(&c->http, false);
	c->expect[c->count++] = (struct sim_expect){.status = 200, .close = true};
	for (unsigned i = 0; i < SIM_TURNS_MAX; i++) {
		sim_scene_turn(&scene);
		if (c->http.replies[0].continue_count || c->http.reply_count || old)
			break;
	}
	assert_int_equal(c->http.replies[0].continue_count, !ignored && !old);
	if (!ignored || old)
		sim_peer_say(&c->peer, sim_pattern(3), n);
	if (!ignored && !old && sim_rand_chance(rand_of(), 500))
		sim_script_add_last(c);
	for (unsigned i = 0; i < SIM_TURNS_MAX && c->http.reply_count < c->count; i++)
		sim_scene_turn(&scene);
	assert_null(c->http.bad);
	assert_int_equal(c->http.reply_count, c->count);
	assert_int_equal(c->http.replies[0].status, 200);
	assert_int_equal(c->http.replies[0].close, ignored || old);
	assert_int_equal(c->http.replies[0].continue_count, !ignored && !old);
	assert_int_equal(c->http.replies[0].body_n, ignored ? 7 : n);
	if (!ignored)
		assert_memory_equal(c->http.replies[0].body, sim_pattern(3), n);
	sim_scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(malformed),
		SIM_TEST(request_count),
		SIM_TEST(mutations),
		SIM_TEST(continues),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

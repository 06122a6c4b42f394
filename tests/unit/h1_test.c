/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 connection: whose time a pause is, and what becomes of a last answer when its client
 * has said more than it should.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "sim/sim_server.h"
#include "unit/stepped.h"

enum { BODY_N = 1000, PAUSE_MS = 60000, SECOND_MS = 1000 };

static struct sim_server server;
static struct sim_link *client;
static char got[4096];
static size_t got_n;
static bool pauses;

static struct stepped real;
static struct peer peer;
static const char *afterthought; /* what its client says while the handler runs */

/* ---- The program ------------------------------------------------------------------- */

static void go_on(tako_res *res, void *req)
{
	(void)res;
	tako_req_resume(req);
}

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)data, (void)arg;
	if (end)
		return tako_res_send(res, 200, "text/plain", TAKO_STR("thanks"));
	if (!pauses)
		return 0;
	pauses = false;
	tako_req_pause(req);
	return tako_res_after(res, PAUSE_MS, go_on, req);
}

static int upload(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, on_body, arg);
}

/* Asks for the body when it has time for it. */
static void ask_later(tako_res *res, void *req)
{
	if (tako_req_on_body(req, on_body, NULL) < 0)
		tako_res_error(res, 500);
}

static int late(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, PAUSE_MS, ask_later, req);
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	assert_int_equal(write(peer.fd, afterthought, strlen(afterthought)), strlen(afterthought));
	return tako_res_send(res, 200, "text/plain", TAKO_STR("Hello, World!"));
}

static void begin(void)
{
	tako_router *router;

	sim_server_begin(&server, 1, NULL);
	router = tako_router_new();
	tako_post(router, "/upload", upload, NULL);
	tako_post(router, "/late", late, NULL);
	sim_server_start(&server, router, NULL, NULL, NULL);
	client = sim_connect(&server.sim.net);
	got_n = 0;
}

static void end(void)
{
	sim_close(client);
	sim_server_end(&server);
}

/* ---- The client -------------------------------------------------------------------------- */

static void say(const char *text)
{
	sim_write(client, text, strlen(text));
}

static void say_bytes(size_t n)
{
	static const char bytes[BODY_N];

	sim_write(client, bytes, n);
}

static void pass(uint64_t ms)
{
	sim_server_pass(&server, ms * SIM_MS);
	got_n += sim_read(client, got + got_n, sizeof got - 1 - got_n);
	got[got_n] = '\0';
}

static void assert_status(const char *line)
{
	assert_memory_equal(got, line, strlen(line));
}

static uint64_t timeouts(void)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(server.srv, &stats), 0);
	return stats.timeouts;
}

/* ---- Whose time it is --------------------------------------------------------------------- */

static const char upload_head[] =
	"POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n";
static const char late_head[] = "POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n";

/* 90 bytes a second, where 64 are asked for. */
static void drip_rest(void)
{
	for (unsigned i = 0; i < 10; i++) {
		pass(SECOND_MS);
		assert_int_equal(got_n, 0);
		say_bytes(90);
	}
	pass(SECOND_MS);
	assert_status("HTTP/1.1 200 OK\r\n");
	assert_int_equal(timeouts(), 0);
}

static void test_pause_is_not_slow(void **state)
{
	(void)state;
	pauses = true;
	begin();
	say(upload_head);
	say_bytes(100);
	pass(PAUSE_MS);
	drip_rest();
	end();
}

/* Nor is it where the body was not asked for at once. */
static void test_late_is_not_slow(void **state)
{
	(void)state;
	begin();
	say(late_head);
	say_bytes(100);
	pass(PAUSE_MS);
	drip_rest();
	end();
}

/* What has come while nobody took it buys no more than any other byte. */
static void test_silence_after_a_pause(void **state)
{
	(void)state;
	pauses = true;
	begin();
	say(upload_head);
	say_bytes(1);
	pass(PAUSE_MS + SECOND_MS);
	/* The rate is looked at from ten seconds of the peer's own time on. */
	pass(8 * SECOND_MS);
	assert_int_equal(got_n, 0);
	pass(4 * SECOND_MS);
	assert_status("HTTP/1.1 408 ");
	assert_int_equal(timeouts(), 1);
	end();
}

/* ---- After the last request ---------------------------------------------------------------- */

/* On a real socket, whose kernel resets it if it is closed with input unread. */
static void last_answer(const tako_runtime *rt, const char *more, bool leaves)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
	static struct reply answer;
	const tako_server_config cfg = {.size = sizeof cfg, .runtime = rt, .worker_count = 1};
	tako_router *router = tako_router_new();

	tako_get(router, "/", hello, NULL);
	assert_int_equal(stepped_start(&real, router, &cfg, NULL), 0);
	tako_router_free(router);
	peer_open(&peer, &real);
	afterthought = more;
	assert_true(peer_send(&peer, &real, request, sizeof request - 1));
	assert_true(peer_reply(&peer, &real, &answer, false, 5000));
	assert_int_equal(answer.status, 200);
	assert_true(answer.close);
	assert_int_equal(answer.body_n, 13);
	if (!leaves)
		assert_true(peer_closed(&peer, &real, 5000));
	assert_false(peer.reset);
	peer_close(&peer);
	stepped_stop(&real);
}

static void test_more_after_close(void **state)
{
	const tako_runtime *const rts[] = {tako_runtime_epoll(), tako_runtime_io_uring()};
	char why[200];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		if (!rts[i] || rts[i]->probe(why, sizeof why) < 0)
			continue;
		last_answer(rts[i], "", false);
		last_answer(rts[i], "\r\n", false);
		last_answer(rts[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n", false);
		last_answer(rts[i], "\r\n", true);
	}
}

/* Behind a body there is often a line end, and it may come later still. */
static void test_line_end_behind_a_body(void **state)
{
	(void)state;
	begin();
	say("POST /upload HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	    "Content-Length: 4\r\n\r\nbody");
	sim_server_pass(&server, SIM_MS);
	say("\r\n");
	pass(1);
	assert_false(client->client_reset);
	assert_string_equal(got + got_n - 6, "thanks");
	assert_true(sim_ended(client));
	assert_false(client->server_closed);
	sim_shut(client);
	pass(1);
	assert_true(client->server_closed);
	end();
}

/* And nobody is waited for for ever. */
static void test_silence_behind_a_body(void **state)
{
	(void)state;
	begin();
	say("POST /upload HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	    "Content-Length: 4\r\n\r\nbody");
	pass(1);
	assert_string_equal(got + got_n - 6, "thanks");
	assert_false(client->server_closed);
	pass(2 * SECOND_MS + 2);
	assert_true(client->server_closed);
	assert_false(client->client_reset);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_is_not_slow),
		cmocka_unit_test(test_late_is_not_slow),
		cmocka_unit_test(test_silence_after_a_pause),
		cmocka_unit_test(test_more_after_close),
		cmocka_unit_test(test_line_end_behind_a_body),
		cmocka_unit_test(test_silence_behind_a_body),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

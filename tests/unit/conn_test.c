/* SPDX-License-Identifier: MIT
 *
 * What a connection keeps for a peer that does not read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/server.h"
#include "core/worker.h"
#include "sim/sim_net.h"
#include "sim/sim_server.h"

enum { REQUESTS = 700 };

static struct sim_server server;
static char text[REQUESTS * 256];

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", TAKO_STR("Hello, World!"));
}

/* Each request is a delivery of its own, so that each answer comes in a block of its own; what waits
 * takes about its own size all the same. */
static void test_small_answers_share_blocks(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
	const struct sim_options options = {.net = {.send_bytes = 4096, .window_bytes = 4096}};
	tako_server_config cfg = {.size = sizeof cfg, .write_high_bytes = 64 << 10};
	tako_router *router;
	struct sim_link *l;
	struct tako__conn *c;
	unsigned blocks = 0;
	size_t got = 0;
	unsigned answers = 0;

	(void)state;
	sim_server_begin(&server, 1, &options);
	router = tako_router_new();
	tako_get(router, "/", hello, NULL);
	sim_server_start(&server, router, &cfg, NULL, NULL);
	l = sim_connect(&server.sim.net);
	sim_write(l, request, sizeof request - 1);
	sim_server_pass(&server, 10 * SIM_MS);
	for (unsigned i = 0; i < REQUESTS; i++) {
		sim_write(l, request, sizeof request - 1);
		sim_server_pass(&server, SIM_MS);
	}
	/* Over the mark it reads no more.  What waits is in blocks that are full but for the last; and
	 * not in one for each of five hundred answers. */
	c = TAKO__CONTAINER(server.srv->workers[0].conn_list.next, struct tako__conn, link);
	assert_true(c->sock.queued_bytes > cfg.write_high_bytes / 2);
	for (const struct tako_send *op = c->sock.head; op; op = op->next)
		blocks++;
	assert_in_range(blocks, 1, c->sock.queued_bytes / TAKO__OUT_ROOM + 2);
	for (unsigned i = 0; i < 5000; i++) {
		got += sim_read(l, text + got, sizeof text - got);
		sim_server_pass(&server, SIM_MS);
	}
	for (size_t i = 0; i + 13 <= got; i++)
		answers += memcmp(text + i, "Hello, World!", 13) == 0;
	assert_int_equal(answers, REQUESTS + 1);
	sim_close(l);
	sim_server_end(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_answers_share_blocks)};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What the warm path costs in memory: no allocation per request, and few bytes per connection
 * that waits for its next one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { REQUESTS = 1000, PIPELINED = 16, IDLE_CONNECTIONS = 500, IDLE_BYTES_MAX = 512 };

static struct stepped server;
static struct peer peer;
static struct reply reply;
static unsigned handled;

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	handled++;
	assert_non_null(tako_req_method(req).p);
	assert_int_equal(tako_res_header(res, "X-One", "a field of its own"), 0);
	return tako_res_send(res, 200, "text/plain", TAKO_STR("Hello, World!"));
}

static int user(tako_req *req, tako_res *res, void *arg)
{
	uint64_t id = 0;

	(void)arg;
	handled++;
	assert_int_equal(tako_req_param_u64(req, "id", &id), 0);
	return tako_res_text(res, 200, "user %llu", (unsigned long long)id);
}

static int before(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_set(req, &handled, arg) < 0 ? TAKO_ENOMEM : TAKO_NEXT;
}

static int set_up(void **state)
{
	tako_router *r = tako_router_new();
	int rc;

	(void)state;
	tako_before(r, TAKO_PHASE_EARLY, before, &server);
	tako_get(r, "/", hello, NULL);
	tako_get(r, "/users/{id:u64}", user, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	peer_open(&peer, &server);
	return rc < 0 || peer.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	return stepped_stop(&server) < 0 || failalloc_live() || failalloc_wrong();
}

/* Send `text` and take its `answers`. */
static void ask(const char *text, size_t n, unsigned answers)
{
	assert_true(peer_send(&peer, &server, text, n));
	for (unsigned i = 0; i < answers; i++) {
		assert_true(peer_reply(&peer, &server, &reply, false, 5000));
		assert_int_equal(reply.status, 200);
		peer_drop(&peer, reply.total_n);
	}
	assert_int_equal(peer.n, 0);
}

static void check_quiet(const char *text, size_t n, unsigned answers)
{
	unsigned before_n = handled;

	for (unsigned i = 0; i < 10; i++)
		ask(text, n, answers);
	failalloc_arm(0);
	for (unsigned i = 0; i < REQUESTS; i += answers)
		ask(text, n, answers);
	if (failalloc_count())
		fail_msg("%zu allocations in %u requests", failalloc_count(), REQUESTS);
	assert_true(handled - before_n >= REQUESTS);
}

static void test_plain(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	check_quiet(text, sizeof text - 1, 1);
}

static void test_parameter(void **state)
{
	static const char text[] = "GET /users/123 HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	check_quiet(text, sizeof text - 1, 1);
}

/* As a browser asks. */
static void test_twelve_fields(void **state)
{
	static const char text[] =
		"GET / HTTP/1.1\r\nHost: example.com\r\n"
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 "
		"Firefox/128.0\r\n"
		"Accept: "
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n"
		"Accept-Language: en-GB,en;q=0.8,de;q=0.5,fr;q=0.3\r\n"
		"Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://example.com/start\r\n"
		"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=1\r\n"
		"DNT: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"
		"Sec-Fetch-Site: same-origin\r\nPriority: u=0, i\r\n\r\n";

	(void)state;
	check_quiet(text, sizeof text - 1, 1);
}

static void test_pipelined(void **state)
{
	static const char one[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	char text[PIPELINED * sizeof one];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < PIPELINED; i++, n += sizeof one - 1)
		memcpy(text + n, one, sizeof one - 1);
	check_quiet(text, n, PIPELINED);
}

/* A head that comes in two deliveries needs room to wait in; it is given back. */
static void test_split_head_leaves_nothing(void **state)
{
	size_t live;

	(void)state;
	ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 1);
	live = failalloc_live();
	assert_true(peer_send(&peer, &server, "GET / HTTP/1.1\r\nHo", 18));
	for (unsigned i = 0; i < 10; i++)
		stepped_turn(&server, 1);
	assert_int_equal(failalloc_live(), live + 1);
	ask("st: a\r\n\r\n", 9, 1);
	assert_int_equal(failalloc_live(), live);
}

/* Several connections at once, so that pools keep as much as a burst needed: what counts is what
 * each further idle one adds. */
static void test_idle_connection(void **state)
{
	static struct peer idle;
	static int fds[IDLE_CONNECTIONS];
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	size_t before_bytes;
	size_t bytes;

	(void)state;
	ask(text, sizeof text - 1, 1);
	before_bytes = failalloc_live_bytes();
	for (unsigned i = 0; i < IDLE_CONNECTIONS; i++) {
		struct peer *p = &idle;

		peer_open(p, &server);
		assert_true(p->fd >= 0);
		fds[i] = p->fd;
		assert_true(peer_send(p, &server, text, sizeof text - 1));
		assert_true(peer_reply(p, &server, &reply, false, 5000));
		assert_int_equal(reply.status, 200);
	}
	bytes = failalloc_live_bytes() - before_bytes;
	print_message("%zu bytes per idle connection\n", bytes / IDLE_CONNECTIONS);
	assert_true(bytes >= IDLE_CONNECTIONS * sizeof(void *)); /* the hook sees them at all */
	assert_true(bytes <= (size_t)IDLE_CONNECTIONS * IDLE_BYTES_MAX);
	for (unsigned i = 0; i < IDLE_CONNECTIONS; i++)
		close(fds[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_parameter, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_twelve_fields, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_pipelined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_split_head_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_idle_connection, set_up, tear_down),
	};
	struct rlimit files;

	/* Both ends of each connection are ours. */
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The TLS layer against a client of wolfSSL's whose bytes this test carries: cut at every place,
 * and with every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unit/tls_rig.h"

enum { BIG_N = 300000 };

static char big[BIG_N];

/* ---- The server --------------------------------------------------------------------------------- */

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	int rc = tako_req_conn_info(req, &info);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%s %s", info.tls ? info.tls : "-",
	                     info.server_name ? info.server_name : "-");
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_send_ref(res, 200, NULL, (tako_str){big, sizeof big}, NULL, NULL);
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	(void)req;
	(void)arg;
	if (rc < 0)
		return (int)rc;
	return end ? tako_res_end(res) : 0;
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

/* Holds its body back until the end of the connection has long arrived. */
static int paused(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, echo_body, arg);

	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 100, resume, req);
}

static int start(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/", hello, NULL);
	tako_get(r, "/big", lent, NULL);
	tako_post(r, "/paused", paused, NULL);
	return tls_rig_start(r);
}

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: a\r\n"
#define GET(path) HEAD(path) "\r\n"
#define LAST(path) HEAD(path) "Connection: close\r\n\r\n"

/* ---- Tests -------------------------------------------------------------------------------------------- */

/* A whole conversation; false when the server gave up, as it may without memory. */
static bool converse(size_t cut, char *answer, size_t room)
{
	bool ok = tls_rig_open(cut) && tls_rig_connect() && tls_rig_ask(LAST("/"));
	size_t n = ok ? tls_rig_receive(answer, room - 1) : 0;

	answer[n] = '\0';
	tls_rig_close();
	return ok && n > 0;
}

static void test_cut_everywhere(void **state)
{
	char answer[1024];
	size_t total;

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(converse(0, answer, sizeof answer));
	total = tls_rig.sent;
	assert_in_range(total, 200, 1000);
	for (size_t cut = 1; cut < total; cut++) {
		assert_true(converse(cut, answer, sizeof answer));
		assert_non_null(strstr(answer, "200 OK"));
		assert_non_null(strstr(answer, "TLSv1.3 -"));
	}
	assert_int_equal(tls_rig_stop(), 0);
}

/* More than may be in flight at once, to a client that reads nothing at first. */
static void test_more_than_a_flight(void **state)
{
	char *answer = malloc(BIG_N + 4096);
	size_t n;

	(void)state;
	assert_non_null(answer);
	assert_int_equal(start(), 0);
	assert_true(tls_rig_open(0));
	assert_true(tls_rig_connect());
	for (int i = 0; i < 3; i++)
		assert_true(tls_rig_ask(i < 2 ? GET("/big") : LAST("/big")));
	assert_true(tls_rig_deliver());
	tls_rig_turn(50);
	for (int i = 0; i < 3; i++) {
		char *body = NULL;

		for (n = 0; !body || n < (size_t)(body - answer) + BIG_N; n++) {
			assert_int_equal(tls_rig_receive(answer + n, 1), 1);
			answer[n + 1] = '\0';
			if (!body && n > 3 && memcmp(answer + n - 3, "\r\n\r\n", 4) == 0)
				body = answer + n + 1;
		}
		assert_memory_equal(body, big, BIG_N);
	}
	assert_int_equal(tls_rig_receive(answer, 1), 0);
	/* The end was told. */
	assert_int_equal(wolfSSL_get_shutdown(tls_rig.ssl) & WOLFSSL_RECEIVED_SHUTDOWN,
	                 WOLFSSL_RECEIVED_SHUTDOWN);
	tls_rig_close();
	assert_int_equal(tls_rig_stop(), 0);
	free(answer);
}

/* The end of the input stands in the same delivery as what makes the protocol pause: it waits until
 * what is kept of the body has gone up.  In the second round everything comes in pieces. */
static void test_end_behind_a_pause(void **state)
{
	static const char head[] =
		"POST /paused HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
	static char answer[BIG_N];

	(void)state;
	assert_int_equal(start(), 0);
	for (int round = 0; round < 2; round++) {
		size_t n = 100000;

		assert_true(tls_rig_open(0));
		assert_true(tls_rig_connect());
		assert_true(tls_rig_ask(head));
		for (size_t at = 0; at < n; at += 10000) {
			assert_int_equal(wolfSSL_write(tls_rig.ssl, big + at, 10000), 10000);
			if (!round && at != 50000)
				continue;
			assert_true(tls_rig_deliver());
			tls_rig_turn(5);
		}
		(void)wolfSSL_shutdown(tls_rig.ssl);
		assert_true(tls_rig_deliver());
		n = tls_rig_receive(answer, sizeof answer - 1);
		answer[n] = '\0';
		assert_non_null(strstr(answer, "200 OK"));
		assert_true(n > 100000);
		/* And then the end is taken for one. */
		assert_true(wolfSSL_get_shutdown(tls_rig.ssl) & WOLFSSL_RECEIVED_SHUTDOWN);
		tls_rig_close();
	}
	assert_int_equal(tls_rig_stop(), 0);
}

static bool talk(void)
{
	char answer[1024];

	return converse(0, answer, sizeof answer);
}

/* wolfSSL alone makes hundreds. */
static void test_allocations(void **state)
{
	(void)state;
	tls_rig_each_allocation(start, talk, 200);
}

/* ---- Set-up ------------------------------------------------------------------------------------------ */

static int set_up(void **state)
{
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 7 + i / 256);
	return tls_rig_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_more_than_a_flight),
		cmocka_unit_test(test_end_behind_a_pause),
		cmocka_unit_test(test_allocations),
	};

	if (tls_rig_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tls_rig_down);
}

/* SPDX-License-Identifier: MIT
 *
 * Middleware and deferrals together: the order of everything, TAKO_NEXT, around that goes on later,
 * a route's timeout, timers.  Each step leaves a letter; the letters are the assertion.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WAIT_MS = 5000 };

static struct stepped server;
static struct peer peer;
static struct reply answer;

static struct {
	char steps[64];
	unsigned ends;
	unsigned fired;
	int rc[4];
	tako_next *next;
	tako_deferred *deferred;
} seen;

static void step(const void *letter)
{
	size_t n = strlen(seen.steps);

	assert_true(n + 1 < sizeof seen.steps);
	seen.steps[n] = *(const char *)letter;
	seen.steps[n + 1] = '\0';
}

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req;
	(void)err;
	(void)arg;
	seen.ends++;
}

/* ---- Middleware --------------------------------------------------------------------------- */

static int before(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	step(arg);
	return tako_req_header(req, "X-Stop").p ? tako_res_text(res, 403, "stopped") : TAKO_NEXT;
}

static int around(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	int rc;

	(void)req;
	(void)res;
	step(arg);
	rc = tako_next_run(next);
	step(")");
	assert_int_equal(tako_next_run(next), TAKO_ESTATE);
	return rc;
}

static void go_on(tako_res *res, void *arg)
{
	int rc = tako_next_run(seen.next);

	(void)arg;
	if (rc < 0)
		(void)tako_res_fail(res, rc);
}

static int around_later(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	(void)req;
	step(arg);
	seen.next = next;
	return tako_res_after(res, 1, go_on, NULL);
}

static void after(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	step(arg);
	assert_int_equal(tako_res_header(res, "X-After", arg), 0);
	if (*(const char *)arg == 'z')
		assert_int_equal(tako_res_status(res, 202), 0);
}

/* ---- Handlers ---------------------------------------------------------------------------------- */

static int answers(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	step(arg);
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	return tako_res_text(res, 200, "%s", (const char *)arg);
}

static int passes(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	step(arg);
	return TAKO_NEXT;
}

static int fails(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	step(arg);
	return TAKO_ENOENT;
}

static int waits(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	seen.deferred = tako_res_defer(res);
	return seen.deferred ? 0 : TAKO_ENOMEM;
}

static void too_late(tako_res *res, void *arg)
{
	(void)arg;
	seen.rc[0] = tako_res_closed(res);
	seen.rc[1] = tako_res_text(res, 200, "too late");
	seen.fired++;
}

static void fired(tako_res *res, void *arg)
{
	step(arg);
	if (++seen.fired == 3)
		assert_int_equal(tako_res_text(res, 200, "timers"), 0);
}

static int timers(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	assert_int_equal(tako_res_after(res, 30, fired, "3"), 0);
	assert_int_equal(tako_res_after(res, 0, fired, "1"), 0);
	assert_int_equal(tako_res_after(res, 15, fired, "2"), 0);
	return 0;
}

static int long_timers(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	assert_int_equal(tako_res_after(res, 3600000, too_late, NULL), 0);
	assert_int_equal(tako_res_after(res, TAKO_OFF - 1, too_late, NULL), 0);
	return 0;
}

/* ---- Set-up ------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	tako_router *r = tako_router_new();
	tako_router *order = tako_group(r, "/order");
	tako_router *next = tako_group(r, "/next");
	tako_router *own = tako_group(next, "");
	tako_router *later = tako_group(r, "/later");
	tako_router *slow = tako_group(r, "/slow");
	int rc;

	(void)state;
	memset(&seen, 0, sizeof seen);
	tako_before(order, TAKO_PHASE_AUTH, before, "b");
	tako_before(order, TAKO_PHASE_EARLY, before, "a");
	tako_around(order, TAKO_PHASE_ROUTE, around, "(");
	tako_before(order, TAKO_PHASE_HANDLER, before, "c");
	tako_after(order, TAKO_PHASE_RESPONSE, after, "y");
	tako_after(order, TAKO_PHASE_EARLY, after, "z");
	tako_get(order, "/ok", answers, "H");
	tako_get(order, "/fails", fails, "F");
	tako_before(next, TAKO_PHASE_EARLY, before, "a");
	tako_before(own, TAKO_PHASE_HANDLER, before, "o");
	tako_get(own, "/one", passes, "P");
	tako_get(next, "/{name}", passes, "Q");
	tako_get(next, "/{*rest}", answers, "R");
	tako_get(r, "/all/{*rest}", passes, "S");
	tako_around(later, TAKO_PHASE_EARLY, around_later, "l");
	tako_before(later, TAKO_PHASE_HANDLER, before, "c");
	tako_get(later, "/ok", answers, "H");
	tako_get(later, "/fails", fails, "F");
	tako_timeout(slow, 20);
	tako_get(slow, "/x", waits, NULL);
	tako_get(r, "/timers", timers, NULL);
	tako_get(r, "/long", long_timers, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	peer_open(&peer, &server);
	return rc < 0 || peer.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	stepped_stop(&server);
	return failalloc_live() || failalloc_wrong();
}

static void expect(const char *path, const char *field, int status, const char *steps)
{
	char text[128];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, field);

	seen.steps[0] = '\0';
	assert_true(peer_send(&peer, &server, text, (size_t)n));
	if (!peer_reply(&peer, &server, &answer, false, WAIT_MS) || answer.status != status)
		fail_msg("%s: status %d: %.80s", path, answer.status, peer.data);
	if (strcmp(seen.steps, steps) != 0)
		fail_msg("%s: steps %s instead of %s", path, seen.steps, steps);
	peer_drop(&peer, answer.total_n);
}

/* ---- Tests ------------------------------------------------------------------------------------------ */

/* Phases inwards, the mirror image outwards; an after hook may still change the status. */
static void test_order(void **state)
{
	(void)state;
	expect("/order/ok", "", 202, "ab(cHyz)");
	assert_int_equal(seen.ends, 1);
	expect("/order/fails", "", 202, "ab(cF)yz");
	expect("/order/ok", "X-Stop: 1\r\n", 202, "ayz");
}

/* Less and less specific; middleware that both have runs once. */
static void test_next(void **state)
{
	(void)state;
	expect("/next/one", "", 200, "aoPQR");
	expect("/next/two", "", 200, "aQR");
	expect("/next/a/b", "", 200, "aR");
	expect("/all/x", "", 404, "S");
}

static void test_around_later(void **state)
{
	(void)state;
	expect("/later/ok", "", 200, "lcH");
	assert_int_equal(seen.ends, 1);
	expect("/later/fails", "", 404, "lcF");
	expect("/later/ok", "X-Stop: 1\r\n", 403, "lc");
}

/* 503 in the handler's place; its deferral goes on to a closed exchange. */
static void test_timeout(void **state)
{
	(void)state;
	expect("/slow/x", "", 503, "");
	assert_int_equal(tako_deferred_post(seen.deferred, too_late, NULL), 0);
	tako_deferred_done(seen.deferred);
	for (int i = 0; i < 500 && !seen.ends; i++)
		stepped_turn(&server, 5);
	assert_int_equal(seen.fired, 1);
	assert_int_equal(seen.rc[0], 1);
	assert_int_equal(seen.rc[1], TAKO_ECLOSED);
	assert_int_equal(seen.ends, 1);
}

static void test_timers(void **state)
{
	(void)state;
	expect("/timers", "", 200, "123");
	assert_int_equal(seen.fired, 3);
	assert_int_equal(seen.ends, 1);
}

/* They do not keep an exchange whose peer has left, and run once all the same. */
static void test_timers_of_a_lost_peer(void **state)
{
	static const char text[] = "GET /long HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	assert_true(peer_send(&peer, &server, text, sizeof text - 1));
	stepped_turn(&server, 1);
	stepped_turn(&server, 1);
	assert_int_equal(seen.fired, 0);
	stepped_stop(&server); /* cuts what does not end by itself */
	assert_int_equal(seen.fired, 2);
	assert_int_equal(seen.rc[0], 1);
	assert_int_equal(seen.rc[1], TAKO_ECLOSED);
	assert_int_equal(seen.ends, 1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_order),   WITH(test_next),   WITH(test_around_later),
		WITH(test_timeout), WITH(test_timers), WITH(test_timers_of_a_lost_peer),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

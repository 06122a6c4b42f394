/* SPDX-License-Identifier: MIT
 *
 * What stays of the head of a request whose stream was taken over: all of it while user code that may
 * look at it runs, then its line, its host and what the access log shows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/ws/ws_int.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

#define ASK(target)                                                                                \
	"GET " target " HTTP/1.1\r\nHost: a.example:80\r\nUser-Agent: mine/1\r\nCookie: x=1\r\n"   \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"               \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nReferer: /r\r\nX-Request-Id: id-4711\r\n"  \
	"\r\n"

static tako_req *taken;
static char first_seen[256];
static char last_seen[256];
static char logged[256];

static void note(char to[256], tako_req *req)
{
	snprintf(to, 256, "%.*s %.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s|%.*s",
	         TAKO_FMT(tako_req_method(req)), TAKO_FMT(tako_req_target(req)),
	         TAKO_FMT(tako_req_path(req)), TAKO_FMT(tako_req_query(req)),
	         TAKO_FMT(tako_req_host(req)), TAKO_FMT(tako_req_param(req, "room")),
	         TAKO_FMT(tako_req_id(req)), TAKO_FMT(tako_req_header(req, "user-agent")),
	         TAKO_FMT(tako_req_header(req, "cookie")));
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	(void)ws, (void)code, (void)arg;
	note(last_seen, taken);
}

static int accept_it(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_ws_accept(
		req, res, TAKO_WS_CONFIG(.on_close = on_close, .ping_interval_ms = TAKO_OFF), arg);

	taken = req;
	/* It was taken over, and we are still in the handler. */
	note(first_seen, req);
	return rc;
}

static void on_access(const tako_access *a, void *arg)
{
	(void)arg;
	snprintf(logged, sizeof logged, "%.*s %.*s|%.*s|%.*s|%.*s|%.*s|%.*s", TAKO_FMT(a->method),
	         TAKO_FMT(a->path), TAKO_FMT(a->pattern), TAKO_FMT(a->host),
	         TAKO_FMT(a->user_agent), TAKO_FMT(a->referer), TAKO_FMT(a->request_id));
}

/* From the request to the end of its WebSocket. */
static void talk(const char *ask, tako_access_fn access_fn)
{
	const tako_server_config cfg = {
		.size = sizeof cfg, .worker_count = 1, .access_fn = access_fn};
	tako_router *r = tako_router_new();
	struct peer *p = &ws_rig.peer;

	tako_before(r, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_get(r, "/rooms/{room}", accept_it, NULL);
	assert_int_equal(stepped_start(&ws_rig.server, r, &cfg, NULL), 0);
	tako_router_free(r);
	first_seen[0] = last_seen[0] = logged[0] = '\0';
	peer_open(p, &ws_rig.server);
	assert_true(peer_send(p, &ws_rig.server, ask, strlen(ask)));
	assert_true(ws_rig_wait(100));
	ws_rig_turns();
	/* Its memory is whoever's comes next. */
	peer_close(p);
	for (int i = 0; i < WS_RIG_WAIT_MS && !last_seen[0]; i++)
		stepped_turn(&ws_rig.server, 1);
	assert_true(ws_rig_stop() >= 0);
	assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
}

static void the_line_stays(void **state)
{
	(void)state;
	talk(ASK("/rooms/b%6cue?since=1"), NULL);
	assert_string_equal(first_seen, "GET /rooms/b%6cue?since=1|/rooms/blue|since=1|a.example:80"
	                                "|blue|id-4711|mine/1|x=1");
	assert_string_equal(last_seen, "GET /rooms/b%6cue?since=1|/rooms/blue|since=1|a.example:80"
	                               "|blue|id-4711||");
	talk(ASK("/rooms/red"), NULL);
	assert_string_equal(last_seen, "GET /rooms/red|/rooms/red||a.example:80|red|id-4711||");
}

static void what_the_log_shows_stays(void **state)
{
	(void)state;
	talk(ASK("/rooms/red?x"), on_access);
	assert_string_equal(last_seen, "GET /rooms/red?x|/rooms/red|x|a.example:80|red|id-4711"
	                               "|mine/1|");
	assert_string_equal(logged, "GET /rooms/red|/rooms/{room}|a.example:80|mine/1|/r|id-4711");
}

/* A target without a path is one whose path is in no request. */
static void absolute_target(void **state)
{
	(void)state;
	talk(ASK("http://b.example/rooms/red"), NULL);
	assert_string_equal(last_seen, "GET http://b.example/rooms/red|/rooms/red||b.example|red"
	                               "|id-4711||");
}

static void without_memory_all_stays(void **state)
{
	unsigned kept = 0;

	(void)state;
	for (size_t nth = 1;; nth++) {
		ws_rig_config();
		assert_int_equal(ws_rig_start(NULL), 0);
		failalloc_arm(nth);
		if (ws_rig_shake("X-Long: 0123456789\r\n")) {
			failalloc_arm(0);
			ws_rig_turns();
			kept += tako_req_header(tako__req(ws_rig.ws->x), "x-long").n == 10;
		} else if (!failalloc_disarm()) {
			fail_msg("no memory was missing and no 101 came");
		}
		assert_true(ws_rig_stop() >= 0);
		assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
		if (nth == 40)
			break;
	}
	assert_int_equal(kept, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_line_stays),
		cmocka_unit_test(what_the_log_shows_stays),
		cmocka_unit_test(absolute_target),
		cmocka_unit_test(without_memory_all_stays),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

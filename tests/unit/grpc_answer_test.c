/* SPDX-License-Identifier: MIT
 *
 * Statuses that no method has given: middleware's, HTTP's own errors on the way to a method and without
 * one, and what interceptors see of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;
static int at_head = -2; /* the status as an after-hook and an end hook saw it */
static int at_end = -2;
static unsigned calls;

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	calls++;
	return tako_grpc_reply(call, msg);
}

static void on_end(tako_req *req, int err, void *arg)
{
	(void)err, (void)arg;
	at_end = tako_grpc_status(req);
}

static int intercept(tako_req *req, tako_res *res, void *arg)
{
	tako_str want = tako_req_header(req, "want");

	(void)arg;
	(void)tako_res_on_end(res, on_end, NULL);
	assert_int_equal(tako_grpc_status(req), -1);
	assert_null(tako_grpc_of(res));
	if (!want.n)
		return TAKO_NEXT;
	if (want.p[0] == 'g') {
		assert_int_equal(tako_grpc_refuse(req, res, 99, NULL), TAKO_EINVAL);
		return tako_grpc_refuse(req, res, atoi(want.p + 1), "not \xe2\x98\xba");
	}
	if (want.p[0] == 'e')
		return -atoi(want.p + 1);
	return tako_res_error(res, atoi(want.p));
}

static void after(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	at_head = tako_grpc_status(req);
}

static int plain(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_text(res, 200, tako_grpc_is(req) ? "gRPC" : "no");
}

static int set_up(void **state)
{
	static const char *const origins[] = {NULL};
	tako_router *router = tako_router_new();
	tako_router *group = tako_group(router, "");

	(void)state;
	tako_on_error(router, tako_grpc_error, NULL);
	tako_before(group, TAKO_PHASE_AUTH, intercept, NULL);
	tako_after(group, TAKO_PHASE_RESPONSE, after, NULL);
	tako_grpc_method(group, "/s/m", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = on_message, .web_origins = origins), NULL);
	tako_post(router, "/plain", plain, NULL);
	calls = 0;
	at_head = at_end = -2;
	return grpc_rig_start_router(&rig, router, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

#define CT "content-type: application/grpc\r\n"

static void refused(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig, CT "want: g16\r\n", TAKO_STR("x")), 16);
	assert_string_equal(rig.message, "not %E2%98%BA");
	assert_int_equal(calls, 0);
	assert_int_equal(at_head, 16);
	assert_int_equal(at_end, 16);
	/* In the form that was asked in. */
	assert_int_equal(grpc_rig_say(&rig,
	                              "content-type: application/grpc-web-text\r\nwant: g7\r\n",
	                              TAKO_STR("x")),
	                 7);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc-web-text");
	/* Nobody's gRPC: it is said all the same. */
	assert_int_equal(grpc_rig_say(&rig, "want: g5\r\n", TAKO_STR("x")), 5);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc");
}

static void http_errors(void **state)
{
	static const int rows[][2] = {{400, 13}, {401, 16}, {403, 7}, {404, 12}, {429, 14},
	                              {503, 14}, {418, 2},  {413, 8}, {408, 4},  {500, 13}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char fields[64];

		snprintf(fields, sizeof fields, CT "want: %d\r\n", rows[i][0]);
		assert_int_equal(grpc_rig_say(&rig, fields, TAKO_STR("x")), rows[i][1]);
		assert_int_equal(rig.http, 200);
		assert_int_equal(at_end, rows[i][1]);
		/* Who speaks no gRPC is told as ever. */
		snprintf(fields, sizeof fields, "want: %d\r\n", rows[i][0]);
		assert_int_equal(grpc_rig_say(&rig, fields, TAKO_STR("x")), -1);
		assert_int_equal(rig.http, rows[i][0]);
	}
	assert_int_equal(grpc_rig_say(&rig, CT "want: e13\r\n", TAKO_STR("x")),
	                 14); /* -TAKO_EBUSY */
	assert_int_equal(calls, 0);
}

static int elsewhere(const char *path, const char *fields)
{
	if (rig.reply.total_n && rig.reply.total_n <= rig.peer.n)
		peer_drop(&rig.peer, rig.reply.total_n);
	memset(&rig.reply, 0, sizeof rig.reply);
	grpc_rig_send(&rig, path, fields, "\0\0\0\0\0", 5);
	return grpc_rig_reply(&rig);
}

static void no_method(void **state)
{
	(void)state;
	assert_int_equal(elsewhere("/s/other", CT), 12);
	assert_string_equal(rig.message, "Not Found");
	assert_int_equal(elsewhere("/other/m", CT), 12);
	assert_int_equal(elsewhere("/s/other", ""), -1);
	assert_int_equal(rig.http, 404);
	assert_int_equal(elsewhere("/plain", CT), -1);
	assert_memory_equal(rig.reply.body, "gRPC", 4);
	assert_int_equal(elsewhere("/plain", "content-type: text/plain\r\n"), -1);
	assert_memory_equal(rig.reply.body, "no", 2);
}

static void seen_by_interceptors(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig, NULL, TAKO_STR("x")), 0);
	assert_int_equal(calls, 1);
	assert_int_equal(at_head, 0);
	assert_int_equal(at_end, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(http_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_method, set_up, tear_down),
		cmocka_unit_test_setup_teardown(seen_by_interceptors, set_up, tear_down),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

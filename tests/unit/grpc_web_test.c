/* SPDX-License-Identifier: MIT
 *
 * Who may call from a browser, and what its scripts may see.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	(void)tako_grpc_header(call, "x-mine", TAKO_STR("1"));
	(void)tako_grpc_header(call, "status", TAKO_STR("fine"));
	(void)tako_res_trailer(tako_grpc_res(call), "X-Last", "yes");
	return msg.n ? tako_grpc_reply(call, msg) : TAKO_GRPC_ABORTED;
}

static int start(const char *const *origins)
{
	return grpc_rig_start(&rig, TAKO_GRPC_UNARY,
	                      TAKO_GRPC_CONFIG(.on_message = on_message, .web_origins = origins),
	                      NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

static int set_up_some(void **state)
{
	static const char *const origins[] = {"https://app.example", "http://b.example:8080", NULL};

	(void)state;
	return start(origins);
}

static int set_up_any(void **state)
{
	static const char *const origins[] = {"*", NULL};

	(void)state;
	return start(origins);
}

static int set_up_none(void **state)
{
	(void)state;
	return start(NULL);
}

#define WEB "content-type: application/grpc-web\r\n"

static int from(const char *origin, const char *msg)
{
	char fields[256];

	snprintf(fields, sizeof fields, WEB "origin: %s\r\n", origin);
	return grpc_rig_say(&rig, fields, tako_str_z(msg));
}

static void who_may(void **state)
{
	static const char *const may[] = {"https://app.example", "http://b.example:8080",
	                                  "HTTPS://APP.example", "http://a", "https://a"};
	static const char *const may_not[] = {
		"http://app.example",
		"https://app.example:444",
		"https://app.example.evil",
		"https://evil.example",
		"null",
		"https://app.example/",
		"http://b.example",
		"a",
		"http://a:1",
		"http://evil@a",
		"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof may / sizeof may[0]; i++) {
		assert_int_equal(from(may[i], "x"), -1);
		assert_int_equal(rig.count, 2);
		assert_string_equal(grpc_rig_field(&rig, "access-control-allow-origin"), may[i]);
		assert_string_equal(grpc_rig_field(&rig, "vary"), "Origin");
		/* Cookies, of those that were named. */
		if (i < 3)
			assert_string_equal(
				grpc_rig_field(&rig, "access-control-allow-credentials"), "true");
		else
			assert_null(grpc_rig_field(&rig, "access-control-allow-credentials"));
	}
	for (size_t i = 0; i < sizeof may_not / sizeof may_not[0]; i++) {
		assert_int_equal(from(may_not[i], "x"), TAKO_GRPC_PERMISSION_DENIED);
		assert_null(grpc_rig_field(&rig, "access-control-allow-origin"));
	}
	/* No browser. */
	assert_int_equal(grpc_rig_say(&rig, WEB, TAKO_STR("x")), -1);
	assert_int_equal(rig.count, 2);
	assert_null(grpc_rig_field(&rig, "access-control-expose-headers"));
}

static void what_they_see(void **state)
{
	static const char gist[] = "grpc-status,grpc-message,grpc-status-details-bin,x-mine,status";

	(void)state;
	assert_int_equal(from("https://app.example", "x"), -1);
	assert_string_equal(grpc_rig_field(&rig, "access-control-expose-headers"), gist);
	assert_int_equal(from("https://app.example", ""), TAKO_GRPC_ABORTED);
	assert_string_equal(grpc_rig_field(&rig, "access-control-expose-headers"), gist);
}

static const char *preflight(const char *fields)
{
	char text[512];
	int n = snprintf(text, sizeof text, "OPTIONS /s/m HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

	if (rig.reply.total_n && rig.reply.total_n <= rig.peer.n)
		peer_drop(&rig.peer, rig.reply.total_n);
	memset(&rig.reply, 0, sizeof rig.reply);
	assert_true(peer_send(&rig.peer, &rig.server, text, (size_t)n));
	assert_true(peer_reply(&rig.peer, &rig.server, &rig.reply, false, RIG_WAIT_MS));
	assert_int_equal(rig.reply.status, 204);
	return grpc_rig_field(&rig, "access-control-allow-origin");
}

static void asking_first(void **state)
{
	(void)state;
	assert_string_equal(
		preflight("Origin: https://app.example\r\n"
	                  "Access-Control-Request-Method: POST\r\n"
	                  "Access-Control-Request-Headers: content-type,x-grpc-web\r\n"),
		"https://app.example");
	assert_string_equal(grpc_rig_field(&rig, "access-control-allow-methods"), "POST");
	assert_string_equal(grpc_rig_field(&rig, "access-control-allow-headers"),
	                    "content-type,x-grpc-web");
	assert_string_equal(grpc_rig_field(&rig, "access-control-max-age"), "86400");
	assert_null(preflight("Origin: https://evil.example\r\n"
	                      "Access-Control-Request-Method: POST\r\n"));
	assert_null(grpc_rig_field(&rig, "access-control-allow-methods"));
	/* What is no list of names is not repeated. */
	assert_non_null(preflight("Origin: https://app.example\r\n"
	                          "Access-Control-Request-Headers: a b\r\n"));
	assert_null(grpc_rig_field(&rig, "access-control-allow-headers"));
	assert_null(preflight(""));
	assert_string_equal(grpc_rig_field(&rig, "allow"), "POST, OPTIONS");
}

static void from_anywhere(void **state)
{
	(void)state;
	assert_int_equal(from("https://whoever.example", "x"), -1);
	assert_string_equal(grpc_rig_field(&rig, "access-control-allow-origin"), "*");
	assert_null(grpc_rig_field(&rig, "vary"));
	assert_null(grpc_rig_field(&rig, "access-control-allow-credentials"));
}

static int authenticate(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_grpc_metadata(req, "token").p
	               ? TAKO_NEXT
	               : tako_grpc_refuse(req, res, TAKO_GRPC_UNAUTHENTICATED, "who are you?");
}

static int set_up_guarded(void **state)
{
	static const char *const origins[] = {"https://app.example", NULL};
	tako_router *router = tako_router_new();

	(void)state;
	tako_before(router, TAKO_PHASE_AUTH, authenticate, NULL);
	tako_grpc_method(router, "/s/m", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = on_message, .web_origins = origins), NULL);
	return grpc_rig_start_router(&rig, router, NULL);
}

/* A browser asks without a token, and its script is told that it needs one. */
static void guarded(void **state)
{
	(void)state;
	assert_string_equal(preflight("Origin: https://app.example\r\n"
	                              "Access-Control-Request-Method: POST\r\n"
	                              "Access-Control-Request-Headers: token\r\n"),
	                    "https://app.example");
	assert_string_equal(grpc_rig_field(&rig, "access-control-allow-headers"), "token");
	assert_int_equal(from("https://app.example", "x"), TAKO_GRPC_UNAUTHENTICATED);
	assert_string_equal(grpc_rig_field(&rig, "access-control-allow-origin"),
	                    "https://app.example");
	assert_non_null(
		strstr(grpc_rig_field(&rig, "access-control-expose-headers"), "grpc-status"));
	/* Who may not call learns no more than that. */
	assert_int_equal(from("https://evil.example", "x"), TAKO_GRPC_PERMISSION_DENIED);
	assert_int_equal(grpc_rig_say(&rig, WEB "origin: https://app.example\r\ntoken: t\r\n",
	                              TAKO_STR("x")),
	                 -1);
	assert_int_equal(rig.count, 2);
}

/* PROTOCOL-WEB.md: "use lower-case header/trailer names". */
static void trailers_in_lower_case(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig, WEB, TAKO_STR("x")), -1);
	assert_int_equal(rig.count, 2);
	assert_memory_equal(rig.messages[1].p, "x-last: yes\r\ngrpc-status: 0\r\n", 29);
}

/* "Support any HTTP": some proxies speak no newer one. */
static void over_1_0(void **state)
{
	static const char web[] = "POST /s/m HTTP/1.0\r\nHost: a\r\n" WEB
				  "Content-Length: 6\r\n\r\n";
	static const char plain[] =
		"POST /s/m HTTP/1.0\r\nHost: a\r\ncontent-type: application/grpc\r\n"
		"Content-Length: 6\r\n\r\n";

	(void)state;
	assert_true(peer_send(&rig.peer, &rig.server, web, sizeof web - 1));
	assert_true(peer_send(&rig.peer, &rig.server, "\0\0\0\0\1x", 6));
	assert_int_equal(grpc_rig_reply(&rig), -1);
	assert_int_equal(rig.count, 2);
	assert_int_equal(rig.flags[1], 0x80);
	peer_close(&rig.peer);
	peer_open(&rig.peer, &rig.server);
	assert_true(peer_send(&rig.peer, &rig.server, plain, sizeof plain - 1));
	assert_true(peer_send(&rig.peer, &rig.server, "\0\0\0\0\1x", 6));
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_UNIMPLEMENTED);
}

/* Text where bytes were sent, and the other way round. */
static void by_accept(void **state)
{
	(void)state;
	assert_int_equal(
		grpc_rig_say(&rig, WEB "accept: application/grpc-web-text\r\n", TAKO_STR("x")), -1);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc-web-text");
	assert_memory_equal(rig.reply.body, "AAAAAAF4", 8);
	assert_int_equal(grpc_rig_call(&rig,
	                               "content-type: application/grpc-web-text\r\n"
	                               "accept: application/grpc-web+proto\r\n",
	                               "AAAAAAF4", 8),
	                 -1);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc-web+proto");
	assert_int_equal(rig.count, 2);
	assert_memory_equal(rig.messages[0].p, "x", 1);
}

/* Off unless it is asked for. */
static void not_at_all(void **state)
{
	(void)state;
	assert_int_equal(grpc_rig_say(&rig, WEB, TAKO_STR("x")), -1);
	assert_int_equal(rig.http, 415);
	assert_int_equal(grpc_rig_say(&rig,
	                              "content-type: application/grpc\r\norigin: https://evil\r\n",
	                              TAKO_STR("x")),
	                 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_may, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(what_they_see, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(asking_first, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(from_anywhere, set_up_any, tear_down),
		cmocka_unit_test_setup_teardown(guarded, set_up_guarded, tear_down),
		cmocka_unit_test_setup_teardown(trailers_in_lower_case, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(by_accept, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(over_1_0, set_up_some, tear_down),
		cmocka_unit_test_setup_teardown(not_at_all, set_up_none, tear_down),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

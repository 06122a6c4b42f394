/* SPDX-License-Identifier: MIT
 *
 * Handshakes over HTTP/1.1: what is answered instead of a 101 and with which fields, what a 101 says, and
 * lists of the server's own that make no sense.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/ws/ws_handshake.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

#define HOST "Host: a\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define GET "GET /ws HTTP/1.1\r\n" HOST

static struct reply answer;

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	return ws_rig_start(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

/* The answer to one request on a connection of its own. */
static int ask(const char *request)
{
	struct peer *p = &ws_rig.peer;

	peer_open(p, &ws_rig.server);
	assert_true(peer_send(p, &ws_rig.server, request, strlen(request)));
	assert_true(peer_reply(p, &ws_rig.server, &answer, false, WS_RIG_WAIT_MS));
	return answer.status;
}

static const char *field(const char *name)
{
	static char value[128];
	const char *got = reply_field(&ws_rig.peer, &answer, name, value, sizeof value);

	return got ? got : "";
}

/* ---- Refused ------------------------------------------------------------------------------ */

static void what_is_no_handshake(void **state)
{
	const struct {
		const char *request;
		int status;
		const char *name; /* of a field that goes with it */
		const char *value;
	} cases[] = {
		{GET "\r\n", 426, "Upgrade", "websocket"},
		{GET "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 426, "Sec-WebSocket-Version",
	         "13"},
		/* Not asked for on this hop (RFC 9110 section 7.8). */
		{GET "Upgrade: websocket\r\n" VERSION KEY "\r\n", 426, "Connection", "Upgrade"},
		{GET UPGRADE KEY "\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION VERSION KEY "\r\n", 400, NULL, NULL},
		{GET UPGRADE "Sec-WebSocket-Version: 8\r\n" KEY "\r\n", 426,
	         "Sec-WebSocket-Version", "13"},
		{GET UPGRADE "Sec-WebSocket-Version: 13, 8\r\n" KEY "\r\n", 426,
	         "Sec-WebSocket-Version", "13"},
		{GET UPGRADE VERSION "\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION KEY KEY "\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION "Sec-WebSocket-Key: c2hvcnQ=\r\n\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION KEY "Sec-WebSocket-Protocol: a b\r\n\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION KEY "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, a"
	                                 "\r\n\r\n",
	         400, NULL, NULL},
		{GET UPGRADE VERSION KEY "Sec-WebSocket-Extensions: x;;\r\n\r\n", 400, NULL, NULL},
		{GET UPGRADE VERSION KEY "Content-Length: 1\r\n\r\nx", 400, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int status = ask(cases[i].request);

		if (status != cases[i].status)
			fail_msg("case %zu: %d", i, status);
		if (cases[i].name)
			assert_string_equal(field(cases[i].name), cases[i].value);
		assert_int_equal(ws_rig.accept_rc, TAKO_EINVAL);
		assert_true(answer.body_n > 0);
		peer_close(&ws_rig.peer);
	}
	assert_int_equal(ws_rig.opens + ws_rig.closes, 0);
}

static void origins(void **state)
{
	static const char *const list[] = {"https://a.example", "http://b.example:8080", NULL};
	const struct {
		const char *origin;
		int status;
	} cases[] = {
		{"Origin: https://a.example\r\n", 101},
		{"Origin: HTTPS://A.Example:443\r\n", 101},
		{"Origin: http://b.example:8080\r\n", 101},
		{"Origin: http://a.example\r\n", 403},
		{"Origin: https://a.example.evil\r\n", 403},
		{"Origin: http://b.example\r\n", 403},
		{"Origin: null\r\n", 403},
		{"", 403},
		{"Origin: https://a.example\r\nOrigin: https://a.example\r\n", 403},
	};

	(void)state;
	ws_rig.cfg.origins = list;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool opened = ws_rig_shake(cases[i].origin);

		if (opened != (cases[i].status == 101))
			fail_msg("%s: %.12s", cases[i].origin, ws_rig.peer.data);
		if (!opened)
			assert_memory_equal(ws_rig.peer.data, "HTTP/1.1 403", 12);
		peer_close(&ws_rig.peer);
	}
}

/* ---- Accepted ------------------------------------------------------------------------------- */

/* The example of RFC 6455 section 1.3. */
static void a_101_and_its_fields(void **state)
{
	(void)state;
	peer_open(&ws_rig.peer, &ws_rig.server);
	assert_true(peer_send(&ws_rig.peer, &ws_rig.server, GET UPGRADE VERSION KEY "\r\n",
	                      sizeof(GET UPGRADE VERSION KEY "\r\n") - 1));
	assert_true(ws_rig_wait(100));
	reply_parse(&answer, &ws_rig.peer, true);
	assert_int_equal(answer.status, 101);
	assert_string_equal(field("Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_string_equal(field("Upgrade"), "websocket");
	assert_string_equal(field("Connection"), "Upgrade");
	assert_string_equal(field("Sec-WebSocket-Protocol"), "");
	assert_string_equal(field("Sec-WebSocket-Extensions"), "");
}

static void the_server_prefers(void **state)
{
	static const char *const ours[] = {"best", "good", NULL};
	const struct {
		const char *fields;
		const char *chosen;
	} cases[] = {
		{"Sec-WebSocket-Protocol: good, best\r\n", "best"},
		{"Sec-WebSocket-Protocol: good\r\nSec-WebSocket-Protocol: best\r\n", "best"},
		{"Sec-WebSocket-Protocol: other,good\r\n", "good"},
		/* Names have cases. */
		{"Sec-WebSocket-Protocol: BEST, Good\r\n", NULL},
		{"", NULL},
	};

	(void)state;
	ws_rig.cfg.subprotocols = ours;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_str got;

		assert_true(ws_rig_shake(cases[i].fields));
		/* Also when the head that it was in has gone. */
		ws_rig_turns();
		got = tako_ws_subprotocol(ws_rig.ws);
		if (cases[i].chosen)
			assert_true(tako_str_eq(got, tako_str_z(cases[i].chosen)));
		else
			assert_null(got.p);
		peer_close(&ws_rig.peer);
		assert_true(ws_rig_closed((unsigned)i + 1));
	}
}

static void lists_of_our_own(void **state)
{
	const struct {
		const char *list[3];
		bool is_origins;
		int rc;
	} cases[] = {
		{{"chat", "v2.chat"}, false, 0},
		{{NULL}, false, 0},
		{{"chat", ""}, false, TAKO_EINVAL},
		{{"a b"}, false, TAKO_EINVAL},
		{{"a,b"}, false, TAKO_EINVAL},
		{{"https://a.example", "http://[::1]:3000"}, true, 0},
		{{"a.example"}, true, TAKO_EINVAL},
		{{"https://a.example", "https://a.example/path"}, true, TAKO_EINVAL},
		{{"*"}, true, TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_ws_config cfg = {.size = sizeof cfg};

		if (cases[i].is_origins)
			cfg.origins = cases[i].list;
		else
			cfg.subprotocols = cases[i].list;
		assert_int_equal(tako__ws_lists_check(&cfg), cases[i].rc);
		if (cases[i].rc == 0)
			continue;
		/* Not the client's mistake. */
		ws_rig.cfg.origins = cfg.origins;
		ws_rig.cfg.subprotocols = cfg.subprotocols;
		assert_int_equal(ask(GET UPGRADE VERSION KEY "\r\n"), 500);
		peer_close(&ws_rig.peer);
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(what_is_no_handshake), WITH(origins),          WITH(a_101_and_its_fields),
		WITH(the_server_prefers),   WITH(lists_of_our_own),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Messages on their way in: whatever is wrong with a request as a table, each with the status that its
 * sender is told; messages cut anywhere; pauses, in which nothing is handed up; and a writer who is
 * behind, whose reader waits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;

static struct {
	unsigned messages;
	unsigned ends;
	size_t bytes;
	tako_grpc *call;
	unsigned pause_at;   /* the message that pauses */
	size_t answer_bytes; /* each message is answered with so much */
	unsigned cancels;
} seen;

static int on_one(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	seen.messages++;
	seen.bytes += msg.n;
	return tako_grpc_reply(call, msg);
}

static int on_many(tako_grpc *call, tako_str msg, void *arg)
{
	static char zeros[1 << 16];
	int64_t rc = 0;

	(void)arg;
	seen.call = call;
	seen.bytes += msg.n;
	if (++seen.messages == seen.pause_at)
		tako_grpc_pause(call);
	if (seen.answer_bytes)
		rc = tako_grpc_send(call, (tako_str){zeros, seen.answer_bytes});
	return rc < 0 ? (int)rc : 0;
}

static int on_end(tako_grpc *call, void *arg)
{
	(void)arg;
	seen.ends++;
	return tako_grpc_reply(call, TAKO_STR("all"));
}

static void on_cancel(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	seen.cancels++;
}

static int set_up(void **state)
{
	static const char *const origins[] = {"*", NULL};
	tako_router *router = tako_router_new();
	tako_grpc_config one = {.size = sizeof one,
	                        .on_message = on_one,
	                        .max_receive_bytes = 1000,
	                        .web_origins = origins};
	tako_grpc_config many = one;

	(void)state;
	memset(&seen, 0, sizeof seen);
	many.on_message = on_many;
	many.on_end = on_end;
	many.on_cancel = on_cancel;
	tako_grpc_method(router, "/s/m", TAKO_GRPC_UNARY, &one, NULL);
	tako_grpc_method(router, "/s/out", TAKO_GRPC_SERVER_STREAM, &one, NULL);
	tako_grpc_method(router, "/s/in", TAKO_GRPC_CLIENT_STREAM, &many, NULL);
	tako_grpc_method(router, "/s/both", TAKO_GRPC_BIDI, &many, NULL);
	tako_grpc_unary(router, "/s/plain", on_one, NULL);
	return grpc_rig_start_router(
		&rig, router, TAKO_SERVER_CONFIG(.worker_count = 1, .write_high_bytes = 65536));
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

/* ---- Whatever may be wrong ----------------------------------------------------------------- */

#define CT "content-type: application/grpc\r\n"
#define WEB "content-type: application/grpc-web\r\n"
#define TEXT "content-type: application/grpc-web-text\r\n"
#define OK_MESSAGE "\0\0\0\0\2hi"
#define BODY(lit) lit, sizeof(lit) - 1

/* A status of gRPC, or a negative one of HTTP. */
static const struct {
	const char *path;
	const char *fields;
	const char *body;
	size_t n;
	int status;
} table[] = {
	/* Content types: HTTP's to refuse (PROTOCOL-HTTP2.md, "Content-Type"). */
	{"/s/m", "", BODY(OK_MESSAGE), -415},
	{"/s/m", "content-type: application/json\r\n", BODY(OK_MESSAGE), -415},
	{"/s/m", "content-type: application/grpcs\r\n", BODY(OK_MESSAGE), -415},
	{"/s/m", "content-type: application/grpc+\r\n", BODY(OK_MESSAGE), -415},
	{"/s/m", "content-type: text/plain, application/grpc\r\n", BODY(OK_MESSAGE), -415},
	{"/s/plain", WEB, BODY(OK_MESSAGE), -415},
	{"/s/plain", TEXT, BODY("AAAAAAJoaQ=="), -415},
	{"/s/in", "content-type: application/x-protobuf\r\n", BODY(""), -415},
	/* Prefixes. */
	{"/s/m", CT, BODY("\2\0\0\0\2hi"), 13},
	{"/s/m", CT, BODY("\x80\0\0\0\2hi"), 13},
	{"/s/m", CT, BODY("\xff\0\0\0\2hi"), 13},
	{"/s/m", CT, BODY("\1\0\0\0\2hi"), 13}, /* compressed, by what? */
	{"/s/m", CT "grpc-encoding: identity\r\n", BODY("\1\0\0\0\2hi"), 13},
	{"/s/in", CT, BODY("\1\0\0\0\2hi"), 13},
	{"/s/in", CT, BODY(OK_MESSAGE "\3"), 13},
	{"/s/in", CT, BODY(OK_MESSAGE "\3\0\0\0\0"), 13},
	/* Not whole. */
	{"/s/m", CT, BODY("\0"), 13},
	{"/s/m", CT, BODY("\0\0"), 13},
	{"/s/m", CT, BODY("\0\0\0\0"), 13},
	{"/s/m", CT, BODY("\0\0\0\0\2"), 13},
	{"/s/m", CT, BODY("\0\0\0\0\2h"), 13},
	{"/s/in", CT, BODY(OK_MESSAGE "\0"), 13},
	{"/s/in", CT, BODY(OK_MESSAGE "\0\0\0\0\1"), 13},
	{"/s/both", CT, BODY("\0\0\0\1\0hi"), 13},
	/* Too many, or none (statuscodes.md: UNIMPLEMENTED). */
	{"/s/m", CT, BODY(""), 12},
	{"/s/out", CT, BODY(""), 12},
	{"/s/m", CT, BODY(OK_MESSAGE OK_MESSAGE), 12},
	{"/s/m", CT,
         BODY("\0\0\0\0\0"
              "\0\0\0\0\0"),
         12},
	{"/s/m", CT, BODY(OK_MESSAGE "x"), 12},
	{"/s/out", CT, BODY(OK_MESSAGE OK_MESSAGE), 12},
	/* Too long, which the prefix says. */
	{"/s/m", CT, BODY("\0\0\0\3\xe9"), 8},
	{"/s/m", CT, BODY("\0\xff\xff\xff\xff"), 8},
	{"/s/m", CT, BODY("\0\x80\0\0\0hi"), 8},
	{"/s/in", CT, BODY(OK_MESSAGE "\0\0\0\3\xe9"), 8},
	{"/s/both", CT, BODY("\0\0\1\0\0"), 8},
	{"/s/plain", CT, BODY("\0\0\x40\0\1"), 8}, /* 4 MiB by default */
	/* Codings. */
	{"/s/m", CT "grpc-encoding: snappy\r\n", BODY(OK_MESSAGE), 12},
	{"/s/m", CT "grpc-encoding: \r\n", BODY(OK_MESSAGE), 12},
	{"/s/m", CT "grpc-encoding: gzip, deflate\r\n", BODY(OK_MESSAGE), 12},
	{"/s/m", CT "grpc-encoding: gzip\r\ngrpc-encoding: gzip\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-encoding: gzip\r\n", BODY("\1\0\0\0\2hi"), 13},
	{"/s/m", CT "grpc-encoding: gzip\r\n", BODY("\1\0\0\0\0"), 13},
	{"/s/in", CT "grpc-encoding: deflate\r\n", BODY("\1\0\0\0\2hi"), 13},
	/* Deadlines. */
	{"/s/m", CT "grpc-timeout: 1\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: 1s\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: 999999999S\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: -1S\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: \r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: 1S\r\ngrpc-timeout: 1S\r\n", BODY(OK_MESSAGE), 13},
	{"/s/m", CT "grpc-timeout: 0S\r\n", BODY(OK_MESSAGE), 4},
	/* Text. */
	{"/s/m", TEXT, BODY("AAAAAAJoa!=="), 13},
	{"/s/m", TEXT, BODY("AAAAAAJoaQ="), 13},
	{"/s/m", TEXT, BODY("AAAAAAJoaR=="), 13},
	{"/s/m", TEXT, BODY(OK_MESSAGE), 13},
	{"/s/m", TEXT, BODY(""), 12},
	/* Nothing is wrong with these. */
	{"/s/m", CT, BODY(OK_MESSAGE), 0},
	{"/s/m", "content-type: application/grpc+anything; a=b\r\n", BODY(OK_MESSAGE), 0},
	{"/s/m", CT "grpc-encoding: gzip\r\n", BODY(OK_MESSAGE), 0},
	{"/s/m", CT "grpc-timeout: 99999999H\r\n", BODY(OK_MESSAGE), 0},
	{"/s/m", CT, BODY("\0\0\0\0\0"), 0},
	{"/s/in", CT, BODY(""), 0},
	{"/s/in", CT, BODY(OK_MESSAGE OK_MESSAGE "\0\0\0\0\0"), 0},
};

static void malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		int status;

		peer_close(&rig.peer);
		peer_open(&rig.peer, &rig.server);
		memset(&rig.reply, 0, sizeof rig.reply);
		grpc_rig_send(&rig, table[i].path, table[i].fields, table[i].body, table[i].n);
		status = grpc_rig_reply(&rig);
		if (rig.http != 200)
			status = -rig.http;
		if (status != table[i].status)
			fail_msg("row %zu: %d, not %d (%s)", i, status, table[i].status,
			         rig.message);
	}
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void cut_anywhere(void **state)
{
	char body[64];
	size_t n = grpc_rig_frame(body, 0, "one", 3);

	(void)state;
	n += grpc_rig_frame(body + n, 0, "", 0);
	n += grpc_rig_frame(body + n, 0, "three", 5);
	for (size_t cut = 1; cut < n; cut++) {
		memset(&seen, 0, sizeof seen);
		grpc_rig_open(&rig, "/s/in", NULL);
		grpc_rig_chunk(&rig, body, cut);
		grpc_rig_turns(&rig, 1);
		grpc_rig_chunk(&rig, body + cut, n - cut);
		grpc_rig_end(&rig);
		assert_int_equal(grpc_rig_reply(&rig), 0);
		assert_int_equal(rig.count, 1);
		assert_memory_equal(rig.messages[0].p, "all", 3);
		assert_int_equal(seen.messages, 3);
		assert_int_equal(seen.bytes, 8);
		assert_int_equal(seen.ends, 1);
		peer_drop(&rig.peer, rig.reply.total_n);
	}
}

static void compressed_ones(void **state)
{
	char body[256] = {1};
	z_stream z = {.zalloc = NULL};
	size_t n;

	(void)state;
	assert_int_equal(deflateInit(&z, 6), Z_OK);
	z.next_in = (Bytef *)(uintptr_t) "0123456789012345678901234567890123456789";
	z.avail_in = 40;
	z.next_out = (Bytef *)body + 5;
	z.avail_out = sizeof body - 5;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	n = sizeof body - 5 - z.avail_out;
	deflateEnd(&z);
	body[4] = (char)n;
	assert_int_equal(grpc_rig_call(&rig, CT "grpc-encoding: deflate\r\n", body, n + 5), 0);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.messages[0].n, 40);
	assert_memory_equal(rig.messages[0].p, "0123456789", 10);
}

/* A body in several padded pieces, cut anywhere. */
static void text_bodies(void **state)
{
	static const char body[] = "AAAAAA==AmhpAA==";
	char want[] = "AAAAAAJoaQA=";

	(void)state, (void)want;
	for (size_t cut = 1; cut < 12; cut++) {
		grpc_rig_open(&rig, "/s/m", TEXT);
		grpc_rig_chunk(&rig, "AAAAAAJoaQ==", cut);
		grpc_rig_turns(&rig, 1);
		grpc_rig_chunk(&rig, &"AAAAAAJoaQ=="[cut], 12 - cut);
		grpc_rig_end(&rig);
		(void)grpc_rig_reply(&rig);
		assert_int_equal(rig.http, 200);
		/* The message, then the trailers, each a piece. */
		assert_true(rig.reply.body_n > 12);
		assert_memory_equal(rig.reply.body, "AAAAAAJoaQ==", 12);
		peer_drop(&rig.peer, rig.reply.total_n);
	}
	grpc_rig_send(&rig, "/s/m", TEXT, body, 8);
	(void)grpc_rig_reply(&rig);
	assert_string_equal(grpc_rig_field(&rig, "grpc-status"), "13");
}

/* ---- Pauses ------------------------------------------------------------------------------------ */

static void pauses(void **state)
{
	char body[128];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 10; i++)
		n += grpc_rig_frame(body + n, 0, "12345", 5);
	seen.pause_at = 3;
	grpc_rig_send(&rig, "/s/in", NULL, body, n);
	grpc_rig_turns(&rig, 5);
	assert_int_equal(seen.messages, 3);
	assert_int_equal(seen.ends, 0);
	/* On to the next pause, from the loop and not from inside the call. */
	seen.pause_at = 7;
	tako_grpc_resume(seen.call);
	tako_grpc_resume(seen.call);
	assert_int_equal(seen.messages, 3);
	grpc_rig_turns(&rig, 5);
	assert_int_equal(seen.messages, 7);
	seen.pause_at = 0;
	tako_grpc_pause(seen.call);
	tako_grpc_resume(seen.call);
	assert_int_equal(grpc_rig_reply(&rig), 0);
	assert_int_equal(seen.messages, 10);
	assert_int_equal(seen.bytes, 50);
	assert_int_equal(seen.ends, 1);
}

static void leaves_in_a_pause(void **state)
{
	char body[64];
	size_t n = grpc_rig_frame(body, 0, "12345", 5);

	(void)state;
	n += grpc_rig_frame(body + n, 0, "12345", 5);
	seen.pause_at = 1;
	grpc_rig_open(&rig, "/s/both", NULL);
	grpc_rig_chunk(&rig, body, n);
	grpc_rig_turns(&rig, 5);
	assert_int_equal(seen.messages, 1);
	peer_close(&rig.peer);
	for (int i = 0; i < RIG_WAIT_MS && !seen.cancels; i++)
		grpc_rig_turns(&rig, 1);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.messages, 1);
}

/* A thousand messages in a delivery, each answered with 64 KiB, are not all answered at once. */
static void waits_for_the_writer(void **state)
{
	static char body[5 * 1000];
	unsigned before;

	(void)state;
	seen.answer_bytes = 1 << 16;
	grpc_rig_open(&rig, "/s/both", NULL);
	grpc_rig_chunk(&rig, body, sizeof body);
	grpc_rig_end(&rig);
	for (int i = 0; i < 50; i++)
		stepped_turn(&rig.server, 1);
	before = seen.messages;
	/* What the sockets' buffers take, and little more. */
	assert_true(before >= 2 && before < 900);
	/* The client takes what there is, and forgets it. */
	for (int i = 0; i < RIG_WAIT_MS && !seen.ends; i++) {
		peer_read(&rig.peer);
		rig.peer.n = 0;
		stepped_turn(&rig.server, 1);
	}
	assert_int_equal(seen.messages, 1000);
	assert_int_equal(seen.ends, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(malformed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cut_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(compressed_ones, set_up, tear_down),
		cmocka_unit_test_setup_teardown(text_bodies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pauses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(leaves_in_a_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waits_for_the_writer, set_up, tear_down),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Messages and statuses on their way out: what may be sent when, limits, compression, details, trailers
 * of every kind, and gRPC-Web's form of all of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transports/grpc/grpc_base64.h"
#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;
static int (*script)(tako_grpc *call); /* what the method does */
static char big[60000];

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	(void)msg, (void)arg;
	return script(call);
}

static int set_up(void **state)
{
	static const char *const origins[] = {NULL};
	tako_router *router = tako_router_new();
	tako_grpc_config cfg = {.size = sizeof cfg,
	                        .on_message = on_message,
	                        .max_send_bytes = sizeof big,
	                        .compress = TAKO_GRPC_GZIP | TAKO_GRPC_DEFLATE,
	                        .compress_min_bytes = 100,
	                        .web_origins = origins};

	(void)state;
	tako_grpc_method(router, "/s/m", TAKO_GRPC_UNARY, &cfg, NULL);
	tako_grpc_method(router, "/s/out", TAKO_GRPC_SERVER_STREAM, &cfg, NULL);
	return grpc_rig_start_router(&rig, router, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong();
}

#define CT "content-type: application/grpc\r\n"
#define GZIP CT "grpc-accept-encoding: identity,gzip\r\n"

static int run(const char *path, const char *fields, int (*fn)(tako_grpc *call))
{
	script = fn;
	if (rig.reply.total_n && rig.reply.total_n <= rig.peer.n)
		peer_drop(&rig.peer, rig.reply.total_n);
	memset(&rig.reply, 0, sizeof rig.reply);
	if (fields && strstr(fields, "-text"))
		grpc_rig_send(&rig, path, fields, "AAAAAAA=", 8);
	else
		grpc_rig_send(&rig, path, fields, "\0\0\0\0\0", 5);
	return grpc_rig_reply(&rig);
}

/* ---- What may be sent when -------------------------------------------------------------- */

static int one_only(tako_grpc *call)
{
	assert_int_equal(tako_grpc_send(call, TAKO_STR("x")), TAKO_ESTATE);
	assert_int_equal(tako_grpc_finish(call, TAKO_GRPC_OK, NULL), TAKO_EINVAL);
	assert_int_equal(tako_grpc_finish(call, 17, NULL), TAKO_EINVAL);
	assert_int_equal(tako_grpc_finish(call, -1, NULL), TAKO_EINVAL);
	assert_int_equal(tako_grpc_send_head(call), 0);
	assert_int_equal(tako_grpc_send_head(call), TAKO_ESTATE);
	assert_int_equal(tako_grpc_header(call, "a", TAKO_STR("b")), TAKO_ESTATE);
	assert_int_equal(tako_grpc_reply(call, TAKO_STR("one")), 0);
	assert_int_equal(tako_grpc_reply(call, TAKO_STR("two")), TAKO_ECLOSED);
	assert_int_equal(tako_grpc_send_head(call), TAKO_ECLOSED);
	assert_int_equal(tako_grpc_details(call, TAKO_STR("x")), TAKO_ECLOSED);
	assert_int_equal(tako_grpc_trailer(call, "a", TAKO_STR("b")), TAKO_ECLOSED);
	assert_int_equal(tako_grpc_on_drain(call, NULL, NULL), TAKO_ECLOSED);
	return 0;
}

static int many(tako_grpc *call)
{
	for (int i = 0; i < 3; i++)
		assert_true(tako_grpc_send(call, (tako_str){big, (size_t)i * 2000}) >= 0);
	return tako_grpc_reply(call, TAKO_STR("last"));
}

static void order(void **state)
{
	(void)state;
	assert_int_equal(run("/s/m", NULL, one_only), 0);
	assert_int_equal(rig.count, 1);
	assert_int_equal(run("/s/out", NULL, many), 0);
	assert_int_equal(rig.count, 4);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(rig.messages[i].n, i * 2000);
	assert_memory_equal(rig.messages[3].p, "last", 4);
}

static int too_long(tako_grpc *call)
{
	static char more[sizeof big + 1];

	assert_int_equal(tako_grpc_send(call, (tako_str){more, sizeof more}), TAKO_ETOOBIG);
	assert_true(tako_grpc_send(call, (tako_str){more, sizeof big}) >= 0);
	return tako_grpc_reply(call, (tako_str){more, sizeof more});
}

/* What was refused has left no trace. */
static void limits(void **state)
{
	(void)state;
	assert_int_equal(run("/s/out", NULL, too_long), TAKO_GRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(rig.count, 1);
	assert_int_equal(rig.messages[0].n, sizeof big);
}

/* ---- Trailers --------------------------------------------------------------------------- */

static int with_all(tako_grpc *call)
{
	assert_int_equal(tako_grpc_trailer(call, "first", TAKO_STR("1")), 0);
	assert_int_equal(tako_grpc_details(call, TAKO_STR("\1\2\3\4")), 0);
	return tako_grpc_reply(call, TAKO_STR("m"));
}

static int failing(tako_grpc *call)
{
	assert_int_equal(tako_grpc_trailer(call, "first", TAKO_STR("1")), 0);
	assert_int_equal(tako_grpc_header(call, "zeroth", TAKO_STR("0")), 0);
	assert_int_equal(tako_grpc_details(call, TAKO_STR("\1\2\3\4")), 0);
	return tako_grpc_finish(call, TAKO_GRPC_ABORTED, "100% wrong\n");
}

static int failing_late(tako_grpc *call)
{
	assert_int_equal(tako_grpc_send_head(call), 0);
	return tako_grpc_finish(call, TAKO_GRPC_DATA_LOSS, NULL);
}

static void trailers(void **state)
{

	(void)state;
	assert_int_equal(run("/s/m", NULL, with_all), 0);
	assert_string_equal(grpc_rig_trailer(&rig, "first"), "1");
	assert_string_equal(grpc_rig_trailer(&rig, "grpc-status-details-bin"), "AQIDBA");
	/* Without a message all of it is one head. */
	assert_int_equal(run("/s/m", NULL, failing), TAKO_GRPC_ABORTED);
	assert_int_equal(rig.reply.body_n, 0);
	assert_string_equal(grpc_rig_field(&rig, "grpc-message"), "100%25 wrong%0A");
	assert_string_equal(grpc_rig_field(&rig, "grpc-status-details-bin"), "AQIDBA");
	assert_string_equal(grpc_rig_field(&rig, "first"), "1");
	assert_string_equal(grpc_rig_field(&rig, "zeroth"), "0");
	assert_null(grpc_rig_trailer(&rig, "first"));
	assert_int_equal(run("/s/m", NULL, failing_late), TAKO_GRPC_DATA_LOSS);
	assert_string_equal(grpc_rig_trailer(&rig, "grpc-status"), "15");
	assert_null(grpc_rig_field(&rig, "grpc-status"));
}

static int too_many_details(tako_grpc *call)
{
	assert_int_equal(tako_grpc_details(call, (tako_str){big, 4097}), TAKO_ETOOBIG);
	return tako_grpc_details(call, (tako_str){big, 4096});
}

static void details(void **state)
{
	(void)state;
	assert_int_equal(run("/s/m", NULL, too_many_details), TAKO_GRPC_INTERNAL);
	/* It came with the status of a method that has forgotten to answer. */
	assert_int_equal(strspn(grpc_rig_field(&rig, "grpc-status-details-bin"), "A"),
	                 1365 * 4 + 2);
}

/* ---- Compression ---------------------------------------------------------------------------- */

static int mixed(tako_grpc *call)
{
	assert_true(tako_grpc_send(call, (tako_str){big, 99}) >= 0);
	assert_true(tako_grpc_send(call, (tako_str){big, 100}) >= 0);
	tako_grpc_compress(call, false);
	assert_true(tako_grpc_send(call, (tako_str){big, 100}) >= 0);
	tako_grpc_compress(call, true);
	return tako_grpc_reply(call, (tako_str){big, sizeof big});
}

static void compression(void **state)
{
	(void)state;
	assert_int_equal(run("/s/out", GZIP, mixed), 0);
	assert_string_equal(grpc_rig_field(&rig, "grpc-encoding"), "gzip");
	assert_int_equal(rig.count, 4);
	assert_int_equal(rig.flags[0], 0);
	assert_int_equal(rig.flags[1], 1);
	assert_int_equal(rig.flags[2], 0);
	assert_int_equal(rig.flags[3], 1);
	assert_memory_equal(rig.messages[3].p, "\x1f\x8b", 2);
	assert_true(rig.messages[3].n < 200);
	assert_int_equal(run("/s/out", CT "grpc-accept-encoding: deflate\r\n", mixed), 0);
	assert_string_equal(grpc_rig_field(&rig, "grpc-encoding"), "deflate");
	assert_int_equal(rig.messages[3].p[0], 'x');
	assert_int_equal(run("/s/out", CT "grpc-accept-encoding: br\r\n", mixed), 0);
	assert_null(grpc_rig_field(&rig, "grpc-encoding"));
	assert_int_equal(rig.flags[3], 0);
}

static int plain(tako_grpc *call)
{
	return tako_grpc_reply(call, TAKO_STR("x"));
}

static int refusing(tako_grpc *call)
{
	return tako_grpc_finish(call, TAKO_GRPC_ABORTED, NULL);
}

/* Who compresses is told what may be compressed with, also by a refusal (compression.md). */
static void disclosure(void **state)
{
	static const char *const rows[] = {"gzip", "deflate", "snappy"};
	int (*const answers[])(tako_grpc * call) = {plain, many, refusing};

	(void)state;
	for (size_t i = 0; i < 9; i++) {
		char fields[128];

		snprintf(fields, sizeof fields, CT "grpc-encoding: %s\r\n", rows[i % 3]);
		(void)run(i / 3 == 1 ? "/s/out" : "/s/m", fields, answers[i / 3]);
		assert_string_equal(grpc_rig_field(&rig, "grpc-accept-encoding"),
		                    "identity,deflate,gzip");
	}
	(void)run("/s/m", CT "grpc-encoding: identity\r\n", plain);
	assert_null(grpc_rig_field(&rig, "grpc-accept-encoding"));
}

/* ---- gRPC-Web ---------------------------------------------------------------------------------- */

static void web(void **state)
{
	static const char want[] =
		"first: 1\r\ngrpc-status: 0\r\ngrpc-status-details-bin: AQIDBA\r\n";

	(void)state;
	assert_int_equal(run("/s/m", "content-type: application/grpc-web+proto\r\n", with_all), -1);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc-web+proto");
	assert_int_equal(rig.count, 2);
	assert_int_equal(rig.flags[1], 0x80);
	assert_int_equal(rig.messages[1].n, sizeof want - 1);
	assert_memory_equal(rig.messages[1].p, want, sizeof want - 1);
	assert_string_equal(rig.reply.trailers, "");
	assert_int_equal(run("/s/m", "content-type: application/grpc-web\r\n", failing),
	                 TAKO_GRPC_ABORTED);
	assert_int_equal(rig.reply.body_n, 0);
}

static void web_text(void **state)
{
	static char raw[100000];
	struct tako__base64 d = {.bits = 0};
	size_t n;
	size_t end;

	(void)state;
	(void)run("/s/out", "content-type: application/grpc-web-text\r\n", many);
	assert_int_equal(tako__base64_decode(&d, raw, &n, rig.reply.body, rig.reply.body_n), 0);
	assert_int_equal(tako__base64_end(&d, raw + n, &end, false), 0);
	assert_int_equal(n, 5 * 5 + 6000 + 4 + 16);
	assert_memory_equal(raw + n - 16, "grpc-status: 0\r\n", 16);
	assert_memory_equal(raw + n - 21, "\x80\0\0\0\x10", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(trailers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(details, set_up, tear_down),
		cmocka_unit_test_setup_teardown(compression, set_up, tear_down),
		cmocka_unit_test_setup_teardown(disclosure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(web, set_up, tear_down),
		cmocka_unit_test_setup_teardown(web_text, set_up, tear_down),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

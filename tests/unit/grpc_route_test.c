/* SPDX-License-Identifier: MIT
 *
 * Methods as they are registered: what is refused, with which error, and that a config is copied.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	return tako_grpc_reply(call, msg);
}

static int on_event(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	return 0;
}

static int error_of(const char *path, int kind, const tako_grpc_config *cfg)
{
	tako_router *router = tako_router_new();
	int rc;

	tako_grpc_method(router, path, kind, cfg, NULL);
	rc = tako_router_error(router);
	if (rc < 0)
		assert_true(tako_last_error()[0]);
	tako_router_free(router);
	assert_int_equal(failalloc_live(), 0);
	return rc;
}

#define CFG(...) TAKO_GRPC_CONFIG(.on_message = on_message, __VA_ARGS__)

static void refused(void **state)
{
	static const char *const empty_origin[] = {"", NULL};
	static const char *const bad_origin[] = {"https://a\r\nx: y", NULL};
	const struct {
		const tako_grpc_config *cfg;
		int kind;
		int rc;
	} rows[] = {
		{CFG(.max_receive_bytes = 1), TAKO_GRPC_UNARY, 0},
		{CFG(.on_open = on_event, .on_end = on_event), TAKO_GRPC_BIDI, 0},
		{CFG(.on_open = on_event), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{CFG(.on_end = on_event), TAKO_GRPC_SERVER_STREAM, TAKO_EINVAL},
		{CFG(.compress = 1), -1, TAKO_EINVAL},
		{CFG(.compress = 1), 4, TAKO_EINVAL},
		{CFG(.compress = 4), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{CFG(.compress_min_bytes = 10), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{CFG(.compress = 3, .compress_min_bytes = 10), TAKO_GRPC_UNARY, 0},
		{CFG(.reserved = 1), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{CFG(.web_origins = empty_origin), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{CFG(.web_origins = bad_origin), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{TAKO_GRPC_CONFIG(.max_send_bytes = 1), TAKO_GRPC_UNARY, TAKO_EINVAL},
		{NULL, TAKO_GRPC_UNARY, TAKO_EINVAL},
		{&(tako_grpc_config){.size = 8, .on_message = on_message}, TAKO_GRPC_UNARY,
	         TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		assert_int_equal(error_of("/s/m", rows[i].kind, rows[i].cfg), rows[i].rc);
	assert_int_equal(error_of(NULL, TAKO_GRPC_UNARY, CFG(.compress = 1)), TAKO_EINVAL);
	assert_int_equal(error_of("no slash", TAKO_GRPC_UNARY, CFG(.compress = 1)), TAKO_EINVAL);
}

static void newer_than_the_library(void **state)
{
	struct {
		tako_grpc_config cfg;
		uint64_t later;
	} c = {.cfg = {.size = sizeof c, .on_message = on_message}};

	(void)state;
	assert_int_equal(error_of("/s/m", TAKO_GRPC_UNARY, &c.cfg), 0);
	c.later = 1;
	assert_int_equal(error_of("/s/m", TAKO_GRPC_UNARY, &c.cfg), TAKO_ENOTSUP);
}

static void twice(void **state)
{
	tako_router *router = tako_router_new();

	(void)state;
	tako_grpc_unary(router, "/s/m", on_message, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_grpc_unary(router, "/s/m", on_message, NULL);
	assert_int_equal(tako_router_error(router), TAKO_EEXIST);
	tako_router_free(router);
	tako_grpc_unary(NULL, "/s/m", on_message, NULL);
	assert_int_equal(failalloc_live(), 0);
}

static void copied(void **state)
{
	static struct rig rig;
	char origin[] = "https://app.example";
	const char *origins[] = {origin, NULL};
	tako_grpc_config cfg = {
		.size = sizeof cfg, .on_message = on_message, .web_origins = origins};

	(void)state;
	assert_int_equal(grpc_rig_start(&rig, TAKO_GRPC_UNARY, &cfg, NULL), 0);
	memset(&cfg, 0xff, sizeof cfg);
	memset(origin, 'x', sizeof origin - 1);
	origins[0] = NULL;
	(void)grpc_rig_say(&rig,
	                   "content-type: application/grpc-web\r\norigin: https://app.example\r\n",
	                   TAKO_STR("x"));
	assert_int_equal(rig.http, 200);
	assert_int_equal(rig.count, 2);
	(void)grpc_rig_stop(&rig);
	assert_int_equal(failalloc_live(), 0);
}

static void without_memory(void **state)
{
	static const char *const origins[] = {"https://a.example", NULL};
	size_t nth = 0;

	(void)state;
	do {
		tako_router *router = tako_router_new();
		int rc;

		failalloc_arm(++nth);
		tako_grpc_method(router, "/s/m", TAKO_GRPC_UNARY, CFG(.web_origins = origins),
		                 NULL);
		rc = tako_router_error(router);
		assert_true(rc == 0 || rc == TAKO_ENOMEM);
		tako_router_free(router);
		assert_int_equal(failalloc_live(), 0);
	} while (failalloc_disarm());
	assert_true(nth > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),        cmocka_unit_test(newer_than_the_library),
		cmocka_unit_test(twice),          cmocka_unit_test(copied),
		cmocka_unit_test(without_memory),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The Redis relay where there is no Redis: what it is told, its bounded queue, names, and its end.
 * With one it is tested in integration/test_redis.py.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <tako/redis.h>

#include "unit/failalloc.h"

/* Nobody listens on port 1. */
#define NOBODY .port = 1, .retry_min_ms = 3600000, .retry_max_ms = 3600000

static void configs(void **state)
{
	const struct {
		tako_redis_config cfg;
		int rc;
	} cases[] = {
		{{.port = 1}, 0},
		{{.size = 8}, TAKO_EINVAL},
		{{.port = 65536}, TAKO_EINVAL},
		{{.user = "u"}, TAKO_EINVAL},
		{{.reserved = 1}, TAKO_EINVAL},
		{{.retry_min_ms = 10, .retry_max_ms = 9}, TAKO_EINVAL},
		{{.retry_max_ms = 3600001}, TAKO_EINVAL},
		{{.port = 1, .retry_min_ms = 6000}, 0},
		{{.host = "/nonexistent/socket", .user = "u", .password = "p", .prefix = ""}, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_redis_config cfg = cases[i].cfg;
		tako_redis *r = NULL;

		cfg.size = cfg.size ? cfg.size : sizeof cfg;
		assert_int_equal(tako_redis_new(&r, &cfg), cases[i].rc);
		tako_redis_free(r);
	}
	assert_int_equal(failalloc_live(), 0);
}

static tako_redis_stats figures(tako_redis *r)
{
	tako_redis_stats s = {.size = sizeof s};

	assert_int_equal(tako_redis_get_stats(r, &s), 0);
	return s;
}

static void queue_and_names(void **state)
{
	tako_redis_stats bad = {.size = sizeof bad + 8};
	tako_redis *r = NULL;
	tako_topic *t = NULL;
	tako_topic *other = NULL;
	int sent = 0;
	int rc;

	(void)state;
	assert_int_equal(tako_redis_new(&r, TAKO_REDIS_CONFIG(NOBODY, .max_queue_bytes = 1000)), 0);
	assert_int_equal(
		tako_topic_new(&t, TAKO_TOPIC_CONFIG(.name = "a", .relay = tako_redis_relay(r))),
		0);
	assert_int_equal(tako_topic_new(&other, TAKO_TOPIC_CONFIG(.name = "a",
	                                                          .relay = tako_redis_relay(r))),
	                 TAKO_EEXIST);
	while ((rc = tako_topic_publish(t, TAKO_MESSAGE(.data = TAKO_STR("text")))) == 0)
		sent++;
	assert_int_equal(rc, TAKO_EBUSY);
	assert_in_range(sent, 5, 30);
	assert_in_range(figures(r).queued_bytes, 900, 1000);
	assert_int_equal(figures(r).dropped, 1);
	assert_int_equal(figures(r).connected, 0);
	assert_int_equal(tako_redis_get_stats(r, &bad), TAKO_EINVAL);
	/* The name is free again when its topic has gone. */
	tako_topic_free(t);
	assert_int_equal(
		tako_topic_new(&t, TAKO_TOPIC_CONFIG(.name = "a", .relay = tako_redis_relay(r))),
		0);
	tako_topic_free(t);
	tako_redis_free(r);
	tako_redis_free(NULL);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void no_memory(void **state)
{
	size_t n;

	(void)state;
	for (n = 1; n < 50; n++) {
		tako_redis *r = NULL;
		tako_topic *t = NULL;

		failalloc_arm(n);
		if (tako_redis_new(&r, TAKO_REDIS_CONFIG(NOBODY, .password = "p")) == 0 &&
		    tako_topic_new(
			    &t, TAKO_TOPIC_CONFIG(.name = "a", .relay = tako_redis_relay(r))) == 0)
			(void)tako_topic_publish(t, TAKO_MESSAGE(.data = TAKO_STR("text")));
		tako_topic_free(t);
		tako_redis_free(r);
		assert_int_equal(failalloc_live(), 0);
		if (!failalloc_disarm())
			break;
	}
	assert_in_range(n, 6, 49);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(configs),
		cmocka_unit_test(queue_and_names),
		cmocka_unit_test(no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

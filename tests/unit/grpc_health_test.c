/* SPDX-License-Identifier: MIT
 *
 * Health: what is asked, what is watched, from one thread and from others, and what becomes of watchers
 * when either side goes first.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "transports/grpc/grpc_pb.h"
#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;
static tako_grpc_health *health;

static int set_up(void **state)
{
	tako_router *router = tako_router_new();

	(void)state;
	health = tako_grpc_health_new();
	tako_grpc_health_add(router, health);
	return grpc_rig_start_router(&rig, router, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	tako_grpc_health_free(health);
	return failalloc_live() || failalloc_wrong();
}

#define CHECK "/grpc.health.v1.Health/Check"
#define LIST "/grpc.health.v1.Health/List"
#define WATCH "/grpc.health.v1.Health/Watch"

static void ask(const char *path, const char *service)
{
	char body[400];
	char msg[300] = {0x0a, (char)strlen(service)};
	size_t n = strlen(service);

	memcpy(msg + 2, service, n);
	if (rig.reply.total_n && rig.reply.total_n <= rig.peer.n)
		peer_drop(&rig.peer, rig.reply.total_n);
	memset(&rig.reply, 0, sizeof rig.reply);
	grpc_rig_send(&rig, path, NULL, body, grpc_rig_frame(body, 0, msg, n ? n + 2 : 0));
}

/* The status, or that of the call, negated. */
static int check(const char *service)
{
	int rc;

	ask(CHECK, service);
	rc = grpc_rig_reply(&rig);
	if (rc)
		return -rc;
	assert_int_equal(rig.count, 1);
	if (!rig.messages[0].n)
		return 0;
	assert_int_equal(rig.messages[0].n, 2);
	assert_int_equal(rig.messages[0].p[0], 8);
	return rig.messages[0].p[1];
}

static void asked(void **state)
{
	(void)state;
	assert_int_equal(check(""), TAKO_GRPC_HEALTH_SERVING);
	assert_int_equal(check("a"), -TAKO_GRPC_NOT_FOUND);
	assert_int_equal(tako_grpc_health_set(health, "a", TAKO_GRPC_HEALTH_NOT_SERVING), 0);
	assert_int_equal(check("a"), TAKO_GRPC_HEALTH_NOT_SERVING);
	/* What was set once is set anew. */
	assert_int_equal(tako_grpc_health_set(health, "a", TAKO_GRPC_HEALTH_UNKNOWN), 0);
	assert_int_equal(check("a"), TAKO_GRPC_HEALTH_UNKNOWN);
	assert_int_equal(tako_grpc_health_set(health, "", TAKO_GRPC_HEALTH_NOT_SERVING), 0);
	assert_int_equal(check(""), TAKO_GRPC_HEALTH_NOT_SERVING);
	grpc_rig_send(&rig, CHECK, NULL, "\0\0\0\0\1\x80", 6);
	peer_drop(&rig.peer, rig.reply.total_n);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_INTERNAL);
}

/* All that is said, in no order: a map's entries, which are messages of a key and a value. */
static void listed(void **state)
{
	unsigned seen = 0;
	struct tako__pb_field entry;
	tako_str in;

	(void)state;
	assert_int_equal(tako_grpc_health_set(health, "b", TAKO_GRPC_HEALTH_NOT_SERVING), 0);
	assert_int_equal(tako_grpc_health_set(health, "cc", TAKO_GRPC_HEALTH_UNKNOWN), 0);
	ask(LIST, "");
	assert_int_equal(grpc_rig_reply(&rig), 0);
	in = rig.messages[0];
	while (tako__pb_next(&in, &entry) > 0) {
		struct tako__pb_field key, value;

		assert_int_equal(entry.number, 1);
		assert_int_equal(tako__pb_next(&entry.bytes, &key), 1);
		assert_int_equal(tako__pb_next(&entry.bytes, &value), 1);
		assert_true(key.number == 1 && value.number == 2 && !entry.bytes.n);
		if (!key.bytes.n && tako_str_eq(value.bytes, TAKO_STR("\x08\1")))
			seen |= 1;
		else if (tako_str_eq(key.bytes, TAKO_STR("b")) &&
		         tako_str_eq(value.bytes, TAKO_STR("\x08\2")))
			seen |= 2;
		else if (tako_str_eq(key.bytes, TAKO_STR("cc")) && !value.bytes.n)
			seen |= 4;
		else
			fail();
	}
	assert_int_equal(in.n, 0);
	assert_int_equal(seen, 7);
}

static void refused(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'x', sizeof name);
	name[257] = '\0';
	assert_int_equal(tako_grpc_health_set(health, "a", 3), TAKO_EINVAL);
	assert_int_equal(tako_grpc_health_set(health, "a", -1), TAKO_EINVAL);
	assert_int_equal(tako_grpc_health_set(health, NULL, 1), TAKO_EINVAL);
	assert_int_equal(tako_grpc_health_set(health, name, 1), TAKO_EINVAL);
	name[256] = '\0';
	assert_int_equal(tako_grpc_health_set(health, name, 1), 0);
	for (int i = 0; i < 1022; i++) {
		snprintf(name, sizeof name, "service %d", i);
		assert_int_equal(tako_grpc_health_set(health, name, i % 3), 0);
	}
	assert_int_equal(tako_grpc_health_set(health, "one more", 1), TAKO_ETOOBIG);
	for (int i = 0; i < 1022; i += 100) {
		snprintf(name, sizeof name, "service %d", i);
		assert_int_equal(check(name), i % 3);
	}
	tako_grpc_health_free(NULL);
}

/* Bytes of messages that have come behind the head. */
static const char *watched(size_t n)
{
	for (int i = 0; i < RIG_WAIT_MS; i++) {
		reply_parse(&rig.reply, &rig.peer, false);
		if (rig.reply.body_n >= n)
			break;
		grpc_rig_turns(&rig, 1);
		peer_read(&rig.peer);
	}
	assert_int_equal(rig.reply.body_n, n);
	return rig.reply.body;
}

static void watching(void **state)
{
	(void)state;
	ask(WATCH, "a");
	assert_memory_equal(watched(7), "\0\0\0\0\2\x08\3", 7);
	assert_int_equal(tako_grpc_health_set(health, "b", TAKO_GRPC_HEALTH_SERVING), 0);
	assert_int_equal(tako_grpc_health_set(health, "a", TAKO_GRPC_HEALTH_SERVING), 0);
	assert_memory_equal(watched(14) + 7, "\0\0\0\0\2\x08\1", 7);
	/* Nothing new. */
	assert_int_equal(tako_grpc_health_set(health, "a", TAKO_GRPC_HEALTH_SERVING), 0);
	grpc_rig_turns(&rig, 3);
	(void)watched(14);
	/* Of many the last counts. */
	for (int i = 0; i < 5; i++)
		assert_int_equal(tako_grpc_health_set(health, "a", i % 2 + 1), 0);
	assert_int_equal(tako_grpc_health_set(health, "a", TAKO_GRPC_HEALTH_NOT_SERVING), 0);
	assert_memory_equal(watched(21) + 14, "\0\0\0\0\2\x08\2", 7);
	/* And the end is told. */
	tako_server_stop(rig.server.srv);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_UNAVAILABLE);
}

static void watcher_leaves(void **state)
{
	(void)state;
	ask(WATCH, "");
	(void)watched(7);
	assert_int_equal(tako_grpc_health_set(health, "", TAKO_GRPC_HEALTH_NOT_SERVING), 0);
	/* With a mail on its way. */
	peer_close(&rig.peer);
	grpc_rig_turns(&rig, 5);
	assert_int_equal(tako_grpc_health_set(health, "", TAKO_GRPC_HEALTH_SERVING), 0);
	peer_open(&rig.peer, &rig.server);
	memset(&rig.reply, 0, sizeof rig.reply);
	assert_int_equal(check(""), TAKO_GRPC_HEALTH_SERVING);
}

static void *set_often(void *arg)
{
	for (int i = 0; i < 20000; i++)
		(void)tako_grpc_health_set(health, arg, i % 2 + 1);
	(void)tako_grpc_health_set(health, arg, TAKO_GRPC_HEALTH_UNKNOWN);
	return NULL;
}

static void other_threads(void **state)
{
	pthread_t threads[2];
	size_t n = 0;

	(void)state;
	ask(WATCH, "a");
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, set_often,
		                                (void *)(uintptr_t)(i ? "a" : "b")),
		                 0);
	/* An UNKNOWN is an empty message. */
	for (int i = 0; i < RIG_WAIT_MS; i++) {
		grpc_rig_turns(&rig, 1);
		peer_read(&rig.peer);
		reply_parse(&rig.reply, &rig.peer, false);
		n = rig.reply.body_n;
		if (n >= 5 && !memcmp(rig.reply.body + n - 5, "\0\0\0\0\0", 5))
			break;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_memory_equal(rig.reply.body + n - 5, "\0\0\0\0\0", 5);
}

static void without_memory(void **state)
{
	size_t nth = 0;

	(void)state;
	do {
		tako_grpc_health *h;

		failalloc_arm(++nth);
		h = tako_grpc_health_new();
		if (h)
			(void)tako_grpc_health_set(h, "a", 1);
		tako_grpc_health_free(h);
	} while (failalloc_disarm());
	assert_int_equal(nth, 4);
}

static void nothing_to_add(void **state)
{
	tako_router *router = tako_router_new();

	(void)state;
	tako_grpc_health_add(router, NULL);
	assert_int_equal(tako_router_error(router), TAKO_EINVAL);
	tako_router_free(router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(watching, set_up, tear_down),
		cmocka_unit_test_setup_teardown(watcher_leaves, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_threads, set_up, tear_down),
		cmocka_unit_test(without_memory),
		cmocka_unit_test(nothing_to_add),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

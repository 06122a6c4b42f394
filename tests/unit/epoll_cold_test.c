/* SPDX-License-Identifier: MIT
 *
 * A file that is not in memory holds up its own connection and nobody else's.
 */
#include "unit/runtime_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "unit/slow_disk.h"

enum { FILE_N = 600 << 10, WAIT_S = 10 };

static char *data;
static int fd;
static struct end slow;
static struct end other;

static uint64_t far(void)
{
	return tako__clock_ns() + UINT64_C(1000000000) * WAIT_S;
}

static int set_up(void **state)
{
	char name[] = "build/.cold-test-XXXXXX";

	slow_disk = (struct slow_disk){0};
	data = rig_pattern(FILE_N);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0 || unlink(name) < 0 || write(fd, data, FILE_N) != FILE_N || rig_set_up(state))
		return 1;
	rig_start(&slow);
	rig_start(&other);
	return 0;
}

static int tear_down(void **state)
{
	rig_finish(&slow);
	rig_finish(&other);
	free(data);
	close(fd);
	return rig_tear_down(state);
}

/* The loop sleeps and looks again by itself, and meanwhile the others are served. */
static void test_others_go_on(void **state)
{
	char *got = malloc(FILE_N);
	char head[4];

	(void)state;
	assert_non_null(got);
	slow_disk.cold = true;
	rig_queue(&slow, 0, "head", 4);
	rig_queue_file(&slow, 1, fd, 0, FILE_N);
	for (unsigned i = 1; i <= 20; i++) {
		rig_say(&other, "x", 1);
		rig_turn(1);
		assert_int_equal(other.n, i);
		assert_int_equal(slow_disk.waits, 0);
	}
	assert_int_equal(read(slow.peer, head, sizeof head), 4);
	assert_memory_equal(head, "head", 4);
	for (unsigned before = slow_disk.probes, i = 0; i < 3; i++, before = slow_disk.probes) {
		rig_turn_until(far());
		rig_turn(1);
		assert_true(slow_disk.probes > before);
	}
	assert_int_equal(slow_disk.waits, 0);
	assert_int_equal(rig.ops[1].done, 0);
	/* The first slice comes, and waits for the second. */
	slow_disk.warm_bytes = 256 << 10;
	assert_int_equal(rig_drain(&slow, got, 256 << 10), 256 << 10);
	assert_int_equal(rig_drain(&slow, got + (256 << 10), 1), 0);
	slow_disk.cold = false;
	assert_int_equal(rig_drain(&slow, got + (256 << 10), FILE_N - (256 << 10)),
	                 FILE_N - (256 << 10));
	assert_memory_equal(got, data, FILE_N);
	rig_turn(2);
	rig_check_ops(2, 2, 0);
	assert_int_equal(slow_disk.waits, 0);
	free(got);
}

/* In a loop that somebody else turns, too. */
static void test_pollable(void **state)
{
	int poll_fd = rig.rt->pollable(rig.loop, UINT64_MAX);

	(void)state;
	assert_true(poll_fd >= 0);
	rig_turn(3);
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), poll_fd);
	assert_false(rig_readable(poll_fd, 0));
	slow_disk.cold = true;
	rig_queue_file(&slow, 0, fd, 0, FILE_N);
	rig_turn(1);
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), poll_fd);
	assert_true(rig_readable(poll_fd, WAIT_S * 1000));
}

/* Whatever its owner and its peer do meanwhile. */
static void test_ends(void **state)
{
	(void)state;
	slow_disk.cold = true;
	rig_queue_file(&slow, 0, fd, 0, FILE_N);
	rig_turn(1);
	rig_say(&slow, "y", 1);
	rig_queue(&slow, 1, "behind", 6);
	for (unsigned i = 0; i < 100 && !slow.n; i++)
		rig_turn_until(far());
	assert_int_equal(slow.n, 1);
	RIG_CALL(rig.rt->close(&slow.s));
	for (unsigned i = 0; i < 100 && !slow.closed; i++)
		rig_turn_until(far());
	rig_check_ops(2, 0, TAKO_ECLOSED);
	assert_int_equal(slow_disk.waits, 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_others_go_on),
		TEST(test_pollable),
		TEST(test_ends),
	};

	if (rig_install(tako_runtime_epoll()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Is a file in memory, and how long does one wait until it is?
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cold.h"
#include "unit/slow_disk.h"

enum { FILE_N = 4 << 20, SLICE = 256 << 10, AHEAD = 1 << 20 };

static int fd;
static struct tako__cold cold;
static struct tako_send op;

static bool waits(uint64_t now_ms, size_t n)
{
	return tako__file_waits(&cold, now_ms * 1000000, &op, n);
}

/* As of another file: of what was known before nothing is. */
static bool waits_at(uint64_t now_ms, int64_t pos, size_t n)
{
	op = (struct tako_send){.file_fd = fd, .file_pos = pos, .n = (uint64_t)(FILE_N - pos)};
	return waits(now_ms, n);
}

static void advance(size_t n)
{
	op.file_pos += (int64_t)n;
	op.n -= n;
}

static int set_up(void **state)
{
	char name[] = "build/.cold-test-XXXXXX";

	(void)state;
	slow_disk = (struct slow_disk){0};
	cold = (struct tako__cold){0};
	fd = mkostemp(name, O_CLOEXEC);
	return fd < 0 || unlink(name) < 0 || ftruncate(fd, FILE_N) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	return close(fd);
}

static void test_in_memory(void **state)
{
	(void)state;
	assert_false(tako__file_is_cold(fd, 0, 1));
	assert_int_equal(slow_disk.probes, 1);
	assert_false(waits_at(1000, SLICE, SLICE));
	assert_int_equal(slow_disk.probes, 2);
	assert_int_equal(slow_disk.advices, 0);
	assert_ptr_equal(cold.known, &op);
}

/* One question in a megabyte, of who goes on in time. */
static void test_ahead(void **state)
{
	(void)state;
	assert_false(waits_at(1000, 0, SLICE));
	for (unsigned i = 1; i < 4; i++) {
		advance(SLICE);
		assert_false(waits(1000 + i, SLICE));
	}
	assert_int_equal(slow_disk.probes, 1);
	advance(SLICE);
	assert_false(waits(1004, SLICE));
	assert_int_equal(slow_disk.probes, 2);
	/* Sent in part, and over the end of what is known. */
	advance(3 * SLICE + 1);
	assert_false(waits(1005, SLICE));
	assert_int_equal(slow_disk.probes, 3);
	/* Memory may be short: later it is asked again. */
	advance(SLICE);
	assert_false(waits(1020, SLICE));
	assert_int_equal(slow_disk.probes, 4);
}

/* What one op knows is not known of another, nor of the next file of the same place. */
static void test_of_another(void **state)
{
	struct tako_send other;

	(void)state;
	assert_false(waits_at(1000, 0, SLICE));
	other = op;
	slow_disk.cold = true;
	assert_false(waits(1000, SLICE));
	assert_true(tako__file_waits(&cold, UINT64_C(1000000000), &other, SLICE));
	assert_true(waits_at(1001, 0, SLICE));
}

/* Positions beyond 4 GiB, and the ones around it. */
static void test_far(void **state)
{
	const int64_t far = (INT64_C(1) << 32) - AHEAD / 2;

	(void)state;
	op = (struct tako_send){.file_fd = fd, .file_pos = far, .n = 4 * AHEAD};
	slow_disk.cold = true;
	assert_true(waits(1000, SLICE));
	slow_disk.cold = false;
	assert_false(waits(1001, SLICE));
	slow_disk.probes = 0;
	for (unsigned i = 0; i < 5; i++) {
		assert_false(waits(1002, SLICE));
		advance(SLICE);
	}
	assert_int_equal(slow_disk.probes, 2);
}

/* Those that cannot say are sent as they are. */
static void test_no_answer(void **state)
{
	const int errnos[] = {EOPNOTSUPP, ENOSYS, EINVAL, ESPIPE, EIO};

	(void)state;
	for (unsigned i = 0; i < sizeof errnos / sizeof errnos[0]; i++) {
		slow_disk.probe_errno = errnos[i];
		assert_false(waits_at(1000, 0, SLICE));
		assert_int_equal(slow_disk.probes, i + 1);
	}
	assert_int_equal(slow_disk.advices, 0);
}

static void test_cold(void **state)
{
	(void)state;
	slow_disk.cold = true;
	assert_true(waits_at(1000, SLICE, SLICE));
	assert_int_equal(slow_disk.advised_pos, SLICE);
	assert_int_equal(slow_disk.advised_bytes, AHEAD);
	assert_int_equal(cold.since_ns, 1000000000);
	/* Read in part. */
	slow_disk.warm_bytes = SLICE + SLICE / 2;
	assert_true(waits_at(1001, SLICE, SLICE));
	assert_int_equal(slow_disk.advices, 2);
	assert_int_equal(cold.since_ns, 1000000000);
	slow_disk.warm_bytes = 2 * SLICE;
	assert_false(waits_at(1002, SLICE, SLICE));
	assert_int_equal(slow_disk.advices, 2);
	assert_int_equal(cold.since_ns, 0);
	/* No more is asked for than will be sent. */
	assert_true(waits_at(1003, FILE_N - 10, 10));
	assert_int_equal(slow_disk.advised_bytes, 10);
}

/* Its end comes sooner than its beginning. */
static void test_holes(void **state)
{
	(void)state;
	slow_disk.cold = true;
	assert_true(waits_at(1000, 0, SLICE));
	slow_disk.cold = false;
	slow_disk.probes = 0;
	assert_false(waits_at(1001, 0, SLICE));
	assert_int_equal(slow_disk.probes, 2);
}

static void test_patience(void **state)
{
	(void)state;
	slow_disk.cold = true;
	assert_true(waits_at(1000, 0, SLICE));
	assert_true(waits_at(1999, 0, SLICE));
	assert_false(waits_at(2000, 0, SLICE));
	/* The next slice has a second of its own. */
	assert_true(waits_at(2001, SLICE, SLICE));
	assert_true(waits_at(3000, SLICE, SLICE));
	assert_false(waits_at(3001, SLICE, SLICE));
}

/* As the kernel sees it, where its file system can say. */
static void test_real(void **state)
{
	char *data = malloc(FILE_N);

	(void)state;
	assert_non_null(data);
	memset(data, 'x', FILE_N);
	assert_int_equal(write(fd, data, FILE_N), FILE_N);
	free(data);
	assert_int_equal(fsync(fd), 0);
	assert_false(tako__file_is_cold(fd, 0, FILE_N));
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	if (!tako__file_is_cold(fd, 0, FILE_N))
		skip();
	for (uint64_t ms = 1000; waits_at(ms, 0, FILE_N) && ms < 1999; ms++)
		usleep(1000);
	assert_false(tako__file_is_cold(fd, 0, FILE_N));
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_in_memory), TEST(test_ahead),     TEST(test_of_another),
		TEST(test_far),       TEST(test_no_answer), TEST(test_cold),
		TEST(test_holes),     TEST(test_patience),  TEST(test_real),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What any runtime must do, see runtime_contract.h: sending memory and files.
 */
#include "unit/runtime_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/runtime_rig.h"

/* ---- Sending ---------------------------------------------------------------------------------- */

static void test_partial_sends(void **state)
{
	enum { EACH = 5000 };
	char *data = rig_pattern(RIG_OPS * EACH);
	char *got = malloc(RIG_OPS * EACH);
	struct end e;

	(void)state;
	rig_start(&e);
	assert_int_equal(setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
	for (unsigned i = 0; i < RIG_OPS; i++)
		rig_queue(&e, i, data + i * EACH, EACH);
	assert_int_equal(rig.completed, 0);
	rig_turn(3);
	assert_true(rig.completed < RIG_OPS);
	assert_true(e.s.queued_bytes > 0);
	assert_int_equal(rig_drain(&e, got, RIG_OPS * EACH), RIG_OPS * EACH);
	rig_turn(1);
	assert_memory_equal(got, data, RIG_OPS * EACH);
	rig_check_ops(RIG_OPS, RIG_OPS, 0);
	assert_int_equal(e.s.queued_bytes, 0);
	assert_int_equal(e.s.sent_bytes, RIG_OPS * EACH);
	rig_finish(&e);
	free(got);
	free(data);
}

static void test_empty_send(void **state)
{
	struct end e;
	char got[4];

	(void)state;
	rig_start(&e);
	rig_queue(&e, 0, "", 0);
	rig_queue(&e, 1, "ab", 2);
	rig_queue(&e, 2, "", 0);
	rig_turn(2);
	rig_check_ops(3, 3, 0);
	assert_int_equal(read(e.peer, got, 4), 2);
	rig_finish(&e);
}

static void test_close_gives_up_what_is_queued(void **state)
{
	char *data = rig_pattern(RIG_OPS * 5000);
	struct end e;

	(void)state;
	rig_start(&e);
	setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (unsigned i = 0; i < RIG_OPS; i++)
		rig_queue(&e, i, data + i * 5000, 5000);
	rig_turn(2);
	assert_true(rig.completed < RIG_OPS);
	RIG_CALL(rig.rt->close(&e.s));
	assert_true(rig.completed < RIG_OPS);
	rig_turn(1);
	assert_int_equal(e.closed, 1);
	for (unsigned i = 0, failed = 0; i < RIG_OPS; i++) {
		assert_int_equal(rig.ops[i].done, 1);
		assert_int_equal(rig.ops[i].order, i + 1);
		failed = failed || rig.ops[i].err;
		assert_int_equal(rig.ops[i].err, failed ? TAKO_ECLOSED : 0);
	}
	assert_int_equal(rig.ops[RIG_OPS - 1].err, TAKO_ECLOSED);
	rig_finish(&e);
	free(data);
}

static void test_peer_leaves_while_sending(void **state)
{
	char *data = rig_pattern(RIG_OPS * 5000);
	struct end e;

	(void)state;
	rig_start(&e);
	setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (unsigned i = 0; i < RIG_OPS; i++)
		rig_queue(&e, i, data + i * 5000, 5000);
	rig_turn(2);
	close(e.peer);
	e.peer = -1;
	rig_turn(4);
	assert_int_equal(rig.completed, RIG_OPS);
	assert_int_equal(rig.ops[RIG_OPS - 1].err, TAKO_ECLOSED);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, TAKO_ECLOSED);
	/* Later ones fail as well, from a turn. */
	rig.ops[0].done = 0;
	rig_queue(&e, 0, "late", 4);
	assert_int_equal(rig.ops[0].done, 0);
	rig_turn(2);
	assert_int_equal(rig.ops[0].done, 1);
	assert_int_equal(rig.ops[0].err, TAKO_ECLOSED);
	assert_int_equal(e.ends, 1);
	rig_finish(&e);
	free(data);
}

static void test_close_in_done(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	rig_queue(&e, 0, "a", 1);
	rig_queue(&e, 1, "b", 1);
	rig.ops[0].close_in_done = true;
	rig_turn(2);
	assert_int_equal(rig.ops[0].done, 1);
	assert_int_equal(rig.ops[1].done, 1);
	assert_int_equal(e.closed, 1);
	rig_finish(&e);
}

/* ---- Files -------------------------------------------------------------------------------------- */

static int make_file(const char *p, size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static void test_file_between_memory(void **state)
{
	enum { FILE_N = 700000 };
	char *data = rig_pattern(FILE_N);
	char *got = malloc(FILE_N);
	int fd = make_file(data, FILE_N);
	struct end e;

	(void)state;
	rig_start(&e);
	rig_queue(&e, 0, "head", 4);
	rig_queue_file(&e, 1, fd, 1000, FILE_N - 2000);
	rig_queue(&e, 2, "tail", 4);
	rig_queue_file(&e, 3, fd, 5, 10);
	assert_int_equal(rig_drain(&e, got, FILE_N - 2000 + 18), FILE_N - 2000 + 18);
	rig_turn(1);
	assert_memory_equal(got, "head", 4);
	assert_memory_equal(got + 4, data + 1000, FILE_N - 2000);
	assert_memory_equal(got + FILE_N - 1996, "tail", 4);
	assert_memory_equal(got + FILE_N - 1992, data + 5, 10);
	rig_check_ops(4, 4, 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), FILE_N); /* the offset is the op's own */
	rig_finish(&e);
	close(fd);
	free(got);
	free(data);
}

/* It cannot be rig.completed, and nothing may follow it: the peer counts on its length. */
static void test_shrinking_file(void **state)
{
	for (int paused = 0; paused < 2; paused++) {
		char got[64];
		int fd = make_file("0123456789", 10);
		struct end e;

		(void)state;
		memset(rig.ops, 0, sizeof rig.ops);
		rig.completed = 0;
		rig_start(&e);
		rig_turn(1);
		if (paused)
			e.s.flags |= TAKO_SOCK_PAUSED;
		rig_queue_file(&e, 0, fd, 4, 20);
		rig_queue(&e, 1, "next", 4);
		rig_turn(5);
		rig_check_ops(2, 0, TAKO_ECLOSED);
		assert_int_equal(e.calls, !paused);
		RIG_CALL(rig.rt->resume(&e.s));
		rig_turn(2);
		assert_int_equal(e.ends, 1);
		assert_true(e.end_res < 0);
		assert_int_equal(read(e.peer, got, sizeof got), 6);
		rig_finish(&e);
		close(fd);
	}
}

int runtime_contract_send(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_partial_sends),
		RIG_TEST(test_empty_send),
		RIG_TEST(test_close_gives_up_what_is_queued),
		RIG_TEST(test_peer_leaves_while_sending),
		RIG_TEST(test_close_in_done),
		RIG_TEST(test_file_between_memory),
		RIG_TEST(test_shrinking_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

#include "core/clock.h"
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

/* Somebody else's turn comes between its end and on_closed(). */
static void test_queued_behind_the_end(void **state)
{
	struct end e, other;

	(void)state;
	rig_start(&e);
	rig_start(&other);
	rig_prepare(&e, 1, "late", 4);
	rig.ops[0].then = &rig.ops[1];
	RIG_CALL(rig.rt->close(&e.s));
	rig_queue(&other, 0, "a", 1);
	rig_turn(2);
	assert_int_equal(rig.ops[0].done, 1);
	assert_int_equal(rig.ops[1].done, 1);
	assert_int_equal(rig.ops[1].err, TAKO_ECLOSED);
	assert_int_equal(e.closed, 1);
	rig_finish(&e);
	rig_finish(&other);
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

/* Small sends until one is not done at once.  Returns how many were queued. */
static unsigned fill(struct end *e, const char *data, size_t each)
{
	unsigned i = 0;

	setsockopt(e->s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (; i < RIG_OPS && !e->s.queued_bytes; i++) {
		rig_queue(e, i, data + i * each, each);
		rig_turn(1);
	}
	return i;
}

/* Done means that it arrives if the peer reads, also when it reads late and we have closed. */
static void test_what_is_done_arrives(void **state)
{
	enum { EACH = 300, ROOM = RIG_OPS * EACH };
	char *data = rig_pattern(ROOM);
	char *got = malloc(ROOM);

	(void)state;
	/* Closed right behind each of them, some of which found no room. */
	for (unsigned last = 1; last < RIG_OPS; last++) {
		size_t told = 0;
		size_t n = 0;
		struct end e;

		memset(rig.ops, 0, sizeof rig.ops);
		rig.completed = 0;
		rig_start(&e);
		setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
		for (unsigned i = 0; i < last; i++) {
			rig_queue(&e, i, data + i * EACH, EACH);
			rig.ops[i].close_in_done = i == last - 1;
			rig_turn(1);
		}
		for (unsigned i = 0; i < last; i++)
			told += rig.ops[i].done && !rig.ops[i].err ? EACH : 0;
		for (unsigned idle = 0; idle < 20 && n < ROOM;) {
			ssize_t r = recv(e.peer, got + n, ROOM - n, MSG_DONTWAIT);

			idle = r > 0 ? 0 : idle + 1;
			n += r > 0 ? (size_t)r : 0;
			rig_turn(1);
		}
		assert_true(n >= told);
		assert_memory_equal(got, data, n);
		rig_finish(&e);
	}
	free(got);
	free(data);
}

/* But nobody waits for ever for a peer that does not read, and a reset for none. */
static void test_a_close_ends(void **state)
{
	char *data = rig_pattern(RIG_OPS * 300);
	uint64_t until = tako__clock_ns() + 10000000000u;

	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct end e;
		unsigned n;

		memset(rig.ops, 0, sizeof rig.ops);
		rig.completed = 0;
		rig_start(&e);
		n = fill(&e, data, 300);
		assert_in_range(n, 1, RIG_OPS - 1);
		if (reset)
			RIG_CALL(rig.rt->reset(&e.s));
		else
			RIG_CALL(rig.rt->close(&e.s));
		while (!e.closed && tako__clock_ns() < until)
			rig_turn_until(reset ? 0 : until);
		assert_int_equal(e.closed, 1);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(rig.ops[i].done, 1);
		rig_finish(&e);
	}
	free(data);
}

/* On a disk and not in memory: a runtime that never waits has to have it read first. */
static void test_cold_file(void **state)
{
	enum { FILE_N = 1 << 20 };
	char *data = rig_pattern(FILE_N);
	char *got = malloc(FILE_N);
	char name[] = "build/.runtime-test-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);
	struct end e;

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(write(fd, data, FILE_N), FILE_N);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	rig_start(&e);
	rig_queue(&e, 0, "head", 4);
	rig_queue_file(&e, 1, fd, 0, FILE_N);
	assert_int_equal(rig_drain(&e, got, 4), 4);
	assert_int_equal(rig_drain(&e, got, FILE_N), FILE_N);
	assert_memory_equal(got, data, FILE_N);
	rig_turn(2);
	rig_check_ops(2, 2, 0);
	/* And closed in the middle of it. */
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	memset(rig.ops, 0, sizeof rig.ops);
	rig.completed = 0;
	rig_queue_file(&e, 0, fd, 0, FILE_N);
	rig_turn(1);
	RIG_CALL(rig.rt->close(&e.s));
	for (unsigned i = 0; i < 1000 && !e.closed; i++)
		rig_turn_until(tako__clock_ns() + 1000000);
	rig_check_ops(1, 0, TAKO_ECLOSED);
	rig_finish(&e);
	close(fd);
	free(got);
	free(data);
}

int runtime_contract_send(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_partial_sends),
		RIG_TEST(test_empty_send),
		RIG_TEST(test_close_gives_up_what_is_queued),
		RIG_TEST(test_peer_leaves_while_sending),
		RIG_TEST(test_close_in_done),
		RIG_TEST(test_queued_behind_the_end),
		RIG_TEST(test_file_between_memory),
		RIG_TEST(test_shrinking_file),
		RIG_TEST(test_what_is_done_arrives),
		RIG_TEST(test_a_close_ends),
		RIG_TEST(test_cold_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

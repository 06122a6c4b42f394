/* SPDX-License-Identifier: MIT
 *
 * Sending by call, with the calls played: what is asked of the kernel, and what is made of what it
 * says.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>

/* Here its system calls are the C library's functions, as under a sanitizer: what is in line cannot be
 * played. */
#define TAKO__CALLS_WATCHED 1
#include "core/send.c"

enum { SLICE = 256 << 10, TURN = 4 << 20, SOCKET = 77, FILE_FD = 78 };

/* ---- The kernel: notes each call, and takes what it is told to --------------------------- */

static struct {
	unsigned memory_calls;
	unsigned file_calls;
	size_t asked; /* in the last call */
	unsigned iovs;
	int flags;
	off_t pos;
	int fail;      /* errno of the next call only */
	size_t takes;  /* at most, in the next call only; 0: all */
	bool is_empty; /* files have nothing left */
} k;

static ssize_t take(size_t n)
{
	size_t most = k.takes ? k.takes : n;

	k.asked = n;
	k.takes = 0;
	if (k.fail) {
		errno = k.fail;
		k.fail = 0;
		return -1;
	}
	return (ssize_t)(n < most ? n : most);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
	(void)p;
	assert_int_equal(fd, SOCKET);
	k.memory_calls++;
	k.flags = flags;
	k.iovs = 1;
	return take(n);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	size_t n = 0;

	assert_int_equal(fd, SOCKET);
	for (size_t i = 0; i < m->msg_iovlen; i++)
		n += m->msg_iov[i].iov_len;
	k.memory_calls++;
	k.flags = flags;
	k.iovs = (unsigned)m->msg_iovlen;
	return take(n);
}

ssize_t sendfile(int fd, int file_fd, off_t *pos, size_t n)
{
	assert_int_equal(fd, SOCKET);
	assert_int_equal(file_fd, FILE_FD);
	k.file_calls++;
	k.pos = *pos;
	return k.is_empty ? 0 : take(n);
}

/* ---- A queue -------------------------------------------------------------------------- */

static struct tako_sock s;
static struct tako_send ops[3];
static unsigned done;

static void on_done(struct tako_send *op, int err)
{
	assert_ptr_equal(op, &ops[done]);
	assert_int_equal(err, 0);
	done++;
}

static int set_up(void **state)
{
	(void)state;
	memset(&k, 0, sizeof k);
	s = (struct tako_sock){.fd = SOCKET};
	done = 0;
	return 0;
}

static void memory(unsigned i, size_t n)
{
	ops[i] = (struct tako_send){.done = on_done, .p = "", .n = n, .file_fd = -1};
	tako_sock_queue(&s, &ops[i]);
}

static void file(unsigned i, size_t n, off_t pos)
{
	ops[i] = (struct tako_send){.done = on_done, .n = n, .file_pos = pos, .file_fd = FILE_FD};
	tako_sock_queue(&s, &ops[i]);
}

static void test_memory_in_one_call(void **state)
{
	(void)state;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_int_equal(k.memory_calls, 0);
	for (unsigned i = 0; i < 3; i++)
		memory(i, 100);
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_int_equal(done, 3);
	assert_int_equal(k.memory_calls, 1);
	assert_int_equal(k.iovs, 3);
	assert_int_equal(k.flags, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void test_at_most(void **state)
{
	(void)state;
	memory(0, 100);
	memory(1, 50);
	assert_int_equal(tako__send(&s, 70, NULL), TAKO__SENT_ALL);
	assert_int_equal(done, 2);
	assert_int_equal(k.memory_calls, 3);
	assert_int_equal(k.asked, 10);
}

/* A head and its file share a segment; so do the last bytes and the end. */
static void test_more_follows(void **state)
{
	(void)state;
	memory(0, 100);
	file(1, 10, 5);
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_true(k.flags & MSG_MORE);
	assert_int_equal(k.file_calls, 1);
	assert_int_equal(k.pos, 5);
	memory(0, 1);
	done = 0;
	s.flags |= TAKO_SOCK_LAST;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_true(k.flags & MSG_MORE);
}

/* One a turn, whatever leaves before it. */
static void test_file_in_slices(void **state)
{
	(void)state;
	memory(0, 100);
	file(1, 2 * SLICE + 10, 1);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_LATER);
		assert_int_equal(k.memory_calls, 1);
		assert_int_equal(k.file_calls, i + 1);
		assert_int_equal(k.asked, SLICE);
		assert_int_equal(k.pos, i * SLICE + 1);
		assert_int_equal(done, 1);
	}
	assert_int_equal(tako__send_slice(&s, SIZE_MAX), 10);
	assert_int_equal(tako__send_slice(&s, 3), 3);
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_int_equal(k.file_calls, 3);
	assert_int_equal(k.asked, 10);
	assert_int_equal(done, 2);
}

static void test_share_of_a_turn(void **state)
{
	(void)state;
	memory(0, TURN);
	memory(1, 10);
	assert_int_equal(tako__send(&s, TURN, NULL), TAKO__SENT_LATER);
	assert_int_equal(s.queued_bytes, 10);
	assert_int_equal(tako__send(&s, TURN, NULL), TAKO__SENT_ALL);
	assert_int_equal(done, 2);
}

static void test_full(void **state)
{
	(void)state;
	memory(0, 100);
	k.takes = 30;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_FULL);
	/* It was not asked again to learn that. */
	assert_int_equal(k.memory_calls, 1);
	assert_int_equal(s.queued_bytes, 70);
	k.fail = EAGAIN;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_FULL);
	k.fail = EINTR;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_ALL);
	assert_int_equal(done, 1);
}

static void test_broken(void **state)
{
	(void)state;
	memory(0, 100);
	k.fail = EPIPE;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_BROKEN);
	assert_int_equal(done, 0);
	assert_int_equal(s.queued_bytes, 100);
}

static void test_file_that_shrank(void **state)
{
	(void)state;
	file(0, 10, 0);
	k.is_empty = true;
	assert_int_equal(tako__send(&s, SIZE_MAX, NULL), TAKO__SENT_BROKEN);
	assert_int_equal(k.file_calls, 1);
}

static unsigned asked;

static bool every_second(struct tako_sock *of, size_t n)
{
	assert_ptr_equal(of, &s);
	assert_int_equal(n, tako__send_slice(of, 1000));
	return ++asked % 2;
}

static void test_cold_file(void **state)
{
	(void)state;
	asked = 0;
	memory(0, 10);
	file(1, 1500, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(tako__send(&s, 1000, every_second), TAKO__SENT_COLD);
		assert_int_equal(k.memory_calls, 1);
		assert_int_equal(k.file_calls, i);
	}
	assert_int_equal(tako__send(&s, 1000, every_second), TAKO__SENT_ALL);
	assert_int_equal(asked, 4);
	assert_int_equal(k.file_calls, 2);
	assert_int_equal(done, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_memory_in_one_call, set_up),
		cmocka_unit_test_setup(test_at_most, set_up),
		cmocka_unit_test_setup(test_more_follows, set_up),
		cmocka_unit_test_setup(test_file_in_slices, set_up),
		cmocka_unit_test_setup(test_share_of_a_turn, set_up),
		cmocka_unit_test_setup(test_full, set_up),
		cmocka_unit_test_setup(test_broken, set_up),
		cmocka_unit_test_setup(test_file_that_shrank, set_up),
		cmocka_unit_test_setup(test_cold_file, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

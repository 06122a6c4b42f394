/* SPDX-License-Identifier: MIT
 *
 * What a stream has to send: in order, from where it is, kept until it has arrived.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transports/h3/h3_queue.h"
#include "unit/failalloc.h"

static struct tako__h3_queue q;
static struct tako__h3_files files; /* of what was made this moment it keeps nothing */
static char got[400000];
static size_t got_n;
static int done, failed;

static void on_done(struct tako_send *op, int err)
{
	(void)op;
	done++;
	failed += err < 0;
}

static void begin(void)
{
	tako__h3_queue_init(&q);
	tako__h3_files_init(&files);
	got_n = 0;
	done = failed = 0;
}

/* Let up to `n` bytes leave. */
static size_t leave(size_t n)
{
	struct iovec vec[4];
	uint64_t all;
	unsigned count = tako__h3_queue_vec(&q, vec, 4, &all);
	size_t left = all < n ? (size_t)all : n;
	size_t step = left;

	for (unsigned i = 0; i < count && left; i++) {
		size_t part = vec[i].iov_len < left ? vec[i].iov_len : left;

		memcpy(got + got_n, vec[i].iov_base, part);
		got_n += part;
		left -= part;
	}
	tako__h3_queue_sent(&q, step);
	return step;
}

static void end(void)
{
	tako__h3_queue_drop(&q);
	assert_int_equal(failalloc_live(), 0);
}

static void test_copies(void **state)
{
	char text[1000];
	size_t acked_n = 0;

	(void)state;
	begin();
	for (int i = 0; i < 300; i++) {
		memset(text, 'a' + i % 26, sizeof text);
		assert_int_equal(tako__h3_queue_copy(&q, text, (size_t)i), 0);
		if (i % 7 == 0)
			(void)leave((size_t)i * 3);
		if (i % 11 == 0) {
			tako__h3_queue_acked(&q, got_n - acked_n);
			acked_n = got_n;
		}
	}
	while (leave(5000))
		;
	assert_int_equal(got_n, 299 * 300 / 2);
	for (size_t i = 0, at = 0; i < 300; at += i++) {
		for (size_t k = 0; k < i; k++)
			assert_int_equal(got[at + k], 'a' + (int)i % 26);
	}
	end();
}

/* The first block is inside, and is used again when it is free. */
static void test_own_block(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 10; i++) {
		char *to = tako__h3_queue_reserve(&q, 100);

		assert_true(to >= q.own_data && to < q.own_data + sizeof q.own_data);
		memset(to, 'x', 100);
		tako__h3_queue_commit(&q, 100);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(leave(1000), 100);
		tako__h3_queue_acked(&q, 100);
		assert_null(q.first);
	}
	end();
}

static void test_lent(void **state)
{
	static char text[10000];
	struct tako_send a = {.done = on_done, .p = text, .n = sizeof text, .file_fd = -1};
	struct tako_send none = {.done = on_done, .p = text, .n = 0, .file_fd = -1};
	struct iovec vec[4];
	uint64_t n;

	(void)state;
	begin();
	memset(text, 'l', sizeof text);
	assert_int_equal(tako__h3_queue_copy(&q, "head", 4), 0);
	tako__h3_queue_lend(&q, &a);
	tako__h3_queue_lend(&q, &none);
	assert_int_equal(q.unsent_bytes, 10004);
	/* From where it is. */
	assert_int_equal(tako__h3_queue_vec(&q, vec, 4, &n), 2);
	assert_ptr_equal(vec[1].iov_base, text);
	(void)leave(6000);
	tako__h3_queue_acked(&q, 6000);
	assert_int_equal(done, 0);
	(void)leave(6000);
	assert_int_equal(q.unsent_bytes, 0);
	tako__h3_queue_acked(&q, 4003);
	assert_int_equal(done, 0);
	tako__h3_queue_acked(&q, 1);
	assert_int_equal(done, 2);
	assert_int_equal(failed, 0);
	end();
}

static void test_dropped(void **state)
{
	struct tako_send ops[3];

	(void)state;
	begin();
	for (int i = 0; i < 3; i++) {
		ops[i] = (struct tako_send){.done = on_done, .p = "x", .n = 1, .file_fd = -1};
		tako__h3_queue_lend(&q, &ops[i]);
	}
	(void)leave(1);
	tako__h3_queue_acked(&q, 1);
	tako__h3_queue_drop(&q);
	assert_int_equal(done, 3);
	assert_int_equal(failed, 2);
	assert_int_equal(q.unsent_bytes, 0);
	end();
}

static int make_file(char *text, size_t n)
{
	char path[] = "/tmp/tako_h3_queue.XXXXXX";
	int fd = mkstemp(path);

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(i * 13 + i / 255);
	assert_int_equal(write(fd, text, n), n);
	unlink(path);
	return fd;
}

static void test_file(void **state)
{
	static char text[200000];
	int fd = make_file(text, sizeof text);
	struct tako_send op = {.done = on_done, .n = sizeof text, .file_fd = fd};

	(void)state;
	begin();
	assert_int_equal(tako__h3_queue_copy(&q, "head", 4), 0);
	tako__h3_queue_lend(&q, &op);
	assert_int_equal(tako__h3_queue_copy(&q, "tail", 4), 0);
	for (int i = 0; q.unsent_bytes; i++) {
		while (tako__h3_queue_is_file(&q))
			assert_int_equal(tako__h3_queue_read(&q, &files, 0), 1);
		/* No more of it in memory than a block, but for what has left. */
		assert_true(leave(50000) <= TAKO__H3_FILE_BYTES);
		if (i % 2)
			tako__h3_queue_acked(&q, 40000);
		assert_true(i < 20);
	}
	assert_int_equal(done, 1);
	assert_int_equal(got_n, sizeof text + 8);
	assert_memory_equal(got, "head", 4);
	assert_memory_equal(got + 4, text, sizeof text);
	assert_memory_equal(got + 4 + sizeof text, "tail", 4);
	close(fd);
	end();
}

static void test_file_is_shorter(void **state)
{
	static char text[1000];
	int fd = make_file(text, sizeof text);
	struct tako_send op = {.done = on_done, .n = 2000, .file_fd = fd};

	(void)state;
	begin();
	tako__h3_queue_lend(&q, &op);
	assert_int_equal(tako__h3_queue_read(&q, &files, 0), 1);
	(void)leave(1000);
	assert_int_equal(tako__h3_queue_read(&q, &files, 0), TAKO_ESYS);
	assert_int_equal(done, 0);
	tako__h3_queue_drop(&q);
	assert_int_equal(failed, 1);
	close(fd);
	end();
}

static void test_no_memory(void **state)
{
	static char text[9000];

	(void)state;
	begin();
	failalloc_arm_from(1);
	assert_int_equal(tako__h3_queue_copy(&q, text, sizeof text), TAKO_ENOMEM);
	assert_int_equal(q.unsent_bytes, 0);
	assert_null(tako__h3_queue_reserve(&q, 4000));
	/* Its own block needs none. */
	assert_non_null(tako__h3_queue_reserve(&q, 400));
	failalloc_disarm();
	assert_null(tako__h3_queue_reserve(&q, 4097));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),    cmocka_unit_test(test_own_block),
		cmocka_unit_test(test_lent),      cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_file),      cmocka_unit_test(test_file_is_shorter),
		cmocka_unit_test(test_no_memory),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

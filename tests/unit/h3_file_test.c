/* SPDX-License-Identifier: MIT
 *
 * Blocks of files: read once for all who send the same, and never handed out for what the file has become since.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "transports/h3/h3_file.h"
#include "unit/failalloc.h"

enum { SECOND = 1000000000, FILE_BYTES = 3 * TAKO__H3_FILE_BYTES };

static struct tako__h3_files files;
static char path[64];
static int fd;
static struct tako__cold cold;

static void write_all(char what)
{
	static char text[FILE_BYTES];

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(what + (char)(i / 1000 % 20));
	assert_int_equal(pwrite(fd, text, sizeof text, 0), sizeof text);
}

static int begin(void **state)
{
	(void)state;
	tako__h3_files_init(&files);
	files.settled_ns = 0; /* it was made this moment */
	strcpy(path, "/tmp/tako_h3_file.XXXXXX");
	fd = mkstemp(path);
	write_all('a');
	return fd < 0;
}

static int end(void **state)
{
	(void)state;
	tako__h3_files_fini(&files);
	close(fd);
	unlink(path);
	return failalloc_live() || failalloc_wrong();
}

static struct tako__h3_file_block *get_of(int of, int64_t pos, size_t n, uint64_t now_ns)
{
	struct tako_send op = {.file_fd = of, .file_pos = pos, .n = (uint64_t)(FILE_BYTES - pos)};
	struct tako__h3_file_block *b = NULL;
	char want[TAKO__H3_FILE_BYTES];

	assert_int_equal(tako__h3_file_get(&files, &op, n, now_ns, &cold, &b), 1);
	assert_int_equal(b->n, n);
	assert_int_equal(pread(of, want, n, pos), n);
	assert_memory_equal(b->data, want, n);
	return b;
}

static struct tako__h3_file_block *get(int64_t pos, uint64_t now_ns)
{
	return get_of(fd, pos, TAKO__H3_FILE_BYTES, now_ns);
}

static void test_shared(void **state)
{
	int other = open(path, O_RDONLY);
	struct tako__h3_file_block *a = get(0, 5), *b = get(TAKO__H3_FILE_BYTES, 5), *c;

	(void)state;
	assert_ptr_not_equal(a, b);
	/* Whoever opened it, and when nobody sends it any more, too. */
	c = get_of(other, 0, TAKO__H3_FILE_BYTES, 6);
	assert_ptr_equal(a, c);
	tako__h3_file_put(a);
	tako__h3_file_put(c);
	a = get(0, 7);
	assert_ptr_equal(a, c);
	/* Another range of the same place is another block; a small one is not worth to look for. */
	c = get_of(fd, 0, TAKO__H3_FILE_BYTES / 2, 7);
	assert_ptr_not_equal(a, c);
	tako__h3_file_put(c);
	c = get_of(fd, 5, 100, 7);
	assert_int_equal(c->refs, 1);
	tako__h3_file_put(a);
	tako__h3_file_put(b);
	tako__h3_file_put(c);
	close(other);
}

static void test_not_for_long(void **state)
{
	struct tako__h3_file_block *a = get(0, 5), *b = get(0, 5 + SECOND - 1), *c;

	(void)state;
	assert_ptr_equal(a, b);
	c = get(0, 5 + SECOND);
	assert_ptr_not_equal(a, c);
	tako__h3_file_put(a);
	tako__h3_file_put(b);
	tako__h3_file_put(c);
}

/* get() compares with what is there. */
static void test_changed(void **state)
{
	struct tako__h3_file_block *a = get(0, 5), *b, *c;

	(void)state;
	write_all('A');
	/* A clock of the file system may not have ticked in between: this is what a change is waited for for. */
	futimens(fd, (struct timespec[]){{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}});
	b = get(0, 6);
	assert_ptr_not_equal(a, b);
	assert_int_equal(a->data[0], 'a');
	assert_int_equal(ftruncate(fd, FILE_BYTES - 1), 0);
	c = get(0, 7);
	assert_ptr_not_equal(b, c);
	tako__h3_file_put(a);
	tako__h3_file_put(b);
	tako__h3_file_put(c);
}

static void test_changed_a_moment_ago(void **state)
{
	struct tako__h3_file_block *a, *b;

	(void)state;
	tako__h3_files_init(&files);
	a = get(0, 5);
	b = get(0, 5);
	assert_ptr_not_equal(a, b);
	tako__h3_file_put(a);
	tako__h3_file_put(b);
}

/* What others hold does not go when there is no place for it, and there are not too many places. */
static void test_bound(void **state)
{
	struct tako__h3_file_block *a = get(0, 5);

	(void)state;
	for (int64_t pos = 1; pos < 5 * TAKO__H3_FILE_SLOTS; pos++) {
		tako__h3_file_put(get_of(fd, pos, TAKO__H3_FILE_BYTES, 5));
		tako__h3_file_put(get_of(fd, pos * 600, TAKO__H3_FILE_BYTES, 5));
	}
	assert_true(failalloc_live() > 1 && failalloc_live() <= TAKO__H3_FILE_SLOTS + 1);
	assert_int_equal(a->data[1000], 'b');
	tako__h3_file_put(a);
}

static void test_cannot_be_read(void **state)
{
	struct tako_send op = {.file_fd = fd, .file_pos = FILE_BYTES, .n = 10};
	struct tako__h3_file_block *b = NULL;

	(void)state;
	assert_int_equal(tako__h3_file_get(&files, &op, 10, 5, &cold, &b), TAKO_ESYS);
	failalloc_arm(1);
	op.file_pos = 0;
	assert_int_equal(tako__h3_file_get(&files, &op, 10, 5, &cold, &b), TAKO_ENOMEM);
	failalloc_disarm();
	/* None of it was asked for, of a file that is empty. */
	assert_int_equal(tako__h3_file_get(&files, &op, 0, 5, &cold, &b), 1);
	assert_int_equal(b->n, 0);
	tako__h3_file_put(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shared, begin, end),
		cmocka_unit_test_setup_teardown(test_not_for_long, begin, end),
		cmocka_unit_test_setup_teardown(test_changed, begin, end),
		cmocka_unit_test_setup_teardown(test_changed_a_moment_ago, begin, end),
		cmocka_unit_test_setup_teardown(test_bound, begin, end),
		cmocka_unit_test_setup_teardown(test_cannot_be_read, begin, end),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

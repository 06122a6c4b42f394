/* SPDX-License-Identifier: MIT
 *
 * Random bytes: no repetition within a thread, between threads, or across fork(); and the
 * form of a UUID.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base.h"
#include "core/random.h"

enum { IDS = 3000 };

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

static void test_no_repetition(void **state)
{
	static unsigned char id[IDS][16];

	(void)state;
	for (size_t i = 0; i < IDS; i++)
		assert_int_equal(tako__random(id[i], 16), 0);
	qsort(id, IDS, 16, compare);
	for (size_t i = 1; i < IDS; i++)
		assert_memory_not_equal(id[i - 1], id[i], 16);
}

/* Every size is filled to its last byte, and no further. */
static void test_sizes(void **state)
{
	(void)state;
	for (size_t n = 0; n < 700; n += n < 300 ? 1 : 37) {
		unsigned char *p = malloc(n + 1);
		bool filled = n == 0;

		assert_non_null(p);
		memset(p, 0, n + 1);
		/* Either end may be 0 by chance, but not twenty times in a row. */
		for (int attempt = 0; attempt < 20 && !filled; attempt++) {
			assert_int_equal(tako__random(p, n), 0);
			filled = p[0] && p[n - 1];
		}
		assert_true(filled);
		assert_int_equal(p[n], 0);
		free(p);
	}
}

/* Each bit is set about half the time. */
static void test_bits(void **state)
{
	unsigned count[32] = {0};

	(void)state;
	for (int i = 0; i < 4096; i++) {
		uint32_t v;

		assert_int_equal(tako__random(&v, sizeof(v)), 0);
		for (int bit = 0; bit < 32; bit++)
			count[bit] += v >> bit & 1;
	}
	for (int bit = 0; bit < 32; bit++)
		assert_in_range(count[bit], 2048 - 512, 2048 + 512); /* 16 sigma */
}

enum { THREADS = 4, PER_THREAD = IDS / THREADS };

static void *fill(void *arg)
{
	unsigned char(*id)[16] = arg;

	for (size_t i = 0; i < PER_THREAD; i++) {
		if (tako__random(id[i], 16))
			return NULL;
	}
	return arg;
}

/* At the same time, so that a store they shared would show, and to ThreadSanitizer too. */
static void test_threads_differ(void **state)
{
	static unsigned char id[THREADS * PER_THREAD][16];
	pthread_t t[THREADS];
	void *ok;

	(void)state;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fill, id[i * PER_THREAD]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], &ok), 0);
		assert_non_null(ok);
	}
	qsort(id, THREADS * PER_THREAD, 16, compare);
	for (size_t i = 1; i < THREADS * PER_THREAD; i++)
		assert_memory_not_equal(id[i - 1], id[i], 16);
}

static void test_fork_differs(void **state)
{
	unsigned char mine[16];
	unsigned char theirs[16];
	int fd[2];
	int status;
	pid_t pid;

	(void)state;
	assert_int_equal(tako__random(mine, 1), 0); /* so that there is something to repeat */
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(tako__random(theirs, 16) || write(fd[1], theirs, 16) != 16);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(fd[0], theirs, 16), 16);
	assert_int_equal(tako__random(mine, 16), 0);
	assert_memory_not_equal(mine, theirs, 16);
	close(fd[0]);
	close(fd[1]);
}

/* RFC 9562 sections 4 and 5.4 */
static void test_uuid(void **state)
{
	static const char variant[] = "89ab";
	char last[TAKO__UUID_CHARS] = "";
	unsigned seen = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		char id[TAKO__UUID_CHARS + 1];
		const char *at;

		id[TAKO__UUID_CHARS] = '#';
		assert_int_equal(tako__uuid(id), 0);
		assert_int_equal(id[TAKO__UUID_CHARS], '#');
		for (int k = 0; k < TAKO__UUID_CHARS; k++) {
			bool hyphen = k == 8 || k == 13 || k == 18 || k == 23;

			assert_int_equal(id[k] == '-', hyphen);
			assert_true(hyphen || isdigit((unsigned char)id[k]) ||
			            (id[k] >= 'a' && id[k] <= 'f'));
		}
		assert_int_equal(id[14], '4');
		at = memchr(variant, id[19], 4);
		assert_non_null(at);
		seen |= 1u << (at - variant);
		assert_memory_not_equal(id, last, TAKO__UUID_CHARS);
		memcpy(last, id, TAKO__UUID_CHARS);
	}
	assert_int_equal(seen, 15); /* the other bits of that digit are random */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_repetition), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bits),          cmocka_unit_test(test_threads_differ),
		cmocka_unit_test(test_fork_differs),  cmocka_unit_test(test_uuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

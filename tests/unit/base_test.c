/* SPDX-License-Identifier: MIT
 *
 * Error texts, the last failure, strings, and the import of config structs from callers
 * compiled against older and newer headers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"

static void test_version(void **state)
{
	char text[16];

	(void)state;
	snprintf(text, sizeof(text), "%u.%u.%u", (unsigned)(tako_version() >> 16),
	         (unsigned)(tako_version() >> 8 & 0xff), (unsigned)(tako_version() & 0xff));
	assert_string_equal(text, TAKO_VERSION);
}

static void test_strerror(void **state)
{
	(void)state;
	assert_string_equal(tako_strerror(TAKO_OK), "success");
	assert_string_equal(tako_strerror(TAKO_EINVAL), "invalid argument");
	assert_string_equal(tako_strerror(TAKO_ENOENT), "no such thing");
	for (int err = TAKO_EINVAL; err >= TAKO_EBUSY; err--)
		assert_string_not_equal(tako_strerror(err), "unknown error");
	assert_string_equal(tako_strerror(TAKO_EBUSY - 1), "unknown error");
	assert_string_equal(tako_strerror(1), "unknown error");
	assert_string_equal(tako_strerror(INT32_MIN), "unknown error");
}

static void test_last_error(void **state)
{
	(void)state;
	tako__clear_error();
	assert_string_equal(tako_last_error(), "");
	assert_int_equal(tako__fail(TAKO_EPROTO, "byte %d", 7), TAKO_EPROTO);
	assert_string_equal(tako_last_error(), "byte 7");
	/* The old text as an argument of the new one. */
	assert_int_equal(tako__fail(TAKO_EINVAL, "head: %s", tako_last_error()), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "head: byte 7");
	tako__fail(TAKO_EINVAL, "a%sb", "\r\n\x7f\x01\t");
	assert_string_equal(tako_last_error(), "a?????b");
	tako__clear_error();
	assert_string_equal(tako_last_error(), "");
}

static void test_last_error_is_cut(void **state)
{
	char longer[600];

	(void)state;
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	tako__fail(TAKO_EINVAL, "%s", longer);
	assert_int_equal(strlen(tako_last_error()), 255);
	errno = EACCES;
	assert_int_equal(tako__fail_errno("%s", longer), TAKO_ESYS);
	assert_int_equal(strlen(tako_last_error()), 255);
	/* Room for a part of the reason only. */
	longer[250] = '\0';
	errno = EACCES;
	tako__fail_errno("%s", longer);
	assert_int_equal(strlen(tako_last_error()), 255);
	assert_string_equal(tako_last_error() + 248, "xx: Per");
}

static void test_fail_errno(void **state)
{
	(void)state;
	errno = EACCES;
	assert_int_equal(tako__fail_errno("bind %s", "0.0.0.0:80"), TAKO_ESYS);
	assert_int_equal(errno, EACCES);
	assert_string_equal(tako_last_error(), "bind 0.0.0.0:80: Permission denied");
	errno = ENOMEM;
	assert_int_equal(tako__fail_errno("mmap"), TAKO_ENOMEM);
	assert_string_equal(tako_last_error(), "mmap: Cannot allocate memory");
}

static void *other_thread(void *arg)
{
	bool *ok = arg;

	*ok = !strcmp(tako_last_error(), "");
	tako__fail(TAKO_EINVAL, "theirs");
	*ok = *ok && !strcmp(tako_last_error(), "theirs");
	return NULL;
}

static void test_last_error_is_per_thread(void **state)
{
	pthread_t t;
	bool ok = false;

	(void)state;
	tako__fail(TAKO_EINVAL, "mine");
	assert_int_equal(pthread_create(&t, NULL, other_thread, &ok), 0);
	pthread_join(t, NULL);
	assert_true(ok);
	assert_string_equal(tako_last_error(), "mine");
}

/* ---- Strings -------------------------------------------------------------- */

static void test_str_z(void **state)
{
	(void)state;
	assert_null(tako_str_z(NULL).p);
	assert_int_equal(tako_str_z(NULL).n, 0);
	assert_non_null(tako_str_z("").p);
	assert_int_equal(tako_str_z("").n, 0);
	assert_int_equal(tako_str_z("tako").n, 4);
}

static void test_str_eq(void **state)
{
	static const tako_str absent;

	(void)state;
	assert_true(tako_str_eq(absent, absent));
	assert_false(tako_str_eq(absent, TAKO_STR("")));
	assert_false(tako_str_eq(TAKO_STR(""), absent));
	assert_true(tako_str_eq(TAKO_STR(""), TAKO_STR("")));
	assert_true(tako_str_eq(TAKO_STR("a\0b"), TAKO_STR("a\0b")));
	assert_false(tako_str_eq(TAKO_STR("a\0b"), TAKO_STR("a\0c")));
	assert_false(tako_str_eq(TAKO_STR("ab"), TAKO_STR("abc")));
	assert_false(tako_str_eq(TAKO_STR("ab"), TAKO_STR("aB")));
}

/* RFC 9110 section 5.1: field names compare case-insensitively, and in ASCII only. */
static void test_str_ieq(void **state)
{
	static const tako_str absent;

	(void)state;
	assert_true(tako_str_ieq(absent, absent));
	assert_false(tako_str_ieq(absent, TAKO_STR("")));
	assert_true(tako_str_ieq(TAKO_STR("Content-Type"), TAKO_STR("cONTENT-tYPE")));
	assert_false(tako_str_ieq(TAKO_STR("Content-Type"), TAKO_STR("Content-Typ")));
	for (int a = 0; a < 256; a++) {
		for (int b = 0; b < 256; b++) {
			char ca = (char)a;
			char cb = (char)b;
			bool letter = (a | 0x20) >= 'a' && (a | 0x20) <= 'z' && a < 0x80;
			bool want = a == b || (letter && (a ^ b) == 0x20);

			assert_int_equal(tako_str_ieq((tako_str){&ca, 1}, (tako_str){&cb, 1}),
			                 want);
		}
	}
}

/* ---- Import ----------------------------------------------------------------- */

struct config_v1 {
	size_t size;
	uint64_t one;
};

struct config_v2 {
	size_t size;
	uint64_t one;
	uint64_t two;
};

struct config_v3 {
	size_t size;
	uint64_t one;
	uint64_t two;
	uint64_t three;
};

static int import_v2(struct config_v2 *out, const void *src)
{
	memset(out, 0xee, sizeof(*out));
	return tako__import(out, sizeof(*out), src, sizeof(struct config_v1), "config");
}

static void test_import_same(void **state)
{
	struct config_v2 in = {.size = sizeof(in), .one = 1, .two = 2};
	struct config_v2 out;

	(void)state;
	assert_int_equal(import_v2(&out, &in), 0);
	assert_memory_equal(&in, &out, sizeof(in));
}

static void test_import_older(void **state)
{
	struct config_v1 in = {.size = sizeof(in), .one = 1};
	struct config_v2 out;

	(void)state;
	assert_int_equal(import_v2(&out, &in), 0);
	assert_int_equal(out.size, sizeof(out));
	assert_int_equal(out.one, 1);
	assert_int_equal(out.two, 0);
}

static void test_import_newer(void **state)
{
	struct config_v3 in = {.size = sizeof(in), .one = 1, .two = 2};
	struct config_v2 out;

	(void)state;
	assert_int_equal(import_v2(&out, &in), 0);
	assert_int_equal(out.size, sizeof(out));
	assert_int_equal(out.one, 1);
	assert_int_equal(out.two, 2);
	/* Any byte of what we do not know counts, also the last. */
	in.three = (uint64_t)1 << 56;
	assert_int_equal(import_v2(&out, &in), TAKO_ENOTSUP);
	assert_int_equal(out.one, 0);
	assert_non_null(strstr(tako_last_error(), "config: byte "));
	in.three = 1;
	assert_int_equal(import_v2(&out, &in), TAKO_ENOTSUP);
}

static void test_import_too_short(void **state)
{
	struct config_v1 in = {.size = sizeof(in) - 1, .one = 1};
	struct config_v2 out;

	(void)state;
	assert_int_equal(import_v2(&out, &in), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "config: size is 15, at least 16 expected");
	in.size = 0;
	assert_int_equal(import_v2(&out, &in), TAKO_EINVAL);
	assert_int_equal(out.one, 0);
}

static void test_import_null(void **state)
{
	struct config_v2 out;

	(void)state;
	assert_int_equal(import_v2(&out, NULL), 0);
	assert_int_equal(out.size, sizeof(out));
	assert_int_equal(out.one, 0);
	assert_int_equal(out.two, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_strerror),
		cmocka_unit_test(test_last_error),
		cmocka_unit_test(test_last_error_is_cut),
		cmocka_unit_test(test_fail_errno),
		cmocka_unit_test(test_last_error_is_per_thread),
		cmocka_unit_test(test_str_z),
		cmocka_unit_test(test_str_eq),
		cmocka_unit_test(test_str_ieq),
		cmocka_unit_test(test_import_same),
		cmocka_unit_test(test_import_older),
		cmocka_unit_test(test_import_newer),
		cmocka_unit_test(test_import_too_short),
		cmocka_unit_test(test_import_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

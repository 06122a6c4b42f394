/* SPDX-License-Identifier: MIT
 *
 * Fields of a response: what is refused (RFC 9110 sections 5.1, 5.5 and 6.5.1), how many, and that
 * a failure changes nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/res.h"
#include "unit/failalloc.h"

static struct tako__exchange *x;
static tako_res *res;

static int set_up(void **state)
{
	(void)state;
	x = malloc(TAKO__EXCHANGE_BYTES);
	if (!x)
		return 1;
	memset(x, 0, sizeof *x);
	tako__arena_init(&x->arena, x + 1, TAKO__EXCHANGE_BYTES - sizeof *x);
	x->res_fields = x->res_first;
	x->res_field_cap = TAKO__RES_FIELDS_FIRST;
	res = tako__res(x);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__arena_fini(&x->arena);
	free(x);
	return failalloc_live() || failalloc_wrong();
}

static void check_value(const char *name, const char *want)
{
	tako_str v = tako_res_get_header(res, name);

	if (!want) {
		assert_null(v.p);
		return;
	}
	assert_non_null(v.p);
	assert_int_equal(v.n, strlen(want));
	assert_memory_equal(v.p, want, v.n);
}

static unsigned count_of(const char *name)
{
	unsigned count = 0;

	for (unsigned i = 0; i < x->res_field_count; i++)
		count += tako_str_ieq((tako_str){x->res_fields[i].name, x->res_fields[i].name_n},
		                      tako_str_z(name));
	return count;
}

static void test_find(void **state)
{
	static const struct tako__field list[] = {
		{"Host", "a", 4, 1},
		{"X-One", "1", 5, 1},
		{"x-one", "2", 5, 1},
		{"X-Empty", "", 7, 0},
	};

	(void)state;
	assert_ptr_equal(tako__field_find(list, 4, "host", 4), &list[0]);
	assert_ptr_equal(tako__field_find(list, 4, "X-ONE", 5), &list[1]);
	assert_ptr_equal(tako__field_find(list, 4, "x-empty", 7), &list[3]);
	assert_null(tako__field_find(list, 3, "x-empty", 7));
	assert_null(tako__field_find(list, 4, "x-on", 4));
	assert_null(tako__field_find(list, 4, "hosts", 5));
	assert_null(tako__field_find(list, 0, "host", 4));
}

static void test_copied(void **state)
{
	char name[] = "X-Name";
	char value[] = "value";

	(void)state;
	assert_int_equal(tako_res_header(res, name, value), 0);
	memset(name, '?', sizeof name - 1);
	memset(value, '?', sizeof value - 1);
	check_value("x-name", "value");
}

static void test_trimmed(void **state)
{
	(void)state;
	assert_int_equal(tako_res_header(res, "X-A", " \ta \tb\t "), 0);
	check_value("x-a", "a \tb");
	assert_int_equal(tako_res_set_header(res, "X-A", "c "), 0);
	check_value("x-a", "c");
	assert_int_equal(tako_res_header(res, "X-B", " \t"), 0);
	check_value("x-b", "");
	assert_int_equal(tako_res_trailer(res, "X-T", "\tt"), 0);
	assert_int_equal(x->res_trailers[0].value_n, 1);
	assert_memory_equal(x->res_trailers[0].value, "t", 1);
}

static void test_refused(void **state)
{
	static const struct {
		const char *name;
		const char *value;
	} cases[] = {
		/* Section 5.1: a token. */
		{"", "v"},
		{"a b", "v"},
		{"a:", "v"},
		{"a\r\nb", "v"},
		{"a\n", "v"},
		{"\xc3\xa9", "v"},
		{"a(", "v"},
		/* Section 5.5: what would end the line or the text. */
		{"X-A", "v\r\nSet-Cookie: stolen=1"},
		{"X-A", "v\nX-B: w"},
		{"X-A", "v\r"},
		{"X-A", "\r\n\r\n<html>"},
		{"X-A", "v\x01"},
		{"X-A", "v\x1f"},
		{"X-A", "v\x7f"},
		/* What the protocol frames with (RFC 9112 sections 6 and 9.6). */
		{"Connection", "close"},
		{"connection", "x"},
		{"Transfer-Encoding", "chunked"},
		{"TRANSFER-ENCODING", "identity"},
		{"Content-Length", "5"},
		{"content-length", "0"},
		{"Keep-Alive", "timeout=5"},
		{"Upgrade", "h2c"},
		{"proxy-connection", "keep-alive"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int rc = tako_res_header(res, cases[i].name, cases[i].value);

		if (rc != TAKO_EINVAL || !tako_last_error()[0])
			fail_msg("case %zu, field \"%s\": %d", i, cases[i].name, rc);
		assert_int_equal(tako_res_set_header(res, cases[i].name, cases[i].value),
		                 TAKO_EINVAL);
		assert_int_equal(tako_res_trailer(res, cases[i].name, cases[i].value), TAKO_EINVAL);
	}
	assert_int_equal(tako_res_header_str(res, TAKO_STR("X-A"), TAKO_STR("a\0b")), TAKO_EINVAL);
	assert_int_equal(tako_res_header_str(res, TAKO_STR("X\0A"), TAKO_STR("v")), TAKO_EINVAL);
	assert_int_equal(tako_res_header(res, NULL, "v"), TAKO_EINVAL);
	assert_int_equal(tako_res_header(res, "X-A", NULL), TAKO_EINVAL);
	assert_int_equal(tako_res_set_header(res, NULL, "v"), TAKO_EINVAL);
	assert_int_equal(tako_res_trailer(res, NULL, "v"), TAKO_EINVAL);
	assert_int_equal(tako_res_trailer(res, "X-A", NULL), TAKO_EINVAL);
	assert_int_equal(x->res_field_count, 0);
	assert_int_equal(x->res_trailer_count, 0);
}

/* Each byte that a value may not hold, at each place of a word. */
static void test_every_byte_of_a_value(void **state)
{
	(void)state;
	for (int byte = 0; byte < 256; byte++) {
		for (size_t at = 0; at < 19; at++) {
			char value[19];
			bool fine = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
			int rc;

			memset(value, 'v', sizeof value);
			value[at] = (char)byte;
			x->res_field_count = 0;
			rc = tako_res_header_str(res, TAKO_STR("X"),
			                         (tako_str){value, sizeof value});
			if (rc != (fine ? 0 : TAKO_EINVAL))
				fail_msg("byte %d at %zu: %d", byte, at, rc);
		}
	}
}

static void test_accepted(void **state)
{
	(void)state;
	assert_int_equal(tako_res_header(res, "!#$%&'*+-.^_`|~09azAZ", "v"), 0);
	assert_int_equal(tako_res_header(res, "X-Empty", ""), 0);
	assert_int_equal(tako_res_header(res, "X-Tab", "a\tb"), 0);
	assert_int_equal(tako_res_header(res, "X-Text", "caf\xc3\xa9"), 0);
	check_value("X-Empty", "");
	check_value("X-Text", "caf\xc3\xa9");
}

static void test_long_name(void **state)
{
	char name[1026];

	(void)state;
	memset(name, 'n', sizeof name);
	assert_int_equal(tako_res_header_str(res, (tako_str){name, 1024}, TAKO_STR("v")), 0);
	assert_int_equal(tako_res_header_str(res, (tako_str){name, 1025}, TAKO_STR("v")),
	                 TAKO_EINVAL);
}

static void test_sixty_four(void **state)
{
	char name[16];
	char value[16];

	(void)state;
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "X-%d", i);
		assert_int_equal(tako_res_header(res, name, name + 2), 0);
		assert_int_equal(tako_res_trailer(res, name, name + 2), 0);
	}
	assert_int_equal(tako_res_header(res, "X-64", "64"), TAKO_ETOOBIG);
	assert_int_equal(tako_res_trailer(res, "X-64", "64"), TAKO_ETOOBIG);
	assert_int_equal(x->res_trailer_count, 64);
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "x-%d", i);
		snprintf(value, sizeof value, "%d", i);
		check_value(name, value);
	}
	/* In place of another there is room. */
	assert_int_equal(tako_res_set_header(res, "X-7", "seven"), 0);
	check_value("X-7", "seven");
	assert_int_equal(tako_res_set_header(res, "X-64", "64"), TAKO_ETOOBIG);
}

static void test_set_replaces_all(void **state)
{
	(void)state;
	assert_int_equal(tako_res_header(res, "X-A", "1"), 0);
	assert_int_equal(tako_res_header(res, "X-B", "2"), 0);
	assert_int_equal(tako_res_header(res, "x-a", "3"), 0);
	assert_int_equal(count_of("X-A"), 2);
	check_value("X-A", "1");
	assert_int_equal(tako_res_set_header(res, "X-a", "4"), 0);
	assert_int_equal(count_of("X-A"), 1);
	check_value("X-A", "4");
	check_value("X-B", "2");
	assert_int_equal(tako_res_set_header(res, "X-A", NULL), 0);
	check_value("X-A", NULL);
	assert_int_equal(tako_res_set_header(res, "X-A", NULL), 0);
	assert_int_equal(x->res_field_count, 1);
	/* Of itself. */
	assert_int_equal(tako_res_set_header(res, "X-B", tako_res_get_header(res, "X-B").p), 0);
	check_value("X-B", "2");
}

/* A refused value leaves the old one, and so does a lack of memory. */
static void test_failed_set_keeps_the_old_one(void **state)
{
	static char value[5000];
	size_t nth;

	(void)state;
	memset(value, 'v', sizeof value - 1);
	assert_int_equal(tako_res_header(res, "X-A", "old"), 0);
	assert_int_equal(tako_res_set_header(res, "X-A", "new\r\n"), TAKO_EINVAL);
	check_value("X-A", "old");
	for (nth = 1; nth < 10; nth++) {
		int rc;

		failalloc_arm(nth);
		rc = tako_res_set_header(res, "X-A", value);
		if (!failalloc_disarm()) {
			assert_int_equal(rc, 0);
			break;
		}
		assert_int_equal(rc, TAKO_ENOMEM);
		check_value("X-A", "old");
	}
	assert_true(nth > 1);
	check_value("X-A", value);
}

static void test_special_fields_are_noted(void **state)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} special[] = {
		{"date", TAKO__X_HAS_DATE},
		{"SERVER", TAKO__X_HAS_SERVER},
		{"Content-type", TAKO__X_HAS_TYPE},
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(x->flags, 0);
		assert_int_equal(tako_res_set_header(res, special[i].name, "v"), 0);
		assert_int_equal(x->flags, special[i].flag);
		assert_int_equal(tako_res_set_header(res, special[i].name, "w"), 0);
		assert_int_equal(x->flags, special[i].flag);
		assert_int_equal(tako_res_set_header(res, special[i].name, NULL), 0);
	}
	assert_int_equal(x->flags, 0);
}

static void test_too_late(void **state)
{
	(void)state;
	x->flags |= TAKO__X_HEAD_SENT;
	assert_int_equal(tako_res_header(res, "X-A", "v"), TAKO_ESTATE);
	assert_int_equal(tako_res_set_header(res, "X-A", "v"), TAKO_ESTATE);
	assert_int_equal(tako_res_set_header(res, "X-A", NULL), TAKO_ESTATE);
	assert_int_equal(tako_res_trailer(res, "X-A", "v"), 0);
	x->flags |= TAKO__X_ENDED;
	assert_int_equal(tako_res_trailer(res, "X-A", "v"), TAKO_ESTATE);
	x->flags = 0;
}

/* Section 6.5.1. */
static void test_trailers_that_would_come_too_late(void **state)
{
	static const char *const names[] = {"Content-Type",  "content-encoding", "Content-Range",
	                                    "Host",          "Trailer",          "Authorization",
	                                    "Cache-Control", "Set-Cookie",       "TE"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		assert_int_equal(tako_res_trailer(res, names[i], "v"), TAKO_EINVAL);
	assert_int_equal(x->res_trailer_count, 0);
	assert_int_equal(tako_res_trailer(res, "Server-Timing", "v"), 0);
	assert_int_equal(x->res_trailer_count, 1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_find),
		WITH(test_copied),
		WITH(test_trimmed),
		WITH(test_refused),
		WITH(test_every_byte_of_a_value),
		WITH(test_accepted),
		WITH(test_long_name),
		WITH(test_sixty_four),
		WITH(test_set_replaces_all),
		WITH(test_failed_set_keeps_the_old_one),
		WITH(test_special_fields_are_noted),
		WITH(test_too_late),
		WITH(test_trailers_that_would_come_too_late),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Lists, parameters, quoted strings and qualities: tables from the grammars of RFC 9110.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/value.h"

/* Every input in a block of just its size, so that reading past the end is noticed. */
static tako_str exact(const char *z)
{
	size_t n = strlen(z);
	char *p = malloc(n + !n);

	assert_non_null(p);
	memcpy(p, z, n);
	return (tako_str){p, n};
}

static void drop(tako_str s)
{
	free((void *)(uintptr_t)s.p);
}

/* RFC 9110 section 5.6.1.2: empty elements count for nothing. */
static void test_elements(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* elements, each followed by "|" */
	} table[] = {
		{"", ""},
		{" \t", ""},
		{",", ""},
		{",   ,", ""},
		{"foo,bar", "foo|bar|"},
		{"foo ,bar,", "foo|bar|"},
		{"foo , ,bar,charlie", "foo|bar|charlie|"},
		{"\tfoo\t", "foo|"},
		{"a b, c;d=e", "a b|c;d=e|"},
		{"a;x=\"1,2\", b", "a;x=\"1,2\"|b|"},
		{"\"a,\\\",b\",c", "\"a,\\\",b\"|c|"},
		{"\"\",\"\\\\\",x", "\"\"|\"\\\\\"|x|"},
		{"a,\"open,b", "a|\"open,b|"},
		{"a,\"open\\", "a|\"open\\|"},
		{"\"", "\"|"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str whole = exact(table[i].in);
		tako_str rest = whole;
		tako_str element;
		char got[128] = "";
		size_t n = 0;

		while (tako__element_next(&rest, &element))
			n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s|", TAKO_FMT(element));
		assert_false(tako__element_next(&rest, &element));
		if (strcmp(got, table[i].want) != 0)
			fail_msg("\"%s\": \"%s\"", table[i].in, got);
		drop(whole);
	}
	assert_false(tako__element_next(&(tako_str){NULL, 0}, &(tako_str){NULL, 0}));
}

static void test_value_head(void **state)
{
	static const struct {
		const char *in, *head, *rest;
	} table[] = {
		{"text/html", "text/html", ""},
		{"text/html; charset=utf-8", "text/html", "; charset=utf-8"},
		{" gzip ;q=1", "gzip", ";q=1"},
		{";q=1", "", ";q=1"},
		{"\"a;b\";c=d", "\"a;b\"", ";c=d"},
		{"", "", ""},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str whole = exact(table[i].in);
		tako_str rest;

		assert_true(tako_str_eq(tako__value_head(whole, &rest), tako_str_z(table[i].head)));
		assert_true(tako_str_eq(rest, tako_str_z(table[i].rest)));
		drop(whole);
	}
}

/* RFC 9110 section 5.6.6: parameters = *( OWS ";" OWS [ parameter ] ) */
static void test_params(void **state)
{
	static const struct {
		const char *in;
		const char *want;
		int result;
	} table[] = {
		{"", "", 0},
		{" ", "", 0},
		{";", "", 0},
		{"; ; ;", "", 0},
		{";a=b", "[a=b]", 0},
		{"; a=b; c=d", "[a=b][c=d]", 0},
		{" ;a=b ; ; c=d ;", "[a=b][c=d]", 0},
		{";a=\"b\"", "[a=\"b\"]", 0},
		{";a=\"b;c=d\";e=f", "[a=\"b;c=d\"][e=f]", 0},
		{";a=\"\\\"\";e=f", "[a=\"\\\"\"][e=f]", 0},
		{";a=\"\"", "[a=\"\"]", 0},
		{";boundary=--=_x/y:1", "[boundary=--=_x/y:1]", 0},
		/* no whitespace around "=" */
		{";a =b", "", TAKO_EINVAL},
		{";a= b", "", TAKO_EINVAL},
		{";a=", "", TAKO_EINVAL},
		{";a", "", TAKO_EINVAL},
		{";=b", "", TAKO_EINVAL},
		{"a=b", "", TAKO_EINVAL},
		{";a=b c=d", "[a=b]", TAKO_EINVAL},
		{";a=\"b\"c=d", "[a=\"b\"]", TAKO_EINVAL},
		{";a=b,c", "[a=b]", TAKO_EINVAL},
		{";a=\"b", "", TAKO_EINVAL},
		{";a=\"b\\\"", "", TAKO_EINVAL},
		{";a=\"b\\", "", TAKO_EINVAL},
		{";a=\"", "", TAKO_EINVAL},
		{";a=b\"c\"", "[a=b]", TAKO_EINVAL},
		{";a\x01=b", "", TAKO_EINVAL},
		{";a=\x01", "", TAKO_EINVAL},
		{";a=\xc3", "", TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str whole = exact(table[i].in);
		tako_str rest = whole;
		tako_str name;
		tako_str value;
		char got[128] = "";
		size_t n = 0;
		int result;

		while ((result = tako__param_next(&rest, &name, &value)) == 1)
			n += (size_t)snprintf(got + n, sizeof(got) - n, "[%.*s=%.*s]",
			                      TAKO_FMT(name), TAKO_FMT(value));
		if (result != table[i].result || strcmp(got, table[i].want) != 0)
			fail_msg("\"%s\": %d, \"%s\"", table[i].in, result, got);
		drop(whole);
	}
}

/* RFC 9110 section 5.6.4: quoted-pair stands for the character behind the backslash. */
static void test_unquote(void **state)
{
	static const struct {
		const char *in, *want;
	} table[] = {
		{"", ""},
		{"token", "token"},
		{"\"\"", ""},
		{"\"a b\"", "a b"},
		{"\"a\\\"b\"", "a\"b"},
		{"\"a\\\\b\"", "a\\b"},
		{"\"\\a\\b\"", "ab"},
		{"to\\ken", "to\\ken"},
		{"\"", "\""},
		{"\"open", "\"open"},
		{"\"a\\\"", "a\\"}, /* its end is escaped: no quoted string, but no harm */
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str s = exact(table[i].in);
		size_t n = tako__unquote((char *)(uintptr_t)s.p, s);

		assert_true(tako_str_eq((tako_str){s.p, n}, tako_str_z(table[i].want)));
		drop(s);
	}
}

/* RFC 9110 section 12.4.2 */
static void test_parse_q(void **state)
{
	static const struct {
		const char *in;
		int want;
	} table[] = {
		{"0", 0},
		{"1", 1000},
		{"0.", 0},
		{"1.", 1000},
		{"0.5", 500},
		{"0.05", 50},
		{"0.005", 5},
		{"0.999", 999},
		{"0.120", 120},
		{"1.000", 1000},
		{"1.0", 1000},
		{"", TAKO_EINVAL},
		{"2", TAKO_EINVAL},
		{"1.001", TAKO_EINVAL},
		{"1.1", TAKO_EINVAL},
		{"0.1234", TAKO_EINVAL},
		{"1.0000", TAKO_EINVAL},
		{".5", TAKO_EINVAL},
		{"0,5", TAKO_EINVAL},
		{"00", TAKO_EINVAL},
		{"-1", TAKO_EINVAL},
		{"0.-1", TAKO_EINVAL},
		{"0.5 ", TAKO_EINVAL},
		{"0..5", TAKO_EINVAL},
		{"\"1\"", TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str s = exact(table[i].in);

		if (tako__parse_q(s) != table[i].want)
			fail_msg("\"%s\": %d", table[i].in, tako__parse_q(s));
		drop(s);
	}
}

/* RFC 9110 section 12.5.3 */
static void test_list_quality(void **state)
{
	static const struct {
		const char *list;
		const char *token;
		int want;
	} table[] = {
		{"gzip", "gzip", 1000},
		{"gzip", "br", TAKO_ENOENT},
		{"", "gzip", TAKO_ENOENT},
		{"GZip", "gzip", 1000},
		{"gzip, deflate, br", "br", 1000},
		{"gzip;q=0.8, br;q=1.0", "gzip", 800},
		{"gzip;q=0, *", "gzip", 0},
		{"*, gzip;q=0", "gzip", 0},
		{"*;q=0.5", "gzip", 500},
		{"gzip;q=0.1,*;q=0", "br", 0},
		{"compress;q=0.5, gzip ; Q=0.7", "gzip", 700},
		{"gzip;x=1;q=0.3", "gzip", 300},
		{"gzipx", "gzip", TAKO_ENOENT},
		{"gzip;q=x", "gzip", TAKO_ENOENT},
		{"gzip;q", "gzip", TAKO_ENOENT},
		{"gzip;q=2, *;q=0.1", "gzip", 100},
		{"gzip;q=0.2, gzip;q=0.9", "gzip", 200},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str s = exact(table[i].list);
		int got = tako__list_quality(s, tako_str_z(table[i].token));

		if (got != table[i].want)
			fail_msg("\"%s\", %s: %d", table[i].list, table[i].token, got);
		drop(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements), cmocka_unit_test(test_value_head),
		cmocka_unit_test(test_params),   cmocka_unit_test(test_unquote),
		cmocka_unit_test(test_parse_q),  cmocka_unit_test(test_list_quality),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

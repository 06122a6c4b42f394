/* SPDX-License-Identifier: MIT
 *
 * Elements of Forwarded and of X-Forwarded-For: tables from the grammar of RFC 7239, and lines cut into
 * elements from the right.
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
#include "core/conn.h"
#include "core/forwarded.h"

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

static size_t append(char *to, size_t room, const char *name, tako_str value)
{
	return value.p ? (size_t)snprintf(to, room, " %s=%.*s", name, TAKO_FMT(value)) : 0;
}

/* "kind for address by= host= proto=", of what is there. */
static void show(char *to, size_t room, const struct tako__hop *h)
{
	static const char *const kinds[] = {"none", "address", "unknown", "hidden"};
	size_t n = (size_t)snprintf(to, room, "%s", kinds[h->kind]);

	if (h->kind == TAKO__NODE_ADDRESS) {
		to[n++] = ' ';
		n += tako__addr_format(&h->addr.any, to + n, room - n);
	}
	n += append(to + n, room - n, "for", h->node);
	n += append(to + n, room - n, "by", h->by);
	n += append(to + n, room - n, "host", h->host);
	append(to + n, room - n, "proto", h->proto);
}

struct row {
	const char *section; /* of RFC 7239, unless it says another */
	const char *in;
	const char *want; /* NULL: malformed */
};

static void check_rows(const struct row *rows, size_t count,
                       int (*parse)(struct tako__hop *, tako_str))
{
	for (size_t i = 0; i < count; i++) {
		tako_str in = exact(rows[i].in);
		struct tako__hop h;
		char got[512];
		int rc = parse(&h, in);

		print_message("          %-5s %s\n", rows[i].section, rows[i].in);
		assert_int_equal(rc, rows[i].want ? 0 : TAKO_EINVAL);
		if (rc == 0) {
			show(got, sizeof got, &h);
			assert_string_equal(got, rows[i].want);
		}
		drop(in);
	}
}

static void test_elements(void **state)
{
	static const struct row rows[] = {
		{"4", "for=192.0.2.60;proto=http;by=203.0.113.43",
	         "address 192.0.2.60:0 for=192.0.2.60 by=203.0.113.43 proto=http"},
		{"4", "for=\"_gazonk\"", "hidden for=_gazonk"},
		{"4", "For=\"[2001:db8:cafe::17]:4711\"",
	         "address [2001:db8:cafe::17]:4711 for=[2001:db8:cafe::17]:4711"},
		{"4", "for=192.0.2.43", "address 192.0.2.43:0 for=192.0.2.43"},
		{"4", "FOR=192.0.2.43;PROTO=https",
	         "address 192.0.2.43:0 for=192.0.2.43 proto=https"},
		{"4", "proto=https;for=192.0.2.43",
	         "address 192.0.2.43:0 for=192.0.2.43 proto=https"},
		{"4", "", "none"},
		{"4", ";", "none"},
		{"4", ";;for=192.0.2.1;;", "address 192.0.2.1:0 for=192.0.2.1"},
		{"4", "for=192.0.2.1;for=192.0.2.1", NULL}, /* "MUST NOT occur more than once" */
		{"4", "for=192.0.2.1;FOR=192.0.2.2", NULL},
		{"4", "by=_a;by=_b", NULL},
		{"4", "host=a;host=a", NULL},
		{"4", "proto=http;proto=http", NULL},
		{"4", "for", NULL},
		{"4", "for=", NULL},
		{"4", "=192.0.2.1", NULL},
		{"4", "for =192.0.2.1", NULL},
		{"4", "for= 192.0.2.1", NULL},
		{"4", "for=192.0.2.1; proto=http", NULL}, /* no white space in the grammar */
		{"4", "for=192.0.2.1 ;proto=http", NULL},
		{"4", "for=192.0.2.1 proto=http", NULL},
		{"4", "f\"or=192.0.2.1", NULL},
		{"4", "for=192.0.2.1\"\"", NULL},
		{"4", "for=\"192.0.2.1\"x", NULL},
		{"4", "for=\"192.0.2.1", NULL},
		{"4", "for=192.0.2.1\"", NULL},
		{"4", "for=\"", NULL},
		{"4", "for=\"192.0.2.1\\", NULL},
		{"4", "for=\"192.0.2.1\\\"", NULL},
		{"4", "for=\"\"", NULL},
		{"4", "for='192.0.2.1'", NULL},
		{"4", "for=\"\\1\\9\\2.0.2.1\"",
	         "address 192.0.2.1:0 for=192.0.2.1"}, /* quoted-pair */
		{"4", "for=\"192.0.2.1\x01\"", NULL},
		{"4", "for=\"192.0.2.1\x7f\"", NULL},
		{"4", "for=192.0.2.43:47011", NULL}, /* a colon is in no token */
		{"4", "for=[2001:db8::1]", NULL},
		{"4", "for=192.0.2.1,for=192.0.2.2", NULL}, /* two elements are none */
		{"5.1", "by=\"[2001:db8::1]:80\"", "none by=[2001:db8::1]:80"},
		{"5.1", "by=\"_\"", NULL},
		{"5.1", "by=nobody", NULL},
		{"5.3", "host=example.com", "none host=example.com"},
		{"5.3", "host=\"example.com:8080\"", "none host=example.com:8080"},
		{"5.3", "host=\"[2001:db8::1]:443\"", "none host=[2001:db8::1]:443"},
		{"5.3", "host=\"[2001:db8::1\"", NULL},
		{"5.3", "host=\"[]\"", NULL},
		{"5.3", "host=\"\"", NULL},
		{"5.3", "host=\"a/b\"", NULL},
		{"5.3", "host=\"user@a\"", NULL},
		{"5.3", "host=\"a b\"", NULL},
		{"5.3", "host=\"a:b\"", NULL},
		{"5.3", "host=\"a:65536\"", NULL},
		{"5.3", "host=\":80\"", NULL},
		{"5.3", "host=\"a, for=192.0.2.1\"", NULL},
		{"5.4", "proto=HTTPS", "none proto=HTTPS"},
		{"5.4", "proto=\"coap+tcp\"", "none proto=coap+tcp"},
		{"5.4", "proto=\"1http\"", NULL},
		{"5.4", "proto=\"http:\"", NULL},
		{"5.4", "proto=\"\"", NULL},
		{"5.5", "for=_a;secret=\"x, y; z=\\\"q\\\"\";ext=1;ext=2", "hidden for=_a"},
		{"6", "for=unknown", "unknown for=unknown"},
		{"6.2", "for=UNKNOWN", "unknown for=UNKNOWN"},
		{"6.2", "for=\"unknown:80\"", "unknown for=unknown:80"},
		{"6.2", "for=unknownx", NULL},
		{"6.3", "for=_hidden", "hidden for=_hidden"},
		{"6.3", "for=_SEVKISEK", "hidden for=_SEVKISEK"},
		{"6.3", "for=\"_a.b_c-d:_e\"", "hidden for=_a.b_c-d:_e"},
		{"6.3", "for=_", NULL},
		{"6.3", "for=_a!", NULL},
		{"6.3", "for=\"_a b\"", NULL},
		{"6.3", "for=hidden", NULL},
		{"6", "for=\"192.0.2.43:47011\"", "address 192.0.2.43:47011 for=192.0.2.43:47011"},
		{"6", "for=\"192.0.2.43:_port\"", "address 192.0.2.43:0 for=192.0.2.43:_port"},
		{"6", "for=\"192.0.2.43:00080\"", "address 192.0.2.43:80 for=192.0.2.43:00080"},
		{"6", "for=\"192.0.2.43:\"", NULL},
		{"6", "for=\"192.0.2.43:65536\"", NULL},
		{"6", "for=\"192.0.2.43:000080\"", NULL}, /* 1*5DIGIT */
		{"6", "for=\"192.0.2.43:-1\"", NULL},
		{"6", "for=\"192.0.2.43:_\"", NULL},
		{"6", "for=\"[2001:db8::1]\"", "address [2001:db8::1]:0 for=[2001:db8::1]"},
		{"6", "for=\"[2001:db8::1]:\"", NULL},
		{"6", "for=\"[2001:db8::1]80\"", NULL},
		{"6", "for=\"[2001:db8::1\"", NULL},
		{"6", "for=\"2001:db8::1\"", NULL}, /* brackets are required */
		{"6", "for=\"[2001:db8::1%25eth0]\"", NULL},
		{"6", "for=\"[192.0.2.1]\"", NULL},
		{"6", "for=\"[]\"", NULL},
		{"6", "for=\"[::ffff:192.0.2.1]\"", "address 192.0.2.1:0 for=[::ffff:192.0.2.1]"},
		{"6", "for=192.0.2", NULL},
		{"6", "for=192.0.2.256", NULL},
		{"6", "for=192.0.2.01", NULL},
		{"6", "for=3221225985", NULL},
		{"6", "for=0xc0.0.2.1", NULL},
	};

	(void)state;
	check_rows(rows, TAKO__COUNT(rows), tako__hop_parse);
}

static void test_plain(void **state)
{
	static const struct row rows[] = {
		{"-", "192.0.2.1", "address 192.0.2.1:0 for=192.0.2.1"},
		{"-", "192.0.2.1:80", "address 192.0.2.1:80 for=192.0.2.1:80"},
		{"-", "2001:db8::1", "address [2001:db8::1]:0 for=2001:db8::1"},
		{"-", "::1", "address [::1]:0 for=::1"},
		{"-", "[2001:db8::1]", "address [2001:db8::1]:0 for=[2001:db8::1]"},
		{"-", "[2001:db8::1]:80", "address [2001:db8::1]:80 for=[2001:db8::1]:80"},
		{"-", "unknown", "unknown for=unknown"},
		{"-", "_x", "hidden for=_x"},
		{"-", "", NULL},
		{"-", "192.0.2.1 192.0.2.2", NULL},
		{"-", "192.0.2.1, 192.0.2.2", NULL},
		{"-", "\"192.0.2.1\"", NULL},
		{"-", "for=192.0.2.1", NULL},
		{"-", "2001:db8::1:", NULL},
		{"-", "2001:db8::1]:80", NULL},
		{"-", "example.com", NULL},
		{"-", "localhost", NULL},
	};

	(void)state;
	check_rows(rows, TAKO__COUNT(rows), tako__hop_parse_plain);
}

/* Values that there is no room for are none; where the room ends nothing is written. */
static void test_long_values(void **state)
{
	char text[2 * TAKO__HOP_TEXT_BYTES] = "for=_";
	struct tako__hop h;

	(void)state;
	memset(text + 5, 'a', sizeof text - 5);
	assert_int_equal(tako__hop_parse(&h, (tako_str){text, 4 + TAKO__HOP_TEXT_BYTES}), 0);
	assert_int_equal(h.node.n, TAKO__HOP_TEXT_BYTES);
	assert_int_equal(tako__hop_parse(&h, (tako_str){text, 5 + TAKO__HOP_TEXT_BYTES}),
	                 TAKO_EINVAL);
	assert_int_equal(tako__hop_parse_plain(&h, (tako_str){text + 4, TAKO__HOP_TEXT_BYTES}), 0);
	assert_int_equal(tako__hop_parse_plain(&h, (tako_str){text + 4, TAKO__HOP_TEXT_BYTES + 1}),
	                 TAKO_EINVAL);
	text[4] = '"';
	text[5] = '_';
	text[5 + TAKO__HOP_TEXT_BYTES] = '"';
	assert_int_equal(tako__hop_parse(&h, (tako_str){text, 6 + TAKO__HOP_TEXT_BYTES}), 0);
	text[5 + TAKO__HOP_TEXT_BYTES] = 'a';
	text[6 + TAKO__HOP_TEXT_BYTES] = '"';
	assert_int_equal(tako__hop_parse(&h, (tako_str){text, 7 + TAKO__HOP_TEXT_BYTES}),
	                 TAKO_EINVAL);
	assert_int_equal(tako__hop_parse_plain(&h, (tako_str){"1\0", 2}), TAKO_EINVAL);
}

/* RFC 9110 section 5.6.1 and RFC 7239 section 4. */
static void test_lines(void **state)
{
	static const struct {
		const char *in;
		const char
			*want; /* elements from the right, each followed by "|"; "!": malformed */
	} rows[] = {
		{"", ""},
		{" \t", ""},
		{",", ""},
		{", ,\t,", ""},
		{"for=a", "for=a|"},
		{" for=a\t", "for=a|"},
		{"for=a,for=b", "for=b|for=a|"},
		{"for=a , for=b;x=y ,", "for=b;x=y|for=a|"},
		{",for=a,,for=b", "for=b|for=a|"},
		{"a;x=\"1,2\", b", "b|a;x=\"1,2\"|"},
		{"a, b;x=\"1,2\"", "b;x=\"1,2\"|a|"},
		{"x=\",\",y=\",\"", "y=\",\"|x=\",\"|"},
		{"x=\"\\\",\",y=a", "y=a|x=\"\\\",\"|"},
		{"y=a,x=\"\\\",\"", "x=\"\\\",\"|y=a|"},
		{"y=a,x=\",\\\\\"", "x=\",\\\\\"|y=a|"},
		{"y=a,x=\",\\\\\\\"\"", "x=\",\\\\\\\"\"|y=a|"},
		{"y=a,x=\"\"", "x=\"\"|y=a|"},
		/* What was sent ahead does not hide what a proxy has put behind it. */
		{"for=\"_a, for=b", "for=b|!"},
		{"for=_a\", for=b;host=\"c\"", "for=b;host=\"c\"|!"},
		{"for=\"_a\\, for=\"b,c\"", "for=\"b,c\"|!"},
		{"\", for=b", "for=b|!"},
		{"for=b\"", "!"},
		{"\"", "!"},
		{"\\\"", "!"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(rows); i++) {
		tako_str in = exact(rows[i].in);
		tako_str rest = in;
		tako_str element;
		char got[256] = "";
		size_t n = 0;
		int rc;

		while ((rc = tako__hop_take(&rest, true, &element)) > 0)
			n += (size_t)snprintf(got + n, sizeof got - n, "%.*s|", TAKO_FMT(element));
		snprintf(got + n, sizeof got - n, "%s", rc < 0 ? "!" : "");
		print_message("          %s\n", rows[i].in);
		assert_string_equal(got, rows[i].want);
		drop(in);
	}
}

static void test_lines_without_quotes(void **state)
{
	tako_str rest = TAKO_STR("\"a, b\" , c");
	tako_str element;

	(void)state;
	assert_int_equal(tako__hop_take(&rest, false, &element), 1);
	assert_true(tako_str_eq(element, TAKO_STR("c")));
	assert_int_equal(tako__hop_take(&rest, false, &element), 1);
	assert_true(tako_str_eq(element, TAKO_STR("b\"")));
	assert_int_equal(tako__hop_take(&rest, false, &element), 1);
	assert_true(tako_str_eq(element, TAKO_STR("\"a")));
	assert_int_equal(tako__hop_take(&rest, false, &element), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lines_without_quotes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * URLs as a client takes them, and those it refuses with a sentence.
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
#include "transports/client/client_url.h"

static const struct {
	const char *rfc;
	const char *url;
	const char *want; /* "tls authority host port path query", or the sentence */
} cases[] = {
	{"9110 4.2.1", "http://a.example/b?c=d", "0 a.example a.example 80 /b ?c=d"},
	{"9110 4.2.2", "https://a.example/", "1 a.example a.example 443 / "},
	{"3986 3.1", "HtTp://a/", "0 a a 80 / "},
	{"9110 4.2.3", "http://a:80/", "0 a a 80 / "},
	{"9110 4.2.3", "https://a:443/", "1 a a 443 / "},
	{"9110 4.2.3", "http://a:443/", "0 a:443 a 443 / "},
	{"3986 3.2.3", "http://a:/", "0 a a 80 / "},
	{"3986 3.2.2", "http://[::1]:8080/x", "0 [::1]:8080 ::1 8080 /x "},
	{"3986 3.2.2", "http://[::1]", "0 [::1] ::1 80 / "},
	{"9112 3.2.1", "http://a", "0 a a 80 / "},
	{"9112 3.2.1", "http://a?b", "0 a a 80 / ?b"},
	{"3986 3.5", "http://a/b#c?d", "0 a a 80 /b "},
	{"3986 3.5", "http://a#c", "0 a a 80 / "},
	{"3986 3.4", "http://a/b??c/d", "0 a a 80 /b ??c/d"},
	{"9110 4.2.1", "", "url: it does not begin with http:// or https://"},
	{"9110 4.2.1", "ftp://a/", "url: it does not begin with http:// or https://"},
	{"9110 4.2.1", "a.example/", "url: it does not begin with http:// or https://"},
	{"9110 4.2.1", "http:/a", "url: it does not begin with http:// or https://"},
	{"9110 4.2.1", "http:///a", "url: no host, or one that is none"},
	{"9110 4.2.1", "http://:80/a", "url: no host, or one that is none"},
	{"3986 3.2.2", "http://a b/", "url: no host, or one that is none"},
	{"3986 3.2.2", "http://a\r\nX: y/", "url: no host, or one that is none"},
	{"3986 3.2.2", "http://[::1", "url: no host, or one that is none"},
	{"3986 3.2.2", "http://[]/", "url: no host, or one that is none"},
	{"3986 3.2.2", "http://::1/", "url: no host, or one that is none"},
	{"3986 3.2.3", "http://a:65536/", "url: no host, or one that is none"},
	{"3986 3.2.3", "http://a:0/", "url: a port that is not 1 to 65535"},
	{"9110 4.2.4", "http://u:p@a/", "url: credentials in front of the host"},
	{"9110 4.2.4", "http://a@b/", "url: credentials in front of the host"},
	{"9112 3.2", "http://a/b c", "url: byte 0x20 has to be escaped"},
	{"9112 3.2", "http://a/b\r\nX: y", "url: byte 0x0d has to be escaped"},
	{"9112 3.2", "http://a/\xc3\xa9", "url: byte 0xc3 has to be escaped"},
	{"9112 3.2", "http://a/?\"", "url: byte 0x22 has to be escaped"},
};

static void test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct tako__url u;
		char got[256];
		int rc = tako__url_parse(&u, tako_str_z(cases[i].url));

		if (rc == 0)
			snprintf(got, sizeof got, "%d %.*s %.*s %u %.*s %.*s", u.tls,
			         TAKO_FMT(u.authority), TAKO_FMT(u.host), u.port, TAKO_FMT(u.path),
			         TAKO_FMT(u.query));
		else
			snprintf(got, sizeof got, "%s", tako_last_error());
		assert_string_equal(got, cases[i].want);
		assert_int_equal(rc, strncmp(cases[i].want, "url:", 4) ? 0 : TAKO_EINVAL);
	}
}

/* A NUL is no end. */
static void test_nul(void **state)
{
	struct tako__url u;

	(void)state;
	assert_int_equal(tako__url_parse(&u, TAKO_STR("http://a/\0b")), TAKO_EINVAL);
	assert_int_equal(tako__url_parse(&u, TAKO_STR("http://a\0b/")), TAKO_EINVAL);
	assert_int_equal(tako__url_parse(&u, (tako_str){NULL, 0}), TAKO_EINVAL);
}

static void test_length(void **state)
{
	static char url[TAKO__URL_BYTES_MAX + 2];
	struct tako__url u;

	(void)state;
	memset(url, 'x', sizeof url - 1);
	memcpy(url, "http://a/", 9);
	assert_int_equal(tako__url_parse(&u, (tako_str){url, TAKO__URL_BYTES_MAX}), 0);
	assert_int_equal(tako__url_parse(&u, (tako_str){url, TAKO__URL_BYTES_MAX + 1}),
	                 TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "url: longer than 8192 bytes");
}

/* "http://a/b/c/d;p?q" is section 5.4's base. */
static const struct {
	const char *ref;
	const char *want; /* authority, path and query; or the sentence */
} refs[] = {
	{"g:h", "url: it does not begin with http:// or https://"},
	{"g", "a /b/c/g "},
	{"./g", "a /b/c/g "},
	{"g/", "a /b/c/g/ "},
	{"/g", "a /g "},
	{"//g", "g / "},
	{"?y", "a /b/c/d;p ?y"},
	{"g?y", "a /b/c/g ?y"},
	{"#s", "a /b/c/d;p ?q"},
	{"g#s", "a /b/c/g "},
	{"g?y#s", "a /b/c/g ?y"},
	{";x", "a /b/c/;x "},
	{"g;x", "a /b/c/g;x "},
	{"", "a /b/c/d;p ?q"},
	{".", "a /b/c/ "},
	{"./", "a /b/c/ "},
	{"..", "a /b/ "},
	{"../", "a /b/ "},
	{"../g", "a /b/g "},
	{"../..", "a / "},
	{"../../", "a / "},
	{"../../g", "a /g "},
	{"../../../g", "a /g "},
	{"../../../../g", "a /g "},
	{"/./g", "a /g "},
	{"/../g", "a /g "},
	{"g.", "a /b/c/g. "},
	{".g", "a /b/c/.g "},
	{"g..", "a /b/c/g.. "},
	{"..g", "a /b/c/..g "},
	{"./../g", "a /b/g "},
	{"./g/.", "a /b/c/g/ "},
	{"g/./h", "a /b/c/g/h "},
	{"g/../h", "a /b/c/h "},
	{"g;x=1/./y", "a /b/c/g;x=1/y "},
	{"g;x=1/../y", "a /b/c/y "},
	{"g?y/../x", "a /b/c/g ?y/../x"},
	{"g#s/../x", "a /b/c/g "},
	{"http:g", "url: it does not begin with http:// or https://"},
	/* Not of the RFC. */
	{"http://x/a/../b/./c", "x /b/c "},
	{"https://x:8443?z", "x:8443 / ?z"},
	{"/..", "a / "},
	{"/.", "a / "},
	{"/", "a / "},
	{"/a//../b", "a /a/b "},
	{"/a/..//b", "a //b "},
	{"/%2e%2e/g", "a /%2e%2e/g "},
	{"/g:h", "a /g:h "},
	{"1:h", "a /b/c/1:h "},
	{":h", "a /b/c/:h "},
	{"///g", "url: no host, or one that is none"},
	{"//u@g/", "url: credentials in front of the host"},
	{"//[::1]:9/x", "[::1]:9 /x "},
	{"\\\\g", "a /b/c/\\\\g "},
	{"/\\g", "a /\\g "}, /* no host, whatever browsers make of it */
	{"g h", "url: byte 0x20 has to be escaped"},
	{"g\r\nX: y", "url: byte 0x0d has to be escaped"},
	{"javascript:x", "url: it does not begin with http:// or https://"},
};

static void test_references(void **state)
{
	struct tako__url base;

	(void)state;
	assert_int_equal(tako__url_parse(&base, TAKO_STR("http://a/b/c/d;p?q")), 0);
	for (size_t i = 0; i < TAKO__COUNT(refs); i++) {
		tako_str ref = tako_str_z(refs[i].ref);
		size_t n = tako__url_resolve_bytes(&base, ref);
		char *buf = malloc(n); /* so that a sanitizer sees its end */
		struct tako__url u;
		char got[256];

		assert_non_null(buf);
		if (tako__url_resolve(&u, buf, &base, ref) == 0)
			snprintf(got, sizeof got, "%.*s %.*s %.*s", TAKO_FMT(u.authority),
			         TAKO_FMT(u.path), TAKO_FMT(u.query));
		else
			snprintf(got, sizeof got, "%s", tako_last_error());
		assert_string_equal(got, refs[i].want);
		free(buf);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_references),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

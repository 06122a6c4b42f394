/* SPDX-License-Identifier: MIT
 *
 * What may be connected to, and what is refused rather than guessed at.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/target.h"

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		int family; /* AF_UNSPEC: a name */
		const char *host;
		uint16_t port;
	} good[] = {
		{"example.org:443", AF_UNSPEC, "example.org", 443},
		{"example.org.:1", AF_UNSPEC, "example.org.", 1},
		{"a:65535", AF_UNSPEC, "a", 65535},
		{"3com.com:80", AF_UNSPEC, "3com.com", 80},
		{"3f9a:80", AF_UNSPEC, "3f9a", 80},
		{"0xfg:80", AF_UNSPEC, "0xfg", 80},
		{"_sip._tcp.x-y.org:5060", AF_UNSPEC, "_sip._tcp.x-y.org", 5060},
		{"xn--mnchen-3ya.de:80", AF_UNSPEC, "xn--mnchen-3ya.de", 80},
		{"127.0.0.1:80", AF_INET, "127.0.0.1", 80},
		{"255.255.255.255:08", AF_INET, "255.255.255.255", 8},
		{"[::1]:80", AF_INET6, "::1", 80},
		{"[2001:db8::1]:443", AF_INET6, "2001:db8::1", 443},
		{"[::ffff:192.0.2.1]:443", AF_INET6, "::ffff:192.0.2.1", 443},
		{"[fe80::1%lo]:80", AF_INET6, "fe80::1", 80},
		{"unix:/run/x", AF_UNIX, "", 0},
		{"unix:@x", AF_UNIX, "", 0},
		{"vsock:2:80", AF_VSOCK, "", 0},
	};
	struct tako__target t;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_int_equal(tako__target_parse(&t, tako_str_z(good[i].text)), 0);
		assert_int_equal(t.sa_n != 0, good[i].family != AF_UNSPEC);
		assert_int_equal(t.sa.any.sa_family, good[i].family);
		assert_string_equal(t.host, good[i].host);
		assert_int_equal(t.port, good[i].port);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} bad[] = {
		{"", "no address"},
		{"example.org", "without a port"},
		{"example.org:", "the port is not a number"},
		{"example.org:0", "port 0 is nobody's"},
		{"example.org:65536", "the port is not a number"},
		{"example.org:000080", "the port is not a number"},
		{"example.org:-1", "the port is not a number"},
		{"example.org:8 0", "the port is not a number"},
		{":80", "no host"},
		{".:80", "no host"},
		{".org:80", "parts are not of"},
		{"a..b:80", "parts are not of"},
		{"a b:80", "a byte that no name has"},
		{"a/b:80", "a byte that no name has"},
		{"user@host:80", "a byte that no name has"},
		{"m\xc3\xbcnchen.de:80", "a byte that no name has"},
		{"::1:80", "stands in brackets"},
		{"[::1:80", "no"},
		{"[]:80", "a byte that no name has"},
		{"[127.0.0.1]:80", "no IPv6 address"},
		{"[::1%nosuchif]:80", "no such interface"},
		{"127.1:80", "neither an IPv4 address nor a name"},
		{"127.0.0.01:80", "neither an IPv4 address nor a name"},
		{"127.0.0.256:80", "neither an IPv4 address nor a name"},
		{"0x7f.0.0.1:80", "neither an IPv4 address nor a name"},
		{"0x7f000001:80", "neither an IPv4 address nor a name"},
		{"2130706433:80", "neither an IPv4 address nor a name"},
		{"1.2.3.4.:80", "neither an IPv4 address nor a name"},
		{"unix:", "a Unix socket is"},
		{"unix:x", "a Unix socket is"},
		{"unix:@", "needs a name"},
		{"vsock:80", "vsock:CID:PORT"},
		{"vsock:2:0", "vsock:CID:PORT"},
		{"vsock:2:x", "vsock"},
	};
	struct tako__target t;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(tako__target_parse(&t, tako_str_z(bad[i].text)), TAKO_EINVAL);
		if (!strstr(tako_last_error(), bad[i].why))
			fail_msg("%s: %s", bad[i].text, tako_last_error());
	}
}

static void test_long_ones(void **state)
{
	char text[300];
	struct tako__target t;

	(void)state;
	memset(text, 'a', sizeof text);
	for (size_t i = 63; i < 253; i += 64)
		text[i] = '.';
	memcpy(text + 253, ":80", 4);
	assert_int_equal(tako__target_parse(&t, tako_str_z(text)), 0);
	memcpy(text + 253, "a:80", 5);
	assert_int_equal(tako__target_parse(&t, tako_str_z(text)), TAKO_EINVAL);
	text[63] = 'a';
	memcpy(text + 253, ":80", 4);
	assert_int_equal(tako__target_parse(&t, tako_str_z(text)), TAKO_EINVAL);
	memcpy(text, "unix:/", 6);
	memset(text + 6, 'x', sizeof text - 7);
	text[sizeof text - 1] = '\0';
	assert_int_equal(tako__target_parse(&t, tako_str_z(text)), TAKO_EINVAL);
	/* What ends in the middle for others does for nobody. */
	assert_int_equal(tako__target_parse(&t, (tako_str){"a\0b:80", 6}), TAKO_EINVAL);
	assert_int_equal(tako__target_parse(&t, (tako_str){"unix:/a\0b", 9}), TAKO_EINVAL);
}

static void test_hosts(void **state)
{
	char text[64];
	struct tako__target t;

	(void)state;
	assert_int_equal(tako__target_host(&t, TAKO_STR("[::1]"), 443), 0);
	assert_int_equal(t.sa.in6.sin6_port, htons(443));
	assert_int_equal(tako__target_format(&t, text, sizeof text), 9);
	assert_string_equal(text, "[::1]:443");
	assert_int_equal(tako__target_host(&t, TAKO_STR("example.org"), 80), 0);
	tako__target_format(&t, text, sizeof text);
	assert_string_equal(text, "example.org:80");
	assert_int_equal(tako__target_format(&t, text, 4), 3);
	assert_int_equal(tako__target_parse(&t, TAKO_STR("unix:@x")), 0);
	tako__target_format(&t, text, sizeof text);
	assert_string_equal(text, "unix:@x");
	assert_int_equal(tako__target_host(&t, TAKO_STR("::1"), 443), TAKO_EINVAL);
	assert_int_equal(tako__target_host(&t, TAKO_STR(""), 443), TAKO_EINVAL);
	assert_int_equal(tako__target_host(&t, TAKO_STR("a"), 0), TAKO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_ones),
		cmocka_unit_test(test_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

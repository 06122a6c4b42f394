/* SPDX-License-Identifier: MIT
 *
 * PROXY headers, written: byte for byte, and what cannot be said is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/proxy.h>

#include "core/base.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define ADDR4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"
#define ADDR6                                                                                      \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                               \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01\x00\x02"
#define BYTES(lit) ((tako_str){"" lit, sizeof(lit) - 1})

static void test_bytes(void **state)
{
	const struct {
		const tako_proxy_header *h;
		tako_str want;
	} cases[] = {
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:4660", .destination = "198.51.100.2:443",
	                           .version = 1),
	         BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n")},
		{TAKO_PROXY_HEADER(.source = "[2001:db8::1]:1", .destination = "[::1]:2",
	                           .version = 1),
	         BYTES("PROXY TCP6 2001:db8::1 ::1 1 2\r\n")},
		{TAKO_PROXY_HEADER(.version = 1), BYTES("PROXY UNKNOWN\r\n")},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:4660", .destination = "198.51.100.2:443"),
	         BYTES(V2 "\x21\x11\0\x0c" ADDR4)},
		{TAKO_PROXY_HEADER(.source = "[2001:db8::1]:1", .destination = "[::1]:2",
	                           .version = 2, .datagram = 1),
	         BYTES(V2 "\x21\x22\0\x24" ADDR6)},
		{TAKO_PROXY_HEADER(.tlvs = BYTES("\x04\0\0")), BYTES(V2 "\x20\x00\0\x03\x04\0\0")},
		/* The sum was reckoned elsewhere, bit by bit. */
		{TAKO_PROXY_HEADER(.source = "127.0.0.1:1", .destination = "127.0.0.1:2",
	                           .checksum = 1),
	         BYTES(V2 "\x21\x11\0\x13\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02\x03\0\x04"
	                  "\xe9\x16\x6d\x07")},
	};
	char buf[256];

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		print_message("          %zu\n", i);
		assert_int_equal(tako_proxy_write(buf, sizeof buf, cases[i].h), cases[i].want.n);
		assert_memory_equal(buf, cases[i].want.p, cases[i].want.n);
		/* Its length is enough, and a byte less is not (version 1 has a NUL behind it). */
		assert_int_equal(tako_proxy_write(buf, cases[i].want.n - 1, cases[i].h),
		                 TAKO_ETOOBIG);
	}
}

static void test_unix(void **state)
{
	char buf[256];
	char want[16 + 216] = V2 "\x21\x31\0\xd8";

	(void)state;
	memcpy(want + 16, "/run/a", 6);
	memcpy(want + 16 + 108, "\0b", 2);
	assert_int_equal(tako_proxy_write(buf, sizeof buf,
	                                  TAKO_PROXY_HEADER(.source = "unix:/run/a",
	                                                    .destination = "unix:@b")),
	                 sizeof want);
	assert_memory_equal(buf, want, sizeof want);
}

static void test_refused(void **state)
{
	const struct {
		const tako_proxy_header *h;
		const char *why;
	} cases[] = {
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:1"), "both addresses or none"},
		{TAKO_PROXY_HEADER(.destination = "192.0.2.1:1"), "both addresses or none"},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:1", .destination = "[::1]:1"),
	         "different families"},
		{TAKO_PROXY_HEADER(.source = "unix:", .destination = "[::1]:1"),
	         "different families"},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1", .destination = "192.0.2.1:1"), "no port"},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:", .destination = "192.0.2.1:1"),
	         "not 0 to 65535"},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:65536", .destination = "192.0.2.1:1"),
	         "not 0 to 65535"},
		{TAKO_PROXY_HEADER(.source = "192.0.2.1:1x", .destination = "192.0.2.1:1"),
	         "not 0 to 65535"},
		{TAKO_PROXY_HEADER(.source = "host:1", .destination = "192.0.2.1:1"),
	         "no IPv4 address"},
		{TAKO_PROXY_HEADER(.source = "::1:1", .destination = "[::1]:1"), "no IPv4 address"},
		{TAKO_PROXY_HEADER(.source = "[::1:1", .destination = "[::1]:1"), "no port"},
		{TAKO_PROXY_HEADER(.source = "[1.2.3.4]:1", .destination = "[::1]:1"),
	         "no IPv6 address"},
		{TAKO_PROXY_HEADER(.version = 3), "no version 3"},
		{TAKO_PROXY_HEADER(.reserved = 1), "reserved"},
		{TAKO_PROXY_HEADER(.version = 1, .datagram = 1), "TCP addresses only"},
		{TAKO_PROXY_HEADER(.version = 1, .checksum = 1), "TCP addresses only"},
		{TAKO_PROXY_HEADER(.version = 1, .tlvs = BYTES("\x04\0\0")), "TCP addresses only"},
		{TAKO_PROXY_HEADER(.source = "unix:/a", .destination = "unix:/b", .version = 1),
	         "TCP addresses only"},
		{NULL, "no header"},
	};
	char buf[256];

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		print_message("          %s\n", cases[i].why);
		assert_int_equal(tako_proxy_write(buf, sizeof buf, cases[i].h), TAKO_EINVAL);
		assert_non_null(strstr(tako_last_error(), cases[i].why));
	}
}

static void test_tlvs(void **state)
{
	static char big[65536];
	char buf[32];
	tako_str rest;
	tako_str value;
	uint32_t type;
	int n = tako_proxy_put_tlv(buf, sizeof buf, 0, TAKO_PROXY_TLV_ALPN, TAKO_STR("h2"));

	(void)state;
	assert_int_equal(n, 5);
	n = tako_proxy_put_tlv(buf, sizeof buf, (size_t)n, 0xf0, TAKO_STR(""));
	assert_int_equal(n, 8);
	assert_memory_equal(buf, "\x01\0\x02h2\xf0\0\0", 8);
	assert_int_equal(tako_proxy_put_tlv(buf, 10, 8, 1, TAKO_STR("")), TAKO_ETOOBIG);
	assert_int_equal(tako_proxy_put_tlv(buf, 11, 8, 1, TAKO_STR("")), 11);
	assert_int_equal(tako_proxy_put_tlv(buf, sizeof buf, 0, 256, TAKO_STR("")), TAKO_EINVAL);
	assert_int_equal(tako_proxy_put_tlv(buf, SIZE_MAX, 0, 1, (tako_str){big, 65536}),
	                 TAKO_ETOOBIG);
	rest = (tako_str){buf, 8};
	assert_true(tako_proxy_next_tlv(&rest, &type, &value));
	assert_int_equal(type, TAKO_PROXY_TLV_ALPN);
	assert_true(tako_str_eq(value, TAKO_STR("h2")));
	assert_true(tako_proxy_next_tlv(&rest, &type, &value));
	assert_int_equal(type, 0xf0);
	assert_int_equal(value.n, 0);
	assert_false(tako_proxy_next_tlv(&rest, &type, &value));
	/* More than the length field can count. */
	assert_int_equal(
		tako_proxy_write(big, sizeof big,
	                         TAKO_PROXY_HEADER(.source = "[::1]:1", .destination = "[::1]:2",
	                                           .tlvs = {big, 65500})),
		TAKO_ETOOBIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_tlvs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * PROXY headers, read: what the specification gives as examples, what it forbids, cut anywhere, and
 * lengths that lie.  Sections are proxy-protocol.txt's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/conn.h"
#include "transports/proxy/proxy_parse.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 V2 "\x21\x11"
#define ADDR4 "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"
#define BYTES(lit) ((tako_str){"" lit, sizeof(lit) - 1})

/* In memory of exactly that size, so that a sanitizer sees the first byte too far. */
static int parse(struct tako__proxy_header *h, const char *p, size_t n, size_t max)
{
	char *copy = malloc(n ? n : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, n);
	rc = tako__proxy_parse(h, copy, n, max);
	free(copy);
	return rc;
}

/* Cut anywhere a bad one is no good one: more of it is waited for, or it is refused, and then more of it
 * does not help. */
static void assert_refused(const char *p, size_t n)
{
	struct tako__proxy_header h;
	int rc = 0;

	for (size_t k = 0; k <= n; k++) {
		int before = rc;

		rc = parse(&h, p, k, 4096);
		assert_true(rc <= 0);
		assert_true(before == 0 || rc < 0);
	}
	assert_int_equal(rc, TAKO_EPROTO);
}

static const char *text(const union tako__proxy_addr *a)
{
	static char buf[2][80];
	static int turn;

	turn = !turn;
	tako__addr_format(&a->any, buf[turn], sizeof buf[turn]);
	return buf[turn];
}

/* ---- Version 1 ------------------------------------------------------------------------------------------ */

static const struct {
	const char *line;
	const char *src; /* NULL: the connection's own */
	const char *dst;
} good1[] = {
	{"PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n", "192.0.2.1:4660", "198.51.100.2:443"},
	{"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535",
         "255.255.255.255:65535"},
	{"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0:0", "0.0.0.0:0"},
	{"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", "[2001:db8::1]:1", "[::1]:2"},
	{"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{"PROXY UNKNOWN\r\n", NULL, NULL},
	{"PROXY UNKNOWN \r\n", NULL, NULL},
	{"PROXY UNKNOWN whatever there \x01 is\r\n", NULL, NULL},
	{"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         NULL, NULL},
};

static void test_version1(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(good1); i++) {
		size_t n = strlen(good1[i].line);
		struct tako__proxy_header h;
		char with_rest[256];

		print_message("          %.*s\n", (int)n - 2, good1[i].line);
		assert_true(n <= TAKO__PROXY_V1_BYTES);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(parse(&h, good1[i].line, k, 4096), 0);
		memcpy(with_rest, good1[i].line, n);
		memcpy(with_rest + n, "GET / HTTP/1.1\r\n", 16);
		assert_int_equal(parse(&h, with_rest, n + 16, 4096), n);
		assert_int_equal(h.version, 1);
		assert_int_equal(h.local, !good1[i].src);
		if (good1[i].src) {
			assert_string_equal(text(&h.src), good1[i].src);
			assert_string_equal(text(&h.dst), good1[i].dst);
		}
	}
}

static void test_version1_malformed(void **state)
{
	/* Section 2.1: one space, these words, no leading zeros, CR LF. */
	static const char *const bad[] = {
		"PROXY \r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP4 \r\n",
		"PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY unknown\r\n",
		"PROXY TCP4 192.0.2.1\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n",
		"PROXY TCP4 192.0.2.1  198.51.100.2 1 2\r\n",
		"PROXY TCP4\t192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n",
		"PROXY TCP4 0xc0.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2.3 1 2\r\n",
		"PROXY TCP4 localhost 198.51.100.2 1 2\r\n",
		"PROXY TCP4 ::1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP6 ::1 192.0.2.1 1 2\r\n",
		"PROXY TCP6 ::1::1 ::1 1 2\r\n",
		"PROXY TCP6 [::1] [::1] 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
		"PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 1 2\r\n",
		"PROXY TCP6 10000::1 ::1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 99999 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 100000 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 00\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 0x1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1a 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
		"PROXY UNKNOWN\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1\r2\r\n",
	};
	char line[200];
	struct tako__proxy_header h;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(bad); i++) {
		print_message("          %s", bad[i]);
		assert_refused(bad[i], strlen(bad[i]));
	}
	/* A NUL hides nothing. */
	assert_int_equal(parse(&h, "PROXY TCP4 192.0.2.1\0 198.51.100.2 1 2\r\n", 41, 4096),
	                 TAKO_EPROTO);
	/* 107 bytes are the most there can be. */
	memset(line, 'x', sizeof line);
	memcpy(line, "PROXY UNKNOWN ", 14);
	line[105] = '\r';
	line[106] = '\n';
	assert_int_equal(parse(&h, line, 107, 4096), 107);
	line[105] = 'x';
	line[106] = '\r';
	line[107] = '\n';
	assert_int_equal(parse(&h, line, 106, 4096), 0);
	assert_int_equal(parse(&h, line, 107, 4096), TAKO_EPROTO);
	assert_int_equal(parse(&h, line, 108, 4096), TAKO_EPROTO);
}

/* ---- Version 2 ------------------------------------------------------------------------------------------- */

#define ADDR6                                                                                      \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"                                               \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01\x00\x02"

static void test_version2(void **state)
{
	const struct {
		tako_str bytes;
		const char *src;
		const char *dst;
		bool dgram;
		size_t tlvs;
	} good[] = {
		{BYTES(TCP4 "\0\x0c" ADDR4), "192.0.2.1:4660", "198.51.100.2:443", false, 0},
		{BYTES(V2 "\x21\x12\0\x0c" ADDR4), "192.0.2.1:4660", "198.51.100.2:443", true, 0},
		{BYTES(V2 "\x21\x21\0\x24" ADDR6), "[2001:db8::1]:1", "[::1]:2", false, 0},
		{BYTES(V2 "\x21\x22\0\x24" ADDR6), "[2001:db8::1]:1", "[::1]:2", true, 0},
		/* LOCAL: whatever family and length say is skipped. */
		{BYTES(V2 "\x20\x00\0\0"), NULL, NULL, false, 0},
		{BYTES(V2 "\x20\x11\0\x0c" ADDR4), NULL, NULL, false, 0},
		{BYTES(V2 "\x20\xff\0\x03"
	                  "abc"),
	         NULL, NULL, false, 0},
		/* UNSPEC: no address, but what else was said. */
		{BYTES(V2 "\x21\x00\0\0"), NULL, NULL, false, 0},
		{BYTES(V2 "\x21\x00\0\x03"
	                  "\x04\0\0"),
	         NULL, NULL, false, 3},
		/* TLVs behind the address, of types that nobody knows, too. */
		{BYTES(TCP4 "\0\x11" ADDR4 "\x01\0\x02h2"), "192.0.2.1:4660", "198.51.100.2:443",
	         false, 5},
		{BYTES(TCP4 "\0\x15" ADDR4 "\x04\0\x00\xf0\0\x03"
	                    "abc"),
	         "192.0.2.1:4660", "198.51.100.2:443", false, 9},
		/* With nothing but an SSL value that has nothing in it. */
		{BYTES(TCP4 "\0\x14" ADDR4 "\x20\0\x05\0\0\0\0\0"), "192.0.2.1:4660",
	         "198.51.100.2:443", false, 8},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(good); i++) {
		struct tako__proxy_header h;
		char with_rest[256];
		size_t n = good[i].bytes.n;

		print_message("          %zu\n", i);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(parse(&h, good[i].bytes.p, k, 4096), 0);
		memcpy(with_rest, good[i].bytes.p, n);
		memcpy(with_rest + n, "PRI * HTTP/2.0", 14);
		assert_int_equal(parse(&h, with_rest, n + 14, 4096), n);
		assert_int_equal(h.version, 2);
		assert_int_equal(h.local, !good[i].src);
		assert_int_equal(h.dgram, good[i].dgram);
		assert_int_equal(h.tlvs.n, good[i].tlvs);
		if (good[i].src) {
			assert_string_equal(text(&h.src), good[i].src);
			assert_string_equal(text(&h.dst), good[i].dst);
		}
	}
}

static void test_version2_malformed(void **state)
{
	const tako_str bad[] = {
		/* Section 2.2: the version is 2, the command LOCAL or PROXY … */
		BYTES(V2 "\x11\x11\0\x0c" ADDR4),
		BYTES(V2 "\x01\x11\0\x0c" ADDR4),
		BYTES(V2 "\x31\x11\0\x0c" ADDR4),
		BYTES(V2 "\xf1\x11\0\x0c" ADDR4),
		BYTES(V2 "\x22\x11\0\x0c" ADDR4),
		BYTES(V2 "\x2f\x11\0\x0c" ADDR4),
		BYTES(V2 "\x31"),
		/* … the family one of four, the protocol one of three … */
		BYTES(V2 "\x21\x41\0\x0c" ADDR4),
		BYTES(V2 "\x21\xf1\0\x0c" ADDR4),
		BYTES(V2 "\x21\x13\0\x0c" ADDR4),
		BYTES(V2 "\x21\x1f\0\x0c" ADDR4),
		/* … and the length at least the addresses'. */
		BYTES(TCP4 "\0\0"),
		BYTES(TCP4 "\0\x0b" ADDR4),
		BYTES(V2 "\x21\x21\0\x0c" ADDR4),
		BYTES(V2 "\x21\x21\0\x23" ADDR6),
		BYTES(V2 "\x21\x31\0\x0c" ADDR4),
		/* TLVs fill the rest exactly. */
		BYTES(TCP4 "\0\x0d" ADDR4 "\x04"),
		BYTES(TCP4 "\0\x0e" ADDR4 "\x04\0"),
		BYTES(TCP4 "\0\x0f" ADDR4 "\x04\0\x01"),
		BYTES(TCP4 "\0\x10" ADDR4 "\x04\0\x02"
	                   "a"),
		BYTES(TCP4 "\0\x10" ADDR4 "\x04\xff\xff"
	                   "a"),
		BYTES(TCP4 "\0\x10" ADDR4 "\x04\0\0\x04"),
		BYTES(V2 "\x21\x00\0\x02"
	                 "\x04\0"),
		/* Section 2.2.5: 128 bytes of unique id at most; 2.2.3: a checksum has four. */
		BYTES(TCP4 "\0\x0f" ADDR4 "\x03\0\0"),
		BYTES(TCP4 "\0\x12" ADDR4 "\x03\0\x03"
	                   "abc"),
		BYTES(TCP4 "\0\x14" ADDR4 "\x03\0\x05"
	                   "abcde"),
		BYTES(TCP4 "\0\x13" ADDR4 "\x03\0\x04"
	                   "\0\0\0\0"),
		/* Section 2.2.6: five bytes and TLVs, whole. */
		BYTES(TCP4 "\0\x0f" ADDR4 "\x20\0\0"),
		BYTES(TCP4 "\0\x13" ADDR4 "\x20\0\x04\0\0\0\0"),
		BYTES(TCP4 "\0\x15" ADDR4 "\x20\0\x06\0\0\0\0\0\x21"),
		BYTES(TCP4 "\0\x17" ADDR4 "\x20\0\x08\0\0\0\0\0\x21\0\x01"),
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(bad); i++) {
		print_message("          %zu\n", i);
		assert_refused(bad[i].p, bad[i].n);
	}
}

static void test_unique_id_bound(void **state)
{
	char bytes[16 + 12 + 3 + 129] = TCP4 "\0\x8f" ADDR4 "\x05\0\x80";
	struct tako__proxy_header h;

	(void)state;
	assert_int_equal(parse(&h, bytes, 16 + 12 + 3 + 128, 4096), 159);
	bytes[15] = (char)0x90;
	bytes[30] = (char)0x81;
	assert_int_equal(parse(&h, bytes, sizeof bytes, 4096), TAKO_EPROTO);
}

/* What is too long is told at once, not after that many bytes. */
static void test_length_bound(void **state)
{
	struct tako__proxy_header h;

	(void)state;
	assert_int_equal(parse(&h, TCP4 "\x0f\xf0", 16, 4096), 0);
	assert_int_equal(parse(&h, TCP4 "\x0f\xf1", 16, 4096), TAKO_ETOOBIG);
	assert_int_equal(parse(&h, TCP4 "\xff\xff", 16, 4096), TAKO_ETOOBIG);
	assert_int_equal(parse(&h, TCP4 "\xff\xff", 16, TAKO__PROXY_V2_MAX), 0);
	assert_int_equal(parse(&h, V2 "\x20\x00\xff\xff", 16, 4096), TAKO_ETOOBIG);
}

static void test_unix(void **state)
{
	char bytes[16 + 216] = V2 "\x21\x31\0\xd8";
	struct tako__proxy_header h;
	int n = (int)sizeof bytes;

	(void)state;
	memcpy(bytes + 16, "/run/client", 11);
	memcpy(bytes + 16 + 108, "\0abstract", 9);
	assert_int_equal(tako__proxy_parse(&h, bytes, sizeof bytes, 4096), n);
	assert_int_equal(h.src.any.sa_family, AF_UNIX);
	assert_true(tako_str_eq(h.src_path, TAKO_STR("/run/client")));
	assert_true(tako_str_eq(h.dst_path, BYTES("\0abstract")));
	/* All 108 bytes, without a NUL behind them; and a client without a name. */
	memset(bytes + 16, 'a', 108);
	memset(bytes + 16 + 108, 0, 108);
	assert_int_equal(tako__proxy_parse(&h, bytes, sizeof bytes, 4096), n);
	assert_int_equal(h.src_path.n, 108);
	assert_int_equal(h.dst_path.n, 0);
}

/* ---- Checksums -------------------------------------------------------------------------------------------- */

static void test_crc32c(void **state)
{
	char zeros[32] = {0};
	char ones[32];

	(void)state;
	/* RFC 3720 appendix B.4, and the sum that everybody gives of these digits. */
	memset(ones, 0xff, sizeof ones);
	assert_int_equal(tako__crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(tako__crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(tako__crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(tako__crc32c(tako__crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_checksum(void **state)
{
	char bytes[] = TCP4 "\0\x18" ADDR4 "\x01\0\x02h2\x03\0\x04\0\0\0\0";
	size_t n = sizeof bytes - 1;
	uint32_t crc = tako__crc32c(0, bytes, n);
	struct tako__proxy_header h;

	(void)state;
	for (int i = 0; i < 4; i++)
		bytes[n - 1 - (size_t)i] = (char)(crc >> 8 * i);
	assert_int_equal(parse(&h, bytes, n, 4096), n);
	/* Any bit of it, anywhere behind what says how it is to be read. */
	for (size_t i = 16; i < n; i++) {
		for (int bit = 0; bit < 8; bit++) {
			bytes[i] ^= (char)(1 << bit);
			/* The type of the checksum itself: then there is none. */
			if (i != n - 7)
				assert_int_equal(parse(&h, bytes, n, 4096), TAKO_EPROTO);
			bytes[i] ^= (char)(1 << bit);
		}
	}
}

/* ---- Neither ------------------------------------------------------------------------------------------------ */

static void test_others(void **state)
{
	static const char *const others[] = {
		"GET / HTTP/1.1\r\n",
		"PRI * HTTP/2.0\r\n",
		"\x16\x03\x01",
		"PROXY\r\n",
		"PROXX",
		"PROY",
		"proxy TCP4",
		"\r\n\r\nG",
		"\r\n\r\n\r",
		"\n",
		"POST",
	};
	struct tako__proxy_header h;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(others); i++)
		assert_int_equal(parse(&h, others[i], strlen(others[i]), 4096), TAKO_ENOENT);
	assert_int_equal(parse(&h, "\r\n\r\n\0\r\nQUIT\r", 12, 4096), TAKO_ENOENT);
	assert_int_equal(parse(&h, "", 0, 4096), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version1),
		cmocka_unit_test(test_version1_malformed),
		cmocka_unit_test(test_version2),
		cmocka_unit_test(test_version2_malformed),
		cmocka_unit_test(test_unique_id_bound),
		cmocka_unit_test(test_length_bound),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

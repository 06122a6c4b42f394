/* SPDX-License-Identifier: MIT
 *
 * Heads of frames: what RFC 6455 section 5.2 allows a client, each byte of it late, and ours.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/ws/ws_head.h"
#include <tako/base.h>

struct head_case {
	const char *bytes;
	size_t n;
	int result; /* length, or TAKO_EPROTO */
	unsigned first;
	uint64_t length;
};
#define HEAD(b, result, first, length)                                                             \
	{                                                                                          \
		b, sizeof(b) - 1, result, first, length                                            \
	}
#define KEY "\x01\x02\x03\x04"

static const struct head_case heads[] = {
	HEAD("\x81\x80" KEY, 6, 0x81, 0),
	HEAD("\x82\xfd" KEY, 6, 0x82, 125),
	HEAD("\x01\x85" KEY, 6, 0x01, 5),
	HEAD("\xc1\x85" KEY, 6, 0xc1, 5), /* reserved bits are for others to judge */
	HEAD("\x80\x85" KEY, 6, 0x80, 5),
	HEAD("\x88\x80" KEY, 6, 0x88, 0),
	HEAD("\x89\xfd" KEY, 6, 0x89, 125),
	HEAD("\x8a\x81" KEY, 6, 0x8a, 1),
	HEAD("\x82\xfe\x00\x7e" KEY, 8, 0x82, 126),
	HEAD("\x82\xfe\xff\xff" KEY, 8, 0x82, 65535),
	HEAD("\x82\xff\0\0\0\0\0\1\0\0" KEY, 14, 0x82, 65536),
	HEAD("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" KEY, 14, 0x82, INT64_MAX),
};

static const struct head_case refused[] = {
	HEAD("\x81\x00", TAKO_EPROTO, 0, 0), /* no mask: section 5.1 */
	HEAD("\x89\x00", TAKO_EPROTO, 0, 0),
	HEAD("\x83\x80" KEY, TAKO_EPROTO, 0, 0), /* opcodes without a meaning: section 5.2 */
	HEAD("\x87\x80" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x8b\x80" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x8f\x80" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x09\x80" KEY, TAKO_EPROTO, 0, 0), /* a control frame in fragments: section 5.5 */
	HEAD("\x08\x80" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x89\xfe\x00\x7e" KEY, TAKO_EPROTO, 0, 0), /* … or longer than 125 */
	HEAD("\x88\xff\0\0\0\0\0\1\0\0" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x82\xfe\x00\x7d" KEY, TAKO_EPROTO, 0, 0), /* lengths that take too many bytes */
	HEAD("\x82\xff\0\0\0\0\0\0\xff\xff" KEY, TAKO_EPROTO, 0, 0),
	HEAD("\x82\xff\x80\0\0\0\0\0\0\0" KEY, TAKO_EPROTO, 0, 0), /* the highest bit */
};

static void reads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		const struct head_case *c = &heads[i];
		struct tako__ws_head h = {0};

		/* Exactly as many bytes as there may be looked at. */
		for (size_t n = 0; n < c->n; n++) {
			char *part = test_malloc(n ? n : 1);

			memcpy(part, c->bytes, n);
			assert_int_equal(tako__ws_head_read(&h, part, n), 0);
			test_free(part);
		}
		assert_int_equal(tako__ws_head_read(&h, c->bytes, c->n), c->result);
		assert_int_equal(h.first, c->first);
		assert_int_equal(h.length, c->length);
		assert_memory_equal(&h.key, KEY, 4);
	}
}

static void refuses(void **state)
{
	struct tako__ws_head h;

	(void)state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(tako__ws_head_read(&h, refused[i].bytes, refused[i].n),
		                 TAKO_EPROTO);
}

static void writes(void **state)
{
	static const struct {
		uint64_t n;
		const char *bytes;
		size_t bytes_n;
	} cases[] = {
		{0, "\x81\x00", 2},
		{125, "\x81\x7d", 2},
		{126, "\x81\x7e\x00\x7e", 4},
		{65535, "\x81\x7e\xff\xff", 4},
		{65536, "\x81\x7f\0\0\0\0\0\1\0\0", 10},
		{UINT64_C(0x0102030405060708), "\x81\x7f\1\2\3\4\5\6\7\x8", 10},
	};
	char to[TAKO__WS_OUR_HEAD_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(tako__ws_head_write(to, TAKO__WS_FIN | TAKO__WS_TEXT, cases[i].n),
		                 cases[i].bytes_n);
		assert_memory_equal(to, cases[i].bytes, cases[i].bytes_n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads),
		cmocka_unit_test(refuses),
		cmocka_unit_test(writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

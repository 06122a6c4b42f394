/* SPDX-License-Identifier: MIT
 *
 * Capsules (RFC 9297 section 3.2, draft-ietf-webtrans-http3 section 6): whole, cut anywhere, malformed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/wt/wt_capsule.h"

#define CLOSE "\x68\x43"
#define DRAIN "\x80\x00\x78\xae"

static const struct row {
	const char *name;
	const char *text;
	size_t n;
	int event; /* what it comes to, all of it looked at; then: */
	uint32_t code;
	const char *reason; /* or the datagram */
} rows[] = {
#define ROW(name, text, ...)                                                                       \
	{                                                                                          \
		name, text, sizeof(text) - 1, __VA_ARGS__                                          \
	}
	ROW("nothing", "", TAKO__WT_MORE, 0, ""),
	ROW("close",
            CLOSE "\x07\x00\x01\x02\x03"
                  "bye",
            TAKO__WT_CLOSED, 0x10203, "bye"),
	ROW("close without a reason", CLOSE "\x04\xff\xff\xff\xff", TAKO__WT_CLOSED, UINT32_MAX,
            ""),
	ROW("drain", DRAIN "\0", TAKO__WT_DRAINS, 0, ""),
	ROW("9297 3.2: unknown ones are passed over",
            "\x17\x03"
            "abc"
            "\x21\0" CLOSE "\x04\0\0\0\x01",
            TAKO__WT_CLOSED, 1, ""),
	ROW("… of any length",
            "\x17\xc0\xff\xff\xff\xff\xff\xff\xff"
            "abc",
            TAKO__WT_MORE, 0, ""),
	ROW("a length in more bytes than it takes", CLOSE "\x40\x04\0\0\0\x02", TAKO__WT_CLOSED, 2,
            ""),
	ROW("9297 3.5: a datagram", "\0\x02hi", TAKO__WT_ARRIVED, 0, "hi"),
	ROW("… an empty one", "\0\0", TAKO__WT_ARRIVED, 0, ""),
	ROW("… of gigabytes, which is not kept",
            "\0\xc0\0\0\0\xff\xff\xff\xff"
            "abc",
            TAKO__WT_MORE, 0, ""),
	ROW("6: a code of 32 bits", CLOSE "\x03\0\0\0", TAKO_EPROTO, 0, ""),
	ROW("6: no code at all", CLOSE "\0", TAKO_EPROTO, 0, ""),
	ROW("6: a reason of 1,024 bytes", CLOSE "\x44\x05", TAKO_EPROTO, 0, ""),
	ROW("6: … of gigabytes", CLOSE "\xc0\0\0\0\xff\xff\xff\xff", TAKO_EPROTO, 0, ""),
	ROW("6: a reason is UTF-8", CLOSE "\x05\0\0\0\0\xff", TAKO_EPROTO, 0, ""),
	ROW("6: … to its end", CLOSE "\x05\0\0\0\0\xc3", TAKO_EPROTO, 0, ""),
	ROW("4.6: DRAIN says nothing", DRAIN "\x01x", TAKO_EPROTO, 0, ""),
#undef ROW
};

/* In pieces of so many bytes. */
static int read_all(struct tako__wt_capsules *r, const struct row *row, size_t step,
                    size_t *ret_used)
{
	const char *end = row->text + row->n;
	const char *p = row->text;
	int rc = TAKO__WT_MORE;

	while (rc == TAKO__WT_MORE && p < end) {
		const char *to = (size_t)(end - p) < step ? end : p + step;

		rc = tako__wt_capsules_read(r, &p, to);
		if (rc == TAKO__WT_MORE)
			assert_true(p == to);
	}
	*ret_used = (size_t)(p - row->text);
	return rc;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (size_t step = 1; step <= rows[i].n + 1; step++) {
			struct tako__wt_capsules r = {0};
			size_t used;
			int rc = read_all(&r, &rows[i], step, &used);

			if (rc != rows[i].event)
				fail_msg("%s, %zu at a time: %d", rows[i].name, step, rc);
			if (rc >= 0)
				assert_int_equal(used, rows[i].n);
			if (rc == TAKO__WT_ARRIVED) {
				assert_int_equal(r.datagram.n, strlen(rows[i].reason));
				assert_memory_equal(r.datagram.p, rows[i].reason, r.datagram.n);
			}
			if (rc != TAKO__WT_CLOSED)
				continue;
			assert_int_equal(r.code, rows[i].code);
			assert_int_equal(r.reason.n, strlen(rows[i].reason));
			assert_memory_equal(r.reason.p, rows[i].reason, r.reason.n);
		}
	}
}

/* RFC 9297 section 3.5: what is too long to be of use is thrown away, and what follows it is heard. */
static void test_the_longest_datagram(void **state)
{
	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		unsigned n = TAKO__WT_KEPT_BYTES + more;
		char text[3 + TAKO__WT_KEPT_BYTES + 1 + 2] = {0, (char)(0x40 | n >> 8), (char)n};
		const char *p = text;
		struct tako__wt_capsules r = {0};

		memset(text + 3, 'd', n);
		assert_int_equal(tako__wt_capsules_read(&r, &p, text + 3 + n + 2),
		                 TAKO__WT_ARRIVED);
		assert_int_equal(p - text, more ? 3 + n + 2 : 3 + n);
		assert_int_equal(r.datagram.n, more ? 0 : n);
	}
}

static void test_an_end(void **state)
{
	static const char text[] = CLOSE "\x04\0\0";
	const char *p = text;
	struct tako__wt_capsules r = {0};

	(void)state;
	assert_true(tako__wt_capsules_done(&r));
	for (size_t n = 1; n < sizeof text; n++) {
		assert_int_equal(tako__wt_capsules_read(&r, &p, text + n), TAKO__WT_MORE);
		assert_false(tako__wt_capsules_done(&r));
	}
}

static void test_written(void **state)
{
	char text[TAKO__WT_CAPSULE_HEAD_BYTES + TAKO__WT_CLOSE_BYTES];
	char reason[TAKO_WT_REASON_BYTES];
	struct tako__wt_capsules r = {0};
	const char *p = text;
	size_t n;

	(void)state;
	memset(reason, 'r', sizeof reason);
	n = tako__wt_capsule_close(text, 0xdeadbeef, (tako_str){reason, sizeof reason});
	assert_int_equal(n, 4 + 4 + sizeof reason);
	assert_int_equal(tako__wt_capsules_read(&r, &p, text + n), TAKO__WT_CLOSED);
	assert_true(p == text + n && r.code == 0xdeadbeef && r.reason.n == sizeof reason);
	assert_memory_equal(r.reason.p, reason, sizeof reason);
	n = tako__wt_capsule_drain(text);
	assert_int_equal(n, 5);
	assert_memory_equal(text, DRAIN "\0", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_the_longest_datagram),
		cmocka_unit_test(test_an_end),
		cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

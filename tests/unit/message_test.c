/* SPDX-License-Identifier: MIT
 *
 * What may be published, and the bytes a message becomes for other processes: every message comes back
 * from them, nothing else does.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/message.h"
#include "sim/sim_rand.h"

#define S(lit)                                                                                     \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}
#define NONE                                                                                       \
	{                                                                                          \
		NULL, 0                                                                            \
	}

static const struct {
	tako_str data, event, id;
	uint32_t kind;
	int rc;
	const char *why;
} table[] = {
	{S("x"), NONE, NONE, 0, 0, NULL},
	{S(""), S(""), S(""), 0, 0, NULL},
	{NONE, S("type"), S("7"), 0, TAKO_EINVAL, "message: no data"},
	{S("a\r\nb\0c"), S("type"), S("7"), 0, 0, NULL},
	{S("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x99 and more of it"), NONE, NONE, 0, 0, NULL},
	{S("\xff\xfe"), NONE, NONE, TAKO_TOPIC_BINARY, 0, NULL},
	{S("\xff"), NONE, NONE, 0, TAKO_EINVAL, "message: text that is no UTF-8"},
	{S("12345678\xc3"), NONE, NONE, 0, TAKO_EINVAL, "message: text that is no UTF-8"},
	{S("1234567\xc0\x80"), NONE, NONE, 0, TAKO_EINVAL, "message: text that is no UTF-8"},
	{S("\xed\xa0\x80"), NONE, NONE, 0, TAKO_EINVAL, "message: text that is no UTF-8"},
	{S("x"), S("a\nb"), NONE, 0, TAKO_EINVAL, "message: CR, LF or NUL in its event"},
	{S("x"), S("a\r"), NONE, 0, TAKO_EINVAL, "message: CR, LF or NUL in its event"},
	{S("x"), NONE, S("\0"), 0, TAKO_EINVAL, "message: CR, LF or NUL in its id"},
	{S("x"), NONE, S("1\n"), TAKO_TOPIC_BINARY, TAKO_EINVAL,
         "message: CR, LF or NUL in its id"},
	{S("x"), NONE, NONE, 2, TAKO_EINVAL, "message: 2 is no kind"},
	{S("0123456789abcdef!"), NONE, NONE, 0, TAKO_ETOOBIG,
         "message: 17 bytes, over max_message_bytes"},
};

static void the_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint64_t max = table[i].rc == TAKO_ETOOBIG ? 16 : 100;
		tako_message in = {.size = sizeof in,
		                   .data = table[i].data,
		                   .event = table[i].event,
		                   .id = table[i].id,
		                   .kind = table[i].kind};
		tako_message m;

		assert_int_equal(tako__message_import(&m, &in, max), table[i].rc);
		if (table[i].why)
			assert_string_equal(tako_last_error(), table[i].why);
	}
}

static void equal(tako_str a, tako_str b)
{
	assert_int_equal(a.p != NULL, b.p != NULL);
	assert_int_equal(a.n, b.n);
	if (a.n)
		assert_memory_equal(a.p, b.p, a.n);
}

static tako_str some(struct sim_rand *rand, char *buf, size_t max)
{
	size_t n = (size_t)sim_rand_below(rand, max);

	if (sim_rand_chance(rand, 200))
		return (tako_str){NULL, 0};
	for (size_t i = 0; i < n; i++)
		buf[i] = (char)sim_rand_below(rand, 256);
	return (tako_str){buf, n};
}

static void packed_and_back(void **state)
{
	struct sim_rand rand;

	(void)state;
	sim_rand_init(&rand, 2);
	for (unsigned i = 0; i < 5000; i++) {
		char data[100], event[20], id[20], packed[200];
		tako_message m = {.size = sizeof m, .kind = (uint32_t)sim_rand_below(&rand, 2)};
		tako_message back;
		struct tako__message *copy;
		size_t n;

		m.data = some(&rand, data, sizeof data);
		m.event = some(&rand, event, sizeof event);
		m.id = some(&rand, id, sizeof id);
		n = tako__message_packed_bytes(&m);
		assert_in_range(n, 1, sizeof packed);
		tako__message_pack(packed, &m);
		assert_int_equal(tako__message_unpack(&back, (tako_str){packed, n}), 0);
		copy = tako__message_new(&back);
		memset(packed, 0, sizeof packed);
		assert_non_null(copy);
		assert_int_equal(copy->kind, m.kind);
		equal(copy->data, m.data);
		equal(copy->event, m.event);
		equal(copy->id, m.id);
		tako__message_unref(copy);
	}
}

/* Cut anywhere, or with any byte of its head changed, it is refused or another message: never more
 * than its bytes. */
static void whatever_the_bytes(void **state)
{
	tako_message m = {.size = sizeof m, .event = S("ev"), .id = S("id"), .data = S("data")};
	size_t n = tako__message_packed_bytes(&m);
	char *packed = malloc(n);
	tako_message back;

	(void)state;
	tako__message_pack(packed, &m);
	for (size_t cut = 0; cut < 15; cut++) {
		char *part = malloc(cut + 1);

		memcpy(part, packed, cut);
		assert_int_equal(tako__message_unpack(&back, (tako_str){part, cut}), TAKO_EPROTO);
		free(part);
	}
	for (size_t at = 0; at < 11; at++) {
		for (unsigned v = 0; v < 256; v++) {
			char was = packed[at];

			packed[at] = (char)v;
			if (tako__message_unpack(&back, (tako_str){packed, n}) == 0)
				assert_int_equal(11 + back.data.n + back.event.n + back.id.n, n);
			packed[at] = was;
		}
	}
	free(packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table),
		cmocka_unit_test(packed_and_back),
		cmocka_unit_test(whatever_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

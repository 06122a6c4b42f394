/* SPDX-License-Identifier: MIT
 *
 * Length-prefixed messages: cut anywhere, as many as there are, never more memory than has come, and a
 * limit that is looked at before anything is kept.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/grpc/grpc_frame.h"
#include "unit/failalloc.h"

static size_t put(char *to, unsigned flags, const char *msg, size_t n)
{
	tako__grpc_head(to, flags, (uint32_t)n);
	if (n)
		memcpy(to + TAKO__GRPC_HEAD_BYTES, msg, n);
	return TAKO__GRPC_HEAD_BYTES + n;
}

/* What the messages of a batch are, in order. */
static const struct {
	unsigned flags;
	const char *text;
} batch[] = {{0, "one"}, {1, ""}, {0, ""}, {1, "a longer one"}, {0, "x"}};

enum { BATCH = sizeof batch / sizeof batch[0] };

static size_t put_batch(char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < BATCH; i++)
		n += put(to + n, batch[i].flags, batch[i].text, strlen(batch[i].text));
	return n;
}

static void feed(struct tako__grpc_reader *r, size_t *at, const char *p, size_t n)
{
	tako_str in = {p, n};

	while (in.n) {
		tako_str msg;
		int rc = tako__grpc_read(r, &in, 100, &msg);

		assert_true(rc >= 0);
		if (!rc)
			continue;
		assert_true(*at < BATCH);
		assert_int_equal(r->flags, batch[*at].flags);
		assert_int_equal(msg.n, strlen(batch[*at].text));
		assert_memory_equal(msg.p, batch[*at].text, msg.n);
		++*at;
	}
}

static void cut_anywhere(void **state)
{
	char text[128];
	size_t n = put_batch(text);

	(void)state;
	for (size_t a = 0; a <= n; a++) {
		for (size_t b = a; b <= n; b++) {
			struct tako__grpc_reader r = {.n = 0};
			size_t at = 0;

			feed(&r, &at, text, a);
			feed(&r, &at, text + a, b - a);
			feed(&r, &at, text + b, n - b);
			assert_int_equal(at, BATCH);
			assert_true(tako__grpc_reader_idle(&r));
			tako__grpc_reader_fini(&r);
		}
	}
	assert_int_equal(failalloc_live(), 0);
}

static void byte_by_byte(void **state)
{
	struct tako__grpc_reader r = {.n = 0};
	char text[128];
	size_t n = put_batch(text);
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < n; i++)
		feed(&r, &at, text + i, 1);
	assert_int_equal(at, BATCH);
	tako__grpc_reader_fini(&r);
}

/* A message that is whole is where it came from. */
static void whole_ones_are_views(void **state)
{
	struct tako__grpc_reader r = {.n = 0};
	char text[64];
	tako_str in = {text, put(text, 0, "message", 7)};
	tako_str msg;

	(void)state;
	assert_int_equal(tako__grpc_read(&r, &in, 7, &msg), 1);
	assert_ptr_equal(msg.p, text + TAKO__GRPC_HEAD_BYTES);
	assert_int_equal(in.n, 0);
	assert_int_equal(failalloc_live(), 0);
}

static void over_the_limit(void **state)
{
	static const char head[] = {0, 0, 0, 0, 8};
	struct tako__grpc_reader r = {.n = 0};
	tako_str in = {head, sizeof head};
	tako_str msg;

	(void)state;
	/* Known from the prefix, with nothing of the message there. */
	assert_int_equal(tako__grpc_read(&r, &in, 7, &msg), TAKO_ETOOBIG);
	assert_int_equal(failalloc_live(), 0);
	r = (struct tako__grpc_reader){.n = 0};
	in = (tako_str){head, sizeof head};
	assert_int_equal(tako__grpc_read(&r, &in, 8, &msg), 0);
	assert_false(tako__grpc_reader_idle(&r));
	assert_int_equal(failalloc_live(), 0);
}

/* 4 GiB are promised, and nothing else is done about it. */
static void promises(void **state)
{
	static const char head[] = {0, -1, -1, -1, -1, 'a', 'b'};
	struct tako__grpc_reader r = {.n = 0};
	tako_str in = {head, sizeof head};
	char kib[1024] = {0};
	tako_str msg;

	(void)state;
	assert_int_equal(tako__grpc_read(&r, &in, TAKO_OFF64, &msg), 0);
	assert_true(r.cap <= 4096);
	for (size_t sent = 2; sent < 100 * sizeof kib; sent += sizeof kib) {
		in = (tako_str){kib, sizeof kib};
		assert_int_equal(tako__grpc_read(&r, &in, TAKO_OFF64, &msg), 0);
		assert_true(r.cap <= 2 * (sent + sizeof kib) || r.cap == 4096);
	}
	tako__grpc_reader_fini(&r);
}

static void wrong_flags(void **state)
{
	(void)state;
	for (int flags = 2; flags < 256; flags++) {
		const char head[] = {(char)flags, 0, 0, 0, 0};
		struct tako__grpc_reader r = {.n = 0};
		tako_str in = {head, sizeof head};
		tako_str msg;

		assert_int_equal(tako__grpc_read(&r, &in, 100, &msg), TAKO_EPROTO);
	}
}

/* Room for a large one is given back before the next is read. */
static void large_room_goes(void **state)
{
	static char text[200000 + 5];
	struct tako__grpc_reader r = {.n = 0};
	tako_str in = {text, put(text, 0, text + 5, 200000) - 1};
	tako_str msg;

	(void)state;
	assert_int_equal(tako__grpc_read(&r, &in, TAKO_OFF64, &msg), 0);
	in = (tako_str){text + 200004, 1};
	assert_int_equal(tako__grpc_read(&r, &in, TAKO_OFF64, &msg), 1);
	assert_int_equal(msg.n, 200000);
	assert_true(r.cap >= 200000);
	in = (tako_str){"\0", 1};
	assert_int_equal(tako__grpc_read(&r, &in, TAKO_OFF64, &msg), 0);
	assert_int_equal(r.cap, 0);
	assert_int_equal(failalloc_live(), 0);
}

static void without_memory(void **state)
{
	static const char part[] = {0, 0, 0, 0, 8, 'a'};
	struct tako__grpc_reader r = {.n = 0};
	tako_str in = {part, sizeof part};
	tako_str msg;

	(void)state;
	failalloc_arm(1);
	assert_int_equal(tako__grpc_read(&r, &in, 100, &msg), TAKO_ENOMEM);
	assert_true(failalloc_disarm());
	tako__grpc_reader_fini(&r);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(whole_ones_are_views),
		cmocka_unit_test(over_the_limit),
		cmocka_unit_test(promises),
		cmocka_unit_test(wrong_flags),
		cmocka_unit_test(large_room_goes),
		cmocka_unit_test(without_memory),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * permessage-deflate's payloads: the RFC's examples, messages there and back with every agreement and
 * in pieces of every size, bombs, garbage, and failures.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <tako/base.h>
#include "transports/ws/ws_deflate.h"
#include "unit/failalloc.h"

static struct tako__ws_zpool pool;

/* A sink that grants `each` bytes at a time and remembers how many it was ever asked to have. */
struct basket {
	char bytes[200000];
	size_t n;
	size_t each;
	size_t granted;
	bool full; /* of nothing: room() fails */
};

static char *room(void *arg, size_t *ret_bytes)
{
	struct basket *b = arg;

	if (b->full)
		return NULL;
	*ret_bytes = b->each;
	assert_true(b->n + b->each <= sizeof(b->bytes));
	memset(b->bytes + b->n, 0xee, b->each);
	if (b->n + b->each > b->granted)
		b->granted = b->n + b->each;
	return b->bytes + b->n;
}

static void wrote(void *arg, size_t bytes)
{
	struct basket *b = arg;

	assert_true(bytes <= b->each);
	b->n += bytes;
}

static struct basket out_basket;
static struct basket in_basket;
static const struct tako__ws_sink to_out = {room, wrote, &out_basket};
static const struct tako__ws_sink to_in = {room, wrote, &in_basket};

static struct tako__ws_deflate_params usual(void)
{
	return (struct tako__ws_deflate_params){
		.server_bits = 15, .client_bits = 15, .mem_level = 8, .level = 6};
}

static int set_up(void **state)
{
	(void)state;
	memset(&out_basket, 0, sizeof(out_basket));
	memset(&in_basket, 0, sizeof(in_basket));
	out_basket.each = in_basket.each = 4096;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__ws_zpool_fini(&pool);
	return failalloc_live() || failalloc_wrong();
}

static int pack(struct tako__ws_deflate *d, const void *p, size_t n)
{
	out_basket.n = 0;
	return tako__ws_deflate(d, p, n, &to_out);
}

/* In pieces of so many bytes; each is a block of its own, for the sanitizers. */
static int unpack(struct tako__ws_deflate *d, const void *p, size_t n, size_t piece, uint64_t max)
{
	size_t at = 0;
	int rc;

	in_basket.n = in_basket.granted = 0;
	do {
		size_t some = n - at < piece ? n - at : piece;
		char *copy = malloc(some ? some : 1);

		assert_non_null(copy);
		memcpy(copy, (const char *)p + at, some);
		at += some;
		rc = tako__ws_inflate(d, copy, some, at == n, max, &to_in);
		free(copy);
	} while (rc == 0 && at < n);
	return rc;
}

/* ---- The examples of RFC 7692 section 7.2.3 -------------------------------------------- */

#define BYTES(s)                                                                                   \
	{                                                                                          \
		s, sizeof(s) - 1                                                                   \
	}
static const struct example {
	tako_str wire;
	const char *text;
} examples[] = {
	{BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"},                 /* 7.2.3.1 */
	{BYTES("\xf2\x00\x11\x00\x00"), "Hello"},                         /* 7.2.3.2 */
	{BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"}, /* 7.2.3.3 */
	{BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello"},             /* 7.2.3.4 */
	{BYTES("\xf2\x00\x11\x00\x00"), "Hello"}, /* also after a block that was the last */
	{BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), "Hello"}, /* 7.2.3.5 */
	{BYTES("\x00"), ""},                                                      /* 7.2.3.6 */
};

static void test_examples_in(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 14; piece++) {
		struct tako__ws_deflate_params params = usual();
		struct tako__ws_deflate d;

		tako__ws_deflate_init(&d, &pool, &params);
		for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
			assert_int_equal(
				unpack(&d, examples[i].wire.p, examples[i].wire.n, piece, 100), 0);
			assert_int_equal(in_basket.n, strlen(examples[i].text));
			assert_memory_equal(in_basket.bytes, examples[i].text, in_basket.n);
		}
		tako__ws_deflate_fini(&d);
	}
}

static void test_examples_out(void **state)
{
	/* What zlib makes of a second "Hello" is shorter than the RFC's. */
	static const size_t which[] = {6, 0, 6, 6};
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d;

	(void)state;
	tako__ws_deflate_init(&d, &pool, &params);
	for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
		const struct example *e = &examples[which[i]];

		assert_int_equal(pack(&d, e->text, strlen(e->text)), 0);
		assert_int_equal(out_basket.n, e->wire.n);
		assert_memory_equal(out_basket.bytes, e->wire.p, e->wire.n);
	}
	tako__ws_deflate_fini(&d);
}

/* ---- There and back --------------------------------------------------------------------- */

static char text[70000];

/* Words of few kinds, bytes that do not compress, and long runs. */
static void make_text(uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < sizeof(text); i++) {
		x = x * 1664525 + 1013904223;
		text[i] = i % 9000 < 3000   ? "tako "[x >> 30]
		          : i % 9000 < 6000 ? (char)(x >> 24)
		                            : 'r';
	}
}

static void there_and_back(const struct tako__ws_deflate_params *params, size_t each, size_t piece)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 125, 126, 4000, 0, 0, 5, 65535, 65536, 1};
	struct tako__ws_deflate ours;
	struct tako__ws_deflate theirs;

	out_basket.each = in_basket.each = each;
	tako__ws_deflate_init(&ours, &pool, params);
	tako__ws_deflate_init(&theirs, &pool, params);
	/* The peer inflates what we compress: with the window we said. */
	theirs.params.client_bits = params->server_bits;
	theirs.params.client_no_context = params->server_no_context;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(pack(&ours, text + i, sizes[i]), 0);
		assert_true(out_basket.n >= 1);
		assert_int_equal(unpack(&theirs, out_basket.bytes, out_basket.n, piece, 65536), 0);
		assert_int_equal(in_basket.n, sizes[i]);
		assert_memory_equal(in_basket.bytes, text + i, sizes[i]);
		assert_int_equal(!ours.out, params->server_no_context || !i);
		assert_int_equal(!theirs.in, params->server_no_context);
	}
	tako__ws_deflate_fini(&ours);
	tako__ws_deflate_fini(&theirs);
}

static void test_every_agreement(void **state)
{
	(void)state;
	make_text(1);
	for (unsigned bits = 9; bits <= 15; bits++) {
		for (unsigned level = 1; level <= 9; level += 4) {
			for (int no_context = 0; no_context < 2; no_context++) {
				struct tako__ws_deflate_params p = {
					.server_bits = (uint8_t)bits,
					.client_bits = 15,
					.mem_level = (uint8_t)(bits - 7),
					.level = (uint8_t)level,
					.server_no_context = no_context,
				};

				there_and_back(&p, 4096, 1000);
			}
		}
	}
}

/* Every room and every piece, so that each border falls everywhere. */
static void test_every_cut(void **state)
{
	struct tako__ws_deflate_params p = usual();

	(void)state;
	make_text(2);
	for (size_t each = TAKO__WS_SINK_BYTES; each < 50; each++)
		there_and_back(&p, each, 100000);
	for (size_t piece = 1; piece < 40; piece += 3)
		there_and_back(&p, 1000, piece);
}

/* ---- Limits ------------------------------------------------------------------------------- */

static void test_limit(void **state)
{
	static const size_t sizes[] = {1, 2, 100, 4095, 4096, 4097, 60000};
	struct tako__ws_deflate_params params = usual();

	(void)state;
	memset(text, 'b', sizeof(text));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t piece = 1; piece < 5000; piece += 2400) {
			struct tako__ws_deflate d;

			tako__ws_deflate_init(&d, &pool, &params);
			assert_int_equal(pack(&d, text, sizes[i]), 0);
			assert_int_equal(
				unpack(&d, out_basket.bytes, out_basket.n, piece, sizes[i]), 0);
			assert_int_equal(in_basket.n, sizes[i]);
			assert_int_equal(pack(&d, text, sizes[i]), 0);
			assert_int_equal(
				unpack(&d, out_basket.bytes, out_basket.n, piece, sizes[i] - 1),
				TAKO_ETOOBIG);
			assert_int_equal(in_basket.n, sizes[i] - 1);
			tako__ws_deflate_fini(&d);
		}
	}
}

/* Too long, and wrong just behind that: refused for what comes first, whole or byte by byte. */
static void test_limit_before_nonsense(void **state)
{
	struct tako__ws_deflate_params params = usual();

	(void)state;
	memset(text, 'b', sizeof(text));
	for (size_t piece = 1; piece < 5000; piece += 4998) {
		struct tako__ws_deflate d;

		tako__ws_deflate_init(&d, &pool, &params);
		assert_int_equal(pack(&d, text, 60000), 0);
		/* A block of the reserved type. */
		out_basket.bytes[out_basket.n++] = 6;
		assert_int_equal(unpack(&d, out_basket.bytes, out_basket.n, piece, 59999),
		                 TAKO_ETOOBIG);
		tako__ws_deflate_fini(&d);
		tako__ws_deflate_init(&d, &pool, &params);
		assert_int_equal(unpack(&d, out_basket.bytes, out_basket.n, piece, 60000),
		                 TAKO_EPROTO);
		tako__ws_deflate_fini(&d);
	}
}

/* 60 MB out of 60 KB: it ends at the limit, and nobody was asked for room beyond it. */
static void test_bomb(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_z *z = tako__ws_z_deflater(&pool, 15, 8, 9);
	struct tako__ws_deflate d;
	static unsigned char bomb[100000];
	static unsigned char zeros[100000];
	size_t n;

	(void)state;
	z->z.next_out = bomb;
	z->z.avail_out = sizeof(bomb);
	for (int i = 0; i < 600; i++) {
		z->z.next_in = zeros;
		z->z.avail_in = sizeof(zeros);
		assert_int_equal(deflate(&z->z, i == 599 ? Z_SYNC_FLUSH : Z_NO_FLUSH), Z_OK);
	}
	n = sizeof(bomb) - z->z.avail_out - 4;
	assert_true(n < 70000);
	tako__ws_deflate_init(&d, &pool, &params);
	assert_int_equal(unpack(&d, bomb, n, n, 128 << 10), TAKO_ETOOBIG);
	assert_int_equal(in_basket.n, 128 << 10);
	assert_true(in_basket.granted <= 128 << 10);
	tako__ws_deflate_fini(&d);
	tako__ws_z_put_deflater(&pool, z);
}

/* ---- What is no message --------------------------------------------------------------------- */

static const struct wrong {
	const char *what;
	tako_str wire;
} wrongs[] = {
	{"nothing at all, which is not how nothing is said", BYTES("")},
	{"a reserved block type", BYTES("\x06")},
	{"a length that its complement does not fit", BYTES("\x00\x05\x00\xfa\xfe Hello")},
	{"a length beyond the end", BYTES("\x00\x50\x00\xaf\xffHello")},
	{"a distance before the beginning", BYTES("\xf2\x00\x11\x00\x00")},
	{"the beginning of a code", BYTES("\xf2\x48\xcd")},
	{"a last block without what follows it", BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00")},
	{"over-subscribed codes", BYTES("\x05\xe0\xff\xff\xff\xff\xff\xff")},
	{"no code for the end of the block",
         BYTES("\x04\xc0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b")},
	{"text", BYTES("Hello, this is not compressed at all")},
};

static void test_wrong(void **state)
{
	struct tako__ws_deflate_params params = usual();

	(void)state;
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		for (size_t piece = 1; piece < 60; piece += 29) {
			struct tako__ws_deflate d;
			int rc;

			tako__ws_deflate_init(&d, &pool, &params);
			rc = unpack(&d, wrongs[i].wire.p, wrongs[i].wire.n, piece, 1000);
			if (rc != TAKO_EPROTO)
				fail_msg("%s: %d", wrongs[i].what, rc);
			tako__ws_deflate_fini(&d);
		}
	}
}

/* A message that was cut anywhere is none. */
static void test_cut(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d;
	size_t n;

	(void)state;
	make_text(3);
	tako__ws_deflate_init(&d, &pool, &params);
	assert_int_equal(pack(&d, text, 500), 0);
	tako__ws_deflate_fini(&d);
	n = out_basket.n;
	for (size_t cut = 0; cut < n - 1; cut++) {
		tako__ws_deflate_init(&d, &pool, &params);
		assert_int_equal(unpack(&d, out_basket.bytes, cut, 1000, 1000), TAKO_EPROTO);
		tako__ws_deflate_fini(&d);
	}
}

/* Who agreed to keep no context cannot refer to it. */
static void test_no_context_is_none(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d;

	(void)state;
	params.client_no_context = true;
	tako__ws_deflate_init(&d, &pool, &params);
	assert_int_equal(unpack(&d, examples[0].wire.p, examples[0].wire.n, 10, 100), 0);
	assert_int_equal(unpack(&d, examples[1].wire.p, examples[1].wire.n, 10, 100), TAKO_EPROTO);
	tako__ws_deflate_fini(&d);
}

/* A window that is smaller than what the peer uses. */
static void test_window_is_kept_to(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d;

	(void)state;
	make_text(4);
	params.client_bits = 9;
	tako__ws_deflate_init(&d, &pool, &params);
	in_basket.each = 100;
	/* The second half is the first again, 600 bytes back. */
	memcpy(text + 3000, text + 3600, 600);
	memcpy(text + 3600, text + 3000, 600);
	assert_int_equal(pack(&d, text + 3000, 1200), 0);
	assert_int_equal(unpack(&d, out_basket.bytes, out_basket.n, 1000, 2000), TAKO_EPROTO);
	tako__ws_deflate_fini(&d);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static int both_ways(const struct tako__ws_deflate_params *params)
{
	struct tako__ws_deflate d;
	int rc;

	tako__ws_deflate_init(&d, &pool, params);
	rc = pack(&d, text, 3000);
	if (rc == 0)
		rc = unpack(&d, out_basket.bytes, out_basket.n, 100, 3000);
	tako__ws_deflate_fini(&d);
	tako__ws_zpool_fini(&pool);
	assert_int_equal(failalloc_live(), 0);
	return rc;
}

static void test_without_memory(void **state)
{
	struct tako__ws_deflate_params params = usual();

	(void)state;
	make_text(5);
	for (int no_context = 0; no_context < 2; no_context++) {
		size_t failed = 0;

		params.server_no_context = params.client_no_context = no_context;
		for (size_t n = 1;; n++) {
			int rc;

			failalloc_arm(n);
			rc = both_ways(&params);
			if (!failalloc_disarm()) {
				assert_int_equal(rc, 0);
				break;
			}
			assert_int_equal(rc, TAKO_ENOMEM);
			failed++;
		}
		assert_true(failed > 7);
	}
}

/* The sink's memory is like any other. */
static void test_without_room(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d;

	(void)state;
	tako__ws_deflate_init(&d, &pool, &params);
	assert_int_equal(pack(&d, "Hello", 5), 0);
	in_basket.full = true;
	assert_int_equal(unpack(&d, out_basket.bytes, out_basket.n, 100, 100), TAKO_ENOMEM);
	out_basket.full = true;
	assert_int_equal(pack(&d, "Hello", 5), TAKO_ENOMEM);
	assert_int_equal(pack(&d, "", 0), TAKO_ENOMEM);
	tako__ws_deflate_fini(&d);
}

/* An idle connection without context has none, and its streams serve the next. */
static void test_idle_costs_nothing(void **state)
{
	struct tako__ws_deflate_params params = usual();
	struct tako__ws_deflate d[20];
	size_t count;

	(void)state;
	params.server_no_context = params.client_no_context = true;
	for (size_t i = 0; i < 20; i++) {
		tako__ws_deflate_init(&d[i], &pool, &params);
		count = failalloc_count();
		assert_int_equal(pack(&d[i], "Hello", 5), 0);
		assert_int_equal(unpack(&d[i], out_basket.bytes, out_basket.n, 2, 5), 0);
		assert_true(!i || failalloc_count() == count);
		assert_null(d[i].in);
		assert_null(d[i].out);
	}
	for (size_t i = 0; i < 20; i++)
		tako__ws_deflate_fini(&d[i]);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_examples_in),
		WITH(test_examples_out),
		WITH(test_every_agreement),
		WITH(test_every_cut),
		WITH(test_limit),
		WITH(test_limit_before_nonsense),
		WITH(test_bomb),
		WITH(test_wrong),
		WITH(test_cut),
		WITH(test_no_context_is_none),
		WITH(test_window_is_kept_to),
		WITH(test_without_memory),
		WITH(test_without_room),
		WITH(test_idle_costs_nothing),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

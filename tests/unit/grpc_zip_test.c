/* SPDX-License-Identifier: MIT
 *
 * Compressed messages: there and back, by zlib's own hand on the other side; bombs, which are stopped at
 * the limit; what is cut off or has something behind it; and no memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tako/grpc.h>
#include <zlib.h>

#include "core/worker.h"
#include "transports/grpc/grpc_zip.h"
#include "unit/failalloc.h"

static struct tako__worker worker; /* of which only its locals are looked at */
static char plain[100000];
static char packed[200000];

static int set_up(void **state)
{
	(void)state;
	memset(&worker, 0, sizeof worker);
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (char)(i / 7 * 31);
	return 0;
}

static int tear_down(void **state)
{
	struct tako__worker_local *next;

	(void)state;
	for (struct tako__worker_local *l = worker.locals; l; l = next) {
		next = l->next;
		l->fini(l);
	}
	return failalloc_live() || failalloc_wrong();
}

static int bits_of(unsigned coding)
{
	return coding == TAKO_GRPC_GZIP ? 15 + 16 : 15;
}

/* As another implementation would. */
static size_t pack(unsigned coding, const char *p, size_t n)
{
	z_stream z = {.zalloc = NULL};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits_of(coding), 9, Z_DEFAULT_STRATEGY),
	                 Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)packed;
	z.avail_out = sizeof packed;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return sizeof packed - z.avail_out;
}

static size_t unpack(unsigned coding, tako_str in, char *to, size_t room)
{
	z_stream z = {.zalloc = NULL};

	assert_int_equal(inflateInit2(&z, bits_of(coding)), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)in.p;
	z.avail_in = (uInt)in.n;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)room;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	return room - z.avail_out;
}

static const unsigned codings[] = {TAKO_GRPC_GZIP, TAKO_GRPC_DEFLATE, TAKO_GRPC_GZIP};
static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};

static void in(void **state)
{
	(void)state;
	for (size_t c = 0; c < 3; c++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			size_t n = pack(codings[c], plain, sizes[i]);
			tako_str got;

			assert_int_equal(tako__grpc_inflate(&worker, codings[c],
			                                    (tako_str){packed, n}, sizes[i], &got),
			                 0);
			assert_int_equal(got.n, sizes[i]);
			assert_memory_equal(got.p, plain, got.n);
		}
	}
}

static void out(void **state)
{
	static char back[sizeof plain];

	(void)state;
	for (size_t c = 0; c < 3; c++) {
		for (size_t i = 3; i < sizeof sizes / sizeof sizes[0]; i++) {
			tako_str got;

			assert_int_equal(tako__grpc_deflate(&worker, codings[c],
			                                    (tako_str){plain, sizes[i]}, &got),
			                 0);
			assert_true(got.n > 0 && got.n < sizes[i]);
			assert_int_equal(unpack(codings[c], got, back, sizeof back), sizes[i]);
			assert_memory_equal(back, plain, sizes[i]);
		}
	}
}

/* What would not be shorter is left as it is. */
static void not_worth_it(void **state)
{
	tako_str got = {NULL, 9};

	(void)state;
	assert_int_equal(tako__grpc_deflate(&worker, TAKO_GRPC_GZIP, TAKO_STR("abcdefgh"), &got),
	                 0);
	assert_int_equal(got.n, 0);
	assert_int_equal(tako__grpc_deflate(&worker, TAKO_GRPC_GZIP, (tako_str){"", 0}, &got), 0);
	assert_int_equal(got.n, 0);
}

/* 64 MiB in 64 KiB, of which no more than twice the limit ever exists. */
static void bombs(void **state)
{
	static char zeros[64 << 20];
	size_t n;
	tako_str got;

	(void)state;
	for (size_t c = 0; c < 2; c++) {
		n = pack(codings[c], zeros, sizeof zeros);
		assert_true(n < 100000);
		assert_int_equal(tako__grpc_inflate(&worker, codings[c], (tako_str){packed, n},
		                                    1 << 20, &got),
		                 TAKO_ETOOBIG);
		assert_true(failalloc_.live_bytes < (3 << 20));
	}
	n = pack(TAKO_GRPC_GZIP, plain, 5000);
	assert_int_equal(
		tako__grpc_inflate(&worker, TAKO_GRPC_GZIP, (tako_str){packed, n}, 4999, &got),
		TAKO_ETOOBIG);
	assert_int_equal(
		tako__grpc_inflate(&worker, TAKO_GRPC_GZIP, (tako_str){packed, n}, 0, &got),
		TAKO_ETOOBIG);
}

static void broken(void **state)
{
	size_t n = pack(TAKO_GRPC_GZIP, plain, 1000);
	tako_str got;

	(void)state;
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(tako__grpc_inflate(&worker, TAKO_GRPC_GZIP,
		                                    (tako_str){packed, cut}, 2000, &got),
		                 TAKO_EPROTO);
	/* Another coding, something behind it, another check sum. */
	assert_int_equal(
		tako__grpc_inflate(&worker, TAKO_GRPC_DEFLATE, (tako_str){packed, n}, 2000, &got),
		TAKO_EPROTO);
	packed[n] = 0;
	assert_int_equal(
		tako__grpc_inflate(&worker, TAKO_GRPC_GZIP, (tako_str){packed, n + 1}, 2000, &got),
		TAKO_EPROTO);
	packed[n - 8] ^= 1;
	assert_int_equal(
		tako__grpc_inflate(&worker, TAKO_GRPC_GZIP, (tako_str){packed, n}, 2000, &got),
		TAKO_EPROTO);
}

static void without_memory(void **state)
{
	size_t n = pack(TAKO_GRPC_GZIP, plain, sizeof plain);
	tako_str got;
	size_t at = 0;
	int rc;

	(void)state;
	do {
		(void)tear_down(NULL);
		(void)set_up(NULL);
		failalloc_arm(++at);
		rc = tako__grpc_inflate(&worker, TAKO_GRPC_GZIP, (tako_str){packed, n}, 1 << 20,
		                        &got);
		if (rc == 0)
			rc = tako__grpc_deflate(&worker, TAKO_GRPC_GZIP, (tako_str){plain, 5000},
			                        &got);
		assert_true(rc == 0 || rc == TAKO_ENOMEM);
	} while (failalloc_disarm());
	assert_int_equal(rc, 0);
	assert_true(at > 5);
}

static void names(void **state)
{
	(void)state;
	assert_int_equal(tako__grpc_coding(TAKO_STR("identity")), TAKO__GRPC_IDENTITY);
	assert_int_equal(tako__grpc_coding(TAKO_STR("gzip")), TAKO_GRPC_GZIP);
	assert_int_equal(tako__grpc_coding(TAKO_STR("deflate")), TAKO_GRPC_DEFLATE);
	assert_int_equal(tako__grpc_coding(TAKO_STR("br")), TAKO__GRPC_UNKNOWN_CODING);
	assert_int_equal(tako__grpc_coding((tako_str){"", 0}), TAKO__GRPC_UNKNOWN_CODING);
	assert_string_equal(tako__grpc_coding_name(TAKO_GRPC_GZIP), "gzip");
	assert_string_equal(tako__grpc_coding_name(TAKO_GRPC_DEFLATE), "deflate");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_worth_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(bombs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(broken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory, set_up, tear_down),
		cmocka_unit_test(names),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

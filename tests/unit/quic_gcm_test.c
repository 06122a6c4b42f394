/* SPDX-License-Identifier: MIT
 *
 * AES-GCM by the machine's library against the TLS library's: of every length that a packet may have, at every
 * alignment, in its place and elsewhere.  Published answers to both are in quic_keys_test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/quic/quic_gcm.h"

#include <stdlib.h>
#include <string.h>

#include <tako/base.h>

#include "transports/tls/tls_lib.h"
#include <wolfssl/quic.h>

enum { ROUNDS = 4000, BYTES_MAX = 2000, HEAD_MAX = 40, ALIGNMENTS = 64 };

static uint64_t seed = 1;

static uint32_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void fill(uint8_t *to, size_t n)
{
	while (n--)
		*to++ = (uint8_t)any();
}

/* One message, by both. */
struct message {
	uint8_t key[32], nonce[TAKO__GCM_NONCE_BYTES], head[HEAD_MAX];
	uint8_t plain[BYTES_MAX], want[BYTES_MAX + TAKO__GCM_TAG_BYTES];
	size_t key_n, head_n, n;
};

static void make(struct message *m, size_t n)
{
	static const uint8_t iv[16];
	WOLFSSL_EVP_CIPHER_CTX *ctx;

	m->key_n = any() % 2 ? 16 : 32;
	m->head_n = any() % (HEAD_MAX + 1);
	m->n = n;
	fill(m->key, m->key_n);
	fill(m->nonce, sizeof m->nonce);
	fill(m->head, m->head_n);
	fill(m->plain, n);
	ctx = wolfSSL_quic_crypt_new(m->key_n == 16 ? wolfSSL_EVP_aes_128_gcm()
	                                            : wolfSSL_EVP_aes_256_gcm(),
	                             m->key, iv, 1);
	assert_non_null(ctx);
	assert_int_equal(
		wolfSSL_quic_aead_encrypt(m->want, ctx, m->plain, n, m->nonce, m->head, m->head_n),
		WOLFSSL_SUCCESS);
	wolfSSL_EVP_CIPHER_CTX_free(ctx);
}

static void seal(const struct tako__gcm *g, const struct message *m, bool in_place)
{
	uint8_t from[BYTES_MAX + ALIGNMENTS], to[BYTES_MAX + ALIGNMENTS + TAKO__GCM_TAG_BYTES + 1];
	uint8_t *at = to + any() % ALIGNMENTS, *p = in_place ? at : from + any() % ALIGNMENTS;

	memset(to, 0xee, sizeof to);
	memcpy(p, m->plain, m->n);
	tako__gcm_seal(g, at, p, m->n, m->nonce, m->head, m->head_n);
	assert_memory_equal(at, m->want, m->n + TAKO__GCM_TAG_BYTES);
	assert_int_equal(at[m->n + TAKO__GCM_TAG_BYTES], 0xee);
}

static void open_again(const struct tako__gcm *g, const struct message *m, bool in_place)
{
	uint8_t from[BYTES_MAX + ALIGNMENTS + TAKO__GCM_TAG_BYTES],
		to[BYTES_MAX + ALIGNMENTS + TAKO__GCM_TAG_BYTES];
	uint8_t *at = to + any() % ALIGNMENTS, *p = in_place ? at : from + any() % ALIGNMENTS;
	size_t n = m->n + TAKO__GCM_TAG_BYTES, touched = any() % n;
	uint8_t nothing[BYTES_MAX] = {0};

	memcpy(p, m->want, n);
	assert_true(tako__gcm_open(g, at, p, n, m->nonce, m->head, m->head_n));
	assert_memory_equal(at, m->plain, m->n);
	memcpy(p, m->want, n);
	p[touched] ^= (uint8_t)(1u << any() % 8);
	assert_false(tako__gcm_open(g, at, p, n, m->nonce, m->head, m->head_n));
	assert_memory_equal(at, nothing, m->n);
	memcpy(p, m->want, n);
	assert_false(tako__gcm_open(g, at, p, n - 1, m->nonce, m->head, m->head_n));
	assert_false(tako__gcm_open(g, at, p, any() % TAKO__GCM_TAG_BYTES, m->nonce, m->head,
	                            m->head_n));
}

static void test_both_say_the_same(void **state)
{
	static struct message m;

	(void)state;
	if (!tako__gcm_there())
		skip();
	for (size_t i = 0; i < ROUNDS; i++) {
		struct tako__gcm *g;

		make(&m, i <= BYTES_MAX ? i : any() % (BYTES_MAX + 1));
		g = tako__gcm_new(m.key, m.key_n);
		assert_non_null(g);
		assert_int_equal((uintptr_t)g % 64, 0);
		seal(g, &m, i % 2);
		open_again(g, &m, any() % 2);
		tako__gcm_free(g);
	}
}

/* ---- Keys ---------------------------------------------------------------------------------------- */

static uint8_t freed[2048];
static size_t freed_n;
static bool refuse;

static void *watch(void *p, size_t old_bytes, size_t bytes, void *arg)
{
	(void)arg;
	if (bytes)
		return refuse ? NULL : realloc(p, bytes);
	freed_n = old_bytes < sizeof freed ? old_bytes : sizeof freed;
	if (p)
		memcpy(freed, p, freed_n);
	free(p);
	return NULL;
}

static bool holds(const uint8_t *p, size_t n, const uint8_t *what, size_t what_n)
{
	return memmem(p, n, what, what_n) != NULL;
}

/* AES's first round key is the key. */
static void test_a_key_is_wiped(void **state)
{
	uint8_t key[16];
	struct tako__gcm *g;

	(void)state;
	if (!tako__gcm_there())
		skip();
	fill(key, sizeof key);
	g = tako__gcm_new(key, sizeof key);
	assert_non_null(g);
	assert_true(holds((uint8_t *)g, 512, key, sizeof key));
	assert_int_equal(tako__gcm_live(), 1);
	tako__gcm_free(g);
	assert_int_equal(tako__gcm_live(), 0);
	assert_true(freed_n > 512);
	assert_false(holds(freed, freed_n, key, sizeof key));
	refuse = true;
	assert_null(tako__gcm_new(key, sizeof key));
	refuse = false;
	tako__gcm_free(NULL);
}

static int set_up(void **state)
{
	(void)state;
	return tako__tls_lib_enter();
}

static int tear_down(void **state)
{
	(void)state;
	tako__tls_lib_leave();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_is_wiped),
		cmocka_unit_test_setup_teardown(test_both_say_the_same, set_up, tear_down),
	};

	if (tako_set_allocator(watch, NULL) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

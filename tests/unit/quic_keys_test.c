/* SPDX-License-Identifier: MIT
 *
 * The ciphers as packets use them, against answers that others have published: a build may have changed how it calls
 * its TLS library, but not what comes out.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/quic/quic.h"

#include <string.h>
#include <wolfssl/quic.h>

#include "transports/quic/quic_gcm.h"
#include "transports/quic/quic_keys.h"
#include "transports/tls/tls_lib.h"

static size_t unhex(uint8_t *to, const char *text)
{
	size_t n = strlen(text) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned byte = 0;

		for (int k = 0; k < 2; k++) {
			char c = text[2 * i + (size_t)k];

			byte = byte << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
		}
		to[i] = (uint8_t)byte;
	}
	return n;
}

/* As ngtcp2's helper has them. */
static void *key_for(const WOLFSSL_EVP_CIPHER *cipher, const uint8_t *key, bool seal)
{
	static const uint8_t iv[16];
	WOLFSSL_EVP_CIPHER_CTX *ctx = wolfSSL_quic_crypt_new(cipher, key, iv, seal);

	assert_non_null(ctx);
	return ctx;
}

struct sealed {
	const WOLFSSL_EVP_CIPHER *(*cipher)(void);
	const char *key, *nonce, *head, *plain, *sealed;
};

/* The GCM specification's test cases 4 and 16; RFC 9001 sections A.4 (a Retry's tag, over nothing) and A.5. */
static const struct sealed cases[] = {
	{wolfSSL_EVP_aes_128_gcm, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
         "feedfacedeadbeeffeedfacedeadbeefabaddad2",
         "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
         "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
         "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
         "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
         "5bc94fbc3221a5db94fae95ae7121a47"},
	{wolfSSL_EVP_aes_256_gcm,
         "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
         "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
         "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
         "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
         "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
         "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
         "76fc6ece0f4e1768cddf8853bb2d551b"},
	{wolfSSL_EVP_aes_128_gcm, "be0c690b9f66575a1d766b54e368c84e", "461599d35d632bf2239825bb",
         "088394c8f03e515708ff000000010008f067a5502a4262b5746f6b656e", "",
         "04a265ba2eff4d829058fb3f0f2496ba"},
	{wolfSSL_EVP_chacha20_poly1305,
         "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8",
         "e0459b3474bdd0e46d417eb0", "4200bff4", "01", "655e5cd55c41f69080575d7999c25a5bfb"},
};

static void key_of(ngtcp2_crypto_aead_ctx *ctx, const struct sealed *s, const uint8_t *key,
                   bool seal, bool fast)
{
	if (fast)
		assert_true(tako__quic_key_fast(ctx, key, strlen(s->key) / 2));
	else
		ctx->native_handle = key_for(s->cipher(), key, seal);
}

static void seal_and_open(const struct sealed *s, bool fast)
{
	uint8_t key[32], nonce[12], head[64], plain[64], want[80], got[80];
	ngtcp2_crypto_aead aead = {(void *)(uintptr_t)s->cipher(), 16};
	ngtcp2_crypto_aead_ctx ctx = {NULL};
	size_t head_n = unhex(head, s->head), plain_n = unhex(plain, s->plain);
	const ngtcp2_callbacks *cb = &tako__quic_callbacks;

	(void)unhex(key, s->key);
	(void)unhex(nonce, s->nonce);
	assert_int_equal(unhex(want, s->sealed), plain_n + aead.max_overhead);
	key_of(&ctx, s, key, true, fast);
	/* In its place, as packets are; and again, since a key is used for more than one. */
	for (int i = 0; i < 2; i++) {
		memcpy(got, plain, plain_n);
		assert_int_equal(cb->encrypt(got, &aead, &ctx, got, plain_n, nonce, sizeof nonce,
		                             head, head_n),
		                 0);
		assert_memory_equal(got, want, plain_n + aead.max_overhead);
	}
	cb->delete_crypto_aead_ctx(NULL, &ctx, NULL);
	key_of(&ctx, s, key, false, fast);
	for (int i = 0; i < 2; i++) {
		memset(got, 0, sizeof got);
		assert_int_equal(cb->decrypt(got, &aead, &ctx, want, plain_n + aead.max_overhead,
		                             nonce, sizeof nonce, head, head_n),
		                 0);
		assert_memory_equal(got, plain, plain_n);
		/* And nothing that was touched, in between. */
		for (size_t k = 0; k < plain_n + aead.max_overhead; k += 5) {
			want[k] ^= 1;
			assert_int_not_equal(cb->decrypt(got, &aead, &ctx, want,
			                                 plain_n + aead.max_overhead, nonce,
			                                 sizeof nonce, head, head_n),
			                     0);
			want[k] ^= 1;
		}
		head[0] ^= 1;
		assert_int_not_equal(cb->decrypt(got, &aead, &ctx, want,
		                                 plain_n + aead.max_overhead, nonce, sizeof nonce,
		                                 head, head_n),
		                     0);
		head[0] ^= 1;
	}
	/* Shorter than what proves it. */
	assert_int_not_equal(
		cb->decrypt(got, &aead, &ctx, want, 15, nonce, sizeof nonce, head, head_n), 0);
	cb->delete_crypto_aead_ctx(NULL, &ctx, NULL);
}

static void test_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		seal_and_open(&cases[i], false);
}

static void test_packets_fast(void **state)
{
	(void)state;
	if (!tako__gcm_there())
		skip();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (wolfSSL_quic_aead_is_gcm(cases[i].cipher()))
			seal_and_open(&cases[i], true);
	}
}

struct masked {
	const WOLFSSL_EVP_CIPHER *(*cipher)(void);
	const char *key, *sample, *mask;
};

/* RFC 9001 sections A.2, A.3 and A.5; FIPS 197 section C.3, whose block is a mask as well. */
static const struct masked heads[] = {
	{wolfSSL_EVP_aes_128_ctr, "9f50449e04a0e810283a1e9933adedd2",
         "d1b1c98dd7689fb8ec11d242b123dc9b", "437b9aec36"},
	{wolfSSL_EVP_aes_128_ctr, "c206b8d9b9f0f37644430b490eeaa314",
         "2cd0991cd25b0aac406a5816b6394100", "2ec0d8356a"},
	{wolfSSL_EVP_aes_256_ctr,
         "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
         "00112233445566778899aabbccddeeff", "8ea2b7ca51"},
	{wolfSSL_EVP_chacha20, "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
         "5e5cd55c41f69080575d7999c25a5bfb", "aefefe7d03"},
};

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		uint8_t key[32], sample[16], want[5], got[16];
		ngtcp2_crypto_cipher hp = {(void *)(uintptr_t)heads[i].cipher()};
		ngtcp2_crypto_cipher_ctx ctx = {NULL};

		(void)unhex(key, heads[i].key);
		(void)unhex(sample, heads[i].sample);
		(void)unhex(want, heads[i].mask);
		ctx.native_handle = key_for(heads[i].cipher(), key, true);
		for (int again = 0; again < 2; again++) {
			memset(got, 0xee, sizeof got);
			assert_int_equal(tako__quic_callbacks.hp_mask(got, &hp, &ctx, sample), 0);
			assert_memory_equal(got, want, sizeof want);
			/* No more than that was asked for. */
			assert_int_equal(got[5], 0xee);
		}
		wolfSSL_EVP_CIPHER_CTX_free(ctx.native_handle);
	}
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
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_packets_fast),
		cmocka_unit_test(test_heads),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

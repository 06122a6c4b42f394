/* SPDX-License-Identifier: MIT
 *
 * See quic_keys.h.
 */
#include "transports/quic/quic_keys.h"

#include <string.h>

#include "transports/quic/quic_gcm.h"
#include "transports/tls/tls_lib.h"
#include <wolfssl/quic.h>

enum {
	KEY_MAX = 32,
	LABEL_MAX = 16,
	FAST = 1, /* a bit of the handle, which else is an address */
};

/* ---- Handles --------------------------------------------------------------------------------------- */

static bool is_fast(const ngtcp2_crypto_aead_ctx *ctx)
{
	return (uintptr_t)ctx->native_handle & FAST;
}

static struct tako__gcm *fast_of(const ngtcp2_crypto_aead_ctx *ctx)
{
	return (void *)((char *)ctx->native_handle - FAST);
}

bool tako__quic_key_fast(ngtcp2_crypto_aead_ctx *ctx, const uint8_t *key, size_t n)
{
	struct tako__gcm *g = tako__gcm_new(key, n);

	ctx->native_handle = g ? (char *)g + FAST : NULL;
	return g != NULL;
}

void tako__quic_key_drop(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *arg)
{
	if (is_fast(ctx))
		tako__gcm_free(fast_of(ctx));
	else
		ngtcp2_crypto_delete_crypto_aead_ctx_cb(conn, ctx, arg);
}

int tako__quic_key_seal(uint8_t *to, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *p, size_t n,
                        const uint8_t *nonce, size_t nonce_n, const uint8_t *head, size_t head_n)
{
	if (!is_fast(ctx))
		return ngtcp2_crypto_encrypt_cb(to, aead, ctx, p, n, nonce, nonce_n, head, head_n);
	tako__gcm_seal(fast_of(ctx), to, p, n, nonce, head, head_n);
	return 0;
}

int tako__quic_key_open(uint8_t *to, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *p, size_t n,
                        const uint8_t *nonce, size_t nonce_n, const uint8_t *head, size_t head_n)
{
	if (!is_fast(ctx))
		return ngtcp2_crypto_decrypt_cb(to, aead, ctx, p, n, nonce, nonce_n, head, head_n);
	return tako__gcm_open(fast_of(ctx), to, p, n, nonce, head, head_n) ? 0 : NGTCP2_ERR_DECRYPT;
}

/* ---- From secrets ------------------------------------------------------------------------------------ */

/* Of version 1 only, as the labels are; there is no other that a listener takes. */
static bool may_be_fast(ngtcp2_conn *conn)
{
	const WOLFSSL_EVP_CIPHER *cipher = ngtcp2_conn_get_crypto_ctx(conn)->aead.native_handle;

	return tako__gcm_there() && cipher && wolfSSL_quic_aead_is_gcm(cipher) &&
	       ngtcp2_conn_get_negotiated_version(conn) == NGTCP2_PROTO_VER_V1;
}

/* HKDF-Expand-Label (RFC 8446 section 7.1) without a context. */
static bool expand(ngtcp2_conn *conn, uint8_t *to, size_t n, const uint8_t *secret, size_t secret_n,
                   const char *label)
{
	uint8_t info[4 + LABEL_MAX];
	size_t label_n = strlen(label);

	info[0] = 0;
	info[1] = (uint8_t)n;
	info[2] = (uint8_t)label_n;
	memcpy(info + 3, label, label_n);
	info[3 + label_n] = 0;
	return ngtcp2_crypto_hkdf_expand(to, n, &ngtcp2_conn_get_crypto_ctx(conn)->md, secret,
	                                 secret_n, info, 4 + label_n) == 0;
}

static bool derive(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ret_ctx, uint8_t *ret_iv,
                   const uint8_t *secret, size_t secret_n)
{
	size_t n = ngtcp2_crypto_aead_keylen(&ngtcp2_conn_get_crypto_ctx(conn)->aead);
	uint8_t key[KEY_MAX];
	bool ok = expand(conn, key, n, secret, secret_n, "tls13 quic key") &&
	          expand(conn, ret_iv, TAKO__GCM_NONCE_BYTES, secret, secret_n, "tls13 quic iv") &&
	          tako__quic_key_fast(ret_ctx, key, n);

	explicit_bzero(key, sizeof key);
	return ok;
}

/* That of packets' heads stays the TLS library's, and for the helper to delete. */
static bool derive_hp(ngtcp2_conn *conn, ngtcp2_crypto_cipher_ctx *ret, const uint8_t *secret,
                      size_t secret_n)
{
	const ngtcp2_crypto_ctx *ctx = ngtcp2_conn_get_crypto_ctx(conn);
	size_t n = ngtcp2_crypto_aead_keylen(&ctx->aead);
	uint8_t key[KEY_MAX];

	if (expand(conn, key, n, secret, secret_n, "tls13 quic hp"))
		ret->native_handle = wolfSSL_quic_crypt_new(ctx->hp.native_handle, key, NULL, 1);
	explicit_bzero(key, sizeof key);
	return ret->native_handle != NULL;
}

typedef int install_fn(ngtcp2_conn *conn, const uint8_t *secret, size_t secret_n,
                       const ngtcp2_crypto_aead_ctx *aead, const uint8_t *iv, size_t iv_n,
                       const ngtcp2_crypto_cipher_ctx *hp);

static int install(ngtcp2_conn *conn, const uint8_t *secret, size_t n, install_fn *fn)
{
	ngtcp2_crypto_aead_ctx aead = {NULL};
	ngtcp2_crypto_cipher_ctx hp = {NULL};
	uint8_t iv[TAKO__GCM_NONCE_BYTES];

	if (derive(conn, &aead, iv, secret, n) && derive_hp(conn, &hp, secret, n) &&
	    fn(conn, secret, n, &aead, iv, sizeof iv, &hp) == 0)
		return 0;
	ngtcp2_crypto_delete_crypto_cipher_ctx_cb(conn, &hp, NULL);
	tako__quic_key_drop(conn, &aead, NULL);
	return -1;
}

int tako__quic_key_install_rx(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                              const uint8_t *secret, size_t n)
{
	if (level == NGTCP2_ENCRYPTION_LEVEL_1RTT && may_be_fast(conn))
		return install(conn, secret, n, ngtcp2_conn_install_rx_key);
	return ngtcp2_crypto_derive_and_install_rx_key(conn, NULL, NULL, NULL, level, secret, n);
}

int tako__quic_key_install_tx(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                              const uint8_t *secret, size_t n)
{
	if (level == NGTCP2_ENCRYPTION_LEVEL_1RTT && may_be_fast(conn))
		return install(conn, secret, n, ngtcp2_conn_install_tx_key);
	return ngtcp2_crypto_derive_and_install_tx_key(conn, NULL, NULL, NULL, level, secret, n);
}

/* RFC 9001 section 6: of the next generation of keys, but not of those for packets' heads. */
int tako__quic_key_update(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                          ngtcp2_crypto_aead_ctx *rx, uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx,
                          uint8_t *tx_iv, const uint8_t *rx_now, const uint8_t *tx_now, size_t n,
                          void *arg)
{
	if (!may_be_fast(conn))
		return ngtcp2_crypto_update_key_cb(conn, rx_secret, tx_secret, rx, rx_iv, tx, tx_iv,
		                                   rx_now, tx_now, n, arg);
	rx->native_handle = tx->native_handle = NULL;
	if (expand(conn, rx_secret, n, rx_now, n, "tls13 quic ku") &&
	    expand(conn, tx_secret, n, tx_now, n, "tls13 quic ku") &&
	    derive(conn, rx, rx_iv, rx_secret, n) && derive(conn, tx, tx_iv, tx_secret, n))
		return 0;
	tako__quic_key_drop(conn, rx, arg);
	rx->native_handle = NULL;
	return NGTCP2_ERR_CALLBACK_FAILURE;
}

/* SPDX-License-Identifier: MIT
 *
 * The keys of 1-RTT packets (RFC 9001 section 5), derived and used by quic_gcm.h where that is there and the cipher
 * is AES-GCM, and else, as those of all other packets, by ngtcp2's helper and the TLS library.  Which of them a key
 * is for is known by the key alone: ngtcp2 hands it back without its connection.
 */
#ifndef TAKO_QUIC_KEYS_H
#define TAKO_QUIC_KEYS_H

#include <stdbool.h>

#include "transports/quic/quic_ngtcp2.h"

/* As the helper's functions of these names are for, of a server; a cipher must have been agreed on. */
int tako__quic_key_install_rx(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                              const uint8_t *secret, size_t n);
int tako__quic_key_install_tx(ngtcp2_conn *conn, ngtcp2_encryption_level level,
                              const uint8_t *secret, size_t n);

/* ngtcp2's callbacks. */
int tako__quic_key_seal(uint8_t *to, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *p, size_t n,
                        const uint8_t *nonce, size_t nonce_n, const uint8_t *head, size_t head_n);
int tako__quic_key_open(uint8_t *to, const ngtcp2_crypto_aead *aead,
                        const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *p, size_t n,
                        const uint8_t *nonce, size_t nonce_n, const uint8_t *head, size_t head_n);
int tako__quic_key_update(ngtcp2_conn *conn, uint8_t *rx_secret, uint8_t *tx_secret,
                          ngtcp2_crypto_aead_ctx *rx, uint8_t *rx_iv, ngtcp2_crypto_aead_ctx *tx,
                          uint8_t *tx_iv, const uint8_t *rx_now, const uint8_t *tx_now, size_t n,
                          void *arg);
void tako__quic_key_drop(ngtcp2_conn *conn, ngtcp2_crypto_aead_ctx *ctx, void *arg);

/* Exposed for tests: a key of this kind for the callbacks.  False: no memory. */
bool tako__quic_key_fast(ngtcp2_crypto_aead_ctx *ctx, const uint8_t *key, size_t n);

#endif /* TAKO_QUIC_KEYS_H */

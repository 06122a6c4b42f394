/* SPDX-License-Identifier: MIT
 *
 * AES-GCM by Intel's libipsec-mb, where this machine has that library and a CPU that it is much faster on than the
 * TLS library's own: one with AES over 64 bytes at a time (VAES and AVX-512), of packets' 1,400 bytes two and a half
 * times.  It is loaded when the first listener asks, so that neither libtako nor a program needs it.  It knows
 * nothing of packets.
 */
#ifndef TAKO_QUIC_GCM_H
#define TAKO_QUIC_GCM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TAKO__GCM_NONCE_BYTES = 12,
	TAKO__GCM_TAG_BYTES = 16,
};

/* A key, in whichever direction. */
struct tako__gcm;

/* Nothing else here may be called where there is none.  The first call, of any thread, takes a millisecond. */
bool tako__gcm_there(void);

/* Of 16 or 32 bytes.  NULL: no memory.  Aligned to 64 bytes. */
struct tako__gcm *tako__gcm_new(const uint8_t *key, size_t n);
/* Exposed for tests: how many of them there are. */
size_t tako__gcm_live(void);
/* Wiped.  NULL is fine. */
void tako__gcm_free(struct tako__gcm *g);

/* `n` bytes of `p`, and the tag behind them, to `to`, which may be `p`. */
void tako__gcm_seal(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n);
/* The reverse, of `n` bytes with the tag.  False: somebody touched them, and nothing of what they say is left. */
bool tako__gcm_open(const struct tako__gcm *g, uint8_t *to, const uint8_t *p, size_t n,
                    const uint8_t *nonce, const uint8_t *head, size_t head_n);

#endif /* TAKO_QUIC_GCM_H */

/* SPDX-License-Identifier: MIT
 *
 * Early data (0-RTT): what a client that comes back says before the handshake is through.  Nothing of
 * it is here unless the listener asks for it.
 */
#ifndef TAKO_TLS_EARLY_H
#define TAKO_TLS_EARLY_H

#include "transports/tls/tls_layer.h"

/* Offer it to this client, whose ClientHello has not been read; false without memory. */
bool tako__tls_early_offer(struct tako__tls_layer *t);
/* What was kept for it is no longer, where there are no records: the handshake is through, or given up.
 * NULL, or nothing kept, is fine. */
void tako__tls_early_drop(struct tako__tls_layer *t);
/* wolfSSL has read the ClientHello, or will have when it returns. */
void tako__tls_early_heard(struct tako__tls_layer *t);
/* The handshake goes on, and without any. */
void tako__tls_early_wait(struct tako__tls_layer *t);
/* Hand up what is in `in` of it; the state tells how far that led. */
void tako__tls_early_read(struct tako__tls_layer *t);
/* The handshake is through, or given up.  Was anything said before? */
bool tako__tls_early_end(struct tako__tls_layer *t);

/* What a ticket has to be sealed with, so that early data that comes with it is understood. */
uint32_t tako__tls_early_mark(WOLFSSL *ssl);
/* May the ticket be used, that was sealed with this mark and has this tag?  Not for early data that
 * it has brought before, or for another protocol: then it is not used at all, and the client says
 * it once more after a full handshake. */
bool tako__tls_early_may(WOLFSSL *ssl, const unsigned char *mark, const unsigned char *tag);

#endif /* TAKO_TLS_EARLY_H */

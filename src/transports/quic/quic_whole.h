/* SPDX-License-Identifier: MIT
 *
 * Handshake messages (RFC 8446 section 4) put together of what CRYPTO frames bring, which may be cut
 * anywhere (RFC 9000 section 7.5), and browsers cut their ClientHello in odd places on purpose.  A name
 * is looked for in a ClientHello that is there, and wolfSSL (5.5) fails where the first four bytes of a
 * message come in pieces.  Sans-I/O.
 */
#ifndef TAKO_QUIC_WHOLE_H
#define TAKO_QUIC_WHOLE_H

#include <stddef.h>
#include <stdint.h>

enum { TAKO__QUIC_MESSAGE_BYTES_MAX = 64 << 10 };

/* All zero: nothing has come yet. */
struct tako__quic_whole {
	uint8_t *p; /* a message that is not complete */
	size_t n;
	size_t cap;
};

/* The next bytes: fn(arg, …) is called with messages that are whole, at most twice.  What it returns if
 * that is not 0; TAKO_ETOOBIG: a message is longer than any should be; TAKO_ENOMEM. */
int tako__quic_whole_feed(struct tako__quic_whole *w, const uint8_t *p, size_t n,
                          int (*fn)(void *arg, const uint8_t *p, size_t n), void *arg);
void tako__quic_whole_fini(struct tako__quic_whole *w);

#endif /* TAKO_QUIC_WHOLE_H */

/* SPDX-License-Identifier: MIT
 *
 * What the core knows of TLS on connections that we make: that there is a layer for it, which begins when the
 * peer has answered and says when it is through.  The rest is src/transports/tls's.
 */
#ifndef TAKO_CORE_SECURED_H
#define TAKO_CORE_SECURED_H

#include <stdbool.h>
#include <stdint.h>

#include <tako/connect.h>

struct tako__conn;

/* Whom to meet: copied. */
struct tako__tls_peer {
	const char *name; /* a host name or an address without brackets */
	uint16_t port;    /* with the name, whose sessions may be resumed */
	const char *alpn; /* offered; NULL: what the client's settings say */
};

/* Is it usable here, with these names?  TAKO_EINVAL: an alpn that is none; TAKO_ENOTSUP: no TLS in this
 * build. */
int tako__tls_client_check(const struct tako_tls_client *tls, const char *alpn);
/* Put the layer on `c`, which has just been connected, and begin.  tako__dial_ready() or tako__dial_failed()
 * follows, once, perhaps from inside this call; a negative code: neither does. */
int tako__tls_client_begin(struct tako__conn *c, struct tako_tls_client *tls,
                           const struct tako__tls_peer *peer);

#endif /* TAKO_CORE_SECURED_H */

/* SPDX-License-Identifier: MIT
 *
 * What the core knows of TLS on connections that we make: that there may be a layer for it, which begins when the
 * peer has answered and says when it is through.  By pointers, so that a program that never makes a
 * tako_tls_client is not linked with the library for it.
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

struct tako__secured_ops {
	/* TAKO_EINVAL: an alpn that is none. */
	int (*check_alpn)(const char *alpn);
	/* Put the layer on `c`, which has just been connected, and begin.  tako__dial_ready() or
	 * tako__dial_failed() follows, once, perhaps from inside this call; a negative code: neither
	 * does. */
	int (*begin)(struct tako__conn *c, struct tako_tls_client *tls,
	             const struct tako__tls_peer *peer);
	struct tako_tls_client *(*ref)(struct tako_tls_client *tls);
	void (*unref)(struct tako_tls_client *tls);
};

/* What a tako_tls_client begins with. */
struct tako__secured {
	const struct tako__secured_ops *ops;
};

static inline const struct tako__secured_ops *tako__secured_by(const struct tako_tls_client *tls)
{
	return ((const struct tako__secured *)(const void *)tls)->ops;
}

/* NULL is fine for these. */
static inline struct tako_tls_client *tako__secured_ref(struct tako_tls_client *tls)
{
	return tls ? tako__secured_by(tls)->ref(tls) : NULL;
}
static inline void tako__secured_unref(struct tako_tls_client *tls)
{
	if (tls)
		tako__secured_by(tls)->unref(tls);
}

#endif /* TAKO_CORE_SECURED_H */

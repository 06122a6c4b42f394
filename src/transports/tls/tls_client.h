/* SPDX-License-Identifier: MIT
 *
 * The TLS of connections that we make: what they share (tls_client.c), the sessions that may be resumed
 * (tls_session.c), and the handshake of one (tls_dial.c).
 */
#ifndef TAKO_TLS_CLIENT_H
#define TAKO_TLS_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include <tako/connect.h>

#include "core/list.h"
#include "core/secured.h"
#include "transports/tls/tls_layer.h"

/* As text, with the port: whose session it is.  A host, a port, what was offered. */
enum { TAKO__TLS_KEY_BYTES = 256 + 6 + 64 };

/* Those of one client, under its lock. */
struct tako__tls_sessions {
	struct tako__list all; /* the one that was put last at the end */
	uint32_t count;
	uint32_t max;
};

struct tako_tls_client {
	struct tako__secured secured; /* first: what core sees of it */
	_Atomic uint32_t refs;
	uint32_t min_version;
	bool insecure;
	char alpn[64];
	struct tako_cert *cert;
	struct tako__tls_blob ca;
	pthread_mutex_t lock; /* over what follows */
	WOLFSSL_CTX *ctx;
	uint64_t generation; /* of cert, that ctx shows */
	struct tako__tls_sessions sessions;
};

/* Beside the layer of a connection that we make. */
struct tako__tls_dialled {
	struct tako_tls_client *client;
	size_t name_n; /* of key, that is whom it has to be */
	bool ticketed; /* the server has sent a ticket on this connection */
	char key[TAKO__TLS_KEY_BYTES];
};

/* A session by its settings, of now; NULL: tako_last_error() says why.  [any] */
WOLFSSL *tako__tls_client_session(struct tako_tls_client *tls, uint64_t now_ns);

/* ---- tls_session.c: all under the client's lock ------------------------------------------------------ */

/* Take out the one of that peer, if there is one: it is used once (RFC 8446 section C.4).  The caller frees
 * it. */
WOLFSSL_SESSION *tako__tls_sessions_take(struct tako__tls_sessions *s, const char *key);
/* Keep one in place of what that peer had; a reference is taken over, also where there is no memory. */
void tako__tls_sessions_put(struct tako__tls_sessions *s, const char *key,
                            WOLFSSL_SESSION *session);
void tako__tls_sessions_fini(struct tako__tls_sessions *s);

/* ---- tls_dial.c: for core -------------------------------------------------------------------------------- */

/* As tako__secured_ops.begin. */
int tako__tls_dial_begin(struct tako__conn *c, struct tako_tls_client *tls,
                         const struct tako__tls_peer *peer);

/* ---- … and for the layer ------------------------------------------------------------------------ */

/* Go on with the handshake. */
void tako__tls_dial_shake(struct tako__tls_layer *t);
/* It is over before it was through; `told`: an alert is on its way, which the peer shall get. */
void tako__tls_dial_over(struct tako__tls_layer *t, bool told);
/* The layer goes. */
void tako__tls_dial_fini(struct tako__tls_layer *t);

#endif /* TAKO_TLS_CLIENT_H */

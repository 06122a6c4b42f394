/* SPDX-License-Identifier: MIT
 *
 * The secrets of connections, for whoever has to read a capture of them: to the file that
 * $SSLKEYLOGFILE names, in debug builds.  In others there is none of it.
 */
#ifndef TAKO_TLS_KEYLOG_H
#define TAKO_TLS_KEYLOG_H

#include "transports/tls/tls_lib.h"

#ifdef TAKO__TLS_KEYLOG

/* Open it, when wolfSSL starts and ends.  TAKO_ESYS: it is asked for, and cannot be written. */
int tako__tls_keylog_open(void);
void tako__tls_keylog_close(void);
/* For the sessions that a context makes. */
void tako__tls_keylog_apply(WOLFSSL_CTX *ctx);
/* A session has been made; its handshake is through. */
void tako__tls_keylog_begin(WOLFSSL *ssl);
void tako__tls_keylog_ready(WOLFSSL *ssl);

#else

static inline int tako__tls_keylog_open(void)
{
	return 0;
}
static inline void tako__tls_keylog_close(void)
{
}
static inline void tako__tls_keylog_apply(WOLFSSL_CTX *ctx)
{
	(void)ctx;
}
static inline void tako__tls_keylog_begin(WOLFSSL *ssl)
{
	(void)ssl;
}
static inline void tako__tls_keylog_ready(WOLFSSL *ssl)
{
	(void)ssl;
}

#endif

#endif /* TAKO_TLS_KEYLOG_H */

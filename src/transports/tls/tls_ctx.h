/* SPDX-License-Identifier: MIT
 *
 * What handshakes are made from: wolfSSL's contexts, one for each certificate a listener
 * presents on a worker, made anew when the certificate has been.
 */
#ifndef TAKO_TLS_CTX_H
#define TAKO_TLS_CTX_H

#include <tako/server.h>

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"

struct tako__proto_ops;
struct tako__tls_once;
struct tako__tls_worker;
struct tako_ticket_keys;

/* A listener's settings; nothing changes them once it listens. */
struct tako__tls_options {
	struct tako_cert *cert; /* NULL: cert_fn has them all */
	tako_cert_fn cert_fn;
	void *cert_arg;
	struct tako__tls_blob client_ca;
	struct tako__tls_blob client_crl;
	struct tako_ticket_keys *tickets;            /* NULL: none */
	struct tako__tls_once *once;                 /* which of them have brought early data */
	const struct tako__proto_ops *const *protos; /* NULL ends them; the first without ALPN */
	void (*apply)(WOLFSSL_CTX *ctx); /* what else a context of these needs; NULL: nothing */
	uint32_t client_auth;
	uint32_t min_version; /* 12 or 13 */
	uint32_t early_bytes; /* 0: no early data */
	uint32_t no_records;  /* QUIC's, which carries early data itself */
	char alpn[64];        /* as wolfSSL wants them: "h2,http/1.1" */
};

/* The settings of `cfg` but for the protocols, tried out: everything that a worker would trip over is
 * found out while somebody listens.  TAKO_EINVAL, TAKO_ETLS, TAKO_ENOMEM, TAKO_ESYS. */
int tako__tls_options_new(struct tako__tls_options **out, const tako_listen_config *cfg,
                          void (*apply)(WOLFSSL_CTX *ctx));
void tako__tls_options_free(struct tako__tls_options *o);

/* A context that presents `v`; `o` NULL: only to see whether it can. */
int tako__tls_ctx_new(WOLFSSL_CTX **out, const struct tako__tls_options *o,
                      const struct tako__cert_version *v);

/* What every context of ours agrees to: suites, groups, no cache of wolfSSL's.  TAKO_ETLS. */
int tako__tls_ctx_terms(WOLFSSL_CTX *ctx, uint32_t min_version);
/* Show `v`.  TAKO_ETLS, TAKO_ENOMEM. */
int tako__tls_ctx_certificate(WOLFSSL_CTX *ctx, const struct tako__cert_version *v);

/* ---- Those of one worker ---------------------------------------------------------------- */

/* Beyond these the one that was not asked for the longest is made anew when it is. */
enum { TAKO__TLS_CONTEXTS_MAX = 1024 };

struct tako__tls_context {
	struct tako__tls_context *next;
	struct tako_cert *cert;
	struct tako__cert_version *version; /* what ctx presents */
	WOLFSSL_CTX *ctx;
};

struct tako__tls_contexts {
	const struct tako__tls_options *options;
	struct tako__tls_context *first; /* the last one asked for is first */
	unsigned count;
	bool fresh; /* one was added since somebody cleared this */
};

/* The one that presents `cert` as it is now; NULL without memory.  Borrowed until the next call:
 * a session made from it has a reference of its own. */
struct tako__tls_context *tako__tls_contexts_get(struct tako__tls_contexts *t,
                                                 struct tako_cert *cert);
void tako__tls_contexts_fini(struct tako__tls_contexts *t);

#endif /* TAKO_TLS_CTX_H */

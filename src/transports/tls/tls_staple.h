/* SPDX-License-Identifier: MIT
 *
 * OCSP responses that are stapled: is this one, for this certificate, and good now?
 */
#ifndef TAKO_TLS_STAPLE_H
#define TAKO_TLS_STAPLE_H

#include "transports/tls/tls_cert.h"
#include "transports/tls/tls_lib.h"

enum tako__tls_staple_verdict {
	TAKO__TLS_STAPLE_GOOD,
	TAKO__TLS_STAPLE_MALFORMED,
	TAKO__TLS_STAPLE_ERROR, /* the responder had no answer */
	TAKO__TLS_STAPLE_OTHER, /* it speaks of other certificates */
	TAKO__TLS_STAPLE_REVOKED,
	TAKO__TLS_STAPLE_UNKNOWN,
};

/* What a response (RFC 6960 section 4.2) says of one certificate. */
struct tako__tls_staple {
	int64_t from_s;  /* thisUpdate */
	int64_t until_s; /* nextUpdate; INT64_MAX: it has none */
};

/* Bytes in, verdict out; *out is set if that is GOOD.  The signature is not looked at. */
enum tako__tls_staple_verdict tako__tls_staple_read(struct tako__tls_staple *out,
                                                    const unsigned char *p, size_t n,
                                                    const unsigned char *serial, size_t serial_n);

/* Would a wolfSSL of this version (its LIBWOLFSSL_VERSION_HEX) lose memory with each staple? */
bool tako__tls_staple_leaks(uint32_t version, bool is_mended);
/* Is v->ocsp worth stapling?  TAKO_ETLS says why not; TAKO_ENOTSUP: with this wolfSSL none is. */
int tako__tls_staple_check(const struct tako__cert_version *v);
/* Let a context staple it; it has been checked. */
int tako__tls_staple_apply(WOLFSSL_CTX *ctx, const struct tako__cert_version *v);

#endif /* TAKO_TLS_STAPLE_H */

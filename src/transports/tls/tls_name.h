/* SPDX-License-Identifier: MIT
 *
 * Is a server's certificate the one of whom we meant to reach (RFC 9525)?
 */
#ifndef TAKO_TLS_NAME_H
#define TAKO_TLS_NAME_H

#include "transports/tls/tls_lib.h"

/* Does one of its subjectAltNames say `host`, a DNS name or an IP address as text?  The subject's common name
 * says nothing. */
bool tako__tls_names_host(WOLFSSL_X509 *x, const char *host);
/* Is `host` what this DNS name of a certificate stands for: itself, or "*" in place of its first label? */
bool tako__tls_name_fits(const char *pattern, size_t n, const char *host);

#endif /* TAKO_TLS_NAME_H */

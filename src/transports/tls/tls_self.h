/* SPDX-License-Identifier: MIT
 *
 * Certificates that sign themselves.
 */
#ifndef TAKO_TLS_SELF_H
#define TAKO_TLS_SELF_H

#include "transports/tls/tls_cert.h"

/* A key and its certificate for these names, both DER.  wolfSSL has been entered. */
int tako__self_signed(struct tako__tls_blob *cert, struct tako__tls_blob *key,
                      const char *const *names, uint32_t days);

#endif /* TAKO_TLS_SELF_H */

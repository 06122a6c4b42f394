/* SPDX-License-Identifier: MIT
 *
 * A certificate's way from where it is kept to a version that handshakes can use.
 */
#ifndef TAKO_TLS_LOAD_H
#define TAKO_TLS_LOAD_H

#include "transports/tls/tls_cert.h"

/* Read, decrypt, check.  Every error of tako_cert_new(); wolfSSL has been entered. */
int tako__cert_load(struct tako__cert_version **out, const tako_cert_config *cfg);

#endif /* TAKO_TLS_LOAD_H */

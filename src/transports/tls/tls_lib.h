/* SPDX-License-Identifier: MIT
 *
 * wolfSSL itself: its headers, its memory, its life in this process, its errors in our words.
 * The only header through which the files of this folder see it.
 */
#ifndef TAKO_TLS_LIB_H
#define TAKO_TLS_LIB_H

#include <wolfssl/options.h>
/* The order is wolfSSL's own. */
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "core/base.h"

/* The kinds of names in a certificate (RFC 5280 section 4.2.1.6). */
enum {
	TAKO__TLS_NAME_EMAIL = 1,
	TAKO__TLS_NAME_DNS = 2,
	TAKO__TLS_NAME_URI = 6,
	TAKO__TLS_NAME_IP = 7,
};

/* wolfSSL may be used until tako__tls_lib_leave(), which every success is followed by one of.
 * TAKO_ENOMEM, TAKO_ETLS. */
int tako__tls_lib_enter(void);
void tako__tls_lib_leave(void);

/* Did wolfSSL run out of memory on this thread since this was last asked?  It went on with what is
 * kept for that, so whatever it was at is to be given up. */
bool tako__tls_lib_short(void);

/* TAKO_ENOMEM where `code`, wolfSSL's, says so; else TAKO_ETLS with "what: its text". */
int tako__tls_fail(int code, const char *what);

#endif /* TAKO_TLS_LIB_H */

/* SPDX-License-Identifier: MIT
 *
 * tako/connect.h: connections that a server makes to others, over TCP, Unix sockets and vsock, with or without
 * TLS.  docs/connect.md has examples.
 */
#ifndef TAKO_CONNECT_H
#define TAKO_CONNECT_H

#include <tako/base.h>
#include <tako/tls.h>

TAKO_BEGIN

/* ---- TLS --------------------------------------------------------------------- */

/* Whom connections that we make trust, and what they show of us; sessions to be resumed are kept in it.  Shared:
 * whoever uses it holds a reference of its own. */
typedef struct tako_tls_client tako_tls_client;

/* Strings and bytes are copied.  At most one of the three that say who signs servers' certificates; none: the
 * system's, /etc/ssl/certs/ca-certificates.crt.  They are read once. */
typedef struct tako_tls_client_config {
	size_t size;
	const char *ca_file; /* PEM; */
	const char *ca_dir;  /* every file in it; */
	tako_str ca;         /* PEM or DER in memory */
	tako_cert
		*cert; /* shown to a server that asks for one; gets another reference.  What it has
			      * been reloaded with, or its files watched for, is what the next
			      * connection shows.  NULL: none */
	const char
		*alpn; /* protocols that are offered, the preferred first (RFC 7301): "h2,http/1.1";
			      * at most 63 bytes.  NULL: none */
	uint32_t min_version; /* 0: 12, which is TLS 1.2; 13 */
	uint32_t
		session_count; /* 0: 64 of them are kept, one for each peer; to 65536; TAKO_OFF: none */
	/* 1: whoever answers is believed, which is no protection from whoever is on the way. */
	uint32_t insecure;
	uint32_t reserved;
} tako_tls_client_config;
#define TAKO_TLS_CLIENT_CONFIG(...)                                                                \
	(&(tako_tls_client_config){.size = sizeof(tako_tls_client_config), __VA_ARGS__})

/* Make one.  *out is set on success only.  Reads files, so not from a handler that is in a hurry.  A server is
 * believed whose chain leads to one of the signers, is good today, and names who was to be connected to
 * as a DNS name or an address among its subjectAltNames (RFC 9525); its common name is not looked at.  [any]
 *   TAKO_EINVAL  more than one set of signers; signers and insecure; a number out of range, or a bad alpn
 *   TAKO_ESYS    a file cannot be read
 *   TAKO_ETLS    there is no certificate in it; cert cannot be used
 *   TAKO_ENOTSUP this build has no TLS; or a newer config than this library's
 *   TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_tls_client_new(tako_tls_client **out,
                                            const tako_tls_client_config *cfg);

/* Another reference to it, for tako_tls_client_free() to drop; returns `tls`.  NULL is fine.  [any] */
TAKO_API tako_tls_client *tako_tls_client_ref(tako_tls_client *tls);
/* Drop a reference.  NULL is fine.  [any] */
TAKO_API void tako_tls_client_free(tako_tls_client *tls);

TAKO_END

#endif /* TAKO_CONNECT_H */

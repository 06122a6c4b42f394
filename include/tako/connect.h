/* SPDX-License-Identifier: MIT
 *
 * tako/connect.h: connections that a server makes to others, over TCP, Unix sockets and vsock, with or without
 * TLS.  docs/connect.md has examples.
 */
#ifndef TAKO_CONNECT_H
#define TAKO_CONNECT_H

#include <tako/base.h>
#include <tako/http.h>
#include <tako/raw.h>
#include <tako/server.h>
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

/* ---- Connections ------------------------------------------------------------- */

/* One that is being made, until it is there or is not: on_open() or on_close() of its raw config ends it. */
typedef struct tako_connecting tako_connecting;

/* Copied, but for what the callbacks' `arg` points to, which must live until on_close(). */
typedef struct tako_connect_config {
	size_t size;
	/* What becomes of it, see tako/raw.h.  on_open() is called when it is connected and its TLS
	 * handshake is through; on_close() once in any case: where there never was a connection with NULL in
	 * its place and the reason, about which tako_last_error() then has a sentence:
	 *   TAKO_ENOENT    no such name, or it has no address
	 *   TAKO_ESYS      the system says no: refused, unreachable, no such socket
	 *   TAKO_ETIMEDOUT timeout_ms
	 *   TAKO_ETLS      the peer is not who it has to be, or does not come to terms
	 *   TAKO_ECLOSED   it hung up during the handshake; or the server's drain is over
	 *   TAKO_EBUSY     names cannot be looked up now; max_outgoing_connections
	 *   TAKO_ENOMEM
	 * Its alpn and max_connections are a listener's: TAKO_ENOTSUP. */
	const struct tako_raw_config *raw;
	tako_tls_client *tls; /* NULL: without TLS; gets another reference */
	const char
		*server_name; /* with tls: who it has to be.  NULL: the host of the address, which a
				  * Unix socket has not */
	const char *alpn;     /* with tls: in place of what that offers; tako_raw_conn_info() tells
				  * what was agreed on */
	uint32_t
		timeout_ms; /* 0: the server's connect_timeout_ms, for everything until on_open() */
	uint32_t reserved;
} tako_connect_config;
#define TAKO_CONNECT_CONFIG(...)                                                                   \
	(&(tako_connect_config){.size = sizeof(tako_connect_config), __VA_ARGS__})

/* Connect to "example.org:443", "192.0.2.1:80", "[2001:db8::1]:80", "unix:/path", "unix:@name" or "vsock:2:80",
 * on the worker of this exchange, which need not be there any more when it is done.  The callbacks come
 * later, never from inside this call.  Of a name all addresses are tried, IPv6 and IPv4 in turn, each a
 * moment before the next (RFC 8305); the first that answers is kept.  *out, which may be NULL, is for
 * tako_connect_cancel().  A server that stops lets what is being made go on until its drain is over.  [loop]
 *   TAKO_EINVAL  malformed address or config; TLS without a name to verify
 *   TAKO_EBUSY   max_outgoing_connections
 *   TAKO_ECLOSED the server's drain is over
 *   TAKO_ENOTSUP TLS in a build without; a setting without a use; a runtime that makes no connections
 *   TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_connect(tako_connecting **out, tako_res *res, const char *addr,
                                     const tako_connect_config *cfg);
/* The same on the worker of a raw connection.  [loop] */
TAKO_API TAKO_CHECK int tako_raw_connect(tako_connecting **out, tako_raw *c, const char *addr,
                                         const tako_connect_config *cfg);
/* The same from anywhere, on one of the workers of a server, in turn: all its callbacks come on that one's
 * thread, also what the other two would return at once.  TAKO_ESTATE: the server does not run; TAKO_EINVAL,
 * TAKO_ENOTSUP, TAKO_ENOMEM.  [any] */
TAKO_API TAKO_CHECK int tako_server_connect(tako_server *srv, const char *addr,
                                            const tako_connect_config *cfg);

/* Give up one that is being made: none of its callbacks is called.  [loop] */
TAKO_API void tako_connect_cancel(tako_connecting *k);

TAKO_END

#endif /* TAKO_CONNECT_H */

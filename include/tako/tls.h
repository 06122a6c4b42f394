/* SPDX-License-Identifier: MIT
 *
 * tako/tls.h: certificates for TLS listeners: from files or memory, chosen by the name a
 * client asks for, exchanged while the server runs.
 *
 * In one line: cert_file and key_file of tako_listen_config.  For everything else make a
 * tako_cert and give it to one listener or to many.  docs/certificates.md tells of renewal
 * and of client certificates.
 */
#ifndef TAKO_TLS_H
#define TAKO_TLS_H

#include <tako/base.h>

TAKO_BEGIN

/* ---- Certificates --------------------------------------------------------- */

/* A certificate with its chain and its private key.  Shared: listeners and resolvers hold
 * references of their own. */
typedef struct tako_cert tako_cert;

/* Write the password of an encrypted key to buf, at most `buf_bytes`; returns its length, or a
 * negative code to give up.  Called from inside the call that loads the key, on its thread. */
typedef int (*tako_password_fn)(char *buf, size_t buf_bytes, void *arg);

/* Where a certificate comes from: files, or memory.  Strings and bytes are copied; password_arg must
 * live as long as the certificate, which may be loaded again. */
typedef struct tako_cert_config {
	size_t size;
	const char *cert_file; /* PEM: the server's own first, then what leads to its root */
	const char *key_file;  /* PEM or DER */
	tako_str cert;         /* the same in memory, PEM or DER (one certificate) */
	tako_str key;
	tako_password_fn password_fn; /* NULL: an encrypted key is refused */
	void *password_arg;
	const char *ocsp_file;      /* DER response to staple (RFC 6960), NULL: none.  Read again
				     * with the certificate; for as long as it is good clients
				     * that ask are given it.  TAKO_ENOTSUP with a wolfSSL that
				     * leaks then (5.5.4, unless scripts/wolfssl.sh built it) */
	uint32_t watch_interval_ms; /* 0: never; how often to look whether the files have
				     * changed, and reload them if so.  A change that
				     * cannot be loaded leaves the old certificate in
				     * use, is counted, and tried again */
	uint32_t reserved;          /* must be 0 */
} tako_cert_config;
#define TAKO_CERT_CONFIG(...) (&(tako_cert_config){.size = sizeof(tako_cert_config), __VA_ARGS__})

/* Load a certificate.  *out is set on success only.  [any]
 *   TAKO_EINVAL  neither files nor memory, or both; watching without files
 *   TAKO_ESYS    a file cannot be read
 *   TAKO_ETLS    it is no certificate or key; the two do not belong together; it has
 *                expired; the key is encrypted and there is no password, or a wrong one;
 *                the OCSP response is none, is not good now, is for another certificate, or
 *                is not signed by what follows the certificate in its file
 *   TAKO_ENOTSUP this build has no TLS; or a newer config than this library's
 *   TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_cert_new(tako_cert **out, const tako_cert_config *cfg);

/* Load it again, from the same places; or, if `cfg` is given, from those.  Handshakes that
 * begin after this returns present the new one; nothing that is connected notices.  On failure
 * the old one stays.  Errors as tako_cert_new().  [any] */
TAKO_API TAKO_CHECK int tako_cert_reload(tako_cert *cert, const tako_cert_config *cfg);

/* Another reference to it, for tako_cert_free() to drop; returns `cert`.  [any] */
TAKO_API tako_cert *tako_cert_ref(tako_cert *cert);
/* Drop a reference.  NULL is fine.  [any] */
TAKO_API void tako_cert_free(tako_cert *cert);

/* What is in use now.  Numbers only, as text would change under a reader's hands. */
typedef struct tako_cert_info {
	size_t size;
	int64_t not_before_s; /* since the epoch */
	int64_t not_after_s;
	uint64_t generation;      /* 1, and one more for each reload */
	uint64_t failed_reloads;  /* since the last one that went well */
	unsigned char sha256[32]; /* of the certificate's DER form */
} tako_cert_info;

/* Fill `out`, whose size field the caller has set.  TAKO_EINVAL: size not set.  [any] */
TAKO_API int tako_cert_get_info(tako_cert *cert, tako_cert_info *out);

/* Does the certificate name this host, exactly or by a wildcard (RFC 6125 section 6.4.3)?
 * Case does not matter.  [any] */
TAKO_API bool tako_cert_matches(tako_cert *cert, tako_str name);

/* Make a key and a certificate for `names`, signed by itself: for development and tests, as no
 * client trusts it before somebody tells it to.  Names are hosts or addresses, "localhost",
 * "127.0.0.1", NULL at their end; good for `days`, 0: 90.  Writes PEM, the key readable by its
 * owner only; what is there already is replaced, each file as a whole.  [any]
 *   TAKO_EINVAL  no name, over 16 of them, or over 800 days
 *   TAKO_ESYS    a file cannot be written
 *   TAKO_ENOTSUP, TAKO_ETLS, TAKO_ENOMEM */
TAKO_API TAKO_CHECK int tako_cert_self_signed(const char *cert_file, const char *key_file,
                                              const char *const *names, uint32_t days);

/* ---- Several of them ------------------------------------------------------- */

/* Choose the certificate for a client that asks for `name` ({NULL, 0}: it named none).  NULL:
 * the listener's own; where it has none, the handshake is refused.  The result is borrowed
 * until the call for the next client, and must not be freed while a server that may return it
 * runs.  Must not block.  [loop] */
typedef tako_cert *(*tako_cert_fn)(tako_str name, void *arg);

/* A set of certificates by name, which may change while servers use it. */
typedef struct tako_cert_set tako_cert_set;

/* NULL without memory.  [any] */
TAKO_API tako_cert_set *tako_cert_set_new(void);
/* Serve `name` with `cert` (which gets another reference), in place of what it had: a host name,
 * "*.example.org" for every name with one more label, or NULL for what no other name fits.
 * `cert` NULL removes the name.  TAKO_EINVAL: not a name; TAKO_ENOENT: nothing to remove;
 * TAKO_ETOOBIG: over 65536 names; TAKO_ENOMEM.  [any] */
TAKO_API int tako_cert_set_put(tako_cert_set *set, const char *name, tako_cert *cert);
/* The certificate of exactly that name; else of the wildcard; else of NULL.  The shape of
 * tako_cert_fn: .cert_fn = tako_cert_set_find, .cert_arg = set.  [any] */
TAKO_API tako_cert *tako_cert_set_find(tako_str name, void *set);
/* Drop it with its references.  NULL is fine; not while a server uses it.  [any] */
TAKO_API void tako_cert_set_free(tako_cert_set *set);

/* ---- Session tickets ---------------------------------------------------------- */

/* Keys that seal session tickets (RFC 8446 section 4.6.1).  Without any, a listener makes its
 * own and exchanges them twice a day; give several processes the same to let clients resume
 * with any of them. */
typedef struct tako_ticket_keys tako_ticket_keys;

enum {
	TAKO_TICKET_KEY_BYTES = 48, /* 16 of name, 32 of key */
	TAKO_TICKET_KEYS_MAX = 4
};

/* `keys` is one to TAKO_TICKET_KEYS_MAX keys, one after the other: the first seals, all of
 * them open.  TAKO_EINVAL: another length; TAKO_ENOTSUP; TAKO_ENOMEM.  [any] */
TAKO_API TAKO_CHECK int tako_ticket_keys_new(tako_ticket_keys **out, tako_str keys);
/* Exchange them: put a new one first, and drop the last.  [any] */
TAKO_API TAKO_CHECK int tako_ticket_keys_set(tako_ticket_keys *k, tako_str keys);
/* NULL is fine; listeners hold references of their own.  [any] */
TAKO_API void tako_ticket_keys_free(tako_ticket_keys *k);

TAKO_END

#endif /* TAKO_TLS_H */

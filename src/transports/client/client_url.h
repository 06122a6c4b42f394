/* SPDX-License-Identifier: MIT
 *
 * The URLs a client is given (RFC 3986, RFC 9110 section 4.2): taken apart, and refused where a server
 * could be told something else than what was meant.
 */
#ifndef TAKO_CLIENT_URL_H
#define TAKO_CLIENT_URL_H

#include <tako/base.h>

/* Longest URL that is taken. */
enum { TAKO__URL_BYTES_MAX = 8192 };

/* Views into the URL, but for what stands for nothing. */
struct tako__url {
	tako_str
		authority; /* as the Host field has it: without userinfo, and without a port that is
			     * the scheme's */
	tako_str host;     /* without the brackets of an IPv6 address */
	tako_str path;     /* "/" if there is none */
	tako_str query;    /* with its '?'; {NULL, 0}: none */
	uint16_t port;
	bool tls; /* https */
};

/* TAKO_EINVAL with a sentence: no http or https URL; userinfo, which is no place for credentials (RFC
 * 9110 section 4.2.4); no host; a byte that a request target must not have.  A fragment is left out. */
int tako__url_parse(struct tako__url *ret, tako_str url);

/* How long `buf` has to be for tako__url_resolve(). */
size_t tako__url_resolve_bytes(const struct tako__url *base, tako_str ref);
/* What `ref` means where `base` was asked for (RFC 3986 section 5.2): views into buf.  Errors as above. */
int tako__url_resolve(struct tako__url *ret, char *buf, const struct tako__url *base, tako_str ref);

#endif /* TAKO_CLIENT_URL_H */

/* SPDX-License-Identifier: MIT
 *
 * Where to connect to, out of text: a name or an address of the Internet with a port, a Unix socket, vsock.
 * Names stay names: who they are is the resolver's to find out.
 */
#ifndef TAKO_CORE_TARGET_H
#define TAKO_CORE_TARGET_H

#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <tako/base.h>

/* The longest name that DNS has (RFC 1035 section 2.3.4), as text, and a NUL. */
enum { TAKO__TARGET_HOST_BYTES = 256 };

struct tako__target {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
		struct sockaddr_vm vm;
	} sa;
	socklen_t sa_n; /* 0: `host` is a name, and sa nothing */
	uint16_t port;  /* in host order; 0: this kind has none */
	/* The name or the address without brackets, as a certificate is asked about; "": neither. */
	char host[TAKO__TARGET_HOST_BYTES];
};

/* "example.org:443", "192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "unix:/path", "unix:@name" or
 * "vsock:2:80".  TAKO_EINVAL: a sentence says what is wrong. */
int tako__target_parse(struct tako__target *ret, tako_str text);
/* The same of a host by itself, as a URI has it: a name, an IPv4 address, or an IPv6 address in
 * brackets (RFC 3986 section 3.2.2). */
int tako__target_host(struct tako__target *ret, tako_str host, uint16_t port);

/* For messages: as it would be parsed, but without a zone.  Returns the length. */
size_t tako__target_format(const struct tako__target *t, char *buf, size_t n);

#endif /* TAKO_CORE_TARGET_H */

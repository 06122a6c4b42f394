/* SPDX-License-Identifier: MIT
 *
 * Sets of addresses as configurations write them (RFC 4632 section 3.1, RFC 4291 section 2.3):
 * "10.0.0.0/8, 2001:db8::/32, 192.0.2.1, unix:".  Knows no names and asks no resolver.
 */
#ifndef TAKO_CORE_CIDR_H
#define TAKO_CORE_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* IPv4 addresses are their IPv4-mapped IPv6 ones (RFC 4291 section 2.5.5.2): a dual-stack socket shows
 * them so. */
struct tako__cidr {
	unsigned char addr[16];
	uint32_t bits; /* of them that count */
};

struct tako__cidrs {
	uint32_t count;
	bool has_unix; /* peers on Unix sockets are in it, too */
	struct tako__cidr list[];
};

enum { TAKO__CIDRS_MAX = 1024 };

/* Parse entries separated by commas or spaces; `what` begins the sentence about what is wrong.
 * TAKO_EINVAL: not an address or prefix, bits are set behind the prefix, or the list is empty;
 * TAKO_ETOOBIG: more than TAKO__CIDRS_MAX; TAKO_ENOMEM. */
int tako__cidrs_parse(struct tako__cidrs **ret, const char *text, const char *what);
/* NULL is fine. */
void tako__cidrs_free(struct tako__cidrs *set);
/* NULL has nobody in it. */
bool tako__cidrs_have(const struct tako__cidrs *set, const struct sockaddr *sa);

#endif /* TAKO_CORE_CIDR_H */

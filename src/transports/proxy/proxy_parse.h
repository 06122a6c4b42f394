/* SPDX-License-Identifier: MIT
 *
 * The PROXY protocol's header, versions 1 and 2 (haproxy's proxy-protocol.txt of 2020/03/05, sections
 * 2.1 and 2.2).  Sans-I/O: knows no connection and no trust.
 */
#ifndef TAKO_PROXY_PARSE_H
#define TAKO_PROXY_PARSE_H

#include "core/proxied.h"

enum {
	TAKO__PROXY_V1_BYTES = 107, /* at most, CR LF included */
	TAKO__PROXY_V2_BYTES = 16,  /* before what the length field counts */
	TAKO__PROXY_V2_MAX = TAKO__PROXY_V2_BYTES + 65535,
};

struct tako__proxy_header {
	uint32_t version;
	bool local; /* the connection's own addresses hold: LOCAL, UNKNOWN or UNSPEC */
	bool dgram; /* the proxied one is UDP, or a Unix datagram socket */
	union tako__proxy_addr src; /* AF_UNIX: the paths below */
	union tako__proxy_addr dst;
	tako_str src_path; /* views into what was parsed; an abstract one begins with NUL */
	tako_str dst_path;
	tako_str tlvs; /* version 2: checked, type-length-values to the end */
};

/* Parse a header from the first `n` bytes of a connection, of which it may take `max_bytes`.
 * Returns how many it has, or 0: what is there may become one, more is needed.
 *   TAKO_ENOENT   what begins so is no PROXY header
 *   TAKO_ETOOBIG  it is longer than max_bytes
 *   TAKO_EPROTO   it is malformed, or its checksum is wrong */
int tako__proxy_parse(struct tako__proxy_header *ret, const char *p, size_t n, size_t max_bytes);

/* Take the first of `rest` off.  False: there is none, or it is cut off (*rest is empty or not). */
bool tako__proxy_next_tlv(tako_str *rest, uint8_t *ret_type, tako_str *ret_value);

/* CRC-32C (RFC 3720 appendix B.4) of `n` bytes behind those whose sum is `crc`; 0 before the first. */
uint32_t tako__crc32c(uint32_t crc, const char *p, size_t n);

#endif /* TAKO_PROXY_PARSE_H */

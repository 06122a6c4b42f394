/* SPDX-License-Identifier: MIT
 *
 * What must hold of anything that is taken for a PROXY header, beside what the sanitizers see: less than a
 * whole header is never one, more changes nothing, and what was read is written as it came.
 */
#ifndef TESTS_FUZZ_PROXY_HEADER_H
#define TESTS_FUZZ_PROXY_HEADER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn.h"
#include "transports/proxy/proxy_parse.h"
#include <tako/proxy.h>

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { MAX_BYTES = 4096 };

static inline int parse(struct tako__proxy_header *h, const uint8_t *data, size_t n)
{
	return tako__proxy_parse(h, (const char *)data, n, MAX_BYTES);
}

/* Addresses and TLVs again, from the fields. */
static inline void write_again(const struct tako__proxy_header *h)
{
	char source[80];
	char destination[80];
	char buf[MAX_BYTES + 256];
	struct tako__proxy_header again;
	int n;

	if (h->local || h->src.any.sa_family == AF_UNIX)
		return;
	tako__addr_format(&h->src.any, source, sizeof(source));
	tako__addr_format(&h->dst.any, destination, sizeof(destination));
	n = tako_proxy_write(buf, sizeof(buf),
	                     TAKO_PROXY_HEADER(.source = source, .destination = destination,
	                                       .version = h->version, .datagram = h->dgram));
	/* An IPv4-mapped address is shown as the IPv4 address that it is, alone of its pair perhaps. */
	if (n == TAKO_EINVAL)
		return;
	MUST(tako__proxy_parse(&again, buf, (size_t)n, sizeof(buf)) == n);
	MUST(again.dgram == h->dgram && !again.local);
	tako__addr_format(&again.src.any, buf, sizeof(buf));
	MUST(strcmp(buf, source) == 0);
}

/* Of what a connection begins with: its version, 0 for none that is whole. */
static inline int check_header(const uint8_t *data, size_t size)
{
	struct tako__proxy_header h;
	struct tako__proxy_header cut;
	tako_str rest;
	tako_str value;
	uint32_t type;
	int n = parse(&h, data, size);

	if (n <= 0)
		return 0;
	MUST((size_t)n <= size && n <= MAX_BYTES);
	MUST(h.version == 1 ? n <= TAKO__PROXY_V1_BYTES : n >= TAKO__PROXY_V2_BYTES);
	MUST(parse(&cut, data, (size_t)n) == n);
	for (int k = 0; k < n; k += 1 + n / 64)
		MUST(parse(&cut, data, (size_t)k) == 0);
	rest = h.tlvs;
	while (tako_proxy_next_tlv(&rest, &type, &value))
		MUST(value.p >= (const char *)data && value.p + value.n <= (const char *)data + n);
	MUST(rest.n == 0);
	write_again(&h);
	return (int)h.version;
}

/* The same behind what headers of that version begin with, so that no input is spent on finding it. */
static inline int check_behind(const char *start, size_t n, int version, const uint8_t *data,
                               size_t size)
{
	uint8_t all[MAX_BYTES + 64];
	int found;

	if (size > sizeof all - n)
		size = sizeof all - n;
	memcpy(all, start, n);
	if (size)
		memcpy(all + n, data, size);
	found = check_header(all, n + size);
	MUST(found == 0 || found == version);
	return 0;
}

#endif /* TESTS_FUZZ_PROXY_HEADER_H */

/* SPDX-License-Identifier: MIT
 *
 * PROXY headers for others to read (sections 2.1 and 2.2): the sending side.  Sans-I/O.
 */
#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <tako/proxy.h>

#include "core/base.h"
#include "transports/proxy/proxy_parse.h"

/* One of two ends, as text became it. */
struct end {
	sa_family_t family; /* AF_UNSPEC: none */
	unsigned char addr[16];
	uint16_t port; /* network byte order */
	char path[108];
	const char *ip; /* as it was written, without port and brackets */
	int ip_n;
};

enum { CRC_TLV_BYTES = 7, UNIX_PATH_BYTES = 108 };

/* ---- Addresses --------------------------------------------------------------------------------------- */

static int bad(const char *text, const char *why)
{
	return tako__fail(TAKO_EINVAL, "address \"%.80s\": %s", text, why);
}

static int parse_unix(struct end *e, const char *text)
{
	size_t n = strlen(text + 5);

	if (n > UNIX_PATH_BYTES)
		return bad(text, "the path is longer than 108 bytes");
	e->family = AF_UNIX;
	memcpy(e->path, text + 5, n);
	if (e->path[0] == '@')
		e->path[0] = '\0';
	return 0;
}

static int parse_port(struct end *e, const char *text, const char *digits)
{
	char *stop;
	unsigned long port = strtoul(digits, &stop, 10);

	if (digits[0] < '0' || digits[0] > '9' || *stop || port > 65535)
		return bad(text, "the port is not 0 to 65535");
	e->port = htons((uint16_t)port);
	return 0;
}

static int parse_end(struct end *e, const char *text)
{
	const char *colon = strrchr(text, ':');
	bool is_v6 = text[0] == '[';
	char ip[INET6_ADDRSTRLEN];
	size_t n;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(e, text);
	if (!colon || (is_v6 && (colon == text || colon[-1] != ']')))
		return bad(text, "no port");
	e->ip = text + is_v6;
	n = (size_t)(colon - e->ip) - is_v6;
	if (n >= sizeof ip)
		return bad(text, "too long");
	e->ip_n = (int)n;
	memcpy(ip, e->ip, n);
	ip[n] = '\0';
	e->family = is_v6 ? AF_INET6 : AF_INET;
	if (inet_pton(e->family, ip, e->addr) != 1)
		return bad(text, is_v6 ? "no IPv6 address" : "no IPv4 address");
	return parse_port(e, text, colon + 1);
}

static int parse_ends(struct end e[2], const tako_proxy_header *h)
{
	int rc;

	if (!h->source && !h->destination)
		return 0;
	if (!h->source || !h->destination)
		return tako__fail(TAKO_EINVAL, "a PROXY header has both addresses or none");
	rc = parse_end(&e[0], h->source);
	if (rc == 0)
		rc = parse_end(&e[1], h->destination);
	if (rc == 0 && e[0].family != e[1].family)
		rc = tako__fail(TAKO_EINVAL, "%.80s and %.80s are of different families", h->source,
		                h->destination);
	return rc;
}

/* ---- Version 1 ------------------------------------------------------------------------------------------ */

static int write_v1(char *buf, size_t n, const tako_proxy_header *h, const struct end e[2])
{
	int len;

	if (h->datagram || h->tlvs.n || h->checksum || e[0].family == AF_UNIX)
		return tako__fail(TAKO_EINVAL, "version 1 of the PROXY protocol has TCP addresses "
		                               "only");
	if (e[0].family == AF_UNSPEC)
		len = snprintf(buf, n, "PROXY UNKNOWN\r\n");
	else
		len = snprintf(buf, n, "PROXY TCP%c %.*s %.*s %u %u\r\n",
		               e[0].family == AF_INET ? '4' : '6', e[0].ip_n, e[0].ip, e[1].ip_n,
		               e[1].ip, ntohs(e[0].port), ntohs(e[1].port));
	if (len < 0 || (size_t)len >= n)
		return tako__fail(TAKO_ETOOBIG, "the PROXY header needs %d bytes", len + 1);
	return len;
}

/* ---- Version 2 ------------------------------------------------------------------------------------------- */

static void put16(char *p, size_t value)
{
	p[0] = (char)(value >> 8);
	p[1] = (char)value;
}

int tako_proxy_put_tlv(char *buf, size_t buf_bytes, size_t n, uint32_t type, tako_str value)
{
	if (type > 255)
		return tako__fail(TAKO_EINVAL, "a TLV's type is one byte, not %u", type);
	if (value.n > 65535 || n > buf_bytes || buf_bytes - n < 3 + value.n)
		return tako__fail(TAKO_ETOOBIG, "the TLV needs %zu bytes", 3 + value.n);
	buf[n] = (char)type;
	put16(buf + n + 1, value.n);
	if (value.n)
		memcpy(buf + n + 3, value.p, value.n);
	return (int)(n + 3 + value.n);
}

/* Both addresses, then both ports.  Returns how many bytes. */
static size_t put_ends(char *p, const struct end e[2])
{
	size_t n = e[0].family == AF_INET ? 4 : 16;

	if (e[0].family == AF_UNSPEC)
		return 0;
	if (e[0].family == AF_UNIX) {
		memcpy(p, e[0].path, UNIX_PATH_BYTES);
		memcpy(p + UNIX_PATH_BYTES, e[1].path, UNIX_PATH_BYTES);
		return 2 * (size_t)UNIX_PATH_BYTES;
	}
	memcpy(p, e[0].addr, n);
	memcpy(p + n, e[1].addr, n);
	memcpy(p + 2 * n, &e[0].port, 2);
	memcpy(p + 2 * n + 2, &e[1].port, 2);
	return 2 * n + 4;
}

static char family_bits(sa_family_t family, bool datagram)
{
	int high = family == AF_INET ? 0x10 : family == AF_INET6 ? 0x20 : 0x30;

	return family == AF_UNSPEC ? 0 : (char)(high | (datagram ? 2 : 1));
}

/* The sum is of everything, with zeros in its own place. */
static void put_crc(char *buf, size_t n)
{
	uint32_t crc;

	memset(buf + n - 4, 0, 4);
	crc = tako__crc32c(0, buf, n);
	put16(buf + n - 4, crc >> 16);
	put16(buf + n - 2, crc & 0xffff);
}

static int write_v2(char *buf, size_t room, const tako_proxy_header *h, const struct end e[2])
{
	static const char start[] = "\r\n\r\n\0\r\nQUIT\n";
	size_t crc_n = h->checksum ? CRC_TLV_BYTES : 0;
	char ends[2 * UNIX_PATH_BYTES];
	size_t n = put_ends(ends, e);
	size_t all = TAKO__PROXY_V2_BYTES + n + h->tlvs.n + crc_n;

	if (h->tlvs.n > 65535 - n - crc_n)
		return tako__fail(TAKO_ETOOBIG, "a PROXY header has at most 65,551 bytes");
	if (all > room)
		return tako__fail(TAKO_ETOOBIG, "the PROXY header needs %zu bytes", all);
	memcpy(buf, start, 12);
	buf[12] = e[0].family == AF_UNSPEC ? 0x20 : 0x21;
	buf[13] = family_bits(e[0].family, h->datagram);
	put16(buf + 14, all - TAKO__PROXY_V2_BYTES);
	memcpy(buf + TAKO__PROXY_V2_BYTES, ends, n);
	if (h->tlvs.n)
		memcpy(buf + TAKO__PROXY_V2_BYTES + n, h->tlvs.p, h->tlvs.n);
	if (crc_n) {
		buf[all - CRC_TLV_BYTES] = TAKO_PROXY_TLV_CRC32C;
		put16(buf + all - CRC_TLV_BYTES + 1, 4);
		put_crc(buf, all);
	}
	return (int)all;
}

int tako_proxy_write(char *buf, size_t buf_bytes, const tako_proxy_header *header)
{
	tako_proxy_header h = {.size = sizeof h};
	struct end e[2] = {0};
	int rc = header ? tako__import(&h, sizeof h, header, offsetof(tako_proxy_header, tlvs),
	                               "tako_proxy_header")
	                : tako__fail(TAKO_EINVAL, "tako_proxy_write: no header");

	if (rc == 0 && h.reserved)
		rc = tako__fail(TAKO_EINVAL, "tako_proxy_write: reserved is not 0");
	if (rc == 0)
		rc = parse_ends(e, &h);
	if (rc < 0)
		return rc;
	if (h.version == 1)
		return write_v1(buf, buf_bytes, &h, e);
	if (h.version != 0 && h.version != 2)
		return tako__fail(TAKO_EINVAL, "there is no version %u of the PROXY protocol",
		                  h.version);
	return write_v2(buf, buf_bytes, &h, e);
}

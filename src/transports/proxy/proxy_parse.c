/* SPDX-License-Identifier: MIT
 *
 * See proxy_parse.h.  As strict as the specification allows: what two receivers could read differently
 * decides who a client is taken for.
 */
#include "transports/proxy/proxy_parse.h"

#include <arpa/inet.h>
#include <string.h>

#include "core/base.h"

static const char v1_start[6] = "PROXY ";
static const char v2_start[12] = "\r\n\r\n\0\r\nQUIT\n";

enum {
	COMMAND_LOCAL = 0,
	COMMAND_PROXY = 1,
	FAMILY_UNSPEC = 0,
	FAMILY_INET = 1,
	FAMILY_INET6 = 2,
	FAMILY_UNIX = 3,
	UNIX_PATH_BYTES = 108,
	TLV_CRC32C = 3,
	TLV_UNIQUE_ID = 5,
	TLV_SSL = 0x20,
	UNIQUE_ID_BYTES = 128,
};

static uint32_t get16(const char *p)
{
	return (uint32_t)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static uint32_t get32(const char *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* ---- Version 1: a line of text ------------------------------------------------------------------- */

/* The field up to the next space, or up to the end. */
static tako_str take_field(tako_str *rest)
{
	const char *space = memchr(rest->p, ' ', rest->n);
	tako_str field = {rest->p, space ? (size_t)(space - rest->p) : rest->n};
	size_t skip = field.n + (space ? 1 : 0);

	rest->p += skip;
	rest->n -= skip;
	return field;
}

/* No leading zeros: "heading zeroes are not permitted". */
static bool parse_port(tako_str s, uint16_t *ret)
{
	uint32_t value = 0;

	if (!s.n || s.n > 5 || (s.n > 1 && s.p[0] == '0'))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(s.p[i] - '0');
	}
	*ret = htons((uint16_t)value);
	return value <= 65535;
}

static bool parse_ip(union tako__proxy_addr *a, int family, tako_str s)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof text || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	a->any.sa_family = (sa_family_t)family;
	return inet_pton(family, text,
	                 family == AF_INET ? (void *)&a->in.sin_addr : (void *)&a->in6.sin6_addr) ==
	       1;
}

/* Both structs have the port at one place; a compiler knows, but not a reader. */
static void set_port(union tako__proxy_addr *a, uint16_t port)
{
	if (a->any.sa_family == AF_INET)
		a->in.sin_port = port;
	else
		a->in6.sin6_port = port;
}

static bool parse_v1_addresses(struct tako__proxy_header *h, int family, tako_str rest)
{
	tako_str field[4];
	uint16_t port[2];

	/* Three spaces between four fields and none behind them. */
	for (int i = 0; i < 4; i++)
		field[i] = take_field(&rest);
	if (rest.n || field[3].p + field[3].n != rest.p)
		return false;
	if (!parse_ip(&h->src, family, field[0]) || !parse_ip(&h->dst, family, field[1]) ||
	    !parse_port(field[2], &port[0]) || !parse_port(field[3], &port[1]))
		return false;
	set_port(&h->src, port[0]);
	set_port(&h->dst, port[1]);
	return true;
}

static int parse_v1_line(struct tako__proxy_header *h, tako_str line)
{
	tako_str kind = take_field(&line);

	h->version = 1;
	/* "… the receiver must ignore anything presented before the CRLF". */
	if (tako_str_eq(kind, TAKO_STR("UNKNOWN"))) {
		h->local = true;
		return 0;
	}
	if (tako_str_eq(kind, TAKO_STR("TCP4")))
		return parse_v1_addresses(h, AF_INET, line) ? 0 : TAKO_EPROTO;
	if (tako_str_eq(kind, TAKO_STR("TCP6")))
		return parse_v1_addresses(h, AF_INET6, line) ? 0 : TAKO_EPROTO;
	return TAKO_EPROTO;
}

static int parse_v1(struct tako__proxy_header *h, const char *p, size_t n)
{
	size_t most = n < TAKO__PROXY_V1_BYTES ? n : TAKO__PROXY_V1_BYTES;
	const char *lf = memchr(p, '\n', most);
	int rc;

	if (!lf)
		return n < TAKO__PROXY_V1_BYTES ? 0 : TAKO_EPROTO;
	if (lf[-1] != '\r')
		return TAKO_EPROTO;
	rc = parse_v1_line(h,
	                   (tako_str){p + sizeof v1_start, (size_t)(lf - 1 - p) - sizeof v1_start});
	return rc < 0 ? rc : (int)(lf + 1 - p);
}

/* ---- Version 2: binary ------------------------------------------------------------------------------ */

uint32_t tako__crc32c(uint32_t crc, const char *p, size_t n)
{
	/* Of four bits at a time: headers are short. */
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	crc = ~crc;
	for (size_t i = 0; i < n; i++) {
		crc ^= (unsigned char)p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

bool tako__proxy_next_tlv(tako_str *rest, uint8_t *ret_type, tako_str *ret_value)
{
	size_t n;

	if (rest->n < 3)
		return false;
	n = get16(rest->p + 1);
	if (n > rest->n - 3)
		return false;
	*ret_type = (uint8_t)rest->p[0];
	*ret_value = (tako_str){rest->p + 3, n};
	rest->p += 3 + n;
	rest->n -= 3 + n;
	return true;
}

/* The sum is of the whole header with zeros in its own place. */
static bool check_crc(const char *header, size_t n, tako_str value)
{
	static const char zeros[4] = {0};
	const char *end = value.p + value.n;
	uint32_t crc = tako__crc32c(0, header, (size_t)(value.p - header));

	crc = tako__crc32c(crc, zeros, sizeof zeros);
	crc = tako__crc32c(crc, end, (size_t)(header + n - end));
	return crc == get32(value.p);
}

/* What stands behind the five bytes of an SSL value is type-length-values again. */
static bool check_ssl(tako_str value)
{
	tako_str rest = {value.p + 5, value.n - 5};
	tako_str inner;
	uint8_t type;

	if (value.n < 5)
		return false;
	while (tako__proxy_next_tlv(&rest, &type, &inner))
		;
	return rest.n == 0;
}

static bool check_tlvs(const char *header, size_t n, tako_str rest)
{
	bool summed = false;
	tako_str value;
	uint8_t type;

	while (tako__proxy_next_tlv(&rest, &type, &value)) {
		if (type == TLV_CRC32C && (summed || value.n != 4 || !check_crc(header, n, value)))
			return false;
		summed |= type == TLV_CRC32C;
		if (type == TLV_SSL && !check_ssl(value))
			return false;
		if (type == TLV_UNIQUE_ID && value.n > UNIQUE_ID_BYTES)
			return false;
	}
	return rest.n == 0;
}

/* Up to the first NUL, the first byte aside, where it makes the name an abstract one. */
static tako_str unix_path(const char *p)
{
	const char *nul = memchr(p + 1, '\0', UNIX_PATH_BYTES - 1);

	if (!p[0] && nul == p + 1)
		return (tako_str){p, 0};
	return (tako_str){p, nul ? (size_t)(nul - p) : UNIX_PATH_BYTES};
}

static void set_inet(union tako__proxy_addr *a, const char *addr, const char *port)
{
	a->in.sin_family = AF_INET;
	memcpy(&a->in.sin_addr, addr, 4);
	memcpy(&a->in.sin_port, port, 2);
}

static void set_inet6(union tako__proxy_addr *a, const char *addr, const char *port)
{
	a->in6.sin6_family = AF_INET6;
	memcpy(&a->in6.sin6_addr, addr, 16);
	memcpy(&a->in6.sin6_port, port, 2);
}

/* How long the addresses are; more than there can be: "must be rejected as invalid". */
static size_t address_bytes(unsigned family)
{
	static const size_t bytes[] = {0, 12, 36, 2 * (size_t)UNIX_PATH_BYTES};

	return family < TAKO__COUNT(bytes) ? bytes[family] : TAKO__PROXY_V2_MAX;
}

static void take_addresses(struct tako__proxy_header *h, unsigned family, const char *p)
{
	if (family == FAMILY_INET) {
		set_inet(&h->src, p, p + 8);
		set_inet(&h->dst, p + 4, p + 10);
	} else if (family == FAMILY_INET6) {
		set_inet6(&h->src, p, p + 32);
		set_inet6(&h->dst, p + 16, p + 34);
	} else if (family == FAMILY_UNIX) {
		h->src.any.sa_family = AF_UNIX;
		h->dst.any.sa_family = AF_UNIX;
		h->src_path = unix_path(p);
		h->dst_path = unix_path(p + UNIX_PATH_BYTES);
	}
}

static int take_v2(struct tako__proxy_header *h, const char *p, size_t n)
{
	unsigned command = (unsigned char)p[12] & 15;
	unsigned family = (unsigned char)p[13] >> 4;
	unsigned protocol = (unsigned char)p[13] & 15;
	size_t at = TAKO__PROXY_V2_BYTES + address_bytes(family);

	h->version = 2;
	/* "… the receiver … must discard the protocol block including the family which is ignored" */
	if (command == COMMAND_LOCAL) {
		h->local = true;
		return (int)n;
	}
	if (protocol > 2 || at > n)
		return TAKO_EPROTO;
	h->local = family == FAMILY_UNSPEC;
	h->dgram = protocol == 2;
	h->tlvs = (tako_str){p + at, n - at};
	if (!check_tlvs(p, n, h->tlvs))
		return TAKO_EPROTO;
	take_addresses(h, family, p + TAKO__PROXY_V2_BYTES);
	return (int)n;
}

static int parse_v2(struct tako__proxy_header *h, const char *p, size_t n, size_t max_bytes)
{
	size_t all;

	/* Wrong is wrong, however little is there. */
	if (n > 12 &&
	    ((unsigned char)p[12] >> 4 != 2 || ((unsigned char)p[12] & 15) > COMMAND_PROXY))
		return TAKO_EPROTO;
	if (n < TAKO__PROXY_V2_BYTES)
		return 0;
	all = TAKO__PROXY_V2_BYTES + get16(p + 14);
	if (all > max_bytes)
		return TAKO_ETOOBIG;
	return n < all ? 0 : take_v2(h, p, all);
}

/* ---- Either ------------------------------------------------------------------------------------------ */

/* 1: begins so; 0: as far as it goes; -1: no. */
static int begins(const char *p, size_t n, const char *with, size_t with_n)
{
	if (memcmp(p, with, n < with_n ? n : with_n) != 0)
		return -1;
	return n >= with_n;
}

int tako__proxy_parse(struct tako__proxy_header *ret, const char *p, size_t n, size_t max_bytes)
{
	int v1 = begins(p, n, v1_start, sizeof v1_start);
	int v2 = begins(p, n, v2_start, sizeof v2_start);

	memset(ret, 0, sizeof *ret);
	if (v1 > 0)
		return parse_v1(ret, p, n);
	if (v2 > 0)
		return parse_v2(ret, p, n, max_bytes);
	return v1 == 0 || v2 == 0 ? 0 : TAKO_ENOENT;
}

/* SPDX-License-Identifier: MIT
 *
 * See target.h.  Strict on purpose: what is neither an address as everybody writes it nor a name is refused,
 * since "0x7f.1" is a name to one parser and this machine to another.
 */
#include "core/target.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/local.h"

enum { NAME_MAX_BYTES = 253, LABEL_MAX_BYTES = 63 };

static int bad(tako_str text, const char *why)
{
	return tako__fail(TAKO_EINVAL, "target \"%.*s\": %s", text.n < 60 ? (int)text.n : 60,
	                  text.n ? text.p : "", why);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       c == '_';
}

/* ---- Hosts ------------------------------------------------------------------------------------ */

/* No domain ends in one, and many a parser takes what does for an address (WHATWG URL, section 3.5). */
static bool is_number(const char *p, size_t n)
{
	bool hex = n >= 2 && p[0] == '0' && (p[1] | 0x20) == 'x';

	for (size_t i = hex ? 2 : 0; i < n; i++) {
		char low = (char)(p[i] | 0x20);

		if (!is_digit(p[i]) && !(hex && low >= 'a' && low <= 'f'))
			return false;
	}
	return true;
}

/* Why it is no name; NULL: it is one.  Underscores are in use, whatever RFC 952 says. */
static const char *name_fault(const char *p, size_t n)
{
	size_t label = 0;
	size_t from = 0;

	if (n && p[n - 1] == '.') /* absolute */
		n--;
	if (!n || n > NAME_MAX_BYTES)
		return n ? "a name of more than 253 bytes" : "no host";
	for (size_t i = 0; i < n; i++) {
		label = p[i] == '.' ? 0 : label + 1;
		if (p[i] == '.')
			from = i + 1;
		if (p[i] != '.' && !is_word(p[i]))
			return "a byte that no name has";
		if (label > LABEL_MAX_BYTES || (p[i] == '.' && (i == 0 || p[i - 1] == '.')))
			return "a name whose parts are not of 1 to 63 bytes";
	}
	return is_number(p + from, n - from) ? "neither an IPv4 address nor a name" : NULL;
}

static int set_name(struct tako__target *ret, tako_str host, tako_str text)
{
	const char *fault = name_fault(host.p, host.n);

	if (fault)
		return bad(text, fault);
	memcpy(ret->host, host.p, host.n);
	return 0;
}

static int set_ip4(struct tako__target *ret)
{
	ret->sa.in.sin_family = AF_INET;
	ret->sa.in.sin_port = htons(ret->port);
	ret->sa_n = sizeof ret->sa.in;
	return 0;
}

/* Without brackets; the zone is an interface of this machine (RFC 4007 section 11). */
static int set_ip6(struct tako__target *ret, tako_str host, tako_str text)
{
	char *zone;

	if (host.n >= sizeof ret->host)
		return bad(text, "no IPv6 address");
	memcpy(ret->host, host.p, host.n);
	zone = strchr(ret->host, '%');
	if (zone)
		*zone++ = '\0';
	if (inet_pton(AF_INET6, ret->host, &ret->sa.in6.sin6_addr) != 1)
		return bad(text, "no IPv6 address");
	if (zone)
		ret->sa.in6.sin6_scope_id = if_nametoindex(zone);
	if (zone && !ret->sa.in6.sin6_scope_id)
		return bad(text, "there is no such interface");
	ret->sa.in6.sin6_family = AF_INET6;
	ret->sa.in6.sin6_port = htons(ret->port);
	ret->sa_n = sizeof ret->sa.in6;
	return 0;
}

static int set_host(struct tako__target *ret, tako_str host, uint16_t port, tako_str text)
{
	char ip[INET_ADDRSTRLEN];

	*ret = (struct tako__target){.port = port};
	if (!port)
		return bad(text, "port 0 is nobody's");
	if (host.n && memchr(host.p, '\0', host.n))
		return bad(text, "a byte that no name has");
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return set_ip6(ret, (tako_str){host.p + 1, host.n - 2}, text);
	if (host.n && host.n < sizeof ip) {
		memcpy(ip, host.p, host.n);
		ip[host.n] = '\0';
		if (inet_pton(AF_INET, ip, &ret->sa.in.sin_addr) == 1) {
			memcpy(ret->host, ip, host.n);
			return set_ip4(ret);
		}
	}
	return set_name(ret, host, text);
}

int tako__target_host(struct tako__target *ret, tako_str host, uint16_t port)
{
	return set_host(ret, host, port, host);
}

/* ---- All of it -------------------------------------------------------------------------------- */

/* 1 to 5 digits, as no port has more; 65536 and above: no port. */
static uint32_t parse_port(const char *p, size_t n)
{
	uint32_t port = 0;

	if (!n || n > 5)
		return UINT32_MAX;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(p[i]))
			return UINT32_MAX;
		port = port * 10 + (uint32_t)(p[i] - '0');
	}
	return port;
}

static int parse_local(struct tako__target *ret, tako_str text)
{
	char addr[TAKO__LOCAL_TEXT_BYTES];

	*ret = (struct tako__target){.port = 0};
	if (text.n >= sizeof addr || memchr(text.p, '\0', text.n))
		return bad(text, "longer than such an address is, or with a NUL in it");
	memcpy(addr, text.p, text.n);
	addr[text.n] = '\0';
	return tako__local_address(&ret->sa.any, sizeof ret->sa, &ret->sa_n, addr);
}

static bool begins(tako_str text, const char *with)
{
	size_t n = strlen(with);

	return text.n >= n && memcmp(text.p, with, n) == 0;
}

int tako__target_parse(struct tako__target *ret, tako_str text)
{
	const char *colon;
	tako_str host;
	uint32_t port;

	if (!text.n)
		return bad(text, "no address");
	if (begins(text, "unix:") || begins(text, "vsock:"))
		return parse_local(ret, text);
	colon = memrchr(text.p, ':', text.n);
	if (!colon)
		return bad(text, "without a port");
	host = (tako_str){text.p, (size_t)(colon - text.p)};
	if (memchr(host.p, ':', host.n) && host.p[0] != '[')
		return bad(text, "an IPv6 address stands in brackets, [::1]:80");
	port = parse_port(colon + 1, (size_t)(text.p + text.n - colon - 1));
	if (port > UINT16_MAX)
		return bad(text, "the port is not a number from 1 to 65535");
	return set_host(ret, host, (uint16_t)port, text);
}

size_t tako__target_format(const struct tako__target *t, char *buf, size_t n)
{
	int len;

	if (t->sa_n)
		return tako__local_format(&t->sa.any, t->sa_n, buf, n);
	len = snprintf(buf, n, "%s:%u", t->host, t->port);
	return len < 0 ? 0 : (size_t)len < n ? (size_t)len : n - 1;
}

/* SPDX-License-Identifier: MIT
 *
 * See cidr.h.  A set is searched from its beginning: they have a handful of entries, and are asked once
 * a connection.
 */
#include "core/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/mem.h"

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

static size_t set_bytes(uint32_t count)
{
	return sizeof(struct tako__cidrs) + count * sizeof(struct tako__cidr);
}

/* The next entry of a list; false at its end. */
static bool next_entry(const char **at, tako_str *ret)
{
	*at += strspn(*at, ", \t\r\n");
	*ret = (tako_str){*at, strcspn(*at, ", \t\r\n")};
	*at += ret->n;
	return ret->n > 0;
}

static int bad(const char *what, tako_str entry, const char *why)
{
	return tako__fail(TAKO_EINVAL, "%s: \"%.*s\" %s", what, entry.n > 64 ? 64 : (int)entry.n,
	                  entry.p, why);
}

/* Its decimal digits, without a leading zero that could mean something else. */
static bool parse_bits(tako_str digits, uint32_t max, uint32_t *ret)
{
	uint32_t value = 0;

	if (!digits.n || digits.n > 3 || (digits.n > 1 && digits.p[0] == '0'))
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(digits.p[i] - '0');
	}
	*ret = value;
	return value <= max;
}

/* What stands behind the prefix would be ignored, and is more often a slip than meant. */
static bool is_clean(const struct tako__cidr *c)
{
	for (uint32_t i = c->bits; i < 128; i++) {
		if (c->addr[i / 8] >> (7 - i % 8) & 1)
			return false;
	}
	return true;
}

static int parse_entry(struct tako__cidr *c, tako_str entry, const char *what)
{
	const char *slash = memchr(entry.p, '/', entry.n);
	size_t n = slash ? (size_t)(slash - entry.p) : entry.n;
	char text[INET6_ADDRSTRLEN];
	uint32_t max = 128;

	if (n >= sizeof text)
		return bad(what, entry, "is no address");
	memcpy(text, entry.p, n);
	text[n] = '\0';
	if (inet_pton(AF_INET, text, c->addr + 12) == 1) {
		memcpy(c->addr, mapped, sizeof mapped);
		max = 32;
	} else if (inet_pton(AF_INET6, text, c->addr) != 1) {
		return bad(what, entry, "is no address");
	}
	c->bits = max;
	if (slash && !parse_bits((tako_str){slash + 1, entry.n - n - 1}, max, &c->bits))
		return bad(what, entry, "has no prefix length of that family");
	c->bits += 128 - max;
	return is_clean(c) ? 0 : bad(what, entry, "has bits behind its prefix");
}

static int parse_all(struct tako__cidrs *set, const char *text, const char *what)
{
	tako_str entry;
	uint32_t i = 0;

	while (next_entry(&text, &entry)) {
		int rc;

		if (tako_str_eq(entry, TAKO_STR("unix:"))) {
			set->has_unix = true;
			continue;
		}
		rc = parse_entry(&set->list[i++], entry, what);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int tako__cidrs_parse(struct tako__cidrs **ret, const char *text, const char *what)
{
	struct tako__cidrs *set;
	const char *at = text;
	tako_str entry;
	size_t all = 0;
	uint32_t count = 0;
	int rc;

	for (; next_entry(&at, &entry); all++)
		count += !tako_str_eq(entry, TAKO_STR("unix:"));
	if (!all)
		return tako__fail(TAKO_EINVAL, "%s: no address in it", what);
	if (all > TAKO__CIDRS_MAX)
		return tako__fail(TAKO_ETOOBIG, "%s: more than %d addresses", what,
		                  TAKO__CIDRS_MAX);
	set = tako__zalloc(set_bytes(count));
	if (!set)
		return tako__fail(TAKO_ENOMEM, "%s: out of memory", what);
	set->count = count;
	rc = parse_all(set, text, what);
	if (rc < 0)
		tako__cidrs_free(set);
	else
		*ret = set;
	return rc;
}

void tako__cidrs_free(struct tako__cidrs *set)
{
	if (set)
		tako__free(set, set_bytes(set->count));
}

static bool matches(const struct tako__cidr *c, const unsigned char addr[16])
{
	size_t bytes = c->bits / 8;
	unsigned mask = 0xffu << (8 - c->bits % 8) & 0xffu;

	return memcmp(c->addr, addr, bytes) == 0 &&
	       (c->bits % 8 == 0 || ((c->addr[bytes] ^ addr[bytes]) & mask) == 0);
}

bool tako__cidrs_have(const struct tako__cidrs *set, const struct sockaddr *sa)
{
	unsigned char addr[16];

	if (!set)
		return false;
	if (sa->sa_family == AF_INET) {
		memcpy(addr, mapped, sizeof mapped);
		memcpy(addr + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	} else {
		return sa->sa_family == AF_UNIX && set->has_unix;
	}
	for (uint32_t i = 0; i < set->count; i++) {
		if (matches(&set->list[i], addr))
			return true;
	}
	return false;
}

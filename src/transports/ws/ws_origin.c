/* SPDX-License-Identifier: MIT
 *
 * See ws_origin.h.
 */
#include "transports/ws/ws_origin.h"

#include <string.h>

#include "core/base.h"
#include "core/host.h"
#include "core/str.h"

static bool is_scheme(tako_str s)
{
	if (!s.n || !tako__is(s.p[0], TAKO__C_ALPHA))
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!tako__is(s.p[i], TAKO__C_ALPHA | TAKO__C_DIGIT) && !memchr("+-.", s.p[i], 3))
			return false;
	}
	return true;
}

static uint16_t usual_port(tako_str scheme)
{
	if (tako_str_ieq(scheme, TAKO_STR("https")) || tako_str_ieq(scheme, TAKO_STR("wss")))
		return 443;
	if (tako_str_ieq(scheme, TAKO_STR("http")) || tako_str_ieq(scheme, TAKO_STR("ws")))
		return 80;
	return 0;
}

/* The first of s, SIZE_MAX if there is none. */
static size_t find(tako_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

int tako__origin_parse(struct tako__origin *ret, tako_str s)
{
	size_t colon = s.p ? find(s, ':') : SIZE_MAX;
	char key[TAKO__HOST_MAX_BYTES + 1];
	size_t key_n, skip, end;
	uint64_t port;
	tako_str rest;

	if (colon == SIZE_MAX || s.n - colon < 4 || memcmp(s.p + colon, "://", 3) != 0)
		return TAKO_EINVAL;
	ret->scheme = (tako_str){s.p, colon};
	ret->port = usual_port(ret->scheme);
	rest = (tako_str){s.p + colon + 3, s.n - colon - 3};
	/* The colons of an IPv6 address are in brackets. */
	skip = rest.p[0] == '[' ? find(rest, ']') : 0;
	if (skip == SIZE_MAX || !is_scheme(ret->scheme))
		return TAKO_EINVAL;
	end = find((tako_str){rest.p + skip, rest.n - skip}, ':');
	ret->host = (tako_str){rest.p, end == SIZE_MAX ? rest.n : skip + end};
	if (ret->host.n > TAKO__HOST_MAX_BYTES || rest.p[0] == '*' ||
	    tako__host_key(key, &key_n, ret->host.p, ret->host.n) < 0)
		return TAKO_EINVAL;
	if (end == SIZE_MAX)
		return 0;
	/* Nobody writes a port with zeros in front of it but who wants to be taken for another. */
	if (rest.n - skip - end < 2 || rest.p[skip + end + 1] == '0' ||
	    tako__parse_u64(rest.p + skip + end + 1, rest.n - skip - end - 1, &port) < 0 ||
	    port > 65535)
		return TAKO_EINVAL;
	ret->port = (uint16_t)port;
	return 0;
}

bool tako__origin_eq(const struct tako__origin *a, const struct tako__origin *b)
{
	return a->port == b->port && tako_str_ieq(a->scheme, b->scheme) &&
	       tako_str_ieq(a->host, b->host);
}

int tako__origins_check(const char *const *list)
{
	struct tako__origin o;

	for (; list && *list; list++) {
		if (tako__origin_parse(&o, tako_str_z(*list)) < 0)
			return tako__fail(TAKO_EINVAL, "\"%s\" is no origin", *list);
	}
	return 0;
}

bool tako__origin_allowed(tako_str from, const char *const *list)
{
	struct tako__origin mine, o;

	if (!list)
		return true;
	if (tako__origin_parse(&mine, from) < 0)
		return false;
	for (; *list; list++) {
		if (tako__origin_parse(&o, tako_str_z(*list)) == 0 && tako__origin_eq(&mine, &o))
			return true;
	}
	return false;
}

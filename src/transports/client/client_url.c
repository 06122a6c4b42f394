/* SPDX-License-Identifier: MIT
 *
 * A URL, taken apart once and checked by what the server's side would take for a target and a Host.
 */
#include "transports/client/client_url.h"

#include <string.h>

#include "core/base.h"
#include "core/str.h"
#include "transports/h1/h1_scan.h"
#include "transports/h1/h1_target.h"

/* How much of `s` there is before any of the bytes in `set`. */
static size_t span(tako_str s, const char *set)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] == '\0' || !strchr(set, s.p[i])))
		i++;
	return i;
}

static tako_str skip(tako_str s, size_t n)
{
	return (tako_str){s.p + n, s.n - n};
}

static int scheme(struct tako__url *u, tako_str *s)
{
	static const tako_str http = {"http://", 7};
	static const tako_str https = {"https://", 8};

	u->tls = s->n >= https.n && tako__str_ieq(s->p, https.p, https.n);
	if (!u->tls && !(s->n >= http.n && tako__str_ieq(s->p, http.p, http.n)))
		return tako__fail(TAKO_EINVAL, "url: it does not begin with http:// or https://");
	*s = skip(*s, u->tls ? https.n : http.n);
	return 0;
}

/* The port behind the host, at a.p[host_n]. */
static int port(struct tako__url *u, tako_str a, size_t host_n)
{
	uint16_t usual = u->tls ? 443 : 80;
	uint64_t n = usual;

	u->authority = a;
	if (host_n < a.n && host_n + 1 < a.n &&
	    (tako__parse_u64(a.p + host_n + 1, a.n - host_n - 1, &n) < 0 || n > UINT16_MAX || !n))
		return tako__fail(TAKO_EINVAL, "url: a port that is not 1 to 65535");
	u->port = (uint16_t)n;
	/* RFC 9110 section 4.2.3: the same as without. */
	if (u->port == usual)
		u->authority.n = host_n;
	return 0;
}

static int authority(struct tako__url *u, tako_str a)
{
	size_t host_n = span(a, ":");

	if (memchr(a.p, '@', a.n))
		return tako__fail(TAKO_EINVAL, "url: credentials in front of the host");
	if (a.n && a.p[0] == '[') {
		host_n = span(a, "]");
		host_n += host_n < a.n;
	}
	if (!host_n || !tako__h1_host_ok(a.p, a.n))
		return tako__fail(TAKO_EINVAL, "url: no host, or one that is none");
	u->host = (tako_str){a.p, host_n};
	if (a.p[0] == '[')
		u->host = (tako_str){a.p + 1, host_n - 2};
	return port(u, a, host_n);
}

static int target(struct tako__url *u, tako_str t)
{
	size_t path_n;

	t.n = span(t, "#");
	for (size_t i = 0; i < t.n; i++) {
		if (!tako__h1_is(t.p[i], TAKO__H1_TARGET))
			return tako__fail(TAKO_EINVAL, "url: byte 0x%02x has to be escaped",
			                  (unsigned char)t.p[i]);
	}
	path_n = span(t, "?");
	u->path = path_n ? (tako_str){t.p, path_n} : TAKO_STR("/");
	u->query = path_n < t.n ? skip(t, path_n) : (tako_str){NULL, 0};
	return 0;
}

int tako__url_parse(struct tako__url *ret, tako_str url)
{
	tako_str s = url;
	size_t n;
	int rc;

	if (!s.p || s.n > TAKO__URL_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "url: %s", s.p ? "longer than 8192 bytes" : "none");
	rc = scheme(ret, &s);
	if (rc < 0)
		return rc;
	n = span(s, "/?#");
	rc = authority(ret, (tako_str){s.p, n});
	return rc < 0 ? rc : target(ret, skip(s, n));
}

/* ---- References ------------------------------------------------------------------------ */

enum { SCHEME_BYTES = 8 }; /* "https://" */

/* RFC 3986 section 3.1: a colon in front of any of "/?#" ends a scheme, if what is before it can be one. */
static bool has_scheme(tako_str ref)
{
	size_t n = span(ref, ":/?#");

	if (n == ref.n || ref.p[n] != ':')
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = (char)(ref.p[i] | 0x20);
		bool alpha = c >= 'a' && c <= 'z';

		if (!alpha && !(i && ref.p[i] && strchr("0123456789+-.", ref.p[i])))
			return false;
	}
	return n > 0;
}

/* RFC 3986 section 5.2.4, where it is; every path here begins with a slash. */
static size_t remove_dots(char *p, size_t n)
{
	size_t to = 0;
	size_t seg_n;

	for (size_t at = 0; at < n; at += seg_n) {
		bool last;

		seg_n = 1 + span((tako_str){p + at + 1, n - at - 1}, "/");
		last = at + seg_n == n;
		if (seg_n == 2 && p[at + 1] == '.') {
			p[to] = '/';
			to += last;
		} else if (seg_n == 3 && p[at + 1] == '.' && p[at + 2] == '.') {
			while (to && p[--to] != '/')
				continue;
			p[to] = '/';
			to += last;
		} else {
			memmove(p + to, p + at, seg_n);
			to += seg_n;
		}
	}
	return to;
}

static size_t put(char *buf, size_t at, tako_str s)
{
	if (s.n)
		memcpy(buf + at, s.p, s.n);
	return at + s.n;
}

size_t tako__url_resolve_bytes(const struct tako__url *base, tako_str ref)
{
	return SCHEME_BYTES + base->authority.n + base->path.n + base->query.n + ref.n + 1;
}

/* RFC 3986 section 5.2.2 up to the path's dots. */
static size_t join(char *buf, const struct tako__url *base, tako_str ref)
{
	tako_str path = base->path;
	char first = ref.n ? ref.p[0] : '#';
	size_t n = 0;

	if (has_scheme(ref))
		return put(buf, 0, ref);
	n = put(buf, n, base->tls ? TAKO_STR("https:") : TAKO_STR("http:"));
	if (ref.n > 1 && first == '/' && ref.p[1] == '/')
		return put(buf, n, ref);
	n = put(buf, n, TAKO_STR("//"));
	n = put(buf, n, base->authority);
	if (first == '#' || first == '?') {
		n = put(buf, n, path);
		if (first == '#')
			n = put(buf, n, base->query);
	} else if (first != '/') {
		while (path.p[path.n - 1] != '/')
			path.n--;
		n = put(buf, n, path);
	}
	return put(buf, n, ref);
}

int tako__url_resolve(struct tako__url *ret, char *buf, const struct tako__url *base, tako_str ref)
{
	int rc = tako__url_parse(ret, (tako_str){buf, join(buf, base, ref)});

	/* One that stands for none is not in buf, and has no dots. */
	if (rc == 0 && ret->path.n > 1)
		ret->path.n = remove_dots(buf + (ret->path.p - buf), ret->path.n);
	return rc;
}

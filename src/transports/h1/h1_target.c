/* SPDX-License-Identifier: MIT
 *
 * Request-targets that are not a plain path, and hosts.  Works on what the scans have already
 * found to be TAKO__H1_TARGET, or to be a field's value: no control characters, no NUL.
 */
#include <arpa/inet.h>
#include <string.h>

#include "core/base.h"
#include "transports/h1/h1_scan.h"
#include "transports/h1/h1_target.h"

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

bool tako__h1_port_ok(const char *p, size_t n)
{
	unsigned port = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		port = port * 10 + (unsigned)(p[i] - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

/* RFC 3986 3.2.2: IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ). */
static bool is_future(const char *p, size_t n)
{
	size_t i = 1;

	if (!n || (p[0] | 0x20) != 'v')
		return false;
	while (i < n && is_hex(p[i]))
		i++;
	if (i == 1 || i + 1 >= n || p[i] != '.')
		return false;
	for (i++; i < n; i++) {
		if (p[i] != ':' && !tako__h1_is(p[i], TAKO__H1_HOST))
			return false;
	}
	return true;
}

/* What stands between the brackets of an IP-literal.  A zone (RFC 6874) has no meaning
 * outside its sender's machine and is refused. */
static bool is_ip_literal(const char *p, size_t n)
{
	char z[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (n >= sizeof(z))
		return is_future(p, n);
	memcpy(z, p, n);
	z[n] = '\0';
	return inet_pton(AF_INET6, z, &addr) == 1 || is_future(p, n);
}

/* reg-name, where a percent sign must start an escape. */
static size_t name_end(const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (tako__h1_is(p[i], TAKO__H1_HOST))
			i++;
		else if (p[i] == '%' && n - i > 2 && is_hex(p[i + 1]) && is_hex(p[i + 2]))
			i += 3;
		else
			break;
	}
	return i;
}

/* Where the host ends that starts at p; 0 for an empty one, n + 1 if it is malformed. */
static size_t host_end(const char *p, size_t n)
{
	const char *close;

	if (!n || p[0] != '[')
		return name_end(p, n);
	close = memchr(p, ']', n);
	if (!close || !is_ip_literal(p + 1, (size_t)(close - p) - 1))
		return n + 1;
	return (size_t)(close - p) + 1;
}

bool tako__h1_host_ok(const char *p, size_t n)
{
	size_t end = host_end(p, n);

	if (end >= n)
		return end == n;
	/* A port needs a host: the http scheme has no empty one (RFC 9110 4.2.1). */
	return end && p[end] == ':' && tako__h1_port_ok(p + end + 1, n - end - 1);
}

/* Split off the query and look at what is left of the path. */
static void split_path(struct tako__h1_head *h, tako_str rest)
{
	const char *query = memchr(rest.p, '?', rest.n);

	if (query) {
		h->query = (tako_str){query + 1, (size_t)(rest.p + rest.n - query) - 1};
		rest.n = (size_t)(query - rest.p);
	}
	h->path = rest;
	if (memchr(rest.p, '%', rest.n))
		h->path_flags |= TAKO__PATH_ESCAPED;
	if (memmem(rest.p, rest.n, "/.", 2))
		h->path_flags |= TAKO__PATH_DOTS;
}

/* CONNECT's host:port, port included and not 0 (RFC 9112 3.2.3, RFC 9110 9.3.6). */
static bool split_authority(struct tako__h1_head *h)
{
	tako_str t = h->target;
	size_t port = host_end(t.p, t.n) + 1;

	if (!tako__h1_host_ok(t.p, t.n))
		return false;
	while (port < t.n && t.p[port] == '0')
		port++;
	if (port >= t.n)
		return false;
	h->form = TAKO__H1_AUTHORITY;
	h->authority = t;
	h->path = (tako_str){t.p, 0};
	return true;
}

/* "http://" or "https://", case-insensitively: its length, or 0. */
static size_t scheme_length(tako_str t)
{
	static const char https[] = "https";
	size_t n = 0;

	while (n < 5 && n < t.n && (t.p[n] | 0x20) == https[n])
		n++;
	return n >= 4 && t.n >= n + 3 && !memcmp(t.p + n, "://", 3) ? n + 3 : 0;
}

static bool split_absolute(struct tako__h1_head *h)
{
	tako_str t = h->target;
	size_t from = scheme_length(t);
	size_t end = from;

	while (end < t.n && t.p[end] != '/' && t.p[end] != '?')
		end++;
	/* Userinfo ('@') is no host either: RFC 9110 4.2.4 wants it treated as an error. */
	if (!from || end == from || !tako__h1_host_ok(t.p + from, end - from))
		return false;
	h->form = TAKO__H1_ABSOLUTE;
	h->authority = (tako_str){t.p + from, end - from};
	split_path(h, (tako_str){t.p + end, t.n - end});
	/* An empty path is "/" (RFC 9110 4.2.3), but for OPTIONS without a query it is how a
	 * client asks through a proxy for "*" (RFC 9112 3.2.4). */
	if (!h->path.n)
		h->path = h->method_id == TAKO__OPTIONS && !h->query.p ? TAKO_STR("*")
		                                                       : TAKO_STR("/");
	return true;
}

bool tako__h1_target_split(struct tako__h1_head *h)
{
	if (h->method_id == TAKO__CONNECT)
		return split_authority(h);
	if (h->target.n == 1 && h->target.p[0] == '*') {
		h->form = TAKO__H1_ASTERISK;
		h->path = h->target;
		return h->method_id == TAKO__OPTIONS;
	}
	return split_absolute(h);
}

/* SPDX-License-Identifier: MIT
 *
 * Host keys, and the search for them.
 */
#include "core/host.h"

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/str.h"

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static bool is_label(char c)
{
	return tako__is(c, TAKO__C_DIGIT | TAKO__C_ALPHA) || c == '-' || c == '_';
}

/* Labels of at least one byte, between dots. */
static bool is_name(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool first = i == 0 || p[i - 1] == '.';

		if (!is_label(p[i]) && (p[i] != '.' || first))
			return false;
	}
	return n > 0 && p[n - 1] != '.';
}

/* "[::1]"; what stands inside is compared, not understood. */
static bool is_literal(const char *p, size_t n)
{
	if (n < 4 || p[0] != '[' || p[n - 1] != ']')
		return false;
	for (size_t i = 1; i < n - 1; i++) {
		if (!is_label(p[i]) && p[i] != ':' && p[i] != '.')
			return false;
	}
	return true;
}

int tako__host_key(char *key, size_t *ret_n, const char *name, size_t n)
{
	bool wild = n > 2 && name[0] == '*' && name[1] == '.';
	const char *from = wild ? name + 1 : name;
	size_t len = wild ? n - 1 : n;

	if (len > 1 && from[len - 1] == '.')
		len--;
	if (len > TAKO__HOST_MAX_BYTES)
		return tako__fail(TAKO_EINVAL, "host is longer than %d bytes",
		                  TAKO__HOST_MAX_BYTES);
	for (size_t i = 0; i < len; i++)
		key[i] = lower(from[i]);
	if (!(wild ? is_name(key + 1, len - 1) : is_name(key, len) || is_literal(key, len)))
		return tako__fail(TAKO_EINVAL, "no host name, or one with a port: \"%.*s\"", (int)n,
		                  name);
	*ret_n = len;
	return TAKO_OK;
}

/* By length first: most comparisons of a search then look at no text. */
static int cmp(const char *a, size_t a_n, tako_str key)
{
	if (a_n != key.n)
		return a_n < key.n ? -1 : 1;
	for (size_t i = 0; i < a_n; i++) {
		unsigned char c = (unsigned char)lower(a[i]);
		unsigned char k = (unsigned char)key.p[i];

		if (c != k)
			return c < k ? -1 : 1;
	}
	return 0;
}

static int cmp_entries(const void *a, const void *b)
{
	const struct tako__host_entry *x = a;
	const struct tako__host_entry *y = b;

	return cmp(x->key.p, x->key.n, y->key);
}

void tako__host_sort(struct tako__host_entry *v, size_t count)
{
	qsort(v, count, sizeof(*v), cmp_entries);
}

static const void *search(const struct tako__host_entry *v, size_t count, const char *p, size_t n)
{
	size_t low = 0;

	while (low < count) {
		size_t mid = low + (count - low) / 2;
		int order = cmp(p, n, v[mid].key);

		if (!order)
			return v[mid].value;
		if (order < 0)
			count = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* Without port and final dot.  A colon in brackets is no port (RFC 3986 section 3.2.2). */
static size_t bare_length(tako_str host)
{
	const char *from = host.n && host.p[0] == '[' ? memchr(host.p, ']', host.n) : host.p;
	const char *colon = from ? memchr(from, ':', host.n - (size_t)(from - host.p)) : NULL;
	size_t n = colon ? (size_t)(colon - host.p) : host.n;

	return n > 1 && host.p[n - 1] == '.' ? n - 1 : n;
}

const void *tako__host_find(const struct tako__host_entry *v, size_t count, tako_str host)
{
	size_t n = host.p ? bare_length(host) : 0;
	const char *p = host.p;
	const void *value;
	size_t i = 1;

	/* A key with a dot in front is a wildcard's, not to be asked for as it is. */
	if (!n || p[0] == '.')
		return NULL;
	value = search(v, count, p, n);
	if (n > TAKO__HOST_MAX_BYTES)
		i = n - TAKO__HOST_MAX_BYTES;
	/* From the left, so that the longest wildcard comes first. */
	for (; !value && i < n; i++) {
		if (p[i] == '.')
			value = search(v, count, p + i, n - i);
	}
	return value;
}

/* SPDX-License-Identifier: MIT
 *
 * Template: the walk over a usual request head, compiled once for each SIMD instruction set.
 * It accepts or it passes: whatever is unusual, incomplete or wrong goes to the portable
 * parser, which starts over and is the only one that ever refuses.  So a mistake here can
 * be one of two kinds only, accepting too much or filling in otherwise, and both show when
 * the two parsers are run side by side, as the tests do.
 *
 * Included by h1_{sse42,avx2}.c, after H1_FN(), H1_TARGET, H1_INLINE, H1_MIN_BYTES, the masks
 * and h1_simd_scan.h.
 */
#include "core/base.h"
#include "transports/h1/h1_parse.h"
#include "transports/h1/h1_target.h"

/* Line ends ahead.  A block of 64 bytes is classified once, however many lines are in it:
 * finding the next line is then two instructions, and waits for no load. */
struct H1_FN(lines) {
	const char *p;
	size_t n;         /* one less than there is, so that a CR always has a byte after it */
	size_t base;      /* of the block */
	uint64_t pending; /* odd bytes in it that have not been looked at */
};

/* Where the line that starts at i ends: at its CR.  False if something odd comes first. */
H1_INLINE bool H1_FN(line_end)(struct H1_FN(lines) * l, size_t i, size_t *end)
{
	while (!l->pending) {
		l->base += 64;
		if (TAKO__UNLIKELY(l->base >= l->n))
			return false;
		l->pending = H1_FN(odd64)(l->p, l->base, l->n);
		/* The LF of a CR that was the last byte of the block before. */
		if (TAKO__UNLIKELY(i > l->base))
			l->pending &= ~(uint64_t)1;
	}
	*end = l->base + H1_FIRST(l->pending);
	/* Drops the CR and, in the same block, its LF. */
	l->pending &= l->pending - 1;
	l->pending &= l->pending - 1;
	return TAKO__LIKELY(tako__h1_load16(l->p + *end) == TAKO__H1_CRLF);
}

/* The request line, whose CR is at `end`; false to pass. */
H1_INLINE bool H1_FN(request_line)(struct tako__h1_head *h, const char *p, size_t end, size_t n,
                                   const struct tako__h1_limits *lim)
{
	struct tako__h1_marks m;
	uint64_t version;
	size_t i = 4;

	if (TAKO__UNLIKELY(end < 14 || end > lim->max_line_bytes))
		return false;
	h->method_id = TAKO__GET;
	if (TAKO__UNLIKELY(tako__h1_load32(p) != TAKO__H1_GET)) {
		i = H1_FN(skip)(TAKO__H1_NIB_TOKEN, p, 0, n);
		if (i >= end || !i || i > TAKO__METHOD_MAX_BYTES || p[i] != ' ')
			return false;
		h->method_id = (uint8_t)tako__method_id(p, i);
		i++;
	}
	version = tako__h1_load64(p + end - 8);
	if (TAKO__UNLIKELY(p[i] != '/' || (version | TAKO__H1_MINOR_BIT) != TAKO__H1_HTTP11 ||
	                   h->method_id == TAKO__CONNECT))
		return false;
	H1_FN(target)(p, i, n, &m);
	if (TAKO__UNLIKELY(m.end != end - 9 || p[m.end] != ' '))
		return false;
	h->minor = version == TAKO__H1_HTTP11;
	h->method = (tako_str){p, i - 1};
	h->target = (tako_str){p + i, m.end - i};
	h->path = (tako_str){p + i, m.query - i};
	h->path_flags = (uint8_t)m.flags;
	if (m.query != m.end)
		h->query = (tako_str){p + m.query + 1, m.end - m.query - 1};
	h->got_line = true;
	return true;
}

/* Whether the value_n bytes at p + i are a host; there are at least 8 bytes before them. */
H1_INLINE bool H1_FN(host_ok)(const char *p, size_t i, size_t n, size_t value_n)
{
	uint64_t stop = H1_FN(outside32)(TAKO__H1_NIB_HOST, p, i, n);
	size_t name_n = H1_FIRST(stop);
	size_t port_n = value_n - name_n - 1;
	uint64_t port;

	if (TAKO__LIKELY(stop && name_n == value_n))
		return true;
	/* A number of up to four digits: shifted in from above, behind "0000"s. */
	if (TAKO__LIKELY(name_n - 1 < 31 && p[i + name_n] == ':' && port_n - 1 < 4)) {
		port = tako__h1_load64(p + i + value_n - 8) >> (64 - 8 * port_n);
		port |= 0x3030303030303030u << (8 * port_n);
		/* All are digits: 0x3X before and after adding 6. */
		return ((port & 0xf0f0f0f0f0f0f0f0u) |
		        ((port + 0x0606060606060606u) & 0xf0f0f0f0f0f0f0f0u) >> 4) ==
		       0x3333333333333333u;
	}
	return tako__h1_host_ok(p + i, value_n);
}

/* A field that means something to the parser itself; false to pass. */
H1_INLINE bool H1_FN(special)(struct tako__h1_head *h, const struct tako__field *f, const char *p,
                              size_t n)
{
	if (f->name_n == 4 && (tako__h1_load32(f->name) | 0x20202020u) == TAKO__H1_HOST_NAME) {
		if (h->seen & TAKO__H1_SEEN_HOST)
			return false;
		h->seen |= TAKO__H1_SEEN_HOST;
		h->host = (tako_str){f->value, f->value_n};
		return H1_FN(host_ok)(p, (size_t)(f->value - p), n, f->value_n);
	}
	return tako__h1_field(h, f) == 0;
}

/* The field line at p + i, whose CR is at `end`; false to pass. */
H1_INLINE bool H1_FN(field)(struct tako__h1_head *h, struct tako__field *f, const char *p, size_t i,
                            size_t end, size_t n)
{
	uint64_t stop = H1_FN(outside32)(TAKO__H1_NIB_TOKEN, p, i, n);
	size_t name_n = H1_FIRST(stop);
	size_t v = i + name_n + 2;

	/* One to 31 bytes of name; no blank or exactly one before the value is usual. */
	if (TAKO__UNLIKELY(name_n - 1 >= 31))
		return false;
	if (TAKO__UNLIKELY(tako__h1_load16(p + v - 2) != TAKO__H1_COLON_SPACE)) {
		if (p[v - 2] != ':')
			return false;
		v--;
	}
	/* What is in a value is at least ' '; CR means that it is empty. */
	if (TAKO__UNLIKELY(p[v] <= ' ' || p[end - 1] == ' ')) {
		while (p[v] == ' ')
			v++;
		while (end > v && p[end - 1] == ' ')
			end--;
	}
	f->name = p + i;
	f->value = p + v;
	f->name_n = (uint32_t)name_n;
	f->value_n = (uint32_t)(end - v);
	if (TAKO__LIKELY(!(tako__h1_special[p[i] & 31] >> name_n & 1)))
		return true;
	return H1_FN(special)(h, f, p, n);
}

/* Bytes used, or 0 to pass. */
H1_INLINE int H1_FN(walk)(struct tako__h1_head *h, const char *p, size_t n,
                          const struct tako__h1_limits *lim)
{
	struct H1_FN(lines) l = {p, n - 1, 0, H1_FN(odd64)(p, 0, n - 1)};
	struct tako__field *f = h->fields;
	const struct tako__field *last = f + lim->max_fields;
	size_t end;
	size_t i;

	tako__h1_clear(h);
	if (TAKO__UNLIKELY(!H1_FN(line_end)(&l, 0, &end) ||
	                   !H1_FN(request_line)(h, p, end, n, lim)))
		return 0;
	for (;; f++) {
		i = end + 2;
		if (TAKO__UNLIKELY(!H1_FN(line_end)(&l, i, &end)))
			return 0;
		if (end == i)
			break;
		if (TAKO__UNLIKELY(f == last || !H1_FN(field)(h, f, p, i, end, n)))
			return 0;
	}
	h->field_count = (uint32_t)(f - h->fields);
	h->keep_alive = h->minor;
	if (TAKO__UNLIKELY(tako__h1_unusual(h) && tako__h1_finish(h)))
		return 0;
	return (int)end + 2;
}

H1_TARGET static int H1_FN(parse)(struct tako__h1_head *h, const char *p, size_t n,
                                  const struct tako__h1_limits *lim)
{
	int used = n <= H1_MIN_BYTES ? 0 : H1_FN(walk)(h, p, n, lim);

	return TAKO__LIKELY(used) ? used : tako__h1_isa_portable.parse(h, p, n, lim);
}

/* SPDX-License-Identifier: MIT
 *
 * The Range field's grammar, and what to make of many ranges: overlapping and touching ones are
 * joined and greedy sets ignored, so that no request makes an answer larger than the file
 * (RFC 9110 section 17.15).
 */
#include "core/static_range.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base.h"
#include "core/str.h"

/* ---- One range-spec --------------------------------------------------------------- */

/* A number too large to hold is larger than any file. */
static bool number(uint64_t *ret, const char *p, size_t n)
{
	int rc = tako__parse_u64(p, n, ret);

	if (rc == TAKO_ETOOBIG)
		*ret = UINT64_MAX;
	return rc == 0 || rc == TAKO_ETOOBIG;
}

/* "-500": the last so many bytes.  1, or 0 if that is nothing. */
static int parse_suffix(tako_str spec, uint64_t size, struct tako__range *ret)
{
	uint64_t n;

	if (!number(&n, spec.p + 1, spec.n - 1))
		return TAKO_EINVAL;
	/* Of nothing this asks for all there is (RFC 9110 section 14.1.3), which no Content-Range
	 * can say: the whole of nothing is sent instead. */
	if (n > 0 && size == 0)
		return TAKO_EINVAL;
	ret->n = n < size ? n : size;
	ret->first = size - ret->n;
	return ret->n > 0;
}

/* "0-499" or "500-" (RFC 9110 section 14.1.2). */
static int parse_from(tako_str spec, size_t dash, uint64_t size, struct tako__range *ret)
{
	uint64_t last = UINT64_MAX;
	uint64_t first;

	if (!number(&first, spec.p, dash))
		return TAKO_EINVAL;
	if (dash + 1 < spec.n && !number(&last, spec.p + dash + 1, spec.n - dash - 1))
		return TAKO_EINVAL;
	if (last < first)
		return TAKO_EINVAL;
	if (first >= size)
		return 0;
	if (last >= size)
		last = size - 1;
	*ret = (struct tako__range){first, last - first + 1};
	return 1;
}

/* 1: *ret is set; 0: right, but there are no such bytes. */
static int parse_spec(tako_str spec, uint64_t size, struct tako__range *ret)
{
	const char *dash = memchr(spec.p, '-', spec.n);

	if (!dash)
		return TAKO_EINVAL;
	if (dash == spec.p)
		return parse_suffix(spec, size, ret);
	return parse_from(spec, (size_t)(dash - spec.p), size, ret);
}

/* ---- Sets of them -------------------------------------------------------------------- */

static bool touch(const struct tako__range *a, const struct tako__range *b)
{
	return a->first <= b->first + b->n && b->first <= a->first + a->n;
}

static void join(struct tako__range *to, const struct tako__range *from)
{
	uint64_t to_end = to->first + to->n;
	uint64_t from_end = from->first + from->n;

	if (from->first < to->first)
		to->first = from->first;
	to->n = (from_end > to_end ? from_end : to_end) - to->first;
}

/* Add `r` to ranges of which no two touch, in the place of the first that it touches
 * (RFC 9110 section 15.3.7.2: in the order asked for).  One pass is enough: joined with one of
 * them it touches no others than either did.  Returns the new count. */
static unsigned add(struct tako__range *list, unsigned count, struct tako__range r)
{
	unsigned place = count;
	unsigned i = 0;

	while (i < count) {
		if (!touch(&list[i], &r)) {
			i++;
			continue;
		}
		join(&r, &list[i]);
		count--;
		memmove(&list[i], &list[i + 1], (count - i) * sizeof(*list));
		place = i < place ? i : place;
	}
	memmove(&list[place + 1], &list[place], (count - place) * sizeof(*list));
	list[place] = r;
	return count + 1;
}

/* The next spec of the set and `rest` moved behind it; false at the end.  Empty ones are passed
 * over (RFC 9110 section 5.6.1.2). */
static bool next_spec(tako_str *rest, tako_str *ret)
{
	while (rest->n) {
		const char *comma = memchr(rest->p, ',', rest->n);
		size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
		size_t used = comma ? n + 1 : n;

		*ret = tako__str_trim((tako_str){rest->p, n});
		*rest = (tako_str){rest->p + used, rest->n - used};
		if (ret->n)
			return true;
	}
	return false;
}

int tako__range_parse(tako_str value, uint64_t size, struct tako__range *out, unsigned max)
{
	const tako_str unit = TAKO_STR("bytes=");
	uint64_t left = size;
	unsigned specs = 0;
	unsigned count = 0;
	tako_str spec;

	/* Units compare without case (RFC 9110 section 14.1). */
	if (value.n < unit.n || !tako__str_ieq(value.p, unit.p, unit.n))
		return 0;
	value = (tako_str){value.p + unit.n, value.n - unit.n};
	while (next_spec(&value, &spec)) {
		struct tako__range r = {0};
		int rc = parse_spec(spec, size, &r);

		if (rc < 0 || ++specs > max || specs > TAKO__RANGES_MAX)
			return 0;
		if (rc == 0)
			continue;
		/* Before they are joined: who asks for the same bytes again and again gets the
		 * file once. */
		if (r.n > left)
			return 0;
		left -= r.n;
		count = add(out, count, r);
	}
	if (!specs)
		return 0;
	return count ? (int)count : TAKO_ENOENT;
}

/* ---- Output ------------------------------------------------------------------------------ */

size_t tako__content_range(char to[TAKO__CONTENT_RANGE_BYTES], const struct tako__range *r,
                           uint64_t size)
{
	int n;

	if (r)
		n = snprintf(to, TAKO__CONTENT_RANGE_BYTES,
		             "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, r->first,
		             r->first + r->n - 1, size);
	else
		n = snprintf(to, TAKO__CONTENT_RANGE_BYTES, "bytes */%" PRIu64, size);
	return (size_t)n;
}

static char *put(char *to, tako_str s)
{
	memcpy(to, s.p, s.n);
	return to + s.n;
}

static char *put_field(char *to, tako_str name, tako_str value)
{
	to = put(to, name);
	to = put(to, TAKO_STR(": "));
	to = put(to, value);
	return put(to, TAKO_STR("\r\n"));
}

size_t tako__part_bytes_max(const struct tako__parts *p)
{
	return 128 + TAKO__BOUNDARY_BYTES + TAKO__CONTENT_RANGE_BYTES + p->type.n + p->encoding.n;
}

/* The coding goes into each part, as a field of the whole would say that the multipart body
 * itself is coded. */
size_t tako__part_head(char *to, const struct tako__parts *p, const struct tako__range *r,
                       bool first)
{
	char range[TAKO__CONTENT_RANGE_BYTES];
	size_t range_n = tako__content_range(range, r, p->size);
	char *at = to;

	if (!first)
		at = put(at, TAKO_STR("\r\n"));
	at = put(at, TAKO_STR("--"));
	at = put(at, (tako_str){p->boundary, TAKO__BOUNDARY_BYTES});
	at = put(at, TAKO_STR("\r\n"));
	at = put_field(at, TAKO_STR("Content-Type"), p->type);
	if (p->encoding.p)
		at = put_field(at, TAKO_STR("Content-Encoding"), p->encoding);
	at = put_field(at, TAKO_STR("Content-Range"), (tako_str){range, range_n});
	at = put(at, TAKO_STR("\r\n"));
	return (size_t)(at - to);
}

size_t tako__part_tail(char *to, const struct tako__parts *p)
{
	char *at = put(to, TAKO_STR("\r\n--"));

	at = put(at, (tako_str){p->boundary, TAKO__BOUNDARY_BYTES});
	at = put(at, TAKO_STR("--\r\n"));
	return (size_t)(at - to);
}

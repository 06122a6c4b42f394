/* SPDX-License-Identifier: MIT
 *
 * Template: the scans of h1_scan.h for an instruction set that classifies bytes into bit
 * masks.  Bit k of a mask speaks of byte i + k; bits of bytes from n on are 0; i < n.
 * Included by h1_{sse42,avx2}.c, which define first:
 *   outside32/outside64  bytes that are not of a nibble class
 *   odd64                bytes other than 0x20..0x7e
 *   equal64              bytes of one value
 * and H1_FIRST(mask), the lowest bit of a mask, or 64 when it is empty.
 */

H1_INLINE size_t H1_FN(skip)(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	for (; i < n; i += 64) {
		uint64_t stop = H1_FN(outside64)(class, p, i, n);

		if (TAKO__LIKELY(stop))
			return i + H1_FIRST(stop);
	}
	return n;
}

/* A target with escapes or dots, from its start. */
H1_INLINE void H1_FN(target_marks)(const char *p, size_t i, size_t n, struct tako__h1_marks *out)
{
	uint64_t slash_before = 0;

	out->flags = 0;
	out->query = n;
	for (out->end = n; i < n; i += 64) {
		uint64_t stop = H1_FN(outside64)(TAKO__H1_NIB_TARGET, p, i, n);
		uint64_t query = H1_FN(equal64)('?', p, i, n);
		uint64_t slash = H1_FN(equal64)('/', p, i, n);
		uint64_t dots = H1_FN(equal64)('.', p, i, n) & (slash << 1 | slash_before);
		/* The bits below the first '?' or the end; all when there is neither. */
		uint64_t path = ((stop | query) & (0 - (stop | query))) - 1;

		if (out->query == n) {
			if (H1_FN(equal64)('%', p, i, n) & path)
				out->flags |= TAKO__PATH_ESCAPED;
			if (dots & path)
				out->flags |= TAKO__PATH_DOTS;
			if (stop | query)
				out->query = i + H1_FIRST(stop | query);
		}
		if (stop) {
			out->end = i + H1_FIRST(stop);
			return;
		}
		slash_before = slash >> 63;
	}
}

H1_INLINE void H1_FN(target)(const char *p, size_t i, size_t n, struct tako__h1_marks *out)
{
	uint64_t stop = H1_FN(outside32)(TAKO__H1_NIB_PLAIN, p, i, n);
	size_t at = i + H1_FIRST(stop);

	/* A short plain path, by far the most common one, is done after one look, and with a
	 * query behind it after two. */
	out->flags = 0;
	out->end = out->query = at;
	if (TAKO__LIKELY(stop && p[at] == ' '))
		return;
	if (TAKO__LIKELY(stop && p[at] == '?'))
		out->end = H1_FN(skip)(TAKO__H1_NIB_TARGET, p, at, n);
	else
		H1_FN(target_marks)(p, i, n, out);
}

/* For the tests, which cannot inline these. */
H1_TARGET static size_t H1_FN(skip_call)(enum tako__h1_nibble class, const char *p, size_t i,
                                         size_t n)
{
	return H1_FN(skip)(class, p, i, n);
}

H1_TARGET static void H1_FN(target_call)(const char *p, size_t i, size_t n,
                                         struct tako__h1_marks *out)
{
	H1_FN(target)(p, i, n, out);
}

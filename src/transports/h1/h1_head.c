/* SPDX-License-Identifier: MIT
 *
 * The entry to the head parser: what limits mean for a head that is not complete, and when
 * looking at it again is worth while.
 */
#include <string.h>

#include "core/base.h"
#include "transports/h1/h1_parse.h"
#include "transports/h1/h1_scan.h"

int tako__h1_fail(struct tako__h1_head *h, int status, const char *why)
{
	h->why = why;
	return -status;
}

/* Whether bytes scanned..n can change the answer: they end a line, or they reach a limit.
 * The line's limit counts from after at most two empty lines. */
static bool worth_parsing(const char *p, size_t n, size_t scanned, size_t max,
                          const struct tako__h1_limits *lim)
{
	size_t line = (size_t)lim->max_line_bytes + 2 + 4;

	return n >= max || (scanned < line && n >= line) || memchr(p + scanned, '\n', n - scanned);
}

/* Looked at before, or as long as a head may be. */
static TAKO__OUTLINE int parse_long(struct tako__h1_head *head, const char *p, size_t n,
                                    size_t scanned, const struct tako__h1_limits *lim)
{
	size_t max = tako__h1_max_head(lim);
	int res;

	if (scanned && !worth_parsing(p, n, scanned, max, lim))
		return 0;
	if (n > max)
		n = max;
	res = tako__h1_scan_parse(head, p, n, lim);
	if (!res && n == max)
		return tako__h1_fail(head, 431, "request head too large");
	return res;
}

int tako__h1_head_parse(struct tako__h1_head *head, const char *p, size_t n, size_t scanned,
                        const struct tako__h1_limits *lim)
{
	if (TAKO__LIKELY(!scanned && n < tako__h1_max_head(lim)))
		return tako__h1_scan_parse(head, p, n, lim);
	return parse_long(head, p, n, scanned, lim);
}

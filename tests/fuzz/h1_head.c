/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a request head.  The first byte says where the input is cut and how tight the
 * limits are.  Beside what the sanitizers see: every instruction set says the same, a cut is
 * "not complete" or the same refusal, and every view lies within the input.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/h1/h1_head.h"
#include "transports/h1/h1_scan.h"

#define FIELDS_MAX 100

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void within(const char *p, size_t n, tako_str s)
{
	/* The path of an absolute target may be a constant of one byte. */
	MUST(!s.p || s.n <= 1 || (s.p >= p && s.n <= n && s.p + s.n <= p + n));
}

static void check_views(const struct tako__h1_head *h, const char *p, size_t n)
{
	const tako_str views[] = {h->method, h->target,    h->path,   h->query,
	                          h->host,   h->authority, h->upgrade};

	for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++)
		within(p, n, views[i]);
	MUST(h->field_count <= FIELDS_MAX);
	for (uint32_t i = 0; i < h->field_count; i++) {
		const struct tako__field *f = &h->fields[i];

		MUST(f->name_n);
		within(p, n, (tako_str){f->name, f->name_n});
		within(p, n, (tako_str){f->value, f->value_n});
	}
}

static bool same_str(tako_str a, tako_str b)
{
	return a.p == b.p && a.n == b.n;
}

static void check_same(const struct tako__h1_head *a, const struct tako__h1_head *b)
{
	MUST(same_str(a->method, b->method) && same_str(a->target, b->target));
	MUST(same_str(a->path, b->path) && same_str(a->query, b->query));
	MUST(same_str(a->host, b->host) && same_str(a->authority, b->authority));
	MUST(same_str(a->upgrade, b->upgrade) && a->content_length == b->content_length);
	MUST(a->form == b->form && a->framing == b->framing && a->seen == b->seen);
	MUST(a->got_line == b->got_line && a->keep_alive == b->keep_alive);
	MUST(a->expect_continue == b->expect_continue && a->switching == b->switching);
	MUST(a->te_trailers == b->te_trailers && a->method_id == b->method_id);
	MUST(a->minor == b->minor && a->path_flags == b->path_flags && a->why == b->why);
	MUST(a->field_count == b->field_count);
	for (uint32_t i = 0; i < a->field_count; i++)
		MUST(!memcmp(&a->fields[i], &b->fields[i], sizeof(a->fields[i])));
}

static void check(const char *p, size_t n, unsigned cut, const struct tako__h1_limits *lim)
{
	static struct tako__field fields[2][FIELDS_MAX];
	struct tako__h1_head first = {.fields = fields[0]};
	struct tako__h1_head h = {.fields = fields[1]};
	size_t at = n * cut / 64;
	int want;
	int res;

	MUST(tako__h1_scan_use(TAKO__H1_PORTABLE));
	want = tako__h1_head_parse(&first, p, n, 0, lim);
	MUST(want <= (int)n && want > -600 && (want >= 0 || first.why));
	if (n)
		check_views(&first, p, n);
	for (int level = 1; level < TAKO__H1_LEVEL_COUNT; level++) {
		if (!tako__h1_scan_use((enum tako__h1_level)level))
			continue;
		res = tako__h1_head_parse(&h, p, n, 0, lim);
		MUST(res == want);
		if (res > 0)
			check_same(&first, &h);
		res = tako__h1_head_parse(&h, p, at, 0, lim);
		MUST(!res || res == want);
		/* A wrong byte in an unfinished line may be noticed later. */
		if (!res && want)
			res = tako__h1_head_parse(&h, p, n, at, lim);
		MUST(!res || res == want);
		MUST(res || want <= 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tako__h1_limits usual = {TAKO__H1_HEAD_BYTES, TAKO__H1_LINE_BYTES,
	                                             FIELDS_MAX};
	static const struct tako__h1_limits tight = {200, 60, 4};
	char *p;

	if (!size)
		return 0;
	/* A block of its own, so that one byte too many is seen. */
	p = malloc(size - 1);
	MUST(p || size == 1);
	if (size > 1)
		memcpy(p, data + 1, size - 1);
	check(p, size - 1, data[0] & 63, data[0] & 64 ? &tight : &usual);
	free(p);
	return 0;
}

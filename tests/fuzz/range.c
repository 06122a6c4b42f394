/* SPDX-License-Identifier: MIT
 *
 * The Range field of any bytes, for sizes of any kind: what comes out lies in the file, is apart,
 * adds up to no more than the file, and its multipart text fits where it is said to.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/static_range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_text(const struct tako__range *r, uint64_t size)
{
	struct tako__parts p = {.type = TAKO_STR("a/b"), .encoding = TAKO_STR("br"), .size = size};
	size_t max = tako__part_bytes_max(&p);
	char *text = malloc(max);

	if (!text)
		return;
	memset(p.boundary, 'b', sizeof(p.boundary));
	check(tako__part_head(text, &p, r, false) <= max);
	check(tako__part_tail(text, &p) <= max);
	free(text);
}

static void check_ranges(const struct tako__range *r, int count, uint64_t size)
{
	uint64_t left = size;

	for (int i = 0; i < count; i++) {
		check(r[i].n > 0 && r[i].n <= left);
		check(r[i].first < size && r[i].n <= size - r[i].first);
		left -= r[i].n;
		check_text(&r[i], size);
		for (int k = 0; k < i; k++)
			check(r[i].first > r[k].first + r[k].n || r[k].first > r[i].first + r[i].n);
	}
}

/* The first byte chooses the size and how many are allowed, the rest is the field. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t sizes[] = {0,        1, 10, 1000, UINT64_C(1) << 32, INT64_MAX - 1,
	                                 INT64_MAX};
	static const unsigned maxima[] = {0, 1, 2, 16, TAKO__RANGES_MAX};
	struct tako__range r[TAKO__RANGES_MAX];
	uint64_t size;
	unsigned max;
	int count;

	if (n == 0)
		return 0;
	size = sizes[data[0] % TAKO__COUNT(sizes)];
	max = maxima[data[0] / TAKO__COUNT(sizes) % TAKO__COUNT(maxima)];
	count = tako__range_parse((tako_str){(const char *)data + 1, n - 1}, size, r, max);
	check(count <= (int)max && (count >= 0 || count == TAKO_ENOENT));
	check_ranges(r, count, size);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Numbers that clients send: taken exactly or refused, never guessed.
 */
#include <inttypes.h>

#include "showcase.h"

bool number_parse(tako_str text, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		unsigned digit = (unsigned)(unsigned char)text.p[i] - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	if (value > max)
		return false;
	*out = value;
	return true;
}

struct reading {
	const struct number *numbers;
	size_t n;
	const struct number *bad;
};

static int take(tako_str name, tako_str value, void *arg)
{
	struct reading *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		const struct number *number = &r->numbers[i];
		uint64_t got;

		if (!tako_str_eq(name, tako_str_z(number->name)))
			continue;
		if (!number_parse(value, number->max, &got) || got < number->min) {
			r->bad = number;
			return TAKO_EINVAL;
		}
		*number->value = got;
	}
	return 0;
}

bool numbers_read(tako_req *req, tako_res *res, const struct number *numbers, size_t n)
{
	struct reading r = {numbers, n, NULL};
	int rc = tako_req_query_each(req, take, &r);

	if (rc == 0)
		return true;
	if (r.bad)
		tako_res_text(res, 400, "%s must be a number from %" PRIu64 " to %" PRIu64 "\n",
		              r.bad->name, r.bad->min, r.bad->max);
	else
		tako_res_fail(res, rc);
	return false;
}

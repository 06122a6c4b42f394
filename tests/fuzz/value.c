/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: lists, parameters and qualities of field values.  Beside what the sanitizers
 * see: elements and parameters are views of the input, in its order, and never empty.
 */
#include <stdint.h>
#include <stdlib.h>

#include "core/value.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void read_params(tako_str rest)
{
	const char *end = rest.p + rest.n;
	const char *at = rest.p;
	tako_str name;
	tako_str value;

	while (tako__param_next(&rest, &name, &value) == 1) {
		char *text = malloc(value.n);

		MUST(name.n && value.n && name.p >= at && value.p > name.p);
		at = value.p + value.n;
		MUST(at <= end && rest.p == at);
		MUST(text && tako__unquote(text, value) <= value.n);
		(void)tako__parse_q(value);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	tako_str whole = {(const char *)data, size};
	tako_str rest = whole;
	const char *at = whole.p;
	tako_str element;

	while (tako__element_next(&rest, &element)) {
		tako_str params;
		tako_str head = tako__value_head(element, &params);
		int q = tako__list_quality(whole, head);

		MUST(element.n && element.p >= at && element.p + element.n <= whole.p + size);
		at = element.p + element.n;
		MUST(head.n + params.n <= element.n);
		MUST(q == TAKO_ENOENT || (q >= 0 && q <= 1000));
		read_params(params);
		if (size > 512)
			return 0; /* the look-up above is quadratic */
	}
	return 0;
}

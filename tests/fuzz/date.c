/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: HTTP dates.  Beside what the sanitizers see: what was read and written again
 * reads the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/date.h"

#define NOW INT64_C(1762848000)
#define LAST INT64_C(253402300799) /* of the year 9999 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[TAKO__DATE_BYTES];
	int64_t s;
	int64_t back;

	if (size >= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		tako__date_format(text, s);
		if (tako__date_parse(text, sizeof(text), NOW, &back) < 0)
			abort();
	}
	if (tako__date_parse((const char *)data, size, NOW, &s) < 0 || s > LAST)
		return 0;
	tako__date_format(text, s);
	if (tako__date_parse(text, sizeof(text), NOW, &back) < 0 || back != s)
		abort();
	return 0;
}

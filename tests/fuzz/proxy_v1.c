/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a line of version 1, behind the word that it begins with, so that no input is spent on
 * finding it.
 */
#include "fuzz/proxy_header.h"

static const char start[] = "PROXY ";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t all[MAX_BYTES + 64];
	size_t n = sizeof start - 1;
	int version;

	if (size > sizeof all - n)
		size = sizeof all - n;
	memcpy(all, start, n);
	if (size)
		memcpy(all + n, data, size);
	version = check_header(all, n + size);
	MUST(version == 0 || version == 1);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a line of version 1, behind the word that it begins with.
 */
#include "fuzz/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char start[] = "PROXY ";

	return check_behind(start, sizeof start - 1, 1, data, size);
}

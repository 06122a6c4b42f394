/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a header of version 2, behind its signature.
 */
#include "fuzz/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char start[] = "\r\n\r\n\0\r\nQUIT\n";

	return check_behind(start, sizeof start - 1, 2, data, size);
}

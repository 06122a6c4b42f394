/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a connection begins with, taken for a PROXY header of either version or for none.
 */
#include "fuzz/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_header(data, size);
	return 0;
}

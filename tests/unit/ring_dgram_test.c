/* SPDX-License-Identifier: MIT
 *
 * The datagrams of the io_uring runtime keep the contract of seam A: with its ring of buffers, with one
 * that is always too small, and as kernels make it that have none.
 */
#include <tako/server.h>

#include "runtime-iouring/ring_int.h"
#include "unit/dgram_cases.h"

int main(void)
{
	const struct tako_runtime *rt = tako_runtime_io_uring();
	int failed;

	if (dgram_cases_install() < 0)
		return 1;
	if (rt->probe(NULL, 0) < 0)
		return 0; /* ring_test sees that it says why */
	failed = dgram_cases_run(rt, 0) + dgram_cases_run(rt, 2);
	tako__ring_dgrams_by_call = true;
	return failed + dgram_cases_run(rt, 0);
}

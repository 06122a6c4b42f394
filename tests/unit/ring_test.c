/* SPDX-License-Identifier: MIT
 *
 * The io_uring runtime keeps the contract of seam A, also as older kernels make it.
 */
#include "runtime-iouring/ring_buf.h"
#include "unit/runtime_contract.h"
#include "unit/runtime_rig.h"

static int contract(void)
{
	return runtime_contract_recv() + runtime_contract_send() + runtime_contract_loop();
}

int main(void)
{
	int failed;

	if (rig_install(tako_runtime_io_uring()))
		return 1;
	failed = contract();
	tako__bufs_whole = true;
	/* Nor do those know a limit of their own below 32 rounds. */
	rig.share = 40;
	return failed + contract();
}

/* SPDX-License-Identifier: MIT
 *
 * The io_uring runtime keeps the contract of seam A.
 */
#include "unit/runtime_contract.h"
#include "unit/runtime_rig.h"

int main(void)
{
	if (rig_install(tako_runtime_io_uring()))
		return 1;
	return runtime_contract_recv() + runtime_contract_send() + runtime_contract_loop();
}

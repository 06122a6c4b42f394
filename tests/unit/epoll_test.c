/* SPDX-License-Identifier: MIT
 *
 * The epoll runtime keeps the contract of seam A.
 */
#include "unit/runtime_contract.h"
#include "unit/runtime_rig.h"

int main(void)
{
	if (rig_install(tako_runtime_epoll()))
		return 1;
	return runtime_contract_recv() + runtime_contract_send() + runtime_contract_loop() +
	       runtime_contract_connect();
}

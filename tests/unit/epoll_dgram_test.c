/* SPDX-License-Identifier: MIT
 *
 * The datagrams of the epoll runtime keep the contract of seam A.
 */
#include <tako/server.h>

#include "unit/dgram_cases.h"

int main(void)
{
	if (dgram_cases_install() < 0)
		return 1;
	return dgram_cases_run(tako_runtime_epoll(), 0);
}

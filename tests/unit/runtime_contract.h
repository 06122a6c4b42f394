/* SPDX-License-Identifier: MIT
 *
 * What seam A asks of every runtime, as tests: the five rules at the head of sys/runtime.h, on
 * socket pairs and loopback.  Nothing waits for time to pass but where a deadline is the matter.
 * Each runs its tests and returns how many failed; rig_install() chooses the runtime.
 */
#ifndef TESTS_UNIT_RUNTIME_CONTRACT_H
#define TESTS_UNIT_RUNTIME_CONTRACT_H

int runtime_contract_recv(void);
int runtime_contract_send(void);
int runtime_contract_loop(void);
int runtime_contract_connect(void);

#endif /* TESTS_UNIT_RUNTIME_CONTRACT_H */

/* SPDX-License-Identifier: MIT
 *
 * What every runtime's datagrams have to do, through seam A alone.
 */
#ifndef TAKO_TEST_DGRAM_CASES_H
#define TAKO_TEST_DGRAM_CASES_H

#include <tako/sys/runtime.h>

/* Install the failing allocator: first in main(), before anything allocates. */
int dgram_cases_install(void);
/* Run all cases on loops with this recv_buffer_count (0: the runtime's choice); returns how many
 * failed. */
int dgram_cases_run(const struct tako_runtime *rt, unsigned buffer_count);

#endif /* TAKO_TEST_DGRAM_CASES_H */

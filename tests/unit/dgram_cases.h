/* SPDX-License-Identifier: MIT
 *
 * What every runtime's datagrams have to do, through seam A alone.
 */
#ifndef TAKO_TEST_DGRAM_CASES_H
#define TAKO_TEST_DGRAM_CASES_H

#include <tako/sys/runtime.h>

/* Run all cases; returns how many failed.  Installs the failing allocator: first in main(). */
int dgram_cases_run(const struct tako_runtime *rt);

#endif /* TAKO_TEST_DGRAM_CASES_H */

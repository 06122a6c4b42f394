/* SPDX-License-Identifier: MIT
 *
 * One cmocka test that is many runs, a seed each.  Environment:
 *   TAKO_SIM_SEEDS=n  how many (else 1000)
 *   TAKO_SIM_SEED=n   only this one
 *   TAKO_SIM_TEST=t   only the test of that name
 * A failure names the seed and the command that repeats it, also where a signal or a sanitizer
 * ended the run.
 *
 *	static void keeps_order(uint64_t seed) { … asserts … }
 *	const struct CMUnitTest tests[] = {SIM_TEST(keeps_order)};
 */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdint.h>

struct sim_case {
	const char *name;
	void (*run)(uint64_t seed);
};

/* Initialises a struct CMUnitTest inside a function. */
#define SIM_TEST(fn)                                                                               \
	{                                                                                          \
#fn, sim_seeds_run, NULL, sim_seeds_end, &(struct sim_case)                        \
		{                                                                                  \
#fn, fn                                                                    \
		}                                                                                  \
	}

void sim_seeds_run(void **state);
int sim_seeds_end(void **state);

#endif /* TESTS_SIM_SEEDS_H */

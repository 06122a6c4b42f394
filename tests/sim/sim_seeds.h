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

#include "sim/sim_carrier.h"
#include "sim/sim_tls.h"

struct sim_case {
	const char *name;
	void (*run)(uint64_t seed);
	const struct sim_carrier *carrier;
};

/* Initialises a struct CMUnitTest inside a function. */
#define SIM_TEST(fn) SIM_TEST_(fn, #fn, sim_over_h1)
/* The same over h2c, tls (HTTP/1.1 in TLS) or h2 (in TLS): its name is then, say, fn@h2c. */
#define SIM_TEST_OVER(fn, over) SIM_TEST_(fn, #fn "@" #over, sim_over_##over)
#define SIM_TEST_(fn, text, over)                                                                  \
	{                                                                                          \
		text, sim_seeds_run, NULL, sim_seeds_end, &(struct sim_case)                       \
		{                                                                                  \
			text, fn, &over                                                            \
		}                                                                                  \
	}

/* Over both that have TLS, in builds that have it, and the fixtures of a group that does so. */
#ifdef TAKO__WITH_TLS
#define SIM_TEST_OVER_TLS(fn) SIM_TEST_OVER(fn, tls), SIM_TEST_OVER(fn, h2)
#define SIM_TLS_BEGIN sim_tls_begin
#define SIM_TLS_END sim_tls_end
#else
#define SIM_TLS_BEGIN NULL
#define SIM_TLS_END NULL
#endif

void sim_seeds_run(void **state);
int sim_seeds_end(void **state);

#endif /* TESTS_SIM_SEEDS_H */

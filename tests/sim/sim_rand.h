/* SPDX-License-Identifier: MIT
 *
 * The simulation's only source of chance: the same seed, the same run.
 */
#ifndef TESTS_SIM_RAND_H
#define TESTS_SIM_RAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_rand {
	uint64_t state;
};

void sim_rand_init(struct sim_rand *r, uint64_t seed);
uint64_t sim_rand_u64(struct sim_rand *r);
/* 0 to n - 1; 0 for n == 0. */
uint64_t sim_rand_below(struct sim_rand *r, uint64_t n);
/* From `low` to `high`, both included. */
uint64_t sim_rand_between(struct sim_rand *r, uint64_t low, uint64_t high);
/* True so many times in a thousand. */
bool sim_rand_chance(struct sim_rand *r, unsigned permille);
/* 1 to max, every order of magnitude as likely as the next: bugs live at the small end. */
size_t sim_rand_size(struct sim_rand *r, size_t max);

#endif /* TESTS_SIM_RAND_H */

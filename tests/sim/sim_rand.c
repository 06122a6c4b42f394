/* SPDX-License-Identifier: MIT
 *
 * See sim_rand.h.  splitmix64: one word of state, so seeds 1, 2, 3 … are unrelated.
 */
#include "sim/sim_rand.h"

void sim_rand_init(struct sim_rand *r, uint64_t seed)
{
	r->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

uint64_t sim_rand_u64(struct sim_rand *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t sim_rand_below(struct sim_rand *r, uint64_t n)
{
	/* The bias is far below what a test could notice. */
	return n ? sim_rand_u64(r) % n : 0;
}

uint64_t sim_rand_between(struct sim_rand *r, uint64_t low, uint64_t high)
{
	return low + sim_rand_below(r, high - low + 1);
}

bool sim_rand_chance(struct sim_rand *r, unsigned permille)
{
	return permille && sim_rand_below(r, 1000) < permille;
}

size_t sim_rand_size(struct sim_rand *r, size_t max)
{
	unsigned bits = 1;
	size_t top;

	while (bits < 63 && max >> bits)
		bits++;
	top = (size_t)1 << sim_rand_between(r, 1, bits);
	top = sim_rand_between(r, 1, top);
	return top < max ? top : max;
}

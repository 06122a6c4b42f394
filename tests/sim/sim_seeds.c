/* SPDX-License-Identifier: MIT
 *
 * See sim_seeds.h.  A failed assertion leaves the run by a jump, so the seed is told by the
 * test's teardown; a sanitizer leaves the process, hence its death callback.
 */
#include "sim/sim_seeds.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS = 1000 };

static struct {
	const char *name;
	uint64_t seed;
	bool running;
} present;

/* There in sanitizer builds only. */
extern void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void tell(void)
{
	if (!present.running)
		return;
	fprintf(stderr,
	        "seed %llu of %s failed; repeat it with\n  TAKO_SIM_TEST=%s TAKO_SIM_SEED=%llu "
	        "%s\n",
	        (unsigned long long)present.seed, present.name, present.name,
	        (unsigned long long)present.seed, program_invocation_name);
}

/* False: not set.  What is set and no number fails the test. */
static bool number(const char *name, uint64_t *out)
{
	const char *text = getenv(name);
	char *end;

	if (!text || !text[0])
		return false;
	*out = strtoull(text, &end, 10);
	if (*end)
		fail_msg("%s=%s is not a number", name, text);
	return true;
}

void sim_seeds_run(void **state)
{
	const struct sim_case *c = *state;
	const char *only = getenv("TAKO_SIM_TEST");
	uint64_t first = 1;
	uint64_t count = SEEDS;

	if (only && strcmp(only, c->name) != 0)
		skip();
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(tell);
	(void)number("TAKO_SIM_SEEDS", &count);
	if (number("TAKO_SIM_SEED", &first))
		count = 1;
	if (count == 0)
		fail_msg("no seed to run");
	present.name = c->name;
	sim_carrier = c->carrier;
	for (uint64_t i = 0; i < count; i++) {
		present.seed = first + i;
		present.running = true;
		c->run(present.seed);
		present.running = false;
	}
	print_message("[  SEEDS   ] %s: %llu\n", c->name, (unsigned long long)count);
}

int sim_seeds_end(void **state)
{
	(void)state;
	tell();
	present.running = false;
	return 0;
}

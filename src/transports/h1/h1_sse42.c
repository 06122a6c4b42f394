/* SPDX-License-Identifier: MIT
 *
 * The head parser for SSE4.2: 16 bytes a step.  Byte shuffles and compares, not the string
 * instructions (pcmpestri): those take longer for one range test than four steps take here.
 */
#if defined(__x86_64__)
#include <nmmintrin.h>

#include "core/base.h"
#include "transports/h1/h1_head.h"
#include "transports/h1/h1_scan.h"

#define H1_FN(name) name##_sse42
#define H1_TARGET __attribute__((target("sse4.2")))
#define H1_INLINE H1_TARGET __attribute__((always_inline)) static inline
#define H1_MIN_BYTES 16
#define H1_FIRST(mask) ((mask) ? (size_t)__builtin_ctzll(mask) : 64)

H1_INLINE __m128i constant_sse42(enum tako__h1_constant which)
{
	return _mm_load_si128((const __m128i *)(const void *)tako__h1_constants[which]);
}

H1_INLINE __m128i load_sse42(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

H1_INLINE uint64_t mask_sse42(__m128i hits)
{
	return (uint32_t)_mm_movemask_epi8(hits);
}

/* Each classifier wants the 16 bytes at i.  Where those would pass the end it takes the last
 * 16 and shifts out what is before i, so that no byte, hence no page, beyond is touched. */
#define H1_WITHIN(expression)                                                                      \
	do {                                                                                       \
		if (TAKO__LIKELY(i + 16 <= n)) {                                                   \
			const char *at = p + i;                                                    \
			return (expression);                                                       \
		} else if (i < n) {                                                                \
			const char *at = p + n - 16;                                               \
			return (expression) >> (i + 16 - n);                                       \
		} else {                                                                           \
			return 0;                                                                  \
		}                                                                                  \
	} while (0)

H1_INLINE uint64_t outside_at_sse42(enum tako__h1_nibble class, const char *at)
{
	__m128i v = load_sse42(at);
	__m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), constant_sse42(TAKO__H1_LOW_NIBBLE));
	/* The shuffle gives 0 for bytes from 0x80 on by itself: they are in no class. */
	__m128i in = _mm_and_si128(
		_mm_shuffle_epi8(constant_sse42((enum tako__h1_constant) class), v),
		_mm_shuffle_epi8(constant_sse42(TAKO__H1_NIBBLE_BIT), high));

	return mask_sse42(_mm_cmpeq_epi8(in, _mm_setzero_si128()));
}

H1_INLINE uint64_t outside16_sse42(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	H1_WITHIN(outside_at_sse42(class, at));
}

H1_INLINE uint64_t outside32_sse42(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	uint64_t low = outside16_sse42(class, p, i, n);

	/* Most names and hosts are decided by the first sixteen. */
	return low ? low : outside16_sse42(class, p, i + 16, n) << 16;
}

H1_INLINE uint64_t outside64_sse42(enum tako__h1_nibble class, const char *p, size_t i, size_t n)
{
	return outside16_sse42(class, p, i, n) | outside16_sse42(class, p, i + 16, n) << 16 |
	       outside16_sse42(class, p, i + 32, n) << 32 |
	       outside16_sse42(class, p, i + 48, n) << 48;
}

/* One more than the byte, as a signed number, is below 0x21 for all but 0x20..0x7e. */
H1_INLINE uint64_t odd_at_sse42(const char *at)
{
	__m128i next = _mm_add_epi8(load_sse42(at), constant_sse42(TAKO__H1_ONE));

	return mask_sse42(_mm_cmpgt_epi8(constant_sse42(TAKO__H1_BANG), next));
}

H1_INLINE uint64_t odd16_sse42(const char *p, size_t i, size_t n)
{
	H1_WITHIN(odd_at_sse42(at));
}

H1_INLINE uint64_t odd64_sse42(const char *p, size_t i, size_t n)
{
	if (TAKO__LIKELY(i + 64 <= n))
		return odd_at_sse42(p + i) | odd_at_sse42(p + i + 16) << 16 |
		       odd_at_sse42(p + i + 32) << 32 | odd_at_sse42(p + i + 48) << 48;
	return odd16_sse42(p, i, n) | odd16_sse42(p, i + 16, n) << 16 |
	       odd16_sse42(p, i + 32, n) << 32 | odd16_sse42(p, i + 48, n) << 48;
}

H1_INLINE uint64_t equal16_sse42(char c, const char *p, size_t i, size_t n)
{
	H1_WITHIN(mask_sse42(_mm_cmpeq_epi8(load_sse42(at), _mm_set1_epi8(c))));
}

H1_INLINE uint64_t equal64_sse42(char c, const char *p, size_t i, size_t n)
{
	return equal16_sse42(c, p, i, n) | equal16_sse42(c, p, i + 16, n) << 16 |
	       equal16_sse42(c, p, i + 32, n) << 32 | equal16_sse42(c, p, i + 48, n) << 48;
}

#include "transports/h1/h1_simd_scan.h"
#include "transports/h1/h1_simd_head.h"

const struct tako__h1_isa tako__h1_isa_sse42 = {
	.name = "sse4.2",
	.parse = parse_sse42,
	.span = skip_call_sse42,
	.target = target_call_sse42,
	.min_bytes = H1_MIN_BYTES,
};
#else
typedef int tako__h1_no_sse42;
#endif

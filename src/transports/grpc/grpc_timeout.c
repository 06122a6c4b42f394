/* SPDX-License-Identifier: MIT
 *
 * See grpc_timeout.h.
 */
#include "transports/grpc/grpc_timeout.h"

#include "core/str.h"

/* Eight digits are at most 11,415 years, which nanoseconds in 64 bits do not hold. */
enum { DIGITS_MAX = 8 };

static uint64_t unit_ns(char c)
{
	switch (c) {
	case 'H':
		return UINT64_C(3600000000000);
	case 'M':
		return UINT64_C(60000000000);
	case 'S':
		return UINT64_C(1000000000);
	case 'm':
		return UINT64_C(1000000);
	case 'u':
		return UINT64_C(1000);
	case 'n':
		return 1;
	default:
		return 0;
	}
}

int tako__grpc_timeout(tako_str value, uint64_t *ret_ns)
{
	uint64_t unit;
	uint64_t count;

	if (value.n < 2 || value.n > DIGITS_MAX + 1)
		return TAKO_EINVAL;
	unit = unit_ns(value.p[value.n - 1]);
	if (!unit || tako__parse_u64(value.p, value.n - 1, &count) < 0)
		return TAKO_EINVAL;
	*ret_ns = count > UINT64_MAX / unit ? UINT64_MAX : count * unit;
	return 0;
}

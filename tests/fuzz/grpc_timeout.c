/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: grpc-timeout.  Beside what the sanitizers see: what is taken is one to eight digits and a
 * unit, and lasts as long as another arithmetic says; base64 of the same bytes comes back as it was.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/grpc/grpc_base64.h"
#include "transports/grpc/grpc_timeout.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

/* By long double, which holds 64 bits of it. */
static long double expected(const uint8_t *p, size_t n)
{
	static const char units[] = "HMSmun";
	static const long double ns[] = {3600e9L, 60e9L, 1e9L, 1e6L, 1e3L, 1};
	const char *unit = n > 1 && n <= 9 && p[n - 1] ? strchr(units, p[n - 1]) : NULL;
	long double v = 0;

	if (!unit)
		return -1;
	for (size_t i = 0; i + 1 < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v * ns[unit - units];
}

static void text(const char *p, size_t n)
{
	struct tako__base64 d = {.bits = 0};
	char *raw = malloc(n / 4 * 3 + 5);
	char *again = malloc(TAKO__BASE64_CHARS(n) + 1);
	size_t got = 0;
	size_t more = 0;

	MUST(raw && again);
	if (tako__base64_decode(&d, raw, &got, p, n) == 0 &&
	    tako__base64_end(&d, raw + got, &more, true) == 0 && !memchr(p, '=', n)) {
		MUST(tako__base64_encode(again, raw, got + more, false) == n);
		MUST(!memcmp(again, p, n));
	}
	free(raw);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t ns = 42;
	int rc = tako__grpc_timeout((tako_str){(const char *)data, size}, &ns);
	long double want = expected(data, size);

	MUST((rc == 0) == (want >= 0));
	if (rc < 0)
		MUST(rc == TAKO_EINVAL && ns == 42);
	else if (want >= 18446744073709551615.0L)
		MUST(ns == UINT64_MAX);
	else
		MUST(ns == (uint64_t)want);
	if (size)
		text((const char *)data, size);
	return 0;
}

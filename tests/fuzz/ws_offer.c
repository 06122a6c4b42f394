/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: the extensions that a client offers.  Beside what the sanitizers see: what is taken can
 * be kept, and our answer, offered to ourselves, is taken as it is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws_offer.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static const struct tako__ws_offer_config cfg = {
	.max_memory_bytes = 64 << 10, .server_bits = 15, .client_bits = 15, .level = 1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tako__ws_deflate_params p;
	struct tako__ws_deflate_params again;
	char answer[TAKO__WS_ANSWER_BYTES];
	char second[TAKO__WS_ANSWER_BYTES];
	bool taken = false;
	bool twice = false;
	size_t n;

	if (tako__ws_offer_take((tako_str){(const char *)data, size}, &cfg, &p, &taken) < 0 ||
	    !taken)
		return 0;
	MUST(p.server_bits >= 9 && p.server_bits <= 15);
	MUST(p.client_bits >= 8 && p.client_bits <= 15);
	MUST(p.mem_level >= 1 && p.mem_level <= 9);
	n = tako__ws_offer_answer(&p, answer);
	MUST(n <= sizeof(answer));
	MUST(tako__ws_offer_take((tako_str){answer, n}, &cfg, &again, &twice) == 0 && twice);
	MUST(tako__ws_offer_answer(&again, second) == n && !memcmp(answer, second, n));
	return 0;
}

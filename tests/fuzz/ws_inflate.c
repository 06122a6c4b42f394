/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: compressed payloads.  The first byte says how: windows, contexts, where it is cut.
 * Beside what the sanitizers see: whole or in pieces is the same message or the same refusal, no more
 * is inflated than allowed, and what is compressed comes back.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <tako/base.h>
#include "transports/ws/ws_deflate.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { MAX_BYTES = 20000, ROOM_BYTES = 64, BASKET_BYTES = 40000 };

struct basket {
	char bytes[BASKET_BYTES];
	size_t n;
};

static char *room(void *arg, size_t *ret_bytes)
{
	struct basket *b = arg;

	*ret_bytes = ROOM_BYTES;
	return b->n + ROOM_BYTES <= BASKET_BYTES ? b->bytes + b->n : NULL;
}

static void wrote(void *arg, size_t bytes)
{
	struct basket *b = arg;

	MUST(bytes <= ROOM_BYTES);
	b->n += bytes;
}

static struct basket whole;
static struct basket pieces;
static struct basket packed;

/* Two messages of the same bytes, so that the second has a context. */
static int inflate_both(struct tako__ws_zpool *pool, const struct tako__ws_deflate_params *params,
                        const char *p, size_t n, size_t piece, struct basket *b)
{
	struct tako__ws_sink to = {room, wrote, b};
	struct tako__ws_deflate d;
	int rc = 0;

	b->n = 0;
	tako__ws_deflate_init(&d, pool, params);
	for (int i = 0; i < 2 && rc == 0; i++) {
		size_t at = 0;

		do {
			size_t some = n - at < piece ? n - at : piece;

			rc = tako__ws_inflate(&d, p + at, some, at + some == n, MAX_BYTES, &to);
			at += some;
		} while (rc == 0 && at < n);
	}
	tako__ws_deflate_fini(&d);
	MUST(b->n <= 2 * (size_t)MAX_BYTES);
	return rc;
}

static void there_and_back(struct tako__ws_zpool *pool,
                           const struct tako__ws_deflate_params *params, const char *p, size_t n)
{
	struct tako__ws_sink to_packed = {room, wrote, &packed};
	struct tako__ws_sink to_whole = {room, wrote, &whole};
	struct tako__ws_deflate d;

	tako__ws_deflate_init(&d, pool, params);
	d.params.client_bits = params->server_bits;
	d.params.client_no_context = params->server_no_context;
	for (int i = 0; i < 2; i++) {
		packed.n = whole.n = 0;
		MUST(tako__ws_deflate(&d, p, n, &to_packed) == 0);
		MUST(tako__ws_inflate(&d, packed.bytes, packed.n, true, n, &to_whole) == 0);
		MUST(whole.n == n && !memcmp(whole.bytes, p, n));
	}
	tako__ws_deflate_fini(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tako__ws_zpool pool;
	struct tako__ws_deflate_params params = {.level = 1};
	const char *p = (const char *)data + 1;
	size_t n = size - 1;

	if (!size || size > MAX_BYTES)
		return 0;
	params.client_bits = (uint8_t)(8 + (data[0] & 7));
	params.server_bits = params.client_bits == 8 ? 9 : params.client_bits;
	params.mem_level = (uint8_t)(params.server_bits - 7);
	params.client_no_context = params.server_no_context = data[0] & 8;
	MUST(inflate_both(&pool, &params, p, n, SIZE_MAX, &whole) ==
	     inflate_both(&pool, &params, p, n, 1 + (data[0] >> 4), &pieces));
	MUST(whole.n == pieces.n && !memcmp(whole.bytes, pieces.bytes, whole.n));
	there_and_back(&pool, &params, p, n);
	return 0;
}

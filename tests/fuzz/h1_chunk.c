/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a chunked body with its trailers.  The first two bytes say in what pieces it
 * comes.  Beside what the sanitizers see: in pieces it decodes to the same, and a decoded body
 * encoded anew decodes to itself.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/h1/h1_chunk.h"
#include "transports/h1/h1_head.h"

#define EXTENSION_BYTES 40

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct outcome {
	char *data;
	size_t data_n;
	size_t used;
	int res;
};

/* `out->data` has room for n bytes. */
static void decode(const char *p, size_t n, const uint8_t steps[2], struct outcome *out)
{
	struct tako__h1_chunked c;

	tako__h1_chunked_init(&c, EXTENSION_BYTES);
	out->data_n = out->used = 0;
	out->res = TAKO__H1_CHUNK_MORE;
	for (size_t turn = 0; out->used < n; turn++) {
		size_t step = steps ? steps[turn & 1] % 16 + 1u : n;
		size_t have = n - out->used < step ? n - out->used : step;
		size_t used;
		tako_str data;

		out->res = tako__h1_chunked_feed(&c, p + out->used, have, &used, &data);
		MUST(used <= have);
		if (out->res == TAKO__H1_CHUNK_DATA) {
			MUST(data.n && data.p >= p + out->used &&
			     data.p + data.n == p + out->used + used);
			memcpy(out->data + out->data_n, data.p, data.n);
			out->data_n += data.n;
		}
		out->used += used;
		if (out->res != TAKO__H1_CHUNK_DATA && out->res != TAKO__H1_CHUNK_MORE)
			return;
	}
}

static void check_trailers(const char *p, size_t n)
{
	static const struct tako__h1_limits lim = {300, 100, 8};
	struct tako__field fields[8];
	struct tako__h1_trailers t = {.fields = fields};
	int want = tako__h1_trailers_parse(&t, p, n, 0, &lim);
	int res;

	MUST(want <= (int)n && (!want || want == -400 || want == -431 || want >= 2));
	MUST(t.field_count + t.dropped_count <= 8);
	res = tako__h1_trailers_parse(&t, p, n / 2, 0, &lim);
	MUST(!res || res == want);
	if (!res && n / 2)
		res = tako__h1_trailers_parse(&t, p, n, n / 2, &lim);
	MUST(!res || res == want);
	MUST(res || want <= 0);
}

static void check_round_trip(const struct outcome *body)
{
	char *text = malloc(body->data_n + TAKO__H1_CHUNK_HEAD_BYTES + 7);
	struct outcome again = {.data = malloc(body->data_n + TAKO__H1_CHUNK_HEAD_BYTES + 7)};
	size_t n;

	MUST(text && again.data);
	n = tako__h1_chunk_head(text, body->data_n);
	MUST(n <= TAKO__H1_CHUNK_HEAD_BYTES);
	memcpy(text + n, body->data, body->data_n);
	n += body->data_n;
	memcpy(text + n, "\r\n0\r\n\r\n", 7);
	decode(text, n + 7, NULL, &again);
	MUST(again.res == TAKO__H1_CHUNK_END && again.data_n == body->data_n);
	MUST(!memcmp(again.data, body->data, body->data_n));
	free(again.data);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole;
	struct outcome pieces;
	size_t n = size - 2;
	char *p;

	if (size < 3)
		return 0;
	p = malloc(n);
	whole.data = malloc(n);
	pieces.data = malloc(n);
	MUST(p && whole.data && pieces.data);
	memcpy(p, data + 2, n);
	decode(p, n, NULL, &whole);
	decode(p, n, data, &pieces);
	MUST(whole.used == pieces.used && whole.data_n == pieces.data_n);
	MUST(whole.res == pieces.res && !memcmp(whole.data, pieces.data, whole.data_n));
	if (whole.res == TAKO__H1_CHUNK_TRAILERS)
		check_trailers(p + whole.used, n - whole.used);
	if (whole.res == TAKO__H1_CHUNK_END && whole.data_n)
		check_round_trip(&whole);
	free(pieces.data);
	free(whole.data);
	free(p);
	return 0;
}

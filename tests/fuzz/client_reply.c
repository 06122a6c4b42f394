/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: a response as a client reads it, head, body and trailers.  The first byte chooses the
 * request's method, the next two in what pieces it comes.  Beside what the sanitizers see: in pieces it is
 * the same response, to the byte, and every view points into what was fed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/method.h"
#include "transports/client/client_reply.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { FIELDS = 16 };

static const struct tako__h1_limits limits = {600, 600, FIELDS};

struct outcome {
	char *data; /* room for all of it */
	size_t data_n;
	size_t used;
	int head; /* what the head came to */
	int body; /* … and the body */
	int status;
	uint64_t length;
	uint32_t field_count;
};

static void read_body(const struct tako__reply *r, const char *p, size_t n, const uint8_t *steps,
                      struct outcome *out)
{
	struct tako__reply_body b;
	const char *why = NULL;

	tako__reply_body_init(&b, r);
	out->body = TAKO__REPLY_MORE;
	for (size_t turn = 0; out->body == TAKO__REPLY_MORE || out->body == TAKO__REPLY_DATA;
	     turn++) {
		size_t step = steps ? steps[turn & 1] % 16 + 1u : n;
		size_t have = n - out->used < step ? n - out->used : step;
		size_t used;
		tako_str data;

		if (!have && out->body == TAKO__REPLY_MORE && turn)
			return;
		out->body = tako__reply_body_feed(&b, p + out->used, have, &used, &data, &why);
		MUST(used <= have);
		MUST(out->body >= 0 || why);
		if (out->body == TAKO__REPLY_DATA) {
			MUST(data.n && data.p >= p + out->used &&
			     data.p + data.n == p + out->used + used);
			memcpy(out->data + out->data_n, data.p, data.n);
			out->data_n += data.n;
		}
		out->used += used;
	}
}

static void read_reply(const char *p, size_t n, unsigned method, const uint8_t *steps,
                       struct outcome *out)
{
	struct tako__field fields[FIELDS];
	struct tako__reply r = {.fields = fields};
	size_t have = 0;
	size_t before = 0;

	out->head = 0;
	for (size_t turn = 0; !out->head && have < n; turn++) {
		have += steps ? steps[turn & 1] % 16 + 1u : n;
		have = have < n ? have : n;
		out->head = tako__reply_parse(&r, p, have, before, method, &limits);
		before = have;
	}
	/* A wrong byte is reported by the end of its line, which is not there. */
	if (!out->head)
		out->head = tako__reply_parse(&r, p, n, 0, method, &limits);
	MUST(out->head <= (int)have && (out->head >= 0 || r.why));
	if (out->head <= 0)
		return;
	MUST(r.status >= 100 && r.status <= 599 && r.field_count <= FIELDS);
	for (uint32_t i = 0; i < r.field_count; i++)
		MUST(fields[i].name > p && fields[i].value + fields[i].value_n <= p + out->head);
	out->status = r.status;
	out->length = r.length;
	out->field_count = r.field_count;
	out->used = (size_t)out->head;
	read_body(&r, p, n, steps, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = size - 3;
	char *p;
	struct outcome whole = {0};
	struct outcome pieces = {0};

	if (size < 4)
		return 0;
	p = malloc(n);
	whole.data = malloc(n);
	pieces.data = malloc(n);
	MUST(p && whole.data && pieces.data);
	memcpy(p, data + 3, n);
	read_reply(p, n, data[0] % TAKO__METHOD_COUNT, NULL, &whole);
	read_reply(p, n, data[0] % TAKO__METHOD_COUNT, data + 1, &pieces);
	MUST(whole.head == pieces.head && whole.body == pieces.body);
	MUST(whole.status == pieces.status && whole.length == pieces.length);
	MUST(whole.field_count == pieces.field_count && whole.used == pieces.used);
	MUST(whole.data_n == pieces.data_n && !memcmp(whole.data, pieces.data, whole.data_n));
	free(pieces.data);
	free(whole.data);
	free(p);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: length-prefixed messages.  The first byte is a limit, the second where the rest is cut.
 * Beside what the sanitizers see: in pieces it is the same messages and the same error, none is over the
 * limit, and no more memory is held than has come.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/grpc/grpc_frame.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { MESSAGES_MAX = 64, FIRST_BYTES = 4096 };

struct result {
	int rc; /* the last one */
	unsigned count;
	uint32_t sums[MESSAGES_MAX];
	bool idle;
};

static uint32_t sum(unsigned flags, tako_str msg)
{
	uint32_t h = flags + 1;

	for (size_t i = 0; i < msg.n; i++)
		h = h * 31 + (unsigned char)msg.p[i];
	return h * 31 + (uint32_t)msg.n;
}

static void feed(struct result *out, struct tako__grpc_reader *r, const char *p, size_t n,
                 uint64_t limit)
{
	tako_str in = {p, n};

	while (in.n && out->rc >= 0) {
		tako_str msg;

		out->rc = tako__grpc_read(r, &in, limit, &msg);
		if (out->rc <= 0)
			continue;
		MUST(msg.p && msg.n <= limit);
		if (out->count < MESSAGES_MAX)
			out->sums[out->count] = sum(r->flags, msg);
		out->count++;
	}
}

static void read_all(struct result *out, const char *p, size_t n, size_t step, uint64_t limit)
{
	struct tako__grpc_reader r = {.n = 0};
	size_t step_n;

	memset(out, 0, sizeof(*out));
	for (size_t at = 0; at < n; at += step_n) {
		step_n = n - at < step ? n - at : step;
		feed(out, &r, p + at, step_n, limit);
		MUST(r.cap <= FIRST_BYTES || r.cap <= 2 * n);
	}
	out->idle = tako__grpc_reader_idle(&r);
	tako__grpc_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct result whole;
	struct result cut;
	uint64_t limit;

	if (size < 3)
		return 0;
	limit = data[0] == 0xff ? UINT64_MAX : (uint64_t)data[0] * 16;
	read_all(&whole, (const char *)data + 2, size - 2, size, limit);
	read_all(&cut, (const char *)data + 2, size - 2, data[1] % 16 + 1u, limit);
	MUST(whole.count == cut.count && (whole.rc < 0) == (cut.rc < 0));
	MUST(whole.rc >= 0 || whole.rc == cut.rc);
	MUST(!memcmp(whole.sums, cut.sums, sizeof(whole.sums)));
	MUST(whole.rc < 0 || whole.idle == cut.idle);
	return 0;
}

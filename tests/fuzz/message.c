/* SPDX-License-Identifier: MIT
 *
 * Bytes from another process as a message: what is taken for one packs into the same bytes again, and
 * is within them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/message.h"
#include "transports/sse/sse_format.h"

static void within(tako_str s, tako_str all)
{
	if (s.n && (s.p < all.p || s.p + s.n > all.p + all.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	tako_str packed = {(const char *)data, n};
	tako_message m;
	tako_message ok;
	char *again;

	if (tako__message_unpack(&m, packed) < 0)
		return 0;
	within(m.data, packed);
	within(m.event, packed);
	within(m.id, packed);
	if (tako__message_packed_bytes(&m) != n)
		abort();
	again = malloc(n);
	tako__message_pack(again, &m);
	if (memcmp(again, data, n) != 0)
		abort();
	free(again);
	if (tako__message_import(&ok, &m, 1 << 20) == 0 && ok.kind == TAKO_TOPIC_TEXT) {
		tako_sse_event ev = {
			.size = sizeof ev, .data = ok.data, .event = ok.event, .id = ok.id};
		size_t bound = tako__sse_event_bound(&ev);
		char *out = malloc(bound);

		if (tako__sse_event_write(out, &ev) > bound)
			abort();
		free(out);
	}
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Sec-WebSocket-Extensions (RFC 6455 section 9.1): the client's offers in, our choice out.  There is one
 * extension, permessage-deflate (RFC 7692 section 7.1).  Sans-I/O, allocates nothing.
 */
#ifndef TAKO_WS_OFFER_H
#define TAKO_WS_OFFER_H

#include <tako/base.h>

#include "transports/ws/ws_deflate.h"

/* What this side is ready for. */
struct tako__ws_offer_config {
	/* Of the contexts that one connection keeps, both directions.  Windows become smaller until they
	 * fit; one that never does is not kept. */
	size_t max_memory_bytes;
	uint8_t server_bits; /* largest windows: 9 to 15 */
	uint8_t client_bits;
	uint8_t level; /* 1 to 9 */
	bool server_no_context;
	bool client_no_context;
};

/* Look at one field's offers in their order, and take the first that can be kept, unless *taken says
 * that one was already.  An offer that asks for what we cannot do, that is not permessage-deflate, or
 * whose parameters are unknown, twice there or out of range, is passed over (RFC 7692 section 5.1).
 * All of the field is looked at in any case.
 * TAKO_EINVAL: the field is not the grammar of RFC 6455 section 9.1, which asks to fail the
 * connection. */
int tako__ws_offer_take(tako_str field, const struct tako__ws_offer_config *cfg,
                        struct tako__ws_deflate_params *ret, bool *taken);

/* The field's value for the answer, no NUL; returns its length. */
enum { TAKO__WS_ANSWER_BYTES = 128 };
size_t tako__ws_offer_answer(const struct tako__ws_deflate_params *p,
                             char to[TAKO__WS_ANSWER_BYTES]);

#endif /* TAKO_WS_OFFER_H */

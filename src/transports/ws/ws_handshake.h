/* SPDX-License-Identifier: MIT
 *
 * The opening handshake (RFC 6455 section 4.2, RFC 8441 section 5): whether a request is one, and what
 * is answered.
 */
#ifndef TAKO_WS_HANDSHAKE_H
#define TAKO_WS_HANDSHAKE_H

#include <tako/ws.h>

#include "transports/ws/ws_local.h"
#include "transports/ws/ws_offer.h"

/* What the client and we have agreed on. */
struct tako__ws_agreed {
	tako_str subprotocol; /* as long as the exchange */
	struct tako__ws_deflate_params deflate;
	bool deflates;
};

/* A request that is none, or comes from elsewhere, is answered: TAKO_EINVAL.  Else 0, and the fields of
 * the answer are set. */
int tako__ws_handshake(tako_req *req, tako_res *res, const struct tako__ws_conf *conf,
                       struct tako__ws_agreed *ret);

/* What cfg's lists hold must make sense before a client has asked for any of it. */
int tako__ws_lists_check(const tako_ws_config *cfg);

#endif /* TAKO_WS_HANDSHAKE_H */

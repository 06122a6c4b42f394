/* SPDX-License-Identifier: MIT
 *
 * The opening handshake (RFC 6455 section 4.2, RFC 8441 section 5): whether a request is one, and what
 * is answered.
 */
#ifndef TAKO_WS_HANDSHAKE_H
#define TAKO_WS_HANDSHAKE_H

#include <tako/ws.h>

/* A request that is none, or comes from elsewhere, is answered: TAKO_EINVAL.  Else 0, and the fields of
 * the answer are set; *ret_protocol is the subprotocol, as long as the exchange.
 * TAKO_EINVAL, unanswered: a list of cfg is not in order. */
int tako__ws_handshake(tako_req *req, tako_res *res, const tako_ws_config *cfg,
                       tako_str *ret_protocol);

/* What cfg's lists hold must make sense before a client has asked for any of it. */
int tako__ws_lists_check(const tako_ws_config *cfg);

#endif /* TAKO_WS_HANDSHAKE_H */

/* SPDX-License-Identifier: MIT
 *
 * Compressed messages (RFC 7692) between frames and users: see ws_pack.c.
 */
#ifndef TAKO_WS_PACK_H
#define TAKO_WS_PACK_H

#include <tako/ws.h>

#include "transports/ws/ws_offer.h"

/* What a configuration is ready to agree on. */
struct tako__ws_offer_config tako__ws_pack_config(const tako_ws_deflate *d);

/* Look at the client's offers, and answer one of them if there is one to take; *ret_taken says so.
 * Without a size `d` is no configuration, and none is.
 * TAKO_EINVAL: malformed; TAKO_ENOMEM and what tako_res_header() says. */
int tako__ws_pack_agree(tako_req *req, tako_res *res, const tako_ws_deflate *d,
                        struct tako__ws_deflate_params *ret, bool *ret_taken);

/* Be ready for what was agreed on.  TAKO_ENOMEM. */
int tako__ws_pack_init(tako_ws *ws, const struct tako__ws_deflate_params *params);
void tako__ws_pack_fini(tako_ws *ws);

/* Bytes of a compressed message that is coming in; `end`: its last.  0, or the code to fail with. */
int tako__ws_pack_in(tako_ws *ws, const char *p, size_t n, bool end);

/* Compress a message, if it is worth it: then true, and *packed is what to send in its place, with RSV1,
 * until the next call.  *ret: TAKO_ENOMEM if it failed half-way, where only cutting is left. */
bool tako__ws_pack_out(tako_ws *ws, tako_str msg, tako_str *packed, int *ret);

#endif /* TAKO_WS_PACK_H */

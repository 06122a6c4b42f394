/* SPDX-License-Identifier: MIT
 *
 * Sec-WebSocket-Key and what answers it (RFC 6455 section 4.2.2): proof that the server speaks
 * WebSocket, and no secret, which is why SHA-1 does.
 */
#ifndef TAKO_WS_KEY_H
#define TAKO_WS_KEY_H

#include <tako/base.h>

enum { TAKO__WS_KEY_BYTES = 24, TAKO__WS_ACCEPT_BYTES = 28 };

/* Base64 of 16 bytes. */
bool tako__ws_key_ok(tako_str key);

/* The answer to a key that is ok; no NUL. */
void tako__ws_key_answer(char to[TAKO__WS_ACCEPT_BYTES], tako_str key);

#endif /* TAKO_WS_KEY_H */

/* SPDX-License-Identifier: MIT
 *
 * A message that is on its way to one of many: lent to the protocol, not copied.
 */
#ifndef TAKO_WS_SEND_H
#define TAKO_WS_SEND_H

#include <tako/sys/runtime.h>
#include <tako/ws.h>

struct tako__exchange;
struct tako__ws_local;

struct tako__ws_op {
	struct tako_send op;
	struct tako__exchange *x;
	struct tako__ws_local *local;
	tako_ws_msg *msg;
};

#endif /* TAKO_WS_SEND_H */

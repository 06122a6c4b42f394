/* SPDX-License-Identifier: MIT
 *
 * One message for many, as it is on the wire.
 */
#ifndef TAKO_WS_MSG_H
#define TAKO_WS_MSG_H

#include <stdatomic.h>

#include <tako/ws.h>

struct tako_ws_msg {
	_Atomic size_t refs;
	size_t n; /* of the frame, its head included */
	char frame[];
};

#endif /* TAKO_WS_MSG_H */

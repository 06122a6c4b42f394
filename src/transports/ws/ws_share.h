/* SPDX-License-Identifier: MIT
 *
 * What topics need of a WebSocket: where it lives, a shared message into its queue, and to be told
 * of its end.  All of it on its own loop.
 */
#ifndef TAKO_TRANSPORTS_WS_SHARE_H
#define TAKO_TRANSPORTS_WS_SHARE_H

#include <tako/ws.h>

#include "core/list.h"

struct tako__worker;

/* Embedded in whatever hangs on a WebSocket; any number of them. */
struct tako__ws_watch {
	struct tako__list link;
	/* The WebSocket is closed, on_close comes next: the watch is its own again. */
	void (*closed)(struct tako__ws_watch *watch);
};

struct tako__worker *tako__ws_worker(const tako_ws *ws);
/* TAKO_ECLOSED: on_close has run, or runs now. */
int tako__ws_watch(tako_ws *ws, struct tako__ws_watch *watch);
/* Fine once, for one that watches. */
void tako__ws_unwatch(struct tako__ws_watch *watch);
/* Queue the frame under the WebSocket's own limit and policy; no copy, no allocation but from the
 * worker's pool.  Takes a reference of its own.  Result as tako_ws_send(), without a text for
 * tako_last_error(); the high-water and slow callbacks may run inside. */
int64_t tako__ws_deliver(tako_ws *ws, tako_ws_msg *msg);

#endif /* TAKO_TRANSPORTS_WS_SHARE_H */

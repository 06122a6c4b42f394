/* SPDX-License-Identifier: MIT
 *
 * See ws_msg.h.
 */
#include "transports/ws/ws_msg.h"

#include <string.h>

#include "core/base.h"
#include "core/mem.h"
#include "transports/ws/ws_head.h"

tako_ws_msg *tako_ws_msg_new(int kind, tako_str msg)
{
	char head[TAKO__WS_OUR_HEAD_BYTES];
	size_t head_n;
	tako_ws_msg *m;

	if (kind != TAKO_WS_TEXT && kind != TAKO_WS_BINARY) {
		tako__fail(TAKO_EINVAL, "%d is no kind of message", kind);
		return NULL;
	}
	head_n = tako__ws_head_write(head, TAKO__WS_FIN | (unsigned)kind, msg.n);
	m = msg.n < SIZE_MAX / 2 ? tako__alloc(sizeof *m + head_n + msg.n) : NULL;
	if (!m) {
		tako__fail(TAKO_ENOMEM, "message: out of memory");
		return NULL;
	}
	atomic_init(&m->refs, 1);
	m->n = head_n + msg.n;
	memcpy(m->frame, head, head_n);
	if (msg.n)
		memcpy(m->frame + head_n, msg.p, msg.n);
	return m;
}

tako_ws_msg *tako_ws_msg_ref(tako_ws_msg *msg)
{
	atomic_fetch_add_explicit(&msg->refs, 1, memory_order_relaxed);
	return msg;
}

void tako_ws_msg_free(tako_ws_msg *msg)
{
	/* Whoever frees it has seen all that the others did with it. */
	if (msg && atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel) == 1)
		tako__free(msg, sizeof *msg + msg->n);
}

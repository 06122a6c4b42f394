/* SPDX-License-Identifier: MIT
 *
 * Seam B: layers between a socket and a protocol: bytes in, bytes out.  A plain connection
 * has none and pays nothing.  A layer is pushed both ways, so that it composes with a
 * completion runtime: `up` with what was received, `down` with what is to be sent.
 */
#ifndef TAKO_CORE_LAYER_H
#define TAKO_CORE_LAYER_H

#include <sys/types.h>
#include <tako/sys/runtime.h>

struct tako__arena;
struct tako__conn;
struct tako__layer;
struct tako_conn_info;

/* Questions that go down the stack until somebody knows. */
enum tako__fact {
	TAKO__FACT_CONN_INFO, /* struct tako__info_query *: fill in what the layer knows; TAKO_ENOMEM */
};

/* Everything a layer knows about its connection, for a handler; copies go into the arena. */
struct tako__info_query {
	struct tako_conn_info *info;
	struct tako__arena *arena;
};

/* NULL members pass through. */
struct tako__layer_ops {
	const char *name;
	/* From below; res as in tako_sock_cb.on_recv.  Pass on with tako__layer_up(). */
	void (*up)(struct tako__layer *l, char *p, ssize_t res);
	/* From above; completes `op` once and later, never from inside this call: whoever sends
	 * is in the middle of something.  Pass on with tako__layer_down().  A negative code leaves
	 * the op to the caller: TAKO_ENOTSUP for a file range, if the layer must see the bytes,
	 * has it read for the layer in pieces; any other one ends the connection.  What a layer
	 * still holds at its end it completes from fini, and until then counts what of it has not
	 * gone down in the connection's held_bytes. */
	int (*down)(struct tako__layer *l, struct tako_send *op);
	/* Nothing more will come from above: write close_notify and the like.  Once. */
	int (*finish)(struct tako__layer *l);
	/* Input that the layer holds back (TAKO__CONN_HELD) may go up again. */
	void (*resumed)(struct tako__layer *l);
	/* 0 and *out, or TAKO_ENOTSUP to ask the layer below. */
	int (*query)(struct tako__layer *l, enum tako__fact what, void *out);
	void (*fini)(struct tako__layer *l);
};

struct tako__layer {
	const struct tako__layer_ops *ops;
	struct tako__conn *conn;
	struct tako__layer *above; /* NULL: the protocol */
	struct tako__layer *below; /* NULL: the socket */
};

/* Put `l` on top of what is there, before the connection is opened. */
void tako__layer_push(struct tako__conn *c, struct tako__layer *l);
/* Take `l` out, for ever: what a layer does that has seen what it was there for.  From its
 * own `up` only; fini is called. */
void tako__layer_remove(struct tako__layer *l);
/* Hand to the next one above `l`; NULL: what comes from the socket. */
void tako__layer_up(struct tako__conn *c, struct tako__layer *l, char *p, ssize_t res);
/* Hand to the next one below `l`; NULL: what comes from the protocol. */
int tako__layer_down(struct tako__conn *c, struct tako__layer *l, struct tako_send *op);
/* Tell every layer, top first, that nothing more will be sent. */
void tako__layer_finish(struct tako__conn *c);
/* Tell every layer, lowest first, that what it holds back may go up. */
void tako__layer_resumed(struct tako__conn *c);
int tako__layer_query(struct tako__conn *c, enum tako__fact what, void *out);
/* Free the stack. */
void tako__layer_fini(struct tako__conn *c);

#endif /* TAKO_CORE_LAYER_H */

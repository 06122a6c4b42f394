/* SPDX-License-Identifier: MIT
 *
 * Exchanges over raw connections: <tako/sys/transport.h>.  The half of seam C that such a connection has
 * in common with HTTP's versions, and what raw.c has to tell it.
 */
#ifndef TAKO_RAW_EXCHANGE_H
#define TAKO_RAW_EXCHANGE_H

#include <tako/sys/transport.h>

#include "core/cold.h"
#include "core/conn.h"
#include "core/exchange.h"
#include "core/list.h"
#include "transports/raw/raw_int.h"

struct tako__raw_exchanges {
	struct tako__list all;
	bool looking;
	bool again; /* something came up meanwhile */
};

struct tako_exchange {
	struct tako__list link;
	struct tako__conn *c;
	struct tako__exchange *x; /* NULL: it is over, which is to be told */
	const tako_exchange_ops *ops;
	void *arg;
	struct tako_send
		*queue; /* answered, and waiting for room; with any there is a reference to x */
	struct tako_send **queue_end;
	uint64_t queued_bytes;
	uint64_t due_bytes; /* of the request's content, as announced; TAKO_OFF64: unknown */
	struct tako__cold cold;
	struct tako__timer timer; /* until a disk is asked again */
	bool held;                /* that reference */
	bool ended;               /* the response, behind the queue */
	bool mute;                /* nothing is written any more */
	bool pumping;
	bool blocked; /* somebody was told TAKO_EBUSY */
	bool leaving; /* … x, when the queue is empty */
	bool last;    /* nothing can follow on this connection */
};

static inline tako_exchange *tako__raw_x_of(const struct tako__exchange *x)
{
	return x->stream;
}

static inline struct tako__raw_exchanges *tako__raw_x_all(struct tako__conn *c)
{
	return tako__raw_of(c)->exchanges;
}

/* What came up meanwhile is seen to when nobody is inside. */
static inline void tako__raw_x_later(tako_exchange *e)
{
	tako__raw_x_all(e->c)->again = true;
	tako__conn_touch(e->c);
}

/* ---- What is answered (raw_answer.c) --------------------------------------------------------------- */

/* Less is unsent than the connection's high mark. */
bool tako__raw_x_has_room(const tako_exchange *e);
/* As much of what waits as there is room for. */
void tako__raw_x_pump(tako_exchange *e);
/* Nobody wants what waits any more. */
void tako__raw_x_drop(tako_exchange *e);
void tako__raw_x_init(tako_exchange *e);

/* Seam C. */
int tako__raw_x_head(struct tako__exchange *x);
int tako__raw_x_data(struct tako__exchange *x, const char *p, size_t n);
int tako__raw_x_lend(struct tako__exchange *x, struct tako_send *op);
int tako__raw_x_end(struct tako__exchange *x);
int tako__raw_x_inform(struct tako__exchange *x, int status);
void tako__raw_x_stop(struct tako__exchange *x, int err);
void tako__raw_x_leave(struct tako__exchange *x);
uint64_t tako__raw_x_unsent(const struct tako__exchange *x);
void tako__raw_x_read_more(struct tako__exchange *x);
void tako__raw_x_done(struct tako__exchange *x);

/* Nobody is inside any of them: go on with what waited for that, or for room. */
void tako__raw_x_look(struct tako__conn *c);
/* Are there any that are not over? */
bool tako__raw_x_any(struct tako__conn *c);
/* … and is one of them ours to answer, so that the peer owes nothing? */
bool tako__raw_x_answering(struct tako__conn *c);
/* The server stops: those are told that would go on for ever. */
void tako__raw_x_drain(struct tako__conn *c);
/* The connection is gone. */
void tako__raw_x_fini(struct tako__conn *c);

#endif /* TAKO_RAW_EXCHANGE_H */

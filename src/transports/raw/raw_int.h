/* SPDX-License-Identifier: MIT
 *
 * What the files of raw connections share: a listener's rule, and what a connection has beside it.
 */
#ifndef TAKO_RAW_INT_H
#define TAKO_RAW_INT_H

#include <stdatomic.h>
#include <string.h>

#include <tako/raw.h>

#include "core/conn.h"
#include "core/mem.h"
#include "core/rawed.h"
#include "core/worker.h"

struct tako__raw_exchanges;

/* One address's settings, or of one connection that we make, every default filled in. */
struct tako__raw_rule {
	tako_raw_config cfg;
	_Atomic uint32_t count; /* of its connections, on all workers */
};

/* Bytes that were in somebody's hands already when the user paused: those behind a PROXY header, if on_open()
 * did, or the rest of a batch of records, each of which stays one.  The runtime is told of the pause, so that
 * there are never more than it had received by then. */
struct tako__raw_held {
	struct tako__raw_held *next; /* what came after it */
	size_t n;
	char data[];
};

/* The state of a connection: with it an idle one has nothing that others have not. */
struct tako_raw {
	struct tako__raw_rule *rule; /* its listener's; its own if there is none */
	void *user;
	struct tako__arena *facts;             /* what conn_info() told; NULL: nothing yet */
	struct tako__raw_exchanges *exchanges; /* NULL: there were none */
	struct tako__raw_held *held;           /* what came in spite of a pause; NULL: nothing */
	uint64_t opened_ns;
	uint64_t heard_ns; /* when the last bytes came */
	int32_t why;       /* for on_close() */
	bool counted;      /* in the rule's */
	bool opened;       /* on_open() was called, so on_close() will be */
	bool heard_end;    /* the peer sends no more */
	bool held_end;     /* … behind what is held */
	bool ended;        /* nor do we, behind what is queued */
	bool shut;         /* … and the peer has been told */
	bool closes;       /* the server stops: when what has come is heard */
	bool high;         /* more than the high mark was unsent: on_writable() is owed */
};

_Static_assert(sizeof(struct tako_raw) <= TAKO__PROTO_STATE_BYTES, "fits where it lives");

static inline struct tako_raw *tako__raw_of(struct tako__conn *c)
{
	return (struct tako_raw *)(void *)c->proto_state;
}

static inline bool tako__raw_holds(const struct tako_raw *r)
{
	return r->held || r->held_end;
}

static inline struct tako__conn *tako__raw_conn(const tako_raw *r)
{
	return TAKO__CONTAINER((uintptr_t)r, struct tako__conn, proto_state);
}

static inline const tako_raw_config *tako__raw_cfg(const struct tako__conn *c)
{
	return &tako__raw_of((struct tako__conn *)(uintptr_t)c)->rule->cfg;
}

extern const struct tako__proto_ops tako__raw_ops;

/* The settings of one, checked and with the defaults.  TAKO_EINVAL, TAKO_ENOTSUP, TAKO_ENOMEM. */
int tako__raw_rule_import(struct tako__raw_rule **ret, const tako_raw_config *cfg, bool has_alpn,
                          const char *who);

/* Make one of a connection that we have made, which becomes that with this; `rule` is its own from then on,
 * and freed with it.  A negative code closes it: on_open() was called if *ret_opened. */
int tako__raw_adopt(struct tako__conn *c, struct tako__raw_rule *rule, bool *ret_opened);

/* Something was asked for: see to it, now or when the callback that we are in has returned. */
void tako__raw_settle(struct tako__conn *c);

#endif /* TAKO_RAW_INT_H */

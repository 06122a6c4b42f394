/* SPDX-License-Identifier: MIT
 *
 * Exchanges over raw connections: <tako/sys/transport.h>.  The half of seam C that such a connection has
 * in common with HTTP's versions, and what raw.c has to tell it.
 */
#ifndef TAKO_RAW_EXCHANGE_H
#define TAKO_RAW_EXCHANGE_H

#include <tako/sys/transport.h>

#include "core/conn.h"

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

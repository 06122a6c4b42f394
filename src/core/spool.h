/* SPDX-License-Identifier: MIT
 *
 * File ranges for layers that must see the bytes: read in pieces, one on its way at a time, while
 * whatever was sent behind the file waits.  A connection whose layers take files, or that has no
 * layers, never comes here.
 */
#ifndef TAKO_CORE_SPOOL_H
#define TAKO_CORE_SPOOL_H

#include "core/conn.h"

enum { TAKO__SPOOL_BYTES = 64 << 10 };

/* Keep an op that the layers did not take (`refusal`), or that has to wait behind one. */
void tako__spool_hold(struct tako__conn *c, struct tako_send *op, int refusal);
/* The connection is gone: complete what is held with TAKO_ECLOSED. */
void tako__spool_fini(struct tako__conn *c);

#endif /* TAKO_CORE_SPOOL_H */

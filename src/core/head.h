/* SPDX-License-Identifier: MIT
 *
 * A request's head where it was received, until somebody looks: how a protocol lends it, and what
 * whoever hands out views of it, or keeps them, has to do first.
 */
#ifndef TAKO_CORE_HEAD_H
#define TAKO_CORE_HEAD_H

#include "core/exchange.h"

/* Move the head that `x` was lent to `to`, which has room for its fields and its bytes behind them. */
void tako__head_move(struct tako__exchange *x, struct tako__field *to);

/* What user code is shown lives as long as the exchange, whatever happens to received bytes: before any
 * view of the head is given away, or kept beyond the call that runs the exchange.  Cannot fail, since
 * the room was there before the head was lent. */
static inline void tako__head_keep(struct tako__exchange *x)
{
	if (TAKO__UNLIKELY(x->lent_room != NULL))
		tako__head_move(x, x->lent_room);
}

#endif /* TAKO_CORE_HEAD_H */

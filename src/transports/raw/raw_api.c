/* SPDX-License-Identifier: MIT
 *
 * What a user of a raw connection may ask for, from inside its callbacks or from another one's.
 */
#include "core/exchange.h"
#include "core/proxied.h"
#include "core/record.h"
#include "transports/raw/raw_int.h"

static int put(struct tako__conn *c, const tako_raw_config *cfg, tako_str data)
{
	return TAKO__LIKELY(!cfg->records) ? tako__conn_write(c, data.p, data.n)
	                                   : tako__record_send(c, data);
}

int64_t tako_raw_send(tako_raw *r, tako_str data)
{
	struct tako__conn *c = tako__raw_conn(r);
	const tako_raw_config *cfg = tako__raw_cfg(c);
	uint64_t unsent = tako__conn_unsent(c);
	uint64_t more = data.n;

	if (TAKO__UNLIKELY(c->flags & TAKO__CONN_CLOSING))
		return TAKO_ECLOSED;
	if (TAKO__UNLIKELY((c->flags & TAKO__CONN_FINISH) || r->ended))
		return TAKO_ESTATE;
	if (TAKO__UNLIKELY(!data.n))
		return (int64_t)unsent;
	if (TAKO__UNLIKELY(cfg->records)) {
		if (data.n > TAKO__RECORD_BYTES_MAX)
			return tako__fail(TAKO_ETOOBIG, "a record of %zu bytes: %d is the most",
			                  data.n, TAKO__RECORD_BYTES_MAX);
		more += TAKO__RECORD_OVERHEAD;
	}
	if (TAKO__UNLIKELY(more > cfg->max_unsent_bytes || unsent > cfg->max_unsent_bytes - more))
		return TAKO_EBUSY;
	if (TAKO__UNLIKELY(put(c, cfg, data) < 0)) {
		r->why = TAKO_ENOMEM;
		tako__conn_reset(c);
		return TAKO_ENOMEM;
	}
	unsent += more;
	if (TAKO__UNLIKELY(unsent >= cfg->write_high_bytes))
		r->high = true;
	return (int64_t)unsent;
}

uint64_t tako_raw_unsent(const tako_raw *r)
{
	return tako__conn_unsent(tako__raw_conn(r));
}

/* Now, or at the end of the callback that we are in. */
static void look_soon(struct tako__conn *c)
{
	if (!(c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_ENTERED)))
		tako__conn_touch(c);
}

void tako_raw_end(tako_raw *r)
{
	struct tako__conn *c = tako__raw_conn(r);

	r->ended = true;
	r->high = false;
	look_soon(c);
}

void tako_raw_close(tako_raw *r)
{
	struct tako__conn *c = tako__raw_conn(r);

	if (c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH))
		return;
	tako__conn_resume(c);
	/* Done at the end of the callback that we are in, or by the touch: user code may be in the middle
	 * of something else. */
	c->flags |= TAKO__CONN_FINISH | (r->heard_end ? 0 : TAKO__CONN_LINGER);
	look_soon(c);
}

void tako_raw_abort(tako_raw *r)
{
	struct tako__conn *c = tako__raw_conn(r);

	if (!(c->flags & TAKO__CONN_CLOSING))
		r->why = TAKO_ECLOSED;
	tako__conn_reset(c);
}

void tako_raw_pause(tako_raw *r)
{
	tako__conn_pause(tako__raw_conn(r));
}

void tako_raw_resume(tako_raw *r)
{
	struct tako__conn *c = tako__raw_conn(r);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	tako__conn_resume(c);
	if (TAKO__UNLIKELY(tako__raw_holds(r)))
		look_soon(c);
}

void *tako_raw_user(const tako_raw *r)
{
	return r->user;
}

/* ---- Facts ---------------------------------------------------------------------------------------------- */

/* Where their strings are: few connections are ever asked. */
static struct tako__arena *arena_of(tako_raw *r)
{
	if (!r->facts) {
		r->facts = tako__alloc(sizeof *r->facts);
		if (r->facts)
			tako__arena_init(r->facts, NULL, 0);
	}
	return r->facts;
}

int tako_raw_conn_info(tako_raw *r, tako_conn_info *out)
{
	struct tako__arena *arena = arena_of(r);

	if (!arena)
		return tako__fail(TAKO_ENOMEM, "connection info: out of memory");
	return tako__conn_info(tako__raw_conn(r), tako__raw_ops.name, arena, out);
}

int tako_raw_proxy_info(tako_raw *r, tako_proxy_info *out)
{
	struct tako__arena *arena = arena_of(r);

	if (!arena)
		return tako__fail(TAKO_ENOMEM, "PROXY info: out of memory");
	return tako__proxied_info(tako__raw_conn(r), arena, out);
}

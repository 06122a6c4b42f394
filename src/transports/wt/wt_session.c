/* SPDX-License-Identifier: MIT
 *
 * A session's beginning and end, and what of it is no stream's: its settings, its datagrams, its facts.
 */
#include "core/res.h"
#include "transports/ws/ws_utf8.h"
#include "transports/wt/wt_int.h"

#define NO_REASON ((tako_str){"", 0})

/* ---- Settings ------------------------------------------------------------------------------ */

static void with_default(uint32_t *v, uint32_t value)
{
	if (*v == 0)
		*v = value;
}

int tako__wt_config_import(tako_wt_config *ret, const tako_wt_config *from)
{
	/* What was published first is all of it. */
	int rc = tako__import(ret, sizeof *ret, from, sizeof *ret, "tako_wt_config");

	if (rc < 0)
		return rc;
	with_default(&ret->max_stream_count, 128);
	with_default(&ret->idle_timeout_ms, TAKO_OFF);
	with_default(&ret->max_lifetime_ms, TAKO_OFF);
	with_default(&ret->drain_timeout_ms, 3000);
	if (ret->max_stream_count == TAKO_OFF)
		return tako__fail(TAKO_EINVAL, "max_stream_count cannot be TAKO_OFF");
	if (!ret->high_water_bytes)
		ret->high_water_bytes = 256 << 10;
	if (!ret->max_unsent_bytes)
		ret->max_unsent_bytes = 1 << 20;
	return 0;
}

/* ---- Beginning ------------------------------------------------------------------------------- */

void tako__wt_init(tako_wt *wt, struct tako__wt_conn *wc, const tako_wt_config *cfg, void *arg)
{
	wt->conn = wc;
	wt->cfg = *cfg;
	wt->cfg.origins = NULL;
	wt->arg = arg;
	wt->reason = NO_REASON;
	wt->since_ns = wt->active_ns = tako__wt_now(wc);
	tako__list_init(&wt->link);
	tako__list_init(&wt->ready);
	tako__list_init(&wt->streams);
	tako__list_init(&wt->ready_streams);
	tako__wt_timer_init(wt);
}

void tako__wt_opened(tako_wt *wt)
{
	struct tako__wt_conn *wc = wt->conn;

	wt->state = TAKO__WT_OPEN;
	tako__list_push_back(&wc->sessions, &wt->link);
	/* Those come in the next look: their callbacks run in no call of the user's. */
	wt->fresh = wc->fresh = true;
	tako__quic_wake(wc->c);
	tako__wt_arm(wt);
	if (wt->cfg.on_open)
		wt->cfg.on_open(wt, wt->arg);
}

/* ---- The end ------------------------------------------------------------------------------------ */

void tako__wt_end(tako_wt *wt, int why, uint64_t code, tako_str reason)
{
	if (wt->state >= TAKO__WT_ENDING)
		return;
	wt->state = TAKO__WT_ENDING;
	wt->why = why;
	wt->code = code;
	wt->reason = reason;
	wt->conn->ending = true;
	if (!wt->conn->over)
		tako__quic_wake(wt->conn->c);
}

void tako__wt_finish(tako_wt *wt)
{
	struct tako__wt_conn *wc = wt->conn;

	if (wt->state == TAKO__WT_DONE)
		return;
	wt->state = TAKO__WT_DONE;
	tako__timer_clear(&wc->c->worker->wheel, &wt->timer);
	tako__list_remove(&wt->ready);
	tako__wt_early_drop(wc, wt->id, wc->gone_code);
	while (!tako__list_empty(&wt->streams))
		tako__wt_stream_end(TAKO__CONTAINER(wt->streams.next, tako_wt_stream, link));
	tako__list_remove(&wt->link);
	wc->gone[wc->gone_count++ % TAKO__WT_GONE_MAX] = wt->id;
	if (wt->cfg.on_close)
		wt->cfg.on_close(wt, wt->why, wt->code, wt->arg);
	if (!tako__wt_is_raw(wt))
		tako__wt_connect_leave(wt);
}

/* Where the peer's would be, who is not heard any more. */
static tako_str keep_reason(tako_wt *wt, tako_str reason)
{
	if (reason.n)
		memcpy(wt->in.kept, reason.p, reason.n);
	return (tako_str){wt->in.kept, reason.n};
}

int tako__wt_say_close(tako_wt *wt, uint64_t code, tako_str *reason)
{
	char capsule[TAKO__WT_CAPSULE_HEAD_BYTES + TAKO__WT_CLOSE_BYTES];
	char text[TAKO__QUIC_REASON_BYTES + 1] = "";

	*reason = keep_reason(wt, *reason);
	if (!tako__wt_is_raw(wt))
		return tako__wt_connect_write(
			wt, capsule, tako__wt_capsule_close(capsule, (uint32_t)code, *reason),
			true);
	memcpy(text, reason->p, reason->n);
	tako__quic_close(wt->conn->c, code, text);
	return 0;
}

static size_t reason_max(const tako_wt *wt)
{
	return tako__wt_is_raw(wt) ? (size_t)TAKO__QUIC_REASON_BYTES : (size_t)TAKO_WT_REASON_BYTES;
}

static bool is_reason(tako_str reason)
{
	struct tako__utf8 u = {0};

	return tako__utf8_feed(&u, reason.n ? reason.p : "", reason.n) && tako__utf8_done(&u);
}

int tako_wt_close(tako_wt *wt, uint64_t code, tako_str reason)
{
	int rc;

	if (wt->state >= TAKO__WT_ENDING)
		return tako__fail(TAKO_ECLOSED, "the session is over");
	if (code > (tako__wt_is_raw(wt) ? TAKO__H3_VARINT_MAX : UINT32_MAX))
		return tako__fail(TAKO_EINVAL, "%llu is no code to close with",
		                  (unsigned long long)code);
	if (reason.n > reason_max(wt) || !is_reason(reason))
		return tako__fail(TAKO_EINVAL, "a reason is UTF-8 of at most %zu bytes",
		                  reason_max(wt));
	rc = tako__wt_say_close(wt, code, &reason);
	if (rc < 0)
		return tako__fail(rc, "the close could not be sent");
	tako__wt_end(wt, 0, code, reason);
	return 0;
}

void tako__wt_drain(tako_wt *wt)
{
	if (wt->drains || wt->state != TAKO__WT_OPEN)
		return;
	wt->drains = true;
	wt->drain_ns = tako__wt_now(wt->conn);
	tako__wt_arm(wt);
	if (wt->cfg.on_drain)
		wt->cfg.on_drain(wt, wt->arg);
}

/* ---- Datagrams ------------------------------------------------------------------------------------- */

void tako__wt_on_datagram(tako_wt *wt, const char *p, size_t n)
{
	if (wt->state != TAKO__WT_OPEN)
		return;
	wt->active_ns = tako__wt_now(wt->conn);
	if (wt->cfg.on_datagram)
		wt->cfg.on_datagram(wt, (tako_str){n ? p : "", n}, wt->arg);
}

/* RFC 9297 section 2.1: whose it is, as a quarter of that number. */
static size_t datagram_head(const tako_wt *wt, char *to)
{
	return tako__wt_is_raw(wt) ? 0 : tako__h3_varint_write(to, (uint64_t)wt->id / 4);
}

int tako_wt_datagram(tako_wt *wt, tako_str data)
{
	char head[TAKO__H3_VARINT_BYTES];
	struct iovec vec[2] = {
		{head, datagram_head(wt, head)},
		{(char *)(uintptr_t)data.p, data.n},
	};
	int rc = wt->state <= TAKO__WT_OPEN ? tako__quic_datagram(wt->conn->c, vec, 2)
	                                    : TAKO_ECLOSED;

	if (rc < 0)
		return tako__fail(rc, "the datagram cannot be sent");
	wt->active_ns = tako__wt_now(wt->conn);
	return 0;
}

size_t tako_wt_datagram_max(const tako_wt *wt)
{
	char head[TAKO__H3_VARINT_BYTES];
	size_t max = wt->state <= TAKO__WT_OPEN ? tako__quic_datagram_max(wt->conn->c) : 0;
	size_t head_n = datagram_head(wt, head);

	return max > head_n ? max - head_n : 0;
}

/* ---- Facts ------------------------------------------------------------------------------------------ */

void *tako_wt_arg(const tako_wt *wt)
{
	return wt->arg;
}

void tako_wt_set_arg(tako_wt *wt, void *arg)
{
	wt->arg = arg;
}

bool tako_wt_is_open(const tako_wt *wt)
{
	return wt->state <= TAKO__WT_OPEN;
}

tako_str tako_wt_reason(const tako_wt *wt)
{
	return wt->reason;
}

int tako_wt_conn_info(tako_wt *wt, tako_conn_info *out)
{
	if (!wt->conn || wt->conn->over)
		return tako__fail(TAKO_ECLOSED, "the connection is gone");
	return tako__conn_info(wt->conn->c, wt->conn->c->proto->name, wt->arena, out);
}

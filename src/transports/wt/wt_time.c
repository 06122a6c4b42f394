/* SPDX-License-Identifier: MIT
 *
 * What a session waits for: one timer, set to the first of its deadlines.  What puts a deadline off only
 * notes the time: the timer fires early, looks, and sleeps on.
 */
#include "transports/wt/wt_int.h"

static uint64_t after(uint64_t since_ns, uint32_t ms)
{
	return ms == TAKO_OFF ? TAKO__NEVER : since_ns + tako__ms_ns(ms);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t tick_ns(const tako_wt *wt)
{
	return wt->conn->c->worker->srv->tick_ns;
}

/* Who wants to be told of a drain decides when it ends, if he asks for time. */
static uint64_t drain_deadline(const tako_wt *wt)
{
	if (!wt->drains)
		return TAKO__NEVER;
	return wt->cfg.on_drain ? after(wt->drain_ns, wt->cfg.drain_timeout_ms) : wt->drain_ns;
}

static const char *drain_reason(const tako_wt *wt)
{
	return wt->conn->c->worker->state == TAKO__SERVING ? "drained" : "the server stops";
}

static uint64_t deadline(const tako_wt *wt)
{
	return least(drain_deadline(wt), least(after(wt->active_ns, wt->cfg.idle_timeout_ms),
	                                       after(wt->since_ns, wt->cfg.max_lifetime_ms)));
}

static void arm_at(tako_wt *wt, uint64_t at)
{
	if (at < wt->timer.deadline_ns)
		tako__timer_set(&wt->conn->c->worker->wheel, &wt->timer, at);
}

void tako__wt_arm(tako_wt *wt)
{
	arm_at(wt, deadline(wt));
}

void tako__wt_arm_tick(tako_wt *wt)
{
	if (wt->ticks)
		return;
	wt->ticks = true;
	arm_at(wt, tako__wt_now(wt->conn) + tick_ns(wt));
}

void tako__wt_linger(tako_wt *wt)
{
	enum { LINGER_MS = 1000 };

	tako__list_push_back(&wt->conn->leaving, &wt->link);
	tako__timer_set(&wt->conn->c->worker->wheel, &wt->timer,
	                tako__wt_now(wt->conn) + tako__ms_ns(LINGER_MS));
}

static void close_it(tako_wt *wt, int why, const char *reason)
{
	tako_str text = tako_str_z(reason);

	if (why == TAKO_ETIMEDOUT)
		tako__add(&wt->conn->c->worker->stats.timeouts, 1);
	if (tako__wt_say_close(wt, 0, &text) == 0)
		tako__wt_end(wt, why, 0, text);
	else
		tako__wt_end(wt, TAKO_ENOMEM, 0, (tako_str){"", 0});
}

static void look_at_streams(tako_wt *wt, uint64_t now)
{
	bool idle = wt->ticked_bytes == wt->conn->wrote_bytes;

	wt->ticked_bytes = wt->conn->wrote_bytes;
	wt->ticks = false;
	TAKO__LIST_EACH(at, &wt->streams)
	{
		tako_wt_stream *s = TAKO__CONTAINER(at, tako_wt_stream, link);

		tako__wt_stream_check(s, now, idle);
		wt->ticks |= s->out.unsent_bytes != 0;
	}
	if (wt->ticks)
		arm_at(wt, now + tick_ns(wt));
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	tako_wt *wt = TAKO__CONTAINER(t, tako_wt, timer);
	uint64_t now = tako__wt_now(wt->conn);

	(void)now_ns;
	tako__conn_touch(wt->conn->c);
	if (wt->state == TAKO__WT_DONE) {
		tako__wt_connect_release(wt);
		return;
	}
	if (wt->state != TAKO__WT_OPEN)
		return;
	if (now >= drain_deadline(wt))
		close_it(wt, 0, drain_reason(wt));
	else if (now >= after(wt->since_ns, wt->cfg.max_lifetime_ms))
		close_it(wt, TAKO_ETIMEDOUT, "lifetime");
	else if (now >= after(wt->active_ns, wt->cfg.idle_timeout_ms))
		close_it(wt, TAKO_ETIMEDOUT, "idle");
	else {
		if (wt->ticks)
			look_at_streams(wt, now);
		tako__wt_arm(wt);
	}
}

void tako__wt_timer_init(tako_wt *wt)
{
	tako__timer_init(&wt->timer, on_timer);
}

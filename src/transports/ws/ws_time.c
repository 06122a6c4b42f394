/* SPDX-License-Identifier: MIT
 *
 * What a WebSocket waits for: one timer, set to the first of its deadlines.  What puts a deadline off
 * only notes the time: the timer fires early, looks, and sleeps on.
 */
#include "core/clock.h"
#include "core/worker.h"
#include "transports/ws/ws_int.h"

static uint64_t after(uint64_t since_ns, uint32_t ms)
{
	return ms == TAKO_OFF ? TAKO__NEVER : since_ns + (uint64_t)ms * 1000000;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t ping_deadline(const tako_ws *ws)
{
	const tako_ws_config *cfg = &ws->conf->cfg;

	return ws->ping_ns ? after(ws->ping_ns, cfg->pong_timeout_ms)
	                   : after(ws->heard_ns, cfg->ping_interval_ms);
}

static uint64_t deadline(const tako_ws *ws)
{
	const tako_ws_config *cfg = &ws->conf->cfg;

	if (ws->state == TAKO__WS_CLOSING)
		return after(ws->since_ns, cfg->close_timeout_ms);
	return least(ping_deadline(ws), least(after(ws->spoke_ns, cfg->idle_timeout_ms),
	                                      after(ws->since_ns, cfg->max_lifetime_ms)));
}

void tako__ws_arm(tako_ws *ws)
{
	uint64_t at = deadline(ws);

	if (at < ws->timer.deadline_ns)
		tako__timer_set(&ws->local->worker->wheel, &ws->timer, at);
}

void tako__ws_answered(tako_ws *ws)
{
	/* The timer waits for the pong's deadline, and the next ping may be due before. */
	ws->ping_ns = 0;
	tako__ws_arm(ws);
}

void tako__ws_arm_now(tako_ws *ws)
{
	tako__timer_set(&ws->local->worker->wheel, &ws->timer, tako__ws_now(ws));
}

static void give_up(tako_ws *ws)
{
	tako__add(&ws->local->worker->stats.timeouts, 1);
	tako__ws_cut(ws, 1006, TAKO_ETIMEDOUT);
	tako__ws_finish(ws, 1006);
}

/* Also what its connection still holds back, where that is shared: over HTTP/2 a stream's bytes are the
 * connection's as soon as windows let them go. */
static bool is_behind(const tako_ws *ws)
{
	const struct tako__conn *c = ws->x->conn;

	return tako_ws_unsent(ws) || (c && tako__conn_unsent(c));
}

/* A peer that is busy taking what waits for it has not got round to our ping: how long it may take
 * for that is the transport's to watch. */
static void look_at_ping(tako_ws *ws, uint64_t now)
{
	if (ws->ping_ns && ws->heard_ns > ws->ping_ns)
		ws->ping_ns = 0;
	if (now < ping_deadline(ws))
		return;
	if (!ws->ping_ns) {
		if (tako__ws_control(ws, TAKO__WS_PING, NULL, 0) == 0)
			ws->ping_ns = now;
	} else if (is_behind(ws)) {
		ws->ping_ns = now;
	} else {
		give_up(ws);
	}
}

static void look(tako_ws *ws, uint64_t now)
{
	const tako_ws_config *cfg = &ws->conf->cfg;

	if (ws->state == TAKO__WS_CUT) {
		tako__ws_finish(ws, ws->code);
	} else if (ws->state == TAKO__WS_CLOSING) {
		if (now >= deadline(ws))
			give_up(ws);
	} else if (now >= after(ws->since_ns, cfg->max_lifetime_ms)) {
		(void)tako_ws_close(ws, 1001, TAKO_STR("lifetime"));
	} else if (now >= after(ws->spoke_ns, cfg->idle_timeout_ms)) {
		(void)tako_ws_close(ws, 1001, TAKO_STR("idle"));
	} else {
		look_at_ping(ws, now);
	}
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	tako_ws *ws = TAKO__CONTAINER(t, tako_ws, timer);
	struct tako__exchange *x = ws->x;

	/* The wheel counts whole ticks, the others what the loop's clock says. */
	(void)now_ns;
	if (x->conn)
		tako__conn_touch(x->conn);
	x->flags |= TAKO__X_RUNNING;
	look(ws, tako__ws_now(ws));
	if (ws->state <= TAKO__WS_CLOSING)
		tako__ws_arm(ws);
	tako__exchange_settle(x, 0);
}

void tako__ws_timer_init(tako_ws *ws)
{
	tako__timer_init(&ws->timer, on_timer);
}

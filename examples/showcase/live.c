/* SPDX-License-Identifier: MIT
 *
 * /ws, a WebSocket that says back what it hears, and /events, as many events as are asked for: for
 * clients and benchmarks, where /chat and /ticks are for the page.
 *
 *   python3 -m websockets ws://127.0.0.1:8080/ws
 *   curl -N 'http://127.0.0.1:8080/events?n=3'
 */
#include <inttypes.h>
#include <stdio.h>

#include "showcase.h"

enum {
	EVENTS_MAX = 10000,
	/* Room for all of them: they are made at once. */
	QUEUE_BYTES = 1 << 20,
};

/* ---- The WebSocket ---------------------------------------------------------------------- */

/* Who sends and does not read is not read from either, so what waits for him is bounded. */
static void say_back(tako_ws *ws, int kind, tako_str said, void *arg)
{
	(void)arg;
	tako_ws_send(ws, kind, said);
}

int ws(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(
		req, res,
		TAKO_WS_CONFIG(.on_message = say_back, .deflate = TAKO_WS_DEFLATE(.level = 1)),
		arg);
}

/* ---- The events ----------------------------------------------------------------------------- */

struct range {
	uint64_t n;    /* the last one, */
	uint64_t seen; /* and the one that the client has */
};

static void send_events(tako_sse *sse, tako_str last_id, void *arg)
{
	const struct range *r = arg;

	(void)last_id;
	for (uint64_t i = r->seen + 1; i <= r->n; i++) {
		char text[24];
		int n = snprintf(text, sizeof text, "%" PRIu64, i);
		tako_str number = {text, (size_t)n};

		if (tako_sse_send(sse, TAKO_SSE_EVENT(.data = number, .id = number)) < 0)
			break;
	}
	tako_sse_close(sse);
}

/* From the one behind Last-Event-ID on.  Who has them all is answered 204, which tells a browser not
 * to come again. */
int events(tako_req *req, tako_res *res, void *arg)
{
	struct range *r = tako_req_alloc(req, sizeof *r);
	const struct number numbers[] = {{"n", 0, EVENTS_MAX, r ? &r->n : NULL}};

	(void)arg;
	if (!r)
		return TAKO_ENOMEM;
	r->n = 10;
	if (!numbers_read(req, res, numbers, COUNT_OF(numbers)))
		return 0;
	(void)number_parse(tako_req_header(req, "Last-Event-ID"), EVENTS_MAX, &r->seen);
	if (r->seen >= r->n)
		return tako_res_send(res, 204, NULL, (tako_str){0});
	return tako_sse_start(
		req, res, TAKO_SSE_CONFIG(.on_open = send_events, .max_queue_bytes = QUEUE_BYTES),
		r);
}

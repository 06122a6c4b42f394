/* SPDX-License-Identifier: MIT
 *
 * /session, WebTransport: streams and datagrams that come back.  It needs HTTP/3.
 */
#include "showcase.h"

enum { IDLE_MS = 60000 };

static void session_stream(tako_wt *wt, tako_wt_stream *s, void *arg)
{
	tako_wt_stream *answer = s;

	(void)arg;
	/* One that goes one way is answered on one that goes the other. */
	if (tako_wt_stream_is_uni(s) && tako_wt_open(wt, true, &answer) < 0)
		answer = NULL;
	tako_wt_stream_set_arg(s, answer);
	if (answer && answer != s)
		tako_wt_stream_set_arg(answer, s);
}

static void session_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	/* Who does not read what comes back is not read from. */
	if (arg && tako_wt_send(arg, data, end) > (256 << 10))
		tako_wt_pause(s);
}

static void session_writable(tako_wt_stream *s, void *arg)
{
	(void)s;
	if (arg)
		tako_wt_resume(arg);
}

static void session_stream_close(tako_wt_stream *s, int why, uint64_t code, void *arg)
{
	(void)why, (void)code;
	/* With its session all of them go. */
	if (arg && arg != s && tako_wt_stream_session(s))
		tako_wt_stream_set_arg(arg, NULL);
}

static void session_datagram(tako_wt *wt, tako_str data, void *arg)
{
	(void)arg;
	/* What finds no room is lost, as datagrams are. */
	(void)tako_wt_datagram(wt, data);
}

int session(tako_req *req, tako_res *res, void *arg)
{
	return tako_wt_accept(req, res,
	                      TAKO_WT_CONFIG(.on_stream = session_stream, .on_data = session_data,
	                                     .on_writable = session_writable,
	                                     .on_stream_close = session_stream_close,
	                                     .on_datagram = session_datagram,
	                                     .idle_timeout_ms = IDLE_MS),
	                      arg);
}

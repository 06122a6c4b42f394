/* SPDX-License-Identifier: MIT
 *
 * See wt_log.h.
 */
#include "unit/wt_log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct wt_log wt_log;

static void TAKO_PRINTF(1, 2) note(const char *fmt, ...)
{
	size_t left = sizeof wt_log.text - wt_log.n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(wt_log.text + wt_log.n, left, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < left)
		wt_log.n += (size_t)n;
}

void wt_log_start(void)
{
	memset(&wt_log, 0, sizeof wt_log);
}

const char *wt_log_take(void)
{
	static char taken[WT_LOG_BYTES];

	memcpy(taken, wt_log.text, wt_log.n + 1);
	wt_log.n = 0;
	wt_log.text[0] = '\0';
	return taken;
}

static const char *kind(const tako_wt_stream *s)
{
	static const char *const kinds[] = {"bidi", "uni", "our bidi", "our uni"};

	return kinds[tako_wt_stream_is_ours(s) * 2 + tako_wt_stream_is_uni(s)];
}

static void log_open(tako_wt *wt, void *arg)
{
	(void)arg;
	wt_log.wt = wt;
	wt_log.opened++;
	note("open|");
}

static void log_stream(tako_wt *wt, tako_wt_stream *s, void *arg)
{
	tako_wt_stream *answer = s;

	(void)arg;
	note("stream %s|", kind(s));
	wt_log.streams_opened++;
	if (wt_log.count < WT_LOG_STREAMS)
		wt_log.streams[wt_log.count++] = s;
	if (wt_log.pause)
		tako_wt_pause(s);
	if (wt_log.echo && tako_wt_stream_is_uni(s)) {
		wt_log.last = tako_wt_open(wt, true, &answer);
		if (wt_log.last < 0)
			answer = NULL;
		else
			wt_log.streams_opened++;
	}
	tako_wt_stream_set_arg(s, answer);
}

static void log_data(tako_wt_stream *s, tako_str data, bool end, void *arg)
{
	wt_log.bytes += data.n;
	if (!wt_log.quiet || end)
		note("data %.*s%s|", wt_log.quiet ? 0 : (int)data.n, data.p, end ? " end" : "");
	if (wt_log.echo && arg)
		wt_log.last = (int)tako_wt_send(arg, data, end);
	if (wt_log.close_on_data)
		wt_log.last = tako_wt_close(tako_wt_stream_session(s), 7,
		                            TAKO_STR("from a callback"));
}

static void log_writable(tako_wt_stream *s, void *arg)
{
	(void)arg;
	note("writable %s|", kind(s));
}

static void log_reset(tako_wt_stream *s, uint64_t code, void *arg)
{
	(void)arg;
	if (code == TAKO_WT_NO_CODE)
		note("reset %s|", kind(s));
	else
		note("reset %s %" PRIu64 "|", kind(s), code);
}

static void log_stop(tako_wt_stream *s, void *arg)
{
	(void)arg;
	note("stop %s|", kind(s));
}

static void log_stream_close(tako_wt_stream *s, int why, uint64_t code, void *arg)
{
	unsigned k = 0;

	(void)arg;
	wt_log.streams_closed++;
	for (unsigned i = 0; i < wt_log.count; i++) {
		if (wt_log.streams[i] != s)
			wt_log.streams[k++] = wt_log.streams[i];
	}
	wt_log.count = k;
	if (code == TAKO_WT_NO_CODE)
		note("closed %s %d|", kind(s), why);
	else
		note("closed %s %d %" PRIu64 "|", kind(s), why, code);
}

static void log_streams_allowed(tako_wt *wt, void *arg)
{
	(void)wt, (void)arg;
	note("allowed|");
}

static void log_datagram(tako_wt *wt, tako_str data, void *arg)
{
	(void)arg;
	note("datagram %.*s|", TAKO_FMT(data));
	if (wt_log.echo)
		wt_log.last = tako_wt_datagram(wt, data);
}

static void log_drain(tako_wt *wt, void *arg)
{
	(void)wt, (void)arg;
	note("drain|");
}

static void log_close(tako_wt *wt, int why, uint64_t code, void *arg)
{
	tako_str reason = tako_wt_reason(wt);

	(void)arg;
	wt_log.closed++;
	if (wt_log.wt == wt)
		wt_log.wt = NULL;
	note("over %d %" PRIu64 " %.*s|", why, code, reason.n > 64 ? 64 : (int)reason.n, reason.p);
}

const tako_wt_config wt_log_config = {.size = sizeof(tako_wt_config),
                                      .on_open = log_open,
                                      .on_stream = log_stream,
                                      .on_data = log_data,
                                      .on_writable = log_writable,
                                      .on_reset = log_reset,
                                      .on_stop = log_stop,
                                      .on_stream_close = log_stream_close,
                                      .on_streams_allowed = log_streams_allowed,
                                      .on_datagram = log_datagram,
                                      .on_drain = log_drain,
                                      .on_close = log_close};

/* SPDX-License-Identifier: MIT
 *
 * Sessions' public face in a build without QUIC: refuses, with a sentence, so that a program written
 * for it says at its first request, or at start, what is missing.
 */
#include <tako/webtransport.h>

#include "core/server.h"

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "WebTransport is not in this build");
}

int tako_wt_accept(tako_req *req, tako_res *res, const tako_wt_config *cfg, void *arg)
{
	(void)req, (void)cfg, (void)arg;
	(void)tako_res_error(res, 501);
	return refuse();
}

const tako_transport *tako_quic_raw(void)
{
	static const tako_transport transport = {.name = "QUIC", .sessions = true};

	return &transport;
}

/* ---- Of a session, which there is none of -------------------------------------------- */

int tako_wt_close(tako_wt *wt, uint64_t code, tako_str reason)
{
	(void)wt, (void)code, (void)reason;
	return refuse();
}

void *tako_wt_arg(const tako_wt *wt)
{
	(void)wt;
	return NULL;
}

void tako_wt_set_arg(tako_wt *wt, void *arg)
{
	(void)wt, (void)arg;
}

bool tako_wt_is_open(const tako_wt *wt)
{
	(void)wt;
	return false;
}

tako_str tako_wt_reason(const tako_wt *wt)
{
	(void)wt;
	return (tako_str){"", 0};
}

int tako_wt_conn_info(tako_wt *wt, tako_conn_info *out)
{
	(void)wt, (void)out;
	return refuse();
}

int tako_wt_datagram(tako_wt *wt, tako_str data)
{
	(void)wt, (void)data;
	return refuse();
}

size_t tako_wt_datagram_max(const tako_wt *wt)
{
	(void)wt;
	return 0;
}

/* ---- Streams ------------------------------------------------------------------------------ */

int tako_wt_open(tako_wt *wt, bool uni, tako_wt_stream **out)
{
	(void)wt, (void)uni, (void)out;
	return refuse();
}

int64_t tako_wt_send(tako_wt_stream *s, tako_str data, bool end)
{
	(void)s, (void)data, (void)end;
	return refuse();
}

int tako_wt_reset(tako_wt_stream *s, uint64_t code)
{
	(void)s, (void)code;
	return refuse();
}

int tako_wt_stop(tako_wt_stream *s, uint64_t code)
{
	(void)s, (void)code;
	return refuse();
}

void tako_wt_pause(tako_wt_stream *s)
{
	(void)s;
}

void tako_wt_resume(tako_wt_stream *s)
{
	(void)s;
}

tako_wt *tako_wt_stream_session(const tako_wt_stream *s)
{
	(void)s;
	return NULL;
}

int64_t tako_wt_stream_id(const tako_wt_stream *s)
{
	(void)s;
	return -1;
}

bool tako_wt_stream_is_uni(const tako_wt_stream *s)
{
	(void)s;
	return false;
}

bool tako_wt_stream_is_ours(const tako_wt_stream *s)
{
	(void)s;
	return false;
}

void *tako_wt_stream_arg(const tako_wt_stream *s)
{
	(void)s;
	return NULL;
}

void tako_wt_stream_set_arg(tako_wt_stream *s, void *arg)
{
	(void)s, (void)arg;
}

uint64_t tako_wt_unsent(const tako_wt_stream *s)
{
	(void)s;
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * tako/webtransport.h: sessions of many streams and datagrams: WebTransport over HTTP/3 on a route
 * (draft-ietf-webtrans-http3), and the same over QUIC alone, without HTTP.
 *
 * A handler turns its exchange into a session with tako_wt_accept(); a listener of tako_quic_raw()
 * makes one of each connection.  A session lives on the loop it began on: functions marked [loop]
 * are called from a callback of any exchange, session or stream of that loop and from nowhere else.
 */
#ifndef TAKO_WEBTRANSPORT_H
#define TAKO_WEBTRANSPORT_H

#include <tako/base.h>
#include <tako/http.h>

TAKO_BEGIN

/* One session.  Lives until its on_close has returned. */
typedef struct tako_wt tako_wt;
/* One of its streams.  Lives until its on_stream_close has returned. */
typedef struct tako_wt_stream tako_wt_stream;

/* Of a reason to close with (section 6): bytes of UTF-8; of a session on QUIC alone 128. */
enum { TAKO_WT_REASON_BYTES = 1024 };
/* What callbacks get for the end of a stream to which no application has given a code. */
#define TAKO_WT_NO_CODE UINT64_MAX

/* ---- Configuration ------------------------------------------------------------------ */

/* What to do with a session.  All callbacks run on its loop, and any may be NULL.  `arg` is the
 * session's; of those that are about a stream it is the stream's, which begins as the session's.
 * No callback runs inside a call of yours, but on_open inside tako_wt_accept(). */
typedef struct tako_wt_config {
	size_t size;
	/* It is open: streams may be opened, datagrams sent. */
	void (*on_open)(tako_wt *wt, void *arg);
	/* The peer has opened a stream.  NULL: peers open none, and theirs are reset. */
	void (*on_stream)(tako_wt *wt, tako_wt_stream *s, void *arg);
	/* Bytes of a stream in order, borrowed for the call; `end`, once, with the last ones, and then
	 * maybe none.  The peer may send more when this has returned: who is not ready pauses. */
	void (*on_data)(tako_wt_stream *s, tako_str data, bool end, void *arg);
	/* After a tako_wt_send() that said more than high_water_bytes, or TAKO_EBUSY: less than half of
	 * them are unsent. */
	void (*on_writable)(tako_wt_stream *s, void *arg);
	/* The peer has given up its half with this code: nothing more comes, and what waited is lost. */
	void (*on_reset)(tako_wt_stream *s, uint64_t code, void *arg);
	/* The peer does not read on, told as soon as something is sent to it: nothing more can be, and
	 * what was unsent is lost.  The code comes with on_stream_close. */
	void (*on_stop)(tako_wt_stream *s, void *arg);
	/* Exactly once for each stream: both halves are over, or the session is; `s` dies after it.
	 * `why`: 0, each half has come to its end; TAKO_ECLOSED, one was given up, with `code`, or the
	 * session is over. */
	void (*on_stream_close)(tako_wt_stream *s, int why, uint64_t code, void *arg);
	/* The peer allows more streams of ours, after it allowed none. */
	void (*on_streams_allowed)(tako_wt *wt, void *arg);
	/* A datagram, borrowed for the call.  They come in any order, or do not.  NULL: thrown away */
	void (*on_datagram)(tako_wt *wt, tako_str data, void *arg);
	/* The server stops, or the peer asks for it: finish, then close.  NULL: as after
	 * drain_timeout_ms. */
	void (*on_drain)(tako_wt *wt, void *arg);
	/* Exactly once, after the on_stream_close of all its streams, unless tako_wt_accept() failed;
	 * `wt` dies after it.  `why`: 0, either side has closed it with `code` and the reason that
	 * tako_wt_reason() tells; else `code` is 0: TAKO_ETIMEDOUT, of any kind; TAKO_EPROTO, the peer
	 * broke the protocol; TAKO_ECLOSED, the connection was lost; TAKO_ENOMEM. */
	void (*on_close)(tako_wt *wt, int why, uint64_t code, void *arg);

	/* Pages that may connect, as in tako_ws_config: others, and requests without an Origin field,
	 * are answered 403.  NULL: from anywhere.  Needed for the call only.  tako_quic_raw(), which
	 * knows none, refuses it with TAKO_EINVAL. */
	const char *const *origins;

	/* ---- Limits ---- */

	uint64_t high_water_bytes; /* of a stream; 0: 256 KiB */
	uint64_t max_unsent_bytes; /* of a stream, then TAKO_EBUSY; 0: 1 MiB; TAKO_OFF64: none */
	uint32_t max_stream_count; /* open at once, of either side; 0: 128; of the peer's more are
				     * reset */
	uint32_t idle_timeout_ms;  /* nothing in or out for so long.  0, TAKO_OFF: none */
	uint32_t max_lifetime_ms;  /* 0, TAKO_OFF: none */
	uint32_t drain_timeout_ms; /* from on_drain to a close with code 0.  0: 3000; TAKO_OFF: when
				     * the server's patience ends */
} tako_wt_config;
#define TAKO_WT_CONFIG(...) (&(tako_wt_config){.size = sizeof(tako_wt_config), __VA_ARGS__})

/* ---- Sessions ------------------------------------------------------------------------- */

/* Turn this exchange into a session: an extended CONNECT over HTTP/3 (RFC 9220) with the protocol
 * "webtransport", which looks like a GET, so that tako_get() routes it.  Fields set on `res` before go
 * with the answer.  `cfg` is copied; `arg` is passed to its callbacks.  A handler returns what this
 * does.  A request that is none is answered here, with a reason as text: 400 (not WebTransport over
 * HTTP/3, or without datagrams), 403 (origin); that is TAKO_EINVAL.
 *   TAKO_EINVAL  also, answered 500: a setting out of range, an origin that is none
 *   TAKO_ENOTSUP answered 500: cfg->size is larger than this library's and a field it does not know
 *                is set; answered 501: not in this build, or wt_max_sessions is TAKO_OFF
 *   TAKO_ESTATE  answered already
 *   TAKO_ECLOSED, TAKO_ENOMEM  [loop] */
TAKO_API int tako_wt_accept(tako_req *req, tako_res *res, const tako_wt_config *cfg, void *arg);

/* End it: its streams are reset, and on_close comes with `code` when the present callback is over.
 * Over HTTP/3 `code` is at most 4294967295 (section 6), else 2^62 - 1; `reason` is UTF-8, copied.
 * TAKO_EINVAL: another code, or no such reason; TAKO_ECLOSED: over already; TAKO_ENOMEM.  [loop] */
TAKO_API int tako_wt_close(tako_wt *wt, uint64_t code, tako_str reason);

/* The argument that callbacks get, and another one for those that follow.  [loop] */
TAKO_API void *tako_wt_arg(const tako_wt *wt);
TAKO_API void tako_wt_set_arg(tako_wt *wt, void *arg);

/* True until it is closed, by either side, or lost.  [loop] */
TAKO_API bool tako_wt_is_open(const tako_wt *wt);

/* For on_close: the reason that the peer gave with its code, or we did; "" without.  [loop] */
TAKO_API tako_str tako_wt_reason(const tako_wt *wt);

/* As tako_req_conn_info() of its connection.  TAKO_EINVAL: size not set; TAKO_ENOMEM;
 * TAKO_ECLOSED.  [loop] */
TAKO_API int tako_wt_conn_info(tako_wt *wt, tako_conn_info *out);

/* ---- Datagrams -------------------------------------------------------------------------- */

/* Send a datagram (RFC 9221, RFC 9297), copied: whole and once, or not at all.
 *   TAKO_EBUSY    too many wait: they are no use late, drop it
 *   TAKO_ETOOBIG  longer than tako_wt_datagram_max()
 *   TAKO_ENOTSUP  the peer takes none
 *   TAKO_ECLOSED, TAKO_ENOMEM  [loop] */
TAKO_API int tako_wt_datagram(tako_wt *wt, tako_str data);
/* Bytes that fit into one on the present path; 0: the peer takes none.  [loop] */
TAKO_API size_t tako_wt_datagram_max(const tako_wt *wt);

/* ---- Streams ------------------------------------------------------------------------------ */

/* Open one, which the peer learns of with the first bytes; `uni`: it goes one way, from here.  *out is
 * set on success only.
 *   TAKO_EBUSY    the peer allows no more now: on_streams_allowed tells when; or max_stream_count
 *   TAKO_ECLOSED, TAKO_ENOMEM  [loop] */
TAKO_API int tako_wt_open(tako_wt *wt, bool uni, tako_wt_stream **out);

/* Send bytes, copied; `end`: they are the last ones, and there may be none.  Returns the stream's
 * bytes that are now unsent: who heeds high_water_bytes waits for on_writable.
 *   TAKO_EBUSY    max_unsent_bytes would wait: nothing was taken
 *   TAKO_ESTATE   ended already, or it is the peer's and goes one way
 *   TAKO_ECLOSED  the peer does not read on, or the session is over
 *   TAKO_ENOMEM   nothing was taken  [loop] */
TAKO_API int64_t tako_wt_send(tako_wt_stream *s, tako_str data, bool end);

/* Give up our half: the peer sees it incomplete, with `code`, and what it has not got yet may be lost.
 * Fine for one that is over.  TAKO_EINVAL: `code` is out of range, as in tako_wt_close(); TAKO_ECLOSED,
 * TAKO_ENOMEM.  [loop] */
TAKO_API int tako_wt_reset(tako_wt_stream *s, uint64_t code);
/* Ask the peer to give up its half, with `code`: no more of it is delivered.  As tako_wt_reset().
 * [loop] */
TAKO_API int tako_wt_stop(tako_wt_stream *s, uint64_t code);

/* Hold on_data back, and let it flow again: the peer is slowed down by QUIC's own flow control.
 * [loop] */
TAKO_API void tako_wt_pause(tako_wt_stream *s);
TAKO_API void tako_wt_resume(tako_wt_stream *s);

/* Its session; NULL once that is over.  [loop] */
TAKO_API tako_wt *tako_wt_stream_session(const tako_wt_stream *s);
/* Its number (RFC 9000 section 2.1): of no other stream of the connection.  [loop] */
TAKO_API int64_t tako_wt_stream_id(const tako_wt_stream *s);
/* It goes one way; and: we have opened it.  [loop] */
TAKO_API bool tako_wt_stream_is_uni(const tako_wt_stream *s);
TAKO_API bool tako_wt_stream_is_ours(const tako_wt_stream *s);
/* The argument of its callbacks, and another one for those that follow.  [loop] */
TAKO_API void *tako_wt_stream_arg(const tako_wt_stream *s);
TAKO_API void tako_wt_stream_set_arg(tako_wt_stream *s, void *arg);
/* Bytes that were sent and that have not left for the first time.  [loop] */
TAKO_API uint64_t tako_wt_unsent(const tako_wt_stream *s);

TAKO_END

#endif /* TAKO_WEBTRANSPORT_H */

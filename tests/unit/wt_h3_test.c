/* SPDX-License-Identifier: MIT
 *
 * WebTransport over HTTP/3, byte by byte on a transport that is faked: sessions, their streams and
 * datagrams, who comes too early, who says what no draft allows (sections are those of
 * draft-ietf-webtrans-http3-02 where no RFC is named), and all of it while each allocation fails once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/conn.h"
#include "transports/h3/h3_frame.h"
#include "transports/wt/wt_code.h"
#include "unit/failalloc.h"
#include "unit/h3_rig.h"
#include "unit/wt_log.h"

enum {
	FRAME_ERROR = 0x106,
	ID_ERROR = 0x108,
	SETTINGS_ERROR = 0x109,
	REJECTED = 0x10b,
	CANCELLED = 0x10c,
	MESSAGE_ERROR = 0x10e,
	DATAGRAM_ERROR = 0x33,
};

#define LINES ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:path=/wt\n:authority=a\n"
#define SETTINGS "\0\x04\x02\x33\x01"
#define CLOSE "\x68\x43"
#define S(lit) lit, sizeof(lit) - 1

static struct h3_rig rig;
static tako_wt_config config;

/* ---- Server ---------------------------------------------------------------------------- */

static int on_wt(tako_req *req, tako_res *res, void *arg)
{
	return tako_wt_accept(req, res, &config, arg);
}

static int on_get(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello");
}

/* False: without memory. */
static bool start(const tako_server_config *cfg)
{
	tako_router *r = tako_router_new();
	bool ok;

	wt_log_start();
	tako_get(r, "/wt", on_wt, NULL);
	tako_get(r, "/", on_get, NULL);
	ok = r && h3_rig_start(&rig, r, cfg);
	tako_router_free(r);
	rig.datagram_max = H3_RIG_DATAGRAM_BYTES;
	rig.streams_left = 20;
	return ok;
}

static int64_t put(bool uni, const char *p, size_t n, bool fin)
{
	int64_t id = h3_rig_open(&rig, uni);

	h3_rig_send(&rig, id, p, n, fin);
	h3_rig_pump(&rig);
	return id;
}

static int64_t request(const char *lines)
{
	char frame[1024];

	return put(false, frame, h3_rig_headers(frame, lines), false);
}

static void begin(const tako_server_config *cfg)
{
	config = wt_log_config;
	assert_true(start(cfg));
	(void)put(true, S(SETTINGS), false);
}

static void end(void)
{
	/* The client leaves: nobody waits for it. */
	if (rig.c)
		tako__conn_close(rig.c);
	h3_rig_stop(&rig);
	if (rig.wrong)
		fail_msg("%s", rig.wrong);
	assert_int_equal(wt_log.opened, wt_log.closed);
	assert_int_equal(wt_log.streams_opened, wt_log.streams_closed);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

/* Of session 0, which is request 0. */
static void connected(const tako_server_config *cfg)
{
	begin(cfg);
	assert_int_equal(request(LINES), 0);
	assert_string_equal(wt_log_take(), "open|");
}

/* Time passes, for as long as it takes. */
#define UNTIL(is_so)                                                                               \
	for (unsigned turn_ = 0; turn_ < 10000 && !(is_so); turn_++)                               \
	h3_rig_run(&rig, 1)

static void assert_got(int64_t id, const char *p, size_t n)
{
	struct h3_rig_stream *s = h3_rig_stream(&rig, id);

	assert_non_null(s);
	assert_int_equal(s->got_n, n);
	assert_memory_equal(s->got, p, n);
}

/* DATA on a CONNECT stream. */
static void say(int64_t id, const char *p, size_t n, bool fin)
{
	char frame[2048];
	size_t head_n = tako__h3_frame_write(frame, 0, n);

	memcpy(frame + head_n, p, n);
	h3_rig_send(&rig, id, frame, head_n + n, fin);
	h3_rig_pump(&rig);
}

/* QPACK's static table (RFC 9204 appendix A), or a literal. */
static const char *status_of(int64_t id)
{
	const struct h3_rig_stream *s = h3_rig_stream(&rig, id);
	const unsigned char *at;

	if (s->got_n < 7)
		return s->reset ? "reset" : "none";
	at = (const unsigned char *)s->got + (s->got[1] & 0x40 ? 5 : 4);
	if (at[0] == 0xd9)
		return "200";
	/* Entry 63 + 4. */
	return at[0] == 0xff && at[1] == 4 ? "400" : "other";
}

/* ---- What works --------------------------------------------------------------------------- */

static void test_streams(void **state)
{
	(void)state;
	connected(NULL);
	wt_log.echo = true;
	assert_int_equal(put(false, S("\x40\x41\0hi"), false), 4);
	assert_string_equal(wt_log_take(), "stream bidi|data hi|");
	assert_got(4, S("hi"));
	h3_rig_send(&rig, 4, S(" there"), true);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "data  there end|closed bidi 0|");
	assert_got(4, S("hi there"));
	assert_true(h3_rig_stream(&rig, 4)->got_fin);
	/* One that goes one way is answered on one that goes the other. */
	assert_int_equal(put(true, S("\x40\x54\0one way"), true), 6);
	assert_string_equal(wt_log_take(),
	                    "stream uni|data one way end|closed uni 0|closed our uni 0|");
	assert_got(11, S("\x40\x54\0one way"));
	assert_true(h3_rig_stream(&rig, 11)->got_fin);
	end();
}

static void test_preface_byte_by_byte(void **state)
{
	static const char *const texts[] = {"\x40\x41\x40\0x", "\x40\x54\x40\0x"};

	(void)state;
	connected(NULL);
	for (unsigned uni = 0; uni < 2; uni++) {
		int64_t id = h3_rig_open(&rig, uni);

		for (unsigned i = 0; i < 5; i++)
			h3_rig_send(&rig, id, texts[uni] + i, 1, i == 4);
		h3_rig_pump(&rig);
		assert_string_equal(wt_log_take(), uni ? "stream uni|data x end|closed uni 0|"
		                                       : "stream bidi|data x end|");
		assert_int_equal(h3_rig_stream(&rig, id)->consumed_bytes, 5);
	}
	assert_false(rig.closed);
	end();
}

static void test_we_open(void **state)
{
	tako_wt_stream *s;

	(void)state;
	connected(NULL);
	assert_int_equal(tako_wt_open(wt_log.wt, false, &s), 0);
	assert_int_equal(tako_wt_stream_id(s), 1);
	assert_true(tako_wt_stream_session(s) == wt_log.wt);
	wt_log.streams_opened++;
	assert_int_equal(tako_wt_send(s, TAKO_STR("hello"), false), 8);
	h3_rig_pump(&rig);
	assert_got(1, S("\x40\x41\0hello"));
	h3_rig_send(&rig, 1, S("back"), true);
	assert_int_equal(tako_wt_send(s, TAKO_STR(""), true), 0);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "data back end|closed our bidi 0|");
	/* As many as the peer allows. */
	rig.streams_left = 0;
	assert_int_equal(tako_wt_open(wt_log.wt, true, &s), TAKO_EBUSY);
	end();
}

static void test_datagrams(void **state)
{
	char big[H3_RIG_DATAGRAM_BYTES + 1] = "";

	(void)state;
	connected(NULL);
	wt_log.echo = true;
	h3_rig_datagram(&rig, S("\0ping"));
	assert_string_equal(wt_log_take(), "datagram ping|");
	assert_int_equal(rig.datagram_count, 1);
	assert_int_equal(rig.datagrams[0].n, 5);
	assert_memory_equal(rig.datagrams[0].data, "\0ping", 5);
	assert_int_equal(tako_wt_datagram_max(wt_log.wt), H3_RIG_DATAGRAM_BYTES - 1);
	assert_int_equal(tako_wt_datagram(wt_log.wt, (tako_str){big, H3_RIG_DATAGRAM_BYTES}),
	                 TAKO_ETOOBIG);
	/* Of nobody. */
	h3_rig_datagram(&rig, S("\1ping"));
	assert_string_equal(wt_log_take(), "");
	end();
}

static void test_two_sessions(void **state)
{
	tako_wt *first;

	(void)state;
	connected(NULL);
	first = wt_log.wt;
	assert_int_equal(request(LINES), 4);
	assert_string_equal(wt_log_take(), "open|");
	assert_true(wt_log.wt != first);
	(void)put(true,
	          S("\x40\x54\x04"
	            "for the second"),
	          false);
	assert_true(tako_wt_stream_session(wt_log.streams[0]) == wt_log.wt);
	(void)put(true, S("\x40\x54\0for the first"), false);
	assert_true(tako_wt_stream_session(wt_log.streams[1]) == first);
	(void)wt_log_take();
	/* The end of one is none of the other. */
	say(0,
	    S(CLOSE "\x07\0\0\0\x05"
	            "bye"),
	    true);
	assert_string_equal(wt_log_take(), "closed uni -4|over 0 5 bye|");
	h3_rig_datagram(&rig, S("\1here"));
	assert_string_equal(wt_log_take(), "datagram here|");
	/* Requests go on beside them. */
	(void)request(":method=GET\n:scheme=https\n:path=/\n:authority=a\n");
	assert_true(h3_rig_stream(&rig, 8)->got_n > 10);
	end();
}

/* ---- Ends -------------------------------------------------------------------------------------- */

static void assert_gone(int64_t id)
{
	struct h3_rig_stream *s = h3_rig_stream(&rig, id);

	assert_true(s->stopped && s->stop_code == TAKO__WT_SESSION_GONE);
	assert_true(s->reset && s->reset_code == TAKO__WT_SESSION_GONE);
}

static const struct {
	const char *what;
	const char *p;
	size_t n;
	bool fin;
	bool reset;
	const char *log;
	uint64_t code; /* of the CONNECT stream's reset; 0: it ends in order */
} ends[] = {
	{"6: close with a code and a reason", S(CLOSE "\x06\0\0\0\x09ok"), true, false,
         "over 0 9 ok|", 0},
	{"6: … before its FIN", S(CLOSE "\x06\0\0\0\x09ok"), false, false, "over 0 9 ok|", 0},
	{"6: more behind a close",
         S(CLOSE "\x04\0\0\0\x09"
                 "x"),
         false, false, "over 0 9 |", MESSAGE_ERROR},
	{"6: an end stands for a close with 0", S(""), true, false, "over 0 0 |", 0},
	{"RFC 9297 3.3: a capsule is cut off", S(CLOSE "\x04\0\0"), true, false, "over -7 0 |",
         MESSAGE_ERROR},
	{"6: a close without a code", S(CLOSE "\x02\0\0"), false, false, "over -7 0 |",
         MESSAGE_ERROR},
	{"6: the CONNECT stream is reset", S(""), false, true, "over -4 0 |", CANCELLED},
	{"RFC 9297 3.2: unknown ones, then an end",
         S("\x21\x03"
           "abc\x17\0"),
         true, false, "over 0 0 |", 0},
};

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		char log[128];
		struct h3_rig_stream *s;

		connected(NULL);
		(void)put(false, S("\x40\x41\0hi"), false);
		(void)wt_log_take();
		if (ends[i].n)
			say(0, ends[i].p, ends[i].n, ends[i].fin);
		else if (ends[i].reset)
			h3_rig_reset(&rig, 0, CANCELLED);
		else
			h3_rig_send(&rig, 0, "", 0, true);
		h3_rig_run(&rig, 2);
		snprintf(log, sizeof log, "closed bidi -4|%s", ends[i].log);
		if (strcmp(wt_log.text, log) != 0)
			fail_msg("%s: %s", ends[i].what, wt_log.text);
		assert_gone(4);
		s = h3_rig_stream(&rig, 0);
		if (ends[i].code ? !s->reset || s->reset_code != ends[i].code : !s->got_fin)
			fail_msg("%s: %d %#llx", ends[i].what, s->reset,
			         (unsigned long long)s->reset_code);
		assert_false(rig.closed);
		/* What comes late for it is refused. */
		assert_gone(put(false, S("\x40\x41\0hi"), false));
		assert_string_equal(wt_log.text, log);
		end();
	}
}

static void test_we_close(void **state)
{
	char long_reason[TAKO_WT_REASON_BYTES + 1];
	struct h3_rig_stream *s;
	tako_wt_stream *mine;

	(void)state;
	connected(NULL);
	(void)put(false, S("\x40\x41\0hi"), false);
	(void)wt_log_take();
	memset(long_reason, 'r', sizeof long_reason);
	assert_int_equal(tako_wt_close(wt_log.wt, 1, (tako_str){long_reason, sizeof long_reason}),
	                 TAKO_EINVAL);
	assert_int_equal(tako_wt_close(wt_log.wt, 1, TAKO_STR("\xff")), TAKO_EINVAL);
	assert_int_equal(tako_wt_close(wt_log.wt, UINT64_C(1) << 32, TAKO_STR("")), TAKO_EINVAL);
	assert_int_equal(tako_wt_close(wt_log.wt, 3, TAKO_STR("enough")), 0);
	/* Not inside the call. */
	assert_string_equal(wt_log.text, "");
	assert_false(tako_wt_is_open(wt_log.wt));
	assert_int_equal(tako_wt_open(wt_log.wt, true, &mine), TAKO_ECLOSED);
	assert_int_equal(tako_wt_send(wt_log.streams[0], TAKO_STR("x"), false), TAKO_ECLOSED);
	assert_int_equal(tako_wt_datagram(wt_log.wt, TAKO_STR("x")), TAKO_ECLOSED);
	assert_int_equal(tako_wt_close(wt_log.wt, 3, TAKO_STR("")), TAKO_ECLOSED);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "closed bidi -4|over 0 3 enough|");
	assert_gone(4);
	s = h3_rig_stream(&rig, 0);
	assert_true(s->got_fin && s->got_n > 15);
	assert_memory_equal(s->got + s->got_n - 15,
	                    "\0\x0d" CLOSE "\x0a\0\0\0\x03"
	                    "enough",
	                    15);
	/* It is heard out: who is cut off may not see what was said. */
	assert_false(s->stopped || s->gone);
	h3_rig_send(&rig, 0, "", 0, true);
	h3_rig_pump(&rig);
	assert_true(s->gone);
	end();
}

static void test_close_in_a_callback(void **state)
{
	(void)state;
	connected(NULL);
	wt_log.close_on_data = true;
	(void)put(false, S("\x40\x41\0hi"), false);
	assert_int_equal(wt_log.last, 0);
	assert_string_equal(wt_log_take(),
	                    "stream bidi|data hi|closed bidi -4|over 0 7 from a callback|");
	end();
}

static void test_the_server_stops(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	begin(TAKO_SERVER_CONFIG(.drain_timeout_ms = 5000));
	config.drain_timeout_ms = 20;
	(void)request(LINES);
	(void)put(false, S("\x40\x41\0hi"), false);
	(void)wt_log_take();
	tako_server_stop(rig.server.srv);
	UNTIL(wt_log.n);
	assert_string_equal(wt_log_take(), "drain|");
	s = h3_rig_stream(&rig, 0);
	assert_memory_equal(s->got + s->got_n - 7, "\0\x05\x80\0\x78\xae\0", 7);
	/* A session goes on, streams of it too, while no request is taken any more. */
	(void)put(false, S("\x40\x41\0more"), false);
	assert_string_equal(wt_log_take(), "stream bidi|data more|");
	UNTIL(wt_log.closed);
	assert_string_equal(wt_log_take(),
	                    "closed bidi -4|closed bidi -4|over 0 0 the server stops|");
	end();
}

/* The end of its connection does not overtake a session's own, which a client may have and not have told yet. */
static void test_the_connection_outlives_it(void **state)
{
	uint64_t since;

	(void)state;
	connected(NULL);
	tako_server_stop(rig.server.srv);
	UNTIL(wt_log.n);
	assert_int_equal(tako_wt_close(wt_log.wt, 7, TAKO_STR("bye")), 0);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "drain|over 0 7 bye|");
	h3_rig_send(&rig, 0, "", 0, true);
	h3_rig_pump(&rig);
	assert_true(h3_rig_stream(&rig, 0)->gone);
	since = tako__clock_ns();
	UNTIL(rig.closed);
	assert_true(rig.closed && rig.code == 0x100);
	assert_true(tako__clock_ns() - since >= 400000000);
	end();
}

/* … but not for whoever has gone without a word, as browsers do behind their last session.  A request is still
 * waited for. */
static void test_nobody_hears_its_end(void **state)
{
	uint64_t since;
	int64_t begun;

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_goaway_grace_ms = 60000, .drain_timeout_ms = TAKO_OFF));
	(void)request(LINES);
	begun = put(false, S("\x01"), false);
	rig.hold_acks = true;
	say(0, S(CLOSE "\x04\0\0\0\x01"), true);
	assert_string_equal(wt_log_take(), "open|over 0 1 |");
	tako_server_stop(rig.server.srv);
	since = tako__clock_ns();
	UNTIL(tako__clock_ns() - since > 1200000000);
	assert_false(rig.closed);
	assert_false(h3_rig_stream(&rig, 0)->gone);
	h3_rig_reset(&rig, begun, CANCELLED);
	UNTIL(rig.closed);
	assert_true(rig.closed);
	assert_int_equal(rig.code, 0x100);
	assert_string_equal(rig.reason, "");
	end();
}

/* RFC 9297 section 3.5: the same as one of QUIC's; and the session's, so that it keeps it from being idle. */
static void test_datagrams_in_capsules(void **state)
{
	(void)state;
	begin(NULL);
	(void)request(LINES);
	say(0, S("\0\x04ping\0\0\0\x05"), false);
	assert_string_equal(wt_log_take(), "open|datagram ping|datagram |");
	say(0, S("again"), false);
	assert_string_equal(wt_log_take(), "datagram again|");
	say(0, S(CLOSE "\x04\0\0\0\x01"), true);
	assert_string_equal(wt_log_take(), "over 0 1 |");
	end();
}

/* … or the peer wants to, who may be told why it ends. */
static void test_the_peer_drains(void **state)
{
	(void)state;
	begin(NULL);
	config.drain_timeout_ms = 20;
	(void)request(LINES);
	say(0, S("\x80\0\x78\xae\0\x80\0\x78\xae\0"), false);
	assert_string_equal(wt_log_take(), "open|drain|");
	UNTIL(wt_log.closed);
	assert_string_equal(wt_log_take(), "over 0 0 drained|");
	end();
}

/* Later drafts: their settings and capsules mean nothing to us, and break nothing; who asks for theirs by name is
 * told that this is another one. */
static void test_later_drafts(void **state)
{
	/* WT_MAX_SESSIONS, WT_INITIAL_MAX_DATA, _STREAMS_UNI, _STREAMS_BIDI, beside H3_DATAGRAM. */
	static const char settings[] =
		"\0\x04\x13\x33\x01\x94\xe9\xcd\x29\x01\x6b\x61\x44\0\x6b\x64\x04\x6b\x65\x04"
		"\x21\x05";
	/* WT_MAX_DATA, WT_MAX_STREAMS, WT_DATA_BLOCKED, WT_STREAMS_BLOCKED, and one of GREASE. */
	static const char capsules[] =
		"\x99\x0b\x4d\x3d\x02\x44\0\x99\x0b\x4d\x3f\x01\x04\x99\x0b\x4d\x40\x01\x04"
		"\x99\x0b\x4d\x41\x01\x04\x99\x0b\x4d\x43\x01\x04\x99\x0b\x4d\x44\x01\x04\x17\x01x";
	int64_t id;

	(void)state;
	config = wt_log_config;
	assert_true(start(NULL));
	(void)put(true, settings, sizeof settings - 1, false);
	assert_false(rig.closed);
	(void)request(LINES);
	say(0, capsules, sizeof capsules - 1, false);
	(void)put(false, S("\x40\x41\0hi"), false);
	assert_string_equal(wt_log_take(), "open|stream bidi|data hi|");
	id = request(":method=CONNECT\n:protocol=webtransport-h3\n:scheme=https\n:path=/"
	             "wt\n:authority=a\n");
	assert_string_equal(wt_log_take(), "");
	assert_string_equal(status_of(id), "400");
	end();
}

static void test_codes(void **state)
{
	uint64_t wire = tako__wt_code_wire(4711);

	(void)state;
	connected(NULL);
	(void)put(false, S("\x40\x41\0hi"), false);
	(void)wt_log_take();
	assert_int_equal(tako_wt_reset(wt_log.streams[0], UINT64_C(1) << 32), TAKO_EINVAL);
	assert_int_equal(tako_wt_reset(wt_log.streams[0], 30), 0);
	assert_int_equal(tako_wt_stop(wt_log.streams[0], 4711), 0);
	assert_true(h3_rig_stream(&rig, 4)->reset_code == tako__wt_code_wire(30));
	assert_true(h3_rig_stream(&rig, 4)->stop_code == wire);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "closed bidi -4 30|");
	/* Theirs. */
	(void)put(false, S("\x40\x41\0hi"), false);
	h3_rig_reset(&rig, 8, wire);
	assert_string_equal(wt_log_take(), "stream bidi|data hi|reset bidi 4711|");
	h3_rig_stop_sending(&rig, 8, wire);
	assert_int_equal(tako_wt_send(wt_log.streams[0], TAKO_STR("x"), false), 1);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "stop bidi|closed bidi -4 4711|");
	/* No application's. */
	(void)put(true, S("\x40\x54\0hi"), false);
	h3_rig_reset(&rig, 6, 0x10c);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "stream uni|data hi|reset uni|closed uni -4|");
	end();
}

/* ---- Who waits for whom --------------------------------------------------------------------------- */

static void test_pause(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	connected(NULL);
	wt_log.pause = true;
	(void)put(false, S("\x40\x41\0first "), false);
	s = h3_rig_stream(&rig, 4);
	assert_int_equal(s->consumed_bytes, 3);
	h3_rig_send(&rig, 4, S("second"), true);
	assert_int_equal(s->consumed_bytes, 3);
	assert_string_equal(wt_log_take(), "stream bidi|");
	tako_wt_resume(wt_log.streams[0]);
	assert_string_equal(wt_log.text, "");
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "data first second end|");
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	/* What the transport is through with, its reader may not be. */
	(void)put(true, S("\x40\x54\0late"), true);
	assert_string_equal(wt_log_take(), "stream uni|");
	assert_int_equal(rig.more, 0);
	tako_wt_resume(wt_log.streams[1]);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "data late end|closed uni 0|");
	assert_int_equal(rig.more, 1);
	end();
}

/* Streams of ours make no room for others of the peer's, whenever they are over. */
static void test_ours_make_no_room(void **state)
{
	tako_wt_stream *s;

	(void)state;
	connected(NULL);
	assert_int_equal(tako_wt_open(wt_log.wt, false, &s), 0);
	wt_log.streams_opened++;
	tako_wt_pause(s);
	assert_int_equal(tako_wt_send(s, TAKO_STR("x"), true), 4);
	h3_rig_pump(&rig);
	h3_rig_send(&rig, 1, S("back"), true);
	h3_rig_pump(&rig);
	assert_true(h3_rig_stream(&rig, 1)->gone);
	assert_string_equal(wt_log_take(), "");
	tako_wt_resume(s);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "data back end|closed our bidi 0|");
	assert_int_equal(rig.more, 0);
	end();
}

/* As little as there can be. */
static void test_high_water_of_a_byte(void **state)
{
	(void)state;
	begin(NULL);
	config.high_water_bytes = 1;
	(void)request(LINES);
	(void)put(false, S("\x40\x41\0x"), false);
	(void)wt_log_take();
	assert_int_equal(tako_wt_send(wt_log.streams[0], TAKO_STR("xy"), false), 2);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "writable bidi|");
	end();
}

static void test_high_water(void **state)
{
	static char bytes[1000];

	(void)state;
	begin(NULL);
	config.high_water_bytes = 1500;
	config.max_unsent_bytes = 2500;
	rig.window = 600;
	(void)request(LINES);
	(void)put(false, S("\x40\x41\0x"), false);
	(void)wt_log_take();
	assert_int_equal(tako_wt_send(wt_log.streams[0], (tako_str){bytes, 1000}, false), 1000);
	assert_int_equal(tako_wt_send(wt_log.streams[0], (tako_str){bytes, 1000}, false), 2000);
	assert_int_equal(tako_wt_send(wt_log.streams[0], (tako_str){bytes, 1000}, false),
	                 TAKO_EBUSY);
	h3_rig_pump(&rig);
	assert_int_equal(tako_wt_unsent(wt_log.streams[0]), 1400);
	assert_string_equal(wt_log_take(), "");
	h3_rig_allow(&rig, 4, 700);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(), "writable bidi|");
	h3_rig_allow(&rig, 4, 10000);
	h3_rig_pump(&rig);
	assert_int_equal(h3_rig_stream(&rig, 4)->got_n, 2000);
	assert_string_equal(wt_log_take(), "");
	end();
}

static void test_nobody_takes_it(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.write_timeout_ms = 40));
	rig.window = 100;
	(void)request(LINES);
	rig.window = 5;
	(void)put(false, S("\x40\x41\0x"), false);
	(void)wt_log_take();
	assert_true(tako_wt_send(wt_log.streams[0], TAKO_STR("more than five"), false) > 0);
	UNTIL(wt_log.n);
	assert_string_equal(wt_log_take(), "stop bidi|");
	assert_int_equal(tako_wt_send(wt_log.streams[0], TAKO_STR("x"), false), TAKO_ECLOSED);
	end();
}

static void test_time(void **state)
{
	(void)state;
	begin(NULL);
	config.idle_timeout_ms = 20;
	(void)request(LINES);
	UNTIL(wt_log.closed == 1);
	assert_string_equal(wt_log_take(), "open|over -5 0 idle|");
	config.idle_timeout_ms = 0;
	config.max_lifetime_ms = 20;
	(void)request(LINES);
	UNTIL(wt_log.closed == 2);
	assert_string_equal(wt_log_take(), "open|over -5 0 lifetime|");
	end();
}

/* ---- Who comes too early --------------------------------------------------------------------------- */

static void test_early(void **state)
{
	char frame[512];
	size_t n = h3_rig_headers(frame, LINES);
	int64_t id;

	(void)state;
	begin(NULL);
	id = h3_rig_open(&rig, false);
	(void)put(false, S("\x40\x41\0bidi"), false);
	(void)put(true, S("\x40\x54\0uni"), true);
	h3_rig_datagram(&rig, S("\0datagram"));
	assert_string_equal(wt_log.text, "");
	assert_int_equal(h3_rig_stream(&rig, 4)->consumed_bytes, 3);
	h3_rig_send(&rig, id, frame, n, false);
	h3_rig_pump(&rig);
	assert_string_equal(wt_log_take(),
	                    "open|stream bidi|stream uni|datagram datagram|data bidi|"
	                    "data uni end|closed uni 0|");
	assert_int_equal(h3_rig_stream(&rig, 4)->consumed_bytes, 7);
	end();
}

static void assert_refused(int64_t id)
{
	struct h3_rig_stream *s = h3_rig_stream(&rig, id);

	assert_true(s->stopped && s->stop_code == TAKO__WT_BUFFERED_STREAM_REJECTED);
	assert_true(s->reset && s->reset_code == TAKO__WT_BUFFERED_STREAM_REJECTED);
}

static void test_too_many_early(void **state)
{
	(void)state;
	connected(TAKO_SERVER_CONFIG(.wt_max_early_streams = 2, .wt_max_early_datagrams = 1,
	                             .header_timeout_ms = 30));
	for (int64_t id = 4; id < 16; id += 4) {
		assert_int_equal(put(false,
		                     S("\x40\x41\x40\x40"
		                       "early"),
		                     false),
		                 id);
		h3_rig_datagram(&rig, S("\x10"
		                        "early"));
	}
	assert_refused(12);
	assert_false(h3_rig_stream(&rig, 4)->stopped);
	/* … or too long. */
	UNTIL(h3_rig_stream(&rig, 8)->reset);
	assert_refused(4);
	assert_refused(8);
	assert_string_equal(wt_log.text, "");
	assert_false(rig.closed);
	end();
}

/* What came for a request that becomes no session need not wait until its time is over. */
static void test_early_for_nobody(void **state)
{
	char frame[512];
	size_t n = h3_rig_headers(frame, ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:"
	                                 "path=/no\n:authority=a\n");
	int64_t id;

	(void)state;
	begin(NULL);
	id = h3_rig_open(&rig, false);
	(void)put(false, S("\x40\x41\0bidi"), false);
	h3_rig_datagram(&rig, S("\0datagram"));
	h3_rig_send(&rig, id, frame, n, true);
	h3_rig_pump(&rig);
	assert_refused(4);
	assert_string_equal(wt_log.text, "");
	assert_false(rig.closed);
	end();
}

static void test_waits_for_settings(void **state)
{
	(void)state;
	config = wt_log_config;
	assert_true(start(TAKO_SERVER_CONFIG(.header_timeout_ms = 60)));
	(void)request(LINES);
	(void)put(false, S("\x40\x41\0hi"), false);
	assert_string_equal(wt_log.text, "");
	(void)put(true, S(SETTINGS), false);
	assert_string_equal(wt_log_take(), "open|stream bidi|data hi|");
	end();
	/* Not for ever. */
	assert_true(start(TAKO_SERVER_CONFIG(.header_timeout_ms = 20)));
	(void)request(LINES);
	UNTIL(h3_rig_stream(&rig, 0)->reset || rig.closed);
	assert_true(h3_rig_stream(&rig, 0)->reset || rig.closed);
	assert_string_equal(wt_log.text, "");
	end();
}

/* ---- Who has too much, or says what may not be ------------------------------------------------------ */

static void test_limits(void **state)
{
	int64_t id;

	(void)state;
	begin(TAKO_SERVER_CONFIG(.wt_max_sessions = 2));
	config.max_stream_count = 1;
	(void)request(LINES);
	(void)request(LINES);
	id = request(LINES);
	assert_true(h3_rig_stream(&rig, id)->reset);
	assert_int_equal(h3_rig_stream(&rig, id)->reset_code, REJECTED);
	assert_string_equal(wt_log_take(), "open|open|");
	(void)put(false, S("\x40\x41\0one"), false);
	assert_refused(put(false, S("\x40\x41\0two"), false));
	assert_string_equal(wt_log_take(), "stream bidi|data one|");
	/* One that is over makes room. */
	say(0, S(CLOSE "\x04\0\0\0\0"), true);
	(void)wt_log_take();
	(void)request(LINES);
	assert_string_equal(wt_log_take(), "open|");
	assert_false(rig.closed);
	end();
}

static const struct refused {
	const char *what;
	const char *lines;
	uint64_t reset;
} requests[] = {
	{"3.3: the scheme is https",
         ":method=CONNECT\n:protocol=webtransport\n:scheme=http\n:path=/wt\n:authority=a\n",
         MESSAGE_ERROR},
	{"3.3: no path", ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:authority=a\n",
         MESSAGE_ERROR},
	{"3.3: no authority", ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:path=/wt\n",
         MESSAGE_ERROR},
	{"RFC 9220 3: :protocol without CONNECT",
         ":method=GET\n:protocol=webtransport\n:scheme=https\n:path=/wt\n:authority=a\n",
         MESSAGE_ERROR},
	{"another protocol",
         ":method=CONNECT\n:protocol=websocket\n:scheme=https\n:path=/wt\n:authority=a\n", 0},
	{"who simply asks", ":method=GET\n:scheme=https\n:path=/wt\n:authority=a\n", 0},
	{"no such route",
         ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:path=/no\n:authority=a\n", 0},
	{"a route that takes none: 200 is no answer",
         ":method=CONNECT\n:protocol=webtransport\n:scheme=https\n:path=/\n:authority=a\n", 0},
	{"3.3: not from this origin", LINES "origin=https://evil.example\n", 0},
	{"… nor from one that is none", LINES "origin=null\n", 0},
	{"… nor from two", LINES "origin=https://good.example\norigin=https://good.example\n", 0},
};

static void test_requests(void **state)
{
	static const char *const origins[] = {"https://good.example", NULL};

	(void)state;
	begin(NULL);
	config.origins = origins;
	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		int64_t id = request(requests[i].lines);
		struct h3_rig_stream *s = h3_rig_stream(&rig, id);

		if (wt_log.n || rig.closed || strcmp(status_of(id), "200") == 0 ||
		    s->reset_code != requests[i].reset)
			fail_msg("%s: %s, %s, %#llx", requests[i].what, wt_log.text, status_of(id),
			         (unsigned long long)s->reset_code);
	}
	(void)request(LINES "origin=https://good.example\n");
	assert_string_equal(wt_log_take(), "open|");
	end();
}

/* What ends the connection: on a stream of its own, or as a datagram. */
static const struct bad {
	const char *what;
	char where; /* b: bidirectional; u: one way; r: on the CONNECT stream; d: a datagram; c: control, whole */
	const char *p;
	size_t n;
	uint64_t code;
} bads[] = {
	{"4.2: WT_STREAM behind another frame", 'b', S("\x21\0\x40\x41\0"), FRAME_ERROR},
	{"4.2: … behind HEADERS", 'r', S("\x40\x41\0"), FRAME_ERROR},
	{"4.2: cut off in its head", 'B', S("\x40\x41"), FRAME_ERROR},
	{"4: a session that is the server's stream", 'b', S("\x40\x41\x01"), ID_ERROR},
	{"4: … or goes one way", 'b', S("\x40\x41\x02"), ID_ERROR},
	{"4: … on a stream that goes one way", 'u', S("\x40\x54\x03"), ID_ERROR},
	{"4: a large one", 'u', S("\x40\x54\xff\xff\xff\xff\xff\xff\xff\xff"), ID_ERROR},
	{"RFC 9297 2.1: a datagram of no stream", 'd', S(""), DATAGRAM_ERROR},
	{"RFC 9297 2.1: … in half a number", 'd', S("\x40"), DATAGRAM_ERROR},
	{"RFC 9297 2.1: a number that is no quarter", 'd', S("\xd0\0\0\0\0\0\0\0"), DATAGRAM_ERROR},
	{"RFC 9297 2.1: of a request that may not be", 'd', S("\x40\x64hi"), ID_ERROR},
	{"RFC 9297 2.1.1: a setting that is 0 or 1", 'c', S("\0\x04\x02\x33\x02"), SETTINGS_ERROR},
	{"RFC 9297 2.1.1: … twice", 'c', S("\0\x04\x04\x33\x01\x33\x01"), SETTINGS_ERROR},
	{"RFC 9220 3: a setting that is 0 or 1", 'c', S("\0\x04\x02\x08\x02"), SETTINGS_ERROR},
};

static void do_bad(const struct bad *b)
{
	if (b->where == 'd')
		h3_rig_datagram(&rig, b->p, b->n);
	else if (b->where == 'r')
		h3_rig_send(&rig, 0, b->p, b->n, false);
	else
		(void)put(b->where == 'u' || b->where == 'c', b->p, b->n, b->where == 'B');
}

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bads / sizeof bads[0]; i++) {
		config = wt_log_config;
		assert_true(start(NULL));
		if (bads[i].where != 'c') {
			(void)put(true, S(SETTINGS), false);
			(void)request(LINES);
		}
		do_bad(&bads[i]);
		if (!rig.closed || rig.code != bads[i].code)
			fail_msg("%s: %#llx %s", bads[i].what, (unsigned long long)rig.code,
			         rig.reason);
		end();
	}
}

/* RFC 9297 section 2.1.1: who says that he takes HTTP's datagrams takes QUIC's. */
static void test_datagrams_of_nobody(void **state)
{
	(void)state;
	config = wt_log_config;
	assert_true(start(NULL));
	rig.datagram_max = 0;
	(void)put(true, S(SETTINGS), false);
	assert_true(rig.closed && rig.code == SETTINGS_ERROR);
	end();
	/* Who says nothing has no sessions. */
	assert_true(start(NULL));
	(void)put(true, S("\0\x04\0"), false);
	assert_string_not_equal(status_of(request(LINES)), "200");
	assert_string_equal(wt_log.text, "");
	end();
}

static void test_off(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.wt_max_sessions = TAKO_OFF));
	assert_string_not_equal(status_of(request(LINES)), "200");
	assert_string_equal(wt_log.text, "");
	/* What it does not know it passes over (RFC 9114 sections 6.2.3 and 9). */
	(void)put(true, S("\x40\x54\0x"), false);
	(void)put(false, S("\x40\x41\0"), false);
	assert_false(rig.closed);
	end();
}

/* ---- Without memory -------------------------------------------------------------------------------- */

static void scenario(void)
{
	config = wt_log_config;
	if (start(NULL)) {
		(void)put(true, S(SETTINGS), false);
		wt_log.echo = true;
		(void)request(LINES);
		(void)put(false,
		          S("\x40\x41\x04"
		            "early"),
		          false);
		(void)put(true, S("\x40\x54\0hi"), true);
		h3_rig_datagram(&rig, S("\0hi"));
		h3_rig_datagram(&rig, S("\x03hi"));
		wt_log.pause = true;
		(void)put(false, S("\x40\x41\0hi"), true);
		if (wt_log.count)
			tako_wt_resume(wt_log.streams[wt_log.count - 1]);
		h3_rig_pump(&rig);
		say(0, S(CLOSE "\x04\0\0\0\0"), true);
	}
	h3_rig_stop(&rig);
}

static void test_every_allocation_fails(void **state)
{
	size_t n = 1;

	(void)state;
	for (size_t failed = 1; failed; n++) {
		failalloc_arm(n);
		scenario();
		failed = failalloc_disarm();
		if (rig.wrong)
			fail_msg("allocation %zu: %s", n, rig.wrong);
		assert_int_equal(wt_log.opened, wt_log.closed);
		assert_int_equal(wt_log.streams_opened, wt_log.streams_closed);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(failalloc_wrong(), 0);
	}
	assert_true(n > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_preface_byte_by_byte),
		cmocka_unit_test(test_we_open),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_two_sessions),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_we_close),
		cmocka_unit_test(test_close_in_a_callback),
		cmocka_unit_test(test_the_server_stops),
		cmocka_unit_test(test_the_connection_outlives_it),
		cmocka_unit_test(test_datagrams_in_capsules),
		cmocka_unit_test(test_nobody_hears_its_end),
		cmocka_unit_test(test_the_peer_drains),
		cmocka_unit_test(test_later_drafts),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_ours_make_no_room),
		cmocka_unit_test(test_high_water),
		cmocka_unit_test(test_high_water_of_a_byte),
		cmocka_unit_test(test_nobody_takes_it),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_too_many_early),
		cmocka_unit_test(test_early_for_nobody),
		cmocka_unit_test(test_waits_for_settings),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_datagrams_of_nobody),
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_every_allocation_fails),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

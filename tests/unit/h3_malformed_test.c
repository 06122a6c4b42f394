/* SPDX-License-Identifier: MIT
 *
 * What a client must not say over HTTP/3, and what it may though it seems odd: one connection for
 * each line of h3_malformed.c's table.  What comes of it is a connection's end, a stream's, or an
 * answer; and each case is said once as a whole and once byte by byte.  Then what is too much.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/h3_malformed.h"
#include "unit/h3_rig.h"

static struct h3_rig rig;

static bool start(const tako_server_config *cfg)
{
	tako_router *r = h3_malformed_router();
	bool ok = h3_rig_start(&rig, r, cfg);
	tako_router_free(r);
	return ok;
}

/* ---- Saying it -------------------------------------------------------------------------------- */

static int64_t ids[REQ2 + 1];

static int64_t id_of(enum where where)
{
	if (ids[where] < 0)
		ids[where] = h3_rig_open(&rig, where < REQ);
	return ids[where];
}

static void say(const struct step *s, size_t cut)
{
	static char text[1 << 16];
	const char *p = s->p;
	size_t n = s->n;
	bool fin = s->how & FIN;

	if (s->how & RESET) {
		h3_rig_reset(&rig, id_of(s->where), CANCELLED);
		return;
	}
	if (s->how & LINES) {
		n = h3_rig_headers(text, s->p);
		p = text;
	}
	for (; n > cut; n -= cut, p += cut)
		h3_rig_send(&rig, id_of(s->where), p, cut, false);
	h3_rig_send(&rig, id_of(s->where), p, n, fin);
}

static int status_of(const struct h3_rig_stream *s)
{
	return h3_malformed_status(s->got, s->got_n);
}

static void check(const struct row *row, size_t cut)
{
	const struct h3_rig_stream *s = ids[REQ] < 0 ? NULL : h3_rig_stream(&rig, ids[REQ]);
	int status = s && !s->reset ? status_of(s) : 0;
	int reset = s && s->reset ? (int)s->reset_code : 0;
	int close = rig.closed ? (int)rig.code : 0;

	if (rig.wrong)
		fail_msg("RFC %s, %s: %s", row->rfc, row->what, rig.wrong);
	if (close != row->close)
		fail_msg("RFC %s, %s (cut at %zu): closed by %#x (%s), not by %#x", row->rfc,
		         row->what, cut, (unsigned)close, rig.reason, (unsigned)row->close);
	if (row->close)
		return;
	if (reset != row->reset)
		fail_msg("RFC %s, %s (cut at %zu): reset by %#x, not by %#x", row->rfc, row->what,
		         cut, (unsigned)reset, (unsigned)row->reset);
	if (status != row->status)
		fail_msg("RFC %s, %s (cut at %zu): status %d, not %d", row->rfc, row->what, cut,
		         status, row->status);
	if (reset && !s->stopped && !s->ended)
		fail_msg("RFC %s, %s: reset, and read on", row->rfc, row->what);
}

static void run_row(const struct row *row, size_t cut)
{
	static const struct step usual = B(CTL, "\0\x04\0");

	assert_true(start(NULL));
	for (size_t i = 0; i <= REQ2; i++)
		ids[i] = -1;
	if (!row->bare)
		say(&usual, cut);
	for (size_t i = 0; i < 5 && (row->steps[i].p); i++) {
		say(&row->steps[i], cut);
		h3_rig_pump(&rig);
	}
	h3_rig_run(&rig, 1);
	check(row, cut);
	h3_rig_stop(&rig);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < h3_malformed_count; i++) {
		run_row(&h3_malformed_rows[i], 1 << 16);
		run_row(&h3_malformed_rows[i], 1);
	}
}

/* ---- Limits -------------------------------------------------------------------------------------- */

static const struct step settings = B(CTL, "\0\x04\0");

static void begin(const tako_server_config *cfg)
{
	assert_true(start(cfg));
	for (size_t i = 0; i <= REQ2; i++)
		ids[i] = -1;
	say(&settings, 1 << 16);
}

static void end(void)
{
	h3_rig_stop(&rig);
	if (rig.wrong)
		fail_msg("%s", rig.wrong);
}

static int ask_large(size_t value_n, unsigned count)
{
	static char lines[1 << 16];
	static char frame[1 << 17];
	size_t n = (size_t)sprintf(lines, GET);
	int64_t id = h3_rig_open(&rig, false);

	for (unsigned i = 0; i < count; i++)
		n += (size_t)sprintf(lines + n, "x-%u=%0*u\n", i, (int)value_n, i);
	n = h3_rig_headers(frame, lines);
	h3_rig_send(&rig, id, frame, n, true);
	h3_rig_pump(&rig);
	return status_of(h3_rig_stream(&rig, id));
}

static void test_sections_too_large(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_header_list_bytes = 2000));
	assert_int_equal(ask_large(100, 5), 200);
	/* RFC 9114 section 4.2.2: by the sum, by the number, and by one that is not even decoded. */
	assert_int_equal(ask_large(1900, 1), 431);
	assert_int_equal(ask_large(1, 101), 431);
	assert_int_equal(ask_large(25000, 2), 431);
	/* The connection is as good as ever. */
	assert_int_equal(ask_large(100, 5), 200);
	assert_false(rig.closed);
	end();
}

static void test_target_too_long(void **state)
{
	static char lines[12000];
	static char frame[13000];
	int64_t id;

	(void)state;
	begin(NULL);
	sprintf(lines, ":method=GET\n:scheme=https\n:authority=a\n:path=/%09000d\n", 1);
	id = h3_rig_open(&rig, false);
	h3_rig_send(&rig, id, frame, h3_rig_headers(frame, lines), true);
	h3_rig_pump(&rig);
	assert_int_equal(status_of(h3_rig_stream(&rig, id)), 414);
	end();
}

/* Requests that are reset as soon as they are made, as many as there may be. */
static void test_rapid_resets(void **state)
{
	static char frame[200];
	size_t n = h3_rig_headers(frame, POST);

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_reset_count = 20));
	for (int i = 0; i < 100 && !rig.closed; i++) {
		int64_t id = h3_rig_open(&rig, false);

		h3_rig_send(&rig, id, frame, n, false);
		h3_rig_reset(&rig, id, CANCELLED);
		h3_rig_pump(&rig);
		assert_true(i <= 20);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_malformed_ones_count(void **state)
{
	static char frame[200];
	size_t n = h3_rig_headers(frame, GET "Upper=1\n");

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_reset_count = 20));
	for (int i = 0; i < 100 && !rig.closed; i++) {
		h3_rig_send(&rig, h3_rig_open(&rig, false), frame, n, true);
		h3_rig_pump(&rig);
	}
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

/* Over and over the same, on a stream that is open already. */
static void flood(enum where where, const char *p, size_t n, const char *first)
{
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	if (first)
		say(&(struct step)H(REQ, first), 1 << 16);
	for (int i = 0; i < 200 && !rig.closed; i++) {
		h3_rig_send(&rig, id_of(where), p, n, false);
		assert_true(i <= 51);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_floods(void **state)
{
	(void)state;
	/* Unknown frames; PRIORITY_UPDATE; GOAWAY that says the same; MAX_PUSH_ID. */
	flood(CTL, "\x21\0", 2, NULL);
	flood(CTL, "\x80\x0f\x07\0\x01\0", 6, NULL);
	flood(CTL, "\x07\x01\0", 3, NULL);
	flood(CTL, "\x0d\x01\0", 3, NULL);
	/* Empty DATA; unknown frames among it. */
	flood(REQ, "\0\0", 2, POST);
	flood(REQ, "\x21\0", 2, POST);
}

/* RFC 9204 section 7.3: "Set Dynamic Table Capacity", again and again. */
static void test_instructions_nobody_needs(void **state)
{
	char many[256];

	(void)state;
	memset(many, 0x20, sizeof many);
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	h3_rig_send(&rig, id_of(ENC), "\x02", 1, false);
	for (int i = 0; i < 200 && !rig.closed; i++) {
		h3_rig_send(&rig, id_of(ENC), many, sizeof many, false);
		assert_true(i <= 51);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

static void test_unknown_streams_count(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_max_control_count = 50));
	for (int i = 0; i < 60 && !rig.closed; i++) {
		h3_rig_send(&rig, h3_rig_open(&rig, true), "\x21", 1, true);
		h3_rig_pump(&rig);
	}
	assert_int_equal(rig.code, EXCESSIVE);
	end();
}

/* ---- The decoder's table ---------------------------------------------------------------------------- */

/* Set the table to 220 bytes, then insert x: y. */
static const char insert[] = "\x02\x3f\xbd\x01\x41x\x01y";
/* GET, https, / from the static table; :authority and then the newest entry of one: post-base 0 with
 * Required Insert Count 1 of at most 128 entries (that is, 2), Base 1. */
static const char referring[] = "\x01\x09\x02\0\xd1\xd7\xc1\x50\x01"
				"a\x80";

static void test_waits_for_the_table(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	begin(NULL);
	h3_rig_send(&rig, id_of(REQ), referring, sizeof referring - 1, false);
	h3_rig_send(&rig, id_of(REQ), "\0\x01z", 3, true);
	h3_rig_pump(&rig);
	s = h3_rig_stream(&rig, ids[REQ]);
	assert_int_equal(s->got_n, 0);
	/* What waits is not paid for. */
	assert_true(s->consumed_bytes < s->sent_bytes);
	for (size_t i = 0; i < sizeof insert - 1; i++)
		h3_rig_send(&rig, id_of(ENC), insert + i, 1, false);
	h3_rig_pump(&rig);
	assert_int_equal(status_of(s), 200);
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	/* Our decoder stream: its type; the section acknowledged, which the entry is with it. */
	s = h3_rig_stream(&rig, 7);
	assert_memory_equal(s->got, "\x03\x80", 2);
	assert_false(rig.closed);
	end();
}

static void test_too_many_wait(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_blocked_streams = 2));
	for (int i = 0; i < 3; i++) {
		assert_false(rig.closed);
		h3_rig_send(&rig, h3_rig_open(&rig, false), referring, sizeof referring - 1, true);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, DECOMPRESSION);
	end();
}

/* Who waits and is given up makes room, and its encoder is told. */
static void test_waits_and_is_given_up(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_blocked_streams = 1));
	for (int i = 0; i < 3; i++) {
		int64_t id = h3_rig_open(&rig, false);

		h3_rig_send(&rig, id, referring, sizeof referring - 1, false);
		h3_rig_reset(&rig, id, CANCELLED);
		h3_rig_pump(&rig);
		assert_false(rig.closed);
	}
	s = h3_rig_stream(&rig, 7);
	assert_memory_equal(s->got, "\x03\x40\x44\x48", 4);
	end();
}

/* RFC 9204 section 4.2: what we acknowledge must be heard, as what we say must be. */
static void test_our_streams_are_refused(void **state)
{
	(void)state;
	begin(NULL);
	h3_rig_stop_sending(&rig, 7, CANCELLED);
	h3_rig_send(&rig, id_of(ENC), insert, sizeof insert - 1, false);
	h3_rig_pump(&rig);
	assert_true(rig.closed);
	assert_int_equal(rig.code, CLOSED_CRITICAL);
	end();
	begin(NULL);
	h3_rig_stop_sending(&rig, 3, CANCELLED);
	tako_server_stop(rig.server.srv);
	h3_rig_run(&rig, 2);
	assert_int_equal(rig.code, CLOSED_CRITICAL);
	end();
}

static void test_no_table(void **state)
{
	(void)state;
	begin(TAKO_SERVER_CONFIG(.h3_qpack_table_bytes = TAKO_OFF));
	/* No decoder stream of ours either. */
	assert_null(h3_rig_stream(&rig, 7));
	h3_rig_send(&rig, id_of(ENC), insert, sizeof insert - 1, false);
	assert_true(rig.closed);
	assert_int_equal(rig.code, ENCODER);
	end();
}

/* ---- What we say first --------------------------------------------------------------------------------- */

static void says(const tako_server_config *cfg, const char *text, size_t n)
{
	struct h3_rig_stream *s;

	begin(cfg);
	s = h3_rig_stream(&rig, 3);
	assert_memory_equal(s->got, text, n < s->got_n ? n : s->got_n);
	assert_int_equal(s->got_n, n);
	end();
}

static void test_settings(void **state)
{
	static const char bare[] = "\0\x04\x0c\x01\x50\0\x07\x10\x06\x80\0\x40\0\x08\x01";
	/* draft-ietf-webtrans-http3: H3_DATAGRAM, the second draft's setting, the seventh's. */
	static const char all[] = "\0\x04\x1c\x01\x50\0\x07\x10\x06\x80\0\x40\0\x08\x01"
				  "\x33\x01\xab\x60\x37\x42\x01\xc0\0\0\0\xc6\x71\x70\x6a\x10";

	(void)state;
	says(TAKO_SERVER_CONFIG(.wt_max_sessions = TAKO_OFF), bare, sizeof bare - 1);
	says(NULL, all, sizeof all - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_sections_too_large),
		cmocka_unit_test(test_target_too_long),
		cmocka_unit_test(test_rapid_resets),
		cmocka_unit_test(test_malformed_ones_count),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_instructions_nobody_needs),
		cmocka_unit_test(test_unknown_streams_count),
		cmocka_unit_test(test_waits_for_the_table),
		cmocka_unit_test(test_too_many_wait),
		cmocka_unit_test(test_waits_and_is_given_up),
		cmocka_unit_test(test_our_streams_are_refused),
		cmocka_unit_test(test_no_table),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

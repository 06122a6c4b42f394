/* SPDX-License-Identifier: MIT
 *
 * What a client can say over QUIC that none should: each such thing ends its own connection with the error
 * that RFC 9000 and 9001 have for it, and nobody else's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "transports/quic/quic.h"
#include "transports/quic/quic_gcm.h"
#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

enum { CRYPTO_ERROR = 0x100, UNEXPECTED_MESSAGE = 10, ANY_ERROR = 0 };

static int set_up(void **state)
{
	(void)state;
	memset(&quic_echo, 0, sizeof quic_echo);
	return quic_rig_start(quic_echo_transport(), NULL, NULL, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

static struct quic_client *connected(void)
{
	struct quic_client *c = quic_rig_client(NULL);

	assert_true(quic_rig_connect(c));
	quic_rig_pass(QUIC_RIG_SECOND);
	return c;
}

static void assert_alive(void)
{
	struct quic_client *c = connected();
	int64_t id = quic_client_open(c, false);

	quic_client_send(c, id, "ok", 2, true);
	assert_true(quic_rig_received(c, id));
	quic_client_close(c, 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_rig_forget(c);
}

/* RFC 9001 section 6: "unexpected_message".  The library asserts that a key is installed once, so that
 * this once ended the process. */
static void test_key_update_of_tls(void **state)
{
	static const uint8_t asked[] = {24, 0, 0, 1, 1};
	static const uint8_t not_asked[] = {24, 0, 0, 1, 0};
	struct quic_client *c;

	(void)state;
	c = connected();
	quic_client_inject_crypto(c, asked, sizeof asked);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, CRYPTO_ERROR + UNEXPECTED_MESSAGE);
	c = connected();
	quic_client_inject_crypto(c, not_asked, sizeof not_asked);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, CRYPTO_ERROR + UNEXPECTED_MESSAGE);
	assert_alive();
}

/* … as which QUIC's own is no trouble (section 6.1). */
static void test_key_update_of_quic(void **state)
{
	struct quic_client *c = connected();
	int64_t id;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		id = quic_client_open(c, false);
		quic_client_send(c, id, "new key", 7, true);
		assert_true(quic_rig_received(c, id));
		quic_rig_pass(5 * QUIC_RIG_SECOND);
		assert_int_equal(ngtcp2_conn_initiate_key_update(c->conn, quic_net.now_ns), 0);
	}
	/* Where another library encrypts, it was that: at least the two keys of this one. */
	if (tako__gcm_there())
		assert_true(tako__gcm_live() >= 2);
	assert_alive();
}

static void test_keys_go_with_their_connection(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	quic_client_close(c, 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(tako__gcm_live(), 0);
	quic_rig_forget(c);
}

struct frame {
	const char *what;
	const char *bytes;
	size_t n;
	uint64_t code; /* ANY_ERROR: some transport error */
};

#define FRAME(what, bytes, code)                                                                   \
	{                                                                                          \
		what, bytes, sizeof(bytes) - 1, code                                               \
	}

/* Stream ids: the client's bidirectional are 0, 4, …; its one-way ones 2, 6, …; ours 1 and 3. */
static const struct frame frames[] = {
	FRAME("RFC 9000 12.4: a frame of no known type", "\x21", NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("12.4: a type in too many bytes", "\x40\x01", ANY_ERROR),
	FRAME("19.3: ACK of what was never sent", "\x02\x80\x0f\xff\xff\x00\x00\x00",
              NGTCP2_PROTOCOL_VIOLATION),
	FRAME("19.3.1: ACK below zero", "\x02\x01\x00\x00\x05", NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("19.4: RESET_STREAM of a stream that only we send on", "\x04\x03\x00\x00",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.4: RESET_STREAM of ours that is not open", "\x04\x01\x00\x00",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.5: STOP_SENDING of one that only they send on", "\x05\x02\x00",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.5: STOP_SENDING of ours that is not open", "\x05\x01\x00",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.7: NEW_TOKEN from a client", "\x07\x01x", NGTCP2_PROTOCOL_VIOLATION),
	FRAME("19.8: STREAM on one that only we send on", "\x0a\x03\x01x",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.8: STREAM on ours that is not open", "\x0a\x01\x01x", NGTCP2_STREAM_STATE_ERROR),
	FRAME("4.6: one stream too many", "\x0a\x44\x00\x01x", NGTCP2_STREAM_LIMIT_ERROR),
	FRAME("4.6: one of one-way too many", "\x0a\x40\x62\x01x", NGTCP2_STREAM_LIMIT_ERROR),
	FRAME("4.1: beyond the stream's window", "\x0e\x04\x80\x10\x00\x00\x01x",
              NGTCP2_FLOW_CONTROL_ERROR),
	FRAME("4.5: more than the final size", "\x0b\x04\x01x\x0e\x04\x01\x01y",
              NGTCP2_FINAL_SIZE_ERROR),
	FRAME("4.5: another final size", "\x0b\x04\x01x\x04\x04\x00\x05", NGTCP2_FINAL_SIZE_ERROR),
	FRAME("19.8: beyond the largest offset", "\x0e\x04\xff\xff\xff\xff\xff\xff\xff\xff\x02xy",
              ANY_ERROR),
	FRAME("19.10: MAX_STREAM_DATA of one that only they send on", "\x11\x02\x01",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.10: MAX_STREAM_DATA of ours that is not open", "\x11\x01\x01",
              NGTCP2_STREAM_STATE_ERROR),
	FRAME("19.11: MAX_STREAMS beyond 2^60", "\x12\xd0\x00\x00\x00\x00\x00\x00\x01",
              NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("19.14: STREAMS_BLOCKED beyond 2^60", "\x16\xd0\x00\x00\x00\x00\x00\x00\x01",
              ANY_ERROR),
	FRAME("19.15: NEW_CONNECTION_ID of no length",
              "\x18\x20\x00\x00"
              "0123456789abcdef",
              NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("19.15: NEW_CONNECTION_ID of 21 bytes",
              "\x18\x20\x00\x15"
              "012345678901234567890"
              "0123456789abcdef",
              NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("19.15: that retires more than it is",
              "\x18\x05\x06\x04"
              "abcd"
              "0123456789abcdef",
              NGTCP2_FRAME_ENCODING_ERROR),
	FRAME("19.16: RETIRE_CONNECTION_ID of one never given", "\x19\x3f",
              NGTCP2_PROTOCOL_VIOLATION),
	FRAME("19.20: HANDSHAKE_DONE from a client", "\x1e", NGTCP2_PROTOCOL_VIOLATION),
	FRAME("RFC 9221 3: a datagram nobody agreed to", "\x31\x01x", NGTCP2_PROTOCOL_VIOLATION),
	FRAME("7.5: CRYPTO far ahead", "\x06\x80\x10\x00\x00\x01x", NGTCP2_CRYPTO_BUFFER_EXCEEDED),
	FRAME("RFC 9001 4.1.3: a handshake message after the handshake",
              "\x06\x00\x04\x01\x00\x00\x00", CRYPTO_ERROR + UNEXPECTED_MESSAGE),
};

static void test_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(frames); i++) {
		const struct frame *f = &frames[i];
		struct quic_client *c = connected();

		quic_client_inject(c, f->bytes, f->n);
		quic_rig_pass(QUIC_RIG_SECOND);
		if (!c->closed)
			fail_msg("%s: the connection goes on", f->what);
		/* A general code may stand for a special one (RFC 9000 section 20.1). */
		if (c->end.error_code == 0 || (f->code && c->end.error_code != f->code &&
		                               c->end.error_code != NGTCP2_PROTOCOL_VIOLATION))
			fail_msg("%s: 0x%llx instead of 0x%llx", f->what,
			         (unsigned long long)c->end.error_code,
			         (unsigned long long)f->code);
		quic_rig_forget(c);
	}
	assert_alive();
}

/* ---- Floods ------------------------------------------------------------------------------------- */

/* A ClientHello that says how long it will be: memory for all of it is not taken on its word. */
static void test_a_long_message(void **state)
{
	static const uint8_t hello[] = {0x06, 0x00, 0x40, 0x40, 1, 0xff, 0xff, 0xff, 3, 3};
	uint8_t said[64 + 4] = {0};
	struct quic_client *c;
	size_t before;

	(void)state;
	assert_alive();
	memcpy(said, hello, sizeof hello);
	before = failalloc_live_bytes();
	quic_client_inject_next(said, sizeof said);
	c = quic_rig_client(NULL);
	before = failalloc_live_bytes() - before;
	for (unsigned i = 0; i < 20; i++) {
		quic_rig_step();
		assert_true(failalloc_live_bytes() < before + (1 << 20));
	}
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, CRYPTO_ERROR + 50);
	quic_rig_forget(c);
	assert_alive();
}

/* Bytes with gaps between them cost more than the window counts: the connection has so much memory. */
static void test_gaps(void **state)
{
	struct quic_client *c = connected();
	struct tako__quic *q = tako__quic_of(quic_echo.last);
	uint8_t said[1000];
	unsigned i;

	(void)state;
	/* The library has a limit too, of a thousand a stream; there may be a hundred streams. */
	q->heap.bytes_max = q->heap.bytes + (40 << 10);
	for (i = 0; i < 90 && quic_echo.last; i++) {
		size_t n = 0;

		for (unsigned k = 0; k < 120; k++) {
			unsigned at = 2 * (120 * i + k) + 1;

			/* STREAM 4, at an odd offset, of one byte. */
			const uint8_t frame[] = {0x0e,
			                         0x04,
			                         (uint8_t)(0x80 | at >> 24),
			                         (uint8_t)(at >> 16),
			                         (uint8_t)(at >> 8),
			                         (uint8_t)at,
			                         1,
			                         'x'};

			memcpy(said + n, frame, sizeof frame);
			n += sizeof frame;
		}
		quic_client_inject(c, said, n);
		quic_rig_pass(QUIC_RIG_MS);
		assert_true(!quic_echo.last || q->heap.bytes <= q->heap.bytes_max);
	}
	assert_in_range(i, 2, 8);
	assert_int_equal(quic_echo.why, TAKO_ENOMEM);
	assert_alive();
}

/* Ids that are given up as fast as they come. */
static void test_ids_given_up(void **state)
{
	static const uint8_t given_up[] = {0x19, 1};
	struct quic_client *c = connected();
	struct tako__quic *q = tako__quic_of(quic_echo.last);

	(void)state;
	/* As many as it keeps. */
	assert_in_range(q->cid_count, 1, 8);
	q->cid_count = TAKO__QUIC_CIDS_AT_ONCE + 5;
	quic_client_inject(c, given_up, sizeof given_up);
	assert_true(quic_rig_closed(c));
	assert_int_equal(c->end.error_code, NGTCP2_CONNECTION_ID_LIMIT_ERROR);
	/* It need not be one that has just come: one a second is fine. */
	c = connected();
	q = tako__quic_of(quic_echo.last);
	q->cid_count = TAKO__QUIC_CIDS_AT_ONCE + 5;
	quic_rig_pass(8 * QUIC_RIG_SECOND);
	quic_client_inject(c, given_up, sizeof given_up);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_non_null(quic_echo.last);
	assert_int_equal(q->cid_count, TAKO__QUIC_CIDS_AT_ONCE + 6);
	assert_alive();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_key_update_of_tls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_key_update_of_quic, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keys_go_with_their_connection, set_up,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(test_frames, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_long_message, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gaps, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ids_given_up, set_up, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

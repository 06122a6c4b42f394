/* SPDX-License-Identifier: MIT
 *
 * h3_malformed.c's table once more, said by ngtcp2's client to the whole of the server: each line is a connection of
 * its own, and what it comes to is what that client hears.  Then transport parameters that no client may send (RFC
 * 9000 sections 7.4 and 18.2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/h3_bytes.h"
#include "unit/h3_malformed.h"
#include "unit/quic_rig.h"

static int64_t ids[REQ2 + 1];

static int set_up(void **state)
{
	(void)state;
	return quic_rig_start(tako_h3(), h3_malformed_router(), NULL, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

/* ---- HTTP/3 ------------------------------------------------------------------------------------- */

/* … and have it heard before anything else is. */
static void say(struct quic_client *c, const struct step *s)
{
	static char text[1 << 12];
	const char *p = s->p;
	size_t n = s->n;

	if (ids[s->where] < 0)
		ids[s->where] = quic_client_open(c, s->where < REQ);
	if (s->how & RESET) {
		quic_client_reset(c, ids[s->where], CANCELLED);
	} else {
		if (s->how & LINES) {
			n = h3_rig_headers(text, s->p);
			p = text;
		}
		quic_client_send(c, ids[s->where], p, n, s->how & FIN);
	}
	quic_rig_pass(50 * QUIC_RIG_MS);
}

static void check(struct quic_client *c, const struct row *row)
{
	const struct quic_client_stream *s = ids[REQ] < 0 ? NULL : quic_client_stream(c, ids[REQ]);
	int close = c->closed ? (int)c->end.error_code : 0;
	int reset = s && s->reset ? (int)s->reset_code : 0;
	int status = s && !reset ? h3_malformed_status(s->in, s->in_n) : 0;

	if (close != row->close || (close && c->end.type != NGTCP2_CCERR_TYPE_APPLICATION))
		fail_msg("RFC %s, %s: closed by %#x, not by %#x", row->rfc, row->what,
		         (unsigned)close, (unsigned)row->close);
	if (!close && (reset != row->reset || status != row->status))
		fail_msg("RFC %s, %s: %#x and %d, not %#x and %d", row->rfc, row->what,
		         (unsigned)reset, status, (unsigned)row->reset, row->status);
}

static void test_rows(void **state)
{
	static const struct step usual = B(CTL, "\0\x04\0");

	(void)state;
	assert_true(h3_malformed_count >= 60);
	for (size_t i = 0; i < h3_malformed_count; i++) {
		const struct row *row = &h3_malformed_rows[i];
		struct quic_client *c = quic_rig_client(&(struct quic_client_config){.alpn = "h3"});

		for (size_t k = 0; k <= REQ2; k++)
			ids[k] = -1;
		assert_true(quic_rig_connect(c));
		if (!row->bare)
			say(c, &usual);
		for (size_t k = 0; k < TAKO__COUNT(row->steps) && row->steps[k].p && !c->closed;
		     k++)
			say(c, &row->steps[k]);
		check(c, row);
		quic_rig_forget(c);
	}
}

/* ---- Transport parameters ----------------------------------------------------------------------- */

#define PARAMS(what, bytes)                                                                        \
	{                                                                                          \
		what, bytes, sizeof(bytes) - 1, false                                              \
	}
#define BARE(what, bytes)                                                                          \
	{                                                                                          \
		what, bytes, sizeof(bytes) - 1, true                                               \
	}
#define TOKEN "0123456789abcdef"

static const struct params {
	const char *what;
	const char *p;
	size_t n;
	bool bare;
} params[] = {
	BARE("7.3: whose connection it is, is not said", "\x04\x01\x05"),
	BARE("7.3: … or of another", "\x0f\x04"
                                     "abcd"),
	PARAMS("18.2: a server's original_destination_connection_id", "\0\x04"
                                                                      "abcd"),
	PARAMS("18.2: a server's stateless_reset_token", "\x02\x10" TOKEN),
	PARAMS("18.2: a server's preferred_address", "\x0d\x2d\x7f\0\0\x01\0\x50" TOKEN "\0\x50\x04"
                                                     "abcd" TOKEN),
	PARAMS("18.2: a server's retry_source_connection_id", "\x10\x04"
                                                              "abcd"),
	PARAMS("18.2: max_udp_payload_size below 1200", "\x03\x02\x44\xaf"),
	PARAMS("18.2: ack_delay_exponent above 20", "\x0a\x01\x15"),
	PARAMS("18.2: max_ack_delay of 2^14", "\x0b\x04\x80\0\x40\0"),
	PARAMS("18.2: active_connection_id_limit below 2", "\x0e\x01\x01"),
	PARAMS("18.2: initial_max_streams_bidi beyond 2^60", "\x08\x08\xd0\0\0\0\0\0\0\x01"),
	PARAMS("18.2: initial_max_streams_uni beyond 2^60", "\x09\x08\xd0\0\0\0\0\0\0\x01"),
	PARAMS("18.2: disable_active_migration with a value", "\x0c\x01\0"),
	PARAMS("18: a length beyond the end", "\x04\x05\x01"),
	PARAMS("18: half an identifier", "\x40"),
	PARAMS("18: half a value", "\x04\x01\x80"),
	PARAMS("18: more than a value", "\x04\x02\x01\x01"),
};

static void test_params(void **state)
{
	/* Windows and three streams, and one that nobody knows: with those it is a connection. */
	static const char good[] =
		"\x04\x04\x80\1\0\0\x07\x04\x80\1\0\0\x09\x01\x03\x0e\x01\x02\x1b\x01x";
	struct quic_client *fine = quic_rig_client(&(struct quic_client_config){
		.alpn = "h3", .params = good, .params_n = sizeof good - 1});

	(void)state;
	assert_true(quic_rig_connect(fine));
	for (size_t i = 0; i < TAKO__COUNT(params); i++) {
		struct quic_client *c = quic_rig_client(
			&(struct quic_client_config){.alpn = "h3",
		                                     .params = params[i].p,
		                                     .params_n = params[i].n,
		                                     .params_bare = params[i].bare});

		if (!quic_rig_closed(c) || c->end.type == NGTCP2_CCERR_TYPE_APPLICATION ||
		    c->end.error_code != NGTCP2_TRANSPORT_PARAMETER_ERROR)
			fail_msg("RFC 9000 %s: %d %#llx", params[i].what, c->closed,
			         (unsigned long long)c->end.error_code);
		quic_rig_forget(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_params, set_up, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

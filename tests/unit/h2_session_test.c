/* SPDX-License-Identifier: MIT
 *
 * How many streams there may be, and what becomes of those beyond (RFC 9113 section 5.1.2): each is
 * refused by itself, the connection and everything else on it go on.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/h2/h2.h"
#include "unit/h2_rig.h"

enum { STREAMS_MAX = 5, WAIT_MS = 1000, BEYOND = 20, CONTROL_MAX = 50 };
enum { IDLE = 100, IDLE_BYTES_MAX = 16 << 10, FULL_BYTES_MAX = 44 << 10, FIELDS = 60 };

static unsigned runs;

static int fields(tako_req *req, tako_res *res, void *arg);

static void answer(tako_res *res, void *arg)
{
	(void)arg;
	if (tako_res_text(res, 200, "late") < 0)
		tako_res_error(res, 500);
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	runs++;
	return tako_res_after(res, WAIT_MS, answer, arg);
}

static int quick(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	runs++;
	return tako_res_text(res, 200, "quick");
}

static void begin(void)
{
	static const tako_server_config cfg = {.size = sizeof cfg,
	                                       .h2_max_concurrent_streams = STREAMS_MAX,
	                                       .h2_max_control_count = CONTROL_MAX};
	tako_router *router;

	runs = 0;
	h2_rig_begin();
	router = tako_router_new();
	tako_get(router, "/slow", slow, NULL);
	tako_get(router, "/quick", quick, NULL);
	tako_get(router, "/fields", fields, NULL);
	h2_rig_start(router, &cfg);
}

static void assert_refused(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		assert_int_equal(h2_rig.reset[i], NGHTTP2_REFUSED_STREAM);
		assert_int_equal(h2_rig.status[i], 0);
	}
	assert_int_equal(h2_rig.goaway, H2_RIG_NOTHING);
}

/* Before the limit is known to be known, and after. */
static void test_streams_beyond_the_limit(void **state)
{
	(void)state;
	for (int acked = 0; acked < 2; acked++) {
		begin();
		if (acked)
			h2_rig_ack();
		for (unsigned i = 0; i < BEYOND; i++)
			h2_rig_ask(2 * i + 1, "GET", "/slow", H2_RIG_END_STREAM);
		h2_rig_pass(1);
		assert_int_equal(h2_rig.streams, STREAMS_MAX);
		assert_int_equal(runs, STREAMS_MAX);
		assert_refused(STREAMS_MAX, BEYOND);
		h2_rig_pass(WAIT_MS);
		for (unsigned i = 0; i < STREAMS_MAX; i++)
			assert_int_equal(h2_rig.status[i], 200);
		/* There is room again, and the decoder is in step. */
		h2_rig_ask(2 * BEYOND + 1, "GET", "/slow", H2_RIG_END_STREAM);
		h2_rig_pass(WAIT_MS + 1);
		assert_int_equal(h2_rig.status[BEYOND], 200);
		assert_int_equal(h2_rig.answers, STREAMS_MAX + 1);
		h2_rig_end();
	}
}

/* What its sender had under way already is thrown away, a body and what comes behind it. */
static void test_rest_of_a_refused_request(void **state)
{
	static const char trailers[] = {0, 1, 'x', 1, 'y'};

	(void)state;
	for (int split = 0; split < 2; split++) {
		begin();
		h2_rig_ack();
		for (unsigned i = 0; i < STREAMS_MAX; i++)
			h2_rig_ask(2 * i + 1, "GET", "/slow", H2_RIG_END_STREAM);
		h2_rig_ask(2 * STREAMS_MAX + 1, "POST", "/slow", 0);
		if (split)
			h2_rig_pass(1);
		/* More than the connection's window, were it not given back. */
		for (unsigned i = 0; i < 80; i++)
			h2_rig_data(2 * STREAMS_MAX + 1, 16384, 0);
		h2_rig_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | H2_RIG_END_STREAM,
		             2 * STREAMS_MAX + 1, trailers, sizeof trailers);
		h2_rig_pass(WAIT_MS + 1);
		assert_refused(STREAMS_MAX, STREAMS_MAX + 1);
		assert_int_equal(h2_rig.answers, STREAMS_MAX);
		h2_rig_end();
	}
}

/* Answered at once they are open until the turn is over all the same: their sender cannot know. */
static void test_streams_of_one_turn(void **state)
{
	(void)state;
	begin();
	h2_rig_ack();
	for (unsigned i = 0; i < BEYOND; i++)
		h2_rig_ask(2 * i + 1, "GET", "/quick", H2_RIG_END_STREAM);
	h2_rig_pass(1);
	assert_refused(STREAMS_MAX, BEYOND);
	assert_int_equal(h2_rig.answers, STREAMS_MAX);
	h2_rig_end();
}

/* Who does nothing else is told to stop. */
static void test_nothing_but_refused_streams(void **state)
{
	(void)state;
	begin();
	h2_rig_ack();
	for (unsigned i = 0; i < 2 * CONTROL_MAX; i++)
		h2_rig_ask(2 * i + 1, "GET", "/slow", H2_RIG_END_STREAM);
	h2_rig_pass(1);
	assert_int_equal(h2_rig.goaway, NGHTTP2_ENHANCE_YOUR_CALM);
	assert_int_equal(runs, STREAMS_MAX);
	assert_in_range(h2_rig.resets, 1, CONTROL_MAX);
	h2_rig_end();
}

/* ---- What an idle one costs ------------------------------------------------------------- */

/* So many fields that either side's table is full, and more. */
static int fields(tako_req *req, tako_res *res, void *arg)
{
	static const char value[] = "a value of some length, as cookies and policies have them";

	(void)req, (void)arg;
	for (unsigned i = 0; i < FIELDS; i++) {
		char name[16];

		snprintf(name, sizeof name, "x-field-%u", i);
		if (tako_res_header(res, name, value) < 0)
			return TAKO_ENOMEM;
	}
	return tako_res_text(res, 200, "many");
}

/* Fields that enter the table (RFC 7541 section 6.2.1). */
static void ask_with_fields(const char *path, unsigned count)
{
	char block[8192];
	size_t n = 0;

	block[n++] = (char)0x82;
	block[n++] = (char)0x86;
	n += (size_t)sprintf(block + n, "%c%c%s%c%csim", 4, (int)strlen(path), path, 1, 3);
	for (unsigned i = 0; i < count; i++)
		n += (size_t)sprintf(block + n, "%c%cx-field-%02u%c%060u", 0x40, 10, i, 60, i);
	h2_rig_frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | H2_RIG_END_STREAM, 1, block, n);
}

/* Beyond the pools, which keep as much as a burst needed: what each further connection adds. */
static size_t idle_bytes(const char *path, unsigned count)
{
	struct sim_link *first;
	size_t before = 0;

	begin();
	first = h2_rig.link;
	for (unsigned i = 0; i < IDLE + 1; i++) {
		if (i)
			h2_rig_connect();
		h2_rig_ack();
		ask_with_fields(path, count);
		h2_rig_pass(1);
		assert_int_equal(h2_rig.status[0], 200);
		if (!i)
			before = sim_alloc_live_bytes();
	}
	before = (sim_alloc_live_bytes() - before) / IDLE;
	h2_rig.link = first;
	h2_rig_end();
	return before;
}

/* The bar is for what comes to the connection, and its layers, that there is without HTTP/2. */
static void test_idle_connection(void **state)
{
	size_t plain = idle_bytes("/quick", 8);
	size_t full = idle_bytes("/fields", FIELDS);

	(void)state;
	print_message("%zu bytes per idle connection, %zu with full tables\n", plain, full);
	assert_in_range(plain, sizeof(struct tako__h2), IDLE_BYTES_MAX);
	assert_in_range(full, plain + 4096, FULL_BYTES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_beyond_the_limit),
		cmocka_unit_test(test_rest_of_a_refused_request),
		cmocka_unit_test(test_streams_of_one_turn),
		cmocka_unit_test(test_nothing_but_refused_streams),
		cmocka_unit_test(test_idle_connection),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

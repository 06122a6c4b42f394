/* SPDX-License-Identifier: MIT
 *
 * Whose time it is that a request's body takes: its sender's, and not that of a handler which pauses,
 * does not ask for it yet, or writes to somebody who does not read.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "unit/h2_rig.h"

enum { PAUSE_MS = 60000, SECOND_MS = 1000, WRITTEN_BYTES = 100000 };

static bool pauses;

static void go_on(tako_res *res, void *req)
{
	(void)res;
	tako_req_resume(req);
}

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)data, (void)arg;
	if (end)
		return tako_res_send(res, 200, "text/plain", TAKO_STR("thanks"));
	if (!pauses)
		return 0;
	pauses = false;
	tako_req_pause(req);
	return tako_res_after(res, PAUSE_MS, go_on, req);
}

static int upload(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, on_body, arg);
}

/* Asks for the body when it has time for it. */
static void ask_later(tako_res *res, void *req)
{
	if (tako_req_on_body(req, on_body, NULL) < 0)
		tako_res_error(res, 500);
}

static int late(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, PAUSE_MS, ask_later, req);
}

static int on_written(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)data, (void)arg;
	return end ? tako_res_end(res) : 0;
}

/* Takes nothing more for as long as this has not left. */
static int writes(tako_req *req, tako_res *res, void *arg)
{
	static char bytes[WRITTEN_BYTES];
	int64_t rc = tako_res_write(res, (tako_str){bytes, sizeof bytes}, NULL, NULL);

	return rc < 0 ? (int)rc : tako_req_on_body(req, on_written, arg);
}

static void begin(const char *path)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .write_high_bytes = 4096};
	tako_router *router;

	h2_rig_begin();
	router = tako_router_new();
	tako_post(router, "/upload", upload, NULL);
	tako_post(router, "/late", late, NULL);
	tako_post(router, "/writes", writes, NULL);
	h2_rig_start(router, &cfg);
	h2_rig_ask(1, "POST", path, 0);
}

/* 90 bytes a second, where 64 are asked for. */
static void drip_rest(void)
{
	for (unsigned i = 0; i < 20; i++) {
		h2_rig_pass(SECOND_MS);
		assert_int_equal(h2_rig.status[0], 0);
		h2_rig_data(1, 90, i == 19 ? H2_RIG_END_STREAM : 0);
	}
	h2_rig_pass(SECOND_MS);
	assert_int_equal(h2_rig.status[0], 200);
	assert_int_equal(h2_rig_timeouts(), 0);
	h2_rig_end();
}

static void test_pause_is_not_slow(void **state)
{
	(void)state;
	pauses = true;
	begin("/upload");
	h2_rig_data(1, 100, 0);
	h2_rig_pass(PAUSE_MS);
	drip_rest();
}

/* Nor is it where the body was not asked for at once. */
static void test_late_is_not_slow(void **state)
{
	(void)state;
	begin("/late");
	h2_rig_data(1, 100, 0);
	h2_rig_pass(PAUSE_MS);
	drip_rest();
}

/* Nor where what has come meanwhile had to wait. */
static void test_waiting_bytes_are_not_slow(void **state)
{
	(void)state;
	pauses = true;
	begin("/upload");
	h2_rig_data(1, 1, 0);
	h2_rig_pass(PAUSE_MS / 2);
	h2_rig_data(1, 1, 0);
	h2_rig_pass(PAUSE_MS / 2);
	drip_rest();
}

/* A response that its client does not read holds the request up: who reads it then is not late with the
 * rest of his own. */
static void test_writer_is_not_slow(void **state)
{
	static const uint8_t more[4] = {0, 2, 0, 0};

	(void)state;
	begin("/writes");
	h2_rig_data(1, 1, 0);
	h2_rig_pass(9 * SECOND_MS);
	h2_rig_frame(NGHTTP2_WINDOW_UPDATE, 0, 0, more, sizeof more);
	h2_rig_frame(NGHTTP2_WINDOW_UPDATE, 0, 1, more, sizeof more);
	h2_rig_pass(5 * SECOND_MS);
	h2_rig_data(1, 1, H2_RIG_END_STREAM);
	h2_rig_pass(SECOND_MS);
	assert_int_equal(h2_rig.status[0], 200);
	assert_true(h2_rig.ended[0]);
	assert_int_equal(h2_rig_timeouts(), 0);
	h2_rig_end();
}

/* The rate is looked at from ten seconds of the peer's own time on. */
static void test_silence_after_a_pause(void **state)
{
	(void)state;
	pauses = true;
	begin("/upload");
	h2_rig_data(1, 1, 0);
	h2_rig_pass(PAUSE_MS + SECOND_MS);
	h2_rig_pass(8 * SECOND_MS);
	assert_int_equal(h2_rig.status[0], 0);
	h2_rig_pass(4 * SECOND_MS);
	assert_int_equal(h2_rig.status[0], 408);
	assert_int_equal(h2_rig_timeouts(), 1);
	h2_rig_end();
}

/* Each byte comes when a look is due, which it does not put off. */
static void test_drip_without_a_pause(void **state)
{
	(void)state;
	begin("/upload");
	for (unsigned i = 0; i < 12; i++) {
		h2_rig_data(1, 1, 0);
		h2_rig_pass(SECOND_MS);
	}
	assert_int_equal(h2_rig.status[0], 408);
	assert_int_equal(h2_rig_timeouts(), 1);
	h2_rig_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pause_is_not_slow),
		cmocka_unit_test(test_late_is_not_slow),
		cmocka_unit_test(test_waiting_bytes_are_not_slow),
		cmocka_unit_test(test_writer_is_not_slow),
		cmocka_unit_test(test_silence_after_a_pause),
		cmocka_unit_test(test_drip_without_a_pause),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Files that are cut while they are being sent over HTTP/2: what that costs is their stream, as long as no
 * frame has promised what is missing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/res.h"
#include "unit/h2_rig.h"

enum {
	WINDOW = 65535, /* until more is given */
	FRAME = 16384,
	MORE = 1 << 20,
	FILE_BYTES = 400000,
	CUT_BYTES = 100000,       /* in the third frame of the second window */
	TEXT_BYTES = WINDOW + 99, /* before the file's, where there is some */
	UNSIZED_BYTES = 100,
};

static char path[] = "build/.h2-data-test-XXXXXX";
static unsigned ends;
static int end_err;

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req, (void)arg;
	ends++;
	end_err = err;
}

static int file(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_on_end(res, on_end, NULL);

	(void)req, (void)arg;
	return rc < 0 ? rc : tako_res_send_fd(res, open(path, O_RDONLY | O_CLOEXEC), 0, FILE_BYTES);
}

static int text_and_file(tako_req *req, tako_res *res, void *arg)
{
	static const char text[TEXT_BYTES];
	int rc = tako_res_on_end(res, on_end, NULL);

	(void)req, (void)arg;
	if (rc == 0 && tako_res_write(res, (tako_str){text, sizeof text}, NULL, NULL) < 0)
		rc = TAKO_ENOMEM;
	if (rc == 0)
		rc = tako__res_lend_file(tako__x(res), open(path, O_RDONLY | O_CLOEXEC), 0,
		                         FILE_BYTES);
	return rc < 0 ? rc : tako_res_end(res);
}

/* It says that it is empty. */
static int unsized(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send_fd(res, open("/proc/self/status", O_RDONLY | O_CLOEXEC), 0,
	                        UNSIZED_BYTES);
}

static int quick(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "quick");
}

/* The first window of what is asked for has come.  `room`: in the socket and on the way; 0: plenty. */
static void begin(const char *what, size_t room)
{
	tako_router *router;

	ends = 0;
	assert_int_equal(truncate(path, FILE_BYTES), 0);
	h2_rig_begin();
	h2_rig.server.sim.net.options.send_bytes = room;
	h2_rig.server.sim.net.options.window_bytes = room;
	router = tako_router_new();
	tako_get(router, "/file", file, NULL);
	tako_get(router, "/text-and-file", text_and_file, NULL);
	tako_get(router, "/unsized", unsized, NULL);
	tako_get(router, "/quick", quick, NULL);
	h2_rig_start(router, NULL);
	h2_rig_ack();
	h2_rig_ask(1, "GET", what, H2_RIG_END_STREAM);
}

static void cut_and_go_on(off_t left)
{
	h2_rig_pass(2);
	assert_int_equal(h2_rig.status[0], 200);
	assert_int_equal(h2_rig.data_bytes[0], WINDOW);
	assert_int_equal(truncate(path, left), 0);
	h2_rig_window(0, MORE);
	h2_rig_window(1, MORE);
	h2_rig_pass(1);
}

/* The stream is reset, and that is all. */
static void assert_only_reset(size_t bytes)
{
	assert_int_equal(h2_rig.reset[0], NGHTTP2_INTERNAL_ERROR);
	assert_int_equal(h2_rig.data_bytes[0], bytes);
	assert_false(h2_rig.ended[0]);
	assert_int_equal(ends, 1);
	assert_int_equal(end_err, TAKO_ECLOSED);
	h2_rig_ask(5, "GET", "/quick", H2_RIG_END_STREAM);
	h2_rig_pass(1);
	assert_int_equal(h2_rig.status[2], 200);
	assert_true(h2_rig.ended[2]);
	assert_int_equal(h2_rig.goaway, H2_RIG_NOTHING);
	h2_rig_end();
}

static void test_cut_file_costs_its_stream(void **state)
{
	(void)state;
	begin("/file", 0);
	/* One that waits for the same window. */
	h2_rig_ask(3, "GET", "/unsized", H2_RIG_END_STREAM);
	cut_and_go_on(CUT_BYTES);
	assert_true(h2_rig.ended[1]);
	assert_int_equal(h2_rig.data_bytes[1], UNSIZED_BYTES);
	assert_only_reset(WINDOW + 2 * FRAME);
}

/* A frame would have been text in the beginning. */
static void test_cut_behind_text(void **state)
{
	(void)state;
	begin("/text-and-file", 0);
	cut_and_go_on(0);
	assert_only_reset(WINDOW);
}

/* Frames that wait for the socket have promised what there is no more: not even an end can be said. */
static void test_promised_bytes_cost_the_connection(void **state)
{
	(void)state;
	begin("/file", FRAME);
	h2_rig_window(0, MORE);
	h2_rig_window(1, MORE);
	h2_rig_pass(2);
	assert_int_equal(truncate(path, 0), 0);
	for (unsigned i = 0; i < FILE_BYTES / FRAME && !sim_ended(h2_rig.link); i++)
		h2_rig_pass(1);
	assert_true(sim_ended(h2_rig.link));
	assert_false(h2_rig.ended[0]);
	assert_int_equal(h2_rig.reset[0], H2_RIG_NOTHING);
	assert_int_equal(ends, 1);
	assert_int_equal(end_err, TAKO_ECLOSED);
	h2_rig_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_file_costs_its_stream),
		cmocka_unit_test(test_cut_behind_text),
		cmocka_unit_test(test_promised_bytes_cost_the_connection),
	};
	int fd = mkstemp(path);
	int rc;

	sim_alloc_install();
	if (fd < 0)
		return 1;
	close(fd);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return rc;
}

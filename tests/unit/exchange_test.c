/* SPDX-License-Identifier: MIT
 *
 * The exchange: what runs exactly once, who answers when nobody or everybody does, and which
 * answers are refused.  Driven through HTTP/1.1 on a stepped server.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WAIT_MS = 5000 };

static struct stepped server;
static struct peer peer;
static struct reply answer;
static char big[1 << 20];

static struct {
	unsigned ends;
	int end_err;
	unsigned aborts;
	unsigned drains;
	unsigned dones;
	unsigned posted;
	unsigned error_calls;
	int rc[8];
	char order[64];
	tako_deferred *deferred;
	tako_res *res;
} seen;

static void note(const char *what)
{
	strncat(seen.order, what, sizeof seen.order - strlen(seen.order) - 1);
}

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req;
	seen.ends++;
	seen.end_err = err;
	if (arg)
		note(arg);
	/* The last call: there is nothing left to keep the exchange for. */
	assert_null(tako_res_defer(seen.res));
	assert_true(tako_res_after(seen.res, 0, NULL, NULL) < 0);
	assert_true(tako_offload(seen.res, NULL, NULL, NULL) < 0);
	assert_true(tako_res_write(seen.res, TAKO_STR("x"), NULL, NULL) < 0);
}

static void on_abort(tako_res *res, void *arg)
{
	(void)res;
	(void)arg;
	seen.aborts++;
}

static void on_done(void *arg)
{
	(void)arg;
	seen.dones++;
}

static void keep(tako_res *res)
{
	seen.res = res;
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
}

/* ---- Handlers -------------------------------------------------------------------------- */

static int twice(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	seen.rc[0] = tako_res_text(res, 200, "first");
	seen.rc[1] = tako_res_text(res, 404, "second");
	seen.rc[2] = tako_res_send_ref(res, 200, NULL, TAKO_STR("third"), on_done, NULL);
	seen.rc[3] = tako_res_end(res);
	seen.rc[4] = (int)tako_res_write(res, TAKO_STR("x"), on_done, NULL);
	seen.rc[5] = tako_res_error(res, 500);
	seen.rc[6] = tako_res_status(res, 404);
	seen.rc[7] = tako_res_length(res, 1);
	return 0;
}

static int whole_in_pieces(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_true(tako_res_write(res, TAKO_STR("one "), NULL, NULL) >= 0);
	seen.rc[0] = tako_res_text(res, 200, "no");
	seen.rc[1] = tako_res_inform(res, 103);
	assert_true(tako_res_write(res, TAKO_STR("two"), NULL, NULL) >= 0);
	return tako_res_end(res);
}

static int nothing(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	return 0;
}

static int returns(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	keep(res);
	return *(int *)arg;
}

static int fails_after_head(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_true(tako_res_write(res, TAKO_STR("begun"), NULL, NULL) >= 0);
	return TAKO_EINVAL;
}

static int more(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_int_equal(tako_res_length(res, 4), 0);
	seen.rc[0] = (int)tako_res_write(res, TAKO_STR("12345"), on_done, NULL);
	assert_true(tako_res_write(res, TAKO_STR("1234"), NULL, NULL) >= 0);
	seen.rc[1] = (int)tako_res_write(res, TAKO_STR("5"), NULL, NULL);
	return tako_res_end(res);
}

static int fewer(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_int_equal(tako_res_length(res, 10), 0);
	assert_true(tako_res_write(res, TAKO_STR("12345"), NULL, NULL) >= 0);
	seen.rc[0] = tako_res_end(res);
	return 0;
}

static int hooks(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_int_equal(tako_res_on_end(res, on_end, "b"), 0);
	assert_int_equal(tako_res_on_end(res, on_end, "a"), 0);
	return tako_res_text(res, 200, "hooks");
}

static int held(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_int_equal(tako_res_on_abort(res, on_abort, NULL), 0);
	seen.deferred = tako_res_defer(res);
	return seen.deferred ? 0 : TAKO_ENOMEM;
}

static int flood(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	assert_int_equal(tako_res_on_abort(res, on_abort, NULL), 0);
	for (int i = 0; i < 8; i++)
		assert_true(tako_res_write(res, (tako_str){big, sizeof big}, on_done, NULL) >= 0);
	return tako_res_end(res);
}

static int inject(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	seen.rc[0] = tako_res_redirect(res, 302, "/a\r\nSet-Cookie: stolen=1");
	seen.rc[1] = tako_res_send(res, 200, "text/plain\r\nX-Injected: 1", TAKO_STR("x"));
	return seen.rc[1] < 0 ? tako_res_text(res, 200, "refused") : 0;
}

static int bad_status(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	seen.rc[0] = tako_res_status(res, 199);
	seen.rc[1] = tako_res_status(res, 600);
	seen.rc[2] = tako_res_text(res, 100, "x");
	seen.rc[3] = tako_res_inform(res, 101);
	seen.rc[4] = tako_res_error(res, 302);
	seen.rc[5] = tako_res_redirect(res, 304, "/");
	return tako_res_text(res, 200, "fine");
}

/* The middleware of /meddled: what it may not change any more. */
static void meddle(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	seen.rc[0] = tako_res_length(res, 1);
	seen.rc[1] = tako_res_error(res, 503);
	seen.rc[2] = tako_res_fail(res, TAKO_EBUSY);
	seen.rc[3] = tako_res_status(res, 201);
}

static int meddled(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	return tako_res_text(res, 200, "whole");
}

static int no_file(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	keep(res);
	seen.rc[0] = tako_res_send_fd(res, -1, 0, 100);
	return tako_res_text(res, 404, "no file");
}

/* ---- Error handlers --------------------------------------------------------------------- */

enum error_kind { ANSWERS = 1, PASSES, FAILS, SILENT, STARTS, RAISES };

static int on_error(tako_req *req, tako_res *res, int status, void *arg)
{
	(void)req;
	seen.error_calls++;
	switch (*(enum error_kind *)arg) {
	case ANSWERS:
		return tako_res_text(res, status, "handled %d", status);
	case PASSES:
		return TAKO_NEXT;
	case FAILS:
		return TAKO_EINVAL;
	case RAISES:
		return seen.error_calls > 50 ? 0 : tako_res_error(res, 500);
	case STARTS:
		assert_true(tako_res_write(res, TAKO_STR("half"), NULL, NULL) >= 0);
		return 0;
	default:
		return 0;
	}
}

/* ---- Set-up ------------------------------------------------------------------------------- */

static int codes[] = {TAKO_ETOOBIG, TAKO_ETIMEDOUT, TAKO_EINVAL, TAKO_EPROTO,
                      TAKO_ENOENT,  TAKO_ENOMEM,    TAKO_ESYS};
static const int statuses[] = {413, 408, 400, 400, 404, 500, 500};
static enum error_kind kinds[] = {ANSWERS, PASSES, FAILS, SILENT, STARTS, RAISES};

static int set_up(void **state)
{
	tako_router *r = tako_router_new();
	tako_router *meddlers;
	char path[32];
	int rc;

	(void)state;
	memset(&seen, 0, sizeof seen);
	tako_get(r, "/twice", twice, NULL);
	tako_get(r, "/pieces", whole_in_pieces, NULL);
	tako_get(r, "/nothing", nothing, NULL);
	tako_get(r, "/after-head", fails_after_head, NULL);
	tako_get(r, "/more", more, NULL);
	tako_get(r, "/fewer", fewer, NULL);
	tako_get(r, "/hooks", hooks, NULL);
	tako_get(r, "/held", held, NULL);
	tako_get(r, "/flood", flood, NULL);
	tako_get(r, "/inject", inject, NULL);
	tako_get(r, "/status", bad_status, NULL);
	tako_get(r, "/no-file", no_file, NULL);
	meddlers = tako_group(r, "");
	tako_after(meddlers, TAKO_PHASE_RESPONSE, meddle, NULL);
	tako_get(meddlers, "/meddled", meddled, NULL);
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		snprintf(path, sizeof path, "/returns/%zu", i);
		tako_get(r, path, returns, &codes[i]);
	}
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		tako_router *g;

		snprintf(path, sizeof path, "/error/%d", (int)kinds[i]);
		g = tako_group(r, path);
		tako_on_error(g, on_error, &kinds[i]);
		tako_get(g, "/x", returns, &codes[2]);
	}
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	peer_open(&peer, &server);
	return rc < 0 || peer.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	stepped_stop(&server);
	return failalloc_live() || failalloc_wrong();
}

static void ask(const char *path)
{
	char text[128];
	int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

	assert_true(peer_send(&peer, &server, text, (size_t)n));
}

static void expect(const char *path, int status, const char *body)
{
	ask(path);
	if (!peer_reply(&peer, &server, &answer, false, WAIT_MS) || answer.status != status)
		fail_msg("%s: status %d: %.80s", path, answer.status, peer.data);
	if (body &&
	    (answer.body_n != strlen(body) || memcmp(answer.body, body, answer.body_n) != 0))
		fail_msg("%s: body \"%.*s\"", path, (int)answer.body_n, answer.body);
	peer_drop(&peer, answer.total_n);
}

/* Nothing of what was sent before may have cost the connection. */
static void still_open(void)
{
	memset(seen.rc, 0, sizeof seen.rc);
	assert_false(answer.close);
	expect("/hooks", 200, "hooks");
}

/* ---- Tests ------------------------------------------------------------------------------------ */

static void test_second_answer_is_refused(void **state)
{
	(void)state;
	expect("/twice", 200, "first");
	assert_int_equal(seen.rc[0], 0);
	for (int i = 1; i < 8; i++)
		assert_int_equal(seen.rc[i], TAKO_ESTATE);
	assert_int_equal(seen.dones, 2);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.end_err, 0);
	still_open();
}

static void test_whole_answer_within_pieces_is_refused(void **state)
{
	(void)state;
	expect("/pieces", 200, "one two");
	assert_int_equal(seen.rc[0], TAKO_ESTATE);
	assert_int_equal(seen.rc[1], TAKO_ESTATE);
	assert_int_equal(seen.end_err, 0);
	still_open();
}

static void test_nobody_answers(void **state)
{
	(void)state;
	expect("/nothing", 500, NULL);
	assert_int_equal(seen.ends, 1);
	still_open();
}

static void test_codes(void **state)
{
	char path[32];

	(void)state;
	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
		snprintf(path, sizeof path, "/returns/%zu", i);
		expect(path, statuses[i], NULL);
		assert_int_equal(seen.ends, i + 1);
	}
	still_open();
}

static void test_failure_after_the_head_cuts(void **state)
{
	(void)state;
	ask("/after-head");
	assert_true(peer_closed(&peer, &server, WAIT_MS));
	reply_parse(&answer, &peer, false);
	assert_int_equal(answer.status, 200);
	assert_false(answer.complete);
	assert_int_equal(seen.ends, 1);
	assert_true(seen.end_err < 0);
}

static void test_more_than_announced(void **state)
{
	(void)state;
	expect("/more", 200, "1234");
	assert_int_equal(seen.rc[0], TAKO_EINVAL);
	assert_int_equal(seen.rc[1], TAKO_EINVAL);
	assert_int_equal(seen.dones, 1);
	still_open();
}

static void test_fewer_than_announced(void **state)
{
	(void)state;
	ask("/fewer");
	assert_true(peer_closed(&peer, &server, WAIT_MS));
	reply_parse(&answer, &peer, false);
	assert_false(answer.complete);
	assert_int_equal(seen.rc[0], TAKO_ESTATE);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.end_err, TAKO_ESTATE);
}

static void test_end_hooks(void **state)
{
	(void)state;
	expect("/hooks", 200, "hooks");
	assert_int_equal(seen.ends, 3);
	assert_int_equal(strlen(seen.order), 2);
}

static void wait_for(const unsigned *what, unsigned value)
{
	for (int i = 0; i < 500 && *what < value; i++)
		stepped_turn(&server, 5);
	assert_int_equal(*what, value);
}

static void answer_late(tako_res *res, void *arg)
{
	(void)arg;
	seen.posted++;
	seen.rc[0] = tako_res_text(res, 200, "late");
	seen.rc[1] = tako_res_closed(res);
}

/* Half closed: told once, and an answer can still be tried. */
static void test_half_close(void **state)
{
	(void)state;
	ask("/held");
	shutdown(peer.fd, SHUT_WR);
	wait_for(&seen.aborts, 1);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(tako_deferred_post(seen.deferred, answer_late, NULL), 0);
	tako_deferred_done(seen.deferred);
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.body_n, 4);
	wait_for(&seen.ends, 1);
	assert_int_equal(seen.end_err, 0);
	assert_int_equal(seen.aborts, 1);
}

/* Gone: the deferral stays valid, and what is posted runs against a closed exchange. */
static void test_reset(void **state)
{
	struct linger reset = {.l_onoff = 1};

	(void)state;
	ask("/held");
	for (int i = 0; i < 100 && !seen.deferred; i++)
		stepped_turn(&server, 1);
	assert_non_null(seen.deferred);
	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	peer_close(&peer);
	wait_for(&seen.aborts, 1);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(tako_deferred_post(seen.deferred, answer_late, NULL), 0);
	wait_for(&seen.posted, 1);
	assert_int_equal(seen.rc[0], TAKO_ECLOSED);
	assert_int_equal(seen.rc[1], 1);
	assert_int_equal(seen.ends, 0);
	tako_deferred_done(seen.deferred);
	wait_for(&seen.ends, 1);
	assert_int_equal(seen.end_err, TAKO_ECLOSED);
	assert_int_equal(seen.aborts, 1);
}

static void test_deferral_without_an_answer(void **state)
{
	(void)state;
	ask("/held");
	for (int i = 0; i < 100 && !seen.deferred; i++)
		stepped_turn(&server, 1);
	tako_deferred_done(seen.deferred);
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 500);
	assert_int_equal(seen.ends, 1);
}

/* Lent bytes that never leave are given back, and the end says why. */
static void test_lent_bytes_come_back(void **state)
{
	struct linger reset = {.l_onoff = 1};

	(void)state;
	ask("/flood");
	stepped_turn(&server, 1);
	stepped_turn(&server, 1);
	assert_true(seen.dones < 8);
	assert_int_equal(seen.ends, 0);
	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	peer_close(&peer);
	wait_for(&seen.ends, 1);
	assert_int_equal(seen.dones, 8);
	assert_int_equal(seen.end_err, TAKO_ECLOSED);
	/* The response had ended, as far as its writer goes. */
	assert_int_equal(seen.aborts, 0);
}

/* A length that is not the body's would make the rest of it a response of its own. */
static void test_after_hooks_change_no_framing(void **state)
{
	(void)state;
	expect("/meddled", 201, "whole");
	for (int i = 0; i < 3; i++)
		assert_int_equal(seen.rc[i], TAKO_ESTATE);
	assert_int_equal(seen.rc[3], 0);
	still_open();
}

static void test_no_file(void **state)
{
	(void)state;
	expect("/no-file", 404, "no file");
	assert_int_equal(seen.rc[0], TAKO_EINVAL);
	still_open();
}

static void test_injection(void **state)
{
	(void)state;
	expect("/inject", 200, "refused");
	assert_int_equal(seen.rc[0], TAKO_EINVAL);
	assert_int_equal(seen.rc[1], TAKO_EINVAL);
	still_open();
}

static void test_bad_status(void **state)
{
	(void)state;
	expect("/status", 200, "fine");
	for (int i = 0; i < 6; i++)
		assert_int_equal(seen.rc[i], TAKO_EINVAL);
	still_open();
}

static void test_error_handlers(void **state)
{
	(void)state;
	expect("/error/1/x", 400, "handled 400");
	assert_int_equal(seen.error_calls, 1);
	/* The parent's, which is the built-in one here. */
	expect("/error/2/x", 400, "400 Bad Request\n");
	/* One that fails is not asked again about its own failure. */
	expect("/error/3/x", 400, NULL);
	assert_int_equal(seen.error_calls, 3);
	expect("/error/4/x", 400, NULL);
	assert_int_equal(seen.error_calls, 4);
	expect("/error/6/x", 500, NULL);
	assert_int_equal(seen.error_calls, 5);
	still_open();
	/* Began and did not end: synchronously, or not at all. */
	ask("/error/5/x");
	assert_true(peer_closed(&peer, &server, WAIT_MS));
	assert_int_equal(seen.error_calls, 6);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_second_answer_is_refused),
		WITH(test_whole_answer_within_pieces_is_refused),
		WITH(test_nobody_answers),
		WITH(test_codes),
		WITH(test_failure_after_the_head_cuts),
		WITH(test_more_than_announced),
		WITH(test_fewer_than_announced),
		WITH(test_end_hooks),
		WITH(test_half_close),
		WITH(test_reset),
		WITH(test_deferral_without_an_answer),
		WITH(test_lent_bytes_come_back),
		WITH(test_injection),
		WITH(test_after_hooks_change_no_framing),
		WITH(test_no_file),
		WITH(test_bad_status),
		WITH(test_error_handlers),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Requests over HTTP/2: what is sent of them, as far as the server's windows reach, and what of them can be sent again.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "unit/client_h2_rig.h"

static struct client_rig rig;
static struct h2_place peer;
static struct place place;

static void start(const tako_client_config *cfg, void (*act)(void *arg), void *arg)
{
	place_tcp(&place, 8);
	h2_place_rig(&rig, cfg, act, arg);
}

static void stop(void)
{
	h2_place_close(&peer);
	client_rig_stop(&rig);
	close(place.fd);
}

static void answered(struct asked *a, int32_t id)
{
	h2_place_answer(&peer, id);
	client_rig_await(&rig, a);
	assert_int_equal(a->err, 0);
}

/* ---- Heads ------------------------------------------------------------------------------------- */

/* RFC 9113 sections 8.2 and 8.3.1: pseudo-header fields first, names in lower case, nothing about a connection. */
static void test_head(void **state)
{
	const tako_fetch_field fields[] = {{TAKO_STR("X-Upper"), TAKO_STR("Value")},
	                                   {TAKO_STR("Cookie"), TAKO_STR("a=b; c=d")}};
	const struct {
		tako_fetch_config cfg;
		const char *method;
		const char *rest;
		bool end;
	} cases[] = {
		{{.method = NULL}, "GET", "user-agent: tako\n", true},
		{{.method = "DELETE"}, "DELETE", "user-agent: tako\n", true},
		{{.method = "POST"}, "POST", "user-agent: tako\ncontent-length: 0\n", true},
		{{.body = {"", 0}}, "POST", "user-agent: tako\ncontent-length: 0\n", true},
		{{.body = {"abc", 3}}, "POST", "user-agent: tako\ncontent-length: 3\n", false},
		{{.stream = 1, .stream_bytes = 9},
	         "POST",
	         "user-agent: tako\ncontent-length: 9\n",
	         false},
		{{.stream = 1, .stream_bytes = TAKO_OFF64}, "POST", "user-agent: tako\n", false},
		{{.body = {"abc", 3}, .expect_continue = 1},
	         "POST",
	         "user-agent: tako\ncontent-length: 3\nexpect: 100-continue\n",
	         false},
		{{.fields = fields, .field_count = 2},
	         "GET",
	         "x-upper: Value\ncookie: a=b; c=d\nuser-agent: tako\n",
	         true},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		tako_fetch_config cfg = cases[i].cfg;
		struct asked a = {0};
		char want[512];

		cfg.size = sizeof cfg;
		start(NULL, NULL, NULL);
		client_rig_ask(&rig, &a, &place, &cfg);
		h2_place_serve(&peer, &place, &rig, 100);
		h2_place_await(&peer, 1);
		snprintf(want, sizeof want,
		         ":method: %s\n:scheme: http\n:authority: %s\n:path: /\n%s",
		         cases[i].method, place.text, cases[i].rest);
		assert_string_equal(h2_place_of(&peer, 1)->text, want);
		if (cases[i].end)
			assert_true(h2_place_of(&peer, 1)->end);
		answered(&a, 1);
		stop();
	}
}

/* ---- Bodies -------------------------------------------------------------------------------------- */

/* RFC 9110 section 10.1.1. */
static void test_continue(void **state)
{
	struct asked a = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.continue_timeout_ms = 60000), NULL, NULL);
	client_rig_ask(&rig, &a, &place,
	               TAKO_FETCH(.body = TAKO_STR("hello"), .expect_continue = 1));
	h2_place_serve(&peer, &place, &rig, 100);
	h2_place_await(&peer, 1);
	h2_place_turns(&peer, 10);
	assert_int_equal(h2_place_of(&peer, 1)->body, 0);
	h2_place_head(&peer, 1, 0, ":status: 100\n");
	h2_place_await_body(&peer, 1, 5, true);
	answered(&a, 1);
	stop();
}

static void test_without_continue(void **state)
{
	struct asked a = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.continue_timeout_ms = 20), NULL, NULL);
	client_rig_ask(&rig, &a, &place,
	               TAKO_FETCH(.body = TAKO_STR("hello"), .expect_continue = 1));
	h2_place_serve(&peer, &place, &rig, 100);
	h2_place_await_body(&peer, 1, 5, true);
	answered(&a, 1);
	stop();
}

/* Refused before it was sent: nobody wants it any more. */
static void test_refused_instead_of_continue(void **state)
{
	struct asked a = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.continue_timeout_ms = 60000), NULL, NULL);
	client_rig_ask(&rig, &a, &place,
	               TAKO_FETCH(.body = TAKO_STR("hello"), .expect_continue = 1));
	h2_place_serve(&peer, &place, &rig, 100);
	h2_place_await(&peer, 1);
	h2_place_head(&peer, 1, H2_PLACE_END, ":status: 417\n");
	client_rig_await(&rig, &a);
	assert_int_equal(a.status, 417);
	assert_int_equal(h2_place_await_reset(&peer, 1), NGHTTP2_CANCEL);
	assert_int_equal(h2_place_of(&peer, 1)->body, 0);
	stop();
}

/* ---- Windows ------------------------------------------------------------------------------------------ */

static void grant(int32_t id, uint32_t n)
{
	const unsigned char p[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
	                            (unsigned char)(n >> 8), (unsigned char)n};

	h2_place_frame(&peer, NGHTTP2_WINDOW_UPDATE, 0, id, p, sizeof p);
}

struct writing {
	struct asked a;
	size_t left;
	int64_t most; /* unsent */
	unsigned calls;
};

static void write_some(struct asked *a)
{
	static const char block[4096];
	struct writing *w = TAKO__CONTAINER(a, struct writing, a);

	w->calls++;
	while (w->left) {
		size_t n = w->left < sizeof block ? w->left : sizeof block;
		int64_t unsent = tako_fetch_write(a->f, (tako_str){block, n});

		assert_true(unsent >= 0);
		w->left -= n;
		w->most = unsent > w->most ? unsent : w->most;
		if (unsent >= 8192)
			return;
	}
	assert_int_equal(tako_fetch_finish(a->f), 0);
}

static int begins_to_write(struct asked *a)
{
	write_some(a);
	return 0;
}

/* RFC 9113 section 5.2: as far as both windows reach; its writer is told when there is room. */
static void test_windows(void **state)
{
	enum { BYTES = 100000, WINDOW = 10000 };
	struct writing w = {.a = {.head = begins_to_write, .writable = write_some}, .left = BYTES};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.write_high_bytes = 8192), NULL, NULL);
	client_rig_ask(&rig, &w.a, &place, TAKO_FETCH(.stream = 1, .stream_bytes = BYTES));
	h2_place_open(&peer, &place, &rig);
	h2_place_setting(&peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW);
	h2_place_await(&peer, 1);
	h2_place_head(&peer, 1, 0, ":status: 200\n");
	h2_place_await_body(&peer, 1, WINDOW, false);
	h2_place_turns(&peer, 5);
	assert_int_equal(h2_place_of(&peer, 1)->body, WINDOW);
	/* The stream's window, up to the end of the connection's. */
	grant(1, BYTES);
	h2_place_await_body(&peer, 1, 65535, false);
	h2_place_turns(&peer, 5);
	assert_int_equal(h2_place_of(&peer, 1)->body, 65535);
	grant(0, BYTES);
	h2_place_await_body(&peer, 1, BYTES, true);
	assert_true(w.calls > 5);
	assert_in_range(w.most, 8192, 4 * 8192);
	h2_place_data(&peer, 1, H2_PLACE_END, "");
	client_rig_await(&rig, &w.a);
	assert_int_equal(w.a.err, 0);
	stop();
}

/* A server that does not take it is given up. */
static void test_window_stays_shut(void **state)
{
	struct asked a[2] = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.idle_timeout_ms = 50), NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_open(&peer, &place, &rig);
	h2_place_setting(&peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 3);
	h2_place_await(&peer, 1);
	answered(&a[0], 1);
	client_rig_ask(&rig, &a[1], &place, TAKO_FETCH(.body = TAKO_STR("hello")));
	h2_place_await_body(&peer, 3, 3, false);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, TAKO_ETIMEDOUT);
	assert_string_equal(a[1].why, "it did not take the request");
	stop();
}

/* ---- Again ------------------------------------------------------------------------------------------------- */

static int notes_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;

	a->ends++;
	a->err = err;
	a->status = tako_fetch_status(f);
	return 0;
}

static void stream_abc(void *arg)
{
	char url[TAKO__LOCAL_TEXT_BYTES + 16];
	tako_fetch *f;

	snprintf(url, sizeof url, "http://%s/", place.text);
	assert_int_equal(tako_fetch_start(&f, rig.client, client_rig_res(),
	                                  TAKO_FETCH(.url = url, .stream = 1, .stream_bytes = 3,
	                                             .on_end = notes_end, .arg = arg)),
	                 0);
	assert_int_equal(tako_fetch_write(f, TAKO_STR("abc")), 3);
	assert_int_equal(tako_fetch_finish(f), 0);
}

/* RFC 9113 section 8.7: of a stream of which nothing has left all is still here; of another one it is not. */
static void refuses_stream(uint32_t window)
{
	struct asked a[2] = {0};

	start(NULL, stream_abc, &a[1]);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_open(&peer, &place, &rig);
	h2_place_setting(&peer, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window);
	h2_place_await(&peer, 1);
	h2_place_answer(&peer, 1);
	client_rig_await(&rig, &a[0]);
	client_rig_send_do(&rig);
	h2_place_await(&peer, 2);
	h2_place_await_body(&peer, 3, window, window > 0);
	h2_place_reset(&peer, 3, NGHTTP2_REFUSED_STREAM);
	if (!window) {
		h2_place_await(&peer, 3);
		grant(5, 3);
		h2_place_await_body(&peer, 5, 3, true);
		h2_place_answer(&peer, 5);
	}
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, window ? TAKO_ECLOSED : 0);
	client_rig_hear_done(&rig);
	stop();
}

static void test_stream_again(void **state)
{
	(void)state;
	refuses_stream(0);
	refuses_stream(3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_continue),
		cmocka_unit_test(test_without_continue),
		cmocka_unit_test(test_refused_instead_of_continue),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_window_stays_shut),
		cmocka_unit_test(test_stream_again),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * tako/connect.h on the test's own thread: from a handler, from another connection, from no callback at all;
 * settings that are refused, ends that are told once, and every allocation failing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/dial_rig.h"

/* ---- What is told ------------------------------------------------------------------------------- */

static struct {
	unsigned opened;
	unsigned closed;
	unsigned none; /* on_close() without a connection */
	int why;
	int open_rc; /* what on_open() returns */
	char words[300];
	tako_raw *last;
	size_t got;
	bool inside;
} seen;

static int on_open(tako_raw *c, void *arg)
{
	tako_conn_info info = {.size = sizeof info};

	assert_false(seen.inside);
	assert_ptr_equal(arg, &seen);
	seen.opened++;
	seen.last = c;
	if (tako_raw_conn_info(c, &info) == 0)
		assert_string_equal(info.transport, "raw");
	memset(tako_raw_user(c), 'x', 100);
	return seen.open_rc;
}

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	(void)c, (void)arg;
	seen.got += data.n;
	return 0;
}

static void on_close(tako_raw *c, int why, void *arg)
{
	assert_false(seen.inside);
	assert_ptr_equal(arg, &seen);
	seen.closed++;
	seen.none += !c;
	seen.why = why;
	snprintf(seen.words, sizeof seen.words, "%s", tako_last_error());
}

static const tako_raw_config raw = {.size = sizeof raw,
                                    .on_open = on_open,
                                    .on_data = on_data,
                                    .on_close = on_close,
                                    .arg = &seen,
                                    .user_bytes = 100};

static const tako_connect_config config = {.size = sizeof config, .raw = &raw};

/* ---- A server to do it on ------------------------------------------------------------------------- */

static int start(struct stepped *s)
{
	memset(&seen, 0, sizeof seen);
	return dial_rig_start(s, TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000));
}

static void stop(struct stepped *s)
{
	stepped_stop(s);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static int call(struct stepped *s, const char *addr, const tako_connect_config *cfg)
{
	int rc;

	seen.inside = true;
	rc = tako_server_connect(s->srv, addr, cfg);
	seen.inside = false;
	return rc;
}

static void await(struct stepped *s, const unsigned *count, unsigned n)
{
	for (unsigned i = 0; i < 3000 && *count < n; i++)
		stepped_turn(s, 1);
	assert_int_equal(*count, n);
}

static void test_from_anywhere(void **state)
{
	struct stepped s;
	struct place p;
	char got[8];
	int fd;

	(void)state;
	assert_int_equal(start(&s), 0);
	place_tcp(&p, 4);
	assert_int_equal(call(&s, p.text, &config), 0);
	await(&s, &seen.opened, 1);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("hello")), 5);
	fd = place_accept(&p, &s);
	for (unsigned i = 0; i < 100 && recv(fd, got, 5, MSG_PEEK) < 5; i++)
		stepped_turn(&s, 1);
	assert_int_equal(recv(fd, got, sizeof got, 0), 5);
	assert_int_equal(send(fd, "abc", 3, 0), 3);
	close(fd);
	await(&s, &seen.closed, 1);
	assert_int_equal(seen.got, 3);
	assert_int_equal(seen.why, 0);
	assert_int_equal(seen.none, 0);
	/* Nobody there. */
	close(p.fd);
	assert_int_equal(call(&s, p.text, &config), 0);
	await(&s, &seen.closed, 2);
	assert_int_equal(seen.why, TAKO_ESYS);
	assert_int_equal(seen.none, 1);
	assert_non_null(strstr(seen.words, "Connection refused"));
	assert_int_equal(seen.opened, 1);
	stop(&s);
}

static void test_own_refusal(void **state)
{
	struct stepped s;
	struct place p;

	(void)state;
	assert_int_equal(start(&s), 0);
	place_tcp(&p, 4);
	seen.open_rc = TAKO_ESTATE;
	assert_int_equal(call(&s, p.text, &config), 0);
	await(&s, &seen.closed, 1);
	assert_int_equal(seen.why, TAKO_ESTATE);
	assert_int_equal(seen.none, 0);
	close(p.fd);
	stop(&s);
}

/* Whoever is connected is told that the server stops, like all others. */
static void test_drain(void **state)
{
	struct stepped s;
	struct place p;
	int fd;

	(void)state;
	assert_int_equal(start(&s), 0);
	place_tcp(&p, 4);
	assert_int_equal(call(&s, p.text, &config), 0);
	await(&s, &seen.opened, 1);
	fd = place_accept(&p, &s);
	/* On its way when the server stops: it is read, and told. */
	assert_int_equal(call(&s, p.text, &config), 0);
	tako_server_stop(s.srv);
	tako_server_stop(s.srv);
	await(&s, &seen.closed, 2);
	close(fd);
	close(p.fd);
	for (unsigned i = 0; i < 100 && !s.over; i++)
		stepped_turn(&s, 1);
	assert_true(s.over);
	stop(&s);
}

static void test_not_running(void **state)
{
	tako_server *srv = NULL;
	tako_router *r = tako_router_new();
	struct stepped s;

	(void)state;
	memset(&seen, 0, sizeof seen);
	assert_int_equal(tako_server_new(&srv, r, TAKO_SERVER_CONFIG(.worker_count = 1)), 0);
	tako_router_free(r);
	assert_int_equal(tako_server_connect(srv, "127.0.0.1:1", &config), TAKO_ESTATE);
	tako_server_free(srv);
	assert_int_equal(seen.closed, 0);
	assert_int_equal(start(&s), 0);
	tako_server_stop(s.srv);
	for (unsigned i = 0; i < 100 && !s.over; i++)
		stepped_turn(&s, 1);
	/* What came to rest tells nobody, or refuses. */
	if (call(&s, "127.0.0.1:1", &config) < 0)
		assert_int_equal(seen.closed, 0);
	tako_server_free(s.srv);
	assert_int_equal(failalloc_live(), 0);
}

/* ---- From a handler, and from another connection --------------------------------------------------------- */

static struct {
	char addr[TAKO__LOCAL_TEXT_BYTES];
	tako_connecting *one;
	bool cancel;

	int rc;
} asked;

static int handler(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	seen.inside = true;
	asked.rc = tako_connect(&asked.one, res, asked.addr, &config);
	seen.inside = false;
	if (asked.rc == 0 && asked.cancel)
		tako_connect_cancel(asked.one);
	return tako_res_text(res, 200, "%d", asked.rc);
}

static int start_handler(struct stepped *s)
{
	tako_router *r = tako_router_new();
	int rc;

	memset(&seen, 0, sizeof seen);
	tako_get(r, "/", handler, NULL);
	rc = stepped_start(s, r, TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000),
	                   NULL);
	tako_router_free(r);
	return rc;
}

static bool ask(struct stepped *s)
{
	static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	static struct peer p;
	static struct reply r;
	bool whole;

	peer_open(&p, s);
	whole = p.fd >= 0 && peer_send(&p, s, get, sizeof get - 1) &&
	        peer_reply(&p, s, &r, false, 3000);
	peer_close(&p);
	return whole;
}

static void test_from_a_handler(void **state)
{
	struct stepped s;
	struct place p;
	tako_connecting *second = NULL;

	(void)state;
	place_tcp(&p, 8);
	snprintf(asked.addr, sizeof asked.addr, "%s", p.text);
	asked.cancel = false;
	assert_int_equal(start_handler(&s), 0);
	assert_true(ask(&s));
	assert_int_equal(asked.rc, 0);
	/* The exchange is over by now. */
	await(&s, &seen.opened, 1);
	assert_int_equal(tako_raw_connect(&second, seen.last, p.text, &config), 0);
	await(&s, &seen.opened, 2);
	assert_int_equal(tako_raw_connect(NULL, seen.last, p.text, &config), 0);
	await(&s, &seen.opened, 3);
	asked.cancel = true;
	assert_true(ask(&s));
	for (unsigned i = 0; i < 10; i++)
		stepped_turn(&s, 1);
	assert_int_equal(seen.opened, 3);
	assert_int_equal(seen.closed, 0);
	close(p.fd);
	stop(&s);
	assert_int_equal(seen.closed, 3);
}

/* ---- Settings ------------------------------------------------------------------------------------------ */

static void test_settings(void **state)
{
	tako_raw_config no_data = raw;
	tako_raw_config capped = raw;
	tako_raw_config named = raw;
	struct stepped s;

	(void)state;
	no_data.on_data = NULL;
	capped.max_connections = 1;
	named.alpn = "x";
	assert_int_equal(start(&s), 0);
	{
		const struct {
			const char *addr;
			tako_connect_config cfg;
			int rc;
			const char *why;
		} bad[] = {
			{"127.0.0.1:1", {.size = sizeof config}, TAKO_EINVAL, "raw is not set"},
			{"127.0.0.1:1", {.size = 1}, TAKO_EINVAL, ""},
			{"127.0.0.1", {.size = sizeof config, .raw = &raw}, TAKO_EINVAL, "port"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &raw, .alpn = "h2"},
		         TAKO_EINVAL,
		         "tls is not"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &raw, .server_name = "x"},
		         TAKO_EINVAL,
		         "tls is not"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &raw, .timeout_ms = TAKO_OFF},
		         TAKO_EINVAL,
		         "timeout_ms"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &raw, .reserved = 1},
		         TAKO_EINVAL,
		         "reserved"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &no_data},
		         TAKO_EINVAL,
		         "on_data"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &capped},
		         TAKO_ENOTSUP,
		         "max_connections"},
			{"127.0.0.1:1",
		         {.size = sizeof config, .raw = &named},
		         TAKO_ENOTSUP,
		         "alpn"},
		};

		for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
			assert_int_equal(call(&s, bad[i].addr, &bad[i].cfg), bad[i].rc);
			if (!strstr(tako_last_error(), bad[i].why))
				fail_msg("%zu: %s", i, tako_last_error());
		}
	}
	assert_int_equal(tako_server_connect(NULL, "127.0.0.1:1", &config), TAKO_EINVAL);
	assert_int_equal(tako_server_connect(s.srv, NULL, &config), TAKO_EINVAL);
	assert_int_equal(tako_connect(NULL, NULL, "127.0.0.1:1", &config), TAKO_EINVAL);
	assert_int_equal(tako_raw_connect(NULL, NULL, "127.0.0.1:1", &config), TAKO_EINVAL);
	stop(&s);
	assert_int_equal(seen.closed, 0);
}

/* ---- Without memory ---------------------------------------------------------------------------------------- */

static void test_no_memory(void **state)
{
	struct stepped s;
	struct place p;

	(void)state;
	place_tcp(&p, 64);
	for (size_t n = 1;; n++) {
		int rc;

		assert_int_equal(start(&s), 0);
		failalloc_arm(n);
		rc = call(&s, p.text, &config);
		if (rc == 0)
			for (unsigned i = 0; i < 3000 && !seen.opened && !seen.closed; i++)
				stepped_turn(&s, 1);
		else
			assert_int_equal(rc, TAKO_ENOMEM);
		stepped_stop(&s);
		assert_int_equal(seen.closed, rc == 0);
		assert_int_equal(seen.opened + seen.none, rc == 0);
		assert_int_equal(failalloc_live(), 0);
		if (!failalloc_disarm()) {
			assert_int_equal(seen.opened, 1);
			assert_true(n > 3);
			break;
		}
	}
	close(p.fd);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_anywhere),  cmocka_unit_test(test_own_refusal),
		cmocka_unit_test(test_drain),          cmocka_unit_test(test_not_running),
		cmocka_unit_test(test_from_a_handler), cmocka_unit_test(test_settings),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

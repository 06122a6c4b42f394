/* SPDX-License-Identifier: MIT
 *
 * Early data, from a client that stops where no other would: what is answered before its Finished, how
 * long that is waited for, every byte of it cut off from the next, every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>

#include "transports/tls/tls_early.h"
#include "unit/tls_rig.h"

#define LAST(method) method " / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

enum { EARLY_BYTES = 4096 };

static unsigned runs;

static int tell(tako_req *req, tako_res *res, void *arg)
{
	tako_str early = tako_req_header(req, "early-data");

	(void)arg;
	runs++;
	return tako_res_text(res, 200, early.p ? "early" : "late");
}

static int start(void)
{
	tako_router *r = tako_router_new();

	runs = 0;
	tls_rig.listen.tls_max_early_data_bytes = EARLY_BYTES;
	tako_get(r, "/", tell, NULL);
	tako_post(r, "/", tell, NULL);
	return tls_rig_start(r);
}

/* A ticket for the next connection; NULL: it was not to be had. */
static WOLFSSL_SESSION *visit(void)
{
	char answer[1024];
	WOLFSSL_SESSION *session = NULL;

	if (tls_rig_open(0) && tls_rig_connect() && tls_rig_ask(LAST("GET")) &&
	    tls_rig_receive(answer, sizeof answer) > 0)
		session = wolfSSL_get1_session(tls_rig.ssl);
	tls_rig_close();
	return session;
}

/* Its first flight with `text` is written, and has not left. */
static bool speak(WOLFSSL_SESSION *session, size_t cut, const char *text)
{
	int n = 0;

	return session && tls_rig_open(cut) &&
	       wolfSSL_set_session(tls_rig.ssl, session) == WOLFSSL_SUCCESS &&
	       wolfSSL_write_early_data(tls_rig.ssl, text, (int)strlen(text), &n) ==
	               (int)strlen(text);
}

/* wolfSSL's client counts what it receives as early data until it has written something else. */
static bool listen_again(void)
{
	return wolfSSL_write(tls_rig.ssl, "", 0) == 0;
}

/* A whole conversation of which all that is asked is early. */
static bool converse(size_t cut, const char *text, char *answer, size_t room)
{
	WOLFSSL_SESSION *session = visit();
	bool ok = speak(session, cut, text) && tls_rig_connect() && listen_again();
	size_t n = ok ? tls_rig_receive(answer, room - 1) : 0;

	answer[n] = '\0';
	tls_rig_close();
	wolfSSL_SESSION_free(session);
	return ok && n > 0;
}

static void test_cut_everywhere(void **state)
{
	char answer[1024];
	size_t total;

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(converse(0, LAST("GET"), answer, sizeof answer));
	total = tls_rig.sent;
	assert_in_range(total, 300, 1500);
	for (size_t cut = 1; cut < total; cut++) {
		assert_true(converse(cut, LAST("GET"), answer, sizeof answer));
		if (!strstr(answer, "200 OK") || !strstr(answer, "early"))
			fail_msg("cut at %zu: %s", cut, answer);
	}
	assert_int_equal(tls_rig_stop(), 0);
}

static void test_unsafe(void **state)
{
	char answer[1024];

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(converse(0, LAST("POST"), answer, sizeof answer));
	assert_non_null(strstr(answer, "425 Too Early"));
	assert_int_equal(runs, 1); /* of visit() */
	assert_int_equal(tls_rig_stop(), 0);
}

static int so_error(int fd)
{
	int err = 0;
	socklen_t n = sizeof err;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n), 0);
	return err;
}

/* Half a round trip is what it is for: the answer is there before our Finished is. */
static void test_answered_at_once(void **state)
{
#ifdef TAKO__WOLFSSL_MENDED
	char answer[1024];
	WOLFSSL_SESSION *session;
	int n;

	(void)state;
	assert_int_equal(start(), 0);
	session = visit();
	assert_true(speak(session, 0, LAST("GET")));
	assert_true(tls_rig_deliver());
	tls_rig_turn(5);
	peer_read(&tls_rig.peer);
	assert_int_equal(wolfSSL_connect(tls_rig.ssl), WOLFSSL_SUCCESS);
	assert_true(tls_rig.out_n > 0); /* the Finished, which nobody delivers */
	assert_true(listen_again());
	n = wolfSSL_read(tls_rig.ssl, answer, sizeof answer - 1);
	assert_true(n > 0);
	answer[n] = '\0';
	assert_non_null(strstr(answer, "early"));
	/* ... which is not answered by a reset, however late it comes behind a last answer: that
	 * would take the answer from a client that has not read it yet. */
	tls_rig_turn(20);
	assert_true(tls_rig_deliver());
	tls_rig_turn(5);
	assert_int_equal(recv(tls_rig.peer.fd, answer, 1, MSG_DONTWAIT), 0);
	assert_int_equal(so_error(tls_rig.peer.fd), 0);
	tls_rig_close();
	wolfSSL_SESSION_free(session);
	assert_int_equal(tls_rig_stop(), 0);
#else
	(void)state;
	skip();
#endif
}

/* The handshake's time goes on although a protocol speaks already. */
static void test_never_finished(void **state)
{
	tako_stats stats = {.size = sizeof stats};
	WOLFSSL_SESSION *session;

	(void)state;
	tls_rig.timeout_ms = 1000;
	assert_int_equal(start(), 0);
	tls_rig.timeout_ms = 0;
	session = visit();
	assert_true(speak(session, 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
	assert_true(tls_rig_deliver());
	assert_true(peer_closed(&tls_rig.peer, &tls_rig.server, 10000));
	assert_int_equal(tako_server_stats(tls_rig.server.srv, &stats), 0);
	assert_int_equal(stats.timeouts, 1);
	assert_int_equal(stats.tls_failures, 1);
	assert_int_equal(stats.tls_handshakes, 1);
	assert_int_equal(runs, 2);
	tls_rig_close();
	wolfSSL_SESSION_free(session);
	assert_int_equal(tls_rig_stop(), 0);
}

/* Gone, or told to stop, while the handshake hangs. */
static void test_ends(void **state)
{
	(void)state;
	for (int stop = 0; stop < 2; stop++) {
		WOLFSSL_SESSION *session;

		assert_int_equal(start(), 0);
		session = visit();
		assert_true(speak(session, 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
		assert_true(tls_rig_deliver());
		tls_rig_turn(3);
		assert_int_equal(runs, 2);
		if (!stop)
			tls_rig_close();
		assert_int_equal(tls_rig_stop(), 0);
		if (stop)
			tls_rig_close();
		wolfSSL_SESSION_free(session);
	}
}

static bool talk(void)
{
	char answer[1024];

	return converse(0, LAST("GET"), answer, sizeof answer);
}

static void test_allocations(void **state)
{
	(void)state;
	tls_rig_each_allocation(start, talk, 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_unsafe),
		cmocka_unit_test(test_answered_at_once),
		cmocka_unit_test(test_never_finished),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_allocations),
	};

	if (tls_rig_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, tls_rig_up, tls_rig_down);
}

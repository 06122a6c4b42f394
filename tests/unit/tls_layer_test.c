/* SPDX-License-Identifier: MIT
 *
 * The TLS layer against a client of wolfSSL's whose bytes this test carries: cut at every place,
 * and with every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/server.h"
#include "transports/tls/tls_lib.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { TURNS_MAX = 3000, BIG_N = 300000, OUT_MAX = 1 << 18 };

static struct stepped server;
static struct peer peer;
static tako_cert *cert;
static WOLFSSL_CTX *client_ctx;
static char big[BIG_N];

/* ---- A client without a socket ------------------------------------------------------------- */

struct client {
	WOLFSSL *ssl;
	size_t used;  /* of what the peer received */
	size_t sent;  /* bytes of ours so far */
	size_t cut;   /* send the byte at this place, and what follows, later */
	size_t out_n; /* waits in out */
	char out[OUT_MAX];
};

static struct client client;

static int client_recv(WOLFSSL *ssl, char *to, int n, void *arg)
{
	size_t step = peer.n - client.used;

	(void)ssl;
	(void)arg;
	step = step < (size_t)n ? step : (size_t)n;
	if (step == 0)
		return peer.closed ? WOLFSSL_CBIO_ERR_CONN_CLOSE : WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, peer.data + client.used, step);
	client.used += step;
	if (client.used == peer.n) {
		peer_drop(&peer, peer.n);
		client.used = 0;
	}
	return (int)step;
}

static int client_send(WOLFSSL *ssl, char *p, int n, void *arg)
{
	(void)ssl;
	(void)arg;
	if ((size_t)n > sizeof client.out - client.out_n)
		return WOLFSSL_CBIO_ERR_GENERAL;
	memcpy(client.out + client.out_n, p, (size_t)n);
	client.out_n += (size_t)n;
	return n;
}

/* Hand over what the client wrote; at the cut the server gets two turns to look at one half. */
static bool deliver(void)
{
	size_t at = 0;

	while (at < client.out_n) {
		size_t n = client.out_n - at;

		if (client.cut > client.sent && client.cut < client.sent + n)
			n = client.cut - client.sent;
		if (!peer_send(&peer, &server, client.out + at, n))
			return false;
		at += n;
		client.sent += n;
		for (int i = 0; i < 2 && client.sent == client.cut; i++)
			stepped_turn(&server, 0);
	}
	client.out_n = 0;
	return true;
}

/* Step until `what` has said something other than "wait"; its answer. */
static int drive(int (*what)(void *arg), void *arg)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		int rc = what(arg);
		int why = wolfSSL_get_error(client.ssl, rc);

		(void)tako__tls_lib_short();
		(void)deliver();
		if (rc > 0 || why != WOLFSSL_ERROR_WANT_READ)
			return rc;
		stepped_turn(&server, peer.n > client.used ? 0 : 1);
		peer_read(&peer);
	}
	return -1;
}

static int do_connect(void *arg)
{
	(void)arg;
	return wolfSSL_connect(client.ssl);
}

struct span {
	char *p;
	size_t n;
};

static int do_read(void *arg)
{
	struct span *s = arg;

	return wolfSSL_read(client.ssl, s->p, (int)s->n);
}

static bool client_open(size_t cut)
{
	memset(&client, 0, sizeof client);
	client.cut = cut;
	peer_open(&peer, &server);
	client.ssl = wolfSSL_new(client_ctx);
	return peer.fd >= 0 && client.ssl;
}

static void client_close(void)
{
	wolfSSL_free(client.ssl);
	client.ssl = NULL;
	peer_close(&peer);
}

/* What comes until it ends or `n` are there. */
static size_t receive(char *to, size_t n)
{
	size_t got = 0;

	while (got < n) {
		struct span s = {to + got, n - got};
		int rc = drive(do_read, &s);

		if (rc <= 0)
			break;
		got += (size_t)rc;
	}
	return got;
}

static bool ask(const char *text)
{
	return wolfSSL_write(client.ssl, text, (int)strlen(text)) == (int)strlen(text);
}

/* ---- The server --------------------------------------------------------------------------------- */

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	int rc = tako_req_conn_info(req, &info);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%s %s", info.tls ? info.tls : "-",
	                     info.server_name ? info.server_name : "-");
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_send_ref(res, 200, NULL, (tako_str){big, sizeof big}, NULL, NULL);
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	(void)req;
	(void)arg;
	if (rc < 0)
		return (int)rc;
	return end ? tako_res_end(res) : 0;
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

/* Holds its body back until the end of the connection has long arrived. */
static int paused(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, echo_body, arg);

	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 100, resume, req);
}

static int prepare(void **out, const struct tako_server *srv, const tako_listen_config *cfg)
{
	tako_listen_config c = *cfg;

	c.cert = cert;
	return tako_tls()->prepare(out, srv, &c);
}

static struct tako_transport transport;

static int start(void)
{
	tako_router *r = tako_router_new();
	int rc;

	transport = *tako_tls();
	transport.prepare = prepare;
	tako_get(r, "/", hello, NULL);
	tako_get(r, "/big", lent, NULL);
	tako_post(r, "/paused", paused, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), &transport);
	tako_router_free(r);
	return rc;
}

#define HEAD(path) "GET " path " HTTP/1.1\r\nHost: a\r\n"
#define GET(path) HEAD(path) "\r\n"
#define LAST(path) HEAD(path) "Connection: close\r\n\r\n"

/* ---- Tests -------------------------------------------------------------------------------------------- */

/* A whole conversation; false when the server gave up, as it may without memory. */
static bool converse(size_t cut, char *answer, size_t room)
{
	bool ok = client_open(cut) && drive(do_connect, NULL) == WOLFSSL_SUCCESS && ask(LAST("/"));
	size_t n = ok ? receive(answer, room - 1) : 0;

	answer[n] = '\0';
	client_close();
	return ok && n > 0;
}

static void test_cut_everywhere(void **state)
{
	char answer[1024];
	size_t total;

	(void)state;
	assert_int_equal(start(), 0);
	assert_true(converse(0, answer, sizeof answer));
	total = client.sent;
	assert_in_range(total, 200, 1000);
	for (size_t cut = 1; cut < total; cut++) {
		assert_true(converse(cut, answer, sizeof answer));
		assert_non_null(strstr(answer, "200 OK"));
		assert_non_null(strstr(answer, "TLSv1.3 -"));
	}
	assert_int_equal(stepped_stop(&server), 0);
}

/* More than may be in flight at once, to a client that reads nothing at first. */
static void test_more_than_a_flight(void **state)
{
	char *answer = malloc(BIG_N + 4096);
	size_t n;

	(void)state;
	assert_non_null(answer);
	assert_int_equal(start(), 0);
	assert_true(client_open(0));
	assert_int_equal(drive(do_connect, NULL), WOLFSSL_SUCCESS);
	for (int i = 0; i < 3; i++)
		assert_true(ask(i < 2 ? GET("/big") : LAST("/big")));
	assert_true(deliver());
	for (int i = 0; i < 50; i++)
		stepped_turn(&server, 1);
	for (int i = 0; i < 3; i++) {
		char *body = NULL;

		for (n = 0; !body || n < (size_t)(body - answer) + BIG_N; n++) {
			assert_int_equal(receive(answer + n, 1), 1);
			answer[n + 1] = '\0';
			if (!body && n > 3 && memcmp(answer + n - 3, "\r\n\r\n", 4) == 0)
				body = answer + n + 1;
		}
		assert_memory_equal(body, big, BIG_N);
	}
	assert_int_equal(receive(answer, 1), 0);
	/* The end was told. */
	assert_int_equal(wolfSSL_get_shutdown(client.ssl) & WOLFSSL_RECEIVED_SHUTDOWN,
	                 WOLFSSL_RECEIVED_SHUTDOWN);
	client_close();
	assert_int_equal(stepped_stop(&server), 0);
	free(answer);
}

/* The end of the input stands in the same delivery as what makes the protocol pause: it waits until
 * what is kept of the body has gone up.  In the second round everything comes in pieces. */
static void test_end_behind_a_pause(void **state)
{
	static const char head[] =
		"POST /paused HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
	static char answer[BIG_N];

	(void)state;
	assert_int_equal(start(), 0);
	for (int round = 0; round < 2; round++) {
		size_t n = 100000;

		assert_true(client_open(0));
		assert_int_equal(drive(do_connect, NULL), WOLFSSL_SUCCESS);
		assert_true(ask(head));
		for (size_t at = 0; at < n; at += 10000) {
			assert_int_equal(wolfSSL_write(client.ssl, big + at, 10000), 10000);
			if (!round && at != 50000)
				continue;
			assert_true(deliver());
			for (int i = 0; i < 5; i++)
				stepped_turn(&server, 0);
		}
		(void)wolfSSL_shutdown(client.ssl);
		assert_true(deliver());
		n = receive(answer, sizeof answer - 1);
		answer[n] = '\0';
		assert_non_null(strstr(answer, "200 OK"));
		assert_true(n > 100000);
		/* And then the end is taken for one. */
		assert_true(wolfSSL_get_shutdown(client.ssl) & WOLFSSL_RECEIVED_SHUTDOWN);
		client_close();
	}
	assert_int_equal(stepped_stop(&server), 0);
}

/* Whatever fails: no crash, nothing left, and the client sees an answer or the end. */
static void test_allocations(void **state)
{
	static char answer[1024];
	size_t before = failalloc_live();
	size_t answered = 0;
	size_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		int rc;
		bool ok;

		failalloc_arm(nth);
		rc = start();
		ok = rc == 0 && converse(0, answer, sizeof answer);
		if (rc == 0)
			stepped_stop(&server);
		answered += ok;
		/* The client is wolfSSL too, and nobody asks it. */
		(void)tako__tls_lib_short();
		if (!failalloc_disarm()) {
			assert_true(ok);
			break;
		}
		assert_true(rc == 0 || rc == TAKO_ENOMEM || rc == TAKO_ETLS);
		if (failalloc_live() != before || failalloc_wrong())
			fail_msg("allocation %zu: %zu blocks, not %zu", nth, failalloc_live(),
			         before);
	}
	/* wolfSSL alone makes hundreds, and some failures are survived. */
	assert_true(nth > 200);
	assert_true(answered > 1);
}

/* ---- Set-up ------------------------------------------------------------------------------------------ */

static char dir[] = "/tmp/tako-tls-XXXXXX";

static int set_up(void **state)
{
	static const char *const names[] = {"localhost", NULL};
	char cert_file[64];
	char key_file[64];

	(void)state;
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 7 + i / 256);
	assert_non_null(mkdtemp(dir));
	snprintf(cert_file, sizeof cert_file, "%s/c", dir);
	snprintf(key_file, sizeof key_file, "%s/k", dir);
	assert_int_equal(tako_cert_self_signed(cert_file, key_file, names, 1), 0);
	assert_int_equal(tako_cert_new(&cert, TAKO_CERT_CONFIG(.cert_file = cert_file,
	                                                       .key_file = key_file)),
	                 0);
	unlink(cert_file);
	unlink(key_file);
	rmdir(dir);
	client_ctx = wolfSSL_CTX_new(wolfTLS_client_method());
	assert_non_null(client_ctx);
	wolfSSL_CTX_set_verify(client_ctx, WOLFSSL_VERIFY_NONE, NULL);
	wolfSSL_CTX_SetIORecv(client_ctx, client_recv);
	wolfSSL_CTX_SetIOSend(client_ctx, client_send);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	wolfSSL_CTX_free(client_ctx);
	tako_cert_free(cert);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_more_than_a_flight),
		cmocka_unit_test(test_end_behind_a_pause),
		cmocka_unit_test(test_allocations),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

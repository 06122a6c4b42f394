/* SPDX-License-Identifier: MIT
 *
 * Connections that begin with a PROXY header, on the test's own thread: in two pieces cut anywhere, and
 * with every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tako/tako.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11"
			     "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb"
			     "\x01\0\x02h2"
			     "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

enum { HEADER_BYTES = sizeof(header) - 1 };

static int who(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info i = {.size = sizeof(i)};
	tako_proxy_info p = {.size = sizeof(p)};
	int rc = tako_req_conn_info(req, &i);

	(void)arg;
	if (rc == 0)
		rc = tako_req_proxy_info(req, &p);
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%s %s %.*s", i.peer, p.destination, TAKO_FMT(p.alpn));
}

/* 0, or the error of what failed; nothing is left then. */
static int start(struct stepped *s, uint32_t mode)
{
	tako_router *r = tako_router_new();
	char addr[64];
	int rc;

	memset(s, 0, sizeof(*s));
	tako_get(r, "/", who, NULL);
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(
			s->srv, tako_http1(), "127.0.0.1:0",
			TAKO_LISTEN_CONFIG(.proxy_protocol = mode, .proxy_trusted = "127.0.0.0/8"));
	if (rc == 0)
		rc = tako_server_fd(s->srv);
	if (rc < 0) {
		tako_server_free(s->srv);
		return rc;
	}
	tako_server_local_addr(s->srv, 0, addr, sizeof(addr));
	s->port = (uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10);
	return 0;
}

/* Whether the answer is the whole of what was to come.  `cut` 0: in one piece. */
static bool exchange(struct stepped *s, struct peer *p, size_t cut)
{
	struct reply r;
	bool whole;

	peer_open(p, s);
	if (cut && peer_send(p, s, header, cut)) {
		for (int i = 0; i < 3; i++)
			stepped_turn(s, 1);
	}
	peer_send(p, s, header + cut, HEADER_BYTES - cut);
	whole = peer_reply(p, s, &r, false, 2000) && r.status == 200;
	if (whole)
		whole = strcmp(r.body, "192.0.2.1:4660 198.51.100.2:443 h2") == 0;
	peer_close(p);
	return whole;
}

static void test_cut_anywhere(void **state)
{
	static struct peer p;
	struct stepped s;

	(void)state;
	for (uint32_t mode = TAKO_PROXY_REQUIRED; mode <= TAKO_PROXY_OPTIONAL; mode++) {
		assert_int_equal(start(&s, mode), 0);
		for (size_t cut = 0; cut < HEADER_BYTES; cut++)
			assert_true(exchange(&s, &p, cut));
		stepped_stop(&s);
	}
	assert_int_equal(failalloc_live(), 0);
}

static void test_no_memory(void **state)
{
	static struct peer p;
	struct stepped s;

	(void)state;
	for (size_t n = 1;; n++) {
		bool whole = false;
		int rc;

		failalloc_arm(n);
		rc = start(&s, TAKO_PROXY_REQUIRED);
		if (rc == 0) {
			whole = exchange(&s, &p, 20);
			stepped_stop(&s);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_true(whole);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Datagrams that are not sent from a worker's thread: here by the test, whose own steps are the worker, so
 * that what is on its way to it stays there until the next one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tako/tako.h>
#include <unistd.h>

#include "core/server.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WEIGHT = 64 /* of a datagram, beside its bytes */ };

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)u, (void)in, (void)arg;
}

/* Who hears what is sent. */
static struct sockaddr_in peer;
static int peer_fd = -1;

static void open_peer(void)
{
	socklen_t n = sizeof peer;

	peer = (struct sockaddr_in){.sin_family = AF_INET};
	peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer_fd, (void *)&peer, sizeof peer), 0);
	assert_int_equal(getsockname(peer_fd, (void *)&peer, &n), 0);
}

/* 0, or the error of what failed; nothing is left then.  It listens, and does not run yet. */
static int prepare(struct stepped *s, const char *at, uint64_t queue_bytes)
{
	tako_router *r = tako_router_new();
	int rc;

	memset(s, 0, sizeof *s);
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(
			s->srv, tako_raw_udp(), at,
			TAKO_LISTEN_CONFIG(.udp = TAKO_UDP_CONFIG(.on_datagram = on_datagram,
		                                                  .send_queue_bytes =
		                                                          queue_bytes)));
	if (rc < 0)
		tako_server_free(s->srv);
	return rc;
}

static int start(struct stepped *s, const char *at, uint64_t queue_bytes)
{
	int rc = prepare(s, at, queue_bytes);

	if (rc < 0)
		return rc;
	rc = tako_server_fd(s->srv);
	if (rc < 0)
		tako_server_free(s->srv);
	return rc < 0 ? rc : 0;
}

static int post(const struct stepped *s, tako_str data, uint32_t segment_bytes)
{
	return tako_server_udp_send(s->srv, 0, (void *)&peer, sizeof peer, data, segment_bytes);
}

static tako_udp_stats figures(const struct stepped *s)
{
	tako_udp_stats f = {.size = sizeof f};

	assert_int_equal(tako_server_udp_stats(s->srv, 0, &f), 0);
	return f;
}

/* The next datagram, with the server stepped meanwhile, is that. */
static void hear(struct stepped *s, const char *text, size_t n)
{
	char buf[2048];
	ssize_t got = -1;

	for (int i = 0; i < 1000 && got < 0; i++) {
		stepped_turn(s, 1);
		got = recv(peer_fd, buf, sizeof buf, 0);
	}
	assert_int_equal(got, n);
	assert_memory_equal(buf, text, n);
}

static void test_sent(void **state)
{
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(start(&s, "127.0.0.1:0", 0), 0);
	assert_int_equal(post(&s, TAKO_STR("one"), 0), 0);
	assert_int_equal(post(&s, TAKO_STR(""), 0), 0);
	assert_int_equal(post(&s, TAKO_STR("twothree!"), 3), 0);
	hear(&s, "one", 3);
	hear(&s, "", 0);
	hear(&s, "two", 3);
	hear(&s, "thr", 3);
	hear(&s, "ee!", 3);
	assert_int_equal(figures(&s).sent, 5);
	assert_int_equal(figures(&s).dropped, 0);
	stepped_stop(&s);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
}

/* A listener on every address speaks IPv6, and is asked for IPv4. */
static void test_another_form(void **state)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(start(&s, ":0", 0), 0);
	assert_int_equal(post(&s, TAKO_STR("one"), 0), 0);
	hear(&s, "one", 3);
	stepped_stop(&s);
	assert_int_equal(start(&s, "127.0.0.1:0", 0), 0);
	assert_int_equal(tako_server_udp_send(s.srv, 0, (void *)&in6, sizeof in6, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	/* Nobody waits for what was refused. */
	assert_int_equal(stepped_stop(&s), 0);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
}

static void test_a_bound(void **state)
{
	static char bytes[4096 - WEIGHT];
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(start(&s, "127.0.0.1:0", 4096), 0);
	assert_int_equal(post(&s, (tako_str){bytes, sizeof bytes + 1}, 0), TAKO_EBUSY);
	assert_int_equal(figures(&s).dropped, 1);
	assert_int_equal(post(&s, (tako_str){bytes, 1000}, 0), 0);
	assert_int_equal(post(&s, (tako_str){bytes, sizeof bytes}, 0), TAKO_EBUSY);
	/* As datagrams of one byte it is more. */
	assert_int_equal(post(&s, (tako_str){bytes, 100}, 1), TAKO_EBUSY);
	assert_int_equal(figures(&s).dropped, 102);
	hear(&s, bytes, 1000);
	/* There is room again. */
	assert_int_equal(post(&s, (tako_str){bytes, 1000}, 0), 0);
	hear(&s, bytes, 1000);
	assert_int_equal(post(&s, (tako_str){bytes, 70000}, 0), TAKO_ETOOBIG);
	assert_int_equal(figures(&s).dropped, 102);
	assert_int_equal(figures(&s).sent, 2);
	stepped_stop(&s);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
}

static void test_refused(void **state)
{
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(prepare(&s, "127.0.0.1:0", 0), 0);
	assert_int_equal(post(&s, TAKO_STR("x"), 0), TAKO_ESTATE);
	assert_int_equal(tako_server_listen(s.srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_true(tako_server_fd(s.srv) >= 0);
	for (size_t i = 1; i <= 2; i++)
		assert_int_equal(tako_server_udp_send(s.srv, i, (void *)&peer, sizeof peer,
		                                      TAKO_STR("x"), 0),
		                 TAKO_ENOENT);
	assert_int_equal(
		tako_server_udp_send(NULL, 0, (void *)&peer, sizeof peer, TAKO_STR("x"), 0),
		TAKO_ENOENT);
	assert_int_equal(tako_server_udp_send(s.srv, 0, (void *)&peer, 3, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	assert_int_equal(tako_server_udp_send(s.srv, 0, NULL, sizeof peer, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	tako_server_stop(s.srv);
	for (int i = 0; i < 1000 && !s.over; i++)
		stepped_turn(&s, 1);
	assert_true(s.over);
	assert_int_equal(post(&s, TAKO_STR("x"), 0), TAKO_ESTATE);
	assert_int_equal(figures(&s).sent + figures(&s).dropped, 0);
	tako_server_free(s.srv);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
}

/* What comes when the socket is closed already is dropped, and counted. */
static void test_too_late(void **state)
{
	struct tako__listener *ls;
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(start(&s, "127.0.0.1:0", 4096), 0);
	ls = &s.srv->workers[0].listeners[0];
	for (int i = 0; i < 2; i++)
		ls->transport->dgram->stop(ls);
	assert_true(ls->sock.flags & TAKO_SOCK_CLOSING);
	assert_int_equal(post(&s, TAKO_STR("sixsix"), 3), 0);
	for (int i = 0; i < 1000 && !figures(&s).dropped; i++)
		stepped_turn(&s, 1);
	assert_int_equal(figures(&s).dropped, 2);
	/* … and gone. */
	for (int i = 0; i < 1000 && ls->open; i++)
		stepped_turn(&s, 1);
	assert_false(ls->open);
	assert_int_equal(post(&s, TAKO_STR("x"), 0), 0);
	for (int i = 0; i < 1000 && figures(&s).dropped < 3; i++)
		stepped_turn(&s, 1);
	assert_int_equal(figures(&s).dropped, 3);
	assert_int_equal(figures(&s).sent, 0);
	stepped_stop(&s);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
}

static void test_no_memory(void **state)
{
	struct stepped s;

	(void)state;
	open_peer();
	assert_int_equal(start(&s, "127.0.0.1:0", 4096), 0);
	failalloc_arm(1);
	assert_int_equal(post(&s, TAKO_STR("one"), 0), TAKO_ENOMEM);
	assert_true(failalloc_disarm());
	assert_int_equal(figures(&s).dropped, 1);
	/* Its room was given back. */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(post(&s, TAKO_STR("two"), 0), 0);
		hear(&s, "two", 3);
	}
	assert_int_equal(stepped_stop(&s), 0);
	close(peer_fd);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sent),     cmocka_unit_test(test_another_form),
		cmocka_unit_test(test_a_bound),  cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_late), cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Raw datagrams on the test's own thread: answers, what may be asked for when, the end, and every allocation
 * failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tako/tako.h>
#include <unistd.h>

#include "core/base.h"
#include "core/server.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

static struct {
	unsigned started;
	unsigned stopped;
	unsigned told;
	unsigned opened;
	unsigned closed;
	unsigned last_words; /* how many are sent when the server stops */
	struct sockaddr_in peer;
	unsigned ifindex;
	tako_udp *last;
} seen;

static void on_start(tako_udp *u, void *arg)
{
	(void)arg;
	seen.started++;
	seen.last = u;
}

static void on_datagram(tako_udp *u, const tako_udp_in *in, void *arg)
{
	(void)arg;
	seen.told++;
	seen.ifindex = in->ifindex;
	memcpy(&seen.peer, in->from, sizeof seen.peer);
	(void)tako_udp_reply(u, in, in->data, 0);
}

static void on_stop(tako_udp *u, void *arg)
{
	(void)arg;
	seen.stopped++;
	for (unsigned i = 0; i < seen.last_words; i++)
		tako_udp_send(u, (void *)&seen.peer, sizeof seen.peer, TAKO_STR("bye"), 0);
}

static int on_peer_open(tako_udp_peer *p, const tako_udp_in *in, void *arg)
{
	(void)arg;
	seen.opened++;
	memset(tako_udp_peer_user(p), 'x', 1000);
	return tako_udp_peer_udp(p) == seen.last && in->data.n == 5 ? 0 : TAKO_EINVAL;
}

static void on_peer_close(tako_udp_peer *p, int why, void *arg)
{
	(void)p, (void)why, (void)arg;
	seen.closed++;
}

static const tako_udp_config config = {.size = sizeof(config),
                                       .on_datagram = on_datagram,
                                       .on_start = on_start,
                                       .on_stop = on_stop};
static const tako_udp_config with_peers = {.size = sizeof(with_peers),
                                           .on_datagram = on_datagram,
                                           .on_start = on_start,
                                           .on_stop = on_stop,
                                           .on_peer_open = on_peer_open,
                                           .on_peer_close = on_peer_close,
                                           .max_peers = 1000,
                                           .peer_user_bytes = 1000};

/* Bound, and not started. */
static int prepare(struct stepped *s, const tako_udp_config *udp, const char *at)
{
	tako_router *r = tako_router_new();
	char addr[64];
	int rc;

	memset(s, 0, sizeof *s);
	memset(&seen, 0, sizeof seen);
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(s->srv, tako_raw_udp(), at, TAKO_LISTEN_CONFIG(.udp = udp));
	if (rc < 0) {
		tako_server_free(s->srv);
		return rc;
	}
	tako_server_local_addr(s->srv, 0, addr, sizeof addr);
	s->port = (uint16_t)strtoul(strrchr(addr, ':') + 1, NULL, 10);
	return 0;
}

/* 0, or the error of what failed; nothing is left then. */
static int start(struct stepped *s, const tako_udp_config *udp)
{
	int rc = prepare(s, udp, "127.0.0.1:0");

	if (rc < 0)
		return rc;
	rc = tako_server_fd(s->srv);
	if (rc < 0)
		tako_server_free(s->srv);
	return rc < 0 ? rc : 0;
}

static int client(const struct stepped *s)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(s->port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* How many of so many bytes came back, with the server stepped meanwhile. */
static unsigned hear(struct stepped *s, int fd, ssize_t n, unsigned wanted)
{
	char buf[2048];
	unsigned count = 0;

	for (int i = 0; i < 200 && count < wanted; i++) {
		stepped_turn(s, 5);
		while (recv(fd, buf, sizeof buf, 0) == n)
			count++;
	}
	return count;
}

static tako_udp_stats figures(const struct stepped *s)
{
	tako_udp_stats f = {.size = sizeof f};

	assert_int_equal(tako_server_udp_stats(s->srv, 0, &f), 0);
	return f;
}

enum { CLIENTS = 20 }; /* more than a new table has places for */

static tako_udp_stats ask(struct stepped *s, unsigned count)
{
	tako_udp_stats f;
	int fds[CLIENTS];

	/* Nobody's port is another's as long as he has it. */
	for (unsigned i = 0; i < count; i++) {
		fds[i] = client(s);
		assert_int_equal(send(fds[i], "hello", 5, 0), 5);
	}
	for (int i = 0; i < 200; i++) {
		stepped_turn(s, 1);
		f = figures(s);
		if (f.received + f.peers_refused == count)
			break;
	}
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	/* What there was no memory to answer is counted. */
	assert_int_equal(f.received + f.peers_refused, count);
	assert_int_equal(f.received, seen.told);
	assert_int_equal(f.received, f.sent + f.dropped + f.failed);
	return f;
}

/* Each allocation fails once; whatever happens, all is counted and nothing is left. */
static void fail_all(const tako_udp_config *udp, unsigned count)
{
	for (size_t n = 1;; n++) {
		tako_udp_stats f = {0};
		struct stepped s;
		int rc;

		failalloc_arm(n);
		rc = start(&s, udp);
		if (rc == 0) {
			f = ask(&s, count);
			stepped_stop(&s);
			assert_int_equal(seen.started, 1);
			assert_int_equal(seen.stopped, 1);
			assert_int_equal(seen.opened, seen.closed);
			assert_int_equal(seen.opened, f.peers_opened);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_int_equal(f.received, count);
			assert_int_equal(f.dropped, 0);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_wrong(), 0);
}

static void test_no_memory(void **state)
{
	(void)state;
	fail_all(&config, 5);
}

static void test_no_memory_for_peers(void **state)
{
	(void)state;
	fail_all(&with_peers, CLIENTS);
	assert_int_equal(seen.opened, CLIENTS);
}

/* What is said at the very end is heard; and then nothing more can be. */
static void test_last_words(void **state)
{
	struct stepped s;
	int fd;

	(void)state;
	assert_int_equal(start(&s, &config), 0);
	fd = client(&s);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(hear(&s, fd, 5, 1), 1);
	seen.last_words = 100;
	tako_server_stop(s.srv);
	assert_int_equal(hear(&s, fd, 3, 100), 100);
	assert_int_equal(seen.stopped, 1);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(stepped_stop(&s), 0);
	assert_int_equal(seen.told, 1);
	close(fd);
	assert_int_equal(failalloc_live(), 0);
}

/* What there was to answer is waited for once; at the end of the drain everybody is told, and what is sent then is
 * dropped. */
static void test_a_cut_drain(void **state)
{
	struct tako__listener *ls;
	struct stepped s;
	int fd;

	(void)state;
	assert_int_equal(start(&s, &config), 0);
	fd = client(&s);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(hear(&s, fd, 5, 1), 1);
	seen.last_words = 3;
	ls = &s.srv->workers[0].listeners[0];
	ls->transport->dgram->stop(ls);
	assert_int_equal(seen.stopped, 0);
	assert_false(ls->sock.flags & TAKO_SOCK_CLOSING);
	ls->transport->dgram->stop(ls);
	assert_int_equal(seen.stopped, 1);
	assert_int_equal(tako_udp_unsent(seen.last), 9);
	assert_true(ls->sock.flags & TAKO_SOCK_CLOSING);
	assert_int_equal(
		tako_udp_send(seen.last, (void *)&seen.peer, sizeof seen.peer, TAKO_STR("x"), 0),
		TAKO_ECLOSED);
	for (int i = 0; i < 200 && ls->open; i++)
		stepped_turn(&s, 1);
	assert_int_equal(figures(&s).dropped, 3);
	assert_int_equal(figures(&s).sent, 1);
	stepped_stop(&s);
	assert_int_equal(seen.stopped, 1);
	close(fd);
	assert_int_equal(failalloc_live(), 0);
}

/* From outside of its callbacks, on its thread: as from another listener's. */
static void test_from_elsewhere(void **state)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct stepped s;
	int fd;

	(void)state;
	assert_int_equal(start(&s, &config), 0);
	fd = client(&s);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_int_equal(hear(&s, fd, 5, 1), 1);
	assert_int_equal(
		tako_udp_send(seen.last, (void *)&seen.peer, sizeof seen.peer, TAKO_STR("one"), 0),
		3);
	assert_int_equal(tako_udp_send(seen.last, (void *)&seen.peer, sizeof seen.peer,
	                               TAKO_STR("twotwo"), 3),
	                 9);
	assert_int_equal(tako_udp_unsent(seen.last), 9);
	assert_int_equal(hear(&s, fd, 3, 3), 3);
	assert_int_equal(tako_udp_unsent(seen.last), 0);
	/* No addresses. */
	assert_int_equal(tako_udp_send(seen.last, NULL, 0, TAKO_STR("x"), 0), TAKO_EINVAL);
	assert_int_equal(tako_udp_send(seen.last, (void *)&seen.peer, 1, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	assert_int_equal(tako_udp_send(seen.last, (void *)&seen.peer, 200, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	assert_int_equal(tako_udp_send(seen.last, (void *)&in6, sizeof(struct sockaddr_in),
	                               TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	assert_int_equal(tako_udp_send(seen.last, (void *)&in6, sizeof in6, TAKO_STR("x"), 0),
	                 TAKO_EINVAL);
	assert_int_equal(figures(&s).sent, 4);
	close(fd);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* What comes while a server is made ready says as much as what comes later. */
static void check_early(const char *at)
{
	struct stepped s;
	int fd;

	assert_int_equal(prepare(&s, &config, at), 0);
	fd = client(&s);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	assert_true(tako_server_fd(s.srv) >= 0);
	assert_int_equal(hear(&s, fd, 5, 1), 1);
	assert_int_equal(seen.ifindex, if_nametoindex("lo"));
	close(fd);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

static void test_early(void **state)
{
	(void)state;
	check_early("0.0.0.0:0");
	check_early(":0");
}

/* Callers of other versions, and listeners that are none of UDP. */
static void test_sizes(void **state)
{
	struct {
		tako_udp_config udp;
		uint64_t more;
	} newer = {.udp = config};
	tako_udp_stats f = {.size = sizeof f};
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	assert_int_equal(tako_server_new(&srv, r, NULL), 0);
	tako_router_free(r);
	newer.udp.size = sizeof newer;
	assert_int_equal(tako_server_listen(srv, tako_raw_udp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.udp = &newer.udp)),
	                 0);
	newer.more = 1;
	assert_int_equal(tako_server_listen(srv, tako_raw_udp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.udp = &newer.udp)),
	                 TAKO_ENOTSUP);
	newer.udp.size = sizeof newer.udp;
	newer.udp.reserved = 1;
	assert_int_equal(tako_server_listen(srv, tako_raw_udp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.udp = &newer.udp)),
	                 TAKO_EINVAL);
	newer.udp.reserved = 0;
	newer.udp.size = sizeof(size_t);
	assert_int_equal(tako_server_listen(srv, tako_raw_udp(), "127.0.0.1:0",
	                                    TAKO_LISTEN_CONFIG(.udp = &newer.udp)),
	                 TAKO_EINVAL);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_int_equal(tako_server_udp_stats(srv, 0, &f), 0);
	assert_int_equal(tako_server_udp_stats(srv, 1, &f), TAKO_ENOENT);
	assert_int_equal(tako_server_udp_stats(srv, 2, &f), TAKO_ENOENT);
	f.size = 0;
	assert_int_equal(tako_server_udp_stats(srv, 0, &f), TAKO_EINVAL);
	tako_server_free(srv);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory),      cmocka_unit_test(test_no_memory_for_peers),
		cmocka_unit_test(test_last_words),     cmocka_unit_test(test_a_cut_drain),
		cmocka_unit_test(test_from_elsewhere), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_early),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Passing connections on: who is chosen, what is refused, and real servers whose kernel gives
 * every connection to the first worker.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/server.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WORKERS = 6, CONNECTIONS = 16 };

/* ---- Choosing ------------------------------------------------------------------------- */

static struct tako_loop clocks[TAKO__WORKERS_MAX];

/* Workers that count and do nothing. */
static void make(struct tako_server *srv, unsigned count)
{
	memset(srv, 0, sizeof *srv);
	srv->worker_count = count;
	srv->workers = calloc(count, sizeof *srv->workers);
	assert_non_null(srv->workers);
	for (unsigned i = 0; i < count; i++) {
		srv->workers[i].srv = srv;
		srv->workers[i].index = i;
		srv->workers[i].loop = &clocks[i];
		clocks[i].now_ns = 1000000000;
		tako__mailbox_init(&srv->workers[i].mailbox);
	}
}

static void load(struct tako__worker *w, uint64_t open, uint32_t arriving)
{
	tako__add(&w->stats.open, open - tako__read(&w->stats.open));
	atomic_store(&w->balance.arriving, arriving);
}

static void test_choose_between_two(void **state)
{
	static const struct {
		uint64_t ours;
		uint64_t theirs;
		uint32_t arriving; /* at theirs */
		bool passed;
	} cases[] = {
		{0, 0, 0, false},    {1, 0, 0, true},       {1, 0, 1, false},
		{1, 1, 0, false},    {2, 1, 0, true},       {8, 7, 0, true},
		{8, 8, 0, false},    {7, 8, 0, false},      {16, 15, 0, true},
		{17, 16, 0, false},  {18, 16, 0, true},     {18, 14, 2, true},
		{18, 14, 3, false},  {1000, 942, 0, false}, {1000, 941, 0, true},
		{1000, 0, 63, true},
	};
	struct tako_server srv;

	(void)state;
	make(&srv, 2);
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		load(&srv.workers[0], cases[i].ours, 0);
		load(&srv.workers[1], cases[i].theirs, cases[i].arriving);
		assert_ptr_equal(tako__balance_choose(&srv.workers[0]),
		                 cases[i].passed ? &srv.workers[1] : NULL);
		/* What is on its way to us is ours. */
		load(&srv.workers[0], 0, (uint32_t)cases[i].ours);
		assert_ptr_equal(tako__balance_choose(&srv.workers[0]),
		                 cases[i].passed ? &srv.workers[1] : NULL);
	}
	free(srv.workers);
}

/* While many connections end after their first request, little is passed on. */
static void test_choose_among_brief_ones(void **state)
{
	struct tako_server srv;
	struct tako__worker *w;

	(void)state;
	make(&srv, 2);
	w = &srv.workers[0];
	load(w, 16, 0);
	for (int i = 0; i < 1000; i++)
		tako__balance_count(w, 2);
	assert_non_null(tako__balance_choose(w));
	for (int i = 0; i < 50; i++) {
		assert_non_null(tako__balance_choose(w));
		tako__balance_count(w, i % 2 ? 1 : 0);
	}
	assert_null(tako__balance_choose(w));
	load(w, 17, 0);
	assert_non_null(tako__balance_choose(w));
	load(&srv.workers[1], 16, 0);
	load(w, 36, 0);
	assert_null(tako__balance_choose(w));
	load(w, 37, 0);
	assert_non_null(tako__balance_choose(w));
	load(&srv.workers[1], 0, 0);
	/* Still so in the next tenth of a second, and not in the one after. */
	load(w, 16, 0);
	clocks[0].now_ns += 150000000;
	tako__balance_count(w, 1);
	assert_null(tako__balance_choose(w));
	clocks[0].now_ns += 150000000;
	tako__balance_count(w, 1);
	assert_non_null(tako__balance_choose(w));
	/* Nor when nothing ends at all any more. */
	for (int i = 0; i < 50; i++)
		tako__balance_count(w, 1);
	assert_null(tako__balance_choose(w));
	clocks[0].now_ns += 200000000;
	assert_non_null(tako__balance_choose(w));
	free(srv.workers);
}

/* The better of the two it looks at; all others have their turn; never itself. */
static void test_choose_among_many(void **state)
{
	struct tako_server srv;

	(void)state;
	make(&srv, WORKERS);
	for (unsigned self = 0; self < WORKERS; self++) {
		unsigned chosen[WORKERS] = {0};

		for (unsigned i = 0; i < WORKERS; i++)
			load(&srv.workers[i], i == self ? 1 : 0, 0);
		for (unsigned i = 0; i < 2 * (WORKERS - 1); i++) {
			struct tako__worker *w = tako__balance_choose(&srv.workers[self]);

			assert_non_null(w);
			chosen[w->index]++;
		}
		assert_int_equal(chosen[self], 0);
		/* Two are looked at each time, and the first of equals is taken. */
		for (unsigned i = 0; i < WORKERS; i++)
			assert_true(i == self || chosen[i] >= 2);
	}
	/* One with room among full ones is found, and it is the better of its pair. */
	for (unsigned i = 0; i < WORKERS; i++)
		load(&srv.workers[i], 10, 0);
	load(&srv.workers[0], 20, 0);
	load(&srv.workers[3], 2, 0);
	for (unsigned i = 0, found = 0; i < WORKERS; i++) {
		struct tako__worker *w = tako__balance_choose(&srv.workers[0]);

		assert_non_null(w);
		found += w->index == 3;
		assert_true(i < WORKERS - 1 || found >= 2);
	}
	free(srv.workers);
}

/* ---- Passing --------------------------------------------------------------------------- */

static int open_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_what_is_not_passed(void **state)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct tako__listener ls[2] = {0};
	struct tako_server srv;
	int fd = open_fd();

	(void)state;
	make(&srv, 2);
	for (unsigned i = 0; i < 2; i++) {
		ls[i].worker = &srv.workers[i];
		srv.workers[i].listeners = &ls[i];
	}
	load(&srv.workers[0], 1000, 0);
#define PASS() tako__balance_pass(&ls[0], fd, (struct sockaddr *)&from, sizeof from)
	srv.worker_count = 1;
	assert_false(PASS());
	srv.worker_count = 2;
	srv.cfg.accept_balance = TAKO_OFF;
	assert_false(PASS());
	srv.cfg.accept_balance = 0;
	/* No memory for the mail. */
	failalloc_arm(1);
	assert_false(PASS());
	assert_int_equal(failalloc_disarm(), 1);
	/* One that does not take what it has been given. */
	load(&srv.workers[1], 0, TAKO__ARRIVALS_MAX);
	assert_false(PASS());
	/* One that ends. */
	load(&srv.workers[1], 0, 0);
	tako__balance_end(&srv.workers[1]);
	assert_int_equal(tako__balance_arriving(&srv.workers[1]), 0);
	assert_false(PASS());
	assert_int_equal(tako__balance_arriving(&srv.workers[1]), 0);
	assert_int_equal(tako__read(&srv.workers[0].stats.moved), 0);
	assert_false(tako__mailbox_drain(&srv.workers[1].mailbox));
	assert_int_equal(failalloc_live(), 0);
	assert_true(is_open(fd));
	close(fd);
	free(srv.workers);
}

/* On its way when the second stop came: closed, and its place is free again. */
static void test_arrives_too_late(void **state)
{
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct tako__listener ls[2] = {0};
	struct tako_server srv;
	int fds[3];

	(void)state;
	make(&srv, 2);
	for (unsigned i = 0; i < 2; i++) {
		ls[i].worker = &srv.workers[i];
		srv.workers[i].listeners = &ls[i];
	}
	load(&srv.workers[0], 10, 0);
	atomic_store(&srv.conn_count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		fds[i] = open_fd();
		assert_true(
			tako__balance_pass(&ls[0], fds[i], (struct sockaddr *)&from, sizeof from));
		assert_int_equal(tako__balance_arriving(&srv.workers[1]), i + 1);
	}
	assert_int_equal(tako__read(&srv.workers[0].stats.moved), 3);
	/* Known to come, though nobody else may be sent any more. */
	tako__balance_end(&srv.workers[1]);
	assert_int_equal(tako__balance_arriving(&srv.workers[1]), 3);
	srv.workers[1].cut = true;
	assert_false(tako__mailbox_drain(&srv.workers[1].mailbox));
	assert_int_equal(tako__balance_arriving(&srv.workers[1]), 0);
	assert_int_equal(atomic_load(&srv.conn_count), 0);
	for (int i = 0; i < 3; i++)
		assert_false(is_open(fds[i]));
	assert_int_equal(failalloc_live(), 0);
	free(srv.workers);
}

/* ---- Servers whose first worker gets it all --------------------------------------------- */

static atomic_int threads_seen;

static int who(tako_req *req, tako_res *res, void *arg)
{
	static _Thread_local int me;

	(void)req;
	(void)arg;
	if (!me)
		me = 1 + atomic_fetch_add(&threads_seen, 1);
	return tako_res_text(res, 200, "%c", 'a' + me - 1);
}

static tako_server *serve(uint32_t accept_balance, struct sockaddr_in *at)
{
	struct sock_filter first[] = {{.code = BPF_RET | BPF_K, .k = 0}};
	struct sock_fprog program = {.len = 1, .filter = first};
	tako_router *r = tako_router_new();
	socklen_t n = sizeof *at;
	tako_server *srv = NULL;
	int fd;

	atomic_store(&threads_seen, 0);
	tako_get(r, "/who", who, NULL);
	assert_int_equal(tako_server_new(&srv, r,
	                                 TAKO_SERVER_CONFIG(.worker_count = 2,
	                                                    .accept_balance = accept_balance)),
	                 0);
	tako_router_free(r);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	fd = srv->addresses[0]->fds[0];
	assert_int_equal(getsockname(fd, (struct sockaddr *)at, &n), 0);
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program), 0);
	assert_int_equal(tako_server_start(srv), 0);
	return srv;
}

static int dial(const struct sockaddr_in *at)
{
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
	return fd;
}

static void ask(int fd)
{
	static const char text[] = "GET /who HTTP/1.1\r\nHost: t\r\n\r\n";

	assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
}

/* The last byte of the answer, or 0 at the end. */
static char answer(int fd)
{
	char got[1024];
	ssize_t n = read(fd, got, sizeof got);

	if (n <= 0)
		return 0;
	assert_memory_equal(got, "HTTP/1.1 200 ", 13);
	return got[n - 1];
}

static void close_all(tako_server *srv, const int *fds)
{
	for (int i = 0; i < CONNECTIONS; i++)
		close(fds[i]);
	/* A second stop would cut. */
	if (atomic_load(&srv->stop_calls) == 0)
		tako_server_stop(srv);
	assert_int_equal(tako_server_wait(srv), 0);
	assert_int_equal(atomic_load(&srv->conn_count), 0);
	tako_server_free(srv);
	assert_int_equal(failalloc_live(), 0);
}

static void test_forced_skew(void **state)
{
	static const uint32_t settings[] = {0, TAKO_OFF};

	(void)state;
	for (int off = 0; off < 2; off++) {
		tako_stats stats = {.size = sizeof stats};
		unsigned count[2] = {0};
		struct sockaddr_in at;
		tako_server *srv = serve(settings[off], &at);
		int fds[CONNECTIONS];

		for (int i = 0; i < CONNECTIONS; i++) {
			char who_served;

			fds[i] = dial(&at);
			ask(fds[i]);
			who_served = answer(fds[i]);
			assert_in_range(who_served, 'a', 'b');
			count[who_served - 'a']++;
		}
		assert_int_equal(tako_server_stats(srv, &stats), 0);
		assert_int_equal(count[0], off ? CONNECTIONS : CONNECTIONS / 2);
		assert_int_equal(count[1], off ? 0 : CONNECTIONS / 2);
		assert_int_equal(stats.connections_moved, off ? 0 : CONNECTIONS / 2);
		assert_int_equal(stats.connections_accepted, CONNECTIONS);
		assert_int_equal(stats.connections_open, CONNECTIONS);
		close_all(srv, fds);
	}
}

/* Stopped while connections are on their way from one to the other: each is answered in full, or
 * closed before anything of it was read; nothing hangs and nothing is lost. */
static void test_stop_while_passing(void **state)
{
	unsigned answered = 0;

	(void)state;
	for (int round = 0; round < 60; round++) {
		struct sockaddr_in at;
		tako_server *srv = serve(0, &at);
		int fds[CONNECTIONS];

		for (int i = 0; i < CONNECTIONS; i++) {
			fds[i] = dial(&at);
			ask(fds[i]);
			if (i == round % CONNECTIONS)
				tako_server_stop(srv);
			if (i >= round % CONNECTIONS) {
				/* The rest could be refused, which says nothing. */
				for (int k = i + 1; k < CONNECTIONS; k++)
					fds[k] = open_fd();
				break;
			}
		}
		for (int i = 0; i <= round % CONNECTIONS; i++)
			answered += answer(fds[i]) != 0;
		close_all(srv, fds);
	}
	/* All of them had connected while it listened. */
	assert_int_equal(answered, 3 * (CONNECTIONS * (CONNECTIONS + 1) / 2) + 12 * 13 / 2);
}

/* ---- One worker, stepped ------------------------------------------------------------------ */

/* Whoever announced a connection is about to send it, however long that takes: until then its
 * receiver does not end.  And nobody announces one to a worker that drains. */
static void test_end_waits_for_what_is_announced(void **state)
{
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;
	struct tako__balance *b;

	(void)state;
	tako_get(r, "/who", who, NULL);
	assert_int_equal(tako_server_new(&srv, r, TAKO_SERVER_CONFIG(.worker_count = 1)), 0);
	tako_router_free(r);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_true(tako_server_fd(srv) >= 0);
	b = &srv->workers[0].balance;
	atomic_store(&b->arriving, 1);
	tako_server_stop(srv);
	for (int i = 0; i < 30; i++)
		assert_int_equal(tako_server_step(srv, 0), 1);
	assert_int_equal(tako__balance_arriving(&srv->workers[0]), 1);
	assert_true(atomic_load(&b->arriving) > TAKO__ARRIVALS_MAX);
	atomic_fetch_sub(&b->arriving, 1);
	for (int i = 0; i < 30 && srv->stepping; i++)
		assert_in_range(tako_server_step(srv, 10), 0, 1);
	assert_false(srv->stepping);
	tako_server_free(srv);
	assert_int_equal(failalloc_live(), 0);
}

/* What ends after its first request is counted. */
static void test_brief_ones_are_counted(void **state)
{
	tako_router *r = tako_router_new();
	struct stepped s;
	struct reply reply;
	struct peer *p = calloc(1, sizeof *p);
	static const char text[] = "GET /who HTTP/1.1\r\nHost: t\r\n\r\n";

	(void)state;
	assert_non_null(p);
	tako_get(r, "/who", who, NULL);
	assert_int_equal(stepped_start(&s, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL), 0);
	tako_router_free(r);
	for (int requests = 0; requests < 4; requests++) {
		peer_open(p, &s);
		for (int i = 0; i < requests; i++) {
			assert_true(peer_send(p, &s, text, sizeof text - 1));
			assert_true(peer_reply(p, &s, &reply, false, 5000));
			peer_drop(p, reply.total_n);
		}
		stepped_turn(&s, 0);
		peer_close(p);
		for (int i = 0; i < 20 && s.srv->workers[0].conn_count; i++)
			stepped_turn(&s, 10);
		assert_int_equal(s.srv->workers[0].balance.brief, requests < 2 ? requests + 1 : 2);
	}
	assert_int_equal(stepped_stop(&s), 0);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose_between_two),
		cmocka_unit_test(test_choose_among_brief_ones),
		cmocka_unit_test(test_choose_among_many),
		cmocka_unit_test(test_what_is_not_passed),
		cmocka_unit_test(test_arrives_too_late),
		cmocka_unit_test(test_forced_skew),
		cmocka_unit_test(test_stop_while_passing),
		cmocka_unit_test(test_end_waits_for_what_is_announced),
		cmocka_unit_test(test_brief_ones_are_counted),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Connections that a worker makes, on both runtimes: what is told, when, and that whoever asks gets one of an
 * answer and silence, never neither or both.
 */
#include "unit/dial_rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const tako_runtime *runtime;

#define START(s, ...)                                                                              \
	assert_int_equal(                                                                          \
		dial_rig_start(s, TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = runtime,        \
	                                             .drain_timeout_ms = 2000, __VA_ARGS__)),      \
		0)

static void stop(struct stepped *s, int want)
{
	assert_int_equal(stepped_stop(s), want);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

/* ---- What is told ----------------------------------------------------------------------------- */

static void talk_to(struct place *p)
{
	struct stepped s;
	struct called c = {.done = 0};
	char got[8];
	int fd;

	START(&s, .max_connections = 0);
	assert_int_equal(dial_rig_call(&c, &s, &p->target, NULL), 0);
	dial_rig_await(&c, &s);
	assert_int_equal(c.done, 1);
	assert_int_equal(c.err, 0);
	assert_true(c.was_alone);
	assert_int_equal(dial_rig_stats(&s).outgoing_open, 1);
	assert_int_equal(dial_rig_stats(&s).connections_open, 0);
	fd = place_accept(p, &s);
	for (unsigned i = 0; i < 100 && recv(fd, got, 5, MSG_PEEK) < 5; i++)
		stepped_turn(&s, 1);
	assert_int_equal(recv(fd, got, sizeof got, 0), 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(send(fd, "hi there", 8, 0), 8);
	dial_rig_hear(&c, &s, 8);
	assert_memory_equal(c.got, "hi there", 8);
	close(fd);
	dial_rig_hear(&c, &s, 99);
	assert_int_equal(c.ends, 1);
	stepped_turn(&s, 1);
	stepped_turn(&s, 1);
	assert_int_equal(c.finis, 1);
	assert_int_equal(dial_rig_stats(&s).outgoing_open, 0);
	assert_int_equal(dial_rig_stats(&s).outgoing_connections, 1);
	assert_int_equal(dial_rig_stats(&s).sent_bytes, 5);
	assert_int_equal(dial_rig_stats(&s).received_bytes, 8);
	assert_int_equal(c.done, 1);
	close(p->fd);
	stop(&s, 0);
}

static void test_tcp(void **state)
{
	struct place p;

	(void)state;
	place_tcp(&p, 4);
	talk_to(&p);
}

static void test_unix(void **state)
{
	struct place p;

	(void)state;
	place_unix(&p, 4);
	talk_to(&p);
}

static void test_refused(void **state)
{
	struct stepped s;
	struct place p[2];

	(void)state;
	START(&s, .max_connections = 0);
	place_tcp(&p[0], -1);
	place_unix(&p[1], -1);
	for (unsigned i = 0; i < 2; i++) {
		struct called c = {.done = 0};

		assert_int_equal(dial_rig_call(&c, &s, &p[i].target, NULL), 0);
		dial_rig_await(&c, &s);
		assert_int_equal(c.done, 1);
		assert_int_equal(c.err, TAKO_ESYS);
		assert_int_equal(c.sys_errno, ECONNREFUSED);
		assert_non_null(strstr(c.why, p[i].text));
		assert_non_null(strstr(c.why, "Connection refused"));
		close(p[i].fd);
	}
	assert_int_equal(dial_rig_stats(&s).outgoing_errors, 2);
	assert_int_equal(dial_rig_stats(&s).outgoing_connections, 0);
	stop(&s, 0);
}

/* A listener whose backlog is full: what comes is dropped. */
static void fill(struct place *p, struct stepped *s, struct called *c, unsigned count)
{
	place_tcp(p, 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(dial_rig_call(&c[i], s, &p->target, NULL), 0);
	for (unsigned i = 0; i < 20; i++)
		stepped_turn(s, 1);
	assert_int_equal(c[0].done, 1);
	assert_int_equal(c[0].err, 0);
}

static void test_no_answer(void **state)
{
	struct called c[4] = {{.done = 0}};
	struct called late = {.done = 0};
	struct stepped s;
	struct place p;

	(void)state;
	START(&s, .connect_timeout_ms = 20000);
	fill(&p, &s, c, 3);
	assert_int_equal(
		dial_rig_call(&late, &s, &p.target, &(struct tako__dial_options){.timeout_ms = 30}),
		0);
	dial_rig_await(&late, &s);
	assert_int_equal(late.err, TAKO_ETIMEDOUT);
	assert_int_equal(late.sys_errno, 0);
	assert_non_null(strstr(late.why, "no answer within 30 ms"));
	assert_int_equal(dial_rig_stats(&s).timeouts, 1);
	close(p.fd);
	/* What still waits is cut at the end, and is told. */
	assert_int_equal(c[2].done, 0);
	tako_server_stop(s.srv);
	stepped_turn(&s, 1);
	assert_int_equal(c[2].done, 0);
	tako_server_stop(s.srv);
	stepped_turn(&s, 1);
	assert_int_equal(c[2].done, 1);
	assert_int_equal(c[2].err, TAKO_ECLOSED);
	assert_int_equal(dial_rig_call(&late, &s, &p.target, NULL), TAKO_ECLOSED);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

static void test_cancelled(void **state)
{
	struct called c[3] = {{.done = 0}};
	struct called at_once = {.done = 0};
	struct stepped s;
	struct place p;

	(void)state;
	START(&s, .max_connections = 0);
	fill(&p, &s, c, 3);
	assert_int_equal(c[2].done, 0);
	tako__dial_cancel(c[2].dial);
	assert_int_equal(dial_rig_call(&at_once, &s, &p.target, NULL), 0);
	tako__dial_cancel(at_once.dial);
	for (unsigned i = 0; i < 20; i++)
		stepped_turn(&s, 1);
	assert_int_equal(c[2].done + at_once.done, 0);
	assert_int_equal(dial_rig_stats(&s).outgoing_errors, 0);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 2);
	if (!c[1].done)
		tako__dial_cancel(c[1].dial);
	close(p.fd);
	stop(&s, 0);
}

/* ---- What it is among others ---------------------------------------------------------------------- */

static void test_nobody_takes_it(void **state)
{
	struct called c = {.leave_it = true};
	struct stepped s;
	struct place p;
	struct pollfd closed = {.events = POLLIN};
	char byte;

	(void)state;
	START(&s, .max_connections = 0);
	place_tcp(&p, 4);
	assert_int_equal(dial_rig_call(&c, &s, &p.target, NULL), 0);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	closed.fd = place_accept(&p, &s);
	stepped_turn(&s, 1);
	assert_int_equal(poll(&closed, 1, 2000), 1);
	assert_int_equal(recv(closed.fd, &byte, 1, 0), 0);
	assert_int_equal(dial_rig_stats(&s).outgoing_open, 0);
	close(closed.fd);
	close(p.fd);
	stop(&s, 0);
}

static void test_no_room(void **state)
{
	struct called c[3] = {{.done = 0}};
	struct stepped s;
	struct place p;

	(void)state;
	START(&s, .max_outgoing_connections = 2);
	place_tcp(&p, 4);
	assert_int_equal(dial_rig_call(&c[0], &s, &p.target, NULL), 0);
	assert_int_equal(dial_rig_call(&c[1], &s, &p.target, NULL), 0);
	assert_int_equal(dial_rig_call(&c[2], &s, &p.target, NULL), TAKO_EBUSY);
	dial_rig_await(&c[0], &s);
	dial_rig_await(&c[1], &s);
	assert_int_equal(dial_rig_call(&c[2], &s, &p.target, NULL), TAKO_EBUSY);
	tako__conn_close(c[0].conn);
	for (unsigned i = 0; i < 10 && c[0].conn; i++)
		stepped_turn(&s, 1);
	assert_int_equal(dial_rig_call(&c[2], &s, &p.target, NULL), 0);
	dial_rig_await(&c[2], &s);
	assert_int_equal(c[2].err, 0);
	close(p.fd);
	stop(&s, 0);
	/* The end of the server tells their protocols to drain. */
	assert_int_equal(c[0].drains, 0);
	assert_int_equal(c[1].drains + c[2].drains, 2);
	assert_int_equal(c[0].finis + c[1].finis + c[2].finis, 3);
}

/* Whoever still answers may need one: it is told that it drains. */
static void test_while_draining(void **state)
{
	struct called first = {.done = 0};
	struct called late = {.done = 0};
	struct stepped s;
	struct place p;
	int fd;

	(void)state;
	START(&s, .max_connections = 0);
	place_tcp(&p, 4);
	assert_int_equal(dial_rig_call(&first, &s, &p.target, NULL), 0);
	tako_server_stop(s.srv);
	stepped_turn(&s, 0);
	assert_int_equal(dial_rig_call(&late, &s, &p.target, NULL), 0);
	fd = place_accept(&p, &s);
	dial_rig_await(&first, &s);
	dial_rig_await(&late, &s);
	assert_int_equal(first.err, 0);
	assert_int_equal(late.err, 0);
	assert_false(late.was_alone);
	tako__conn_finish(late.conn, false);
	close(fd);
	close(p.fd);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

static void test_refusals(void **state)
{
	struct called c = {.done = 0};
	struct stepped s;
	tako_runtime none;
	struct place p;

	(void)state;
	START(&s, .max_connections = 0);
	place_tcp(&p, 0);
	none = *dial_rig_worker(&s)->loop->rt;
	none.connect = NULL;
	dial_rig_worker(&s)->loop->rt = &none;
	assert_int_equal(dial_rig_call(&c, &s, &p.target, NULL), TAKO_ENOTSUP);
	dial_rig_worker(&s)->loop->rt = runtime;
	close(p.fd);
	stop(&s, 0);
	assert_int_equal(c.done, 0);
}

/* ---- Without memory --------------------------------------------------------------------------------- */

/* Everything, with the nth allocation failing: an answer comes all the same, and nothing is left. */
static void test_no_memory(void **state)
{
	struct stepped s;
	struct place p;

	(void)state;
	place_tcp(&p, 64);
	for (size_t n = 1;; n++) {
		struct called c = {.done = 0};
		int rc;

		failalloc_arm(n);
		rc = dial_rig_start(&s, TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = runtime,
		                                           .drain_timeout_ms = 1000));
		if (rc == 0) {
			rc = dial_rig_call(&c, &s, &p.target, NULL);
			if (rc == 0)
				dial_rig_await(&c, &s);
			assert_int_equal(c.done, rc == 0);
			stepped_stop(&s);
			assert_int_equal(c.finis, c.done && !c.err);
		}
		assert_true(rc == 0 || rc == TAKO_ENOMEM);
		if (!failalloc_disarm()) {
			assert_true(rc == 0 && c.err == 0);
			break;
		}
		assert_true(c.err == 0 || c.err == TAKO_ENOMEM);
		assert_int_equal(failalloc_live(), 0);
	}
	close(p.fd);
	assert_int_equal(failalloc_wrong(), 0);
}

static int run(const tako_runtime *rt)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),       cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),   cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_cancelled), cmocka_unit_test(test_nobody_takes_it),
		cmocka_unit_test(test_no_room),   cmocka_unit_test(test_while_draining),
		cmocka_unit_test(test_refusals),  cmocka_unit_test(test_no_memory),
	};
	char why[96];

	runtime = rt;
	return rt->probe(why, sizeof why) < 0 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	if (failalloc_install() < 0)
		return 1;
	return run(tako_runtime_epoll()) + run(tako_runtime_io_uring());
}

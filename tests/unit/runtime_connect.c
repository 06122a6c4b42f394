/* SPDX-License-Identifier: MIT
 *
 * What any runtime must do, see runtime_contract.h: connecting.  Nobody is waited for: what has no answer
 * is a listener whose backlog is full.
 */
#include "unit/runtime_contract.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "unit/runtime_rig.h"

enum { MANY = 32 };

struct place {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} sa;
	socklen_t n;
	int fd;
};

static void bind_tcp(struct place *p)
{
	*p = (struct place){.n = sizeof p->sa.in};
	p->sa.in.sin_family = AF_INET;
	p->sa.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, &p->sa.any, p->n), 0);
	assert_int_equal(getsockname(p->fd, &p->sa.any, &p->n), 0);
}

/* Without a file, and with a name that the kernel chooses. */
static void bind_unix(struct place *p)
{
	*p = (struct place){.n = sizeof p->sa.un};
	p->sa.un.sun_family = AF_UNIX;
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, &p->sa.any, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(p->fd, &p->sa.any, &p->n), 0);
}

static void listen_on(struct place *p, int backlog)
{
	assert_int_equal(listen(p->fd, backlog), 0);
}

/* The kernel's answer comes when it comes; bounded, and never slept for where it is there. */
static void await(const struct end *e)
{
	for (unsigned i = 0; i < RIG_FOR_EVER && !e->connects; i++)
		rig_turn_until(tako__clock_ns() + 1000000);
	assert_int_equal(e->connects, 1);
}

static void await_got(const struct end *e, const char *want)
{
	for (unsigned i = 0; i < RIG_FOR_EVER && e->n < strlen(want); i++)
		rig_turn_until(tako__clock_ns() + 1000000);
	assert_int_equal(e->n, strlen(want));
	assert_memory_equal(e->got, want, e->n);
}

static void check_talk(struct end *e)
{
	char got[16];

	rig_queue(e, 1, " and on", 7);
	rig_turn(2);
	assert_int_equal(recv(e->peer, got, 12, MSG_WAITALL), 12);
	assert_memory_equal(got, "early and on", 12);
	rig_say(e, "answer", 6);
	await_got(e, "answer");
	shutdown(e->peer, SHUT_WR);
	for (unsigned i = 0; i < RIG_FOR_EVER && !e->ends; i++)
		rig_turn_until(tako__clock_ns() + 1000000);
	assert_int_equal(e->end_res, 0);
	rig_check_ops(2, 2, 0);
}

/* What is queued at once leaves when it can. */
static void connect_and_talk(struct place *p)
{
	struct end e;

	listen_on(p, 4);
	rig_connect(&e, &p->sa.any, p->n);
	assert_int_equal(e.connects, 0);
	rig_queue(&e, 0, "early", 5);
	await(&e);
	assert_int_equal(e.connect_err, 0);
	e.peer = accept(p->fd, NULL, NULL);
	assert_true(e.peer >= 0);
	check_talk(&e);
	rig_finish(&e);
	close(p->fd);
}

static void test_connect(void **state)
{
	struct place p;

	(void)state;
	bind_tcp(&p);
	connect_and_talk(&p);
}

static void test_connect_unix(void **state)
{
	struct place p;

	(void)state;
	bind_unix(&p);
	connect_and_talk(&p);
}

static void check_refusal(struct place *p, int err)
{
	struct end e;

	rig_connect(&e, &p->sa.any, p->n);
	rig_queue(&e, 0, "in vain", 7);
	await(&e);
	assert_int_equal(e.connect_err, err);
	assert_int_equal(e.failed_before, 1);
	rig_check_ops(1, 0, TAKO_ECLOSED);
	/* Later ones fail as well, from a turn; and nothing is ever delivered. */
	rig.ops[0].done = 0;
	rig_queue(&e, 0, "late", 4);
	assert_int_equal(rig.ops[0].done, 0);
	rig_turn(4);
	assert_int_equal(rig.ops[0].done, 1);
	assert_int_equal(rig.ops[0].err, TAKO_ECLOSED);
	assert_int_equal(e.calls, 0);
	rig_finish(&e);
}

static void test_refused(void **state)
{
	struct place p;

	(void)state;
	bind_tcp(&p); /* and nobody listens */
	check_refusal(&p, ECONNREFUSED);
	close(p.fd);
}

static void test_refused_unix(void **state)
{
	struct place p;

	(void)state;
	bind_unix(&p);
	check_refusal(&p, ECONNREFUSED);
	close(p.fd);
}

static void test_full_unix(void **state)
{
	struct place p;
	struct end first;

	(void)state;
	bind_unix(&p);
	listen_on(&p, 0);
	rig_connect(&first, &p.sa.any, p.n);
	await(&first);
	assert_int_equal(first.connect_err, 0);
	check_refusal(&p, EAGAIN);
	rig_finish(&first);
	close(p.fd);
}

/* Nobody answers: the backlog is full, and what comes to it is dropped. */
static void fill(struct place *p, struct end *e, unsigned count)
{
	bind_tcp(p);
	listen_on(p, 0);
	for (unsigned i = 0; i < count; i++)
		rig_connect(&e[i], &p->sa.any, p->n);
	rig_turn(5);
}

static void test_close_cancels(void **state)
{
	struct place p;
	struct end e[4];
	unsigned waiting = 0;

	(void)state;
	fill(&p, e, 4);
	rig_queue(&e[3], 0, "never", 5);
	rig_turn(2);
	for (unsigned i = 0; i < 4; i++)
		waiting += !e[i].connects;
	assert_in_range(waiting, 1, 3);
	assert_int_equal(e[3].connects, 0);
	assert_int_equal(rig.completed, 0);
	/* A look at one that is not decided is not harmful. */
	RIG_CALL(rig.rt->resume(&e[3].s));
	RIG_CALL(rig.rt->reset(&e[3].s));
	rig_turn(3);
	assert_int_equal(e[3].closed, 1);
	assert_int_equal(e[3].connects, 0);
	rig_check_ops(1, 0, TAKO_ECLOSED);
	for (unsigned i = 0; i < 4; i++)
		rig_finish(&e[i]);
	close(p.fd);
}

static void test_close_before_it_is_told(void **state)
{
	struct place p;
	struct end e;

	(void)state;
	bind_unix(&p);
	listen_on(&p, 1);
	rig_connect(&e, &p.sa.any, p.n);
	rig_finish(&e);
	assert_int_equal(e.connects, 0);
	close(p.fd);
}

static void test_close_when_told(void **state)
{
	struct place p;
	struct end e;

	(void)state;
	bind_tcp(&p);
	listen_on(&p, 1);
	rig_connect(&e, &p.sa.any, p.n);
	e.close_next = true;
	await(&e);
	rig_turn(2);
	assert_int_equal(e.closed, 1);
	rig_finish(&e);
	close(p.fd);
}

static void test_paused(void **state)
{
	struct place p;
	struct end e;

	(void)state;
	bind_tcp(&p);
	listen_on(&p, 1);
	rig_connect(&e, &p.sa.any, p.n);
	e.s.flags |= TAKO_SOCK_PAUSED;
	await(&e);
	e.peer = accept(p.fd, NULL, NULL);
	rig_say(&e, "first", 5);
	rig_turn(4);
	assert_int_equal(e.calls, 0);
	RIG_CALL(rig.rt->resume(&e.s));
	await_got(&e, "first");
	rig_finish(&e);
	close(p.fd);
}

static void test_many(void **state)
{
	struct place p;
	struct end e[MANY];

	(void)state;
	bind_tcp(&p);
	listen_on(&p, MANY);
	for (unsigned i = 0; i < MANY; i++)
		rig_connect(&e[i], &p.sa.any, p.n);
	for (unsigned i = 0; i < MANY; i++) {
		await(&e[i]);
		assert_int_equal(e[i].connect_err, 0);
		rig_finish(&e[i]);
	}
	close(p.fd);
}

int runtime_contract_connect(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_connect),
		RIG_TEST(test_connect_unix),
		RIG_TEST(test_refused),
		RIG_TEST(test_refused_unix),
		RIG_TEST(test_full_unix),
		RIG_TEST(test_close_cancels),
		RIG_TEST(test_close_before_it_is_told),
		RIG_TEST(test_close_when_told),
		RIG_TEST(test_paused),
		RIG_TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

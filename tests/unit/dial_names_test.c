/* SPDX-License-Identifier: MIT
 *
 * Names and their addresses (RFC 8305), on both runtimes: which are tried, in which order and when, by a
 * resolver that answers when the test says so, and listeners on loopback.
 */
#include "unit/dial_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/resolve.h"

static const tako_runtime *runtime;

#define START(s, ...)                                                                              \
	assert_int_equal(                                                                          \
		dial_rig_start(s, TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = runtime,        \
	                                             .resolve_cache_ms = TAKO_OFF, __VA_ARGS__)),  \
		0)

/* ---- The resolver -------------------------------------------------------------------------------- */

static struct {
	struct tako__lookup *six;
	struct tako__lookup *four;
} asked;

static void on_begin(struct tako__lookup *l, const char *name, int family, void *arg)
{
	(void)arg;
	assert_string_equal(name, "server.test");
	if (family == AF_INET6)
		asked.six = l;
	else
		asked.four = l;
}

static const struct tako__resolver_hook hook = {.begin = on_begin};

static void answer6(const char *ip)
{
	struct tako__resolved r = {.count = 1};

	r.ips[0].in6.sin6_family = AF_INET6;
	assert_int_equal(inet_pton(AF_INET6, ip, &r.ips[0].in6.sin6_addr), 1);
	tako__lookup_answer(asked.six, &r);
}

static void answer4(const char *const *ips, unsigned n)
{
	struct tako__resolved r = {.count = n};

	for (unsigned i = 0; i < n; i++) {
		r.ips[i].in.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, ips[i], &r.ips[i].in.sin_addr), 1);
	}
	tako__lookup_answer(asked.four, &r);
}

static const char *const local[] = {"127.0.0.1"};

static void answer_none(struct tako__lookup *l, int err)
{
	tako__lookup_answer(l, &(struct tako__resolved){.err = err, .why = "not here"});
}

static int call(struct called *c, struct stepped *s, uint16_t port)
{
	struct tako__target t;

	memset(c, 0, sizeof *c);
	assert_int_equal(tako__target_host(&t, TAKO_STR("server.test"), port), 0);
	return dial_rig_call(c, s, &t, NULL);
}

static void stop(struct stepped *s)
{
	assert_int_equal(stepped_stop(s), 0);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

/* ---- Both families on one port --------------------------------------------------------------------- */

static void two_places(struct place *six, struct place *four, int backlog6, int backlog4)
{
	/* The kernel's choice for the one may be somebody's of the other. */
	for (int i = 0; i < 100; i++) {
		assert_true(place_tcp_at(six, "::1", 0, backlog6));
		if (place_tcp_at(four, "127.0.0.1", six->target.port, backlog4))
			return;
		close(six->fd);
	}
	fail_msg("no port that both have");
}

static int family_of(const struct called *c)
{
	return c->conn ? c->conn->peer.any.sa_family : -1;
}

static void close_both(struct place *six, struct place *four)
{
	close(six->fd);
	close(four->fd);
}

static void test_ip6_first(void **state)
{
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .resolve_delay_ms = 1000);
	two_places(&six, &four, 4, 4);
	assert_int_equal(call(&c, &s, six.target.port), 0);
	/* The others come first, and wait. */
	answer4(local, 1);
	for (unsigned i = 0; i < 5; i++)
		stepped_turn(&s, 1);
	assert_int_equal(c.done, 0);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 0);
	answer6("::1");
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	assert_int_equal(family_of(&c), AF_INET6);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 1);
	close_both(&six, &four);
	stop(&s);
}

static void test_not_for_ever(void **state)
{
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .resolve_delay_ms = 1);
	two_places(&six, &four, 4, 4);
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer4(local, 1);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	assert_int_equal(family_of(&c), AF_INET);
	/* Nobody hears of this one any more. */
	answer6("::1");
	for (unsigned i = 0; i < 5; i++)
		stepped_turn(&s, 1);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 1);
	close_both(&six, &four);
	stop(&s);
}

/* A refusal waits for nobody. */
static void test_next_at_once(void **state)
{
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;
	uint64_t began = tako__clock_ns();

	(void)state;
	START(&s, .connect_attempt_delay_ms = 2000, .resolve_delay_ms = TAKO_OFF);
	two_places(&six, &four, -1, 4);
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer6("::1");
	answer4(local, 1);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	assert_int_equal(family_of(&c), AF_INET);
	assert_true(tako__clock_ns() - began < UINT64_C(2000000000));
	close_both(&six, &four);
	stop(&s);
}

/* Who does not answer loses his head start, and the race. */
static void test_silence(void **state)
{
	struct sockaddr_storage to;
	socklen_t n = sizeof to;
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;
	int filler[3];

	(void)state;
	START(&s, .connect_attempt_delay_ms = 10);
	two_places(&six, &four, 0, 4);
	assert_int_equal(getsockname(six.fd, (struct sockaddr *)&to, &n), 0);
	for (unsigned i = 0; i < 3; i++) {
		filler[i] = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(filler[i], (struct sockaddr *)&to, n);
	}
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer6("::1");
	answer4(local, 1);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	assert_int_equal(family_of(&c), AF_INET);
	stepped_turn(&s, 1);
	stepped_turn(&s, 1);
	/* The loser is closed. */
	assert_int_equal(dial_rig_worker(&s)->conn_count, 1);
	for (unsigned i = 0; i < 3; i++)
		close(filler[i]);
	close_both(&six, &four);
	stop(&s);
}

static void test_one_family_only(void **state)
{
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .resolve_delay_ms = 1000);
	two_places(&six, &four, 4, 4);
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer4(local, 1);
	stepped_turn(&s, 1);
	answer_none(asked.six, TAKO_ENOENT);
	dial_rig_await(&c, &s);
	assert_int_equal(family_of(&c), AF_INET);
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer_none(asked.four, TAKO_ENOENT);
	for (unsigned i = 0; i < 5; i++)
		stepped_turn(&s, 1);
	assert_int_equal(c.done, 0);
	answer6("::1");
	dial_rig_await(&c, &s);
	assert_int_equal(family_of(&c), AF_INET6);
	close_both(&six, &four);
	stop(&s);
}

static void test_all_refuse(void **state)
{
	static const char *const many[] = {"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"};
	struct place six;
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .connect_attempt_delay_ms = 2000);
	assert_true(place_tcp_at(&six, "::1", 0, -1));
	assert_int_equal(call(&c, &s, six.target.port), 0);
	answer6("::1");
	answer4(many, 4);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, TAKO_ESYS);
	assert_int_equal(c.sys_errno, ECONNREFUSED);
	assert_non_null(strstr(c.why, "127.0.0.5:"));
	assert_non_null(strstr(c.why, "(server.test)"));
	close(six.fd);
	stop(&s);
}

static void test_unknown(void **state)
{
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .resolve_delay_ms = 1000);
	assert_int_equal(call(&c, &s, 80), 0);
	answer_none(asked.six, TAKO_ENOENT);
	answer_none(asked.four, TAKO_ENOENT);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, TAKO_ENOENT);
	assert_non_null(strstr(c.why, "server.test: not here"));
	/* Of two reasons the one that may pass is the one to be told. */
	assert_int_equal(call(&c, &s, 80), 0);
	answer_none(asked.four, TAKO_EBUSY);
	answer_none(asked.six, TAKO_ENOENT);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, TAKO_EBUSY);
	stop(&s);
}

static void test_slow_resolver(void **state)
{
	struct called c;
	struct called cancelled;
	struct stepped s;

	(void)state;
	START(&s, .connect_timeout_ms = 20);
	assert_int_equal(call(&cancelled, &s, 80), 0);
	tako__dial_cancel(cancelled.dial);
	assert_int_equal(call(&c, &s, 80), 0);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, TAKO_ETIMEDOUT);
	assert_non_null(strstr(c.why, "its name was not looked up within 20 ms"));
	answer6("::1");
	answer_none(asked.four, TAKO_ENOENT);
	stepped_turn(&s, 1);
	assert_int_equal(c.done, 1);
	assert_int_equal(cancelled.done, 0);
	assert_int_equal(dial_rig_worker(&s)->conn_count, 0);
	stop(&s);
}

static void test_localhost(void **state)
{
	struct place p;
	struct called c = {.done = 0};
	struct tako__target t;
	struct stepped s;

	(void)state;
	START(&s, .connect_attempt_delay_ms = 2000);
	place_tcp(&p, 4);
	assert_int_equal(tako__target_host(&t, TAKO_STR("localhost"), p.target.port), 0);
	assert_int_equal(dial_rig_call(&c, &s, &t, NULL), 0);
	dial_rig_await(&c, &s);
	assert_int_equal(c.err, 0);
	assert_int_equal(family_of(&c), AF_INET);
	close(p.fd);
	stop(&s);
}

static void test_no_memory(void **state)
{
	struct place six;
	struct place four;
	struct called c;
	struct stepped s;

	(void)state;
	START(&s, .resolve_delay_ms = TAKO_OFF);
	two_places(&six, &four, 64, 64);
	for (size_t n = 1;; n++) {
		memset(&asked, 0, sizeof asked);
		failalloc_arm(n);
		if (call(&c, &s, six.target.port) == 0) {
			if (asked.six)
				answer6("::1");
			if (asked.four)
				answer4(local, 1);
			dial_rig_await(&c, &s);
			assert_int_equal(c.done, 1);
			if (c.conn)
				tako__conn_close(c.conn);
			stepped_turn(&s, 0);
			stepped_turn(&s, 0);
		}
		if (!failalloc_disarm())
			break;
		assert_true(c.err == 0 || c.err == TAKO_ENOMEM);
	}
	assert_int_equal(c.err, 0);
	close_both(&six, &four);
	stop(&s);
}

static int run(const tako_runtime *rt)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip6_first),       cmocka_unit_test(test_not_for_ever),
		cmocka_unit_test(test_next_at_once),    cmocka_unit_test(test_silence),
		cmocka_unit_test(test_one_family_only), cmocka_unit_test(test_all_refuse),
		cmocka_unit_test(test_unknown),         cmocka_unit_test(test_slow_resolver),
		cmocka_unit_test(test_localhost),       cmocka_unit_test(test_no_memory),
	};
	char why[96];

	runtime = rt;
	return rt->probe(why, sizeof why) < 0 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
}

/* A machine without IPv6 has nothing of this to show. */
static bool has_ip6(void)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

int main(void)
{
	if (failalloc_install() < 0)
		return 1;
	if (!has_ip6()) {
		print_message("[  SKIPPED ] this machine has no IPv6\n");
		return 0;
	}
	tako__resolver_hook = &hook;
	return run(tako_runtime_epoll()) + run(tako_runtime_io_uring());
}

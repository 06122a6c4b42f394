/* SPDX-License-Identifier: MIT
 *
 * Accepting by call: its share of a turn, pauses, which failures pause it, and the rest of a backlog.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/accept.h"

enum { BUDGET = 64, MANY = BUDGET + 10 };

static struct {
	struct tako_sock ls;
	struct sockaddr_in at;
	int clients[MANY];
	unsigned accepted;
	unsigned pause_after; /* that many */
	int errors[4];
	unsigned error_count;
} t;

/* ---- A kernel that fails first ------------------------------------------------------- */

static int faults[4];
static unsigned fault_count;

int accept4(int fd, __SOCKADDR_ARG from, socklen_t *restrict n, int flags)
{
	if (fault_count) {
		errno = faults[--fault_count];
		return -1;
	}
	return (int)syscall(SYS_accept4, fd, from.__sockaddr__, n, flags);
}

static void on_accept(struct tako_sock *ls, int fd, const struct sockaddr *from, socklen_t n)
{
	assert_ptr_equal(ls, &t.ls);
	assert_int_equal(n, sizeof(struct sockaddr_in));
	assert_int_equal(from->sa_family, AF_INET);
	assert_int_equal(close(fd), 0);
	if (++t.accepted == t.pause_after)
		ls->flags |= TAKO_SOCK_PAUSED;
}

static void on_accept_error(struct tako_sock *ls, int errno_value)
{
	assert_true(ls->flags & TAKO_SOCK_PAUSED);
	t.errors[t.error_count++] = errno_value;
}

static const struct tako_sock_cb callbacks = {
	.on_accept = on_accept,
	.on_accept_error = on_accept_error,
};

static int set_up(void **state)
{
	socklen_t n = sizeof t.at;

	(void)state;
	memset(&t, 0, sizeof t);
	fault_count = 0;
	t.ls.cb = &callbacks;
	t.ls.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	t.at = (struct sockaddr_in){.sin_family = AF_INET};
	t.at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return bind(t.ls.fd, (struct sockaddr *)&t.at, n) < 0 || listen(t.ls.fd, MANY) < 0 ||
	       getsockname(t.ls.fd, (struct sockaddr *)&t.at, &n) < 0;
}

static void come(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		t.clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(t.clients[i], (struct sockaddr *)&t.at, sizeof t.at), 0);
	}
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < MANY && t.clients[i]; i++)
		close(t.clients[i]);
	return close(t.ls.fd);
}

static void test_share_of_a_turn(void **state)
{
	(void)state;
	come(MANY);
	assert_true(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, BUDGET);
	assert_false(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, MANY);
	assert_false(tako__accept_some(&t.ls));
	assert_int_equal(t.error_count, 0);
}

static void test_pause(void **state)
{
	(void)state;
	come(5);
	t.pause_after = 2;
	assert_true(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 2);
	assert_true(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 2);
	t.ls.flags = TAKO_SOCK_CLOSING;
	assert_true(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 2);
	/* What came during the pause is not to be reset. */
	tako__accept_last(&t.ls);
	assert_int_equal(t.accepted, 5);
}

static void test_failures_of_a_peer(void **state)
{
	(void)state;
	come(1);
	faults[0] = EPROTO;
	faults[1] = ECONNABORTED;
	faults[2] = EINTR;
	fault_count = 3;
	assert_false(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 1);
	assert_int_equal(t.error_count, 0);
}

static void test_failures_of_ours_pause(void **state)
{
	(void)state;
	come(1);
	faults[0] = EMFILE;
	fault_count = 1;
	assert_true(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 0);
	assert_int_equal(t.error_count, 1);
	assert_int_equal(t.errors[0], EMFILE);
	t.ls.flags = 0;
	assert_false(tako__accept_some(&t.ls));
	assert_int_equal(t.accepted, 1);
}

/* The last of the backlog ends at a failure, whatever it is, without telling anybody. */
static void test_last_ends_at_a_failure(void **state)
{
	(void)state;
	come(2);
	faults[0] = EMFILE;
	fault_count = 1;
	tako__accept_last(&t.ls);
	assert_int_equal(t.accepted, 0);
	assert_int_equal(t.error_count, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_share_of_a_turn),        WITH(test_pause),
		WITH(test_failures_of_a_peer),     WITH(test_failures_of_ours_pause),
		WITH(test_last_ends_at_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

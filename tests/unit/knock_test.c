/* SPDX-License-Identifier: MIT
 *
 * What connect(2) says, in two calls.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/knock.h"

static int knock_and_wait(int fd, const struct sockaddr *to, socklen_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int err = tako__knock(fd, to, n);

	if (err != EINPROGRESS)
		return err;
	assert_int_equal(poll(&p, 1, 10000), 1);
	return tako__knock_outcome(fd);
}

static void test_tcp(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t n = sizeof in;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fds[2];

	(void)state;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &n), 0);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(knock_and_wait(fds[0], (struct sockaddr *)&in, n), ECONNREFUSED);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(knock_and_wait(fds[1], (struct sockaddr *)&in, n), 0);
	close(fds[0]);
	close(fds[1]);
	close(listener);
}

static void test_unix(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(tako__knock(fd, (struct sockaddr *)&un, sizeof un), ENOENT);
	close(fd);
	assert_int_equal(tako__knock(fd, (struct sockaddr *)&un, sizeof un), EBADF);
	assert_int_equal(tako__knock_outcome(fd), EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_unix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The epoll runtime keeps the contract of seam A, also where the kernel watches nothing more.
 */
#include "unit/runtime_contract.h"
#include "unit/runtime_rig.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"

static bool refuses;

/* In the place of libc's. */
int epoll_ctl(int fd, int op, int other, struct epoll_event *ev)
{
	if (refuses) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, fd, op, other, ev);
}

/* A timer that nobody watches would never wake the host. */
static void test_pollable_unwatched(void **state)
{
	int fd;

	(void)state;
	refuses = true;
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), TAKO_ESYS);
	refuses = false;
	fd = rig.rt->pollable(rig.loop, tako__clock_ns() + 1000000);
	assert_true(fd >= 0);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
}

static int refused(void)
{
	const struct CMUnitTest tests[] = {RIG_TEST(test_pollable_unwatched)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	if (rig_install(tako_runtime_epoll()))
		return 1;
	return refused() + runtime_contract_recv() + runtime_contract_send() +
	       runtime_contract_loop() + runtime_contract_connect();
}

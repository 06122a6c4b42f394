/* SPDX-License-Identifier: MIT
 *
 * What reaches a supervisor: over a path and an abstract name, what is refused, and that the watchdog hears
 * nothing any more when one loop of several hangs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <tako/tako.h>

#include "core/clock.h"
#include "core/server.h"

static char name[64];
static int heard_fd;

/* A supervisor at that name, "/…" or "@…". */
static void supervise(const char *where)
{
	const struct timeval patience = {.tv_sec = 20};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(where);

	snprintf(name, sizeof name, "%s", where);
	memcpy(un.sun_path, where, n);
	if (where[0] == '@')
		un.sun_path[0] = '\0';
	heard_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(heard_fd >= 0);
	assert_int_equal(bind(heard_fd, (struct sockaddr *)&un,
	                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
	                 0);
	setsockopt(heard_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setenv("NOTIFY_SOCKET", where, 1);
}

static void dismiss(void)
{
	close(heard_fd);
	if (name[0] == '/')
		unlink(name);
	unsetenv("NOTIFY_SOCKET");
}

static const char *hear(void)
{
	static char text[256];
	ssize_t n = recv(heard_fd, text, sizeof text - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void test_addresses(void **state)
{
	char path[64];
	char abstract[64];

	(void)state;
	snprintf(path, sizeof path, "/tmp/tako-notify-%d", (int)getpid());
	snprintf(abstract, sizeof abstract, "@tako-notify-%d", (int)getpid());
	for (int i = 0; i < 2; i++) {
		supervise(i ? abstract : path);
		assert_int_equal(tako_notify("STATUS=so\nEXTEND_TIMEOUT_USEC=5"), 1);
		assert_string_equal(hear(), "STATUS=so\nEXTEND_TIMEOUT_USEC=5");
		dismiss();
	}
	assert_int_equal(tako_notify("READY=1"), 0);
}

static void test_refused(void **state)
{
	static const struct {
		const char *where;
		int rc;
		const char *words;
	} cases[] = {
		{"", 0, NULL},
		{"relative", TAKO_EINVAL, "no address"},
		{"/", TAKO_EINVAL, "no address"},
		{"@", TAKO_EINVAL, "no address"},
		{"/0123456789012345678901234567890123456789012345678901234567890123456789012345678"
	         "901234567890123456789012345678",
	         TAKO_EINVAL, "no address"},
		{"vsock:2:1234", TAKO_ENOTSUP, "only Unix sockets"},
		{"vsock-stream:2:1", TAKO_ENOTSUP, "only Unix sockets"},
		{"/nowhere/at/all", TAKO_ESYS, "No such file"},
	};
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		setenv("NOTIFY_SOCKET", cases[i].where, 1);
		assert_int_equal(tako_notify("READY=1"), cases[i].rc);
		if (cases[i].rc < 0)
			assert_non_null(strstr(tako_last_error(), cases[i].words));
		if (cases[i].rc >= 0 || cases[i].rc == TAKO_ESYS)
			continue;
		/* Before anything is bound. */
		assert_int_equal(tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.notify = 1)),
		                 cases[i].rc);
	}
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(tako_notify(NULL), TAKO_EINVAL);
	assert_int_equal(tako_notify(""), TAKO_EINVAL);
	tako_router_free(router);
}

static void test_reloading_has_the_time(void **state)
{
	unsigned long long usec;

	(void)state;
	supervise("@tako-notify-reloading");
	assert_int_equal(tako_notify_reloading(), 1);
	assert_int_equal(sscanf(hear(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
	/* CLOCK_MONOTONIC, and not another: a moment ago. */
	assert_in_range(tako__clock_ns() / 1000 - usec, 0, 60000000);
	dismiss();
}

static void make_room(int number)
{
	int saved = errno;
	char text[64];

	(void)number;
	while (recv(heard_fd, text, sizeof text, MSG_DONTWAIT) > 0)
		;
	errno = saved;
}

/* A signal does not keep the supervisor from being told: of one that is told READY only once the unit's start
 * would time out. */
static void test_signal_while_waiting(void **state)
{
	const struct sigaction on_alarm = {.sa_handler = make_room};
	const struct itimerval soon = {.it_value = {.tv_usec = 100000},
	                               .it_interval = {.tv_usec = 100000}};
	const struct itimerval never = {{0, 0}, {0, 0}};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	(void)state;
	supervise("@tako-notify-full");
	memcpy(un.sun_path + 1, "tako-notify-full", 16);
	while (sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&un,
	              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 17)) == 1)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(sigaction(SIGALRM, &on_alarm, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	rc = tako_notify("READY=1");
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	signal(SIGALRM, SIG_DFL);
	assert_int_equal(rc, 1);
	close(fd);
	dismiss();
}

/* ---- Servers --------------------------------------------------------------------------------------- */

static atomic_bool hang;
static atomic_bool hung;

static int stuck(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	atomic_store(&hung, true);
	while (atomic_load(&hang))
		usleep(1000);
	return tako_res_text(res, 200, "at last\n");
}

static tako_server *start(uint32_t notify)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;

	tako_get(router, "/", stuck, NULL);
	assert_int_equal(tako_server_new(&srv, router,
	                                 TAKO_SERVER_CONFIG(.worker_count = 2, .notify = notify)),
	                 0);
	tako_router_free(router);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "unix:@tako-notify-server", NULL),
	                 0);
	assert_int_equal(tako_server_start(srv), 0);
	return srv;
}

static void test_life(void **state)
{
	tako_server *srv;

	(void)state;
	supervise("@tako-notify-life");
	srv = start(1);
	assert_string_equal(hear(), "READY=1");
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	tako_server_free(srv);
	assert_string_equal(hear(), "STOPPING=1");
	/* Nobody asked it to. */
	srv = start(0);
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	tako_server_free(srv);
	assert_int_equal(recv(heard_fd, (char[1]){0}, 1, MSG_DONTWAIT), -1);
	dismiss();
}

/* Until one that waits for `ms` hears nothing. */
static bool falls_silent(int ms)
{
	struct timeval tv = {.tv_usec = ms * 1000};
	char text[64];

	setsockopt(heard_fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	for (int i = 0; i < 1000; i++) {
		if (recv(heard_fd, text, sizeof text, 0) < 0)
			return true;
	}
	return false;
}

static void test_watchdog(void **state)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0tako-notify-server"};
	tako_server *srv;
	char answer[512];
	int fd;

	(void)state;
	supervise("@tako-notify-watchdog");
	setenv("WATCHDOG_USEC", "200000", 1);
	srv = start(1);
	assert_string_equal(hear(), "READY=1");
	for (int i = 0; i < 3; i++)
		assert_string_equal(hear(), "WATCHDOG=1");
	/* One of two loops hangs; the other one turns as ever. */
	atomic_store(&hang, true);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un,
	                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	                                     strlen(un.sun_path + 1))),
	                 0);
	assert_int_equal(send(fd, ask, sizeof ask - 1, 0), sizeof ask - 1);
	while (!atomic_load(&hung))
		usleep(1000);
	assert_true(falls_silent(600));
	atomic_store(&hang, false);
	assert_true(recv(fd, answer, sizeof answer, 0) > 0);
	close(fd);
	setsockopt(heard_fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 20},
	           sizeof(struct timeval));
	assert_string_equal(hear(), "WATCHDOG=1");
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	tako_server_free(srv);
	unsetenv("WATCHDOG_USEC");
	dismiss();
}

static void test_watchdog_settings(void **state)
{
	static const struct {
		const char *usec, *pid;
		int rc;
		uint64_t ns;
	} cases[] = {
		{NULL, NULL, 0, 0},
		{"5000", NULL, 0, 5000000},
		{"5000", "1", 0, 0}, /* another process's */
		{"0", NULL, TAKO_EINVAL, 0},
		{"x", NULL, TAKO_EINVAL, 0},
		{"-5", NULL, TAKO_EINVAL, 0},
		{"", NULL, TAKO_EINVAL, 0},
		{"99999999999999999999999", NULL, TAKO_EINVAL, 0},
	};
	tako_router *router = tako_router_new();

	(void)state;
	supervise("@tako-notify-settings");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_server *srv = NULL;

		unsetenv("WATCHDOG_USEC");
		unsetenv("WATCHDOG_PID");
		if (cases[i].usec)
			setenv("WATCHDOG_USEC", cases[i].usec, 1);
		if (cases[i].pid)
			setenv("WATCHDOG_PID", cases[i].pid, 1);
		assert_int_equal(tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.notify = 1)),
		                 cases[i].rc);
		if (srv)
			assert_int_equal(srv->watchdog_ns, cases[i].ns);
		else
			assert_non_null(strstr(tako_last_error(), "WATCHDOG_USEC"));
		tako_server_free(srv);
	}
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	dismiss();
	tako_router_free(router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reloading_has_the_time),
		cmocka_unit_test(test_signal_while_waiting),
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_watchdog),
		cmocka_unit_test(test_watchdog_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Servers of one process, one after the other on one port or one Unix socket, on each runtime that the
 * environment can name: the address is free as soon as the server has stopped, before it is freed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tako/tako.h>

#include "unit/failalloc.h"

enum { ROUNDS = 100, WORKERS = 2 };

static const char hello_text[] = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static tako_server *make(unsigned workers)
{
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;

	tako_get(r, "/", hello, NULL);
	if (tako_server_new(&srv, r, TAKO_SERVER_CONFIG(.worker_count = workers)) < 0)
		srv = NULL;
	tako_router_free(r);
	return srv;
}

/* Below what the kernel gives to clients, so that none of them sits on it in between. */
static uint16_t find_port(void)
{
	for (uint16_t port = (uint16_t)(20000 + getpid() % 10000); port < 32000; port++) {
		tako_server *srv = make(1);
		char addr[32];
		int rc;

		snprintf(addr, sizeof addr, "127.0.0.1:%u", port);
		rc = tako_server_listen(srv, tako_http1(), addr, NULL);
		tako_server_free(srv);
		if (rc == 0)
			return port;
	}
	return 0;
}

/* Port 0: the Unix socket's path is meant. */
static char path[64];

static int dial(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr *at = port ? (struct sockaddr *)&in : (struct sockaddr *)&un;
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(un.sun_path, path, sizeof path);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	assert_int_equal(connect(fd, at, port ? sizeof in : sizeof un), 0);
	return fd;
}

static void ask(int fd)
{
	assert_int_equal(write(fd, hello_text, sizeof hello_text - 1), sizeof hello_text - 1);
}

static void hear(int fd)
{
	char got[512];
	ssize_t n = read(fd, got, sizeof got);

	assert_true(n > 20);
	assert_memory_equal(got, "HTTP/1.1 200 ", 13);
	assert_memory_equal(got + n - 6, "hello\n", 6);
}

static void *run_it(void *arg)
{
	return tako_server_run(arg) == 0 ? arg : NULL;
}

static void *step_it(void *arg)
{
	int rc = tako_server_fd(arg);

	while (rc >= 0 && (rc = tako_server_step(arg, TAKO_OFF)) == 1)
		;
	return rc == 0 ? arg : NULL;
}

/* A server that the next one finds in its way, if its port is not free. */
static void one_round(uint16_t port, void *(*thread_fn)(void *), tako_server **before)
{
	tako_server *srv = make(thread_fn ? 1 : WORKERS);
	pthread_t thread;
	void *result;
	char addr[80];
	int fds[3];

	if (port)
		snprintf(addr, sizeof addr, "127.0.0.1:%u", port);
	else
		snprintf(addr, sizeof addr, "unix:%s", path);
	assert_int_equal(tako_server_listen(srv, tako_http1(), addr, NULL), 0);
	tako_server_free(*before);
	if (thread_fn)
		assert_int_equal(pthread_create(&thread, NULL, thread_fn, srv), 0);
	else
		assert_int_equal(tako_server_start(srv), 0);
	for (int i = 0; i < 3; i++) {
		fds[i] = dial(port);
		if (i) {
			ask(fds[i]);
			hear(fds[i]);
		}
	}
	/* Asked before the stop, heard after it. */
	ask(fds[2]);
	tako_server_stop(srv);
	hear(fds[2]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	if (thread_fn) {
		assert_int_equal(pthread_join(thread, &result), 0);
		assert_ptr_equal(result, srv);
	} else {
		assert_int_equal(tako_server_wait(srv), 0);
	}
	*before = srv;
}

static void restart_at(uint16_t port)
{
	static void *(*const ways[])(void *) = {NULL, run_it, step_it};

	for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
		tako_server *before = NULL;

		for (int i = 0; i < ROUNDS; i++)
			one_round(port, ways[way], &before);
		tako_server_free(before);
		assert_int_equal(failalloc_live(), 0);
	}
}

static void restart(const char *runtime)
{
	uint16_t port = find_port();

	assert_int_not_equal(port, 0);
	print_message("%s\n", runtime);
	restart_at(port);
	restart_at(0);
	assert_int_equal(access(path, F_OK), -1);
}

/* Whether the environment can name it here. */
static bool runs_on(const char *runtime)
{
	tako_stats stats = {.size = sizeof stats};
	tako_server *srv = make(1);
	bool ok = srv && tako_server_stats(srv, &stats) == 0 && strcmp(stats.runtime, runtime) == 0;

	tako_server_free(srv);
	return ok;
}

static void test_one_address_many_times(void **state)
{
	static const char *const names[] = {"epoll", "io_uring"};
	const char *chosen = getenv("TAKO_RUNTIME");
	unsigned tested = 0;

	(void)state;
	if (chosen && chosen[0]) {
		assert_true(runs_on(chosen));
		restart(chosen);
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		assert_int_equal(setenv("TAKO_RUNTIME", names[i], 1), 0);
		if (runs_on(names[i])) {
			restart(names[i]);
			tested++;
		}
	}
	unsetenv("TAKO_RUNTIME");
	assert_true(tested > 0);
}

/* In place of the C library's. */
static atomic_uint kills;

int kill(pid_t pid, int sig)
{
	atomic_fetch_add(&kills, 1);
	return (int)syscall(SYS_kill, pid, sig);
}

/* Where the system reaps children, or another thread, the number of one that has ended may be anybody's:
 * nobody is sent a signal under it. */
static void test_reaped_by_others(void **state)
{
	char *argv[] = {"false", NULL};
	tako_server *srv = make(1);

	(void)state;
	assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_int_equal(tako_server_start(srv), 0);
	assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	atomic_store(&kills, 0);
	assert_int_equal(tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv)), TAKO_ECLOSED);
	assert_int_equal(atomic_load(&kills), 0);
	assert_true(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
	tako_server_stop(srv);
	assert_int_equal(tako_server_wait(srv), 0);
	tako_server_free(srv);
}

/* Why it failed is what the caller is told, also where a supervisor cannot be. */
static void test_why(void **state)
{
	char *argv[] = {"false", NULL};
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(
		tako_server_new(&srv, r, TAKO_SERVER_CONFIG(.worker_count = 1, .notify = 1)), 0);
	tako_router_free(r);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_int_equal(tako_server_start(srv), 0);
	assert_int_equal(tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv)), TAKO_ECLOSED);
	assert_non_null(strstr(tako_last_error(), "status 1"));
	tako_server_stop(srv);
	assert_int_equal(tako_server_wait(srv), 0);
	tako_server_free(srv);
	unsetenv("NOTIFY_SOCKET");
}

/* Serves on `port`, and says so. */
static tako_server *start_at(uint16_t port)
{
	tako_server *srv = make(1);
	char addr[32];

	snprintf(addr, sizeof addr, "127.0.0.1:%u", port);
	assert_int_equal(tako_server_listen(srv, tako_http1(), addr, NULL), 0);
	assert_int_equal(tako_server_start(srv), 0);
	return srv;
}

static void test_times_out_of_range(void **state)
{
	char *argv[] = {"false", NULL};
	tako_server *srv = make(1);

	(void)state;
	assert_int_equal(
		tako_server_restart(
			srv, TAKO_RESTART_CONFIG(.argv = argv, .ready_timeout_ms = TAKO_OFF)),
		TAKO_EINVAL);
	assert_int_equal(tako_server_restart(
				 srv, TAKO_RESTART_CONFIG(.argv = argv, .last_call_ms = TAKO_OFF)),
	                 TAKO_EINVAL);
	tako_server_free(srv);
}

/* A new process that runs and does not come to serve is ended when its time is over, and all is as it
 * was. */
static void test_not_in_time(void **state)
{
	char *argv[] = {"sleep", "600", NULL};
	uint16_t port = find_port();
	tako_server *srv = start_at(port);
	int status;
	int fd;

	(void)state;
	assert_int_equal(
		tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv, .ready_timeout_ms = 50)),
		TAKO_ETIMEDOUT);
	assert_non_null(strstr(tako_last_error(), "within 50 ms"));
	assert_int_equal(waitpid(-1, &status, 0), -1);
	assert_int_equal(errno, ECHILD);
	fd = dial(port);
	ask(fd);
	hear(fd);
	close(fd);
	tako_server_stop(srv);
	assert_int_equal(tako_server_wait(srv), 0);
	tako_server_free(srv);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* How long the old server waits for a connection that has nothing to say, once a new process has
 * said that it serves. */
static uint64_t last_call(uint32_t ms)
{
	char *argv[] = {"sh", "-c", "echo >&$TAKO_READY_FD", NULL};
	uint16_t port = find_port();
	tako_server *srv = start_at(port);
	uint64_t since;
	char none;
	int fd = dial(port);
	int pid;

	ask(fd);
	hear(fd);
	pid = tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv, .last_call_ms = ms));
	assert_true(pid > 0);
	since = now_ms();
	assert_int_equal(read(fd, &none, 1), 0);
	since = now_ms() - since;
	close(fd);
	assert_int_equal(tako_server_wait(srv), 0);
	tako_server_free(srv);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return since;
}

/* 2000 is what it is if nobody says anything. */
static void test_last_call(void **state)
{
	(void)state;
	assert_true(last_call(1) < 1900);
	assert_true(last_call(300) >= 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_address_many_times),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_reaped_by_others),
		cmocka_unit_test(test_times_out_of_range),
		cmocka_unit_test(test_not_in_time),
		cmocka_unit_test(test_last_call),
	};
	char folder[] = "/tmp/tako-restart-XXXXXX";
	int failed;

	if (failalloc_install() < 0 || !mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/socket", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

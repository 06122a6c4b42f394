/* SPDX-License-Identifier: MIT
 *
 * What the environment says of inherited descriptors, and in which words it is refused; which of them a
 * listener gets, and what a socket must be for that.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <tako/tako.h>

#include "core/inherit.h"
#include "unit/failalloc.h"

enum { FIRST = TAKO__INHERIT_FIRST, PLACES = 6 };

/* A kernel that does not say where a socket is bound. */
static bool mute;

int getsockname(int fd, __SOCKADDR_ARG sa, socklen_t *restrict n)
{
	if (mute) {
		errno = ENOBUFS;
		return -1;
	}
	return (int)syscall(SYS_getsockname, fd, sa.__sockaddr__, n);
}

static char own_pid[16];
static struct tako__taken got;

static void say(const char *fds, const char *pid, const char *names)
{
	const char *const v[][2] = {
		{"LISTEN_FDS", fds}, {"LISTEN_PID", pid}, {"LISTEN_FDNAMES", names}};

	for (size_t i = 0; i < 3; i++) {
		if (v[i][1])
			setenv(v[i][0], v[i][1], 1);
		else
			unsetenv(v[i][0]);
	}
}

/* A socket at that place, bound to the loopback. */
static void put(int at, int type, const char *port_of)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, type, 0);
	int on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
	if (port_of)
		in.sin_port = htons((uint16_t)strtoul(strrchr(port_of, ':') + 1, NULL, 10));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	if (fd != at) {
		assert_int_equal(dup2(fd, at), at);
		close(fd);
	}
}

static void text_of(int fd, char *text, size_t n)
{
	struct sockaddr_storage sa;
	socklen_t sa_n = sizeof sa;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &sa_n), 0);
	tako__local_format((struct sockaddr *)&sa, sa_n, text, n);
}

static int open_places(void **state)
{
	(void)state;
	snprintf(own_pid, sizeof own_pid, "%d", (int)getpid());
	for (int i = 0; i < PLACES; i++)
		put(FIRST + i, SOCK_STREAM, NULL);
	return 0;
}

static int close_places(void **state)
{
	(void)state;
	tako__inherit_end();
	say(NULL, NULL, NULL);
	for (int i = 0; i < PLACES; i++)
		close(FIRST + i);
	return 0;
}

static void test_environment(void **state)
{
	char long_name[300] = "";
	const struct {
		const char *fds, *pid, *names;
		int rc;
		const char *words;
	} cases[] = {
		{NULL, NULL, NULL, 0, NULL},
		{"2", NULL, NULL, 0, NULL},
		{NULL, own_pid, NULL, 0, NULL},
		{"2", "1", NULL, 0, NULL}, /* somebody else's, malformed or not */
		{"x", "1", NULL, 0, NULL},
		{"0", own_pid, NULL, 0, NULL},
		{"2", own_pid, NULL, 2, NULL},
		{"2", own_pid, "a:b", 2, NULL},
		{"2", own_pid, ":", 2, NULL}, /* two without a name */
		{"2", "", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"2", "0", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"2", "-1", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"2", "1x", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"2", " 1", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"2", "99999999999999999999", NULL, TAKO_EINVAL, "LISTEN_PID"},
		{"", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"x", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"-1", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"+1", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"1 ", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"4294967297", own_pid, NULL, TAKO_EINVAL, "LISTEN_FDS"},
		{"1025", own_pid, NULL, TAKO_ETOOBIG, "more than 1024"},
		{"1024", own_pid, NULL, TAKO_EINVAL, "not open"},
		{"2", own_pid, "a", TAKO_EINVAL, "1 names for 2"},
		{"2", own_pid, "", TAKO_EINVAL, "1 names for 2"},
		{"2", own_pid, "a:b:c", TAKO_EINVAL, "3 names for 2"},
		{"1", own_pid, long_name, TAKO_EINVAL, "longer than 255"},
	};

	(void)state;
	memset(long_name, 'n', 256);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		say(cases[i].fds, cases[i].pid, cases[i].names);
		int rc = tako_listen_fds();
		if (rc != cases[i].rc)
			print_error("case %zu: %d, %s\n", i, rc, tako_last_error());
		assert_int_equal(rc, cases[i].rc);
		if (rc < 0)
			assert_non_null(strstr(tako_last_error(), cases[i].words));
		/* Gone if they were ours, as they were if not. */
		assert_true((getenv("LISTEN_FDS") == NULL) == (rc > 0 || !cases[i].fds));
		if (rc > 0) {
			assert_true(fcntl(FIRST, F_GETFD) & FD_CLOEXEC);
			tako__inherit_end();
			assert_int_equal(fcntl(FIRST, F_GETFD), -1);
			open_places(NULL);
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	say("3", own_pid, "web::admin");
	assert_string_equal(tako_listen_fd_name(0), "web");
	assert_string_equal(tako_listen_fd_name(1), "");
	assert_string_equal(tako_listen_fd_name(2), "admin");
	assert_null(tako_listen_fd_name(3));
	assert_int_equal(tako_listen_fd(2), FIRST + 2);
	assert_null(tako_listen_fd_name(2));
	assert_int_equal(tako_listen_fd(2), TAKO_ENOENT);
	assert_int_equal(tako__inherit_named(&got, "systemd:admin", SOCK_STREAM), TAKO_ENOENT);
	/* What the program has taken stays open. */
	tako__inherit_end();
	assert_true(fcntl(FIRST + 2, F_GETFD) >= 0);
	assert_int_equal(fcntl(FIRST, F_GETFD), -1);
}

static void test_unnamed(void **state)
{
	(void)state;
	say("2", own_pid, NULL);
	assert_string_equal(tako_listen_fd_name(1), "unknown");
	assert_int_equal(tako__inherit_named(&got, "systemd:unknown", SOCK_STREAM), 0);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.fds[0], FIRST);
	assert_int_equal(tako__inherit_named(&got, "systemd:unknown", SOCK_STREAM), 0);
	assert_int_equal(got.fds[0], FIRST + 1);
}

/* Streams and datagrams of one name, as a unit with ListenStream= and ListenDatagram= has them. */
static void test_by_type(void **state)
{
	(void)state;
	put(FIRST, SOCK_DGRAM, NULL);
	say("2", own_pid, "web:web");
	assert_int_equal(tako__inherit_named(&got, "systemd:web", SOCK_STREAM), 0);
	assert_int_equal(got.fds[0], FIRST + 1);
	assert_int_equal(tako__inherit_named(&got, "systemd:web", SOCK_STREAM), TAKO_EINVAL);
	assert_non_null(strstr(tako_last_error(), "is for datagrams, needed is a stream"));
	assert_int_equal(tako__inherit_named(&got, "systemd:web", SOCK_DGRAM), 0);
	assert_int_equal(got.fds[0], FIRST);
}

/* All that are bound to one address are one listener's, and no others. */
static void test_by_address(void **state)
{
	char text[TAKO__LOCAL_TEXT_BYTES];

	(void)state;
	put(FIRST, SOCK_STREAM, NULL);
	text_of(FIRST, text, sizeof text);
	put(FIRST + 2, SOCK_STREAM, text);
	put(FIRST + 3, SOCK_STREAM, text);
	say("4", own_pid, "a:b:c:d");
	assert_int_equal(tako__inherit_bound(&got, "127.0.0.1:1", SOCK_STREAM), 0);
	assert_int_equal(tako__inherit_bound(&got, text, SOCK_DGRAM), 0);
	assert_int_equal(tako__inherit_bound(&got, text, SOCK_STREAM), 3);
	assert_int_equal(got.fds[0], FIRST);
	assert_int_equal(got.fds[1], FIRST + 2);
	assert_int_equal(got.fds[2], FIRST + 3);
	assert_string_equal(got.name, "a");
	assert_string_equal(got.text, text);
	assert_true(fcntl(FIRST + 3, F_GETFL) & O_NONBLOCK);
	assert_int_equal(tako__inherit_bound(&got, text, SOCK_STREAM), 0);
}

static void test_by_number(void **state)
{
	static const struct {
		const char *addr;
		int rc;
	} cases[] = {
		{"fd:", TAKO_EINVAL},          {"fd:x", TAKO_EINVAL},
		{"fd:-3", TAKO_EINVAL},        {"fd:3x", TAKO_EINVAL},
		{"fd:1000000", TAKO_EINVAL},   {"systemd:", TAKO_EINVAL},
		{"systemd:none", TAKO_ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(tako__inherit_named(&got, cases[i].addr, SOCK_STREAM),
		                 cases[i].rc);
	say("1", own_pid, NULL);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_STREAM), 0);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_STREAM), TAKO_ENOENT);
	/* No variable speaks of it. */
	assert_int_equal(tako__inherit_named(&got, "fd:4", SOCK_STREAM), 0);
	assert_int_equal(got.fds[0], 4);
}

static void test_what_is_no_listener(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int pair[2];
	int fd;

	(void)state;
	fd = open("/dev/null", O_RDONLY);
	dup2(fd, FIRST);
	close(fd);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_STREAM), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "inherited descriptor 3 is no socket");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	dup2(pair[0], FIRST);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_STREAM), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "inherited socket 3 does not listen");
	close(pair[0]);
	close(pair[1]);
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un.sun_family), 0);
	dup2(fd, FIRST);
	close(fd);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_DGRAM), TAKO_EINVAL);
	assert_string_equal(tako_last_error(), "inherited socket 3 is not UDP");
	fd = socket(AF_NETLINK, SOCK_RAW, 0);
	dup2(fd, FIRST);
	close(fd);
	assert_int_equal(tako__inherit_named(&got, "fd:3", SOCK_STREAM), TAKO_EINVAL);
	assert_string_equal(tako_last_error(),
	                    "inherited socket 3 is for something else, needed is a stream");
}

/* ---- Listeners ---------------------------------------------------------------------------------- */

static tako_server *server_of(uint32_t workers)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;

	assert_int_equal(tako_server_new(&srv, router,
	                                 TAKO_SERVER_CONFIG(.worker_count = workers, .inherit = 1)),
	                 0);
	tako_router_free(router);
	return srv;
}

static void test_whose_address_is_not_told(void **state)
{
	static const char *const addrs[] = {"systemd:web", "fd:4"};
	tako_server *srv = server_of(2);

	(void)state;
	say("1", own_pid, "web");
	for (size_t i = 0; i < 2; i++) {
		mute = true;
		assert_int_equal(tako_server_listen(srv, tako_http1(), addrs[i], NULL), TAKO_ESYS);
		mute = false;
		/* Nothing was taken. */
		assert_int_equal(tako_server_listen(srv, tako_http1(), addrs[i], NULL), 0);
	}
	tako_server_free(srv);
}

/* However many workers its last owner had, and we have: every socket is still accepted from. */
static void test_every_socket_is_accepted_from(void **state)
{
	static const uint32_t workers[] = {1, 2, 3, 5, 6, 8};
	char text[TAKO__LOCAL_TEXT_BYTES];
	char told[TAKO__LOCAL_TEXT_BYTES];

	for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET,
		                         .sin_addr = {htonl(INADDR_LOOPBACK)}};
		int peers[40];
		tako_server *srv;

		text_of(FIRST, text, sizeof text);
		for (int at = 1; at < 5; at++)
			put(FIRST + at, SOCK_STREAM, text);
		in.sin_port = htons((uint16_t)strtoul(strrchr(text, ':') + 1, NULL, 10));
		/* Over all five, before anybody accepts. */
		for (size_t p = 0; p < 40; p++) {
			peers[p] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			assert_int_equal(connect(peers[p], (struct sockaddr *)&in, sizeof in), 0);
		}
		say("5", own_pid, NULL);
		srv = server_of(workers[i]);
		assert_int_equal(tako_server_listen(srv, tako_http1(), text, NULL), 0);
		assert_int_equal(tako_server_local_addr(srv, 0, told, sizeof told), strlen(text));
		assert_string_equal(told, text);
		assert_int_equal(tako_server_local_addr(srv, 1, told, sizeof told), TAKO_ENOENT);
		assert_int_equal(tako_server_start(srv), 0);
		for (size_t p = 0; p < 40; p++) {
			static const char ask[] =
				"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
			char answer[64] = "";

			assert_int_equal(send(peers[p], ask, sizeof ask - 1, 0), sizeof ask - 1);
			assert_true(recv(peers[p], answer, 12, MSG_WAITALL) == 12);
			assert_string_equal(answer, "HTTP/1.1 404");
			close(peers[p]);
		}
		assert_int_equal(tako_server_shutdown(srv, 5000), 0);
		tako_server_free(srv);
		open_places(state);
	}
}

/* Those that no listener has in the end must not keep their peers waiting. */
static void test_no_memory_for_all_of_them(void **state)
{
	char text[TAKO__LOCAL_TEXT_BYTES];
	int rc = TAKO_ENOMEM;
	size_t n;

	(void)state;
	for (n = 1; rc < 0; n++) {
		tako_server *srv;

		put(FIRST, SOCK_STREAM, NULL);
		text_of(FIRST, text, sizeof text);
		for (int at = 1; at < 5; at++)
			put(FIRST + at, SOCK_STREAM, text);
		say("5", own_pid, NULL);
		srv = server_of(2);
		assert_int_equal(tako_listen_fds(), 5);
		failalloc_arm(n);
		rc = tako_server_listen(srv, tako_http1(), text, NULL);
		if (failalloc_disarm())
			assert_int_equal(rc, TAKO_ENOMEM);
		tako_server_free(srv);
		tako__inherit_end();
		say(NULL, NULL, NULL);
		for (int at = 0; at < 5; at++)
			assert_int_equal(fcntl(FIRST + at, F_GETFD), -1);
	}
	/* Three addresses at least, of which each has failed. */
	assert_in_range(n, 5, 40);
}

static void test_what_nobody_takes_is_closed(void **state)
{
	char text[TAKO__LOCAL_TEXT_BYTES];
	tako_server *srv;

	(void)state;
	text_of(FIRST + 1, text, sizeof text);
	say("2", own_pid, NULL);
	srv = server_of(1);
	assert_int_equal(tako_server_listen(srv, tako_http1(), text, NULL), 0);
	assert_true(fcntl(FIRST, F_GETFD) >= 0);
	assert_int_equal(tako_server_start(srv), 0);
	assert_int_equal(fcntl(FIRST, F_GETFD), -1);
	assert_true(fcntl(FIRST + 1, F_GETFD) >= 0);
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	tako_server_free(srv);
	assert_int_equal(fcntl(FIRST + 1, F_GETFD), -1);
}

static void test_settings_that_cannot_apply(void **state)
{
	tako_server *srv = server_of(2);

	(void)state;
	assert_int_equal(tako_server_listen(srv, tako_http1(), "fd:3",
	                                    TAKO_LISTEN_CONFIG(.unix_mode = 0600)),
	                 TAKO_ENOTSUP);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "fd:3", NULL), 0);
	/* Nobody has said that it is inherited, and yet it is one listener's. */
	assert_int_equal(tako_server_listen(srv, tako_http1(), "fd:3", NULL), TAKO_ENOENT);
	assert_true(fcntl(FIRST, F_GETFD) >= 0);
	tako_server_free(srv);
	/* The default number of workers would be given up, but not what waits for them. */
	srv = server_of(0);
	assert_int_equal(tako_server_listen(srv, tako_http1(), "fd:4", NULL), 0);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		assert_int_equal(tako_server_fd(srv), TAKO_EINVAL);
	tako_server_free(srv);
}

int main(void)
{
#define IN_PLACES(test) cmocka_unit_test_setup_teardown(test, open_places, close_places)
	const struct CMUnitTest tests[] = {
		IN_PLACES(test_environment),
		IN_PLACES(test_names),
		IN_PLACES(test_unnamed),
		IN_PLACES(test_by_type),
		IN_PLACES(test_by_address),
		IN_PLACES(test_by_number),
		IN_PLACES(test_what_is_no_listener),
		IN_PLACES(test_whose_address_is_not_told),
		IN_PLACES(test_every_socket_is_accepted_from),
		IN_PLACES(test_no_memory_for_all_of_them),
		IN_PLACES(test_what_nobody_takes_is_closed),
		IN_PLACES(test_settings_that_cannot_apply),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * A server's sockets over a Unix socket: another server takes its place and its addresses, peers of other
 * users and peers that fail change nothing, and nothing malformed is believed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tako/tako.h>

#include "core/handover.h"
#include "core/server.h"

enum { NOBODY = 65534 };

static char folder[] = "/tmp/tako-parcel-XXXXXX";
static char control[80];
static char web[80];

struct hander {
	tako_server *srv;
	uint32_t ready_timeout_ms;
	pthread_t thread;
	int result;
};

/* The server that a handler waits for. */
static tako_server *_Atomic own;

static int who(tako_req *req, tako_res *res, void *arg)
{
	tako_server *srv = atomic_load(&own);

	(void)req;
	if (srv)
		return tako_res_text(res, 200, "waits: %d %d\n", tako_server_wait(srv),
		                     tako_server_shutdown(srv, 1000));
	return tako_res_text(res, 200, "%s", (const char *)arg);
}

static tako_server *server_of(const char *name, uint32_t workers)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;

	tako_get(router, "/", who, (void *)name);
	assert_int_equal(tako_server_new(&srv, router,
	                                 TAKO_SERVER_CONFIG(.worker_count = workers, .inherit = 1)),
	                 0);
	tako_router_free(router);
	return srv;
}

static void *hand_over(void *arg)
{
	struct hander *h = arg;

	h->result = tako_server_hand_over(
		h->srv, control, TAKO_RESTART_CONFIG(.ready_timeout_ms = h->ready_timeout_ms));
	return NULL;
}

/* Waits at `control` when this returns. */
static void start_hander(struct hander *h, tako_server *srv)
{
	h->srv = srv;
	assert_int_equal(pthread_create(&h->thread, NULL, hand_over, h), 0);
}

/* A connection as any program makes it: 0, or the errno. */
static int dial(const char *addr, int type, int *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(addr + 5);

	memcpy(un.sun_path, addr + 5, n + 1);
	if (un.sun_path[0] == '@')
		un.sun_path[0] = '\0';
	*ret = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	return connect(*ret, (struct sockaddr *)&un,
	               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0
	               ? errno
	               : 0;
}

static void dial_patiently(const char *addr, int *ret)
{
	for (int i = 0; i < 2000; i++) {
		if (dial(addr, SOCK_SEQPACKET, ret) == 0)
			return;
		close(*ret);
		usleep(5000);
	}
	fail();
}

static int inherit_patiently(void)
{
	int rc = TAKO_ENOENT;

	for (int i = 0; i < 2000 && rc == TAKO_ENOENT; i++) {
		rc = tako_inherit_from(control);
		if (rc == TAKO_ENOENT)
			usleep(5000);
	}
	return rc;
}

static void assert_served_by(const char *name)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	char answer[1024];
	size_t n = 0;
	ssize_t more;
	int fd;

	assert_int_equal(dial(web, SOCK_STREAM, &fd), 0);
	assert_int_equal(send(fd, ask, sizeof ask - 1, 0), sizeof ask - 1);
	while ((more = recv(fd, answer + n, sizeof answer - 1 - n, 0)) > 0)
		n += (size_t)more;
	answer[n] = '\0';
	close(fd);
	assert_non_null(strstr(answer, name));
}

/* One after the other, each with another number of workers; the last one's file goes with it. */
static void test_three_in_a_row(void **state)
{
	static const char *const names[] = {"first", "second", "third"};
	static const uint32_t workers[] = {3, 1, 2};
	struct hander h = {0};
	struct stat before;
	struct stat now;
	tako_server *old = server_of(names[0], workers[0]);

	(void)state;
	assert_int_equal(tako_inherit_from(control), TAKO_ENOENT);
	assert_int_equal(tako_server_listen(old, tako_http1(), "127.0.0.1:0", NULL), 0);
	assert_int_equal(tako_server_listen(old, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(old), 0);
	assert_int_equal(stat(web + 5, &before), 0);
	for (int i = 1; i < 3; i++) {
		char tcp[128];
		char told[128];
		tako_server *next;

		assert_true(tako_server_local_addr(old, 0, tcp, sizeof tcp) > 0);
		assert_served_by(names[i - 1]);
		start_hander(&h, old);
		/* Workers share the Unix socket; of TCP's there are as many as the first one has. */
		assert_int_equal(inherit_patiently(), 1 + (int)workers[0]);
		assert_int_equal(tako_inherit_from(control), TAKO_ESTATE);
		next = server_of(names[i], workers[i]);
		assert_int_equal(tako_server_listen(next, tako_http1(), tcp, NULL), 0);
		assert_int_equal(tako_server_listen(next, tako_http1(), web, NULL), 0);
		assert_true(tako_server_local_addr(next, 0, told, sizeof told) > 0);
		assert_string_equal(told, tcp);
		assert_int_equal(tako_server_start(next), 0);
		pthread_join(h.thread, NULL);
		assert_int_equal(h.result, 0);
		assert_int_equal(tako_server_wait(old), 0);
		tako_server_free(old);
		assert_served_by(names[i]);
		old = next;
	}
	assert_int_equal(stat(web + 5, &now), 0);
	assert_int_equal(now.st_ino, before.st_ino);
	assert_int_equal(tako_server_shutdown(old, 5000), 0);
	tako_server_free(old);
	assert_int_equal(stat(web + 5, &now), -1);
}

/* ---- At the moment of letting go ------------------------------------------------------------------ */

/* 0: nobody looks; else an errno and one: what binding to `control` came to when the peer was let go of. */
static atomic_int found;
static atomic_bool looks;

static int try_control(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t n = strlen(control + 5);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int err = 0;

	memcpy(un.sun_path, control + 5, n);
	un.sun_path[0] = '\0';
	if (bind(fd, (struct sockaddr *)&un,
	         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
		err = errno;
	syscall(SYS_close, fd);
	return err;
}

/* A connection that was accepted at `control`? */
static bool is_accepted_there(int fd)
{
	struct sockaddr_un un = {0};
	socklen_t n = sizeof un;
	socklen_t listens_n = sizeof(int);
	int listens = 1;

	return getsockname(fd, (struct sockaddr *)&un, &n) == 0 && un.sun_family == AF_UNIX &&
	       n > offsetof(struct sockaddr_un, sun_path) + 1 &&
	       memcmp(un.sun_path + 1, control + 6, strlen(control + 6)) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_n) == 0 && !listens;
}

/* In place of the C library's. */
int close(int fd)
{
	bool due = atomic_load(&looks) && is_accepted_there(fd);
	int rc = (int)syscall(SYS_close, fd);

	if (due)
		atomic_store(&found, try_control() + 1);
	return rc;
}

/* What tells the new server that it may be asked itself, at the same name. */
static void test_name_is_free_when_told(void **state)
{
	struct hander h = {0};
	tako_server *old = server_of("old", 1);
	tako_server *next;

	(void)state;
	snprintf(control, sizeof control, "unix:@tako-parcel-next-%d", (int)getpid());
	assert_int_equal(tako_server_listen(old, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(old), 0);
	start_hander(&h, old);
	assert_int_equal(inherit_patiently(), 1);
	next = server_of("next", 1);
	assert_int_equal(tako_server_listen(next, tako_http1(), web, NULL), 0);
	atomic_store(&looks, true);
	assert_int_equal(tako_server_start(next), 0);
	pthread_join(h.thread, NULL);
	atomic_store(&looks, false);
	assert_int_equal(h.result, 0);
	assert_int_equal(atomic_load(&found), 1);
	assert_int_equal(tako_server_wait(old), 0);
	tako_server_free(old);
	assert_int_equal(tako_server_shutdown(next, 5000), 0);
	tako_server_free(next);
	snprintf(control, sizeof control, "unix:%s/control", folder);
}

/* As a daemon that has closed it: the first descriptor is the one over which we tell that we serve. */
static void test_without_standard_input(void **state)
{
	struct hander h = {0};
	tako_server *old = server_of("old", 1);
	tako_server *next;
	char text[TAKO__PARCEL_BYTES];
	int saved = dup(0);
	int fd;

	(void)state;
	assert_int_equal(tako_server_listen(old, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(old), 0);
	start_hander(&h, old);
	/* When one that goes again was seen off, nobody is about to open anything. */
	dial_patiently(control, &fd);
	while (recv(fd, text, sizeof text, 0) > 1)
		;
	shutdown(fd, SHUT_WR);
	assert_int_equal(recv(fd, text, sizeof text, 0), 0);
	close(fd);
	close(0);
	assert_int_equal(tako_inherit_from(control), 1);
	assert_true(fcntl(0, F_GETFD) >= 0);
	next = server_of("next", 1);
	assert_int_equal(tako_server_listen(next, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(next), 0);
	assert_int_equal(fcntl(0, F_GETFD), -1);
	if (saved >= 0) {
		assert_int_equal(dup2(saved, 0), 0);
		close(saved);
	}
	pthread_join(h.thread, NULL);
	assert_int_equal(h.result, 0);
	assert_int_equal(tako_server_wait(old), 0);
	tako_server_free(old);
	assert_int_equal(tako_server_shutdown(next, 5000), 0);
	tako_server_free(next);
}

/* Whoever connects and is of another user is told nothing, whatever may let him connect. */
static int steal(void)
{
	char text[16];
	ssize_t n;
	int fd;

	if (setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return 2;
	dial_patiently(control, &fd);
	n = recv(fd, text, sizeof text, 0);
	return n == 0 || (n < 0 && errno == ECONNRESET) ? 0 : 1;
}

static void test_who_changes_nothing(void **state)
{
	struct hander h = {0};
	tako_server *srv = server_of("ours", 2);
	char text[TAKO__PARCEL_BYTES];
	char *tiny;
	int status;
	pid_t pid;
	int fd;

	(void)state;
	snprintf(control, sizeof control, "unix:@tako-parcel-%d", (int)getpid());
	assert_int_equal(tako_server_listen(srv, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_hand_over(srv, control, NULL), TAKO_ESTATE);
	assert_int_equal(tako_server_start(srv), 0);
	assert_int_equal(tako_server_hand_over(srv, "127.0.0.1:1", NULL), TAKO_EINVAL);
	/* Shorter than what it has to begin with, and with nothing behind it. */
	tiny = strdup("u");
	assert_int_equal(tako_server_hand_over(srv, tiny, NULL), TAKO_EINVAL);
	free(tiny);
	start_hander(&h, srv);
	if (geteuid() == 0) {
		pid = fork();
		if (pid == 0)
			_exit(steal());
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	/* One that takes them and goes; one that says something else. */
	for (int i = 0; i < 2; i++) {
		dial_patiently(control, &fd);
		assert_true(recv(fd, text, sizeof text, 0) > 1);
		assert_int_equal(recv(fd, text, sizeof text, 0), 1);
		assert_int_equal(text[0], TAKO__PARCEL_END);
		if (i)
			assert_int_equal(send(fd, "?", 1, MSG_NOSIGNAL), 1);
		else
			shutdown(fd, SHUT_WR);
		assert_int_equal(recv(fd, text, sizeof text, 0), 0);
		close(fd);
		assert_served_by("ours");
	}
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	pthread_join(h.thread, NULL);
	assert_int_equal(h.result, TAKO_ESTATE);
	tako_server_free(srv);
	snprintf(control, sizeof control, "unix:%s/control", folder);
}

/* One that has them and does not come to serve is not waited for longer than was said. */
static void test_who_never_serves(void **state)
{
	const struct timeval patience = {.tv_sec = 20};
	struct hander h = {.ready_timeout_ms = 50};
	tako_server *srv = server_of("ours", 1);
	char text[TAKO__PARCEL_BYTES];
	int fd;

	(void)state;
	snprintf(control, sizeof control, "unix:@tako-parcel-%d", (int)getpid());
	assert_int_equal(tako_server_listen(srv, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(srv), 0);
	start_hander(&h, srv);
	dial_patiently(control, &fd);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
	assert_true(recv(fd, text, sizeof text, 0) > 1);
	assert_int_equal(recv(fd, text, sizeof text, 0), 1);
	assert_int_equal(recv(fd, text, sizeof text, 0), 0);
	close(fd);
	assert_served_by("ours");
	/* The next one finds it waiting. */
	dial_patiently(control, &fd);
	assert_true(recv(fd, text, sizeof text, 0) > 1);
	close(fd);
	assert_int_equal(tako_server_shutdown(srv, 5000), 0);
	pthread_join(h.thread, NULL);
	assert_int_equal(h.result, TAKO_ESTATE);
	tako_server_free(srv);
	snprintf(control, sizeof control, "unix:%s/control", folder);
}

static void *wait_for_end(void *arg)
{
	(void)tako_server_wait(arg);
	return NULL;
}

/* A program's first thread has nothing else to do than to wait for the server: that it serves is what counts. */
static void test_while_somebody_waits_for_the_server(void **state)
{
	char *const argv[] = {(char[]){"/nowhere/to/be/found"}, NULL};
	struct hander h = {0};
	tako_server *srv = server_of("ours", 1);
	pthread_t waiter;
	int fd;

	(void)state;
	snprintf(control, sizeof control, "unix:@tako-parcel-%d", (int)getpid());
	assert_int_equal(tako_server_listen(srv, tako_http1(), web, NULL), 0);
	assert_int_equal(tako_server_start(srv), 0);
	/* Which a handler cannot. */
	atomic_store(&own, srv);
	assert_served_by("waits: -3 -3");
	atomic_store(&own, NULL);
	assert_int_equal(pthread_create(&waiter, NULL, wait_for_end, srv), 0);
	for (int i = 0; i < 2000 && !atomic_load(&srv->waited); i++)
		usleep(5000);
	assert_true(atomic_load(&srv->waited));
	assert_int_equal(tako_server_wait(srv), TAKO_ESTATE);
	assert_int_equal(tako_server_shutdown(srv, 1000), TAKO_ESTATE);
	assert_served_by("ours");
	assert_int_equal(tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv)), TAKO_EINVAL);
	start_hander(&h, srv);
	dial_patiently(control, &fd);
	close(fd);
	tako_server_stop(srv);
	pthread_join(h.thread, NULL);
	pthread_join(waiter, NULL);
	assert_int_equal(h.result, TAKO_ESTATE);
	assert_int_equal(tako_server_restart(srv, TAKO_RESTART_CONFIG(.argv = argv)), TAKO_ESTATE);
	tako_server_free(srv);
	snprintf(control, sizeof control, "unix:%s/control", folder);
}

/* ---- What is received ------------------------------------------------------------------------------ */

struct liar {
	int fd;
	const char *text;
	size_t n;
	bool with_fd;
};

static void *lie(void *arg)
{
	const struct liar *l = arg;
	struct tako__parcel p = {.count = 1, .fds = {0}, .names = {l->text + 1}};
	int fd = accept(l->fd, NULL, NULL);

	if (l->with_fd)
		(void)tako__parcel_send(&p, fd);
	else if (l->n)
		(void)send(fd, l->text, l->n, MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void test_lies(void **state)
{
	static const struct liar cases[] = {
		{0, "", 0, false},          /* nothing at all */
		{0, "Sname", 5, false},     /* a name without a descriptor */
		{0, "Xname", 5, false},     /* unknown */
		{0, "Eend", 4, false},      /* an end that goes on */
		{0, "Stwo:names", 0, true}, /* two names for one descriptor */
	};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)state;
	memcpy(un.sun_path, control + 5, strlen(control + 5) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(listen(fd, 4), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct liar l = cases[i];
		pthread_t thread;
		int rc;

		l.fd = fd;
		assert_int_equal(pthread_create(&thread, NULL, lie, &l), 0);
		rc = tako_inherit_from(control);
		pthread_join(thread, NULL);
		assert_int_equal(rc, l.with_fd ? TAKO_EINVAL : TAKO_EPROTO);
		assert_int_equal(tako_listen_fds(), 0);
	}
	close(fd);
	assert_int_equal(tako_inherit_from(control), TAKO_ENOENT);
	assert_int_equal(tako_inherit_from("127.0.0.1:1"), TAKO_EINVAL);
	assert_int_equal(tako_inherit_from(NULL), TAKO_EINVAL);
	unlink(control + 5);
}

/* Each message in time, and no end of them. */
static void *dawdle(void *arg)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control_data = {.head = {.cmsg_level = SOL_SOCKET,
	                           .cmsg_type = SCM_RIGHTS,
	                           .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {.iov_base = "Sweb", .iov_len = 4};
	struct msghdr msg = {.msg_iov = &iov,
	                     .msg_iovlen = 1,
	                     .msg_control = &control_data,
	                     .msg_controllen = sizeof control_data};
	int fd = accept(*(int *)arg, NULL, NULL);

	memcpy(CMSG_DATA(&control_data.head), &fd, sizeof fd);
	while (sendmsg(fd, &msg, MSG_NOSIGNAL) > 0)
		usleep(100000);
	close(fd);
	return NULL;
}

static void test_one_bound_for_all_messages(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	uint32_t usual = tako__inherit_patience_ms;
	pthread_t thread;

	(void)state;
	memcpy(un.sun_path, control + 5, strlen(control + 5) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(listen(fd, 4), 0);
	tako__inherit_patience_ms = 300;
	assert_int_equal(pthread_create(&thread, NULL, dawdle, &fd), 0);
	assert_int_equal(tako_inherit_from(control), TAKO_ETIMEDOUT);
	tako__inherit_patience_ms = usual;
	pthread_join(thread, NULL);
	assert_int_equal(tako_listen_fds(), 0);
	close(fd);
	unlink(control + 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_in_a_row),
		cmocka_unit_test(test_name_is_free_when_told),
		cmocka_unit_test(test_without_standard_input),
		cmocka_unit_test(test_who_changes_nothing),
		cmocka_unit_test(test_who_never_serves),
		cmocka_unit_test(test_while_somebody_waits_for_the_server),
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_one_bound_for_all_messages),
	};
	int rc;

	if (!mkdtemp(folder))
		return 1;
	snprintf(control, sizeof control, "unix:%s/control", folder);
	snprintf(web, sizeof web, "unix:%s/web", folder);
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return rc;
}

/* SPDX-License-Identifier: MIT
 *
 * Unix sockets: which addresses are refused and why, what is replaced and what is never touched, and that
 * whoever has connected by the end is accepted.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base.h"
#include "core/local.h"

static char folder[] = "/tmp/tako-local-XXXXXX";
static char path[64];
static char addr[80];

static int listen_with(struct tako__local_sock *l, const char *where, const tako_listen_config *cfg)
{
	tako_listen_config c = *cfg;

	c.backlog = 16;
	memset(l, 0, sizeof *l);
	return tako__local_listen(l, where, SOCK_STREAM, &c);
}

static int listen_here(struct tako__local_sock *l)
{
	return listen_with(l, addr, TAKO_LISTEN_CONFIG(.backlog = 0));
}

/* 0, or the errno. */
static int dial(int *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, path, sizeof path);
	*ret = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(*ret >= 0);
	return connect(*ret, (struct sockaddr *)&un, sizeof un) < 0 ? errno : 0;
}

/* A socket of this type bound to the path, by somebody else. */
static int foreign(int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, path, sizeof path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	return fd;
}

static ino_t inode(void)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}

static void test_malformed(void **state)
{
	char long_path[128] = "unix:/";
	char longest[128] = "unix:@";
	struct tako__local_sock l;
	int fd;

	(void)state;
	static const char *const cases[] = {
		"unix:",       "unix:/",      "unix:@",           "unix:x",    "unix:./x",
		"unix:~/x",    "vsock:",      "vsock:x",          "vsock:1:",  "vsock::1",
		"vsock:-1:80", "vsock:1:2:3", "vsock:4294967295", "vsock: 80", "vsock:80 ",
	};

	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		print_message("          %s\n", cases[i]);
		assert_true(tako__local_is(cases[i]));
		assert_int_equal(listen_with(&l, cases[i], TAKO_LISTEN_CONFIG(.backlog = 0)),
		                 TAKO_EINVAL);
		assert_non_null(strstr(tako_last_error(), cases[i]));
	}
	memset(long_path + 6, 'x', 107);
	assert_int_equal(listen_with(&l, long_path, TAKO_LISTEN_CONFIG(.backlog = 0)), TAKO_EINVAL);
	memset(longest + 6, 'x', 106);
	fd = listen_with(&l, longest, TAKO_LISTEN_CONFIG(.backlog = 0));
	assert_true(fd >= 0);
	/* Without a file there is nothing else to tell that it is somebody's. */
	assert_int_equal(listen_with(&l, longest, TAKO_LISTEN_CONFIG(.backlog = 0)), TAKO_EEXIST);
	close(fd);
	assert_false(tako__local_is("127.0.0.1:80"));
	assert_false(tako__local_is("/run/x"));
}

static void test_settings(void **state)
{
	struct tako__local_sock l;
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(listen_with(&l, addr, TAKO_LISTEN_CONFIG(.unix_mode = 01000)),
	                 TAKO_EINVAL);
	assert_int_equal(listen_with(&l, addr, TAKO_LISTEN_CONFIG(.unix_owner = "no such user")),
	                 TAKO_EINVAL);
	assert_int_equal(listen_with(&l, addr, TAKO_LISTEN_CONFIG(.unix_group = "no such group")),
	                 TAKO_EINVAL);
	assert_int_equal(listen_with(&l, "unix:@x", TAKO_LISTEN_CONFIG(.unix_mode = 0600)),
	                 TAKO_ENOTSUP);
	assert_int_equal(listen_with(&l, "vsock:80", TAKO_LISTEN_CONFIG(.unix_owner = "root")),
	                 TAKO_ENOTSUP);
	assert_int_equal(tako__local_refuse(":80", TAKO_LISTEN_CONFIG(.unix_group = "root")),
	                 TAKO_ENOTSUP);
	assert_int_equal(tako__local_refuse(":80", TAKO_LISTEN_CONFIG(.backlog = 1)), 0);
	assert_int_equal(inode(), 0);

	umask(077);
	fd = listen_with(&l, addr, TAKO_LISTEN_CONFIG(.unix_mode = 0666));
	umask(022);
	assert_true(fd >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0666);
	tako__local_end(&l, fd);
	close(fd);
	if (geteuid() != 0) {
		print_message("          owners are root's to change: not tried\n");
		return;
	}
	fd = listen_with(&l, addr,
	                 TAKO_LISTEN_CONFIG(.unix_owner = "nobody", .unix_group = "4711",
	                                    .unix_mode = 0660));
	assert_true(fd >= 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	assert_true(st.st_uid != 0);
	assert_int_equal(st.st_gid, 4711);
	tako__local_end(&l, fd);
	close(fd);
}

/* A server that was killed leaves its file. */
static void test_stale(void **state)
{
	struct tako__local_sock l;
	int old = foreign(SOCK_STREAM);
	ino_t before = inode();
	int fd;
	int peer;

	(void)state;
	assert_int_equal(listen(old, 1), 0);
	close(old);
	assert_true(before != 0);
	fd = listen_here(&l);
	assert_true(fd >= 0);
	assert_int_equal(dial(&peer), 0);
	close(peer);
	tako__local_end(&l, fd);
	close(fd);
	assert_int_equal(inode(), 0);
}

/* Whoever is alive keeps what is his, however busy and whatever he speaks. */
static void test_live(void **state)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	struct tako__local_sock l;

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(types); i++) {
		int owner = foreign(types[i]);
		ino_t before = inode();
		int peers[3];

		if (types[i] != SOCK_DGRAM)
			assert_int_equal(listen(owner, 0), 0);
		for (int k = 0; k < 3; k++)
			dial(&peers[k]); /* a full queue */
		assert_int_equal(listen_here(&l), TAKO_EEXIST);
		assert_non_null(strstr(tako_last_error(), "somebody has this socket"));
		assert_int_equal(inode(), before);
		for (int k = 0; k < 3; k++)
			close(peers[k]);
		close(owner);
		assert_int_equal(unlink(path), 0);
	}
}

static void make_file(void)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void make_folder(void)
{
	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_fifo(void)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}

/* A dead socket behind it would do no good: what is removed would be the link. */
static void make_link(void)
{
	char target[80];
	int fd = foreign(SOCK_STREAM);

	close(fd);
	snprintf(target, sizeof target, "%s.target", path);
	assert_int_equal(rename(path, target), 0);
	assert_int_equal(symlink(target, path), 0);
}

static void make_dangling(void)
{
	assert_int_equal(symlink("/nonexistent/socket", path), 0);
}

static void test_no_socket(void **state)
{
	static void (*const makers[])(void) = {make_file, make_folder, make_fifo, make_link,
	                                       make_dangling};
	struct tako__local_sock l;
	char target[80];

	(void)state;
	snprintf(target, sizeof target, "%s.target", path);
	for (size_t i = 0; i < TAKO__COUNT(makers); i++) {
		ino_t before;

		makers[i]();
		before = inode();
		assert_int_equal(listen_here(&l), TAKO_EEXIST);
		assert_non_null(strstr(tako_last_error(), "no socket"));
		assert_int_equal(inode(), before);
		assert_int_equal(remove(path), 0);
	}
	/* … nor was its target. */
	assert_int_equal(unlink(target), 0);
}

/* While another server may be half way through, nothing is removed. */
static void test_locked_folder(void **state)
{
	struct tako__local_sock l;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	(void)state;
	assert_int_equal(flock(dir, LOCK_EX), 0);
	close(foreign(SOCK_STREAM));
	assert_int_equal(listen_here(&l), TAKO_EEXIST);
	assert_non_null(strstr(tako_last_error(), "cannot be locked"));
	assert_true(inode() != 0);
	close(dir);
	fd = listen_here(&l);
	assert_true(fd >= 0);
	tako__local_end(&l, fd);
	close(fd);
}

/* What has taken the path since is not ours to remove. */
static void test_replaced(void **state)
{
	struct tako__local_sock l;
	int fd = listen_here(&l);
	char old[80];
	ino_t theirs;
	int other;

	(void)state;
	assert_true(fd >= 0);
	/* Kept alive elsewhere, so that its number is not given to the next. */
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(rename(path, old), 0);
	other = foreign(SOCK_STREAM);
	theirs = inode();
	tako__local_end(&l, fd);
	assert_int_equal(inode(), theirs);
	close(other);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(old), 0);
}

/* Those in the backlog are served, later ones are refused, whichever descriptor it is ended by; and it is
 * ended once. */
static void test_end(void **state)
{
	struct tako__local_sock l;
	int fd = listen_here(&l);
	int twin = dup(fd);
	int early;
	int late;
	int got;

	(void)state;
	assert_int_equal(dial(&early), 0);
	tako__local_end(&l, twin);
	assert_int_equal(inode(), 0);
	assert_int_equal(dial(&late), ENOENT);
	close(late);
	got = accept(fd, NULL, NULL);
	assert_true(got >= 0);
	assert_int_equal(write(early, "x", 1), 1);
	assert_int_equal(read(got, &(char){0}, 1), 1);
	assert_int_equal(accept4(twin, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_int_equal(errno, EAGAIN);
	/* Somebody else's now. */
	late = foreign(SOCK_STREAM);
	tako__local_end(&l, fd);
	assert_true(inode() != 0);
	tako__local_end(NULL, -1);
	close(late);
	close(got);
	close(early);
	close(twin);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

/* Who has found the path before it went is refused, not left in a queue that nobody reads. */
static void test_refused_after_the_end(void **state)
{
	struct tako__local_sock l;
	char other[80];
	int fd = listen_here(&l);
	int late;

	(void)state;
	snprintf(other, sizeof other, "%s.other", path);
	assert_int_equal(link(path, other), 0);
	tako__local_end(&l, fd);
	assert_int_equal(rename(other, path), 0);
	assert_int_equal(dial(&late), ECONNREFUSED);
	close(late);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static void test_format(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "/run/x"};
	struct sockaddr_vm vm = {.svm_family = AF_VSOCK, .svm_cid = 3, .svm_port = 80};
	const socklen_t head = offsetof(struct sockaddr_un, sun_path);
	struct sockaddr *sa = (struct sockaddr *)&un;
	char buf[TAKO__LOCAL_TEXT_BYTES];

	(void)state;
	assert_int_equal(tako__local_format(sa, head + 7, buf, sizeof buf), 11);
	assert_string_equal(buf, "unix:/run/x");
	tako__local_format(sa, head + 6, buf, sizeof buf); /* the NUL need not be counted */
	assert_string_equal(buf, "unix:/run/x");
	tako__local_format(sa, head, buf, sizeof buf);
	assert_string_equal(buf, "unix:");
	un.sun_path[0] = '\0';
	tako__local_format(sa, head + 6, buf, sizeof buf);
	assert_string_equal(buf, "unix:@run/x");
	memset(un.sun_path, 'x', sizeof un.sun_path);
	assert_int_equal(tako__local_format(sa, sizeof un, buf, sizeof buf), 5 + 108);
	assert_int_equal(tako__local_format(sa, sizeof un, buf, 20), 19);
	sa = (struct sockaddr *)&vm;
	tako__local_format(sa, sizeof vm, buf, sizeof buf);
	assert_string_equal(buf, "vsock:3:80");
	vm.svm_cid = VMADDR_CID_ANY;
	tako__local_format(sa, sizeof vm, buf, sizeof buf);
	assert_string_equal(buf, "vsock:80");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_no_socket),
		cmocka_unit_test(test_locked_folder),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_refused_after_the_end),
		cmocka_unit_test(test_format),
	};
	int failed;

	umask(022);
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/socket", folder);
	snprintf(addr, sizeof addr, "unix:%s", path);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}

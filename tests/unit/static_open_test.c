/* SPDX-License-Identifier: MIT
 *
 * From paths to files below a directory and never outside, with openat2(2) and without it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base.h"
#include "core/static_open.h"

/* ---- A tree ---------------------------------------------------------------------- */

static char base[64];

static const char *in(const char *name)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s/%s", base, name);
	return text;
}

static int make_file(const char *name)
{
	int fd = open(in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	return close(fd);
}

static int make_socket(const char *name)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_in_range(strlen(in(name)), 1, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, in(name), strlen(in(name)));
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return close(fd);
}

static int make_link(const char *to, const char *name)
{
	return symlink(to, in(name));
}

static int set_up(void **state)
{
	char outside[128];
	int bad = 0;

	(void)state;
	strcpy(base, "/tmp/static_open_test.XXXXXX");
	assert_non_null(mkdtemp(base));
	bad |= mkdir(in("root"), 0755) | mkdir(in("root/d"), 0755) | mkdir(in("root/d/e"), 0755);
	bad |= mkdir(in("root/.git"), 0755);
	bad |= make_file("secret") | make_file("root/a") | make_file("root/d/e/b");
	bad |= make_file("root/.git/config");
	bad |= mkfifo(in("root/fifo"), 0644) | make_socket("root/socket");
	snprintf(outside, sizeof(outside), "%s/secret", base);
	bad |= make_link(outside, "root/absolute") | make_link("../secret", "root/escape");
	bad |= make_link("..", "root/up") | make_link("/", "root/slash");
	bad |= make_link("../../..", "root/d/e/far") | make_link("../..", "root/d/e/top");
	bad |= make_link("a", "root/inside") | make_link("d", "root/dir");
	bad |= make_link("loop", "root/loop") | make_link("gone", "root/broken");
	bad |= make_link("/proc/self/fd", "root/magic");
	return bad;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command);
}

static unsigned fd_count(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(d);
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

/* ---- Opening --------------------------------------------------------------------------- */

/* What opening gives: 0 for a regular file whose content is `content`, else an errno. */
static int look(struct tako__static_dir *d, const char *path, const char *content)
{
	struct stat st;
	char text[64] = "";
	int fd = tako__static_open(d, path, &st);

	if (fd < 0)
		return -fd;
	if (S_ISREG(st.st_mode)) {
		assert_int_equal(st.st_size, strlen(content));
		assert_int_equal(read(fd, text, sizeof(text) - 1), strlen(content));
		assert_string_equal(text, content);
	}
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	return S_ISREG(st.st_mode) ? 0 : S_ISDIR(st.st_mode) ? EISDIR : ENXIO;
}

static void open_dir(struct tako__static_dir *d, bool no_openat2)
{
	assert_int_equal(tako__static_dir_init(d, in("root")), 0);
	atomic_store(&d->no_openat2, no_openat2);
}

static const struct {
	const char *path;
	const char *content;
	int with;    /* openat2(2) */
	int without; /* no link is followed at all */
} table[] = {
	{"a", "root/a", 0, 0},
	{"d/e/b", "root/d/e/b", 0, 0},
	{"", "", EISDIR, EISDIR},
	{"d", "", EISDIR, EISDIR},
	{"d/e", "", EISDIR, EISDIR},
	{"missing", "", ENOENT, ENOENT},
	{"missing/b", "", ENOENT, ENOENT},
	{"a/b", "", ENOTDIR, ENOTDIR},
	{"fifo", "", ENXIO, ENXIO},
	{"socket", "", ENXIO, ENXIO},
	/* links that stay inside */
	{"inside", "root/a", 0, ELOOP},
	{"dir/e/b", "root/d/e/b", 0, ENOTDIR},
	{"dir", "", EISDIR, ELOOP},
	{"d/e/top/a", "root/a", 0, ENOTDIR},
	/* and those that do not */
	{"absolute", "", EXDEV, ELOOP},
	{"escape", "", EXDEV, ELOOP},
	{"up", "", EXDEV, ELOOP},
	{"up/secret", "", EXDEV, ENOTDIR},
	{"slash/etc/passwd", "", EXDEV, ENOTDIR},
	{"d/e/far/secret", "", EXDEV, ENOTDIR},
	{"magic/0", "", EXDEV, ENOTDIR},
	{"loop", "", ELOOP, ELOOP},
	{"broken", "", ENOENT, ELOOP},
	/* never asked for, since tako__static_path_ok() refuses them: refused here all the same */
	{"/etc/passwd", "", EXDEV, ENOENT},
	{"../secret", "", EXDEV, EXDEV},
	{"d/../../secret", "", EXDEV, EXDEV},
	{"d/../a", "root/a", 0, EXDEV},
};

static void check_table(bool no_openat2)
{
	struct tako__static_dir d;
	unsigned before = fd_count();

	open_dir(&d, no_openat2);
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		int want = no_openat2 ? table[i].without : table[i].with;
		int got = look(&d, table[i].path, table[i].content);

		if (got != want)
			fail_msg("%s: %s, not %s", table[i].path, strerror(got), strerror(want));
	}
	assert_int_equal(atomic_load(&d.no_openat2), no_openat2);
	tako__static_dir_fini(&d);
	assert_int_equal(fd_count(), before);
}

static void test_with_openat2(void **state)
{
	(void)state;
	check_table(false);
}

static void test_without_openat2(void **state)
{
	(void)state;
	check_table(true);
}

static void test_long_names(void **state)
{
	struct tako__static_dir d;
	char name[2 * NAME_MAX];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (int no_openat2 = 0; no_openat2 < 2; no_openat2++) {
		open_dir(&d, no_openat2);
		name[NAME_MAX + 1] = 'n';
		assert_int_equal(look(&d, name, ""), ENAMETOOLONG);
		name[NAME_MAX + 1] = '/';
		assert_int_equal(look(&d, name, ""), ENAMETOOLONG);
		tako__static_dir_fini(&d);
	}
}

/* The directory stays the one that was opened, also when its name has come to mean another. */
static void test_renamed(void **state)
{
	struct tako__static_dir d;
	char was[128];

	(void)state;
	open_dir(&d, false);
	strcpy(was, in("root"));
	assert_int_equal(rename(was, in("elsewhere")), 0);
	assert_int_equal(look(&d, "a", "root/a"), 0);
	assert_int_equal(rename(in("elsewhere"), was), 0);
	tako__static_dir_fini(&d);
}

static void test_init_fails(void **state)
{
	struct tako__static_dir d = {.fd = -1};

	(void)state;
	assert_int_equal(tako__static_dir_init(&d, in("nowhere")), TAKO_ESYS);
	assert_non_null(strstr(tako_last_error(), "nowhere"));
	assert_int_equal(tako__static_dir_init(&d, in("secret")), TAKO_ESYS);
	assert_int_equal(tako__static_dir_init(&d, ""), TAKO_EINVAL);
	assert_int_equal(tako__static_dir_init(&d, NULL), TAKO_EINVAL);
	tako__static_dir_fini(&d);
	tako__static_dir_fini(&d);
}

/* ---- Paths --------------------------------------------------------------------------------- */

#define N(lit)                                                                                     \
	{                                                                                          \
		"" lit, sizeof(lit) - 1                                                            \
	}

static void test_paths(void **state)
{
	static const struct {
		tako_str path;
		bool plain; /* allowed without dotfiles */
		bool dots;  /* allowed with them */
	} paths[] = {
		{N(""), true, true},
		{N("a"), true, true},
		{N("a/"), true, true},
		{N("a/b/c.d"), true, true},
		{N("a b/\xff\xfe"), true, true},
		{N("a..b/c."), true, true},
		{N("a/..."), false, true},
		{N(".git"), false, true},
		{N(".git/config"), false, true},
		{N("a/.b/c"), false, true},
		{N("a/.b"), false, true},
		{N(".b/"), false, true},
		{N("."), false, false},
		{N("./a"), false, false},
		{N("a/."), false, false},
		{N(".."), false, false},
		{N("../a"), false, false},
		{N("a/../b"), false, false},
		{N("a/.."), false, false},
		{N("a/../"), false, false},
		{N("/"), false, false},
		{N("/a"), false, false},
		{N("//"), false, false},
		{N("a//b"), false, false},
		{N("a//"), false, false},
		{N("a\0b"), false, false},
		{N("a/\0../b"), false, false},
		{N("\0"), false, false},
		{N("a\\b"), false, false},
		{N("..\\a"), false, false},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(paths); i++) {
		if (tako__static_path_ok(paths[i].path, false) != paths[i].plain ||
		    tako__static_path_ok(paths[i].path, true) != paths[i].dots)
			fail_msg("row %zu: %.*s", i, TAKO_FMT(paths[i].path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_with_openat2), cmocka_unit_test(test_without_openat2),
		cmocka_unit_test(test_long_names),   cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_init_fails),   cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

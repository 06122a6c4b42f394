/* SPDX-License-Identifier: MIT
 *
 * Which file a path means, by status and content: index, fallback, coded siblings, and what
 * becomes of paths that cannot be opened.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/static.h"

#define ABSENT ((tako_str){NULL, 0})

enum { NOBODY = 65534 };

static char base[64];

static const char *in(const char *name)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s/%s", base, name);
	return text;
}

/* A file that holds its own name, modified at 1000 plus `age`. */
static int make_file(const char *name, int age)
{
	const struct timespec times[2] = {{1000 + age, 0}, {1000 + age, 0}};
	int fd = open(in(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, name, strlen(name)), strlen(name));
	close(fd);
	return utimensat(AT_FDCWD, in(name), times, 0);
}

static int set_up(void **state)
{
	int bad = 0;

	(void)state;
	strcpy(base, "/tmp/static_find_test.XXXXXX");
	assert_non_null(mkdtemp(base));
	bad |= mkdir(in("d"), 0755) | mkdir(in("bare"), 0755) | mkdir(in("odd"), 0755);
	bad |= mkdir(in("odd/index.html"), 0755) | mkdir(in("closed"), 0700) |
	       mkdir(in(".git"), 0755);
	bad |= make_file("a.css", 0) | make_file("a.css.br", -2) | make_file("a.css.gz", 0);
	bad |= make_file("old.css", 0) | make_file("old.css.br", -3) | make_file("old.css.gz", 9);
	bad |= make_file("p.png", 0) | make_file("p.png.gz", 0) | make_file("closed/a", 0);
	bad |= make_file("index.html", 0) | make_file("d/index.html", 0) | make_file(".git/a", 0);
	bad |= make_file("index.html.gz", 0) | make_file("locked", 0) | chmod(in("locked"), 0);
	bad |= mkfifo(in("fifo"), 0644) | mkfifo(in("a.txt.gz"), 0644) | make_file("a.txt", 0);
	return bad | chmod(base, 0755);
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", base);
	return system(command);
}

/* "200 name", or with "; coding", or only the status. */
static const char *find(struct tako__static *s, tako_str path, tako_str accept)
{
	static char text[128];
	struct tako__static_file f;
	char name[64] = "";
	int status = tako__static_find(s, path, accept, &f);

	if (status) {
		snprintf(text, sizeof(text), "%d", status);
		return text;
	}
	assert_true(S_ISREG(f.st.st_mode));
	assert_int_equal(read(f.fd, name, sizeof(name) - 1), f.st.st_size);
	close(f.fd);
	snprintf(text, sizeof(text), "200 %s%s%.*s%s", name, f.encoding.p ? "; " : "",
	         TAKO_FMT(f.encoding), f.negotiated ? "" : " only");
	return text;
}

static void open_mount(struct tako__static *s)
{
	memset(s, 0, sizeof(*s));
	s->index = TAKO_STR("index.html");
	s->precompressed = true;
	assert_int_equal(tako__static_dir_init(&s->dir, base), 0);
}

struct row {
	const char *path;
	const char *accept;
	const char *want;
};

static void check_rows(struct tako__static *s, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *got = find(s, tako_str_z(rows[i].path), tako_str_z(rows[i].accept));

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("\"%s\": %s, not %s", rows[i].path, got, rows[i].want);
	}
	tako__static_dir_fini(&s->dir);
}

static void test_paths(void **state)
{
	static const struct row rows[] = {
		{"", NULL, "200 index.html"},
		{"d/", NULL, "200 d/index.html"},
		{"d/index.html", NULL, "200 d/index.html"},
		{"d", NULL, "308"},
		{"bare", NULL, "404"},
		{"bare/", NULL, "404"},
		{"odd", NULL, "404"},
		{"odd/", NULL, "404"},
		{"odd/index.html", NULL, "404"},
		{"missing", NULL, "404"},
		{"a.css", NULL, "200 a.css"},
		{"a.css/", NULL, "404"},
		{"a.css/b", NULL, "404"},
		{"fifo", NULL, "404"},
		{".git/a", NULL, "404"},
		{"../x", NULL, "404"},
		{"d//index.html", NULL, "404"},
	};
	struct tako__static s;

	(void)state;
	open_mount(&s);
	check_rows(&s, rows, TAKO__COUNT(rows));
}

static void test_codings(void **state)
{
	static const struct row rows[] = {
		{"a.css", "br, gzip", "200 a.css.br; br"},
		{"a.css", "br;q=0.1, gzip", "200 a.css.gz; gzip"},
		{"a.css", "", "200 a.css"},
		{"a.css", "identity;q=0", "406"},
		{"a.css", "identity;q=0, gzip", "200 a.css.gz; gzip"},
		/* made from an older one */
		{"old.css", "br", "200 old.css"},
		{"old.css", "br, gzip;q=0.1", "200 old.css.gz; gzip"},
		{"old.css", "br, identity;q=0", "406"},
		/* compressed already */
		{"p.png", "gzip", "200 p.png only"},
		{"p.png", "identity;q=0", "200 p.png only"},
		/* no regular file */
		{"a.txt", "gzip", "200 a.txt"},
		{"", "gzip", "200 index.html.gz; gzip"},
	};
	struct tako__static s;

	(void)state;
	open_mount(&s);
	check_rows(&s, rows, TAKO__COUNT(rows));
}

static void test_options(void **state)
{
	static const struct row rows[] = {
		{"", "gzip", "200 a.css only"},
		{"d/", NULL, "200 a.css only"},
		{"d", NULL, "200 a.css only"},
		{"d/index.html", NULL, "200 d/index.html only"},
		{"missing/at/all", NULL, "200 a.css only"},
		{"a.txt/b", NULL, "200 a.css only"},
		{".git/a", NULL, "200 .git/a only"},
		{".git/b", NULL, "200 a.css only"},
		/* neither is a name that does not exist */
		{"a//b", NULL, "404"},
		{"fifo", NULL, "404"},
	};
	struct tako__static s;

	(void)state;
	open_mount(&s);
	s.index = TAKO_STR("");
	s.fallback = TAKO_STR("a.css");
	s.dotfiles = true;
	s.precompressed = false;
	check_rows(&s, rows, TAKO__COUNT(rows));
}

static void test_fallback_that_is_not_there(void **state)
{
	static const struct row rows[] = {{"missing", NULL, "404"}, {"a.css", NULL, "200 a.css"}};
	struct tako__static s;

	(void)state;
	open_mount(&s);
	s.fallback = TAKO_STR("nothing");
	check_rows(&s, rows, TAKO__COUNT(rows));
}

/* Root may read anything: be somebody else for a while. */
static void test_forbidden(void **state)
{
	static const struct row rows[] = {{"locked", NULL, "403"},
	                                  {"closed/a", NULL, "403"},
	                                  {"closed/none", NULL, "403"},
	                                  {"a.css", NULL, "200 a.css"}};
	bool root = geteuid() == 0;
	struct tako__static s;

	(void)state;
	if (!root)
		assert_int_equal(chmod(in("closed"), 0), 0);
	open_mount(&s);
	s.fallback = TAKO_STR("a.css");
	if (root)
		assert_int_equal(seteuid(NOBODY), 0);
	check_rows(&s, rows, TAKO__COUNT(rows));
	if (root)
		assert_int_equal(seteuid(0), 0);
	else
		assert_int_equal(chmod(in("closed"), 0700), 0);
}

/* Paths of all lengths around the longest one that is looked up at all. */
static void test_lengths(void **state)
{
	char path[TAKO__STATIC_PATH_BYTES + 300];
	struct tako__static s;

	(void)state;
	open_mount(&s);
	/* Long by segments that exist, so that the length alone decides. */
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'd';
	for (size_t n = TAKO__STATIC_PATH_BYTES - 300; n < sizeof(path); n++)
		assert_string_equal(find(&s, (tako_str){path, n}, TAKO_STR("br, gzip")), "404");
	tako__static_dir_fini(&s.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),     cmocka_unit_test(test_codings),
		cmocka_unit_test(test_options),   cmocka_unit_test(test_fallback_that_is_not_there),
		cmocka_unit_test(test_forbidden), cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

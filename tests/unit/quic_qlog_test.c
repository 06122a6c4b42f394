/* SPDX-License-Identifier: MIT
 *
 * Traces: whole records, in so many files of so many bytes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base.h"
#include "transports/quic/quic_qlog.h"
#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

static char dir[] = "/tmp/tako_qlog_test.XXXXXX";
static char text[1 << 20];

static unsigned count_files(bool drop)
{
	DIR *d = opendir(dir);
	unsigned count = 0;
	struct dirent *e;
	char path[512];

	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		count++;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (drop)
			assert_int_equal(unlink(path), 0);
	}
	closedir(d);
	return count;
}

static int tear_down(void **state)
{
	(void)state;
	(void)count_files(true);
	return failalloc_live() || failalloc_wrong();
}

/* Its length; "" is none. */
static size_t read_file(const char *name)
{
	char path[512];
	size_t n = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "r");
	if (f) {
		n = fread(text, 1, sizeof text - 1, f);
		fclose(f);
	}
	text[n] = '\0';
	return n;
}

static const ngtcp2_cid *cid(uint8_t last)
{
	static ngtcp2_cid c;
	const uint8_t p[8] = {0xab, 1, 2, 3, 4, 5, 6, last};

	ngtcp2_cid_init(&c, p, sizeof p);
	return &c;
}

static struct tako__quic_qlogs *logs_new(uint32_t files, uint32_t bytes)
{
	struct tako__quic_qlogs *all;

	assert_int_equal(tako__quic_qlogs_new(&all, TAKO_LISTEN_CONFIG(.h3_qlog_dir = dir,
	                                                               .h3_qlog_max_files = files,
	                                                               .h3_qlog_max_bytes = bytes)),
	                 0);
	assert_non_null(all);
	return all;
}

static void test_none_asked_for(void **state)
{
	struct tako__quic_qlogs *all = (void *)dir;

	(void)state;

	assert_int_equal(tako__quic_qlogs_new(&all, TAKO_LISTEN_CONFIG(.backlog = 0)), 0);
	assert_null(all);
	assert_null(tako__quic_qlog_new(all, cid(0)));
	tako__quic_qlog_free(NULL);
	tako__quic_qlogs_free(NULL);
}

/* Nothing is written before there is enough for a write(), or it ends. */
static void test_gathered(void **state)
{
	struct tako__quic_qlogs *all = logs_new(0, 0);
	struct tako__quic_qlog *log = tako__quic_qlog_new(all, cid(7));
	char record[100];

	(void)state;
	assert_non_null(log);
	memset(record, 'x', sizeof record);
	for (unsigned i = 0; i < 160; i++)
		tako__quic_qlog_write(log, record, sizeof record);
	assert_int_equal(count_files(false), 0);
	for (unsigned i = 0; i < 160; i++)
		tako__quic_qlog_write(log, record, sizeof record);
	assert_int_equal(read_file("ab01020304050607.sqlog"), 16300);
	tako__quic_qlog_free(log);
	assert_int_equal(read_file("ab01020304050607.sqlog"), 32000);
	assert_int_equal(strspn(text, "x"), 32000);
	tako__quic_qlogs_free(all);
}

static void test_so_many_bytes(void **state)
{
	struct tako__quic_qlogs *all = logs_new(0, 5000);
	struct tako__quic_qlog *log = tako__quic_qlog_new(all, cid(1));
	char record[300];

	(void)state;
	memset(record, 'x', sizeof record);
	for (unsigned i = 0; i < 100; i++)
		tako__quic_qlog_write(log, record, sizeof record);
	/* What would not fit as a whole is not there in part, nor is anything behind it. */
	tako__quic_qlog_write(log, "y", 1);
	tako__quic_qlog_free(log);
	assert_int_equal(read_file("ab01020304050601.sqlog"), 4800);
	assert_int_equal(strspn(text, "x"), 4800);
	tako__quic_qlogs_free(all);
}

static void test_so_many_files(void **state)
{
	struct tako__quic_qlogs *all = logs_new(2, 0);
	struct tako__quic_qlog *a = tako__quic_qlog_new(all, cid(1));
	struct tako__quic_qlog *b = tako__quic_qlog_new(all, cid(2));

	(void)state;
	assert_true(a && b);
	assert_null(tako__quic_qlog_new(all, cid(3)));
	tako__quic_qlog_free(a);
	tako__quic_qlog_free(b);
	/* That they have ended gives back none of the disk. */
	assert_null(tako__quic_qlog_new(all, cid(3)));
	tako__quic_qlogs_free(all);
}

/* A client that begins with an id that another began with, or that somebody has left a link for. */
static void test_others_files_stay(void **state)
{
	struct tako__quic_qlogs *all = logs_new(0, 0);
	struct tako__quic_qlog *first = tako__quic_qlog_new(all, cid(1));
	struct tako__quic_qlog *second = tako__quic_qlog_new(all, cid(1));
	struct tako__quic_qlog *third = tako__quic_qlog_new(all, cid(2));
	char target[300], link[300];

	(void)state;
	snprintf(target, sizeof target, "%s/target", dir);
	snprintf(link, sizeof link, "%s/ab01020304050602.sqlog", dir);
	assert_int_equal(symlink(target, link), 0);
	tako__quic_qlog_write(first, "first", 5);
	tako__quic_qlog_free(first);
	tako__quic_qlog_write(second, "second", 6);
	tako__quic_qlog_free(second);
	tako__quic_qlog_write(third, "third", 5);
	tako__quic_qlog_free(third);
	assert_int_equal(read_file("ab01020304050601.sqlog"), 5);
	assert_string_equal(text, "first");
	assert_int_equal(read_file("target"), 0);
	tako__quic_qlogs_free(all);
}

/* A connection's: every record is whole, and tells of what happened. */
static void test_a_handshake(void **state)
{
	tako_listen_config listen = {.size = sizeof listen, .h3_qlog_dir = dir};
	const char *name = NULL;
	struct dirent *e;
	unsigned records = 0;
	DIR *d;

	(void)state;
	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, NULL, &listen), 0);
	assert_true(quic_rig_connect(quic_rig_client(NULL)));
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_rig_stop();
	assert_int_equal(count_files(false), 1);
	d = opendir(dir);
	assert_non_null(d);
	while ((e = readdir(d)) && e->d_name[0] == '.')
		;
	name = e->d_name;
	assert_true(read_file(name) > 1000);
	closedir(d);
	for (char *p = text, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		assert_non_null(end);
		assert_memory_equal(p, "\x1e{", 2);
		assert_int_equal(end[-1], '}');
		records++;
	}
	assert_true(records > 10);
	assert_non_null(strstr(text, "\"packet_type\":\"1RTT\""));
	assert_non_null(strstr(text, "\"frame_type\":\"handshake_done\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_none_asked_for, tear_down),
		cmocka_unit_test_teardown(test_gathered, tear_down),
		cmocka_unit_test_teardown(test_so_many_bytes, tear_down),
		cmocka_unit_test_teardown(test_so_many_files, tear_down),
		cmocka_unit_test_teardown(test_others_files_stay, tear_down),
		cmocka_unit_test_teardown(test_a_handshake, tear_down),
	};
	int failed;

	if (!mkdtemp(dir) || failalloc_install())
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(dir) || failed;
}

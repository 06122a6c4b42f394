/* SPDX-License-Identifier: MIT
 *
 * Files that are not in memory: nobody else waits for them, whatever their size.
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

#include "unit/failalloc.h"
#include "unit/slow_disk.h"
#include "unit/stepped.h"

enum { WAIT_MS = 5000, FILE_N = 100000 };

#define GET(path, more) "GET " path " HTTP/1.1\r\nHost: a\r\n" more "\r\n"

static struct stepped server;
static struct peer peer;
static struct peer other;
static struct reply answer;
static char dir[] = "build/.static-test-XXXXXX";
static char data[FILE_N];

static void make_file(const char *name, size_t n)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), n);
	close(fd);
}

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", TAKO_STR("hello"));
}

static int set_up(void **state)
{
	tako_router *r = tako_router_new();

	(void)state;
	slow_disk = (struct slow_disk){0};
	tako_static(r, "/f", dir);
	tako_get(r, "/hello", hello, NULL);
	/* The other runtime has files read by the kernel, which does not ask this disk. */
	if (stepped_start(&server, r,
	                  TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = tako_runtime_epoll()),
	                  NULL) < 0)
		return 1;
	tako_router_free(r);
	peer_open(&peer, &server);
	peer_open(&other, &server);
	return peer.fd < 0 || other.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	peer_close(&other);
	stepped_stop(&server);
	return failalloc_live() || failalloc_wrong();
}

static void others_are_served(void)
{
	for (unsigned i = 0; i < 3; i++) {
		assert_true(peer_send(&other, &server, GET("/hello", ""),
		                      sizeof GET("/hello", "") - 1));
		assert_true(peer_reply(&other, &server, &answer, false, WAIT_MS));
		peer_drop(&other, answer.total_n);
	}
	assert_int_equal(slow_disk.waits, 0);
}

static void ask(const char *text)
{
	slow_disk.cold = true;
	slow_disk.probes = 0;
	assert_true(peer_send(&peer, &server, text, strlen(text)));
	for (unsigned i = 0; i < WAIT_MS && !slow_disk.probes; i++)
		stepped_turn(&server, 1);
	assert_true(slow_disk.probes > 0);
	others_are_served();
}

static void expect(int status)
{
	slow_disk.cold = false;
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, status);
	assert_int_equal(slow_disk.waits, 0);
	peer_drop(&peer, answer.total_n);
}

static void expect_file(const char *path_and_fields, int status, size_t from, size_t n)
{
	ask(path_and_fields);
	expect(status);
	assert_int_equal(answer.body_n, n);
	assert_memory_equal(answer.body, data + from, n);
}

static void test_whole(void **state)
{
	(void)state;
	expect_file(GET("/f/small", ""), 200, 0, 5000);
	expect_file(GET("/f/large", ""), 200, 0, FILE_N);
	/* In memory up to its middle. */
	slow_disk.warm_bytes = 2000;
	expect_file(GET("/f/small", "Range: bytes=1000-1999\r\n"), 206, 1000, 1000);
	expect_file(GET("/f/small", "Range: bytes=1500-3000\r\n"), 206, 1500, 1501);
}

static void test_parts(void **state)
{
	(void)state;
	slow_disk.warm_bytes = 1000;
	ask(GET("/f/large", "Range: bytes=0-99,3000-3099,20000-60000\r\n"));
	expect(206);
	assert_non_null(memmem(answer.body, answer.body_n, data, 100));
	assert_non_null(memmem(answer.body, answer.body_n, data + 3000, 100));
	assert_non_null(memmem(answer.body, answer.body_n, data + 20000, 40001));
}

/* Its reader does not stay that long. */
static void test_client_leaves(void **state)
{
	(void)state;
	ask(GET("/f/small", ""));
	peer_close(&peer);
	others_are_served();
	slow_disk.cold = false;
}

static int remove_all(void **state)
{
	char path[64];

	(void)state;
	snprintf(path, sizeof path, "%s/small", dir);
	unlink(path);
	snprintf(path, sizeof path, "%s/large", dir);
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_parts),
		TEST(test_client_leaves),
	};

	if (failalloc_install() < 0 || !mkdtemp(dir))
		return 1;
	for (size_t i = 0; i < FILE_N; i++)
		data[i] = (char)(i * 31 + i / 255 + i / 4096);
	make_file("small", 5000);
	make_file("large", FILE_N);
	return cmocka_run_group_tests(tests, NULL, remove_all);
}

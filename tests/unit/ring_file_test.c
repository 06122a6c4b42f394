/* SPDX-License-Identifier: MIT
 *
 * Files on the ring: a read that was asked for is of the file that it was asked for, whatever becomes of its
 * socket before the kernel hears of it.
 */
#include "unit/runtime_rig.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "unit/slow_disk.h"

enum { FILE_N = 100000 };

static struct {
	struct tako_sock s;
	struct tako_send op;
	int others[2]; /* a pipe that gets the file's descriptor next */
	unsigned answered;
	unsigned done;
	int err;
	unsigned broken;
	unsigned closed;
} it;

/* As whoever accepts in this turn would have its number. */
static void on_done(struct tako_send *op, int err)
{
	it.done++;
	it.err = err;
	assert_int_equal(dup2(it.others[0], op->file_fd), op->file_fd);
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	(void)p;
	if (res > 0 && !it.answered++) {
		tako_sock_queue(s, &it.op);
		rig.rt->flush(s);
	} else if (res < 0) {
		it.broken++;
		rig.rt->close(s);
	}
}

static void on_closed(struct tako_sock *s)
{
	(void)s;
	it.closed++;
}

static const struct tako_sock_cb callbacks = {.on_recv = on_recv, .on_closed = on_closed};

static int open_file(void)
{
	char name[] = "build/.ring-file-test-XXXXXX";
	char *data = rig_pattern(FILE_N);
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, data, FILE_N), FILE_N);
	free(data);
	return fd;
}

/* Its request and its reset come at once: the one has a file read, the other ends that it is sent. */
static void test_reset_before_the_read(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	int left = 0;
	int fds[2];

	(void)state;
	memset(&it, 0, sizeof it);
	it.s.cb = &callbacks;
	it.op = (struct tako_send){.done = on_done, .n = FILE_N, .file_fd = open_file()};
	assert_int_equal(pipe(it.others), 0);
	assert_int_equal(write(it.others[1], "mine", 4), 4);
	slow_disk.cold = true;
	rig_tcp_pair(fds);
	assert_int_equal(rig.rt->start(rig.loop, &it.s, fds[0]), 0);
	rig_turn(2);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
	close(fds[1]);
	for (unsigned i = 0; i < 100 && !it.closed; i++)
		rig_turn_until(rig.loop->now_ns + 10000000);
	assert_int_equal(it.closed, 1);
	assert_int_equal(it.done, it.answered);
	assert_int_equal(it.err, it.answered ? TAKO_ECLOSED : 0);
	assert_int_equal(ioctl(it.others[0], FIONREAD, &left), 0);
	assert_int_equal(left, 4);
	close(it.op.file_fd);
	close(it.others[0]);
	close(it.others[1]);
	slow_disk = (struct slow_disk){0};
}

int main(void)
{
	const struct CMUnitTest tests[] = {RIG_TEST(test_reset_before_the_read)};
	char why[96];

	if (rig_install(tako_runtime_io_uring()))
		return 1;
	/* ring_test.c has what is to test where it cannot work. */
	if (rig.rt->probe(why, sizeof why) < 0)
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

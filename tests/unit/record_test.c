/* SPDX-License-Identifier: MIT
 *
 * Connections of records on the test's own thread: what is sent stays apart and is accounted for, the end is
 * told once, and every allocation fails once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tako/tako.h>
#include <unistd.h>

#include "core/record.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

static struct {
	unsigned opened;
	unsigned closed;
	unsigned records;
	unsigned ends;
	bool pauses; /* after each record */
	int why;
	tako_raw *last;
} seen;

static int on_open(tako_raw *c, void *arg)
{
	(void)arg;
	seen.opened++;
	seen.last = c;
	return 0;
}

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	int64_t rc = tako_raw_send(c, data);

	(void)arg;
	seen.records++;
	if (seen.pauses)
		tako_raw_pause(c);
	return rc < 0 ? (int)rc : 0;
}

static int on_end(tako_raw *c, void *arg)
{
	(void)arg;
	seen.ends++;
	/* Over and over, and still it is told once. */
	tako_raw_pause(c);
	tako_raw_resume(c);
	return 0;
}

static void on_close(tako_raw *c, int why, void *arg)
{
	(void)c, (void)arg;
	seen.closed++;
	seen.why = why;
}

static const tako_raw_config config = {.size = sizeof(config),
                                       .on_open = on_open,
                                       .on_data = on_data,
                                       .on_end = on_end,
                                       .on_close = on_close,
                                       .max_unsent_bytes = 1 << 20,
                                       .records = 1};

static socklen_t name(struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	                   (size_t)snprintf(ret->sun_path + 1, 100, "tako-record-%d",
	                                    (int)getpid()));
}

/* 0, or the error of what failed; nothing is left then. */
static int start(struct stepped *s)
{
	tako_router *r = tako_router_new();
	char addr[64];
	int rc;

	memset(s, 0, sizeof *s);
	memset(&seen, 0, sizeof seen);
	snprintf(addr, sizeof addr, "unix:@tako-record-%d", (int)getpid());
	rc = tako_server_new(&s->srv, r,
	                     TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000));
	tako_router_free(r);
	if (rc == 0)
		rc = tako_server_listen(s->srv, tako_raw_unix(), addr,
		                        TAKO_LISTEN_CONFIG(.raw = &config));
	if (rc == 0)
		rc = tako_server_fd(s->srv);
	if (rc < 0)
		tako_server_free(s->srv);
	return rc < 0 ? rc : 0;
}

static int client(void)
{
	struct sockaddr_un at;
	socklen_t n = name(&at);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&at, n) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* How long each of what comes is, until there are so many or the end. */
static unsigned hear(struct stepped *s, int fd, ssize_t *sizes, unsigned wanted)
{
	static char buf[TAKO__RECORD_BYTES_MAX + 1];
	unsigned count = 0;

	for (int i = 0; i < 200 && count < wanted; i++) {
		ssize_t n;

		stepped_turn(s, 2);
		while (count < wanted && (n = recv(fd, buf, sizeof buf, 0)) > 0)
			sizes[count++] = n;
		if (n == 0)
			break;
	}
	return count;
}

static void test_no_memory(void **state)
{
	(void)state;
	for (size_t n = 1;; n++) {
		ssize_t sizes[3] = {0};
		unsigned count = 0;
		struct stepped s;
		int rc;

		failalloc_arm(n);
		rc = start(&s);
		if (rc == 0) {
			int fd = client();

			(void)!send(fd, "one", 3, MSG_NOSIGNAL);
			(void)!send(fd, "two22", 5, MSG_NOSIGNAL);
			count = hear(&s, fd, sizes, 2);
			close(fd);
			stepped_stop(&s);
			assert_int_equal(seen.opened, seen.closed);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_int_equal(count, 2);
			assert_int_equal(sizes[0], 3);
			assert_int_equal(sizes[1], 5);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_wrong(), 0);
}

static void open_one(struct stepped *s, int *ret_fd)
{
	assert_int_equal(start(s), 0);
	*ret_fd = client();
	for (int i = 0; i < 200 && !seen.opened; i++)
		stepped_turn(s, 2);
	assert_int_equal(seen.opened, 1);
}

/* What waits counts with what it takes beside its bytes, so that many small ones are bounded, too. */
static void test_unsent(void **state)
{
	static char longest[TAKO__RECORD_BYTES_MAX + 1];
	ssize_t sizes[5];
	struct stepped s;
	unsigned n = 0;
	int fd;

	(void)state;
	open_one(&s, &fd);
	assert_int_equal(tako_raw_send(seen.last, (tako_str){longest, sizeof longest}),
	                 TAKO_ETOOBIG);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("")), 0);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("one")), 3 + TAKO__RECORD_OVERHEAD);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("twotwo")),
	                 9 + 2 * TAKO__RECORD_OVERHEAD);
	assert_int_equal(hear(&s, fd, sizes, 2), 2);
	assert_int_equal(sizes[0], 3);
	assert_int_equal(sizes[1], 6);
	assert_int_equal(tako_raw_unsent(seen.last), 0);
	while (tako_raw_send(seen.last, TAKO_STR("x")) > 0)
		n++;
	assert_int_equal(n, (1 << 20) / (1 + TAKO__RECORD_OVERHEAD));
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("x")), TAKO_EBUSY);
	tako_raw_abort(seen.last);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("x")), TAKO_ECLOSED);
	stepped_turn(&s, 2);
	close(fd);
	stepped_stop(&s);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.why, TAKO_ECLOSED);
	assert_int_equal(failalloc_live(), 0);
}

static void test_the_end_is_told_once(void **state)
{
	ssize_t sizes[2];
	struct stepped s;
	int fd;

	(void)state;
	open_one(&s, &fd);
	assert_int_equal(send(fd, "hello", 5, 0), 5);
	shutdown(fd, SHUT_WR);
	assert_int_equal(hear(&s, fd, sizes, 1), 1);
	for (int i = 0; i < 20; i++)
		stepped_turn(&s, 1);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.closed, 0);
	assert_int_equal(tako_raw_send(seen.last, TAKO_STR("bye")), 3 + TAKO__RECORD_OVERHEAD);
	tako_raw_end(seen.last);
	assert_int_equal(hear(&s, fd, sizes, 2), 1);
	assert_int_equal(sizes[0], 3);
	close(fd);
	stepped_stop(&s);
	assert_int_equal(seen.ends, 1);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.why, 0);
	assert_int_equal(failalloc_live(), 0);
}

/* What came in spite of a pause. */
static void test_a_pause_keeps_them_apart(void **state)
{
	ssize_t sizes[3];
	struct stepped s;
	int fd;

	(void)state;
	open_one(&s, &fd);
	seen.pauses = true;
	assert_int_equal(send(fd, "one", 3, 0), 3);
	assert_int_equal(send(fd, "two22", 5, 0), 5);
	assert_int_equal(send(fd, "three33", 7, 0), 7);
	assert_int_equal(hear(&s, fd, sizes, 1), 1);
	for (unsigned i = 1; i < 3; i++) {
		tako_raw_resume(seen.last);
		assert_int_equal(hear(&s, fd, sizes + i, 1), 1);
	}
	assert_int_equal(sizes[0], 3);
	assert_int_equal(sizes[1], 5);
	assert_int_equal(sizes[2], 7);
	assert_int_equal(seen.records, 3);
	close(fd);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* Nobody reads any more: what is sent then ends it. */
static void test_nobody_is_there(void **state)
{
	struct stepped s;
	int fd;

	(void)state;
	open_one(&s, &fd);
	tako_raw_pause(seen.last);
	close(fd);
	assert_true(tako_raw_send(seen.last, TAKO_STR("hello")) > 0);
	for (int i = 0; i < 200 && !seen.closed; i++)
		stepped_turn(&s, 2);
	assert_int_equal(seen.closed, 1);
	assert_int_equal(seen.why, TAKO_ECLOSED);
	stepped_stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_unsent),
		cmocka_unit_test(test_the_end_is_told_once),
		cmocka_unit_test(test_a_pause_keeps_them_apart),
		cmocka_unit_test(test_nobody_is_there),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

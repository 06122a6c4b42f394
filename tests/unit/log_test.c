/* SPDX-License-Identifier: MIT
 *
 * The rings and the writer of the access log: every line arrives whole and in order or is
 * counted as dropped, whatever the descriptor does, and no worker ever waits for it.  Meant
 * to be run with ThreadSanitizer too.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/log.h"
#include "unit/failalloc.h"

enum { WORKERS_MAX = 4, PATIENCE_MS = 30000, SMALL_RING = 4096 };

/* ---- Lines with a number, read back ---------------------------------------------- */

/* Lengths vary, so that lines meet the end of the ring at every offset. */
static unsigned pad_of(unsigned number)
{
	return number * 7 % 61;
}

static void put_line(struct tako__log *log, unsigned worker, unsigned number)
{
	char path[128];
	int n = snprintf(path, sizeof(path), "/%u/%u/", worker, number);
	tako_access a = {.size = sizeof(a),
	                 .method = TAKO_STR("GET"),
	                 .peer = "192.0.2.1:80",
	                 .status = 200,
	                 .version = 11};

	memset(path + n, 'x', pad_of(number));
	a.path = (tako_str){path, (size_t)n + pad_of(number)};
	tako__log_put(tako__log_ring(log, worker), &a);
}

/* What has been read so far; cmocka's assertions are left to the main thread. */
struct got {
	char part[16384];
	size_t part_n;
	unsigned count[WORKERS_MAX]; /* lines */
	unsigned next[WORKERS_MAX];  /* lowest number that may come */
	unsigned broken;             /* lines torn, out of order, or not ours */
};

static void take_line(struct got *g, const char *line)
{
	static const char head[] = "192.0.2.1 - - [01/Jan/1970:00:00:00 +0000] \"GET /";
	unsigned worker = WORKERS_MAX;
	unsigned number = 0;
	char rest[128];
	int at = 0;

	if (strncmp(line, head, strlen(head)) != 0 ||
	    sscanf(line + strlen(head), "%u/%u/%n", &worker, &number, &at) != 2 ||
	    worker >= WORKERS_MAX || number < g->next[worker]) {
		g->broken++;
		return;
	}
	memset(rest, 'x', pad_of(number));
	snprintf(rest + pad_of(number), sizeof(rest) - pad_of(number), "%s",
	         " HTTP/1.1\" 200 - \"-\" \"-\" 0");
	if (strcmp(line + strlen(head) + at, rest) != 0)
		g->broken++;
	g->next[worker] = number + 1;
	g->count[worker]++;
}

static void take(struct got *g, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != '\n') {
			g->part[g->part_n] = p[i];
			g->part_n = (g->part_n + 1) % (sizeof(g->part) - 1);
			continue;
		}
		g->part[g->part_n] = '\0';
		take_line(g, g->part);
		g->part_n = 0;
	}
}

static unsigned sum(const struct got *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++)
		n += g->count[i];
	return n;
}

/* Read once; false at the end, or when nothing comes for a time that says something is lost. */
static bool read_some(struct got *g, int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	static char buf[8192];
	ssize_t n = poll(&pfd, 1, PATIENCE_MS) == 1 ? read(fd, buf, sizeof(buf)) : -1;

	if (n > 0)
		take(g, buf, (size_t)n);
	return n > 0;
}

static void read_until(struct got *g, int fd, unsigned lines)
{
	while (sum(g) < lines)
		assert_true(read_some(g, fd));
}

/* After the log and its end of the pipe are gone. */
static void read_rest(struct got *g, int fd)
{
	while (read_some(g, fd))
		;
	assert_int_equal(g->part_n, 0);
	assert_int_equal(g->broken, 0);
}

static struct tako__log *new_log(int fd, unsigned workers, uint32_t ring_bytes)
{
	struct tako__log *log = NULL;

	assert_int_equal(tako__log_new(&log, fd, TAKO_LOG_TEXT, workers, ring_bytes), 0);
	return log;
}

/* ---- Tests ------------------------------------------------------------------------------ */

/* A dozen times round a small ring, never more than half of it at once, since what was read
 * may still count as queued: nothing is dropped.  And as processes may share a pipe, each write
 * is of whole lines, also where the ring begins anew: O_DIRECT shows what was one write. */
static void test_wrap(void **state)
{
	enum { BATCH = 16, BATCHES = 25 };
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_DIRECT), 0);
	log = new_log(p[1], 1, SMALL_RING);
	for (unsigned i = 0; i < BATCHES; i++) {
		for (unsigned k = 0; k < BATCH; k++)
			put_line(log, 0, i * BATCH + k);
		while (sum(&g) < (i + 1) * BATCH) {
			assert_true(read_some(&g, p[0]));
			assert_int_equal(g.part_n, 0);
		}
	}
	assert_int_equal(tako__log_dropped(log), 0);
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	assert_int_equal(sum(&g), BATCH * BATCHES);
	close(p[0]);
}

/* A line alone is written without another one behind it, whatever the writer was doing when it
 * came: just done, napping, or long asleep. */
static void test_lonely_lines(void **state)
{
	static const int pause_ms[] = {0, 1, 0, 30, 95, 100, 105, 130, 250, 0, 300, 101, 99};
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log = new_log(p[1], 1, SMALL_RING);
	for (unsigned i = 0; i < TAKO__COUNT(pause_ms); i++) {
		poll(NULL, 0, pause_ms[i]);
		put_line(log, 0, i);
		read_until(&g, p[0], i + 1);
	}
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	close(p[0]);
}

/* Nobody reads: the worker goes on, and what did not fit is counted.  Then somebody reads: the
 * rest is there, whole and in order. */
static void run_full_pipe(int flags)
{
	enum { LINES = 20000 };
	struct got g = {.part_n = 0};
	struct tako__log *log;
	uint64_t dropped;
	int p[2];

	assert_int_equal(pipe2(p, flags), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	log = new_log(p[1], 1, SMALL_RING);
	for (unsigned i = 0; i < LINES; i++)
		put_line(log, 0, i);
	dropped = tako__log_dropped(log);
	assert_true(dropped > LINES / 2 && dropped < LINES);
	read_until(&g, p[0], (unsigned)(LINES - dropped));
	/* And on it goes. */
	put_line(log, 0, LINES);
	read_until(&g, p[0], (unsigned)(LINES - dropped) + 1);
	assert_int_equal(g.next[0], LINES + 1);
	assert_int_equal(tako__log_dropped(log), dropped);
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	close(p[0]);
}

static void test_full_pipe(void **state)
{
	(void)state;
	run_full_pipe(O_NONBLOCK);
	run_full_pipe(0);
}

/* Nobody ever reads: free() waits its two seconds, not for ever.  What it then leaves in the
 * pipe are whole lines. */
static void test_free_with_full_pipe(void **state)
{
	struct got g = {.part_n = 0};
	size_t live = failalloc_live();
	struct tako__log *log;
	uint64_t before;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	log = new_log(p[1], 2, 65536);
	for (unsigned i = 0; i < 200; i++) {
		put_line(log, 0, i);
		put_line(log, 1, i);
	}
	before = tako__clock_ns();
	tako__log_free(log);
	assert_true(tako__clock_ns() - before < UINT64_C(20000000000));
	/* Not by giving up on a thread that sits in write(). */
	assert_int_equal(failalloc_live(), live);
	close(p[1]);
	read_rest(&g, p[0]);
	assert_true(sum(&g) > 0 && sum(&g) < 400);
	close(p[0]);
}

/* What is queued when the log is freed is written before. */
static void test_free_flushes(void **state)
{
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	for (unsigned round = 0; round < 50; round++) {
		unsigned at = round * 8;

		log = new_log(p[1], WORKERS_MAX, SMALL_RING);
		for (unsigned i = 0; i < 8; i++)
			put_line(log, i % WORKERS_MAX, at + i);
		tako__log_free(log);
		read_until(&g, p[0], at + 8);
	}
	close(p[1]);
	read_rest(&g, p[0]);
	close(p[0]);
}

static void *free_log(void *arg)
{
	tako__log_free(arg);
	return NULL;
}

/* … and so is what came while the writer was held up by an earlier batch. */
static void test_free_flushes_late_lines(void **state)
{
	uint64_t deadline = tako__clock_ns() + UINT64_C(1000000) * PATIENCE_MS;
	struct got g = {.part_n = 0};
	struct tako__log *log;
	pthread_t thread;
	int waiting = 0;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	log = new_log(p[1], 1, 65536);
	for (unsigned i = 0; i < 100; i++)
		put_line(log, 0, i);
	while (waiting == 0 && tako__clock_ns() < deadline) {
		assert_int_equal(ioctl(p[0], FIONREAD, &waiting), 0);
		poll(NULL, 0, 20);
	}
	assert_true(waiting > 0);
	put_line(log, 0, 100);
	assert_int_equal(pthread_create(&thread, NULL, free_log, log), 0);
	/* Most likely both wait now, the writer with a batch that lacks the last line; if not, the
	 * lines arrive all the same. */
	poll(NULL, 0, 50);
	read_until(&g, p[0], 101);
	pthread_join(thread, NULL);
	close(p[1]);
	read_rest(&g, p[0]);
	close(p[0]);
}

/* The reader is gone: no SIGPIPE kills us, every line counts as dropped, and the worker goes
 * on finding room. */
static void run_broken(int reader, int fd)
{
	enum { LINES = 3000 };
	uint64_t deadline = tako__clock_ns() + UINT64_C(1000000) * PATIENCE_MS;
	struct tako__log *log = new_log(fd, 1, SMALL_RING);

	close(reader);
	for (unsigned i = 0; i < LINES; i++)
		put_line(log, 0, i);
	while (tako__log_dropped(log) < LINES && tako__clock_ns() < deadline)
		poll(NULL, 0, 1);
	assert_int_equal(tako__log_dropped(log), LINES);
	tako__log_free(log);
	close(fd);
}

static void test_reader_gone(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	run_broken(p[0], p[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
	run_broken(p[0], p[1]);
}

static void test_closed_descriptor(void **state)
{
	struct tako__log *log;
	uint64_t deadline = tako__clock_ns() + UINT64_C(1000000) * PATIENCE_MS;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	log = new_log(fd, 1, SMALL_RING);
	close(fd);
	put_line(log, 0, 0);
	while (!tako__log_dropped(log) && tako__clock_ns() < deadline)
		poll(NULL, 0, 1);
	assert_int_equal(tako__log_dropped(log), 1);
	tako__log_free(log);
}

static void test_regular_file(void **state)
{
	char name[] = "/tmp/tako_log_test_XXXXXX";
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	log = new_log(fd, 2, 1 << 20);
	for (unsigned i = 0; i < 5000; i++)
		put_line(log, i % 2, i);
	assert_int_equal(tako__log_dropped(log), 0);
	tako__log_free(log);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	read_rest(&g, fd);
	assert_int_equal(sum(&g), 5000);
	close(fd);
}

/* No room on the device: the lines wait for some, they are not taken for written. */
static void test_full_device(void **state)
{
	struct tako__log *log;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	log = new_log(fd, 1, SMALL_RING);
	for (unsigned i = 0; i < 1000; i++)
		put_line(log, 0, i);
	/* A ring's worth goes on waiting. */
	poll(NULL, 0, 150);
	assert_true(tako__log_dropped(log) > 900 && tako__log_dropped(log) < 1000);
	tako__log_free(log);
	close(fd);
}

static void put_long_line(struct tako__log *log)
{
	static char path[6000];
	tako_access a = {.size = sizeof(a), .peer = "-", .method = TAKO_STR("GET")};

	memset(path, 'p', sizeof(path));
	a.path = a.referer = a.user_agent = (tako_str){path, sizeof(path)};
	tako__log_put(tako__log_ring(log, 0), &a);
}

/* Longer than the ring: never fits, is counted, and harms nothing. */
static void test_line_too_long(void **state)
{
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log = new_log(p[1], 1, 1);
	put_line(log, 0, 0);
	put_long_line(log);
	put_line(log, 0, 1);
	read_until(&g, p[0], 2);
	assert_int_equal(tako__log_dropped(log), 1);
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	close(p[0]);
}

/* Longer than a pipe keeps together, but it fits: arrives in pieces. */
static void test_line_over_pipe_buf(void **state)
{
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log = new_log(p[1], 1, 16384);
	put_line(log, 0, 0);
	put_long_line(log);
	put_line(log, 0, 1);
	read_until(&g, p[0], 2);
	/* The long one is none of the numbered. */
	assert_int_equal(g.broken, 1);
	assert_int_equal(tako__log_dropped(log), 0);
	tako__log_free(log);
	close(p[1]);
	close(p[0]);
}

/* The host's signals never arrive on the writer: its mask holds all that can be blocked. */
static void test_signals(void **state)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct tako__log *log = new_log(fd, 1, SMALL_RING);
	DIR *d;
	unsigned others = 0;
	unsigned blocking = 0;
	struct dirent *e;

	(void)state;
	put_line(log, 0, 0);
	d = opendir("/proc/self/task");
	assert_non_null(d);
	while ((e = readdir(d))) {
		uint64_t want = (1u << (SIGPIPE - 1)) | (1u << (SIGTERM - 1)) |
		                (1u << (SIGXFSZ - 1));
		unsigned long long mask = 0;
		char path[300];
		char line[256];
		FILE *f;

		if (e->d_name[0] == '.' || atoi(e->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "re");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f))
			(void)sscanf(line, "SigBlk: %llx", &mask);
		fclose(f);
		others++;
		blocking += (mask & want) == want;
	}
	closedir(d);
	tako__log_free(log);
	close(fd);
	/* A sanitizer's own thread may be there as well. */
	assert_true(others >= 1 && blocking >= 1);
}

/* A program may make its server and then turn itself into a daemon. */
static void test_fork_before_the_first_line(void **state)
{
	struct got g = {.part_n = 0};
	struct tako__log *log;
	int status = -1;
	pid_t child;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log = new_log(p[1], 1, SMALL_RING);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		put_line(log, 0, 7);
		tako__log_free(log);
		_exit(0);
	}
	read_until(&g, p[0], 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	assert_int_equal(g.next[0], 8);
	close(p[0]);
}

/* ---- Many workers --------------------------------------------------------------------------- */

enum { PER_WORKER = 4000 };

struct producer {
	struct tako__log *log;
	unsigned worker;
};

static void *produce(void *arg)
{
	const struct producer *p = arg;

	for (unsigned i = 0; i < PER_WORKER; i++)
		put_line(p->log, p->worker, i);
	return NULL;
}

static void test_many_workers(void **state)
{
	struct producer producers[WORKERS_MAX];
	pthread_t threads[WORKERS_MAX];
	struct got g = {.part_n = 0};
	struct tako__log *log;
	uint64_t dropped;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	log = new_log(p[1], WORKERS_MAX, 16384);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		producers[i] = (struct producer){log, i};
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	}
	/* Some of it while they run; there is at least a ring of each. */
	read_until(&g, p[0], 100);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		pthread_join(threads[i], NULL);
	dropped = tako__log_dropped(log);
	read_until(&g, p[0], (unsigned)(WORKERS_MAX * PER_WORKER - dropped));
	tako__log_free(log);
	close(p[1]);
	read_rest(&g, p[0]);
	assert_int_equal(sum(&g) + dropped, WORKERS_MAX * PER_WORKER);
	close(p[0]);
}

/* ---- What is refused -------------------------------------------------------------------------- */

static void test_refused(void **state)
{
	struct tako__log *log = NULL;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(tako__log_new(&log, fd, TAKO_LOG_TEXT, 1, 4096), TAKO_EINVAL);
	close(fd);
	assert_int_equal(tako__log_new(&log, fd, TAKO_LOG_TEXT, 1, 4096), TAKO_ESYS);
	assert_non_null(strstr(tako_last_error(), strerror(EBADF)));
	assert_int_equal(tako__log_new(&log, 2, TAKO_LOG_JSON + 1, 1, 4096), TAKO_EINVAL);
	assert_int_equal(tako__log_new(&log, 2, TAKO_LOG_JSON, 1, (1u << 30) + 1), TAKO_EINVAL);
	assert_null(log);
	tako__log_free(NULL);
	assert_int_equal(tako__log_dropped(NULL), 0);
}

static void test_no_memory(void **state)
{
	size_t live = failalloc_live();
	size_t n;

	(void)state;
	for (n = 1;; n++) {
		struct tako__log *log = NULL;
		int rc;

		failalloc_arm(n);
		rc = tako__log_new(&log, STDERR_FILENO, TAKO_LOG_JSON, 3, 4096);
		if (!failalloc_disarm()) {
			assert_int_equal(rc, 0);
			tako__log_free(log);
			break;
		}
		assert_int_equal(rc, TAKO_ENOMEM);
		assert_null(log);
		assert_int_equal(failalloc_live(), live);
	}
	assert_int_equal(n, 1 + 2 * 3 + 1);
	assert_int_equal(failalloc_live(), live);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_lonely_lines),
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_free_with_full_pipe),
		cmocka_unit_test(test_free_flushes),
		cmocka_unit_test(test_free_flushes_late_lines),
		cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_closed_descriptor),
		cmocka_unit_test(test_regular_file),
		cmocka_unit_test(test_full_device),
		cmocka_unit_test(test_line_too_long),
		cmocka_unit_test(test_line_over_pipe_buf),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_fork_before_the_first_line),
		cmocka_unit_test(test_many_workers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

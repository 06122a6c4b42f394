/* SPDX-License-Identifier: MIT
 *
 * A loop of one runtime and sockets in it, for tests of seam A: every callback checks on the
 * way what rules 3 to 5 at the head of sys/runtime.h promise.
 */
#ifndef TESTS_UNIT_RUNTIME_RIG_H
#define TESTS_UNIT_RUNTIME_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>

#include <tako/server.h>
#include <tako/sys/runtime.h>

enum { RIG_RECV_BUFFER = 1024, RIG_OPS = 40, RIG_FOR_EVER = 2000 };

/* A stream in the loop, and the test's end of it. */
struct end {
	struct tako_sock s;
	int peer;
	char *got;
	size_t n;
	unsigned calls; /* of on_recv, the end included */
	unsigned ends;
	int end_res;
	unsigned closed;
	bool pause_next; /* pause from inside the next delivery */
	bool close_next;
	unsigned connects; /* of on_connect */
	int connect_err;
	unsigned failed_before; /* ops that were done when it came */
};

struct op {
	struct tako_send send;
	struct end *of;
	unsigned done;
	int err;
	unsigned order;
	bool close_in_done;
	struct op *then; /* queued when this one is done, wherever it belongs */
};

struct rig {
	const tako_runtime *rt; /* which one the tests are about */
	unsigned share;         /* buffers that one socket may fill in a turn */
	struct tako_loop *loop;
	struct op ops[RIG_OPS];
	unsigned completed;
	bool inside; /* a call into the runtime: no callback may run */
	bool turning;
};
extern struct rig rig;

/* A call into the runtime, from which no callback may come. */
#define RIG_CALL(expr)                                                                             \
	do {                                                                                       \
		rig.inside = true;                                                                 \
		expr;                                                                              \
		rig.inside = false;                                                                \
	} while (0)

/* Before and after each test; the second also finds leaks. */
int rig_set_up(void **state);
int rig_tear_down(void **state);
#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)
/* The same with a loop made from `cfg`; rig_tear_down() fits. */
int rig_open(const struct tako_loop_config *cfg);
/* Once in main(), before anything allocates. */
int rig_install(const tako_runtime *rt);

/* The nth allocation from here on fails (0: none), and how many have; how many blocks live. */
void rig_alloc_fail(size_t nth);
size_t rig_alloc_failed(void);
size_t rig_alloc_live(void);

void rig_turn_until(uint64_t deadline_ns);
void rig_turn(unsigned times);
bool rig_readable(int fd, int ms);

/* Connected to each other over loopback; the first is fit for rig_start_fd(). */
void rig_tcp_pair(int fds[2]);
void rig_start(struct end *e);
/* The same with `fd` in the loop, and `peer` to be closed at the end. */
void rig_start_fd(struct end *e, int fd, int peer);
/* Begin to connect; the peer is the test's to accept. */
void rig_connect(struct end *e, const struct sockaddr *to, socklen_t n);
/* Close, and see that it ends as rule 5 says. */
void rig_finish(struct end *e);
/* The peer sends. */
void rig_say(struct end *e, const char *p, size_t n);
/* All but queueing it. */
void rig_prepare(struct end *e, unsigned i, const char *p, size_t n);
void rig_queue(struct end *e, unsigned i, const char *p, size_t n);
void rig_queue_file(struct end *e, unsigned i, int fd, int64_t pos, size_t n);
/* `count` ops are done in order, the first `good` of them well and the rest with `err`. */
void rig_check_ops(unsigned count, unsigned good, int err);
/* Read what the peer gets, turning, until `want` bytes or nothing more comes. */
size_t rig_drain(struct end *e, char *to, size_t want);
/* malloc()ed. */
char *rig_pattern(size_t n);

#endif /* TESTS_UNIT_RUNTIME_RIG_H */

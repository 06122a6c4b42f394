/* SPDX-License-Identifier: MIT
 *
 * A user of the runtime as simple as can be: accepts, and writes down all he is told.  What he
 * asserts on the way is the contract of seam A as it is written; tests drive him.
 */
#ifndef TESTS_SIM_USER_H
#define TESTS_SIM_USER_H

#include "sim/sim_runtime.h"

enum {
	SIM_USER_TURNS_MAX = 100000,
	SIM_USER_OPS_MAX = 32,
	SIM_USERS_MAX = 8,
	SIM_USER_BYTES_MAX = 1 << 20,
};

struct sim_user;

struct sim_op {
	struct tako_send send;
	struct sim_user *user;
	unsigned done_count;
	int err;
};

/* One connection of his. */
struct sim_user {
	struct tako_sock sock;
	struct sim_op ops[SIM_USER_OPS_MAX];
	unsigned op_count;
	unsigned done_count;
	unsigned eof_count;
	unsigned broken_count;
	unsigned closed_count;
	unsigned connect_count;
	int connect_err;
	char *received;
	size_t received_n;
	bool pauses; /* by chance, in the callback */
	bool in_use;
};

extern struct sim sim_user_world;
extern struct tako_loop *sim_user_loop;
extern struct tako_sock sim_user_listener;
extern struct sim_user sim_users[SIM_USERS_MAX];
extern unsigned sim_user_count;
extern unsigned sim_user_accept_errors;
extern unsigned sim_user_listener_closed;
extern uint64_t sim_user_trace; /* all that happened, in one number */
extern bool sim_user_in_call;   /* into the runtime */

/* A call into the runtime, in which nobody may be called back. */
#define SIM_CALL(what)                                                                             \
	do {                                                                                       \
		sim_user_in_call = true;                                                           \
		what;                                                                              \
		sim_user_in_call = false;                                                          \
	} while (0)

/* A world with a listener; `options` NULL: calm. */
void sim_user_begin(uint64_t seed, const struct sim_options *options);
void sim_user_turn(void);
/* Connect, and turn until it was accepted. */
struct sim_user *sim_user_accepted(struct sim_link **ret_link);
/* Begin to connect to that port of 192.0.2.1. */
struct sim_user *sim_user_dial(unsigned port);
void sim_user_on_recv(struct tako_sock *s, char *p, ssize_t res);
void sim_user_on_closed(struct tako_sock *s);
void sim_user_on_done(struct tako_send *send, int err);
struct sim_op *sim_user_queue(struct sim_user *u, const char *p, size_t n, int file_fd);
/* Close everything and assert that it ended as it must.  `violation`: the text that was noted, ""
 * for none. */
void sim_user_end(const char *violation);

#endif /* TESTS_SIM_USER_H */

/* SPDX-License-Identifier: MIT
 *
 * Between the files of the simulated runtime: one socket of it.
 */
#ifndef TESTS_SIM_SOCK_H
#define TESTS_SIM_SOCK_H

#include "core/base.h"
#include "sim/sim_runtime.h"

struct sim_sock {
	struct sim *sim;
	struct sim_loop *loop;
	struct tako_sock *user;
	struct sim_link *link; /* NULL: it listens */
	int fd;
	char *flight; /* begun and not completed: the bytes as they were then */
	size_t flight_n;
	unsigned close_turns;
	bool dirty;  /* flush() was called, and not all has left */
	bool failed; /* nothing can be sent any more */
	bool shut;
	bool rst;
	bool connecting;
	bool torn; /* nothing happens any more but on_closed() */
};

/* Note down that the user broke the contract; the first text is kept. */
void sim_violation(struct sim *sim, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The world sim_begin() made, for calls whose socket may be dead memory. */
struct sim *sim_world(void);

/* Take a socket in; NULL: no room, or (a violation) it is in already. */
struct sim_sock *sim_sock_new(struct sim_loop *loop, struct tako_sock *s, int fd, bool listens);
/* The same for one that connects. */
struct sim_sock *sim_sock_dial(struct sim_loop *loop, struct tako_sock *s, int fd,
                               const struct sockaddr *to, socklen_t n);
void sim_sock_free(struct sim_sock *k);
/* Would a service do anything? */
bool sim_sock_ready(const struct sim_sock *k);
void sim_sock_service(struct sim_sock *k);
/* The sending half: would it do anything, do it, and give up what is under way. */
bool sim_sock_may_send(const struct sim_sock *k);
void sim_sock_send(struct sim_sock *k);
void sim_sock_land(struct sim_sock *k);
/* Torn down, and its time has come. */
bool sim_sock_over(struct sim_sock *k);
/* Calls on_closed() and frees. */
void sim_sock_closed(struct sim_sock *k);
/* What must hold between turns. */
void sim_sock_check(const struct sim_sock *k);
/* A descriptor that was given out and is closed already, without start(): its peer is told. */
void sim_sock_forsaken(struct sim *sim);

void sim_sock_resume(struct tako_sock *s);
void sim_sock_flush(struct tako_sock *s);
void sim_sock_close(struct tako_sock *s);
void sim_sock_reset(struct tako_sock *s);
void sim_sock_shut(struct tako_sock *s);
bool sim_sock_waiting(struct tako_sock *s);
bool sim_sock_silent(struct tako_sock *s);
size_t sim_sock_unacked(struct tako_sock *s);

#endif /* TESTS_SIM_SOCK_H */

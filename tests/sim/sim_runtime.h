/* SPDX-License-Identifier: MIT
 *
 * The third runtime behind seam A: sockets in memory, a seeded order of events and a clock that
 * jumps to the next of them.  It keeps the five rules of <tako/sys/runtime.h> as strictly as they
 * are written, uses all the freedom they leave, and notes down where its user does not keep them.
 *
 * One world at a time, on one thread, with a loop or two in it, whose turns the test takes in whatever
 * order; no wait of one goes beyond what the others wait for.  Descriptors are duplicates of one of /dev/null, for
 * closing them to mean something.
 */
#ifndef TESTS_SIM_RUNTIME_H
#define TESTS_SIM_RUNTIME_H

#include <tako/server.h>
#include <tako/sys/runtime.h>

#include "sim/sim_net.h"

/* How unruly the runtime is.  All zero: nothing fails, everything happens in the first turn it
 * can, and time stands still unless there is something to wait for. */
struct sim_options {
	struct sim_net_options net;
	size_t recv_bytes_max;       /* of one delivery; 0: all there is */
	size_t send_bytes_max;       /* of one send; 0: all there is room for */
	unsigned skip_permille;      /* a ready socket waits for a later turn */
	unsigned late_send_permille; /* a send completes in a later turn than it was begun */
	unsigned spurious_permille;  /* a wait ends for nothing */
	unsigned accept_error_permille;
	unsigned start_error_permille;
	unsigned connect_error_permille; /* for none of the remote's reasons */
	unsigned close_turns_max;        /* until on_closed() */
	uint64_t turn_ns_max;            /* what a turn without a wait takes */
	uint64_t late_ns_max;            /* how much later than asked for a wait ends */
};

enum { SIM_SOCKS_MAX = 512, SIM_LOOPS_MAX = 2, SIM_VIOLATION_BYTES = 200 };

struct sim;
struct sim_sock;

/* What there is at an address that the server connects to. */
struct sim_remote {
	int errno_value;   /* 0: somebody who answers */
	uint64_t after_ns; /* SIM_NEVER: nobody answers */
};

/* One worker's. */
struct sim_loop {
	struct tako_loop loop;
	struct sim *sim;
	uint64_t deadline_ns; /* of its last turn: it has something to do then, 0: at once */
	bool open;
	bool woken;
};

struct sim {
	struct sim_loop loops[SIM_LOOPS_MAX];
	struct sim_rand rand;
	struct sim_net net;
	struct sim_options options;
	struct sim_sock *socks[SIM_SOCKS_MAX];
	unsigned sock_count;
	unsigned handed_count; /* descriptors given out by on_accept() and not started yet */
	bool in_turn;
	bool idle;         /* the last turn found nothing to do nor to wait for */
	uint64_t alarm_ns; /* no wait goes on beyond this: the test has something to do then */
	int null_fd;
	/* NULL: everybody answers. */
	struct sim_remote (*remote)(struct sim *sim, const struct sockaddr *to, void *arg);
	void *remote_arg;
	uint64_t turns;
	uint64_t received_bytes; /* delivered to sockets */
	uint64_t sent_bytes;     /* taken from them */
	unsigned violation_count;
	char violation[SIM_VIOLATION_BYTES]; /* the first */
};

/* Make it the world that sim_runtime() works on.  `options` NULL: calm. */
void sim_begin(struct sim *sim, uint64_t seed, const struct sim_options *options);
/* Nothing may use the world's links or loop any more. */
void sim_end(struct sim *sim);
/* Everything there is to choose, chosen by chance. */
void sim_options_draw(struct sim_options *o, struct sim_rand *r);

const tako_runtime *sim_runtime(void);

static inline uint64_t sim_now(const struct sim *sim)
{
	return sim->net.now_ns;
}

#endif /* TESTS_SIM_RUNTIME_H */

/* SPDX-License-Identifier: MIT
 *
 * A server in a simulated world, stepped by the test, and what must be true when it has ended,
 * whatever happened to it: nothing leaked, every figure adds up, the contract of seam A was kept.
 */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include <tako/tako.h>

#include "sim/sim_runtime.h"

struct sim_server {
	struct sim sim;
	tako_server *srv;
	tako_server *beside; /* a second one in the same world, or NULL */
	int result;          /* what the last step of the first returned */
	bool srv_over;
	bool beside_over;
	bool over;   /* both */
	size_t live; /* allocated before */
	int next_fd; /* the lowest free descriptor before */
};

/* First in main(): allocations are counted, and can be made to fail. */
void sim_alloc_install(void);
/* From here on, the nth allocation fails (1: the next), or with `for_good` that and all later
 * ones; 0: none. */
void sim_alloc_fail(size_t nth, bool for_good);
/* Nothing fails any more.  How many did? */
size_t sim_alloc_calm(void);
/* Blocks that are allocated now, and their bytes. */
size_t sim_alloc_live(void);
size_t sim_alloc_live_bytes(void);
/* What is allocated until sim_alloc_go_on() is the test's: it neither fails nor counts. */
void sim_alloc_hold(void);
void sim_alloc_go_on(void);

/* Make the world.  `options` NULL: calm.  Before the router, which counts as the run's. */
void sim_server_begin(struct sim_server *s, uint64_t seed, const struct sim_options *options);
/* Takes over `router`.  Asserts that it starts.  `t` NULL: HTTP/1.1.  `listen` may be NULL. */
void sim_server_start(struct sim_server *s, tako_router *router, const tako_server_config *cfg,
                      const tako_transport *t, const tako_listen_config *listen);
/* A second server, which takes every other connection or so, by chance: another worker.  It takes over
 * `router`. */
void sim_server_beside(struct sim_server *s, tako_router *router, const tako_server_config *cfg,
                       const tako_transport *t, const tako_listen_config *listen);
/* tako_server_stop(), of both. */
void sim_server_stop(struct sim_server *s);
/* One turn, of one of them: the clients have theirs before the next.  The alarm has rung when it
 * returns. */
void sim_server_step(struct sim_server *s);
/* Turns until so much time has passed. */
void sim_server_pass(struct sim_server *s, uint64_t ns);
/* Stop, unless it has; step to the end (stopping again if that takes unreasonably long), free,
 * and assert all that is said above. */
void sim_server_end(struct sim_server *s);

#define SIM_MS UINT64_C(1000000)

#endif /* TESTS_SIM_SERVER_H */

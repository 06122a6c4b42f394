/* SPDX-License-Identifier: MIT
 *
 * The program that simulated servers run: a route for every way to answer.  What each must send is
 * known from its path, so a client can tell right from wrong.  Counts what was promised to run and
 * what ran.
 *
 *   GET  /text/{n}             "text n"
 *   GET  /pieces/{n}           n bytes of sim_pattern(n), written in pieces, length unknown
 *   GET  /length/{n}           … with the length announced
 *   GET  /lent/{n}             … lent instead of copied
 *   GET  /file/{n}             … from a file
 *   GET  /short/{n}            … from a file that has only half of them
 *   GET  /later/{ms}/{n}       "text n", so much later
 *   GET  /defer/{n}            "text n", when sim_app_turn() says so
 *   GET  /within/defer/{n}     the same, but 503 after SIM_WITHIN_MS
 *   GET  /hint/{n}             "text n" after a 103
 *   GET  /hang                 nothing, ever
 *   POST /echo                 the body as it comes, and the trailer X-Sum
 *   POST /slow                 the same, with pauses
 *   POST /whole                the body
 *   POST /ignore               "ignored", the body unread
 */
#ifndef TESTS_SIM_APP_H
#define TESTS_SIM_APP_H

#include <tako/tako.h>

#include "sim/sim_rand.h"

enum {
	SIM_PATTERN_BYTES = 1 << 20, /* of each pattern at most */
	SIM_DEFERRED_MAX = 64,
	SIM_WITHIN_MS = 100,
	SIM_PIECE_BYTES = 4096, /* of one write at most */
};

struct sim_app {
	struct sim_rand rand;
	unsigned begun; /* exchanges with an end hook */
	unsigned ended;
	unsigned failed; /* of them, with an error */
	unsigned lent;
	unsigned given_back;
	unsigned timers;
	unsigned timers_ran;
	uint64_t most_unsent_bytes; /* that a writer ever saw behind a write */
	tako_deferred *deferred[SIM_DEFERRED_MAX];
	unsigned deferred_count;
	unsigned deferred_permille; /* how likely sim_app_turn() answers each; 0: 500 */
};

/* `n` bytes that depend on `key`; never freed. */
const char *sim_pattern(uint64_t key);
/* Fresh counts.  Every router made by it shares the app. */
void sim_app_begin(struct sim_app *app, uint64_t seed);
tako_router *sim_app_router(struct sim_app *app);
/* Answer some of what is deferred, as another part of the program would. */
void sim_app_turn(struct sim_app *app);
/* Assert that each promise was kept, exactly once. */
void sim_app_end(const struct sim_app *app);

#endif /* TESTS_SIM_APP_H */

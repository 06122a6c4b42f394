/* SPDX-License-Identifier: MIT
 *
 * A client of sim_app over HTTP/1.1 that knows what it will be told: requests by chance, each with
 * the answer that has to come, whatever happens to the bytes on their way.
 */
#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include "sim/sim_app.h"
#include "sim/sim_http1.h"
#include "sim/sim_peer.h"

/* What one answer must be. */
struct sim_expect {
	int status;
	bool head_only;
	bool text;      /* "text <key>" */
	uint64_t key;   /* of the pattern */
	size_t body_at; /* from here on */
	size_t body_n;
	bool any_body; /* the test looks at it itself */
	const char *literal;
	bool trailer; /* X-Sum: <key> */
	bool hint;    /* one 103 comes before it */
	bool may_100; /* so may one 100 */
	bool close;   /* it is the last one on its connection */
	bool old;     /* HTTP/1.0 */
};

struct sim_script {
	struct sim_peer peer;
	struct sim_http1 http;
	struct sim_expect expect[SIM_REPLIES_MAX];
	unsigned count;
	size_t body_bytes_max; /* of each body; 0: 64 KiB */
	bool told_end;
};

void sim_script_open(struct sim_script *c, struct sim *sim);
void sim_script_free(struct sim_script *c);
/* Any request whose answer leaves the connection open. */
void sim_script_add(struct sim_script *c);
/* One after which it ends. */
void sim_script_add_last(struct sim_script *c);
/* Particular ones. */
void sim_script_get(struct sim_script *c, const char *path, struct sim_expect e);
void sim_script_turn(struct sim_script *c);
/* Every answer has come, or none will any more. */
bool sim_script_over(const struct sim_script *c);
/* Assert that what has come is right as far as it goes; `all`: and that it is everything. */
void sim_script_check(const struct sim_script *c, bool all);

#endif /* TESTS_SIM_SCRIPT_H */

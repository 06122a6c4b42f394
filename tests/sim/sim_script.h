/* SPDX-License-Identifier: MIT
 *
 * A client of sim_app that knows what it will be told: requests by chance, each with the answer
 * that has to come, whatever happens to the bytes on their way and whatever carries them.
 */
#ifndef TESTS_SIM_SCRIPT_H
#define TESTS_SIM_SCRIPT_H

#include "sim/sim_app.h"
#include "sim/sim_carrier.h"
#include "sim/sim_h2.h"
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
	struct sim_http1 http; /* unless there is */
	struct sim_h2 *h2;
	const struct sim_shell *shell; /* around it, or NULL */
	void *shell_state;
	struct sim_expect expect[SIM_REPLIES_MAX];
	unsigned count;
	size_t body_bytes_max; /* of each body; 0: 64 KiB */
	size_t stopped_at; /* over HTTP/1: what was said of the body of the last request, which goes on */
	bool ends;         /* … as soon as all of it was said */
	bool shuts;        /* the end of our side follows what is to be said */
	bool leaves;       /* over HTTP/2: it has begun to */
	bool told_end;
};

/* Over sim_carrier. */
void sim_script_open(struct sim_script *c, struct sim *sim);
void sim_script_free(struct sim_script *c);
/* Paces and manners by chance. */
void sim_script_draw(struct sim_script *c);
/* Any request whose answer leaves the connection open. */
void sim_script_add(struct sim_script *c);
/* One after which it ends: the server ends it over HTTP/1, the client over HTTP/2. */
void sim_script_add_last(struct sim_script *c);
/* Particular ones. */
void sim_script_get(struct sim_script *c, const char *path, struct sim_expect e);
void sim_script_ask(struct sim_script *c, const struct sim_ask *ask, struct sim_expect e);
/* Say more of the body of the ith request, which waits or has stopped: up to here, and not its end. */
void sim_script_go_on(struct sim_script *c, unsigned i, const struct sim_ask *ask, size_t to);
/* As it is, in whatever is around it. */
void sim_script_say(struct sim_script *c, const char *p, size_t n);
void sim_script_sayf(struct sim_script *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void sim_script_turn(struct sim_script *c);
/* What it says reaches the server: every handshake is through. */
bool sim_script_ready(const struct sim_script *c);
/* Everything was said. */
bool sim_script_silent(const struct sim_script *c);
/* Say the end of our side behind it. */
void sim_script_shut(struct sim_script *c);
/* The answer to the ith request, or NULL as long as it is not whole. */
struct sim_reply *sim_script_reply(const struct sim_script *c, unsigned i);
/* … as far as it has come; NULL: not at all. */
struct sim_reply *sim_script_heard(const struct sim_script *c, unsigned i);
/* How many are. */
unsigned sim_script_answered(const struct sim_script *c);
/* What came that must not come, or NULL. */
const char *sim_script_bad(const struct sim_script *c);
/* Every answer has come, or none will any more. */
bool sim_script_over(const struct sim_script *c);
/* Each request was answered, or its client can tell that it was not. */
bool sim_script_told(const struct sim_script *c);
/* The server has ended the connection, and said so in every layer. */
bool sim_script_ended(const struct sim_script *c);
/* Assert that what has come is right as far as it goes; `all`: and that it is everything. */
void sim_script_check(const struct sim_script *c, bool all);

#endif /* TESTS_SIM_SCRIPT_H */

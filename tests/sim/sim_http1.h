/* SPDX-License-Identifier: MIT
 *
 * The client's side of HTTP/1.1 for simulated tests: responses out of bytes, however they came.
 * Written anew from RFC 9112, not taken from the library, so that it can disagree.
 */
#ifndef TESTS_SIM_HTTP1_H
#define TESTS_SIM_HTTP1_H

#include "sim/sim_reply.h"

enum sim_http1_state {
	SIM_H1_HEAD,
	SIM_H1_LENGTH,
	SIM_H1_CHUNK_SIZE,
	SIM_H1_CHUNK_DATA,
	SIM_H1_CHUNK_END,
	SIM_H1_TRAILERS,
	SIM_H1_UNTIL_END,
};

struct sim_http1 {
	struct sim_reply *replies; /* the last may be incomplete */
	unsigned reply_count;      /* complete ones */
	unsigned reply_cap;
	unsigned expected_count;
	bool head_only[SIM_REPLIES_MAX]; /* of the requests, in order */
	bool upgrade[SIM_REPLIES_MAX];   /* … that ask for one */
	const char *bad;                 /* what was wrong with what came, or NULL */
	enum sim_http1_state state;
	size_t left; /* of a body with length, or a chunk */
	size_t line_n;
	char line[256]; /* of chunked framing */
};

void sim_http1_init(struct sim_http1 *h);
void sim_http1_free(struct sim_http1 *h);
/* A request was, or will be, sent. */
void sim_http1_expect(struct sim_http1 *h, bool head_only);
/* Bytes came; a sink for struct sim_peer. */
void sim_http1_feed(void *h, const char *p, size_t n);
/* The connection has ended, orderly or not. */
void sim_http1_end(struct sim_http1 *h, bool reset);
/* Something of an incomplete response is there. */
bool sim_http1_partial(const struct sim_http1 *h);

#endif /* TESTS_SIM_HTTP1_H */

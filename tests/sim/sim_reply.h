/* SPDX-License-Identifier: MIT
 *
 * A response as clients of simulated tests keep it, whatever protocol it came over.
 */
#ifndef TESTS_SIM_REPLY_H
#define TESTS_SIM_REPLY_H

#include <stdbool.h>
#include <stddef.h>

enum {
	SIM_REPLIES_MAX = 64,
	SIM_HEAD_BYTES = 2048,
	SIM_TRAILER_BYTES = 512,
};

/* One final response. */
struct sim_reply {
	int status;
	int minor;
	unsigned continue_count; /* 100s before it */
	unsigned hint_count;     /* 102s and 103s */
	bool head_only;          /* it answers HEAD */
	bool close;              /* "Connection: close" */
	bool keep_alive;         /* "Connection: keep-alive" */
	bool chunked;
	bool until_end; /* the end of the connection ends it */
	size_t head_n;
	char *body;
	size_t body_n;
	size_t body_cap;
	/* Last, for sim_reply_init() to leave alone: there are many, and few are used. */
	char head[SIM_HEAD_BYTES]; /* status line and fields, NUL behind */
	char trailers[SIM_TRAILER_BYTES];
};

void sim_reply_init(struct sim_reply *r);

/* The first value of a field, or NULL. */
const char *sim_reply_field(const struct sim_reply *r, const char *name, char *buf, size_t n);
void sim_reply_add_body(struct sim_reply *r, const char *p, size_t n);
/* One more line, "name: value"; false: too much. */
bool sim_reply_add_trailer(struct sim_reply *r, const char *line, size_t n);

#endif /* TESTS_SIM_REPLY_H */

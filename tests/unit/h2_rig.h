/* SPDX-License-Identifier: MIT
 *
 * A server in the simulated world, and a client of HTTP/2 that says exactly what a test tells it to,
 * wrong or right, and remembers what became of each stream.  One of each.
 */
#ifndef TAKO_TESTS_H2_RIG_H
#define TAKO_TESTS_H2_RIG_H

#include <nghttp2/nghttp2.h>

#include "sim/sim_server.h"

enum {
	H2_RIG_STREAMS = 256, /* ids below twice that */
	H2_RIG_NOTHING = -1,
	H2_RIG_END_STREAM = NGHTTP2_FLAG_END_STREAM,
};

struct h2_rig {
	struct sim_server server;
	struct sim_link *link;
	nghttp2_hd_inflater *inflater;
	int status[H2_RIG_STREAMS];    /* by id / 2; 0: none yet */
	int64_t reset[H2_RIG_STREAMS]; /* the code; or H2_RIG_NOTHING */
	bool ended[H2_RIG_STREAMS];
	size_t data_bytes[H2_RIG_STREAMS];
	int64_t goaway;   /* its code, or H2_RIG_NOTHING */
	uint32_t streams; /* at a time, as the server announced; 0: it did not */
	unsigned answers; /* heads so far */
	unsigned resets;
	size_t in_n;
	char in[1 << 17];
};

extern struct h2_rig h2_rig;

/* The world; then make the router; then serve it, which is taken over, and connect. */
void h2_rig_begin(void);
void h2_rig_start(tako_router *router, const tako_server_config *cfg);
/* Leave that connection alone, to go on with a new one of which nothing was heard yet. */
void h2_rig_connect(void);
void h2_rig_end(void);

/* Say it; nothing is read before h2_rig_pass(). */
void h2_rig_frame(unsigned type, unsigned flags, uint32_t id, const void *p, size_t n);
void h2_rig_ask(uint32_t id, const char *method, const char *path, unsigned flags);
void h2_rig_data(uint32_t id, size_t n, unsigned flags);
/* The answer to the server's SETTINGS. */
void h2_rig_ack(void);
/* So much more may come: of one, or (0) of all of them. */
void h2_rig_window(uint32_t id, uint32_t more);
/* Let time pass, and take what has come. */
void h2_rig_pass(uint64_t ms);

uint64_t h2_rig_timeouts(void);

#endif /* TAKO_TESTS_H2_RIG_H */

/* SPDX-License-Identifier: MIT
 *
 * A client of any protocol as the transport sees it: it has bytes to say, says them in bursts of
 * its own, and reads when it pleases.  What the bytes mean is its sink's.
 */
#ifndef TESTS_SIM_PEER_H
#define TESTS_SIM_PEER_H

#include "sim/sim_runtime.h"

/* How it talks and listens: up to so much at a time, then a pause of up to so long.  0: all at
 * once, and no pause. */
struct sim_pace {
	size_t bytes_max;
	uint64_t pause_ns_max;
	unsigned count; /* how often so far: after many small ones they grow, so that it ends */
};

struct sim_peer {
	struct sim *sim;
	struct sim_link *link;
	struct sim_pace talk;
	struct sim_pace listen;
	void (*sink)(void *arg, const char *p, size_t n);
	void *sink_arg;
	char *out; /* said so far: out_at bytes of out_n */
	size_t out_n;
	size_t out_cap;
	size_t out_at;
	uint64_t talk_ns; /* when it goes on */
	uint64_t listen_ns;
	bool deaf;         /* reads nothing */
	bool mute;         /* says nothing */
	uint64_t spoil_at; /* the byte at this place is said wrong; 1 is the first, 0: none is */
	unsigned char spoil_bits;
};

void sim_peer_open(struct sim_peer *p, struct sim *sim, void (*sink)(void *, const char *, size_t),
                   void *arg);
/* The link stays the net's. */
void sim_peer_free(struct sim_peer *p);
/* Paces by chance. */
void sim_peer_draw(struct sim_peer *p);
/* Put bytes behind what it has to say. */
void sim_peer_say(struct sim_peer *p, const char *data, size_t n);
void sim_peer_sayf(struct sim_peer *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Do what is due, and let the world's alarm ring when more is. */
void sim_peer_turn(struct sim_peer *p);
/* Everything was said. */
bool sim_peer_silent(const struct sim_peer *p);

#endif /* TESTS_SIM_PEER_H */

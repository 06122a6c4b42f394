/* SPDX-License-Identifier: MIT
 *
 * The usual cast: one server running sim_app, and clients with scripts.
 */
#ifndef TESTS_SIM_SCENE_H
#define TESTS_SIM_SCENE_H

#include "sim/sim_app.h"
#include "sim/sim_script.h"
#include "sim/sim_server.h"

enum { SIM_CLIENTS_MAX = 16, SIM_TURNS_MAX = 400000 };

struct sim_scene {
	struct sim_server server;
	struct sim_app app;
	struct sim_script clients[SIM_CLIENTS_MAX];
	unsigned count;
	size_t body_bytes_max; /* of what talkers ask for; 0: 64 KiB */
	/* Set before the beginning: */
	const char *files;              /* a directory to serve at /files; NULL: none */
	void (*routes)(tako_router *r); /* more of them, once for each server; NULL */
	void (*before_end)(void);       /* called when all are over, and nothing is freed yet */
	bool two;                       /* there are two servers: two workers */
};

/* `options` NULL: drawn from the seed.  `cfg` NULL: every default. */
void sim_scene_begin(struct sim_scene *s, uint64_t seed, const struct sim_options *options,
                     const tako_server_config *cfg);
/* One more client, which connects now. */
struct sim_script *sim_scene_client(struct sim_scene *s);
/* … with paces by chance, `count` requests by chance and one that ends the connection. */
struct sim_script *sim_scene_talker(struct sim_scene *s, unsigned count);
/* Every client's turn, the app's, the server's.  A client whose server has closed closes, too. */
void sim_scene_turn(struct sim_scene *s);
/* Turns until every script is over; false: that took too many. */
bool sim_scene_play(struct sim_scene *s);
/* Turns to the end of the server, and until all it has said has arrived; false: that took too many. */
bool sim_scene_run_out(struct sim_scene *s);
/* Turns until every handshake is through; false: that took too many. */
bool sim_scene_shake(struct sim_scene *s);
/* Turns until so much time has passed. */
void sim_scene_pass(struct sim_scene *s, uint64_t ns);
/* The clients leave, the server stops, and everything adds up. */
void sim_scene_end(struct sim_scene *s);

#endif /* TESTS_SIM_SCENE_H */

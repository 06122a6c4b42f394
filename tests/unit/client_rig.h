/* SPDX-License-Identifier: MIT
 *
 * A stepped server with a client, and places that it asks: the test is the other end of each connection, and
 * says what arrives when.
 */
#ifndef TESTS_UNIT_CLIENT_RIG_H
#define TESTS_UNIT_CLIENT_RIG_H

#include "transports/client/client_int.h"
#include "unit/dial_rig.h"

struct asked {
	tako_fetch *f; /* known from its first callback on, until its end */
	int (*head)(struct asked *a);
	int (*data)(struct asked *a);
	void (*writable)(struct asked *a);
	void (*end)(struct asked *a); /* what its user does in on_end() */
	unsigned heads;
	unsigned calls; /* of on_data() */
	unsigned ends;
	int err;
	int status;
	size_t bytes;
	char body[512]; /* the first of them */
	char why[160];
};

struct client_rig {
	struct stepped s;
	tako_client *client;
};

/* The server has GET /do, whose handler calls act(arg) from inside the runtime's turn. */
void client_rig_start(struct client_rig *r, const tako_server_config *server,
                      const tako_client_config *client, void (*act)(void *arg), void *arg);
/* The same, but for tako_server_fd(). */
void client_rig_start_late(struct client_rig *r, const tako_server_config *server);
/* Asserts that nothing is left of it. */
void client_rig_stop(struct client_rig *r);
/* Fetch from there, with the rest of `cfg`; NULL: nothing else. */
void client_rig_ask(struct client_rig *r, struct asked *a, const struct place *p,
                    const tako_fetch_config *cfg);
/* Turns, until so many ends of it have been told. */
void client_rig_await(struct client_rig *r, const struct asked *a);
void client_rig_turns(struct client_rig *r, unsigned count);
/* Have act() called: all of it, or as the first that happens in the next turn, and its end. */
void client_rig_do(struct client_rig *r);
void client_rig_send_do(struct client_rig *r);
/* The same, and nothing afterwards: epoll sees ends before what else has come, so that somebody else's of the same turn
 * would be before act(). */
void client_rig_send_last_do(struct client_rig *r);
void client_rig_hear_done(struct client_rig *r);
/* The response of the handler that act() is called by. */
tako_res *client_rig_res(void);

/* The other end: take a connection; wait for a whole head on it; answer. */
int place_serve(const struct place *p, struct client_rig *r);
void place_hear(int fd, struct client_rig *r);
void place_say(int fd, const char *text);

#endif /* TESTS_UNIT_CLIENT_RIG_H */

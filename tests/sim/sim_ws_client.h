/* SPDX-License-Identifier: MIT
 *
 * A client of a WebSocket that goes by what it hears: it says nothing before the handshake is through, answers
 * pings and a Close, and tells the test of every frame.  Where all that is said is known before, see sim_ws.h.
 */
#ifndef TESTS_SIM_WS_CLIENT_H
#define TESTS_SIM_WS_CLIENT_H

#include "sim/sim_script.h"
#include "sim/sim_ws_frame.h"

enum { SIM_WS_SAID_BYTES = 8 << 10 };

struct sim_ws_client {
	struct sim_script *script;
	unsigned request;
	struct sim_ask ask;
	bool open;      /* the handshake is through */
	bool rude;      /* it does not answer a Close, */
	bool mute;      /* … nor pings */
	unsigned pings; /* heard */
	unsigned code;  /* of the Close that was heard; 0: none was */
	size_t heard_n; /* of the body */
	size_t said_n;
	char said[SIM_WS_SAID_BYTES];
};

/* Ask for it, as the last request of `c` over HTTP/1. */
void sim_ws_client_ask(struct sim_ws_client *w, struct sim_script *c, const char *path);
/* Say a frame; as soon as the handshake is through. */
void sim_ws_client_say(struct sim_ws_client *w, unsigned first, const char *p, size_t n);
void sim_ws_client_close(struct sim_ws_client *w, unsigned code);
/* Hear what came since, and answer; true: something did. */
bool sim_ws_client_turn(struct sim_ws_client *w);

#endif /* TESTS_SIM_WS_CLIENT_H */

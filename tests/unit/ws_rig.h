/* SPDX-License-Identifier: MIT
 *
 * One WebSocket on a stepped server, its peer, and what its callbacks were told, as a line of text.
 * Never asserts by itself, because it also runs where allocations fail on purpose.
 */
#ifndef TESTS_UNIT_WS_RIG_H
#define TESTS_UNIT_WS_RIG_H

#include "unit/stepped.h"

enum { WS_RIG_WAIT_MS = 10000, WS_RIG_FRAME_MORE = 14 };

struct ws_rig {
	tako_ws_config cfg; /* what /ws is accepted with; set by ws_rig_config() */
	struct stepped server;
	struct peer peer;
	tako_ws *ws; /* between open and close */
	int accept_rc;
	unsigned opens;
	unsigned closes;
	/* "open text(abc) close(1000,bye)": of what is longer than 40 bytes only the length. */
	size_t told_n;
	char told[4096];
};

extern struct ws_rig ws_rig;

/* Every callback notes what it was told; nobody is pinged, messages come whole. */
void ws_rig_config(void);
/* … and messages come in parts. */
void ws_rig_config_parts(void);

/* A server with /ws on one worker; 0 or an error.  `cfg` NULL: the defaults. */
int ws_rig_start(const tako_server_config *cfg);
/* What stepped_stop() says. */
int ws_rig_stop(void);

/* Connect and shake hands, with lines of fields more ("" for none); false: no 101 came.  Behind the
 * head of that the peer's data begins. */
bool ws_rig_shake(const char *fields);
/* Step until so many bytes have come, or the peer is gone, or it takes too long. */
bool ws_rig_wait(size_t n);
/* … until on_close has run so often. */
bool ws_rig_closed(unsigned closes);
/* Exactly these bytes come next; they are dropped. */
bool ws_rig_hears(const void *p, size_t n);
/* A few turns, after which what was written has been sent as far as the peer takes it. */
void ws_rig_turns(void);

/* A client's frame, masked; its length, at most n + WS_RIG_FRAME_MORE. */
size_t ws_rig_frame(char *to, unsigned first, const void *p, size_t n);
/* Hand received bytes to the WebSocket, `step` at a time, without a socket between: they are its to
 * change.  What it answers waits for the next turn. */
void ws_rig_feed(char *p, size_t n, size_t step);
/* … one frame, whole. */
void ws_rig_say(unsigned first, const char *text);

/* What was told since the last call, or the start. */
const char *ws_rig_told(void);

#endif /* TESTS_UNIT_WS_RIG_H */

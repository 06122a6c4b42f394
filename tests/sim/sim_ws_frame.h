/* SPDX-License-Identifier: MIT
 *
 * Frames of WebSockets for simulated tests: a client's as bytes, a server's out of them.  Written anew from
 * RFC 6455 section 5.2.  Knows nothing of messages, nor of compression.
 */
#ifndef TESTS_SIM_WS_FRAME_H
#define TESTS_SIM_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>

enum {
	SIM_WS_CONTINUED = 0,
	SIM_WS_TEXT = 1,
	SIM_WS_BINARY = 2,
	SIM_WS_CLOSE = 8,
	SIM_WS_PING = 9,
	SIM_WS_PONG = 10,
	SIM_WS_RSV1 = 0x40,
	SIM_WS_FIN = 0x80,

	SIM_WS_KEY_BYTES = 4,
	SIM_WS_HEAD_BYTES = 14, /* at most */
};

struct sim_ws_frame {
	unsigned first; /* FIN, RSV1 and the opcode */
	const char *p;
	size_t n;
};

/* The head of a client's frame; returns its bytes. */
size_t sim_ws_frame_head(char to[SIM_WS_HEAD_BYTES], unsigned first, size_t n,
                         const char key[SIM_WS_KEY_BYTES]);
void sim_ws_frame_mask(char *p, size_t n, const char key[SIM_WS_KEY_BYTES]);
/* One frame of a server, which fails the test if it is none; false: it is not whole.  Moves *p and *n
 * behind it. */
bool sim_ws_frame_next(const char **p, size_t *n, struct sim_ws_frame *f);
/* What a Close says; 0: it says nothing, or is none. */
unsigned sim_ws_frame_code(const struct sim_ws_frame *f);

#endif /* TESTS_SIM_WS_FRAME_H */

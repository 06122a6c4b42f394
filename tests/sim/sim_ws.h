/* SPDX-License-Identifier: MIT
 *
 * A client of an echoing WebSocket for simulated tests: what it says, in frames, and what must come back.
 * Written anew from RFC 6455 and RFC 7692, so that it can disagree; of zlib it has its own streams.
 */
#ifndef TESTS_SIM_WS_H
#define TESTS_SIM_WS_H

#include <stdbool.h>
#include <stddef.h>

#include "sim/sim_rand.h"

enum { SIM_WS_ITEMS_MAX = 32 };

/* permessage-deflate as it was agreed on; bits 0: it was not. */
struct sim_ws_deflate {
	int client_bits;
	int server_bits;
	bool client_keeps; /* its window from one message to the next */
	bool server_keeps;
};

struct sim_ws_item {
	unsigned op; /* RFC 6455 section 5.2 */
	char *p;
	size_t n;
};

struct sim_ws {
	struct sim_rand *rand;
	struct sim_ws_deflate deflate;
	char *said;
	size_t said_n;
	size_t said_cap;
	struct sim_ws_item want[SIM_WS_ITEMS_MAX];
	unsigned want_n;
	void *deflater;
};

void sim_ws_init(struct sim_ws *ws, struct sim_rand *rand, const struct sim_ws_deflate *deflate);
void sim_ws_free(struct sim_ws *ws);
/* Say a message by chance, in frames, with pings between them. */
void sim_ws_message(struct sim_ws *ws, size_t bytes_max);
void sim_ws_close(struct sim_ws *ws, unsigned code);
/* Hold the server's frames against what is due.  Returns how many of `want` came; *ret_close is the code of
 * a Close that came instead of the next one, 0: none did.  Fails the test otherwise. */
unsigned sim_ws_check(struct sim_ws *ws, const char *p, size_t n, unsigned *ret_close);

#endif /* TESTS_SIM_WS_H */

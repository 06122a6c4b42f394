/* SPDX-License-Identifier: MIT
 *
 * A server that is stepped on the test's own thread, and plain client sockets to talk to it: no
 * thread, no sleep, so that a failed allocation or a pause happens at a known place.
 * Never asserts by itself, because it also runs where allocations fail on purpose.
 */
#ifndef TESTS_UNIT_STEPPED_H
#define TESTS_UNIT_STEPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tako/tako.h>

struct stepped {
	tako_server *srv;
	uint16_t port;
	int stopped; /* what the last step returned once it was not 1 */
	bool over;
};

/* Everything read from one client socket so far. */
struct peer {
	int fd;
	bool closed; /* the server closed or reset */
	bool reset;
	unsigned char mask; /* every byte is XORed with it, both ways */
	size_t n;
	char data[1 << 18];
};

/* One response parsed out of what a peer received. */
struct reply {
	int status;
	bool complete;
	bool valid; /* false: what came is not the beginning of a response */
	bool close; /* "Connection: close", or no framing */
	size_t head_n;
	size_t total_n; /* bytes of it in the peer's data; 0 until complete */
	size_t body_n;
	char body[1 << 17];
	char trailers[1024];
};

/* 0, or the error of whichever call failed; nothing is left then.  Takes no reference of its own
 * to `router`.  `t` NULL: HTTP/1.1. */
int stepped_start(struct stepped *s, tako_router *router, const tako_server_config *cfg,
                  const tako_transport *t);
/* Drain, step until stopped or `cut`, free.  Returns what the last step did. */
int stepped_stop(struct stepped *s);
/* One turn, at most `ms` long. */
void stepped_turn(struct stepped *s, uint32_t ms);

/* Connect; -1 if that fails. */
void peer_open(struct peer *p, const struct stepped *s);
void peer_close(struct peer *p);
/* Send all, stepping as the socket fills.  False: the peer is gone. */
bool peer_send(struct peer *p, struct stepped *s, const char *data, size_t n);
/* Take what has arrived without waiting. */
void peer_read(struct peer *p);
/* Forget the first n bytes. */
void peer_drop(struct peer *p, size_t n);
/* Step until a whole final response is at the start of what was received, or the connection is
 * closed, or about `ms` have passed.  True: a whole one.  Interim responses are dropped. */
bool peer_reply(struct peer *p, struct stepped *s, struct reply *r, bool head_only, uint32_t ms);
/* Step until the server has closed, about `ms` at most. */
bool peer_closed(struct peer *p, struct stepped *s, uint32_t ms);
/* Parse what is there now. */
void reply_parse(struct reply *r, const struct peer *p, bool head_only);
/* The value of a field of the reply at the start of the data, or NULL. */
const char *reply_field(const struct peer *p, const struct reply *r, const char *name, char *buf,
                        size_t buf_bytes);

#endif /* TESTS_UNIT_STEPPED_H */

/* SPDX-License-Identifier: MIT
 *
 * The payload of messages, compressed and inflated as permessage-deflate says (RFC 7692 section 7.2).
 * Knows no frames and no handshake: what was agreed on is in its parameters.
 */
#ifndef TAKO_WS_DEFLATE_H
#define TAKO_WS_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transports/ws/ws_zlib.h"

/* What both sides agreed on: tako__ws_offer_take(). */
struct tako__ws_deflate_params {
	uint8_t server_bits;    /* of our compressor's window, 9 to 15 */
	uint8_t client_bits;    /* of the peer's, 8 to 15 */
	uint8_t mem_level;      /* 1 to 9, see deflateInit2() */
	uint8_t level;          /* 1 to 9 */
	bool server_no_context; /* no message of ours refers to one before it */
	bool client_no_context; /* no message of the peer's does */
	bool say_server_bits;   /* the answer must have them */
	bool say_client_bits;
};

/* Where bytes go. */
struct tako__ws_sink {
	/* Room for more of them, at least TAKO__WS_SINK_BYTES; NULL without memory. */
	char *(*room)(void *arg, size_t *ret_bytes);
	/* So many, maybe none, lie where room() last said. */
	void (*wrote)(void *arg, size_t bytes);
	void *arg;
};
enum { TAKO__WS_SINK_BYTES = 16 };

/* One connection's.  Between messages it has a stream of zlib in a direction only if that keeps its
 * context. */
struct tako__ws_deflate {
	struct tako__ws_zpool *pool;
	struct tako__ws_z *out;
	struct tako__ws_z *in;
	uint64_t in_bytes; /* inflated of the message that is coming */
	struct tako__ws_deflate_params params;
};

/* Allocates nothing. */
void tako__ws_deflate_init(struct tako__ws_deflate *d, struct tako__ws_zpool *pool,
                           const struct tako__ws_deflate_params *params);
/* Between messages or inside one. */
void tako__ws_deflate_fini(struct tako__ws_deflate *d);

/* Compress a whole message.  It must then be sent like that: if contexts are kept, later messages
 * refer to it.
 * TAKO_ENOMEM: the connection cannot compress another message, since the contexts differ. */
int tako__ws_deflate(struct tako__ws_deflate *d, const char *p, size_t n,
                     const struct tako__ws_sink *to);

/* Inflate the next n bytes of a message; `last`: it has no more, and the next call begins another.  No
 * room is asked for beyond max_bytes of the whole message.  After a failure only _fini() is left.
 * TAKO_ETOOBIG: the message is larger; TAKO_EPROTO: it is not DEFLATE, or cut short; TAKO_ENOMEM. */
int tako__ws_inflate(struct tako__ws_deflate *d, const char *p, size_t n, bool last,
                     uint64_t max_bytes, const struct tako__ws_sink *to);

#endif /* TAKO_WS_DEFLATE_H */

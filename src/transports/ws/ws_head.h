/* SPDX-License-Identifier: MIT
 *
 * The head of a frame (RFC 6455 section 5.2), read and written.  Sans-I/O; knows what a frame may
 * say of itself, not what may follow what.
 */
#ifndef TAKO_WS_HEAD_H
#define TAKO_WS_HEAD_H

#include <stddef.h>
#include <stdint.h>

enum tako__ws_opcode {
	TAKO__WS_MORE = 0, /* the next part of a message */
	TAKO__WS_TEXT = 1,
	TAKO__WS_BINARY = 2,
	TAKO__WS_CLOSE = 8,
	TAKO__WS_PING = 9,
	TAKO__WS_PONG = 10,
};

/* The first byte: with the opcode. */
enum {
	TAKO__WS_FIN = 0x80,
	TAKO__WS_RSV = 0x70,
	TAKO__WS_RSV1 = 0x40, /* compressed (RFC 7692 section 6) */
	TAKO__WS_OPCODE = 0x0f,
	TAKO__WS_CONTROL = 0x08,
};
/* The second. */
enum { TAKO__WS_MASKED = 0x80 };

enum {
	TAKO__WS_HEAD_BYTES = 14,     /* of a client's, at most */
	TAKO__WS_OUR_HEAD_BYTES = 10, /* of ours, which have no key */
	TAKO__WS_CONTROL_BYTES = 125, /* payload of a control frame, at most */
};

struct tako__ws_head {
	uint64_t length;
	uint32_t key;  /* as its bytes lie in memory */
	uint8_t first; /* FIN, RSV and opcode */
};

/* Read a client's.  Its length; 0: the n bytes at p are not all of it; TAKO_EPROTO: no client may
 * send that: no mask, an unknown opcode, a length in more bytes than it needs or beyond 2^63, or a
 * control frame that is too long or a fragment. */
int tako__ws_head_read(struct tako__ws_head *ret, const char *p, size_t n);

/* Write one of ours in front of n bytes; its length. */
size_t tako__ws_head_write(char to[TAKO__WS_OUR_HEAD_BYTES], unsigned first, uint64_t n);

#endif /* TAKO_WS_HEAD_H */

/* SPDX-License-Identifier: MIT
 *
 * Length-prefixed messages (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"): a byte of flags, four of
 * length, the message.  Bytes in, messages out; knows no call.
 */
#ifndef TAKO_GRPC_FRAME_H
#define TAKO_GRPC_FRAME_H

#include <tako/base.h>

enum {
	TAKO__GRPC_HEAD_BYTES = 5,
	TAKO__GRPC_COMPRESSED = 1,
	TAKO__GRPC_TRAILERS = 0x80, /* gRPC-Web, responses only: what follows is no message */
};

/* All zero at the beginning. */
struct tako__grpc_reader {
	char *p; /* what has come of a message that is not whole; the reader's own */
	size_t n;
	size_t cap;
	uint32_t length;
	uint8_t head_n; /* bytes of the prefix so far */
	uint8_t flags;
	uint8_t unused[2];
};

/* Take bytes off the front of `in`.
 *   1            a message, in *ret until the next call; r->flags says whether it is compressed
 *   0            all of `in` was taken, there is no whole one yet
 *   TAKO_ETOOBIG it is announced longer than `limit`: nothing of it was kept
 *   TAKO_EPROTO  flags that a request cannot have
 *   TAKO_ENOMEM */
int tako__grpc_read(struct tako__grpc_reader *r, tako_str *in, uint64_t limit, tako_str *ret);
/* Nothing has come of another message. */
static inline bool tako__grpc_reader_idle(const struct tako__grpc_reader *r)
{
	return !r->head_n;
}
void tako__grpc_reader_fini(struct tako__grpc_reader *r);

/* Write a prefix. */
static inline void tako__grpc_head(char to[TAKO__GRPC_HEAD_BYTES], unsigned flags, uint32_t n)
{
	to[0] = (char)flags;
	to[1] = (char)(n >> 24);
	to[2] = (char)(n >> 16);
	to[3] = (char)(n >> 8);
	to[4] = (char)n;
}

#endif /* TAKO_GRPC_FRAME_H */

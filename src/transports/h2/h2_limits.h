/* SPDX-License-Identifier: MIT
 *
 * What a peer may make us do for nothing.  Walks over the frames that are received before the
 * library that understands them does, and counts what costs more to answer than to send:
 * CONTINUATION without end, SETTINGS, PING, PRIORITY, WINDOW_UPDATE and empty DATA by the
 * thousand, requests that are reset.  Sans-I/O; understands a frame's head and no more.
 */
#ifndef TAKO_H2_LIMITS_H
#define TAKO_H2_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TAKO__H2_PREFACE_BYTES = 24,
	TAKO__H2_FRAME_HEAD_BYTES = 9,
	TAKO__H2_UNIT_BYTES_MAX = 13, /* handed on as a whole */
	/* A bucket that is empty is full again after this. */
	TAKO__H2_REFILL_S = 30,
};

/* A number of things that may happen at once; then as many again in TAKO__H2_REFILL_S. */
struct tako__h2_bucket {
	uint32_t left;
	uint32_t burst;
	uint64_t since_ns;
};

/* TAKO_OFF as the burst: never empty. */
void tako__h2_bucket_init(struct tako__h2_bucket *b, uint32_t burst, uint64_t now_ns);
/* False: none was left. */
bool tako__h2_bucket_take(struct tako__h2_bucket *b, uint64_t now_ns);
/* Something useful happened. */
static inline void tako__h2_bucket_earn(struct tako__h2_bucket *b, uint32_t n)
{
	b->left = n < b->burst - b->left ? b->left + n : b->burst;
}

/* WINDOW_UPDATEs that a peer may owe us at most: they are on their way as long as its DATA was. */
#define TAKO__H2_GRANTED_MAX 65536u

struct tako__h2_limits {
	struct tako__h2_bucket control; /* frames that bring nothing */
	struct tako__h2_bucket resets;  /* streams that ended by an error */
	uint32_t granted;               /* WINDOW_UPDATEs that DATA has been sent for */
	uint32_t continuations_max;     /* of one field block */
	uint32_t block_bytes_max;       /* of one field block, compressed */
	uint32_t frame_bytes_max;       /* of a frame's payload, as we announced */
	uint32_t block_bytes;           /* of the present one */
	uint32_t skip;                  /* payload bytes to come */
	uint32_t continuations;
	uint8_t preface_n; /* bytes seen of it */
	uint8_t kept_n;
	uint8_t type;                          /* of the frame whose payload is skipped */
	bool in_block;                         /* a field block has begun and not ended */
	uint8_t kept[TAKO__H2_UNIT_BYTES_MAX]; /* of a frame, so far */
	uint8_t joined[TAKO__H2_UNIT_BYTES_MAX];
	bool wrong;      /* no flood: a frame that must be refused and would be ignored */
	const char *why; /* what was too much, or wrong: NULL until something is */
	/* DATA that left without the library, which believes the connection's window to be larger
	 * by so much. */
	uint64_t ahead_bytes;
};

/* n bytes of DATA were sent, in one frame: what the peer grants us for it later is worth that much of its
 * frames. */
void tako__h2_limits_sent(struct tako__h2_limits *l, size_t n);

struct tako__h2_span {
	uint8_t *p;
	size_t n;
};

/* Look at p[0..n), received now.  What may be processed is out[0] and then out[1]: all, or what comes
 * before the frame that is one too many, and l->why says which.  A frame's head is handed on as a
 * whole: what of it is at the end of p is kept, and comes in out[0] when the rest has come.  So is a
 * WINDOW_UPDATE of the connection, which gives back what is ahead first: it is written down to what
 * is left of it or, with nothing left, made a frame that is ignored. */
void tako__h2_limits_scan(struct tako__h2_limits *l, char *p, size_t n, uint64_t now_ns,
                          struct tako__h2_span out[2]);

/* Something other than a body has begun and not ended: a frame, a field block, the preface. */
bool tako__h2_limits_waits(const struct tako__h2_limits *l);

#endif /* TAKO_H2_LIMITS_H */

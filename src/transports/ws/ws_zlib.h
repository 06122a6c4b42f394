/* SPDX-License-Identifier: MIT
 *
 * Streams of zlib, made out of the library's allocator and kept for the next one who needs such a
 * stream: a worker's, since most messages need one for the length of a call only.  Knows what a stream
 * costs; knows nothing of messages.
 */
#ifndef TAKO_WS_ZLIB_H
#define TAKO_WS_ZLIB_H

#include <stddef.h>

#include <zlib.h>

enum {
	TAKO__WS_Z_MIN_BITS = 9, /* zlib's raw deflate refuses 8, see tako__ws_offer_take() */
	TAKO__WS_Z_MAX_BITS = 15,
	TAKO__WS_Z_KEPT = 8, /* free streams of a worker, in either direction */
};

struct tako__ws_z {
	z_stream z;
	struct tako__ws_z *next; /* in the pool */
	int bits;
	int mem_level; /* deflate only */
	int level;
};

/* One thread's; all zero is an empty one. */
struct tako__ws_zpool {
	struct tako__ws_z *deflaters; /* the last one given back first */
	struct tako__ws_z *inflaters;
};

/* Every stream must have been given back. */
void tako__ws_zpool_fini(struct tako__ws_zpool *pool);

/* A fresh stream of raw DEFLATE, with a window of 2^bits bytes.  NULL: no memory. */
struct tako__ws_z *tako__ws_z_deflater(struct tako__ws_zpool *pool, int bits, int mem_level,
                                       int level);
/* 8 to 15 bits.  The window comes later, with the first byte. */
struct tako__ws_z *tako__ws_z_inflater(struct tako__ws_zpool *pool, int bits);

/* Give a stream back, in whatever state it is; NULL is fine. */
void tako__ws_z_put_deflater(struct tako__ws_zpool *pool, struct tako__ws_z *z);
void tako__ws_z_put_inflater(struct tako__ws_zpool *pool, struct tako__ws_z *z);

/* How much memory such a stream takes at most. */
size_t tako__ws_z_deflater_bytes(int bits, int mem_level);
size_t tako__ws_z_inflater_bytes(int bits);

#endif /* TAKO_WS_ZLIB_H */

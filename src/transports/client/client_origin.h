/* SPDX-License-Identifier: MIT
 *
 * Whoever one connection is as good as the other for, and the fetches that wait for one of theirs.  Counts, and
 * decides nothing.
 */
#ifndef TAKO_CLIENT_ORIGIN_H
#define TAKO_CLIENT_ORIGIN_H

#include "transports/client/client_int.h"

/* There is one while there is a connection or a fetch. */
struct tako__client_origin {
	struct tako__list link;
	struct tako__client_pool *pool;
	const struct tako__carrier
		*carrier;        /* of the last connection; NULL: there was none to tell */
	struct tako__list queue; /* fetches, the oldest first */
	/* Connections that can take another one, the latest first: the others may end by being idle. */
	struct tako__list open;
	/* How many requests at a time a new connection is expected to take.  0: that is not known, or none
	 * at the moment, so that there is but one of them until it has said. */
	uint32_t stream_max;
	uint32_t conn_count;  /* made or being made */
	uint32_t dial_count;  /* being made, or made and yet to say how many requests they take */
	uint32_t dial_number; /* of the last one that was begun */
	uint32_t queue_count;
	uint32_t waiting_count; /* its part of the pool's */
	uint32_t idle_count;    /* connections without a request */
	uint32_t key_n;
	char key[];
};

/* NULL: there is none. */
struct tako__client_origin *tako__client_origin_find(struct tako__client_pool *p, tako_str key);
/* NULL: no memory. */
struct tako__client_origin *tako__client_origin_new(struct tako__client_pool *p, tako_str key);
/* Of https. */
static inline bool tako__client_origin_is_secure(const struct tako__client_origin *o)
{
	return o->key[0] == 's';
}
/* Free it if it has nothing any more. */
void tako__client_origin_release(struct tako__client_origin *o);

/* Its connections carry one request each: for everybody who waits another one is made. */
static inline bool tako__client_is_single(const struct tako__client_origin *o)
{
	return o->stream_max == 1;
}

/* Fetches beyond those that what is being made is for. */
uint32_t tako__client_waiting(const struct tako__client_origin *o);
/* What that comes from has changed. */
void tako__client_recount(struct tako__client_origin *o);

void tako__client_enqueue(struct tako__client_origin *o, struct tako_fetch *f);
struct tako_fetch *tako__client_dequeue(struct tako_fetch *f);
/* Of those that wait, of whom there are some. */
static inline struct tako_fetch *tako__client_first(const struct tako__client_origin *o)
{
	return TAKO__CONTAINER(o->queue.next, struct tako_fetch, link);
}

#endif /* TAKO_CLIENT_ORIGIN_H */

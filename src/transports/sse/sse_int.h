/* SPDX-License-Identifier: MIT
 *
 * One stream of events, for the files that make it up.
 */
#ifndef TAKO_SSE_INT_H
#define TAKO_SSE_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include <tako/sse.h>

#include "core/shared.h"
#include "core/topic.h"
#include "core/wheel.h"
#include "core/worker.h"

struct tako__sse_sub {
	struct tako__sub sub;
	tako_sse *sse;
	struct tako__list link; /* the stream's */
};

enum tako__sse_state {
	TAKO__SSE_OPEN,
	TAKO__SSE_ENDING, /* decided; its timer lets go of the exchange */
	TAKO__SSE_OVER,   /* on_close was called, the exchange is let go of */
};

/* What a topic's message touches comes first, in as few cache lines as it fits. */
struct tako_sse {
	struct tako__sse_sub first; /* subscription; further ones are allocated */
	struct tako__exchange *x;   /* kept by a reference until TAKO__SSE_OVER */
	uint64_t limit_bytes;
	uint64_t sent_ns;          /* when it was last written to */
	struct tako__shared *lent; /* what `op` sends; NULL: it is free */
	struct tako_send op;
	enum tako__sse_state state;
	int32_t err;
	struct tako__list subs;
	uint32_t sub_count;
	uint32_t reserved;
	uint64_t interval_ns; /* between comments; UINT64_MAX: never */
	uint64_t dropped;
	struct tako__timer timer;
	tako_sse_config cfg;
	void *arg;
	tako_str last_id;
	_Atomic uint32_t refs; /* its own until on_close, the user's, and posted events' */
	/* Between the loop and whoever posts from elsewhere: */
	pthread_mutex_t lock;
	struct tako__worker *to; /* NULL once it has ended: nothing may be posted */
	uint64_t posted_bytes;   /* that the loop has not got round to */
};

/* Write bytes that are whole events, under the stream's limit and policy; as tako_sse_send(). */
int64_t tako__sse_put(tako_sse *sse, const char *p, size_t n);
/* No client is told anything any more; on_close comes soon.  `err` 0: behind an orderly end. */
void tako__sse_end(tako_sse *sse, int err);
/* For it is over. */
void tako__sse_unsubscribe_all(tako_sse *sse);
/* Drop a reference. */
void tako__sse_drop(tako_sse *sse);

#endif /* TAKO_SSE_INT_H */

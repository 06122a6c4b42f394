/* SPDX-License-Identifier: MIT
 *
 * A user of sessions for tests, who notes what is called, and does what a test tells him.
 */
#ifndef TESTS_UNIT_WT_LOG_H
#define TESTS_UNIT_WT_LOG_H

#include <stddef.h>
#include <tako/tako.h>

enum { WT_LOG_BYTES = 1 << 14, WT_LOG_STREAMS = 64 };

/* Zeroed by wt_log_start(). */
struct wt_log {
	char text[WT_LOG_BYTES]; /* "open|stream bidi|data x end|…" */
	size_t n;
	tako_wt *wt; /* the last one that was opened; NULL: it is over */
	tako_wt_stream *streams[WT_LOG_STREAMS]; /* that are open, in their order */
	unsigned count;
	uint64_t bytes; /* of all data */
	unsigned opened;
	unsigned closed;
	unsigned streams_opened;
	unsigned streams_closed;
	/* What to do. */
	bool echo;  /* what comes goes back, on the stream itself or on one of ours */
	bool quiet; /* data is counted, not noted */
	bool pause; /* new streams are */
	bool close_on_data;
	int last; /* of a call that was made from a callback */
};

extern struct wt_log wt_log;
/* With every callback of it. */
extern const tako_wt_config wt_log_config;

void wt_log_start(void);
/* What was noted since the last call. */
const char *wt_log_take(void);

#endif /* TESTS_UNIT_WT_LOG_H */

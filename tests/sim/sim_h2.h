/* SPDX-License-Identifier: MIT
 *
 * The client's side of HTTP/2 for simulated tests, frame by frame: it asks, uploads, opens its
 * windows and gives up when chance says so, and holds the server to RFC 9113 in all that comes
 * back.  Written anew from the RFC, with only HPACK from nghttp2, so that it can disagree.
 *
 * It does nothing that a server may call wrong or too much, except what a test makes it say with
 * sim_h2_frame().
 */
#ifndef TESTS_SIM_H2_H
#define TESTS_SIM_H2_H

#include <nghttp2/nghttp2.h>

#include "sim/sim_ask.h"
#include "sim/sim_rand.h"
#include "sim/sim_reply.h"

enum {
	SIM_H2_HEAD_BYTES = 9, /* of a frame */
	SIM_H2_BLOCK_BYTES = 16 << 10,
	SIM_H2_WINDOW = 65535, /* before anybody says otherwise */
	SIM_H2_SETTINGS_MAX = 8,
	SIM_H2_NO_CODE = -1,
};

/* Frame types, RFC 9113 section 6. */
enum {
	SIM_H2_DATA,
	SIM_H2_HEADERS,
	SIM_H2_PRIORITY,
	SIM_H2_RST_STREAM,
	SIM_H2_SETTINGS,
	SIM_H2_PUSH_PROMISE,
	SIM_H2_PING,
	SIM_H2_GOAWAY,
	SIM_H2_WINDOW_UPDATE,
	SIM_H2_CONTINUATION,
	SIM_H2_PRIORITY_UPDATE = 16,
};

enum {
	SIM_H2_END_STREAM = 1,
	SIM_H2_ACK = 1,
	SIM_H2_END_HEADERS = 4,
	SIM_H2_PADDED = 8,
	SIM_H2_PRIORITISED = 0x20,
};

struct sim_h2_stream {
	struct sim_ask ask;
	uint32_t id;   /* 0: not asked yet */
	bool answered; /* the final head is there */
	bool complete; /* END_STREAM, and everything was there that belongs before it */
	bool given_up; /* by us, with RST_STREAM */
	bool said_all; /* the request has ended */
	int64_t code;  /* of the server's RST_STREAM; SIM_H2_NO_CODE */
	size_t said_n; /* of the body */
	int64_t send_window;
	int64_t receive_window;
	uint32_t owed;          /* received, and the window not opened again */
	struct sim_reply reply; /* last: see sim_reply_init() */
};

struct sim_h2 {
	struct sim_rand *rand;
	void (*say)(void *arg, const char *p, size_t n);
	void *say_arg;
	struct sim_h2_stream *streams; /* in the order of requests */
	unsigned count;
	unsigned stream_cap;
	unsigned opened; /* of them, have an id */
	const char *bad; /* what was wrong with what came, or NULL */

	/* What the server has said of itself. */
	bool settled;  /* its SETTINGS have come */
	bool connects; /* … with ENABLE_CONNECT_PROTOCOL */
	uint32_t window_bytes;
	uint32_t frame_bytes;
	uint32_t streams_max;
	int64_t send_window;

	/* What we have. */
	struct {
		uint32_t window_bytes;
		unsigned opened;     /* streams, when it was said */
	} said[SIM_H2_SETTINGS_MAX]; /* SETTINGS; all but the first are not acknowledged */
	unsigned unacked;
	uint32_t table_bytes;
	uint32_t our_table_bytes; /* … said */
	uint32_t our_frame_bytes;
	int64_t receive_window;
	uint32_t owed;
	unsigned pings; /* unanswered */

	/* Ends. */
	bool goaway;      /* the server's, */
	bool noticed;     /* … the announcement of one, */
	bool last;        /* … and one that says where it ends */
	uint32_t last_id; /* the last request that it looks at */
	uint32_t code;
	uint32_t seen_id; /* the last one that it has shown to have looked at */
	bool bye;         /* our own was said */

	/* How it behaves. */
	bool begun;
	bool eager;              /* opens everything at once, and windows as soon as it can */
	uint64_t pause_ns_max;   /* between things to do */
	uint64_t next_ns;        /* of the next, */
	bool left;               /* if there is any */
	bool stingy;             /* opens no window */
	unsigned chatter;        /* frames to say that bring nothing */
	unsigned updates;        /* so far: windows grow with them, so that it ends */
	unsigned pieces;         /* of DATA so far: they grow, too */
	unsigned window_changes; /* SETTINGS to say in the middle of everything */

	nghttp2_hd_deflater *deflater;
	nghttp2_hd_inflater *inflater;
	uint32_t block_id; /* of the field block that is being received; 0 */
	bool block_ends;   /* … the stream with it */
	size_t block_n;
	size_t in_n;
	size_t in_cap;
	char *in; /* an incomplete frame */
	char block[SIM_H2_BLOCK_BYTES];
};

/* `say` takes what it has to say. */
void sim_h2_init(struct sim_h2 *h, struct sim_rand *rand, void (*say)(void *, const char *, size_t),
                 void *arg);
void sim_h2_free(struct sim_h2 *h);
/* Manners by chance; without it, eager. */
void sim_h2_draw(struct sim_h2 *h);
/* Ask, when there is a stream to be had. */
void sim_h2_ask(struct sim_h2 *h, const struct sim_ask *ask);
/* Bytes came. */
void sim_h2_feed(struct sim_h2 *h, const char *p, size_t n);
/* Do what is due now; the time of the next turn, or UINT64_MAX when only the server can go on. */
uint64_t sim_h2_turn(struct sim_h2 *h, uint64_t now_ns);
/* Everything was said that can be. */
bool sim_h2_silent(const struct sim_h2 *h);
/* Say on, of the body of the ith request, up to here. */
void sim_h2_go_on(struct sim_h2 *h, unsigned i, size_t to);
/* RST_STREAM for a request that is not over.  False: it is. */
bool sim_h2_give_up(struct sim_h2 *h, unsigned i, uint32_t code);
/* GOAWAY. */
void sim_h2_say_bye(struct sim_h2 *h);
/* Nothing will come of this one any more that has not. */
bool sim_h2_resolved(const struct sim_h2 *h, unsigned i);

/* Any frame, right or wrong. */
void sim_h2_frame(struct sim_h2 *h, unsigned type, unsigned flags, uint32_t id, const void *p,
                  size_t n);

static inline void sim_h2_put32(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 24);
	to[1] = (uint8_t)(v >> 16);
	to[2] = (uint8_t)(v >> 8);
	to[3] = (uint8_t)v;
}

#endif /* TESTS_SIM_H2_H */

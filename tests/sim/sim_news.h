/* SPDX-License-Identifier: MIT
 *
 * Topics, what is published on them, and streams of events and WebSockets that have to be told, for
 * simulated tests.  The server's side of each stream, and a model beside it of what its client is due:
 * everything that was published while it was subscribed, in order, once.
 *
 *   GET /events/{n}             the nth stream, as the test has set it up
 *   GET /sockets/{n}            the same as a WebSocket, on which whatever the client says is news (sim_news_ws.c)
 */
#ifndef TESTS_SIM_NEWS_H
#define TESTS_SIM_NEWS_H

#include <tako/tako.h>

#include "sim/sim_eventsource.h"
#include "sim/sim_rand.h"

enum { SIM_TOPICS = 3, SIM_ITEMS_MAX = 300, SIM_STREAMS_MAX = 16 };

/* One published message. */
struct sim_item {
	unsigned topic;
	bool binary;
	bool unsure; /* publishing it has failed: somebody may have got it */
	char id[16]; /* "": none */
	char event[16];
	char *raw; /* as it was published */
	size_t raw_n;
	char *data; /* as a client of events has it */
	size_t data_n;
};

struct sim_stream {
	/* Set by the test before it is asked for. */
	tako_sse_config cfg; /* limits and policy */
	unsigned mask;       /* of topics */
	bool moves;          /* subscribes and unsubscribes on its way */
	bool held;           /* events are posted to it from elsewhere */
	bool socket;         /* it is a WebSocket: */
	tako_ws_config ws_cfg;
	/* Facts. */
	struct sim_news *news;
	tako_sse *sse; /* between open and close */
	tako_sse *ref;
	tako_ws *ws;
	tako_ws_handle *handle;
	unsigned opens;
	unsigned closes;
	int err;  /* of a stream of events, */
	int code; /* … of a WebSocket */
	uint64_t dropped;
	bool ended; /* a post was told so */
	bool subscribed[SIM_TOPICS];
	/* What is due, topic by topic. */
	struct {
		unsigned short item;
		bool unsure;
	} due[SIM_TOPICS][SIM_ITEMS_MAX];
	unsigned due_n[SIM_TOPICS];
	unsigned posts;   /* taken */
	unsigned pending; /* … to a WebSocket, and has not run */
	/* What has come: while it is checked. */
	unsigned got[SIM_TOPICS]; /* … up to here in `due` */
	unsigned got_posts;
	unsigned got_count; /* items */
	unsigned missed;
	bool greeted;
	unsigned close_code; /* that a WebSocket was told */
	char last_id[16];
};

struct sim_news {
	struct sim_rand rand;
	tako_topic *topics[SIM_TOPICS];
	struct sim_item items[SIM_ITEMS_MAX];
	unsigned count;
	bool quiet;       /* nobody publishes anything any more */
	size_t bytes_max; /* of each; 0: 2000 */
	struct sim_stream streams[SIM_STREAMS_MAX];
};

/* After the world has begun. */
void sim_news_begin(struct sim_news *news, uint64_t seed, const tako_topic_config *cfg);
/* The routes; for each of several servers. */
void sim_news_routes(struct sim_news *news, tako_router *r);
/* Publish on any topic, from anywhere. */
void sim_news_publish(struct sim_news *news);
/* Post to a stream that is held. */
void sim_news_post(struct sim_stream *s);
/* End it from its own loop. */
void sim_news_close(struct sim_stream *s);
/* What other threads do between two turns of the loop: publish, post, let go. */
void sim_news_turn(struct sim_news *news);
/* Nobody publishes or posts any more, and who has hold of what is closed lets go: before the server ends. */
void sim_news_hush(struct sim_news *news);
/* Nothing is on its way to a subscriber any more. */
bool sim_news_settled(struct sim_news *news);
/* Assert that these bytes, a stream's body as far as it came, are what was due to it: the beginning of
 * that, or with `whole` all, but for what was dropped. */
void sim_news_check(struct sim_news *news, unsigned i, const char *p, size_t n, bool whole);
/* Other threads let go, and so do we of the topics: when the server is over, before memory is counted. */
void sim_news_end(struct sim_news *news);

/* ---- Between the two kinds of stream ------------------------------------------------ */

/* It is open, and is told from now on.  [loop] */
void sim_news_opened(struct sim_stream *s);
void sim_news_closed(struct sim_stream *s);
void sim_news_let_go(struct sim_stream *s);
/* Its nth one; NULL: there is none. */
struct sim_stream *sim_news_asked(struct sim_news *news, tako_req *req, tako_res *res, int *ret_rc);
/* An item came, which begins so; what it is has to be looked at. */
const struct sim_item *sim_news_item(struct sim_stream *s, const char *text);
void sim_news_got_post(struct sim_stream *s, const char *text);

int sim_news_socket(tako_req *req, tako_res *res, void *news);
void sim_news_post_socket(struct sim_stream *s);
/* Every frame that came. */
void sim_news_hear_socket(struct sim_stream *s, const char *p, size_t n);

#endif /* TESTS_SIM_NEWS_H */

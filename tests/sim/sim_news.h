/* SPDX-License-Identifier: MIT
 *
 * Topics, what is published on them, and streams of events that have to be told, for simulated tests.
 * The server's side of each stream, and a model beside it of what its client is due: everything that
 * was published while it was subscribed, in order, once.
 *
 *   GET /events/{n}             the nth stream, as the test has set it up
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
	char *data; /* as a client has it */
	size_t data_n;
};

struct sim_stream {
	/* Set by the test before it is asked for. */
	tako_sse_config cfg; /* limits and policy */
	unsigned mask;       /* of topics */
	bool moves;          /* subscribes and unsubscribes on its way */
	bool held;           /* events are posted to it from elsewhere */
	/* Facts. */
	struct sim_news *news;
	tako_sse *sse; /* between open and close */
	tako_sse *ref;
	unsigned opens;
	unsigned closes;
	int err;
	uint64_t dropped;
	bool ended; /* a post was told so */
	bool subscribed[SIM_TOPICS];
	/* What is due, topic by topic. */
	struct {
		unsigned short item;
		bool unsure;
	} due[SIM_TOPICS][SIM_ITEMS_MAX];
	unsigned due_n[SIM_TOPICS];
	unsigned posts; /* taken */
	/* What has come: while it is checked. */
	unsigned got[SIM_TOPICS]; /* … up to here in `due` */
	unsigned got_posts;
	unsigned got_count; /* items */
	unsigned missed;
	bool greeted;
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
/* What other threads do between two turns of the loop: publish, post, let go. */
void sim_news_turn(struct sim_news *news);
/* Nothing is on its way to a subscriber any more. */
bool sim_news_settled(struct sim_news *news);
/* Assert that these bytes, a stream's body as far as it came, are what was due to it: the beginning of
 * that, or with `whole` all, but for what was dropped. */
void sim_news_check(struct sim_news *news, unsigned i, const char *p, size_t n, bool whole);
/* Other threads let go, and so do we of the topics: when the server is over, before memory is counted. */
void sim_news_end(struct sim_news *news);

#endif /* TESTS_SIM_NEWS_H */

/* SPDX-License-Identifier: MIT
 *
 * See sim_news.h.
 */
#include "sim/sim_news.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 4, ITEM_BYTES = 2000, PUBLISH_MAX = 6 };

/* ---- Messages ------------------------------------------------------------------------- */

struct text {
	char *raw; /* as it is published */
	size_t raw_n;
	char *want; /* as a client has it */
	size_t want_n;
};

static void add(struct text *t, const char *p, size_t n)
{
	memcpy(t->raw + t->raw_n, p, n);
	memcpy(t->want + t->want_n, p, n);
	t->raw_n += n;
	t->want_n += n;
}

/* However a line ends, it ends in LF for who reads it. */
static void add_end(struct text *t, struct sim_rand *r)
{
	static const char *const ends[] = {"\n", "\r", "\r\n"};
	const char *end = ends[sim_rand_below(r, 3)];

	memcpy(t->raw + t->raw_n, end, strlen(end));
	t->raw_n += strlen(end);
	t->want[t->want_n++] = '\n';
}

/* What it is comes first: "topic number", then lines, which may look like fields. */
static void make_text(struct text *t, struct sim_rand *r, size_t bytes_max, const char *first)
{
	static const char *const looks[] = {"data: x", ": comment", "id: 7", "event", " "};
	size_t room = bytes_max + 64 * LINES_MAX;

	*t = (struct text){.raw = malloc(room), .want = malloc(room)};
	if (!t->raw || !t->want)
		abort();
	add(t, first, strlen(first));
	for (uint64_t i = sim_rand_below(r, LINES_MAX); i; i--) {
		size_t n = sim_rand_size(r, bytes_max / LINES_MAX);
		const char *look = looks[sim_rand_below(r, 5)];

		add_end(t, r);
		add(t, look, strlen(look));
		memset(t->raw + t->raw_n, 'x', n);
		memset(t->want + t->want_n, 'x', n);
		t->raw_n += n;
		t->want_n += n;
	}
	if (sim_rand_chance(r, 100))
		add_end(t, r);
}

static struct sim_item *new_item(struct sim_news *news, struct text *t)
{
	struct sim_rand *r = &news->rand;
	struct sim_item *item = &news->items[news->count];
	char first[32];

	*item = (struct sim_item){.topic = (unsigned)sim_rand_below(r, SIM_TOPICS)};
	item->binary = sim_rand_chance(r, 50);
	snprintf(first, sizeof first, "%u %u", item->topic, news->count);
	make_text(t, r, news->bytes_max ? news->bytes_max : ITEM_BYTES, first);
	if (sim_rand_chance(r, 500))
		snprintf(item->id, sizeof item->id, "id %u", news->count);
	if (sim_rand_chance(r, 300))
		snprintf(item->event, sizeof item->event, "news");
	item->raw = t->raw;
	item->raw_n = t->raw_n;
	item->data = t->want;
	item->data_n = t->want_n;
	return item;
}

static void note_due(struct sim_stream *s, unsigned topic, unsigned item)
{
	if (!s->subscribed[topic])
		return;
	s->due[topic][s->due_n[topic]].item = (unsigned short)item;
	s->due[topic][s->due_n[topic]++].unsure = false;
}

void sim_news_publish(struct sim_news *news)
{
	tako_message m = {.size = sizeof m};
	struct sim_item *item;
	struct text t;
	int rc;

	if (news->count == SIM_ITEMS_MAX || news->quiet)
		return;
	item = new_item(news, &t);
	m.data = (tako_str){t.raw, t.raw_n};
	m.kind = item->binary ? TAKO_TOPIC_BINARY : TAKO_TOPIC_TEXT;
	if (item->id[0])
		m.id = tako_str_z(item->id);
	if (item->event[0])
		m.event = tako_str_z(item->event);
	for (unsigned i = 0; i < SIM_STREAMS_MAX; i++) {
		if (!item->binary || news->streams[i].socket)
			note_due(&news->streams[i], item->topic, news->count);
	}
	news->count++;
	rc = tako_topic_publish(news->topics[item->topic], &m);
	assert_true(rc >= 0 || rc == TAKO_ENOMEM || rc == TAKO_EBUSY);
	item->unsure = rc < 0;
}

/* ---- The server's side --------------------------------------------------------------------- */

static int join(struct sim_stream *s, unsigned topic)
{
	tako_topic *t = s->news->topics[topic];

	return s->socket ? tako_ws_subscribe(s->ws, t) : tako_sse_subscribe(s->sse, t);
}

static int leave(struct sim_stream *s, unsigned topic)
{
	tako_topic *t = s->news->topics[topic];

	return s->socket ? tako_ws_unsubscribe(s->ws, t) : tako_sse_unsubscribe(s->sse, t);
}

static bool is_open(const struct sim_stream *s)
{
	return s->sse || s->ws;
}

static void subscribe(struct sim_stream *s, unsigned topic)
{
	int rc = join(s, topic);

	assert_true(rc == 0 || rc == TAKO_ENOMEM || rc == TAKO_ECLOSED);
	if (rc == 0)
		s->subscribed[topic] = true;
}

/* What is on its way may have come before, or will not any more. */
static void unsubscribe(struct sim_stream *s, unsigned topic)
{
	int rc = leave(s, topic);

	/* One that has ended, and will be told, has no subscriptions any more. */
	if (rc == TAKO_ENOENT && s->subscribed[topic])
		assert_int_equal(join(s, topic), TAKO_ECLOSED);
	else
		assert_int_equal(rc, s->subscribed[topic] ? 0 : TAKO_ENOENT);
	s->subscribed[topic] = false;
	for (unsigned i = 0; i < s->due_n[topic]; i++)
		s->due[topic][i].unsure = true;
}

void sim_news_opened(struct sim_stream *s)
{
	s->opens++;
	/* From now on, and not before: the first is not for it. */
	sim_news_publish(s->news);
	for (unsigned i = 0; i < SIM_TOPICS && is_open(s); i++) {
		if (s->mask & 1u << i)
			subscribe(s, i);
	}
	sim_news_publish(s->news);
}

void sim_news_closed(struct sim_stream *s)
{
	s->closes++;
	s->sse = NULL;
	s->ws = NULL;
	memset(s->subscribed, 0, sizeof s->subscribed);
	if (s->opens && sim_rand_chance(&s->news->rand, 200))
		sim_news_publish(s->news);
}

void sim_news_close(struct sim_stream *s)
{
	if (s->sse)
		tako_sse_close(s->sse);
	if (s->ws)
		(void)tako_ws_close(s->ws, 1000, TAKO_STR(""));
}

static void on_open(tako_sse *sse, tako_str last_id, void *arg)
{
	struct sim_stream *s = arg;

	s->sse = sse;
	assert_true(last_id.n < sizeof s->last_id);
	if (last_id.n)
		memcpy(s->last_id, last_id.p, last_id.n);
	if (s->held)
		s->ref = tako_sse_ref(sse);
	(void)tako_sse_send(sse, TAKO_SSE_EVENT(.event = TAKO_STR("hello"),
	                                        .data = last_id.p ? last_id : TAKO_STR("")));
	sim_news_opened(s);
}

static void on_close(tako_sse *sse, int err, void *arg)
{
	struct sim_stream *s = arg;

	s->err = err;
	s->dropped = tako_sse_dropped(sse);
	sim_news_closed(s);
}

static void move(tako_res *res, void *arg)
{
	struct sim_stream *s = arg;
	unsigned topic = (unsigned)sim_rand_below(&s->news->rand, SIM_TOPICS);

	(void)res;
	if (!is_open(s))
		return;
	if (s->subscribed[topic] || sim_rand_chance(&s->news->rand, 100))
		unsubscribe(s, topic);
	else
		subscribe(s, topic);
}

struct sim_stream *sim_news_asked(struct sim_news *news, tako_req *req, tako_res *res, int *ret_rc)
{
	struct sim_stream *s;
	uint64_t i = 0;
	int rc = tako_req_param_u64(req, "n", &i);

	assert_true(rc == 0 && i < SIM_STREAMS_MAX);
	s = &news->streams[i];
	s->news = news;
	for (unsigned k = 0; k < 5 && s->moves && rc == 0; k++)
		rc = tako_res_after(res, (uint32_t)sim_rand_size(&news->rand, 500), move, s);
	*ret_rc = rc;
	return s;
}

static int events(tako_req *req, tako_res *res, void *arg)
{
	int rc;
	struct sim_stream *s = sim_news_asked(arg, req, res, &rc);

	s->cfg.size = sizeof s->cfg;
	s->cfg.on_open = on_open;
	s->cfg.on_close = on_close;
	return rc < 0 ? rc : tako_sse_start(req, res, &s->cfg, s);
}

void sim_news_routes(struct sim_news *news, tako_router *r)
{
	tako_get(r, "/events/{n:u64}", events, news);
	tako_get(r, "/sockets/{n:u64}", sim_news_socket, news);
}

/* ---- From elsewhere -------------------------------------------------------------------------- */

void sim_news_post(struct sim_stream *s)
{
	char text[32];
	int rc;

	if (s->socket) {
		sim_news_post_socket(s);
		return;
	}
	snprintf(text, sizeof text, "post %u", s->posts);
	rc = tako_sse_post(s->ref,
	                   TAKO_SSE_EVENT(.event = TAKO_STR("post"), .data = tako_str_z(text)));
	assert_true(rc == 0 || rc == TAKO_ENOMEM || rc == TAKO_EBUSY || rc == TAKO_ECLOSED);
	assert_true(rc == TAKO_ECLOSED || rc == TAKO_ENOMEM || !s->ended);
	s->ended |= rc == TAKO_ECLOSED;
	s->posts += rc == 0;
}

void sim_news_let_go(struct sim_stream *s)
{
	tako_sse_unref(s->ref);
	tako_ws_release(s->handle);
	s->ref = NULL;
	s->handle = NULL;
}

void sim_news_turn(struct sim_news *news)
{
	struct sim_rand *r = &news->rand;
	/* Some are left for the callbacks. */
	unsigned most = news->quiet ? 0 : SIM_ITEMS_MAX - 3 * SIM_STREAMS_MAX;

	if (news->count < most && sim_rand_chance(r, 200)) {
		for (uint64_t i = sim_rand_size(r, PUBLISH_MAX); i; i--)
			sim_news_publish(news);
	}
	for (unsigned i = 0; i < SIM_STREAMS_MAX; i++) {
		struct sim_stream *s = &news->streams[i];

		if ((!s->ref && !s->handle) || news->count >= most || !sim_rand_chance(r, 100))
			continue;
		sim_news_post(s);
		if (sim_rand_chance(r, 50))
			sim_news_let_go(s);
	}
}

void sim_news_hush(struct sim_news *news)
{
	news->quiet = true;
	for (unsigned i = 0; i < SIM_STREAMS_MAX; i++) {
		if (news->streams[i].closes)
			sim_news_let_go(&news->streams[i]);
	}
}

static tako_topic_stats topic_stats(struct sim_news *news, unsigned topic)
{
	tako_topic_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_topic_get_stats(news->topics[topic], &stats), 0);
	return stats;
}

bool sim_news_settled(struct sim_news *news)
{
	uint64_t due = 0;
	uint64_t delivered = 0;

	for (unsigned i = 0; i < SIM_STREAMS_MAX; i++) {
		for (unsigned k = 0; k < SIM_TOPICS; k++)
			due += news->streams[i].due_n[k];
	}
	for (unsigned k = 0; k < SIM_TOPICS; k++) {
		delivered += topic_stats(news, k).delivered;
	}
	return delivered >= due;
}

/* ---- Was it right? --------------------------------------------------------------------------- */

const struct sim_item *sim_news_item(struct sim_stream *s, const char *text)
{
	unsigned topic = 0;
	unsigned number = 0;
	unsigned *at;

	if (sscanf(text, "%u %u", &topic, &number) != 2 || topic >= SIM_TOPICS ||
	    number >= s->news->count)
		fail_msg("news of nobody: %.40s", text);
	at = &s->got[topic];
	while (*at < s->due_n[topic] && s->due[topic][*at].item != number) {
		unsigned skipped = s->due[topic][(*at)++].item;

		s->missed += !s->due[topic][*at - 1].unsure && !s->news->items[skipped].unsure;
	}
	if (*at == s->due_n[topic])
		fail_msg("item %u was not due, or came twice, or late", number);
	++*at;
	s->got_count++;
	return &s->news->items[number];
}

void sim_news_got_post(struct sim_stream *s, const char *text)
{
	unsigned number = 0;

	assert_int_equal(sscanf(text, "post %u", &number), 1);
	assert_true(number >= s->got_posts && number < s->posts);
	s->missed += number - s->got_posts;
	s->got_posts = number + 1;
}

static void on_item(struct sim_stream *s, const struct sim_event *e)
{
	const struct sim_item *item = sim_news_item(s, e->data);

	assert_int_equal(item->data_n, e->data_n);
	assert_memory_equal(item->data, e->data, e->data_n);
	assert_string_equal(item->id, e->id);
	assert_int_equal(item->id[0] != 0, e->has_id);
	assert_string_equal(item->event, e->type);
}

static void on_event(void *arg, const struct sim_event *e)
{
	struct sim_stream *s = arg;

	if (!strcmp(e->type, "hello")) {
		assert_false(s->greeted);
		s->greeted = true;
		assert_string_equal(e->data, s->last_id);
	} else if (!strcmp(e->type, "post")) {
		sim_news_got_post(s, e->data);
	} else {
		on_item(s, e);
	}
}

/* By a worker, for all its subscribers. */
static uint64_t lost(struct sim_news *news)
{
	uint64_t n = 0;

	for (unsigned k = 0; k < SIM_TOPICS; k++)
		n += topic_stats(news, k).dropped;
	return n;
}

void sim_news_check(struct sim_news *news, unsigned i, const char *p, size_t n, bool whole)
{
	struct sim_stream *s = &news->streams[i];
	const char *bad;

	s->got_posts = s->got_count = s->missed = 0;
	s->greeted = false;
	memset(s->got, 0, sizeof s->got);
	s->close_code = 0;
	bad = s->socket ? NULL : sim_events_each(p, n, on_event, NULL, s);
	if (bad)
		fail_msg("stream %u: %s", i, bad);
	if (s->socket)
		sim_news_hear_socket(s, p, n);
	for (unsigned k = 0; k < SIM_TOPICS && whole; k++) {
		for (; s->got[k] < s->due_n[k]; s->got[k]++)
			s->missed += !s->due[k][s->got[k]].unsure &&
			             !news->items[s->due[k][s->got[k]].item].unsure;
	}
	if (whole)
		s->missed += s->posts - s->got_posts;
	assert_true(s->missed <= s->dropped + lost(news));
}

/* ---- Beginning and end ------------------------------------------------------------------------- */

void sim_news_begin(struct sim_news *news, uint64_t seed, const tako_topic_config *cfg)
{
	*news = (struct sim_news){.count = 0};
	sim_rand_init(&news->rand, seed ^ UINT64_C(0x4e575));
	for (unsigned i = 0; i < SIM_TOPICS; i++)
		assert_int_equal(tako_topic_new(&news->topics[i], cfg), 0);
}

void sim_news_end(struct sim_news *news)
{
	for (unsigned i = 0; i < SIM_STREAMS_MAX; i++) {
		struct sim_stream *s = &news->streams[i];

		assert_false(is_open(s));
		assert_int_equal(s->pending, 0);
		assert_int_equal(s->opens, s->closes);
		sim_news_let_go(s);
	}
	for (unsigned i = 0; i < SIM_TOPICS; i++) {
		assert_int_equal(topic_stats(news, i).subscribers, 0);
		tako_topic_free(news->topics[i]);
	}
	for (unsigned i = 0; i < news->count; i++) {
		free(news->items[i].raw);
		free(news->items[i].data);
	}
}

/* SPDX-License-Identifier: MIT
 *
 * Streams of events, WebSockets and topics in the simulated world, whatever they are carried by: two
 * workers, publishers in callbacks and beside the loops, clients of any pace.  Each is told what was published
 * while it was subscribed, in order, once, to the byte; less only where a policy, a lost connection or
 * memory that is not there says so.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sim/sim_news.h"
#include "sim/sim_scene.h"
#include "sim/sim_seeds.h"
#include "sim/sim_ws_client.h"

enum { CHATTER_MAX = 3, CHATTER_BYTES_MAX = 200, LOTS = 1 << 30 };

#ifdef TAKO__WITH_WS
static const bool has_sockets = true;
#else
static const bool has_sockets = false;
#endif

static struct sim_scene scene;
static struct sim_news news;

/* The stream that a client's ith request asks for, or nothing. */
static struct {
	unsigned client;
	unsigned request;
} asked[SIM_STREAMS_MAX];
static struct sim_ws_client sockets[SIM_STREAMS_MAX]; /* its client, if it is a WebSocket */
static unsigned stream_count;

static struct sim_rand *rand_of(void)
{
	return &scene.server.sim.rand;
}

static void add_routes(tako_router *r)
{
	sim_news_routes(&news, r);
}

static void before_end(void)
{
	sim_news_end(&news);
}

static void begin(uint64_t seed, const struct sim_options *options, const tako_topic_config *cfg,
                  uint32_t write_timeout_ms)
{
	const tako_server_config server = {.size = sizeof server,
	                                   .drain_timeout_ms = 600000,
	                                   .linger_timeout_ms = 600000,
	                                   .write_timeout_ms = write_timeout_ms};

	stream_count = 0;
	scene = (struct sim_scene){.routes = add_routes, .before_end = before_end, .two = seed % 2};
	sim_scene_begin(&scene, seed, options, &server);
	sim_news_begin(&news, seed, cfg);
}

static struct sim_stream *next_stream(struct sim_script *c)
{
	struct sim_stream *s = &news.streams[stream_count];

	asked[stream_count].client = (unsigned)(c - scene.clients);
	asked[stream_count].request = c->count;
	s->mask = (unsigned)sim_rand_below(rand_of(), 1u << SIM_TOPICS);
	s->held = sim_rand_chance(rand_of(), 500);
	return s;
}

/* What its client says is news, too. */
static void ask_socket(struct sim_script *c)
{
	struct sim_stream *s = next_stream(c);
	struct sim_ws_client *w = &sockets[stream_count];
	char path[SIM_PATH_BYTES];

	s->socket = true;
	s->ws_cfg = (tako_ws_config){.ping_interval_ms = TAKO_OFF,
	                             .close_timeout_ms = 600000,
	                             .max_unsent_bytes = TAKO_OFF64};
	if (sim_rand_chance(rand_of(), 300)) {
		s->ws_cfg.ping_interval_ms = 50;
		s->ws_cfg.pong_timeout_ms = TAKO_OFF;
	}
	*w = (struct sim_ws_client){.mute = sim_rand_chance(rand_of(), 500)};
	snprintf(path, sizeof path, "/sockets/%u", stream_count++);
	sim_ws_client_ask(w, c, path);
	for (uint64_t i = sim_rand_below(rand_of(), CHATTER_MAX + 1); i; i--) {
		size_t n = sim_rand_size(rand_of(), CHATTER_BYTES_MAX);

		sim_ws_client_say(w, SIM_WS_FIN | SIM_WS_BINARY, sim_pattern(n), n);
	}
}

static struct sim_stream *ask(struct sim_script *c, const char *last_id)
{
	struct sim_ask a = {.method = "GET"};
	struct sim_stream *s = next_stream(c);

	s->cfg.max_queue_bytes = TAKO_OFF64;
	s->cfg.keepalive_ms = sim_rand_chance(rand_of(), 300) ? 50 : 0;
	snprintf(a.path, sizeof a.path, "/events/%u", stream_count++);
	if (last_id) {
		a.fields[a.field_count].name = "last-event-id";
		snprintf(a.fields[a.field_count++].value, SIM_VALUE_BYTES, "%s", last_id);
	}
	sim_script_ask(c, &a, (struct sim_expect){.status = 200, .any_body = true});
	return s;
}

static void ask_any(struct sim_script *c)
{
	if (has_sockets && sim_rand_chance(rand_of(), 500))
		ask_socket(c);
	else
		ask(c, NULL);
}

/* Some requests, and streams: over HTTP/1 one behind them, over HTTP/2 several among them. */
static void add_client(void)
{
	struct sim_script *c = sim_scene_client(&scene);

	sim_script_draw(c);
	for (uint64_t i = sim_rand_below(rand_of(), 3); i; i--)
		sim_script_add(c);
	for (uint64_t i = c->h2 ? sim_rand_size(rand_of(), 3) : 1; i; i--) {
		ask_any(c);
		if (c->h2 && sim_rand_chance(rand_of(), 300))
			sim_script_add(c);
	}
}

static void add_clients(void)
{
	for (uint64_t i = sim_rand_size(rand_of(), 3); i; i--)
		add_client();
}

static void turn(void)
{
	sim_scene_turn(&scene);
	sim_news_turn(&news);
	for (unsigned i = 0; i < stream_count; i++) {
		if (news.streams[i].socket)
			(void)sim_ws_client_turn(&sockets[i]);
	}
}

static void turns(size_t n)
{
	while (n--)
		turn();
}

/* Clients of WebSockets answer to that. */
static void stop(void)
{
	sim_news_hush(&news);
	sim_server_stop(&scene.server);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !scene.server.over; i++)
		turn();
	assert_true(sim_scene_run_out(&scene));
}

static void end(void)
{
	sim_news_hush(&news);
	sim_scene_end(&scene);
}

static bool is_stream(const struct sim_reply *r)
{
	return r && (r->status == 200 || r->status == 101);
}

/* Every stream as far as it came, and every other answer; `whole`: they came to their end, unless a
 * client that was talking on was told so by a reset. */
static void check(bool whole)
{
	for (unsigned i = 0; i < scene.count; i++)
		sim_script_check(&scene.clients[i],
		                 whole && !scene.clients[i].peer.link->client_reset);
	for (unsigned i = 0; i < stream_count; i++) {
		struct sim_script *c = &scene.clients[asked[i].client];
		const struct sim_reply *r = sim_script_heard(c, asked[i].request);

		if (is_stream(r))
			sim_news_check(&news, i, r->body, r->body_n,
			               whole && sim_script_reply(c, asked[i].request));
	}
}

/* ---- All of it ----------------------------------------------------------------------- */

static bool all_open(void)
{
	for (unsigned i = 0; i < stream_count; i++) {
		if (!news.streams[i].opens)
			return false;
	}
	return true;
}

static bool others_answered(void)
{
	unsigned asked_count = 0;
	unsigned answered = 0;

	for (unsigned i = 0; i < scene.count; i++) {
		asked_count += scene.clients[i].count;
		answered += sim_script_answered(&scene.clients[i]);
	}
	return answered == asked_count - stream_count;
}

static void everybody_is_told(uint64_t seed)
{
	bool moved = false;

	begin(seed, NULL, NULL, 0);
	add_clients();
	if (seed % 5 == 0)
		news.streams[0].moves = moved = true;
	for (unsigned i = 0; i < SIM_TURNS_MAX && !all_open(); i++)
		turn();
	for (unsigned i = 0; i < SIM_TURNS_MAX && !others_answered(); i++)
		turn();
	assert_true(all_open() && others_answered());
	turns(sim_rand_size(rand_of(), 150));
	sim_news_hush(&news);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !moved && !sim_news_settled(&news); i++)
		turn();
	turns(moved ? 300 : 20);
	stop();
	check(true);
	for (unsigned i = 0; i < stream_count; i++) {
		assert_int_equal(news.streams[i].err, 0);
		if (news.streams[i].socket)
			assert_int_equal(news.streams[i].code, 1001);
	}
	end();
}

/* ---- Slow clients ------------------------------------------------------------------------ */

/* On the way to any decision, an end for somebody else of the same loop. */
static void distract(void)
{
	struct sim_stream *other = &news.streams[sim_rand_below(rand_of(), stream_count)];

	if (!scene.two && sim_rand_chance(rand_of(), 100))
		sim_news_close(other);
}

static int on_slow(tako_sse *sse, uint64_t queued_bytes, void *arg)
{
	assert_ptr_equal(sse, ((struct sim_stream *)arg)->sse);
	assert_true(queued_bytes > 0);
	distract();
	return sim_rand_chance(rand_of(), 900) ? TAKO_SSE_SLOW_DROP : TAKO_SSE_SLOW_CLOSE;
}

/* How much it is that goes by is nobody's to count: it may be several messages. */
static int on_slow_socket(tako_ws *ws, uint64_t unsent_bytes, void *arg)
{
	struct sim_stream *s = arg;

	assert_ptr_equal(ws, s->ws);
	assert_true(unsent_bytes > 0);
	s->dropped = LOTS;
	distract();
	return sim_rand_chance(rand_of(), 900) ? TAKO_WS_SLOW_DROP : TAKO_WS_SLOW_CLOSE;
}

static int drops_socket(tako_ws *ws, uint64_t unsent_bytes, void *arg)
{
	(void)ws, (void)unsent_bytes;
	((struct sim_stream *)arg)->dropped = LOTS;
	return TAKO_WS_SLOW_DROP;
}

enum { POLICY_CLOSE, POLICY_DROP, POLICY_ANY, POLICIES };

static void set_policy(struct sim_stream *s, uint64_t policy)
{
	uint64_t bytes = 1024 + sim_rand_size(rand_of(), 20000);

	s->cfg.max_queue_bytes = bytes;
	s->cfg.slow_policy = policy == POLICY_DROP ? TAKO_SSE_SLOW_DROP : TAKO_SSE_SLOW_CLOSE;
	s->cfg.on_slow = policy == POLICY_ANY ? on_slow : NULL;
	s->ws_cfg.max_unsent_bytes = bytes;
	s->ws_cfg.on_slow = policy == POLICY_ANY    ? on_slow_socket
	                    : policy == POLICY_DROP ? drops_socket
	                                            : NULL;
}

/* Deaf for long, or too slow, it was given up: that is no lack of memory.  One that was cut is not whole, and
 * can tell. */
static void check_slow(unsigned i, uint64_t policy)
{
	const struct sim_stream *s = &news.streams[i];

	if (s->socket) {
		assert_true(s->code == 1001 || (s->code == 1000 && policy == POLICY_ANY) ||
		            s->code == 1006 || (s->code == 1008 && policy != POLICY_DROP));
		if (s->code > 1001)
			assert_int_equal(s->close_code, 0);
		return;
	}
	assert_true(s->err == 0 || s->err == TAKO_ECLOSED ||
	            (s->err == TAKO_ETOOBIG && policy != POLICY_DROP));
	if (s->err)
		assert_null(sim_script_reply(&scene.clients[asked[i].client], asked[i].request));
}

/* Little room for who is behind, who is deaf for a while: some of it is left out and counted, or the stream
 * is cut, and its client can tell. */
static void slow(uint64_t seed)
{
	static const tako_topic_config narrow = {
		.size = sizeof narrow, .max_queue_count = 8, .max_queue_bytes = 4000};
	uint64_t policy;

	begin(seed, NULL, seed % 3 ? NULL : &narrow, seed % 2 ? 1000 : 0);
	add_clients();
	policy = sim_rand_below(rand_of(), POLICIES);
	for (unsigned i = 0; i < stream_count; i++)
		set_policy(&news.streams[i], policy);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !all_open(); i++)
		turn();
	assert_true(all_open());
	for (unsigned i = 0; i < scene.count; i++)
		scene.clients[i].peer.deaf = sim_rand_chance(rand_of(), 500);
	turns(sim_rand_size(rand_of(), 150));
	for (unsigned i = 0; i < scene.count; i++)
		scene.clients[i].peer.deaf = false;
	sim_news_hush(&news);
	turns(100);
	stop();
	check(false);
	for (unsigned i = 0; i < stream_count; i++)
		check_slow(i, policy);
	end();
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Over HTTP/1 an answer of a server that stops may say that it is the last; no WebSocket begins on it. */
static void allow_last(struct sim_script *c)
{
	for (unsigned i = 0; i < stream_count; i++) {
		const struct sim_reply *r = sim_script_reply(c, asked[i].request);

		if (&scene.clients[asked[i].client] == c && news.streams[i].socket && r &&
		    r->status == 503)
			c->expect[asked[i].request].status = 503;
	}
	for (unsigned i = 0; !c->h2 && i < c->http.reply_count; i++) {
		struct sim_reply *r = &c->http.replies[i];

		c->expect[i].close = r->close;
		r->keep_alive = c->expect[i].old && !r->close;
	}
}

static void leave(struct sim_script *c)
{
	if (sim_rand_chance(rand_of(), 300))
		sim_reset(c->peer.link);
	else if (sim_rand_chance(rand_of(), 300))
		sim_close(c->peer.link);
	else if (c->h2 && !c->told_end)
		(void)sim_h2_give_up(c->h2, (unsigned)sim_rand_below(rand_of(), c->count),
		                     NGHTTP2_CANCEL);
	else if (sim_script_silent(c))
		sim_script_shut(c);
}

/* Clients that leave in any way, a server that stops at any moment: each stream's end is told once, and
 * what its client has is the beginning of what was due. */
static void leaving(uint64_t seed)
{
	bool stops;

	begin(seed, NULL, NULL, 0);
	add_clients();
	for (unsigned i = 0; i < stream_count; i++)
		news.streams[i].moves = sim_rand_chance(rand_of(), 200);
	turns(sim_rand_size(rand_of(), 400));
	for (unsigned i = 0; i < scene.count; i++) {
		if (sim_rand_chance(rand_of(), 600))
			leave(&scene.clients[i]);
		turns(sim_rand_size(rand_of(), 20));
	}
	stops = sim_rand_chance(rand_of(), 500);
	if (stops) {
		sim_news_hush(&news);
		sim_server_stop(&scene.server);
		turns(sim_rand_size(rand_of(), 100));
	}
	for (unsigned i = 0; i < stream_count; i++) {
		const struct sim_stream *s = &news.streams[i];

		if (s->closes && s->socket)
			assert_true(s->code == 1001 || s->code == 1006);
		else if (s->closes)
			assert_true(s->err == 0 || s->err == TAKO_ECLOSED);
	}
	for (unsigned i = 0; i < scene.count && stops; i++)
		allow_last(&scene.clients[i]);
	check(false);
	end();
}

/* A client that was cut off says which event was its last. */
static void again(uint64_t seed)
{
	char last_id[SIM_VALUE_BYTES];
	struct sim_script *c;
	struct sim_stream *s;

	begin(seed, NULL, NULL, 0);
	snprintf(last_id, sizeof last_id, "id %u", (unsigned)sim_rand_below(rand_of(), 1000));
	c = sim_scene_client(&scene);
	sim_script_draw(c);
	s = ask(c, last_id);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !all_open(); i++)
		turn();
	assert_string_equal(s->last_id, last_id);
	turns(50);
	stop();
	check(false);
	/* What the stream says to it first. */
	assert_true(c->peer.link->client_reset || s->greeted);
	end();
}

/* ---- Without memory ----------------------------------------------------------------------------- */

static void without_memory(uint64_t seed)
{
	begin(seed, NULL, NULL, 0);
	add_clients();
	for (unsigned i = 0; i < stream_count; i++)
		news.streams[i].moves = sim_rand_chance(rand_of(), 200);
	turns(sim_rand_size(rand_of(), 100) - 1);
	sim_alloc_fail(sim_rand_size(rand_of(), 300), sim_rand_chance(rand_of(), 300));
	turns(sim_rand_size(rand_of(), 150));
	sim_alloc_calm();
	sim_news_hush(&news);
	turns(100);
	stop();
	for (unsigned i = 0; i < scene.count; i++)
		assert_null(sim_script_bad(&scene.clients[i]));
	for (unsigned i = 0; i < stream_count; i++) {
		struct sim_script *c = &scene.clients[asked[i].client];
		const struct sim_reply *r = sim_script_heard(c, asked[i].request);

		if (is_stream(r))
			sim_news_check(&news, i, r->body, r->body_n, false);
	}
	end();
}

/* ---- Silence --------------------------------------------------------------------------------------- */

enum { KEEPALIVE_MS = 15000, SLACK_MS = 100 };

static unsigned comments;

static void on_comment(void *arg)
{
	(void)arg;
	comments++;
}

static void on_event(void *arg, const struct sim_event *e)
{
	(void)arg;
	(void)e;
}

/* In whatever rhythm events come, nobody hears nothing for longer than the interval, nor a comment
 * before it is over. */
static void keeps_alive(uint64_t seed)
{
	static const struct sim_options calm;
	struct sim_script *c;
	uint64_t heard_ns;
	size_t heard_n = 0;
	unsigned before = 0;

	begin(seed, &calm, NULL, 0);
	c = sim_scene_client(&scene);
	ask(c, NULL)->cfg.keepalive_ms = KEEPALIVE_MS;
	news.streams[0].held = true;
	for (unsigned i = 0; i < SIM_TURNS_MAX && !all_open(); i++)
		sim_scene_turn(&scene);
	heard_ns = sim_now(&scene.server.sim);
	for (unsigned i = 0; i < 40; i++) {
		uint64_t ms = i ? sim_rand_size(rand_of(), 40000) : KEEPALIVE_MS + SLACK_MS;
		uint64_t until = sim_now(&scene.server.sim) + ms * SIM_MS;
		const struct sim_reply *r;

		while (sim_now(&scene.server.sim) < until) {
			scene.server.sim.alarm_ns = until;
			sim_scene_turn(&scene);
			r = sim_script_heard(c, 0);
			if (r->body_n == heard_n)
				continue;
			comments = 0;
			assert_null(
				sim_events_each(r->body, r->body_n, on_event, on_comment, NULL));
			assert_true(sim_now(&scene.server.sim) - heard_ns <=
			            (KEEPALIVE_MS + SLACK_MS) * SIM_MS);
			if (comments > before)
				assert_true(sim_now(&scene.server.sim) - heard_ns >=
				            (KEEPALIVE_MS - SLACK_MS) * SIM_MS);
			before = comments;
			heard_n = r->body_n;
			heard_ns = sim_now(&scene.server.sim);
		}
		sim_news_post(&news.streams[0]);
	}
	assert_true(before > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(everybody_is_told),
		SIM_TEST(slow),
		SIM_TEST(leaving),
		SIM_TEST(again),
		SIM_TEST(without_memory),
		SIM_TEST(keeps_alive),
		SIM_TEST_OVER(everybody_is_told, h2c),
		SIM_TEST_OVER(slow, h2c),
		SIM_TEST_OVER(leaving, h2c),
		SIM_TEST_OVER(again, h2c),
		SIM_TEST_OVER(without_memory, h2c),
#ifdef TAKO__WITH_TLS
		SIM_TEST_OVER(everybody_is_told, tls),
		SIM_TEST_OVER(leaving, h2),
		SIM_TEST_OVER(without_memory, h2),
#endif
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, SIM_TLS_BEGIN, SIM_TLS_END);
}

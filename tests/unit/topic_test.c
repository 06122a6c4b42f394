/* SPDX-License-Identifier: MIT
 *
 * Topics: who gets what, in which order, bounded by what; subscribers that come and go while they are
 * told; ends of topics, subscribers and servers in any order; relays; and every allocation failing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/server.h"
#include "core/topic.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { SUBS = 5, THREADS = 4, EACH = 500, TEXT = 1 << 16 };

static struct stepped server;
static struct peer peer;
static tako_topic *topic;

/* A subscriber of the test's own: collects what it is told, and does what the test wants then. */
struct fake {
	struct tako__sub sub;
	char text[TEXT];
	size_t n;
	unsigned told; /* batches */
	void (*then)(struct fake *f);
};

static struct fake fakes[SUBS];
static int makes;
static int frees;
static bool make_fails;

static struct tako__worker *worker(void)
{
	return &server.srv->workers[0];
}

static void *fake_make(struct tako__worker *w, const struct tako__batch *b)
{
	assert_ptr_equal(w, worker());
	assert_in_range(b->count, 1, TAKO__BATCH_MAX);
	if (make_fails)
		return NULL;
	makes++;
	return &makes;
}

static void fake_free(struct tako__worker *w, void *made)
{
	assert_ptr_equal(w, worker());
	assert_ptr_equal(made, &makes);
	frees++;
}

static unsigned fake_deliver(struct tako__sub *s, const struct tako__batch *b, void *made)
{
	struct fake *f = TAKO__CONTAINER(s, struct fake, sub);

	assert_ptr_equal(made, &makes);
	for (unsigned i = 0; i < b->count; i++) {
		tako_str data = b->messages[i]->data;

		assert_true(f->n + data.n + 1 < TEXT);
		memcpy(f->text + f->n, data.p, data.n);
		f->n += data.n;
		f->text[f->n++] = ' ';
		f->text[f->n] = '\0';
	}
	f->told++;
	if (f->then)
		f->then(f);
	return b->count;
}

static const struct tako__sub_ops fake_ops = {
	.kind = TAKO__SUB_SSE, .make = fake_make, .free = fake_free, .deliver = fake_deliver};

static void subscribe(unsigned i)
{
	assert_int_equal(tako__topic_subscribe(topic, worker(), &fakes[i].sub, &fake_ops), 0);
}

static void publish(const char *text, int rc)
{
	assert_int_equal(tako_topic_publish(topic, TAKO_MESSAGE(.data = tako_str_z(text))), rc);
}

static void turns(int n)
{
	for (int i = 0; i < n; i++)
		stepped_turn(&server, 1);
}

static tako_topic_stats figures(void)
{
	tako_topic_stats s = {.size = sizeof s};

	assert_int_equal(tako_topic_get_stats(topic, &s), 0);
	return s;
}

/* ---- Around each test ----------------------------------------------------------------- */

static void on_open(tako_sse *sse, tako_str last_id, void *arg)
{
	(void)last_id;
	(void)arg;
	if (tako_sse_subscribe(sse, topic) < 0)
		tako_sse_close(sse);
}

static int events(tako_req *req, tako_res *res, void *arg)
{
	return tako_sse_start(req, res, TAKO_SSE_CONFIG(.on_open = on_open), arg);
}

static int start(const tako_topic_config *cfg)
{
	tako_router *r = tako_router_new();
	int rc;

	memset(fakes, 0, sizeof fakes);
	makes = 0;
	frees = 0;
	make_fails = false;
	tako_get(r, "/events", events, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	peer.fd = -1;
	return rc < 0 ? rc : tako_topic_new(&topic, cfg);
}

static int set_up(void **state)
{
	(void)state;
	return start(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SUBS; i++)
		tako__topic_unsubscribe(&fakes[i].sub);
	if (peer.fd >= 0)
		peer_close(&peer);
	stepped_stop(&server);
	tako_topic_free(topic);
	return failalloc_live() || failalloc_wrong();
}

/* ---- Who gets what ---------------------------------------------------------------------- */

static void everybody_in_order(void **state)
{
	tako_topic_stats s;

	(void)state;
	publish("nobody", 0);
	subscribe(0);
	subscribe(1);
	publish("a", 1);
	publish("b", 1);
	turns(2);
	subscribe(2);
	publish("c", 1);
	turns(2);
	assert_string_equal(fakes[0].text, "a b c ");
	assert_string_equal(fakes[1].text, "a b c ");
	assert_string_equal(fakes[2].text, "c ");
	/* Made once for all, and both that waited in one go. */
	assert_int_equal(makes, 2);
	assert_int_equal(frees, 2);
	assert_int_equal(fakes[0].told, 2);
	s = figures();
	assert_int_equal(s.subscribers, 3);
	assert_int_equal(s.published, 4);
	assert_int_equal(s.delivered, 2 + 2 + 3);
	assert_int_equal(s.dropped, 0);
}

/* What waits for a worker already is not for who subscribes meanwhile. */
static void nothing_before_subscribing(void **state)
{
	(void)state;
	subscribe(0);
	publish("a", 1);
	publish("b", 1);
	subscribe(1);
	publish("c", 1);
	subscribe(2);
	publish("d", 1);
	publish("e", 1);
	turns(5);
	assert_string_equal(fakes[0].text, "a b c d e ");
	assert_string_equal(fakes[1].text, "c d e ");
	assert_string_equal(fakes[2].text, "d e ");
	/* Cut where somebody joins, and nowhere else. */
	assert_int_equal(fakes[0].told, 3);
	assert_int_equal(figures().delivered, 5 + 3 + 2);
}

static void nothing_after_unsubscribing(void **state)
{
	(void)state;
	subscribe(0);
	subscribe(1);
	publish("a", 1);
	tako__topic_unsubscribe(&fakes[0].sub);
	turns(2);
	assert_string_equal(fakes[0].text, "");
	assert_string_equal(fakes[1].text, "a ");
	/* The last, with a message on its way; and again. */
	publish("b", 1);
	tako__topic_unsubscribe(&fakes[1].sub);
	tako__topic_unsubscribe(&fakes[1].sub);
	publish("c", 0);
	subscribe(1);
	turns(2);
	assert_string_equal(fakes[1].text, "a ");
	publish("d", 1);
	turns(2);
	assert_string_equal(fakes[1].text, "a d ");
}

static void many_take_several_turns(void **state)
{
	static char text[2000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	subscribe(0);
	for (int i = 0; i < 20; i++)
		publish(text, 1);
	turns(1);
	/* 16 KiB of them a turn. */
	assert_in_range(fakes[0].n, 5 * sizeof text, 8 * sizeof text);
	turns(4);
	assert_int_equal(fakes[0].n, 20 * sizeof text);
	assert_in_range(fakes[0].told, 3, 4);
}

/* ---- Coming and going while being told ------------------------------------------------------ */

static void leave_self(struct fake *f)
{
	tako__topic_unsubscribe(&f->sub);
}

static void leave_all(struct fake *f)
{
	(void)f;
	for (unsigned i = 0; i < SUBS; i++)
		tako__topic_unsubscribe(&fakes[i].sub);
}

static void leave_others(struct fake *f)
{
	for (unsigned i = 0; i < SUBS; i++) {
		if (&fakes[i] != f)
			tako__topic_unsubscribe(&fakes[i].sub);
	}
}

static void leave_and_return(struct fake *f)
{
	f->then = NULL;
	leave_all(f);
	for (unsigned i = 0; i < SUBS; i++)
		subscribe(i);
}

static void come(struct fake *f)
{
	f->then = NULL;
	subscribe(SUBS - 1);
}

static unsigned told(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SUBS; i++)
		n += fakes[i].told;
	return n;
}

static void all_but_the_last(void)
{
	for (unsigned i = 0; i < SUBS - 1; i++)
		subscribe(i);
}

static void leaving_while_told(void **state)
{
	(void)state;
	all_but_the_last();
	for (unsigned i = 0; i < SUBS; i++)
		fakes[i].then = leave_self;
	publish("a", 1);
	turns(2);
	assert_int_equal(told(), SUBS - 1);
	assert_int_equal(figures().subscribers, 0);
	publish("b", 0);
}

static void being_left_while_told(void **state)
{
	void (*const ways[])(struct fake *) = {leave_all, leave_others};

	(void)state;
	/* From the first, a middle one and the last that is told. */
	for (unsigned way = 0; way < 2; way++) {
		for (unsigned who = 0; who < SUBS - 1; who++) {
			memset(fakes, 0, sizeof fakes);
			all_but_the_last();
			fakes[who].then = ways[way];
			publish("a", 1);
			publish("b", 1);
			turns(2);
			/* The newest is told first. */
			assert_int_equal(told(), SUBS - 1 - who);
			assert_int_equal(figures().subscribers, way);
			leave_all(NULL);
		}
	}
}

static void coming_while_told(void **state)
{
	(void)state;
	all_but_the_last();
	fakes[1].then = come;
	publish("a", 1);
	turns(2);
	assert_string_equal(fakes[SUBS - 1].text, "");
	publish("b", 1);
	turns(2);
	assert_string_equal(fakes[SUBS - 1].text, "b ");
	assert_string_equal(fakes[0].text, "a b ");
}

static void returning_while_told(void **state)
{
	(void)state;
	subscribe(0);
	fakes[0].then = leave_and_return;
	publish("a", 1);
	turns(2);
	assert_int_equal(told(), 1);
	assert_int_equal(figures().subscribers, SUBS);
	publish("b", 1);
	turns(2);
	assert_int_equal(told(), 1 + SUBS);
}

/* More waits than one turn takes when the last one leaves. */
static void leaving_with_more_to_come(void **state)
{
	static char text[9000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	subscribe(0);
	fakes[0].then = leave_self;
	for (int i = 0; i < 10; i++)
		publish(text, 1);
	turns(5);
	assert_int_equal(fakes[0].told, 1);
}

/* ---- Bounds ---------------------------------------------------------------------------------- */

static void queue_count(void **state)
{
	(void)state;
	tako_topic_free(topic);
	assert_int_equal(tako_topic_new(&topic, TAKO_TOPIC_CONFIG(.max_queue_count = 100)), 0);
	subscribe(0);
	for (int i = 0; i < 100; i++)
		publish("a", 1);
	publish("b", TAKO_EBUSY);
	assert_string_equal(tako_last_error(), "the queue of a worker is full, or cannot grow");
	assert_int_equal(figures().dropped, 1);
	turns(4);
	assert_int_equal(fakes[0].n, 200);
	publish("c", 1);
	turns(2);
	assert_int_equal(fakes[0].n, 202);
}

static void queue_bytes(void **state)
{
	static char text[10000];

	(void)state;
	tako_topic_free(topic);
	assert_int_equal(tako_topic_new(&topic, TAKO_TOPIC_CONFIG(.max_queue_bytes = 5000)), 0);
	subscribe(0);
	memset(text, 'x', sizeof text - 1);
	/* One alone always fits: it has a bound of its own. */
	publish(text, 1);
	publish("a", TAKO_EBUSY);
	turns(2);
	publish("a", 1);
	turns(2);
	assert_int_equal(fakes[0].n, sizeof text + 2);
}

static void message_bytes(void **state)
{
	static char text[(64 << 10) + 2];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	publish(text, TAKO_ETOOBIG);
	text[64 << 10] = '\0';
	publish(text, 0);
	assert_int_equal(tako_topic_publish(topic, TAKO_MESSAGE(.event = TAKO_STR("\n"))),
	                 TAKO_EINVAL);
	assert_int_equal(tako_topic_publish(topic, NULL), TAKO_EINVAL);
}

static void made_without_memory(void **state)
{
	(void)state;
	subscribe(0);
	subscribe(1);
	make_fails = true;
	publish("a", 1);
	turns(2);
	assert_int_equal(told(), 0);
	assert_int_equal(figures().dropped, 1);
	make_fails = false;
	publish("b", 1);
	turns(2);
	assert_int_equal(told(), 2);
}

/* ---- Threads ------------------------------------------------------------------------------------ */

static void *publish_all(void *arg)
{
	char text[16];

	for (int i = 0; i < EACH; i++) {
		int rc;

		snprintf(text, sizeof text, "%s%d", (char *)arg, i);
		do {
			rc = tako_topic_publish(topic, TAKO_MESSAGE(.data = tako_str_z(text)));
		} while (rc == TAKO_EBUSY);
		if (rc < 0)
			break;
	}
	return NULL;
}

static void each_publisher_in_order(void **state)
{
	static char names[THREADS][2] = {"a", "b", "c", "d"};
	pthread_t threads[THREADS];

	(void)state;
	subscribe(0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, publish_all, names[i]), 0);
	for (int i = 0; i < 100000 && figures().delivered < THREADS * EACH; i++)
		stepped_turn(&server, 1);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(figures().delivered, THREADS * EACH);
	for (int t = 0; t < THREADS; t++) {
		const char *at = fakes[0].text;

		for (int i = 0; i < EACH; i++) {
			char text[16];

			snprintf(text, sizeof text, "%s%d ", names[t], i);
			at = strstr(at, text);
			assert_non_null(at);
		}
	}
}

/* ---- Lives ---------------------------------------------------------------------------------------- */

static void topic_goes_first(void **state)
{
	tako_topic *mine = tako_topic_ref(topic);

	(void)state;
	subscribe(0);
	tako_topic_free(mine);
	publish("a", 1);
	tako_topic_free(topic);
	turns(2);
	assert_string_equal(fakes[0].text, "a ");
	tako__topic_unsubscribe(&fakes[0].sub);
	topic = NULL;
}

static void ask(const char *text)
{
	assert_true(peer_send(&peer, &server, text, strlen(text)));
}

static bool received(const char *text)
{
	for (int i = 0; i < 2000; i++) {
		peer_read(&peer);
		peer.data[peer.n] = '\0';
		if (strstr(peer.data, text))
			return true;
		stepped_turn(&server, 2);
	}
	return false;
}

static void streams_subscribe(void **state)
{
	(void)state;
	peer_open(&peer, &server);
	ask("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(received("\r\n\r\n"));
	assert_int_equal(figures().subscribers, 1);
	assert_int_equal(tako_topic_publish(topic, TAKO_MESSAGE(.data = TAKO_STR("a\nb"),
	                                                        .event = TAKO_STR("e"),
	                                                        .id = TAKO_STR("1"))),
	                 1);
	assert_int_equal(tako_topic_publish(topic, TAKO_MESSAGE(.data = TAKO_STR("\xff"),
	                                                        .kind = TAKO_TOPIC_BINARY)),
	                 1);
	assert_int_equal(tako_topic_publish(topic, TAKO_MESSAGE(.data = TAKO_STR("c"))), 1);
	assert_true(received("\r\n\r\n29\r\nevent: e\nid: 1\ndata: a\ndata: b\n\ndata: c\n\n\r\n"));
	assert_int_equal(figures().delivered, 2);
	peer_close(&peer);
	for (int i = 0; i < 1000 && figures().subscribers; i++)
		stepped_turn(&server, 2);
	assert_int_equal(figures().subscribers, 0);
	peer.fd = -1;
}

/* Messages are on their way when the worker goes, and nobody looks at them any more. */
static void server_goes_first(void **state)
{
	(void)state;
	peer_open(&peer, &server);
	ask("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(received("\r\n\r\n"));
	publish("a", 1);
	tako_server_stop(server.srv);
	publish("b", 1);
	for (int i = 0; i < 2000 && !server.over; i++)
		stepped_turn(&server, 2);
	assert_true(server.over);
	assert_int_equal(server.stopped, 0);
	publish("c", 0);
	assert_int_equal(figures().subscribers, 0);
}

/* ---- Relays ------------------------------------------------------------------------------------------ */

static struct {
	int joins;
	int leaves;
	int join_rc;
	int publish_rc;
	char last[256];
	size_t n;
} carried;

static int relay_join(void *arg, tako_topic *t, const char *name)
{
	assert_ptr_equal(arg, &carried);
	assert_non_null(t);
	assert_string_equal(name, "news");
	carried.joins++;
	return carried.join_rc;
}

static void relay_leave(void *arg, tako_topic *t, const char *name)
{
	(void)t;
	assert_ptr_equal(arg, &carried);
	assert_string_equal(name, "news");
	carried.leaves++;
}

static int relay_publish(void *arg, const char *name, tako_str packed)
{
	assert_ptr_equal(arg, &carried);
	assert_string_equal(name, "news");
	assert_true(packed.n <= sizeof carried.last);
	memcpy(carried.last, packed.p, packed.n);
	carried.n = packed.n;
	return carried.publish_rc;
}

static const tako_relay relay = {.size = sizeof relay,
                                 .arg = &carried,
                                 .join = relay_join,
                                 .leave = relay_leave,
                                 .publish = relay_publish};

static void relayed(void **state)
{
	tako_topic *other;

	(void)state;
	memset(&carried, 0, sizeof carried);
	tako_topic_free(topic);
	assert_int_equal(tako_topic_new(&topic, TAKO_TOPIC_CONFIG(.name = "news", .relay = &relay)),
	                 0);
	assert_int_equal(carried.joins, 1);
	publish("out", 0);
	subscribe(0);
	assert_int_equal(tako_topic_deliver(topic, (tako_str){carried.last, carried.n}), 1);
	assert_int_equal(tako_topic_deliver(topic, TAKO_STR("rubbish")), TAKO_EPROTO);
	carried.publish_rc = TAKO_EBUSY;
	publish("here only", TAKO_EBUSY);
	turns(2);
	assert_string_equal(fakes[0].text, "out here only ");
	assert_int_equal(figures().relay_dropped, 1);
	assert_int_equal(carried.leaves, 0);
	carried.join_rc = TAKO_ESYS;
	assert_int_equal(tako_topic_new(&other, TAKO_TOPIC_CONFIG(.name = "news", .relay = &relay)),
	                 TAKO_ESYS);
	tako__topic_unsubscribe(&fakes[0].sub);
	tako_topic_free(topic);
	topic = NULL;
	assert_int_equal(carried.leaves, 1);
}

static void configs(void **state)
{
	static char name[TAKO_TOPIC_NAME_MAX_BYTES + 2];
	tako_relay lame = relay;
	tako_topic *t = NULL;
	const struct {
		tako_topic_config cfg;
		int rc;
	} cases[] = {
		{{.name = "a"}, 0},
		{{.size = 4}, TAKO_EINVAL},
		{{.name = "a\nb"}, TAKO_EINVAL},
		{{.name = name}, TAKO_EINVAL},
		{{.relay = &relay}, TAKO_EINVAL},
		{{.relay = &relay, .name = ""}, TAKO_EINVAL},
		{{.relay = &lame, .name = "news"}, TAKO_EINVAL},
		{{.max_queue_count = (1 << 20) + 1}, TAKO_EINVAL},
		{{.gather_ms = 60001}, TAKO_EINVAL},
		{{.gather_ms = 60000}, 0},
		{{.max_queue_bytes = TAKO_OFF64, .max_message_bytes = TAKO_OFF64}, 0},
	};
	tako_topic_stats s = {.size = sizeof s + 8};

	(void)state;
	lame.leave = NULL;
	memset(name, 'x', sizeof name - 1);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		tako_topic_config cfg = cases[i].cfg;

		cfg.size = cfg.size ? cfg.size : sizeof cfg;
		assert_int_equal(tako_topic_new(&t, &cfg), cases[i].rc);
		if (!cases[i].rc)
			tako_topic_free(t);
	}
	tako_topic_free(NULL);
	assert_int_equal(tako_topic_get_stats(topic, &s), TAKO_EINVAL);
}

/* ---- Gathering ---------------------------------------------------------------------------------------- */

static int set_up_gathering(void **state)
{
	(void)state;
	return start(TAKO_TOPIC_CONFIG(.gather_ms = 60000));
}

static int set_up_gathering_briefly(void **state)
{
	(void)state;
	return start(TAKO_TOPIC_CONFIG(.gather_ms = 20));
}

static void it_waits_for_so_long_and_no_longer(void **state)
{
	uint64_t from;

	(void)state;
	subscribe(0);
	turns(1);
	for (unsigned round = 1; round <= 2; round++) {
		from = tako__now_ns(worker());
		publish("a", 1);
		for (int i = 0; i < 5000 && fakes[0].told < round; i++)
			stepped_turn(&server, 1);
		assert_int_equal(fakes[0].told, round);
		assert_true(tako__now_ns(worker()) - from >= 20 * UINT64_C(1000000));
	}
	assert_string_equal(fakes[0].text, "a a ");
}

/* Nor is its time waited for when nobody is left. */
static void gone_before_its_time(void **state)
{
	uint64_t from;

	(void)state;
	turns(1);
	from = tako__now_ns(worker());
	subscribe(0);
	publish("a", 1);
	turns(1);
	tako__topic_unsubscribe(&fakes[0].sub);
	for (int i = 0; i < 5000 && tako__now_ns(worker()) - from < 50 * UINT64_C(1000000); i++)
		stepped_turn(&server, 1);
	assert_int_equal(fakes[0].told, 0);
	assert_int_equal(figures().subscribers, 0);
}

static void publish_many(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		publish("x", 1);
}

static void as_many_as_a_send_takes_do_not_wait(void **state)
{
	(void)state;
	subscribe(0);
	publish("a", 1);
	turns(3);
	assert_int_equal(fakes[0].told, 0);
	publish_many(TAKO__BATCH_MAX - 2);
	turns(3);
	assert_int_equal(fakes[0].told, 0);
	publish("last", 1);
	turns(3);
	assert_int_equal(fakes[0].told, 1);
	assert_int_equal(figures().delivered, TAKO__BATCH_MAX);
	/* The rest of what came at once does not wait either; what comes then does. */
	publish_many(TAKO__BATCH_MAX + 3);
	turns(4);
	assert_int_equal(fakes[0].told, 3);
	publish("alone", 1);
	turns(4);
	assert_int_equal(fakes[0].told, 3);
}

/* With its last subscriber goes what waited; nothing of it is left behind. */
static void nobody_is_left_to_wait_for(void **state)
{
	(void)state;
	subscribe(0);
	publish("a", 1);
	turns(3);
	tako__topic_unsubscribe(&fakes[0].sub);
	subscribe(1);
	publish_many(TAKO__BATCH_MAX);
	turns(3);
	assert_int_equal(fakes[0].told, 0);
	assert_int_equal(figures().delivered, TAKO__BATCH_MAX);
	/* Gone while its mail is on its way, too. */
	publish("b", 1);
	turns(3);
	publish_many(TAKO__BATCH_MAX);
	tako__topic_unsubscribe(&fakes[1].sub);
	turns(3);
	assert_int_equal(fakes[1].told, 1);
}

/* ---- Without memory --------------------------------------------------------------------------------- */

static void one_life(void)
{
	tako_topic *t = NULL;

	peer_open(&peer, &server);
	(void)peer_send(&peer, &server, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n", 34);
	turns(2);
	for (int i = 0; i < 40; i++)
		(void)tako_topic_publish(topic, TAKO_MESSAGE(.data = TAKO_STR("text")));
	turns(3);
	if (tako_topic_new(&t, TAKO_TOPIC_CONFIG(.name = "x")) == 0)
		tako_topic_free(t);
	peer_close(&peer);
	for (int i = 0; i < 100 && figures().subscribers; i++)
		stepped_turn(&server, 2);
	turns(2);
}

static void no_memory(void **state)
{
	size_t n;

	(void)state;
	one_life();
	for (n = 1; n < 300; n++) {
		failalloc_arm(n);
		one_life();
		assert_int_equal(figures().subscribers, 0);
		if (!failalloc_disarm())
			break;
	}
	assert_in_range(n, 40, 299);
	peer.fd = -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_waits_for_so_long_and_no_longer,
	                                        set_up_gathering_briefly, tear_down),
		cmocka_unit_test_setup_teardown(gone_before_its_time, set_up_gathering_briefly,
	                                        tear_down),
		cmocka_unit_test_setup_teardown(as_many_as_a_send_takes_do_not_wait,
	                                        set_up_gathering, tear_down),
		cmocka_unit_test_setup_teardown(nobody_is_left_to_wait_for, set_up_gathering,
	                                        tear_down),
		T(everybody_in_order),
		T(nothing_before_subscribing),
		T(nothing_after_unsubscribing),
		T(many_take_several_turns),
		T(leaving_while_told),
		T(being_left_while_told),
		T(coming_while_told),
		T(returning_while_told),
		T(leaving_with_more_to_come),
		T(queue_count),
		T(queue_bytes),
		T(message_bytes),
		T(made_without_memory),
		T(each_publisher_in_order),
		T(topic_goes_first),
		T(streams_subscribe),
		T(server_goes_first),
		T(relayed),
		T(configs),
		T(no_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * A transport written on <tako/sys/transport.h> in the simulated world: every answer is whole and in its
 * place, or none is; each exchange is told its end once; nothing leaks, however bytes are cut up, whoever
 * leaves when, and whatever allocation fails.
 *
 * A client says a letter and six digits, which is a route and how much of it there will be, and behind 'e'
 * that many bytes; one request after the other, without waiting.  It hears 'd', six digits and that many
 * bytes, any number of times, then 'o'.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tako/sys/transport.h>

#include "core/base.h"
#include "sim/sim_peer.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"

enum {
	CLIENTS = 4,
	REQUESTS = 6,
	BODY_MAX = 60000,
	KEPT_MAX = 500000,
	TURNS_MAX = 200000,
	HIGH_BYTES = 5000,
	PAUSE_BYTES = 20000, /* so much is kept before the peer has to wait */
	ORDER_BYTES = 7,
};

struct client {
	struct sim_peer peer;
	size_t sizes[REQUESTS]; /* of the answers to come */
	unsigned asked;
	unsigned heard; /* whole answers */
	size_t got;     /* of the present one */
	size_t left;    /* of its present piece */
	char head[ORDER_BYTES];
	size_t head_n;
	bool wrong;
	bool gone;
};

/* A connection's memory. */
struct mine {
	tako_exchange *e;
	size_t body_left;
	size_t kept_n;
	bool paused;
	char kept[KEPT_MAX];
};

static struct {
	struct sim_server server;
	struct client clients[CLIENTS];
	unsigned count;
	unsigned begun;
	unsigned over;
	unsigned cancels_permille;
	char pattern[BODY_MAX];
} world;

static struct sim_rand *rand_of(void)
{
	return &world.server.sim.rand;
}

/* ---- The handlers ---------------------------------------------------------------------------------- */

static size_t number(tako_str digits)
{
	size_t n = 0;

	for (size_t i = 0; i < digits.n; i++)
		n = n * 10 + (size_t)(digits.p[i] - '0');
	return n;
}

static size_t wanted(tako_req *req)
{
	return number(tako_req_param(req, "n"));
}

static tako_str pattern(size_t from, size_t n)
{
	return (tako_str){world.pattern + from, n};
}

static int send_all(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_send(res, 200, "text/plain", pattern(0, wanted(req)));
}

static int lend_all(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_send_ref(res, 200, "text/plain", pattern(0, wanted(req)), NULL, NULL);
}

static void send_late(tako_res *res, void *arg)
{
	(void)tako_res_send(res, 200, "text/plain", pattern(0, (size_t)(uintptr_t)arg));
}

static int wait_first(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, 3, send_late, (void *)(uintptr_t)wanted(req));
}

/* What is left, as long as there is room. */
struct pieces {
	size_t at;
	size_t n;
};

static void go_on(tako_res *res, void *arg)
{
	struct pieces *p = arg;
	int64_t unsent = 0;

	while (p->at < p->n && unsent >= 0 && unsent < HIGH_BYTES) {
		size_t step = p->n - p->at < 700 ? p->n - p->at : 700;

		unsent = tako_res_write(res, pattern(p->at, step), NULL, NULL);
		p->at += step;
	}
	if (unsent < 0)
		return;
	if (p->at == p->n)
		(void)tako_res_end(res);
	else
		(void)tako_res_on_drain(res, go_on, p);
}

static int in_pieces(tako_req *req, tako_res *res, void *arg)
{
	struct pieces *p = tako_req_alloc(req, sizeof(*p));

	(void)arg;
	if (!p)
		return TAKO_ENOMEM;
	*p = (struct pieces){0, wanted(req)};
	go_on(res, p);
	return 0;
}

/* Each lent piece is followed, when its memory is back, by the next; the last one by the end. */
struct lent {
	tako_res *res;
	struct pieces left;
};

static void lend_next(void *arg)
{
	struct lent *l = arg;
	size_t step = l->left.n - l->left.at;

	if (tako_res_closed(l->res))
		return;
	if (!step) {
		(void)tako_res_end(l->res);
		return;
	}
	step = step < 9000 ? step : 9000;
	l->left.at += step;
	(void)tako_res_write(l->res, pattern(l->left.at - step, step), lend_next, l);
}

static int lend_in_turn(tako_req *req, tako_res *res, void *arg)
{
	struct lent *l = tako_req_alloc(req, sizeof(*l));

	(void)arg;
	if (!l)
		return TAKO_ENOMEM;
	*l = (struct lent){res, {0, wanted(req)}};
	lend_next(l);
	return 0;
}

static int echo_some(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t unsent = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (unsent < 0)
		return (int)unsent;
	return end ? tako_res_end(res) : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_on_body(req, echo_some, NULL);
}

static tako_router *routes(void)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/s/{n}", send_all, NULL);
	tako_get(r, "/l/{n}", lend_all, NULL);
	tako_get(r, "/t/{n}", wait_first, NULL);
	tako_get(r, "/p/{n}", in_pieces, NULL);
	tako_get(r, "/r/{n}", lend_in_turn, NULL);
	tako_post(r, "/e/{n}", echo, NULL);
	return r;
}

/* ---- The transport ------------------------------------------------------------------------------------- */

static int head(tako_exchange *e, const tako_response_head *h)
{
	(void)e;
	assert_true(h->status == 200 || h->status == 500 || h->status == 503);
	return 0;
}

static int content(tako_exchange *e, tako_str data)
{
	char order[ORDER_BYTES + 1];
	tako_raw *c = tako_exchange_raw(e);

	assert_true(data.n && data.n <= 16384 && tako_raw_unsent(c) < HIGH_BYTES);
	snprintf(order, sizeof(order), "d%06zu", data.n);
	tako_raw_send(c, tako_str_z(order));
	return tako_raw_send(c, data) < 0 ? TAKO_ECLOSED : 0;
}

static int end(tako_exchange *e, const tako_field *trailers, size_t count)
{
	(void)trailers;
	assert_int_equal(count, 0);
	return tako_raw_send(tako_exchange_raw(e), TAKO_STR("o")) < 0 ? TAKO_ECLOSED : 0;
}

static int parse(tako_raw *c, struct mine *m);

static void proceed(tako_raw *c, struct mine *m)
{
	if (parse(c, m) < 0) {
		tako_raw_abort(c);
	} else if (m->paused && m->kept_n <= PAUSE_BYTES) {
		m->paused = false;
		tako_raw_resume(c);
	}
}

static void more(tako_exchange *e)
{
	proceed(tako_exchange_raw(e), tako_exchange_arg(e));
}

static void over(tako_exchange *e)
{
	struct mine *m = tako_exchange_arg(e);

	world.over++;
	assert_ptr_equal(m->e, e);
	m->e = NULL;
	proceed(tako_exchange_raw(e), m);
}

static const tako_exchange_ops ops = {.size = sizeof(ops),
                                      .head = head,
                                      .content = content,
                                      .end = end,
                                      .more = more,
                                      .over = over};

static int begin_one(tako_raw *c, struct mine *m, const char *order)
{
	char target[16];
	size_t n = number((tako_str){order + 1, ORDER_BYTES - 1});
	bool has_body = order[0] == 'e';
	int rc;

	snprintf(target, sizeof(target), "/%c/%zu", order[0], n);
	m->body_left = has_body ? n : 0;
	rc = tako_exchange_begin(&m->e, c,
	                         TAKO_REQUEST_HEAD(.method = tako_str_z(has_body ? "POST" : "GET"),
	                                           .target = tako_str_z(target),
	                                           .authority = TAKO_STR("sim"),
	                                           .content_length = m->body_left),
	                         &ops, m);
	world.begun += rc == 0;
	if (rc == 0 && sim_rand_chance(rand_of(), world.cancels_permille))
		tako_exchange_cancel(m->e);
	return rc;
}

/* As far as it goes: behind a request that is not over, only its content does. */
static int parse(tako_raw *c, struct mine *m)
{
	size_t at = 0;
	int rc = 0;

	while (rc == 0 && at < m->kept_n) {
		size_t left = m->kept_n - at;

		if (m->body_left) {
			size_t n = left < m->body_left ? left : m->body_left;

			if (m->e)
				rc = tako_exchange_data(m->e, (tako_str){m->kept + at, n},
				                        n == m->body_left);
			/* It was answered, or given up, before it was whole. */
			if (rc == TAKO_ESTATE)
				rc = 0;
			if (rc == 0) {
				m->body_left -= n;
				at += n;
			}
			continue;
		}
		if (m->e || left < ORDER_BYTES)
			break;
		rc = begin_one(c, m, m->kept + at);
		at += ORDER_BYTES;
	}
	m->kept_n -= at;
	memmove(m->kept, m->kept + at, m->kept_n);
	return rc == TAKO_EBUSY ? 0 : rc;
}

static int on_data(tako_raw *c, tako_str data, void *arg)
{
	struct mine *m = tako_raw_user(c);
	int rc;

	(void)arg;
	assert_false(m->paused);
	assert_true(data.n <= KEPT_MAX - m->kept_n);
	memcpy(m->kept + m->kept_n, data.p, data.n);
	m->kept_n += data.n;
	rc = parse(c, m);
	m->paused = rc == 0 && m->kept_n > PAUSE_BYTES && m->e;
	if (m->paused)
		tako_raw_pause(c);
	return rc;
}

/* ---- The world ---------------------------------------------------------------------------------------- */

static void hear_order(struct client *c)
{
	if (c->head[0] == 'o') {
		c->wrong |= c->got != c->sizes[c->heard];
		c->heard++;
		c->got = 0;
		c->head_n = 0;
	} else if (c->head_n == ORDER_BYTES) {
		c->left = number((tako_str){c->head + 1, ORDER_BYTES - 1});
		c->wrong |= c->head[0] != 'd' || !c->left;
		c->head_n = 0;
	}
}

static void hear(void *arg, const char *p, size_t n)
{
	struct client *c = arg;

	while (n) {
		size_t step = 1;

		if (c->left) {
			step = n < c->left ? n : c->left;
			c->wrong |= c->got + step > BODY_MAX ||
			            memcmp(world.pattern + c->got, p, step) != 0;
			c->got += step;
			c->left -= step;
		} else {
			c->head[c->head_n++] = *p;
			hear_order(c);
		}
		p += step;
		n -= step;
	}
}

static void begin(uint64_t seed, const tako_server_config *cfg)
{
	tako_raw_config raw = {.size = sizeof raw,
	                       .on_data = on_data,
	                       .user_bytes = sizeof(struct mine),
	                       .write_high_bytes = HIGH_BYTES,
	                       .max_unsent_bytes = 100000,
	                       .idle_timeout_ms = 20000};

	memset(&world, 0, sizeof world);
	sim_server_begin(&world.server, seed, NULL);
	for (size_t i = 0; i < BODY_MAX; i++)
		world.pattern[i] = (char)(i * 7 + i / 251);
	sim_server_start(&world.server, routes(), cfg, tako_raw_tcp(),
	                 TAKO_LISTEN_CONFIG(.raw = &raw));
}

static void add_client(void)
{
	struct client *c = &world.clients[world.count++];

	sim_alloc_hold();
	sim_peer_open(&c->peer, &world.server.sim, hear, c);
	sim_peer_draw(&c->peer);
	for (uint64_t i = sim_rand_between(rand_of(), 1, REQUESTS); i; i--) {
		char kind = "sltper"[sim_rand_below(rand_of(), 6)];
		size_t n = sim_rand_size(rand_of(), BODY_MAX);

		sim_peer_sayf(&c->peer, "%c%06zu", kind, n);
		if (kind == 'e')
			sim_peer_say(&c->peer, world.pattern, n);
		c->sizes[c->asked++] = n;
	}
	sim_alloc_go_on();
}

static void add_clients(void)
{
	for (uint64_t i = sim_rand_between(rand_of(), 1, CLIENTS); i; i--)
		add_client();
}

static void turn(void)
{
	for (unsigned i = 0; i < world.count; i++) {
		if (!world.clients[i].gone)
			sim_peer_turn(&world.clients[i].peer);
	}
	sim_server_step(&world.server);
}

static void finish(void)
{
	sim_server_end(&world.server);
	assert_int_equal(world.begun, world.over);
	for (unsigned i = 0; i < world.count; i++) {
		sim_alloc_hold();
		sim_peer_free(&world.clients[i].peer);
		sim_alloc_go_on();
	}
}

static bool all_heard(void)
{
	for (unsigned i = 0; i < world.count; i++) {
		if (world.clients[i].heard < world.clients[i].asked)
			return false;
	}
	return true;
}

/* ---- The tests ---------------------------------------------------------------------------------------- */

static void answers(uint64_t seed)
{
	begin(seed, NULL);
	add_clients();
	for (unsigned i = 0; i < TURNS_MAX && !all_heard(); i++)
		turn();
	for (unsigned i = 0; i < world.count; i++) {
		assert_false(world.clients[i].wrong);
		assert_int_equal(world.clients[i].heard, world.clients[i].asked);
	}
	finish();
}

/* The peer goes, the server stops, the protocol gives up: at any point. */
static void departures(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = 2000};
	uint64_t turns;

	begin(seed, &cfg);
	world.cancels_permille = (unsigned)sim_rand_below(rand_of(), 300);
	add_clients();
	turns = sim_rand_size(rand_of(), 1000);
	for (uint64_t i = 0; i < turns; i++) {
		struct client *c = &world.clients[sim_rand_below(rand_of(), world.count)];

		turn();
		if (c->gone || !sim_rand_chance(rand_of(), 10))
			continue;
		if (sim_rand_chance(rand_of(), 500))
			sim_reset(c->peer.link);
		else
			sim_close(c->peer.link);
		c->gone = true;
	}
	finish();
}

/* Whose server stops hears what it has been promised, if it reads. */
static void drained(uint64_t seed)
{
	unsigned begun;

	begin(seed, NULL);
	add_clients();
	for (uint64_t i = sim_rand_size(rand_of(), 300); i; i--)
		turn();
	sim_server_stop(&world.server);
	for (unsigned i = 0; i < TURNS_MAX && !world.server.over; i++)
		turn();
	begun = 0;
	for (unsigned i = 0; i < world.count; i++) {
		assert_false(world.clients[i].wrong);
		begun += world.clients[i].heard;
	}
	assert_true(begun <= world.begun);
	finish();
}

static void without_memory(uint64_t seed)
{
	static const tako_server_config cfg = {.size = sizeof cfg, .drain_timeout_ms = 2000};

	begin(seed, &cfg);
	add_clients();
	sim_alloc_fail(sim_rand_between(rand_of(), 1, 60), sim_rand_chance(rand_of(), 300));
	for (unsigned i = 0; i < 300; i++)
		turn();
	(void)sim_alloc_calm();
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(answers),
		SIM_TEST(departures),
		SIM_TEST(drained),
		SIM_TEST(without_memory),
	};

	sim_alloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

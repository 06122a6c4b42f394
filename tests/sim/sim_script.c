/* SPDX-License-Identifier: MIT
 *
 * See sim_script.h.
 */
#include "sim/sim_script.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

enum { BODY_BYTES = 64 << 10 };

void sim_script_open(struct sim_script *c, struct sim *sim)
{
	*c = (struct sim_script){.body_bytes_max = BODY_BYTES};
	sim_http1_init(&c->http);
	sim_peer_open(&c->peer, sim, sim_http1_feed, &c->http);
}

void sim_script_free(struct sim_script *c)
{
	sim_peer_free(&c->peer);
	sim_http1_free(&c->http);
}

static struct sim_rand *rand_of(struct sim_script *c)
{
	return &c->peer.sim->rand;
}

static size_t body_size(struct sim_script *c)
{
	return sim_rand_chance(rand_of(c), 100) ? 0 : sim_rand_size(rand_of(c), c->body_bytes_max);
}

static void add(struct sim_script *c, struct sim_expect e)
{
	sim_http1_expect(&c->http, e.head_only);
	c->expect[c->count++] = e;
}

static const char *version(const struct sim_expect *e)
{
	return e->old ? "HTTP/1.0" : "HTTP/1.1";
}

/* The fields that every request has, and the empty line. */
static void end_head(struct sim_script *c, const struct sim_expect *e)
{
	if (sim_rand_chance(rand_of(c), 300))
		sim_peer_sayf(&c->peer, "X-Filler: %0*d\r\n", (int)sim_rand_size(rand_of(c), 900),
		              7);
	if (e->close && !e->old)
		sim_peer_sayf(&c->peer, "connection: close\r\n");
	if (!e->close && e->old)
		sim_peer_sayf(&c->peer, "Connection: Keep-Alive\r\n");
	sim_peer_sayf(&c->peer, "Host: sim\r\n\r\n");
}

void sim_script_get(struct sim_script *c, const char *path, struct sim_expect e)
{
	sim_peer_sayf(&c->peer, "%s %s %s\r\n", e.head_only ? "HEAD" : "GET", path, version(&e));
	end_head(c, &e);
	add(c, e);
}

/* ---- Requests without a body ------------------------------------------------------------ */

static void add_text(struct sim_script *c, const char *route, struct sim_expect e)
{
	char path[96];

	e.status = 200;
	e.text = true;
	e.key = sim_rand_below(rand_of(c), 1000000);
	snprintf(path, sizeof path, "%s%llu", route, (unsigned long long)e.key);
	sim_script_get(c, path, e);
}

static void add_later(struct sim_script *c, struct sim_expect e)
{
	char route[64];

	snprintf(route, sizeof route, "/later/%llu/",
	         (unsigned long long)sim_rand_size(rand_of(c), 500) - 1);
	add_text(c, route, e);
}

static void add_pattern(struct sim_script *c, const char *route, struct sim_expect e)
{
	char path[96];

	e.status = 200;
	e.body_n = body_size(c);
	e.key = e.body_n;
	snprintf(path, sizeof path, "%s%zu", route, e.body_n);
	sim_script_get(c, path, e);
}

/* ---- Bodies ------------------------------------------------------------------------------- */

static void say_chunked(struct sim_script *c, const char *p, size_t n, const struct sim_expect *e)
{
	struct sim_rand *r = rand_of(c);

	while (n) {
		size_t step = sim_rand_size(r, n);

		sim_peer_sayf(&c->peer, sim_rand_chance(r, 500) ? "%zx\r\n" : "%zX;ext=\"a;b\"\r\n",
		              step);
		sim_peer_say(&c->peer, p, step);
		sim_peer_say(&c->peer, "\r\n", 2);
		p += step;
		n -= step;
	}
	sim_peer_sayf(&c->peer, "0\r\n");
	if (e->trailer)
		sim_peer_sayf(&c->peer, "X-Sum: %llu\r\n", (unsigned long long)e->key);
	sim_peer_say(&c->peer, "\r\n", 2);
}

static void add_body(struct sim_script *c, const char *path, struct sim_expect e)
{
	struct sim_rand *r = rand_of(c);
	size_t n = body_size(c);
	bool chunked = !e.old && sim_rand_chance(r, 500);
	bool ignored = strcmp(path, "/ignore") == 0;

	e.status = 200;
	e.key = sim_rand_below(r, 1000000);
	/* An answer that nobody expected the body for ends the connection. */
	e.may_100 = !e.old && !ignored && sim_rand_chance(r, 200);
	e.trailer = chunked && !ignored && strcmp(path, "/whole") != 0 && sim_rand_chance(r, 500);
	if (ignored)
		e.literal = "ignored";
	else
		e.body_n = n;
	sim_peer_sayf(&c->peer, "POST %s %s\r\n", path, version(&e));
	if (chunked)
		sim_peer_sayf(&c->peer, "Transfer-Encoding: chunked\r\n");
	else
		sim_peer_sayf(&c->peer, "Content-Length: %zu\r\n", n);
	if (e.may_100)
		sim_peer_sayf(&c->peer, "Expect: 100-continue\r\n");
	end_head(c, &e);
	if (chunked)
		say_chunked(c, sim_pattern(e.key), n, &e);
	else
		sim_peer_say(&c->peer, sim_pattern(e.key), n);
	add(c, e);
}

/* ---- By chance ------------------------------------------------------------------------------ */

static void add_any(struct sim_script *c, struct sim_expect e)
{
	static const char *const texts[] = {"/text/", "/text/", "/defer/", "/hint/"};
	static const char *const patterns[] = {"/length/", "/file/", "/pieces/", "/lent/"};
	static const char *const bodies[] = {"/whole", "/ignore", "/echo", "/slow"};
	/* Of unknown length: in HTTP/1.0 the end of the connection is their end. */
	unsigned framed = e.old && !e.close;
	struct sim_rand *r = rand_of(c);
	const char *path;

	switch (sim_rand_below(r, 8)) {
	case 0:
		e.head_only = true;
		path = texts[sim_rand_below(r, 3)];
		add_text(c, path, e);
		break;
	case 1:
		add_later(c, e);
		break;
	case 2:
		e.status = 404;
		e.literal = "404 Not Found\n";
		sim_script_get(c, "/nowhere", e);
		break;
	case 3:
	case 4:
		add_pattern(c, patterns[sim_rand_below(r, framed ? 2 : 4)], e);
		break;
	case 5:
	case 6:
		add_body(c, bodies[sim_rand_below(r, framed ? 2 : 4)], e);
		break;
	default:
		path = texts[sim_rand_below(r, 4)];
		e.hint = path == texts[3] && !e.old;
		add_text(c, path, e);
	}
}

void sim_script_add(struct sim_script *c)
{
	add_any(c, (struct sim_expect){.old = sim_rand_chance(rand_of(c), 100)});
}

void sim_script_add_last(struct sim_script *c)
{
	add_any(c, (struct sim_expect){.close = true, .old = sim_rand_chance(rand_of(c), 300)});
}

/* ---- Going on --------------------------------------------------------------------------------- */

void sim_script_turn(struct sim_script *c)
{
	sim_peer_turn(&c->peer);
	if (sim_ended(c->peer.link) && !c->told_end) {
		c->told_end = true;
		sim_http1_end(&c->http, c->peer.link->client_reset);
	}
}

bool sim_script_over(const struct sim_script *c)
{
	return c->told_end || c->http.bad || c->peer.link->client_closed ||
	       (c->http.reply_count == c->count && !c->expect[c->count - 1].close);
}

/* ---- Was it right? -------------------------------------------------------------------------------- */

static void check_body(const struct sim_reply *r, const struct sim_expect *e)
{
	char line[64];
	const char *want = sim_pattern(e->key) + e->body_at;
	size_t n = e->body_n;

	if (e->any_body)
		return;
	if (e->text) {
		snprintf(line, sizeof line, "text %llu", (unsigned long long)e->key);
		want = line;
		n = strlen(line);
	} else if (e->literal) {
		want = e->literal;
		n = strlen(want);
	}
	if (e->head_only)
		n = 0;
	assert_int_equal(r->body_n, n);
	if (n)
		assert_memory_equal(r->body, want, n);
}

static void check_reply(const struct sim_reply *r, const struct sim_expect *e)
{
	char sum[64] = "";

	assert_int_equal(r->status, e->status);
	check_body(r, e);
	assert_int_equal(r->hint_count, e->hint);
	assert_true(r->continue_count <= e->may_100);
	assert_int_equal(r->close, e->close);
	assert_int_equal(r->keep_alive, e->old && !e->close);
	assert_false(e->old && r->chunked);
	if (e->trailer)
		snprintf(sum, sizeof sum, "X-Sum: %llu\n", (unsigned long long)e->key);
	assert_string_equal(r->trailers, sum);
}

void sim_script_check(const struct sim_script *c, bool all)
{
	if (c->http.bad)
		fail_msg("answer %u is malformed: %s", c->http.reply_count, c->http.bad);
	assert_true(c->http.reply_count <= c->count);
	for (unsigned i = 0; i < c->http.reply_count; i++)
		check_reply(&c->http.replies[i], &c->expect[i]);
	if (!all)
		return;
	assert_int_equal(c->http.reply_count, c->count);
	assert_false(sim_http1_partial(&c->http));
	if (c->expect[c->count - 1].close)
		assert_true(sim_ended(c->peer.link) && !c->peer.link->client_reset);
}

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
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BODY_BYTES = 64 << 10, LINE_BYTES = 2048 };

/* ---- The way to the server and back --------------------------------------------------------- */

static struct sim_rand *rand_of(struct sim_script *c)
{
	return &c->peer.sim->rand;
}

static void on_plain(void *arg, const char *p, size_t n)
{
	struct sim_script *c = arg;

	if (c->h2)
		sim_h2_feed(c->h2, p, n);
	else
		sim_http1_feed(&c->http, p, n);
}

static void on_bytes(void *arg, const char *p, size_t n)
{
	struct sim_script *c = arg;

	if (c->shell)
		c->shell->feed(c->shell_state, p, n);
	else
		on_plain(c, p, n);
	/* It may have something to say to that. */
	c->peer.sim->alarm_ns = sim_now(c->peer.sim);
}

static void say_bytes(void *arg, const char *p, size_t n)
{
	sim_peer_say(&((struct sim_script *)arg)->peer, p, n);
}

static void say_plain(void *arg, const char *p, size_t n)
{
	sim_script_say(arg, p, n);
}

void sim_script_open(struct sim_script *c, struct sim *sim)
{
	*c = (struct sim_script){.body_bytes_max = BODY_BYTES, .shell = sim_carrier->shell};
	sim_http1_init(&c->http);
	sim_peer_open(&c->peer, sim, on_bytes, c);
	if (sim_carrier->h2) {
		c->h2 = malloc(sizeof *c->h2);
		if (!c->h2)
			abort();
		sim_h2_init(c->h2, rand_of(c), say_plain, c);
	}
	if (c->shell)
		c->shell_state = c->shell->open(c->shell, rand_of(c), say_bytes, on_plain, c);
}

void sim_script_free(struct sim_script *c)
{
	if (c->shell)
		c->shell->free(c->shell_state);
	if (c->h2)
		sim_h2_free(c->h2);
	free(c->h2);
	sim_peer_free(&c->peer);
	sim_http1_free(&c->http);
}

void sim_script_draw(struct sim_script *c)
{
	sim_peer_draw(&c->peer);
	if (c->h2)
		sim_h2_draw(c->h2);
}

void sim_script_say(struct sim_script *c, const char *p, size_t n)
{
	if (c->shell)
		c->shell->say(c->shell_state, p, n);
	else
		sim_peer_say(&c->peer, p, n);
}

void sim_script_sayf(struct sim_script *c, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		abort();
	sim_script_say(c, line, (size_t)n);
}

/* ---- Requests as HTTP/1.1 has them ------------------------------------------------------------ */

static void say_chunked(struct sim_script *c, const struct sim_ask *a)
{
	struct sim_rand *r = rand_of(c);
	const char *p = a->body;
	size_t n = a->body_n;

	while (n) {
		size_t step = sim_rand_size(r, n);

		sim_script_sayf(c, sim_rand_chance(r, 500) ? "%zx\r\n" : "%zX;ext=\"a;b\"\r\n",
		                step);
		sim_script_say(c, p, step);
		sim_script_say(c, "\r\n", 2);
		p += step;
		n -= step;
	}
	sim_script_sayf(c, "0\r\n");
	if (a->trailer)
		sim_script_sayf(c, "X-Sum: %llu\r\n", (unsigned long long)a->sum);
	sim_script_say(c, "\r\n", 2);
}

static void say_text(struct sim_script *c, const struct sim_ask *a)
{
	sim_script_sayf(c, "%s %s HTTP/1.%d\r\n", a->method, a->path, !a->old);
	if (a->body && a->counted)
		sim_script_sayf(c, "Content-Length: %zu\r\n", a->body_n);
	else if (a->body && !a->protocol)
		sim_script_sayf(c, "Transfer-Encoding: chunked\r\n");
	if (a->expects)
		sim_script_sayf(c, "Expect: 100-continue\r\n");
	if (a->filler_n)
		sim_script_sayf(c, "X-Filler: %0*d\r\n", (int)a->filler_n, 7);
	for (unsigned i = 0; i < a->field_count; i++)
		sim_script_sayf(c, "%s: %s\r\n", a->fields[i].name, a->fields[i].value);
	if (a->protocol)
		sim_script_sayf(c, "Connection: Upgrade\r\nUpgrade: %s\r\n", a->protocol);
	if (a->close && !a->old)
		sim_script_sayf(c, "connection: close\r\n");
	if (!a->close && a->old)
		sim_script_sayf(c, "Connection: Keep-Alive\r\n");
	sim_script_sayf(c, "Host: sim\r\n\r\n");
	c->stopped_at = a->waits ? 0 : a->stops_at ? a->stops_at : a->body_n;
	if (a->body && (a->counted || a->protocol))
		sim_script_say(c, a->body, c->stopped_at);
	else if (a->body)
		say_chunked(c, a);
	c->ends |= a->protocol && a->body && !a->stops_at && !a->waits;
}

void sim_script_ask(struct sim_script *c, const struct sim_ask *ask, struct sim_expect e)
{
	if (c->h2) {
		/* RFC 8441 section 5. */
		if (e.status == 101)
			e.status = 200;
		sim_h2_ask(c->h2, ask);
	} else {
		sim_http1_expect(&c->http, e.head_only);
		c->http.upgrade[c->count] = ask->protocol;
		say_text(c, ask);
	}
	c->expect[c->count++] = e;
}

void sim_script_go_on(struct sim_script *c, unsigned i, const struct sim_ask *ask, size_t to)
{
	if (c->h2) {
		sim_h2_go_on(c->h2, i, to);
		return;
	}
	sim_script_say(c, ask->body + c->stopped_at, to - c->stopped_at);
	c->stopped_at = to;
}

void sim_script_get(struct sim_script *c, const char *path, struct sim_expect e)
{
	struct sim_ask a = {.method = e.head_only ? "HEAD" : "GET", .old = e.old, .close = e.close};

	snprintf(a.path, sizeof a.path, "%s", path);
	if (sim_rand_chance(rand_of(c), 300))
		a.filler_n = sim_rand_size(rand_of(c), 900);
	sim_script_ask(c, &a, e);
}

/* ---- Requests without a body ------------------------------------------------------------ */

static size_t body_size(struct sim_script *c)
{
	return sim_rand_chance(rand_of(c), 100) ? 0 : sim_rand_size(rand_of(c), c->body_bytes_max);
}

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

static void add_body(struct sim_script *c, const char *path, struct sim_expect e)
{
	struct sim_rand *r = rand_of(c);
	struct sim_ask a = {.method = "POST", .old = e.old, .close = e.close};
	bool ignored = strcmp(path, "/ignore") == 0;

	e.status = 200;
	a.sum = e.key = sim_rand_below(r, 1000000);
	a.body = sim_pattern(e.key);
	a.body_n = body_size(c);
	a.counted = e.old || sim_rand_chance(r, 500);
	/* Over HTTP/1 an answer that nobody expected the body for ends the connection. */
	a.expects = e.may_100 = !e.old && !ignored && sim_rand_chance(r, 200);
	e.trailer = !a.counted && !ignored && strcmp(path, "/whole") != 0 &&
	            sim_rand_chance(r, 500);
	a.trailer = e.trailer;
	if (ignored)
		e.literal = "ignored";
	else
		e.body_n = a.body_n;
	snprintf(a.path, sizeof a.path, "%s", path);
	sim_script_ask(c, &a, e);
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
	add_any(c, (struct sim_expect){.old = !c->h2 && sim_rand_chance(rand_of(c), 100)});
}

void sim_script_add_last(struct sim_script *c)
{
	add_any(c, (struct sim_expect){.close = true,
	                               .old = !c->h2 && sim_rand_chance(rand_of(c), 300)});
}

/* ---- Going on --------------------------------------------------------------------------------- */

/* Over HTTP/2 it is the client who knows that there is no more: it says so, or just stops. */
static void leave(struct sim_script *c)
{
	uint64_t how;

	if (c->leaves || !c->count || !c->expect[c->count - 1].close || !sim_script_silent(c))
		return;
	for (unsigned i = 0; i < c->count; i++) {
		if (!sim_h2_resolved(c->h2, i))
			return;
	}
	c->leaves = true;
	how = sim_rand_below(rand_of(c), 3);
	if (how)
		sim_h2_say_bye(c->h2);
	if (how != 1)
		sim_script_shut(c);
}

static void turn_h2(struct sim_script *c)
{
	uint64_t next;

	if (c->told_end || c->peer.link->client_closed || c->shuts)
		return;
	next = sim_h2_turn(c->h2, sim_now(c->peer.sim));
	if (next < c->peer.sim->alarm_ns)
		c->peer.sim->alarm_ns = next;
	leave(c);
}

void sim_script_turn(struct sim_script *c)
{
	/* Its own greeting comes before anything else. */
	if (c->shell)
		c->shell->feed(c->shell_state, NULL, 0);
	if (c->h2)
		turn_h2(c);
	if (c->ends && !c->shuts && sim_script_ready(c) && sim_script_silent(c))
		sim_script_shut(c);
	sim_peer_turn(&c->peer);
	if (c->shuts && !c->peer.link->up.fin && sim_peer_silent(&c->peer))
		sim_shut(c->peer.link);
	if (sim_ended(c->peer.link) && !c->told_end) {
		c->told_end = true;
		sim_http1_end(&c->http, !sim_script_ended(c));
	}
}

bool sim_script_ready(const struct sim_script *c)
{
	return !c->shell || c->shell->ready(c->shell_state);
}

bool sim_script_silent(const struct sim_script *c)
{
	return sim_peer_silent(&c->peer) && (!c->h2 || sim_h2_silent(c->h2));
}

void sim_script_shut(struct sim_script *c)
{
	if (c->shell)
		c->shell->shut(c->shell_state);
	c->shuts = true;
	if (sim_peer_silent(&c->peer))
		sim_shut(c->peer.link);
}

struct sim_reply *sim_script_reply(const struct sim_script *c, unsigned i)
{
	if (!c->h2)
		return i < c->http.reply_count ? &c->http.replies[i] : NULL;
	return i < c->h2->count && c->h2->streams[i].complete ? &c->h2->streams[i].reply : NULL;
}

struct sim_reply *sim_script_heard(const struct sim_script *c, unsigned i)
{
	if (c->h2)
		return &c->h2->streams[i].reply;
	return i <= c->http.reply_count ? &c->http.replies[i] : NULL;
}

unsigned sim_script_answered(const struct sim_script *c)
{
	unsigned n = 0;

	if (!c->h2)
		return c->http.reply_count;
	for (unsigned i = 0; i < c->h2->count; i++)
		n += c->h2->streams[i].complete;
	return n;
}

const char *sim_script_bad(const struct sim_script *c)
{
	const char *bad = c->shell ? c->shell->bad(c->shell_state) : NULL;

	return bad ? bad : c->h2 ? c->h2->bad : c->http.bad;
}

static bool all_resolved(const struct sim_script *c)
{
	for (unsigned i = 0; c->h2 && i < c->count; i++) {
		if (!sim_h2_resolved(c->h2, i))
			return false;
	}
	return c->h2 || c->http.reply_count == c->count;
}

bool sim_script_over(const struct sim_script *c)
{
	return c->told_end || sim_script_bad(c) || c->peer.link->client_closed ||
	       (all_resolved(c) && (!c->count || !c->expect[c->count - 1].close));
}

bool sim_script_told(const struct sim_script *c)
{
	return c->told_end || all_resolved(c);
}

bool sim_script_ended(const struct sim_script *c)
{
	return sim_ended(c->peer.link) && !c->peer.link->client_reset &&
	       (!c->shell || c->shell->ended(c->shell_state));
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

/* What only HTTP/1 says. */
static void check_connection(const struct sim_reply *r, const struct sim_expect *e)
{
	assert_int_equal(r->close, e->close);
	assert_int_equal(r->keep_alive, e->old && !e->close);
	assert_false(e->old && r->chunked);
}

static void check_reply(const struct sim_reply *r, const struct sim_expect *e)
{
	char sum[64] = "";

	assert_int_equal(r->status, e->status);
	check_body(r, e);
	assert_int_equal(r->hint_count, e->hint);
	assert_true(r->continue_count <= e->may_100);
	if (e->trailer)
		snprintf(sum, sizeof sum, "X-Sum: %llu\n", (unsigned long long)e->key);
	assert_int_equal(strcasecmp(r->trailers, sum), 0);
}

void sim_script_check(const struct sim_script *c, bool all)
{
	if (sim_script_bad(c))
		fail_msg("answer %u is malformed: %s", sim_script_answered(c), sim_script_bad(c));
	assert_true(sim_script_answered(c) <= c->count);
	for (unsigned i = 0; i < c->count; i++) {
		const struct sim_reply *r = sim_script_reply(c, i);

		if (!r)
			continue;
		check_reply(r, &c->expect[i]);
		if (!c->h2)
			check_connection(r, &c->expect[i]);
	}
	if (!all)
		return;
	assert_int_equal(sim_script_answered(c), c->count);
	assert_false(sim_http1_partial(&c->http));
	if (c->expect[c->count - 1].close)
		assert_true(sim_script_ended(c));
}

/* SPDX-License-Identifier: MIT
 *
 * The client over HTTP/2 in the simulated world: many fetches on few connections, and servers that answer, refuse,
 * reset, stall, leave by GOAWAY, and end or reset what carries many.  Each fetch ends once, and as the last server that
 * heard of it has chosen; what may have been acted on is never heard twice.  The servers are nghttp2's, which holds
 * whoever asks to RFC 9113; what they say may arrive with some bytes changed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "sim/sim_seeds.h"
#include "sim/sim_server.h"
#include "transports/client/client_int.h"

enum {
	FETCHES = 16,
	ORIGINS = 2,
	HOSTS_MAX = 256, /* links that were ever made */
	RETRIES = 2,
	BODY_BYTES = 1500, /* of a response, at most; and of a request */
	TURNS_MAX = 400000,
};

/* What a server does with a request. */
enum fate {
	ANSWERS,
	ANSWERS_AND_LEAVES,
	REFUSES,
	LEAVES_IT_OUT,
	BREAKS_OFF,
	STALLS,
	ENDS,
	RESETS,
	FATES
};

struct asked {
	unsigned ends;
	int err;
	bool right; /* the body */
	bool posts;
	bool pauses;
	unsigned heard;    /* by servers */
	unsigned again;    /* … who said that they had not looked at it */
	unsigned left_out; /* … because they left */
	enum fate fate;    /* the last */
	tako_fetch *paused;
};

/* A request that a server has. */
struct request {
	struct request *next;
	struct host *h;
	int32_t id;
	unsigned n;
	size_t sent;
	size_t bytes; /* of the response's body */
	bool breaks_off;
};

/* The other end of a link. */
struct host {
	struct sim_link *link;
	nghttp2_session *session;
	struct request *requests;
	bool leaves;
	int32_t last; /* with `leaves`: those behind it are not looked at */
	bool over;
};

static struct {
	struct sim_server server;
	tako_client *client;
	struct asked asked[FETCHES];
	struct host hosts[HOSTS_MAX];
	unsigned host_count;
	nghttp2_session_callbacks *callbacks;
	bool kind;    /* servers always answer */
	bool garbled; /* what they say is not what arrives */
	bool active;  /* somebody has heard something in this turn */
} world;

static struct sim_rand *rand_of(void)
{
	return &world.server.sim.rand;
}

/* ---- Servers ----------------------------------------------------------------------------- */

static char letter(unsigned n, size_t i)
{
	return (char)('a' + (n + i) % 26);
}

static size_t body_bytes(unsigned n)
{
	return n * 577 % BODY_BYTES;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                         uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct request *r = source->ptr;
	size_t left = r->bytes - r->sent;

	(void)session, (void)id, (void)arg;
	n = n < left ? n : left;
	n = n ? 1 + (size_t)sim_rand_below(rand_of(), n) : 0;
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)letter(r->n, r->sent + i);
	r->sent += n;
	if (r->sent == r->bytes) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (r->breaks_off)
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (r->breaks_off)
			nghttp2_submit_rst_stream(session, 0, r->id, NGHTTP2_INTERNAL_ERROR);
	}
	return (ssize_t)n;
}

static void respond(struct request *r)
{
	const nghttp2_nv nv = {(uint8_t *)(uintptr_t) ":status", (uint8_t *)(uintptr_t) "200", 7, 3,
	                       0};
	const nghttp2_data_provider body = {.source.ptr = r, .read_callback = read_body};

	if (sim_rand_chance(rand_of(), 200)) {
		const nghttp2_nv early = {(uint8_t *)(uintptr_t) ":status",
		                          (uint8_t *)(uintptr_t) "103", 7, 3, 0};

		nghttp2_submit_headers(r->h->session, 0, r->id, NULL, &early, 1, NULL);
	}
	nghttp2_submit_response(r->h->session, r->id, &nv, 1, &body);
}

static void leave(struct host *h, int32_t last)
{
	if (h->leaves)
		return;
	h->leaves = true;
	h->last = last;
	nghttp2_submit_goaway(h->session, 0, last, NGHTTP2_NO_ERROR, NULL, 0);
}

static void cut(struct host *h, bool reset)
{
	h->over = true;
	if (reset)
		sim_reset(h->link);
	else
		sim_close(h->link);
}

/* Others on the same connection go with it. */
static void end_all(struct host *h, enum fate fate)
{
	for (struct request *r = h->requests; r; r = r->next)
		world.asked[r->n].fate = fate;
	cut(h, fate == RESETS);
}

static void decide(struct request *r)
{
	struct asked *a = &world.asked[r->n];
	struct host *h = r->h;

	a->fate = ANSWERS;
	if (!world.kind && sim_rand_chance(rand_of(), 350))
		a->fate = (enum fate)sim_rand_below(rand_of(), FATES);
	/* Of one that has left the rest are answered. */
	if (h->leaves && a->fate == LEAVES_IT_OUT)
		a->fate = ANSWERS;
	switch (a->fate) {
	case ANSWERS_AND_LEAVES:
		leave(h, nghttp2_session_get_last_proc_stream_id(h->session));
		/* fall through */
	case ANSWERS:
		respond(r);
		return;
	case BREAKS_OFF:
		r->breaks_off = true;
		r->bytes = (size_t)sim_rand_below(rand_of(), r->bytes + 1);
		respond(r);
		return;
	case REFUSES:
		a->again++;
		nghttp2_submit_rst_stream(h->session, 0, r->id, NGHTTP2_REFUSED_STREAM);
		return;
	case LEAVES_IT_OUT:
		/* Those behind it are left out, too, and it knows of them, or will never. */
		for (struct request *at = h->requests; at; at = at->next) {
			if (at->id < r->id)
				continue;
			world.asked[at->n].fate = LEAVES_IT_OUT;
			world.asked[at->n].again++;
			world.asked[at->n].left_out++;
		}
		leave(h, r->id - 2 > 0 ? r->id - 2 : 0);
		return;
	case ENDS:
	case RESETS:
		end_all(h, a->fate);
		return;
	default:
		return;
	}
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct host *h = arg;
	struct request *r;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST ||
	    (h->leaves && frame->hd.stream_id > h->last))
		return 0;
	r = calloc(1, sizeof *r);
	assert_non_null(r);
	*r = (struct request){.next = h->requests, .h = h, .id = frame->hd.stream_id};
	h->requests = r;
	nghttp2_session_set_stream_user_data(session, r->id, r);
	return 0;
}

static int on_field(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                    size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	char text[16];

	(void)flags, (void)arg;
	if (!r || name_n != 5 || memcmp(name, ":path", 5) != 0)
		return 0;
	snprintf(text, sizeof text, "%.*s", (int)value_n, (const char *)value);
	r->n = (unsigned)strtoul(text + 1, NULL, 10);
	assert_true(r->n < FETCHES);
	r->bytes = body_bytes(r->n);
	world.asked[r->n].heard++;
	world.asked[r->n].fate = STALLS;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct host *h = arg;
	struct request *r;

	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (r && !h->over && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		decide(r);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct request *r = nghttp2_session_get_stream_user_data(session, id);
	struct host *h = arg;

	(void)code;
	for (struct request **at = &h->requests; r && *at; at = &(*at)->next) {
		if (*at != r)
			continue;
		*at = r->next;
		free(r);
		break;
	}
	return 0;
}

static void host_end(struct host *h)
{
	struct request *r;

	nghttp2_session_del(h->session);
	h->session = NULL;
	while ((r = h->requests)) {
		h->requests = r->next;
		free(r);
	}
}

static void greet(struct host *h)
{
	const nghttp2_settings_entry iv[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
	         1 + (uint32_t)sim_rand_below(rand_of(), 8)},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
	         1 + (uint32_t)sim_rand_below(rand_of(), 5000)},
	};

	assert_int_equal(nghttp2_session_server_new(&h->session, world.callbacks, h), 0);
	nghttp2_submit_settings(h->session, 0, iv, TAKO__COUNT(iv));
}

static void say_frame(struct host *h, const char *p, size_t n)
{
	char text[20000];

	assert_true(n <= sizeof text);
	memcpy(text, p, n);
	while (world.garbled && sim_rand_chance(rand_of(), 250))
		text[sim_rand_below(rand_of(), n)] = (char)sim_rand_below(rand_of(), 256);
	sim_write(h->link, text, n);
}

static void say(struct host *h)
{
	const uint8_t *p;
	ssize_t n;

	while (!h->over && (n = nghttp2_session_mem_send(h->session, &p)) > 0)
		say_frame(h, (const char *)p, (size_t)n);
}

static void serve(struct host *h)
{
	char text[2048];
	size_t n;

	while (!h->over && (n = sim_read(h->link, text, sizeof text)) > 0) {
		ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)text, n);

		world.active = true;
		/* What it holds against the client is the client's mistake. */
		if (!world.garbled)
			assert_int_equal(rc, n);
		else if (rc < 0)
			cut(h, false);
	}
	if (!h->over && sim_rand_chance(rand_of(), 2))
		nghttp2_submit_ping(h->session, 0, (const uint8_t *)"12345678");
	if (!h->over)
		say(h);
	/* One that is kept may end at any time, and one that leaves does when it is done. */
	if (!h->over &&
	    (sim_ended(h->link) ||
	     (!h->requests && (h->leaves || (!world.kind && sim_rand_chance(rand_of(), 1))))))
		cut(h, false);
	if (h->over && h->session)
		host_end(h);
}

/* By chance, and at the latest when nothing else happens: time would go on to whoever loses patience. */
static void resume_some(void)
{
	for (unsigned i = 0; i < FETCHES; i++) {
		struct asked *a = &world.asked[i];

		if (a->paused && !a->ends && (!world.active || sim_rand_chance(rand_of(), 100))) {
			tako_fetch_resume(a->paused);
			a->paused = NULL;
		}
	}
}

static void step(void)
{
	struct sim_link *l;

	world.active = false;
	sim_alloc_hold();
	while ((l = sim_dialled(&world.server.sim.net))) {
		assert_true(world.host_count < HOSTS_MAX);
		world.hosts[world.host_count] = (struct host){.link = l};
		greet(&world.hosts[world.host_count++]);
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		if (world.hosts[i].session)
			serve(&world.hosts[i]);
	}
	sim_alloc_go_on();
	resume_some();
	sim_server_step(&world.server);
}

/* ---- Who asks ------------------------------------------------------------------------------ */

static int on_head(tako_fetch *f, void *arg)
{
	struct asked *a = arg;

	if (a->pauses) {
		tako_fetch_pause(f);
		a->paused = f;
	}
	return 0;
}

static int on_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;
	unsigned n = (unsigned)(a - world.asked);
	tako_str got = tako_fetch_body(f);

	a->ends++;
	a->err = err;
	a->paused = NULL;
	a->right = got.n == body_bytes(n);
	for (size_t i = 0; i < got.n; i++)
		a->right &= got.p[i] == letter(n, i);
	assert_true((err == 0) == (tako_fetch_why(f)[0] == '\0'));
	if (err == 0)
		assert_int_equal(tako_fetch_version(f), 20);
	return 0;
}

/* Returns how many were taken. */
static unsigned ask(void)
{
	static char body[BODY_BYTES];
	unsigned taken = 0;

	for (unsigned i = 0; i < FETCHES; i++) {
		struct asked *a = &world.asked[i];
		char url[64];
		int rc;

		snprintf(url, sizeof url, "http://10.0.0.%u/%u", i % ORIGINS + 1, i);
		*a = (struct asked){.posts = sim_rand_chance(rand_of(), 300),
		                    .pauses = sim_rand_chance(rand_of(), 200)};
		rc = tako_fetch_post(world.client, world.server.srv,
		                     TAKO_FETCH(.url = url, .on_head = on_head, .on_end = on_end,
		                                .arg = a,
		                                .body = a->posts ? (tako_str){body, sizeof body}
		                                                 : (tako_str){NULL, 0}));
		if (rc < 0) {
			assert_int_equal(rc, TAKO_ENOMEM);
			a->ends = 1;
			a->err = rc;
		}
		taken += rc == 0;
	}
	return taken;
}

static void set_callbacks(void)
{
	nghttp2_session_callbacks_new(&world.callbacks);
	nghttp2_session_callbacks_set_on_begin_headers_callback(world.callbacks, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(world.callbacks, on_field);
	nghttp2_session_callbacks_set_on_frame_recv_callback(world.callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(world.callbacks, on_close);
}

static void begin(uint64_t seed, bool calm, bool kind)
{
	struct sim_options options;
	struct sim_rand r;

	sim_rand_init(&r, ~seed);
	sim_options_draw(&options, &r);
	if (calm) {
		options.connect_error_permille = 0;
		options.start_error_permille = 0;
	}
	world.kind = kind;
	world.garbled = false;
	world.host_count = 0;
	sim_server_begin(&world.server, seed, &options);
	sim_server_start(&world.server, tako_router_new(),
	                 TAKO_SERVER_CONFIG(.drain_timeout_ms = 600000), NULL, NULL);
	assert_int_equal(
		tako_client_new(
			&world.client,
			TAKO_CLIENT_CONFIG(.http2 = tako_client_http2(), .http2_prior_knowledge = 1,
	                                   .http2_stream_window_bytes =
	                                           1024 + (uint32_t)sim_rand_below(&r, 4096),
	                                   .http2_max_stream_count = 1 + (uint32_t)sim_rand_below(
										 &r, 10),
	                                   .max_connections = 3, .max_connections_per_origin = 2,
	                                   .max_retry_count = RETRIES,
	                                   .connect_timeout_ms = 3600000,
	                                   .total_timeout_ms = TAKO_OFF)),
		0);
}

static bool all_over(void)
{
	for (unsigned i = 0; i < FETCHES; i++) {
		if (!world.asked[i].ends)
			return false;
	}
	return true;
}

static void run(void)
{
	for (unsigned i = 0; i < TURNS_MAX && !all_over(); i++)
		step();
	assert_true(all_over());
}

static void end(void)
{
	sim_server_stop(&world.server);
	for (unsigned i = 0; i < TURNS_MAX && !world.server.over; i++)
		step();
	tako_client_free(world.client);
	sim_alloc_hold();
	for (unsigned i = 0; i < world.host_count; i++)
		host_end(&world.hosts[i]);
	sim_alloc_go_on();
	sim_server_end(&world.server);
	for (unsigned i = 0; i < FETCHES; i++) {
		const struct asked *a = &world.asked[i];

		assert_int_equal(a->ends, 1);
		if (world.garbled)
			continue;
		assert_true(a->heard <= 1 + RETRIES + a->left_out);
		assert_true(a->left_out <= 1 + TAKO__FETCH_UNPROCESSED_MAX);
		assert_true(!a->posts || a->heard <= 1 + a->again);
		if (a->err == 0)
			assert_true(a->heard && a->fate <= ANSWERS_AND_LEAVES && a->right);
	}
}

/* ---- Runs ---------------------------------------------------------------------------------------- */

static void is_answered(uint64_t seed)
{
	begin(seed, true, true);
	assert_int_equal(ask(), FETCHES);
	run();
	for (unsigned i = 0; i < FETCHES; i++) {
		assert_int_equal(world.asked[i].err, 0);
		assert_int_equal(world.asked[i].heard, 1);
	}
	end();
}

static void ends_as_its_server_does(uint64_t seed)
{
	begin(seed, true, false);
	assert_int_equal(ask(), FETCHES);
	run();
	for (unsigned i = 0; i < FETCHES; i++) {
		const struct asked *a = &world.asked[i];

		/* Others may have taken its connection with them. */
		if (a->err == TAKO_ETIMEDOUT)
			assert_int_equal(a->fate, STALLS);
		else if (a->err != 0)
			assert_int_equal(a->err, TAKO_ECLOSED);
	}
	end();
}

/* Nonsense, some of which is frames. */
static void survives(uint64_t seed)
{
	begin(seed, true, false);
	world.garbled = true;
	assert_int_equal(ask(), FETCHES);
	run();
	end();
}

/* Connections that cannot be made, a server that stops, memory that is not there. */
static void ends_once(uint64_t seed)
{
	unsigned turns;

	begin(seed, false, false);
	if (sim_rand_chance(rand_of(), 500))
		sim_alloc_fail((size_t)sim_rand_below(rand_of(), 400) + 1, false);
	ask();
	turns = (unsigned)sim_rand_below(rand_of(), 300);
	for (unsigned i = 0; i < turns; i++)
		step();
	sim_alloc_calm();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(is_answered),
		SIM_TEST(ends_as_its_server_does),
		SIM_TEST(ends_once),
		SIM_TEST(survives),
	};
	int rc;

	set_callbacks();
	sim_alloc_install();
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	nghttp2_session_callbacks_del(world.callbacks);
	return rc;
}

/* SPDX-License-Identifier: MIT
 *
 * See sim_app.h.
 */
#include "sim/sim_app.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KEYS = 4096 };

/* ---- Bytes ------------------------------------------------------------------------- */

const char *sim_pattern(uint64_t key)
{
	static char *bytes;

	if (!bytes) {
		struct sim_rand r;

		sim_rand_init(&r, 0);
		bytes = malloc(SIM_PATTERN_BYTES + KEYS);
		if (!bytes)
			abort();
		for (size_t i = 0; i < SIM_PATTERN_BYTES + KEYS; i++)
			bytes[i] = (char)sim_rand_u64(&r);
	}
	return bytes + key % KEYS;
}

static int pattern_fd(void)
{
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("pattern", MFD_CLOEXEC);
		if (fd < 0 ||
		    write(fd, sim_pattern(0), SIM_PATTERN_BYTES + KEYS) != SIM_PATTERN_BYTES + KEYS)
			abort();
	}
	return fd;
}

/* ---- Promises ------------------------------------------------------------------------ */

static void on_end(tako_req *req, int err, void *arg)
{
	struct sim_app *app = arg;

	(void)req;
	app->ended++;
	app->failed += err < 0;
}

static int promise_end(tako_req *req, tako_res *res, void *arg)
{
	struct sim_app *app = arg;
	int rc = tako_res_on_end(res, on_end, app);

	(void)req;
	app->begun += rc == 0;
	return rc < 0 ? rc : TAKO_NEXT;
}

static void on_given_back(void *arg)
{
	((struct sim_app *)arg)->given_back++;
}

static void note_unsent(struct sim_app *app, uint64_t bytes)
{
	if (bytes > app->most_unsent_bytes)
		app->most_unsent_bytes = bytes;
}

/* ---- Whole answers ---------------------------------------------------------------------- */

static int number(tako_req *req)
{
	uint64_t n = 0;

	return tako_req_param_u64(req, "n", &n) < 0 ? -1 : (int)n;
}

static int text(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_text(res, 200, "text %d", number(req));
}

static int hint(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_header(res, "Link", "</style.css>; rel=preload");

	if (rc == 0)
		rc = tako_res_inform(res, 103);
	return rc < 0 ? rc : text(req, res, arg);
}

static int file(tako_req *req, tako_res *res, void *arg)
{
	uint64_t n = (uint64_t)number(req);
	int fd = fcntl(pattern_fd(), F_DUPFD_CLOEXEC, 3);

	(void)arg;
	return tako_res_send_fd(res, fd, n % KEYS, n);
}

/* The second half is missing. */
static int short_file(tako_req *req, tako_res *res, void *arg)
{
	uint64_t n = (uint64_t)number(req);
	int fd = fcntl(pattern_fd(), F_DUPFD_CLOEXEC, 3);

	(void)arg;
	return tako_res_send_fd(res, fd, SIM_PATTERN_BYTES + KEYS - n / 2, n);
}

/* ---- In pieces ----------------------------------------------------------------------------- */

struct writer {
	struct sim_app *app;
	const char *p;
	size_t left;
	bool lends;
};

static void on_drain(tako_res *res, void *arg);

static void write_some(tako_res *res, struct writer *w)
{
	while (w->left) {
		size_t n = sim_rand_size(&w->app->rand,
		                         w->left < SIM_PIECE_BYTES ? w->left : SIM_PIECE_BYTES);
		int64_t unsent;

		w->app->lent += w->lends;
		unsent = tako_res_write(res, (tako_str){w->p, n}, w->lends ? on_given_back : NULL,
		                        w->app);
		if (unsent < 0)
			return;
		note_unsent(w->app, (uint64_t)unsent);
		w->p += n;
		w->left -= n;
		if (unsent > 16 << 10 && w->left) {
			/* Without memory for it nothing would go on. */
			if (tako_res_on_drain(res, on_drain, w) < 0)
				tako_res_fail(res, TAKO_ENOMEM);
			return;
		}
	}
	(void)tako_res_end(res);
}

static void on_drain(tako_res *res, void *arg)
{
	write_some(res, arg);
}

static int write_pattern(tako_req *req, tako_res *res, struct sim_app *app, bool lends)
{
	struct writer *w = tako_req_alloc(req, sizeof *w);
	uint64_t n = (uint64_t)number(req);

	if (!w)
		return TAKO_ENOMEM;
	*w = (struct writer){.app = app, .p = sim_pattern(n), .left = n, .lends = lends};
	write_some(res, w);
	return 0;
}

static int pieces(tako_req *req, tako_res *res, void *arg)
{
	return write_pattern(req, res, arg, false);
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	return write_pattern(req, res, arg, true);
}

static int with_length(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_length(res, (uint64_t)number(req));

	return rc < 0 ? rc : write_pattern(req, res, arg, false);
}

/* ---- Later -------------------------------------------------------------------------------------- */

struct late {
	struct sim_app *app;
	tako_req *req;
	int n;
};

static void answer_late(tako_res *res, void *arg)
{
	struct late *l = arg;

	l->app->timers_ran++;
	if (!tako_res_closed(res))
		(void)tako_res_text(res, 200, "text %d", l->n);
}

static int after(tako_req *req, tako_res *res, struct sim_app *app, uint32_t delay_ms)
{
	struct late *l = tako_req_alloc(req, sizeof *l);
	int rc;

	if (!l)
		return TAKO_ENOMEM;
	*l = (struct late){.app = app, .n = number(req)};
	rc = tako_res_after(res, delay_ms, answer_late, l);
	app->timers += rc == 0;
	return rc;
}

static int later(tako_req *req, tako_res *res, void *arg)
{
	uint64_t delay_ms = 0;
	int rc = tako_req_param_u64(req, "ms", &delay_ms);

	return rc < 0 ? rc : after(req, res, arg, (uint32_t)delay_ms);
}

static int hang(tako_req *req, tako_res *res, void *arg)
{
	return after(req, res, arg, 1u << 30);
}

/* What a deferral answers is kept in the exchange itself. */
static const char late_key;

static void answer_deferred(tako_res *res, void *arg)
{
	(void)arg;
	if (!tako_res_closed(res))
		(void)tako_res_text(res, 200, "%s",
		                    (const char *)tako_req_get((tako_req *)res, &late_key));
}

static int defer(tako_req *req, tako_res *res, void *arg)
{
	struct sim_app *app = arg;
	char *line = tako_req_alloc(req, 32);
	tako_deferred *d;

	if (app->deferred_count == SIM_DEFERRED_MAX)
		return TAKO_EBUSY;
	if (!line || tako_req_set(req, &late_key, line) < 0)
		return TAKO_ENOMEM;
	snprintf(line, 32, "text %d", number(req));
	d = tako_res_defer(res);
	if (!d)
		return TAKO_ENOMEM;
	app->deferred[app->deferred_count++] = d;
	return 0;
}

static void answer(tako_deferred *d)
{
	/* Without memory for it the exchange is answered 500. */
	(void)tako_deferred_post(d, answer_deferred, NULL);
	tako_deferred_done(d);
}

void sim_app_turn(struct sim_app *app)
{
	unsigned kept = 0;
	unsigned n = app->deferred_count;

	app->deferred_count = 0;
	for (unsigned i = 0; i < n; i++) {
		if (sim_rand_chance(&app->rand,
		                    app->deferred_permille ? app->deferred_permille : 500))
			answer(app->deferred[i]);
		else
			app->deferred[kept++] = app->deferred[i];
	}
	app->deferred_count = kept;
}

/* ---- Bodies ---------------------------------------------------------------------------------------- */

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	tako_str sum = tako_req_trailer(req, "X-Sum");
	int64_t unsent = tako_res_write(res, data, NULL, NULL);
	int rc = unsent < 0 ? (int)unsent : 0;

	if (rc == 0)
		note_unsent(arg, (uint64_t)unsent);
	if (rc == 0 && end && sum.p)
		rc = tako_res_trailer_str(res, TAKO_STR("X-Sum"), sum);
	if (rc == 0 && end)
		rc = tako_res_end(res);
	return rc;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, echo_body, arg);
}

static void go_on(tako_res *res, void *arg)
{
	struct late *l = arg;

	(void)res;
	l->app->timers_ran++;
	tako_req_resume(l->req);
}

static int slow_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct sim_app *app = arg;
	struct late *l;
	int rc = echo_body(req, res, data, end, app);

	if (rc < 0 || end || !sim_rand_chance(&app->rand, 300))
		return rc;
	l = tako_req_alloc(req, sizeof *l);
	if (!l)
		return TAKO_ENOMEM;
	*l = (struct late){.app = app, .req = req};
	rc = tako_res_after(res, (uint32_t)sim_rand_below(&app->rand, 10), go_on, l);
	app->timers += rc == 0;
	if (rc == 0)
		tako_req_pause(req);
	return rc;
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_on_body(req, slow_body, arg);
}

static int whole_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req;
	(void)end;
	(void)arg;
	return tako_res_send(res, 200, "application/octet-stream", data);
}

static int whole(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_whole_body(req, whole_body, arg);
}

static int ignore(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_text(res, 200, "ignored");
}

/* ---- All of it ---------------------------------------------------------------------------------------- */

void sim_app_begin(struct sim_app *app, uint64_t seed)
{
	*app = (struct sim_app){0};
	sim_rand_init(&app->rand, seed ^ UINT64_C(0xa99));
	/* Made before descriptors and bytes are counted. */
	(void)pattern_fd();
}

tako_router *sim_app_router(struct sim_app *app)
{
	tako_router *r = tako_router_new();
	tako_router *within = tako_group(r, "/within");

	tako_timeout(within, SIM_WITHIN_MS);
	tako_get(within, "/defer/{n:u64}", defer, app);
	tako_before(r, TAKO_PHASE_EARLY, promise_end, app);
	tako_get(r, "/text/{n:u64}", text, app);
	tako_get(r, "/pieces/{n:u64}", pieces, app);
	tako_get(r, "/length/{n:u64}", with_length, app);
	tako_get(r, "/lent/{n:u64}", lent, app);
	tako_get(r, "/file/{n:u64}", file, app);
	tako_get(r, "/short/{n:u64}", short_file, app);
	tako_get(r, "/later/{ms:u64}/{n:u64}", later, app);
	tako_get(r, "/defer/{n:u64}", defer, app);
	tako_get(r, "/hint/{n:u64}", hint, app);
	tako_get(r, "/hang", hang, app);
	tako_post(r, "/echo", echo, app);
	tako_post(r, "/slow", slow, app);
	tako_post(r, "/whole", whole, app);
	tako_post(r, "/ignore", ignore, app);
	return r;
}

void sim_app_end(const struct sim_app *app)
{
	assert_int_equal(app->ended, app->begun);
	assert_int_equal(app->given_back, app->lent);
	assert_int_equal(app->timers_ran, app->timers);
	assert_int_equal(app->deferred_count, 0);
}

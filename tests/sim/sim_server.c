/* SPDX-License-Identifier: MIT
 *
 * See sim_server.h.
 */
#include "sim/sim_server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "core/server.h"
#include "unit/failalloc.h"

enum { END_TURNS_MAX = 200000 };

void sim_alloc_install(void)
{
	sigset_t pipe_only;

	/* A step need not look for one that it caused: a third of its time in the kernel. */
	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, NULL);
	if (failalloc_install() < 0)
		fail_msg("something was allocated before");
}

void sim_alloc_fail(size_t nth, bool for_good)
{
	if (for_good)
		failalloc_arm_from(nth);
	else
		failalloc_arm(nth);
}

size_t sim_alloc_calm(void)
{
	return failalloc_disarm();
}

size_t sim_alloc_live(void)
{
	return failalloc_live();
}

size_t sim_alloc_live_bytes(void)
{
	return failalloc_live_bytes();
}

static size_t held_at;
static size_t held_count;

void sim_alloc_hold(void)
{
	held_at = atomic_exchange(&failalloc_.fail_at, 0);
	held_count = failalloc_count();
}

void sim_alloc_go_on(void)
{
	atomic_store(&failalloc_.count, held_count);
	atomic_store(&failalloc_.fail_at, held_at);
}

static int lowest_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

void sim_server_begin(struct sim_server *s, uint64_t seed, const struct sim_options *options)
{
	*s = (struct sim_server){
		.result = 1, .beside_over = true, .next_fd = lowest_fd(), .live = failalloc_live()};
	sim_begin(&s->sim, seed, options);
}

static tako_server *start(tako_router *router, const tako_server_config *cfg,
                          const tako_transport *t, const tako_listen_config *listen)
{
	tako_server_config c = cfg ? *cfg : *TAKO_SERVER_CONFIG();
	tako_server *srv;
	int rc;

	c.runtime = sim_runtime();
	c.worker_count = 1;
	rc = tako_server_new(&srv, router, &c);
	tako_router_free(router);
	assert_int_equal(rc, 0);
	assert_int_equal(tako_server_listen(srv, t ? t : tako_http1(), "127.0.0.1:0", listen), 0);
	assert_true(tako_server_fd(srv) >= 0);
	return srv;
}

void sim_server_start(struct sim_server *s, tako_router *router, const tako_server_config *cfg,
                      const tako_transport *t, const tako_listen_config *listen)
{
	s->srv = start(router, cfg, t, listen);
}

void sim_server_beside(struct sim_server *s, tako_router *router, const tako_server_config *cfg,
                       const tako_transport *t, const tako_listen_config *listen)
{
	s->beside = start(router, cfg, t, listen);
	s->beside_over = false;
}

void sim_server_stop(struct sim_server *s)
{
	tako_server_stop(s->srv);
	if (s->beside)
		tako_server_stop(s->beside);
}

void sim_server_step(struct sim_server *s)
{
	bool beside = !s->beside_over && (s->srv_over || sim_rand_chance(&s->sim.rand, 500));

	if (s->over)
		return;
	if (beside) {
		s->beside_over = tako_server_step(s->beside, TAKO_OFF) != 1;
	} else {
		s->result = tako_server_step(s->srv, TAKO_OFF);
		s->srv_over = s->result != 1;
	}
	s->over = s->srv_over && s->beside_over;
	s->sim.alarm_ns = SIM_NEVER;
}

void sim_server_pass(struct sim_server *s, uint64_t ns)
{
	uint64_t until = sim_now(&s->sim) + ns;

	while (!s->over && sim_now(&s->sim) < until) {
		s->sim.alarm_ns = until;
		sim_server_step(s);
	}
}

/* Heads were counted in; each has come out as an answer or as none. */
static void assert_figures(const struct sim_server *s, const tako_server *srv)
{
	const struct tako__stats *f = &srv->workers[0].stats;
	uint64_t answered = 0;
	uint64_t mute = 0;

	for (unsigned r = 0; r < f->route_count; r++) {
		mute += tako__read(&f->routes[r].responses[0]);
		for (unsigned i = 0; i < TAKO__COUNT(f->routes[r].responses); i++)
			answered += tako__read(&f->routes[r].responses[i]);
	}
	assert_int_equal(tako__read(&f->requests), answered);
	assert_true(mute <= tako__read(&f->aborted));
	assert_true(tako__read(&f->aborted) <= answered);
	assert_int_equal(tako__read(&f->open), 0);
	assert_int_equal(tako__read(&f->dialled_open), 0);
	assert_int_equal(atomic_load(&srv->dial_count), 0);
	assert_int_equal(srv->workers[0].exchange_count, 0);
	assert_int_equal(srv->workers[0].conn_count, 0);
	assert_int_equal(atomic_load(&srv->conn_count), 0);
	assert_true(tako__read(&f->sent_bytes) <= s->sim.sent_bytes);
	assert_true(tako__read(&f->received_bytes) <= s->sim.received_bytes);
}

void sim_server_end(struct sim_server *s)
{
	if (!s->over)
		sim_server_stop(s);
	for (unsigned i = 0; i < END_TURNS_MAX && !s->over; i++) {
		/* No client of a test is in the way for ever. */
		if (i == END_TURNS_MAX / 2)
			sim_server_stop(s);
		sim_server_step(s);
	}
	assert_true(s->over);
	assert_figures(s, s->srv);
	tako_server_free(s->srv);
	if (s->beside) {
		assert_figures(s, s->beside);
		tako_server_free(s->beside);
	}
	sim_end(&s->sim);
	assert_string_equal(s->sim.violation, "");
	assert_int_equal(failalloc_wrong(), 0);
	assert_int_equal(failalloc_live(), s->live);
	assert_int_equal(lowest_fd(), s->next_fd);
}

/* SPDX-License-Identifier: MIT
 *
 * See sim_runtime.h: loops, turns and the calls of the vtable.  What happens on one socket within
 * a turn is sim_sock.c's.
 */
#include "sim/sim_runtime.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "sim/sim_sock.h"

/* In 2025: a date of the usual length. */
#define EPOCH_NS (UINT64_C(1750000000) * 1000000000)

static struct sim *world;

/* ---- The world -------------------------------------------------------------------- */

void sim_begin(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
	*sim = (struct sim){.alarm_ns = SIM_NEVER};
	if (options)
		sim->options = *options;
	sim_rand_init(&sim->rand, seed);
	/* Any time of day, so that nothing is aligned to ticks by accident. */
	sim_net_init(&sim->net, &sim->rand,
	             UINT64_C(1000000000) + sim_rand_below(&sim->rand, UINT64_C(3600000000000)));
	sim->net.options = sim->options.net;
	sim->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	world = sim;
}

void sim_end(struct sim *sim)
{
	for (unsigned i = 0; i < sim->sock_count; i++)
		sim_sock_free(sim->socks[i]);
	sim_net_fini(&sim->net);
	close(sim->null_fd);
	world = NULL;
}

/* Small pieces and long delays do not go together: a head of 8 KiB would take minutes. */
void sim_options_draw(struct sim_options *o, struct sim_rand *r)
{
	static const uint64_t delays[] = {0, 2000, 200000, 3000000};
	static const unsigned rates[] = {0, 0, 50, 300};

	*o = (struct sim_options){0};
	o->net.delay_ns_max = delays[sim_rand_below(r, 4)];
	if (sim_rand_chance(r, 600))
		o->net.piece_bytes_max = sim_rand_size(r, 64 << 10);
	if (sim_rand_chance(r, 600))
		o->net.send_bytes = 256 + sim_rand_size(r, 256 << 10);
	if (sim_rand_chance(r, 600))
		o->net.window_bytes = 256 + sim_rand_size(r, 256 << 10);
	if (sim_rand_chance(r, 300))
		o->recv_bytes_max = 16 + sim_rand_size(r, 64 << 10);
	if (sim_rand_chance(r, 300))
		o->send_bytes_max = 64 + sim_rand_size(r, 64 << 10);
	o->skip_permille = rates[sim_rand_below(r, 4)];
	o->late_send_permille = rates[sim_rand_below(r, 4)];
	o->spurious_permille = rates[sim_rand_below(r, 4)];
	o->close_turns_max = (unsigned)sim_rand_below(r, 4);
	o->turn_ns_max = sim_rand_chance(r, 500) ? 20000 : 0;
	o->late_ns_max = sim_rand_chance(r, 500) ? 1000000 : 0;
}

void sim_violation(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (sim->violation_count++)
		return;
	va_start(ap, fmt);
	vsnprintf(sim->violation, sizeof sim->violation, fmt, ap);
	va_end(ap);
}

struct sim *sim_world(void)
{
	return world;
}

/* The time of day is this world's, too: it is in every answer, and as many bytes as HPACK makes of its
 * digits.  Called by the library in place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	uint64_t ns;

	if (clock != CLOCK_REALTIME || !world)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	ns = EPOCH_NS + world->net.now_ns;
	ts->tv_sec = (time_t)(ns / 1000000000);
	ts->tv_nsec = (long)(ns % 1000000000);
	return 0;
}

static struct sim_loop *ours(struct tako_loop *loop)
{
	return TAKO__CONTAINER(loop, struct sim_loop, loop);
}

/* ---- A turn -------------------------------------------------------------------------- */

/* One of this loop, or NULL: of any. */
static bool any_ready(const struct sim *sim, const struct sim_loop *of)
{
	for (unsigned i = 0; i < sim->sock_count; i++) {
		if ((!of || sim->socks[i]->loop == of) && sim_sock_ready(sim->socks[i]))
			return true;
	}
	return false;
}

static uint64_t earliest(const struct sim *sim)
{
	uint64_t next = sim_net_next(&sim->net);

	for (unsigned i = 0; i < SIM_LOOPS_MAX; i++) {
		if (sim->loops[i].open && sim->loops[i].deadline_ns < next)
			next = sim->loops[i].deadline_ns;
	}
	return next < sim->alarm_ns ? next : sim->alarm_ns;
}

static bool any_woken(const struct sim *sim)
{
	bool any = false;

	for (unsigned i = 0; i < SIM_LOOPS_MAX; i++)
		any |= sim->loops[i].open && sim->loops[i].woken;
	return any;
}

/* When this turn wakes. */
static uint64_t wait_until(struct sim *sim)
{
	struct sim_rand *r = &sim->rand;
	uint64_t now = sim->net.now_ns;
	uint64_t until = earliest(sim);

	sim->idle = false;
	if (until <= now || any_woken(sim) || any_ready(sim, NULL))
		return now + sim_rand_below(r, sim->options.turn_ns_max + 1);
	if (until == SIM_NEVER) {
		sim->idle = true;
		return now;
	}
	if (sim_rand_chance(r, sim->options.spurious_permille))
		return now + sim_rand_below(r, until - now);
	return until + sim_rand_below(r, sim->options.late_ns_max + 1);
}

/* Rule 3 leaves the order of different sockets open. */
static unsigned shuffled(struct sim_loop *loop, struct sim_sock **out)
{
	struct sim *sim = loop->sim;
	unsigned n = 0;

	for (unsigned i = 0; i < sim->sock_count; i++) {
		unsigned at;

		if (sim->socks[i]->loop != loop)
			continue;
		at = (unsigned)sim_rand_below(&sim->rand, n + 1);
		out[n++] = out[at];
		out[at] = sim->socks[i];
	}
	return n;
}

static void reap(struct sim_loop *loop)
{
	struct sim *sim = loop->sim;
	unsigned kept = 0;
	unsigned dead_count = 0;
	struct sim_sock *dead[SIM_SOCKS_MAX];

	for (unsigned i = 0; i < sim->sock_count; i++) {
		struct sim_sock *k = sim->socks[i];

		if (k->loop == loop && sim_sock_over(k))
			dead[dead_count++] = k;
		else
			sim->socks[kept++] = k;
	}
	/* The list is right before anybody is called back. */
	sim->sock_count = kept;
	for (unsigned i = 0; i < dead_count; i++)
		sim_sock_closed(dead[i]);
}

static void sim_refresh(struct tako_loop *loop)
{
	loop->now_ns = ours(loop)->sim->net.now_ns;
	loop->now_ticks = tako__ticks();
}

static int sim_turn(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct sim_loop *l = ours(loop);
	struct sim *sim = l->sim;
	struct sim_sock *order[SIM_SOCKS_MAX];
	bool busy = l->woken;
	unsigned n;

	if (sim->in_turn) {
		sim_violation(sim, "turn() inside a turn");
		return 0;
	}
	sim->in_turn = true;
	sim->turns++;
	for (unsigned i = 0; i < sim->sock_count; i++) {
		if (sim->socks[i]->loop == l)
			sim_sock_check(sim->socks[i]);
	}
	sim_sock_forsaken(sim);
	l->deadline_ns = deadline_ns;
	sim_net_advance(&sim->net, wait_until(sim));
	l->woken = false;
	sim_refresh(loop);
	busy |= loop->now_ns >= deadline_ns || any_ready(sim, l);
	n = shuffled(l, order);
	for (unsigned i = 0; i < n; i++) {
		if (!sim_rand_chance(&sim->rand, sim->options.skip_permille))
			sim_sock_service(order[i]);
	}
	reap(l);
	/* Who has done something may have something to do at any time: he has to say. */
	if (busy)
		l->deadline_ns = 0;
	sim->in_turn = false;
	return 0;
}

/* ---- The vtable ------------------------------------------------------------------------ */

static int sim_probe(char *why, size_t n)
{
	if (n)
		snprintf(why, n, "%s", world ? "" : "sim_begin() was not called");
	return world ? 0 : TAKO_ENOTSUP;
}

static int sim_open(struct tako_loop **out, const struct tako_loop_config *cfg)
{
	(void)cfg;
	for (unsigned i = 0; world && i < SIM_LOOPS_MAX; i++) {
		struct sim_loop *l = &world->loops[i];

		if (l->open)
			continue;
		*l = (struct sim_loop){.sim = world, .open = true};
		l->loop.rt = sim_runtime();
		l->loop.now_ns = world->net.now_ns;
		l->loop.now_ticks = tako__ticks();
		*out = &l->loop;
		return 0;
	}
	return TAKO_ESTATE;
}

static void sim_free(struct tako_loop *loop)
{
	struct sim_loop *l = ours(loop);
	unsigned left = 0;

	for (unsigned i = 0; i < l->sim->sock_count; i++)
		left += l->sim->socks[i]->loop == l;
	if (left)
		sim_violation(l->sim, "free() with %u sockets", left);
	l->open = false;
}

static void sim_wake(struct tako_loop *loop)
{
	ours(loop)->woken = true;
}

static int sim_pollable(struct tako_loop *loop, uint64_t deadline_ns)
{
	(void)deadline_ns;
	return ours(loop)->sim->null_fd;
}

static int sim_listen(struct tako_loop *loop, struct tako_sock *ls, int fd)
{
	return sim_sock_new(ours(loop), ls, fd, true) ? 0 : TAKO_ENOMEM;
}

static int sim_start(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	struct sim *sim = ours(loop)->sim;

	if (!sim_sock_new(ours(loop), s, fd, false))
		return TAKO_ENOMEM;
	return sim_rand_chance(&sim->rand, sim->options.start_error_permille) ? TAKO_ENOMEM : 0;
}

static int sim_connect_sock(struct tako_loop *loop, struct tako_sock *s, int fd,
                            const struct sockaddr *to, socklen_t n)
{
	struct sim *sim = ours(loop)->sim;

	if (!sim_sock_dial(ours(loop), s, fd, to, n))
		return TAKO_ENOMEM;
	return sim_rand_chance(&sim->rand, sim->options.start_error_permille) ? TAKO_ENOMEM : 0;
}

const tako_runtime *sim_runtime(void)
{
	static const tako_runtime runtime = {
		.size = sizeof(tako_runtime),
		.name = "sim",
		.caps = TAKO_RT_FILE_SEND,
		.probe = sim_probe,
		.open = sim_open,
		.free = sim_free,
		.turn = sim_turn,
		.refresh = sim_refresh,
		.wake = sim_wake,
		.pollable = sim_pollable,
		.listen = sim_listen,
		.start = sim_start,
		.resume = sim_sock_resume,
		.flush = sim_sock_flush,
		.close = sim_sock_close,
		.reset = sim_sock_reset,
		.shut = sim_sock_shut,
		.waiting = sim_sock_waiting,
		.unacked = sim_sock_unacked,
		.connect = sim_connect_sock,
		.silent = sim_sock_silent,
	};
	return &runtime;
}

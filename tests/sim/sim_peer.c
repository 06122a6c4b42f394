/* SPDX-License-Identifier: MIT
 *
 * See sim_peer.h.
 */
#include "sim/sim_peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 2048, READ_BYTES = 64 << 10, SMALL_COUNT = 200 };

void sim_peer_open(struct sim_peer *p, struct sim *sim, void (*sink)(void *, const char *, size_t),
                   void *arg)
{
	*p = (struct sim_peer){.sim = sim, .sink = sink, .sink_arg = arg};
	p->link = sim_connect(&sim->net);
}

void sim_peer_free(struct sim_peer *p)
{
	free(p->out);
	p->out = NULL;
}

static void draw(struct sim_pace *pace, struct sim_rand *r)
{
	static const uint64_t pauses[] = {0, 10000, 1000000, 50000000};

	*pace = (struct sim_pace){0};
	if (sim_rand_chance(r, 500))
		return;
	/* A byte now and then only where the pauses are short. */
	pace->pause_ns_max = pauses[sim_rand_below(r, 4)];
	pace->bytes_max = sim_rand_size(r, 64 << 10);
	if (pace->pause_ns_max > 10000 && pace->bytes_max < 2048)
		pace->bytes_max += 2048;
}

void sim_peer_draw(struct sim_peer *p)
{
	draw(&p->talk, &p->sim->rand);
	draw(&p->listen, &p->sim->rand);
}

void sim_peer_say(struct sim_peer *p, const char *data, size_t n)
{
	if (p->out_n + n > p->out_cap) {
		p->out_cap = (p->out_n + n) * 2;
		p->out = realloc(p->out, p->out_cap);
		if (!p->out)
			abort();
	}
	if (n)
		memcpy(p->out + p->out_n, data, n);
	if (p->spoil_at > p->out_n && p->spoil_at <= p->out_n + n)
		p->out[p->spoil_at - 1] = (char)(p->out[p->spoil_at - 1] ^ p->spoil_bits);
	p->out_n += n;
}

void sim_peer_sayf(struct sim_peer *p, const char *fmt, ...)
{
	char line[LINE_BYTES];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof line)
		abort();
	sim_peer_say(p, line, (size_t)n);
}

static size_t amount(struct sim_peer *p, struct sim_pace *pace, size_t n)
{
	size_t max = pace->bytes_max;

	if (!max)
		return n;
	if (pace->count++ > SMALL_COUNT)
		max *= 64;
	return sim_rand_size(&p->sim->rand, n < max ? n : max);
}

static uint64_t after_pause(struct sim_peer *p, const struct sim_pace *pace)
{
	return sim_now(p->sim) + sim_rand_below(&p->sim->rand, pace->pause_ns_max + 1);
}

static void talk(struct sim_peer *p)
{
	size_t n = p->out_n - p->out_at;

	if (p->mute || !n || sim_now(p->sim) < p->talk_ns)
		return;
	n = amount(p, &p->talk, n);
	sim_write(p->link, p->out + p->out_at, n);
	p->out_at += n;
	p->talk_ns = after_pause(p, &p->talk);
}

static void listen_some(struct sim_peer *p)
{
	char buf[READ_BYTES];
	size_t n = sim_readable(p->link);

	if (p->deaf || !n || sim_now(p->sim) < p->listen_ns)
		return;
	n = amount(p, &p->listen, n);
	while (n) {
		size_t step = sim_read(p->link, buf, n < sizeof buf ? n : sizeof buf);

		p->sink(p->sink_arg, buf, step);
		n -= step;
	}
	p->listen_ns = after_pause(p, &p->listen);
}

static void ring_at(struct sim_peer *p, uint64_t ns)
{
	if (ns < p->sim->alarm_ns)
		p->sim->alarm_ns = ns;
}

void sim_peer_turn(struct sim_peer *p)
{
	talk(p);
	listen_some(p);
	if (!p->mute && !sim_peer_silent(p) && !sim_ended(p->link))
		ring_at(p, p->talk_ns);
	if (!p->deaf && sim_readable(p->link))
		ring_at(p, p->listen_ns);
}

bool sim_peer_silent(const struct sim_peer *p)
{
	return p->out_at == p->out_n;
}

/* SPDX-License-Identifier: MIT
 *
 * See sim_net.h.
 */
#include "sim/sim_net.h"

#include <stdlib.h>
#include <string.h>

enum { BUFFER_BYTES = 4 << 20, SMALL_PIECES = 250 };

/* ---- Pipes ----------------------------------------------------------------------- */

static size_t on_the_way(const struct sim_pipe *p)
{
	return p->n - p->arrived;
}

static size_t piece(struct sim_link *l, size_t n)
{
	size_t max = l->piece_bytes_max;

	if (!max || n <= 1)
		return n;
	if (l->small_left)
		l->small_left--;
	else
		max = max * 64 > n / 8 ? max * 64 : n / 8;
	n = n < max ? n : max;
	return sim_rand_size(l->net->rand, n);
}

static uint64_t after_delay(const struct sim_link *l)
{
	return l->net->now_ns + sim_rand_below(l->net->rand, l->delay_ns_max + 1);
}

static void schedule(struct sim_link *l, struct sim_pipe *p)
{
	if (p->next_ns != SIM_NEVER)
		return;
	if ((on_the_way(p) && p->arrived < p->window_max) ||
	    (!on_the_way(p) && p->fin && !p->fin_arrived))
		p->next_ns = after_delay(l);
}

static void purge(struct sim_pipe *p)
{
	p->n = 0;
	p->arrived = 0;
	p->start = 0;
	p->next_ns = SIM_NEVER;
}

static void pipe_write(struct sim_link *l, struct sim_pipe *p, const char *data, size_t n)
{
	size_t end;

	if (p->start && p->start + p->n + n > p->cap) {
		memmove(p->data, p->data + p->start, p->n);
		p->start = 0;
	}
	if (p->n + n > p->cap) {
		p->cap = (p->n + n) * 2;
		p->data = realloc(p->data, p->cap);
		if (!p->data)
			abort(); /* the test machine's own */
	}
	end = p->start + p->n;
	memcpy(p->data + end, data, n);
	p->n += n;
	p->total += n;
	schedule(l, p);
}

static size_t pipe_read(struct sim_link *l, struct sim_pipe *p, char *to, size_t n)
{
	n = n < p->arrived ? n : p->arrived;
	if (!n)
		return 0;
	memcpy(to, p->data + p->start, n);
	p->start += n;
	p->n -= n;
	p->arrived -= n;
	schedule(l, p);
	return n;
}

static bool pipe_ended(const struct sim_pipe *p)
{
	return p->fin_arrived && p->n == 0;
}

static void pipe_fin(struct sim_link *l, struct sim_pipe *p)
{
	p->fin = true;
	schedule(l, p);
}

/* ---- Arrivals ----------------------------------------------------------------------- */

static void send_reset_down(struct sim_link *l)
{
	if (l->down_rst_ns == SIM_NEVER && !l->client_reset)
		l->down_rst_ns = after_delay(l);
}

static void send_reset_up(struct sim_link *l)
{
	if (l->up_rst_ns == SIM_NEVER && !l->server_reset)
		l->up_rst_ns = after_delay(l);
}

/* To an end that is closed already: what comes is answered by a reset. */
static bool bounce(struct sim_link *l, struct sim_pipe *p)
{
	bool up = p == &l->up;

	if (!(up ? l->server_closed : l->client_closed))
		return false;
	if (p->n) {
		purge(p);
		if (up)
			send_reset_down(l);
		else
			send_reset_up(l);
	}
	return true;
}

static void arrive(struct sim_link *l, struct sim_pipe *p)
{
	size_t n = on_the_way(p);
	size_t room = p->window_max - p->arrived;

	p->next_ns = SIM_NEVER;
	if (n && bounce(l, p))
		return;
	if (n) {
		n = piece(l, n < room ? n : room);
		p->arrived += n;
	}
	/* The end may come with the last bytes or by itself. */
	if (!on_the_way(p) && p->fin && (!n || sim_rand_chance(l->net->rand, 500)))
		p->fin_arrived = true;
	schedule(l, p);
}

static void reset_arrives_down(struct sim_link *l)
{
	l->down_rst_ns = SIM_NEVER;
	l->client_reset = true;
	purge(&l->down);
	purge(&l->up);
}

/* What had come before it may still be read, or may be gone: systems differ. */
static void reset_arrives_up(struct sim_link *l)
{
	struct sim_pipe *p = &l->up;

	l->up_rst_ns = SIM_NEVER;
	l->server_reset = true;
	purge(&l->down);
	p->next_ns = SIM_NEVER;
	if (!sim_rand_chance(l->net->rand, 500)) {
		/* Nor does the end of a stream come through that lacks its last bytes. */
		p->fin_arrived = false;
		p->arrived = 0;
	}
	p->n = p->arrived;
}

static void syn_arrives(struct sim_link *l)
{
	l->syn_ns = SIM_NEVER;
	if (l->net->listeners)
		l->backlogged = true;
	else
		l->client_reset = true;
}

static void dial_decides(struct sim_link *l)
{
	l->dial_ns = SIM_NEVER;
	l->decided = true;
	if (l->dial_err)
		l->client_reset = l->server_reset = true;
}

static uint64_t next_of(const struct sim_link *l)
{
	uint64_t next = l->syn_ns < l->dial_ns ? l->syn_ns : l->dial_ns;

	if (l->up.next_ns < next)
		next = l->up.next_ns;
	if (l->down.next_ns < next)
		next = l->down.next_ns;
	if (l->up_rst_ns < next)
		next = l->up_rst_ns;
	return l->down_rst_ns < next ? l->down_rst_ns : next;
}

static void advance(struct sim_link *l, uint64_t now_ns)
{
	if (l->syn_ns <= now_ns)
		syn_arrives(l);
	if (l->dial_ns <= now_ns)
		dial_decides(l);
	if (l->server_reset)
		l->up.next_ns = SIM_NEVER;
	if (l->up.next_ns <= now_ns)
		arrive(l, &l->up);
	if (l->down.next_ns <= now_ns)
		arrive(l, &l->down);
	if (l->up_rst_ns <= now_ns)
		reset_arrives_up(l);
	if (l->down_rst_ns <= now_ns)
		reset_arrives_down(l);
}

/* ---- The net --------------------------------------------------------------------------- */

void sim_net_init(struct sim_net *net, struct sim_rand *rand, uint64_t now_ns)
{
	*net = (struct sim_net){.rand = rand, .now_ns = now_ns};
	net->links_tail = &net->links;
}

void sim_net_fini(struct sim_net *net)
{
	while (net->links) {
		struct sim_link *l = net->links;

		net->links = l->next;
		free(l->up.data);
		free(l->down.data);
		free(l);
	}
}

uint64_t sim_net_next(const struct sim_net *net)
{
	uint64_t next = SIM_NEVER;

	for (const struct sim_link *l = net->links; l; l = l->next) {
		uint64_t at = next_of(l);

		next = at < next ? at : next;
	}
	return next;
}

void sim_net_advance(struct sim_net *net, uint64_t now_ns)
{
	net->now_ns = now_ns;
	for (struct sim_link *l = net->links; l; l = l->next) {
		if (next_of(l) <= now_ns)
			advance(l, now_ns);
	}
}

/* ---- The client's end --------------------------------------------------------------------- */

static struct sim_link *link_new(struct sim_net *net)
{
	struct sim_link *l = calloc(1, sizeof *l);
	const struct sim_net_options *o = &net->options;

	if (!l)
		abort();
	l->net = net;
	l->fd = -1;
	l->delay_ns_max = o->delay_ns_max;
	l->piece_bytes_max = o->piece_bytes_max;
	l->small_left = SMALL_PIECES;
	l->up = (struct sim_pipe){.next_ns = SIM_NEVER, .send_max = SIZE_MAX};
	l->up.window_max = o->window_bytes ? o->window_bytes : BUFFER_BYTES;
	l->down = l->up;
	l->down.send_max = o->send_bytes ? o->send_bytes : BUFFER_BYTES;
	l->up_rst_ns = SIM_NEVER;
	l->down_rst_ns = SIM_NEVER;
	l->syn_ns = SIM_NEVER;
	l->dial_ns = SIM_NEVER;
	l->from.sin_family = AF_INET;
	l->from.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->from.sin_port = htons(4711);
	*net->links_tail = l;
	net->links_tail = &l->next;
	return l;
}

struct sim_link *sim_connect(struct sim_net *net)
{
	struct sim_link *l = link_new(net);

	l->syn_ns = after_delay(l);
	return l;
}

struct sim_link *sim_dialled(struct sim_net *net)
{
	for (struct sim_link *l = net->links; l; l = l->next) {
		if (!l->dialled || !l->decided || l->dial_err || l->taken)
			continue;
		l->taken = true;
		return l;
	}
	return NULL;
}

void sim_write(struct sim_link *l, const char *p, size_t n)
{
	if (n && !l->client_reset && !l->client_closed && !l->up.fin)
		pipe_write(l, &l->up, p, n);
}

size_t sim_read(struct sim_link *l, char *p, size_t n)
{
	return pipe_read(l, &l->down, p, n);
}

size_t sim_readable(const struct sim_link *l)
{
	return l->down.arrived;
}

bool sim_ended(const struct sim_link *l)
{
	return l->client_reset || pipe_ended(&l->down);
}

void sim_shut(struct sim_link *l)
{
	if (!l->client_reset)
		pipe_fin(l, &l->up);
}

void sim_close(struct sim_link *l)
{
	if (l->client_closed || l->client_reset)
		return;
	if (l->down.arrived) {
		sim_reset(l);
		return;
	}
	l->client_closed = true;
	pipe_fin(l, &l->up);
}

void sim_reset(struct sim_link *l)
{
	if (l->client_reset)
		return;
	l->client_closed = true;
	l->client_reset = true;
	purge(&l->down);
	send_reset_up(l);
}

/* ---- The server's end ------------------------------------------------------------------------ */

struct sim_link *sim_net_accept(struct sim_net *net)
{
	for (struct sim_link *l = net->links; l; l = l->next) {
		if (!l->backlogged)
			continue;
		l->backlogged = false;
		l->accepted = true;
		return l;
	}
	return NULL;
}

struct sim_link *sim_net_dial(struct sim_net *net, const struct sockaddr *to, socklen_t n,
                              int errno_value, uint64_t at_ns)
{
	struct sim_link *l = link_new(net);

	l->dialled = true;
	l->dial_err = errno_value;
	l->dial_ns = at_ns;
	memcpy(&l->to, to, n);
	return l;
}

void sim_link_forget(struct sim_link *l)
{
	l->dial_ns = SIM_NEVER;
	l->taken = true;
	l->client_reset = l->server_reset = true;
}

size_t sim_link_readable(const struct sim_link *l)
{
	return l->up.arrived;
}

bool sim_link_ended(const struct sim_link *l)
{
	return pipe_ended(&l->up);
}

size_t sim_link_read(struct sim_link *l, char *p, size_t n)
{
	return pipe_read(l, &l->up, p, n);
}

size_t sim_link_room(const struct sim_link *l)
{
	return l->down.send_max - on_the_way(&l->down);
}

void sim_link_write(struct sim_link *l, const char *p, size_t n)
{
	if (n && !l->client_reset && !l->server_reset)
		pipe_write(l, &l->down, p, n);
}

void sim_link_shut(struct sim_link *l)
{
	pipe_fin(l, &l->down);
}

void sim_link_close(struct sim_link *l, bool reset)
{
	l->server_closed = true;
	if (l->server_reset)
		return;
	if (reset || l->up.arrived) {
		purge(&l->up);
		send_reset_down(l);
		return;
	}
	pipe_fin(l, &l->down);
}

size_t sim_link_unacked(const struct sim_link *l)
{
	return on_the_way(&l->down);
}

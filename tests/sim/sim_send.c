/* SPDX-License-Identifier: MIT
 *
 * The sending half of a simulated socket: partial, late, failing, but each op once and in order.
 * What is sent is compared with what it was when it was begun.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim/sim_sock.h"

enum { IOV_MAX_COUNT = 8, FILE_SLICE_BYTES = 64 << 10 };

bool sim_sock_may_send(const struct sim_sock *k)
{
	if (k->torn || k->connecting || (k->user->flags & TAKO_SOCK_CLOSING))
		return false;
	if (k->flight)
		return true;
	return k->dirty && k->user->head &&
	       (k->failed || k->link->server_reset || !k->user->queued_bytes ||
	        sim_link_room(k->link));
}

void sim_sock_land(struct sim_sock *k)
{
	free(k->flight);
	k->flight = NULL;
	k->flight_n = 0;
}

static void fail(struct sim_sock *k)
{
	sim_sock_land(k);
	k->failed = true;
	k->dirty = false;
	tako_sock_fail(k->user, TAKO_ECLOSED);
}

static size_t copy_memory(const struct tako_sock *s, char *to, size_t n)
{
	struct iovec iov[IOV_MAX_COUNT];
	size_t bytes;
	size_t done = 0;
	unsigned count = tako_sock_gather(s, iov, IOV_MAX_COUNT, &bytes);

	for (unsigned i = 0; i < count && done < n; i++) {
		size_t step = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;

		if (step)
			memcpy(to + done, iov[i].iov_base, step);
		done += step;
	}
	return done;
}

/* Rule 2, the sender's half: the bytes are his, but unchanged until done() runs. */
static void compare(struct sim_sock *k)
{
	char *now;

	if (!k->user->head || k->user->head->file_fd >= 0)
		return;
	now = malloc(k->flight_n);
	if (!now)
		abort();
	if (copy_memory(k->user, now, k->flight_n) != k->flight_n ||
	    memcmp(now, k->flight, k->flight_n) != 0)
		sim_violation(k->sim, "bytes changed while they were being sent");
	free(now);
}

static void complete(struct sim_sock *k)
{
	size_t n = k->flight_n;

	compare(k);
	sim_sock_land(k);
	tako_sock_advance(k->user, n);
	if (!k->user->head)
		k->dirty = false;
}

static size_t choose_send(struct sim_sock *k)
{
	size_t room = sim_link_room(k->link);
	size_t max = k->sim->options.send_bytes_max;
	size_t wanted = FILE_SLICE_BYTES;

	if (k->user->head->file_fd < 0) {
		struct iovec iov[IOV_MAX_COUNT];

		tako_sock_gather(k->user, iov, IOV_MAX_COUNT, &wanted);
	} else if (k->user->head->n < wanted) {
		wanted = (size_t)k->user->head->n;
	}
	wanted = wanted < room ? wanted : room;
	if (max && wanted)
		wanted = sim_rand_size(&k->sim->rand, wanted < max ? wanted : max);
	return wanted;
}

/* False: the file is shorter than was said. */
static bool begin_send(struct sim_sock *k, size_t n)
{
	struct tako_send *op = k->user->head;
	ssize_t got = (ssize_t)n;

	k->flight = malloc(n + 1);
	if (!k->flight)
		abort();
	if (op->file_fd < 0)
		(void)copy_memory(k->user, k->flight, n);
	else
		got = pread(op->file_fd, k->flight, n, (off_t)op->file_pos);
	if (got < 0 || (got == 0 && n))
		return false;
	k->flight_n = (size_t)got;
	sim_link_write(k->link, k->flight, k->flight_n);
	k->sim->sent_bytes += k->flight_n;
	return true;
}

/* False: no more now. */
static bool send_once(struct sim_sock *k)
{
	if (k->link->server_reset || k->failed) {
		fail(k);
		return false;
	}
	if (k->flight)
		complete(k);
	if (!sim_sock_may_send(k) || k->link->server_reset)
		return false;
	if (!begin_send(k, choose_send(k))) {
		fail(k);
		return false;
	}
	if (sim_rand_chance(&k->sim->rand, k->sim->options.late_send_permille))
		return false;
	complete(k);
	return true;
}

void sim_sock_send(struct sim_sock *k)
{
	while (sim_sock_may_send(k) && send_once(k))
		;
}

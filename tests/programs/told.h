/* SPDX-License-Identifier: MIT
 *
 * What QUIC clients that are processes of their own (h3_client.c, raw_client.c) and the tests that tell them what to do
 * say to each other, over the socket that is descriptor 0: messages of a kind, a flag, a stream, a length, and so many
 * bytes.  What the kinds mean is each client's.
 */
#ifndef TESTS_PROGRAMS_TOLD_H
#define TESTS_PROGRAMS_TOLD_H

#include "peer/quic_peer.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
	TOLD_HEAD_BYTES = 14,
	TOLD_IN_BYTES = 1 << 18, /* the longest message, and more */
};

static struct {
	uint8_t in[TOLD_IN_BYTES];
	size_t in_n;
	bool in_eof; /* nobody talks to us any more, or listens */
	uint8_t *out;
	size_t out_n, out_cap;
	uint64_t out_sent; /* ever */
} told;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
	exit(2);
}

static void *grow(void *p, size_t *cap, size_t need)
{
	if (need <= *cap)
		return p;
	*cap = need * 2;
	p = realloc(p, *cap);
	if (!p)
		die("out of memory");
	return p;
}

static void put_number(uint8_t *to, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> 8 * (n - 1 - i));
}

static uint64_t number(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

/* ---- To the test --------------------------------------------------------------------------------- */

static void emit(char kind, bool flag, int64_t id, const void *p, size_t n)
{
	uint8_t *to;

	told.out = grow(told.out, &told.out_cap, told.out_n + TOLD_HEAD_BYTES + n);
	to = told.out + told.out_n;
	to[0] = (uint8_t)kind;
	to[1] = flag;
	put_number(to + 2, (uint64_t)id, 8);
	put_number(to + 10, n, 4);
	if (n)
		memcpy(to + TOLD_HEAD_BYTES, p, n);
	told.out_n += TOLD_HEAD_BYTES + n;
}

static void emit_code(char kind, int64_t id, uint64_t code)
{
	uint8_t bytes[8];

	put_number(bytes, code, sizeof bytes);
	emit(kind, false, id, bytes, sizeof bytes);
}

/* As much as is taken. */
static void told_flush(void)
{
	ssize_t n = told.out_n ? send(0, told.out, told.out_n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		told.in_eof = true;
	if (n <= 0)
		return;
	told.out_n -= (size_t)n;
	told.out_sent += (uint64_t)n;
	memmove(told.out, told.out + n, told.out_n);
}

/* ---- From the test -------------------------------------------------------------------------------- */

static void told_read(void)
{
	ssize_t n = recv(0, told.in + told.in_n, TOLD_IN_BYTES - told.in_n, MSG_DONTWAIT);

	if (n > 0)
		told.in_n += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		told.in_eof = true;
}

/* The messages that are there as a whole, as long as there is a connection for them.  `obey` is false: not yet. */
static void told_obey(const struct quic_peer *q,
                      bool (*obey)(char kind, bool flag, int64_t id, uint8_t *p, size_t n))
{
	size_t at = 0;

	while (!q->ended && told.in_n - at >= TOLD_HEAD_BYTES) {
		uint8_t *m = told.in + at;
		size_t n = (size_t)number(m + 10, 4);

		if (TOLD_HEAD_BYTES + n > TOLD_IN_BYTES)
			die("a message that is too long");
		if (told.in_n - at < TOLD_HEAD_BYTES + n ||
		    !obey((char)m[0], m[1], (int64_t)number(m + 2, 8), m + TOLD_HEAD_BYTES, n))
			break;
		at += TOLD_HEAD_BYTES + n;
	}
	told.in_n -= at;
	memmove(told.in, told.in + at, told.in_n);
}

/* Until either side has something, or the connection's clock. */
static void told_wait(struct quic_peer *q)
{
	uint64_t now = quic_peer_now();
	uint64_t next = quic_peer_next(q);
	struct timespec ts = {0};
	struct pollfd fds[2] = {{.fd = 0}, {.fd = q->ended ? -1 : q->fd, .events = POLLIN}};

	if (told.in_n < TOLD_IN_BYTES)
		fds[0].events = POLLIN;
	if (told.out_n)
		fds[0].events |= POLLOUT;
	if (next > now) {
		ts.tv_sec = (time_t)((next - now) / 1000000000u);
		ts.tv_nsec = (long)((next - now) % 1000000000u);
	}
	(void)!ppoll(fds, 2, next == UINT64_MAX ? NULL : &ts, NULL);
	if (fds[0].revents & (POLLIN | POLLHUP | POLLERR))
		told_read();
}

#endif /* TESTS_PROGRAMS_TOLD_H */

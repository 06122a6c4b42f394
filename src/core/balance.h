/* SPDX-License-Identifier: MIT
 *
 * Which worker serves a connection.  The kernel spreads connections by a hash, which may give
 * one worker all of the few that last; so a worker that has more than another passes a new one
 * on.  Connections that have begun stay where they are.
 */
#ifndef TAKO_CORE_BALANCE_H
#define TAKO_CORE_BALANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct tako__listener;
struct tako__worker;

enum { TAKO__ARRIVALS_MAX = 64 }; /* on their way to one worker: who does not take them is busy */

/* A worker's part. */
struct tako__balance {
	_Atomic uint32_t arriving; /* passed on to us and not taken yet, and the mark of the end */
	/* Connections that ended after one request at most, in this tenth of a second and in the one
	 * before. */
	uint32_t brief;
	uint32_t brief_before;
	uint64_t brief_ns; /* when this one began */
	unsigned next;     /* whom to look at */
};

/* Pass an accepted descriptor, whose place in the server's count is reserved, to a worker that
 * has fewer.  False: there is none, or no memory: it is ours. */
bool tako__balance_pass(struct tako__listener *ls, int fd, const struct sockaddr *from,
                        socklen_t n);
/* Of the few others it looks at, the worker that should have our next connection, or NULL. */
struct tako__worker *tako__balance_choose(struct tako__worker *w);
/* From now on nobody passes us any more; what is on its way still comes, as mail. */
void tako__balance_end(struct tako__worker *w);
/* How many those are. */
uint32_t tako__balance_arriving(const struct tako__worker *w);

/* One of our connections has ended. */
void tako__balance_count(struct tako__worker *w, uint64_t requests);

#endif /* TAKO_CORE_BALANCE_H */

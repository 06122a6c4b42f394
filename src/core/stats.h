/* SPDX-License-Identifier: MIT
 *
 * Figures.  Each worker counts for itself, in relaxed atomics that only it writes, so
 * counting is a plain add and whoever sums up reads without tearing.
 */
#ifndef TAKO_CORE_STATS_H
#define TAKO_CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t tako__count;

static inline void tako__add(tako__count *c, uint64_t n)
{
	/* One writer: a load and a store, not a locked add. */
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
	                      memory_order_relaxed);
}
static inline uint64_t tako__read(const tako__count *c)
{
	return atomic_load_explicit((tako__count *)(uintptr_t)c, memory_order_relaxed);
}

enum {
	TAKO__HIST_FIRST_BIT = 12, /* the first bucket ends at 2^12 ns, about 4 µs */
	TAKO__HIST_BUCKETS = 23,   /* the last finite one ends at 2^33 ns, about 8.6 s */
};

/* Of one route: responses by class (index 0: none was sent), time by powers of two. */
struct tako__route_stats {
	tako__count responses[6];
	tako__count sum_ns;
	tako__count bucket[TAKO__HIST_BUCKETS];
};

struct tako__quic_stats {
	tako__count connections;
	tako__count handshakes;
	tako__count handshake_failures;
	tako__count retries;
	tako__count stateless_resets;
	tako__count version_negotiations;
	tako__count datagrams_received;
	tako__count datagrams_sent;
	tako__count datagrams_dropped;
	tako__count handed_over;
	tako__count packets_lost;
	tako__count migrations;
};

struct tako__stats {
	tako__count accepted;
	tako__count open;
	tako__count refused;
	tako__count accept_errors;
	tako__count moved;
	tako__count requests; /* begun; those that ended are in the routes' responses */
	tako__count aborted;
	tako__count timeouts;
	tako__count received_bytes;
	tako__count sent_bytes;
	tako__count tls_handshakes;
	tako__count tls_resumed;
	tako__count tls_failures;
	tako__count proxy_errors;
	tako__count dialled; /* connections that we have made, */
	tako__count dialled_open;
	tako__count dial_errors; /* … and those that did not come to be */
	struct tako__quic_stats quic;
	struct tako__route_stats *routes; /* one per endpoint id */
	unsigned route_count;
};

int tako__stats_init(struct tako__stats *s, unsigned route_count);
void tako__stats_fini(struct tako__stats *s);

static inline unsigned tako__hist_bucket(uint64_t ns)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(ns | 1);

	if (bits <= TAKO__HIST_FIRST_BIT)
		return 0;
	bits -= TAKO__HIST_FIRST_BIT;
	return bits < TAKO__HIST_BUCKETS ? bits : TAKO__HIST_BUCKETS - 1;
}

#endif /* TAKO_CORE_STATS_H */

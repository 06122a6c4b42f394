/* SPDX-License-Identifier: MIT
 *
 * A network of datagrams in memory, with time of its own, and a runtime for one server on it: what is
 * sent arrives when the clock is set to, or does not, as told.  Nothing waits, nothing is real.
 */
#ifndef TAKO_TESTS_QUIC_NET_H
#define TAKO_TESTS_QUIC_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tako/server.h>

struct quic_net_packet {
	struct quic_net_packet *next; /* by time */
	uint64_t due_ns;
	struct sockaddr_in from;
	struct sockaddr_in to;
	uint8_t ecn;
	size_t n;
	uint8_t data[];
};

struct quic_net {
	uint64_t now_ns;
	uint64_t seed; /* not 0 */
	uint64_t delay_ns;
	uint64_t jitter_ns; /* more, by chance: reorders */
	unsigned loss;      /* of 1000 */
	unsigned twice;
	unsigned corrupt;
	size_t mtu_bytes; /* longer ones are lost; 0: all arrive */
	bool blocked;     /* the server's socket takes nothing */
	bool hold_ecn;    /* the path clears the bits */
	/* NULL: nobody looks.  False: it is lost. */
	bool (*look)(struct quic_net_packet *k, void *arg);
	void *look_arg;
	struct quic_net_packet *first;
	uint64_t sent_count;
	uint64_t sent_bytes;
	uint64_t trains; /* messages of the server's */
};

/* Where the server is. */
extern const struct sockaddr_in quic_net_server;

/* The one that the runtime works on; starts it. */
extern struct quic_net quic_net;
void quic_net_start(void);
void quic_net_end(void);

uint64_t quic_net_random(void);
void quic_net_send(const struct sockaddr_in *from, const struct sockaddr_in *to, unsigned ecn,
                   const void *p, size_t n);
/* What is due for this address, to be freed; NULL: nothing is. */
struct quic_net_packet *quic_net_take(const struct sockaddr_in *to);
/* What is due for clients that have not taken it: nobody is there. */
void quic_net_drop_strays(void);
/* When the next one is, UINT64_MAX: there is none. */
uint64_t quic_net_next(void);

const tako_runtime *quic_net_runtime(void);

#endif /* TAKO_TESTS_QUIC_NET_H */

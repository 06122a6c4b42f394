/* SPDX-License-Identifier: MIT
 *
 * Who a worker's listener of datagrams knows: a table by address, whose hash has a key, since peers choose
 * their addresses, and a list by when each was last heard of or spoken to.
 */
#ifndef TAKO_UDP_PEERS_H
#define TAKO_UDP_PEERS_H

#include <tako/raw.h>
#include <tako/sys/runtime.h>

#include "core/list.h"
#include "core/wheel.h"

/* An address as it is compared: IPv4's 8 bytes, or IPv6's 24. */
enum { TAKO__UDP_KEY_BYTES = 24 };

struct tako_udp_peer {
	struct tako_udp_peer *next; /* of those with the same remainder */
	struct tako__list link;     /* of the living by when they were active, or of the dead */
	struct tako_udp *u;
	uint64_t hash;
	uint64_t active_ns;
	int32_t why;  /* for on_peer_close(), of a dead one */
	bool dead;    /* out of the table, and to be told of it */
	bool closing; /* told of it now */
	uint8_t key_n;
	uint8_t key[TAKO__UDP_KEY_BYTES];
	union tako_dgram_addr addr;
	union tako_dgram_addr local; /* that it sent to */
	socklen_t addr_n;
	socklen_t local_n; /* 0: unknown, or the only one there is */
	_Alignas(max_align_t) char user[];
};

struct tako__udp_peers {
	struct tako_udp_peer **slots; /* a power of two of them; NULL: none are kept */
	size_t slot_count;
	size_t count;
	struct tako__list living; /* who was silent for longest first */
	struct tako__list dead;
	struct tako__timer timer;
};

/* TAKO_ENOMEM.  Nothing, where max_peers is 0. */
int tako__udp_peers_init(struct tako_udp *u);
/* All have been closed. */
void tako__udp_peers_fini(struct tako_udp *u);

/* Whose a datagram is, who may be new.  NULL: nobody's; it is dropped, and that is counted. */
struct tako_udp_peer *tako__udp_peers_hear(struct tako_udp *u, const tako_udp_in *in);
/* The server stops: close and tell all of them, now. */
void tako__udp_peers_end(struct tako_udp *u);

#endif /* TAKO_UDP_PEERS_H */

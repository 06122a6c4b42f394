/* SPDX-License-Identifier: MIT
 *
 * What the files of raw UDP share: a listener's settings and figures, and what a worker has of it.
 */
#ifndef TAKO_UDP_INT_H
#define TAKO_UDP_INT_H

#include <stdatomic.h>
#include <string.h>

#include <tako/raw.h>

#include "core/server.h"
#include "core/stats.h"
#include "core/worker.h"
#include "transports/raw/udp_group.h"
#include "transports/raw/udp_peers.h"
#include "transports/raw/udp_tx.h"

/* As many as Linux lets a socket join, unless it is told otherwise. */
enum { TAKO__UDP_GROUPS_MAX = 20 };

/* Of one worker, which alone writes them; read from anywhere. */
struct tako__udp_counts {
	tako__count received;
	tako__count lost;
	tako__count peers_opened;
	tako__count peers_closed;
	tako__count peers_refused;
	tako__count errors;
	struct tako__udp_sent sent;
};

/* Of an address: its settings, every default filled in. */
struct tako__udp_shared {
	tako_udp_config cfg;
	uint64_t key[2]; /* of the tables' hashes */
	struct tako__udp_group groups[TAKO__UDP_GROUPS_MAX];
	unsigned group_count;
	_Atomic uint32_t peer_count; /* on all workers */
	unsigned worker_count;
	_Atomic uint64_t posted_bytes;   /* by other threads, on their way to workers */
	_Atomic uint64_t posted_dropped; /* datagrams that had no room there */
	struct tako__udp_counts counts[];
};

/* A worker's end of it. */
struct tako_udp {
	struct tako__listener *ls;
	struct tako__udp_shared *shared;
	const tako_udp_config *cfg; /* in what is shared */
	struct tako__udp_counts *counts;
	struct tako__udp_tx tx;
	struct tako__udp_peers peers;
	union tako_dgram_addr local;
	socklen_t local_n;
	bool any;         /* bound to every address: answers say which one they come from */
	bool draining;    /* stopped: closes when the queue is empty */
	uint32_t dropped; /* by the kernel, as it has last said, modulo 2^32 */
};

/* The transport's hooks: settings are checked and kept, options set, before anything runs. */
int tako__udp_prepare(void **ret_shared, const struct tako_server *srv,
                      const tako_listen_config *cfg);
void tako__udp_release(void *shared);
int tako__udp_bound(int fd, unsigned worker, const void *shared);

/* Is it one that may be asked about? */
bool tako__udp_is_addr(const struct sockaddr *to, uint32_t n);
/* The way to an address, which may have to be written in another form.  TAKO_EINVAL: it is of another family. */
int tako__udp_path_to(const struct tako_udp *u, struct tako__udp_path *ret,
                      union tako_dgram_addr *mapped, const struct sockaddr *to, uint32_t to_n);

/* As tako_udp_send(). */
int64_t tako__udp_send(struct tako_udp *u, const struct tako__udp_path *path, tako_str data,
                       uint32_t segment_bytes);

/* What it is when nothing more comes: for the figures of after the end. */
uint32_t tako__udp_dropped(int fd);

#endif /* TAKO_UDP_INT_H */

/* SPDX-License-Identifier: MIT
 *
 * What the files of the epoll runtime share: its loop and its flags.
 */
#ifndef TAKO_RUNTIME_EPOLL_INT_H
#define TAKO_RUNTIME_EPOLL_INT_H

#include <tako/sys/runtime.h>

#include "core/send.h"

#define SOCK_READABLE (TAKO_SOCK_USER << 0)    /* recv may give something */
#define SOCK_WRITABLE (TAKO_SOCK_USER << 1)    /* send may take something */
#define SOCK_HANGUP (TAKO_SOCK_USER << 2)      /* the peer's end, or an error, was reported */
#define SOCK_WATCHED (TAKO_SOCK_USER << 3)     /* in the interest list */
#define SOCK_WATCHED_OUT (TAKO_SOCK_USER << 4) /* there for EPOLLOUT too */
#define SOCK_DIRTY (TAKO_SOCK_USER << 5)       /* something is queued that was not tried yet */
#define SOCK_SCHEDULED (TAKO_SOCK_USER << 6)   /* on the work list */
#define SOCK_AGAIN (TAKO_SOCK_USER << 7)       /* used up its share of the turn */
#define SOCK_LISTENS (TAKO_SOCK_USER << 8)
#define SOCK_DEAD (TAKO_SOCK_USER << 9)     /* torn down, waiting for the reaper */
#define SOCK_FAILED (TAKO_SOCK_USER << 10)  /* sends nothing more; the owner may not know yet */
#define SOCK_PACKETS (TAKO_SOCK_USER << 11) /* datagrams */
#define SOCK_COLD (TAKO_SOCK_USER << 12)    /* waits for pages of a file; see `cold` */
#define SOCK_BULK (TAKO_SOCK_USER << 13)    /* has had much to say at once */
#define SOCK_PARKED (TAKO_SOCK_USER << 14)  /* paused, with input that was read already */
#define SOCK_SERVED (TAKO_SOCK_USER << 15)  /* has had a buffer's worth of this turn */
#define SOCK_AHEAD (TAKO_SOCK_USER << 16) /* with input, or a failure, that was read and not told */

struct epoll_event;
struct tako__cold;
struct tako__epoll_slot;

enum { TAKO__EPOLL_BATCH = 16 };

struct tako__epoll {
	struct tako_loop base;
	int fd;
	int wake_fd;
	int timer_fd; /* made for hosts with a loop of their own only */
	unsigned sock_count;
	char *recv_block;
	char *recv_buffer; /* in it, aligned */
	size_t recv_bytes;
	unsigned recv_budget; /* buffers per socket and turn */
	size_t send_max;
	struct tako_sock *current; /* the one whose callback is running */
	struct tako_sock *work;
	struct tako_sock *work_tail;
	struct tako_sock *dead;
	struct tako__dgram_batch *dgrams; /* from the first datagram socket on */
	/* Those that wait for a disk, all until the same moment; like those in `work` they are marked
	 * SOCK_SCHEDULED, so that whatever else they want waits with them, a millisecond or two. */
	struct tako_sock *cold;
	uint64_t cold_until_ns;
	bool coarse; /* this kernel waits for whole milliseconds only */
	struct tako__epoll_slot *slots[TAKO__EPOLL_BATCH]; /* made when there is use for them */
};

/* One event, from reading to answering. */
void tako__epoll_event(struct tako__epoll *ep, const struct epoll_event *ev);
/* Do what its flags say it wants. */
void tako__epoll_service(struct tako__epoll *ep, struct tako_sock *s);
void tako__epoll_deliver_end(struct tako_sock *s, int res);

/* ---- Batches --------------------------------------------------------------------- */

/* All of a turn. */
void tako__epoll_events(struct tako__epoll *ep, const struct epoll_event *ev, unsigned n);
/* Hand up what was parked; or do not. */
void tako__epoll_receive_parked(struct tako_sock *s);
void tako__epoll_drop_parked(struct tako_sock *s);
/* What one that is parked knows of the file it sends: its words are not free for that. */
struct tako__cold *tako__epoll_parked_cold(struct tako_sock *s);
void tako__epoll_batch_fini(struct tako__epoll *ep);

/* ---- Datagrams ------------------------------------------------------------------ */

/* TAKO_EINVAL, TAKO_ENOMEM or TAKO_ESYS, as start_dgram(). */
int tako__epoll_dgram_open(struct tako__epoll *ep, struct tako_sock *s, int fd);
void tako__epoll_dgram_fini(struct tako__epoll *ep);
/* One batch.  False: nothing more to be had now. */
bool tako__epoll_dgram_recv(struct tako__epoll *ep, struct tako_sock *s);
/* Tell the owner of an error that came up while sending, or while it was paused. */
void tako__epoll_dgram_report(struct tako_sock *s);
/* As tako__dgram_send(). */
enum tako__sent tako__epoll_dgram_send(struct tako_sock *s);

#endif /* TAKO_RUNTIME_EPOLL_INT_H */

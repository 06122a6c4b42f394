/* SPDX-License-Identifier: MIT
 *
 * Datagrams by call: a batch of messages in one call, in both directions.
 */
#ifndef TAKO_CORE_DGRAM_BATCH_H
#define TAKO_CORE_DGRAM_BATCH_H

#include <tako/sys/runtime.h>

#include "core/send.h"

/* A joined train is up to 64 KiB, and so is a single datagram: the kernel cuts off what does not
 * fit.  Only the pages that traffic reaches are ever touched. */
enum { TAKO__DGRAM_BUFFER_BYTES = 64 << 10 };

/* Batches that are received for one socket in a turn; then others have theirs. */
enum { TAKO__DGRAM_BUDGET = 2 };
static inline unsigned tako__dgram_budget(unsigned buffers)
{
	return buffers < TAKO__DGRAM_BUDGET ? buffers : TAKO__DGRAM_BUDGET;
}

/* What a runtime keeps of a datagram socket; it fits into tako_sock.rt. */
struct tako__dgram_sock {
	struct tako_dgram_info info;
	int error; /* that the kernel told us of and the owner has not heard of; 0: none */
	uint32_t reserved;
};

/* Where messages arrive: one for all datagram sockets of a loop. */
struct tako__dgram_batch;

/* NULL: no memory. */
struct tako__dgram_batch *tako__dgram_batch_new(void);
void tako__dgram_batch_free(struct tako__dgram_batch *b);

enum tako__dgram_got {
	TAKO__DGRAM_NONE, /* nothing was there */
	TAKO__DGRAM_LAST, /* delivered all that was there */
	TAKO__DGRAM_MORE, /* there may be more: of datagrams, or of errors */
};

/* One call, and on_dgrams() with what it brought. */
enum tako__dgram_got tako__dgram_recv(struct tako__dgram_batch *b, struct tako_sock *s,
                                      struct tako__dgram_sock *d);
/* Send what is queued.  Never TAKO__SENT_BROKEN or _COLD: what fails, fails alone. */
enum tako__sent tako__dgram_send(struct tako_sock *s, struct tako__dgram_sock *d);
/* Has it had enough, as TAKO_SOCK_ENOUGH wishes, and has not been told yet? */
static inline bool tako__dgram_ends(const struct tako_sock *s)
{
	return (s->flags & (TAKO_SOCK_ENOUGH | TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING)) ==
	       TAKO_SOCK_ENOUGH;
}
/* The runtime has nothing of it any more: tell. */
void tako__dgram_end(struct tako_sock *s);
/* Tell the owner of an error, unless it has paused: then it hears of it later. */
void tako__dgram_report(struct tako_sock *s, struct tako__dgram_sock *d);

#endif /* TAKO_CORE_DGRAM_BATCH_H */

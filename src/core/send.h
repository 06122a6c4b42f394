/* SPDX-License-Identifier: MIT
 *
 * Sending by call: what stands in a socket's queue, until the kernel takes no more.
 */
#ifndef TAKO_CORE_SEND_H
#define TAKO_CORE_SEND_H

#include <tako/sys/runtime.h>

enum tako__sent {
	TAKO__SENT_ALL,    /* the queue is empty */
	TAKO__SENT_FULL,   /* the kernel takes no more for now */
	TAKO__SENT_LATER,  /* it would, but others want their turn */
	TAKO__SENT_COLD,   /* the next slice of a file was refused by `may_wait` */
	TAKO__SENT_BROKEN, /* the connection is gone */
};

/* Send what is queued, at most `max` bytes a call: one for all memory ops at the head, one for each
 * slice of a file.  `may_wait` (NULL: nobody minds) is asked before a slice of `n` bytes whether
 * that call would have to wait for a disk. */
enum tako__sent tako__send(struct tako_sock *s, size_t max,
                           bool (*may_wait)(struct tako_sock *s, size_t n));
/* How many bytes of the file at the head the next slice has. */
size_t tako__send_slice(const struct tako_sock *s, size_t max);

#endif /* TAKO_CORE_SEND_H */

/* SPDX-License-Identifier: MIT
 *
 * What other threads hand to a loop: any number of senders, one receiver, no lock, no
 * allocation.  A mail is embedded in whatever it is about.  Each sender's mails arrive in
 * the order it posted them.
 */
#ifndef TAKO_CORE_MAILBOX_H
#define TAKO_CORE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>

struct tako__mail {
	struct tako__mail *next;
	/* Runs on the receiving thread; the mail is its own again: it may be posted anew or
	 * freed. */
	void (*fn)(struct tako__mail *m);
};

enum { TAKO__MAILBOX_BATCH = 256 }; /* mails run by one drain */

struct tako__mailbox {
	_Atomic(struct tako__mail *) posted; /* newest first */
	struct tako__mail *ready;            /* the receiver's: oldest first */
};

void tako__mailbox_init(struct tako__mailbox *mb);

/* Post `m`, which must not be in any mailbox.  True: the receiver has to be woken; false:
 * somebody else's post has seen to that, and the receiver has not looked since.  [any] */
bool tako__mailbox_post(struct tako__mailbox *mb, struct tako__mail *m);

/* Run up to TAKO__MAILBOX_BATCH mails.  True: some are left, so drain again before sleeping.
 * What is posted meanwhile, also by the mails' own functions, waits for the next call; its
 * poster was told to wake us.  Receiver's thread only, not from a mail. */
bool tako__mailbox_drain(struct tako__mailbox *mb);

#endif /* TAKO_CORE_MAILBOX_H */

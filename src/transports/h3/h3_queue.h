/* SPDX-License-Identifier: MIT
 *
 * What a stream has to send, and what of it may have to be sent again: bytes in order, lent or
 * copied, kept until the peer has acknowledged them.  Sans-I/O: who sends asks for pieces and says
 * how much has left and how much has arrived.
 *
 * A file is read block by block as its turn comes, so that what is lent to the transport is
 * always memory; its op is done when its last block has been read.
 */
#ifndef TAKO_H3_QUEUE_H
#define TAKO_H3_QUEUE_H

#include <stdbool.h>
#include <sys/uio.h>
#include <tako/sys/runtime.h>

#include "transports/h3/h3_file.h"

enum {
	TAKO__H3_FIRST_BYTES = 448, /* inside the queue: most answers need no other block */
};

/* Bytes that were copied. */
struct tako__h3_block {
	struct tako_send op;
	size_t cap;
	char *data;
};

struct tako__h3_queue {
	struct tako_send *first; /* oldest that is not acknowledged */
	struct tako_send *at;    /* the first of which something has not left */
	struct tako_send *last;
	uint64_t sent_bytes;   /* of `at` */
	uint64_t acked_bytes;  /* of `first` */
	uint64_t unsent_bytes; /* in all of them */
	struct tako__cold cold;
	bool own_busy; /* `own` is in the queue */
	struct tako__h3_block own;
	char own_data[TAKO__H3_FIRST_BYTES];
};

void tako__h3_queue_init(struct tako__h3_queue *q);
/* Room for `n` contiguous bytes, at most 4096, behind what is there; what was written is then told to
 * _commit().  NULL without memory. */
char *tako__h3_queue_reserve(struct tako__h3_queue *q, size_t n);
void tako__h3_queue_commit(struct tako__h3_queue *q, size_t n);
/* Copy any number of bytes.  TAKO_ENOMEM: none of them is there. */
int tako__h3_queue_copy(struct tako__h3_queue *q, const char *p, size_t n);
/* An op, which completes once. */
void tako__h3_queue_lend(struct tako__h3_queue *q, struct tako_send *op);

/* Up to `max` pieces of what is next, from where it is.  0: there is nothing but, perhaps, a file
 * (tako__h3_queue_is_file()), of which a block has to be read first. */
unsigned tako__h3_queue_vec(const struct tako__h3_queue *q, struct iovec *vec, unsigned max,
                            uint64_t *ret_n);
bool tako__h3_queue_is_file(const struct tako__h3_queue *q);
/* Have the next block of it, from `files` where it is there.  1: done; 0: a disk has to be waited for, ask again in a
 * millisecond; TAKO_ENOMEM; TAKO_ESYS, it cannot be read or has become shorter. */
int tako__h3_queue_read(struct tako__h3_queue *q, struct tako__h3_files *files, uint64_t now_ns);
/* The next `n` bytes have left, to be sent again by who sent them, from where they are. */
void tako__h3_queue_sent(struct tako__h3_queue *q, uint64_t n);
/* The next `n` bytes have arrived: ops that are through are done. */
void tako__h3_queue_acked(struct tako__h3_queue *q, uint64_t n);
/* Complete what has not arrived: nothing is lent any more. */
void tako__h3_queue_drop(struct tako__h3_queue *q);

#endif /* TAKO_H3_QUEUE_H */

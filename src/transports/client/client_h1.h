/* SPDX-License-Identifier: MIT
 *
 * What the files of the client's HTTP/1.1 share: its state on a connection.
 */
#ifndef TAKO_CLIENT_H1_H
#define TAKO_CLIENT_H1_H

#include "transports/client/client_int.h"

struct tako__client_h1 {
	struct tako__client_conn base;
	struct tako_fetch *f;          /* NULL: it is idle, or over */
	struct tako__client_buf stash; /* received and not used: part of a head, or while paused */
	/* Since when the peer has been silent that owes us something. */
	uint64_t base_ns;
};

_Static_assert(sizeof(struct tako__client_h1) <= TAKO__PROTO_STATE_BYTES, "fits into a connection");

static inline struct tako__client_h1 *tako__client_h1_of(struct tako__conn *c)
{
	return (struct tako__client_h1 *)(void *)c->proto_state;
}

/* The reading half: bytes have come; or what was held back may go on.  c may be closed afterwards. */
void tako__client_h1_take(struct tako__conn *c, const char *p, size_t n);
void tako__client_h1_go_on(struct tako__conn *c);
/* The peer sends no more. */
void tako__client_h1_end(struct tako__conn *c);

/* The writing half. */
int tako__client_h1_begin(struct tako__conn *c, struct tako_fetch *f);
int tako__client_h1_data(struct tako_fetch *f, const char *p, size_t n);
int tako__client_h1_finish(struct tako_fetch *f);

/* The request was answered whole; `clean`: nothing came behind the response. */
void tako__client_h1_complete(struct tako__conn *c, bool clean);
/* It never will be.  Closes. */
void tako__client_h1_fail(struct tako__conn *c, int err, const char *why);
/* Look at the clock when it is time. */
void tako__client_h1_watch(struct tako__conn *c);

#endif /* TAKO_CLIENT_H1_H */

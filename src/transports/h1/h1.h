/* SPDX-License-Identifier: MIT
 *
 * What the files of the HTTP/1.1 protocol share: its state on a connection.
 */
#ifndef TAKO_H1_H
#define TAKO_H1_H

#include "core/conn.h"
#include "core/exchange.h"
#include "transports/h1/h1_chunk.h"

/* Bodies that nobody reads are read on for the sake of the connection up to this. */
enum { TAKO__H1_DISCARD_BYTES = 1 << 20 };

struct tako__h1 {
	struct tako__exchange *x;         /* the one being answered; the next waits in the stash */
	struct tako__h1_chunked *chunked; /* of its body; in its arena */
	char *stash; /* received and not yet used: part of a head, or requests behind it */
	uint32_t stash_n;
	uint32_t stash_cap;
	uint32_t stash_used; /* of it, already taken */
	uint32_t scanned;    /* of an incomplete head: looked at before */
	uint64_t body_left;  /* of a body with Content-Length */
	uint64_t since_ns;   /* the present wait began: for a head, or for body bytes */
	uint64_t body_ns;    /* the body began, if we had taken it all the time since */
	uint64_t untaken_ns; /* since when we have not; 0: we do */
	uint32_t discarded;  /* body bytes nobody wanted */
	uint8_t minor;
	bool close;       /* no request after this one */
	bool eof;         /* the peer sends no more */
	bool unread;      /* input was left unread: linger */
	bool chunked_out; /* this response's framing */
	bool trailers;    /* the chunked body has come to its trailer section */
	bool feeding;     /* inside tako__h1_feed() */
};

_Static_assert(sizeof(struct tako__h1) <= TAKO__PROTO_STATE_BYTES, "fits into a connection");

static inline struct tako__h1 *tako__h1_of(struct tako__conn *c)
{
	return (struct tako__h1 *)(void *)c->proto_state;
}

extern const struct tako__proto_ops tako__h1_ops;

/* The reading half: take what can be taken of p[0..n) now, requests and bodies; returns how
 * much.  The rest is to be offered again when something has changed. */
size_t tako__h1_feed(struct tako__conn *c, char *p, size_t n);
/* Answer what cannot be a request, and close. */
void tako__h1_refuse(struct tako__conn *c, int status);

/* The writing half, as proto ops. */
bool tako__h1_answer(struct tako__exchange *x, int status, const char *type, tako_str body);
int tako__h1_head(struct tako__exchange *x);
int tako__h1_data(struct tako__exchange *x, const char *p, size_t n);
int tako__h1_lend(struct tako__exchange *x, struct tako_send *op);
int tako__h1_share(struct tako__exchange *x, struct tako_send *op, struct tako__shared *sh);
int tako__h1_end(struct tako__exchange *x);
int tako__h1_inform(struct tako__exchange *x, int status);

#endif /* TAKO_H1_H */

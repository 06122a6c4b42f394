/* SPDX-License-Identifier: MIT
 *
 * Connections that we make: names looked up, addresses tried, layers put on, and then a tako__conn of this
 * worker like those that it accepts, for whoever asked to make a protocol's.
 *
 *   struct tako__dial *d;
 *   rc = tako__dial(&d, worker, &target, &(struct tako__dial_options){.tls = tls, .alpn = "h2,http/1.1"},
 *                   done, arg);          rc < 0: nothing has begun, tako_last_error() says why not
 *   static void done(const struct tako__dialed *r, void *arg)
 *   {
 *           if (r->err < 0) ...          tako_last_error() is a sentence about it
 *           if (tako__conn_become(r->conn, &my_client_ops) == 0)
 *                   state(r->conn)->mine = arg;
 *   }
 *
 * What becomes of done():
 *   - It is called once for each success of tako__dial(), unless tako__dial_cancel() comes first; from a
 *     turn, so never inside a call of tako__dial(); and on the worker's thread, as everything here.
 *   - From the moment it is called the tako__dial is no more.
 *   - A connection has to become somebody's before it returns: one that did not is closed.  Where
 *     tako__conn_become() fails the caller closes it.  It is inside one of its own callbacks
 *     (TAKO__CONN_ENTERED): what is written leaves without more ado.
 *
 * What such a connection has of one that was accepted, and what not:
 *   - Its protocol is of seam C, of which a client's uses open, recv, written, tick, drain and fini.  fini runs
 *     once, whoever closed it, also for one that never opened well.
 *   - c->listener is NULL: that is how to tell.  A protocol must not look for what a listener has.
 *   - It is among its worker's connections: when the server drains, proto->drain() is called, one that became
 *     somebody's during a drain has TAKO__CONN_DRAINING from the start; what is left at the end of the drain is
 *     closed with the others, and the worker does not end before.  What is still being made is left
 *     alone by a drain, since who is answered may wait for it; it is cut at the end, with TAKO_ECLOSED.
 *   - Its timer and deadline, flush, back-pressure, tako__conn_too_slow() (write_timeout_ms, min_rate_bytes of the
 *     server) and its ends are the same code.
 *   - It has no part in max_connections and max_connections_per_ip, which are about peers that come unasked, nor
 *     in tako_stats.connections_*.  Its own bound is max_outgoing_connections, of the server, in which
 *     everything counts that is made or being made; its own figures are outgoing_*.  Bytes are counted with all
 *     others.
 */
#ifndef TAKO_CORE_DIAL_H
#define TAKO_CORE_DIAL_H

#include <tako/base.h>

#include "core/proto.h"

struct tako__conn;
struct tako__dial;
struct tako__target;
struct tako_tls_client;
struct tako__worker;

struct tako__dial_options {
	struct tako_tls_client *tls; /* NULL: as it is.  Referred to until done() */
	/* With tls: whose certificate it has to be, and what the peer is told that it is asked for (RFC 6066
	 * section 3).  NULL: the target's host, which a target without one needs.  Copied. */
	const char *server_name;
	const char *alpn;    /* with tls: offered, "h2,http/1.1"; NULL: nothing is.  Copied */
	uint32_t timeout_ms; /* 0: connect_timeout_ms of the server; for all of it, TLS included */
	uint32_t reserved;
};

/* How it ended. */
struct tako__dialed {
	struct tako__conn *conn; /* NULL: by an error */
	/* 0, or
	 *   TAKO_ESYS       the system says no, as sys_errno has it: ECONNREFUSED, EHOSTUNREACH, ENOENT, ...
	 *   TAKO_ETIMEDOUT  timeout_ms, or the kernel's own patience
	 *   TAKO_ENOENT     no such name, or it has no address
	 *   TAKO_EBUSY      names cannot be looked up at the moment
	 *   TAKO_ETLS       the certificate is not the right one, or the peer does not come to terms
	 *   TAKO_ECLOSED    it hung up during the handshake, or the server's drain is over
	 *   TAKO_ENOMEM
	 * Where several addresses were tried, of the last one that failed. */
	int err;
	int sys_errno; /* 0: the system has said nothing */
	tako_str alpn; /* what was agreed on; {NULL, 0}: nothing.  Borrowed for the call */
};

typedef void (*tako__dialed_fn)(const struct tako__dialed *r, void *arg);

/* Begin to connect.  *ret is for tako__dial_cancel(), until done() is called.
 *   TAKO_EBUSY    max_outgoing_connections
 *   TAKO_ECLOSED  this worker's drain is over
 *   TAKO_EINVAL   tls without a name to verify; a name or alpn that is too long
 *   TAKO_ENOTSUP  the runtime makes no connections; tls in a build without
 *   TAKO_ENOMEM */
int tako__dial(struct tako__dial **ret, struct tako__worker *w, const struct tako__target *t,
               const struct tako__dial_options *o, tako__dialed_fn done, void *arg);
/* Give it up: done() is not called.  Not from done(). */
void tako__dial_cancel(struct tako__dial *d);

/* ---- For the worker and the connection ---------------------------------------------------------- */

/* End all that there are, and refuse more. */
void tako__dial_cut(struct tako__worker *w);
/* One of its connections closes that had a place in the server's count. */
void tako__dial_count_out(struct tako__worker *w);
/* connect() has come to something: 0 or an errno. */
void tako__dial_answered(struct tako__conn *c, int errno_value);

/* ---- For the layer that begins between connecting and done() (secured.h) ------------------------------ */

/* What such a connection speaks until it becomes somebody's. */
extern const struct tako__proto_ops tako__dial_ops;

/* The layers of `c` are ready.  May close it. */
void tako__dial_ready(struct tako__conn *c, tako_str alpn);
/* They never will be; tako_last_error() says why.  Closes it: what the layer has still to say leaves first if
 * `told`. */
void tako__dial_failed(struct tako__conn *c, int err, bool told);

#endif /* TAKO_CORE_DIAL_H */

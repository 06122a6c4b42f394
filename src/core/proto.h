/* SPDX-License-Identifier: MIT
 *
 * Seam C: what an HTTP version implements.  Protocols know framing and nothing of
 * routes; the exchange knows routes and nothing of framing.
 */
#ifndef TAKO_CORE_PROTO_H
#define TAKO_CORE_PROTO_H

#include <sys/types.h>
#include <tako/sys/runtime.h>

struct tako__conn;
struct tako__exchange;
struct tako__shared;

struct tako__proto_ops {
	/* As tako_conn_info.transport and the log have it: the protocol's ALPN identifier (RFC
	 * 7301), by which a layer that negotiates chooses it. */
	const char *name;
	/* A connection is ready to carry it; its proto state is zeroed.  A negative code closes. */
	int (*open)(struct tako__conn *c);
	/* Bytes from the layer stack: res as in tako_sock_cb.on_recv. */
	void (*recv)(struct tako__conn *c, char *p, ssize_t res);
	/* The kernel took some of what was queued (c's unsent bytes shrank). */
	void (*written)(struct tako__conn *c);
	/* The connection's deadline has passed. */
	void (*tick)(struct tako__conn *c);
	/* No new exchanges; close when the present ones are done. */
	void (*drain)(struct tako__conn *c);
	/* The connection is gone: tell the exchanges, free what the proto state holds. */
	void (*fini)(struct tako__conn *c);

	/* Head, body and end of a plain answer at once.  False: nothing was written, it goes the long
	 * way by head(), data() and end().  NULL: it always does. */
	bool (*answer)(struct tako__exchange *x, int status, const char *type, tako_str body);
	/* The same, of status 200 and unknown length, with x's trailers behind it. */
	bool (*answer_trailed)(struct tako__exchange *x, const char *type, tako_str body);
	/* Write status line and fields of x (length known or not: x->res_length). */
	int (*head)(struct tako__exchange *x);
	/* Write body bytes, copied; or lend an op, completed once. */
	int (*data)(struct tako__exchange *x, const char *p, size_t n);
	int (*lend)(struct tako__exchange *x, struct tako_send *op);
	/* Lend bytes that many exchanges share, with what this protocol puts around them; `op` has its
	 * done() only.  NULL: each exchange frames them otherwise, so that they are copied. */
	int (*share)(struct tako__exchange *x, struct tako_send *op, struct tako__shared *sh);
	/* End of the response, with x's trailers if any. */
	int (*end)(struct tako__exchange *x);
	/* An interim response with the fields set so far. */
	int (*inform)(struct tako__exchange *x, int status);
	/* Cut the response off so that the peer sees it incomplete. */
	void (*stop)(struct tako__exchange *x, int err);
	/* x is answered but will not be over for a while: go on without it, as if it were done; or
	 * close behind it, if TAKO__X_LAST is set (which it was before the head). */
	void (*leave)(struct tako__exchange *x);
	/* Bytes of x that were accepted and wait: what its writer's back-pressure goes by. */
	uint64_t (*unsent)(const struct tako__exchange *x);
	/* Say that the stream of x is `protocol`'s from here on, with the fields set so far.  Body
	 * bytes, in and out, are then its bytes, without deadlines for what the peer sends, until x
	 * ends; what arrived with the request is the first of them.  NULL: never.  A protocol that has
	 * CONNECT for it shows it to handlers as the GET it stands for (TAKO__X_SWITCHING). */
	int (*take)(struct tako__exchange *x, const char *protocol);
	/* The body is wanted (again). */
	void (*read_more)(struct tako__exchange *x);
	/* The exchange is over; its memory goes after this call. */
	void (*done)(struct tako__exchange *x);
};

#endif /* TAKO_CORE_PROTO_H */

/* SPDX-License-Identifier: MIT
 *
 * tako/sys/transport.h: how to write a transport: requests that come in a protocol of your own, and are
 * answered by the same router, middleware and handlers as those of HTTP.  Stable within a minor version.
 *
 * What carries them is a raw connection (tako/raw.h), over TCP, Unix sockets, TLS and behind the PROXY
 * protocol.  Its callbacks take the peer's bytes apart, and begin an exchange (RFC 9110 section 3.4) for
 * each request that they find; what its handler answers comes back through tako_exchange_ops, which write
 * it in the protocol's framing.  A connection carries one exchange after the other or many at a time.
 * What the protocol cannot express, a handler is refused as over HTTP: WebSockets, for one.
 *
 * All of it is [loop]: on the connection's thread.  examples/scgi.c is a transport.
 */
#ifndef TAKO_SYS_TRANSPORT_H
#define TAKO_SYS_TRANSPORT_H

#include <tako/raw.h>

TAKO_BEGIN

/* One request and its answer.  Valid until over() has returned. */
typedef struct tako_exchange tako_exchange;

typedef struct tako_field {
	tako_str name;
	tako_str value;
} tako_field;

/* A request as it was received, borrowed for the call.  It is held to what RFC 9113 section 8 asks of one,
 * names of fields in any case. */
typedef struct tako_request_head {
	size_t size;
	tako_str method; /* RFC 9110 section 9 */
	/* In origin form (RFC 9112 section 3.2.1), percent-encoded: the path and, behind '?', the query. */
	tako_str target;
	tako_str authority; /* host, maybe with a port; empty: what the field Host says */
	const tako_field *fields;
	size_t field_count;
	/* Bytes of content; 0: none; TAKO_OFF64: unknown.  A field Content-Length must agree. */
	uint64_t content_length;
} tako_request_head;
#define TAKO_REQUEST_HEAD(...)                                                                     \
	(&(tako_request_head){.size = sizeof(tako_request_head), __VA_ARGS__})

/* A response, borrowed for the call. */
typedef struct tako_response_head {
	const char *reason; /* the status's usual phrase, or "" (RFC 9110 section 15) */
	/* Without Content-Length; and without Date and Server, unless a handler has set them. */
	const tako_field *fields;
	size_t field_count;
	uint64_t content_length; /* TAKO_OFF64: unknown; its end is told by end() */
	int32_t status;
	/* False: there is none, whatever the length (RFC 9110 section 6.4.1). */
	bool has_content;
	uint8_t reserved[3];
} tako_response_head;

/* How a protocol writes what is answered.  head(), inform(), content() and end() are called while the
 * handler answers, and do nothing but write (tako_raw_send()); a negative code of theirs cuts the
 * connection off.  more() and over() are called with nobody else on the stack, and may begin the next
 * exchange.  Static, as long as the server lives. */
typedef struct tako_exchange_ops {
	size_t size;
	int (*head)(tako_exchange *e, const tako_response_head *head);
	/* An interim response (status 1xx).  NULL: the protocol has none, and they are left out. */
	int (*inform)(tako_exchange *e, const tako_response_head *head);
	/* Some of the content: to 16 KiB, and only while less than write_high_bytes are unsent. */
	int (*content)(tako_exchange *e, tako_str data);
	/* The response is complete. */
	int (*end)(tako_exchange *e, const tako_field *trailers, size_t count);
	/* It cannot be completed, which the peer must be able to see; nothing else will be written.
	 * NULL: the connection is cut off. */
	void (*stop)(tako_exchange *e, int why);
	/* tako_exchange_data() said TAKO_EBUSY, and would not any more. */
	void (*more)(tako_exchange *e);
	/* The last call for it, once: answered and read to its end, or lost.  NULL: of no interest. */
	void (*over)(tako_exchange *e);
} tako_exchange_ops;

/* Begin one: route it and call its handler, by which it may be answered, though not over, when this
 * returns.  A head that is in form but too large or has no route is answered like any other.  `arg` is for
 * tako_exchange_arg().  *ret may be NULL if it is of no interest.
 *   TAKO_EPROTO  the head is malformed, tako_last_error() says how; there is no exchange
 *   TAKO_EINVAL  head(), content() or end() is missing
 *   TAKO_ESTATE  the connection is ending, or the server has been given no routes
 *   TAKO_ENOMEM */
TAKO_API int tako_exchange_begin(tako_exchange **ret, tako_raw *c, const tako_request_head *head,
                                 const tako_exchange_ops *ops, void *arg);

/* The next of its content, borrowed for the call; with `end`, the last of it, which may be empty.  None is
 * due after a head whose content_length is 0.
 *   TAKO_EBUSY   nobody takes it now: keep it, and the peer waiting (tako_raw_pause()), until more() or over()
 *   TAKO_EPROTO  more than the head announced, or less: it has been broken off
 *   TAKO_ESTATE  it has ended already */
TAKO_API int tako_exchange_data(tako_exchange *e, tako_str data, bool end);

/* Fields behind the content, which ends with them (RFC 9110 section 6.5); borrowed for the call.  As
 * tako_exchange_data() with `end`; and
 *   TAKO_EPROTO   they are malformed: it has been broken off
 *   TAKO_ETOOBIG  more than max_header_count, or max_head_bytes, allow: the content has ended as if they had
 *                 not been sent, which their sender must expect anyway
 *   TAKO_ENOMEM   the same, for want of memory */
TAKO_API int tako_exchange_trailers(tako_exchange *e, const tako_field *fields, size_t count);

/* The peer has given it up: its handler is told, nothing more is written.  over() follows. */
TAKO_API void tako_exchange_cancel(tako_exchange *e);

TAKO_API void *tako_exchange_arg(const tako_exchange *e);
/* The connection that carries it. */
TAKO_API tako_raw *tako_exchange_raw(const tako_exchange *e);

TAKO_END

#endif /* TAKO_SYS_TRANSPORT_H */

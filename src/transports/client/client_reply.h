/* SPDX-License-Identifier: MIT
 *
 * An HTTP/1.1 response as a client reads it (RFC 9112): its head, and where its body ends.  Bytes in,
 * views into them out; sans-I/O, without allocation, never reads at or beyond p + n.  What field lines,
 * framing fields and chunks are is the server's code (transports/h1), so that both read them alike.
 *
 * Strict where two readers could differ, since what one takes for the end of a response is where the
 * next one begins:
 *  - lines end with CRLF only, and nothing comes before the status line (2.2); obs-fold is refused, as
 *    section 5.2 allows;
 *  - HTTP/1.0 and 1.x; a status of 100 to 599 (RFC 9110 section 15); the space before a reason that is not
 *    there may be missing, as many servers have it;
 *  - several Content-Length fields, lists in one, and Content-Length beside Transfer-Encoding are
 *    errors (6.3);
 *  - Transfer-Encoding is "chunked" or an error: no other was asked for (6.1, RFC 9110 section 10.1.4);
 *  - what breaks off is never complete, unless the end of the connection is the end of the body (8).
 */
#ifndef TAKO_CLIENT_REPLY_H
#define TAKO_CLIENT_REPLY_H

#include "transports/h1/h1_chunk.h"
#include "transports/h1/h1_head.h"

enum tako__reply_framing {
	TAKO__REPLY_NO_BODY,
	TAKO__REPLY_LENGTH,
	TAKO__REPLY_CHUNKED,
	TAKO__REPLY_TO_END /* of the connection */
};

struct tako__reply {
	tako_str reason;
	uint64_t length; /* as announced, also where there is no body; TAKO_OFF64: it was not */
	const char *why; /* a static line about the failure; NULL without one */
	uint32_t field_count;
	uint16_t status;
	uint8_t minor;   /* of the version: 0 or 1 */
	uint8_t framing; /* enum tako__reply_framing */
	bool keep_alive; /* may persist by RFC 9112 section 9.3 */
	/* Set by the caller: room for limits.max_fields elements. */
	struct tako__field *fields;
};

/* Parse the head at p[0..n); `method` is the request's, enum tako__method.
 *   > 0  bytes used, the empty line included; the body starts there
 *     0  not complete: call again with the same bytes and more
 *   TAKO_EPROTO, TAKO_ETOOBIG (limits.max_head_bytes, max_fields): r->why says what is wrong.
 * `scanned` is 0 at first and, after a return of 0, the n of that call.  A wrong byte is reported by
 * the end of its line at the latest; whichever way the bytes are split, the answer is the same. */
int tako__reply_parse(struct tako__reply *r, const char *p, size_t n, size_t scanned,
                      unsigned method, const struct tako__h1_limits *lim);

/* Where in its body a response is. */
struct tako__reply_body {
	struct tako__h1_chunked chunked;
	uint64_t left; /* with TAKO__REPLY_LENGTH */
	uint8_t framing;
};

enum tako__reply_result {
	TAKO__REPLY_MORE,     /* everything is used up: feed again */
	TAKO__REPLY_DATA,     /* *data is set; feed the rest */
	TAKO__REPLY_TRAILERS, /* a trailer section follows: tako__h1_trailers_parse() */
	TAKO__REPLY_END       /* the body ended; what follows is not its */
};

/* Start on the body of the final response `r`. */
void tako__reply_body_init(struct tako__reply_body *b, const struct tako__reply *r);

/* Look at p[0..n); *used is how many bytes were taken, those of *data included.  n may be 0: a body
 * without bytes ends at once.  TAKO_EPROTO: *why says what is wrong. */
int tako__reply_body_feed(struct tako__reply_body *b, const char *p, size_t n, size_t *used,
                          tako_str *data, const char **why);

/* Whether the body is complete when the peer ends the connection here. */
static inline bool tako__reply_body_ends(const struct tako__reply_body *b)
{
	return b->framing == TAKO__REPLY_TO_END;
}

#endif /* TAKO_CLIENT_REPLY_H */

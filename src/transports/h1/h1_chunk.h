/* SPDX-License-Identifier: MIT
 *
 * The chunked transfer coding (RFC 9112 7.1): a state machine that finds the data in received
 * bytes without copying them, the trailer section behind it, and the line in front of a chunk
 * to be sent.  Sans-I/O and without allocation.
 *
 * As strict as the head parser: CRLF only, at most 16 hex digits, sizes below 2^63, nothing
 * between a size and its CRLF but extensions.  Those are ignored once they are seen to be in
 * order, since two parsers could end others in different places; their bytes are counted over
 * the whole body, so that a peer cannot send a lot to say little (7.1.1).
 */
#ifndef TAKO_H1_CHUNK_H
#define TAKO_H1_CHUNK_H

#include <tako/base.h>

#include "core/header.h"

/* What the extensions of one body may have, white space and ';' included. */
#define TAKO__H1_EXTENSION_BYTES (16u * 1024)

struct tako__h1_chunked {
	uint64_t left;           /* of the chunk; while its line is read, its size so far */
	uint32_t extension_left; /* bytes still allowed */
	uint8_t state;
	uint8_t digits;
	const char *why; /* a static line about the failure */
};

enum tako__h1_chunked_result {
	TAKO__H1_CHUNK_MORE,     /* everything is used up: feed again */
	TAKO__H1_CHUNK_DATA,     /* *data is set; feed the rest */
	TAKO__H1_CHUNK_TRAILERS, /* a trailer section follows: tako__h1_trailers_parse() */
	TAKO__H1_CHUNK_END       /* the body ended, without trailers */
};

/* Start on a body.  `extension_bytes`: usually TAKO__H1_EXTENSION_BYTES. */
void tako__h1_chunked_init(struct tako__h1_chunked *c, uint32_t extension_bytes);

/* Look at p[0..n); *used is how many bytes were taken, those of *data included.  At most one
 * run of data a call.  Negative: -(HTTP status), always 400; the connection is of no more use.
 * With TRAILERS the section starts at p + *used, with END the next request does. */
int tako__h1_chunked_feed(struct tako__h1_chunked *c, const char *p, size_t n, size_t *used,
                          tako_str *data);

/* Bytes still to come of the chunk whose size has been read; 0 between chunks. */
uint64_t tako__h1_chunked_pending(const struct tako__h1_chunked *c);

struct tako__h1_limits;

/* Fields of a trailer section. */
struct tako__h1_trailers {
	const char *why; /* a static line about the failure; NULL without one */
	uint32_t field_count;
	uint32_t dropped_count;     /* fields that must not be in a trailer */
	struct tako__field *fields; /* set by the caller: room for limits.max_fields */
};

/* Parse a trailer section at p[0..n), its empty line included; returns and `scanned` as
 * tako__h1_head_parse().  max_head_bytes and max_fields limit it (431).
 * What governs framing, routing, authentication, request conditions or the meaning of the
 * content does not belong here (RFC 9110 6.5.1); such fields are dropped, so that nobody
 * takes them for the header fields they imitate. */
int tako__h1_trailers_parse(struct tako__h1_trailers *out, const char *p, size_t n, size_t scanned,
                            const struct tako__h1_limits *lim);

/* Is it one of those?  Also of another version's trailers. */
bool tako__h1_is_forbidden_trailer(const struct tako__field *f);

#define TAKO__H1_CHUNK_HEAD_BYTES 18

/* Write the line in front of a chunk of n > 0 bytes ("1F4\r\n"), not NUL-terminated; returns
 * its length.  After the n bytes there must follow a CRLF; the end is "0\r\n", trailers and
 * another CRLF. */
size_t tako__h1_chunk_head(char buf[TAKO__H1_CHUNK_HEAD_BYTES], uint64_t n);

#endif /* TAKO_H1_CHUNK_H */

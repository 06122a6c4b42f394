/* SPDX-License-Identifier: MIT
 *
 * The fields of a response over HTTP/2, or of its trailers, as a client reads them (RFC 9113 section 8.3.2): one name
 * and value after the other in, a checked head out.  The library below decompresses and checks nothing of this;
 * everything that makes a response malformed by its fields is decided here (section 8.1.1).
 */
#ifndef TAKO_CLIENT_H2_BLOCK_H
#define TAKO_CLIENT_H2_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/header.h"
#include "transports/client/client_buf.h"

/* What a block came to; its text is apart. */
struct tako__client_h2_head {
	uint64_t length; /* Content-Length; TAKO_OFF64: there was none */
	uint32_t field_count;
	uint16_t status; /* 0: of trailers */
	bool trailers;
	bool end; /* of the stream: set by whoever knows */
};

struct tako__client_h2_block {
	struct tako__client_h2_head head;
	struct tako__client_buf text; /* of each field: the lengths of both parts, and these */
	uint32_t list_bytes;          /* as RFC 9113 section 6.5.2 counts them */
	uint32_t list_bytes_max;
	uint32_t field_count_max;
	int err;
	const char *why; /* a static line about err; NULL without one */
	bool regular;    /* a field that is no pseudo-header field has come */
};

/* Start on a block, of a response or of `trailers`; memory of one before is used again.  The limits are set by the
 * caller, once. */
void tako__client_h2_block_init(struct tako__client_h2_block *b, bool trailers);
/* The next field, both parts borrowed for the call. */
void tako__client_h2_block_field(struct tako__client_h2_block *b, const char *name, size_t name_n,
                                 const char *value, size_t value_n);
/* The block is complete.  TAKO_EPROTO, TAKO_ETOOBIG (one of the limits), TAKO_ENOMEM: b->why says what is wrong. */
int tako__client_h2_block_end(struct tako__client_h2_block *b);

/* Views of `count` fields into their text. */
void tako__client_h2_views(struct tako__field *to, uint32_t count, const char *text);

#endif /* TAKO_CLIENT_H2_BLOCK_H */

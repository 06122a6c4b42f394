/* SPDX-License-Identifier: MIT
 *
 * A request's fields as HTTP/2 has them (RFC 9113 section 8): one name and value after the other
 * in, a checked head out.  The library below decompresses and checks nothing of this; everything
 * that makes a request malformed is decided here.
 *
 * What section 8.1.1 calls malformed ends the stream.  What is well-formed and yet cannot be
 * served -- a host that is none, a target with spaces, a body that will not fit -- has a status
 * instead, which tells whoever wrote the client more than a reset does.
 */
#ifndef TAKO_H2_HEAD_H
#define TAKO_H2_HEAD_H

#include <tako/base.h>

#include "core/header.h"
#include "core/mem.h"

/* Verdicts of tako__h2_head_end() beside 0 and a status. */
enum { TAKO__H2_MALFORMED = -1 };

/* An authority that has been found in order: a connection's requests mostly have the same. */
struct tako__h2_known {
	uint32_t n;
	char text[60];
};

struct tako__h2_head {
	struct tako__h2_known *known; /* NULL: none is remembered */
	struct tako__arena *arena;    /* where all text goes */
	char *pos;                    /* room for text */
	char *end;
	struct tako__field *fields;
	uint32_t field_count;
	uint32_t field_cap;
	uint32_t list_bytes; /* as RFC 9113 section 6.5.2 counts them */
	uint32_t list_bytes_max;
	uint32_t field_count_max;
	uint32_t target_bytes_max;
	uint32_t cookie_count;
	int status; /* to refuse it with; 0: none so far */
	tako_str method;
	tako_str scheme;
	tako_str target; /* :path as it came */
	tako_str path;
	tako_str query;
	tako_str authority;
	tako_str host; /* the field of that name */
	tako_str protocol;
	tako_str priority;
	uint64_t content_length;
	uint8_t method_id;
	uint8_t path_flags;
	uint8_t seen; /* of the pseudo-header fields */
	bool trailers;
	bool malformed;
	bool regular; /* a field that is none of them came */
	bool has_length;
	bool has_host;
	bool expects;   /* 100-continue */
	bool switching; /* an extended CONNECT, shown as the GET it stands for */
};

/* Start a block; `trailers`: what comes after a body.  The limits are set by the caller. */
void tako__h2_head_init(struct tako__h2_head *h, struct tako__arena *arena, bool trailers);
/* The next field, both parts borrowed for the call. */
void tako__h2_head_field(struct tako__h2_head *h, const char *name, size_t name_n,
                         const char *value, size_t value_n);
/* The block is complete.  0: all views are set; the host is in `authority`, and among the fields.
 * TAKO__H2_MALFORMED; or the status to refuse it with. */
int tako__h2_head_end(struct tako__h2_head *h);

#endif /* TAKO_H2_HEAD_H */

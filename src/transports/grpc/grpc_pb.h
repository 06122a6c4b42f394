/* SPDX-License-Identifier: MIT
 *
 * As much of protobuf's encoding as the built-in services need: fields of a message one by one, and a few
 * written.  Knows no schema, allocates nothing for reading.
 */
#ifndef TAKO_GRPC_PB_H
#define TAKO_GRPC_PB_H

#include <tako/base.h>

enum tako__pb_type {
	TAKO__PB_VARINT = 0,
	TAKO__PB_FIXED64 = 1,
	TAKO__PB_BYTES = 2,
	TAKO__PB_FIXED32 = 5,
};

struct tako__pb_field {
	uint32_t number;
	enum tako__pb_type type;
	uint64_t value; /* of VARINT */
	tako_str bytes; /* of BYTES; p is never NULL */
};

/* The next field off the front of `in`: 1, 0 at the end, TAKO_EPROTO.  Groups, which nothing that is
 * read here has, are malformed. */
int tako__pb_next(tako_str *in, struct tako__pb_field *ret);

/* A message that is written; all zero at the beginning. */
struct tako__pb_out {
	char *p;
	size_t n;
	size_t cap;
	bool failed; /* no memory: what follows is not written */
};

void tako__pb_varint(struct tako__pb_out *o, uint32_t number, uint64_t value);
void tako__pb_bytes(struct tako__pb_out *o, uint32_t number, tako_str bytes);
/* A message within it: what is written between the two calls. */
size_t tako__pb_open(struct tako__pb_out *o, uint32_t number);
void tako__pb_close(struct tako__pb_out *o, size_t opened);
void tako__pb_fini(struct tako__pb_out *o);

#endif /* TAKO_GRPC_PB_H */

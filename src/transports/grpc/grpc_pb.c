/* SPDX-License-Identifier: MIT
 *
 * See grpc_pb.h; "Encoding" in protobuf's documentation.
 */
#include "transports/grpc/grpc_pb.h"

#include <string.h>

#include "core/mem.h"

enum {
	FIRST_BYTES = 512,
	VARINT_BYTES = 10,
	NUMBER_MAX = (1 << 29) - 1,
};

/* ---- Reading -------------------------------------------------------------------------------- */

static int take_varint(tako_str *in, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < VARINT_BYTES && i < in->n; i++) {
		unsigned char c = (unsigned char)in->p[i];

		v |= (uint64_t)(c & 0x7f) << 7 * i;
		if (c & 0x80)
			continue;
		in->p += i + 1;
		in->n -= i + 1;
		*ret = v;
		return 0;
	}
	return TAKO_EPROTO;
}

static int take_bytes(tako_str *in, uint64_t n, tako_str *ret)
{
	if (n > in->n)
		return TAKO_EPROTO;
	*ret = (tako_str){in->p, (size_t)n};
	in->p += n;
	in->n -= (size_t)n;
	return 0;
}

static int take_value(tako_str *in, struct tako__pb_field *f)
{
	int rc;

	switch (f->type) {
	case TAKO__PB_VARINT:
		return take_varint(in, &f->value);
	case TAKO__PB_FIXED64:
		return take_bytes(in, 8, &f->bytes);
	case TAKO__PB_FIXED32:
		return take_bytes(in, 4, &f->bytes);
	case TAKO__PB_BYTES:
		rc = take_varint(in, &f->value);
		return rc < 0 ? rc : take_bytes(in, f->value, &f->bytes);
	default:
		return TAKO_EPROTO;
	}
}

int tako__pb_next(tako_str *in, struct tako__pb_field *ret)
{
	uint64_t tag;
	int rc;

	if (!in->n)
		return 0;
	*ret = (struct tako__pb_field){.bytes = {"", 0}};
	rc = take_varint(in, &tag);
	if (rc < 0)
		return rc;
	if (tag >> 3 == 0 || tag >> 3 > NUMBER_MAX)
		return TAKO_EPROTO;
	ret->number = (uint32_t)(tag >> 3);
	ret->type = (enum tako__pb_type)(tag & 7);
	rc = take_value(in, ret);
	return rc < 0 ? rc : 1;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static char *room(struct tako__pb_out *o, size_t n)
{
	size_t cap = o->cap ? o->cap : FIRST_BYTES;
	char *grown;

	if (o->failed)
		return NULL;
	if (n <= o->cap - o->n)
		return o->p + o->n;
	while (cap - o->n < n)
		cap *= 2;
	grown = tako__resize(o->p, o->cap, cap);
	if (!grown) {
		o->failed = true;
		return NULL;
	}
	o->p = grown;
	o->cap = cap;
	return o->p + o->n;
}

static size_t put_varint(char *to, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		to[n++] = (char)(v | 0x80);
	to[n++] = (char)v;
	return n;
}

static void add_varint(struct tako__pb_out *o, uint64_t v)
{
	char *to = room(o, VARINT_BYTES);

	if (to)
		o->n += put_varint(to, v);
}

void tako__pb_varint(struct tako__pb_out *o, uint32_t number, uint64_t value)
{
	add_varint(o, (uint64_t)number << 3 | TAKO__PB_VARINT);
	add_varint(o, value);
}

void tako__pb_bytes(struct tako__pb_out *o, uint32_t number, tako_str bytes)
{
	char *to;

	add_varint(o, (uint64_t)number << 3 | TAKO__PB_BYTES);
	add_varint(o, bytes.n);
	to = room(o, bytes.n);
	if (!to)
		return;
	if (bytes.n)
		memcpy(to, bytes.p, bytes.n);
	o->n += bytes.n;
}

size_t tako__pb_open(struct tako__pb_out *o, uint32_t number)
{
	add_varint(o, (uint64_t)number << 3 | TAKO__PB_BYTES);
	return o->n;
}

/* Its length, known now, goes before it. */
void tako__pb_close(struct tako__pb_out *o, size_t opened)
{
	char length[VARINT_BYTES];
	size_t n = put_varint(length, o->n - opened);
	char *to = room(o, n);

	if (!to)
		return;
	memmove(o->p + opened + n, o->p + opened, o->n - opened);
	memcpy(o->p + opened, length, n);
	o->n += n;
}

void tako__pb_fini(struct tako__pb_out *o)
{
	tako__free(o->p, o->cap);
	*o = (struct tako__pb_out){.p = NULL};
}

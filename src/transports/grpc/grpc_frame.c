/* SPDX-License-Identifier: MIT
 *
 * See grpc_frame.h.
 */
#include "transports/grpc/grpc_frame.h"

#include "core/base.h"
#include "core/mem.h"

enum {
	FIRST_BYTES = 4096,
	KEPT_BYTES = 64 << 10, /* room that is kept for the next message */
};

static void drop(tako_str *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* False: more of the prefix has to come.  Most come whole. */
static bool take_head(struct tako__grpc_reader *r, tako_str *in)
{
	const unsigned char *p = (const unsigned char *)in->p;

	if (TAKO__LIKELY(!r->head_n && in->n >= TAKO__GRPC_HEAD_BYTES)) {
		r->flags = p[0];
		r->length = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 |
		            p[4];
		r->head_n = TAKO__GRPC_HEAD_BYTES;
		drop(in, TAKO__GRPC_HEAD_BYTES);
		return true;
	}
	while (in->n && r->head_n < TAKO__GRPC_HEAD_BYTES) {
		unsigned char c = (unsigned char)in->p[0];

		if (r->head_n == 0)
			r->flags = c;
		else
			r->length = r->length << 8 | c;
		r->head_n++;
		drop(in, 1);
	}
	return r->head_n == TAKO__GRPC_HEAD_BYTES;
}

/* Grown as bytes come, not as the prefix promises: a promise is free. */
static int keep(struct tako__grpc_reader *r, tako_str *in)
{
	size_t n = r->length - r->n < in->n ? r->length - r->n : in->n;

	if (r->n + n > r->cap) {
		size_t cap = r->cap ? r->cap : FIRST_BYTES;
		char *grown;

		while (cap < r->n + n)
			cap *= 2;
		grown = tako__resize(r->p, r->cap, cap);
		if (!grown)
			return TAKO_ENOMEM;
		r->p = grown;
		r->cap = cap;
	}
	if (n)
		memcpy(r->p + r->n, in->p, n);
	r->n += n;
	drop(in, n);
	return 0;
}

static int found(struct tako__grpc_reader *r, tako_str msg, tako_str *ret)
{
	*ret = msg;
	r->head_n = 0;
	r->length = 0;
	r->n = 0;
	return 1;
}

int tako__grpc_read(struct tako__grpc_reader *r, tako_str *in, uint64_t limit, tako_str *ret)
{
	int rc;

	/* The last message has been dealt with. */
	if (TAKO__UNLIKELY(!r->n && r->cap > KEPT_BYTES))
		tako__grpc_reader_fini(r);
	if (!take_head(r, in))
		return 0;
	if (r->flags & ~TAKO__GRPC_COMPRESSED)
		return TAKO_EPROTO;
	if (r->length > limit)
		return TAKO_ETOOBIG;
	if (TAKO__LIKELY(!r->n && in->n >= r->length)) {
		tako_str msg = {in->n ? in->p : "", r->length};

		drop(in, r->length);
		return found(r, msg, ret);
	}
	rc = keep(r, in);
	if (rc < 0 || r->n < r->length)
		return rc;
	return found(r, (tako_str){r->p, r->length}, ret);
}

void tako__grpc_reader_fini(struct tako__grpc_reader *r)
{
	tako__free(r->p, r->cap);
	r->p = NULL;
	r->n = 0;
	r->cap = 0;
}

/* SPDX-License-Identifier: MIT
 *
 * See grpc_zip.h.  A stream is needed for the length of a call only, so that a worker has one for each
 * direction and coding; its memory and that of the last results is what compression costs it.
 */
#include "transports/grpc/grpc_zip.h"

#include <limits.h>
#include <tako/grpc.h>
#include <zlib.h>

#include "core/str.h"
#include "core/worker.h"

enum {
	BLOCK_HEAD_BYTES = 16, /* zlib says no size when it frees; keeps what follows aligned */
	FIRST_BYTES = 4096,
	KEPT_BYTES = 256 << 10, /* of a result */
	GZIP_BITS = 15 + 16,    /* "add 16 to windowBits to write a simple gzip header" */
	ZLIB_BITS = 15,         /* "deflate" is zlib's format (RFC 1950), as HTTP has it */
	LEVEL = 6,
	MEM_LEVEL = 8,
};

struct room {
	char *p;
	size_t cap;
};

struct local {
	struct tako__worker_local base;
	z_stream inflater;
	z_stream deflaters[2];
	bool has_inflater;
	bool has_deflater[2];
	struct room in;
	struct room out;
};

/* ---- Names --------------------------------------------------------------------------- */

unsigned tako__grpc_coding(tako_str name)
{
	if (tako_str_ieq(name, TAKO_STR("identity")))
		return TAKO__GRPC_IDENTITY;
	if (tako_str_ieq(name, TAKO_STR("gzip")))
		return TAKO_GRPC_GZIP;
	return tako_str_ieq(name, TAKO_STR("deflate")) ? TAKO_GRPC_DEFLATE
	                                               : TAKO__GRPC_UNKNOWN_CODING;
}

const char *tako__grpc_coding_name(unsigned coding)
{
	return coding == TAKO_GRPC_GZIP ? "gzip" : "deflate";
}

/* ---- A worker's streams ---------------------------------------------------------------- */

static void *get(void *arg, unsigned count, unsigned each)
{
	size_t bytes = (size_t)count * each + BLOCK_HEAD_BYTES;
	char *p = tako__alloc(bytes);

	(void)arg;
	if (!p)
		return NULL;
	memcpy(p, &bytes, sizeof bytes);
	return p + BLOCK_HEAD_BYTES;
}

static void put(void *arg, void *p)
{
	char *block = (char *)p - BLOCK_HEAD_BYTES;
	size_t bytes;

	(void)arg;
	memcpy(&bytes, block, sizeof bytes);
	tako__free(block, bytes);
}

static void local_free(struct tako__worker_local *base)
{
	struct local *l = (struct local *)base;

	if (l->has_inflater)
		(void)inflateEnd(&l->inflater);
	for (int i = 0; i < 2; i++) {
		if (l->has_deflater[i])
			(void)deflateEnd(&l->deflaters[i]);
	}
	tako__free(l->in.p, l->in.cap);
	tako__free(l->out.p, l->out.cap);
	tako__free(l, sizeof *l);
}

static struct local *local(struct tako__worker *w)
{
	struct local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = tako__zalloc(sizeof *l);
	if (!l)
		return NULL;
	tako__worker_keep(w, &l->base, local_free);
	return l;
}

static z_stream *inflater(struct local *l, unsigned coding)
{
	int bits = coding == TAKO_GRPC_GZIP ? GZIP_BITS : ZLIB_BITS;

	if (l->has_inflater)
		return inflateReset2(&l->inflater, bits) == Z_OK ? &l->inflater : NULL;
	l->inflater.zalloc = get;
	l->inflater.zfree = put;
	l->has_inflater = inflateInit2(&l->inflater, bits) == Z_OK;
	return l->has_inflater ? &l->inflater : NULL;
}

static z_stream *deflater(struct local *l, unsigned coding)
{
	int i = coding == TAKO_GRPC_GZIP;
	z_stream *z = &l->deflaters[i];

	if (l->has_deflater[i])
		return deflateReset(z) == Z_OK ? z : NULL;
	z->zalloc = get;
	z->zfree = put;
	l->has_deflater[i] = deflateInit2(z, LEVEL, Z_DEFLATED, i ? GZIP_BITS : ZLIB_BITS,
	                                  MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
	return l->has_deflater[i] ? z : NULL;
}

static int enlarge(struct room *r, size_t cap)
{
	char *grown = tako__resize(r->p, r->cap, cap);

	if (!grown)
		return TAKO_ENOMEM;
	r->p = grown;
	r->cap = cap;
	return 0;
}

/* A large one is not kept for ever. */
static void shrink(struct room *r)
{
	if (r->cap <= KEPT_BYTES)
		return;
	tako__free(r->p, r->cap);
	*r = (struct room){NULL, 0};
}

/* zlib counts in unsigned ints, which the longest message fits in; its results may not. */
static uInt some(size_t n)
{
	return n > UINT_MAX ? UINT_MAX : (uInt)n;
}

static void give_in(z_stream *z, tako_str in)
{
	z->next_in = (Bytef *)(uintptr_t)in.p;
	z->avail_in = (uInt)in.n;
}

/* ---- In -------------------------------------------------------------------------------- */

/* A byte of room over the limit shows that it is passed, however much would follow: that is all that a
 * bomb is inflated to. */
static int make_room(struct room *r, size_t done, uint64_t limit)
{
	size_t cap = r->cap ? r->cap * 2 : FIRST_BYTES;

	if (done < r->cap)
		return 0;
	if (cap > limit && limit < SIZE_MAX)
		cap = (size_t)limit + 1;
	return cap > done ? enlarge(r, cap) : TAKO_ETOOBIG;
}

int tako__grpc_inflate(struct tako__worker *w, unsigned coding, tako_str in, uint64_t limit,
                       tako_str *ret)
{
	struct local *l = local(w);
	z_stream *z = l ? inflater(l, coding) : NULL;
	size_t done = 0;
	int end = Z_OK;

	if (!z)
		return TAKO_ENOMEM;
	shrink(&l->in);
	give_in(z, in);
	while (end != Z_STREAM_END) {
		int rc = make_room(&l->in, done, limit);
		uInt room;

		if (rc < 0)
			return rc;
		room = some(l->in.cap - done);
		z->next_out = (Bytef *)l->in.p + done;
		z->avail_out = room;
		end = inflate(z, Z_SYNC_FLUSH);
		done += room - z->avail_out;
		if (done > limit)
			return TAKO_ETOOBIG;
		if (end == Z_MEM_ERROR)
			return TAKO_ENOMEM;
		/* No progress with room to make some in: it is not whole. */
		if ((end != Z_OK && end != Z_STREAM_END) ||
		    (end == Z_OK && z->avail_out && !z->avail_in))
			return TAKO_EPROTO;
	}
	if (z->avail_in)
		return TAKO_EPROTO;
	*ret = (tako_str){done ? l->in.p : "", done};
	return 0;
}

/* ---- Out ------------------------------------------------------------------------------- */

int tako__grpc_deflate(struct tako__worker *w, unsigned coding, tako_str in, tako_str *ret)
{
	struct local *l = local(w);
	z_stream *z = l ? deflater(l, coding) : NULL;
	int end;

	*ret = (tako_str){"", 0};
	if (!z)
		return TAKO_ENOMEM;
	shrink(&l->out);
	if (l->out.cap < in.n && enlarge(&l->out, in.n) < 0)
		return TAKO_ENOMEM;
	give_in(z, in);
	/* What does not fit in as much as it was is not worth it. */
	z->next_out = (Bytef *)l->out.p;
	z->avail_out = (uInt)in.n;
	end = deflate(z, Z_FINISH);
	if (end == Z_STREAM_END && z->avail_out)
		*ret = (tako_str){l->out.p, in.n - z->avail_out};
	return 0;
}

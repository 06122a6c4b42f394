/* SPDX-License-Identifier: MIT
 *
 * See ws_deflate.h.
 */
#include "transports/ws/ws_deflate.h"

#include <string.h>

#include "core/base.h"

/* What ends every flush and is left out of every message (RFC 7692 section 7.2.1). */
static const char tail[4] = {0, 0, (char)0xff, (char)0xff};
enum { TAIL_BYTES = sizeof(tail) };

/* zlib counts in unsigned: what is longer goes in pieces. */
enum { PIECE_BYTES = 1 << 30 };

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

static unsigned char *bytes_of(const char *p)
{
	return (unsigned char *)(size_t)p; /* next_in is not const in all builds of zlib */
}

void tako__ws_deflate_init(struct tako__ws_deflate *d, struct tako__ws_zpool *pool,
                           const struct tako__ws_deflate_params *params)
{
	*d = (struct tako__ws_deflate){.pool = pool, .params = *params};
}

static void put_out(struct tako__ws_deflate *d)
{
	tako__ws_z_put_deflater(d->pool, d->out);
	d->out = NULL;
}

static void put_in(struct tako__ws_deflate *d)
{
	tako__ws_z_put_inflater(d->pool, d->in);
	d->in = NULL;
}

void tako__ws_deflate_fini(struct tako__ws_deflate *d)
{
	put_out(d);
	put_in(d);
}

/* ---- Out --------------------------------------------------------------------------- */

/* The last bytes there are so far, which may be the tail that is left out. */
struct held {
	char bytes[TAIL_BYTES];
	size_t n;
};

/* One call of deflate() into one room, behind what is held; all but the last bytes are written. */
static int deflate_some(z_stream *z, int flush, struct held *h, const struct tako__ws_sink *to)
{
	size_t room;
	size_t n;
	char *p = to->room(to->arg, &room);

	if (!p)
		return TAKO_ENOMEM;
	room = at_most(room, PIECE_BYTES);
	memcpy(p, h->bytes, h->n);
	z->next_out = bytes_of(p + h->n);
	z->avail_out = (unsigned)(room - h->n);
	/* Z_BUF_ERROR is for having had nothing left to do. */
	(void)deflate(z, flush);
	n = room - z->avail_out;
	h->n = at_most(n, TAIL_BYTES);
	memcpy(h->bytes, p + n - h->n, h->n);
	to->wrote(to->arg, n - h->n);
	return 0;
}

static int deflate_all(z_stream *z, const char *p, size_t n, const struct tako__ws_sink *to)
{
	struct held held = {.n = 0};

	while (n) {
		size_t piece = at_most(n, PIECE_BYTES);

		z->next_in = bytes_of(p);
		z->avail_in = (unsigned)piece;
		p += piece;
		n -= piece;
		do {
			int rc = deflate_some(z, n ? Z_NO_FLUSH : Z_SYNC_FLUSH, &held, to);

			if (rc < 0)
				return rc;
		} while (!z->avail_out);
	}
	return 0;
}

/* zlib has nothing to say about nothing; RFC 7692 section 7.2.3.6 has. */
static int deflate_nothing(const struct tako__ws_sink *to)
{
	size_t room;
	char *p = to->room(to->arg, &room);

	if (!p)
		return TAKO_ENOMEM;
	*p = 0;
	to->wrote(to->arg, 1);
	return 0;
}

int tako__ws_deflate(struct tako__ws_deflate *d, const char *p, size_t n,
                     const struct tako__ws_sink *to)
{
	int rc;

	if (!n)
		return deflate_nothing(to);
	if (!d->out)
		d->out = tako__ws_z_deflater(d->pool, d->params.server_bits, d->params.mem_level,
		                             d->params.level);
	if (!d->out)
		return TAKO_ENOMEM;
	rc = deflate_all(&d->out->z, p, n, to);
	if (d->params.server_no_context)
		put_out(d);
	return rc;
}

/* ---- In ------------------------------------------------------------------------------ */

/* What to do about an answer of inflate()'s. */
static int judge(z_stream *z, int rc)
{
	/* A block that says it is the last (RFC 7692 section 7.2.3.5): more follow, and they may refer to
	 * what came before it, so that the window stays. */
	if (rc == Z_STREAM_END)
		rc = inflateResetKeep(z);
	/* Z_BUF_ERROR: it had nothing to do. */
	if (rc == Z_OK || rc == Z_BUF_ERROR)
		return 0;
	return rc == Z_MEM_ERROR ? TAKO_ENOMEM : TAKO_EPROTO;
}

/* Full, and there may be more: room for one byte that nobody wants, to see whether it comes.  If it
 * does it came before whatever is wrong behind it, and is what the message is refused for however it
 * was cut. */
static int inflate_beyond(z_stream *z)
{
	unsigned char beyond;
	int rc;

	z->next_out = &beyond; /* cppcheck-suppress autoVariables */
	z->avail_out = 1;
	rc = inflate(z, Z_SYNC_FLUSH);
	return z->avail_out ? judge(z, rc) : TAKO_ETOOBIG;
}

/* One call of inflate(), within what the message may still become. */
static int inflate_some(struct tako__ws_deflate *d, uint64_t max_bytes,
                        const struct tako__ws_sink *to)
{
	z_stream *z = &d->in->z;
	uint64_t left = max_bytes - d->in_bytes;
	size_t room;
	char *p;
	int rc;

	if (!left)
		return inflate_beyond(z);
	p = to->room(to->arg, &room);
	if (!p)
		return TAKO_ENOMEM;
	room = at_most(room, PIECE_BYTES);
	if (room > left)
		room = (size_t)left;
	z->next_out = bytes_of(p);
	z->avail_out = (unsigned)room;
	rc = inflate(z, Z_SYNC_FLUSH);
	to->wrote(to->arg, room - z->avail_out);
	d->in_bytes += room - z->avail_out;
	return judge(z, rc);
}

static int inflate_piece(struct tako__ws_deflate *d, const char *p, size_t n, uint64_t max_bytes,
                         const struct tako__ws_sink *to)
{
	z_stream *z = &d->in->z;
	int rc;

	z->next_in = bytes_of(p);
	z->avail_in = (unsigned)n;
	/* Until all was taken and there was room left over, so that nothing can still be inside. */
	do {
		rc = inflate_some(d, max_bytes, to);
	} while (rc == 0 && (z->avail_in || !z->avail_out));
	return rc;
}

/* Put back what senders leave out; then a block must have ended, at a byte's border, or the message was
 * cut. */
static int end_message(struct tako__ws_deflate *d, uint64_t max_bytes,
                       const struct tako__ws_sink *to)
{
	int rc = inflate_piece(d, tail, TAIL_BYTES, max_bytes, to);

	if (rc < 0)
		return rc;
	/* zlib.h, inflate(): 128 after a block, and the bits of the last byte not used yet. */
	if ((d->in->z.data_type & ~64) != 128)
		return TAKO_EPROTO;
	d->in_bytes = 0;
	if (d->params.client_no_context)
		put_in(d);
	return 0;
}

int tako__ws_inflate(struct tako__ws_deflate *d, const char *p, size_t n, bool last,
                     uint64_t max_bytes, const struct tako__ws_sink *to)
{
	if (!d->in)
		d->in = tako__ws_z_inflater(d->pool, d->params.client_bits);
	if (!d->in)
		return TAKO_ENOMEM;
	while (n) {
		size_t piece = at_most(n, PIECE_BYTES);
		int rc = inflate_piece(d, p, piece, max_bytes, to);

		if (rc < 0)
			return rc;
		p += piece;
		n -= piece;
	}
	return last ? end_message(d, max_bytes, to) : 0;
}

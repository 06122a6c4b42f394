/* SPDX-License-Identifier: MIT
 *
 * Responses as HTTP/3 has them (RFC 9114 section 4): fields compressed at once, since what is
 * compressed without a table depends on nothing that comes before or after; bodies queued as one
 * DATA frame for each piece that is written, a file being one piece.
 */
#include "core/date.h"
#include "core/res.h"
#include "core/str.h"
#include "transports/h3/h3.h"

enum {
	HEAD_ROOM_BYTES = 3072, /* a head that takes no more is written where it is queued */
	/* Frame head, prefix, status, Date, Content-Length, and Server without its value. */
	FIXED_BYTES = 144,
	HEAD_BYTES_MAX = 1 << 20,
	FRAME_HEAD_BYTES = 1 + 4, /* of HEADERS below 2^30 */
};

static bool is_closed(const struct tako__h3_stream *s)
{
	return s->flags & (TAKO__H3S_CLOSED | TAKO__H3S_CUT);
}

/* ---- Field sections --------------------------------------------------------------------------- */

static size_t room_for(const struct tako__exchange *x, const struct tako__field *f, unsigned count)
{
	size_t n = FIXED_BYTES + strlen(x->worker->srv->cfg.server_header);

	for (unsigned i = 0; i < count; i++)
		n += (size_t)f[i].name_n + f[i].value_n + TAKO__H3_LINE_BYTES;
	return n;
}

static size_t put_fields(char *to, const struct tako__field *f, unsigned count)
{
	size_t n = 0;

	for (unsigned i = 0; i < count; i++)
		n += tako__h3_qpack_line(to + n, f[i].name, f[i].name_n, f[i].value, f[i].value_n);
	return n;
}

static size_t put_line(char *to, const char *name, const char *value, size_t value_n)
{
	return tako__h3_qpack_line(to, name, strlen(name), value, value_n);
}

/* … unless the user has set his own. */
static size_t put_common(char *to, const struct tako__exchange *x)
{
	const char *server = x->worker->srv->cfg.server_header;
	tako_str common = tako__worker_common(x->worker);
	size_t n = 0;

	if (!(x->flags & TAKO__X_HAS_DATE))
		n += put_line(to, "date", common.p + x->worker->date_off, TAKO__DATE_BYTES);
	if (!(x->flags & TAKO__X_HAS_SERVER) && server[0])
		n += put_line(to + n, "server", server, strlen(server));
	return n;
}

static size_t put_length(char *to, const struct tako__exchange *x)
{
	char length[TAKO__U64_CHARS];

	if ((x->flags & TAKO__X_NO_BODY) || x->res_length == TAKO_OFF64)
		return 0;
	return put_line(to, "content-length", length, tako__format_u64(length, x->res_length));
}

/* What is written behind FRAME_HEAD_BYTES moves up to its frame's head. */
static size_t frame_section(char *at, size_t n)
{
	char head[TAKO__H3_HEAD_BYTES];
	size_t head_n = tako__h3_frame_write(head, TAKO__H3_HEADERS, n);

	memcpy(at, head, head_n);
	memmove(at + head_n, at + FRAME_HEAD_BYTES, n);
	return head_n + n;
}

/* Where a section of up to `bytes` is written: in the queue itself, or in a buffer that *ret_own says
 * is to be copied and freed. */
static char *section_room(struct tako__h3_stream *s, size_t bytes, bool *ret_own)
{
	*ret_own = bytes > HEAD_ROOM_BYTES;
	if (bytes > HEAD_BYTES_MAX)
		return NULL;
	return *ret_own ? tako__alloc(bytes) : tako__h3_queue_reserve(&s->out, bytes);
}

static int section_done(struct tako__h3_stream *s, char *at, size_t n, bool own, size_t bytes)
{
	int rc = 0;

	n = frame_section(at, n);
	if (own) {
		rc = tako__h3_queue_copy(&s->out, at, n);
		tako__free(at, bytes);
	} else {
		tako__h3_queue_commit(&s->out, n);
	}
	tako__h3_send_ready(s);
	return rc;
}

/* ---- Heads ---------------------------------------------------------------------------------------- */

static int write_section(struct tako__exchange *x, int status, const struct tako__field *f,
                         unsigned count, bool is_final)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	size_t bytes = room_for(x, f, count);
	bool own;
	char *at = section_room(s, bytes, &own);
	char *to;

	if (!at)
		return TAKO_ENOMEM;
	to = at + FRAME_HEAD_BYTES;
	to += tako__h3_qpack_prefix(to);
	if (status)
		to += tako__h3_qpack_status(to, status);
	if (is_final)
		to += put_common(to, x);
	to += put_fields(to, f, count);
	if (is_final)
		to += put_length(to, x);
	return section_done(s, at, (size_t)(to - at) - FRAME_HEAD_BYTES, own, bytes);
}

int tako__h3_write_head(struct tako__exchange *x)
{
	if (is_closed(tako__h3_stream_of(x)))
		return TAKO_ECLOSED;
	return write_section(x, x->status, x->res_fields, x->res_field_count, true);
}

int tako__h3_write_inform(struct tako__exchange *x, int status)
{
	if (is_closed(tako__h3_stream_of(x)))
		return TAKO_ECLOSED;
	return write_section(x, status, x->res_fields, status == 100 ? 0 : x->res_field_count,
	                     false);
}

/* RFC 9220 section 3: success is all there is to say. */
int tako__h3_take(struct tako__exchange *x, const char *protocol)
{
	(void)protocol;
	x->status = 200;
	return tako__exchange_head(x);
}

/* ---- Bodies ------------------------------------------------------------------------------------------ */

static int begin_data(struct tako__h3_stream *s, uint64_t n)
{
	char *to = tako__h3_queue_reserve(&s->out, TAKO__H3_HEAD_BYTES);

	if (!to)
		return TAKO_ENOMEM;
	tako__h3_queue_commit(&s->out, tako__h3_frame_write(to, TAKO__H3_DATA, n));
	return 0;
}

int tako__h3_write_data(struct tako__exchange *x, const char *p, size_t n)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	int rc;

	if (!n)
		return 0;
	if (is_closed(s))
		return TAKO_ECLOSED;
	rc = begin_data(s, n);
	if (rc == 0)
		rc = tako__h3_queue_copy(&s->out, p, n);
	tako__h3_send_ready(s);
	return rc;
}

int tako__h3_write_lend(struct tako__exchange *x, struct tako_send *op)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	int rc = is_closed(s) ? TAKO_ECLOSED : 0;

	if (rc == 0 && op->n)
		rc = begin_data(s, op->n);
	/* In any case: it must complete, later, and does when the stream is given up. */
	tako__h3_queue_lend(&s->out, op);
	if (rc < 0)
		tako__h3_stream_later(s);
	else
		tako__h3_send_ready(s);
	return rc;
}

int tako__h3_write_end(struct tako__exchange *x)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	int rc = 0;

	if (is_closed(s))
		return TAKO_ECLOSED;
	if (x->res_trailer_count && !(x->flags & (TAKO__X_HEAD_ONLY | TAKO__X_NO_BODY)))
		rc = write_section(x, 0, x->res_trailers, x->res_trailer_count, false);
	if (rc == 0)
		s->flags |= TAKO__H3S_ENDED;
	tako__h3_send_ready(s);
	return rc;
}

uint64_t tako__h3_unsent(const struct tako__exchange *x)
{
	return tako__h3_stream_of(x)->out.unsent_bytes;
}

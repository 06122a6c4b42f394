/* SPDX-License-Identifier: MIT
 *
 * A file as a response: 200, 206 in one part or several, 304, 412 or 416.  Decides nothing
 * about which file it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/cold.h"
#include "core/date.h"
#include "core/res.h"
#include "core/static.h"
#include "core/static_range.h"
#include "core/str.h"
#include "core/worker.h"

enum {
	/* Up to here a file is read and leaves with its head in one send.  Measured: 1 us less
	 * than a sendfile(2) of its own at 1 KiB, the same at 8, 3 us more at 16, 8 us at 32. */
	READ_BYTES_MAX = 8 << 10,
};

#define MULTIPART "multipart/byteranges; boundary="

/* A response under way; lives in the exchange's arena, as its fields point into it. */
struct reply {
	struct tako__exchange *x;
	const struct tako__static *s;
	struct tako__static_file *f;
	char modified[TAKO__DATE_BYTES];
	char range[TAKO__CONTENT_RANGE_BYTES];
	char type[sizeof(MULTIPART) - 1 + TAKO__BOUNDARY_BYTES];
	struct tako__parts parts;
};

/* ---- Fields --------------------------------------------------------------------------- */

static int add(struct reply *r, tako_str name, tako_str value)
{
	return value.p ? tako__exchange_add_field(r->x, name, value) : 0;
}

/* What a 304 has too (RFC 9110 section 15.4.5). */
static int add_caching(struct reply *r)
{
	struct tako__static_file *f = r->f;
	int rc = add(r, TAKO_STR("ETag"), (tako_str){f->v.etag, f->v.etag_n});

	if (rc == 0)
		rc = add(r, TAKO_STR("Cache-Control"), r->s->cache_control);
	if (rc == 0 && f->negotiated)
		rc = add(r, TAKO_STR("Vary"), TAKO_STR("Accept-Encoding"));
	return rc;
}

static int add_content(struct reply *r, tako_str type, tako_str encoding)
{
	bool ranges = r->s->max_range_count > 0;
	int rc = 0;

	if (!(r->x->flags & TAKO__X_HAS_TYPE))
		rc = add(r, TAKO_STR("Content-Type"), type);
	if (rc == 0)
		rc = add(r, TAKO_STR("Content-Encoding"), encoding);
	if (rc == 0)
		rc = add(r, TAKO_STR("Last-Modified"), (tako_str){r->modified, TAKO__DATE_BYTES});
	if (rc == 0)
		rc = add(r, TAKO_STR("Accept-Ranges"),
		         ranges ? TAKO_STR("bytes") : TAKO_STR("none"));
	/* The type is what the extension says, not what a browser thinks it sees. */
	if (rc == 0)
		rc = add(r, TAKO_STR("X-Content-Type-Options"), TAKO_STR("nosniff"));
	return rc;
}

/* Status and all fields but Content-Range; on failure none are left for the error's answer. */
static int begin(struct reply *r, int status, tako_str type, tako_str encoding)
{
	uint32_t count = r->x->res_field_count;
	int rc = tako_res_status(tako__res(r->x), status);

	tako__date_format(r->modified, r->f->v.modified_s);
	if (rc == 0)
		rc = add_caching(r);
	if (rc == 0 && status != 304)
		rc = add_content(r, type, encoding);
	if (rc < 0)
		r->x->res_field_count = count;
	return rc;
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static int write_copy(struct reply *r, const char *p, size_t n)
{
	int64_t queued = tako_res_write(tako__res(r->x), (tako_str){p, n}, NULL, NULL);

	return queued < 0 ? (int)queued : 0;
}

/* The bytes of a range.  What is lent closes its descriptor, so each has one. */
static int write_lent(struct reply *r, const struct tako__range *range)
{
	int fd = fcntl(r->f->fd, F_DUPFD_CLOEXEC, 0);
	uint32_t refs = r->x->refs;
	int rc;

	if (fd < 0)
		return tako__fail_errno("static file: dup");
	rc = tako__res_lend_file(r->x, fd, range->first, range->n);
	if (r->x->refs == refs)
		close(fd);
	return rc;
}

/* The same through a buffer, as far as it is in memory.  A file that has shrunk meanwhile is an
 * error: what was announced cannot be kept. */
static int write_read(struct reply *r, const struct tako__range *range)
{
	char buf[READ_BYTES_MAX];
	uint64_t at = range->first;
	uint64_t left = range->n;
	int rc = 0;

	while (rc == 0 && left > 0) {
		size_t want = left < sizeof(buf) ? (size_t)left : sizeof(buf);
		ssize_t got = tako__file_read(r->f->fd, buf, want, (int64_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (TAKO__UNLIKELY(got < 0 && errno == EAGAIN)) {
			/* Whoever sends it knows how to wait for a disk. */
			rc = write_copy(r, "", 0);
			return rc < 0 ? rc : write_lent(r, &(struct tako__range){at, left});
		}
		if (got < 0)
			return tako__fail_errno("static file: pread");
		if (got == 0)
			return tako__fail(TAKO_ESYS, "static file: shorter than it was");
		rc = write_copy(r, buf, (size_t)got);
		at += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return rc;
}

/* ---- Whole, or one range --------------------------------------------------------------------- */

static int send_read(struct reply *r, const struct tako__range *range)
{
	tako_res *res = tako__res(r->x);
	int rc = tako_res_length(res, range->n);

	if (rc == 0 && !(r->x->flags & TAKO__X_HEAD_ONLY))
		rc = write_read(r, range);
	close(r->f->fd);
	return rc == 0 ? tako_res_end(res) : rc;
}

static int send_span(struct reply *r, int status, const struct tako__range *range)
{
	uint32_t count = r->x->res_field_count;
	int rc = begin(r, status, tako_str_z(r->f->mime->type), r->f->encoding);

	if (rc == 0 && status == 206) {
		size_t n = tako__content_range(r->range, range, (uint64_t)r->f->st.st_size);

		rc = add(r, TAKO_STR("Content-Range"), (tako_str){r->range, n});
	}
	if (rc < 0)
		close(r->f->fd);
	else if (range->n <= READ_BYTES_MAX)
		rc = send_read(r, range);
	else
		rc = tako_res_send_fd(tako__res(r->x), r->f->fd, range->first, range->n);
	/* Its error's answer is none of the file's. */
	if (rc < 0 && !(r->x->flags & TAKO__X_HEAD_SENT))
		r->x->res_field_count = count;
	return rc;
}

/* ---- Several ranges ----------------------------------------------------------------------------- */

/* Unpredictable, so that no file can be made to hold it. */
static int make_boundary(char to[TAKO__BOUNDARY_BYTES])
{
	unsigned char random[TAKO__BOUNDARY_BYTES / 2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return tako__fail_errno("static file: getrandom");
	tako__hex_encode(to, random, sizeof(random));
	return 0;
}

/* The text between ranges, as the length of all has to be known first: heads[count] is the tail.
 * Returns the length of the whole body, 0 without memory. */
static uint64_t make_heads(struct reply *r, const struct tako__range *ranges, unsigned count,
                           tako_str *heads)
{
	char *to = tako__arena_alloc(&r->x->arena, tako__part_bytes_max(&r->parts) * (count + 1));
	uint64_t total = 0;

	if (!to)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		heads[i] = (tako_str){to, tako__part_head(to, &r->parts, &ranges[i], i == 0)};
		to += heads[i].n;
		total += heads[i].n + ranges[i].n;
	}
	heads[count] = (tako_str){to, tako__part_tail(to, &r->parts)};
	return total + heads[count].n;
}

static int write_parts(struct reply *r, const struct tako__range *ranges, unsigned count,
                       const tako_str *heads)
{
	for (unsigned i = 0; i < count; i++) {
		int rc = write_copy(r, heads[i].p, heads[i].n);

		if (rc == 0 && ranges[i].n <= READ_BYTES_MAX)
			rc = write_read(r, &ranges[i]);
		else if (rc == 0)
			rc = write_lent(r, &ranges[i]);
		if (rc < 0)
			return rc;
	}
	return write_copy(r, heads[count].p, heads[count].n);
}

static int begin_parts(struct reply *r, const struct tako__range *ranges, unsigned count,
                       tako_str *heads)
{
	uint64_t total;
	int rc;

	r->parts.type = tako_str_z(r->f->mime->type);
	r->parts.encoding = r->f->encoding;
	r->parts.size = (uint64_t)r->f->st.st_size;
	rc = make_boundary(r->parts.boundary);
	if (rc < 0)
		return rc;
	total = make_heads(r, ranges, count, heads);
	if (!total)
		return tako__fail(TAKO_ENOMEM, "static file: out of memory");
	memcpy(r->type, MULTIPART, sizeof(MULTIPART) - 1);
	memcpy(r->type + sizeof(MULTIPART) - 1, r->parts.boundary, TAKO__BOUNDARY_BYTES);
	rc = begin(r, 206, (tako_str){r->type, sizeof(r->type)}, (tako_str){NULL, 0});
	return rc < 0 ? rc : tako_res_length(tako__res(r->x), total);
}

static int send_parts(struct reply *r, const struct tako__range *ranges, unsigned count)
{
	tako_str heads[TAKO__RANGES_MAX + 1];
	int rc = begin_parts(r, ranges, count, heads);

	if (rc == 0)
		rc = write_parts(r, ranges, count, heads);
	close(r->f->fd);
	return rc == 0 ? tako_res_end(tako__res(r->x)) : rc;
}

/* ---- Which of them ------------------------------------------------------------------------------- */

static int send_not_modified(struct reply *r)
{
	int rc = begin(r, 304, (tako_str){NULL, 0}, (tako_str){NULL, 0});

	close(r->f->fd);
	return rc == 0 ? tako_res_send(tako__res(r->x), 304, NULL, (tako_str){NULL, 0}) : rc;
}

static int send_unsatisfiable(struct reply *r)
{
	int rc;

	close(r->f->fd);
	tako__content_range(r->range, NULL, (uint64_t)r->f->st.st_size);
	rc = tako_res_set_header(tako__res(r->x), "Content-Range", r->range);
	return rc == 0 ? tako_res_error(tako__res(r->x), 416) : rc;
}

static int send_selected(struct reply *r, const struct tako__conditions *c, int64_t now_s)
{
	struct tako__range ranges[TAKO__RANGES_MAX];
	uint64_t size = (uint64_t)r->f->st.st_size;
	int count = 0;

	/* RFC 9110 section 14.2: Range has no meaning for other methods, HEAD included. */
	if (r->x->method_id == TAKO__GET && tako__conditions_range(c, &r->f->v, now_s))
		count = tako__range_parse(c->value[TAKO__RANGE], size, ranges,
		                          r->s->max_range_count);
	if (count < 0)
		return send_unsatisfiable(r);
	if (count > 1)
		return send_parts(r, ranges, (unsigned)count);
	if (count == 1)
		return send_span(r, 206, &ranges[0]);
	return send_span(r, 200, &(struct tako__range){0, size});
}

/* The time that the response's Date will show, so that Last-Modified cannot be later. */
static int64_t date_s(struct tako__worker *w)
{
	tako_str common = tako__worker_common(w);
	int64_t now_s = 0;

	(void)tako__date_parse(common.p + w->date_off, TAKO__DATE_BYTES, 0, &now_s);
	return now_s;
}

int tako__static_send(struct tako__exchange *x, const struct tako__static *s,
                      struct tako__static_file *f, const struct tako__conditions *c)
{
	struct reply *r = tako__arena_alloc(&x->arena, sizeof(*r));
	int64_t now_s = date_s(x->worker);

	if (!r) {
		close(f->fd);
		return tako__fail(TAKO_ENOMEM, "static file: out of memory");
	}
	*r = (struct reply){.x = x, .s = s, .f = f};
	tako__validators_init(&f->v, &f->st, f->encoding, now_s);
	switch (tako__conditions_check(c, &f->v, now_s)) {
	case TAKO__COND_NOT_MODIFIED:
		return send_not_modified(r);
	case TAKO__COND_FAILED:
		close(f->fd);
		return tako_res_error(tako__res(x), 412);
	case TAKO__COND_PASS:
		break;
	}
	return send_selected(r, c, now_s);
}

/* SPDX-License-Identifier: MIT
 *
 * What the user of a fetch may ask of it, from inside its callbacks or from another one's.  Nothing here
 * calls back.
 */
#include "core/base.h"
#include "core/exchange.h"
#include "transports/client/client_int.h"

tako_res *tako_fetch_res(const tako_fetch *f)
{
	return f->x ? tako__res(f->x) : NULL;
}

/* ---- The request's body ----------------------------------------------------------------- */

uint64_t tako_fetch_unsent(const tako_fetch *f)
{
	if (!f->cfg.stream)
		return 0;
	return f->held.n + (f->flowing && f->conn ? f->carrier->unsent(f) : 0);
}

static int may_write(const tako_fetch *f, size_t n)
{
	if (f->mailed)
		return TAKO_ECLOSED;
	if (!f->cfg.stream || f->finished)
		return tako__fail(TAKO_ESTATE, "fetch: no stream, or one that is finished");
	if (!f->chunked && n > f->body_left)
		return tako__fail(TAKO_EINVAL, "fetch: more than stream_bytes");
	return 0;
}

int64_t tako_fetch_write(tako_fetch *f, tako_str data)
{
	uint64_t high = f->client->cfg.write_high_bytes;
	uint64_t max = tako__unsent_max(high);
	uint64_t unsent = tako_fetch_unsent(f);
	int rc = may_write(f, data.n);

	if (rc < 0)
		return rc;
	if (!data.n)
		return (int64_t)unsent;
	if (unsent > max || data.n > max - unsent)
		return tako__fail(TAKO_EBUSY, "fetch: %llu bytes are unsent, where %llu may be",
		                  (unsigned long long)unsent, (unsigned long long)max);
	rc = f->flowing ? f->carrier->data(f, data.p, data.n)
	                : tako__client_buf_add(&f->held, data.p, data.n);
	if (rc < 0) {
		/* Some of it may be on its way. */
		if (f->flowing)
			tako_fetch_cancel(f);
		return rc;
	}
	f->handed |= f->flowing;
	if (!f->chunked)
		f->body_left -= data.n;
	unsent += data.n;
	if (unsent >= high)
		f->high = true;
	return (int64_t)unsent;
}

int tako_fetch_finish(tako_fetch *f)
{
	int rc = may_write(f, 0);

	if (rc == 0 && !f->chunked && f->body_left)
		rc = tako__fail(TAKO_EINVAL, "fetch: less than stream_bytes");
	if (rc < 0)
		return rc;
	f->finished = true;
	f->high = false;
	if (f->flowing)
		rc = f->carrier->finish(f);
	if (rc < 0)
		tako_fetch_cancel(f);
	return rc;
}

/* ---- The response ------------------------------------------------------------------------- */

int tako_fetch_status(const tako_fetch *f)
{
	return f->has_status ? f->reply.status : 0;
}

int tako_fetch_version(const tako_fetch *f)
{
	return f->has_status ? 10 + f->reply.minor : 0;
}

static tako_str value_of(const struct tako__field *fields, unsigned count, const char *name)
{
	tako_str n = tako_str_z(name);
	const struct tako__field *f = n.p ? tako__field_find(fields, count, n.p, n.n) : NULL;

	return f ? (tako_str){f->value, f->value_n} : (tako_str){NULL, 0};
}

tako_str tako_fetch_header(const tako_fetch *f, const char *name)
{
	return value_of(f->reply.fields, f->has_status ? f->reply.field_count : 0, name);
}

bool tako_fetch_header_at(const tako_fetch *f, size_t i, tako_str *name, tako_str *value)
{
	const struct tako__field *at = &f->reply.fields[i];

	if (!f->has_status || i >= f->reply.field_count)
		return false;
	*name = (tako_str){at->name, at->name_n};
	*value = (tako_str){at->value, at->value_n};
	return true;
}

tako_str tako_fetch_trailer(const tako_fetch *f, const char *name)
{
	return value_of(f->trailers, f->trailer_count, name);
}

uint64_t tako_fetch_content_length(const tako_fetch *f)
{
	return f->has_status ? f->reply.length : TAKO_OFF64;
}

tako_str tako_fetch_redirected(const tako_fetch *f)
{
	return f->redirected;
}

tako_str tako_fetch_body(const tako_fetch *f)
{
	if (f->cfg.on_data || !f->has_status)
		return (tako_str){NULL, 0};
	return (tako_str){f->whole.n ? f->whole.p : "", f->whole.n};
}

const char *tako_fetch_why(const tako_fetch *f)
{
	return f->why;
}

void tako_fetch_pause(tako_fetch *f)
{
	if (f->paused || f->mailed)
		return;
	f->paused = true;
	if (f->conn)
		f->carrier->flow(f);
}

void tako_fetch_resume(tako_fetch *f)
{
	if (!f->paused || f->mailed)
		return;
	f->paused = false;
	if (f->conn)
		f->carrier->flow(f);
}

/* SPDX-License-Identifier: MIT
 *
 * Responses, as their bytes come.  What is of no use yet is kept: part of a head or of trailers, which are only
 * understood whole, and what came while the fetch is paused.
 */
#include <string.h>

#include "core/base.h"
#include "transports/client/client_h1.h"

/* What one look came to. */
enum look { STOP, GO_ON };

/* Does c still carry the request that was its `id`th?  That fetch may be gone, and another one where it was. */
static bool has(struct tako__conn *c, uint64_t id)
{
	return tako__client_h1_of(c)->f && c->request_count == id;
}

/* What one of the fetch's functions has returned. */
static enum look judge(struct tako__conn *c, uint64_t id, int rc)
{
	if (!has(c, id))
		return STOP;
	if (rc < 0)
		tako__client_h1_fail(c, rc, NULL);
	return rc < 0 ? STOP : GO_ON;
}

static struct tako__h1_limits limits_of(const struct tako_fetch *f)
{
	const tako_client_config *cfg = &f->client->cfg;

	return (struct tako__h1_limits){cfg->max_header_bytes, cfg->max_header_bytes,
	                                cfg->max_header_count};
}

static enum look read_head(struct tako__conn *c, struct tako_fetch *f, const char *p, size_t n,
                           size_t *used)
{
	const struct tako__h1_limits lim = limits_of(f);
	uint64_t id = c->request_count;
	int rc;

	f->reply.fields = f->pool->scratch;
	rc = tako__reply_parse(&f->reply, p, n, f->scanned, f->method, &lim);
	if (rc < 0) {
		tako__client_h1_fail(c, rc, f->reply.why);
		return STOP;
	}
	if (rc == 0) {
		f->scanned = (uint32_t)n;
		return STOP;
	}
	f->scanned = 0;
	*used = (size_t)rc;
	rc = tako__fetch_head(f, p, (size_t)rc);
	return judge(c, id, rc);
}

static enum look read_trailers(struct tako__conn *c, struct tako_fetch *f, const char *p, size_t n,
                               size_t *used)
{
	const struct tako__h1_limits lim = limits_of(f);
	struct tako__h1_trailers t = {.fields = f->pool->scratch};
	uint64_t id = c->request_count;
	int rc = tako__h1_trailers_parse(&t, p, n, f->scanned, &lim);

	if (rc < 0) {
		tako__client_h1_fail(c, rc == -431 ? TAKO_ETOOBIG : TAKO_EPROTO, t.why);
		return STOP;
	}
	if (rc == 0) {
		f->scanned = (uint32_t)n;
		return STOP;
	}
	*used = (size_t)rc;
	rc = tako__fetch_trailers(f, &t, p, (size_t)rc);
	if (judge(c, id, rc) == GO_ON)
		tako__client_h1_complete(c, *used == n);
	return STOP;
}

static enum look read_body(struct tako__conn *c, struct tako_fetch *f, const char *p, size_t n,
                           size_t *used)
{
	uint64_t id = c->request_count;
	const char *why = NULL;
	tako_str data;
	int rc = tako__reply_body_feed(&f->body, p, n, used, &data, &why);

	switch (rc) {
	case TAKO__REPLY_MORE:
		return STOP;
	case TAKO__REPLY_DATA:
		rc = tako__fetch_data(f, data);
		return judge(c, id, rc);
	case TAKO__REPLY_TRAILERS:
		f->stage = TAKO__FETCH_TRAILERS;
		return GO_ON;
	case TAKO__REPLY_END:
		tako__client_h1_complete(c, *used == n);
		return STOP;
	default:
		tako__client_h1_fail(c, rc, why);
		return STOP;
	}
}

static enum look look(struct tako__conn *c, struct tako_fetch *f, const char *p, size_t n,
                      size_t *used)
{
	switch (f->stage) {
	case TAKO__FETCH_HEAD:
		return read_head(c, f, p, n, used);
	case TAKO__FETCH_BODY:
		return read_body(c, f, p, n, used);
	default:
		return read_trailers(c, f, p, n, used);
	}
}

/* Take what can be taken of p[0..n); returns how much. */
static size_t eat(struct tako__conn *c, const char *p, size_t n)
{
	struct tako_fetch *f = tako__client_h1_of(c)->f;
	uint64_t id = c->request_count;
	size_t at = 0;
	enum look next = GO_ON;

	while (next == GO_ON && has(c, id) && !f->paused) {
		size_t used = 0;

		next = look(c, f, p + at, n - at, &used);
		at += used;
	}
	return at;
}

static void keep(struct tako__conn *c, const char *p, size_t n)
{
	if (tako__client_buf_add(&tako__client_h1_of(c)->stash, p, n) < 0)
		tako__client_h1_fail(c, TAKO_ENOMEM, NULL);
}

void tako__client_h1_go_on(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	uint64_t id = c->request_count;
	size_t used = eat(c, h->stash.p, h->stash.n);

	if (!has(c, id))
		return;
	if (used) {
		h->stash.n -= used;
		memmove(h->stash.p, h->stash.p + used, h->stash.n);
	}
	if (h->base.ended && !h->f->paused)
		tako__client_h1_end(c);
}

void tako__client_h1_take(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	uint64_t id = c->request_count;
	size_t used;

	h->f->heard = true;
	if (h->stash.n) {
		keep(c, p, n);
		if (has(c, id))
			tako__client_h1_go_on(c);
		return;
	}
	used = eat(c, p, n);
	if (has(c, id) && used < n)
		keep(c, p + used, n - used);
}

void tako__client_h1_end(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	struct tako_fetch *f = h->f;

	h->base.ended = true;
	if (f->paused || h->base.resumed)
		return;
	/* RFC 9112 section 9.8: over TLS somebody on the way could have ended it. */
	if (f->stage == TAKO__FETCH_BODY && tako__reply_body_ends(&f->body) &&
	    (!c->top || (c->flags & TAKO__CONN_SAID_END)))
		tako__client_h1_complete(c, false);
	else
		tako__client_h1_fail(c, TAKO_ECLOSED,
		                     f->stage != TAKO__FETCH_HEAD
		                             ? "closed before the end of the body"
		                     : f->heard ? "closed in the middle of the head"
		                                : "closed without a response");
}

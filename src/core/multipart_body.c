/* SPDX-License-Identifier: MIT
 *
 * tako_req_multipart(): a request's body through the multipart parser, as it streams in.
 * Keeps no contents; what it holds of a body is one part's head.
 */
#include "core/exchange.h"
#include "core/multipart.h"

enum {
	PART_BYTES = 1 << 20,
	PART_COUNT = 100,
	HEAD_BYTES = 8192,
	/* It is allocated as one block, for every such body. */
	HEAD_BYTES_MAX = 1 << 20,
};

struct body {
	tako_req *req;
	tako_multipart_config cfg;
	void *arg;
	struct tako__multipart parser;
};

/* The parser would stop at any other value, ours only at errors. */
static int only_errors(int rc)
{
	return rc < 0 ? rc : 0;
}

static int on_part(const tako_part *part, void *arg)
{
	struct body *b = arg;

	return b->cfg.on_part ? only_errors(b->cfg.on_part(b->req, part, b->arg)) : 0;
}

static int on_data(tako_str data, bool end, void *arg)
{
	struct body *b = arg;

	return b->cfg.on_data ? only_errors(b->cfg.on_data(b->req, data, end, b->arg)) : 0;
}

/* Not yet: an answer before the end of the body would cost the connection. */
static int on_last_delimiter(void *arg)
{
	(void)arg;
	return 0;
}

static const struct tako__multipart_cb callbacks = {on_part, on_data, on_last_delimiter};

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct body *b = arg;
	int rc = tako__multipart_feed(&b->parser, data.p, data.n);

	if (rc == 0 && end) {
		rc = tako__multipart_finish(&b->parser);
		if (rc == 0)
			rc = b->cfg.on_done(req, res, b->arg);
	}
	return rc;
}

static int import(tako_multipart_config *out, const tako_multipart_config *cfg)
{
	int rc = tako__import(out, sizeof(*out), cfg, sizeof(*out), "tako_multipart_config");

	if (rc < 0)
		return rc;
	if (!out->on_done)
		return tako__fail(TAKO_EINVAL, "multipart: without on_done nobody would answer");
	if (!out->max_part_bytes)
		out->max_part_bytes = PART_BYTES;
	if (!out->max_part_count)
		out->max_part_count = PART_COUNT;
	if (!out->max_part_head_bytes)
		out->max_part_head_bytes = HEAD_BYTES;
	if (out->max_part_head_bytes > HEAD_BYTES_MAX)
		return tako__fail(TAKO_EINVAL, "multipart: max_part_head_bytes is over %d",
		                  HEAD_BYTES_MAX);
	return 0;
}

static int start(struct body *b)
{
	struct tako__multipart_limits limits = {
		.max_total_bytes = UINT64_MAX, /* the route's limit holds for that */
		.max_part_bytes = b->cfg.max_part_bytes,
		.max_part_count = b->cfg.max_part_count,
		.max_head_bytes = b->cfg.max_part_head_bytes,
	};
	tako_str type = tako_req_header(b->req, "content-type");
	char *head = tako__arena_alloc(&tako__x(b->req)->arena, limits.max_head_bytes);

	if (!head)
		return tako__fail(TAKO_ENOMEM, "multipart: out of memory");
	return tako__multipart_init(&b->parser, type, &callbacks, b, &limits, head);
}

int tako_req_multipart(tako_req *req, const tako_multipart_config *cfg, void *arg)
{
	struct body *b = tako_req_alloc(req, sizeof(*b));
	int rc;

	if (!b)
		return tako__fail(TAKO_ENOMEM, "multipart: out of memory");
	b->req = req;
	b->arg = arg;
	rc = import(&b->cfg, cfg);
	if (rc == 0)
		rc = start(b);
	return rc < 0 ? rc : tako_req_on_body(req, on_body, b);
}

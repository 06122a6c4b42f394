/* SPDX-License-Identifier: MIT
 *
 * The head of a response and the length of its body (RFC 9112 sections 4 and 6.3).
 */
#include <string.h>

#include "core/base.h"
#include "core/str.h"
#include "transports/client/client_reply.h"
#include "transports/h1/h1_parse.h"

enum { STATUS_AT = 9, STATUS_END = 12 };

static int refuse(struct tako__reply *r, const char *why)
{
	r->why = why;
	return TAKO_EPROTO;
}

/* ---- Status line --------------------------------------------------------------------- */

/* "HTTP/1." DIGIT SP 3DIGIT, as far as it has come: wrong at its first wrong byte. */
static int check_start(struct tako__reply *r, const char *p, size_t n)
{
	static const char shape[] = "HTTP/1.d ddd";

	for (size_t i = 0; i < n && i < sizeof shape - 1; i++) {
		if (shape[i] == 'd' ? !tako__is(p[i], TAKO__C_DIGIT) : p[i] != shape[i])
			return refuse(r, i < STATUS_AT ? "not HTTP/1.x" : "invalid status code");
	}
	return 0;
}

/* What stands behind the status code, at p + i: nothing, or SP and a reason; then CRLF. */
static int read_reason(struct tako__reply *r, const char *p, size_t i, size_t n)
{
	size_t start = i + 1;

	if (i == n)
		return 0;
	if (p[i] != ' ' && p[i] != '\r')
		return refuse(r, "invalid status code");
	if (p[i] == ' ') {
		for (i++; i < n && tako__is(p[i], TAKO__C_FIELD); i++)
			continue;
		if (i < n && p[i] != '\r')
			return refuse(r, "invalid byte in the status line");
	} else {
		start = i;
	}
	if (n - i < 2)
		return 0;
	if (p[i + 1] != '\n')
		return refuse(r, "bare CR");
	r->reason = (tako_str){p + start, i - start};
	return (int)i + 2;
}

static int status_line(struct tako__reply *r, const char *p, size_t n)
{
	int rc = check_start(r, p, n);

	if (rc < 0 || n < STATUS_END)
		return rc;
	/* RFC 9110 section 2.5: a minor version above ours is read as ours. */
	r->minor = p[STATUS_AT - 2] != '0';
	r->status = (uint16_t)((p[STATUS_AT] - '0') * 100 + (p[STATUS_AT + 1] - '0') * 10 +
	                       (p[STATUS_AT + 2] - '0'));
	if (r->status < 100 || r->status > 599)
		return refuse(r, "a status that is not 100 to 599");
	return read_reason(r, p, STATUS_END, n);
}

/* ---- Fields ---------------------------------------------------------------------------- */

/* Of what requests and responses have in common; Expect, TE and Host mean nothing here. */
static int note_field(struct tako__h1_head *h, const struct tako__field *f)
{
	char first = (char)(f->name[0] | 0x20);

	if ((first != 'c' && first != 't') || f->name_n < 10)
		return 0;
	return tako__h1_field(h, f);
}

static int read_fields(struct tako__reply *r, struct tako__h1_head *h, const char *p, size_t i,
                       size_t n, const struct tako__h1_limits *lim)
{
	for (;;) {
		struct tako__field *f = &r->fields[r->field_count];
		size_t left = n - i;
		int next;

		if (!left || (left == 1 && p[i] == '\r'))
			return 0;
		if (p[i] == '\r' && p[i + 1] == '\n')
			return (int)i + 2;
		if (r->field_count == lim->max_fields) {
			r->why = "too many fields";
			return TAKO_ETOOBIG;
		}
		next = tako__h1_field_line(f, p, i, n, &r->why);
		if (next <= 0)
			return next < 0 ? TAKO_EPROTO : 0;
		r->field_count++;
		if (note_field(h, f) < 0)
			return refuse(r, h->why);
		i = (size_t)next;
	}
}

/* RFC 9112 section 6.3, in its order. */
static int find_length(struct tako__reply *r, const struct tako__h1_head *h, unsigned method)
{
	bool chunked = h->framing == TAKO__H1_CHUNKED;

	if ((h->seen & TAKO__H1_SEEN_LENGTH) && (h->seen & TAKO__H1_SEEN_CODING))
		return refuse(r, "Content-Length beside Transfer-Encoding");
	if (h->seen & TAKO__H1_SEEN_LENGTH)
		r->length = h->content_length;
	/* RFC 9112 section 6.1: neither of them has a body that could be chunked. */
	if (chunked && (r->status < 200 || r->status == 204))
		return refuse(r, "Transfer-Encoding in a response without a body");
	if (method == TAKO__HEAD || r->status < 200 || r->status == 204 || r->status == 304)
		r->framing = TAKO__REPLY_NO_BODY;
	else if (chunked)
		r->framing = TAKO__REPLY_CHUNKED;
	else
		r->framing = r->length == TAKO_OFF64 ? TAKO__REPLY_TO_END : TAKO__REPLY_LENGTH;
	r->keep_alive = r->framing != TAKO__REPLY_TO_END && !(h->seen & TAKO__H1_SEEN_CLOSE) &&
	                (r->minor || (h->seen & TAKO__H1_SEEN_KEEP));
	return 0;
}

static int parse(struct tako__reply *r, const char *p, size_t n, unsigned method,
                 const struct tako__h1_limits *lim)
{
	struct tako__h1_head h;
	int i;
	int rc;

	r->reason = (tako_str){NULL, 0};
	r->length = TAKO_OFF64;
	r->why = NULL;
	r->field_count = 0;
	r->keep_alive = false;
	i = status_line(r, p, n);
	if (i <= 0)
		return i;
	tako__h1_clear(&h);
	h.minor = r->minor;
	i = read_fields(r, &h, p, (size_t)i, n, lim);
	if (i <= 0)
		return i;
	rc = find_length(r, &h, method);
	return rc < 0 ? rc : i;
}

int tako__reply_parse(struct tako__reply *r, const char *p, size_t n, size_t scanned,
                      unsigned method, const struct tako__h1_limits *lim)
{
	size_t max = tako__h1_max_head(lim);
	int res;

	/* While no further line is complete there is nothing new, but for a start that is wrong. */
	if (scanned >= STATUS_END && n < max && !memchr(p + scanned, '\n', n - scanned))
		return 0;
	res = parse(r, p, n < max ? n : max, method, lim);
	if (res == 0 && n >= max) {
		r->why = "response head too large";
		return TAKO_ETOOBIG;
	}
	return res;
}

/* ---- Body -------------------------------------------------------------------------------- */

void tako__reply_body_init(struct tako__reply_body *b, const struct tako__reply *r)
{
	*b = (struct tako__reply_body){.framing = r->framing};
	if (r->framing == TAKO__REPLY_LENGTH)
		b->left = r->length;
	tako__h1_chunked_init(&b->chunked, TAKO__H1_EXTENSION_BYTES);
}

static int feed_chunked(struct tako__reply_body *b, const char *p, size_t n, size_t *used,
                        tako_str *data, const char **why)
{
	switch (tako__h1_chunked_feed(&b->chunked, p, n, used, data)) {
	case TAKO__H1_CHUNK_MORE:
		return TAKO__REPLY_MORE;
	case TAKO__H1_CHUNK_DATA:
		return TAKO__REPLY_DATA;
	case TAKO__H1_CHUNK_TRAILERS:
		return TAKO__REPLY_TRAILERS;
	case TAKO__H1_CHUNK_END:
		return TAKO__REPLY_END;
	default:
		*why = b->chunked.why;
		return TAKO_EPROTO;
	}
}

int tako__reply_body_feed(struct tako__reply_body *b, const char *p, size_t n, size_t *used,
                          tako_str *data, const char **why)
{
	*data = (tako_str){NULL, 0};
	*used = 0;
	if (b->framing == TAKO__REPLY_CHUNKED)
		return feed_chunked(b, p, n, used, data, why);
	if (b->framing == TAKO__REPLY_NO_BODY || (b->framing == TAKO__REPLY_LENGTH && !b->left))
		return TAKO__REPLY_END;
	if (!n)
		return TAKO__REPLY_MORE;
	*used = b->framing == TAKO__REPLY_LENGTH && b->left < n ? (size_t)b->left : n;
	*data = (tako_str){p, *used};
	b->left -= b->framing == TAKO__REPLY_LENGTH ? *used : 0;
	return TAKO__REPLY_DATA;
}

/* SPDX-License-Identifier: MIT
 *
 * Requests over HTTP/2 (RFC 9113 section 8.3.1): fields handed to the library, which copies and compresses them, and
 * bodies that it asks for as the peer's windows allow.  What is written here was checked when it was asked for.
 */
#include <string.h>

#include "core/base.h"
#include "core/str.h"
#include "transports/client/client_h2.h"

enum {
	/* The user's and User-Agent; four pseudo-header fields, Content-Length and Expect. */
	NVA_MAX = TAKO__FETCH_FIELDS_MAX + 1 + 6,
	STATIC_NAME = NGHTTP2_NV_FLAG_NO_COPY_NAME,
};

/* ---- Head ------------------------------------------------------------------------------- */

/* The library only reads what it takes as mutable. */
static nghttp2_nv nv_of(tako_str name, tako_str value, uint8_t flags)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
	                    value.n, flags};
}

/* RFC 7541 section 7.1.3: what somebody could try to guess by how well it is compressed. */
static uint8_t flags_of(const struct tako__field *f)
{
	static const char *const secrets[] = {"authorization", "cookie", "proxy-authorization"};

	for (size_t i = 0; i < TAKO__COUNT(secrets); i++) {
		if (tako_str_ieq((tako_str){f->name, f->name_n}, tako_str_z(secrets[i])))
			return NGHTTP2_NV_FLAG_NO_INDEX;
	}
	return NGHTTP2_NV_FLAG_NONE;
}

/* {NULL, 0}: no memory. */
static tako_str target_of(struct tako_fetch *f)
{
	size_t n = f->path.n + f->query.n;
	char *to;

	if (!f->query.n)
		return f->path;
	to = tako__arena_alloc(&f->arena, n);
	if (!to)
		return (tako_str){NULL, 0};
	memcpy(to, f->path.p, f->path.n);
	memcpy(to + f->path.n, f->query.p, f->query.n);
	return (tako_str){to, n};
}

/* The library writes names in lower case where it copies them. */
static size_t put_head(nghttp2_nv *nva, const struct tako_fetch *f, tako_str target, char *digits)
{
	size_t count = 0;

	nva[count++] = nv_of(TAKO_STR(":method"), f->method_text, STATIC_NAME);
	nva[count++] = nv_of(TAKO_STR(":scheme"),
	                     f->server_name ? TAKO_STR("https") : TAKO_STR("http"), STATIC_NAME);
	nva[count++] = nv_of(TAKO_STR(":authority"), f->authority, STATIC_NAME);
	nva[count++] = nv_of(TAKO_STR(":path"), target, STATIC_NAME);
	for (uint32_t i = 0; i < f->field_count; i++)
		nva[count++] = nv_of((tako_str){f->fields[i].name, f->fields[i].name_n},
		                     (tako_str){f->fields[i].value, f->fields[i].value_n},
		                     flags_of(&f->fields[i]));
	if (!f->chunked && tako__fetch_says_length(f))
		nva[count++] = nv_of(
			TAKO_STR("content-length"),
			(tako_str){digits, tako__format_u64(digits, tako__fetch_length(f))},
			STATIC_NAME);
	if (f->cfg.expect_continue)
		nva[count++] = nv_of(TAKO_STR("expect"), TAKO_STR("100-continue"), STATIC_NAME);
	return count;
}

static int submit(struct tako__client_h2_stream *s, struct tako_fetch *f)
{
	const nghttp2_data_provider body = {.source.ptr = s,
	                                    .read_callback = tako__client_h2_read_body};
	bool ends = !f->awaits_continue && f->finished && !s->out.n;
	nghttp2_nv nva[NVA_MAX];
	char digits[TAKO__U64_CHARS];
	tako_str target = target_of(f);
	size_t count;

	if (!target.p)
		return TAKO_ENOMEM;
	count = put_head(nva, f, target, digits);
	s->id = nghttp2_submit_request(s->h->session, NULL, nva, count, ends ? NULL : &body, s);
	if (ends)
		s->flags |= TAKO__CLIENT_H2S_SENT;
	return s->id < 0 ? TAKO_ENOMEM : 0;
}

static struct tako__client_h2_stream *stream_new(struct tako__client_h2 *h, struct tako_fetch *f)
{
	struct tako__client_h2_stream *s = tako__zalloc(sizeof *s);

	if (!s)
		return NULL;
	s->h = h;
	s->f = f;
	s->length = TAKO_OFF64;
	s->base_ns = tako__client_h2_now(h);
	if (tako__client_h2_state(h->c)->base.used)
		s->flags |= TAKO__CLIENT_H2S_ANEW;
	tako__list_init(&s->link);
	tako__list_init(&s->later);
	return s;
}

static void stream_drop(struct tako__client_h2_stream *s)
{
	tako__client_buf_free(&s->out);
	tako__free(s, sizeof *s);
}

int tako__client_h2_begin(struct tako__conn *c, struct tako_fetch *f)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;
	struct tako__client_h2_stream *s = h->session ? stream_new(h, f) : NULL;
	int rc = s ? 0 : TAKO_ENOMEM;

	if (rc < 0)
		return rc;
	f->stream = s;
	f->heard = false;
	f->awaits_continue = f->cfg.expect_continue;
	if (!f->awaits_continue)
		rc = tako__fetch_flow(f);
	if (rc == 0)
		rc = submit(s, f);
	if (rc < 0) {
		f->stream = NULL;
		stream_drop(s);
		return rc;
	}
	c->request_count++;
	tako__list_push_back(&h->streams, &s->link);
	tako__conn_touch(c);
	tako__client_h2_watch(s);
	return 0;
}

/* ---- Body --------------------------------------------------------------------------------- */

/* There is something to send again, be it the end. */
static void wake(struct tako__client_h2_stream *s)
{
	struct tako__client_h2 *h = s->h;

	/* What it has to take it has to take from now on. */
	s->base_ns = tako__client_h2_now(h);
	if (s->flags & TAKO__CLIENT_H2S_DEFERRED) {
		s->flags &= ~TAKO__CLIENT_H2S_DEFERRED;
		if (nghttp2_session_resume_data(h->session, s->id) == NGHTTP2_ERR_NOMEM)
			h->broken = true;
	}
	if (s->id) {
		tako__conn_touch(h->c);
		tako__client_h2_watch(s);
	}
}

int tako__client_h2_write(struct tako_fetch *f, const char *p, size_t n)
{
	struct tako__client_h2_stream *s = tako__client_h2_stream(f);
	size_t left = s->out.n - s->out_at;
	int rc;

	/* What is sent already gives its room to what comes. */
	if (s->out_at && s->out_at >= left) {
		if (left)
			memmove(s->out.p, s->out.p + s->out_at, left);
		s->out.n = left;
		s->out_at = 0;
	}
	rc = tako__client_buf_add(&s->out, p, n);
	if (rc == 0 && !left)
		wake(s);
	return rc;
}

int tako__client_h2_finish(struct tako_fetch *f)
{
	struct tako__client_h2_stream *s = tako__client_h2_stream(f);

	f->since_ns = tako__client_h2_now(s->h);
	s->flags |= TAKO__CLIENT_H2S_FINISHED;
	wake(s);
	return 0;
}

static ssize_t defer(struct tako__client_h2_stream *s)
{
	s->flags |= TAKO__CLIENT_H2S_DEFERRED;
	return NGHTTP2_ERR_DEFERRED;
}

ssize_t tako__client_h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n,
                                  uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct tako__client_h2_stream *s = source->ptr;
	size_t left = s->out.n - s->out_at;

	(void)session, (void)id, (void)arg;
	/* Of one that was let go of RST_STREAM is on its way. */
	if (!s->f || (!left && !(s->flags & TAKO__CLIENT_H2S_FINISHED)))
		return defer(s);
	n = left < n ? left : n;
	if (n)
		memcpy(buf, s->out.p + s->out_at, n);
	s->out_at += n;
	s->sent_bytes += n;
	s->base_ns = tako__client_h2_now(s->h);
	tako__h2_limits_sent(&s->h->limits, n);
	tako__client_h2_later(s, TAKO__CLIENT_H2S_WROTE);
	if (s->out_at < s->out.n || !(s->flags & TAKO__CLIENT_H2S_FINISHED))
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	s->flags |= TAKO__CLIENT_H2S_SENT;
	return (ssize_t)n;
}

/* SPDX-License-Identifier: MIT
 *
 * nghttp2's set-up and its callbacks.  Only those that are needed: each is a call per frame.
 *
 * The library's own checks of messages are off, since client_h2_block.c and client_h2_read.c make all of them and say
 * what was wrong; windows open by hand, since they are the fetch's back-pressure.
 */
#include "core/base.h"
#include "transports/client/client_h2.h"

enum {
	HEADER_BLOCK_BYTES_MAX = 1
	                         << 20, /* of a request, which has at most TAKO__FETCH_HEAD_BYTES */
	/* Frames that bring nothing, at once: as a server takes of its clients (h2_limits.c). */
	CONTROL_MAX = 1000,
	CONTINUATIONS_MAX = 8,
	FRAME_BYTES_MAX = 16384,
	BLOCK_BYTES_LEAST = 64 << 10,
};

/* ---- Callbacks ---------------------------------------------------------------------- */

/* NULL: nobody's any more. */
static struct tako__client_h2_stream *find(struct tako__client_h2 *h, int32_t id)
{
	struct tako__client_h2_stream *s = nghttp2_session_get_stream_user_data(h->session, id);

	return s && s->f ? s : NULL;
}

static void blame(struct tako__client_h2 *h, uint32_t code, const char *why)
{
	if (h->wrong)
		return;
	h->wrong = why;
	h->code = code;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct tako__client_h2 *h = arg;
	struct tako__client_h2_stream *s;

	(void)session;
	h->current = NULL;
	/* RFC 9113 section 8.4: our SETTINGS, which came before any request, have said that there are none. */
	if (frame->hd.type != NGHTTP2_HEADERS) {
		blame(h, NGHTTP2_PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed");
		return 0;
	}
	s = find(h, frame->hd.stream_id);
	if (!s)
		return 0;
	s->f->heard = true;
	s->base_ns = h->heard_ns;
	h->current = s;
	tako__client_h2_block_init(&h->block, s->flags & TAKO__CLIENT_H2S_FINAL);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct tako__client_h2 *h = arg;

	(void)session, (void)frame, (void)flags;
	if (h->current)
		tako__client_h2_block_field(&h->block, (const char *)name, name_n,
		                            (const char *)value, value_n);
	return 0;
}

static void on_headers(struct tako__client_h2 *h, const nghttp2_frame *frame)
{
	struct tako__client_h2_stream *s = h->current;

	h->current = NULL;
	if (!s || !s->f)
		return;
	/* What a request was made for is none of those frames that bring nothing. */
	tako__h2_bucket_earn(&h->limits.control, 2);
	tako__client_h2_head(s, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg)
{
	struct tako__client_h2 *h = arg;
	struct tako__client_h2_stream *s = find(h, id);

	(void)flags;
	/* One that pauses holds up its own stream, and not the others': the connection's window is open. */
	(void)nghttp2_session_consume_connection(session, n);
	if (s)
		tako__client_h2_data(s, (const char *)p, n);
	return 0;
}

/* RFC 9113 section 6.5.2: how many streams there may be. */
static void on_settings(struct tako__client_h2 *h)
{
	uint32_t limit = nghttp2_session_get_remote_settings(
		h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	uint32_t ours = h->client->cfg.http2_max_stream_count;

	tako__client_h2_state(h->c)->base.used = true;
	tako__client_room(h->c, limit < ours ? limit : ours);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct tako__client_h2 *h = arg;
	struct tako__client_h2_stream *s = NULL;

	(void)session;
	if (frame->hd.stream_id)
		s = find(h, frame->hd.stream_id);
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		on_headers(h, frame);
		return 0;
	case NGHTTP2_DATA:
		if (s && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			tako__client_h2_end(s);
		return 0;
	case NGHTTP2_RST_STREAM:
		if (s)
			s->flags |= TAKO__CLIENT_H2S_RESET;
		return 0;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			on_settings(h);
		return 0;
	case NGHTTP2_GOAWAY:
		/* RFC 9113 section 6.8: those that it leaves out are closed by the library, next. */
		h->theirs = frame->goaway.error_code;
		tako__client_retire(h->c);
		return 0;
	default:
		return 0;
	}
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct tako__client_h2_stream *s = nghttp2_session_get_stream_user_data(session, id);

	(void)arg;
	if (s)
		tako__client_h2_closed(s, code);
	return 0;
}

/* ---- A worker's share ------------------------------------------------------------------- */

static void local_free(struct tako__worker_local *base)
{
	struct tako__client_h2_local *l = TAKO__CONTAINER(base, struct tako__client_h2_local, base);

	nghttp2_session_callbacks_del(l->callbacks);
	nghttp2_option_del(l->option);
	tako__h2_mem_fini(&l->mem);
	tako__free(l, sizeof *l);
}

static void set_callbacks(nghttp2_session_callbacks *cb)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
}

static void set_options(nghttp2_option *o)
{
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_send_header_block_length(o, HEADER_BLOCK_BYTES_MAX);
	/* Ours count first. */
	nghttp2_option_set_max_continuations(o, UINT32_MAX);
}

static struct tako__client_h2_local *local_new(void)
{
	struct tako__client_h2_local *l = tako__zalloc(sizeof *l);

	if (!l)
		return NULL;
	tako__h2_mem_init(&l->mem);
	if (nghttp2_session_callbacks_new(&l->callbacks) != 0 ||
	    nghttp2_option_new(&l->option) != 0) {
		local_free(&l->base);
		return NULL;
	}
	set_callbacks(l->callbacks);
	set_options(l->option);
	return l;
}

struct tako__client_h2_local *tako__client_h2_local(struct tako__worker *w)
{
	struct tako__client_h2_local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = local_new();
	if (l)
		tako__worker_keep(w, &l->base, local_free);
	return l;
}

/* ---- A session ----------------------------------------------------------------------------- */

static void init_limits(struct tako__client_h2 *h)
{
	uint32_t list = h->client->cfg.max_header_bytes;

	h->block.list_bytes_max = list;
	h->block.field_count_max = h->client->cfg.max_header_count;
	tako__h2_bucket_init(&h->limits.control, CONTROL_MAX, tako__client_h2_now(h));
	h->limits.continuations_max = CONTINUATIONS_MAX;
	h->limits.frame_bytes_max = FRAME_BYTES_MAX;
	/* Room for the whole of a list that is too large, of which its fetch is told. */
	h->limits.block_bytes_max = list > BLOCK_BYTES_LEAST ? list : BLOCK_BYTES_LEAST;
	/* A server has none (RFC 9113 section 3.4). */
	h->limits.preface_n = TAKO__H2_PREFACE_BYTES;
}

int tako__client_h2_session_open(struct tako__client_h2 *h)
{
	const tako_client_config *cfg = &h->client->cfg;
	const nghttp2_settings_entry iv[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, cfg->http2_stream_window_bytes},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, cfg->max_header_bytes},
	};

	init_limits(h);
	if (tako__h2_mem_client_session(&h->local->mem, &h->session, h->local->callbacks, h,
	                                h->local->option) != 0) {
		h->session = NULL;
		return TAKO_ENOMEM;
	}
	if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv, TAKO__COUNT(iv)) != 0 ||
	    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
	                                          (int32_t)cfg->http2_connection_window_bytes) != 0)
		return TAKO_ENOMEM;
	return 0;
}

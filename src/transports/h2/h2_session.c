/* SPDX-License-Identifier: MIT
 *
 * nghttp2's set-up and its callbacks.  Only those that are needed: each is a call per frame.
 *
 * The library's own checks of messages are off, since h2_head.c makes all of them and answers
 * where a status says more than a reset does; windows open by hand, since they are the exchange's
 * back-pressure; streams that are closed are forgotten, since RFC 9218 needs no tree of them.
 */
#include "core/server.h"
#include "core/worker.h"
#include "transports/h2/h2.h"

enum {
	CONNS_KEPT = 256,
	STREAMS_KEPT = 1024,
	SLICES_KEPT = 256,
	SLICE_BYTES = 192,
	HEADER_BLOCK_BYTES_MAX = 1 << 20, /* of a response */
};

/* ---- Callbacks ---------------------------------------------------------------------- */

static struct tako__h2_stream *find(struct tako__h2 *h, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h->session, id);
}

static void begin_head(struct tako__h2 *h, struct tako__h2_stream *s, bool trailers)
{
	const tako_server_config *cfg = &h->c->worker->srv->cfg;

	h->current = s;
	tako__h2_head_init(&h->head, &s->x->arena, trailers);
	h->head.known = &h->known;
	h->head.list_bytes_max = cfg->h2_max_header_list_bytes;
	h->head.field_count_max = cfg->max_header_count;
	h->head.target_bytes_max = cfg->max_line_bytes;
}

/* RFC 9113 section 5.1.2: the stream's error, not the connection's.  Its fields are decompressed, for
 * the sake of the next ones, and nothing is done for it; how many such a peer may send is counted as that
 * of all frames that bring nothing (h2_limits.c). */
static int refuse_stream(struct tako__h2 *h, int32_t id)
{
	int rc = nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id,
	                                   NGHTTP2_REFUSED_STREAM);

	return rc == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct tako__h2 *h = arg;
	struct tako__h2_stream *s;

	h->current = NULL;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
		s = find(h, frame->hd.stream_id);
		if (s && s->x)
			begin_head(h, s, true);
		return 0;
	}
	/* Nor while too many whose time has passed are still worked on, whoever chose that time. */
	if (TAKO__UNLIKELY(h->stream_count >= h->c->worker->srv->cfg.h2_max_concurrent_streams ||
	                   h->reset_count > h->c->worker->srv->cfg.h2_max_pending_reset_count))
		return refuse_stream(h, frame->hd.stream_id);
	s = tako__h2_stream_new(h, frame->hd.stream_id);
	/* RST_STREAM with INTERNAL_ERROR. */
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(session, s->id, s);
	begin_head(h, s, false);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct tako__h2 *h = arg;

	(void)session, (void)frame, (void)flags;
	if (TAKO__LIKELY(h->current != NULL))
		tako__h2_head_field(&h->head, (const char *)name, name_n, (const char *)value,
		                    value_n);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *arg)
{
	struct tako__h2 *h = arg;
	struct tako__h2_stream *s = find(h, id);

	(void)flags;
	if (s)
		tako__h2_stream_data(s, (const char *)p, n);
	else
		(void)nghttp2_session_consume(session, id, n);
	return 0;
}

static void on_headers(struct tako__h2 *h, const nghttp2_frame *frame)
{
	struct tako__h2_stream *s = h->current;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	h->current = NULL;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		if (s)
			tako__h2_stream_request(s, end);
		return;
	}
	if (s)
		tako__h2_stream_trailers(s, end);
	s = end ? find(h, frame->hd.stream_id) : NULL;
	if (s)
		tako__h2_stream_end(s);
}

/* The library's encoder has to tell the peer's decoder (RFC 7541 section 4.2), and who has more room by
 * these settings may count on it from our acknowledgement only (RFC 9113 section 6.5.3). */
static void on_settings(struct tako__h2 *h, const nghttp2_settings *settings)
{
	for (size_t i = 0; i < settings->niv; i++) {
		int32_t id = settings->iv[i].settings_id;

		if (id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE ||
		    id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
			h->head_due = true;
	}
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct tako__h2 *h = arg;
	struct tako__h2_stream *s;

	(void)session;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		on_headers(h, frame);
		return 0;
	case NGHTTP2_DATA:
		if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		s = find(h, frame->hd.stream_id);
		if (s)
			tako__h2_stream_end(s);
		return 0;
	case NGHTTP2_RST_STREAM:
		s = find(h, frame->hd.stream_id);
		if (s)
			s->flags |= TAKO__H2S_RESET;
		return 0;
	case NGHTTP2_SETTINGS:
		on_settings(h, &frame->settings);
		return 0;
	case NGHTTP2_PRIORITY_UPDATE:
		tako__h2_update(h, &frame->hd);
		return 0;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			tako__h2_pong(h, frame->ping.opaque_data);
		return 0;
	default:
		return 0;
	}
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct tako__h2_stream *s = find(arg, id);

	(void)session;
	if (s && (s->flags & TAKO__H2S_ANSWERED) && code == TAKO__H2_ANSWERED)
		code = NGHTTP2_NO_ERROR;
	if (s)
		tako__h2_stream_closed(s, code);
	return 0;
}

/* A head too large to send: whoever waits for it is told. */
static int on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int code, void *arg)
{
	struct tako__h2_stream *s;

	(void)session, (void)code;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	s = find(arg, frame->hd.stream_id);
	if (!s)
		return 0;
	s->flags |= TAKO__H2S_OURS;
	tako__h2_stream_reset(s, NGHTTP2_INTERNAL_ERROR);
	return 0;
}

/* ---- A worker's share ------------------------------------------------------------------- */

static void local_free(struct tako__worker_local *base)
{
	struct tako__h2_local *l = (struct tako__h2_local *)base;

	nghttp2_session_callbacks_del(l->callbacks);
	nghttp2_option_del(l->option);
	if (l->deflater)
		nghttp2_hd_deflate_del(l->deflater);
	tako__pool_fini(&l->conns);
	tako__pool_fini(&l->streams);
	tako__pool_fini(&l->slices);
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
	nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_not_sent);
	nghttp2_session_callbacks_set_send_data_callback(cb, tako__h2_data_send);
	nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(cb, tako__h2_update_chunk);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, tako__h2_update_unpack);
}

static void set_options(nghttp2_option *o)
{
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_user_recv_extension_type(o, NGHTTP2_PRIORITY_UPDATE);
	nghttp2_option_set_max_send_header_block_length(o, HEADER_BLOCK_BYTES_MAX);
	/* Ours count first, and what the config says. */
	nghttp2_option_set_stream_reset_rate_limit(o, UINT32_MAX, UINT32_MAX);
	nghttp2_option_set_max_continuations(o, UINT32_MAX);
}

/* Says the size of its table, nothing, in the first block that it makes: here. */
static int make_deflater(struct tako__h2_local *l)
{
	const nghttp2_nv nv = TAKO__H2_NV(":status", "200", 3, 0);
	uint8_t first[8];

	if (nghttp2_hd_deflate_new2(&l->deflater, 0, &l->mem.mem) != 0)
		return TAKO_ENOMEM;
	return nghttp2_hd_deflate_hd(l->deflater, first, sizeof first, &nv, 1) < 0 ? TAKO_ENOMEM
	                                                                           : 0;
}

static struct tako__h2_local *local_new(void)
{
	struct tako__h2_local *l = tako__zalloc(sizeof *l);

	if (!l)
		return NULL;
	tako__h2_mem_init(&l->mem);
	tako__pool_init(&l->conns, sizeof(struct tako__h2), CONNS_KEPT);
	tako__pool_init(&l->streams, sizeof(struct tako__h2_stream), STREAMS_KEPT);
	tako__pool_init(&l->slices, SLICE_BYTES, SLICES_KEPT);
	if (nghttp2_session_callbacks_new(&l->callbacks) != 0 ||
	    nghttp2_option_new(&l->option) != 0 || make_deflater(l) < 0) {
		local_free(&l->base);
		return NULL;
	}
	set_callbacks(l->callbacks);
	set_options(l->option);
	return l;
}

struct tako__h2_local *tako__h2_local(struct tako__worker *w)
{
	struct tako__h2_local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = local_new();
	if (l)
		tako__worker_keep(w, &l->base, local_free);
	return l;
}

/* ---- A session ----------------------------------------------------------------------------- */

static int submit_settings(struct tako__h2 *h)
{
	const tako_server_config *cfg = &h->c->worker->srv->cfg;
	const nghttp2_settings_entry iv[] = {
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, cfg->h2_max_header_list_bytes},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, cfg->h2_stream_window_bytes},
		{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, cfg->h2_max_frame_bytes},
		{NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
		{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, cfg->h2_header_table_bytes},
	};
	/* The last one is the protocol's default unless somebody asked for another. */
	size_t count = TAKO__COUNT(iv) - (cfg->h2_header_table_bytes == 4096);

	return nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, iv, count);
}

/* The library does not know how many streams there may be: it would end the connection of who goes
 * beyond that, where on_begin_headers() refuses the stream.  So the peer is told here, in the first
 * frame that the library has ready. */
static int say_settings(struct tako__h2 *h)
{
	enum { ENTRY_BYTES = 6, LENGTH_AT = 2, SETTINGS_BYTES_MAX = 96 };
	uint32_t max = h->c->worker->srv->cfg.h2_max_concurrent_streams;
	uint8_t text[TAKO__H2_FRAME_HEAD_BYTES + SETTINGS_BYTES_MAX];
	const uint8_t *p;
	ssize_t n = nghttp2_session_mem_send(h->session, &p);

	if (n <= 0 || (size_t)n > sizeof text - ENTRY_BYTES)
		return TAKO_ENOMEM;
	memcpy(text, p, (size_t)n);
	text[LENGTH_AT] = (uint8_t)(text[LENGTH_AT] + ENTRY_BYTES);
	memcpy(text + n,
	       (uint8_t[ENTRY_BYTES]){0, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
	                              (uint8_t)(max >> 24), (uint8_t)(max >> 16),
	                              (uint8_t)(max >> 8), (uint8_t)max},
	       ENTRY_BYTES);
	return tako__conn_write(h->c, (const char *)text, (size_t)n + ENTRY_BYTES);
}

int tako__h2_session_open(struct tako__h2 *h)
{
	const tako_server_config *cfg = &h->c->worker->srv->cfg;

	if (tako__h2_mem_session(&h->local->mem, &h->session, h->local->callbacks, h,
	                         h->local->option) != 0) {
		h->session = NULL;
		return TAKO_ENOMEM;
	}
	if (submit_settings(h) != 0 || say_settings(h) < 0 ||
	    nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
	                                          (int32_t)cfg->h2_connection_window_bytes) != 0)
		return TAKO_ENOMEM;
	return 0;
}

void tako__h2_terminate(struct tako__h2 *h, uint32_t code, const char *why)
{
	/* Says which requests were looked at, so that the others can be sent again. */
	int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);

	if (h->over)
		return;
	h->over = true;
	(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, code, (const uint8_t *)why,
	                            why ? strlen(why) : 0);
	tako__conn_touch(h->c);
}

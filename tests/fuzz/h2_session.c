/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a peer sends to an HTTP/2 session, without sockets.  The first byte says how the
 * bytes are cut.  Field blocks go through our checks and the flood scan goes over every frame, as in a
 * connection; requests are answered by nobody, so that what is left open is closed by the end.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/exchange.h"
#include "transports/h2/h2_head.h"
#include "transports/h2/h2_limits.h"
#include "transports/h2/h2_mem.h"
#include "transports/h2/h2_priority.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static struct tako__h2_mem mem;
static struct tako__arena arena;
static struct tako__h2_head head;
static bool in_block;

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	(void)session, (void)arg;
	tako__arena_fini(&arena);
	tako__arena_init(&arena, NULL, 0);
	tako__h2_head_init(&head, &arena, frame->headers.cat != NGHTTP2_HCAT_REQUEST);
	head.list_bytes_max = 4096;
	head.field_count_max = 20;
	head.target_bytes_max = 512;
	in_block = true;
	return 0;
}

/* Copied to blocks of their exact size, so that a read beyond either end is seen. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	char *n = malloc(name_n);
	char *v = malloc(value_n);

	(void)session, (void)frame, (void)flags, (void)arg;
	MUST(in_block && (n || !name_n) && (v || !value_n));
	if (name_n)
		memcpy(n, name, name_n);
	if (value_n)
		memcpy(v, value, value_n);
	tako__h2_head_field(&head, n, name_n, v, value_n);
	free(n);
	free(v);
	return 0;
}

/* What is let through is what the rest of the server relies on. */
static void check_request(void)
{
	MUST(head.method.n > 0 && head.authority.n > 0);
	MUST(head.method_id == TAKO__CONNECT || head.path.n > 0);
	MUST(head.field_count <= 21);
	for (uint32_t i = 0; i < head.field_count; i++) {
		const struct tako__field *f = &head.fields[i];

		MUST(f->name_n > 0 && tako__field_value_ok((tako_str){f->value, f->value_n}));
		for (uint32_t k = 0; k < f->name_n; k++)
			MUST(f->name[k] > ' ' && (f->name[k] < 'A' || f->name[k] > 'Z'));
	}
	if (head.priority.p)
		MUST(tako__priority_parse(head.priority).urgency < 8);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	int rc;

	(void)arg;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	in_block = false;
	rc = tako__h2_head_end(&head);
	MUST(rc == TAKO__H2_MALFORMED || rc == 0 || (rc >= 400 && rc < 600));
	if (rc == 0 && !head.trailers)
		check_request();
	if (rc != 0)
		(void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
		                                NGHTTP2_PROTOCOL_ERROR);
	return 0;
}

static int unpack(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd, void *arg)
{
	(void)session, (void)payload, (void)hd, (void)arg;
	return NGHTTP2_ERR_CANCEL;
}

static nghttp2_session *session_new(void)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;
	nghttp2_session *session;

	MUST(nghttp2_session_callbacks_new(&cb) == 0 && nghttp2_option_new(&option) == 0);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_unpack_extension_callback(cb, unpack);
	nghttp2_option_set_no_http_messaging(option, 1);
	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_user_recv_extension_type(option, NGHTTP2_PRIORITY_UPDATE);
	tako__h2_mem_init(&mem);
	MUST(nghttp2_session_server_new3(&session, cb, NULL, option, &mem.mem) == 0);
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(option);
	MUST(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0) == 0);
	return session;
}

static void feed(nghttp2_session *session, uint8_t *p, size_t n, size_t step)
{
	struct tako__h2_limits l = {
		.block_bytes_max = 65536, .continuations_max = 8, .frame_bytes_max = 16384};
	const uint8_t *out;
	size_t given = 0;

	tako__h2_bucket_init(&l.control, 100, 0);
	for (size_t at = 0; at < n && !l.why; at += step) {
		size_t len = n - at < step ? n - at : step;
		struct tako__h2_span spans[2];

		tako__h2_limits_scan(&l, (char *)p + at, len, 0, spans);
		given += spans[0].n + spans[1].n;
		MUST(given + l.kept_n <= at + len && (given + l.kept_n == at + len || l.why));
		for (size_t i = 0; i < 2; i++) {
			if (nghttp2_session_mem_recv(session, spans[i].p, spans[i].n) < 0)
				return;
		}
		while (nghttp2_session_mem_send(session, &out) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	nghttp2_session *session;
	uint8_t *copy;

	if (size < 2)
		return 0;
	copy = malloc(size - 1);
	MUST(copy);
	memcpy(copy, data + 1, size - 1);
	session = session_new();
	in_block = false;
	feed(session, copy, size - 1, data[0] ? data[0] : size);
	nghttp2_session_del(session);
	tako__h2_mem_fini(&mem);
	tako__arena_fini(&arena);
	free(copy);
	return 0;
}

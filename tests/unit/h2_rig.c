/* SPDX-License-Identifier: MIT
 *
 * See h2_rig.h.  Asks with fields that need no table, so that it has no encoder.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "unit/h2_rig.h"

enum { FRAME_HEAD_BYTES = 9, BLOCK_BYTES = 256, DATA_BYTES_MAX = 16384 };

struct h2_rig h2_rig;

/* ---- Saying ----------------------------------------------------------------------------- */

void h2_rig_frame(unsigned type, unsigned flags, uint32_t id, const void *p, size_t n)
{
	const char head[FRAME_HEAD_BYTES] = {(char)(n >> 16),  (char)(n >> 8),  (char)n,
	                                     (char)type,       (char)flags,     (char)(id >> 24),
	                                     (char)(id >> 16), (char)(id >> 8), (char)id};

	sim_write(h2_rig.link, head, sizeof head);
	if (n)
		sim_write(h2_rig.link, p, n);
}

/* Literal, not indexed, its name an index below 15 (RFC 7541 section 6.2.2). */
static size_t put(char *to, unsigned name, const char *value)
{
	size_t n = strlen(value);

	to[0] = (char)name;
	to[1] = (char)n;
	memcpy(to + 2, value, n);
	return n + 2;
}

void h2_rig_ask(uint32_t id, const char *method, const char *path, unsigned flags)
{
	enum { AUTHORITY = 1, METHOD = 2, PATH = 4, SCHEME = 6 };
	char block[BLOCK_BYTES];
	size_t n = put(block, METHOD, method);

	assert_true(strlen(path) < 100);
	n += put(block + n, SCHEME, "http");
	n += put(block + n, PATH, path);
	n += put(block + n, AUTHORITY, "sim");
	h2_rig_frame(NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block, n);
}

void h2_rig_data(uint32_t id, size_t n, unsigned flags)
{
	static const char bytes[DATA_BYTES_MAX];

	assert_true(n <= sizeof bytes);
	h2_rig_frame(NGHTTP2_DATA, flags, id, bytes, n);
}

void h2_rig_ack(void)
{
	h2_rig_frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

void h2_rig_window(uint32_t id, uint32_t more)
{
	const char p[4] = {(char)(more >> 24), (char)(more >> 16), (char)(more >> 8), (char)more};

	h2_rig_frame(NGHTTP2_WINDOW_UPDATE, 0, id, p, sizeof p);
}

/* ---- Hearing ------------------------------------------------------------------------------- */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void hear_head(uint32_t at, const uint8_t *p, size_t n)
{
	int flags = 0;

	while (n && !(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(h2_rig.inflater, &nv, &flags, p, n, 1);

		assert_true(used >= 0);
		p += used;
		n -= (size_t)used;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) && nv.namelen == 7)
			h2_rig.status[at] = (nv.value[0] - '0') * 100 + (nv.value[1] - '0') * 10 +
			                    nv.value[2] - '0';
	}
	nghttp2_hd_inflate_end_headers(h2_rig.inflater);
	h2_rig.answers++;
}

static void hear_settings(const uint8_t *p, size_t n)
{
	for (; n; p += 6, n -= 6) {
		if (p[1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
			h2_rig.streams = get32(p + 2);
	}
}

static void hear(const uint8_t *head, const uint8_t *p, size_t n)
{
	uint32_t at = get32(head + 5) / 2;

	assert_true(at < H2_RIG_STREAMS);
	switch (head[3]) {
	case NGHTTP2_DATA:
		h2_rig.data_bytes[at] += n;
		break;
	case NGHTTP2_HEADERS:
		assert_true(head[4] & NGHTTP2_FLAG_END_HEADERS);
		hear_head(at, p, n);
		break;
	case NGHTTP2_RST_STREAM:
		h2_rig.reset[at] = get32(p);
		h2_rig.resets++;
		break;
	case NGHTTP2_GOAWAY:
		h2_rig.goaway = get32(p + 4);
		break;
	case NGHTTP2_SETTINGS:
		hear_settings(p, n);
		return;
	default:
		break;
	}
	h2_rig.ended[at] |= head[3] <= NGHTTP2_HEADERS && (head[4] & NGHTTP2_FLAG_END_STREAM);
}

static void hear_all(void)
{
	const uint8_t *p = (const uint8_t *)h2_rig.in;
	size_t at = 0;

	while (h2_rig.in_n - at >= FRAME_HEAD_BYTES) {
		const uint8_t *head = p + at;
		size_t n = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];

		if (h2_rig.in_n - at < FRAME_HEAD_BYTES + n)
			break;
		hear(head, head + FRAME_HEAD_BYTES, n);
		at += FRAME_HEAD_BYTES + n;
	}
	h2_rig.in_n -= at;
	memmove(h2_rig.in, p + at, h2_rig.in_n);
}

void h2_rig_pass(uint64_t ms)
{
	size_t n;

	sim_server_pass(&h2_rig.server, ms * SIM_MS);
	while ((n = sim_read(h2_rig.link, h2_rig.in + h2_rig.in_n,
	                     sizeof h2_rig.in - h2_rig.in_n))) {
		h2_rig.in_n += n;
		hear_all();
	}
}

/* ---- Set-up ----------------------------------------------------------------------------------- */

void h2_rig_begin(void)
{
	memset(&h2_rig, 0, sizeof h2_rig);
	sim_server_begin(&h2_rig.server, 1, NULL);
}

void h2_rig_connect(void)
{
	for (size_t i = 0; i < H2_RIG_STREAMS; i++) {
		h2_rig.reset[i] = h2_rig.goaway = H2_RIG_NOTHING;
		h2_rig.status[i] = 0;
		h2_rig.ended[i] = false;
		h2_rig.data_bytes[i] = 0;
	}
	h2_rig.streams = h2_rig.answers = h2_rig.resets = 0;
	if (h2_rig.inflater)
		nghttp2_hd_inflate_del(h2_rig.inflater);
	assert_int_equal(nghttp2_hd_inflate_new(&h2_rig.inflater), 0);
	h2_rig.link = sim_connect(&h2_rig.server.sim.net);
	sim_write(h2_rig.link, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
	h2_rig_frame(NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

void h2_rig_start(tako_router *router, const tako_server_config *cfg)
{
	sim_server_start(&h2_rig.server, router, cfg, tako_h2c(), NULL);
	h2_rig_connect();
}

void h2_rig_end(void)
{
	sim_close(h2_rig.link);
	sim_server_end(&h2_rig.server);
	nghttp2_hd_inflate_del(h2_rig.inflater);
}

uint64_t h2_rig_timeouts(void)
{
	tako_stats stats = {.size = sizeof stats};

	assert_int_equal(tako_server_stats(h2_rig.server.srv, &stats), 0);
	return stats.timeouts;
}

/* SPDX-License-Identifier: MIT
 *
 * See client_h2_rig.h.
 */
#include "unit/client_h2_rig.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"

enum { TURNS_MAX = 3000, HEAD_BYTES = 9, PREFACE_BYTES = 24, BLOCK_BYTES = 16 << 10, NVS = 300 };

void h2_place_rig(struct client_rig *r, const tako_client_config *cfg, void (*act)(void *arg),
                  void *arg)
{
	tako_client_config c = {.size = sizeof c};

	if (cfg)
		c = *cfg;
	c.http2 = tako_client_http2();
	c.http2_prior_knowledge = 1;
	client_rig_start(r, NULL, &c, act, arg);
}

struct h2_asked *h2_place_of(struct h2_place *q, int32_t id)
{
	assert_in_range(id, 1, H2_PLACE_STREAMS * 2 - 1);
	return &q->asked[id / 2];
}

/* ---- What comes -------------------------------------------------------------------------- */

static uint32_t number(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void take_settings(struct h2_place *q, const unsigned char *p, size_t n, unsigned flags)
{
	if (flags & NGHTTP2_FLAG_ACK) {
		q->acks++;
		return;
	}
	q->settings++;
	for (size_t i = 0; i + 6 <= n; i += 6) {
		unsigned id = (unsigned)p[i] << 8 | p[i + 1];

		if (id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
			q->window = number(p + i + 2);
		if (id == NGHTTP2_SETTINGS_ENABLE_PUSH)
			q->pushes = number(p + i + 2);
	}
}

static void take_head(struct h2_place *q, struct h2_asked *a, const unsigned char *p, size_t n,
                      unsigned flags)
{
	size_t at = 0;
	int more = 1;

	assert_true(flags & NGHTTP2_FLAG_END_HEADERS);
	a->head = true;
	q->asked_count++;
	while (more) {
		int what = 0;
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(q->in, &nv, &what, p, n, 1);

		assert_true(used >= 0);
		p += used;
		n -= (size_t)used;
		if (what & NGHTTP2_HD_INFLATE_EMIT)
			at += (size_t)snprintf(a->text + at, sizeof a->text - at, "%.*s: %.*s\n",
			                       (int)nv.namelen, (const char *)nv.name,
			                       (int)nv.valuelen, (const char *)nv.value);
		assert_true(at < sizeof a->text);
		more = !(what & NGHTTP2_HD_INFLATE_FINAL);
	}
	nghttp2_hd_inflate_end_headers(q->in);
}

static void take(struct h2_place *q, unsigned type, unsigned flags, int32_t id,
                 const unsigned char *p, size_t n)
{
	struct h2_asked *a = id ? h2_place_of(q, id) : NULL;

	if (a && (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA))
		a->end |= (flags & H2_PLACE_END) != 0;
	switch (type) {
	case NGHTTP2_SETTINGS:
		take_settings(q, p, n, flags);
		return;
	case NGHTTP2_HEADERS:
		assert_non_null(a);
		take_head(q, a, p, n, flags);
		return;
	case NGHTTP2_DATA:
		assert_non_null(a);
		a->body += n;
		return;
	case NGHTTP2_RST_STREAM:
		assert_non_null(a);
		a->reset = number(p);
		q->reset_count++;
		return;
	case NGHTTP2_PING:
		q->pongs += (flags & NGHTTP2_FLAG_ACK) != 0;
		return;
	case NGHTTP2_GOAWAY:
		q->goaway = number(p + 4);
		return;
	case NGHTTP2_WINDOW_UPDATE:
		*(a ? &a->granted : &q->granted) += number(p);
		return;
	default:
		fail_msg("a frame of type %u", type);
	}
}

static void take_all(struct h2_place *q)
{
	size_t at = 0;

	if (!q->preface && q->n >= PREFACE_BYTES) {
		assert_memory_equal(q->got, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PREFACE_BYTES);
		q->preface = true;
		at = PREFACE_BYTES;
	}
	while (q->preface && q->n - at >= HEAD_BYTES) {
		const unsigned char *p = q->got + at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (q->n - at < HEAD_BYTES + n)
			break;
		take(q, p[3], p[4], (int32_t)(number(p + 5) & 0x7fffffff), p + HEAD_BYTES, n);
		at += HEAD_BYTES + n;
	}
	q->n -= at;
	memmove(q->got, q->got + at, q->n);
}

void h2_place_turns(struct h2_place *q, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		ssize_t n;

		stepped_turn(&q->r->s, 1);
		n = q->ended ? 0 : recv(q->fd, q->got + q->n, sizeof q->got - q->n, MSG_DONTWAIT);
		if (n > 0)
			q->n += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			q->ended = true;
		take_all(q);
	}
}

#define UNTIL(q, what)                                                                             \
	do {                                                                                       \
		for (unsigned turns = 0; turns < TURNS_MAX && !(what); turns++)                    \
			h2_place_turns(q, 1);                                                      \
		assert_true(what);                                                                 \
	} while (0)

int32_t h2_place_await(struct h2_place *q, unsigned count)
{
	UNTIL(q, q->asked_count >= count);
	assert_int_equal(q->asked_count, count);
	return (int32_t)count * 2 - 1;
}

void h2_place_await_body(struct h2_place *q, int32_t id, size_t n, bool end)
{
	struct h2_asked *a = h2_place_of(q, id);

	UNTIL(q, a->body >= n && a->end == end);
	assert_int_equal(a->body, n);
}

int64_t h2_place_await_reset(struct h2_place *q, int32_t id)
{
	struct h2_asked *a = h2_place_of(q, id);

	UNTIL(q, a->reset != H2_PLACE_NOTHING);
	return a->reset;
}

int64_t h2_place_await_end(struct h2_place *q)
{
	UNTIL(q, q->ended);
	return q->goaway;
}

/* ---- What is said ------------------------------------------------------------------------------ */

void h2_place_frame(struct h2_place *q, unsigned type, unsigned flags, int32_t id, const void *p,
                    size_t n)
{
	static unsigned char text[HEAD_BYTES + (1 << 16)];
	const unsigned char head[HEAD_BYTES] = {
		(unsigned char)(n >> 16),  (unsigned char)(n >> 8),  (unsigned char)n,
		(unsigned char)type,       (unsigned char)flags,     (unsigned char)(id >> 24),
		(unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};

	assert_true(n <= sizeof text - HEAD_BYTES);
	memcpy(text, head, HEAD_BYTES);
	if (n)
		memcpy(text + HEAD_BYTES, p, n);
	/* Who is cut off for what it has said may be saying more. */
	(void)!send(q->fd, text, HEAD_BYTES + n, MSG_NOSIGNAL);
}

static void put_number(unsigned char *to, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		to[i] = (unsigned char)(v >> (24 - 8 * i));
}

void h2_place_setting(struct h2_place *q, uint16_t id, uint32_t value)
{
	unsigned char p[6] = {(unsigned char)(id >> 8), (unsigned char)id};

	put_number(p + 2, value);
	h2_place_frame(q, NGHTTP2_SETTINGS, 0, 0, p, sizeof p);
	/* RFC 9113 section 3.4: ours are the first thing. */
	if (!q->said)
		h2_place_frame(q, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	q->said = true;
}

void h2_place_head(struct h2_place *q, int32_t id, unsigned flags, const char *fields)
{
	unsigned char block[BLOCK_BYTES];
	nghttp2_nv nva[NVS];
	size_t count = 0;
	ssize_t n;

	while (*fields) {
		const char *colon = strstr(fields, ": ");
		const char *end = strchr(fields, '\n');

		assert_true(colon && end && count < NVS);
		nva[count++] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields,
		                            (uint8_t *)(uintptr_t)(colon + 2),
		                            (size_t)(colon - fields), (size_t)(end - colon) - 2, 0};
		fields = end + 1;
	}
	n = nghttp2_hd_deflate_hd(q->out, block, sizeof block, nva, count);
	assert_true(n >= 0);
	h2_place_frame(q, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, id, block, (size_t)n);
}

void h2_place_data(struct h2_place *q, int32_t id, unsigned flags, const char *text)
{
	h2_place_frame(q, NGHTTP2_DATA, flags, id, text, strlen(text));
}

void h2_place_reset(struct h2_place *q, int32_t id, uint32_t code)
{
	unsigned char p[4];

	put_number(p, code);
	h2_place_frame(q, NGHTTP2_RST_STREAM, 0, id, p, sizeof p);
}

void h2_place_goaway(struct h2_place *q, int32_t last, uint32_t code)
{
	unsigned char p[8];

	put_number(p, (uint32_t)last);
	put_number(p + 4, code);
	h2_place_frame(q, NGHTTP2_GOAWAY, 0, 0, p, sizeof p);
}

void h2_place_answer(struct h2_place *q, int32_t id)
{
	h2_place_head(q, id, H2_PLACE_END, ":status: 204\n");
}

/* ---- Connections ------------------------------------------------------------------------------- */

void h2_place_open(struct h2_place *q, const struct place *p, struct client_rig *r)
{
	memset(q, 0, sizeof *q);
	q->r = r;
	q->pushes = true;
	q->goaway = H2_PLACE_NOTHING;
	for (size_t i = 0; i < H2_PLACE_STREAMS; i++)
		q->asked[i].reset = H2_PLACE_NOTHING;
	assert_int_equal(nghttp2_hd_inflate_new(&q->in), 0);
	assert_int_equal(nghttp2_hd_deflate_new(&q->out, 4096), 0);
	q->fd = place_accept(p, &r->s);
	assert_true(q->fd >= 0);
	/* What is said is there in the next turn, and does not wait for what was said before. */
	setsockopt(q->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	UNTIL(q, q->settings);
}

void h2_place_serve(struct h2_place *q, const struct place *p, struct client_rig *r,
                    uint32_t streams)
{
	h2_place_open(q, p, r);
	h2_place_setting(q, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams);
	UNTIL(q, q->acks);
}

void h2_place_close(struct h2_place *q)
{
	close(q->fd);
	nghttp2_hd_inflate_del(q->in);
	nghttp2_hd_deflate_del(q->out);
}

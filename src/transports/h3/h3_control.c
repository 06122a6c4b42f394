/* SPDX-License-Identifier: MIT
 *
 * The two control streams (RFC 9114 section 6.2.1): what we announce and when we leave; what the
 * peer announces, of which little concerns a server that pushes nothing, but all is checked.
 */
#include "transports/h3/h3.h"
#include "transports/wt/wt_h3.h"

enum setting {
	QPACK_TABLE = 0x1, /* RFC 9204 section 5 */
	H2_FIRST = 0x2,    /* ENABLE_PUSH to MAX_FRAME_SIZE: RFC 9114 section 7.2.4.1 */
	H2_LAST = 0x5,
	FIELD_SECTION_SIZE = 0x6,
	QPACK_BLOCKED = 0x7,
	CONNECT_PROTOCOL = 0x8,    /* RFC 9220 section 5 */
	DATAGRAM = 0x33,           /* RFC 9297 section 2.1.1 */
	WEBTRANSPORT = 0x2b603742, /* draft-ietf-webtrans-http3-02 section 8.2 */
	TRACKED = 64,              /* those below may come once */
};

/* … -07 section 8.2.  Later drafts need frames that no library has (RESET_STREAM_AT). */
#define WT_MAX_SESSIONS UINT64_C(0xc671706a)

enum {
	SETTINGS_BYTES_MAX = 4096,
	FRAME_BYTES_MAX = 64 << 10, /* of those that are ignored */
};

/* ---- Ours ------------------------------------------------------------------------------------ */

static int say(struct tako__h3 *h, const char *p, size_t n)
{
	int rc = tako__h3_queue_copy(&h->control_out.out, p, n);

	h->control_bytes += n;
	tako__quic_wake(h->c);
	return rc;
}

static size_t put_setting(char *to, uint64_t id, uint64_t value)
{
	size_t n = tako__h3_varint_write(to, id);

	return n + tako__h3_varint_write(to + n, value);
}

int tako__h3_control_open(struct tako__h3 *h)
{
	char body[8 * 2 * TAKO__H3_VARINT_BYTES];
	char head[1 + TAKO__H3_HEAD_BYTES];
	size_t n = 0;
	size_t head_n;

	if (tako__h3_table_bytes(h)) {
		n += put_setting(body + n, QPACK_TABLE, tako__h3_table_bytes(h));
		n += put_setting(body + n, QPACK_BLOCKED, tako__h3_stuck_max(h));
	}
	n += put_setting(body + n, FIELD_SECTION_SIZE,
	                 tako__h3_config(h)->h3_max_header_list_bytes);
	n += put_setting(body + n, CONNECT_PROTOCOL, 1);
	if (tako__wt_offered(tako__h3_config(h))) {
		n += put_setting(body + n, DATAGRAM, 1);
		n += put_setting(body + n, WEBTRANSPORT, 1);
		n += put_setting(body + n, WT_MAX_SESSIONS, tako__h3_config(h)->wt_max_sessions);
	}
	head_n = tako__h3_varint_write(head, TAKO__H3_CONTROL_STREAM);
	head_n += tako__h3_frame_write(head + head_n, TAKO__H3_SETTINGS, n);
	if (say(h, head, head_n) < 0)
		return TAKO_ENOMEM;
	return say(h, body, n);
}

int tako__h3_goaway(struct tako__h3 *h, uint64_t id)
{
	char text[TAKO__H3_HEAD_BYTES + TAKO__H3_VARINT_BYTES];
	char payload[TAKO__H3_VARINT_BYTES];
	size_t payload_n = tako__h3_varint_write(payload, id);
	size_t n = tako__h3_frame_write(text, TAKO__H3_GOAWAY, payload_n);

	memcpy(text + n, payload, payload_n);
	return say(h, text, n + payload_n);
}

void tako__h3_control_acked(struct tako__h3 *h, uint64_t n)
{
	h->control_acked += n;
	/* The drain's first GOAWAY has arrived, and with it, or before it, what crossed it. */
	if (h->drain == TAKO__H3_NOTICED && h->control_acked >= h->goaway_at)
		tako__h3_last_goaway(h);
}

/* ---- SETTINGS ------------------------------------------------------------------------------------ */

static int wrong_setting(struct tako__h3 *h, const char *why)
{
	return tako__h3_fail(h, NGHTTP3_H3_SETTINGS_ERROR, why);
}

/* Nothing of it changes what we send: no push, no table of ours, and sections that are longer than a
 * peer would like are no error (RFC 9114 section 4.2.2). */
static int take_setting(struct tako__h3 *h, uint64_t id, uint64_t value)
{
	struct tako__h3_control *ctl = &h->control;

	if (id >= H2_FIRST && id <= H2_LAST)
		return wrong_setting(h, "a setting of HTTP/2");
	if (id < TRACKED && (ctl->settings_seen & UINT64_C(1) << id))
		return wrong_setting(h, "a setting twice");
	if (id < TRACKED)
		ctl->settings_seen |= UINT64_C(1) << id;
	if ((id == CONNECT_PROTOCOL || id == DATAGRAM) && value > 1)
		return wrong_setting(h, "a setting that is 0 or 1");
	if (id == DATAGRAM)
		ctl->has_datagrams = value;
	return 0;
}

static int read_settings(struct tako__h3 *h, const char *p, const char *end)
{
	struct tako__h3_control *ctl = &h->control;
	uint64_t value;

	while (tako__h3_varint_read(&ctl->v, &p, end, &value)) {
		int rc = ctl->has_setting ? take_setting(h, ctl->setting, value) : 0;

		if (rc < 0)
			return rc;
		ctl->setting = value;
		ctl->has_setting = !ctl->has_setting;
	}
	return 0;
}

static int end_settings(struct tako__h3 *h)
{
	if (h->control.has_setting || h->control.v.left)
		return tako__h3_fail(h, NGHTTP3_H3_FRAME_ERROR, "SETTINGS is cut off");
	return tako__wt_settings_came(h);
}

/* ---- The others -------------------------------------------------------------------------------------- */

static int wrong_id(struct tako__h3 *h, const char *why)
{
	return tako__h3_fail(h, NGHTTP3_H3_ID_ERROR, why);
}

/* The one id that is the payload, or what it begins with; *ret_n: how long it is. */
static bool read_id(const struct tako__h3_control *ctl, uint64_t *ret_id, size_t *ret_n)
{
	struct tako__h3_varint v = {0};
	const char *p = ctl->payload;
	bool ok = tako__h3_varint_read(&v, &p, ctl->payload + ctl->payload_n, ret_id);

	*ret_n = (size_t)(p - ctl->payload);
	return ok;
}

/* Pushes are what it is about, and there are none: it may only say less and less (RFC 9114 section
 * 5.2). */
static int take_goaway(struct tako__h3 *h, uint64_t id)
{
	struct tako__h3_control *ctl = &h->control;

	if (ctl->has_goaway && id > ctl->goaway)
		return wrong_id(h, "GOAWAY goes back");
	ctl->has_goaway = true;
	ctl->goaway = id;
	return 0;
}

static int take_max_push(struct tako__h3 *h, uint64_t id)
{
	if (id < h->control.max_push)
		return wrong_id(h, "MAX_PUSH_ID goes back");
	h->control.max_push = id;
	return 0;
}

static struct tako__h3_updated *find_updated(struct tako__h3 *h, int64_t id)
{
	for (size_t i = 0; i < TAKO__H3_UPDATED_MAX && i < h->updated_count; i++) {
		if (h->updated[i].id == id)
			return &h->updated[i];
	}
	return NULL;
}

const struct tako__priority *tako__h3_updated(struct tako__h3 *h, int64_t id)
{
	const struct tako__h3_updated *u = h->updated_count ? find_updated(h, id) : NULL;

	return u ? &u->priority : NULL;
}

/* Of a request that is to come; a few are remembered, the oldest forgotten first. */
static void keep_updated(struct tako__h3 *h, int64_t id, struct tako__priority p)
{
	struct tako__h3_updated *u = find_updated(h, id);

	if (!u)
		u = &h->updated[h->updated_count++ % TAKO__H3_UPDATED_MAX];
	*u = (struct tako__h3_updated){.id = id, .priority = p};
}

static struct tako__h3_stream *find_stream(struct tako__h3 *h, int64_t id)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);

		if (s->id == id)
			return s;
	}
	return NULL;
}

/* RFC 9218 section 7.2.  Of a request that is over it changes nothing. */
static int take_update(struct tako__h3 *h, uint64_t id, tako_str value)
{
	struct tako__priority p = tako__priority_parse(value);
	struct tako__h3_stream *s;

	if (id % 4)
		return wrong_id(h, "PRIORITY_UPDATE of no request");
	if (id / 4 >= tako__quic_streams_granted(h->c))
		return wrong_id(h, "PRIORITY_UPDATE of a request that may not be");
	if ((int64_t)id > h->last_id) {
		keep_updated(h, (int64_t)id, p);
		return 0;
	}
	s = find_stream(h, (int64_t)id);
	if (!s)
		return 0;
	s->updated = true;
	s->priority = p;
	tako__h3_send_ready(s);
	return 0;
}

/* A frame whose payload has been kept is complete. */
static int end_payload(struct tako__h3 *h, uint64_t whole)
{
	struct tako__h3_control *ctl = &h->control;
	bool is_update = ctl->frame.type == TAKO__H3_PRIORITY_UPDATE;
	uint64_t id;
	size_t n;

	if (!read_id(ctl, &id, &n) || (!is_update && n != whole))
		return tako__h3_fail(h, NGHTTP3_H3_FRAME_ERROR, "a control frame's length");
	if (ctl->frame.type == TAKO__H3_GOAWAY)
		return take_goaway(h, id);
	if (ctl->frame.type == TAKO__H3_MAX_PUSH_ID)
		return take_max_push(h, id);
	/* Longer than any priority that means something to us, it means none. */
	if (ctl->payload_n < whole)
		n = ctl->payload_n;
	return take_update(h, id, (tako_str){ctl->payload + n, ctl->payload_n - n});
}

/* ---- Frames --------------------------------------------------------------------------------------------- */

static bool is_kept(uint64_t type)
{
	return type == TAKO__H3_GOAWAY || type == TAKO__H3_MAX_PUSH_ID ||
	       type == TAKO__H3_PRIORITY_UPDATE;
}

/* Those that are not for this stream, or for no stream of a client's (RFC 9114 section 7.2). */
static int check_type(struct tako__h3 *h, uint64_t type)
{
	switch (type) {
	case TAKO__H3_DATA:
	case TAKO__H3_HEADERS:
	case TAKO__H3_PUSH_PROMISE:
	case TAKO__H3_H2_PRIORITY:
	case TAKO__H3_H2_PING:
	case TAKO__H3_H2_WINDOW_UPDATE:
	case TAKO__H3_H2_CONTINUATION:
	case TAKO__H3_SETTINGS:
		return tako__h3_fail(h, NGHTTP3_H3_FRAME_UNEXPECTED, "on the control stream");
	case TAKO__H3_CANCEL_PUSH:
	case TAKO__H3_PRIORITY_UPDATE_PUSH:
		return wrong_id(h, "of a push that was not promised");
	default:
		return tako__h3_nuisance(h);
	}
}

static int begin_frame(struct tako__h3 *h)
{
	struct tako__h3_control *ctl = &h->control;

	ctl->payload_n = 0;
	if (!ctl->has_settings) {
		if (ctl->frame.type != TAKO__H3_SETTINGS)
			return tako__h3_fail(h, NGHTTP3_H3_MISSING_SETTINGS, "SETTINGS come first");
		ctl->has_settings = true;
		return ctl->frame.left <= SETTINGS_BYTES_MAX
		               ? 0
		               : tako__h3_fail(h, NGHTTP3_H3_EXCESSIVE_LOAD, "SETTINGS");
	}
	if (ctl->frame.left > FRAME_BYTES_MAX)
		return tako__h3_fail(h, NGHTTP3_H3_EXCESSIVE_LOAD, "a control frame");
	return check_type(h, ctl->frame.type);
}

static int read_payload(struct tako__h3 *h, const char *p, size_t n)
{
	struct tako__h3_control *ctl = &h->control;
	size_t room = sizeof ctl->payload - ctl->payload_n;

	if (ctl->frame.type == TAKO__H3_SETTINGS)
		return read_settings(h, p, p + n);
	if (!is_kept(ctl->frame.type))
		return 0;
	if (n > room)
		n = room;
	memcpy(ctl->payload + ctl->payload_n, p, n);
	ctl->payload_n += (uint32_t)n;
	return 0;
}

static int end_frame(struct tako__h3 *h, uint64_t whole)
{
	int rc = 0;

	if (h->control.frame.type == TAKO__H3_SETTINGS)
		rc = end_settings(h);
	else if (is_kept(h->control.frame.type))
		rc = end_payload(h, whole);
	tako__h3_frame_next(&h->control.frame);
	return rc;
}

int tako__h3_control_read(struct tako__h3 *h, const char *p, size_t n)
{
	struct tako__h3_control *ctl = &h->control;
	const char *end = p + n;
	int rc = 0;

	while (rc == 0 && !h->over) {
		size_t step;

		if (!ctl->frame.open) {
			if (!tako__h3_frame_read(&ctl->frame, &p, end))
				return 0;
			ctl->whole = ctl->frame.left;
			rc = begin_frame(h);
			if (rc < 0)
				return rc;
		}
		step = (uint64_t)(end - p) < ctl->frame.left ? (size_t)(end - p)
		                                             : (size_t)ctl->frame.left;
		rc = read_payload(h, p, step);
		p += step;
		ctl->frame.left -= step;
		if (rc < 0 || ctl->frame.left)
			return rc;
		rc = end_frame(h, ctl->whole);
	}
	return rc;
}

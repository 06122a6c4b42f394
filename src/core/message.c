/* SPDX-License-Identifier: MIT
 *
 * See message.h.  What is refused here would end an event too early for one kind of subscriber, or
 * be a frame that another must not be sent.
 */
#include "core/message.h"

#include <string.h>

#include "core/base.h"
#include "core/json.h"
#include "core/mem.h"

/* ---- What may be published ------------------------------------------------------------ */

static bool one_line(tako_str s)
{
	return !s.n || (!memchr(s.p, '\n', s.n) && !memchr(s.p, '\r', s.n) && !memchr(s.p, 0, s.n));
}

/* Eight letters at a time, since that is what most text is. */
static bool is_utf8(tako_str s)
{
	size_t i = 0;

	while (i < s.n) {
		uint64_t eight = UINT64_MAX;
		size_t n = sizeof eight;

		if (s.n - i >= sizeof eight)
			memcpy(&eight, s.p + i, sizeof eight);
		if (eight & UINT64_C(0x8080808080808080))
			n = tako__utf8_length(s.p + i, s.n - i);
		if (!n)
			return false;
		i += n;
	}
	return true;
}

int tako__message_import(tako_message *ret, const tako_message *m, uint64_t max_bytes)
{
	int rc = tako__import(ret, sizeof *ret, m, sizeof *ret, "message");

	if (rc < 0)
		return rc;
	if (ret->kind > TAKO_TOPIC_BINARY)
		return tako__fail(TAKO_EINVAL, "message: %u is no kind", ret->kind);
	if (ret->reserved)
		return tako__fail(TAKO_EINVAL, "message: reserved is not 0");
	if (!ret->data.p)
		return tako__fail(TAKO_EINVAL, "message: no data");
	if (!one_line(ret->event))
		return tako__fail(TAKO_EINVAL, "message: CR, LF or NUL in its event");
	if (!one_line(ret->id))
		return tako__fail(TAKO_EINVAL, "message: CR, LF or NUL in its id");
	if (ret->id.n > TAKO_SSE_ID_MAX_BYTES)
		return tako__fail(TAKO_EINVAL, "message: an id of %zu bytes, over %d", ret->id.n,
		                  TAKO_SSE_ID_MAX_BYTES);
	if (ret->data.n > max_bytes || ret->event.n > max_bytes || ret->data.n > UINT32_MAX / 4)
		return tako__fail(TAKO_ETOOBIG, "message: %zu bytes, over max_message_bytes",
		                  ret->data.n);
	if (ret->kind == TAKO_TOPIC_TEXT && !is_utf8(ret->data))
		return tako__fail(TAKO_EINVAL, "message: text that is no UTF-8");
	return 0;
}

/* ---- Copies ------------------------------------------------------------------------------ */

static tako_str copy(char **to, tako_str s)
{
	tako_str out = {s.p ? *to : NULL, s.n};

	if (s.p)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return out;
}

struct tako__message *tako__message_new(const tako_message *m)
{
	size_t n = m->data.n + m->event.n + m->id.n;
	struct tako__message *out = tako__alloc(sizeof *out + n);
	char *to;

	if (!out)
		return NULL;
	to = out->text;
	atomic_init(&out->refs, 1);
	out->kind = m->kind;
	out->bytes = sizeof *out + n;
	out->data = copy(&to, m->data);
	out->event = copy(&to, m->event);
	out->id = copy(&to, m->id);
	return out;
}

void tako__message_unref(struct tako__message *m)
{
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		tako__free(m, m->bytes);
}

/* ---- For other processes: a version, what is there, two lengths, then the text itself --------- */

enum {
	PACK_VERSION = 1,
	PACK_HEAD_BYTES = 11,
	HAS_DATA = 1,
	HAS_EVENT = 2,
	HAS_ID = 4,
	HAS_ALL = 7,
};

size_t tako__message_packed_bytes(const tako_message *m)
{
	return PACK_HEAD_BYTES + m->data.n + m->event.n + m->id.n;
}

/* Least significant byte first, whoever reads it. */
static void put_u32(char *to, size_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(v >> 8 * i & 0xff);
}

static size_t get_u32(const char *p)
{
	size_t v = 0;

	for (int i = 0; i < 4; i++)
		v |= (size_t)(unsigned char)p[i] << 8 * i;
	return v;
}

void tako__message_pack(char *to, const tako_message *m)
{
	to[0] = PACK_VERSION;
	to[1] = (char)m->kind;
	to[2] = (char)((m->data.p ? HAS_DATA : 0) | (m->event.p ? HAS_EVENT : 0) |
	               (m->id.p ? HAS_ID : 0));
	put_u32(to + 3, m->event.n);
	put_u32(to + 7, m->id.n);
	to += PACK_HEAD_BYTES;
	(void)copy(&to, m->event);
	(void)copy(&to, m->id);
	(void)copy(&to, m->data);
}

int tako__message_unpack(tako_message *ret, tako_str packed)
{
	const char *p = packed.p;
	size_t left = packed.n;
	size_t event_n;
	size_t id_n;
	unsigned has;

	if (left < PACK_HEAD_BYTES || p[0] != PACK_VERSION || (p[2] & ~HAS_ALL))
		return tako__fail(TAKO_EPROTO, "these %zu bytes are no message", packed.n);
	has = (unsigned)p[2];
	event_n = get_u32(p + 3);
	id_n = get_u32(p + 7);
	left -= PACK_HEAD_BYTES;
	if (event_n > left || id_n > left - event_n || (event_n && !(has & HAS_EVENT)) ||
	    (id_n && !(has & HAS_ID)) || (left - event_n - id_n && !(has & HAS_DATA)))
		return tako__fail(TAKO_EPROTO, "these %zu bytes are no message", packed.n);
	*ret = (tako_message){.size = sizeof *ret, .kind = (unsigned char)p[1]};
	p += PACK_HEAD_BYTES;
	ret->event = (tako_str){has & HAS_EVENT ? p : NULL, event_n};
	ret->id = (tako_str){has & HAS_ID ? p + event_n : NULL, id_n};
	ret->data = (tako_str){has & HAS_DATA ? p + event_n + id_n : NULL, left - event_n - id_n};
	return 0;
}

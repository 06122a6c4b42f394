/* SPDX-License-Identifier: MIT
 *
 * PRIORITY_UPDATE frames (RFC 9218 section 7.1), for requests that are there and for those that are
 * still to come, of which a few are remembered.
 *
 * nghttp2 would do it itself.  But it makes a stream for a request that is to come, keeps it on a
 * list, and up to 1.57 does not take it off that list when the request arrives: the stream is freed
 * as others are, the list leads into freed memory, and the connection counts one stream too
 * few for ever.
 */
#include "transports/h2/h2.h"
#include "transports/h2/h2_priority.h"

enum { ID_BYTES = 4 };

/* However it is cut.  What does not fit is no priority that means something to us, and is ignored as
 * a whole. */
int tako__h2_update_chunk(nghttp2_session *session, const nghttp2_frame_hd *hd, const uint8_t *p,
                          size_t n, void *arg)
{
	struct tako__h2 *h = arg;

	(void)session, (void)hd;
	if (n > sizeof h->update - h->update_n)
		n = sizeof h->update - h->update_n;
	memcpy(h->update + h->update_n, p, n);
	h->update_n += (uint32_t)n;
	return 0;
}

/* It is complete, and will be on_frame()'s. */
int tako__h2_update_unpack(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd,
                           void *arg)
{
	(void)session, (void)hd;
	*payload = arg;
	return 0;
}

static struct tako__h2_updated *find(struct tako__h2 *h, int32_t id)
{
	for (size_t i = 0; i < TAKO__H2_UPDATED_MAX; i++) {
		if (h->updated[i].id == id)
			return &h->updated[i];
	}
	return NULL;
}

static void keep(struct tako__h2 *h, int32_t id, struct tako__priority p)
{
	struct tako__h2_updated *u = find(h, id);

	if (!u)
		u = &h->updated[h->updated_count++ % TAKO__H2_UPDATED_MAX];
	*u = (struct tako__h2_updated){.id = id, .priority = p};
}

static void apply(struct tako__h2 *h, int32_t id, tako_str value)
{
	struct tako__priority p = tako__priority_parse(value);
	nghttp2_extpri pri = {.urgency = p.urgency, .inc = p.incremental};

	if (id > nghttp2_session_get_last_proc_stream_id(h->session))
		keep(h, id, p);
	else
		/* Of one that is over it changes nothing. */
		(void)nghttp2_session_change_extpri_stream_priority(h->session, id, &pri, 0);
}

void tako__h2_update(struct tako__h2 *h, const nghttp2_frame_hd *hd)
{
	const uint8_t *p = h->update;
	uint32_t n = h->update_n;
	uint32_t id;

	h->update_n = 0;
	if (n < ID_BYTES) {
		tako__h2_terminate(h, NGHTTP2_FRAME_SIZE_ERROR, "PRIORITY_UPDATE");
		return;
	}
	id = ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]) & INT32_MAX;
	/* We push nothing, so that there is no even one to speak of. */
	if (hd->stream_id || id % 2 == 0)
		tako__h2_terminate(h, NGHTTP2_PROTOCOL_ERROR, "PRIORITY_UPDATE of stream 0");
	else if (n < sizeof h->update)
		apply(h, (int32_t)id, (tako_str){(const char *)p + ID_BYTES, n - ID_BYTES});
}

const struct tako__priority *tako__h2_updated(struct tako__h2 *h, int32_t id)
{
	const struct tako__h2_updated *u = find(h, id);

	return u ? &u->priority : NULL;
}

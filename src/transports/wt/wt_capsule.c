/* SPDX-License-Identifier: MIT
 *
 * See wt_capsule.h.
 */
#include "transports/wt/wt_capsule.h"

#include <string.h>

#include "transports/ws/ws_utf8.h"

static bool length_ok(const struct tako__h3_frame *head)
{
	if (head->type == TAKO__WT_CLOSE_SESSION)
		return head->left >= 4 && head->left <= TAKO__WT_CLOSE_BYTES;
	return head->type != TAKO__WT_DRAIN_SESSION || head->left == 0;
}

static bool is_kept(const struct tako__h3_frame *head)
{
	return head->type == TAKO__WT_CLOSE_SESSION ||
	       (head->type == TAKO__WT_DATAGRAM && head->left <= TAKO__WT_KEPT_BYTES);
}

static int take_close(struct tako__wt_capsules *r)
{
	const unsigned char *p = (const unsigned char *)r->kept;
	struct tako__utf8 u = {0};

	r->code = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	r->reason = (tako_str){r->kept + 4, r->kept_n - 4};
	if (!tako__utf8_feed(&u, r->reason.p, r->reason.n) || !tako__utf8_done(&u))
		return TAKO_EPROTO;
	return TAKO__WT_CLOSED;
}

/* One is complete. */
static int take(struct tako__wt_capsules *r)
{
	uint64_t type = r->head.type;

	tako__h3_frame_next(&r->head);
	if (type == TAKO__WT_CLOSE_SESSION)
		return take_close(r);
	if (type == TAKO__WT_DATAGRAM && r->keeps) {
		r->datagram = (tako_str){r->kept, r->kept_n};
		return TAKO__WT_ARRIVED;
	}
	return type == TAKO__WT_DRAIN_SESSION ? TAKO__WT_DRAINS : TAKO__WT_MORE;
}

static int begin(struct tako__wt_capsules *r, const char **p, const char *end)
{
	if (!tako__h3_frame_read(&r->head, p, end))
		return 0;
	r->kept_n = 0;
	r->keeps = is_kept(&r->head);
	return length_ok(&r->head) ? 0 : TAKO_EPROTO;
}

int tako__wt_capsules_read(struct tako__wt_capsules *r, const char **p, const char *end)
{
	int rc = TAKO__WT_MORE;

	while (rc == TAKO__WT_MORE && *p < end) {
		size_t n;

		if (!r->head.open) {
			rc = begin(r, p, end);
			if (rc < 0 || !r->head.open)
				return rc;
		}
		n = (size_t)(end - *p);
		if (n > r->head.left)
			n = (size_t)r->head.left;
		if (n && r->keeps) {
			memcpy(r->kept + r->kept_n, *p, n);
			r->kept_n += (uint32_t)n;
		}
		*p += n;
		r->head.left -= n;
		if (!r->head.left)
			rc = take(r);
	}
	return rc;
}

size_t tako__wt_capsule_drain(char *to)
{
	return tako__h3_frame_write(to, TAKO__WT_DRAIN_SESSION, 0);
}

size_t tako__wt_capsule_close(char *to, uint32_t code, tako_str reason)
{
	size_t n = tako__h3_frame_write(to, TAKO__WT_CLOSE_SESSION, 4 + reason.n);

	for (unsigned shift = 32; shift;) {
		shift -= 8;
		to[n++] = (char)(code >> shift & 0xff);
	}
	if (reason.n)
		memcpy(to + n, reason.p, reason.n);
	return n + reason.n;
}

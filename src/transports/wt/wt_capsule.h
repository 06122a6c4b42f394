/* SPDX-License-Identifier: MIT
 *
 * Capsules (RFC 9297 section 3), as the stream that a session began with brings and takes them: which is
 * which, however the bytes are cut.  Sans-I/O; those that mean nothing to a session are passed over.
 */
#ifndef TAKO_WT_CAPSULE_H
#define TAKO_WT_CAPSULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tako/base.h>
#include <tako/webtransport.h>

#include "transports/h3/h3_frame.h"

/* RFC 9297 section 3.5; draft-ietf-webtrans-http3 sections 4.6 and 6. */
enum tako__wt_capsule_type {
	TAKO__WT_DATAGRAM = 0,
	TAKO__WT_CLOSE_SESSION = 0x2843,
	TAKO__WT_DRAIN_SESSION = 0x78ae,
};

enum {
	TAKO__WT_CLOSE_BYTES = 4 + TAKO_WT_REASON_BYTES, /* a code and a reason */
	TAKO__WT_CAPSULE_HEAD_BYTES = TAKO__H3_HEAD_BYTES,
	/* A datagram: more than any that comes as one of QUIC's on a path through the Internet.  A longer one is of
	 * no use, and is not kept (RFC 9297 section 3.5). */
	TAKO__WT_KEPT_BYTES = 1500,
};

/* What a read has come to. */
enum tako__wt_capsule_event {
	TAKO__WT_MORE,   /* all was looked at */
	TAKO__WT_CLOSED, /* `code` and `reason` are there */
	TAKO__WT_DRAINS,
	TAKO__WT_ARRIVED, /* `datagram` is there */
};

/* All zero: nothing has come yet. */
struct tako__wt_capsules {
	struct tako__h3_frame head; /* type and length are written as a frame's are */
	uint32_t kept_n;
	uint32_t code;
	tako_str reason; /* both in `kept` */
	tako_str datagram;
	bool keeps; /* the capsule that is being read */
	char kept[TAKO__WT_KEPT_BYTES];
};

/* Look at the bytes from *p on, up to the first capsule that means something, and move *p behind it.
 * TAKO_EPROTO: it is malformed. */
int tako__wt_capsules_read(struct tako__wt_capsules *r, const char **p, const char *end);
/* May the stream end here? */
static inline bool tako__wt_capsules_done(const struct tako__wt_capsules *r)
{
	return !tako__h3_frame_is_cut(&r->head);
}

/* Write one; return how long it is.  `to`: TAKO__WT_CAPSULE_HEAD_BYTES; and TAKO__WT_CLOSE_BYTES. */
size_t tako__wt_capsule_drain(char *to);
size_t tako__wt_capsule_close(char *to, uint32_t code, tako_str reason);

#endif /* TAKO_WT_CAPSULE_H */

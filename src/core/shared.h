/* SPDX-License-Identifier: MIT
 *
 * Bytes that many responses of one worker are sent: made once, lent to each, framed once where the
 * protocol frames them alike everywhere.
 */
#ifndef TAKO_CORE_SHARED_H
#define TAKO_CORE_SHARED_H

#include <stddef.h>
#include <stdint.h>

enum {
	TAKO__SHARED_HEAD_BYTES = 24, /* room in front of the bytes, for whoever frames them; */
	TAKO__SHARED_TAIL_BYTES = 8,  /* and behind */
};

struct tako__shared {
	uint32_t refs; /* on one thread */
	uint32_t
		frame_n; /* bytes of framing in front; 0: none yet.  That behind is then there, too */
	size_t n;
	size_t bytes; /* allocated */
	char text[];  /* room, n bytes, room */
};

static inline char *tako__shared_data(struct tako__shared *sh)
{
	return sh->text + TAKO__SHARED_HEAD_BYTES;
}

/* Room for n bytes, none of them there yet; one reference.  NULL without memory. */
struct tako__shared *tako__shared_new(size_t n);
static inline struct tako__shared *tako__shared_ref(struct tako__shared *sh)
{
	sh->refs++;
	return sh;
}
void tako__shared_unref(struct tako__shared *sh);

#endif /* TAKO_CORE_SHARED_H */

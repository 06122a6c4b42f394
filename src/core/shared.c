/* SPDX-License-Identifier: MIT
 *
 * See shared.h.
 */
#include "core/shared.h"

#include "core/mem.h"

struct tako__shared *tako__shared_new(size_t n)
{
	size_t bytes = sizeof(struct tako__shared) + TAKO__SHARED_HEAD_BYTES + n +
	               TAKO__SHARED_TAIL_BYTES;
	struct tako__shared *sh = bytes > n ? tako__alloc(bytes) : NULL;

	if (!sh)
		return NULL;
	sh->refs = 1;
	sh->frame_n = 0;
	sh->n = 0;
	sh->bytes = bytes;
	return sh;
}

void tako__shared_unref(struct tako__shared *sh)
{
	if (--sh->refs == 0)
		tako__free(sh, sh->bytes);
}

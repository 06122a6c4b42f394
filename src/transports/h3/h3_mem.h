/* SPDX-License-Identifier: MIT
 *
 * Memory of one QPACK decoder, given back as a whole.
 *
 * nghttp3 (0.8 to 1.8 at least) lets go twice of what it was adding to its table when an allocation fails
 * there: a decoder that has failed so must not be deleted, nor asked anything.  Its blocks are
 * therefore on a list, and the list is what is freed, then and always.
 */
#ifndef TAKO_H3_MEM_H
#define TAKO_H3_MEM_H

#include <nghttp3/nghttp3.h>

#include "core/list.h"
#include "transports/h2/h2_mem.h"

struct tako__h3_mem {
	nghttp3_mem mem;
	const nghttp2_mem *below; /* the worker's free lists */
	struct tako__list blocks;
};

void tako__h3_mem_init(struct tako__h3_mem *m, const struct tako__h2_mem *below);
/* Everything that was taken. */
void tako__h3_mem_fini(struct tako__h3_mem *m);

#endif /* TAKO_H3_MEM_H */

/* SPDX-License-Identifier: MIT
 *
 * Memory for the HTTP/2 library out of free lists of the worker: what a request takes is given
 * back before the next one asks.
 */
#ifndef TAKO_H2_MEM_H
#define TAKO_H2_MEM_H

#include <nghttp2/nghttp2.h>

#include "core/mem.h"

enum { TAKO__H2_MEM_CLASSES = 8 };

struct tako__h2_mem {
	nghttp2_mem mem; /* for nghttp2_session_server_new3() */
	struct tako__pool pools[TAKO__H2_MEM_CLASSES];
};

void tako__h2_mem_init(struct tako__h2_mem *m);
/* Everything must have been given back. */
void tako__h2_mem_fini(struct tako__h2_mem *m);

#endif /* TAKO_H2_MEM_H */

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
	nghttp2_mem mem; /* for nghttp2_session_server_new3() and its like */
	struct tako__pool pools[TAKO__H2_MEM_CLASSES];
	void *frame;  /* what all sessions write their frames into; NULL before the first */
	bool is_open; /* a session is being made that has not asked for it */
};

void tako__h2_mem_init(struct tako__h2_mem *m);
/* As nghttp2_session_server_new3(); its buffer for frames is shared with the others that come from
 * here, of which only one may be inside nghttp2_session_mem_send() or use what that returned. */
int tako__h2_mem_session(struct tako__h2_mem *m, nghttp2_session **out,
                         const nghttp2_session_callbacks *callbacks, void *arg,
                         const nghttp2_option *option);
/* The same, of a client. */
int tako__h2_mem_client_session(struct tako__h2_mem *m, nghttp2_session **out,
                                const nghttp2_session_callbacks *callbacks, void *arg,
                                const nghttp2_option *option);
/* Everything must have been given back. */
void tako__h2_mem_fini(struct tako__h2_mem *m);

#endif /* TAKO_H2_MEM_H */

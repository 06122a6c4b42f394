/* SPDX-License-Identifier: MIT
 *
 * Bytes that grow.
 */
#ifndef TAKO_CLIENT_BUF_H
#define TAKO_CLIENT_BUF_H

#include <stddef.h>

struct tako__client_buf {
	char *p;
	size_t n;
	size_t cap;
};

/* TAKO_ENOMEM: it is as before. */
int tako__client_buf_add(struct tako__client_buf *b, const char *p, size_t n);
void tako__client_buf_free(struct tako__client_buf *b);

#endif /* TAKO_CLIENT_BUF_H */

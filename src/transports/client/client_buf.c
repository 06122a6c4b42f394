/* SPDX-License-Identifier: MIT
 *
 * See client_buf.h.
 */
#include "transports/client/client_buf.h"

#include <string.h>

#include "core/base.h"
#include "core/mem.h"

int tako__client_buf_add(struct tako__client_buf *b, const char *p, size_t n)
{
	if (b->cap - b->n < n) {
		size_t cap = b->cap * 2 < b->n + n ? b->n + n : b->cap * 2;
		char *more = tako__resize(b->p, b->cap, cap);

		if (!more)
			return tako__fail(TAKO_ENOMEM, "fetch: out of memory");
		b->p = more;
		b->cap = cap;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

void tako__client_buf_free(struct tako__client_buf *b)
{
	tako__free(b->p, b->cap);
	*b = (struct tako__client_buf){NULL, 0, 0};
}

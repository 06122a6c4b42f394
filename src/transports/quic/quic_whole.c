/* SPDX-License-Identifier: MIT
 *
 * See quic_whole.h.
 */
#include "transports/quic/quic_whole.h"

#include "core/mem.h"

enum { HEAD_BYTES = 4, FIRST_BYTES = 2048 }; /* of a message; of what is kept */

static size_t message_bytes(const uint8_t *p)
{
	return HEAD_BYTES + ((size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]);
}

/* How much of it is whole messages. */
static size_t whole_bytes(const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (n - at >= HEAD_BYTES && message_bytes(p + at) <= n - at)
		at += message_bytes(p + at);
	return at;
}

void tako__quic_whole_fini(struct tako__quic_whole *w)
{
	tako__free(w->p, w->cap);
	*w = (struct tako__quic_whole){NULL, 0, 0};
}

static int keep(struct tako__quic_whole *w, const uint8_t *p, size_t n)
{
	size_t cap = w->cap ? w->cap : FIRST_BYTES;
	uint8_t *grown;

	if (n > TAKO__QUIC_MESSAGE_BYTES_MAX - w->n)
		return TAKO_ETOOBIG;
	/* As bytes come, not as a head promises: a promise is free. */
	while (cap - w->n < n)
		cap *= 2;
	if (cap != w->cap) {
		grown = tako__resize(w->p, w->cap, cap);
		if (!grown)
			return TAKO_ENOMEM;
		w->p = grown;
		w->cap = cap;
	}
	memcpy(w->p + w->n, p, n);
	w->n += n;
	return w->n >= HEAD_BYTES && message_bytes(w->p) > TAKO__QUIC_MESSAGE_BYTES_MAX
	               ? TAKO_ETOOBIG
	               : 0;
}

int tako__quic_whole_feed(struct tako__quic_whole *w, const uint8_t *p, size_t n,
                          int (*fn)(void *arg, const uint8_t *p, size_t n), void *arg)
{
	size_t whole = w->n ? 0 : whole_bytes(p, n);
	int rc = whole ? fn(arg, p, whole) : 0;

	if (rc != 0 || whole == n)
		return rc;
	rc = keep(w, p + whole, n - whole);
	whole = rc == 0 ? whole_bytes(w->p, w->n) : 0;
	if (!whole)
		return rc;
	rc = fn(arg, w->p, whole);
	w->n -= whole;
	if (w->n)
		memmove(w->p, w->p + whole, w->n);
	else
		tako__quic_whole_fini(w);
	return rc;
}

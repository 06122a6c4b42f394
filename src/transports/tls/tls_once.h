/* SPDX-License-Identifier: MIT
 *
 * A strike register (RFC 8446 section 8.2): which tickets have brought early data already.  One for
 * all workers of a listener, of a fixed size; what it has no room for counts as seen.
 */
#ifndef TAKO_TLS_ONCE_H
#define TAKO_TLS_ONCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	/* A ticket is remembered for one period at least, and two at most.  wolfSSL takes no early
	 * data that is more than 12 seconds from where the ticket's age puts it. */
	TAKO__TLS_ONCE_PERIOD_S = 30,
	/* In a period; half a MiB, and twice that as the last one is remembered too. */
	TAKO__TLS_ONCE_MAX = 49152,
};

struct tako__tls_once;

/* NULL without memory.  [any] */
struct tako__tls_once *tako__tls_once_new(void);
void tako__tls_once_free(struct tako__tls_once *o);

/* Is this the first time that `id` is seen?  An id is random, and of those who cannot choose it.
 * [any] */
bool tako__tls_once_take(struct tako__tls_once *o, uint64_t id, uint64_t now_ns);

#endif /* TAKO_TLS_ONCE_H */

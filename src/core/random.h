/* SPDX-License-Identifier: MIT
 *
 * Unguessable bytes from the kernel, fetched a few hundred at a time per thread; for ids,
 * boundaries and seeds of hashes.  Not for long-lived keys.
 */
#ifndef TAKO_CORE_RANDOM_H
#define TAKO_CORE_RANDOM_H

#include <stddef.h>

/* Fill n bytes.  TAKO_ESYS: the kernel has none, which cannot be on any kernel we run on.
 * A forked child never repeats its parent's.  [any] */
int tako__random(void *to, size_t n);

enum { TAKO__UUID_CHARS = 36 };

/* Write a random UUID, "f81d4fae-7dec-4d0a-a765-00a0c91e6bf6" (RFC 9562 section 5.4), without
 * a NUL.  TAKO_ESYS.  [any] */
int tako__uuid(char *to);

#endif /* TAKO_CORE_RANDOM_H */

/* SPDX-License-Identifier: MIT
 *
 * SipHash-1-3, for tables whose keys peers choose, who would choose what collides.
 */
#ifndef TAKO_CORE_KEYED_H
#define TAKO_CORE_KEYED_H

#include <stddef.h>
#include <stdint.h>

/* `key` is chance, and nobody else's to know. */
uint64_t tako__keyed_hash(const uint64_t key[2], const void *bytes, size_t n);

#endif /* TAKO_CORE_KEYED_H */

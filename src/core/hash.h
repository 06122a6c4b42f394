/* SPDX-License-Identifier: MIT
 *
 * FNV-1a, for tables whose keys no peer chooses, who would make them collide; and to tell names apart.
 */
#ifndef TAKO_CORE_HASH_H
#define TAKO_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define TAKO__HASH_START 2166136261u

/* Of what `hash` is of already, and these bytes behind it. */
static inline uint32_t tako__hash(uint32_t hash, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)p[i]) * 16777619u;
	return hash;
}

#endif /* TAKO_CORE_HASH_H */

/* SPDX-License-Identifier: MIT
 *
 * See ws_zlib.h.  zlib says no size when it frees, so a word in front of each block does.
 */
#include "transports/ws/ws_zlib.h"

#include "core/mem.h"

enum { HEAD_BYTES = 16 }; /* keeps what follows aligned */

static void *get(void *arg, unsigned count, unsigned each)
{
	size_t bytes = (size_t)count * each + HEAD_BYTES;
	char *p = tako__alloc(bytes);

	(void)arg;
	if (!p)
		return NULL;
	memcpy(p, &bytes, sizeof(bytes));
	return p + HEAD_BYTES;
}

static void put(void *arg, void *p)
{
	char *block = (char *)p - HEAD_BYTES;
	size_t bytes;

	(void)arg;
	memcpy(&bytes, block, sizeof(bytes));
	tako__free(block, bytes);
}

static struct tako__ws_z *fresh(int bits, int mem_level, int level)
{
	struct tako__ws_z *z = tako__zalloc(sizeof(*z));

	if (!z)
		return NULL;
	z->z.zalloc = get;
	z->z.zfree = put;
	z->bits = bits;
	z->mem_level = mem_level;
	z->level = level;
	return z;
}

static struct tako__ws_z *unless(struct tako__ws_z *z, int rc)
{
	if (rc == Z_OK)
		return z;
	tako__free(z, sizeof(*z));
	return NULL;
}

/* ---- Free streams ----------------------------------------------------------------- */

/* Take the first that is alike out of a list. */
static struct tako__ws_z *alike(struct tako__ws_z **at, int bits, int mem_level, int level)
{
	for (; *at; at = &(*at)->next) {
		struct tako__ws_z *z = *at;

		if (z->bits == bits && z->mem_level == mem_level && z->level == level) {
			*at = z->next;
			return z;
		}
	}
	return NULL;
}

static void end(struct tako__ws_z *z, int (*end_fn)(z_streamp))
{
	(void)end_fn(&z->z);
	tako__free(z, sizeof(*z));
}

/* The one that was not asked for longest makes room, so that streams of a kind that went out of use
 * are not kept instead of those in use. */
static void keep(struct tako__ws_z **list, struct tako__ws_z *z, int (*end_fn)(z_streamp))
{
	struct tako__ws_z **at;
	unsigned count = 1;

	z->next = *list;
	*list = z;
	for (at = &z->next; *at; at = &(*at)->next) {
		if (++count <= TAKO__WS_Z_KEPT)
			continue;
		end(*at, end_fn);
		*at = NULL;
		break;
	}
}

void tako__ws_zpool_fini(struct tako__ws_zpool *pool)
{
	struct tako__ws_z *next;

	for (struct tako__ws_z *z = pool->deflaters; z; z = next) {
		next = z->next;
		end(z, deflateEnd);
	}
	for (struct tako__ws_z *z = pool->inflaters; z; z = next) {
		next = z->next;
		end(z, inflateEnd);
	}
	pool->deflaters = pool->inflaters = NULL;
}

/* ---- Streams ------------------------------------------------------------------------ */

struct tako__ws_z *tako__ws_z_deflater(struct tako__ws_zpool *pool, int bits, int mem_level,
                                       int level)
{
	struct tako__ws_z *z = alike(&pool->deflaters, bits, mem_level, level);

	if (z) {
		(void)deflateReset(&z->z);
		return z;
	}
	z = fresh(bits, mem_level, level);
	return z ? unless(z, deflateInit2(&z->z, level, Z_DEFLATED, -bits, mem_level,
	                                  Z_DEFAULT_STRATEGY))
	         : NULL;
}

/* Who says 8 may be a zlib that quietly makes it 9. */
static int inflater_bits(int bits)
{
	return bits < TAKO__WS_Z_MIN_BITS ? TAKO__WS_Z_MIN_BITS : bits;
}

struct tako__ws_z *tako__ws_z_inflater(struct tako__ws_zpool *pool, int bits)
{
	struct tako__ws_z *z;

	bits = inflater_bits(bits);
	z = alike(&pool->inflaters, bits, 0, 0);
	if (z) {
		(void)inflateReset(&z->z);
		return z;
	}
	z = fresh(bits, 0, 0);
	return z ? unless(z, inflateInit2(&z->z, -bits)) : NULL;
}

void tako__ws_z_put_deflater(struct tako__ws_zpool *pool, struct tako__ws_z *z)
{
	if (z)
		keep(&pool->deflaters, z, deflateEnd);
}

void tako__ws_z_put_inflater(struct tako__ws_zpool *pool, struct tako__ws_z *z)
{
	if (z)
		keep(&pool->inflaters, z, inflateEnd);
}

/* ---- What they cost ------------------------------------------------------------------ */

/* zconf.h: "(1 << (windowBits+2)) + (1 << (memLevel+9))" and "1 << windowBits", each "plus a few
 * kilobytes for small objects", and our heads. */
size_t tako__ws_z_deflater_bytes(int bits, int mem_level)
{
	return sizeof(struct tako__ws_z) + 6144 + ((size_t)4 << bits) + ((size_t)512 << mem_level);
}

size_t tako__ws_z_inflater_bytes(int bits)
{
	return sizeof(struct tako__ws_z) + 7424 + ((size_t)1 << inflater_bits(bits));
}

/* SPDX-License-Identifier: MIT
 *
 * How many connections each address has, over all workers: for max_connections_per_ip.
 * Made only when that is set; one lock, taken at accept and close.
 */
#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "core/server.h"

/* Open addressing would need tombstones; chains from a fixed array of slots need neither them
 * nor memory per connection: there are never more addresses than connections. */
struct slot {
	uint64_t key;
	uint32_t count; /* 0: free */
	uint32_t next;  /* index + 1 */
};

struct tako__ip_table {
	pthread_mutex_t lock;
	uint64_t seed; /* addresses are the peers' choice, their buckets must not be */
	uint32_t slot_count;
	uint32_t free; /* index + 1 */
	uint32_t *buckets;
	struct slot *slots;
};

enum { SLOTS_MAX = 1 << 20 };

struct tako__ip_table *tako__ip_new(uint32_t max_connections)
{
	struct tako__ip_table *t = tako__zalloc(sizeof *t);

	if (!t)
		return NULL;
	t->slot_count = max_connections < SLOTS_MAX ? max_connections + TAKO__WORKERS_MAX
	                                            : SLOTS_MAX;
	t->buckets = tako__zalloc(t->slot_count * sizeof *t->buckets);
	t->slots = tako__zalloc(t->slot_count * sizeof *t->slots);
	pthread_mutex_init(&t->lock, NULL);
	if (!t->buckets || !t->slots || getrandom(&t->seed, sizeof t->seed, 0) != sizeof t->seed) {
		tako__ip_free(t);
		return NULL;
	}
	for (uint32_t i = 0; i < t->slot_count; i++)
		t->slots[i].next = i + 1 < t->slot_count ? i + 2 : 0;
	t->free = 1;
	return t;
}

void tako__ip_free(struct tako__ip_table *t)
{
	if (!t)
		return;
	tako__free(t->buckets, t->slot_count * sizeof *t->buckets);
	tako__free(t->slots, t->slot_count * sizeof *t->slots);
	pthread_mutex_destroy(&t->lock);
	tako__free(t, sizeof *t);
}

/* Begins as no /64 of the Internet does: 0::/8 is reserved (RFC 4291 section 2.4). */
static uint64_t key_of_v4(const void *addr)
{
	unsigned char bytes[8] = {0, 0, 0xff, 0xff};
	uint64_t key;

	memcpy(bytes + 4, addr, 4);
	memcpy(&key, bytes, 8);
	return key;
}

/* An IPv4 address, mapped or not, or the /64 that one IPv6 customer has. */
static uint64_t key_of(const struct sockaddr *sa)
{
	uint64_t key = 0;

	if (sa->sa_family == AF_INET)
		return key_of_v4(&((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	if (sa->sa_family == AF_INET6) {
		const struct in6_addr *a =
			&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;

		if (IN6_IS_ADDR_V4MAPPED(a))
			return key_of_v4(&a->s6_addr[12]);
		memcpy(&key, a, 8);
	}
	return key;
}

static uint32_t *bucket_of(struct tako__ip_table *t, uint64_t key)
{
	uint64_t h = (key ^ t->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return &t->buckets[(h >> 32) % t->slot_count];
}

/* The link that points to the key's slot, or the end of its chain. */
static uint32_t *find(struct tako__ip_table *t, uint64_t key)
{
	uint32_t *at = bucket_of(t, key);

	while (*at && t->slots[*at - 1].key != key)
		at = &t->slots[*at - 1].next;
	return at;
}

static bool enter_locked(struct tako__ip_table *t, uint64_t key, uint32_t max)
{
	uint32_t *at = find(t, key);
	struct slot *s;

	if (*at) {
		s = &t->slots[*at - 1];
		if (s->count >= max)
			return false;
		s->count++;
		return true;
	}
	if (!t->free)
		return false;
	*at = t->free;
	s = &t->slots[t->free - 1];
	t->free = s->next;
	*s = (struct slot){.key = key, .count = 1};
	return true;
}

bool tako__ip_enter(struct tako__ip_table *t, const struct sockaddr *sa, uint32_t max)
{
	bool ok;

	pthread_mutex_lock(&t->lock);
	ok = enter_locked(t, key_of(sa), max);
	pthread_mutex_unlock(&t->lock);
	return ok;
}

void tako__ip_leave(struct tako__ip_table *t, const struct sockaddr *sa)
{
	uint32_t *at;

	pthread_mutex_lock(&t->lock);
	at = find(t, key_of(sa));
	if (*at && --t->slots[*at - 1].count == 0) {
		uint32_t index = *at;
		struct slot *s = &t->slots[index - 1];

		*at = s->next;
		s->next = t->free;
		t->free = index;
	}
	pthread_mutex_unlock(&t->lock);
}

/* SPDX-License-Identifier: MIT
 *
 * See udp_peers.h.  Nobody is told of an end inside a call of his: who is closed leaves the table at once,
 * and is told and freed by the timer.
 */
#include "transports/raw/udp_peers.h"

#include "core/keyed.h"
#include "transports/raw/udp_int.h"

enum { FIRST_SLOTS = 16 };

/* ---- The table ------------------------------------------------------------------------------------------ */

static size_t peer_bytes(const struct tako_udp *u)
{
	return sizeof(struct tako_udp_peer) + u->cfg->peer_user_bytes;
}

/* What makes a peer: its address and port, and the scope that an IPv6 address has its meaning in. */
static uint8_t make_key(uint8_t key[TAKO__UDP_KEY_BYTES], const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(key, 0, TAKO__UDP_KEY_BYTES);
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof in);
		memcpy(key, &in.sin_addr, 4);
		memcpy(key + 4, &in.sin_port, 2);
		return 8;
	}
	memcpy(&in6, sa, sizeof in6);
	memcpy(key, &in6.sin6_addr, 16);
	memcpy(key + 16, &in6.sin6_port, 2);
	memcpy(key + 20, &in6.sin6_scope_id, 4);
	return TAKO__UDP_KEY_BYTES;
}

static struct tako_udp_peer **slot_of(const struct tako__udp_peers *t, uint64_t hash)
{
	return &t->slots[hash & (t->slot_count - 1)];
}

static struct tako_udp_peer *find(const struct tako__udp_peers *t, uint64_t hash,
                                  const uint8_t *key, uint8_t n)
{
	struct tako_udp_peer *p = *slot_of(t, hash);

	while (p && (p->hash != hash || p->key_n != n || memcmp(p->key, key, n) != 0))
		p = p->next;
	return p;
}

/* Without memory for more slots it goes on with longer chains. */
static void grow(struct tako__udp_peers *t)
{
	size_t had = t->slot_count;
	struct tako_udp_peer **old = t->slots;
	struct tako_udp_peer **slots = tako__zalloc(had * 2 * sizeof(void *));

	if (!slots)
		return;
	t->slots = slots;
	t->slot_count = had * 2;
	for (size_t i = 0; i < had; i++) {
		struct tako_udp_peer *next;

		for (struct tako_udp_peer *p = old[i]; p; p = next) {
			struct tako_udp_peer **to = slot_of(t, p->hash);

			next = p->next;
			p->next = *to;
			*to = p;
		}
	}
	tako__free(old, had * sizeof(void *));
}

static void insert(struct tako__udp_peers *t, struct tako_udp_peer *p)
{
	struct tako_udp_peer **to;

	if (t->count >= t->slot_count)
		grow(t);
	to = slot_of(t, p->hash);
	p->next = *to;
	*to = p;
	t->count++;
	tako__list_push_back(&t->living, &p->link);
}

/* ---- Ends ------------------------------------------------------------------------------------------------- */

static void bury(struct tako_udp_peer *p, int why)
{
	struct tako__udp_peers *t = &p->u->peers;
	struct tako_udp_peer **at = slot_of(t, p->hash);

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	t->count--;
	p->dead = true;
	p->why = why;
	tako__list_remove(&p->link);
	tako__list_push_back(&t->dead, &p->link);
}

/* What it does may end others. */
static void tell_dead(struct tako_udp *u)
{
	struct tako__list *at;

	while ((at = tako__list_pop_front(&u->peers.dead))) {
		struct tako_udp_peer *p = TAKO__CONTAINER(at, struct tako_udp_peer, link);

		p->closing = true;
		if (u->cfg->on_peer_close)
			u->cfg->on_peer_close(p, p->why, u->cfg->arg);
		tako__free(p, peer_bytes(u));
		atomic_fetch_sub(&u->shared->peer_count, 1);
		tako__add(&u->counts->peers_closed, 1);
	}
}

static void watch(struct tako_udp *u)
{
	struct tako__udp_peers *t = &u->peers;
	struct tako__wheel *wheel = &u->ls->worker->wheel;
	const struct tako_udp_peer *first;

	if (!tako__list_empty(&t->dead)) {
		tako__timer_set(wheel, &t->timer, tako__now_ns(u->ls->worker));
		return;
	}
	if (tako__list_empty(&t->living) || u->cfg->peer_idle_timeout_ms == TAKO_OFF)
		return;
	first = TAKO__CONTAINER(t->living.next, struct tako_udp_peer, link);
	tako__timer_set(wheel, &t->timer,
	                first->active_ns + (uint64_t)u->cfg->peer_idle_timeout_ms * 1000000);
}

static bool is_idle(const struct tako_udp *u, const struct tako_udp_peer *p, uint64_t now_ns)
{
	return u->cfg->peer_idle_timeout_ms != TAKO_OFF &&
	       now_ns >= p->active_ns + (uint64_t)u->cfg->peer_idle_timeout_ms * 1000000;
}

static void on_timer(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__udp_peers *t = TAKO__CONTAINER(timer, struct tako__udp_peers, timer);
	struct tako_udp *u = TAKO__CONTAINER(t, struct tako_udp, peers);

	while (!tako__list_empty(&t->living)) {
		struct tako_udp_peer *p = TAKO__CONTAINER(t->living.next, struct tako_udp_peer,
		                                          link);

		if (!is_idle(u, p, now_ns))
			break;
		tako__add(&u->ls->worker->stats.timeouts, 1);
		bury(p, TAKO_ETIMEDOUT);
	}
	tell_dead(u);
	watch(u);
}

void tako__udp_peers_end(struct tako_udp *u)
{
	if (!u->peers.slots)
		return;
	while (!tako__list_empty(&u->peers.living))
		bury(TAKO__CONTAINER(u->peers.living.next, struct tako_udp_peer, link),
		     TAKO_ECLOSED);
	tell_dead(u);
	tako__timer_clear(&u->ls->worker->wheel, &u->peers.timer);
}

/* ---- Life --------------------------------------------------------------------------------------------------- */

int tako__udp_peers_init(struct tako_udp *u)
{
	struct tako__udp_peers *t = &u->peers;

	tako__list_init(&t->living);
	tako__list_init(&t->dead);
	tako__timer_init(&t->timer, on_timer);
	if (!u->cfg->max_peers)
		return 0;
	t->slots = tako__zalloc(FIRST_SLOTS * sizeof(void *));
	if (!t->slots)
		return tako__fail(TAKO_ENOMEM, "UDP: out of memory");
	t->slot_count = FIRST_SLOTS;
	return 0;
}

void tako__udp_peers_fini(struct tako_udp *u)
{
	tako__free(u->peers.slots, u->peers.slot_count * sizeof(void *));
}

static void touch(struct tako_udp_peer *p)
{
	struct tako__udp_peers *t = &p->u->peers;
	uint64_t now = tako__now_ns(p->u->ls->worker);

	if (p->active_ns == now || p->dead)
		return;
	p->active_ns = now;
	tako__list_remove(&p->link);
	tako__list_push_back(&t->living, &p->link);
}

static void note_local(struct tako_udp_peer *p, const tako_udp_in *in)
{
	if (!p->u->any || !in->to)
		return;
	memcpy(&p->local, in->to, in->to_bytes);
	p->local_n = in->to_bytes;
}

/* Counted before it is looked at, so that no two workers get the last place. */
static struct tako_udp_peer *make(struct tako_udp *u)
{
	struct tako_udp_peer *p = NULL;

	if (atomic_fetch_add(&u->shared->peer_count, 1) < u->cfg->max_peers)
		p = tako__zalloc(peer_bytes(u));
	if (!p) {
		atomic_fetch_sub(&u->shared->peer_count, 1);
		tako__add(&u->counts->peers_refused, 1);
	}
	return p;
}

static struct tako_udp_peer *open_peer(struct tako_udp *u, const tako_udp_in *in, uint64_t hash,
                                       const uint8_t *key, uint8_t n)
{
	struct tako_udp_peer *p = make(u);
	bool first = tako__list_empty(&u->peers.living);
	int rc = 0;

	if (!p)
		return NULL;
	p->u = u;
	p->hash = hash;
	p->key_n = n;
	memcpy(p->key, key, n);
	memcpy(&p->addr, in->from, in->from_bytes);
	p->addr_n = in->from_bytes;
	p->active_ns = tako__now_ns(u->ls->worker);
	note_local(p, in);
	insert(&u->peers, p);
	tako__add(&u->counts->peers_opened, 1);
	if (first)
		watch(u);
	if (u->cfg->on_peer_open)
		rc = u->cfg->on_peer_open(p, in, u->cfg->arg);
	if (rc < 0 && !p->dead) {
		bury(p, rc);
		watch(u);
	}
	return p->dead ? NULL : p;
}

struct tako_udp_peer *tako__udp_peers_hear(struct tako_udp *u, const tako_udp_in *in)
{
	uint8_t key[TAKO__UDP_KEY_BYTES];
	uint8_t n = make_key(key, in->from);
	uint64_t hash = tako__keyed_hash(u->shared->key, key, n);
	struct tako_udp_peer *p = find(&u->peers, hash, key, n);

	if (TAKO__UNLIKELY(!p))
		return open_peer(u, in, hash, key, n);
	touch(p);
	note_local(p, in);
	return p;
}

/* ---- What a user may ask for ----------------------------------------------------------------------------------- */

int64_t tako_udp_peer_send(tako_udp_peer *p, tako_str data, uint32_t segment_bytes)
{
	struct tako__udp_path path = {.to = &p->addr.any, .to_n = p->addr_n};

	if (p->local_n) {
		path.from = &p->local.any;
		path.from_n = p->local_n;
	}
	/* A goodbye from on_peer_close() is heard. */
	if (p->dead && !p->closing)
		return TAKO_ESTATE;
	touch(p);
	return tako__udp_send(p->u, &path, data, segment_bytes);
}

void tako_udp_peer_close(tako_udp_peer *p)
{
	if (p->dead)
		return;
	bury(p, 0);
	watch(p->u);
}

void *tako_udp_peer_user(const tako_udp_peer *p)
{
	return p->u->cfg->peer_user_bytes ? (void *)(uintptr_t)p->user : NULL;
}

const struct sockaddr *tako_udp_peer_addr(const tako_udp_peer *p, uint32_t *bytes)
{
	*bytes = p->addr_n;
	return &p->addr.any;
}

tako_udp *tako_udp_peer_udp(const tako_udp_peer *p)
{
	return p->u;
}

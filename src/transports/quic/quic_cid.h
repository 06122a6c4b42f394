/* SPDX-License-Identifier: MIT
 *
 * Connection ids (RFC 9000 section 5.1) and whose they are.  Ours name the worker that has the
 * connection, so that a datagram finds it after its sender's address, and with it the kernel's
 * choice of socket, has changed; only who knows the key can tell which worker that is, or that two
 * ids are of the same one.
 */
#ifndef TAKO_QUIC_CID_H
#define TAKO_QUIC_CID_H

#include "core/mem.h"
#include "transports/quic/quic_ngtcp2.h"

/* One byte for the worker, the rest is chance: nobody guesses an id, nor do two collide. */
enum { TAKO__QUIC_CID_BYTES = 12 };

struct tako__quic_key {
	uint64_t k[2];
};

/* SipHash-1-3: peers choose some of what is looked up, and would choose what collides. */
uint64_t tako__quic_hash(const struct tako__quic_key *key, const uint8_t *p, size_t n);

/* A new id for a connection of this worker.  TAKO_ESYS. */
int tako__quic_cid_new(ngtcp2_cid *ret, const struct tako__quic_key *key, unsigned worker);
/* Whose it is, if it is one of ours; what is not names a worker all the same, by chance. */
unsigned tako__quic_cid_worker(const uint8_t *cid, const struct tako__quic_key *key);

/* ---- Those in use on one worker ------------------------------------------------------------ */

struct tako__quic;
struct tako__quic_tomb;

struct tako__quic_cid {
	struct tako__quic_cid *next;    /* of those with the same remainder */
	struct tako__quic_cid *sibling; /* the owner's next one */
	struct tako__quic *q;           /* NULL: `tomb` */
	struct tako__quic_tomb *tomb;
	uint64_t hash;
	uint8_t n;
	uint8_t p[NGTCP2_MAX_CIDLEN];
};

struct tako__quic_table {
	struct tako__quic_cid **slots; /* a power of two of them */
	size_t slot_count;
	size_t count;
	struct tako__quic_key key;
	struct tako__pool pool;
};

/* TAKO_ENOMEM. */
int tako__quic_table_init(struct tako__quic_table *t, const struct tako__quic_key *key);
void tako__quic_table_fini(struct tako__quic_table *t);

struct tako__quic_cid *tako__quic_table_find(const struct tako__quic_table *t, const uint8_t *p,
                                             size_t n);
/* Add one to those of an owner, `list`.  TAKO_EEXIST: somebody has it; TAKO_ENOMEM. */
int tako__quic_table_add(struct tako__quic_table *t, struct tako__quic_cid **list,
                         struct tako__quic *q, const uint8_t *p, size_t n);
/* Take one out of them; fine if it is not there. */
void tako__quic_table_remove(struct tako__quic_table *t, struct tako__quic_cid **list,
                             const uint8_t *p, size_t n);
/* Take all of them out. */
void tako__quic_table_clear(struct tako__quic_table *t, struct tako__quic_cid **list);

#endif /* TAKO_QUIC_CID_H */

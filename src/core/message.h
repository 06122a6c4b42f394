/* SPDX-License-Identifier: MIT
 *
 * A published message: checked and copied once, then shared by all workers, and packed into bytes for
 * other processes.
 */
#ifndef TAKO_CORE_MESSAGE_H
#define TAKO_CORE_MESSAGE_H

#include <stdatomic.h>

#include <tako/topic.h>

/* Immutable but for its references. */
struct tako__message {
	_Atomic uint32_t refs;
	uint32_t kind;
	tako_str data;
	tako_str event;
	tako_str id;
	size_t bytes; /* of all of it */
	char text[];
};

/* Copy a user's config struct into ours, and see whether it can be published.  TAKO_EINVAL,
 * TAKO_ENOTSUP, TAKO_ETOOBIG, with a sentence. */
int tako__message_import(tako_message *ret, const tako_message *m, uint64_t max_bytes);
/* With one reference; NULL without memory. */
struct tako__message *tako__message_new(const tako_message *m);
static inline struct tako__message *tako__message_ref(struct tako__message *m)
{
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	return m;
}
void tako__message_unref(struct tako__message *m);

/* The bytes that it is packed into, and those. */
size_t tako__message_packed_bytes(const tako_message *m);
void tako__message_pack(char *to, const tako_message *m);
/* Undo it: views of `packed`, which still have to be imported.  TAKO_EPROTO: nobody packed that. */
int tako__message_unpack(tako_message *ret, tako_str packed);

#endif /* TAKO_CORE_MESSAGE_H */

/* SPDX-License-Identifier: MIT
 *
 * The seam between topics and those who subscribe to them.  A topic knows no format: who subscribes
 * makes of a batch of messages what its kind needs, once for all subscribers of the kind on a worker,
 * and sends it on.
 */
#ifndef TAKO_CORE_TOPIC_H
#define TAKO_CORE_TOPIC_H

#include <tako/topic.h>

#include "core/list.h"
#include "core/message.h"

struct tako__worker;
struct tako__end;
struct tako__sub;

enum { TAKO__BATCH_MAX = 64, TAKO__BATCH_BYTES = 16 << 10 };

/* What one worker sends at once: messages in their order, up to TAKO__BATCH_BYTES unless the first is
 * larger. */
struct tako__batch {
	uint64_t first; /* the number of the first */
	unsigned count;
	struct tako__message *messages[TAKO__BATCH_MAX];
};

enum tako__sub_kind { TAKO__SUB_SSE, TAKO__SUB_WS, TAKO__SUB_KINDS };

struct tako__sub_ops {
	enum tako__sub_kind kind;
	/* What all subscribers of this kind are sent, made for the first of them; freed when the last
	 * has been told, who takes references of what he still needs.  NULL: without memory. */
	void *(*make)(struct tako__worker *w, const struct tako__batch *b);
	void (*free)(struct tako__worker *w, void *made);
	/* Send it on.  May run user code, which may subscribe and unsubscribe anybody.  Returns how
	 * many messages the subscriber was given. */
	unsigned (*deliver)(struct tako__sub *s, const struct tako__batch *b, void *made);
};

/* Embedded in whatever subscribes; on its loop only. */
struct tako__sub {
	struct tako__list link;
	const struct tako__sub_ops *ops;
	struct tako__end *end; /* NULL: not subscribed */
	uint64_t since;        /* the number of the first message it is sent */
};

/* TAKO_ENOMEM.  The topic gets a reference. */
int tako__topic_subscribe(tako_topic *t, struct tako__worker *w, struct tako__sub *s,
                          const struct tako__sub_ops *ops);
void tako__topic_unsubscribe(struct tako__sub *s);
/* What it is subscribed to. */
const tako_topic *tako__sub_topic(const struct tako__sub *s);

#endif /* TAKO_CORE_TOPIC_H */

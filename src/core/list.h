/* SPDX-License-Identifier: MIT
 *
 * Intrusive doubly linked ring.  The head is a link of its own; an item that is in no list
 * points at itself, so that removing it twice does no harm.  Allocates nothing.
 */
#ifndef TAKO_CORE_LIST_H
#define TAKO_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct tako__list {
	struct tako__list *next;
	struct tako__list *prev;
};

/* For heads and for items alike. */
static inline void tako__list_init(struct tako__list *l)
{
	l->next = l;
	l->prev = l;
}

/* Of a head: no items.  Of an item: in no list. */
static inline bool tako__list_empty(const struct tako__list *l)
{
	return l->next == l;
}

/* Put an item, which must be in no list, after `where`. */
static inline void tako__list_insert(struct tako__list *where, struct tako__list *item)
{
	item->next = where->next;
	item->prev = where;
	where->next->prev = item;
	where->next = item;
}

static inline void tako__list_push_front(struct tako__list *head, struct tako__list *item)
{
	tako__list_insert(head, item);
}

static inline void tako__list_push_back(struct tako__list *head, struct tako__list *item)
{
	tako__list_insert(head->prev, item);
}

static inline void tako__list_remove(struct tako__list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	tako__list_init(item);
}

/* Remove and return the first item; NULL if there is none. */
static inline struct tako__list *tako__list_pop_front(struct tako__list *head)
{
	struct tako__list *item = head->next;

	if (item == head)
		return NULL;
	tako__list_remove(item);
	return item;
}

/* Move all items to the end of another list, in their order; `from` is then empty. */
static inline void tako__list_splice_back(struct tako__list *head, struct tako__list *from)
{
	if (tako__list_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	tako__list_init(from);
}

/* Visit every item; `pos` itself, and only it, may be removed or freed meanwhile.  Where a
 * visit may remove others, pop from a spliced list instead. */
#define TAKO__LIST_EACH(pos, head)                                                                 \
	for (struct tako__list *pos = (head)->next, *pos##_next = pos->next; pos != (head);        \
	     pos = pos##_next, pos##_next = pos->next)

#endif /* TAKO_CORE_LIST_H */

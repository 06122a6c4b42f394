/* SPDX-License-Identifier: MIT
 *
 * The layer stack: who is next, and what happens where a layer has no opinion.
 */
#include "core/layer.h"

#include "core/conn.h"

void tako__layer_push(struct tako__conn *c, struct tako__layer *l)
{
	l->conn = c;
	l->above = NULL;
	l->below = c->top;
	if (c->top)
		c->top->above = l;
	else
		c->bottom = l;
	c->top = l;
}

void tako__layer_remove(struct tako__layer *l)
{
	struct tako__conn *c = l->conn;

	if (l->above)
		l->above->below = l->below;
	else
		c->top = l->below;
	if (l->below)
		l->below->above = l->above;
	else
		c->bottom = l->above;
	if (l->ops->fini)
		l->ops->fini(l);
}

void tako__layer_up(struct tako__conn *c, struct tako__layer *l, char *p, ssize_t res)
{
	struct tako__layer *next = l ? l->above : c->bottom;

	while (next && !next->ops->up)
		next = next->above;
	if (next)
		next->ops->up(next, p, res);
	else
		c->proto->recv(c, p, res);
}

int tako__layer_down(struct tako__conn *c, struct tako__layer *l, struct tako_send *op)
{
	struct tako__layer *next = l ? l->below : c->top;

	while (next && !next->ops->down)
		next = next->below;
	if (next)
		return next->ops->down(next, op);
	tako_sock_queue(&c->sock, op);
	/* Completed all the same where the socket is being closed. */
	if (TAKO__LIKELY(!(c->sock.flags & TAKO_SOCK_CLOSING)))
		c->sock.loop->rt->flush(&c->sock);
	return 0;
}

void tako__layer_finish(struct tako__conn *c)
{
	for (struct tako__layer *l = c->top; l; l = l->below) {
		if (l->ops->finish)
			l->ops->finish(l);
	}
}

void tako__layer_resumed(struct tako__conn *c)
{
	for (struct tako__layer *l = c->bottom; l; l = l->above) {
		if (l->ops->resumed)
			l->ops->resumed(l);
	}
}

int tako__layer_query(struct tako__conn *c, enum tako__fact what, void *out)
{
	for (struct tako__layer *l = c->top; l; l = l->below) {
		int err = l->ops->query ? l->ops->query(l, what, out) : TAKO_ENOTSUP;

		if (err != TAKO_ENOTSUP)
			return err;
	}
	return TAKO_ENOTSUP;
}

void tako__layer_fini(struct tako__conn *c)
{
	while (c->top)
		tako__layer_remove(c->top);
}

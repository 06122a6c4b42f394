/* SPDX-License-Identifier: MIT
 *
 * See record.h.  Knows no protocol; what it hands up is what the connection would have received otherwise.
 */
#include "core/record.h"

#include <sys/socket.h>

#include "core/mem.h"
#include "core/worker.h"

struct record {
	struct tako_dgram_send d;
	struct tako__conn *conn;
	size_t n;
	char data[];
};

int tako__records_start(struct tako__conn *c, int fd)
{
	struct tako_loop *loop = c->worker->loop;
	int rc = loop->rt->start_dgram(loop, &c->sock, fd);

	c->flags |= TAKO__CONN_RECORDS;
	/* It ends as every connection does, by a runtime that has the descriptor. */
	if (rc < 0) {
		c->flags &= ~TAKO__CONN_RECORDS;
		(void)loop->rt->start(loop, &c->sock, fd);
	}
	return rc;
}

/* ---- In ----------------------------------------------------------------------------------------------- */

/* Nothing can follow.  A runtime knows no end of datagrams, and would find it again and again. */
static void end(struct tako_sock *s)
{
	bool again = s->flags & TAKO_SOCK_EOF;

	s->flags |= TAKO_SOCK_EOF;
	if (!again)
		s->cb->on_recv(s, NULL, 0);
	s->flags |= TAKO_SOCK_PAUSED;
}

void tako__records_arrive(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (v[i].truncated) {
			s->cb->on_recv(s, NULL, TAKO_ETOOBIG);
		} else if (v[i].n) {
			/* Runtimes lend their own memory; that it is const is for the many readers
			 * that datagrams may have. */
			s->cb->on_recv(s, (char *)(uintptr_t)v[i].p, (ssize_t)v[i].n);
		} else {
			end(s);
			return;
		}
	}
}

/* ---- Out ------------------------------------------------------------------------------------------------ */

static void on_done(struct tako_send *op, int err)
{
	struct record *r = TAKO__CONTAINER(op, struct record, d.op);
	struct tako__conn *c = r->conn;

	c->held_bytes -= TAKO__RECORD_OVERHEAD;
	tako__free(r, sizeof *r + r->n);
	if (err == 0)
		tako__conn_written(c);
	else if (err == TAKO_ESYS)
		c->sock.cb->on_recv(&c->sock, NULL, TAKO_ECLOSED); /* nobody is there to take it */
}

int tako__record_send(struct tako__conn *c, tako_str data)
{
	struct record *r = tako__alloc(sizeof *r + data.n);

	if (!r)
		return TAKO_ENOMEM;
	memset(&r->d, 0, sizeof r->d);
	r->conn = c;
	r->n = data.n;
	memcpy(r->data, data.p, data.n);
	r->d.op = (struct tako_send){.done = on_done, .p = r->data, .n = data.n, .file_fd = -1};
	c->held_bytes += TAKO__RECORD_OVERHEAD;
	tako_sock_queue(&c->sock, &r->d.op);
	c->sock.loop->rt->flush(&c->sock);
	return 0;
}

/* ---- What runtimes do for streams only ---------------------------------------------------------------------- */

void tako__conn_shut(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_RECORDS)
		shutdown(c->sock.fd, SHUT_WR);
	else
		c->sock.loop->rt->shut(&c->sock);
}

bool tako__conn_waiting(struct tako__conn *c)
{
	char byte;

	if (c->flags & TAKO__CONN_RECORDS)
		return recv(c->sock.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
	return c->sock.loop->rt->waiting(&c->sock);
}

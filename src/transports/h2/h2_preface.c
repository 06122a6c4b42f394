/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.1 and HTTP/2 on one port.  A connection's first bytes say which one it is: HTTP/2's begins
 * with a preface that no HTTP/1.1 server takes for a request (RFC 9113 section 3.4).  From then on
 * the connection is that protocol's, and this file is never asked again.
 */
#include "core/conn.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/h1/h1.h"
#include "transports/h2/h2.h"

/* What has come so far and may still become either: of the preface, hence no bytes are kept. */
struct preface {
	uint32_t n;
};

static const char text[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

_Static_assert(sizeof(text) - 1 == TAKO__H2_PREFACE_BYTES, "as RFC 9113 has it");

static struct preface *preface_of(struct tako__conn *c)
{
	return (struct preface *)(void *)c->proto_state;
}

static int preface_open(struct tako__conn *c)
{
	uint32_t ms = c->worker->srv->cfg.header_timeout_ms;

	/* One that is draining may have sent its request already; who else to ask than HTTP/1.1. */
	if ((c->flags & (TAKO__CONN_DRAINING | TAKO__CONN_GIVEN)) == TAKO__CONN_DRAINING) {
		c->proto = &tako__h1_ops;
		return c->proto->open(c);
	}
	if (ms != TAKO_OFF)
		tako__conn_deadline(c, tako__now_ns(c->worker) + (uint64_t)ms * 1000000);
	return 0;
}

/* It is decided. */
static void become(struct tako__conn *c, const struct tako__proto_ops *proto)
{
	uint32_t before = preface_of(c)->n;
	char seen[TAKO__H2_PREFACE_BYTES];

	preface_of(c)->n = 0;
	c->proto = proto;
	if (proto->open(c) < 0) {
		tako__conn_close(c);
		return;
	}
	if (!before)
		return;
	memcpy(seen, text, before);
	proto->recv(c, seen, before);
}

static void preface_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct preface *f = preface_of(c);
	size_t n = res > 0 ? (size_t)res : 0;
	size_t left = TAKO__H2_PREFACE_BYTES - f->n;
	size_t step = n < left ? n : left;

	if (TAKO__LIKELY(!step || p[0] != text[f->n] || memcmp(p, text + f->n, step) != 0)) {
		become(c, &tako__h1_ops);
	} else if (step == left) {
		become(c, &tako__h2_ops);
	} else {
		f->n += (uint32_t)step;
		return;
	}
	if (!(c->flags & TAKO__CONN_CLOSING))
		c->proto->recv(c, p, res);
}

static void preface_written(struct tako__conn *c)
{
	(void)c;
}

/* Nothing was said, or too little: an idle connection, or an incomplete request of HTTP/1.1. */
static void preface_tick(struct tako__conn *c)
{
	bool silent = !preface_of(c)->n;

	become(c, &tako__h1_ops);
	if (silent && !(c->flags & TAKO__CONN_CLOSING))
		tako__conn_finish(c, false);
}

static void preface_drain(struct tako__conn *c)
{
	become(c, &tako__h1_ops);
	if (!(c->flags & TAKO__CONN_CLOSING))
		c->proto->drain(c);
}

static void preface_fini(struct tako__conn *c)
{
	(void)c;
}

/* No exchange is ever made by it. */
static const struct tako__proto_ops preface_ops = {
	.name = "http",
	.open = preface_open,
	.recv = preface_recv,
	.written = preface_written,
	.tick = preface_tick,
	.drain = preface_drain,
	.fini = preface_fini,
};

const tako_transport *tako_http(void)
{
	static const tako_transport transport = {.name = "http", .proto = &preface_ops};

	return &transport;
}

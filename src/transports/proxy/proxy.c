/* SPDX-License-Identifier: MIT
 *
 * Connections that begin with a PROXY header: who may send one, and what is kept of it.  It is read before the connection has a protocol, or even layers, so it costs a
 * connection what it is long, and a request nothing.
 */
#include <string.h>
#include <tako/proxy.h>

#include "core/cidr.h"
#include "core/mem.h"
#include "core/proxied.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/proxy/proxy_parse.h"

/* One address's settings. */
struct tako__proxy_rule {
	uint32_t mode;               /* TAKO_PROXY_REQUIRED, TAKO_PROXY_OPTIONAL */
	struct tako__cidrs *trusted; /* NULL: everybody, with TAKO_PROXY_REQUIRED */
};

/* A header that came in pieces, so far. */
struct start {
	char *p;
	uint32_t n;
	uint32_t room;
};

enum {
	/* Every version 1, and version 2 with addresses of any family: seldom more than one block. */
	FIRST_BYTES = 256,
};

/* ---- Settings ---------------------------------------------------------------------------------------- */

int tako__proxy_rule_new(struct tako__proxy_rule **ret, const tako_listen_config *cfg)
{
	struct tako__proxy_rule *rule;
	int rc;

	*ret = NULL;
	if (cfg->proxy_protocol > TAKO_PROXY_OPTIONAL)
		return tako__fail(TAKO_EINVAL, "proxy_protocol is %u, not in 0 to 2",
		                  cfg->proxy_protocol);
	if (!cfg->proxy_protocol)
		return cfg->proxy_trusted ? tako__fail(TAKO_EINVAL, "proxy_trusted is set, but "
		                                                    "proxy_protocol is not")
		                          : 0;
	/* Otherwise anybody could be anybody, and nobody would notice. */
	if (cfg->proxy_protocol == TAKO_PROXY_OPTIONAL && !cfg->proxy_trusted)
		return tako__fail(TAKO_EINVAL,
		                  "proxy_protocol is optional: proxy_trusted must say whose "
		                  "header is believed");
	rule = tako__zalloc(sizeof *rule);
	if (!rule)
		return tako__fail(TAKO_ENOMEM, "listener: out of memory");
	rule->mode = cfg->proxy_protocol;
	rc = cfg->proxy_trusted
	             ? tako__cidrs_parse(&rule->trusted, cfg->proxy_trusted, "proxy_trusted")
	             : 0;
	if (rc < 0)
		tako__proxy_rule_free(rule);
	else
		*ret = rule;
	return rc;
}

void tako__proxy_rule_free(struct tako__proxy_rule *rule)
{
	if (!rule)
		return;
	tako__cidrs_free(rule->trusted);
	tako__free(rule, sizeof *rule);
}

static bool trusts(const struct tako__conn *c)
{
	const struct tako__proxy_rule *rule = c->listener->proxy;

	return !rule->trusted || tako__cidrs_have(rule->trusted, &c->peer.any);
}

/* ---- What is kept --------------------------------------------------------------------------------------- */

void tako__proxied_free(struct tako__proxied *d)
{
	if (d)
		tako__free(d, d->bytes);
}

static int keep(struct tako__conn *c, const struct tako__proxy_header *h)
{
	size_t bytes = sizeof(struct tako__proxied) + h->src_path.n + h->dst_path.n + h->tlvs.n;
	struct tako__proxied *d = tako__alloc(bytes);
	char *at;

	if (!d)
		return TAKO_ENOMEM;
	memset(d, 0, sizeof *d);
	d->bytes = bytes;
	d->version = h->version;
	d->local = h->local;
	d->dgram = h->dgram;
	d->dst = h->dst;
	d->src_path_n = (uint32_t)h->src_path.n;
	d->dst_path_n = (uint32_t)h->dst_path.n;
	d->tlv_n = (uint32_t)h->tlvs.n;
	memcpy(&d->via, &c->peer, sizeof d->via);
	at = d->data;
	if (h->src_path.n)
		at = (char *)memcpy(at, h->src_path.p, h->src_path.n) + h->src_path.n;
	if (h->dst_path.n)
		at = (char *)memcpy(at, h->dst_path.p, h->dst_path.n) + h->dst_path.n;
	if (h->tlvs.n)
		memcpy(at, h->tlvs.p, h->tlvs.n);
	c->proxied = d;
	if (!h->local)
		memcpy(&c->peer, &h->src, sizeof c->peer);
	return 0;
}

/* ---- Reading it ------------------------------------------------------------------------------------------- */

static struct start *start_of(struct tako__conn *c)
{
	return (struct start *)(void *)c->proto_state;
}

static void forget(struct tako__conn *c)
{
	struct start *s = start_of(c);

	if (s->p)
		tako__free(s->p, s->room);
	*s = (struct start){0};
}

static void refuse(struct tako__conn *c)
{
	tako__add(&c->worker->stats.proxy_errors, 1);
	tako__conn_close(c);
}

/* From here on it is an ordinary connection, whose first bytes are p[0..n) if there are any. */
static void go_on(struct tako__conn *c, char *p, size_t n)
{
	if (n)
		c->flags |= TAKO__CONN_GIVEN;
	if (!tako__conn_admit(c) || tako__conn_become(c, c->listener->transport->proto) < 0)
		tako__conn_close(c);
	else if (n)
		tako__layer_up(c, NULL, p, (ssize_t)n);
	c->flags &= ~TAKO__CONN_GIVEN;
}

static int proxy_open(struct tako__conn *c)
{
	uint32_t ms = c->worker->srv->cfg.proxy_read_timeout_ms;

	if (!trusts(c)) {
		if (c->listener->proxy->mode == TAKO_PROXY_OPTIONAL)
			go_on(c, NULL, 0);
		else
			refuse(c);
		return 0;
	}
	if (ms != TAKO_OFF)
		tako__conn_deadline(c, tako__now_ns(c->worker) + tako__ms_ns(ms));
	return 0;
}

static bool make_room(struct start *s, size_t n)
{
	size_t room = s->room ? s->room : FIRST_BYTES;
	char *p;

	while (room < n)
		room *= 2;
	if (room == s->room)
		return true;
	p = tako__resize(s->p, s->room, room);
	if (!p)
		return false;
	s->p = p;
	s->room = (uint32_t)room;
	return true;
}

/* Not more than a header may have: how long it is is known when this much is there. */
static bool append(struct start *s, const char *p, size_t n)
{
	if (!make_room(s, s->n + n))
		return false;
	memcpy(s->p + s->n, p, n);
	s->n += (uint32_t)n;
	return true;
}

/* What came is no header: kept[0..before) came first, then p[0..n). */
static void without(struct tako__conn *c, size_t before, char *p, size_t n)
{
	struct start kept = *start_of(c);

	if (c->listener->proxy->mode == TAKO_PROXY_REQUIRED) {
		refuse(c);
		return;
	}
	*start_of(c) = (struct start){0};
	go_on(c, kept.p, before);
	if (!(c->flags & TAKO__CONN_CLOSING))
		tako__layer_up(c, NULL, p, (ssize_t)n);
	if (kept.p)
		tako__free(kept.p, kept.room);
}

static void with(struct tako__conn *c, const struct tako__proxy_header *h, char *rest, size_t n)
{
	int rc = keep(c, h);

	forget(c);
	if (rc < 0)
		tako__conn_close(c);
	else
		go_on(c, rest, n);
}

/* All in one piece, as it nearly always is: nothing is copied. */
static void recv_first(struct tako__conn *c, char *p, size_t n, size_t max)
{
	struct tako__proxy_header h;
	int rc = tako__proxy_parse(&h, p, n, max);

	if (rc > 0)
		with(c, &h, p + rc, n - (size_t)rc);
	else if (rc == TAKO_ENOENT)
		without(c, 0, p, n);
	else if (rc < 0)
		refuse(c);
	else if (!append(start_of(c), p, n))
		tako__conn_close(c);
}

static void recv_more(struct tako__conn *c, char *p, size_t n, size_t max)
{
	struct start *s = start_of(c);
	size_t before = s->n;
	size_t step = n < max - before ? n : max - before;
	struct tako__proxy_header h;
	int rc;

	if (!append(s, p, step)) {
		tako__conn_close(c);
		return;
	}
	rc = tako__proxy_parse(&h, s->p, s->n, max);
	if (rc > 0)
		with(c, &h, p + ((size_t)rc - before), n - ((size_t)rc - before));
	else if (rc == TAKO_ENOENT)
		without(c, before, p, n);
	else if (rc < 0)
		refuse(c);
}

static void proxy_recv(struct tako__conn *c, char *p, ssize_t res)
{
	size_t max = c->worker->srv->cfg.proxy_max_header_bytes;

	/* A look at the port, as of a health check, is no error. */
	if (res <= 0 && !start_of(c)->n)
		tako__conn_close(c);
	else if (res <= 0)
		refuse(c);
	else if (start_of(c)->n)
		recv_more(c, p, (size_t)res, max);
	else
		recv_first(c, p, (size_t)res, max);
}

static void proxy_written(struct tako__conn *c)
{
	(void)c;
}

/* One that need not send a header, and has sent nothing, may be waiting for us to speak. */
static void proxy_tick(struct tako__conn *c)
{
	tako__add(&c->worker->stats.timeouts, 1);
	if (c->listener->proxy->mode == TAKO_PROXY_OPTIONAL && !start_of(c)->n)
		go_on(c, NULL, 0);
	else
		refuse(c);
}

/* One that has said nothing is idle; one whose header is coming, or has come and was not looked at yet, has
 * a request behind it. */
static void proxy_drain(struct tako__conn *c)
{
	c->flags |= TAKO__CONN_DRAINING;
	if (!start_of(c)->n && !c->sock.loop->rt->waiting(&c->sock))
		tako__conn_finish(c, false);
}

static void proxy_fini(struct tako__conn *c)
{
	forget(c);
}

/* No exchange is ever made by it. */
const struct tako__proto_ops tako__proxy_ops = {
	.name = "proxy",
	.open = proxy_open,
	.recv = proxy_recv,
	.written = proxy_written,
	.tick = proxy_tick,
	.drain = proxy_drain,
	.fini = proxy_fini,
};

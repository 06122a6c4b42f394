/* SPDX-License-Identifier: MIT
 *
 * What is known of a connection, for whoever has to do with one: addresses, credentials, and what its
 * layers say.
 */
#include <netinet/tcp.h>
#include <string.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/local.h"
#include "core/mem.h"
#include "core/proxied.h"

/* Addresses as text, "" for what there is not. */
struct texts {
	char peer[TAKO__LOCAL_TEXT_BYTES];
	char local[TAKO__LOCAL_TEXT_BYTES];
	char via[TAKO__LOCAL_TEXT_BYTES];
};

static void put_addrs(struct texts *t, tako_conn_info *info, const struct tako__conn *c)
{
	const struct tako__proxied *proxied = c->proxied;
	const struct sockaddr *direct = proxied ? &proxied->via.any : &c->peer.any;
	struct sockaddr_storage local;
	socklen_t n = sizeof local;

	tako__addr_format(&c->peer.any, t->peer, sizeof t->peer);
	if (proxied && !proxied->local)
		tako__addr_format(&proxied->dst.any, t->local, sizeof t->local);
	else if (getsockname(c->sock.fd, (struct sockaddr *)&local, &n) == 0)
		tako__local_format((struct sockaddr *)&local, n, t->local, sizeof t->local);
	if (proxied)
		tako__addr_format(&proxied->via.any, t->via, sizeof t->via);
	if (direct->sa_family == AF_UNIX)
		tako__local_peer(info, c->sock.fd);
}

/* What the kernel has measured, where it is the kernel's to measure. */
static uint64_t rtt_us(const struct tako__conn *c)
{
	struct tcp_info info;
	socklen_t n = sizeof info;

	if (c->peer.any.sa_family == AF_UNIX ||
	    getsockopt(c->sock.fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		return 0;
	return info.tcpi_rtt;
}

int tako__conn_info(struct tako__conn *c, const char *transport, struct tako__arena *arena,
                    tako_conn_info *out)
{
	struct texts t = {"", "", ""};
	tako_conn_info info = {.size = sizeof info, .transport = transport};
	struct tako__info_query query = {&info, arena};

	if (!out || out->size < sizeof(size_t) || out->size > sizeof info)
		return tako__fail(TAKO_EINVAL, "tako_conn_info: size is not set");
	if (c) {
		put_addrs(&t, &info, c);
		info.rtt_us = rtt_us(c);
		info.id = c->id;
		info.request_count = c->request_count;
		if (tako__layer_query(c, TAKO__FACT_CONN_INFO, &query) == TAKO_ENOMEM)
			return tako__fail(TAKO_ENOMEM, "connection info: out of memory");
	}
	info.peer = tako__arena_strndup(arena, t.peer, strlen(t.peer));
	/* A layer below which there is no socket of its own knows better. */
	if (!info.local)
		info.local = tako__arena_strndup(arena, t.local, strlen(t.local));
	if (t.via[0])
		info.via = tako__arena_strndup(arena, t.via, strlen(t.via));
	if (!info.peer || !info.local || (t.via[0] && !info.via))
		return tako__fail(TAKO_ENOMEM, "connection info: out of memory");
	info.size = out->size;
	memcpy(out, &info, out->size);
	return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * What the access log and the user's access callback are told of an exchange that is over.
 */
#include <tako/forwarded.h>
#include <time.h>

#include "core/conn.h"
#include "core/exchange.h"
#include "core/forwarded.h"
#include "core/log.h"
#include "core/server.h"
#include "core/worker.h"

enum { PEER_BYTES = 80 };

static uint64_t wall_time_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Of the connection, as long as there is one: the peer may have left first. */
static void fill_conn(tako_access *a, const struct tako__conn *c, char peer[PEER_BYTES])
{
	a->peer = "-";
	if (!c)
		return;
	tako__addr_format(&c->peer.any, peer, PEER_BYTES);
	a->peer = peer;
	a->connection_request = c->request_count < UINT32_MAX ? (uint32_t)c->request_count
	                                                      : UINT32_MAX;
}

/* Where it is, be the head only lent: nobody keeps it. */
static tako_str shown(const struct tako__exchange *x, tako_str name)
{
	const struct tako__field *f = tako__field_find(x->fields, x->field_count, name.p, name.n);

	return f ? (tako_str){f->value, f->value_n} : (tako_str){NULL, 0};
}

void tako__exchange_log(struct tako__exchange *x, uint64_t duration_ns)
{
	const tako_server_config *cfg = &x->worker->srv->cfg;
	const tako_client_info *client = tako__exchange_client_logged(x);
	char peer[PEER_BYTES];
	tako_access a = {
		.size = sizeof(a),
		.method = x->method,
		.path = x->raw_path,
		.pattern = x->ep->pattern,
		.host = x->host,
		.user_agent = shown(x, TAKO_STR("user-agent")),
		.referer = shown(x, TAKO_STR("referer")),
		.request_id = x->request_id,
		.wall_time_ms = wall_time_ms() - duration_ns / 1000000,
		.duration_ns = duration_ns,
		.received_bytes = x->received_bytes,
		.sent_bytes = x->sent_bytes,
		.status = x->flags & TAKO__X_HEAD_SENT ? x->status : 0,
		.version = x->version,
		.error = x->error,
	};

	fill_conn(&a, x->conn, peer);
	if (client)
		a.client = client->node;
	if (cfg->access_fn)
		cfg->access_fn(&a, cfg->access_arg);
	if (x->worker->log)
		tako__log_put(x->worker->log, &a);
}

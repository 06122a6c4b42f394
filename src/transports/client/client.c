/* SPDX-License-Identifier: MIT
 *
 * A client: its settings, and the part of it that each worker has.
 */
#include <string.h>

#include "core/base.h"
#include "core/secured.h"
#include "core/str.h"
#include "transports/client/client_int.h"

/* ---- Settings ------------------------------------------------------------------------- */

static void set(uint32_t *field, uint32_t usual)
{
	if (!*field)
		*field = usual;
}

static void fill_defaults(tako_client_config *c)
{
	if (!c->write_high_bytes)
		c->write_high_bytes = 256u << 10;
	set(&c->max_connections, 256);
	set(&c->max_connections_per_origin, 32);
	set(&c->max_idle_per_origin, 8);
	set(&c->max_queue_count, 1024);
	set(&c->keepalive_timeout_ms, 30000);
	set(&c->connect_timeout_ms, 10000);
	set(&c->head_timeout_ms, 30000);
	set(&c->idle_timeout_ms, 30000);
	set(&c->total_timeout_ms, 120000);
	set(&c->continue_timeout_ms, 1000);
	set(&c->max_header_bytes, TAKO__H1_HEAD_BYTES);
	set(&c->max_header_count, TAKO__H1_FIELDS);
	set(&c->max_retry_count, 2);
	set(&c->http2_max_stream_count, 100);
	set(&c->http2_stream_window_bytes, 256u << 10);
	set(&c->http2_connection_window_bytes, 1u << 20);
	/* What may be none is 0 of it from here on; a total timeout keeps saying so. */
	c->max_idle_per_origin = c->max_idle_per_origin == TAKO_OFF ? 0 : c->max_idle_per_origin;
	c->max_queue_count = c->max_queue_count == TAKO_OFF ? 0 : c->max_queue_count;
	c->max_retry_count = c->max_retry_count == TAKO_OFF ? 0 : c->max_retry_count;
}

static int check_range(const char *name, uint32_t value, uint32_t max)
{
	if (value <= max)
		return 0;
	return tako__fail(TAKO_EINVAL, "client: %s is over %u", name, max);
}

static int check_http2(const tako_client_config *c)
{
	if (c->http2_prior_knowledge > 1)
		return tako__fail(TAKO_EINVAL, "client: http2_prior_knowledge is neither 0 nor 1");
	if (c->http2 && !c->tls && !c->http2_prior_knowledge)
		return tako__fail(TAKO_EINVAL,
		                  "client: http2 without tls, in which a server chooses it, or "
		                  "http2_prior_knowledge");
	/* RFC 9113 section 6.9.2: what a connection begins with cannot be less. */
	if (c->http2_connection_window_bytes < 65535)
		return tako__fail(TAKO_EINVAL,
		                  "client: http2_connection_window_bytes is under 65535");
	if (c->http2_stream_window_bytes < 1024)
		return tako__fail(TAKO_EINVAL, "client: http2_stream_window_bytes is under 1024");
	return 0;
}

/* Before defaults are filled in: what has been asked for. */
static int check_without_http2(const tako_client_config *c)
{
	if (c->http2 || !(c->http2_prior_knowledge || c->http2_max_stream_count ||
	                  c->http2_stream_window_bytes || c->http2_connection_window_bytes))
		return 0;
	return tako__fail(TAKO_EINVAL, "client: a setting of HTTP/2, and http2 is not set");
}

static int check(const tako_client_config *c)
{
	const struct {
		const char *name;
		uint32_t value;
		uint32_t max;
	} limits[] = {
		{"max_connections", c->max_connections, 1 << 20},
		{"max_connections_per_origin", c->max_connections_per_origin, 1 << 20},
		{"max_idle_per_origin", c->max_idle_per_origin, 1 << 20},
		{"max_queue_count", c->max_queue_count, 1 << 20},
		{"keepalive_timeout_ms", c->keepalive_timeout_ms, INT32_MAX},
		{"connect_timeout_ms", c->connect_timeout_ms, INT32_MAX},
		{"head_timeout_ms", c->head_timeout_ms, INT32_MAX},
		{"idle_timeout_ms", c->idle_timeout_ms, INT32_MAX},
		{"continue_timeout_ms", c->continue_timeout_ms, INT32_MAX},
		{"max_header_bytes", c->max_header_bytes, 1 << 20},
		{"max_header_count", c->max_header_count, 1000},
		{"max_retry_count", c->max_retry_count, 10},
		{"http2_max_stream_count", c->http2_max_stream_count, 10000},
		{"http2_stream_window_bytes", c->http2_stream_window_bytes, 1u << 30},
		{"http2_connection_window_bytes", c->http2_connection_window_bytes, 1u << 30},
	};

	for (size_t i = 0; i < TAKO__COUNT(limits); i++) {
		int rc = check_range(limits[i].name, limits[i].value, limits[i].max);

		if (rc < 0)
			return rc;
	}
	if (c->total_timeout_ms > INT32_MAX && c->total_timeout_ms != TAKO_OFF)
		return check_range("total_timeout_ms", c->total_timeout_ms, INT32_MAX);
	if (c->max_header_bytes < 128)
		return tako__fail(TAKO_EINVAL, "client: max_header_bytes is under 128");
	if (c->write_high_bytes > UINT64_MAX / 4)
		return tako__fail(TAKO_EINVAL, "client: write_high_bytes is over 2^62");
	if (c->user_agent &&
	    (strlen(c->user_agent) > 256 || !tako__field_value_ok(tako_str_z(c->user_agent))))
		return tako__fail(TAKO_EINVAL, "client: user_agent is over 256 bytes, or has "
		                               "control characters");
	if (c->reserved)
		return tako__fail(TAKO_EINVAL, "client: reserved is not 0");
	return check_http2(c);
}

/* ---- Clients ----------------------------------------------------------------------------- */

int tako_client_new(tako_client **ret, const tako_client_config *cfg)
{
	static const tako_client_config none = {.size = sizeof none};
	tako_client_config c = {.size = sizeof c};
	struct tako_client *client;
	const char *agent;
	int rc = tako__import(&c, sizeof c, cfg ? cfg : &none, offsetof(tako_client_config, tls),
	                      "tako_client_config");

	if (rc == 0)
		rc = check_without_http2(&c);
	if (rc < 0)
		return rc;
	fill_defaults(&c);
	rc = check(&c);
	if (rc < 0)
		return rc;
	client = tako__zalloc(sizeof *client);
	agent = c.user_agent ? c.user_agent : "tako";
	if (client && agent[0])
		client->user_agent = tako__strndup(agent, strlen(agent));
	if (!client || (agent[0] && !client->user_agent)) {
		tako__free(client, sizeof *client);
		return tako__fail(TAKO_ENOMEM, "client: out of memory");
	}
	c.user_agent = NULL; /* the caller's text */
	client->cfg = c;
	client->cfg.tls = tako__secured_ref(c.tls);
	client->refs = 1;
	*ret = client;
	return 0;
}

struct tako_client *tako__client_ref(struct tako_client *client)
{
	atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
	return client;
}

void tako__client_unref(struct tako_client *client)
{
	if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (client->user_agent)
		tako__free(client->user_agent, strlen(client->user_agent) + 1);
	tako__secured_unref(client->cfg.tls);
	tako__free(client, sizeof *client);
}

void tako_client_free(tako_client *client)
{
	if (!client)
		return;
	atomic_store(&client->freed, true);
	tako__client_unref(client);
}

/* ---- Their pools ---------------------------------------------------------------------------- */

/* All pools of a worker. */
struct pools {
	struct tako__worker_local base;
	struct tako__list list;
};

static void pool_free(struct tako__client_pool *p)
{
	tako__list_remove(&p->link);
	tako__free(p->scratch, p->client->cfg.max_header_count * sizeof *p->scratch);
	tako__client_unref(p->client);
	tako__free(p, sizeof *p);
}

static void free_unused(struct pools *all)
{
	TAKO__LIST_EACH(at, &all->list)
	{
		struct tako__client_pool *p = TAKO__CONTAINER(at, struct tako__client_pool, link);

		if (tako__list_empty(&p->origins) && atomic_load(&p->client->freed))
			pool_free(p);
	}
}

static void pools_free(struct tako__worker_local *base)
{
	struct pools *all = TAKO__CONTAINER(base, struct pools, base);

	TAKO__LIST_EACH(at, &all->list)
	pool_free(TAKO__CONTAINER(at, struct tako__client_pool, link));
	tako__free(all, sizeof *all);
}

static struct pools *pools_of(struct tako__worker *w)
{
	struct pools *all = tako__worker_local(w, pools_free);

	if (all)
		return all;
	all = tako__alloc(sizeof *all);
	if (!all)
		return NULL;
	tako__worker_keep(w, &all->base, pools_free);
	tako__list_init(&all->list);
	return all;
}

static struct tako__client_pool *pool_new(struct tako__worker *w, struct tako_client *client)
{
	struct tako__client_pool *p = tako__zalloc(sizeof *p);

	if (!p)
		return NULL;
	p->scratch = tako__alloc(client->cfg.max_header_count * sizeof *p->scratch);
	if (!p->scratch) {
		tako__free(p, sizeof *p);
		return NULL;
	}
	p->worker = w;
	p->client = tako__client_ref(client);
	tako__list_init(&p->origins);
	tako__list_init(&p->idle);
	return p;
}

struct tako__client_pool *tako__client_pool(struct tako__worker *w, struct tako_client *client)
{
	struct pools *all = pools_of(w);
	struct tako__client_pool *p;

	if (!all)
		return NULL;
	TAKO__LIST_EACH(at, &all->list)
	{
		p = TAKO__CONTAINER(at, struct tako__client_pool, link);
		if (p->client == client)
			return p;
	}
	/* Who makes a client for each of many requests does not leave as many pools. */
	free_unused(all);
	p = pool_new(w, client);
	if (p)
		tako__list_push_back(&all->list, &p->link);
	return p;
}

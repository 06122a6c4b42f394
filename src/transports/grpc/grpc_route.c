/* SPDX-License-Identifier: MIT
 *
 * Methods as they are registered: a config is checked and copied, a route is made of it.  Nothing here
 * runs for a request.
 */
#include "core/router_build.h"
#include "core/str.h"
#include "transports/grpc/grpc_int.h"

enum {
	RECEIVE_BYTES = 4 << 20,
	COMPRESS_LEAST_BYTES = 256,
};

static void method_free(void *arg)
{
	struct tako__grpc_method *m = arg;

	tako__free(m->origins, m->origins_bytes);
	tako__free(m, sizeof *m);
}

static int check(int kind, const tako_grpc_config *cfg)
{
	bool many = kind & TAKO_GRPC_CLIENT_STREAM;

	if (kind < TAKO_GRPC_UNARY || kind > TAKO_GRPC_BIDI)
		return tako__fail(TAKO_EINVAL, "gRPC: %d is no kind of method", kind);
	if (!cfg->on_message)
		return tako__fail(TAKO_EINVAL, "gRPC: a method without on_message");
	if (!many && (cfg->on_open || cfg->on_end))
		return tako__fail(TAKO_EINVAL, "gRPC: on_open and on_end would never be called for "
		                               "a method that takes one message");
	if (cfg->compress & ~(uint32_t)(TAKO_GRPC_GZIP | TAKO_GRPC_DEFLATE))
		return tako__fail(TAKO_EINVAL, "gRPC: compress has a bit that is no coding");
	if (cfg->compress_min_bytes && !cfg->compress)
		return tako__fail(TAKO_EINVAL, "gRPC: compress_min_bytes without compress");
	if (cfg->reserved)
		return tako__fail(TAKO_EINVAL, "tako_grpc_config: reserved is not 0");
	return 0;
}

static void fill_in(tako_grpc_config *cfg)
{
	if (!cfg->max_receive_bytes)
		cfg->max_receive_bytes = RECEIVE_BYTES;
	if (cfg->max_send_bytes == TAKO_OFF64)
		cfg->max_send_bytes = 0;
	if (cfg->max_timeout_ms == TAKO_OFF)
		cfg->max_timeout_ms = 0;
	if (!cfg->compress_min_bytes)
		cfg->compress_min_bytes = COMPRESS_LEAST_BYTES;
}

static int copy_origins(struct tako__grpc_method *m, const char *const *origins)
{
	size_t bytes = 1;
	char *to;

	m->web = true;
	for (size_t i = 0; origins[i]; i++) {
		if (!origins[i][0] || !tako__all(origins[i], strlen(origins[i]), TAKO__C_FIELD))
			return tako__fail(TAKO_EINVAL, "gRPC: a web origin is empty, or none");
		if (!strcmp(origins[i], "*"))
			m->any_origin = true;
		bytes += strlen(origins[i]) + 1;
	}
	to = tako__zalloc(bytes);
	if (!to)
		return TAKO_ENOMEM;
	m->origins = to;
	m->origins_bytes = bytes;
	for (size_t i = 0; origins[i]; i++)
		to = (char *)memcpy(to, origins[i], strlen(origins[i])) + strlen(origins[i]) + 1;
	return 0;
}

static int method_new(struct tako__grpc_method **out, int kind, const tako_grpc_config *cfg,
                      void *arg)
{
	struct tako__grpc_method *m = tako__zalloc(sizeof *m);
	int rc;

	if (!m)
		return TAKO_ENOMEM;
	m->kind = kind;
	m->arg = arg;
	rc = tako__import(&m->cfg, sizeof m->cfg, cfg, sizeof m->cfg, "tako_grpc_config");
	if (rc == 0)
		rc = check(kind, &m->cfg);
	if (rc == 0 && m->cfg.web_origins)
		rc = copy_origins(m, m->cfg.web_origins);
	m->cfg.web_origins = NULL;
	fill_in(&m->cfg);
	if (rc < 0)
		method_free(m);
	else
		*out = m;
	return rc;
}

/* Its own group: messages are limited one by one, and errors are told as gRPC has it. */
static void mount(tako_router *router, const char *path, struct tako__grpc_method *m)
{
	tako_router *group = tako_group(router, "");

	tako_body_limit(group, TAKO_OFF64);
	tako_on_error(group, tako_grpc_error, NULL);
	tako_post(group, path, tako__grpc_serve, m);
	if (!m->web)
		return;
	/* Before the program's own middleware of later phases: a browser asks without credentials, and a page
	 * has to see what they refuse. */
	tako_before(group, TAKO_PHASE_EARLY, tako__grpc_web, m);
	tako_route(group, "OPTIONS", path, tako__grpc_web, m);
}

void tako_grpc_method(tako_router *router, const char *path, int kind, const tako_grpc_config *cfg,
                      void *arg)
{
	struct tako__grpc_method *m = NULL;
	int rc;

	if (!tako__router_open(router))
		return;
	rc = path ? method_new(&m, kind, cfg, arg)
	          : tako__fail(TAKO_EINVAL, "gRPC: a method without a path");
	if (rc < 0) {
		tako__router_stick(router, rc);
		return;
	}
	if (tako__router_own(router, method_free, m) < 0)
		method_free(m);
	else
		mount(router, path, m);
}

void tako_grpc_unary(tako_router *router, const char *path, tako_grpc_message_fn fn, void *arg)
{
	tako_grpc_method(router, path, TAKO_GRPC_UNARY, TAKO_GRPC_CONFIG(.on_message = fn), arg);
}

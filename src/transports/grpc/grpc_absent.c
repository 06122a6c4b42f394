/* SPDX-License-Identifier: MIT
 *
 * gRPC's public face in a build without it: registering a method refuses, with a sentence, so that a
 * program written for it says at its start what is missing.
 */
#include <tako/grpc.h>

#include "core/base.h"
#include "core/router_build.h"

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "gRPC is not in this build");
}

void tako_grpc_method(tako_router *router, const char *path, int kind, const tako_grpc_config *cfg,
                      void *arg)
{
	(void)path, (void)kind, (void)cfg, (void)arg;
	if (tako__router_open(router))
		tako__router_stick(router, refuse());
}

void tako_grpc_unary(tako_router *router, const char *path, tako_grpc_message_fn fn, void *arg)
{
	(void)fn;
	tako_grpc_method(router, path, TAKO_GRPC_UNARY, NULL, arg);
}

/* ---- What needs no call ------------------------------------------------------------------ */

const char *tako_grpc_status_name(int status)
{
	(void)status;
	return "UNKNOWN";
}

int tako_grpc_error(tako_req *req, tako_res *res, int status, void *arg)
{
	(void)req, (void)res, (void)status, (void)arg;
	return TAKO_NEXT;
}

bool tako_grpc_is(const tako_req *req)
{
	(void)req;
	return false;
}

int tako_grpc_refuse(tako_req *req, tako_res *res, int status, const char *message)
{
	(void)req, (void)res, (void)status, (void)message;
	return refuse();
}

int tako_grpc_status(const tako_req *req)
{
	(void)req;
	return -1;
}

tako_str tako_grpc_metadata(tako_req *req, const char *name)
{
	(void)req, (void)name;
	return (tako_str){NULL, 0};
}

int tako_grpc_metadata_each(tako_req *req, tako_pair_fn fn, void *arg)
{
	(void)req, (void)fn, (void)arg;
	return refuse();
}

tako_grpc *tako_grpc_of(tako_res *res)
{
	(void)res;
	return NULL;
}

/* ---- Of a call, which there is none of ------------------------------------------------------ */

tako_req *tako_grpc_req(tako_grpc *call)
{
	(void)call;
	return NULL;
}

tako_res *tako_grpc_res(tako_grpc *call)
{
	(void)call;
	return NULL;
}

bool tako_grpc_is_open(const tako_grpc *call)
{
	(void)call;
	return false;
}

uint64_t tako_grpc_timeout_ms(const tako_grpc *call)
{
	(void)call;
	return 0;
}

bool tako_grpc_was_compressed(const tako_grpc *call)
{
	(void)call;
	return false;
}

int tako_grpc_send_head(tako_grpc *call)
{
	(void)call;
	return refuse();
}

int64_t tako_grpc_send(tako_grpc *call, tako_str msg)
{
	(void)call, (void)msg;
	return refuse();
}

int tako_grpc_reply(tako_grpc *call, tako_str msg)
{
	(void)call, (void)msg;
	return refuse();
}

int tako_grpc_finish(tako_grpc *call, int status, const char *message)
{
	(void)call, (void)status, (void)message;
	return refuse();
}

int tako_grpc_details(tako_grpc *call, tako_str details)
{
	(void)call, (void)details;
	return refuse();
}

void tako_grpc_compress(tako_grpc *call, bool on)
{
	(void)call, (void)on;
}

void tako_grpc_pause(tako_grpc *call)
{
	(void)call;
}

void tako_grpc_resume(tako_grpc *call)
{
	(void)call;
}

uint64_t tako_grpc_unsent(const tako_grpc *call)
{
	(void)call;
	return 0;
}

int tako_grpc_on_drain(tako_grpc *call, tako_grpc_event_fn fn, void *arg)
{
	(void)call, (void)fn, (void)arg;
	return refuse();
}

int tako_grpc_header(tako_grpc *call, const char *name, tako_str value)
{
	(void)call, (void)name, (void)value;
	return refuse();
}

int tako_grpc_trailer(tako_grpc *call, const char *name, tako_str value)
{
	(void)call, (void)name, (void)value;
	return refuse();
}

/* ---- Services ---------------------------------------------------------------------------------- */

tako_grpc_health *tako_grpc_health_new(void)
{
	(void)refuse();
	return NULL;
}

void tako_grpc_health_free(tako_grpc_health *health)
{
	(void)health;
}

int tako_grpc_health_set(tako_grpc_health *health, const char *service, int status)
{
	(void)health, (void)service, (void)status;
	return refuse();
}

void tako_grpc_health_add(tako_router *router, tako_grpc_health *health)
{
	(void)health;
	tako_grpc_method(router, NULL, 0, NULL, NULL);
}

void tako_grpc_reflection(tako_router *router, const tako_str *sets, size_t count)
{
	(void)sets, (void)count;
	tako_grpc_method(router, NULL, 0, NULL, NULL);
}

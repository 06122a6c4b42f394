/* SPDX-License-Identifier: MIT
 *
 * What is measured of gRPC: a unary echo and a stream of 64-byte messages; or, as the yardstick, the same
 * bytes echoed by a plain POST.
 *
 *   grpc PORT            /bench.Echo/Unary, /bench.Echo/Stream
 *   grpc PORT plain      /bench.Echo/Unary
 */
#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

enum { BODY_BYTES_MAX = 64, STREAM_MESSAGES = 1000000, UNSENT_BYTES = 200000 };

static int echo(tako_grpc *call, tako_str msg, void *arg)
{
	(void)arg;
	return tako_grpc_reply(call, msg);
}

/* As many as fit, and on when they have left. */
static void pour(tako_grpc *call, void *arg)
{
	static const char message[64];
	uint32_t *left = arg;
	int64_t unsent = 0;

	while (*left && unsent >= 0 && unsent < UNSENT_BYTES) {
		unsent = tako_grpc_send(call, (tako_str){message, sizeof message});
		--*left;
	}
	if (unsent >= 0 && *left)
		(void)tako_grpc_on_drain(call, pour, left);
	else if (unsent >= 0)
		(void)tako_grpc_finish(call, TAKO_GRPC_OK, NULL);
}

static int stream(tako_grpc *call, tako_str msg, void *arg)
{
	uint32_t *left = tako_req_alloc(tako_grpc_req(call), sizeof *left);

	(void)msg, (void)arg;
	if (!left)
		return TAKO_ENOMEM;
	*left = STREAM_MESSAGES;
	pour(call, left);
	return 0;
}

struct body {
	size_t n;
	char data[BODY_BYTES_MAX];
};

static int on_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	struct body *b = arg;

	(void)req;
	if (data.n > sizeof b->data - b->n)
		return TAKO_ETOOBIG;
	memcpy(b->data + b->n, data.p, data.n);
	b->n += data.n;
	return end ? tako_res_send(res, 200, "application/octet-stream", (tako_str){b->data, b->n})
	           : 0;
}

static int plain(tako_req *req, tako_res *res, void *arg)
{
	struct body *b = tako_req_alloc(req, sizeof *b);

	(void)res, (void)arg;
	return b ? tako_req_on_body(req, on_body, b) : TAKO_ENOMEM;
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;
	char addr[32];
	int rc;

	if (argc < 2)
		return 2;
	if (argc > 2)
		tako_post(router, "/bench.Echo/Unary", plain, NULL);
	else
		tako_grpc_unary(router, "/bench.Echo/Unary", echo, NULL);
	tako_grpc_method(router, "/bench.Echo/Stream", TAKO_GRPC_SERVER_STREAM,
	                 TAKO_GRPC_CONFIG(.on_message = stream), NULL);
	snprintf(addr, sizeof addr, "127.0.0.1:%s", argv[1]);
	rc = tako_server_new(&srv, router, TAKO_SERVER_CONFIG(.worker_count = 1));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_h2c(), addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "grpc: %s\n", tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}

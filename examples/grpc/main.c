/* SPDX-License-Identifier: MIT
 *
 * A greeter over gRPC: one method of each usual shape, health and reflection, pages of this host by
 * gRPC-Web.  Messages are protobuf-c's; greeter.proto says what is in them.
 *
 *   grpcurl -plaintext -d '{"name": "you"}' 127.0.0.1:8080 greet.Greeter/SayHello
 */
#include <stdio.h>
#include <stdlib.h>
#include <tako/tako.h>

#include "greeter.pb-c.h"

/* What protoc has made of greeter.proto, for those who ask what there is. */
static const uint8_t descriptors[] = {
#include "greeter.set.inc"
};

/* Pack an answer into the call's own memory. */
static tako_str pack(tako_grpc *call, char *text)
{
	Greet__HelloReply reply = GREET__HELLO_REPLY__INIT;
	size_t n;
	uint8_t *to;

	reply.text = text;
	n = greet__hello_reply__get_packed_size(&reply);
	to = tako_req_alloc(tako_grpc_req(call), n + 1);
	if (!to)
		return (tako_str){NULL, 0};
	return (tako_str){(char *)to, greet__hello_reply__pack(&reply, to)};
}

static tako_str greeting(tako_grpc *call, const char *word, const Greet__HelloRequest *request)
{
	char text[256];

	snprintf(text, sizeof text, "%s, %s!", word, request->name);
	return pack(call, text);
}

static Greet__HelloRequest *unpack(tako_str msg)
{
	return greet__hello_request__unpack(NULL, msg.n, (const uint8_t *)msg.p);
}

static int say_hello(tako_grpc *call, tako_str msg, void *arg)
{
	Greet__HelloRequest *request = unpack(msg);
	tako_str reply;

	(void)arg;
	if (!request)
		return tako_grpc_finish(call, TAKO_GRPC_INVALID_ARGUMENT, "not a HelloRequest");
	reply = greeting(call, "Hello", request);
	greet__hello_request__free_unpacked(request, NULL);
	return reply.p ? tako_grpc_reply(call, reply) : TAKO_ENOMEM;
}

static int say_hellos(tako_grpc *call, tako_str msg, void *arg)
{
	static const char *const words[] = {"Hello", "Bonjour", "Hallo", "Hola", "Ciao"};
	Greet__HelloRequest *request = unpack(msg);
	int64_t rc = 0;

	(void)arg;
	if (!request)
		return tako_grpc_finish(call, TAKO_GRPC_INVALID_ARGUMENT, "not a HelloRequest");
	for (size_t i = 0; i < sizeof words / sizeof words[0] && rc >= 0; i++) {
		tako_str reply = greeting(call, words[i], request);

		rc = reply.p ? tako_grpc_send(call, reply) : TAKO_ENOMEM;
	}
	greet__hello_request__free_unpacked(request, NULL);
	return rc < 0 ? (int)rc : tako_grpc_finish(call, TAKO_GRPC_OK, NULL);
}

static void add_greeter(tako_router *router)
{
	static const char *const pages[] = {NULL}; /* those of this host */

	tako_grpc_method(router, "/greet.Greeter/SayHello", TAKO_GRPC_UNARY,
	                 TAKO_GRPC_CONFIG(.on_message = say_hello, .web_origins = pages), NULL);
	tako_grpc_method(router, "/greet.Greeter/SayHellos", TAKO_GRPC_SERVER_STREAM,
	                 TAKO_GRPC_CONFIG(.on_message = say_hellos, .web_origins = pages), NULL);
	tako_grpc_reflection(router, &(tako_str){(const char *)descriptors, sizeof descriptors}, 1);
	tako_on_error(router, tako_grpc_error, NULL);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	tako_router *router = tako_router_new();
	tako_grpc_health *health = tako_grpc_health_new();
	tako_server *srv = NULL;
	int rc;

	add_greeter(router);
	tako_grpc_health_add(router, health);
	rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "grpc: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(srv);
	tako_router_free(router);
	tako_grpc_health_free(health);
	return rc < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * tako: an embeddable HTTP framework.  One router, many transports.
 *
 * Reading order: base.h (errors, strings, conventions) -> router.h (routes,
 * middleware) -> http.h (request, response, bodies) -> server.h (config, run, stop)
 * -> tls.h (certificates) -> ws.h (WebSocket) -> sse.h (Server-Sent
 * Events) -> topic.h (publish and subscribe) -> grpc.h (gRPC and gRPC-Web) -> proxy.h (the PROXY
 * protocol) -> forwarded.h (who the client is) -> inherit.h (sockets from whoever started us) ->
 * webtransport.h (sessions of streams and datagrams) -> raw.h (connections without HTTP) -> connect.h
 * (connections to others) -> client.h (requests to others).
 */
#ifndef TAKO_TAKO_H
#define TAKO_TAKO_H

#include <tako/base.h>
#include <tako/client.h>
#include <tako/connect.h>
#include <tako/forwarded.h>
#include <tako/grpc.h>
#include <tako/http.h>
#include <tako/inherit.h>
#include <tako/proxy.h>
#include <tako/raw.h>
#include <tako/router.h>
#include <tako/server.h>
#include <tako/sse.h>
#include <tako/tls.h>
#include <tako/topic.h>
#include <tako/webtransport.h>
#include <tako/ws.h>

#endif /* TAKO_TAKO_H */
